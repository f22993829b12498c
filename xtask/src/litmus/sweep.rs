//! Which instructions of the image could be lost without a test that notices?
//!
//! Each barrier, invalidation, cache maintenance and write of a translation register in the image is
//! taken out, one at a time, in memory, and all that is asked of the image is asked again. What is lost
//! unseen must be listed in `unnoticed.toml`, by form and function of the source, with how many lines
//! of that function it is and the reason; and nothing else may be listed. Lines, not instructions: how
//! often the compiler inlines a function is its business.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::litmus::instruction::Flow;
use crate::litmus::manifest::{Manifest, Sequence};
use crate::litmus::program::{Instruction, Program};
use crate::litmus::{approved, callers, order};

/// Where in the source an instruction is: its line, or in assembly its address.
type Spot = u64;
/// By form and place: the spots whose loss is not noticed.
type Unnoticed = BTreeMap<(String, String), BTreeSet<Spot>>;

/// What came of the sweep.
pub struct Sweep(Unnoticed);

/// The forms that are taken out, and those that are listed.
pub fn forms(program: &Program, manifest: &Manifest) -> BTreeSet<String> {
    let names = program.code().values().filter_map(|it| it.name.as_deref());
    let swept = names.filter(|name| is_swept(name));
    let listed = manifest.unnoticed.iter().map(|it| it.form.as_str());
    swept.chain(listed).map(str::to_owned).collect()
}

fn is_swept(name: &str) -> bool {
    approved::is_watched(name) || name.starts_with("DMB")
}

impl Sweep {
    /// Takes out one instruction after the other.
    pub fn of(
        program: &Program,
        manifest: &Manifest,
        sequences: &BTreeMap<String, Sequence>,
    ) -> Result<Self> {
        let mut noticed = approved::noticed(program, manifest);
        let index = Index::of(program);
        for sequence in sequences.values() {
            noticed.extend(index.noticed_by(sequence)?);
        }
        let mut found = Unnoticed::new();
        for (address, instruction) in program.code() {
            let Some(name) = instruction.name.as_deref().filter(|name| is_swept(name)) else {
                continue;
            };
            if !noticed.contains(address) {
                let (place, spot) = whereabouts(*address, instruction, manifest);
                found
                    .entry((name.to_owned(), place))
                    .or_default()
                    .insert(spot);
            }
        }
        Ok(Self(found))
    }

    /// What is wrong about this form, if something is: it is not as listed.
    pub fn fault(&self, form: &str, manifest: &Manifest) -> Option<String> {
        let of_form = |key: &&(String, String)| key.0 == form;
        let listed = manifest.unnoticed.iter().filter(|it| it.form == form);
        let listed: BTreeMap<&str, usize> =
            listed.map(|it| (it.place.as_str(), it.lines)).collect();
        let mut faults = Vec::new();
        for key in self.0.keys().filter(of_form) {
            let (place, lines) = (key.1.as_str(), self.0[key].len());
            let due = listed.get(place).copied().unwrap_or(0);
            if lines != due {
                faults.push(format!(
                    "{place} has it unseen in {lines} lines, of which {due} are listed"
                ));
            }
        }
        let key = |place: &str| (form.to_owned(), place.to_owned());
        let stale = listed
            .keys()
            .filter(|place| !self.0.contains_key(&key(place)));
        faults.extend(stale.map(|place| format!("{place} is listed, and does not have it unseen")));
        (!faults.is_empty()).then(|| faults.join("; "))
    }
}

/// The innermost function that its form is approved for, or else of the checkout's; and where in it.
fn whereabouts(address: u64, instruction: &Instruction, manifest: &Manifest) -> (String, Spot) {
    let form = instruction.name.as_deref().unwrap_or_default();
    let approved = manifest.approved.get(form);
    let places = &instruction.places;
    let is_approved = |place: &String| approved.is_some_and(|list| list.contains(place));
    let at = places.iter().position(is_approved);
    let at = at.or_else(|| places.iter().position(|place| !place.starts_with('/')));
    let at = at.unwrap_or(0);
    let line = instruction
        .lines
        .get(at)
        .map_or(address, |line| Spot::from(*line));
    (places.get(at).cloned().unwrap_or_default(), line)
}

