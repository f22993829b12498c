(** * The engine's calls keep the rules

    Computed, for each call and each hand of one, with and without the erratum, with single invalidations and with that of the whole
    VM. A step that is taken out of a program in Calls.v, or put elsewhere, shows here first. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine.
Open Scope N_scope.

(** [err]: a core has the erratum, and the engine knows (`repeat_tlbi`); [whole]: flushes take the whole VMID. So many cores, so
    many hands, and whose. *)
Definition engine (err whole : bool) (cores hands : N) (core_of : N -> N) : setup := Setup err cores hands core_of (program err whole).

(** A page may be lent any number of times; of that the rules ask only whether it is the only time. *)
Theorem the_programs_keep_the_rules : forall err whole place k, keeps_rules err k (nothing (home k)) (program err whole place k) = true.
Proof.
  intros [] [] place [leaf|n|n| |mapped| |leaf| |t| | |mapped|n|mapped|z]; try destruct z; try destruct leaf; try destruct mapped;
    try destruct t as [| |n]; try destruct n; vm_compute; reflexivity.
Qed.

Theorem engine_lawful err whole n hs f : lawful (engine err whole n hs f).
Proof. intros h k. apply the_programs_keep_the_rules. Qed.

(** An engine that repeats though no core has the erratum does no harm either. *)
Definition careful (whole : bool) (cores hands : N) (core_of : N -> N) : setup := Setup false cores hands core_of (program true whole).
Theorem careful_lawful whole n hs f : lawful (careful whole n hs f).
Proof.
  intros h [leaf|n0|n0| |mapped| |leaf| |t| | |mapped|n0|mapped|z]; try destruct z; try destruct leaf; try destruct mapped;
    try destruct t as [| |n0]; try destruct n0; destruct whole; vm_compute; reflexivity.
Qed.
