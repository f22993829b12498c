//! `cargo xtask bench --peers`: what the peers take, measured anew here and put beside what is recorded of them.
//!
//! The method is the benchmark's own: one core, a tick for each instruction. Invariants: a peer that cannot be set up is
//! skipped in one line that says why; a run that was started and tells nothing is a failure; a drift is a report.

pub mod beside;
mod boot;
mod drift;
mod kernel;
mod probe;
mod recorded;
mod told;
mod xen;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Error, Result, ensure};

use crate::bench::peers::boot::Boot;
use crate::bench::peers::drift::Tally;
use crate::bench::peers::kernel::Kernel;
use crate::bench::peers::probe::Probe;
use crate::bench::peers::recorded::{Peer, Recorded, Run};
use crate::paths::Paths;
use crate::setup::guest::GuestFiles;
use crate::setup::qemu::Qemu;

/// Something that is set up once; if that failed, why.
type Once<T> = BTreeMap<String, Shared<T>>;
type Shared<T> = Result<Rc<T>, Rc<Error>>;

/// What is set up so far.
struct Workshop<'a> {
    paths: &'a Paths,
    qemu: Qemu,
    busybox: PathBuf,
    kernels: Once<Kernel>,
    probes: Once<Probe>,
    xens: Once<PathBuf>,
}

/// Linux, and Xen if that is meant.
type Parts = (Rc<Kernel>, Option<Rc<PathBuf>>);

/// What became of a run.
enum Outcome {
    /// It was measured.
    Measured(BTreeMap<String, f64>),
    /// What it needs could not be had.
    Skipped(Rc<Error>),
    /// Its probes were not built, or it told nothing that could be judged.
    Failed(Rc<Error>),
}

impl Workshop<'_> {
    fn measure(&mut self, run: &Run) -> Outcome {
        match self.fetch(run) {
            Ok((kernel, xen)) => match self.boot(run, &kernel, xen.as_deref()) {
                Ok(medians) => Outcome::Measured(medians),
                Err(why) => Outcome::Failed(why),
            },
            Err(why) => Outcome::Skipped(why),
        }
    }

    /// What comes from elsewhere.
    fn fetch(&mut self, run: &Run) -> Result<Parts, Rc<Error>> {
        let cache = self.paths.cache();
        let version = run.version.as_deref().unwrap_or_default();
        let (series, xen) = match run.peer {
            Peer::Xen => {
                let set_up = || xen::set_up(&cache, version);
                (xen::DOM0, Some(once(&mut self.xens, version, set_up)?))
            }
            _ => (version, None),
        };
        let set_up = || Kernel::set_up(&cache, series);
        Ok((once(&mut self.kernels, series, set_up)?, xen))
    }

    fn boot(
        &mut self,
        run: &Run,
        kernel: &Kernel,
        xen: Option<&PathBuf>,
    ) -> Result<BTreeMap<String, f64>, Rc<Error>> {
        let build = || Probe::build(self.paths, kernel, &self.busybox);
        let probe = once(&mut self.probes, kernel.series, build)?;
        Boot {
            run,
            probe: &probe,
            xen: xen.map(PathBuf::as_path),
        }
        .measure(self.paths, &self.qemu)
        .map_err(Rc::new)
    }
}

fn once<T>(all: &mut Once<T>, name: &str, set_up: impl FnOnce() -> Result<T>) -> Shared<T> {
    let known = all.entry(name.to_owned());
    let done = known.or_insert_with(|| set_up().map(Rc::new).map_err(Rc::new));
    done.clone()
}

/// What failed, and the last thing that was said of it.
fn in_one_line(error: &Error) -> String {
    let (what, all) = (error.to_string(), format!("{error:#}"));
    let what = what.lines().next().unwrap_or_default();
    match all.lines().next_back() {
        Some(why) if !why.contains(what) => format!("{what}: {}", why.trim()),
        Some(why) => why.trim().to_owned(),
        None => String::new(),
    }
}

/// Measures the peers' figures with `filter` in their names; `json` is where the list goes.
pub fn run(paths: &Paths, filter: &str, json: Option<&PathBuf>) -> Result<ExitCode> {
    let recorded = Recorded::load(&paths.root)?;
    let is_meant = |run: &&Run| {
        let mut names = run.medians.keys().map(|what| run.figure_name(what));
        names.any(|name| name.contains(filter))
    };
    let runs: Vec<&Run> = recorded.runs.iter().filter(is_meant).collect();
    ensure!(
        !runs.is_empty(),
        "no peer's figure has {filter:?} in its name"
    );
    println!("==> set-up, below {}", paths.cache().display());
    let qemu = Qemu::set_up(&paths.cache())?;
    println!("    {}", qemu.describe());
    let mut workshop = Workshop {
        paths,
        qemu,
        busybox: GuestFiles::set_up(&paths.cache())?.busybox,
        kernels: Once::new(),
        probes: Once::new(),
        xens: Once::new(),
    };
    println!("==> measuring");
    let (mut rows, mut tally, mut failed) = (Vec::new(), Tally::default(), 0);
    for run in runs {
        let name = run.name();
        if !run.peer.is_measured() {
            println!("    {name}: data only");
            continue;
        }
        let (medians, skipped) = match workshop.measure(run) {
            Outcome::Measured(medians) => {
                println!("    {name}: {} figures", medians.len());
                (medians, false)
            }
            Outcome::Skipped(why) => {
                println!("    {name}: skipped: {}", in_one_line(&why));
                (BTreeMap::new(), true)
            }
            Outcome::Failed(why) => {
                println!("    {name}: FAILED\n    {why:#}");
                failed += 1;
                (BTreeMap::new(), false)
            }
        };
        let compared = drift::compare(run, &medians, filter);
        tally.add(&compared, skipped);
        rows.extend(compared);
    }
    print!("\n{}", drift::render(&rows));
    if let Some(file) = json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        fs::write(file, text).with_context(|| format!("--json {}", file.display()))?;
    }
    println!("{tally}");
    Ok(match failed == 0 && tally.missing == 0 {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn what_failed_fits_in_a_line() {
        let error = anyhow!("status 100: apt-get\nW: slow\nE: no route\n").context("no lists");
        assert_eq!(in_one_line(&error), "no lists: E: no route");
        assert_eq!(in_one_line(&anyhow!("only this")), "only this");
    }

    #[test]
    fn what_could_not_be_set_up_is_not_tried_again() {
        let mut all = Once::<u32>::new();
        let mut tried = 0;
        for _ in 0..2 {
            let failed = once(&mut all, "a", || {
                tried += 1;
                Err(anyhow!("why"))
            });
            assert_eq!(failed.unwrap_err().to_string(), "why");
        }
        assert_eq!(tried, 1);
        assert_eq!(*once(&mut all, "b", || Ok(2)).unwrap(), 2);
    }
}
