//! The call interface in Rust. Generated from engine/abi/interface.toml by
//! `cargo xtask gen`; do not edit. Every function is total and depends on its arguments alone.

/// Function identifier of call number 0 (SMCCC fast SMC64 call, vendor hypervisor range).
pub const CALL_BASE: u64 = 0xC600_0100;
/// What the vendor UID query answers to the host, in w0 to w3.
pub const CALL_UID: [u32; 4] = [0x6B6C_7562, 0x6461_6568, 0x2D6C_3265, 0x0000_0001];
/// Interface version: a change that breaks callers.
pub const VERSION_MAJOR: u16 = 0;
/// Interface version: a change that callers need not know.
pub const VERSION_MINOR: u16 = 1;
/// Argument registers of a call: x1 to x6.
pub const ARGUMENT_REGISTERS: usize = 6;
/// Result registers of a call: x1 to x17.
pub const RESULT_REGISTERS: usize = 17;

/// Bounds that callers must know.
pub mod limit {
    /// Most pages one VM_MAP is asked for: one 1 GiB block.
    pub const MAP_PAGES: usize = 262144;
    /// Most pages one VM_LEND, VM_UNLEND or ENGINE_DONATE is asked for: one 2 MiB block.
    pub const RUN_PAGES: usize = 512;
    /// Most entries of a VM_MAP_LIST list page (16 bytes each: physical address; IPA | attributes).
    pub const MAP_LIST_PAGES: usize = 256;
    /// Most pages one VM_RECLAIM is asked for.
    pub const RECLAIM_PAGES: usize = 512;
    /// Most pages one ENGINE_RECLAIM returns (x2-x17).
    pub const ENGINE_RECLAIM_PAGES: usize = 16;
    /// Most pages one PAGE_CENSUS is asked for.
    pub const CENSUS_PAGES: usize = 2048;
    /// Pages that PAGE_CENSUS counts together at least: 2 MiB.
    pub const CENSUS_GRAIN: usize = 512;
    /// Most VMs alive at once beside the host (8-bit VMID, VMID 0 is the host's).
    pub const VMS: usize = 254;
    /// Most vCPUs of one VM.
    pub const VCPUS_PER_VM: usize = 64;
    /// Virtual SPIs of a VM: INTIDs 32 to 1019.
    pub const SPIS: usize = 988;
}

/// Function identifiers, as they stand in x0.
pub mod call {
    /// Returns one fact about the engine; changes nothing.
    pub const ENGINE_INFO: u64 = 0xC600_0100;
    /// From now on the engine kicks running and idle cores with this SGI.
    pub const ENGINE_DOORBELL: u64 = 0xC600_0101;
    /// Host pages become the engine's and join its page pool. What it needs tables for itself may
    /// come out of a few pages kept back, but never more than the pages that it takes of the same 2
    /// MiB: with an empty pool donate at least 8 pages of one 2 MiB at once. BUSY also while
    /// another core's donation has the pages kept back. A page with a memory error is taken out of
    /// circulation; the call ends there, with NOT_RAM, also where it is the first. `done` below n
    /// with reason SUCCESS: call again for the rest.
    pub const ENGINE_DONATE: u64 = 0xC600_0102;
    /// Free pool pages that the host had donated come back, scrubbed: up to max of them, or as many
    /// as the engine does in one call. One in which a memory error is found is left out and is
    /// nobody's from then on: even n = 0 may come though there are others.
    pub const ENGINE_RECLAIM: u64 = 0xC600_0103;
    /// A new VM in state Building, without pages or vCPUs; its RAM ranges never change. Where
    /// physical addresses have fewer than 44 bits (IpaBits says) its table needs 2^(bits - 39)
    /// contiguous, aligned pages: NO_MEMORY with pages free means that none are together, and a
    /// donation of such a run helps.
    pub const VM_CREATE: u64 = 0xC600_0108;
    /// Host pages become the VM's alone. An aligned 2 MiB or 1 GiB of pages to an IPA aligned like
    /// it is one entry. `done` below n with reason SUCCESS: call again for the rest.
    pub const VM_MAP: u64 = 0xC600_0109;
    /// VM_MAP for scattered pages, in list order. A page or an IPA that comes a second time ends
    /// the batch with BUSY: the call holds it itself. NOT_RAM with nothing done can also mean that
    /// the list page has a memory error; it stays the host's. `done` below n with reason SUCCESS:
    /// call again with the rest as the list.
    pub const VM_MAP_LIST: u64 = 0xC600_010A;
    /// The VM can reach the host's pages too; the host keeps them. Refused (OUT_OF_RANGE) where the
    /// VM was promised memory of its own. `done` below n with reason SUCCESS: call again for the
    /// rest.
    pub const VM_LEND: u64 = 0xC600_010B;
    /// Ends VM_LEND: after it returns no vCPU reaches the pages. Where a page is lent twice in the
    /// run, the batch may end with BUSY before its second place, because the call holds the page
    /// itself: call again for the rest, as where `done` is below n with reason SUCCESS.
    pub const VM_UNLEND: u64 = 0xC600_010C;
    /// Seals the content: no VM_MAP that began before lands after. BUSY while one is inside: the VM
    /// is Sealing then, which takes no page and no vCPU; call again.
    pub const VM_START: u64 = 0xC600_010D;
    /// The VM is Dying: no vCPU enters again. A call that is inside does its work all the same,
    /// also after this has returned; none comes in any more. Calling it again on a dying VM only
    /// reports.
    pub const VM_DESTROY: u64 = 0xC600_010E;
    /// Scrubs and returns the dying VM's pages, a few a call; any number of cores may call it at
    /// once. Call it again until `finished` or BAD_HANDLE, also with n = 0; on BUSY all that is
    /// left is in other cores' hands, or a vCPU has not left yet: later. A page with a memory error
    /// stays behind, poisoned.
    pub const VM_RECLAIM: u64 = 0xC600_010F;
    /// A vCPU; the first of a VM is on, the others off until PSCI CPU_ON.
    pub const VCPU_CREATE: u64 = 0xC600_0110;
    /// Puts a runnable vCPU on that core's run queue, or moves it there from another's.
    pub const VCPU_ENQUEUE: u64 = 0xC600_0111;
    /// Takes a queued vCPU off its run queue. BUSY while it runs: its core has been kicked. What
    /// other vCPUs send it from then on is told by VcpuReady; what it had already is not.
    pub const VCPU_DEQUEUE: u64 = 0xC600_0112;
    /// Runs this core's queue until the host is needed.
    pub const CPU_RUN: u64 = 0xC600_0113;
    /// Completes the MMIO access or forwarded call that the vCPU stopped at; it is queued on the
    /// calling core.
    pub const VCPU_RESPOND: u64 = 0xC600_0114;
    /// Makes a virtual SPI pending, or its line high or low, at this vCPU; a running or idle core
    /// is kicked.
    pub const VCPU_INJECT: u64 = 0xC600_0115;
    /// Tells the host about its own pages; changes nothing.
    pub const PAGE_INFO: u64 = 0xC600_0118;
    /// Takes a page with a memory error out of circulation for good.
    pub const PAGE_POISON: u64 = 0xC600_0119;
    /// Counts the states of a run of page words, in totals of whole grains, up to where `seen`
    /// says: go on from there. The last grain takes in the words behind it that make no grain. A
    /// total hides a page only among those of its grain that the caller does not know: who knows
    /// the states of all others, its own pages among them, learns the last one's too, though not
    /// which VM has it; and calls one after the other show when a state changes.
    pub const PAGE_CENSUS: u64 = 0xC600_011A;
    /// Reads the engine's own events; never guest data.
    pub const TRACE_READ: u64 = 0xC600_011B;
    /// Reads one of a core's counters.
    pub const STATS_READ: u64 = 0xC600_011C;
}

