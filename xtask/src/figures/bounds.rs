//! What one call may take the engine while all cores take pages away: the most instructions and broadcasts of each
//! kind, and which call took more.
//!
//! Invariant: a kind without a call, and a call without a window, are failures.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::figures::plugin::Counts;
use crate::figures::table::grouped;

/// A kind of call: its letter in the test's lines, its name, and the most instructions and broadcasts that one may
/// take on `max`: what was measured (docs/figures.md) and a third more, and for each core what the engine's look at
/// that core takes.
pub struct Bound {
    letter: char,
    pub name: &'static str,
    instructions: u64,
    per_core: u64,
    broadcasts: u64,
}

pub const BOUNDS: [Bound; 7] = [
    Bound::new('c', "VM_CREATE", 4_500, 50, 0),
    Bound::new('p', "VM_MAP, 1 page", 15_000, 0, 8),
    Bound::new('q', "VM_MAP, 24 pages", 15_000, 0, 8),
    Bound::new('l', "VM_LEND, 24 pages", 53_000, 0, 0),
    Bound::new('u', "VM_UNLEND, 24 pages", 80_000, 0, 8),
    Bound::new('d', "VM_DESTROY", 900, 50, 0),
    Bound::new('r', "VM_RECLAIM", 410_000, 200, 4),
];

impl Bound {
    const fn new(
        letter: char,
        name: &'static str,
        instructions: u64,
        per_core: u64,
        broadcasts: u64,
    ) -> Self {
        Self {
            letter,
            name,
            instructions,
            per_core,
            broadcasts,
        }
    }

    /// Why these calls on `cpus` cores are not within it. Each call is on one core; on several a core that waits for
    /// another goes round as often as the machine beneath lets it wait, so that there the broadcasts of each call
    /// count, and of the instructions the median.
    fn exceeded(&self, calls: &[Counts], cpus: u64) -> Option<String> {
        if calls.is_empty() {
            return Some("no call".into());
        }
        let mut instructions: Vec<u64> = calls.iter().map(|call| call.engine).collect();
        instructions.sort_unstable();
        let judged = if cpus == 1 {
            calls.len() - 1
        } else {
            calls.len() / 2
        };
        let (instructions, most) = (
            instructions[judged],
            self.instructions + self.per_core * cpus,
        );
        let broadcasts = calls.iter().map(|call| call.broadcasts).max()?;
        (instructions > most || broadcasts > self.broadcasts).then(|| {
            format!(
                "{instructions} instructions of {most}, {broadcasts} broadcasts of {}",
                self.broadcasts
            )
        })
    }
}

/// What one core of the test did.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    core: usize,
    calls: String,
}

/// Calls by their kind's letter.
pub type Kinds = BTreeMap<char, Vec<Counts>>;

/// The windows of each kind of call.
pub fn by_kind(told: &[Told], windows: &[Vec<Counts>]) -> Result<Kinds> {
    let mut kinds = Kinds::new();
    for Told { core, calls } in told {
        let own = windows.get(*core).map_or(&[][..], Vec::as_slice);
        ensure!(
            own.len() == calls.len(),
            "core {core} made {} calls in {} windows",
            calls.len(),
            own.len()
        );
        for (letter, counts) in calls.chars().zip(own) {
            kinds.entry(letter).or_default().push(*counts);
        }
    }
    Ok(kinds)
}

/// The calls of a kind.
fn calls_of<'k>(kinds: &'k Kinds, bound: &Bound) -> &'k [Counts] {
    kinds.get(&bound.letter).map_or(&[], Vec::as_slice)
}

/// Of each bound why it does not hold on `cpus` cores; nothing where it does.
pub fn judge(kinds: &Kinds, cpus: u64) -> Vec<Option<String>> {
    let bounds = BOUNDS.iter();
    bounds
        .map(|bound| bound.exceeded(calls_of(kinds, bound), cpus))
        .collect()
}

/// A Markdown table.
pub fn render(kinds: &Kinds) -> String {
    let mut text = String::from(
        "\n| call | calls | median | most | broadcasts, most |\n| --- | ---: | ---: | ---: | ---: |\n",
    );
    for bound in &BOUNDS {
        let calls = calls_of(kinds, bound);
        let mut sorted: Vec<u64> = calls.iter().map(|call| call.engine).collect();
        sorted.sort_unstable();
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            bound.name,
            sorted.len(),
            grouped(sorted.get(sorted.len() / 2).copied().unwrap_or(0)),
            grouped(sorted.last().copied().unwrap_or(0)),
            calls.iter().map(|call| call.broadcasts).max().unwrap_or(0),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(engine: u64, broadcasts: u64) -> Counts {
        Counts {
            engine,
            low: 0,
            high: 0,
            broadcasts,
            whole_vm: 0,
        }
    }

    fn told(core: usize, calls: &str) -> Told {
        let calls = calls.to_owned();
        Told { core, calls }
    }

    fn wrong(kinds: &Kinds) -> usize {
        judge(kinds, 1).iter().flatten().count()
    }

    #[test]
    fn each_call_is_judged_by_its_kind() {
        let letters: String = BOUNDS.iter().map(|bound| bound.letter).collect();
        let within: Vec<Counts> = BOUNDS
            .iter()
            .map(|bound| counts(bound.instructions, bound.broadcasts))
            .collect();
        let kinds = by_kind(&[told(0, &letters)], std::slice::from_ref(&within)).unwrap();
        assert_eq!(wrong(&kinds), 0);
        for index in 0..BOUNDS.len() {
            for (more, broadcasts) in [(1, 0), (0, 1)] {
                let mut windows = within.clone();
                windows[index].engine += more + BOUNDS[index].per_core * more;
                windows[index].broadcasts += broadcasts;
                let kinds = by_kind(&[told(0, &letters)], &[windows]).unwrap();
                assert!(judge(&kinds, 1)[index].is_some(), "{}", BOUNDS[index].name);
                assert_eq!(wrong(&kinds), 1);
            }
        }
        let kinds = by_kind(&[told(0, "c")], &[vec![within[0]]]).unwrap();
        assert_eq!(wrong(&kinds), BOUNDS.len() - 1);
    }

    #[test]
    fn a_core_that_waits_is_not_the_engines_doing_but_its_broadcasts_are() {
        let bound = &BOUNDS[1];
        let good = counts(bound.instructions, bound.broadcasts);
        let waits = counts(bound.instructions * 2, 0);
        assert!(bound.exceeded(&[good, good, waits], 1).is_some());
        assert!(bound.exceeded(&[good, good, waits], 2).is_none());
        assert!(bound.exceeded(&[good, waits, waits], 2).is_some());
        let floods = counts(1, bound.broadcasts + 1);
        assert!(bound.exceeded(&[good, good, floods], 2).is_some());
    }

    #[test]
    fn calls_without_windows_are_refused() {
        assert!(by_kind(&[told(0, "cp")], &[vec![counts(1, 0)]]).is_err());
        assert!(by_kind(&[told(1, "c")], &[vec![counts(1, 0)]]).is_err());
    }
}
