(** * EL2's own pages: what holds at every moment, and what follows from it *)

From Coq Require Import Arith NArith List Bool Lia.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import Hardware OwnPages Proofs.Ways.
Import ListNotations.
Open Scope N_scope.

(** ** How far a call is: between calls, the page is there, or it is not *)

Inductive at_ := Gone | There | Mapping (k : nat) | Unmapping (k : nat).

Definition place (m : machine) : at_ :=
  match call m with
  | None => if own m then There else Gone
  | Some (_, Donate, k) => match k with 0 => Gone | 4 => There | k => Mapping k end%nat
  | Some (_, Reclaim, k) => match k with 0 => There | 11 => Gone | k => Unmapping k end%nat
  end.

(** What is left of an access, with so many invalidations done, and one begun or none. *)
Definition late (err : bool) (m : machine) (k : nat) (f : flight) : Prop :=
  (k <= 3 \/ (k = 4 /\ (In (by_ f) (notes m) \/ 1 <= acted f))
   \/ ((k = 5 \/ k = 6) /\ err = true /\ 1 <= acted f)
   \/ (k = 7 /\ ((In (by_ f) (notes m) /\ 1 <= acted f) \/ 2 <= acted f)))%nat.

Record good (u : setup) (m : machine) : Prop := {
  g_own : own m = match call m with Some (_, Donate, k) => Nat.leb 4 k | Some (_, Reclaim, k) => negb (Nat.leb 11 k) | None => own m end;
  g_call : match call m with
           | Some (c, j, k) => c < cores u /\ (k <= length (program j))%nat
                               /\ knows m = (match j with Donate => if Nat.leb 4 k then [c] else [] | Reclaim => [] end)
           | None => True
           end;
  g_there : place m = There -> entry m = true /\ was m = [] /\ notes m = [] /\ (forall c, In c (knows m) -> ~ In (c, false) (ahead m));
  g_gone : place m = Gone -> entry m = false /\ was m = [] /\ notes m = [] /\ tlb m = [] /\ flights m = [] /\ knows m = [];
  g_mapping : forall k, place m = Mapping k -> entry m = true /\ notes m = [] /\ flights m = [] /\ ((2 <= k)%nat -> was m = [])
              /\ (k = 3%nat -> forall c j n, call m = Some (c, j, n) -> ~ In (c, false) (ahead m));
  g_unmapping : forall k, place m = Unmapping k -> entry m = false /\ ((2 <= k)%nat -> was m = [])
              /\ (forall c, In c (tlb m) -> (k <= 3)%nat \/ (k = 4%nat /\ In c (notes m)))
              /\ (forall f, In f (flights m) -> late (erratum u) m k f)
              /\ (notes m <> [] -> k = 4%nat \/ k = 7%nat);
  g_cores : (forall c, In c (tlb m) -> c < cores u) /\ (forall f, In f (flights m) -> by_ f < cores u) /\ (forall c, In c (knows m) -> c < cores u);
  g_faulted : faulted m = false
}.

Lemma isin_true c l : isin c l = true <-> In c l.
Proof.
  unfold isin. rewrite existsb_exists. split; [intros (x & I & E); apply N.eqb_eq in E; now subst|].
  intro I. exists c. split; auto. apply N.eqb_refl.
Qed.
Lemma guard_some {A} b (a a' : A) : guard b a = Some a' -> b = true /\ a' = a.
Proof. destruct b; simpl; [injection 1|]; auto; discriminate. Qed.
Lemma existsb_true b l : existsb (Bool.eqb b) l = true -> In b l.
Proof. rewrite existsb_exists. intros (x & I & E). apply Bool.eqb_prop in E. now subst. Qed.
Lemma had_ahead_true m c b : had_ahead m c b = true -> In (c, b) (ahead m).
Proof.
  unfold had_ahead. rewrite existsb_exists. intros ([d e] & I & E). simpl in E. apply andb_prop in E as [E F].
  apply N.eqb_eq in E. apply Bool.eqb_prop in F. now subst.
Qed.
Lemma not_synchronised c b l : ~ In (c, b) (synchronised c l).
Proof. unfold synchronised. rewrite filter_In. simpl. rewrite N.eqb_refl. intros [_ H]. discriminate. Qed.
Lemma in_synchronised c x l : In x (synchronised c l) -> In x l.
Proof. unfold synchronised. rewrite filter_In. tauto. Qed.

(** Who knows of the page finds it there. *)
Lemma known_there u m c : good u m -> In c (knows m) -> place m = There.
Proof.
  intros G K. pose proof (g_own _ _ G) as O. pose proof (g_call _ _ G) as C. pose proof (g_gone _ _ G) as N. unfold place in *.
  destruct (call m) as [[[d j] k]|].
  - destruct C as (_ & L & E). rewrite E in K. destruct j; [|contradiction].
    destruct k as [|[|[|[|[|k]]]]]; simpl in *; try contradiction; auto. lia.
  - destruct (own m); auto. destruct N as (_ & _ & _ & _ & _ & N); auto. rewrite N in K. contradiction.
Qed.

(** Hardware changes nothing that is not cached. *)
Lemma hardware_keeps u m e m' : good u m ->
  match e with Fill _ | Look _ _ | Land _ | Act _ | Forget _ => True | _ => False end -> step u m e = Some m' -> good u m'.
Proof.
  intros G S E. destruct G as [O C T N M U [X1 [X2 X3]] F]. destruct e; try contradiction; cbn [step] in E.
  - apply guard_some in E as [H ->]. apply andb_prop in H as [L H]. apply N.ltb_lt in L. apply existsb_true in H.
    constructor; simpl; auto.
    + intro P. destruct (N P) as (E & W & _). rewrite E, W in H. destruct H; [discriminate|contradiction].
    + intros k P. destruct (U k P) as (E & W & TL & FL & NO). split; [exact E|]. split; [exact W|]. split; [|split; auto].
      intros d [<-|I]; auto. destruct (Nat.le_gt_cases k 3) as [|B]; auto. rewrite E, W in H; [|lia]. destruct H; [discriminate|contradiction].
    + split; [|auto]. intros d [<-|I]; auto.
  - apply guard_some in E as [H ->]. apply andb_prop in H as [L H].
    assert (FD : forall d, (d, false) = (c, b) -> entry m = true -> was m = [] -> False).
    { intros d E EN W. injection E as _ E. rewrite <- E in H. unfold finds in H. rewrite EN, W in H. simpl in H. discriminate. }
    constructor; simpl; auto.
    + intro P. destruct (T P) as (EN & W & NO & K). repeat split; auto. intros d I [J|J]; [|now apply (K d)]. eapply FD; eauto.
    + intros k P. destruct (M k P) as (EN & NO & FL & W & K). repeat split; auto. intros -> d j n CA [J|J]; [|eapply K; eauto].
      eapply FD; eauto.
  - apply guard_some in E as [H ->]. constructor; simpl; auto.
    + intro P. destruct (N P) as (EN & W & NO & TL & FL & K). repeat split; auto. rewrite FL. reflexivity.
    + intros k P. destruct (M k P) as (EN & NO & FL & W). rewrite FL. auto.
    + intros k P. destruct (U k P) as (EN & W & TL & FL & NO). repeat split; auto. intros g I. apply FL. eapply in_take_one; eauto.
    + repeat split; auto. intros g I. apply X2. eapply in_take_one; eauto.
  - apply guard_some in E as [H ->]. apply isin_true in H. constructor; simpl; auto.
    + intro P. destruct (T P) as (EN & W & NO & K). rewrite NO in H. contradiction.
    + intro P. destruct (N P) as (EN & W & NO & _). rewrite NO in H. contradiction.
    + intros k P. destruct (M k P) as (EN & NO & _). rewrite NO in H. contradiction.
    + intros k P. destruct (U k P) as (EN & W & TL & FL & NO). split; [exact EN|]. split; [exact W|]. split; [|split].
      * intros d I. apply filter_In in I as [I D]. destruct (TL d I) as [|[-> J]]; auto. right. split; auto. apply take_one_other; auto.
        intros ->. rewrite N.eqb_refl in D. discriminate.
      * intros g I. apply in_map_iff in I as (f & <- & I). specialize (FL f I). unfold late in *. simpl.
        destruct (N.eqb_spec (by_ f) c) as [D|D]; simpl.
        -- destruct FL as [FL|[[FL J]|[(FL & ER & J)|(FL & J)]]].
           ++ left. exact FL.
           ++ right. left. split; [exact FL|]. right. lia.
           ++ right. right. left. split; [exact FL|]. split; [exact ER|lia].
           ++ right. right. right. split; [exact FL|]. right. destruct J as [[_ J]|J]; lia.
        -- assert (ST : In (by_ f) (notes m) -> In (by_ f) (take_one N.eq_dec c (notes m))) by (intro I'; apply take_one_other; auto).
           destruct FL as [FL|[[FL J]|[FL|(FL & J)]]].
           ++ left. exact FL.
           ++ right. left. split; [exact FL|]. destruct J as [J|J]; auto.
           ++ right. right. left. exact FL.
           ++ right. right. right. split; [exact FL|]. destruct J as [[J J']|J]; auto.
      * intro I. apply NO. intro Z. rewrite Z in H. contradiction.
    + repeat split; auto.
      * intros d I. apply filter_In in I as [I _]. auto.
      * intros g I. apply in_map_iff in I as (f & <- & I). destruct (by_ f =? c); simpl; auto.
  - injection E as <-. constructor; simpl; auto.
    + intro P. destruct (N P) as (EN & W & NO & TL & FL & K). repeat split; auto. rewrite TL. reflexivity.
    + intros k P. destruct (U k P) as (EN & W & TL & FL & NO). repeat split; auto. intros d I. apply TL. eapply in_take_one; eauto.
    + repeat split; auto. intros d I. apply X1. eapply in_take_one; eauto.
Qed.

Lemma software_keeps n err m e m' : good (engine err n) m ->
  match e with Learn _ | Go _ _ | Begin _ _ => True | _ => False end -> step (engine err n) m e = Some m' -> good (engine err n) m'.
Proof.
  intros G S E. destruct e; try contradiction; cbn [step] in E.
  - apply guard_some in E as [H ->]. apply andb_prop in H as [H CA]. apply andb_prop in H as [L OW]. apply N.ltb_lt in L.
    destruct (call m) eqn:C; [discriminate|].
    assert (P : place m = There) by (unfold place; now rewrite C, OW).
    destruct G as [O CC T N M U [X1 [X2 X3]] F]. destruct (T P) as (EN & W & NO & K).
    assert (P' : place (with_ahead m (synchronised c (ahead m)) (c :: knows m)) = There) by exact P.
    constructor; rewrite ?P'; simpl; rewrite ?C; auto; try discriminate.
    + intros _. repeat split; auto. intros d [<-|I]; [apply not_synchronised|]. intro J. apply in_synchronised in J. now apply (K d).
    + repeat split; auto. intros d [<-|I]; auto.
  - apply guard_some in E as [H E]. apply andb_prop in H as [K H]. apply isin_true in K.
    pose proof (known_there _ _ _ G K) as P. destruct (g_there _ _ G P) as (EN & W & NO & A).
    assert (b = true).
    { destruct b; auto. exfalso. apply orb_prop in H as [H|H].
      - unfold finds in H. rewrite EN, W in H. discriminate.
      - apply had_ahead_true in H. now apply (A c). }
    subst b m'. destruct G as [O CC T N M U [X1 [X2 X3]] F].
    assert (P' : place (with_tlb m (tlb m) (notes m) (Flight c 0 :: flights m)) = There) by exact P.
    constructor; rewrite ?P'; simpl; auto; try discriminate.
    repeat split; auto. intros f [<-|I]; simpl; auto.
  - destruct (call m) eqn:C; [discriminate|]. apply guard_some in E as [H ->]. apply andb_prop in H as [L OW]. apply N.ltb_lt in L.
    apply Bool.eqb_prop in OW. destruct G as [O CC T N M U [X1 [X2 X3]] F].
    destruct j; constructor; simpl; auto; try (unfold place in *; simpl; rewrite C, OW in *; try discriminate).
    + repeat split; auto; lia.
    + intros _. destruct N as (? & ? & ? & ? & ? & ?); auto 7.
    + repeat split; auto. intros c0 [].
    + repeat split; auto; lia.
    + intros _. destruct T as (T1 & T2 & T3 & T4); auto 8.
    + repeat split; auto. intros c0 [].
Qed.

Ltac fin := repeat split; intros; auto; try discriminate; try contradiction; try lia.

Lemma not_owed err l f : existsb (owed err) l = false -> In f l -> owed err f = false.
Proof.
  intros E I. destruct (owed err f) eqn:O; auto. assert (X : existsb (owed err) l = true) by (apply existsb_exists; eauto). congruence.
Qed.

Lemma run_keeps n err m m' : good (engine err n) m -> step (engine err n) m Run = Some m' -> good (engine err n) m'.
Proof.
  intros G E. simpl in E. destruct (call m) as [[[c j] k]|] eqn:C; [|discriminate].
  destruct G as [O CC T N M U [X1 [X2 X3]] F]. unfold place in *. rewrite C in *. destruct CC as (L & B & K).
  destruct j; simpl in B.
  - (* Donate *)
    destruct k as [|[|[|[|[|k]]]]]; [..|lia]; simpl in E; injection E as <-; simpl in *.
    + destruct N as (EN & W & NO & TL & FL & KN); auto.
      constructor; unfold place; simpl; auto; try discriminate; try (solve [fin]).
      intros k I. injection I as <-. fin.
    + destruct (M 1%nat eq_refl) as (EN & NO & FL & W & A). constructor; unfold place; simpl; auto; try discriminate; try (solve [fin]).
      intros k I. injection I as <-. fin.
    + destruct (M 2%nat eq_refl) as (EN & NO & FL & W & A). constructor; unfold place; simpl; auto; try discriminate; try (solve [fin]).
      intros k I. injection I as <-. fin. match goal with H : Some _ = Some _ |- _ => injection H as <- _ _ end. apply not_synchronised.
    + destruct (M 3%nat eq_refl) as (EN & NO & FL & W & A). constructor; unfold place; simpl; auto; try discriminate; try (solve [fin]).
      all: first [intros _; repeat split; auto; intros d [<-|[]]; eapply A; now eauto|repeat split; auto; intros d [<-|[]]; exact L].
    + constructor; unfold place; simpl; rewrite ?O; auto; try discriminate.
  - (* Reclaim *)
    destruct k as [|[|[|[|[|[|[|[|[|[|[|[|k]]]]]]]]]]]]; [..|lia]; simpl in E.
    all: try (match type of E with context [existsb _ _] => destruct (existsb (owed err) (flights m)) eqn:OWED; [discriminate|]; destruct (notes m) eqn:NN; [|discriminate] end).
    all: injection E as <-; simpl in *.
    1: destruct T as (EN & W & NO & A); auto.
    12: { destruct N as (EN & W & NO & TL & FL & KN); auto. constructor; unfold place; simpl; rewrite ?O; auto; try discriminate. auto 8. }
    all: try (match goal with H : forall k, Unmapping ?n = Unmapping k -> _ |- _ => destruct (H n eq_refl) as (EN & W & TL & FL & NO) end).
    all: constructor; unfold place; simpl; auto; try discriminate.
    all: try (repeat split; auto; lia).
    all: try (intros k I; injection I as <-; split; [now auto|]; split; [intro; first [reflexivity|apply W; lia|lia]|]; split; [|split]).
    all: try (intro NE; first [auto; fail|now elim NE|specialize (NO NE); lia]).
    all: try (intros d I; destruct (TL d I) as [J|[J J']]; first [lia|contradiction|left; lia|right; split; [reflexivity|apply in_or_app; left; apply in_below; auto]]).
    all: try (intros f I; pose proof (FL f I) as J; pose proof (X2 f I) as J2; unfold late in *; simpl in *;
      assert (BL : In (by_ f) (below n ++ notes m)) by (apply in_or_app; left; now apply in_below)).
    all: try (left; lia).
    all: try (intros f I; left; lia).
    all: try (right; left; split; [reflexivity|left; exact BL]).
    all: try (exfalso; clear - J; intuition lia).
    + apply (not_owed err (flights m) f) in OWED; auto. rewrite NN in J. unfold owed in OWED.
      destruct err; [|exfalso; apply Nat.leb_gt in OWED; simpl in J; clear - J OWED; intuition lia].
      right. right. left. repeat split; auto. simpl in J. clear - J. intuition lia.
    + right. right. left. clear - J. intuition lia.
    + right. right. right. split; [reflexivity|]. left. split; [exact BL|]. clear - J. intuition lia.
    + exfalso. apply (not_owed err (flights m) f) in OWED; auto. rewrite NN in J. unfold owed in OWED. simpl in J.
      assert (AC : (2 <= acted f)%nat) by (clear - J; intuition lia). destruct err; apply Nat.leb_gt in OWED; lia.
    + intros _. fin.
      * apply W. lia.
      * destruct (notes m); auto. destruct (NO ltac:(discriminate)); lia.
      * destruct (tlb m) as [|d l]; auto. destruct (TL d (or_introl eq_refl)) as [J|[J _]]; lia.
      * destruct (flights m) as [|f l]; auto. exfalso. specialize (FL f (or_introl eq_refl)). unfold late in FL. clear - FL. intuition lia.
Qed.

Theorem always n err m : reachable (engine err n) m -> good (engine err n) m.
Proof.
  induction 1 as [|m e m' R G S].
  - constructor; unfold place; simpl; auto; try discriminate; fin.
  - destruct e; [eapply hardware_keeps with (e := Fill c)|eapply hardware_keeps with (e := Look c b)|eapply software_keeps with (e := Learn c)
      |eapply software_keeps with (e := Go c b)|eapply hardware_keeps with (e := Land f)|eapply hardware_keeps with (e := Act c)
      |eapply hardware_keeps with (e := Forget c)|eapply software_keeps with (e := Begin c j)|eapply run_keeps]; eauto; exact I.
Qed.

(** Who knows of the page and accesses it finds it. *)
Theorem no_fault n err m : reachable (engine err n) m -> faulted m = false.
Proof. intro R. exact (g_faulted _ _ (always n err m R)). Qed.

(** When the page is zeroed for the host, and until the engine has it again, no core has an entry for it, no walk finds one, and no access is under way. *)
Theorem returned n err m : reachable (engine err n) m ->
  place m = Gone \/ place m = Unmapping 9 ->
  tlb m = [] /\ flights m = [] /\ entry m = false /\ was m = [].
Proof.
  intros R P. pose proof (always n err m R) as G. destruct P as [P|P].
  - destruct (g_gone _ _ G P) as (E & W & _ & T & F & _). auto.
  - destruct (g_unmapping _ _ G _ P) as (E & W & T & F & _). repeat split; auto.
    + destruct (tlb m) as [|d l]; auto. destruct (T d (or_introl eq_refl)) as [J|[J _]]; lia.
    + destruct (flights m) as [|f l]; auto. exfalso. specialize (F f (or_introl eq_refl)). unfold late in F. clear - F. intuition lia.
    + apply W. lia.
Qed.
