//! Which priority mask lets only the most urgent interrupts of Non-secure software through.
//!
//! Pure. Priorities are bytes of which the upper bits count; a lower one is more urgent, and an interrupt
//! gets through if its priority is below the mask (IHI0069 4.8).

/// Lets priority 0 through, and less than 16 other levels on any GIC.
const MASK: u8 = 0x10;

/// The mask for interrupts whose priority Non-secure software set to 0.
///
/// With two security states (GICD_CTLR.DS clear) the GIC takes what it set there for the lower half of
/// all priorities: 0 is 0x80. ICC_PMR_EL1 does the same only if EL3 routes FIQs to itself; else the mask
/// is `plain`: it means what it says (IHI0069 4.8).
pub fn most_urgent(two_states: bool, plain: bool) -> u8 {
    match two_states && plain && !cfg!(mutant = "park-one-view") {
        true => 0x80 | MASK >> 1,
        false => MASK,
    }
}

/// The priority next to 0 that the GIC tells from it; `bits` is ICC_CTLR_EL1.PRIbits, the number of
/// priority bits less 1. In the halved view a mask has no such bit, and reads as 0.
pub fn next_to_zero(bits: u8) -> u8 {
    0x80 >> (bits & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the GIC compares of a value that Non-secure software writes in its own half.
    fn halved(value: u8) -> u8 {
        0x80 | value >> 1
    }

    #[test]
    fn priority_0_gets_through_and_few_others_in_every_view() {
        for (two_states, plain) in [(false, true), (true, true), (true, false)] {
            let mask = most_urgent(two_states, plain);
            let compared = if plain { mask } else { halved(mask) };
            let priority = |set| if two_states { halved(set) } else { set };
            assert!(priority(0) < compared, "{two_states} {plain}");
            assert!(priority(0x10) >= compared, "{two_states} {plain}");
            // With two states a GIC has 32 levels at least, with one 16.
            let bits = if two_states { 0xf8 } else { 0xf0 };
            assert!(priority(0) < compared & bits, "{two_states} {plain}");
        }
    }

    #[test]
    fn the_next_priority_is_the_lowest_bit_that_is_there() {
        assert_eq!([4, 7].map(next_to_zero), [0x08, 0x01]);
    }
}
