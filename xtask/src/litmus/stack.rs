//! How deep the engine's stacks can get: for each way into the engine, the most bytes that any way through the linked
//! image takes, held to the bound in `litmus.toml`, and that to the memory that is mapped for the stack.
//!
//! Frames are read from the instructions that change SP (`sp`, `frames`), calls are followed as for panics (`ways`).
//! What a bound can not be had for fails: a function that comes to itself again, a change of SP that is not
//! understood, a call through a pointer without a list of where it may lead. What pointers lead to has a level, and
//! only leads on, by pointers, to what is below: a formatter formats what it names itself, and is above that, so
//! that formatters may call formatters a number of times that is known. (Those that format what they were given are
//! listed, and above all others.) A call that does not come back leaves what was going on, levels too; the end of
//! the engine is reported once.

mod walk;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::litmus::program::Program;
use walk::Walk;

/// The test of what is listed about pointers; the others are called as entries are.
const POINTERS: &str = "pointers";

/// What `litmus.toml` says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Stack {
    /// Functions in which a core is given a stack: there SP is set, and what comes behind begins at depth 0.
    pub set: Vec<String>,
    /// Functions with an ERET to a lower level; the first is the one that others call, `enter` says who.
    pub down: Vec<String>,
    pub enter: Vec<Enter>,
    /// The function that a core comes to once, to report the end, and where it goes if it comes again.
    pub once: String,
    pub again: Vec<String>,
    /// The entry that is an exception at any point of the others, whose bytes are added to theirs.
    pub nested: String,
    /// Functions that call through pointers which others made, in an order in which none leads to a later one.
    pub passing: Vec<String>,
    /// Functions and labels whose address is taken, and that are not called by it.
    pub addresses: Vec<String>,
    pub pointer: Vec<Pointer>,
    pub entry: BTreeMap<String, Entry>,
}

/// Who goes down to a lower level, and the table of vectors by which that comes back.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enter {
    pub by: Vec<String>,
    pub table: String,
}

/// Calls through pointers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// The functions that make them.
    pub from: Vec<String>,
    /// Where they may lead.
    pub to: Vec<String>,
}

/// A way into the engine.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// Functions that it begins at, or behind their setting of SP.
    pub from: Vec<String>,
    #[serde(default)]
    pub behind: bool,
    /// Vectors of these, in tables.
    #[serde(default)]
    pub vectors: Vec<u64>,
    /// The symbol with the bytes of the stack that it begins on.
    pub on: String,
    /// Its bound.
    pub at_most: i64,
}

impl Stack {
    /// The tests of this kind.
    pub fn tests(&self) -> Vec<String> {
        let entries = self.entry.keys().cloned();
        entries.chain([POINTERS.to_owned()]).collect()
    }
}

/// What came of an entry.
#[derive(Debug)]
pub struct Depth {
    /// At most so many bytes, if a bound could be had.
    pub bytes: i64,
    pub fault: Option<String>,
}

impl Depth {
    /// Says what was found.
    pub fn tell(&self, entry: &str) {
        if entry != POINTERS {
            println!("    {entry}: {} bytes at most", self.bytes);
        }
    }
}

/// Asks one of the tests.
pub fn check(program: &Program, stack: &Stack, test: &str) -> Result<Depth> {
    let mut walk = Walk::new(program, stack)?;
    if test == POINTERS {
        let fault = walk.unlisted()?;
        return Ok(Depth { bytes: 0, fault });
    }
    let entry = stack.entry.get(test).context("no such entry")?;
    let usable = program.value(&entry.on);
    let usable = usable.with_context(|| format!("the image has no {}", entry.on))?;
    let mut worst = match walk.entry(entry)? {
        Ok(worst) => worst,
        Err(why) => return Ok(failed(0, why)),
    };
    if test != stack.nested {
        let nested = stack.entry.get(&stack.nested);
        let nested = nested.with_context(|| format!("no entry {}", stack.nested))?;
        match walk.entry(nested)? {
            Ok(more) => worst.bytes += more.bytes,
            Err(why) => return Ok(failed(0, why)),
        }
    }
    let (bytes, bound) = (worst.bytes, entry.at_most);
    let way = || walk.tell(&worst);
    Ok(if bytes > bound {
        failed(
            bytes,
            format!("{bytes} bytes, more than {bound}: {}", way()),
        )
    } else if u64::try_from(bound).is_ok_and(|bound| bound > usable) {
        failed(
            bytes,
            format!(
                "{bound} bytes are more than the stack has, {usable}: {}",
                way()
            ),
        )
    } else {
        Depth { bytes, fault: None }
    })
}

/// The most bytes that are possible by an entry, and those that its stack has.
pub fn possible(program: &Program, stack: &Stack, entry: &str) -> Result<(u64, u64)> {
    let depth = check(program, stack, entry)?;
    ensure!(depth.fault.is_none(), "stack::{entry}: {:?}", depth.fault);
    let on = stack.entry.get(entry).map(|it| it.on.as_str());
    let usable = on
        .and_then(|on| program.value(on))
        .context("no such stack")?;
    Ok((u64::try_from(depth.bytes)?, usable))
}

fn failed(bytes: i64, why: String) -> Depth {
    let fault = Some(why);
    Depth { bytes, fault }
}

#[cfg(test)]
mod tests;
