//! Which functions' addresses the image takes: where a call through a pointer could lead at all.
//!
//! An address gets into a pointer by a relocation of the image's data (tables of a trait's methods), or by ADR, or
//! ADRP and ADD, in code. The image is linked to run anywhere, so there is no third way but arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use crate::litmus::program::Program;

/// By function: the functions and assembly labels whose addresses its code makes.
pub fn made(program: &Program) -> BTreeMap<u64, BTreeSet<u64>> {
    let mut made: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for function in program.functions() {
        let mut pages: [Option<u64>; 32] = [None; 32];
        for (&address, instruction) in program.code().range(function.start..function.end) {
            let word = instruction.word;
            let (to, from) = ((word & 31) as usize, (word >> 5 & 31) as usize);
            // A page that was made stays known: to take an address for made that is not costs an entry in a list.
            let (mut page, mut taken) = (pages[to], None);
            if word & 0x1f00_0000 == 0x1000_0000 {
                let value = relative(word, address);
                // ADRP is half of it.
                (page, taken) = match word >> 31 {
                    0 => (None, Some(value)),
                    _ => (Some(value), Some(value)),
                };
            } else if word & 0xffc0_0000 == 0x9100_0000 {
                taken = pages[from].map(|page| page + u64::from(word >> 10 & 0xfff));
            }
            pages[to] = page;
            let starts = taken.filter(|&at| starts_function(program, at));
            if let Some(at) = starts {
                made.entry(function.start).or_default().insert(at);
            }
        }
    }
    made
}

/// All functions whose addresses are taken.
pub fn taken(program: &Program, made: &BTreeMap<u64, BTreeSet<u64>>) -> BTreeSet<u64> {
    let by_data = program.relocated().iter().copied();
    let by_data = by_data.filter(|&at| program.code().contains_key(&at));
    let by_code = made.values().flatten().copied();
    by_data.chain(by_code).collect()
}

/// What ADR or ADRP makes.
fn relative(word: u32, address: u64) -> u64 {
    let immediate = (word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3;
    let immediate = i64::from((immediate << 11) as i32 >> 11);
    match word >> 31 {
        0 => address.wrapping_add_signed(immediate),
        _ => (address & !0xfff).wrapping_add_signed(immediate << 12),
    }
}

fn starts_function(program: &Program, at: u64) -> bool {
    program.code().contains_key(&at) && program.function_at(at).is_some_and(|it| it.start == at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RET: u32 = 0xd65f_03c0;

    #[test]
    fn addresses_are_taken_by_adr_and_by_adrp_and_add() {
        let f = [
            0x1000_0100, // adr x0, 0x1020
            0x1000_0021, // adr x1, 0x1008: no function
            0xb000_0002, // adrp x2, 0x2000
            0x9104_0043, // add x3, x2, #0x100
            RET,
        ];
        let functions: [(&str, u64, &[u32]); 3] = [
            ("f", 0x1000, &f),
            ("g", 0x1020, &[RET]),
            ("h", 0x2100, &[RET]),
        ];
        let program = Program::of(&functions, |_| None);
        let made = made(&program);
        assert_eq!(
            made,
            BTreeMap::from([(0x1000, BTreeSet::from([0x1020, 0x2100]))])
        );
        assert_eq!(taken(&program, &made), BTreeSet::from([0x1020, 0x2100]));
    }
}
