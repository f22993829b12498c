//! State that belongs to one CPU alone.
//!
//! Invariants: area *n* is reached only with the token of CPU *n*, which exists once and is borrowed
//! exclusively meanwhile, so accesses never overlap, not even by re-entry; no area is handed to
//! another CPU.

use crate::Padded;
use crate::cpu::CpuToken;
use core::marker::PhantomData;
use core::ops::Deref;
use sync::UnsafeCell;

/// One CPU's area, in cache lines of its own.
#[derive(Debug)]
pub struct Area<T>(Padded<UnsafeCell<T>>);

impl<T> Area<T> {
    /// An area with this content.
    pub fn new(content: T) -> Self {
        Self(Padded::new(UnsafeCell::new(content)))
    }
}

impl<T: Default> Default for Area<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

// SAFETY: a shared `Area` gives nothing away by itself; `PerCpu::get` reaches its content from the
// one thread that has the CPU's token. `T: Send` because the CPU that made it is another one.
unsafe impl<T: Send> Sync for Area<T> {}

/// One area per CPU.
#[derive(Debug)]
pub struct PerCpu<T, S> {
    areas: S,
    of: PhantomData<fn() -> T>,
}

impl<T, S: Deref<Target = [Area<T>]>> PerCpu<T, S> {
    /// Areas in the order of CPU numbers.
    ///
    /// The areas must be reached through one `PerCpu` alone; that is so for storage which is owned
    /// or leaked once, and two of them would still need two tokens.
    pub fn new(areas: S) -> Self {
        Self {
            areas,
            of: PhantomData,
        }
    }

    /// Number of CPUs it has areas for.
    pub fn len(&self) -> usize {
        self.areas.len()
    }

    /// Has it no area?
    pub fn is_empty(&self) -> bool {
        self.areas.is_empty()
    }

    /// Lends this CPU's area; `None` if it has none.
    pub fn get<R>(&self, token: &mut CpuToken, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.get_with(token, |_, content| f(content))
    }

    /// The same, for a use that also shows the token elsewhere: shared, so that it does not lead
    /// here again.
    pub fn get_with<R>(
        &self,
        token: &mut CpuToken,
        f: impl FnOnce(&CpuToken, &mut T) -> R,
    ) -> Option<R> {
        let area = self.areas.get(token.id().index())?;
        Some(area.0.with_mut(|content| {
            // SAFETY: only this CPU's token leads here; it exists once (`CpuToken::new`), its thread
            // is the one that runs, and it is mutably borrowed until `f` is done.
            f(token, unsafe { &mut *content })
        }))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::*;
    use crate::cpu::CpuId;
    use std::boxed::Box;

    #[test]
    fn without_areas_it_is_empty() {
        let none: Box<[Area<u32>]> = Box::new([]);
        let per_cpu = PerCpu::new(none);
        assert_eq!((per_cpu.len(), per_cpu.is_empty()), (0, true));
    }

    #[test]
    fn each_cpu_has_its_own() {
        let areas: Box<[Area<u32>]> = (0..2).map(Area::new).collect();
        let per_cpu = PerCpu::new(areas);
        assert_eq!((per_cpu.len(), per_cpu.is_empty()), (2, false));
        for number in 0..3 {
            // SAFETY: one thread plays all CPUs, one at a time, with one token each.
            let mut token = unsafe { CpuToken::new(CpuId::new(number).unwrap()) };
            let before = per_cpu.get(&mut token, |content| {
                *content += 10;
                *content
            });
            assert_eq!(before, (number < 2).then_some(u32::from(number) + 10));
        }
    }
}
