//! A guest with its MMU on, whose stage-1 tables name what is not its own: its translations end in its own IPA
//! space, whatever it writes there.

use super::{
    beside::beside_a_guest,
    stage::{Stage, attacks},
};
use crate::{
    code::{GuestCode, ISB, Sysreg, movk},
    guest::{
        CALL, CALL_NEXT, DATA, Gadget, LOAD, MMIO, PAGING, RAM, RAM_SIZE, STORE, WINDOW,
        WINDOW_SIZE,
    },
    outcome::{OrFail, Stop, TestResult, check, check_eq, refused},
    puppet::{self, Reply},
    refusal::engine_page,
    vm::{PATTERN, TestVm, insist, run, take_patterned},
};
use abi::{ExitReason, Outcome, Status, smccc};
use el1::{PAGE, call, machine};

attacks! {
    "translations":
    Guest maps_others_memory [] "rewrites its own stage-1 tables, MMU on, to name a victim's, the engine's and the host's physical addresses, and loads" => "an MMIO or RAM exit for an address of its own, or external abort; never the content";
    Guest stores_to_others_memory [] "stores through such entries" => "an MMIO exit with its own data, or external abort; the victim's memory is as it was";
    Guest walks_through_others_memory [] "names a victim's and the engine's pages as next-level tables" => "external abort on the walk, or a RAM exit that tells the page alone";
    Guest leaves_its_address_space [8] "maps outputs past the widest address, and the last page of all" => "address size fault or external abort";
    Guest fetches_from_a_device [] "jumps to MMIO" => "external abort on the fetch, no exit";
    Guest accesses_without_a_syndrome [] "LDP and LDXR of MMIO, which the host could not emulate" => "external abort, no exit";
    Guest same_addresses_as_the_victim [2] "stores to every IPA that the victim uses" => "its own pages change, the victim's do not";
    Guest tlbi_storm [32] "broadcasts TLB invalidations without end on another core" => "the victim goes on";
    Guest gives_back_twice [6] "MEM_RELINQUISH of a page that it shares, and twice of one page" => "INVALID_PARAMETER; done without an exit";
}

/// Level-1 block: accessed, inner shareable, attribute 0, EL1 read-write-execute.
const BLOCK: u64 = 0x701;
/// Table at the next level.
const TABLE: u64 = 0b11;
const GIB: u64 = 1 << 30;
/// The entry that the attacker rewrites, and where it leads from.
const SLOT: u64 = 2;
const SLOT_VA: u64 = SLOT * GIB;
const TLBI_VMALLE1: Sysreg = Sysreg(1, 0, 8, 7, 0);
const TCR_EL1: Sysreg = Sysreg(3, 0, 2, 0, 2);
/// TCR_EL1.IPS, bits 34:32, with nothing else in bits 47:32.
const TCR_IPS_48_BITS: u16 = 0b101;
const DSB_ISH: u32 = 0xd503_3b9f;

/// A guest with its MMU on: its own GiB one to one, the table in its own memory.
struct Attacker {
    vm: TestVm,
    code: GuestCode,
}

impl Attacker {
    fn start() -> TestResult<Self> {
        let mut vm = puppet::start(1)?;
        vm.put_gadgets()?;
        let code = GuestCode::lend(&mut vm)?;
        let table = take_patterned(1, PAGE)?;
        crate::vm::fill(table, 1, 0);
        vm.donate(table, DATA, 1)?;
        puppet::store_value(vm.vcpus[0], DATA + 8, GIB | BLOCK)?;
        let reply = puppet::step(vm.vcpus[0], [PAGING, DATA, 0, 0])?;
        check_eq!((reply.esr, reply.exits.len()), (0, 0), "MMU on");
        Ok(Self { vm, code })
    }

    /// Rewrites the entry and forgets what came of the old one.
    fn point_at(&self, entry: u64) -> TestResult {
        puppet::store_value(self.vm.vcpus[0], DATA + 8 * SLOT, entry)?;
        let words = [DSB_ISH, TLBI_VMALLE1.msr(31), DSB_ISH, ISB];
        let reply = self.code.run(&self.vm, &words, 0, 0)?;
        check_eq!(reply.esr, 0, "its own TLBI");
        Ok(())
    }

