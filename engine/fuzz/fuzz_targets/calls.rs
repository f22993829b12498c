//! libFuzzer's way to [`bulkhead_fuzz::calls`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz::calls::play(input));
