(** * Integrity: nobody changes what is another's, but through the listed channels

    The channels are the constructors of Changes.v: each way in which any event changes a page, a vCPU or
    a VM. Here is what follows from that list: what a VM keeps whatever other VMs and the host do, and
    what the host keeps whatever VMs do. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Calls.Pages Calls.Life Calls.Vcpus Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Changes Proofs.MemoryMoves Proofs.Moves Proofs.PageChanges.
From Bulkhead Require Import Proofs.OtherChanges Proofs.GuestSteps Proofs.Reachable.
Open Scope N_scope.

(** The event is an act of a vCPU of VM [v]. *)
Definition acts_for (s : state) (e : event) (v : N) : Prop :=
  exists c i g, e = ByGuest c g /\ at_ (cores s c) = InGuest i /\ of_vm (vcpus s i) = v.

Ltac not_a_call :=
  match goal with H : is_call _ _ (ByGuest _ _) |- _ => inversion H end.

(** ** VM against VM: there is no channel at all *)

Theorem vms_are_apart s w c i g u :
  reachable s -> at_ (cores s c) = InGuest i -> u <> of_vm (vcpus s i) ->
  let s' := fst (step s w (ByGuest c g)) in
  vms s' u = vms s u
  /\ (forall j, of_vm (vcpus s j) = u -> vcpus s' j = vcpus s j)
  /\ (forall p, names (st (pages s p)) u = true -> pages s' p = pages s p)
  /\ (forall p, names (st (pages s' p)) u = true -> names (st (pages s p)) u = true).
Proof.
  intros R A D. cbv zeta. pose proof (reachable_invariant s R) as I.
  destruct (step_others s w (ByGuest c g) I) as [V M].
  assert (Who : forall d j, at_ (cores s d) = InGuest j -> ByGuest c g = ByGuest d g -> j = i).
  { intros d j Hj E. injection E as <-. congruence. }
  repeat split.
  - destruct (M u) as [E|C]; [auto|]. exfalso. destruct C; try not_a_call; try discriminate.
    injection H as <- <-. congruence.
  - intros j O. destruct (V j) as [E|C]; [auto|]. exfalso.
    destruct C; try not_a_call; try discriminate.
    + injection H as <- <-. congruence.
    + injection H as <- _. congruence.
    + injection H as <- _. congruence.
  - intros p N. destruct (step_pages s w (ByGuest c g) p I) as [E|C]; [auto|]. exfalso.
    destruct C; try (destruct H; not_a_call); try not_a_call; try discriminate.
    + inversion H; subst. destruct H0 as (S & _). rewrite S in N. simpl in N.
      apply N.eqb_eq in N. congruence.
    + inversion H; subst. destruct H0 as (S & _). rewrite S in N. simpl in N.
      apply N.eqb_eq in N. congruence.
    + inversion H; subst. destruct H0 as (S & _). rewrite S in N. simpl in N.
      apply N.eqb_eq in N. congruence.
    + inversion H; subst. pose proof (I2_leaves s _ _ l (inv_memory _ I) H0) as N'.
      assert (u = of_vm (vcpus s i0)).
      { unfold names in *. destruct (st (pages s (to l))); try discriminate;
          apply N.eqb_eq in N, N'; congruence. }
      congruence.
  - intros p. destruct (step_pages s w (ByGuest c g) p I) as [E|C]; [now rewrite E|].
    destruct C; try (destruct H; not_a_call); try not_a_call; try discriminate.
    + inversion H; subst. destruct H0 as (_ & S & _). rewrite S. simpl. intro N.
      apply N.eqb_eq in N. congruence.
    + inversion H; subst. destruct H0 as (_ & S & _). rewrite S. simpl. intro N.
      apply N.eqb_eq in N. congruence.
    + destruct H0 as (_ & [[S _]|S]); rewrite S; discriminate.
    + rewrite H3. auto.
Qed.

(** ** VM against host *)

(** What the host reaches alone, a VM's step leaves as it is. Channels to the host: stores to pages that
    are lent or shared, sharing, unsharing and giving back of the VM's own pages, and the exit. *)
Theorem hosts_pages_are_its_own s w e v p :
  reachable s -> acts_for s e v ->
  host_may (st (pages s p)) = true -> names (st (pages s p)) v = false ->
  pages (fst (step s w e)) p = pages s p.
Proof.
  intros R (c & i & g & -> & A & <-) Ho N. pose proof (reachable_invariant s R) as I.
  destruct (step_pages s w (ByGuest c g) p I) as [E|C]; [auto|]. exfalso.
  destruct C; try (destruct H; not_a_call); try not_a_call; try discriminate.
  - destruct H0 as (S & _). rewrite S in Ho. discriminate.
  - inversion H; subst. assert (i0 = i) by congruence. subst.
    destruct H0 as (S & _). rewrite S in N. simpl in N. rewrite N.eqb_refl in N. discriminate.
  - destruct H0 as (S & _). rewrite S in Ho. discriminate.
  - inversion H; subst. assert (i0 = i) by congruence. subst.
    pose proof (I2_leaves s _ _ l (inv_memory _ I) H0). congruence.
Qed.

(** ** Everybody against a VM *)

(** A VM's own page keeps state and content while the VM is not dying, whatever happens, unless the VM
    itself acts. *)
Theorem private_page_is_kept s w e v p :
  reachable s -> st (pages s p) = VmOwned v -> phase_of s v <> Some Dying -> ~ acts_for s e v ->
  st (pages (fst (step s w e)) p) = VmOwned v
  /\ holds (pages (fst (step s w e)) p) = holds (pages s p).
Proof.
  intros R O L N. pose proof (reachable_invariant s R) as I.
  destruct (step_pages s w e p I) as [E|C]; [rewrite E; auto|].
  assert (Own : forall i g, is_act s i g e -> of_vm (vcpus s i) = v -> False).
  { intros i g A <-. apply N. inversion A; subst. exists c, i, g. auto. }
  destruct C; unfold given, lent, unlent, donated, returned, shared, unshared, went_home in *.
  - destruct H0. congruence.
  - destruct H0 as [[?|[? ?]] _]; congruence.
  - destruct H0 as [[? ?] _]; congruence.
  - destruct H0. congruence.
  - destruct H0. congruence.
  - destruct H2 as [[[[k S] _]|[[S|[S|S]] _]]|[U1 U2]]; try congruence.
    rewrite U1, U2. auto.
  - destruct H0 as (S & _). exfalso. apply (Own _ _ H). congruence.
  - destruct H0. congruence.
  - destruct H0 as (S & _). exfalso. apply (Own _ _ H). congruence.
  - exfalso. apply (Own _ _ H). pose proof (I2_leaves s _ _ l (inv_memory _ I) H0) as Nm.
    rewrite H1, O in Nm. simpl in Nm. now apply N.eqb_eq in Nm.
  - rewrite O in H0. discriminate.
  - destruct H0 as [U1 U2]. rewrite U1, U2. auto.
Qed.

(** A vCPU's registers x0 to x30 change by its own acts, by the host's answer to what it waits for, by
    CPU_ON of its own VM while it is off, and when its slot becomes another vCPU; by nothing else. *)
Theorem registers_are_kept s w e i :
  reachable s -> place (vcpus s i) <> Absent ->
  ~ (exists c g, e = ByGuest c g /\ at_ (cores s c) = InGuest i) ->
  x (vcpus (fst (step s w e)) i) = x (vcpus s i)
  \/ (exists a, is_call VCPU_RESPOND a e /\ i = slot_of (x1 a)
        /\ match waits_for (vcpus s i) with AwaitRead _ _ _ _ | AwaitWrite | AwaitAnswer => True | _ => False end)
  \/ (acts_for s e (of_vm (vcpus s i)) /\ place (vcpus s i) = Off).
Proof.
  intros R There N. destruct (step_others s w e (reachable_invariant s R)) as [V _].
  destruct (V i) as [->|C]; [auto|]. destruct C.
  - congruence.
  - left. rewrite H2. reflexivity.
  - right. left. exists a. repeat split; auto.
    unfold complete in H1. destruct (waits_for (vcpus s i)), o; try discriminate; auto.
  - left. rewrite H1. reflexivity.
  - left. rewrite H1. reflexivity.
  - left. destruct H0 as [-> | ->]; [reflexivity|].
    unfold settle. destruct (waits_for (vcpus s i)); reflexivity.
  - elim N. exists c, g. auto.
  - right. right. split; [|auto]. exists c, j, (Hvc imm). auto.
  - left. rewrite H2. reflexivity.
Qed.

(** A VM's table, phase and members change by calls that name it and by its own acts; by nothing else. *)
Definition is_named (e : event) (v : N) : Prop :=
  exists k a, is_call k a e
    /\ In k [VM_MAP; VM_MAP_LIST; VM_LEND; VM_UNLEND; VM_START; VM_DESTROY; VM_RECLAIM; VCPU_CREATE]
    /\ v = slot_of (x1 a).

Theorem vm_is_kept s w e v :
  reachable s -> phase_of s v <> None -> ~ is_named e v -> ~ acts_for s e v ->
  let s' := fst (step s w e) in
  leaves (vms s' v) = leaves (vms s v) /\ phase_of s' v = phase_of s v
  /\ members (vms s' v) = members (vms s v) /\ generation (vms s' v) = generation (vms s v).
Proof.
  intros R L Nn Na. cbv zeta. destruct (step_others s w e (reachable_invariant s R)) as [_ M].
  unfold phase_of. destruct (M v) as [->|C]; [auto|]. destruct C.
  - elim L. exact H0.
  - elim Nn. exists k, a. repeat split; auto. simpl in *. tauto.
  - elim Nn. exists k, a. repeat split; auto. simpl in *. tauto.
  - elim Nn. exists VM_RECLAIM, a. repeat split; auto. simpl. tauto.
  - elim Nn. exists VCPU_CREATE, a. repeat split; auto. simpl. tauto.
  - rewrite H2. auto.
  - rewrite H1. auto.
  - elim Na. exists c, i, g. auto.
Qed.

(** A slot's new vCPU holds nothing of the one before: only what VCPU_CREATE was given. *)
Theorem a_new_vcpu_is_blank s w e a i :
  reachable s -> is_call VCPU_CREATE a e ->
  let u := vcpus (fst (step s w e)) i in
  u = vcpus s i
  \/ ((forall r, x u r = if r =? 0 then x4 a else 0) /\ pc u = x3 a /\ sys u = []
      /\ (forall n, irqs u n = no_irq) /\ waits_for u = Nothing /\ of_vm u = slot_of (x1 a)).
Proof.
  intros R C. cbv zeta. inversion C; subst.
  destruct (step_others s w (ByHost c (HostHvc 0 x0 a)) (reachable_invariant s R)) as [V _].
  destruct (V i) as [->|Ch]; [auto|].
  destruct Ch;
    try match goal with X : is_call ?k _ _ |- _ => inversion X; subst end; try discriminate; try congruence.
  - right. repeat split; auto.
  - simpl in H0. destruct H0 as [<-|[<-|[]]]; congruence.
Qed.
