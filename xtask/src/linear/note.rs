//! What the image noted of what a core did: a line of its console.
//!
//! Invariant: a line that is cut off is an error, not another note.

use std::fmt;

use abi::{Call, ExitReason, Status};
use anyhow::{Context, Result, bail};

/// What a core did, as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub seat: usize,
    pub begun: u64,
    pub ended: u64,
    pub what: What,
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
    pub x: Vec<u64>,
    pub told: Vec<u64>,
    pub list: Vec<u64>,
}

/// Words in base 16, by blanks.
pub fn words(text: &str) -> Result<Vec<u64>> {
    let words = text.split_whitespace();
    words
        .map(|word| u64::from_str_radix(word, 16).with_context(|| word.to_owned()))
        .collect()
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
    pub fn call(&self) -> Option<Call> {
        Call::from_function_id(self.x[0])
    }

    /// Why it ended, if it is a CPU_RUN.
    pub fn exit(&self) -> Option<ExitReason> {
        let reason = *self.told.get(1)?;
        (self.call() == Some(Call::CpuRun)).then(|| ExitReason::from_raw(reason))?
    }

    /// Its registers before it, as a history has them.
    pub fn before(&self) -> impl fmt::Display {
        Words(&self.x)
    }

    /// What it told.
    pub fn after(&self) -> impl fmt::Display {
        Words(&self.told)
    }

    /// Its status.
    pub fn status(&self) -> Option<Status> {
        Status::from_raw(self.told[0] as i64)
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} |{}", self.before(), self.after())?;
        if !self.list.is_empty() {
            write!(f, " |{}", Words(&self.list))?;
        }
        Ok(())
    }
}

/// The words, each behind a blank.
pub struct Words<'a>(pub &'a [u64]);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|word| write!(f, " {word:#x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
