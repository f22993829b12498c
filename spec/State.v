(** * What there is: the state of the machine as the engine keeps it

    Any number of pages, VMs, vCPUs and cores: all are functions from numbers. Only RAM that a VM
    has mapped is a finite map, so that "it has nothing left" can be decided. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base.
Open Scope N_scope.

(** ** Who acts, and who can be harmed *)

Inductive dom :=
| Host
| Vm (slot : N).

Definition dom_eqb (a b : dom) : bool :=
  match a, b with
  | Host, Host => true
  | Vm v, Vm w => v =? w
  | _, _ => false
  end.

(** ** Pages *)

(** What a page's word says, once no operation holds it. *)
Inductive page_state :=
| Reserved                      (** unknown, or not RAM: nobody's through the engine *)
| HostFixed                     (** the host may use it and never give it away *)
| HostOwned
| EngineOwned
| VmOwned (v : N)
| Lent (v : N) (times : N)      (** the host's, mapped so many times by VM [v] *)
| SharedByVm (v : N)            (** VM [v]'s, the host may use it too *)
| Scrubbing (v : N)             (** a dying VM's, zero already; it follows with its 2 MiB *)
| Poisoned.                     (** a memory error: nobody's, for good *)

(** What the engine does with a page of its own. *)
Inductive usage :=
| Unused
| Table (of : option N).        (** translation table: of a VM, or of host and engine *)

Record page := Page {
  st : page_state;
  holds : content;
  broken : bool;                (** hardware has a memory error there *)
  host_mapped : bool;           (** the host's stage-2 map has a leaf for it *)
  use : usage;                  (** counts for [EngineOwned] alone *)
  gift : bool                   (** the host donated it: ENGINE_RECLAIM may return it *)
}.

(** ** VMs *)

(** A run of IPA pages that is RAM. *)
Record range := Range { base : N; pages_in : N; lendable : bool }.

Definition in_range (r : range) (a n : N) : bool :=
  (base r <=? a) && (a <? base r + pages_in r) && (n <=? pages_in r - (a - base r)).

Definition overlap (r q : range) : bool :=
  negb (pages_in r =? 0) && negb (pages_in q =? 0)
  && (((base r <=? base q) && (base q <? base r + pages_in r))
      || ((base q <=? base r) && (base r <? base q + pages_in q))).

(** A leaf of a VM's stage-2 table. *)
Record leaf := Leaf { to : N; can_write : bool; can_execute : bool }.

Record vm := VmSlot {
  generation : N;
  phase : option vm_state;      (** [None]: the slot is free *)
  ram0 : range;
  ram1 : range;
  gicr : N;                     (** first IPA page of the redistributor frames *)
  vcpu_limit : N;
  leaves : list (N * leaf);     (** stage-2: IPA page to leaf *)
  members : list N;             (** slots of its vCPUs, in order of creation *)
  ready : list N                (** members that are to be told to the host by VcpuReady *)
}.

Definition holds_ram (v : vm) (a n : N) : bool := in_range (ram0 v) a n || in_range (ram1 v) a n.
Definition may_lend (v : vm) (a n : N) : bool :=
  (lendable (ram0 v) && in_range (ram0 v) a n) || (lendable (ram1 v) && in_range (ram1 v) a n).

(** ** vCPUs *)

(** Where a vCPU is. (`Starting` and `Held` of the engine exist only inside a call.) *)
Inductive residence :=
| Absent                        (** no vCPU in the slot *)
| Off
| OnPending                     (** turned on, not queued yet *)
| Parked                        (** on, and on no queue *)
| Queued (c : N)
| RunningOn (c : N).

(** What it waits for. *)
Inductive pending :=
| Nothing
| AwaitRead (register bytes : N) (signed wide : bool)
                                (** the host's data for a load of MMIO, and how it lands *)
| AwaitWrite                    (** nothing; but the store may still become an abort *)
| AwaitAnswer                   (** the host's answer to a forwarded call *)
| AwaitPage
| Ended.                        (** it does not go on *)

(** Must it stay off the queues until VCPU_RESPOND, or for good? *)
Definition bars_queues (p : pending) : bool :=
  match p with AwaitRead _ _ _ _ | AwaitAnswer | Ended => true | _ => false end.

(** A virtual interrupt. *)
Record irq := Irq { edge : bool; level : bool; priority : N }.

Record vcpu := VcpuSlot {
  vgeneration : N;
  place : residence;
  of_vm : N;                    (** slot of its VM *)
  mpidr : N;
  x : N -> N;                   (** x0 to x30 *)
  pc : N;
  sys : list N;                 (** all other registers; exceptions that it took come first *)
  waits_for : pending;
  waiting : bool;               (** in WFI *)
  irqs : N -> irq
}.

(** ** Cores *)

Inductive power :=
| CoreAbsent                    (** never came up *)
| CoreOff
| CoreOnPending
| CoreOn.

Inductive mode :=
| InHost                        (** runs the host *)
| InRun                         (** in CPU_RUN, between two turns *)
| InGuest (slot : N)            (** in CPU_RUN, running this vCPU *)
| Silent.                       (** hardware fault: it never answers again *)

Record core := Core { pow : power; at_ : mode }.

(** ** All of it *)

(** What boot found and nothing changes. *)
Record config := Config {
  cores_n : N;                  (** cores, those that did not come up among them *)
  vms_n : N;                    (** VM slots *)
  vcpus_n : N;                  (** vCPU slots *)
  ipa_bits : N;                 (** widest IPA *)
  first_page : N;               (** page of page word 0 *)
  words : N;                    (** page words *)
  affinity : N -> N;            (** MPIDR affinity of a core *)
  fw_trng : bool;               (** the firmware has random numbers *)
  fw_workaround1 : Z;           (** its answers about its workarounds *)
  fw_workaround2 : Z;
  fw_workaround3 : Z
}.

Record state := State {
  cfg : config;
  pages : N -> page;
  vms : N -> vm;
  vcpus : N -> vcpu;
  cores : N -> core;
  doorbell : option N;
  machine_off : bool
}.

(** ** Changes of one part *)

Definition set_st (p : page) (to : page_state) : page :=
  Page to (holds p) (broken p) (host_mapped p) (use p) (gift p).
Definition set_holds (p : page) (c : content) : page :=
  Page (st p) c (broken p) (host_mapped p) (use p) (gift p).
Definition set_mapped (p : page) (b : bool) : page :=
  Page (st p) (holds p) (broken p) b (use p) (gift p).
Definition set_use (p : page) (u : usage) : page :=
  Page (st p) (holds p) (broken p) (host_mapped p) u (gift p).
Definition set_broken (p : page) : page :=
  Page (st p) (holds p) true (host_mapped p) (use p) (gift p).

Definition with_pages (s : state) f : state :=
  State (cfg s) f (vms s) (vcpus s) (cores s) (doorbell s) (machine_off s).
Definition with_vms (s : state) f : state :=
  State (cfg s) (pages s) f (vcpus s) (cores s) (doorbell s) (machine_off s).
Definition with_vcpus (s : state) f : state :=
  State (cfg s) (pages s) (vms s) f (cores s) (doorbell s) (machine_off s).
Definition with_cores (s : state) f : state :=
  State (cfg s) (pages s) (vms s) (vcpus s) f (doorbell s) (machine_off s).
Definition with_doorbell (s : state) d : state :=
  State (cfg s) (pages s) (vms s) (vcpus s) (cores s) d (machine_off s).
Definition switched_off (s : state) : state :=
  State (cfg s) (pages s) (vms s) (vcpus s) (cores s) (doorbell s) true.

Definition put_page (s : state) (p : N) (pg : page) : state := with_pages s (upd (pages s) p pg).
Definition put_vm (s : state) (v : N) (r : vm) : state := with_vms s (upd (vms s) v r).
Definition put_vcpu (s : state) (i : N) (r : vcpu) : state := with_vcpus s (upd (vcpus s) i r).
Definition put_mode (s : state) (c : N) (m : mode) : state :=
  with_cores s (upd (cores s) c (Core (pow (cores s c)) m)).
Definition put_power (s : state) (c : N) (p : power) : state :=
  with_cores s (upd (cores s) c (Core p (at_ (cores s c)))).

Definition set_phase (v : vm) (p : option vm_state) : vm :=
  State.VmSlot (generation v) p (ram0 v) (ram1 v) (gicr v) (vcpu_limit v) (leaves v) (members v) (ready v).
Definition set_leaves (v : vm) l : vm :=
  State.VmSlot (generation v) (phase v) (ram0 v) (ram1 v) (gicr v) (vcpu_limit v) l (members v) (ready v).
Definition set_members (v : vm) l : vm :=
  State.VmSlot (generation v) (phase v) (ram0 v) (ram1 v) (gicr v) (vcpu_limit v) (leaves v) l (ready v).
Definition set_ready (v : vm) l : vm :=
  State.VmSlot (generation v) (phase v) (ram0 v) (ram1 v) (gicr v) (vcpu_limit v) (leaves v) (members v) l.

Definition set_place (u : vcpu) (w : residence) : vcpu :=
  VcpuSlot (vgeneration u) w (of_vm u) (mpidr u) (x u) (pc u) (sys u) (waits_for u) (waiting u) (irqs u).
Definition set_x (u : vcpu) f : vcpu :=
  VcpuSlot (vgeneration u) (place u) (of_vm u) (mpidr u) f (pc u) (sys u) (waits_for u) (waiting u) (irqs u).
Definition set_pc (u : vcpu) n : vcpu :=
  VcpuSlot (vgeneration u) (place u) (of_vm u) (mpidr u) (x u) n (sys u) (waits_for u) (waiting u) (irqs u).
Definition set_sys (u : vcpu) l : vcpu :=
  VcpuSlot (vgeneration u) (place u) (of_vm u) (mpidr u) (x u) (pc u) l (waits_for u) (waiting u) (irqs u).
Definition set_waits (u : vcpu) p : vcpu :=
  VcpuSlot (vgeneration u) (place u) (of_vm u) (mpidr u) (x u) (pc u) (sys u) p (waiting u) (irqs u).
Definition set_waiting (u : vcpu) b : vcpu :=
  VcpuSlot (vgeneration u) (place u) (of_vm u) (mpidr u) (x u) (pc u) (sys u) (waits_for u) b (irqs u).
Definition set_irqs (u : vcpu) f : vcpu :=
  VcpuSlot (vgeneration u) (place u) (of_vm u) (mpidr u) (x u) (pc u) (sys u) (waits_for u) (waiting u) f.

(** ** Who reaches what *)

(** May the host reach a page in this state? *)
Definition host_may (p : page_state) : bool :=
  match p with HostFixed | HostOwned | Lent _ _ | SharedByVm _ => true | _ => false end.

(** Is a page in this state VM [v]'s, or lent to it? *)
Definition names (p : page_state) (v : N) : bool :=
  match p with
  | VmOwned w | SharedByVm w | Scrubbing w | Lent w _ => w =? v
  | _ => false
  end.

(** The leaf of VM [v] at IPA page [a]. *)
Definition leaf_at (s : state) (v a : N) : option leaf := lookup a (leaves (vms s v)).

(** Does [d] reach the page, by a load? The host's map is lazy: what it may reach it reaches. *)
Definition reaches (s : state) (d : dom) (p : N) : Prop :=
  match d with
  | Host => host_may (st (pages s p)) = true
  | Vm v => exists a l, lookup a (leaves (vms s v)) = Some l /\ to l = p
  end.

(** Cores that have a vCPU of VM [v] inside. *)
Definition inside (s : state) (v : N) : list N :=
  filter (fun c => match at_ (cores s c) with
                   | InGuest i => of_vm (vcpus s i) =? v
                   | _ => false
                   end) (below (cores_n (cfg s))).
