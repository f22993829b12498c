//! libFuzzer's way to [`bulkhead_fuzz::traps`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz::traps::play(input));
