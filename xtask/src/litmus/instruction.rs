//! What an A64 instruction word is, as far as the order of things goes (Arm ARM C4.1).
//!
//! Every barrier, maintenance instruction and system register access gets a name; so do memory
//! accesses, by their kind alone. The rest has none. A barrier or TLBI whose encoding is not in the
//! tables gets a name made of its fields, which no list of approved ones has.

/// Where control goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next instruction.
    Next,
    /// To this address.
    Jump(u64),
    /// To the next instruction or to this address.
    Branch(u64),
    /// To this function, and back if that returns.
    Call(u64),
    /// To where a register says, and back.
    CallRegister,
    /// To where a register says.
    JumpRegister,
    /// Back to the caller.
    Return,
    /// Nowhere that this program knows: down to a lower level, or to a debugger.
    Stop,
}

/// The name of the word's instruction, if it matters here.
pub fn name(word: u32) -> Option<String> {
    if word & 0xffc0_0000 == 0xd500_0000 {
        return system(word);
    }
    if word == 0xd69f_03e0 {
        return Some("ERET".into());
    }
    access(word).map(str::to_owned)
}

/// Where control goes from the word at `address`.
pub fn flow(word: u32, address: u64) -> Flow {
    let relative = |bits: u32, shift: u32| {
        let field = (word >> shift) << (32 - bits);
        let distance = i64::from(field as i32 >> (32 - bits)) * 4;
        address.wrapping_add_signed(distance)
    };
    match word {
        _ if word & 0xfc00_0000 == 0x1400_0000 => Flow::Jump(relative(26, 0)),
        _ if word & 0xfc00_0000 == 0x9400_0000 => Flow::Call(relative(26, 0)),
        _ if word & 0xff00_0000 == 0x5400_0000 => Flow::Branch(relative(19, 5)),
        _ if word & 0x7e00_0000 == 0x3400_0000 => Flow::Branch(relative(19, 5)),
        _ if word & 0x7e00_0000 == 0x3600_0000 => Flow::Branch(relative(14, 5)),
        _ if word & 0xffff_fc1f == 0xd61f_0000 => Flow::JumpRegister,
        _ if word & 0xffff_fc1f == 0xd63f_0000 => Flow::CallRegister,
        _ if word & 0xffff_fc1f == 0xd65f_0000 => Flow::Return,
        // UDF; BRK and HLT. ERET comes back by the vectors, as `arch_enter` promises its caller.
        0xd69f_03e0 => Flow::Return,
        _ if word & 0xffff_0000 == 0 => Flow::Stop,
        _ if word & 0xff80_0000 == 0xd400_0000 && word & 0x60_0000 != 0 => Flow::Stop,
        _ if word & 0xffe0_001f == 0xd420_0000 => Flow::Stop,
        _ => Flow::Next,
    }
}

/// System instructions: barriers, hints, maintenance, registers.
fn system(word: u32) -> Option<String> {
    let field = |shift: u32, bits: u32| word >> shift & ((1 << bits) - 1);
    let (is_read, op0, op1) = (field(21, 1) == 1, field(19, 2), field(16, 3));
    let (crn, crm, op2) = (field(12, 4), field(8, 4), field(5, 3));
    match (op0, crn) {
        (0, 3) => Some(barrier(crm, op2)),
        (0, 2) if crm == 0 && op2 == 3 => Some("WFI".into()),
        (0, 2) if crm == 2 && op2 == 0 => Some("ESB".into()),
        (0, _) => None,
        (1, 8 | 9) => Some(format!("TLBI.{}", tlbi(op1, crn, crm, op2))),
        (1, 7) => Some(cache(op1, crm, op2)),
        (1, _) => Some(format!("SYS.{op1}_{crn}_{crm}_{op2}")),
        (_, _) => {
            let verb = if is_read { "MRS" } else { "MSR" };
            Some(format!("{verb}.{}", register(op0, op1, crn, crm, op2)))
        }
    }
}

fn barrier(crm: u32, op2: u32) -> String {
    let kind = match op2 {
        4 => "DSB",
        5 => "DMB",
        6 => return "ISB".into(),
        7 => return "SB".into(),
        2 => return "CLREX".into(),
        _ => return format!("BARRIER.{crm}_{op2}"),
    };
    let domain = ["OSH", "NSH", "ISH", ""][(crm >> 2) as usize];
    let types = ["", "LD", "ST", ""][(crm & 3) as usize];
    match (crm, types) {
        (15, _) => format!("{kind}.SY"),
        (14 | 13, _) => format!("{kind}.{types}"),
        (_, "") if crm & 3 == 0 => format!("{kind}.{crm}"),
        _ => format!("{kind}.{domain}{types}"),
    }
}

