(** * What a step leaves to the call that takes it

    For each step that the rules allow: what the call may rely on after it, as [learn] says. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame.
Open Scope N_scope.

(** ** Levels *)

Lemma level_set k f x : level_at (set_levels k f) x = f x (level_at k x).
Proof. destruct x; reflexivity. Qed.

Lemma is_side_true x y : is_side x y = true <-> x = y.
Proof. destruct x, y; simpl; split; congruence. Qed.

Definition level_grows (k k' : knowledge) : Prop :=
  forall x, (level_at k x = Flushed -> level_at k' x = Flushed)
         /\ (level_at k x = Mapped -> level_at k' x = Mapped \/ level_at k' x = Flushed).

Lemma nobody_grows kd k k' : level_grows k k' -> nobody_reaches kd k = true -> nobody_reaches kd k' = true.
Proof.
  intros G. unfold nobody_reaches. rewrite !both_true. intros H x. specialize (H x).
  destruct (G x) as [G1 G2]. unfold is_flushed in *. apply orb_prop in H as [H|H].
  - apply andb_prop in H as [H O]. apply level_eqb_true in H. rewrite G1, O; auto.
  - apply andb_prop in H as [H M]. apply level_eqb_true in H. destruct (G2 H) as [->| ->]; [exact M|].
    destruct (elsewhere kd x) eqn:O; auto. apply elsewhere_may in O. rewrite O in M. discriminate.
Qed.

Lemma losers_grow kd k k' : level_grows k k' -> losers_are_flushed kd k = true -> losers_are_flushed kd k' = true.
Proof.
  intros G. unfold losers_are_flushed. rewrite !both_true. intros H x. specialize (H x).
  destruct (G x) as [G1 G2]. unfold is_flushed, is_whole in *. apply andb_prop in H as [H M].
  destruct (level_at k x) eqn:L; try discriminate.
  - destruct (G2 eq_refl) as [->| ->]; simpl in *; auto. apply orb_true_r.
  - now rewrite G1.
Qed.

Lemma same_grows k k' : (forall x, level_at k' x = level_at k x) -> level_grows k k'.
Proof. intros E x. rewrite !E. auto. Qed.

(** ** A DSB ends what was posted before *)

Lemma reach_dsb u m m1 c t l' k' x :
  ways m1 = ways m -> flights m1 = flights m -> posts m1 = posts m ->
  must_wait u m c (doing t) Dsb = false -> known l' = k' -> doing l' = doing t ->
  reach_ok u m c t x (level_at (known t) x) ->
  reach_ok u m1 c l' x (after_dsb (erratum u) (level_at (known t) x)).
Proof.
  intros W F P MW _ D [RW RF]. unfold must_wait in MW. apply orb_false_elim in MW as [_ MW]. apply orb_false_elim in MW as [M1 M2].
  assert (NP : forall o w, ~ In (Post (core_of u c) o w) (posts m)).
  { intros o w H. rewrite <- not_true_iff_false in M1. apply M1. apply existsb_exists.
    exists (Post (core_of u c) o w). split; auto. apply N.eqb_refl. }
  assert (NF : forall f, In f (flights m) -> ~ In (core_of u c) (owed f)).
  { intros f H O. rewrite <- not_true_iff_false in M2. apply M2. apply existsb_exists.
    exists f. split; auto. now apply is_in_true. }
  unfold reach_ok, about. rewrite W, F, P, D. split.
  - intros w I O A. specialize (RW w I O A). destruct (level_at (known t) x); simpl in *; auto.
    + destruct (via w) eqn:V; auto. exfalso. eapply NP; eauto.
    + destruct RW as (o & H & _). exfalso. eapply NP; eauto.
  - intros f I O A. specialize (RF f I O A). destruct (level_at (known t) x); simpl in *; auto.
    + destruct RF as [H|(o & H & _)]; [|exfalso; eapply NP; eauto].
      destruct (erratum u); simpl; auto. eapply NF; eauto.
    + destruct RF as [H|(_ & _ & o & H)]; [eapply NF; eauto|eapply NP; eauto].
Qed.

(** ** An invalidation is on its way to each core *)

Lemma in_to_all u c o k : k < cores u -> In (Post c o k) (to_all u c o).
Proof. intro L. unfold to_all. apply in_map. now apply in_below. Qed.

Lemma reach_tlbi u m c t t' x o page_ combined_ :
  invariant u m -> doing t' = doing t ->
  (page_ = true -> combined_ = false -> o = ByIpa (regime_of (doing t) x) (entry_of (doing t) x) /\ is_end (kind_of (doing t)) = false) ->
  (page_ = true -> combined_ = true -> o = Whole (regime_of (doing t) x)) ->
  (page_ = false -> combined_ = true -> combined_of o (regime_of (doing t) x) = true) ->
  reach_ok u m c t x (level_at (known t) x) ->
  reach_ok u (post_all u m (core_of u c) o) c t' x (after_tlbi page_ combined_ true (level_at (known t) x)).
Proof.
  intros I D P1 P2 P3 [RW RF]. unfold reach_ok, about. rewrite D.
  assert (OLD : forall l w, way_ok (core_of u c) (regime_of (doing t) x) (posts m) l w ->
    way_ok (core_of u c) (regime_of (doing t) x) (to_all u (core_of u c) o ++ posts m) l w).
  { intros l w. apply way_ok_posts. intros. apply in_or_app. auto. }
  assert (OLDF : forall l f, flight_ok (erratum u) (core_of u c) (regime_of (doing t) x) (posts m) l f ->
    flight_ok (erratum u) (core_of u c) (regime_of (doing t) x) (to_all u (core_of u c) o ++ posts m) l f).
  { intros l f. apply flight_ok_posts. intros. apply in_or_app. auto. }
  split; simpl.
  - intros w In_ O A. specialize (RW w In_ O A). destruct (i_ways _ _ I w In_) as (L & _).
    pose proof (in_to_all u (core_of u c) o (on w) L) as POST.
    destruct (level_at (known t) x) eqn:LV; simpl; try (apply OLD in RW; exact RW); try contradiction.
    + (* Unseen *)
      destruct page_, combined_; simpl; try (apply OLD in RW; exact RW).
      * specialize (P2 eq_refl eq_refl). subst o. exists (Whole (regime_of (doing t) x)).
        split; [apply in_or_app; auto|]. unfold hits, combined_of. split.
        -- destruct (via w); destruct (dom_dec (regime_of (doing t) x) (of w)); congruence.
        -- destruct (dom_dec (regime_of (doing t) x) (regime_of (doing t) x)); congruence.
      * destruct (P1 eq_refl eq_refl) as [-> E]. simpl in RW. intros a V.
        assert (a = entry_of (doing t) x) as ->; [|apply in_or_app; auto].
        unfold via in V. destruct (combines w); [discriminate|]. injection V as <-. destruct A as [A|[_ A]]; congruence.
    + (* PageGone *)
      destruct combined_; simpl; [|exact RW]. simpl in RW. exists o.
      split; [apply in_or_app; auto|].
      assert (C : combined_of o (regime_of (doing t) x) = true).
      { destruct page_; [|auto]. rewrite P2; auto. simpl. destruct (dom_dec _ _); congruence. }
      split; auto. apply combined_hits with (d := regime_of (doing t) x); auto.
  - intros f In_ O A. specialize (RF f In_ O A). destruct (i_flights _ _ I f In_) as (L & _).
    pose proof (in_to_all u (core_of u c) o (f_on f) L) as POST.
    destruct (level_at (known t) x) eqn:LV; simpl; try (apply OLDF in RF; exact RF); auto.
    + destruct page_, combined_; simpl; auto. right. exists o. split; [apply in_or_app; auto|].
      rewrite P2; auto. simpl. destruct (dom_dec _ _); congruence.
    + destruct combined_; simpl; auto. right. exists o. split; [apply in_or_app; auto|].
      destruct page_; [|auto]. rewrite P2; auto. simpl. destruct (dom_dec _ _); congruence.
    + (* AllGone *) simpl in RF. destruct RF as [E H]. right. repeat split; auto. exists o. apply in_or_app. auto.
Qed.

(** One in another regime does no harm, and repeats. *)
Lemma reach_tlbi_elsewhere u m c t t' x o page_ combined_ :
  invariant u m -> doing t' = doing t ->
  reach_ok u m c t x (level_at (known t) x) ->
  reach_ok u (post_all u m (core_of u c) o) c t' x (after_tlbi page_ combined_ false (level_at (known t) x)).
Proof.
  intros I D [RW RF]. unfold reach_ok, about. rewrite D. split; simpl.
  - intros w In_ O A. specialize (RW w In_ O A).
    assert (E : level_at (known t) x = AllGone -> False) by (intro E; now rewrite E in RW).
    eapply way_ok_posts; [intros q Q; apply in_or_app; right; exact Q|].
    destruct (level_at (known t) x); simpl in *; auto.
  - intros f In_ O A. specialize (RF f In_ O A). destruct (i_flights _ _ I f In_) as (L & _).
    pose proof (in_to_all u (core_of u c) o (f_on f) L) as POST.
    assert (G : flight_ok (erratum u) (core_of u c) (regime_of (doing t) x) (to_all u (core_of u c) o ++ posts m) (level_at (known t) x) f).
    { eapply flight_ok_posts; [|exact RF]. intros q Q. apply in_or_app. auto. }
    destruct (level_at (known t) x); simpl in *; auto.
    destruct RF as [E H]. right. repeat split; auto. exists o. apply in_or_app. auto.
Qed.

(** One by itself that is no invalidation of stage 2 of this entry: the level stays unless it repeats. *)
Lemma after_tlbi_whole p c h l :
  (l = Mapped -> after_tlbi p c h l = Mapped) /\ (l = Flushed -> after_tlbi p c h l = Flushed)
  /\ (l <> Mapped -> after_tlbi p c h l <> Mapped).
Proof. destruct l, p, c, h; simpl; repeat split; congruence. Qed.

Lemma after_dsb_whole e l :
  (l = Mapped -> after_dsb e l = Mapped) /\ (l = Flushed -> after_dsb e l = Flushed)
  /\ (l <> Mapped -> after_dsb e l <> Mapped).
Proof. destruct l, e; simpl; repeat split; congruence. Qed.
