//! libFuzzer's way to [`bulkhead_fuzz::acpi`].

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| bulkhead_fuzz::acpi::play(input));
