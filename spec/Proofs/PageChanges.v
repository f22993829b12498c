(** * Nothing else changes a page *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Changes Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls.
From Bulkhead Require Import Proofs.EndOfVm Proofs.HostCalls Proofs.GuestSteps.
Open Scope N_scope.

(** ** Calls about VMs and vCPUs leave pages alone *)

Lemma or_refused_pages s r :
  (forall s' o, r = Ok (s', o) -> pages s' = pages s) -> pages (fst (or_refused s r)) = pages s.
Proof.
  intro H. destruct (or_refused s r) as [s' o] eqn:E.
  apply or_refused_cases in E as [E|[-> _]]; [eauto|auto].
Qed.

Ltac pages_alone :=
  apply or_refused_pages; intros ? ? H; steps H;
  try (injection H as <- _; reflexivity);
  match type of H with
  | (match ?m with _ => _ end) = _ =>
      destruct m; try discriminate H; steps H; injection H as <- _; reflexivity
  end.

Lemma vm_create_pages s w a : pages (fst (vm_create s w a)) = pages s.
Proof. pages_alone. Qed.
Lemma vm_start_pages s w a : pages (fst (vm_start s w a)) = pages s.
Proof. pages_alone. Qed.
Lemma vm_destroy_pages s w a : pages (fst (vm_destroy s w a)) = pages s.
Proof. pages_alone. Qed.
Lemma vcpu_create_pages s w a : pages (fst (vcpu_create s w a)) = pages s.
Proof. pages_alone. Qed.
Lemma vcpu_enqueue_pages s w a : pages (fst (vcpu_enqueue s w a)) = pages s.
Proof. pages_alone. Qed.
Lemma vcpu_dequeue_pages s w a : pages (fst (vcpu_dequeue s w a)) = pages s.
Proof. pages_alone. Qed.
Lemma vcpu_respond_pages s w c a : pages (fst (vcpu_respond s w c a)) = pages s.
Proof. pages_alone. Qed.
Lemma vcpu_inject_pages s a : pages (fst (vcpu_inject s a)) = pages s.
Proof. pages_alone. Qed.

(** ** VM_RECLAIM *)

Lemma free_table_unmoved v pg : unmoved pg (free_table v pg).
Proof. split; [apply free_table_st|apply free_table_holds]. Qed.

Lemma reclaimed_unmoved v a b c : reclaimed v a b -> st c = st b -> holds c = holds b -> broken c = broken b -> reclaimed v a c.
Proof.
  intros [U|[A B]] S H K.
  - left. destruct U as (X & Y & Z & W). repeat split; try rewrite S; try rewrite H; try rewrite K; auto.
  - right. split; [auto|]. rewrite S, H. auto.
Qed.

Lemma free_table_broken v pg : broken (free_table v pg) = broken pg.
Proof. unfold free_table. destruct (use pg) as [|[o|]]; auto. destruct (o =? v); auto. Qed.

Lemma vm_reclaim_pages s w a p :
  invariant s ->
  let s' := fst (vm_reclaim s w a) in
  pages s' p = pages s p
  \/ (phase_of s (slot_of (x1 a)) = Some Dying /\ inside s (slot_of (x1 a)) = []
      /\ (reclaimed (slot_of (x1 a)) (pages s p) (pages s' p) \/ unmoved (pages s p) (pages s' p))).
Proof.
  intro I. simpl. unfold vm_reclaim.
  destruct (or_refused _ _) as [s' o] eqn:E. simpl.
  apply or_refused_cases in E as [H|[-> _]]; [|auto]. steps H.
  apply vm_for_ok in E0 as (-> & L & A).
  assert (D : phase_of s (slot_of (x1 a)) = Some Dying) by (unfold phase_of; allowed A; auto).
  apply andb_prop in C as [C _].
  destruct (inside s (slot_of (x1 a))) eqn:N; [|discriminate].
  pose proof (reclaim_leaves_moves (slot_of (x1 a)) (found w) s a0 D) as K.
  destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in K.
  destruct (K (inv_memory _ I)) as [[_ P _] _].
  assert (At1 : pages s1 p = pages s p \/ reclaimed (slot_of (x1 a)) (pages s p) (pages s1 p)) by apply P.
  assert (Plain : pages s1 p = pages s p \/
     (Some Dying = Some Dying /\ @nil BinNums.N = [] /\
      (reclaimed (slot_of (x1 a)) (pages s p) (pages s1 p) \/ unmoved (pages s p) (pages s1 p)))) by intuition.
  destruct (leaves (vms s1 (slot_of (x1 a)))); [|injection H as <- _; rewrite D; exact Plain].
  destruct (ends w && (fst n =? 0)); injection H as <- _; rewrite D; [|exact Plain].
  right. repeat split; auto.
  change (pages (end_vm s1 (slot_of (x1 a))) p) with (free_table (slot_of (x1 a)) (pages s1 p)).
  destruct At1 as [Q|Q].
  - right. rewrite Q. apply free_table_unmoved.
  - left. eapply reclaimed_unmoved; [exact Q|apply free_table_st|apply free_table_holds|apply free_table_broken].
Qed.

(** ** All calls *)

Lemma from_moves v R s s' p : memory_ok s -> keeps v R s s' ->
  pages s' p = pages s p \/ R (pages s p) (pages s' p).
Proof. intros M K. destruct (K M) as [[_ P _] _]. apply P. Qed.

Theorem host_call_pages k s w c x0 a p :
  invariant s -> call_of x0 = Some k ->
  let s' := fst (host_call k s w c a) in
  pages s' p = pages s p
  \/ page_changes s (ByHost c (HostHvc 0 x0 a)) p (pages s p) (pages s' p).
Proof.
  intros I N. pose proof (inv_memory _ I) as M.
  assert (Is : is_call k a (ByHost c (HostHvc 0 x0 a))) by now constructor.
  destruct k; unfold host_call, told; cbv zeta; try (left; reflexivity).
  - unfold changed. destruct (engine_doorbell s a) as [[s' l]|] eqn:E; [|left; reflexivity].
    unfold engine_doorbell in E. steps E. injection E as <- _. left; reflexivity.
  - destruct (from_moves _ _ _ _ p M (engine_donate_moves s w a)); [auto|right; eapply donated_by_call; eauto].
  - destruct (from_moves _ _ _ _ p M (engine_reclaim_moves s w a)); [auto|right; eapply returned_by_call; eauto].
  - left. now rewrite vm_create_pages.
  - destruct (from_moves _ _ _ _ p M (vm_map_moves s w a)); [auto|right; eapply given_by_map; eauto].
  - destruct (from_moves _ _ _ _ p M (vm_map_list_moves s w a)); [auto|right; eapply given_by_map; eauto].
  - destruct (from_moves _ _ _ _ p M (vm_lend_moves s w a)); [auto|right; eapply lent_by_call; eauto].
  - destruct (from_moves _ _ _ _ p M (vm_unlend_moves s w a)); [auto|right; eapply unlent_by_call; eauto].
  - left. now rewrite vm_start_pages.
  - left. now rewrite vm_destroy_pages.
  - destruct (vm_reclaim_pages s w a p I) as [|(D & Q & R)]; [auto|right; eapply reclaimed_by_call; eauto].
  - left. now rewrite vcpu_create_pages.
  - left. now rewrite vcpu_enqueue_pages.
  - left. now rewrite vcpu_dequeue_pages.
  - left. now rewrite vcpu_respond_pages.
  - left. now rewrite vcpu_inject_pages.
  - destruct (from_moves _ _ _ _ p M (page_poison_moves s w a)); [auto|right; eapply donated_by_call; eauto].
Qed.

(** ** Guests *)

Lemma psci_pages s w c i q : pages (fst (guest_psci s w c i q)) = pages s.
Proof.
  unfold guest_psci. destruct q; try reflexivity.
  - destruct (check_suspend _ _ _); reflexivity.
  - destruct (cpu_on _ _ _ _ _); reflexivity.
Qed.

(** A call about a page: the pages of where it was done, or as they were. *)
Lemma page_call_pages s c i ipa o p :
  pages (fst (answer_page_call s c i ipa o)) p = pages s p
  \/ exists s', did o = Some s' /\ pages (fst (answer_page_call s c i ipa o)) p = pages s' p.
Proof. destruct o; simpl; eauto 6. Qed.

Theorem hvc_pages s w c i imm p :
  invariant s -> at_ (cores s c) = InGuest i ->
  let s' := fst (guest_hvc s w c i imm) in
  pages s' p = pages s p \/ page_changes s (ByGuest c (Hvc imm)) p (pages s p) (pages s' p).
Proof.
  intros I A. pose proof (inv_memory _ I) as M. cbv zeta.
  assert (Is : is_act s i (Hvc imm) (ByGuest c (Hvc imm))) by now constructor.
  unfold guest_hvc. destruct (classify _ _ _ _ _ _); try (left; reflexivity).
  - left. now rewrite psci_pages.
  - destruct (page_call_pages s c i ipa (share s w (of_vm (vcpus s i)) (ipa / PAGE_SIZE)) p)
      as [|(s' & E & ->)]; [auto|].
    destruct (from_moves _ _ _ _ p M (share_keeps _ _ _ _ _ E)); [auto|].
    right. eapply shared_by_guest; eauto.
  - destruct (page_call_pages s c i ipa (unshare s w (of_vm (vcpus s i)) (ipa / PAGE_SIZE)) p)
      as [|(s' & E & ->)]; [auto|].
    destruct (from_moves _ _ _ _ p M (unshare_keeps _ _ _ _ _ E)); [auto|].
    right. eapply unshared_by_guest; eauto.
  - destruct (page_call_pages s c i ipa (relinquish s w (of_vm (vcpus s i)) (ipa / PAGE_SIZE)) p)
      as [|(s' & E & ->)]; [auto|].
    destruct (from_moves _ _ _ _ p M (relinquish_keeps _ _ _ _ _ E)); [auto|].
    right. eapply relinquished_by_guest; eauto.
Qed.

Lemma touch_pages s w c i a p :
  at_ (cores s c) = InGuest i ->
  let s' := fst (touch s w c i a) in
  pages s' p = pages s p \/ page_changes s (ByGuest c (Touch a)) p (pages s p) (pages s' p).
Proof.
  intro A. cbv zeta. unfold touch.
  destruct (lookup _ _) as [l|] eqn:L.
  - destruct (allows l (kind a)) eqn:W; [|left; reflexivity]. destruct (broken _); [left; reflexivity|].
    revert W. destruct (kind a); intro W; [left; reflexivity| |left; reflexivity].
    destruct (N.eq_dec p (to l)) as [->|D].
    + right. eapply stored_by_guest; eauto; [now constructor|].
      simpl. unfold upd. now rewrite N.eqb_refl.
    + left. simpl. unfold upd. apply N.eqb_neq in D. now rewrite D.
  - left. destruct (holds_ram _ _ _); [reflexivity|]. unfold touch_device.
    destruct (negb (plain a)); [reflexivity|].
    destruct (kind a); try destruct (in_frames _ _); reflexivity.
Qed.

Lemma send_sgi_pages targets v intid : forall s, pages (send_sgi s v intid targets) = pages s.
Proof.
  unfold send_sgi. induction targets as [|j rest IH]; intro s; simpl; [reflexivity|].
  rewrite IH. destruct (_ && _); [|reflexivity].
  unfold raise. destruct (_ && _); reflexivity.
Qed.

(** ** All events *)

Theorem step_pages s w e p :
  invariant s ->
  let s' := fst (step s w e) in
  pages s' p = pages s p \/ page_changes s e p (pages s p) (pages s' p).
Proof.
  intro I. cbv zeta. unfold step. destruct (machine_off s); [auto|].
  destruct e as [c h|c t|c g|h].
  - destruct (runs_host s c); [|auto]. destruct h; unfold host_does.
    + unfold host_hvc. destruct (N.eqb_spec imm 0) as [->|]; [|auto].
      destruct (call_of x0) as [k|] eqn:K; [|auto].
      pose proof (host_call_pages k s w c x0 a p I K) as P.
      destruct (host_call k s w c a). exact P.
    + left. unfold host_smc. destruct (negb (imm =? 0)); [reflexivity|].
      destruct (decode_psci x0 x1 x2 x3) as [q|].
      * assert (Q : pages (fst (host_psci s c q)) = pages s).
        { destruct q; try reflexivity; simpl.
          - destruct (has_queued s c); reflexivity.
          - destruct (host_cpu_on _ _ _); reflexivity. }
        destruct (host_psci s c q) as [s' z]. simpl in Q. rewrite <- Q.
        destruct (machine_off s'); reflexivity.
      * destruct (classify_smc x0 x1); reflexivity.
    + auto.
    + unfold host_store. destruct (host_may (st (pages s p0))) eqn:H; [|auto].
      destruct (negb (broken (pages s p0))); [|auto]. simpl. unfold upd.
      destruct (N.eqb_spec p p0); [subst|auto]. right. eapply stored_by_host; eauto.
  - left. destruct (c <? cores_n (cfg s)); [|reflexivity]. unfold take_turn.
    destruct (at_ (cores s c)), t; try reflexivity.
    + unfold pick. destruct (place (vcpus s i)); try reflexivity.
      destruct (_ && _); [|reflexivity]. destruct (phase _) as [[]|]; reflexivity.
    + unfold tell_first, tell_ready. destruct (place (vcpus s i)), (phase (vms s (of_vm (vcpus s i)))) as [[]|]; try reflexivity.
      destruct (_ && _); [|reflexivity]. destruct (tell_of _ _ _) as [[]]; reflexivity.
    + destruct (may_stop s c why); reflexivity.
    + unfold tell_ready. destruct (tell_of _ _ _) as [[]]; reflexivity.
    + unfold leave. destruct (phase _) as [[]|]; reflexivity.
  - destruct (c <? cores_n (cfg s)); [|auto]. unfold guest_act.
    destruct (at_ (cores s c)) as [| |i|] eqn:A; auto.
    destruct g; try (left; reflexivity).
    + now apply touch_pages.
    + now apply hvc_pages.
    + left. simpl. unfold advance. simpl. now rewrite send_sgi_pages.
  - assert (K : forall q pg, unmoved (pages s q) pg ->
      pages (put_page s q pg) p = pages s p
      \/ page_changes s (ByChance h) p (pages s p) (pages (put_page s q pg) p)).
    { intros q pg U. rewrite pages_put. destruct (N.eqb_spec p q); [subst|auto].
      right. eapply by_chance; eauto. }
    destruct h; simpl fst; unfold happens.
    + apply K. split; reflexivity.
    + left. destruct (at_ (cores s c)); reflexivity.
    + left. destruct (pow (cores s c)); reflexivity.
    + destruct (host_may _); [|auto]. apply K. split; reflexivity.
    + destruct (st (pages s p0)); auto. destruct (use (pages s p0)); auto.
      destruct of as [v|]; [destruct (is_live _); [|auto]|]; apply K; split; reflexivity.
    + destruct (use (pages s p0)) as [|[v|]]; auto; [destruct (has_gone_home _); [|auto]|];
        apply K; split; reflexivity.
Qed.
