//! The kernels whose KVM is measured: Debian's image, its headers, and a module built against them.
//!
//! Each series comes from the release that has it, whichever this machine's is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::image::kernel;
use crate::process::{run_logged, show_with_environment};
use crate::setup::cross::{Cross, TRIPLE};
use crate::setup::debian::{AptView, LATER, Purpose};
use crate::setup::loader::wrap_programs;

/// Where the packages of a series are.
struct Source {
    series: &'static str,
    codename: &'static str,
    /// The image's package (a POSIX regular expression), and how its name begins before the kernel's release.
    package: &'static str,
    prefix: &'static str,
}

const SOURCES: [Source; 3] = [
    Source {
        series: "6.1",
        codename: "bookworm",
        package: r"^linux-image-6\.1\.[0-9]+-[0-9]+-arm64$",
        prefix: "linux-image-",
    },
    Source {
        series: "6.12",
        codename: "bookworm",
        package: r"^linux-image-6\.12\.[0-9]+\+deb12(\.[0-9]+)?-arm64$",
        prefix: "linux-image-",
    },
    Source {
        series: "7.2",
        codename: LATER,
        package: r"^linux-binary-7\.2\.[0-9]+\+deb14(\.[0-9]+)?-arm64$",
        prefix: "linux-binary-",
    },
];

/// Stands in a series' folder once all of it is there.
const COMPLETE: &str = "complete";
/// How the name of a kernel's release ends.
const FLAVOUR: &str = "-arm64";

/// An unpacked kernel with what builds modules for it.
pub struct Kernel {
    /// The series that was asked for.
    pub series: &'static str,
    /// What it calls itself.
    pub release: String,
    /// The image, unpacked.
    pub image: Vec<u8>,
    /// The compiler that its modules are built with.
    pub cross: Cross,
    headers: PathBuf,
}

impl Kernel {
    /// Finds the newest kernel of `series` in `cache`, or fetches it.
    pub fn set_up(cache: &Path, series: &str) -> Result<Self> {
        let source = SOURCES.iter().find(|source| source.series == series);
        let source = source.with_context(|| format!("nobody says where Linux {series} is"))?;
        let root = cache.join(format!("linux-{series}"));
        if !root.join(COMPLETE).exists() {
            println!(
                "    Linux {series} with its headers, of Debian {} (up to 100 MB)",
                source.codename
            );
            fetch(cache, source, &root)?;
        }
        let find = |file: &Path| found(file).with_context(|| format!("Linux {series}"));
        let image = find(&root.join("image/boot/vmlinuz-*"))
            .or_else(|_| find(&root.join("image/usr/lib/modules/*/vmlinuz")))?;
        let headers = find(&root.join(format!("image/usr/src/linux-headers-*{FLAVOUR}")))?;
        let common = find(&root.join("image/usr/src/linux-headers-*-common"))?;
        let kbuild = find(&root.join("kbuild/usr/lib/linux-kbuild-*"))?;
        // Both say where they are, which may have changed.
        wrap_programs(&root.join("kbuild"))?;
        place_headers(&headers, &common, &kbuild)?;
        let release = headers.file_name().unwrap_or_default().to_string_lossy();
        let release = release.replacen("linux-headers-", "", 1);
        let file = headers.join(".kernelvariables");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let gcc = gcc_of(&text).with_context(|| format!("{}: no gcc", file.display()))?;
        Ok(Self {
            series: source.series,
            release,
            image: kernel::load(&image)?,
            cross: Cross::set_up(cache, source.codename, gcc)?,
            headers,
        })
    }

    /// Builds the module whose source is in the folder `source` there, and returns its file.
    pub fn build_module(&self, source: &Path, log: &Path) -> Result<PathBuf> {
        let mut make = self.cross.command("make");
        make.arg("-C").arg(&self.headers);
        make.arg(format!("M={}", source.display()));
        make.arg(format!("CC={}", self.cross.compiler().display()));
        make.arg(format!("CROSS_COMPILE={TRIPLE}-"));
        make.arg(format!("DEB_HOST_GNU_TYPE={TRIPLE}"));
        make.args(["ARCH=arm64", "DEB_BUILD_ARCH=amd64", "DEB_HOST_ARCH=arm64"]);
        // Type information would need the whole kernel with its own.
        make.args(["CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"]);
        let (status, _) = run_logged(&mut make, log)?;
        ensure!(
            status == Some(0),
            "the module is not built\n    again:   {}\n    log: {}",
            show_with_environment(&make),
            log.display()
        );
        found(&source.join("*.ko"))
    }
}

