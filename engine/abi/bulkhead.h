/* Generated from engine/abi/interface.toml by `cargo xtask gen`. Do not edit. */
/* SPDX-License-Identifier: Apache-2.0 OR MIT */

#ifndef BULKHEAD_H
#define BULKHEAD_H

/*
 * Calls: HVC #0, SMCCC 1.2. x0 = function identifier, x1 to x6 = arguments.
 * On return x0 = status, x1 and up = results; unused result registers are zero.
 */
#define BULKHEAD_CALL_BASE 0xC6000100UL
#define BULKHEAD_CALL_UID_0 0x6b6c7562U
#define BULKHEAD_CALL_UID_1 0x64616568U
#define BULKHEAD_CALL_UID_2 0x2d6c3265U
#define BULKHEAD_CALL_UID_3 0x00000001U
#define BULKHEAD_VERSION_MAJOR 0
#define BULKHEAD_VERSION_MINOR 1

/* Bounds that callers must know. */

/* Most pages one VM_MAP is asked for: one 1 GiB block. */
#define BULKHEAD_MAX_MAP_PAGES 262144
/* Most pages one VM_LEND, VM_UNLEND or ENGINE_DONATE is asked for: one 2 MiB block. */
#define BULKHEAD_MAX_RUN_PAGES 512
/* Most entries of a VM_MAP_LIST list page (16 bytes each: physical address; IPA | attributes). */
#define BULKHEAD_MAX_MAP_LIST_PAGES 256
/* Most pages one VM_RECLAIM is asked for. */
#define BULKHEAD_MAX_RECLAIM_PAGES 512
/* Most pages one ENGINE_RECLAIM returns (x2-x17). */
#define BULKHEAD_MAX_ENGINE_RECLAIM_PAGES 16
/* Most pages one PAGE_CENSUS is asked for. */
#define BULKHEAD_MAX_CENSUS_PAGES 2048
/* Pages that PAGE_CENSUS counts together at least: 2 MiB. */
#define BULKHEAD_MAX_CENSUS_GRAIN 512
/* Most VMs alive at once beside the host (8-bit VMID, VMID 0 is the host's). */
#define BULKHEAD_MAX_VMS 254
/* Most vCPUs of one VM. */
#define BULKHEAD_MAX_VCPUS_PER_VM 64
/* Virtual SPIs of a VM: INTIDs 32 to 1019. */
#define BULKHEAD_MAX_SPIS 988

/* Status codes. */

/*
 * Done. A batch says in `done` how many pages, and in `reason` why it stopped early: with this
 * one the engine has done as much as it does in one call.
 */
#define BULKHEAD_STATUS_SUCCESS (0)
/* The engine does not know this function (SMCCC). */
#define BULKHEAD_STATUS_NOT_SUPPORTED (-1)
/* An address is not page-aligned. */
#define BULKHEAD_STATUS_UNALIGNED (-2)
/* An argument is outside what the call accepts, or a range wraps. */
#define BULKHEAD_STATUS_OUT_OF_RANGE (-3)
/* The physical address is not memory that VMs may own. */
#define BULKHEAD_STATUS_NOT_RAM (-4)
/* The page is not the caller's alone. */
#define BULKHEAD_STATUS_NOT_OWNER (-5)
/* The IPA already has a page. */
#define BULKHEAD_STATUS_ALREADY_MAPPED (-6)
/* The object's state does not allow the call. */
#define BULKHEAD_STATUS_BAD_STATE (-7)
/* Another operation holds what this one needs; try again. */
#define BULKHEAD_STATUS_BUSY (-8)
/* The engine's page pool is empty: ENGINE_DONATE, then try again. */
#define BULKHEAD_STATUS_NO_MEMORY (-9)
/* No free slot of this kind. */
#define BULKHEAD_STATUS_LIMIT (-10)
/* No object has this handle (any more). */
#define BULKHEAD_STATUS_BAD_HANDLE (-11)
/* The page is not lent or shared this way. */
#define BULKHEAD_STATUS_NOT_SHARED (-12)
/* The IPA has no page. */
#define BULKHEAD_STATUS_NOT_MAPPED (-13)

/* Function identifiers. */

