//! Where the engine could give up: which ways lead to the library's panics, and to instructions that trap.
//!
//! Overflow checks, bounds checks and `unwrap` are calls of functions of `core` that do not come back. From the roots
//! that `litmus.toml` lists, which are where a core is once the host runs, every branch, call and switch of the image
//! is followed, taken or not; on none of these ways may such a function be, nor `BRK` or `UDF`, nor a call through
//! a pointer, of which nobody could say where it leads.
//!
//! And of the whole image, boot included: no function of the library that does not come back is in it, nor the
//! handler that the last of them would call, nor `BRK` or `UDF`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use serde::Deserialize;

use crate::litmus::instruction::Flow;
use crate::litmus::program::{Function, Program};
use crate::litmus::ways::{self, Ways};

/// Vectors of a table, and bytes of one.
const VECTORS: u64 = 16;
pub const VECTOR: u64 = 0x80;

/// What `litmus.toml` says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panics {
    /// Vector tables, and functions, where cores are once the host runs.
    tables: Vec<String>,
    roots: Vec<String>,
    /// Functions that are no part of that: where a core goes to report that it stops for good.
    ends: Vec<String>,
}

/// The tests of this kind.
pub const TESTS: [&str; 2] = ["after-boot", "image"];

/// What `core::panicking` calls in the end: the engine's handler, by the compiler's name for it.
const HANDLER: &str = "rust_begin_unwind";

/// What is wrong, if something is.
pub fn check(program: &Program, panics: &Panics, test: &str) -> Result<Option<String>> {
    match test {
        "after-boot" => {
            let roots = roots(program, panics)?;
            Ok(Walk::from(program, &panics.ends, &roots).fault())
        }
        _ => Ok(in_image(program)),
    }
}

/// Where cores are once the host runs.
fn roots(program: &Program, panics: &Panics) -> Result<Vec<u64>> {
    let mut roots = Vec::new();
    for (names, entries) in [(&panics.tables, VECTORS), (&panics.roots, 1)] {
        for name in names {
            let found = program.functions().find(|it| it.name == *name);
            ensure!(found.is_some(), "the image has no {name}");
            let starts = found.into_iter().map(|it| it.start);
            roots.extend(starts.flat_map(|start| (0..entries).map(move |n| start + n * VECTOR)));
        }
    }
    Ok(roots)
}

/// Is it one of the library's functions that do not come back, or the handler?
fn is_panic(program: &Program, function: &Function) -> bool {
    let of_library = ["core::", "alloc::", "<core::", "<alloc::"];
    function.name.ends_with(HANDLER)
        || !program.returns(function.start)
            && of_library.iter().any(|it| function.name.starts_with(it))
}

