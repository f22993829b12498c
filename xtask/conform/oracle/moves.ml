(* The atomic steps in which the specification does what was recorded.

   A call is one step of [Spec.step]; one that takes pages in a batch is a step a page: the first with all that the call
   checks, then the specification's own function for one page; where it stopped is seen behind them, or by calls that claim
   their pages before they move any, in a step before. VM_START is two, as if it had been told BUSY first, and
   VM_DESTROY, as if it were called twice: it ends the VM, and then counts. A call that is about a VM which another seals or
   ends meanwhile may look at the VM's phase in a step before: who is let in so is inside, is counted, and does
   its work all the same. CPU_RUN is a step of the host, the steps of engine and guests that were seen, and the step with
   which it ends.

   Invariants: a step is found only if the model tells what was told. BUSY is found without a change only if
   [in_the_way] says that somebody was; of what is left open besides, what was told is taken (the slot, the pages that
   come home out of the pool), or every choice is tried (which pages of a dying VM come home). While a call is let in,
   its VM is not started and nothing of it comes home. *)

open Spec
open Dump
open Model
open History
module Z = Dump.Z

(* How far one thing is: let in to a VM of that phase; pages that are done, those of them that the call holds still. *)
type local =
  | Fresh
  | LetIn of vm_state
  | At of int * Z.t list * wanted list
  (* The same, and why the batch stops was seen when nothing was done yet. *)
  | Stops of int * Z.t list * wanted list

(* What is recorded about the whole history. *)
type setting = {
  (* Was somebody in the way of this thing at page [i] of it; -1: at all? *)
  in_the_way : int -> bool;
  (* How many others were at the same VM at the time. *)
  others : int;
  (* Did another seal or end its VM meanwhile? *)
  overtaken : bool;
  (* The VMs that it touches. *)
  vms : int list;
  (* Pages can be zeroed before they come home. *)
  blocks : bool;
}

type move = { to_ : local option; tells : output option; after : known }

let done_ after = { to_ = None; tells = None; after }
let goes_on local after = { to_ = Some local; tells = None; after }

let host c x0 a = ByHost (c, HostHvc (Z.zero, x0, a))
let status told = List.hd told
let is_status e told = Z.equal (status told) (status_word e)
let first told = List.nth told 1
let second told = List.nth told 2

let held_at place point =
  { fair with luck = (fun i p -> if Z.equal i (n place) && p = point then Held else Fine) }

let call_word call = Z.add cALL_BASE (call_number call)

(* [step] with this weather, if it tells just that. *)
let tells k w e told =
  let s, o = step k.state w e in
  match results o told with
  | Some r when List.for_all2 Z.equal r told -> Some (settle_after k s)
  | _ -> None

(* At once: as the weather is, or with somebody in the way. *)
let at_once setting k c x0 a w told =
  let e = host c x0 a in
  match tells k w e told with
  | Some k' -> [ done_ k' ]
  | None ->
    if not (setting.in_the_way (-1)) then []
    else
      let places = [ 0, AtPage; 0, AtEntry; 0, AtHost; int (Z.min a.x3 (n 512)), AtPage ] in
      let try_ (place, point) =
        tells k { (held_at place point) with said = w.said } e told in
      (match List.find_map try_ places with Some k' -> [ done_ k' ] | None -> [])

let leaf_at k v a = lookup a k.vm.(int v).leaves

let page_number z = Z.shift_right z 12

