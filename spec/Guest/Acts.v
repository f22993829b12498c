(** * What a guest does while it runs

    Accesses to memory, calls, interrupts. An instruction that touches nothing but the vCPU's own
    registers is [Compute]: which registers it leaves is the guest's affair. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args.
From Bulkhead Require Import Calls.Pages Calls.Vcpus Guest.Run Guest.Hvc.
Open Scope N_scope.

Inductive access_kind := Load | Store | Fetch.

(** One access of a guest. Accesses to RAM are of whole 64-bit words. [plain]: the syndrome describes
    it completely, so that it can be done in the guest's place. *)
Record access := Access {
  kind : access_kind;
  ipa : N;                      (** byte address *)
  bytes : N;
  signed : bool;
  wide : bool;
  reg : N;
  plain : bool
}.

Inductive act :=
| Compute (r : list N) (next : N) (others : list N)  (** registers, program counter, the rest *)
| Touch (a : access)
| Hvc (imm : N)
| Wfi
| SendSgi (intid : N) (targets : list N)  (** to these vCPUs, if they are of the same VM *)
| TakeIrq (intid : N)                     (** acknowledges an interrupt *)
| EndLevel (intid : N) (sleeps : bool)    (** has ended a level-triggered SPI, and goes on or executes WFI *)
| ListsFull                               (** more interrupts are pending than list registers *)
| Interrupted                             (** a physical interrupt, a kick, the end of its time *)
| SErrorTaken                             (** hardware: a physical SError while it ran *)
| IllegalState.                           (** an exception that the engine does not handle *)

(** The vCPU's register, of which the access takes some bytes. *)
Definition narrow (b w : N) : N := w mod 2 ^ (8 * N.max 1 (N.min 8 b)).
Definition reg_value (u : vcpu) (r : N) : N := if r =? 31 then 0 else x u r.
Definition set_reg (u : vcpu) (r w : N) : vcpu := if r =? 31 then u else set_x u (upd (x u) r w).

(** Is it in a redistributor frame of its VM? *)
Definition in_frames (v : vm) (a : N) : bool :=
  (gicr v <=? a) && (a <? gicr v + 32 * vcpu_limit v).

Definition refuse_access (s : state) (i : N) : state * output :=
  resume s i (take_exception (vcpus s i) EXTERNAL_ABORT).

(** Outside RAM: its own redistributor frames, else a device of the host's. *)
Definition touch_device (s : state) (w : weather) (c i : N) (a : access) : state * output :=
  let u := vcpus s i in
  if negb (plain a) then refuse_access s i else
  match kind a with
  | Fetch => refuse_access s i
  | Load =>
      if in_frames (vms s (of_vm u)) (ipa a / PAGE_SIZE)
      then resume s i (next_pc (set_reg u (reg a) (hd 0 (said w))))
      else exit_to_host s c i (set_waits u (AwaitRead (reg a) (bytes a) (signed a) (wide a)))
             ExitReason_MmioRead [ipa a; bytes a]
  | Store =>
      if in_frames (vms s (of_vm u)) (ipa a / PAGE_SIZE)
      then resume s i (next_pc u)
      else exit_to_host s c i (set_waits u AwaitWrite)
             ExitReason_MmioWrite [ipa a; bytes a; narrow (bytes a) (reg_value u (reg a))]
  end.

(** Has the leaf the right that such an access needs? Stage 2 is asked before memory answers. *)
Definition allows (l : leaf) (k : access_kind) : bool :=
  match k with Load => true | Store => can_write l | Fetch => can_execute l end.

Definition touch (s : state) (w : weather) (c i : N) (a : access) : state * output :=
  let u := vcpus s i in
  let v := of_vm u in
  let at_ := ipa a / PAGE_SIZE in
  let at_word := (ipa a mod PAGE_SIZE) / 8 in
  match lookup at_ (leaves (vms s v)) with
  | Some l =>
      let pg := pages s (to l) in
      if allows l (kind a) then
        if broken pg then exit_to_host s c i u ExitReason_Fault [FaultKind_raw FaultKind_External]
        else match kind a with
        | Load => resume s i (next_pc (set_reg u (reg a) (word (holds pg) at_word)))
        | Store =>
            resume (put_page s (to l) (set_holds pg (set_word at_word (reg_value u (reg a)) (holds pg))))
                   i (next_pc u)
        | Fetch => (s, Silence)
        end
      else refuse_access s i
  | None =>
      if holds_ram (vms s v) at_ 1
      then exit_to_host s c i (set_waits u AwaitPage) ExitReason_RamFault [at_ * PAGE_SIZE]
      else touch_device s w c i a
  end.

(** An SGI becomes pending at each target; who is parked is noted, so that the host is told. *)
Definition raise (s : state) (intid j : N) : state :=
  let u := vcpus s j in
  let q := irqs u intid in
  let s' := put_vcpu s j (set_irqs u (upd (irqs u) intid (Irq true (level q) (priority q)))) in
  let v := vms s (of_vm u) in
  if is_ready s j && negb (existsb (N.eqb j) (ready v))
  then put_vm s' (of_vm u) (set_ready v (j :: ready v)) else s'.

Definition send_sgi (s : state) (v intid : N) (targets : list N) : state :=
  fold_left (fun s j => if existsb (N.eqb j) (members (vms s v)) && (intid <? 16)
                        then raise s intid j else s) targets s.

Definition advance (s : state) (i : N) : state := put_vcpu s i (next_pc (vcpus s i)).

Definition guest_act (s : state) (w : weather) (c : N) (g : act) : state * output :=
  match at_ (cores s c) with
  | InGuest i =>
      let u := vcpus s i in
      match g with
      | Compute r next others =>
          resume s i (set_sys (set_pc (set_x u (fun n => nth (N.to_nat n) r 0)) next) others)
      | Touch a => touch s w c i a
      | Hvc imm => guest_hvc s w c i imm
      | Wfi => end_turn s c i (set_waiting (next_pc u) true)
      | SendSgi intid targets => (advance (send_sgi s (of_vm u) intid targets) i, Silence)
      | TakeIrq intid =>
          let q := irqs u intid in
          resume s i (set_irqs u (upd (irqs u) intid (Irq false (level q) (priority q))))
      | EndLevel intid sleeps =>
          exit_to_host s c i (if sleeps then set_waiting (next_pc u) true else u) ExitReason_LevelEnded [intid]
      | ListsFull => exit_to_host s c i u ExitReason_ListFull []
      | Interrupted => end_turn s c i u
      | SErrorTaken => exit_to_host s c i u ExitReason_Fault [FaultKind_raw FaultKind_SError]
      | IllegalState => exit_to_host s c i u ExitReason_Fault [FaultKind_raw FaultKind_Illegal]
      end
  | _ => (s, Silence)
  end.
