//! Does every way through the image keep to a sequence's pattern?
//!
//! A sequence belongs to a place of the source. Every function of the image that has instructions
//! from there is walked from its entry over all branches, in step with the pattern; what is not from
//! the place does not count, and a call from the place is walked into with all that is in it. Ways
//! that end in a panic may end anywhere: the engine is dead then. So the walk sees more ways than
//! can happen (a flag that is looked at twice makes four of two); fewer only where a jump by register is no
//! switch, which counts as an end.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};

use crate::litmus::instruction::Flow;
use crate::litmus::manifest::Sequence;
use crate::litmus::pattern::State;
use crate::litmus::program::{Function, Instruction, Program};

/// Instructions that count in every sequence, by the first part of their names.
const ALWAYS: [&str; 7] = ["DSB", "ISB", "TLBI", "IC", "DC", "AT", "SYS"];
/// Calls inside calls, as a guard.
const DEEPEST: usize = 32;

/// What is wrong, in one line.
type Fault = String;

/// Checks one sequence; `Ok` holds what is wrong, if something is.
pub fn check(program: &Program, sequence: &Sequence) -> Result<Option<Fault>> {
    Walk::new(program, sequence).check()
}

/// Where the functions begin that are entered for a sequence, and the instructions that count in it.
pub fn walked(program: &Program, sequence: &Sequence) -> Result<(BTreeSet<u64>, BTreeSet<u64>)> {
    let walk = Walk::new(program, sequence);
    walk.check()?;
    let entered = walk.known.into_inner().into_keys().map(|(start, ..)| start);
    Ok((entered.collect(), walk.counted.into_inner()))
}

type Ends = std::result::Result<BTreeSet<State>, Fault>;

struct Walk<'a> {
    program: &'a Program,
    sequence: &'a Sequence,
    /// Positions of the pattern that were met.
    met: RefCell<State>,
    /// Where instructions are that count.
    counted: RefCell<BTreeSet<u64>>,
    /// What came of a function that was entered so before.
    known: RefCell<BTreeMap<(u64, State, bool), BTreeSet<State>>>,
}

impl<'a> Walk<'a> {
    fn new(program: &'a Program, sequence: &'a Sequence) -> Self {
        Self {
            program,
            sequence,
            met: RefCell::default(),
            counted: RefCell::default(),
            known: RefCell::default(),
        }
    }

    /// What is wrong about the sequence, if something is.
    fn check(&self) -> Result<Option<Fault>> {
        let mut is_anywhere = false;
        for function in self.program.functions() {
            let has_place = self
                .program
                .code()
                .range(function.start..function.end)
                .any(|(_, instruction)| self.sequence.is_from(instruction));
            if !has_place {
                continue;
            }
            is_anywhere = true;
            let start = self.sequence.pattern.start();
            let ends = match self.through(function, &start, false, 0)? {
                Ok(ends) => ends,
                Err(fault) => return Ok(Some(fault)),
            };
            for end in ends {
                if !self.sequence.pattern.is_end(&end) {
                    let due = self.sequence.pattern.due(&end).join(" or ");
                    return Ok(Some(format!("{} ends where {due} is due", function.name)));
                }
            }
        }
        if !is_anywhere {
            let places = self.sequence.place.join(" or ");
            return Ok(Some(format!("nothing in the image is from {places}")));
        }
        let unmet = self.sequence.pattern.unmet(&self.met.borrow());
        Ok((!unmet.is_empty()).then(|| format!("nothing in the image does {}", unmet.join(", "))))
    }

    /// The states in which control comes back from `function`, entered in `state`. If `all`,
    /// everything in it counts.
    fn through(&self, function: &Function, state: &State, all: bool, depth: usize) -> Result<Ends> {
        let key = (function.start, state.clone(), all);
        if let Some(ends) = self.known.borrow().get(&key) {
            return Ok(Ok(ends.clone()));
        }
        if depth > DEEPEST {
            bail!("{}: calls too deep", function.name);
        }
        let mut ends = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut work = vec![(function.start, state.clone())];
        while let Some((address, state)) = work.pop() {
            if !seen.insert((address, state.clone())) {
                continue;
            }
            let Some(instruction) = self.program.code().get(&address) else {
                continue;
            };
            let counts = all || self.sequence.is_from(instruction);
            let state = match self.step(address, instruction, counts, state) {
                Ok(state) => state,
                Err(fault) => return Ok(Err(fault)),
            };
            let here = function.start..function.end;
            let targets = match self.program.flow(address) {
                Flow::Next | Flow::CallRegister => vec![address + 4],
                Flow::Jump(to) => vec![to],
                Flow::Branch(to) => vec![to, address + 4],
                Flow::JumpRegister => match self.program.switch_at(address) {
                    Some(targets) => targets.to_vec(),
                    // To another function for good, as at the end of boot.
                    None => {
                        ends.insert(state);
                        continue;
                    }
                },
                Flow::Return => {
                    ends.insert(state);
                    continue;
                }
                Flow::Stop => continue,
                Flow::Call(to) => {
                    if !self.program.returns(to) {
                        continue;
                    }
                    match self.call(to, &state, counts, depth)? {
                        Ok(after) => work.extend(after.into_iter().map(|it| (address + 4, it))),
                        Err(fault) => return Ok(Err(fault)),
                    }
                    continue;
                }
            };
            for target in targets {
                if here.contains(&target) {
                    work.push((target, state.clone()));
                } else if self.program.returns(target) {
                    // A call in the last place.
                    match self.call(target, &state, counts, depth)? {
                        Ok(after) => ends.extend(after),
                        Err(fault) => return Ok(Err(fault)),
                    }
                }
            }
        }
        self.known.borrow_mut().insert(key, ends.clone());
        Ok(Ok(ends))
    }