(* Page [i] of a batch, and what the call holds after it. *)
let one_page k w i (mine, wanted) call (a : args) list =
  let v = Touch.slot a.x1 |> n and i' = n i in
  let rights raw = Z.testbit raw 1, Z.testbit raw 2 in
  let at z = Z.add (page_number z) i' in
  let plain r = match r with Ok s -> Ok (s, (mine, wanted)) | No e -> No e in
  match call with
  | VM_MAP -> plain (map_page k.state w i' v (at a.x2) (at a.x3) (rights a.x5))
  | VM_LEND -> plain (lend_page k.state w i' v (at a.x2) (at a.x3) (rights a.x5))
  | ENGINE_DONATE -> plain (donate_page k.state w i' (at a.x1))
  | VM_UNLEND ->
    (match unlend_step w v (page_number a.x2) i' (k.state, mine) with
     | Ok (s, mine) -> Ok (s, (mine, wanted))
     | No e -> No e)
  | VM_MAP_LIST ->
    (match map_entry w v list i' (k.state, wanted) with
     | Ok (s, wanted) -> Ok (s, (mine, wanted))
     | No e -> No e)
  | _ -> failwith "no batch"

(* Behind its [i]-th page: over, or at the page where it stopped, or at the next one. *)
let stops k w call a list told held =
  match one_page k w (int (first told)) held call a list with
  | No e -> Z.equal (status_word e) (second told)
  | Ok _ -> false

let behind k ~seen told i (mine, wanted) =
  let is_whole = Z.equal (second told) Z.zero in
  if n i = first told && (is_whole || seen) then done_ k
  else goes_on (if seen then Stops (i, mine, wanted) else At (i, mine, wanted)) k

let batch setting k call a list told ~seen i (mine, wanted) =
  let all = int (first told) and why = second told in
  if i < all then
    match one_page k fair i (mine, wanted) call a list with
    | Ok (s, mine) -> [ behind (settle_after k s) ~seen told (i + 1) mine ]
    | No _ -> []
  else begin
    let stopped w = stops k w call a list told (mine, wanted) in
    let is_busy = Z.equal why (status_word BUSY) && setting.in_the_way i in
    let places = if is_busy then [ AtPage; AtEntry; AtHost ] else [] in
    if stopped fair || List.exists (fun point -> stopped (held_at i point)) places then [ done_ k ] else []
  end

(* What a list page holds is told with the call. *)
let with_list k call (a : args) list =
  if call <> VM_MAP_LIST then k
  else
    let p = page_number a.x2 in
    let pages = k.state.pages in
    let held = pages p in
    settle_after k
      { k.state with pages = (fun q -> if Z.equal p q then { held with holds = list } else pages q) }

let begin_batch setting k c x0 a call list told =
  if not (is_status SUCCESS told) then at_once setting (with_list k call a list) c x0 a fair told
  else
    let one = padded [ Z.zero; Z.one; Z.zero ] in
    let k' = with_list k call a list in
    match tells k' { fair with most = Z.one } (host c x0 a) one with
    | None -> []
    | Some after ->
      (* What it holds, its own function says. *)
      (match one_page k' fair 0 ([], []) call a list with
       | Ok (_, mine) -> [ behind after ~seen:false told 1 mine ]
       | No _ -> [])

(* All but VM_LEND claim what they can have of a batch, before any of it moves: so they come upon the page that ends it. *)
let sees_its_end k c x0 call a list told =
  let claims_first = call <> VM_LEND in
  if not (claims_first && is_status SUCCESS told) || Z.equal (second told) Z.zero then []
  else
    let k' = with_list k call a list in
    (* Held at its first page, it has checked all that is not about pages. *)
    let comes_in point = tells k' (held_at 0 point) (host c x0 a) (padded [ status_word BUSY ]) <> None in
    if stops k' fair call a list told ([], []) && List.exists comes_in [ AtPage; AtEntry ]
    then [ goes_on (Stops (0, [], [])) k' ]
    else []

(* ** ENGINE_RECLAIM: the pages that it told *)

let pool_page told i = page_number (List.nth told (2 + i))

let begin_returning setting k c x0 a told =
  if not (is_status SUCCESS told) then at_once setting k c x0 a fair told
  else
    let count = int (first told) in
    if count = 0 then at_once setting k c x0 a fair told
    else
      let p = pool_page told 0 in
      let w = { fair with spare = [ p ] } in
      match tells k w (host c x0 a) (padded [ Z.zero; Z.one; Z.shift_left p 12 ]) with
      | Some k' -> if count = 1 then [ done_ k' ] else [ goes_on (At (1, [], [])) k' ]
      | None -> []

let return_next k told i =
  match return_pages k.state fair Z.zero [ pool_page told i ] with
  | s, [ _ ] ->
    let k' = settle_after k s in
    if n (i + 1) = first told then [ done_ k' ] else [ goes_on (At (i + 1, [], [])) k' ]
  | _ -> []

(* ** VM_RECLAIM: it comes upon leaves in any order *)

let begin_bringing_home setting held k c x0 (a : args) told =
  if not (is_status SUCCESS told) then at_once setting k c x0 a fair told
  else if held (Touch.slot a.x1) > 0 then []
  else
    match tells k fair (host c x0 a) (padded []) with
    | Some k' -> [ goes_on (At (0, [], [])) k' ]
    | None -> []

let bring_home setting k c x0 (a : args) told i =
  let v = n (Touch.slot a.x1) and all = int (first told) in
  let is_last = not (Z.equal (second told) Z.zero) in
  let ends =
    if is_last then
      match tells k { fair with ends = true } (host c x0 a) (padded [ Z.zero; Z.zero; Z.one ]) with
      | Some k' when i = all -> [ done_ k' ]
      | _ -> []
    else if i = all then [ done_ k ]
    else [] in
  let leaf (at, _) =
    let by how =
      let s, (_, told) = reclaim_leaf k.state v at how in
      let i' = i + int told in
      if s == k.state || i' > all then [] else [ goes_on (At (i', [], [])) (settle_after k s) ] in
    List.concat_map by (if setting.blocks then [ Home; Zeroed; Follow ] else [ Home ]) in
  let leaves = k.vm.(int v).leaves in
  ends @ List.concat_map leaf leaves

