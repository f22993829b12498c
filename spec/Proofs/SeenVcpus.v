(** * vCPUs that change alike, and leave or go on alike

    Each change of a vCPU's registers, done to two that look the same to their VM, leaves two that look the same. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step Seen.
From Bulkhead Require Import Calls.Vcpus Guest.Run Guest.Hvc Guest.Acts.
Open Scope N_scope.

(** ** vCPUs that change alike *)

Section Vcpu.
  Variables u u' : vcpu.
  Hypothesis U : same_vcpu u u'.

  Lemma seen_x f g : (forall r, g r = f r) -> same_vcpu (set_x u f) (set_x u' g).
  Proof. destruct U. split; auto. Qed.
  Lemma seen_pc n : same_vcpu (set_pc u n) (set_pc u' n).
  Proof. destruct U. split; auto. Qed.
  Lemma seen_next : same_vcpu (next_pc u) (next_pc u').
  Proof. unfold next_pc. destruct U. split; auto. simpl. congruence. Qed.
  Lemma seen_sys l : same_vcpu (set_sys u l) (set_sys u' l).
  Proof. destruct U. split; auto. Qed.
  Lemma seen_waits p : same_vcpu (set_waits u p) (set_waits u' p).
  Proof. destruct U. split; auto. Qed.
  Lemma seen_waiting b : same_vcpu (set_waiting u b) (set_waiting u' b).
  Proof. destruct U. split; auto. Qed.
  Lemma seen_exception code : same_vcpu (take_exception u code) (take_exception u' code).
  Proof. unfold take_exception. destruct U. split; auto. simpl. congruence. Qed.
  Lemma seen_upd r n : same_vcpu (set_x u (upd (x u) r n)) (set_x u' (upd (x u') r n)).
  Proof. apply seen_x. intro q. unfold upd. destruct (q =? r); [auto|apply (sv_x _ _ U)]. Qed.
  Lemma seen_reg r n : same_vcpu (set_reg u r n) (set_reg u' r n).
  Proof. unfold set_reg. destruct (r =? 31); [exact U|apply seen_upd]. Qed.
  Lemma seen_first4 a b c d : same_vcpu (set_first4 u a b c d) (set_first4 u' a b c d).
  Proof.
    unfold set_first4. apply seen_x. intro r. unfold upd. destruct (r =? 3), (r =? 2), (r =? 1), (r =? 0); auto.
    apply (sv_x _ _ U).
  Qed.
  Lemma seen_irq n f :
    same_vcpu (set_irqs u (upd (irqs u) n (f (irqs u n)))) (set_irqs u' (upd (irqs u') n (f (irqs u' n)))).
  Proof.
    pose proof (sv_irqs _ _ U) as Q. destruct U. split; auto.
    intro m. simpl. unfold upd. rewrite (Q n). destruct (m =? n); auto.
  Qed.
  Lemma seen_place p q :
    power_seen_of (set_place u' q) = power_seen_of (set_place u p) ->
    same_vcpu (set_place u p) (set_place u' q).
  Proof. intro P. destruct U. split; auto. Qed.
  Lemma seen_value r : reg_value u' r = reg_value u r.
  Proof. unfold reg_value. destruct (r =? 31); [auto|apply (sv_x _ _ U)]. Qed.
End Vcpu.

Lemma seen_answer_x0 u u' z : same_vcpu u u' -> same_vcpu (answer_x0 u z) (answer_x0 u' z).
Proof. intro U. apply seen_next, seen_upd, U. Qed.
Lemma seen_answer4 u u' a b c d : same_vcpu u u' -> same_vcpu (answer4 u a b c d) (answer4 u' a b c d).
Proof. intro U. apply seen_next, seen_first4, U. Qed.
Lemma seen_settle u u' : same_vcpu u u' -> same_vcpu (settle u) (settle u').
Proof.
  intro U. unfold settle. rewrite (sv_waits _ _ U). apply seen_waiting, seen_waits.
  destruct (waits_for u); auto using seen_next.
Qed.

(** ** How a vCPU leaves, or goes on *)

Section Leaves.
  Variables (v : N) (s t : state) (i : N) (u u' : vcpu).
  Hypothesis L : looks_same v s t.
  Hypothesis U : same_vcpu u u'.

  Lemma same_resume : looks_same v (fst (resume s i u)) (fst (resume t i u')).
  Proof. now apply looks_vcpu. Qed.

  Lemma same_end c d : looks_same v (fst (end_turn s c i u)) (fst (end_turn t d i u')).
  Proof. unfold end_turn. simpl. apply looks_mode, looks_vcpu; auto. now apply seen_place. Qed.

  Lemma same_exit c d why x y :
    looks_same v (fst (exit_to_host s c i u why x)) (fst (exit_to_host t d i u' why y)).
  Proof.
    unfold exit_to_host. simpl. apply looks_mode, looks_vcpu; auto. destruct (is_end why).
    - apply seen_place; [now apply seen_waits|]. destruct why; reflexivity.
    - apply seen_place; [exact U|]. destruct why; reflexivity.
  Qed.
End Leaves.

(** ** SGIs *)

Lemma raise_shape s intid j v : same_shape (vms s v) (vms (raise s intid j) v).
Proof.
  unfold raise. destruct (_ && _); [|apply same_shape_refl]. simpl. unfold upd.
  destruct (N.eqb_spec v (of_vm (vcpus s j))) as [->|]; split; reflexivity.
Qed.
Lemma raise_leaves s intid j v a : leaf_at (raise s intid j) v a = leaf_at s v a.
Proof.
  unfold leaf_at, raise. destruct (_ && _); [|reflexivity]. simpl. unfold upd.
  destruct (N.eqb_spec v (of_vm (vcpus s j))) as [->|]; reflexivity.
Qed.
Lemma raise_vcpus s intid j k :
  vcpus (raise s intid j) k =
  if k =? j then set_irqs (vcpus s j) (upd (irqs (vcpus s j)) intid
    (Irq true (level (irqs (vcpus s j) intid)) (priority (irqs (vcpus s j) intid)))) else vcpus s k.
Proof. unfold raise. destruct (_ && _); reflexivity. Qed.

Lemma same_raise v s t intid j :
  looks_same v s t -> In j (members (vms s v)) -> looks_same v (raise s intid j) (raise t intid j).
Proof.
  intros L J. eapply looks_vcpus; eauto using raise_shape, raise_leaves;
    try (unfold raise; destruct (_ && _); reflexivity).
  intros k K. rewrite !raise_vcpus. destruct (k =? j); [|now apply (ls_vcpus _ _ _ L)].
  exact (seen_irq _ _ (ls_vcpus _ _ _ L j J) intid (fun q => Irq true (level q) (priority q))).
Qed.

Lemma same_sgi v intid targets : forall s t,
  looks_same v s t -> looks_same v (send_sgi s v intid targets) (send_sgi t v intid targets).
Proof.
  unfold send_sgi. induction targets as [|j rest IH]; intros s t L; simpl; [exact L|].
  apply IH. rewrite (same_members v s t L).
  destruct (existsb (N.eqb j) (members (vms s v))) eqn:M; [|exact L]. simpl.
  destruct (intid <? 16); [|exact L]. apply same_raise; [exact L|].
  apply existsb_exists in M as (k & I & E). apply N.eqb_eq in E. now subst.
Qed.
