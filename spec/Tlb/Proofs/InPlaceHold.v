(** * Sizes that change in place: what holds at every moment, and what follows from it *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import InPlace.
Import ListNotations.
Open Scope N_scope.

(** By it a core gets at page [i]. *)
Definition reaches (i : N) (s : size) : Prop := s = Whole \/ s = One i.

(** Nobody can come to page [i] any more, but by what he has. *)
Definition closed (a : area) (i : N) : Prop :=
  cur (top a) = Table /\ was (top a) = [] /\ cur (leaf a i) = false /\ was (leaf a i) = [].

Definition call_ok (u : setup) (a : area) (c : N) (j : job) (k : nat) : Prop :=
  match j with
  | Split p => p < pages u /\ ((1 <= k <= 5)%nat -> claim a p = Some c)
  | Join =>
      ((1 <= k <= 5)%nat -> forall p, p < pages u -> claim a p = Some c /\ away a p = false)
      /\ ((2 <= k <= 5)%nat -> cur (top a) = Block)
      /\ (k = 2%nat -> In c (known_by (top a)))
      /\ ((3 <= k <= 5)%nat -> was (top a) = [])
      /\ (k = 4%nat -> forall d, In (d, Link_) (held a) -> In (Note c AllOf d) (notes a))
      /\ (k = 5%nat -> forall d, ~ In (d, Link_) (held a))
  | Give i =>
      i < pages u
      /\ ((1 <= k <= 6)%nat -> claim a i = Some c /\ away a i = false)
      /\ ((2 <= k <= 6)%nat -> cur (top a) = Table)
      /\ ((2 <= k <= 3)%nat -> In c (known_by (top a)))
      /\ ((3 <= k <= 6)%nat -> cur (leaf a i) = false)
      /\ (k = 3%nat -> In c (known_by (leaf a i)))
      /\ ((4 <= k <= 6)%nat -> closed a i)
      /\ (k = 5%nat -> forall d s, reaches i s -> In (d, s) (held a) -> In (Note c (PageOf i) d) (notes a))
      /\ (k = 6%nat -> forall d s, reaches i s -> ~ In (d, s) (held a))
  end.

Record good (u : setup) (a : area) : Prop := {
  g_calls : forall c j k, calls a c = Some (j, k) -> call_ok u a c j k;
  g_away : forall i, away a i = true -> i < pages u /\ closed a i /\ (forall d s, reaches i s -> ~ In (d, s) (held a));
  g_held : forall x, In x (held a) -> fst x < cores u
}.

Lemma guard_some {A} b (a a' : A) : guard b a = Some a' -> b = true /\ a' = a.
Proof. destruct b; simpl; [injection 1|]; auto; discriminate. Qed.
Lemma in_take_one q x l : In x (take_one q l) -> In x l.
Proof. induction l as [|y l IH]; simpl; auto. destruct (note_dec q y); simpl; tauto. Qed.
Lemma take_one_other q x l : In x l -> x <> q -> In x (take_one q l).
Proof.
  induction l as [|y l IH]; simpl; auto. intros [<-|I] N; destruct (note_dec q y); simpl; auto. congruence.
Qed.

(** A walk finds nothing more of what is closed. *)
Lemma closed_found a i c s : closed a i -> reaches i s -> finds a c s = false.
Proof.
  intros (T & W & L & M) [->| ->]; simpl; rewrite ?T, ?W, ?L, ?M; simpl; auto. destruct (in_dec _ _ _); auto.
Qed.

(** Only what is held, the tables and the rest as they were. *)
Lemma see_keeps u a c s b : good u a -> step u a (See c s) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [H ->]. apply andb_prop in H as [L F]. apply N.ltb_lt in L.
  destruct G as [C A HD]. constructor; simpl.
  - intros d j k E. specialize (C d j k E). destruct j; simpl in *; auto.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6). repeat split; auto; try (intros; apply C1; auto).
      * intros K x [X|X]; [|auto]. injection X as <- ->. exfalso. simpl in F. rewrite C2, C4 in F by lia. discriminate.
      * intros K x [X|X]; [|now apply (C6 K x)]. injection X as <- ->. simpl in F. rewrite C2, C4 in F by lia. discriminate.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9). repeat split; auto.
      all: try (apply C7; assumption); try (apply C2; assumption).
      * intros K x t R [X|X]; [|eauto]. injection X as <- ->. exfalso. rewrite (closed_found a i) in F; auto; [discriminate|]. apply C7. lia.
      * intros K x t R [X|X]; [|eapply C9; eauto]. injection X as <- ->. rewrite (closed_found a i) in F; auto; [discriminate|]. apply C7. lia.
  - intros i E. destruct (A i E) as (A1 & A2 & A3). repeat split; auto; try apply A2.
    intros d t R [X|X]; [|eapply A3; eauto]. injection X as <- ->. rewrite (closed_found a i) in F; auto. discriminate.
  - intros x [<-|I]; auto.