(* ** Calls *)

let call_moves setting held k c call (a : args) told list local =
  let x0 = call_word call in
  let slot_told = n (Touch.slot (first told)) in
  match call, local with
  | (VM_MAP | VM_LEND | VM_UNLEND | ENGINE_DONATE | VM_MAP_LIST), Fresh ->
    begin_batch setting k c x0 a call list told @ sees_its_end k c x0 call a list told
  | (VM_MAP | VM_LEND | VM_UNLEND | ENGINE_DONATE | VM_MAP_LIST), At (i, mine, wanted) ->
    batch setting k call a list told ~seen:false i (mine, wanted)
  | (VM_MAP | VM_LEND | VM_UNLEND | ENGINE_DONATE | VM_MAP_LIST), Stops (i, mine, wanted) ->
    batch setting k call a list told ~seen:true i (mine, wanted)
  | ENGINE_RECLAIM, Fresh -> begin_returning setting k c x0 a told
  | ENGINE_RECLAIM, At (i, _, _) -> return_next k told i
  | VM_RECLAIM, Fresh -> begin_bringing_home setting held k c x0 a told
  | VM_RECLAIM, At (i, _, _) -> bring_home setting k c x0 a told i
  | (VM_CREATE | VCPU_CREATE), _ -> at_once setting k c x0 a { fair with free_slot = slot_told } told
  (* It seals and then starts: in between others find it sealed. *)
  | VM_START, _ when is_status SUCCESS told && held (Touch.slot a.x1) > 0 && local <> Fresh -> []
  | VM_START, Fresh ->
    let at_once =
      if is_status SUCCESS told && held (Touch.slot a.x1) > 0 then [] else at_once setting k c x0 a fair told in
    let seals = match find_vm k.state a.x1 with
      | Ok v when k.vm.(int v).phase = Some Building ->
        let s, _ = step k.state (held_at 0 AtPage) (host c x0 a) in
        [ goes_on (At (0, [], [])) (settle_after k s) ]
      | _ -> [] in
    at_once @ seals
  | VM_DESTROY, _ when is_status SUCCESS told ->
    (match find_vm k.state a.x1 with
     | No _ -> []
     | Ok v ->
       let s, _ = step k.state fair (host c x0 a) in
       let after = settle_after k s in
       (* How many are inside, it counts when the VM is over: those that the model knows, and others at most. *)
       let more = int (first told) - List.length (inside k.state v) in
       let counts = if more < held (int v) || more > setting.others then [] else [ done_ after ] in
       if local = Fresh then goes_on (At (0, [], [])) after :: counts else counts)
  | (ENGINE_INFO | TRACE_READ | STATS_READ), _ ->
    let said = if call = TRACE_READ then [ first told; second told; List.nth told 3 ] else [ first told ] in
    let refused = { fair with said = [] } in
    (match at_once setting k c x0 a { fair with said } told with
     | [] -> at_once setting k c x0 a refused told
     | found -> found)
  (* It counts page after page, while they change. *)
  | PAGE_CENSUS, _ -> [ done_ k ]
  | _ -> at_once setting k c x0 a fair told

