(** * What the host does beside its calls

    Its accesses to memory, and its PSCI, which the engine answers in the firmware's place. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Psci Guest.Decode.
Open Scope N_scope.

(** ** Accesses *)

(** The same abort for a guest's page, the engine's and none. A page of the host's with a memory error
    gives it the error of the hardware. *)
Definition host_load (s : state) (p at_word : N) : output :=
  let pg := pages s p in
  if host_may (st pg) && negb (broken pg) then Loaded (word (holds pg) at_word) else Aborted.

Definition host_store (s : state) (p at_word w : N) : state * output :=
  let pg := pages s p in
  if host_may (st pg) && negb (broken pg)
  then (put_page s p (set_holds pg (set_word at_word w (holds pg))), Stored)
  else (s, Aborted).

(** ** PSCI *)

Definition seen_power (p : power) : power_seen :=
  match p with
  | CoreAbsent => SeenAbsent
  | CoreOff => SeenOff
  | CoreOnPending => SeenPending
  | CoreOn => SeenOn
  end.

(** Has the core vCPUs queued? Turned off, it would strand them. *)
Definition has_queued (s : state) (c : N) : bool :=
  existsb (fun i => match place (vcpus s i) with Queued q => q =? c | _ => false end)
          (below (vcpus_n (cfg s))).

Definition host_cpu_on (s : state) (target entry : N) : N + Z :=
  match by_affinity target (affinity (cfg s)) (below (cores_n (cfg s))) with
  | None => inr INVALID_PARAMETERS
  | Some c =>
      if negb (entry_ok (fun _ => true) entry) then inr INVALID_ADDRESS
      else match pow (cores s c) with
           | CoreOff => inl c
           | CoreOn => inr ALREADY_ON
           | CoreOnPending => inr ON_PENDING
           | CoreAbsent => inr INTERNAL_FAILURE
           end
  end.

Definition host_psci (s : state) (c : N) (p : psci) : state * Z :=
  match p with
  | PsciVersion => (s, VERSION_1_1)
  | Features f => (s, psci_features f)
  | MigrateInfoType => (s, MIGRATION_NOT_REQUIRED)
  | AffinityInfo target lowest =>
      let all := map (fun c => (affinity (cfg s) c, seen_power (pow (cores s c)))) (below (cores_n (cfg s))) in
      (s, affinity_info target lowest all)
  | CpuOn target entry _ =>
      match host_cpu_on s target entry with
      | inl t => (put_power s t CoreOnPending, PSCI_SUCCESS)
      | inr e => (s, e)
      end
  | CpuOff => if has_queued s c then (s, DENIED) else (put_power s c CoreOff, PSCI_SUCCESS)
  | CpuSuspend ps entry _ =>
      (s, match check_suspend (fun _ => true) ps entry with Some e => e | None => PSCI_SUCCESS end)
  | SystemOff | SystemReset => (switched_off s, PSCI_SUCCESS)
  end.

(** Other SMCs: an allow-list. What the firmware says comes with the weather. *)
Inductive smc := Pass | Say (z : Z).

Definition classify_smc (x0 x1 : N) : smc :=
  let a := cut x0 x1 in
  let up_to most := if a <=? most then Pass else Say SMCCC_INVALID_PARAMETER in
  let f := function_of x0 in
  if f =? 0x80000000 then Say (Z.of_N SMCCC_VERSION_1_2)
  else if f =? 0x80000001 then
    let asked := a mod 2 ^ 32 in
    if is_one_of asked [0x80000000; 0x80000001] then Say 0
    else if is_one_of asked [0x80000002; 0x80008000; 0x80007FFF; 0x80003FFF] then Pass
    else Say SMCCC_NOT_SUPPORTED
  else if is_one_of f [0x80000002; 0x80007FFF] then up_to 1
  else if is_one_of f [0x80008000; 0x80003FFF] then Pass
  else if is_trng f then match trng f a with None => Pass | Some z => Say z end
  else Say SMCCC_NOT_SUPPORTED.

Definition host_smc (s : state) (w : weather) (c imm x0 x1 x2 x3 : N) : state * output :=
  let say s z := (s, Registers [word64 z; x1; x2; x3]) in
  if negb (imm =? 0) then say s SMCCC_NOT_SUPPORTED else
  match decode_psci x0 x1 x2 x3 with
  | Some p =>
      let (s', z) := host_psci s c p in
      if machine_off s' then (s', MachineOff) else say s' z
  | None =>
      match classify_smc x0 x1 with
      | Pass => (s, Registers (firstn 4 (said w)))
      | Say z => say s z
      end
  end.

(** HVCs that are no calls of the engine: SMCCC's discovery. *)
Definition other_hvc (imm x0 x1 x2 x3 : N) : list N :=
  if (imm =? 0) && (function_of x0 =? SMCCC_VERSION) then [SMCCC_VERSION_1_2; x1; x2; x3]
  else if (imm =? 0) && (function_of x0 =? 0x8600FF01) then [0x6b6c7562; 0x64616568; 0x2d6c3265; 1]
  else [word64 SMCCC_NOT_SUPPORTED; x1; x2; x3].
