//! The feature-ID policy: what each field of the ID registers may say, to guests and to the host.
//!
//! Invariants: a row's `upto(n)` names the highest value that the engine was checked against; a
//! field without a row reads as zero. Rows hide what the engine would have to switch between VMs
//! or enable at EL2 and does not, so that nobody comes to rely on it; hiding a feature of which
//! the use cannot be trapped is a promise withheld, not a protection.
//!
//! Field names and values are those of Arm ARM D19.2 (ID_AA64*_EL1).

use super::id::{IdRegisters, nibble};
use super::number::{SysregId, reg};

/// How values of a field compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Zero is absent, higher is more.
    Unsigned,
    /// Two's complement; -1 is absent.
    Signed,
    /// Higher promises less.
    HigherIsWeaker,
}

/// What one side reads in a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule {
    /// The machine's value, but at most this.
    UpTo(u8),
    /// This, whatever the machine has.
    Is(u8),
}

/// One field's row: guest's rule, then host's.
pub(super) struct Field {
    pub lsb: u32,
    pub order: Order,
    pub guest: Rule,
    pub host: Rule,
}

/// The rows of one register.
pub(super) struct Register {
    pub id: SysregId,
    pub fields: &'static [Field],
}

/// Which rule of a row applies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Guest,
    Host,
}

macro_rules! rule {
    (hide) => {
        Rule::Is(0)
    };
    (is($value:literal)) => {
        Rule::Is($value)
    };
    (upto($value:literal)) => {
        Rule::UpTo($value)
    };
}

/// `NAME lsb order guest-rule, host-rule; "reason"` for each field. The names and reasons are for
/// readers.
macro_rules! policy {
    ($($id:ident { $($name:ident $lsb:literal $order:ident
        $guest:ident $(($g:literal))?, $host:ident $(($h:literal))?; $why:literal)* })*) => {
        pub(super) static POLICY: &[Register] = &[$(Register {
            id: reg::$id,
            fields: &[$(Field {
                lsb: $lsb,
                order: Order::$order,
                guest: rule!($guest $(($g))?),
                host: rule!($host $(($h))?),
            }),*],
        }),*];
    };
}