(* The VM at whose phase a call looks when it comes in. *)
let looks_at k call (a : args) = match call with
  | VM_MAP | VM_LEND | VM_UNLEND | VM_MAP_LIST | VCPU_CREATE ->
    (match find_vm k.state a.x1 with Ok v -> Some v | No _ -> None)
  | VCPU_ENQUEUE | VCPU_RESPOND | VCPU_INJECT ->
    (match find_vcpu k.state a.x1 with Ok i -> Some (k.vcpu.(int i).of_vm) | No _ -> None)
  | _ -> None

let in_phase k v phase =
  settle_after k (Spec.put_vm k.state v (set_phase k.vm.(int v) phase))

(* As [call_moves]; or the call is let in, and goes on from there when the VM may be past that phase. *)
let call_moves setting held k c call a told list local =
  let now v = k.vm.(int v).phase in
  match local, looks_at k call a with
  | LetIn phase, Some v when now v <> None ->
    let back m = { m with after = in_phase m.after v (now v) } in
    List.map back (call_moves setting held (in_phase k v (Some phase)) c call a told list Fresh)
  | LetIn _, _ -> []
  | Fresh, Some v when setting.overtaken ->
    let let_in = match now v with Some phase -> [ goes_on (LetIn phase) k ] | None -> [] in
    call_moves setting held k c call a told list local @ let_in
  | _ -> call_moves setting held k c call a told list local

(* ** CPU_RUN *)

let guest_on (k : known) c = match k.core.(int c).at_ with InGuest i -> Some i | _ -> None
let is_in_run (k : known) c = match k.core.(int c).at_ with InRun -> true | _ -> false

let act k w e =
  let s, o = step k.state w e in
  settle_after k s, o

(* What the engine does between two things that are seen: a turn ends; one that may not be entered any more is put off
   its queue. *)
let unseen k c =
  match guest_on k c with
  | Some _ ->
    let turn_ends = fst (act k fair (ByGuest (c, Interrupted))) in
    let leaves = fst (act k fair (ByEngine (c, Leave))) in
    turn_ends :: (if leaves == k then [] else [ leaves ])
  | None when is_in_run k c ->
    let strays = ref [] in
    Array.iteri (fun i (u : vcpu) ->
        match u.place with
        | Queued q when Z.equal q c && k.vm.(int u.of_vm).phase <> Some Running ->
          strays := fst (act k fair (ByEngine (c, Pick (n i)))) :: !strays
        | _ -> ()) k.vcpu;
    !strays
  | None -> []

