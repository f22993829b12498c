(** * The life of VMs: VM_CREATE, VM_START, VM_DESTROY, VM_RECLAIM *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Calls.Pages Calls.Memory.
Open Scope N_scope.

(** ** VM_CREATE *)

Definition MIN_IPA_BITS : N := 32.
(** Pages of a vCPU's redistributor frames. *)
Definition REDISTRIBUTOR_PAGES : N := 32.

(** A range of RAM below [2 ^ bits]. *)
Definition range_at (at_ size bits : N) (l : bool) : res range :=
  check is_aligned at_ && is_aligned size else UNALIGNED;
  check at_ + size <=? 2 ^ bits else OUT_OF_RANGE;
  Ok (Range (at_ / PAGE_SIZE) (size / PAGE_SIZE) l).

Record plan := Plan { ram0_p : range; ram1_p : range; gicr_p : N; limit_p : N }.

Definition check_plan (s : state) (a : args) : res plan :=
  let shape := x1 a in
  let vcpus := shape mod 65536 in
  let bits := (shape / 65536) mod 65536 in
  let flags := shape / 2 ^ 32 in
  check flags <? 4 else OUT_OF_RANGE;
  check negb (vcpus =? 0) && (vcpus <=? VCPUS_PER_VM)
        && (MIN_IPA_BITS <=? bits) && (bits <=? ipa_bits (cfg s)) else OUT_OF_RANGE;
  let? r0 := range_at (x3 a) (x4 a) bits (N.testbit flags 0) in
  let? r1 := range_at (x5 a) (x6 a) bits (N.testbit flags 1) in
  check x2 a mod 65536 =? 0 else UNALIGNED;
  let? g := range_at (x2 a) (vcpus * REDISTRIBUTOR_PAGES * PAGE_SIZE) bits false in
  check negb (pages_in r0 =? 0) && negb (overlap r0 r1 || overlap g r0 || overlap g r1)
    else OUT_OF_RANGE;
  Ok (if negb (pages_in r1 =? 0) && (base r1 <? base r0)
      then Plan r1 r0 (base g) vcpus
      else Plan r0 r1 (base g) vcpus).

Definition is_free_slot (s : state) (v : N) : bool :=
  (v <? vms_n (cfg s)) && negb (is_live (vms s v)).

(** A free slot: the one that the weather says, else the first. *)
Definition pick_vm_slot (s : state) (w : weather) : option N :=
  if is_free_slot s (free_slot w) then Some (free_slot w)
  else find (is_free_slot s) (below (vms_n (cfg s))).

Definition new_vm (old : vm) (p : plan) : vm :=
  VmSlot (next_generation (generation old)) (Some Building)
         (ram0_p p) (ram1_p p) (gicr_p p) (limit_p p) [] [] [].

Definition vm_create (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? p := check_plan s a in
  let? v := some (pick_vm_slot s w) LIMIT in
  check negb (is_short w 0 AtEntry) else NO_MEMORY;
  let r := new_vm (vms s v) p in
  Ok (put_vm s v r, Ok [handle v (generation r)])).

(** ** VM_START

    The only call that changes something and yet is refused: with BUSY the VM stays Sealing. *)
Definition vm_start (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? v := vm_for s VM_START (x1 a) in
  if is_held w 0 AtPage
  then Ok (put_vm s v (set_phase (vms s v) (Some Sealing)), No BUSY)
  else Ok (put_vm s v (set_phase (vms s v) (Some Running)), Ok [])).

(** ** VM_DESTROY *)

Definition vm_destroy (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? v := find_vm s (x1 a) in
  let who := inside s v in
  let n := N.of_nat (length who) + also_inside w in
  Ok (put_vm s v (set_phase (vms s v) (Some Dying)),
      Ok [n; match who with c :: _ => c | [] => hd 0 (said w) end])).

(** ** VM_RECLAIM *)

(** Brings home what it comes upon, while there is work left of what one call may do: the state after, the
    work, and how many pages are done. *)
Fixpoint reclaim_leaves (s : state) (v : N) (left : N) (from : list (N * way)) : state * (N * N) :=
  match from with
  | [] => (s, (0, 0))
  | (a, how) :: rest =>
      let (s', n) := reclaim_leaf s v a how in
      if left <? fst n then (s, (0, 0))
      else let (s'', m) := reclaim_leaves s' v (left - fst n) rest in
           (s'', (fst n + fst m, snd n + snd m))
  end.

(** The slot is free again, and its vCPUs' slots and tables with it. *)
Definition free_vcpu (u : vcpu) : vcpu := set_place u Absent.
Definition free_table (v : N) (pg : page) : page :=
  match use pg with
  | Table (Some o) => if o =? v then set_use pg Unused else pg
  | _ => pg
  end.
Definition end_vm (s : state) (v : N) : state :=
  let r := vms s v in
  with_pages
    (with_vcpus
      (put_vm s v (set_ready (set_members (set_phase r None) []) []))
      (fun i => if existsb (N.eqb i) (members r) then free_vcpu (vcpus s i) else vcpus s i))
    (fun p => free_table v (pages s p)).

Definition vm_reclaim (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? max := pages_count (x2 a) RECLAIM_PAGES in
  let? v := vm_for s VM_RECLAIM (x1 a) in
  check match inside s v with [] => true | _ => false end && negb (is_held w 0 AtPage) else BUSY;
  let (s', n) := reclaim_leaves s v max (found w) in
  match leaves (vms s' v) with
  | [] => if ends w && (fst n =? 0) then Ok (end_vm s' v, Ok [0; 1]) else Ok (s', Ok [snd n; 0])
  | _ => Ok (s', Ok [snd n; 0])
  end).
