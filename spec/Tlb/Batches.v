(** * Batches: one flush for many pages, and where it leads if it is not for all

    A call about several pages has a hand for each. Here Coq plays calls of two and three pages, the engine's and such
    as the engine's without one step, or with a step of one of its pages elsewhere. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Engine Invariant Runs Safety Counterexamples.
Open Scope N_scope.

(** Hands 0 and 2 give pages 1 and 2 to VM 0, at IPA pages 5 and 6. *)
Definition map_2 := Job (Map There) 2 0 6.
Definition begin_both := [Do (Begin 0 map_1); Do (Begin 2 map_2)].
Definition give_both := begin_both ++ [Finish 0].

Definition pages_are (l : list (N * page_state)) (o : option machine) : Prop :=
  match o with
  | Some m => Forall (fun x => words m (fst x) = Settled (snd x)) l /\ ways m = [] /\ posts m = [] /\ is_idle (whole_engine false) m 0 = true
  | None => False
  end.

(** Both pages go, and what a core had of them. *)
Example a_batch_works : pages_are [(1, VmOwned 0); (2, VmOwned 0)] (play (whole_engine true) 60
  (walk2 1 Host 1 1 ++ walkc 1 Host 1 1 ++ walk2 1 Host 2 2 ++ walkc 1 Host 2 2 ++ give_both) start).
Proof. vm_compute. auto. Qed.

(** By one flush: an invalidation by IPA for each page, one of combined entries, on its way to each of two cores. *)
Example one_flush :
  match play (whole_engine false) 60 (begin_both ++ [Steps 0 4; Steps 2 4; Steps 0 1; Steps 0 1; Steps 2 1]) start with
  | Some m => map op (posts m) = [ByIpa Host 2; ByIpa Host 2; ByIpa Host 1; ByIpa Host 1]
  | None => False
  end
  /\ match play (whole_engine false) 60 (begin_both ++ [Steps 0 4; Steps 2 4; Steps 0 1; Steps 0 1; Steps 2 1; Deliver 0; Deliver 1; Steps 2 2]) start with
     | Some m => map op (posts m) = [Hardware.Combined Host; Hardware.Combined Host]
                 /\ map (fun h => match threads m h with Some t => level_at (known t) OfHost | None => Mapped end) [0; 2] = [PostedAll; PostedAll]
     | None => False
     end.
Proof. vm_compute. auto. Qed.

(** A page that the host has not mapped goes along; one that is taken meanwhile is left out, and the others go. *)
Example a_page_beside : pages_are [(1, VmOwned 0); (2, VmOwned 0)] (play (whole_engine false) 60
  (give_1 ++ guest 1 ++ [Do (Begin 1 relinquish_1); Finish 1; Do (Begin 0 (Job (Map AbsentBeside) 1 0 5)); Do (Begin 2 map_2); Finish 0]) start).
Proof. vm_compute. auto. Qed.
Example one_is_left_out : pages_are [(1, VmOwned 1); (2, VmOwned 0)] (play (whole_engine false) 60
  ([Do (Begin 0 map_1); Do (Begin 2 map_2); Do (Begin 1 (Job (Map There) 1 1 5)); Steps 1 1; Finish 0; Finish 1]) start).
Proof. vm_compute. auto. Qed.

(** ** A page for which the flush was not *)

(** The engine, but for what VM_MAP does for all pages of a batch behind the first. *)
Definition behind_first (p : list instr) : setup :=
  set_up false (fun h k => if is_map k && negb (h <? 2) then p else program false false h k).
Definition the_flush := flush false false 0 (Map There) OfHost.
Definition part := flush_beside false false 0 (Map There) OfHost.

(** Only the first page is invalidated: of the second a stage-2 entry stays. *)
Theorem first_page_only : attack (behind_first ([Claim; Take; SeeMapped true; Clear OfHost] ++ part ++ [Clean; Write OfVm; Ishst; Commit]))
  (walk2 1 Host 2 2 ++ give_both) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** A page is claimed after the flush, and committed with the others. *)
Theorem claimed_after_the_flush : attack (behind_first (part ++ [Claim; Take; SeeMapped true; Clear OfHost; Clean; Write OfVm; Ishst; Commit]))
  (walk2 1 Host 2 2 ++ give_both) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** It is claimed before, but its leaf goes after the flush: a core walks in between. *)