fn tlbi(op1: u32, crn: u32, crm: u32, op2: u32) -> String {
    let known = match (op1, crn, crm, op2) {
        (0, 8, 3, 0) => "VMALLE1IS",
        (0, 8, 3, 1) => "VAE1IS",
        (0, 8, 3, 3) => "VAAE1IS",
        (0, 8, 7, 0) => "VMALLE1",
        (0, 8, 7, 1) => "VAE1",
        (0, 8, 7, 3) => "VAAE1",
        (4, 8, 0, 1) => "IPAS2E1IS",
        (4, 8, 0, 2) => "RIPAS2E1IS",
        (4, 8, 0, 5) => "IPAS2LE1IS",
        (4, 8, 3, 0) => "ALLE2IS",
        (4, 8, 3, 1) => "VAE2IS",
        (4, 8, 3, 4) => "ALLE1IS",
        (4, 8, 3, 5) => "VALE2IS",
        (4, 8, 3, 6) => "VMALLS12E1IS",
        (4, 8, 4, 1) => "IPAS2E1",
        (4, 8, 4, 2) => "RIPAS2E1",
        (4, 8, 7, 0) => "ALLE2",
        (4, 8, 7, 1) => "VAE2",
        (4, 8, 7, 4) => "ALLE1",
        (4, 8, 7, 5) => "VALE2",
        (4, 8, 7, 6) => "VMALLS12E1",
        _ => return format!("{op1}_{crn}_{crm}_{op2}"),
    };
    known.into()
}

/// IC, DC and AT.
fn cache(op1: u32, crm: u32, op2: u32) -> String {
    let known = match (op1, crm, op2) {
        (0, 1, 0) => "IC.IALLUIS",
        (0, 5, 0) => "IC.IALLU",
        (3, 5, 1) => "IC.IVAU",
        (0, 6, 1) => "DC.IVAC",
        (3, 4, 1) => "DC.ZVA",
        (3, 10, 1) => "DC.CVAC",
        (3, 11, 1) => "DC.CVAU",
        (3, 14, 1) => "DC.CIVAC",
        (_, 8 | 9, _) => return format!("AT.{op1}_{crm}_{op2}"),
        _ => return format!("DC.{op1}_{crm}_{op2}"),
    };
    known.into()
}

