//! The weather of a call: what the specification leaves open, read off the engine's answer.
//!
//! Invariant: only what is open is read off it: `BUSY` never is, with one core acting at a time, `NO_MEMORY` only
//! with an empty pool.

use abi::{Call, Status};
use engine::sim::Portrait;
use ownership::{Owner, State};

use crate::render::host_mapped;
use crate::tally::is_batch;
use crate::tape::Tape;

/// Free pages, without those kept back, with which a table may be missing: a page needs three in its VM's map and
/// two in the host's.
pub const SCARCE: u64 = 4;
impl Tape {
    /// What the engine chose where the specification leaves it open.
    pub(crate) fn weather(
        &mut self,
        call: Call,
        asked: &[u64; 7],
        x: &[u64; 18],
        free: u64,
        after: &Portrait,
    ) {
        let mut line = String::from("y");
        let is_done = x[0] == 0;
        let is_batch = is_batch(Some(call));
        let no_memory = Status::NoMemory.raw() as u64;
        if x[0] == no_memory || (is_done && is_batch && x[2] == no_memory) {
            // A root's pages have to lie together.
            if free > SCARCE && call != Call::VmCreate {
                self.complain(format!(
                    "{} finds no memory, but {free} pages are free",
                    call.name()
                ));
            }
            line += &format!(" short={}", if is_done { x[1] } else { 0 });
            if call == Call::EngineDonate {
                // It ends with its 2 MiB.
                line += &format!(" most={}", 512 - (asked[1] >> 12) % 512);
            }
        }
        let reason = if is_done { x[2] } else { x[0] };
        let cuts = [Status::NoMemory, Status::NotRam].map(|cut| cut.raw() as u64);
        if call == Call::EngineDonate && cuts.contains(&reason) {
            self.lets_go(
                (asked[1] >> 12) + if is_done { x[1] } else { 0 },
                asked[2],
                after,
            );
        }
        if is_done {
            match call {
                _ if is_batch && x[2] == 0 => line += &format!(" most={}", x[1]),
                Call::EngineReclaim => {
                    let home = x[2..]
                        .iter()
                        .take(x[1] as usize)
                        .map(|address| address >> 12);
                    let lost = self.changed(after, |before, after| {
                        before == State::Owned(Owner::Engine) && after == State::Poisoned
                    });
                    line += &format!(" spare={}", list(lost.into_iter().chain(home)));
                }
                Call::VmCreate | Call::VcpuCreate => line += &format!(" free={}", x[1] & 0xffff),
                Call::VmDestroy => line += &format!(" said={}", x[2]),
                Call::EngineInfo | Call::StatsRead => line += &format!(" said={}", x[1]),
                Call::TraceRead => line += &format!(" said={},{},{}", x[1], x[2], x[3]),
                Call::PageCensus => line += &format!(" most={}", (x[1] / 512).max(1)),
                Call::VmReclaim => {
                    let slot = (asked[1] & 0xffff) as usize;
                    line += &format!(" found={}", self.reclaimed(slot, after));
                    if x[2] == 1 {
                        line += " ends=";
                    }
                }
                _ => {}
            }
        }
        if line.len() > 1 {
            self.oracle.line(format_args!("{line}"));
        }
    }

    /// ENGINE_DONATE has unmapped all it wants before it meets an error: what is behind that is the host's, and its
    /// next touch maps it again.
    fn lets_go(&mut self, first: u64, pages: u64, after: &Portrait) {
        let mapped = host_mapped(after, self.base);
        let offsets = (first..first.saturating_add(pages))
            .filter_map(|page| page.checked_sub(self.base))
            .map(|offset| offset as usize);
        for offset in offsets.take_while(|offset| *offset < mapped.len()) {
            let is_hosts = after.pages[offset] == State::Owned(Owner::Host);
            if is_hosts && self.mapped[offset] != b'0' && mapped[offset] == b'0' {
                self.oracle
                    .line(format_args!("M {}", self.base + offset as u64));
            }
        }
    }

    fn changed(&self, after: &Portrait, is: impl Fn(State, State) -> bool) -> Vec<u64> {
        let both = self.before.pages.iter().zip(&after.pages);
        let changed = both
            .enumerate()
            .filter(|(_, (before, after))| is(**before, **after));
        changed
            .map(|(offset, _)| self.base + offset as u64)
            .collect()
    }

    /// The leaves that VM_RECLAIM came upon, and what became of them.
    fn reclaimed(&self, slot: usize, after: &Portrait) -> String {
        let leaves = |portrait: &Portrait| -> Vec<(u64, u64)> {
            let vm = portrait.vms.get(slot).into_iter();
            let leaves = vm.flat_map(|vm| &vm.leaves);
            leaves
                .flat_map(|leaf| (0..leaf.pages).map(|n| (leaf.ipa_page + n, leaf.page + n)))
                .collect()
        };
        let state = |portrait: &Portrait, page: u64| -> Option<State> {
            portrait.pages.get((page - self.base) as usize).copied()
        };
        let left = leaves(after);
        let mut found = Vec::new();
        for leaf @ (ipa, page) in leaves(&self.before) {
            let (was, is) = (state(&self.before, page), state(after, page));
            let is_zero = |state| matches!(state, Some(State::Scrubbing { .. }));
            if left.binary_search(&leaf).is_err() {
                let way = if is_zero(was) { 'f' } else { 'h' };
                found.push(format!("{way}{ipa}"));
            } else if is_zero(is) && !is_zero(was) {
                found.push(format!("z{ipa}"));
            }
        }
        found.join(",")
    }
}

fn list(numbers: impl Iterator<Item = u64>) -> String {
    numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}