Qed.

Lemma forget_keeps u a x b : good u a -> step u a (Forget x) = Some b -> good u b.
Proof.
  intros G S. injection S as <-. destruct G as [C A HD].
  assert (SUB : forall y, In y (List.remove held_dec x (held a)) -> In y (held a)) by (intros y I; now apply List.in_remove in I).
  constructor; simpl.
  - intros d j k E. specialize (C d j k E). destruct j; simpl in *; auto.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6). repeat split; auto; try (intros; apply C1; auto). intros K d' I. apply (C6 K d'); auto.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9). repeat split; auto.
      all: try (apply C7; assumption); try (apply C2; assumption). { intros K d' s R I. eapply C8; eauto. } intros K d' s R I. eapply C9; eauto.
  - intros i E. destruct (A i E) as (A1 & A2 & A3). repeat split; auto; try apply A2. intros d s R I. eapply A3; eauto.
  - intros y I. auto.
Qed.

Lemma act_keeps u a q b : good u a -> step u a (Act q) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [_ ->]. destruct G as [C A HD].
  assert (SUB : forall y, In y (drop q (held a)) -> In y (held a)) by (intros y I; now apply filter_In in I).
  assert (OTHER : forall d s n, In (d, s) (drop q (held a)) -> In n (notes a) -> for_ n = d -> hit (op n) s = true -> In n (take_one q (notes a))).
  { intros d s n I J F H. apply take_one_other; auto. intros ->. apply filter_In in I as [_ I]. simpl in I.
    rewrite F, N.eqb_refl, H in I. discriminate. }
  constructor; simpl.
  - intros d j k E. specialize (C d j k E). destruct j; simpl in *; auto.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6). repeat split; auto; try (intros; apply C1; auto).
      * intros K x I. eapply OTHER; eauto.
      * intros K x I. apply (C6 K x); auto.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9). repeat split; auto.
      all: try (apply C7; assumption); try (apply C2; assumption).
      * intros K x s R I. eapply OTHER; eauto. simpl. destruct R as [->| ->]; auto. apply N.eqb_refl.
      * intros K x s R I. eapply C9; eauto.
  - intros i E. destruct (A i E) as (A1 & A2 & A3). repeat split; auto; try apply A2. intros d s R I. eapply A3; eauto.
  - intros y I. auto.
Qed.

Lemma existsb_none {A} (f : A -> bool) l : (forall x, In x l -> f x = false) -> existsb f l = false.
Proof. induction l as [|x l IH]; simpl; auto. intro H. rewrite (H x); auto. Qed.

Lemma is_free_none x : is_free x = true -> x = None.
Proof. destruct x; [discriminate|auto]. Qed.
Lemma let_go_other c f p d : f p = Some d -> d <> c -> let_go c f p = Some d.
Proof. intros E N. unfold let_go. rewrite E. simpl. apply N.eqb_neq in N. now rewrite N. Qed.

