(* Generated from engine/abi/interface.toml by `cargo xtask gen`. Do not edit. *)

(** * Names and numbers of the call interface *)

From Coq Require Import NArith ZArith List.
Import ListNotations.
Open Scope N_scope.

(** Bounds that callers must know. *)
(** Most pages one VM_MAP is asked for: one 1 GiB block. *)
Definition MAP_PAGES : N := 262144.
(** Most pages one VM_LEND, VM_UNLEND or ENGINE_DONATE is asked for: one 2 MiB block. *)
Definition RUN_PAGES : N := 512.
(** Most entries of a VM_MAP_LIST list page (16 bytes each: physical address; IPA | attributes). *)
Definition MAP_LIST_PAGES : N := 256.
(** Most pages one VM_RECLAIM is asked for. *)
Definition RECLAIM_PAGES : N := 512.
(** Most pages one ENGINE_RECLAIM returns (x2-x17). *)
Definition ENGINE_RECLAIM_PAGES : N := 16.
(** Most pages one PAGE_CENSUS is asked for. *)
Definition CENSUS_PAGES : N := 2048.
(** Pages that PAGE_CENSUS counts together at least: 2 MiB. *)
Definition CENSUS_GRAIN : N := 512.
(** Most VMs alive at once beside the host (8-bit VMID, VMID 0 is the host's). *)
Definition VMS : N := 254.
(** Most vCPUs of one VM. *)
Definition VCPUS_PER_VM : N := 64.
(** Virtual SPIs of a VM: INTIDs 32 to 1019. *)
Definition SPIS : N := 988.

(** Identifier of call number 0. *)
Definition CALL_BASE : N := 3321889024.
Definition VERSION : N := 1.

(** Status codes. *)
Inductive status :=
| SUCCESS
| NOT_SUPPORTED
| UNALIGNED
| OUT_OF_RANGE
| NOT_RAM
| NOT_OWNER
| ALREADY_MAPPED
| BAD_STATE
| BUSY
| NO_MEMORY
| LIMIT
| BAD_HANDLE
| NOT_SHARED
| NOT_MAPPED.
Scheme Equality for status.
Definition all_status : list status :=
  [SUCCESS; NOT_SUPPORTED; UNALIGNED; OUT_OF_RANGE; NOT_RAM; NOT_OWNER; ALREADY_MAPPED; BAD_STATE;
  BUSY; NO_MEMORY; LIMIT; BAD_HANDLE; NOT_SHARED; NOT_MAPPED].
Definition status_value (it : status) : Z :=
  match it with
  | SUCCESS => (0)%Z
  | NOT_SUPPORTED => (-1)%Z
  | UNALIGNED => (-2)%Z
  | OUT_OF_RANGE => (-3)%Z
  | NOT_RAM => (-4)%Z
  | NOT_OWNER => (-5)%Z
  | ALREADY_MAPPED => (-6)%Z
  | BAD_STATE => (-7)%Z
  | BUSY => (-8)%Z
  | NO_MEMORY => (-9)%Z
  | LIMIT => (-10)%Z
  | BAD_HANDLE => (-11)%Z
  | NOT_SHARED => (-12)%Z
  | NOT_MAPPED => (-13)%Z
  end.

(** The host's calls. *)
Inductive call :=
| ENGINE_INFO
| ENGINE_DOORBELL
| ENGINE_DONATE
| ENGINE_RECLAIM
| VM_CREATE
| VM_MAP
| VM_MAP_LIST
| VM_LEND
| VM_UNLEND
| VM_START
| VM_DESTROY
| VM_RECLAIM
| VCPU_CREATE
| VCPU_ENQUEUE
| VCPU_DEQUEUE
| CPU_RUN
| VCPU_RESPOND
| VCPU_INJECT
| PAGE_INFO
| PAGE_POISON
| PAGE_CENSUS
| TRACE_READ
| STATS_READ.
Scheme Equality for call.
Definition all_call : list call :=
  [ENGINE_INFO; ENGINE_DOORBELL; ENGINE_DONATE; ENGINE_RECLAIM; VM_CREATE; VM_MAP; VM_MAP_LIST;
  VM_LEND; VM_UNLEND; VM_START; VM_DESTROY; VM_RECLAIM; VCPU_CREATE; VCPU_ENQUEUE; VCPU_DEQUEUE;
  CPU_RUN; VCPU_RESPOND; VCPU_INJECT; PAGE_INFO; PAGE_POISON; PAGE_CENSUS; TRACE_READ;
  STATS_READ].
Definition call_number (it : call) : N :=
  match it with
  | ENGINE_INFO => 0
  | ENGINE_DOORBELL => 1
  | ENGINE_DONATE => 2
  | ENGINE_RECLAIM => 3
  | VM_CREATE => 8
  | VM_MAP => 9
  | VM_MAP_LIST => 10
  | VM_LEND => 11
  | VM_UNLEND => 12
  | VM_START => 13
  | VM_DESTROY => 14
  | VM_RECLAIM => 15
  | VCPU_CREATE => 16
  | VCPU_ENQUEUE => 17
  | VCPU_DEQUEUE => 18
  | CPU_RUN => 19
  | VCPU_RESPOND => 20
  | VCPU_INJECT => 21
  | PAGE_INFO => 24
  | PAGE_POISON => 25
  | PAGE_CENSUS => 26
  | TRACE_READ => 27
  | STATS_READ => 28
  end.

(** States of a VM that calls name. *)
Inductive vm_state :=
| Building
| Running
| Sealing
| Dying.
Scheme Equality for vm_state.
Definition all_vm_state : list vm_state :=
  [Building; Running; Sealing; Dying].
(** In which states of its VM a call is not refused for that; none listed: it asks for none. *)
Definition call_states (it : call) : list vm_state :=
  match it with
  | ENGINE_INFO => []
  | ENGINE_DOORBELL => []
  | ENGINE_DONATE => []
  | ENGINE_RECLAIM => []
  | VM_CREATE => []
  | VM_MAP => [Building; Running]
  | VM_MAP_LIST => [Building; Running]
  | VM_LEND => [Building; Running]
  | VM_UNLEND => [Building; Running]
  | VM_START => [Building; Sealing]
  | VM_DESTROY => [Building; Sealing; Running; Dying]
  | VM_RECLAIM => [Dying]
  | VCPU_CREATE => [Building]
  | VCPU_ENQUEUE => [Running]
  | VCPU_DEQUEUE => [Running; Dying]
  | CPU_RUN => []
  | VCPU_RESPOND => [Running]
  | VCPU_INJECT => [Running]
  | PAGE_INFO => []
  | PAGE_POISON => []
  | PAGE_CENSUS => []
  | TRACE_READ => []
  | STATS_READ => []
  end.
(** What a call may be refused with. *)
Definition call_errors (it : call) : list status :=
  match it with
  | ENGINE_INFO => [OUT_OF_RANGE]
  | ENGINE_DOORBELL => [OUT_OF_RANGE]
  | ENGINE_DONATE => [UNALIGNED; OUT_OF_RANGE; NOT_RAM; NOT_OWNER; BUSY; NO_MEMORY]
  | ENGINE_RECLAIM => [OUT_OF_RANGE]
  | VM_CREATE => [UNALIGNED; OUT_OF_RANGE; LIMIT; NO_MEMORY]
  | VM_MAP => [BAD_HANDLE; UNALIGNED; OUT_OF_RANGE; NOT_RAM; NOT_OWNER; ALREADY_MAPPED; BAD_STATE;
      BUSY; NO_MEMORY]
  | VM_MAP_LIST => [BAD_HANDLE; UNALIGNED; OUT_OF_RANGE; NOT_RAM; NOT_OWNER; ALREADY_MAPPED;
      BAD_STATE; BUSY; NO_MEMORY]
  | VM_LEND => [BAD_HANDLE; UNALIGNED; OUT_OF_RANGE; NOT_RAM; NOT_OWNER; ALREADY_MAPPED;
      BAD_STATE; BUSY; NO_MEMORY]
  | VM_UNLEND => [BAD_HANDLE; UNALIGNED; OUT_OF_RANGE; NOT_MAPPED; NOT_SHARED; BAD_STATE; BUSY]
  | VM_START => [BAD_HANDLE; BAD_STATE; BUSY]
  | VM_DESTROY => [BAD_HANDLE]
  | VM_RECLAIM => [BAD_HANDLE; OUT_OF_RANGE; BAD_STATE; BUSY]
  | VCPU_CREATE => [BAD_HANDLE; OUT_OF_RANGE; BAD_STATE; LIMIT; BUSY]
  | VCPU_ENQUEUE => [BAD_HANDLE; OUT_OF_RANGE; BAD_STATE; BUSY]
  | VCPU_DEQUEUE => [BAD_HANDLE; BAD_STATE; BUSY]
  | CPU_RUN => []
  | VCPU_RESPOND => [BAD_HANDLE; OUT_OF_RANGE; BAD_STATE; BUSY]
  | VCPU_INJECT => [BAD_HANDLE; OUT_OF_RANGE; BAD_STATE]
  | PAGE_INFO => [OUT_OF_RANGE]
  | PAGE_POISON => [UNALIGNED; NOT_RAM; NOT_OWNER; BUSY; NO_MEMORY]
  | PAGE_CENSUS => [OUT_OF_RANGE]
  | TRACE_READ => [OUT_OF_RANGE]
  | STATS_READ => [OUT_OF_RANGE]
  end.
(** Of these, refusals that change something all the same. *)
Definition call_changes_on (it : call) : list status :=
  match it with
  | ENGINE_INFO => []
  | ENGINE_DOORBELL => []
  | ENGINE_DONATE => [NOT_RAM]
  | ENGINE_RECLAIM => []
  | VM_CREATE => []
  | VM_MAP => []
  | VM_MAP_LIST => []
  | VM_LEND => []
  | VM_UNLEND => []
  | VM_START => [BUSY]
  | VM_DESTROY => []
  | VM_RECLAIM => []
  | VCPU_CREATE => []
  | VCPU_ENQUEUE => []
  | VCPU_DEQUEUE => []
  | CPU_RUN => []
  | VCPU_RESPOND => []
  | VCPU_INJECT => []
  | PAGE_INFO => []
  | PAGE_POISON => []
  | PAGE_CENSUS => []
  | TRACE_READ => []
  | STATS_READ => []
  end.

(** What ENGINE_INFO tells. *)
Inductive InfoIndex :=
| InfoIndex_Version
| InfoIndex_Features
| InfoIndex_Cpus
| InfoIndex_PageWords
| InfoIndex_MaxVms
| InfoIndex_MaxVcpus
| InfoIndex_IpaBits
| InfoIndex_FreePages
| InfoIndex_ThisCpu
| InfoIndex_RamBase
| InfoIndex_TableBytes.
Scheme Equality for InfoIndex.
Definition all_InfoIndex : list InfoIndex :=
  [InfoIndex_Version; InfoIndex_Features; InfoIndex_Cpus; InfoIndex_PageWords; InfoIndex_MaxVms;
  InfoIndex_MaxVcpus; InfoIndex_IpaBits; InfoIndex_FreePages; InfoIndex_ThisCpu;
  InfoIndex_RamBase; InfoIndex_TableBytes].
Definition InfoIndex_raw (it : InfoIndex) : N :=
  match it with
  | InfoIndex_Version => 0
  | InfoIndex_Features => 1
  | InfoIndex_Cpus => 2
  | InfoIndex_PageWords => 3
  | InfoIndex_MaxVms => 4
  | InfoIndex_MaxVcpus => 5
  | InfoIndex_IpaBits => 6
  | InfoIndex_FreePages => 7
  | InfoIndex_ThisCpu => 8
  | InfoIndex_RamBase => 9
  | InfoIndex_TableBytes => 10
  end.

(** Why CPU_RUN returned. A guest that shares a page with the host (MEM_SHARE), or ends that,
    goes on without an exit: PAGE_INFO tells, and the host's access finds the page or faults. *)
Inductive ExitReason :=
| ExitReason_RamFault
| ExitReason_MmioRead
| ExitReason_MmioWrite
| ExitReason_Call
| ExitReason_VcpuOn
| ExitReason_VcpuOff
| ExitReason_VcpuReady
| ExitReason_PageRelinquished
| ExitReason_LevelEnded
| ExitReason_ListFull
| ExitReason_HostInterrupt
| ExitReason_Budget
| ExitReason_Idle
| ExitReason_SystemOff
| ExitReason_SystemReset
| ExitReason_Fault
| ExitReason_PoolEmpty.
Scheme Equality for ExitReason.
Definition all_ExitReason : list ExitReason :=
  [ExitReason_RamFault; ExitReason_MmioRead; ExitReason_MmioWrite; ExitReason_Call;
  ExitReason_VcpuOn; ExitReason_VcpuOff; ExitReason_VcpuReady; ExitReason_PageRelinquished;
  ExitReason_LevelEnded; ExitReason_ListFull; ExitReason_HostInterrupt; ExitReason_Budget;
  ExitReason_Idle; ExitReason_SystemOff; ExitReason_SystemReset; ExitReason_Fault;
  ExitReason_PoolEmpty].
Definition ExitReason_raw (it : ExitReason) : N :=
  match it with
  | ExitReason_RamFault => 1
  | ExitReason_MmioRead => 2
  | ExitReason_MmioWrite => 3
  | ExitReason_Call => 4
  | ExitReason_VcpuOn => 5
  | ExitReason_VcpuOff => 6
  | ExitReason_VcpuReady => 7
  | ExitReason_PageRelinquished => 10
  | ExitReason_LevelEnded => 11
  | ExitReason_ListFull => 12
  | ExitReason_HostInterrupt => 13
  | ExitReason_Budget => 14
  | ExitReason_Idle => 15
  | ExitReason_SystemOff => 16
  | ExitReason_SystemReset => 17
  | ExitReason_Fault => 18
  | ExitReason_PoolEmpty => 19
  end.

(** Why a vCPU cannot go on. *)
Inductive FaultKind :=
| FaultKind_SError
| FaultKind_External
| FaultKind_Illegal.
Scheme Equality for FaultKind.
Definition all_FaultKind : list FaultKind :=
  [FaultKind_SError; FaultKind_External; FaultKind_Illegal].
Definition FaultKind_raw (it : FaultKind) : N :=
  match it with
  | FaultKind_SError => 1
  | FaultKind_External => 2
  | FaultKind_Illegal => 3
  end.

(** How a forwarded access or call ended. *)
Inductive Outcome :=
| Outcome_Complete
| Outcome_Abort.
Scheme Equality for Outcome.
Definition all_Outcome : list Outcome :=
  [Outcome_Complete; Outcome_Abort].
Definition Outcome_raw (it : Outcome) : N :=
  match it with
  | Outcome_Complete => 0
  | Outcome_Abort => 1
  end.

(** What happens to a virtual SPI. *)
Inductive InjectKind :=
| InjectKind_Edge
| InjectKind_Assert
| InjectKind_Deassert.
Scheme Equality for InjectKind.
Definition all_InjectKind : list InjectKind :=
  [InjectKind_Edge; InjectKind_Assert; InjectKind_Deassert].
Definition InjectKind_raw (it : InjectKind) : N :=
  match it with
  | InjectKind_Edge => 0
  | InjectKind_Assert => 1
  | InjectKind_Deassert => 2
  end.

(** What PAGE_INFO tells. *)
Inductive PageClass :=
| PageClass_NotYours
| PageClass_Host
| PageClass_HostFixed
| PageClass_Lent
| PageClass_SharedByVm.
Scheme Equality for PageClass.
Definition all_PageClass : list PageClass :=
  [PageClass_NotYours; PageClass_Host; PageClass_HostFixed; PageClass_Lent; PageClass_SharedByVm].
Definition PageClass_raw (it : PageClass) : N :=
  match it with
  | PageClass_NotYours => 0
  | PageClass_Host => 1
  | PageClass_HostFixed => 2
  | PageClass_Lent => 3
  | PageClass_SharedByVm => 4
  end.

(** Counters of a core. Calls follow at 0x100 + 2 * number (calls) and + 1 (errors), exits at
    0x400 + reason. *)
Inductive Counter :=
| Counter_PagesDonated
| Counter_PagesReclaimed
| Counter_PagesScrubbed
| Counter_ScrubbedNonzero
| Counter_ScrubViolations
| Counter_FlushPage
| Counter_FlushVm
| Counter_HostFaultIn
| Counter_HostFaultRetry
| Counter_HostFaultDenied
| Counter_GuestAbort
| Counter_GuestEntries
| Counter_GuestTraps
| Counter_Doorbells
| Counter_SmcDenied
| Counter_SysregDenied
| Counter_PagesDonatedLazily
| Counter_HostSplits
| Counter_HostJoins
| Counter_TlbConflicts
| Counter_PagesPoisoned.
Scheme Equality for Counter.
Definition all_Counter : list Counter :=
  [Counter_PagesDonated; Counter_PagesReclaimed; Counter_PagesScrubbed; Counter_ScrubbedNonzero;
  Counter_ScrubViolations; Counter_FlushPage; Counter_FlushVm; Counter_HostFaultIn;
  Counter_HostFaultRetry; Counter_HostFaultDenied; Counter_GuestAbort; Counter_GuestEntries;
  Counter_GuestTraps; Counter_Doorbells; Counter_SmcDenied; Counter_SysregDenied;
  Counter_PagesDonatedLazily; Counter_HostSplits; Counter_HostJoins; Counter_TlbConflicts;
  Counter_PagesPoisoned].
Definition Counter_raw (it : Counter) : N :=
  match it with
  | Counter_PagesDonated => 0
  | Counter_PagesReclaimed => 1
  | Counter_PagesScrubbed => 2
  | Counter_ScrubbedNonzero => 3
  | Counter_ScrubViolations => 4
  | Counter_FlushPage => 5
  | Counter_FlushVm => 6
  | Counter_HostFaultIn => 7
  | Counter_HostFaultRetry => 8
  | Counter_HostFaultDenied => 9
  | Counter_GuestAbort => 10
  | Counter_GuestEntries => 11
  | Counter_GuestTraps => 12
  | Counter_Doorbells => 13
  | Counter_SmcDenied => 14
  | Counter_SysregDenied => 15
  | Counter_PagesDonatedLazily => 16
  | Counter_HostSplits => 17
  | Counter_HostJoins => 18
  | Counter_TlbConflicts => 19
  | Counter_PagesPoisoned => 20
  end.

(** Access rights of a mapping. Memory is always write-back, inner shareable. *)
Definition MapAttrs_READ : N := 1.
Definition MapAttrs_WRITE : N := 2.
Definition MapAttrs_EXECUTE : N := 4.
