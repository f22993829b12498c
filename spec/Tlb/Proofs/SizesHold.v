(** * One size at a time: proved of the machine of blocks and pages

    [one_size], and so [nothing_is_missed]; [nothing_left]; [table_is_free]. Of any number of cores and pages. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import Sizes Proofs.SizesHeld Proofs.SizesSteps.
Open Scope N_scope.

(** ** All steps *)

Lemma begin_good u a c j b : good u a -> step u a (Begin c j) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [E ->]. apply andb_prop in E as [E J]. apply andb_prop in E as [L E]. apply N.ltb_lt in L.
  destruct (calls a c) eqn:C; [discriminate|]. set (b := with_calls _ _).
  assert (CB : forall c2 x, calls a c2 = Some x -> calls b c2 = Some x) by (intros c2 x X; simpl; rewrite upd_other; congruence).
  assert (GV : forall i c' k', giving a i c' k' -> giving b i c' k') by (intros i c' k' [X Y]; split; auto).
  constructor; try apply G.
  - intros c2 j2 k2. simpl. unfold upd. destruct (N.eqb_spec c2 c) as [->|N]; [|apply (g_calls _ _ G)].
    injection 1 as <- <-. split; auto. destruct j; simpl; splits; try lia. now apply N.ltb_lt.
  - intros i c2 X. destruct (g_claim _ _ G i c2 X) as (P & j2 & k2 & C2 & Y). split; auto. exists j2, k2. auto.
  - intros h B. destruct (g_broken _ _ G h B) as (j2 & k2 & C2 & Y). exists j2, k2. auto.
  - intros i P B. destruct (g_leaf _ _ G i P B) as [X|(c' & k' & X & K)]; [auto|]. right. exists c', k'. auto.
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & [X|(c' & k' & X & K)]); split; auto. right. exists c', k'. auto.
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. auto.
Qed.

Lemma home_good u a i b : good u a -> step u a (Home i) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [E ->]. apply andb_prop in E as [E T]. apply andb_prop in E as [E F]. apply andb_prop in E as [L E].
  apply N.ltb_lt in L. destruct (shape_dec (cur (top a)) Table) as [TT|]; [|discriminate].
  destruct (claim a i) eqn:CL; [discriminate|]. set (b := Area _ _ _ _ _ _ _).
  assert (NG : forall c' k', ~ giving a i c' k') by (intros c' k' [_ Y]; congruence).
  assert (LF : forall p, p <> i -> leaf b p = leaf a p) by (intros p N; simpl; now apply upd_other).
  constructor; try apply G.
  - intros c2 j2 k2 C2. destruct (g_calls _ _ G _ _ _ C2) as [L2 S]. split; auto. destruct j2; auto.
    destruct S as (Q0 & Q1 & Q2 & Q3 & Q). split; [exact Q0|]. split; [exact Q1|]. split; [exact Q2|]. split; [|exact Q].
    intros K. rewrite LF; auto. intros ->. specialize (Q1 ltac:(lia)). congruence.
  - intros p P A. exact TT.
  - intros p P B. destruct (N.eq_dec p i) as [->|N]; [left; simpl; now rewrite !upd_same|]. rewrite LF; auto. simpl. rewrite upd_other; auto.
    exact (g_leaf _ _ G p P B).
  - intros c2 p I. destruct (g_one _ _ G c2 p I) as (P & X). split; auto. destruct (N.eq_dec p i) as [->|N]; [left; simpl; now rewrite upd_same|].
    rewrite LF; auto.
  - intros p I. destruct (N.eq_dec p i) as [->|N]; [left; simpl; now rewrite upd_same|]. rewrite LF in *; auto. exact (g_was _ _ G p I).
Qed.

Lemma claim_of_none u a c j k i :
  good u a -> calls a c = Some (j, k) -> claim a i = Some c -> holds_claim i j k.
Proof.
  intros G C X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & Y). rewrite C in C2. injection C2 as <- <-. exact Y.
Qed.

Lemma off_broken u a c j k : good u a -> calls a c = Some (j, k) -> off j k -> forall h, cur (top a) = Broken h -> h <> c.
Proof.
  intros G C O h B ->. destruct (g_broken _ _ G _ B) as (j2 & k2 & C2 & Y). rewrite C in C2. injection C2 as <- <-.
  destruct Y as [[-> Y]|[-> Y]]; auto.
Qed.

Definition obeys (u : setup) : Prop := forall j, code u j = program j.

