(** * Leaves lie in the VM's RAM, loans in ranges that were created lendable *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Invariants Changes Proofs.Moves Proofs.PageChanges Proofs.OtherChanges.
From Bulkhead Require Import Proofs.LeafChanges Proofs.Reachable.
Open Scope N_scope.

(** Each leaf of each VM is in its RAM; one that leads to a page of the host's, in a lendable range of it. *)
Definition leaves_in_range (s : state) : Prop :=
  forall v a l, leaf_at s v a = Some l ->
  holds_ram (vms s v) a 1 = true
  /\ (forall k, st (pages s (to l)) = Lent v k -> may_lend (vms s v) a 1 = true).

Definition same_ranges (r q : vm) : Prop := ram0 q = ram0 r /\ ram1 q = ram1 r.

Lemma may_lend_holds r a n : may_lend r a n = true -> holds_ram r a n = true.
Proof.
  unfold may_lend, holds_ram. intro H. apply orb_prop in H as [H|H]; apply andb_prop in H as [_ ->];
    auto using orb_true_r.
Qed.

(** A VM's ranges are those that it was created with. *)
Lemma ranges_stay s w e v :
  invariant s -> same_ranges (vms s v) (vms (fst (step s w e)) v) \/ leaves (vms (fst (step s w e)) v) = [].
Proof.
  intro I. destruct (step_others s w e I) as [_ V].
  destruct (V v) as [-> |C]; [left; split; reflexivity|].
  destruct C; auto; left;
    try match goal with E : ?r = set_phase _ _ |- _ => rewrite E end;
    try match goal with E : ?r = set_leaves _ _ |- _ => rewrite E end;
    try match goal with E : ?r = set_members _ _ |- _ => rewrite E end;
    try match goal with E : ?r = set_ready _ _ |- _ => rewrite E end;
    split; reflexivity.
Qed.

Lemma in_range_same r q a n : same_ranges r q -> holds_ram q a n = holds_ram r a n /\ may_lend q a n = may_lend r a n.
Proof. unfold holds_ram, may_lend. intros [-> ->]. auto. Qed.

(** Only VM_LEND begins a loan, and of a page that was the host's alone. *)
Lemma loans_begin s e p a b v k :
  page_changes s e p a b -> st b = Lent v k ->
  (exists j, st a = Lent v j) \/ (st a = HostOwned /\ exists x, is_call VM_LEND x e).
Proof.
  intros C S. destruct C;
    unfold given, lent, donated, returned, shared, unshared, went_home, reclaimed, unlent, unmoved in *;
    try (left; eauto; exists k; intuition congruence; fail);
    try (exfalso; intuition congruence; fail).
  - destruct H0 as ([W|[j W]] & [j' W'] & _); [right; eauto|left; exists j; congruence].
  - destruct H0 as ([j W] & [W'|[j' W']] & _); [congruence|left; exists j; congruence].
  - destruct H2 as [[([j W] & [W'|[j' W']] & _)|[_ [W|[_ [W|W]]]]]|[W _]]; try congruence;
      left; [exists j|exists k]; congruence.
Qed.

Theorem step_in_range s w e : invariant s -> leaves_in_range s -> leaves_in_range (fst (step s w e)).
Proof.
  intros I H v a l L. destruct (ranges_stay s w e v I) as [R|E]; [|unfold leaf_at in L; now rewrite E in L].
  destruct (in_range_same _ _ a 1 R) as [-> ->].
  destruct (step_leaves s w e v a I) as [E|C].
  - rewrite E in L. destruct (H v a l L) as [A B]. split; [exact A|]. intros k S.
    destruct (step_pages s w e (to l) I) as [F|F]; [rewrite F in S; eauto|].
    destruct (loans_begin _ _ _ _ _ _ _ F S) as [[j W]|[W _]]; [eauto|].
    pose proof (I2_leaves s v a l (inv_memory _ I) L) as N. rewrite W in N. discriminate.
  - destruct C; try congruence.
    + split; [assumption|]. intros k S. assert (l0 = l) by congruence. subst l0.
      destruct (step_pages s w e (to l) I) as [F|F]; [congruence|].
      destruct (loans_begin _ _ _ _ _ _ _ F S) as [[j W]|[_ [y Y]]]; [congruence|].
      destruct H0 as [H0|H0]; inversion H0; inversion Y; congruence.
    + split; [now apply may_lend_holds|intros; assumption].
Qed.

(** ** In every reachable state *)

Theorem reachable_in_range s : reachable s -> leaves_in_range s.
Proof.
  induction 1 as [s B|s w e R IH].
  - intros v a l L. destruct (boot_vms _ B v) as (_ & E & _). unfold leaf_at in L. now rewrite E in L.
  - apply step_in_range; auto. now apply reachable_invariant.
Qed.

Theorem leaves_lie_in_ram s v a l :
  reachable s -> lookup a (leaves (vms s v)) = Some l -> holds_ram (vms s v) a 1 = true.
Proof.
  intros R L. now apply (reachable_in_range s R v a l).
Qed.

Theorem loans_lie_in_lendable_ranges s v a l k :
  reachable s -> lookup a (leaves (vms s v)) = Some l -> st (pages s (to l)) = Lent v k ->
  may_lend (vms s v) a 1 = true.
Proof.
  intros R L. now apply (reachable_in_range s R v a l).
Qed.
