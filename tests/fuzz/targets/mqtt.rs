#![no_main]

use tombolo_fuzz::mqtt;

#[global_allocator]
static MEMORY: mqtt::Allocator = mqtt::Allocator::new(std::alloc::System, usize::MAX);

libfuzzer_sys::fuzz_target!(|data: &[u8]| mqtt::run(data, &MEMORY));