(* x0 to x6 and the program counter are the guest's own affair. *)
let compute k c i pc x =
  let u = k.vcpu.(int i) in
  let x = List.init 31 (fun r -> match List.nth_opt x r with Some v -> v | None -> u.x (n r)) in
  fst (act k fair (ByGuest (c, Compute (x, pc, []))))

let find_vcpu k vm affinity =
  let found = ref None in
  Array.iteri (fun i (u : vcpu) ->
      if u.place <> Absent && Z.equal u.of_vm (n vm) && Z.equal u.mpidr affinity then found := Some (n i)) k.vcpu;
  !found

let enter k c vm affinity =
  match find_vcpu k vm affinity with
  | None -> []
  | Some i ->
    match guest_on k c with
    | Some j when Z.equal i j -> [ done_ k ]
    | Some _ -> []
    | None ->
      let k' = fst (act k fair (ByEngine (c, Pick i))) in
      if guest_on k' c = Some i then [ done_ k' ] else []

let exits k c e =
  match act k fair e with
  | after, (Exited _ as o) when guest_on after c = None -> [ { to_ = None; tells = Some o; after } ]
  | _ -> []

let hvc setting k c pc x answer =
  match guest_on k c with
  | None -> []
  | Some i ->
    let ready = compute k c i pc x in
    let done_with = ByGuest (c, Hvc Z.zero) in
    match answer with
    (* It is repeated: that is what a guest sees of BUSY. *)
    | Again -> if setting.in_the_way (-1) then [ done_ k ] else []
    | Exits -> exits ready c done_with
    (* Done or to be repeated: it has not gone on since. *)
    | Unseen ->
      let over = match act ready fair done_with with
        | after, Silence -> [ done_ after ]
        | _ -> [] in
      let is_over = k.vm.(int k.vcpu.(int i).of_vm).phase <> Some Running in
      if is_over || setting.in_the_way (-1) then done_ k :: over else over
    | Goes_on told ->
      let after, _ = act ready fair done_with in
      let goes_on = guest_on after c = Some i in
      let u = after.vcpu.(int i) in
      let is_told = List.for_all (fun (r, v) -> Z.equal (u.x (n r)) v) (List.mapi (fun r v -> r, v) told) in
      if goes_on && is_told && Z.equal u.pc (Z.add pc (n 4)) then [ done_ after ] else []

(* An access of a whole word, by x9. *)
let by_x9 kind ipa = Touch { kind; ipa; bytes = n 8; signed = false; wide = true; reg = n 9; plain = true }

let fault k c pc ipa is_store =
  match guest_on k c with
  | None -> []
  | Some i ->
    let ready = compute k c i pc [] in
    let touch = by_x9 (if is_store then Store else Load) ipa in
    (* Found after all, it goes on: that the access then loads or stores is not recorded. *)
    let reached = match lookup (page_number ipa) k.vm.(int k.vcpu.(int i).of_vm).leaves with
      | Some _ -> [ done_ k ]
      | None -> [] in
    exits ready c (ByGuest (c, touch)) @ reached

(* It goes on behind the access: so it was neither an exit nor refused. *)
let goes_on_behind k c i after =
  let pc u = (u : known).vcpu.(int i).pc in
  guest_on after c = Some i && Z.equal (pc after) (Z.add (pc k) (n 4))

let finds k c ipa found =
  match guest_on k c with
  | None -> []
  | Some i ->
    let after, _ = act k fair (ByGuest (c, by_x9 Load ipa)) in
    if goes_on_behind k c i after && Z.equal (after.vcpu.(int i).x (n 9)) found then [ done_ after ] else []

let puts k c ipa value =
  match guest_on k c with
  | None -> []
  | Some i ->
    let u = k.vcpu.(int i) in
    let x = List.init 31 (fun r -> if r = 9 then value else u.x (n r)) in
    let ready = fst (act k fair (ByGuest (c, Compute (x, u.pc, [])))) in
    let after, _ = act ready fair (ByGuest (c, by_x9 Store ipa)) in
    if goes_on_behind ready c i after then [ done_ after ] else []

