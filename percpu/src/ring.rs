//! A queue in an array: first in, first out, of `Copy` values.
//!
//! Invariants: `len` is at most `N`, a power of two; the values are those of the `len` places from `first` on, places
//! being counted on without end and taken modulo `N`. No sum of it can overflow, which is why this is not a
//! library's: heapless' `Deque` has sums that the compiler must check, and a check that fails is a panic.

/// The queue.
#[derive(Clone, Debug)]
pub struct Ring<T, const N: usize> {
    places: [T; N],
    first: usize,
    len: usize,
}

impl<T: Copy + Default, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        const { assert!(N.is_power_of_two()) };
        Self {
            places: [T::default(); N],
            first: 0,
            len: 0,
        }
    }
}

impl<T: Copy, const N: usize> Ring<T, N> {
    /// Where the value is that stands `nth` in the queue.
    fn place(&self, nth: usize) -> usize {
        self.first.wrapping_add(nth) % N
    }

    /// Puts a value last; `false` if there is no room.
    #[inline]
    pub fn push_back(&mut self, value: T) -> bool {
        let last = self.place(self.len);
        match self.places.get_mut(last) {
            Some(place) if self.len < N => *place = value,
            _ => return false,
        }
        self.len = self.len.wrapping_add(1);
        true
    }

    /// The value that is first.
    #[inline]
    pub fn front(&self) -> Option<&T> {
        let front = self.places.get(self.place(0))?;
        (self.len != 0).then_some(front)
    }

    /// Takes it.
    #[inline]
    pub fn pop_front(&mut self) -> Option<T> {
        let front = *self.front()?;
        self.first = self.place(1);
        self.len = self.len.wrapping_sub(1);
        Some(front)
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        (0..self.len).filter_map(|nth| self.places.get(self.place(nth)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Is there no room for another?
    pub fn is_full(&self) -> bool {
        self.len >= N
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    #[test]
    fn it_does_as_a_deque_does() {
        // Pushes and pops in all proportions, so that it runs full, empty, and round.
        let mut ring = Ring::<u32, 8>::default();
        let mut deque = VecDeque::new();
        let mut next = 0x1234_5678_u32;
        for step in 0..10_000u32 {
            next = next.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pushes = (next >> 24) % 8 < step / 1_250;
            if pushes {
                assert_eq!(ring.push_back(step), deque.len() < 8);
                if deque.len() < 8 {
                    deque.push_back(step);
                }
            } else {
                assert_eq!(ring.pop_front(), deque.pop_front());
            }
            assert_eq!(ring.front(), deque.front());
            assert_eq!(
                (ring.len(), ring.is_empty()),
                (deque.len(), deque.is_empty())
            );
            assert_eq!(ring.is_full(), deque.len() == 8);
            assert!(ring.iter().eq(deque.iter()));
        }
        let rest: Vec<u32> = core::iter::from_fn(|| ring.pop_front()).collect();
        assert_eq!(rest, Vec::from(deque));
    }
}