    /// A step that must not reach memory of others: what its exit was, and how the step ended. A device access is
    /// answered with an abort; a missing page of its own RAM with one of its own.
    fn try_step(&mut self, step: [u64; 4], ipa: u64) -> TestResult<Reply> {
        let vcpu = self.vm.vcpus[0];
        puppet::give(vcpu, step)?;
        let exit = run()?;
        check_eq!(exit.vcpu, vcpu, "whose exit");
        match exit.reason {
            Some(ExitReason::Call) => {
                let [function, x @ .., esr, far] = exit.details;
                check_eq!(function, CALL_NEXT, "call");
                check!(esr != 0, "step {step:x?} to {ipa:#x} is done: {x:x?}");
                return Ok(Reply {
                    x,
                    esr,
                    far,
                    exits: alloc::vec![],
                });
            }
            Some(ExitReason::MmioRead | ExitReason::MmioWrite) => {
                check_eq!(exit.details[0], ipa, "IPA of the exit");
                insist(|| call::vcpu_respond(vcpu, [0; 4], Outcome::Abort))
                    .or_fail("VCPU_RESPOND")?;
                let reply = puppet::collect(vcpu)?;
                check!(
                    reply.is_external_abort(),
                    "answered with an abort: {reply:x?}"
                );
                Ok(reply)
            }
            Some(ExitReason::RamFault) => {
                let page_ipa = ipa & !(PAGE - 1);
                check_eq!(
                    exit.details,
                    [page_ipa, 0, 0, 0, 0, 0, 0],
                    "details of the RAM fault"
                );
                let page = take_patterned(1, PAGE)?;
                self.vm.donate(page, page_ipa, 1)?;
                let reply = puppet::collect(vcpu)?;
                let own = [PATTERN, step[2], 0].contains(&reply.x[0]);
                check!(
                    reply.esr != 0 || step[0] != LOAD || own,
                    "content of its own page: {reply:x?}"
                );
                Ok(reply)
            }
            reason => Err(Stop::Fail(alloc::format!("exit {reason:?}"))),
        }
    }

    /// Physical addresses of others, but those that are by chance an IPA of a page that it has.
    fn targets(&self, stage: &Stage<'_>) -> TestResult<alloc::vec::Vec<u64>> {
        let mut targets = alloc::vec![
            stage.victim.pa() + 0x40,
            engine_page()? + 0x40,
            machine().image.start + 0x40,
            machine().uart,
            machine().distributor.start,
        ];
        use crate::guest::{CODE, GADGETS, GICR};
        // 1 MiB from each of these on: its pages, and its redistributor.
        let own = [CODE, GADGETS, DATA, WINDOW, GICR];
        targets.retain(|ipa| {
            !own.iter()
                .any(|start| (*start..*start + (1 << 20)).contains(ipa))
        });
        check!(!targets.is_empty(), "nothing to try");
        Ok(targets)
    }
}

fn through_slot(ipa: u64) -> (u64, u64) {
    (ipa & !(GIB - 1) | BLOCK, SLOT_VA | ipa & (GIB - 1))
}

fn maps_others_memory(stage: &mut Stage<'_>) -> TestResult {
    let mut attacker = Attacker::start()?;
    for ipa in attacker.targets(stage)? {
        let (entry, va) = through_slot(ipa);
        attacker.point_at(entry)?;
        let reply = attacker.try_step([LOAD, va, 0, 0], ipa)?;
        check!(reply.esr == 0 || reply.far == va, "FAR_EL1 {reply:x?}");
    }
    stage.victim.check_unharmed()?;
    attacker.vm.destroy()
}

fn stores_to_others_memory(stage: &mut Stage<'_>) -> TestResult {
    let mut attacker = Attacker::start()?;
    for ipa in attacker.targets(stage)? {
        let (entry, va) = through_slot(ipa);
        attacker.point_at(entry)?;
        attacker.try_step([STORE, va, 0x0bad, 0], ipa)?;
    }
    stage.victim.check_unharmed()?;
    attacker.vm.destroy()
}

fn walks_through_others_memory(stage: &mut Stage<'_>) -> TestResult {
    let mut attacker = Attacker::start()?;
    for ipa in attacker.targets(stage)? {
        attacker.point_at(ipa & !(PAGE - 1) | TABLE)?;
        // The walk reads the first entry of the table that is not its own.
        let reply = attacker.try_step([LOAD, SLOT_VA, 0, 0], ipa & !(PAGE - 1))?;
        // In its own RAM the walk gets a page to read, and nothing there.
        let is_own =
            (RAM..RAM + RAM_SIZE).contains(&ipa) || (WINDOW..WINDOW + WINDOW_SIZE).contains(&ipa);
        let is_external = reply.esr & 0b11_1100 == 0b01_0100;
        check!(
            reply.esr != 0 && (is_own || is_external),
            "a walk through {ipa:#x} came to an end: {reply:x?}"
        );
    }
    stage.victim.check_unharmed()?;
    attacker.vm.destroy()
}