let sgi k c pc intid =
  match guest_on k c with
  | None -> []
  | Some i ->
    let ready = compute k c i pc [] in
    let v = ready.vcpu.(int i).of_vm in
    let others = List.filter (fun j -> not (Z.equal i j)) ready.vm.(int v).members in
    [ done_ (fst (act ready fair (ByGuest (c, SendSgi (intid, others))))) ]

(* It waits; or something is there for it already, and it goes on. *)
let wfi k c pc =
  match guest_on k c with
  | None -> []
  | Some i ->
    let ready = compute k c i pc [] in
    [ done_ (fst (act ready fair (ByGuest (c, Wfi)))); done_ ready ]

let reason_of raw =
  List.find_opt (fun r -> Z.equal (exitReason_raw r) raw) [ ExitReason_HostInterrupt; ExitReason_Budget; ExitReason_Idle ]

let end_run k c before told =
  let agrees o = match results o told with Some r -> List.for_all2 Z.equal r told | None -> false in
  let by e = match act k fair e with
    | after, o when agrees o -> [ done_ after ]
    | _ -> [] in
  match before with
  | Some o -> if agrees o then [ done_ k ] else []
  | None ->
    match reason_of (first told) with
    | Some why -> by (ByEngine (c, Stop (why, List.nth told 3)))
    | None -> by (ByEngine (c, TellReady))

(* ** All *)

let access k c page is_store outcome =
  let e = HostLoad (page, Z.zero) in
  ignore is_store;
  match outcome, step k.state fair (ByHost (c, e)) with
  | "done", (_, Loaded _) | "denied", (_, Aborted) | "tried", _ -> [ done_ k ]
  | _ -> []

(* With contents: what was stored last, or zeroes, or nothing that the host may reach. *)
let load k c page word found =
  match found, step k.state fair (ByHost (c, HostLoad (page, word))) with
  | Some w, (_, Loaded v) when Z.equal v w -> [ done_ k ]
  | None, (_, Aborted) -> [ done_ k ]
  | _ -> []

let store k c page word value is_done =
  match is_done, step k.state fair (ByHost (c, HostStore (page, word, value))) with
  | true, (s, Stored) -> [ done_ (settle_after k s) ]
  | false, (_, Aborted) -> [ done_ k ]
  | _ -> []

let moves setting held (op : op) local before k =
  let c = n op.core in
  let rec moves_of = function
    | Call (call, a, told, list) -> call_moves setting held k c call a told list local
    | Other (x, told) ->
      let x0, rest = List.hd x, List.tl x in
      at_once setting k c x0 (match rest with
          | [ x1; x2; x3; x4; x5; x6 ] -> { x1; x2; x3; x4; x5; x6 }
          | _ -> failwith "six arguments") fair told
    | Access (page, is_store, outcome) -> access k c page is_store outcome
    | Loads (page, word, found) -> load k c page word found
    | Stores (page, word, value, is_done) -> store k c page word value is_done
    | Begin x ->
      let a = args (List.map Z.to_string (List.tl x)) in
      [ done_ (fst (act k fair (host c (List.hd x) a))) ]
    | Enter (vm, affinity) -> enter k c vm affinity
    | Hvc (pc, x, answer) -> hvc setting k c pc x answer
    | Fault (pc, ipa, is_store) -> fault k c pc ipa is_store
    | Finds (ipa, found) -> finds k c ipa found
    | Puts (ipa, value) -> puts k c ipa value
    | Sgi (pc, intid) -> sgi k c pc intid
    | Wfi pc -> wfi k c pc
    | End told -> end_run k c before told
    | Perhaps what -> done_ k :: moves_of what in
  let found = moves_of op.what in
  match surely op.what with
  | Enter _ | End _ when before = None -> found @ List.map (goes_on local) (unseen k c)
  (* Nothing was seen of the core between this and the next thing. *)
  | Hvc (_, _, Unseen) | Fault _ | Wfi _ ->
    let behind m = if m.tells = None then List.map done_ (unseen m.after c) else [] in
    found @ List.concat_map behind found
  | _ -> found