/// A call of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Call {
    /// Returns one fact about the engine; changes nothing.
    EngineInfo = 0x00,
    /// From now on the engine kicks running and idle cores with this SGI.
    EngineDoorbell = 0x01,
    /// Host pages become the engine's and join its page pool. What it needs tables for itself may
    /// come out of a few pages kept back, but never more than the pages that it takes of the same 2
    /// MiB: with an empty pool donate at least 8 pages of one 2 MiB at once. BUSY also while
    /// another core's donation has the pages kept back. A page with a memory error is taken out of
    /// circulation; the call ends there, with NOT_RAM, also where it is the first. `done` below n
    /// with reason SUCCESS: call again for the rest.
    EngineDonate = 0x02,
    /// Free pool pages that the host had donated come back, scrubbed: up to max of them, or as many
    /// as the engine does in one call. One in which a memory error is found is left out and is
    /// nobody's from then on: even n = 0 may come though there are others.
    EngineReclaim = 0x03,
    /// A new VM in state Building, without pages or vCPUs; its RAM ranges never change. Where
    /// physical addresses have fewer than 44 bits (IpaBits says) its table needs 2^(bits - 39)
    /// contiguous, aligned pages: NO_MEMORY with pages free means that none are together, and a
    /// donation of such a run helps.
    VmCreate = 0x08,
    /// Host pages become the VM's alone. An aligned 2 MiB or 1 GiB of pages to an IPA aligned like
    /// it is one entry. `done` below n with reason SUCCESS: call again for the rest.
    VmMap = 0x09,
    /// VM_MAP for scattered pages, in list order. A page or an IPA that comes a second time ends
    /// the batch with BUSY: the call holds it itself. NOT_RAM with nothing done can also mean that
    /// the list page has a memory error; it stays the host's. `done` below n with reason SUCCESS:
    /// call again with the rest as the list.
    VmMapList = 0x0a,
    /// The VM can reach the host's pages too; the host keeps them. Refused (OUT_OF_RANGE) where the
    /// VM was promised memory of its own. `done` below n with reason SUCCESS: call again for the
    /// rest.
    VmLend = 0x0b,
    /// Ends VM_LEND: after it returns no vCPU reaches the pages. Where a page is lent twice in the
    /// run, the batch may end with BUSY before its second place, because the call holds the page
    /// itself: call again for the rest, as where `done` is below n with reason SUCCESS.
    VmUnlend = 0x0c,
    /// Seals the content: no VM_MAP that began before lands after. BUSY while one is inside: the VM
    /// is Sealing then, which takes no page and no vCPU; call again.
    VmStart = 0x0d,
    /// The VM is Dying: no vCPU enters again. A call that is inside does its work all the same,
    /// also after this has returned; none comes in any more. Calling it again on a dying VM only
    /// reports.
    VmDestroy = 0x0e,
    /// Scrubs and returns the dying VM's pages, a few a call; any number of cores may call it at
    /// once. Call it again until `finished` or BAD_HANDLE, also with n = 0; on BUSY all that is
    /// left is in other cores' hands, or a vCPU has not left yet: later. A page with a memory error
    /// stays behind, poisoned.
    VmReclaim = 0x0f,
    /// A vCPU; the first of a VM is on, the others off until PSCI CPU_ON.
    VcpuCreate = 0x10,
    /// Puts a runnable vCPU on that core's run queue, or moves it there from another's.
    VcpuEnqueue = 0x11,
    /// Takes a queued vCPU off its run queue. BUSY while it runs: its core has been kicked. What
    /// other vCPUs send it from then on is told by VcpuReady; what it had already is not.
    VcpuDequeue = 0x12,
    /// Runs this core's queue until the host is needed.
    CpuRun = 0x13,
    /// Completes the MMIO access or forwarded call that the vCPU stopped at; it is queued on the
    /// calling core.
    VcpuRespond = 0x14,
    /// Makes a virtual SPI pending, or its line high or low, at this vCPU; a running or idle core
    /// is kicked.
    VcpuInject = 0x15,
    /// Tells the host about its own pages; changes nothing.
    PageInfo = 0x18,
    /// Takes a page with a memory error out of circulation for good.
    PagePoison = 0x19,
    /// Counts the states of a run of page words, in totals of whole grains, up to where `seen`
    /// says: go on from there. The last grain takes in the words behind it that make no grain. A
    /// total hides a page only among those of its grain that the caller does not know: who knows
    /// the states of all others, its own pages among them, learns the last one's too, though not
    /// which VM has it; and calls one after the other show when a state changes.
    PageCensus = 0x1a,
    /// Reads the engine's own events; never guest data.
    TraceRead = 0x1b,
    /// Reads one of a core's counters.
    StatsRead = 0x1c,
}

