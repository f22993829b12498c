(** * The engine's calls keep the rules

    Computed, for each call, with and without the erratum, with single invalidations and with that of the whole
    VM. A step that is taken out of a program in Calls.v, or put elsewhere, shows here first. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine.
Open Scope N_scope.

(** [err]: a core has the erratum, and the engine knows (`repeat_tlbi`); [whole]: flushes take the whole VMID. *)
Definition engine (err : bool) (whole : bool) (n : N) : setup := Setup err n (program err whole).

Definition kinds : list kind :=
  [Map true; Map false; Lend; Unlend; Share; Unshare true; Unshare false; Relinquish; ToEngine true; ToEngine false;
   Touch Own; Touch SharedWith; Touch LentOut; EndVm; TakeOwn; TakeShared true; TakeShared false; TakeLent].

Definition keeps_all (err whole : bool) : bool :=
  forallb (fun k => keeps_rules err k (nothing (home k)) (program err whole k)) kinds.

Theorem the_programs_keep_the_rules : forall err whole, keeps_all err whole = true.
Proof. intros [] []; vm_compute; reflexivity. Qed.

Lemma all_kinds k : In k kinds.
Proof. destruct k; try destruct mapped; try destruct t; simpl; tauto. Qed.

Theorem engine_lawful err whole n : lawful (engine err whole n).
Proof.
  intro k. pose proof (the_programs_keep_the_rules err whole) as H. unfold keeps_all in H.
  rewrite forallb_forall in H. apply H. apply all_kinds.
Qed.

(** An engine that repeats though no core has the erratum does no harm either. *)
Definition careful (whole : bool) (n : N) : setup := Setup false n (program true whole).
Theorem careful_lawful whole n : lawful (careful whole n).
Proof.
  intro k. assert (H : forallb (fun k => keeps_rules false k (nothing (home k)) (program true whole k)) kinds = true)
    by (destruct whole; vm_compute; reflexivity).
  rewrite forallb_forall in H. apply H. apply all_kinds.
Qed.
