(* What the programs over the extracted specification have in common: a machine as boot leaves it, a call's
   registers, what the model told.

   Invariant: nothing here decides what a call does; [Spec] alone does. *)

open Spec
open Dump
module Z = Dump.Z

let num = Z.of_string

let fair = {
  luck = (fun _ _ -> Fine); most = mAP_PAGES; found = []; spare = []; ends = false;
  free_slot = Z.zero; also_inside = Z.zero; said = [] }

let page_state text =
  match text with
  | "R" -> Reserved, Unused
  | "F" -> HostFixed, Unused
  | "H" -> HostOwned, Unused
  | "E" -> EngineOwned, Unused
  | "Eh" -> EngineOwned, Table None
  | _ -> failwith ("no state of a page at boot: " ^ text)

(* A machine as boot leaves it: cores, VM slots, vCPU slots, IPA bits, first page, page words, and which cores are on. *)
let machine cores vms vcpus ipa_bits first words on =
  let cfg = {
    cores_n = num cores; vms_n = num vms; vcpus_n = num vcpus; ipa_bits = num ipa_bits;
    first_page = num first; words = num words; affinity = (fun c -> c); fw_trng = false;
    fw_workaround1 = Z.minus_one; fw_workaround2 = Z.minus_one; fw_workaround3 = Z.minus_one } in
  let nothing = { base = Z.zero; pages_in = Z.zero; lendable = false } in
  let page = { st = Reserved; holds = zeroes; broken = false; host_mapped = false; use = Unused; gift = false } in
  let vm = {
    generation = Z.zero; phase = None; ram0 = nothing; ram1 = nothing; gicr = Z.zero;
    vcpu_limit = Z.zero; leaves = []; members = []; ready = [] } in
  let vcpu = {
    vgeneration = Z.zero; place = Absent; of_vm = Z.zero; mpidr = Z.zero; x = (fun _ -> Z.zero);
    pc = Z.zero; sys = []; waits_for = Nothing; waiting = false; irqs = (fun _ -> no_irq) } in
  let on = num on in
  let core c = { pow0 = (if Z.lt c on then CoreOn else CoreAbsent); at_ = InHost } in
  settle {
    cfg; pages = (fun _ -> page); vms = (fun _ -> vm); vcpus = (fun _ -> vcpu); cores = core;
    doorbell = None; machine_off = false }

(* A run of pages at boot; false if the host has a map of what it may not reach. *)
let boot_pages k first count text mapped =
  let st, use = page_state text in
  let mapped = mapped = "1" in
  let first = int_of_string first and count = int_of_string count in
  (* The state looks its pages up there. *)
  Array.fill k.page first count
    { st; holds = zeroes; broken = false; host_mapped = mapped; use; gift = false };
  host_may st || not mapped

let args = function
  | [ a; b; c; d; e; f ] ->
    { x1 = num a; x2 = num b; x3 = num c; x4 = num d; x5 = num e; x6 = num f }
  | _ -> failwith "six arguments"

let padded l = List.init 18 (fun i -> match List.nth_opt l i with Some v -> v | None -> Z.zero)

(* The registers x0 and up in which an output is told; [x] are those before. *)
let results o (x : Z.t list) : Z.t list option =
  match o with
  | Answered (e, l) -> Some (padded (status_word e :: l))
  | Exited (why, who, l) -> Some (padded (Z.zero :: exitReason_raw why :: who :: l))
  | Registers l -> Some (List.mapi (fun i v -> match List.nth_opt l i with Some r -> r | None -> v) x)
  | _ -> None

let show_status e = Z.to_string (status_value e)
let show_regs l = String.concat " " (List.map (fun z -> Z.format "%x" z) l)
let show_output = function
  | Silence -> "nothing"
  | Answered (e, l) -> "status " ^ show_status e ^ ": " ^ show_regs l
  | Exited (why, who, l) -> "exit " ^ Z.to_string (exitReason_raw why) ^ " of " ^ show_regs (who :: l)
  | Registers l -> "x0 and up " ^ show_regs l
  | Loaded w -> "loaded " ^ Z.format "%x" w
  | Stored -> "stored"
  | Aborted -> "aborted"
  | MachineOff -> "the machine is off"
