(** * What boot found, no step changes *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls Proofs.HostCalls Proofs.GuestSteps.
Open Scope N_scope.

Lemma keeps_cfg v R s s' : memory_ok s -> keeps v R s s' -> cfg s' = cfg s.
Proof. intros M K. destruct (K M) as [[O _ _] _]. apply (om_cfg _ _ O). Qed.

Lemma or_refused_cfg s r :
  (forall s' o, r = Ok (s', o) -> cfg s' = cfg s) -> cfg (fst (or_refused s r)) = cfg s.
Proof.
  intro H. destruct (or_refused s r) as [s' o] eqn:E.
  apply or_refused_cases in E as [E|[-> _]]; [eauto|auto].
Qed.

Ltac cfg_alone :=
  apply or_refused_cfg; intros ? ? H; steps H;
  try (injection H as <- _; reflexivity);
  match type of H with
  | (match ?m with _ => _ end) = _ =>
      destruct m; try discriminate H; steps H; injection H as <- _; reflexivity
  end.

Lemma call_cfg k s w c a : invariant s -> cfg (fst (host_call k s w c a)) = cfg s.
Proof.
  intro I. pose proof (inv_memory _ I) as M.
  destruct k; unfold host_call, told, changed; try reflexivity.
  - destruct (engine_doorbell s a) as [[s' l]|] eqn:E; [|reflexivity].
    unfold engine_doorbell in E. steps E. injection E as <- _. reflexivity.
  - eapply keeps_cfg; [exact M|apply engine_donate_moves].
  - eapply keeps_cfg; [exact M|apply engine_reclaim_moves].
  - unfold vm_create. cfg_alone.
  - eapply keeps_cfg; [exact M|apply vm_map_moves].
  - eapply keeps_cfg; [exact M|apply vm_map_list_moves].
  - eapply keeps_cfg; [exact M|apply vm_lend_moves].
  - eapply keeps_cfg; [exact M|apply vm_unlend_moves].
  - unfold vm_start. cfg_alone.
  - unfold vm_destroy. cfg_alone.
  - unfold vm_reclaim. apply or_refused_cfg. intros s' o H. steps H.
    apply vm_for_ok in E0 as (-> & L & A).
    assert (D : phase_of s (slot_of (x1 a)) = Some Dying) by (unfold phase_of; allowed A; auto).
    pose proof (keeps_cfg _ _ _ _ M (reclaim_leaves_moves (slot_of (x1 a)) (found w) s a0 D)) as K.
    destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in K.
    destruct (leaves _); [destruct (ends w && (fst n =? 0))|]; injection H as <- _; exact K.
  - unfold vcpu_create. cfg_alone.
  - unfold vcpu_enqueue. cfg_alone.
  - unfold vcpu_dequeue. cfg_alone.
  - unfold vcpu_respond. cfg_alone.
  - unfold vcpu_inject. cfg_alone.
  - eapply keeps_cfg; [exact M|apply page_poison_moves].
Qed.

Lemma page_call_cfg s c i ipa o :
  (forall s', did o = Some s' -> cfg s' = cfg s) -> cfg (fst (answer_page_call s c i ipa o)) = cfg s.
Proof. intro H. destruct o; simpl; try reflexivity; eauto. Qed.

Lemma hvc_cfg s w c i imm : invariant s -> cfg (fst (guest_hvc s w c i imm)) = cfg s.
Proof.
  intro I. pose proof (inv_memory _ I) as M.
  unfold guest_hvc. destruct (classify _ _ _ _ _ _) as [q|x0 x1 x2 x3| |q|q|q|]; try reflexivity.
  - unfold guest_psci. destruct q; try reflexivity.
    + destruct (check_suspend _ _ _); reflexivity.
    + destruct (cpu_on _ _ _ _ _); reflexivity.
  - apply page_call_cfg. intros s' E. eapply keeps_cfg; [exact M|eapply share_keeps; eauto].
  - apply page_call_cfg. intros s' E. eapply keeps_cfg; [exact M|eapply unshare_keeps; eauto].
  - apply page_call_cfg. intros s' E. eapply keeps_cfg; [exact M|eapply relinquish_keeps; eauto].
Qed.

Lemma send_sgi_cfg v intid targets : forall s, cfg (send_sgi s v intid targets) = cfg s.
Proof.
  unfold send_sgi. induction targets as [|j rest IH]; intro s; simpl; [reflexivity|].
  rewrite IH. destruct (_ && _); [|reflexivity]. unfold raise. destruct (_ && _); reflexivity.
Qed.

Theorem step_cfg s w e : invariant s -> cfg (fst (step s w e)) = cfg s.
Proof.
  intro I. unfold step. destruct (machine_off s); [reflexivity|].
  destruct e as [c h|c t|c g|h].
  - destruct (runs_host s c); [|reflexivity]. destruct h; unfold host_does; try reflexivity.
    + unfold host_hvc. destruct (if imm =? 0 then call_of x0 else None) as [k|]; [|reflexivity].
      pose proof (call_cfg k s w c a I) as K. destruct (host_call k s w c a). exact K.
    + unfold host_smc. destruct (negb (imm =? 0)); [reflexivity|].
      destruct (decode_psci x0 x1 x2 x3) as [q|]; [|destruct (classify_smc x0 x1); reflexivity].
      assert (Q : cfg (fst (host_psci s c q)) = cfg s).
      { destruct q; try reflexivity; simpl.
        - destruct (has_queued s c); reflexivity.
        - destruct (host_cpu_on _ _ _); reflexivity. }
      destruct (host_psci s c q) as [s' z]. simpl in Q. destruct (machine_off s'); exact Q.
    + unfold host_store. destruct (_ && _); reflexivity.
  - destruct (c <? cores_n (cfg s)); [|reflexivity]. unfold take_turn.
    destruct (at_ (cores s c)), t; try reflexivity.
    + unfold pick. destruct (place (vcpus s i)); try reflexivity.
      destruct (_ && _); [|reflexivity]. destruct (phase _) as [[]|]; reflexivity.
    + unfold tell_first, tell_ready. destruct (place (vcpus s i)), (phase (vms s (of_vm (vcpus s i)))) as [[]|]; try reflexivity.
      destruct (_ && _); [|reflexivity]. destruct (tell_of _ _ _) as [[]]; reflexivity.
    + destruct (may_stop s c why); reflexivity.
    + unfold tell_ready. destruct (tell_of _ _ _) as [[]]; reflexivity.
    + unfold leave. destruct (phase _) as [[]|]; reflexivity.
  - destruct (c <? cores_n (cfg s)); [|reflexivity]. unfold guest_act.
    destruct (at_ (cores s c)) as [| |i|]; try reflexivity.
    destruct g; try reflexivity.
    + unfold touch. destruct (lookup _ _) as [l|].
      * destruct (allows _ _); [|reflexivity]. destruct (broken _); [reflexivity|].
        destruct (kind a); reflexivity.
      * destruct (holds_ram _ _ _); [reflexivity|]. unfold touch_device.
        destruct (negb (plain a)); [reflexivity|].
        destruct (kind a); try destruct (in_frames _ _); reflexivity.
    + now apply hvc_cfg.
    + simpl. now rewrite send_sgi_cfg.
  - destruct h; simpl; try reflexivity.
    + destruct (at_ (cores s c)); reflexivity.
    + destruct (pow (cores s c)); reflexivity.
    + destruct (host_may _); reflexivity.
    + destruct (st _); try reflexivity. destruct (use _); try reflexivity.
      destruct of as [u|]; [destruct (is_live _)|]; reflexivity.
    + destruct (use _) as [|[u|]]; [|destruct (has_gone_home _)|]; reflexivity.
Qed.
