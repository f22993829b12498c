//! Device tree to [`MachineInfo`], read in place and in one walk.
//!
//! Pure: runs on any machine. The tree comes from the boot loader and is trusted to describe the
//! machine, but not to be well formed: every odd value ends in a [`BootError`], none in a panic.
//! Bounded by the size of the blob; no recursion.
//!
//! Properties are those of the Devicetree Specification v0.4 and of the kernel's bindings for
//! `arm,gic-v3`, `arm,psci` and `arm,armv8-timer`.

mod uart;

use core::ops::ControlFlow::{Break, Continue};

use heapless::Vec;

use crate::error::BootError;
use crate::machine::{Gic, MAX_RAM, MachineInfo, Mpidr, Redistributors, TimerPpis, UartInfo};
use crate::names::Name;
use crate::range::{self, PaRange};
use crate::tokens::Blob;
use crate::tree::{self, Node, Path};

/// Most bytes of a blob: the arm64 boot protocol's limit.
pub const MAX_BLOB: u64 = 2 << 20;

/// The size that a blob's header claims, if the header can be believed.
pub fn blob_size(header: [u32; 2]) -> Result<u64, &'static str> {
    let [magic, size] = header.map(u32::from_be);
    match (magic, u64::from(size)) {
        (0xd00d_feed, 40..=MAX_BLOB) => Ok(size.into()),
        (0xd00d_feed, _) => Err("size in the header is not between 40 bytes and 2 MiB"),
        _ => Err("no magic number"),
    }
}

/// Reads the tree `blob`, which lies at `dtb`, on the core `boot`, into an empty `machine`.
pub fn parse(
    blob: &[u8],
    dtb: PaRange,
    boot: Mpidr,
    machine: &mut MachineInfo,
) -> Result<(), BootError> {
    let malformed = BootError::BadTree {
        at: dtb.start(),
        what: "malformed",
    };
    let blob = Blob::open(blob).ok_or(malformed)?;
    for (address, size) in blob.reservations() {
        let range =
            PaRange::new(address, size).ok_or(BootError::BadNode("a memory reservation wraps"))?;
        push(&mut machine.reserved, range.pages_around(), RESERVED)?;
    }
    push(&mut machine.cpus, boot, "cores")?;
    let mut reader = Reader::new(boot, machine);
    let walked = tree::walk(&blob, tree::all, |path| {
        reader.visit(path)?;
        Ok(Continue(()))
    });
    walked.map_err(|error| {
        if error == tree::MALFORMED {
            malformed
        } else {
            error
        }
    })?;
    let console = reader.finish()?;
    machine.uart = console.find(&blob);
    machine.dtb = dtb;
    Ok(())
}

/// The console's registers, found apart from the rest so that a bad tree can be complained about.
pub fn find_uart(blob: &[u8]) -> Option<UartInfo> {
    uart::find(&Blob::open(blob)?)
}

/// Whether the tree says that PSCI is called by HVC.
pub fn psci_is_by_hvc(blob: &[u8]) -> bool {
    let mut is_hvc = false;
    Blob::open(blob).is_some_and(|blob| {
        let walked = tree::walk(&blob, tree::all, |path| {
            let node = path.last().filter(|node| is_psci(node));
            is_hvc = node.is_some_and(|node| node.get(Name::Method) == Some(b"hvc\0"));
            Ok(node.map_or(Continue(()), |_| Break(())))
        });
        walked.is_ok() && is_hvc
    })
}

const RESERVED: &str = "reserved ranges";

fn is_psci(node: &Node<'_>) -> bool {
    node.compatible().any(|it| kind_of(it) == Some(Kind::Psci))
}

/// What a node that counts wherever it is may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Psci,
    Gic,
    Its,
    Timer,
}

/// What a node is by one of the texts that it is compatible with.
pub(crate) fn kind_of(compatible: &[u8]) -> Option<Kind> {
    match compatible {
        b"arm,psci-0.2" | b"arm,psci-1.0" => Some(Kind::Psci),
        b"arm,gic-v3" => Some(Kind::Gic),
        b"arm,gic-v3-its" => Some(Kind::Its),
        b"arm,armv8-timer" => Some(Kind::Timer),
        _ => None,
    }
}

/// What was read so far. Of two nodes where one is expected the first counts.
struct Reader<'m, 't> {
    machine: &'m mut MachineInfo,
    boot: Mpidr,
    boot_seen: bool,
    /// The highest affinity among the cores so far.
    highest: Option<Mpidr>,
    psci: Option<Option<&'t [u8]>>,
    has_gic: bool,
    has_timer: bool,
    has_chosen: bool,
    /// Where `/cpus` and `/reserved-memory` begin.
    cpus: Option<usize>,
    reserved: Option<usize>,
    console: uart::Wanted<'t>,
}