Lemma run_good u a c b : obeys u -> good u a -> step u a (Run c) = Some b -> good u b.
Proof.
  intros OB G. simpl. unfold run. destruct (calls a c) as [[j k]|] eqn:C; [|discriminate]. rewrite OB.
  destruct (g_calls _ _ G _ _ _ C) as [L ST].
  assert (BACK : match j with Split => ~ (1 <= k <= 4) | Join => ~ (2 <= k <= 5) | Give _ => ~ (3 <= k <= 6) end%nat ->
                 good u (with_calls (set_claim a (let_go c (claim a))) (upd (calls a) c None))).
  { intro O. apply gone_good with (j := j) (k := k); auto. intros i c2. apply let_go_some. }
  destruct (nth_error (program j) k) as [x|] eqn:NX.
  2:{ injection 1 as <-. change (with_calls a (upd (calls a) c None)) with (with_calls (set_claim a (claim a)) (upd (calls a) c None)).
      assert (NC : forall i, claim a i <> Some c).
      { intros i X. apply (claim_of_none u a c j k) in X; auto. apply nth_error_None in NX.
        destruct X as [[-> X]|[-> X]]; simpl in NX; lia. }
      apply gone_good with (j := j) (k := k); auto.
      - apply nth_error_None in NX. destruct j; simpl in NX; lia.
      - intros i c2. split; [|tauto]. intro X. split; auto. intros ->. now apply NC in X. }
  destruct (must_wait a c x) eqn:W; [discriminate|]. injection 1 as <-.
  assert (CL : forall i, claim a i = Some c -> holds_claim i j k) by (intros i X; eapply claim_of_none; eauto).
  destruct j; destruct k as [|[|[|[|[|[|[|[|k]]]]]]]]; simpl in NX; try discriminate NX; try (destruct k; discriminate NX);
    injection NX as <-; simpl.
  (* Split *)
  - destruct (shape_dec (cur (top a)) Block) as [T|T]; [exact (break_split_good u a c G C T)|]. apply BACK. lia.
  - exact (dsb_good u a c Split 1 G C eq_refl W).
  - apply (inval_good u a c Split 2 AllOf G C). left. auto.
  - exact (dsb_good u a c Split 3 G C eq_refl W).
  - exact (link_split_good u a c G C).
  - exact (dsb_good u a c Split 5 G C eq_refl W).
  (* Join *)
  - destruct (forallb _ _) eqn:FR; [|apply BACK; lia]. rewrite forallb_forall in FR.
    assert (NC : forall i, i < pages u -> claim a i = None).
    { intros i P. specialize (FR i (proj2 (in_below _ _) P)). destruct (claim a i); [discriminate|auto]. }
    apply (claims_good u a c Join 0 (fun p => if p <? pages u then Some c else claim a p) (away a)); auto.
    + discriminate.
    + simpl. splits; try lia. intros _ i P. apply N.ltb_lt in P. now rewrite P.
    + intros i c2. destruct (i <? pages u); auto. congruence.
    + intros i c2 X N. destruct (N.ltb_spec i (pages u)); auto. rewrite NC in X; auto. discriminate.
    + intros i X. destruct (N.ltb_spec i (pages u)) as [P|P]; [split; auto; right; split; [auto|lia]|].
      apply CL in X. destruct X as [[? _]|[_ X]]; [discriminate|lia].
    + intros h B. apply (off_broken u a c Join 0 G C) in B; auto. simpl. lia.
    + apply (g_away _ _ G).
    + discriminate.
  - destruct (shape_dec (cur (top a)) Table) as [T|T]; [|apply BACK; lia].
    destruct (forallb _ _) eqn:FR; [|apply BACK; lia]. rewrite forallb_forall in FR.
    refine (break_join_good u a c G C T _). intros i P. apply (FR i). now apply in_below.
  - exact (dsb_good u a c Join 2 G C eq_refl W).
  - apply (inval_good u a c Join 3 AllOf G C). left. auto.
  - exact (dsb_good u a c Join 4 G C eq_refl W).
  - exact (link_join_good u a c G C).
  - exact (dsb_good u a c Join 6 G C eq_refl W).
  - apply (claims_good u a c Join 7 (let_go c (claim a)) (away a)); auto.
    + discriminate.
    + simpl. splits; lia.
    + intros i c2 X _. now apply let_go_some in X.
    + intros i c2 X N. now apply let_go_some.
    + intros i X. apply let_go_some in X as [_ X]. congruence.
    + intros h B. apply (off_broken u a c Join 7 G C) in B; auto. simpl. lia.
    + apply (g_away _ _ G).
    + discriminate.
  (* Give *)
  - destruct (claim a i) eqn:X; simpl; [apply BACK; lia|].
    apply (claims_good u a c (Give i) 0 (upd (claim a) i (Some c)) (away a)); auto.
    + intros; lia.
    + simpl. destruct ST as (S0 & _). splits; auto; try lia. intros _. apply upd_same.
    + intros p c2. unfold upd. destruct (p =? i); auto. congruence.
    + intros p c2 Y N. unfold upd. destruct (N.eqb_spec p i); auto. congruence.
    + intros p. unfold upd. destruct (N.eqb_spec p i) as [->|N].
      * intros _. destruct ST as (S0 & _). split; auto. left. split; [auto|lia].
      * intro Y. apply CL in Y. destruct Y as [[_ Y]|[Y _]]; [lia|discriminate].
    + intros h B. apply (off_broken u a c (Give i) 0 G C) in B; auto. simpl. lia.
    + apply (g_away _ _ G).
    + intros; lia.
  - destruct (shape_dec (cur (top a)) Table) as [T|T]; [exact (see_table_good u a c i G C T)|]. apply BACK. lia.
  - exact (clear_good u a c i G C).
  - exact (dsb_good u a c (Give i) 3 G C eq_refl W).
  - apply (inval_good u a c (Give i) 4 (PageOf i) G C). right. eauto.
  - exact (dsb_good u a c (Give i) 5 G C eq_refl W).
  - destruct ST as (S0 & S1 & S2 & S3 & S4 & S5). specialize (S2 ltac:(lia)).
    apply (claims_good u a c (Give i) 6 (let_go c (claim a)) (upd (away a) i true)); auto.
    + intros; lia.
    + simpl. splits; auto; try lia.
    + intros p c2 X _. now apply let_go_some in X.
    + intros p c2 X N. now apply let_go_some.
    + intros p X. apply let_go_some in X as [_ X]. congruence.
    + intros h B. congruence.
    + intros p P B. destruct (N.eq_dec p i) as [->|N]; [auto|right; now apply upd_other].
    + intros p E _. injection E as <-. apply upd_same.
