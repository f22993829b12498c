//! A row: words of a sequence's pattern in an order that the pattern allows, and rows that are broken.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use crate::litmus::manifest::Sequence;

/// The words of a row.
pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Whether the sequence `of` allows this row.
pub fn is_row(sequences: &BTreeMap<String, Sequence>, of: &str, row: &str) -> bool {
    let sequence = sequences.get(of);
    sequence.is_some_and(|sequence| sequence.pattern.rows().contains(&words(row)))
}

/// The row changed as told: `no WORD`, `no WORD 2` for the second, `WORD 2 to OTHER`, `swap WORD 1
/// WORD 2`, changes joined by `, `.
pub fn broken(base: &[String], change: &str) -> Result<Vec<String>> {
    let mut row = base.to_vec();
    for part in change.split(", ") {
        match words(part)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .as_slice()
        {
            ["no", word] => drop(row.remove(find(&row, word, 1)?)),
            ["no", word, nth] => drop(row.remove(find(&row, word, nth.parse()?)?)),
            [word, "to", other] => {
                let at = find(&row, word, 1)?;
                row[at] = (*other).to_owned();
            }
            [word, nth, "to", other] => {
                let at = find(&row, word, nth.parse()?)?;
                row[at] = (*other).to_owned();
            }
            ["swap", one, other] => {
                let (one, other) = (find(&row, one, 1)?, find(&row, other, 1)?);
                row.swap(one, other);
            }
            _ => bail!("not a change"),
        }
    }
    Ok(row)
}

/// Where `word` stands for the `nth` time.
fn find(row: &[String], word: &str, nth: usize) -> Result<usize> {
    let mut places = row.iter().enumerate().filter(|(_, it)| *it == word);
    let place = places.nth(nth.wrapping_sub(1));
    place
        .map(|(at, _)| at)
        .with_context(|| format!("no {word} {nth}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_broken_as_told() {
        let base = words("D T D V D I");
        for (change, row) in [
            ("no D", "T D V D I"),
            ("no D 2", "D T V D I"),
            ("no D 3, no T", "D D V I"),
            ("T to X", "D X D V D I"),
            ("D 3 to N", "D T D V N I"),
            ("swap T V", "D V D T D I"),
        ] {
            assert_eq!(broken(&base, change).unwrap(), words(row), "{change}");
        }
        for change in ["no X", "no D 4", "no D 0", "D 2", "swap D X", ""] {
            assert!(broken(&base, change).is_err(), "{change}");
        }
    }
}
