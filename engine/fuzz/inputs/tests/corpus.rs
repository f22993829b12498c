//! The kept corpus played without libFuzzer, on any machine: what fuzzing found still holds.
//!
//! `corpus/TARGET.txt` has an input a line, in hexadecimal; `cargo xtask fuzz --deep` writes it.

use std::path::Path;

use bulkhead_fuzz::TARGETS;

/// Says which input failed.
struct Announce<'a>(&'a str, usize);

impl Drop for Announce<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(target, line) = self;
            eprintln!("input: line {line} of engine/fuzz/corpus/{target}.txt");
        }
    }
}

fn bytes(line: &str) -> Vec<u8> {
    let digits = line.as_bytes().chunks(2);
    let byte = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).expect("digits");
        u8::from_str_radix(digits, 16).expect("two hexadecimal digits")
    };
    digits.map(byte).collect()
}

fn play_all(target: &str) {
    let (_, play) = TARGETS
        .iter()
        .find(|(name, _)| *name == target)
        .expect("a target");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let text = std::fs::read_to_string(folder.join(target).with_extension("txt"));
    let text = text.expect("the kept corpus");
    let mut played = 0;
    for (line, input) in (1..).zip(text.lines()) {
        let announce = Announce(target, line);
        play(&bytes(input));
        drop(announce);
        played += 1;
    }
    assert!(played > 10, "{played} inputs are no corpus");
}

#[test]
fn calls() {
    play_all("calls");
}

#[test]
fn traps() {
    play_all("traps");
}

#[test]
fn device_tree() {
    play_all("device_tree");
}

#[test]
fn acpi() {
    play_all("acpi");
}
