(** * I5's bookkeeping through accesses and through what software does at once

    Accesses that land, evictions, entering and leaving a VM, the beginning of a call. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant Proofs.Ways.
Open Scope N_scope.

(** ** A page has one holder *)

Lemma one_holder u m c c' t t' :
  invariant u m -> threads m c = Some t -> threads m c' = Some t' ->
  claimed (known t) = true -> claimed (known t') = true -> page (doing t) = page (doing t') ->
  c = c' /\ t = t'.
Proof.
  intros I T T' C C' E.
  pose proof (c_word _ _ _ _ (i_calls _ _ I _ _ T) C) as W.
  pose proof (c_word _ _ _ _ (i_calls _ _ I _ _ T') C') as W'.
  rewrite E, W' in W. injection W as _ <-. split; congruence.
Qed.

(** ** What may be reached, by side *)

Ltac each_kind k :=
  let t := fresh "t" in let z := fresh "z" in let n := fresh "n" in
  destruct k as [?|n|n| |?| |?| |t| | |?|n|?|z]; try destruct t as [| |n]; try destruct z; try destruct n.

Lemma may_before_spec k v x : may (from_ k v) (dom_of v x) = may_before k x.
Proof. unfold may_before. each_kind k; destruct x; simpl; rewrite ?N.eqb_refl; auto. Qed.
Lemma may_after_spec k v x : may (to_ k v) (dom_of v x) = may_after k x.
Proof. unfold may_after. each_kind k; destruct x; simpl; rewrite ?N.eqb_refl; auto. Qed.

Lemma may_before_side k v d : may (from_ k v) d = true -> exists x, d = dom_of v x.
Proof.
  destruct d as [|w]; [exists OfHost; auto|]. each_kind k; simpl; try discriminate;
    intro E; apply N.eqb_eq in E; subst; exists OfVm; auto.
Qed.
Lemma may_after_side k v d : may (to_ k v) d = true -> exists x, d = dom_of v x.
Proof.
  destruct d as [|w]; [exists OfHost; auto|]. each_kind k; simpl; try discriminate;
    intro E; apply N.eqb_eq in E; subst; exists OfVm; auto.
Qed.

(** How often a VM has the page before and after. *)
Lemma times_kept k v : loses k OfVm = false -> times (from_ k v) v <= times (to_ k v) v.
Proof. each_kind k; cbn; rewrite ?N.eqb_refl; intro H; try discriminate; try reflexivity; lia. Qed.
Lemma times_lost k v : times (from_ k v) v - 1 <= times (to_ k v) v.
Proof. each_kind k; cbn; rewrite ?N.eqb_refl; try reflexivity; lia. Qed.
Lemma times_gained k v : gains k = true -> times (from_ k v) v + 1 <= times (to_ k v) v.
Proof. each_kind k; cbn; rewrite ?N.eqb_refl; intro H; try discriminate; try reflexivity; lia. Qed.
Lemma times_others k v w : w <> v -> times (from_ k v) w = 0.
Proof. intro H. assert (E : (v =? w) = false) by (apply N.eqb_neq; congruence). each_kind k; cbn; rewrite ?E; reflexivity. Qed.
Lemma times_here k v : elsewhere k OfVm = false -> times (from_ k v) v <= 1.
Proof. each_kind k; cbn; rewrite ?N.eqb_refl; intro H; try discriminate; try reflexivity; lia. Qed.
Lemma elsewhere_may k x : elsewhere k x = true -> may_before k x = true.
Proof. unfold may_before. each_kind k; destruct x; cbn; congruence. Qed.
Lemma may_times s v : times s v <> 0 -> may s (Vm v) = true.
Proof. unfold times. destruct s; simpl; try congruence; destruct (_ =? v); congruence. Qed.

Lemma side_eq v x y : dom_of v x = dom_of v y -> x = y.
Proof. destruct x, y; simpl; congruence. Qed.

Lemma both_true f : both f = true <-> forall x, f x = true.
Proof. unfold both. rewrite andb_true_iff. split; [intros [] []|]; auto. Qed.

Lemma owner_of_claimed u m c t :
  invariant u m -> threads m c = Some t -> claimed (known t) = true ->
  owner_now m (page (doing t)) = if wrote (known t) then to_ (kind_of (doing t)) (vm_of (doing t))
                                 else from_ (kind_of (doing t)) (vm_of (doing t)).
Proof.
  intros I T C. unfold owner_now. rewrite (c_word _ _ _ _ (i_calls _ _ I _ _ T) C), T. reflexivity.
Qed.

(** ** A page that nobody reaches any more is not accessed *)

Section Isolated.
  Variables (u : setup) (m : machine) (c : N) (t : thread).
  Hypothesis I : invariant u m.
  Hypothesis T : threads m c = Some t.
  Hypothesis C : claimed (known t) = true.
  Hypothesis W : wrote (known t) = false.
  Hypothesis N : nobody_reaches (kind_of (doing t)) (known t) = true.

  (** No entry of a table that is walked is a leaf of it. *)
  Lemma isolated_entries d a : alive m d -> now (cells m d a) <> Leaf (page (doing t)).
  Proof.
    intros A E. pose proof (i_calls _ _ I _ _ T) as K.
    destruct (i_leaf _ _ I d a _ A E) as [M P]. rewrite (owner_of_claimed u m c t), W in M; auto.
    destruct (may_before_side _ _ _ M) as [x D]. subst d. rewrite may_before_spec in M.
    unfold nobody_reaches in N. rewrite both_true in N. specialize (N x). rewrite M, andb_false_r, orb_false_r in N.
    apply andb_prop in N as [F O]. apply negb_true_iff in O. apply level_eqb_true in F.
    assert (NE : is_end (kind_of (doing t)) = false).
    { destruct (c_lawful _ _ _ _ K) as (_ & _ & _ & L4 & _). destruct (is_end (kind_of (doing t))); auto. specialize (L4 eq_refl). congruence. }
    destruct x.
    - destruct (c_cells _ _ _ _ K (or_introl C) OfHost) as [C1 _]; auto; [congruence|].
      specialize (P eq_refl). subst a. now apply C1.
    - simpl in F, A. pose proof (c_fewer _ _ _ _ K C ltac:(congruence) A) as FW.
      pose proof (times_here _ (vm_of (doing t)) O) as TH.
      specialize (FW [a] ltac:(repeat constructor; auto)). simpl in FW.
      assert (X : 1 <= times (from_ (kind_of (doing t)) (vm_of (doing t))) (vm_of (doing t)) - 1).
      { apply FW. intros b [<-|[]]. exact E. }
      lia.
  Qed.

  Lemma isolated_quiet d a :
    (forall x, d = regime_of (doing t) x -> a = entry_of (doing t) x -> level_at (known t) x <> Flushed) ->
    quiet m d a (page (doing t)).
  Proof.
    intro F. unfold nobody_reaches in N. rewrite both_true in N.
    intros c' t' x T' C' P R Ea. destruct (one_holder u m c c' t t') as [-> ->]; auto.
    specialize (N x). unfold is_flushed in N. apply orb_prop in N as [N'|N'].
    - apply andb_prop in N' as [N' _]. apply level_eqb_true in N'. exfalso. eapply F; eauto.
    - apply andb_prop in N' as [N' _]. now apply level_eqb_true.
  Qed.

  Lemma isolated_flights f : In f (flights m) -> f_to f <> page (doing t).
  Proof.
    intros In_ P. destruct (i_flights _ _ I f In_) as (A & B & L).
    pose proof (i_calls _ _ I _ _ T) as K.
    apply (isolated_entries (f_of f) (f_ipa f) B). rewrite <- P. apply L. rewrite P. apply isolated_quiet.
    intros x E Ea Fl. destruct (c_reach _ _ _ _ K (or_introl C) x) as [_ R].
    specialize (R f In_ E (or_intror (conj P Ea))). now rewrite Fl in R.
  Qed.

  Lemma isolated_ways w : In w (ways m) -> leads_to w <> page (doing t).
  Proof.
    intros In_ P. destruct (i_ways _ _ I w In_) as (A & B & L).
    pose proof (i_calls _ _ I _ _ T) as K.
    apply (isolated_entries (of w) (from_ipa w) B). rewrite <- P. apply L. rewrite P. apply isolated_quiet.
    intros x E Ea Fl. destruct (c_reach _ _ _ _ K (or_introl C) x) as [R _].
    specialize (R w In_ E (or_intror (conj P Ea))). now rewrite Fl in R.
  Qed.
