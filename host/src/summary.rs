//! The result of a run: the facts, what makes it good, and its one line of JSON.
//!
//! Invariants: the line holds every field on every run, early failures included; `result` is "ok"
//! only if [`Summary::judge`] finds nothing wrong. Field names are what `cargo xtask run` checks.

use crate::{
    fate::Fate,
    json::{Quoted, write_list},
};
use alloc::{format, string::String, vec::Vec};
use core::fmt::{self, Write};

/// What became of a guest.
#[derive(Clone, Debug, Default)]
pub struct GuestResult {
    /// vCPUs that Linux had online.
    pub vcpus_online: usize,
    /// vCPUs that it has.
    pub vcpus: usize,
    /// Its kernel's release.
    pub kernel: String,
    /// Whether its digests are the expected ones.
    pub workload_ok: bool,
    /// What was to become of it instead of its workload.
    pub fate: Option<Fate>,
    /// How it ended: "off" is how it should, unless it has a fate.
    pub exit: String,
    /// Pages donated before it started.
    pub built: u64,
    /// Pages donated when it faulted.
    pub faulted: u64,
}

/// Totals of the page words.
#[derive(Clone, Debug, Default)]
#[expect(
    missing_docs,
    reason = "the states are named as PAGE_CENSUS names them"
)]
pub struct Pages {
    pub total: u64,
    pub reserved: u64,
    pub host: u64,
    pub host_fixed: u64,
    pub engine: u64,
    pub vm: u64,
    pub shared: u64,
    pub claimed: u64,
    pub poisoned: u64,
}

impl Pages {
    /// Words that some state counted.
    fn counted(&self) -> u64 {
        self.reserved
            + self.host
            + self.host_fixed
            + self.engine
            + self.vm
            + self.shared
            + self.claimed
            + self.poisoned
    }

    /// Words that no state counted.
    pub fn lost(&self) -> u64 {
        self.total.saturating_sub(self.counted())
    }
}

/// How often something was done, and how often refused.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Name of the call.
    pub name: &'static str,
    /// Times made.
    pub calls: u64,
    /// Times refused.
    pub errors: u64,
}

