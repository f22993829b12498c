(** * I4: what reaches a new owner was zero or was given willingly

    Whenever, by any step, somebody begins to reach a page that he did not reach before, its content is
    zero, or whoever could store to it gave it away by that very step, to him. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Calls.Pages Calls.Life Guest.Decode Guest.Run Guest.Acts.
From Bulkhead Require Import Invariants Changes Proofs.MemoryMoves Proofs.Moves Proofs.PageChanges Proofs.Reachable.
Open Scope N_scope.

(** The step by which the page's owner gives [p] to [d]: the host by VM_MAP, VM_MAP_LIST or VM_LEND, a VM
    by MEM_SHARE. Only the owner's own step counts. *)
Inductive gives (s : state) (e : event) (p : N) : dom -> Prop :=
| host_gives k a :
    In k [VM_MAP; VM_MAP_LIST; VM_LEND] -> is_call k a e ->
    owner_of (st (pages s p)) = Some (Some Host) ->
    gives s e p (Vm (slot_of (x1 a)))
| vm_gives i imm :
    is_act s i (Hvc imm) e ->
    owner_of (st (pages s p)) = Some (Some (Vm (of_vm (vcpus s i)))) ->
    gives s e p Host.

(** Who reaches a page, by its state. *)
Definition may (p : page_state) (d : dom) : bool :=
  match d with Host => host_may p | Vm v => names p v end.

Lemma reaches_may s d p : memory_ok s -> (reaches s d p <-> may (st (pages s p)) d = true).
Proof.
  intro M. destruct d as [|v]; simpl; [tauto|]. split.
  - intros (a & l & L & <-). eapply I2_leaves; eauto.
  - intro H. now apply I6_no_page_is_lost.
Qed.

(** Who reaches it after and did not before: from the list of changes. *)
Lemma change_scrubs s e p before after d :
  before = pages s p -> page_changes s e p before after ->
  may (st after) d = true -> may (st before) d = false ->
  holds after = zeroes \/ gives s e p d.
Proof.
  intros B C A N. destruct C.
  - (* VM_MAP *)
    destruct H0 as (S & S' & _). rewrite S' in A. right.
    destruct d as [|v]; [discriminate|]. simpl in A. apply N.eqb_eq in A. subst v.
    destruct H as [H|H]; eapply host_gives; eauto; try (simpl; tauto); now rewrite <- B, S.
  - (* VM_LEND *)
    destruct H0 as ([S|[k S]] & [k' S'] & _); rewrite S' in A; rewrite S in N.
    + destruct d as [|v]; [discriminate|]. simpl in A. apply N.eqb_eq in A. subst v.
      right. eapply host_gives; eauto; [simpl; tauto|]. now rewrite <- B, S.
    + destruct d; simpl in *; congruence.
  - (* VM_UNLEND *)
    destruct H0 as ([k S] & [S'|[k' S']] & _); rewrite S' in A; rewrite S in N;
      destruct d; simpl in *; congruence.
  - (* ENGINE_DONATE, PAGE_POISON *)
    destruct H0 as (S & [[S' Z]|S']); rewrite S' in A; destruct d; discriminate.
  - (* ENGINE_RECLAIM *)
    destruct H0 as (S & [[S' Z]|S']); rewrite S' in A; [auto|destruct d; discriminate].
  - (* VM_RECLAIM *)
    destruct H2 as [[U|[_ [P|[Z _]]]]|[U _]]; auto.
    + destruct U as ([k S] & [S'|[k' S']] & _); rewrite S' in A; rewrite S in N;
        destruct d; simpl in *; congruence.
    + rewrite P in A. destruct d; discriminate.
    + rewrite U in A. congruence.
  - (* MEM_SHARE *)
    destruct H0 as (S & S' & _). rewrite S' in A. rewrite S in N.
    destruct d as [|v]; simpl in *; [|congruence].
    right. eapply vm_gives; eauto. now rewrite <- B, S.
  - (* MEM_UNSHARE *)
    destruct H0 as (S & S' & _). rewrite S' in A. rewrite S in N. destruct d; simpl in *; congruence.
  - (* MEM_RELINQUISH *)
    destruct H0 as (S & [[S' Z]|S']); rewrite S' in A; [auto|destruct d; discriminate].
  - congruence.
  - congruence.
  - destruct H0. congruence.
Qed.

Theorem scrub s w e d p :
  reachable s ->
  let s' := fst (step s w e) in
  reaches s' d p -> ~ reaches s d p ->
  holds (pages s' p) = zeroes \/ gives s e p d.
Proof.
  intros R. cbv zeta. intros A N.
  pose proof (reachable_invariant s R) as I.
  pose proof (step_invariant s w e I) as I'.
  rewrite (reaches_may _ d p (inv_memory _ I')) in A.
  rewrite (reaches_may _ d p (inv_memory _ I)) in N. apply not_true_is_false in N.
  destruct (step_pages s w e p I) as [E|C].
  - rewrite E in A. congruence.
  - eapply change_scrubs; eauto.
Qed.

(** A page whose owner was the engine, or was a VM's alone, comes to another with nothing of what it
    held: no step of the new owner's, nor of anybody else's, makes it readable. *)
Theorem private_content_is_never_read_by_another s w e p v d :
  reachable s ->
  owner_of (st (pages s p)) = Some (Some (Vm v)) -> d <> Vm v ->
  ~ reaches s d p ->
  (forall i imm, of_vm (vcpus s i) = v -> ~ is_act s i (Hvc imm) e) ->
  let s' := fst (step s w e) in
  reaches s' d p -> holds (pages s' p) = zeroes.
Proof.
  intros R O D N Not. cbv zeta. intro A.
  destruct (scrub s w e d p R A N) as [Z|G]; [auto|]. exfalso. inversion G; subst.
  - congruence.
  - apply (Not i imm); [congruence|auto].
Qed.

(** The same of what the engine keeps in its pages. *)
Theorem engine_content_is_never_read s w e p d :
  reachable s -> st (pages s p) = EngineOwned ->
  let s' := fst (step s w e) in
  reaches s' d p -> holds (pages s' p) = zeroes.
Proof.
  intros R O. cbv zeta. intro A.
  assert (N : ~ reaches s d p).
  { intro Q. apply (I3 s d p R) in Q. tauto. }
  destruct (scrub s w e d p R A N) as [Z|G]; [auto|]. inversion G; rewrite O in *; discriminate.
Qed.

(** No page that is RAM is ever forgotten. *)
Theorem ram_stays_ram s w e p :
  reachable s -> st (pages s p) <> Reserved -> st (pages (fst (step s w e)) p) <> Reserved.
Proof.
  intros R N. destruct (step_pages s w e p (reachable_invariant s R)) as [E|C]; [congruence|].
  destruct C; unfold given, lent, unlent, donated, returned, reclaimed, unlent, shared, unshared, went_home, unmoved in *;
    intuition (repeat match goal with H : exists _, _ |- _ => destruct H end; congruence).
Qed.

(** A page with a memory error that was found stays nobody's. *)
Theorem poisoned_stays_poisoned s w e p :
  reachable s -> st (pages s p) = Poisoned -> st (pages (fst (step s w e)) p) = Poisoned.
Proof.
  intros R N. destruct (step_pages s w e p (reachable_invariant s R)) as [E|C]; [congruence|].
  destruct C; unfold given, lent, unlent, donated, returned, reclaimed, unlent, shared, unshared, went_home, unmoved in *;
    intuition (repeat match goal with H : exists _, _ |- _ => destruct H end; congruence).
Qed.

(** ** In every reachable state

    [entitled s k]: [s] is reachable, and by the steps that led there [k p d] says of page [p] and of [d] that what
    [p] holds is nothing that [d] must not see. It was so at boot for who reached the page. It is so from when the
    page is zero, or is given to [d] by its owner; and ends when the page changes while [d] does not reach it. *)
Inductive entitled : state -> (N -> dom -> Prop) -> Prop :=
| entitled_at_boot s : initial s -> entitled s (fun p d => reaches s d p)
| entitled_after s k w e :
    entitled s k ->
    let s' := fst (step s w e) in
    entitled s' (fun p d =>
      holds (pages s' p) = zeroes
      \/ gives s e p d
      \/ (k p d /\ (holds (pages s' p) = holds (pages s p) \/ reaches s d p))).

Lemma entitled_reachable s k : entitled s k -> reachable s.
Proof. induction 1; [now apply at_boot|now apply by_step]. Qed.

(** Each reachable state has such a history. *)
Theorem reachable_entitled s : reachable s -> exists k, entitled s k.
Proof.
  induction 1 as [s B|s w e R [k K]]; eexists; [now apply entitled_at_boot|exact (entitled_after s k w e K)].
Qed.

(** I4: who reaches a page finds nothing there that he must not see. *)
Theorem I4 s k d p : entitled s k -> reaches s d p -> k p d.
Proof.
  intro E. revert d p. induction E as [s B|s k w e E IH]; intros d p A; [exact A|].
  pose proof (entitled_reachable _ _ E) as R. pose proof (reachable_invariant s R) as I.
  destruct (may (st (pages s p)) d) eqn:Before.
  - right. right. apply (reaches_may s d p (inv_memory _ I)) in Before. auto.
  - assert (N : ~ reaches s d p).
    { intro X. apply (reaches_may s d p (inv_memory _ I)) in X. congruence. }
    destruct (scrub s w e d p R A N); auto.
Qed.
