(** * I5's bookkeeping where a call gives up, writes a new leaf, or ends a VM *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own Proofs.Steps Proofs.Entries Proofs.Turns.
Open Scope N_scope.

(** ** A call begins *)

Lemma begin_keeps u m c j m' :
  lawful u -> invariant u m -> step u m (Begin c j) = Some m' -> invariant u m'.
Proof.
  intros LW I S. apply guard_some in S as [G ->]. unfold may_begin in G.
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  match goal with H : is_free m c = true |- _ => apply is_free_none in H; rename H into F end.
  set (o := Some (Thread j (code u c (kind_of j)) None (nothing (home (kind_of j))))).
  assert (SAME : forall p, owner_now (set_threads m (upd (threads m) c o)) p = owner_now m p).
  { intro p. unfold owner_now. simpl. destruct (words m p) eqn:W; auto. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & _).
    rewrite upd_other; auto. congruence. }
  apply turn with (m := m) (c := c) (o := o); try reflexivity; auto.
  - intros d a p Al E. rewrite SAME. now destruct (i_leaf _ _ I d a p Al E).
  - intros w p Al. rewrite SAME. now apply (i_fits _ _ I).
  - intros d a p Q. left. intros c1 t1 x T1 C1 P Re En. assert (c1 <> c) by congruence.
    apply (Q c1 t1 x); auto. simpl. rewrite upd_other; auto.
  - intros p s c'. simpl. intro W. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & X). exists t2.
    rewrite upd_other; auto. congruence.
  - intros t2 T2. congruence.
  - intros t2 T2. congruence.
  - intros t X. injection X as <-. apply fresh_ok; auto.
    intros P. simpl. match goal with H : negb (pins _) || _ = true |- _ => rewrite P in H; exact H end.
  - intros c2 t2 N T2. apply other_threads. now apply (i_calls _ _ I).
Qed.

(** ** A call gives up *)

(** Its mark goes, if it has one. *)
Definition unmarked (u : setup) (m : machine) (c : N) (j : job) : machine :=
  if entry_dec (now (cells m (Vm (vm_of j)) (ipa j))) (Mark c)
  then put_cell m (Vm (vm_of j)) (ipa j) (store (core_of u c) Empty (cells m (Vm (vm_of j)) (ipa j))) else m.

Lemma unmarked_same u m c j :
  words (unmarked u m c j) = words m /\ ways (unmarked u m c j) = ways m /\ flights (unmarked u m c j) = flights m
  /\ phases (unmarked u m c j) = phases m /\ regime (unmarked u m c j) = regime m /\ threads (unmarked u m c j) = threads m.
Proof. unfold unmarked. destruct (entry_dec _ _); repeat split; reflexivity. Qed.

Lemma unmarked_cells u m c j d a :
  cells (unmarked u m c j) d a = cells m d a
  \/ (now (cells m d a) = Mark c /\ cells (unmarked u m c j) d a = store (core_of u c) Empty (cells m d a)).
Proof.
  unfold unmarked. destruct (entry_dec (now (cells m (Vm (vm_of j)) (ipa j))) (Mark c)) as [E|E]; auto.
  destruct (put_cell_cases m (Vm (vm_of j)) (ipa j) (store (core_of u c) Empty (cells m (Vm (vm_of j)) (ipa j))) d a) as [(-> & -> & H)|(_ & H)]; auto.
Qed.

Definition given_back (m : machine) (c : N) (p : N) : N -> word :=
  match words m p with
  | Claimed s by_ => if by_ =? c then upd (words m) p (Settled s) else words m
  | Settled _ => words m
  end.

Lemma roll_back_is u m c j :
  roll_back u m c j = set_threads (set_words (unmarked u m c j) (given_back m c (page j))) (upd (threads m) c None).
Proof.
  unfold roll_back. fold (unmarked u m c j). destruct (unmarked_same u m c j) as (W & _ & _ & _ & _ & TH).
  unfold given_back. rewrite W. destruct (words m (page j)) as [s|s by_].
  - rewrite TH. unfold set_threads, set_words. now rewrite W.
  - destruct (by_ =? c); rewrite ?TH; unfold set_threads, set_words; simpl; rewrite ?W, ?TH; reflexivity.
Qed.

Lemma give_up_keeps u m c t :
  invariant u m -> threads m c = Some t -> untouched (known t) = true -> invariant u (roll_back u m c (doing t)).
