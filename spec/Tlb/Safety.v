(** * I5: once a page is committed away, nothing leads to it

    In every reachable state of the machine, that is in every order of hardware's events and of the steps of
    any number of calls on any number of cores:

    - [I5]: a TLB entry, a walk in flight, an access under way, an entry that walkers may still find leads to a
      settled page only for who may reach it by the page's word;
    - [owner]: the same of a page that is changing hands: it is its old owner's until its new leaf is written, or
      else until the commit;
    - [bbm]: no core has an entry, of stage 2 or combined, for an address at which another page is mapped by now (Arm
      ARM D8.17.1, break-before-make);
    - [published]: what the tables say of a settled page, walkers find;
    - [scrubbed], [handed_over]: what a new owner finds, with caches and past them. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Engine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Own Proofs.Steps Proofs.Turns Proofs.Lives Proofs.Always.
Open Scope N_scope.

(** ** A flush that is half done is of somebody who could reach the page *)

Definition halves (m : machine) : Prop :=
  forall c t x, threads m c = Some t -> claimed (known t) = true -> is_whole (known t) x = false ->
    may_before (kind_of (doing t)) x = true.

Lemma learn_halves err kd k i x :
  allowed kd k i = true -> (is_end kd = true -> claimed k = false) ->
  claimed (learn err kd k i) = true -> is_whole (learn err kd k i) x = false ->
  may_before kd x = true \/ (claimed k = true /\ is_whole k x = false).
Proof.
  intros A E C W.
  destruct i as [| | |b| |y| | |y|y| | | | | |y| | | |]; try destruct b; try destruct y; destruct x;
    unfold is_whole in *; simpl in *;
    repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end; bools; auto;
    try discriminate;
    try (right; split; [assumption|]; first [destruct (host_level k)|destruct (vm_level k)]; simpl in *; try discriminate; reflexivity);
    try (right; split; [assumption|]; destruct (vm_level k); simpl in *; try discriminate; reflexivity);
    try (exfalso; rewrite E in *; auto; discriminate).
  all: exfalso; simpl in *; match goal with H : host_level ?q = Mapped, H' : vm_level ?q = Mapped |- _ => rewrite ?H, ?H' in W end; discriminate.
Qed.

Lemma halves_step u m e m' :
  invariant u m -> halves m -> step u m e = Some m' -> halves m'.
Proof.
  intros I H S. 
  assert (SAME : threads m' = threads m -> halves m').
  { intros E c t x T. rewrite E in T. eauto. }
  destruct e; simpl in S; try (apply guard_some in S as [_ ->]; auto; fail); try (injection S as <-; auto; fail).
  - destruct (phases m v); try discriminate. injection S as <-. auto.
  - destruct (phases m v); try discriminate. apply guard_some in S as [_ ->]. auto.
  - apply guard_some in S as [_ ->]. intros c' t x T C W. simpl in T. unfold upd in T.
    destruct (N.eqb_spec c' h); [|eauto]. injection T as <-. discriminate.
  - unfold run in S. destruct (threads m h) as [t|] eqn:T; [|discriminate].
    destruct (rest t) as [|i l] eqn:R.
    + injection S as <-. intros c' t' x T' C W. simpl in T'. unfold upd in T'.
      destruct (N.eqb_spec c' h); [discriminate|eauto].
    + destruct (must_wait u m h (doing t) i) eqn:MW; [discriminate|]. injection S as <-.
      assert (TK : takes u m h t i) by (constructor; eauto).
      destruct (effect u m h (doing t) i) as [m1|] eqn:E.
      * change (set_threads m1 (advance u m h i)) with (going_on u m m1 h i).
        intros h' t' x T' C W. destruct (goes TK m1 h' t' T') as (t2 & T2 & [(_ & TK2 & ->)|(_ & ->)]); [|eauto].
        cbn [after known doing] in *.
        destruct (c_lawful _ _ _ _ (t_call TK2)) as (_ & _ & _ & L4 & _).
        destruct (learn_halves _ _ _ _ x (proj1 (t_rules TK2)) L4 C W) as [X|[X Y]]; auto.
        apply (H h' t2 x); auto.
      * rewrite roll_back_is. intros h' t' x T' C W. simpl in T'. unfold upd in T'.
        destruct (N.eqb_spec h' h); [discriminate|eauto].
Qed.

Theorem always_halves u m : lawful u -> reachable u m -> halves m.
Proof.
  intros LW R. induction R.
  - intros c t x T. destruct (at_rest _ H) as (_ & _ & _ & N). rewrite N in T. discriminate.
  - eapply halves_step; eauto. apply always; auto.
Qed.

(** ** Who can hold a way to a page *)

(** A flush of [d]'s ways from [a] to [p] is under way, or none is. *)
Lemma quiet_or_flushing u m d a p :
  invariant u m ->
  quiet m d a p
  \/ exists c t x, threads m c = Some t /\ claimed (known t) = true /\ page (doing t) = p
                   /\ regime_of (doing t) x = d /\ entry_of (doing t) x = a /\ level_at (known t) x <> Mapped.
Proof.
  intro I. destruct (words m p) as [s|s c] eqn:W.
  - left. intros c t x T C P _ _. pose proof (c_word _ _ _ _ (i_calls _ _ I _ _ T) C). congruence.
  - destruct (i_words _ _ I _ _ _ W) as (t & T & C & P & _).
    assert (Q : forall c1 t1, threads m c1 = Some t1 -> claimed (known t1) = true -> page (doing t1) = p -> c1 = c /\ t1 = t).
    { intros c1 t1 T1 C1 P1. pose proof (c_word _ _ _ _ (i_calls _ _ I _ _ T1) C1) as W1.
      assert (c1 = c) by congruence. subst. split; congruence. }
    assert (X : forall x, (regime_of (doing t) x = d /\ entry_of (doing t) x = a /\ level_at (known t) x <> Mapped)
                          \/ (regime_of (doing t) x = d -> entry_of (doing t) x = a -> level_at (known t) x = Mapped)).
    { intro x. destruct (dom_dec (regime_of (doing t) x) d); [|right; tauto].
      destruct (N.eq_dec (entry_of (doing t) x) a); [|right; tauto].
      destruct (level_eqb (level_at (known t) x) Mapped) eqn:L; [right; intros _ _; now apply level_eqb_true|].
      left. repeat split; auto. intro Y. apply level_eqb_true in Y. congruence. }
    destruct (X OfHost) as [(X1 & X2 & X3)|X1]; [right; exists c, t, OfHost; auto 7|].
    destruct (X OfVm) as [(X4 & X5 & X6)|X3]; [right; exists c, t, OfVm; auto 7|].
    left. intros c1 t1 x T1 C1 P1 R1 E1. destruct (Q _ _ T1 C1 P1) as [-> ->]. destruct x; auto.
Qed.

Section Reachable.
  Variables (u : setup) (m : machine).
  Hypothesis LW : lawful u.
  Hypothesis R : reachable u m.
  Let I := always u m LW R.

  Lemma flushing_may c t x :
    threads m c = Some t -> claimed (known t) = true -> level_at (known t) x <> Mapped -> level_at (known t) x <> Flushed ->
    may (owner_now m (page (doing t))) (regime_of (doing t) x) = true.
  Proof.
    intros T C L F. assert (W : is_whole (known t) x = false).
    { unfold is_whole. destruct (level_at (known t) x); congruence. }
    pose proof (always_halves u m LW R c t x T C W) as B.
    rewrite (Events.owner_of_claimed u m c t I T C).
    destruct (wrote (known t)) eqn:WR.
    - pose proof (c_wrote _ _ _ _ (i_calls _ _ I _ _ T) WR) as LF.
      pose proof (whole_of_losers _ _ LF x). congruence.
    - unfold regime_of. rewrite Events.may_before_spec. exact B.
  Qed.

  Theorem owner_of_ways w : In w (ways m) -> may (owner_now m (leads_to w)) (of w) = true.
  Proof.
    intro In_. destruct (i_ways _ _ I w In_) as (_ & A & B).
    destruct (quiet_or_flushing u m (of w) (from_ipa w) (leads_to w) I) as [Q|(c & t & x & T & C & P & D & F & L)].
    - specialize (B Q). now apply (i_leaf _ _ I) in B.
    - rewrite <- P, <- D. apply (flushing_may c); auto. intro G.
      destruct (c_reach _ _ _ _ (i_calls _ _ I _ _ T) (or_introl C) x) as [RW _].
      rewrite G in RW. apply (RW w In_); auto. right. auto.
  Qed.

  Theorem owner_of_flights f : In f (flights m) -> may (owner_now m (f_to f)) (f_of f) = true.
  Proof.
    intro In_. destruct (i_flights _ _ I f In_) as (_ & A & B).
    destruct (quiet_or_flushing u m (f_of f) (f_ipa f) (f_to f) I) as [Q|(c & t & x & T & C & P & D & F & L)].
    - specialize (B Q). now apply (i_leaf _ _ I) in B.
    - rewrite <- P, <- D. apply (flushing_may c); auto. intro G.
      destruct (c_reach _ _ _ _ (i_calls _ _ I _ _ T) (or_introl C) x) as [_ RF].
      rewrite G in RF. apply (RF f In_); auto. right. auto.
  Qed.

  (** What a walk of a VM that is not gone may find. *)
  Theorem owner_of_entries d a p :
    alive m d -> In (Leaf p) (now (cells m d a) :: old (cells m d a)) -> may (owner_now m p) d = true.
  Proof.
    intros A [E|E]; [now apply (i_leaf _ _ I) in E|].
    destruct (quiet_or_flushing u m d a p I) as [Q|(c & t & x & T & C & P & D & B & L)].
    - apply (i_old _ _ I) in E; auto. now apply (i_leaf _ _ I) in E.
    - rewrite <- P, <- D. apply (flushing_may c); auto. intro F. subst.
      destruct (c_lawful _ _ _ _ (i_calls _ _ I _ _ T)) as (_ & _ & _ & L4 & _).
      destruct (c_cells _ _ _ _ (i_calls _ _ I _ _ T) (or_introl C) x) as [_ C2]; auto.
      { destruct (is_end (kind_of (doing t))); auto. specialize (L4 eq_refl). congruence. }
      apply C2 in E as [E _]. congruence.
  Qed.
End Reachable.

(** ** I5 *)

(** Does anything lead from [d] to the page? *)
Inductive leads (m : machine) (d : dom) (p : N) : Prop :=
| by_way w : In w (ways m) -> of w = d -> leads_to w = p -> leads m d p
| by_flight f : In f (flights m) -> f_of f = d -> f_to f = p -> leads m d p
| by_entry a : alive m d -> In (Leaf p) (now (cells m d a) :: old (cells m d a)) -> leads m d p.

Theorem owner u m d p : lawful u -> reachable u m -> leads m d p -> may (owner_now m p) d = true.
Proof.
  intros LW R []; subst; eauto using owner_of_ways, owner_of_flights, owner_of_entries.
Qed.

Theorem I5 u m d p s :
  lawful u -> reachable u m -> words m p = Settled s -> leads m d p -> may s d = true.
Proof.
  intros LW R W L. pose proof (owner u m d p LW R L) as H. unfold owner_now in H. now rewrite W in H.
Qed.

(** Of the engine, on cores with the erratum or without, however it flushes. *)
Theorem I5_of_the_engine err whole n hs f m d p s :
  reachable (Engine.engine err whole n hs f) m -> words m p = Settled s -> leads m d p -> may s d = true.
Proof. apply I5. apply Engine.engine_lawful. Qed.

(** Nor does anything of a VM's lead anywhere once its phase says so; its tables are not walked any more. *)
Theorem nothing_of_the_dead u m v :
  lawful u -> reachable u m -> phases m v = Dead ->
  (forall w, In w (ways m) -> of w <> Vm v) /\ (forall f, In f (flights m) -> f_of f <> Vm v)
  /\ (forall c, walks u m c = true -> regime m c <> Vm v).
Proof.
  intros LW R D. pose proof (always u m LW R) as I. repeat split.
  - intros w In_ E. destruct (i_ways _ _ I w In_) as (_ & A & _). rewrite E in A. now apply A.
  - intros f In_ E. destruct (i_flights _ _ I f In_) as (_ & A & _). rewrite E in A. now apply A.
  - intros c W E. pose proof (i_walkers _ _ I c v E W) as A. rewrite D in A. discriminate.
Qed.

(** ** Break-before-make *)

Theorem bbm u m w q :
  lawful u -> reachable u m -> In w (ways m) -> now (cells m (of w) (from_ipa w)) = Leaf q -> q = leads_to w.
Proof.
  intros LW R In_ E. pose proof (always u m LW R) as I. destruct (i_ways _ _ I w In_) as (_ & A & B).
  destruct (quiet_or_flushing u m (of w) (from_ipa w) (leads_to w) I) as [Q|(c & t & x & T & C & P & D & F & L)].
  - specialize (B Q). congruence.
  - pose proof (i_calls _ _ I _ _ T) as K.
    destruct (c_reach _ _ _ _ K (or_introl C) x) as [RW _].
    specialize (RW w In_ (eq_sym D) (or_intror (conj (eq_sym P) (eq_sym F)))).
    rewrite <- D, <- F in E. destruct x.
    + destruct (i_leaf _ _ I Host _ _ Logic.I E) as [_ Y]. rewrite <- P. symmetry. auto.
    + assert (H : is_whole (known t) OfVm = false).
      { unfold is_whole. destruct (level_at (known t) OfVm); simpl in RW; try contradiction; auto; congruence. }
      apply (c_marked _ _ _ _ K C) in H. apply (c_mine _ _ _ _ K) in H. unfold regime_of in E. simpl in E. congruence.
Qed.

(** ** What the word promises, walkers find *)

Theorem published u m d a p s :
  lawful u -> reachable u m -> words m p = Settled s -> now (cells m d a) = Leaf p -> old (cells m d a) = [].
Proof.
  intros LW R W E. pose proof (always u m LW R) as I.
  destruct (i_published _ _ I d a p E) as [H|(h & t & _ & T & C & P & _)]; auto.
  pose proof (c_word _ _ _ _ (i_calls _ _ I _ _ T) C). congruence.
Qed.

(** ** What the next owner finds *)

(** A page that is committed away from a VM, or to the engine, holds zeroes, in memory itself, and in no cache anything else. *)
Theorem scrubbed u m c t l :
  lawful u -> reachable u m -> threads m c = Some t -> rest t = Commit :: l -> scrubs (kind_of (doing t)) = true ->
  lines m (page (doing t)) = Line None zeroes.
Proof.
  intros LW R T N S. pose proof (always u m LW R) as I. pose proof (i_calls _ _ I _ _ T) as K.
  pose proof (c_rules _ _ _ _ K) as A. rewrite N in A. simpl in A. rewrite S in A. simpl in A.
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  assert (Z : held (lines m (page (doing t))) = zeroes) by (apply (c_zero _ _ _ _ K); assumption).
  assert (D : dirty (lines m (page (doing t))) = None) by (apply (c_clean _ _ _ _ K); assumption).
  destruct (lines m (page (doing t))) as [dy bh]. simpl in D. subst dy. unfold held in Z. simpl in Z. now subst.
Qed.

(** A page that the host gives to a VM holds for both kinds of access what the host left there, at the moment from
    which the VM can reach it. *)
Theorem handed_over u m c t l b :
  lawful u -> reachable u m -> threads m c = Some t -> rest t = Write OfVm :: l -> kind_of (doing t) = Map b ->
  dirty (lines m (page (doing t))) = None.
Proof.
  intros LW R T N S. pose proof (always u m LW R) as I. pose proof (i_calls _ _ I _ _ T) as K.
  pose proof (c_rules _ _ _ _ K) as A. rewrite N, S in A. simpl in A.
  repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
  apply (c_clean _ _ _ _ K). assumption.
Qed.
