(** * Pages with a memory error

    Such a page ends as [Poisoned], by PAGE_POISON or by the call that finds the error when it zeroes it, and nobody
    has it any more: [poisoned_is_nobodys]. Nobody new gets it: [poisoned_stays]. Which page has an error is any: a call that
    may find one is two programs. Then each step that PAGE_POISON and these calls have for that taken out, as runs. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Engine Invariant Runs Safety Refinement Counterexamples.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Steps Proofs.Lives Proofs.Always.
Open Scope N_scope.

(** No TLB entry, walk, access under way or entry that walkers may find, of host or VM, leads to it. *)
Theorem poisoned_is_nobodys u m d p :
  lawful u -> reachable u m -> words m p = Settled Poisoned -> ~ leads m d p.
Proof. intros LW R W L. pose proof (I5 u m d p _ LW R W L) as H. destruct d; discriminate. Qed.

(** And it stays so. *)
Lemma poisoned_step u m e m' p :
  lawful u -> reachable u m -> words m p = Settled Poisoned -> step u m e = Some m' -> words m' p = Settled Poisoned.
Proof.
  intros LW R W S. pose proof (always u m LW R) as I.
  destruct e; simpl in S; try (apply guard_some in S as [_ ->]; exact W); try (injection S as <-; exact W).
  - destruct (phases m _); try discriminate. now injection S as <-.
  - destruct (phases m _); try discriminate. apply guard_some in S as [_ ->]. exact W.
  - unfold run in S. destruct (threads m h) as [t|] eqn:T; [|discriminate].
    destruct (rest t) as [|i l] eqn:RT; [now injection S as <-|].
    destruct (must_wait u m h (doing t) i) eqn:MW; [discriminate|]. injection S as <-.
    assert (TK : takes u m h t i) by (constructor; eauto).
    destruct (effect u m h (doing t) i) as [m1|] eqn:E.
    + simpl. destruct i; simpl in E;
        try (injection E as <-; exact W); try (destruct x; injection E as <-; exact W);
        try (destruct (entry_dec _ _); [|discriminate]; injection E as <-; exact W);
        try (destruct (phases m _); try discriminate; try destruct (_ && _); try discriminate; injection E as <-; exact W).
      * destruct (words m (page (doing t))) as [s|] eqn:X; [|discriminate].
        destruct (page_state_dec _ _) as [Y|]; [|discriminate]. injection E as <-. simpl. unfold upd.
        destruct (N.eqb_spec p (page (doing t))) as [->|]; auto. rewrite W in X. injection X as X.
        exfalso. rewrite <- X in Y. symmetry in Y. now apply not_from_poisoned in Y.
      * destruct (Bool.eqb _ b); [|discriminate]. injection E as <-. exact W.
      * injection E as <-. simpl. unfold upd. destruct (N.eqb_spec p (page (doing t))) as [->|]; auto.
        exfalso. pose proof (proj1 (t_rules TK)) as A. simpl in A.
        repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end.
        pose proof (c_word _ _ _ _ (t_call TK)) as CW. rewrite CW in W; [discriminate|assumption].
    + rewrite roll_back_is. simpl. unfold given_back. destruct (words m (page (doing t))) as [s|s b] eqn:X; auto.
      destruct (b =? h); auto. unfold upd. destruct (N.eqb_spec p (page (doing t))) as [->|]; auto. congruence.
Qed.

Theorem poisoned_stays u m l m' p :
  lawful u -> reachable u m -> words m p = Settled Poisoned -> runs u m l m' -> words m' p = Settled Poisoned.
Proof.
  intros LW R W H. induction H as [|m e m1 l m2 S H IH]; auto. apply IH.
  - eapply by_step; eauto.
  - eapply poisoned_step; eauto.
Qed.

(** ** PAGE_POISON

    0 Claim, 1 SeeMapped, 2 Clear, 3 DSB, 4 TLBI by IPA, 5 DSB, 6 TLBI of combined entries, 7 DSB, 8 Commit. *)

Definition is_poison k := match k with Poison true => true | _ => false end.
Definition is_lazy_poison k := match k with Poison false => true | _ => false end.
Definition poison_1 := Job (Poison true) 1 0 0.
Definition poisons := [Do (Begin 0 poison_1); Finish 0].

Definition word_is (p : N) (s : page_state) (o : option machine) : Prop :=
  match o with Some m => words m p = Settled s /\ ways m = [] | None => False end.

Example a_page_is_poisoned : word_is 1 Poisoned (play (whole_engine true) 60 (walk2 1 Host 1 1 ++ walkc 1 Host 1 1 ++ poisons) start).
Proof. vm_compute. auto. Qed.

(** While the host gives the page to a VM: it is poisoned, and the VM has it. *)
Theorem poison_no_claim : attack (without false (Poison true) is_poison 0)
  ([Do (Begin 1 poison_1); Steps 1 1] ++ give_1 ++ [Finish 1] ++ guest 0 ++ walkc 0 (Vm 0) 5 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem poison_no_clear : attack (without false (Poison true) is_poison 2) (poisons ++ walkc 1 Host 1 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem poison_no_dsb_before : attack (without false (Poison true) is_poison 3)
  ([Do (Begin 0 poison_1); Steps 0 4; Deliver 1] ++ walk2 1 Host 1 1 ++ [Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem poison_no_tlbi_by_ipa : attack (without false (Poison true) is_poison 4) (walk2 1 Host 1 1 ++ poisons) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem poison_no_dsb_between : attack (without false (Poison true) is_poison 5)
  (walk2 1 Host 1 1 ++ [Do (Begin 0 poison_1); Steps 0 6; Do (Act (Post 0 (Hardware.Combined Host) 1));
     Do (Combine (Way 1 Host 1 false 1 false)); Do (Fill (Way 1 Host 1 true 1 true)); Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem poison_no_tlbi_combined : attack (without false (Poison true) is_poison 6) (walkc 1 Host 1 1 ++ poisons) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem poison_no_dsb_after : attack (without false (Poison true) is_poison 7)
  (walkc 1 Host 1 1 ++ [Do (Begin 0 poison_1); Steps 0 5; Deliver 0; Deliver 1; Steps 0 3]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem poison_no_commit : attack (without false (Poison true) is_poison 8) poisons start (Held 1) = true.
Proof. vm_compute. reflexivity. Qed.

(** A page is taken for one that the host has not mapped. *)
Theorem poison_not_looked : attack (without false (Poison false) is_lazy_poison 1)
  ([Do (Begin 0 (Job (Poison false) 1 0 0)); Finish 0] ++ walkc 1 Host 1 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** ** The error is found when the page is zeroed: a guest gives it back, and it is lost

    0 Claim, 1 Recheck, 2 Clear, 3 DSB, 4 TLBI by IPA, 5 DSB, 6 TLBI of combined entries, 7 DSB, 8 Free, 9 Zero, 10 Commit. *)

Definition lose_1 := Job (Lose OfRelinquish) 1 0 5.
Definition is_lose k := match k with Lose OfRelinquish => true | _ => false end.

Example a_page_is_lost : word_is 1 Poisoned (play (whole_engine true) 60
  (give_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1 ++ [Do (Begin 1 lose_1); Finish 1]) start).
Proof. vm_compute. auto. Qed.

(** Zeroed, and committed, before the flush. *)
Theorem lost_before_the_flush : attack (other false is_lose
    ([Claim; Recheck; Clear OfVm; Zero; Commit] ++ flush false false 0 Relinquish OfVm ++ [Free]))
  (give_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1 ++ [Do (Begin 1 lose_1); Steps 1 5]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** It is not committed: its word stays claimed, and whoever comes to it waits for good. *)
Theorem lost_no_commit : attack (without false (Lose OfRelinquish) is_lose 10)
  (give_1 ++ guest 1 ++ [Do (Begin 1 lose_1); Finish 1]) start (Held 1) = true.
Proof. vm_compute. reflexivity. Qed.
