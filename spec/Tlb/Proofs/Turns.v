(** * I5's bookkeeping through the steps by which a page changes hands, and calls begin and end *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own Proofs.Steps Proofs.Entries.
Open Scope N_scope.

(** Nothing is left of [d]'s ways from [a] to a page. *)
Definition nothing_left (m : machine) (d : dom) (a p : N) : Prop :=
  (forall w, In w (ways m) -> of w = d -> from_ipa w = a -> leads_to w = p -> False)
  /\ (forall f, In f (flights m) -> f_of f = d -> f_ipa f = a -> f_to f = p -> False)
  /\ (alive m d -> ~ In (Leaf p) (old (cells m d a))).

Lemma turn u m m2 c o :
  invariant u m -> phases m2 = phases m -> ways m2 = ways m -> flights m2 = flights m -> regime m2 = regime m ->
  threads m2 = upd (threads m) c o ->
  (forall d a p, now (cells m2 d a) = Leaf p ->
     now (cells m d a) = Leaf p /\ old (cells m2 d a) = old (cells m d a) /\ writer (cells m2 d a) = writer (cells m d a)) ->
  (forall d a p, now (cells m d a) = Leaf p -> now (cells m2 d a) = Leaf p) ->
  (forall d a p, In (Leaf p) (old (cells m2 d a)) -> In (Leaf p) (old (cells m d a))) ->
  (forall d a p, alive m d -> now (cells m d a) = Leaf p -> may (owner_now m2 p) d = true) ->
  (forall v p, alive m (Vm v) -> fits m v p (times (owner_now m2 p) v)) ->
  (forall d a p, quiet m2 d a p -> quiet m d a p \/ nothing_left m d a p) ->
  (forall p s c', words m2 p = Claimed s c' ->
     exists t, threads m2 c' = Some t /\ claimed (known t) = true /\ page (doing t) = p
               /\ s = from_ (kind_of (doing t)) (vm_of (doing t))) ->
  (forall t, threads m c = Some t -> claimed (known t) = true -> wrote (known t) = true -> published (known t) = true) ->
  (forall t, threads m c = Some t -> saved t = None \/ exists t', o = Some t' /\ saved t' = saved t) ->
  (forall t, o = Some t -> call_ok u m2 c t) ->
  (forall c2 t2, c2 <> c -> threads m c2 = Some t2 -> call_ok u m2 c2 t2) ->
  invariant u m2.
Proof.
  intros I PH WY FL RG TH CN CK CO OW FI QU WO PU WK OWN OT.
  assert (AL : forall d, alive m2 d -> alive m d) by (intros [|v]; simpl; rewrite ?PH; auto).
  assert (AL' : forall d, alive m d -> alive m2 d) by (intros [|v]; simpl; rewrite ?PH; auto).
  constructor.
  - intros c2 t2 T2. rewrite TH in T2. unfold upd in T2. destruct (N.eqb_spec c2 c); subst; auto.
  - exact WO.
  - intros d a p A E. apply CN in E as (E & _). split; [eauto|]. apply (i_leaf _ _ I d a p); auto.
  - intros v p A. apply fits_less with (m := m); [apply FI; apply (AL (Vm v)); exact A|]. intros a E. now apply CN in E as (E & _).
  - intros d a p A E Q. apply CO in E. apply CK. destruct (QU d a p Q) as [Q'|(_ & _ & N)].
    + apply (i_old _ _ I); auto.
    + exfalso. apply N; auto.
  - intros d a p E. destruct (CN d a p E) as (F & -> & ->).
    destruct (i_published _ _ I d a p F) as [X|(h2 & t2 & H2 & T2 & C2 & P2 & W2 & B2)]; auto.
    right. exists h2, t2. repeat split; auto. rewrite TH. unfold upd. destruct (N.eqb_spec h2 c); auto.
    subst h2. rewrite (PU t2) in B2; auto. discriminate.
  - intros w In_. rewrite WY in In_. destruct (i_ways _ _ I w In_) as (A & B & C). repeat split; auto.
    intro Q. destruct (QU _ _ _ Q) as [Q'|(N & _)]; [auto|exfalso; eauto].
  - intros f In_. rewrite FL in In_. destruct (i_flights _ _ I f In_) as (A & B & C). repeat split; auto.
    intro Q. destruct (QU _ _ _ Q) as [Q'|(_ & N & _)]; [auto|exfalso; eauto].
  - intros c2 v E Wa. rewrite PH. rewrite RG in E. apply (i_walkers _ _ I c2); auto. apply walks_if.
    intros h t C2 T. destruct (c_core _ _ _ _ (i_calls _ _ I _ _ T)) as [L _].
    pose proof (walks_true _ _ _ Wa h) as X. rewrite TH in X. unfold upd in X. destruct (N.eqb_spec h c) as [->|N]; [|eauto].
    destruct (WK t T) as [Y|(t' & -> & Y)]; auto. rewrite <- Y. eauto.
  - intros c2 L. rewrite RG. now apply (i_cores _ _ I).
Qed.

(** ** What a whole flush, or none, leaves of quiet when the call lets go *)

Lemma flushed_left u m c t x :
  invariant u m -> threads m c = Some t -> claimed (known t) = true -> level_at (known t) x = Flushed ->
  nothing_left m (regime_of (doing t) x) (entry_of (doing t) x) (page (doing t)).
Proof.
  intros I T C F. pose proof (i_calls _ _ I _ _ T) as K.
  destruct (c_reach _ _ _ _ K (or_introl C) x) as [RW RF]. rewrite F in *.
  repeat split.
  - intros w In_ O Ea P. apply (RW w In_ O). right. auto.
  - intros f In_ O Ea P. apply (RF f In_ O). right. auto.
  - intros A H. destruct (c_lawful _ _ _ _ K) as (_ & _ & _ & L4 & _).
    assert (NE : is_end (kind_of (doing t)) = false) by (destruct (is_end (kind_of (doing t))); auto; specialize (L4 eq_refl); congruence).
    destruct (c_cells _ _ _ _ K (or_introl C) x) as [_ C2]; auto; [congruence|].
    apply C2 in H as (H & _). congruence.
Qed.

(** The call's thread goes on with other knowledge, or ends; whatever was not flushed was not begun. *)
Lemma quiet_turn u m m2 c t o d a p :
  invariant u m -> threads m c = Some t -> threads m2 = upd (threads m) c o ->
  (forall x, is_whole (known t) x = true) ->
  quiet m2 d a p -> quiet m d a p \/ nothing_left m d a p.
Proof.
  intros I T TH W Q.
  assert (D : (claimed (known t) = true /\ page (doing t) = p /\ exists x, regime_of (doing t) x = d /\ entry_of (doing t) x = a /\ level_at (known t) x = Flushed)
              \/ (claimed (known t) = true -> page (doing t) = p -> forall x, regime_of (doing t) x = d -> entry_of (doing t) x = a ->
                  level_at (known t) x = Mapped)).
  { destruct (claimed (known t)); [|right; discriminate].
    destruct (N.eq_dec (page (doing t)) p) as [P|P]; [|right; tauto].
    assert (X : forall x, (regime_of (doing t) x = d /\ entry_of (doing t) x = a /\ level_at (known t) x = Flushed)
                          \/ (regime_of (doing t) x = d -> entry_of (doing t) x = a -> level_at (known t) x = Mapped)).
    { intro x. destruct (dom_dec (regime_of (doing t) x) d); [|right; tauto].
      destruct (N.eq_dec (entry_of (doing t) x) a); [|right; tauto].
      specialize (W x). unfold is_whole in W. destruct (level_at (known t) x); try discriminate; auto. }
    destruct (X OfHost) as [H|H]; [left; eauto 8|]. destruct (X OfVm) as [H'|H']; [left; eauto 8|].
    right. intros _ _ []; auto. }
  destruct D as [(C & <- & x & <- & <- & F)|D].
  - right. eapply flushed_left; eauto.
  - left. intros c1 t1 x T1 C1 P R En. destruct (N.eq_dec c1 c) as [->|N].
    + assert (t1 = t) by congruence. subst t1. auto.
    + apply (Q c1 t1 x); auto. rewrite TH, upd_other; auto.
Qed.

(** How often a VM has the page is no more than it may after. *)
Lemma fits_after u m c t v :
  invariant u m -> threads m c = Some t -> claimed (known t) = true ->
  losers_are_flushed (kind_of (doing t)) (known t) = true -> wrote (known t) = false -> alive m (Vm v) ->
  fits m v (page (doing t)) (times (to_ (kind_of (doing t)) (vm_of (doing t))) v).
Proof.
  intros I T C LF W A. pose proof (i_calls _ _ I _ _ T) as K.
  pose proof (i_fits _ _ I v (page (doing t)) A) as F. rewrite (owner_of_claimed u m c t), W in F; auto.
  destruct (N.eq_dec v (vm_of (doing t))) as [->|N]; [|rewrite times_others in F; auto; eapply fits_up; eauto; lia].
  unfold losers_are_flushed in LF. rewrite both_true in LF. specialize (LF OfVm).
  apply andb_prop in LF as [_ LF]. apply orb_prop in LF as [LF|LF].
  - apply negb_true_iff in LF. eapply fits_up; [exact F|]. now apply times_kept.
  - unfold is_flushed in LF. apply level_eqb_true in LF. simpl in LF.
    eapply fits_up; [apply (c_fewer _ _ _ _ K C); auto; congruence|]. apply times_lost.
Qed.

(** Whoever may reach the page before and has a leaf of it, may after. *)
Lemma leaf_may_after u m c t d a :
  invariant u m -> threads m c = Some t -> claimed (known t) = true ->
  losers_are_flushed (kind_of (doing t)) (known t) = true -> wrote (known t) = false ->
  alive m d -> now (cells m d a) = Leaf (page (doing t)) ->
  may (to_ (kind_of (doing t)) (vm_of (doing t))) d = true.
Proof.
  intros I T C LF W A E. pose proof (i_calls _ _ I _ _ T) as K.
  destruct d as [|v].
  - destruct (i_leaf _ _ I Host a _ A E) as [M P]. specialize (P eq_refl). subst a.
    rewrite (owner_of_claimed u m c t), W in M; auto.
    change Host with (dom_of (vm_of (doing t)) OfHost) in *. rewrite may_before_spec in M. rewrite may_after_spec.
    unfold losers_are_flushed in LF. rewrite both_true in LF. specialize (LF OfHost).
    apply andb_prop in LF as [_ LF]. apply orb_prop in LF as [LF|LF].
    + unfold loses in LF. rewrite M in LF. destruct (may_after (kind_of (doing t)) OfHost); auto.
      rewrite orb_true_r in LF. discriminate.
    + exfalso. unfold is_flushed in LF. apply level_eqb_true in LF.
      destruct (c_lawful _ _ _ _ K) as (_ & _ & _ & L4 & _).
      assert (NE : is_end (kind_of (doing t)) = false) by (destruct (is_end (kind_of (doing t))); auto; specialize (L4 eq_refl); congruence).
      destruct (c_cells _ _ _ _ K (or_introl C) OfHost) as [C1 _]; auto; congruence.
  - apply may_times. pose proof (fits_after u m c t v I T C LF W A [a]) as F. simpl in F.
    enough (1 <= times (to_ (kind_of (doing t)) (vm_of (doing t))) v) by lia.
    apply F; [repeat constructor; auto|]. intros b [<-|[]]. exact E.
Qed.

Lemma whole_of_losers kd k : losers_are_flushed kd k = true -> forall x, is_whole k x = true.
Proof. unfold losers_are_flushed. rewrite both_true. intros H x. specialize (H x). now apply andb_prop in H as [H _]. Qed.

Lemma whole_of_untouched k : untouched k = true -> forall x, is_whole k x = true.
Proof. unfold untouched. intro H. apply andb_prop in H as [_ H]. now rewrite both_true in H. Qed.

(** A call that knows nothing. *)
Lemma fresh_ok u m c j l s v :
  keeps_rules (erratum u) (kind_of j) (nothing v) l = true -> c < hands u /\ core_of u c < cores u ->
  regime m (core_of u c) = regime_of j v -> v = home (kind_of j) -> s = None ->
  (pins (kind_of j) = true -> is_alive (phases m (vm_of j)) = true) ->
  call_ok u m c (Thread j l s (nothing v)).
Proof.
  intros R C RG H -> P. constructor; simpl; auto; try discriminate; try congruence.
  - split; [discriminate|congruence].
  - repeat split; intuition discriminate.
  - intros _ [] L; simpl in L; congruence.
  - intros _ []; split; simpl; auto.
  - tauto.
Qed.

Lemma others_words u m c c2 t t2 p w :
  invariant u m -> threads m c = Some t -> threads m c2 = Some t2 -> c2 <> c ->
  (forall s by_, words m p = Claimed s by_ -> by_ = c) ->
  claimed (known t2) = true -> upd (words m) p w (page (doing t2)) = words m (page (doing t2)).
Proof.
  intros I T T2 N H C2. apply upd_other. intro E.
  pose proof (c_word _ _ _ _ (i_calls _ _ I _ _ T2) C2) as W. rewrite E in W. apply H in W. auto.
Qed.

(** ** Claim *)

Lemma claim_keeps u m c t :
  takes u m c t Claim -> words m (page (doing t)) = Settled (from_ (kind_of (doing t)) (vm_of (doing t))) ->
  invariant u (moved_on u m (set_words m (upd (words m) (page (doing t))
     (Claimed (from_ (kind_of (doing t)) (vm_of (doing t))) c))) c t Claim).
Proof.
  intros S E. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T. simpl in A. bools.
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?]; bools end.
  assert (HC : claimed (known t) = false) by assumption.
  assert (M : forall x, level_at (known t) x = Mapped) by (intros []; assumption).
  assert (NE : is_end (kind_of (doing t)) = false) by assumption.
  assert (SAME : forall p, owner_now (moved_on u m (set_words m (upd (words m) (page (doing t))
     (Claimed (from_ (kind_of (doing t)) (vm_of (doing t))) c))) c t Claim) p = owner_now m p).
  { intro p. unfold owner_now, moved_on. simpl. unfold upd at 1. destruct (N.eqb_spec p (page (doing t))) as [->|N].
    + rewrite E, upd_same. simpl. destruct (wrote (known t)) eqn:W; auto.
      destruct (c_lawful _ _ _ _ K) as (L1 & _). rewrite L1 in HC; auto; congruence.
    + destruct (words m p) eqn:W; auto. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & _).
      rewrite upd_other; auto. congruence. }
  apply turn with (m := m) (c := c) (o := Some (after u m c t Claim)); try reflexivity; auto.
  - intros d a p Al F. rewrite SAME. now destruct (i_leaf _ _ I d a p Al F).
  - intros v p Al. rewrite SAME. now apply (i_fits _ _ I).
  - intros d a p Q. left. intros c1 t1 x T1 C1 P Re En. assert (c1 <> c) by congruence.
    apply (Q c1 t1 x); auto. simpl. rewrite upd_other; auto.
  - intros p s c'. simpl. unfold upd at 1. destruct (N.eqb_spec p (page (doing t))) as [->|N].
    + injection 1 as <- <-. rewrite upd_same. exists (after u m c t Claim). auto.
    + intro W. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & X). exists t2.
      rewrite upd_other; auto. congruence.
  - intros t2 T2 C2. congruence.
  - intros t2 T2. right. exists (after u m c t Claim). split; auto. simpl. congruence.
  - intros t2 X. injection X as <-. apply other_threads.
    own K.
    + intros _. simpl. apply upd_same.
    + repeat split; auto. congruence.
    + intros _ W. unfold is_whole in W. change (level_at (set_claimed (known t)) OfVm) with (level_at (known t) OfVm) in W. rewrite M in W. discriminate.
    + intros _ x Lx. exfalso. apply Lx. destruct x; simpl; apply (M OfHost) || apply (M OfVm).
    + intros _ x. replace (level_at (set_claimed (known t)) x) with (level_at (known t) x) by (destruct x; auto).
      rewrite M. split; simpl; auto.
  - intros c2 t2 N T2. apply other_threads. apply other_words; [now apply (others _ _ _ _ _ S c2 t2)|].
    intro C2. apply others_words with (u := u) (c := c) (c2 := c2) (t := t); auto. intros s by_ W. congruence.
Qed.

(** ** Commit *)

Lemma commit_keeps u m c t :
  takes u m c t Commit ->
  invariant u (moved_on u m (set_words m (upd (words m) (page (doing t))
     (Settled (to_ (kind_of (doing t)) (vm_of (doing t)))))) c t Commit).
Proof.
  intros S. destruct (t_rules S) as [A R]. pose proof (t_call S) as K.
  pose proof (t_inv _ _ _ _ _ S) as I. pose proof (t_there _ _ _ _ _ S) as T. simpl in A.
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  assert (C : claimed (known t) = true) by assumption.
  assert (LF : losers_are_flushed (kind_of (doing t)) (known t) = true) by assumption.
  assert (B : borrowed (known t) = false) by assumption.
  assert (PB : negb (wrote (known t)) || published (known t) = true) by assumption.
  pose proof (c_word _ _ _ _ K C) as CW.
  assert (SN : saved t = None).
  { destruct (saved t) eqn:X; auto. destruct (c_saved _ _ _ _ K) as [_ Y]. rewrite Y in B; congruence. }
  apply turn with (m := m) (c := c) (o := Some (after u m c t Commit)); try reflexivity; auto.
  - intros d a p Al F. destruct (i_leaf _ _ I d a p Al F) as [Ma _].
    destruct (N.eq_dec p (page (doing t))) as [->|N].
    + unfold owner_now. simpl. rewrite upd_same.
      destruct (wrote (known t)) eqn:W; [|eapply leaf_may_after; eauto].
      rewrite (owner_of_claimed u m c t), W in Ma; auto.
    + revert Ma. unfold owner_now. simpl. unfold upd at 1. apply N.eqb_neq in N. rewrite N.
      destruct (words m p) eqn:W; auto. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & P2 & _).
      rewrite upd_other; auto. intros ->. apply N.eqb_neq in N. congruence.
  - intros v p Al. destruct (N.eq_dec p (page (doing t))) as [->|N].
    + replace (owner_now _ (page (doing t))) with (to_ (kind_of (doing t)) (vm_of (doing t))) by (unfold owner_now; simpl; now rewrite upd_same).
      destruct (wrote (known t)) eqn:W; [|eapply fits_after; eauto].
      pose proof (i_fits _ _ I v (page (doing t)) Al) as F. now rewrite (owner_of_claimed u m c t), W in F.
    + pose proof (i_fits _ _ I v p Al) as F. revert F. unfold owner_now. simpl. unfold upd at 1. apply N.eqb_neq in N. rewrite N.
      destruct (words m p) eqn:W; auto. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & P2 & _).
      rewrite upd_other; auto. intros ->. apply N.eqb_neq in N. congruence.
  - intros d a p. eapply quiet_turn; eauto; [reflexivity|]. eapply whole_of_losers; eauto.
  - intros p s c'. simpl. unfold upd at 1. destruct (N.eqb_spec p (page (doing t))) as [->|N]; [discriminate|].
    intro W. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & P2 & X). exists t2.
    rewrite upd_other; auto. intros ->. congruence.
  - intros t2 T2 C2 W2. assert (t2 = t) by congruence. subst. rewrite W2 in PB. exact PB.
  - intros t2 T2. left. congruence.
  - intros t2 X. injection X as <-. apply fresh_ok; auto.
    + apply (c_core _ _ _ _ K).
    + apply (c_regime _ _ _ _ K).
    + apply (c_home _ _ _ _ K B).
    + apply (c_pins _ _ _ _ K).
  - intros c2 t2 N T2. apply other_threads. apply other_words; [now apply (others _ _ _ _ _ S c2 t2)|].
    intro C2. apply others_words with (u := u) (c := c) (c2 := c2) (t := t); auto. intros s by_ W. congruence.
Qed.

(** ** The end, and giving up *)

Lemma end_keeps u m c t :
  invariant u m -> threads m c = Some t -> rest t = [] ->
  invariant u (set_threads m (upd (threads m) c None)).
Proof.
  intros I T E. pose proof (i_calls _ _ I _ _ T) as K. pose proof (c_rules _ _ _ _ K) as R.
  rewrite E in R. simpl in R. repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  assert (C : claimed (known t) = false) by assumption.
  assert (B : borrowed (known t) = false) by assumption.
  assert (SN : saved t = None).
  { destruct (saved t) eqn:X; auto. destruct (c_saved _ _ _ _ K) as [_ Y]. rewrite Y in B; congruence. }
  assert (SAME : forall p, owner_now (set_threads m (upd (threads m) c None)) p = owner_now m p).
  { intro p. unfold owner_now. simpl. destruct (words m p) eqn:W; auto. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & _).
    rewrite upd_other; auto. congruence. }
  apply turn with (m := m) (c := c) (o := None); try reflexivity; auto.
  - intros d a p Al F. rewrite SAME. now destruct (i_leaf _ _ I d a p Al F).
  - intros v p Al. rewrite SAME. now apply (i_fits _ _ I).
  - intros d a p Q. left. intros c1 t1 x T1 C1 P Re En. assert (c1 <> c) by congruence.
    apply (Q c1 t1 x); auto. simpl. rewrite upd_other; auto.
  - intros p s c'. simpl. intro W. destruct (i_words _ _ I _ _ _ W) as (t2 & T2 & C2 & X). exists t2.
    rewrite upd_other; auto. congruence.
  - intros t2 T2 C2. congruence.
  - intros t2 T2. left. congruence.
  - discriminate.
  - intros c2 t2 N T2. apply other_threads. now apply (i_calls _ _ I).
Qed.
