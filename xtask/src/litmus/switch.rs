//! Where a `BR` of a compiled `match` goes: its table of distances, read back.
//!
//! The compiler loads an entry of 1, 2 or 4 bytes from a table, adds it (shifted, for the smaller
//! ones) to a base, and jumps there. Table and base are constants made by ADR or ADRP and ADD a few
//! instructions before. A table's length is not in the code that is read here, so it ends where the
//! next table begins or an entry leads out of the function: more ways than there are, never fewer.

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
    let targets = |table: &Table| {
        let function = program.function_at(table.jump)?;
        Some((table.jump, targets_of(table, function, &starts, &memory)))
    };
    tables.iter().filter_map(targets).collect()
}

fn targets_of(
    table: &Table,
    function: &Function,
    starts: &BTreeSet<u64>,
    memory: &impl Fn(u64) -> Option<[u8; 4]>,
) -> Vec<u64> {
    let mut targets = BTreeSet::new();
    for index in 0..LONGEST {
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
    // Register with a loaded entry: its table and the entry's size.
    let mut loaded: Option<(usize, u64, u64)> = None;
    let mut sum: Option<(usize, Table)> = None;
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
        if word & 0x1f00_0000 == 0x1000_0000 {
            made = Some(page_or_byte(word));
        } else if word & 0xffc0_0000 == 0x9100_0000 {
            made = constants[from].map(|value| value + u64::from(word >> 10 & 0xfff));
        } else if let Some(bytes) = entry_load(word) {
            if let Some(at) = constants[from] {
                loaded = Some((to, at, bytes));
            }
        } else if word & 0xff20_0000 == 0x8b00_0000 {
            let shift = word >> 10 & 63;
            if let (Some(base), Some((index, at, entry_bytes))) = (constants[from], loaded)
                && index == register(16)
            {
                let table = Table {
                    jump,
                    at,
                    entry_bytes,
                    base,
                    shift,
                };
                sum = Some((to, table));
            }
        }
        // An instruction that is none of these may write its lowest field's register or not; taking
        // a constant for lost costs at most an answer.
        constants[to] = made;
    }
    let target = program.code().get(&jump)?.word >> 5 & 31;
    let (register, table) = sum?;
    (register == target as usize).then_some(table)
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
        // Without the base there is nothing to tell.
        let g = [0xd503_201f, f[1], f[2], f[3], f[4]];
        assert_eq!(Program::of(&[("g", 0, &g)], memory).switch_at(16), None);
    }
}
