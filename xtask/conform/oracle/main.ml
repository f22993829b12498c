(* The specification as an oracle: reads what was done to a machine and what was seen of it, has the extracted
   model do the same, and says where the two differ.

   One thing a line, numbers as OCaml reads them; xtask/conform/src/oracle.rs writes them. After [Q] comes one
   answer: [ok STEPS], or [no], what differs, and a line with a dot. Of a machine only the first difference
   is told. *)

open Spec
open Dump
open Model
module Z = Dump.Z

(* ** The machine, and what was told since it was last compared *)

let now : known option ref = ref None
let told = ref Silence
let fault : string option ref = ref None
let marks = ref 0
let steps = ref 0
let kept : (int, known) Hashtbl.t = Hashtbl.create 4096

(* Of each core of the simulated machine. *)
let list_registers = 4

let known () = match !now with Some k -> k | None -> failwith "no machine yet"

(* For the next event. *)
let weather = ref fair
(* The page of the batch for which a table is missing, if that was so. *)
let short = ref (-1)
(* What would have come of the last event if the pool had been empty at another point. *)
let otherwise : (known * (weather * event) list) option ref = ref None

let apply k w e =
  let s, o = step k.state w e in
  settle_after k s, o

let happen e =
  incr steps;
  let k = known () and w = !weather in
  weather := fair;
  let place = n !short in
  let at point = { w with luck = (fun i p -> if Z.equal i place && p = point then Short else Fine) } in
  otherwise := None;
  let w =
    if !short < 0 then w
    else begin
      (* How many pages it had taken on, a call that is refused for want of a table does not say. *)
      otherwise := Some (k, [ at AtHost, e; { (at AtHost) with most = Z.one }, e ]);
      at AtEntry
    end in
  short := -1;
  let k, o = apply k w e in
  now := Some k;
  if o <> Silence then told := o

(* ** What was seen *)

let differ text = if !fault = None then fault := Some text

