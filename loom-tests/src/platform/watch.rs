//! What is looked at when a core begins or ends a call or an access.
//!
//! Invariant: looking takes no step of the model's.

use super::LoomMachine;
use crate::witness::Act;
use percpu::CpuId;

impl LoomMachine {
    /// A core begins a call, or an access.
    pub fn begin(&self) -> Act {
        self.witness.begin(&self.peek())
    }

    /// It is done.
    pub fn end(&self, act: Act, was_refused: bool) {
        self.witness.end(act, was_refused, &self.peek());
    }

    /// What a core made valid is found by all walkers: it leaves the engine, and others count on it.
    pub fn assert_published(&self, cpu: CpuId) {
        let late = self.peek().unpublished(cpu.index());
        assert!(
            late.is_none(),
            "a call is over, and walkers need not see the entry {late:x?}"
        );
    }
}
