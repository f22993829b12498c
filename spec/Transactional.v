(** * I7: what is refused changes nothing

    Of the host's calls: an error leaves the state exactly as it was, but for two that are documented,
    each with what it changes. Of a guest's calls: an error changes the caller's own x0 to x3 and its
    program counter, and nothing else. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls Proofs.Reachable.
Open Scope N_scope.

(** ** The host's calls *)

(** VM_START answers BUSY and leaves the VM Sealing; ENGINE_DONATE answers NOT_RAM and takes the page
    with a memory error that it met first out of circulation. *)
Inductive documented_exception (s : state) : call -> status -> state -> Prop :=
| start_seals v :
    documented_exception s VM_START BUSY (put_vm s v (set_phase (vms s v) (Some Sealing)))
| donate_poisons p :
    broken (pages s p) = true -> st (pages s p) = HostOwned ->
    documented_exception s ENGINE_DONATE NOT_RAM (poisoned s p).

Lemma batch_refused {A} (d : N) why (l : A) e :
  (if d =? 0 then No why else Ok l) = No e -> d = 0 /\ why = e.
Proof. destruct (N.eqb_spec d 0); [|discriminate]. injection 1 as ->. auto. Qed.

(** Takes a refused call apart: either a check refused and nothing was done, or it got further. *)
Ltac refused H :=
  apply or_refused_cases in H as [H|[-> _]]; [|now left];
  steps H; try discriminate H.

Theorem transactional k s w c a s' e :
  host_call k s w c a = (s', No e) -> s' = s \/ documented_exception s k e s'.
Proof.
  intro H. destruct k; unfold host_call, told, changed in H; try (left; congruence).
  - (* ENGINE_DOORBELL *)
    destruct (engine_doorbell s a) as [[]|]; [discriminate|left; congruence].
  - (* ENGINE_DONATE *)
    unfold engine_donate in H. refused H.
    destruct (batch _ _ _ s) as [[b d] why] eqn:B. injection H as <- H.
    apply batch_refused in H as (-> & R). apply batch_nothing in B as ->.
    unfold lose_at. destruct why; try (left; reflexivity).
    destruct (_ && _) eqn:C'; [|left; reflexivity].
    destruct (st (pages s (a1 + 0))) eqn:S; try (left; reflexivity).
    right. simpl in R. subst e. constructor; [|auto].
    do 3 apply andb_prop in C' as [C' _]. now apply andb_prop in C' as [_ C'].
  - (* ENGINE_RECLAIM *)
    unfold engine_reclaim in H. refused H. destruct (return_pages _ _ _ _). discriminate H.
  - unfold vm_create in H. refused H.
  - (* VM_MAP *)
    unfold vm_map in H. refused H.
    destruct (batch _ _ _ s) as [[b d] why] eqn:B. injection H as <- H.
    apply batch_refused in H as (-> & _). apply batch_nothing in B. auto.
  - (* VM_MAP_LIST *)
    unfold vm_map_list in H. refused H.
    destruct (batch _ _ _ _) as [[[b l] d] why] eqn:B. injection H as <- H.
    apply batch_refused in H as (-> & _). apply batch_nothing in B. left. congruence.
  - (* VM_LEND *)
    unfold vm_lend in H. refused H.
    destruct (batch _ _ _ s) as [[b d] why] eqn:B. injection H as <- H.
    apply batch_refused in H as (-> & _). apply batch_nothing in B. auto.
  - (* VM_UNLEND *)
    unfold vm_unlend in H. refused H.
    destruct (batch _ _ _ _) as [[[b l] d] why] eqn:B. injection H as <- H.
    apply batch_refused in H as (-> & _). apply batch_nothing in B. left. congruence.
  - (* VM_START *)
    unfold vm_start in H. refused H.
    destruct (is_held w 0 AtPage); [|discriminate]. injection H as <- <-. right. constructor.
  - unfold vm_destroy in H. refused H.
  - (* VM_RECLAIM *)
    unfold vm_reclaim in H. refused H. destruct (reclaim_leaves _ _ _ _) as [s1 n].
    destruct (leaves _); [destruct (ends w && (fst n =? 0))|]; discriminate H.
  - unfold vcpu_create in H. refused H.
  - unfold vcpu_enqueue in H. refused H.
    destruct (place _); try discriminate H; steps H; discriminate H.
  - unfold vcpu_dequeue in H. refused H.
    destruct (place _); try discriminate H; steps H; discriminate H.
  - unfold vcpu_respond in H. refused H.
    destruct (place _); try discriminate H; steps H; discriminate H.
  - unfold vcpu_inject in H. refused H.
  - unfold page_poison in H. refused H.
Qed.

(** `engine/abi/interface.toml` lists the exceptions, and no others. *)
Theorem exceptions_are_listed k s w c a s' e :
  host_call k s w c a = (s', No e) -> ~ In e (call_changes_on k) -> s' = s.
Proof.
  intros H N. apply transactional in H as [H|H]; [exact H|].
  exfalso. apply N. destruct H; simpl; auto.
Qed.

(** As a step: what is told is an error, so nothing has changed. *)
Theorem transactional_step s w c imm x0 a s' e :
  step s w (ByHost c (HostHvc imm x0 a)) = (s', Answered e []) -> e <> SUCCESS ->
  s' = s \/ exists k, documented_exception s k e s'.
Proof.
  unfold step. destruct (machine_off s); [discriminate|].
  destruct (runs_host s c); [|discriminate]. unfold host_does, host_hvc.
  destruct (if imm =? 0 then call_of x0 else None) as [k|]; [|discriminate].
  destruct (host_call k s w c a) as [s1 r] eqn:H. intros E N.
  assert (s1 = s') as -> by congruence.
  destruct r as [l|e'].
  - destruct k; simpl in E; congruence.
  - assert (e' = e) as -> by (destruct k; simpl in E; congruence).
    apply transactional in H as [H|H]; eauto.
Qed.

(** ** A guest's calls *)

(** Only what the vCPU [i] finds in x0 to x3, and where it goes on. *)
Definition only_answered (s s' : state) (i : N) (o : output) : Prop :=
  o = Silence /\ exists a b d e, s' = put_vcpu s i (answer4 (vcpus s i) a b d e).

Lemma answer_x0_is u z : exists a b d e, forall n, x (answer_x0 u z) n = x (answer4 u a b d e) n.
Proof.
  exists (word64 z), (x u 1), (x u 2), (x u 3). intro n.
  unfold answer_x0, answer4, next_pc, set_first4. simpl. unfold upd.
  destruct (N.eqb_spec n 3); [subst; reflexivity|].
  destruct (N.eqb_spec n 2); [subst; reflexivity|].
  destruct (N.eqb_spec n 1); [subst; reflexivity|]. reflexivity.
Qed.

(** A call about memory that is refused. *)
Theorem refused_page_call s c i ipa :
  only_answered s (fst (answer_page_call s c i ipa Refused)) i (snd (answer_page_call s c i ipa Refused)).
Proof. simpl. unfold only_answered. split; eauto. Qed.

(** PSCI that is refused: x0 says so, the rest is as it was. *)
Theorem refused_cpu_on s w c i target entry context z :
  cpu_on s w (of_vm (vcpus s i)) target entry = inr z ->
  guest_psci s w c i (CpuOn target entry context) = (put_vcpu s i (answer_x0 (vcpus s i) z), Silence).
Proof. intro H. simpl. now rewrite H. Qed.

(** ** The published example

    A vCPU that runs and turns itself on is answered ALREADY_ON; nothing else changes, the host is told
    nothing, and where its entry point would have been set stays what it was. *)

Lemma by_own_affinity s i c :
  reachable s -> at_ (cores s c) = InGuest i ->
  by_affinity (mpidr (vcpus s i)) (fun j => mpidr (vcpus s j)) (members (vms s (of_vm (vcpus s i)))) = Some i.
Proof.
  intros R A. apply reachable_invariant in R as [_ U _].
  assert (P : place (vcpus s i) <> Absent).
  { rewrite (proj2 (runs_ok s U i c) A). discriminate. }
  destruct (member_ok s U i P) as [M _].
  unfold by_affinity. rewrite (affinity_ok s U _ _ M).
  destruct (find _ _) as [j|] eqn:F.
  - apply find_some in F as [J E]. apply N.eqb_eq in E. f_equal. eapply (unique_ok s U); eauto.
  - apply find_none with (x := i) in F; [|exact M]. now rewrite N.eqb_refl in F.
Qed.

Theorem a_running_vcpu_that_turns_itself_on s w c i entry context :
  reachable s -> at_ (cores s c) = InGuest i ->
  entry_ok (fun e => holds_ram (vms s (of_vm (vcpus s i))) (e / PAGE_SIZE) 1) entry = true ->
  guest_psci s w c i (CpuOn (mpidr (vcpus s i)) entry context)
  = (put_vcpu s i (answer_x0 (vcpus s i) ALREADY_ON), Silence).
Proof.
  intros R A E. apply refused_cpu_on. unfold cpu_on.
  rewrite (by_own_affinity s i c R A), E. simpl.
  apply reachable_invariant in R as [_ U _]. now rewrite (proj2 (runs_ok s U i c) A).
Qed.

(** The same, as the guest does it: an HVC with these registers, as a step of the machine. *)
Theorem a_running_vcpu_that_turns_itself_on_by_hvc s w c i :
  reachable s -> machine_off s = false -> at_ (cores s c) = InGuest i ->
  x (vcpus s i) 0 = 0xC4000003 -> x (vcpus s i) 1 = mpidr (vcpus s i) ->
  entry_ok (fun e => holds_ram (vms s (of_vm (vcpus s i))) (e / PAGE_SIZE) 1) (x (vcpus s i) 2) = true ->
  step s w (ByGuest c (Hvc 0)) = (put_vcpu s i (answer_x0 (vcpus s i) ALREADY_ON), Silence).
Proof.
  intros R Off A X0 X1 E. unfold step. rewrite Off.
  pose proof (inv_running _ (reachable_invariant s R)) as U.
  pose proof (core_ok s U i c A) as L. apply N.ltb_lt in L. rewrite L.
  unfold guest_act. rewrite A. unfold guest_hvc.
  replace (classify (cfg s) 0 (x (vcpus s i) 0) (x (vcpus s i) 1) (x (vcpus s i) 2) (x (vcpus s i) 3))
    with (ToPsci (CpuOn (mpidr (vcpus s i)) (x (vcpus s i) 2) (x (vcpus s i) 3))).
  - now apply a_running_vcpu_that_turns_itself_on.
  - unfold classify. rewrite X0, X1. reflexivity.
Qed.