impl Call {
    /// All calls, by number.
    pub const ALL: [Self; 23] = [
        Self::EngineInfo,
        Self::EngineDoorbell,
        Self::EngineDonate,
        Self::EngineReclaim,
        Self::VmCreate,
        Self::VmMap,
        Self::VmMapList,
        Self::VmLend,
        Self::VmUnlend,
        Self::VmStart,
        Self::VmDestroy,
        Self::VmReclaim,
        Self::VcpuCreate,
        Self::VcpuEnqueue,
        Self::VcpuDequeue,
        Self::CpuRun,
        Self::VcpuRespond,
        Self::VcpuInject,
        Self::PageInfo,
        Self::PagePoison,
        Self::PageCensus,
        Self::TraceRead,
        Self::StatsRead,
    ];
    /// The call that a function identifier names.
    pub const fn from_function_id(id: u64) -> Option<Self> {
        match id {
            call::ENGINE_INFO => Some(Self::EngineInfo),
            call::ENGINE_DOORBELL => Some(Self::EngineDoorbell),
            call::ENGINE_DONATE => Some(Self::EngineDonate),
            call::ENGINE_RECLAIM => Some(Self::EngineReclaim),
            call::VM_CREATE => Some(Self::VmCreate),
            call::VM_MAP => Some(Self::VmMap),
            call::VM_MAP_LIST => Some(Self::VmMapList),
            call::VM_LEND => Some(Self::VmLend),
            call::VM_UNLEND => Some(Self::VmUnlend),
            call::VM_START => Some(Self::VmStart),
            call::VM_DESTROY => Some(Self::VmDestroy),
            call::VM_RECLAIM => Some(Self::VmReclaim),
            call::VCPU_CREATE => Some(Self::VcpuCreate),
            call::VCPU_ENQUEUE => Some(Self::VcpuEnqueue),
            call::VCPU_DEQUEUE => Some(Self::VcpuDequeue),
            call::CPU_RUN => Some(Self::CpuRun),
            call::VCPU_RESPOND => Some(Self::VcpuRespond),
            call::VCPU_INJECT => Some(Self::VcpuInject),
            call::PAGE_INFO => Some(Self::PageInfo),
            call::PAGE_POISON => Some(Self::PagePoison),
            call::PAGE_CENSUS => Some(Self::PageCensus),
            call::TRACE_READ => Some(Self::TraceRead),
            call::STATS_READ => Some(Self::StatsRead),
            _ => None,
        }
    }

    /// Its number, counted from [`CALL_BASE`].
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// Its function identifier.
    pub const fn function_id(self) -> u64 {
        CALL_BASE + self.number()
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EngineInfo => "ENGINE_INFO",
            Self::EngineDoorbell => "ENGINE_DOORBELL",
            Self::EngineDonate => "ENGINE_DONATE",
            Self::EngineReclaim => "ENGINE_RECLAIM",
            Self::VmCreate => "VM_CREATE",
            Self::VmMap => "VM_MAP",
            Self::VmMapList => "VM_MAP_LIST",
            Self::VmLend => "VM_LEND",
            Self::VmUnlend => "VM_UNLEND",
            Self::VmStart => "VM_START",
            Self::VmDestroy => "VM_DESTROY",
            Self::VmReclaim => "VM_RECLAIM",
            Self::VcpuCreate => "VCPU_CREATE",
            Self::VcpuEnqueue => "VCPU_ENQUEUE",
            Self::VcpuDequeue => "VCPU_DEQUEUE",
            Self::CpuRun => "CPU_RUN",
            Self::VcpuRespond => "VCPU_RESPOND",
            Self::VcpuInject => "VCPU_INJECT",
            Self::PageInfo => "PAGE_INFO",
            Self::PagePoison => "PAGE_POISON",
            Self::PageCensus => "PAGE_CENSUS",
            Self::TraceRead => "TRACE_READ",
            Self::StatsRead => "STATS_READ",
        }
    }

    /// How many result registers, from x1 up, it may fill; all others come back zero.
    pub const fn results(self) -> usize {
        match self {
            Self::EngineInfo => 1,
            Self::EngineDoorbell => 0,
            Self::EngineDonate => 2,
            Self::EngineReclaim => 17,
            Self::VmCreate => 1,
            Self::VmMap => 2,
            Self::VmMapList => 2,
            Self::VmLend => 2,
            Self::VmUnlend => 2,
            Self::VmStart => 0,
            Self::VmDestroy => 2,
            Self::VmReclaim => 2,
            Self::VcpuCreate => 1,
            Self::VcpuEnqueue => 0,
            Self::VcpuDequeue => 0,
            Self::CpuRun => 9,
            Self::VcpuRespond => 0,
            Self::VcpuInject => 0,
            Self::PageInfo => 2,
            Self::PagePoison => 0,
            Self::PageCensus => 9,
            Self::TraceRead => 3,
            Self::StatsRead => 1,
        }
    }

    /// What it may be refused with.
    pub const fn errors(self) -> &'static [Status] {
        match self {
            Self::EngineInfo => &[Status::OutOfRange],
            Self::EngineDoorbell => &[Status::OutOfRange],
            Self::EngineDonate => &[
                Status::Unaligned,
                Status::OutOfRange,
                Status::NotRam,
                Status::NotOwner,
                Status::Busy,
                Status::NoMemory,
            ],
            Self::EngineReclaim => &[Status::OutOfRange],
            Self::VmCreate => &[
                Status::Unaligned,
                Status::OutOfRange,
                Status::Limit,
                Status::NoMemory,
            ],
            Self::VmMap => &[
                Status::BadHandle,
                Status::Unaligned,
                Status::OutOfRange,
                Status::NotRam,
                Status::NotOwner,
                Status::AlreadyMapped,
                Status::BadState,
                Status::Busy,
                Status::NoMemory,
            ],
            Self::VmMapList => &[
                Status::BadHandle,
                Status::Unaligned,
                Status::OutOfRange,
                Status::NotRam,
                Status::NotOwner,
                Status::AlreadyMapped,
                Status::BadState,
                Status::Busy,
                Status::NoMemory,
            ],
            Self::VmLend => &[
                Status::BadHandle,
                Status::Unaligned,
                Status::OutOfRange,
                Status::NotRam,
                Status::NotOwner,
                Status::AlreadyMapped,
                Status::BadState,
                Status::Busy,
                Status::NoMemory,
            ],
            Self::VmUnlend => &[
                Status::BadHandle,
                Status::Unaligned,
                Status::OutOfRange,
                Status::NotMapped,
                Status::NotShared,
                Status::BadState,
                Status::Busy,
            ],
            Self::VmStart => &[Status::BadHandle, Status::BadState, Status::Busy],
            Self::VmDestroy => &[Status::BadHandle],
            Self::VmReclaim => &[
                Status::BadHandle,
                Status::OutOfRange,
                Status::BadState,
                Status::Busy,
            ],
            Self::VcpuCreate => &[
                Status::BadHandle,
                Status::OutOfRange,
                Status::BadState,
                Status::Limit,
                Status::Busy,
            ],
            Self::VcpuEnqueue => &[
                Status::BadHandle,
                Status::OutOfRange,
                Status::BadState,
                Status::Busy,
            ],
            Self::VcpuDequeue => &[Status::BadHandle, Status::BadState, Status::Busy],
            Self::VcpuRespond => &[
                Status::BadHandle,
                Status::OutOfRange,
                Status::BadState,
                Status::Busy,
            ],
            Self::VcpuInject => &[Status::BadHandle, Status::OutOfRange, Status::BadState],
            Self::PageInfo => &[Status::OutOfRange],
            Self::PagePoison => &[
                Status::Unaligned,
                Status::NotRam,
                Status::NotOwner,
                Status::Busy,
                Status::NoMemory,
            ],
            Self::PageCensus => &[Status::OutOfRange],
            Self::TraceRead => &[Status::OutOfRange],
            Self::StatsRead => &[Status::OutOfRange],
            _ => &[],
        }
    }

    /// Of these, refusals that change something all the same.
    pub const fn changes_on(self) -> &'static [Status] {
        match self {
            Self::EngineDonate => &[Status::NotRam],
            Self::VmStart => &[Status::Busy],
            _ => &[],
        }
    }
}

