//! Only approved instructions, only in approved places.
//!
//! No model of translation knows all of stage 2: to herd7 a TLBI of another regime is as good as the
//! right one. So the form of each barrier and maintenance instruction in the image is compared with a
//! list that says which source functions may have it. It also fails on entries of the list that
//! nothing in the image uses.

use std::collections::{BTreeMap, BTreeSet};

use crate::litmus::manifest::Manifest;
use crate::litmus::program::Program;

/// Instructions that are nowhere but where the list has them, by the first part of their names.
/// (AT, CFP and others are not on the list at all.)
const WATCHED: [&str; 9] = [
    "DSB", "ISB", "SB", "BARRIER", "TLBI", "IC", "DC", "AT", "SYS",
];
/// Registers, written: what stage 2 and EL2 translate by.
const REGISTERS: [&str; 7] = [
    "MSR.HCR_EL2",
    "MSR.VTTBR_EL2",
    "MSR.VTCR_EL2",
    "MSR.TTBR0_EL2",
    "MSR.TCR_EL2",
    "MSR.MAIR_EL2",
    "MSR.SCTLR_EL2",
];

/// The names of the forms that are compared: those of the list, and those that only the image has.
pub fn forms(program: &Program, manifest: &Manifest) -> BTreeSet<String> {
    let in_image = program.code().values();
    let names = in_image.filter_map(|instruction| instruction.name.as_deref());
    let watched = names.filter(|name| is_watched(name)).map(str::to_owned);
    watched.chain(manifest.approved.keys().cloned()).collect()
}

/// What is wrong about this form, if something is.
pub fn check(program: &Program, manifest: &Manifest, form: &str) -> Option<String> {
    let none = Vec::new();
    let places = manifest.approved.get(form).unwrap_or(&none);
    let mut used = BTreeSet::new();
    for (address, instruction) in program.code() {
        if instruction.name.as_deref() != Some(form) {
            continue;
        }
        let mut approved = places
            .iter()
            .filter(|place| instruction.places.contains(place))
            .peekable();
        if approved.peek().is_none() {
            let inlined = instruction.places.join(", in ");
            return Some(format!("not approved at {address:#x}: {inlined}"));
        }
        used.extend(approved);
    }
    let unused: Vec<&str> = places
        .iter()
        .filter(|place| !used.contains(place))
        .map(String::as_str)
        .collect();
    (!unused.is_empty()).then(|| format!("nothing in the image has it in {}", unused.join(", ")))
}

/// The instructions whose loss `check` would see: a listed place has no other of that form.
pub fn noticed(program: &Program, manifest: &Manifest) -> BTreeSet<u64> {
    let mut users: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for (address, instruction) in program.code() {
        let Some(name) = instruction.name.as_deref() else {
            continue;
        };
        let places = manifest.approved.get(name).into_iter().flatten();
        for place in places.filter(|place| instruction.places.contains(place)) {
            users.entry((name, place)).or_default().push(*address);
        }
    }
    let alone = users.into_values().filter(|users| users.len() == 1);
    alone.flatten().collect()
}

/// Is it an instruction that has to be on the list?
pub fn is_watched(name: &str) -> bool {
    let first = name.split('.').next().unwrap_or(name);
    WATCHED.contains(&first) || REGISTERS.contains(&name)
}
