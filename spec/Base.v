(** * Tools that all files use

    Functions that are changed in one place, finite maps as lists, results that may be a refusal,
    runs of one operation over many pages. Nothing here is about Bulkhead. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Export Interface.
Export ListNotations.
Open Scope N_scope.

(** ** A function that is changed in one place *)

Definition upd {A} (f : N -> A) (k : N) (a : A) : N -> A :=
  fun x => if x =? k then a else f x.

Lemma upd_same {A} (f : N -> A) k a : upd f k a k = a.
Proof. unfold upd. now rewrite N.eqb_refl. Qed.

Lemma upd_other {A} (f : N -> A) k a x : x <> k -> upd f k a x = f x.
Proof. unfold upd. intro H. apply N.eqb_neq in H. now rewrite H. Qed.

(** ** A finite map from numbers, as a list in which each key comes once *)

Section Map.
  Context {A : Type}.

  Fixpoint lookup (k : N) (m : list (N * A)) : option A :=
    match m with
    | [] => None
    | (k', a) :: rest => if k =? k' then Some a else lookup k rest
    end.

  Fixpoint remove (k : N) (m : list (N * A)) : list (N * A) :=
    match m with
    | [] => []
    | (k', a) :: rest => if k =? k' then rest else (k', a) :: remove k rest
    end.

  (** How many of the values fit. *)
  Fixpoint count (fits : A -> bool) (m : list (N * A)) : N :=
    match m with
    | [] => 0
    | (_, a) :: rest => (if fits a then 1 else 0) + count fits rest
    end.

  Definition keys (m : list (N * A)) : list N := map fst m.

  Lemma lookup_in k m a : lookup k m = Some a -> In (k, a) m.
  Proof.
    induction m as [|[k' a'] m IH]; simpl; [discriminate|].
    destruct (N.eqb_spec k k'); [injection 1 as ->; subst; auto|auto].
  Qed.

  Lemma lookup_none k m : lookup k m = None -> ~ In k (keys m).
  Proof.
    induction m as [|[k' a'] m IH]; simpl; [auto|].
    destruct (N.eqb_spec k k'); [discriminate|].
    intros H [E|E]; [congruence|now apply IH].
  Qed.

  Lemma in_lookup k m a : NoDup (keys m) -> In (k, a) m -> lookup k m = Some a.
  Proof.
    induction m as [|[k' a'] m IH]; simpl; [contradiction|].
    inversion 1 as [|? ? N D]; subst. intros [E|E].
    - injection E as -> ->. now rewrite N.eqb_refl.
    - destruct (N.eqb_spec k k'); [|auto].
      subst. exfalso. apply N. change k' with (fst (k', a)). now apply in_map.
  Qed.

  Lemma in_remove k x m : In x (remove k m) -> In x m.
  Proof.
    induction m as [|[k' a'] m IH]; simpl; [auto|].
    destruct (k =? k'); simpl; intuition.
  Qed.

  Lemma keys_remove k x m : In x (keys (remove k m)) -> In x (keys m).
  Proof.
    unfold keys. intro H. apply in_map_iff in H as (y & <- & H).
    apply in_map. eapply in_remove; eauto.
  Qed.

  Lemma nodup_remove k m : NoDup (keys m) -> NoDup (keys (remove k m)).
  Proof.
    induction m as [|[k' a'] m IH]; simpl; [auto|].
    inversion 1; subst. destruct (k =? k'); simpl; [auto|].
    constructor; [|auto]. intro E. apply keys_remove in E. contradiction.
  Qed.

  Lemma lookup_remove_other k k' m : k' <> k -> lookup k' (remove k m) = lookup k' m.
  Proof.
    intro D. induction m as [|[x a'] m IH]; simpl; [auto|].
    destruct (N.eqb_spec k x) as [->|E]; simpl.
    - apply N.eqb_neq in D. now rewrite D.
    - now rewrite IH.
  Qed.

  Lemma count_remove fits k m a :
    lookup k m = Some a -> count fits m = (if fits a then 1 else 0) + count fits (remove k m).
  Proof.
    induction m as [|[k' a'] m IH]; simpl; [discriminate|].
    destruct (k =? k'); [injection 1 as ->; auto|].
    intro H. rewrite (IH H). simpl. lia.
  Qed.

  Lemma count_in fits m : 0 < count fits m -> exists k a, In (k, a) m /\ fits a = true.
  Proof.
    induction m as [|[k a] m IH]; simpl; [lia|].
    destruct (fits a) eqn:E; [intros _; exists k, a; auto|].
    intro H. destruct IH as (k' & a' & I & F); [lia|]. exists k', a'. auto.
  Qed.

  Lemma in_count fits m k a : In (k, a) m -> fits a = true -> 0 < count fits m.
  Proof.
    induction m as [|[k' a'] m IH]; simpl; [contradiction|].
    intros [E|E] F; [injection E as -> ->; rewrite F; lia|].
    specialize (IH E F). lia.
  Qed.
End Map.

(** ** Results that may be a refusal *)

Inductive res (A : Type) : Type :=
| Ok (a : A)
| No (why : status).
Arguments Ok {A} _.
Arguments No {A} _.

Definition bind {A B} (m : res A) (k : A -> res B) : res B :=
  match m with Ok a => k a | No e => No e end.

Definition need {A} (holds : bool) (why : status) (k : res A) : res A :=
  if holds then k else No why.

(** [let? x := m in k] goes on with what [m] gives, [check b else e; k] refuses with [e] unless [b]. *)
Notation "'let?' x := m 'in' k" := (bind m (fun x => k))
  (at level 200, x name, m at level 100, k at level 200).
Notation "'check' b 'else' e ; k" := (need b e k)
  (at level 200, b at level 100, e at level 99, k at level 200).

Definition some {A} (m : option A) (why : status) : res A :=
  match m with Some a => Ok a | None => No why end.

(** ** One operation, over and over

    [batch n i f a] does [f i], [f (i+1)] ... until one is refused or [n] are done: what it came to,
    how many are done, and why not more. *)

Fixpoint batch {A} (n : nat) (i : N) (f : N -> A -> res A) (a : A) : A * N * status :=
  match n with
  | O => (a, i, SUCCESS)
  | S n => match f i a with
           | Ok a' => batch n (i + 1) f a'
           | No e => (a, i, e)
           end
  end.

(** What each step keeps, the batch keeps. *)
Lemma batch_keeps {A} (P : A -> Prop) f :
  (forall i a a', P a -> f i a = Ok a' -> P a') ->
  forall n i a a' d e, P a -> batch n i f a = (a', d, e) -> P a'.
Proof.
  intros K n. induction n as [|n IH]; simpl; intros i a a' d e H E.
  - injection E as -> _ _. auto.
  - destruct (f i a) eqn:F; [eauto|injection E as -> _ _; auto].
Qed.

Lemma batch_relates {A} (R : A -> A -> Prop) f :
  (forall a, R a a) -> (forall a b c, R a b -> R b c -> R a c) ->
  (forall i a a', f i a = Ok a' -> R a a') ->
  forall n i a a' d e, batch n i f a = (a', d, e) -> R a a'.
Proof.
  intros Refl Trans K n. induction n as [|n IH]; simpl; intros i a a' d e E.
  - injection E as -> _ _. auto.
  - destruct (f i a) eqn:F; [eauto|injection E as -> _ _; auto].
Qed.

(** How many are done lies between where it began and the end; none done: nothing has changed. *)
Lemma batch_done {A} f n i (a a' : A) d e : batch n i f a = (a', d, e) -> i <= d <= i + N.of_nat n.
Proof.
  revert i a. induction n as [|n IH]; intros i a.
  - simpl. injection 1 as -> <- <-. lia.
  - cbn [batch]. destruct (f i a).
    + intro H. apply IH in H. lia.
    + injection 1 as -> <- <-. lia.
Qed.

Lemma batch_nothing {A} f n i (a a' : A) e : batch n i f a = (a', i, e) -> a' = a.
Proof.
  destruct n; simpl; [now injection 1|].
  destruct (f i a); [|now injection 1].
  intro H. apply batch_done in H. lia.
Qed.

(** ** Numbers up to a bound, in order *)

Definition below (n : N) : list N := map N.of_nat (seq 0 (N.to_nat n)).

Lemma in_below n x : In x (below n) <-> x < n.
Proof.
  unfold below. rewrite in_map_iff. split.
  - intros (y & <- & H). apply in_seq in H. lia.
  - intro H. exists (N.to_nat x). split; [lia|]. apply in_seq. lia.
Qed.

(** ** Lists of words: the content of a page, whose words that were never stored are 0 *)

Definition content := list N.
Definition zeroes : content := [].

Definition word (c : content) (i : N) : N := nth (N.to_nat i) c 0.

Fixpoint set_nth (i : nat) (w : N) (c : content) : content :=
  match i, c with
  | O, [] => [w]
  | O, _ :: rest => w :: rest
  | S i, [] => 0 :: set_nth i w []
  | S i, x :: rest => x :: set_nth i w rest
  end.
Definition set_word (i : N) (w : N) (c : content) : content := set_nth (N.to_nat i) w c.

(** ** Tactics *)

(** Splits on every comparison of numbers that stands in a conditional. *)
Ltac split_eqb :=
  repeat match goal with
  | |- context [?a =? ?b] => destruct (N.eqb_spec a b); subst
  | H : context [?a =? ?b] |- _ => destruct (N.eqb_spec a b); subst
  end.

(** Takes a call apart: every [match] and [if] on the way to a result that is known. *)
Ltac take_apart H :=
  repeat (
    unfold bind, need, some in H; cbv beta zeta in H;
    match type of H with
    | context [match ?x with _ => _ end] => destruct x eqn:?; try discriminate H
    | context [if ?b then _ else _] => destruct b eqn:?; try discriminate H
    end); try discriminate H.