Lemma home_keeps u a i b : good u a -> step u a (Home i) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [H ->]. apply andb_prop in H as [AW FR]. apply is_free_none in FR.
  destruct G as [C A HD]. destruct (A i AW) as (A1 & A2 & A3). constructor; simpl; auto.
  - intros d j k E. specialize (C d j k E). destruct j as [p| |g]; simpl in *; auto.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6). repeat split; auto; intros; [apply C1; auto|].
      unfold upd. destruct (N.eqb_spec p i) as [->|]; auto. apply C1; auto.
    + destruct C as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9).
      destruct (N.eq_dec g i) as [->|NE].
      * assert (K : ~ (1 <= k <= 6)%nat) by (intro K; destruct (C2 K); congruence).
        repeat split; auto; intros; exfalso; lia.
      * assert (U : upd (leaf a) i (Var true [] []) g = leaf a g) by (unfold upd; apply N.eqb_neq in NE; now rewrite NE).
        assert (AW2 : upd (away a) i false g = away a g) by (unfold upd; apply N.eqb_neq in NE; now rewrite NE).
        unfold closed in *. simpl. rewrite U, AW2. repeat split; auto; intros; try (apply C2; auto); try (apply C7; auto); eauto.
  - intros g E. unfold upd in E. destruct (N.eqb_spec g i) as [EQ|NE]; [discriminate|].
    destruct (A g E) as (B1 & B2 & B3). unfold closed in *. simpl. unfold upd. apply N.eqb_neq in NE. rewrite NE. auto.
Qed.

Lemma begin_keeps u a c j b : good u a -> step u a (Begin c j) = Some b -> good u b.
Proof.
  intros G S. apply guard_some in S as [H ->]. apply andb_prop in H as [H P]. apply andb_prop in H as [L F].
  destruct G as [C A HD]. constructor; simpl; auto.
  intros d j' k E. unfold upd in E. destruct (N.eqb_spec d c) as [->|NE]; [|exact (C d j' k E)].
  injection E as <- <-. destruct j; simpl; try apply N.ltb_lt in P; repeat split; auto; intros; exfalso; lia.
Qed.

(** ** A step of a call, and the other calls *)

Definition calmer {A} (x y : var A) : Prop :=
  cur y = cur x /\ (was y = was x \/ was y = []) /\ (forall d, In d (known_by x) -> In d (known_by y)).
Lemma calmer_refl {A} (x : var A) : calmer x x.
Proof. repeat split; auto. Qed.
Lemma calmer_drain {A} c (x : var A) : calmer x (drain c x).
Proof. unfold drain. destruct (in_dec _ _ _); repeat split; simpl; auto. Qed.
Lemma calmer_read {A} c (x : var A) : calmer x (read c x).
Proof. repeat split; simpl; auto. Qed.
Lemma calmer_empty {A} (x y : var A) : calmer x y -> was x = [] -> was y = [].
Proof. intros (_ & [->| ->] & _); auto. Qed.

Lemma closed_calmer a b i : closed a i -> calmer (top a) (top b) -> calmer (leaf a i) (leaf b i) -> closed b i.
Proof.
  intros (T & W & L & M) X Y. repeat split.
  - rewrite <- T. apply X.
  - eapply calmer_empty; eauto.
  - rewrite <- L. apply Y.
  - eapply calmer_empty; eauto.
Qed.

Lemma frame u a b d j k :
  call_ok u a d j k -> calmer (top a) (top b) ->
  (forall p, claim a p = Some d -> claim b p = Some d /\ calmer (leaf a p) (leaf b p) /\ (away a p = false -> away b p = false)) ->
  held b = held a -> (forall n, In n (notes a) -> In n (notes b)) -> call_ok u b d j k.
Proof.
  intros C T F H Q. destruct j as [p| |i]; simpl in *.
  - destruct C as [C1 C2]. split; auto. intro K. apply F. auto.
  - destruct C as (C1 & C2 & C3 & C4 & C5 & C6). rewrite H. split; [|split; [|split; [|split; [|split]]]]; auto.
    + intros K p P. destruct (C1 K p P) as [X Y]. destruct (F p X) as (F1 & _ & F3). auto.
    + intro K. rewrite <- (C2 K). apply T.
    + intro K. apply T. auto.
    + intro K. eapply calmer_empty; eauto.
  - destruct C as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9). rewrite H.
    assert (L : (1 <= k <= 6)%nat -> calmer (leaf a i) (leaf b i)) by (intro K; apply F; apply C2; auto).
    split; [exact C1|]. split; [|split; [|split; [|split; [|split; [|split; [|split]]]]]]; auto.
    + intro K. destruct (C2 K) as [X Y]. destruct (F i X) as (F1 & _ & F3). auto.
    + intro K. rewrite <- (C3 K). apply T.
    + intro K. apply T. auto.
    + intro K. rewrite <- (C5 K). apply L. lia.
    + intro K. apply L; [lia|]. auto.
    + intro K. eapply closed_calmer; eauto. apply L. lia.
    + intros K x s R I. eauto.
