(** * What a core can still do with a translation that went away

    The parts of the fine-grained machine that are hardware's: what walkers find in tables that are being
    changed, what TLBs and walks in flight hold, which accesses are still under way, which invalidations
    are on their way to a core, what a page holds in caches and behind them. Any number of cores, pages, VMs.

    README.md of this folder says how weak each is. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
Open Scope N_scope.

(** ** Stage-2 tables: an entry, and what walkers may still find there *)

Inductive entry :=
| Empty
| Mark (by_ : N)                (** RESERVED: taken by a call. Whose hand's it is stands there for the reader alone *)
| Leaf (p : N).

(** [now] is what the last store put there, [old] what walkers may find instead, until a DSB of the
    core that made that store. *)
Record cell := Cell { now : entry; old : list entry; writer : N }.

Definition store (c : N) (e : entry) (x : cell) : cell := Cell e (now x :: old x) c.
(** A DSB of core [c]: its stores are seen. *)
Definition seen (c : N) (x : cell) : cell := if writer x =? c then Cell (now x) [] (writer x) else x.

(** ** TLB entries and walks in flight: the ways to a page

    Core [on] gets to page [leads_to] by a translation of [of]'s, of IPA page [from_ipa]. Of a combined entry (stage 1 and 2
    in one) that says where it came from; no invalidation by IPA finds it. *)
Record way := Way { on : N; of : dom; from_ipa : N; combines : bool; leads_to : N; in_flight : bool }.
(** The IPA by which it is found. *)
Definition via (w : way) : option N := if combines w then None else Some (from_ipa w).

(** ** Accesses that were translated and are not done *)

Inductive access :=
| Load (at_word : N)
| Store (at_word w : N)
| LoadBehind (at_word : N)      (** past the caches: with caches off, or by attributes of stage 1 *)
| StoreBehind (at_word w : N).

(** [passed] and [owed] name issuers of invalidations: [owed]'s DSB waits for this access. With the erratum
    CVE-2025-10263 the first invalidation does not make it wait, one after it does; [passed] counts the first. *)
Record flight := Flight { f_on : N; f_of : dom; f_ipa : N; f_to : N; what : access; passed : list N; owed : list N }.

(** ** Invalidations on their way *)

Inductive tlbi :=
| ByIpa (d : dom) (a : N)       (** IPAS2E1IS, or RIPAS2E1IS: stage-2 entries for that IPA *)
| Combined (d : dom)            (** VMALLE1IS: combined entries *)
| Whole (d : dom).              (** VMALLS12E1IS: both kinds *)

(** A broadcast is a message to each core; core [for_] acts on it some time before [issuer]'s next DSB ends. *)
Record post := Post { issuer : N; op : tlbi; for_ : N }.

(** ** Are two the same? Decided, so that a run can be computed. *)

Definition dom_dec (a b : dom) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.
Definition way_dec (a b : way) : {a = b} + {a <> b}.
Proof. decide equality; auto using bool_dec, N.eq_dec, dom_dec. Defined.
Definition access_dec (a b : access) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.
Definition flight_dec (a b : flight) : {a = b} + {a <> b}.
Proof. decide equality; auto using (list_eq_dec N.eq_dec), N.eq_dec, dom_dec, access_dec. Defined.
Definition tlbi_dec (a b : tlbi) : {a = b} + {a <> b}.
Proof. decide equality; auto using N.eq_dec, dom_dec. Defined.
Definition post_dec (a b : post) : {a = b} + {a <> b}.
Proof. decide equality; auto using N.eq_dec, tlbi_dec. Defined.
Definition entry_dec (a b : entry) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.

Definition is_in {A} (dec : forall a b : A, {a = b} + {a <> b}) (a : A) (l : list A) : bool :=
  if in_dec dec a l then true else false.

(** Without one of those that are [a]. *)
Fixpoint take_one {A} (dec : forall a b : A, {a = b} + {a <> b}) (a : A) (l : list A) : list A :=
  match l with
  | [] => []
  | x :: rest => if dec a x then rest else x :: take_one dec a rest
  end.

(** ** A core acts on an invalidation *)

(** Is the way one that the invalidation drops? *)
Definition hits (o : tlbi) (w : way) : bool :=
  match o, via w with
  | ByIpa d a, Some b => if dom_dec d (of w) then a =? b else false
  | Combined d, None | Whole d, _ => if dom_dec d (of w) then true else false
  | _, _ => false
  end.

(** Does it drop combined entries of [d], by which accesses are made? *)
Definition combined_of (o : tlbi) (d : dom) : bool :=
  match o with
  | Combined e | Whole e => if dom_dec e d then true else false
  | ByIpa _ _ => false
  end.

(** TLB entries and walks in flight that it names are gone from that core. *)
Definition drop (q : post) (l : list way) : list way :=
  filter (fun w => negb ((on w =? for_ q) && hits (op q) w)) l.

(** Accesses under way there that used them, are from now on waited for. *)
Definition await (erratum : bool) (q : post) (f : flight) : flight :=
  if f_on f =? for_ q then
    if erratum && is_in N.eq_dec (issuer q) (passed f)
    then Flight (f_on f) (f_of f) (f_ipa f) (f_to f) (what f) (passed f) (issuer q :: owed f)
    else if combined_of (op q) (f_of f)
    then if erratum
         then Flight (f_on f) (f_of f) (f_ipa f) (f_to f) (what f) (issuer q :: passed f) (owed f)
         else Flight (f_on f) (f_of f) (f_ipa f) (f_to f) (what f) (passed f) (issuer q :: owed f)
    else f
  else f.

(** ** What a page holds

    [dirty] is what caches hold and memory does not; [behind], what memory itself holds. *)
Record line := Line { dirty : option content; behind : content }.

(** What an access through the caches finds. *)
Definition held (l : line) : content := match dirty l with Some c => c | None => behind l end.
(** Written back, at any time: a cleaning, or an eviction. *)
Definition cleaned (l : line) : line := Line None (held l).

Definition land (x : access) (l : line) : line :=
  match x with
  | Load _ | LoadBehind _ => l
  | Store k v => Line (Some (set_word k v (held l))) (behind l)
  | StoreBehind k v => Line (dirty l) (set_word k v (behind l))
  end.
(** What a load is told. *)
Definition told (x : access) (l : line) : option N :=
  match x with
  | Load k => Some (word (held l) k)
  | LoadBehind k => Some (word (behind l) k)
  | Store _ _ | StoreBehind _ _ => None
  end.
