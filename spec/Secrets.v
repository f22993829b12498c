(** * A guest's secrets reach neither the host nor another VM

    AnyActs.v and Noninterference.v together. Two machines look the same to the host and to VM [v]; they may differ in
    what all other VMs hold in memory and registers, and these may do different things.
    Then as long as they tell the host
    the same, it is told the same and the machines look the same to it and to [v], through whole runs: nothing comes
    to [v] from another VM, on its own or through a host that does its worst, which that VM did not release. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step HostSide Alike Released Seen Channel.
From Bulkhead Require Import Calls.Life Calls.Vcpus Guest.Run Guest.Acts.
From Bulkhead Require Import Invariants Proofs.AlikeCalls Proofs.Config Proofs.Reachable.
From Bulkhead Require Import Confidentiality Proofs.ActOutcomes AnyActs Integrity Noninterference.
Open Scope N_scope.

Section Step.
  Variables (v : N) (s t : state).
  Hypothesis Rs : reachable s.
  Hypothesis Rt : reachable t.
  Hypothesis A : alike s t.
  Hypothesis L : looks_same v s t.

  Lemma alike_leaf r q u a : alike r q -> leaf_at q u a = leaf_at r u a.
  Proof. intro B. unfold leaf_at. now rewrite (al_vms _ _ B). Qed.
  Lemma alike_same_page r q u a b : alike r q -> same_page q u a b = same_page r u a b.
  Proof. intro B. unfold same_page, leads. now rewrite !(alike_leaf _ _ _ _ B). Qed.

  Lemma alike_vm_slot w : pick_vm_slot t w = pick_vm_slot s w.
  Proof.
    unfold pick_vm_slot, is_free_slot. by_alike A.
    destruct (_ && _); [reflexivity|]. apply look_find. intro u. by_alike A. reflexivity.
  Qed.
  Lemma alike_vcpu_slot w : pick_vcpu_slot t w = pick_vcpu_slot s w.
  Proof.
    unfold pick_vcpu_slot, is_free_vcpu, is_there. by_alike A.
    destruct (_ && _); [reflexivity|]. apply look_find. intro i. by_alike A. reflexivity.
  Qed.

  Definition same_passed (m n : option message) : Prop :=
    match m, n with
    | Some m, Some n => same_message m n
    | None, None => True
    | _, _ => False
    end.

  Lemma same_passed_refl m : same_passed m m.
  Proof.
    destruct m as [[]|]; simpl; auto. split; [|reflexivity]. intro a. destruct (becomes a); simpl; auto.
  Qed.

  (** What a call about memory makes of an IPA is the same in both. *)
  Lemma same_fates w e b :
    alike (fst (step s w e)) (fst (step t w e)) ->
    (forall here beside, fate_of s (fst (step s w e)) v b = Came here beside ->
       exists l, leaf_at (fst (step s w e)) v b = Some l /\ reaches s Host (to l)
                 /\ found_there here = holds (pages s (to l))) ->
    (forall here beside, fate_of t (fst (step t w e)) v b = Came here beside ->
       exists l, leaf_at (fst (step t w e)) v b = Some l /\ reaches t Host (to l)
                 /\ found_there here = holds (pages t (to l))) ->
    same_fate (fate_of s (fst (step s w e)) v b) (fate_of t (fst (step t w e)) v b).
  Proof.
    intros B Cs Ct. unfold fate_of in *. rewrite (ls_memory _ _ _ L b) in *.
    pose proof (alike_leaf _ _ v b B) as Lf. unfold spot_at in *. rewrite Lf in *.
    destruct (leaf_at (fst (step s w e)) v b) as [m|] eqn:E; simpl in *;
      [|destruct (option_map (spot_of s) (leaf_at s v b)); reflexivity].
    pose proof (al_pages _ _ B (to m)) as [P1 P2 _ _ _ _].
    destruct (option_map (spot_of s) (leaf_at s v b)) as [x|].
    - unfold spot_of. cbn [page_kind]. rewrite P1.
      destruct (page_kind x); try reflexivity; destruct (kind_at _); reflexivity.
    - destruct (Cs _ _ eq_refl) as (l & El & Rl & Fl). destruct (Ct _ _ eq_refl) as (l' & El' & _ & Fl').
      injection El as <-. injection El' as <-. simpl in Fl, Fl'. simpl. split.
      + unfold spot_of. rewrite P1, P2, Fl, Fl'. now rewrite (al_holds _ _ _ A Rl).
      + intro a. symmetry. now apply alike_same_page.
  Qed.

  Theorem same_channel w e :
    vcpus_n (cfg s) <= 65536 -> released s w e = released t w e ->
    same_passed (channel v s w e) (channel v t w e).
  Proof.
    intros Small Rel. destruct (confidentiality s t w e Rs Rt Small A Rel) as [_ B].
    pose proof (what_is_passed v s w e) as Ps. pose proof (what_is_passed v t w e) as Pt.
    unfold channel in *. rewrite (al_off _ _ A) in *. destruct (machine_off s) eqn:Off; [exact I|].
    destruct e as [c h|c k|c g|h].
    - assert (Rh : runs_host t c = runs_host s c) by (unfold runs_host; by_alike A; reflexivity).
      rewrite Rh in *. destruct h as [imm x0 a| | |p i x]; try exact I.
      + destruct (runs_host s c && (imm =? 0)) eqn:G; [|exact I].
        destruct (call_of x0) as [k|] eqn:K; [|exact I].
        pose proof (host_call_alike k s t w c a (reachable_invariant s Rs) (reachable_invariant t Rt) A) as [C D].
        apply andb_prop in G as [G G']. apply N.eqb_eq in G'. subst imm.
        assert (Ss : fst (step s w (ByHost c (HostHvc 0 x0 a))) = fst (host_call k s w c a)).
        { unfold step. rewrite Off, G. unfold host_does, host_hvc. rewrite N.eqb_refl, K.
          now destruct (host_call k s w c a). }
        assert (St : fst (step t w (ByHost c (HostHvc 0 x0 a))) = fst (host_call k t w c a)).
        { unfold step. rewrite (al_off _ _ A), Off, Rh, G. unfold host_does, host_hvc. rewrite N.eqb_refl, K.
          now destruct (host_call k t w c a). }
        rewrite Ss, St in *.
        destruct (host_call k s w c a) as [s' [l|]], (host_call k t w c a) as [t' [r|]]; simpl in *;
          try discriminate; [|exact I].
        destruct k; simpl in *; try exact I;
          try (destruct (slot_of (x1 a) =? v); [|exact I]; simpl; split; [|now rewrite (al_vms _ _ B)];
               intro b; rewrite <- Ss, <- St; apply same_fates; rewrite ?Ss, ?St; auto;
               [intros here beside F; destruct (Ps _ Rs eq_refl) as [_ H]|
                intros here beside F; destruct (Pt _ Rt eq_refl) as [_ H]];
               destruct (H _ _ _ F) as (m & H1 & H2 & H3 & _); eauto).
        * rewrite alike_vm_slot. unfold check_plan. rewrite (al_cfg _ _ A). apply same_passed_refl.
        * rewrite alike_vcpu_slot. apply same_passed_refl.
        * by_alike A. apply same_passed_refl.
        * by_alike A. apply same_passed_refl.
        * by_alike A. apply same_passed_refl.
      + by_alike A. destruct (_ && _); [|exact I]. simpl. split; [|auto].
        intro b. unfold leads. now rewrite (alike_leaf _ _ v b A).
    - destruct k as [i|i| | |]; try exact I. by_alike A. rewrite (al_cores _ _ B). apply same_passed_refl.
    - by_alike A. destruct (at_ (cores s c)) as [| |i|]; try exact I. by_alike A. apply same_passed_refl.
    - destruct h as [p| | | | |]; try exact I. by_alike A. destruct (names _ _); [|exact I].
      intro b. unfold leads. now rewrite (alike_leaf _ _ v b A).
  Qed.
End Step.

Theorem a_secret_stays v s t w e :
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 ->
  alike s t -> looks_same v s t -> released s w e = released t w e ->
  snd (step s w e) = snd (step t w e)
  /\ alike (fst (step s w e)) (fst (step t w e)) /\ looks_same v (fst (step s w e)) (fst (step t w e)).
Proof.
  intros Rs Rt Small A L Rel. destruct (confidentiality s t w e Rs Rt Small A Rel) as [O B].
  split; [exact O|]. split; [exact B|].
  pose proof (same_channel v s t Rs Rt A L w e Small Rel) as P.
  destruct (channel v s w e) as [m|] eqn:Cs, (channel v t w e) as [n|] eqn:Ct; simpl in P; try contradiction.
  - eapply same_message_looks_same; eauto.
  - eapply looks_same_trans; [apply looks_same_sym, unseen_by_a_vm; auto|].
    eapply looks_same_trans; [exact L|]. now apply unseen_by_a_vm.
Qed.

(** ** Runs, in which other VMs may do different things

    What is compared of the two runs: the events of host, engine and hardware, the acts of [v] with what they
    release, and what the acts of all other VMs tell the host, where they tell anything. *)

Inductive item :=
| Same (w : weather) (e : event) (what : output * mode * news)
| OfAnother (c : N) (what : output * mode * news * bool * list N).

Definition item_of (v : N) (s : state) (w : weather) (e : event) : option item :=
  match e with
  | ByGuest c g =>
      if machine_off s || negb (c <? cores_n (cfg s)) then None else
      match at_ (cores s c) with
      | InGuest i =>
          if of_vm (vcpus s i) =? v then Some (Same w e (released s w e))
          else if is_quiet s w c g then None else Some (OfAnother c (told s w c g))
      | _ => None
      end
  | _ => Some (Same w e (released s w e))
  end.

Fixpoint items (v : N) (s : state) (es : list (weather * event)) : list item :=
  match es with
  | [] => []
  | (w, e) :: rest =>
      match item_of v s w e with
      | Some n => n :: items v (fst (step s w e)) rest
      | None => items v (fst (step s w e)) rest
      end
  end.

(** What the host is told at these. *)
Fixpoint answers (v : N) (s : state) (es : list (weather * event)) : list output :=
  match es with
  | [] => []
  | (w, e) :: rest =>
      match item_of v s w e with
      | Some _ => snd (step s w e) :: answers v (fst (step s w e)) rest
      | None => answers v (fst (step s w e)) rest
      end
  end.

(** The act is another VM's. *)
Lemma act_of_another s c i g v w :
  reachable s -> at_ (cores s c) = InGuest i -> of_vm (vcpus s i) <> v ->
  looks_same v s (fst (step s w (ByGuest c g))).
Proof. intros R A D. apply a_vm_does_not_see_another with (of_vm (vcpus s i)); auto. exists c, i, g. auto. Qed.

Lemma no_item v s w e :
  reachable s -> item_of v s w e = None ->
  alike s (fst (step s w e)) /\ looks_same v s (fst (step s w e)).
Proof.
  intros R N. destruct e as [c h|c t|c g|h]; try discriminate. simpl in N.
  destruct (machine_off s || negb (c <? cores_n (cfg s))) eqn:Off.
  - assert (E : fst (step s w (ByGuest c g)) = s).
    { unfold step. destruct (machine_off s); [reflexivity|]. simpl in Off. apply negb_true_iff in Off.
      now rewrite Off. }
    rewrite E. auto using alike_refl, looks_same_refl.
  - apply orb_false_elim in Off as [Off B]. apply negb_false_iff in B.
    assert (E : fst (step s w (ByGuest c g)) = fst (guest_act s w c g)) by (unfold step; now rewrite Off, B).
    destruct (at_ (cores s c)) as [| |i|] eqn:A;
      try (rewrite E; unfold guest_act; rewrite A; split; [apply alike_refl|apply looks_same_refl]).
    destruct (N.eqb_spec (of_vm (vcpus s i)) v) as [|D]; [discriminate|].
    destruct (is_quiet s w c g) eqn:Q; [|discriminate].
    split; [rewrite E; now apply a_quiet_act_is_not_seen|now apply act_of_another with i].
Qed.

Lemma same_item v s t w w' e f n :
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 -> alike s t -> looks_same v s t ->
  item_of v s w e = Some n -> item_of v t w' f = Some n ->
  snd (step s w e) = snd (step t w' f)
  /\ alike (fst (step s w e)) (fst (step t w' f)) /\ looks_same v (fst (step s w e)) (fst (step t w' f)).
Proof.
  intros Rs Rt Small A L N M.
  assert (Form : forall r z x, item_of v r z x = Some n ->
    n = Same z x (released r z x)
    \/ exists c i g, x = ByGuest c g /\ at_ (cores r c) = InGuest i /\ of_vm (vcpus r i) <> v
         /\ n = OfAnother c (told r z c g) /\ fst (step r z x) = fst (guest_act r z c g)
         /\ snd (step r z x) = snd (guest_act r z c g)).
  { intros r z x H. destruct x as [c h|c y|c g|h]; simpl in H; try (left; simpl; congruence).
    destruct (machine_off r || negb (c <? cores_n (cfg r))) eqn:Off; [discriminate|].
    apply orb_false_elim in Off as [Off B]. apply negb_false_iff in B.
    destruct (at_ (cores r c)) as [| |i|] eqn:At; try discriminate.
    destruct (N.eqb_spec (of_vm (vcpus r i)) v) as [|D]; [left; simpl; congruence|].
    destruct (is_quiet r z c g); [discriminate|]. right. exists c, i, g.
    unfold step. rewrite Off, B. repeat split; auto. congruence. }
  destruct (Form _ _ _ N) as [E|(c & i & g & -> & Ai & Di & E & F & O)],
    (Form _ _ _ M) as [E'|(c' & i' & g' & -> & Ai' & Di' & E' & F' & O')]; try congruence.
  - assert (X : Same w e (released s w e) = Same w' f (released t w' f)) by congruence.
    injection X as -> -> Rel. now apply a_secret_stays.
  - assert (X : OfAnother c (told s w c g) = OfAnother c' (told t w' c' g')) by congruence.
    injection X as -> T.
    destruct (acts_that_tell_the_same s t w w' c' g g' Rs Rt Small A T) as [Out B].
    split; [congruence|]. split; [rewrite F, F'; exact B|].
    eapply looks_same_trans; [apply looks_same_sym; now apply act_of_another with i|].
    eapply looks_same_trans; [exact L|now apply act_of_another with i'].
Qed.

Theorem secrets_stay v es : forall fs s t,
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 ->
  alike s t -> looks_same v s t -> items v s es = items v t fs ->
  answers v s es = answers v t fs
  /\ alike (end_of s es) (end_of t fs) /\ looks_same v (end_of s es) (end_of t fs).
Proof.
  assert (Cfg : forall s w e, reachable s -> vcpus_n (cfg s) <= 65536 -> vcpus_n (cfg (fst (step s w e))) <= 65536).
  { intros s w e R H. now rewrite (step_cfg s w e (reachable_invariant s R)). }
  induction es as [|[w e] es IH].
  - induction fs as [|[w f] fs IH]; intros s t Rs Rt Small A L H; simpl in *; [auto|].
    destruct (item_of v t w f) eqn:N; [discriminate|]. destruct (no_item v t w f Rt N) as [B C].
    apply IH; auto using by_step; [eapply alike_trans|eapply looks_same_trans]; eauto.
  - intros fs s t Rs Rt Small A L H. simpl in H. destruct (item_of v s w e) as [n|] eqn:N.
    + revert t Rt A L H. induction fs as [|[w' f] fs IHf]; intros t Rt A L H; simpl in H; [discriminate|].
      destruct (item_of v t w' f) as [m|] eqn:M.
      * injection H as <- H. destruct (same_item v s t w w' e f n Rs Rt Small A L N M) as (O & B & C).
        destruct (IH fs (fst (step s w e)) (fst (step t w' f))) as (T & E & F); auto using by_step.
        simpl. rewrite N, M, O, T. auto.
      * destruct (no_item v t w' f Rt M) as [B C].
        destruct (IHf (fst (step t w' f))) as (T & E & F); [now apply by_step| | |exact H|].
        -- eapply alike_trans; eauto.
        -- eapply looks_same_trans; eauto.
        -- simpl in *. rewrite M. auto.
    + destruct (no_item v s w e Rs N) as [B C].
      destruct (IH fs (fst (step s w e)) t) as (T & E & F); auto using by_step.
      * eapply alike_trans; [apply alike_sym; exact B|exact A].
      * eapply looks_same_trans; [apply looks_same_sym; exact C|exact L].
      * simpl. rewrite N. auto.
Qed.
