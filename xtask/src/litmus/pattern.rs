//! Which orders of instructions are allowed: regular expressions whose letters are instructions.
//!
//! `DSB.ISH (TLBI.IPAS2E1IS | TLBI.RIPAS2E1IS)* DSB.ISH ISB?`: words in a row, alternatives by `|`,
//! and `?`, `*`, `+`, `!` behind a word or a bracket. `!` is a loop that is gone through at least once, which
//! the instructions do not show: for the walk it is `*`, in rows `+`. A pattern is an automaton whose states are sets of
//! word positions (Glushkov's), so that it is also known which of its words were ever met.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

/// Parsed form; leaves are positions.
#[derive(Clone, Debug)]
enum Node {
    Word(usize),
    Row(Vec<Node>),
    Either(Vec<Node>),
    Repeat {
        of: Box<Node>,
        is_optional: bool,
        is_endless: bool,
        is_in_rows: bool,
    },
}

/// A state: the positions at which the last word may have been met. Position 0 is the start.
pub type State = BTreeSet<usize>;

/// A pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// By position minus 1.
    words: Vec<String>,
    root: Node,
    /// By position, 0 the start: what may come next.
    follow: Vec<BTreeSet<usize>>,
    last: BTreeSet<usize>,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self> {
        let spaced = ["(", ")", "|", "?", "*", "+", "!"]
            .iter()
            .fold(text.to_owned(), |text, mark| {
                text.replace(mark, &format!(" {mark} "))
            });
        let tokens: Vec<&str> = spaced.split_whitespace().collect();
        let mut parser = Parser {
            tokens: &tokens,
            at: 0,
            words: Vec::new(),
        };
        let root = parser.either()?;
        ensure!(parser.at == tokens.len(), "`{text}`: a bracket too many");
        let mut pattern = Self {
            follow: vec![BTreeSet::new(); parser.words.len() + 1],
            words: parser.words,
            root: root.clone(),
            last: BTreeSet::new(),
        };
        let ends = pattern.connect(&root, &BTreeSet::from([0]));
        pattern.last = ends;
        // One function may go through it several times.
        let first = pattern.follow[0].clone();
        for end in pattern.last.clone() {
            pattern.follow[end].extend(&first);
        }
        pattern.last.insert(0);
        Ok(pattern)
    }

    /// Before the first word.
    pub fn start(&self) -> State {
        State::from([0])
    }

    /// After `word`; empty if it must not come.
    pub fn step(&self, state: &State, word: &str) -> State {
        let next = state.iter().flat_map(|&position| &self.follow[position]);
        next.copied()
            .filter(|&position| self.words[position - 1] == word)
            .collect()
    }

    /// Whether the pattern may end here.
    pub fn is_end(&self, state: &State) -> bool {
        !state.is_disjoint(&self.last)
    }

    /// What may come next.
    pub fn due(&self, state: &State) -> Vec<&str> {
        let next: BTreeSet<&str> = state
            .iter()
            .flat_map(|&position| &self.follow[position])
            .map(|&position| self.words[position - 1].as_str())
            .collect();
        next.into_iter().collect()
    }

    /// The words whose positions are not in `met`.
    pub fn unmet(&self, met: &State) -> Vec<&str> {
        let positions = 1..=self.words.len();
        positions
            .filter(|position| !met.contains(position))
            .map(|position| self.words[position - 1].as_str())
            .collect()
    }

    /// Whether `word` is one of the pattern's.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|it| it == word)
    }

    /// Every row of words that it allows once, with endless parts done at most once.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let rows: BTreeSet<Vec<usize>> = expand(&self.root).into_iter().collect();
        let words = |row: Vec<usize>| {
            let words = row
                .into_iter()
                .map(|position| self.words[position - 1].clone());
            words.collect()
        };
        let rows: BTreeSet<Vec<String>> = rows.into_iter().map(words).collect();
        rows.into_iter().collect()
    }

    /// Enters what follows what; returns the positions at which `node` may end if it is entered
    /// after one of `before`.
    fn connect(&mut self, node: &Node, before: &BTreeSet<usize>) -> BTreeSet<usize> {
        match node {
            Node::Word(position) => {
                for &end in before {
                    self.follow[end].insert(*position);
                }
                BTreeSet::from([*position])
            }
            Node::Row(parts) => parts
                .iter()
                .fold(before.clone(), |ends, part| self.connect(part, &ends)),
            Node::Either(parts) => parts
                .iter()
                .flat_map(|part| self.connect(part, before))
                .collect(),
            Node::Repeat {
                of,
                is_optional,
                is_endless,
                ..
            } => {
                let mut ends = self.connect(of, before);
                if *is_endless {
                    let again = ends.clone();
                    ends.extend(self.connect(of, &again));
                }
                if *is_optional {
                    ends.extend(before);
                }
                ends
            }
        }
    }
}

