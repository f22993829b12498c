//! Traps: a guest and the host raise exceptions to EL2 with any syndrome and any registers.
//!
//! Each byte of an input is a choice (`syndrome`, `value`). The registers of who traps are secrets that say where they
//! come from; what comes back, to the guest, to the host, to a sibling's interrupts, must be what the syndrome says and
//! nothing else (`guest`, `host`). At the end the simulated machine's invariants are walked.

mod guest;
mod host;
mod syndrome;
mod value;

use abi::{Call, ExitReason, Outcome, Status, VmShape, psci, smccc};
use engine::host::Next;
use engine::sim::machine::vmid_of;
use engine::sim::{AfterTrap, AnyTrap, Config, GuestOp, Machine, Reply, Seen, check};
use engine::vcpu::context::Frame;

use crate::bytes::Bytes;
use guest::Answer;
use syndrome::{Said, class, syndrome};
use value::{GICR, RAM, RAM_SIZE, secret};

/// Traps of one input.
const MOST: u64 = 24;
/// vCPUs of the VM: of affinities 0, which runs, and 1, which does not.
const VCPUS: u16 = 2;
/// PSTATE when it traps: EL1h, EL0, EL1t, AArch32's EL0; with BTYPE and SS.
const PSTATES: [u64; 6] = [
    0x3c5,
    0x3c0,
    0x3c4,
    0x1d0,
    0x3c5 | 3 << 10 | 1 << 21,
    0x8000_0005,
];

const FUNCTIONS: [u64; 28] = [
    psci::VERSION,
    psci::FEATURES,
    psci::CPU_ON_64,
    psci::CPU_ON,
    psci::AFFINITY_INFO_64,
    psci::MIGRATE_INFO_TYPE,
    smccc::VERSION,
    smccc::ARCH_FEATURES,
    smccc::ARCH_WORKAROUND_1,
    smccc::ARCH_WORKAROUND_3,
    smccc::ARCH_SOC_ID,
    smccc::TRNG_VERSION,
    smccc::TRNG_RND_64,
    smccc::VENDOR_HYP_CALL_UID,
    smccc::KVM_FEATURES,
    smccc::KVM_HYP_MEMINFO,
    smccc::KVM_MEM_SHARE,
    smccc::KVM_MEM_UNSHARE,
    smccc::KVM_MEM_RELINQUISH,
    0xc600_0090,
    0x8600_0200,
    0xc600_0100,
    0x8600_fefe,
    0x8600_ff00,
    0x8400_0012,
    0xc400_0068,
    0xffff_ffff_c600_0090,
    0x0600_0090,
];

/// A machine with a VM whose first vCPU is on core 0's queue.
struct Rig {
    machine: Machine,
    vm: u64,
    vcpu: u64,
    /// It cannot go on.
    is_over: bool,
}

/// Plays an input.
///
/// # Panics
/// If something that must hold does not.
pub fn play(input: &[u8]) {
    let mut bytes = Bytes::new(input);
    let mut rig = Rig::new();
    let mut host_parked = false;
    for step in 0..MOST {
        if bytes.is_empty() || rig.is_over && host_parked {
            break;
        }
        let who = bytes.byte();
        if who & 3 == 3 {
            host_parked = host_parked || rig.host_step(&mut bytes, step) != Next::Resume;
        } else if !rig.is_over {
            rig.guest_step(&mut bytes, step, who);
        }
    }
    check::assert_all(&rig.machine, &|| "all traps".into());
}

