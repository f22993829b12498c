//! `docs/attacks.md`.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use crate::attacks::book::{Book, Case, Outcome};
use crate::mutants;

const HEAD: &str = "\
<!-- Generated from the hardware tests by `cargo xtask attacks`. Do not edit. -->

# Attacks

Each case is a hardware test (`hw-tests/src/tests/`): an attacker in the host's seat, at EL1 with the engine
beneath, or in a guest. Around every one the census of all pages is taken, and after it a call is answered
and no page is lost. Every case is played in front of a victim: another VM on the same core, which before and
after takes a checksum of its own memory and of its own registers, FP and system registers included.

*Refused* means that what the fourth column says came on every machine, and nothing else. *Scenario* is the number of
a bug that other engines had ([scenarios.md](scenarios.md)); those that are not here are of devices (16, 31),
or say there what hardware would have to show. The last column names protections that, built away, make the case fail
(`xtask/mutants.toml`): where it is empty, the refusal is the architecture's, or nobody has built it away yet. A
machine that lacks what is attacked refuses by itself: QEMU has no profiling, trace, activity monitors, partitions
and, here, no memory tags.
";

/// The page's text.
pub fn render(root: &Path, book: &Book) -> Result<String> {
    let mutants = mutants::Manifest::load(root)?;
    let mut text = String::from(HEAD);
    let tried: BTreeSet<u8> = book
        .cases()
        .iter()
        .flat_map(|case| case.words.scenarios.iter().copied())
        .collect();
    let tried: Vec<String> = tried.iter().map(u8::to_string).collect();
    writeln!(
        text,
        "\n{} cases on {} machines: {}. Scenarios: {}.\n",
        book.cases().len(),
        book.machines().len(),
        book.machines().join(", "),
        tried.join(", ")
    )?;
    text.push_str("| case | by | mechanism | refusal | scenario | outcome | fails without |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for case in book.cases() {
        let words = &case.words;
        let scenarios: Vec<String> = words.scenarios.iter().map(u8::to_string).collect();
        let caught: Vec<String> = mutants
            .caught_by_hw(&words.name)
            .map(|name| format!("`{name}`"))
            .collect();
        writeln!(
            text,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            words.name,
            words.by,
            words.mechanism,
            words.expected,
            scenarios.join(", "),
            outcome(book, case),
            caught.join(", ")
        )?;
    }
    Ok(text)
}

fn why_skipped((_, outcome): &(String, Outcome)) -> Option<&str> {
    match outcome {
        Outcome::Skipped(why) => Some(why),
        _ => None,
    }
}

/// One cell for all machines.
fn outcome(book: &Book, case: &Case) -> String {
    let mut failed = Vec::new();
    let mut skips = BTreeSet::new();
    for (machine, outcome) in &case.outcomes {
        match outcome {
            Outcome::Refused => {}
            Outcome::Skipped(why) => {
                skips.insert(format!("not on {machine}: {why}"));
            }
            Outcome::Failed => failed.push(machine.as_str()),
        }
    }
    if !failed.is_empty() {
        return format!("**not refused** on {}", failed.join(", "));
    }
    if case.outcomes.len() != book.machines().len() {
        return "**not tried everywhere**".into();
    }
    if skips.len() == case.outcomes.len() {
        let whys: BTreeSet<&str> = case.outcomes.iter().filter_map(why_skipped).collect();
        let whys: Vec<&str> = whys.into_iter().collect();
        return format!("on none of these machines: {}", whys.join(", "));
    }
    let mut text = String::from("refused");
    for skip in skips {
        text.push_str("; ");
        text.push_str(&skip);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_a_row_with_its_skips() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let console = |how| {
            format!(
                "@attack {{\"name\":\"a::b\",\"by\":\"guest\",\"scenarios\":[1,26],\"mechanism\":\"m\",\
                 \"expected\":\"e\"}}\ntest a::b ... {how}\n"
            )
        };
        let mut book = Book::default();
        book.add("all-1-max", &console("skipped: one core"))
            .unwrap();
        let text = render(root, &book).unwrap();
        let row = "| `a::b` | guest | m | e | 1, 26 | on none of these machines: one core |  |";
        assert!(text.lines().any(|line| line == row), "{text}");
        book.add("all-2-max", &console("ok")).unwrap();
        let text = render(root, &book).unwrap();
        let row = "| `a::b` | guest | m | e | 1, 26 | refused; not on all-1-max: one core |  |";
        assert!(text.lines().any(|line| line == row), "{text}");
        book.add("all-8-max", &console("FAILED: x")).unwrap();
        let text = render(root, &book).unwrap();
        assert!(text.contains("**not refused** on all-8-max"));
    }
}
