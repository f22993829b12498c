//! What the protocol code needs from hardware, and nothing else.
//!
//! One implementation runs on bare metal (`arch`), one on a simulated machine (`sim`), one under loom. All are
//! chosen by static dispatch, so that the same protocol source is what runs, what is tested and
//! what is model-checked.
//!
//! Invariants every implementation keeps:
//! - page-table entries are reached only through [`Platform::entry`] and its two siblings, never by
//!   a pointer of the caller's own: the simulated machine and loom model the walkers from there;
//! - a method does the one architectural thing it names, without hidden barriers: the sequences are
//!   the protocol's business (`memory::tlb`, `memory::scrub`);
//! - no method blocks on another core.

use crate::memory::pool::TablePages;
use crate::vcpu::context::{Context, GuestExit, Stop};
use core::ops::Deref;
use ownership::Pfn;
use percpu::CpuId;

/// One entry of a translation table: the table's page and the entry's index in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryAt {
    /// Page that holds the table.
    pub table: Pfn,
    /// Index, 0–511.
    pub index: u16,
}

/// A barrier instruction (Arm ARM B2.3.12, C6.2 DSB and ISB).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Barrier {
    /// `DSB ISHST`: stores before it, table entries above all, are visible to walkers of all cores.
    DsbIshst,
    /// `DSB ISH`: everything before it, TLB maintenance included, is complete on all cores.
    DsbIsh,
    /// `DSB NSH`: as `DSB ISH` for this core alone.
    DsbNsh,
    /// `ISB`: later instructions see the changes of context before it.
    Isb,
}

/// A TLB invalidation of the EL1&0 regime (Arm ARM D8.17). All but [`Tlbi::Vmalle1`] are broadcast
/// in the inner shareable domain, and all but [`Tlbi::Alle1is`] apply to the VMID now in VTTBR_EL2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tlbi {
    /// `IPAS2E1IS`: stage-2 entries of one IPA page. Leaves combined entries alone.
    Ipas2e1is {
        /// Intermediate physical page number.
        ipa_page: u64,
    },
    /// `RIPAS2E1IS` (FEAT_TLBIRANGE): stage-2 entries of a run of pages.
    Ripas2e1is {
        /// First page.
        ipa_page: u64,
        /// Number of pages.
        pages: u64,
    },
    /// `VMALLE1IS`: all stage-1 and combined entries of the VMID.
    Vmalle1is,
    /// `VMALLS12E1IS`: all entries of the VMID, of both stages and combined.
    Vmalls12e1is,
    /// `VMALLE1`: as `VMALLE1IS`, on this core alone.
    Vmalle1,
    /// `ALLE1IS`: all entries of the EL1&0 regime, every VMID.
    Alle1is,
}

/// What this machine's cores have, all of them: the weakest core decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// FEAT_TLBIRANGE.
    pub tlb_range: bool,
    /// FEAT_S2FWB: stage-2 leaves force write-back, so a guest can't look past the caches.
    pub force_write_back: bool,
    /// CTR_EL0.DIC = 0: instruction caches need invalidation when a page with code changes hands.
    pub icache_by_hand: bool,
    /// CVE-2025-10263: a TLBI must be repeated, see `memory::tlb`.
    pub repeat_tlbi: bool,
    /// FEAT_BBM level 2, on cores known to do without TLB conflict aborts: a block may become a
    /// table, and a table a block, without an invalid entry in between.
    pub resize_in_place: bool,
    /// Physical (and intermediate) address bits, at most 48.
    pub pa_bits: u8,
}

/// How a page was found by [`Platform::zero_page`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zeroed {
    /// It was seen to hold something other than zero before, by a look at some of its words.
    pub was_nonzero: bool,
    /// It was read back as zero after. If not, a store landed behind the scrubber's back, or the page does
    /// not keep what is stored: nobody gets it.
    pub reads_zero: bool,
}

/// The page has a memory error: what was asked for was not done to all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// The hardware, as the protocol code sees it. `cpu` is always the calling core.
pub trait Platform: Sized {
    /// How arrays of shared objects are held: `&'static [T]` on metal, `Box<[T]>` elsewhere.
    type Store<T: 'static>: Deref<Target = [T]>;
    /// What [`Platform::borrow_regime`] must remember.
    type SavedRegime;

    /// The weakest core's features.
    fn features(&self) -> &Features;
    /// The generic timer's count (CNTPCT_EL0).
    fn counter(&self, cpu: CpuId) -> u64;

    /// Reads a translation-table entry. Acquire: pairs with the Release of
    /// [`Platform::store_entry`] and [`Platform::swap_entry`]; the table it names is initialised.
    fn entry(&self, cpu: CpuId, at: EntryAt) -> u64;
    /// Replaces an entry if it is `old`: AcqRel. Returns what was seen if it was not.
    fn swap_entry(&self, cpu: CpuId, at: EntryAt, old: u64, new: u64) -> Result<(), u64>;
    /// Stores an entry that the caller alone may write. Release.
    fn store_entry(&self, cpu: CpuId, at: EntryAt, value: u64);
    /// Fills a table page that nobody else can see yet with zero entries.
    fn clear_table(&self, cpu: CpuId, table: Pfn);