impl Rig {
    fn new() -> Self {
        let machine = Machine::new(Config {
            cpus: 2,
            ram_pages: 640,
            pool_pages: 56,
            vms: 1,
            vcpus: 2,
            ..Config::default()
        });
        let shape = VmShape {
            vcpus: VCPUS,
            ipa_bits: 36,
            lendable: 0b11,
        };
        let call = |call, arguments: &[u64]| machine.call_unchecked(0, call, arguments).ok();
        let vm = call(Call::VmCreate, &[shape.raw(), GICR, RAM, RAM_SIZE, 0, 0]);
        machine.sim().drop_scripts(vmid_of(vm));
        let vcpu = call(Call::VcpuCreate, &[vm, 0, RAM, 0]);
        call(Call::VcpuCreate, &[vm, 1, RAM, 0]);
        call(Call::VmMap, &[vm, machine.host_page(0), RAM, 2, 7]);
        call(Call::VmMap, &[vm, machine.host_page(8), RAM + 0x4000, 1, 1]);
        call(Call::VmStart, &[vm]);
        call(Call::VcpuEnqueue, &[vcpu, 0]);
        Self {
            machine,
            vm,
            vcpu,
            is_over: false,
        }
    }

    /// CPU_RUN on core 0: why it ended, and its details.
    fn run(&self) -> (ExitReason, [u64; 7]) {
        let reply = self.machine.call_unchecked(0, Call::CpuRun, &[200]);
        let reason = ExitReason::from_raw(reply.ok()).expect("a reason");
        let mut details = [0; 7];
        details.copy_from_slice(&reply.x[2..9]);
        assert_eq!(reply.x[9..], [0; 8], "results that CPU_RUN has not");
        (reason, details)
    }

    fn respond(&self, values: [u64; 4], outcome: Outcome) -> Reply {
        let [x0, x1, x2, x3] = values;
        let arguments = [self.vcpu, x0, x1, x2, x3, outcome.raw()];
        self.machine
            .call_unchecked(0, Call::VcpuRespond, &arguments)
    }

    /// What the guest saw of its trap, if it has gone on.
    fn after(&self) -> Option<(u64, AfterTrap)> {
        let log = self.machine.log(self.vm, 0);
        log.into_iter().find_map(|seen| match seen {
            Seen::Trapped(at, after) => Some((at, *after)),
            _ => None,
        })
    }

    fn sgis(&self) -> u32 {
        let sibling = &self.machine.engine().vcpus()[1];
        sibling.interrupts.private.pending() & 0xffff
    }

    fn enabled(&self, index: usize) -> u32 {
        self.machine.engine().vcpus()[index]
            .interrupts
            .private
            .enabled()
    }

    fn guest_step(&mut self, bytes: &mut Bytes, step: u64, who: u8) {
        let trap = any_trap(
            bytes,
            secret(step, 0),
            PSTATES[usize::from(who >> 2) % PSTATES.len()],
        );
        let (sgis, enabled) = (self.sgis(), [0, 1].map(|index| self.enabled(index)));
        self.machine
            .script(self.vm, 0, [GuestOp::Trap(Box::new(trap))]);
        let (reason, details) = self.run();
        guest::check_exit(&trap, reason, details, VCPUS.into());
        let is_data = Said::of(trap.esr).class == class::DATA;
        for index in [0, 1] {
            let (least, most) = guest::enabled_after(&trap, enabled[index], index as u64);
            let now = self.enabled(index);
            assert_eq!(now & least, least, "vCPU {index}: less is enabled");
            assert_eq!(now & !most, 0, "vCPU {index}: more is enabled");
        }
        // Its frames say what is pending, too.
        if !is_data {
            let (least, most) = guest::sgis_after(&trap, sgis, 1);
            let now = self.sgis();
            let is_right = now & least == least && now & !most == 0;
            assert!(
                is_right,
                "the sibling's SGIs: {now:#x}, not from {least:#x} to {most:#x}"
            );
        }
        let answer = self.answer(bytes, reason);
        if self.is_over {
            return;
        }
        let seen = match (self.after(), answer) {
            (None, _) => {
                self.run();
                self.after()
            }
            (seen, _) => seen,
        };
        let Some((at, after)) = seen else {
            // It waits, or is off.
            self.is_over = true;
            return;
        };
        guest::check_after(&trap, at, &after, answer, VCPUS.into());
    }

