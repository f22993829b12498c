//! A guest: its VM, its memory, its devices and what it reported.
//!
//! Invariants: handles and places never change after [`Guest::build`]; a guest ends once, and the
//! first reason stands. Locks are taken in the order console, distributor, report; memory alone.

use crate::{
    args::Args,
    fate::Fate,
    fdt::{self, Description},
    gicd::{Gicd, Injection},
    loader::{Kernel, Layout},
    memory::insist,
    pl011::Pl011,
    ram::Ram,
    report::{Lines, Report},
};
use abi::{InfoIndex, Status, VcpuHandle, VmHandle, VmShape};
use alloc::{format, string::String, vec::Vec};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use el1::Lock;
use el1::{call, console, println};

/// What every guest is made of.
pub struct Content<'a> {
    /// The kernel.
    pub kernel: Kernel<'a>,
    /// The initial RAM disk.
    pub initrd: &'a [u8],
    /// Where RAM begins in every guest.
    pub ram_base: u64,
}

/// A virtual CPU.
pub struct Vcpu {
    /// Its handle.
    pub handle: VcpuHandle,
    /// The core it is queued on, by the host's number.
    pub core: usize,
}

/// Devices and output of a guest.
#[derive(Default)]
pub struct Console {
    /// The PL011.
    pub uart: Pl011,
    lines: Lines,
}

/// A guest.
pub struct Guest {
    /// Its number.
    pub id: usize,
    /// Its VM.
    pub vm: VmHandle,
    /// Its vCPUs.
    pub vcpus: Vec<Vcpu>,
    /// Its memory.
    pub ram: Lock<Ram>,
    /// Its UART and what it wrote.
    pub console: Lock<Console>,
    /// Its distributor.
    pub gicd: Lock<Gicd>,
    /// What it said.
    pub report: Lock<Report>,
    /// Whether memory came on a fault.
    pub has_faulted: AtomicBool,
    /// Whether its memory came home while others run.
    pub is_home: AtomicBool,
    /// Accesses that the host turned into aborts.
    pub aborted: AtomicU64,
    /// What is to become of it instead of its workload.
    pub fate: Option<Fate>,
    /// Pages donated before it started.
    pub built: u64,
    /// Whether this machine's console is its own.
    is_interactive: bool,
    exit: Lock<Option<String>>,
}

/// Width of the IPAs of a guest whose RAM ends before `end`: 40 bits where that is enough, and no
/// more than the engine allows.
pub fn ipa_bits(end: u64) -> Result<u16, Status> {
    let most = call::engine_info(InfoIndex::IpaBits)?;
    let needed = u64::from(u64::BITS - end.saturating_sub(1).leading_zeros());
    Ok(most.min(needed.max(40)) as u16)
}

impl Guest {
    /// Creates the VM and donates its first content. `targets` are the physical addresses that it
    /// shall try to reach, comma-separated; `place` says which core runs a vCPU.
    pub fn build(
        id: usize,
        args: &Args,
        content: &Content<'_>,
        targets: &str,
        place: impl Fn(usize) -> usize,
    ) -> Result<Self, String> {
        let refused = |what: &'static str| {
            move |status: Status| format!("guest {id}: {what}: {}", status.name())
        };
        let (initrd_size, base) = (content.initrd.len() as u64, content.ram_base);
        let size = args.guest_mem;
        let layout = Layout::place(&content.kernel, initrd_size, fdt::LARGEST, base, size)
            .map_err(|error| format!("{error}"))?;

        let ipa_bits = ipa_bits(base + size).map_err(refused("ENGINE_INFO"))?;
        let shape = VmShape {
            vcpus: args.vcpus as u16,
            ipa_bits,
            lendable: 0,
        };
        let vm = insist(|| call::vm_create(shape, fdt::GICR, (base, size), (0, 0)))
            .map_err(refused("VM_CREATE"))?;

        let tree = fdt::build(&Description {
            ram: base,
            ram_size: size,
            vcpus: args.vcpus,
            initrd: layout.initrd,
            initrd_size,
            bootargs: bootargs(id, args, targets),
        })
        .map_err(|error| format!("guest {id}: device tree: {error}"))?;

        let mut ram = Ram::new(vm);
        ram.put(layout.kernel, content.kernel.file)
            .map_err(refused("kernel"))?;
        ram.put(layout.initrd, content.initrd)
            .map_err(refused("initrd"))?;
        ram.put(layout.tree, &tree)
            .map_err(refused("device tree"))?;

