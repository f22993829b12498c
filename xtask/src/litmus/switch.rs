//! Where a `BR` of a compiled `match` goes: its table of distances, read back.
//!
//! The compiler loads an entry of 1, 2 or 4 bytes from a table, adds it (shifted, for the smaller
//! ones) to a base, and jumps there. Table and base are constants made by ADR or ADRP and ADD a few
//! instructions before. A table is as long as a comparison of the index says, if all ways to the jump
//! come by it (CMP and B.HI, with nothing between that writes the index or is led to by others). Else it ends
//! where the next table begins or an entry leads out of the function: more ways than there are, never fewer.

use std::collections::{BTreeMap, BTreeSet};

use crate::litmus::instruction::Flow;
use crate::litmus::program::{Function, Program};

/// How far before the jump its constants are looked for.
const LOOK_BACK: u64 = 24;
/// No `match` of the engine's has more arms.
const LONGEST: u64 = 512;

/// One jump's table.
struct Table {
    jump: u64,
    at: u64,
    entry_bytes: u64,
    base: u64,
    shift: u32,
    bound: Option<Bound>,
}

/// A comparison that the index comes by.
#[derive(Clone, Copy)]
struct Bound {
    /// Of the comparison.
    at: u64,
    register: usize,
    /// The index at most.
    most: u64,
}

/// The targets of every jump that is understood.
pub fn find_all(
    program: &Program,
    memory: impl Fn(u64) -> Option<[u8; 4]>,
) -> BTreeMap<u64, Vec<u64>> {
    let jumps = program.code().keys().copied();
    let tables: Vec<Table> = jumps
        .filter(|&address| program.flow(address) == Flow::JumpRegister)
        .filter_map(|jump| table_of(program, jump))
        .collect();
    let starts: BTreeSet<u64> = tables.iter().map(|table| table.at).collect();
    let branches = program
        .code()
        .keys()
        .filter_map(|&at| match program.flow(at) {
            Flow::Jump(to) | Flow::Branch(to) | Flow::Call(to) => Some(to),
            _ => None,
        });
    let mut led_to: BTreeSet<u64> = branches.collect();
    loop {
        // A bound holds if nobody is led to behind its comparison. What the tables themselves lead to is read with
        // the bounds that held so far: the first way past a comparison would come from a jump whose bound does hold.
        let targets = |table: &Table| {
            let is_behind = |bound: &Bound| bound.at + 4..=table.jump;
            let holds = |bound: &Bound| led_to.range(is_behind(bound)).next().is_none();
            let bound = table.bound.filter(holds);
            let entries = bound.map_or(LONGEST, |bound| bound.most + 1);
            let function = program.function_at(table.jump)?;
            let targets = targets_of(table, function, &starts, entries, &memory);
            Some((table.jump, targets))
        };
        let all: BTreeMap<u64, Vec<u64>> = tables.iter().filter_map(targets).collect();
        let before = led_to.len();
        led_to.extend(all.values().flatten());
        if led_to.len() == before {
            return all;
        }
    }
}

fn targets_of(
    table: &Table,
    function: &Function,
    starts: &BTreeSet<u64>,
    entries: u64,
    memory: &impl Fn(u64) -> Option<[u8; 4]>,
) -> Vec<u64> {
    let mut targets = BTreeSet::new();
    for index in 0..entries.min(LONGEST) {
        let at = table.at + index * table.entry_bytes;
        if index > 0 && starts.contains(&at) {
            break;
        }
        let Some(word) = memory(at).map(u32::from_le_bytes) else {
            break;
        };
        let distance = match table.entry_bytes {
            1 => i64::from(word as u8),
            2 => i64::from(word as u16),
            _ => i64::from(word as i32),
        };
        let target = table.base.wrapping_add_signed(distance << table.shift);
        if !(function.start..function.end).contains(&target) || !target.is_multiple_of(4) {
            break;
        }
        targets.insert(target);
    }
    targets.into_iter().collect()
}

