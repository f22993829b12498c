//! Calls about memory and the life of VMs, with every class of arguments.

use abi::Call;
use engine::sim::machine::Machine;

use super::{DEVICE, Handles, Menu, PAGE, PAGES, SHAPE, Topic};
use crate::deed::Deed;
use crate::random::{GICR, RAM, RAM_2};

/// Physical addresses: every page that may be given away, and each kind of wrong one.
pub(super) fn addresses(machine: &Machine) -> (Vec<u64>, Vec<u64>) {
    let host = (0..PAGES).map(|index| machine.host_page(index)).collect();
    let base = machine.sim().ram.base() << 12;
    let end = base + (machine.config().ram_pages << 12);
    let wrong = vec![
        machine.host_page(0) + 8,
        // Reserved, the engine's, fixed, behind RAM, device, too large.
        base,
        base + 10 * PAGE,
        machine.host_page(0) - PAGE,
        end,
        DEVICE,
        1 << 52,
        u64::MAX - 0xfff,
    ];
    (host, wrong)
}

pub(super) const IPAS: [u64; 3] = [RAM, RAM + PAGE, RAM_2];
const WRONG_IPAS: [u64; 5] = [RAM + 8, RAM + 2 * PAGE, GICR, 1 << 40, u64::MAX - 0xfff];

pub(super) fn memory_calls(menu: &mut Menu, machine: &Machine, vms: &Handles) {
    let (host, wrong) = addresses(machine);
    for call in [Call::VmMap, Call::VmLend] {
        for vm in &vms.live {
            for pa in &host {
                for ipa in IPAS {
                    menu.call(Topic::Memory, call, &[*vm, *pa, ipa, 1, 7]);
                }
            }
            for pa in &host {
                menu.call(Topic::Memory, call, &[*vm, *pa, RAM, 2, 7]);
            }
        }
        let vm = vms.some();
        for pa in &wrong {
            menu.call(Topic::Telling, call, &[vm, *pa, RAM, 1, 7]);
        }
        for ipa in WRONG_IPAS {
            menu.call(Topic::Telling, call, &[vm, host[0], ipa, 1, 7]);
        }
        for n in [0, 3, 512, 513, 262_144, 262_145, u64::MAX] {
            menu.call(Topic::Telling, call, &[vm, host[0], RAM, n, 7]);
        }
        for attrs in [0, 2, 8, u64::MAX] {
            menu.call(Topic::Telling, call, &[vm, host[0], RAM, 1, attrs]);
        }
        for vm in &vms.dead {
            menu.call(Topic::Telling, call, &[*vm, host[0], RAM, 1, 7]);
        }
    }
    for vm in vms.all() {
        for ipa in IPAS.into_iter().chain(WRONG_IPAS) {
            menu.call(Topic::Memory, Call::VmUnlend, &[vm, ipa, 1]);
        }
        for n in [0, 2, 3, 513] {
            menu.call(Topic::Memory, Call::VmUnlend, &[vm, RAM, n]);
        }
        for list in [host[0], wrong[0], wrong[1], wrong[2]] {
            menu.call(Topic::Telling, Call::VmMapList, &[vm, list, 1]);
        }
    }
    // A list that names a page and an IPA, twice.
    if let [first, second, third] = host[..]
        && let Some(vm) = vms.live.first()
    {
        let store = |at: u64, value: u64| Deed::Store {
            cpu: 0,
            address: first + at,
            value,
        };
        for (page, ipa) in [
            (second, RAM | 7),
            (third, (RAM + PAGE) | 3),
            (second, RAM_2 | 1),
        ] {
            let entry = [
                store(0, page),
                store(8, ipa),
                store(16, page),
                store(24, ipa),
            ];
            for n in [1, 2] {
                let call = Deed::call(0, Call::VmMapList, &[*vm, first, n]);
                let deeds = entry.iter().cloned().chain([call]).collect();
                menu.add(Topic::Content, deeds);
            }
        }
    }
    for pa in &host {
        menu.call(Topic::Pool, Call::EngineDonate, &[*pa, 1]);
        menu.call(Topic::Errors, Call::PagePoison, &[*pa]);
    }
    menu.call(Topic::Pool, Call::EngineDonate, &[host[0], 3]);
    menu.call(Topic::Pool, Call::EngineDonate, &[host[0], 4]);
    for pa in &wrong {
        menu.call(Topic::Telling, Call::EngineDonate, &[*pa, 1]);
        menu.call(Topic::Telling, Call::PagePoison, &[*pa]);
    }
    for n in [0, 513, u64::MAX] {
        menu.call(Topic::Telling, Call::EngineDonate, &[host[0], n]);
    }
    for max in [1, 16] {
        menu.call(Topic::Pool, Call::EngineReclaim, &[max]);
    }
    for max in [0, 17, u64::MAX] {
        menu.call(Topic::Telling, Call::EngineReclaim, &[max]);
    }
}

pub(super) fn life_calls(menu: &mut Menu, vms: &Handles) {
    menu.call(Topic::Life, Call::VmCreate, &SHAPE);
    // Each part of the shape wrong.
    let wrong: [(usize, u64); 12] = [
        (0, 0),
        (0, 65 | 36 << 16),
        (0, 2 | 31 << 16),
        (0, 2 | 49 << 16),
        (0, 2 | 36 << 16 | 1 << 34),
        (1, GICR + PAGE),
        (1, RAM),
        (2, RAM + 8),
        (2, 1 << 36),
        (3, 0),
        (4, RAM + PAGE),
        (5, 8),
    ];
    for (place, value) in wrong {
        let mut shape = SHAPE;
        shape[place] = value;
        menu.call(Topic::Telling, Call::VmCreate, &shape);
    }
    for vm in vms.all() {
        menu.call(Topic::Life, Call::VmStart, &[vm]);
        menu.call(Topic::Life, Call::VmDestroy, &[vm]);
        menu.call(Topic::Life, Call::VmReclaim, &[vm, 512]);
        for max in [0, 513] {
            menu.call(Topic::Telling, Call::VmReclaim, &[vm, max]);
        }
    }
    for vm in &vms.live {
        menu.call(Topic::Life, Call::VmReclaim, &[*vm, 1]);
    }
}
