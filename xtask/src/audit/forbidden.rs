//! What the engine's crates do without: dynamic dispatch, unfinished code, checks left out, tests that don't run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::audit::source::{code_only, has_word, word_starts};
use crate::audit::workspace::Workspace;
use crate::audit::{Findings, TRUSTED, image_sources};

pub fn check(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let mut findings = Findings::new();
    for folder in TRUSTED {
        for file in image_sources(root, folder, &["rs"])? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            let name = file.strip_prefix(root).unwrap_or(&file).display();
            let code = code_only(&text);
            findings.extend(forbidden_in(&code).map(|what| format!("{name} has {what}")));
        }
    }
    Ok(findings)
}

fn forbidden_in(code: &str) -> impl Iterator<Item = &'static str> + '_ {
    let is_macro =
        |name| word_starts(code, name).any(|at| code[at..].starts_with(&format!("{name}!")));
    [
        (has_word(code, "dyn"), "dyn"),
        (is_macro("todo"), "todo!"),
        (is_macro("unimplemented"), "unimplemented!"),
        (code.contains("#[ignore"), "#[ignore]"),
        (leaves_out_a_check(code), "_unchecked"),
    ]
    .into_iter()
    .filter_map(|(is_there, what)| is_there.then_some(what))
}

/// A function that trusts its caller with what it could check; but for the library's device tree of a blob that
/// `wellformed` has gone through, which is not unsafe.
fn leaves_out_a_check(code: &str) -> bool {
    code.replace("Fdt::new_unchecked(", "")
        .contains("_unchecked(")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_and_look_alikes_are_not() {
        let found = |code: &str| forbidden_in(code).collect::<Vec<_>>();
        assert_eq!(found("fn f(x: &dyn T) { todo!() }"), ["dyn", "todo!"]);
        assert_eq!(
            found("#[ignore = \" \"] unimplemented!()"),
            ["unimplemented!", "#[ignore]"]
        );
        assert!(found("let todo = dynamic; ignore(todo)").is_empty());
        assert_eq!(found("unsafe { words.get_unchecked(3) }"), ["_unchecked"]);
        assert!(found("Fdt::new_unchecked(bytes)").is_empty());
    }
}