/* (index) -> value. Returns one fact about the engine; changes nothing. */
#define BULKHEAD_CALL_ENGINE_INFO 0xC6000100UL
/* (sgi). From now on the engine kicks running and idle cores with this SGI. */
#define BULKHEAD_CALL_ENGINE_DOORBELL 0xC6000101UL
/*
 * (pa, n) -> done, reason. Host pages become the engine's and join its page pool. What it needs
 * tables for itself may come out of a few pages kept back, but never more than the pages that it
 * takes of the same 2 MiB: with an empty pool donate at least 8 pages of one 2 MiB at once. BUSY
 * also while another core's donation has the pages kept back. A page with a memory error is
 * taken out of circulation; the call ends there, with NOT_RAM, also where it is the first.
 * `done` below n with reason SUCCESS: call again for the rest.
 */
#define BULKHEAD_CALL_ENGINE_DONATE 0xC6000102UL
/*
 * (max) -> n. Free pool pages that the host had donated come back, scrubbed: up to max of them,
 * or as many as the engine does in one call. One in which a memory error is found is left out
 * and is nobody's from then on: even n = 0 may come though there are others.
 */
#define BULKHEAD_CALL_ENGINE_RECLAIM 0xC6000103UL
/*
 * (shape, gicr, ram0, ram0_size, ram1, ram1_size) -> vm. A new VM in state Building, without
 * pages or vCPUs; its RAM ranges never change. Where physical addresses have fewer than 44 bits
 * (IpaBits says) its table needs 2^(bits - 39) contiguous, aligned pages: NO_MEMORY with pages
 * free means that none are together, and a donation of such a run helps.
 */
#define BULKHEAD_CALL_VM_CREATE 0xC6000108UL
/*
 * (vm, pa, ipa, n, attrs) -> done, reason. Host pages become the VM's alone. An aligned 2 MiB or
 * 1 GiB of pages to an IPA aligned like it is one entry. `done` below n with reason SUCCESS:
 * call again for the rest.
 */
#define BULKHEAD_CALL_VM_MAP 0xC6000109UL
/*
 * (vm, list, n) -> done, reason. VM_MAP for scattered pages, in list order. A page or an IPA
 * that comes a second time ends the batch with BUSY: the call holds it itself. NOT_RAM with
 * nothing done can also mean that the list page has a memory error; it stays the host's. `done`
 * below n with reason SUCCESS: call again with the rest as the list.
 */
#define BULKHEAD_CALL_VM_MAP_LIST 0xC600010AUL
/*
 * (vm, pa, ipa, n, attrs) -> done, reason. The VM can reach the host's pages too; the host keeps
 * them. Refused (OUT_OF_RANGE) where the VM was promised memory of its own. `done` below n with
 * reason SUCCESS: call again for the rest.
 */
#define BULKHEAD_CALL_VM_LEND 0xC600010BUL
/*
 * (vm, ipa, n) -> done, reason. Ends VM_LEND: after it returns no vCPU reaches the pages. Where
 * a page is lent twice in the run, the batch may end with BUSY before its second place, because
 * the call holds the page itself: call again for the rest, as where `done` is below n with
 * reason SUCCESS.
 */
#define BULKHEAD_CALL_VM_UNLEND 0xC600010CUL
/*
 * (vm). Seals the content: no VM_MAP that began before lands after. BUSY while one is inside:
 * the VM is Sealing then, which takes no page and no vCPU; call again.
 */
#define BULKHEAD_CALL_VM_START 0xC600010DUL
/*
 * (vm) -> inside, cpu. The VM is Dying: no vCPU enters again. A call that is inside does its
 * work all the same, also after this has returned; none comes in any more. Calling it again on a
 * dying VM only reports.
 */
#define BULKHEAD_CALL_VM_DESTROY 0xC600010EUL
/*
 * (vm, max) -> n, finished. Scrubs and returns the dying VM's pages, a few a call; any number of
 * cores may call it at once. Call it again until `finished` or BAD_HANDLE, also with n = 0; on
 * BUSY all that is left is in other cores' hands, or a vCPU has not left yet: later. A page with
 * a memory error stays behind, poisoned.
 */
