// Runs with what `cargo xtask bindings` and bindings/kotlin's `build-jvm.sh` and `gradle :tombolo-jvm:publish` have made; README.md says how.
plugins {
    kotlin("jvm") version "2.2.20"
    application
}

repositories {
    mavenCentral()
    maven("../../bindings/kotlin/build/repository")
}

kotlin { jvmToolchain(17) }

val tombolo = providers.environmentVariable("TOMBOLO_BIN").orElse("tombolo")

// Types for this schema and these operations, written before each build.
val codegen by tasks.registering(Exec::class) {
    commandLine(
        tombolo.get(), "codegen", "--schema", "../flights/schema.graphql", "--lang", "kotlin", "--package", "flights.generated",
        "--operations", "operations/*.graphql", "--out", "build/generated/tombolo",
    )
    inputs.files("../flights/schema.graphql", fileTree("operations"))
    outputs.dir("build/generated/tombolo")
}

sourceSets["main"].kotlin.srcDirs("src", codegen)

dependencies {
    implementation("dev.tombolo:tombolo:0.1.0")
}

application {
    mainClass = "flights.MainKt"
    applicationDefaultJvmArgs = listOf("-Djna.library.path=../../target/debug")
}
