(** * The fine-grained machine does nothing that the atomic page does not

    Each step of the machine is no step of the pages, or one: an access that lands is the access, by who may reach
    the page at that moment; caches that write back; and of all steps of a call one is its move: the store
    of the new leaf if there is one, since from then on its new owner can reach the page, else the commit. What a
    load is told is the same. So every run of the machine, with all that is told in it, is a run of the pages.

    While a call zeroes a page, what the machine holds is nobody's business: nothing leads there. So it is of a page
    with a memory error for good. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant Atomic Safety.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own Proofs.Steps Proofs.Turns Proofs.Lives Proofs.Always.
Open Scope N_scope.

(** A call is zeroing the page. *)
Definition hidden (m : machine) (p : N) : Prop :=
  exists c t, threads m c = Some t /\ claimed (known t) = true /\ page (doing t) = p /\ zeroed (known t) = true.

(** The pages as the machine has them. *)
Definition stands_for (m : machine) (a : astate) : Prop :=
  forall p, ast (a p) = owner_now m p /\ (content_of (a p) = lines m p \/ hidden m p \/ ast (a p) = Poisoned).

(** Nothing of the pages changes. *)
Lemma unchanged m m' a :
  stands_for m a -> (forall p, owner_now m' p = owner_now m p) ->
  (forall p, lines m' p = lines m p \/ hidden m' p) -> (forall p, hidden m p -> hidden m' p) ->
  stands_for m' a.
Proof.
  intros S O L H p. destruct (S p) as [S1 S2]. rewrite O. split; auto.
  destruct (L p) as [->|L']; auto. destruct S2 as [S2|[S2|S2]]; auto.
Qed.

(** No call takes a page that is nobody's. *)
Lemma not_from_poisoned k v : from_ k v <> Poisoned.
Proof. unfold from_. destruct (plain k) as [?|n|?| |?| |?| |t| | |?|?|?|?]; try destruct t; try destruct n; discriminate. Qed.

(** ** Who owns a page when a call's thread changes *)

Lemma owner_thread m m2 c t o p :
  threads m c = Some t -> threads m2 = upd (threads m) c o -> words m2 p = words m p ->
  (forall s, words m p = Claimed s c ->
     match o with
     | Some t' => doing t' = doing t /\ wrote (known t') = wrote (known t)
     | None => wrote (known t) = false
     end) ->
  owner_now m2 p = owner_now m p.
Proof.
  intros T TH W H. unfold owner_now. rewrite W, TH. destruct (words m p) as [s|s b] eqn:X; auto.
  unfold upd. destruct (N.eqb_spec b c); auto. subst. rewrite T. specialize (H s eq_refl). destruct o.
  - destruct H as [-> ->]. auto.
  - now rewrite H.
Qed.

Lemma hidden_thread m m2 c t t' p :
  threads m c = Some t -> threads m2 = upd (threads m) c (Some t') -> doing t' = doing t ->
  (claimed (known t) = true -> zeroed (known t) = true -> claimed (known t') = true /\ zeroed (known t') = true) ->
  hidden m p -> hidden m2 p.
Proof.
  intros T TH D Z (c' & t1 & T1 & C1 & P1 & Z1). exists c'. rewrite TH. unfold upd.
  destruct (N.eqb_spec c' c); [|eauto 6]. subst. assert (t1 = t) by congruence. subst. exists t'.
  destruct (Z C1 Z1). rewrite D. auto.
Qed.

Lemma hidden_not_mine m m2 c t o p :
  threads m c = Some t -> threads m2 = upd (threads m) c o -> claimed (known t) = false \/ zeroed (known t) = false ->
  hidden m p -> hidden m2 p.
Proof.
  intros T TH Z (c' & t1 & T1 & C1 & P1 & Z1). exists c', t1. rewrite TH, upd_other; auto.
  intros ->. assert (t1 = t) by congruence. subst. destruct Z; congruence.
Qed.

(** ** One step *)

Definition simulated (m m' : machine) (a : astate) (o : option (dom * N)) : Prop :=
  exists a', stands_for m' a' /\ ((a' = a /\ o = None) \/ astep a o a').

Lemma stutters m m' a :
  stands_for m a -> (forall p, owner_now m' p = owner_now m p) ->
  (forall p, lines m' p = lines m p \/ hidden m' p) -> (forall p, hidden m p -> hidden m' p) ->
  simulated m m' a None.
Proof. intros. exists a. split; auto. eapply unchanged; eauto. Qed.

Lemma simulated_alike m m1 f g a o :
  (forall h, g h = f h) -> simulated m (set_threads m1 f) a o -> simulated m (set_threads m1 g) a o.
Proof.
  intros E (a' & S & X). exists a'. split; auto. intro p. destruct (S p) as [S1 S2]. split.
  - rewrite S1. unfold owner_now. simpl. destruct (words m1 p); auto. now rewrite E.
  - destruct S2 as [S2|[(c & t & T & C & P & Z)|S2]]; auto.
    right. left. exists c, t. simpl in *. rewrite E. auto.
Qed.

Section Step.
  Variables (u : setup) (m : machine).
  Hypothesis LW : lawful u.
  Hypothesis R : reachable u m.
  Let I : invariant u m := always u m LW R.

  (** The page that the call of core [c] zeroes is its own. *)
  Lemma hidden_mine c t p :
    threads m c = Some t -> claimed (known t) = true -> page (doing t) = p -> hidden m p -> zeroed (known t) = true.
  Proof.
    intros T C P (c' & t' & T' & C' & P' & Z'). destruct (one_holder u m c c' t t') as [-> ->]; auto. congruence.
  Qed.

  (** No access lands in it. *)
  Lemma hidden_unreached f : In f (flights m) -> ~ hidden m (f_to f).
  Proof.
    intros In_ (c & t & T & C & P & Z). pose proof (i_calls _ _ I _ _ T) as K.
    destruct (c_zero _ _ _ _ K Z) as [_ N]. destruct (c_lawful _ _ _ _ K) as (_ & _ & _ & _ & L5).
    apply (isolated_flights u m c t I T C (L5 (or_introl Z)) N f In_). auto.
  Qed.

  Lemma land_simulated a f m' :
    stands_for m a -> step u m (Land f) = Some m' -> simulated m m' a (hears m (Land f)).
  Proof.
    intros S E. apply guard_some in E as [G ->]. apply is_in_true in G.
    pose proof (owner_of_flights u m LW R f G) as M. destruct (S (f_to f)) as [S1 S2].
    pose proof (hidden_unreached f G) as NH.
    destruct S2 as [S2|[S2|S2]]; [|contradiction|rewrite <- S1, S2 in M; destruct (f_of f); discriminate].
    exists (upd a (f_to f) (APage (ast (a (f_to f))) (land (what f) (content_of (a (f_to f)))))). split.
    - intro p. unfold upd. simpl. destruct (N.eqb_spec p (f_to f)) as [->|N]; simpl.
      + split; [exact S1|]. left. now rewrite S2.
      + destruct (S p) as [X Y]. split; [exact X|]. destruct Y as [Y|[Y|Y]]; auto.
    - right. unfold hears. rewrite <- S2.
      apply accesses with (d := f_of f) (p := f_to f). now rewrite S1.
  Qed.

  (** Caches write a page back: that of a page being zeroed is not seen. *)
  Lemma cleaned_simulated a p m' :
    stands_for m a -> (forall q, owner_now m' q = owner_now m q) -> lines m' = upd (lines m) p (cleaned (lines m p)) ->
    (forall q, hidden m q -> hidden m' q) -> simulated m m' a None.
  Proof.
    intros S O L H. exists (upd a p (APage (ast (a p)) (cleaned (content_of (a p))))). split.
    - intro q. rewrite O, L. unfold upd. destruct (N.eqb_spec q p) as [->|N].
      + destruct (S p) as [X Y]. simpl. split; auto. destruct Y as [->|[Y|Y]]; auto.
      + destruct (S q) as [X Y]. split; auto. destruct Y as [Y|[Y|Y]]; auto.
    - right. constructor.
  Qed.

  Lemma run_simulated a c m' :
    stands_for m a -> step u m (Run c) = Some m' -> simulated m m' a None.
  Proof.
    intros S. simpl. unfold run. destruct (threads m c) as [t|] eqn:T; [|discriminate].
    pose proof (i_calls _ _ I _ _ T) as K. destruct (c_lawful _ _ _ _ K) as (L1 & _ & _ & L4 & L5).
    destruct (rest t) as [|i l] eqn:RT.
    { injection 1 as <-. pose proof (c_rules _ _ _ _ K) as RU. rewrite RT in RU. simpl in RU.
      repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
      assert (NC : claimed (known t) = false) by assumption.
      apply stutters; auto.
      - intro p. eapply owner_thread; eauto; [reflexivity|]. intros s W.
        destruct (i_words _ _ I _ _ _ W) as (t1 & T1 & C1 & _). congruence.
      - intro p. eapply hidden_not_mine; eauto. reflexivity. }
    destruct (must_wait u m c (doing t) i) eqn:MW; [discriminate|]. injection 1 as <-.
    assert (TK : takes u m c t i) by (constructor; eauto).
    destruct (t_rules TK) as [AL _].
    destruct (effect u m c (doing t) i) as [m1|] eqn:E.
    2:{ pose proof (fails_untouched _ _ _ _ _ TK E) as U. unfold untouched in U. bools.
        rewrite roll_back_is. destruct (unmarked_same u m c (doing t)) as (E1 & E2 & E3 & E4 & E5 & E6).
        assert (LN : lines (unmarked u m c (doing t)) = lines m) by (unfold unmarked; destruct (entry_dec _ _); reflexivity).
        apply stutters; auto.
        - intro p. unfold owner_now. simpl. unfold given_back.
          destruct (words m (page (doing t))) as [s'|s' b'] eqn:X.
          + destruct (words m p) as [|s b] eqn:Y; auto. unfold upd. destruct (N.eqb_spec b c); auto. subst.
            destruct (i_words _ _ I _ _ _ Y) as (t1 & T1 & C1 & P1 & _). assert (t1 = t) by congruence. subst. congruence.
          + destruct (N.eqb_spec b' c).
            * subst b'. unfold upd at 1. destruct (N.eqb_spec p (page (doing t))).
              -- subst p. rewrite X, T. match goal with H : wrote (known t) = false |- _ => rewrite H end. reflexivity.
              -- destruct (words m p) as [|s b] eqn:Y; auto. unfold upd. destruct (N.eqb_spec b c); auto. subst.
                 destruct (i_words _ _ I _ _ _ Y) as (t1 & T1 & C1 & P1 & _). assert (t1 = t) by congruence. subst. congruence.
            * destruct (words m p) as [|s b] eqn:Y; auto. unfold upd. destruct (N.eqb_spec b c); auto. subst.
              destruct (i_words _ _ I _ _ _ Y) as (t1 & T1 & C1 & P1 & _). assert (t1 = t) by congruence. subst. congruence.
        - intro p. left. simpl. now rewrite LN.
        - intro p. eapply hidden_not_mine; eauto. simpl. reflexivity. }
    change (set_threads m1 (advance u m c i)) with (going_on u m m1 c i).
    (* A step that changes neither words nor what is written, nor zeroes: of the hand, or of all hands of the core. *)
    assert (QUIET : words m1 = words m -> lines m1 = lines m ->
      (forall h2 t2, takes u m h2 t2 i -> wrote (known (after u m h2 t2 i)) = wrote (known t2)
         /\ (claimed (known t2) = true -> zeroed (known t2) = true ->
             claimed (known (after u m h2 t2 i)) = true /\ zeroed (known (after u m h2 t2 i)) = true)) ->
      simulated m (going_on u m m1 c i) a None).
    { intros W L WR.
      assert (TH : forall h t2, threads m h = Some t2 -> exists t', threads (going_on u m m1 c i) h = Some t'
                   /\ doing t' = doing t2 /\ wrote (known t') = wrote (known t2)
                   /\ (claimed (known t2) = true -> zeroed (known t2) = true -> claimed (known t') = true /\ zeroed (known t') = true)).
      { intros h t2 T2. destruct (threads (going_on u m m1 c i) h) as [t'|] eqn:T'.
        - destruct (goes TK m1 h t' T') as (t3 & T3 & [(_ & TK2 & ->)|(_ & ->)]); assert (t3 = t2) by congruence; subst t3.
          + destruct (WR h t2 TK2) as [W1 W2]. exists (after u m h t2 i). split; [reflexivity|]. split; [reflexivity|]. split; assumption.
          + eauto 6.
        - unfold going_on in T'. simpl in T'. unfold advance in T'. rewrite T2 in T'. discriminate. }
      apply stutters; auto.
      - intro p. unfold owner_now. simpl. rewrite W. destruct (words m p) as [s|s b] eqn:Y; auto.
        destruct (i_words _ _ I _ _ _ Y) as (t2 & T2 & _). destruct (TH b t2 T2) as (t' & T' & D & R' & _).
        unfold going_on in T'. simpl in T'. now rewrite T', T2, D, R'.
      - intro p. simpl. rewrite L. auto.
      - intros p (h & t2 & T2 & C2 & P2 & Z2). destruct (TH h t2 T2) as (t' & T' & D & R' & Z').
        destruct (Z' C2 Z2). exists h, t'. rewrite D. auto. }
    assert (ALONE : common i = false -> simulated m (moved_on u m m1 c t i) a None -> simulated m (going_on u m m1 c i) a None).
    { intros SH. apply simulated_alike. intro h. unfold advance, upd. destruct (N.eqb_spec h c) as [->|N].
      - rewrite T, (it_takes (u := u)). reflexivity.
      - destruct (threads m h); auto. destruct (takes_too u c i h) eqn:TT; auto. now apply alone in TT. }
    unfold moved_on, after in ALONE.
    destruct i; simpl in E.
    - (* Claim *)
      destruct (words m (page (doing t))) as [s|] eqn:W; [|discriminate].
      destruct (page_state_dec s (from_ (kind_of (doing t)) (vm_of (doing t)))); [|discriminate].
      injection E as <-. subst s. apply ALONE; auto. simpl in AL.
      repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
      assert (NC : claimed (known t) = false) by assumption.
      assert (NW : wrote (known t) = false) by (destruct (wrote (known t)); auto; rewrite L1 in NC; auto; discriminate).
      apply stutters; auto.
      + intro p. unfold owner_now. simpl. unfold upd at 1. destruct (N.eqb_spec p (page (doing t))) as [->|N].
        * rewrite upd_same, W. simpl. now rewrite NW.
        * destruct (words m p) as [|s b] eqn:Y; auto. unfold upd. destruct (N.eqb_spec b c); auto. subst.
          destruct (i_words _ _ I _ _ _ Y) as (t1 & T1 & C1 & P1 & _). congruence.
      + intro p. eapply hidden_not_mine; eauto. reflexivity.
    - destruct (entry_dec _ _); [|discriminate]. injection E as <-. apply QUIET; auto.
    - destruct (entry_dec _ _); [|discriminate]. injection E as <-. apply QUIET; auto.
    - destruct (Bool.eqb _ b); [|discriminate]. injection E as <-. destruct b; apply QUIET; auto.
    - destruct (phases m (vm_of (doing t))); try discriminate. injection E as <-. apply QUIET; auto.
    - destruct x; injection E as <-; apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
    - (* Zero *)
      injection E as <-. apply ALONE; auto. simpl in AL.
      repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
      apply stutters; auto.
      + intro p. eapply owner_thread; eauto; try reflexivity; intros; split; reflexivity.
      + intro p. simpl. unfold upd at 1. destruct (N.eqb_spec p (page (doing t))) as [->|N]; auto.
        right. exists c. eexists. simpl. rewrite upd_same. split; [reflexivity|]. simpl. auto.
      + intro p. eapply hidden_thread with (t := t); [exact T|reflexivity|reflexivity|]. simpl. auto.
    - (* Clean *)
      injection E as <-. apply ALONE; auto. simpl in AL.
      apply cleaned_simulated with (p := page (doing t)); auto.
      + intro p. eapply owner_thread; eauto; try reflexivity; intros; split; reflexivity.
      + intro p. eapply hidden_thread with (t := t); [exact T|reflexivity|reflexivity|]. simpl. auto.
    - (* Write *)
      injection E as <-. apply ALONE; auto. simpl in AL. apply andb_prop in AL as [AL _].
      repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
      assert (C : claimed (known t) = true) by assumption.
      assert (WR : wrote (known t) = false) by assumption.
      assert (ZE : zeroed (known t) = false) by assumption.
      assert (SC : scrubs (kind_of (doing t)) = false) by assumption.
      pose proof (owner_of_claimed u m c t I T C) as OW. rewrite WR in OW.
      set (p0 := page (doing t)) in *. set (k := kind_of (doing t)) in *. set (v := vm_of (doing t)) in *.
      exists (upd a p0 (APage (to_ k v) (moved_content k (content_of (a p0))))). split.
      + intro p. destruct (N.eq_dec p p0) as [->|N]; [rewrite (upd_same a)|rewrite (upd_other a); auto].
        * split.
          -- simpl. unfold owner_now. simpl. unfold p0. rewrite (c_word _ _ _ _ K C), upd_same.
             destruct x; reflexivity.
          -- simpl. unfold moved_content. rewrite SC. destruct (S p0) as [_ [X|[X|X]]]; auto; exfalso; [|rewrite (proj1 (S p0)), OW in X; now apply not_from_poisoned in X].
             rewrite (hidden_mine c t p0 T C eq_refl X) in ZE. discriminate.
        * destruct (S p) as [X Y]. split.
          -- rewrite X. symmetry. unfold owner_now. simpl. destruct (words m p) as [|s b] eqn:Z; auto.
             unfold upd. destruct (N.eqb_spec b c); auto. subst b.
             destruct (i_words _ _ I _ _ _ Z) as (t1 & T1 & C1 & P1 & _). assert (t1 = t) by congruence. subst t1. unfold p0 in N. congruence.
          -- destruct Y as [Y|[Y|Y]]; auto. right. left. eapply hidden_not_mine; eauto. reflexivity.
      + right. apply moves_page. destruct (S p0) as [X _]. now rewrite X.
    - injection E as <-. apply QUIET; auto.
    - (* Commit *)
      injection E as <-. apply ALONE; auto. simpl in AL.
      repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end. bools.
      assert (C : claimed (known t) = true) by assumption.
      pose proof (owner_of_claimed u m c t I T C) as OW.
      set (p0 := page (doing t)) in *. set (k := kind_of (doing t)) in *. set (v := vm_of (doing t)) in *.
      assert (SCR : scrubs k = true -> lines m p0 = Line None zeroes).
      { intro X. unfold p0. eapply scrubbed; eauto. }
      assert (NZ : scrubs k = false -> zeroed (known t) = false \/ to_ k v = Poisoned).
      { intro X. rewrite X in *. simpl in *. destruct (discards k) eqn:D; [right; unfold k in *; destruct (kind_of (doing t)); try discriminate; reflexivity|].
        left. simpl in *. destruct (zeroed (known t)); auto; discriminate. }
      assert (OTHER : forall p, p <> p0 -> owner_now (set_threads (set_words m (upd (words m) p0 (Settled (to_ k v)))) (upd (threads m) c (Some (Thread (doing t) (tl (rest t)) (saved t) (nothing (vmid (known t))))))) p = owner_now m p).
      { intros p N. unfold owner_now. simpl. unfold upd at 1. destruct (N.eqb_spec p p0); [congruence|].
        destruct (words m p) as [|s b] eqn:Z; auto. unfold upd. destruct (N.eqb_spec b c); auto. subst b.
        destruct (i_words _ _ I _ _ _ Z) as (t1 & T1 & C1 & P1 & _). assert (t1 = t) by congruence. subst t1. unfold p0 in n. congruence. }
      assert (HID : forall p, p <> p0 -> hidden m p -> hidden (set_threads (set_words m (upd (words m) p0 (Settled (to_ k v)))) (upd (threads m) c (Some (Thread (doing t) (tl (rest t)) (saved t) (nothing (vmid (known t))))))) p).
      { intros p N (c' & t1 & T1 & C1 & P1 & Z1). exists c', t1. simpl. rewrite upd_other; auto. intros ->.
        assert (t1 = t) by congruence. subst t1. unfold p0 in N. congruence. }
      destruct (wrote (known t)) eqn:WR.
      + (* The leaf was the move. *)
        assert (NS : zeroed (known t) = false).
        { destruct (zeroed (known t)) eqn:Z; auto. }
        exists a. split; auto. intro p. destruct (N.eq_dec p p0) as [->|N].
        * destruct (S p0) as [X Y]. split.
          -- rewrite X, OW. unfold owner_now. simpl. now rewrite upd_same.
          -- destruct Y as [Y|[Y|Y]]; auto. exfalso. rewrite (hidden_mine c t p0 T C eq_refl Y) in NS. discriminate.
        * destruct (S p) as [X Y]. split; [rewrite X; symmetry; now apply OTHER|]. destruct Y as [Y|[Y|Y]]; auto.
      + exists (upd a p0 (APage (to_ k v) (moved_content k (content_of (a p0))))). split.
        * intro p. destruct (N.eq_dec p p0) as [->|N]; [rewrite (upd_same a)|rewrite (upd_other a); auto].
          -- simpl. split; [unfold owner_now; simpl; now rewrite upd_same|]. unfold moved_content.
             destruct (scrubs k) eqn:SC; [left; symmetry; now apply SCR|]. destruct (S p0) as [_ [Y|[Y|Y]]]; auto.
             ++ destruct NZ as [NZ|NZ]; auto. rewrite (hidden_mine c t p0 T C eq_refl Y) in NZ. discriminate.
             ++ rewrite (proj1 (S p0)), OW in Y. now apply not_from_poisoned in Y.
          -- destruct (S p) as [X Y]. split; [rewrite X; symmetry; now apply OTHER|]. destruct Y as [Y|[Y|Y]]; auto.
        * right. apply moves_page. destruct (S p0) as [X _]. now rewrite X.
    - destruct (phases m (vm_of (doing t))); try discriminate.
      destruct (none_runs _ _ _ && _); [|discriminate]. injection E as <-. apply QUIET; auto.
    - injection E as <-. apply QUIET; auto.
  Qed.

  Theorem step_simulated a e m' :
    stands_for m a -> step u m e = Some m' -> simulated m m' a (hears m e).
  Proof.
    intros S E. destruct e; try (simpl in E; apply guard_some in E as [_ ->]; exists a; split; [exact S|auto]; fail).
    - simpl in E. injection E as <-. exists a. split; [exact S|auto].
    - now apply land_simulated.
    - simpl in E. injection E as <-. apply cleaned_simulated with (p := p); auto.
    - simpl in E. destruct (phases m v); try discriminate. injection E as <-. exists a. split; [exact S|auto].
    - simpl in E. destruct (phases m v); try discriminate. apply guard_some in E as [_ ->]. exists a. split; [exact S|auto].
    - simpl in E. apply guard_some in E as [G ->]. unfold may_begin in G.
      repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end.
      match goal with H : is_free m h = true |- _ => apply is_free_none in H; rename H into F end.
      apply stutters; auto.
      + intro p. unfold owner_now. simpl. destruct (words m p) as [|s b] eqn:Y; auto. unfold upd.
        destruct (N.eqb_spec b h); auto. subst. destruct (i_words _ _ I _ _ _ Y) as (t1 & T1 & _). congruence.
      + intros p (c' & t1 & T1 & X). exists c', t1. simpl. rewrite upd_other; auto. congruence.
    - now apply run_simulated with (c := h).
  Qed.
End Step.

(** ** Whole runs *)

(** What is told in a run, in order. *)
Inductive runs (u : setup) : machine -> list (dom * N) -> machine -> Prop :=
| stays m : runs u m [] m
| goes m m' e l m'' : step u m e = Some m' -> runs u m' l m'' ->
    runs u m (match hears m e with Some x => x :: l | None => l end) m''.

Inductive aruns : astate -> list (dom * N) -> astate -> Prop :=
| astays a : aruns a [] a
| agoes a o a' l a'' : astep a o a' -> aruns a' l a'' ->
    aruns a (match o with Some x => x :: l | None => l end) a''.

(** Every run of the machine is one of the pages, in which the same is told. *)
Theorem refinement u m l m' a :
  lawful u -> reachable u m -> stands_for m a -> runs u m l m' ->
  exists a', aruns a l a' /\ stands_for m' a'.
Proof.
  intros LW R S H. revert a R S. induction H as [m|m m1 e l m2 E H IH]; intros a R S.
  - exists a. split; [constructor|auto].
  - destruct (step_simulated u m LW R a e m1 S E) as (a1 & S1 & X).
    destruct (IH a1) as (a2 & A2 & S2); auto; [eapply by_step; eauto|].
    exists a2. split; auto. destruct X as [[-> ->]|X]; [exact A2|]. eapply agoes; eauto.
Qed.

(** The pages with which a machine begins. *)
Definition pages_of (m : machine) : astate := fun p => APage (owner_now m p) (lines m p).

Theorem refinement_from_the_start u m l m' :
  lawful u -> initial m -> runs u m l m' -> exists a', aruns (pages_of m) l a' /\ stands_for m' a'.
Proof.
  intros LW H. apply refinement; auto.
  - now apply at_start.
  - intro p. split; auto.
Qed.
