//! Decides whether a run held everything it promises. Silence is not success: what is absent or
//! zero where something must have happened fails too.

use std::collections::{BTreeMap, BTreeSet};

use crate::run::fate::Fate;
use crate::run::summary::{Donated, Guest, Summary};

/// From this many cores on, each must have done its share of hypercalls.
const MANY_CPUS: u32 = 192;
/// That share: successful state-changing hypercalls of a core.
const SHARE: u64 = 100;

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Cores of the machine.
    pub cpus: u32,
    /// Guests.
    pub guests: u32,
    /// vCPUs of each.
    pub vcpus: u32,
    /// Whether the guests run our workload, whose results are known.
    pub own_workload: bool,
    /// Guests that are not to end well.
    pub fates: BTreeMap<u32, Fate>,
}

/// Returns every promise that `summary` breaks; none means that the run is ok.
pub fn judge(expected: &Expectation, summary: &Summary) -> Vec<String> {
    let mut broken = Broken(Vec::new());
    judge_machine(&mut broken, expected, summary);
    judge_guests(&mut broken, expected, &summary.guests);
    judge_pages(&mut broken, expected, summary);
    judge_isolation(&mut broken, summary);
    broken.0
}

struct Broken(Vec<String>);

impl Broken {
    fn unless(&mut self, holds: bool, say: impl FnOnce() -> String) {
        if !holds {
            self.0.push(say());
        }
    }
}

fn judge_machine(broken: &mut Broken, expected: &Expectation, summary: &Summary) {
    broken.unless(summary.result == "ok", || {
        format!("the host says: {}", summary.result)
    });
    broken.unless(summary.cpus_online == expected.cpus, || {
        format!("{} of {} cores online", summary.cpus_online, expected.cpus)
    });
    let per_cpu = &summary.hypercalls.per_cpu;
    broken.unless(per_cpu.len() == expected.cpus as usize, || {
        format!(
            "hypercalls of {} cores, not {}",
            per_cpu.len(),
            expected.cpus
        )
    });
    if expected.cpus >= MANY_CPUS {
        for (cpu, &calls) in per_cpu.iter().enumerate() {
            broken.unless(calls >= SHARE, || {
                format!("core {cpu} made {calls} successful hypercalls, fewer than {SHARE}")
            });
        }
    }
    broken.unless(summary.exits.values().any(|&count| count > 0), || {
        "no exit to the host was counted".into()
    });
}

fn judge_guests(broken: &mut Broken, expected: &Expectation, guests: &[Guest]) {
    let ids: BTreeSet<u32> = guests.iter().map(|guest| guest.id).collect();
    let all = (0..expected.guests).collect();
    broken.unless(ids == all && guests.len() == ids.len(), || {
        format!("guests {ids:?} reported, not 0 to {}", expected.guests - 1)
    });
    for guest in guests {
        let id = guest.id;
        let fate = expected.fates.get(&id);
        let exit = fate.map_or("off", |fate| fate.exit());
        broken.unless(guest.exit == exit, || {
            format!("guest {id} ended by \"{}\", not \"{exit}\"", guest.exit)
        });
        if !expected.own_workload {
            continue;
        }
        broken.unless(guest.vcpus_online == expected.vcpus, || {
            let online = guest.vcpus_online;
            format!("guest {id}: {online} of {} vCPUs online", expected.vcpus)
        });
        broken.unless(!guest.kernel.is_empty(), || {
            format!("guest {id} did not tell its kernel")
        });
        match fate {
            None => broken.unless(guest.workload_ok, || {
                format!("guest {id}: wrong or missing workload result")
            }),
            Some(_) => broken.unless(!guest.workload_ok, || {
                format!("guest {id} met its fate after its workload")
            }),
        }
    }
}

fn judge_pages(broken: &mut Broken, expected: &Expectation, summary: &Summary) {
    let pages = &summary.pages;
    let sum = pages
        .by_state()
        .iter()
        .try_fold(0u64, |sum, (_, count)| sum.checked_add(*count));
    broken.unless(sum == Some(pages.total) && pages.total > 0, || {
        format!(
            "{} pages in total, but the states sum to {sum:?}",
            pages.total
        )
    });
    let donated = summary.donated;
    // A guest that ends early touches little.
    let all_work = expected.own_workload && expected.fates.is_empty();
    broken.unless(!all_work || donated.faulted >= donated.built, || {
        let Donated { built, faulted } = donated;
        format!("{built} pages donated before the guests ran, and only {faulted} while")
    });
    // All guests are gone: nothing may be theirs, under way, or missing.
    for (state, count) in [
        ("lost", pages.lost),
        ("vm", pages.vm),
        ("shared", pages.shared),
        ("claimed", pages.claimed),
        ("poisoned", pages.poisoned),
    ] {
        broken.unless(count == 0, || format!("{count} pages {state} at the end"));
    }
}

