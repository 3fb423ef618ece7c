// dev.tombolo:tombolo-android, an AAR. First: `./build-android.sh` (a library for each ABI, and its Kotlin side).
plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
    `maven-publish`
}

group = "dev.tombolo"

android {
    namespace = "dev.tombolo"
    compileSdk = 36

    defaultConfig {
        // registerDefaultNetworkCallback, and rustls-platform-verifier's revocation check.
        minSdk = 24
        consumerProguardFiles("consumer-rules.pro")
    }

    sourceSets["main"].apply {
        manifest.srcFile("src/android/AndroidManifest.xml")
        kotlin.srcDirs("src/main/kotlin", "src/android/kotlin", "../shipped")
        // arm64-v8a/libtombolo_ffi.so and its sisters.
        jniLibs.srcDirs("src/android/jniLibs")
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }

    publishing {
        singleVariant("release") { withSourcesJar() }
    }
}

// No explicitApi(): it would cover what uniffi writes, which has no visibility modifiers. ci.sh checks it for src/main and src/android.
kotlin {
    jvmToolchain(17)
}

/** The version of the verifier's Kotlin part must be that of its Rust part: Cargo.lock has it. */
val verifierVersion: Provider<String> = providers.fileContents(layout.projectDirectory.file("../../../Cargo.lock")).asText.map { lock ->
    Regex("name = \"rustls-platform-verifier-android\"\\s+version = \"([^\"]+)\"").find(lock)?.groupValues?.get(1)
        ?: error("Cargo.lock has no rustls-platform-verifier-android")
}

dependencies {
    api(libs.coroutines)
    implementation(libs.gson)
    // The AAR has JNA's own native part for each ABI; the plain jar has none for Android.
    implementation("${libs.jna.get()}@aar")
    implementation(verifierVersion.map { "org.rustls:rustls-platform-verifier:$it@aar" })
    api(libs.lifecycle.process)
    api(libs.work)
    implementation(libs.startup)
}

// A library without native code would crash at the first call of every app.
val abis = listOf("arm64-v8a", "armeabi-v7a", "x86_64")
tasks.named("preBuild") {
    doFirst {
        val missing = abis.filterNot { file("src/android/jniLibs/$it/libtombolo_ffi.so").exists() }
        require(missing.isEmpty()) { "no libtombolo_ffi.so for $missing: run bindings/kotlin/build-android.sh" }
        require(file("../shipped/dev/tombolo/ffi/tombolo_ffi.kt").exists()) { "no Kotlin side of it: run bindings/kotlin/build-android.sh" }
    }
}

publishing {
    publications {
        register<MavenPublication>("release") {
            artifactId = "tombolo-android"
            afterEvaluate { from(components["release"]) }
            pom { tombolo("Tombolo for Android: an offline-first GraphQL client over SQLite") }
        }
    }
    repositories {
        // build/repository has the layout of a Maven repository, ready to be uploaded.
        maven { url = uri(rootProject.layout.buildDirectory.dir("repository")) }
    }
}

fun MavenPom.tombolo(words: String) {
    name = "Tombolo"
    description = words
    url = "https://github.com/tombolo-sync/tombolo"
    licenses {
        license {
            name = "MIT"
            url = "https://opensource.org/license/mit"
        }
        license {
            name = "Apache-2.0"
            url = "https://www.apache.org/licenses/LICENSE-2.0"
        }
    }
}
