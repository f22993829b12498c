(** * Blocks and pages: what holds at every moment, and what walks and invalidations leave of it *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import Sizes.
Open Scope N_scope.

(** ** What holds at every moment *)

Definition only_whole (a : area) : Prop := forall x, In x (held a) -> snd x = Whole.
Definition no_whole (a : area) : Prop := forall x, In x (held a) -> snd x <> Whole.
Definition noted (a : area) (c : N) : Prop := forall x, In x (held a) -> In (Note c AllOf (fst x)) (notes a).
Definition nothing (a : area) : Prop := forall x, ~ In x (held a).

Definition giving (a : area) (i c : N) (k : nat) : Prop := calls a c = Some (Give i, k) /\ claim a i = Some c.

Definition stage (u : setup) (a : area) (c : N) (j : job) (k : nat) : Prop :=
  match j with
  | Give i =>
      i < pages u /\ ((1 <= k <= 6)%nat -> claim a i = Some c) /\ ((2 <= k <= 6)%nat -> cur (top a) = Table)
      /\ ((3 <= k <= 6)%nat -> cur (leaf a i) = false)
      /\ (k = 5%nat -> forall c', In (c', One i) (held a) -> In (Note c (PageOf i) c') (notes a))
      /\ (k = 6%nat -> forall c', ~ In (c', One i) (held a))
  | Split =>
      ((1 <= k <= 4)%nat -> cur (top a) = Broken c /\ only_whole a /\ ~ In Table (was (top a)))
      /\ (k = 1%nat -> writer (top a) = c) /\ ((2 <= k <= 4)%nat -> was (top a) = [])
      /\ (k = 3%nat -> noted a c) /\ (k = 4%nat -> nothing a)
  | Join =>
      ((1 <= k <= 7)%nat -> forall i, i < pages u -> claim a i = Some c)
      /\ ((2 <= k <= 5)%nat -> cur (top a) = Broken c /\ no_whole a /\ ~ In Block (was (top a)))
      /\ (k = 2%nat -> writer (top a) = c) /\ ((3 <= k <= 5)%nat -> was (top a) = [])
      /\ (k = 4%nat -> noted a c) /\ (k = 5%nat -> nothing a)
  end.

Definition holds_claim (i : N) (j : job) (k : nat) : Prop :=
  (j = Give i /\ (1 <= k <= 6)%nat) \/ (j = Join /\ (1 <= k <= 7)%nat).

Record good (u : setup) (a : area) : Prop := {
  g_calls : forall c j k, calls a c = Some (j, k) -> c < cores u /\ stage u a c j k;
  g_claim : forall i c, claim a i = Some c -> i < pages u /\ exists j k, calls a c = Some (j, k) /\ holds_claim i j k;
  g_broken : forall h, cur (top a) = Broken h ->
    exists j k, calls a h = Some (j, k) /\ ((j = Split /\ (1 <= k <= 4)%nat) \/ (j = Join /\ (2 <= k <= 5)%nat));
  g_block : cur (top a) = Block -> only_whole a /\ ~ In Table (was (top a));
  g_table : cur (top a) = Table -> no_whole a /\ ~ In Block (was (top a));
  g_away : forall i, i < pages u -> away a i = true -> cur (top a) = Table;
  g_leaf : forall i, i < pages u -> cur (top a) = Table ->
    cur (leaf a i) = negb (away a i) \/ exists c k, giving a i c k /\ (3 <= k <= 6)%nat;
  g_one : forall c i, In (c, One i) (held a) ->
    i < pages u /\ (cur (leaf a i) = true \/ exists c' k, giving a i c' k /\ (3 <= k <= 5)%nat);
  g_was : forall i, In true (was (leaf a i)) ->
    cur (leaf a i) = true \/ exists c', giving a i c' 3 /\ writer (leaf a i) = c';
  g_cores : forall x, In x (held a) -> fst x < cores u
}.

Ltac splits := repeat match goal with |- _ /\ _ => split end.

Lemma guard_some {A} b (a x : A) : guard b a = Some x -> b = true /\ x = a.
Proof. unfold guard. destruct b; [injection 1 as ->; auto|discriminate]. Qed.
Lemma has_true {A} (dec : forall a b : A, {a = b} + {a <> b}) a l : has dec a l = true <-> In a l.
Proof. unfold has. destruct (in_dec dec a l); split; auto; discriminate. Qed.

Lemma start_good u : good u start.
Proof.
  constructor; simpl; try discriminate; try tauto; try (intros; discriminate).
  - intros _. split; [intros x []|auto].
Qed.

(** ** Hardware *)

(** What is held shrinks, and with it only such notes as have been acted on. *)
Lemma shrink u a h q :
  good u a -> (forall x, In x h -> In x (held a)) ->
  (forall c x, In x h -> In (Note c AllOf (fst x)) (notes a) -> In (Note c AllOf (fst x)) q) ->
  (forall c c' i, In (c', One i) h -> In (Note c (PageOf i) c') (notes a) -> In (Note c (PageOf i) c') q) ->
  good u (with_held a h q).
