//! Every hypercall of the interface as a function, over one raw primitive.
//!
//! Invariants: no wrapper checks or retries anything: what the engine says is what the caller
//! gets. The contract of each call is in `abi::call`; arguments and results are in its order.

use abi::{
    Call, EngineDonateArgs, EngineReclaimArgs, ExitReason, InfoIndex, InjectKind, MapAttrs,
    Outcome, PageCensusArgs, StatsReadArgs, Status, TraceReadArgs, VcpuCreateArgs, VcpuHandle,
    VcpuInjectArgs, VcpuRespondArgs, VmCreateArgs, VmHandle, VmLendArgs, VmMapArgs, VmMapListArgs,
    VmReclaimArgs, VmShape, VmUnlendArgs,
};

/// How far a batch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Pages done.
    pub done: u64,
    /// Why it stopped early, `Success` if it did not.
    pub reason: Status,
}

/// One exit of `CPU_RUN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Why the host is needed; none if the engine said something this build does not know.
    pub reason: Option<ExitReason>,
    /// Whose exit it is.
    pub vcpu: VcpuHandle,
    /// What the reason says.
    pub details: [u64; 7],
}

/// Totals of `PAGE_CENSUS`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Page words looked at.
    pub seen: u64,
    /// Never given to anybody.
    pub reserved: u64,
    /// The host's.
    pub host: u64,
    /// The host's for good.
    pub host_fixed: u64,
    /// The engine's.
    pub engine: u64,
    /// A guest's.
    pub vm: u64,
    /// A guest's, shared with the host.
    pub shared: u64,
    /// In transition.
    pub claimed: u64,
    /// Out of circulation.
    pub poisoned: u64,
}

/// HVC #0 with `function` in x0 and `arguments` in x1 to x17; returns x0 to x17.
pub fn hvc(function: u64, arguments: [u64; 17]) -> [u64; 18] {
    smccc::hvc64(function as u32, arguments)
}

/// Makes a call with up to six arguments; an unknown status reads as `NotSupported`.
pub fn invoke(call: Call, arguments: &[u64]) -> Result<[u64; 17], Status> {
    let mut registers = [0; 17];
    registers[..arguments.len()].copy_from_slice(arguments);
    let reply = hvc(call.function_id(), registers);
    let mut results = [0; 17];
    results.copy_from_slice(&reply[1..]);
    match Status::from_raw(reply[0] as i64) {
        Some(Status::Success) => Ok(results),
        Some(status) => Err(status),
        None => Err(Status::NotSupported),
    }
}

fn batch(results: [u64; 17]) -> Batch {
    let reason = Status::from_raw(results[1] as i64).unwrap_or(Status::NotSupported);
    Batch {
        done: results[0],
        reason,
    }
}

/// `ENGINE_INFO`.
pub fn engine_info(index: InfoIndex) -> Result<u64, Status> {
    Ok(invoke(Call::EngineInfo, &[index.raw()])?[0])
}

/// `ENGINE_DOORBELL`.
pub fn engine_doorbell(sgi: u64) -> Result<(), Status> {
    invoke(Call::EngineDoorbell, &[sgi]).map(drop)
}

/// `ENGINE_DONATE`.
pub fn engine_donate(pa: u64, n: u64) -> Result<Batch, Status> {
    invoke(
        Call::EngineDonate,
        &EngineDonateArgs { pa, n }.to_registers(),
    )
    .map(batch)
}

/// `ENGINE_RECLAIM`: how many pages came back, and their addresses.
pub fn engine_reclaim(max: u64) -> Result<(u64, [u64; 16]), Status> {
    let results = invoke(
        Call::EngineReclaim,
        &EngineReclaimArgs { max }.to_registers(),
    )?;
    let mut pages = [0; 16];
    pages.copy_from_slice(&results[1..]);
    Ok((results[0], pages))
}

/// `VM_CREATE`; each RAM range is (base, bytes).
pub fn vm_create(
    shape: VmShape,
    gicr: u64,
    (ram0, ram0_size): (u64, u64),
    (ram1, ram1_size): (u64, u64),
) -> Result<VmHandle, Status> {
    let arguments = VmCreateArgs {
        shape: shape.raw(),
        gicr,
        ram0,
        ram0_size,
        ram1,
        ram1_size,
    };
    Ok(VmHandle::from_raw(
        invoke(Call::VmCreate, &arguments.to_registers())?[0],
    ))
}

/// `VM_MAP`.
pub fn vm_map(vm: VmHandle, pa: u64, ipa: u64, n: u64, attrs: MapAttrs) -> Result<Batch, Status> {
    let arguments = VmMapArgs {
        vm,
        pa,
        ipa,
        n,
        attrs: attrs.bits(),
    };
    invoke(Call::VmMap, &arguments.to_registers()).map(batch)
}

/// `VM_MAP_LIST`.
pub fn vm_map_list(vm: VmHandle, list: u64, n: u64) -> Result<Batch, Status> {
    invoke(
        Call::VmMapList,
        &VmMapListArgs { vm, list, n }.to_registers(),
    )
    .map(batch)
}

