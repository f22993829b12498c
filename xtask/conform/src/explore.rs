//! All states that a small machine can come to, and in each of them everything that can be done.
//!
//! Invariants: two states are one if they differ only in what stands for nothing, by [`key`]; each is reached
//! by deeds from boot, which are done again to come back to it; in each every dish of the menu is tried and
//! compared, whether it is followed or not.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

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

/// What two states have in common that are one. Generations, the places of tables, what the host's map has been
/// asked for, and registers, the program counter and the register and width that an answer is for among them, do not
/// count; of contents it counts which pages hold something. Memory errors that nobody has found yet are in no text.
fn key(text: &str, broken: &[u64]) -> u64 {
    let mut hasher = DefaultHasher::new();
    broken.hash(&mut hasher);
    let mut last: Option<(String, u64)> = None;
    let mut holding = None;
    for line in text.lines() {
        let mut fields = line.split(' ');
        match fields.next() {
            Some("p") => {
                let count: u64 = fields.nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
                let state = fields.next().unwrap_or_default();
                let state = if state.starts_with('E') { "E" } else { state };
                match &mut last {
                    Some((known, sum)) if known == state => *sum += count,
                    _ => {
                        last.hash(&mut hasher);
                        last = Some((state.to_owned(), count));
                    }
                }
            }
            Some("v") => {
                let slot = fields.next();
                let _ = fields.next();
                (slot, fields.collect::<Vec<_>>()).hash(&mut hasher);
            }
            Some("u") => {
                let slot = fields.next();
                let _ = fields.next();
                let place: Vec<_> = fields.by_ref().take(5).map(of_a_kind).collect();
                let _registers = fields.next();
                (slot, place, fields.collect::<Vec<_>>()).hash(&mut hasher);
            }
            Some("c") => {
                let page = fields.next();
                if holding != page {
                    page.hash(&mut hasher);
                    holding = page;
                }
            }
            _ => line.hash(&mut hasher),
        }
    }
    last.hash(&mut hasher);
    hasher.finish()
}

fn key_of(rig: &Rig) -> u64 {
    let broken = rig.broken();
    key(rig.tape().text(), &broken)
}

/// A load that waits for its answer is one as good as another.
fn of_a_kind(field: &str) -> &str {
    if field.starts_with('r') { "r" } else { field }
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
        let key = key_of(&rig);
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
        let here = key_of(&rig);
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
            let after = key_of(now);
            let is_elsewhere = played.is_err() || after != here;
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

#[cfg(test)]
mod tests {
    use super::key;

    const STATE: &str = "p 0 8 R 0\np 8 3 E 0\np 11 2 Eh 0\np 13 3 H 1\nc 14 0 7\nv 0 1 B 80000 2 1\n\
                         u 0 1 Q0 0 0 - 0 80000000,1,2 i32:10:160\nu 1 1 P 0 1 r9.8.00 0 4,1\nk I\nd -\n";

    #[test]
    fn what_stands_for_nothing_makes_no_state() {
        let same = [
            ("v 0 1", "v 0 7"),
            ("u 0 1", "u 0 9"),
            ("80000000,1,2", "80000004,5,6"),
            ("p 8 3 E 0\np 11 2 Eh 0", "p 8 1 E 0\np 9 4 Ev1 0"),
            ("H 1", "H 0"),
            ("80000000,1", "!1:80000000,1"),
            ("r9.8.00", "r9.1.10"),
            ("c 14 0 7", "c 14 0 8\nc 14 3 9"),
        ];
        for (from, to) in same {
            assert!(STATE.contains(from), "{from}");
            assert_eq!(key(STATE, &[]), key(&STATE.replace(from, to), &[]), "{to}");
        }
    }

    #[test]
    fn all_else_does() {
        let other = [
            ("p 13 3 H", "p 13 3 P"),
            ("B 80000", "R 80000"),
            ("Q0", "Q1"),
            ("- 0 80", "A 0 80"),
            ("c 14 0 7\n", ""),
            ("c 14", "c 15"),
            ("r9.8.00", "W"),
            ("i32:10", "i32:11"),
            ("k I", "k O"),
            ("d -", "d 3"),
        ];
        for (from, to) in other {
            assert!(STATE.contains(from), "{from}");
            assert_ne!(key(STATE, &[]), key(&STATE.replace(from, to), &[]), "{to}");
        }
        assert_ne!(key(STATE, &[]), key(STATE, &[14]));
    }
}
