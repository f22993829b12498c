(** * What a write to ICC_SGI1R_EL1 asks for

    Target list in bits 15:0, Aff1 in 23:16, INTID in 27:24, Aff2 in 39:32, "all others" in 40, range of Aff0 in
    47:44, Aff3 in 55:48 (IHI0069, ICC_SGI1R_EL1). *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State Guest.Acts.
Open Scope N_scope.

Definition bits (value low count : N) : N := (value / 2 ^ low) mod 2 ^ count.

(** Is the vCPU with affinity [m] meant, when the one with affinity [sender] writes [value]? *)
Definition is_target (value sender m : N) : bool :=
  if N.testbit value 40 then negb (m =? sender)
  else (bits m 8 8 =? bits value 16 8) && (bits m 16 8 =? bits value 32 8) && (bits m 32 8 =? bits value 48 8)
       && (bits m 4 4 =? bits value 44 4) && N.testbit value (bits m 0 4).

(** The act of vCPU [i] that writes [value]. *)
Definition sgi_by_register (s : state) (i value : N) : act :=
  let u := vcpus s i in
  SendSgi (bits value 24 4)
          (filter (fun j => is_target value (mpidr u) (mpidr (vcpus s j))) (members (vms s (of_vm u)))).
