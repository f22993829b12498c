//! What the image noted of one team's round, calls and accesses, as a history: handles, pages and cores get the numbers
//! that a machine of the team's own would give them.
//!
//! Invariants: two things that are told apart there have two numbers here; a handle that is told twice is an error. A
//! time is doubled, so that what ended in the tick in which something else began may have been after it.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use abi::Call;
use anyhow::{Context, Result, bail, ensure};

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
    blocks: Vec<u64>,
}

/// What a core did, as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    seat: usize,
    begun: u64,
    ended: u64,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Call(Invocation),
    /// A load from there and what it found; nothing where it was denied.
    Load {
        at: u64,
        found: Option<u64>,
    },
    Store {
        at: u64,
        value: u64,
        is_done: bool,
    },
}

/// A call's registers before and after it, and the words of its list page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    x: Vec<u64>,
    told: Vec<u64>,
    list: Vec<u64>,
}

fn words(text: &str) -> Result<Vec<u64>> {
    let words = text.split_whitespace();
    words
        .map(|word| u64::from_str_radix(word, 16).with_context(|| word.to_owned()))
        .collect()
}

impl Team {
    /// Number and team of a line behind its mark; `cores` of them are one.
    pub fn parse(line: &str, cores: usize) -> Result<(u64, Self)> {
        let mut parts = line.splitn(4, ' ');
        let mut next = || parts.next().with_context(|| format!("a team: {line}"));
        let (number, ipa_bits, pages) = (next()?.parse()?, next()?.parse()?, next()?.parse()?);
        let rest = words(next()?)?;
        ensure!(rest.len() > 2 * cores, "a team: {line}");
        Ok((
            number,
            Self {
                ipa_bits,
                pages,
                cpus: rest[..cores].to_vec(),
                lists: rest[cores..2 * cores].to_vec(),
                blocks: rest[2 * cores..].to_vec(),
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
        let _ = writeln!(text, "p {} {} H 1", blocks * BLOCK, self.lists.len());
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
        match self.lists.iter().position(|at| *at == raw) {
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
        let (mut vms, mut vcpus) = (BTreeMap::new(), BTreeMap::new());
        for call in notes.iter().filter_map(Note::call) {
            let known = match call.function() {
                Some(Call::VmCreate) if call.told[0] == 0 => &mut vms,
                Some(Call::VcpuCreate) if call.told[0] == 0 => &mut vcpus,
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
        ensure!(vcpus.len() <= VCPUS, "{} vCPUs", vcpus.len());
        let mut text = self.head();
        for note in notes {
            let seat = note.seat;
            let (begun, ended) = (2 * note.begun, 2 * note.ended + 1);
            let what = match &note.what {
                What::Call(call) => {
                    let mut call = call.clone();
                    self.rename(&mut call, &vms, &vcpus)?;
                    let _ = writeln!(text, "c {seat} {begun} {ended}{call}");
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

    fn rename(
        &self,
        note: &mut Invocation,
        vms: &BTreeMap<u64, u64>,
        vcpus: &BTreeMap<u64, u64>,
    ) -> Result<()> {
        let call = note.function().context("a call")?;
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
            Call::VcpuDequeue | Call::VcpuInject => handle(vcpus, &mut note.x[1]),
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

impl Note {
    /// Team, round and note of a line behind its mark.
    pub fn parse(line: &str) -> Result<((u64, u64), Self)> {
        let mut parts = line.split('|');
        let head: Vec<&str> = parts
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let [team, round, seat, begun, ended, kind] = head.as_slice() else {
            bail!("a note: {line}");
        };
        let rest: Vec<Vec<u64>> = parts.map(words).collect::<Result<_>>()?;
        let what = match (*kind, rest.as_slice()) {
            ("call", [x, told, list]) if x.len() == 7 && !told.is_empty() => {
                What::Call(Invocation {
                    x: x.clone(),
                    told: told.clone(),
                    list: list.clone(),
                })
            }
            ("load", [at, found]) if at.len() == 1 && found.len() <= 1 => What::Load {
                at: at[0],
                found: found.first().copied(),
            },
            ("store", [what, is_done]) if what.len() == 2 && is_done.len() == 1 => What::Store {
                at: what[0],
                value: what[1],
                is_done: is_done[0] == 1,
            },
            _ => bail!("a note: {line}"),
        };
        let note = Self {
            seat: seat.parse()?,
            begun: begun.parse()?,
            ended: ended.parse()?,
            what,
        };
        Ok(((team.parse()?, round.parse()?), note))
    }

    /// What it was.
    pub fn what(&self) -> &What {
        &self.what
    }

    /// Its call, if it is one.
    pub fn call(&self) -> Option<&Invocation> {
        match &self.what {
            What::Call(call) => Some(call),
            _ => None,
        }
    }

    /// Was it under way while the other, of another core, was?
    pub fn overlaps(&self, other: &Self) -> bool {
        self.seat != other.seat && self.begun <= other.ended && other.begun <= self.ended
    }
}

impl Invocation {
    /// Which call it is.
    fn function(&self) -> Option<Call> {
        Call::from_function_id(self.x[0])
    }

    /// Its status.
    pub fn status(&self) -> Option<abi::Status> {
        abi::Status::from_raw(self.told[0] as i64)
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, words: &[u64]| {
            words.iter().try_for_each(|word| write!(f, " {word:#x}"))
        };
        join(f, &self.x)?;
        write!(f, " |")?;
        join(f, &self.told)?;
        if !self.list.is_empty() {
            write!(f, " |")?;
            join(f, &self.list)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team() -> Team {
        let line = "7 40 2 10 11 5000 6000 40000000 80000000";
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
    fn what_is_cut_off_is_no_note() {
        for line in [
            "7 0 0 10 call| 1 | 0 |",
            "7 0 0 10 11 call| 1 2 3 4 5 6 7",
            "7 0 0 10 11 call| 1 | 0 |",
            "7 0 0 10 11 call| 1 2 3 4 5 6 7 | |",
            "7 0 0 10 11 | 1 2 3 4 5 6 7 | 0 |",
            "7 0 0 10 11 load| 40000000",
            "7 0 0 10 11 load| | 1",
            "7 0 0 10 11 store| 40000000 1 |",
            "7 0 0 10 11 store| 40000000 | 1",
        ] {
            assert!(Note::parse(line).is_err(), "{line}");
        }
        assert!(Team::parse("7 40", 3).is_err());
    }
}
