//! Guests that are not to end well, so that a run shows what becomes of the others and of their
//! memory.
//!
//! Invariants: a guest has at most one fate, given before it is built; it says so in its `/init`
//! before it meets it, and the host ends no guest by its fate before it is under way.

use crate::report::Report;

/// What becomes of a guest instead of its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its kernel panics, and asks for a reset.
    Crash,
    /// All its vCPUs spin, in user space and in its kernel, until the host ends it, last of all.
    Spin,
    /// The host ends it in the middle of its workload.
    Kill,
}

impl Fate {
    /// The fate with this key on the host's command line.
    pub fn from_key(key: &str) -> Option<Self> {
        match key {
            "crash" => Some(Self::Crash),
            "spin" => Some(Self::Spin),
            "kill" => Some(Self::Kill),
            _ => None,
        }
    }

    /// What the guest's `/init` is told; nothing if it takes no part.
    pub fn instruction(self) -> Option<&'static str> {
        match self {
            Self::Crash => Some("crash"),
            Self::Spin => Some("spin"),
            Self::Kill => None,
        }
    }

    /// How the guest ends, if all goes as it should.
    pub fn exit(self) -> &'static str {
        match self {
            Self::Crash => "panic",
            Self::Spin => "killed spinning",
            Self::Kill => "killed",
        }
    }

    /// Whether the host shall end a guest that said so far what is in `report`. The guest to be
    /// killed has then hashed a part, and goes on to fill its memory.
    pub fn is_due(self, report: &Report, others_ended: bool) -> bool {
        match self {
            Self::Crash => false,
            Self::Spin => report.spins && others_ended,
            Self::Kill => report.has_digest(),
        }
    }
}

/// The core that sees to a guest's fate: the first that is there and runs none of its vCPUs, or the
/// boot core, which is always there.
pub fn pick_core(cores: usize, is_fit: impl Fn(usize) -> bool) -> usize {
    (0..cores).find(|core| is_fit(*core)).unwrap_or(0)
}

/// How a guest ended that asked for a reset.
pub fn name_reset(report: &Report) -> &'static str {
    if report.panicked { "panic" } else { "reset" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lines: &[&str]) -> Report {
        let mut report = Report::default();
        for line in lines {
            report.read_line(line);
        }
        report
    }

    #[test]
    fn nothing_is_due_before_the_guest_is_under_way() {
        let booted = after(&["BULKHEAD: online 2", "BULKHEAD: kernel 6.12"]);
        for fate in [Fate::Crash, Fate::Spin, Fate::Kill] {
            assert!(!fate.is_due(&booted, true), "{fate:?}");
        }
        let spins = after(&["BULKHEAD: spin"]);
        assert!(Fate::Spin.is_due(&spins, true));
        assert!(!Fate::Spin.is_due(&spins, false));
        let works = after(&["BULKHEAD: sha256 1 aa"]);
        assert!(Fate::Kill.is_due(&works, false));
    }

    #[test]
    fn an_absent_core_sees_to_nothing() {
        let (there, runs_it) = ([true, false, true], [true, false, false]);
        let is_fit = |core: usize| there[core] && !runs_it[core];
        assert_eq!(pick_core(3, is_fit), 2);
        assert_eq!(pick_core(2, is_fit), 0);
    }

    #[test]
    fn a_reset_after_a_panic_is_a_panic() {
        let line = "[    9.1] Kernel panic - not syncing: sysrq triggered crash";
        assert_eq!(name_reset(&after(&[line])), Fate::Crash.exit());
        assert_eq!(name_reset(&after(&["BULKHEAD: crash"])), "reset");
    }
}
