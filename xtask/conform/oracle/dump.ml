(* The model's state as text, in the form that xtask/conform/src/render.rs gives the engine's.

   Invariant: all of the state stands in it that anybody could ever find, and nothing that depends on how the
   state came about: a function is asked at each place that the machine has. *)

(* The specification has a module of this name too. *)
module Zarith = Z
open Spec
module Z = Zarith

(* What is asked often, kept beside the state that it was asked of. *)
type known = {
  state : state;
  page : page array;
  vm : vm array;
  vcpu : vcpu array;
  (* The interrupts of each that are pending. *)
  pending : (int * irq) list array;
  core : core array;
}

let n = Z.of_int
let int = Z.to_int

let count_irqs = 1020

let of_array a other i = if Z.lt i (n (Array.length a)) then a.(int i) else other

(* What was asked of a function once is looked up from then on. *)
let flat_vcpu (was : (vcpu * (int * irq) list) option) (u : vcpu) =
  let x, irqs, pending =
    match was with
    | Some (w, pending) when w.irqs == u.irqs -> (if w.x == u.x then Some u.x else None), u.irqs, pending
    | _ ->
      let all = Array.init count_irqs (fun i -> u.irqs (n i)) in
      let pending = ref [] in
      for i = count_irqs - 1 downto 0 do
        let q = all.(i) in
        if q != no_irq && (q.edge || q.level) then pending := (i, q) :: !pending
      done;
      let x = match was with Some (w, _) when w.x == u.x -> Some u.x | _ -> None in
      x, of_array all no_irq, !pending in
  let x = match x with
    | Some x -> x
    | None -> of_array (Array.init 31 (fun i -> u.x (n i))) Z.zero in
  { u with x; irqs }, pending

(* The state of a machine after a step from [old], if there was one: what the step left as it was is not asked
   for again. Its functions look their values up: else each would be as deep as the steps that led to it. *)
let settle_from (old : known option) (s : state) : known =
  let c = s.cfg in
  let same f g = match old with Some k -> f k.state == g | None -> false in
  let had f = match old with Some k -> f k | None -> assert false in
  let table count f = let a = Array.init count (fun i -> f (n i)) in a, of_array a (f (n count)) in
  let page, pages =
    if same (fun s -> s.pages) s.pages then had (fun k -> k.page), s.pages
    else begin
      let first = int c.first_page in
      let page = Array.init (int c.words) (fun i -> s.pages (n (first + i))) in
      let outside = s.pages (n (first + int c.words)) in
      page, fun p ->
        let i = Z.sub p c.first_page in
        if Z.sign i >= 0 && Z.lt i c.words then page.(int i) else outside
    end in
  let vm, vms =
    if same (fun s -> s.vms) s.vms then had (fun k -> k.vm), s.vms else table (int c.vms_n) s.vms in
  let core, cores =
    if same (fun s -> s.cores) s.cores then had (fun k -> k.core), s.cores else table (int c.cores_n) s.cores in
  let vcpu, pending, vcpus =
    if same (fun s -> s.vcpus) s.vcpus then had (fun k -> k.vcpu), had (fun k -> k.pending), s.vcpus
    else begin
      let flat i =
        let u = s.vcpus (n i) in
        match old with
        | Some k when k.vcpu.(i) == u -> u, k.pending.(i)
        | Some k -> flat_vcpu (Some (k.vcpu.(i), k.pending.(i))) u
        | None -> flat_vcpu None u in
      let both = Array.init (int c.vcpus_n) flat in
      let vcpu = Array.map fst both in
      vcpu, Array.map snd both, of_array vcpu (s.vcpus c.vcpus_n)
    end in
  { state = { s with pages; vms; vcpus; cores }; page; vm; vcpu; pending; core }

let settle s = settle_from None s
let settle_after k s = if s == k.state then k else settle_from (Some k) s

let b = Buffer.create 65536
let str s = Buffer.add_string b s
let chr c = Buffer.add_char b c
let dec i = str (string_of_int i)
let num z = if Z.fits_int z then dec (Z.to_int z) else str (Z.to_string z)
let digits = "0123456789abcdef"
let rec small_hex i = if i > 15 then small_hex (i lsr 4); chr digits.[i land 15]
let hex z = if Z.fits_int z && Z.sign z >= 0 then small_hex (Z.to_int z) else str (Z.format "%x" z)
let flag f = chr (if f then '1' else '0')
let sp () = chr ' '

let state_of (p : page) =
  match p.st with
  | Reserved -> "R"
  | HostFixed -> "F"
  | HostOwned -> "H"
  | EngineOwned ->
    (match p.use with
     | Unused -> "E"
     | Table None -> "Eh"
     | Table (Some v) -> "Ev" ^ Z.to_string v)
  | VmOwned v -> "V" ^ Z.to_string v
  | Lent (v, times) -> "L" ^ Z.to_string v ^ "x" ^ Z.to_string times
  | SharedByVm v -> "S" ^ Z.to_string v
  | Scrubbing v -> "Z" ^ Z.to_string v
  | Poisoned -> "P"

