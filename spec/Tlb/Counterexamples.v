(** * Each step taken out, and where that leads: the attacks as runs

    The engine without one step of one call, or with two in another order, and a run of the machine that ends
    where I5, or what goes with it, does not hold. Coq plays each run. So the rules of Known.v ask for nothing in vain.

    Two cores with three hands each; the erratum only where it is named. Page 1 is the host's, and holds 42. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Engine Invariant Runs Safety.
Open Scope N_scope.

(** ** The stage *)

(** Pages 0 to 9 are the host's, and mapped. All VMs are there, with no memory. *)
Definition start : machine := Machine
  (fun p => Settled (if p <? 10 then HostOwned else Reserved))
  (fun d a => match d with Host => Cell (if a <? 10 then Leaf a else Empty) [] 0 | Vm _ => Cell Empty [] 0 end)
  [] [] []
  (fun p => Line None (if p =? 1 then [42] else []))
  (fun _ => Host) (fun _ => Live) (fun _ => None).

Lemma start_initial : initial start.
Proof.
  constructor; simpl; auto; try discriminate.
  - intro p. eauto.
  - intro a. split; auto. destruct (a <? 10); eauto.
Qed.

(** Hands 0, 2 and 4 are core 0's, the odd ones core 1's. *)
Definition core_of_hand (h : N) : N := h mod 2.
Definition set_up (err : bool) (c : N -> kind -> list instr) : setup := Setup err 2 6 core_of_hand c.
Definition whole_engine (err : bool) : setup := set_up err (program err false).
(** The engine, but for one call, which is another program; or in which step [n] is missing. *)
Definition other (err : bool) (is_it : kind -> bool) (p : list instr) : setup :=
  set_up err (fun h k => if is_it k then p else program err false h k).
Definition without (err : bool) (k : kind) (is_it : kind -> bool) (n : nat) : setup :=
  other err is_it (firstn n (program err false 0 k) ++ skipn (S n) (program err false 0 k)).

Definition is_map k := match k with Map There => true | _ => false end.
Definition is_lazy k := match k with Map Absent => true | _ => false end.
Definition is_relinquish k := match k with Relinquish => true | _ => false end.
Definition is_unlend k := match k with Unlend _ => true | _ => false end.
Definition is_end_vm k := match k with EndVm => true | _ => false end.
Definition is_take k := match k with TakeOwn => true | _ => false end.
Definition is_touch k := match k with Touch Own => true | _ => false end.

(** What happens in many runs. *)
Definition map_1 := Job (Map There) 1 0 5.             (* page 1 to VM 0, at IPA page 5 *)
Definition relinquish_1 := Job Relinquish 1 0 5.
Definition unlend_1 := Job (Unlend 0) 1 0 5.
Definition give_1 := [Do (Begin 0 map_1); Finish 0].
Definition lend_1 := [Do (Begin 0 (Job (Lend 0) 1 0 5)); Finish 0].
Definition guest c := [Do (Enter c 0)].
(** Core [c] gets a stage-2 entry, or a combined one. *)
Definition walk2 c d a p := [Do (Walk c d a false p); Do (Fill (Way c d a false p true))].
Definition walkc c d a p := [Do (Walk c d a true p); Do (Fill (Way c d a true p true))].
(** It accesses a page by its combined entry: the access is translated, and made. *)
Definition access c d a p x := [Do (Access (Way c d a true p false) x)].
Definition landed c d a p x := Land (Flight c d a p x [] []).
Definition store c d a p x := access c d a p x ++ [Do (landed c d a p x)].

(** The whole engine: page 1 goes to VM 0, and comes home. *)
Definition page_is (p : N) (s : page_state) (l : line) (o : option machine) : Prop :=
  match o with Some m => words m p = Settled s /\ lines m p = l /\ ways m = [] | None => False end.

Example it_works : page_is 1 HostOwned (Line None []) (play (whole_engine true) 60
  (walk2 1 Host 1 1 ++ walkc 1 Host 1 1 ++ give_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1
   ++ [Do (Begin 1 relinquish_1); Finish 1]) start).
Proof. vm_compute. auto. Qed.

(** ** Giving a page to a VM (VM_MAP): the host's ways to it

    0 Claim, 1 Take, 2 SeeMapped, 3 Clear, 4 DSB, 5 TLBI by IPA, 6 DSB, 7 TLBI of combined entries, 8 DSB, with the
    erratum 9 TLBI, 10 DSB; then Clean, Write, ISHST, Commit. *)

(** Two cores give page 1 to two VMs. *)
Theorem no_claim : attack (without false (Map There) is_map 0)
  ([Do (Begin 0 map_1); Do (Begin 1 (Job (Map There) 1 1 5)); Steps 0 2; Steps 1 2; Finish 0; Finish 1]
   ++ guest 0 ++ walkc 0 (Vm 0) 5 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Two cores give VM 0 two pages at one address. The second leaf is written over the first, which a core has in its TLB. *)
Theorem no_mark_taken : attack (without false (Map There) is_map 1)
  (give_1 ++ guest 1 ++ walk2 1 (Vm 0) 5 1 ++ [Do (Begin 0 (Job (Map There) 2 0 5)); Finish 0]) start TwoPages = true.
Proof. vm_compute. reflexivity. Qed.

(** The host's leaf stays: it walks to the page that is the VM's. *)
Theorem no_clear : attack (without false (Map There) is_map 3) (give_1 ++ walkc 1 Host 1 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** A core acts on the invalidation, and then walks and finds the old leaf: the store that took it away is not seen yet. *)
Theorem no_dsb_before : attack (without false (Map There) is_map 4)
  ([Do (Begin 0 map_1); Steps 0 5; Deliver 1] ++ walk2 1 Host 1 1 ++ [Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** A stage-2 entry that was there before stays. *)
Theorem no_tlbi_by_ipa : attack (without false (Map There) is_map 5) (walk2 1 Host 1 1 ++ give_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Both invalidations are on their way. A core acts on that of combined entries first, and makes a new one of its
    stage-2 entry before that goes. *)
Theorem no_dsb_between : attack (without false (Map There) is_map 6)
  (walk2 1 Host 1 1 ++ [Do (Begin 0 map_1); Steps 0 7; Do (Act (Post 0 (Combined Host) 1));
     Do (Combine (Way 1 Host 1 false 1 false)); Do (Fill (Way 1 Host 1 true 1 true)); Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Invalidation by IPA leaves the combined entry. *)
Theorem no_tlbi_combined : attack (without false (Map There) is_map 7) (walkc 1 Host 1 1 ++ give_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** The page is committed while the invalidation is still on its way. *)
Definition to_combined := [Do (Begin 0 map_1); Steps 0 6; Deliver 0; Deliver 1].
Theorem no_dsb_after : attack (without false (Map There) is_map 8)
  (walkc 1 Host 1 1 ++ to_combined ++ [Steps 0 6]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** With the erratum: a store of the host's has been translated; the invalidation does not wait for it, and it can land
    when the page is the VM's. *)
Definition late_store := walkc 1 Host 1 1 ++ access 1 Host 1 1 (Store 0 666).
Theorem no_repetition : attack (other true is_map (program false false 0 (Map There))) (late_store ++ give_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_dsb_of_the_repetition : attack (without true (Map There) is_map 10)
  (late_store ++ to_combined ++ [Steps 0 2; Deliver 0; Deliver 1; Steps 0 6]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Without cleaning, the VM finds behind the caches what the host had there before. *)
Theorem no_clean_for_the_vm : attack (without false (Map There) is_map 9)
  (walkc 1 Host 1 1 ++ store 1 Host 1 1 (Store 0 43) ++ give_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1
   ++ access 1 (Vm 0) 5 1 (LoadBehind 0)) start (Tells (landed 1 (Vm 0) 5 1 (LoadBehind 0)) (Vm 0) 42) = true.
Proof. vm_compute. reflexivity. Qed.

(** The word says that the page is the VM's, and a core of the VM's may not find it. *)
Theorem no_ishst : attack (without false (Map There) is_map 11) give_1 start (Unpublished (Vm 0) 5) = true.
Proof. vm_compute. reflexivity. Qed.

(** The address can never be used. *)
Theorem no_leaf : attack (without false (Map There) is_map 10) give_1 start (Marked (Vm 0) 5) = true.
Proof. vm_compute. reflexivity. Qed.

(** The page is nobody's for ever. *)
Theorem no_commit : attack (without false (Map There) is_map 12) give_1 start (Held 1) = true.
Proof. vm_compute. reflexivity. Qed.

(** The lazy way, without a flush, taken although the host has a leaf. *)
Theorem not_looked : attack (without false (Map Absent) is_lazy 2)
  ([Do (Begin 0 (Job (Map Absent) 1 0 5)); Finish 0] ++ walkc 1 Host 1 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** In another order: the guest's leaf before the flush. Both sides reach the page at one time. *)
Theorem leaf_before_flush : attack (other false is_map
    ([Claim; Take; SeeMapped true; Clean; Write OfVm; Ishst; Clear OfHost] ++ flush false false 0 (Map There) OfHost ++ [Commit]))
  (walkc 1 Host 1 1 ++ [Do (Begin 0 map_1); Steps 0 5]) start TwoOwners = true.
Proof. vm_compute. reflexivity. Qed.

(** The commit before the flush. *)
Theorem commit_before_flush : attack (other false is_map
    ([Claim; Take; SeeMapped true; Clean; Write OfVm; Ishst; Clear OfHost; Commit] ++ flush false false 0 (Map There) OfHost))
  (walkc 1 Host 1 1 ++ [Do (Begin 0 map_1); Steps 0 8]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** ** A guest gives a page back (MEM_RELINQUISH)

    0 Claim, 1 Recheck, 2 Clear, 3 DSB, 4 TLBI by IPA, 5 DSB, 6 TLBI of combined entries, 7 DSB, 8 Free, 9 Zero, 10 Clean, 11 Commit. *)

(** A core of VM 0 reads at IPA page 5 that it is page 1. Before it claims that, another gives page 1 back, and the host
    gives it to VM 0 again, at IPA page 6. The first one then claims it, and takes away what is not there. *)
Definition moved_on := give_1 ++ guest 0 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Do (Begin 0 relinquish_1); Finish 0;
  Do (Exit 0); Do (Begin 0 (Job (Map Absent) 1 0 6)); Finish 0].
Theorem no_recheck : attack (without false Relinquish is_relinquish 1)
  (moved_on ++ [Finish 1] ++ guest 0 ++ walkc 0 (Vm 0) 6 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Without the claim both cores give it back, the second when it is another's: it makes the other's page the host's. *)
Theorem no_claim_of_the_guests : attack (without false Relinquish is_relinquish 0)
  (give_1 ++ guest 0 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Steps 1 1; Do (Begin 0 relinquish_1); Steps 0 1; Finish 0;
     Do (Exit 0); Do (Begin 0 (Job (Map Absent) 1 1 6)); Finish 0; Finish 1; Do (Enter 0 1)] ++ walkc 0 (Vm 1) 6 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** The leaf stays for so long that a core walks behind the flush. *)
Theorem no_clear_of_the_guests : attack (without false Relinquish is_relinquish 2)
  (give_1 ++ guest 0 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Steps 1 4; Deliver 0; Deliver 1; Steps 1 2; Deliver 0; Deliver 1; Steps 1 1]
   ++ walkc 0 (Vm 0) 5 1 ++ [Finish 1]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_dsb_before_of_the_guests : attack (without false Relinquish is_relinquish 3)
  (give_1 ++ guest 0 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Steps 1 4; Deliver 0] ++ walk2 0 (Vm 0) 5 1 ++ [Finish 1]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_tlbi_by_ipa_of_the_guests : attack (without false Relinquish is_relinquish 4)
  (give_1 ++ guest 0 ++ walk2 0 (Vm 0) 5 1 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Finish 1]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_tlbi_combined_of_the_guests : attack (without false Relinquish is_relinquish 6)
  (give_1 ++ guest 0 ++ walkc 0 (Vm 0) 5 1 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Finish 1]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_dsb_between_of_the_guests : attack (without false Relinquish is_relinquish 5)
  (give_1 ++ guest 0 ++ walk2 0 (Vm 0) 5 1 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Steps 1 6; Do (Act (Post 1 (Combined (Vm 0)) 0));
     Do (Combine (Way 0 (Vm 0) 5 false 1 false)); Do (Fill (Way 0 (Vm 0) 5 true 1 true)); Finish 1]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_dsb_after_of_the_guests : attack (without false Relinquish is_relinquish 7)
  (give_1 ++ guest 0 ++ walkc 0 (Vm 0) 5 1 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Steps 1 5; Deliver 0; Deliver 1; Steps 1 6]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_commit_of_the_guests : attack (without false Relinquish is_relinquish 11)
  (give_1 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Finish 1]) start (Held 1) = true.
Proof. vm_compute. reflexivity. Qed.

(** The address can never be used again. *)
Theorem mark_stays : attack (without false Relinquish is_relinquish 8)
  (give_1 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Finish 1]) start (Marked (Vm 0) 5) = true.
Proof. vm_compute. reflexivity. Qed.

(** The mark goes before the flush: the host puts another page at an address for which a core has the old one. *)
Theorem mark_goes_early : attack (other false is_relinquish
    ([Claim; Recheck; Clear OfVm; Free] ++ flush false false 0 Relinquish OfVm ++ [Zero; Clean; Commit]))
  (give_1 ++ [Do (Begin 0 (Job (Touch Own) 2 0 0)); Finish 0] ++ guest 1 ++ walk2 1 (Vm 0) 5 1
   ++ [Do (Begin 1 relinquish_1); Steps 1 4; Do (Begin 0 (Job (Map There) 2 0 5)); Finish 0]) start TwoPages = true.
Proof. vm_compute. reflexivity. Qed.

(** The host reads what the VM left there. *)
Definition with_secret := give_1 ++ guest 0 ++ walkc 0 (Vm 0) 5 1 ++ guest 1.
Definition secret := store 0 (Vm 0) 5 1 (Store 0 99).
Definition host_looks x := [Finish 1; Do (Exit 1); Do (Begin 1 (Job (Touch Own) 1 0 0)); Finish 1] ++ walkc 1 Host 1 1 ++ access 1 Host 1 1 x.

Theorem no_zero : attack (without false Relinquish is_relinquish 9)
  (with_secret ++ secret ++ [Do (Begin 1 relinquish_1)] ++ host_looks (Load 0)) start (Tells (landed 1 Host 1 1 (Load 0)) Host 99) = true.
Proof. vm_compute. reflexivity. Qed.

(** Zeroed in the caches alone: the host reads past them. *)
Theorem no_clean : attack (without false Relinquish is_relinquish 10)
  (with_secret ++ secret ++ [Do (Evict 1); Do (Begin 1 relinquish_1)] ++ host_looks (LoadBehind 0)) start
  (Tells (landed 1 Host 1 1 (LoadBehind 0)) Host 99) = true.
Proof. vm_compute. reflexivity. Qed.

(** Zeroed before the flush: a store of the VM's lands behind the zeroes. *)
Theorem zero_before_flush : attack (other false is_relinquish
    ([Claim; Recheck; Clear OfVm; Zero; Clean] ++ flush false false 0 Relinquish OfVm ++ [Free; Commit]))
  (with_secret ++ [Do (Begin 1 relinquish_1); Steps 1 5] ++ secret ++ host_looks (Load 0)) start
  (Tells (landed 1 Host 1 1 (Load 0)) Host 99) = true.
Proof. vm_compute. reflexivity. Qed.

(** ** The host takes a loan back (VM_UNLEND): the flush is of another's regime

    0 Claim, 1 Recheck, 2 Clear, 3 DSB, 4 Borrow, 5 TLBI by IPA, 6 DSB, 7 TLBI of combined entries, 8 DSB, 9 Return, 10 Free, 11 Commit. *)

(** The invalidations take their VMID from VTTBR, which is the host's. *)
Theorem no_borrow : attack (without false (Unlend 0) is_unlend 4)
  (lend_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1 ++ [Do (Begin 0 unlend_1); Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** The core goes on in the VM's regime: what it walks there is not the host's. *)
Theorem no_return : attack (without false (Unlend 0) is_unlend 9)
  (lend_1 ++ [Do (Begin 0 unlend_1); Finish 0]) start (Astray 0) = true.
Proof. vm_compute. reflexivity. Qed.

(** ** The end of a VM (VM_RECLAIM)

    0 NobodyInside, 1 DSB, 2 Borrow, 3 TLBI of all of the VM's, 4 DSB, 5 Return, 6 Gone; then for each page 0 Claim, 1 Recheck,
    2 SeeGone, 3 Zero, 4 Clean, 5 Commit. *)
Definition end_0 := [Do (Destroy 0); Do (Begin 0 (Job EndVm 0 0 0)); Finish 0].
Definition take_1 := [Do (Begin 0 (Job TakeOwn 1 0 5)); Finish 0].

Example a_vm_ends : page_is 1 HostOwned (Line None []) (play (whole_engine true) 60
  (give_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1 ++ [Do (Exit 1)] ++ end_0 ++ take_1 ++ [Do (Create 0)]) start).
Proof. vm_compute. auto. Qed.

(** A core is still inside, and walks again when the VM's entries are gone: its tables stay as they are. *)
Theorem not_waited : attack (without false EndVm is_end_vm 0)
  (give_1 ++ guest 1 ++ end_0 ++ walkc 1 (Vm 0) 5 1 ++ take_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Definition was_inside := give_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1 ++ [Do (Exit 1)].
Theorem no_borrow_for_the_vm : attack (without false EndVm is_end_vm 2) (was_inside ++ end_0 ++ take_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_tlbi_of_the_vm : attack (without false EndVm is_end_vm 3) (was_inside ++ end_0 ++ take_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_dsb_after_the_end : attack (without false EndVm is_end_vm 4)
  (was_inside ++ [Do (Destroy 0); Do (Begin 0 (Job EndVm 0 0 0)); Steps 0 7] ++ take_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem no_return_from_the_vm : attack (without false EndVm is_end_vm 5) (was_inside ++ end_0) start (Astray 0) = true.
Proof. vm_compute. reflexivity. Qed.

(** A page is taken from a VM that runs. *)
Theorem not_gone : attack (without false TakeOwn is_take 2)
  (give_1 ++ guest 1 ++ walkc 1 (Vm 0) 5 1 ++ take_1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** ** The host's fault on a page: without the claim it brings back one that is just being given away. *)
Theorem touch_no_claim : attack (without false (Touch Own) is_touch 0)
  (give_1 ++ [Do (Begin 1 (Job (Touch Own) 1 0 0)); Steps 1 3] ++ walkc 1 Host 1 1) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** ** The engine gives a page back (ENGINE_RECLAIM): page 1, which holds a translation table

    0 Claim, 1 Zero, 2 Clean, 3 Commit. *)

Definition with_a_table : machine := set_lines
  (put_cell (set_words start (upd (words start) 1 (Settled EngineOwned))) Host 1 (Cell Empty [] 0))
  (upd (lines start) 1 (Line (Some [7]) [7])).

Lemma with_a_table_initial : initial with_a_table.
Proof.
  constructor; simpl; auto; try discriminate.
  - intro p. unfold upd. destruct (p =? 1); eauto.
  - intro a. destruct (N.eqb_spec a 1) as [->|N]; simpl; [auto|]. split; auto.
    unfold upd. destruct (a <? 10) eqn:L; auto. right. exists HostOwned. destruct (N.eqb_spec a 1); [congruence|]. auto.
Qed.

Definition is_from_engine k := match k with FromEngine => true | _ => false end.
Definition back_1 := Job FromEngine 1 0 0.
Definition back_to_host := [Do (Begin 0 back_1); Finish 0].

Example the_engine_gives_a_page_back :
  page_is 1 HostOwned (Line None []) (play (whole_engine false) 60 back_to_host with_a_table).
Proof. vm_compute. auto. Qed.

(** Two cores take it from the pool. One has given it to the host, and the host to a VM, when the other one's call ends. *)
Theorem back_no_claim : attack (without false FromEngine is_from_engine 0)
  ([Do (Begin 1 back_1)] ++ back_to_host ++ [Do (Begin 0 (Job (Map Absent) 1 0 5)); Finish 0; Finish 1]
   ++ guest 0 ++ walkc 0 (Vm 0) 5 1) with_a_table Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem back_no_zero : attack (without false FromEngine is_from_engine 1) [Do (Begin 0 back_1); Steps 0 2] with_a_table (Unscrubbed 0) = true.
Proof. vm_compute. reflexivity. Qed.

Theorem back_no_clean : attack (without false FromEngine is_from_engine 2) [Do (Begin 0 back_1); Steps 0 2] with_a_table (Unscrubbed 0) = true.
Proof. vm_compute. reflexivity. Qed.

Theorem back_no_commit : attack (without false FromEngine is_from_engine 3) back_to_host with_a_table (Held 1) = true.
Proof. vm_compute. reflexivity. Qed.

(** ** No setup that is attacked keeps the rules *)

Theorem attacked_is_unlawful u l m : initial m -> attack u l m Stale = true -> ~ lawful u.
Proof.
  intros B A LW. destruct (attack_reaches u l m Stale B A) as (m' & R & W).
  destruct (stale_is_no_I5 u m' W) as (d & p & s & S & N & L).
  assert (X : may s d = true).
  { apply (I5 u m' d p s LW R S). destruct L as [(w & I & O & P)|(f & I & O & P)]; [eapply by_way|eapply by_flight]; eauto. }
  congruence.
Qed.
