(** * Noninterference towards a VM: it sees its own doing and what is passed to it, and nothing else

    By unwinding. _Local respect_: a step that passes nothing to VM [v] ([channel] says [None]), such as any act of
    another VM's, changes nothing that [v] sees. _Step consistency_: if [v] cannot tell two states apart, and the same
    message passes to it in both, by whatever events, it cannot tell apart the states after. So over whole runs: what [v]
    sees at the end depends on what it saw at first and on the messages, however the steps of all others lie between
    them, on whichever cores, in whichever weather. [what_is_passed] bounds the messages. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step Seen Channel HostSide.
From Bulkhead Require Import Calls.Pages Calls.Life Calls.Vcpus Guest.Run Guest.Acts.
From Bulkhead Require Import Invariants Changes Integrity Proofs.Moves Proofs.PageChanges Proofs.HostCalls.
From Bulkhead Require Import Proofs.LeafChanges Proofs.Reachable Proofs.SeenActs Proofs.Unseen Proofs.Passing.
From Bulkhead Require Import Proofs.SeenMemory Proofs.SeenCalls Ranges.
Open Scope N_scope.

(** ** Local respect *)

Theorem unseen_by_a_vm v s w e :
  reachable s -> channel v s w e = None -> looks_same v s (fst (step s w e)).
Proof. apply silent_unseen. Qed.

Theorem vms_pass_nothing_to_each_other s w e u v : acts_for s e u -> u <> v -> channel v s w e = None.
Proof.
  intros (c & i & g & -> & A & <-) D. unfold channel. destruct (machine_off s); [reflexivity|].
  rewrite A. apply N.eqb_neq in D. now rewrite D.
Qed.

Theorem a_vm_does_not_see_another s w e u v :
  reachable s -> acts_for s e u -> u <> v -> looks_same v s (fst (step s w e)).
Proof. intros R A D. apply unseen_by_a_vm; [exact R|]. eapply vms_pass_nothing_to_each_other; eauto. Qed.

(** ** Step consistency *)

Lemma by_call_kind v s w k a s' m :
  by_call v s w k a s' = Some m ->
  let named i := i = slot_of (x1 a) /\ of_vm (vcpus s i) = v in
  match m with
  | Memory f o => In k memory_calls /\ slot_of (x1 a) = v /\ f = fate_of s s' v /\ o = negb (is_live (vms s' v))
  | Created _ => k = VM_CREATE
  | NewVcpu _ _ _ _ => k = VCPU_CREATE
  | TurnedOn i => k = VCPU_ENQUEUE /\ named i
  | Responded i _ _ => k = VCPU_RESPOND /\ named i
  | Injected i _ _ _ => k = VCPU_INJECT /\ named i
  | Acts _ _ _ _ _ _ | Enters _ | Wrote _ _ _ | Broke _ => False
  end.
Proof.
  intro B. destruct k; simpl in B; try discriminate;
    try (apply if_some in B as [N <-]; apply N.eqb_eq in N; repeat split; auto; unfold memory_calls; simpl; tauto).
  - destruct (pick_vm_slot s w), (check_plan s a); try discriminate. apply if_some in B as [_ <-]. reflexivity.
  - destruct (pick_vcpu_slot s w); [|discriminate]. apply if_some in B as [_ <-]. reflexivity.
  - destruct (place _); try discriminate. apply if_some in B as [N <-]. apply N.eqb_eq in N. repeat split; auto.
Qed.

