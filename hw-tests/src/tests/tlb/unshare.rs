//! A guest takes back what it shared: the host's cores, all at work on it, lose it, and never see what the guest
//! writes there afterwards, up to the page's way home.
//!
//! Scenario 6: both sides' states. Scenario 12: valid to invalid without TLBI.

use super::hammer::{Words, flushes, take_by, tell_flushes};
use crate::{
    guest::DATA,
    outcome::{OrFail, TestResult, check, check_eq},
    puppet,
    random::Random,
    runner::register,
    team,
    vm::{TestVm, destroy, take_patterned},
};
use abi::{limit, smccc};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use el1::{PAGE, cpu, probe};

register!("tlb::unshare": page, page_of_a_block, then_reclaim);

/// What the guest writes when the page is its own again.
const SECRET: u64 = 0x5ec2_e7aa_bbcc_ddee;
/// The page of a block that is shared.
const INNER: u64 = 77;

/// A VM that shares the page `inner` of the `count` that it has; where that lies.
fn share(count: u64, inner: u64) -> TestResult<(TestVm, u64)> {
    let mut vm = puppet::start(1)?;
    let pa = take_patterned(count, count * PAGE)?;
    vm.donate(pa, DATA, count)?;
    guest_call(&vm, smccc::KVM_MEM_SHARE, DATA + inner * PAGE)?;
    Ok((vm, pa + inner * PAGE))
}

fn guest_call(vm: &TestVm, function: u64, ipa: u64) -> TestResult {
    let reply = puppet::hvc(vm.vcpus[0], [function, ipa, 0, 0])?;
    check_eq!(reply.x[0], 0, "the guest's call {function:#x}");
    Ok(())
}

/// MEM_UNSHARE while every core of the host loads and stores.
fn unshare(what: &str, count: u64, inner: u64) -> TestResult {
    let (vm, page) = share(count, inner)?;
    let before = flushes();
    let vm = Arc::new(vm);
    let guest = vm.clone();
    let worker = move |core| {
        let mut words = Words::new(core, Arc::from([page]));
        move |index| words.access(index)
    };
    take_by(1, worker, move || {
        guest_call(&guest, smccc::KVM_MEM_UNSHARE, DATA + inner * PAGE)
    })?;
    tell_flushes(what, before)?;
    Arc::into_inner(vm).or_fail("the VM alone")?.destroy()
}

fn page(_: &mut Random) -> TestResult {
    unshare("page", 1, 0)
}

fn page_of_a_block(_: &mut Random) -> TestResult {
    unshare("page_of_a_block", limit::RUN_PAGES as u64, INNER)
}

/// Where all cores stand.
#[derive(Default)]
struct Stand {
    ready: AtomicUsize,
    is_home: AtomicBool,
    has_failed: AtomicBool,
}

/// A core that looks at the page until it is home: what it may see is what was shared, nothing, and zero, in
/// this order.
fn look(stand: &Stand, page: u64) -> TestResult {
    let mut last = 0;
    let mut is_ready = false;
    // Acquire: pairs with the Release in `then_reclaim`.
    while !stand.has_failed.load(Ordering::Acquire) {
        // Acquire: as above; what is loaded after this is loaded from a page that is home.
        let is_home = stand.is_home.load(Ordering::Acquire);
        let stage = match probe::load(page) {
            Ok(crate::vm::PATTERN) => 0,
            Err(_) => 1,
            Ok(0) => 2,
            Ok(other) => {
                check!(false, "the host reads {other:#x}");
                0
            }
        };
        check!(stage >= last, "stage {stage} after {last}");
        check!(
            !is_home || stage == 2,
            "stage {stage} of a page that is home"
        );
        if is_home {
            return Ok(());
        }
        if !is_ready {
            is_ready = true;
            // Release: pairs with the Acquire in `then_reclaim`; the translation is warm.
            stand.ready.fetch_add(1, Ordering::Release);
        }
        last = stage;
    }
    Ok(())
}

/// MEM_UNSHARE, a secret, VM_DESTROY and VM_RECLAIM while every core of the host looks.
fn then_reclaim(_: &mut Random) -> TestResult {
    let (mut vm, page) = share(1, 0)?;
    let (stand, handle, vcpu) = (Arc::new(Stand::default()), vm.handle, vm.vcpus[0]);
    let others = cpu::all().len() - 1;
    team::everywhere(move |core| {
        let result = if core > 0 {
            look(&stand, page)
        } else {
            // Acquire: pairs with the Release in `look`.
            let all = || stand.ready.load(Ordering::Acquire) == others;
            let secret = || {
                check!(team::wait_for(all), "the others do not look");
                puppet::hvc(vcpu, [smccc::KVM_MEM_UNSHARE, DATA, 0, 0])?;
                puppet::store_value(vcpu, DATA, SECRET)?;
                destroy(handle)
            };
            secret().map(|_| {
                // Release: pairs with the Acquire in `look`.
                stand.is_home.store(true, Ordering::Release);
            })
        };
        if result.is_err() {
            // Release: pairs with the Acquire in `look`.
            stand.has_failed.store(true, Ordering::Release);
        }
        result
    })?;
    vm.note_gone();
    vm.destroy()
}
