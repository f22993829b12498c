//! The story of one execution: the search is run again up to that execution, or goes on with loom's
//! path of it, and tells it.
//!
//! Loom is deterministic: the same program finds the same executions in the same order.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};

use crate::loom::build::Test;
use crate::loom::folder::{Folder, file_name};
use crate::loom::outcome::{CALM, panic_message};
use crate::loom::{self, Options, pool};
use crate::paths::Paths;

/// What a told search panics with behind an execution that did not (`loom-tests/src/record.rs`).
const PASSED: &str = " passed when it was told";

/// Tells the execution of `test` that failed in the run which left `folder`, and how to tell it
/// again.
pub fn tell(paths: &Paths, options: &Options, test: &Test, folder: &Folder) -> Result<()> {
    let Some(execution) = folder.failed() else {
        println!("    no execution is known to have panicked: there is no story");
        return Ok(());
    };
    let first = panic_message(&fs::read_to_string(folder.log())?);
    let again = run(paths, options, test, folder, execution)?;
    let name = format!("{}.path", file_name(&test.name));
    let kept = paths.target.join("loom-failures").join(name);
    if let Some(dir) = kept.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::copy(folder.path(), &kept).with_context(|| format!("keep {}", kept.display()))?;
    fs::write(key_of(&kept), pool::key(&test.program, options)?)?;
    println!("    story of execution {execution}:");
    println!("{}", fs::read_to_string(folder.story()).unwrap_or_default());
    if again != first {
        println!("    it fails otherwise when it is told: {again}");
    }
    let kept = kept.strip_prefix(&paths.root).unwrap_or(&kept);
    let again = command_line(options, test, kept);
    println!("    again: {}{again}", loom::environment());
    Ok(())
}

/// Tells the execution whose path is in `file`; fails, if it does.
pub fn replay(paths: &Paths, options: &Options, test: &Test, file: &Path) -> Result<ExitCode> {
    let key = key_of(file);
    let key = fs::read_to_string(&key).with_context(|| format!("read {}", key.display()))?;
    ensure!(
        key == pool::key(&test.program, options)?,
        "the path is of another build, bound or mutant: it says nothing here; search again"
    );
    let folder = Folder::of(paths, &format!("{}.replay", test.name));
    folder.put_path(file)?;
    let said = run(paths, options, test, &folder, 1)?;
    let story = fs::read_to_string(folder.story());
    println!("{}", story.context("no story: see the log beside it")?);
    if said == CALM || said.contains(PASSED) {
        println!("the execution passed");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Where it is written which build a path is of.
fn key_of(path: &Path) -> PathBuf {
    path.with_extension("key")
}

/// Has `test` tell the execution; what it panics with.
fn run(
    paths: &Paths,
    options: &Options,
    test: &Test,
    folder: &Folder,
    execution: u64,
) -> Result<String> {
    let log = folder.story().with_file_name("story-log");
    let file = File::create(&log).with_context(|| format!("log {}", log.display()))?;
    let mut command = pool::command(paths, options, test);
    folder.equip_to_tell(&mut command, execution);
    command.arg("--nocapture");
    command.stdout(file.try_clone()?).stderr(file);
    command
        .status()
        .with_context(|| test.program.display().to_string())?;
    Ok(panic_message(&fs::read_to_string(&log)?))
}

fn command_line(options: &Options, test: &Test, file: &Path) -> String {
    let arguments = options.arguments();
    let file = file.display();
    format!(
        "cargo xtask loom --test {}{arguments} --replay {file}",
        test.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_has_all_that_decides_which_executions_there_are() {
        let test = Test {
            name: "percpu::a".into(),
            program: PathBuf::new(),
            own: "a".into(),
        };
        let options = Options {
            test: "percpu".into(),
            preemptions: Some(4),
            deep: false,
            resume: true,
            jobs: None,
            mutant: Some("no-fence".into()),
            tell: false,
            replay: None,
            list: false,
            json: None,
        };
        assert_eq!(
            command_line(&options, &test, Path::new("target/x.path")),
            "cargo xtask loom --test percpu::a --preemptions 4 --mutant no-fence \
             --replay target/x.path"
        );
    }
}
