//! The crates' own accesses, as they are made, fed to the model of the caches.
//!
//! One thread plays all cores, an operation at a time, one core after the other. Nothing meets half-way: no lock
//! is contended and no compare-exchange fails, so what travels is the least that a variant can do with.
//!
//! Invariant: what is counted is what `sync` was asked to do; what is reached under a claim, a ticket or a token
//! without an atomic is not.

use crate::lines::{Access, Caches};
use crate::random::Random;
use crate::subject::{Outcome, Subject, Workload};
use crate::window::prepare;
use core::panic::Location;
use std::cell::RefCell;
use sync::observe;

/// Rounds before anything is counted, at least.
const WARM_UP: u32 = 16;
/// Operations that are counted, and before that are not, at least: with few cores that takes more rounds.
const OPERATIONS: u32 = 2048;

/// Where in the program a line travelled: a file and a line of it.
pub type Place = (&'static str, u32);

#[derive(Default)]
struct Watched {
    core: u16,
    caches: Caches<Place>,
}

std::thread_local! {
    /// What this thread's accesses are fed to, while it plays.
    static WATCHED: RefCell<Option<Watched>> = const { RefCell::new(None) };
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Operations.
    pub operations: u64,
    /// Of these the refused ones.
    pub refused: u64,
    /// Lines that travelled from core to core.
    pub travelled: u64,
    /// Where, the most first.
    pub places: Vec<(Place, u64)>,
}

impl Counts {
    /// Lines that travelled, per operation.
    pub fn per_operation(&self) -> f64 {
        self.travelled as f64 / self.operations as f64
    }
}

fn see(access: &observe::Access) {
    // A fence moves no line.
    if access.word == 0 {
        return;
    }
    let kind = match access.what {
        "load" => Access::Read,
        _ => Access::Write,
    };
    let place: &'static Location<'static> = access.at;
    WATCHED.with_borrow_mut(|watched| {
        if let Some(Watched { core, caches }) = watched {
            caches.access(*core, access.word, kind, (place.file(), place.line()));
        }
    });
}

/// How many lines travel while so many cores work.
pub fn count<S, W>(subject: &S, workload: W, cores: u16) -> Counts
where
    S: Subject,
    W: Workload<Target = S::Target>,
{
    observe::tell(see);
    prepare(subject, workload, cores);
    let mut played: Vec<_> = (0..cores)
        .map(|core| (core, subject.core(core), Random::of_core(core)))
        .collect();
    let mut refused = 0;
    let mut round = || {
        for (core, state, random) in &mut played {
            let on = workload.next(*core, cores, random);
            WATCHED.with_borrow_mut(|watched| {
                if let Some(watched) = watched {
                    watched.core = *core;
                }
            });
            refused += u64::from(subject.operate(state, on) == Outcome::Refused);
        }
    };
    WATCHED.set(Some(Watched::default()));
    let rounds = OPERATIONS.div_ceil(u32::from(cores)).max(WARM_UP);
    (0..rounds).for_each(|_| round());
    WATCHED.with_borrow_mut(|watched| {
        if let Some(watched) = watched {
            watched.caches.forget_counts();
        }
    });
    (0..rounds).for_each(|_| round());
    let watched = WATCHED.take().unwrap_or_default();
    let mut places: Vec<_> = watched
        .caches
        .by_place()
        .iter()
        .map(|(place, n)| (*place, *n))
        .collect();
    places.sort_by_key(|(place, n)| (std::cmp::Reverse(*n), *place));
    Counts {
        operations: u64::from(rounds) * u64::from(cores),
        refused,
        travelled: watched.caches.travelled(),
        places,
    }
}
