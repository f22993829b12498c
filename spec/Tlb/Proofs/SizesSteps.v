(** * Blocks and pages: the steps of calls *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import Sizes Proofs.SizesHeld.
Open Scope N_scope.

(** ** Calls *)

(** A call comes from step [k] to step [k']. *)
Lemma go u a b c j k k' :
  good u a -> calls a c = Some (j, k) -> calls b = upd (calls a) c (Some (j, k')) ->
  stage u b c j k' ->
  (forall c2 j2 k2, c2 <> c -> calls a c2 = Some (j2, k2) -> stage u a c2 j2 k2 -> stage u b c2 j2 k2) ->
  (forall i c2, claim b i = Some c2 -> c2 <> c -> claim a i = Some c2) ->
  (forall i, claim b i = Some c -> i < pages u /\ holds_claim i j k') ->
  (forall h, cur (top b) = Broken h -> (h <> c /\ cur (top a) = Broken h)
     \/ (h = c /\ ((j = Split /\ (1 <= k' <= 4)%nat) \/ (j = Join /\ (2 <= k' <= 5)%nat)))) ->
  (cur (top b) = Block -> only_whole b /\ ~ In Table (was (top b))) ->
  (cur (top b) = Table -> no_whole b /\ ~ In Block (was (top b))) ->
  (forall i, i < pages u -> away b i = true -> cur (top b) = Table) ->
  (forall i, i < pages u -> cur (top b) = Table ->
    cur (leaf b i) = negb (away b i) \/ exists c k, giving b i c k /\ (3 <= k <= 6)%nat) ->
  (forall c i, In (c, One i) (held b) ->
    i < pages u /\ (cur (leaf b i) = true \/ exists c' k, giving b i c' k /\ (3 <= k <= 5)%nat)) ->
  (forall i, In true (was (leaf b i)) ->
    cur (leaf b i) = true \/ exists c', giving b i c' 3 /\ writer (leaf b i) = c') ->
  held b = held a -> good u b.
Proof.
  intros G C CB OWN OT CO CM BR B1 B2 B3 B4 B5 B6 HE. pose proof (g_calls _ _ G c _ _ C) as [L _]. constructor; auto.
  - intros c2 j2 k2. rewrite CB. unfold upd. destruct (N.eqb_spec c2 c) as [->|N].
    + injection 1 as <- <-. auto.
    + intro C2. destruct (g_calls _ _ G _ _ _ C2). auto.
  - intros i c2 X. destruct (N.eq_dec c2 c) as [->|N].
    + destruct (CM i X). split; auto. exists j, k'. rewrite CB, upd_same. auto.
    + destruct (g_claim _ _ G i c2 (CO i c2 X N)) as (P & j2 & k2 & C2 & Y). split; auto. exists j2, k2. rewrite CB, upd_other; auto.
  - intros h X. destruct (BR h X) as [[N Y]|[-> Y]].
    + destruct (g_broken _ _ G h Y) as (j2 & k2 & C2 & Z). exists j2, k2. rewrite CB, upd_other; auto.
    + exists j, k'. rewrite CB, upd_same. auto.
  - intros x X. rewrite HE in X. now apply (g_cores _ _ G).
Qed.

Lemma giving_on a b c j k' i c' k :
  giving a i c' k -> calls b = upd (calls a) c (Some (j, k')) -> claim b = claim a ->
  (c' <> c /\ giving b i c' k) \/ (c' = c /\ calls a c = Some (Give i, k) /\ claim a i = Some c).
Proof.
  intros [X Y] CB CL. destruct (N.eq_dec c' c) as [->|N]; [right; auto|left]. split; auto. split; [rewrite CB, upd_other; auto|now rewrite CL].
Qed.

Lemma drain_cur {A} c (x : var A) : cur (drain c x) = cur x.
Proof. unfold drain. destruct (writer x =? c); auto. Qed.
Lemma drain_writer {A} c (x : var A) : writer (drain c x) = writer x.
Proof. unfold drain. destruct (N.eqb_spec (writer x) c); auto. Qed.
Lemma drain_was {A} c (x : var A) y : In y (was (drain c x)) -> In y (was x) /\ writer x <> c.
Proof. unfold drain. destruct (N.eqb_spec (writer x) c); simpl; tauto. Qed.
Lemma drain_mine {A} c (x : var A) : writer x = c -> was (drain c x) = [].
Proof. unfold drain. intros ->. now rewrite N.eqb_refl. Qed.
Lemma drain_none {A} c (x : var A) : was x = [] -> was (drain c x) = [].
Proof. unfold drain. destruct (writer x =? c); auto. Qed.

Lemma waits_not a c : must_wait a c Dsb = false -> forall o k, ~ In (Note c o k) (notes a).
Proof.
  simpl. intros W o k I. rewrite <- not_true_iff_false in W. apply W. apply existsb_exists. exists (Note c o k). split; auto. apply N.eqb_refl.
Qed.

Definition drained (a : area) (c : N) (j : job) (k : nat) : area :=
  with_calls (Area (drain c (top a)) (fun p => drain c (leaf a p)) (held a) (notes a) (claim a) (away a) (calls a)) (upd (calls a) c (Some (j, k))).

Lemma dsb_good u a c j k :
  good u a -> calls a c = Some (j, k) -> nth_error (program j) k = Some Dsb -> must_wait a c Dsb = false ->
  good u (drained a c j (S k)).
Proof.
  intros G C NX W. pose proof (waits_not a c W) as NN. destruct (g_calls _ _ G _ _ _ C) as [L ST].
  assert (KS : match j with Split => k = 1 \/ k = 3 \/ k = 5 | Join => k = 2 \/ k = 4 \/ k = 6 | Give _ => k = 3 \/ k = 5 end%nat).
  { destruct j; do 8 (destruct k as [|k]; simpl in NX; [try discriminate; auto|]); try discriminate; destruct k; discriminate. }
  assert (GV : forall i c' k', giving a i c' k' -> (3 <= k' <= 6)%nat -> exists k'', giving (drained a c j (S k)) i c' k'' /\ (3 <= k'' <= 6)%nat
                /\ (k'' = k' \/ (c' = c /\ k'' = S k'))).
  { intros i c' k' Y K. destruct (giving_on a (drained a c j (S k)) c j (S k) i c' k' Y eq_refl eq_refl) as [[N Z]|(-> & Z & Z')].
    - exists k'. auto.
    - rewrite C in Z. injection Z as -> ->. exists (S k'). splits; auto; try lia. split; [simpl; apply upd_same|exact Z']. }
  apply go with (a := a) (c := c) (j := j) (k := k) (k' := S k); auto; simpl; rewrite ?drain_cur.
  - destruct j; simpl in *; rewrite ?drain_cur, ?drain_writer.
    + destruct ST as (S1 & S2 & S3 & S4 & S5). splits.
      * intros K. destruct (S1 ltac:(lia)) as (X & O & Y). splits; auto. intro Z. apply drain_was in Z as [Z _]. auto.
      * lia.
      * intros K. destruct (PeanoNat.Nat.eq_dec k 1) as [->|N]; [apply drain_mine; auto|apply drain_none, S3; lia].
      * lia.
      * intros K x I. assert (k = 3%nat) by lia. eapply NN. exact (S4 H x I).
    + destruct ST as (S0 & S1 & S2 & S3 & S4 & S5). splits.
      * intros K i P. apply S0; auto. lia.
      * intros K. destruct (S1 ltac:(lia)) as (X & O & Y). splits; auto. intro Z. apply drain_was in Z as [Z _]. auto.
      * lia.
      * intros K. destruct (PeanoNat.Nat.eq_dec k 2) as [->|N]; [apply drain_mine; auto|apply drain_none, S3; lia].
      * lia.
      * intros K x I. assert (k = 4%nat) by lia. eapply NN. exact (S4 H x I).
    + destruct ST as (S0 & S1 & S2 & S3 & S4 & S5). splits; auto.
      * intros K. apply S1. lia.
      * intros K. apply S2. lia.
      * intros K. apply S3. lia.
      * lia.
      * intros K c' I. assert (k = 5%nat) by lia. eapply NN. exact (S4 H c' I).
  - intros c2 j2 k2 N C2 S. destruct j2; simpl in *; rewrite ?drain_cur, ?drain_writer.
    + destruct S as (S1 & S2 & S3 & S4 & S5). splits; auto.
      * intros K. destruct (S1 K) as (X & O & Y). splits; auto. intro Z. apply drain_was in Z as [Z _]. auto.
      * intros K. apply drain_none. auto.
    + destruct S as (S0 & S1 & S2 & S3 & S4 & S5). splits; auto.
      * intros K. destruct (S1 K) as (X & O & Y). splits; auto. intro Z. apply drain_was in Z as [Z _]. auto.
      * intros K. apply drain_none. auto.
    + exact S.
  - intros i X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & Y). split; auto. rewrite C in C2. injection C2 as <- <-.
    unfold holds_claim in *. destruct Y as [[-> Y]|[-> Y]]; [left|right]; split; auto; lia.
  - intros h B. destruct (N.eq_dec h c) as [->|N]; [right|left; auto]. split; auto.
    destruct (g_broken _ _ G _ B) as (j2 & k2 & C2 & Y). rewrite C in C2. injection C2 as <- <-. 
    destruct Y as [[-> Y]|[-> Y]]; [left|right]; split; auto; lia.
  - intro B. destruct (g_block _ _ G B) as [X Y]. split; auto. intro Z. apply drain_was in Z as [Z _]. auto.
  - intro B. destruct (g_table _ _ G B) as [X Y]. split; auto. intro Z. apply drain_was in Z as [Z _]. auto.
  - apply (g_away _ _ G).
  - intros i P B. rewrite drain_cur. destruct (g_leaf _ _ G i P B) as [X|(c' & k' & X & K)]; auto.
    destruct (GV i c' k' X K) as (k'' & Y & K' & _). eauto.
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & [X|(c' & k' & X & K)]); rewrite drain_cur; split; auto. right.
    destruct (GV i c' k' X ltac:(lia)) as (k'' & Y & K' & Z). exists c', k''. split; auto.
    destruct (PeanoNat.Nat.eq_dec k'' 6) as [E|E]; [|lia]. exfalso.
    destruct Z as [Z|[-> Z]]; [lia|]. assert (k' = 5%nat) by lia. subst k'. destruct X as [X _].
    destruct (g_calls _ _ G _ _ _ X) as [_ (_ & _ & _ & _ & S4 & _)]. eapply NN. exact (S4 eq_refl c2 I).
  - intros i I. apply drain_was in I as [I N]. rewrite drain_cur, drain_writer. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right.
    exists c'. split; auto. destruct (giving_on a (drained a c j (S k)) c j (S k) i c' 3 X eq_refl eq_refl) as [[M Z]|(-> & Z & Z')]; auto. congruence.
Qed.

Lemma inval_good u a c j k o :
  good u a -> calls a c = Some (j, k) ->
  (o = AllOf /\ ((j = Split /\ k = 2%nat) \/ (j = Join /\ k = 3%nat))) \/ (exists i, o = PageOf i /\ j = Give i /\ k = 4%nat) ->
  good u (with_calls (Area (top a) (leaf a) (held a) (map (Note c o) (below (cores u)) ++ notes a) (claim a) (away a) (calls a))
           (upd (calls a) c (Some (j, S k)))).
Proof.
  intros G C J. destruct (g_calls _ _ G _ _ _ C) as [L ST]. set (b := with_calls _ _).
  assert (POST : forall x, In x (held a) -> In (Note c o (fst x)) (notes b)).
  { intros x I. simpl. apply in_or_app. left. apply in_map. apply in_below. now apply (g_cores _ _ G). }
  assert (GV : forall i c' k', giving a i c' k' -> (k' <> 4)%nat -> giving b i c' k').
  { intros i c' k' Y K. destruct (giving_on a b c j (S k) i c' k' Y eq_refl eq_refl) as [[N Z]|(-> & Z & _)]; auto.
    rewrite C in Z. injection Z as -> ->. destruct J as [(_ & [[D _]|[D _]])|(i' & _ & _ & D)]; congruence. }
  assert (GV4 : forall i c', giving a i c' 4 -> exists k', giving b i c' k' /\ (k' = 4 \/ k' = 5)%nat).
  { intros i c' Y. destruct (giving_on a b c j (S k) i c' 4 Y eq_refl eq_refl) as [[N Z]|(-> & Z & Z')]; eauto.
    rewrite C in Z. injection Z as -> ->. exists 5%nat. split; auto. split; [apply upd_same|exact Z']. }
  assert (GVA : forall i c' k', giving a i c' k' -> exists k'', giving b i c' k'' /\ (k'' = k' \/ (k' = 4 /\ k'' = 5))%nat).
  { intros i c' k' Y. destruct (PeanoNat.Nat.eq_dec k' 4) as [->|N]; [|eauto]. destruct (GV4 i c' Y) as (k'' & Z & [->| ->]); eauto. }
  apply go with (a := a) (c := c) (j := j) (k := k) (k' := S k); auto.
  - destruct J as [(-> & [[-> ->]|[-> ->]])|(i & -> & -> & ->)]; simpl in ST |- *.
    + destruct ST as (S1 & S2 & S3 & S4 & S5). splits; try lia.
      * intros _. apply S1. lia.
      * intros _. apply S3. lia.
      * intros _ x I. now apply POST.
    + destruct ST as (S0 & S1 & S2 & S3 & S4 & S5). splits; try lia.
      * intros _. apply S0. lia.
      * intros _. apply S1. lia.
      * intros _. apply S3. lia.
      * intros _ x I. now apply POST.
    + destruct ST as (S0 & S1 & S2 & S3 & S4 & S5). splits; try lia.
      * intros _. apply S1. lia.
      * intros _. apply S2. lia.
      * intros _. apply S3. lia.
      * intros _ c' I. exact (POST (c', One i) I).
  - intros c2 j2 k2 N C2 S. destruct j2; simpl in *.
    + destruct S as (S1 & S2 & S3 & S4 & S5). splits; auto. intros K x I. apply in_or_app. right. exact (S4 K x I).
    + destruct S as (S0 & S1 & S2 & S3 & S4 & S5). splits; auto. intros K x I. apply in_or_app. right. exact (S4 K x I).
    + destruct S as (S0 & S1 & S2 & S3 & S4 & S5). splits; auto. intros K c' I. apply in_or_app. right. exact (S4 K c' I).
  - intros i X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & Y). split; auto. rewrite C in C2. injection C2 as <- <-.
    unfold holds_claim in *. destruct J as [(_ & [[E1 E2]|[E1 E2]])|(i' & _ & E1 & E2)]; destruct Y as [[Y1 Y2]|[Y1 Y2]]; try congruence; [right|left]; split; auto; lia.
  - intros h B. destruct (N.eq_dec h c) as [->|N]; [right|left; auto]. split; auto.
    destruct (g_broken _ _ G _ B) as (j2 & k2 & C2 & Y). rewrite C in C2. injection C2 as <- <-.
    destruct J as [(_ & [[E1 E2]|[E1 E2]])|(i' & _ & E1 & E2)]; destruct Y as [[Y1 Y2]|[Y1 Y2]]; try congruence; [left|right]; split; auto; lia.
  - apply (g_block _ _ G).
  - apply (g_table _ _ G).
  - apply (g_away _ _ G).
  - intros i P B. destruct (g_leaf _ _ G i P B) as [X|(c' & k' & X & K)]; auto. right.
    destruct (GVA i c' k' X) as (k'' & Y & Z). exists c', k''. split; auto. lia.
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & [X|(c' & k' & X & K)]); split; auto. right.
    destruct (GVA i c' k' X) as (k'' & Y & Z). exists c', k''. split; auto. lia.
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. split; [apply GV; auto|exact Y].
Qed.

(** Another call that is not at the entry or a page when that changes. *)
Definition off (j : job) (k : nat) : Prop :=
  match j with Split => ~ (1 <= k <= 4)%nat | Join => ~ (2 <= k <= 5)%nat | Give _ => ~ (2 <= k <= 6)%nat end.
Lemma stage_off u a b c j k :
  stage u a c j k -> off j k -> (forall i, claim a i = Some c -> claim b i = Some c) -> stage u b c j k.
Proof.
  intros S O CL. destruct j; simpl in *.
  - splits; intros; exfalso; apply O; lia.
  - destruct S as (S0 & _). splits; try (intros; exfalso; apply O; lia). intros K i P. auto.
  - destruct S as (S0 & S1 & _). splits; auto; intros; exfalso; apply O; lia.
Qed.

(** While the entry is broken by one, or a block, or all pages are held by one, the others are. *)
Lemma others_off u a c c2 j2 k2 :
  good u a -> calls a c2 = Some (j2, k2) -> c2 <> c ->
  cur (top a) = Block \/ cur (top a) = Broken c \/ (cur (top a) = Table /\ forall i, i < pages u -> claim a i = Some c) -> off j2 k2.
Proof.
  intros G C2 N T. destruct (g_calls _ _ G _ _ _ C2) as [_ S]. destruct j2; simpl in *.
  - destruct S as (S1 & _). intro K. destruct (S1 K) as (X & _). rewrite X in T. destruct T as [T|[T|[T _]]]; congruence.
  - destruct S as (_ & S1 & _). intro K. destruct (S1 K) as (X & _). rewrite X in T. destruct T as [T|[T|[T _]]]; congruence.
  - destruct S as (S0 & S1 & S2 & _). intro K. pose proof (S2 K) as X. specialize (S1 ltac:(lia)).
    destruct T as [T|[T|[_ T]]]; try congruence. specialize (T i S0). congruence.
Qed.

Definition stored (a : area) (t : var shape) (l : N -> var bool) (c : N) (j : job) (k : nat) : area :=
  with_calls (Area t l (held a) (notes a) (claim a) (away a) (calls a)) (upd (calls a) c (Some (j, k))).

Lemma giving_other a t l c j k i c' k' : giving a i c' k' -> c' <> c -> giving (stored a t l c j k) i c' k'.
Proof. intros [X Y] N. split; auto. simpl. now rewrite upd_other. Qed.
Lemma giving_mine a c j k i k' : calls a c = Some (j, k) -> giving a i c k' -> j = Give i /\ k' = k.
Proof. intros C [X _]. rewrite C in X. injection X as -> ->. auto. Qed.

Lemma break_split_good u a c :
  good u a -> calls a c = Some (Split, 0%nat) -> cur (top a) = Block ->
  good u (stored a (put c (Broken c) (top a)) (leaf a) c Split 1).
Proof.
  intros G C T. destruct (g_block _ _ G T) as [OW NT].
  assert (NG : forall i c' k', giving a i c' k' -> c' <> c).
  { intros i c' k' X ->. destruct (giving_mine a c _ _ i k' C X). discriminate. }
  apply go with (a := a) (c := c) (j := Split) (k := 0%nat) (k' := 1%nat); auto; simpl; try discriminate.
  - splits; try lia; auto. intros _. splits; auto. simpl. intros [X|X]; [congruence|auto].
  - intros c2 j2 k2 N C2 S. apply stage_off with (a := a); auto. eapply others_off; eauto.
  - intros i X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & [[Y1 Y2]|[Y1 Y2]]); rewrite C in C2; injection C2 as <- <-; discriminate.
  - intros h E. injection E as <-. right. split; auto. left. split; [auto|lia].
  - intros i P A. pose proof (g_away _ _ G i P A). congruence.
  - intros c2 i I. specialize (OW _ I). discriminate.
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. split; auto.
    apply giving_other; auto. eapply NG; eauto.
Qed.

Lemma break_join_good u a c :
  good u a -> calls a c = Some (Join, 1%nat) -> cur (top a) = Table -> (forall i, i < pages u -> cur (leaf a i) = true) ->
  good u (stored a (put c (Broken c) (top a)) (leaf a) c Join 2).
Proof.
  intros G C T AL. destruct (g_table _ _ G T) as [NW NB]. destruct (g_calls _ _ G _ _ _ C) as [_ (S0 & _)]. specialize (S0 ltac:(lia)).
  assert (NG : forall i c' k', giving a i c' k' -> c' <> c).
  { intros i c' k' X ->. destruct (giving_mine a c _ _ i k' C X). discriminate. }
  apply go with (a := a) (c := c) (j := Join) (k := 1%nat) (k' := 2%nat); auto; simpl; try discriminate.
  - splits; try lia; auto. intros _. splits; auto. simpl. intros [X|X]; [congruence|auto].
  - intros c2 j2 k2 N C2 S. apply stage_off with (a := a); auto. eapply others_off; eauto.
  - intros i X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & Y). split; auto. right. split; [auto|lia].
  - intros h E. injection E as <-. right. split; auto. right. split; [auto|lia].
  - intros i P A. exfalso. destruct (g_leaf _ _ G i P T) as [X|(c' & k' & X & K)].
    + rewrite A, AL in X; auto. discriminate.
    + destruct X as [X Y]. rewrite S0 in Y; auto. injection Y as <-. congruence.
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & _). auto.
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. split; auto.
    apply giving_other; auto. eapply NG; eauto.
Qed.

Lemma link_split_good u a c :
  good u a -> calls a c = Some (Split, 4%nat) -> good u (stored a (put c Table (top a)) (fun _ => Var true [] c) c Split 5).
Proof.
  intros G C. destruct (g_calls _ _ G _ _ _ C) as [_ (S1 & _ & S3 & _ & S5)].
  destruct (S1 ltac:(lia)) as (T & _ & _). specialize (S3 ltac:(lia)). specialize (S5 eq_refl).
  apply go with (a := a) (c := c) (j := Split) (k := 4%nat) (k' := 5%nat); auto; simpl; try discriminate.
  - splits; lia.
  - intros c2 j2 k2 N C2 S. apply stage_off with (a := a); auto. eapply others_off; eauto.
  - intros i X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & [[Y1 Y2]|[Y1 Y2]]); rewrite C in C2; injection C2 as <- <-; discriminate.
  - intros _. split; [intros x I; now apply S5 in I|]. rewrite T, S3. simpl. intros [X|X]; [congruence|auto].
  - intros i P _. left. destruct (away a i) eqn:A; auto. pose proof (g_away _ _ G i P A). congruence.
  - intros c2 i I. now apply S5 in I.
Qed.

Lemma link_join_good u a c :
  good u a -> calls a c = Some (Join, 5%nat) -> good u (stored a (put c Block (top a)) (leaf a) c Join 6).
Proof.
  intros G C. destruct (g_calls _ _ G _ _ _ C) as [_ (S0 & S1 & _ & S3 & _ & S5)].
  destruct (S1 ltac:(lia)) as (T & _ & _). specialize (S3 ltac:(lia)). specialize (S5 eq_refl). specialize (S0 ltac:(lia)).
  assert (NG : forall i c' k', giving a i c' k' -> c' <> c).
  { intros i c' k' X ->. destruct (giving_mine a c _ _ i k' C X). discriminate. }
  apply go with (a := a) (c := c) (j := Join) (k := 5%nat) (k' := 6%nat); auto; simpl; try discriminate.
  - splits; try lia. auto.
  - intros c2 j2 k2 N C2 S. apply stage_off with (a := a); auto. eapply others_off; eauto.
  - intros i X. destruct (g_claim _ _ G i c X) as (P & _). split; auto. right. split; [auto|lia].
  - intros _. split; [intros x I; now apply S5 in I|]. rewrite T, S3. simpl. intros [X|X]; [congruence|auto].
  - intros i P A. pose proof (g_away _ _ G i P A). congruence.
  - intros c2 i I. now apply S5 in I.
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. split; auto.
    apply giving_other; auto. eapply NG; eauto.
Qed.

Lemma clear_good u a c p :
  good u a -> calls a c = Some (Give p, 2%nat) ->
  good u (stored a (top a) (upd (leaf a) p (put c false (leaf a p))) c (Give p) 3).
Proof.
  intros G C. destruct (g_calls _ _ G _ _ _ C) as [_ (S0 & S1 & S2 & S3 & S4 & S5)].
  specialize (S1 ltac:(lia)). specialize (S2 ltac:(lia)).
  set (b := stored a (top a) (upd (leaf a) p (put c false (leaf a p))) c (Give p) 3).
  assert (ME : giving b p c 3) by (split; [apply upd_same|exact S1]).
  assert (GV : forall i c' k', giving a i c' k' -> i <> p -> giving b i c' k').
  { intros i c' k' X N. apply giving_other; auto. intros ->. destruct (giving_mine a c _ _ i k' C X) as [Y _]. congruence. }
  assert (LF : forall i, i <> p -> leaf b i = leaf a i) by (intros i N; simpl; now apply upd_other).
  apply go with (a := a) (c := c) (j := Give p) (k := 2%nat) (k' := 3%nat); auto.
  - simpl. splits; auto; try lia. intros _. now rewrite upd_same.
  - intros c2 j2 k2 N C2 S. destruct j2; auto. destruct S as (Q0 & Q1 & Q2 & Q3 & Q4 & Q5). split; [exact Q0|]. split; [exact Q1|]. split; [exact Q2|].
    split; [|split; [exact Q4|exact Q5]].
    intros K. rewrite LF; auto. intros ->. specialize (Q1 ltac:(lia)). congruence.
  - intros i X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & [[Y1 Y2]|[Y1 Y2]]); rewrite C in C2; injection C2 as <- <-; [|discriminate].
    split; auto. left. split; [auto|lia].
  - intros h B. left. split; auto. change (cur (top b)) with (cur (top a)) in B. congruence.
  - apply (g_block _ _ G).
  - apply (g_table _ _ G).
  - intros i P B. destruct (N.eq_dec i p) as [->|N]; [right; exists c, 3%nat; split; [exact ME|lia]|]. rewrite LF; auto.
    destruct (g_leaf _ _ G i P B) as [X|(c' & k' & X & K)]; [auto|]. right. exists c', k'. auto.
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & X). split; auto.
    destruct (N.eq_dec i p) as [->|N]; [right; exists c, 3%nat; split; [exact ME|lia]|]. rewrite LF; auto.
    destruct X as [X|(c' & k' & X & K)]; auto. right. exists c', k'. auto.
  - intros i I. destruct (N.eq_dec i p) as [->|N].
    + right. exists c. split; [exact ME|]. simpl. now rewrite upd_same.
    + rewrite LF in *; auto. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. auto.
Qed.

Lemma see_table_good u a c p :
  good u a -> calls a c = Some (Give p, 1%nat) -> cur (top a) = Table ->
  good u (with_calls a (upd (calls a) c (Some (Give p, 2%nat)))).
Proof.
  intros G C T. destruct (g_calls _ _ G _ _ _ C) as [_ (S0 & S1 & _)]. specialize (S1 ltac:(lia)).
  set (b := with_calls _ _).
  assert (GV : forall i c' k', giving a i c' k' -> (3 <= k')%nat -> giving b i c' k').
  { intros i c' k' X K. destruct (giving_on a b c _ 2 i c' k' X eq_refl eq_refl) as [[_ Z]|(-> & Z & _)]; auto.
    rewrite C in Z. injection Z as _ Z. lia. }
  apply go with (a := a) (c := c) (j := Give p) (k := 1%nat) (k' := 2%nat); auto.
  - simpl. splits; auto; try lia.
  - intros i X. destruct (g_claim _ _ G i c X) as (P & j2 & k2 & C2 & [[Y1 Y2]|[Y1 Y2]]); rewrite C in C2; injection C2 as <- <-; [|discriminate].
    split; auto. left. split; [auto|lia].
  - intros h B. simpl in B. congruence.
  - apply (g_block _ _ G).
  - apply (g_table _ _ G).
  - intros i P B. destruct (g_leaf _ _ G i P B) as [X|(c' & k' & X & K)]; [auto|]. right. exists c', k'. split; [apply GV; auto; lia|auto].
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & [X|(c' & k' & X & K)]); split; auto. right. exists c', k'. split; [apply GV; auto; lia|auto].
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. split; [apply GV; auto|exact Y].
Qed.

(** Claims, which only change whose a page is: nobody is giving what is claimed or let go. *)
Lemma claims_good u a c j k f aw :
  good u a -> calls a c = Some (j, k) -> (forall i, j = Give i -> ~ (3 <= k <= 5)%nat) ->
  stage u (Area (top a) (leaf a) (held a) (notes a) f aw (calls a)) c j (S k) ->
  (forall i c2, f i = Some c2 -> c2 <> c -> claim a i = Some c2) ->
  (forall i c2, claim a i = Some c2 -> c2 <> c -> f i = Some c2) ->
  (forall i, f i = Some c -> i < pages u /\ holds_claim i j (S k)) ->
  (forall h, cur (top a) = Broken h -> h <> c) ->
  (forall i, i < pages u -> aw i = true -> cur (top a) = Table) ->
  (forall i, i < pages u -> cur (top a) = Table -> (j = Give i /\ k = 6%nat) \/ aw i = away a i) ->
  (forall i, j = Give i -> k = 6%nat -> aw i = true) ->
  good u (with_calls (Area (top a) (leaf a) (held a) (notes a) f aw (calls a)) (upd (calls a) c (Some (j, S k)))).
Proof.
  intros G C NG OWN F1 F2 F3 NB AW AS AT. destruct (g_calls _ _ G _ _ _ C) as [_ ST]. set (b := with_calls _ _).
  assert (GV : forall i c' k', giving a i c' k' -> (3 <= k' <= 6)%nat -> giving b i c' k' \/ (c' = c /\ j = Give i /\ k = 6%nat /\ k' = 6%nat)).
  { intros i c' k' [X Y] K. destruct (N.eq_dec c' c) as [->|N].
    - right. rewrite C in X. injection X as -> ->. specialize (NG i eq_refl). splits; auto; lia.
    - left. split; [simpl; rewrite upd_other; auto|simpl; auto]. }
  apply go with (a := a) (c := c) (j := j) (k := k) (k' := S k); auto.
  - intros c2 j2 k2 N C2 S. destruct j2; simpl in *; auto.
    + destruct S as (Q0 & Q). split; auto.
    + destruct S as (Q0 & Q1 & Q). split; auto.
  - apply (g_block _ _ G).
  - apply (g_table _ _ G).
  - intros i P B. simpl in B |- *. destruct (AS i P B) as [[-> ->]|E].
    + left. rewrite (AT i); auto. simpl in ST. apply ST. lia.
    + rewrite E. destruct (g_leaf _ _ G i P B) as [X|(c' & k' & X & K)]; [auto|].
      destruct (GV i c' k' X K) as [Y|(-> & -> & -> & ->)]; [right; eauto|]. left. rewrite <- E, (AT i); auto. simpl in ST. apply ST. lia.
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & [X|(c' & k' & X & K)]); split; auto.
    right. destruct (GV i c' k' X ltac:(lia)) as [Y|(-> & -> & -> & ->)]; [eauto|lia].
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'.
    destruct (GV i c' 3%nat X ltac:(lia)) as [Z|(_ & _ & _ & Z)]; [auto|discriminate].
Qed.

Lemma let_go_some c f i c2 : let_go c f i = Some c2 <-> f i = Some c2 /\ c2 <> c.
Proof.
  unfold let_go, mine. destruct (f i) as [d|]; [|split; [discriminate|intros [X _]; discriminate]].
  destruct (N.eqb_spec d c); split.
  - discriminate.
  - intros [X Y]. congruence.
  - intro X. split; auto. congruence.
  - now intros [X _].
Qed.

(** A call ends, or gives up. *)
Lemma gone_good u a c j k f :
  good u a -> calls a c = Some (j, k) ->
  match j with Split => ~ (1 <= k <= 4) | Join => ~ (2 <= k <= 5) | Give _ => ~ (3 <= k <= 6) end%nat ->
  (forall i c2, f i = Some c2 <-> claim a i = Some c2 /\ c2 <> c) ->
  good u (with_calls (set_claim a f) (upd (calls a) c None)).
Proof.
  intros G C O F. set (b := with_calls _ _).
  assert (CB : forall c2, c2 <> c -> calls b c2 = calls a c2) by (intros; simpl; now apply upd_other).
  assert (GV : forall i c' k', giving a i c' k' -> (3 <= k' <= 6)%nat -> giving b i c' k').
  { intros i c' k' [X Y] K. assert (N : c' <> c) by (intros ->; rewrite C in X; injection X as -> ->; now apply O).
    split; [rewrite CB; auto|]. apply F. auto. }
  constructor; try apply G.
  - intros c2 j2 k2. simpl. unfold upd. destruct (N.eqb_spec c2 c) as [->|N]; [discriminate|]. intro C2.
    destruct (g_calls _ _ G _ _ _ C2) as [L S]. split; auto. destruct j2; simpl in *; auto.
    + destruct S as (Q0 & Q). split; auto. intros K i P. apply F. auto.
    + destruct S as (Q0 & Q1 & Q). split; auto. split; auto. intros K. apply F. auto.
  - intros i c2 X. apply F in X as [X N]. destruct (g_claim _ _ G i c2 X) as (P & j2 & k2 & C2 & Y). split; auto.
    exists j2, k2. rewrite CB; auto.
  - intros h B. destruct (g_broken _ _ G h B) as (j2 & k2 & C2 & Y). exists j2, k2. rewrite CB; auto.
    intros ->. rewrite C in C2. injection C2 as <- <-. destruct Y as [[-> Y]|[-> Y]]; auto.
  - intros i P B. destruct (g_leaf _ _ G i P B) as [X|(c' & k' & X & K)]; [auto|]. right. exists c', k'. auto.
  - intros c2 i I. destruct (g_one _ _ G c2 i I) as (P & [X|(c' & k' & X & K)]); split; auto. right. exists c', k'. split; [apply GV; auto; lia|auto].
  - intros i I. destruct (g_was _ _ G i I) as [X|(c' & X & Y)]; auto. right. exists c'. split; [apply GV; auto; lia|auto].
Qed.
