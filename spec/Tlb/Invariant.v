(** * What holds at every moment of every run

    I5, in words: a TLB entry, a walk, an access under way leads to a page only if its owner's leaf for the page
    is there, or the call that took the leaf away holds the page still and has not finished the flush. How far
    that flush is says what may be left ([way_ok], [flight_ok]). *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine.
Open Scope N_scope.

Definition alive (m : machine) (d : dom) : Prop :=
  match d with Host => True | Vm v => phases m v <> Dead end.

(** ** Whose the page is, at every moment: a page that is changing hands is its old owner's, until
    its new leaf is written or the word is committed *)

Definition owner_now (m : machine) (p : N) : page_state :=
  match words m p with
  | Settled s => s
  | Claimed s c =>
      match threads m c with
      | Some t => if wrote (known t) then to_ (kind_of (doing t)) (vm_of (doing t)) else s
      | None => s
      end
  end.

(** ** How often a VM may have a page, and has at most *)

Definition times (s : page_state) (v : N) : N :=
  match s with
  | VmOwned w | SharedByVm w => if w =? v then 1 else 0
  | Lent w n => if w =? v then n else 0
  | _ => 0
  end.

Definition fits (m : machine) (v p n : N) : Prop :=
  forall l, NoDup l -> (forall a, In a l -> now (cells m (Vm v) a) = Leaf p) -> N.of_nat (length l) <= n.

(** ** What is left of [d]'s ways to a page, as the flush by core [c] goes on *)

Definition way_ok (c : N) (d : dom) (qs : list post) (l : level) (w : way) : Prop :=
  match l with
  | Mapped | Cleared | Unseen => True
  | PostedPage => forall a, via w = Some a -> In (Post c (ByIpa d a) (on w)) qs
  | PageGone => via w = None
  | PostedAll => exists o, In (Post c o (on w)) qs /\ hits o w = true /\ combined_of o d = true
  | AllGone | PostedAgain | Flushed => False
  end.

Definition flight_ok (err : bool) (c : N) (d : dom) (qs : list post) (l : level) (f : flight) : Prop :=
  match l with
  | Mapped | Cleared | Unseen | PostedPage | PageGone => True
  | PostedAll => (In c (if err then passed f else owed f))
                 \/ exists o, In (Post c o (f_on f)) qs /\ combined_of o d = true
  | AllGone => err = true /\ In c (passed f)
  | PostedAgain => In c (owed f) \/ (err = true /\ In c (passed f) /\ exists o, In (Post c o (f_on f)) qs)
  | Flushed => False
  end.

(** ** What a hand [h] of a call relies on is so *)

Section Call.
  Variables (u : setup) (m : machine) (h : N) (t : thread).
  Let c := core_of u h.
  Let j := doing t.
  Let k := known t.
  Let kd := kind_of (doing t).

  (** It works: it has claimed its page, or it is the end of a VM and about all pages. *)
  Definition works : Prop := claimed k = true \/ is_end kd = true.
  (** Is it about the translation of this side's that leads from [a] to page [p]? *)
  Definition about (x : side) (a p : N) : Prop := is_end kd = true \/ (p = page j /\ a = entry_of j x).

  Definition reach_ok (x : side) (l : level) : Prop :=
    (forall w, In w (ways m) -> of w = regime_of j x -> about x (from_ipa w) (leads_to w) ->
       way_ok c (regime_of j x) (posts m) l w)
    /\ (forall f, In f (flights m) -> f_of f = regime_of j x -> about x (f_ipa f) (f_to f) ->
       flight_ok (erratum u) c (regime_of j x) (posts m) l f).

  Definition cells_ok (x : side) (l : level) : Prop :=
    l <> Mapped -> is_end kd = false -> alive m (regime_of j x) ->
    now (cells m (regime_of j x) (entry_of j x)) <> Leaf (page j)
    /\ (In (Leaf (page j)) (old (cells m (regime_of j x) (entry_of j x))) ->
          l = Cleared /\ writer (cells m (regime_of j x) (entry_of j x)) = c).

  Record call_ok : Prop := {
    c_rules : keeps_rules (erratum u) kd k (rest t) = true;
    c_core : h < hands u /\ c < cores u;
    c_word : claimed k = true -> words m (page j) = Claimed (from_ kd (vm_of j)) h;
    c_regime : regime m c = regime_of j (vmid k);
    c_home : borrowed k = false -> vmid k = home kd;
    c_saved : borrowed k = true <-> saved t <> None;
    c_sure : sure k = true -> now (cells m (Vm (vm_of j)) (ipa j)) = Leaf (page j);
    c_mine : mine k = true -> now (cells m (Vm (vm_of j)) (ipa j)) = Mark h;
    c_lawful : (sure k = true \/ mine k = true \/ wrote k = true \/ zeroed k = true \/ clean k = true -> claimed k = true)
               /\ (mine k = true -> pins kd = true) /\ (sure k = true -> pins kd = true \/ of_dead kd = true)
               /\ (is_end kd = true -> claimed k = false)
               /\ (zeroed k = true \/ clean k = true -> wrote k = false);
    c_marked : claimed k = true -> is_whole k OfVm = false -> mine k = true;
    c_cells : works -> forall x, cells_ok x (level_at k x);
    c_fewer : claimed k = true -> vm_level k <> Mapped -> alive m (Vm (vm_of j)) ->
              fits m (vm_of j) (page j) (times (from_ kd (vm_of j)) (vm_of j) - 1);
    c_reach : works -> forall x, reach_ok x (level_at k x);
    c_zero : zeroed k = true -> held (lines m (page j)) = zeroes /\ nobody_reaches kd k = true;
    c_clean : clean k = true -> dirty (lines m (page j)) = None /\ nobody_reaches kd k = true;
    c_wrote : wrote k = true -> losers_are_flushed kd k = true;
    c_pins : pins kd = true -> is_alive (phases m (vm_of j)) = true;
    c_dead : of_dead kd = true -> vm_level k <> Mapped -> phases m (vm_of j) = Dead;
    c_end : is_end kd = true -> (vm_level k <> Mapped -> phases m (vm_of j) = Flushing h) /\ host_level k = Mapped
  }.
End Call.

(** ** No call is flushing [d]'s ways from [a] to [p] *)

Definition quiet (m : machine) (d : dom) (a p : N) : Prop :=
  forall c t x, threads m c = Some t -> claimed (known t) = true -> page (doing t) = p ->
    regime_of (doing t) x = d -> entry_of (doing t) x = a -> level_at (known t) x = Mapped.

Record invariant (u : setup) (m : machine) : Prop := {
  i_calls : forall c t, threads m c = Some t -> call_ok u m c t;
  i_words : forall p s c, words m p = Claimed s c ->
    exists t, threads m c = Some t /\ claimed (known t) = true /\ page (doing t) = p
              /\ s = from_ (kind_of (doing t)) (vm_of (doing t));
  i_leaf : forall d a p, alive m d -> now (cells m d a) = Leaf p ->
    may (owner_now m p) d = true /\ (d = Host -> a = p);
  i_fits : forall v p, alive m (Vm v) -> fits m v p (times (owner_now m p) v);
  i_old : forall d a p, alive m d -> In (Leaf p) (old (cells m d a)) -> quiet m d a p ->
    now (cells m d a) = Leaf p;
  i_published : forall d a p, now (cells m d a) = Leaf p ->
    old (cells m d a) = []
    \/ exists h t, core_of u h = writer (cells m d a) /\ threads m h = Some t /\ claimed (known t) = true
                 /\ page (doing t) = p /\ wrote (known t) = true /\ published (known t) = false;
  i_ways : forall w, In w (ways m) ->
    on w < cores u /\ alive m (of w)
    /\ (quiet m (of w) (from_ipa w) (leads_to w) -> now (cells m (of w) (from_ipa w)) = Leaf (leads_to w));
  i_flights : forall f, In f (flights m) ->
    f_on f < cores u /\ alive m (f_of f) /\ (quiet m (f_of f) (f_ipa f) (f_to f) -> now (cells m (f_of f) (f_ipa f)) = Leaf (f_to f));
  i_walkers : forall c v, regime m c = Vm v -> walks u m c = true -> is_alive (phases m v) = true;
  i_cores : forall c, cores u <= c -> regime m c = Host
}.

