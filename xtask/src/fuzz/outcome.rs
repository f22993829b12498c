//! What libFuzzer says of a run, read from its log.

/// One run of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Executions.
    pub inputs: u64,
    /// How long it ran.
    pub seconds: u64,
    /// Edges of the program that were gone.
    pub edges: u64,
    /// The file of the input that broke something.
    pub crash: Option<String>,
}

impl Outcome {
    /// From a log, of a run of so many seconds.
    pub fn read(log: &str, seconds: u64) -> Self {
        let after = |mark: &str| {
            log.lines()
                .filter_map(|line| line.split_once(mark))
                .next_back()
        };
        let number = |text: &str| text.split_whitespace().next()?.parse().ok();
        let inputs = after("stat::number_of_executed_units:").and_then(|(_, rest)| number(rest));
        let edges = after(" cov: ").and_then(|(_, rest)| number(rest));
        let crash = after("Test unit written to ").map(|(_, rest)| rest.trim().to_owned());
        Self {
            inputs: inputs.unwrap_or(0),
            seconds,
            edges: edges.unwrap_or(0),
            crash,
        }
    }

    /// Inputs a second.
    pub fn rate(&self) -> u64 {
        self.inputs / self.seconds.max(1)
    }
}

/// What libFuzzer said last of how far it is, for a person who waits.
pub fn progress(log: &str) -> Option<&str> {
    let line = log
        .lines()
        .rfind(|line| line.starts_with('#') && line.contains("cov: "))?;
    Some(line.trim())
}

/// The first line of a panic, and the one that says why.
pub fn panic(log: &str) -> Option<String> {
    let mut lines = log.lines().skip_while(|line| !line.contains("panicked at"));
    let (place, why) = (lines.next()?, lines.next().unwrap_or_default());
    let place = place.split("panicked at ").nth(1).unwrap_or(place);
    Some(format!("{place} {}", why.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 29Mb
#500\tNEW    cov: 84 ft: 90 corp: 2/2b exec/s: 250 rss: 30Mb
thread '<unnamed>' panicked at inputs/src/calls/raw.rs:3:5:
x0 is a status
artifact_prefix='c/'; Test unit written to c/calls-crash-0a
stat::number_of_executed_units: 617
stat::average_exec_per_sec:     300
";

    #[test]
    fn a_run_is_read_from_its_log() {
        let outcome = Outcome::read(LOG, 2);
        assert_eq!(
            (outcome.inputs, outcome.edges, outcome.rate()),
            (617, 84, 308)
        );
        assert_eq!(outcome.crash.as_deref(), Some("c/calls-crash-0a"));
        let why = "inputs/src/calls/raw.rs:3:5: x0 is a status";
        assert_eq!(panic(LOG).as_deref(), Some(why));
        assert!(progress(LOG).is_some_and(|line| line.starts_with("#500")));
    }

    #[test]
    fn a_run_that_said_nothing_played_nothing() {
        assert_eq!(
            Outcome::read("", 5),
            Outcome {
                seconds: 5,
                ..Outcome::default()
            }
        );
        assert_eq!(panic("fine"), None);
    }
}
