(** * What each operation on a page does to memory

    For each operation of Calls/Pages.v: which pages change and how (a relation between the page before
    and after), that no other VM's table changes, and that [memory_ok] is kept. The theorems about
    scrubbing and integrity read these relations and nothing else. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Calls.Pages Calls.Memory Invariants Proofs.MemoryMoves.
Open Scope N_scope.

(** ** The relations *)

Definition same_content (a b : page) : Prop := holds b = holds a /\ broken b = broken a.

(** Host to VM [v]: willingly. *)
Definition given (v : N) (a b : page) : Prop :=
  st a = HostOwned /\ st b = VmOwned v /\ same_content a b.
(** Lent to VM [v]: willingly. *)
Definition lent (v : N) (a b : page) : Prop :=
  (st a = HostOwned \/ exists k, st a = Lent v k) /\ (exists k, st b = Lent v k) /\ same_content a b.
(** A loan ends. *)
Definition unlent (v : N) (a b : page) : Prop :=
  (exists k, st a = Lent v k) /\ (st b = HostOwned \/ exists k, st b = Lent v k) /\ same_content a b.
(** Host to engine. *)
Definition donated (a b : page) : Prop :=
  st a = HostOwned /\ ((st b = EngineOwned /\ holds b = zeroes) \/ st b = Poisoned).
(** Engine to host: never what it held. *)
Definition returned (a b : page) : Prop :=
  st a = EngineOwned /\ ((st b = HostOwned /\ holds b = zeroes) \/ st b = Poisoned).
(** A VM shares a page of its own with the host: willingly. And ends that. *)
Definition shared (v : N) (a b : page) : Prop :=
  st a = VmOwned v /\ st b = SharedByVm v /\ same_content a b.
Definition unshared (v : N) (a b : page) : Prop :=
  st a = SharedByVm v /\ st b = VmOwned v /\ same_content a b.
(** A VM's page goes home: never what it held. *)
Definition went_home (v : N) (a b : page) : Prop :=
  st a = VmOwned v /\ ((st b = HostOwned /\ holds b = zeroes) \/ st b = Poisoned).
(** A page of the dying VM [v] comes home: zero, unless it was the host's all the time. *)
Definition reclaimed (v : N) (a b : page) : Prop :=
  unlent v a b
  \/ ((st a = VmOwned v \/ st a = SharedByVm v \/ st a = Scrubbing v)
      /\ (st b = Poisoned
          \/ (holds b = zeroes /\ (st b = HostOwned \/ st b = Scrubbing v)))).

(** Pages change as [R] says, or not at all; of tables only VM [v]'s; nothing else changes. *)
Record moves (v : option N) (R : page -> page -> Prop) (s s' : state) : Prop := {
  mv_only : only_memory s s';
  mv_pages : forall p, pages s' p = pages s p \/ R (pages s p) (pages s' p);
  mv_leaves : forall u, Some u <> v -> leaves (vms s' u) = leaves (vms s u)
}.

Definition transitive_ (R : page -> page -> Prop) : Prop := forall a b c, R a b -> R b c -> R a c.

Lemma moves_refl v R s : moves v R s s.
Proof. split; auto using only_memory_refl. Qed.

Lemma moves_trans v R a b c : transitive_ R -> moves v R a b -> moves v R b c -> moves v R a c.
Proof.
  intros T [O P L] [O' P' L']. split.
  - eauto using only_memory_trans.
  - intro p. destruct (P p) as [E|E], (P' p) as [F|F]; rewrite ?F, ?E in *; eauto.
  - intros u H. rewrite L', L; auto.
Qed.

Lemma moves_weaken v (R Q : page -> page -> Prop) s s' :
  (forall a b, R a b -> Q a b) -> moves v R s s' -> moves v Q s s'.
Proof. intros H [O P L]. split; auto. intro p. destruct (P p); auto. Qed.

(** The pages move one by one. *)
Lemma moves_put v (R : page -> page -> Prop) s p pg : R (pages s p) pg -> moves v R s (put_page s p pg).
Proof.
  intro H. split; auto using only_memory_page.
  intro q. rewrite pages_put. destruct (N.eqb_spec q p); subst; auto.
Qed.

Lemma moves_add v (R : page -> page -> Prop) s p pg a l :
  R (pages s p) pg -> moves (Some v) R s (add_leaf (put_page s p pg) v a l).
Proof.
  intro H. split; auto using only_memory_add.
  - intro q. change (pages (add_leaf (put_page s p pg) v a l) q) with (pages (put_page s p pg) q).
    rewrite pages_put. destruct (N.eqb_spec q p); subst; auto.
  - intros u D. unfold add_leaf. rewrite leaves_put.
    destruct (N.eqb_spec u v); [congruence|auto].
Qed.

Lemma moves_drop v (R : page -> page -> Prop) s p pg a :
  R (pages s p) pg -> moves (Some v) R s (drop_leaf (put_page s p pg) v a).
Proof.
  intro H. split; auto using only_memory_drop.
  - intro q. change (pages (drop_leaf (put_page s p pg) v a) q) with (pages (put_page s p pg) q).
    rewrite pages_put. destruct (N.eqb_spec q p); subst; auto.
  - intros u D. unfold drop_leaf. rewrite leaves_put.
    destruct (N.eqb_spec u v); [congruence|auto].
Qed.

(** ** Each relation goes on from where it ended *)

Ltac relate :=
  unfold transitive_, given, lent, unlent, donated, returned, shared, unshared, went_home, reclaimed,
    same_content in *;
  intuition (repeat match goal with H : exists _, _ |- _ => destruct H end; intuition (eauto; congruence)).

Lemma given_trans v : transitive_ (given v).
Proof. relate. Qed.
Lemma lent_trans v : transitive_ (lent v).
Proof. relate. Qed.
Lemma unlent_trans v : transitive_ (unlent v).
Proof. relate. Qed.
Lemma donated_trans : transitive_ donated.
Proof. relate. Qed.
Lemma returned_trans : transitive_ returned.
Proof. relate. Qed.
Lemma reclaimed_trans v : transitive_ (reclaimed v).
Proof.
  intros a b c [U|[A B]] [U'|[A' B']].
  - left. eapply unlent_trans; eauto.
  - exfalso. destruct U as (_ & [E|[k E]] & _); intuition congruence.
  - exfalso. destruct U' as ([k E] & _). intuition congruence.
  - right. auto.
Qed.

(** ** The operations

    Each keeps [memory_ok] and moves pages as its relation says. *)

Definition keeps (v : option N) (R : page -> page -> Prop) (s s' : state) : Prop :=
  memory_ok s -> moves v R s s' /\ memory_ok s'.

Lemma keeps_intro v R s s' : moves v R s s' -> (memory_ok s -> memory_ok s') -> keeps v R s s'.
Proof. unfold keeps. auto. Qed.

Lemma keeps_refl v R s : keeps v R s s.
Proof. apply keeps_intro; auto using moves_refl. Qed.

Lemma keeps_trans v R a b c : transitive_ R -> keeps v R a b -> keeps v R b c -> keeps v R a c.
Proof.
  intros T K K' M. destruct (K M) as [X Y]. destruct (K' Y) as [X' Y'].
  split; eauto using moves_trans.
Qed.

(** Solves what is left of a page whose state before is known. *)
Ltac page_facts s p :=
  match goal with
  | M : memory_ok s |- _ => pose proof (pages_ok s M p)
  end.

Lemma claim_host_ok s w i p u : claim_host s w i p = Ok u -> st (pages s p) = HostOwned.
Proof. unfold claim_host. intro H. take_apart H. auto. Qed.

Lemma free_entry_ok s w i v a u : free_entry s w i v a = Ok u -> lookup a (leaves (vms s v)) = None.
Proof. unfold free_entry. intro H. take_apart H. auto. Qed.

Lemma unless_troubled_ok {A} w i at_ (k : res A) a : unless_troubled w i at_ k = Ok a -> k = Ok a.
Proof. unfold unless_troubled. intro H. unfold need in H. repeat (destruct (negb _) in H; try discriminate). auto. Qed.

Lemma bind_ok {A B} (m : res A) (k : A -> res B) b : bind m k = Ok b -> exists a, m = Ok a /\ k a = Ok b.
Proof. destruct m; simpl; [eauto|discriminate]. Qed.

Lemma need_ok {A} b e (k : res A) a : need b e k = Ok a -> b = true /\ k = Ok a.
Proof. unfold need. destruct b; [auto|discriminate]. Qed.

(** Takes apart a chain of checks that came to a result. *)
Ltac steps H :=
  repeat (cbv zeta in H; first
    [ apply bind_ok in H; let a := fresh "a" in let E := fresh "E" in destruct H as (a & E & H)
    | apply need_ok in H; let E := fresh "C" in destruct H as (E & H)
    | apply unless_troubled_ok in H ]).

Lemma map_page_keeps s w i v p a r s' :
  phase_of s v <> None -> map_page s w i v p a r = Ok s' -> keeps (Some v) (given v) s s'.
Proof.
  intros P H. unfold map_page in H. steps H.
  apply claim_host_ok in E. apply free_entry_ok in E0. injection H as <-.
  apply keeps_intro.
  - apply moves_add. unfold given, same_content. auto.
  - intro M. page_facts s p. unfold give_page. apply memory_add; auto.
    + apply move_ok; congruence.
    + intro u. rewrite E. simpl. rewrite N.eqb_sym. destruct (u =? v); auto.
Qed.

Lemma lent_once_more_ok p v q :
  lent_once_more p v = Ok q ->
  exists k, q = Lent v (k + 1)
    /\ (p = HostOwned /\ k = 0 \/ p = Lent v k)
    /\ forall u, wants q u = wants p u + (if u =? v then 1 else 0).
Proof.
  unfold lent_once_more. intro H. destruct p; try discriminate.
  - injection H as <-. exists 0. repeat split; auto.
    intro u. simpl. rewrite N.eqb_sym. destruct (u =? v); auto.
  - destruct (N.eqb_spec v0 v); [|discriminate]. subst.
    destruct (times <? 65535); [|discriminate]. injection H as <-.
    exists times. repeat split; auto.
    intro u. simpl. rewrite N.eqb_sym. destruct (N.eqb_spec u v); subst; auto.
Qed.

Lemma lend_page_keeps s w i v p a r s' :
  phase_of s v <> None -> lend_page s w i v p a r = Ok s' -> keeps (Some v) (lent v) s s'.
Proof.
  intros P H. unfold lend_page in H. steps H.
  apply lent_once_more_ok in E as (k & -> & Was & W). apply free_entry_ok in E0. injection H as <-.
  apply keeps_intro.
  - apply moves_add. unfold lent, same_content. simpl. intuition eauto.
  - intro M. page_facts s p. apply memory_add; auto.
    apply move_ok; auto.
    + intuition congruence.
    + intros u n E. injection E as _ <-. lia.
    + discriminate.
Qed.

Lemma lent_once_less_wants v k u :
  0 < k -> wants (lent_once_less v k) u + (if u =? v then 1 else 0) = wants (Lent v k) u.
Proof.
  intro K. unfold lent_once_less. destruct (N.eqb_spec k 1); simpl; rewrite (N.eqb_sym v u);
    destruct (u =? v); subst; auto. lia.
Qed.

(** One leaf of a page that is lent to [v] goes. *)
Lemma drop_lent_keeps s v a l k :
  lookup a (leaves (vms s v)) = Some l -> st (pages s (to l)) = Lent v k ->
  keeps (Some v) (unlent v) s
    (drop_leaf (put_page s (to l) (move_page (pages s (to l)) (lent_once_less v k))) v a).
Proof.
  intros L E. apply keeps_intro.
  - apply moves_drop. unfold unlent, same_content, lent_once_less. simpl.
    destruct (k =? 1); intuition eauto.
  - intro M. page_facts s (to l). assert (0 < k) by now apply (lent_ok _ _ H v).
    apply memory_drop with l; auto.
    + apply move_ok; auto; unfold lent_once_less; destruct (N.eqb_spec k 1); try congruence.
      intros u m F. injection F as _ <-. lia.
    + intro u. simpl. rewrite E. now apply lent_once_less_wants.
Qed.

Lemma unlend_page_keeps s w i v a mine r :
  unlend_page s w i v a mine = Ok r -> keeps (Some v) (unlent v) s (fst r).
Proof.
  unfold unlend_page. intro H. steps H.
  destruct (lookup a (leaves (vms s v))) as [l|] eqn:L; [|discriminate]. steps H.
  destruct (st (pages s (to l))) eqn:E; try discriminate. steps H. injection H as <-.
  apply N.eqb_eq in C1. subst. simpl. now apply drop_lent_keeps.
Qed.

Lemma donate_page_keeps s w i p s' : donate_page s w i p = Ok s' -> keeps None donated s s'.
Proof.
  intro H. unfold donate_page in H. steps H. apply claim_host_ok in E. injection H as <-.
  apply keeps_intro.
  - apply moves_put. unfold donated. auto.
  - intro M. apply memory_page; auto.
    + split; simpl; congruence.
    + intro v. now rewrite E.
Qed.

Lemma poisoned_keeps s p : st (pages s p) = HostOwned -> keeps None donated s (poisoned s p).
Proof.
  intro E. unfold poisoned. apply keeps_intro.
  - apply moves_put. unfold donated. auto.
  - intro M. page_facts s p. apply memory_page; auto.
    + apply move_ok; congruence.
    + intro v. now rewrite E.
Qed.

Lemma bring_home_engine s p : is_spare (pages s p) = true -> keeps None returned s (bring_home s p).
Proof.
  unfold is_spare, bring_home. intro H.
  destruct (st (pages s p)) eqn:E; try discriminate.
  destruct (use (pages s p)) eqn:U; try discriminate.
  assert (W : forall v, wants (st (pages s p)) v = 0) by (intro; now rewrite E).
  unfold poisoned. destruct (broken (pages s p)); apply keeps_intro.
  - apply moves_put. unfold returned. auto.
  - intro M. page_facts s p. apply memory_page; auto.
    unfold move_page. split; simpl; try congruence.
    intro B. apply andb_prop in B. now destruct B.
  - apply moves_put. unfold returned. auto.
  - intro M. page_facts s p. apply memory_page; auto.
    apply scrubbed_ok; congruence.
Qed.

(** A page of [v]'s own goes with its one leaf, scrubbed or lost. *)
Lemma drop_own_memory s v a l :
  lookup a (leaves (vms s v)) = Some l ->
  (st (pages s (to l)) = VmOwned v \/ st (pages s (to l)) = SharedByVm v) ->
  memory_ok s -> memory_ok (drop_leaf (bring_home s (to l)) v a).
Proof.
  intros L E M. page_facts s (to l).
  assert (N : st (pages s (to l)) <> EngineOwned) by (destruct E; congruence).
  assert (W : forall u, wants (st (pages s (to l))) u = (if u =? v then 1 else 0)).
  { intro u. rewrite N.eqb_sym. destruct E as [-> | ->]; reflexivity. }
  unfold bring_home, poisoned. destruct (broken (pages s (to l))).
  - apply memory_drop with l; auto.
    + apply move_ok; auto; discriminate.
    + intro u. now rewrite W.
  - apply memory_drop with l; auto.
    + apply scrubbed_ok; auto; try discriminate. now apply not_a_table with s.
    + intro u. now rewrite W.
Qed.

Lemma drop_own_moves s v a p (R : page -> page -> Prop) :
  (forall b, st b = Poisoned \/ (st b = HostOwned /\ holds b = zeroes) -> R (pages s p) b) ->
  moves (Some v) R s (drop_leaf (bring_home s p) v a).
Proof.
  intro H. unfold bring_home, poisoned.
  destruct (broken (pages s p)); apply moves_drop; apply H; simpl; auto.
Qed.

Lemma share_keeps s w v a s' : did (share s w v a) = Some s' -> keeps (Some v) (shared v) s s'.
Proof.
  unfold share. intro H.
  destruct (is_held w 0 AtEntry); [discriminate|].
  destruct (lookup a (leaves (vms s v))) as [l|] eqn:L; [|destruct (holds_ram _ _ _); discriminate].
  destruct (is_held w 0 AtPage); [discriminate|].
  destruct (st (pages s (to l))) eqn:E; try discriminate.
  destruct (N.eqb_spec v0 v); [|discriminate]. subst. simpl in H.
  destruct (luck w 0 AtHost); try discriminate. injection H as <-.
  apply keeps_intro.
  - apply moves_put. unfold shared, same_content. auto.
  - intro M. page_facts s (to l). apply memory_page; auto.
    + apply move_ok; congruence.
    + intro u. now rewrite E.
Qed.

Lemma unshare_keeps s w v a s' : did (unshare s w v a) = Some s' -> keeps (Some v) (unshared v) s s'.
Proof.
  unfold unshare. intro H.
  destruct (is_held w 0 AtEntry); [discriminate|].
  destruct (lookup a (leaves (vms s v))) as [l|] eqn:L; [|discriminate].
  destruct (is_held w 0 AtPage); [discriminate|].
  destruct (st (pages s (to l))) eqn:E; try discriminate.
  destruct (N.eqb_spec v0 v); [|discriminate]. subst. simpl in H. injection H as <-.
  apply keeps_intro.
  - apply moves_put. unfold unshared, same_content. auto.
  - intro M. page_facts s (to l). apply memory_page; auto.
    + apply move_ok; congruence.
    + intro u. now rewrite E.
Qed.

Lemma relinquish_keeps s w v a s' :
  did (relinquish s w v a) = Some s' -> keeps (Some v) (went_home v) s s'.
Proof.
  unfold relinquish. intro H.
  destruct (luck w 0 AtEntry); try discriminate.
  destruct (lookup a (leaves (vms s v))) as [l|] eqn:L; [|destruct (holds_ram _ _ _); discriminate].
  destruct (is_held w 0 AtPage); [discriminate|].
  destruct (st (pages s (to l))) eqn:E; try discriminate.
  destruct (N.eqb_spec v0 v); [|discriminate]. subst. simpl in H.
  destruct (luck w 0 AtHost); try discriminate.
  assert (s' = drop_leaf (bring_home s (to l)) v a) as ->.
  { cbv zeta in H. destruct (broken (pages s (to l))); now injection H. }
  apply keeps_intro.
  - apply drop_own_moves. unfold went_home. intuition.
  - apply drop_own_memory; auto.
Qed.

Lemma reclaim_leaf_keeps s v a how s' n :
  phase_of s v = Some Dying ->
  reclaim_leaf s v a how = (s', n) -> keeps (Some v) (reclaimed v) s s'.
Proof.
  intros P H. unfold reclaim_leaf in H.
  destruct (lookup a (leaves (vms s v))) as [l|] eqn:L; [|injection H as <- _; apply keeps_refl].
  destruct (st (pages s (to l))) eqn:E; try (injection H as <- _; apply keeps_refl).
  - (* its own *)
    destruct how; try (injection H as <- _; apply keeps_refl).
    + destruct (N.eqb_spec v0 v); injection H as <- _; [subst|apply keeps_refl].
      apply keeps_intro; [apply drop_own_moves; unfold reclaimed; intuition|apply drop_own_memory; auto].
    + destruct (N.eqb_spec v0 v), (broken (pages s (to l))); simpl in H; injection H as <- _;
        try apply keeps_refl. subst. apply keeps_intro.
      * apply moves_put. unfold reclaimed. simpl. intuition.
      * intro M. page_facts s (to l). apply memory_page; auto.
        -- apply scrubbed_ok; auto; try discriminate.
           ++ apply not_a_table with s; congruence.
           ++ intros u F. now injection F as <-.
        -- intro u. now rewrite E.
  - (* lent to it *)
    destruct (N.eqb_spec v0 v); injection H as <- _; [subst|apply keeps_refl].
    intro M. destruct (drop_lent_keeps s v a l times L E M) as [X K]. split; [|auto].
    revert X. apply moves_weaken. unfold reclaimed. auto.
  - (* its own, shared *)
    destruct how; try (injection H as <- _; apply keeps_refl).
    destruct (N.eqb_spec v0 v); injection H as <- _; [subst|apply keeps_refl].
    apply keeps_intro; [apply drop_own_moves; unfold reclaimed; intuition|apply drop_own_memory; auto].
  - (* zeroed before *)
    destruct how; try (injection H as <- _; apply keeps_refl).
    destruct (N.eqb_spec v0 v); injection H as <- _; [subst|apply keeps_refl].
    intro M. page_facts s (to l). destruct (scrubbing_ok _ _ H v E) as [_ Z].
    split.
    + apply moves_drop. unfold reclaimed. simpl. intuition.
    + apply memory_drop with l; auto.
      * apply move_ok; congruence.
      * intro u. rewrite E. simpl. rewrite N.eqb_sym. destruct (u =? v); auto.
Qed.
