(** * Checks of arguments: from an untrusted register to a value

    In the order of `engine/src/hypercall/arguments.rs`: alignment before range. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World.
Open Scope N_scope.

Definition PAGE_SIZE : N := 4096.
(** Page numbers are below this. *)
Definition PAGES_END : N := 2 ^ 52.

Definition is_aligned (raw : N) : bool := raw mod PAGE_SIZE =? 0.

(** A page-aligned physical address. *)
Definition page_at (raw : N) : res N :=
  check is_aligned raw else UNALIGNED;
  Ok (raw / PAGE_SIZE).

(** A number of pages: 1 to [limit]. *)
Definition pages_count (raw limit : N) : res N :=
  check negb (raw =? 0) && (raw <=? limit) else OUT_OF_RANGE;
  Ok raw.

(** A run of [n] physical pages that does not wrap. *)
Definition run_at (raw n : N) : res N :=
  let? first := page_at raw in
  check first + n <? PAGES_END else OUT_OF_RANGE;
  Ok first.

(** A page-aligned IPA of which [n] pages lie below [2 ^ bits]. *)
Definition ipa_at (raw n bits : N) : res N :=
  check is_aligned raw else UNALIGNED;
  check raw + (n - 1) * PAGE_SIZE <? 2 ^ bits else OUT_OF_RANGE;
  Ok (raw / PAGE_SIZE).

(** Access rights: known bits only, readable. *)
Definition rights (raw : N) : res (bool * bool) :=
  check raw <? 8 else OUT_OF_RANGE;
  check N.testbit raw 0 else OUT_OF_RANGE;
  Ok (N.testbit raw 1, N.testbit raw 2).

(** ** Handles: slot in bits 15:0, generation above *)

Definition slot_of (h : N) : N := h mod 65536.
Definition generation_of (h : N) : N := h / 65536.
Definition handle (slot gen : N) : N := slot + 65536 * gen.

(** The generation that follows: 48 bits, never 0. *)
Definition next_generation (g : N) : N :=
  let n := (g + 1) mod 2 ^ 48 in if n =? 0 then 1 else n.

Definition is_live (v : vm) : bool := match phase v with Some _ => true | None => false end.

Definition find_vm (s : state) (h : N) : res N :=
  let v := slot_of h in
  check (v <? vms_n (cfg s)) && is_live (vms s v) && (generation (vms s v) =? generation_of h)
    else BAD_HANDLE;
  Ok v.

Definition is_there (u : vcpu) : bool := match place u with Absent => false | _ => true end.

Definition find_vcpu (s : state) (h : N) : res N :=
  let i := slot_of h in
  check (i <? vcpus_n (cfg s)) && is_there (vcpus s i) && (vgeneration (vcpus s i) =? generation_of h)
    else BAD_HANDLE;
  check is_live (vms s (of_vm (vcpus s i))) else BAD_HANDLE;
  Ok i.

(** Does the VM's state allow the call? As `interface.toml` says. *)
Definition allows (v : vm) (c : call) : bool :=
  match phase v with
  | Some now => existsb (vm_state_beq now) (call_states c)
  | None => false
  end.

(** A core's number, from a register. *)
Definition core_at (s : state) (raw : N) : res N :=
  check raw <? cores_n (cfg s) else OUT_OF_RANGE;
  Ok raw.