End Isolated.

(** ** Contents *)

(** Events that change what pages hold, and of TLBs nothing but flights that are done. *)
Lemma lines_keep u m L :
  invariant u m ->
  (forall c t, threads m c = Some t -> zeroed (known t) = true -> held (L (page (doing t))) = zeroes) ->
  (forall c t, threads m c = Some t -> clean (known t) = true -> dirty (L (page (doing t))) = None) ->
  invariant u (set_lines m L).
Proof.
  intros I Z D. pose proof (i_calls _ _ I) as IC. destruct I. constructor; try assumption.
  intros c t T. pose proof (IC c t T) as K. pose proof (Z c t T). pose proof (D c t T).
  pose proof (c_zero _ _ _ _ K). pose proof (c_clean _ _ _ _ K). destruct K.
  constructor; try assumption; intuition.
Qed.

Lemma flights_keep u m F :
  invariant u m -> (forall f, In f F -> In f (flights m)) -> invariant u (set_tlbs m (ways m) F (posts m)).
Proof.
  intros I S. apply tlbs_keep; auto.
  - intros c t x T K Wk. destruct (c_reach _ _ _ _ K Wk x) as [RW RF]. split; simpl; auto.
  - apply (i_ways _ _ I).
  - intros f In_. apply (i_flights _ _ I); auto.