/// How a call ended: x0 on return.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i64)]
pub enum Status {
    /// Done. A batch says in `done` how many pages, and in `reason` why it stopped early: with this
    /// one the engine has done as much as it does in one call.
    Success = 0,
    /// The engine does not know this function (SMCCC). To blame: the caller.
    NotSupported = -1,
    /// An address is not page-aligned. To blame: the caller.
    Unaligned = -2,
    /// An argument is outside what the call accepts, or a range wraps. To blame: the caller.
    OutOfRange = -3,
    /// The physical address is not memory that VMs may own. To blame: the caller.
    NotRam = -4,
    /// The page is not the caller's alone. To blame: the caller.
    NotOwner = -5,
    /// The IPA already has a page. To blame: the caller.
    AlreadyMapped = -6,
    /// The object's state does not allow the call. To blame: the caller.
    BadState = -7,
    /// Another operation holds what this one needs; try again. To blame: nobody.
    Busy = -8,
    /// The engine's page pool is empty: ENGINE_DONATE, then try again. To blame: the caller.
    NoMemory = -9,
    /// No free slot of this kind. To blame: the caller.
    Limit = -10,
    /// No object has this handle (any more). To blame: the caller.
    BadHandle = -11,
    /// The page is not lent or shared this way. To blame: the caller.
    NotShared = -12,
    /// The IPA has no page. To blame: the caller.
    NotMapped = -13,
}

impl Status {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 14] = [
        Self::Success,
        Self::NotSupported,
        Self::Unaligned,
        Self::OutOfRange,
        Self::NotRam,
        Self::NotOwner,
        Self::AlreadyMapped,
        Self::BadState,
        Self::Busy,
        Self::NoMemory,
        Self::Limit,
        Self::BadHandle,
        Self::NotShared,
        Self::NotMapped,
    ];
    /// The status that x0 holds.
    pub const fn from_raw(raw: i64) -> Option<Self> {
        match raw {
            0 => Some(Self::Success),
            -1 => Some(Self::NotSupported),
            -2 => Some(Self::Unaligned),
            -3 => Some(Self::OutOfRange),
            -4 => Some(Self::NotRam),
            -5 => Some(Self::NotOwner),
            -6 => Some(Self::AlreadyMapped),
            -7 => Some(Self::BadState),
            -8 => Some(Self::Busy),
            -9 => Some(Self::NoMemory),
            -10 => Some(Self::Limit),
            -11 => Some(Self::BadHandle),
            -12 => Some(Self::NotShared),
            -13 => Some(Self::NotMapped),
            _ => None,
        }
    }

    /// Its value in x0.
    pub const fn raw(self) -> i64 {
        self as i64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::NotSupported => "NOT_SUPPORTED",
            Self::Unaligned => "UNALIGNED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::NotRam => "NOT_RAM",
            Self::NotOwner => "NOT_OWNER",
            Self::AlreadyMapped => "ALREADY_MAPPED",
            Self::BadState => "BAD_STATE",
            Self::Busy => "BUSY",
            Self::NoMemory => "NO_MEMORY",
            Self::Limit => "LIMIT",
            Self::BadHandle => "BAD_HANDLE",
            Self::NotShared => "NOT_SHARED",
            Self::NotMapped => "NOT_MAPPED",
        }
    }
}

/// What ENGINE_INFO tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum InfoIndex {
    /// Major << 16 | minor.
    Version = 0,
    /// Feature bits, none assigned yet.
    Features = 1,
    /// Cores of the machine: their engine numbers are below this; one that did not come up has a
    /// number too.
    Cpus = 2,
    /// Page words in the table: what PAGE_CENSUS counts through.
    PageWords = 3,
    /// VM slots.
    MaxVms = 4,
    /// VCPU slots.
    MaxVcpus = 5,
    /// Widest IPA a VM may have.
    IpaBits = 6,
    /// Pages free in the engine's pool, without the few kept back for ENGINE_DONATE.
    FreePages = 7,
    /// Engine number of the calling core.
    ThisCpu = 8,
    /// Physical address of page word 0.
    RamBase = 9,
    /// Bytes of page words that were ever written: memory that says whose the others are.
    TableBytes = 10,
}

