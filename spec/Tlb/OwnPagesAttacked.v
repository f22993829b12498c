(** * EL2's own pages: steps taken out, as runs on two cores with the erratum

    Not needed here: of ENGINE_RECLAIM the barriers before the first invalidation, since there is a second one, and between the two (messages
    of one core that are alike are not told apart); and its ISBs, for nobody knows of the page by then. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import OwnPages.
Import ListNotations.
Open Scope N_scope.


Fixpoint play (u : setup) (l : list event) (m : machine) : option machine :=
  match l with
  | [] => Some m
  | e :: rest => match step u m e with Some m' => play u rest m' | None => None end
  end.

(** The page is the host's, and something leads there. *)
Definition reached (m : machine) : bool :=
  match call m with
  | None => negb (own m) && (existsb (Bool.eqb true) (entry m :: was m) || existsb (fun _ => true) (tlb m) || existsb (fun _ => true) (flights m))
  | Some _ => false
  end.
(** It was zeroed, and an access is under way. *)
Definition late_store (m : machine) : bool := zeroed m && existsb (fun _ => true) (flights m).

Definition attack (c : job -> list instr) (l : list event) (wrong : machine -> bool) : bool :=
  match play (Setup true 2 c) l start with Some m => wrong m | None => false end.
Definition without (j : job) (n : nat) (j' : job) : list instr :=
  match j, j' with
  | Donate, Donate | Reclaim, Reclaim => firstn n (program j) ++ skipn (S n) (program j)
  | _, _ => program j'
  end.
Definition runs (n : nat) : list event := repeat Run n.
(** Core 0 donates; core 1 gets an entry, and a store of it is on its way. *)
Definition donated := Begin 0 Donate :: runs 5.
Definition used := donated ++ [Learn 1; Fill 1; Go 1 true].
Definition acts := [Act 0; Act 1].
Definition store (k : nat) := Land (Flight 1 k).

Example it_works : attack program
  (used ++ [Begin 1 Reclaim] ++ runs 4 ++ acts ++ runs 3 ++ acts ++ [store 2] ++ runs 5)
  (fun m => negb (own m) && negb (reached m)) = true.
Proof. reflexivity. Qed.

Theorem no_map : attack (without Donate 0) (Begin 0 Donate :: runs 3 ++ [Go 0 false]) faulted = true.
Proof. reflexivity. Qed.
(** Another core learns of the page and finds the entry as it was. *)
Theorem no_dsb : attack (without Donate 1) (Begin 0 Donate :: runs 4 ++ [Learn 1; Go 1 false]) faulted = true.
Proof. reflexivity. Qed.
Theorem no_isb : attack (without Donate 2) ([Look 0 false; Begin 0 Donate] ++ runs 4 ++ [Go 0 false]) faulted = true.
Proof. reflexivity. Qed.
Theorem no_unmap : attack (without Reclaim 0)
  (donated ++ [Begin 0 Reclaim] ++ runs 3 ++ acts ++ runs 3 ++ acts ++ runs 5 ++ [Fill 1]) reached = true.
Proof. reflexivity. Qed.
(** With the erratum a store waits for the second invalidation. *)
Theorem no_tlbi : attack (without Reclaim 3)
  (used ++ [Begin 0 Reclaim] ++ runs 6 ++ acts ++ runs 5) reached = true.
Proof. reflexivity. Qed.
Theorem no_repetition : attack (without Reclaim 6)
  (used ++ [Begin 0 Reclaim] ++ runs 4 ++ acts ++ runs 7) reached = true.
Proof. reflexivity. Qed.
Theorem no_dsb_after : attack (without Reclaim 7)
  (used ++ [Begin 0 Reclaim] ++ runs 4 ++ acts ++ runs 7) reached = true.
Proof. reflexivity. Qed.
(** Zeroed before the flush: the store lands behind the zeroes. *)
Theorem zeroed_too_early : attack
  (fun j => match j with Donate => program Donate | Reclaim => [Unmap; DsbSt; Isb; Zero; Inval; Dsb; Isb; Inval; Dsb; Isb; Commit] end)
  (used ++ [Begin 0 Reclaim] ++ runs 4) late_store = true.
Proof. reflexivity. Qed.
