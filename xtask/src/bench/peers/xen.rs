//! Xen's images, of Debian's packages.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::debian::{AptView, Purpose};

/// The kernel that is dom0, of whatever Xen.
pub const DOM0: &str = "6.1";

/// Which release has which version.
const RELEASES: [(&str, &str); 2] = [("4.17", "bookworm"), ("4.20", "trixie")];

/// Finds the image of `version` in `cache`, or fetches it.
pub fn set_up(cache: &Path, version: &str) -> Result<PathBuf> {
    let root = cache.join(format!("xen-{version}"));
    let file = root.join(format!("boot/xen-{version}-arm64"));
    if !file.exists() {
        let known = RELEASES.iter().find(|(known, _)| *known == version);
        let (_, codename) = known.with_context(|| format!("nobody says where Xen {version} is"))?;
        println!("    Xen {version}, of Debian {codename} (about 1 MB)");
        AptView::open_release(cache, Purpose::Guest, codename)?
            .unpack(&[&format!("xen-hypervisor-{version}-arm64")], &root)?;
    }
    anyhow::ensure!(file.exists(), "the package holds no {}", file.display());
    Ok(file)
}

/// What Xen answers when it is asked for its version.
pub fn version_number(version: &str) -> Option<i64> {
    let (major, minor) = version.split_once('.')?;
    Some(major.parse::<i64>().ok()? << 16 | minor.parse::<i64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_halves_of_a_word() {
        assert_eq!(version_number("4.20"), Some(0x4_0014));
        assert_eq!(version_number("4"), None);
    }
}