fn judge_isolation(broken: &mut Broken, summary: &Summary) {
    let attacks = summary.attacks;
    broken.unless(attacks.tried > 0, || "no attack was tried".into());
    broken.unless(attacks.blocked == attacks.tried, || {
        format!("{} of {} attacks blocked", attacks.blocked, attacks.tried)
    });
    broken.unless(summary.dirty_returns == 0, || {
        format!("the host got {} pages back dirty", summary.dirty_returns)
    });
    broken.unless(summary.scrub_violations == 0, || {
        format!("{} pages came back unscrubbed", summary.scrub_violations)
    });
    broken.unless(summary.scrubbed_nonzero > 0, || {
        "no page held anything before its scrub: nothing is proved".into()
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EXPECTED: Expectation = Expectation {
        cpus: 2,
        guests: 1,
        vcpus: 2,
        own_workload: true,
        fates: BTreeMap::new(),
    };

    fn good() -> Value {
        json!({
            "result": "ok",
            "cpus_online": 2,
            "guests": [{
                "id": 0, "vcpus_online": 2, "kernel": "6.12.1", "workload_ok": true, "exit": "off",
            }],
            "pages": {
                "total": 100, "reserved": 1, "host": 80, "host_fixed": 9, "engine": 10, "vm": 0,
                "shared": 0, "claimed": 0, "poisoned": 0, "lost": 0,
            },
            "hypercalls": {
                "VM_MAP": { "calls": 5, "errors": 1 },
                "per_cpu": [2, 2],
            },
            "exits": { "RamFault": 3 },
            "attacks": { "tried": 4, "blocked": 4 },
            "scrubbed_nonzero": 7,
            "scrub_violations": 0,
            "dirty_returns": 0,
            "donated": { "built": 10, "faulted": 10 },
        })
    }

    fn broken(expected: &Expectation, summary: Value) -> Vec<String> {
        judge(expected, &Summary::parse(&summary.to_string()).unwrap())
    }

    #[test]
    fn complete_summary_is_ok() {
        assert_eq!(broken(&EXPECTED, good()), Vec::<String>::new());
    }

    #[test]
    fn each_promise_is_judged() {
        let changes: [(&str, Value, &str); 20] = [
            ("/result", json!("guest 0 hangs"), "guest 0 hangs"),
            ("/cpus_online", json!(1), "1 of 2 cores"),
            ("/guests", json!([]), "guests {}"),
            ("/guests/0/id", json!(1), "guests {1}"),
            ("/guests/0/vcpus_online", json!(1), "1 of 2 vCPUs"),
            ("/guests/0/kernel", json!(""), "its kernel"),
            ("/guests/0/workload_ok", json!(false), "workload"),
            ("/guests/0/exit", json!("killed"), "killed"),
            ("/pages/total", json!(101), "sum to"),
            ("/pages/lost", json!(1), "1 pages lost"),
            ("/pages/vm", json!(1), "1 pages vm"),
            ("/pages/claimed", json!(1), "1 pages claimed"),
            ("/hypercalls/per_cpu", json!([4]), "hypercalls of 1 cores"),
            ("/exits", json!({}), "no exit"),
            ("/attacks/tried", json!(0), "no attack"),
            ("/attacks/blocked", json!(3), "3 of 4 attacks"),
            ("/scrubbed_nonzero", json!(0), "nothing is proved"),
            ("/scrub_violations", json!(1), "unscrubbed"),
            ("/dirty_returns", json!(1), "1 pages back dirty"),
            ("/donated/faulted", json!(9), "only 9 while"),
        ];
        for (field, value, said) in changes {
            let mut summary = good();
            *summary.pointer_mut(field).unwrap() = value;
            let broken = broken(&EXPECTED, summary);
            let told = broken.iter().any(|line| line.contains(said));
            assert!(told, "{field}: {broken:?}");
        }
    }

    #[test]
    fn sum_that_overflows_is_not_the_total() {
        let mut summary = good();
        summary["pages"]["host"] = json!(u64::MAX);
        assert!(!broken(&EXPECTED, summary).is_empty());
    }

    #[test]
    fn missing_field_is_an_error() {
        let mut summary = good();
        summary.as_object_mut().unwrap().remove("attacks");
        assert!(Summary::parse(&summary.to_string()).is_err());
    }

    #[test]
    fn every_one_of_many_cores_must_do_its_share() {
        let many = Expectation {
            cpus: 192,
            ..EXPECTED
        };
        let mut summary = good();
        summary["cpus_online"] = json!(192);
        let mut calls = vec![100; 192];
        summary["hypercalls"]["per_cpu"] = json!(calls);
        assert!(broken(&many, summary.clone()).is_empty());
        calls[17] = 99;
        summary["hypercalls"]["per_cpu"] = json!(calls);
        assert_eq!(broken(&many, summary).len(), 1);
    }

    #[test]
    fn a_fate_must_be_met_in_the_middle_of_things() {
        for fate in [Fate::Crash, Fate::Spin, Fate::Kill] {
            let doomed = Expectation {
                fates: BTreeMap::from([(0, fate)]),
                ..EXPECTED
            };
            let mut summary = good();
            assert!(!broken(&doomed, summary.clone()).is_empty());
            summary["guests"][0]["workload_ok"] = json!(false);
            for exit in ["off", "reset", "panic", "killed", "killed spinning"] {
                summary["guests"][0]["exit"] = json!(exit);
                assert_eq!(
                    broken(&doomed, summary.clone()).is_empty(),
                    exit == fate.exit(),
                    "{fate:?}: {exit}"
                );
            }
            summary["guests"][0]["vcpus_online"] = json!(0);
            assert!(!broken(&doomed, summary).is_empty());
        }
    }

    #[test]
    fn foreign_user_space_is_judged_by_its_exit_only() {
        let foreign = Expectation {
            own_workload: false,
            ..EXPECTED
        };
        let mut summary = good();
        summary["guests"][0]["workload_ok"] = json!(false);
        summary["guests"][0]["kernel"] = json!("");
        assert!(broken(&foreign, summary.clone()).is_empty());
        summary["guests"][0]["exit"] = json!("fault");
        assert_eq!(broken(&foreign, summary).len(), 1);
    }
}