Proof.
  intros I T U. pose proof (i_calls _ _ I _ _ T) as K.
  pose proof (whole_of_untouched _ U) as W. unfold untouched in U. bools.
  assert (WR : wrote (known t) = false) by assumption.
  assert (SN : saved t = None).
  { destruct (saved t) eqn:X; auto. destruct (c_saved _ _ _ _ K) as [_ Y]. rewrite Y in *; congruence. }
  rewrite roll_back_is. destruct (unmarked_same u m c (doing t)) as (E1 & E2 & E3 & E4 & E5 & E6).
  assert (GB : forall p s by_, given_back m c (page (doing t)) p = Claimed s by_ -> words m p = Claimed s by_ /\ by_ <> c).
  { intros p s by_. unfold given_back. destruct (words m (page (doing t))) as [s'|s' b'] eqn:X.
    - intro Y. split; auto. intros ->. destruct (i_words _ _ I _ _ _ Y) as (t2 & T2 & C2 & P2 & _).
      assert (t2 = t) by congruence. subst. rewrite X in Y. discriminate.
    - destruct (N.eqb_spec b' c).
      + unfold upd. destruct (N.eqb_spec p (page (doing t))); [discriminate|]. intro Y. split; auto.
        intros ->. destruct (i_words _ _ I _ _ _ Y) as (t2 & T2 & C2 & P2 & _). congruence.
      + intro Y. split; auto. intros ->. destruct (i_words _ _ I _ _ _ Y) as (t2 & T2 & C2 & P2 & _).
        assert (t2 = t) by congruence. subst. congruence. }
  assert (HE : now (cells m (Vm (vm_of (doing t))) (ipa (doing t))) = Mark c ->
               holds_entry m c t (Vm (vm_of (doing t))) (ipa (doing t))).
  { intro X. right. split; eauto. }
  assert (SAME : forall p, owner_now (set_threads (set_words (unmarked u m c (doing t)) (given_back m c (page (doing t)))) (upd (threads m) c None)) p = owner_now m p).
  { intro p. unfold owner_now. simpl. destruct (given_back m c (page (doing t)) p) as [s|s by_] eqn:G.
    - unfold given_back in G. destruct (words m (page (doing t))) as [s'|s' b'] eqn:X; [now rewrite G|].
      destruct (N.eqb_spec b' c); [|now rewrite G].
      unfold upd in G. destruct (N.eqb_spec p (page (doing t))) as [->|N]; [|now rewrite G].
      injection G as <-. subst b'. now rewrite X, T, WR.
    - apply GB in G as [-> N]. rewrite upd_other; auto. }
  apply turn with (m := m) (c := c) (o := None); simpl; auto.
  - intros d a p. destruct (unmarked_cells u m c (doing t) d a) as [->|(_ & ->)]; simpl; auto. discriminate.
  - intros d a p. destruct (unmarked_cells u m c (doing t) d a) as [->|(X & ->)]; simpl; auto. congruence.
  - intros d a p. destruct (unmarked_cells u m c (doing t) d a) as [->|(X & ->)]; simpl; auto.
    intros [Y|Y]; auto. congruence.
  - intros d a p Al F. rewrite SAME. now destruct (i_leaf _ _ I d a p Al F).
  - intros v p Al. rewrite SAME. now apply (i_fits _ _ I).
  - intros d a p. eapply quiet_turn; eauto. simpl. reflexivity.
  - intros p s c' G. apply GB in G as [G N]. destruct (i_words _ _ I _ _ _ G) as (t2 & T2 & C2 & X).
    exists t2. rewrite upd_other; auto.
  - intros t2 T2 C2 W2. congruence.
  - intros t2 T2. left. congruence.
  - discriminate.
  - intros c2 t2 N T2. apply other_threads. apply other_words.
    + unfold unmarked. destruct (entry_dec _ _); [|now apply (i_calls _ _ I)].
      eapply other_store; eauto. unfold stores_own. auto.
    + intro C2. rewrite E1. unfold given_back. destruct (words m (page (doing t))) as [s'|s' b'] eqn:X; auto.
      destruct (N.eqb_spec b' c); auto. subst. apply others_words with (u := u) (c := c) (c2 := c2) (t := t); auto. intros s by_ Y. congruence.
Qed.

(** ** The new leaf *)

Lemma write_keeps u m c t x :
  takes u m c t (Write x) ->
  invariant u (moved_on u m (put_cell m (regime_of (doing t) x) (entry_of (doing t) x)
     (store (core_of u c) (Leaf (page (doing t))) (cells m (regime_of (doing t) x) (entry_of (doing t) x)))) c t (Write x)).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T.
  destruct (c_lawful _ _ _ _ K) as (L1 & L2 & L3 & L4 & L5).
  set (d0 := regime_of (doing t) x). set (a0 := entry_of (doing t) x). set (p0 := page (doing t)).
  set (m2 := moved_on u m (put_cell m d0 a0 (store (core_of u c) (Leaf p0) (cells m d0 a0))) c t (Write x)).
  simpl in A. apply andb_prop in A as [A AX].
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  assert (C : claimed (known t) = true) by assumption.
  assert (WR : wrote (known t) = false) by assumption.
  assert (ZE : zeroed (known t) = false) by assumption.
  assert (LF : losers_are_flushed (kind_of (doing t)) (known t) = true) by assumption.
  assert (MA : may_after (kind_of (doing t)) x = true) by assumption.
  assert (VM : level_at (known t) OfVm = Mapped) by assumption.
  assert (NE : is_end (kind_of (doing t)) = false).
  { destruct (is_end (kind_of (doing t))); auto. specialize (L4 eq_refl). congruence. }
  assert (LV : forall y, level_at (known (after u m c t (Write x))) y
               = if is_side x OfHost && is_side y OfHost then Mapped else level_at (known t) y).
  { intro y. learned. destruct x, y; reflexivity. }
  assert (HO : x = OfHost -> may_before (kind_of (doing t)) OfHost = true /\ level_at (known t) OfHost = Flushed
                             /\ loses (kind_of (doing t)) OfHost = false).
  { intros ->. apply andb_prop in AX as [AX1 AX3]. apply andb_prop in AX1 as [AX1 AX2].
    apply level_eqb_true in AX3. repeat split; auto. unfold loses.
    unfold both in AX2. apply andb_prop in AX2 as [X1 X2]. apply Bool.eqb_prop in X1. rewrite X1, andb_negb_r, orb_false_r.
    destruct (kind_of (doing t)); reflexivity. }
  assert (VO : x = OfVm -> mine (known t) = true /\ gains (kind_of (doing t)) = true /\ pins (kind_of (doing t)) = true).
  { intros ->. repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools. auto. }
  assert (AD : alive m d0).
  { unfold d0. destruct x; simpl; auto. destruct (VO eq_refl) as (_ & _ & P). apply (c_pins _ _ _ _ K) in P.
    destruct (phases m (vm_of (doing t))); simpl in P; congruence. }
  (* No leaf is at this place. *)
  assert (FREE : forall q, now (cells m d0 a0) <> Leaf q).
  { intros q E. destruct x.
    - pose proof (i_leaf _ _ I Host a0 q Logic.I E) as [_ Y]. specialize (Y eq_refl).
      destruct (HO eq_refl) as (_ & FL & _). destruct (c_cells _ _ _ _ K (or_introl C) OfHost) as [C1 _]; auto; [congruence|].
      apply C1. unfold d0, a0 in *. simpl in *. now rewrite <- Y in E.
    - destruct (VO eq_refl) as (M & _ & _). apply (c_mine _ _ _ _ K) in M. unfold d0, a0 in E. unfold regime_of in E. simpl in E. congruence. }
  assert (HE : holds_entry m c t d0 a0).
  { destruct x; [left; auto|]. right. destruct (VO eq_refl) as (M & _ & _). apply (c_mine _ _ _ _ K) in M. split; eauto.
    unfold d0. unfold regime_of. simpl. eauto. }
  assert (CC : forall d a, (d = d0 /\ a = a0 /\ cells m2 d a = store (core_of u c) (Leaf p0) (cells m d0 a0))
               \/ ((d <> d0 \/ a <> a0) /\ cells m2 d a = cells m d a)).
  { intros d a. unfold m2, moved_on. cbn [cells set_threads].
    destruct (put_cell_cases m d0 a0 (store (core_of u c) (Leaf p0) (cells m d0 a0)) d a) as [(-> & -> & ->)|(X & ->)]; auto. }
  assert (QU : forall d a p, quiet m2 d a p -> quiet m d a p \/ nothing_left m d a p).
  { intros d a p. eapply quiet_turn; eauto; [reflexivity|]. eapply whole_of_losers; eauto. }
  assert (AL : forall d, alive m2 d -> alive m d) by (intros []; auto).
  assert (OW : forall d a p, alive m d -> now (cells m d a) = Leaf p -> may (owner_now m2 p) d = true).
  { intros d a p Al F. destruct (N.eq_dec p p0) as [->|N].
    - unfold owner_now. simpl. unfold p0. rewrite (c_word _ _ _ _ K C), upd_same. learned.
      assert (W' : wrote (known (after u m c t (Write x))) = true) by (learned; destruct x; reflexivity).
      learned_in W'. rewrite W'. eapply leaf_may_after; eauto.
    - destruct (i_leaf _ _ I d a p Al F) as [Ma _]. revert Ma. unfold owner_now. simpl.
      destruct (words m p) eqn:W; auto. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & P2 & _).
      rewrite upd_other; auto. intros ->. unfold p0 in N. congruence. }
  assert (OW0 : may (owner_now m2 p0) d0 = true).
  { unfold owner_now. simpl. unfold p0. rewrite (c_word _ _ _ _ K C), upd_same.
    assert (W' : wrote (known (after u m c t (Write x))) = true) by (learned; destruct x; reflexivity).
    rewrite W'. unfold d0, regime_of. rewrite may_after_spec. exact MA. }
  assert (KEPT : forall d a p, now (cells m d a) = Leaf p -> now (cells m2 d a) = Leaf p).
  { intros d a p E. destruct (CC d a) as [(-> & -> & ->)|(_ & ->)]; auto. now apply FREE in E. }
  assert (OWN : call_ok u m2 c (after u m c t (Write x))).
  { apply other_threads.
    assert (PV : forall b, cells (put_cell m d0 a0 (store (core_of u c) (Leaf p0) (cells m d0 a0))) (match x with OfHost => Vm (vm_of (doing t)) | OfVm => Host end) b
                 = cells m (match x with OfHost => Vm (vm_of (doing t)) | OfVm => Host end) b).
    { intro b. apply put_cell_other. left. unfold d0. destruct x; discriminate. }
    assert (CE : works (after u m c t (Write x)) -> forall y, cells_ok u (put_cell m d0 a0 (store (core_of u c) (Leaf p0) (cells m d0 a0))) c (after u m c t (Write x)) y (level_at (known (after u m c t (Write x))) y)).
    { intros _ y. rewrite LV. intros Ly En Al. destruct x, y; simpl in Ly; try congruence.
      destruct (c_cells _ _ _ _ K (or_introl C) OfHost) as [C1 C2]; auto. }
    assert (RE : works (after u m c t (Write x)) -> forall y, reach_ok u (put_cell m d0 a0 (store (core_of u c) (Leaf p0) (cells m d0 a0))) c (after u m c t (Write x)) y (level_at (known (after u m c t (Write x))) y)).
    { intros _ y. rewrite LV. destruct (is_side x OfHost && is_side y OfHost); [split; simpl; auto|].
      apply (c_reach _ _ _ _ K (or_introl C) y). }
    assert (LO : losers_are_flushed (kind_of (doing t)) (known (after u m c t (Write x))) = true).
    { unfold losers_are_flushed in *. rewrite both_true in *. intro y. specialize (LF y).
      unfold is_whole, is_flushed in *. rewrite LV. destruct x, y; simpl; auto.
      destruct (HO eq_refl) as (_ & _ & X). now rewrite X. }
    assert (CF : vm_level (known (after u m c t (Write x))) = Mapped) by (destruct x; exact VM).
    destruct K. constructor; try assumption; try (destruct x; assumption).
    - destruct x; learned; [|discriminate]. intro M. rewrite PV. auto.
    - destruct x; learned; [|discriminate]. intro M. rewrite PV. auto.
    - destruct x; learned; repeat split; auto; try tauto; try discriminate; intros [|]; discriminate.
    - intros _ X. unfold is_whole in X. rewrite LV in X. destruct x; simpl in X; simpl in VM; rewrite VM in X; discriminate.
    - intros _ X. exfalso. exact (X CF).
    - destruct x; learned; discriminate.
    - destruct x; learned; discriminate.
    - auto.
    - intros E. simpl in E. congruence. }
  constructor.
  - intros c2 t2 T2. simpl in T2. unfold upd in T2. destruct (N.eqb_spec c2 c).
    + subst. injection T2 as <-. exact OWN.
    + apply other_threads. apply (other_store u m c t c2 t2); auto. unfold stores_own. auto.
  - intros p s c2 W. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & P2 & S2).
    destruct (N.eq_dec c2 c) as [->|N].
    + assert (t2 = t) by congruence. subst t2. exists (after u m c t (Write x)).
      simpl. rewrite upd_same. repeat split; auto. destruct x; auto.
    + exists t2. simpl. rewrite upd_other; auto.
  - intros d a p A E. apply AL in A. destruct (CC d a) as [(-> & -> & X)|(_ & X)]; rewrite X in E.
    + simpl in E. injection E as <-. split; auto. intro Y. unfold a0, d0 in *. destruct x; [auto|discriminate].
    + split; [eauto|]. apply (i_leaf _ _ I d a p); auto.
  - intros v p A. apply (AL (Vm v)) in A. pose proof (i_fits _ _ I v p A) as F. destruct (N.eq_dec p p0) as [->|NP].
    + assert (OW2 : owner_now m2 p0 = to_ (kind_of (doing t)) (vm_of (doing t))).
      { unfold owner_now. simpl. unfold p0. rewrite (c_word _ _ _ _ K C), upd_same.
        assert (W' : wrote (known (after u m c t (Write x))) = true) by (learned; destruct x; reflexivity). now rewrite W'. }
      rewrite OW2. destruct (dom_dec (Vm v) d0) as [D|D].
      * destruct x; [discriminate|]. destruct (VO eq_refl) as (_ & G & _). unfold d0, regime_of in D. simpl in D. injection D as ->.
        eapply fits_up; [|apply times_gained; exact G]. unfold p0 in F. rewrite (owner_of_claimed u m c t), WR in F; auto.
        apply fits_add with (m := m) (a := a0); auto. intros b Nb E. destruct (CC (Vm (vm_of (doing t))) b) as [(_ & Eb & _)|(_ & X)]; [congruence|].
        now rewrite X in E.
      * apply fits_less with (m := m); [eapply fits_after; eauto|]. intros b E.
        destruct (CC (Vm v) b) as [(Ed & _)|(_ & X)]; [congruence|]. now rewrite X in E.
    + assert (OW2 : owner_now m2 p = owner_now m p).
      { unfold owner_now. simpl. destruct (words m p) eqn:W; auto. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & P2 & _).
        rewrite upd_other; auto. intros ->. unfold p0 in NP. congruence. }
      rewrite OW2. apply fits_less with (m := m); auto. intros b E.
      destruct (CC (Vm v) b) as [(_ & _ & X)|(_ & X)]; rewrite X in E; auto. simpl in E. congruence.
  - intros d a p A E Q. apply AL in A.
    assert (OLD : In (Leaf p) (old (cells m d a)) -> now (cells m d a) = Leaf p).
    { intro O. destruct (QU d a p Q) as [Q'|(_ & _ & X)]; [apply (i_old _ _ I); auto|]. exfalso. apply X; auto. }
    destruct (CC d a) as [(-> & -> & X)|(_ & X)]; rewrite X in *; auto.
    simpl in E. destruct E as [E|E]; [now apply FREE in E|]. apply OLD in E. now apply FREE in E.
  - intros d a p E. destruct (CC d a) as [(-> & -> & X)|(_ & X)]; rewrite X in *.
    + simpl in E. injection E as <-. right. exists c, (after u m c t (Write x)). simpl. rewrite upd_same.
      repeat split; auto; destruct x; auto.
    + destruct (i_published _ _ I d a p E) as [Y|(hh & t2 & HH & T2 & C2 & P2 & W2 & B2)]; auto.
      right. exists hh, t2. simpl. rewrite upd_other; auto 7. intro Z. rewrite Z in T2. congruence.
  - intros w In_. destruct (i_ways _ _ I w In_) as (A & B & D). repeat split; auto.
    intro Q. destruct (QU _ _ _ Q) as [Q'|(N & _)]; [auto|exfalso; eauto].
  - intros f In_. destruct (i_flights _ _ I f In_) as (A & B & D). repeat split; auto.
    intro Q. destruct (QU _ _ _ Q) as [Q'|(_ & N & _)]; [auto|exfalso; eauto].
  - intros c2 v E Wa. apply (i_walkers _ _ I c2); auto. apply walks_if. intros h t2 C2 T2.
    destruct (c_core _ _ _ _ (i_calls _ _ I _ _ T2)) as [LH _]. pose proof (walks_true _ _ _ Wa h) as X.
    simpl in X. unfold upd in X. destruct (N.eqb_spec h c) as [->|N]; [|eauto].
    replace t2 with t by congruence. exact (X _ LH C2 eq_refl).
  - intros c2 L. exact (i_cores _ _ I c2 L).
Qed.
