//! Plays inputs again, without libFuzzer: `replay TARGET FILE...`.

use std::process::ExitCode;

use bulkhead_fuzz::TARGETS;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let target = arguments.next().unwrap_or_default();
    let Some((_, play)) = TARGETS.iter().find(|(name, _)| *name == target) else {
        eprintln!("error: replay TARGET FILE...");
        return ExitCode::from(2);
    };
    for file in arguments {
        match std::fs::read(&file) {
            Ok(input) => play(&input),
            Err(error) => {
                eprintln!("error: {file}: {error}");
                return ExitCode::from(2);
            }
        }
        println!("{file} ... ok");
    }
    ExitCode::SUCCESS
}
