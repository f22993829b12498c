(** * CPU_RUN, turn by turn

    CPU_RUN is the one call that lasts. It begins with a step of the host's ([InHost] to [InRun]),
    goes on with steps of the engine (a vCPU gets its turn) and of guests, and ends with the step that
    gives the host its answer. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Calls.Vcpus.
Open Scope N_scope.

(** ** How a vCPU leaves its core *)

(** Where a vCPU of core [c] is after an exit for this reason. *)
Definition place_after (why : ExitReason) (c : N) : residence :=
  match why with
  | ExitReason_VcpuOff => Off
  | ExitReason_Fault | ExitReason_MmioRead | ExitReason_Call
  | ExitReason_SystemOff | ExitReason_SystemReset => Parked
  | ExitReason_RamFault | ExitReason_MmioWrite | ExitReason_VcpuOn | ExitReason_VcpuReady
  | ExitReason_PageRelinquished
  | ExitReason_LevelEnded | ExitReason_ListFull | ExitReason_PoolEmpty => Queued c
  | ExitReason_HostInterrupt | ExitReason_Budget | ExitReason_Idle => Queued c
  end.

(** Does the vCPU end with it? *)
Definition is_end (why : ExitReason) : bool :=
  match why with
  | ExitReason_Fault | ExitReason_SystemOff | ExitReason_SystemReset => true
  | _ => false
  end.

(** The vCPU [i] leaves core [c] as [u], and the host is told why. *)
Definition exit_to_host (s : state) (c i : N) (u : vcpu) (why : ExitReason) (details : list N)
    : state * output :=
  let u := if is_end why then set_waits u Ended else u in
  (put_mode (put_vcpu s i (set_place u (place_after why c))) c InHost,
   Exited why (handle i (vgeneration u)) details).

(** The turn is over, the host not needed. *)
Definition end_turn (s : state) (c i : N) (u : vcpu) : state * output :=
  (put_mode (put_vcpu s i (set_place u (Queued c))) c InRun, Silence).

(** The vCPU goes on. *)
Definition resume (s : state) (i : N) (u : vcpu) : state * output := (put_vcpu s i u, Silence).

(** ** Steps of the engine in CPU_RUN *)

Inductive turn :=
| Pick (i : N)                  (** vCPU [i] of this core's queue gets its turn *)
| TellFirst (i : N)             (** others of its VM have work and are on no queue: so before vCPU [i] is entered *)
| TellReady                     (** the same after it trapped *)
| Leave                         (** its VM is Running no more: it is not entered again *)
| Stop (why : ExitReason) (detail : N).  (** an interrupt for the host, the budget, nothing to run *)

(** What was left open at the last exit and the host let stand. *)
Definition settle (u : vcpu) : vcpu :=
  let u := match waits_for u with AwaitWrite => next_pc u | _ => u end in
  set_waiting (set_waits u Nothing) false.

(** Of a VM that is not Running none is entered. *)
Definition pick (s : state) (c i : N) : state * output :=
  let u := vcpus s i in
  match place u with
  | Queued q =>
      if (q =? c) && (i <? vcpus_n (cfg s)) then
        match phase (vms s (of_vm u)) with
        | Some Running => (put_mode (put_vcpu s i (set_place (settle u) (RunningOn c))) c (InGuest i), Silence)
        | _ => (put_vcpu s i (set_place u Parked), Silence)
        end
      else (s, Silence)
  | _ => (s, Silence)
  end.

(** Parked for no reason but that nobody has queued it? *)
Definition is_ready (s : state) (i : N) : bool :=
  match place (vcpus s i) with Parked => negb (bars_queues (waits_for (vcpus s i))) | _ => false end.

(** Of those that are noted, in their order: whom [left] places in an exit's details tell of, and who is left for the
    next. Who is ready no more is forgotten. *)
Fixpoint tell_of (s : state) (left : nat) (noted : list N) : list N * list N :=
  match noted, left with
  | [], _ => ([], [])
  | _, O => ([], noted)
  | j :: rest, S fewer =>
      if is_ready s j
      then let (told, kept) := tell_of s fewer rest in (j :: told, kept)
      else tell_of s left rest
  end.

(** In order of creation. *)
Definition noted (v : vm) : list N := filter (fun j => existsb (N.eqb j) (ready v)) (members v).

Definition tell_ready (s : state) (c i : N) : state * output :=
  let u := vcpus s i in
  let v := of_vm u in
  let (told, kept) := tell_of s 7 (noted (vms s v)) in
  let s' := put_vm s v (set_ready (vms s v) kept) in
  match told with
  | [] => (s', Silence)
  | _ => exit_to_host s' c i u ExitReason_VcpuReady (map (fun j => handle j (vgeneration (vcpus s j))) told)
  end.

(** The vCPU whose turn it would be has not run: what was left open at its last exit still is. *)
Definition tell_first (s : state) (c i : N) : state * output :=
  let u := vcpus s i in
  match place u, phase (vms s (of_vm u)) with
  | Queued q, Some Running => if (q =? c) && (i <? vcpus_n (cfg s)) then tell_ready s c i else (s, Silence)
  | _, _ => (s, Silence)
  end.

(** A vCPU that trapped goes on only in a VM that is Running. *)
Definition leave (s : state) (c i : N) : state * output :=
  match phase (vms s (of_vm (vcpus s i))) with
  | Some Running => (s, Silence)
  | _ => (put_mode (put_vcpu s i (set_place (vcpus s i) Parked)) c InRun, Silence)
  end.

(** May the core stop for this reason? It is idle only if each vCPU of its queue waits. *)
Definition may_stop (s : state) (c : N) (why : ExitReason) : bool :=
  match why with
  | ExitReason_HostInterrupt | ExitReason_Budget => true
  | ExitReason_Idle =>
      forallb (fun i => match place (vcpus s i) with
                        | Queued q => negb (q =? c) || waiting (vcpus s i)
                        | _ => true
                        end) (below (vcpus_n (cfg s)))
  | _ => false
  end.

Definition take_turn (s : state) (c : N) (t : turn) : state * output :=
  match at_ (cores s c), t with
  | InRun, Pick i => pick s c i
  | InRun, TellFirst i => tell_first s c i
  | InRun, Stop why d =>
      if may_stop s c why then (put_mode s c InHost, Exited why 0 [d]) else (s, Silence)
  | InGuest i, TellReady => tell_ready s c i
  | InGuest i, Leave => leave s c i
  | _, _ => (s, Silence)
  end.
