//! The shape of a CPU's stack block.
//!
//! A block is aligned to its size, so code that knows nothing but SP finds the block, and in it
//! the emergency stack on which a crash is reported, even when the crash is that SP ran into the
//! guard page. `link.ld` reserves the boot core's block; the others' come from the engine's memory.
//!
//! ```text
//! 0         4 KiB        16 KiB      20 KiB             64 KiB
//! | unmapped | emergency | unmapped  | stack (grows down) |
//! ```

use crate::range::{PAGE, PaRange};

/// Bytes in a block, and its alignment.
pub const BLOCK_BYTES: u64 = 0x1_0000;
/// Where the emergency stack begins.
pub const EMERGENCY_BOTTOM: u64 = PAGE;
/// Where the emergency stack ends: its initial SP.
pub const EMERGENCY_TOP: u64 = 4 * PAGE;
/// Where the stack begins: below it lies the guard page.
pub const STACK_BOTTOM: u64 = 5 * PAGE;

// For who looks at the linked image: the bytes that each of a block's stacks has.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".global smp_boot_stack_block, smp_boot_stack_bytes, smp_boot_emergency_bytes",
    ".set smp_boot_stack_block, {block}",
    ".set smp_boot_stack_bytes, {stack}",
    ".set smp_boot_emergency_bytes, {emergency}",
    block = const BLOCK_BYTES,
    stack = const BLOCK_BYTES - STACK_BOTTOM,
    emergency = const EMERGENCY_TOP - EMERGENCY_BOTTOM,
);

/// The parts of the block at `block` that are mapped.
pub fn mapped_parts(block: u64) -> [PaRange; 2] {
    let emergency_end = match cfg!(mutant = "boot-no-guard-page") {
        true => STACK_BOTTOM,
        false => EMERGENCY_TOP,
    };
    [
        (EMERGENCY_BOTTOM, emergency_end),
        (STACK_BOTTOM, BLOCK_BYTES),
    ]
    .map(|(start, end)| {
        // Cannot wrap or be refused: a block lies in RAM, far below the limit of a range.
        PaRange::between(block.wrapping_add(start), block.wrapping_add(end)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stack_ends_at_a_page_that_is_not_mapped() {
        let parts = mapped_parts(BLOCK_BYTES);
        let is_mapped = |at: u64| {
            let mut parts = parts.iter();
            parts.any(|part| (part.start()..part.end()).contains(&(BLOCK_BYTES + at)))
        };
        for bottom in [EMERGENCY_BOTTOM, STACK_BOTTOM] {
            assert!(is_mapped(bottom) && !is_mapped(bottom - 1) && !is_mapped(bottom - PAGE));
        }
        assert!(is_mapped(EMERGENCY_TOP - 1) && is_mapped(BLOCK_BYTES - 1));
    }
}
