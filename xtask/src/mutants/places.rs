//! Is a catcher a test that there is? A name that went stale selects no test, which a run of the
//! mutants finds only when it comes to it.
//!
//! A test `a::b::name` stands in `a.rs`, `a/mod.rs` or `a/b.rs` below the folder of its kind; known for
//! models (a model of a suite stands in the suite's file), tests on the simulated machine and hardware
//! tests. A litmus test stands in the manifest of these.

use std::fs;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::catcher::{Catcher, Kind};

/// What is wrong with the name of a test, `loom FILE TEST` for one, if it is known to be wrong.
pub fn check_test(root: &Path, name: &str) -> Option<String> {
    let (kind, test) = name.split_once(' ').unwrap_or((name, ""));
    let Ok(kind) = Kind::from_str(kind, false) else {
        return Some(format!("{name} begins with no kind of test"));
    };
    let catcher = Catcher::new(kind, test);
    match catcher.check() {
        Ok(()) => missing(root, &catcher),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// What is wrong with the place of this catcher, if it is known to be wrong.
pub fn missing(root: &Path, catcher: &Catcher) -> Option<String> {
    let (place, test) = catcher.parts();
    let folder = match catcher.kind {
        Kind::Sim => root.join("engine/tests/simulated"),
        Kind::Fuzz => root.join("engine/fuzz/inputs/tests/corpus"),
        Kind::Loom => root.join("loom-tests/tests").join(place),
        Kind::Linear if catcher.order_cpus().is_some() => return None,
        Kind::Linear => root.join("loom-tests/tests/engine"),
        Kind::Hw => root.join("hw-tests/src/tests"),
        Kind::Litmus => return missing_in_manifest(root, catcher),
        Kind::Conform => {
            let named = |file: &str| {
                let mark = format!("\"{test}\"");
                fs::read_to_string(root.join("xtask/conform/src").join(file))
                    .is_ok_and(|text| text.contains(&mark))
            };
            let found = ["main.rs", "explore.rs", "worlds.rs"]
                .into_iter()
                .any(named);
            return (!found).then(|| format!("{catcher} is no property"));
        }
        Kind::Unit | Kind::Run | Kind::Storm | Kind::Bench | Kind::Stack => return None,
    };
    let (modules, name) = test.rsplit_once("::").unwrap_or(("", test));
    let mark = format!("fn {name}(");
    let has = |file: PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains(&mark));
    let path = folder.join(modules.replace("::", "/"));
    let found = if modules.is_empty() {
        let suite = root.join("loom-tests/src/suites").join(place);
        has(folder.with_extension("rs"))
            || has(folder.join("main.rs"))
            || (catcher.kind == Kind::Loom && has(suite.with_extension("rs")))
    } else {
        has(path.with_extension("rs")) || has(path.join("mod.rs"))
    };
    (!found).then(|| format!("{catcher} is no test"))
}

/// What is wrong with a litmus test `KIND::NAME`, if the manifest of these has none such.
fn missing_in_manifest(root: &Path, catcher: &Catcher) -> Option<String> {
    let (_, test) = catcher.parts();
    let (file, mark) = match test.split_once("::") {
        Some(("approved", form)) => ("approved.toml", format!("\"{form}\" = [")),
        // All of that kind have one table.
        Some(("panic", _)) => ("litmus.toml", "[panic]".to_owned()),
        // Ways into the engine are lines of a table.
        Some(("stack", name)) => ("litmus.toml", format!("{name} = {{ from = ")),
        Some((kind, name)) => ("litmus.toml", format!("[{kind}.{name}]")),
        None => return Some(format!("{catcher} is no test")),
    };
    let text = fs::read_to_string(root.join("loom-tests/litmus").join(file)).ok()?;
    let is_there = text.lines().any(|line| line.starts_with(&mark));
    (!is_there).then(|| format!("{catcher} is no test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_found_where_its_name_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let missing = |kind, test: &str| missing(root, &Catcher::new(kind, test)).is_some();
        assert!(!missing(Kind::Loom, "granules merge_against_claim"));
        assert!(!missing(
            Kind::Loom,
            "engine donating::donate_against_donate"
        ));
        assert!(!missing(
            Kind::Sim,
            "random::random_calls_keep_every_invariant"
        ));
        assert!(missing(Kind::Loom, "engine donate_against_donate"));
        assert!(missing(Kind::Sim, "random::no_such_test"));
        assert!(!missing(Kind::Fuzz, "device_tree") && missing(Kind::Fuzz, "tree"));
        assert!(!missing(Kind::Hw, "tlb::donate::run_of_pages"));
        assert!(missing(Kind::Hw, "tlb::donate::run"));
        for test in [
            "sequence::flush",
            "approved::DSB.ISH",
            "herd::flush-whole-vm",
            "smt::flush",
            "stack::primary",
        ] {
            assert!(!missing(Kind::Litmus, test), "{test}");
        }
        for test in [
            "flush",
            "sequence::flus",
            "approved::DSB",
            "sequence::",
            "stack::no",
        ] {
            assert!(missing(Kind::Litmus, test), "{test}");
        }
    }
}