impl InfoIndex {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 11] = [
        Self::Version,
        Self::Features,
        Self::Cpus,
        Self::PageWords,
        Self::MaxVms,
        Self::MaxVcpus,
        Self::IpaBits,
        Self::FreePages,
        Self::ThisCpu,
        Self::RamBase,
        Self::TableBytes,
    ];
    /// The meaning of a register's value.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0 => Some(Self::Version),
            1 => Some(Self::Features),
            2 => Some(Self::Cpus),
            3 => Some(Self::PageWords),
            4 => Some(Self::MaxVms),
            5 => Some(Self::MaxVcpus),
            6 => Some(Self::IpaBits),
            7 => Some(Self::FreePages),
            8 => Some(Self::ThisCpu),
            9 => Some(Self::RamBase),
            10 => Some(Self::TableBytes),
            _ => None,
        }
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "Version",
            Self::Features => "Features",
            Self::Cpus => "Cpus",
            Self::PageWords => "PageWords",
            Self::MaxVms => "MaxVms",
            Self::MaxVcpus => "MaxVcpus",
            Self::IpaBits => "IpaBits",
            Self::FreePages => "FreePages",
            Self::ThisCpu => "ThisCpu",
            Self::RamBase => "RamBase",
            Self::TableBytes => "TableBytes",
        }
    }
}

/// Why CPU_RUN returned. A guest that shares a page with the host (MEM_SHARE), or ends that, goes
/// on without an exit: PAGE_INFO tells, and the host's access finds the page or faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum ExitReason {
    /// D0 = page-aligned IPA in a RAM range that has no page, which the guest used or wants to
    /// share; the vCPU stays queued.
    RamFault = 1,
    /// D0 = IPA, d1 = size in bytes; VCPU_RESPOND completes it.
    MmioRead = 2,
    /// D0 = IPA, d1 = size in bytes, d2 = data; the vCPU stays queued; VCPU_RESPOND with Abort
    /// before its next run turns it into an external abort.
    MmioWrite = 3,
    /// D0-d6 = x0-x6 of a guest call for the host; VCPU_RESPOND completes it.
    Call = 4,
    /// D0 = handle of the vCPU that PSCI CPU_ON turned on: enqueue it.
    VcpuOn = 5,
    /// The vCPU turned itself off.
    VcpuOff = 6,
    /// D0-d6 = handles of vCPUs of this one's VM that are on no queue and have work, 0 after the
    /// last: enqueue them; the vCPU stays queued.
    VcpuReady = 7,
    /// D0 = IPA given back, d1 = its physical address, d2 = 1 if the page has a memory error and is
    /// nobody's from now on; where RAM has no page the guest's call succeeds without an exit.
    PageRelinquished = 10,
    /// D0 = INTID of a level-triggered SPI that the guest ended.
    LevelEnded = 11,
    /// More interrupts pending than list registers; they follow as these empty.
    ListFull = 12,
    /// A physical interrupt waits for the host.
    HostInterrupt = 13,
    /// The budget is used.
    Budget = 14,
    /// No vCPU of this core is runnable; d0 = counter value of the next timer deadline, all ones if
    /// none.
    Idle = 15,
    /// PSCI SYSTEM_OFF.
    SystemOff = 16,
    /// PSCI SYSTEM_RESET.
    SystemReset = 17,
    /// D0 = FaultKind: the vCPU cannot go on and is off every queue.
    Fault = 18,
    /// A call of the guest about its memory needs a page of the engine's, whose pool is empty:
    /// ENGINE_DONATE; the vCPU stays queued and repeats its call.
    PoolEmpty = 19,
}

impl ExitReason {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 17] = [
        Self::RamFault,
        Self::MmioRead,
        Self::MmioWrite,
        Self::Call,
        Self::VcpuOn,
        Self::VcpuOff,
        Self::VcpuReady,
        Self::PageRelinquished,
        Self::LevelEnded,
        Self::ListFull,
        Self::HostInterrupt,
        Self::Budget,
        Self::Idle,
        Self::SystemOff,
        Self::SystemReset,
        Self::Fault,
        Self::PoolEmpty,
    ];
    /// The meaning of a register's value.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            1 => Some(Self::RamFault),
            2 => Some(Self::MmioRead),
            3 => Some(Self::MmioWrite),
            4 => Some(Self::Call),
            5 => Some(Self::VcpuOn),
            6 => Some(Self::VcpuOff),
            7 => Some(Self::VcpuReady),
            10 => Some(Self::PageRelinquished),
            11 => Some(Self::LevelEnded),
            12 => Some(Self::ListFull),
            13 => Some(Self::HostInterrupt),
            14 => Some(Self::Budget),
            15 => Some(Self::Idle),
            16 => Some(Self::SystemOff),
            17 => Some(Self::SystemReset),
            18 => Some(Self::Fault),
            19 => Some(Self::PoolEmpty),
            _ => None,
        }
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RamFault => "RamFault",
            Self::MmioRead => "MmioRead",
            Self::MmioWrite => "MmioWrite",
            Self::Call => "Call",
            Self::VcpuOn => "VcpuOn",
            Self::VcpuOff => "VcpuOff",
            Self::VcpuReady => "VcpuReady",
            Self::PageRelinquished => "PageRelinquished",
            Self::LevelEnded => "LevelEnded",
            Self::ListFull => "ListFull",
            Self::HostInterrupt => "HostInterrupt",
            Self::Budget => "Budget",
            Self::Idle => "Idle",
            Self::SystemOff => "SystemOff",
            Self::SystemReset => "SystemReset",
            Self::Fault => "Fault",
            Self::PoolEmpty => "PoolEmpty",
        }
    }
}

/// Why a vCPU cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum FaultKind {
    /// A physical SError while it ran.
    SError = 1,
    /// An external abort on its memory.
    External = 2,
    /// Illegal execution state or an exception class the engine does not handle.
    Illegal = 3,
}

impl FaultKind {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 3] = [Self::SError, Self::External, Self::Illegal];
    /// The meaning of a register's value.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            1 => Some(Self::SError),
            2 => Some(Self::External),
            3 => Some(Self::Illegal),
            _ => None,
        }
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SError => "SError",
            Self::External => "External",
            Self::Illegal => "Illegal",
        }
    }
}

/// How a forwarded access or call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum Outcome {
    /// With the given values.
    Complete = 0,
    /// MMIO only: synchronous external abort in the guest.
    Abort = 1,
}

impl Outcome {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 2] = [Self::Complete, Self::Abort];
    /// The meaning of a register's value.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0 => Some(Self::Complete),
            1 => Some(Self::Abort),
            _ => None,
        }
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "Complete",
            Self::Abort => "Abort",
        }
    }
}

/// What happens to a virtual SPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum InjectKind {
    /// Becomes pending once.
    Edge = 0,
    /// Its line goes high.
    Assert = 1,
    /// Its line goes low.
    Deassert = 2,
}

