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
        // What `gradle :tombolo:publish` in bindings/kotlin has made.
        maven("../../bindings/kotlin/build/repository")
        // The Kotlin part of the TLS verifier: docs/kotlin.md.
        maven("https://github.com/rustls/rustls-platform-verifier/raw/maven-archive/android-release-support/maven/") {
            content { includeGroup("org.rustls") }
        }
    }
}

rootProject.name = "flights"
include(":app")
