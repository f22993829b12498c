(** * I5's bookkeeping at the end of a VM: nobody inside, and then no translations *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own Proofs.Steps Proofs.Entries Proofs.Turns Proofs.Lives.
Open Scope N_scope.

(** What does not depend on the call that is the end of a VM: it has claimed nothing. *)
Section End.
  Context {u : setup} {m : machine} {c : N} {t : thread} {i : instr} {l : list instr}.
  Hypothesis S : takes u m c t i.
  Hypothesis END : is_end (kind_of (doing t)) = true.

  Lemma end_unclaimed : claimed (known t) = false.
  Proof. destruct (c_lawful _ _ _ _ (t_call S)) as (_ & _ & _ & L & _). auto. Qed.

  Variable m1 : machine.
  Variable t' : thread.
  Hypothesis TH : threads m1 = upd (threads m) c (Some t').
  Hypothesis W : words m1 = words m.

  Lemma end_owner p : owner_now m1 p = owner_now m p.
  Proof.
    unfold owner_now. rewrite W, TH. destruct (words m p) eqn:X; auto.
    destruct (i_words _ _ (t_inv _ _ _ _ _ S) _ _ _ X) as (t2 & T2 & C2 & _).
    rewrite upd_other; auto. intros ->. pose proof (t_there _ _ _ _ _ S). pose proof end_unclaimed. congruence.
  Qed.

  Lemma end_walks : saved t' = saved t -> forall c2, walks u m1 c2 = true -> walks u m c2 = true.
  Proof.
    intros E c2 Wa. apply walks_if. intros h t2 C2 T2.
    destruct (c_core _ _ _ _ (i_calls _ _ (t_inv _ _ _ _ _ S) _ _ T2)) as [L _].
    pose proof (walks_true _ _ _ Wa h) as X. rewrite TH in X. unfold upd in X. destruct (N.eqb_spec h c) as [->|N]; [|eauto].
    pose proof (t_there _ _ _ _ _ S). replace t2 with t by congruence. rewrite <- E. eauto.
  Qed.

  Lemma end_quiet d a p : quiet m1 d a p -> quiet m d a p.
  Proof.
    intros Q c1 t1 x T1 C1 P R En. apply (Q c1 t1 x); auto. rewrite TH, upd_other; auto.
    intros ->. pose proof (t_there _ _ _ _ _ S). pose proof end_unclaimed. congruence.
  Qed.

  Lemma end_words p s c' : words m1 p = Claimed s c' ->
    exists t2, threads m1 c' = Some t2 /\ claimed (known t2) = true /\ page (doing t2) = p
               /\ s = from_ (kind_of (doing t2)) (vm_of (doing t2)).
  Proof.
    rewrite W. intro X. destruct (i_words _ _ (t_inv _ _ _ _ _ S) _ _ _ X) as (t2 & T2 & C2 & Y).
    exists t2. rewrite TH, upd_other; auto. intros ->. pose proof (t_there _ _ _ _ _ S). pose proof end_unclaimed. congruence.
  Qed.

  Lemma end_published d a p : cells m1 = cells m -> now (cells m d a) = Leaf p ->
    old (cells m1 d a) = [] \/ exists h t2, core_of u h = writer (cells m1 d a) /\ threads m1 h = Some t2 /\ claimed (known t2) = true
      /\ page (doing t2) = p /\ wrote (known t2) = true /\ published (known t2) = false.
  Proof.
    intros -> N. destruct (i_published _ _ (t_inv _ _ _ _ _ S) _ _ _ N) as [X|(h & t2 & H2 & T2 & C2 & Y)]; auto.
    right. exists h, t2. rewrite TH, upd_other; auto. intros X. rewrite X in T2.
    pose proof (t_there _ _ _ _ _ S). pose proof end_unclaimed. congruence.
  Qed.
End End.

Lemma none_runs_spec u m v c :
  invariant u m -> none_runs u m v = true -> regime m c <> Vm v.
Proof.
  intros I H E. unfold none_runs in H. rewrite forallb_forall in H.
  destruct (N.ltb_spec c (cores u)) as [L|L].
  - specialize (H c (proj2 (in_below _ _) L)). rewrite E in H. destruct (dom_dec (Vm v) (Vm v)); congruence.
  - pose proof (i_cores _ _ I c L). congruence.
Qed.

Lemma nobody_keeps u m c t :
  takes u m c t NobodyInside -> phases m (vm_of (doing t)) = Dying ->
  none_runs u m (vm_of (doing t)) = true -> no_call u m pins (vm_of (doing t)) = true ->
  invariant u (moved_on u m (set_phases m (upd (phases m) (vm_of (doing t)) (Flushing c))) c t NobodyInside).
Proof.
  intros S PH NR NC. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T. simpl in A. bools.
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  assert (E : is_end (kind_of (doing t)) = true) by assumption.
  pose proof (end_unclaimed S E) as UC.
  set (v := vm_of (doing t)) in *.
  set (m1 := set_phases m (upd (phases m) v (Flushing c))).
  assert (AL : forall d, alive m1 d -> alive m d).
  { intros [|w]; simpl; auto. unfold upd. destruct (N.eqb_spec w v); congruence. }
  assert (AL' : forall d, alive m d -> alive m1 d).
  { intros [|w]; simpl; auto. unfold upd. destruct (N.eqb_spec w v); congruence. }
  assert (PO : forall w, phases m w <> Dying -> upd (phases m) v (Flushing c) w = phases m w).
  { intros w N. apply upd_other. congruence. }
  set (t' := after u m c t NobodyInside).
  set (m2 := moved_on u m m1 c t NobodyInside).
  assert (TH : threads m2 = upd (threads m) c (Some t')) by reflexivity.
  assert (OWN : call_ok u m1 c t').
  { pose proof (c_lawful _ _ _ _ K) as (L1 & L2 & L3 & L4 & L5).
    assert (NP : pins (kind_of (doing t)) = false /\ of_dead (kind_of (doing t)) = false /\ host_level (known t) = Mapped).
    { destruct (kind_of (doing t)) eqn:Kd; try discriminate. repeat split; auto. apply (c_end _ _ _ _ K). now rewrite Kd. }
    destruct NP as (NP1 & NP2 & NP3).
    assert (WF : wrote (known t) = false /\ zeroed (known t) = false /\ clean (known t) = false).
    { destruct (wrote (known t)), (zeroed (known t)), (clean (known t)); auto; rewrite L1 in UC; auto; discriminate. }
    destruct WF as (WF1 & WF2 & WF3).
    destruct K. unfold t'. constructor; learned; try assumption; auto; try congruence.
    - intros _ x L En. simpl in En. congruence.
    - intros _ x. rewrite level_set. unfold at_side. destruct x; simpl; [rewrite NP3|]; split; simpl; auto.
    - intros _. split; auto. intros _. simpl. apply upd_same. }
  constructor.
  - intros c2 t2 T2. rewrite TH in T2. unfold upd in T2. destruct (N.eqb_spec c2 c).
    + subst. injection T2 as <-. apply other_threads. exact OWN.
    + apply other_threads. pose proof (i_calls _ _ I _ _ T2) as K2.
      assert (NV : pins (kind_of (doing t2)) = true -> vm_of (doing t2) <> v).
      { intro P. eapply no_call_spec; eauto. }
      destruct K2. constructor; try assumption.
      * intros Wk x L En Al. apply c_cells; auto.
      * intros Cl L Al. exact (c_fewer Cl L (AL (Vm _) Al)).
      * intros P. simpl. rewrite upd_other; auto.
      * intros D L. simpl. rewrite PO; auto. rewrite c_dead; congruence.
      * intros En. destruct (c_end En) as [E1 E2]. split; auto. intro L. simpl. rewrite PO; auto. rewrite E1; congruence.
  - apply (end_words S E m2 t' TH eq_refl).
  - intros d a p Al F. rewrite (end_owner S E m2 t' TH eq_refl). apply (i_leaf _ _ I); auto.
  - intros w p Al. rewrite (end_owner S E m2 t' TH eq_refl). apply (i_fits _ _ I). apply (AL (Vm w)). exact Al.
  - intros d a p Al F Q. apply (i_old _ _ I); auto. apply (end_quiet S E m2 t' TH); auto.
  - intros d a p F. apply (end_published S E m2 t' TH); auto.
  - intros w In_. destruct (i_ways _ _ I w In_) as (X & Y & Z). split; [exact X|]. split; [apply AL'; auto|].
    intro Q. apply Z. apply (end_quiet S E m2 t' TH); auto.
  - intros f In_. destruct (i_flights _ _ I f In_) as (X & Y & Z). split; [exact X|]. split; [apply AL'; auto|].
    intro Q. apply Z. apply (end_quiet S E m2 t' TH); auto.
  - intros c2 w Re Wa. simpl. unfold upd. destruct (N.eqb_spec w v).
    + subst w. exfalso. eapply none_runs_spec; eauto.
    + apply (i_walkers _ _ I c2); auto. exact (end_walks S m2 t' TH eq_refl c2 Wa).
  - intros c2 L. exact (i_cores _ _ I c2 L).
Qed.

Lemma gone_keeps u m c t :
  takes u m c t Gone ->
  invariant u (moved_on u m (set_phases m (upd (phases m) (vm_of (doing t)) Dead)) c t Gone).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T. simpl in A. bools.
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  assert (E : is_end (kind_of (doing t)) = true) by assumption.
  assert (FL : level_at (known t) OfVm = Flushed) by (apply level_eqb_true; assumption).
  pose proof (end_unclaimed S E) as UC.
  set (v := vm_of (doing t)) in *.
  set (m1 := set_phases m (upd (phases m) v Dead)).
  assert (PH : phases m v = Flushing c).
  { apply (c_end _ _ _ _ K E). simpl in FL. congruence. }
  assert (AL : forall d, alive m1 d -> alive m d).
  { intros [|w]; simpl; auto. unfold upd. destruct (N.eqb_spec w v); congruence. }
  destruct (c_reach _ _ _ _ K (or_intror E) OfVm) as [RW RF]. rewrite FL in RW, RF.
  assert (NW : forall w, In w (ways m) -> of w <> Vm v).
  { intros w In_ O. apply (RW w In_ O). left. exact E. }
  assert (NF : forall f, In f (flights m) -> f_of f <> Vm v).
  { intros f In_ O. apply (RF f In_ O). left. exact E. }
  assert (AL' : forall d, d <> Vm v -> alive m d -> alive m1 d).
  { intros [|w] N; simpl; auto. unfold upd. destruct (N.eqb_spec w v); congruence. }
  set (t' := after u m c t Gone).
  set (m2 := moved_on u m m1 c t Gone).
  assert (TH : threads m2 = upd (threads m) c (Some t')) by reflexivity.
  assert (OWN : call_ok u m1 c t').
  { pose proof (c_lawful _ _ _ _ K) as (L1 & L2 & L3 & L4 & L5).
    assert (NP : pins (kind_of (doing t)) = false /\ of_dead (kind_of (doing t)) = false /\ host_level (known t) = Mapped).
    { destruct (kind_of (doing t)) eqn:Kd; try discriminate. repeat split; auto. apply (c_end _ _ _ _ K). now rewrite Kd. }
    destruct NP as (NP1 & NP2 & NP3).
    assert (WF : wrote (known t) = false /\ zeroed (known t) = false /\ clean (known t) = false).
    { destruct (wrote (known t)), (zeroed (known t)), (clean (known t)); auto; rewrite L1 in UC; auto; discriminate. }
    destruct WF as (WF1 & WF2 & WF3).
    destruct K. unfold t'. constructor; learned; try assumption; auto; try congruence.
    - intros _ x L En. simpl in En. congruence.
    - intros _ x. rewrite level_set. unfold at_side. destruct x; simpl; [rewrite NP3|]; split; simpl; auto.
    - intros _. split; auto. intro X. exfalso. now apply X. }
  constructor.
  - intros c2 t2 T2. rewrite TH in T2. unfold upd in T2. destruct (N.eqb_spec c2 c).
    + subst. injection T2 as <-. apply other_threads. exact OWN.
    + apply other_threads. pose proof (i_calls _ _ I _ _ T2) as K2.
      destruct K2. constructor; try assumption.
      * intros Wk x L En Al. apply c_cells; auto.
      * intros Cl L Al. exact (c_fewer Cl L (AL (Vm _) Al)).
      * intros P. simpl. rewrite upd_other; auto. intros X. apply c_pins in P. rewrite X, PH in P. discriminate.
      * intros D L. simpl. unfold upd. destruct (N.eqb_spec (vm_of (doing t2)) v); auto.
      * intros En. destruct (c_end En) as [E1 E2]. split; auto. intro L. simpl. rewrite upd_other; auto.
        intros X. specialize (E1 L). rewrite X, PH in E1. congruence.
  - apply (end_words S E m2 t' TH eq_refl).
  - intros d a p Al F. rewrite (end_owner S E m2 t' TH eq_refl). apply (i_leaf _ _ I); auto.
  - intros w p Al. rewrite (end_owner S E m2 t' TH eq_refl). apply (i_fits _ _ I). apply (AL (Vm w)). exact Al.
  - intros d a p Al F Q. apply (i_old _ _ I); auto. apply (end_quiet S E m2 t' TH); auto.
  - intros d a p F. apply (end_published S E m2 t' TH); auto.
  - intros w In_. destruct (i_ways _ _ I w In_) as (X & Y & Z). split; [exact X|]. split; [apply AL'; auto|].
    intro Q. apply Z. apply (end_quiet S E m2 t' TH); auto.
  - intros f In_. destruct (i_flights _ _ I f In_) as (X & Y & Z). split; [exact X|]. split; [apply AL'; auto|].
    intro Q. apply Z. apply (end_quiet S E m2 t' TH); auto.
  - intros c2 w Re Wa.
    pose proof (end_walks S m2 t' TH eq_refl c2 Wa) as Wm.
    pose proof (i_walkers _ _ I c2 w Re Wm) as L.
    simpl. unfold upd. destruct (N.eqb_spec w v); auto. subst. rewrite PH in L. discriminate.
  - intros c2 L. exact (i_cores _ _ I c2 L).
Qed.
