//! Of deeds that lead to a difference, few that still do.
//!
//! Invariant: what is told to be a difference was played again from boot.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use engine::sim::Config;

use crate::deed::{Act, Deed};
use crate::oracle::Oracle;
use crate::rig::Rig;

/// A difference: after which deed, and what.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The deed's place.
    pub at: usize,
    /// What differs.
    pub what: String,
}

/// Plays `deeds` on a fresh machine and asks after each.
pub fn replay(program: &Path, config: Config, deeds: &[Deed]) -> Result<Option<Difference>> {
    let rig = Rig::new(config, Oracle::start(program)?, &Arc::default());
    let mut found = None;
    for (at, deed) in deeds.iter().enumerate() {
        let played = catch_unwind(AssertUnwindSafe(|| _ = rig.deed(deed)));
        let what = match played {
            Ok(()) => rig.verdict()?,
            Err(panic) => Some(format!("the engine panics: {}", message(&*panic))),
        };
        if let Some(what) = what {
            found = Some(Difference { at, what });
            break;
        }
    }
    let _ = rig.into_oracle();
    Ok(found)
}

/// What a panic said.
pub fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "without a word".to_owned())
}

/// The least of `deeds` that still differs, by taking away runs of them, then single acts of guests.
pub fn shrink(program: &Path, config: Config, deeds: &[Deed]) -> Result<(Vec<Deed>, Difference)> {
    let mut best = deeds.to_vec();
    let Some(mut difference) = replay(program, config, &best)? else {
        let what = "it does not differ when it is played again".to_owned();
        let at = deeds.len();
        return Ok((best, Difference { at, what }));
    };
    best.truncate(difference.at + 1);
    let mut attempt = |best: &mut Vec<Deed>, less: Vec<Deed>| -> Result<bool> {
        let Some(found) = replay(program, config, &less)? else {
            return Ok(false);
        };
        *best = less;
        best.truncate(found.at + 1);
        difference = found;
        Ok(true)
    };
    let mut size = best.len().div_ceil(2);
    loop {
        let (mut first, mut is_less) = (0, false);
        while first < best.len() {
            let mut less = best.clone();
            less.drain(first..less.len().min(first + size));
            if attempt(&mut best, less)? {
                is_less = true;
            } else {
                first += size;
            }
        }
        if size == 1 && !is_less {
            break;
        }
        size = size.div_ceil(2);
    }
    let mut place = 0;
    while place < best.len() {
        let count = match &best[place] {
            Deed::Script { acts, .. } => acts.len(),
            _ => 0,
        };
        for act in (0..count).rev() {
            let mut less = best.clone();
            if let Some(Deed::Script { acts, .. }) = less.get_mut(place)
                && act < acts.len()
                && acts.len() > 1
            {
                acts.remove(act);
                attempt(&mut best, less)?;
            }
        }
        place += 1;
    }
    Ok((best, difference))
}

/// How many deeds there are, those in the middle of guests' turns among them.
pub fn count(deeds: &[Deed]) -> usize {
    let of = |deed: &Deed| match deed {
        Deed::Script { acts, .. } => {
            1 + acts
                .iter()
                .filter(|act| matches!(act, Act::Elsewhere(_)))
                .count()
        }
        _ => 1,
    };
    deeds.iter().map(of).sum()
}
