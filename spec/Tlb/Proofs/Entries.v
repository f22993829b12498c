(** * I5's bookkeeping through barriers and stores to stage-2 entries that take a leaf away *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own Proofs.Steps.
Open Scope N_scope.

(** ** Barriers *)

Lemma seen_cases c x : (seen c x = x /\ writer x <> c) \/ (writer x = c /\ seen c x = Cell (now x) [] (writer x)).
Proof. unfold seen. destruct (N.eqb_spec (writer x) c); auto. Qed.

Lemma seen_now c x : now (seen c x) = now x.
Proof. destruct (seen_cases c x) as [[-> _]|[_ ->]]; auto. Qed.

(** All hands of the core learn what its barrier does. *)
Lemma seen_frame u m c t i :
  takes u m c t i -> common i = true -> (forall x y, to_put_back m x i y = y) ->
  (forall h2 t2, takes u m h2 t2 i -> grows t2 (after u m h2 t2 i)) ->
  (forall h2 t2, takes u m h2 t2 i -> core_of u h2 = core_of u c ->
     call_ok u (set_cells m (fun d a => seen (core_of u c) (cells m d a))) h2 (after u m h2 t2 i)) ->
  invariant u (going_on u m (set_cells m (fun d a => seen (core_of u c) (cells m d a))) c i).
Proof.
  intros S SH PB G OWN. pose proof (t_there _ _ _ _ _ S) as T.
  apply go_on with (t := t); try reflexivity; simpl; auto.
  - exact (still_walks u m (set_cells m (fun d a => seen (core_of u c) (cells m d a))) c t i S PB eq_refl).
  - eapply still_host; eauto.
  - intros d a p. now rewrite seen_now.
  - intros d a p _. rewrite seen_now. auto.
  - intros d a p. destruct (seen_cases (core_of u c) (cells m d a)) as [[-> _]|[_ ->]]; simpl; tauto.
  - intros d a p. destruct (seen_cases (core_of u c) (cells m d a)) as [[-> X]|[_ ->]]; simpl; auto.
    intros _. right. repeat split; auto. intros h2 t2 C2 TT S2. exfalso. apply X. rewrite <- C2. now apply taken_by in TT.
  - intros h2 t2 TT S2. apply OWN; auto. now apply taken_by in TT.
  - intros h2 t2 TT T2. apply other_seen. now apply (i_calls _ _ (t_inv _ _ _ _ _ S)).
Qed.

Lemma dsb_grows u m c t : grows t (after u m c t Dsb).
Proof. repeat split; auto. intros []; simpl; apply after_dsb_whole. Qed.

Lemma dsb_own u m c t :
  takes u m c t Dsb -> call_ok u (set_cells m (fun d a => seen (core_of u c) (cells m d a))) c (after u m c t Dsb).
Proof.
  intros S. destruct (t_rules S) as [_ R]. pose proof (t_call S) as K.
  assert (LV : forall x, level_at (known (after u m c t Dsb)) x = after_dsb (erratum u) (level_at (known t) x)).
  { intro x. learned. destruct x; reflexivity. }
  assert (LG : level_grows (known t) (known (after u m c t Dsb))).
  { intros x. rewrite LV. destruct (after_dsb_whole (erratum u) (level_at (known t) x)) as (X & Y & _). auto. }
  assert (WB : is_whole (known (after u m c t Dsb)) OfVm = false -> is_whole (known t) OfVm = false).
  { unfold is_whole. rewrite LV. destruct (level_at (known t) OfVm); auto. }
  assert (MP : forall x, level_at (known (after u m c t Dsb)) x <> Mapped -> level_at (known t) x <> Mapped).
  { intros x. rewrite LV. intros X Y. apply X. now apply after_dsb_whole. }
  pose proof (c_lawful _ _ _ _ K) as (L1 & L2 & L3 & L4 & L5).
  destruct K; constructor; try assumption; auto.
  + intro H. simpl. rewrite seen_now. auto.
  + intro H. simpl. rewrite seen_now. auto.
  + intros Wk x L E Al. destruct (c_cells Wk x (MP x L) E Al) as [C1 C2]. simpl. split.
    * rewrite seen_now. apply C1.
    * intro F. exfalso. destruct (seen_cases (core_of u c) (cells m (regime_of (doing t) x) (entry_of (doing t) x))) as [[X Y]|[_ X]];
        rewrite X in F; [|contradiction]. destruct (C2 F) as (_ & Z). congruence.
  + intros Cl L Al. apply fits_less with (m := m); [apply c_fewer; auto; exact (MP OfVm L)|].
    intros a F. simpl in F. now rewrite seen_now in F.
  + intros Wk x. rewrite LV. apply reach_dsb with (m := m) (t := t) (k' := known (after u m c t Dsb)); try reflexivity.
    * apply (t_waits _ _ _ _ _ S).
    * apply c_reach. exact Wk.
  + intros Z. destruct (c_zero Z). split; auto. eapply nobody_grows; eauto.
  + intros Z. destruct (c_clean Z). split; auto. eapply nobody_grows; eauto.
  + intros Z. eapply losers_grow; eauto.
  + intros Z L. apply c_dead; auto. intro Q. apply (MP OfVm L Q).
  + intros Z. destruct (c_end Z) as [E1 E2]. split.
    * intro L. apply E1. intro Q. apply (MP OfVm L Q).
    * change (level_at (known (after u m c t Dsb)) OfHost = Mapped). rewrite LV. now apply after_dsb_whole.
Qed.

Lemma dsb_keeps u m c t :
  takes u m c t Dsb ->
  invariant u (going_on u m (set_cells m (fun d a => seen (core_of u c) (cells m d a))) c Dsb).
Proof.
  intros S. apply seen_frame with (t := t); auto.
  - intros. apply dsb_grows.
  - intros h2 t2 S2 <-. now apply dsb_own.
Qed.

Lemma ishst_keeps u m c t :
  takes u m c t Ishst ->
  invariant u (going_on u m (set_cells m (fun d a => seen (core_of u c) (cells m d a))) c Ishst).
Proof.
  intros S. apply seen_frame with (t := t); auto.
  - repeat split; auto.
  - clear S. intros h2 t2 S _. destruct (t_rules S) as [_ R].
    assert (K' : call_ok u (set_cells m (fun d a => seen (core_of u c) (cells m d a))) h2 t2) by (apply other_seen, (t_call S)).
    destruct K'; constructor; assumption.
Qed.

(** ** Stores *)

(** The call's own flush of a side has not begun: nobody else's has. *)
Lemma own_quiet u m c t x :
  invariant u m -> threads m c = Some t -> claimed (known t) = true -> level_at (known t) x = Mapped ->
  quiet m (regime_of (doing t) x) (entry_of (doing t) x) (page (doing t)).
Proof.
  intros I T C L c' t' y T' C' P Re _. destruct (one_holder _ _ _ _ _ _ I T T') as [-> <-]; auto.
  apply side_eq in Re. now subst.
Qed.

(** The VM's entry is the mark, or the leaf of the page that is held, or the host's entry for it: for all
    stores that take something away. *)
Lemma store_frame u m c t i d a e :
  takes u m c t i -> common i = false -> grows t (after u m c t i) ->
  published (known (after u m c t i)) = published (known t) ->
  holds_entry m c t d a -> e = Empty \/ e = Mark c ->
  (forall p, alive m d -> now (cells m d a) = Leaf p ->
     claimed (known (after u m c t i)) = true /\ p = page (doing t)
     /\ exists x, d = regime_of (doing t) x /\ a = entry_of (doing t) x /\ level_at (known (after u m c t i)) x <> Mapped) ->
  call_ok u (put_cell m d a (store (core_of u c) e (cells m d a))) c (after u m c t i) ->
  invariant u (going_on u m (put_cell m d a (store (core_of u c) e (cells m d a))) c i).
Proof.
  intros S SH G PU H E GO OWN. pose proof (t_there _ _ _ _ _ S) as T.
  assert (PB : forall x y, to_put_back m x i y = y) by (destruct i; try discriminate; auto).
  assert (EN : forall p, e <> Leaf p) by (intro p; destruct E; subst; discriminate).
  set (m1 := put_cell m d a (store (core_of u c) e (cells m d a))).
  assert (MINE : forall h2 t2, takes_too u c i h2 = true -> threads m h2 = Some t2 -> h2 = c /\ t2 = t).
  { intros h2 t2 TT T2. apply alone in TT; auto. subst. split; congruence. }
  apply frame with (m := m); try reflexivity; auto; try apply S.
  - intro h2. unfold going_on. cbn [threads set_threads]. unfold advance. destruct (threads m h2) as [t2|] eqn:T2; auto.
    destruct (takes_too u c i h2) eqn:TT; auto using grows_refl. destruct (MINE h2 t2 TT T2) as [-> ->]. exact G.
  - exact (still_walks u m m1 c t i S PB eq_refl).
  - intros d' a' p. unfold going_on. cbn [cells set_threads]. unfold m1.
    destruct (put_cell_cases m d a (store (core_of u c) e (cells m d a)) d' a') as [(-> & -> & ->)|(_ & ->)]; auto.
    simpl. intro F. now apply EN in F.
  - intros d' a' p Al F. unfold going_on. cbn [cells set_threads]. unfold m1.
    destruct (put_cell_cases m d a (store (core_of u c) e (cells m d a)) d' a') as [(-> & -> & _)|(_ & ->)]; auto.
    right. exists c, (after u m c t i). split; [|now apply GO]. cbn [threads set_threads]. unfold advance.
    rewrite T, (it_takes (u := u)). reflexivity.
  - intros d' a' p. unfold going_on. cbn [cells set_threads]. unfold m1.
    destruct (put_cell_cases m d a (store (core_of u c) e (cells m d a)) d' a') as [(-> & -> & ->)|(_ & ->)]; auto.
    simpl. tauto.
  - intros d' a' p. unfold going_on. cbn [cells set_threads]. unfold m1.
    destruct (put_cell_cases m d a (store (core_of u c) e (cells m d a)) d' a') as [(-> & -> & ->)|(_ & ->)]; auto.
    + simpl. intro F. now apply EN in F.
    + intros _. right. repeat split; auto. intros h2 t2 t' _ T2 T'. unfold advance in T'. cbn [threads set_threads] in T'. rewrite T2 in T'.
      injection T' as <-. destruct (takes_too u c i h2) eqn:TT; auto. destruct (MINE h2 t2 TT T2) as [-> ->]. exact PU.
  - intros h2 t' T'. apply other_threads. destruct (goes S m1 h2 t' T') as (t2 & T2 & [(TT & _ & ->)|(TT & ->)]).
    + destruct (MINE h2 t2 TT T2) as [-> ->]. exact OWN.
    + apply not_taken in TT as [N _]. apply other_store with (t := t); auto; try apply S. unfold stores_own. tauto.
Qed.

(** What a store to the VM's entry leaves of the host's, and the other way round. *)
Lemma put_vm_host m v a x b : cells (put_cell m (Vm v) a x) Host b = cells m Host b.
Proof. apply put_cell_other. left. discriminate. Qed.
Lemma put_host_vm m v a x b : cells (put_cell m Host a x) (Vm v) b = cells m (Vm v) b.
Proof. apply put_cell_other. left. discriminate. Qed.

Ltac sides := unfold regime_of; cbn [after doing dom_of entry_of].

Lemma take_keeps u m c t :
  takes u m c t Take -> now (cells m (Vm (vm_of (doing t))) (ipa (doing t))) = Empty ->
  invariant u (going_on u m (put_cell m (Vm (vm_of (doing t))) (ipa (doing t))
     (store (core_of u c) (Mark c) (cells m (Vm (vm_of (doing t))) (ipa (doing t))))) c Take).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  apply store_frame with (t := t); auto.
  - repeat split; auto.
  - right. split; eauto.
  - intros p _ F. congruence.
  - own K.
    + discriminate.
    + intros _. now rewrite put_cell_same.
    + intros Wk x L En Al. cbn [doing after] in *. destruct x; simpl in L.
      * destruct (c_cells Wk OfHost L En Al) as [C1 C2]. split; sides; rewrite put_vm_host; auto.
      * congruence.
Qed.

Lemma clear_host_keeps u m c t :
  takes u m c t (Clear OfHost) ->
  invariant u (going_on u m (put_cell m Host (page (doing t))
     (store (core_of u c) Empty (cells m Host (page (doing t))))) c (Clear OfHost)).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T.
  pose proof (own_quiet _ _ _ _ OfHost I T ltac:(assumption) ltac:(assumption)) as Q.
  assert (NL : forall a, now (cells m Host a) = Leaf (page (doing t)) -> a = page (doing t)).
  { intros a F. apply (i_leaf _ _ I Host a _ Logic.I) in F as [_ F]. auto. }
  assert (NE : is_end (kind_of (doing t)) = false).
  { destruct (is_end (kind_of (doing t))) eqn:E'; auto. pose proof (c_lawful _ _ _ _ K) as (_ & _ & _ & L4 & _).
    specialize (L4 E'). congruence. }
  apply store_frame with (t := t); auto.
  - repeat split; auto. intros x L. learned. rewrite level_set. unfold at_side. destruct x; simpl; try discriminate. exact L.
  - left. auto.
  - intros p _ F. apply (i_leaf _ _ I Host _ _ Logic.I) in F as [_ F]. repeat split; auto.
    + symmetry. auto.
    + exists OfHost. repeat split; auto. discriminate.
  - own K; try congruence.
    + intros Wk x L En Al. cbn [doing after] in *. learned. rewrite level_set. unfold at_side.
      destruct x; sides; simpl level_at.
      * split; sides; rewrite put_cell_same; simpl; auto. discriminate.
      * destruct (c_cells Wk OfVm) as [C1 C2]; auto.
    + intros Wk x. learned. rewrite level_set. unfold at_side. destruct x; simpl; [|apply c_reach; exact Wk].
      split; simpl; auto.
Qed.

Lemma clear_vm_keeps u m c t :
  takes u m c t (Clear OfVm) ->
  invariant u (going_on u m (put_cell m (Vm (vm_of (doing t))) (ipa (doing t))
     (store (core_of u c) (Mark c) (cells m (Vm (vm_of (doing t))) (ipa (doing t))))) c (Clear OfVm)).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T.
  pose proof (own_quiet _ _ _ _ OfVm I T ltac:(assumption) ltac:(assumption)) as Q.
  pose proof (c_sure _ _ _ _ K ltac:(assumption)) as SU.
  assert (AL : alive m (Vm (vm_of (doing t)))).
  { simpl. pose proof (c_pins _ _ _ _ K ltac:(assumption)) as P. destruct (phases m (vm_of (doing t))); simpl in P; congruence. }
  assert (NE : is_end (kind_of (doing t)) = false).
  { destruct (is_end (kind_of (doing t))) eqn:E'; auto. pose proof (c_lawful _ _ _ _ K) as (_ & _ & _ & L4 & _).
    specialize (L4 E'). congruence. }
  apply store_frame with (t := t); auto.
  - repeat split; auto. intros x L. learned. destruct x; simpl; try discriminate. exact L.
  - right. split; eauto.
  - intros p _ F. repeat split; auto.
    + congruence.
    + exists OfVm. repeat split; auto. discriminate.
  - own K; try congruence.
    + intros _. now rewrite put_cell_same.
    + intros Wk x L En Al. cbn [doing after] in *.
      destruct x.
      * destruct (c_cells Wk OfHost) as [C1 C2]; auto.
      * split; sides; rewrite put_cell_same; simpl; auto. discriminate.
    + intros Cl _ Al. cbn [doing after] in *.
      apply fits_drop with (m := m) (a := ipa (doing t)); auto.
      * pose proof (i_fits _ _ I (vm_of (doing t)) (page (doing t)) AL) as F. rewrite (owner_of_claimed u m c t) in F; auto.
        replace (wrote (known t)) with false in F by (symmetry; assumption). exact F.
      * rewrite put_cell_same. discriminate.
      * intro b. destruct (put_cell_cases m (Vm (vm_of (doing t))) (ipa (doing t)) (store (core_of u c) (Mark c) (cells m (Vm (vm_of (doing t))) (ipa (doing t)))) (Vm (vm_of (doing t))) b) as [(_ & -> & ->)|(D & ->)]; simpl; auto; discriminate.
    + intros Wk x. destruct x; simpl; [apply c_reach; exact Wk|].
      split; simpl; auto.
    + intros Z _. exfalso. destruct (kind_of (doing t)); try destruct z; discriminate.
Qed.

Lemma free_keeps u m c t :
  takes u m c t Free ->
  invariant u (going_on u m (put_cell m (Vm (vm_of (doing t))) (ipa (doing t))
     (store (core_of u c) Empty (cells m (Vm (vm_of (doing t))) (ipa (doing t))))) c Free).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T.
  assert (F : level_at (known t) OfVm = Flushed) by (apply level_eqb_true; assumption).
  assert (CASES : now (cells m (Vm (vm_of (doing t))) (ipa (doing t))) = Mark c
                  \/ (now (cells m (Vm (vm_of (doing t))) (ipa (doing t))) = Leaf (page (doing t)) /\ phases m (vm_of (doing t)) = Dead)).
  { match goal with H : _ \/ _ |- _ => destruct H as [M|M]; apply andb_prop in M as [M1 M2] end.
    - left. now apply (c_mine _ _ _ _ K).
    - right. split; [now apply (c_sure _ _ _ _ K)|]. apply (c_dead _ _ _ _ K); auto. simpl in F. congruence. }
  apply store_frame with (t := t); auto.
  - repeat split; auto.
  - right. split; eauto. destruct CASES as [C|[C _]]; auto.
  - intros p Al E. exfalso. destruct CASES as [C|[C D]]; [congruence|]. simpl in Al. congruence.
  - own K.
    + discriminate.
    + discriminate.
    + repeat split; auto; discriminate.
    + intros _ X. unfold is_whole in X. simpl in X, F. now rewrite F in X.
    + intros Wk x L En Al. cbn [doing after] in *. destruct x; simpl in L.
      * destruct (c_cells Wk OfHost L En Al) as [C1 C2]. split; sides; rewrite put_vm_host; auto.
      * destruct (c_cells Wk OfVm L En Al) as [C1 C2]. unfold regime_of in C1, C2, Al. cbn [dom_of entry_of] in C1, C2, Al.
        split; sides; rewrite put_cell_same; simpl; [discriminate|].
        intros [E|E]; exfalso; [auto|]. apply C2 in E as (E & _). congruence.
    + intros Cl L Al. apply fits_less with (m := m); [apply c_fewer; auto|]. intros b.
      destruct (put_cell_cases m (Vm (vm_of (doing t))) (ipa (doing t)) (store (core_of u c) Empty (cells m (Vm (vm_of (doing t))) (ipa (doing t)))) (Vm (vm_of (doing t))) b) as [(_ & -> & ->)|(D & ->)]; simpl; auto; discriminate.
Qed.
