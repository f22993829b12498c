(** * Every call of the host keeps the invariants *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls.
From Bulkhead Require Import Proofs.RunningMoves Proofs.EndOfVm.
Open Scope N_scope.

(** ** From moves of memory, and from changes that memory does not see *)

Lemma quiet_frame s s' :
  (forall p v, st (pages s' p) = Scrubbing v -> st (pages s p) = Scrubbing v) ->
  (forall c i, at_ (cores s' c) = InGuest i ->
     at_ (cores s c) = InGuest i /\ of_vm (vcpus s' i) = of_vm (vcpus s i)) ->
  quiet_ok s -> quiet_ok s'.
Proof. intros P C Q p v c i H A. destruct (C c i A) as [B ->]. eapply Q; eauto. Qed.

(** Whose pages never wait zeroed after such a move? All but VM_RECLAIM's. *)
Definition no_scrubbing (R : page -> page -> Prop) : Prop := forall a b v, R a b -> st b <> Scrubbing v.

Lemma keeps_invariant v R s s' : no_scrubbing R -> keeps v R s s' -> invariant s -> invariant s'.
Proof.
  intros N K [M U Q]. destruct (K M) as [[O P _] M']. split; [auto|eapply running_memory; eauto|].
  revert Q. apply quiet_frame.
  - intros p u E. destruct (P p) as [F|F]; [congruence|]. now apply (N _ _ u) in F.
  - intros c i. destruct O as [_ V C _ _ _]. rewrite C, V. auto.
Qed.

Ltac relations :=
  unfold no_scrubbing, given, lent, unlent, donated, returned, shared, unshared, went_home;
  intros ? ? ? ?; intuition (repeat match goal with H : exists _, _ |- _ => destruct H end; congruence).

Lemma given_no v : no_scrubbing (given v).
Proof. relations. Qed.
Lemma lent_no v : no_scrubbing (lent v).
Proof. relations. Qed.
Lemma unlent_no v : no_scrubbing (unlent v).
Proof. relations. Qed.
Lemma donated_no : no_scrubbing donated.
Proof. relations. Qed.
Lemma returned_no : no_scrubbing returned.
Proof. relations. Qed.
Lemma shared_no v : no_scrubbing (shared v).
Proof. relations. Qed.
Lemma unshared_no v : no_scrubbing (unshared v).
Proof. relations. Qed.
Lemma went_home_no v : no_scrubbing (went_home v).
Proof. relations. Qed.

(** A change of a vCPU, a VM or a core that no vCPU enters. *)
Lemma put_vcpu_quiet s i u : of_vm u = of_vm (vcpus s i) -> quiet_ok s -> quiet_ok (put_vcpu s i u).
Proof.
  intro O. apply quiet_frame; auto. intros c j A. split; [exact A|].
  rewrite vcpus_put. destruct (N.eqb_spec j i); subst; auto.
Qed.
Lemma put_vm_quiet s v r : quiet_ok s -> quiet_ok (put_vm s v r).
Proof. apply quiet_frame; auto. Qed.
Lemma put_mode_quiet s c m : (forall j, m <> InGuest j) -> quiet_ok s -> quiet_ok (put_mode s c m).
Proof.
  intro N. apply quiet_frame; auto. intros d i. rewrite at_put.
  destruct (d =? c); [|auto]. intro E. now apply N in E.
Qed.
Lemma put_power_quiet s c p : quiet_ok s -> quiet_ok (put_power s c p).
Proof.
  apply quiet_frame; auto. intros d i. unfold put_power, with_cores, upd. simpl.
  destruct (N.eqb_spec d c); subst; auto.
Qed.

(** Solves goals about a state of which memory has not changed. *)
Ltac memory_same := apply memory_frame; intros; reflexivity.

Lemma or_refused_invariant s r :
  invariant s -> (forall s' o, r = Ok (s', o) -> invariant s') -> invariant (fst (or_refused s r)).
Proof.
  intros I H. destruct (or_refused s r) as [s' o] eqn:E.
  apply or_refused_cases in E as [E|[-> _]]; [simpl; eauto|exact I].
Qed.

(** ** The calls about VMs *)

Lemma pick_vm_slot_ok s w v : pick_vm_slot s w = Some v -> phase_of s v = None.
Proof.
  unfold pick_vm_slot. intro H.
  assert (F : is_free_slot s v = true).
  { destruct (is_free_slot s (free_slot w)) eqn:E; [congruence|]. now apply find_some in H. }
  unfold is_free_slot, is_live in F. apply andb_prop in F as [_ F].
  unfold phase_of. destruct (phase (vms s v)); [discriminate|auto].
Qed.

Lemma some_ok {A} (m : option A) e a : some m e = Ok a -> m = Some a.
Proof. destruct m; simpl; congruence. Qed.

Theorem vm_create_invariant s w a : invariant s -> invariant (fst (vm_create s w a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  apply some_ok, pick_vm_slot_ok in E0. injection H as <- _. destruct I as [M R Q]. split.
  - apply memory_create; auto. simpl. discriminate.
  - apply running_create; auto.
  - now apply put_vm_quiet.
Qed.

(** The phases that a call allows, one by one. *)
Ltac allowed H :=
  let p := fresh "p" in let P := fresh "P" in let I := fresh "I" in
  apply allows_phase in H as (p & P & I); simpl in I;
  repeat destruct I as [<-|I]; try contradiction.

Lemma set_phase_invariant s v p :
  phase_of s v <> None ->
  (phase_of s v = Some Running -> p = Running \/ p = Dying) ->
  (phase_of s v = Some Dying -> p = Dying) ->
  invariant s -> invariant (put_vm s v (set_phase (vms s v) (Some p))).
Proof.
  intros L R D [M U Q]. split.
  - apply memory_phase; simpl; auto; [discriminate|]. intro H. now rewrite D.
  - apply running_phase; simpl; auto; [discriminate| |].
    + intro H. destruct (R H) as [-> | ->]; auto.
    + intro H. now rewrite D.
  - now apply put_vm_quiet.
Qed.

Theorem vm_start_invariant s w a : invariant s -> invariant (fst (vm_start s w a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  apply vm_for_ok in E as (-> & L & A).
  assert (N : phase_of s (slot_of (x1 a)) <> Some Running /\ phase_of s (slot_of (x1 a)) <> Some Dying).
  { unfold phase_of. allowed A; rewrite P; split; discriminate. }
  destruct (is_held w 0 AtPage); injection H as <- _; apply set_phase_invariant; tauto.
Qed.

Theorem vm_destroy_invariant s w a : invariant s -> invariant (fst (vm_destroy s w a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  apply find_vm_ok in E as (-> & L). injection H as <- _.
  apply set_phase_invariant; auto.
Qed.

Lemma only_memory_inside s s' v : only_memory s s' -> inside s' v = inside s v.
Proof. intros [C V K _ _ _]. unfold inside. now rewrite C, V, K. Qed.

Theorem vm_reclaim_invariant s w a : invariant s -> invariant (fst (vm_reclaim s w a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  apply vm_for_ok in E0 as (-> & L & A).
  assert (D : phase_of s (slot_of (x1 a)) = Some Dying) by (unfold phase_of; allowed A; auto).
  apply andb_prop in C as [C _].
  destruct (inside s (slot_of (x1 a))) eqn:N; [|discriminate].
  pose proof (reclaim_leaves_moves (slot_of (x1 a)) (found w) s a0 D) as K.
  destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in K.
  assert (I1 : invariant s1).
  { destruct I as [M R Q]. destruct (K M) as [[O P _] M1]. split; [auto|eapply running_memory; eauto|].
    intros p v c i Hp Hc. destruct O as [_ V Co _ _ _]. rewrite Co in Hc. rewrite V.
    destruct (P p) as [F|F].
    - rewrite F in Hp. eapply Q; eauto.
    - assert (v = slot_of (x1 a)) as ->.
      { destruct F as [F|[[F|[F|F]] G]]; [|intuition congruence ..].
        exfalso. eapply unlent_no; eauto. }
      eapply not_inside; eauto. }
  destruct (leaves (vms s1 (slot_of (x1 a)))) eqn:Lv; [|injection H as <- _; auto].
  destruct (ends w && (fst n =? 0)); injection H as <- _; [|auto].
  destruct I as [M R Q]. destruct (K M) as [[O _ _] _]. destruct I1 as [M1 R1 Q1]. split.
  - now apply memory_end.
  - apply running_end; [|auto]. now rewrite (only_memory_inside _ _ _ O).
  - revert Q1. apply quiet_frame.
    + intros p v. change (pages (end_vm s1 ?v) p) with (free_table v (pages s1 p)).
      now rewrite free_table_st.
    + intros c i Hc. split; [exact Hc|]. simpl. destruct (existsb _ _); reflexivity.
Qed.

(** ** The calls about vCPUs *)

Lemma put_vcpu_memory s i u : memory_ok s -> memory_ok (put_vcpu s i u).
Proof. memory_same. Qed.

Lemma put_mode_memory s c m : memory_ok s -> memory_ok (put_mode s c m).
Proof. memory_same. Qed.

Lemma put_power_memory s c m : memory_ok s -> memory_ok (put_power s c m).
Proof. memory_same. Qed.

Lemma pick_vcpu_slot_ok s w i :
  pick_vcpu_slot s w = Some i -> place (vcpus s i) = Absent /\ i < vcpus_n (cfg s).
Proof.
  unfold pick_vcpu_slot. intro H.
  assert (F : is_free_vcpu s i = true).
  { destruct (is_free_vcpu s (free_slot w)) eqn:E; [congruence|]. now apply find_some in H. }
  unfold is_free_vcpu, is_there in F. apply andb_prop in F as [B F]. apply N.ltb_lt in B.
  destruct (place (vcpus s i)); try discriminate. auto.
Qed.

Ltac is_settled := unfold settled; simpl; split; [discriminate|intros ? Hx; discriminate Hx].

Theorem vcpu_create_invariant s w a : invariant s -> invariant (fst (vcpu_create s w a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  apply vm_for_ok in E as (-> & L & _). apply some_ok, pick_vcpu_slot_ok in E0 as [E0 Sl].
  injection H as <- _. destruct I as [M R Q]. split.
  - apply put_vcpu_memory, memory_phase; auto.
  - apply andb_prop in C as [C _]. apply negb_true_iff in C3.
    apply running_add_vcpu; auto; simpl; [destruct (members _); is_settled|].
    intros j J Eq. rewrite <- not_true_iff_false in C3. apply C3, existsb_exists.
    exists j. split; [exact J|now apply N.eqb_eq].
  - revert Q. apply quiet_frame; auto. intros c i Hc. split; [exact Hc|].
    rewrite vcpus_put. change (cores (put_vcpu ?s ?i ?u)) with (cores s) in Hc.
    match goal with X : place (vcpus s ?k) = Absent |- _ => destruct (N.eqb_spec i k) as [->|] end;
      [|reflexivity].
    apply (runs_ok s R) in Hc. congruence.
Qed.

Theorem vcpu_enqueue_invariant s w a : invariant s -> invariant (fst (vcpu_enqueue s w a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  destruct I as [M R Q].
  destruct (place (vcpus s a1)) eqn:P; try discriminate; steps H; injection H as <- _;
    (split; [now apply put_vcpu_memory| |now apply put_vcpu_quiet]);
    apply running_settled; auto; try (rewrite P); is_settled.
Qed.

Theorem vcpu_dequeue_invariant s w a : invariant s -> invariant (fst (vcpu_dequeue s w a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  destruct I as [M R Q].
  destruct (place (vcpus s a0)) eqn:P; try discriminate; steps H; injection H as <- _;
    (split; [now apply put_vcpu_memory| |now apply put_vcpu_quiet]);
    apply running_settled; auto; try (rewrite P); is_settled.
Qed.

Lemma complete_same u o a u' : complete u o a = Ok u' -> of_vm u' = of_vm u /\ mpidr u' = mpidr u.
Proof.
  unfold complete. intro H. steps H. injection H as <-.
  destruct (waits_for u), o; try discriminate; injection E as <-; auto.
Qed.

Theorem vcpu_respond_invariant s w c a : invariant s -> invariant (fst (vcpu_respond s w c a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  destruct I as [M R Q].
  destruct (place (vcpus s a1)) eqn:P; try discriminate; steps H; injection H as <- _;
    apply complete_same in E1;
    (split; [now apply put_vcpu_memory| |now apply put_vcpu_quiet]);
    apply running_settled; auto; try (rewrite P); is_settled.
Qed.

Theorem vcpu_inject_invariant s a : invariant s -> invariant (fst (vcpu_inject s a)).
Proof.
  intro I. apply or_refused_invariant; [auto|]. intros s' o H. steps H.
  destruct I as [M R Q]. injection H as <- _.
  split; [now apply put_vcpu_memory|now apply running_same|now apply put_vcpu_quiet].
Qed.

(** ** All of them *)

Theorem host_call_invariant k s w c a :
  runs_host s c = true -> invariant s -> invariant (fst (host_call k s w c a)).
Proof.
  intros H I. destruct k; unfold host_call, told; try exact I.
  - (* ENGINE_DOORBELL *)
    unfold changed. destruct (engine_doorbell s a) as [[s' l]|] eqn:E; [|exact I].
    unfold engine_doorbell in E. steps E. injection E as <- _. destruct I as [M R Q]. split.
    + revert M. memory_same.
    + revert R. apply running_frame; auto.
    + exact Q.
  - exact (keeps_invariant _ _ _ _ donated_no (engine_donate_moves s w a) I).
  - exact (keeps_invariant _ _ _ _ returned_no (engine_reclaim_moves s w a) I).
  - now apply vm_create_invariant.
  - exact (keeps_invariant _ _ _ _ (given_no _) (vm_map_moves s w a) I).
  - exact (keeps_invariant _ _ _ _ (given_no _) (vm_map_list_moves s w a) I).
  - exact (keeps_invariant _ _ _ _ (lent_no _) (vm_lend_moves s w a) I).
  - exact (keeps_invariant _ _ _ _ (unlent_no _) (vm_unlend_moves s w a) I).
  - now apply vm_start_invariant.
  - now apply vm_destroy_invariant.
  - now apply vm_reclaim_invariant.
  - now apply vcpu_create_invariant.
  - now apply vcpu_enqueue_invariant.
  - now apply vcpu_dequeue_invariant.
  - (* CPU_RUN *)
    destruct I as [M R Q]. split; [now apply put_mode_memory| |now apply put_mode_quiet].
    unfold runs_host in H. apply andb_prop in H as [_ H].
    apply running_mode; auto; [|discriminate].
    intros j E. rewrite E in H. destruct (pow (cores s c)); discriminate.
  - now apply vcpu_respond_invariant.
  - now apply vcpu_inject_invariant.
  - exact (keeps_invariant _ _ _ _ donated_no (page_poison_moves s w a) I).
Qed.
