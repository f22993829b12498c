//! Running other programs: what they are, whether they worked, what they said.
//!
//! Every failure names the command line, so that a person can repeat it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::toolchain::ordinary_cargo;

/// Runs `command` with its output shown; fails if it does.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start: {}", show(command)))?;
    if !status.success() {
        bail!("{status}: {}", show(command));
    }
    Ok(())
}

/// Runs `command` and returns its standard output; on failure the error holds its standard error.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start: {}", show(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", output.status, show(command), said.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command of a command line whose words hold no spaces. This program calls itself without
/// another cargo, which would wait for the lock of the one that runs it.
pub fn command(line: &str) -> Result<Command> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (program, arguments) = match words.as_slice() {
        ["cargo", "xtask", arguments @ ..] => (std::env::current_exe()?, arguments),
        ["cargo", arguments @ ..] => (ordinary_cargo(), arguments),
        [program, arguments @ ..] => (program.into(), arguments),
        [] => bail!("an empty command line"),
    };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Runs `command` with all that it says in `log`; returns its exit status, none if it was killed,
/// and what it said.
pub fn run_logged(command: &mut Command, log: &Path) -> Result<(Option<i32>, String)> {
    let name = || format!("log {}", log.display());
    if let Some(dir) = log.parent() {
        fs::create_dir_all(dir).with_context(name)?;
    }
    let file = File::create(log).with_context(name)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start: {}", show(command)))?;
    let said = String::from_utf8_lossy(&fs::read(log).with_context(name)?).into_owned();
    Ok((status.code(), said))
}

/// The command line as one would type it.
pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quote)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The same with the variables that the command sets, so that it does the same in any shell.
pub fn show_with_environment(command: &Command) -> String {
    let set = command
        .get_envs()
        .filter_map(|(name, value)| {
            let (name, value) = (name.to_string_lossy(), value?);
            Some(format!("{name}={} ", quote(value)))
        })
        .collect::<String>();
    set + &show(command)
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The same command, started by `program` with `arguments` in front of it.
pub fn wrap(program: PathBuf, arguments: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(program);
    wrapped
        .args(arguments)
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    wrapped
}

/// Looks `name` up in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

/// Whether `file` is a regular file that someone may execute.
pub fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("echo");
        command.args(["plain", "two words", "it's", ""]);
        assert_eq!(show(&command), r"echo plain 'two words' 'it'\''s' ''");
    }

    #[test]
    fn variables_stand_in_front_of_the_command() {
        let mut command = Command::new("env");
        command.env("B", "two words").env("A", "1").env_remove("C");
        assert_eq!(show_with_environment(&command), "A=1 B='two words' env");
    }

    #[test]
    fn failure_names_the_command() {
        let error = capture(Command::new("sh").args(["-c", "echo why >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c 'echo why >&2; exit 3'"), "{text}");
        assert!(text.ends_with("why"), "{text}");
    }
}
