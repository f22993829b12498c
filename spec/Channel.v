(** * What passes to a VM

    [channel v s w e]: what the event [e] passes to VM [v], if anything: its own acts, that a vCPU of it gets its
    turn, and what host and hardware do to it. This is the whole list: whatever passes nothing changes nothing that
    the VM sees, and what it sees after a step that passes something depends on that and on what it saw before
    (Noninterference.v). *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Step Seen.
From Bulkhead Require Import Calls.Life Calls.Vcpus Guest.Run Guest.Acts.
Open Scope N_scope.

(** What a call about memory makes of an IPA. *)
Inductive fate :=
| Kept
| Came (here : spot) (beside : N -> bool)  (** nothing was there; [beside]: the IPAs that lead to the same page *)
| Went
| Emptied.                      (** the page is zero now and will go *)

Definition fate_of (s s' : state) (v a : N) : fate :=
  match spot_at s v a, spot_at s' v a with
  | None, Some here => Came here (same_page s' v a)
  | Some _, None => Went
  | Some before, Some after =>
      match page_kind before, page_kind after with
      | Zeroed, _ => Kept
      | _, Zeroed => Emptied
      | _, _ => Kept
      end
  | None, None => Kept
  end.

Inductive message :=
(* its own doing, with what the engine's state leaves open: whether something is in the way, what firmware says *)
| Acts (i : N) (g : act) (entry page host : fortune) (firmware : list N)
| Enters (i : N)                (** vCPU [i] gets its turn *)
(* the host's calls *)
| Created (p : plan)
| Memory (becomes : N -> fate) (is_over : bool)
| NewVcpu (i m entry arg : N)
| TurnedOn (i : N)              (** a vCPU that CPU_ON turned on is queued, and on *)
| Responded (i outcome : N) (values : list N)
| Injected (i intid kind priority : N)
(* pages that the host reaches too; memory errors *)
| Wrote (here : N -> bool) (at_word w : N)
| Broke (here : N -> bool).

(** A call of the host's that was not refused. *)
Definition by_call (v : N) (s : state) (w : weather) (k : call) (a : args) (s' : state) : option message :=
  let named := slot_of (x1 a) in
  match k with
  | VM_CREATE =>
      match pick_vm_slot s w, check_plan s a with
      | Some u, Ok p => if u =? v then Some (Created p) else None
      | _, _ => None
      end
  | VM_MAP | VM_MAP_LIST | VM_LEND | VM_UNLEND | VM_RECLAIM =>
      if named =? v then Some (Memory (fate_of s s' v) (negb (is_live (vms s' v)))) else None
  | VCPU_CREATE =>
      match pick_vcpu_slot s w with
      | Some i => if named =? v then Some (NewVcpu i (x2 a) (x3 a) (x4 a)) else None
      | None => None
      end
  | VCPU_ENQUEUE =>
      match place (vcpus s named) with
      | OnPending => if of_vm (vcpus s named) =? v then Some (TurnedOn named) else None
      | _ => None
      end
  | VCPU_RESPOND =>
      if of_vm (vcpus s named) =? v then Some (Responded named (x6 a) [x2 a; x3 a; x4 a; x5 a]) else None
  | VCPU_INJECT =>
      if of_vm (vcpus s named) =? v then Some (Injected named (x2 a) (x3 a) (x4 a)) else None
  | ENGINE_INFO | ENGINE_DOORBELL | ENGINE_DONATE | ENGINE_RECLAIM | VM_START | VM_DESTROY
  | VCPU_DEQUEUE | CPU_RUN | PAGE_INFO | PAGE_POISON | PAGE_CENSUS | TRACE_READ | STATS_READ => None
  end.

Definition channel (v : N) (s : state) (w : weather) (e : event) : option message :=
  if machine_off s then None else
  match e with
  | ByGuest c g =>
      match at_ (cores s c) with
      | InGuest i =>
          if of_vm (vcpus s i) =? v
          then Some (Acts i g (luck w 0 AtEntry) (luck w 0 AtPage) (luck w 0 AtHost) (said w)) else None
      | _ => None
      end
  | ByEngine c (Pick i) =>
      match at_ (cores s c), at_ (cores (fst (step s w e)) c) with
      | InRun, InGuest _ => if of_vm (vcpus s i) =? v then Some (Enters i) else None
      | _, _ => None
      end
  | ByHost c (HostHvc imm x0 a) =>
      if runs_host s c && (imm =? 0) then
        match call_of x0 with
        | Some k => match host_call k s w c a with
                    | (s', Ok _) => by_call v s w k a s'
                    | (_, No _) => None
                    end
        | None => None
        end
      else None
  | ByHost c (HostStore p i x) =>
      if runs_host s c && (host_may (st (pages s p)) && negb (broken (pages s p))) && names (st (pages s p)) v
      then Some (Wrote (leads s v p) i x) else None
  | ByChance (MemoryError p) =>
      if names (st (pages s p)) v then Some (Broke (leads s v p)) else None
  | _ => None
  end.

(** ** The same message *)

Definition same_fate (f g : fate) : Prop :=
  match f, g with
  | Came x b, Came y c => x = y /\ forall a, b a = c a
  | Came _ _, _ | _, Came _ _ => False
  | _, _ => f = g
  end.

Definition same_message (m n : message) : Prop :=
  match m, n with
  | Memory f o, Memory g o' => (forall a, same_fate (f a) (g a)) /\ o = o'
  | Wrote h i x, Wrote h' i' x' => (forall a, h a = h' a) /\ i = i' /\ x = x'
  | Broke h, Broke h' => forall a, h a = h' a
  | Memory _ _, _ | _, Memory _ _ | Wrote _ _ _, _ | _, Wrote _ _ _ | Broke _, _ | _, Broke _ => False
  | _, _ => m = n
  end.
