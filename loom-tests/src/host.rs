//! What a host does on one of its cores: calls by their registers, loads and stores with the faults
//! they take.
//!
//! Invariant: a [`Host`] is one core, played by the thread that has it.

use crate::guest::GuestStep;
use crate::platform::PA_BITS;
use crate::platform::guest_run::data_abort;
use crate::world::{RAM_BASE, Size, World};
use crate::{Arc, Beside, core, oracle, story, token, wording};
use abi::{
    ARGUMENT_REGISTERS, Call, MapAttrs, RESULT_REGISTERS, Status, VcpuHandle, VmCreateArgs,
    VmHandle, VmLendArgs, VmMapArgs, VmReclaimArgs, VmShape, VmUnlendArgs,
};
use engine::host::Next;
use engine::platform::Platform;
use engine::vcpu::context::{Frame, HostFrame};
use percpu::CpuToken;
use std::ops::Deref;

/// Where a VM's redistributors are: behind all memory.
const GICR: u64 = 1 << 24;

/// How an access of the host ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Access {
    /// What it could have seen: of a load, all values.
    Done(Vec<u64>),
    /// The host took an exception.
    Denied,
    /// It faulted each time, and would try again.
    Tried,
}

/// One core of the host.
pub struct Host {
    world: Arc<World>,
    pub(crate) token: CpuToken,
}

impl Deref for Host {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Host {
    /// Boots a world; core 0.
    pub fn boot(size: Size) -> Self {
        Self {
            world: World::new(size),
            token: token(0),
        }
    }

    /// The machine and its engine, beside the cores that act on it.
    pub fn world(&self) -> Arc<World> {
        self.world.clone()
    }

    /// Boots a world with one VM; core 0.
    pub fn with_vm(size: Size) -> (Self, VmHandle) {
        let mut host = Self::boot(size);
        let vm = host.create_vm().expect("a slot");
        (host, vm)
    }

    /// Boots a world with one VM that runs; its vCPU, parked, will do `steps`. Core 0.
    pub fn with_guest(
        pages: u64,
        steps: &[GuestStep],
        build: impl FnOnce(&mut Self, VmHandle),
    ) -> (Self, VmHandle, VcpuHandle) {
        Self::with_guest_on(Size::with_vcpu(pages), steps, build)
    }

    /// The same on a machine of this size.
    pub fn with_guest_on(
        size: Size,
        steps: &[GuestStep],
        build: impl FnOnce(&mut Self, VmHandle),
    ) -> (Self, VmHandle, VcpuHandle) {
        let (mut host, vm) = Self::with_vm(size);
        host.machine().guests().set_program(World::ipa(0), steps);
        let vcpu = host.create_vcpu(vm).expect("a slot");
        build(&mut host, vm);
        host.start(vm).expect("nobody is building");
        (host, vm, vcpu)
    }

