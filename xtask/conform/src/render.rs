//! The engine's state as text, in the form that `oracle/dump.ml` gives the model's.
//!
//! Invariants: it says what is there, of every page, VM, vCPU and core, whatever was done before; what no
//! state of the specification can be is written so that it equals none.

use std::fmt::Write;

use engine::sim::portrait::{ContentSeen, Portrait, VcpuSeen, VmSeen};
use engine::sim::ram::Ram;
use engine::trap::psci::PowerState;
use engine::vcpu::slot::Pending;
use engine::vm::RamRange;
use engine::vm::life::Phase;
use ownership::{Owner, State};
use percpu::Residence;

/// Offset of the vector of a synchronous exception from the same level (Arm ARM D1.3.2).
const SAME_LEVEL: u64 = 0x200;

/// All of it.
pub fn render(seen: &Portrait, ram: &Ram) -> String {
    let mut text = String::with_capacity(4096);
    pages(&mut text, seen, ram.base());
    contents(&mut text, seen, ram);
    for (slot, vm) in seen.vms.iter().enumerate() {
        render_vm(&mut text, slot, vm);
    }
    for (slot, vcpu) in seen.vcpus.iter().enumerate() {
        render_vcpu(&mut text, slot, vcpu);
    }
    for power in &seen.cores {
        let letter = match power {
            PowerState::Absent => 'A',
            PowerState::Off => 'O',
            PowerState::OnPending => 'N',
            PowerState::On => 'I',
        };
        let _ = writeln!(text, "k {letter}");
    }
    let _ = match seen.doorbell {
        None => writeln!(text, "d -"),
        Some(sgi) => writeln!(text, "d {sgi}"),
    };
    text
}

/// How the host's map has each page: not, as it should, or otherwise.
pub fn host_mapped(seen: &Portrait, base: u64) -> Vec<u8> {
    let mut mapped = vec![b'0'; seen.pages.len()];
    for leaf in &seen.host {
        let is_whole = leaf.ipa_page == leaf.page && leaf.write && leaf.execute;
        for page in leaf.ipa_page.max(base)..leaf.ipa_page + leaf.pages {
            let Some(entry) = mapped.get_mut((page - base) as usize) else {
                break;
            };
            *entry = if is_whole { b'1' } else { b'!' };
        }
    }
    mapped
}

fn pages(text: &mut String, seen: &Portrait, base: u64) {
    let mapped = host_mapped(seen, base);
    let table_at = |offset: usize| seen.tables.get(&(base + offset as u64));
    let key = |offset: usize| (seen.pages[offset], mapped[offset], table_at(offset));
    let mut first = 0;
    for offset in 1..=seen.pages.len() {
        if offset < seen.pages.len() && key(offset) == key(first) {
            continue;
        }
        let _ = write!(text, "p {first} {} ", offset - first);
        let (state, mapped, table) = key(first);
        state_of(text, state, table.copied());
        let _ = writeln!(text, " {}", char::from(mapped));
        first = offset;
    }
}

fn state_of(text: &mut String, state: State, table: Option<Option<u16>>) {
    let _ = match (state, table) {
        (State::Owned(Owner::Engine), None) => write!(text, "E"),
        (State::Owned(Owner::Engine), Some(None)) => write!(text, "Eh"),
        (State::Owned(Owner::Engine), Some(Some(vm))) => write!(text, "Ev{vm}"),
        (_, Some(of)) => write!(text, "table of {of:?}, but {state:?}"),
        (State::Reserved, None) => write!(text, "R"),
        (State::HostFixed, None) => write!(text, "F"),
        (State::Owned(Owner::Host), None) => write!(text, "H"),
        (State::Owned(Owner::Vm(vm)), None) => write!(text, "V{}", vm.raw()),
        (
            State::Shared {
                owner: Owner::Host,
                borrower: Owner::Vm(vm),
                count,
            },
            None,
        ) => write!(text, "L{}x{count}", vm.raw()),
        (
            State::Shared {
                owner: Owner::Vm(vm),
                borrower: Owner::Host,
                ..
            },
            None,
        ) => write!(text, "S{}", vm.raw()),
        (State::Scrubbing { vm, .. }, None) => write!(text, "Z{}", vm.raw()),
        (State::Poisoned, None) => write!(text, "P"),
        (other, None) => write!(text, "{other:?}"),
    };
}

fn contents(text: &mut String, seen: &Portrait, ram: &Ram) {
    for (offset, state) in seen.pages.iter().enumerate() {
        let page = ram.base() + offset as u64;
        if *state == State::Owned(Owner::Engine) {
            continue;
        }
        for (word, value) in ram.nonzero(page) {
            let _ = writeln!(text, "c {offset} {word} {value:x}");
        }
    }
}

