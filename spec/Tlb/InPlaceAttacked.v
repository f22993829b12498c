(** * Sizes that change in place, without one step: the attacks as runs

    On two cores with four pages. Not attacked: what a split does behind its swap. Where an invalidation by IPA finds entries of both sizes,
    none of the host's pages needs it, and the engine does it all the same; and its claim, which keeps a join from having another table under
    it, for this machine does not tell one table from the next. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import InPlace Proofs.InPlaceHold.
Import ListNotations.
Open Scope N_scope.

Fixpoint play (u : setup) (l : list event) (a : area) : option area :=
  match l with
  | [] => Some a
  | e :: rest => match step u a e with Some b => play u rest b | None => None end
  end.

(** A core has something for a page that is another's, or a walk finds it. *)
Definition stale (u : setup) (a : area) : bool :=
  existsb (fun i => away a i && (existsb (fun x => match snd x with Whole => true | One k => i =? k | Link_ => false end) (held a)
                                 || existsb (fun c => finds a c Whole || finds a c (One i)) (below (cores u)))) (below (pages u)).
(** A join is about to let its table go, or has, and a walk is in it. *)
Definition freed (a : area) : bool := is_block (cur (top a)) && existsb (fun x => match snd x with Link_ => true | _ => false end) (held a).

Definition attack (u : setup) (l : list event) (wrong : area -> bool) : bool :=
  match play u l start with Some a => wrong a | None => false end.
Definition whole_engine : setup := InPlace.engine 2 4.
Definition left_out (n : nat) (l : list instr) : list instr := firstn n l ++ skipn (S n) l.
Definition join_without (n : nat) : setup := Setup 2 4 (fun j => match j with Join => left_out n (program j) | _ => program j end).
Definition give_without (n : nat) : setup := Setup 2 4 (fun j => match j with Give _ => left_out n (program j) | _ => program j end).
Definition stale_in (n : nat) (l : list event) : bool := attack (give_without n) l (stale (give_without n)).

Definition runs (c : N) (n : nat) : list event := repeat (Run c) n.
Definition acts (o : tlbi) : list event := [Act (Note 0 o 0); Act (Note 0 o 1)].
Definition split_ : list event := Begin 0 (Split 0) :: runs 0 4 ++ acts AllOf ++ runs 0 3.
Definition give_1 : list event := Begin 0 (Give 1) :: runs 0 5 ++ acts (PageOf 1) ++ runs 0 3.

(** A core has entries of both sizes for a while, and none when the page is gone. *)
Example it_works :
  match play whole_engine ([See 1 Whole; Begin 0 (Split 0)] ++ runs 0 3 ++ [See 1 Link_; See 1 (One 1)]
                           ++ [Run 0] ++ acts AllOf ++ runs 0 3 ++ give_1 ++ [Home 1; Begin 0 Join] ++ runs 0 4 ++ acts AllOf ++ runs 0 3) start with
  | Some a => is_block (cur (top a)) && negb (freed a) && negb (stale whole_engine a)
  | None => false
  end = true.
Proof. reflexivity. Qed.

(** Another core's split is not over: it has made no DSB yet, and a core may walk into the block. Who has seen the table waits for that too. *)
Example beside_a_split :
  match play whole_engine ([Begin 1 (Split 0)] ++ runs 1 2 ++ [See 1 Whole] ++ give_1) start with
  | Some a => away a 1 && negb (stale whole_engine a)
  | None => false
  end = true.
Proof. reflexivity. Qed.

(** ** A page leaves: 0 Claim, 1 SeeTable, 2 Clear, 3 DSB, 4 TLBI by IPA, 5 DSB, 6 Commit. *)

(** It is seen in a table that another core joins. *)
Theorem give_no_claim : stale_in 0
  (split_ ++ [Begin 1 (Give 1); Run 1; Begin 0 Join] ++ runs 0 4 ++ acts AllOf ++ runs 0 3
   ++ runs 1 3 ++ [Act (Note 1 (PageOf 1) 0); Act (Note 1 (PageOf 1) 1)] ++ runs 1 3 ++ [See 1 Whole]) = true.
Proof. reflexivity. Qed.
Theorem give_not_looked : stale_in 1 (Begin 0 (Give 1) :: runs 0 4 ++ acts (PageOf 1) ++ runs 0 3 ++ [See 1 Whole]) = true.
Proof. reflexivity. Qed.
Theorem give_no_clear : stale_in 2 (split_ ++ Begin 0 (Give 1) :: runs 0 4 ++ acts (PageOf 1) ++ runs 0 3 ++ [See 1 Link_; See 1 (One 1)]) = true.
Proof. reflexivity. Qed.
Theorem give_no_dsb_before : stale_in 3
  (split_ ++ [See 1 Link_; Begin 0 (Give 1)] ++ runs 0 4 ++ acts (PageOf 1) ++ [See 1 (One 1)] ++ runs 0 3) = true.
Proof. reflexivity. Qed.
(** The entry for the block, that another core's split has left. *)
Theorem give_no_tlbi : stale_in 4 ([See 1 Whole; Begin 1 (Split 0)] ++ runs 1 2 ++ Begin 0 (Give 1) :: runs 0 7) = true.
Proof. reflexivity. Qed.
Theorem give_no_dsb_after : stale_in 5 ([See 1 Whole; Begin 1 (Split 0)] ++ runs 1 2 ++ Begin 0 (Give 1) :: runs 0 7) = true.
Proof. reflexivity. Qed.

(** ** A join: 0 Claim, 1 Swap, 2 DSB, 3 TLBI, 4 DSB, 5 Commit. *)

Theorem join_no_claim : attack (join_without 0)
  (split_ ++ [Begin 1 (Give 1)] ++ runs 1 2 ++ [Begin 0 Join; Run 0] ++ runs 1 3 ++ [Act (Note 1 (PageOf 1) 0); Act (Note 1 (PageOf 1) 1)]
   ++ runs 1 3 ++ [See 1 Whole]) (stale (join_without 0)) = true.
Proof. reflexivity. Qed.
(** A core acts on the invalidation, and then walks into the table: the store that took it away is not seen yet. *)
Theorem join_no_dsb_before : attack (join_without 2)
  (split_ ++ Begin 0 Join :: runs 0 3 ++ acts AllOf ++ [See 1 Link_] ++ runs 0 3) freed = true.
Proof. reflexivity. Qed.
Theorem join_no_tlbi : attack (join_without 3) (split_ ++ [See 1 Link_; Begin 0 Join] ++ runs 0 6) freed = true.
Proof. reflexivity. Qed.
Theorem join_no_dsb_after : attack (join_without 4) (split_ ++ [See 1 Link_; Begin 0 Join] ++ runs 0 6) freed = true.
Proof. reflexivity. Qed.
