//! What the image noted of one team's round, as a history: handles, pages and cores get the numbers that a machine of
//! the team's own would give them.
//!
//! Invariants: two things that are told apart there have two numbers here; a handle that is told twice is an error. A
//! time is doubled, so that what ended in the tick in which something else began may have been after it.

use std::collections::BTreeMap;
use std::fmt::Write;

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

/// A call as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    seat: usize,
    begun: u64,
    ended: u64,
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

    /// The history of these calls.
    pub fn history(&self, notes: &[Note]) -> Result<String> {
        let (mut vms, mut vcpus) = (BTreeMap::new(), BTreeMap::new());
        for note in notes.iter().filter(|note| note.told[0] == 0) {
            let known = match note.call() {
                Some(Call::VmCreate) => &mut vms,
                Some(Call::VcpuCreate) => &mut vcpus,
                _ => continue,
            };
            let new = known.len() as u64 | GENERATION;
            let old = known.insert(note.told[1], new);
            ensure!(
                old.is_none(),
                "the handle {:#x} is told twice",
                note.told[1]
            );
        }
        ensure!(vcpus.len() <= VCPUS, "{} vCPUs", vcpus.len());
        let mut text = self.head();
        for note in notes {
            let mut note = note.clone();
            self.rename(&mut note, &vms, &vcpus)?;
            let Note {
                seat,
                begun,
                ended,
                x,
                told,
                list,
            } = note;
            let join = |words: Vec<u64>| {
                words.iter().fold(String::new(), |mut text, word| {
                    let _ = write!(text, " {word:#x}");
                    text
                })
            };
            let (x, told) = (join(x), join(told));
            let (begun, ended) = (2 * begun, 2 * ended + 1);
            let _ = write!(text, "c {seat} {begun} {ended}{x} |{told}");
            if !list.is_empty() {
                text += &format!(" |{}", join(list));
            }
            text += "\n";
        }
        Ok(text)
    }

    fn rename(
        &self,
        note: &mut Note,
        vms: &BTreeMap<u64, u64>,
        vcpus: &BTreeMap<u64, u64>,
    ) -> Result<()> {
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
            Call::VcpuDequeue | Call::VcpuInject => handle(vcpus, &mut note.x[1]),
            Call::PageInfo => note.x[1] = self.address(note.x[1]),
            other => bail!("{} is not noted", other.name()),
        }
        Ok(())
    }
}

impl Note {
    /// Team, round and call of a line behind its mark.
    pub fn parse(line: &str) -> Result<((u64, u64), Self)> {
        let parts: Vec<&str> = line.split('|').collect();
        let [head, x, told, list] = parts.as_slice() else {
            bail!("a call: {line}");
        };
        let head: Vec<u64> = head
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [team, round, seat, begun, ended] = head.as_slice() else {
            bail!("a call: {line}");
        };
        let note = Self {
            seat: *seat as usize,
            begun: *begun,
            ended: *ended,
            x: words(x)?,
            told: words(told)?,
            list: words(list)?,
        };
        ensure!(note.x.len() == 7 && !note.told.is_empty(), "a call: {line}");
        Ok(((*team, *round), note))
    }

    /// Its call.
    pub fn call(&self) -> Option<Call> {
        Call::from_function_id(self.x[0])
    }

    /// Its status.
    pub fn status(&self) -> Option<abi::Status> {
        abi::Status::from_raw(self.told[0] as i64)
    }

    /// Was it under way while the other, of another core, was?
    pub fn overlaps(&self, other: &Self) -> bool {
        self.seat != other.seat && self.begun <= other.ended && other.begun <= self.ended
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
                "7 0 0 10 11 | {create:x} 1 2 3 4 0 0 | 0 5000c 0 0 |"
            )),
            note(&format!(
                "7 0 1 12 13 | {map:x} 5000c 40001000 3 1 7 0 | 0 1 0 0 |"
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
    fn a_handle_that_is_told_twice_is_no_history() {
        let create = Call::VmCreate.function_id();
        let line = format!("7 0 0 10 11 | {create:x} 1 2 3 4 0 0 | 0 5000c 0 0 |");
        assert!(team().history(&[note(&line), note(&line)]).is_err());
    }

    #[test]
    fn what_is_cut_off_is_no_call() {
        for line in [
            "7 0 0 10 | 1 | 0 |",
            "7 0 0 10 11 | 1 2 3 4 5 6 7",
            "7 0 0 10 11 | 1 | 0 |",
        ] {
            assert!(Note::parse(line).is_err(), "{line}");
        }
        assert!(Team::parse("7 40", 3).is_err());
    }
}
