(** * What passes nothing to a VM changes nothing that it sees

    For each event of which [channel] says [None]: another VM's act, a turn of another VM's vCPU, a call of the host's
    that names another or that is refused, an access of the host's to other pages. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide Seen Channel.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Changes Integrity Transactional.
From Bulkhead Require Import Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls Proofs.RunningMoves Proofs.EndOfVm.
From Bulkhead Require Import Proofs.HostCalls Proofs.PageChanges Proofs.OtherChanges Proofs.LeafChanges.
From Bulkhead Require Import Proofs.Faulty Proofs.Config Proofs.Reachable Proofs.SeenVcpus.
Open Scope N_scope.

(** ** What a VM sees depends on this alone *)

(** A page that is the VM's, or lent to it, shows the same. *)
Definition shows_same (a b : page) : Prop :=
  kind_at (st b) = kind_at (st a) /\ broken b = broken a /\ holds b = holds a.

Lemma shows_refl a : shows_same a a.
Proof. repeat split. Qed.

Lemma unseen v s s' :
  memory_ok s -> cfg s' = cfg s -> same_shape (vms s v) (vms s' v) ->
  (forall a, leaf_at s' v a = leaf_at s v a) ->
  (forall i, In i (members (vms s v)) -> same_vcpu (vcpus s i) (vcpus s' i)) ->
  (forall p, names (st (pages s p)) v = true -> shows_same (pages s p) (pages s' p)) ->
  looks_same v s s'.
Proof.
  intros M C Sh L V P. split; auto.
  - intro a. unfold spot_at. rewrite L. destruct (leaf_at s v a) as [l|] eqn:E; [|reflexivity]. simpl.
    destruct (P (to l) (I2_leaves s v a l M E)) as (K & B & H). unfold spot_of. now rewrite K, B, H.
  - intros a b. unfold same_page, leads. rewrite L. destruct (leaf_at s v a); [now rewrite L|reflexivity].
Qed.

(** The VM's slot and all vCPUs of it are as they were. *)
Lemma unseen_pages v s s' :
  memory_ok s -> cfg s' = cfg s -> vms s' v = vms s v -> vcpus s' = vcpus s ->
  (forall p, names (st (pages s p)) v = true -> shows_same (pages s p) (pages s' p)) ->
  looks_same v s s'.
Proof.
  intros M C R V P. apply unseen; auto.
  - rewrite R. apply same_shape_refl.
  - intro a. unfold leaf_at. now rewrite R.
  - intros i _. rewrite V. apply same_vcpu_refl.
Qed.

(** vCPUs change, as the VM does not see, and nothing else. *)
Lemma unseen_vcpu v s i u :
  (In i (members (vms s v)) -> same_vcpu (vcpus s i) u) -> looks_same v s (put_vcpu s i u).
Proof.
  intro U. split; auto using same_shape_refl. intros j H. rewrite vcpus_put. destruct (N.eqb_spec j i) as [->|];
    auto using same_vcpu_refl.
Qed.
Lemma unseen_mode v s t c m : looks_same v s t -> looks_same v s (put_mode t c m).
Proof. intros [A B C D E]. split; auto. Qed.

(** Moves of another VM's memory, or of no VM's. *)
Lemma unseen_moves v u (R : page -> page -> Prop) s s' :
  memory_ok s -> keeps u R s s' -> u <> Some v -> faults_same s s' ->
  (forall a b, R a b -> names (st a) v = true -> kind_at (st b) = kind_at (st a) /\ holds b = holds a) ->
  looks_same v s s'.
Proof.
  intros M K D F H. destruct (keeps_others _ _ _ _ M K) as [Ev Em]. destruct (K M) as [[O P _] _].
  apply unseen_pages; auto.
  - apply (om_cfg _ _ O).
  - destruct (Em v) as [|[E _]]; [auto|congruence].
  - intros p Np. destruct (P p) as [E|E]; [rewrite E; apply shows_refl|].
    destruct (H _ _ E Np) as [X Y]. split; [exact X|]. split; [apply F|exact Y].
Qed.

Ltac not_mine :=
  let S := fresh in
  unfold given, lent, unlent, donated, returned, same_content;
  intros ? ? S Nm; exfalso;
  repeat match type of S with _ /\ _ => destruct S as [S _] end;
  repeat match goal with
  | X : _ \/ _ |- _ => destruct X
  | X : exists _, _ |- _ => destruct X
  | X : st ?a = _ |- _ => rewrite X in Nm; clear X
  end; simpl in Nm; try discriminate; apply N.eqb_eq in Nm; congruence.

(** ** The host's calls *)

Lemma refused_unseen v s k w c a s' e :
  memory_ok s -> host_call k s w c a = (s', No e) -> looks_same v s s'.
Proof.
  intros M H. destruct (transactional _ _ _ _ _ _ _ H) as [-> |X]; [apply looks_same_refl|].
  destruct X as [u|p _ S].
  - apply unseen; auto using shows_refl, same_vcpu_refl.
    + simpl. unfold upd. destruct (N.eqb_spec v u) as [->|]; split; reflexivity.
    + intro b. unfold leaf_at. simpl. unfold upd. destruct (N.eqb_spec v u) as [->|]; reflexivity.
  - apply unseen_pages; auto. intros q Nq. unfold poisoned. rewrite pages_put.
    destruct (N.eqb_spec q p) as [->|]; [|apply shows_refl]. rewrite S in Nq. discriminate.
Qed.

Lemma or_refused_inv s r s' l :
  or_refused s r = (s', Ok l) -> r = Ok (s', Ok l).
Proof. intro H. apply or_refused_cases in H as [H|(_ & e & _ & H)]; [exact H|discriminate]. Qed.

Section Call.
  Variables (v : N) (s : state) (w : weather) (c : N) (a : args) (s' : state) (l : list N).
  Hypothesis I : invariant s.
  Let M : memory_ok s := inv_memory _ I.

  Lemma member_of i : In i (members (vms s v)) -> of_vm (vcpus s i) = v.
  Proof. intro H. now apply (there_ok _ (inv_running _ I)) in H. Qed.

  (** A call that names another VM: this one keeps its slot. *)
  Lemma other_slot u r : u <> v -> vms (put_vm s u r) v = vms s v.
  Proof. intro D. rewrite vms_put. destruct (N.eqb_spec v u); congruence. Qed.

  Lemma reclaim_unseen : slot_of (x1 a) <> v -> vm_reclaim s w a = (s', Ok l) -> looks_same v s s'.
  Proof.
    intros D H. pose proof (call_faults VM_RECLAIM s w c a) as F. unfold host_call in F. rewrite H in F.
    pose proof (vm_reclaim_pages s w a) as P. rewrite H in P. simpl in P, F.
    apply or_refused_inv in H. steps H.
    apply vm_for_ok in E0 as (-> & L & A).
    assert (Dy : phase_of s (slot_of (x1 a)) = Some Dying) by (unfold phase_of; allowed A; auto).
    pose proof (reclaim_leaves_moves (slot_of (x1 a)) (found w) s a0 Dy) as K.
    destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in K.
    destruct (keeps_others _ _ _ _ M K) as [Ev Em]. destruct (K M) as [[O _ _] _].
    assert (Vm1 : vms s1 v = vms s v) by (destruct (Em v) as [|[E' _]]; congruence).
    assert (Pg : forall p, names (st (pages s p)) v = true -> shows_same (pages s p) (pages s' p)).
    { intros p Np. destruct (P p I) as [E'|(_ & _ & [R|[U U']])].
      - rewrite E'. apply shows_refl.
      - exfalso. destruct R as [([k S] & _)|[[S|[S|S]] _]]; rewrite S in Np; simpl in Np;
          apply N.eqb_eq in Np; congruence.
      - split; [now rewrite U|]. split; [apply F|exact U']. }
    assert (Plain : s' = s1 -> looks_same v s s').
    { intros ->. apply unseen_pages; auto. apply (om_cfg _ _ O). }
    destruct (leaves (vms s1 (slot_of (x1 a)))); [|injection H as <- _; now apply Plain].
    destruct (ends w && (fst n =? 0)); injection H as <- _; [|now apply Plain].
    assert (Vm2 : vms (end_vm s1 (slot_of (x1 a))) v = vms s v).
    { unfold end_vm. simpl. unfold upd. destruct (N.eqb_spec v (slot_of (x1 a))); congruence. }
    apply unseen; auto.
    - apply (om_cfg _ _ O).
    - rewrite Vm2. apply same_shape_refl.
    - intro b. unfold leaf_at. now rewrite Vm2.
    - intros i J. unfold end_vm. simpl. rewrite Ev, (om_members _ _ _ O).
      destruct (existsb _ _) eqn:X; [|apply same_vcpu_refl]. exfalso.
      apply member_true in X. apply (there_ok _ (inv_running _ I)) in X as [_ X].
      apply member_of in J. congruence.
  Qed.

  Theorem call_unseen k : host_call k s w c a = (s', Ok l) -> by_call v s w k a s' = None -> looks_same v s s'.
  Proof.
    intros H B. pose proof (call_faults k s w c a) as F. rewrite H in F. cbn [fst] in F.
    assert (Named : forall X : option message, (if slot_of (x1 a) =? v then X else None) = None ->
              X <> None -> slot_of (x1 a) <> v).
    { intros X Y Z E. apply N.eqb_eq in E. rewrite E in Y. contradiction. }
    destruct k; unfold host_call, told, changed in H; unfold by_call in B;
      try (injection H as <- _; apply looks_same_refl).
    - destruct (engine_doorbell s a) as [[]|] eqn:E; [|discriminate]. injection H as <- _.
      unfold engine_doorbell in E. steps E. injection E as <- _. apply unseen;
        auto using same_shape_refl, shows_refl, same_vcpu_refl.
    - pose proof (engine_donate_moves s w a) as K. rewrite H in K.
      apply (unseen_moves v None donated); auto; [discriminate|not_mine].
    - pose proof (engine_reclaim_moves s w a) as K. rewrite H in K.
      apply (unseen_moves v None returned); auto; [discriminate|not_mine].
    - (* VM_CREATE *)
      apply or_refused_inv in H. steps H. apply some_ok in E0. injection H as <- _.
      rewrite E, E0 in B. destruct (N.eqb_spec a1 v) as [->|D]; [discriminate|].
      apply unseen_pages; auto using shows_refl. now apply other_slot.
    - apply Named in B; [|discriminate]. pose proof (vm_map_moves s w a) as K. rewrite H in K.
      apply (unseen_moves v (Some (slot_of (x1 a))) (given (slot_of (x1 a)))); auto; [congruence|not_mine].
    - apply Named in B; [|discriminate]. pose proof (vm_map_list_moves s w a) as K. rewrite H in K.
      apply (unseen_moves v (Some (slot_of (x1 a))) (given (slot_of (x1 a)))); auto; [congruence|not_mine].
    - apply Named in B; [|discriminate]. pose proof (vm_lend_moves s w a) as K. rewrite H in K.
      apply (unseen_moves v (Some (slot_of (x1 a))) (lent (slot_of (x1 a)))); auto; [congruence|not_mine].
    - apply Named in B; [|discriminate]. pose proof (vm_unlend_moves s w a) as K. rewrite H in K.
      apply (unseen_moves v (Some (slot_of (x1 a))) (unlent (slot_of (x1 a)))); auto; [congruence|not_mine].
    - (* VM_START *)
      apply or_refused_inv in H. steps H. destruct (is_held w 0 AtPage); [discriminate|]. injection H as <- _.
      apply unseen; auto using shows_refl, same_vcpu_refl.
      + simpl. unfold upd. destruct (N.eqb_spec v a0) as [->|]; split; reflexivity.
      + intro b. unfold leaf_at. simpl. unfold upd. destruct (N.eqb_spec v a0) as [->|]; reflexivity.
    - (* VM_DESTROY *)
      apply or_refused_inv in H. steps H. injection H as <- _.
      apply unseen; auto using shows_refl, same_vcpu_refl.
      + simpl. unfold upd. destruct (N.eqb_spec v a0) as [->|]; split; reflexivity.
      + intro b. unfold leaf_at. simpl. unfold upd. destruct (N.eqb_spec v a0) as [->|]; reflexivity.
    - apply Named in B; [|discriminate]. now apply reclaim_unseen.
    - (* VCPU_CREATE *)
      apply or_refused_inv in H. steps H. apply vm_for_ok in E as (-> & _). apply some_ok in E0.
      rewrite E0 in B. apply Named in B; [|discriminate]. injection H as <- _.
      apply looks_same_trans with (put_vm s (slot_of (x1 a)) (set_members (vms s (slot_of (x1 a))) (members (vms s
        (slot_of (x1 a))) ++ [a1]))).
      + apply unseen_pages; auto using shows_refl. now apply other_slot.
      + apply unseen_vcpu. intro J. exfalso. rewrite other_slot in J by assumption.
        apply (there_ok _ (inv_running _ I)) in J as [J _]. now apply pick_vcpu_slot_ok in E0.
    - (* VCPU_ENQUEUE *)
      apply or_refused_inv in H. steps H. apply vcpu_for_ok in E0 as ->.
      destruct (place (vcpus s (slot_of (x1 a)))) eqn:Pl; try discriminate; steps H; injection H as <- _;
        unfold moved; apply unseen_vcpu; auto; intro J.
      + apply member_of in J. apply N.eqb_eq in J. rewrite J in B. discriminate.
      + apply same_vcpu_trans with (set_place (vcpus s (slot_of (x1 a))) Parked); [|now apply seen_place;
        auto using same_vcpu_refl].
        split; auto. unfold power_seen_of. rewrite Pl. reflexivity.
      + apply same_vcpu_trans with (set_place (vcpus s (slot_of (x1 a))) Parked); [|now apply seen_place;
        auto using same_vcpu_refl].
        split; auto. unfold power_seen_of. rewrite Pl. reflexivity.
    - (* VCPU_DEQUEUE *)
      apply or_refused_inv in H. steps H. apply find_vcpu_ok in E as ->.
      destruct (place (vcpus s (slot_of (x1 a)))) eqn:Pl; try discriminate; steps H; injection H as <- _.
      unfold moved. apply unseen_vcpu; auto. intro J. split; auto. unfold power_seen_of. now rewrite Pl.
    - (* CPU_RUN *)
      injection H as <- _. apply unseen_mode, looks_same_refl.
    - (* VCPU_RESPOND *)
      apply or_refused_inv in H. steps H. apply vcpu_for_ok in E0 as ->.
      destruct (N.eqb_spec (of_vm (vcpus s (slot_of (x1 a)))) v) as [|D]; [discriminate|].
      destruct (place (vcpus s (slot_of (x1 a)))) eqn:Pl; try discriminate; steps H; injection H as <- _;
        apply unseen_vcpu; auto; intro J; apply member_of in J; contradiction.
    - (* VCPU_INJECT *)
      apply or_refused_inv in H. steps H. apply vcpu_for_ok in E0 as ->.
      destruct (N.eqb_spec (of_vm (vcpus s (slot_of (x1 a)))) v) as [|D]; [discriminate|].
      injection H as <- _. apply unseen_vcpu; auto. intro J. apply member_of in J. contradiction.
    - pose proof (page_poison_moves s w a) as K. rewrite H in K.
      apply (unseen_moves v None donated); auto; [discriminate|not_mine].
  Qed.
End Call.

(** ** Turns, and the host beside its calls *)

Lemma runs_seen s i c q :
  invariant s -> at_ (cores s c) = InGuest i -> q = Parked \/ (exists d, q = Queued d) ->
  same_vcpu (vcpus s i) (set_place (vcpus s i) q).
Proof.
  intros I A Q. apply (runs_ok _ (inv_running _ I)) in A. split; auto.
  unfold power_seen_of. rewrite A. destruct Q as [->|[d ->]]; reflexivity.
Qed.

Lemma turn_unseen v s c t :
  invariant s ->
  (forall i j, t = Pick i -> at_ (cores s c) = InRun -> at_ (cores (fst (take_turn s c t)) c) = InGuest j ->
     of_vm (vcpus s i) <> v) ->
  looks_same v s (fst (take_turn s c t)).
Proof.
  intros I N. unfold take_turn in *.
  assert (Ready : forall i l, looks_same v s (put_vm s (of_vm (vcpus s i)) (set_ready (vms s (of_vm (vcpus s i))) l))).
  { intros i l. apply unseen; auto using shows_refl, same_vcpu_refl, (inv_memory _ I).
    + simpl. unfold upd. destruct (N.eqb_spec v (of_vm (vcpus s i))) as [->|]; split; reflexivity.
    + intro b. unfold leaf_at. simpl. unfold upd. destruct (N.eqb_spec v (of_vm (vcpus s i))) as [->|]; reflexivity. }
  destruct (at_ (cores s c)) as [| |i|] eqn:A, t as [j|j| | |why d]; try apply looks_same_refl.
  - unfold pick in *. destruct (place (vcpus s j)) eqn:P; try apply looks_same_refl.
    destruct (_ && _); [|apply looks_same_refl].
    assert (Parks : looks_same v s (put_vcpu s j (set_place (vcpus s j) Parked))).
    { apply unseen_vcpu. intros _. split; auto. unfold power_seen_of. rewrite P. reflexivity. }
    destruct (phase (vms s (of_vm (vcpus s j)))) as [[]|]; simpl; try exact Parks.
    apply unseen_mode, unseen_vcpu. intro J. exfalso. apply (N j j); auto.
    + simpl. unfold upd. now rewrite N.eqb_refl.
    + now apply (member_of v s I).
  - unfold tell_first. destruct (place (vcpus s j)) eqn:P, (phase (vms s (of_vm (vcpus s j)))) as [[]|]; try apply looks_same_refl.
    destruct (_ && _); [|apply looks_same_refl].
    unfold tell_ready. destruct (tell_of _ _ _) as [[|k told] kept]; [apply Ready|].
    unfold exit_to_host. simpl. apply unseen_mode.
    eapply looks_same_trans; [apply Ready|apply unseen_vcpu; intros _].
    change (vcpus (put_vm s ?u ?r) j) with (vcpus s j).
    split; auto. unfold power_seen_of. simpl. rewrite P. reflexivity.
  - destruct (may_stop s c why); [apply unseen_mode|]; apply looks_same_refl.
  - unfold tell_ready. destruct (tell_of _ _ _) as [[|k told] kept]; [apply Ready|].
    unfold exit_to_host. simpl. apply unseen_mode.
    eapply looks_same_trans; [apply Ready|apply unseen_vcpu; intros _;
      exact (runs_seen s i c (Queued c) I A (or_intror (ex_intro _ c eq_refl)))].
  - unfold leave.
    assert (Parks : looks_same v s (put_mode (put_vcpu s i (set_place (vcpus s i) Parked)) c InRun)).
    { apply unseen_mode, unseen_vcpu. intros _. eapply runs_seen; eauto. }
    destruct (phase _) as [[]|]; first [exact Parks|apply looks_same_refl].
Qed.

Lemma put_page_unseen v s p pg :
  invariant s -> (names (st (pages s p)) v = true -> shows_same (pages s p) pg) -> looks_same v s (put_page s p pg).
Proof.
  intros I H. apply unseen_pages; auto using (inv_memory _ I).
  intros q N. rewrite pages_put. destruct (N.eqb_spec q p) as [->|]; auto using shows_refl.
Qed.

Lemma same_but_cores v s s' :
  cfg s' = cfg s -> pages s' = pages s -> vms s' = vms s -> vcpus s' = vcpus s -> looks_same v s s'.
Proof.
  intros C P V U. split; auto; unfold same_page, leads, spot_at, spot_of, leaf_at; rewrite ?V, ?P, ?U;
    auto using same_shape_refl, same_vcpu_refl.
Qed.

Theorem silent_unseen v s w e :
  reachable s -> channel v s w e = None -> looks_same v s (fst (step s w e)).
Proof.
  intros R C. pose proof (reachable_invariant s R) as I. unfold channel in C.
  destruct (machine_off s) eqn:Off; [unfold step; rewrite Off; apply looks_same_refl|].
  destruct e as [c h|c t|c g|h].
  - unfold step. rewrite Off. destruct (runs_host s c) eqn:H; [|apply looks_same_refl].
    destruct h as [imm x0 a|imm x0 y1 y2 y3|p i|p i x]; unfold host_does.
    + unfold host_hvc. simpl in C. destruct (imm =? 0); [|apply looks_same_refl].
      destruct (call_of x0) as [k|]; [|apply looks_same_refl].
      destruct (host_call k s w c a) as [s' [l|e]] eqn:E; simpl.
      * eapply call_unseen; eauto.
      * eapply refused_unseen; [apply (inv_memory _ I)|exact E].
    + unfold host_smc. destruct (negb _); [apply looks_same_refl|].
      destruct (decode_psci _ _ _ _) as [q|]; [|destruct (classify_smc _ _); apply looks_same_refl].
      assert (Q : looks_same v s (fst (host_psci s c q))).
      { destruct q; simpl; try apply looks_same_refl; try (now apply same_but_cores).
        - destruct (has_queued s c); [apply looks_same_refl|now apply same_but_cores].
        - destruct (host_cpu_on _ _ _); [now apply same_but_cores|apply looks_same_refl]. }
      destruct (host_psci s c q) as [s' z]. destruct (machine_off s'); exact Q.
    + apply looks_same_refl.
    + unfold host_store. destruct (host_may (st (pages s p)) && negb (broken (pages s p))); [|apply looks_same_refl].
      apply put_page_unseen; auto. intro N. simpl in C. rewrite N in C. discriminate.
  - unfold step in *. rewrite Off in *. destruct (c <? cores_n (cfg s)) eqn:B; [|apply looks_same_refl].
    apply turn_unseen; [exact I|]. intros i j -> Ar Ag O. rewrite Ar, Ag in C. apply N.eqb_eq in O.
    rewrite O in C. discriminate.
  - destruct (at_ (cores s c)) as [| |i|] eqn:A;
      try (unfold step, guest_act; rewrite Off, A; destruct (c <? cores_n (cfg s)); apply looks_same_refl).
    destruct (N.eqb_spec (of_vm (vcpus s i)) v) as [|D]; [discriminate|].
    destruct (vms_are_apart s w c i g v R A (not_eq_sym D)) as (V & U & P & _).
    apply unseen; auto using (inv_memory _ I).
    + now apply step_cfg.
    + rewrite V. apply same_shape_refl.
    + intro b. unfold leaf_at. now rewrite V.
    + intros j J. rewrite U; [apply same_vcpu_refl|now apply (member_of v s I)].
    + intros p N. rewrite P by exact N. apply shows_refl.
  - unfold step. rewrite Off. destruct h as [p|d|d|p|p o|p]; simpl.
    + apply put_page_unseen; auto. intro N. rewrite N in C. discriminate.
    + destruct (at_ (cores s d)); first [apply looks_same_refl|now apply same_but_cores].
    + destruct (pow (cores s d)); first [apply looks_same_refl|now apply same_but_cores].
    + destruct (host_may _); [|apply looks_same_refl]. apply put_page_unseen; auto. repeat split.
    + destruct (st (pages s p)); try apply looks_same_refl. destruct (use (pages s p)); try apply looks_same_refl.
      destruct o as [u|]; [destruct (is_live _)|]; try apply looks_same_refl;
        apply put_page_unseen; auto; repeat split.
    + destruct (use (pages s p)) as [|[u|]]; [|destruct (has_gone_home _)|]; try apply looks_same_refl;
        apply put_page_unseen; auto; repeat split.
Qed.
