//! What the engine's calls and its machine's events are called in a story.
//!
//! Invariants: values are hexadecimal; a page of the machine's is written `+0x3`, counted from the
//! first one, physical and intermediate alike; so is an address where a call has one.

use crate::world::RAM_BASE;
use abi::{Call, Status};
use engine::platform::{Barrier, EntryAt, Tlbi};
use engine::sim::tables::{Descriptor, Place};
use engine::sim::tlb::{Kind, Leftover, Translation};
use std::collections::{BTreeMap, BTreeSet};

/// Pages that count as the machine's.
const PAGES: u64 = 1 << 16;

/// A page.
pub fn page(page: u64) -> String {
    match page.checked_sub(RAM_BASE) {
        Some(offset) if offset < PAGES => format!("+{offset:#x}"),
        _ => format!("{page:#x}"),
    }
}

/// Which arguments of a call are addresses.
fn addresses(call: Call) -> &'static [usize] {
    match call {
        Call::EngineDonate | Call::PageInfo | Call::PagePoison => &[0],
        Call::VmMap | Call::VmLend => &[1, 2],
        Call::VmMapList | Call::VmUnlend => &[1],
        Call::VmCreate => &[2, 4],
        Call::VcpuCreate => &[2],
        _ => &[],
    }
}

/// Registers up to the last that is not zero.
fn registers(values: &[u64], addresses: &[usize]) -> String {
    let used = values.iter().rposition(|value| *value != 0);
    let values = &values[..used.map_or(0, |last| last + 1)];
    let names = values.iter().enumerate().map(|(index, value)| {
        match addresses.contains(&index) && value & 0xfff == 0 {
            true => page(value >> 12),
            false => format!("{value:#x}"),
        }
    });
    names.collect::<Vec<_>>().join(", ")
}

/// A call, as it is made.
pub fn call(call: Call, arguments: &[u64]) -> String {
    format!("{call:?}({})", registers(arguments, addresses(call)))
}

/// What became of it.
pub fn result(call: Call, status: Status, results: &[u64]) -> String {
    match status {
        Status::Success => format!("{call:?} returns ({})", registers(results, &[])),
        refused => format!("{call:?} is refused: {refused:?}"),
    }
}

/// A look at an entry, by the place of its table, if that stands anywhere.
pub fn look(place: Option<Place>, at: EntryAt, value: u64) -> String {
    format!("looks at {}: {}", entry(place, at), said(place, value))
}

/// A change of an entry.
pub fn change(place: Option<Place>, at: EntryAt, old: u64, new: u64) -> String {
    let (old, new) = (said(place, old), said(place, new));
    format!("changes {}: {old} becomes {new}", entry(place, at))
}

fn entry(place: Option<Place>, at: EntryAt) -> String {
    let (index, table) = (at.index, page(at.table.raw()));
    match place {
        None => format!("entry {index:#x} of {table}, no table yet"),
        Some(place) => format!(
            "entry {index:#x} of {table} ({}, level {}, from {})",
            party(place.vmid),
            place.level,
            page(place.page_of(index))
        ),
    }
}

fn said(place: Option<Place>, raw: u64) -> String {
    match place {
        None => format!("{raw:#x}"),
        Some(place) => descriptor(raw, place.level),
    }
}

fn descriptor(raw: u64, level: u8) -> String {
    match Descriptor::read(raw, level) {
        Descriptor::Invalid if raw == 0 => "empty".into(),
        Descriptor::Invalid => format!("mark {raw:#x}"),
        Descriptor::Table(next) => format!("table {}", page(next)),
        Descriptor::Leaf {
            page: first,
            read,
            write,
            execute,
        } => {
            let rights = rights(read, write, execute);
            format!("leaf to {} {rights}", page(first))
        }
    }
}

fn rights(read: bool, write: bool, execute: bool) -> String {
    let letter = |is_there, letter| if is_there { letter } else { '-' };
    [letter(read, 'r'), letter(write, 'w'), letter(execute, 'x')]
        .iter()
        .collect()
}

/// Who has a VMID.
pub fn party(vmid: u16) -> String {
    match vmid {
        engine::vm::HOST_VMID => "the host".into(),
        vmid => format!("VMID {vmid}"),
    }
}

/// A translation.
fn translation(this: &Translation) -> String {
    let pages = match this.pages {
        1 => String::new(),
        pages => format!(", {pages:#x} pages"),
    };
    format!(
        "{}'s {} to {}{pages}",
        party(this.vmid),
        page(this.ipa_page),
        page(this.page)
    )
}

/// An invalidation under a VMID.
pub fn tlbi(op: Tlbi, vmid: u16) -> String {
    let who = party(vmid);
    match op {
        Tlbi::Ipas2e1is { ipa_page } => format!("TLBI IPAS2E1IS {} of {who}", page(ipa_page)),
        Tlbi::Ripas2e1is { ipa_page, pages } => {
            format!(
                "TLBI RIPAS2E1IS {pages:#x} pages from {} of {who}",
                page(ipa_page)
            )
        }
        Tlbi::Vmalle1is => format!("TLBI VMALLE1IS of {who}"),
        Tlbi::Vmalle1 => format!("TLBI VMALLE1 of {who}"),
        Tlbi::Vmalls12e1is => format!("TLBI VMALLS12E1IS of {who}"),
        Tlbi::Alle1is => "TLBI ALLE1IS".into(),
    }
}

