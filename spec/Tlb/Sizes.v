(** * Blocks, and the pages that they are split into

    The machine of this folder knows pages: of a block, what a TLB holds is what it would hold of each of its pages. That is
    right as long as an invalidation by IPA finds all that a core has for that IPA. A core with an entry for a block
    and one for a page of it need not find both (Arm ARM D8.17.1): hence break-before-make. Here is a machine of one area that is a
    block or a table of any number of pages; cores split it, join it, and take pages of it away at the same time. What
    is proved ([Proofs/SizesHold.v]): no core has entries of both sizes ([one_size]); a page that was taken away, nothing
    leads to ([nothing_left]), and no walk is in a table that was joined and is free for another use ([table_is_free]).

    stage2/resize.rs, host_map.rs, rejoin.rs. Walks, caches of tables and TLB entries are one thing: what a core *has*. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base.
Open Scope N_scope.

(** ** What there is *)

(** What the area's entry says; [Broken]: the mark SPLITTING of this core. *)
Inductive shape := Block | Broken (by_ : N) | Table.

(** What the last store put there, what walkers may find instead until a DSB of its core. *)
Record var (A : Type) := Var { cur : A; was : list A; writer : N }.
Arguments Var {A}. Arguments cur {A}. Arguments was {A}. Arguments writer {A}.
Definition put {A} (c : N) (a : A) (x : var A) : var A := Var a (cur x :: was x) c.
Definition drain {A} (c : N) (x : var A) : var A := if writer x =? c then Var (cur x) [] c else x.

(** An entry for the block, what leads to the table, an entry for a page. *)
Inductive size := Whole | Link_ | One (i : N).
Inductive tlbi := AllOf | PageOf (i : N).
Record note := Note { issuer : N; op : tlbi; for_ : N }.

Inductive job :=
| Split
| Join
| Give (i : N).                 (** the page is unmapped, to be somebody else's *)

Inductive instr :=
| Claim                         (** the page's word; of a join all of them *)
| SeeTable                      (** a page's entry is there, or the call gives up *)
| Clear                         (** the page's leaf goes *)
| Break                         (** compare-exchange of the area's entry to the mark; of a table whose leaves are all there *)
| Dsb
| InvalPage
| InvalAll                      (** of all pages of the area, or of the VMID *)
| Link                          (** the new table, with all leaves; or the block *)
| Commit.

Record area := Area {
  top : var shape;
  leaf : N -> var bool;
  held : list (N * size);       (** what each core has *)
  notes : list note;
  claim : N -> option N;
  away : N -> bool;             (** by its word the page is another's *)
  calls : N -> option (job * nat)    (** and how many steps are done *)
}.

Record setup := Setup { cores : N; pages : N; code : job -> list instr }.

Definition program (j : job) : list instr :=
  match j with
  | Split => [Break; Dsb; InvalAll; Dsb; Link; Dsb]                   (* split_block, change_size *)
  | Join => [Claim; Break; Dsb; InvalAll; Dsb; Link; Dsb; Commit]     (* rejoin.rs, join_block *)
  | Give _ => [Claim; SeeTable; Clear; Dsb; InvalPage; Dsb; Commit]
  end.
Definition engine (cores pages : N) : setup := Setup cores pages program.

(** ** Decided *)

Definition shape_dec (a b : shape) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.
Definition size_dec (a b : size) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.
Definition held_dec (a b : N * size) : {a = b} + {a <> b}.
Proof. decide equality; [apply size_dec|apply N.eq_dec]. Defined.
Definition note_dec (a b : note) : {a = b} + {a <> b}.
Proof. decide equality; try apply N.eq_dec. decide equality; apply N.eq_dec. Defined.
Definition has {A} (dec : forall a b : A, {a = b} + {a <> b}) (a : A) (l : list A) : bool := if in_dec dec a l then true else false.

(** ** Events *)

Inductive event :=
| See (c : N) (s : size)        (** a walk finds the block or the table; from the table a page *)
| Forget (x : N * size)
| Act (q : note) (spared : option size)  (** a core acts on an invalidation, and may miss this *)
| Home (i : N)                  (** a page comes home and is mapped again: the host's fault *)
| Begin (c : N) (j : job)
| Run (c : N).

Definition hit (o : tlbi) (s : size) : bool :=
  match o, s with AllOf, _ | PageOf _, Whole => true | PageOf i, One k => i =? k | PageOf _, Link_ => false end.
(** What may be missed: of an entry for a block and one for a page of it one. *)
Definition may_miss (a : area) (q : note) (s : size) : bool :=
  match op q, s with
  | PageOf i, Whole => has held_dec (for_ q, One i) (held a)
  | PageOf i, One k => (i =? k) && has held_dec (for_ q, Whole) (held a)
  | _, _ => false
  end.
Definition drop (q : note) (spared : option size) (l : list (N * size)) : list (N * size) :=
  filter (fun x => negb ((fst x =? for_ q) && hit (op q) (snd x)
                         && match spared with Some s => if size_dec s (snd x) then false else true | None => true end)) l.

Definition mine (c : N) (x : option N) : bool := match x with Some d => d =? c | None => false end.
Definition let_go (c : N) (f : N -> option N) : N -> option N := fun i => if mine c (f i) then None else f i.
Definition is_free (x : option N) : bool := match x with None => true | Some _ => false end.

Definition with_calls a f := Area (top a) (leaf a) (held a) (notes a) (claim a) (away a) f.
Definition set_claim a f := Area (top a) (leaf a) (held a) (notes a) f (away a) (calls a).

(** What a step does; nothing: the call gives up. *)
Definition effect (u : setup) (a : area) (c : N) (j : job) (i : instr) : option area :=
  let stored t l := Some (Area t l (held a) (notes a) (claim a) (away a) (calls a)) in
  let posted o := Some (Area (top a) (leaf a) (held a) (map (Note c o) (below (cores u)) ++ notes a) (claim a) (away a) (calls a)) in
  match i, j with
  | Claim, Join => if forallb (fun p => is_free (claim a p)) (below (pages u))
                   then Some (set_claim a (fun p => if p <? pages u then Some c else claim a p)) else None
  | Claim, Give p => if is_free (claim a p) then Some (set_claim a (upd (claim a) p (Some c))) else None
  | SeeTable, _ => if shape_dec (cur (top a)) Table then Some a else None
  | Clear, Give p => stored (top a) (upd (leaf a) p (put c false (leaf a p)))
  | Break, Split => if shape_dec (cur (top a)) Block then stored (put c (Broken c) (top a)) (leaf a) else None
  | Break, Join => if shape_dec (cur (top a)) Table
                   then if forallb (fun p => cur (leaf a p)) (below (pages u)) then stored (put c (Broken c) (top a)) (leaf a) else None
                   else None
  | Dsb, _ => stored (drain c (top a)) (fun p => drain c (leaf a p))
  | InvalPage, Give p => posted (PageOf p)
  | InvalAll, _ => posted AllOf
  | Link, Split => stored (put c Table (top a)) (fun p => Var true [] c)
  | Link, Join => stored (put c Block (top a)) (leaf a)
  | Commit, Join => Some (set_claim a (let_go c (claim a)))
  | Commit, Give p => Some (Area (top a) (leaf a) (held a) (notes a) (let_go c (claim a)) (upd (away a) p true) (calls a))
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
               | None => with_calls (set_claim a (let_go c (claim a))) (upd (calls a) c None)
               | Some b => with_calls b (upd (calls b) c (Some (j, S k)))
               end
      end
  end.

Definition guard {A} (b : bool) (a : A) : option A := if b then Some a else None.
Definition with_held a h q := Area (top a) (leaf a) h q (claim a) (away a) (calls a).

Definition step (u : setup) (a : area) (e : event) : option area :=
  match e with
  | See c s =>
      let finds := match s with
                   | Whole => has shape_dec Block (cur (top a) :: was (top a))
                   | Link_ => has shape_dec Table (cur (top a) :: was (top a))
                   | One i => (i <? pages u) && has held_dec (c, Link_) (held a) && has bool_dec true (cur (leaf a i) :: was (leaf a i))
                   end in
      guard ((c <? cores u) && finds) (with_held a ((c, s) :: held a) (notes a))
  | Forget x => Some (with_held a (List.remove held_dec x (held a)) (notes a))
  | Act q spared =>
      guard (has note_dec q (notes a) && match spared with Some s => may_miss a q s | None => true end)
        (with_held a (drop q spared (held a)) (List.remove note_dec q (notes a)))
  | Home i =>
      guard ((i <? pages u) && away a i && is_free (claim a i) && if shape_dec (cur (top a)) Table then true else false)
        (Area (top a) (upd (leaf a) i (Var true [] (writer (leaf a i)))) (held a) (notes a) (claim a) (upd (away a) i false) (calls a))
  | Begin c j =>
      guard ((c <? cores u) && match calls a c with None => true | Some _ => false end
             && match j with Give i => i <? pages u | _ => true end)
        (with_calls a (upd (calls a) c (Some (j, O))))
  | Run c => run u a c
  end.

(** It begins as a block, of which nobody has anything yet. *)
Definition start : area := Area (Var Block [] 0) (fun _ => Var true [] 0) [] [] (fun _ => None) (fun _ => false) (fun _ => None).

Inductive reachable (u : setup) : area -> Prop :=
| at_start : reachable u start
| by_step a e b : reachable u a -> step u a e = Some b -> reachable u b.