    /// The host answers an exit, or need not.
    fn answer(&mut self, bytes: &mut Bytes, reason: ExitReason) -> Answer {
        let choice = match reason {
            ExitReason::MmioRead | ExitReason::MmioWrite | ExitReason::Call => bytes.byte(),
            ExitReason::Fault
            | ExitReason::VcpuOff
            | ExitReason::SystemOff
            | ExitReason::SystemReset => {
                self.is_over = true;
                let refused = self.respond([1, 2, 3, 4], Outcome::Complete).status;
                assert_ne!(refused, Status::Success, "an answer to what has ended");
                return Answer::None;
            }
            _ => {
                let refused = self.respond([1, 2, 3, 4], Outcome::Complete).status;
                assert_ne!(refused, Status::Success, "an answer that nobody waits for");
                return Answer::None;
            }
        };
        let values = [0x8182_8384_8586_8788, u64::MAX, u64::from(choice), 1 << 63];
        let values = match choice >> 1 & 3 {
            0 => values,
            1 => [u64::from(choice), 0, 0, 0],
            2 => [u64::MAX << 31, 1, 2, 3],
            _ => [bytes.long(), 5, 6, 7],
        };
        match (reason, choice & 1) {
            (ExitReason::MmioWrite, 0) => Answer::None,
            (ExitReason::Call, 1) => {
                let refused = self.respond(values, Outcome::Abort).status;
                assert_ne!(refused, Status::Success, "a call that was aborted");
                self.respond(values, Outcome::Complete).ok();
                Answer::Values(values)
            }
            (_, 1) => {
                self.respond(values, Outcome::Abort).ok();
                Answer::Abort
            }
            _ => {
                self.respond(values, Outcome::Complete).ok();
                Answer::Values(values)
            }
        }
    }

    fn host_step(&self, bytes: &mut Bytes, step: u64) -> Next {
        let trap = any_trap(bytes, secret(step | 0x80, 0), PSTATES[0]);
        let mut before = Frame::new(0x5000_0000, 0);
        before.x = trap.x;
        let registers = [trap.esr, trap.far, trap.hpfar];
        let (after, next, taken) = self.machine.host_trap(1, before, registers);
        host::check(&before, registers, &after, next, taken);
        next
    }
}

/// A trap of the input's, with all registers secrets but those that it is about.
fn any_trap(bytes: &mut Bytes, secret: u64, pstate: u64) -> AnyTrap {
    let esr = syndrome(bytes);
    let said = Said::of(esr);
    let mut x = std::array::from_fn(|index| secret | (index as u64) << 8);
    let mut address = 0;
    match said.class {
        class::HVC | class::SMC => {
            x[0] = match bytes.byte() {
                255 => bytes.word().into(),
                choice => FUNCTIONS[usize::from(choice) % FUNCTIONS.len()],
            };
            // The pages that are there, the sibling, nothing.
            let arguments = [
                0,
                1,
                2,
                RAM,
                RAM + 0x1000,
                RAM + 0x4000,
                RAM + 0x8000,
                secret,
            ];
            for index in [1, 2, 3] {
                x[index] = match bytes.byte() {
                    choice @ 0..=127 => arguments[usize::from(choice) % arguments.len()],
                    choice @ 128..=159 => RAM + u64::from(choice) * 8,
                    choice @ 160..=191 => FUNCTIONS[usize::from(choice) % FUNCTIONS.len()],
                    _ => 0,
                };
            }
        }
        class::SYSREG => {
            if said.is_write() && said.register() < 31 {
                x[said.register()] = value::written(bytes, secret);
            }
        }
        class::DATA => {
            address = value::address(bytes);
            if said.is_write() && said.register() < 31 {
                x[said.register()] = value::written(bytes, secret);
            }
        }
        _ => address = value::address(bytes),
    }
    // FAR is a virtual address: only its offset is the IPA's.
    let far = 0xffff_0000_0000_0000 | address;
    AnyTrap {
        x,
        pstate,
        esr,
        far,
        hpfar: address >> 12 << 4,
    }
}
