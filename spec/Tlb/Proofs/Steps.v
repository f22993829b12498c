(** * I5's bookkeeping through the steps of calls that keep the page where it is *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own.
Open Scope N_scope.

Definition going_on (u : setup) (m m1 : machine) (c : N) (i : instr) : machine := set_threads m1 (advance u m c i).

(** A step is taken: the hand is there, the rules allow it, it need not wait. *)
Record takes (u : setup) (m : machine) (c : N) (t : thread) (i : instr) : Prop := {
  t_inv : invariant u m;
  t_there : threads m c = Some t;
  t_next : exists l, rest t = i :: l;
  t_waits : must_wait u m c (doing t) i = false
}.

Section Takes.
  Context {u : setup} {m : machine} {c : N} {t : thread} {i : instr}.
  Hypothesis S : takes u m c t i.

  Lemma t_call : call_ok u m c t.
  Proof. destruct S as [I T _ _]. apply (i_calls _ _ I _ _ T). Qed.
  Lemma t_rules : allowed (kind_of (doing t)) (known t) i = true
                  /\ keeps_rules (erratum u) (kind_of (doing t)) (learn (erratum u) (kind_of (doing t)) (known t) i) (tl (rest t)) = true.
  Proof.
    pose proof (c_rules _ _ _ _ t_call) as R. destruct (t_next _ _ _ _ _ S) as [l E]. rewrite E in *. simpl in *.
    apply andb_prop in R. exact R.
  Qed.

  Lemma it_takes : takes_too u c i c = true.
  Proof. unfold takes_too. now rewrite N.eqb_refl. Qed.

  (** A common step is taken by all hands of the core, which are of one call. *)
  Lemma fellow h2 t2 :
    common i = true -> threads m h2 = Some t2 -> core_of u h2 = core_of u c ->
    takes u m h2 t2 i /\ vm_of (doing t2) = vm_of (doing t) /\ home (kind_of (doing t2)) = home (kind_of (doing t)).
  Proof.
    destruct S as [I T _ W]. intros SH T2 C2. unfold must_wait in W. apply orb_false_elim in W as [W1 W2].
    rewrite SH in W1. simpl in W1. apply negb_false_iff in W1. unfold together in W1. rewrite forallb_forall in W1.
    assert (ALL : forall h3 t3, threads m h3 = Some t3 -> core_of u h3 = core_of u c ->
      (exists l, rest t3 = i :: l) /\ vm_of (doing t3) = vm_of (doing t)
      /\ by_guest (kind_of (doing t3)) = by_guest (kind_of (doing t))).
    { intros h3 t3 T3 C3. pose proof (a_hand _ _ _ _ I T3) as In3. rewrite C3 in In3. specialize (W1 h3 In3). rewrite T3 in W1.
      destruct (rest t3) as [|i3 l3]; [discriminate|]. apply andb_prop in W1 as [X Y]. destruct (instr_dec i i3); [|discriminate].
      subst. unfold one_call in Y. apply andb_prop in Y as [Y Z]. apply N.eqb_eq in Y. apply Bool.eqb_prop in Z. repeat split; eauto. }
    destruct (ALL h2 t2 T2 C2) as (N2 & V2 & B2). split; [constructor; auto|split; auto].
    - unfold must_wait. rewrite SH, C2, W2, orb_false_r. simpl. apply negb_false_iff. unfold together. apply forallb_forall.
      intros h3 In3. apply in_hands in In3 as [_ C3]. destruct (threads m h3) as [t3|] eqn:T3; auto.
      destruct (ALL h3 t3 T3) as ([l3 ->] & V3 & B3); [congruence|]. unfold one_call.
      destruct (instr_dec i i); [|congruence]. rewrite V2, V3, B2, B3, N.eqb_refl, Bool.eqb_reflx. reflexivity.
    - unfold home. now rewrite B2.
  Qed.

  Lemma taken_by h2 : takes_too u c i h2 = true -> core_of u h2 = core_of u c.
  Proof.
    unfold takes_too. intro H. apply orb_prop in H as [H|H]; [apply N.eqb_eq in H; now subst|].
    apply andb_prop in H as [_ H]. now apply N.eqb_eq.
  Qed.

  Lemma goes m1 h2 t' :
    threads (going_on u m m1 c i) h2 = Some t' ->
    exists t2, threads m h2 = Some t2
      /\ ((takes_too u c i h2 = true /\ takes u m h2 t2 i /\ t' = after u m h2 t2 i) \/ (takes_too u c i h2 = false /\ t' = t2)).
  Proof.
    unfold going_on. cbn [threads set_threads]. unfold advance. destruct (threads m h2) as [t2|] eqn:T2; [|discriminate].
    intro E. injection E as <-. exists t2. split; auto. destruct (takes_too u c i h2) eqn:TT; auto. left. split; auto. split; auto.
    unfold takes_too in TT. apply orb_prop in TT as [TT|TT].
    - apply N.eqb_eq in TT. subst. destruct S as [I T X W]. replace t2 with t by congruence. constructor; auto.
    - apply andb_prop in TT as [SH CC]. apply N.eqb_eq in CC. now destruct (fellow h2 t2 SH T2 CC).
  Qed.
End Takes.

(** A step that is not common is the hand's alone. *)
Lemma alone u c i h : common i = false -> takes_too u c i h = true -> h = c.
Proof. unfold takes_too. intros -> H. rewrite orb_false_r in H. now apply N.eqb_eq. Qed.
Lemma not_taken u c i h : takes_too u c i h = false -> h <> c /\ (common i = true -> core_of u h <> core_of u c).
Proof.
  unfold takes_too. intro H. apply orb_false_elim in H as [H1 H2]. apply N.eqb_neq in H1. split; auto.
  intros E. rewrite E in H2. now apply N.eqb_neq.
Qed.

Lemma works_same t t' : doing t' = doing t -> claimed (known t') = claimed (known t) -> works t' -> works t.
Proof. unfold works. intros -> ->. auto. Qed.

Ltac learned := cbn [after known doing rest saved to_put_back learn set_claimed set_levels set_vmid set_entry set_memory set_wrote
    claimed host_level vm_level vmid borrowed sure mine zeroed clean wrote published].
Ltac learned_in H := cbn [after known doing rest saved to_put_back learn set_claimed set_levels set_vmid set_entry set_memory set_wrote
    claimed host_level vm_level vmid borrowed sure mine zeroed clean wrote published] in H.


(** ** Steps in which what hands know grows *)

Lemma go_on u m m1 c t i :
  takes u m c t i ->
  (forall h2 t2, takes u m h2 t2 i -> grows t2 (after u m h2 t2 i)) ->
  words m1 = words m -> phases m1 = phases m -> ways m1 = ways m -> flights m1 = flights m ->
  (forall c2 v, regime m1 c2 = Vm v -> walks u (going_on u m m1 c i) c2 = true -> is_alive (phases m v) = true) ->
  (forall c2, cores u <= c2 -> regime m1 c2 = Host) ->
  (forall d a p, now (cells m1 d a) = Leaf p -> now (cells m d a) = Leaf p) ->
  (forall d a p, alive m d -> now (cells m d a) = Leaf p ->
     now (cells m1 d a) = Leaf p
     \/ (claimed (known (after u m c t i)) = true /\ p = page (doing t)
         /\ exists x, d = regime_of (doing t) x /\ a = entry_of (doing t) x /\ level_at (known (after u m c t i)) x <> Mapped)) ->
  (forall d a p, In (Leaf p) (old (cells m1 d a)) -> In (Leaf p) (old (cells m d a)) \/ now (cells m d a) = Leaf p) ->
  (forall d a p, now (cells m1 d a) = Leaf p ->
     old (cells m1 d a) = []
     \/ (old (cells m1 d a) = old (cells m d a) /\ writer (cells m1 d a) = writer (cells m d a)
         /\ (forall h2 t2, core_of u h2 = writer (cells m d a) -> takes_too u c i h2 = true -> takes u m h2 t2 i ->
               published (known (after u m h2 t2 i)) = published (known t2)))) ->
  (forall h2 t2, takes_too u c i h2 = true -> takes u m h2 t2 i -> call_ok u m1 h2 (after u m h2 t2 i)) ->
  (forall h2 t2, takes_too u c i h2 = false -> threads m h2 = Some t2 -> call_ok u m1 h2 t2) ->
  invariant u (going_on u m m1 c i).
Proof.
  intros S G W P WY FL RC RO NN NK NO NP OWN OT. apply frame with (m := m); auto; try apply S.
  - intro h2. destruct (threads m h2) as [t2|] eqn:T2; destruct (threads (going_on u m m1 c i) h2) as [t'|] eqn:T'.
    + destruct (goes S m1 h2 t' T') as (t3 & T3 & [(_ & S3 & ->)|(_ & ->)]); assert (t3 = t2) by congruence; subst; auto using grows_refl.
    + unfold going_on in T'. cbn [threads set_threads] in T'. unfold advance in T'. rewrite T2 in T'. discriminate.
    + destruct (goes S m1 h2 t' T') as (t3 & T3 & _). congruence.
    + auto.
  - intros d a p Al E. destruct (NK d a p Al E) as [F|(F1 & F2 & F3)]; auto. right.
    exists c, (after u m c t i). split; [|auto]. unfold going_on. cbn [threads set_threads]. unfold advance.
    rewrite (t_there _ _ _ _ _ S), (it_takes (u := u)). reflexivity.
  - intros d a p E. destruct (NP d a p E) as [F|(F1 & F2 & F3)]; auto. right. repeat split; auto.
    intros h2 t2 t' C2 T2 T'. destruct (goes S m1 h2 t' T') as (t3 & T3 & [(TT & S3 & ->)|(_ & ->)]); assert (t3 = t2) by congruence; subst; auto.
  - intros h2 t' T'. apply other_threads. destruct (goes S m1 h2 t' T') as (t3 & T3 & [(X & S3 & ->)|(X & ->)]); auto.
Qed.

(** A core walks in the regime in which it makes the call. *)
Lemma still_walks u m m1 c t i :
  takes u m c t i -> (forall x y, to_put_back m x i y = y) -> regime m1 = regime m ->
  forall c2 v, regime m1 c2 = Vm v -> walks u (going_on u m m1 c i) c2 = true -> is_alive (phases m v) = true.
Proof.
  intros S PB R c2 v E W. rewrite R in E. apply (i_walkers _ _ (t_inv _ _ _ _ _ S) c2); auto. apply walks_if.
  intros h2 t2 C2 T2. pose proof (c_core _ _ _ _ (i_calls _ _ (t_inv _ _ _ _ _ S) _ _ T2)) as [L2 _].
  pose proof (walks_true _ _ _ W h2) as X. unfold going_on in X. cbn [threads set_threads] in X. unfold advance in X. rewrite T2 in X.
  specialize (X _ L2 C2 eq_refl). destruct (takes_too u c i h2); auto. cbn [after saved] in X. now rewrite PB in X.
Qed.

Lemma still_host u m c t i : takes u m c t i -> forall c2, cores u <= c2 -> regime m c2 = Host.
Proof. intros S. apply (i_cores _ _ (t_inv _ _ _ _ _ S)). Qed.

(** Those that change neither entries, words nor phases: of one hand, and of all. *)
Lemma still u m m1 c t i :
  takes u m c t i -> common i = false -> grows t (after u m c t i) ->
  words m1 = words m -> cells m1 = cells m -> phases m1 = phases m -> ways m1 = ways m -> flights m1 = flights m ->
  regime m1 = regime m ->
  published (known (after u m c t i)) = published (known t) ->
  call_ok u m1 c (after u m c t i) -> (forall c2 t2, c2 <> c -> threads m c2 = Some t2 -> call_ok u m1 c2 t2) ->
  invariant u (going_on u m m1 c i).
Proof.
  intros S SH G W C P WY FL RG PB OWN OT.
  assert (PK : forall x y, to_put_back m x i y = y) by (destruct i; try discriminate; auto).
  pose proof (t_there _ _ _ _ _ S) as T.
  assert (X : forall d a p, now (cells m1 d a) = Leaf p -> now (cells m d a) = Leaf p) by (now rewrite C).
  apply frame with (m := m); auto; try apply S.
  - intro h2. unfold going_on. cbn [threads set_threads]. unfold advance. destruct (threads m h2) as [t2|] eqn:T2; auto.
    destruct (takes_too u c i h2) eqn:TT; auto using grows_refl. apply alone in TT; auto. subst. now replace t2 with t by congruence.
  - exact (still_walks u m m1 c t i S PK RG).
  - intros c2 L. unfold going_on. cbn [regime set_threads]. rewrite RG. eapply still_host; eauto.
  - intros d a p _ E. left. simpl. now rewrite C.
  - simpl. rewrite C. auto.
  - simpl. rewrite C. intros d a p E. right. repeat split; auto. intros h2 t2 t' _ T2 T'.
    unfold going_on in T'. cbn [threads set_threads] in T'. unfold advance in T'. rewrite T2 in T'. injection T' as <-.
    destruct (takes_too u c i h2) eqn:TT; auto. apply alone in TT; auto. subst. now replace t2 with t by congruence.
  - intros h2 t' T'. apply other_threads. destruct (goes S m1 h2 t' T') as (t2 & T2 & [(TT & _ & ->)|(TT & ->)]).
    + apply alone in TT; auto. subst. now replace t2 with t by congruence.
    + apply not_taken in TT as [N _]. auto.
Qed.

Lemma still_all u m m1 c t i :
  takes u m c t i -> common i = true ->
  (forall h2 t2, takes u m h2 t2 i -> grows t2 (after u m h2 t2 i) /\ published (known (after u m h2 t2 i)) = published (known t2)) ->
  words m1 = words m -> cells m1 = cells m -> phases m1 = phases m -> ways m1 = ways m -> flights m1 = flights m ->
  (forall c2 v, regime m1 c2 = Vm v -> walks u (going_on u m m1 c i) c2 = true -> is_alive (phases m v) = true) ->
  (forall c2, c2 <> core_of u c -> regime m1 c2 = regime m c2) ->
  (forall h2 t2, takes u m h2 t2 i -> core_of u h2 = core_of u c -> vm_of (doing t2) = vm_of (doing t) ->
     home (kind_of (doing t2)) = home (kind_of (doing t)) -> call_ok u m1 h2 (after u m h2 t2 i)) ->
  (forall h2 t2, core_of u h2 <> core_of u c -> threads m h2 = Some t2 -> call_ok u m1 h2 t2) ->
  invariant u (going_on u m m1 c i).
Proof.
  intros S SH G W C P WY FL RC RG OWN OT. pose proof (t_there _ _ _ _ _ S) as T.
  apply go_on with (t := t); rewrite ?C; auto.
  - intros h2 t2 S2. now apply G.
  - intros c2 L. rewrite RG; [eapply still_host; eauto|]. intros ->.
    destruct (c_core _ _ _ _ (t_call S)) as [_ X]. lia.
  - intros d a p E. right. repeat split; auto. intros h2 t2 _ _ S2. now apply G.
  - intros h2 t2 TT S2. pose proof (t_there _ _ _ _ _ S2) as T2. unfold takes_too in TT. apply orb_prop in TT as [TT|TT].
    + apply N.eqb_eq in TT. subst. replace t2 with t in * by congruence. auto.
    + apply andb_prop in TT as [_ TT]. apply N.eqb_eq in TT. destruct (fellow S h2 t2 SH T2 TT) as (_ & V & Hm). auto.
  - intros h2 t2 TT T2. apply not_taken in TT as [_ N]. auto.
Qed.

Lemma others u m c t i : takes u m c t i ->
  forall c2 t2, c2 <> c -> threads m c2 = Some t2 -> call_ok u m c2 t2.
Proof. intros S c2 t2 _ T. now apply (i_calls _ _ (t_inv _ _ _ _ _ S)). Qed.

Ltac allowed_in A := simpl in A; split_bools;
  repeat match goal with H : _ || _ = true |- _ => apply orb_prop in H end.

Ltac own K := 
  let L := fresh "L" in
  pose proof (c_lawful _ _ _ _ K) as L; destruct L as (L1 & L2 & L3 & L4 & L5);
  destruct K; constructor; learned; try assumption; auto; try tauto.

Ltac stay S := eapply still; try reflexivity; try exact S; auto;
  [repeat split; auto|idtac|now apply (others _ _ _ _ _ S)].

Lemma recheck_keeps u m c t :
  takes u m c t Recheck -> now (cells m (Vm (vm_of (doing t))) (ipa (doing t))) = Leaf (page (doing t)) ->
  invariant u (going_on u m m c Recheck).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  stay S. own K.
Qed.

(** A level that was [Mapped] is [Flushed] at once: nothing was left. *)
Lemma unmapped_keeps u m c t :
  takes u m c t (SeeMapped false) -> now (cells m Host (page (doing t))) <> Leaf (page (doing t)) ->
  invariant u (going_on u m m c (SeeMapped false)).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T.
  assert (Q : quiet m Host (page (doing t)) (page (doing t))).
  { intros c' t' x T' C' P Re _. destruct (one_holder _ _ _ _ _ _ I T T') as [-> <-]; auto.
    destruct x; auto. discriminate. }
  assert (LG : level_grows (known t) (known (after u m c t (SeeMapped false)))).
  { intros x. learned. rewrite level_set. unfold at_side. destruct x; simpl; auto. }
  stay S.
  - intros x Lx. learned. rewrite level_set. unfold at_side. destruct x; simpl; try discriminate; exact Lx.
  - own K.
    + intros Wk x. learned. rewrite level_set. unfold at_side. destruct (is_side OfHost x) eqn:X.
      * apply is_side_true in X. subst x. intros _ _ _. split; auto.
        intros F. exfalso. apply E. apply (i_old _ _ I Host _ _ Logic.I F Q).
      * apply c_cells. exact Wk.
    + intros Wk x. learned. rewrite level_set. unfold at_side. destruct (is_side OfHost x) eqn:X.
      * apply is_side_true in X. subst x. assert (NE : is_end (kind_of (doing t)) = false).
        { destruct (is_end (kind_of (doing t))) eqn:E'; auto. specialize (L4 eq_refl). congruence. }
        split.
        -- intros w In_ O [Ab|[Ab Aa]]; [simpl in Ab; congruence|]. simpl. destruct (i_ways _ _ I w In_) as (_ & _ & B).
           simpl in Ab, Aa, O. rewrite O, Ab, Aa in B. specialize (B Q). now apply E.
        -- intros f In_ O [Ab|[Ab Aa]]; [simpl in Ab; congruence|]. simpl. destruct (i_flights _ _ I f In_) as (_ & _ & B).
           simpl in Ab, Aa, O. rewrite O, Ab, Aa in B. specialize (B Q). now apply E.
      * apply c_reach. exact Wk.
    + intros Z. destruct (c_zero Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. destruct (c_clean Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. eapply losers_grow; eauto.
    + intros Z. specialize (L4 Z). congruence.
Qed.

Lemma mapped_keeps u m c t :
  takes u m c t (SeeMapped true) -> invariant u (going_on u m m c (SeeMapped true)).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. stay S. own K.
Qed.

Lemma gone_seen_keeps u m c t :
  takes u m c t SeeGone -> phases m (vm_of (doing t)) = Dead ->
  invariant u (going_on u m m c SeeGone).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  pose proof (t_inv _ _ _ _ _ S) as I.
  assert (LG : level_grows (known t) (known (after u m c t SeeGone))).
  { intros x. learned. rewrite level_set. unfold at_side. destruct x; simpl; auto. }
  stay S.
  - intros x Lx. learned. rewrite level_set. unfold at_side. destruct x; simpl; try discriminate; exact Lx.
  - own K.
    + discriminate.
    + intros Wk x. learned. rewrite level_set. unfold at_side. destruct (is_side OfVm x) eqn:X.
      * apply is_side_true in X. subst x. intros _ _ Al. simpl in Al. congruence.
      * apply c_cells. exact Wk.
    + intros Wk x. learned. rewrite level_set. unfold at_side. destruct (is_side OfVm x) eqn:X.
      * apply is_side_true in X. subst x. split.
        -- intros w In_ O Ab. simpl. destruct (i_ways _ _ I w In_) as (_ & B & _). rewrite O in B. now apply B.
        -- intros f In_ O Ab. simpl. destruct (i_flights _ _ I f In_) as (_ & B & _). rewrite O in B. now apply B.
      * apply c_reach. exact Wk.
    + intros Z. destruct (c_zero Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. destruct (c_clean Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. eapply losers_grow; eauto.
    + intros Z. specialize (L4 Z). congruence.
Qed.

(** ** Invalidations *)

Definition levels_tlbi (pg : side -> bool) (cb : bool) (k : knowledge) : knowledge :=
  set_levels k (fun y => after_tlbi (pg y) cb (is_side (vmid k) y)).

Lemma tlbi_own u m c t i o pg cb :
  takes u m c t i ->
  learn (erratum u) (kind_of (doing t)) (known t) i = levels_tlbi pg cb (known t) ->
  (forall x y, to_put_back m x i y = y) ->
  (forall x, vmid (known t) = x -> pg x = true -> cb = false ->
     o = ByIpa (regime_of (doing t) x) (entry_of (doing t) x) /\ is_end (kind_of (doing t)) = false) ->
  (forall x, vmid (known t) = x -> pg x = true -> cb = true -> o = Whole (regime_of (doing t) x)) ->
  (forall x, vmid (known t) = x -> pg x = false -> cb = true -> combined_of o (regime_of (doing t) x) = true) ->
  call_ok u (post_all u m (core_of u c) o) c (after u m c t i).
Proof.
  intros S LE PB P1 P2 P3. destruct (t_rules S) as [_ R]. pose proof (t_call S) as K.
  pose proof (t_inv _ _ _ _ _ S) as I. rewrite LE in R.
  assert (LV : forall x, level_at (levels_tlbi pg cb (known t)) x
                         = after_tlbi (pg x) cb (is_side (vmid (known t)) x) (level_at (known t) x)).
  { intro x. unfold levels_tlbi. now rewrite level_set. }
  assert (LG : level_grows (known t) (levels_tlbi pg cb (known t))).
  { intros x. rewrite LV. destruct (after_tlbi_whole (pg x) cb (is_side (vmid (known t)) x) (level_at (known t) x)) as (X & Y & _). auto. }
  assert (NM : forall x, level_at (known t) x <> Mapped -> level_at (levels_tlbi pg cb (known t)) x <> Mapped).
  { intros x. rewrite LV. apply after_tlbi_whole. }
  assert (WB : is_whole (levels_tlbi pg cb (known t)) OfVm = false -> is_whole (known t) OfVm = false).
  { unfold is_whole. rewrite LV. destruct (after_tlbi_whole (pg OfVm) cb (is_side (vmid (known t)) OfVm) (level_at (known t) OfVm)) as (X & Y & _).
    destruct (level_at (known t) OfVm); auto. }
  assert (AF : after u m c t i = Thread (doing t) (tl (rest t)) (saved t) (levels_tlbi pg cb (known t))).
  { unfold after. now rewrite LE, PB. }
  rewrite AF.
  pose proof (c_lawful _ _ _ _ K) as (L1 & L2 & L3 & L4 & L5).
    destruct K; constructor; learned; try assumption; auto.
    + intros Wk x L E Al. cbn [known doing] in *. rewrite LV in *.
      assert (LM : level_at (known t) x <> Mapped).
      { intro Z. apply L. now apply after_tlbi_whole. }
      destruct (c_cells Wk x LM E Al) as [C1 C2]. split; auto. intros F.
      destruct (C2 F) as (-> & F3). auto.
    + intros Cl L Al. refine (c_fewer Cl _ Al). intro Q. apply L.
      change (level_at (levels_tlbi pg cb (known t)) OfVm = Mapped). rewrite LV. now apply after_tlbi_whole.
    + intros Wk x. cbn [known doing] in *. rewrite LV. destruct (is_side (vmid (known t)) x) eqn:X.
      * apply is_side_true in X. apply reach_tlbi with (t := t); auto.
      * apply reach_tlbi_elsewhere with (t := t); auto.
    + intros Z. destruct (c_zero Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. destruct (c_clean Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. eapply losers_grow; eauto.
    + intros Z L. apply c_dead; auto. intro Q. apply L.
      change (level_at (levels_tlbi pg cb (known t)) OfVm = Mapped). rewrite LV. now apply after_tlbi_whole.
    + intros Z. destruct (c_end Z) as [E1 E2]. split.
      * intro L. apply E1. intro Q. apply L.
        change (level_at (levels_tlbi pg cb (known t)) OfVm = Mapped). rewrite LV. now apply after_tlbi_whole.
      * change (level_at (levels_tlbi pg cb (known t)) OfHost = Mapped). rewrite LV. now apply after_tlbi_whole.
Qed.

Lemma tlbi_grows u m c t i pg cb :
  learn (erratum u) (kind_of (doing t)) (known t) i = levels_tlbi pg cb (known t) ->
  grows t (after u m c t i) /\ published (known (after u m c t i)) = published (known t).
Proof.
  intro LE. unfold after, grows. cbn [doing known]. rewrite LE. repeat split; auto.
  intros x. unfold levels_tlbi. rewrite level_set. apply after_tlbi_whole.
Qed.

Lemma regime_here u m c t i x :
  takes u m c t i -> vmid (known t) = x -> regime m (core_of u c) = regime_of (doing t) x.
Proof. intros S <-. apply (c_regime _ _ _ _ (t_call S)). Qed.

Lemma tlbi_page_keeps u m c t x :
  takes u m c t (TlbiPage x) ->
  invariant u (going_on u m (post_all u m (core_of u c) (ByIpa (regime m (core_of u c)) (entry_of (doing t) x))) c (TlbiPage x)).
Proof.
  intro S. set (pg := fun y => is_side x y && negb (is_end (kind_of (doing t)))).
  destruct (tlbi_grows u m c t (TlbiPage x) pg false) as [G P]; auto.
  eapply still; try reflexivity; try exact S; auto.
  - apply tlbi_own with (pg := pg) (cb := false); auto; try discriminate.
    intros y E Q _. unfold pg in Q. apply andb_prop in Q as [Q N]. apply is_side_true in Q.
    rewrite (regime_here _ _ _ _ _ _ S E). apply negb_true_iff in N. subst x. auto.
  - intros c2 t2 N T2. apply other_posts. now apply (others _ _ _ _ _ S c2 t2).
Qed.

(** Those of the whole regime, for all hands. *)
Lemma tlbi_all_keeps u m c t i o pg :
  takes u m c t i -> common i = true -> (forall x y, to_put_back m x i y = y) ->
  (forall e kd k, learn e kd k i = levels_tlbi pg true k) ->
  (forall d, regime m (core_of u c) = d ->
     (forall x, pg x = true -> o = Whole d) /\ (forall x, pg x = false -> combined_of o d = true)) ->
  invariant u (going_on u m (post_all u m (core_of u c) o) c i).
Proof.
  intros S SH PB LE O. apply still_all with (t := t); auto.
  - intros h2 t2 S2. now apply tlbi_grows with (pg := pg) (cb := true).
  - exact (still_walks u m (post_all u m (core_of u c) o) c t i S PB eq_refl).
  - intros h2 t2 S2 C2 V H. rewrite <- C2. apply tlbi_own with (pg := pg) (cb := true); auto; try discriminate.
    + intros x E P _. rewrite <- (regime_here _ _ _ _ _ _ S2 E), C2. now apply (proj1 (O _ eq_refl) x).
    + intros x E P _. rewrite <- (regime_here _ _ _ _ _ _ S2 E), C2. now apply (proj2 (O _ eq_refl) x).
  - intros h2 t2 N T2. apply other_posts. now apply (i_calls _ _ (t_inv _ _ _ _ _ S)).
Qed.

Lemma tlbi_combined_keeps u m c t :
  takes u m c t TlbiCombined ->
  invariant u (going_on u m (post_all u m (core_of u c) (Combined (regime m (core_of u c)))) c TlbiCombined).
Proof.
  intro S. apply tlbi_all_keeps with (t := t) (pg := fun _ => false); auto. intros d <-. split; [discriminate|].
  intros _ _. simpl. destruct (dom_dec (regime m (core_of u c)) (regime m (core_of u c))); congruence.
Qed.

Lemma tlbi_whole_keeps u m c t :
  takes u m c t TlbiWhole ->
  invariant u (going_on u m (post_all u m (core_of u c) (Whole (regime m (core_of u c)))) c TlbiWhole).
Proof.
  intro S. apply tlbi_all_keeps with (t := t) (pg := fun _ => true); auto. intros d <-. split; [auto|discriminate].
Qed.

(** ** VTTBR *)

(** Of VTTBR's changes all but the core's own. *)
Lemma vttbr_keeps u m c t i d :
  takes u m c t i -> common i = true ->
  (forall h2 t2, takes u m h2 t2 i -> grows t2 (after u m h2 t2 i) /\ published (known (after u m h2 t2 i)) = published (known t2)) ->
  (forall v, d = Vm v -> to_put_back m (core_of u c) i (saved t) = None -> is_alive (phases m v) = true) ->
  (forall h2 t2, takes u m h2 t2 i -> core_of u h2 = core_of u c -> vm_of (doing t2) = vm_of (doing t) ->
     home (kind_of (doing t2)) = home (kind_of (doing t)) ->
     call_ok u (set_regime m (upd (regime m) (core_of u c) d)) h2 (after u m h2 t2 i)) ->
  invariant u (going_on u m (set_regime m (upd (regime m) (core_of u c) d)) c i).
Proof.
  intros S SH G RC OWN. pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T.
  destruct (c_core _ _ _ _ (t_call S)) as [LH LC].
  apply still_all with (t := t); auto; simpl.
  - intros c2 v. unfold upd. destruct (N.eqb_spec c2 (core_of u c)) as [->|N]; intros E W.
    + apply RC; auto. pose proof (walks_true _ _ _ W c) as X. unfold going_on in X. cbn [threads set_threads] in X. unfold advance in X.
      rewrite T, (it_takes (u := u)) in X. exact (X _ LH eq_refl eq_refl).
    + apply (i_walkers _ _ I c2); auto. apply walks_if. intros h2 t2 C2 T2.
      destruct (c_core _ _ _ _ (i_calls _ _ I _ _ T2)) as [L2 _].
      pose proof (walks_true _ _ _ W h2) as X. unfold going_on in X. cbn [threads set_threads] in X. unfold advance in X.
      rewrite T2 in X. specialize (X _ L2 C2 eq_refl). destruct (takes_too u c i h2) eqn:TT; auto.
      unfold takes_too in TT. apply orb_prop in TT as [TT|TT]; [apply N.eqb_eq in TT; congruence|].
      apply andb_prop in TT as [_ TT]. apply N.eqb_eq in TT. congruence.
  - intros c2 N. now apply upd_other.
  - intros h2 t2 N T2. apply other_regime; [now apply (i_calls _ _ I)|]. now apply upd_other.
Qed.

Lemma borrow_keeps u m c t x :
  takes u m c t (Borrow x) ->
  invariant u (going_on u m (set_regime m (upd (regime m) (core_of u c) (regime_of (doing t) x))) c (Borrow x)).
Proof.
  intros S. apply vttbr_keeps with (t := t); auto.
  - repeat split; auto.
  - discriminate.
  - clear S. intros h2 t2 S C2 V H. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
    own K.
    + simpl. rewrite C2, upd_same. unfold regime_of. now rewrite V.
    + discriminate.
    + simpl. split; [discriminate|auto].
Qed.

Lemma home_alive u m c t v :
  call_ok u m c t -> regime_of (doing t) (home (kind_of (doing t))) = Vm v -> is_alive (phases m v) = true.
Proof.
  intros K E. unfold regime_of, home in E. destruct (by_guest (kind_of (doing t))) eqn:B; [|discriminate].
  injection E as <-. apply (c_pins _ _ _ _ K). destruct (kind_of (doing t)); try destruct z; try discriminate; reflexivity.
Qed.

Lemma return_keeps u m c t :
  takes u m c t Return ->
  invariant u (going_on u m (set_regime m (upd (regime m) (core_of u c) (regime_of (doing t) (home (kind_of (doing t)))))) c Return).
Proof.
  intros S. apply vttbr_keeps with (t := t); auto.
  - repeat split; auto.
  - intros v E _. eapply home_alive; eauto. apply (t_call S).
  - clear S. intros h2 t2 S C2 V H. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
    own K.
    + simpl. rewrite C2, upd_same, <- H. unfold regime_of. now rewrite V.
    + split; [discriminate|congruence].
Qed.

(** ** The page's content *)

Lemma line_of_other u m c t i c2 t2 x :
  takes u m c t i -> claimed (known t) = true -> c2 <> c -> threads m c2 = Some t2 ->
  claimed (known t2) = true -> upd (lines m) (page (doing t)) x (page (doing t2)) = lines m (page (doing t2)).
Proof.
  intros S C N T2 C2. apply upd_other. intro E.
  destruct (one_holder _ _ _ _ _ _ (t_inv _ _ _ _ _ S) T2 (t_there _ _ _ _ _ S)); auto.
Qed.

Lemma zero_keeps u m c t :
  takes u m c t Zero ->
  invariant u (going_on u m (set_lines m (upd (lines m) (page (doing t)) (Line (Some zeroes) (behind (lines m (page (doing t))))))) c Zero).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  eapply still; try reflexivity; try exact S.
  - repeat split; auto.
  - own K.
    + simpl. rewrite upd_same. intros _. split; auto.
    + discriminate.
  - intros c2 t2 N T2. apply other_lines; [now apply (others _ _ _ _ _ S c2 t2)|].
    intro C2. eapply line_of_other; eauto.
Qed.

Lemma clean_keeps u m c t :
  takes u m c t Clean ->
  invariant u (going_on u m (set_lines m (upd (lines m) (page (doing t)) (cleaned (lines m (page (doing t)))))) c Clean).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  eapply still; try reflexivity; try exact S.
  - repeat split; auto.
  - own K.
    + repeat split; auto. intros [Z|Z]; [auto|]. apply andb_prop in Z as [_ Z]. now apply negb_true_iff.
    + simpl. rewrite upd_same. simpl. exact c_zero.
    + simpl. rewrite upd_same. intro Z. apply andb_prop in Z as [Z _]. auto.
  - intros c2 t2 N T2. apply other_lines; [now apply (others _ _ _ _ _ S c2 t2)|].
    intro C2. eapply line_of_other; eauto.
Qed.

(** ** A step that one hand takes alone *)

Definition moved_on (u : setup) (m m1 : machine) (c : N) (t : thread) (i : instr) : machine :=
  set_threads m1 (upd (threads m) c (Some (after u m c t i))).

Lemma same_threads u m f g :
  invariant u (set_threads m f) -> (forall h, g h = f h) -> invariant u (set_threads m g).
Proof.
  intros I E.
  assert (O : forall p, owner_now (set_threads m g) p = owner_now (set_threads m f) p).
  { intro p. unfold owner_now. simpl. destruct (words m p); auto. now rewrite E. }
  assert (Q : forall d a p, quiet (set_threads m g) d a p -> quiet (set_threads m f) d a p).
  { intros d a p Q h t x T. apply (Q h t x). simpl in *. now rewrite E. }
  constructor.
  - intros h t T. simpl in T. rewrite E in T. exact (other_threads u (set_threads m f) h t g (i_calls _ _ I h t T)).
  - intros p s h W. destruct (i_words _ _ I p s h W) as (t & T & X). exists t. simpl. now rewrite E.
  - intros d a p A L. rewrite O. exact (i_leaf _ _ I d a p A L).
  - intros v p A. rewrite O. exact (i_fits _ _ I v p A).
  - intros d a p A L F. exact (i_old _ _ I d a p A L (Q d a p F)).
  - intros d a p L. destruct (i_published _ _ I d a p L) as [X|(h & t & C & T & X)]; auto.
    right. exists h, t. simpl in *. rewrite E. auto.
  - intros w W. destruct (i_ways _ _ I w W) as (A & B & C). split; [exact A|]. split; [exact B|]. intro F. exact (C (Q _ _ _ F)).
  - intros f' W. destruct (i_flights _ _ I f' W) as (A & B & C). split; [exact A|]. split; [exact B|]. intro F. exact (C (Q _ _ _ F)).
  - intros c v R W. apply (i_walkers _ _ I c v R). apply walks_if. intros h t C T. simpl in T. rewrite <- E in T.
    destruct (N.ltb_spec h (hands u)) as [L|L]; [exact (walks_true _ _ _ W h t L C T)|].
    exfalso. rewrite E in T. pose proof (c_core _ _ _ _ (i_calls _ _ I h t T)). lia.
  - exact (i_cores _ _ I).
Qed.

Lemma going_alone u m m1 c t i :
  takes u m c t i -> common i = false -> invariant u (moved_on u m m1 c t i) -> invariant u (going_on u m m1 c i).
Proof.
  intros S SH I. apply same_threads with (f := upd (threads m) c (Some (after u m c t i))); auto.
  intro h. unfold advance, upd. destruct (N.eqb_spec h c) as [->|N].
  - rewrite (t_there _ _ _ _ _ S), (it_takes (u := u)). reflexivity.
  - destruct (threads m h); auto. destruct (takes_too u c i h) eqn:TT; auto. now apply alone in TT.
Qed.
