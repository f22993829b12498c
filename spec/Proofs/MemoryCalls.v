(** * The host's calls about memory, as moves

    Each call of Calls/Memory.v, and VM_RECLAIM's part of it: whose table and which pages it moves. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Calls.Pages Calls.Memory Calls.Life.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves.
Open Scope N_scope.

(** ** What a call that may be refused comes to *)

Lemma or_refused_cases s r s' o :
  or_refused s r = (s', o) -> r = Ok (s', o) \/ (s' = s /\ exists e, r = No e /\ o = No e).
Proof.
  unfold or_refused. destruct r as [[]|e].
  - injection 1 as -> ->. auto.
  - injection 1 as <- <-. eauto.
Qed.

(** For what holds of the state as it was, and of the state where no check refused. *)
Lemma or_refused_keeps v R s r :
  (forall s' o, r = Ok (s', o) -> keeps v R s s') -> keeps v R s (fst (or_refused s r)).
Proof.
  intro H. destruct (or_refused s r) as [s' o] eqn:E.
  apply or_refused_cases in E as [E|[-> _]]; [eauto|apply keeps_refl].
Qed.

Lemma of_batch_fst {A} (b : A * N * status) : fst (of_batch b) = fst (fst b).
Proof. destruct b as [[]]. reflexivity. Qed.

(** ** Handles *)

Lemma find_vm_ok s h v : find_vm s h = Ok v -> v = slot_of h /\ phase_of s v <> None.
Proof.
  unfold find_vm. intro H. steps H. injection H as <-. split; [auto|].
  apply andb_prop in C as [C _]. apply andb_prop in C as [_ C].
  unfold is_live in C. unfold phase_of. now destruct (phase (vms s (slot_of h))).
Qed.

Lemma vm_for_ok s c h v :
  vm_for s c h = Ok v -> v = slot_of h /\ phase_of s v <> None /\ allows (vms s v) c = true.
Proof.
  unfold vm_for. intro H. steps H. injection H as <-. apply find_vm_ok in E. tauto.
Qed.

(** In which states a call is allowed, spelled out. *)
Lemma allows_phase r c : allows r c = true -> exists p, phase r = Some p /\ In p (call_states c).
Proof.
  unfold allows. destruct (phase r) as [p|]; [|discriminate].
  intro H. exists p. split; [auto|]. apply existsb_exists in H as (q & I & E).
  apply internal_vm_state_dec_bl in E. now subst.
Qed.

(** ** Batches *)

Lemma batch_moves {A} (of_ : A -> state) v R f :
  transitive_ R ->
  forall s, phase_of s v <> None ->
  (forall i a b, phase_of (of_ a) v <> None -> f i a = Ok b -> keeps (Some v) R (of_ a) (of_ b)) ->
  forall n a b d e, of_ a = s -> batch n 0 f a = (b, d, e) -> keeps (Some v) R s (of_ b).
Proof.
  intros T s P K n a b d e <- H M.
  pose (Q := fun x => moves (Some v) R (of_ a) (of_ x) /\ memory_ok (of_ x)).
  change (Q b). eapply (batch_keeps Q); [|split; [apply moves_refl|exact M]|exact H].
  intros i x y [X Y] F.
  assert (phase_of (of_ x) v <> None) by (rewrite (om_phase _ _ v (mv_only _ _ _ _ X)); auto).
  destruct (K i x y H0 F Y) as [X' Y']. split; eauto using moves_trans.
Qed.

Lemma batch_moves_none f R :
  transitive_ R ->
  (forall i a b, f i a = Ok b -> keeps None R a b) ->
  forall n s s' d e, batch n 0 f s = (s', d, e) -> keeps None R s s'.
Proof.
  intros T K n s s' d e H M.
  pose (Q := fun x => moves None R s x /\ memory_ok x).
  change (Q s'). eapply (batch_keeps Q); [|split; [apply moves_refl|exact M]|exact H].
  intros i x y [X Y] F. destruct (K i x y F Y) as [X' Y']. split; eauto using moves_trans.
Qed.

(** ** The calls *)

Theorem vm_map_moves s w a :
  keeps (Some (slot_of (x1 a))) (given (slot_of (x1 a))) s (fst (vm_map s w a)).
Proof.
  unfold vm_map. apply or_refused_keeps. intros s' o H. steps H.
  apply vm_for_ok in E3 as (-> & P & _). injection H as H.
  pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
  destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
  eapply (batch_moves (fun x => x)); eauto using given_trans.
  intros i x y Px Hx. simpl in *. eapply map_page_keeps; eauto.
Qed.

Theorem vm_lend_moves s w a :
  keeps (Some (slot_of (x1 a))) (lent (slot_of (x1 a))) s (fst (vm_lend s w a)).
Proof.
  unfold vm_lend. apply or_refused_keeps. intros s' o H. steps H.
  apply vm_for_ok in E3 as (-> & P & _). injection H as H.
  pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
  destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
  eapply (batch_moves (fun x => x)); eauto using lent_trans.
  intros i x y Px Hx. simpl in *. eapply lend_page_keeps; eauto.
Qed.

Theorem vm_map_list_moves s w a :
  keeps (Some (slot_of (x1 a))) (given (slot_of (x1 a))) s (fst (vm_map_list s w a)).
Proof.
  unfold vm_map_list. apply or_refused_keeps. intros s' o H. steps H.
  apply vm_for_ok in E1 as (-> & P & _).
  destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
  change b with (fst (b, l)).
  eapply (batch_moves fst); eauto using given_trans; [|reflexivity].
  intros i [x lx] [y ly] Px Hx. simpl in *. unfold map_entry in Hx. steps Hx.
  injection Hx as -> _. eapply map_page_keeps; eauto.
Qed.

Theorem vm_unlend_moves s w a :
  keeps (Some (slot_of (x1 a))) (unlent (slot_of (x1 a))) s (fst (vm_unlend s w a)).
Proof.
  unfold vm_unlend. apply or_refused_keeps. intros s' o H. steps H.
  apply vm_for_ok in E1 as (-> & P & _).
  destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
  change b with (fst (b, l)).
  eapply (batch_moves fst); eauto using unlent_trans; [|reflexivity].
  intros i [x lx] [y ly] Px Hx. simpl in *. unfold unlend_step in Hx. steps Hx.
  injection Hx as <- _. eapply unlend_page_keeps; eauto.
Qed.

Theorem engine_donate_moves s w a : keeps None donated s (fst (engine_donate s w a)).
Proof.
  unfold engine_donate. apply or_refused_keeps. intros s' o H. steps H.
  destruct (batch _ _ _ s) as [[b d] e] eqn:B. injection H as <- _.
  eapply keeps_trans; [apply donated_trans| |].
  - eapply batch_moves_none; [apply donated_trans| |exact B].
    intros i x y F. eapply donate_page_keeps. exact F.
  - unfold lose_at. destruct e; try apply keeps_refl.
    destruct (_ && _); [|apply keeps_refl].
    destruct (st (pages b (a1 + d))) eqn:S; try apply keeps_refl.
    now apply poisoned_keeps.
Qed.

Lemma return_pages_moves w from : forall s i, keeps None returned s (fst (return_pages s w i from)).
Proof.
  induction from as [|p rest IH]; intros s i; simpl; [apply keeps_refl|].
  destruct (is_spare (pages s p)) eqn:S; [|apply keeps_refl]. simpl.
  destruct (_ && _); [|apply keeps_refl].
  specialize (IH (bring_home s p) (i + 1)).
  destruct (return_pages _ w (i + 1) rest) as [s' home]. simpl in *.
  apply keeps_trans with (bring_home s p); [apply returned_trans|now apply bring_home_engine|exact IH].
Qed.

Theorem engine_reclaim_moves s w a : keeps None returned s (fst (engine_reclaim s w a)).
Proof.
  unfold engine_reclaim. apply or_refused_keeps. intros s' o H. steps H.
  pose proof (return_pages_moves w (firstn (N.to_nat a0) (spare w)) s 0) as K.
  destruct (return_pages _ _ _ _) as [s'' home]. injection H as <- _. exact K.
Qed.

Theorem page_poison_moves s w a : keeps None donated s (fst (page_poison s w a)).
Proof.
  unfold page_poison. apply or_refused_keeps. intros s' o H. steps H. injection H as <- _.
  apply claim_host_ok in E0. now apply poisoned_keeps.
Qed.

(** VM_RECLAIM, but for the end of the slot. *)
Lemma reclaim_leaves_moves v from :
  forall s left, phase_of s v = Some Dying ->
  keeps (Some v) (reclaimed v) s (fst (reclaim_leaves s v left from)).
Proof.
  induction from as [|[a how] rest IH]; intros s left P; simpl; [apply keeps_refl|].
  destruct (reclaim_leaf s v a how) as [s' n] eqn:L.
  destruct (left <? fst n); [apply keeps_refl|].
  pose proof (reclaim_leaf_keeps _ _ _ _ _ _ P L) as K.
  destruct (reclaim_leaves s' v (left - fst n) rest) as [s'' m] eqn:E. simpl.
  intro M. destruct (K M) as [X Y].
  assert (P' : phase_of s' v = Some Dying) by (rewrite (om_phase _ _ v (mv_only _ _ _ _ X)); auto).
  specialize (IH s' (left - fst n) P'). rewrite E in IH. simpl in IH.
  destruct (IH Y) as [X' Y']. split; eauto using moves_trans, reclaimed_trans.
Qed.
