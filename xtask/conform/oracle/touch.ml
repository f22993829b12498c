(* What each recorded thing touches, and so who may be in whose way.

   Invariants: BUSY is for those who touch something in common: a page (or a granule, where pages may be in one),
   an address of a VM, a vCPU, or a VM as such. What is only looked at (PAGE_INFO) is in nobody's way. A thing may be
   taken to touch more than it does, never less than its arguments and results say. *)

open Spec
open Dump
open History
module Z = Dump.Z

type touch = {
  (* Runs of pages: first, how many. *)
  page_runs : (int * int) list;
  (* Its VM; of a vCPU each that had its slot. *)
  vms : int list;
  (* Runs of the VM's addresses; the VM as such has none. *)
  ipa_runs : (int * int) list;
  whole_vm : bool;
  of_vcpu : int option;
  (* It is in nobody's way, though others are in its. *)
  only_looks : bool;
}

let nothing = { page_runs = []; vms = []; ipa_runs = []; whole_vm = false; of_vcpu = None; only_looks = false }
let page_of z = int (Z.shift_right z 12)
let slot z = int (Z.logand z (n 0xffff))
let fits z = Z.fits_int (Z.shift_right z 12)
let count z = if Z.fits_int z then min (int z) 65536 else 65536
let run first many = if fits first then [ page_of first, count many ] else []
let in_vm h = { nothing with vms = [ slot h ] }
let succeeded told = Z.equal (List.hd told) Z.zero

let rec pairs = function
  | a :: b :: rest -> (a, b) :: pairs rest
  | _ -> []

let by_call call (a : args) told list =
  let one = Z.one in
  match call with
  | ENGINE_DONATE -> { nothing with page_runs = run a.x1 a.x2 }
  | ENGINE_RECLAIM ->
    let pages = if succeeded told then List.filter (fun z -> Z.sign z > 0) (List.tl (List.tl told)) else [] in
    { nothing with page_runs = List.concat_map (fun p -> run p one) pages }
  | VM_CREATE -> if succeeded told then { (in_vm (List.nth told 1)) with whole_vm = true } else nothing
  | VM_MAP | VM_LEND ->
    { (in_vm a.x1) with page_runs = run a.x2 a.x4; ipa_runs = run a.x3 a.x4 }
  | VM_MAP_LIST ->
    let entries = List.filteri (fun i _ -> n i < a.x3) (pairs list) in
    { (in_vm a.x1) with
      page_runs = run a.x2 one @ List.concat_map (fun (p, _) -> run p one) entries;
      ipa_runs = List.concat_map (fun (_, i) -> run i one) entries }
  | VM_UNLEND -> { (in_vm a.x1) with ipa_runs = run a.x2 a.x3 }
  | VM_START | VM_DESTROY | VM_RECLAIM | VCPU_CREATE -> { (in_vm a.x1) with whole_vm = true }
  | VCPU_ENQUEUE | VCPU_DEQUEUE | VCPU_RESPOND | VCPU_INJECT -> { nothing with of_vcpu = Some (slot a.x1) }
  | PAGE_POISON -> { nothing with page_runs = run a.x1 one }
  | PAGE_INFO -> { nothing with page_runs = run a.x1 one; only_looks = true }
  | ENGINE_INFO | ENGINE_DOORBELL | CPU_RUN | PAGE_CENSUS | TRACE_READ | STATS_READ -> nothing

(* A vCPU touches its VM; what a core does in CPU_RUN touches the VM of the vCPU [entered] there. *)
let of_op vms_of_vcpu entered op =
  let guest ipas = { nothing with vms = entered; ipa_runs = ipas; whole_vm = ipas = [] && entered <> [] } in
  match surely op.what with
  | Call (call, a, told, list) ->
    let t = by_call call a told list in
    (match t.of_vcpu with Some u -> { t with vms = vms_of_vcpu u } | None -> t)
  | Access (page, _, _) | Loads (page, _, _) | Stores (page, _, _, _) -> { nothing with page_runs = [ int page, 1 ] }
  | Hvc (_, _ :: ipa :: _, _) | Fault (_, ipa, _) -> guest (run ipa Z.one)
  (* It claims nothing, and is in nobody's way. *)
  | Finds _ | Puts _ -> { nothing with only_looks = true }
  | Enter (vm, _) -> { nothing with vms = [ vm ]; whole_vm = true }
  | Hvc _ | Wfi _ | Sgi _ | End _ | Begin _ -> guest []
  | Other _ | Perhaps _ -> nothing

let meet grain (a, m) (b, k) =
  let first x = x / grain and last x many = (x + many - 1) / grain in
  first a <= last b k && first b <= last a m

let runs_meet grain r q = List.exists (fun a -> List.exists (meet grain a) q) r

(* The pages of runs, one by one. *)
let each runs = List.concat_map (fun (first, many) -> List.init many (fun i -> first + i)) runs

(* Which pages calls of the history put into a VM, and where: who goes about there may touch them. *)
let pages_of_vms grain ops =
  let table = Hashtbl.create 8 in
  List.iter (fun op -> match op.what with
      | Call ((VM_MAP | VM_LEND | VM_MAP_LIST) as call, a, told, list) ->
        let t = by_call call a told list in
        let pages = if call = VM_MAP_LIST then List.tl t.page_runs else t.page_runs in
        let pages = each pages and ipas = each t.ipa_runs in
        if List.length pages = List.length ipas then
          Hashtbl.add table (slot a.x1) (List.combine pages ipas)
      | _ -> ()) ops;
  let is_there t ipa = t.whole_vm || runs_meet grain [ ipa, 1 ] t.ipa_runs in
  fun t ->
    let all = List.concat_map (fun vm -> List.concat (Hashtbl.find_all table vm)) t.vms in
    List.filter_map (fun (page, ipa) -> if is_there t ipa then Some (page, 1) else None) all

(* Is [b] in the way of what [a], which is about these pages and addresses, wants? *)
let is_in_the_way grain pages_of ~pages ~ipas (a : touch) (b : touch) =
  let same_vm = List.exists (fun vm -> List.mem vm b.vms) a.vms in
  let goes_about t =
    if t.whole_vm || (t.page_runs = [] && t.ipa_runs <> []) then pages_of t else [] in
  not b.only_looks
  && (runs_meet grain pages b.page_runs
  || runs_meet grain pages (goes_about b)
  || runs_meet grain (goes_about a) b.page_runs
  || (same_vm && (a.whole_vm || b.whole_vm || runs_meet grain ipas b.ipa_runs))
  || (a.of_vcpu <> None && (a.of_vcpu = b.of_vcpu || (same_vm && b.whole_vm)))
  || (b.of_vcpu <> None && same_vm && a.whole_vm))