        let mut vcpus = Vec::with_capacity(args.vcpus);
        for index in 0..args.vcpus {
            let mpidr = fdt::mpidr(index);
            let handle = insist(|| call::vcpu_create(vm, mpidr, layout.kernel, layout.tree))
                .map_err(refused("VCPU_CREATE"))?;
            vcpus.push(Vcpu {
                handle,
                core: place(index),
            });
        }
        Ok(Self {
            id,
            vm,
            vcpus,
            fate: args.fates.get(&id).copied(),
            built: ram.count,
            ram: Lock::new(ram),
            console: Lock::default(),
            gicd: Lock::new(Gicd::new(args.vcpus)),
            report: Lock::default(),
            has_faulted: AtomicBool::new(false),
            is_home: AtomicBool::new(false),
            aborted: AtomicU64::new(0),
            is_interactive: args.console == Some(id),
            exit: Lock::new(None),
        })
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.exit.lock().is_some()
    }

    /// How it ended.
    pub fn exit(&self) -> String {
        self.exit
            .lock()
            .clone()
            .unwrap_or_else(|| "not at all".into())
    }

    /// Ends it for `reason`; false if it had ended already. The engine lets no vCPU in again.
    pub fn end(&self, reason: &str) -> bool {
        let mut exit = self.exit.lock();
        if exit.is_some() {
            return false;
        }
        *exit = Some(reason.into());
        drop(exit);
        println!("host: guest {} ended: {reason}", self.id);
        if let Err(status) = call::vm_destroy(self.vm) {
            println!("host: guest {}: VM_DESTROY: {}", self.id, status.name());
        }
        true
    }

    /// Tells the engine what the distributor decided.
    pub fn inject(&self, injection: Injection) {
        let Injection {
            vcpu,
            intid,
            kind,
            priority,
        } = injection;
        let handle = self.vcpus[vcpu].handle;
        if let Err(status) = insist(|| call::vcpu_inject(handle, intid, kind, priority))
            && !self.has_ended()
        {
            println!(
                "host: guest {}: VCPU_INJECT {intid}: {}",
                self.id,
                status.name()
            );
        }
    }

    /// Runs `access` on the UART and passes a change of its interrupt line on.
    pub fn with_uart<T>(&self, access: impl FnOnce(&mut Pl011) -> T) -> T {
        let mut console = self.console.lock();
        let before = console.uart.line();
        let result = access(&mut console.uart);
        let after = console.uart.line();
        if before != after {
            let mut gicd = self.gicd.lock();
            gicd.set_line(fdt::UART_INTID, after, |injection| self.inject(injection));
        }
        result
    }

    /// The guest reads a register of the UART. Where it makes room, bytes that waited follow.
    pub fn read_uart(&self, offset: u64) -> u32 {
        self.with_uart(|uart| {
            let was_full = uart.is_full();
            let value = uart.read(offset);
            if self.is_interactive && was_full && !uart.is_full() {
                take_typed(uart);
            }
            value
        })
    }

    /// Bytes were typed for the guest.
    pub fn take_input(&self) {
        self.with_uart(take_typed);
    }

    /// The guest sent a byte.
    pub fn take_output(&self, byte: u8) {
        let mut console = self.console.lock();
        if self.is_interactive {
            el1::print!("{}", char::from(byte & 0x7f));
        }
        if let Some(line) = console.lines.push(byte) {
            if !self.is_interactive {
                println!("[guest {}] {line}", self.id);
            }
            self.report.lock().read_line(&line);
        }
    }

    /// Counts an access that becomes an abort.
    pub fn count_abort(&self) {
        // Relaxed: a statistic, read after every core has stopped.
        self.aborted.fetch_add(1, Ordering::Relaxed);
    }
}

/// Moves what was typed to the guest's UART while that has room. The rest stays in the machine's,
/// which interrupts again only once the guest has read: whoever holds the guest's UART decides.
fn take_typed(uart: &mut Pl011) {
    if uart.receive_from(console::read_byte) {
        console::enable_receive_interrupt();
    } else {
        console::disable_receive_interrupt();
    }
}

/// Linux's command line.
fn bootargs(id: usize, args: &Args, targets: &str) -> String {
    let mut line = format!(
        "console=ttyAMA0 {} panic=-1 bulkhead.guest={id} bulkhead.parts={}",
        if args.quiet { "quiet" } else { "earlycon" },
        args.vcpus
    );
    if args.attack {
        line += &format!(" bulkhead.attack={targets}");
    }
    if let Some(word) = args.fates.get(&id).and_then(|f| f.instruction()) {
        line += &format!(" bulkhead.fate={word}");
    }
    if args.console == Some(id) {
        line += " bulkhead.shell=1";
    }
    line
}
