//! Building the models, and finding out which there are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::mutants::Workbench;
use crate::paths::Paths;
use crate::process;

const LINE: &str = "cargo test --no-run --release -p bulkhead-loom-tests \
                    -p bulkhead-example-own-engine --message-format=json-render-diagnostics";
/// Where these packages have their tests.
const FOLDERS: [&str; 2] = ["loom-tests/tests", "loom-tests/examples/own-engine/tests"];

/// A test that can be run.
pub struct Test {
    /// `FILE::NAME`.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// Its name there.
    pub own: String,
}

/// What cargo says about something that it built.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The tests, and the place where a mutant was built: nobody builds another there meanwhile.
pub type Built = (Vec<Test>, Option<Workbench>);

/// Builds the tests among which those are that have `wanted` in their names, of the whole engine or
/// without a protection.
pub fn tests(paths: &Paths, wanted: &str, mutant: Option<&str>) -> Result<Built> {
    tests_at(paths, wanted, mutant, Workbench::for_loom)
}

/// The same, a mutant on this workbench.
pub fn tests_at(
    paths: &Paths,
    wanted: &str,
    mutant: Option<&str>,
    workbench: fn(&Paths) -> Result<Workbench>,
) -> Result<Built> {
    let mut command = process::command(LINE)?;
    command.current_dir(&paths.root);
    match file(&paths.root, wanted) {
        Some(file) => command.args(["--test", file]),
        None => command.args(["--lib", "--tests"]),
    };
    match mutant {
        Some(_) => {
            let mut workbench = workbench(paths)?;
            workbench.take_up(mutant)?;
            workbench.equip(&mut command);
            Ok((list(&mut command)?, Some(workbench)))
        }
        None => {
            command
                .env("CARGO_TARGET_DIR", paths.target.join("loom"))
                .env("RUSTFLAGS", "--cfg loom")
                .env_remove("CARGO_ENCODED_RUSTFLAGS")
                // What the models gain by more is less than it takes to build.
                .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
                .env("CARGO_PROFILE_RELEASE_LTO", "off");
            Ok((list(&mut command)?, None))
        }
    }
}

fn list(build: &mut Command) -> Result<Vec<Test>> {
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start: {}", process::show(build)))?;
    ensure!(output.status.success(), "the models do not compile");
    let mut tests = Vec::new();
    for (file, program) in programs(&String::from_utf8_lossy(&output.stdout)) {
        let names = names(&program)?;
        tests.extend(names.into_iter().map(|own| Test {
            name: format!("{file}::{own}"),
            program: program.clone(),
            own,
        }));
    }
    Ok(tests)
}

/// The file that a name begins with.
fn file<'a>(root: &Path, wanted: &'a str) -> Option<&'a str> {
    let (file, _) = wanted.split_once("::")?;
    let is_there = FOLDERS
        .iter()
        .map(|folder| root.join(folder).join(file))
        .any(|stem| stem.join("main.rs").is_file() || stem.with_extension("rs").is_file());
    is_there.then_some(file)
}

/// The programs among what cargo says, each with the file that it was built from.
fn programs(said: &str) -> Vec<(String, PathBuf)> {
    let messages = said.lines().filter_map(|line| {
        let message: Message = serde_json::from_str(line).ok()?;
        Some((message.target?.name, message.executable?))
    });
    messages.collect()
}

fn names(program: &Path) -> Result<Vec<String>> {
    let listed = process::capture(Command::new(program).args(["--list", "--format", "terse"]))?;
    let tests = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    Ok(tests.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_begins_with_a_file_selects_it() {
        let root = &Paths::find().unwrap().root;
        for (wanted, found) in [
            ("engine::life::", Some("engine")),
            ("tool::a", Some("tool")),
            ("models::a", Some("models")),
            ("tool", None),
            ("life::start_against_map", None),
            ("::a", None),
            ("", None),
        ] {
            assert_eq!(file(root, wanted), found, "{wanted}");
        }
    }

    #[test]
    fn programs_are_what_cargo_says_can_be_run() {
        let said = r#"{"reason":"compiler-artifact","target":{"name":"sync"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"tool"},"executable":"/x/tool-1"}
            {"reason":"build-finished","success":true}
            warning: something else"#;
        assert_eq!(
            programs(said),
            [("tool".into(), PathBuf::from("/x/tool-1"))]
        );
    }
}
