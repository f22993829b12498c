(* Is there an order? A search for one in which every step is the specification's and tells what was told, and what ended
   before something else began comes before it; after Wing and Gong, remembering like Lowe which places with which states
   lead nowhere.

   Invariants: a history is explained only by a whole order, to the last thing recorded and to the state that was found
   when all was over; what was refused was tried in every order, or the search says that it gave up. *)

open Dump
open History
open Moves
module Z = Dump.Z

type node = {
  known : known;
  (* What each core does next, how far that is, and what it told in CPU_RUN. *)
  next : int array;
  local : local array;
  told : Spec.output option array;
}

type verdict =
  | Explained
  (* How many things at most were in order, the state there, and what came next. *)
  | Refused of int * node
  | Gave_up

(* More places than any history of the size that is recorded has. *)
let most_places = 400_000

let settings h =
  let ops = List.concat_map Array.to_list (Array.to_list h.by_core) in
  let pages_of = Touch.pages_of_vms h.grain ops in
  let slots = Hashtbl.create 8 in
  List.iter (fun op -> match op.what with
      | Call (Spec.VCPU_CREATE, a, told, _) when Touch.succeeded told ->
        Hashtbl.add slots (Touch.slot (List.nth told 1)) (Touch.slot a.Spec.x1)
      | _ -> ()) ops;
  let vms_of_vcpu u = List.sort_uniq compare (Hashtbl.find_all slots u) in
  (* The VMs of which vCPUs are put on a core's queue: it looks at each in CPU_RUN. *)
  let queued c =
    List.concat_map (fun op -> match op.what with
        | Call (Spec.VCPU_ENQUEUE, a, _, _) when Z.equal a.Spec.x2 (n c) -> vms_of_vcpu (Touch.slot a.Spec.x1)
        | Call (Spec.VCPU_RESPOND, a, _, _) when op.core = c -> vms_of_vcpu (Touch.slot a.Spec.x1)
        | _ -> []) ops in
  let touched ops =
    let entered = ref [] in
    let all = Array.map (fun op ->
        (match surely op.what with
         | Begin _ -> entered := List.sort_uniq compare (queued op.core)
         | Enter (vm, _) -> if not (List.mem vm !entered) then entered := vm :: !entered
         | _ -> ());
        op, Touch.of_op vms_of_vcpu !entered op) ops in
    all in
  let all = Array.map touched h.by_core in
  let overlaps a b = a.begun < b.ended && b.begun < a.ended in
  let of_op (op, touch) =
    let others = ref [] in
    Array.iteri (fun c ops ->
        if c <> op.core then
          Array.iter (fun (other, its) -> if overlaps op other then others := (other, its) :: !others) ops) all;
    (* What is left of a batch behind its first [i]: pages of a run may be taken together. *)
    let rec behind i = function
      | r when i <= 0 -> r
      | [] -> []
      | (first, many) :: rest when many > i -> (first + i, many - i) :: rest
      | (_, many) :: rest -> behind (i - many) rest in
    let in_the_way i =
      let pages, ipas = match op.what, touch.Touch.page_runs with
        | Call (Spec.VM_MAP_LIST, _, _, _), list :: entries -> list :: behind i entries, behind i touch.Touch.ipa_runs
        | _, pages -> behind i pages, behind i touch.Touch.ipa_runs in
      (h.joins && !others <> [] && (pages <> [] || ipas <> []))
      || List.exists (fun (_, its) -> Touch.is_in_the_way h.grain pages_of ~pages ~ipas touch its) !others in
    let ends_or_seals (other, its) = match other.what with
      | Call ((VM_DESTROY | VM_START), _, _, _) -> List.exists (fun vm -> List.mem vm its.Touch.vms) touch.Touch.vms
      | _ -> false in
    let at_vm (_, its) = List.exists (fun vm -> List.mem vm its.Touch.vms) touch.Touch.vms in
    { in_the_way; others = List.length (List.filter at_vm !others); blocks = h.grain > 1; vms = touch.Touch.vms;
      overtaken = List.exists ends_or_seals !others } in
  Array.map (Array.map of_op) all

let local_text = function
  | Fresh -> "-"
  | LetIn phase -> (match phase with
      | Building -> "b" | Sealing -> "s" | Running -> "r" | Dying -> "d")
  | At (i, mine, wanted) | Stops (i, mine, wanted) as local ->
    let seen = match local with Stops _ -> "!" | _ -> "" in
    Printf.sprintf "%d%s:%s:%d" i seen (String.concat "," (List.map Z.to_string mine)) (List.length wanted)

let key node =
  let b = Buffer.create 256 in
  Array.iteri (fun c i -> Buffer.add_string b (string_of_int i); Buffer.add_char b '/';
                Buffer.add_string b (local_text node.local.(c)); Buffer.add_char b ' ') node.next;
  Array.iter (fun o -> Buffer.add_string b (match o with Some o -> Model.show_output o | None -> "")) node.told;
  Array.iter (fun (c : Spec.core) ->
      Buffer.add_string b (match c.Spec.at_ with
          | Spec.InHost -> "h" | Spec.InRun -> "r" | Spec.InGuest i -> "g" ^ Z.to_string i | Spec.Silent -> "s"))
    node.known.core;
  Digest.string (Buffer.contents b ^ text node.known)

let set a i v = let a = Array.copy a in a.(i) <- v; a

(* Whose the pages are when all is over; ? is not looked at. *)
let ends_so h k = match h.final with
  | None -> true
  | Some states ->
    List.for_all Fun.id (List.mapi (fun i st -> 
        let model = state_of k.page.(i) in
        st = model || (st = "E" && model.[0] = 'E')) states)

let search h =
  let settings = settings h in
  let cores = Array.length h.by_core in
  let seen = Hashtbl.create 1024 in
  let deepest = ref None in
  let here node c = if node.next.(c) < Array.length h.by_core.(c) then Some h.by_core.(c).(node.next.(c)) else None in
  (* What ended before this began must be done. *)
  let may_be_next node op =
    let rec go c =
      c = cores
      || ((c = op.core || match here node c with Some other -> other.ended > op.begun | None -> true) && go (c + 1)) in
    go 0 in
  (* How many others but [c] are let in to a VM, or at its pages. *)
  let held node c v =
    let is_held other = other <> c && match node.local.(other), here node other with
      | LetIn _, Some _ -> List.mem v settings.(other).(node.next.(other)).vms
      | (At _ | Stops _), Some { what = Call ((VM_MAP | VM_LEND | VM_UNLEND | VM_MAP_LIST), a, _, _); _ } -> Touch.slot a.Spec.x1 = v
      | _ -> false in
    List.length (List.filter is_held (List.init cores Fun.id)) in
  let depth node = Array.fold_left (+) 0 node.next in
  let exception Found in
  let exception Enough in
  let rec go node =
    (match !deepest with
     | Some best when depth best >= depth node -> ()
     | _ -> deepest := Some node);
    let is_over = ref true in
    for c = 0 to cores - 1 do
      match here node c with
      | None -> ()
      | Some op ->
        is_over := false;
        if may_be_next node op then
          List.iter (fun m ->
              let told = match op.what with
                | End _ when m.to_ = None -> None
                | _ -> if m.tells = None then node.told.(c) else m.tells in
              let after = match m.to_ with
                | None -> { known = m.after; next = set node.next c (node.next.(c) + 1);
                            local = set node.local c Fresh; told = set node.told c told }
                | Some local -> { node with known = m.after; local = set node.local c local } in
              let key = key after in
              if not (Hashtbl.mem seen key) then begin
                if Hashtbl.length seen >= most_places then raise Enough;
                Hashtbl.add seen key ();
                go after
              end)
            (moves settings.(c).(node.next.(c)) (held node c) op node.local.(c) node.told.(c) node.known)
    done;
    if !is_over && ends_so h node.known then raise Found in
  let start = { known = h.boot; next = Array.make cores 0; local = Array.make cores Fresh;
                told = Array.make cores None } in
  let verdict =
    try
      go start;
      match !deepest with Some node -> Refused (depth node, node) | None -> Refused (0, start)
    with Found -> Explained | Enough -> Gave_up in
  verdict, Hashtbl.length seen
