//! All states that a small machine can come to, and in each of them everything that can be done.
//!
//! Invariants: two states are one as `alike` has it; each is reached
//! by deeds from boot, which are done again to come back to it; in each every dish of the menu is tried and
//! compared, whether it is followed or not.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::alike::{key, name_of};
use crate::deed::Deed;
use crate::menu::menu;
use crate::oracle::Oracle;
use crate::rig::Rig;
use crate::shrink::{Difference, message, shrink};
use crate::tally::Tally;
use crate::worlds::{World, config};

/// Says how far it is each time so many states are done.
const PROGRESS: u64 = 1000;

/// A way from boot, its last deeds first.
struct Way {
    before: Option<Arc<Way>>,
    deeds: Vec<Deed>,
}

impl Way {
    fn all(&self) -> Vec<Deed> {
        let mut parts = vec![&self.deeds];
        let mut at = &self.before;
        while let Some(before) = at {
            parts.push(&before.deeds);
            at = &before.before;
        }
        parts.into_iter().rev().flatten().cloned().collect()
    }
}

#[derive(Default)]
struct Frontier {
    seen: HashSet<u64>,
    todo: VecDeque<Arc<Way>>,
    busy: usize,
    expanded: u64,
    compared: u64,
    failed: bool,
}

/// What came of a world.
pub struct Explored {
    /// States.
    pub states: u64,
    /// Of these, those in which everything was tried.
    pub expanded: u64,
    /// Deeds that were compared.
    pub compared: u64,
    /// Everything conformed.
    pub conforms: bool,
}

struct Explorer<'a> {
    program: &'a Path,
    world: &'a World,
    until: Option<Instant>,
    frontier: Mutex<Frontier>,
    changed: Condvar,
    tally: Arc<Tally>,
}

/// Explores a world as long as there is time.
pub fn explore(
    program: &Path,
    world: &World,
    shards: u64,
    time: Duration,
    tally: &Arc<Tally>,
) -> Result<Explored> {
    let explorer = Explorer {
        program,
        world,
        until: Instant::now().checked_add(time),
        frontier: Mutex::default(),
        changed: Condvar::new(),
        tally: tally.clone(),
    };
    explorer.begin()?;
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let shards: Vec<_> = (0..shards)
            .map(|_| scope.spawn(|| explorer.shard()))
            .collect();
        let join = |shard: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            shard
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a shard panicked")))
        };
        shards.into_iter().map(join).collect()
    });
    ended.into_iter().collect::<Result<Vec<()>>>()?;
    let frontier = explorer
        .frontier
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    Ok(Explored {
        states: frontier.seen.len() as u64,
        expanded: frontier.expanded,
        compared: frontier.compared,
        conforms: !frontier.failed,
    })
}

impl Explorer<'_> {
    fn lock(&self) -> std::sync::MutexGuard<'_, Frontier> {
        self.frontier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Result<()> {
        let rig = Rig::new(config(), Oracle::start(self.program)?, &self.tally);
        let deeds = (self.world.begin)(&rig.machine);
        for deed in &deeds {
            rig.deed(deed);
        }
        let key = key(&rig);
        let _ = rig.into_oracle();
        let mut frontier = self.lock();
        frontier.seen.insert(key);
        frontier.todo.push_back(Arc::new(Way {
            before: None,
            deeds,
        }));
        Ok(())
    }

    /// Takes states and tries everything in each.
    fn shard(&self) -> Result<()> {
        let mut oracle = Oracle::start(self.program)?;
        loop {
            let node = {
                let mut frontier = self.lock();
                loop {
                    let is_over =
                        frontier.failed || self.until.is_some_and(|until| Instant::now() >= until);
                    if is_over {
                        return Ok(());
                    }
                    if let Some(node) = frontier.todo.pop_front() {
                        frontier.busy += 1;
                        break node;
                    }
                    if frontier.busy == 0 {
                        return Ok(());
                    }
                    let waited = self
                        .changed
                        .wait_timeout(frontier, Duration::from_millis(100));
                    frontier = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            };
            let expanded = self.expand(oracle, &node);
            let mut frontier = self.lock();
            frontier.busy -= 1;
            frontier.expanded += 1;
            let (done, states) = (frontier.expanded, frontier.seen.len());
            let compared = frontier.compared;
            drop(frontier);
            if done.is_multiple_of(PROGRESS) {
                let name = self.world.name;
                println!(
                    "    {name}: everything tried in {done} of {states} states so far, {compared} deeds"
                );
            }
            self.changed.notify_all();
            oracle = match expanded? {
                Some(oracle) => oracle,
                None => Oracle::start(self.program)?,
            };
        }
    }

    /// Tries everything in one state. Gives the oracle back.
    fn expand(&self, oracle: Oracle, node: &Arc<Way>) -> Result<Option<Oracle>> {
        let way = node.all();
        let rig = Rig::new(config(), oracle, &self.tally);
        for deed in &way {
            rig.deed(deed);
        }
        rig.keep(0);
        let here = name_of(&rig);
        let dishes = menu(&rig.machine, &rig.seen());
        let mut rig = Some(rig);
        let mut since: Vec<Deed> = Vec::new();
        for dish in dishes {
            let Some(now) = &rig else { break };
            let played = catch_unwind(AssertUnwindSafe(|| {
                for deed in &dish.deeds {
                    now.deed(deed);
                }
            }));
            since.extend(dish.deeds.iter().cloned());
            let is_elsewhere = played.is_err() || name_of(now) != here;
            if !is_elsewhere {
                continue;
            }
            let fault = match played {
                Ok(()) => now.verdict()?,
                Err(panic) => Some(format!("the engine panics: {}", message(&*panic))),
            };
            if let Some(fault) = fault {
                self.fail(&way, &since, &fault)?;
                return Ok(None);
            }
            if self.world.follow.contains(&dish.topic) {
                let after = key(now);
                let mut frontier = self.lock();
                if frontier.seen.insert(after) {
                    let path = Way {
                        before: Some(node.clone()),
                        // The dishes before it have led nowhere; they may have moved tables.
                        deeds: dish.deeds.clone(),
                    };
                    frontier.todo.push_back(Arc::new(path));
                    drop(frontier);
                    self.changed.notify_all();
                }
            }
            // Back to where it began.
            let done = rig.take().map(|rig| {
                let compared = rig.tape().deeds;
                self.lock().compared += compared;
                rig.into_oracle()
            });
            since.clear();
            if let Some(Some(oracle)) = done {
                let next = Rig::muted(config(), oracle, &self.tally);
                next.catch_up(&way, 0);
                rig = Some(next);
            }
        }
        let Some(rig) = rig else { return Ok(None) };
        self.lock().compared += rig.tape().deeds;
        if let Some(fault) = rig.verdict()? {
            self.fail(&way, &since, &fault)?;
            return Ok(None);
        }
        Ok(rig.into_oracle())
    }

    fn fail(&self, way: &[Deed], since: &[Deed], fault: &str) -> Result<()> {
        {
            let mut frontier = self.lock();
            if frontier.failed {
                return Ok(());
            }
            frontier.failed = true;
        }
        println!(
            "the world {} differs from the specification:\n{fault}",
            self.world.name
        );
        let deeds: Vec<Deed> = way.iter().chain(since).cloned().collect();
        let (least, Difference { what, .. }) = shrink(self.program, config(), &deeds)?;
        println!("in {} steps:", least.len());
        for deed in least {
            println!("    {deed}");
        }
        println!("{what}");
        Ok(())
    }
}