Proof.
  intros G H A P. pose proof (g_calls _ _ G) as GC. destruct G. constructor; auto; simpl.
  - intros c j k C. destruct (GC c j k C) as [L S]. split; auto. destruct j; simpl in *.
    + destruct S as (S1 & S2 & S3 & S4 & S5). splits; auto;
        [intros K; destruct (S1 K) as (X & O & Y); splits; auto; intros x I; auto|intros E x X; apply A; auto; apply S4; auto|intros E x X; apply (S5 E x); auto].
    + destruct S as (S0 & S1 & S2 & S3 & S4 & S5). splits; auto;
        [intros K; destruct (S1 K) as (X & O & Y); splits; auto; intros x I; auto|intros E x X; apply A; auto; apply S4; auto|intros E x X; apply (S5 E x); auto].
    + destruct S as (S0 & S1 & S2 & S3 & S4 & S5). splits; auto. intros E c' X. apply (S5 E c'). auto.
  - intro B. destruct (g_block0 B) as [X Y]. split; auto. intros x I. apply X. auto.
  - intro B. destruct (g_table0 B) as [X Y]. split; auto. intros x I. apply X. auto.
  - intros c i I. eauto.
Qed.

Lemma forget_good u a x b : good u a -> step u a (Forget x) = Some b -> good u b.
Proof.
  intros G. simpl. injection 1 as <-. apply shrink; auto. intros y I. now apply List.in_remove in I.
Qed.

(** No core has both sizes: the statement. *)
Definition one_size_at (a : area) : Prop := forall c i, In (c, Whole) (held a) -> In (c, One i) (held a) -> False.

Lemma good_one_size u a : good u a -> one_size_at a.
Proof.
  intros G c i W O. destruct (cur (top a)) eqn:T.
  - destruct (g_block _ _ G T) as [X _]. specialize (X _ O). discriminate.
  - destruct (g_broken _ _ G _ T) as (j & k & C & [[-> K]|[-> K]]); destruct (g_calls _ _ G _ _ _ C) as [_ S]; simpl in S.
    + destruct S as (S1 & _). destruct (S1 K) as (_ & X & _). specialize (X _ O). discriminate.
    + destruct S as (_ & S1 & _). destruct (S1 K) as (_ & X & _). now specialize (X _ W).
  - destruct (g_table _ _ G T) as [X _]. now specialize (X _ W).
Qed.

Lemma act_good u a q s b : good u a -> step u a (Act q s) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [E ->]. apply andb_prop in E as [Q M]. apply has_true in Q.
  assert (N : forall x, In x (drop q s (held a)) -> In x (held a) /\ (fst x = for_ q -> hit (op q) (snd x) = true -> False)).
  { intros [c z] I. unfold drop in I. apply filter_In in I as [I F]. split; auto. simpl. intros -> H. simpl in F.
    rewrite N.eqb_refl, H in F. destruct s as [s|]; [|discriminate]. simpl in F. destruct (size_dec s z) as [->|]; [|discriminate].
    unfold may_miss in M. destruct (op q); [discriminate|]. destruct z; try discriminate.
    - apply has_true in M. exact (good_one_size u a G _ _ I M).
    - apply andb_prop in M as [_ M]. apply has_true in M. exact (good_one_size u a G _ _ M I). }
  apply shrink; auto.
  - intros x I. now apply N.
  - intros c x I IN. destruct (note_dec (Note c AllOf (fst x)) q) as [<-|D]; [|now apply List.in_in_remove].
    exfalso. apply N in I as [I F]. now apply F.
  - intros c c' i I IN. destruct (note_dec (Note c (PageOf i) c') q) as [<-|D]; [|now apply List.in_in_remove].
    exfalso. apply N in I as [I F]. apply F; auto. simpl. apply N.eqb_refl.
