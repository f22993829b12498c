//! The committed medians: what a commit may not exceed.
//!
//! `xtask/bench.toml` holds a table for each processor model, an operation a line, and which compiler they are of:
//! another one's code is another, and is held to less. Invariants: medians fall only, but by a hand that says why;
//! an operation without a median, and one that was not measured, are failures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::bench::figure::Figure;

const FILE: &str = "xtask/bench.toml";
const HEAD: &str = "\
# Medians that no commit exceeds by more than 1 %, by processor model and operation: instructions, as
# `cargo xtask bench` counts them. `cargo xtask bench --lower` writes lower ones here; one that rises is written
# by hand, in a commit with a record in docs/adr/ that says why.

";
/// A median may be so much above the committed one; and with another compiler than that one's.
const TOLERANCE: f64 = 1.01;
const TOLERANCE_OF_ANOTHER: f64 = 1.25;

type Medians = BTreeMap<String, f64>;

/// The medians, of which one model's are in use.
#[derive(Debug, Deserialize, Serialize)]
pub struct Baseline {
    /// What rustc says of itself.
    compiler: String,
    #[serde(flatten)]
    models: BTreeMap<String, Medians>,
    #[serde(skip)]
    model: String,
}

impl Baseline {
    /// Reads the medians of `model`.
    pub fn load(root: &Path, model: &str) -> Result<Self> {
        let file = root.join(FILE);
        let name = || file.display().to_string();
        let mut baseline: Self =
            toml::from_str(&fs::read_to_string(&file).with_context(name)?).with_context(name)?;
        baseline.model = model.to_owned();
        Ok(baseline)
    }

    /// Takes over the medians that are lower, or new; all that the other compiler's were are forgotten.
    pub fn lower(&mut self, figures: &[Figure], compiler: &str) {
        if self.compiler != compiler {
            compiler.clone_into(&mut self.compiler);
            self.models.clear();
        }
        let medians = self.models.entry(self.model.clone()).or_default();
        for figure in figures {
            let own = medians.entry(figure.op.clone()).or_insert(figure.median);
            *own = own.min(figure.median);
        }
    }

    /// Writes the file.
    pub fn save(&self, root: &Path) -> Result<()> {
        let text = HEAD.to_owned() + &toml::to_string(self)?;
        fs::write(root.join(FILE), text).context(FILE)
    }

    /// For each operation with `filter` in its name what was seen, or why it fails.
    pub fn judge(
        &self,
        figures: &[Figure],
        filter: &str,
        compiler: &str,
    ) -> Vec<(String, Result<String, String>)> {
        let tolerance = if compiler == self.compiler {
            TOLERANCE
        } else {
            TOLERANCE_OF_ANOTHER
        };
        let none = Medians::new();
        let medians = self.models.get(&self.model).unwrap_or(&none);
        let missing = medians.keys().filter(|op| op.contains(filter));
        let missing = missing.filter(|op| figures.iter().all(|figure| figure.op != **op));
        let missing = missing.map(|op| (op.clone(), Err("not measured".to_owned())));
        let judged = figures.iter().map(|figure| {
            let seen = figure.median;
            let verdict = match medians.get(&figure.op) {
                None => Err(format!("{seen}, and {FILE} has no median of it")),
                Some(most) if seen > most * tolerance => Err(format!("{seen}, not {most}")),
                Some(most) => Ok(format!("{seen} of {most}")),
            };
            (figure.op.clone(), verdict)
        });
        judged.chain(missing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(op: &str, median: f64) -> Figure {
        Figure {
            op: op.to_owned(),
            unit: "instructions",
            n: 1,
            min: median,
            median,
            p99: median,
            floor: None,
            nearest_peer: None,
        }
    }

    fn baseline() -> Baseline {
        let mut baseline: Baseline =
            toml::from_str("compiler = \"c\"\n[max]\na = 1000.0\nb = 10.0\n").unwrap();
        baseline.model = "max".into();
        baseline
    }

    fn failed(figures: &[Figure], filter: &str) -> Vec<String> {
        let judged = baseline().judge(figures, filter, "c").into_iter();
        let wrong = judged.filter(|(_, verdict)| verdict.is_err());
        wrong.map(|(op, _)| op).collect()
    }

    #[test]
    fn one_percent_is_let_pass_and_more_is_not() {
        let b = figure("b", 10.0);
        assert!(failed(&[figure("a", 1010.0), b.clone()], "").is_empty());
        assert_eq!(failed(&[figure("a", 1010.1), b.clone()], ""), ["a"]);
        assert_eq!(failed(&[b.clone(), figure("new", 1.0)], ""), ["new", "a"]);
        assert!(failed(std::slice::from_ref(&b), "b").is_empty());
        let judged = baseline().judge(&[figure("a", 1250.0), figure("b", 12.6)], "", "d");
        let [(_, quarter), (_, more)] = &judged[..] else {
            panic!("{judged:?}");
        };
        assert!(quarter.is_ok() && more.is_err());
    }

    #[test]
    fn medians_only_fall() {
        let mut baseline = baseline();
        let figures = [figure("a", 2000.0), figure("b", 5.0), figure("c", 7.0)];
        baseline.lower(&figures, "c");
        let medians = &baseline.models["max"];
        assert_eq!(
            (medians["a"], medians["b"], medians["c"]),
            (1000.0, 5.0, 7.0)
        );
        let again: Baseline = toml::from_str(&toml::to_string(&baseline).unwrap()).unwrap();
        assert_eq!(again.models, baseline.models);
        baseline.lower(&figures[..1], "d");
        assert_eq!(
            baseline.models["max"],
            Medians::from([("a".into(), 2000.0)])
        );
    }
}
