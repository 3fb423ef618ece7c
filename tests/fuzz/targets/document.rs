#![no_main]

use tombolo_fuzz::{document, mutate};

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::words(data, size, max_size, seed)
});
libfuzzer_sys::fuzz_target!(|data: &[u8]| document::run(data));