    /// Executes one barrier.
    fn barrier(&self, cpu: CpuId, barrier: Barrier);
    /// Executes one TLB invalidation; complete only after a `DSB`.
    fn tlbi(&self, cpu: CpuId, op: Tlbi);
    /// `IC IALLUIS`.
    fn invalidate_icache(&self, cpu: CpuId);
    /// VTTBR_EL2 as it is.
    fn vttbr(&self, cpu: CpuId) -> u64;
    /// Makes another VM's VTTBR current for TLB maintenance, so that no walk of this core
    /// allocates under it (`arch::errata`), and synchronises.
    fn borrow_regime(&self, cpu: CpuId, vttbr: u64) -> Self::SavedRegime;
    /// Undoes [`Platform::borrow_regime`].
    fn return_regime(&self, cpu: CpuId, saved: Self::SavedRegime);

    /// Zeroes a page through this core's window and cleans it to the point of coherency.
    fn zero_page(&self, cpu: CpuId, page: Pfn) -> Result<Zeroed, Broken>;
    /// Cleans and invalidates a page's lines to the point of coherency through the window. If the page
    /// has a memory error, whoever reads it next finds that.
    fn clean_page(&self, cpu: CpuId, page: Pfn);
    /// Copies the first words of a page of the host's through the window, once, an even number of them and at most all;
    /// little-endian.
    fn read_page(&self, cpu: CpuId, page: Pfn, into: &mut [u64]) -> Result<(), Broken>;
    /// How many tables [`Platform::map_engine_page`] would link in now: others can make it fewer, not
    /// more.
    fn engine_tables_missing(&self, cpu: CpuId, page: Pfn) -> usize;
    /// Makes an engine page reachable at EL2 (VA = PA). Missing tables come from `tables`, which gives
    /// pages of zeroes, and stay for good; one that another core was faster to link in goes back.
    /// `false`, and nothing changed for the page, if there were too few.
    fn map_engine_page<T: TablePages>(&self, cpu: CpuId, page: Pfn, tables: &T) -> bool;
    /// Ends that, on every core, before it returns: broadcast invalidation of the EL2 regime. `false`, and nothing
    /// changed, if it was not reachable by `map_engine_page`.
    #[must_use]
    fn unmap_engine_page(&self, cpu: CpuId, page: Pfn) -> bool;

    /// Sends SGI `sgi` to another core; the caller has made its stores visible (`DSB ISHST`).
    fn send_sgi(&self, cpu: CpuId, to: CpuId, sgi: u8);
    /// Is a physical interrupt other than a doorbell waiting for the host? Consumes doorbells.
    fn host_interrupt_pending(&self, cpu: CpuId, doorbell: Option<u8>) -> bool;

    /// Runs a guest until the next exit that `answer` does not answer: loads `context`'s registers, enters at
    /// EL1, saves them. `answer` is shown a [`Stop`] while most of the guest's registers are the core's still,
    /// and runs and leaves no guests itself; where it says `true` the guest goes on, otherwise the exit is
    /// returned. Ends by itself when the counter reaches `until`. The guest's regime stays until
    /// [`Platform::leave_regime`], the host's registers are put back by [`Platform::return_to_host`].
    fn run_guest(
        &self,
        cpu: CpuId,
        context: &mut Context,
        vttbr: u64,
        until: u64,
        answer: impl FnMut(Stop<'_>) -> bool,
    ) -> GuestExit;
    /// Makes the host's regime current again after any number of runs of one guest: this core walks for that guest no
    /// more. EL1's registers stay as they are, and walks wait for those of the next guest or of the host.
    fn leave_regime(&self, cpu: CpuId);
    /// Puts the host's registers back, after [`Platform::leave_regime`], when the core is done with guests.
    fn return_to_host(&self, cpu: CpuId);
    /// Drops what a core may have cached for another vCPU of the same VM:
    /// `TLBI VMALLE1; IC IALLU; DSB NSH; ISB` under the VMID of `vttbr`.
    fn forget_last_vcpu(&self, cpu: CpuId, vttbr: u64);

    /// What exception entry to the host's EL1 needs to know: VBAR_EL1 and SCTLR_EL1.
    fn host_vectors(&self, cpu: CpuId) -> (u64, u64);
    /// Sets the host's ELR_EL1, SPSR_EL1, ESR_EL1 and FAR_EL1.
    fn set_host_exception(&self, cpu: CpuId, elr: u64, spsr: u64, esr: u64, far: u64);

    /// Calls the firmware with an allow-listed SMC; `x` is x0–x17 in and out.
    fn smc(&self, cpu: CpuId, x: &mut [u64; 18]);
    /// Releases the core parked at EL2 to run the host from `entry` with x0 = `context`.
    fn release_core(&self, cpu: CpuId, target: CpuId);
    /// Reads a physical device register on the host's behalf.
    fn device_read(&self, cpu: CpuId, pa: u64, size: u8) -> u64;
    /// Writes a physical device register on the host's behalf.
    fn device_write(&self, cpu: CpuId, pa: u64, size: u8, value: u64);
}
