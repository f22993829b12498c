(** * Confidentiality: what the host learns of guests is what they release

    Noninterference, by unwinding. Take two reachable states that look the same to the host ([alike]: they
    may differ in the content of all pages that it does not reach, and in all registers and interrupts of
    vCPUs). Let the same event happen in both, in the same weather. If it is the host's, the engine's or
    hardware's, the host is told the same and the states look the same again. If it is a guest's, that
    holds too, provided that both guests release the same: [released], of Released.v, is the only channel. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide Alike Released.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.EndOfVm Proofs.AlikeCalls Proofs.Reachable Proofs.Config.
Open Scope N_scope.

(** ** vCPUs that look the same *)

Lemma same_wait_sym a b : same_wait a b -> same_wait b a.
Proof. destruct a, b; simpl; auto. Qed.
Lemma same_wait_trans a b c : same_wait a b -> same_wait b c -> same_wait a c.
Proof. destruct a, b, c; simpl; tauto. Qed.

Lemma vcpu_alike_trans u v x : vcpu_alike u v -> vcpu_alike v x -> vcpu_alike u x.
Proof. intros [] []. split; try congruence. eapply same_wait_trans; eauto. Qed.
Lemma vcpu_alike_sym u v : vcpu_alike u v -> vcpu_alike v u.
Proof. intros []. split; auto using same_wait_sym. Qed.

(** Each is as its own was, and these were alike. *)
Lemma both_alike u v a b : vcpu_alike u v -> vcpu_alike u a -> vcpu_alike v b -> vcpu_alike a b.
Proof. eauto using vcpu_alike_trans, vcpu_alike_sym. Qed.

(** ** How a vCPU leaves *)

(** What it waits for after an exit for this reason, as far as the host can tell. *)
Definition waits_after (why : ExitReason) (p : pending) : pending :=
  match why with
  | ExitReason_RamFault => AwaitPage
  | ExitReason_Call => AwaitAnswer
  | ExitReason_MmioRead => AwaitRead 0 0 false false
  | ExitReason_MmioWrite => AwaitWrite
  | _ => p
  end.

Definition left_as (u v : vcpu) (why : ExitReason) : Prop :=
  vcpu_alike (set_waits u (waits_after why (waits_for u))) v.

Lemma exit_alike s t c i u v why d d' us ut :
  alike s t -> vcpu_alike us ut -> left_as us u why -> left_as ut v why ->
  alike (fst (exit_to_host s c i u why d)) (fst (exit_to_host t c i v why d')).
Proof.
  intros A [W1 W2 W3 W4 W5 W6] U V. unfold exit_to_host. simpl.
  apply alike_mode, alike_vcpu; [exact A|].
  assert (H : vcpu_alike u v).
  { eapply both_alike; [|exact U|exact V]. split; simpl; auto.
    destruct why; simpl; auto. }
  apply alike_vcpu_place. destruct (is_end why); [|exact H].
  destruct H. split; simpl; auto.
Qed.

Lemma end_alike_turn s t c i u v :
  alike s t -> vcpu_alike u v -> alike (fst (end_turn s c i u)) (fst (end_turn t c i v)).
Proof. intros A U. unfold end_turn. simpl. apply alike_mode, alike_vcpu; auto. now apply alike_vcpu_place. Qed.

Lemma resume_alike s t i u v : alike s t -> vcpu_alike u v -> alike (fst (resume s i u)) (fst (resume t i v)).
Proof. intros. now apply alike_vcpu. Qed.

(** A change that shows in none of the fields. *)
Ltac unseen := unfold left_as; split; simpl; auto using same_wait_refl.

(** ** Turns *)

Lemma is_ready_alike s t i : alike s t -> is_ready t i = is_ready s i.
Proof. intro A. unfold is_ready. by_alike A. reflexivity. Qed.

Lemma settle_alike u v : vcpu_alike u v -> vcpu_alike (settle u) (settle v).
Proof.
  intros [V1 V2 V3 V4 V5 V6]. unfold settle.
  destruct (waits_for u), (waits_for v); simpl in V5; try contradiction; split; simpl; auto.
Qed.

Lemma tell_of_alike s t n l : alike s t -> tell_of t n l = tell_of s n l.
Proof.
  intro A. revert n. induction l as [|j l IH]; intros [|n]; simpl; auto.
  rewrite (is_ready_alike _ _ _ A). destruct (is_ready s j); [now rewrite IH|apply IH].
Qed.

Lemma tell_ready_alike s t c i :
  alike s t -> alike (fst (tell_ready s c i)) (fst (tell_ready t c i))
               /\ snd (tell_ready t c i) = snd (tell_ready s c i).
Proof.
  intro A. unfold tell_ready. by_alike A. rewrite (tell_of_alike _ _ _ _ A).
  destruct (tell_of _ _ _) as [[|j rest] kept].
  - split; [now apply alike_vm|reflexivity].
  - split.
    + eapply exit_alike; [now apply alike_vm|apply (al_vcpus _ _ A i)|unseen|unseen].
    + unfold exit_to_host. simpl. by_alike A. f_equal. f_equal.
      apply map_ext. intro k. by_alike A. reflexivity.
Qed.

Theorem turn_alike s t c k :
  alike s t -> alike (fst (take_turn s c k)) (fst (take_turn t c k))
               /\ snd (take_turn t c k) = snd (take_turn s c k).
Proof.
  intro A. unfold take_turn. by_alike A.
  destruct (at_ (cores s c)) as [| |i|], k as [j|j| | |why d]; try (split; auto; fail).
  - unfold pick. by_alike A. destruct (place (vcpus s j)); try (split; auto; fail).
    destruct (_ && _); [|split; auto].
    destruct (phase (vms s (of_vm (vcpus s j)))) as [[]|]; simpl; (split; [|reflexivity]);
      try (apply alike_vcpu; auto; apply alike_vcpu_place, (al_vcpus _ _ A)).
    apply alike_mode, alike_vcpu; auto. apply alike_vcpu_place, settle_alike, (al_vcpus _ _ A).
  - unfold tell_first. by_alike A. destruct (place (vcpus s j)); try (split; auto; fail).
    destruct (phase (vms s (of_vm (vcpus s j)))) as [[]|]; try (split; auto; fail).
    destruct (_ && _); [|split; auto]. now apply tell_ready_alike.
  - assert (M : may_stop t c why = may_stop s c why).
    { unfold may_stop. by_alike A. destruct why; try reflexivity.
      apply look_forallb. intro j. by_alike A. reflexivity. }
    rewrite M. destruct (may_stop s c why); split; auto. now apply alike_mode.
  - now apply tell_ready_alike.
  - unfold leave. by_alike A. destruct (phase _) as [[]|]; (split; [|reflexivity]); auto; simpl;
      apply alike_mode, alike_vcpu; auto; apply alike_vcpu_place, (al_vcpus _ _ A).
Qed.

(** ** The host beside its calls, and chance *)

Lemma host_psci_alike s t c p :
  alike s t -> alike (fst (host_psci s c p)) (fst (host_psci t c p))
               /\ snd (host_psci t c p) = snd (host_psci s c p).
Proof.
  intro A. destruct p; simpl; try (split; auto; fail).
  - assert (Q : has_queued t c = has_queued s c).
    { unfold has_queued. by_alike A. apply look_existsb. intro i. by_alike A. reflexivity. }
    rewrite Q. destruct (has_queued s c); split; auto. now apply alike_power.
  - assert (O : host_cpu_on t target entry = host_cpu_on s target entry).
    { unfold host_cpu_on. by_alike A. destruct (by_affinity _ _ _); [|reflexivity].
      by_alike A. reflexivity. }
    rewrite O. destruct (host_cpu_on s target entry); split; auto. now apply alike_power.
  - split; auto. by_alike A. f_equal. apply map_ext. intro d. by_alike A. reflexivity.
  - split; auto. destruct A. split; auto.
  - split; auto. destruct A. split; auto.
Qed.

Theorem host_alike s t w c h :
  invariant s -> invariant t -> alike s t ->
  alike (fst (host_does s w c h)) (fst (host_does t w c h))
  /\ snd (host_does t w c h) = snd (host_does s w c h).
Proof.
  intros Is It A. destruct h; unfold host_does.
  - unfold host_hvc. destruct (if imm =? 0 then call_of x0 else None) as [k|]; [|split; auto].
    destruct (host_call_alike k s t w c a Is It A) as [B E].
    destruct (host_call k s w c a), (host_call k t w c a). simpl in *. subst. split; auto.
  - unfold host_smc. destruct (negb (imm =? 0)); [split; auto|].
    destruct (decode_psci x0 x1 x2 x3) as [q|].
    + destruct (host_psci_alike s t c q A) as [B E].
      destruct (host_psci s c q) as [s' z], (host_psci t c q) as [t' z']. simpl in *. subst.
      rewrite (al_off _ _ B). destruct (machine_off s'); split; auto.
    + destruct (classify_smc x0 x1); split; auto.
  - split; auto. simpl. unfold host_load. by_alike A.
    destruct (host_may (st (pages s p))) eqn:H; [|reflexivity]. simpl.
    destruct (negb _); [|reflexivity]. now rewrite (al_holds _ _ _ A H).
  - unfold host_store. by_alike A.
    destruct (host_may (st (pages s p))) eqn:H; [|split; auto]. simpl.
    destruct (negb (broken (pages s p))); [|split; auto]. split; auto. simpl.
    apply alike_page; auto. destruct (al_pages _ _ A p) as [P1 P2 P3 P4 P5 P6].
    split; simpl; auto. intros _. now rewrite P6.
Qed.

Theorem chance_alike s t h : alike s t -> alike (happens s h) (happens t h).
Proof.
  intro A. destruct h; simpl.
  - apply alike_page; auto. destruct (al_pages _ _ A p). split; simpl; auto.
  - by_alike A. destruct (at_ (cores s c)); auto; now apply alike_mode.
  - by_alike A. destruct (pow (cores s c)); auto. now apply alike_power.
  - by_alike A. destruct (host_may _); auto. apply alike_page; auto.
    destruct (al_pages _ _ A p). split; simpl; auto.
  - by_alike A. destruct (st (pages s p)); auto. destruct (use (pages s p)); auto.
    assert (P : alike (put_page s p (set_use (pages s p) (Table of)))
                      (put_page t p (set_use (pages t p) (Table of)))).
    { apply alike_page; auto. destruct (al_pages _ _ A p). split; simpl; auto. }
    destruct of as [v|]; [|exact P]. by_alike A. destruct (is_live _); auto.
  - assert (P : alike (put_page s p (set_use (pages s p) Unused)) (put_page t p (set_use (pages t p) Unused))).
    { apply alike_page; auto. destruct (al_pages _ _ A p). split; simpl; auto. }
    by_alike A. destruct (use (pages s p)) as [|[v|]]; auto. by_alike A.
    destruct (has_gone_home _); auto.
Qed.

(** ** A guest's HVC: all that can come of it, as far as the host can tell *)

Definition no_page_call (why : ExitReason) : bool :=
  match why with
  | ExitReason_PageRelinquished | ExitReason_VcpuOn => false
  | _ => true
  end.

Inductive came_of (s : state) (c i : N) : news -> state * output -> Prop :=
| came_nothing : came_of s c i NoNews (s, Silence)
| came_answer u : vcpu_alike (vcpus s i) u -> came_of s c i NoNews (resume s i u)
| came_wait u : vcpu_alike (set_waiting (vcpus s i) true) u -> came_of s c i NoNews (end_turn s c i u)
| came_exit u why d :
    no_page_call why = true -> left_as (vcpus s i) u why -> came_of s c i NoNews (exit_to_host s c i u why d)
| came_on u j entry context :
    vcpu_alike (vcpus s i) u -> In j (members (vms s (of_vm (vcpus s i)))) ->
    came_of s c i NoNews (exit_to_host (put_vcpu s j (restart (vcpus s j) entry context)) c i u
                     ExitReason_VcpuOn [handle j (vgeneration (vcpus s j))])
| came_shared u p :
    vcpu_alike (vcpus s i) u ->
    came_of s c i (Shows p (holds (pages s p)))
      (resume (put_page s p (move_page (pages s p) (SharedByVm (of_vm (vcpus s i))))) i u)
| came_unshared u p :
    vcpu_alike (vcpus s i) u ->
    came_of s c i (Hides p) (resume (put_page s p (move_page (pages s p) (VmOwned (of_vm (vcpus s i))))) i u)
| came_home u ipa l lost :
    vcpu_alike (vcpus s i) u ->
    came_of s c i NoNews (exit_to_host
      (drop_leaf (bring_home s (to l)) (of_vm (vcpus s i)) (ipa / PAGE_SIZE)) c i u
      ExitReason_PageRelinquished [ipa; to l * PAGE_SIZE; lost]).

Lemma psci_came s w c i q :
  invariant s -> came_of s c i NoNews (guest_psci s w c i q).
Proof.
  intro I. unfold guest_psci. destruct q; cbv zeta;
    try (apply came_answer; unseen; fail); try (apply came_exit; [reflexivity|unseen]; fail).
  - destruct (check_suspend _ _ _); [apply came_answer|apply came_wait]; unseen.
  - match goal with |- context [cpu_on ?a ?b ?v ?t ?f] => destruct (cpu_on a b v t f) as [j|z] eqn:E end;
      [|apply came_answer; unseen].
    apply came_on; [unseen|].
    unfold cpu_on in E. destruct (by_affinity _ _ _) as [k|] eqn:B; [|discriminate].
    destruct (entry_ok _ _); [|discriminate]. simpl in E.
    destruct (place (vcpus s k)); try discriminate.
    destruct (is_held w 0 AtPage); [discriminate|]. injection E as ->.
    unfold by_affinity in B. destruct (is_affinity target); [|discriminate].
    now apply find_some in B.
Qed.

Lemma hvc_came s w c i imm :
  invariant s -> came_of s c i (news_of_call s (fst (guest_hvc s w c i imm)) i imm) (guest_hvc s w c i imm).
Proof.
  intro I. unfold news_of_call, page_named, guest_hvc.
  destruct (classify _ _ _ _ _ _) as [q|a b d e| |a|a|a|] eqn:K.
  - now apply psci_came.
  - apply came_answer. unseen.
  - apply came_answer. unseen.
  - unfold share. destruct (lookup _ _) as [l|].
    + cbn [option_map].
      destruct (is_held w 0 AtEntry); [no_news; apply came_nothing|].
      destruct (is_held w 0 AtPage); [no_news; apply came_nothing|].
      destruct (st (pages s (to l))) eqn:S; try (simpl; rewrite ?S; apply came_answer; unseen).
      destruct (N.eqb_spec v (of_vm (vcpus s i))); [|simpl; rewrite ?S; apply came_answer; unseen]. simpl.
      destruct (luck w 0 AtHost); simpl; rewrite ?S;
        [|apply came_nothing|apply came_exit; [reflexivity|unseen]].
      unfold upd. rewrite N.eqb_refl. simpl. apply came_shared; unseen.
    + cbn [option_map]. destruct (is_held w 0 AtEntry); [apply came_nothing|].
      destruct (holds_ram _ _ _); [apply came_exit; [reflexivity|unseen]|apply came_answer; unseen].
  - unfold unshare. destruct (lookup _ _) as [l|].
    + cbn [option_map].
      destruct (is_held w 0 AtEntry); [no_news; apply came_nothing|].
      destruct (is_held w 0 AtPage); [no_news; apply came_nothing|].
      destruct (st (pages s (to l))) eqn:S; try (simpl; rewrite ?S; apply came_answer; unseen).
      destruct (N.eqb_spec v (of_vm (vcpus s i))); [|simpl; rewrite ?S; apply came_answer; unseen]. simpl.
      unfold upd. rewrite ?S, N.eqb_refl. simpl. apply came_unshared; unseen.
    + cbn [option_map]. destruct (is_held w 0 AtEntry); [apply came_nothing|apply came_answer; unseen].
  - unfold relinquish. destruct (luck w 0 AtEntry); [|apply came_nothing|apply came_exit; [reflexivity|unseen]].
    destruct (lookup _ _) as [l|].
    + destruct (is_held w 0 AtPage); [apply came_nothing|].
      destruct (st (pages s (to l))); try (apply came_answer; unseen).
      destruct (N.eqb_spec v (of_vm (vcpus s i))); [|apply came_answer; unseen]. simpl.
      destruct (luck w 0 AtHost);
        [|apply came_nothing|apply came_exit; [reflexivity|unseen]].
      destruct (broken (pages s (to l))); apply came_home; unseen.
    + destruct (holds_ram _ _ _); apply came_answer; unseen.
  - apply came_exit; [reflexivity|unseen].
Qed.

(** What the output and the core's mode leave of two outcomes is one. *)
Lemma handle_slot j g j' g' : j < 65536 -> j' < 65536 -> handle j g = handle j' g' -> j = j'.
Proof. unfold handle. lia. Qed.

Lemma mode_of_exit s c i u why d : at_ (cores (fst (exit_to_host s c i u why d)) c) = InHost.
Proof. unfold exit_to_host, put_mode, with_cores, upd. simpl. now rewrite N.eqb_refl. Qed.

Lemma outcomes_alike s t c i n m rs rt :
  invariant s -> invariant t -> alike s t -> vcpus_n (cfg s) <= 65536 -> at_ (cores s c) = InGuest i ->
  came_of s c i n rs -> came_of t c i m rt -> n = m -> snd rs = snd rt ->
  at_ (cores (fst rs) c) = at_ (cores (fst rt) c) -> alike (fst rs) (fst rt).
Proof.
  intros Is It A Small In Cs Ct Nw O Md.
  pose proof (al_vcpus _ _ A i) as V.
  assert (Mg : forall x, at_ (cores (fst (resume s i x)) c) = InGuest i) by (intro; exact In).
  assert (Mt : forall x, at_ (cores (fst (resume t i x)) c) = InGuest i).
  { intro. simpl. now rewrite (al_cores _ _ A). }
  assert (Me : forall r x, at_ (cores (fst (end_turn r c i x)) c) = InRun).
  { intros. unfold end_turn, put_mode, with_cores, upd. simpl. now rewrite N.eqb_refl. }
  assert (It' : at_ (cores t c) = InGuest i) by now rewrite (al_cores _ _ A).
  destruct Cs, Ct; try discriminate Nw; simpl snd in O; try discriminate O;
    rewrite ?Mg, ?Mt, ?Me, ?mode_of_exit in Md; simpl fst in Md; try congruence;
    try (injection O; clear O; intros; subst; try discriminate).
  - exact A.
  - simpl. destruct A as [A1 A2 A3 A4 A5 A6 A7]. split; auto. intro j. unfold put_vcpu, with_vcpus, upd. simpl.
    destruct (N.eqb_spec j i) as [->|]; [|apply A6]. eapply vcpu_alike_trans; eauto.
  - simpl. destruct A as [A1 A2 A3 A4 A5 A6 A7]. split; auto. intro j. unfold put_vcpu, with_vcpus, upd. simpl.
    destruct (N.eqb_spec j i) as [->|]; [|apply A6].
    eapply vcpu_alike_trans; [apply vcpu_alike_sym; eassumption|]. exact V.
  - apply resume_alike; [exact A|]. eapply both_alike; eauto.
  - apply end_alike_turn; [exact A|]. eapply both_alike; [|exact H|exact H0]. destruct V. split; auto.
  - eapply exit_alike; eauto.
  - (* CPU_ON *)
    assert (j = j0) as ->.
    { match goal with X : handle j _ = handle j0 _ |- _ => eapply handle_slot; [| |exact X] end.
      - eapply N.lt_le_trans; [|exact Small]. eapply (slot_ok _ (inv_running _ Is)); eauto.
      - rewrite <- (al_cfg _ _ A) in Small. eapply N.lt_le_trans; [|exact Small].
        eapply (slot_ok _ (inv_running _ It)); eauto. }
    eapply exit_alike; [|exact V| |].
    + apply alike_vcpu; [exact A|]. unfold restart. by_alike A. split; simpl; auto.
    + destruct H. unseen.
    + destruct H1. unseen.
  - (* MEM_SHARE *)
    injection Nw as <- E. by_alike A. apply resume_alike; [|eapply both_alike; eauto].
    apply alike_page; [exact A|]. destruct (al_pages _ _ A p) as [P1 P2 P3 P4 P5 P6].
    unfold move_page. split; simpl; auto. congruence.
  - (* MEM_UNSHARE *)
    injection Nw as <-. by_alike A. apply resume_alike; [|eapply both_alike; eauto].
    apply alike_move; [exact A|discriminate].
  - (* MEM_RELINQUISH *)
    assert (to l = to l0) as E by (unfold PAGE_SIZE in *; lia).
    eapply exit_alike; [|exact V| |].
    + rewrite <- E. by_alike A. apply alike_drop. now apply alike_home.
    + destruct H. unseen.
    + destruct H0. unseen.
Qed.

Theorem hvc_alike s t w c i imm :
  invariant s -> invariant t -> alike s t -> vcpus_n (cfg s) <= 65536 -> at_ (cores s c) = InGuest i ->
  news_of_call s (fst (guest_hvc s w c i imm)) i imm = news_of_call t (fst (guest_hvc t w c i imm)) i imm ->
  snd (guest_hvc s w c i imm) = snd (guest_hvc t w c i imm) ->
  at_ (cores (fst (guest_hvc s w c i imm)) c) = at_ (cores (fst (guest_hvc t w c i imm)) c) ->
  alike (fst (guest_hvc s w c i imm)) (fst (guest_hvc t w c i imm)).
Proof.
  intros Is It A Small In Nw O Md.
  pose proof (hvc_came s w c i imm Is) as Cs. pose proof (hvc_came t w c i imm It) as Ct.
  exact (outcomes_alike _ _ _ _ _ _ _ _ Is It A Small In Cs Ct Nw O Md).
Qed.

(** ** A guest's other acts *)

Lemma set_reg_unseen u r w : vcpu_alike u (set_reg u r w).
Proof. unfold set_reg. destruct (r =? 31); unseen. Qed.

Theorem touch_alike s t w c i a :
  alike s t -> at_ (cores s c) = InGuest i ->
  snd (touch s w c i a) = snd (touch t w c i a) ->
  news_of_access s (fst (touch s w c i a)) i a = news_of_access t (fst (touch t w c i a)) i a ->
  alike (fst (touch s w c i a)) (fst (touch t w c i a)).
Proof.
  intros A In O U. pose proof (al_vcpus _ _ A i) as V.
  assert (Res : forall u v, vcpu_alike (vcpus s i) u -> vcpu_alike (vcpus t i) v ->
                alike (fst (resume s i u)) (fst (resume t i v))).
  { intros u v X Y. apply resume_alike; [exact A|]. eapply both_alike; [exact V|exact X|exact Y]. }
  unfold news_of_access in U.
  unfold touch in *. cbv zeta in *. rewrite (al_of _ _ _ A), (al_vms _ _ A) in *.
  destruct (lookup (ipa a / PAGE_SIZE) (leaves (vms s (of_vm (vcpus s i))))) as [l|].
  - rewrite (al_broken _ _ _ A), (al_st _ _ _ A) in *.
    destruct (kind a); cbn [allows] in *; [| |destruct (can_execute l); [|apply Res; unseen]];
      [|destruct (can_write l); [|apply Res; unseen]|];
      (destruct (broken (pages s (to l))); [eapply exit_alike; [exact A|exact V|unseen|unseen]|]).
    + apply Res; (eapply vcpu_alike_trans; [apply set_reg_unseen|]); unseen.
    + simpl. apply alike_vcpu.
      * apply alike_page; [exact A|]. destruct (al_pages _ _ A (to l)) as [P1 P2 P3 P4 P5 P6].
        split; simpl; auto. intro H. rewrite H in U. simpl in U.
        unfold upd in U. rewrite N.eqb_refl in U. simpl in U. congruence.
      * eapply both_alike; [exact V|unseen|unseen].
    + exact A.
  - destruct (holds_ram _ _ _).
    + eapply exit_alike; [exact A|exact V|unseen|unseen].
    + unfold touch_device in *. cbv zeta in *. rewrite (al_of _ _ _ A), (al_vms _ _ A) in *.
      destruct (negb (plain a)); [apply Res; unseen|].
      destruct (kind a); [| |apply Res; unseen];
        (destruct (in_frames _ _);
         [apply Res; try unseen; (eapply vcpu_alike_trans; [apply set_reg_unseen|unseen])
         |eapply exit_alike; [exact A|exact V|unseen|unseen]]).
Qed.

Lemma raise_alike s t intid j : alike s t -> alike (raise s intid j) (raise t intid j).
Proof.
  intro A. unfold raise. cbv zeta. rewrite (is_ready_alike _ _ _ A). by_alike A.
  assert (B : alike
    (put_vcpu s j (set_irqs (vcpus s j) (upd (irqs (vcpus s j)) intid
      (Irq true (level (irqs (vcpus s j) intid)) (priority (irqs (vcpus s j) intid))))))
    (put_vcpu t j (set_irqs (vcpus t j) (upd (irqs (vcpus t j)) intid
      (Irq true (level (irqs (vcpus t j) intid)) (priority (irqs (vcpus t j) intid))))))).
  { apply alike_vcpu; [exact A|]. eapply both_alike; [apply (al_vcpus _ _ A j)|unseen|unseen]. }
  destruct (_ && _); [now apply alike_vm|exact B].
Qed.

Lemma send_sgi_alike v intid targets : forall s t,
  alike s t -> alike (send_sgi s v intid targets) (send_sgi t v intid targets).
Proof.
  unfold send_sgi. induction targets as [|j rest IH]; intros s t A; simpl; [exact A|].
  apply IH. by_alike A. destruct (_ && _); [now apply raise_alike|exact A].
Qed.

Theorem guest_alike s t w c g :
  invariant s -> invariant t -> alike s t -> vcpus_n (cfg s) <= 65536 ->
  released s w (ByGuest c g) = released t w (ByGuest c g) ->
  alike (fst (guest_act s w c g)) (fst (guest_act t w c g))
  /\ snd (guest_act t w c g) = snd (guest_act s w c g).
Proof.
  intros Is It A Small R. unfold released in R. injection R as O Md U.
  split; [|now symmetry]. pose proof (al_cores _ _ A c) as Co.
  destruct (at_ (cores s c)) as [| |i|] eqn:In;
    try (unfold guest_act; rewrite Co, In; exact A).
  pose proof (al_vcpus _ _ A i) as V.
  unfold uncovered, guest_act in *. rewrite Co, In in *.
  destruct g;
    try (eapply exit_alike; [exact A|exact V|unseen|unseen]; fail);
    try (apply resume_alike; [exact A|]; eapply both_alike; [exact V|unseen|unseen]; fail).
  - apply touch_alike; auto.
  - apply hvc_alike; auto.
  - apply end_alike_turn; [exact A|]. destruct V. split; auto.
  - simpl. rewrite (al_of _ _ _ A). unfold advance.
    pose proof (send_sgi_alike (of_vm (vcpus s i)) intid targets s t A) as B.
    apply alike_vcpu; [exact B|].
    eapply both_alike; [apply (al_vcpus _ _ B i)|unseen|unseen].
  - destruct sleeps; [|eapply exit_alike; [exact A|exact V|unseen|unseen]].
    apply exit_alike with (set_waiting (vcpus s i) true) (set_waiting (vcpus t i) true);
      [exact A| |unseen|unseen].
    destruct V. split; simpl; auto.
  - apply end_alike_turn; auto.
Qed.

(** ** The theorem *)

Theorem confidentiality s t w e :
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 ->
  alike s t -> released s w e = released t w e ->
  snd (step s w e) = snd (step t w e) /\ alike (fst (step s w e)) (fst (step t w e)).
Proof.
  intros Rs Rt Small A Rel.
  pose proof (reachable_invariant s Rs) as Is. pose proof (reachable_invariant t Rt) as It.
  unfold step. rewrite (al_off _ _ A). destruct (machine_off s); [split; auto|].
  destruct e as [c h|c k|c g|h].
  - assert (H : runs_host t c = runs_host s c).
    { unfold runs_host. by_alike A. reflexivity. }
    rewrite H. destruct (runs_host s c); [|split; auto].
    destruct (host_alike s t w c h Is It A). split; auto.
  - rewrite (al_cfg _ _ A). destruct (c <? cores_n (cfg s)); [|split; auto].
    destruct (turn_alike s t c k A). split; auto.
  - rewrite (al_cfg _ _ A). destruct (c <? cores_n (cfg s)); [|split; auto].
    destruct (guest_alike s t w c g Is It A Small Rel). split; auto.
  - split; [auto|]. now apply chance_alike.
Qed.

(** The same of whole runs: where guests release the same at each step, the host is told the same, however
    much else they hold. *)
Fixpoint run (s : state) (es : list (weather * event)) : list output :=
  match es with
  | [] => []
  | (w, e) :: rest => snd (step s w e) :: run (fst (step s w e)) rest
  end.

Fixpoint releases (s : state) (es : list (weather * event)) : list (output * mode * news) :=
  match es with
  | [] => []
  | (w, e) :: rest => released s w e :: releases (fst (step s w e)) rest
  end.

Theorem confidentiality_of_runs es : forall s t,
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 ->
  alike s t -> releases s es = releases t es -> run s es = run t es.
Proof.
  induction es as [|[w e] rest IH]; intros s t Rs Rt Small A R; simpl; [reflexivity|].
  simpl in R. injection R as R1 R2.
  destruct (confidentiality s t w e Rs Rt Small A R1) as [O B]. rewrite O. f_equal.
  apply IH; auto; try (apply by_step; assumption).
  now rewrite (step_cfg s w e (reachable_invariant s Rs)).
Qed.
