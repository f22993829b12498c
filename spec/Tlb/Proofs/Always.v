(** * The bookkeeping holds at every moment *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
From Bulkhead.Tlb Require Import Proofs.Ways Proofs.Events Proofs.Frame Proofs.Own Proofs.Steps Proofs.Entries Proofs.Turns Proofs.Lives Proofs.EndOfVm.
Open Scope N_scope.

(** A step that may fail gives up where nothing has been changed. *)
Lemma fails_untouched u m c t i :
  takes u m c t i -> effect u m c (doing t) i = None -> untouched (known t) = true.
Proof.
  intros S E. destruct (t_rules S) as [A _].
  destruct i; simpl in E; try discriminate; simpl in A;
    repeat match goal with H : _ && _ = true |- _ => apply andb_prop in H as [? ?] end; auto; try (destruct x; discriminate).
Qed.

Lemma run_keeps u m c m' : invariant u m -> step u m (Run c) = Some m' -> invariant u m'.
Proof.
  intros I. simpl. unfold run. destruct (threads m c) as [t|] eqn:T; [|discriminate].
  destruct (rest t) as [|i l] eqn:R.
  - injection 1 as <-. eapply end_keeps; eauto.
  - destruct (must_wait u m c (doing t) i) eqn:MW; [discriminate|]. injection 1 as <-.
    assert (S : takes u m c t i) by (constructor; eauto).
    destruct (effect u m c (doing t) i) as [m1|] eqn:E.
    2:{ apply give_up_keeps; auto. eapply fails_untouched; eauto. }
    change (set_threads m1 (advance u m c i)) with (going_on u m m1 c i).
    pose proof (fun m1 => going_alone u m m1 c t i S) as ALONE.
    destruct i; simpl in E.
    + destruct (words m (page (doing t))) as [s|] eqn:W; [|discriminate].
      destruct (page_state_dec s (from_ (kind_of (doing t)) (vm_of (doing t)))); [|discriminate].
      injection E as <-. subst s. apply ALONE; auto; now apply claim_keeps.
    + destruct (entry_dec _ _); [|discriminate]. injection E as <-. now apply recheck_keeps with (t := t).
    + destruct (entry_dec _ _); [|discriminate]. injection E as <-. now apply take_keeps with (t := t).
    + destruct (entry_dec _ _) as [X|X]; destruct b; try discriminate; injection E as <-.
      * now apply mapped_keeps with (t := t).
      * now apply unmapped_keeps with (t := t).
    + destruct (phases m (vm_of (doing t))) eqn:P; try discriminate. injection E as <-. now apply gone_seen_keeps with (t := t).
    + destruct x; injection E as <-; [now apply clear_host_keeps with (t := t)|now apply clear_vm_keeps with (t := t)].
    + injection E as <-. now apply dsb_keeps with (t := t).
    + injection E as <-. now apply ishst_keeps with (t := t).
    + injection E as <-. now apply borrow_keeps with (t := t).
    + injection E as <-. now apply tlbi_page_keeps with (t := t).
    + injection E as <-. now apply tlbi_combined_keeps with (t := t).
    + injection E as <-. now apply tlbi_whole_keeps with (t := t).
    + injection E as <-. now apply return_keeps with (t := t).
    + injection E as <-. now apply zero_keeps with (t := t).
    + injection E as <-. now apply clean_keeps with (t := t).
    + injection E as <-. apply ALONE; auto; now apply write_keeps.
    + injection E as <-. now apply free_keeps with (t := t).
    + injection E as <-. apply ALONE; auto; now apply commit_keeps.
    + destruct (phases m (vm_of (doing t))) eqn:P; try discriminate.
      destruct (none_runs _ _ _) eqn:N1; try discriminate. destruct (no_call _ _ _ _) eqn:N2; try discriminate.
      injection E as <-. apply ALONE; auto; now apply nobody_keeps.
    + injection E as <-. apply ALONE; auto; now apply gone_keeps.
Qed.

Lemma step_keeps u m e m' : lawful u -> invariant u m -> step u m e = Some m' -> invariant u m'.
Proof.
  intros LW I S. destruct e.
  - eapply walk_keeps; eauto.
  - eapply fill_keeps; eauto.
  - eapply combine_keeps; eauto.
  - eapply forget_keeps; eauto.
  - eapply access_keeps; eauto.
  - eapply land_keeps; eauto.
  - eapply act_keeps; eauto.
  - eapply evict_keeps; eauto.
  - eapply enter_keeps; eauto.
  - eapply exit_keeps; eauto.
  - eapply destroy_keeps; eauto.
  - eapply create_keeps; eauto.
  - eapply begin_keeps; eauto.
  - eapply run_keeps; eauto.
Qed.

Lemma initial_invariant u m : initial m -> invariant u m.
Proof.
  intros H. destruct (at_rest _ H) as (W & F & P & T).
  assert (NL : forall v a p, now (cells m (Vm v) a) <> Leaf p).
  { intros v a p. rewrite (tables_empty _ H). discriminate. }
  constructor; try (rewrite ?W, ?F; simpl; tauto).
  - intros c t X. rewrite T in X. discriminate.
  - intros p s c X. destruct (none_claimed _ H p). congruence.
  - intros [|v] a p _ E; [|now apply NL in E].
    destruct (host_tables _ H a) as (_ & [X|(s & X & Y & Z)]); [congruence|].
    assert (a = p) by congruence. subst a. split; auto. unfold owner_now. now rewrite Y.
  - intros v p _ l _ IN. destruct l as [|a l]; [simpl; apply N.le_0_l|]. specialize (IN a (or_introl eq_refl)). now apply NL in IN.
  - intros [|v] a p _ E Q.
    + destruct (host_tables _ H a) as (X & _). rewrite X in E. contradiction.
    + rewrite (tables_empty _ H) in E. contradiction.
  - intros [|v] a p E; [left; apply (host_tables _ H a)|now apply NL in E].
  - intros c v E. rewrite (in_host _ H) in E. discriminate.
  - intros c L. apply (in_host _ H).
Qed.

Theorem always u m : lawful u -> reachable u m -> invariant u m.
Proof.
  intros LW R. induction R; [now apply initial_invariant|eapply step_keeps; eauto].
Qed.
