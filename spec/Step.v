(** * One step of the machine

    [step s w e] is the state after event [e] in weather [w], and what is told. It is a function: run
    it, and see. An event that cannot happen just then (a core does what it is not at) changes nothing. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Psci.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Run Guest.Hvc Guest.Acts HostSide.
Open Scope N_scope.

(** ** Every call of the interface

    No wildcard: with a call added to `engine/abi/interface.toml` this file does not compile until the
    call has a meaning here. *)

Definition told (s : state) (r : res (list N)) : state * res (list N) := (s, r).
Definition changed (s : state) (r : res (state * list N)) : state * res (list N) :=
  match r with Ok (s', l) => (s', Ok l) | No e => (s, No e) end.

Definition host_call (k : call) (s : state) (w : weather) (c : N) (a : args) : state * res (list N) :=
  match k with
  | ENGINE_INFO => told s (engine_info s w c a)
  | ENGINE_DOORBELL => changed s (engine_doorbell s a)
  | ENGINE_DONATE => engine_donate s w a
  | ENGINE_RECLAIM => engine_reclaim s w a
  | VM_CREATE => vm_create s w a
  | VM_MAP => vm_map s w a
  | VM_MAP_LIST => vm_map_list s w a
  | VM_LEND => vm_lend s w a
  | VM_UNLEND => vm_unlend s w a
  | VM_START => vm_start s w a
  | VM_DESTROY => vm_destroy s w a
  | VM_RECLAIM => vm_reclaim s w a
  | VCPU_CREATE => vcpu_create s w a
  | VCPU_ENQUEUE => vcpu_enqueue s w a
  | VCPU_DEQUEUE => vcpu_dequeue s w a
  | CPU_RUN => (put_mode s c InRun, Ok [])
  | VCPU_RESPOND => vcpu_respond s w c a
  | VCPU_INJECT => vcpu_inject s a
  | PAGE_INFO => told s (page_info s w a)
  | PAGE_POISON => page_poison s w a
  | PAGE_CENSUS => told s (page_census s w a)
  | TRACE_READ => told s (trace_read s w a)
  | STATS_READ => told s (stats_read s w a)
  end.

(** The call that a function identifier names. *)
Definition call_of (x0 : N) : option call :=
  find (fun k => CALL_BASE + call_number k =? function_of x0) all_call.

Definition answer_of (k : call) (r : res (list N)) : output :=
  match k, r with
  | CPU_RUN, Ok _ => Silence    (* its answer is the exit with which it ends *)
  | _, Ok l => Answered SUCCESS l
  | _, No e => Answered e []
  end.

Definition host_hvc (s : state) (w : weather) (c imm x0 : N) (a : args) : state * output :=
  match (if imm =? 0 then call_of x0 else None) with
  | Some k => let (s', r) := host_call k s w c a in (s', answer_of k r)
  | None => (s, Registers (other_hvc imm x0 (x1 a) (x2 a) (x3 a)))
  end.

(** ** Events *)

Inductive host_act :=
| HostHvc (imm x0 : N) (a : args)
| HostSmc (imm x0 x1 x2 x3 : N)
| HostLoad (p at_word : N)
| HostStore (p at_word w : N).

(** What hardware does, or the engine where nobody looks. *)
Inductive chance :=
| MemoryError (p : N)           (** a page gets a memory error *)
| FallsSilent (c : N)           (** a core never answers again *)
| CoreStarts (c : N)            (** a core that was turned on begins *)
| HostMaps (p : N) (b : bool)   (** the host's map gets a leaf that it may have, or loses one, until
                                    the host touches the page *)
| BecomesTable (p : N) (of : option N)  (** a call needs a table, and takes a page of the pool *)
| TableEnds (p : N).            (** a table of the host's became a block again, or one of a dying VM that
                                    has no page left is free before its slot is *)

Inductive event :=
| ByHost (c : N) (h : host_act)
| ByEngine (c : N) (t : turn)
| ByGuest (c : N) (g : act)
| ByChance (h : chance).

Definition host_does (s : state) (w : weather) (c : N) (h : host_act) : state * output :=
  match h with
  | HostHvc imm x0 a => host_hvc s w c imm x0 a
  | HostSmc imm x0 x1 x2 x3 => host_smc s w c imm x0 x1 x2 x3
  | HostLoad p i => (s, host_load s p i)
  | HostStore p i v => host_store s p i v
  end.

(** Is the core there, on, and running the host? *)
Definition runs_host (s : state) (c : N) : bool :=
  (c <? cores_n (cfg s))
  && match pow (cores s c), at_ (cores s c) with CoreOn, InHost => true | _, _ => false end.

Definition has_gone_home (v : vm) : bool :=
  match phase v, leaves v with Some Dying, [] => true | _, _ => false end.

Definition happens (s : state) (h : chance) : state :=
  match h with
  | MemoryError p => put_page s p (set_broken (pages s p))
  | FallsSilent c =>
      match at_ (cores s c) with
      | InGuest i => s          (* its vCPU stays where it is: the VM can not be reclaimed any more *)
      | _ => put_mode s c Silent
      end
  | CoreStarts c =>
      match pow (cores s c) with CoreOnPending => put_power s c CoreOn | _ => s end
  | HostMaps p b =>
      if host_may (st (pages s p)) then put_page s p (set_mapped (pages s p) b) else s
  | BecomesTable p o =>
      match st (pages s p), use (pages s p) with
      | EngineOwned, Unused =>
          let is_due := match o with Some v => is_live (vms s v) | None => true end in
          if is_due then put_page s p (set_use (pages s p) (Table o)) else s
      | _, _ => s
      end
  | TableEnds p =>
      match use (pages s p) with
      | Table None => put_page s p (set_use (pages s p) Unused)
      | Table (Some v) =>
          if has_gone_home (vms s v) then put_page s p (set_use (pages s p) Unused) else s
      | Unused => s
      end
  end.

Definition step (s : state) (w : weather) (e : event) : state * output :=
  if machine_off s then (s, Silence) else
  match e with
  | ByHost c h => if runs_host s c then host_does s w c h else (s, Silence)
  | ByEngine c t => if c <? cores_n (cfg s) then take_turn s c t else (s, Silence)
  | ByGuest c g => if c <? cores_n (cfg s) then guest_act s w c g else (s, Silence)
  | ByChance h => (happens s h, Silence)
  end.

(** ** Reachable states *)

(** As boot leaves it: pages are whose boot says they are, no VM, no vCPU; at least one core runs the
    host, none is in CPU_RUN. *)
Definition boot_page (p : page_state) : bool :=
  match p with Reserved | HostFixed | HostOwned | EngineOwned => true | _ => false end.

Record initial (s : state) : Prop := {
  boot_pages : forall p, boot_page (st (pages s p)) = true;
  boot_mapped : forall p, host_mapped (pages s p) = true -> host_may (st (pages s p)) = true;
  boot_tables : forall p, use (pages s p) <> Unused ->
                  st (pages s p) = EngineOwned /\ use (pages s p) = Table None;
  boot_vms : forall v, phase (vms s v) = None /\ leaves (vms s v) = [] /\ members (vms s v) = [];
  boot_vcpus : forall i, place (vcpus s i) = Absent;
  boot_cores : forall c, at_ (cores s c) = InHost
}.

Inductive reachable : state -> Prop :=
| at_boot s : initial s -> reachable s
| by_step s w e : reachable s -> reachable (fst (step s w e)).