Qed.

(** What is away stays as it is. *)
Lemma away_frame u a b :
  (forall i, away a i = true -> i < pages u /\ closed a i /\ (forall d s, reaches i s -> ~ In (d, s) (held a))) ->
  calmer (top a) (top b) -> (forall i, away a i = true -> calmer (leaf a i) (leaf b i)) -> held b = held a ->
  (forall i, away b i = true -> away a i = true) ->
  forall i, away b i = true -> i < pages u /\ closed b i /\ (forall d s, reaches i s -> ~ In (d, s) (held b)).
Proof.
  intros A T L H W i E. apply W in E. destruct (A i E) as (A1 & A2 & A3). rewrite H. repeat split; auto; eapply closed_calmer; eauto.
Qed.

Lemma waited a c q : must_wait a c Dsb = false -> In q (notes a) -> issuer q <> c.
Proof.
  simpl. intros W I E. assert (X : existsb (fun q => issuer q =? c) (notes a) = true).
  { apply existsb_exists. exists q. split; auto. now apply N.eqb_eq. }
  congruence.
Qed.
Lemma drained {A} c (x : var A) : In c (known_by x) -> was (drain c x) = [].
Proof. unfold drain. destruct (in_dec _ _ _); [reflexivity|contradiction]. Qed.

(** The call that made the step is [c]'s: the others are as they were, of this one [own] is left. *)
Lemma step_calls u a b c x :
  good u a -> (forall d j k, d <> c -> call_ok u a d j k -> calls a d = Some (j, k) -> call_ok u b d j k) ->
  (match x with Some (j, k) => call_ok u b c j k | None => True end) ->
  forall d j k, upd (calls a) c x d = Some (j, k) -> call_ok u (with_calls b (upd (calls a) c x)) d j k.
Proof.
  intros G O W d j k E. assert (S : forall e, call_ok u b d e k -> call_ok u (with_calls b (upd (calls a) c x)) d e k) by (intros []; auto).
  apply S. unfold upd in E. destruct (N.eqb_spec d c) as [->|NE]; [now rewrite E in W|]. apply O; auto. now apply (g_calls _ _ G).
Qed.

(** Only words of pages that the others do not have, and only as far as they are let go or taken. *)
Lemma claims_keep u a f c :
  good u a -> (forall d p, d <> c -> claim a p = Some d -> f p = Some d) ->
  (forall d j k, d <> c -> call_ok u a d j k -> calls a d = Some (j, k) -> call_ok u (with_claim a f) d j k)
  /\ (forall i, away a i = true -> i < pages u /\ closed (with_claim a f) i /\ (forall d s, reaches i s -> ~ In (d, s) (held a))).
Proof.
  intros G K. split.
  - intros d j k NE C _. eapply frame; eauto using @calmer_refl.
  - apply (g_away _ _ G).
Qed.

Ltac others :=
  intros ?d ?j ?k ?NE ?CD _; eapply frame; [eassumption|..]; simpl; auto using @calmer_refl, @calmer_drain, @calmer_read;
  intros; repeat split; auto using @calmer_refl, @calmer_drain; apply in_or_app; auto.

Lemma run_keeps n m a c b : good (engine n m) a -> step (engine n m) a (Run c) = Some b -> good (engine n m) b.
Proof.
  intros G S. simpl in S. unfold run in S. destruct (calls a c) as [[j k]|] eqn:CA; [|discriminate].
  pose proof (g_calls _ _ G _ _ _ CA) as OWN. pose proof (g_away _ _ G) as AW. pose proof (g_held _ _ G) as HE.
  change (code (engine n m) j) with (program j) in S.
  destruct (nth_error (program j) k) as [i|] eqn:NT.
  2:{ injection S as <-. constructor; auto. apply step_calls; auto. }
  destruct (must_wait a c i) eqn:MW; [discriminate|]. injection S as <-.
  assert (GIVES_UP : good (engine n m) (with_calls (with_claim a (let_go c (claim a))) (upd (calls a) c None))).
  { destruct (claims_keep (engine n m) a (let_go c (claim a)) c G) as [X Y]; [intros; now apply let_go_other|].
    constructor; auto. apply step_calls; auto. }
  destruct (effect (engine n m) a c j i) as [b|] eqn:EF; [|exact GIVES_UP]. clear GIVES_UP.
  assert (KL : calls b = calls a).
  { destruct i, j; simpl in EF; try discriminate; repeat match type of EF with (if ?t then _ else _) = _ => destruct t; try discriminate end;
      injection EF as <-; reflexivity. }
  rewrite KL. revert NT.
  destruct j as [p| |g]; destruct k as [|[|[|[|[|[|[|[|k]]]]]]]]; simpl; try discriminate; intro NT; injection NT as <-; simpl in EF.
  (* Split *)
  - destruct (_ && _) eqn:FR; [|discriminate]. injection EF as <-. apply andb_prop in FR as [FR _]. apply is_free_none in FR.
    destruct (claims_keep (engine n m) a (upd (claim a) p (Some c)) c G) as [X Y].
    { intros d q NE E. unfold upd. destruct (N.eqb_spec q p); congruence. }
    constructor; auto. apply step_calls; auto. simpl. split; [apply OWN|]. intros _. unfold upd. now rewrite N.eqb_refl.
  - destruct (is_block (cur (top a))) eqn:BL; [|discriminate]. injection EF as <-. destruct OWN as [P CL]. simpl in P.
    assert (TOP : cur (top a) = Block) by (destruct (cur (top a)); [auto|discriminate]).
    constructor; simpl; auto.
    + apply step_calls; auto; [|simpl; split; auto; intro; apply CL; lia].
      intros d j k NE C _. destruct j as [q| |g]; simpl in *.
      * exact C.
      * destruct C as (C1 & C2 & C3 & C4 & C5 & C6).
        assert (K : ~ (1 <= k <= 5)%nat).
        { intro K. destruct (C1 K p P) as [X _]. rewrite CL in X by lia. congruence. }
        repeat split; auto; try (intros; exfalso; lia); intros; apply C1; auto.
      * destruct C as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9).
        assert (K : ~ (2 <= k <= 6)%nat) by (intro K; specialize (C3 K); congruence).
        repeat split; auto; try (intros; exfalso; lia); intros; apply C2; auto.
    + intros i E. destruct (AW i E) as (_ & (X & _) & _). congruence.
  - injection EF as <-. constructor; [| |exact HE].
    + apply step_calls; auto; [others|simpl; split; [apply OWN|intro; apply OWN; lia]].
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_drain.
  - injection EF as <-. constructor; simpl; auto.
    + apply step_calls; auto; [others|simpl; split; [apply OWN|intro; apply OWN; lia]].
  - injection EF as <-. constructor; [| |exact HE].
    + apply step_calls; auto; [others|simpl; split; [apply OWN|intro; apply OWN; lia]].
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_drain.
  - injection EF as <-. destruct (claims_keep (engine n m) a (let_go c (claim a)) c G) as [X Y]; [intros; now apply let_go_other|].
    constructor; auto. apply step_calls; auto. simpl. split; [apply OWN|lia].
  (* Join *)
  - destruct (forallb _ _) eqn:FR; [|discriminate]. injection EF as <-. rewrite forallb_forall in FR.
    assert (FREE : forall q, q < m -> claim a q = None /\ away a q = false).
    { intros q L. specialize (FR q (proj2 (in_below _ _) L)). apply andb_prop in FR as [F1 F2]. apply is_free_none in F1.
      apply negb_true_iff in F2. auto. }
    destruct (claims_keep (engine n m) a (fun q => if q <? m then Some c else claim a q) c G) as [X Y].
    { intros d q NE E. destruct (N.ltb_spec q m) as [L|L]; auto. destruct (FREE q L). congruence. }
    constructor; auto. apply step_calls; auto. simpl. repeat split; try (intros; exfalso; lia).
    + apply N.ltb_lt in H0. now rewrite H0.
    + now apply FREE.
  - destruct (is_block _) eqn:BL; [discriminate|]. injection EF as <-.
    destruct OWN as (O1 & _). specialize (O1 ltac:(lia)). simpl in O1.
    assert (TOP : cur (top a) = Table) by (destruct (cur (top a)); [discriminate|auto]).
    constructor; simpl; auto.
    + apply step_calls; auto; [|simpl; repeat split; auto; try (intros; exfalso; lia); intros; now apply O1].
      intros d j k NE C _. destruct j as [q| |g]; simpl in *.
      * exact C.
      * destruct C as (C1 & C2 & C3 & C4 & C5 & C6).
        assert (K : ~ (2 <= k <= 5)%nat) by (intro K; specialize (C2 K); congruence).
        repeat split; auto; try (intros; exfalso; lia); intros; apply C1; auto.
      * destruct C as (C1 & C2 & C3 & C4 & C5 & C6 & C7 & C8 & C9).
        assert (K : ~ (1 <= k <= 6)%nat) by (intro K; destruct (C2 K) as [X _]; destruct (O1 g C1); congruence).
        repeat split; auto; intros; exfalso; lia.
    + intros i E. destruct (AW i E) as (L & _). destruct (O1 i L). congruence.
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & _). constructor; [| |exact HE].
    + apply step_calls; auto; [others|].
      simpl. repeat split; try (intros; exfalso; lia); try (intros; apply O1; auto; lia).
      * intros _. destruct (calmer_drain c (top a)) as [-> _]. apply O2. lia.
      * intros _. apply drained. auto.
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_drain.
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & O4 & _). constructor; simpl; auto.
    apply step_calls; auto; [others|].
    simpl. repeat split; try (intros; exfalso; lia); try (intros; apply O1; auto; lia); intros; try (apply O2; lia); try (apply O4; lia).
    apply in_or_app. left. apply in_map, in_below. exact (HE _ H0).
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & O4 & O5 & _). constructor; [| |exact HE].
    + apply step_calls; auto; [others|].
      simpl. repeat split; try (intros; exfalso; lia); try (intros; apply O1; auto; lia).
      * intros _. destruct (calmer_drain c (top a)) as [-> _]. apply O2. lia.
      * intros _. eapply calmer_empty; [apply calmer_drain|]. apply O4. lia.
      * intros _ d X. apply (waited a c _ MW (O5 eq_refl d X)). reflexivity.
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_drain.
  - injection EF as <-. destruct (claims_keep (engine n m) a (let_go c (claim a)) c G) as [X Y]; [intros; now apply let_go_other|].
    constructor; auto. apply step_calls; auto. simpl. repeat split; intros; exfalso; lia.
  (* Give *)
  - destruct (_ && _) eqn:FR; [|discriminate]. injection EF as <-. apply andb_prop in FR as [FR NA]. apply is_free_none in FR. apply negb_true_iff in NA.
    destruct (claims_keep (engine n m) a (upd (claim a) g (Some c)) c G) as [X Y].
    { intros d q NE E. unfold upd. destruct (N.eqb_spec q g); congruence. }
    constructor; auto. apply step_calls; auto. simpl. destruct OWN as (O1 & _). repeat split; auto; try (intros; exfalso; lia).
    unfold upd. now rewrite N.eqb_refl.
  - destruct (is_block (cur (top a))) eqn:BL; [discriminate|]. injection EF as <-. destruct OWN as (O1 & O2 & _). destruct (O2 ltac:(lia)) as [O2a O2b].
    constructor; [| |exact HE].
    + apply step_calls; auto; [others|].
      simpl. repeat split; auto; try (intros; exfalso; lia). intros _. destruct (cur (top a)); [discriminate|auto].
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_read, @calmer_refl.
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & O4 & _). destruct (O2 ltac:(lia)) as [O2a O2b].
    constructor; [| |exact HE].
    + apply step_calls; auto.
      * intros d j k NE C _. eapply frame; [eassumption|..]; simpl; auto using @calmer_refl.
        intros q E. repeat split; auto; unfold upd; destruct (N.eqb_spec q g) as [->|]; auto; try congruence.
      * simpl. unfold upd. rewrite N.eqb_refl. repeat split; auto; try (intros; exfalso; lia); intros; try (apply O3; lia); try (apply O4; lia).
        simpl. auto.
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_refl. intros i E. unfold upd.
      destruct (N.eqb_spec i g) as [->|]; [congruence|apply calmer_refl].
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & O4 & O5 & O6 & _). destruct (O2 ltac:(lia)) as [O2a O2b].
    assert (CL : closed (with_tables a (drain c (top a)) (fun q => drain c (leaf a q))) g).
    { repeat split; simpl.
      - destruct (calmer_drain c (top a)) as [-> _]. apply O3. lia.
      - apply drained. apply O4. lia.
      - destruct (calmer_drain c (leaf a g)) as [-> _]. apply O5. lia.
      - apply drained. auto. }
    constructor; [| |exact HE].
    + apply step_calls; auto; [others|].
      simpl. repeat split; auto; try (intros; exfalso; lia); try (intros; apply CL).
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_drain.
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & O4 & O5 & O6 & O7 & _). destruct (O2 ltac:(lia)) as [O2a O2b].
    constructor; simpl; auto.
    apply step_calls; auto; [others|].
    simpl. repeat split; auto; try (intros; exfalso; lia); intros; try (apply O3; lia); try (apply O5; lia); try (apply O7; lia).
    apply in_or_app. left. apply in_map, in_below. exact (HE _ H1).
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & O4 & O5 & O6 & O7 & O8 & _). destruct (O2 ltac:(lia)) as [O2a O2b].
    assert (CL : closed (with_tables a (drain c (top a)) (fun q => drain c (leaf a q))) g).
    { eapply closed_calmer; [apply O7; lia|simpl; apply calmer_drain..]. }
    constructor; [| |exact HE].
    + apply step_calls; auto; [others|].
      simpl. repeat split; auto; try (intros; exfalso; lia); try (intros; apply CL).
      intros _ d s R X. apply (waited a c _ MW (O8 eq_refl d s R X)). reflexivity.
    + apply (away_frame (engine n m) a); auto; simpl; auto using @calmer_drain.
  - injection EF as <-. destruct OWN as (O1 & O2 & O3 & O4 & O5 & O6 & O7 & O8 & O9).
    destruct (O2 ltac:(lia)) as [O2a O2b]. constructor; simpl; auto.
    + apply step_calls; auto.
      * intros d j k NE C _. eapply frame; [eassumption|..]; simpl; auto using @calmer_refl.
        intros q E. repeat split; auto; [now apply let_go_other|]. intro F. unfold upd. destruct (N.eqb_spec q g); auto. congruence.
      * simpl. repeat split; auto; intros; exfalso; lia.
    + intros i E. unfold upd in E. destruct (N.eqb_spec i g) as [EQ|NE]; [rewrite EQ|now apply AW].
      split; [exact O1|]. split; [apply O7; lia|]. intros d s. apply (O9 eq_refl d s).
