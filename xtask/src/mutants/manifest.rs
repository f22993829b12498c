//! `xtask/mutants.toml`: what each mutant is without, and what was seen to catch it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::mutants::catcher::{Catcher, Kind};
use crate::mutants::{places, sources};

/// Where it lies in the checkout.
pub const FILE: &str = "xtask/mutants.toml";

/// All mutants by name.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Manifest {
    pub mutants: BTreeMap<String, Mutant>,
}

/// One mutant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What it is without.
    pub removes: String,
    /// Whether the main run goes red.
    #[serde(default)]
    run: bool,
    /// Whether a call in a storm takes more than it may.
    #[serde(default)]
    storm: bool,
    #[serde(default)]
    hw: Vec<String>,
    #[serde(default)]
    sim: Vec<String>,
    #[serde(default)]
    fuzz: Vec<String>,
    #[serde(default)]
    conform: Vec<String>,
    #[serde(default)]
    linear: Vec<String>,
    #[serde(default)]
    unit: Vec<String>,
    #[serde(default)]
    loom: Vec<String>,
    #[serde(default)]
    litmus: Vec<String>,
    #[serde(default)]
    bench: Vec<String>,
    #[serde(default)]
    stack: Vec<String>,
    /// Weaknesses of the models' hardware: without any one of these its first model passes.
    #[serde(default)]
    pub lives_without: Vec<String>,
    /// Kinds whose first catcher is tried with every commit.
    #[serde(default)]
    quick: Vec<Kind>,
    /// Why nothing catches it.
    pub survives: Option<String>,
}

impl Manifest {
    /// Reads the checkout's manifest.
    pub fn load(root: &Path) -> Result<Self> {
        let text = fs::read_to_string(root.join(FILE)).with_context(|| format!("read {FILE}"))?;
        Self::parse(&text).context(FILE)
    }

    pub fn parse(text: &str) -> Result<Self> {
        let manifest: Self = toml::from_str(text)?;
        for (name, mutant) in &manifest.mutants {
            mutant.check().with_context(|| name.clone())?;
        }
        Ok(manifest)
    }

    /// The mutants that the main run catches.
    pub fn caught_by_run(&self) -> impl Iterator<Item = &str> {
        let caught = self.mutants.iter().filter(|(_, mutant)| mutant.run);
        caught.map(|(name, _)| name.as_str())
    }

    /// The mutants that the hardware test called `test` catches.
    pub fn caught_by_hw(&self, test: &str) -> impl Iterator<Item = &str> {
        // Behind an `@` stands the machine.
        let is_it = move |name: &String| name.split('@').next() == Some(test);
        let named = move |mutant: &Mutant| mutant.hw.iter().any(is_it);
        let caught = self.mutants.iter().filter(move |(_, mutant)| named(mutant));
        caught.map(|(name, _)| name.as_str())
    }

    /// Fails unless the main run goes red on `name`, and says what else does.
    pub fn require_run(&self, name: &str) -> Result<()> {
        let mutant = self.mutants.get(name).with_context(|| {
            format!("--mutant {name}: no such mutant; `cargo xtask mutants --list` names all")
        })?;
        if let Some(reason) = &mutant.survives {
            anyhow::bail!("--mutant {name}: nothing catches it: {reason}");
        }
        ensure!(
            mutant.run,
            "--mutant {name}: no check of the run is for it; `cargo xtask mutants {name}` catches it"
        );
        Ok(())
    }

    /// Where manifest and sources do not name the same mutants.
    pub fn disagreements(&self, root: &Path) -> Result<Vec<String>> {
        let mut wrong = self.compare(&sources::names(root)?.into_keys().collect());
        let catchers = self.mutants.values().flat_map(Mutant::catchers);
        wrong.extend(catchers.filter_map(|catcher| places::missing(root, &catcher)));
        wrong.dedup();
        Ok(wrong)
    }

    fn compare(&self, known: &BTreeSet<String>) -> Vec<String> {
        let listed = |name: &&String| self.mutants.contains_key(*name);
        let unlisted = known.iter().filter(|name| !listed(name));
        let stale = self.mutants.keys().filter(|name| !known.contains(*name));
        unlisted
            .map(|name| format!("mutant {name} is not in {FILE}"))
            .chain(stale.map(|name| format!("mutant {name} of {FILE} is in no source")))
            .collect()
    }

    /// How many mutants nothing catches.
    pub fn survivors(&self) -> usize {
        let survives = |mutant: &&Mutant| mutant.survives.is_some();
        self.mutants.values().filter(survives).count()
    }

    /// How many mutants something of this kind catches.
    pub fn caught_by(&self, kind: Kind) -> usize {
        let catches = |mutant: &&Mutant| mutant.catchers().iter().any(|c| c.kind == kind);
        self.mutants.values().filter(catches).count()
    }
}

