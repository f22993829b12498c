//! Large copies and fills at boot, with the MMU on: by cache-line-sized blocks instead of words.
//!
//! `memcpy` and `memset` are for small things and must work with the MMU off, where `DC ZVA` and unaligned
//! accesses fault. Invariant: nothing but normal memory is given to these.

/// Bytes of a turn of [`copy`].
#[cfg(target_os = "none")]
const TURN: usize = 64;

/// Reads a register that says what the core has.
#[cfg(target_os = "none")]
macro_rules! read {
    ($name:literal) => {{
        let value: u64;
        // SAFETY: such a read has no side effect.
        unsafe {
            core::arch::asm!(
                concat!("mrs {}, ", $name),
                out(reg) value,
                options(nomem, nostack, preserves_flags)
            );
        }
        value
    }};
}

/// Copies all of `from` to the start of `to`, which is as long at least; the rest of `to` is left alone.
pub fn copy(to: &mut [u8], from: &[u8]) {
    debug_assert!(from.len() <= to.len());
    let Some(to) = to.get_mut(..from.len()) else {
        return;
    };
    #[cfg(not(target_os = "none"))]
    to.copy_from_slice(from);
    #[cfg(target_os = "none")]
    {
        let (blocks, rest) = from.as_chunks::<TURN>();
        let (to, to_rest) = to.split_at_mut(blocks.len() * TURN);
        if !blocks.is_empty() {
            // SAFETY: both are `blocks.len()` turns long and don't overlap, being slices. SCTLR_EL2.A is clear and
            // the memory normal, so addresses need no alignment.
            unsafe {
                core::arch::asm!(
                    "2:",
                    "ldp {a}, {b}, [{from}], #16",
                    "ldp {c}, {d}, [{from}], #16",
                    "ldp {e}, {f}, [{from}], #16",
                    "ldp {g}, {h}, [{from}], #16",
                    "stp {a}, {b}, [{to}], #16",
                    "stp {c}, {d}, [{to}], #16",
                    "stp {e}, {f}, [{to}], #16",
                    "stp {g}, {h}, [{to}], #16",
                    "subs {turns}, {turns}, #1",
                    "b.ne 2b",
                    from = inout(reg) blocks.as_ptr() => _,
                    to = inout(reg) to.as_mut_ptr() => _,
                    turns = inout(reg) blocks.len() => _,
                    a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                    e = out(reg) _, f = out(reg) _, g = out(reg) _, h = out(reg) _,
                    options(nostack)
                );
            }
        }
        to_rest.copy_from_slice(rest);
    }
}

/// Which of the first 64 * 64 bytes from `from` on are not all zero: a bit for each [`TURN`] of them. Bytes that no
/// Rust value is in, between fields and behind variants, count as what they happen to be.
///
/// # Safety
///
/// `turns` of them, 64 at most, can be read.
#[cfg(target_os = "none")]
unsafe fn nonzero_turns(from: *const u8, turns: usize) -> u64 {
    let mut mask = 0;
    for turn in 0..turns {
        let bits: u64;
        // SAFETY: the caller's promise. Assembly, because to Rust some of the bytes may not be there.
        unsafe {
            core::arch::asm!(
                "ldp {a}, {b}, [{from}]",
                "ldp {c}, {d}, [{from}, #16]",
                "orr {a}, {a}, {b}",
                "orr {c}, {c}, {d}",
                "ldp {b}, {d}, [{from}, #32]",
                "orr {a}, {a}, {c}",
                "orr {b}, {b}, {d}",
                "ldp {c}, {d}, [{from}, #48]",
                "orr {a}, {a}, {b}",
                "orr {c}, {c}, {d}",
                "orr {a}, {a}, {c}",
                from = in(reg) from.add(turn * TURN),
                a = out(reg) bits, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                options(nostack, readonly, preserves_flags)
            );
        }
        mask |= u64::from(bits != 0) << turn;
    }
    mask
}

/// Copies one turn, of which to Rust some bytes may not be there.
///
/// # Safety
///
/// [`TURN`] bytes can be read at `from` and written at `to`, and don't overlap.
#[cfg(target_os = "none")]
#[inline(always)]
unsafe fn copy_turn(to: *mut u8, from: *const u8) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!(
            "ldp {a}, {b}, [{from}]",
            "ldp {c}, {d}, [{from}, #16]",
            "stp {a}, {b}, [{to}]",
            "stp {c}, {d}, [{to}, #16]",
            "ldp {a}, {b}, [{from}, #32]",
            "ldp {c}, {d}, [{from}, #48]",
            "stp {a}, {b}, [{to}, #32]",
            "stp {c}, {d}, [{to}, #48]",
            from = in(reg) from,
            to = in(reg) to,
            a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            options(nostack, preserves_flags)
        );
    }
}