    /// The states after a call of what begins at `to`.
    fn call(&self, to: u64, state: &State, counts: bool, depth: usize) -> Result<Ends> {
        match self.program.function_at(to) {
            Some(function) if counts && function.start == to => {
                self.through(function, state, true, depth + 1)
            }
            _ => Ok(Ok(BTreeSet::from([state.clone()]))),
        }
    }

    /// The state after one instruction.
    fn step(
        &self,
        address: u64,
        instruction: &Instruction,
        counts: bool,
        state: State,
    ) -> std::result::Result<State, Fault> {
        let Some(word) = self.word(instruction).filter(|_| counts) else {
            return Ok(state);
        };
        self.counted.borrow_mut().insert(address);
        let pattern = &self.sequence.pattern;
        let next = pattern.step(&state, &word);
        if next.is_empty() {
            let function = self.program.function_at(address);
            return Err(format!(
                "{word} where {} is due, at {address:#x} in {}",
                pattern.due(&state).join(" or "),
                function.map_or("?", |function| &function.name)
            ));
        }
        self.met.borrow_mut().extend(&next);
        Ok(next)
    }

    /// What the instruction is called in the pattern, if it is one that counts.
    fn word(&self, instruction: &Instruction) -> Option<String> {
        let name = instruction.name.as_deref()?;
        let sequence = self.sequence;
        if let Some(mark) = sequence.mark_of(instruction, name) {
            return Some(mark.to_owned());
        }
        let first = name.split('.').next()?;
        let is_ignored = sequence.ignore.iter().any(|it| it == name || it == first);
        let is_watched = ALWAYS.contains(&first)
            || sequence.watch.iter().any(|it| it == name)
            || sequence.pattern.has(name);
        (is_watched && !is_ignored).then(|| name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DSB: u32 = 0xd503_3b9f;
    const ISB: u32 = 0xd503_3fdf;
    const TLBI: u32 = 0xd508_831f;
    const RET: u32 = 0xd65f_03c0;
    const TRAP: u32 = 0xd420_0020;
    const NOP: u32 = 0xd503_201f;
    /// Over one instruction, if x0 is zero.
    const SKIP: u32 = 0xb400_0040;

    /// What is wrong about these functions, of which `f` is the sequence's place.
    fn fault(functions: &[(&str, u64, &[u32])]) -> Option<String> {
        let program = Program::of(functions, |_| None);
        let pattern = "DSB.ISH TLBI.VMALLE1IS* DSB.ISH ISB?";
        check(&program, &Sequence::of("f", pattern)).unwrap()
    }

    #[test]
    fn every_way_must_keep_to_the_pattern() {
        let back = 0xb5ff_ffe0; // to the instruction before, if x0 is not zero
        let good = [DSB, TLBI, back, DSB, SKIP, ISB, RET];
        assert_eq!(fault(&[("f", 0, &good)]), None);
        for (bad, said) in [
            (
                &[TLBI, DSB, ISB, RET][..],
                "TLBI.VMALLE1IS where DSB.ISH is due",
            ),
            (
                &[SKIP, DSB, TLBI, DSB, ISB, RET],
                "TLBI.VMALLE1IS where DSB.ISH is due",
            ),
            (
                &[DSB, TLBI, SKIP, DSB, RET],
                "ends where DSB.ISH or TLBI.VMALLE1IS is due",
            ),
            (
                &[DSB, DSB, ISB, RET],
                "nothing in the image does TLBI.VMALLE1IS",
            ),
        ] {
            let fault = fault(&[("f", 0, bad)]).unwrap();
            assert!(fault.contains(said), "{fault}");
        }
        assert!(
            fault(&[("g", 0, &good)])
                .unwrap()
                .contains("nothing in the image is from f")
        );
        // What is called belongs to it; what calls it does not.
        let g: &[u32] = &[TLBI, RET];
        let h: &[u32] = &[TLBI, 0x97ff_ffef, ISB, RET];
        let f = [DSB, 0x9400_0007, DSB, SKIP, ISB, RET];
        assert_eq!(fault(&[("f", 0, &f), ("g", 0x20, g), ("h", 0x40, h)]), None);
    }

    #[test]
    fn a_panic_may_end_it_anywhere() {
        let f = [DSB, SKIP, 0x9400_0006, TLBI, DSB, ISB, RET];
        assert_eq!(fault(&[("f", 0, &f), ("panic", 0x20, &[NOP, TRAP])]), None);
        assert!(fault(&[("f", 0, &f), ("no_panic", 0x20, &[NOP, RET])]).is_none());
        let g = [DSB, SKIP, 0x1400_0006, TLBI, DSB, ISB, RET];
        assert_eq!(fault(&[("f", 0, &g), ("panic", 0x20, &[NOP, TRAP])]), None);
        let out = fault(&[("f", 0, &g), ("other", 0x20, &[NOP, RET])]).unwrap();
        assert!(out.contains("f ends where"), "{out}");
    }
}