Qed.

Lemma land_keeps u m f m' : invariant u m -> step u m (Land f) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->]. apply is_in_true in G.
  assert (O : forall c t, threads m c = Some t -> zeroed (known t) = true \/ clean (known t) = true ->
              page (doing t) <> f_to f).
  { intros c t T Z E. pose proof (i_calls _ _ I _ _ T) as K.
    destruct (c_lawful _ _ _ _ K) as (L1 & _ & _ & _ & L5).
    assert (Hn : nobody_reaches (kind_of (doing t)) (known t) = true).
    { destruct Z as [Z|Z]; [apply (c_zero _ _ _ _ K Z)|apply (c_clean _ _ _ _ K Z)]. }
    apply (isolated_flights u m c t I T) with (f := f); auto; tauto. }
  apply lines_keep; [apply flights_keep; auto; intros; eapply in_take_one; eauto|..]; simpl; intros c t T Z.
  - rewrite upd_other; [apply (c_zero _ _ _ _ (i_calls _ _ I _ _ T) Z)|eauto].
  - rewrite upd_other; [apply (c_clean _ _ _ _ (i_calls _ _ I _ _ T) Z)|eauto].
Qed.

Lemma evict_keeps u m p m' : invariant u m -> step u m (Evict p) = Some m' -> invariant u m'.
Proof.
  intros I. simpl. injection 1 as <-. apply lines_keep; auto; intros c t T Z.
  - pose proof (c_zero _ _ _ _ (i_calls _ _ I _ _ T) Z) as [E _]. unfold upd.
    destruct (N.eqb_spec (page (doing t)) p); auto. subst. exact E.
  - pose proof (c_clean _ _ _ _ (i_calls _ _ I _ _ T) Z) as [E _]. unfold upd.
    destruct (N.eqb_spec (page (doing t)) p); auto.
Qed.

(** ** Regimes and phases *)

Lemma in_hands u c h : In h (hands_of u c) <-> h < hands u /\ core_of u h = c.
Proof. unfold hands_of. rewrite filter_In, in_below, N.eqb_eq. reflexivity. Qed.