fn expand(node: &Node) -> Vec<Vec<usize>> {
    match node {
        Node::Word(position) => vec![vec![*position]],
        Node::Either(parts) => parts.iter().flat_map(expand).collect(),
        Node::Repeat {
            of,
            is_optional,
            is_in_rows,
            ..
        } => {
            let mut rows = expand(of);
            if *is_optional && !is_in_rows {
                rows.push(Vec::new());
            }
            rows
        }
        Node::Row(parts) => parts.iter().fold(vec![Vec::new()], |rows, part| {
            let tails = expand(part);
            let with = |row: &Vec<usize>| {
                let row = row.clone();
                let tails = tails.clone().into_iter();
                tails.map(move |tail| [row.clone(), tail].concat())
            };
            rows.iter().flat_map(with).collect()
        }),
    }
}

struct Parser<'a> {
    tokens: &'a [&'a str],
    at: usize,
    words: Vec<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).copied()
    }

    fn either(&mut self) -> Result<Node> {
        let mut parts = vec![self.row()?];
        while self.peek() == Some("|") {
            self.at += 1;
            parts.push(self.row()?);
        }
        Ok(if parts.len() == 1 {
            parts.remove(0)
        } else {
            Node::Either(parts)
        })
    }

    fn row(&mut self) -> Result<Node> {
        let mut parts = Vec::new();
        while let Some(token) = self.peek() {
            let mut part = match token {
                "|" | ")" => break,
                "?" | "*" | "+" | "!" => bail!("`{token}` behind nothing"),
                "(" => {
                    self.at += 1;
                    let inner = self.either()?;
                    ensure!(self.peek() == Some(")"), "a bracket is not closed");
                    inner
                }
                word => {
                    let word = word.to_owned();
                    self.words.push(word);
                    Node::Word(self.words.len())
                }
            };
            self.at += 1;
            while let Some(mark @ ("?" | "*" | "+" | "!")) = self.peek() {
                part = Node::Repeat {
                    of: Box::new(part),
                    is_optional: mark != "+",
                    is_endless: mark != "?",
                    is_in_rows: mark == "!",
                };
                self.at += 1;
            }
            parts.push(part);
        }
        Ok(Node::Row(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(pattern: &Pattern, text: &str) -> bool {
        let mut state = pattern.start();
        for word in text.split_whitespace() {
            state = pattern.step(&state, word);
        }
        pattern.is_end(&state)
    }

    #[test]
    fn a_pattern_allows_its_rows_any_number_of_times() {
        let pattern = Pattern::parse("D (T | R)* D V D (V D)? I").unwrap();
        for good in [
            "",
            "D D V D I",
            "D T R T D V D I",
            "D T D V D V D I",
            "D D V D I D T D V D I",
        ] {
            assert!(allows(&pattern, good), "{good}");
        }
        for bad in [
            "D",
            "D T V D I",
            "T D V D I",
            "D T D V D V I",
            "D T D V D",
            "D T D V I D",
        ] {
            assert!(!allows(&pattern, bad), "{bad}");
        }
        assert_eq!(pattern.rows().len(), 6);
        assert!(
            pattern
                .rows()
                .contains(&["D", "R", "D", "V", "D", "I"].map(str::to_owned).to_vec())
        );
    }

    #[test]
    fn words_that_were_never_met_are_known() {
        let pattern = Pattern::parse("A+ B? C").unwrap();
        let mut met = State::new();
        let mut state = pattern.start();
        for word in ["A", "A", "C"] {
            state = pattern.step(&state, word);
            met.extend(&state);
        }
        assert_eq!(pattern.unmet(&met), ["B"]);
        assert_eq!(pattern.due(&pattern.start()), ["A"]);
    }

    #[test]
    fn a_loop_that_is_gone_through_is_in_every_row() {
        let pattern = Pattern::parse("D (T | R)! V").unwrap();
        assert!(allows(&pattern, "D V") && allows(&pattern, "D T R V"));
        let rows = pattern.rows();
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row.len() == 3));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["(A", "A)", "* A", "! A", "A | ) B"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
