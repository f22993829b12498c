(** * What a message says of the step

    [channel] is a function; here is, for each message, which event it came from and what the step did. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step Seen Channel HostSide.
From Bulkhead Require Import Calls.Pages Calls.Life Calls.Vcpus Guest.Run Guest.Acts.
From Bulkhead Require Import Invariants Proofs.Moves Proofs.HostCalls Proofs.Reachable.
Open Scope N_scope.

Inductive passing (v : N) (s : state) (w : weather) (e : event) : message -> Prop :=
| passing_act c i g :
    e = ByGuest c g -> at_ (cores s c) = InGuest i -> of_vm (vcpus s i) = v ->
    fst (step s w e) = fst (guest_act s w c g) ->
    passing v s w e (Acts i g (luck w 0 AtEntry) (luck w 0 AtPage) (luck w 0 AtHost) (said w))
| passing_turn c i q :
    e = ByEngine c (Pick i) -> of_vm (vcpus s i) = v -> place (vcpus s i) = Queued q ->
    fst (step s w e) = put_mode (put_vcpu s i (set_place (settle (vcpus s i)) (RunningOn c))) c (InGuest i) ->
    passing v s w e (Enters i)
| passing_call c x0 a k l m :
    e = ByHost c (HostHvc 0 x0 a) -> call_of x0 = Some k ->
    host_call k s w c a = (fst (step s w e), Ok l) ->
    by_call v s w k a (fst (step s w e)) = Some m -> passing v s w e m
| passing_store c p i x :
    e = ByHost c (HostStore p i x) -> host_may (st (pages s p)) = true -> names (st (pages s p)) v = true ->
    fst (step s w e) = put_page s p (set_holds (pages s p) (set_word i x (holds (pages s p)))) ->
    passing v s w e (Wrote (leads s v p) i x)
| passing_fault p :
    e = ByChance (MemoryError p) -> names (st (pages s p)) v = true ->
    fst (step s w e) = put_page s p (set_broken (pages s p)) ->
    passing v s w e (Broke (leads s v p)).

Theorem channel_passing v s w e m :
  invariant s -> channel v s w e = Some m -> passing v s w e m.
Proof.
  intros I C. unfold channel in C. destruct (machine_off s) eqn:Off; [discriminate|].
  destruct e as [c h|c t|c g|h].
  - destruct h as [imm x0 a| | |p i x]; try discriminate.
    + destruct (runs_host s c) eqn:H; [|discriminate]. simpl in C.
      destruct (N.eqb_spec imm 0) as [->|]; [|discriminate].
      destruct (call_of x0) as [k|] eqn:K; [|discriminate].
      destruct (host_call k s w c a) as [s' [l|e]] eqn:E; [|discriminate].
      assert (S : fst (step s w (ByHost c (HostHvc 0 x0 a))) = s').
      { unfold step. rewrite Off, H. unfold host_does, host_hvc. now rewrite N.eqb_refl, K, E. }
      eapply passing_call; rewrite ?S; eauto.
    + destruct (runs_host s c) eqn:H; [|discriminate]. simpl in C.
      destruct (host_may (st (pages s p))) eqn:May; [|discriminate]. simpl in C.
      destruct (negb (broken (pages s p))) eqn:B; [|discriminate]. simpl in C.
      destruct (names (st (pages s p)) v) eqn:N; [|discriminate]. injection C as <-.
      eapply passing_store; eauto. unfold step. rewrite Off, H. unfold host_does, host_store. now rewrite May, B.
  - destruct t as [i|i| | |]; try discriminate.
    destruct (at_ (cores s c)) eqn:A; try discriminate.
    unfold step in C. rewrite Off in C.
    destruct (c <? cores_n (cfg s)) eqn:Bound; [|simpl in C; rewrite A in C; discriminate].
    unfold take_turn in C. rewrite A in C. unfold pick in C.
    destruct (place (vcpus s i)) as [| | | |q|] eqn:P; try (simpl in C; rewrite A in C; discriminate).
    destruct ((q =? c) && (i <? vcpus_n (cfg s))) eqn:Q; [|simpl in C; rewrite A in C; discriminate].
    destruct (phase (vms s (of_vm (vcpus s i)))) as [[]|] eqn:Ph; try (simpl in C; rewrite A in C; discriminate).
    simpl in C. unfold upd in C. rewrite N.eqb_refl in C. simpl in C.
    destruct (N.eqb_spec (of_vm (vcpus s i)) v) as [O|]; [|discriminate]. injection C as <-.
    eapply passing_turn; eauto.
    unfold step. rewrite Off, Bound. unfold take_turn. rewrite A. unfold pick. now rewrite P, Q, Ph.
  - destruct (at_ (cores s c)) as [| |i|] eqn:A; try discriminate.
    destruct (N.eqb_spec (of_vm (vcpus s i)) v) as [O|]; [|discriminate]. injection C as <-.
    eapply passing_act; eauto. unfold step. rewrite Off.
    pose proof (core_ok _ (inv_running _ I) _ _ A) as B. apply N.ltb_lt in B. now rewrite B.
  - destruct h as [p| | | | |]; try discriminate.
    destruct (names (st (pages s p)) v) eqn:N; [|discriminate]. injection C as <-.
    eapply passing_fault; eauto. unfold step. rewrite Off. reflexivity.
Qed.