(* Is that what was to be told? The pool may have been empty at one point or another. *)
let expect fits shown =
  let fails () = not (fits !told) in
  if fails () then begin
    match !otherwise with
    | None -> ()
    | Some (k, all) ->
      let outcomes = List.map (fun (w, e) -> apply k w e) all in
      match List.find_opt (fun (_, o) -> fits o) outcomes with
      | Some (k', o) -> now := Some k'; told := o
      | None -> ()
  end;
  otherwise := None;
  if fails () then
    differ (Printf.sprintf "told: engine %s\n      model  %s" shown (show_output !told));
  told := Silence

(* ** Lines *)

let host_act c h = happen (ByHost (c, h))

let guest_of k c = match k.core.(int c).at_ with InGuest i -> Some i | _ -> None

(* It is the turn of vCPU [i] on core [c]: whoever had its turn there before, has it no more. *)
let turn_of c i =
  match guest_of (known ()) c with
  | Some j when not (Z.equal j i) -> happen (ByGuest (c, Interrupted))
  | _ -> ()

(* Before a vCPU is entered, the host is told of others of its VM's. *)
let tell c i =
  if guest_of (known ()) c = Some i then happen (ByEngine (c, TellReady))
  else happen (ByEngine (c, TellFirst i))

(* It is entered: there was nothing to tell. *)
let enter c i =
  turn_of c i;
  tell c i;
  if guest_of (known ()) c <> Some i then happen (ByEngine (c, Pick i))

(* What a guest's own instructions leave: these registers changed, the program counter moved. *)
let compute c changes skip =
  let k = known () in
  match guest_of k c with
  | None -> differ "a guest acts on a core where the model runs none"
  | Some i ->
    let u = k.vcpu.(int i) in
    let x = List.init 31 (fun r -> match List.assoc_opt r changes with
        | Some v -> v | None -> u.x (n r)) in
    let pc = if skip then Z.logand (Z.add u.pc (n 4)) (Z.pred (Z.shift_left Z.one 64)) else u.pc in
    happen (ByGuest (c, Compute (x, pc, [])))

(* The instruction that trapped is over. One that ended in an exception returns behind it. *)
let finish c =
  let k = known () in
  match guest_of k c with
  | Some i when k.vcpu.(int i).sys <> [] -> compute c [] true
  | _ -> ()

let access kind ipa plain =
  Touch { kind; ipa; bytes = n 8; signed = false; wide = true; reg = n 9; plain }
let part kind ipa bytes signed wide =
  Touch { kind; ipa; bytes = num bytes; signed = signed = "1"; wide = wide = "1"; reg = n 9; plain = true }

let machine cores vms vcpus ipa_bits first words on =
  now := Some (machine cores vms vcpus ipa_bits first words on);
  told := Silence; fault := None; marks := 0; Hashtbl.reset kept

let boot_pages first count text mapped =
  if not (boot_pages (known ()) first count text mapped) then
    differ "boot mapped a page for the host that it may not reach"

let first_difference a b =
  let a = String.split_on_char '\n' a and b = String.split_on_char '\n' b in
  let only x y = List.filter (fun l -> not (List.mem l y)) x in
  let most l = List.filteri (fun i _ -> i < 12) l in
  String.concat "\n" (List.map (fun l -> "engine  " ^ l) (most (only a b))
                      @ List.map (fun l -> "model   " ^ l) (most (only b a)))

let compare_state engine =
  let k = known () in
  let model = text k in
  if not (String.equal engine model) then
    differ ("state:\n" ^ first_difference engine model)

let way_of = function
  | 'h' -> Home | 'z' -> Zeroed | _ -> Follow

let set_weather token =
  let at = String.index token '=' in
  let name = String.sub token 0 at in
  let value = String.sub token (at + 1) (String.length token - at - 1) in
  let list () = if value = "" then [] else String.split_on_char ',' value in
  match name with
  | "most" -> weather := { !weather with most = num value }
  | "short" -> short := int_of_string value
  | "free" -> weather := { !weather with free_slot = num value }
  | "ends" -> weather := { !weather with ends = true }
  | "said" -> weather := { !weather with said = List.map num (list ()) }
  | "spare" -> weather := { !weather with spare = List.map num (list ()) }
  | "found" ->
    let one t = (num (String.sub t 1 (String.length t - 1)), way_of t.[0]) in
    weather := { !weather with found = List.map one (list ()) }
  | _ -> failwith ("unknown weather: " ^ token)

(* The weather is that of the act, not of what the guest does to its registers before. *)
let compute_first c changes =
  let w = !weather and s = !short in
  weather := fair; short := -1;
  compute c changes false;
  weather := w; short := s

let tried c = function
  | [ "load"; a ] -> compute_first c []; happen (ByGuest (c, access Load (num a) true))
  | [ "pair"; a ] -> compute_first c []; happen (ByGuest (c, access Load (num a) false))
  | [ "store"; a; v ] -> compute_first c [ 9, num v ]; happen (ByGuest (c, access Store (num a) true))
  | [ "loadpart"; a; bytes; signed; wide ] ->
    compute_first c [];
    happen (ByGuest (c, part Load (num a) bytes signed wide))
  | [ "storepart"; a; bytes; signed; wide; v ] ->
    compute_first c [ 9, num v ];
    happen (ByGuest (c, part Store (num a) bytes signed wide))
  | [ "fetch"; a ] ->
    compute_first c [];
    let k = known () in
    let before = match guest_of k c with Some i -> Some (i, k.vcpu.(int i)) | None -> None in
    happen (ByGuest (c, access Fetch (num a) true));
    (* The model leaves what a fetch leads to to the guest. *)
    (match before, guest_of (known ()) c with
     | Some (i, u), Some j when Z.equal i j && (known ()).vcpu.(int i) == u -> compute c [] true
     | _ -> ())
  | "hvc" :: x -> compute_first c (List.mapi (fun r v -> r, num v) x); happen (ByGuest (c, Hvc Z.zero))
  | [ "wfi" ] -> compute_first c []; happen (ByGuest (c, Wfi))
  | [ "serror" ] -> compute_first c []; happen (ByGuest (c, SErrorTaken))
  | [ "sgi"; value ] ->
    compute_first c [ 9, num value ];
    (match guest_of (known ()) c with
     | Some i -> happen (ByGuest (c, sgi_by_register (known ()).state i (num value)))
     | None -> ())
  | [ "none" ] -> compute c [] true
  | other -> failwith ("unknown act: " ^ String.concat " " other)

let reason_of raw =
  let all = [ ExitReason_HostInterrupt; ExitReason_Budget; ExitReason_Idle ] in
  List.find_opt (fun r -> Z.equal (exitReason_raw r) raw) all

(* CPU_RUN ended for no vCPU's reason. *)
let stop c raw detail =
  (match guest_of (known ()) c with
   | Some _ -> happen (ByGuest (c, Interrupted))
   | None -> ());
  match reason_of raw with
  | Some why -> happen (ByEngine (c, Stop (why, detail)))
  | None -> ()

let line input = function
  | [ "M"; cores; vms; vcpus; ipa_bits; first; words; on ] -> machine cores vms vcpus ipa_bits first words on
  | [ "p"; first; count; st; mapped ] -> boot_pages first count st mapped
  | "y" :: tokens -> List.iter set_weather tokens
  | "h" :: c :: imm :: x0 :: rest -> host_act (num c) (HostHvc (num imm, num x0, args rest))
  | [ "s"; c; x0; x1; x2; x3 ] -> host_act (num c) (HostSmc (Z.zero, num x0, num x1, num x2, num x3))
  | [ "r"; c; p; i ] -> host_act (num c) (HostLoad (num p, num i))
  | [ "w"; c; p; i; v ] -> host_act (num c) (HostStore (num p, num i, num v))
  | [ "t"; p; "h" ] -> happen (ByChance (BecomesTable (num p, None)))
  | [ "t"; p; v ] -> happen (ByChance (BecomesTable (num p, Some (num v))))
  | [ "T"; p ] -> happen (ByChance (TableEnds (num p)))
  | [ "m"; p; count ] ->
    for i = 0 to int_of_string count - 1 do
      happen (ByChance (HostMaps (Z.add (num p) (n i), true)))
    done
  | [ "M"; p ] -> happen (ByChance (HostMaps (num p, false)))
  | [ "n"; c ] -> happen (ByChance (CoreStarts (num c)))
  | [ "b"; p ] -> happen (ByChance (MemoryError (num p)))
  | [ "e"; c; i ] -> enter (num c) (num i)
  | [ "f"; c ] -> finish (num c)
  | "g" :: c :: act -> tried (num c) act
  | [ "ready"; c; i ] -> turn_of (num c) (num i); tell (num c) (num i)
  | [ "lists"; c ] ->
    let c = num c in
    (match guest_of (known ()) c with
     | Some i when List.length (known ()).pending.(int i) > list_registers -> happen (ByGuest (c, ListsFull))
     | _ -> differ "list registers are full, but not that many interrupts are pending")
  | [ "leave"; c ] -> happen (ByEngine (num c, Leave))
  | [ "turn"; c ] ->
    if guest_of (known ()) (num c) <> None then happen (ByGuest (num c, Interrupted))
  | [ "pick"; c; i ] -> happen (ByEngine (num c, Pick (num i)))
  | [ "z"; c; raw; detail ] -> stop (num c) (num raw) (num detail)
  | "o" :: x ->
    let x = List.map num x in
    expect (fun o -> match results o x with Some r -> List.for_all2 Z.equal r x | None -> false)
      (show_regs x)
  | [ "ol"; w ] ->
    let w = num w in
    expect (function Loaded v -> Z.equal v w | _ -> false) ("loaded " ^ Z.format "%x" w)
  | [ "os" ] -> expect (fun o -> o = Stored) "stored"
  | [ "oa" ] -> expect (fun o -> o = Aborted) "aborted"
  | [ "of" ] -> expect (fun o -> o = MachineOff) "the machine is off"
  | [ "D"; bytes ] -> compare_state (really_input_string input (int_of_string bytes))
  | [ "S"; id ] -> Hashtbl.replace kept (int_of_string id) (known ())
  | [ "X"; id ] -> Hashtbl.remove kept (int_of_string id)
  | [ "R"; id ] ->
    now := Some (Hashtbl.find kept (int_of_string id)); told := Silence; fault := None
  | [ "show" ] -> prerr_string (text (known ()))
  | other -> failwith ("unknown line: " ^ String.concat " " other)

let answer () =
  (match !fault with
   | None -> Printf.printf "ok %d\n" !steps
   | Some what -> Printf.printf "no\n%s\n.\n" what);
  flush stdout

let () =
  set_binary_mode_in stdin true;
  try
    while true do
      let text = input_line stdin in
      if text = "Q" then answer ()
      else begin
        let tokens = String.split_on_char ' ' text in
        match tokens with
        | "M" :: _ | "R" :: _ -> line stdin tokens
        | [ "D"; bytes ] when !fault <> None -> ignore (really_input_string stdin (int_of_string bytes))
        | _ -> if !fault = None then
            (try line stdin tokens with Failure why -> differ ("the oracle: " ^ why ^ " in: " ^ text))
      end
    done
  with End_of_file -> ()
