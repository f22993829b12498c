(** * What guests, the engine's turns and chance do keeps the invariants *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide.
From Bulkhead Require Import Calls.Pages Calls.Vcpus Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls.
From Bulkhead Require Import Proofs.RunningMoves Proofs.HostCalls.
Open Scope N_scope.

(** ** A vCPU leaves its core, or goes on *)

Lemma place_after_settled why c : settled (place_after why c).
Proof. destruct why; is_settled. Qed.

Lemma leave_invariant s c i u m :
  at_ (cores s c) = InGuest i -> settled (place u) -> same_id u (vcpus s i) ->
  (forall j, m <> InGuest j) -> invariant s -> invariant (put_mode (put_vcpu s i u) c m).
Proof.
  intros A S O N [M R Q]. split.
  - now apply put_mode_memory, put_vcpu_memory.
  - now apply running_leave.
  - apply put_mode_quiet, put_vcpu_quiet; tauto.
Qed.

Lemma exit_invariant s c i u why d :
  at_ (cores s c) = InGuest i -> same_id u (vcpus s i) ->
  invariant s -> invariant (fst (exit_to_host s c i u why d)).
Proof.
  intros A O I. unfold exit_to_host. simpl.
  apply leave_invariant; auto; [|destruct (is_end why); auto|discriminate].
  destruct (is_end why); apply place_after_settled.
Qed.

Lemma end_turn_invariant s c i u :
  at_ (cores s c) = InGuest i -> same_id u (vcpus s i) ->
  invariant s -> invariant (fst (end_turn s c i u)).
Proof. intros A O I. apply leave_invariant; auto; [is_settled|discriminate]. Qed.

Lemma resume_invariant s i u :
  place u = place (vcpus s i) -> same_id u (vcpus s i) ->
  invariant s -> invariant (fst (resume s i u)).
Proof.
  intros P O [M R Q].
  split; [now apply put_vcpu_memory|now apply running_same|apply put_vcpu_quiet; tauto].
Qed.

(** A page's content changes: no more than that. *)
Lemma store_invariant s p c :
  (forall v, st (pages s p) <> Scrubbing v) ->
  invariant s -> invariant (put_page s p (set_holds (pages s p) c)).
Proof.
  intros N [M R Q]. split.
  - apply memory_page; auto. destruct (pages_ok s M p) as [A B C D F].
    split; simpl; auto. intros v E. elim (N v E).
  - eapply running_memory; [apply only_memory_page|auto].
  - revert Q. apply quiet_frame; auto. intros q v. rewrite pages_put.
    destruct (N.eqb_spec q p); subst; auto.
Qed.

(** ** Turns *)

Lemma ready_invariant s u l : invariant s -> invariant (put_vm s u (set_ready (vms s u) l)).
Proof.
  intros [M R Q]. split; [| |now apply put_vm_quiet].
  - revert M. apply memory_frame; intros; auto.
    + rewrite leaves_put. destruct (N.eqb_spec v u) as [->|]; auto.
    + rewrite phase_put. destruct (N.eqb_spec v u) as [->|]; auto.
  - revert R. apply running_frame; auto. intro v. rewrite members_put, phase_put.
    destruct (N.eqb_spec v u) as [->|]; auto.
Qed.

Theorem turn_invariant s c t : c < cores_n (cfg s) -> invariant s -> invariant (fst (take_turn s c t)).
Proof.
  intros L I. unfold take_turn. destruct (at_ (cores s c)) eqn:A, t; try exact I.
  - (* Pick *)
    unfold pick. destruct (place (vcpus s i)) eqn:P; try exact I.
    destruct (N.eqb_spec c0 c); [subst c0|exact I]. simpl.
    destruct (i <? vcpus_n (cfg s)); [|exact I]. destruct I as [M R Q].
    assert (S : settled (place (vcpus s i))) by (rewrite P; is_settled).
    assert (Pk : invariant (put_vcpu s i (set_place (vcpus s i) Parked))).
    { split; [now apply put_vcpu_memory| |apply put_vcpu_quiet; tauto].
      apply running_settled; auto. is_settled. }
    destruct (phase (vms s (of_vm (vcpus s i)))) as [[]|] eqn:Ph; try exact Pk.
    simpl. assert (O : same_id (set_place (settle (vcpus s i)) (RunningOn c)) (vcpus s i)).
    { unfold settle. destruct (waits_for (vcpus s i)); auto. }
    split; [now apply put_mode_memory, put_vcpu_memory|now apply running_enter|].
    intros p v d j Hp. look. destruct (N.eqb_spec d c) as [->|].
    + intro E. injection E as <-. rewrite N.eqb_refl, (proj1 O). intros <-.
      destruct (scrubbing_ok _ _ (pages_ok s M p) _ Hp). unfold phase_of in H. congruence.
    + intro E. destruct (N.eqb_spec j i) as [->|]; [rewrite (proj1 O)|]; eapply Q; eauto.
  - (* TellFirst *)
    unfold tell_first. destruct (place (vcpus s i)) eqn:P, (phase (vms s (of_vm (vcpus s i)))) as [[]|]; try exact I.
    destruct (N.eqb_spec c0 c); [subst c0|exact I]. simpl. destruct (i <? vcpus_n (cfg s)); [|exact I].
    unfold tell_ready. destruct (tell_of _ _ _) as [[|j told] kept]; [now apply ready_invariant|].
    unfold exit_to_host. simpl. destruct (ready_invariant s (of_vm (vcpus s i)) kept I) as [M R Q].
    split; [now apply put_mode_memory, put_vcpu_memory| |].
    + apply running_mode; [intro k; simpl; congruence|discriminate|].
      assert (S : settled (place (vcpus s i))) by (rewrite P; is_settled).
      apply running_settled; auto. is_settled.
    + apply put_mode_quiet; [discriminate|]. apply put_vcpu_quiet; auto.
  - (* Stop *)
    destruct (may_stop s c why); [|exact I]. destruct I as [M R Q].
    split; [now apply put_mode_memory| |now apply put_mode_quiet].
    apply running_mode; auto; [intro j; congruence|discriminate].
  - (* TellReady *)
    unfold tell_ready. destruct (tell_of _ _ _) as [[|j told] kept]; [now apply ready_invariant|].
    apply exit_invariant; auto. now apply ready_invariant.
  - (* Leave *)
    unfold leave.
    destruct (phase (vms s (of_vm (vcpus s slot)))) as [[]|]; try exact I;
      apply leave_invariant; auto; try is_settled; discriminate.
Qed.

(** ** HVCs *)

Lemma set_first4_same u a b c d :
  place (set_first4 u a b c d) = place u /\ of_vm (set_first4 u a b c d) = of_vm u.
Proof. auto. Qed.

Lemma psci_invariant s w c i p :
  at_ (cores s c) = InGuest i -> invariant s -> invariant (fst (guest_psci s w c i p)).
Proof.
  intros A I. unfold guest_psci. destruct p; cbv zeta; try solve [apply resume_invariant; auto];
    try solve [apply exit_invariant; auto].
  - (* CpuSuspend *)
    destruct (check_suspend _ _ _); [apply resume_invariant|apply end_turn_invariant]; auto.
  - (* CpuOn *)
    match goal with |- context [cpu_on ?a ?b ?v ?t ?e] => destruct (cpu_on a b v t e) as [j|z] eqn:E end;
      [|apply resume_invariant; auto].
    unfold cpu_on in E. destruct (by_affinity _ _ _) as [k|] eqn:B; [|discriminate].
    destruct (entry_ok _ _); [|discriminate]. simpl in E.
    destruct (place (vcpus s k)) eqn:P; try discriminate.
    destruct (is_held w 0 AtPage); [discriminate|]. injection E as ->.
    assert (N : i <> j).
    { intros ->. destruct I as [_ R]. apply (runs_ok s R) in A. congruence. }
    apply exit_invariant; auto.
    + rewrite vcpus_put. apply N.eqb_neq in N. now rewrite N.
    + destruct I as [M R Q]. split; [now apply put_vcpu_memory| |apply put_vcpu_quiet; tauto].
      apply running_settled; auto; [rewrite P|]; is_settled.
Qed.

(** A call about a page: where it is done, pages have moved and nothing else. *)
Lemma page_call_invariant s c i ipa o :
  at_ (cores s c) = InGuest i -> invariant s ->
  (forall s', did o = Some s' -> exists R, no_scrubbing R /\ keeps (Some (of_vm (vcpus s i))) R s s') ->
  invariant (fst (answer_page_call s c i ipa o)).
Proof.
  intros A I K. unfold answer_page_call. destruct o; cbv zeta; try solve [apply resume_invariant; auto];
    try solve [apply exit_invariant; auto]; auto;
    (destruct (K s0) as (R & N & Q); [auto|]; pose proof (keeps_invariant _ _ _ _ N Q I) as I';
     destruct (Q (inv_memory _ I)) as [[[_ V C _ _ _] _ _] _]).
  - rewrite <- V. apply resume_invariant; auto.
  - apply exit_invariant; auto; [now rewrite C|now rewrite V].
  - apply exit_invariant; auto; [now rewrite C|now rewrite V].
Qed.

Theorem hvc_invariant s w c i imm :
  at_ (cores s c) = InGuest i -> invariant s -> invariant (fst (guest_hvc s w c i imm)).
Proof.
  intros A I. unfold guest_hvc. destruct (classify _ _ _ _ _ _);
    try solve [apply resume_invariant; auto]; try solve [apply exit_invariant; auto].
  - now apply psci_invariant.
  - apply page_call_invariant; auto. intros s' E.
    eexists. split; [apply shared_no|]. eapply share_keeps; eauto.
  - apply page_call_invariant; auto. intros s' E.
    eexists. split; [apply unshared_no|]. eapply unshare_keeps; eauto.
  - apply page_call_invariant; auto. intros s' E.
    eexists. split; [apply went_home_no|]. eapply relinquish_keeps; eauto.
Qed.

(** ** Accesses and interrupts *)

(** What a vCPU that runs reaches is no page that waits zeroed. *)
Lemma running_not_scrubbing s c i a l v :
  invariant s -> at_ (cores s c) = InGuest i ->
  lookup a (leaves (vms s (of_vm (vcpus s i)))) = Some l -> st (pages s (to l)) <> Scrubbing v.
Proof.
  intros [M R Q] A L E. pose proof (I2_leaves s _ a l M L) as N. rewrite E in N. simpl in N.
  apply N.eqb_eq in N. symmetry in N. revert N. eapply Q; eauto.
Qed.

Theorem touch_invariant s w c i a :
  at_ (cores s c) = InGuest i -> invariant s -> invariant (fst (touch s w c i a)).
Proof.
  intros A I. unfold touch.
  destruct (lookup _ (leaves (vms s (of_vm (vcpus s i))))) as [l|] eqn:L.
  - destruct (allows l (kind a)); [|apply resume_invariant; auto].
    destruct (broken (pages s (to l))); [apply exit_invariant; auto|].
    destruct (kind a); [| |exact I].
    + apply resume_invariant; auto; unfold set_reg; destruct (reg a =? 31); auto.
    + apply resume_invariant; auto.
      apply store_invariant; auto. intro v. eapply running_not_scrubbing; eauto.
  - destruct (holds_ram _ _ _); [apply exit_invariant; auto|].
    unfold touch_device. destruct (negb (plain a)); [apply resume_invariant; auto|].
    destruct (kind a); try (destruct (in_frames _ _)); try solve [apply exit_invariant; auto];
      apply resume_invariant; auto; unfold set_reg; destruct (reg a =? 31); auto.
Qed.

Lemma raise_invariant s intid j : invariant s -> invariant (raise s intid j).
Proof.
  intros [M R Q]. unfold raise.
  assert (I : forall u, place u = place (vcpus s j) -> same_id u (vcpus s j) -> invariant (put_vcpu s j u)).
  { intros u P O. split; [now apply put_vcpu_memory|now apply running_same|apply put_vcpu_quiet; tauto]. }
  destruct (_ && _); [|apply I; auto].
  destruct (I (set_irqs (vcpus s j) (upd (irqs (vcpus s j)) intid
    (Irq true (level (irqs (vcpus s j) intid)) (priority (irqs (vcpus s j) intid)))))) as [M' R' Q']; auto.
  split; [| |now apply put_vm_quiet].
  - revert M'. apply memory_frame; intros; auto.
    + rewrite leaves_put. destruct (N.eqb_spec v (of_vm (vcpus s j))) as [->|]; auto.
    + rewrite phase_put. destruct (N.eqb_spec v (of_vm (vcpus s j))) as [->|]; auto.
  - revert R'. apply running_frame; auto. intro v. rewrite members_put, phase_put.
    destruct (N.eqb_spec v (of_vm (vcpus s j))) as [->|]; auto.
Qed.

Lemma send_sgi_invariant targets v intid : forall s, invariant s -> invariant (send_sgi s v intid targets).
Proof.
  unfold send_sgi. induction targets as [|j rest IH]; intros s I; simpl; [exact I|].
  apply IH. destruct (_ && _); [now apply raise_invariant|exact I].
Qed.

Theorem guest_invariant s w c g : invariant s -> invariant (fst (guest_act s w c g)).
Proof.
  intro I. unfold guest_act. destruct (at_ (cores s c)) as [| |i|] eqn:A; try exact I.
  destruct g; try solve [apply resume_invariant; auto]; try solve [apply exit_invariant; auto];
    try solve [apply end_turn_invariant; auto].
  - now apply touch_invariant.
  - now apply hvc_invariant.
  - simpl. unfold advance.
    apply (resume_invariant (send_sgi s (of_vm (vcpus s i)) intid targets)); auto.
    now apply send_sgi_invariant.
  - apply exit_invariant; auto. destruct sleeps; auto.
Qed.

(** ** The host beside its calls, and chance *)

Theorem host_store_invariant s p i v : invariant s -> invariant (fst (host_store s p i v)).
Proof.
  intro I. unfold host_store.
  destruct (host_may (st (pages s p))) eqn:H; [|exact I].
  destruct (negb (broken (pages s p))); [|exact I]. simpl.
  apply store_invariant; auto. intros u E. rewrite E in H. discriminate.
Qed.

Lemma power_invariant s c p : invariant s -> invariant (put_power s c p).
Proof.
  intros [M R Q]. split; [now apply put_power_memory|now apply running_power|now apply put_power_quiet].
Qed.

Lemma psci_of_host_invariant s c p : invariant s -> invariant (fst (host_psci s c p)).
Proof.
  intro I. destruct p; simpl; auto.
  - destruct (has_queued s c); [exact I|now apply power_invariant].
  - destruct (host_cpu_on s target entry); [now apply power_invariant|exact I].
  - destruct I as [M R Q]. split; [revert M; memory_same|revert R; apply running_frame; auto|exact Q].
  - destruct I as [M R Q]. split; [revert M; memory_same|revert R; apply running_frame; auto|exact Q].
Qed.

Theorem smc_invariant s w c imm a b d e : invariant s -> invariant (fst (host_smc s w c imm a b d e)).
Proof.
  intro I. unfold host_smc. destruct (negb (imm =? 0)); [exact I|].
  destruct (decode_psci a b d e) as [p|].
  - pose proof (psci_of_host_invariant s c p I) as H. destruct (host_psci s c p) as [s' z].
    destruct (machine_off s'); exact H.
  - destruct (classify_smc a b); exact I.
Qed.

Theorem chance_invariant s h : invariant s -> invariant (happens s h).
Proof.
  intro I. pose proof I as [M R Q].
  assert (Put : forall p pg, page_ok s pg -> st pg = st (pages s p) -> invariant (put_page s p pg)).
  { intros p pg K E. split.
    - apply memory_page; auto. intro v. now rewrite E.
    - eapply running_memory; [apply only_memory_page|auto].
    - revert Q. apply quiet_frame; auto. intros q v. rewrite pages_put.
      destruct (N.eqb_spec q p); subst; auto. now rewrite E. }
  destruct h; simpl.
  - apply Put; auto. destruct (pages_ok s M p) as [A B C D F]. split; simpl; auto.
  - destruct (at_ (cores s c)) eqn:A; try exact I;
      (split; [now apply put_mode_memory| |now apply put_mode_quiet]);
      apply running_mode; auto; try discriminate; intro j; congruence.
  - destruct (pow (cores s c)); try exact I. now apply power_invariant.
  - destruct (host_may (st (pages s p))) eqn:H; [|exact I].
    apply Put; auto. destruct (pages_ok s M p) as [A B C D F]. split; simpl; auto.
  - destruct (st (pages s p)) eqn:S; try exact I. destruct (use (pages s p)) eqn:U; try exact I.
    destruct (pages_ok s M p) as [A B C D F].
    destruct of as [v|]; [destruct (is_live (vms s v)) eqn:Lv; [|exact I]|];
      (apply Put; [|auto]); split; simpl; auto; try discriminate.
    intros u E. injection E as <-. unfold is_live in Lv. unfold phase_of.
    destruct (phase (vms s v)); discriminate.
  - destruct (use (pages s p)) as [|[o|]] eqn:U; [exact I|destruct (has_gone_home _); [|exact I]|];
      (apply Put; auto; destruct (pages_ok s M p) as [A B C D F]; split; simpl; auto; discriminate).
Qed.
