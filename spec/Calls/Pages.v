(** * One page changes hands

    Each function is one page of a batch, with its refusals in the order in which the engine finds
    them. [i] is the page's place in the batch, for the weather. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args.
Open Scope N_scope.

(** Puts [p] in a new state, out of the host's map unless it may reach it. *)
Definition move_page (pg : page) (to : page_state) : page :=
  set_mapped (set_st pg to) (host_mapped pg && host_may to).

(** In a new state, in nobody's map, its content gone. *)
Definition move_scrubbed (pg : page) (to : page_state) : page :=
  set_mapped (set_st (set_holds pg zeroes) to) false.

Definition add_leaf (s : state) (v a : N) (l : leaf) : state :=
  put_vm s v (set_leaves (vms s v) ((a, l) :: leaves (vms s v))).
Definition drop_leaf (s : state) (v a : N) : state :=
  put_vm s v (set_leaves (vms s v) (remove a (leaves (vms s v)))).

(** ** Claims of a page that should be the host's alone *)

Definition claim_host (s : state) (w : weather) (i p : N) : res unit :=
  check negb (is_held w i AtPage) else BUSY;
  match st (pages s p) with
  | HostOwned => Ok tt
  | Reserved | HostFixed => No NOT_RAM
  | _ => No NOT_OWNER
  end.

(** ** VM_MAP, VM_MAP_LIST: host to VM *)

Definition free_entry (s : state) (w : weather) (i v a : N) : res unit :=
  check negb (is_held w i AtEntry) else BUSY;
  match lookup a (leaves (vms s v)) with
  | Some _ => No ALREADY_MAPPED
  | None => check negb (is_short w i AtEntry) else NO_MEMORY; Ok tt
  end.

Definition give_page (s : state) (v p a : N) (r : bool * bool) : state :=
  add_leaf (put_page s p (move_page (pages s p) (VmOwned v))) v a (Leaf p (fst r) (snd r)).

Definition map_page (s : state) (w : weather) (i v p a : N) (r : bool * bool) : res state :=
  let? _ := claim_host s w i p in
  let? _ := free_entry s w i v a in
  unless_troubled w i AtHost
    (Ok (give_page s v p a r)).

(** ** VM_LEND, VM_UNLEND *)

(** The state after one more leaf of [v] names a page of the host's. *)
Definition lent_once_more (p : page_state) (v : N) : res page_state :=
  match p with
  | HostOwned => Ok (Lent v 1)
  | Lent b times =>
      if (b =? v) && (times <? 65535) then Ok (Lent v (times + 1)) else No NOT_OWNER
  | Reserved | HostFixed => No NOT_RAM
  | _ => No NOT_OWNER
  end.

Definition lend_page (s : state) (w : weather) (i v p a : N) (r : bool * bool) : res state :=
  check negb (is_held w i AtPage) else BUSY;
  let? to := lent_once_more (st (pages s p)) v in
  unless_troubled w i AtHost (
  let? _ := free_entry s w i v a in
  Ok (add_leaf (put_page s p (move_page (pages s p) to)) v a (Leaf p (fst r) (snd r)))).

Definition lent_once_less (v times : N) : page_state :=
  if times =? 1 then HostOwned else Lent v (times - 1).

(** Takes back the loan at [a]: the page, and the state after. [mine] are pages that the call holds
    itself just now. *)
Definition unlend_page (s : state) (w : weather) (i v a : N) (mine : list N) : res (state * N) :=
  check negb (is_held w i AtEntry) else BUSY;
  match lookup a (leaves (vms s v)) with
  | None => No NOT_MAPPED
  | Some l =>
      check negb (is_held w i AtPage) && negb (existsb (N.eqb (to l)) mine) else BUSY;
      match st (pages s (to l)) with
      | Lent b times =>
          check b =? v else NOT_SHARED;
          Ok (drop_leaf (put_page s (to l) (move_page (pages s (to l)) (lent_once_less v times))) v a,
              to l)
      | _ => No NOT_SHARED
      end
  end.

(** ** ENGINE_DONATE, ENGINE_RECLAIM, PAGE_POISON *)

(** The page joins the pool; the engine has zeroed it to see that it can. *)
Definition to_engine (pg : page) : page :=
  Page EngineOwned zeroes (broken pg) false Unused true.

Definition donate_page (s : state) (w : weather) (i p : N) : res state :=
  let? _ := claim_host s w i p in
  unless_troubled w i AtHost (
  check negb (broken (pages s p)) else NOT_RAM;
  Ok (put_page s p (to_engine (pages s p)))).

Definition poisoned (s : state) (p : N) : state := put_page s p (move_page (pages s p) Poisoned).

(** A page on its way to the host: scrubbed, or nobody's if hardware says that it is broken. *)
Definition bring_home (s : state) (p : N) : state :=
  if broken (pages s p) then poisoned s p
  else put_page s p (move_scrubbed (pages s p) HostOwned).

(** Is it a free page of the pool that the host had donated? *)
Definition is_spare (pg : page) : bool :=
  match st pg, use pg with EngineOwned, Unused => gift pg | _, _ => false end.

(** ** The guest's own calls, and VM_RECLAIM *)

(** How a guest's call about a page of its own ended. *)
Inductive page_call :=
| Done (s : state)              (** shared, or no longer so *)
| HomePage (p : N) (s : state)  (** given up: it is the host's again *)
| LostPage (p : N) (s : state)  (** given up, but it has a memory error *)
| NothingThere                  (** given up before it was there *)
| Refused
| Again                         (** something is in transition: the guest repeats its call unknowingly *)
| NotYet                        (** no page there yet: the host puts one, the guest repeats its call *)
| NoTables.                     (** the pool is empty: likewise *)

(** The state after a call that was done to a page. *)
Definition did (o : page_call) : option state :=
  match o with
  | Done s | HomePage _ s | LostPage _ s => Some s
  | _ => None
  end.

(** MEM_SHARE. *)
Definition share (s : state) (w : weather) (v a : N) : page_call :=
  if is_held w 0 AtEntry then Again else
  match lookup a (leaves (vms s v)) with
  | None => if holds_ram (vms s v) a 1 then NotYet else Refused
  | Some l =>
      if is_held w 0 AtPage then Again else
      match st (pages s (to l)) with
      | VmOwned b =>
          if negb (b =? v) then Refused else
          match luck w 0 AtHost with
          | Held => Again
          | Short => NoTables
          | Fine => Done (put_page s (to l) (move_page (pages s (to l)) (SharedByVm v)))
          end
      | _ => Refused
      end
  end.

(** MEM_UNSHARE. *)
Definition unshare (s : state) (w : weather) (v a : N) : page_call :=
  if is_held w 0 AtEntry then Again else
  match lookup a (leaves (vms s v)) with
  | None => Refused
  | Some l =>
      if is_held w 0 AtPage then Again else
      match st (pages s (to l)) with
      | SharedByVm b =>
          if negb (b =? v) then Refused
          else Done (put_page s (to l) (move_page (pages s (to l)) (VmOwned v)))
      | _ => Refused
      end
  end.

(** MEM_RELINQUISH. Splitting the guest's block comes first. *)
Definition relinquish (s : state) (w : weather) (v a : N) : page_call :=
  match luck w 0 AtEntry with
  | Held => Again
  | Short => NoTables
  | Fine =>
      match lookup a (leaves (vms s v)) with
      | None => if holds_ram (vms s v) a 1 then NothingThere else Refused
      | Some l =>
          if is_held w 0 AtPage then Again else
          match st (pages s (to l)) with
          | VmOwned b =>
              if negb (b =? v) then Refused else
              match luck w 0 AtHost with
              | Held => Again
              | Short => NoTables
              | Fine =>
                  let s' := drop_leaf (bring_home s (to l)) v a in
                  if broken (pages s (to l)) then LostPage (to l) s' else HomePage (to l) s'
              end
          | _ => Refused
          end
      end
  end.

(** What VM_RECLAIM does with the leaf at [a] of the dying VM [v]: the state after; how many pages that is
    of what one call may do, and how many it is told as done. Of a page that turns out to be broken the
    work is the same, and nothing is done. *)
Definition reclaim_leaf (s : state) (v a : N) (how : way) : state * (N * N) :=
  match lookup a (leaves (vms s v)) with
  | None => (s, (0, 0))
  | Some l =>
      let p := to l in
      match st (pages s p), how with
      | Lent b times, _ =>
          if b =? v
          then (drop_leaf (put_page s p (move_page (pages s p) (lent_once_less v times))) v a, (0, 0))
          else (s, (0, 0))
      | VmOwned b, Home | SharedByVm b, Home =>
          if b =? v then (drop_leaf (bring_home s p) v a, (1, if broken (pages s p) then 0 else 1))
          else (s, (0, 0))
      | VmOwned b, Zeroed =>
          if (b =? v) && negb (broken (pages s p))
          then (put_page s p (move_scrubbed (pages s p) (Scrubbing v)), (1, 1))
          else (s, (0, 0))
      | Scrubbing b, Follow =>
          if b =? v then (drop_leaf (put_page s p (move_page (pages s p) HostOwned)) v a, (0, 0))
          else (s, (0, 0))
      | _, _ => (s, (0, 0))
      end
  end.
