//! One thing that shows a property, as the map names it: a theorem, a test, or a stage of `cargo xtask test`.

use std::fmt;
use std::path::Path;

use clap::ValueEnum;

use crate::mutants::{Catcher, Kind, check_test};
use crate::spec::is_theorem;
use crate::test::stages;

/// Something that can be tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// A theorem of `spec/theorems.toml`.
    Theorem(String),
    /// A test as `xtask/mutants.toml` names it.
    Test(Catcher),
    /// A stage of `cargo xtask test`, whole.
    Stage(String),
}

impl Evidence {
    /// Reads `theorem NAME`, `stage NAME` or a kind of test and its name; what is wrong with it else.
    pub fn parse(root: &Path, text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
        match kind {
            "theorem" if is_theorem(root, name) => Ok(Self::Theorem(name.to_owned())),
            "theorem" => Err(format!("{name} is no theorem of spec/theorems.toml")),
            "stage" if stages::all().iter().any(|stage| stage.name == name) => {
                Ok(Self::Stage(name.to_owned()))
            }
            "stage" => Err(format!("{name} is no stage of cargo xtask test")),
            _ => match check_test(root, text) {
                Some(wrong) => Err(wrong),
                None => {
                    Kind::from_str(kind, false).map(|kind| Self::Test(Catcher::new(kind, name)))
                }
            },
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Theorem(name) => write!(f, "theorem {name}"),
            Self::Test(test) => write!(f, "{test}"),
            Self::Stage(name) => write!(f, "stage {name}"),
        }
    }
}