impl Mutant {
    /// Everything that catches it: what is quick to try first.
    pub fn catchers(&self) -> Vec<Catcher> {
        let tests = |kind, tests: &[String]| -> Vec<Catcher> {
            let catcher = |test: &String| Catcher::new(kind, test);
            tests.iter().map(catcher).collect()
        };
        let mut all = tests(Kind::Unit, &self.unit);
        all.extend(tests(Kind::Sim, &self.sim));
        all.extend(tests(Kind::Fuzz, &self.fuzz));
        all.extend(tests(Kind::Loom, &self.loom));
        all.extend(tests(Kind::Litmus, &self.litmus));
        all.extend(tests(Kind::Conform, &self.conform));
        all.extend(tests(Kind::Linear, &self.linear));
        all.extend(tests(Kind::Hw, &self.hw));
        if self.run {
            all.push(Catcher::new(Kind::Run, ""));
        }
        if self.storm {
            all.push(Catcher::new(Kind::Storm, ""));
        }
        all.extend(tests(Kind::Bench, &self.bench));
        all.extend(tests(Kind::Stack, &self.stack));
        all
    }

    /// The first of its models.
    pub fn first_model(&self) -> Option<Catcher> {
        let first = self.loom.first();
        first.map(|test| Catcher::new(Kind::Loom, test))
    }

    /// The catchers for every commit.
    pub fn quick_catchers(&self) -> Vec<Catcher> {
        let all = self.catchers();
        let first = |kind: &Kind| all.iter().find(|catcher| catcher.kind == *kind).cloned();
        self.quick.iter().filter_map(first).collect()
    }

    fn check(&self) -> Result<()> {
        let catchers = self.catchers();
        ensure!(
            catchers.is_empty() == self.survives.is_some(),
            "either something catches it, or `survives` says why nothing does"
        );
        for catcher in &catchers {
            catcher.check()?;
        }
        for kind in &self.quick {
            let has = catchers.iter().any(|catcher| catcher.kind == *kind);
            ensure!(has, "quick: nothing of the kind {kind} catches it");
        }
        ensure!(
            self.lives_without.is_empty() || !self.loom.is_empty(),
            "lives_without: no model catches it"
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [scrub-skip]
        removes = "the zeroes"
        run = true
        hw = ["roundtrip::block"]
        sim = ["memory::a", "memory::b"]
        quick = ["sim", "run"]
        [claim-relaxed]
        removes = "Acquire"
        loom = ["ownership one_page"]
        [switch-no-dsb]
        removes = "DSB"
        survives = "needs a real core"
    "#;

    fn names<'a>(catchers: impl IntoIterator<Item = &'a Catcher>) -> Vec<String> {
        catchers.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn catchers_come_with_the_cheap_ones_first() {
        let manifest = Manifest::parse(TEXT).unwrap();
        let mutant = &manifest.mutants["scrub-skip"];
        assert_eq!(
            names(&mutant.catchers()),
            [
                "sim memory::a",
                "sim memory::b",
                "hw roundtrip::block",
                "run"
            ]
        );
        assert_eq!(names(&mutant.quick_catchers()), ["sim memory::a", "run"]);
    }

    #[test]
    fn the_run_takes_only_what_it_shows() {
        let manifest = Manifest::parse(TEXT).unwrap();
        assert_eq!(manifest.caught_by_run().collect::<Vec<_>>(), ["scrub-skip"]);
        assert!(manifest.require_run("scrub-skip").is_ok());
        for (name, said) in [
            ("claim-relaxed", "`cargo xtask mutants claim-relaxed`"),
            ("switch-no-dsb", "needs a real core"),
            ("nonsense", "--list"),
        ] {
            let error = manifest.require_run(name).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn every_mutant_is_listed_once_and_has_a_catcher_or_a_reason() {
        let manifest = Manifest::parse(TEXT).unwrap();
        assert_eq!(manifest.survivors(), 1);
        let known = ["scrub-skip", "claim-relaxed", "new"].map(str::to_owned);
        let said = manifest.compare(&BTreeSet::from(known));
        assert_eq!(said.len(), 2);
        assert!(said[0].contains("new is not") && said[1].contains("switch-no-dsb"));
    }

    #[test]
    fn nonsense_is_refused() {
        for (good, bad) in [
            ("survives = \"needs a real core\"", ""),
            ("removes = \"DSB\"", "removes = \"DSB\"\nrun = true"),
            ("ownership one_page", "one_page"),
            ("memory::a", "engine memory::a"),
            ("quick = [\"sim\"", "quick = [\"loom\""),
            ("quick = [\"sim\"", "quick = [\"fast\""),
            ("removes = \"Acquire\"", ""),
            (
                "quick = [\"sim\", \"run\"]",
                "lives_without = [\"late-walkers\"]",
            ),
            ("sim = ", "simulated = "),
        ] {
            let text = TEXT.replacen(good, bad, 1);
            assert!(Manifest::parse(&text).is_err(), "{bad}");
        }
    }
}
