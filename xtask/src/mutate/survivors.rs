//! `survivors.toml`: the mutants that the tests here let live, with why, and how a sweep is held to it.
//!
//! Invariants: a mutant that survives without a reason fails, and so does a reason that no survivor needs. Names are
//! compared as often as they occur, since several mutants of a function can share one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::mutant::Key;
use crate::count::Count;
use crate::mutants::check_test;

/// Where it lies in the checkout.
pub const FILE: &str = "xtask/src/mutate/survivors.toml";
const TEXT: &str = include_str!("survivors.toml");

/// The reasons.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Survivors {
    #[serde(default)]
    survivors: Vec<Reason>,
}

/// Why some mutants survive.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// By name without line and column; as often as it survives.
    mutants: Vec<String>,
    why: String,
    /// Tests of other kinds that were seen to fail, as `xtask/mutants.toml` names them, the kind first.
    #[serde(default)]
    seen_by: Vec<String>,
}

/// What a sweep is, beside the list.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Killed, or alive with a reason.
    pub passed: u32,
    /// Of these, with a reason.
    pub reasoned: u32,
    /// Alive without one, by full name.
    pub unexplained: Vec<String>,
    /// Reasons for more than survived.
    pub unneeded: Vec<String>,
}

impl Judgement {
    pub fn count(&self) -> Count {
        let failed = self.unexplained.len() + self.unneeded.len();
        Count::new(self.passed, failed as u32, 0)
    }
}

impl Survivors {
    /// The list of this checkout.
    pub fn load() -> Result<Self> {
        Self::parse(TEXT).context(FILE)
    }

    fn parse(text: &str) -> Result<Self> {
        let list: Self = toml::from_str(text)?;
        for reason in &list.survivors {
            ensure!(!reason.why.trim().is_empty(), "{:?}: why?", reason.mutants);
            ensure!(!reason.mutants.is_empty(), "{}: of what?", reason.why);
        }
        Ok(list)
    }

    /// How often each name has a reason.
    fn allowed(&self) -> BTreeMap<Key, usize> {
        let mut allowed = BTreeMap::new();
        for name in self.survivors.iter().flat_map(|reason| &reason.mutants) {
            *allowed.entry(Key::from_listed(name)).or_default() += 1;
        }
        allowed
    }

    /// Holds a sweep to the list: `tried` are all mutants that compile, `alive` those that no test noticed, `known` all that
    /// there are, tried or not. A reason for a mutant that was not tried is not judged.
    pub fn judge(&self, tried: &[String], alive: &[String], known: &BTreeSet<Key>) -> Judgement {
        let keys = |names: &[String]| -> Vec<Key> {
            names.iter().filter_map(|name| Key::of(name)).collect()
        };
        let tried_keys: BTreeSet<Key> = keys(tried).into_iter().collect();
        let mut left = self.allowed();
        let mut judgement = Judgement::default();
        for name in alive {
            let reason = Key::of(name).and_then(|key| left.get_mut(&key));
            match reason {
                Some(times) if *times > 0 => {
                    *times -= 1;
                    judgement.reasoned += 1;
                }
                _ => judgement.unexplained.push(name.clone()),
            }
        }
        judgement.passed = (tried.len() - judgement.unexplained.len()) as u32;
        for (key, times) in left {
            if !known.contains(&key) {
                judgement.unneeded.push(format!("{key}: there is none"));
            } else if times > 0 && tried_keys.contains(&key) {
                let text = format!("{key}: {times} more than survived");
                judgement.unneeded.push(text);
            }
        }
        judgement
    }

    /// Which of those that are `alive` have a reason. If more share a name than have one, it may be any of them: none.
    pub fn explained(&self, alive: &[String]) -> BTreeSet<String> {
        let allowed = self.allowed();
        let mut sharing: BTreeMap<Key, Vec<&String>> = BTreeMap::new();
        for name in alive {
            if let Some(key) = Key::of(name) {
                sharing.entry(key).or_default().push(name);
            }
        }
        sharing.retain(|key, names| allowed.get(key).is_some_and(|times| names.len() <= *times));
        sharing.into_values().flatten().cloned().collect()
    }

    /// Names of the list that no file or function of the checkout has, and tests that there are not.
    fn stale(&self, root: &Path) -> Vec<String> {
        let allowed = self.allowed();
        let names = allowed.keys().filter_map(|key| key.missing(root));
        let tests = self.survivors.iter().flat_map(|reason| &reason.seen_by);
        names
            .chain(tests.filter_map(|test| check_test(root, test)))
            .collect()
    }
}

