//! What an A64 instruction does to SP (Arm ARM C4.1), read from its word.
//!
//! Invariant: an instruction that can write SP and is not understood is told as such. Register 31 is SP as the
//! destination of an addition or subtraction of an immediate or an extended register, of a logical operation with
//! an immediate, and of tag arithmetic; and as the base of a load or store, which writes it back in pre- and
//! post-indexed forms. MSR SPSel makes another register SP. What classes of instructions are not known here at all
//! (SVE, SME, what the architecture has not allocated) might do anything.

/// What becomes of SP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Keeps,
    /// It is so many bytes lower, or higher if negative.
    Lowers(i64),
    /// It is another one, or nobody can say.
    Sets,
}

/// The fields of a word.
#[derive(Clone, Copy)]
struct Word(u32);

impl Word {
    const fn is(self, mask: u32, value: u32) -> bool {
        self.0 & mask == value
    }
    const fn bits(self, low: u32, count: u32) -> u32 {
        self.0 >> low & ((1 << count) - 1)
    }
    const fn is_to_sp(self) -> bool {
        self.bits(0, 5) == 31
    }
    const fn is_from_sp(self) -> bool {
        self.bits(5, 5) == 31
    }
    /// A signed field.
    const fn signed(self, low: u32, count: u32) -> i64 {
        let left = 32 - low - count;
        (((self.0 << left) as i32) >> (32 - count)) as i64
    }
}

/// What the instruction does.
pub fn effect(word: u32) -> Effect {
    let word = Word(word);
    match word.bits(25, 4) {
        0b1000 | 0b1001 => immediate(word),
        0b1010 | 0b1011 => system(word),
        0b0101 | 0b1101 => registers(word),
        0b0111 | 0b1111 => Effect::Keeps, // FP and SIMD arithmetic names no SP
        0b0100 | 0b0110 | 0b1100 | 0b1110 => memory(word),
        // Permanently undefined; the rest is not allocated, SME or SVE.
        _ if word.is(0xffff_0000, 0) => Effect::Keeps,
        _ => Effect::Sets,
    }
}

const fn unless(keeps: bool) -> Effect {
    if keeps { Effect::Keeps } else { Effect::Sets }
}

/// Data processing with an immediate.
fn immediate(word: Word) -> Effect {
    match word.bits(23, 3) {
        // ADD, SUB; with S, register 31 is XZR as a destination.
        0b010 if !word.is_to_sp() || word.bits(29, 1) == 1 => Effect::Keeps,
        0b010 if word.bits(31, 1) == 1 && word.is_from_sp() => {
            let bytes = i64::from(word.bits(10, 12)) << (12 * word.bits(22, 1));
            Effect::Lowers(if word.bits(30, 1) == 1 { bytes } else { -bytes })
        }
        0b010 => Effect::Sets,
        // ADDG, SUBG; FEAT_CSSC's minima and maxima are here too.
        0b011 => unless(!word.is_to_sp()),
        // AND, ORR, EOR; ANDS and moves name XZR. Moves, bit fields and PC-relative addresses name XZR.
        0b100 => unless(!word.is_to_sp() || word.bits(29, 2) == 0b11),
        _ => Effect::Keeps,
    }
}

/// Branches, exceptions, system registers: MSR SPSel, of an immediate or a register, and of SP_EL2. (SP_EL0 and SP_EL1
/// are lower levels' as long as SPSel is what it was.)
fn system(word: Word) -> Effect {
    let is_spsel = word.is(0xffff_f0ff, 0xd500_40bf) || word.is(0xffff_ffe0, 0xd518_4200);
    unless(!is_spsel && !word.is(0xffff_ffe0, 0xd51e_4100))
}

/// Data processing with registers.
fn registers(word: Word) -> Effect {
    // ADD and SUB of an extended register, without S; IRG.
    let is_extended = word.is(0x3fe0_0000, 0x0b20_0000);
    let is_tag = word.is(0xffe0_fc00, 0x9ac0_1000);
    unless(!((is_extended || is_tag) && word.is_to_sp()))
}