/// What of that is in the image, whether or not a way leads there: by function, how often it calls which panic, or
/// traps, and where first. Zeroes between functions fill up to the next one.
fn in_image(program: &Program) -> Option<String> {
    let panic_at = |address| {
        let function = program.function_at(address);
        function.filter(|function| is_panic(program, function))
    };
    let mut found = BTreeMap::<(&str, String), (usize, u64)>::new();
    let mut called = BTreeSet::new();
    for (&address, instruction) in program.code() {
        let name = match program.function_at(address) {
            Some(function) => function.name.as_str(),
            None if instruction.word == 0 => continue,
            None => "what is no function",
        };
        let mut note = |what: String| {
            let (times, _) = found.entry((name, what)).or_insert((0, address));
            *times += 1;
        };
        if is_trap(instruction.word) {
            note("traps".into());
        }
        let (Flow::Call(to) | Flow::Jump(to) | Flow::Branch(to)) = program.flow(address) else {
            continue;
        };
        if let Some(panic) = panic_at(to)
            && panic_at(address).is_none()
        {
            called.insert(panic.start);
            note(format!("calls {}", panic.name));
        }
    }
    // One that nobody calls is one that a pointer may lead to.
    for function in program.functions() {
        if is_panic(program, function) && !called.contains(&function.start) {
            let what = "is in the image".into();
            found.insert((&function.name, what), (1, function.start));
        }
    }
    let lines = found
        .iter()
        .map(|((name, what), (times, first))| format!("{name} {what} ({times}, from {first:#x})"));
    let lines: Vec<String> = lines.collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// `BRK` or `UDF`.
fn is_trap(word: u32) -> bool {
    word & 0xffe0_001f == 0xd420_0000 || word & 0xffff_0000 == 0
}

/// All that can be executed from some places on.
struct Walk<'a> {
    program: &'a Program,
    seen: BTreeSet<u64>,
    /// From where each function was come to first.
    came: BTreeMap<u64, u64>,
    faults: Vec<(u64, &'static str)>,
}

impl<'a> Walk<'a> {
    fn from(program: &'a Program, ends: &[String], roots: &[u64]) -> Self {
        let mut walk = Self {
            program,
            seen: BTreeSet::new(),
            came: BTreeMap::new(),
            faults: Vec::new(),
        };
        let mut work = roots.to_vec();
        while let Some(address) = work.pop() {
            if !walk.seen.insert(address) {
                continue;
            }
            let Some(function) = program.function_at(address) else {
                walk.faults.push((address, "goes where no code is"));
                continue;
            };
            if ends.contains(&function.name) {
                continue;
            }
            if is_panic(program, function) {
                walk.faults.push((address, "is a panic"));
                continue;
            }
            walk.step(address, &mut work);
        }
        walk
    }

    /// Adds where control goes from `address`.
    fn step(&mut self, address: u64, work: &mut Vec<u64>) {
        let word = self.program.code().get(&address).map_or(0, |it| it.word);
        if is_trap(word) {
            self.faults.push((address, "traps"));
            return;
        }
        match ways::from(self.program, address) {
            Ways::On(to) => {
                to.iter().for_each(|&to| self.note(address, to));
                work.extend(to);
            }
            Ways::Call { to, back } => {
                self.note(address, to);
                work.push(to);
                work.extend(back);
            }
            Ways::Pointer { back } => {
                let what = match back {
                    Some(_) => "calls through a pointer",
                    None => "jumps through a pointer",
                };
                self.faults.push((address, what));
                work.extend(back);
            }
            Ways::Return | Ways::Stop => {}
        }
    }

    /// Remembers the first way into another function.
    fn note(&mut self, from: u64, to: u64) {
        let start = |address| self.program.function_at(address).map(|it| it.start);
        if let Some(into) = start(to)
            && start(from) != Some(into)
        {
            self.came.entry(into).or_insert(from);
        }
    }

    /// The first of the faults, with the way there.
    fn fault(&self) -> Option<String> {
        let (address, what) = self.faults.first()?;
        let name = |address| {
            let function = self.program.function_at(address);
            function.map_or("nothing", |it| it.name.as_str()).to_owned()
        };
        let mut way = format!("{} {what}, at {address:#x}", name(*address));
        let mut at = *address;
        // As far as there are functions: a way into one of those before would not be its first.
        for _ in 0..self.came.len() {
            let start = self.program.function_at(at).map_or(0, |it| it.start);
            let Some(&from) = self.came.get(&start) else {
                break;
            };
            way += &format!(", from {} at {from:#x}", name(from));
            at = from;
        }
        let more = self.faults.len() - 1;
        Some(format!("{way}; and {more} others"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RET: u32 = 0xd65f_03c0;
    const NOP: u32 = 0xd503_201f;
    const BRK: u32 = 0xd420_0020;
    const BLR: u32 = 0xd63f_0000;

    /// `BL` or `B` over so many instructions.
    const fn call(instructions: i32) -> u32 {
        0x9400_0000 | instructions as u32 & 0x3ff_ffff
    }
    const fn jump(instructions: i32) -> u32 {
        0x1400_0000 | instructions as u32 & 0x3ff_ffff
    }
    /// `CBZ X0`, over so many.
    const fn branch(instructions: u32) -> u32 {
        0xb400_0000 | instructions << 5
    }

    /// A panic at 0x100 that loops, a function at 0x80 that has these words, and what the test finds from there.
    fn found(words: &[u32]) -> Option<String> {
        let functions: [(&str, u64, &[u32]); 4] = [
            ("other", 0x40, &[call(0x30), RET]),
            ("root", 0x80, words),
            ("helper", 0xc0, &[branch(2), RET, call(0xe), RET]),
            ("core::panicking::panic", 0x100, &[jump(0)]),
        ];
        let program = Program::of(&functions, |_| None);
        let panics = Panics {
            tables: Vec::new(),
            roots: vec!["root".into()],
            ends: vec!["end".into()],
        };
        check(&program, &panics, "after-boot").unwrap()
    }

    #[test]
    fn what_leads_to_a_panic_is_found() {
        assert_eq!(found(&[NOP, RET]), None);
        assert!(found(&[call(0x20), RET]).unwrap().contains("panic"));
        assert!(found(&[jump(0x20)]).unwrap().contains("panic"));
        // A branch that is not taken counts, and so does a call in another function.
        let by_helper = found(&[call(0x10), RET]).unwrap();
        assert!(
            by_helper.contains("from helper at 0xc8, from root at 0x80"),
            "{by_helper}"
        );
    }

    /// What the test finds of an image of these.
    fn found_in_image(functions: &[(&str, u64, &[u32])]) -> Option<String> {
        let program = Program::of(functions, |_| None);
        check(&program, &Panics::default(), "image").unwrap()
    }

    #[test]
    fn what_gives_up_is_found_wherever_it_is() {
        let panic: (&str, u64, &[u32]) = ("core::panicking::panic", 0x100, &[jump(0)]);
        let comes_back: (&str, u64, &[u32]) = ("core::fmt::write", 0x140, &[NOP, RET]);
        assert_eq!(
            found_in_image(&[("boot", 0x40, &[NOP, RET]), comes_back]),
            None
        );

        let calls: [u32; 3] = [call(0x30), call(0x2f), RET];
        let by = found_in_image(&[("boot", 0x40, &calls), comes_back, panic]).unwrap();
        assert!(
            by.contains("boot calls core::panicking::panic (2, from 0x40)"),
            "{by}"
        );
        // A branch with a condition can be a call in the last place.
        let by_branch = found_in_image(&[("boot", 0x40, &[branch(0x30), RET]), panic]).unwrap();
        assert!(by_branch.contains("boot calls core"), "{by_branch}");
        let alone = found_in_image(&[("boot", 0x40, &[RET]), panic]).unwrap();
        assert!(alone.contains("panic is in the image"), "{alone}");
        let handler = ("__rustc::rust_begin_unwind", 0x100, &[RET] as &[u32]);
        assert!(found_in_image(&[handler]).is_some());

        for word in [BRK, 0, 0xd43f_ffe0, 0xffff] {
            let traps = found_in_image(&[("boot", 0x40, &[word, RET])]).unwrap();
            assert!(traps.contains("boot traps (1, from 0x40)"), "{traps}");
        }
    }

    #[test]
    fn what_traps_or_leads_nobody_knows_where_is_found() {
        assert!(found(&[BRK, RET]).unwrap().contains("traps"));
        assert!(found(&[BLR, RET]).unwrap().contains("pointer"));
        assert!(found(&[0, RET]).unwrap().contains("traps"));
    }
}
