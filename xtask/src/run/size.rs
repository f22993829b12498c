//! Amounts of memory as one types them: `256M`, `1G`, `4096`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// One mebibyte.
pub const MIB: u64 = 1 << 20;
/// One gibibyte.
pub const GIB: u64 = 1 << 30;

impl FromStr for Bytes {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "" => 0,
            "K" | "KIB" => 10,
            "M" | "MIB" => 20,
            "G" | "GIB" => 30,
            "T" | "TIB" => 40,
            unit => anyhow::bail!("unknown unit {unit:?} (K, M, G and T are known)"),
        };
        let number: u64 = digits.parse().context("not a number of bytes")?;
        ensure!(number > 0, "a size is not 0");
        number
            .checked_mul(1 << shift)
            .map(Self)
            .context("more than 64 bits hold")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n.is_multiple_of(GIB) => write!(f, "{} GiB", n / GIB),
            n if n.is_multiple_of(MIB) => write!(f, "{} MiB", n / MIB),
            n if n.is_multiple_of(1 << 10) => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_two() {
        for (text, bytes) in [
            ("4096", 4096),
            ("4k", 4096),
            ("256M", 256 * MIB),
            ("256MiB", 256 * MIB),
            ("1T", 1 << 40),
        ] {
            assert_eq!(text.parse::<Bytes>().unwrap(), Bytes(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "M", "-1", "1.5G", "0", "1X", "99999999999T"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn shown_in_the_largest_whole_unit() {
        assert_eq!(Bytes(256 * MIB).to_string(), "256 MiB");
        assert_eq!(Bytes(2 * GIB).to_string(), "2 GiB");
        assert_eq!(Bytes(5).to_string(), "5 bytes");
    }
}
