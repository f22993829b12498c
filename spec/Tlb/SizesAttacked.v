(** * Splits, joins and pages that leave, without one step: the attacks as runs

    Each step of [Sizes.program] is left out in turn, but for the DSB behind the new entry, which is there so that others find it. Coq
    plays where that leads; with all steps in their places, [Proofs/SizesHold.v] says, it does not.

    Two cores, four pages. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import Sizes Proofs.SizesHeld Proofs.SizesHold.
Open Scope N_scope.

(** ** Playing *)

Fixpoint play (u : setup) (l : list event) (a : area) : option area :=
  match l with
  | [] => Some a
  | e :: rest => match step u a e with Some b => play u rest b | None => None end
  end.

Inductive fault :=
| Both                          (** a core has entries of both sizes for a page *)
| Stale                         (** it has something for a page that is another's *)
| Freed                         (** a walk is in a table that became a block *)
| Stuck.                        (** an entry's mark, or a claim, of a core that makes no call *)

Definition idle (a : area) (c : N) : bool := match calls a c with None => true | Some _ => false end.
Definition wrong (u : setup) (f : fault) (a : area) : bool :=
  match f with
  | Both => existsb (fun x => match snd x with One _ => has held_dec (fst x, Whole) (held a) | _ => false end) (held a)
  | Stale => existsb (fun i => away a i && Sizes.is_free (claim a i)
                       && existsb (fun x => match snd x with Whole => true | One k => i =? k | Link_ => false end) (held a)) (below (pages u))
  | Freed => match cur (top a) with Block => existsb (fun x => match snd x with Link_ => true | _ => false end) (held a) | _ => false end
  | Stuck => match cur (top a) with Broken h => idle a h | _ => false end
             || existsb (fun i => match claim a i with Some c => idle a c | None => false end) (below (pages u))
  end.
Definition attack (u : setup) (l : list event) (f : fault) : bool :=
  match play u l start with Some a => wrong u f a | None => false end.

Definition whole_engine : setup := Sizes.engine 2 4.
(** The engine, but for the programs of one sort. *)
Definition other (f : job -> option (list instr)) : setup :=
  Setup 2 4 (fun j => match f j with Some p => p | None => program j end).
Definition left_out (n : nat) (l : list instr) : list instr := firstn n l ++ skipn (S n) l.
Definition split_as (p : list instr) : setup := other (fun j => match j with Split => Some p | _ => None end).
Definition split_without (n : nat) : setup := split_as (left_out n (program Split)).
Definition join_as (p : list instr) : setup := other (fun j => match j with Join => Some p | _ => None end).
Definition join_without (n : nat) : setup := join_as (left_out n (program Join)).
Definition give_without (n : nat) : setup := other (fun j => match j with Give _ => Some (left_out n (program j)) | _ => None end).

Definition runs (c : N) (n : nat) : list event := repeat (Run c) n.
(** The invalidation by core 0, on both cores. *)
Definition acts (o : tlbi) : list event := [Act (Note 0 o 0) None; Act (Note 0 o 1) None].
Definition split_ : list event := Begin 0 Split :: runs 0 3 ++ acts AllOf ++ runs 0 4.
Definition join_ : list event := Begin 0 Join :: runs 0 4 ++ acts AllOf ++ runs 0 5.
Definition give_ i : list event := Begin 0 (Give i) :: runs 0 5 ++ acts (PageOf i) ++ runs 0 3.

(** Split, a page goes and comes home, joined. *)
Example it_works :
  match play whole_engine (See 1 Whole :: split_ ++ [See 1 Link_; See 1 (One 2)] ++ give_ 2 ++ [Home 2] ++ join_) start with
  | Some a => cur (top a) = Block /\ held a = [] /\ calls a 0 = None /\ map (claim a) [0; 1; 2; 3] = [None; None; None; None]
  | None => False
  end.
Proof. vm_compute. auto. Qed.

(** ** A split *)

(** Without the break: the table is put where the block is. A core has both; the flush of a page that leaves finds the entry for
    the page, and the block's stays. *)
Definition at_once := split_as [Link; Dsb].
Theorem split_without_break : attack at_once
  (See 1 Whole :: Begin 0 Split :: runs 0 3 ++ [See 1 Link_; See 1 (One 2)]) Both = true.
Proof. vm_compute. reflexivity. Qed.
Theorem page_flushed_while_a_block_stays : attack at_once
  (See 1 Whole :: Begin 0 Split :: runs 0 3 ++ [See 1 Link_; See 1 (One 2)]
   ++ Begin 0 (Give 2) :: runs 0 5 ++ [Act (Note 0 (PageOf 2) 0) None; Act (Note 0 (PageOf 2) 1) (Some Whole)] ++ runs 0 3) Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Flushed, but the block was there until the table was: a core walks again in between. *)
Theorem split_no_break : attack (split_without 0)
  (Begin 0 Split :: runs 0 2 ++ acts AllOf ++ [Run 0; See 1 Whole] ++ runs 0 3 ++ [See 1 Link_; See 1 (One 2)]) Both = true.
Proof. vm_compute. reflexivity. Qed.

(** The break is not seen yet when the core acts. *)
Theorem split_no_dsb_before : attack (split_without 1)
  (Begin 0 Split :: runs 0 2 ++ acts AllOf ++ [See 1 Whole] ++ runs 0 4 ++ [See 1 Link_; See 1 (One 2)]) Both = true.
Proof. vm_compute. reflexivity. Qed.

Theorem split_no_tlbi : attack (split_without 2) (See 1 Whole :: Begin 0 Split :: runs 0 6 ++ [See 1 Link_; See 1 (One 2)]) Both = true.
Proof. vm_compute. reflexivity. Qed.

Theorem split_no_dsb_after : attack (split_without 3) (See 1 Whole :: Begin 0 Split :: runs 0 4 ++ [See 1 Link_; See 1 (One 2)]) Both = true.
Proof. vm_compute. reflexivity. Qed.

Theorem split_no_link : attack (split_without 4) (Begin 0 Split :: runs 0 3 ++ acts AllOf ++ runs 0 3) Stuck = true.
Proof. vm_compute. reflexivity. Qed.

(** ** A join *)

(** A page is leaving, and is in the block again. *)
Theorem join_no_claim : attack (join_without 0)
  (split_ ++ Begin 1 (Give 2) :: runs 1 2 ++ Begin 0 Join :: runs 0 3 ++ acts AllOf ++ runs 0 5
   ++ runs 1 3 ++ [Act (Note 1 (PageOf 2) 0) None; Act (Note 1 (PageOf 2) 1) None] ++ runs 1 3 ++ [See 0 Whole]) Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem join_no_break : attack (join_without 1)
  (split_ ++ Begin 0 Join :: runs 0 3 ++ acts AllOf ++ [Run 0; See 1 Link_; See 1 (One 2); Run 0; See 1 Whole]) Both = true.
Proof. vm_compute. reflexivity. Qed.

Theorem join_no_dsb_before : attack (join_without 2)
  (split_ ++ Begin 0 Join :: runs 0 3 ++ acts AllOf ++ [See 1 Link_] ++ runs 0 3) Freed = true.
Proof. vm_compute. reflexivity. Qed.

(** The table is free, and a walk is in it. *)
Theorem join_no_tlbi : attack (join_without 3) (split_ ++ See 1 Link_ :: Begin 0 Join :: runs 0 5) Freed = true.
Proof. vm_compute. reflexivity. Qed.

Theorem join_no_dsb_after : attack (join_without 4) (split_ ++ See 1 Link_ :: Begin 0 Join :: runs 0 5) Freed = true.
Proof. vm_compute. reflexivity. Qed.

Theorem join_no_link : attack (join_without 5) (split_ ++ Begin 0 Join :: runs 0 4 ++ acts AllOf ++ runs 0 4) Stuck = true.
Proof. vm_compute. reflexivity. Qed.

Theorem join_no_commit : attack (join_without 7) (split_ ++ Begin 0 Join :: runs 0 4 ++ acts AllOf ++ runs 0 4) Stuck = true.
Proof. vm_compute. reflexivity. Qed.

(** ** A page that leaves *)

(** While a join holds it. *)
Theorem give_no_claim : attack (give_without 0)
  (split_ ++ Begin 1 (Give 2) :: runs 1 1 ++ Begin 0 Join :: runs 0 4 ++ acts AllOf ++ runs 0 5
   ++ runs 1 3 ++ [Act (Note 1 (PageOf 2) 0) None; Act (Note 1 (PageOf 2) 1) None] ++ runs 1 3 ++ [See 0 Whole]) Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** The block is there still. *)
Theorem give_not_looked : attack (give_without 1)
  (Begin 0 (Give 2) :: runs 0 4 ++ acts (PageOf 2) ++ runs 0 3 ++ [See 1 Whole]) Stale = true.
Proof. vm_compute. reflexivity. Qed.

Definition walked := split_ ++ [See 1 Link_; See 1 (One 2)].
Theorem give_no_clear : attack (give_without 2)
  (walked ++ Begin 0 (Give 2) :: runs 0 4 ++ acts (PageOf 2) ++ runs 0 3 ++ [See 1 (One 2)]) Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem give_no_dsb_before : attack (give_without 3)
  (walked ++ Begin 0 (Give 2) :: runs 0 4 ++ acts (PageOf 2) ++ See 1 (One 2) :: runs 0 3) Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem give_no_tlbi : attack (give_without 4) (walked ++ Begin 0 (Give 2) :: runs 0 7) Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem give_no_dsb_after : attack (give_without 5) (walked ++ Begin 0 (Give 2) :: runs 0 6) Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem give_no_commit : attack (give_without 6) (walked ++ Begin 0 (Give 2) :: runs 0 5 ++ acts (PageOf 2) ++ runs 0 2) Stuck = true.
Proof. vm_compute. reflexivity. Qed.

(** ** What is attacked is not the engine *)

Lemma play_reach u l : forall a b, reachable u a -> play u l a = Some b -> reachable u b.
Proof.
  induction l as [|e l IH]; cbn [play]; intros a b R P; [injection P as <-; exact R|].
  destruct (step u a e) as [a1|] eqn:S; [|discriminate]. exact (IH a1 b (by_step u a e a1 R S) P).
Qed.

(** No programs that are attacked so are the engine's. *)
Theorem attacked_is_not_the_engine u l f : attack u l f = true -> f <> Stuck -> ~ obeys u.
Proof.
  unfold attack. destruct (play u l start) as [a|] eqn:P; [|discriminate]. intros W NS OB. pose proof (play_reach u l start a (at_start u) P) as R.
  destruct f; cbn [wrong] in W; try congruence.
  - apply existsb_exists in W as ([c s] & I & W). destruct s; try discriminate. apply has_true in W. exact (one_size u a c i OB R W I).
  - apply existsb_exists in W as (i & B & W). apply in_below in B. apply andb_prop in W as [W H]. apply andb_prop in W as [A C].
    destruct (claim a i) eqn:CL; [discriminate|]. destruct (nothing_left u a i OB R B A CL) as (N & _).
    apply existsb_exists in H as ([c s] & I & H). destruct (N c) as [N1 N2]. destruct s; try discriminate; auto.
    apply N.eqb_eq in H. subst. auto.
  - destruct (cur (top a)) eqn:T; try discriminate. apply existsb_exists in W as ([c s] & I & W). destruct s; try discriminate.
    now destruct (table_is_free u a c OB R T).
Qed.
