(* What cores did at the same time, as it was recorded: each thing with the moments at which it began and ended.

   One thing a line; fields by spaces, parts by [|]. A history is the lines from [M] to a dot:

     M, p       the machine at boot, as the oracle reads them
     g N        pages that may be one granule: who touches one of them may be in the way of another (1)
     j          areas of the host's map may become blocks again on the occasion of any call or access
     c          a call:        CORE BEGUN ENDED x0..x6 | x0.. | words of the list page
     a          an access of the host's: CORE BEGUN ENDED PAGE and
                  IS_STORE done, denied or tried      of which no content is known
                  WORD load VALUE                     what it found, or: denied
                  WORD store VALUE                    and behind it: denied
     b          CPU_RUN begins: as a call, without results
     e          a vCPU is entered: CORE BEGUN ENDED VMID AFFINITY
     h          its HVC:       CORE BEGUN ENDED PC x0..x6 | again, exits, unseen, or answered x0 x1 x2 x3
     w, s       its WFI; its SGI to all others: CORE BEGUN ENDED PC INTID
     l          its access that does not: CORE BEGUN ENDED IPA and
                  load VALUE                          what it found
                  store VALUE
     t          its access that faults: CORE BEGUN ENDED PC IPA IS_STORE
     z          CPU_RUN ends:  CORE BEGUN ENDED | x0..
     ?          and another line behind it: that was done, or not
     F          whose the first pages are when all is over

   Invariant: what one core did is in order, and none of it overlaps, but for the parts of one CPU_RUN, which may all end
   when it does. *)

open Spec
open Dump
open Model
module Z = Dump.Z

(* Calls and statuses may stand there by name. *)
let calls = [
  "ENGINE_INFO", ENGINE_INFO; "ENGINE_DOORBELL", ENGINE_DOORBELL; "ENGINE_DONATE", ENGINE_DONATE; "ENGINE_RECLAIM", ENGINE_RECLAIM;
  "VM_CREATE", VM_CREATE; "VM_MAP", VM_MAP; "VM_MAP_LIST", VM_MAP_LIST; "VM_LEND", VM_LEND;
  "VM_UNLEND", VM_UNLEND; "VM_START", VM_START; "VM_DESTROY", VM_DESTROY; "VM_RECLAIM", VM_RECLAIM;
  "VCPU_CREATE", VCPU_CREATE; "VCPU_ENQUEUE", VCPU_ENQUEUE; "VCPU_DEQUEUE", VCPU_DEQUEUE; "CPU_RUN", CPU_RUN;
  "VCPU_RESPOND", VCPU_RESPOND; "VCPU_INJECT", VCPU_INJECT; "PAGE_INFO", PAGE_INFO; "PAGE_POISON", PAGE_POISON;
  "PAGE_CENSUS", PAGE_CENSUS; "TRACE_READ", TRACE_READ; "STATS_READ", STATS_READ;
]
let statuses = [
  "SUCCESS", SUCCESS; "NOT_SUPPORTED", NOT_SUPPORTED; "UNALIGNED", UNALIGNED; "OUT_OF_RANGE", OUT_OF_RANGE;
  "NOT_RAM", NOT_RAM; "NOT_OWNER", NOT_OWNER; "ALREADY_MAPPED", ALREADY_MAPPED; "BAD_STATE", BAD_STATE;
  "BUSY", BUSY; "NO_MEMORY", NO_MEMORY; "LIMIT", LIMIT; "BAD_HANDLE", BAD_HANDLE;
  "NOT_SHARED", NOT_SHARED; "NOT_MAPPED", NOT_MAPPED;
]

let word text =
  match List.assoc_opt text calls, List.assoc_opt text statuses with
  | Some call, _ -> Z.add cALL_BASE (call_number call)
  | _, Some status -> status_word status
  | None, None -> num text

type answer = Again | Exits | Unseen | Goes_on of Z.t list

type what =
  | Call of call * args * Z.t list * Z.t list
  | Other of Z.t list * Z.t list
  | Access of Z.t * bool * string
  (* Page, word of it, and what was found; nothing where that was denied. *)
  | Loads of Z.t * Z.t * Z.t option
  (* Page, word of it, value, and whether it is there. *)
  | Stores of Z.t * Z.t * Z.t * bool
  | Begin of Z.t list
  | Enter of int * Z.t
  | Hvc of Z.t * Z.t list * answer
  | Wfi of Z.t
  | Sgi of Z.t * Z.t
  | Fault of Z.t * Z.t * bool
  (* Address, and what the guest found or stored there. *)
  | Finds of Z.t * Z.t
  | Puts of Z.t * Z.t
  | End of Z.t list
  | Perhaps of what

(* What it is, if it was done. *)
let surely = function Perhaps what -> what | what -> what

type op = { core : int; begun : int; ended : int; what : what; text : string }

