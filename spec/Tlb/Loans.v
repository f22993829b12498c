(** * Pages that are lent more than once

    The host may lend a page to one VM at several addresses. The page's word counts, and the VM has no more leaves of it
    than that ([counted]). Each loan ends on its own, and the page is the VM's to reach until the last has: so what the end
    of one loan leaves behind, at its own address, the end of another does not take away, which flushes its own. Here each step
    of a loan beside another one, and of the end of one of two, is taken out, as runs. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Engine Invariant Runs Safety Counterexamples.
From Bulkhead.Tlb Require Import Proofs.Always.
Open Scope N_scope.

(** The leaves of a settled page that a VM has, of all its addresses, are no more than its word says. *)
Theorem counted u m v p s l :
  lawful u -> reachable u m -> words m p = Settled s -> phases m v <> Dead ->
  NoDup l -> (forall a, In a l -> now (cells m (Vm v) a) = Leaf p) -> N.of_nat (length l) <= times s v.
Proof.
  intros LW R W A ND IN. pose proof (i_fits _ _ (always u m LW R) v p A l ND IN) as F.
  unfold owner_now in F. now rewrite W in F.
Qed.

(** ** The stage: page 1 is lent to VM 0 at IPA page 5, and once more at 6 *)

Definition lend_as n a := [Do (Begin 0 (Job (Lend n) 1 0 a)); Finish 0].
Definition end_as n a := [Do (Begin 0 (Job (Unlend n) 1 0 a)); Finish 0].
Definition lent_twice := lend_as 0 5 ++ lend_as 1 6 ++ guest 1.
(** What follows the end of the loan at 5: that of the other one. *)
Definition the_last := end_as 0 6.
(** Or page 2 comes where page 1 was. *)
Definition instead := [Do (Begin 0 (Job (Lend 0) 2 0 5)); Steps 0 6].

Example a_page_is_lent_twice : page_is 1 HostOwned (Line None [42]) (play (whole_engine true) 60
  (lent_twice ++ walk2 1 (Vm 0) 5 1 ++ walkc 1 (Vm 0) 6 1 ++ end_as 1 5 ++ the_last) start).
Proof. vm_compute. auto. Qed.

(** ** One more loan

    0 Claim, 1 Take, 2 Clean, 3 Write, 4 ISHST, 5 Commit. *)

Definition is_more k := match k with Lend 1 => true | _ => false end.

(** Two cores lend it once more: each counts two, where there are three. *)
Theorem more_no_claim : attack (without false (Lend 1) is_more 0)
  (lend_as 0 5 ++ [Do (Begin 0 (Job (Lend 1) 1 0 6)); Do (Begin 1 (Job (Lend 1) 1 0 7)); Finish 0; Finish 1]
   ++ end_as 1 5 ++ the_last ++ guest 1 ++ walkc 1 (Vm 0) 7 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** It comes where page 2 is, which a core has in its TLB. *)
Theorem more_no_mark_taken : attack (without false (Lend 1) is_more 1)
  (lend_as 0 5 ++ [Do (Begin 0 (Job (Lend 0) 2 0 6)); Finish 0] ++ guest 1 ++ walk2 1 (Vm 0) 6 2 ++ lend_as 1 6) start TwoPages = true.
Proof. vm_compute. reflexivity. Qed.

Theorem more_not_published : attack (without false (Lend 1) is_more 4) (lend_as 0 5 ++ lend_as 1 6) start (Unpublished (Vm 0) 6) = true.
Proof. vm_compute. reflexivity. Qed.

Theorem more_no_commit : attack (without false (Lend 1) is_more 5) (lend_as 0 5 ++ lend_as 1 6) start (Held 1) = true.
Proof. vm_compute. reflexivity. Qed.

(** ** The end of one of two

    0 Claim, 1 Recheck, 2 Clear, 3 DSB, 4 Borrow, 5 TLBI by IPA, 6 DSB, 7 TLBI of combined entries, 8 DSB, 9 Return, 10 Free, 11 Commit. *)

Definition is_one_of_two k := match k with Unlend 1 => true | _ => false end.
Definition ends_without (n : nat) : setup := without false (Unlend 1) is_one_of_two n.

(** Meanwhile another core lends it a third time, of which the count that is written then does not know. *)
Theorem end_no_claim : attack (ends_without 0)
  (lend_as 0 5 ++ lend_as 1 6 ++ [Do (Begin 0 (Job (Unlend 1) 1 0 5)); Steps 0 3; Do (Begin 1 (Job (Lend 2) 1 0 7)); Finish 1; Finish 0]
   ++ the_last ++ guest 1 ++ walkc 1 (Vm 0) 7 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Two cores end the loan at 5, of three: the other two are counted as one. *)
Theorem end_no_recheck : attack (ends_without 1)
  (lend_as 0 5 ++ lend_as 1 6 ++ lend_as 2 7
   ++ [Do (Begin 0 (Job (Unlend 2) 1 0 5)); Do (Begin 1 (Job (Unlend 1) 1 0 5)); Finish 0; Finish 1]
   ++ the_last ++ guest 1 ++ walkc 1 (Vm 0) 7 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** The leaf goes when the entry is freed, which is after the flush. *)
Theorem end_no_clear : attack (ends_without 2)
  (lent_twice ++ [Do (Begin 0 (Job (Unlend 1) 1 0 5)); Steps 0 5; Deliver 1] ++ walk2 1 (Vm 0) 5 1 ++ [Finish 0] ++ the_last)
  start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** A walk finds the old leaf after the invalidation; the flush of the other loan is of another address. *)
