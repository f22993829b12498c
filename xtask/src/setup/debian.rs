//! A private view of the Debian archive: fetch packages and unpack them below the cache.
//!
//! apt runs with its own source list, package lists, cache and (for foreign packages) its own
//! empty package status, so the system's apt configuration, architectures and installed packages
//! stay as they are. Signatures are checked with Debian's own keyring as always.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process::{self, capture, find_program};

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const MIRROR: &str = "http://deb.debian.org/debian";
const SECURITY_MIRROR: &str = "http://deb.debian.org/debian-security";

const NO_LISTS: &str = "cannot download Debian's package lists: is there a network?";

/// Whose packages a view shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Programs for this machine: dependencies that it already has are not fetched again.
    Tools,
    /// Files for arm64 guests, each package alone.
    Guest,
    /// Programs of another release than this machine's, a later one unless it is named, with all
    /// libraries that they need, the C library included.
    Later,
}

/// The release that [`Purpose::Later`] takes from.
pub const LATER: &str = "forky";

/// One private apt configuration below the cache.
pub struct AptView {
    dir: PathBuf,
    options: Vec<String>,
    purpose: Purpose,
    codename: &'static str,
}

impl AptView {
    /// Opens (and if it is new, downloads the package lists of) the view for `purpose`.
    pub fn open(cache: &Path, purpose: Purpose) -> Result<Self> {
        require_debian_tools()?;
        Self::open_release(cache, purpose, release_of(purpose)?)
    }

    /// The same of the release `codename`, whichever this machine's is.
    pub fn open_release(cache: &Path, purpose: Purpose, codename: &'static str) -> Result<Self> {
        require_debian_tools()?;
        let architecture = match purpose {
            Purpose::Tools | Purpose::Later => native_architecture()?,
            Purpose::Guest => "arm64".to_owned(),
        };
        let mut name = match purpose {
            Purpose::Tools => "apt-tools",
            Purpose::Later => "apt-later",
            Purpose::Guest => "apt-guest",
        }
        .to_owned();
        if codename != release_of(purpose)? {
            name = format!("{name}-{codename}");
        }
        let dir = cache.join(name);
        let status = match purpose {
            Purpose::Tools => PathBuf::from("/var/lib/dpkg/status"),
            Purpose::Later | Purpose::Guest => dir.join("status"),
        };
        for part in ["lists/partial", "archives/partial"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).with_context(|| format!("create {}", part.display()))?;
        }
        if purpose != Purpose::Tools {
            fs::write(&status, "")?;
        }
        let sources = dir.join("sources.list");
        let default_release = match purpose {
            Purpose::Tools | Purpose::Guest if codename != LATER => {
                format!("{codename}-backports")
            }
            _ => codename.to_owned(),
        };
        let list = match codename {
            // Not released yet: it has neither backports nor security updates.
            LATER => source_line(MIRROR, codename),
            _ => source_list(codename),
        };
        fs::write(&sources, list)?;

        let set = |key: &str, value: String| format!("-o{key}={value}");
        let options = vec![
            set("Dir::Etc::SourceList", sources.display().to_string()),
            set("Dir::Etc::SourceParts", "/dev/null".into()),
            set("Dir::Etc::PreferencesParts", "/dev/null".into()),
            set("Dir::State", dir.display().to_string()),
            set("Dir::State::Lists", dir.join("lists").display().to_string()),
            set("Dir::State::status", status.display().to_string()),
            set("Dir::Cache", dir.display().to_string()),
            set("APT::Architecture", architecture.clone()),
            set("APT::Architectures", architecture),
            set("APT::Sandbox::User", "root".into()),
            set("APT::Default-Release", default_release),
            set("APT::Install-Recommends", "false".into()),
            set("Acquire::Languages", "none".into()),
            set("Acquire::Retries", "3".into()),
            // Only our own folders are written, and the system's status is only read.
            set("Debug::NoLocking", "true".into()),
        ];
        let view = Self {
            dir,
            options,
            purpose,
            codename,
        };
        if !view.has_lists()? {
            view.update()?;
            // apt may have only warned of what it could not reach.
            ensure!(view.has_lists()?, "{NO_LISTS}");
        }
        Ok(view)
    }

    fn has_lists(&self) -> Result<bool> {
        let lists = fs::read_dir(self.dir.join("lists"))?;
        Ok(lists
            .flatten()
            .any(|file| file.file_name().to_string_lossy().contains("_Packages")))
    }

    /// Downloads the package lists anew.
    pub fn update(&self) -> Result<()> {
        println!("    package lists of Debian {}", self.codename);
        capture(self.apt("apt-get").args(["-q", "update"])).context(NO_LISTS)?;
        Ok(())
    }

    /// The package with the highest version number in its name among those that match `pattern`
    /// (a POSIX regular expression).
    pub fn newest_named(&self, pattern: &str) -> Result<String> {
        let found = capture(
            self.apt("apt-cache")
                .args(["search", "--names-only", pattern]),
        )?;
        found
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .max_by_key(|name| version_key(name))
            .map(str::to_owned)
            .with_context(|| format!("Debian {} has no package {pattern}", self.codename))
    }

    /// Downloads `packages` and unpacks them into `into`, together with the dependencies that the
    /// system lacks if the view is for [`Purpose::Tools`], with all of them for [`Purpose::Later`].
    /// `into` appears only once complete.
    pub fn unpack(&self, packages: &[&str], into: &Path) -> Result<()> {
        let archives = self.dir.join("archives");
        empty_of_debs(&archives)?;
        let fetch = || match self.purpose {
            Purpose::Guest => capture(
                self.apt("apt-get")
                    .args(["-q", "download"])
                    .args(packages)
                    .current_dir(&archives),
            ),
            Purpose::Tools | Purpose::Later => capture(
                self.apt("apt-get")
                    .args(["-q", "-y", "install", "--download-only"])
                    .args(packages),
            ),
        };
        println!("    fetching {}", packages.join(" "));
        if fetch().is_err() {
            // The lists may name versions that the mirror has replaced since.
            self.update()?;
            fetch().with_context(|| format!("cannot fetch {}", packages.join(" ")))?;
        }

        let partial = into.with_extension("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir_all(&partial)?;
        for deb in debs(&archives)? {
            process::run(Command::new("dpkg").arg("-x").arg(&deb).arg(&partial))?;
        }
        if into.exists() {
            fs::remove_dir_all(into)?;
        }
        fs::rename(&partial, into).with_context(|| format!("create {}", into.display()))?;
        empty_of_debs(&archives)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(&self.options).env("LC_ALL", "C");
        command
    }
}

fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "deb"))
        .collect();
    found.sort();
    Ok(found)
}

fn empty_of_debs(dir: &Path) -> Result<()> {
    for deb in debs(dir)? {
        fs::remove_file(deb)?;
    }
    Ok(())
}

fn require_debian_tools() -> Result<()> {
    let missing: Vec<&str> = ["apt-get", "apt-cache", "dpkg"]
        .into_iter()
        .filter(|name| find_program(name).is_none())
        .collect();
    if !missing.is_empty() {
        bail!(
            "this is not a Debian-like system ({} not found), so nothing can be fetched",
            missing.join(", ")
        );
    }
    if !Path::new(KEYRING).exists() {
        bail!("{KEYRING} is missing: install the package debian-archive-keyring");
    }
    Ok(())
}

/// The release that packages for `purpose` come from unless another is named.
fn release_of(purpose: Purpose) -> Result<&'static str> {
    match purpose {
        Purpose::Later => Ok(LATER),
        Purpose::Tools | Purpose::Guest => release_codename(),
    }
}

/// What Debian calls this machine's processors.
pub fn native_architecture() -> Result<String> {
    let said = capture(Command::new("dpkg").arg("--print-architecture"))?;
    Ok(said.trim().to_owned())
}

/// The Debian release whose packages run here: the system's own, or for its relatives the newest
/// one that this tool knows.
fn release_codename() -> Result<&'static str> {
    let release = fs::read_to_string("/etc/os-release").context("read /etc/os-release")?;
    Ok(match os_release_field(&release, "VERSION_CODENAME") {
        Some("bookworm") => "bookworm",
        _ => "trixie",
    })
}

fn os_release_field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim_matches('"'))
}

fn source_list(codename: &str) -> String {
    [
        (MIRROR, codename.to_owned()),
        (MIRROR, format!("{codename}-backports")),
        (SECURITY_MIRROR, format!("{codename}-security")),
    ]
    .map(|(mirror, suite)| source_line(mirror, &suite))
    .concat()
}

fn source_line(mirror: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n")
}

/// Orders names that differ in version numbers: digit runs compare as numbers.
fn version_key(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|run| run.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_kernel_wins_by_number_not_by_letter() {
        let names = [
            "linux-image-6.12.95+deb12-cloud-arm64",
            "linux-image-6.12.117+deb12-cloud-arm64",
            "linux-image-6.12.90+deb12.1-cloud-arm64",
        ];
        let newest = names.iter().max_by_key(|name| version_key(name));
        assert_eq!(newest, Some(&"linux-image-6.12.117+deb12-cloud-arm64"));
    }

    #[test]
    fn os_release_fields_lose_their_quotes() {
        let text = "NAME=\"Debian\"\nVERSION_CODENAME=bookworm\n";
        assert_eq!(os_release_field(text, "NAME"), Some("Debian"));
        assert_eq!(os_release_field(text, "VERSION_CODENAME"), Some("bookworm"));
        assert_eq!(os_release_field(text, "ID"), None);
    }
}
