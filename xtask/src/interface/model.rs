//! The interface file as data, and what must hold of it beyond its syntax.
//!
//! Invariant: an [`Interface`] that `parse` returned has unique names and numbers, names only
//! things it defines, and fits the convention's six argument and seventeen result registers.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;

/// Argument registers of a call: x1 to x6.
pub const ARGUMENT_REGISTERS: usize = 6;
/// Result registers of a call: x1 to x17.
pub const RESULT_REGISTERS: usize = 17;
/// Types of arguments and results that no table of the file defines.
const PLAIN_TYPES: [&str; 8] = [
    "u64", "Pa", "Ipa", "pages", "bytes", "ticks", "Status", "VmShape",
];

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    pub convention: Convention,
    #[serde(rename = "limit")]
    pub limits: Vec<Limit>,
    #[serde(rename = "status")]
    pub statuses: Vec<Status>,
    #[serde(rename = "call")]
    pub calls: Vec<Call>,
    #[serde(rename = "enum")]
    pub enums: Vec<Enumeration>,
    pub flags: Vec<Flags>,
    #[serde(rename = "handle")]
    pub handles: Vec<Handle>,
}

/// Numbers that identify the interface as such.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convention {
    pub base: u64,
    pub uid: [u32; 4],
    pub version_major: u16,
    pub version_minor: u16,
}

/// A bound that callers must know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub name: String,
    pub value: u64,
    pub doc: String,
}

/// A status code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    pub name: String,
    pub value: i64,
    pub blame: Blame,
    pub doc: String,
}

/// Whose mistake a status code tells.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    None,
    Caller,
    Nobody,
}

impl Blame {
    /// How the outputs put it.
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Caller => "the caller",
            Self::Nobody => "nobody",
        }
    }
}

/// A call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub number: u64,
    pub name: String,
    pub caller: String,
    #[serde(default)]
    pub states: Vec<String>,
    pub args: Vec<Field>,
    pub results: Vec<Field>,
    /// Results of one kind that fill the registers after the listed ones.
    pub rest: Option<Rest>,
    pub errors: Vec<String>,
    /// Those of its errors with which something has changed all the same.
    #[serde(default)]
    pub changes_on: Vec<String>,
    pub contract: String,
}

/// One argument or result register.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub doc: String,
}

/// A run of result registers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rest {
    #[serde(rename = "type")]
    pub kind: String,
    /// Name of the limit that says how many registers at most.
    pub limit: String,
    pub doc: String,
}

/// Named numbers.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enumeration {
    pub name: String,
    pub doc: String,
    pub values: Vec<Value>,
}

/// One of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    pub name: String,
    pub value: u64,
    pub doc: String,
}

/// Named bits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flags {
    pub name: String,
    pub doc: String,
    pub values: Vec<Flag>,
}

/// One of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flag {
    pub name: String,
    pub bit: u32,
    pub doc: String,
}

/// A slot-and-generation handle type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handle {
    pub name: String,
    pub doc: String,
}

impl Interface {
    /// Reads and checks the file's text.
    pub fn parse(text: &str) -> Result<Self> {
        let interface: Self = toml::from_str(text)?;
        interface.check()?;
        Ok(interface)
    }

    /// Whether values of this type are handles.
    pub fn is_handle(&self, kind: &str) -> bool {
        self.handles.iter().any(|handle| handle.name == kind)
    }

    /// How many result registers the call may fill.
    pub fn result_registers(&self, call: &Call) -> usize {
        let rest = call.rest.as_ref().and_then(|rest| self.limit(&rest.limit));
        call.results.len() + rest.map_or(0, |limit| limit.value as usize)
    }

