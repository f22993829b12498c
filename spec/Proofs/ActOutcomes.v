(** * All that can come of a guest's act, as far as the host can tell

    [went] sorts the outcomes of every act by what the host can see of them; two outcomes of one sort that tell the host
    the same leave states that look the same to it, whichever acts they came of. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide Alike Released.
From Bulkhead Require Import Calls.Pages Calls.Vcpus Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.RunningMoves Proofs.Moves Proofs.AlikeCalls.
From Bulkhead Require Import Proofs.Config Proofs.Reachable Confidentiality.
Open Scope N_scope.

(** ** [alike] from more than two sides *)

Lemma page_alike_sym p q : page_alike p q -> page_alike q p.
Proof. intros [? ? ? ? ? H]. split; auto. intro M. symmetry. apply H. congruence. Qed.
Lemma page_alike_trans p q r : page_alike p q -> page_alike q r -> page_alike p r.
Proof. intros [? ? ? ? ? H] [? ? ? ? ? K]. split; try congruence. intro M. rewrite K, H; congruence. Qed.
Lemma alike_sym s t : alike s t -> alike t s.
Proof. intros []. split; auto using page_alike_sym, vcpu_alike_sym. Qed.
Lemma alike_trans s t r : alike s t -> alike t r -> alike s r.
Proof.
  intros A B. split.
  - now rewrite (al_cfg _ _ B), (al_cfg _ _ A).
  - now rewrite (al_doorbell _ _ B), (al_doorbell _ _ A).
  - now rewrite (al_off _ _ B), (al_off _ _ A).
  - intro p. eapply page_alike_trans; [apply (al_pages _ _ A)|apply (al_pages _ _ B)].
  - intro v. now rewrite (al_vms _ _ B), (al_vms _ _ A).
  - intro i. eapply vcpu_alike_trans; [apply (al_vcpus _ _ A)|apply (al_vcpus _ _ B)].
  - intro c. now rewrite (al_cores _ _ B), (al_cores _ _ A).
Qed.

(** ** All that can come of an act *)

Section Act.
  Variables (s : state) (c i : N).
  Let u := vcpus s i.
  Let v := of_vm u.

  Definition with_ready (r : list N) : state := put_vm s v (set_ready (vms s v) r).

  Lemma with_its_ready : alike (with_ready (ready (vms s v))) s.
  Proof.
    split; auto using page_alike_refl, vcpu_alike_refl. intro w. unfold with_ready, put_vm, with_vms, upd. simpl.
    destruct (N.eqb_spec w v) as [->|]; [|reflexivity]. now destruct (vms s v).
  Qed.

  Inductive went : news -> state * output -> Prop :=
  | went_on r s' : at_ (cores s' c) = at_ (cores s c) -> alike (with_ready r) s' -> went NoNews (s', Silence)
  | went_shared y p :
      vcpu_alike u y -> host_may (st (pages s p)) = false ->
      went (Shows p (holds (pages s p))) (resume (put_page s p (move_page (pages s p) (SharedByVm v))) i y)
  | went_stored y p h :
      vcpu_alike u y -> host_may (st (pages s p)) = true ->
      went (Shows p h) (resume (put_page s p (set_holds (pages s p) h)) i y)
  | went_unshared y p :
      vcpu_alike u y -> went (Hides p) (resume (put_page s p (move_page (pages s p) (VmOwned v))) i y)
  | went_end b y : vcpu_alike (set_waiting u b) y -> went NoNews (end_turn s c i y)
  | went_exit n b y why d :
      no_page_call why = true -> left_as (set_waiting u b) y why -> went n (exit_to_host s c i y why d)
  | went_turned_on y j entry context :
      vcpu_alike u y -> In j (members (vms s v)) ->
      went NoNews (exit_to_host (put_vcpu s j (restart (vcpus s j) entry context)) c i y
                     ExitReason_VcpuOn [handle j (vgeneration (vcpus s j))])
  | went_home y ipa l lost :
      vcpu_alike u y ->
      went NoNews (exit_to_host (drop_leaf (bring_home s (to l)) v (ipa / PAGE_SIZE)) c i y
                     ExitReason_PageRelinquished [ipa; to l * PAGE_SIZE; lost]).

  Lemma alike_own y : vcpu_alike u y -> alike s (put_vcpu s i y).
  Proof.
    intro A. split; auto using page_alike_refl. intro j. rewrite vcpus_put.
    destruct (N.eqb_spec j i) as [->|]; auto using vcpu_alike_refl.
  Qed.

  Lemma alike_vcpu_in s0 y : vcpus s0 i = u -> vcpu_alike u y -> alike s0 (put_vcpu s0 i y).
  Proof.
    intros E A. split; auto using page_alike_refl. intro j. rewrite vcpus_put.
    destruct (N.eqb_spec j i) as [->|]; [now rewrite E|apply vcpu_alike_refl].
  Qed.

  (** What only the vCPU itself sees. *)
  Lemma went_quiet s' : at_ (cores s' c) = at_ (cores s c) -> alike s s' -> went NoNews (s', Silence).
  Proof. intros C A. apply went_on with (ready (vms s v)); [exact C|]. eapply alike_trans;
    [apply with_its_ready|exact A]. Qed.
  Lemma went_resume y : vcpu_alike u y -> went NoNews (resume s i y).
  Proof. intro A. apply went_quiet; [reflexivity|now apply alike_own]. Qed.
  Lemma went_out n y why d : no_page_call why = true -> left_as u y why -> went n (exit_to_host s c i y why d).
  Proof.
    intros N A. apply went_exit with (waiting u); [exact N|].
    assert (E : set_waiting u (waiting u) = u) by now destruct u. now rewrite E.
  Qed.

  Lemma came_went n r :
    came_of s c i n r -> (forall p h, n = Shows p h -> host_may (st (pages s p)) = false) -> went n r.
  Proof.
    intros C H. destruct C.
    - apply went_quiet; [reflexivity|apply alike_refl].
    - now apply went_resume.
    - now apply went_end with true.
    - now apply went_out.
    - now apply went_turned_on.
    - apply went_shared; [assumption|]. eapply H; reflexivity.
    - now apply went_unshared.
    - now apply went_home.
  Qed.

  Lemma hvc_went w imm :
    invariant s -> went (news_of_call s (fst (guest_hvc s w c i imm)) i imm) (guest_hvc s w c i imm).
  Proof.
    intro I. apply came_went; [now apply hvc_came|]. intros p h. unfold news_of_call.
    destruct (page_named s i imm) as [q|]; [|discriminate].
    destruct (host_may (st (pages s q))) eqn:E; destruct (host_may (st (pages (fst (guest_hvc s w c i imm)) q)));
      intro X; try discriminate X. injection X as <- _. exact E.
  Qed.

  Lemma touch_went w a :
    went (news_of_access s (fst (touch s w c i a)) i a) (touch s w c i a).
  Proof.
    unfold news_of_access, touch. fold u v. cbv zeta.
    destruct (lookup (ipa a / PAGE_SIZE) (leaves (vms s v))) as [l|].
    - destruct (kind a) eqn:K; cbn [allows].
      + destruct (broken _); [apply went_out; [reflexivity|unseen]|]. apply went_resume.
        eapply vcpu_alike_trans; [apply set_reg_unseen|unseen].
      + destruct (can_write l); simpl andb; [|apply went_resume; unseen].
        destruct (broken _); [apply went_out; [reflexivity|unseen]|].
        destruct (host_may _) eqn:M.
        * simpl. unfold upd. rewrite N.eqb_refl. apply went_stored; [unseen|exact M].
        * apply went_quiet; [reflexivity|]. eapply alike_trans; [|apply alike_vcpu_in; [reflexivity|unseen]].
          split; auto using vcpu_alike_refl. intro q. rewrite pages_put.
          destruct (N.eqb_spec q (to l)) as [->|]; [|apply page_alike_refl]. split; auto. congruence.
      + destruct (can_execute l); [|apply went_resume; unseen].
        destruct (broken _); [apply went_out; [reflexivity|unseen]|].
        apply went_quiet; [reflexivity|apply alike_refl].
    - match goal with |- went _ ?r => enough (H : went NoNews r) by (destruct (kind a); exact H) end.
      destruct (holds_ram _ _ _); [apply went_out; [reflexivity|unseen]|].
      unfold touch_device. fold u v. cbv zeta. destruct (negb (plain a)); [apply went_resume; unseen|].
      destruct (kind a).
      + destruct (in_frames _ _); [|apply went_out; [reflexivity|unseen]].
        apply went_resume. eapply vcpu_alike_trans; [apply set_reg_unseen|unseen].
      + destruct (in_frames _ _); [apply went_resume; unseen|apply went_out; [reflexivity|unseen]].
      + apply went_resume; unseen.
  Qed.

  (** SGIs: of the VM's slot only [ready] changes, of vCPUs nothing that the host sees. *)
  Lemma raise_ready s0 intid j r :
    (forall k, In k (members (vms s v)) -> of_vm (vcpus s k) = v) -> In j (members (vms s v)) ->
    alike (with_ready r) s0 -> exists r', alike (with_ready r') (raise s0 intid j).
  Proof.
    intros Of J A. unfold raise.
    assert (Q : forall s1, alike s1 s0 -> alike s1 (put_vcpu s0 j (set_irqs (vcpus s0 j)
                (upd (irqs (vcpus s0 j)) intid (Irq true (level (irqs (vcpus s0 j) intid)) (priority (irqs (vcpus
                  s0 j) intid))))))).
    { intros s1 B. eapply alike_trans; [exact B|]. split; auto using page_alike_refl. intro k. rewrite vcpus_put.
      destruct (N.eqb_spec k j) as [->|]; [unseen|apply vcpu_alike_refl]. }
    destruct (_ && _); [|exists r; now apply Q].
    assert (O : of_vm (vcpus s0 j) = v) by (rewrite (al_of _ _ _ A); simpl; now apply Of).
    rewrite O. exists (j :: ready (vms s0 v)).
    apply alike_trans with (put_vm (with_ready r) v (set_ready (vms s v) (j :: ready (vms s0 v)))).
    - split; auto using page_alike_refl, vcpu_alike_refl. intro x. unfold with_ready, put_vm, with_vms, upd. simpl.
      destruct (x =? v); reflexivity.
    - assert (E : vms s0 v = set_ready (vms s v) r).
      { rewrite (al_vms _ _ A). unfold with_ready, put_vm, with_vms, upd. simpl. now rewrite N.eqb_refl. }
      rewrite E. apply alike_vm. now apply Q.
  Qed.

  Lemma sgi_ready intid targets :
    (forall k, In k (members (vms s v)) -> of_vm (vcpus s k) = v) ->
    forall s0 r, alike (with_ready r) s0 -> exists r', alike (with_ready r') (send_sgi s0 v intid targets).
  Proof.
    intro Of. unfold send_sgi. induction targets as [|j rest IH]; intros s0 r A; simpl; [eauto|].
    destruct (existsb (N.eqb j) (members (vms s0 v))) eqn:M; [|eapply IH; eauto].
    destruct (intid <? 16); [|eapply IH; eauto]. simpl.
    apply existsb_exists in M as (k & M & E). apply N.eqb_eq in E. subst k.
    rewrite (al_vms _ _ A) in M. unfold with_ready, put_vm, with_vms, upd in M. simpl in M. rewrite N.eqb_refl in M.
    destruct (raise_ready s0 intid j r Of M A) as [r' B]. eapply IH; eauto.
  Qed.

  Lemma send_sgi_cores intid targets : forall s0, cores (send_sgi s0 v intid targets) = cores s0.
  Proof.
    unfold send_sgi. induction targets as [|j rest IH]; intro s0; simpl; [reflexivity|]. rewrite IH.
    destruct (_ && _); [|reflexivity]. unfold raise. destruct (_ && _); reflexivity.
  Qed.

  Theorem act_went w g :
    invariant s -> at_ (cores s c) = InGuest i -> went (uncovered s w c g) (guest_act s w c g).
  Proof.
    intros I A. unfold uncovered, guest_act. rewrite A. fold u v. destruct g;
      try (apply went_resume; unseen; fail); try (apply went_out; [reflexivity|unseen]; fail).
    - apply touch_went.
    - now apply hvc_went.
    - apply went_end with true. unseen.
    - destruct (sgi_ready intid targets (fun k H => proj2 (there_ok _ (inv_running _ I) v k H)) s _ with_its_ready)
      as [r B].
      apply went_on with r; [unfold advance; simpl; now rewrite send_sgi_cores|].
      eapply alike_trans; [exact B|]. unfold advance. split; auto using page_alike_refl. intro j. rewrite vcpus_put.
      destruct (N.eqb_spec j i) as [->|]; [unseen|apply vcpu_alike_refl].
    - destruct sleeps; [|apply went_out; [reflexivity|unseen]].
      apply went_exit with true; [reflexivity|unseen].
    - apply went_end with (waiting u). split; simpl; auto using same_wait_refl.
  Qed.
End Act.

(** ** Two outcomes that tell the same *)

Lemma exit_waiting s c i u why d : waiting (vcpus (fst (exit_to_host s c i u why d)) i) = waiting u.
Proof.
  unfold exit_to_host. simpl. unfold upd. rewrite N.eqb_refl. simpl. destruct (is_end why); reflexivity.
Qed.
Lemma end_waiting s c i u : waiting (vcpus (fst (end_turn s c i u)) i) = waiting u.
Proof. unfold end_turn. simpl. unfold upd. now rewrite N.eqb_refl. Qed.
Lemma end_mode s c i u : at_ (cores (fst (end_turn s c i u)) c) = InRun.
Proof. unfold end_turn. simpl. unfold upd. now rewrite N.eqb_refl. Qed.
Lemma left_waiting u v why : left_as u v why -> waiting v = waiting u.
Proof. intro A. apply (va_waiting _ _ A). Qed.

Lemma waiting_alike u v b : vcpu_alike u v -> vcpu_alike (set_waiting u b) (set_waiting v b).
Proof. intros []. split; auto. Qed.

Theorem both_went s t c i n m rs rt :
  invariant s -> invariant t -> alike s t -> vcpus_n (cfg s) <= 65536 -> at_ (cores s c) = InGuest i ->
  went s c i n rs -> went t c i m rt -> n = m -> snd rs = snd rt ->
  at_ (cores (fst rs) c) = at_ (cores (fst rt) c) ->
  waiting (vcpus (fst rs) i) = waiting (vcpus (fst rt) i) ->
  ready (vms (fst rs) (of_vm (vcpus s i))) = ready (vms (fst rt) (of_vm (vcpus s i))) ->
  alike (fst rs) (fst rt).
Proof.
  intros Is It A Small In Ws Wt Nw O Md Wa Re.
  pose proof (al_vcpus _ _ A i) as V. pose proof (al_of _ _ i A) as Ov.
  assert (It' : at_ (cores t c) = InGuest i) by now rewrite (al_cores _ _ A).
  assert (Mg : forall r y, cores r = cores s -> at_ (cores (fst (resume r i y)) c) = InGuest i)
    by (intros r y E; simpl; now rewrite E).
  destruct Ws, Wt; try discriminate Nw; try discriminate O;
    rewrite ?end_mode, ?mode_of_exit in Md; simpl fst in Md; simpl in Md; try congruence.
  - (* both go on *)
    assert (Rs : ready (vms s' (of_vm (vcpus s i))) = r).
    { rewrite (al_vms _ _ H0). unfold with_ready, put_vm, with_vms, upd. simpl. now rewrite N.eqb_refl. }
    assert (Rt : ready (vms s'0 (of_vm (vcpus s i))) = r0).
    { rewrite (al_vms _ _ H2). unfold with_ready, put_vm, with_vms, upd. simpl. rewrite Ov. now rewrite N.eqb_refl. }
    simpl in Re. rewrite Rs, Rt in Re. subst r0.
    eapply alike_trans; [apply alike_sym; exact H0|]. eapply alike_trans; [|exact H2].
    unfold with_ready. rewrite Ov, (al_vms _ _ A). now apply alike_vm.
  - (* MEM_SHARE *)
    injection Nw as <- E. rewrite Ov. apply resume_alike; [|eapply both_alike; eauto].
    apply alike_page; [exact A|]. destruct (al_pages _ _ A p) as [P1 P2 P3 P4 P5 P6].
    unfold move_page. split; simpl; auto; congruence.
  - injection Nw as <- E. rewrite (al_st _ _ _ A) in *. congruence.
  - injection Nw as <- E. rewrite (al_st _ _ _ A) in *. congruence.
  - (* stores *)
    injection Nw as <- <-. apply resume_alike; [|eapply both_alike; eauto].
    apply alike_page; [exact A|]. destruct (al_pages _ _ A p). split; simpl; auto.
  - (* MEM_UNSHARE *)
    injection Nw as <-. rewrite Ov. apply resume_alike; [|eapply both_alike; eauto].
    apply alike_move; [exact A|discriminate].
  - (* the turn ends *)
    rewrite !end_waiting in Wa.
    assert (b0 = b) as -> by (rewrite (va_waiting _ _ H), (va_waiting _ _ H0) in Wa; now symmetry).
    apply end_alike_turn; [exact A|]. eapply both_alike; [|exact H|exact H0]. now apply waiting_alike.
  - (* exits *)
    rewrite !exit_waiting in Wa. injection O as -> _ _.
    assert (b0 = b) as -> by (rewrite (left_waiting _ _ _ H0), (left_waiting _ _ _ H2) in Wa; now symmetry).
    eapply exit_alike; [exact A| |exact H0|exact H2]. now apply waiting_alike.
  - injection O as -> _ _. discriminate.
  - injection O as -> _ _. discriminate.
  - injection O as <- _ _. discriminate.
  - (* CPU_ON *)
    injection O as _ Hj.
    assert (j = j0) as ->.
    { eapply handle_slot; [| |exact Hj].
      - eapply N.lt_le_trans; [|exact Small]. eapply (slot_ok _ (inv_running _ Is)); eauto.
      - rewrite <- (al_cfg _ _ A) in Small. eapply N.lt_le_trans; [|exact Small].
        eapply (slot_ok _ (inv_running _ It)); eauto. }
    eapply exit_alike; [|exact V| |].
    + apply alike_vcpu; [exact A|]. unfold restart. by_alike A. split; simpl; auto.
    + destruct H. unseen.
    + destruct H1. unseen.
  - injection O as <- _ _. discriminate.
  - (* MEM_RELINQUISH *)
    injection O as _ Hi Hl _. subst ipa0.
    assert (to l = to l0) as E by (unfold PAGE_SIZE in *; lia).
    eapply exit_alike; [|exact V| |].
    + rewrite <- E, Ov. apply alike_drop. now apply alike_home.
    + destruct H. unseen.
    + destruct H0. unseen.
Qed.
