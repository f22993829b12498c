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

Definition kinds : list kind :=
  [Map There; Map Absent; Map AbsentBeside; Lend; Unlend; Share; Unshare true; Unshare false; Relinquish;
   ToEngine There; ToEngine Absent; ToEngine AbsentBeside;
   Touch Own; Touch SharedWith; Touch LentOut; EndVm; TakeOwn; TakeShared true; TakeShared false; TakeLent;
   Poison true; Poison false; Lose OfRelinquish; Lose (OfToEngine There); Lose (OfToEngine Absent);
   Lose (OfToEngine AbsentBeside); Lose OfTakeOwn; Lose (OfTakeShared true); Lose (OfTakeShared false)].

Definition keeps_all (err whole : bool) (place : N) : bool :=
  forallb (fun k => keeps_rules err k (nothing (home k)) (program err whole place k)) kinds.

Theorem the_programs_keep_the_rules : forall err whole place, keeps_all err whole place = true.
Proof. intros [] [] place; vm_compute; reflexivity. Qed.

Lemma all_kinds k : In k kinds.
Proof. destruct k; try destruct z; try destruct leaf; try destruct mapped; try destruct t; simpl; tauto. Qed.

Theorem engine_lawful err whole n hs f : lawful (engine err whole n hs f).
Proof.
  intros h k. pose proof (the_programs_keep_the_rules err whole h) as H. unfold keeps_all in H.
  rewrite forallb_forall in H. apply H. apply all_kinds.
Qed.

(** An engine that repeats though no core has the erratum does no harm either. *)
Definition careful (whole : bool) (cores hands : N) (core_of : N -> N) : setup := Setup false cores hands core_of (program true whole).
Theorem careful_lawful whole n hs f : lawful (careful whole n hs f).
Proof.
  intros h k. assert (H : forallb (fun k => keeps_rules false k (nothing (home k)) (program true whole h k)) kinds = true)
    by (destruct whole; vm_compute; reflexivity).
  rewrite forallb_forall in H. apply H. apply all_kinds.
Qed.