    fn limit(&self, name: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.name == name)
    }

    fn check(&self) -> Result<()> {
        ensure_unique("limit", self.limits.iter().map(|limit| &limit.name))?;
        ensure_unique("status", self.statuses.iter().map(|status| &status.name))?;
        ensure_unique(
            "status value",
            self.statuses.iter().map(|status| status.value),
        )?;
        ensure_unique("call", self.calls.iter().map(|call| &call.name))?;
        ensure_unique("call number", self.calls.iter().map(|call| call.number))?;
        let success = self
            .statuses
            .iter()
            .find(|status| status.blame == Blame::None);
        ensure!(
            success.is_some_and(|status| status.value == 0),
            "status 0 alone blames nobody"
        );
        for table in &self.enums {
            ensure_unique(&table.name, table.values.iter().map(|value| &value.name))?;
            ensure_unique(&table.name, table.values.iter().map(|value| value.value))?;
        }
        for table in &self.flags {
            ensure_unique(&table.name, table.values.iter().map(|flag| &flag.name))?;
            ensure_unique(&table.name, table.values.iter().map(|flag| flag.bit))?;
            ensure!(
                table.values.iter().all(|flag| flag.bit < 64),
                "{}: bit",
                table.name
            );
        }
        for call in &self.calls {
            self.check_call(call)
                .with_context(|| format!("call {}", call.name))?;
        }
        Ok(())
    }

    fn check_call(&self, call: &Call) -> Result<()> {
        ensure!(
            call.number < 0x80,
            "number {:#x} is outside the range",
            call.number
        );
        ensure!(!call.args.is_empty(), "takes no argument");
        ensure!(call.args.len() <= ARGUMENT_REGISTERS, "too many arguments");
        ensure!(
            self.result_registers(call) <= RESULT_REGISTERS,
            "too many results"
        );
        ensure_unique("argument", call.args.iter().map(|field| &field.name))?;
        ensure_unique("result", call.results.iter().map(|field| &field.name))?;
        if let Some(rest) = &call.rest {
            ensure!(
                self.limit(&rest.limit).is_some(),
                "unknown limit {}",
                rest.limit
            );
        }
        for error in &call.errors {
            let known = self.statuses.iter().any(|status| &status.name == error);
            ensure!(known, "unknown error {error}");
        }
        for error in &call.changes_on {
            let listed = call.errors.contains(error);
            ensure!(listed, "changes on {error}, which is none of its errors");
        }
        let kinds = call
            .args
            .iter()
            .chain(&call.results)
            .map(|field| &field.kind);
        for kind in kinds.chain(call.rest.iter().map(|rest| &rest.kind)) {
            ensure!(self.is_known(kind), "unknown type {kind}");
        }
        Ok(())
    }

    fn is_known(&self, kind: &str) -> bool {
        PLAIN_TYPES.contains(&kind)
            || self.is_handle(kind)
            || self.enums.iter().any(|table| table.name == kind)
            || self.flags.iter().any(|table| table.name == kind)
    }
}

fn ensure_unique<T: Ord + std::fmt::Debug>(
    what: &str,
    items: impl Iterator<Item = T>,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for item in items {
        ensure!(!seen.contains(&item), "{what}: {item:?} twice");
        seen.insert(item);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
        flags = []
        enum = []
        handle = []
        [convention]
        base = 0xC6000100
        uid = [1, 2, 3, 4]
        version_major = 0
        version_minor = 1
        [[limit]]
        name = "FEW"
        value = 2
        doc = "few"
        [[status]]
        name = "SUCCESS"
        value = 0
        blame = "none"
        doc = "done"
        [[call]]
        number = 1
        name = "ASK"
        caller = "host"
        args = [{ name = "a", type = "u64", doc = "" }]
        results = []
        errors = ["SUCCESS"]
        changes_on = ["SUCCESS"]
        contract = "Asks."
    "#;

    #[test]
    fn a_small_interface_is_accepted() {
        assert!(Interface::parse(SMALL).is_ok());
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, expected) in [
            (
                "errors = [\"SUCCESS\"]",
                "errors = [\"NO_SUCH\"]",
                "unknown error NO_SUCH",
            ),
            (
                "changes_on = [\"SUCCESS\"]",
                "changes_on = [\"BUSY\"]",
                "changes on BUSY",
            ),
            ("type = \"u64\"", "type = \"u65\"", "unknown type u65"),
            ("number = 1", "number = 200", "outside the range"),
            ("value = 0", "value = 7", "status 0"),
            ("contract = \"Asks.\"", "contrct = \"Asks.\"", "contrct"),
        ] {
            let error = Interface::parse(&SMALL.replace(from, to))
                .err()
                .expect("must be refused");
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        }
    }
}