/// For `cargo xtask audit`: how many survivors there are, and what of the list names nothing any more.
pub fn check(root: &Path) -> Result<(usize, Vec<String>)> {
    let list = Survivors::load()?;
    let all = list.survivors.iter().map(|reason| reason.mutants.len());
    Ok((all.sum(), list.stale(root)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"
        [[survivors]]
        mutants = ["a.rs: replace + with - in f", "a.rs: replace + with - in f", "b.rs: delete ! in g"]
        why = "equivalent"
    "#;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn judge(tried: &[&str], alive: &[&str]) -> Judgement {
        let known = [
            "a.rs: replace + with - in f",
            "a.rs: replace + with * in f",
            "b.rs: delete ! in g",
        ];
        let known = known.map(Key::from_listed).into_iter().collect();
        let list = Survivors::parse(LIST).unwrap();
        list.judge(&names(tried), &names(alive), &known)
    }

    #[test]
    fn survivors_with_their_reasons_pass() {
        let all = [
            "a.rs:1:1: replace + with - in f",
            "a.rs:2:1: replace + with - in f",
            "a.rs:2:1: replace + with * in f",
            "b.rs:9:9: delete ! in g",
        ];
        let result = judge(&all, &[all[0], all[1], all[3]]);
        assert_eq!((result.passed, result.reasoned), (4, 3));
        assert_eq!(result.count(), Count::new(4, 0, 0));
    }

    #[test]
    fn a_survivor_without_a_reason_fails() {
        let all = [
            "a.rs:1:1: replace + with - in f",
            "a.rs:1:1: replace + with * in f",
        ];
        let result = judge(&all, &all);
        assert_eq!(result.unexplained, [all[1]]);
        assert_eq!(result.passed, 1);
    }

    #[test]
    fn one_more_of_a_name_than_has_a_reason_fails() {
        let all = [
            "a.rs:1:1: replace + with - in f",
            "a.rs:2:1: replace + with - in f",
            "a.rs:3:1: replace + with - in f",
        ];
        let result = judge(&all, &all);
        assert_eq!(result.unexplained, [all[2]]);
        assert_eq!(result.count(), Count::new(2, 1, 0));
    }

    #[test]
    fn those_that_share_a_name_are_explained_together_or_not_at_all() {
        let list = Survivors::parse(LIST).unwrap();
        let alive = names(&[
            "a.rs:1:1: replace + with - in f",
            "a.rs:2:1: replace + with - in f",
            "a.rs:3:1: replace + with - in f",
            "b.rs:9:9: delete ! in g",
            "c.rs:9:9: delete ! in h",
        ]);
        let explained = |from: usize| Vec::from_iter(list.explained(&alive[from..]));
        assert_eq!(explained(0), alive[3..4]);
        assert_eq!(explained(1), alive[1..4]);
    }

    #[test]
    fn a_reason_that_is_not_needed_fails_but_one_that_was_not_tried_does_not() {
        let all = [
            "a.rs:1:1: replace + with - in f",
            "a.rs:2:1: replace + with - in f",
        ];
        let result = judge(&all, &all[..1]);
        assert_eq!(
            result.unneeded,
            ["a.rs: replace + with - in f: 1 more than survived"]
        );
        assert_eq!(result.count(), Count::new(2, 1, 0));
    }

    #[test]
    fn a_reason_for_a_mutant_that_is_gone_fails_whatever_is_tried() {
        let list = Survivors::parse(LIST).unwrap();
        let known = [Key::from_listed("a.rs: replace + with - in f")];
        let result = list.judge(&[], &[], &known.into_iter().collect());
        assert_eq!(result.unneeded, ["b.rs: delete ! in g: there is none"]);
        assert_eq!(result.count(), Count::new(0, 1, 0));
    }

    #[test]
    fn a_reason_has_to_be_one() {
        let no_reason = LIST.replace("equivalent", " ");
        assert!(Survivors::parse(&no_reason).is_err());
        assert!(Survivors::parse("[[survivors]]\nmutants = []\nwhy = \"x\"").is_err());
    }

    #[test]
    fn names_and_tests_that_are_not_there_are_stale() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let list = Survivors::parse(
            r#"
            [[survivors]]
            mutants = ["ownership/src/word.rs: replace + with - in Owner::pack"]
            why = "equivalent"
            seen_by = ["loom percpu no_wake_up_is_lost"]
            [[survivors]]
            mutants = ["ownership/src/word.rs: replace + with - in Owner::pick"]
            why = "equivalent"
            seen_by = ["loom percpu no_such_test"]
            "#,
        );
        let stale = list.unwrap().stale(root);
        assert_eq!(stale.len(), 2, "{stale:?}");
        assert!(stale[0].contains("pick") && stale[1].contains("no_such_test"));
    }

    #[test]
    fn the_list_itself_can_be_read() {
        Survivors::load().unwrap();
    }
}
