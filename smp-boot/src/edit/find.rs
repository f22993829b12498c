//! Where in the machine's device tree there is something to change for the host.

use core::ops::ControlFlow::Continue;
use core::ops::Range;

use heapless::Vec;

use super::EditError;
use crate::error::BootError;
use crate::fdt::{Kind, kind_of};
use crate::machine::MAX_ITS;
use crate::names::{Name, Names};
use crate::tokens::Blob;
use crate::tree::{self, Node};

/// Bytes of a GICv3 specifier of a PPI: type, number, flags.
const SPECIFIER: usize = 12;

/// What the host keeps of the timer: the virtual ones' interrupts are the engine's, and Linux
/// at EL1 takes the virtual timer wherever it sees one.
pub(super) struct Timer<'t> {
    /// Where the node begins.
    pub at: usize,
    /// Specifiers, and a name for each.
    pub interrupts: Vec<[u8; SPECIFIER], 3>,
    pub names: Vec<&'t [u8], 3>,
}

/// Places are where nodes begin in the blob.
pub(super) struct Places<'t> {
    /// Interrupt translation services, each with what other nodes refer to it by.
    its: Vec<(usize, Option<[u8; 4]>), MAX_ITS>,
    pub timer: Timer<'t>,
    /// The first PSCI node, if its method is to be another one; there is one.
    pub psci: Option<usize>,
    pub chosen: Option<usize>,
    /// `/reserved-memory`, with the cells of addresses and sizes there.
    pub reserved: Option<(usize, (u32, u32))>,
    pub has_ranges: bool,
    /// `/cpus` up to its sibling: the larger part of the tree of a large machine, if nothing in there is to be changed.
    pub plain: Option<Range<usize>>,
    /// Those of the root's children.
    pub root_cells: (u32, u32),
}

impl<'t> Places<'t> {
    /// Finds them.
    pub(super) fn find(blob: &Blob<'t>, names: &mut Names<'t>) -> Result<Self, EditError> {
        let mut its = Vec::new();
        let (mut timer, mut psci) = (None, None);
        let (mut chosen, mut reserved) = (None, None);
        let mut has_ranges = false;
        let mut root_cells = (0, 0);
        let (mut cpus, mut cpus_end) = (None, None);
        let mut is_plain = true;
        tree::walk_with(blob, names, tree::all, |path| {
            match path {
                [root] => root_cells = root.cells(),
                // What is needed cannot go.
                [_, node]
                    if matches!(node.name, b"chosen" | b"reserved-memory") && is_its(node) =>
                {
                    return Err(tree::MALFORMED);
                }
                [_, node] if node.name == b"chosen" => {
                    chosen.get_or_insert(node.at);
                }
                [_, node] if node.name == b"reserved-memory" && reserved.is_none() => {
                    reserved = Some((node.at, node.cells()));
                    has_ranges = node.get(Name::Ranges).is_some();
                }
                _ => {}
            }
            let Some((node, above)) = path.split_last() else {
                return Ok(Continue(()));
            };
            match path {
                [_, node] if cpus.is_some() => {
                    cpus_end.get_or_insert(node.at);
                }
                [_, node] if node.name == b"cpus" => cpus = Some(node.at),
                _ => {}
            }
            let is_in_cpus = cpus.is_some() && cpus_end.is_none();
            let may_refer = [Name::MsiParent, Name::MsiMap];
            if is_in_cpus && may_refer.iter().any(|name| node.get(*name).is_some()) {
                is_plain = false;
            }
            for compatible in node.compatible() {
                let Some(kind) = kind_of(compatible) else {
                    continue;
                };
                if is_in_cpus {
                    is_plain = false;
                }
                // What is in a node that goes, goes with it.
                if above.iter().any(is_its) {
                    continue;
                }
                match kind {
                    // There is no tree without a root.
                    Kind::Its if above.is_empty() => return Err(tree::MALFORMED),
                    Kind::Timer | Kind::Psci | Kind::Gic if is_its(node) => {
                        return Err(tree::MALFORMED);
                    }
                    Kind::Its => {
                        its.push((node.at, phandle_of(node)))
                            .map_err(|_| BootError::TooMany {
                                what: "interrupt translation services",
                                most: MAX_ITS,
                            })?
                    }
                    Kind::Timer if timer.is_none() => timer = Some(Timer::read(node)?),
                    Kind::Psci => {
                        let is_by_smc = node.get(Name::Method) == Some(b"smc\0");
                        psci.get_or_insert((!is_by_smc).then_some(node.at));
                    }
                    Kind::Timer | Kind::Gic => {}
                }
            }
            Ok(Continue(()))
        })?;
        Ok(Self {
            its,
            timer: timer.ok_or(BootError::BadNode("no arm,armv8-timer"))?,
            psci: psci.ok_or(BootError::NoPsci)?,
            chosen,
            reserved,
            has_ranges,
            plain: cpus
                .zip(cpus_end)
                .filter(|_| is_plain)
                .map(|(start, end)| start..end),
            root_cells,
        })
    }

