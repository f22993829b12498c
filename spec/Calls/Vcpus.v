(** * The host's calls about vCPUs

    VCPU_CREATE, VCPU_ENQUEUE, VCPU_DEQUEUE, VCPU_RESPOND, VCPU_INJECT; and the beginning of CPU_RUN,
    which lasts: what happens in it are steps of its own (Guest/), the last of which is its answer. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Calls.Memory.
Open Scope N_scope.

(** Affinity fields of MPIDR_EL1. *)
Definition AFFINITY : N := 0xff00ffffff.
Definition is_affinity (raw : N) : bool := N.ldiff raw AFFINITY =? 0.

(** ** VCPU_CREATE *)

Definition is_free_vcpu (s : state) (i : N) : bool :=
  (i <? vcpus_n (cfg s)) && negb (is_there (vcpus s i)).
Definition pick_vcpu_slot (s : state) (w : weather) : option N :=
  if is_free_vcpu s (free_slot w) then Some (free_slot w)
  else find (is_free_vcpu s) (below (vcpus_n (cfg s))).

Definition no_irq : irq := Irq false false 0.

(** Registers at reset. *)
Definition new_vcpu (old : vcpu) (v m entry arg : N) (p : residence) : vcpu :=
  VcpuSlot (next_generation (vgeneration old)) p v m
           (fun r => if r =? 0 then arg else 0) entry [] Nothing false (fun _ => no_irq).

Definition vcpu_create (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let m := x2 a in
  check is_affinity m && (x3 a mod 4 =? 0) else OUT_OF_RANGE;
  let? v := vm_for s VCPU_CREATE (x1 a) in
  let r := vms s v in
  check holds_ram r (x3 a / PAGE_SIZE) 1 else OUT_OF_RANGE;
  check negb (is_held w 0 AtPage) else BUSY;
  check N.of_nat (length (members r)) <? vcpu_limit r else LIMIT;
  check negb (existsb (fun i => mpidr (vcpus s i) =? m) (members r)) else OUT_OF_RANGE;
  let? i := some (pick_vcpu_slot s w) LIMIT in
  let place := match members r with [] => Parked | _ => Off end in
  let u := new_vcpu (vcpus s i) v m (x3 a) (x4 a) place in
  Ok (put_vcpu (put_vm s v (set_members r (members r ++ [i]))) i u,
      Ok [handle i (vgeneration u)])).

(** ** VCPU_ENQUEUE and VCPU_DEQUEUE *)

(** The vCPU of the call, its VM in a state that allows it. *)
Definition vcpu_for (s : state) (c : call) (h : N) : res N :=
  let? i := find_vcpu s h in
  check allows (vms s (of_vm (vcpus s i))) c else BAD_STATE;
  Ok i.

Definition moved (s : state) (i : N) (p : residence) : state := put_vcpu s i (set_place (vcpus s i) p).

Definition vcpu_enqueue (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? target := core_at s (x2 a) in
  let? i := vcpu_for s VCPU_ENQUEUE (x1 a) in
  match place (vcpus s i) with
  | Parked | Queued _ =>
      check negb (is_held w 0 AtPage) else BUSY;
      check negb (bars_queues (waits_for (vcpus s i))) else BAD_STATE;
      Ok (moved s i (Queued target), Ok [])
  | OnPending =>
      check negb (is_held w 0 AtPage) else BUSY;
      Ok (moved s i (Queued target), Ok [])
  | RunningOn _ => No BUSY
  | Off => No BAD_STATE
  | Absent => No BAD_HANDLE
  end).

(** BUSY of a running one rings its core's doorbell, which is not in the state. It asks for no state
    of the VM: a queued vCPU's VM is Running or Dying. *)
Definition vcpu_dequeue (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? i := find_vcpu s (x1 a) in
  match place (vcpus s i) with
  | Queued _ =>
      check negb (is_held w 0 AtPage) else BUSY;
      Ok (moved s i Parked, Ok [])
  | RunningOn _ => No BUSY
  | Absent => No BAD_HANDLE
  | Parked | OnPending | Off => No BAD_STATE
  end).

(** ** VCPU_RESPOND *)

(** What is left of an exception in the vCPU: it reads its syndrome, and goes on at its vector. *)
Definition EXTERNAL_ABORT : N := 1.
Definition UNDEFINED : N := 2.
Definition take_exception (u : vcpu) (code : N) : vcpu := set_sys u (code :: pc u :: sys u).

Definition next_pc (u : vcpu) : vcpu := set_pc u (pc u + 4).

(** x0 to x3. *)
Definition set_first4 (u : vcpu) (a b c d : N) : vcpu :=
  set_x u (upd (upd (upd (upd (x u) 0 a) 1 b) 2 c) 3 d).

(** What the register holds after a load of so many bytes. *)
Definition extend (bytes : N) (signed wide : bool) (data : N) : N :=
  let bits := 8 * N.max 1 (N.min 8 bytes) in
  let low := data mod 2 ^ bits in
  let value := if signed && (2 ^ (bits - 1) <=? low) then low + (2 ^ 64 - 2 ^ bits) else low in
  if wide then value else value mod 2 ^ 32.

(** The host's answer to what the vCPU stopped at. *)
Definition complete (u : vcpu) (o : Outcome) (a : args) : res vcpu :=
  let? u' :=
    match waits_for u, o with
    | AwaitRead r bytes signed wide, Outcome_Complete =>
        Ok (next_pc (set_x u (upd (x u) r (extend bytes signed wide (x2 a)))))
    | AwaitRead _ _ _ _, Outcome_Abort => Ok (take_exception u EXTERNAL_ABORT)
    | AwaitWrite, Outcome_Complete => Ok (next_pc u)
    | AwaitWrite, Outcome_Abort => Ok (take_exception u EXTERNAL_ABORT)
    | AwaitAnswer, Outcome_Complete => Ok (set_first4 u (x2 a) (x3 a) (x4 a) (x5 a))
    | AwaitAnswer, Outcome_Abort | AwaitPage, _ | Ended, _ | Nothing, _ => No BAD_STATE
    end in
  Ok (set_waits u' Nothing).

Definition vcpu_respond (s : state) (w : weather) (c : N) (a : args) : state * res (list N) :=
  or_refused s (
  let? o := some (find (fun o => Outcome_raw o =? x6 a) all_Outcome) OUT_OF_RANGE in
  let? i := vcpu_for s VCPU_RESPOND (x1 a) in
  match place (vcpus s i) with
  | Parked | Queued _ =>
      check negb (is_held w 0 AtPage) else BUSY;
      let? u := complete (vcpus s i) o a in
      Ok (put_vcpu s i (set_place u (Queued c)), Ok [])
  | RunningOn _ => No BUSY
  | Off | OnPending => No BAD_STATE
  | Absent => No BAD_HANDLE
  end).

(** ** VCPU_INJECT *)

Definition change_irq (q : irq) (k : InjectKind) (p : N) : irq :=
  match k with
  | InjectKind_Edge => Irq true (level q) p
  | InjectKind_Assert => Irq (edge q) true p
  | InjectKind_Deassert => Irq (edge q) false p
  end.

Definition vcpu_inject (s : state) (a : args) : state * res (list N) :=
  or_refused s (
  check (32 <=? x2 a) && (x2 a <? 32 + SPIS) else OUT_OF_RANGE;
  let? k := some (find (fun k => InjectKind_raw k =? x3 a) all_InjectKind) OUT_OF_RANGE in
  check x4 a <? 256 else OUT_OF_RANGE;
  let? i := vcpu_for s VCPU_INJECT (x1 a) in
  let u := vcpus s i in
  Ok (put_vcpu s i (set_irqs u (upd (irqs u) (x2 a) (change_irq (irqs u (x2 a)) k (x4 a)))), Ok [])).
