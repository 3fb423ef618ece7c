//! Reads the surface of `tombolo-ffi` out of the built library and writes it down in Kotlin, Swift and Python: uniffi's own
//! program, of the very version that the library was built with. `cargo xtask bindings` calls it.

fn main() {
    uniffi::uniffi_bindgen_main();
}
