(** * The calls, as programs of small steps

    What a page's call does in the engine, one step after the other, each with the function in which the
    engine does it. Between two steps anything else may happen, on this core or another. A branch of the
    engine's is two programs, each with a step that looks whether it is its turn: one that is not gives up.

    A program is about one page. A call about several, a batch, has a *hand* for each of them, and each hand a program;
    barriers, invalidations of all, and what is done with VTTBR the call does once, for all its hands
    ([common]; Machine.v says how). So a batch of any number of pages is written here by what it does for one. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
Open Scope N_scope.

(** ** Which calls *)

(** Has the host a leaf for the page? If it has not, its pages may yet be flushed in the same call: those [Beside] it. *)
Inductive hosts_leaf := There | Absent | AbsentBeside.

(** What a page is that the host touches: its own, shared with it, or lent by it, once and so many times [more]. *)
Inductive touched := Own | SharedWith | LentOut (more : N).

(** Calls that zero the page, and may find a memory error there. *)
Inductive zeroing := OfRelinquish | OfToEngine (leaf : hosts_leaf) | OfFromEngine | OfTakeOwn | OfTakeShared (mapped : bool).

Inductive kind :=
| Map (leaf : hosts_leaf)       (** VM_MAP, VM_MAP_LIST *)
| Lend (times : N)              (** VM_LEND, of a page that the VM has so many times already *)
| Unlend (times : N)            (** VM_UNLEND, of a page that the VM has so many times still *)
| Share                         (** MEM_SHARE, by the guest *)
| Unshare (mapped : bool)       (** MEM_UNSHARE, by the guest *)
| Relinquish                    (** MEM_RELINQUISH, by the guest *)
| ToEngine (leaf : hosts_leaf)  (** ENGINE_DONATE *)
| FromEngine                    (** ENGINE_RECLAIM *)
| Touch (t : touched)           (** the host's fault on a page that it may reach *)
| EndVm                         (** VM_RECLAIM, first: nobody inside any more, and the VM's translations go *)
| TakeOwn                       (** VM_RECLAIM of a page of the dead VM's *)
| TakeShared (mapped : bool)    (** the same of one that it shared with the host *)
| TakeLent (times : N)          (** the same of one that the host had lent it, and that it has so many times still *)
| Poison (mapped : bool)        (** PAGE_POISON *)
| Lose (z : zeroing).           (** the page of such a call has a memory error *)

(** What the call is that loses its page. *)
Definition meant (z : zeroing) : kind :=
  match z with
  | OfRelinquish => Relinquish
  | OfToEngine leaf => ToEngine leaf
  | OfFromEngine => FromEngine
  | OfTakeOwn => TakeOwn
  | OfTakeShared mapped => TakeShared mapped
  end.
(** All that holds of it but how it ends. *)
Definition plain (k : kind) : kind := match k with Lose z => meant z | _ => k end.

(** A call's page, VM and IPA page. *)
Record job := Job { kind_of : kind; page : N; vm_of : N; ipa : N }.

(** The host's page, lent so many times. *)
Definition lent_out (v times : N) : page_state := match times with 0 => HostOwned | _ => Lent v times end.

(** What the page's word has to say, and what it says in the end. *)
Definition from_ (k : kind) (v : N) : page_state :=
  match plain k with
  | Map _ | ToEngine _ | Touch Own | Poison _ | Lose _ => HostOwned
  | Lend n => lent_out v n
  | Unlend n | TakeLent n | Touch (LentOut n) => Lent v (n + 1)
  | Share | Relinquish | TakeOwn => VmOwned v
  | Unshare _ | TakeShared _ | Touch SharedWith => SharedByVm v
  | FromEngine => EngineOwned
  | EndVm => Reserved
  end.
Definition to_ (k : kind) (v : N) : page_state :=
  match k with
  | Map _ | Unshare _ => VmOwned v
  | Lend n => Lent v (n + 1)
  | Unlend n | TakeLent n => lent_out v n
  | Share => SharedByVm v
  | Relinquish | FromEngine | TakeOwn | TakeShared _ => HostOwned
  | ToEngine _ => EngineOwned
  | Poison _ | Lose _ => Poisoned
  | Touch t => from_ (Touch t) v
  | EndVm => Reserved
  end.

(** Who makes the call: the host, or a guest of the VM itself. *)
Definition by_guest (k : kind) : bool :=
  match plain k with Share | Unshare _ | Relinquish => true | _ => false end.
(** Does it work on a VM that is gone? *)
Definition of_dead (k : kind) : bool :=
  match plain k with TakeOwn | TakeShared _ | TakeLent _ => true | _ => false end.
(** Does it pin a VM that is not gone? *)
Definition pins (k : kind) : bool :=
  match plain k with Map _ | Lend _ | Unlend _ | Share | Unshare _ | Relinquish => true | _ => false end.
(** Does the call begin with an IPA, whose leaf says which page it is about? *)
Definition by_ipa (k : kind) : bool :=
  match plain k with Unlend _ | Share | Unshare _ | Relinquish | TakeOwn | TakeShared _ | TakeLent _ => true | _ => false end.
(** Does the page leave somebody who must not find his content with the next? *)
Definition scrubs (k : kind) : bool :=
  match k with Relinquish | TakeOwn | TakeShared _ | ToEngine _ | FromEngine => true | _ => false end.

(** Does the page end as nobody's, so that what it holds does not matter any more? *)
Definition discards (k : kind) : bool := match k with Lose _ => true | _ => false end.

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

(** Steps that a call takes once, for all its hands. The others a hand takes for its page. *)
Definition common (i : instr) : bool :=
  match i with Dsb | Ishst | Borrow _ | TlbiCombined | TlbiWhole | Return => true | _ => false end.

(** Are two hands' jobs of one call? *)
Definition one_call (j j' : job) : bool :=
  (vm_of j =? vm_of j') && Bool.eqb (by_guest (kind_of j)) (by_guest (kind_of j')).

(** ** memory/tlb.rs *)

(** `within`: VTTBR is changed only if another regime is current; [foreign] says so. *)
Definition within (erratum foreign : bool) (x : side) (invalidate : list instr) : list instr :=
  [Dsb] ++ (if foreign then [Borrow x] else []) ++ invalidate ++ [Dsb]
  ++ (if erratum then [TlbiCombined; Dsb] else []) ++ (if foreign then [Return] else []).

(** `flush_runs`, or in its place, from 32 operations on, `flush_vm`. A range (RIPAS2E1IS) is the [TlbiPage] of all its
    pages. [place] says which hand it is; no program of the engine's asks: it does the same for each page. *)
Definition flush (erratum whole : bool) (place : N) (k : kind) (x : side) : list instr :=
  within erratum (negb (is_side (home k) x)) x (if whole then [TlbiWhole] else [TlbiPage x; Dsb; TlbiCombined]).
(** What a hand takes part in whose page needs none. *)
Definition flush_beside (erratum whole : bool) (place : N) (k : kind) (x : side) : list instr :=
  filter common (flush erratum whole place k x).

(** `host_map.rs`: `collect_unmapped` or `unmap_entry`, then `flush_host`, once for a batch; if no page has a leaf there is
    nothing to flush (`nothing_to_flush`). *)
Definition leave_host (erratum whole : bool) (place : N) (leaf : hosts_leaf) (k : kind) : list instr :=
  match leaf with
  | There => [SeeMapped true; Clear OfHost] ++ flush erratum whole place k OfHost
  | Absent => [SeeMapped false]
  | AbsentBeside => [SeeMapped false] ++ flush_beside erratum whole place k OfHost
  end.
Definition there (mapped : bool) : hosts_leaf := if mapped then There else Absent.

(** ** The programs *)

Definition done_well (erratum whole : bool) (place : N) (k : kind) : list instr :=
  match k with
  | Map leaf =>                         (* donate_page.rs, donate_list.rs, donate.rs *)
      [Claim; Take]                     (* take_page: claim_page_in, guest_entry *)
      ++ leave_host erratum whole place leaf k              (* leave_host, flush_host *)
      ++ [Clean]                        (* write_back *)
      ++ [Write OfVm; Ishst]            (* enter_guest, publish_leaves *)
      ++ [Commit]                       (* settle: donate_to_vm *)
  | Lend _ =>                           (* lend.rs: lend_page *)
      [Claim; Take; Clean; Write OfVm; Ishst; Commit]
  | Unlend _ =>                         (* lend.rs: unlend_run, claim_leaf *)
      [Claim; Recheck; Clear OfVm] ++ flush erratum whole place k OfVm ++ [Free; Commit]
  | Share =>                            (* share.rs: guest_share, claim_leaf_in *)
      [Claim; Recheck; Commit]
  | Unshare mapped =>                   (* share.rs: guest_unshare *)
      [Claim; Recheck] ++ leave_host erratum whole place (there mapped) k ++ [Commit]
  | Relinquish =>                       (* share.rs: guest_relinquish *)
      [Claim; Recheck; Clear OfVm] ++ flush erratum whole place k OfVm ++ [Free]
      ++ [Zero; Clean]                  (* scrub.rs: scrub_page; arch/window.rs: zero_page *)
      ++ [Commit]                       (* return_to_host *)
  | ToEngine leaf =>                    (* engine_pages.rs: donate_piece *)
      [Claim] ++ leave_host erratum whole place leaf k
      ++ [Zero; Clean]                  (* sound_pages *)
      ++ [Commit]                       (* donate_to_engine *)
  | FromEngine =>                       (* engine_pages.rs: return_engine_page, once EL2 has it no more *)
      [Claim; Zero; Clean; Commit]
  | Touch _ =>                          (* host_fault.rs: map_page, map_for_host *)
      [Claim; SeeMapped false; Write OfHost; Ishst; Commit]
  | EndVm =>                            (* reclaim.rs: flush_dying *)
      [NobodyInside] ++ flush erratum true place k OfVm ++ [Gone]
  | TakeOwn =>                          (* reclaim/pages.rs: bring_page, bring_granule *)
      [Claim; Recheck; SeeGone; Zero; Clean; Commit]
  | TakeShared mapped =>                (* bring_page *)
      [Claim; Recheck; SeeGone] ++ leave_host erratum whole place (there mapped) k ++ [Zero; Clean; Commit]
  | TakeLent _ =>                       (* bring_page: return_lent *)
      [Claim; Recheck; SeeGone; Free; Commit]
  | Poison mapped =>                    (* engine_pages.rs: poison *)
      [Claim] ++ leave_host erratum whole place (there mapped) k
      ++ [Commit]                       (* broken.rs: lose_broken *)
  | Lose _ => []
  end.

(** Up to where a memory error is found. *)
Fixpoint up_to_zero (l : list instr) : list instr :=
  match l with
  | [] => []
  | Zero :: _ => [Zero]
  | i :: rest => i :: up_to_zero rest
  end.

Definition program (erratum whole : bool) (place : N) (k : kind) : list instr :=
  match k with
  | Lose z => up_to_zero (done_well erratum whole place (meant z)) ++ [Commit]   (* lose_broken *)
  | _ => done_well erratum whole place k
  end.