#define BULKHEAD_CALL_VM_RECLAIM 0xC600010FUL
/*
 * (vm, mpidr, entry, arg) -> vcpu. A vCPU; the first of a VM is on, the others off until PSCI
 * CPU_ON.
 */
#define BULKHEAD_CALL_VCPU_CREATE 0xC6000110UL
/* (vcpu, cpu). Puts a runnable vCPU on that core's run queue, or moves it there from another's. */
#define BULKHEAD_CALL_VCPU_ENQUEUE 0xC6000111UL
/*
 * (vcpu). Takes a queued vCPU off its run queue. BUSY while it runs: its core has been kicked.
 * What other vCPUs send it from then on is told by VcpuReady; what it had already is not.
 */
#define BULKHEAD_CALL_VCPU_DEQUEUE 0xC6000112UL
/*
 * (budget) -> reason, vcpu, d0, d1, d2, d3, d4, d5, d6. Runs this core's queue until the host is
 * needed.
 */
#define BULKHEAD_CALL_CPU_RUN 0xC6000113UL
/*
 * (vcpu, x0, x1, x2, x3, outcome). Completes the MMIO access or forwarded call that the vCPU
 * stopped at; it is queued on the calling core.
 */
#define BULKHEAD_CALL_VCPU_RESPOND 0xC6000114UL
/*
 * (vcpu, intid, kind, priority). Makes a virtual SPI pending, or its line high or low, at this
 * vCPU; a running or idle core is kicked.
 */
#define BULKHEAD_CALL_VCPU_INJECT 0xC6000115UL
/* (pa) -> class, count. Tells the host about its own pages; changes nothing. */
#define BULKHEAD_CALL_PAGE_INFO 0xC6000118UL
/* (pa). Takes a page with a memory error out of circulation for good. */
#define BULKHEAD_CALL_PAGE_POISON 0xC6000119UL
/*
 * (first, n) -> seen, reserved, host, host_fixed, engine, vm, shared, claimed, poisoned. Counts
 * the states of a run of page words, in totals of whole grains, up to where `seen` says: go on
 * from there. The last grain takes in the words behind it that make no grain. A total hides a
 * page only among those of its grain that the caller does not know: who knows the states of all
 * others, its own pages among them, learns the last one's too, though not which VM has it; and
 * calls one after the other show when a state changes.
 */
#define BULKHEAD_CALL_PAGE_CENSUS 0xC600011AUL
/* (cpu, sequence) -> sequence, event, time. Reads the engine's own events; never guest data. */
#define BULKHEAD_CALL_TRACE_READ 0xC600011BUL
/* (cpu, index) -> value. Reads one of a core's counters. */
#define BULKHEAD_CALL_STATS_READ 0xC600011CUL

/* InfoIndex: What ENGINE_INFO tells. */

/* Major << 16 | minor. */
#define BULKHEAD_INFO_INDEX_VERSION 0
/* Feature bits, none assigned yet. */
#define BULKHEAD_INFO_INDEX_FEATURES 1
/*
 * Cores of the machine: their engine numbers are below this; one that did not come up has a
 * number too.
 */
#define BULKHEAD_INFO_INDEX_CPUS 2
/* Page words in the table: what PAGE_CENSUS counts through. */
#define BULKHEAD_INFO_INDEX_PAGE_WORDS 3
/* VM slots. */
#define BULKHEAD_INFO_INDEX_MAX_VMS 4
/* VCPU slots. */
#define BULKHEAD_INFO_INDEX_MAX_VCPUS 5
/* Widest IPA a VM may have. */
#define BULKHEAD_INFO_INDEX_IPA_BITS 6
/* Pages free in the engine's pool, without the few kept back for ENGINE_DONATE. */
#define BULKHEAD_INFO_INDEX_FREE_PAGES 7
/* Engine number of the calling core. */
#define BULKHEAD_INFO_INDEX_THIS_CPU 8
/* Physical address of page word 0. */
#define BULKHEAD_INFO_INDEX_RAM_BASE 9
/* Bytes of page words that were ever written: memory that says whose the others are. */
#define BULKHEAD_INFO_INDEX_TABLE_BYTES 10

/*
 * ExitReason: Why CPU_RUN returned. A guest that shares a page with the host (MEM_SHARE), or
 * ends that, goes on without an exit: PAGE_INFO tells, and the host's access finds the page or
 * faults.
 */

