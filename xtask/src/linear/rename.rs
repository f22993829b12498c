//! What the image noted of one team's round, calls and accesses, as a history: handles, pages and cores get the numbers
//! that a machine of the team's own would give them.
//!
//! Invariants: two things that are told apart there have two numbers here; a handle that is told twice is an error. A
//! time is doubled, so that what ended in the tick in which something else began may have been after it.

use std::collections::BTreeMap;
use std::fmt::Write;

use abi::{Call, ExitReason};
use anyhow::{Context, Result, bail, ensure};

use crate::linear::note::{Invocation, Note, What, words};
use crate::linear::runs::{Guest, When};

/// Pages of a block.
const BLOCK: u64 = 512;
/// vCPUs of a round at most.
const VCPUS: usize = 64;
/// The first generation of a handle.
const GENERATION: u64 = 1 << 16;

/// A team as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    ipa_bits: u64,
    /// Pages of each block, the host's when a round begins.
    pages: u64,
    cpus: Vec<u64>,
    lists: Vec<u64>,
    /// Where a guest's program is, in a page behind these.
    program: u64,
    blocks: Vec<u64>,
}

/// The handles that were told, and what they are in the history.
#[derive(Default)]
struct Handles {
    vms: BTreeMap<u64, u64>,
    vcpus: BTreeMap<u64, u64>,
}

impl Team {
    /// Number and team of a line behind its mark; `cores` of them are one.
    pub fn parse(line: &str, cores: usize) -> Result<(u64, Self)> {
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next().with_context(|| format!("a team: {line}"));
        let (number, ipa_bits, pages) = (next()?.parse()?, next()?.parse()?, next()?.parse()?);
        let rest = words(next()?)?;
        ensure!(rest.len() > 2 * cores + 1, "a team: {line}");
        Ok((
            number,
            Self {
                ipa_bits,
                pages,
                cpus: rest[..cores].to_vec(),
                lists: rest[cores..2 * cores].to_vec(),
                program: rest[2 * cores],
                blocks: rest[2 * cores + 1..].to_vec(),
            },
        ))
    }

    /// The machine that the team has to itself.
    fn head(&self) -> String {
        let (cores, blocks) = (self.cpus.len(), self.blocks.len() as u64);
        let words = (blocks + 1) * BLOCK;
        let mut text = format!(
            "M {cores} 2 {VCPUS} {} {BLOCK} {words} {cores}\ng {BLOCK}\nj\n",
            self.ipa_bits
        );
        for block in 0..blocks {
            let _ = writeln!(text, "p {} {} H 1", block * BLOCK, self.pages);
        }
        let behind = self.lists.len() + 1;
        let _ = writeln!(text, "p {} {behind} H 1", blocks * BLOCK);
        text
    }

    /// The address that a page has there; every other address as it is.
    fn address(&self, raw: u64) -> u64 {
        let bytes = BLOCK << 12;
        if let Some(block) = self
            .blocks
            .iter()
            .position(|at| (*at..at + bytes).contains(&raw))
        {
            return (1 + block as u64) * bytes + (raw - self.blocks[block]);
        }
        let mut behind = self.lists.iter().chain([&self.program]);
        match behind.position(|at| *at == raw) {
            Some(list) => (1 + self.blocks.len() as u64) * bytes + ((list as u64) << 12),
            None => raw,
        }
    }

    /// The word of a page of the team's there, as page and place in it.
    fn word(&self, raw: u64) -> Result<String> {
        let address = self.address(raw);
        ensure!(
            address != raw && address.is_multiple_of(8),
            "{raw:#x} is no word of the team's"
        );
        Ok(format!("{} {}", address >> 12, (address & 0xfff) / 8))
    }