let same_page (a : page) (b : page) =
  a == b || (a.host_mapped = b.host_mapped && (a.st == b.st || compare a.st b.st = 0)
             && (a.st <> EngineOwned || a.use = b.use))

let put_pages (k : known) =
  let count = Array.length k.page in
  let first = ref 0 in
  for i = 1 to count do
    if i = count || not (same_page k.page.(i) k.page.(!first)) then begin
      let p = k.page.(!first) in
      str "p "; dec !first; sp (); dec (i - !first); sp (); str (state_of p); sp ();
      flag p.host_mapped; chr '\n';
      first := i
    end
  done;
  Array.iteri (fun i (p : page) ->
      if p.holds <> [] && p.st <> EngineOwned then
        List.iteri (fun at w ->
            if Z.sign w <> 0 then begin
              str "c "; dec i; sp (); dec at; sp (); hex w; chr '\n'
            end) p.holds) k.page

let by_place (a, _) (b, _) = Z.compare a b

let put_leaves slot (leaves : (Z.t * leaf) list) =
  let flush (a, p, count, (l : leaf)) =
    str "l "; dec slot; sp (); hex a; sp (); hex p; sp (); dec count; sp ();
    flag l.can_write; flag l.can_execute; chr '\n' in
  let rec go run = function
    | [] -> (match run with Some r -> flush r | None -> ())
    | (a, (l : leaf)) :: rest ->
      match run with
      | Some (ra, rp, count, (rl : leaf))
        when Z.equal a (Z.add ra (n count)) && Z.equal l.to0 (Z.add rp (n count))
             && l.can_write = rl.can_write && l.can_execute = rl.can_execute ->
        go (Some (ra, rp, count + 1, rl)) rest
      | _ ->
        (match run with Some r -> flush r | None -> ());
        go (Some (a, l.to0, 1, l)) rest in
  go None (List.sort by_place leaves)

let put_vm slot (v : vm) =
  str "v "; dec slot; sp (); num v.generation; sp ();
  (match v.phase with
   | None -> chr '-'
   | Some phase ->
     chr (match phase with Building -> 'B' | Sealing -> 'S' | Running -> 'R' | Dying -> 'D');
     let range (r : range) =
       sp (); hex r.base; sp (); hex r.pages_in; sp (); flag r.lendable in
     range v.ram0; range v.ram1; sp (); hex v.gicr; sp (); num v.vcpu_limit; sp ();
     List.iter (fun i -> num i; chr ',') v.members; sp ();
     List.iter (fun i -> num i; chr ',') (List.sort Z.compare v.ready));
  chr '\n';
  put_leaves slot v.leaves

let put_vcpu slot (u : vcpu) pending =
  str "u "; dec slot; sp (); num u.vgeneration; sp ();
  let there p =
    str p; sp (); num u.of_vm; sp (); hex u.mpidr in
  let content () =
    sp ();
    (match u.waits_for with
     | Nothing -> chr '-'
     | AwaitRead (r, bytes, signed, wide) ->
       chr 'r'; num r; chr '.'; num bytes; chr '.'; flag signed; flag wide
     | AwaitWrite -> chr 'W'
     | AwaitAnswer -> chr 'A'
     | AwaitPage -> chr 'F'
     | Ended -> chr 'X');
    sp ();
    if pending = [] then flag u.waiting else chr '?';
    sp ();
    (match u.sys with code :: _ -> chr '!'; num code; chr ':' | [] -> ());
    hex u.pc;
    for r = 0 to 30 do chr ','; hex (u.x (n r)) done;
    List.iter (fun (i, (q : irq)) ->
        str " i"; dec i; chr ':'; flag q.edge; flag q.level; chr ':';
        dec (if i < 32 then 0 else int q.priority land 0xf8)) pending in
  (match u.place with
   | Absent -> chr '-'
   | Off -> there "O"
   | OnPending -> there "N"
   | Parked -> there "P"; content ()
   | Queued c -> there ("Q" ^ Z.to_string c); content ()
   | RunningOn c -> there ("R" ^ Z.to_string c));
  chr '\n'

let text (k : known) : string =
  Buffer.clear b;
  put_pages k;
  Array.iteri put_vm k.vm;
  Array.iteri (fun slot u -> put_vcpu slot u k.pending.(slot)) k.vcpu;
  Array.iter (fun (c : core) ->
      str "k ";
      chr (match c.pow0 with CoreAbsent -> 'A' | CoreOff -> 'O' | CoreOnPending -> 'N' | CoreOn -> 'I');
      chr '\n') k.core;
  str "d ";
  (match k.state.doorbell with None -> chr '-' | Some d -> num d);
  chr '\n';
  Buffer.contents b