impl InjectKind {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 3] = [Self::Edge, Self::Assert, Self::Deassert];
    /// The meaning of a register's value.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0 => Some(Self::Edge),
            1 => Some(Self::Assert),
            2 => Some(Self::Deassert),
            _ => None,
        }
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Edge => "Edge",
            Self::Assert => "Assert",
            Self::Deassert => "Deassert",
        }
    }
}

/// What PAGE_INFO tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum PageClass {
    /// Another's, reserved, or in transition.
    NotYours = 0,
    /// The host's alone.
    Host = 1,
    /// The host may use it but never donate it.
    HostFixed = 2,
    /// The host's, lent to a VM.
    Lent = 3,
    /// A VM's, shared with the host.
    SharedByVm = 4,
}

impl PageClass {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 5] = [
        Self::NotYours,
        Self::Host,
        Self::HostFixed,
        Self::Lent,
        Self::SharedByVm,
    ];
    /// The meaning of a register's value.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0 => Some(Self::NotYours),
            1 => Some(Self::Host),
            2 => Some(Self::HostFixed),
            3 => Some(Self::Lent),
            4 => Some(Self::SharedByVm),
            _ => None,
        }
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotYours => "NotYours",
            Self::Host => "Host",
            Self::HostFixed => "HostFixed",
            Self::Lent => "Lent",
            Self::SharedByVm => "SharedByVm",
        }
    }
}

/// Counters of a core. Calls follow at 0x100 + 2 * number (calls) and + 1 (errors), exits at 0x400
/// + reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum Counter {
    /// Host to VM.
    PagesDonated = 0,
    /// VM to host.
    PagesReclaimed = 1,
    /// Zeroed before a new owner.
    PagesScrubbed = 2,
    /// Of these, not zero before.
    ScrubbedNonzero = 3,
    /// Pages that were not zero when read back: lost, as if they had a memory error.
    ScrubViolations = 4,
    /// Stage-2 invalidations by page or range.
    FlushPage = 5,
    /// Stage-2 invalidations of a whole VMID.
    FlushVm = 6,
    /// Host stage-2 faults answered by mapping.
    HostFaultIn = 7,
    /// Host stage-2 faults on entries in transition, retried.
    HostFaultRetry = 8,
    /// Host accesses to memory that is not its own, answered by an abort.
    HostFaultDenied = 9,
    /// Guest accesses answered by an abort.
    GuestAbort = 10,
    /// Times a vCPU was entered.
    GuestEntries = 11,
    /// Traps from guests answered in the engine, but for PSCI_VERSION by HVC.
    GuestTraps = 12,
    /// Doorbell SGIs sent.
    Doorbells = 13,
    /// SMCs of the host off the allow-list.
    SmcDenied = 14,
    /// System-register accesses answered by UNDEFINED.
    SysregDenied = 15,
    /// Of the pages donated, those that the host had no leaf of: no core had to be told.
    PagesDonatedLazily = 16,
    /// Blocks of the host's stage-2 that were split.
    HostSplits = 17,
    /// Tables of the host's stage-2 that became blocks again.
    HostJoins = 18,
    /// TLB conflict aborts of the host or of guests, answered by a flush.
    TlbConflicts = 19,
    /// Pages out of circulation for good: reported by PAGE_POISON, or found broken while being
    /// zeroed.
    PagesPoisoned = 20,
}

impl Counter {
    /// All of them, in the interface file's order.
    pub const ALL: [Self; 21] = [
        Self::PagesDonated,
        Self::PagesReclaimed,
        Self::PagesScrubbed,
        Self::ScrubbedNonzero,
        Self::ScrubViolations,
        Self::FlushPage,
        Self::FlushVm,
        Self::HostFaultIn,
        Self::HostFaultRetry,
        Self::HostFaultDenied,
        Self::GuestAbort,
        Self::GuestEntries,
        Self::GuestTraps,
        Self::Doorbells,
        Self::SmcDenied,
        Self::SysregDenied,
        Self::PagesDonatedLazily,
        Self::HostSplits,
        Self::HostJoins,
        Self::TlbConflicts,
        Self::PagesPoisoned,
    ];
    /// The meaning of a register's value.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            0 => Some(Self::PagesDonated),
            1 => Some(Self::PagesReclaimed),
            2 => Some(Self::PagesScrubbed),
            3 => Some(Self::ScrubbedNonzero),
            4 => Some(Self::ScrubViolations),
            5 => Some(Self::FlushPage),
            6 => Some(Self::FlushVm),
            7 => Some(Self::HostFaultIn),
            8 => Some(Self::HostFaultRetry),
            9 => Some(Self::HostFaultDenied),
            10 => Some(Self::GuestAbort),
            11 => Some(Self::GuestEntries),
            12 => Some(Self::GuestTraps),
            13 => Some(Self::Doorbells),
            14 => Some(Self::SmcDenied),
            15 => Some(Self::SysregDenied),
            16 => Some(Self::PagesDonatedLazily),
            17 => Some(Self::HostSplits),
            18 => Some(Self::HostJoins),
            19 => Some(Self::TlbConflicts),
            20 => Some(Self::PagesPoisoned),
            _ => None,
        }
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self as u64
    }

    /// Its name in the interface file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PagesDonated => "PagesDonated",
            Self::PagesReclaimed => "PagesReclaimed",
            Self::PagesScrubbed => "PagesScrubbed",
            Self::ScrubbedNonzero => "ScrubbedNonzero",
            Self::ScrubViolations => "ScrubViolations",
            Self::FlushPage => "FlushPage",
            Self::FlushVm => "FlushVm",
            Self::HostFaultIn => "HostFaultIn",
            Self::HostFaultRetry => "HostFaultRetry",
            Self::HostFaultDenied => "HostFaultDenied",
            Self::GuestAbort => "GuestAbort",
            Self::GuestEntries => "GuestEntries",
            Self::GuestTraps => "GuestTraps",
            Self::Doorbells => "Doorbells",
            Self::SmcDenied => "SmcDenied",
            Self::SysregDenied => "SysregDenied",
            Self::PagesDonatedLazily => "PagesDonatedLazily",
            Self::HostSplits => "HostSplits",
            Self::HostJoins => "HostJoins",
            Self::TlbConflicts => "TlbConflicts",
            Self::PagesPoisoned => "PagesPoisoned",
        }
    }
}

