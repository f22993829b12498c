//! The host's console: what its script said there, by key.

/// How the script's lines begin.
pub const MARK: &str = "HOST: ";

/// What a test saw, or why it failed.
pub type Outcome = Result<String, String>;

/// The console, its lines of the script apart.
pub struct Said<'a> {
    /// All of it.
    pub console: &'a str,
    /// The script's lines, without their mark.
    pub lines: Vec<&'a str>,
}

impl<'a> Said<'a> {
    /// Reads a console.
    pub fn read(console: &'a str) -> Self {
        let lines = console.lines().map(str::trim_end);
        let lines = lines.filter_map(|line| line.strip_prefix(MARK)).collect();
        Self { console, lines }
    }

    /// What follows `key` in the lines that begin with it.
    pub fn of(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let rest = move |line: &'a str| line.strip_prefix(key)?.strip_prefix(' ');
        self.lines.iter().filter_map(move |line| rest(line))
    }

    /// The one line of `key` says `wanted`.
    pub fn expect(&self, key: &str, wanted: &str) -> Outcome {
        match self.of(key).collect::<Vec<_>>().as_slice() {
            [said] if *said == wanted => Ok(wanted.to_owned()),
            [] => Err(format!("nothing said of {key}")),
            said => Err(format!("{}, not {wanted}", said.join(" and "))),
        }
    }

    /// Interrupts on each core by the name that `is_it` knows, at `when`.
    pub fn interrupts(&self, when: &str, is_it: impl Fn(&str) -> bool) -> Vec<u64> {
        let line = self.of(when).find(|line| is_it(line)).unwrap_or_default();
        let counts = line.split_whitespace().skip(1);
        counts.map_while(|word| word.parse().ok()).collect()
    }

    /// The words that follow `key` and `number`.
    pub fn numbers(&self, key: &str, number: u32) -> Result<Vec<&'a str>, String> {
        let line = self.of(&format!("{key} {number}")).next();
        let line = line.ok_or_else(|| format!("nothing of core {number}"))?;
        Ok(line.split_whitespace().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_their_whole_key() {
        let said = Said::read("HOST: online 8\r\nonline 9\nHOST: onlines 7\nHOST: fill 1 2 3\n");
        assert_eq!(said.of("online").collect::<Vec<_>>(), ["8"]);
        assert_eq!(said.expect("online", "8"), Ok("8".into()));
        assert!(said.expect("online", "7").is_err() && said.expect("on", "8").is_err());
        assert_eq!(said.numbers("fill", 1), Ok(vec!["2", "3"]));
        assert!(said.numbers("fill", 2).is_err());
    }

    #[test]
    fn what_is_said_twice_is_not_what_was_expected() {
        let said = Said::read("HOST: online 8\nHOST: online 8\n");
        assert!(said.expect("online", "8").is_err());
    }

    #[test]
    fn counts_end_where_words_begin() {
        let said = Said::read("HOST: after 14: 1 2 GICv3 33 Level x\n");
        assert_eq!(said.interrupts("after", |line| line.ends_with('x')), [1, 2]);
        assert!(said.interrupts("before", |_| true).is_empty());
    }
}
