(** * What each hardware event does to the ways to a page

    For each: what was left before, as far as the flush had come, is all that is left after. Then I5's
    bookkeeping through every event that is not a step of a call. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
Open Scope N_scope.

(** ** Tools *)

Lemma is_in_true {A} (dec : forall a b : A, {a = b} + {a <> b}) a l : is_in dec a l = true <-> In a l.
Proof. unfold is_in. destruct (in_dec dec a l); split; auto; discriminate. Qed.

Lemma in_take_one {A} (dec : forall a b : A, {a = b} + {a <> b}) q x l : In x (take_one dec q l) -> In x l.
Proof. induction l as [|y l IH]; simpl; [auto|]. destruct (dec q y); simpl; tauto. Qed.

Lemma take_one_other {A} (dec : forall a b : A, {a = b} + {a <> b}) q x l :
  In x l -> x <> q -> In x (take_one dec q l).
Proof.
  induction l as [|y l IH]; simpl; [auto|]. intros [->|I] N; destruct (dec q _); subst; simpl; auto.
  - congruence.
Qed.

Lemma level_eqb_true a b : level_eqb a b = true <-> a = b.
Proof. destruct a, b; simpl; split; congruence. Qed.

Lemma guard_some {A} b (a x : A) : guard b a = Some x -> b = true /\ x = a.
Proof. unfold guard. destruct b; [injection 1 as ->; auto|discriminate]. Qed.

Ltac bools :=
  repeat match goal with
  | H : _ && _ = true |- _ => apply andb_prop in H as [? H]
  | H : negb _ = true |- _ => apply negb_true_iff in H
  | H : is_in _ _ _ = true |- _ => apply is_in_true in H
  | H : (_ <? _) = true |- _ => apply N.ltb_lt in H
  | H : (if dom_dec ?a ?b then true else false) = true |- _ => destruct (dom_dec a b); [|discriminate H]
  | H : (if entry_dec ?a ?b then true else false) = true |- _ => destruct (entry_dec a b); [|discriminate H]
  | H : level_eqb _ _ = true |- _ => apply level_eqb_true in H
  | H : both _ = true |- _ => unfold both in H
  end.

(** Of the conjuncts the last one is taken apart too. *)
Ltac split_bools := repeat (progress bools; repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end).

Lemma hits_of o w : hits o w = true -> exists d, of w = d /\ (o = Whole d \/ (o = Combined d /\ via w = None) \/ exists a, o = ByIpa d a /\ via w = Some a).
Proof.
  unfold hits. destruct o, (via w) eqn:E; try discriminate;
    destruct (dom_dec d (of w)); try discriminate; subst; intros H; exists (of w); split; auto.
  right. right. apply N.eqb_eq in H. subst. eauto.
Qed.

Lemma combined_hits o d w : combined_of o d = true -> of w = d -> via w = None -> hits o w = true.
Proof.
  unfold combined_of, hits. intros H E V. rewrite V. subst. destruct o; try discriminate; auto.
Qed.

Lemma way_ok_posts c d qs qs' l w :
  (forall q, In q qs -> In q qs') -> way_ok c d qs l w -> way_ok c d qs' l w.
Proof. intros I. destruct l; simpl; auto.
  - intros (o & A & B). exists o. auto.
Qed.

Lemma flight_ok_posts e c d qs qs' l f :
  (forall q, In q qs -> In q qs') -> flight_ok e c d qs l f -> flight_ok e c d qs' l f.
Proof.
  intros I. destruct l; simpl; auto.
  - intros [H|(o & A & B)]; eauto.
  - intros [H|(E & H & o & A)]; eauto 8.
Qed.

(** ** A core acts on an invalidation *)

Lemma in_drop q w l : In w (drop q l) <-> In w l /\ ~ (on w = for_ q /\ hits (op q) w = true).
Proof.
  unfold drop. rewrite filter_In. split; intros [A B]; split; auto.
  - intros [E H]. apply N.eqb_eq in E. now rewrite E, H in B.
  - destruct (N.eqb_spec (on w) (for_ q)), (hits (op q) w); simpl; auto; exfalso; auto.
Qed.

Lemma post_stays c o w q qs :
  In (Post c o (on w)) qs -> hits o w = true -> ~ (on w = for_ q /\ hits (op q) w = true) ->
  In (Post c o (on w)) (take_one post_dec q qs).
Proof. intros I H N. apply take_one_other; auto. intros <-. simpl in N. tauto. Qed.

Lemma way_ok_act c d q qs l w :
  of w = d -> ~ (on w = for_ q /\ hits (op q) w = true) ->
  way_ok c d qs l w -> way_ok c d (take_one post_dec q qs) l w.
Proof.
  intros O N. destruct l; simpl; auto.
  - intros H a V. apply post_stays; auto. unfold hits. rewrite V.
    destruct (dom_dec d (of w)); [apply N.eqb_refl|congruence].
  - intros (o & I & H & C). exists o. repeat split; auto. apply post_stays; auto.
Qed.

Lemma await_same e q f :
  f_on (await e q f) = f_on f /\ f_of (await e q f) = f_of f /\ f_ipa (await e q f) = f_ipa f /\ f_to (await e q f) = f_to f.
Proof.
  unfold await. destruct (f_on f =? for_ q); auto. destruct (e && is_in N.eq_dec (issuer q) (passed f)); auto.
  destruct (combined_of (op q) (f_of f)); auto. destruct e; auto.
Qed.

Lemma await_passed e q f c : In c (passed f) -> In c (passed (await e q f)).
Proof.
  unfold await. destruct (f_on f =? for_ q); auto. destruct (e && is_in N.eq_dec (issuer q) (passed f)); auto.
  destruct (combined_of (op q) (f_of f)); auto. destruct e; simpl; auto.
Qed.
Lemma await_owed e q f c : In c (owed f) -> In c (owed (await e q f)).
Proof.
  unfold await. destruct (f_on f =? for_ q); auto. destruct (e && is_in N.eq_dec (issuer q) (passed f)); simpl; auto.
  destruct (combined_of (op q) (f_of f)); auto. destruct e; simpl; auto.
Qed.

(** Who was waited for is, after the core has acted. *)
Lemma await_marks (e : bool) c o f :
  combined_of o (f_of f) = true ->
  In c (if e then passed (await e (Post c o (f_on f)) f) else owed (await e (Post c o (f_on f)) f)).
Proof.
  intro C. unfold await. simpl. rewrite N.eqb_refl.
  destruct e; simpl.
  - destruct (is_in N.eq_dec c (passed f)) eqn:P; simpl; [now apply is_in_true in P|].
    rewrite C. simpl. auto.
  - rewrite C. simpl. auto.
Qed.

Lemma await_again c o f :
  In c (passed f) -> In c (owed (await true (Post c o (f_on f)) f)).
Proof.
  intro P. unfold await. simpl. rewrite N.eqb_refl. simpl.
  apply (is_in_true N.eq_dec) in P. rewrite P. simpl. auto.
Qed.

Lemma flight_ok_act e c d q qs l f :
  f_of f = d -> flight_ok e c d qs l f -> flight_ok e c d (take_one post_dec q qs) l (await e q f).
Proof.
  intros O. destruct l; simpl; auto.
  - intros [H|(o & I & C)].
    + left. destruct e; auto using await_passed, await_owed.
    + destruct (await_same e q f) as (-> & _).
      destruct (post_dec (Post c o (f_on f)) q) as [<-|N].
      * left. apply await_marks. congruence.
      * right. exists o. split; auto. apply take_one_other; auto.
  - intros [E H]. auto using await_passed.
  - intros [H|(-> & H & o & I)]; [left; now apply await_owed|].
    destruct (await_same true q f) as (-> & _).
    destruct (post_dec (Post c o (f_on f)) q) as [<-|N].
    + left. now apply await_again.
    + right. repeat split; auto using await_passed. exists o. apply take_one_other; auto.
Qed.

(** ** Events that change TLBs alone *)

Lemma tlbs_keep u m W F Q :
  invariant u m ->
  (forall c t x, threads m c = Some t -> call_ok u m c t -> works t ->
     reach_ok u (set_tlbs m W F Q) c t x (level_at (known t) x)) ->
  (forall w, In w W -> on w < cores u /\ alive m (of w)
    /\ (quiet m (of w) (from_ipa w) (leads_to w) -> now (cells m (of w) (from_ipa w)) = Leaf (leads_to w))) ->
  (forall f, In f F -> f_on f < cores u /\ alive m (f_of f) /\ (quiet m (f_of f) (f_ipa f) (f_to f) -> now (cells m (f_of f) (f_ipa f)) = Leaf (f_to f))) ->
  invariant u (set_tlbs m W F Q).
Proof.
  intros I R HW HF. pose proof (i_calls _ _ I) as IC. destruct I. constructor; try assumption.
  intros c t T. pose proof (IC c t T) as K. pose proof (fun x => R c t x T K) as R'. destruct K.
  constructor; try assumption. auto.
Qed.

Lemma walk_keeps u m c d a b p m' :
  invariant u m -> step u m (Walk c d a b p) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->]. split_bools. subst d.
  assert (A : alive m (regime m c)).
  { destruct (regime m c) eqn:E; simpl; auto.
    pose proof (i_walkers _ _ I c slot E ltac:(assumption)) as L.
    destruct (phases m slot); simpl in L; congruence. }
  apply tlbs_keep; auto.
  - intros c' t x T K Wk. destruct (c_reach _ _ _ _ K Wk x) as [RW RF]. split; simpl; [|auto].
    intros w [<-|In_]; simpl; [|apply RW; auto]. intros O Ab.
    set (l := level_at (known t) x). 
    destruct (level_eqb l Mapped) eqn:LM; [apply level_eqb_true in LM; rewrite LM; exact Logic.I|].
    assert (L : l <> Mapped) by (intro E; apply level_eqb_true in E; congruence).
    destruct (is_end (kind_of (doing t))) eqn:En.
    + destruct (c_end _ _ _ _ K En) as [E1 E2]. destruct x; simpl in *; [unfold l in L; simpl in L; congruence|].
      specialize (E1 L). unfold regime_of in O. simpl in O.
      pose proof (i_walkers _ _ I c _ O ltac:(assumption)) as L'. rewrite E1 in L'. discriminate.
    + destruct Ab as [Ab|[Ab Aa]]; [congruence|]. subst p a.
      rewrite O in A.
      destruct (c_cells _ _ _ _ K Wk x L En A) as [C1 C2]. fold l in C2.
      match goal with H : In (Leaf _) (_ :: _) |- _ => rename H into Seen end.
      simpl in Seen. rewrite O in Seen. destruct Seen as [Seen|Seen]; [now apply C1 in Seen|].
      destruct (C2 Seen) as (-> & _). exact Logic.I.
  - intros w [<-|In_]; simpl; [|now apply (i_ways _ _ I)]. repeat split; auto.
    intro Q. match goal with H : In (Leaf _) (_ :: _) |- _ => rename H into Seen end.
    destruct Seen as [Seen|Seen]; auto. now apply (i_old _ _ I).
  - apply (i_flights _ _ I).
Qed.

Lemma fill_keeps u m w m' : invariant u m -> step u m (Fill w) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->]. split_bools. apply tlbs_keep; auto.
  - intros c' t x T K Wk. destruct (c_reach _ _ _ _ K Wk x) as [RW RF]. split; simpl; [|auto].
    intros w' [<-|In_]; simpl; [|intros; apply RW; auto; eapply in_take_one; eauto]. intros O Ab.
    specialize (RW w H O Ab). destruct (level_at (known t) x); simpl in *; auto.
  - intros w' [<-|In_]; simpl; [now apply (i_ways _ _ I)|]. apply (i_ways _ _ I). eapply in_take_one; eauto.
  - apply (i_flights _ _ I).
Qed.

Lemma combine_keeps u m w m' : invariant u m -> step u m (Combine w) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->]. split_bools. apply tlbs_keep; auto.
  - intros c' t x T K Wk. destruct (c_reach _ _ _ _ K Wk x) as [RW RF]. split; simpl; [|auto].
    intros w' [<-|In_]; simpl; [|intros; apply RW; auto]. intros O Ab.
    specialize (RW w H O Ab). destruct (level_at (known t) x); simpl in *; auto.
    + intros a V. discriminate.
    + destruct RW as (o & P & Hi & C). exists o. repeat split; auto. apply combined_hits with (d := regime_of (doing t) x); auto.
  - intros w' [<-|In_]; simpl; [|now apply (i_ways _ _ I)].
    destruct (i_ways _ _ I w H) as (A & B & C). repeat split; auto.
  - apply (i_flights _ _ I).
Qed.

Lemma forget_keeps u m w m' : invariant u m -> step u m (Forget w) = Some m' -> invariant u m'.
Proof.
  intros I. simpl. injection 1 as <-. apply tlbs_keep; auto.
  - intros c' t x T K Wk. destruct (c_reach _ _ _ _ K Wk x) as [RW RF]. split; simpl; [|auto].
    intros w' In_ O Ab. apply RW; auto. eapply in_take_one; eauto.
  - intros w' In_. apply (i_ways _ _ I). eapply in_take_one; eauto.
  - apply (i_flights _ _ I).
Qed.

Lemma access_keeps u m w a m' : invariant u m -> step u m (Access w a) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->]. split_bools. destruct (via w) eqn:V; [discriminate|].
  apply tlbs_keep; auto.
  - intros c' t x T K Wk. destruct (c_reach _ _ _ _ K Wk x) as [RW RF]. split; simpl; [auto|].
    intros f' [<-|In_]; simpl; [|auto]. intros O Ab.
    match goal with H : In w _ |- _ => specialize (RW w H O Ab) end.
    destruct (level_at (known t) x); simpl in *; auto; try contradiction.
    destruct RW as (o & P & Hi & C). right. exists o. auto.
  - apply (i_ways _ _ I).
  - intros f [<-|In_]; simpl; [|now apply (i_flights _ _ I)].
    destruct (i_ways _ _ I w) as (A & B & C); auto.
Qed.

Lemma act_keeps u m q m' : invariant u m -> step u m (Act q) = Some m' -> invariant u m'.
Proof.
  intros I S. apply guard_some in S as [G ->]. split_bools. apply tlbs_keep; auto.
  - intros c' t x T K Wk. destruct (c_reach _ _ _ _ K Wk x) as [RW RF]. split; simpl.
    + intros w In_ O Ab. apply in_drop in In_ as [In_ N]. apply way_ok_act; auto.
    + intros f In_ O Ab. apply in_map_iff in In_ as (f0 & <- & In_).
      destruct (await_same (erratum u) q f0) as (_ & E2 & E3 & E4). rewrite E2 in O. rewrite E3, E4 in Ab.
      apply flight_ok_act; auto.
  - intros w In_. apply in_drop in In_ as [In_ N]. now apply (i_ways _ _ I).
  - intros f In_. apply in_map_iff in In_ as (f0 & <- & In_).
    destruct (await_same (erratum u) q f0) as (-> & -> & -> & ->). now apply (i_flights _ _ I).
Qed.
