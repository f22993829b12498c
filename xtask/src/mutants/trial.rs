//! Which tests are tried on which mutants, and what must come of it.

use anyhow::{Result, ensure};

use super::Options;
use super::catcher::Catcher;
use super::manifest::{Manifest, Mutant};

/// A mutant, a test of it, and what the test must say.
#[derive(Debug)]
pub struct Trial<'a> {
    pub mutant: &'a str,
    pub catcher: Catcher,
    /// Fail; or pass, when the models' hardware is without this weakness.
    pub without: Option<&'a str>,
}

impl Trial<'_> {
    /// What a table calls it.
    pub fn name(&self) -> String {
        match self.without {
            Some(weakness) => format!("{} without {weakness}", self.mutant),
            None => self.mutant.to_owned(),
        }
    }
}

/// The trials that `options` ask for, by the mutants' names.
pub fn select<'a>(manifest: &'a Manifest, options: &Options) -> Result<Vec<Trial<'a>>> {
    let mut trials = Vec::new();
    for (mutant, what) in wanted(manifest, options) {
        trials.extend(catchers(what, options).into_iter().map(|catcher| Trial {
            mutant,
            catcher,
            without: None,
        }));
        trials.extend(weaknesses(what, options).map(|(catcher, weakness)| Trial {
            mutant,
            catcher,
            without: Some(weakness),
        }));
    }
    ensure!(
        wanted(manifest, options).next().is_some(),
        "no such mutant; `--list` names them all"
    );
    ensure!(
        !trials.is_empty(),
        "nothing catches it; `--list` says of each why"
    );
    Ok(trials)
}

/// The mutants with the filter in their names.
pub fn wanted<'a>(
    manifest: &'a Manifest,
    options: &Options,
) -> impl Iterator<Item = (&'a str, &'a Mutant)> {
    manifest
        .mutants
        .iter()
        .map(|(name, mutant)| (name.as_str(), mutant))
        .filter(|(name, _)| name.contains(&options.filter))
}

fn catchers(mutant: &Mutant, options: &Options) -> Vec<Catcher> {
    let mut found = match options.quick {
        true => mutant.quick_catchers(),
        false => mutant.catchers(),
    };
    found.retain(|catcher| options.by.is_none_or(|kind| kind == catcher.kind));
    if !(options.quick || options.all) {
        found.truncate(1);
    }
    found
}

fn weaknesses<'a>(
    mutant: &'a Mutant,
    options: &Options,
) -> impl Iterator<Item = (Catcher, &'a str)> {
    let model = mutant
        .first_model()
        .filter(|model| !options.quick && options.by.is_none_or(|kind| kind == model.kind));
    let weaknesses = mutant.lives_without.iter().map(String::as_str);
    weaknesses.filter_map(move |weakness| Some((model.clone()?, weakness)))
}

#[cfg(test)]
mod tests {
    use super::super::catcher::Kind;
    use super::*;

    const TEXT: &str = r#"
        [a-keep-leaf]
        removes = "the leaf"
        hw = ["roundtrip::block", "roundtrip::page"]
        sim = ["memory::a", "memory::b"]
        loom = ["engine donating::x"]
        lives_without = ["late-walkers"]
        quick = ["hw"]
        [b-no-dsb]
        removes = "DSB"
        survives = "needs a real core"
    "#;

    fn names(options: &Options) -> Vec<String> {
        let manifest = toml::from_str(TEXT).unwrap();
        let trials = select(&manifest, options).unwrap();
        let name = |trial: &Trial<'_>| format!("{}: {}", trial.name(), trial.catcher);
        trials.iter().map(name).collect()
    }

    #[test]
    fn one_catcher_is_the_cheapest_and_all_are_all() {
        let weak = "a-keep-leaf without late-walkers: loom engine donating::x";
        let mut options = Options::default();
        assert_eq!(names(&options), ["a-keep-leaf: sim memory::a", weak]);
        options.by = Some(Kind::Hw);
        assert_eq!(names(&options), ["a-keep-leaf: hw roundtrip::block"]);
        options.all = true;
        assert_eq!(names(&options).len(), 2);
        options.by = None;
        assert_eq!(names(&options).len(), 6);
        options.quick = true;
        assert_eq!(names(&options), ["a-keep-leaf: hw roundtrip::block"]);
    }

    #[test]
    fn nothing_to_try_is_an_error() {
        let manifest = toml::from_str(TEXT).unwrap();
        for (filter, said) in [("b-no", "nothing catches"), ("c-", "no such")] {
            let options = Options {
                filter: filter.into(),
                ..Options::default()
            };
            let error = select(&manifest, &options).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
