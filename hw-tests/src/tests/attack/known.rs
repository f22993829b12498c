//! Tests that lie elsewhere and are attacks too: their texts.

use super::case::cases;

cases! {
    Host "engine_memory::accesses_abort" [30]
        "loads, stores and fetches the engine's memory from every core"
        => "external abort that names the address tried";
    Host "engine_memory::walks_abort" [30]
        "names the engine's pages as stage-1 tables, root and next level"
        => "external abort on the walk";
    Host "engine_memory::calls_refuse" [30]
        "PAGE_INFO, ENGINE_DONATE and PAGE_POISON of the engine's pages"
        => "NotYours; NOT_RAM or NOT_OWNER";
    Host "engine_memory::abort_leaves_par_alone" [25]
        "looks for the engine's address translation in PAR_EL1 after an abort"
        => "all EL1 registers as before";
    Host "roundtrip::single_pages" [23]
        "keeps using pages after it gave them to a VM, warm in its TLB; looks for content when they are home"
        => "external abort; zeroes";
    Host "roundtrip::batch_that_is_no_block" [11, 13]
        "keeps using each page of a batch that crosses a block's border"
        => "external abort on every page; zeroes";
    Host "roundtrip::list" [13]
        "keeps using each page of a list of 256 scattered pages"
        => "external abort on every page; zeroes";
    Host "roundtrip::batch_stops_at_a_foreign_page" [10]
        "hides a VM's page in the middle of a batch"
        => "the batch ends before it with NOT_OWNER";
    Host "arguments::engine_calls" [7, 8]
        "ENGINE_INFO, ENGINE_DOORBELL, ENGINE_DONATE, ENGINE_RECLAIM, TRACE_READ, STATS_READ at the edges of each argument"
        => "UNALIGNED, OUT_OF_RANGE, NOT_RAM, NOT_OWNER";
    Host "arguments::vm_create" [8]
        "VM_CREATE with shapes, ranges and frames that are empty, overlap, wrap or end past the widest IPA"
        => "UNALIGNED, OUT_OF_RANGE";
    Host "arguments::vm_map" [7, 8]
        "VM_MAP at the edges of each argument: 0, most, wrapping, unaligned, MMIO, engine's memory, another's page, forged handles"
        => "BAD_HANDLE, UNALIGNED, OUT_OF_RANGE, NOT_RAM, NOT_OWNER, ALREADY_MAPPED";
    Host "arguments::vm_map_list" [7, 8]
        "VM_MAP_LIST at the edges of each argument and of each field of an entry"
        => "BAD_HANDLE, UNALIGNED, OUT_OF_RANGE, NOT_RAM, NOT_OWNER, ALREADY_MAPPED";
    Host "arguments::vm_map_list_aliases" [15]
        "VM_MAP_LIST that names a page twice, an address twice, or itself"
        => "the second is NOT_OWNER, ALREADY_MAPPED or BUSY; the copied list may go";
    Host "arguments::vm_lend_and_unlend" [8]
        "VM_LEND and VM_UNLEND at the edges of each argument, and into memory that the VM was promised for itself"
        => "BAD_HANDLE, UNALIGNED, OUT_OF_RANGE, NOT_RAM, NOT_OWNER, ALREADY_MAPPED, NOT_MAPPED, NOT_SHARED";
    Host "arguments::page_calls" [7]
        "PAGE_INFO, PAGE_POISON and PAGE_CENSUS of MMIO, of others' pages, and past the end"
        => "OUT_OF_RANGE, UNALIGNED, NOT_RAM, NOT_OWNER";
    Host "vcpu_arguments::life_of_a_vm" [18, 33]
        "calls about a VM in a state that does not allow them, the last one dying; VM_RECLAIM of more than its bound"
        => "BAD_HANDLE, BAD_STATE, OUT_OF_RANGE";
    Host "vcpu_arguments::vcpu_calls" [9]
        "vCPU calls with forged handles, cores that are not there, interrupts that are not the host's"
        => "BAD_HANDLE, BAD_STATE, OUT_OF_RANGE, LIMIT";
    Host "vcpu_arguments::vcpu_answers" [9]
        "answers what was not asked: a RAM fault, a call with an abort, a vCPU that runs"
        => "BAD_STATE, OUT_OF_RANGE";
    Host "smc::calls_off_the_list_are_refused" []
        "SMCs off the allow-list: FF-A in full, vendors' services, PSCI of the machine below"
        => "NOT_SUPPORTED, counted, no other register changed";
    Host "smc::unknown_hypercalls_are_refused" []
        "HVCs with numbers that no call has, a guest's calls among them"
        => "NOT_SUPPORTED, no other register changed";
    Host "smc::own_calls_zero_their_results" [27]
        "looks for the engine's values in result registers that a call does not use"
        => "zeroes";
    Host "canary::no_exit_leaks_a_register" [25, 27]
        "looks for a guest's canary in all registers after every kind of exit"
        => "own values, zeroes, and what the exit's reason documents";
    Guest "canary::fresh_vcpu_has_no_register_of_another" [25, 27]
        "looks for the registers of the VM that had the core before"
        => "zeroes";
    Guest "psci::turning_oneself_on_changes_nothing" [26]
        "CPU_ON of itself, with another entry"
        => "ALREADY_ON";
    Guest "psci::cpu_on_checks_its_arguments" [26]
        "CPU_ON of nobody, and at MMIO, past RAM, in the middle of an instruction"
        => "INVALID_PARAMETERS, INVALID_ADDRESS";
    Guest "psci::cpu_on_is_pending_until_enqueued" [26]
        "CPU_ON of a vCPU that is coming"
        => "ON_PENDING, then ALREADY_ON";
    Guest "psci::affinity_info_checks_its_arguments" []
        "AFFINITY_INFO of others' affinities and of levels that there are not"
        => "INVALID_PARAMETERS";
    Guest "psci::smc_is_as_good_as_hvc" []
        "makes one of the host's calls"
        => "NOT_SUPPORTED, no exit";
    Guest "sharing::guest_calls_check_their_page" [6]
        "MEM_SHARE, MEM_UNSHARE and MEM_RELINQUISH of no page, of MMIO, past every table, of a page that the host lent"
        => "INVALID_PARAMETER, no exit";
    Host "sharing::shared_page_is_the_hosts_too" [6, 12]
        "keeps using a page that the guest no longer shares; gives a shared page away"
        => "external abort; NOT_OWNER";
    Host "sharing::relinquished_page_comes_home_zero" [23]
        "looks for content in a page that the guest gave back"
        => "zeroes";
    Host "sharing::page_lent_twice_is_counted" [19, 21]
        "lends a page thrice, takes it back in part and past a hole, lends it to a second VM"
        => "an exact count; NOT_MAPPED, NOT_OWNER";
    Guest "interrupts::next_vm_has_no_interrupt_of_the_last" [29]
        "waits for interrupts that the slot's last VM had pending"
        => "none: Idle";
    Guest "slices::past_timer_holds_nobody_up" [27]
        "waits with a timer whose time is past and whose interrupt is off"
        => "others get the core; Idle";
    Guest "slices::spinning_vms_take_turns" []
        "never gives the core back"
        => "the turn ends";
    Host "tlb::donate::run_of_pages" [12, 13]
        "keeps using pages on every core while one gives them away"
        => "abort on every core, once the call is back";
    Guest "tlb::combined::lent_pages" [12, 13, 14]
        "keeps using lent pages, MMU on, while the host takes them back from several VMs"
        => "no access lands after VM_UNLEND; RamFault";
    Guest "tlb::walks::guests_last_table" [12]
        "keeps walking a stage-1 table of its own whose page is taken away"
        => "no walk goes through it after the call";
    Guest "tlb::split::guests_block" [11]
        "keeps using a block whose pages go one by one"
        => "the others' content stays right; nobody faults";
    Host "tlb::unshare::then_reclaim" [6, 17]
        "keeps using a page that the guest shared, up to the page's way home"
        => "abort on every core; zeroes";
    Guest "tlb::destroy::under_stores" [1, 33]
        "stores on all vCPUs while its VM is destroyed and reclaimed"
        => "zeroes, and no store lands behind them";
    Host "redistributors::slot_without_redistributor_aborts" []
        "touches slots of the GIC's regions behind the last redistributor"
        => "external abort at EL1";
    Host "churn::many_small_vms" [5, 28]
        "makes and destroys VMs without end"
        => "every page comes back";
    Host "churn::as_many_vms_as_fit" [28]
        "makes one VM more than there can be; hopes for an old handle"
        => "LIMIT; no handle comes twice";
    Host "churn::half_built_vms" [28]
        "destroys VMs at each stage of their making, and once more"
        => "BAD_HANDLE";
    Host "cores::running_core_is_already_on" [26]
        "CPU_ON of cores that run, and of nobody"
        => "ALREADY_ON, INVALID_PARAMETERS";
}
