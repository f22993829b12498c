//! What the output of a catcher's command proves.
//!
//! Invariant: a test counts as failed only when its own line says so, or it died after it began; on
//! bare metal also when the engine crashed or the machine hung in it. What does not compile or selects no
//! test is neither passed nor failed.

use super::catcher::{Catcher, Kind};
use crate::hw::UNFINISHED;
use crate::linear::rounds_of;

/// What loom says when it can't go on.
const LOOM_ITSELF: [&str; 3] = [
    "Model exceeded maximum number of branches",
    "[loom internal bug]",
    "Reached unexpected exploration state",
];
/// Characters of what a failed test says that are shown.
const MESSAGE: usize = 240;

/// What a run of a test proves.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// It failed, and what it said first.
    Failed(String),
    /// It did not run to an end that proves anything, and why.
    Invalid(String),
}

impl Catcher {
    /// Judges a run of that command line.
    pub fn judge(&self, status: Option<i32>, output: &str) -> Verdict {
        match self.kind {
            Kind::Unit | Kind::Sim | Kind::Fuzz => self.judge_cargo(status, output),
            Kind::Loom => match self.judge_cargo(status, output) {
                Verdict::Passed if !output.contains("completed after ") => {
                    Verdict::Invalid("the model was not explored to the end".into())
                }
                verdict => verdict,
            },
            Kind::Litmus => self.judge_litmus(status, output),
            Kind::Hw => self.judge_hw(status, output),
            Kind::Run => judge_run(status, output),
            Kind::Conform => self.judge_conform(status, output),
            Kind::Linear => self.judge_linear(status, output),
            Kind::Storm | Kind::Bench | Kind::Stack => judge_counted(status, output),
        }
    }

    /// What differs stands before the property that does not hold.
    fn judge_conform(&self, status: Option<i32>, output: &str) -> Verdict {
        let is_it = |line: &&str| line.starts_with(&self.test);
        let line = output
            .lines()
            .filter(is_it)
            .find(|line| line.contains(" ... "));
        match (status, line) {
            (Some(0), Some(line)) if line.ends_with(" ... ok") => Verdict::Passed,
            (Some(1), Some(line)) if line.ends_with(" ... FAILED") => {
                let told = |line: &&str| line.contains("engine ") || line.contains("panics");
                let what = output.lines().find(told).unwrap_or(line);
                Verdict::Failed(what.trim().to_owned())
            }
            _ => invalid(status, "the property was not judged"),
        }
    }

    /// Why there is no order stands behind the line of the model, or of the machine, how many have none in it.
    fn judge_linear(&self, status: Option<i32>, output: &str) -> Verdict {
        let begin = match self.order_cpus() {
            Some(cpus) => format!("{} (", rounds_of(cpus)),
            None => format!("engine::{} (", self.test),
        };
        let mut lines = output.lines();
        let line = lines.find_map(|line| line.strip_prefix(&begin)?.split_once(" ... "));
        match (status, line) {
            (Some(0), Some((_, "ok"))) => Verdict::Passed,
            (Some(1), Some((_, end))) if end.ends_with("without an order") => {
                Verdict::Failed(end.trim_start_matches("FAILED: ").to_owned())
            }
            _ => invalid(status, "no history was refused, or none was asked for"),
        }
    }

    fn judge_cargo(&self, status: Option<i32>, output: &str) -> Verdict {
        let (_, test) = self.parts();
        if !output.lines().any(|line| line == "running 1 test") {
            return invalid(status, "it does not compile, or is no test");
        }
        let begins = ["", " - should panic"].map(|how| format!("test {test}{how} ... "));
        let is_line = |said: &str| begins.iter().any(|line| said.starts_with(line));
        // Output without a newline can stand between the name and the result.
        let ends = |result: &str| {
            let mut lines = output.lines().skip_while(|said| !is_line(said));
            lines.any(|said| said.ends_with(result))
        };
        // Killed from outside, by a limit or for memory: nothing is said of the mutant.
        if ["9,", "15,"]
            .iter()
            .any(|signal| output.contains(&format!("(signal: {signal}")))
        {
            return invalid(status, "it was killed");
        }
        if LOOM_ITSELF.iter().any(|said| output.contains(said)) {
            return invalid(status, "loom failed, not the model");
        }
        let died = output.contains("(signal: ");
        if status == Some(0) && ends("ok") {
            return Verdict::Passed;
        }
        if status == Some(101) && (died || ends("FAILED")) {
            return Verdict::Failed(panic_message(output));
        }
        invalid(status, "it did not end")
    }