/*
 * D0 = page-aligned IPA in a RAM range that has no page, which the guest used or wants to share;
 * the vCPU stays queued.
 */
#define BULKHEAD_EXIT_REASON_RAM_FAULT 1
/* D0 = IPA, d1 = size in bytes; VCPU_RESPOND completes it. */
#define BULKHEAD_EXIT_REASON_MMIO_READ 2
/*
 * D0 = IPA, d1 = size in bytes, d2 = data; the vCPU stays queued; VCPU_RESPOND with Abort before
 * its next run turns it into an external abort.
 */
#define BULKHEAD_EXIT_REASON_MMIO_WRITE 3
/* D0-d6 = x0-x6 of a guest call for the host; VCPU_RESPOND completes it. */
#define BULKHEAD_EXIT_REASON_CALL 4
/* D0 = handle of the vCPU that PSCI CPU_ON turned on: enqueue it. */
#define BULKHEAD_EXIT_REASON_VCPU_ON 5
/* The vCPU turned itself off. */
#define BULKHEAD_EXIT_REASON_VCPU_OFF 6
/*
 * D0-d6 = handles of vCPUs of this one's VM that are on no queue and have work, 0 after the
 * last: enqueue them; the vCPU stays queued.
 */
#define BULKHEAD_EXIT_REASON_VCPU_READY 7
/*
 * D0 = IPA given back, d1 = its physical address, d2 = 1 if the page has a memory error and is
 * nobody's from now on; where RAM has no page the guest's call succeeds without an exit.
 */
#define BULKHEAD_EXIT_REASON_PAGE_RELINQUISHED 10
/* D0 = INTID of a level-triggered SPI that the guest ended. */
#define BULKHEAD_EXIT_REASON_LEVEL_ENDED 11
/* More interrupts pending than list registers; they follow as these empty. */
#define BULKHEAD_EXIT_REASON_LIST_FULL 12
/* A physical interrupt waits for the host. */
#define BULKHEAD_EXIT_REASON_HOST_INTERRUPT 13
/* The budget is used. */
#define BULKHEAD_EXIT_REASON_BUDGET 14
/*
 * No vCPU of this core is runnable; d0 = counter value of the next timer deadline, all ones if
 * none.
 */
#define BULKHEAD_EXIT_REASON_IDLE 15
/* PSCI SYSTEM_OFF. */
#define BULKHEAD_EXIT_REASON_SYSTEM_OFF 16
/* PSCI SYSTEM_RESET. */
#define BULKHEAD_EXIT_REASON_SYSTEM_RESET 17
/* D0 = FaultKind: the vCPU cannot go on and is off every queue. */
#define BULKHEAD_EXIT_REASON_FAULT 18
/*
 * A call of the guest about its memory needs a page of the engine's, whose pool is empty:
 * ENGINE_DONATE; the vCPU stays queued and repeats its call.
 */
#define BULKHEAD_EXIT_REASON_POOL_EMPTY 19

/* FaultKind: Why a vCPU cannot go on. */

/* A physical SError while it ran. */
#define BULKHEAD_FAULT_KIND_SERROR 1
/* An external abort on its memory. */
#define BULKHEAD_FAULT_KIND_EXTERNAL 2
/* Illegal execution state or an exception class the engine does not handle. */
#define BULKHEAD_FAULT_KIND_ILLEGAL 3

/* Outcome: How a forwarded access or call ended. */

/* With the given values. */
#define BULKHEAD_OUTCOME_COMPLETE 0
/* MMIO only: synchronous external abort in the guest. */
#define BULKHEAD_OUTCOME_ABORT 1

/* InjectKind: What happens to a virtual SPI. */

/* Becomes pending once. */
#define BULKHEAD_INJECT_KIND_EDGE 0
/* Its line goes high. */
#define BULKHEAD_INJECT_KIND_ASSERT 1
/* Its line goes low. */
#define BULKHEAD_INJECT_KIND_DEASSERT 2

/* PageClass: What PAGE_INFO tells. */