/// Follows constants through the instructions before `jump`.
fn table_of(program: &Program, jump: u64) -> Option<Table> {
    let mut constants: [Option<u64>; 32] = [None; 32];
    // Register with a loaded entry: its table, the entry's size, and what the index was at most.
    let mut loaded: Option<(usize, u64, u64, Option<Bound>)> = None;
    let mut sum: Option<(usize, Table)> = None;
    let mut bound: Option<Bound> = None;
    for address in (jump.saturating_sub(LOOK_BACK * 4)..jump).step_by(4) {
        let Some(instruction) = program.code().get(&address) else {
            continue;
        };
        let word = instruction.word;
        let register = |shift: u32| (word >> shift & 31) as usize;
        let (to, from) = (register(0), register(5));
        let page_or_byte = |word: u32| {
            let immediate = (word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3;
            let immediate = i64::from((immediate << 11) as i32 >> 11);
            match word >> 31 {
                0 => address.wrapping_add_signed(immediate),
                _ => (address & !0xfff).wrapping_add_signed(immediate << 12),
            }
        };
        let mut made = None;
        if let Some(found) = bound_at(program, address) {
            bound = Some(found);
            continue;
        }
        if word & 0x1f00_0000 == 0x1000_0000 {
            made = Some(page_or_byte(word));
        } else if word & 0xffc0_0000 == 0x9100_0000 {
            made = constants[from].map(|value| value + u64::from(word >> 10 & 0xfff));
        } else if let Some(bytes) = entry_load(word) {
            if let Some(at) = constants[from] {
                let bound = bound.filter(|bound| bound.register == register(16));
                loaded = Some((to, at, bytes, bound));
            }
        } else if word & 0xff20_0000 == 0x8b00_0000 {
            let shift = word >> 10 & 63;
            if let (Some(base), Some((index, at, entry_bytes, bound))) = (constants[from], loaded)
                && index == register(16)
            {
                let table = Table {
                    jump,
                    at,
                    entry_bytes,
                    base,
                    shift,
                    bound,
                };
                sum = Some((to, table));
            }
        }
        // An instruction that is none of these may write its lowest field's register or not; taking
        // a constant for lost costs at most an answer.
        constants[to] = made;
        bound = bound.filter(|bound| keeps(program, address, bound.register));
    }
    let target = program.code().get(&jump)?.word >> 5 & 31;
    let (register, table) = sum?;
    (register == target as usize).then_some(table)
}

/// The comparison at `address` of a register with a number, if it is followed by a branch where it is higher.
fn bound_at(program: &Program, address: u64) -> Option<Bound> {
    let word = program.code().get(&address)?.word;
    let next = program.code().get(&(address + 4))?.word;
    // CMP is SUBS of an immediate, not shifted, to no register.
    let is_comparison = word & 0x7fc0_001f == 0x7100_001f;
    (is_comparison && is_branch_if_higher(next)).then(|| Bound {
        at: address,
        register: (word >> 5 & 31) as usize,
        most: u64::from(word >> 10 & 0xfff),
    })
}

/// Whether the instruction at `address` surely leaves that register as it was, and goes on to the next, or is the
/// comparison's branch.
fn keeps(program: &Program, address: u64, register: usize) -> bool {
    let Some(instruction) = program.code().get(&address) else {
        return false;
    };
    let word = instruction.word;
    if is_branch_if_higher(word) {
        return true;
    }
    // A load may write two registers, and the one with the address.
    let is_memory = word & 0x0a00_0000 == 0x0800_0000;
    let fields: &[u32] = if is_memory { &[0, 5, 10] } else { &[0] };
    let may_write = |&shift: &u32| (word >> shift & 31) as usize == register;
    program.flow(address) == Flow::Next && !fields.iter().any(may_write)
}

/// B.HI.
fn is_branch_if_higher(word: u32) -> bool {
    word & 0xff00_001f == 0x5400_0008
}

/// The bytes that a load with register offset loads, for tables' entries.
fn entry_load(word: u32) -> Option<u64> {
    match word & 0xffe0_0c00 {
        0x3860_0800 => Some(1),
        0x7860_0800 => Some(2),
        0xb8a0_0800 | 0xb860_0800 => Some(4),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_distances_is_read_up_to_the_first_that_leads_out() {
        let f = [
            0x1000_080b, // adr x11, 0x1100
            0x1000_0009, // adr x9, .
            0xb8a8_796a, // ldrsw x10, [x11, x8, lsl #2]
            0x8b0a_0129, // add x9, x9, x10
            0xd61f_0120, // br x9
            0xd65f_03c0, // ret
            0xd65f_03c0, // ret
        ];
        let distances: [i32; 4] = [16, 20, 4096, 16];
        let memory = |address: u64| {
            let index = address.checked_sub(0x1100)? / 4;
            distances.get(index as usize).map(|it| it.to_le_bytes())
        };
        let program = Program::of(&[("f", 0x1000, &f)], memory);
        assert_eq!(program.switch_at(0x1010), Some(&[0x1014, 0x1018][..]));
        // The index is 0 at most, and nobody comes by another way.
        let compared = [
            0xf100_011f,
            0x5400_00e8,
            f[0],
            f[1],
            f[2],
            f[3],
            f[4],
            f[5],
            f[6],
            f[6],
        ];
        let switch = |code: [u32; 10]| {
            let program = Program::of(&[("h", 0xff8, &code)], memory);
            program.switch_at(0x1010).map(<[u64]>::to_vec)
        };
        assert_eq!(switch(compared), Some(vec![0x1014]));
        let mut changed = compared;
        changed[0] = 0xf100_051f; // cmp x8, #1
        assert_eq!(switch(changed), Some(vec![0x1014, 0x1018]));
        for (at, word) in [
            (0, 0xf100_013f), // cmp x9, #0: another register
            (1, 0x5400_00e9), // b.ls
            (9, 0x17ff_fff9), // b 0x1000: to behind the comparison
        ] {
            let mut changed = compared;
            changed[at] = word;
            assert_eq!(switch(changed), Some(vec![0x1014, 0x1018]), "{at}");
        }
        // Without the base there is nothing to tell.
        let g = [0xd503_201f, f[1], f[2], f[3], f[4]];
        assert_eq!(Program::of(&[("g", 0, &g)], memory).switch_at(16), None);
    }
}
