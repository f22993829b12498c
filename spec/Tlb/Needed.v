(** * Which steps the rules need

    Each step of each call is left out in turn, and the rules are asked again. [not_needed] is the whole list of those
    that nothing of this folder needs; without any other the rules are broken, and so is the proof of I5.

    That a step is on the list does not say that the engine could do without it. Some look before they act, where the
    other branch would do harm to nobody (SeeMapped true); Recheck of a share says to the guest what it asked for; the DSB before the
    end of a VM is for stores that came before; a loan is cleaned for a VM that reads past caches; the host's leaf is what
    the host wants; the dead VM's leaf goes so that a second look does not find it. A page that the host had not mapped
    takes part in the flush for the pages beside it. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Engine.
Open Scope N_scope.

Definition left_out (n : nat) (l : list instr) : list instr := firstn n l ++ skipn (S n) l.

Definition needless (err whole : bool) (place : N) (k : kind) : list instr :=
  let l := program err whole place k in
  map (fun n => nth n l Commit) (filter (fun n => keeps_rules err k (nothing (home k)) (left_out n l)) (seq 0 (length l))).

Definition not_needed (err whole : bool) (place : N) (k : kind) : list instr :=
  match k with
  | Map There | ToEngine There => [SeeMapped true]
  | Map AbsentBeside | ToEngine AbsentBeside => flush_beside err whole place k OfHost
  | Map Absent | ToEngine Absent | FromEngine | Unlend _ | Relinquish => []
  | Lend _ => [Clean]
  | Share | TakeOwn => [Recheck]
  | Unshare true | TakeShared true => [Recheck; SeeMapped true]
  | Unshare false | TakeShared false => [Recheck]
  | Touch _ => [Write OfHost]
  | EndVm => [Dsb]
  | TakeLent _ => [Free]
  | Poison true => [SeeMapped true]
  | Poison false => []
  | Lose (OfToEngine There) => [SeeMapped true; Zero]
  | Lose (OfToEngine Absent) | Lose OfFromEngine | Lose OfRelinquish => [Zero]
  | Lose (OfToEngine AbsentBeside) => flush_beside err whole place k OfHost ++ [Zero]
  | Lose (OfTakeShared true) => [Recheck; SeeMapped true; Zero]
  | Lose OfTakeOwn | Lose (OfTakeShared false) => [Recheck; Zero]
  end.

Theorem all_others_are_needed err whole place k : needless err whole place k = not_needed err whole place k.
Proof.
  destruct err, whole; destruct k as [leaf|n|n| |mapped| |leaf| |t| | |mapped|n|mapped|z]; try destruct z; try destruct leaf; try destruct mapped; try destruct t as [| |n]; try destruct n; vm_compute; reflexivity.
Qed.