(** A hand that does something is one of its core's. *)
Lemma a_hand u m h t : invariant u m -> threads m h = Some t -> In h (hands_of u (core_of u h)).
Proof. intros I T. apply in_hands. split; auto. apply (c_core _ _ _ _ (i_calls _ _ I _ _ T)). Qed.

Lemma walks_true u m c :
  walks u m c = true -> forall h t, h < hands u -> core_of u h = c -> threads m h = Some t -> saved t = None.
Proof.
  unfold walks. rewrite forallb_forall. intros W h t L C T. specialize (W h (proj2 (in_hands _ _ _) (conj L C))).
  rewrite T in W. destruct (saved t); congruence.
Qed.
Lemma walks_if u m c :
  (forall h t, core_of u h = c -> threads m h = Some t -> saved t = None) -> walks u m c = true.
Proof.
  intros W. unfold walks. apply forallb_forall. intros h In_. apply in_hands in In_ as [_ C].
  destruct (threads m h) eqn:T; auto. now rewrite (W h t C T).
Qed.

Lemma idle_none u m c h t : invariant u m -> is_idle u m c = true -> threads m h = Some t -> core_of u h <> c.
Proof.
  intros I H T <-. unfold is_idle in H. rewrite forallb_forall in H. specialize (H h (a_hand _ _ _ _ I T)).
  unfold is_free in H. rewrite T in H. discriminate.
Qed.

(** [regime] matters to the core's own call alone. *)
Lemma regime_keeps u m c d :
  invariant u m -> is_idle u m c = true -> (forall v, d = Vm v -> is_alive (phases m v) = true) ->
  (d = Host \/ c < cores u) ->
  invariant u (set_regime m (upd (regime m) c d)).
Proof.
  intros I T A B. pose proof (i_calls _ _ I) as IC. pose proof (i_walkers _ _ I) as IW.
  pose proof (i_cores _ _ I) as IN. pose proof (fun h t => idle_none u m c h t I T) as ID. destruct I. constructor; try assumption.
  - intros h t T'. pose proof (IC _ _ T') as K.
    pose proof (ID h t T') as N. destruct K. constructor; try assumption.
    simpl. rewrite upd_other; auto.
  - simpl. intros c' v. unfold upd. destruct (N.eqb_spec c' c).
    + intros E _. auto.
    + intros E Wa. apply (IW c'); auto.
  - simpl. intros c' L. specialize (IN c' L). unfold upd.
    destruct (N.eqb_spec c' c); auto. subst. destruct B; auto. lia.
Qed.

Lemma is_free_none m c : is_free m c = true -> threads m c = None.
Proof. unfold is_free. destruct (threads m c); congruence. Qed.

Lemma enter_keeps u m c v m' : invariant u m -> step u m (Enter c v) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->]. split_bools.
  apply regime_keeps; auto.
  intros w E. injection E as <-. destruct (phases m v); try discriminate. reflexivity.
Qed.

Lemma exit_keeps u m c m' : invariant u m -> step u m (Exit c) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->].
  apply regime_keeps; auto. discriminate.
Qed.

Lemma destroy_keeps u m v m' : invariant u m -> step u m (Destroy v) = Some m' -> invariant u m'.
Proof.
  intros I. simpl. destruct (phases m v) eqn:P; try discriminate. injection 1 as <-.
  assert (AL : forall d, alive (set_phases m (upd (phases m) v Dying)) d -> alive m d).
  { intros [|w]; simpl; auto. unfold upd. destruct (N.eqb_spec w v); congruence. }
  assert (AL' : forall d, alive m d -> alive (set_phases m (upd (phases m) v Dying)) d).
  { intros [|w]; simpl; auto. unfold upd. destruct (N.eqb_spec w v); congruence. }
  assert (PH : forall w, phases m w <> Live -> upd (phases m) v Dying w = phases m w).
  { intros w N. apply upd_other. congruence. }
  constructor.
  - intros c t T. pose proof (i_calls _ _ I _ _ T) as K. destruct K. constructor; try assumption.
    + intros Wk x L E A. apply c_cells; auto.
    + intros Cl L A. apply c_fewer; auto.
    + intros Hp. simpl. unfold upd. destruct (N.eqb_spec (vm_of (doing t)) v); auto.
    + intros Hd L. simpl. rewrite PH; auto. rewrite c_dead; congruence.
    + intros E. destruct (c_end E) as [E1 E2]. split; auto. intros L. simpl. rewrite PH; auto.
      rewrite E1; congruence.
  - apply (i_words _ _ I).
  - intros d a p A. apply (i_leaf _ _ I); auto.
  - intros w p A. apply (i_fits _ _ I). apply (AL (Vm w)). exact A.
  - intros d a p A. apply (i_old _ _ I); auto.
  - apply (i_published _ _ I).
  - intros w In_. destruct (i_ways _ _ I w In_) as (A & B & C). auto.
  - intros f In_. destruct (i_flights _ _ I f In_) as (A & B & C). auto.
  - intros c w E Wa. simpl. unfold upd. destruct (N.eqb_spec w v); auto. apply (i_walkers _ _ I c); auto.
  - apply (i_cores _ _ I).
Qed.

Lemma no_call_spec u m sort v c t :
  invariant u m -> no_call u m sort v = true -> threads m c = Some t ->
  sort (kind_of (doing t)) = true -> vm_of (doing t) <> v.
Proof.
  intros I H T S E. unfold no_call in H. rewrite forallb_forall in H.
  destruct (c_core _ _ _ _ (i_calls _ _ I _ _ T)) as [L _].
  specialize (H c (proj2 (in_below _ _) L)). rewrite T, S in H. apply N.eqb_eq in E. rewrite E in H. discriminate.
Qed.

Lemma create_keeps u m v m' : invariant u m -> step u m (Create v) = Some m' -> invariant u m'.
Proof.
  intros I. simpl. destruct (phases m v) eqn:P; try discriminate. intro S.
  apply guard_some in S as [G ->].
  set (F := fun d a => if dom_dec d (Vm v) then Cell Empty [] 0 else cells m d a).
  assert (FO : forall d a, d <> Vm v -> F d a = cells m d a).
  { intros d a N. unfold F. destruct (dom_dec d (Vm v)); congruence. }
  assert (FV : forall a, F (Vm v) a = Cell Empty [] 0).
  { intros a. unfold F. destruct (dom_dec (Vm v) (Vm v)); congruence. }
  assert (AL : forall d, d <> Vm v -> alive (set_phases (set_cells m F) (upd (phases m) v Live)) d -> alive m d).
  { intros [|w] N; simpl; auto. rewrite upd_other; congruence. }
  assert (AL' : forall d, alive m d -> alive (set_phases (set_cells m F) (upd (phases m) v Live)) d).
  { intros [|w]; simpl; auto. unfold upd. destruct (N.eqb_spec w v); congruence. }
  constructor.
  - intros c t T. pose proof (i_calls _ _ I _ _ T) as K.
    assert (NP : pins (kind_of (doing t)) = true \/ of_dead (kind_of (doing t)) = true -> vm_of (doing t) <> v).
    { intros [H|H] E.
      - pose proof (c_pins _ _ _ _ K H) as L. rewrite E, P in L. discriminate.
      - exact (no_call_spec _ _ _ _ _ _ I G T H E). }
    destruct (c_lawful _ _ _ _ K) as (L1 & L2 & L3 & L4 & L5).
    destruct K. constructor; try assumption; simpl.
    + intro H. rewrite FO; auto. intro E. injection E as E. apply NP; auto.
    + intro H. rewrite FO; auto. intro E. injection E as E. apply NP; auto.
    + intros Wk x L E A. cbn [cells set_phases set_cells].
      destruct (dom_dec (regime_of (doing t) x) (Vm v)) as [D|D].
      * rewrite D. split; rewrite FV; simpl; [discriminate|contradiction].
      * destruct (c_cells Wk x L E (AL _ D A)) as [C1 C2]. split; rewrite FO; auto.
    + intros Cl L A l ND IN. destruct (N.eq_dec (vm_of (doing t)) v) as [D|D].
      * destruct l as [|a l]; [simpl; lia|]. specialize (IN a (or_introl eq_refl)). simpl in IN. rewrite D, FV in IN. discriminate.
      * assert (X : Vm (vm_of (doing t)) <> Vm v) by congruence. apply (c_fewer Cl L (AL _ X A) l ND).
        intros a Ia. specialize (IN a Ia). simpl in IN. now rewrite FO in IN.
    + intros H. rewrite upd_other; auto.
    + intros H L. rewrite upd_other; auto.
    + intros H. destruct (c_end H) as [E1 E2]. split; auto. intros L. rewrite upd_other; auto.
      intro E. rewrite <- E in P. rewrite (E1 L) in P. discriminate.
  - apply (i_words _ _ I).
  - intros d a p A. simpl. destruct (dom_dec d (Vm v)) as [->|D].
    + rewrite FV. discriminate.
    + rewrite FO; auto. apply (i_leaf _ _ I). auto.
  - intros w p A l ND IN. destruct (N.eq_dec w v) as [->|D].
    + destruct l as [|a l]; [simpl; lia|]. specialize (IN a (or_introl eq_refl)). simpl in IN. rewrite FV in IN. discriminate.
    + assert (X : Vm w <> Vm v) by congruence. apply (i_fits _ _ I w p (AL _ X A) l ND).
      intros a Ia. specialize (IN a Ia). simpl in IN. now rewrite FO in IN.
  - intros d a p A. simpl. destruct (dom_dec d (Vm v)) as [->|D].
    + rewrite FV. simpl. tauto.
    + rewrite FO; auto. apply (i_old _ _ I). auto.
  - intros d a p. simpl. destruct (dom_dec d (Vm v)) as [->|D].
    + rewrite FV. discriminate.
    + rewrite FO; auto. apply (i_published _ _ I).
  - intros w In_. destruct (i_ways _ _ I w In_) as (A & B & C).
    assert (D : of w <> Vm v) by (intro E; rewrite E in B; simpl in B; congruence).
    repeat split; auto. intro Q. specialize (C Q). simpl. rewrite FO; auto.
  - intros f In_. destruct (i_flights _ _ I f In_) as (A & B & C).
    assert (D : f_of f <> Vm v) by (intro E; rewrite E in B; simpl in B; congruence).
    repeat split; auto. intro Q. specialize (C Q). simpl. rewrite FO; auto.
  - intros c w E Wa. simpl. unfold upd. destruct (N.eqb_spec w v); auto. apply (i_walkers _ _ I c); auto.
  - apply (i_cores _ _ I).
Qed.