    fn judge_litmus(&self, status: Option<i32>, output: &str) -> Verdict {
        let line = |result: &str| {
            let begin = format!("{} ... {result}", self.test);
            let mut lines = output.lines().map(str::trim_start);
            lines.find_map(|line| line.strip_prefix(&begin).map(str::to_owned))
        };
        match (status, line("ok"), line("FAILED: ")) {
            (Some(0), Some(_), None) => Verdict::Passed,
            (Some(1), _, Some(reason)) => Verdict::Failed(reason),
            _ => invalid(status, "the litmus test told no result"),
        }
    }

    fn judge_hw(&self, status: Option<i32>, output: &str) -> Verdict {
        let (_, test) = self.parts();
        let failed = format!("{test}: FAILED: ");
        let unfinished = format!("{test}{UNFINISHED}");
        let mut lines = output.lines().map(str::trim_start);
        let is_dead = |line: &&str| {
            let marks = ["@crash ", "stopped after "];
            marks.iter().any(|mark| line.starts_with(mark))
        };
        let reason = match lines.clone().find_map(|line| line.strip_prefix(&failed)) {
            Some(reason) => Some(reason),
            // Before the test began, or after its end, a machine dies of something else.
            None if lines.clone().any(|line| line == unfinished) => lines.find(is_dead),
            None => None,
        };
        match (status, reason) {
            (Some(0), None) => Verdict::Passed,
            (Some(1), Some(reason)) => Verdict::Failed(reason.to_owned()),
            _ => invalid(status, "the test told no result"),
        }
    }
}

fn judge_run(status: Option<i32>, output: &str) -> Verdict {
    let mut lines = output.lines().skip_while(|line| *line != "==> failed");
    match (status, lines.next(), lines.next()) {
        (Some(0), None, _) if output.lines().any(|line| line == "==> ok") => Verdict::Passed,
        (Some(1), Some(_), Some(reason)) => Verdict::Failed(reason.trim().to_owned()),
        _ => invalid(status, "the run was not judged"),
    }
}

fn judge_counted(status: Option<i32>, output: &str) -> Verdict {
    let tests = output.lines().filter(|line| line.starts_with("test "));
    let mut failed = tests.filter_map(|line| line.split_once(" ... FAILED: "));
    match (status, failed.next()) {
        (Some(0), None) if output.contains(" ... ok") => Verdict::Passed,
        (Some(1), Some((_, reason))) => Verdict::Failed(reason.to_owned()),
        _ => invalid(status, "nothing counted was judged"),
    }
}

fn invalid(status: Option<i32>, why: &str) -> Verdict {
    Verdict::Invalid(match status {
        Some(status) => format!("{why} (exit status {status})"),
        None => format!("{why} (killed)"),
    })
}

