//! Programs of another release, unpacked with a C library of their own: each is started by that library's loader.
//!
//! In the place of each program stands a script that starts it so; hence a compiler finds its parts, and make its
//! compiler, without a changed root or any privilege. Invariant: what has a script has its program beside it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::PT_INTERP;
use elf::endian::AnyEndian;

use crate::setup::litmus::loader_in;
use crate::setup::toolchain::library_path;

/// What a program is called once its script has its name.
const PROGRAM: &str = "program";

/// Puts a script in front of each program below `root`; those that have one get it anew.
pub fn wrap_programs(root: &Path) -> Result<()> {
    let libraries = library_path(root);
    let loader = libraries.split(':').find_map(|dir| loader_in(dir.as_ref()));
    let loader = loader.with_context(|| format!("{} holds no loader", root.display()))?;
    for file in programs(root)? {
        let script_at = match file.extension() == Some(OsStr::new(PROGRAM)) {
            true => file.with_extension(""),
            false => {
                let mut moved = file.clone().into_os_string();
                moved.push(".");
                moved.push(PROGRAM);
                fs::rename(&file, &moved).with_context(|| format!("move {}", file.display()))?;
                file
            }
        };
        let name = || format!("script {}", script_at.display());
        fs::write(&script_at, script(&loader, &libraries, &script_at)).with_context(name)?;
        fs::set_permissions(&script_at, fs::Permissions::from_mode(0o755)).with_context(name)?;
    }
    Ok(())
}

/// What starts the program whose name is `file`.
fn script(loader: &Path, libraries: &str, file: &Path) -> String {
    let (loader, file) = (loader.display(), file.display());
    format!(
        "#!/bin/sh\nexec '{loader}' --argv0 \"$0\" --library-path '{libraries}' '{file}.{PROGRAM}' \"$@\"\n"
    )
}

/// Programs that need a loader, below `dir`.
fn programs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            // Links are left alone: what they point to is met by itself.
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && !is_library(&entry.path()) && needs_loader(&entry.path())? {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// A library may name a loader too.
fn is_library(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".so") || name.contains(".so.")
}

fn needs_loader(file: &Path) -> Result<bool> {
    let mode = file.metadata()?.permissions().mode();
    if mode & 0o111 == 0 {
        return Ok(false);
    }
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let Ok(elf) = ElfBytes::<AnyEndian>::minimal_parse(&bytes) else {
        return Ok(false);
    };
    let segments = elf.segments();
    Ok(segments.is_some_and(|all| all.iter().any(|segment| segment.p_type == PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::capture;
    use std::process::Command;

    #[test]
    fn a_program_runs_through_its_script_and_may_be_wrapped_again() {
        let root = std::env::temp_dir().join(format!("xtask-loader-{}", std::process::id()));
        let libraries = library_path(&root);
        let libraries = Path::new(libraries.split(':').next().unwrap());
        let bin = root.join("usr/bin");
        for dir in [libraries, &bin] {
            fs::create_dir_all(dir).unwrap();
        }
        let system = library_path(Path::new("/"));
        let loader = system.split(':').find_map(|dir| loader_in(dir.as_ref()));
        // Where another system has its loader, nobody asks for Debian's packages.
        let Some(loader) = loader else {
            return;
        };
        fs::copy(&loader, libraries.join(loader.file_name().unwrap())).unwrap();
        let libc = loader.with_file_name("libc.so.6");
        fs::copy(&libc, libraries.join("libc.so.6")).unwrap();
        // Everything else that it needs comes from this machine, whose loader it is.
        let own = std::env::current_exe().unwrap();
        fs::copy(&own, bin.join("own")).unwrap();
        fs::write(bin.join("text"), "#!/bin/sh\n").unwrap();

        for _ in 0..2 {
            wrap_programs(&root).unwrap();
            let said = capture(Command::new(bin.join("own")).arg("--list")).unwrap();
            assert!(said.contains("may_be_wrapped_again: test"), "{said}");
        }
        let script = fs::read_to_string(bin.join("own")).unwrap();
        assert!(script.contains(&format!("own.{PROGRAM}")), "{script}");
        assert_eq!(fs::read_to_string(bin.join("text")).unwrap(), "#!/bin/sh\n");
        fs::remove_dir_all(&root).unwrap();
    }
}
