(** * Nothing else changes a vCPU or a VM's slot *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Changes Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls.
From Bulkhead Require Import Proofs.RunningMoves Proofs.EndOfVm Proofs.HostCalls Proofs.GuestSteps.
Open Scope N_scope.

(** ** What the host's calls about memory leave alone *)

Lemma only_memory_vm s s' v : only_memory s s' -> vms s' v = set_leaves (vms s v) (leaves (vms s' v)).
Proof.
  intro O. pose proof (om_vms _ _ O v) as E.
  destruct (vms s' v), (vms s v). unfold set_leaves in *. simpl in *. congruence.
Qed.

(** A move of one VM's memory: no vCPU changes, of the VMs only that one, and of it only the table. *)
Lemma keeps_others v R s s' :
  memory_ok s -> keeps v R s s' ->
  vcpus s' = vcpus s
  /\ forall u, vms s' u = vms s u
               \/ (Some u = v /\ vms s' u = set_leaves (vms s u) (leaves (vms s' u))).
Proof.
  intros M K. destruct (K M) as [[O _ L] _]. split; [apply (om_vcpus _ _ O)|].
  intro u. pose proof (only_memory_vm _ _ u O) as E.
  destruct v as [w|].
  - destruct (N.eq_dec u w) as [->|D]; [auto|]. left. rewrite E, L by congruence.
    now destruct (vms s u).
  - left. rewrite E, L by discriminate. now destruct (vms s u).
Qed.