/* Another's, reserved, or in transition. */
#define BULKHEAD_PAGE_CLASS_NOT_YOURS 0
/* The host's alone. */
#define BULKHEAD_PAGE_CLASS_HOST 1
/* The host may use it but never donate it. */
#define BULKHEAD_PAGE_CLASS_HOST_FIXED 2
/* The host's, lent to a VM. */
#define BULKHEAD_PAGE_CLASS_LENT 3
/* A VM's, shared with the host. */
#define BULKHEAD_PAGE_CLASS_SHARED_BY_VM 4

/*
 * Counter: Counters of a core. Calls follow at 0x100 + 2 * number (calls) and + 1 (errors),
 * exits at 0x400 + reason.
 */

/* Host to VM. */
#define BULKHEAD_COUNTER_PAGES_DONATED 0
/* VM to host. */
#define BULKHEAD_COUNTER_PAGES_RECLAIMED 1
/* Zeroed before a new owner. */
#define BULKHEAD_COUNTER_PAGES_SCRUBBED 2
/* Of these, not zero before. */
#define BULKHEAD_COUNTER_SCRUBBED_NONZERO 3
/* Pages that were not zero when read back: lost, as if they had a memory error. */
#define BULKHEAD_COUNTER_SCRUB_VIOLATIONS 4
/* Stage-2 invalidations by page or range. */
#define BULKHEAD_COUNTER_FLUSH_PAGE 5
/* Stage-2 invalidations of a whole VMID. */
#define BULKHEAD_COUNTER_FLUSH_VM 6
/* Host stage-2 faults answered by mapping. */
#define BULKHEAD_COUNTER_HOST_FAULT_IN 7
/* Host stage-2 faults on entries in transition, retried. */
#define BULKHEAD_COUNTER_HOST_FAULT_RETRY 8
/* Host accesses to memory that is not its own, answered by an abort. */
#define BULKHEAD_COUNTER_HOST_FAULT_DENIED 9
/* Guest accesses answered by an abort. */
#define BULKHEAD_COUNTER_GUEST_ABORT 10
/* Times a vCPU was entered. */
#define BULKHEAD_COUNTER_GUEST_ENTRIES 11
/* Traps from guests answered in the engine, but for PSCI_VERSION by HVC. */
#define BULKHEAD_COUNTER_GUEST_TRAPS 12
/* Doorbell SGIs sent. */
#define BULKHEAD_COUNTER_DOORBELLS 13
/* SMCs of the host off the allow-list. */
#define BULKHEAD_COUNTER_SMC_DENIED 14
/* System-register accesses answered by UNDEFINED. */
#define BULKHEAD_COUNTER_SYSREG_DENIED 15
/* Of the pages donated, those that the host had no leaf of: no core had to be told. */
#define BULKHEAD_COUNTER_PAGES_DONATED_LAZILY 16
/* Blocks of the host's stage-2 that were split. */
#define BULKHEAD_COUNTER_HOST_SPLITS 17
/* Tables of the host's stage-2 that became blocks again. */
#define BULKHEAD_COUNTER_HOST_JOINS 18
/* TLB conflict aborts of the host or of guests, answered by a flush. */
#define BULKHEAD_COUNTER_TLB_CONFLICTS 19
/*
 * Pages out of circulation for good: reported by PAGE_POISON, or found broken while being
 * zeroed.
 */
#define BULKHEAD_COUNTER_PAGES_POISONED 20

/* MapAttrs: Access rights of a mapping. Memory is always write-back, inner shareable. */

/* Must be set. */
#define BULKHEAD_MAP_ATTRS_READ (1UL << 0)
/* Stores allowed. */
#define BULKHEAD_MAP_ATTRS_WRITE (1UL << 1)
/* Instruction fetch allowed. */
#define BULKHEAD_MAP_ATTRS_EXECUTE (1UL << 2)

/* Handles: slot in bits 15:0, generation in bits 63:16, never 0. */

#define BULKHEAD_HANDLE_SLOT(handle) ((handle) & 0xFFFFUL)
#define BULKHEAD_HANDLE_GENERATION(handle) ((handle) >> 16)

/* VmShape, the first argument of VM_CREATE. */

#define BULKHEAD_VM_SHAPE(vcpus, ipa_bits) ((unsigned long)(vcpus) | (unsigned long)(ipa_bits) << 16)

#endif /* BULKHEAD_H */
