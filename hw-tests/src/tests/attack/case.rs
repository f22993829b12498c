//! What a case says of itself, and the line that says it.
//!
//! Invariant: no text has a quotation mark or a backslash in it, so that the line is JSON as it stands.

use core::fmt;

/// Who attacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The host, at EL1 on any core.
    Host,
    /// A guest, by itself.
    Guest,
}

/// A test that is an attack.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The test's name.
    pub name: &'static str,
    /// Who attacks.
    pub by: By,
    /// Numbers of the bugs that it tries.
    pub scenarios: &'static [u8],
    /// How.
    pub mechanism: &'static str,
    /// The documented refusal that must come.
    pub refusal: &'static str,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by = match self.by {
            By::Host => "host",
            By::Guest => "guest",
        };
        write!(
            f,
            "@attack {{\"name\":\"{}\",\"by\":\"{by}\",\"scenarios\":{:?},\"mechanism\":\"{}\",\"expected\":\"{}\"}}",
            self.name, self.scenarios, self.mechanism, self.refusal
        )
    }
}

/// The texts of tests by name: `Host "file::function" [scenarios] "mechanism" => "refusal";`
macro_rules! cases {
    ($($by:ident $name:literal [$($scenario:literal),*] $mechanism:literal => $refusal:literal;)+) => {
        /// The texts of this file.
        pub(super) const CASES: &[$crate::tests::attack::Case] = &[$($crate::tests::attack::Case {
            name: $name,
            by: $crate::tests::attack::By::$by,
            scenarios: &[$($scenario),*],
            mechanism: $mechanism,
            refusal: $refusal,
        }),+];
    };
}

pub(super) use cases;