    /// The history of these notes.
    pub fn history(&self, notes: &[Note]) -> Result<String> {
        let handles = Handles::of(notes)?;
        let mut guest = handles.guest(notes)?;
        let mut text = self.head();
        for note in notes {
            let seat = note.seat;
            let (begun, ended) = (2 * note.begun, 2 * note.ended + 1);
            let what = match &note.what {
                What::Call(noted) => {
                    let mut call = noted.clone();
                    self.rename(&mut call, &handles)?;
                    let when = When { seat, begun, ended };
                    if noted.call() == Some(Call::CpuRun) {
                        let guest = guest.as_mut().context("CPU_RUN without a guest")?;
                        text.push_str(&guest.run(noted, &call, when)?);
                        continue;
                    }
                    if noted.call() == Some(Call::VcpuRespond) && noted.told[0] == 0 {
                        let guest = guest.as_mut().context("an answer without a guest")?;
                        guest.answered(noted)?;
                    }
                    let _ = writeln!(text, "c {when}{call}");
                    continue;
                }
                What::Load { at, found } => match found {
                    Some(found) => format!("{} load {found:#x}", self.word(*at)?),
                    None => format!("{} load denied", self.word(*at)?),
                },
                What::Store { at, value, is_done } => {
                    let denied = if *is_done { "" } else { " denied" };
                    format!("{} store {value:#x}{denied}", self.word(*at)?)
                }
            };
            let _ = writeln!(text, "a {seat} {begun} {ended} {what}");
        }
        Ok(text)
    }

    fn rename(&self, note: &mut Invocation, Handles { vms, vcpus }: &Handles) -> Result<()> {
        let call = note.call().context("a call")?;
        let handle = |known: &BTreeMap<u64, u64>, raw: &mut u64| {
            *raw = known.get(raw).copied().unwrap_or(0);
        };
        match call {
            Call::VmCreate => handle(vms, &mut note.told[1]),
            Call::VmMap | Call::VmLend | Call::VmMapList => {
                handle(vms, &mut note.x[1]);
                note.x[2] = self.address(note.x[2]);
                for entry in note.list.chunks_mut(2) {
                    entry[0] = self.address(entry[0]);
                }
            }
            Call::VmUnlend | Call::VmStart | Call::VmDestroy | Call::VmReclaim => {
                handle(vms, &mut note.x[1]);
            }
            Call::VcpuCreate => {
                handle(vms, &mut note.x[1]);
                handle(vcpus, &mut note.told[1]);
            }
            Call::VcpuEnqueue => {
                handle(vcpus, &mut note.x[1]);
                let core = self.cpus.iter().position(|cpu| *cpu == note.x[2]);
                note.x[2] = core.context("a core of the team")? as u64;
            }
            Call::CpuRun => {
                let is_home = note.exit() == Some(ExitReason::PageRelinquished);
                let [_, _, vcpu, _, at, ..] = note.told.as_mut_slice() else {
                    bail!("CPU_RUN tells more");
                };
                handle(vcpus, vcpu);
                if is_home {
                    *at = self.address(*at);
                }
            }
            Call::VcpuDequeue | Call::VcpuInject | Call::VcpuRespond => {
                handle(vcpus, &mut note.x[1])
            }
            Call::PageInfo | Call::EngineDonate => note.x[1] = self.address(note.x[1]),
            Call::EngineReclaim if note.told[0] == 0 => {
                let count = note.told[1] as usize;
                let pages = note.told.get_mut(2..2 + count).context("pages came home")?;
                for page in pages {
                    let raw = *page;
                    *page = self.address(raw);
                    ensure!(*page != raw, "{raw:#x} came home, which is not the team's");
                }
            }
            Call::EngineReclaim => {}
            other => bail!("{} is not noted", other.name()),
        }
        Ok(())
    }
}

impl Handles {
    fn of(notes: &[Note]) -> Result<Self> {
        let mut all = Self::default();
        for call in notes.iter().filter_map(Note::call) {
            let known = match call.call() {
                Some(Call::VmCreate) if call.told[0] == 0 => &mut all.vms,
                Some(Call::VcpuCreate) if call.told[0] == 0 => &mut all.vcpus,
                _ => continue,
            };
            let new = known.len() as u64 | GENERATION;
            let old = known.insert(call.told[1], new);
            ensure!(
                old.is_none(),
                "the handle {:#x} is told twice",
                call.told[1]
            );
        }
        ensure!(all.vcpus.len() <= VCPUS, "{} vCPUs", all.vcpus.len());
        Ok(all)
    }

