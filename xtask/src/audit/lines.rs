//! How much code has to be trusted: lines that are neither blank, comment nor test.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::audit::source::{code_only, without_tests};
use crate::audit::workspace::Workspace;
use crate::audit::{Findings, TRUSTED, image_sources};

pub fn report(root: &Path, _workspace: &Workspace) -> Result<Findings> {
    let mut total = 0;
    for folder in TRUSTED {
        let mut lines = 0;
        for file in image_sources(root, folder, &["rs", "S"])? {
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            lines += count(&text);
        }
        println!("    {lines:>6}  {folder}");
        total += lines;
    }
    println!("    {total:>6}  together");
    Ok(Findings::new())
}

fn count(text: &str) -> usize {
    without_tests(&code_only(text))
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_blanks_and_tests_do_not_count() {
        let text =
            "//! Doc\n\nfn f() {\n    // why\n    g();\n}\n#[cfg(test)]\nmod tests {\n    a\n}\n";
        assert_eq!(count(text), 3);
    }
}
