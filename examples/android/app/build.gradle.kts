plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
    id("org.jetbrains.kotlin.plugin.compose")
}

val tombolo = providers.environmentVariable("TOMBOLO_BIN").orElse("tombolo")

// Types for the flights schema, written before each build.
val codegen by tasks.registering(Exec::class) {
    commandLine(
        tombolo.get(), "codegen", "--schema", "../../flights/schema.graphql", "--lang", "kotlin", "--package", "flights.generated",
        "--out", "build/generated/tombolo",
    )
    inputs.file("../../flights/schema.graphql")
    outputs.dir("build/generated/tombolo")
}

android {
    namespace = "dev.tombolo.flights"
    compileSdk = 36

    defaultConfig {
        applicationId = "dev.tombolo.flights"
        minSdk = 24
        targetSdk = 36
        versionCode = 1
        versionName = "0.1.0"
    }

    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
        }
    }

    sourceSets["main"].kotlin.srcDirs("src/main/kotlin", "build/generated/tombolo")
    buildFeatures { compose = true }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin { jvmToolchain(17) }

tasks.named("preBuild") { dependsOn(codegen) }

dependencies {
    implementation("dev.tombolo:tombolo-android:0.1.0")
    implementation(platform("androidx.compose:compose-bom:2025.10.01"))
    implementation("androidx.compose.material3:material3")
    implementation("androidx.activity:activity-compose:1.11.0")
    implementation("androidx.lifecycle:lifecycle-viewmodel-compose:2.9.4")
    implementation("androidx.lifecycle:lifecycle-runtime-compose:2.9.4")
}
