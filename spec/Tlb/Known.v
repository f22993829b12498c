(** * What a call may rely on, and when: the rules that each step has to keep

    The engine's types keep a call from committing a page without a proof that it was flushed ([Flushed]), or
    from returning one that was not zeroed ([Scrubbed]). [known] is the same idea carried through: what has been
    done so far, from which [learn] makes what has been done after a step. [allowed] says what a step
    needs, [keeps_rules] that a whole program never takes a step without. No step of the machine looks at it:
    a program that breaks the rules runs as well as any other, and Counterexamples.v shows where to. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls.
Open Scope N_scope.

(** ** How far the flush of a page's leaf is *)

Inductive level :=
| Mapped                        (** nothing has been done *)
| Cleared                       (** the leaf is gone, by a store that walkers may not see yet *)
| Unseen                        (** they see it: no walk that begins now finds the leaf *)
| PostedPage                    (** stage-2 entries: invalidation is on its way to each core *)
| PageGone                      (** no stage-2 entry is left, nor a walk for one *)
| PostedAll                     (** combined entries, or both kinds: it is on its way *)
| AllGone                       (** no entry, no walk; with the erratum an access may be under way *)
| PostedAgain                   (** the repetition is on its way *)
| Flushed.                      (** and no access *)

Definition level_eqb (a b : level) : bool :=
  match a, b with
  | Mapped, Mapped | Cleared, Cleared | Unseen, Unseen | PostedPage, PostedPage | PageGone, PageGone
  | PostedAll, PostedAll | AllGone, AllGone | PostedAgain, PostedAgain | Flushed, Flushed => true
  | _, _ => false
  end.

Record knowledge := Known {
  claimed : bool;
  host_level : level;
  vm_level : level;
  vmid : side;                  (** whose regime VTTBR names *)
  borrowed : bool;              (** it is not the one that the call was made in *)
  sure : bool;                  (** the VM's entry is the page's leaf *)
  mine : bool;                  (** it holds this call's mark *)
  zeroed : bool;
  clean : bool;                 (** caches hold nothing that memory does not *)
  wrote : bool;                 (** the new leaf is written: the page has changed hands *)
  published : bool              (** and walkers see it *)
}.

Definition level_at (k : knowledge) (x : side) : level :=
  match x with OfHost => host_level k | OfVm => vm_level k end.

Definition nothing (v : side) : knowledge :=
  Known false Mapped Mapped v false false false false false false false.

Definition set_claimed k := Known true (host_level k) (vm_level k) (vmid k) (borrowed k) (sure k) (mine k) (zeroed k) (clean k) (wrote k) (published k).
Definition set_levels k f := Known (claimed k) (f OfHost (host_level k)) (f OfVm (vm_level k)) (vmid k) (borrowed k) (sure k) (mine k) (zeroed k) (clean k) (wrote k) (published k).
Definition set_vmid k v b := Known (claimed k) (host_level k) (vm_level k) v b (sure k) (mine k) (zeroed k) (clean k) (wrote k) (published k).
Definition set_entry k s m := Known (claimed k) (host_level k) (vm_level k) (vmid k) (borrowed k) s m (zeroed k) (clean k) (wrote k) (published k).
Definition set_memory k z c := Known (claimed k) (host_level k) (vm_level k) (vmid k) (borrowed k) (sure k) (mine k) z c (wrote k) (published k).
Definition set_wrote k w p := Known (claimed k) (host_level k) (vm_level k) (vmid k) (borrowed k) (sure k) (mine k) (zeroed k) (clean k) w p.

Definition at_side (x : side) (l : level) : side -> level -> level :=
  fun y was => if is_side x y then l else was.

(** ** Who may reach a page in a state *)

Definition may (p : page_state) (d : dom) : bool :=
  match d with Host => host_may p | Vm v => names p v end.
(** The same by side: the VM's number does not matter. *)
Definition may_before (k : kind) (x : side) : bool := may (from_ k 0) (dom_of 0 x).
Definition may_after (k : kind) (x : side) : bool := may (to_ k 0) (dom_of 0 x).
(** Does the VM have the page once more after the call, or once less? *)
Definition gains (k : kind) : bool := match k with Map _ | Lend _ => true | _ => false end.
Definition goes (k : kind) (x : side) : bool := match k, x with Unlend _, OfVm | TakeLent _, OfVm => true | _, _ => false end.
Definition loses (k : kind) (x : side) : bool := goes k x || may_before k x && negb (may_after k x).
(** May it have it at more addresses than the one that the call is about? *)
Definition elsewhere (k : kind) (x : side) : bool :=
  match k, x with
  | Lend n, OfVm | Unlend n, OfVm | TakeLent n, OfVm | Touch (LentOut n), OfVm => match n with 0 => false | _ => true end
  | _, _ => false
  end.

Definition both (f : side -> bool) : bool := f OfHost && f OfVm.

Definition is_flushed (k : knowledge) (x : side) : bool := level_eqb (level_at k x) Flushed.
Definition is_whole (k : knowledge) (x : side) : bool :=
  match level_at k x with Mapped | Flushed => true | _ => false end.
(** Whoever may reach the page loses all of it, and it is flushed. *)
Definition nobody_reaches (kd : kind) (k : knowledge) : bool :=
  both (fun x => (is_flushed k x && negb (elsewhere kd x)) || (level_eqb (level_at k x) Mapped && negb (may_before kd x))).
(** Who loses the page is flushed, and no flush is half done. *)
Definition losers_are_flushed (kd : kind) (k : knowledge) : bool :=
  both (fun x => is_whole k x && (negb (loses kd x) || is_flushed k x)).

(** ** What a step teaches *)

Definition is_end (kd : kind) : bool := match kd with EndVm => true | _ => false end.

(** A DSB. *)
Definition after_dsb (erratum : bool) (l : level) : level :=
  match l with
  | Cleared => Unseen
  | PostedPage => PageGone
  | PostedAll => if erratum then AllGone else Flushed
  | PostedAgain => Flushed
  | l => l
  end.

(** An invalidation: [here]: in the regime that VTTBR names. Any repeats. *)
Definition after_tlbi (page combined here : bool) (l : level) : level :=
  match l with
  | Unseen => if here then if page && combined then PostedAll else if page then PostedPage else Unseen else Unseen
  | PageGone => if here && combined then PostedAll else PageGone
  | AllGone => PostedAgain
  | l => l
  end.

Definition learn (erratum : bool) (kd : kind) (k : knowledge) (i : instr) : knowledge :=
  match i with
  | Claim => set_claimed k
  | Recheck => set_entry k true (mine k)
  | Take => set_entry k false true
  | SeeMapped true => k
  | SeeMapped false => set_levels k (at_side OfHost Flushed)
  | SeeGone => set_levels k (at_side OfVm Flushed)
  | Clear OfHost => set_levels k (at_side OfHost Cleared)
  | Clear OfVm => set_entry (set_levels k (at_side OfVm Cleared)) false true
  | Dsb => set_wrote (set_levels k (fun _ => after_dsb erratum)) (wrote k) (wrote k)
  | Ishst => set_wrote k (wrote k) (wrote k)
  | Borrow x => set_vmid k x true
  | Return => set_vmid k (home kd) false
  | TlbiPage x => set_levels k (fun y => after_tlbi (is_side x y && negb (is_end kd)) false (is_side (vmid k) y))
  | TlbiCombined => set_levels k (fun y => after_tlbi false true (is_side (vmid k) y))
  | TlbiWhole => set_levels k (fun y => after_tlbi true true (is_side (vmid k) y))
  | Zero => set_memory k true false
  | Clean => set_memory k (zeroed k) (nobody_reaches kd k && negb (wrote k))
  | Write OfVm => set_memory (set_wrote (set_entry k false false) true false) false false
  | Write OfHost => set_memory (set_wrote (set_levels k (at_side OfHost Mapped)) true false) false false
  | Free => set_entry k false false
  | Commit => nothing (vmid k)
  | NobodyInside => set_levels k (at_side OfVm Unseen)
  | Gone => set_levels k (at_side OfVm Mapped)
  end.

(** ** What a step needs *)

Definition untouched (k : knowledge) : bool :=
  negb (wrote k) && negb (zeroed k) && negb (borrowed k) && both (is_whole k).

Definition allowed (kd : kind) (k : knowledge) (i : instr) : bool :=
  match i with
  | Claim => negb (is_end kd) && negb (claimed k) && both (fun x => level_eqb (level_at k x) Mapped) && negb (sure k) && negb (mine k)
             && untouched k
  | Recheck => claimed k && untouched k && negb (mine k) && (pins kd || of_dead kd)
  | Take => claimed k && untouched k && pins kd
            && level_eqb (vm_level k) Mapped
  | SeeMapped b => claimed k && untouched k && level_eqb (host_level k) Mapped
  | SeeGone => claimed k && untouched k && of_dead kd && level_eqb (vm_level k) Mapped
  | Clear OfHost => claimed k && negb (wrote k) && negb (zeroed k) && negb (clean k) && level_eqb (host_level k) Mapped && may_before kd OfHost
  | Clear OfVm => claimed k && negb (wrote k) && negb (zeroed k) && negb (clean k) && level_eqb (vm_level k) Mapped && may_before kd OfVm && sure k && pins kd
  | Dsb | Ishst | TlbiPage _ | TlbiCombined | TlbiWhole => true
  | Borrow x => negb (borrowed k) && (is_end kd && level_eqb (vm_level k) Unseen || claimed k)
  | Return => borrowed k
  | Zero => claimed k && negb (wrote k) && nobody_reaches kd k
  | Clean => claimed k
  | Write x => claimed k && negb (wrote k) && negb (zeroed k) && negb (scrubs kd) && losers_are_flushed kd k
               && may_after kd x && level_eqb (level_at k OfVm) Mapped
               && match x with
                  | OfVm => mine k && gains kd && pins kd && (negb (loses kd OfHost) || clean k)
                  | OfHost => may_before kd x && both (fun y => Bool.eqb (may_before kd y) (may_after kd y))
                              && level_eqb (host_level k) Flushed
                  end
  | Free => claimed k && is_flushed k OfVm && (mine k && pins kd || sure k && of_dead kd)
  | Commit => claimed k && negb (borrowed k) && negb (mine k) && losers_are_flushed kd k
              && (negb (scrubs kd) || (zeroed k && clean k)) && (scrubs kd || discards kd || negb (zeroed k))
              && (negb (wrote k) || published k)
  | NobodyInside => is_end kd && untouched k && level_eqb (vm_level k) Mapped
  | Gone => is_end kd && is_flushed k OfVm && negb (borrowed k)
  end.

Fixpoint keeps_rules (erratum : bool) (kd : kind) (k : knowledge) (l : list instr) : bool :=
  match l with
  | [] => negb (claimed k) && negb (borrowed k) && negb (mine k)
          && both (fun x => level_eqb (level_at k x) Mapped)
  | i :: rest => allowed kd k i && keeps_rules erratum kd (learn erratum kd k i) rest
  end.
