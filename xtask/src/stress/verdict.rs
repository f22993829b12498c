//! What must hold of a stress, by its figures.

use crate::stress::told::Told;

/// Of all calls at least this part must succeed.
const LEAST_SUCCESS: f64 = 0.1;
/// Times that all pages must have been looked at: while VMs were there, and at the end.
const LEAST_CENSUSES: u64 = 3;

/// What must hold, and whether it does.
pub type Check = (&'static str, bool);

/// Each thing that must hold, and whether it does; nothing holds of a stress that told nothing.
pub fn judge(told: Option<&Told>, cpus: u32) -> Vec<Check> {
    let holds = |check: fn(&Told) -> bool| told.is_some_and(check);
    if let Some(told) = told {
        for (call, cores) in told.missing() {
            println!("    {call} never succeeds on {cores} cores");
        }
    }
    let mut checks = vec![
        (
            "every kind of call succeeds on every core",
            told.is_some_and(|told| told.cores.len() == cpus as usize && told.missing().is_empty()),
        ),
        (
            "a tenth of all calls succeed",
            holds(|told| told.rate(0) >= LEAST_SUCCESS),
        ),
        (
            "calls are refused, as they must be",
            holds(|told| told.endings()[2] > 0),
        ),
        (
            "all pages were counted and looked at again and again",
            holds(|told| told.all.censuses >= LEAST_CENSUSES),
        ),
        (
            "guests looked after their pages on every core",
            holds(|told| told.pages_kept.iter().all(|pages| *pages > 0)),
        ),
        (
            "no page is lost, a VM's or in transition at the end",
            holds(|told| {
                let pages = &told.all.pages;
                pages.lost() + pages.vm + pages.shared + pages.claimed == 0
            }),
        ),
        (
            "every page was zero after its scrub",
            holds(|told| told.all.scrub_violations == 0),
        ),
    ];
    if cpus > 1 {
        checks.push((
            "cores were in each other's way",
            holds(|told| told.endings()[1] > 0),
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::told::tests::good;

    fn failed(records: &[String], cpus: u32) -> usize {
        let told = Told::read(records).unwrap();
        let checks = judge(told.as_ref(), cpus);
        checks.iter().filter(|(_, holds)| !holds).count()
    }

    #[test]
    fn a_good_stress_passes() {
        assert_eq!(failed(&good(), 2), 0);
    }

    #[test]
    fn each_wrong_figure_is_found() {
        for (from, to) in [
            ("[9,1,1]", "[0,1,1]"),
            ("[9,1,1]", "[9,1,0]"),
            ("[9,1,1]", "[9,0,1]"),
            ("\"censuses\":8", "\"censuses\":2"),
            ("\"scrub_violations\":0", "\"scrub_violations\":1"),
            ("\"total\":12", "\"total\":13"),
            ("\"host\":10,", "\"host\":11,"),
            ("\"vm\":0", "\"vm\":1"),
        ] {
            let records: Vec<String> = good().iter().map(|line| line.replace(from, to)).collect();
            assert!(failed(&records, 2) > 0, "{to}");
        }
    }

    #[test]
    fn guests_of_one_core_do_not_stand_in_for_those_of_another() {
        let mut records = good();
        records[1] = records[1].replace("\"pages_kept\":5", "\"pages_kept\":10");
        records[2] = records[2].replace("\"pages_kept\":5", "\"pages_kept\":0");
        assert_eq!(failed(&records, 2), 1);
    }

    #[test]
    fn a_core_that_is_missing_or_a_stress_that_stops_fails() {
        assert_eq!(failed(&good(), 3), 1);
        assert_eq!(failed(&good()[..2], 2), 8);
    }
}
