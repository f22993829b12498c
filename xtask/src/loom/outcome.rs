//! What the run of one test shows.
//!
//! Invariant: nothing has passed that did not say so itself, and no model that did not say that its
//! search was completed: loom returns without an error when it hits a limit; and none that had one
//! execution only: nothing in it raced.

use std::fmt;

/// Characters of what a failed test says that are shown.
const MESSAGE: usize = 240;
/// What a search says at its end, before the number of its executions.
const COMPLETED: &str = "completed after ";

/// What a test that had to panic and did not is said to have done.
pub const CALM: &str = "nothing panicked";

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A model that holds in all executions, so many of them.
    Completed(u64),
    /// A test that must panic did.
    Twin,
    /// A test that is no model passed.
    Plain,
    /// It did not hold, and why.
    Failed(String),
}

impl Outcome {
    /// Judges a run of the test `name`, which ended with this exit status (none if it was killed).
    /// `is_model`: a search began.
    pub fn judge(name: &str, status: Option<i32>, output: &str, is_model: bool) -> Self {
        let has_line = |line: String| output.lines().any(|said| said == line);
        let all = output.lines().filter_map(executions);
        let completed = all.reduce(|sum, number| sum + number);
        match (status, completed) {
            (Some(0), _) if has_line(format!("test {name} - should panic ... ok")) => Self::Twin,
            (Some(0), Some(0 | 1)) => Self::Failed("it had one execution: nothing raced".into()),
            (Some(0), Some(number)) if has_line(format!("test {name} ... ok")) => {
                Self::Completed(number)
            }
            (Some(0), None) if has_line(format!("test {name} ... ok")) && !is_model => Self::Plain,
            (Some(0), None) if is_model => Self::Failed("it was not explored to the end".into()),
            (Some(0), _) => Self::Failed("it did not run".into()),
            (Some(101), _) => Self::Failed(panic_message(output)),
            (Some(status), _) => Self::Failed(format!("it ended with status {status}")),
            (None, _) => Self::Failed(format!("{} (killed)", panic_message(output))),
        }
    }

    /// Did it pass?
    pub fn has_passed(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed(_) | Self::Plain => f.write_str("ok"),
            Self::Twin => f.write_str("ok, fails as it must"),
            Self::Failed(reason) => write!(f, "FAILED: {reason}"),
        }
    }
}

/// The number in a line by which a search says that it was completed.
fn executions(line: &str) -> Option<u64> {
    let rest = line.split_once(COMPLETED)?.1;
    rest.split_whitespace().next()?.parse().ok()
}

/// What the first panic says, in one line.
pub fn panic_message(output: &str) -> String {
    let lines = output
        .lines()
        .skip_while(|line| !(line.starts_with("thread '") && line.contains(" panicked at ")))
        .skip(1)
        .map(str::trim)
        .take_while(|line| {
            !(line.is_empty() || line.starts_with("note: ") || line.starts_with("stack "))
        });
    let said = lines.collect::<Vec<_>>().join("; ");
    match said.is_empty() {
        true => CALM.into(),
        false => said.chars().take(MESSAGE).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: i32, output: &str) -> Outcome {
        Outcome::judge("a::b", Some(status), output, true)
    }

    #[test]
    fn a_model_passes_only_when_explored_to_the_end() {
        let cut = "running 1 test\ntest a::b ... ok\n";
        let whole = format!("{cut}completed after 17 executions (3 preemptions)\n");
        assert_eq!(judge(0, &whole), Outcome::Completed(17));
        assert!(!judge(0, cut).has_passed());
        assert_eq!(Outcome::judge("a::b", Some(0), cut, false), Outcome::Plain);
    }

    #[test]
    fn a_model_in_which_nothing_races_has_not_passed() {
        let said = "test a::b ... ok\ncompleted after 1 executions (3 preemptions)\n";
        let reason = "it had one execution: nothing raced".to_owned();
        assert_eq!(judge(0, said), Outcome::Failed(reason));
    }

    #[test]
    fn the_searches_of_a_test_count_together() {
        let said =
            "test a::b ... ok\ncompleted after 17 executions\ncompleted after 3 executions\n";
        assert_eq!(judge(0, said), Outcome::Completed(20));
    }

    #[test]
    fn what_did_not_run_or_ended_otherwise_has_not_passed() {
        let said = "test a::b ... ok\ncompleted after 17 executions\n";
        assert!(!Outcome::judge("a::b", None, said, true).has_passed());
        for (status, output) in [(0, "running 0 tests\n"), (0, ""), (139, said), (101, said)] {
            assert!(!judge(status, output).has_passed(), "{status} {output}");
            let plain = Outcome::judge("a", Some(status), output, false);
            assert!(!plain.has_passed(), "{status} {output}");
        }
    }

    #[test]
    fn a_twin_must_panic() {
        assert_eq!(judge(0, "test a::b - should panic ... ok\n"), Outcome::Twin);
        let calm = "test a::b - should panic ... FAILED\ncompleted after 17 executions\n";
        let reason = "nothing panicked".to_owned();
        assert_eq!(judge(101, calm), Outcome::Failed(reason));
    }

    #[test]
    fn a_failure_says_what_its_first_panic_said() {
        let output = "test a::b ... FAILED\n\nthread 'a::b' (7) panicked at x.rs:1:2:\n\
            assertion failed\n  left: 1\nstack backtrace:\n\nthread 'a::b' (7) panicked at y.rs:1:2:\nno";
        let reason = "assertion failed; left: 1".to_owned();
        assert_eq!(judge(101, output), Outcome::Failed(reason));
    }
}