Theorem cleared_after_the_flush : attack (behind_first ([Claim; Take; SeeMapped true] ++ the_flush ++ [Clear OfHost; Clean; Write OfVm; Ishst; Commit]))
  (begin_both ++ [Steps 0 4; Steps 2 4; Steps 2 1; Steps 0 1; Deliver 0; Deliver 1; Steps 0 2; Deliver 0; Deliver 1; Steps 0 1]
   ++ walkc 1 Host 2 2 ++ [Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Its leaf goes between the first barrier and the invalidations: a walker does not see that yet. *)
Theorem cleared_after_the_barrier : attack (behind_first ([Claim; Take; SeeMapped true; Dsb; Clear OfHost; TlbiPage OfHost; Dsb; TlbiCombined; Dsb;
    Clean; Write OfVm; Ishst; Commit]))
  (begin_both ++ [Steps 0 4; Steps 2 3; Steps 0 1; Steps 2 1; Steps 0 1; Steps 2 1; Deliver 1] ++ walk2 1 Host 2 2 ++ [Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** It is committed with the leaf that it has, before the flush of all. *)
Theorem committed_before_the_flush : attack (behind_first ([Claim; Take; SeeMapped true; Clear OfHost; Clean; Write OfVm; Commit] ++ the_flush ++ [Ishst]))
  (walkc 1 Host 2 2 ++ begin_both ++ [Steps 2 7]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** One that is taken for unmapped, and is not. *)
Theorem not_looked_beside : attack (set_up false (fun h k => match k with
      | Map AbsentBeside => [Claim; Take] ++ part ++ [Clean; Write OfVm; Ishst; Commit]
      | _ => program false false h k end))
  ([Do (Begin 0 map_1); Do (Begin 2 (Job (Map AbsentBeside) 2 0 6)); Finish 0] ++ walkc 1 Host 2 2) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** ** Each step of the one flush, for a page behind the first *)

Definition all_without (n : nat) : setup := without false (Map There) is_map n.

Theorem batch_no_dsb_before : attack (all_without 4)
  (begin_both ++ [Steps 0 4; Steps 2 4; Steps 0 1; Steps 2 1; Deliver 1] ++ walk2 1 Host 2 2 ++ [Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem batch_no_tlbi_by_ipa : attack (all_without 5) (walk2 1 Host 2 2 ++ give_both) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem batch_no_dsb_between : attack (all_without 6)
  (walk2 1 Host 2 2 ++ begin_both ++ [Steps 0 4; Steps 2 4; Steps 0 1; Steps 0 1; Steps 2 1; Steps 0 1; Do (Act (Post 0 (Hardware.Combined Host) 1));
     Do (Combine (Way 1 Host 2 false 2 false)); Do (Fill (Way 1 Host 2 true 2 true)); Finish 0]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem batch_no_tlbi_combined : attack (all_without 7) (walkc 1 Host 2 2 ++ give_both) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

Theorem batch_no_dsb_after : attack (all_without 8)
  (walkc 1 Host 2 2 ++ begin_both ++ [Steps 0 4; Steps 2 4; Steps 0 1; Steps 0 1; Steps 2 1; Deliver 0; Deliver 1; Steps 0 2;
     Steps 2 2; Steps 0 2; Steps 2 1; Steps 2 1]) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** ** VM_UNLEND and ENGINE_DONATE of two pages *)

Definition lend_both := [Do (Begin 0 (Job (Lend 0) 1 0 5)); Do (Begin 2 (Job (Lend 0) 2 0 6)); Finish 0].
Definition unlend_both := [Do (Begin 0 unlend_1); Do (Begin 2 (Job (Unlend 0) 2 0 6)); Finish 0].

Example unlent : pages_are [(1, HostOwned); (2, HostOwned)] (play (whole_engine false) 60
  (lend_both ++ guest 1 ++ walkc 1 (Vm 0) 6 2 ++ walk2 1 (Vm 0) 5 1 ++ unlend_both) start).
Proof. vm_compute. auto. Qed.

Theorem unlend_first_page_only : attack (set_up false (fun h k =>
    if is_unlend k && negb (h <? 2) then [Claim; Recheck; Clear OfVm] ++ flush_beside false false h k OfVm ++ [Free; Commit]
    else program false false h k))
  (lend_both ++ guest 1 ++ walk2 1 (Vm 0) 6 2 ++ unlend_both) start Stale = true.
Proof. vm_compute. reflexivity. Qed.

(** Zeroed before the flush: a store of the host's lands behind the zeroes in what is to be a table. *)
Definition is_to_engine k := match k with ToEngine There => true | _ => false end.
Definition donate p := Job (ToEngine There) p 0 0.
Theorem zeroed_before_the_flush : attack (set_up false (fun h k =>
    if is_to_engine k && negb (h <? 2) then [Claim; SeeMapped true; Clear OfHost; Zero; Clean] ++ the_flush ++ [Commit]
    else program false false h k))
  (walkc 1 Host 2 2 ++ [Do (Begin 0 (donate 1)); Do (Begin 2 (donate 2)); Steps 2 5] ++ store 1 Host 2 2 (Store 0 666)
   ++ [Steps 0 3; Steps 0 1; Steps 0 1; Steps 2 1; Deliver 0; Deliver 1; Steps 0 2; Deliver 0; Deliver 1; Steps 0 1]) start (Unscrubbed 2) = true.
Proof. vm_compute. reflexivity. Qed.

(** No such setup keeps the rules: [attacked_is_unlawful]. *)
