(** * I5's bookkeeping through the steps of calls that keep the page where it is *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own.
Open Scope N_scope.

(** The call after a step. *)
Definition after (u : setup) (m : machine) (c : N) (t : thread) (i : instr) (l : list instr) : thread :=
  Thread (doing t) l (to_put_back m c i (saved t)) (learn (erratum u) (kind_of (doing t)) (known t) i).

Definition going_on (u : setup) (m m1 : machine) (c : N) (t : thread) (i : instr) (l : list instr) : machine :=
  set_threads m1 (upd (threads m) c (Some (after u m c t i l))).

(** A step is taken: the call is there, the rules allow it, it need not wait. *)
Record takes (u : setup) (m : machine) (c : N) (t : thread) (i : instr) (l : list instr) : Prop := {
  t_inv : invariant u m;
  t_there : threads m c = Some t;
  t_next : rest t = i :: l;
  t_waits : must_wait m c i = false
}.

Section Takes.
  Context {u : setup} {m : machine} {c : N} {t : thread} {i : instr} {l : list instr}.
  Hypothesis S : takes u m c t i l.

  Lemma t_call : call_ok u m c t.
  Proof. destruct S as [I T _ _]. apply (i_calls _ _ I _ _ T). Qed.
  Lemma t_rules : allowed (kind_of (doing t)) (known t) i = true
                  /\ keeps_rules (erratum u) (kind_of (doing t)) (learn (erratum u) (kind_of (doing t)) (known t) i) l = true.
  Proof.
    pose proof (c_rules _ _ _ _ t_call) as R. rewrite (t_next _ _ _ _ _ _ S) in R. simpl in R.
    apply andb_prop in R. exact R.
  Qed.
  Lemma t_works_levels x : ~ works t -> level_at (known t) x = Mapped \/ True.
  Proof. auto. Qed.
End Takes.

Lemma works_same t t' : doing t' = doing t -> claimed (known t') = claimed (known t) -> works t' -> works t.
Proof. unfold works. intros -> ->. auto. Qed.

Ltac learned := cbn [after known doing rest saved to_put_back learn set_claimed set_levels set_vmid set_entry set_memory set_wrote
    claimed host_level vm_level vmid borrowed sure mine zeroed clean wrote published].
Ltac learned_in H := cbn [after known doing rest saved to_put_back learn set_claimed set_levels set_vmid set_entry set_memory set_wrote
    claimed host_level vm_level vmid borrowed sure mine zeroed clean wrote published] in H.


(** ** Steps that change neither entries, words nor phases *)

Lemma still u m m1 c t i l :
  takes u m c t i l -> grows t (after u m c t i l) ->
  words m1 = words m -> cells m1 = cells m -> phases m1 = phases m -> ways m1 = ways m -> flights m1 = flights m ->
  (forall c', c' <> c -> regime m1 c' = regime m c') ->
  (forall v, regime m1 c = Vm v -> to_put_back m c i (saved t) = None -> is_alive (phases m v) = true) ->
  published (known (after u m c t i l)) = published (known t) ->
  call_ok u m1 c (after u m c t i l) -> (forall c2 t2, c2 <> c -> threads m c2 = Some t2 -> call_ok u m1 c2 t2) ->
  invariant u (going_on u m m1 c t i l).
Proof.
  intros S G W C P WY FL RG RC PB OWN OT.
  apply frame with (m := m) (c := c) (t := t) (t' := after u m c t i l); simpl; rewrite ?C; auto; try apply S.
  - apply other_threads. exact OWN.
  - intros c2 t2 N T2. apply other_threads. auto.
Qed.

(** The core walks in the regime in which it makes the call. *)
Lemma walks_at_home u m c t i l v :
  takes u m c t i l -> regime m c = Vm v -> saved t = None -> is_alive (phases m v) = true.
Proof.
  intros S E N. apply (i_walkers _ _ (t_inv _ _ _ _ _ _ S) c); auto.
  unfold walks. now rewrite (t_there _ _ _ _ _ _ S), N.
Qed.

Lemma others u m c t i l : takes u m c t i l ->
  forall c2 t2, c2 <> c -> threads m c2 = Some t2 -> call_ok u m c2 t2.
Proof. intros S c2 t2 _ T. now apply (i_calls _ _ (t_inv _ _ _ _ _ _ S)). Qed.

Ltac allowed_in A := simpl in A; split_bools;
  repeat match goal with H : _ || _ = true |- _ => apply orb_prop in H end.

Ltac own K := 
  let L := fresh "L" in
  pose proof (c_lawful _ _ _ _ K) as L; destruct L as (L1 & L2 & L3 & L4 & L5);
  destruct K; constructor; learned; try assumption; auto; try tauto.

Ltac stay S := eapply still; try reflexivity; try exact S; auto;
  [repeat split; auto|simpl; intros; eapply walks_at_home; eauto|idtac|now apply (others _ _ _ _ _ _ S)].

Lemma recheck_keeps u m c t l :
  takes u m c t Recheck l -> now (cells m (Vm (vm_of (doing t))) (ipa (doing t))) = Leaf (page (doing t)) ->
  invariant u (going_on u m m c t Recheck l).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  stay S. own K.
Qed.

(** A level that was [Mapped] is [Flushed] at once: nothing was left. *)
Lemma unmapped_keeps u m c t l :
  takes u m c t (SeeMapped false) l -> now (cells m Host (page (doing t))) <> Leaf (page (doing t)) ->
  invariant u (going_on u m m c t (SeeMapped false) l).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  pose proof (t_inv _ _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ _ S) as T.
  assert (Q : quiet m Host (page (doing t))).
  { intros c' t' x T' C' P Re. destruct (one_holder _ _ _ _ _ _ I T T') as [-> <-]; auto.
    destruct x; auto. discriminate. }
  assert (NL : forall a, now (cells m Host a) <> Leaf (page (doing t))).
  { intros a F. destruct (i_leaf _ _ I Host a _ Logic.I F) as [_ X]. rewrite X in F; auto. }
  assert (LG : level_grows (known t) (known (after u m c t (SeeMapped false) l))).
  { intros x. learned. rewrite level_set. unfold at_side. destruct x; simpl; auto. }
  stay S.
  - intros x Lx. learned. rewrite level_set. unfold at_side. destruct x; simpl; try discriminate; exact Lx.
  - own K.
    + intros Wk x. learned. rewrite level_set. unfold at_side. destruct (is_side OfHost x) eqn:X.
      * apply is_side_true in X. subst x. intros _ _ _. split; intros a; auto.
        intros F. exfalso. apply (NL a). apply (i_old _ _ I Host a _ Logic.I F Q).
      * apply c_cells. exact Wk.
    + intros Wk x. learned. rewrite level_set. unfold at_side. destruct (is_side OfHost x) eqn:X.
      * apply is_side_true in X. subst x. assert (NE : is_end (kind_of (doing t)) = false).
        { destruct (is_end (kind_of (doing t))) eqn:E'; auto. specialize (L4 eq_refl). congruence. }
        split.
        -- intros w In_ O [Ab|Ab]; [simpl in Ab; congruence|]. simpl. destruct (i_ways _ _ I w In_) as (_ & _ & B).
           simpl in Ab, O. rewrite O, Ab in B. specialize (B Q). destruct (via w); [eapply NL; eauto|].
           destruct B as [a B]. eapply NL; eauto.
        -- intros f In_ O [Ab|Ab]; [simpl in Ab; congruence|]. simpl. destruct (i_flights _ _ I f In_) as (_ & _ & B).
           simpl in Ab, O. rewrite O, Ab in B. destruct (B Q) as [a F]. eapply NL; eauto.
      * apply c_reach. exact Wk.
    + intros Z. destruct (c_zero Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. destruct (c_clean Z). split; auto. eapply nobody_grows; eauto.
    + intros Z. eapply losers_grow; eauto.
    + intros Z. specialize (L4 Z). congruence.
Qed.

Lemma mapped_keeps u m c t l :
  takes u m c t (SeeMapped true) l -> invariant u (going_on u m m c t (SeeMapped true) l).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. stay S. own K.
Qed.

Lemma gone_seen_keeps u m c t l :
  takes u m c t SeeGone l -> phases m (vm_of (doing t)) = Dead ->
  invariant u (going_on u m m c t SeeGone l).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  pose proof (t_inv _ _ _ _ _ _ S) as I.
  assert (LG : level_grows (known t) (known (after u m c t SeeGone l))).
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

Lemma tlbi_keeps u m c t i l o pg cb :
  takes u m c t i l ->
  learn (erratum u) (kind_of (doing t)) (known t) i = levels_tlbi pg cb (known t) ->
  to_put_back m c i (saved t) = saved t ->
  (forall x, vmid (known t) = x -> pg x = true -> cb = false ->
     o = ByIpa (regime_of (doing t) x) (entry_of (doing t) x) /\ is_end (kind_of (doing t)) = false) ->
  (forall x, vmid (known t) = x -> pg x = true -> cb = true -> o = Whole (regime_of (doing t) x)) ->
  (forall x, vmid (known t) = x -> pg x = false -> cb = true -> combined_of o (regime_of (doing t) x) = true) ->
  invariant u (going_on u m (post_all u m c o) c t i l).
Proof.
  intros S LE PB P1 P2 P3. destruct (t_rules S) as [_ R]. pose proof (t_call S) as K.
  pose proof (t_inv _ _ _ _ _ _ S) as I. rewrite LE in R.
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
  assert (AF : after u m c t i l = Thread (doing t) l (saved t) (levels_tlbi pg cb (known t))).
  { unfold after. now rewrite LE, PB. }
  eapply still; try reflexivity; try exact S; rewrite ?AF.
  - repeat split; auto.
  - intros v E1 E2. rewrite PB in E2. eapply walks_at_home; eauto.
  - reflexivity.
  - pose proof (c_lawful _ _ _ _ K) as (L1 & L2 & L3 & L4 & L5).
    destruct K; constructor; learned; try assumption; auto.
    + intros Wk x L E Al. cbn [known doing] in *. rewrite LV in *.
      assert (LM : level_at (known t) x <> Mapped).
      { intro Z. apply L. now apply after_tlbi_whole. }
      destruct (c_cells Wk x LM E Al) as [C1 C2]. split; auto. intros a F.
      destruct (C2 a F) as (-> & F2 & F3). auto.
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
  - intros c2 t2 N T2. apply other_posts. now apply (others _ _ _ _ _ _ S c2 t2).
Qed.

Lemma regime_here u m c t i l x :
  takes u m c t i l -> vmid (known t) = x -> regime m c = regime_of (doing t) x.
Proof. intros S <-. apply (c_regime _ _ _ _ (t_call S)). Qed.

Lemma tlbi_page_keeps u m c t x l :
  takes u m c t (TlbiPage x) l ->
  invariant u (going_on u m (post_all u m c (ByIpa (regime m c) (entry_of (doing t) x))) c t (TlbiPage x) l).
Proof.
  intro S. apply tlbi_keeps with (pg := fun y => is_side x y && negb (is_end (kind_of (doing t)))) (cb := false); auto; try discriminate.
  intros y E P _. apply andb_prop in P as [P N]. apply is_side_true in P.
  rewrite (regime_here _ _ _ _ _ _ _ S E). apply negb_true_iff in N. subst x. auto.
Qed.

Lemma tlbi_combined_keeps u m c t l :
  takes u m c t TlbiCombined l ->
  invariant u (going_on u m (post_all u m c (Combined (regime m c))) c t TlbiCombined l).
Proof.
  intro S. apply tlbi_keeps with (pg := fun _ => false) (cb := true); auto; try discriminate.
  intros x E _ _. rewrite (regime_here _ _ _ _ _ _ _ S E). simpl.
  destruct (dom_dec (regime_of (doing t) x) (regime_of (doing t) x)); congruence.
Qed.

Lemma tlbi_whole_keeps u m c t l :
  takes u m c t TlbiWhole l ->
  invariant u (going_on u m (post_all u m c (Whole (regime m c))) c t TlbiWhole l).
Proof.
  intro S. apply tlbi_keeps with (pg := fun _ => true) (cb := true); auto; try discriminate.
  intros x E _ _. now rewrite (regime_here _ _ _ _ _ _ _ S E).
Qed.

(** ** VTTBR *)

Lemma borrow_keeps u m c t x l :
  takes u m c t (Borrow x) l ->
  invariant u (going_on u m (set_regime m (upd (regime m) c (regime_of (doing t) x))) c t (Borrow x) l).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
  eapply still; try reflexivity; try exact S.
  - repeat split; auto.
  - intros c' N. simpl. now apply upd_other.
  - discriminate.
  - own K. 
    + simpl. now rewrite upd_same.
    + discriminate.
    + simpl. split; [discriminate|auto].
  - intros c2 t2 N T2. apply other_regime; [now apply (others _ _ _ _ _ _ S c2 t2)|]. now apply upd_other.
Qed.

Lemma home_alive u m c t v :
  call_ok u m c t -> regime_of (doing t) (home (kind_of (doing t))) = Vm v -> is_alive (phases m v) = true.
Proof.
  intros K E. unfold regime_of, home in E. destruct (by_guest (kind_of (doing t))) eqn:B; [|discriminate].
  injection E as <-. apply (c_pins _ _ _ _ K). destruct (kind_of (doing t)); try discriminate; reflexivity.
Qed.

Lemma return_keeps u m c t l :
  takes u m c t Return l ->
  invariant u (going_on u m (set_regime m (upd (regime m) c (regime_of (doing t) (home (kind_of (doing t)))))) c t Return l).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
  eapply still; try reflexivity; try exact S.
  - repeat split; auto.
  - intros c' N. simpl. now apply upd_other.
  - simpl. rewrite upd_same. intros v E _. eapply home_alive; eauto.
  - own K. 
    + simpl. now rewrite upd_same.
    + split; [discriminate|congruence].
  - intros c2 t2 N T2. apply other_regime; [now apply (others _ _ _ _ _ _ S c2 t2)|]. now apply upd_other.
Qed.

(** ** The page's content *)

Lemma line_of_other u m c t i l c2 t2 x :
  takes u m c t i l -> claimed (known t) = true -> c2 <> c -> threads m c2 = Some t2 ->
  claimed (known t2) = true -> upd (lines m) (page (doing t)) x (page (doing t2)) = lines m (page (doing t2)).
Proof.
  intros S C N T2 C2. apply upd_other. intro E.
  destruct (one_holder _ _ _ _ _ _ (t_inv _ _ _ _ _ _ S) T2 (t_there _ _ _ _ _ _ S)); auto.
Qed.

Lemma zero_keeps u m c t l :
  takes u m c t Zero l ->
  invariant u (going_on u m (set_lines m (upd (lines m) (page (doing t)) (Line (Some zeroes) (behind (lines m (page (doing t))))))) c t Zero l).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  eapply still; try reflexivity; try exact S.
  - repeat split; auto.
  - intros v E1 E2. eapply walks_at_home; eauto.
  - own K.
    + simpl. rewrite upd_same. intros _. split; auto.
    + discriminate.
  - intros c2 t2 N T2. apply other_lines; [now apply (others _ _ _ _ _ _ S c2 t2)|].
    intro C2. eapply line_of_other; eauto.
Qed.

Lemma clean_keeps u m c t l :
  takes u m c t Clean l ->
  invariant u (going_on u m (set_lines m (upd (lines m) (page (doing t)) (cleaned (lines m (page (doing t)))))) c t Clean l).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K. allowed_in A.
  eapply still; try reflexivity; try exact S.
  - repeat split; auto.
  - intros v E1 E2. eapply walks_at_home; eauto.
  - own K.
    + repeat split; auto. intros [Z|Z]; [auto|]. apply andb_prop in Z as [_ Z]. now apply negb_true_iff.
    + simpl. rewrite upd_same. simpl. exact c_zero.
    + simpl. rewrite upd_same. intro Z. apply andb_prop in Z as [Z _]. auto.
  - intros c2 t2 N T2. apply other_lines; [now apply (others _ _ _ _ _ _ S c2 t2)|].
    intro C2. eapply line_of_other; eauto.
Qed.