    /// The vCPU that is run in a round where CPU_RUN is called: it is the only one of a VM that was started.
    fn guest(&self, notes: &[Note]) -> Result<Option<Guest>> {
        let calls = || notes.iter().filter_map(Note::call);
        if !calls().any(|call| call.call() == Some(Call::CpuRun)) {
            return Ok(None);
        }
        let done =
            |wanted| calls().filter(move |call| call.call() == Some(wanted) && call.told[0] == 0);
        let is_started = |vm| done(Call::VmStart).any(|start| start.x[1] == vm);
        let mut guests = done(Call::VcpuCreate).filter(|create| is_started(create.x[1]));
        let (Some(create), None) = (guests.next(), guests.next()) else {
            bail!("CPU_RUN in a round that has not one guest");
        };
        let vm = self.vms.get(&create.x[1]).context("a guest's VM")?;
        let slot = vm & (GENERATION - 1);
        Ok(Some(Guest::new(create.told[1], slot, create.x[2])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team() -> Team {
        let line = "7 40 2 10 11 5000 6000 7000 40000000 80000000";
        let (number, team) = Team::parse(line, 2).unwrap();
        assert_eq!(number, 7);
        team
    }

    fn note(line: &str) -> Note {
        Note::parse(line).unwrap().1
    }

    #[test]
    fn pages_and_handles_get_numbers_of_their_own() {
        let team = team();
        assert_eq!(team.address(0x4000_1000), 0x20_1000);
        assert_eq!(team.address(0x8000_0000), 0x40_0000);
        assert_eq!(team.address(0x6000), 0x60_1000);
        assert_eq!(team.address(0x7000), 0x60_2000);
        assert_eq!(team.address(8), 8);
        let (create, map) = (Call::VmCreate.function_id(), Call::VmMap.function_id());
        let notes = [
            note(&format!(
                "7 0 0 10 11 call| {create:x} 1 2 3 4 0 0 | 0 5000c 0 0 |"
            )),
            note(&format!(
                "7 0 1 12 13 call| {map:x} 5000c 40001000 3 1 7 0 | 0 1 0 0 |"
            )),
        ];
        let history = team.history(&notes).unwrap();
        let calls: Vec<&str> = history
            .lines()
            .filter(|line| line.starts_with('c'))
            .collect();
        assert!(calls[0].ends_with("| 0x0 0x10000 0x0 0x0"), "{}", calls[0]);
        assert!(calls[1].starts_with("c 1 24 27 "), "{}", calls[1]);
        assert!(calls[1].contains(" 0x10000 0x201000 0x3 "), "{}", calls[1]);
    }

    #[test]
    fn an_access_names_page_and_word() {
        let team = team();
        let lines = [
            ("load| 40001008 | 5", "513 1 load 0x5"),
            ("load| 80000ff8 |", "1024 511 load denied"),
            ("store| 40000000 7 | 1", "512 0 store 0x7"),
            ("store| 40000000 7 | 0", "512 0 store 0x7 denied"),
        ];
        for (line, told) in lines {
            let history = team.history(&[note(&format!("7 0 1 10 11 {line}"))]);
            let history = history.unwrap();
            let last = history.lines().last();
            assert_eq!(last, Some(format!("a 1 20 23 {told}").as_str()));
        }
        for nowhere in ["load| 8 | 5", "load| 40001001 | 5"] {
            let note = note(&format!("7 0 1 10 11 {nowhere}"));
            assert!(team.history(&[note]).is_err(), "{nowhere}");
        }
    }

    #[test]
    fn a_handle_that_is_told_twice_is_no_history() {
        let create = Call::VmCreate.function_id();
        let line = format!("7 0 0 10 11 call| {create:x} 1 2 3 4 0 0 | 0 5000c 0 0 |");
        assert!(team().history(&[note(&line), note(&line)]).is_err());
    }

    #[test]
    fn what_is_cut_off_is_no_team() {
        assert!(Team::parse("7 40", 3).is_err());
    }
}