fn leaves_its_address_space(_: &mut Stage<'_>) -> TestResult {
    let mut attacker = Attacker::start()?;
    // First as far as its own TCR_EL1 lets it, then past that: what stage 1 lets through, stage 2 has to stop.
    for _ in 0..2 {
        for ipa in [1 << 40, 1 << 43, 1 << 46, 1 << 47, (1 << 48) - GIB] {
            let (entry, va) = through_slot(ipa);
            attacker.point_at(entry)?;
            let reply = attacker.try_step([LOAD, va, 0, 0], ipa)?;
            check!(reply.esr != 0, "a load at {ipa:#x} is done: {reply:x?}");
        }
        let words = [
            TCR_EL1.mrs(0),
            movk(0, TCR_IPS_48_BITS, 2),
            TCR_EL1.msr(0),
            ISB,
        ];
        let reply = attacker.code.run(&attacker.vm, &words, 0, 0)?;
        check_eq!(reply.esr, 0, "its own TCR_EL1");
    }
    attacker.vm.destroy()
}

fn fetches_from_a_device(_: &mut Stage<'_>) -> TestResult {
    let vm = puppet::start(1)?;
    let reply = puppet::step(vm.vcpus[0], [CALL, MMIO, 0, 0])?;
    check_eq!(
        (reply.esr >> 26, reply.esr & 0x3f),
        (0x21, 0x10),
        "class and status"
    );
    check_eq!(
        (reply.far, reply.exits.len()),
        (MMIO, 0),
        "FAR_EL1 and exits"
    );
    vm.destroy()
}

fn accesses_without_a_syndrome(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    vm.put_gadgets()?;
    for gadget in [Gadget::LoadPair, Gadget::LoadExclusive] {
        let reply = puppet::gadget(vm.vcpus[0], gadget, MMIO, 0)?;
        check!(reply.is_external_abort(), "{gadget:?}: {reply:x?}");
        check_eq!(
            (reply.far, reply.exits.len()),
            (MMIO, 0),
            "FAR_EL1 and exits"
        );
    }
    vm.destroy()
}

fn same_addresses_as_the_victim(stage: &mut Stage<'_>) -> TestResult {
    let pages = super::stage::VICTIM_PAGES;
    let mut vm = puppet::start(1)?;
    let pa = take_patterned(pages, PAGE)?;
    vm.donate(pa, DATA, pages)?;
    for page in 0..pages {
        for offset in [0, 0x800, PAGE - 8] {
            puppet::store_value(vm.vcpus[0], DATA + page * PAGE + offset, !0)?;
        }
    }
    stage.victim.check_unharmed()?;
    check_eq!(puppet::load_value(vm.vcpus[0], DATA)?, !0, "its own store");
    vm.destroy()
}

fn tlbi_storm(stage: &mut Stage<'_>) -> TestResult {
    let pulse = stage.victim.pulse();
    let step = [CALL, Gadget::FloodTlbi.ipa(), WINDOW, 0];
    beside_a_guest(step, move |_| pulse())?;
    stage.victim.check_unharmed()
}

fn gives_back_twice(_: &mut Stage<'_>) -> TestResult {
    let mut vm = puppet::start(1)?;
    let vcpu = vm.vcpus[0];
    let pa = take_patterned(1, PAGE)?;
    vm.donate(pa, DATA, 1)?;
    let ask = |function| puppet::hvc(vcpu, [function, DATA, 0, 0]);
    check_eq!(
        ask(smccc::KVM_MEM_SHARE)?.status(),
        smccc::SUCCESS,
        "MEM_SHARE"
    );
    let shared = ask(smccc::KVM_MEM_RELINQUISH)?;
    check_eq!(
        (shared.status(), shared.exits.len()),
        (smccc::INVALID_PARAMETER, 0),
        "of a shared page"
    );
    check_eq!(
        ask(smccc::KVM_MEM_SHARE)?.status(),
        smccc::INVALID_PARAMETER,
        "MEM_SHARE twice"
    );
    check_eq!(
        ask(smccc::KVM_MEM_UNSHARE)?.status(),
        smccc::SUCCESS,
        "MEM_UNSHARE"
    );
    check_eq!(
        ask(smccc::KVM_MEM_UNSHARE)?.status(),
        smccc::INVALID_PARAMETER,
        "MEM_UNSHARE twice"
    );
    check_eq!(
        ask(smccc::KVM_MEM_RELINQUISH)?.exits.len(),
        1,
        "exits of MEM_RELINQUISH"
    );
    let again = ask(smccc::KVM_MEM_RELINQUISH)?;
    check_eq!(
        (again.status(), again.exits.len()),
        (smccc::SUCCESS, 0),
        "MEM_RELINQUISH twice"
    );
    vm.give_back(pa);
    let unlent = insist(|| call::vm_unlend(vm.handle, DATA, 1));
    refused("VM_UNLEND of what is gone", unlent, Status::NotMapped)?;
    vm.destroy()
}