/// Everything about a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Why the run ended before its end, if it did.
    pub failure: Option<String>,
    /// Cores the engine brought up.
    pub cpus: usize,
    /// Cores that the host has online.
    pub cpus_online: usize,
    /// Guest by guest.
    pub guests: Vec<GuestResult>,
    /// The page words at the end.
    pub pages: Pages,
    /// Call by call.
    pub hypercalls: Vec<Calls>,
    /// State-changing calls that succeeded, core by core.
    pub per_cpu: Vec<u64>,
    /// Exits by reason.
    pub exits: Vec<(&'static str, u64)>,
    /// Attempts on memory and calls that must fail.
    pub tried: u64,
    /// How many of them did.
    pub blocked: u64,
    /// Whether all guests were to run our workload to its end: others may touch little.
    pub all_work: bool,
    /// Whether there was to be an attack.
    pub attack: bool,
    /// Counters of the engine, all cores together.
    pub counters: Vec<(&'static str, u64)>,
    /// Pages that were not zero before the engine scrubbed them.
    pub scrubbed_nonzero: u64,
    /// Pages that were not zero after.
    pub scrub_violations: u64,
    /// Pages that came home and were not zero.
    pub dirty_returns: u64,
    /// Pages that did not come home, as they have a memory error.
    pub broken_pages: u64,
    /// Bytes of page words that the engine has ever written.
    pub table_bytes: u64,
}

/// State-changing calls that every core has to get through.
const LEAST_CALLS: u64 = 100;

impl Summary {
    /// The run that could not begin, or not go on.
    pub fn failed(reason: String) -> Self {
        Self {
            failure: Some(reason),
            ..Self::default()
        }
    }

    /// "ok", or the first thing that is wrong.
    pub fn judge(&self) -> String {
        if let Some(reason) = &self.failure {
            return reason.clone();
        }
        if let Some(reason) = self.guests.iter().enumerate().find_map(judge_guest) {
            return reason;
        }
        let (built, faulted) = self.donated();
        let least = self.per_cpu.iter().min().copied().unwrap_or(0);
        let pages = &self.pages;
        let checks = [
            (self.cpus_online == self.cpus, "not every core is online"),
            (
                !self.all_work || faulted >= built,
                "less than half of the guests' pages were donated on faults",
            ),
            (self.blocked == self.tried, "an attack was not blocked"),
            (!self.attack || self.tried > 0, "nothing was attacked"),
            (
                self.scrub_violations == 0,
                "the engine found a scrubbed page dirty",
            ),
            (self.dirty_returns == 0, "a page came home dirty"),
            (self.scrubbed_nonzero > 0, "no page needed scrubbing"),
            (
                pages.vm == 0 && pages.shared == 0,
                "pages are still a guest's",
            ),
            (pages.claimed == 0, "pages are still in transition"),
            (
                pages.counted() == pages.total,
                "pages are lost or counted twice",
            ),
            (least >= LEAST_CALLS, "a core made too few hypercalls"),
        ];
        let wrong = checks.iter().find(|(good, _)| !good);
        wrong.map_or("ok", |(_, reason)| reason).into()
    }

    /// Pages donated before the guests started, and on faults.
    pub fn donated(&self) -> (u64, u64) {
        self.guests.iter().fold((0, 0), |(built, faulted), guest| {
            (built + guest.built, faulted + guest.faulted)
        })
    }

    /// The line of JSON.
    pub fn to_json(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_json(&mut text);
        text
    }

    fn write_json(&self, out: &mut String) -> fmt::Result {
        write!(out, "{{\"result\":{}", Quoted(&self.judge()))?;
        write!(out, ",\"cpus_online\":{},\"guests\":[", self.cpus_online)?;
        write_list(out, self.guests.iter().enumerate(), |out, (id, guest)| {
            write!(
                out,
                "{{\"id\":{id},\"vcpus_online\":{},\"kernel\":{},\"workload_ok\":{},\"exit\":{}}}",
                guest.vcpus_online,
                Quoted(&guest.kernel),
                guest.workload_ok,
                Quoted(&guest.exit)
            )
        })?;
        let p = &self.pages;
        write!(
            out,
            "],\"pages\":{{\"total\":{},\"reserved\":{},\"host\":{},\"host_fixed\":{},\
             \"engine\":{},\"vm\":{},\"shared\":{},\"claimed\":{},\"poisoned\":{},\"lost\":{}}}",
            p.total,
            p.reserved,
            p.host,
            p.host_fixed,
            p.engine,
            p.vm,
            p.shared,
            p.claimed,
            p.poisoned,
            p.lost()
        )?;
        out.push_str(",\"hypercalls\":{");
        for Calls {
            name,
            calls,
            errors,
        } in &self.hypercalls
        {
            write!(out, "\"{name}\":{{\"calls\":{calls},\"errors\":{errors}}},")?;
        }
        out.push_str("\"per_cpu\":[");
        write_list(out, self.per_cpu.iter(), |out, count| {
            write!(out, "{count}")
        })?;
        out.push_str("]},\"exits\":{");
        write_list(out, self.exits.iter(), |out, (name, count)| {
            write!(out, "\"{name}\":{count}")
        })?;
        out.push_str("},\"counters\":{");
        write_list(out, self.counters.iter(), |out, (name, n)| {
            write!(out, "\"{name}\":{n}")
        })?;
        let (built, faulted) = self.donated();
        write!(
            out,
            "}},\"donated\":{{\"built\":{built},\"faulted\":{faulted}}},\
             \"attacks\":{{\"tried\":{},\"blocked\":{}}},\
             \"scrubbed_nonzero\":{},\"scrub_violations\":{},\"dirty_returns\":{},\
             \"broken_pages\":{},\"table_bytes\":{}}}",
            self.tried,
            self.blocked,
            self.scrubbed_nonzero,
            self.scrub_violations,
            self.dirty_returns,
            self.broken_pages,
            self.table_bytes
        )
    }
}

/// What is wrong with a guest.
fn judge_guest((id, guest): (usize, &GuestResult)) -> Option<String> {
    if guest.exit != guest.fate.map_or("off", Fate::exit) {
        return Some(format!("guest {id} ended by {}", guest.exit));
    }
    match (guest.fate, guest.workload_ok) {
        (None, true) | (Some(_), false) => {}
        (None, false) => return Some(format!("guest {id} did not compute what was expected")),
        (Some(_), true) => return Some(format!("guest {id} met its fate after its workload")),
    }
    // A user's own initial RAM disk reports nothing, not even a kernel.
    let silent = guest.kernel.is_empty();
    (!silent && guest.vcpus_online != guest.vcpus).then(|| {
        format!(
            "guest {id} has {} of {} vCPUs online",
            guest.vcpus_online, guest.vcpus
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn good() -> Summary {
        let guest = GuestResult {
            vcpus_online: 2,
            vcpus: 2,
            kernel: "6.12".into(),
            workload_ok: true,
            fate: None,
            exit: "off".into(),
            built: 10,
            faulted: 20,
        };
        Summary {
            cpus: 1,
            cpus_online: 1,
            guests: vec![guest],
            pages: Pages {
                total: 3,
                host: 2,
                engine: 1,
                ..Pages::default()
            },
            hypercalls: vec![Calls {
                name: "VM_MAP",
                calls: 5,
                errors: 1,
            }],
            per_cpu: vec![100],
            exits: vec![("Idle", 7)],
            tried: 4,
            blocked: 4,
            all_work: true,
            attack: true,
            scrubbed_nonzero: 30,
            table_bytes: 8192,
            ..Summary::default()
        }
    }

    #[test]
    fn a_good_run_is_ok() {
        let json = good().to_json();
        assert!(
            json.starts_with("{\"result\":\"ok\",\"cpus_online\":1,"),
            "{json}"
        );
        assert!(
            json.contains("\"VM_MAP\":{\"calls\":5,\"errors\":1}"),
            "{json}"
        );
        assert!(json.contains("\"lost\":0"), "{json}");
        assert!(json.contains("\"broken_pages\":0,"), "{json}");
        assert!(json.ends_with(",\"table_bytes\":8192}"), "{json}");
        assert_eq!(
            json.matches(['{', '[']).count(),
            json.matches(['}', ']']).count()
        );
    }

    #[test]
    fn each_wrong_fact_is_found() {
        let spoil: [fn(&mut Summary); 13] = [
            |s| s.cpus = 2,
            |s| s.guests[0].exit = "reset".into(),
            |s| s.guests[0].fate = Some(Fate::Kill),
            |s| s.guests[0].workload_ok = false,
            |s| s.guests[0].vcpus_online = 1,
            |s| s.guests[0].built = 21,
            |s| s.blocked = 3,
            |s| s.scrub_violations = 1,
            |s| s.dirty_returns = 1,
            |s| s.scrubbed_nonzero = 0,
            |s| s.pages.total = 4,
            |s| s.per_cpu[0] = 99,
            |s| s.failure = Some("no".into()),
        ];
        for (index, spoil) in spoil.iter().enumerate() {
            let mut summary = good();
            spoil(&mut summary);
            assert_ne!(summary.judge(), "ok", "{index}");
        }
    }

    #[test]
    fn a_fate_is_met_in_the_middle_of_the_workload() {
        let mut summary = good();
        let doomed = GuestResult {
            fate: Some(Fate::Kill),
            exit: "killed".into(),
            workload_ok: false,
            ..summary.guests[0].clone()
        };
        summary.guests.push(doomed);
        assert_eq!(summary.judge(), "ok");
        summary.guests[1].workload_ok = true;
        assert_ne!(summary.judge(), "ok");
    }
}
