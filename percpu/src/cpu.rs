//! Which CPU: numbers, sets, and the proof of running on one.
//!
//! Invariants: a [`CpuId`] is below [`MAX_CPUS`]; one [`CpuToken`] exists per CPU, and it stays
//! there.

use bitvec::array::BitArray;
use core::marker::PhantomData;

/// Most CPUs of a machine.
pub const MAX_CPUS: usize = 512;

/// The engine's number of a CPU: 0 is the one that booted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct CpuId(u16);

impl CpuId {
    /// The CPU with this number, if there can be one.
    pub const fn new(raw: u16) -> Option<Self> {
        if (raw as usize) < MAX_CPUS {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// Its number.
    pub const fn raw(self) -> u16 {
        self.0
    }

    /// Its number, as an index.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of CPUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuSet(BitArray<[u64; MAX_CPUS / 64]>);

impl CpuSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a CPU; `false` if it was in already.
    pub fn insert(&mut self, cpu: CpuId) -> bool {
        self.0
            .get_mut(cpu.index())
            .is_some_and(|mut bit| !core::mem::replace(&mut *bit, true))
    }

    /// Removes a CPU; `false` if it wasn't in.
    pub fn remove(&mut self, cpu: CpuId) -> bool {
        self.0
            .get_mut(cpu.index())
            .is_some_and(|mut bit| core::mem::replace(&mut *bit, false))
    }

    /// Is the CPU in?
    pub fn contains(&self, cpu: CpuId) -> bool {
        self.0.get(cpu.index()).is_some_and(|bit| *bit)
    }

    /// Number of CPUs in it.
    pub fn len(&self) -> usize {
        self.0.count_ones()
    }

    /// Is no CPU in it?
    pub fn is_empty(&self) -> bool {
        self.0.not_any()
    }

    /// The CPUs in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + '_ {
        self.0
            .iter_ones()
            .filter_map(|index| CpuId::new(u16::try_from(index).ok()?))
    }
}

/// The proof of running on one CPU with interrupts masked: what belongs to the CPU alone is reached
/// through it.
///
/// It can't leave its thread:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<percpu::CpuToken>();
/// ```
#[derive(Debug)]
pub struct CpuToken {
    id: CpuId,
    stays_here: PhantomData<*const ()>,
}

impl CpuToken {
    /// The token of a CPU.
    ///
    /// # Safety
    ///
    /// The caller runs on this CPU, EL2 takes no interrupt there for as long as the token lives, and
    /// no other token of this CPU exists.
    pub const unsafe fn new(id: CpuId) -> Self {
        Self {
            id,
            stays_here: PhantomData,
        }
    }

    /// Which CPU.
    pub const fn id(&self) -> CpuId {
        self.id
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_at_the_limit() {
        assert_eq!(CpuId::new(511).map(CpuId::index), Some(511));
        assert_eq!(CpuId::new(512), None);
    }

    #[test]
    fn a_set_takes_one_bit_for_each_cpu() {
        assert_eq!(size_of::<CpuSet>() * 8, MAX_CPUS);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let cpu = |raw| CpuId::new(raw).unwrap();
        let mut set = CpuSet::new();
        assert!(set.is_empty());
        assert!(set.insert(cpu(511)) && set.insert(cpu(0)) && set.insert(cpu(64)));
        assert!(!set.insert(cpu(64)) && !set.is_empty());
        assert!(set.iter().eq([cpu(0), cpu(64), cpu(511)]));
        assert!(set.remove(cpu(64)) && !set.remove(cpu(64)));
        assert!(set.contains(cpu(511)) && !set.contains(cpu(64)));
        assert_eq!(set.len(), 2);
    }
}