fn register(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> String {
    let known = match (op0, op1, crn, crm, op2) {
        (3, 0, 1, 0, 0) => "SCTLR_EL1",
        (3, 0, 2, 0, 2) => "TCR_EL1",
        (3, 0, 4, 6, 0) => "ICC_PMR_EL1",
        (3, 0, 12, 1, 0) => "ISR_EL1",
        (3, 0, 12, 11, 5) => "ICC_SGI1R_EL1",
        (3, 3, 14, 0, 1) => "CNTPCT_EL0",
        (3, 4, 1, 0, 0) => "SCTLR_EL2",
        (3, 4, 1, 1, 0) => "HCR_EL2",
        (3, 4, 1, 1, 2) => "CPTR_EL2",
        (3, 4, 2, 0, 0) => "TTBR0_EL2",
        (3, 4, 2, 0, 2) => "TCR_EL2",
        (3, 4, 2, 1, 0) => "VTTBR_EL2",
        (3, 4, 2, 1, 2) => "VTCR_EL2",
        (3, 4, 10, 2, 0) => "MAIR_EL2",
        (3, 4, 12, 9, 5) => "ICC_SRE_EL2",
        _ => return format!("S{op0}_{op1}_C{crn}_C{crm}_{op2}"),
    };
    known.into()
}

/// Loads and stores, by their kind.
fn access(word: u32) -> Option<&'static str> {
    let bit = |n: u32| word >> n & 1 == 1;
    if word & 0x3f00_0000 == 0x0800_0000 {
        // o2, L, o1, o0.
        return Some(match (bit(23), bit(22), bit(21), bit(15)) {
            (false, false, false, false) => "STXR",
            (false, false, false, true) => "STLXR",
            (false, true, false, false) => "LDXR",
            (false, true, false, true) => "LDAXR",
            (true, false, false, _) => "STLR",
            (true, true, false, _) => "LDAR",
            (true, true, true, true) => "CASAL",
            (true, true, true, false) => "CASA",
            (true, false, true, true) => "CASL",
            (true, false, true, false) => "CAS",
            (false, _, true, _) => "PAIR",
        });
    }
    if word & 0x3b20_0c00 == 0x3820_0000 {
        return Some("ATOMIC");
    }
    let is_single = word & 0x3a00_0000 == 0x3800_0000;
    let is_pair = word & 0x3a00_0000 == 0x2800_0000;
    match (is_single, is_pair) {
        // PRFM is neither.
        (true, _) if word & 0xc0c0_0000 == 0xc080_0000 => None,
        (true, _) => Some(if word & 0x00c0_0000 == 0 {
            "STR"
        } else {
            "LDR"
        }),
        (_, true) => Some(if bit(22) { "LDP" } else { "STP" }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_arm_s_names() {
        for (word, expected) in [
            (0xd503_3b9f, "DSB.ISH"),
            (0xd503_3a9f, "DSB.ISHST"),
            (0xd503_379f, "DSB.NSH"),
            (0xd503_369f, "DSB.NSHST"),
            (0xd503_3f9f, "DSB.SY"),
            (0xd503_3bbf, "DMB.ISH"),
            (0xd503_39bf, "DMB.ISHLD"),
            (0xd503_3fdf, "ISB"),
            (0xd508_831f, "TLBI.VMALLE1IS"),
            (0xd508_871f, "TLBI.VMALLE1"),
            (0xd50c_8028, "TLBI.IPAS2E1IS"),
            (0xd50c_8428, "TLBI.IPAS2E1"),
            (0xd50c_8048, "TLBI.RIPAS2E1IS"),
            (0xd50c_83df, "TLBI.VMALLS12E1IS"),
            (0xd50c_8336, "TLBI.VAE2IS"),
            (0xd50c_87a8, "TLBI.VALE2"),
            (0xd50c_871f, "TLBI.ALLE2"),
            (0xd50c_879f, "TLBI.ALLE1"),
            (0xd508_711f, "IC.IALLUIS"),
            (0xd508_751f, "IC.IALLU"),
            (0xd50b_7e20, "DC.CIVAC"),
            (0xd50b_7420, "DC.ZVA"),
            (0xd51c_2108, "MSR.VTTBR_EL2"),
            (0xd53c_2108, "MRS.VTTBR_EL2"),
            (0xd503_207f, "WFI"),
            (0xd69f_03e0, "ERET"),
            (0x889f_fc20, "STLR"),
            (0xc8df_fc20, "LDAR"),
            (0xc85f_fc20, "LDAXR"),
            (0xc85f_7c20, "LDXR"),
            (0xc802_fc20, "STLXR"),
            (0xc802_7c20, "STXR"),
            (0xf900_0020, "STR"),
            (0xf940_0020, "LDR"),
            (0xa900_7c1f, "STP"),
            (0xa940_0c02, "LDP"),
        ] {
            assert_eq!(name(word).as_deref(), Some(expected), "{word:#x}");
        }
        // NOP; ADD; PRFM.
        for word in [0xd503_201f, 0x9100_0400, 0xf980_0000] {
            assert_eq!(name(word), None, "{word:#x}");
        }
    }

    #[test]
    fn control_goes_where_it_says() {
        for (word, expected) in [
            (0x1400_0002, Flow::Jump(0x1008)),
            (0x17ff_ffff, Flow::Jump(0xffc)),
            (0x9400_0001, Flow::Call(0x1004)),
            (0x54ff_ffe1, Flow::Branch(0xffc)),
            (0xb400_0040, Flow::Branch(0x1008)),
            (0x3607_ffe0, Flow::Branch(0xffc)),
            (0xd65f_03c0, Flow::Return),
            (0xd61f_0120, Flow::JumpRegister),
            (0xd63f_0100, Flow::CallRegister),
            (0xd420_0020, Flow::Stop),
            (0xd400_0002, Flow::Next),
            (0xd503_3b9f, Flow::Next),
        ] {
            assert_eq!(flow(word, 0x1000), expected, "{word:#x}");
        }
    }
}
