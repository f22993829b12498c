(** * The calls, as programs of small steps

    What a page's call does in the engine, one step after the other, each with the function in which the
    engine does it. Between two steps anything else may happen, on this core or another. A branch of the
    engine's is two programs, each with a step that looks whether it is its turn: one that is not gives up.

    Cut down to one page: a batch does the same for several with one flush. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
Open Scope N_scope.

(** ** Which calls *)

(** What a page is that the host touches: its own, shared with it, or lent by it. *)
Inductive touched := Own | SharedWith | LentOut.

Inductive kind :=
| Map (mapped : bool)           (** VM_MAP, VM_MAP_LIST; [mapped]: the host has a leaf for the page *)
| Lend                          (** VM_LEND, of a page that is not lent yet *)
| Unlend                        (** VM_UNLEND *)
| Share                         (** MEM_SHARE, by the guest *)
| Unshare (mapped : bool)       (** MEM_UNSHARE, by the guest *)
| Relinquish                    (** MEM_RELINQUISH, by the guest *)
| ToEngine (mapped : bool)      (** ENGINE_DONATE *)
| Touch (t : touched)           (** the host's fault on a page that it may reach *)
| EndVm                         (** VM_RECLAIM, first: nobody inside any more, and the VM's translations go *)
| TakeOwn                       (** VM_RECLAIM of a page of the dead VM's *)
| TakeShared (mapped : bool)    (** the same of one that it shared with the host *)
| TakeLent.                     (** the same of one that the host had lent it *)

(** A call's page, VM and IPA page. *)
Record job := Job { kind_of : kind; page : N; vm_of : N; ipa : N }.

(** What the page's word has to say, and what it says in the end. *)
Definition from_ (k : kind) (v : N) : page_state :=
  match k with
  | Map _ | Lend | ToEngine _ | Touch Own => HostOwned
  | Unlend | TakeLent | Touch LentOut => Lent v 1
  | Share | Relinquish | TakeOwn => VmOwned v
  | Unshare _ | TakeShared _ | Touch SharedWith => SharedByVm v
  | EndVm => Reserved
  end.
Definition to_ (k : kind) (v : N) : page_state :=
  match k with
  | Map _ | Unshare _ => VmOwned v
  | Lend => Lent v 1
  | Share => SharedByVm v
  | Unlend | Relinquish | TakeOwn | TakeShared _ | TakeLent => HostOwned
  | ToEngine _ => EngineOwned
  | Touch t => from_ (Touch t) v
  | EndVm => Reserved
  end.

(** Who makes the call: the host, or a guest of the VM itself. *)
Definition by_guest (k : kind) : bool :=
  match k with Share | Unshare _ | Relinquish => true | _ => false end.
(** Does it work on a VM that is gone? *)
Definition of_dead (k : kind) : bool :=
  match k with TakeOwn | TakeShared _ | TakeLent => true | _ => false end.
(** Does it pin a VM that is not gone? *)
Definition pins (k : kind) : bool :=
  match k with Map _ | Lend | Unlend | Share | Unshare _ | Relinquish => true | _ => false end.
(** Does the call begin with an IPA, whose leaf says which page it is about? *)
Definition by_ipa (k : kind) : bool :=
  match k with Unlend | Share | Unshare _ | Relinquish | TakeOwn | TakeShared _ | TakeLent => true | _ => false end.
(** Does the page leave somebody who must not find his content with the next? *)
Definition scrubs (k : kind) : bool :=
  match k with Relinquish | TakeOwn | TakeShared _ | ToEngine _ => true | _ => false end.

(** Of whose table an entry is: the host's, which is an identity map, or the VM's. *)
Inductive side := OfHost | OfVm.
Definition dom_of (v : N) (x : side) : dom := match x with OfHost => Host | OfVm => Vm v end.
Definition regime_of (j : job) (x : side) : dom := dom_of (vm_of j) x.
Definition entry_of (j : job) (x : side) : N := match x with OfHost => page j | OfVm => ipa j end.

Definition is_side (x y : side) : bool :=
  match x, y with OfHost, OfHost | OfVm, OfVm => true | _, _ => false end.
(** In whose regime the call is made. *)
Definition home (k : kind) : side := if by_guest k then OfVm else OfHost.

(** ** Steps *)

Inductive instr :=
| Claim                         (** compare-exchange of the page's word; refused unless it says [from_] *)
| Recheck                       (** the VM's leaf still names the page, or the call gives up *)
| Take                          (** compare-exchange of the VM's entry, from empty to the mark *)
| SeeMapped (b : bool)          (** has the host a leaf for the page? The other branch gives up *)
| SeeGone                       (** the VM's phase says that its translations are gone *)
| Clear (x : side)              (** the leaf goes: the host's entry is empty, the VM's gets the mark *)
| Dsb                           (** DSB ISH *)
| Ishst                         (** DSB ISHST *)
| Borrow (x : side)             (** VTTBR := whose translations are to go; ISB *)
| TlbiPage (x : side)           (** IPAS2E1IS of the entry's IPA, in the regime that VTTBR names *)
| TlbiCombined                  (** VMALLE1IS *)
| TlbiWhole                     (** VMALLS12E1IS *)
| Return                        (** VTTBR back; ISB *)
| Zero                          (** the page is zeroed through the window *)
| Clean                         (** DC CIVAC, DSB SY *)
| Write (x : side)              (** the new leaf *)
| Free                          (** the VM's entry is empty: the mark goes, or a dead VM's leaf *)
| Commit                        (** store-release of the page's word *)
| NobodyInside                  (** no core runs the VM, no call is about it: phase Flushing, or the call gives up *)
| Gone.                         (** phase Reclaiming: the VM has no translations any more *)

(** ** memory/tlb.rs *)

(** `within`: VTTBR is changed only if another regime is current; [foreign] says so. *)
Definition within (erratum foreign : bool) (x : side) (invalidate : list instr) : list instr :=
  [Dsb] ++ (if foreign then [Borrow x] else []) ++ invalidate ++ [Dsb]
  ++ (if erratum then [TlbiCombined; Dsb] else []) ++ (if foreign then [Return] else []).

(** `flush_runs`, or in its place, from 32 operations on, `flush_vm`. *)
Definition flush (erratum whole : bool) (k : kind) (x : side) : list instr :=
  within erratum (negb (is_side (home k) x)) x (if whole then [TlbiWhole] else [TlbiPage x; Dsb; TlbiCombined]).

(** `host_map.rs`: `collect_unmapped` or `unmap_entry`, then `flush_host`; without a leaf there is nothing to
    flush (`nothing_to_flush`). *)
Definition leave_host (erratum whole mapped : bool) (k : kind) : list instr :=
  [SeeMapped mapped] ++ (if mapped then Clear OfHost :: flush erratum whole k OfHost else []).

(** ** The programs *)

Definition program (erratum whole : bool) (k : kind) : list instr :=
  match k with
  | Map mapped =>                       (* donate_page.rs *)
      [Claim; Take]                     (* take_page: claim_page_in, guest_entry *)
      ++ leave_host erratum whole mapped k      (* leave_host, flush_host *)
      ++ [Clean]                        (* write_back *)
      ++ [Write OfVm; Ishst]            (* enter_guest, publish_leaves *)
      ++ [Commit]                       (* settle: donate_to_vm *)
  | Lend =>                             (* lend.rs: lend_page *)
      [Claim; Take; Clean; Write OfVm; Ishst; Commit]
  | Unlend =>                           (* lend.rs: unlend_run, claim_leaf *)
      [Claim; Recheck; Clear OfVm] ++ flush erratum whole k OfVm ++ [Free; Commit]
  | Share =>                            (* share.rs: guest_share, claim_leaf_in *)
      [Claim; Recheck; Commit]
  | Unshare mapped =>                   (* share.rs: guest_unshare *)
      [Claim; Recheck] ++ leave_host erratum whole mapped k ++ [Commit]
  | Relinquish =>                       (* share.rs: guest_relinquish *)
      [Claim; Recheck; Clear OfVm] ++ flush erratum whole k OfVm ++ [Free]
      ++ [Zero; Clean]                  (* scrub.rs: scrub_page; arch/window.rs: zero_page *)
      ++ [Commit]                       (* return_to_host *)
  | ToEngine mapped =>                  (* engine_pages.rs: donate_piece *)
      [Claim] ++ leave_host erratum whole mapped k
      ++ [Zero; Clean]                  (* sound_pages *)
      ++ [Commit]                       (* donate_to_engine *)
  | Touch _ =>                          (* host_fault.rs: map_page, map_for_host *)
      [Claim; SeeMapped false; Write OfHost; Ishst; Commit]
  | EndVm =>                            (* reclaim.rs: flush_dying *)
      [NobodyInside] ++ flush erratum true k OfVm ++ [Gone]
  | TakeOwn =>                          (* reclaim/pages.rs: bring_page, bring_granule *)
      [Claim; Recheck; SeeGone; Zero; Clean; Commit]
  | TakeShared mapped =>                (* bring_page *)
      [Claim; Recheck; SeeGone] ++ leave_host erratum whole mapped k ++ [Zero; Clean; Commit]
  | TakeLent =>                         (* bring_page: return_lent *)
      [Claim; Recheck; SeeGone; Free; Commit]
  end.
