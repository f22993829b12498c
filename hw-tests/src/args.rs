//! The command line: which tests, and the seed of the random ones.
//!
//! Invariant: unknown words are ignored, so that a machine's own boot arguments do no harm.

/// [`Args::seconds`] where nothing is said.
const DEFAULT_SECONDS: u64 = 10;
/// [`Args::mib`] where nothing is said.
const DEFAULT_MIB: u64 = 128;

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub struct Args {
    /// Parts of names, separated by commas: a test runs if its name contains one; empty for all.
    pub filter: &'static str,
    /// They are whole names.
    pub is_exact: bool,
    /// Start of every random sequence.
    pub seed: u64,
    /// Memory of the VM that `teardown` brings home, in MiB.
    pub mib: u64,
    /// How long `stress` goes on.
    pub seconds: u64,
}

impl Args {
    /// Whether the test called `name` runs.
    pub fn selects(&self, name: &str) -> bool {
        let mut parts = self.filter.split(',');
        match self.is_exact {
            true => parts.any(|part| name == part),
            false => parts.any(|part| name.contains(part)),
        }
    }

    /// Reads `line`; a key that is absent or makes no sense takes its default.
    pub fn parse(line: &'static str) -> Self {
        let mut args = Self {
            filter: "",
            is_exact: false,
            seed: 1,
            mib: DEFAULT_MIB,
            seconds: DEFAULT_SECONDS,
        };
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(("filter", filter)) => (args.filter, args.is_exact) = (filter, false),
                Some(("exact", filter)) => (args.filter, args.is_exact) = (filter, true),
                Some(("seed", seed)) => args.seed = seed.parse().unwrap_or(args.seed),
                Some(("mib", mib)) => args.mib = mib.parse().unwrap_or(args.mib),
                Some(("seconds", seconds)) => {
                    args.seconds = seconds.parse().unwrap_or(args.seconds)
                }
                _ => {}
            }
        }
        args
    }
}
