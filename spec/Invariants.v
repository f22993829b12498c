(** * What holds in every reachable state

    I1 to I3, I6 and I8, as properties of one state. That they hold is Proofs/Reachable.v. (I4 is about
    steps: Scrub.v; I7 too: Transactional.v; I5 is about cores' TLBs, which this level does not have.)

    The one idea behind I1, I2 and I6: a page's state says how many leaves each VM has for it
    ([wants]), and that is how many there are. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State World Args Calls.Vcpus.
Open Scope N_scope.

(** How many leaves of VM [v] a page in this state has. *)
Definition wants (p : page_state) (v : N) : N :=
  match p with
  | VmOwned w | SharedByVm w | Scrubbing w => if w =? v then 1 else 0
  | Lent w times => if w =? v then times else 0
  | Reserved | HostFixed | HostOwned | EngineOwned | Poisoned => 0
  end.

Definition leads_to (p : N) (l : leaf) : bool := to l =? p.

(** ** A page by itself *)

Definition phase_of (s : state) (v : N) : option vm_state := phase (vms s v).

Record page_ok (s : state) (pg : page) : Prop := {
  (* The host's map has only what the host may reach. *)
  map_ok : host_mapped pg = true -> host_may (st pg) = true;
  (* A table is a page of the engine's, and of a VM that lives. *)
  table_ok : forall o, use pg = Table o -> st pg = EngineOwned;
  owner_ok : forall v, use pg = Table (Some v) -> phase_of s v <> None;
  (* What is lent is lent at least once. *)
  lent_ok : forall v times, st pg = Lent v times -> 0 < times;
  (* Only a dying VM's pages wait zeroed. *)
  scrubbing_ok : forall v, st pg = Scrubbing v -> phase_of s v = Some Dying /\ holds pg = zeroes
}.

(** ** Memory: pages and stage-2 tables agree *)

Record memory_ok (s : state) : Prop := {
  pages_ok : forall p, page_ok s (pages s p);
  leaves_ok : forall v p, count (leads_to p) (leaves (vms s v)) = wants (st (pages s p)) v;
  keys_ok : forall v, NoDup (keys (leaves (vms s v)));
  free_ok : forall v, phase_of s v = None -> leaves (vms s v) = []
}.

(** ** Scheduling: vCPUs, cores and the VMs they belong to agree *)

Record running_ok (s : state) : Prop := {
  (* A vCPU runs on the core that runs it, and on no other. *)
  runs_ok : forall i c, place (vcpus s i) = RunningOn c <-> at_ (cores s c) = InGuest i;
  core_ok : forall i c, at_ (cores s c) = InGuest i -> c < cores_n (cfg s);
  (* It was entered in a running VM, which may have been destroyed since. *)
  entered_ok : forall i c, at_ (cores s c) = InGuest i ->
    phase_of s (of_vm (vcpus s i)) = Some Running \/ phase_of s (of_vm (vcpus s i)) = Some Dying;
  (* A vCPU is a member of its VM, which lives; and the other way round. *)
  member_ok : forall i, place (vcpus s i) <> Absent ->
    In i (members (vms s (of_vm (vcpus s i)))) /\ phase_of s (of_vm (vcpus s i)) <> None;
  there_ok : forall v i, In i (members (vms s v)) ->
    place (vcpus s i) <> Absent /\ of_vm (vcpus s i) = v;
  (* Its affinity is its own in its VM. *)
  unique_ok : forall v i j, In i (members (vms s v)) -> In j (members (vms s v)) ->
    mpidr (vcpus s i) = mpidr (vcpus s j) -> i = j;
  affinity_ok : forall v i, In i (members (vms s v)) -> is_affinity (mpidr (vcpus s i)) = true;
  slot_ok : forall v i, In i (members (vms s v)) -> i < vcpus_n (cfg s)
}.

(** ** Both: no page waits zeroed while a vCPU of its VM is inside a core *)

Definition quiet_ok (s : state) : Prop :=
  forall p v c i, st (pages s p) = Scrubbing v -> at_ (cores s c) = InGuest i ->
    of_vm (vcpus s i) <> v.

Record invariant (s : state) : Prop := {
  inv_memory : memory_ok s;
  inv_running : running_ok s;
  inv_quiet : quiet_ok s
}.

(** ** The invariants by name, as consequences *)

(** Whose a page is. *)
Definition owner_of (p : page_state) : option (option dom) :=
  match p with
  | Reserved | Poisoned => None                     (* nobody's *)
  | EngineOwned => Some None                        (* the engine's *)
  | HostFixed | HostOwned | Lent _ _ => Some (Some Host)
  | VmOwned v | SharedByVm v | Scrubbing v => Some (Some (Vm v))
  end.

(** I1: a page that two VMs can reach does not exist, and what is one VM's own is reached by no other. *)
Theorem I1_one_vm s p v w : memory_ok s -> reaches s (Vm v) p -> reaches s (Vm w) p -> v = w.
Proof.
  intros M (a & l & Hl & <-) (b & m & Hm & E).
  pose proof (leaves_ok s M v (to l)) as Cv. pose proof (leaves_ok s M w (to l)) as Cw.
  assert (Pv : 0 < count (leads_to (to l)) (leaves (vms s v))).
  { eapply in_count; [eapply lookup_in, Hl|apply N.eqb_refl]. }
  assert (Pw : 0 < count (leads_to (to l)) (leaves (vms s w))).
  { eapply in_count; [eapply lookup_in, Hm|]. unfold leads_to. now apply N.eqb_eq. }
  rewrite Cv in Pv. rewrite Cw in Pw. unfold wants in Pv, Pw.
  destruct (st (pages s (to l))); try (now inversion Pv);
    destruct (N.eqb_spec v0 v), (N.eqb_spec v0 w); try (now inversion Pv); try (now inversion Pw);
    congruence.
Qed.

Theorem I1_owned_is_not_reached s p v :
  memory_ok s -> owner_of (st (pages s p)) = Some (Some (Vm v)) ->
  (forall w, w <> v -> ~ reaches s (Vm w) p)
  /\ (reaches s Host p -> exists w, st (pages s p) = SharedByVm w).
Proof.
  intros M O. split.
  - intros w D (a & l & Hl & <-).
    pose proof (leaves_ok s M w (to l)) as C.
    assert (P : 0 < count (leads_to (to l)) (leaves (vms s w))).
    { eapply in_count; [eapply lookup_in, Hl|apply N.eqb_refl]. }
    rewrite C in P. unfold owner_of in O. unfold wants in P.
    destruct (st (pages s (to l))); try discriminate; injection O as ->;
      destruct (N.eqb_spec v w); try (now inversion P); congruence.
  - simpl. unfold owner_of in O.
    destruct (st (pages s p)); try discriminate; simpl; try discriminate; eauto.
Qed.

(** I2: a leaf of VM [v] leads only to a page that is [v]'s, shared with it or lent to it. *)
Theorem I2_leaves s v a l :
  memory_ok s -> lookup a (leaves (vms s v)) = Some l -> names (st (pages s (to l))) v = true.
Proof.
  intros M Hl.
  pose proof (leaves_ok s M v (to l)) as C.
  assert (P : 0 < count (leads_to (to l)) (leaves (vms s v))).
  { eapply in_count; [eapply lookup_in, Hl|apply N.eqb_refl]. }
  rewrite C in P. unfold wants in P. unfold names.
  destruct (st (pages s (to l))); try (now inversion P);
    destruct (N.eqb_spec v0 v); auto; now inversion P.
Qed.

(** I2 for the host: its map leads only to what it may reach. *)
Theorem I2_host_map s p : memory_ok s -> host_mapped (pages s p) = true -> reaches s Host p.
Proof. intros M H. simpl. now apply (map_ok _ _ (pages_ok s M p)). Qed.

(** I3: what the host or a VM reaches is none of the engine's pages, and no table. *)
Theorem I3_engine_is_not_reached s d p :
  memory_ok s -> reaches s d p -> st (pages s p) <> EngineOwned /\ forall o, use (pages s p) <> Table o.
Proof.
  intros M R.
  assert (N : st (pages s p) <> EngineOwned).
  { destruct d as [|v]; simpl in R.
    - intro E. now rewrite E in R.
    - destruct R as (a & l & Hl & <-). pose proof (I2_leaves s v a l M Hl) as H.
      intro E. now rewrite E in H. }
  split; [auto|]. intros o E. apply N. now apply (table_ok _ _ (pages_ok s M p) o).
Qed.

(** I6: a page that is a VM's, or lent to it, is a live VM's; and the VM has a leaf for it, by which
    VM_RECLAIM finds it. A table of a VM's is a live VM's too. *)
Theorem I6_no_page_is_lost s p v :
  memory_ok s -> names (st (pages s p)) v = true ->
  phase_of s v <> None /\ exists a l, lookup a (leaves (vms s v)) = Some l /\ to l = p.
Proof.
  intros M H.
  pose proof (leaves_ok s M v p) as C.
  assert (P : 0 < count (leads_to p) (leaves (vms s v))).
  { rewrite C. unfold names in H. unfold wants.
    destruct (st (pages s p)) eqn:E; try discriminate; rewrite H; try reflexivity.
    now apply (lent_ok _ _ (pages_ok s M p) v0 times). }
  destruct (count_in _ _ P) as (a & l & I & F).
  split.
  - intro F'. rewrite (free_ok s M v F') in I. contradiction.
  - exists a, l. split; [now apply in_lookup; [apply (keys_ok s M)|]|now apply N.eqb_eq].
Qed.

Theorem I6_no_table_is_lost s p v :
  memory_ok s -> use (pages s p) = Table (Some v) ->
  st (pages s p) = EngineOwned /\ phase_of s v <> None.
Proof.
  intros M H. split.
  - now apply (table_ok _ _ (pages_ok s M p) (Some v)).
  - now apply (owner_ok _ _ (pages_ok s M p) v).
Qed.

(** I8: a vCPU runs on one core at most, a core runs one vCPU at most, and what runs was entered while
    its VM was Running. *)
Theorem I8_one_core s i c d :
  running_ok s -> at_ (cores s c) = InGuest i -> at_ (cores s d) = InGuest i -> c = d.
Proof.
  intros R Hc Hd. apply (runs_ok s R) in Hc. apply (runs_ok s R) in Hd. congruence.
Qed.

Theorem I8_of_a_live_vm s i c :
  running_ok s -> at_ (cores s c) = InGuest i ->
  phase_of s (of_vm (vcpus s i)) = Some Running \/ phase_of s (of_vm (vcpus s i)) = Some Dying.
Proof. intro R. apply (entered_ok s R). Qed.
