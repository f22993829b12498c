(** * PSCI and SMCCC: what is the same for host and guests

    Numbers and decoding of Arm DEN0022 and DEN0028, as in `engine/src/trap/psci.rs`. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Calls.Vcpus.
Open Scope N_scope.

Inductive psci :=
| PsciVersion
| CpuSuspend (power_state entry context : N)
| CpuOff
| CpuOn (target entry context : N)
| AffinityInfo (target lowest : N)
| MigrateInfoType
| SystemOff
| SystemReset
| Features (function : N).

(** x0 is 32 bits of function identifier; without its bit 30 the arguments have 32 bits. *)
Definition function_of (x0 : N) : N := x0 mod 2 ^ 32.
Definition cut (x0 v : N) : N := if N.testbit x0 30 then v else v mod 2 ^ 32.

(** Numbers of 32 bits are compared, not matched on: a match on such a literal is a tree of its bits,
    1.2 MB of them where this is extracted. *)
Definition is_one_of (f : N) (numbers : list N) : bool := existsb (N.eqb f) numbers.

Definition decode_psci (x0 x1 x2 x3 : N) : option psci :=
  let a := cut x0 x1 in let b := cut x0 x2 in let c := cut x0 x3 in
  let f := function_of x0 in
  if f =? 0x84000000 then Some PsciVersion
  else if is_one_of f [0x84000001; 0xC4000001] then Some (CpuSuspend (a mod 2 ^ 32) b c)
  else if f =? 0x84000002 then Some CpuOff
  else if is_one_of f [0x84000003; 0xC4000003] then Some (CpuOn a b c)
  else if is_one_of f [0x84000004; 0xC4000004] then Some (AffinityInfo a (b mod 2 ^ 32))
  else if f =? 0x84000006 then Some MigrateInfoType
  else if f =? 0x84000008 then Some SystemOff
  else if f =? 0x84000009 then Some SystemReset
  else if f =? 0x8400000A then Some (Features a)
  else None.

Definition VERSION_1_1 : Z := 0x10001.
Definition PSCI_SUCCESS : Z := 0.
Definition PSCI_NOT_SUPPORTED : Z := -1.
Definition INVALID_PARAMETERS : Z := -2.
Definition DENIED : Z := -3.
Definition ALREADY_ON : Z := -4.
Definition ON_PENDING : Z := -5.
Definition INTERNAL_FAILURE : Z := -6.
Definition INVALID_ADDRESS : Z := -9.
Definition MIGRATION_NOT_REQUIRED : Z := 2.

Definition SMCCC_VERSION : N := 0x80000000.
Definition SMCCC_VERSION_1_2 : N := 0x10002.
Definition SMCCC_NOT_SUPPORTED : Z := -1.
Definition SMCCC_INVALID_PARAMETER : Z := -3.

Definition psci_features (f : N) : Z :=
  match decode_psci f 0 0 0 with
  | Some _ => PSCI_SUCCESS
  | None => if f =? SMCCC_VERSION then PSCI_SUCCESS else PSCI_NOT_SUPPORTED
  end.

(** ** AFFINITY_INFO *)

Inductive power_seen := SeenOn | SeenOff | SeenPending | SeenAbsent.

(** The affinity fields that count from a level on. *)
Definition counted (lowest : N) : option N :=
  match lowest with
  | 0 => Some AFFINITY
  | 1 => Some 0xff00ffff00
  | 2 => Some 0xff00ff0000
  | 3 => Some 0xff00000000
  | _ => None
  end.

(** A group is on if one of it is, else pending if one of it is, else off. *)
Definition affinity_info (target lowest : N) (all : list (N * power_seen)) : Z :=
  match counted lowest with
  | None => INVALID_PARAMETERS
  | Some mask =>
      if negb (is_affinity target) then INVALID_PARAMETERS
      else
        let group := filter (fun e => N.land (N.lxor (fst e) target) mask =? 0) all in
        if existsb (fun e => match snd e with SeenOn => true | _ => false end) group then 0%Z
        else if existsb (fun e => match snd e with SeenPending => true | _ => false end) group then 2%Z
        else match group with [] => INVALID_PARAMETERS | _ => 1%Z end
  end.

(** ** CPU_SUSPEND and CPU_ON: checks of arguments *)

Definition entry_ok (ram : N -> bool) (entry : N) : bool := (entry mod 4 =? 0) && ram entry.

(** Reserved bits of the power state; standby is bit 16 clear. *)
Definition check_suspend (ram : N -> bool) (power_state entry : N) : option Z :=
  if negb (N.land power_state 0xfcfe0000 =? 0) then Some INVALID_PARAMETERS
  else if N.testbit power_state 16 && negb (entry_ok ram entry) then Some INVALID_ADDRESS
  else None.

(** What is found under an affinity, by its place in a list. *)
Definition by_affinity (target : N) (of : N -> N) (all : list N) : option N :=
  if is_affinity target then find (fun i => of i =? target) all else None.
