//! Guests that are not to end well: `--fate 1=crash`. The host's `fate.rs` is the other half.

use std::collections::BTreeMap;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

/// What becomes of a guest instead of its workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its kernel panics.
    Crash,
    /// All its vCPUs spin until the host ends it, after the other guests.
    Spin,
    /// The host ends it in the middle of its workload.
    Kill,
}

impl Fate {
    /// Its key on the host's command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Spin => "spin",
            Self::Kill => "kill",
        }
    }

    /// What the summary must say of the guest's end.
    pub fn exit(self) -> &'static str {
        match self {
            Self::Crash => "panic",
            Self::Spin => "killed spinning",
            Self::Kill => "killed",
        }
    }
}

/// One `--fate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestFate {
    /// The guest.
    pub guest: u32,
    /// What becomes of it.
    pub fate: Fate,
}

impl FromStr for GuestFate {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (guest, fate) = text
            .split_once('=')
            .context("not GUEST=FATE, as in 1=crash")?;
        Ok(Self {
            guest: guest.parse().context("not the number of a guest")?,
            fate: match fate {
                "crash" => Fate::Crash,
                "spin" => Fate::Spin,
                "kill" => Fate::Kill,
                _ => bail!("unknown fate {fate:?} (crash, spin and kill are known)"),
            },
        })
    }
}

/// Fates by guest. Fails for a guest that is none of `guests`, or has two.
pub fn by_guest(fates: &[GuestFate], guests: u32) -> Result<BTreeMap<u32, Fate>> {
    let mut by_guest = BTreeMap::new();
    for &GuestFate { guest, fate } in fates {
        let key = fate.key();
        ensure!(
            guest < guests,
            "--fate {guest}={key}: guests are 0 to {}",
            guests - 1
        );
        ensure!(
            by_guest.insert(guest, fate).is_none(),
            "--fate {guest}={key}: a guest has one fate"
        );
    }
    Ok(by_guest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_read() {
        let fate = Fate::Spin;
        assert_eq!(
            "12=spin".parse::<GuestFate>().unwrap(),
            GuestFate { guest: 12, fate }
        );
        for text in [
            "",
            "1",
            "=crash",
            "x=crash",
            "-1=kill",
            "1=die",
            "1=crash=2",
        ] {
            assert!(text.parse::<GuestFate>().is_err(), "{text}");
        }
    }
}
