//! `cargo xtask spec`: are the specification's theorems proved?
//!
//! Every file of `spec/` is compiled by Coq, which checks each proof. Then each theorem that
//! `spec/theorems.toml` names is asked for what it rests on: nothing, or the test fails. A theorem
//! that is not there any more fails too, and so does an axiom or an admitted proof anywhere. With
//! `--leaks` specifications with a hole are tried, each of which must break a proof.

pub mod build;
mod leaks;
mod theorems;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;

use crate::count::Count;
use crate::paths::Paths;
use crate::setup::coq::Coq;
use build::Build;
use theorems::Theorem;

/// What to check.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Only theorems with this in their name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub theorem: String,
    /// Have `coqchk` check all that was compiled once more (1 minute)
    #[arg(long)]
    pub check: bool,
    /// Leave holes in the specification, one at a time, and see a proof fail (15 minutes)
    #[arg(long)]
    pub leaks: bool,
    /// Only holes with this in their name
    #[arg(long, value_name = "NAME", default_value = "", requires = "leaks")]
    pub leak: String,
    /// Name the theorems, and check nothing
    #[arg(long)]
    pub list: bool,
}

/// Is there a theorem of this name?
pub fn is_theorem(root: &Path, name: &str) -> bool {
    let theorems = theorems::load(&root.join("spec"));
    theorems.is_ok_and(|theorems| theorems.iter().any(|theorem| theorem.name == name))
}

/// Does what `options` say.
pub fn run(paths: &Paths, options: &Options) -> Result<ExitCode> {
    let source = paths.root.join("spec");
    let mut wanted = theorems::load(&source)?;
    wanted.retain(|theorem| theorem.name.contains(&options.theorem));
    ensure!(
        !wanted.is_empty(),
        "no such theorem; `--list` names them all"
    );
    if options.list {
        wanted
            .iter()
            .for_each(|Theorem { name, says }| println!("{name}\n    {says}"));
        return Ok(ExitCode::SUCCESS);
    }
    let coq = Coq::set_up(&paths.cache())?;
    println!("    {}", coq.describe());
    let started = Instant::now();
    let build = Build::new(&coq, &source, paths.target.join("spec"))?;
    let mut count = Count::default();
    for file in build.files() {
        tell(
            &mut count,
            &file.display().to_string(),
            build.compile(file)?,
        );
    }
    tell(
        &mut count,
        "no axioms, nothing admitted",
        theorems::axioms(&source)?,
    );
    tell(
        &mut count,
        "each hole of leaks.toml has its place",
        leaks::misplaced(&source)?,
    );
    if count.failed == 0 {
        for (theorem, fault) in theorems::ask(&build, &wanted)? {
            let name = format!("{}: {}", theorem.name, theorem.says);
            tell(&mut count, &name, fault);
        }
        if options.check {
            tell(&mut count, "coqchk", build.check_again()?);
        }
        if options.leaks {
            let (whole, folder) = (paths.target.join("spec"), paths.target.join("spec-leak"));
            let mut leaks = leaks::load(&source)?;
            leaks.retain(|leak| leak.name.contains(&options.leak));
            for leak in leaks {
                let name = format!("without a hole: {} ({})", leak.says, leak.name);
                let fault = leaks::attempt(&coq, &source, &whole, &folder, &leak)?;
                tell(&mut count, &name, fault);
            }
        }
    }
    println!("{:.0} s", started.elapsed().as_secs_f64());
    println!("{count}");
    Ok(count.exit_code())
}

/// One line of a test, counted. `fault` is what is wrong, if anything.
fn tell(count: &mut Count, name: &str, fault: Option<String>) {
    match fault {
        None => {
            println!("{name} ... ok");
            *count += Count::new(1, 0, 0);
        }
        Some(why) => {
            println!("{name} ... FAILED\n{why}");
            *count += Count::new(0, 1, 0);
        }
    }
}

/// A file of the specification, relative to its folder.
type Source = PathBuf;
