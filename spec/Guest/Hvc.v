(** * A guest's HVC

    PSCI, the memory-sharing calls, forwarding. The program counter is that of the HVC until the call is
    done, so that a call that has to be repeated changes nothing. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Psci.
From Bulkhead Require Import Calls.Pages Calls.Vcpus Guest.Decode Guest.Run.
Open Scope N_scope.

(** x0, the rest as it was: PSCI. *)
Definition answer_x0 (u : vcpu) (z : Z) : vcpu := next_pc (set_x u (upd (x u) 0 (word64 z))).
(** x0 to x3. *)
Definition answer4 (u : vcpu) (a b c d : N) : vcpu := next_pc (set_first4 u a b c d).

(** ** PSCI *)

Definition power_seen_of (u : vcpu) : power_seen :=
  match place u with
  | Absent | Off => SeenOff
  | OnPending => SeenPending
  | Parked | Queued _ | RunningOn _ => SeenOn
  end.

(** Registers at reset; what is pending of interrupts outlives it. *)
Definition restart (u : vcpu) (entry context : N) : vcpu :=
  VcpuSlot (vgeneration u) OnPending (of_vm u) (mpidr u)
           (fun r => if r =? 0 then context else 0) entry [] Nothing false (irqs u).

(** CPU_ON by vCPU [i] of VM [v]: whom it turned on, or PSCI's error. *)
Definition cpu_on (s : state) (w : weather) (v target entry : N) : N + Z :=
  match by_affinity target (fun j => mpidr (vcpus s j)) (members (vms s v)) with
  | None => inr INVALID_PARAMETERS
  | Some j =>
      if negb (entry_ok (fun e => holds_ram (vms s v) (e / PAGE_SIZE) 1) entry) then inr INVALID_ADDRESS
      else match place (vcpus s j) with
           | Off => if is_held w 0 AtPage then inr INTERNAL_FAILURE else inl j
           | OnPending => inr ON_PENDING
           | Parked | Queued _ | RunningOn _ => inr ALREADY_ON
           | Absent => inr INTERNAL_FAILURE
           end
  end.

Definition guest_psci (s : state) (w : weather) (c i : N) (p : psci) : state * output :=
  let u := vcpus s i in
  let v := of_vm u in
  let ram e := holds_ram (vms s v) (e / PAGE_SIZE) 1 in
  match p with
  | PsciVersion => resume s i (answer_x0 u VERSION_1_1)
  | Features f => resume s i (answer_x0 u (psci_features f))
  | MigrateInfoType => resume s i (answer_x0 u MIGRATION_NOT_REQUIRED)
  | AffinityInfo target lowest =>
      let all := map (fun j => (mpidr (vcpus s j), power_seen_of (vcpus s j))) (members (vms s v)) in
      resume s i (answer_x0 u (affinity_info target lowest all))
  | CpuOn target entry context =>
      match cpu_on s w v target entry with
      | inl j =>
          exit_to_host (put_vcpu s j (restart (vcpus s j) entry context)) c i (answer_x0 u PSCI_SUCCESS)
            ExitReason_VcpuOn [handle j (vgeneration (vcpus s j))]
      | inr e => resume s i (answer_x0 u e)
      end
  | CpuOff => exit_to_host s c i (next_pc u) ExitReason_VcpuOff []
  | CpuSuspend ps entry _ =>
      match check_suspend ram ps entry with
      | None => end_turn s c i (set_waiting (answer_x0 u PSCI_SUCCESS) true)
      | Some e => resume s i (answer_x0 u e)
      end
  | SystemOff => exit_to_host s c i (next_pc u) ExitReason_SystemOff []
  | SystemReset => exit_to_host s c i (next_pc u) ExitReason_SystemReset []
  end.

(** ** The calls about memory *)

(** The host is told of a page that goes home, and of one that is missing. A page that is shared, or no longer so,
    is answered for without an exit: the guest goes on, and the host finds the page when it touches it. *)
Definition answer_page_call (s : state) (c i ipa : N) (o : page_call) : state * output :=
  let u := vcpus s i in
  let success := answer4 u (word64 0) 0 0 0 in
  let gave_up p lost := [ipa; p * PAGE_SIZE; lost] in
  match o with
  | Done s' => resume s' i success
  | HomePage p s' => exit_to_host s' c i success ExitReason_PageRelinquished (gave_up p 0)
  | LostPage p s' => exit_to_host s' c i success ExitReason_PageRelinquished (gave_up p 1)
  | NothingThere => resume s i success
  | Refused => resume s i (answer4 u (word64 SMCCC_INVALID_PARAMETER) 0 0 0)
  | Again => (s, Silence)
  | NotYet => exit_to_host s c i (set_waits u AwaitPage) ExitReason_RamFault [ipa]
  | NoTables => exit_to_host s c i u ExitReason_PoolEmpty []
  end.

Definition guest_hvc (s : state) (w : weather) (c i imm : N) : state * output :=
  let u := vcpus s i in
  let v := of_vm u in
  let r := x u in
  match classify (cfg s) imm (r 0) (r 1) (r 2) (r 3) with
  | ToPsci p => guest_psci s w c i p
  | Answer a b d e => resume s i (answer4 u a b d e)
  | ToFirmware => resume s i (answer4 u (word (said w) 0) (word (said w) 1) (word (said w) 2) (word (said w) 3))
  | MemShare ipa => answer_page_call s c i ipa (share s w v (ipa / PAGE_SIZE))
  | MemUnshare ipa => answer_page_call s c i ipa (unshare s w v (ipa / PAGE_SIZE))
  | MemRelinquish ipa => answer_page_call s c i ipa (relinquish s w v (ipa / PAGE_SIZE))
  | Forward =>
      exit_to_host s c i (set_waits (next_pc u) AwaitAnswer) ExitReason_Call
        [r 0; r 1; r 2; r 3; r 4; r 5; r 6]
  end.
