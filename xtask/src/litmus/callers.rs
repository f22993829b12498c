//! Who uses a sequence: no use of it disappears as a whole, and no copy of a word.
//!
//! A walk through the image cannot tell a function that never uses a sequence from one that lost it,
//! nor miss one of several copies of a loop. So a sequence may list the functions of the source that
//! call it: each must have it inlined, or call an outlined copy, and nothing else may. If the pattern
//! is one row without choice, its words must be in each of them equally often. And it may
//! list how often a word is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::litmus::instruction::Flow;
use crate::litmus::manifest::Sequence;
use crate::litmus::program::{Instruction, Program};

/// What is wrong about who uses the sequence, if something is.
pub fn check(program: &Program, sequence: &Sequence) -> Option<String> {
    if let Some(fault) = copies(program, sequence) {
        return Some(fault);
    }
    if sequence.callers.is_empty() {
        return None;
    }
    let inlined = inlined_in(program, sequence);
    let mut users: BTreeSet<&str> = inlined.keys().copied().collect();
    users.extend(calling(program, sequence));
    let listed: BTreeSet<&str> = sequence.callers.iter().map(String::as_str).collect();
    if let Some(lost) = listed.difference(&users).next() {
        return Some(format!("nothing in the image of {lost} uses it"));
    }
    if let Some(other) = users.difference(&listed).next() {
        return Some(format!("{other} uses it and is not listed"));
    }
    let rows = sequence.pattern.rows();
    let [row] = rows.as_slice() else { return None };
    for (user, words) in inlined {
        let count = |word: &String| words.get(word.as_str()).copied().unwrap_or(0);
        let most = words.values().copied().max().unwrap_or(0);
        if let Some(word) = row.iter().find(|word| count(word) < most) {
            return Some(format!("{user} lacks a {word}"));
        }
    }
    None
}

/// Whether the words are there as often as listed.
fn copies(program: &Program, sequence: &Sequence) -> Option<String> {
    for (word, &due) in &sequence.copies {
        let code = program.code().values();
        let own = code.filter(|instruction| sequence.is_from(instruction));
        let found = own.filter(|it| word_of(sequence, it) == Some(word)).count();
        if found != due {
            return Some(format!("{word} is there {found} times, not {due}"));
        }
    }
    None
}

fn word_of<'a>(sequence: &'a Sequence, instruction: &'a Instruction) -> Option<&'a str> {
    let name = instruction.name.as_deref()?;
    Some(sequence.mark_of(instruction, name).unwrap_or(name))
}

/// By function that copies are inlined into: the words there, and how often.
fn inlined_in<'a>(
    program: &'a Program,
    sequence: &'a Sequence,
) -> BTreeMap<&'a str, BTreeMap<&'a str, usize>> {
    let mut users: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for instruction in program.code().values() {
        let Some(word) = word_of(sequence, instruction) else {
            continue;
        };
        if !sequence.pattern.has(word) {
            continue;
        }
        if let Some(user) = user_in(sequence, instruction) {
            *users.entry(user).or_default().entry(word).or_default() += 1;
        }
    }
    users
}

/// The first function outside the place that the instruction is inlined into.
fn user_in<'a>(sequence: &Sequence, instruction: &'a Instruction) -> Option<&'a str> {
    let places = &instruction.places;
    let last = places
        .iter()
        .rposition(|place| sequence.place.contains(place))?;
    places.get(last + 1).map(String::as_str)
}

/// The functions that call an outlined copy.
fn calling<'a>(program: &'a Program, sequence: &'a Sequence) -> BTreeSet<&'a str> {
    let mut copies = BTreeSet::new();
    for (&address, instruction) in program.code() {
        let is_outlined = sequence.is_from(instruction) && user_in(sequence, instruction).is_none();
        if is_outlined && let Some(function) = program.function_at(address) {
            copies.insert(function.start);
        }
    }
    let mut users = BTreeSet::new();
    for (&address, instruction) in program.code() {
        let (Flow::Call(to) | Flow::Jump(to)) = program.flow(address) else {
            continue;
        };
        if copies.contains(&to) && !sequence.is_from(instruction) {
            users.extend(instruction.places.first().map(String::as_str));
        }
    }
    users
}

#[cfg(test)]
mod tests {
    use super::*;

    const DSB: u32 = 0xd503_3b9f;
    const ISB: u32 = 0xd503_3fdf;
    const NOP: u32 = 0xd503_201f;
    const RET: u32 = 0xd65f_03c0;

    fn sequence() -> Sequence {
        let mut sequence = Sequence::of("f", "DSB.ISH ISB");
        sequence.callers = vec!["g".into(), "h".into()];
        sequence.copies = BTreeMap::from([("DSB.ISH".to_owned(), 1)]);
        sequence
    }

    #[test]
    fn a_use_that_is_gone_is_missed() {
        let f: &[u32] = &[DSB, ISB, RET];
        let call: &[u32] = &[NOP, 0x97ff_fff7, RET]; // bl f, from 0x24
        let last: &[u32] = &[NOP, NOP, NOP, NOP, 0x17ff_ffec]; // b f, from 0x50
        let whole = [("f", 0, f), ("g", 0x20, call), ("h", 0x40, last)];
        assert_eq!(check(&Program::of(&whole, |_| None), &sequence()), None);
        let lost: &[u32] = &[NOP, NOP, RET];
        let program = [("f", 0, f), ("g", 0x20, lost), ("h", 0x40, last)];
        let fault = check(&Program::of(&program, |_| None), &sequence()).unwrap();
        assert!(fault.contains("of g"), "{fault}");
        let more = [whole[0], whole[1], whole[2], ("k", 0x60, &[0x17ff_ffe8])];
        let fault = check(&Program::of(&more, |_| None), &sequence()).unwrap();
        assert!(fault.contains("k uses it"), "{fault}");
    }

    #[test]
    fn a_copy_that_is_gone_is_missed() {
        let f: &[u32] = &[NOP, ISB, RET];
        let fault = check(&Program::of(&[("f", 0, f)], |_| None), &sequence()).unwrap();
        assert!(fault.contains("0 times, not 1"), "{fault}");
    }
}
