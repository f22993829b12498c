//! libFuzzer's way to [`bulkhead_fuzz::device_tree`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz::device_tree::play(input));