(** ** The host's calls *)

Section Call.
  Variables (s : state) (w : weather) (c x0 : N) (a : args).
  Let e := ByHost c (HostHvc 0 x0 a).

  (** Each vCPU and each VM is as before, or changed as the lists say. *)
  Definition accounted (s' : state) : Prop :=
    (forall i, vcpus s' i = vcpus s i \/ vcpu_changes s e i (vcpus s i) (vcpus s' i))
    /\ (forall v, vms s' v = vms s v \/ vm_changes s e v (vms s v) (vms s' v)).

  Lemma accounted_same : accounted s.
  Proof. split; auto. Qed.

  Lemma accounted_refused r :
    (forall s' o, r = Ok (s', o) -> accounted s') -> accounted (fst (or_refused s r)).
  Proof.
    intro H. destruct (or_refused s r) as [s' o] eqn:E.
    apply or_refused_cases in E as [E|[-> _]]; [simpl; eauto|apply accounted_same].
  Qed.

  Lemma accounted_memory k v R s' :
    memory_ok s -> In k [VM_MAP; VM_MAP_LIST; VM_LEND; VM_UNLEND; VM_RECLAIM] -> is_call k a e ->
    v = None \/ v = Some (slot_of (x1 a)) ->
    keeps v R s s' -> accounted s'.
  Proof.
    intros M Ik Ic V K. destruct (keeps_others _ _ _ _ M K) as [Ev Em]. split.
    - intro i. left. now rewrite Ev.
    - intro u. destruct (Em u) as [E|[E F]]; [auto|right].
      destruct V as [V|V]; [congruence|]. eapply m_memory; eauto. congruence.
  Qed.

  Lemma accounted_none R s' : memory_ok s -> keeps None R s s' -> accounted s'.
  Proof.
    intros M K. destruct (keeps_others _ _ _ _ M K) as [Ev Em]. split.
    - intro i. left. now rewrite Ev.
    - intro u. destruct (Em u) as [E|[E _]]; [auto|discriminate].
  Qed.

  (** One vCPU changes. *)
  Lemma accounted_vcpu i u : vcpu_changes s e i (vcpus s i) u -> accounted (put_vcpu s i u).
  Proof.
    intro H. split; [|auto]. intro j. rewrite vcpus_put. destruct (N.eqb_spec j i); subst; auto.
  Qed.

  (** One VM changes. *)
  Lemma vms_put v r u : vms (put_vm s v r) u = if u =? v then r else vms s u.
  Proof. reflexivity. Qed.
  Lemma accounted_vm v r : vm_changes s e v (vms s v) r -> accounted (put_vm s v r).
  Proof.
    intro H. split; [auto|]. intro u. rewrite vms_put. destruct (N.eqb_spec u v); subst; auto.
  Qed.

  Lemma find_vcpu_ok h i : find_vcpu s h = Ok i -> i = slot_of h.
  Proof. unfold find_vcpu. intro H. steps H. congruence. Qed.
  Lemma vcpu_for_ok k h i : vcpu_for s k h = Ok i -> i = slot_of h.
  Proof. unfold vcpu_for. intro H. steps H. apply find_vcpu_ok in E. congruence. Qed.

  Theorem call_accounted k :
    invariant s -> call_of x0 = Some k -> accounted (fst (host_call k s w c a)).
  Proof.
    intros I N. pose proof (inv_memory _ I) as M.
    assert (Is : is_call k a e) by now constructor.
    destruct k; unfold host_call, told; try apply accounted_same.
    - unfold changed. destruct (engine_doorbell s a) as [[s' l]|] eqn:E; [|apply accounted_same].
      unfold engine_doorbell in E. steps E. injection E as <- _. split; auto.
    - eapply accounted_none; [auto|apply engine_donate_moves].
    - eapply accounted_none; [auto|apply engine_reclaim_moves].
    - (* VM_CREATE *)
      apply accounted_refused. intros s' o H. steps H.
      apply some_ok, pick_vm_slot_ok in E0. injection H as <- _.
      apply accounted_vm. eapply m_created; eauto; reflexivity.
    - eapply accounted_memory; [auto| |eauto|right; reflexivity|apply vm_map_moves]. simpl. auto.
    - eapply accounted_memory; [auto| |eauto|right; reflexivity|apply vm_map_list_moves]. simpl. auto.
    - eapply accounted_memory; [auto| |eauto|right; reflexivity|apply vm_lend_moves]. simpl. auto.
    - eapply accounted_memory; [auto| |eauto|right; reflexivity|apply vm_unlend_moves]. simpl. auto.
    - (* VM_START *)
      apply accounted_refused. intros s' o H. steps H. apply vm_for_ok in E as (-> & _).
      destruct (is_held w 0 AtPage); injection H as <- _; apply accounted_vm;
        (eapply m_phase; [| |reflexivity|reflexivity]); eauto; simpl; auto.
    - (* VM_DESTROY *)
      apply accounted_refused. intros s' o H. steps H. apply find_vm_ok in E as (-> & _).
      injection H as <- _. apply accounted_vm.
      eapply m_phase; [| |reflexivity|reflexivity]; eauto; simpl; auto.
    - (* VM_RECLAIM *)
      apply accounted_refused. intros s' o H. steps H.
      apply vm_for_ok in E0 as (-> & L & A).
      assert (D : phase_of s (slot_of (x1 a)) = Some Dying) by (unfold phase_of; allowed A; auto).
      pose proof (reclaim_leaves_moves (slot_of (x1 a)) (found w) s a0 D) as K.
      destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in K.
      assert (Plain : accounted s1).
      { eapply accounted_memory; [auto| |eauto|right; reflexivity|exact K]. simpl. auto 6. }
      destruct (leaves (vms s1 (slot_of (x1 a)))) eqn:Lv; [|injection H as <- _; exact Plain].
      destruct (ends w && (fst n =? 0)); injection H as <- _; [|exact Plain].
      destruct (keeps_others _ _ _ _ M K) as [Ev Em].
      destruct (K M) as [[O _ _] M1].
      split.
      + intro i. unfold end_vm. simpl. rewrite !Ev.
        destruct (existsb _ _) eqn:X; [right|auto].
        apply member_true in X. rewrite (om_members _ _ _ O) in X.
        apply (there_ok _ (inv_running _ I)) in X as [_ X]. eapply v_freed; eauto.
      + intro u. unfold end_vm. cbn [vms with_pages with_vcpus put_vm with_vms]. unfold upd.
        destruct (N.eqb_spec u (slot_of (x1 a))) as [->|Du].
        * right. eapply m_freed; eauto.
        * destruct (Em u) as [F|[F _]]; [auto|congruence].
    - (* VCPU_CREATE *)
      apply accounted_refused. intros s' o H. steps H.
      apply vm_for_ok in E as (-> & _). apply some_ok, pick_vcpu_slot_ok in E0 as [E0 _].
      injection H as <- _. split.
      + intro j. rewrite vcpus_put.
        match goal with |- context [j =? ?k] => destruct (N.eqb_spec j k) as [->|] end; [|auto].
        right. eapply v_created; eauto.
      + intro u. change (vms (put_vcpu ?t ?i ?r) u) with (vms t u). rewrite vms_put.
        destruct (N.eqb_spec u (slot_of (x1 a))) as [->|]; [|auto].
        right. eapply m_member; eauto.
    - (* VCPU_ENQUEUE *)
      apply accounted_refused. intros s' o H. steps H. apply vcpu_for_ok in E0 as ->.
      destruct (place (vcpus s (slot_of (x1 a)))); try discriminate; steps H; injection H as <- _;
        apply accounted_vcpu; (eapply v_queued; [| |reflexivity|reflexivity]); eauto; simpl; auto.
    - (* VCPU_DEQUEUE *)
      apply accounted_refused. intros s' o H. steps H. apply find_vcpu_ok in E as ->.
      destruct (place (vcpus s (slot_of (x1 a)))); try discriminate; steps H; injection H as <- _;
        apply accounted_vcpu; (eapply v_queued; [| |reflexivity|reflexivity]); eauto; simpl; auto.
    - (* VCPU_RESPOND *)
      apply accounted_refused. intros s' o H. steps H. apply vcpu_for_ok in E0 as ->.
      destruct (place (vcpus s (slot_of (x1 a)))); try discriminate; steps H; injection H as <- _;
        apply accounted_vcpu; eapply v_answered; eauto.
    - (* VCPU_INJECT *)
      apply accounted_refused. intros s' o H. steps H. apply vcpu_for_ok in E0 as ->.
      injection H as <- _. apply accounted_vcpu. eapply v_injected; eauto.
    - eapply accounted_none; [auto|apply page_poison_moves].
  Qed.
End Call.

(** ** Guests *)

Definition accounts (s : state) (e : event) (s' : state) : Prop :=
  (forall i, vcpus s' i = vcpus s i \/ vcpu_changes s e i (vcpus s i) (vcpus s' i))
  /\ (forall v, vms s' v = vms s v \/ vm_changes s e v (vms s v) (vms s' v)).

Lemma accounts_same s e : accounts s e s.
Proof. split; auto. Qed.

Section Act.
  Variables (s : state) (c i : N) (g : act).
  Hypothesis running : at_ (cores s c) = InGuest i.
  Hypothesis fine : invariant s.
  Let e := ByGuest c g.
  Let v := of_vm (vcpus s i).

  Lemma acc_own s0 u : accounts s e s0 -> same_id u (vcpus s i) -> accounts s e (put_vcpu s0 i u).
  Proof.
    intros [A B] [O P]. split; [|exact B]. intro j. rewrite vcpus_put.
    destruct (N.eqb_spec j i) as [->|]; [right|apply A].
    eapply v_own; [reflexivity|exact running|exact O|exact P].
  Qed.

  Lemma acc_exit s0 u why d :
    accounts s e s0 -> same_id u (vcpus s i) -> accounts s e (fst (exit_to_host s0 c i u why d)).
  Proof.
    intros A O. unfold exit_to_host. simpl.
    change (accounts s e (put_vcpu s0 i (set_place (if is_end why then set_waits u Ended else u) (place_after why c)))).
    apply acc_own; [auto|]. destruct (is_end why); simpl; auto.
  Qed.

  Lemma acc_end s0 u : accounts s e s0 -> same_id u (vcpus s i) -> accounts s e (fst (end_turn s0 c i u)).
  Proof. intros A O. apply (acc_own s0 (set_place u (Queued c))); auto. Qed.

  Lemma acc_resume s0 u : accounts s e s0 -> same_id u (vcpus s i) -> accounts s e (fst (resume s0 i u)).
  Proof. intros A O. now apply acc_own. Qed.

  Lemma acc_pages s0 p pg : accounts s e s0 -> accounts s e (put_page s0 p pg).
  Proof. auto. Qed.

  Lemma acc_moves R s0 : keeps (Some v) R s s0 -> accounts s e s0.
  Proof.
    intro K. destruct (keeps_others _ _ _ _ (inv_memory _ fine) K) as [Ev Em]. split.
    - intro j. left. now rewrite Ev.
    - intro u. destruct (Em u) as [E|[E F]]; [auto|right].
      eapply m_guest; [reflexivity|exact running|injection E; auto|].
      rewrite F at 1. injection E as ->. destruct (vms s0 v) eqn:V, (vms s v) eqn:V'.
      unfold set_leaves in F. simpl in *. injection F. intros. subst. reflexivity.
  Qed.

  Lemma acc_page_call ipa o :
    (forall s', did o = Some s' -> exists R, keeps (Some v) R s s') ->
    accounts s e (fst (answer_page_call s c i ipa o)).
  Proof.
    intro K. unfold answer_page_call. destruct o; cbv zeta;
      try (apply acc_exit; [apply accounts_same|simpl; auto]; fail);
      try (apply acc_resume; [apply accounts_same|simpl; auto]; fail);
      try apply accounts_same.
    - destruct (K s0) as [R Q]; [auto|]. apply acc_resume; [eapply acc_moves; eauto|simpl; auto].
    - destruct (K s0) as [R Q]; [auto|]. apply acc_exit; [eapply acc_moves; eauto|simpl; auto].
    - destruct (K s0) as [R Q]; [auto|]. apply acc_exit; [eapply acc_moves; eauto|simpl; auto].
  Qed.

  Lemma acc_psci w imm q : g = Hvc imm -> accounts s e (fst (guest_psci s w c i q)).
  Proof.
    intro G. unfold guest_psci. destruct q; cbv zeta;
      try (apply acc_exit; [apply accounts_same|simpl; auto]; fail);
      try (apply acc_resume; [apply accounts_same|simpl; auto]; fail).
    - destruct (check_suspend _ _ _);
        [apply acc_resume|apply acc_end]; simpl; auto; apply accounts_same.
    - match goal with |- context [cpu_on ?a ?b ?d ?t ?f] => destruct (cpu_on a b d t f) as [j|z] eqn:E end;
        [|apply acc_resume; [apply accounts_same|simpl; auto]].
      apply acc_exit; [|simpl; auto].
      unfold cpu_on in E. destruct (by_affinity _ _ _) as [k|] eqn:B; [|discriminate].
      destruct (entry_ok _ _); [|discriminate]. simpl in E.
      destruct (place (vcpus s k)) eqn:P; try discriminate.
      destruct (is_held w 0 AtPage); [discriminate|]. injection E as ->.
      unfold by_affinity in B. destruct (is_affinity target); [|discriminate].
      apply find_some in B as [J _]. apply (there_ok _ (inv_running _ fine)) in J as [_ J].
      split; [|auto]. intro j'. rewrite vcpus_put. destruct (N.eqb_spec j' j) as [->|]; [right|auto].
      unfold e. rewrite G. eapply v_turned_on; [reflexivity|exact running|symmetry; exact J|exact P|reflexivity].
  Qed.

  Lemma acc_hvc w imm : g = Hvc imm -> accounts s e (fst (guest_hvc s w c i imm)).
  Proof.
    intro G. unfold guest_hvc. destruct (classify _ _ _ _ _ _);
      try (apply acc_exit; [apply accounts_same|simpl; auto]; fail);
      try (apply acc_resume; [apply accounts_same|simpl; auto]; fail).
    - eapply acc_psci; eauto.
    - apply acc_page_call. intros s' E. eexists. eapply share_keeps; eauto.
    - apply acc_page_call. intros s' E. eexists. eapply unshare_keeps; eauto.
    - apply acc_page_call. intros s' E. eexists. eapply relinquish_keeps; eauto.
  Qed.

  Lemma acc_touch w a : accounts s e (fst (touch s w c i a)).
  Proof.
    unfold touch. destruct (lookup _ _) as [l|].
    - destruct (allows l (kind a)); [|apply acc_resume; auto; apply accounts_same].
      destruct (broken _); [apply acc_exit; [apply accounts_same|auto]|].
      destruct (kind a); [| |apply accounts_same].
      + apply acc_resume; [apply accounts_same|]. unfold set_reg. destruct (_ =? 31); auto.
      + apply acc_resume; auto; apply acc_pages; apply accounts_same.
    - destruct (holds_ram _ _ _); [apply acc_exit; [apply accounts_same|auto]|].
      unfold touch_device. destruct (negb (plain a)); [apply acc_resume; auto; apply accounts_same|].
      destruct (kind a); try destruct (in_frames _ _);
        try (apply acc_exit; [apply accounts_same|simpl; auto]; fail);
        apply acc_resume; try apply accounts_same; unfold set_reg; try destruct (reg a =? 31); auto.
  Qed.

  (** What SGIs may have done so far. *)
  Let raised (s0 : state) : Prop :=
    (forall j, vcpus s0 j = vcpus s j
               \/ (of_vm (vcpus s j) = v /\ exists f, vcpus s0 j = set_irqs (vcpus s j) f))
    /\ (forall u, vms s0 u = vms s u
               \/ (u = v /\ vms s0 u = set_ready (vms s u) (ready (vms s0 u)))).

  Lemma raised_members s0 u : raised s0 -> members (vms s0 u) = members (vms s u).
  Proof. intros [_ B]. destruct (B u) as [-> |[_ ->]]; auto. Qed.

  Lemma raised_one s0 intid j : raised s0 -> In j (members (vms s v)) -> raised (raise s0 intid j).
  Proof.
    intros [A B] J. pose proof (proj2 (there_ok _ (inv_running _ fine) _ _ J)) as Oj.
    assert (O0 : of_vm (vcpus s0 j) = v).
    { destruct (A j) as [-> |[O [f ->]]]; auto. }
    assert (A' : forall k, vcpus (raise s0 intid j) k = vcpus s k
               \/ (of_vm (vcpus s k) = v /\ exists f, vcpus (raise s0 intid j) k = set_irqs (vcpus s k) f)).
    { intro k. assert (E : vcpus (raise s0 intid j) k =
        if k =? j then set_irqs (vcpus s0 j) (upd (irqs (vcpus s0 j)) intid
          (Irq true (level (irqs (vcpus s0 j) intid)) (priority (irqs (vcpus s0 j) intid)))) else vcpus s0 k).
      { unfold raise. destruct (_ && _); reflexivity. }
      rewrite E. destruct (N.eqb_spec k j) as [K|K]; [right; subst k|apply A].
      split; [auto|]. destruct (A j) as [-> |[_ [f ->]]]; eexists; reflexivity. }
    split; [exact A'|]. intro u. unfold raise.
    destruct (_ && _); [|exact (B u)].
    rewrite O0, vms_put. destruct (N.eqb_spec u v) as [->|]; [|exact (B u)].
    right. split; [auto|]. simpl. destruct (B v) as [-> |[_ E]]; [reflexivity|]. now rewrite E.
  Qed.

  Lemma raised_all intid targets : forall s0, raised s0 -> raised (send_sgi s0 v intid targets).
  Proof.
    unfold send_sgi. induction targets as [|j rest IH]; intros s0 R; simpl; [exact R|].
    apply IH. destruct (existsb _ _) eqn:X; [|exact R]. simpl.
    destruct (intid <? 16); [|exact R].
    apply raised_one; [exact R|]. apply member_true in X. now rewrite raised_members in X.
  Qed.

  Lemma acc_sgi intid targets : g = SendSgi intid targets -> accounts s e (send_sgi s v intid targets).
  Proof.
    intro G. destruct (raised_all intid targets s) as [A B]; [split; auto|]. split.
    - intro j. destruct (A j) as [E|[O [f E]]]; [auto|right].
      unfold e. rewrite G. eapply v_sgi; [reflexivity|exact running|symmetry; exact O|exact E].
    - intro u. destruct (B u) as [E|[-> E]]; [auto|right].
      eapply m_guest; [reflexivity|exact running|reflexivity|].
      rewrite E at 1. destruct (vms (send_sgi s v intid targets) v) eqn:V, (vms s v) eqn:V'.
      unfold set_ready in E. simpl in *. injection E. intros. subst. reflexivity.
  Qed.

  Lemma acc_send intid targets :
    g = SendSgi intid targets -> accounts s e (advance (send_sgi s v intid targets) i).
  Proof.
    intro G. apply acc_own; [now apply acc_sgi|].
    destruct (raised_all intid targets s) as [A _]; [split; auto|].
    destruct (A i) as [-> |[_ [f ->]]]; simpl; auto.
  Qed.
End Act.

Theorem act_accounts s c i g w :
  at_ (cores s c) = InGuest i -> invariant s -> accounts s (ByGuest c g) (fst (guest_act s w c g)).
Proof.
  intros A I. unfold guest_act. rewrite A.
  destruct g;
    try (eapply acc_exit; [exact A|apply accounts_same|simpl; auto]; fail);
    try (eapply acc_end; [exact A|apply accounts_same|simpl; auto]; fail);
    try (eapply acc_resume; [exact A|apply accounts_same|simpl; auto]; fail).
  - now eapply acc_touch.
  - now eapply acc_hvc.
  - simpl. now eapply acc_send.
  - eapply acc_exit; [exact A|apply accounts_same|]. destruct sleeps; simpl; auto.
Qed.

Lemma tell_accounts s c i t :
  t = TellReady /\ at_ (cores s c) = InGuest i \/ t = TellFirst i ->
  accounts s (ByEngine c t) (fst (tell_ready s c i)).
Proof.
  intro W.
  assert (T : forall l, vm_changes s (ByEngine c t) (of_vm (vcpus s i)) (vms s (of_vm (vcpus s i)))
                                   (set_ready (vms s (of_vm (vcpus s i))) l)).
  { intro l. destruct W as [[-> A]| ->]; [eapply m_told|eapply m_told_first]; eauto. }
  unfold tell_ready. destruct (tell_of _ _ _) as [[|j told] kept]; unfold exit_to_host; simpl; split; auto.
  - intro u. rewrite vms_put. destruct (N.eqb_spec u (of_vm (vcpus s i))) as [->|]; auto.
  - intro k. change (vcpus (put_mode ?t ?d ?m) k) with (vcpus t k). rewrite vcpus_put.
    destruct (N.eqb_spec k i) as [->|]; [right; eapply v_turn; eauto|auto].
  - intro u. change (vms (put_mode (put_vcpu ?t ?d ?m) ?x ?y) u) with (vms t u). rewrite vms_put.
    destruct (N.eqb_spec u (of_vm (vcpus s i))) as [->|]; auto.
Qed.

(** ** All events *)

Theorem step_others s w e : invariant s -> accounts s e (fst (step s w e)).
Proof.
  intro I. unfold step. destruct (machine_off s); [apply accounts_same|].
  destruct e as [c h|c t|c g|h].
  - destruct (runs_host s c); [|apply accounts_same]. destruct h; unfold host_does.
    + unfold host_hvc. destruct (N.eqb_spec imm 0) as [->|]; [|apply accounts_same].
      destruct (call_of x0) as [k|] eqn:K; [|apply accounts_same].
      pose proof (call_accounted s w c x0 a k I K) as A.
      destruct (host_call k s w c a). exact A.
    + unfold host_smc. destruct (negb (imm =? 0)); [apply accounts_same|].
      destruct (decode_psci x0 x1 x2 x3) as [q|].
      * assert (Q : vcpus (fst (host_psci s c q)) = vcpus s /\ vms (fst (host_psci s c q)) = vms s).
        { destruct q; try (split; reflexivity); simpl.
          - destruct (has_queued s c); split; reflexivity.
          - destruct (host_cpu_on _ _ _); split; reflexivity. }
        destruct (host_psci s c q) as [s' z]. simpl in Q. destruct Q as [Q Q'].
        destruct (machine_off s'); simpl; split; intro; left; [rewrite Q|rewrite Q'|rewrite Q|rewrite Q']; reflexivity.
      * destruct (classify_smc x0 x1); apply accounts_same.
    + apply accounts_same.
    + unfold host_store. destruct (_ && _); [split; auto|apply accounts_same].
  - destruct (c <? cores_n (cfg s)); [|apply accounts_same]. unfold take_turn.
    destruct (at_ (cores s c)) eqn:A, t; try apply accounts_same.
    + unfold pick. destruct (place (vcpus s i)); try apply accounts_same.
      destruct (_ && _); [|apply accounts_same].
      destruct (phase _) as [[]|]; simpl;
        (split; [|auto]; intro j;
         change (vcpus (put_mode ?t ?d ?m) j) with (vcpus t j); rewrite vcpus_put;
         destruct (N.eqb_spec j i) as [->|]; [right; eapply v_turn; eauto|auto]).
    + unfold tell_first. destruct (place (vcpus s i)), (phase (vms s (of_vm (vcpus s i)))) as [[]|]; try apply accounts_same.
      destruct (_ && _); [|apply accounts_same]. apply tell_accounts. auto.
    + destruct (may_stop s c why); [split; auto|apply accounts_same].
    + apply tell_accounts. auto.
    + unfold leave. destruct (phase _) as [[]|]; try apply accounts_same; simpl;
        (split; [|auto]; intro j;
         change (vcpus (put_mode ?t ?d ?m) j) with (vcpus t j); rewrite vcpus_put;
         destruct (N.eqb_spec j slot) as [->|]; [right; eapply v_turn; eauto|auto]).
  - destruct (c <? cores_n (cfg s)); [|apply accounts_same].
    destruct (at_ (cores s c)) as [| |i|] eqn:A;
      try (unfold guest_act; rewrite A; apply accounts_same).
    now apply act_accounts with i.
  - destruct h; simpl.
    + split; auto.
    + destruct (at_ (cores s c)); split; auto.
    + destruct (pow (cores s c)); split; auto.
    + destruct (host_may _); split; auto.
    + destruct (st _); try (split; auto; fail). destruct (use _); try (split; auto; fail).
      destruct of as [u|]; [destruct (is_live _)|]; split; auto.
    + destruct (use _) as [|[u|]]; [|destruct (has_gone_home _)|]; split; auto.
Qed.