/// Makes all of `n` objects side by side, the first of which is made and the others of which are zeroes, the same as the
/// first, to the bit. What is zero in the first is not written.
///
/// # Safety
///
/// They lie at `first`, are the caller's, and the first is good for any number: it owns nothing and names no address
/// of its own.
#[cfg(target_os = "none")]
pub unsafe fn repeat_over_zeroes<T>(first: *mut T, n: usize) {
    let model = first.cast::<u8>();
    for start in (0..size_of::<T>()).step_by(64 * TURN) {
        let bytes = (size_of::<T>() - start).min(64 * TURN);
        let turns = bytes / TURN;
        // SAFETY: in the first object, by the arithmetic above.
        let mask = unsafe { nonzero_turns(model.add(start), turns) };
        let rest = start + turns * TURN..start + bytes;
        for object in 1..n {
            // SAFETY: in the object by the arithmetic above, and apart from the first.
            unsafe {
                let to = first.add(object).cast::<u8>();
                let mut left = mask;
                while left != 0 {
                    let at = start + left.trailing_zeros() as usize * TURN;
                    copy_turn(to.add(at), model.add(at));
                    left &= left - 1;
                }
                if !rest.is_empty() {
                    let model = model.add(rest.start);
                    model.copy_to_nonoverlapping(to.add(rest.start), rest.len());
                }
            }
        }
    }
}

/// Fills `pages` pages from `first` on with zeroes.
///
/// # Safety
///
/// They are the caller's, aligned to a page, and mapped as normal memory.
pub unsafe fn zero_pages(first: *mut crate::Page, pages: usize) {
    #[cfg(target_os = "none")]
    {
        /// Blocks of a turn.
        const BLOCKS: u64 = 8;
        let dczid = read!("dczid_el0");
        // BS is log2 of the words; DZP forbids it.
        let block = 4 << (dczid & 0xf);
        let is_allowed = dczid & 1 << 4 == 0;
        if is_allowed && block * BLOCKS <= crate::range::PAGE && pages > 0 {
            let start = first.addr() as u64;
            // SAFETY: the caller's promise; a page is a multiple of what a turn zeroes, and the loop ends at the
            // last page's end.
            unsafe {
                core::arch::asm!(
                    "2:",
                    "dc zva, {a}",
                    "dc zva, {b}",
                    "dc zva, {c}",
                    "dc zva, {d}",
                    "dc zva, {e}",
                    "dc zva, {f}",
                    "dc zva, {g}",
                    "dc zva, {h}",
                    "add {a}, {a}, {turn}",
                    "add {b}, {b}, {turn}",
                    "add {c}, {c}, {turn}",
                    "add {d}, {d}, {turn}",
                    "add {e}, {e}, {turn}",
                    "add {f}, {f}, {turn}",
                    "add {g}, {g}, {turn}",
                    "add {h}, {h}, {turn}",
                    "cmp {a}, {end}",
                    "b.lo 2b",
                    a = inout(reg) start => _,
                    b = inout(reg) start.wrapping_add(block) => _,
                    c = inout(reg) start.wrapping_add(2 * block) => _,
                    d = inout(reg) start.wrapping_add(3 * block) => _,
                    e = inout(reg) start.wrapping_add(4 * block) => _,
                    f = inout(reg) start.wrapping_add(5 * block) => _,
                    g = inout(reg) start.wrapping_add(6 * block) => _,
                    h = inout(reg) start.wrapping_add(7 * block) => _,
                    turn = in(reg) block * BLOCKS,
                    end = in(reg) start.wrapping_add((pages as u64).wrapping_mul(crate::range::PAGE)),
                    options(nostack)
                );
            }
            return;
        }
    }
    // SAFETY: the caller's promise.
    unsafe { first.write_bytes(0, pages) };
}

/// Cleans and invalidates the lines of `range`, and the one that it begins in if it is empty, to the point of coherency;
/// the caller completes it by a barrier.
///
/// # Safety
///
/// The range is mapped.
#[cfg(target_os = "none")]
pub unsafe fn clean_invalidate(range: crate::PaRange) {
    // DminLine is log2 of the words.
    let line = 4_u64 << (read!("ctr_el0") >> 16 & 0xf);
    let mut at = range.start() & line.wrapping_neg();
    loop {
        // SAFETY: cache maintenance changes no content; mapped, by the caller's promise.
        unsafe {
            core::arch::asm!("dc civac, {}", in(reg) at, options(nostack, preserves_flags));
        };
        // Does not wrap: a range ends at 2^63 at most.
        at = at.wrapping_add(line);
        if at >= range.end() {
            return;
        }
    }
}
