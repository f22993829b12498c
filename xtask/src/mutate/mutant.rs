//! A mutant as cargo-mutants names it, and as it is named here: without line and column, which change whenever
//! something above it does.

use std::fs;
use std::path::Path;

/// A mutant's file and change without its place: `FILE: replace + with - in FUNCTION`. Several may share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Of a full name, `FILE:LINE:COLUMN: CHANGE`.
    pub fn of(name: &str) -> Option<Self> {
        let (place, change) = name.split_once(": ")?;
        let mut parts = place.rsplitn(3, ':');
        let (column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = |part: &str| part.parse::<u32>().is_ok();
        (is_number(column) && is_number(line)).then(|| Self(format!("{file}: {change}")))
    }

    /// As it stands in the list of survivors.
    pub fn from_listed(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// File and name of the function that is changed, without its type; of a constant's value without.
    fn place(&self) -> Option<(&str, Option<&str>)> {
        let (file, change) = self.0.split_once(": ")?;
        let function = match change.rsplit_once(" in ") {
            Some((_, function)) => function,
            // A whole function: `replace FUNCTION -> TYPE with VALUE`.
            None => {
                let rest = change.strip_prefix("replace ")?;
                let end = rest.find(" -> ").or_else(|| rest.find(" with "))?;
                &rest[..end]
            }
        };
        if !function.contains(|c: char| c.is_alphabetic()) {
            return Some((file, None));
        }
        let name = function
            .rsplit_once("::")
            .map_or(function, |(_, name)| name);
        Some((file, Some(name)))
    }

    /// What is wrong with its file or function, if one of them is not there.
    pub fn missing(&self, root: &Path) -> Option<String> {
        let Some((file, function)) = self.place() else {
            return Some(format!("{self} is no name of a mutant"));
        };
        let Ok(text) = fs::read_to_string(root.join(file)) else {
            return Some(format!("{self}: no such file"));
        };
        let function = function?;
        let marks = [format!("fn {function}("), format!("fn {function}<")];
        let found = marks.iter().any(|mark| text.contains(mark));
        (!found).then(|| format!("{self}: no such function"))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_no_line() {
        let key = |name| Key::of(name).map(|key| key.to_string());
        assert_eq!(
            key("a/b.rs:12:34: replace < with <= in X<'_>::f").as_deref(),
            Some("a/b.rs: replace < with <= in X<'_>::f")
        );
        assert_eq!(key("a/b.rs: replace < with <= in f"), None);
        assert_eq!(key("nothing"), None);
    }

    #[test]
    fn a_keys_function_is_looked_for_in_its_file() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let missing = |text| Key::from_listed(text).missing(root);
        for good in [
            "xtask/src/mutate/mutant.rs: replace Key::from_listed -> Self with Self(String::new())",
            "percpu/src/cpu.rs: replace / with *",
            "xtask/src/mutate/mutant.rs: replace && with || in Key::of",
            "xtask/src/mutate/mutant.rs: replace <impl std::fmt::Display for Key>::fmt -> std::fmt::Result with Ok(())",
            "ownership/src/word.rs: delete match arm KIND_SPLIT in Word::unpack_settled",
        ] {
            assert_eq!(missing(good), None);
        }
        for bad in [
            "xtask/src/mutate/mutant.rs: replace && with || in Key::off",
            "percpu/src/cup.rs: replace / with *",
            "xtask/src/mutate/no.rs: replace && with || in Key::of",
            "xtask/src/mutate/mutant.rs: change something",
            "nothing",
        ] {
            assert!(missing(bad).is_some(), "{bad}");
        }
    }
}
