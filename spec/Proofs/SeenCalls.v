(** * The same message, to states that look the same: they look the same again

    For each message that is not the VM's own act: what the step that it came from did ([did]), and that two such steps
    lead to states that look the same. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step Seen Channel HostSide.
From Bulkhead Require Import Calls.Pages Calls.Memory Calls.Life Calls.Vcpus Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls Proofs.RunningMoves.
From Bulkhead Require Import Proofs.EndOfVm Proofs.HostCalls Proofs.OtherChanges Proofs.LeafChanges.
From Bulkhead Require Import Proofs.Config Proofs.Reachable Proofs.SeenVcpus Proofs.Unseen Proofs.SeenMemory
  Proofs.Passing.
Open Scope N_scope.

(** ** What a call did of which this is the message *)

Definition did_call (v : N) (s s' : state) (m : message) : Prop :=
  match m with
  | Created p => s' = put_vm s v (new_vm (vms s v) p)
  | NewVcpu i id entry arg =>
      s' = put_vcpu (put_vm s v (set_members (vms s v) (members (vms s v) ++ [i]))) i
             (new_vcpu (vcpus s i) v id entry arg match members (vms s v) with [] => Parked | _ => Off end)
  | TurnedOn i =>
      of_vm (vcpus s i) = v /\ place (vcpus s i) = OnPending
      /\ exists q, s' = put_vcpu s i (set_place (vcpus s i) (Queued q))
  | Responded i raw values =>
      of_vm (vcpus s i) = v /\ place (vcpus s i) <> Absent
      /\ exists o a u q, find (fun o => Outcome_raw o =? raw) all_Outcome = Some o
           /\ values = [x2 a; x3 a; x4 a; x5 a]
           /\ complete (vcpus s i) o a = Ok u /\ s' = put_vcpu s i (set_place u (Queued q))
  | Injected i intid raw p =>
      of_vm (vcpus s i) = v /\ place (vcpus s i) <> Absent
      /\ exists k, find (fun k => InjectKind_raw k =? raw) all_InjectKind = Some k
           /\ s' = put_vcpu s i (set_irqs (vcpus s i)
                     (upd (irqs (vcpus s i)) intid (change_irq (irqs (vcpus s i) intid) k p)))
  | Memory _ _ | Acts _ _ _ _ _ _ | Enters _ | Wrote _ _ _ | Broke _ => True
  end.

Lemma if_some {A} (b : bool) (x y : A) : (if b then Some x else None) = Some y -> b = true /\ x = y.
Proof. destruct b; [|discriminate]. injection 1 as ->. auto. Qed.

Lemma find_vcpu_there s h i : find_vcpu s h = Ok i -> place (vcpus s i) <> Absent.
Proof.
  unfold find_vcpu. intro H. steps H. injection H as <-.
  apply andb_prop in C as [C _]. apply andb_prop in C as [_ C]. unfold is_there in C.
  intro P. rewrite P in C. discriminate.
Qed.
Lemma vcpu_for_there s k h i : vcpu_for s k h = Ok i -> place (vcpus s i) <> Absent.
Proof. unfold vcpu_for. intro H. steps H. injection H as <-. eapply find_vcpu_there; eauto. Qed.

Lemma call_did k v s w c a s' l m :
  host_call k s w c a = (s', Ok l) -> by_call v s w k a s' = Some m -> did_call v s s' m.
Proof.
  intros C B. destruct k; simpl in B; try discriminate;
    try (apply if_some in B as [_ <-]; exact I); unfold host_call in C; apply or_refused_inv in C; steps C.
  - (* VM_CREATE *)
    apply some_ok in E0. rewrite E, E0 in B. apply if_some in B as [N <-]. apply N.eqb_eq in N. subst a1.
    injection C as <- _. reflexivity.
  - (* VCPU_CREATE *)
    apply vm_for_ok in E as (-> & _). apply some_ok in E0. rewrite E0 in B.
    apply if_some in B as [N <-]. apply N.eqb_eq in N. injection C as <- _. simpl. now rewrite N.
  - (* VCPU_ENQUEUE *)
    apply vcpu_for_ok in E0 as ->. destruct (place (vcpus s (slot_of (x1 a)))) eqn:P; try discriminate.
    apply if_some in B as [N <-]. apply N.eqb_eq in N. steps C. injection C as <- _. split; [exact N|]. split;
      [exact P|]. now exists a0.
  - (* VCPU_RESPOND *)
    pose proof (vcpu_for_there _ _ _ _ E0) as Th. apply vcpu_for_ok in E0 as ->. apply some_ok in E.
    apply if_some in B as [N <-]. apply N.eqb_eq in N.
    destruct (place (vcpus s (slot_of (x1 a)))) eqn:P; try discriminate; steps C; injection C as <- _;
      (split; [exact N|]; split; [congruence|]); repeat eexists; eauto.
  - (* VCPU_INJECT *)
    pose proof (vcpu_for_there _ _ _ _ E0) as Th. apply vcpu_for_ok in E0 as ->. apply some_ok in E.
    apply if_some in B as [N <-]. apply N.eqb_eq in N. injection C as <- _. simpl. eauto.
Qed.

(** ** Twice the same *)

Section Same.
  Variables (v : N) (s t : state).
  Hypothesis Is : invariant s.
  Hypothesis It : invariant t.
  Hypothesis L : looks_same v s t.

  Lemma is_member r i : invariant r -> place (vcpus r i) <> Absent -> of_vm (vcpus r i) = v ->
    In i (members (vms r v)).
  Proof. intros I P <-. now apply (member_ok _ (inv_running _ I)). Qed.

  Lemma same_turn i c d q :
    of_vm (vcpus s i) = v -> place (vcpus s i) = Queued q ->
    looks_same v (put_mode (put_vcpu s i (set_place (settle (vcpus s i)) (RunningOn c))) c (InGuest i))
                 (put_mode (put_vcpu t i (set_place (settle (vcpus t i)) (RunningOn d))) d (InGuest i)).
  Proof.
    intros O P. apply looks_mode, looks_vcpu; [exact L|]. apply seen_place; [|reflexivity].
    apply seen_settle, (ls_vcpus _ _ _ L). apply is_member; auto. congruence.
  Qed.

  Lemma same_complete u u' o a b y y' :
    same_vcpu u u' -> complete u o a = Ok y -> complete u' o b = Ok y' ->
    [x2 a; x3 a; x4 a; x5 a] = [x2 b; x3 b; x4 b; x5 b] -> same_vcpu y y'.
  Proof.
    intros U C D E. injection E as E2 E3 E4 E5. unfold complete in C, D.
    rewrite (sv_waits _ _ U), <- E2, <- E3, <- E4, <- E5 in D.
    destruct (waits_for u), o; try discriminate; simpl in C, D; injection C as <-; injection D as <-;
      apply seen_waits;
      first [now apply seen_first4|now apply seen_next, seen_upd|now apply seen_next|now apply seen_exception].
  Qed.

  Theorem same_did m s' t' :
    did_call v s s' m -> did_call v t t' m ->
    match m with Created _ | NewVcpu _ _ _ _ | TurnedOn _ | Responded _ _ _ | Injected _ _ _ _ => True | _ => False
    end ->
    looks_same v s' t'.
  Proof.
    intros S T K. destruct m; try contradiction; simpl in S, T.
    - (* VM_CREATE *)
      subst. split.
      + apply (ls_cfg _ _ _ L).
      + simpl. unfold upd. rewrite N.eqb_refl. split; reflexivity.
      + intros i H. simpl in H. unfold upd in H. rewrite N.eqb_refl in H. contradiction.
      + intro i. unfold spot_at, leaf_at. simpl. unfold upd. now rewrite N.eqb_refl.
      + intros i h. unfold same_page, leaf_at. simpl. unfold upd. now rewrite N.eqb_refl.
    - (* VCPU_CREATE *)
      subst. rewrite (same_members v s t L). destruct L as [A [] C D E]. split.
      + exact A.
      + simpl. unfold upd. rewrite N.eqb_refl. split; auto.
      + intros j H. simpl in H. unfold upd in H. rewrite N.eqb_refl in H. simpl in H.
        rewrite !vcpus_put. destruct (N.eqb_spec j i) as [->|Ne]; [split; reflexivity|].
        apply C. apply in_app_or in H as [H|[H|[]]]; [exact H|congruence].
      + intro j. specialize (D j). unfold spot_at, spot_of, leaf_at in *. simpl. unfold upd.
        rewrite N.eqb_refl. exact D.
      + intros j h. specialize (E j h). unfold same_page, leads, leaf_at in *. simpl. unfold upd.
        rewrite N.eqb_refl. exact E.
    - destruct S as (O & P & q & ->), T as (_ & _ & q' & ->). apply looks_vcpu; [exact L|].
      apply seen_place; [|reflexivity]. apply (ls_vcpus _ _ _ L), is_member; auto. congruence.
    - destruct S as (O & P & o & a & u & q & F & V & C & ->), T as (_ & _ & o' & a' & u' & q' & F' & V' & C' & ->).
      assert (o' = o) as -> by congruence. apply looks_vcpu; [exact L|]. apply seen_place; [|reflexivity].
      eapply same_complete; [|exact C|exact C'|congruence]. apply (ls_vcpus _ _ _ L), is_member; auto.
    - destruct S as (O & P & k & F & ->), T as (_ & _ & k' & F' & ->).
      assert (k' = k) as -> by congruence. apply looks_vcpu; [exact L|].
      apply (seen_irq _ _ (ls_vcpus _ _ _ L i (is_member s i Is P O)) intid (fun q => change_irq q k priority)).
  Qed.
End Same.

(** ** Memory *)

Section Memory.
  Variables (v : N) (s t : state) (w w' : weather) (c d x0 y0 : N) (a b : args) (k j : call) (l r : list N).
  Hypothesis Is : invariant s.
  Hypothesis It : invariant t.
  Hypothesis L : looks_same v s t.
  Let s' := fst (step s w (ByHost c (HostHvc 0 x0 a))).
  Let t' := fst (step t w' (ByHost d (HostHvc 0 y0 b))).
  Hypothesis Ks : call_of x0 = Some k.
  Hypothesis Kt : call_of y0 = Some j.
  Hypothesis Cs : host_call k s w c a = (s', Ok l).
  Hypothesis Ct : host_call j t w' d b = (t', Ok r).
  Hypothesis Ns : slot_of (x1 a) = v.
  Hypothesis Nt : slot_of (x1 b) = v.
  Hypothesis Ms : In k memory_calls.
  Hypothesis Mt : In j memory_calls.
  Hypothesis Fates : forall i, same_fate (fate_of s s' v i) (fate_of t t' v i).
  Hypothesis Lives : is_live (vms t' v) = is_live (vms s' v).

  Theorem same_memory : looks_same v s' t'.
  Proof.
    destruct (slot_after v s w c x0 a k l Is Ks Ms Ns Cs) as (Sh & Mem & Vc). fold s' in Sh, Mem, Vc.
    destruct (slot_after v t w' d y0 b j r It Kt Mt Nt Ct) as (Sh' & Mem' & Vc'). fold t' in Sh', Mem', Vc'.
    pose proof (same_members v s t L) as Sm.
    assert (Members : members (vms t' v) = members (vms s' v)) by (rewrite Mem, Mem', Lives, Sm; reflexivity).
    split.
    - unfold s', t'. rewrite !step_cfg by assumption. apply (ls_cfg _ _ _ L).
    - destruct (ls_shape _ _ _ L), Sh, Sh'. split; simpl in *; congruence.
    - intros i H. rewrite Vc, Vc' by congruence. apply (ls_vcpus _ _ _ L).
      rewrite Mem in H. destruct (is_live (vms s' v)); [exact H|contradiction].
    - intro i. unfold s', t'. rewrite (spot_after v s w c x0 a k l), (spot_after v t w' d y0 b j r) by assumption.
      fold s' t'. rewrite (ls_memory _ _ _ L). symmetry. apply fate_after, Fates.
    - intros i h. unfold s', t'.
      rewrite (alias_after_call v s w c x0 a), (alias_after_call v t w' d y0 b) by assumption.
      fold s' t'. rewrite (ls_alias _ _ _ L). symmetry. now apply fate_alias.
  Qed.
End Memory.
