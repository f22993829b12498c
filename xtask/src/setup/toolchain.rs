//! The compiler for the bare-metal images and the EFI application: found if there is one, else fetched.
//!
//! In order: the ordinary cargo with the target installed; a complete Debian toolchain on the
//! system; the copy fetched earlier; `rustup target add`; Debian's packages, unpacked privately.
//! Debian ships no standard library for the target, so its toolchain builds `core` from source.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process::{capture, find_program};
use crate::setup::debian::{AptView, Purpose};

/// What a program is built for.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The compiler's name of it.
    pub triple: &'static str,
    /// Cargo's variable for its linker, and the linker among Debian's packages.
    linker: (&'static str, &'static str),
}

/// The bare-metal images' target: no floating point, so guests' SIMD registers stay untouched.
pub const BARE: Target = Target {
    triple: "aarch64-unknown-none-softfloat",
    linker: (
        "CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER",
        "ld.lld",
    ),
};
/// The EFI application's target.
pub const EFI: Target = Target {
    triple: "aarch64-unknown-uefi",
    linker: ("CARGO_TARGET_AARCH64_UNKNOWN_UEFI_LINKER", "lld-link"),
};

const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
/// Oldest compiler that builds the workspace (its `rust-version`).
const OLDEST_MINOR: u32 = 95;

/// A compiler for one target.
pub struct Toolchain {
    target: Target,
    place: Place,
}

/// Where a compiler is.
enum Place {
    /// The cargo that runs this tool; the target's standard library is installed.
    Ordinary,
    /// A Debian toolchain whose files lie below this folder (`/` when it is the system's own).
    Debian(PathBuf),
}

impl Toolchain {
    /// Finds a toolchain for `target`, or fetches one into `cache`.
    pub fn set_up(cache: &Path, target: Target) -> Result<Self> {
        let place = Place::find(cache, target.triple)?;
        Ok(Self { target, place })
    }

    /// A cargo command that builds for the target; arguments are still to be added.
    pub fn cargo_build(&self) -> Command {
        let triple = self.target.triple;
        match &self.place {
            Place::Ordinary => {
                let mut cargo = Command::new(ordinary_cargo());
                cargo.args(["build", "--target", triple]);
                cargo
            }
            Place::Debian(root) => {
                let (variable, linker) = self.target.linker;
                let mut cargo = Command::new(root.join("usr/bin/cargo"));
                cargo
                    .args(["build", "--target", triple])
                    .arg("-Zbuild-std=core,compiler_builtins,alloc")
                    .arg("-Zbuild-std-features=compiler-builtins-mem")
                    // build-std is an unstable option, which a stable compiler takes only so.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env(variable, linker)
                    // Only the compiler's own library would be reported.
                    .env("CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY", "never");
                debian_environment(&mut cargo, root);
                cargo
            }
        }
    }

    /// What to tell a person about it.
    pub fn describe(&self) -> String {
        match &self.place {
            Place::Ordinary => format!("cargo with {}", self.target.triple),
            Place::Debian(root) if root == Path::new("/") => "Debian's rustc-web".to_owned(),
            Place::Debian(root) => format!("Debian's rustc-web, in {}", root.display()),
        }
    }
}

impl Place {
    fn find(cache: &Path, triple: &str) -> Result<Self> {
        let private = cache.join("rust");
        if has_target(triple)? {
            return Ok(Self::Ordinary);
        }
        for root in [Path::new("/"), &private] {
            if is_complete(root) {
                return Ok(Self::Debian(root.to_path_buf()));
            }
        }
        if add_target(triple) && has_target(triple)? {
            println!("    installed the target {triple} with rustup");
            return Ok(Self::Ordinary);
        }
        println!("    rustup cannot provide {triple}: taking Debian's compiler (about 150 MB)");
        AptView::open(cache, Purpose::Tools)
            .and_then(|view| view.unpack(&PACKAGES, &private))
            .with_context(|| {
                format!(
                    "no compiler for {triple}: neither `rustup target add {triple}` nor Debian's \
                     packages {} are to be had",
                    PACKAGES.join(", ")
                )
            })?;
        Ok(Self::Debian(private))
    }
}

/// The cargo that started this program.
pub fn ordinary_cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Makes `command` use the programs and libraries below `root`, and nothing of rustup.
fn debian_environment(command: &mut Command, root: &Path) {
    for name in [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTUP_TOOLCHAIN",
        "RUSTUP_HOME",
    ] {
        command.env_remove(name);
    }
    let old = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(root.join("usr/bin")).chain(std::env::split_paths(&old));
    if let Ok(path) = std::env::join_paths(dirs) {
        command.env("PATH", path);
    }
    if root != Path::new("/") {
        command.env("LD_LIBRARY_PATH", library_path(root));
    }
}

/// The folders with shared libraries below an unpacked Debian tree.
pub fn library_path(root: &Path) -> String {
    let multiarch = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["usr/lib", "lib"]
        .map(|lib| root.join(lib).join(&multiarch).display().to_string())
        .join(":")
}

fn has_target(triple: &str) -> Result<bool> {
    let sysroot = capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    let lib = Path::new(sysroot.trim()).join("lib/rustlib").join(triple);
    Ok(lib.join("lib").is_dir())
}

fn add_target(triple: &str) -> bool {
    find_program("rustup").is_some_and(|rustup| {
        Command::new(rustup)
            .args(["--quiet", "target", "add", triple])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// Whether a Debian toolchain below `root` has all parts and is new enough.
fn is_complete(root: &Path) -> bool {
    let bin = root.join("usr/bin");
    let library = root.join("usr/lib/rustlib/src/rust/library");
    if !bin.join("cargo").exists() || !bin.join("ld.lld").exists() || !library.is_dir() {
        return false;
    }
    let mut rustc = Command::new(bin.join("rustc"));
    debian_environment(&mut rustc, root);
    capture(rustc.arg("--version"))
        .ok()
        .and_then(|text| minor_version(&text))
        .is_some_and(|minor| minor >= OLDEST_MINOR)
}

/// The `96` of `rustc 1.96.0 (…)`.
fn minor_version(text: &str) -> Option<u32> {
    text.strip_prefix("rustc 1.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_version_is_read_from_rustc() {
        assert_eq!(
            minor_version("rustc 1.96.0 (ac68faa20 2026-05-25)\n"),
            Some(96)
        );
        assert_eq!(minor_version("rustc 1.63.0"), Some(63));
        assert_eq!(minor_version("cargo 1.96.0"), None);
    }
}
