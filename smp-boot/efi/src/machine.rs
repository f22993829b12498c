//! What a machine's ACPI tables say together, as far as the engine and its host need it.
//!
//! PCI's configuration space is found, but neither its windows nor the wiring of its interrupts: these
//! are in AML, which nobody here interprets.

use alloc::vec::Vec;

use smp_boot::PaRange;
use smp_boot::machine::MAX_REDISTRIBUTORS;

use crate::Refusal;
use crate::acpi::madt::{self, Entry};
use crate::acpi::spcr::{self, Uart};
use crate::acpi::{FADT, GTDT, MADT, MCFG, PhysicalMemory, SPCR, Tables};
use crate::acpi::{fadt, gtdt, mcfg};

/// Bytes of a distributor's registers (IHI0069 12.8).
pub const DISTRIBUTOR_BYTES: u64 = 1 << 16;
/// Bytes of an interrupt translation service's registers: control, and translation.
pub const ITS_BYTES: u64 = 2 << 16;
/// Bytes of one core's redistributor frames, without and with those of GICv4.
const FRAMES_V3: u64 = 2 << 16;
const FRAMES_V4: u64 = 4 << 16;

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// MPIDR's affinity fields of each core that can be used.
    pub cores: Vec<u64>,
    /// Cores that the table names and that cannot be used now.
    pub unusable_cores: usize,
    /// The distributor's registers.
    pub distributor: u64,
    /// Regions of redistributors.
    pub redistributors: Vec<PaRange>,
    /// Bases of interrupt translation services.
    pub its: Vec<u64>,
    /// INTID of the GIC's maintenance interrupt.
    pub maintenance: Option<u32>,
    /// The timers' interrupts.
    pub timers: gtdt::Timers,
    /// The console, if it is one that can be written to.
    pub uart: Option<Uart>,
    /// PCI's configuration space.
    pub ecam: Vec<mcfg::Ecam>,
}

impl Machine {
    /// Reads all tables that matter.
    pub fn read<M: PhysicalMemory>(tables: &Tables<'_, M>) -> Result<Self, Refusal> {
        match fadt::psci(tables.require(FADT)?) {
            fadt::Psci::Smc => {}
            fadt::Psci::Hvc => return Err(Refusal::PsciByHvc),
            fadt::Psci::Absent => return Err(Refusal::NoPsci),
        }
        let mut machine = read_madt(tables.require(MADT)?)?;
        machine.timers = gtdt::read(tables.require(GTDT)?);
        // Without a console, or without PCI, the machine can still be run.
        machine.uart = tables.get(SPCR).ok().flatten().and_then(spcr::read);
        if let Ok(Some(table)) = tables.get(MCFG) {
            machine.ecam = mcfg::read(table).collect();
        }
        Ok(machine)
    }
}

fn read_madt(table: &[u8]) -> Result<Machine, Refusal> {
    let mut cores = Vec::new();
    let mut distributor = None;
    let mut regions = Vec::new();
    let mut its = Vec::new();
    for entry in madt::entries(table) {
        match entry {
            Entry::Core(core) => cores.push(core),
            Entry::Distributor(it) => distributor = Some(it),
            Entry::Redistributors(base, bytes) => regions.extend(PaRange::new(base, bytes)),
            Entry::Its(base) => its.push(base),
        }
    }
    let distributor = distributor.ok_or(Refusal::NoGicV3)?;
    let frames = match distributor.version {
        0 | 3 => FRAMES_V3,
        4 => FRAMES_V4,
        _ => return Err(Refusal::NoGicV3),
    };
    let (cores, unusable): (Vec<_>, Vec<_>) = cores.into_iter().partition(|core| core.is_enabled);
    if regions.is_empty() {
        if unusable.iter().any(|core| core.redistributor != 0) {
            // It may not answer, so that nobody may look at it, and is not the host's either.
            return Err(Refusal::UnusableRedistributor);
        }
        for core in &cores {
            let own = PaRange::new(core.redistributor, frames);
            regions.push(
                own.filter(|it| it.start() != 0)
                    .ok_or(Refusal::NoRedistributor)?,
            );
        }
        regions.sort_unstable();
        // Each stays a region of its own while that goes: one that is the last of its kind says so.
        if regions.len() > MAX_REDISTRIBUTORS {
            regions = join_touching(&regions);
        }
    }
    if regions.is_empty() {
        return Err(Refusal::NoGicV3);
    }
    let maintenance = cores.first().map(|core| core.maintenance);
    Ok(Machine {
        unusable_cores: unusable.len(),
        cores: cores.iter().map(|core| core.mpidr).collect(),
        distributor: distributor.base,
        redistributors: regions,
        its,
        maintenance: maintenance.filter(|intid| (16..32).contains(intid)),
        timers: gtdt::Timers::default(),
        uart: None,
        ecam: Vec::new(),
    })
}

/// Ascending ranges with those that touch or overlap made into one.
pub(crate) fn join_touching(ranges: &[PaRange]) -> Vec<PaRange> {
    let mut joined: Vec<PaRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start() <= last.end() => *last = last.hull(*range),
            _ => joined.push(*range),
        }
    }
    joined
}