Theorem same_message_looks_same v s t w w' e f m n :
  reachable s -> reachable t -> looks_same v s t ->
  channel v s w e = Some m -> channel v t w' f = Some n -> same_message m n ->
  looks_same v (fst (step s w e)) (fst (step t w' f)).
Proof.
  intros Rs Rt L Cs Ct Same.
  pose proof (reachable_invariant s Rs) as Is. pose proof (reachable_invariant t Rt) as It.
  apply (channel_passing v s w e m Is) in Cs. apply (channel_passing v t w' f n It) in Ct.
  destruct Cs as [c i g Ee A O F|c i q Ee O P F|c x0 a k l m Ee Nk C B|c p i x Ee Ma N F|p Ee N F],
    Ct as [c' i' g' Ef A' O' F'|c' i' q' Ef O' P' F'|c' y0 b j r n Ef Nj C' B'|c' p' i' x' Ef Ma' N' F'|p' Ef N' F'];
    try (apply by_call_kind in B; destruct m; simpl in Same; contradiction || discriminate);
    try (apply by_call_kind in B'; destruct n; simpl in Same; contradiction || discriminate);
    simpl in Same; try contradiction; try discriminate.
  - (* its own act *)
    injection Same as -> -> E P H Sd. rewrite F, F'.
    apply same_act with (i := i'); auto. rewrite <- O. apply (member_ok _ (inv_running _ Is)).
    apply (runs_ok _ (inv_running _ Is)) in A. congruence.
  - injection Same as ->. rewrite F, F'. eapply same_turn; eauto.
  - (* a call *)
    pose proof (by_call_kind _ _ _ _ _ _ _ B) as K. pose proof (by_call_kind _ _ _ _ _ _ _ B') as K'.
    pose proof (call_did _ _ _ _ _ _ _ _ _ C B) as D. pose proof (call_did _ _ _ _ _ _ _ _ _ C' B') as D'.
    destruct m, n; simpl in Same; try contradiction; try discriminate; try (injection Same; intros; subst);
      try (eapply (same_did v s t Is L); [exact D|exact D'|exact I]).
    destruct K as (Mk & Ns & -> & ->), K' as (Mj & Nt & -> & ->), Same as [Fates Over].
    subst e f. eapply same_memory; eauto.
    destruct (is_live _), (is_live _); auto; discriminate.
  - (* a store of the host's *)
    destruct Same as (W & -> & ->). rewrite F, F'. apply looks_pages; auto.
    intros b l m _ <- _ <- E. apply spot_parts in E as (_ & _ & K & Bk & H). simpl. now rewrite K, Bk, H.
  - (* a memory error *)
    rewrite F, F'. apply looks_pages; auto.
    intros b l m _ <- _ <- E. apply spot_parts in E as (_ & _ & K & _ & H). simpl. now rewrite K, H.
Qed.

(** ** Runs *)

Fixpoint end_of (s : state) (es : list (weather * event)) : state :=
  match es with
  | [] => s
  | (w, e) :: rest => end_of (fst (step s w e)) rest
  end.

(** What passes to [v] in a run. *)
Fixpoint hears (v : N) (s : state) (es : list (weather * event)) : list message :=
  match es with
  | [] => []
  | (w, e) :: rest =>
      match channel v s w e with
      | Some m => m :: hears v (fst (step s w e)) rest
      | None => hears v (fst (step s w e)) rest
      end
  end.

Theorem noninterference v es : forall fs s t,
  reachable s -> reachable t -> looks_same v s t ->
  Forall2 same_message (hears v s es) (hears v t fs) ->
  looks_same v (end_of s es) (end_of t fs).
Proof.
  induction es as [|[w e] es IH].
  - induction fs as [|[w f] fs IH]; intros s t Rs Rt L H; simpl in *; [exact L|].
    destruct (channel v t w f) eqn:C; [inversion H|].
    apply IH; auto using by_step. eapply looks_same_trans; [exact L|]. now apply unseen_by_a_vm.
  - intros fs s t Rs Rt L H. simpl in H. destruct (channel v s w e) as [m|] eqn:C.
    + revert t Rt L H. induction fs as [|[w' f] fs IHf]; intros t Rt L H; simpl in H; [inversion H|].
      destruct (channel v t w' f) as [n|] eqn:D.
      * inversion H; subst. simpl. apply IH; auto using by_step. eapply same_message_looks_same; eauto.
      * simpl. apply IHf; [now apply by_step| |exact H].
        eapply looks_same_trans; [exact L|]. now apply unseen_by_a_vm.
    + simpl. apply IH; auto using by_step. eapply looks_same_trans; [|exact L].
      apply looks_same_sym. now apply unseen_by_a_vm.
Qed.

(** ** What can be passed

    Content of memory only out of pages that the host reaches: by a call that brings such a page, or by its store to
    a page that the VM shares or that is lent to it. *)

Definition may_pass (v : N) (s s' : state) (e : event) (m : message) : Prop :=
  let called k := exists a, is_call k a e in
  match m with
  | Acts i g _ _ _ _ => is_act s i g e /\ of_vm (vcpus s i) = v
  | Enters i => (exists c, e = ByEngine c (Pick i)) /\ of_vm (vcpus s i) = v
  | Created _ => called VM_CREATE
  | NewVcpu _ _ _ _ => called VCPU_CREATE
  | TurnedOn i => (exists a, is_call VCPU_ENQUEUE a e /\ i = slot_of (x1 a)) /\ of_vm (vcpus s i) = v
  | Responded i _ _ => (exists a, is_call VCPU_RESPOND a e /\ i = slot_of (x1 a)) /\ of_vm (vcpus s i) = v
  | Injected i _ _ _ => (exists a, is_call VCPU_INJECT a e /\ i = slot_of (x1 a)) /\ of_vm (vcpus s i) = v
  | Memory becomes _ =>
      (exists k a, In k memory_calls /\ is_call k a e /\ v = slot_of (x1 a))
      /\ forall b here beside, becomes b = Came here beside ->
         exists l, leaf_at s' v b = Some l /\ reaches s Host (to l)
                   /\ found_there here = holds (pages s (to l)) /\ holds_ram (vms s v) b 1 = true
  | Wrote here _ _ =>
      (exists c p i x, e = ByHost c (HostStore p i x))
      /\ forall b, here b = true -> exists x, spot_at s v b = Some x /\ In (page_kind x) [SharedOut; OnLoan]
  | Broke _ => exists p, e = ByChance (MemoryError p)
  end.

(** What a call brings, it brings as the host left it. *)
Lemma comes_as_it_was v s w c x0 a b m :
  let e := ByHost c (HostHvc 0 x0 a) in
  let s' := fst (step s w e) in
  reachable s -> leaf_at s' v b = Some m -> owner_of (st (pages s (to m))) = Some (Some Host) ->
  holds (pages s' (to m)) = holds (pages s (to m)).
Proof.
  intros e s' R L May. pose proof (reachable_invariant s R) as I.
  pose proof (I2_leaves s' v b m (inv_memory _ (step_invariant s w e I)) L) as N.
  destruct (step_pages s w e (to m) I) as [E|C]; [unfold s'; now rewrite E|]. fold s' in C.
  destruct C; unfold given, lent, unlent, donated, returned, same_content in *;
    try (match goal with X : is_act _ _ _ e |- _ => inversion X end; fail); try discriminate;
    try tauto.
  - destruct H0 as (_ & [[S _]|S]); rewrite S in N; discriminate.
  - destruct H0 as (S & _). rewrite S in May. discriminate.
  - destruct H2 as [[(_ & _ & H' & _)|[Was [S|[Z [S|S]]]]]|[_ U]]; auto;
      try (rewrite S in N; discriminate).
    destruct Was as [W|[W|W]]; rewrite W in May; discriminate.
Qed.

Theorem what_is_passed v s w e m :
  reachable s -> channel v s w e = Some m -> may_pass v s (fst (step s w e)) e m.
Proof.
  intros R C. pose proof (reachable_invariant s R) as I. apply (channel_passing v s w e m I) in C.
  destruct C as [c i g -> A O F|c i q -> O P F|c x0 a k l m -> Nk C B|c p i x -> Ma N F|p -> N F]; simpl.
  - split; [now constructor|exact O].
  - eauto.
  - assert (Is : is_call k a (ByHost c (HostHvc 0 x0 a))) by now constructor.
    pose proof (by_call_kind _ _ _ _ _ _ _ B) as Kind.
    destruct m as [| |p|f o|i id en ar|i|i raw vs|i intid raw pr| |]; simpl in *; try contradiction;
      try (subst k; eauto; fail);
      try (destruct Kind as (-> & -> & O); eauto; fail).
    destruct Kind as (Mk & Ns & -> & _). split; [exists k, a; auto|].
    intros b here beside Fb. set (e := ByHost c (HostHvc 0 x0 a)) in *.
    pose proof (fate_cases v s w c x0 a I b) as Cases. fold e in Cases. rewrite Fb in Cases.
    destruct Cases as [Before _]. unfold fate_of, spot_at in Fb. rewrite Before in Fb. simpl in Fb.
    destruct (leaf_at (fst (step s w e)) v b) as [m|] eqn:L; [|discriminate].
    simpl in Fb. injection Fb as <- _. exists m. split; [reflexivity|].
    assert (H : owner_of (st (pages s (to m))) = Some (Some Host) /\ holds_ram (vms s v) b 1 = true).
    { destruct (step_leaves s w e v b I) as [X|X]; [congruence|]. rewrite L in X.
      destruct X; try discriminate; assert (l0 = m) as -> by congruence; split; auto.
      - now rewrite H4.
      - destruct H4 as [-> |[j ->]]; reflexivity.
      - now apply may_lend_holds. }
    destruct H as [Own Ram]. split; [|split; [|exact Ram]].
    + unfold owner_of in Own. destruct (st (pages s (to m))); try discriminate; reflexivity.
    + simpl. eapply comes_as_it_was; eauto.
  - split; [eauto 6|]. intros b Lb. apply leads_true in Lb as (l & L & <-).
    exists (spot_of s l). unfold spot_at. rewrite L. split; [reflexivity|].
    unfold spot_of. simpl. destruct (st (pages s (to l))); try discriminate; simpl; auto.
  - eauto.
Qed.