type history = {
  boot : known;
  grain : int;
  joins : bool;
  by_core : op array array;
  final : string list option;
}

let rec split_at sep = function
  | [] -> [ [] ]
  | x :: rest when x = sep -> [] :: split_at sep rest
  | x :: rest ->
    match split_at sep rest with
    | part :: parts -> (x :: part) :: parts
    | [] -> [ [ x ] ]

let call_of x0 = Spec.call_of (word x0)

let what_of letter fields =
  match letter, fields with
  | "c", (x0 :: x) :: told :: list ->
    let told = padded (List.map word told) and list = List.map num (List.concat list) in
    (match call_of x0 with
     | Some k -> Call (k, args x, told, list)
     | None -> Other (word x0 :: List.map num x, told))
  | "a", [ [ page; is_store; outcome ] ] -> Access (num page, is_store = "1", outcome)
  | "a", [ [ page; word; "load"; "denied" ] ] -> Loads (num page, num word, None)
  | "a", [ [ page; word; "load"; found ] ] -> Loads (num page, num word, Some (num found))
  | "a", [ [ page; word; "store"; value; "denied" ] ] -> Stores (num page, num word, num value, false)
  | "a", [ [ page; word; "store"; value ] ] -> Stores (num page, num word, num value, true)
  | "b", x :: _ -> Begin (List.map word x)
  | "e", [ [ vmid; affinity ] ] -> Enter (int_of_string vmid - 1, num affinity)
  | "h", [ pc :: x; [ "again" ] ] -> Hvc (num pc, List.map num x, Again)
  | "h", [ pc :: x; [ "unseen" ] ] -> Hvc (num pc, List.map num x, Unseen)
  | "h", [ pc :: x; [ "exits" ] ] -> Hvc (num pc, List.map num x, Exits)
  | "h", [ pc :: x; "answered" :: r ] -> Hvc (num pc, List.map num x, Goes_on (List.map num r))
  | "w", [ [ pc ] ] -> Wfi (num pc)
  | "s", [ [ pc; intid ] ] -> Sgi (num pc, num intid)
  | "l", [ [ ipa; "load"; found ] ] -> Finds (num ipa, num found)
  | "l", [ [ ipa; "store"; value ] ] -> Puts (num ipa, num value)
  | "t", [ [ pc; ipa; is_store ] ] -> Fault (num pc, num ipa, is_store = "1")
  | "z", [ []; told ] -> End (padded (List.map word told))
  | _ -> failwith "no such line"

let rec op_of text letter = function
  | letter' :: fields when letter = "?" ->
    let op = op_of text letter' fields in
    { op with what = Perhaps op.what }
  | core :: begun :: ended :: rest ->
    let op = {
      core = int_of_string core; begun = int_of_string begun; ended = int_of_string ended;
      what = what_of letter (split_at "|" rest); text } in
    if op.begun >= op.ended then failwith "it ends before it begins";
    op
  | _ -> failwith "too short"

(* Two things of one core must not overlap, nor what is between a CPU_RUN's beginning and its end. *)
let in_order ops =
  let ops = List.stable_sort (fun a b -> compare a.begun b.begun) ops in
  let is_part op = match surely op.what with
    | Enter _ | Hvc _ | Wfi _ | Sgi _ | Fault _ | Finds _ | Puts _ | End _ -> true
    | _ -> false in
  let rec check = function
    | a :: (b :: _ as rest) ->
      let in_one_run = is_part b && a.ended = b.ended in
      if a.ended > b.begun && not in_one_run then failwith ("one core, two things at once: " ^ a.text ^ " and " ^ b.text);
      check rest
    | _ -> () in
  check ops;
  Array.of_list ops

(* The history whose lines these are. *)
let of_lines lines =
  let boot = ref None and grain = ref 1 and joins = ref false and ops = ref [] and final = ref None in
  let machine_is_there () = match !boot with Some k -> k | None -> failwith "no machine" in
  let one text =
    match String.split_on_char ' ' text with
    | [ "M"; cores; vms; vcpus; ipa_bits; first; words; on ] ->
      boot := Some (machine cores vms vcpus ipa_bits first words on)
    | [ "p"; first; count; st; mapped ] ->
      if not (boot_pages (machine_is_there ()) first count st mapped) then failwith "boot"
    | [ "g"; n ] -> grain := int_of_string n
    | [ "j" ] -> joins := true
    | "F" :: states -> final := Some states
    | letter :: fields -> ops := op_of text letter fields :: !ops
    | [] -> () in
  List.iter (fun text -> try one text with
      | Failure why | Invalid_argument why -> failwith (why ^ " in: " ^ text)) lines;
  let boot = machine_is_there () and ops = List.rev !ops in
  let by_core = Array.init (int boot.state.cfg.cores_n) (fun c ->
      in_order (List.filter (fun op -> op.core = c) ops)) in
  { boot; grain = !grain; joins = !joins; by_core; final = !final }