    /// Whether that node is an interrupt translation service.
    pub(super) fn is_its(&self, at: usize) -> bool {
        self.its.iter().any(|(its, _)| *its == at)
    }

    /// Whether the MSI property `name` names one: its driver would wait for it for good, where without it takes wired
    /// interrupts. A map's entries are of four cells, the second a phandle. A parent is followed by as many cells as it
    /// likes: any of them counts, and a device that loses its MSIs to an identifier that looks like the ITS has wired
    /// interrupts.
    pub(super) fn sends_to_its(&self, name: Name, value: &[u8]) -> bool {
        let mut cells = value.as_chunks::<4>().0.iter().enumerate();
        cells.any(|(at, cell)| {
            let may_be = name != Name::MsiMap || at % 4 == 1;
            may_be
                && self
                    .its
                    .iter()
                    .any(|(_, phandle)| phandle.as_ref() == Some(cell))
        })
    }
}

#[inline(never)]
fn is_its(node: &Node<'_>) -> bool {
    node.compatible().any(|it| kind_of(it) == Some(Kind::Its))
}

/// The cell that other nodes refer to `node` by. The second name predates the specification.
fn phandle_of(node: &Node<'_>) -> Option<[u8; 4]> {
    [Name::Phandle, Name::LinuxPhandle]
        .into_iter()
        .find_map(|name| node.get(name)?.try_into().ok())
}

impl<'t> Timer<'t> {
    fn read(node: &Node<'t>) -> Result<Self, BootError> {
        const IN_ORDER: [&[u8]; 5] = [b"sec-phys", b"phys", b"virt", b"hyp-phys", b"hyp-virt"];
        const FOR_HOST: [&[u8]; 3] = [b"sec-phys\0", b"phys\0", b"hyp-phys\0"];
        let interrupts = node
            .get(Name::Interrupts)
            .ok_or(BootError::BadNode("the timer has no interrupts"))?;
        let (specifiers, rest) = interrupts.as_chunks::<SPECIFIER>();
        if !rest.is_empty() {
            return Err(BootError::BadNode(
                "the timer's interrupts are not of three cells",
            ));
        }
        let names = node.get(Name::InterruptNames);
        let specifier_of = |name: &[u8]| {
            let is_it = |it: &[u8]| name.strip_suffix(&[0]) == Some(it);
            let found = match names {
                Some(names) => tree::texts(names).zip(specifiers).find(|(it, _)| is_it(it)),
                None => IN_ORDER
                    .into_iter()
                    .zip(specifiers)
                    .find(|(it, _)| is_it(it)),
            };
            found.map(|(_, specifier)| *specifier)
        };
        let (mut names, mut interrupts) = (Vec::new(), Vec::new());
        for name in FOR_HOST {
            if let Some(specifier) = specifier_of(name) {
                // There is room for all.
                let _ = (names.push(name), interrupts.push(specifier));
            }
        }
        if !names.contains(&b"phys\0".as_slice()) {
            return Err(BootError::BadNode("the timer has no interrupt for EL1"));
        }
        Ok(Self {
            at: node.at,
            interrupts,
            names,
        })
    }
}