/// Loads and stores.
fn memory(word: Word) -> Effect {
    if !word.is_from_sp() {
        // Only the base is written back. Memory copies write what they name, and name no SP.
        return Effect::Keeps;
    }
    let is_simd = word.bits(26, 1) == 1;
    // Pairs: no allocation, post-indexed, offset, pre-indexed.
    if word.is(0x3a00_0000, 0x2800_0000) {
        return match (word.bits(23, 2), word.bits(30, 2)) {
            (0b00 | 0b10, _) => Effect::Keeps,
            (_, 0b00) if !is_simd => Effect::Lowers(-4 * word.signed(15, 7)),
            (_, 0b10) if !is_simd => Effect::Lowers(-8 * word.signed(15, 7)),
            _ => Effect::Sets,
        };
    }
    // Single registers: with an unsigned offset, which is never written back; else by the last two bits.
    if word.is(0x3b00_0000, 0x3900_0000) {
        return Effect::Keeps;
    }
    if word.is(0x3b20_0000, 0x3800_0000) {
        return match word.bits(10, 2) {
            0b01 | 0b11 => Effect::Lowers(-word.signed(12, 9)),
            _ => Effect::Keeps,
        };
    }
    // Atomic operations and register offsets; what is left there authenticates pointers.
    if word.is(0x3b20_0000, 0x3820_0000) {
        return unless(word.bits(10, 1) == 0);
    }
    // Exclusive and ordered accesses; literals; ordered accesses with an unscaled offset.
    let keeps = word.is(0x3f00_0000, 0x0800_0000)
        || word.is(0x3b00_0000, 0x1800_0000)
        || word.is(0x3f20_0c00, 0x1900_0000);
    unless(keeps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read() {
        for (word, expected) in [
            (0xd100_83ff, Effect::Lowers(32)),     // sub sp, sp, #32
            (0xd140_07ff, Effect::Lowers(4096)),   // sub sp, sp, #1, lsl #12
            (0x9140_13ff, Effect::Lowers(-16384)), // add sp, sp, #4, lsl #12
            (0x9102_03ff, Effect::Lowers(-128)),   // add sp, sp, #128
            (0xa9be_7bfd, Effect::Lowers(32)),     // stp x29, x30, [sp, #-32]!
            (0xa8c2_7bfd, Effect::Lowers(-32)),    // ldp x29, x30, [sp], #32
            (0x29bf_07e0, Effect::Lowers(8)),      // stp w0, w1, [sp, #-8]!
            (0xf81f_0ffe, Effect::Lowers(16)),     // str x30, [sp, #-16]!
            (0xf841_07fe, Effect::Lowers(-16)),    // ldr x30, [sp], #16
            (0xb81f_0fe0, Effect::Lowers(16)),     // str w0, [sp, #-16]!
        ] {
            assert_eq!(effect(word), expected, "{word:#x}");
        }
    }

    #[test]
    fn what_only_uses_sp_keeps_it() {
        for word in [
            0xf940_03e0, // ldr x0, [sp]
            0xa900_07e0, // stp x0, x1, [sp]
            0xa9be_7bdf, // stp xzr, x30, [x30, #-32]!
            0xf81f_0c5f, // str xzr, [x2, #-16]!
            0x9100_03fd, // mov x29, sp
            0xeb01_03ff, // cmp sp, as xzr, x1
            0xf100_43ff, // cmp sp, #16
            0xf200_0fff, // tst xzr, #0xf
            0xd51b_4220, // msr daif, x0
            0xd503_201f, // nop
            0xf821_03ff, // ldadd x1, xzr, [sp]
            0xd2a0_001f, // mov xzr, #0
            0x885f_7fe0, // ldxr w0, [sp]
            0xd69f_03e0, // eret
            0xd51c_4100, // msr sp_el1, x0
            0x0000_0000, // udf
        ] {
            assert_eq!(effect(word), Effect::Keeps, "{word:#x}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for word in [
            0x9100_003f, // mov sp, x1
            0x1100_03ff, // add wsp, wsp, #0
            0xcb21_63ff, // sub sp, sp, x1
            0x927c_edbf, // and sp, x13, #0xfffffffffffffff0
            0xd500_41bf, // msr spsel, #1
            0xd518_4200, // msr spsel, x0
            0xd51e_4100, // msr sp_el2, x0
            0x6dbf_27e8, // stp d8, d9, [sp, #-16]!
            0x9ac1_13ff, // irg sp, sp, x1
            0x9180_03ff, // addg sp, sp, #0, #0
            0xf820_0fff, // ldraa xzr, [sp]!
            0x4c9f_7be0, // st1 {v0.4s}, [sp], #16
            0x0460_5020, // an instruction of SVE
        ] {
            assert_eq!(effect(word), Effect::Sets, "{word:#x}");
        }
    }
}