policy! {
    ID_AA64PFR0_EL1 {
        CSV3     60 Unsigned upto(1), upto(1); "property of speculation, nothing to switch"
        CSV2     56 Unsigned upto(1), upto(1); "2 promises SCXTNUM_ELx, which is not switched"
        RME      52 Unsigned hide,    hide;    "realms are not offered"
        DIT      48 Unsigned upto(1), upto(1); "PSTATE only"
        AMU      44 Unsigned hide,    hide;    "counters would count another VM's activity"
        MPAM     40 Unsigned hide,    hide;    "partitions are not managed"
        SEL2     36 Unsigned hide,    hide;    "secure state is the firmware's"
        SVE      32 Unsigned hide,    hide;    "vectors beyond 128 bits are not switched"
        RAS      28 Unsigned hide,    upto(2); "error records are the machine's, the host's affair"
        GIC      24 Unsigned upto(1), upto(1); "system-register interface of GICv3"
        AdvSIMD  20 Signed   upto(1), upto(1); "V0-V31 are switched"
        FP       16 Signed   upto(1), upto(1); "as above"
        EL3      12 Unsigned hide,    hide;    "the engine answers SMC"
        EL2       8 Unsigned hide,    hide;    "the engine is there; no nesting"
        EL1       4 Unsigned is(1),   is(1);   "AArch64 only"
        EL0       0 Unsigned is(1),   is(1);   "AArch64 only: no AArch32 ID registers"
    }
    ID_AA64PFR1_EL1 {
        PFAR      60 Unsigned hide,    hide;    "PFAR_EL1 is not switched"
        DF2       56 Unsigned hide,    hide;    "needs HCRX_EL2 and SCTLR2_EL1"
        MTEX      52 Unsigned hide,    hide;    "part of MTE"
        THE       48 Unsigned hide,    hide;    "RCWMASK_EL1 is not switched"
        GCS       44 Unsigned hide,    hide;    "guarded stacks are not switched"
        MTE_frac  40 Unsigned hide,    hide;    "part of MTE"
        NMI       36 Unsigned hide,    hide;    "virtual interrupts have no superpriority"
        CSV2_frac 32 Unsigned upto(1), upto(1); "2 promises SCXTNUM_ELx"
        RNDR_trap 28 Unsigned hide,    hide;    "EL3's"
        SME       24 Unsigned hide,    hide;    "matrix state is not switched"
        MPAM_frac 16 Unsigned hide,    hide;    "part of MPAM"
        RAS_frac  12 Unsigned hide,    upto(1); "part of RAS"
        MTE        8 Unsigned hide,    hide;    "tags are neither switched nor scrubbed"
        SSBS       4 Unsigned upto(2), upto(2); "PSTATE only"
        BT         0 Unsigned upto(1), upto(1); "PSTATE and stage 1 only"
    }
    ID_AA64PFR2_EL1 {
        FPMR 32 Unsigned hide, hide; "FPMR is not switched"
        GCIE 12 Unsigned hide, hide; "the engine speaks GICv3"
    }
    ID_AA64DFR0_EL1 {
        HPMN0       60 Unsigned hide,    hide;      "part of the PMU"
        ExtTrcBuff  56 Unsigned hide,    hide;      "trace is not switched"
        BRBE        52 Unsigned hide,    hide;      "branch records would cross VMs"
        MTPMU       48 Unsigned hide,    hide;      "part of the PMU"
        TraceBuffer 44 Unsigned hide,    hide;      "writes memory on the trace unit's behalf"
        TraceFilt   40 Unsigned hide,    hide;      "trace is not switched"
        DoubleLock  36 Signed   is(15),  upto(0);   "guests have no OS double lock"
        PMSVer      32 Unsigned hide,    hide;      "SPE writes memory; not switched"
        CTX_CMPs    28 Unsigned is(0),   upto(15);  "one context breakpoint, the least there can be"
        WRPs        20 Unsigned is(1),   upto(15);  "two, the least; a guest's never fire"
        BRPs        12 Unsigned is(1),   upto(15);  "two, the least; a guest's never fire"
        PMUVer       8 Unsigned hide,    hide;      "counters would count another VM's activity"
        TraceVer     4 Unsigned hide,    hide;      "trace is not switched"
        DebugVer     0 Unsigned upto(6), upto(9);   "Armv8 debug; its registers trap for guests"
    }
    ID_AA64ISAR0_EL1 {
        RNDR   60 Unsigned upto(1), upto(1); "untrapped instructions on general registers"
        TLB    56 Unsigned upto(2), upto(2); "own VMID only; outer shareable and range forms"
        TS     52 Unsigned upto(2), upto(2); "flags"
        FHM    48 Unsigned upto(1), upto(1); "data processing"
        DP     44 Unsigned upto(1), upto(1); "data processing"
        SM4    40 Unsigned upto(1), upto(1); "data processing"
        SM3    36 Unsigned upto(1), upto(1); "data processing"
        SHA3   32 Unsigned upto(1), upto(1); "data processing"
        RDM    28 Unsigned upto(1), upto(1); "data processing"
        TME    24 Unsigned hide,    hide;    "transactional state is not switched"
        Atomic 20 Unsigned upto(3), upto(3); "memory only"
        CRC32  16 Unsigned upto(1), upto(1); "data processing"
        SHA2   12 Unsigned upto(2), upto(2); "data processing"
        SHA1    8 Unsigned upto(1), upto(1); "data processing"
        AES     4 Unsigned upto(2), upto(2); "data processing"
    }
    ID_AA64ISAR1_EL1 {
        LS64    60 Unsigned hide,    hide;    "needs HCRX_EL2.EnALS and ACCDATA_EL1"
        XS      56 Unsigned upto(1), upto(1); "the engine's own maintenance waits for XS too"
        I8MM    52 Unsigned upto(1), upto(1); "data processing"
        DGH     48 Unsigned upto(1), upto(1); "hint"
        BF16    44 Unsigned upto(2), upto(2); "data processing"
        SPECRES 40 Unsigned upto(2), upto(2); "acts on the own VMID only"
        SB      36 Unsigned upto(1), upto(1); "barrier"
        FRINTTS 32 Unsigned upto(1), upto(1); "data processing"
        GPI     28 Unsigned upto(1), upto(1); "keys are switched"
        GPA     24 Unsigned upto(1), upto(1); "keys are switched"
        LRCPC   20 Unsigned upto(3), upto(3); "memory only"
        FCMA    16 Unsigned upto(1), upto(1); "data processing"
        JSCVT   12 Unsigned upto(1), upto(1); "data processing"
        API      8 Unsigned upto(5), upto(5); "keys are switched; 6 needs PSTATE.PACM"
        APA      4 Unsigned upto(5), upto(5); "as above"
        DPB      0 Unsigned upto(2), upto(2); "cache maintenance by address"
    }
    ID_AA64ISAR2_EL1 {
        LUT      56 Unsigned upto(1), upto(1); "data processing"
        CSSC     52 Unsigned upto(1), upto(1); "data processing"
        RPRFM    48 Unsigned upto(1), upto(1); "hint"
        CLRBHB   28 Unsigned upto(1), upto(1); "clears the own branch history"
        PAC_frac 24 Unsigned upto(1), upto(1); "keys are switched"
        BC       20 Unsigned upto(1), upto(1); "branch"
        MOPS     16 Unsigned hide,    hide;    "needs HCRX_EL2.MSCEn"
        APA3     12 Unsigned upto(5), upto(5); "keys are switched; 6 needs PSTATE.PACM"
        GPA3      8 Unsigned upto(1), upto(1); "keys are switched"
        RPRES     4 Unsigned upto(1), upto(1); "data processing"
        WFxT      0 Unsigned hide,    upto(2); "trapped waits of guests have no timeout"
    }
    ID_AA64ISAR3_EL1 {
        FPRCVT   28 Unsigned upto(1), upto(1); "data processing"
        LSFE     16 Unsigned upto(1), upto(1); "memory only"
        PACM     12 Unsigned hide,    hide;    "needs SCTLR2_EL1"
        TLBIW     8 Unsigned hide,    hide;    "the engine has not been checked against it"
        FAMINMAX  4 Unsigned upto(1), upto(1); "data processing"
        CPA       0 Unsigned hide,    hide;    "needs SCTLR2_EL1"
    }
    ID_AA64MMFR0_EL1 {
        ECV       60 Unsigned hide,    upto(1); "guests use the virtual counter; 2 is EL2's"
        FGT       56 Unsigned hide,    hide;    "EL2's"
        ExS       44 Unsigned upto(1), upto(1); "SCTLR_EL1 only"
        TGran4_2  40 Unsigned hide,    hide;    "stage 2 is EL2's"
        TGran64_2 36 Unsigned hide,    hide;    "as above"
        TGran16_2 32 Unsigned hide,    hide;    "as above"
        TGran4    28 Signed   upto(0), upto(0); "addresses of 48 bits, as stage 2 has"
        TGran64   24 Signed   upto(0), upto(0); "real"
        TGran16   20 Unsigned upto(1), upto(1); "addresses of 48 bits"
        BigEndEL0 16 Unsigned upto(1), upto(1); "SCTLR_EL1 only"
        SNSMem    12 Unsigned hide,    hide;    "no secure state"
        BigEnd     8 Unsigned upto(1), upto(1); "SCTLR_EL1 only; MMIO data is the host's matter"
        ASIDBits   4 Unsigned upto(2), upto(2); "the own VMID's"
        PARange    0 Unsigned upto(5), upto(5); "48 bits, the engine's limit"
    }
    ID_AA64MMFR1_EL1 {
        ECBHB    60 Unsigned upto(1), upto(1); "property of speculation"
        CMOW     56 Unsigned hide,    hide;    "needs HCRX_EL2.CMOW at stage 2"
        TIDCP1   52 Unsigned hide,    hide;    "the engine traps that space itself"
        nTLBPA   48 Unsigned upto(1), upto(1); "property of walks"
        AFP      44 Unsigned upto(1), upto(1); "FPCR is switched"
        HCX      40 Unsigned hide,    hide;    "EL2's"
        ETS      36 Unsigned upto(2), upto(2); "ordering of walks"
        TWED     32 Unsigned hide,    hide;    "trap delay is EL2's to set"
        XNX      28 Unsigned hide,    hide;    "stage 2's"
        SpecSEI  24 HigherIsWeaker upto(15), upto(15); "property of speculation"
        PAN      20 Unsigned upto(3), upto(3); "PSTATE and stage 1 only"
        LO       16 Unsigned hide,    hide;    "LORegions are trapped"
        HPDS     12 Unsigned upto(2), upto(2); "stage 1 only"
        VH        8 Unsigned hide,    hide;    "EL2's"
        VMIDBits  4 Unsigned hide,    hide;    "EL2's"
        HAFDBS    0 Unsigned upto(2), upto(2); "stage 1; 3 needs TCR2_EL1"
    }
    ID_AA64MMFR2_EL1 {
        E0PD    60 Unsigned upto(1), upto(1); "stage 1 only"
        EVT     56 Unsigned hide,    hide;    "EL2's"
        BBM     52 Unsigned upto(2), upto(2); "the core's behaviour at stage 1"
        TTL     48 Unsigned upto(1), upto(1); "own VMID only"
        FWB     40 Unsigned hide,    hide;    "stage 2's"
        IDS     36 Unsigned upto(1), upto(1); "the core's behaviour towards EL0, not ours to change"
        AT      32 Unsigned upto(1), upto(1); "memory only"
        ST      28 Unsigned upto(1), upto(1); "stage 1 only"
        NV      24 Unsigned hide,    hide;    "no nesting"
        CCIDX   20 Unsigned upto(1), upto(1); "format of CCSIDR_EL1, which is not trapped"
        VARange 16 Unsigned upto(1), upto(1); "stage 1 only"
        IESB    12 Unsigned hide,    upto(1); "part of RAS"
        LSM      8 Unsigned hide,    hide;    "AArch32's"
        UAO      4 Unsigned upto(1), upto(1); "PSTATE only"
        CnP      0 Unsigned upto(1), upto(1); "shared with cores under the same VMID only"
    }
    ID_AA64MMFR3_EL1 {
        AIE    24 Unsigned hide, hide; "MAIR2_EL1 is not switched"
        S1POE  16 Unsigned hide, hide; "POR_ELx are not switched"
        S1PIE   8 Unsigned hide, hide; "PIR_EL1 is not switched"
        SCTLRX  4 Unsigned hide, hide; "needs HCRX_EL2.SCTLR2En; not switched"
        TCRX    0 Unsigned hide, hide; "needs HCRX_EL2.TCR2En; not switched"
    }
    ID_AA64MMFR4_EL1 {
        E2H0 24 Signed is(0), is(0); "EL2's"
    }
}

fn find(register: SysregId) -> &'static [Field] {
    POLICY
        .iter()
        .find(|row| row.id == register)
        .map_or(&[], |row| row.fields)
}

/// How a field's values compare.
pub(super) fn order(register: SysregId, lsb: u32) -> Order {
    find(register)
        .iter()
        .find(|field| field.lsb == lsb)
        .map_or(Order::Unsigned, |field| field.order)
}

/// What a side reads in a feature-ID register.
pub(super) fn shown(side: Side, register: SysregId, real: &IdRegisters) -> u64 {
    let word = real.get(register);
    find(register).iter().fold(0, |shown, field| {
        let rule = match side {
            Side::Guest => field.guest,
            Side::Host => field.host,
        };
        let value = match (rule, field.order) {
            (Rule::Is(value), _) => value,
            // A higher value of such a field is a weaker promise: a bound from above would lie.
            (Rule::UpTo(_), Order::HigherIsWeaker) => nibble(word, field.lsb),
            (Rule::UpTo(most), order) => order.weaker(nibble(word, field.lsb), most),
        };
        shown | u64::from(value & 0xf) << (field.lsb & 63)
    })
}
