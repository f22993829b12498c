(** * The end of a VM: its slot, its vCPUs' slots and its tables are free again, and nothing is lost *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Calls.Life.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.RunningMoves.
Open Scope N_scope.

Lemma member_true i l : existsb (N.eqb i) l = true <-> In i l.
Proof.
  rewrite existsb_exists. split.
  - intros (j & I & E). apply N.eqb_eq in E. now subst.
  - intro I. exists i. now rewrite N.eqb_refl.
Qed.

Lemma end_phase s v w : phase_of (end_vm s v) w = if w =? v then None else phase_of s w.
Proof. unfold phase_of, end_vm, put_vm, with_vms, upd. simpl. destruct (w =? v); auto. Qed.

Lemma free_table_st v pg : st (free_table v pg) = st pg.
Proof. unfold free_table. destruct (use pg) as [|[o|]]; auto. destruct (o =? v); auto. Qed.
Lemma free_table_holds v pg : holds (free_table v pg) = holds pg.
Proof. unfold free_table. destruct (use pg) as [|[o|]]; auto. destruct (o =? v); auto. Qed.
Lemma free_table_mapped v pg : host_mapped (free_table v pg) = host_mapped pg.
Proof. unfold free_table. destruct (use pg) as [|[o|]]; auto. destruct (o =? v); auto. Qed.
Lemma free_table_use v pg o : use (free_table v pg) = Table o -> use pg = Table o /\ o <> Some v.
Proof.
  unfold free_table. destruct (use pg) as [|[u|]] eqn:U.
  - rewrite U. discriminate.
  - destruct (N.eqb_spec u v); simpl; [discriminate|]. rewrite U. intro H. split; congruence.
  - rewrite U. intro H. split; congruence.
Qed.

Lemma memory_end s v : leaves (vms s v) = [] -> memory_ok s -> memory_ok (end_vm s v).
Proof.
  intros L M.
  assert (L' : forall w, leaves (vms (end_vm s v) w) = leaves (vms s w)).
  { intro w. unfold end_vm, put_vm, with_vms, upd. simpl. destruct (N.eqb_spec w v); subst; auto. }
  assert (N : forall p, names (st (pages s p)) v = false).
  { intro p. destruct (names (st (pages s p)) v) eqn:E; auto.
    destruct (I6_no_page_is_lost s p v M E) as (_ & a & l & H & _). rewrite L in H. discriminate. }
  split.
  - intro p. change (pages (end_vm s v) p) with (free_table v (pages s p)).
    destruct (pages_ok s M p) as [A B C D F]. split.
    + rewrite free_table_mapped, free_table_st. auto.
    + intros o H. apply free_table_use in H as [H _]. rewrite free_table_st. eauto.
    + intros w H. apply free_table_use in H as [H W]. rewrite end_phase.
      destruct (N.eqb_spec w v); [congruence|]. exact (C w H).
    + intros w k. rewrite free_table_st. apply D.
    + intros w. rewrite free_table_st, free_table_holds, end_phase. intro H.
      destruct (N.eqb_spec w v) as [->|]; [|exact (F w H)].
      specialize (N p). rewrite H in N. simpl in N. rewrite N.eqb_refl in N. discriminate.
  - intros w p. rewrite L'. change (pages (end_vm s v) p) with (free_table v (pages s p)).
    rewrite free_table_st. apply (leaves_ok s M).
  - intro w. rewrite L'. apply (keys_ok s M).
  - intros w. rewrite end_phase, L'. destruct (N.eqb_spec w v) as [->|]; [auto|apply (free_ok s M)].
Qed.

Lemma not_inside s v i c :
  running_ok s -> inside s v = [] -> at_ (cores s c) = InGuest i -> of_vm (vcpus s i) <> v.
Proof.
  intros R E A O. assert (I : In c (inside s v)); [|rewrite E in I; contradiction].
  unfold inside. apply filter_In. split.
  - apply in_below. eapply (core_ok s R); eauto.
  - rewrite A. now apply N.eqb_eq.
Qed.

Lemma running_end s v : inside s v = [] -> running_ok s -> running_ok (end_vm s v).
Proof.
  intros I R. pose proof R as [A B D E F U Y S].
  assert (Mm : forall w, members (vms (end_vm s v) w) = if w =? v then [] else members (vms s w)).
  { intro w. unfold end_vm, put_vm, with_vms, upd. simpl. destruct (w =? v); auto. }
  assert (V : forall i, vcpus (end_vm s v) i =
              if existsb (N.eqb i) (members (vms s v)) then free_vcpu (vcpus s i) else vcpus s i) by reflexivity.
  assert (O : forall i, of_vm (vcpus (end_vm s v) i) = of_vm (vcpus s i)).
  { intro i. rewrite V. destruct (existsb _ _); auto. }
  assert (Id : forall i, mpidr (vcpus (end_vm s v) i) = mpidr (vcpus s i)).
  { intro i. rewrite V. destruct (existsb _ _); auto. }
  split; intros *.
  - change (cores (end_vm s v) c) with (cores s c). rewrite V.
    destruct (existsb (N.eqb i) (members (vms s v))) eqn:X; [|apply A].
    apply member_true in X. apply F in X as [_ X].
    split; [discriminate|]. intro H. elim (not_inside s v i c R I H X).
  - apply B.
  - intro H. change (cores (end_vm s v) c) with (cores s c) in H.
    rewrite O, end_phase. pose proof (not_inside s v i c R I H) as Q.
    apply N.eqb_neq in Q. rewrite Q. eapply D; eauto.
  - rewrite V. destruct (existsb (N.eqb i) (members (vms s v))) eqn:X; [simpl; congruence|].
    intro H. apply E in H as [H1 H2]. rewrite Mm, end_phase.
    destruct (N.eqb_spec (of_vm (vcpus s i)) v) as [Q|]; [|auto].
    rewrite Q in H1. apply member_true in H1. congruence.
  - rewrite Mm. destruct (N.eqb_spec v0 v) as [|Q]; [contradiction|].
    intro H. rewrite O, V. apply F in H as [H1 H2].
    destruct (existsb (N.eqb i) (members (vms s v))) eqn:X; [|auto].
    apply member_true in X. apply F in X as [_ X]. congruence.
  - rewrite Mm, !Id. destruct (v0 =? v); [contradiction|apply U].
  - rewrite Mm, Id. destruct (v0 =? v); [contradiction|apply Y].
  - rewrite Mm. destruct (v0 =? v); [contradiction|apply S].
Qed.