/// Fetches a series into `root`.
fn fetch(cache: &Path, source: &Source, root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| root.display().to_string())?;
    let guest = AptView::open_release(cache, Purpose::Guest, source.codename)?;
    let mut image = guest.newest_named(source.package)?;
    if let Err(error) = fetch_image(&guest, source, &image, root) {
        // The lists have been downloaded anew: the mirror may have a newer one in its place.
        let newer = guest.newest_named(source.package)?;
        if newer == image {
            return Err(error);
        }
        image = newer;
        fetch_image(&guest, source, &image, root)?;
    }
    let version = version_of(source, &image)?;
    let tools = AptView::open_release(cache, Purpose::Later, source.codename)?;
    // The oldest series has one for all its versions.
    let kbuild = [version, source.series]
        .map(|version| version.replace('.', "[.]").replace('+', "[+]"))
        .into_iter()
        .find_map(|version| {
            let name = format!("^linux-kbuild-{version}$");
            tools.newest_named(&name).ok()
        })
        .with_context(|| format!("no linux-kbuild for {version}"))?;
    tools.unpack(&[&kbuild], &root.join("kbuild"))?;
    fs::write(root.join(COMPLETE), "").context(COMPLETE)
}

/// The image's package with its headers.
fn fetch_image(guest: &AptView, source: &Source, image: &str, root: &Path) -> Result<()> {
    let version = version_of(source, image)?;
    let headers = format!("linux-headers-{version}{FLAVOUR}");
    let common = format!("linux-headers-{version}-common");
    guest.unpack(&[image, &headers, &common], &root.join("image"))
}

/// `6.12.117+deb12` of the image's package.
fn version_of<'a>(source: &Source, image: &'a str) -> Result<&'a str> {
    let version = image.strip_prefix(source.prefix);
    let version = version.and_then(|release| release.strip_suffix(FLAVOUR));
    version.with_context(|| format!("{image}: no name of a kernel"))
}

/// Makes headers that were unpacked somewhere else than in /usr/src find each other there.
fn place_headers(headers: &Path, common: &Path, kbuild: &Path) -> Result<()> {
    let text = format!(
        "KBUILD_OUTPUT={}\ninclude {}/Makefile\n",
        headers.display(),
        common.display()
    );
    fs::write(headers.join("Makefile"), text).context("the headers' Makefile")?;
    for folder in [headers, common] {
        for part in ["scripts", "tools"] {
            let link = folder.join(part);
            if fs::symlink_metadata(&link).is_ok() {
                fs::remove_file(&link).with_context(|| link.display().to_string())?;
            }
            std::os::unix::fs::symlink(kbuild.join(part), &link)
                .with_context(|| link.display().to_string())?;
        }
    }
    Ok(())
}

/// The one file that `path` names, in which one name may hold one `*`.
fn found(path: &Path) -> Result<PathBuf> {
    let mut candidates = vec![PathBuf::new()];
    for part in path {
        let name = part.to_string_lossy();
        let Some((start, end)) = name.split_once('*') else {
            candidates.iter_mut().for_each(|file| file.push(part));
            continue;
        };
        candidates = candidates
            .iter()
            .filter_map(|dir| fs::read_dir(dir).ok())
            .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
            .filter(|file| {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(start) && name.ends_with(end)
            })
            .collect();
    }
    candidates.retain(|file| file.exists());
    candidates.sort();
    candidates
        .pop()
        .with_context(|| format!("no {}", path.display()))
}

/// The compiler that the headers' own Makefile names.
fn gcc_of(variables: &str) -> Option<&str> {
    let names = variables.match_indices("gcc-").map(|(at, start)| {
        let digits = |c: char| c.is_ascii_digit();
        let rest = &variables[at..];
        &rest[..rest.len() - rest[start.len()..].trim_start_matches(digits).len()]
    });
    let mut names = names.filter(|name| name.ends_with(|c: char| c.is_ascii_digit()));
    names.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_is_read_from_the_headers() {
        let text = "ifneq ($(x),y)\noverride CROSS_COMPILE = a-\nendif\noverride CC = $(CROSS_COMPILE)gcc-12\nX=1\n";
        assert_eq!(gcc_of(text), Some("gcc-12"));
        assert_eq!(gcc_of("CC = $(CROSS_COMPILE)gcc-16)"), Some("gcc-16"));
        assert_eq!(gcc_of("CC = $(CROSS_COMPILE)gcc-"), None);
        assert_eq!(gcc_of("CC = clang"), None);
        assert_eq!(gcc_of("# gcc-based\nCC = gcc-15"), Some("gcc-15"));
    }

    #[test]
    fn a_version_is_read_from_a_package() {
        let version = |image| version_of(&SOURCES[2], image).ok();
        let image = "linux-binary-7.2.12+deb14-arm64";
        assert_eq!(version(image), Some("7.2.12+deb14"));
        assert_eq!(version("linux-image-7.2.12+deb14-arm64"), None);
        assert_eq!(version("linux-binary-7.2.12+deb14-arm64-16k"), None);
    }

    #[test]
    fn a_star_stands_for_what_there_is() {
        let dir = std::env::temp_dir().join(format!("xtask-found-{}", std::process::id()));
        fs::create_dir_all(dir.join("a-1-b/c")).unwrap();
        assert_eq!(found(&dir.join("a-*-b/c")).unwrap(), dir.join("a-1-b/c"));
        assert!(found(&dir.join("a-*-c")).is_err());
        assert!(found(&dir.join("a-*-b/d")).is_err());
        fs::remove_dir_all(&dir).unwrap();
    }
}
