(** * Calls that tell, and the doorbell

    ENGINE_INFO, ENGINE_DOORBELL, PAGE_INFO, PAGE_CENSUS, TRACE_READ, STATS_READ. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args.
Open Scope N_scope.

Definition first_said (w : weather) : N := hd 0 (said w).

Definition engine_info (s : state) (w : weather) (c : N) (a : args) : res (list N) :=
  let? value :=
    match find (fun i => InfoIndex_raw i =? x1 a) all_InfoIndex with
    | None => No OUT_OF_RANGE
    | Some InfoIndex_Version => Ok VERSION
    | Some InfoIndex_Features => Ok 0
    | Some InfoIndex_Cpus => Ok (cores_n (cfg s))
    | Some InfoIndex_PageWords => Ok (words (cfg s))
    | Some InfoIndex_MaxVms => Ok (vms_n (cfg s))
    | Some InfoIndex_MaxVcpus => Ok (vcpus_n (cfg s))
    | Some InfoIndex_IpaBits => Ok (ipa_bits (cfg s))
    | Some InfoIndex_FreePages => Ok (first_said w)
    | Some InfoIndex_ThisCpu => Ok c
    | Some InfoIndex_RamBase => Ok (first_page (cfg s) * PAGE_SIZE)
    | Some InfoIndex_TableBytes => Ok (first_said w)
    end in
  Ok [value].

Definition engine_doorbell (s : state) (a : args) : res (state * list N) :=
  check x1 a <? 16 else OUT_OF_RANGE;
  Ok (with_doorbell s (Some (x1 a)), []).

(** Is there a page word for it? *)
Definition has_word (s : state) (p : N) : bool :=
  (first_page (cfg s) <=? p) && (p <? first_page (cfg s) + words (cfg s)).

(** The host's own pages exactly, of all others that they are not its own. *)
Definition class_of (p : page_state) : PageClass * N :=
  match p with
  | HostOwned => (PageClass_Host, 0)
  | HostFixed => (PageClass_HostFixed, 0)
  | Lent _ times => (PageClass_Lent, times)
  | SharedByVm _ => (PageClass_SharedByVm, 0)
  | Reserved | EngineOwned | VmOwned _ | Scrubbing _ | Poisoned => (PageClass_NotYours, 0)
  end.

Definition page_info (s : state) (w : weather) (a : args) : res (list N) :=
  let p := x1 a / PAGE_SIZE in
  check has_word s p else OUT_OF_RANGE;
  if is_held w 0 AtPage then Ok [PageClass_raw PageClass_NotYours; 0]
  else let (class, times) := class_of (st (pages s p)) in Ok [PageClass_raw class; times].

(** Pages by state, in the order of PAGE_CENSUS's results. None is claimed between two calls. *)
Definition census_of (s : state) (first n : N) : list N :=
  let number fits :=
    N.of_nat (length (filter (fun i => fits (st (pages s (first + i)))) (below n))) in
  [ number (fun p => match p with Reserved => true | _ => false end);
    number (fun p => match p with HostOwned => true | _ => false end);
    number (fun p => match p with HostFixed => true | _ => false end);
    number (fun p => match p with EngineOwned => true | _ => false end);
    number (fun p => match p with VmOwned _ | Scrubbing _ => true | _ => false end);
    number (fun p => match p with Lent _ _ | SharedByVm _ => true | _ => false end);
    0;
    number (fun p => match p with Poisoned => true | _ => false end) ].

Definition nothing_seen : list N := [0; 0; 0; 0; 0; 0; 0; 0; 0].

(** A step is a grain; the last takes in what is left behind it. *)
Definition page_census (s : state) (w : weather) (a : args) : res (list N) :=
  let? n := pages_count (x2 a) CENSUS_PAGES in
  let first := x1 a in
  let all := words (cfg s) in
  if all <=? first then Ok nothing_seen
  else
    check (first mod CENSUS_GRAIN =? 0) && (n mod CENSUS_GRAIN =? 0) else OUT_OF_RANGE;
    let last := (all / CENSUS_GRAIN - 1) * CENSUS_GRAIN in
    if last <? first then Ok nothing_seen
    else
      let n := taken_on w (n / CENSUS_GRAIN) * CENSUS_GRAIN in
      let ends_at := if last <? first + n then all else first + n in
      let seen := ends_at - first in
      Ok (seen :: census_of s (first_page (cfg s) + first) seen).

(** The engine's own events and counters are not in the state: what is told comes with the weather. *)
Definition trace_read (s : state) (w : weather) (a : args) : res (list N) :=
  check x1 a <? cores_n (cfg s) else OUT_OF_RANGE;
  match said w with
  | [sequence; event; time] => Ok [sequence; event; time]
  | _ => No OUT_OF_RANGE
  end.

(** Numbers of counters: named ones, calls and errors, exits. *)
Definition is_counter (index : N) : bool :=
  existsb (fun k => Counter_raw k =? index) all_Counter
  || ((0x100 <=? index) && (index <? 0x100 + 2 * 0x20))
  || ((0x400 <=? index) && (index <? 0x400 + 0x20)).

Definition stats_read (s : state) (w : weather) (a : args) : res (list N) :=
  let? _ := core_at s (x1 a) in
  check is_counter (x2 a) else OUT_OF_RANGE;
  Ok [first_said w].