/// Where in the image to look for what.
struct Index<'a> {
    program: &'a Program,
    /// By place: what comes from there.
    of: BTreeMap<&'a str, Vec<u64>>,
    /// By function: those that call it, or jump to it.
    calling: BTreeMap<u64, BTreeSet<u64>>,
}

impl<'a> Index<'a> {
    fn of(program: &'a Program) -> Self {
        let mut of: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        let mut calling: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (&address, instruction) in program.code() {
            for place in &instruction.places {
                of.entry(place).or_default().push(address);
            }
            if let Flow::Call(to) | Flow::Jump(to) = program.flow(address)
                && let Some(function) = program.function_at(address)
            {
                calling.entry(to).or_default().insert(function.start);
            }
        }
        Self {
            program,
            of,
            calling,
        }
    }

    /// The functions with what is from the sequence's place, and those that call one.
    fn users(&self, sequence: &Sequence) -> BTreeSet<u64> {
        let places = sequence.place.iter();
        let own = places
            .filter_map(|place| self.of.get(place.as_str()))
            .flatten();
        let own = own.filter_map(|address| self.program.function_at(*address));
        let mut all: BTreeSet<u64> = own.map(|function| function.start).collect();
        for start in all.clone() {
            all.extend(self.calling.get(&start).into_iter().flatten());
        }
        all
    }

    /// The instructions without which the image does not keep to the sequence.
    fn noticed_by(&self, sequence: &Sequence) -> Result<BTreeSet<u64>> {
        let mut functions = self.users(sequence);
        // What is entered from these, and so on.
        let (mut part, counted) = loop {
            let part = self.program.only(&functions);
            let (entered, counted) = order::walked(&part, sequence)?;
            if entered.is_subset(&functions) {
                break (part, counted);
            }
            functions.extend(entered);
        };
        let mut noticed = BTreeSet::new();
        for address in counted {
            let instruction = part.code().get(&address);
            if !instruction.is_some_and(|it| it.name.as_deref().is_some_and(is_swept)) {
                continue;
            }
            let is_missed = part.without(address, |rest| -> Result<bool> {
                let fault = order::check(rest, sequence)?;
                Ok(fault.or_else(|| callers::check(rest, sequence)).is_some())
            })?;
            if is_missed {
                noticed.insert(address);
            }
        }
        Ok(noticed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::litmus::manifest::Unnoticed as Listed;

    const DSB: u32 = 0xd503_3b9f;
    const ISB: u32 = 0xd503_3fdf;
    const RET: u32 = 0xd65f_03c0;

    /// What is wrong about DSB and ISB of `f` and `g`, of which only `f`'s DSB is asked for.
    fn faults(listed: &[(&str, &str, usize)]) -> [Option<String>; 2] {
        let f: &[u32] = &[DSB, ISB, RET];
        let program = Program::of(&[("f", 0, f), ("g", 0x20, f)], |_| None);
        let sequences = BTreeMap::from([("f".into(), Sequence::of("f", "DSB.ISH ISB?"))]);
        let manifest = Manifest::of_unnoticed(listed.iter().map(|it| Listed::of(it.0, it.1, it.2)));
        let sweep = Sweep::of(&program, &manifest, &sequences).unwrap();
        ["DSB.ISH", "ISB"].map(|form| sweep.fault(form, &manifest))
    }

    #[test]
    fn what_is_lost_unseen_has_to_be_listed_and_nothing_else() {
        let good = [("DSB.ISH", "g", 1), ("ISB", "g", 1)];
        assert_eq!(faults(&good), [None, None]);
        let [dsb, isb] = faults(&good[1..]);
        assert!(dsb.unwrap().contains("g has it unseen in 1 lines"));
        assert_eq!(isb, None);
        let [dsb, _] = faults(&[good[0], good[1], ("DSB.ISH", "f", 1)]);
        assert!(dsb.unwrap().contains("f is listed"));
        let [dsb, _] = faults(&[("DSB.ISH", "g", 2), good[1]]);
        assert!(dsb.unwrap().contains("of which 2 are listed"));
    }
}
