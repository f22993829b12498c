(** * Blocks that become tables in place, and tables blocks (FEAT_BBM level 2)

    Sizes.v breaks an entry before it makes another. On cores where that is not needed (features.rs, a list) the engine puts the new
    entry in the place of the old one and flushes then: so a core may have entries of both sizes for a page, which lead to the same
    one. That an invalidation by IPA finds both is what this machine takes for granted of such cores; Sizes.v does not. What is proved
    (Proofs/InPlaceHold.v): a page that was taken away, nothing leads to ([nothing_left]), though the area may have been split by another core
    that is not done with it yet; and no walk is in a table that was joined and is free for another use ([table_is_free]).

    stage2/resize.rs, host_map.rs, rejoin.rs. A split or a join holds the claim of a page of the area, or of all: this is the
    host's map; that of a VM is never joined. The new table is there with all its leaves, for walkers too, when the area's entry names it.
    What the walker may find instead of an entry's last value is gone after a DSB of who stored it, or of who has read it since: memory is
    multi-copy atomic, and what a core has read is ordered before its DSB as what it wrote. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base.
Import ListNotations.
Open Scope N_scope.

Inductive shape := Block | Table.

(** The last store, what walkers may find instead, and who stored it or has read it since. *)
Record var (A : Type) := Var { cur : A; was : list A; known_by : list N }.
Arguments Var {A}. Arguments cur {A}. Arguments was {A}. Arguments known_by {A}.
Definition put {A} (c : N) (a : A) (x : var A) : var A := Var a (cur x :: was x) [c].
Definition read {A} (c : N) (x : var A) : var A := Var (cur x) (was x) (c :: known_by x).
Definition drain {A} (c : N) (x : var A) : var A := if in_dec N.eq_dec c (known_by x) then Var (cur x) [] (known_by x) else x.

(** What a core has: an entry for the block, what leads to the table, an entry for a page. *)
Inductive size := Whole | Link_ | One (i : N).
Inductive tlbi := AllOf | PageOf (i : N).
Record note := Note { issuer : N; op : tlbi; for_ : N }.

Inductive job :=
| Split (p : N)                 (** by a call about page [p] *)
| Join
| Give (i : N).                 (** the page is unmapped, to be somebody else's *)

Inductive instr :=
| Claim                         (** the page's word; of a join all of them *)
| SeeTable                      (** a page's entry is there, or the call gives up *)
| Clear                         (** the page's leaf goes *)
| Swap                          (** compare-exchange of the area's entry: block to table, or a table to block *)
| Dsb
| InvalPage
| InvalAll
| Commit.

Definition program (j : job) : list instr :=
  match j with
  | Split _ | Join => [Claim; Swap; Dsb; InvalAll; Dsb; Commit]     (* change_size; join_block: the table is free *)
  | Give _ => [Claim; SeeTable; Clear; Dsb; InvalPage; Dsb; Commit]
  end.

Record area := Area {
  top : var shape;
  leaf : N -> var bool;
  held : list (N * size);
  notes : list note;
  claim : N -> option N;
  away : N -> bool;             (** by its word the page is another's *)
  calls : N -> option (job * nat)
}.

Record setup := Setup { cores : N; pages : N; code : job -> list instr }.
Definition engine (n m : N) : setup := Setup n m program.

Definition size_dec (a b : size) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.
Definition held_dec (a b : N * size) : {a = b} + {a <> b}.
Proof. decide equality; [apply size_dec|apply N.eq_dec]. Defined.
Definition note_dec (a b : note) : {a = b} + {a <> b}.
Proof. decide equality; try apply N.eq_dec. decide equality; apply N.eq_dec. Defined.
Definition is_block (s : shape) : bool := match s with Block => true | Table => false end.
Definition is_free (x : option N) : bool := match x with None => true | Some _ => false end.
Definition mine (c : N) (x : option N) : bool := match x with Some d => d =? c | None => false end.
Definition let_go (c : N) (f : N -> option N) : N -> option N := fun i => if mine c (f i) then None else f i.

Inductive event :=
| See (c : N) (s : size)        (** a walk finds the block or the table; from the table a page *)
| Forget (x : N * size)
| Act (q : note)
| Home (i : N)                  (** a page comes home and is mapped again: the host's fault *)
| Begin (c : N) (j : job)
| Run (c : N).

Definition hit (o : tlbi) (s : size) : bool :=
  match o, s with AllOf, _ | PageOf _, Whole => true | PageOf i, One k => i =? k | PageOf _, Link_ => false end.
Definition drop (q : note) (l : list (N * size)) : list (N * size) :=
  filter (fun x => negb ((fst x =? for_ q) && hit (op q) (snd x))) l.
Fixpoint take_one (q : note) (l : list note) : list note :=
  match l with [] => [] | x :: rest => if note_dec q x then rest else x :: take_one q rest end.

Definition with_calls a f := Area (top a) (leaf a) (held a) (notes a) (claim a) (away a) f.
Definition with_held a h q := Area (top a) (leaf a) h q (claim a) (away a) (calls a).
Definition with_claim a f := Area (top a) (leaf a) (held a) (notes a) f (away a) (calls a).
Definition with_tables a t l := Area t l (held a) (notes a) (claim a) (away a) (calls a).

(** What a step does; nothing: the call gives up. *)
Definition effect (u : setup) (a : area) (c : N) (j : job) (i : instr) : option area :=
  let free p := is_free (claim a p) && negb (away a p) in
  match i, j with
  | Claim, Join => if forallb free (below (pages u)) then Some (with_claim a (fun p => if p <? pages u then Some c else claim a p)) else None
  | Claim, (Split p | Give p) => if free p then Some (with_claim a (upd (claim a) p (Some c))) else None
  | SeeTable, _ => if is_block (cur (top a)) then None else Some (with_tables a (read c (top a)) (leaf a))
  | Clear, Give p => Some (with_tables a (top a) (upd (leaf a) p (put c false (leaf a p))))
  | Swap, Split _ => if is_block (cur (top a)) then Some (with_tables a (put c Table (top a)) (fun _ => Var true [] [])) else None
  | Swap, Join => if is_block (cur (top a)) then None else Some (with_tables a (put c Block (top a)) (leaf a))
  | Dsb, _ => Some (with_tables a (drain c (top a)) (fun p => drain c (leaf a p)))
  | InvalPage, Give p => Some (with_held a (held a) (map (Note c (PageOf p)) (below (cores u)) ++ notes a))
  | InvalAll, _ => Some (with_held a (held a) (map (Note c AllOf) (below (cores u)) ++ notes a))
  | Commit, Give p => Some (Area (top a) (leaf a) (held a) (notes a) (let_go c (claim a)) (upd (away a) p true) (calls a))
  | Commit, _ => Some (with_claim a (let_go c (claim a)))
  | _, _ => None
  end.

Definition must_wait (a : area) (c : N) (i : instr) : bool :=
  match i with Dsb => existsb (fun q => issuer q =? c) (notes a) | _ => false end.

Definition run (u : setup) (a : area) (c : N) : option area :=
  match calls a c with
  | None => None
  | Some (j, k) =>
      match nth_error (code u j) k with
      | None => Some (with_calls a (upd (calls a) c None))
      | Some i =>
          if must_wait a c i then None else
          Some match effect u a c j i with
               | None => with_calls (with_claim a (let_go c (claim a))) (upd (calls a) c None)
               | Some b => with_calls b (upd (calls b) c (Some (j, S k)))
               end
      end
  end.

Definition guard {A} (b : bool) (a : A) : option A := if b then Some a else None.

Definition finds (a : area) (c : N) (s : size) : bool :=
  match s with
  | Whole => existsb is_block (cur (top a) :: was (top a))
  | Link_ => existsb (fun x => negb (is_block x)) (cur (top a) :: was (top a))
  | One i => (if in_dec held_dec (c, Link_) (held a) then true else false) && existsb (fun b => b) (cur (leaf a i) :: was (leaf a i))
  end.

Definition step (u : setup) (a : area) (e : event) : option area :=
  match e with
  | See c s => guard ((c <? cores u) && finds a c s) (with_held a ((c, s) :: held a) (notes a))
  | Forget x => Some (with_held a (List.remove held_dec x (held a)) (notes a))
  | Act q => guard (if in_dec note_dec q (notes a) then true else false) (with_held a (drop q (held a)) (take_one q (notes a)))
  | Home i => guard (away a i && is_free (claim a i))
      (Area (top a) (upd (leaf a) i (Var true [] [])) (held a) (notes a) (claim a) (upd (away a) i false) (calls a))
  | Begin c j =>
      guard ((c <? cores u) && match calls a c with None => true | Some _ => false end
             && match j with Give i | Split i => i <? pages u | Join => true end)
        (with_calls a (upd (calls a) c (Some (j, O))))
  | Run c => run u a c
  end.

(** It begins as a block, of which nobody has anything yet. *)
Definition start : area := Area (Var Block [] []) (fun _ => Var true [] []) [] [] (fun _ => None) (fun _ => false) (fun _ => None).

Inductive reachable (u : setup) : area -> Prop :=
| at_start : reachable u start
| by_step a e b : reachable u a -> step u a e = Some b -> reachable u b.