Qed.

(** A walk finds what may be found. *)
Lemma see_good u a c s b : good u a -> step u a (See c s) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [E ->]. apply andb_prop in E as [L E]. apply N.ltb_lt in L.
  pose proof (g_calls _ _ G) as GC.
  (* What may be seen now is of the size that the entry has, or had when a split or a join broke it. *)
  assert (WH : s = Whole -> cur (top a) = Block \/ exists h, cur (top a) = Broken h /\ calls a h = Some (Split, 1%nat)).
  { intros ->. apply has_true in E. destruct (cur (top a)) eqn:T; auto.
    - destruct E as [E|E]; [discriminate|]. right. destruct (g_broken _ _ G _ T) as (j & k & C & [[-> K]|[-> K]]).
      + exists by_. split; auto. destruct (GC _ _ _ C) as [_ (S1 & S2 & S3 & S4)].
        destruct (PeanoNat.Nat.eq_dec k 1) as [->|N]; auto. rewrite S3 in E; [contradiction|lia].
      + destruct (GC _ _ _ C) as [_ (_ & S1 & _)]. destruct (S1 K) as (_ & _ & X). contradiction.
    - destruct E as [E|E]; [discriminate|]. destruct (g_table _ _ G T) as [_ X]. contradiction. }
  assert (TB : s <> Whole -> cur (top a) = Table \/ exists h, cur (top a) = Broken h /\ ((calls a h = Some (Join, 2%nat)) \/ exists i k, s = One i /\ calls a h = Some (Join, k) /\ (2 <= k <= 5)%nat /\ In (c, Link_) (held a))).
  { intros NW. destruct s as [| |i]; [congruence| |].
    - apply has_true in E. destruct (cur (top a)) eqn:T; auto.
      + destruct E as [E|E]; [discriminate|]. destruct (g_block _ _ G T) as [_ X]. contradiction.
      + destruct E as [E|E]; [discriminate|]. right. destruct (g_broken _ _ G _ T) as (j & k & C & [[-> K]|[-> K]]).
        * destruct (GC _ _ _ C) as [_ (S1 & _)]. destruct (S1 K) as (_ & _ & X). contradiction.
        * exists by_. split; auto. destruct (GC _ _ _ C) as [_ (_ & S1 & S2 & S3 & S4)].
          destruct (PeanoNat.Nat.eq_dec k 2) as [->|N]; auto. rewrite S3 in E; [contradiction|lia].
    - apply andb_prop in E as [E E2]. apply andb_prop in E as [_ E]. apply has_true in E.
      destruct (cur (top a)) eqn:T; auto.
      + destruct (g_block _ _ G T) as [X _]. specialize (X _ E). discriminate.
      + right. destruct (g_broken _ _ G _ T) as (j & k & C & [[-> K]|[-> K]]).
        * destruct (GC _ _ _ C) as [_ (S1 & _)]. destruct (S1 K) as (_ & X & _). specialize (X _ E). discriminate.
        * exists by_. split; auto. right. eauto 8. }
  assert (ONE : forall i, s = One i -> i < pages u /\ In true (cur (leaf a i) :: was (leaf a i))).
  { intros i ->. apply andb_prop in E as [E E2]. apply andb_prop in E as [E1 _]. apply N.ltb_lt in E1. now apply has_true in E2. }
  assert (OL : forall i, s = One i -> cur (leaf a i) = true \/ exists c', giving a i c' 3 /\ writer (leaf a i) = c').
  { intros i Z. destruct (ONE i Z) as [_ [X|X]]; auto. exact (g_was _ _ G i X). }
  constructor; try apply G; simpl.
  - intros c2 j k C. destruct (GC c2 j k C) as [L2 S]. split; auto. destruct j; simpl in *.
    + destruct S as (S1 & S2 & S3 & S4 & S5). splits; auto.
      * intros K. destruct (S1 K) as (X & O & Y). splits; auto. intros x [<-|I]; auto. simpl.
        destruct (size_dec s Whole) as [|N]; auto. exfalso.
        destruct (TB N) as [T|(h & T & [D|(i & k' & _ & D & _)])]; [congruence|congruence|congruence].
      * intros E' x [<-|I]; [|apply S4; auto]. exfalso. subst k. destruct (S1 ltac:(lia)) as (T & O & _). simpl.
        destruct (size_dec s Whole) as [Z|N].
        -- destruct (WH Z) as [B|(h & B & D)]; congruence.
        -- destruct (TB N) as [B|(h & B & [D|(i & k' & _ & D & _)])]; congruence.
      * intros E' x [<-|I]; [|exact (S5 E' x I)]. subst k. destruct (S1 ltac:(lia)) as (T & O & _).
        destruct (size_dec s Whole) as [Z|N].
        -- destruct (WH Z) as [B|(h & B & D)]; congruence.
        -- destruct (TB N) as [B|(h & B & [D|(i & k' & _ & D & _)])]; congruence.
    + destruct S as (S0 & S1 & S2 & S3 & S4 & S5).
      assert (JW : (2 <= k <= 5)%nat -> s <> Whole).
      { intros K Z. destruct (S1 K) as (T & _). destruct (WH Z) as [B|(h & B & D)]; congruence. }
      (* From the invalidation on, nothing more is found: the leaf of a page whose table a core still has, it may. *)
      splits; auto.
      * intros K. destruct (S1 K) as (X & O & Y). splits; auto. intros x [<-|I]; auto.
      * intros E' x [<-|I]; [|apply S4; auto]. simpl. subst k. destruct (S1 ltac:(lia)) as (T & _).
        destruct (TB (JW ltac:(lia))) as [B|(h & B & [D|(i & k' & _ & D & _ & H)])]; try congruence.
        exact (S4 eq_refl _ H).
      * intros E' x [<-|I]; [|exact (S5 E' x I)]. subst k. destruct (S1 ltac:(lia)) as (T & _).
        destruct (TB (JW ltac:(lia))) as [B|(h & B & [D|(i & k' & _ & D & _ & H)])]; try congruence.
        exact (S5 eq_refl _ H).
    + destruct S as (S0 & S1 & S2 & S3 & S4 & S5).
      assert (NO : (4 <= k <= 6)%nat -> s <> One i).
      { intros K Z. destruct (OL i Z) as [X|(c' & [X Y] & _)]; [rewrite S3 in X; [discriminate|lia]|].
        rewrite S1 in Y; [|lia]. injection Y as <-. rewrite C in X. injection X as X. lia. }
      splits; auto.
      * intros E' c' [X|X]; [injection X as _ X; exfalso; apply NO; auto; lia|auto].
      * intros E' c' [X|X]; [injection X as _ X; apply NO; auto; lia|exact (S5 E' c' X)].
  - intros B. destruct (g_block _ _ G B) as [X Y]. split; auto. intros x [<-|I]; auto. simpl.
    destruct (size_dec s Whole) as [|N]; auto. destruct (TB N) as [T|(h & T & _)]; congruence.
  - intros B. destruct (g_table _ _ G B) as [X Y]. split; auto. intros x [<-|I]; auto. simpl.
    intros Z. destruct (WH Z) as [T|(h & T & _)]; congruence.
  - intros c2 i [X|X]; [|now apply (g_one _ _ G) in X]. injection X as -> X. split; [now apply ONE|].
    destruct (OL i X) as [Y|(c' & Y & _)]; auto. right. exists c', 3%nat. split; [exact Y|lia].
  - intros x [<-|I]; auto. now apply (g_cores _ _ G).
Qed.
