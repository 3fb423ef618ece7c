#![no_main]

use tombolo_fuzz::{batch, mutate};

libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate::json(data, size, max_size, seed, 0)
});
libfuzzer_sys::fuzz_target!(|data: &[u8]| batch::run(data));