Qed.

Theorem always n m a : reachable (engine n m) a -> good (engine n m) a.
Proof.
  induction 1 as [|a e b R G S].
  - constructor; simpl; try discriminate; contradiction.
  - destruct e; [eapply see_keeps|eapply forget_keeps|eapply act_keeps|eapply home_keeps|eapply begin_keeps|eapply run_keeps]; eauto.
Qed.

(** A page that was taken away: no core has anything for it, and no walk finds it. *)
Theorem nothing_left n m a i : reachable (engine n m) a -> away a i = true ->
  (forall c s, reaches i s -> ~ In (c, s) (held a)) /\ (forall c s, reaches i s -> finds a c s = false).
Proof.
  intros R A. destruct (g_away _ _ (always n m a R) i A) as (_ & C & H). split; auto. intros. eapply closed_found; eauto.
Qed.

(** The table that a join took away, when the join lets it go: no walk is in it, and none gets in. *)
Theorem table_is_free n m a c : reachable (engine n m) a -> calls a c = Some (Join, 5%nat) ->
  (forall d, ~ In (d, Link_) (held a)) /\ (forall d, finds a d Link_ = false).
Proof.
  intros R A. destruct (g_calls _ _ (always n m a R) _ _ _ A) as (_ & T & _ & W & _ & H). split; [now apply H|].
  intro d. simpl. rewrite T, W by lia. reflexivity.
Qed.