/// Access rights of a mapping. Memory is always write-back, inner shareable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MapAttrs(u64);

impl MapAttrs {
    /// Must be set.
    pub const READ: Self = Self(1 << 0);
    /// Stores allowed.
    pub const WRITE: Self = Self(1 << 1);
    /// Instruction fetch allowed.
    pub const EXECUTE: Self = Self(1 << 2);
    /// Every bit that has a meaning.
    pub const MASK: u64 = 0x7;

    /// The set that a register's value says; none if a bit without meaning is set.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & !Self::MASK == 0 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// Its value in a register.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Handle: slot in bits 15:0, generation in 63:16, generation never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmHandle(u64);

impl VmHandle {
    /// No object: the handle that none ever has.
    pub const NONE: Self = Self(0);

    /// The handle of a slot's present owner; only the low 48 bits of `generation` count.
    pub const fn new(slot: u16, generation: u64) -> Self {
        Self(generation << 16 | slot as u64)
    }

    /// What a register holds: an allegation until the slot's generation is compared.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The slot it names.
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }

    /// The generation of the slot that it means.
    pub const fn generation(self) -> u64 {
        self.0 >> 16
    }
}

/// Handle: slot in bits 15:0, generation in 63:16, generation never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VcpuHandle(u64);

impl VcpuHandle {
    /// No object: the handle that none ever has.
    pub const NONE: Self = Self(0);

    /// The handle of a slot's present owner; only the low 48 bits of `generation` count.
    pub const fn new(slot: u16, generation: u64) -> Self {
        Self(generation << 16 | slot as u64)
    }

    /// What a register holds: an allegation until the slot's generation is compared.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// Its value in a register.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The slot it names.
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }

    /// The generation of the slot that it means.
    pub const fn generation(self) -> u64 {
        self.0 >> 16
    }
}

/// Arguments of [`Call::EngineInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineInfoArgs {
    /// What to tell (InfoIndex).
    pub index: u64,
}

impl EngineInfoArgs {
    /// The call these are for.
    pub const CALL: Call = Call::EngineInfo;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.index, 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            index: registers[0],
        }
    }
}

/// Arguments of [`Call::EngineDoorbell`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineDoorbellArgs {
    /// SGI number 0-15 the host gives the engine for kicks (u64).
    pub sgi: u64,
}

impl EngineDoorbellArgs {
    /// The call these are for.
    pub const CALL: Call = Call::EngineDoorbell;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.sgi, 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self { sgi: registers[0] }
    }
}

/// Arguments of [`Call::EngineDonate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineDonateArgs {
    /// First page (Pa).
    pub pa: u64,
    /// 1..=RUN_PAGES (pages).
    pub n: u64,
}

impl EngineDonateArgs {
    /// The call these are for.
    pub const CALL: Call = Call::EngineDonate;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.pa, self.n, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            pa: registers[0],
            n: registers[1],
        }
    }
}

/// Arguments of [`Call::EngineReclaim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineReclaimArgs {
    /// 1..=ENGINE_RECLAIM_PAGES (pages).
    pub max: u64,
}

impl EngineReclaimArgs {
    /// The call these are for.
    pub const CALL: Call = Call::EngineReclaim;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.max, 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self { max: registers[0] }
    }
}

/// Arguments of [`Call::VmCreate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmCreateArgs {
    /// VCPUs in bits 15:0, IPA bits in 31:16; bit 32: pages may be lent into the first RAM range,
    /// bit 33: into the second; 63:34 must be 0 (VmShape).
    pub shape: u64,
    /// Base of the GICv3 redistributor frames, 128 KiB per vCPU, 64 KiB-aligned (Ipa).
    pub gicr: u64,
    /// First RAM range, base (Ipa).
    pub ram0: u64,
    /// Its size, not 0 (bytes).
    pub ram0_size: u64,
    /// Second RAM range, base (Ipa).
    pub ram1: u64,
    /// Its size, 0 if there is none (bytes).
    pub ram1_size: u64,
}

impl VmCreateArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmCreate;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [
            self.shape,
            self.gicr,
            self.ram0,
            self.ram0_size,
            self.ram1,
            self.ram1_size,
        ]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            shape: registers[0],
            gicr: registers[1],
            ram0: registers[2],
            ram0_size: registers[3],
            ram1: registers[4],
            ram1_size: registers[5],
        }
    }
}

/// Arguments of [`Call::VmMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmMapArgs {
    /// Who receives (VmHandle).
    pub vm: VmHandle,
    /// First page (Pa).
    pub pa: u64,
    /// Where the VM sees it; inside one RAM range (Ipa).
    pub ipa: u64,
    /// 1..=MAP_PAGES (pages).
    pub n: u64,
    /// Access rights for the VM (MapAttrs).
    pub attrs: u64,
}

impl VmMapArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmMap;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), self.pa, self.ipa, self.n, self.attrs, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
            pa: registers[1],
            ipa: registers[2],
            n: registers[3],
            attrs: registers[4],
        }
    }
}

/// Arguments of [`Call::VmMapList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmMapListArgs {
    /// Who receives (VmHandle).
    pub vm: VmHandle,
    /// The host's own page with the list; claimed while it is read (Pa).
    pub list: u64,
    /// 1..=MAP_LIST_PAGES (pages).
    pub n: u64,
}

impl VmMapListArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmMapList;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), self.list, self.n, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
            list: registers[1],
            n: registers[2],
        }
    }
}

/// Arguments of [`Call::VmLend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmLendArgs {
    /// Who may use it too (VmHandle).
    pub vm: VmHandle,
    /// First page (Pa).
    pub pa: u64,
    /// Where the VM sees it; inside one RAM range that was created lendable (Ipa).
    pub ipa: u64,
    /// 1..=RUN_PAGES (pages).
    pub n: u64,
    /// Access rights for the VM (MapAttrs).
    pub attrs: u64,
}

impl VmLendArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmLend;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), self.pa, self.ipa, self.n, self.attrs, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
            pa: registers[1],
            ipa: registers[2],
            n: registers[3],
            attrs: registers[4],
        }
    }
}

/// Arguments of [`Call::VmUnlend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmUnlendArgs {
    /// Who loses them (VmHandle).
    pub vm: VmHandle,
    /// First page (Ipa).
    pub ipa: u64,
    /// 1..=RUN_PAGES (pages).
    pub n: u64,
}