Qed.

Theorem always_good u a : obeys u -> reachable u a -> good u a.
Proof.
  intros OB R. induction R as [|a e b R IH S]; [apply start_good|]. destruct e.
  - eapply see_good; eauto.
  - eapply forget_good; eauto.
  - eapply act_good; eauto.
  - eapply home_good; eauto.
  - eapply begin_good; eauto.
  - eapply run_good; eauto.
Qed.

(** ** What was promised *)

(** No core has an entry for the block and one for a page of it. *)
Theorem one_size u a c i : obeys u -> reachable u a -> In (c, Whole) (held a) -> ~ In (c, One i) (held a).
Proof. intros OB R W O. exact (good_one_size u a (always_good u a OB R) c i W O). Qed.

(** So an invalidation by IPA misses nothing. *)
Theorem nothing_is_missed u a q s : obeys u -> reachable u a -> In (for_ q, s) (held a) -> may_miss a q s = false.
Proof.
  intros OB R H. unfold may_miss. destruct (op q); auto. destruct s; auto.
  - destruct (has held_dec (for_ q, One i) (held a)) eqn:X; auto. apply has_true in X. exfalso. eapply one_size; eauto.
  - destruct (has held_dec (for_ q, Whole) (held a)) eqn:X; [|apply andb_false_r]. apply has_true in X. exfalso. eapply one_size; eauto.
Qed.

(** A page that is another's, and that nobody is about to change: nothing leads to it, nor can a walk find it. *)
Theorem nothing_left u a i : obeys u -> reachable u a -> i < pages u -> away a i = true -> claim a i = None ->
  (forall c, ~ In (c, Whole) (held a) /\ ~ In (c, One i) (held a))
  /\ ~ In Block (cur (top a) :: was (top a)) /\ ~ In true (cur (leaf a i) :: was (leaf a i)).
Proof.
  intros OB R P A CL. pose proof (always_good u a OB R) as G. pose proof (g_away _ _ G i P A) as T.
  destruct (g_table _ _ G T) as [NW NB].
  assert (NG : forall c k, ~ giving a i c k) by (intros c k [_ X]; congruence).
  assert (LF : cur (leaf a i) = false).
  { destruct (g_leaf _ _ G i P T) as [X|(c & k & X & _)]; [now rewrite A in X|now apply NG in X]. }
  splits.
  - intros c. split; intro I; [now apply (NW _ I)|]. destruct (g_one _ _ G c i I) as (_ & [X|(c' & k & X & _)]); [congruence|now apply NG in X].
  - rewrite T. intros [X|X]; [discriminate|auto].
  - rewrite LF. intros [X|X]; [discriminate|]. destruct (g_was _ _ G i X) as [Y|(c' & Y & _)]; [congruence|now apply NG in Y].
Qed.

(** When the block is there, no walk is in the table that was there before: it is free for another use. *)
Theorem table_is_free u a c : obeys u -> reachable u a -> cur (top a) = Block -> ~ In (c, Link_) (held a) /\ ~ In Table (was (top a)).
Proof.
  intros OB R B. destruct (g_block _ _ (always_good u a OB R) B) as [X Y]. split; auto. intro I. specialize (X _ I). discriminate.
Qed.

Theorem engine_obeys n p : obeys (engine n p).
Proof. intro j. reflexivity. Qed.
