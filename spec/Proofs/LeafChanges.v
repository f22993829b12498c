(** * Nothing else changes a leaf *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Changes Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls.
From Bulkhead Require Import Proofs.EndOfVm Proofs.HostCalls Proofs.GuestSteps Proofs.OtherChanges.
Open Scope N_scope.

Lemma leaf_add s v p pg a l b :
  leaf_at (add_leaf (put_page s p pg) v a l) v b = if b =? a then Some l else leaf_at s v b.
Proof. unfold leaf_at, add_leaf. rewrite leaves_put, N.eqb_refl. reflexivity. Qed.

Lemma leaf_drop s v pg a b :
  (forall u, vms pg u = vms s u) -> NoDup (keys (leaves (vms s v))) ->
  leaf_at (drop_leaf pg v a) v b = if b =? a then None else leaf_at s v b.
Proof.
  intros E D. unfold leaf_at, drop_leaf. rewrite leaves_put, N.eqb_refl. simpl. rewrite E.
  destruct (N.eqb_spec b a) as [->|Ne]; [|now apply lookup_remove_other].
  clear E. induction (leaves (vms s v)) as [|[k l] rest IH]; simpl; [reflexivity|].
  inversion D; subst. destruct (N.eqb_spec a k) as [->|Ne]; simpl.
  - destruct (lookup k rest) eqn:L; [|reflexivity]. exfalso. apply H1.
    apply lookup_in in L. change k with (fst (k, l0)). now apply in_map.
  - apply N.eqb_neq in Ne. rewrite Ne. now apply IH.
Qed.

(** ** A batch, with the place of each step *)

Lemma batch_keeps_in {A} (P : A -> Prop) f n0 :
  (forall i a a', i < n0 -> P a -> f i a = Ok a' -> P a') ->
  forall n i a a' d e, i + N.of_nat n <= n0 -> P a -> batch n i f a = (a', d, e) -> P a'.
Proof.
  intros K n. induction n as [|n IH]; intros i a a' d e B H E.
  - simpl in E. injection E as -> _ _. auto.
  - cbn [batch] in E. destruct (f i a) eqn:F; [|injection E as -> _ _; auto].
    apply (IH (i + 1) a0 a' d e); [lia| |exact E]. eapply K; [|exact H|exact F]. lia.
Qed.

(** ** Calls that add leaves *)

Section Adds.
  Variables (s : state) (v : N) (C : N -> leaf -> Prop) (R : page -> page -> Prop).

  (** Leaves that [x] has and [s] has not are as [C] says; all others are the same. *)
  Definition grown (x : state) : Prop :=
    forall a, leaf_at x v a = leaf_at s v a
              \/ (leaf_at s v a = None /\ exists l, leaf_at x v a = Some l /\ C a l).

  Lemma grown_add x p pg a l :
    grown x -> leaf_at x v a = None -> C a l -> grown (add_leaf (put_page x p pg) v a l).
  Proof.
    intros G N H b. rewrite leaf_add. destruct (N.eqb_spec b a) as [->|]; [|apply G].
    right. split; [|eauto]. destruct (G a) as [E|(_ & m & E & _)]; congruence.
  Qed.

  (** Where a batch may be on its way. *)
  Definition on_way (x : state) : Prop := moves (Some v) R s x /\ memory_ok x /\ grown x.

  Lemma on_way_start : memory_ok s -> on_way s.
  Proof. intro M. split; [apply moves_refl|]. split; [auto|]. left. reflexivity. Qed.
End Adds.

Definition map_ok_at (s : state) (v a : N) (l : leaf) : Prop :=
  holds_ram (vms s v) a 1 = true /\ st (pages s (to l)) = HostOwned.
Definition lend_ok_at (s : state) (v a : N) (l : leaf) : Prop :=
  may_lend (vms s v) a 1 = true
  /\ (st (pages s (to l)) = HostOwned \/ exists k, st (pages s (to l)) = Lent v k).

Lemma map_page_way s w i v p a r x y :
  phase_of s v <> None -> holds_ram (vms s v) a 1 = true ->
  on_way s v (map_ok_at s v) (given v) x -> map_page x w i v p a r = Ok y ->
  on_way s v (map_ok_at s v) (given v) y.
Proof.
  intros P H (Mv & M & G) E.
  assert (Px : phase_of x v <> None) by (rewrite (om_phase _ _ v (mv_only _ _ _ _ Mv)); auto).
  destruct (map_page_keeps _ _ _ _ _ _ _ _ Px E M) as [Mv' M'].
  split; [eauto using moves_trans, given_trans|]. split; [auto|].
  unfold map_page in E. steps E. apply claim_host_ok in E0. apply free_entry_ok in E1. injection E as <-.
  apply grown_add; auto. split; [auto|]. simpl.
  destruct (mv_pages _ _ _ _ Mv p) as [F|(_ & F & _)]; congruence.
Qed.

Lemma lend_page_way s w i v p a r x y :
  phase_of s v <> None -> may_lend (vms s v) a 1 = true ->
  on_way s v (lend_ok_at s v) (lent v) x -> lend_page x w i v p a r = Ok y ->
  on_way s v (lend_ok_at s v) (lent v) y.
Proof.
  intros P H (Mv & M & G) E.
  assert (Px : phase_of x v <> None) by (rewrite (om_phase _ _ v (mv_only _ _ _ _ Mv)); auto).
  destruct (lend_page_keeps _ _ _ _ _ _ _ _ Px E M) as [Mv' M'].
  split; [eauto using moves_trans, lent_trans|]. split; [auto|].
  unfold lend_page in E. steps E. apply lent_once_more_ok in E0 as (k & -> & Was & _).
  apply free_entry_ok in E1. injection E as <-.
  apply grown_add; auto. split; [auto|]. simpl.
  destruct (mv_pages _ _ _ _ Mv p) as [F|(F & _)]; [|exact F].
  rewrite <- F. destruct Was as [[W _]|W]; eauto.
Qed.

(** A part of a run lies where the run lies. *)
Lemma in_range_part r a n i : in_range r a n = true -> i < n -> in_range r (a + i) 1 = true.
Proof.
  unfold in_range. intros H L. apply andb_prop in H as [H C]. apply andb_prop in H as [A B].
  apply N.leb_le in A, C. apply N.ltb_lt in B. apply andb_true_intro. split; [apply andb_true_intro; split|].
  - apply N.leb_le. lia.
  - apply N.ltb_lt. lia.
  - apply N.leb_le. lia.
Qed.
Lemma holds_ram_part r a n i : holds_ram r a n = true -> i < n -> holds_ram r (a + i) 1 = true.
Proof.
  unfold holds_ram. intros H L. apply orb_prop in H as [H|H]; apply (in_range_part _ _ _ i) in H; auto;
    rewrite H; auto using orb_true_r.
Qed.
Lemma may_lend_part r a n i : may_lend r a n = true -> i < n -> may_lend r (a + i) 1 = true.
Proof.
  unfold may_lend. intros H L. apply orb_prop in H as [H|H]; apply andb_prop in H as [B H];
    apply (in_range_part _ _ _ i) in H; auto; rewrite B, H; auto using orb_true_r.
Qed.
Lemma taken_on_le w n : taken_on w n <= n.
Proof. unfold taken_on. lia. Qed.

(** What only memory has changed of: the VM's ranges are as they were. *)
Lemma om_ram s s' v : only_memory s s' -> holds_ram (vms s' v) = holds_ram (vms s v).
Proof. intro O. rewrite (only_memory_vm _ _ v O). reflexivity. Qed.

Section Calls.
  Variables (s : state) (w : weather) (a : args).
  Let v := slot_of (x1 a).
  Hypothesis M : memory_ok s.

  Lemma of_refused (Q : state -> Prop) r :
    Q s -> (forall s' o, r = Ok (s', o) -> Q s') -> Q (fst (or_refused s r)).
  Proof.
    intros B H. destruct (or_refused s r) as [s' o] eqn:E.
    apply or_refused_cases in E as [E|[-> _]]; [eauto|auto].
  Qed.

  Lemma vm_map_grown : grown s v (map_ok_at s v) (fst (vm_map s w a)).
  Proof.
    unfold vm_map. apply of_refused; [now left|]. intros s' o H. steps H.
    apply vm_for_ok in E3 as (-> & P & _). injection H as H.
    pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
    enough (K : on_way s v (map_ok_at s v) (given v) b) by apply K.
    pose proof (taken_on_le w a0) as T.
    eapply (batch_keeps_in _ _ a0); [|rewrite N.add_0_l, N2Nat.id; exact T|apply on_way_start, M|exact B].
    intros i x y L W Hx. simpl in Hx. eapply map_page_way; eauto. eapply holds_ram_part; eauto.
  Qed.

  Lemma vm_map_list_grown : grown s v (map_ok_at s v) (fst (vm_map_list s w a)).
  Proof.
    unfold vm_map_list. apply of_refused; [now left|]. intros s' o H. steps H.
    apply vm_for_ok in E1 as (-> & P & _).
    destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
    enough (K : on_way s v (map_ok_at s v) (given v) (fst (b, l))) by apply K.
    eapply (batch_keeps (fun t => on_way s v (map_ok_at s v) (given v) (fst t)));
      [| |exact B]; [|exact (on_way_start _ _ _ _ M)].
    intros i [x lx] [y ly] W Hx. simpl in *. unfold map_entry in Hx. steps Hx. injection Hx as -> _.
    eapply map_page_way; eauto.
    unfold check_entry in E1. steps E1. injection E1 as <-. simpl.
    rewrite <- (om_ram _ _ _ (mv_only _ _ _ _ (proj1 W))). assumption.
  Qed.

  Lemma vm_lend_grown : grown s v (lend_ok_at s v) (fst (vm_lend s w a)).
  Proof.
    unfold vm_lend. apply of_refused; [now left|]. intros s' o H. steps H.
    apply vm_for_ok in E3 as (-> & P & _). injection H as H.
    pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
    enough (K : on_way s v (lend_ok_at s v) (lent v) b) by apply K.
    pose proof (taken_on_le w a0) as T.
    eapply (batch_keeps_in _ _ a0); [|rewrite N.add_0_l, N2Nat.id; exact T|apply on_way_start, M|exact B].
    intros i x y L W Hx. simpl in Hx. eapply lend_page_way; eauto. eapply may_lend_part; eauto.
  Qed.
End Calls.

(** ** Calls that take leaves away *)

Definition shrunk (s : state) (v : N) (x : state) : Prop :=
  forall a, leaf_at x v a = leaf_at s v a \/ leaf_at x v a = None.

Lemma shrunk_refl s v : shrunk s v s.
Proof. now left. Qed.
Lemma shrunk_trans s v x y : shrunk s v x -> shrunk x v y -> shrunk s v y.
Proof. intros A B a. destruct (A a) as [E|E], (B a) as [F|F]; rewrite ?F, ?E; auto. Qed.
Lemma shrunk_drop s v x a :
  (forall u, vms x u = vms s u) -> memory_ok s -> shrunk s v (drop_leaf x v a).
Proof.
  intros E M b. rewrite (leaf_drop s); auto; [|apply (keys_ok s M)]. destruct (b =? a); auto.
Qed.

Lemma bring_home_vms s p u : vms (bring_home s p) u = vms s u.
Proof. unfold bring_home, poisoned. destruct (broken _); reflexivity. Qed.

Lemma unlend_page_shrunk s w i v a mine r :
  memory_ok s -> unlend_page s w i v a mine = Ok r -> shrunk s v (fst r).
Proof.
  intros M H. unfold unlend_page in H. steps H. destruct (lookup _ _); [|discriminate]. steps H.
  destruct (st _); try discriminate. steps H. injection H as <-. simpl. now apply shrunk_drop.
Qed.

Lemma vm_unlend_shrunk s w a : memory_ok s -> shrunk s (slot_of (x1 a)) (fst (vm_unlend s w a)).
Proof.
  intro M. unfold vm_unlend. apply of_refused; [apply shrunk_refl|]. intros s' o H. steps H.
  apply vm_for_ok in E1 as (-> & P & _).
  destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
  enough (K : shrunk s (slot_of (x1 a)) (fst (b, l)) /\ memory_ok (fst (b, l))) by apply K.
  eapply (batch_keeps (fun t : state * list N => shrunk s (slot_of (x1 a)) (fst t) /\ memory_ok (fst t)));
    [| |exact B]; [|split; [apply shrunk_refl|exact M]].
  intros i [x lx] [y ly] [W Mx] Hx. simpl in *. unfold unlend_step in Hx. steps Hx.
  injection Hx as <- _. split.
  - eapply shrunk_trans; [exact W|]. eapply unlend_page_shrunk; eauto.
  - now apply (unlend_page_keeps _ _ _ _ _ _ _ E1 Mx).
Qed.

Lemma reclaim_leaf_shrunk s v a how : memory_ok s -> shrunk s v (fst (reclaim_leaf s v a how)).
Proof.
  intro M. unfold reclaim_leaf. destruct (lookup _ _) as [l|]; [|apply shrunk_refl].
  assert (D : forall x, (forall u, vms x u = vms s u) -> shrunk s v (drop_leaf x v a))
    by (intros; now apply shrunk_drop).
  destruct (st _); try (destruct how); try apply shrunk_refl; destruct (_ =? v); simpl;
    try apply shrunk_refl; try (apply D; intro; reflexivity); try (apply D, bring_home_vms).
  destruct (negb _); simpl; intro; left; reflexivity.
Qed.

Lemma reclaim_leaves_shrunk v from : forall s left,
  memory_ok s -> phase_of s v = Some Dying -> shrunk s v (fst (reclaim_leaves s v left from)).
Proof.
  induction from as [|[a how] rest IH]; intros s left M P; simpl; [apply shrunk_refl|].
  pose proof (reclaim_leaf_shrunk s v a how M) as Sh.
  destruct (reclaim_leaf s v a how) as [s' n] eqn:L.
  destruct (left <? fst n); [apply shrunk_refl|].
  destruct (reclaim_leaf_keeps _ _ _ _ _ _ P L M) as [X Y].
  assert (P' : phase_of s' v = Some Dying) by (rewrite (om_phase _ _ v (mv_only _ _ _ _ X)); auto).
  specialize (IH s' (left - fst n) Y P'). simpl in *.
  destruct (reclaim_leaves s' v (left - fst n) rest) as [s'' m]. simpl in *.
  eapply shrunk_trans; eauto.
Qed.

Lemma vm_reclaim_shrunk s w a : memory_ok s -> shrunk s (slot_of (x1 a)) (fst (vm_reclaim s w a)).
Proof.
  intro M. unfold vm_reclaim. apply of_refused; [apply shrunk_refl|]. intros s' o H. steps H.
  apply vm_for_ok in E0 as (-> & L & A).
  assert (D : phase_of s (slot_of (x1 a)) = Some Dying) by (unfold phase_of; allowed A; auto).
  pose proof (reclaim_leaves_shrunk (slot_of (x1 a)) (found w) s a0 M D) as K.
  destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in K.
  destruct (leaves (vms s1 (slot_of (x1 a)))) eqn:Lv; [|injection H as <- _; exact K].
  destruct (ends w && (fst n =? 0)); injection H as <- _; [|exact K].
  intro b. right. unfold leaf_at, end_vm, put_vm, with_vms, upd. simpl. rewrite N.eqb_refl. simpl. now rewrite Lv.
Qed.

(** ** Guests *)

Lemma send_sgi_leaves targets v intid u : forall s,
  leaves (vms (send_sgi s v intid targets) u) = leaves (vms s u).
Proof.
  unfold send_sgi. induction targets as [|j rest IH]; intro s; simpl; [reflexivity|].
  rewrite IH. destruct (_ && _); [|reflexivity]. unfold raise. destruct (_ && _); [|reflexivity].
  simpl. unfold upd. destruct (N.eqb_spec u (of_vm (vcpus s j))) as [->|]; reflexivity.
Qed.

Lemma guest_leaves s w c i g v :
  memory_ok s -> at_ (cores s c) = InGuest i ->
  let s' := fst (guest_act s w c g) in
  vms s' v = vms s v \/ leaves (vms s' v) = leaves (vms s v)
  \/ (v = of_vm (vcpus s i) /\ (exists imm, g = Hvc imm) /\ shrunk s v s').
Proof.
  intros M A. cbv zeta. unfold guest_act. rewrite A. destruct g; try (left; reflexivity).
  - left. unfold touch. destruct (lookup _ _) as [l|].
    + destruct (allows _ _); [|reflexivity]. destruct (broken _); [reflexivity|].
      destruct (kind a); reflexivity.
    + destruct (holds_ram _ _ _); [reflexivity|]. unfold touch_device. destruct (negb _); [reflexivity|].
      destruct (kind a); try reflexivity; destruct (in_frames _ _); reflexivity.
  - unfold guest_hvc. destruct (classify _ _ _ _ _ _); try (left; reflexivity).
    + left. unfold guest_psci. destruct p; try reflexivity.
      * destruct (check_suspend _ _ _); reflexivity.
      * destruct (cpu_on _ _ _ _ _); reflexivity.
    + left. unfold share. destruct (is_held _ _ _); [reflexivity|]. destruct (lookup _ _) as [l|].
      * destruct (is_held _ _ _); [reflexivity|]. destruct (st _); try reflexivity.
        destruct (negb _); [reflexivity|]. destruct (luck _ _ _); reflexivity.
      * destruct (holds_ram _ _ _); reflexivity.
    + left. unfold unshare. destruct (is_held _ _ _); [reflexivity|]. destruct (lookup _ _) as [l|]; [|reflexivity].
      destruct (is_held _ _ _); [reflexivity|]. destruct (st _); try reflexivity.
      destruct (negb _); reflexivity.
    + unfold relinquish. destruct (luck _ _ _); try (left; reflexivity). destruct (lookup _ _) as [l|].
      * destruct (is_held _ _ _); [left; reflexivity|]. destruct (st _); try (left; reflexivity).
        destruct (negb _); [left; reflexivity|]. destruct (luck _ _ _); try (left; reflexivity).
        destruct (N.eq_dec v (of_vm (vcpus s i))) as [->|D].
        -- right. right. split; [reflexivity|]. split; [eauto|].
           pose proof (shrunk_drop s (of_vm (vcpus s i)) (bring_home s (to l)) (ipa / PAGE_SIZE)
             (bring_home_vms s (to l)) M) as Sh.
           destruct (broken _); exact Sh.
        -- left. unfold bring_home. destruct (broken (pages s (to l))); simpl; unfold upd;
             apply N.eqb_neq in D; now rewrite D.
      * left. destruct (holds_ram _ _ _); reflexivity.
  - right. left. simpl. unfold advance. simpl. apply send_sgi_leaves.
Qed.

(** ** All events *)

Theorem step_leaves s w e v a :
  invariant s ->
  let s' := fst (step s w e) in
  leaf_at s' v a = leaf_at s v a \/ leaf_changes s e v a (leaf_at s v a) (leaf_at s' v a).
Proof.
  intro I. pose proof (inv_memory _ I) as M. cbv zeta.
  destruct (step_others s w e I) as [_ V]. destruct (V v) as [E|C]; [unfold leaf_at; rewrite E; auto|].
  destruct C.
  - left. unfold leaf_at. rewrite H1. unfold phase_of in *. now rewrite (free_ok s M v H0).
  - left. unfold leaf_at. now rewrite H2.
  - (* the calls about memory *)
    destruct H0 as [c x0 N]. unfold step. destruct (machine_off s); [auto|].
    destruct (runs_host s c); [|auto]. unfold host_does, host_hvc. rewrite N.eqb_refl, N.
    assert (Is : is_call k a0 (ByHost c (HostHvc 0 x0 a0))) by now constructor.
    simpl in H. destruct H as [<-|[<-|[<-|[<-|[<-|[]]]]]]; unfold host_call.
    + pose proof (vm_map_grown s w a0 M a) as G. rewrite <- H1 in G.
      destruct (vm_map s w a0). destruct G as [G|(B & l & L & R & S)]; [auto|right].
      eapply l_given; eauto.
    + pose proof (vm_map_list_grown s w a0 M a) as G. rewrite <- H1 in G.
      destruct (vm_map_list s w a0). destruct G as [G|(B & l & L & R & S)]; [auto|right].
      eapply l_given; eauto.
    + pose proof (vm_lend_grown s w a0 M a) as G. rewrite <- H1 in G.
      destruct (vm_lend s w a0). destruct G as [G|(B & l & L & R & S)]; [auto|right].
      eapply l_lent; eauto.
    + pose proof (vm_unlend_shrunk s w a0 M a) as G. rewrite <- H1 in G.
      destruct (vm_unlend s w a0). destruct G as [G|G]; [auto|right]. eapply l_taken; eauto.
    + pose proof (vm_reclaim_shrunk s w a0 M a) as G. rewrite <- H1 in G.
      destruct (vm_reclaim s w a0). destruct G as [G|G]; [auto|right]. eapply l_taken; eauto.
  - right. eapply l_taken; eauto. unfold leaf_at. now rewrite H2.
  - left. unfold leaf_at. now rewrite H1.
  - left. unfold leaf_at. now rewrite H2.
  - left. unfold leaf_at. now rewrite H1.
  - unfold step. destruct (machine_off s); [auto|]. rewrite H.
    destruct (c <? cores_n (cfg s)); [|auto].
    destruct (guest_leaves s w c i g v M H0) as [E|[E|(_ & (imm & ->) & E)]].
    + left. unfold leaf_at. now rewrite E.
    + left. unfold leaf_at. now rewrite E.
    + destruct (E a) as [F|F]; [auto|right]. eapply l_given_up; eauto.
Qed.
