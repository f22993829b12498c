//! What a guest says on its console.
//!
//! Invariants: only whole lines are read; a line without the mark changes nothing, but for a kernel's
//! panic; what a guest says counts for itself alone. The lines are those of the guests' `/init`.

use alloc::{collections::BTreeMap, string::String};

/// What a line that counts has in it.
const MARK: &str = "BULKHEAD: ";
/// What Linux says when it panics.
const PANIC: &str = "Kernel panic - not syncing";
/// A line is cut here, so that a guest can't fill the host's heap.
const LONGEST: usize = 400;

/// Collects a guest's bytes to lines.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    text: String,
}

impl Lines {
    /// Adds a byte; returns the line that it ends.
    pub fn push(&mut self, byte: u8) -> Option<String> {
        match byte {
            b'\n' => return Some(core::mem::take(&mut self.text)),
            b'\t' | b' '..=b'~' => self.text.push(char::from(byte)),
            _ => {}
        }
        (self.text.len() >= LONGEST).then(|| core::mem::take(&mut self.text))
    }
}

/// What a guest reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// vCPUs that it has online.
    pub online: usize,
    /// Its kernel's release.
    pub kernel: String,
    /// Attempts on memory that is not its own.
    pub tried: u64,
    /// How many of them faulted.
    pub blocked: u64,
    /// Whether it finished its work.
    pub done: bool,
    /// Whether it began to spin.
    pub spins: bool,
    /// Whether its kernel panicked.
    pub panicked: bool,
    /// Digest of each part of the workload.
    digests: BTreeMap<usize, String>,
}

impl Report {
    /// Reads a line of the console.
    pub fn read_line(&mut self, line: &str) {
        self.panicked |= line.contains(PANIC);
        let Some((_, said)) = line.split_once(MARK) else {
            return;
        };
        let words: [&str; 6] = {
            let mut all = said.split_whitespace();
            core::array::from_fn(|_| all.next().unwrap_or(""))
        };
        match words {
            ["online", count, ..] => self.online = count.parse().unwrap_or(0),
            ["kernel", release, ..] => self.kernel = release.into(),
            ["sha256", part, digest, ..] => {
                if let Ok(part) = part.parse() {
                    self.digests.insert(part, digest.into());
                }
            }
            ["attack", _, "tried", tried, "blocked", blocked] => {
                self.tried += tried.parse().unwrap_or(1);
                self.blocked += blocked.parse().unwrap_or(0);
            }
            ["done", ..] => self.done = true,
            ["spin", ..] => self.spins = true,
            _ => {}
        }
    }

    /// Whether it finished a part of its work.
    pub fn has_digest(&self) -> bool {
        !self.digests.is_empty()
    }

    /// Whether the digests are those that `expected` lists for `guest`: lines of guest, part and
    /// digest.
    ///
    /// A guest that is not listed runs a workload of its user's: there is nothing to compare.
    pub fn is_workload_ok(&self, guest: usize, expected: &str) -> bool {
        let mut parts = 0;
        for line in expected.lines() {
            let mut words = line.split_whitespace();
            let (Some(id), Some(part), Some(digest)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if id.parse() != Ok(guest) {
                continue;
            }
            parts += 1;
            let said = part
                .parse()
                .ok()
                .and_then(|part: usize| self.digests.get(&part));
            if said.is_none_or(|said| said != digest) {
                return false;
            }
        }
        parts == 0 || self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_lines() {
        let mut lines = Lines::default();
        let whole: alloc::vec::Vec<String> = b"one\r\n\x1b[mtwo\n"
            .iter()
            .filter_map(|byte| lines.push(*byte))
            .collect();
        assert_eq!(whole, ["one", "[mtwo"]);
        assert!((0..LONGEST).any(|_| lines.push(b'x').is_some()));
    }

    #[test]
    fn a_good_run_is_read() {
        let mut report = Report::default();
        for line in [
            "[ 0.1] noise",
            "BULKHEAD: online 2",
            "BULKHEAD: kernel 6.12.1-cloud-arm64",
            "BULKHEAD: sha256 0 aa",
            "BULKHEAD: sha256 1 bb",
            "BULKHEAD: attack memory tried 4 blocked 4",
        ] {
            report.read_line(line);
        }
        let expected = "0 0 aa\n0 1 bb\n1 0 cc\n";
        assert!(!report.is_workload_ok(0, expected));
        report.read_line("BULKHEAD: done");
        assert!(report.is_workload_ok(0, expected));
        assert!(!report.is_workload_ok(1, expected));
        assert!(report.is_workload_ok(2, expected));
        assert_eq!((report.online, report.tried, report.blocked), (2, 4, 4));
        assert_eq!(report.kernel, "6.12.1-cloud-arm64");
    }

    #[test]
    fn a_wrong_or_missing_digest_is_not_ok() {
        let mut report = Report::default();
        report.read_line("BULKHEAD: done");
        report.read_line("BULKHEAD: sha256 0 xx");
        assert!(!report.is_workload_ok(0, "0 0 aa\n"));
        assert!(!report.is_workload_ok(0, "0 1 aa\n"));
    }
}