Theorem end_no_dsb_before : attack (ends_without 3)
  (lent_twice ++ [Do (Begin 0 (Job (Unlend 1) 1 0 5)); Steps 0 5; Deliver 1] ++ walk2 1 (Vm 0) 5 1 ++ [Finish 0] ++ the_last)
  start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem end_no_borrow : attack (ends_without 4) (lent_twice ++ walk2 1 (Vm 0) 5 1 ++ end_as 1 5 ++ the_last) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem end_no_tlbi_by_ipa : attack (ends_without 5) (lent_twice ++ walk2 1 (Vm 0) 5 1 ++ end_as 1 5 ++ the_last) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** The flush of the last loan takes all combined entries. Before that they lead where the VM may go, but from an address
    at which another page is by now. *)
Theorem end_no_dsb_between : attack (ends_without 6)
  (lent_twice ++ walk2 1 (Vm 0) 5 1 ++ [Do (Begin 0 (Job (Unlend 1) 1 0 5)); Steps 0 7; Do (Act (Post 0 (Hardware.Combined (Vm 0)) 1));
     Do (Combine (Way 1 (Vm 0) 5 false 1 false)); Do (Fill (Way 1 (Vm 0) 5 true 1 true)); Finish 0] ++ instead) start TwoPages = true.
Proof. vm_compute. reflexivity. Qed.

Theorem end_no_tlbi_combined : attack (ends_without 7) (lent_twice ++ walkc 1 (Vm 0) 5 1 ++ end_as 1 5 ++ instead) start TwoPages = true.
Proof. vm_compute. reflexivity. Qed.

Theorem end_no_dsb_after : attack (ends_without 8)
  (lent_twice ++ walkc 1 (Vm 0) 5 1 ++ [Do (Begin 0 (Job (Unlend 1) 1 0 5)); Steps 0 6; Deliver 0; Deliver 1; Steps 0 6] ++ instead)
  start TwoPages = true.
Proof. vm_compute. reflexivity. Qed.

Theorem end_no_return : attack (ends_without 9) (lent_twice ++ end_as 1 5) start (Astray 0) = true.
Proof. vm_compute. reflexivity. Qed.

Theorem end_no_free : attack (ends_without 10) (lent_twice ++ end_as 1 5) start (Marked (Vm 0) 5) = true.
Proof. vm_compute. reflexivity. Qed.

Theorem end_no_commit : attack (ends_without 11) (lent_twice ++ end_as 1 5) start (Held 1) = true.
Proof. vm_compute. reflexivity. Qed.
