// dev.tombolo:tombolo, a jar for the JVM: desktop tools, tests, servers. First: `./build-jvm.sh` (the library for this system, and its
// Kotlin side). JNA finds the library in the jar at linux-x86-64/libtombolo_ffi.so and its like (put there with -Pnative=../native), or by
// -Djna.library.path.
plugins {
    alias(libs.plugins.kotlin.jvm)
    `maven-publish`
}

group = "dev.tombolo"

sourceSets["main"].apply {
    kotlin.srcDirs("../tombolo/src/main/kotlin", "../shipped")
    providers.gradleProperty("native").orNull?.let { resources.srcDir(it) }
}

// No explicitApi(): as in tombolo/.
kotlin {
    jvmToolchain(17)
}

java { withSourcesJar() }

dependencies {
    api(libs.coroutines)
    implementation(libs.gson)
    implementation(libs.jna)
}

publishing {
    publications {
        register<MavenPublication>("release") {
            artifactId = "tombolo"
            from(components["java"])
        }
    }
    repositories {
        maven { url = uri(rootProject.layout.buildDirectory.dir("repository")) }
    }
}
