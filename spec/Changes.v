(** * Why a page, a vCPU or a VM changes: the whole list

    [page_changes s e p] says for each event in which ways it may change page [p]; [vcpu_changes],
    [vm_changes] and [leaf_changes] say the same of vCPUs, VM slots and leaves of a VM's table. That nothing else
    changes them, Proofs/PageChanges.v, Proofs/OtherChanges.v and Proofs/LeafChanges.v prove. What is stated
    about scrubbing and about integrity follows from these lists alone: they are the channels between host and VMs. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Calls.Pages Calls.Life Calls.Vcpus Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.Moves.
Open Scope N_scope.

(** The event is this call of the host. *)
Inductive is_call (k : call) (a : args) : event -> Prop :=
| is_call_ c x0 : call_of x0 = Some k -> is_call k a (ByHost c (HostHvc 0 x0 a)).

(** The event is an act of vCPU [i], which runs. *)
Inductive is_act (s : state) (i : N) (g : act) : event -> Prop :=
| is_act_ c : at_ (cores s c) = InGuest i -> is_act s i g (ByGuest c g).

(** Whose state is the same; hardware and the engine's bookkeeping may differ. *)
Definition unmoved (a b : page) : Prop := st b = st a /\ holds b = holds a.

Inductive page_changes (s : state) (e : event) (p : N) (before after : page) : Prop :=
| given_by_map a :
    is_call VM_MAP a e \/ is_call VM_MAP_LIST a e ->
    given (slot_of (x1 a)) before after -> page_changes s e p before after
| lent_by_call a :
    is_call VM_LEND a e -> lent (slot_of (x1 a)) before after -> page_changes s e p before after
| unlent_by_call a :
    is_call VM_UNLEND a e -> unlent (slot_of (x1 a)) before after -> page_changes s e p before after
| donated_by_call a :
    is_call ENGINE_DONATE a e \/ is_call PAGE_POISON a e ->
    donated before after -> page_changes s e p before after
| returned_by_call a :
    is_call ENGINE_RECLAIM a e -> returned before after -> page_changes s e p before after
| reclaimed_by_call a :
    is_call VM_RECLAIM a e -> phase_of s (slot_of (x1 a)) = Some Dying ->
    inside s (slot_of (x1 a)) = [] ->
    reclaimed (slot_of (x1 a)) before after \/ unmoved before after ->
    page_changes s e p before after
| shared_by_guest i imm :
    is_act s i (Hvc imm) e -> shared (of_vm (vcpus s i)) before after -> page_changes s e p before after
| unshared_by_guest i imm :
    is_act s i (Hvc imm) e -> unshared (of_vm (vcpus s i)) before after -> page_changes s e p before after
| relinquished_by_guest i imm :
    is_act s i (Hvc imm) e -> went_home (of_vm (vcpus s i)) before after -> page_changes s e p before after
| stored_by_guest i x a l :
    is_act s i (Touch x) e -> lookup a (leaves (vms s (of_vm (vcpus s i)))) = Some l ->
    to l = p -> can_write l = true -> st after = st before -> page_changes s e p before after
| stored_by_host c q k v :
    e = ByHost c (HostStore q k v) -> host_may (st before) = true -> st after = st before ->
    page_changes s e p before after
| by_chance h :
    e = ByChance h -> unmoved before after -> page_changes s e p before after.

(** ** Why a vCPU changes *)

Inductive vcpu_changes (s : state) (e : event) (i : N) (before after : vcpu) : Prop :=
(* by a call of the host *)
| v_created a :
    is_call VCPU_CREATE a e -> place before = Absent -> of_vm after = slot_of (x1 a) ->
    (forall r, x after r = if r =? 0 then x4 a else 0) -> pc after = x3 a -> sys after = [] ->
    (forall n, irqs after n = no_irq) -> waits_for after = Nothing ->
    vcpu_changes s e i before after
| v_queued k a :
    In k [VCPU_ENQUEUE; VCPU_DEQUEUE] -> is_call k a e -> i = slot_of (x1 a) ->
    after = set_place before (place after) -> vcpu_changes s e i before after
| v_answered a o u :
    is_call VCPU_RESPOND a e -> i = slot_of (x1 a) -> complete before o a = Ok u ->
    after = set_place u (place after) -> vcpu_changes s e i before after
| v_injected a f :
    is_call VCPU_INJECT a e -> i = slot_of (x1 a) -> after = set_irqs before f ->
    vcpu_changes s e i before after
| v_freed a :
    is_call VM_RECLAIM a e -> of_vm before = slot_of (x1 a) -> after = free_vcpu before ->
    vcpu_changes s e i before after
(* by the engine, in CPU_RUN: a turn begins, or ends *)
| v_turn c t :
    e = ByEngine c t ->
    after = set_place before (place after) \/ after = set_place (settle before) (RunningOn c) ->
    vcpu_changes s e i before after
(* by itself *)
| v_own c g :
    e = ByGuest c g -> at_ (cores s c) = InGuest i ->
    of_vm after = of_vm before -> mpidr after = mpidr before -> vcpu_changes s e i before after
(* by another of its VM: CPU_ON, an SGI *)
| v_turned_on c j imm entry context :
    e = ByGuest c (Hvc imm) -> at_ (cores s c) = InGuest j ->
    of_vm (vcpus s j) = of_vm before -> place before = Off ->
    after = restart before entry context -> vcpu_changes s e i before after
| v_sgi c j intid targets f :
    e = ByGuest c (SendSgi intid targets) -> at_ (cores s c) = InGuest j ->
    of_vm (vcpus s j) = of_vm before -> after = set_irqs before f -> vcpu_changes s e i before after.

(** ** Why a VM's slot changes *)

Inductive vm_changes (s : state) (e : event) (v : N) (before after : vm) : Prop :=
| m_created a :
    is_call VM_CREATE a e -> phase before = None -> leaves after = [] -> members after = [] ->
    vm_changes s e v before after
| m_phase k a :
    In k [VM_START; VM_DESTROY] -> is_call k a e -> v = slot_of (x1 a) ->
    after = set_phase before (phase after) -> vm_changes s e v before after
| m_memory k a :
    In k [VM_MAP; VM_MAP_LIST; VM_LEND; VM_UNLEND; VM_RECLAIM] -> is_call k a e -> v = slot_of (x1 a) ->
    after = set_leaves before (leaves after) -> vm_changes s e v before after
| m_freed a :
    is_call VM_RECLAIM a e -> v = slot_of (x1 a) -> phase before = Some Dying ->
    leaves after = [] -> phase after = None -> vm_changes s e v before after
| m_member a :
    is_call VCPU_CREATE a e -> v = slot_of (x1 a) -> after = set_members before (members after) ->
    vm_changes s e v before after
| m_told c i :
    e = ByEngine c TellReady -> at_ (cores s c) = InGuest i -> v = of_vm (vcpus s i) ->
    after = set_ready before (ready after) -> vm_changes s e v before after
| m_told_first c i :
    e = ByEngine c (TellFirst i) -> v = of_vm (vcpus s i) ->
    after = set_ready before (ready after) -> vm_changes s e v before after
| m_guest c i g :
    e = ByGuest c g -> at_ (cores s c) = InGuest i -> v = of_vm (vcpus s i) ->
    after = set_ready (set_leaves before (leaves after)) (ready after) ->
    vm_changes s e v before after.

(** ** Why a leaf of VM [v]'s table comes or goes

    None is ever led elsewhere: it goes, and another may come by another step. *)

Inductive leaf_changes (s : state) (e : event) (v a : N) (before after : option leaf) : Prop :=
| l_given x l :
    is_call VM_MAP x e \/ is_call VM_MAP_LIST x e -> v = slot_of (x1 x) ->
    before = None -> after = Some l ->
    holds_ram (vms s v) a 1 = true -> st (pages s (to l)) = HostOwned ->
    leaf_changes s e v a before after
| l_lent x l :
    is_call VM_LEND x e -> v = slot_of (x1 x) -> before = None -> after = Some l ->
    may_lend (vms s v) a 1 = true ->
    st (pages s (to l)) = HostOwned \/ (exists k, st (pages s (to l)) = Lent v k) ->
    leaf_changes s e v a before after
| l_taken x :
    is_call VM_UNLEND x e \/ is_call VM_RECLAIM x e -> v = slot_of (x1 x) -> after = None ->
    leaf_changes s e v a before after
| l_given_up c i imm :
    e = ByGuest c (Hvc imm) -> at_ (cores s c) = InGuest i -> v = of_vm (vcpus s i) -> after = None ->
    leaf_changes s e v a before after.
