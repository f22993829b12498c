(** * The fine-grained machine: cores, TLBs and calls, one small step at a time

    [step m e] is the machine after event [e], or nothing if [e] can't happen just then. It is a function, so a
    run is a list of events that Coq plays (Counterexamples.v). Events come in any order on any cores: all
    that the theorems say holds of every order. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known.
Open Scope N_scope.

(** ** What there is *)

(** A page's word. *)
Inductive word :=
| Settled (s : page_state)
| Claimed (from : page_state) (by_ : N).   (** by which hand *)

(** A VM slot's phase, as far as it matters here. *)
Inductive phase :=
| Live                          (** built, or running *)
| Dying
| Flushing (by_ : N)
| Dead.                         (** phase Reclaiming, and a free slot *)

(** A hand of a call under way: what is left of its program, and the VTTBR that it has to put back. [known] is
    for the proof: no step looks at it.

    A core makes one call at a time, with a hand for each page that it is about. Each hand has a number. The hands
    begin one after the other, go on and give up on their own, but a common step (Calls.v) they take
    together: all hands that the core has have to be there. So a batch has one flush for all. *)
Record thread := Thread { doing : job; rest : list instr; saved : option dom; known : knowledge }.

Record machine := Machine {
  words : N -> word;
  cells : dom -> N -> cell;     (** stage-2 tables, by IPA page *)
  ways : list way;
  flights : list flight;
  posts : list post;
  lines : N -> line;            (** what pages hold *)
  regime : N -> dom;            (** whose VTTBR a core has *)
  phases : N -> phase;
  threads : N -> option thread  (** what a hand is doing *)
}.

(** What does not change in a run: the erratum, the cores, how many hands there are and of which core each is, and
    what calls do: a hand's program may depend on which hand it is. *)
Record setup := Setup { erratum : bool; cores : N; hands : N; core_of : N -> N; code : N -> kind -> list instr }.

(** All calls keep the rules. *)
Definition lawful (u : setup) : Prop :=
  forall h k, keeps_rules (erratum u) k (nothing (home k)) (code u h k) = true.

(** ** Changes of one part *)

Definition set_words m f := Machine f (cells m) (ways m) (flights m) (posts m) (lines m) (regime m) (phases m) (threads m).
Definition set_cells m f := Machine (words m) f (ways m) (flights m) (posts m) (lines m) (regime m) (phases m) (threads m).
Definition set_tlbs m w f q := Machine (words m) (cells m) w f q (lines m) (regime m) (phases m) (threads m).
Definition set_lines m f := Machine (words m) (cells m) (ways m) (flights m) (posts m) f (regime m) (phases m) (threads m).
Definition set_regime m f := Machine (words m) (cells m) (ways m) (flights m) (posts m) (lines m) f (phases m) (threads m).
Definition set_phases m f := Machine (words m) (cells m) (ways m) (flights m) (posts m) (lines m) (regime m) f (threads m).
Definition set_threads m f := Machine (words m) (cells m) (ways m) (flights m) (posts m) (lines m) (regime m) (phases m) f.

Definition put_cell (m : machine) (d : dom) (a : N) (x : cell) : machine :=
  set_cells m (fun d' a' => if dom_dec d d' then if a' =? a then x else cells m d' a' else cells m d' a').

(** ** Events *)

Inductive event :=
(* hardware, at any time *)
| Walk (c : N) (d : dom) (a : N) (combined : bool) (p : N)  (** a walk reads the entry, now or as it was *)
| Fill (w : way)                (** it fills the TLB *)
| Combine (w : way)             (** a walk for a combined entry finds the stage-2 entry *)
| Forget (w : way)              (** an entry is evicted, or a walk is given up *)
| Access (w : way) (x : access) (** an access is translated: it is on its way *)
| Land (f : flight)             (** and is made *)
| Act (q : post)                (** a core acts on an invalidation *)
| Evict (p : N)                 (** caches write a page back *)
(* software *)
| Enter (c v : N)               (** the core runs VM [v] *)
| Exit (c : N)
| Destroy (v : N)               (** VM_DESTROY *)
| Create (v : N)                (** the slot's next VM: new tables *)
| Begin (h : N) (j : job)       (** a call begins, or its next hand *)
| Run (h : N).                  (** its next step *)

Definition hands_of (u : setup) (c : N) : list N := filter (fun h => core_of u h =? c) (below (hands u)).

(** Is the core between calls' borrowings of VTTBR, so that it walks? *)
Definition walks (u : setup) (m : machine) (c : N) : bool :=
  forallb (fun h => match threads m h with
                    | Some t => match saved t with None => true | Some _ => false end
                    | None => true
                    end) (hands_of u c).

Definition is_free (m : machine) (h : N) : bool :=
  match threads m h with None => true | Some _ => false end.
(** It makes no call. *)
Definition is_idle (u : setup) (m : machine) (c : N) : bool := forallb (is_free m) (hands_of u c).

Definition is_alive (p : phase) : bool := match p with Live | Dying => true | _ => false end.

(** Is no call of this sort, about VM [v], under way? *)
Definition no_call (u : setup) (m : machine) (sort : kind -> bool) (v : N) : bool :=
  forallb (fun h => match threads m h with
                    | Some t => negb (sort (kind_of (doing t)) && (vm_of (doing t) =? v))
                    | None => true
                    end) (below (hands u)).

Definition none_runs (u : setup) (m : machine) (v : N) : bool :=
  forallb (fun c => if dom_dec (regime m c) (Vm v) then false else true) (below (cores u)).

(** May this hand begin? If its core is at a call, this is one more page of that. *)
Definition may_begin (u : setup) (m : machine) (h : N) (j : job) : bool :=
  (h <? hands u) && (core_of u h <? cores u) && is_free m h
  && (if dom_dec (regime m (core_of u h)) (regime_of j (home (kind_of j))) then true else false)
  && forallb (fun h' => match threads m h' with Some t => one_call j (doing t) | None => true end) (hands_of u (core_of u h))
  && (negb (pins (kind_of j)) || is_alive (phases m (vm_of j)))
  && (negb (by_ipa (kind_of j)) || (if entry_dec (now (cells m (Vm (vm_of j)) (ipa j))) (Leaf (page j)) then true else false)).

(** ** A step of a call *)

(** The hand gives up: the word says again what it said, the mark goes. *)
Definition roll_back (u : setup) (m : machine) (h : N) (j : job) : machine :=
  let x := cells m (Vm (vm_of j)) (ipa j) in
  let m := if entry_dec (now x) (Mark h) then put_cell m (Vm (vm_of j)) (ipa j) (store (core_of u h) Empty x) else m in
  let m := match words m (page j) with
           | Claimed s by_ => if by_ =? h then set_words m (upd (words m) (page j) (Settled s)) else m
           | Settled _ => m
           end in
  set_threads m (upd (threads m) h None).

Definition to_all (u : setup) (c : N) (o : tlbi) : list post := map (Post c o) (below (cores u)).
Definition post_all (u : setup) (m : machine) (c : N) (o : tlbi) : machine :=
  set_tlbs m (ways m) (flights m) (to_all u c o ++ posts m).

Definition page_state_dec (a b : page_state) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.

(** What the step does; nothing: the hand gives up. *)
Definition effect (u : setup) (m : machine) (h : N) (j : job) (i : instr) : option machine :=
  let c := core_of u h in
  let p := page j in
  let v := vm_of j in
  let at_ x := cells m (regime_of j x) (entry_of j x) in
  let put x e := put_cell m (regime_of j x) (entry_of j x) (store c e (at_ x)) in
  match i with
  | Claim => match words m p with
             | Settled s => if page_state_dec s (from_ (kind_of j) v)
                            then Some (set_words m (upd (words m) p (Claimed s h)))
                            else None
             | Claimed _ _ => None
             end
  | Recheck => if entry_dec (now (at_ OfVm)) (Leaf p) then Some m else None
  | Take => if entry_dec (now (at_ OfVm)) Empty then Some (put OfVm (Mark h)) else None
  | SeeMapped b => if Bool.eqb (if entry_dec (now (at_ OfHost)) (Leaf p) then true else false) b
                   then Some m else None
  | SeeGone => match phases m v with Dead => Some m | _ => None end
  | Clear OfHost => Some (put OfHost Empty)
  | Clear OfVm => Some (put OfVm (Mark h))
  | Dsb | Ishst => Some (set_cells m (fun d a => seen c (cells m d a)))
  | Borrow x => Some (set_regime m (upd (regime m) c (regime_of j x)))
  | TlbiPage x => Some (post_all u m c (ByIpa (regime m c) (entry_of j x)))
  | TlbiCombined => Some (post_all u m c (Hardware.Combined (regime m c)))
  | TlbiWhole => Some (post_all u m c (Whole (regime m c)))
  | Return => Some (set_regime m (upd (regime m) c (regime_of j (home (kind_of j)))))
  | Zero => Some (set_lines m (upd (lines m) p (Line (Some zeroes) (behind (lines m p)))))
  | Clean => Some (set_lines m (upd (lines m) p (cleaned (lines m p))))
  | Write x => Some (put x (Leaf p))
  | Free => Some (put OfVm Empty)
  | Commit => Some (set_words m (upd (words m) p (Settled (to_ (kind_of j) v))))
  | NobodyInside => match phases m v with
                    | Dying => if none_runs u m v && no_call u m pins v
                               then Some (set_phases m (upd (phases m) v (Flushing h))) else None
                    | _ => None
                    end
  | Gone => Some (set_phases m (upd (phases m) v Dead))
  end.

Definition instr_dec (a b : instr) : {a = b} + {a <> b}.
Proof. decide equality; try apply bool_dec; decide equality. Defined.

(** Have all hands of the core come to this step? *)
Definition together (u : setup) (m : machine) (h : N) (j : job) (i : instr) : bool :=
  forallb (fun h' => match threads m h' with
                     | Some t => match rest t with
                                 | i' :: _ => (if instr_dec i i' then true else false) && one_call j (doing t)
                                 | [] => false
                                 end
                     | None => true
                     end) (hands_of u (core_of u h)).

(** A common step waits for all hands of the core; a DSB ISH besides for cores to act on this core's invalidations, and for
    accesses that are owed to it. *)
Definition must_wait (u : setup) (m : machine) (h : N) (j : job) (i : instr) : bool :=
  (common i && negb (together u m h j i))
  || match i with
     | Dsb => existsb (fun q => issuer q =? core_of u h) (posts m)
              || existsb (fun f => is_in N.eq_dec (core_of u h) (owed f)) (flights m)
     | _ => false
     end.

(** What has to be put back after the step. *)
Definition to_put_back (m : machine) (c : N) (i : instr) (was : option dom) : option dom :=
  match i with Borrow _ => Some (regime m c) | Return => None | _ => was end.

(** A hand after the step. *)
Definition after (u : setup) (m : machine) (h : N) (t : thread) (i : instr) : thread :=
  Thread (doing t) (tl (rest t)) (to_put_back m (core_of u h) i (saved t)) (learn (erratum u) (kind_of (doing t)) (known t) i).
(** Those that take it: the hand, or all hands of its core. *)
Definition takes_too (u : setup) (h : N) (i : instr) (h' : N) : bool :=
  (h' =? h) || (common i && (core_of u h' =? core_of u h)).
Definition advance (u : setup) (m : machine) (h : N) (i : instr) : N -> option thread :=
  fun h' => match threads m h' with
            | Some t => Some (if takes_too u h i h' then after u m h' t i else t)
            | None => None
            end.

Definition run (u : setup) (m : machine) (h : N) : option machine :=
  match threads m h with
  | None => None
  | Some t =>
      match rest t with
      | [] => Some (set_threads m (upd (threads m) h None))
      | i :: _ =>
          if must_wait u m h (doing t) i then None else
          Some match effect u m h (doing t) i with
               | None => roll_back u m h (doing t)
               | Some m' => set_threads m' (advance u m h i)
               end
      end
  end.

(** ** A step of the machine *)

Definition guard {A} (b : bool) (a : A) : option A := if b then Some a else None.

Definition step (u : setup) (m : machine) (e : event) : option machine :=
  match e with
  | Walk c d a combined p =>
      let x := cells m d a in
      guard ((c <? cores u) && walks u m c && (if dom_dec (regime m c) d then true else false)
             && is_in entry_dec (Leaf p) (now x :: old x))
        (set_tlbs m (Way c d a combined p true :: ways m) (flights m) (posts m))
  | Fill w =>
      guard (is_in way_dec w (ways m) && in_flight w)
        (set_tlbs m (Way (on w) (of w) (from_ipa w) (combines w) (leads_to w) false :: take_one way_dec w (ways m)) (flights m) (posts m))
  | Combine w =>
      guard (is_in way_dec w (ways m) && negb (in_flight w))
        (set_tlbs m (Way (on w) (of w) (from_ipa w) true (leads_to w) true :: ways m) (flights m) (posts m))
  | Forget w =>
      Some (set_tlbs m (take_one way_dec w (ways m)) (flights m) (posts m))
  | Access w x =>
      guard (is_in way_dec w (ways m) && negb (in_flight w)
             && match via w with None => true | Some _ => false end)
        (set_tlbs m (ways m) (Flight (on w) (of w) (from_ipa w) (leads_to w) x [] [] :: flights m) (posts m))
  | Land f =>
      guard (is_in flight_dec f (flights m))
        (set_lines (set_tlbs m (ways m) (take_one flight_dec f (flights m)) (posts m))
           (upd (lines m) (f_to f) (land (what f) (lines m (f_to f)))))
  | Act q =>
      guard (is_in post_dec q (posts m))
        (set_tlbs m (drop q (ways m)) (map (await (erratum u) q) (flights m)) (take_one post_dec q (posts m)))
  | Evict p => Some (set_lines m (upd (lines m) p (cleaned (lines m p))))
  | Enter c v =>
      guard ((c <? cores u) && is_idle u m c && (if dom_dec (regime m c) Host then true else false)
             && match phases m v with Live => true | _ => false end)
        (set_regime m (upd (regime m) c (Vm v)))
  | Exit c => guard (is_idle u m c) (set_regime m (upd (regime m) c Host))
  | Destroy v =>
      match phases m v with Live => Some (set_phases m (upd (phases m) v Dying)) | _ => None end
  | Create v =>
      match phases m v with
      | Dead => guard (no_call u m of_dead v)
                  (set_phases
                     (set_cells m (fun d a => if dom_dec d (Vm v) then Cell Empty [] 0 else cells m d a))
                     (upd (phases m) v Live))
      | _ => None
      end
  | Begin h j =>
      guard (may_begin u m h j)
        (set_threads m (upd (threads m) h
           (Some (Thread j (code u h (kind_of j)) None (nothing (home (kind_of j)))))))
  | Run h => run u m h
  end.

(** What is told by it: what a load finds, and who it is told. *)
Definition hears (m : machine) (e : event) : option (dom * N) :=
  match e with
  | Land f => match told (what f) (lines m (f_to f)) with Some w => Some (f_of f, w) | None => None end
  | _ => None
  end.

(** ** Reachable states *)

Record initial (m : machine) : Prop := {
  at_rest : ways m = [] /\ flights m = [] /\ posts m = [] /\ (forall c, threads m c = None);
  in_host : forall c, regime m c = Host;
  none_claimed : forall p, exists s, words m p = Settled s;
  tables_empty : forall v a, cells m (Vm v) a = Cell Empty [] 0;
  host_tables : forall a, old (cells m Host a) = []
    /\ (now (cells m Host a) = Empty
        \/ exists s, now (cells m Host a) = Leaf a /\ words m a = Settled s /\ may s Host = true);
  none_flushing : forall v c, phases m v <> Flushing c
}.

Inductive reachable (u : setup) : machine -> Prop :=
| at_start m : initial m -> reachable u m
| by_step m e m' : reachable u m -> step u m e = Some m' -> reachable u m'.
