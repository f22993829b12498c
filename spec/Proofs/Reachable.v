(** * The invariants hold in every reachable state *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step Guest.Run Guest.Acts HostSide.
From Bulkhead Require Import Invariants Proofs.HostCalls Proofs.GuestSteps.
Open Scope N_scope.

Theorem initial_invariant s : initial s -> invariant s.
Proof.
  intros [P M T V U C]. split.
  - split.
    + intro p. specialize (P p). split.
      * apply M.
      * intros o E. apply T. congruence.
      * intros v E. assert (use (pages s p) <> Unused) by congruence.
        destruct (T p H). congruence.
      * intros v k E. rewrite E in P. discriminate.
      * intros v E. rewrite E in P. discriminate.
    + intros v p. destruct (V v) as (_ & -> & _). simpl. specialize (P p).
      destruct (st (pages s p)); try discriminate; reflexivity.
    + intro v. destruct (V v) as (_ & -> & _). constructor.
    + intros v _. now destruct (V v) as (_ & -> & _).
  - split.
    + intros i c. rewrite U, C. split; discriminate.
    + intros i c E. rewrite C in E. discriminate.
    + intros i c E. rewrite C in E. discriminate.
    + intros i H. elim H. apply U.
    + intros v i H. destruct (V v) as (_ & _ & E). rewrite E in H. contradiction.
    + intros v i j H. destruct (V v) as (_ & _ & E). rewrite E in H. contradiction.
    + intros v i H. destruct (V v) as (_ & _ & E). rewrite E in H. contradiction.
    + intros v i H. destruct (V v) as (_ & _ & E). rewrite E in H. contradiction.
  - intros p v c i E. specialize (P p). rewrite E in P. discriminate.
Qed.

Theorem step_invariant s w e : invariant s -> invariant (fst (step s w e)).
Proof.
  intro I. unfold step. destruct (machine_off s); [exact I|].
  destruct e as [c h|c t|c g|h].
  - destruct (runs_host s c) eqn:H; [|exact I]. destruct h; simpl.
    + unfold host_hvc. destruct (if imm =? 0 then call_of x0 else None) as [k|]; [|exact I].
      pose proof (host_call_invariant k s w c a H I) as K.
      destruct (host_call k s w c a). exact K.
    + now apply smc_invariant.
    + exact I.
    + now apply host_store_invariant.
  - destruct (N.ltb_spec c (cores_n (cfg s))); [|exact I]. now apply turn_invariant.
  - destruct (c <? cores_n (cfg s)); [|exact I]. now apply guest_invariant.
  - simpl. now apply chance_invariant.
Qed.

Theorem reachable_invariant s : reachable s -> invariant s.
Proof. induction 1; [now apply initial_invariant|now apply step_invariant]. Qed.

(** ** By name *)

(** I1: no page is reached by two VMs; a VM's own page by no other VM, and by the host only if shared. *)
Theorem I1 s p :
  reachable s ->
  (forall v w, reaches s (Vm v) p -> reaches s (Vm w) p -> v = w)
  /\ (forall v, owner_of (st (pages s p)) = Some (Some (Vm v)) ->
        (forall w, w <> v -> ~ reaches s (Vm w) p)
        /\ (reaches s Host p -> exists w, st (pages s p) = SharedByVm w)).
Proof.
  intro R. apply reachable_invariant in R as [M _ _]. split; intros.
  - eapply I1_one_vm; eauto.
  - now apply I1_owned_is_not_reached.
Qed.

(** I2: a leaf leads to a page that is its VM's, shared with it or lent to it; the host's to its own. *)
Theorem I2 s :
  reachable s ->
  (forall v a l, lookup a (leaves (vms s v)) = Some l -> names (st (pages s (to l))) v = true)
  /\ (forall p, host_mapped (pages s p) = true -> reaches s Host p).
Proof.
  intro R. apply reachable_invariant in R as [M _ _]. split; intros.
  - eapply I2_leaves; eauto.
  - now apply I2_host_map.
Qed.

(** I3: nobody reaches a table or another page of the engine's. *)
Theorem I3 s d p :
  reachable s -> reaches s d p -> st (pages s p) <> EngineOwned /\ forall o, use (pages s p) <> Table o.
Proof. intro R. apply reachable_invariant in R as [M _ _]. now apply I3_engine_is_not_reached. Qed.

(** I6: pages and tables of a VM are a live VM's, and its table leads to each of its pages. *)
Theorem I6 s p v :
  reachable s ->
  (names (st (pages s p)) v = true ->
     phase_of s v <> None /\ exists a l, lookup a (leaves (vms s v)) = Some l /\ to l = p)
  /\ (use (pages s p) = Table (Some v) -> st (pages s p) = EngineOwned /\ phase_of s v <> None).
Proof.
  intro R. apply reachable_invariant in R as [M _ _]. split; intro.
  - now apply I6_no_page_is_lost.
  - now apply I6_no_table_is_lost.
Qed.

(** I8: a vCPU is on one core at most, and where one runs it was entered while its VM was Running. *)
Theorem I8 s i :
  reachable s ->
  (forall c d, at_ (cores s c) = InGuest i -> at_ (cores s d) = InGuest i -> c = d)
  /\ (forall c, place (vcpus s i) = RunningOn c <-> at_ (cores s c) = InGuest i)
  /\ (forall c, at_ (cores s c) = InGuest i ->
        phase_of s (of_vm (vcpus s i)) = Some Running \/ phase_of s (of_vm (vcpus s i)) = Some Dying).
Proof.
  intro R. apply reachable_invariant in R as [_ U _]. repeat split; intros.
  - eapply I8_one_core; eauto.
  - now apply (runs_ok s U).
  - now apply (runs_ok s U).
  - eapply I8_of_a_live_vm; eauto.
Qed.