fn render_vm(text: &mut String, slot: usize, vm: &VmSeen) {
    let _ = write!(text, "v {slot} {} ", vm.generation);
    let letter = match vm.phase {
        Phase::Free => {
            let _ = writeln!(text, "-");
            return;
        }
        Phase::Building => "B",
        Phase::Sealing => "S",
        Phase::Running => "R",
        Phase::Dying | Phase::Flushing | Phase::Reclaiming => "D",
        Phase::Creating => "?",
    };
    let _ = write!(text, "{letter}");
    for RamRange {
        first,
        pages,
        is_lendable,
    } in vm.plan.ram
    {
        let _ = write!(text, " {first:x} {pages:x} {}", u8::from(is_lendable));
    }
    let _ = write!(text, " {:x} {} ", vm.plan.gicr, vm.plan.vcpu_limit);
    for vcpu in &vm.vcpus {
        let _ = write!(text, "{vcpu},");
    }
    let _ = write!(text, " ");
    let mut ready: Vec<u16> = vm
        .vcpus
        .iter()
        .enumerate()
        .filter_map(|(place, vcpu)| (vm.ready >> place & 1 != 0).then_some(*vcpu))
        .collect();
    ready.sort_unstable();
    for vcpu in ready {
        let _ = write!(text, "{vcpu},");
    }
    let _ = writeln!(text);
    let mut rest = vm.leaves.as_slice();
    while let [first, others @ ..] = rest {
        let mut run = *first;
        rest = others;
        while let [next, others @ ..] = rest {
            let follows =
                (next.ipa_page, next.page) == (run.ipa_page + run.pages, run.page + run.pages);
            if !follows || (next.write, next.execute) != (run.write, run.execute) {
                break;
            }
            run.pages += next.pages;
            rest = others;
        }
        let (write, execute) = (u8::from(run.write), u8::from(run.execute));
        let _ = writeln!(
            text,
            "l {slot} {:x} {:x} {} {write}{execute}",
            run.ipa_page, run.page, run.pages
        );
    }
}

fn render_vcpu(text: &mut String, slot: usize, vcpu: &VcpuSeen) {
    let _ = write!(text, "u {slot} {} ", vcpu.generation);
    let place = match vcpu.residence {
        Residence::Free => {
            let _ = writeln!(text, "-");
            return;
        }
        Residence::Off => "O".to_owned(),
        Residence::OnPending => "N".to_owned(),
        Residence::Parked => "P".to_owned(),
        Residence::Queued(cpu) => format!("Q{}", cpu.raw()),
        Residence::Running(cpu) => format!("R{}", cpu.raw()),
        Residence::Starting(_) | Residence::Held(_) => "?".to_owned(),
    };
    let _ = write!(text, "{place} {} {:x}", vcpu.vm, vcpu.mpidr);
    if let Some(content) = &vcpu.content {
        render_content(text, vcpu, content);
    }
    let _ = writeln!(text);
}

fn render_content(text: &mut String, vcpu: &VcpuSeen, content: &ContentSeen) {
    let _ = match content.pending {
        Pending::Nothing => write!(text, " -"),
        Pending::MmioRead { access, .. } => write!(
            text,
            " r{}.{}.{}{}",
            access.rt(),
            access.bytes(),
            u8::from(access.sign_extends()),
            u8::from(access.is_64bit())
        ),
        Pending::MmioWrite { .. } => write!(text, " W"),
        Pending::Call => write!(text, " A"),
        Pending::RamFault => write!(text, " F"),
        Pending::End => write!(text, " X"),
    };
    let is_quiet = vcpu.sgis == 0 && vcpu.spis.iter().all(|(_, edge, line, _)| !edge && !line);
    // Whether one that has an interrupt still waits is nobody's to see.
    let _ = match is_quiet {
        true => write!(text, " {} ", u8::from(content.waiting)),
        false => write!(text, " ? "),
    };
    let [vbar, elr, esr] = content.exception;
    let _ = if content.pc == vbar + SAME_LEVEL {
        let code = match esr >> 26 {
            0b10_0000 | 0b10_0001 | 0b10_0100 | 0b10_0101 => 1,
            0 => 2,
            _ => 0,
        };
        write!(text, "!{code}:{elr:x}")
    } else {
        write!(text, "{:x}", content.pc)
    };
    for x in content.x {
        let _ = write!(text, ",{x:x}");
    }
    for sgi in (0..16).filter(|sgi| vcpu.sgis >> sgi & 1 != 0) {
        let _ = write!(text, " i{sgi}:10:0");
    }
    for (spi, edge, line, priority) in &vcpu.spis {
        let _ = write!(
            text,
            " i{spi}:{}{}:{priority}",
            u8::from(*edge),
            u8::from(*line)
        );
    }
}
