//! What the stress tells of itself: a line for each core, and one of all.

use std::fmt::Write;

use abi::Call;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How a core's line begins.
const CORE: &str = "@stress-core ";
/// How the line of all begins.
const ALL: &str = "@stress ";

/// Success, busy, refused.
type Endings = [u64; 3];

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Of all together.
    pub all: All,
    /// Calls of each core by kind and ending.
    pub cores: Vec<Vec<Endings>>,
    /// Of each core, pages that guests looked at there and found in order.
    pub pages_kept: Vec<u64>,
}

/// What was counted for all cores together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct All {
    seed: u64,
    seconds: u64,
    /// Times that all pages were counted and looked at.
    pub censuses: u64,
    vms_ended: u64,
    /// Pages that guests looked at and found in order.
    pages_kept: u64,
    /// Pages that were not zero after their scrub.
    pub scrub_violations: u64,
    /// At the end, all VMs gone.
    pub pages: Pages,
}

/// Pages by state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pages {
    total: u64,
    reserved: u64,
    host: u64,
    host_fixed: u64,
    engine: u64,
    pub vm: u64,
    pub shared: u64,
    pub claimed: u64,
    poisoned: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Core {
    core: usize,
    pages_kept: u64,
    calls: Vec<Endings>,
}

impl Told {
    /// Reads the machine's lines; none if it did not come to the last of them.
    pub fn read(records: &[String]) -> Result<Option<Self>> {
        let (mut cores, mut pages_kept) = (Vec::new(), Vec::new());
        for line in records.iter().filter_map(|line| line.strip_prefix(CORE)) {
            let core: Core = serde_json::from_str(line).with_context(|| line.to_owned())?;
            anyhow::ensure!(
                core.core == cores.len() && core.calls.len() == Call::ALL.len(),
                "not the next core's calls: {line}"
            );
            cores.push(core.calls);
            pages_kept.push(core.pages_kept);
        }
        let last = records.iter().find_map(|line| line.strip_prefix(ALL));
        let Some(last) = last else {
            return Ok(None);
        };
        let all: All = serde_json::from_str(last).with_context(|| last.to_owned())?;
        anyhow::ensure!(
            all.pages_kept == pages_kept.iter().sum::<u64>(),
            "pages kept by all cores are not those of each: {last}"
        );
        Ok(Some(Self {
            all,
            cores,
            pages_kept,
        }))
    }

    /// Calls of a kind by ending, all cores together.
    fn of_kind(&self, kind: usize) -> Endings {
        let mut sum = [0; 3];
        for core in &self.cores {
            for (total, n) in sum.iter_mut().zip(core[kind]) {
                *total += n;
            }
        }
        sum
    }

    /// Calls by ending, all kinds and cores together.
    pub fn endings(&self) -> Endings {
        let mut sum = [0; 3];
        for kind in 0..Call::ALL.len() {
            for (total, n) in sum.iter_mut().zip(self.of_kind(kind)) {
                *total += n;
            }
        }
        sum
    }

    /// Kinds of calls that did not succeed on some core, and how many cores that are.
    pub fn missing(&self) -> Vec<(&'static str, usize)> {
        let kinds = Call::ALL.iter().enumerate();
        kinds
            .map(|(kind, call)| {
                let without = self.cores.iter().filter(|core| core[kind][0] == 0);
                (call.name(), without.count())
            })
            .filter(|(_, cores)| *cores > 0)
            .collect()
    }

    /// Of all calls those that ended so.
    pub fn rate(&self, ending: usize) -> f64 {
        let endings = self.endings();
        endings[ending] as f64 / endings.iter().sum::<u64>().max(1) as f64
    }

