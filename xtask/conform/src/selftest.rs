//! Would a difference be seen? One of each kind is made, in a state that has something of every kind.
//!
//! Invariant: the same deeds without it conform.

use std::path::Path;
use std::sync::Arc;

use abi::{Call, smccc};
use anyhow::Result;

use crate::corrupt::{ALL, Corruption};
use crate::deed::{Act, Deed};
use crate::oracle::Oracle;
use crate::random::{GICR, RAM, RAM_2};
use crate::rig::Rig;
use crate::worlds::config;

/// A VM with pages of each kind, one vCPU that waits for an answer, one with interrupts.
fn deeds(rig: &Rig) -> Vec<Deed> {
    let host = |index| rig.machine.host_page(index);
    let (vm, first, second) = (1 << 16, 1 << 16, 1 << 16 | 1);
    let hvc = |function, ipa| Act::Hvc([function, ipa, 0, 0, 0, 0, 0]);
    let store = |address, value| Deed::Store {
        cpu: 0,
        address,
        value,
    };
    let call = |call, arguments: &[u64]| Deed::call(0, call, arguments);
    vec![
        call(Call::EngineDoorbell, &[4]),
        store(host(0) + 56, 0x1234),
        store(host(2), 0x55),
        call(
            Call::VmCreate,
            &[2 | 36 << 16 | 1 << 32, GICR, RAM, 8192, RAM_2, 4096],
        ),
        call(Call::VmMap, &[vm, host(0), RAM, 1, 7]),
        call(Call::VmLend, &[vm, host(1), RAM + 4096, 1, 3]),
        call(Call::VcpuCreate, &[vm, 0, RAM, 5]),
        call(Call::VcpuCreate, &[vm, 1, RAM, 6]),
        call(Call::VmStart, &[vm]),
        call(Call::VcpuEnqueue, &[first, 0]),
        Deed::Script {
            vm: 0,
            affinity: 0,
            acts: vec![
                hvc(smccc::KVM_MEM_SHARE, RAM),
                Act::Store(RAM + 4096, 7),
                Act::Hvc([abi::psci::CPU_ON_64, 1, RAM, 9, 0, 0, 0]),
                Act::Load(0x0900_0000),
            ],
        },
        call(Call::CpuRun, &[5_000]),
        call(Call::CpuRun, &[5_000]),
        call(Call::VcpuEnqueue, &[second, 1]),
        call(Call::VcpuInject, &[second, 40, 0, 0xa0]),
        call(Call::VcpuInject, &[first, 41, 1, 0x80]),
    ]
}

/// What is done while something is seen otherwise.
fn last(rig: &Rig, corruption: Corruption) -> Deed {
    match corruption {
        Corruption::Loaded => Deed::Load {
            cpu: 1,
            address: rig.machine.host_page(2),
        },
        _ => Deed::call(1, Call::EngineInfo, &[0]),
    }
}

/// Whether a difference of this kind is seen; none: whether there is none to see.
fn differs(program: &Path, corruption: Option<Corruption>) -> Result<bool> {
    let rig = Rig::new(config(), Oracle::start(program)?, &Arc::default());
    for deed in deeds(&rig) {
        rig.deed(&deed);
    }
    let before = rig.verdict()?;
    if let Some(before) = &before {
        println!("{before}");
    }
    if let Some(corruption) = corruption {
        rig.corrupt(corruption);
        rig.deed(&last(&rig, corruption));
    }
    let after = rig.verdict()?;
    let _ = rig.into_oracle();
    Ok(if corruption.is_some() {
        before.is_none() && after.is_some()
    } else {
        before.is_some() || after.is_some()
    })
}

/// How many kinds are seen, of how many, and those that are not.
pub fn run(program: &Path) -> Result<(usize, Vec<&'static str>)> {
    let mut unseen = Vec::new();
    if differs(program, None)? {
        unseen.push("nothing is seen otherwise");
    }
    for (name, corruption) in ALL {
        if !differs(program, Some(*corruption))? {
            unseen.push(*name);
        }
    }
    Ok((ALL.len(), unseen))
}
