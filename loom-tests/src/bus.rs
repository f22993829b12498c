//! The order in which cores have to do with the hardware, for loom: who changes something there, and
//! who only looks.
//!
//! Looks of two cores commute, so only one order of them is tried; a change comes before or after each
//! look and each other change. Not an atomic, of which a look could load an old value: the hardware's
//! state is what it is, [`crate::hardware`] has its own weakness.
//!
//! Invariant: each core has a mark. It touches its own to look, and one who changes something touches
//! all, in one step: only for the first do other threads go on.

use crate::cpu;
use loom::sync::Condvar;
use percpu::CpuId;
use sync::alone::is_alone;

/// See the header. The marks are condition variables on which nobody waits, so they order nothing.
pub struct Bus(Box<[Condvar]>);

impl Bus {
    /// For so many cores.
    pub fn new(cores: usize) -> Self {
        Self((0..cores).map(|_| Condvar::new()).collect())
    }

    /// A core looks.
    pub fn look(&self, cpu: CpuId) {
        if !is_alone() {
            self.0[cpu.index()].notify_all();
        }
    }

    /// Somebody changes something.
    pub fn change(&self) {
        if !is_alone() {
            self.look(cpu(0));
            loom::stop_exploring();
            for mark in &self.0[1..] {
                mark.notify_all();
            }
            loom::explore();
        }
    }
}