impl<'m, 't> Reader<'m, 't> {
    fn new(boot: Mpidr, machine: &'m mut MachineInfo) -> Self {
        Self {
            machine,
            boot,
            boot_seen: false,
            highest: None,
            psci: None,
            has_gic: false,
            has_timer: false,
            has_chosen: false,
            cpus: None,
            reserved: None,
            console: uart::Wanted::default(),
        }
    }

    fn visit(&mut self, path: Path<'_, 't>) -> Result<(), BootError> {
        match path {
            [_, node] => self.visit_top(path, node)?,
            [_, parent, node] if self.cpus == Some(parent.at) => {
                if node.base_name() == b"cpu" {
                    self.add_core(parent, node)?;
                }
                return Ok(());
            }
            [_, parent, _] if self.reserved == Some(parent.at) => {
                // One without `reg` asks the operating system to choose a place, which is the host's affair.
                for range in tree::regs(path) {
                    push(&mut self.machine.reserved, range?.pages_around(), RESERVED)?;
                }
            }
            _ => {}
        }
        let Some(node) = path.last() else {
            return Ok(());
        };
        for compatible in node.compatible() {
            match kind_of(compatible) {
                Some(Kind::Psci) => {
                    self.psci.get_or_insert(node.get(Name::Method));
                }
                Some(Kind::Gic) if !self.has_gic && node.is_okay() => {
                    self.has_gic = true;
                    read_gic_node(path, node, &mut self.machine.gic)?;
                }
                Some(Kind::Its) => {
                    for range in tree::regs(path) {
                        let its = &mut self.machine.gic.its;
                        push(its, range?.pages_around(), "interrupt translation services")?;
                    }
                }
                Some(Kind::Timer) if !self.has_timer => {
                    self.has_timer = true;
                    self.machine.timer = read_timer(node)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A child of the root.
    fn visit_top(&mut self, path: Path<'_, 't>, node: &Node<'t>) -> Result<(), BootError> {
        self.console.see(node);
        // The specification gives these no unit address: one that has one is another node.
        match node.name {
            b"cpus" if self.cpus.is_none() => self.cpus = Some(node.at),
            b"reserved-memory" if self.reserved.is_none() => self.reserved = Some(node.at),
            b"chosen" if !self.has_chosen => {
                self.has_chosen = true;
                self.machine.initrd = read_initrd(node)?;
                let line = node.get(Name::Bootargs).unwrap_or(&[]);
                self.machine.ram_is_clear = tree::has_word(line, RAM_IS_CLEAR);
            }
            _ => {}
        }
        // RAM. A disabled one is the secure world's.
        if node.get(Name::DeviceType) == Some(b"memory\0") && node.is_okay() {
            for range in tree::regs(path) {
                let range = range?.pages_within();
                if !range.is_empty() {
                    push(&mut self.machine.ram, range, "ranges of RAM")?;
                }
            }
        }
        Ok(())
    }

    /// A core, which is there already if it is the boot core.
    fn add_core(&mut self, cpus: &Node<'_>, node: &Node<'_>) -> Result<(), BootError> {
        // "disabled" only says that the core is not running yet; "fail" that it never will.
        if matches!(node.get(Name::Status), Some(b"fail\0" | b"fail-sss\0")) {
            return Ok(());
        }
        let id = tree::first_address(node, cpus.cells())
            .ok_or(BootError::BadNode("a core without reg"))?;
        let mpidr = Mpidr::from_bits(id);
        if mpidr.bits() != id {
            return Err(BootError::BadNode("a core's reg is no affinity"));
        }
        // Most trees have them in ascending order, and nobody has to look for a second one then.
        let is_higher = self.highest.is_none_or(|highest| mpidr > highest);
        if is_higher {
            self.highest = Some(mpidr);
        }
        let is_boot = mpidr == self.boot;
        if is_boot && !self.boot_seen {
            self.boot_seen = true;
            return Ok(());
        }
        if is_boot || !is_higher && self.machine.cpus.contains(&mpidr) {
            return Err(BootError::BadNode("two cores with one reg"));
        }
        let method = node.get(Name::EnableMethod);
        if !method.is_some_and(|method| method.starts_with(b"psci\0")) {
            return Err(BootError::BadNode("a core that is not started by PSCI"));
        }
        push(&mut self.machine.cpus, mpidr, "cores")
    }

    /// Complains of what is missing, and puts RAM in order.
    fn finish(self) -> Result<uart::Wanted<'t>, BootError> {
        match self.psci.flatten() {
            Some(b"smc\0") => {}
            Some(b"hvc\0") => return Err(BootError::PsciByHvc),
            _ => return Err(BootError::NoPsci),
        }
        let ram = &mut self.machine.ram;
        range::put_in_order(ram);
        join_neighbours(ram);
        if ram.is_empty() {
            return Err(BootError::BadNode("no memory node with RAM"));
        }
        if self.cpus.is_none() {
            return Err(BootError::BadNode("no /cpus"));
        }
        if !self.boot_seen {
            return Err(BootError::BootCoreUnknown(self.boot));
        }
        if !self.has_gic {
            return Err(BootError::NoGicV3);
        }
        if !self.has_timer {
            return Err(BootError::BadNode("no arm,armv8-timer"));
        }
        Ok(self.console)
    }
}

fn push<T, const N: usize>(
    list: &mut Vec<T, N>,
    item: T,
    what: &'static str,
) -> Result<(), BootError> {
    list.push(item)
        .map_err(|_| BootError::TooMany { what, most: N })
}

/// Joins ranges that touch or overlap in an ascending list.
fn join_neighbours(ranges: &mut Vec<PaRange, MAX_RAM>) {
    // The last that is joined; those behind it up to `at` are free.
    let mut last = 0_usize;
    for at in 1..ranges.len() {
        let (Some(&low), Some(&high)) = (ranges.get(last), ranges.get(at)) else {
            break;
        };
        let mut range = low.hull(high);
        if high.start() > low.end() {
            last = last.saturating_add(1);
            range = high;
        }
        if let Some(place) = ranges.get_mut(last) {
            *place = range;
        }
    }
    ranges.truncate(last.saturating_add(1));
}

/// Bytes of the smallest redistributor (IHI0069 12.10).
const REDISTRIBUTOR_BYTES: u64 = 2 << 16;

/// The interrupt controller: `reg` is the distributor, then the regions of redistributors, then
/// GICv2 compatibility frames that are not used (binding arm,gic-v3).
fn read_gic_node(path: Path<'_, '_>, node: &Node<'_>, gic: &mut Gic) -> Result<(), BootError> {
    let regions = node.number(Name::RedistributorRegions)?.unwrap_or(1);
    let stride = node.number(Name::RedistributorStride)?;
    if stride == Some(0) {
        return Err(BootError::BadNode("redistributor-stride is 0"));
    }
    let mut regs = tree::regs(path);
    let mut next = || -> Result<PaRange, BootError> {
        let reg = regs
            .next()
            .ok_or(BootError::BadNode("the GIC has too few reg entries"))?;
        Ok(reg?.pages_around())
    };
    gic.distributor = next()?;
    for _ in 0..regions {
        let region = Redistributors {
            range: next()?,
            stride,
        };
        if region.range.size() < REDISTRIBUTOR_BYTES {
            return Err(BootError::BadNode("a region holds no redistributor"));
        }
        push(&mut gic.redistributors, region, "regions of redistributors")?;
    }
    Ok(())
}

/// Timer interrupts, by name or in the binding's order.
fn read_timer(node: &Node<'_>) -> Result<TimerPpis, BootError> {
    let mut timer = TimerPpis::default();
    let interrupts = node
        .get(Name::Interrupts)
        .ok_or(BootError::BadNode("the timer has no interrupts"))?;
    let names = node.get(Name::InterruptNames);
    let mut named = names
        .iter()
        .flat_map(|names| names.split(|&byte| byte == 0));
    let mut in_order = [
        b"sec-phys".as_slice(),
        b"phys",
        b"virt",
        b"hyp-phys",
        b"hyp-virt",
    ]
    .into_iter();
    // A GICv3 specifier is type, number, flags; a fourth cell partitions PPIs, which no server does.
    let cells = interrupts.chunks_exact(12);
    if !cells.remainder().is_empty() {
        return Err(BootError::BadNode(
            "the timer's interrupts are not of three cells",
        ));
    }
    for cell in cells {
        let name = if names.is_some() {
            named.next()
        } else {
            in_order.next()
        };
        let &[_, _, _, 1, _, _, _, ppi @ 0..16, ..] = cell else {
            return Err(BootError::BadNode("a timer interrupt is no PPI"));
        };
        let intid = Some(16 + u32::from(ppi));
        match name {
            Some(b"phys") => timer.physical = intid,
            Some(b"virt") => timer.virtual_ = intid,
            Some(b"hyp-phys") => timer.hypervisor = intid,
            _ => {}
        }
    }
    Ok(timer)
}

/// In the loader's command line: see [`MachineInfo::ram_is_clear`].
const RAM_IS_CLEAR: &[u8] = b"ram-is-clear";

/// The initrd: end is exclusive; both may be of one or two cells.
fn read_initrd(chosen: &Node<'_>) -> Result<Option<PaRange>, BootError> {
    let start = chosen.number(Name::InitrdStart)?;
    let end = chosen.number(Name::InitrdEnd)?;
    match (start, end) {
        (Some(start), Some(end)) => PaRange::between(start, end)
            .filter(|range| !range.is_empty())
            .map(Some)
            .ok_or(BootError::BadNode("the initrd ends before it starts")),
        (None, None) => Ok(None),
        _ => Err(BootError::BadNode(
            "the initrd has a start or an end, not both",
        )),
    }
}