/// What a failed test's first panic says, in one line.
fn panic_message(output: &str) -> String {
    let said: Vec<&str> = output
        .lines()
        .skip_while(|line| !(line.starts_with("thread '") && line.contains(" panicked at ")))
        .skip(1)
        .map(str::trim)
        .take_while(|line| {
            !(line.is_empty() || line.starts_with("stack ") || line.starts_with("note: "))
        })
        .collect();
    match said.is_empty() {
        true if output.contains(" - should panic ... ") => "it did not panic".to_owned(),
        true => "it died".to_owned(),
        false => said.join("; ").chars().take(MESSAGE).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAN: &str = "   Compiling bulkhead-engine v0.1.0 (/x)\n\nrunning 1 test\n";

    fn judge(kind: Kind, test: &str, status: i32, output: &str) -> Verdict {
        Catcher::new(kind, test).judge(Some(status), output)
    }

    #[test]
    fn a_test_fails_by_its_own_line_or_by_dying() {
        let panicked = format!(
            "{RAN}test a::b ... FAILED\n\nthread 'a::b' (7) panicked at x.rs:1:2:\nI5: page 3\n"
        );
        let died = format!("{RAN}process didn't exit (signal: 6, SIGABRT: process abort signal)\n");
        let killed = RAN.to_owned() + "process didn't exit (signal: 9, SIGKILL: kill)\n";
        let verdict = judge(Kind::Sim, "a::b", 101, &killed);
        assert!(matches!(verdict, Verdict::Invalid(_)));
        let loom = RAN.to_owned() + "test b ... FAILED\n\n[loom internal bug]\n";
        let verdict = judge(Kind::Loom, "percpu b", 101, &loom);
        assert!(matches!(verdict, Verdict::Invalid(_)));
        let calm = format!("{RAN}test a::b - should panic ... FAILED\n");
        for (output, why) in [
            (&panicked, "I5: page 3"),
            (&died, "it died"),
            (&calm, "it did not panic"),
        ] {
            let verdict = judge(Kind::Sim, "a::b", 101, output);
            assert_eq!(verdict, Verdict::Failed(why.into()));
        }
        let panicked = format!("{RAN}test a::b - should panic ... ok\n");
        assert_eq!(judge(Kind::Sim, "a::b", 0, &panicked), Verdict::Passed);
    }

    #[test]
    fn what_does_not_compile_or_run_proves_nothing() {
        let ignored = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 3 filtered out\n";
        for (status, output) in [
            (101, "error[E0308]: mismatched types (signal: 6)"),
            (0, ignored),
            (124, RAN),
            (101, RAN),
        ] {
            for kind in [Kind::Unit, Kind::Sim, Kind::Loom] {
                let verdict = judge(kind, "ownership b", status, output);
                assert!(matches!(verdict, Verdict::Invalid(_)), "{output}");
            }
        }
    }

    #[test]
    fn a_model_passes_only_when_explored_to_the_end() {
        let cut = format!("{RAN}test b ... ok\n");
        let whole = format!("{cut}completed after 17 executions\n");
        assert_eq!(judge(Kind::Loom, "percpu b", 0, &whole), Verdict::Passed);
        let verdict = judge(Kind::Loom, "percpu b", 0, &cut);
        assert!(matches!(verdict, Verdict::Invalid(_)));
        assert_eq!(judge(Kind::Unit, "percpu b", 0, &cut), Verdict::Passed);
    }

    #[test]
    fn a_hardware_test_fails_by_its_own_line_or_with_its_machine() {
        let by = |status, output: &str| judge(Kind::Hw, "tlb::a@2-max", status, output);
        let said = "    0 passed, 1 failed\n    tlb::a: FAILED: page 3 still there\n";
        assert_eq!(by(1, said), Verdict::Failed("page 3 still there".into()));
        for dead in ["@crash esr=1", "stopped after 240 s"] {
            let output = format!("    tlb::a: did not end\n    {dead}\n");
            assert_eq!(by(1, &output), Verdict::Failed(dead.into()));
            // It died of something else: at boot, or in another test.
            for elsewhere in ["no total after 0 passed, 0 failed", "tlb::ab: did not end"] {
                let output = format!("    {elsewhere}\n    {dead}\n");
                assert!(matches!(by(1, &output), Verdict::Invalid(_)), "{output}");
            }
        }
        assert_eq!(by(0, "    1 passed, 0 failed\n"), Verdict::Passed);
        for (status, output) in [
            (1, "    tlb::b: FAILED: not this one\n"),
            (1, "    no total after 0 passed, 0 failed\n"),
            (1, "    tlb::a: did not end\n"),
            (2, "error: no compiler\n"),
        ] {
            assert!(
                matches!(by(status, output), Verdict::Invalid(_)),
                "{output}"
            );
        }
    }

    #[test]
    fn a_litmus_test_says_its_result_itself() {
        let by = |status, output: &str| judge(Kind::Litmus, "flush", status, output);
        assert_eq!(by(0, "flush ... ok in 1 s\n"), Verdict::Passed);
        let failed = "flush ... FAILED: no DSB\n0 passed, 1 failed\n";
        assert_eq!(by(1, failed), Verdict::Failed("no DSB".into()));
        for (status, output) in [
            (0, "flush-broken ... ok\n"),
            (1, "flush ... ok\nother ... FAILED: x\n"),
            (2, "error: no herd7\n"),
            (0, failed),
        ] {
            let verdict = by(status, output);
            assert!(matches!(verdict, Verdict::Invalid(_)), "{output}");
        }
    }

    #[test]
    fn a_property_is_judged_by_its_own_line() {
        let by = |status, output: &str| judge(Kind::Conform, "random", status, output);
        let ok = "random: the engine does (9 deeds, 0 s) ... ok\n1 passed, 0 failed\n";
        let wrong = "told: engine 1\n      model 0\nrandom: x (9 deeds, 0 s) ... FAILED\n";
        assert_eq!(by(0, ok), Verdict::Passed);
        assert_eq!(by(1, wrong), Verdict::Failed("told: engine 1".into()));
        for (status, output) in [(2, "error: no Coq"), (1, ok), (0, wrong), (0, "")] {
            assert!(
                matches!(by(status, output), Verdict::Invalid(_)),
                "{output}"
            );
        }
    }

    #[test]
    fn histories_without_an_order_are_what_counts() {
        let by = |status, output: &str| judge(Kind::Linear, "life::a", status, output);
        let ok = "engine::life::a (9 histories, 0.1 s) ... ok\n1 passed, 0 failed\n";
        let wrong = "engine::life::a (9 histories, 0.1 s) ... FAILED: 2 without an order\nM 1\n";
        assert_eq!(by(0, ok), Verdict::Passed);
        assert_eq!(by(1, wrong), Verdict::Failed("2 without an order".into()));
        let on_a_machine = |output: &str| judge(Kind::Linear, "machine@6", 1, output);
        let rounds =
            "6 cores: every round has an order (9 rounds, 1 s) ... FAILED: 2 without an order\n";
        assert_eq!(
            on_a_machine(rounds),
            Verdict::Failed("2 without an order".into())
        );
        let nothing =
            "6 cores: every round has an order (9 rounds, 1 s) ... FAILED: no access was denied\n";
        let other = "6 cores: the machine (log, 1 s) ... FAILED: 2 without an order\n";
        for output in [nothing, other] {
            assert!(matches!(on_a_machine(output), Verdict::Invalid(_)));
        }
        let asserts = "engine::life::a (9 histories, 0.1 s) ... FAILED: left != right; log\n";
        for (status, output) in [(1, asserts), (2, "error: no Coq"), (1, ok), (0, "")] {
            assert!(
                matches!(by(status, output), Verdict::Invalid(_)),
                "{output}"
            );
        }
    }

    #[test]
    fn a_run_must_have_been_judged() {
        let by = |status, output: &str| judge(Kind::Run, "", status, output);
        let judged = "==> failed\n    1 pages lost\n    console: x\n";
        assert_eq!(by(1, judged), Verdict::Failed("1 pages lost".into()));
        assert_eq!(by(0, "==> ok\n"), Verdict::Passed);
        for (status, output) in [(2, "error: no QEMU"), (1, "panicked"), (0, "")] {
            assert!(
                matches!(by(status, output), Verdict::Invalid(_)),
                "{output}"
            );
        }
    }

    #[test]
    fn a_storm_fails_by_a_call() {
        let by = |status, output: &str| judge(Kind::Storm, "", status, output);
        let ok = "test VM_MAP: within its bound ... ok\n";
        let wrong = "test VM_LEND: within its bound ... FAILED: 1 calls of 4\n";
        assert_eq!(by(0, ok), Verdict::Passed);
        let both = ok.to_owned() + wrong;
        assert_eq!(by(1, &both), Verdict::Failed("1 calls of 4".into()));
        for (status, output) in [(0, ""), (1, "    QEMU ended with 1\n0 passed, 1 failed\n")] {
            assert!(
                matches!(by(status, output), Verdict::Invalid(_)),
                "{output}"
            );
        }
    }
}