/// A barrier, and what of the TLBs' leftovers changed with it: each with its core.
pub fn barrier(
    barrier: Barrier,
    before: Option<Vec<(usize, Leftover)>>,
    after: Vec<(usize, Leftover)>,
) -> String {
    let name = match barrier {
        Barrier::DsbIshst => "DSB ISHST",
        Barrier::DsbIsh => "DSB ISH",
        Barrier::DsbNsh => "DSB NSH",
        Barrier::Isb => "ISB",
    };
    name.to_owned() + &completed(&before.unwrap_or_default(), &after)
}

fn completed(before: &[(usize, Leftover)], after: &[(usize, Leftover)]) -> String {
    let (before, after) = (by_entry(before), by_entry(after));
    let missing = |from: &ByEntry, other: &ByEntry| {
        let names = from.iter().filter_map(|(entry, cores)| {
            let kept = other.get(entry);
            let gone = cores
                .iter()
                .filter(|core| kept.is_none_or(|kept| !kept.contains(core)));
            let gone: Vec<String> = gone.map(usize::to_string).collect();
            (!gone.is_empty()).then(|| format!("{entry} (core {})", gone.join(", ")))
        });
        names.collect::<Vec<_>>().join("; ")
    };
    let say = |what: &str, which: String| match which.is_empty() {
        true => String::new(),
        false => format!(", {what}: {which}"),
    };
    say("gone", missing(&before, &after)) + &say("left over", missing(&after, &before))
}

/// Leftovers, each with the cores that have it.
type ByEntry = BTreeMap<String, BTreeSet<usize>>;

fn by_entry(leftovers: &[(usize, Leftover)]) -> ByEntry {
    let mut entries = ByEntry::new();
    for (core, entry) in leftovers {
        let kind = match entry.kind {
            Kind::Stage2 => "stage 2",
            Kind::Combined => "combined",
        };
        let name = format!("{}, {kind}", translation(&entry.translation));
        entries.entry(name).or_default().insert(*core);
    }
    entries
}

/// Where an access landed.
pub fn access(ipa_page: u64, store: Option<u64>, seen: &[u64]) -> String {
    let what = match store {
        Some(value) => format!("store of {value:#x} to {}", page(ipa_page)),
        None => format!("load from {}", page(ipa_page)),
    };
    match (seen, store) {
        ([], _) => format!("{what} faults"),
        (_, Some(_)) => format!("{what} lands"),
        (seen, None) => format!("{what} may find {seen:x?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::stage2::descriptor::LAST_LEVEL;
    use ownership::Pfn;

    #[test]
    fn pages_are_counted_from_the_first() {
        assert_eq!(page(RAM_BASE + 3), "+0x3");
        assert_eq!(page(RAM_BASE - 1), format!("{:#x}", RAM_BASE - 1));
        let address = (RAM_BASE + 2) << 12;
        let arguments = [address, address, address | 1, 1, 0, 0];
        assert_eq!(
            call(Call::VmMap, &arguments),
            format!("VmMap({address:#x}, +0x2, {:#x}, 0x1)", address | 1)
        );
        assert_eq!(
            result(Call::VmMap, Status::Success, &[1, 0]),
            "VmMap returns (0x1)"
        );
        assert_eq!(
            result(Call::VmMap, Status::Busy, &[1]),
            "VmMap is refused: Busy"
        );
    }

    #[test]
    fn entries_say_whose_they_are_and_what_they_were() {
        let table = Pfn::from_raw(RAM_BASE + 5);
        let at = EntryAt { table, index: 1 };
        let place = Place {
            vmid: 1,
            level: LAST_LEVEL,
            ipa_page: RAM_BASE,
        };
        let leaf = (RAM_BASE + 2) << 12 | 1 << 10 | 0b01 << 6 | 0b11;
        assert_eq!(
            change(Some(place), at, leaf, 0x8),
            "changes entry 0x1 of +0x5 (VMID 1, level 3, from +0x1): leaf to +0x2 r-x becomes \
             mark 0x8"
        );
        assert_eq!(
            look(None, at, leaf),
            format!("looks at entry 0x1 of +0x5, no table yet: {leaf:#x}")
        );
    }

    #[test]
    fn a_barrier_says_what_went_and_what_is_left_over() {
        use engine::sim::tlb::Tlb;
        let mut tlb = Tlb::new(1, false);
        let entries = |tlb: &Tlb| {
            tlb.all_leftovers()
                .map(|(core, entry)| (core, *entry))
                .collect::<Vec<_>>()
        };
        let old = Translation {
            vmid: 0,
            ipa_page: RAM_BASE,
            pages: 1,
            page: RAM_BASE,
            write: true,
            execute: true,
        };
        tlb.retire(old);
        let before = entries(&tlb);
        tlb.issue(0, Tlbi::Ipas2e1is { ipa_page: RAM_BASE });
        tlb.complete(0, false);
        let after = entries(&tlb);
        assert_eq!(
            completed(&before, &after),
            ", gone: the host's +0x0 to +0x0, stage 2 (core 0)"
        );
        assert_eq!(completed(&after, &after), "");
        assert_eq!(
            completed(&[], &after),
            ", left over: the host's +0x0 to +0x0, combined (core 0)"
        );
    }

    #[test]
    fn accesses_say_how_they_ended() {
        assert_eq!(
            access(RAM_BASE, Some(7), &[]),
            "store of 0x7 to +0x0 faults"
        );
        assert_eq!(
            access(RAM_BASE, Some(7), &[7]),
            "store of 0x7 to +0x0 lands"
        );
        assert_eq!(
            access(RAM_BASE, None, &[0, 7]),
            "load from +0x0 may find [0, 7]"
        );
    }
}