impl VmUnlendArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmUnlend;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), self.ipa, self.n, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
            ipa: registers[1],
            n: registers[2],
        }
    }
}

/// Arguments of [`Call::VmStart`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmStartArgs {
    /// Which (VmHandle).
    pub vm: VmHandle,
}

impl VmStartArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmStart;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
        }
    }
}

/// Arguments of [`Call::VmDestroy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmDestroyArgs {
    /// Which (VmHandle).
    pub vm: VmHandle,
}

impl VmDestroyArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmDestroy;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
        }
    }
}

/// Arguments of [`Call::VmReclaim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmReclaimArgs {
    /// Which (VmHandle).
    pub vm: VmHandle,
    /// 1..=RECLAIM_PAGES (pages).
    pub max: u64,
}

impl VmReclaimArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VmReclaim;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), self.max, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
            max: registers[1],
        }
    }
}

/// Arguments of [`Call::VcpuCreate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuCreateArgs {
    /// Whose (VmHandle).
    pub vm: VmHandle,
    /// Affinity fields as in MPIDR_EL1, unique in the VM (u64).
    pub mpidr: u64,
    /// Where vCPU 0 starts (Ipa).
    pub entry: u64,
    /// Its x0 (u64).
    pub arg: u64,
}

impl VcpuCreateArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VcpuCreate;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vm.raw(), self.mpidr, self.entry, self.arg, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vm: VmHandle::from_raw(registers[0]),
            mpidr: registers[1],
            entry: registers[2],
            arg: registers[3],
        }
    }
}

/// Arguments of [`Call::VcpuEnqueue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuEnqueueArgs {
    /// Which (VcpuHandle).
    pub vcpu: VcpuHandle,
    /// Engine CPU number (u64).
    pub cpu: u64,
}

impl VcpuEnqueueArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VcpuEnqueue;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vcpu.raw(), self.cpu, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vcpu: VcpuHandle::from_raw(registers[0]),
            cpu: registers[1],
        }
    }
}

/// Arguments of [`Call::VcpuDequeue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuDequeueArgs {
    /// Which (VcpuHandle).
    pub vcpu: VcpuHandle,
}

impl VcpuDequeueArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VcpuDequeue;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vcpu.raw(), 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vcpu: VcpuHandle::from_raw(registers[0]),
        }
    }
}

/// Arguments of [`Call::CpuRun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuRunArgs {
    /// Counter ticks to run at most, 0 for no bound (ticks).
    pub budget: u64,
}

impl CpuRunArgs {
    /// The call these are for.
    pub const CALL: Call = Call::CpuRun;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.budget, 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            budget: registers[0],
        }
    }
}

/// Arguments of [`Call::VcpuRespond`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuRespondArgs {
    /// Which (VcpuHandle).
    pub vcpu: VcpuHandle,
    /// Data of the MMIO read, or x0 of the call (u64).
    pub x0: u64,
    /// X1 of the call (u64).
    pub x1: u64,
    /// X2 of the call (u64).
    pub x2: u64,
    /// X3 of the call (u64).
    pub x3: u64,
    /// How the access ended (Outcome).
    pub outcome: u64,
}

impl VcpuRespondArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VcpuRespond;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [
            self.vcpu.raw(),
            self.x0,
            self.x1,
            self.x2,
            self.x3,
            self.outcome,
        ]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vcpu: VcpuHandle::from_raw(registers[0]),
            x0: registers[1],
            x1: registers[2],
            x2: registers[3],
            x3: registers[4],
            outcome: registers[5],
        }
    }
}

/// Arguments of [`Call::VcpuInject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuInjectArgs {
    /// Which (VcpuHandle).
    pub vcpu: VcpuHandle,
    /// SPI, 32..=1019 (u64).
    pub intid: u64,
    /// Edge, assert or deassert (InjectKind).
    pub kind: u64,
    /// GIC priority 0-255 (u64).
    pub priority: u64,
}

impl VcpuInjectArgs {
    /// The call these are for.
    pub const CALL: Call = Call::VcpuInject;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.vcpu.raw(), self.intid, self.kind, self.priority, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            vcpu: VcpuHandle::from_raw(registers[0]),
            intid: registers[1],
            kind: registers[2],
            priority: registers[3],
        }
    }
}

/// Arguments of [`Call::PageInfo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageInfoArgs {
    /// Any address of the page (Pa).
    pub pa: u64,
}

impl PageInfoArgs {
    /// The call these are for.
    pub const CALL: Call = Call::PageInfo;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.pa, 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self { pa: registers[0] }
    }
}

/// Arguments of [`Call::PagePoison`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePoisonArgs {
    /// A page of the host's own (Pa).
    pub pa: u64,
}

impl PagePoisonArgs {
    /// The call these are for.
    pub const CALL: Call = Call::PagePoison;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.pa, 0, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self { pa: registers[0] }
    }
}

/// Arguments of [`Call::PageCensus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCensusArgs {
    /// Index of the first page word, a multiple of CENSUS_GRAIN (u64).
    pub first: u64,
    /// A multiple of CENSUS_GRAIN, at most CENSUS_PAGES (pages).
    pub n: u64,
}

impl PageCensusArgs {
    /// The call these are for.
    pub const CALL: Call = Call::PageCensus;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.first, self.n, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            first: registers[0],
            n: registers[1],
        }
    }
}

/// Arguments of [`Call::TraceRead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceReadArgs {
    /// Whose ring (u64).
    pub cpu: u64,
    /// Event number (u64).
    pub sequence: u64,
}

impl TraceReadArgs {
    /// The call these are for.
    pub const CALL: Call = Call::TraceRead;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.cpu, self.sequence, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            cpu: registers[0],
            sequence: registers[1],
        }
    }
}

/// Arguments of [`Call::StatsRead`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatsReadArgs {
    /// Whose counters (u64).
    pub cpu: u64,
    /// Counter number: see Counter; calls and exits follow (u64).
    pub index: u64,
}

impl StatsReadArgs {
    /// The call these are for.
    pub const CALL: Call = Call::StatsRead;

    /// As they stand in x1 to x6.
    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {
        [self.cpu, self.index, 0, 0, 0, 0]
    }

    /// Read from x1 to x6; registers that the call does not use are ignored.
    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {
        Self {
            cpu: registers[0],
            index: registers[1],
        }
    }
}
