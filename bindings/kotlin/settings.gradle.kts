pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
        // The Kotlin part of rustls-platform-verifier, which asks Android what the device trusts.
        maven("https://github.com/rustls/rustls-platform-verifier/raw/maven-archive/android-release-support/maven/") {
            content { includeGroup("org.rustls") }
        }
    }
}

rootProject.name = "tombolo"

// dev.tombolo:tombolo-android (AAR) and dev.tombolo:tombolo (jar): the same sources in src/main, the first with src/android.
include(":tombolo", ":tombolo-jvm")