    /// A table by kind, for people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<16} {:>10} {:>10} {:>10} {:>12}\n",
            "call", "success", "busy", "refused", "least a core"
        );
        for (kind, call) in Call::ALL.iter().enumerate() {
            let [success, busy, refused] = self.of_kind(kind);
            let least = self.cores.iter().map(|core| core[kind][0]).min();
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{:<16} {success:>10} {busy:>10} {refused:>10} {:>12}",
                call.name(),
                least.unwrap_or(0)
            );
        }
        let [success, busy, refused] = self.endings();
        let All {
            censuses,
            vms_ended,
            pages_kept,
            scrub_violations,
            ..
        } = &self.all;
        let least = self.pages_kept.iter().min().unwrap_or(&0);
        let _ = writeln!(
            text,
            "{:<16} {success:>10} {busy:>10} {refused:>10}\n\
             {censuses} censuses, {vms_ended} VMs ended, {pages_kept} pages found in order by guests (at least \
             {least} on each core), {scrub_violations} not zero after their scrub",
            "together"
        );
        text
    }

    /// Everything, for programs.
    pub fn json(&self, cpus: u32) -> Value {
        let mut calls = Map::new();
        for (kind, call) in Call::ALL.iter().enumerate() {
            let by_core = |ending: usize| -> Vec<u64> {
                self.cores.iter().map(|core| core[kind][ending]).collect()
            };
            calls.insert(
                call.name().to_owned(),
                json!({ "success": by_core(0), "busy": by_core(1), "refused": by_core(2) }),
            );
        }
        let mut value = json!(self.all);
        value["pages"]["lost"] = json!(self.all.pages.lost());
        value["cpus"] = json!(cpus);
        value["pages_kept_by_core"] = json!(self.pages_kept);
        value["calls"] = Value::Object(calls);
        value["success_rate"] = json!(self.rate(0));
        value["busy_rate"] = json!(self.rate(1));
        value
    }
}

impl Pages {
    /// Pages that no state counted.
    pub fn lost(&self) -> u64 {
        let counted = self.reserved
            + self.host
            + self.host_fixed
            + self.engine
            + self.vm
            + self.shared
            + self.claimed
            + self.poisoned;
        self.total.abs_diff(counted)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A stress in which everything held, on two cores.
    pub fn good() -> Vec<String> {
        let calls = vec!["[9,1,1]"; Call::ALL.len()].join(",");
        let core =
            |core| format!("@stress-core {{\"core\":{core},\"pages_kept\":5,\"calls\":[{calls}]}}");
        let all = "@stress {\"seed\":7,\"seconds\":60,\"censuses\":8,\"vms_ended\":9,\"pages_kept\":10,\
            \"scrub_violations\":0,\"pages\":{\"total\":12,\"reserved\":0,\"host\":10,\"host_fixed\":0,\
            \"engine\":1,\"vm\":0,\"shared\":0,\"claimed\":0,\"poisoned\":1}}";
        vec!["@other".into(), core(0), core(1), all.into()]
    }

    #[test]
    fn calls_are_told_by_kind_ending_and_core() {
        let told = Told::read(&good()).unwrap().unwrap();
        let kinds = Call::ALL.len() as u64;
        assert_eq!(told.endings(), [18 * kinds, 2 * kinds, 2 * kinds]);
        let json = told.json(2);
        assert_eq!(json["calls"]["VM_MAP"]["success"], json!([9, 9]));
        assert_eq!(json["calls"]["VM_MAP"]["busy"], json!([1, 1]));
        assert_eq!(json["seed"], json!(7));
        assert_eq!(json["pages"]["lost"], json!(0));
        assert!((told.rate(1) - 1.0 / 11.0).abs() < 1e-9);
        assert!(told.table().contains("8 censuses"));
    }

    #[test]
    fn a_stress_that_stops_early_tells_nothing() {
        let records = good();
        assert!(Told::read(&records[..3]).unwrap().is_none());
        assert!(Told::read(&records[2..]).is_err());
        let more = records
            .iter()
            .map(|line| line.replace("\"pages_kept\":10", "\"pages_kept\":11"));
        assert!(Told::read(&more.collect::<Vec<_>>()).is_err());
    }
}
