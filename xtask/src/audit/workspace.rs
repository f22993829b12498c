//! The workspace as cargo sees it: its packages, where they lie, what they depend on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process::capture;
use crate::setup::toolchain::ordinary_cargo;

/// The packages by folder, relative to the checkout.
pub struct Workspace {
    pub packages: BTreeMap<String, Package>,
}

/// One package's dependencies of every kind, those for tests included.
#[derive(Default)]
pub struct Package {
    /// Folders of workspace members that it imports.
    pub members: Vec<String>,
    /// Names of packages that it takes from the registry.
    pub registry: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    manifest_path: PathBuf,
    dependencies: Vec<MetadataDependency>,
}

#[derive(Deserialize)]
struct MetadataDependency {
    name: String,
    path: Option<PathBuf>,
}

impl Workspace {
    /// Asks cargo.
    pub fn load(root: &Path) -> Result<Self> {
        let mut cargo = Command::new(ordinary_cargo());
        cargo
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .current_dir(root);
        let metadata: Metadata =
            serde_json::from_str(&capture(&mut cargo)?).context("read `cargo metadata`")?;
        let mut packages = BTreeMap::new();
        for package in metadata.packages {
            let dir = package.manifest_path.parent();
            let folder = relative(root, dir.context("a manifest lies in a folder")?)?;
            packages.insert(folder, Package::from_metadata(root, package.dependencies)?);
        }
        Ok(Self { packages })
    }
}

impl Package {
    fn from_metadata(root: &Path, dependencies: Vec<MetadataDependency>) -> Result<Self> {
        let mut package = Self::default();
        for dependency in dependencies {
            match dependency.path {
                Some(path) => package.members.push(relative(root, &path)?),
                None => package.registry.push(dependency.name),
            }
        }
        for list in [&mut package.members, &mut package.registry] {
            list.sort();
            list.dedup();
        }
        Ok(package)
    }
}

fn relative(root: &Path, path: &Path) -> Result<String> {
    let inside = path
        .strip_prefix(root)
        .with_context(|| format!("{} lies outside the checkout", path.display()))?;
    Ok(inside.display().to_string())
}