/// `VM_LEND`.
pub fn vm_lend(vm: VmHandle, pa: u64, ipa: u64, n: u64, attrs: MapAttrs) -> Result<Batch, Status> {
    let arguments = VmLendArgs {
        vm,
        pa,
        ipa,
        n,
        attrs: attrs.bits(),
    };
    invoke(Call::VmLend, &arguments.to_registers()).map(batch)
}

/// `VM_UNLEND`.
pub fn vm_unlend(vm: VmHandle, ipa: u64, n: u64) -> Result<Batch, Status> {
    invoke(Call::VmUnlend, &VmUnlendArgs { vm, ipa, n }.to_registers()).map(batch)
}

/// `VM_START`.
pub fn vm_start(vm: VmHandle) -> Result<(), Status> {
    invoke(Call::VmStart, &[vm.raw()]).map(drop)
}

/// `VM_DESTROY`: how many are still inside the engine, and a core where one is.
pub fn vm_destroy(vm: VmHandle) -> Result<(u64, u64), Status> {
    let results = invoke(Call::VmDestroy, &[vm.raw()])?;
    Ok((results[0], results[1]))
}

/// `VM_RECLAIM`: pages that came home, and whether these were the last.
pub fn vm_reclaim(vm: VmHandle, max: u64) -> Result<(u64, bool), Status> {
    let results = invoke(Call::VmReclaim, &VmReclaimArgs { vm, max }.to_registers())?;
    Ok((results[0], results[1] == 1))
}

/// `VCPU_CREATE`.
pub fn vcpu_create(vm: VmHandle, mpidr: u64, entry: u64, arg: u64) -> Result<VcpuHandle, Status> {
    let arguments = VcpuCreateArgs {
        vm,
        mpidr,
        entry,
        arg,
    };
    Ok(VcpuHandle::from_raw(
        invoke(Call::VcpuCreate, &arguments.to_registers())?[0],
    ))
}

/// `VCPU_ENQUEUE`.
pub fn vcpu_enqueue(vcpu: VcpuHandle, cpu: u64) -> Result<(), Status> {
    invoke(Call::VcpuEnqueue, &[vcpu.raw(), cpu]).map(drop)
}

/// `VCPU_DEQUEUE`.
pub fn vcpu_dequeue(vcpu: VcpuHandle) -> Result<(), Status> {
    invoke(Call::VcpuDequeue, &[vcpu.raw()]).map(drop)
}

/// `CPU_RUN`.
pub fn cpu_run(budget: u64) -> Result<Exit, Status> {
    let results = invoke(Call::CpuRun, &[budget])?;
    let mut details = [0; 7];
    details.copy_from_slice(&results[2..9]);
    Ok(Exit {
        reason: ExitReason::from_raw(results[0]),
        vcpu: VcpuHandle::from_raw(results[1]),
        details,
    })
}

/// `VCPU_RESPOND`.
pub fn vcpu_respond(vcpu: VcpuHandle, x: [u64; 4], outcome: Outcome) -> Result<(), Status> {
    let [x0, x1, x2, x3] = x;
    let arguments = VcpuRespondArgs {
        vcpu,
        x0,
        x1,
        x2,
        x3,
        outcome: outcome.raw(),
    };
    invoke(Call::VcpuRespond, &arguments.to_registers()).map(drop)
}

/// `VCPU_INJECT`.
pub fn vcpu_inject(
    vcpu: VcpuHandle,
    intid: u32,
    kind: InjectKind,
    priority: u8,
) -> Result<(), Status> {
    let (intid, priority) = (u64::from(intid), u64::from(priority));
    let arguments = VcpuInjectArgs {
        vcpu,
        intid,
        kind: kind.raw(),
        priority,
    };
    invoke(Call::VcpuInject, &arguments.to_registers()).map(drop)
}

/// `PAGE_INFO`: the raw class, and how often the page is lent.
pub fn page_info(pa: u64) -> Result<(u64, u64), Status> {
    let results = invoke(Call::PageInfo, &[pa])?;
    Ok((results[0], results[1]))
}

/// `PAGE_POISON`.
pub fn page_poison(pa: u64) -> Result<(), Status> {
    invoke(Call::PagePoison, &[pa]).map(drop)
}

/// `PAGE_CENSUS`.
pub fn page_census(first: u64, n: u64) -> Result<Census, Status> {
    let results = invoke(
        Call::PageCensus,
        &PageCensusArgs { first, n }.to_registers(),
    )?;
    let [
        seen,
        reserved,
        host,
        host_fixed,
        engine,
        vm,
        shared,
        claimed,
        poisoned,
        ..,
    ] = results;
    Ok(Census {
        seen,
        reserved,
        host,
        host_fixed,
        engine,
        vm,
        shared,
        claimed,
        poisoned,
    })
}

/// `TRACE_READ`: sequence number, event and time.
pub fn trace_read(cpu: u64, sequence: u64) -> Result<[u64; 3], Status> {
    let results = invoke(
        Call::TraceRead,
        &TraceReadArgs { cpu, sequence }.to_registers(),
    )?;
    Ok([results[0], results[1], results[2]])
}

/// `STATS_READ`.
pub fn stats_read(cpu: u64, index: u64) -> Result<u64, Status> {
    Ok(invoke(
        Call::StatsRead,
        &StatsReadArgs { cpu, index }.to_registers(),
    )?[0])
}
