//! The facts at the end of a run: the engine's counters and census, and what the guests said.
//!
//! Invariant: read after every core has stopped making other calls, so that sums add up.

use crate::{
    host::Host,
    reclaim::Returns,
    summary::{Calls, GuestResult, Pages, Summary},
};
use abi::{Call, Counter, ExitReason, InfoIndex};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use el1::{call, println};

/// Calls that only tell: they change nothing and do not count as work.
const TELLING: [Call; 6] = [
    Call::EngineInfo,
    Call::PageInfo,
    Call::PageCensus,
    Call::TraceRead,
    Call::StatsRead,
    Call::CpuRun,
];

/// Reads one counter of one core.
fn read(cpu: u64, index: u64) -> u64 {
    call::stats_read(cpu, index).unwrap_or(0)
}

/// Collects everything.
pub fn collect(host: &Host, returns: Returns) -> Summary {
    let cpus = call::engine_info(InfoIndex::Cpus).unwrap_or(0);
    let sum = |index| (0..cpus).map(|cpu| read(cpu, index)).sum::<u64>();
    let hypercalls = Call::ALL.map(|call| Calls {
        name: call.name(),
        calls: sum(abi::stats::calls(call)),
        errors: sum(abi::stats::errors(call)),
    });
    let work = |cpu| {
        let working = Call::ALL.iter().filter(|call| !TELLING.contains(call));
        working
            .map(|call| {
                let made = read(cpu, abi::stats::calls(*call));
                made.saturating_sub(read(cpu, abi::stats::errors(*call)))
            })
            .sum()
    };
    let guests: Vec<GuestResult> = host
        .guests
        .iter()
        .map(|guest| describe(host, guest))
        .collect();
    let mut attacks = *host.churn.tally.lock();
    for core in &host.cores {
        attacks.add(*core.tally.lock());
    }
    let (mut tried, mut blocked) = (attacks.tried, attacks.blocked);
    println!("host: host attacks: {blocked} of {tried} blocked");
    for guest in &host.guests {
        let report = guest.report.lock();
        tried += report.tried;
        blocked += report.blocked;
    }
    Summary {
        failure: None,
        cpus: host.cores.len(),
        cpus_online: host.online.load(Ordering::Acquire),
        guests,
        pages: take_census(),
        hypercalls: hypercalls.into(),
        per_cpu: (0..cpus).map(work).collect(),
        exits: ExitReason::ALL
            .map(|reason| (reason.name(), sum(abi::stats::exits(reason))))
            .into(),
        tried,
        blocked,
        all_work: !host.expected.is_empty() && host.args.fates.is_empty(),
        attack: host.args.attack,
        counters: Counter::ALL
            .map(|counter| (counter.name(), sum(counter.raw())))
            .into(),
        scrubbed_nonzero: sum(Counter::ScrubbedNonzero.raw()),
        scrub_violations: sum(Counter::ScrubViolations.raw()),
        dirty_returns: returns.dirty,
        broken_pages: returns.broken,
        table_bytes: call::engine_info(InfoIndex::TableBytes).unwrap_or(0),
    }
}

fn describe(host: &Host, guest: &crate::vm::Guest) -> GuestResult {
    let report = guest.report.lock();
    GuestResult {
        vcpus_online: report.online,
        vcpus: guest.vcpus.len(),
        kernel: report.kernel.clone(),
        workload_ok: report.is_workload_ok(guest.id, host.expected),
        fate: guest.fate,
        exit: guest.exit(),
        built: guest.built,
        faulted: guest.ram.lock().count - guest.built,
    }
}

/// Counts the states of all page words.
fn take_census() -> Pages {
    let total = call::engine_info(InfoIndex::PageWords).unwrap_or(0);
    let mut pages = Pages {
        total,
        ..Pages::default()
    };
    let mut first = 0;
    while first < total {
        let Ok(part) = call::page_census(first, abi::limit::CENSUS_PAGES as u64) else {
            break;
        };
        if part.seen == 0 {
            break;
        }
        pages.reserved += part.reserved;
        pages.host += part.host;
        pages.host_fixed += part.host_fixed;
        pages.engine += part.engine;
        pages.vm += part.vm;
        pages.shared += part.shared;
        pages.claimed += part.claimed;
        pages.poisoned += part.poisoned;
        first += part.seen;
    }
    pages
}
