//! What makes the models' hardware weak, each by its name, so that it can be left out.
//!
//! `BULKHEAD_WITHOUT=name,name` in the environment leaves some out: then a protection that is there
//! against nothing else can be built away, and no model sees it (`lives_without` in
//! `xtask/mutants.toml`). So each weakness is shown to be there.
//!
//! Invariant: an unknown name is an error, never ignored.

use engine::sim::tlb::Model;
use std::sync::OnceLock;

/// One way in which hardware is weaker than a program that runs in order on one core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weakness {
    /// TLBs keep translations that went away, until they are invalidated.
    Leftovers,
    /// They keep stage-2 entries, which by-IPA invalidation drops.
    Stage2,
    /// They keep combined entries, which it does not drop.
    Combined,
    /// A combined entry is built again from a stage-2 entry.
    Refill,
    /// Walk caches keep the way to a table that stands there no more.
    WalkCaches,
    /// A core keeps what it has of a VMID when it goes to another.
    OtherVmids,
    /// An invalidation is for the VMID in VTTBR alone.
    OneVmid,
    /// An invalidation takes effect, and lets earlier accesses end, only when a DSB completes it.
    LateTlbi,
    /// The erratum: a store may land even after that.
    LateStores,
    /// Walkers go by what an entry said until a DSB of the core that changed it.
    StaleWalks,
    /// So do those of a core that enters a VM, as the first, between the two.
    FirstEntries,
    /// Walkers do not find a new leaf or table until such a DSB.
    LateLinks,
    /// Walkers find in a new table what its page held before, until a DSB of who filled it.
    LateTables,
    /// A vCPU's own stage-1 translations stay on its core when another vCPU of its VM runs there.
    Stage1,
    /// Pages hold values, which outlive their owners.
    Contents,
}

use Weakness::*;

/// All, by the names that the environment uses.
const NAMES: [(&str, Weakness); 15] = [
    ("leftovers", Leftovers),
    ("stage-2", Stage2),
    ("combined", Combined),
    ("refill", Refill),
    ("walk-caches", WalkCaches),
    ("other-vmids", OtherVmids),
    ("one-vmid", OneVmid),
    ("late-tlbi", LateTlbi),
    ("late-stores", LateStores),
    ("stale-walks", StaleWalks),
    ("first-entries", FirstEntries),
    ("late-links", LateLinks),
    ("late-tables", LateTables),
    ("stage-1", Stage1),
    ("contents", Contents),
];

/// The weaknesses that a machine does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Without(u32);

impl Without {
    /// Has them all.
    pub const NOTHING: Self = Self(0);

    /// What the environment leaves out.
    ///
    /// # Panics
    /// If it names something unknown.
    pub fn by_environment() -> Self {
        static READ: OnceLock<Without> = OnceLock::new();
        *READ.get_or_init(|| {
            std::env::var("BULKHEAD_WITHOUT").map_or(Self::NOTHING, |names| Self::named(&names))
        })
    }

    /// What a list of names leaves out.
    ///
    /// # Panics
    /// If one is unknown.
    pub fn named(names: &str) -> Self {
        let mut without = Self::NOTHING;
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let known = NAMES.iter().find(|(known, _)| *known == name);
            let (_, weakness) = known.unwrap_or_else(|| panic!("no weakness is called {name:?}"));
            without = without.and(*weakness);
        }
        without
    }

    /// Without this one too.
    pub const fn and(self, weakness: Weakness) -> Self {
        Self(self.0 | 1 << weakness as u32)
    }

    /// Is it as weak as this?
    pub const fn has(self, weakness: Weakness) -> bool {
        self.0 >> weakness as u32 & 1 == 0
    }

    /// What is left for TLBs. `repeat_tlbi`: the cores have the erratum.
    pub fn tlb(self, repeat_tlbi: bool) -> Model {
        Model {
            late_stores: repeat_tlbi && self.has(LateStores),
            leftovers: self.has(Leftovers),
            stage2: self.has(Stage2),
            combined: self.has(Combined),
            refill: self.has(Refill),
            walk_caches: self.has(WalkCaches),
            other_vmids: self.has(OtherVmids),
            one_vmid: self.has(OneVmid),
            late_invalidation: self.has(LateTlbi),
        }
    }
}
