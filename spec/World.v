(** * What a call is told, and what the rest of the world does to it

    A call gets its arguments as register values. All that the specification leaves open comes as a
    second argument, the _weather_: whether another core's operation is in the way just then, whether
    the pool has a page left, how much of a batch a call does, which pages VM_RECLAIM comes upon. A
    theorem holds for every weather; who compares the specification with the engine reads the weather
    off the engine's answer. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State.
Open Scope N_scope.

(** x1 to x6. *)
Record args := Args { x1 : N; x2 : N; x3 : N; x4 : N; x5 : N; x6 : N }.

(** Where an operation on a page can meet trouble. *)
Inductive point :=
| AtPage                        (** claiming the page *)
| AtEntry                       (** the VM's stage-2 entry, with the tables above it *)
| AtHost.                       (** the host's own tables *)

Inductive fortune :=
| Fine
| Held                          (** another operation has it: BUSY *)
| Short.                        (** a table is missing, and the pool is empty: NO_MEMORY *)

(** What VM_RECLAIM does with a leaf that it finds. *)
Inductive way :=
| Home                          (** the page is scrubbed and comes home *)
| Zeroed                        (** it is zeroed, and follows with its 2 MiB later *)
| Follow.                       (** it was zeroed before, and comes home now *)

Record weather := Weather {
  luck : N -> point -> fortune; (** of the i-th page of the call *)
  most : N;                     (** how many steps of a batch this call takes on: its bite *)
  found : list (N * way);       (** the IPA pages VM_RECLAIM comes upon, as many as its bite pays for *)
  spare : list N;               (** the pool pages ENGINE_RECLAIM comes upon: likewise *)
  ends : bool;                  (** VM_RECLAIM gets as far as the end, if nothing is left *)
  free_slot : N;                (** which of the free slots a new VM or vCPU gets *)
  also_inside : N;              (** calls on other cores that are inside the engine for a VM *)
  said : list N                 (** counters, traces, free pages, the firmware's answers *)
}.

Definition is_held (w : weather) (i : N) (at_ : point) : bool :=
  match luck w i at_ with Held => true | _ => false end.
Definition is_short (w : weather) (i : N) (at_ : point) : bool :=
  match luck w i at_ with Short => true | _ => false end.

(** Of [n] steps that a batch is asked for, those that it takes on: the engine's choice, but one at least. *)
Definition taken_on (w : weather) (n : N) : N := N.min n (N.max 1 (most w)).

(** Goes on unless something is in the way there. *)
Definition unless_troubled {A} (w : weather) (i : N) (at_ : point) (k : res A) : res A :=
  check negb (is_held w i at_) else BUSY;
  check negb (is_short w i at_) else NO_MEMORY;
  k.

(** What a step tells those who can hear it. The exit information of CPU_RUN is an output of its own:
    all that the host learns of a guest's doing. *)
Inductive output :=
| Silence
| Answered (why : status) (results : list N)      (** x0, x1 and up of a host's call *)
| Exited (reason : ExitReason) (vcpu : N) (details : list N)  (** CPU_RUN's results, or x1, x2, d0.. *)
| Registers (values : list N)                     (** x0 to x3 after an SMC, or an HVC that is no call *)
| Loaded (w : N)                                  (** what the host's load found *)
| Stored
| Aborted                                         (** the host's access failed *)
| MachineOff.

(** A status in a result register: 64 bits, two's complement. *)
Definition status_word (e : status) : N := Z.to_N (status_value e mod 2 ^ 64)%Z.
Definition word64 (z : Z) : N := Z.to_N (z mod 2 ^ 64)%Z.
