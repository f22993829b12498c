(** * The host's calls about memory

    VM_MAP, VM_MAP_LIST, VM_LEND, VM_UNLEND, ENGINE_DONATE, ENGINE_RECLAIM, PAGE_POISON. A batch does
    one page after the other, stops at the first that it cannot have, and keeps what it has done. Of what it is
    asked for it takes on as much as it does in one call ([taken_on]): then it stops with [SUCCESS]. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Calls.Pages.
Open Scope N_scope.

(** A batch that did nothing is refused with its reason; one that did something succeeded. *)
Definition of_batch {A} (b : A * N * status) : A * res (list N) :=
  match b with
  | (s, done, why) => (s, if done =? 0 then No why else Ok [done; status_word why])
  end.

(** Refused before anything was tried. *)
Definition or_refused (s : state) (r : res (state * res (list N))) : state * res (list N) :=
  match r with Ok done => done | No e => (s, No e) end.

(** The VM of the call, in a state that allows it. *)
Definition vm_for (s : state) (c : call) (h : N) : res N :=
  let? v := find_vm s h in
  check allows (vms s v) c else BAD_STATE;
  Ok v.

(** ** VM_MAP *)

Definition vm_map (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? n := pages_count (x4 a) MAP_PAGES in
  let? first := run_at (x2 a) n in
  let? at_ := ipa_at (x3 a) n (ipa_bits (cfg s)) in
  let? r := rights (x5 a) in
  let? v := vm_for s VM_MAP (x1 a) in
  check holds_ram (vms s v) at_ n else OUT_OF_RANGE;
  Ok (of_batch (batch (N.to_nat (taken_on w n)) 0
    (fun i s => map_page s w i v (first + i) (at_ + i) r) s))).

(** ** VM_MAP_LIST *)

(** The i-th entry of a list page: physical address; IPA and, in its lowest 12 bits, rights. *)
Definition entry_of (c : content) (i : N) : N * N := (word c (2 * i), word c (2 * i + 1)).

Record wanted := Wanted { page_w : N; ipa_w : N; rights_w : bool * bool }.

Definition check_entry (s : state) (v : N) (e : N * N) : res wanted :=
  let? at_ := ipa_at (PAGE_SIZE * (snd e / PAGE_SIZE)) 1 (ipa_bits (cfg s)) in
  let? r := rights (snd e mod PAGE_SIZE) in
  let? p := page_at (fst e) in
  check holds_ram (vms s v) at_ 1 else OUT_OF_RANGE;
  Ok (Wanted p at_ r).

(** What the call has taken so far, it holds: a page or an IPA that comes again is BUSY. *)
Definition map_entry (w : weather) (v : N) (c : content) (i : N) (t : state * list wanted)
    : res (state * list wanted) :=
  let (s, mine) := t in
  let? e := check_entry s v (entry_of c i) in
  check negb (existsb (fun m => page_w m =? page_w e) mine) else BUSY;
  let? _ := claim_host s w i (page_w e) in
  check negb (existsb (fun m => ipa_w m =? ipa_w e) mine) else BUSY;
  let? s' := map_page s w i v (page_w e) (ipa_w e) (rights_w e) in
  Ok (s', e :: mine).

Definition vm_map_list (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? n := pages_count (x3 a) MAP_LIST_PAGES in
  let? from := page_at (x2 a) in
  let? v := vm_for s VM_MAP_LIST (x1 a) in
  let? _ := claim_host s w n from in
  check negb (broken (pages s from)) else NOT_RAM;
  match batch (N.to_nat (taken_on w n)) 0 (map_entry w v (holds (pages s from))) (s, []) with
  | ((s', _), done, why) => Ok (of_batch (s', done, why))
  end).

(** ** VM_LEND and VM_UNLEND *)

Definition vm_lend (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? n := pages_count (x4 a) RUN_PAGES in
  let? first := run_at (x2 a) n in
  let? at_ := ipa_at (x3 a) n (ipa_bits (cfg s)) in
  let? r := rights (x5 a) in
  let? v := vm_for s VM_LEND (x1 a) in
  check may_lend (vms s v) at_ n else OUT_OF_RANGE;
  Ok (of_batch (batch (N.to_nat (taken_on w n)) 0
    (fun i s => lend_page s w i v (first + i) (at_ + i) r) s))).

(** What the call has taken back so far, it holds: a page that is lent twice in the run is BUSY. *)
Definition unlend_step (w : weather) (v at_ : N) (i : N) (t : state * list N) : res (state * list N) :=
  let (s, mine) := t in
  let? r := unlend_page s w i v (at_ + i) mine in
  Ok (fst r, snd r :: mine).

Definition vm_unlend (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? n := pages_count (x3 a) RUN_PAGES in
  let? at_ := ipa_at (x2 a) n (ipa_bits (cfg s)) in
  let? v := vm_for s VM_UNLEND (x1 a) in
  check holds_ram (vms s v) at_ n else OUT_OF_RANGE;
  match batch (N.to_nat (taken_on w n)) 0 (unlend_step w v at_) (s, []) with
  | ((s', _), done, why) => Ok (of_batch (s', done, why))
  end).

(** ** ENGINE_DONATE *)

(** Refuses at once what is plainly not the host's to give. *)
Definition is_ram (s : state) (p : N) : bool :=
  match st (pages s p) with Reserved | HostFixed => false | _ => true end.

(** The pool is empty, and the run ends at a page that is not to be had: then that is the reason. *)
Definition donate_reason (s : state) (w : weather) (first n done : N) (why : status) : status :=
  match why with
  | NO_MEMORY =>
      let is_refused i := match claim_host s w i (first + i) with No _ => true | Ok _ => false end in
      match (if done =? 0 then find is_refused (below n) else None) with
      | Some i => match claim_host s w i (first + i) with No e => e | Ok _ => why end
      | None => why
      end
  | _ => why
  end.

(** The page at which it stopped, if that is because of a memory error: nobody's from now on. *)
Definition lose_at (s : state) (w : weather) (first n done : N) (why : status) : state :=
  let p := first + done in
  match why with
  | NOT_RAM =>
      if (done <? n) && broken (pages s p) && negb (is_held w done AtPage)
         && negb (is_held w done AtHost) && negb (is_short w done AtHost)
      then match st (pages s p) with HostOwned => poisoned s p | _ => s end
      else s
  | _ => s
  end.

Definition engine_donate (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? n := pages_count (x2 a) RUN_PAGES in
  let? first := run_at (x1 a) n in
  check is_ram s first else NOT_RAM;
  let n := taken_on w n in
  match batch (N.to_nat n) 0 (fun i s => donate_page s w i (first + i)) s with
  | (s', done, why) =>
      Ok (of_batch (lose_at s' w first n done why, done, donate_reason s' w first n done why))
  end).

(** ** ENGINE_RECLAIM *)

(** Takes one free page after the other; one with a memory error is left out. *)
Fixpoint return_pages (s : state) (w : weather) (i : N) (from : list N) : state * list N :=
  match from with
  | [] => (s, [])
  | p :: rest =>
      if is_spare (pages s p) && negb (is_held w i AtPage)
         && negb (is_held w i AtHost) && negb (is_short w i AtHost)
      then let (s', home) := return_pages (bring_home s p) w (i + 1) rest in
           (s', if broken (pages s p) then home else p * PAGE_SIZE :: home)
      else (s, [])
  end.

Definition engine_reclaim (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? max := pages_count (x1 a) ENGINE_RECLAIM_PAGES in
  match return_pages s w 0 (firstn (N.to_nat max) (spare w)) with
  | (s', home) => Ok (s', Ok (N.of_nat (length home) :: home))
  end).

(** ** PAGE_POISON *)

Definition page_poison (s : state) (w : weather) (a : args) : state * res (list N) :=
  or_refused s (
  let? p := page_at (x1 a) in
  check is_ram s p else NOT_RAM;
  let? _ := claim_host s w 0 p in
  unless_troubled w 0 AtHost (
  Ok (poisoned s p, Ok []))).