    /// Has core 1 act meanwhile.
    pub fn beside<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Self) -> T + Send + 'static,
    ) -> Beside<T> {
        self.on(1, act)
    }

    /// Has another core act meanwhile.
    pub fn on<T: Send + 'static>(
        &self,
        number: u16,
        act: impl FnOnce(&mut Self) -> T + Send + 'static,
    ) -> Beside<T> {
        let world = self.world.clone();
        core(move || {
            act(&mut Self {
                world,
                token: token(number),
            })
        })
    }

    /// Lets this core's time stand still, or go on: what rests on it rests until then.
    pub fn stop_time(&self, is_stopped: bool) {
        self.machine().stop_counter(self.token.id(), is_stopped);
    }

    /// Everything is as the oracle wants it. No other core acts any more.
    pub fn check(&mut self) {
        story::only_looks();
        oracle::check(self);
    }

    /// One call: x0 the function, x1–x6 `arguments`; x1–x17, or why not.
    pub fn call(
        &mut self,
        call: Call,
        arguments: [u64; ARGUMENT_REGISTERS],
    ) -> Result<[u64; RESULT_REGISTERS], Status> {
        let mut x = [0; 18];
        x[0] = call.function_id();
        x[1..=ARGUMENT_REGISTERS].copy_from_slice(&arguments);
        story::call(|| wording::call(call, &arguments));
        let act = self.machine().begin();
        self.hypercall(call, &mut x);
        self.machine().assert_published(self.token.id());
        let status = Status::from_raw(x[0] as i64).expect("x0 is a status");
        self.machine().end(act, status != Status::Success);
        story::call(|| wording::result(call, status, &x[1..]));
        match status {
            Status::Success => {
                let mut results = [0; RESULT_REGISTERS];
                results.copy_from_slice(&x[1..]);
                Ok(results)
            }
            refused => Err(refused),
        }
    }

    /// The engine does it, and it is recorded.
    fn hypercall(&mut self, call: Call, x: &mut [u64; 18]) {
        let (history, id) = (self.world.machine().history(), self.token.id());
        let mut before = [0; 1 + ARGUMENT_REGISTERS];
        before.copy_from_slice(&x[..=ARGUMENT_REGISTERS]);
        if call == Call::CpuRun {
            history.begin_run(id, &before);
            self.world.engine().hypercall(&mut self.token, 0, x);
            history.end_run(id, x);
        } else {
            let begun = history.begin();
            self.world.engine().hypercall(&mut self.token, 0, x);
            history.end_call(id, begun, &before, x);
        }
    }

    /// VM_CREATE of a VM for all vCPUs, at least one, with as much RAM as the host has.
    pub fn create_vm(&mut self) -> Result<VmHandle, Status> {
        let arguments = VmCreateArgs {
            shape: VmShape {
                vcpus: self.size().vcpus.max(1) as u16,
                ipa_bits: u16::from(PA_BITS),
                lendable: 0b1,
            }
            .raw(),
            gicr: GICR,
            ram0: World::ipa(0),
            ram0_size: self.size().pages << 12,
            ram1: 0,
            ram1_size: 0,
        };
        let results = self.call(Call::VmCreate, arguments.to_registers())?;
        let vm = VmHandle::from_raw(results[0]);
        let root = self.root_of(vm);
        self.machine().peek().know(vmid_of(vm), root);
        Ok(vm)
    }

    fn root_of(&self, vm: VmHandle) -> u64 {
        let slot = usize::from(vm.slot());
        self.engine().vms()[slot].plan().root.raw()
    }

    /// VM_MAP of one page.
    pub fn map(&mut self, vm: VmHandle, page: u64, at: u64) -> Result<(), Status> {
        self.map_run(vm, page, at, 1).map(drop)
    }

    /// VM_MAP of a run of pages: how many it did.
    pub fn map_run(&mut self, vm: VmHandle, page: u64, at: u64, n: u64) -> Result<u64, Status> {
        let attrs = MapAttrs::MASK;
        let arguments = VmMapArgs {
            vm,
            pa: World::page(page),
            ipa: World::ipa(at),
            n,
            attrs,
        };
        let results = self.call(Call::VmMap, arguments.to_registers())?;
        Ok(results[0])
    }

    /// VM_START.
    pub fn start(&mut self, vm: VmHandle) -> Result<(), Status> {
        self.call(Call::VmStart, [vm.raw(), 0, 0, 0, 0, 0])
            .map(drop)
    }

    /// VM_DESTROY.
    pub fn destroy(&mut self, vm: VmHandle) -> Result<(), Status> {
        self.condemn(vm).map(drop)
    }

    /// VM_DESTROY: how many cores were inside still.
    pub fn condemn(&mut self, vm: VmHandle) -> Result<u64, Status> {
        let results = self.call(Call::VmDestroy, [vm.raw(), 0, 0, 0, 0, 0])?;
        Ok(results[0])
    }

    /// VM_RECLAIM of at most `max` pages: how many came home, and whether the VM is gone.
    pub fn reclaim(&mut self, vm: VmHandle, max: u64) -> Result<(u64, bool), Status> {
        let arguments = VmReclaimArgs { vm, max };
        let results = self.call(Call::VmReclaim, arguments.to_registers())?;
        if results[1] == 0 {
            // I8; behind its last the slot may be another VM's.
            self.machine().peek().assert_left(vmid_of(vm));
        }
        Ok((results[0], results[1] != 0))
    }

    /// VM_RECLAIM until the VM is gone, with nobody else at it: how many pages came home.
    ///
    /// # Panics
    /// If it does not come to an end.
    pub fn reclaim_rest(&mut self, vm: VmHandle) -> u64 {
        let mut home = 0;
        for _ in 0..16 {
            match self.reclaim(vm, 64) {
                Ok((pages, true)) => return home + pages,
                Ok((pages, false)) => home += pages,
                Err(Status::BadHandle) => return home,
                Err(refused) => panic!("VM_RECLAIM: {refused:?}"),
            }
        }
        panic!("VM_RECLAIM does not end");
    }

    /// VM_LEND of one page, which both may reach from then on.
    pub fn lend(&mut self, vm: VmHandle, page: u64, at: u64) -> Result<(), Status> {
        self.allow_both(page);
        let arguments = VmLendArgs {
            vm,
            pa: World::page(page),
            ipa: World::ipa(at),
            n: 1,
            attrs: MapAttrs::MASK,
        };
        self.call(Call::VmLend, arguments.to_registers()).map(drop)
    }

    /// The host and a VM may both reach a page from now on.
    pub fn allow_both(&self, page: u64) {
        self.machine().peek().allow_both(RAM_BASE + page);
    }

    /// VM_UNLEND of one page.
    pub fn unlend(&mut self, vm: VmHandle, at: u64) -> Result<(), Status> {
        let arguments = VmUnlendArgs {
            vm,
            ipa: World::ipa(at),
            n: 1,
        };
        self.call(Call::VmUnlend, arguments.to_registers())
            .map(drop)
    }

    /// ENGINE_DONATE of one page.
    pub fn donate(&mut self, page: u64) -> Result<(), Status> {
        self.call(Call::EngineDonate, [World::page(page), 1, 0, 0, 0, 0])
            .map(drop)
    }

    /// A store to the `index`-th page. Did it land at once, or after its faults?
    pub fn store(&mut self, index: u64, value: u64) -> bool {
        matches!(self.access(index, Some(value)), Access::Done(_))
    }

    /// A load, or with a value a store, of the `index`-th page.
    pub fn access(&mut self, index: u64, store: Option<u64>) -> Access {
        self.access_at(World::page(index), store)
    }

    /// A store to a device, which is where no memory is.
    pub fn access_device(&mut self) -> Access {
        self.access_at(0, Some(1))
    }

    fn access_at(&mut self, address: u64, store: Option<u64>) -> Access {
        let act = self.machine().begin();
        let begun = self.machine().history().begin();
        let access = self.try_access(address, store);
        let how = match access {
            Access::Done(_) => "done",
            Access::Denied => "denied",
            Access::Tried => "tried",
        };
        let (history, id) = (self.machine().history(), self.token.id());
        history.end_access(id, begun, address >> 12, store.is_some(), how);
        self.machine().end(act, false);
        access
    }

    fn try_access(&mut self, address: u64, store: Option<u64>) -> Access {
        let esr = data_abort(store.is_some());
        let id = self.token.id();
        for again in [false, true] {
            // A load leaves everything as it is.
            let mut hardware = match store {
                Some(_) => self.machine().event(),
                None => self.machine().look(id),
            };
            let outcome = hardware.access(id.index(), address >> 12, store);
            drop(hardware);
            story::step(|| wording::access(address >> 12, store, &outcome.values));
            // Where it may find a page or fault, both happen, once.
            if !outcome.values.is_empty() && (again || !outcome.fault) {
                return Access::Done(outcome.values);
            }
            let mut frame = HostFrame(Frame::new(0, 0));
            self.trap(&mut frame, esr, address, address >> 12 << 4);
            self.machine().assert_published(id);
            if self.machine().take_denial(id) {
                return Access::Denied;
            }
        }
        Access::Tried
    }

    /// A synchronous exit of this core.
    pub(crate) fn trap(&mut self, frame: &mut HostFrame, esr: u64, far: u64, hpfar: u64) -> Next {
        let engine = self.world.engine();
        engine.host_trap(&mut self.token, frame, esr, far, hpfar)
    }

    /// A store of the guest to a page of its RAM, on this core that runs it for that long.
    pub fn guest_store(&mut self, vm: VmHandle, at: u64, value: u64) -> bool {
        let (root, id) = (self.root_of(vm), self.token.id());
        let act = self.machine().begin();
        let vttbr = u64::from(vmid_of(vm)) << 48 | root << 12;
        self.machine().enter(id, vttbr);
        let mut hardware = self.machine().event();
        let outcome = hardware.access(id.index(), RAM_BASE + at, Some(value));
        story::step(|| wording::access(RAM_BASE + at, Some(value), &outcome.values));
        drop(hardware);
        self.machine().leave_regime(id);
        self.machine().end(act, false);
        !outcome.values.is_empty()
    }
}

/// The VMID behind a handle.
fn vmid_of(vm: VmHandle) -> u16 {
    vm.slot() + 1
}
