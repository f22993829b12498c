//! The host's command line: `key=value` words, as the boot archive's `host.cmdline` gives them.
//!
//! Invariants: an absent key takes its default; an unknown key or a malformed value is an error
//! that names the word, never ignored. Numbers are decimal.

use crate::fate::Fate;
use alloc::{collections::BTreeMap, format, string::String};

/// Longest deadline, in seconds: in ticks of any counter it fits 64 bits.
const LONGEST: u64 = 1_000_000;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Args {
    /// How many guests.
    pub guests: usize,
    /// vCPUs of each.
    pub vcpus: usize,
    /// Bytes of RAM of each.
    pub guest_mem: u64,
    /// Whether host and guests attack each other.
    pub attack: bool,
    /// Whether the guests' kernels say no more than they have to.
    pub quiet: bool,
    /// The guest whose console is this machine's, if one's is.
    pub console: Option<usize>,
    /// Guests that are not to end well.
    pub fates: BTreeMap<usize, Fate>,
    /// Seconds after which a guest that still runs is killed.
    pub deadline: u64,
    /// Where random choices begin.
    pub seed: u64,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            guests: 2,
            vcpus: 2,
            guest_mem: 256 << 20,
            attack: true,
            quiet: false,
            console: None,
            fates: BTreeMap::new(),
            deadline: 900,
            seed: 1,
        }
    }
}

impl Args {
    /// Reads a command line.
    pub fn parse(line: &str) -> Result<Self, String> {
        let mut args = Self::default();
        for word in line.split_whitespace() {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("'{word}' is not key=value"))?;
            let number: u64 = value
                .parse()
                .map_err(|_| format!("'{word}' holds no number"))?;
            match key {
                "guests" => args.guests = narrow(number, word)?,
                "vcpus" => args.vcpus = narrow(number, word)?,
                "guest-mem" => args.guest_mem = number,
                "attack" => args.attack = number != 0,
                "quiet" => args.quiet = number != 0,
                "console" => args.console = Some(narrow(number, word)?),
                "deadline" => args.deadline = number,
                "seed" => args.seed = number,
                _ => {
                    let fate = Fate::from_key(key)
                        .ok_or_else(|| format!("'{key}' is no key of the host's command line"))?;
                    if args.fates.insert(narrow(number, word)?, fate).is_some() {
                        return Err(format!("'{word}' is that guest's second fate"));
                    }
                }
            }
        }
        args.check()?;
        Ok(args)
    }

    fn check(&self) -> Result<(), String> {
        let vms = abi::limit::VMS - 1;
        if self.guests == 0 || self.guests > vms {
            return Err(format!("guests={} is not between 1 and {vms}", self.guests));
        }
        if self.vcpus == 0 || self.vcpus > abi::limit::VCPUS_PER_VM {
            let most = abi::limit::VCPUS_PER_VM;
            return Err(format!("vcpus={} is not between 1 and {most}", self.vcpus));
        }
        if !self.guest_mem.is_multiple_of(2 << 20) || self.guest_mem == 0 {
            return Err(format!(
                "guest-mem={} is not a multiple of 2 MiB",
                self.guest_mem
            ));
        }
        if self.deadline > LONGEST {
            return Err(format!(
                "deadline={} is more than {LONGEST} seconds",
                self.deadline
            ));
        }
        let named = self.console.iter().chain(self.fates.keys());
        match named.max() {
            Some(guest) if *guest >= self.guests => Err(format!("{guest} is no guest")),
            _ => Ok(()),
        }
    }
}

fn narrow(number: u64, word: &str) -> Result<usize, String> {
    usize::try_from(number).map_err(|_| format!("'{word}' is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_keys_take_defaults() {
        assert_eq!(Args::parse(" "), Ok(Args::default()));
    }

    #[test]
    fn every_key_is_read() {
        let line = "guests=4 vcpus=3 guest-mem=134217728 attack=0 quiet=1 console=1 deadline=9 seed=7 \
                    crash=0 kill=2";
        let expected = Args {
            guests: 4,
            vcpus: 3,
            guest_mem: 128 << 20,
            attack: false,
            quiet: true,
            console: Some(1),
            fates: BTreeMap::from([(0, Fate::Crash), (2, Fate::Kill)]),
            deadline: 9,
            seed: 7,
        };
        assert_eq!(Args::parse(line), Ok(expected));
    }

    #[test]
    fn bad_words_are_named() {
        for line in [
            "guests",
            "guests=x",
            "what=1",
            "guests=0",
            "guests=300",
            "vcpus=65",
            "deadline=1000001",
            "guests=2 kill=2",
            "crash=1 spin=1",
        ] {
            assert!(Args::parse(line).is_err(), "{line}");
        }
        assert!(
            Args::parse("guests=2 console=2")
                .unwrap_err()
                .contains("2 is no guest")
        );
        assert!(Args::parse("guest-mem=1000").unwrap_err().contains("2 MiB"));
    }
}
