(** * A VM's own acts look the same to it where they looked the same before

    On two states that VM [v] cannot tell apart the same act of the same vCPU, in the same weather as far as the guest
    meets it, leads to two that it cannot tell apart: which core runs it, where its pages lie and all else does not
    matter. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step Seen Channel.
From Bulkhead Require Import Calls.Pages Calls.Vcpus Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.LeafChanges Proofs.Reachable
  Proofs.SeenVcpus.
Open Scope N_scope.

(** ** Acts *)

Section Acts.
  Variables (v : N) (s t : state) (w w' : weather) (c d i : N).
  Hypothesis Is : invariant s.
  Hypothesis It : invariant t.
  Hypothesis L : looks_same v s t.
  Hypothesis Os : of_vm (vcpus s i) = v.
  Hypothesis Ot : of_vm (vcpus t i) = v.
  Hypothesis Member : In i (members (vms s v)).
  Hypothesis Entry : luck w' 0 AtEntry = luck w 0 AtEntry.
  Hypothesis Page : luck w' 0 AtPage = luck w 0 AtPage.
  Hypothesis Host_ : luck w' 0 AtHost = luck w 0 AtHost.
  Hypothesis Said : said w' = said w.

  Let U : same_vcpu (vcpus s i) (vcpus t i) := ls_vcpus _ _ _ L i Member.

  Ltac same_own :=
    solve [cbv zeta; first [apply same_exit|apply same_resume|apply same_end]; [exact L|];
    repeat first [exact U|apply seen_answer_x0|apply seen_answer4|apply seen_next|apply seen_waits
                 |apply seen_waiting|apply seen_exception|apply seen_sys|apply seen_pc|apply seen_reg]].

  (** What is at a leaf. *)
  Lemma spot_parts l m :
    spot_of t m = spot_of s l ->
    can_write m = can_write l /\ can_execute m = can_execute l
    /\ kind_at (st (pages t (to m))) = kind_at (st (pages s (to l)))
    /\ broken (pages t (to m)) = broken (pages s (to l)) /\ holds (pages t (to m)) = holds (pages s (to l)).
  Proof. unfold spot_of. intro E. injection E. auto. Qed.

  Lemma same_device a : looks_same v (fst (touch_device s w c i a)) (fst (touch_device t w' d i a)).
  Proof.
    unfold touch_device. cbv zeta. rewrite Os, Ot. destruct (negb (plain a)); [unfold refuse_access; same_own|].
    assert (F : in_frames (vms t v) (ipa a / PAGE_SIZE) = in_frames (vms s v) (ipa a / PAGE_SIZE)).
    { unfold in_frames. destruct (ls_shape _ _ _ L) as [_ _ -> -> _]. reflexivity. }
    rewrite F, Said. clear F. destruct (kind a).
    - destruct (in_frames _ _); same_own.
    - destruct (in_frames _ _); same_own.
    - unfold refuse_access; same_own.
  Qed.

  Lemma same_touch a : looks_same v (fst (touch s w c i a)) (fst (touch t w' d i a)).
  Proof.
    unfold touch. cbv zeta. rewrite Os, Ot.
    fold (leaf_at s v (ipa a / PAGE_SIZE)). fold (leaf_at t v (ipa a / PAGE_SIZE)).
    destruct (leaf_at s v (ipa a / PAGE_SIZE)) as [l|] eqn:El.
    - destruct (same_leaf v s t L _ _ El) as (m & Em & E). rewrite Em.
      apply spot_parts in E as (Wr & Ex & K & B & H). rewrite B.
      assert (R : allows m (kind a) = allows l (kind a)) by (destruct (kind a); auto). rewrite R.
      destruct (allows l (kind a)); [|unfold refuse_access; same_own].
      destruct (broken (pages s (to l))) eqn:Bs; [same_own|].
      destruct (kind a); [| |exact L].
      + rewrite H. same_own.
      + apply same_resume; [|apply seen_next, U].
        eapply looks_write; eauto; simpl; auto; []. now rewrite H, (seen_value _ _ U).
    - rewrite (same_hole v s t L _ El), (same_ram v s t L).
      destruct (holds_ram _ _ _); [same_own|apply same_device].
  Qed.

  (** *** PSCI *)

  Lemma same_power j : In j (members (vms s v)) -> power_seen_of (vcpus t j) = power_seen_of (vcpus s j).
  Proof. intro H. apply (sv_power _ _ (ls_vcpus _ _ _ L j H)). Qed.
  Lemma same_mpidr j : In j (members (vms s v)) -> mpidr (vcpus t j) = mpidr (vcpus s j).
  Proof. intro H. apply (sv_mpidr _ _ (ls_vcpus _ _ _ L j H)). Qed.

  Lemma find_ext_in {A} (f g : A -> bool) l : (forall a, In a l -> f a = g a) -> find f l = find g l.
  Proof.
    induction l as [|a l IH]; simpl; intro H; [reflexivity|]. rewrite (H a) by auto.
    destruct (g a); auto.
  Qed.

  Lemma same_cpu_on target entry : cpu_on t w' v target entry = cpu_on s w v target entry.
  Proof.
    unfold cpu_on. rewrite (same_members v s t L).
    assert (B : by_affinity target (fun j => mpidr (vcpus t j)) (members (vms s v))
              = by_affinity target (fun j => mpidr (vcpus s j)) (members (vms s v))).
    { unfold by_affinity. destruct (is_affinity target); [|reflexivity].
      apply find_ext_in. intros j H. now rewrite same_mpidr. }
    rewrite B. clear B. destruct (by_affinity _ _ _) as [j|] eqn:E; [|reflexivity].
    assert (R : entry_ok (fun e => holds_ram (vms t v) (e / PAGE_SIZE) 1) entry
              = entry_ok (fun e => holds_ram (vms s v) (e / PAGE_SIZE) 1) entry).
    { unfold entry_ok. now rewrite (same_ram v s t L). }
    rewrite R. clear R. destruct (negb _); [reflexivity|].
    assert (J : In j (members (vms s v))).
    { unfold by_affinity in E. destruct (is_affinity target); [|discriminate]. now apply find_some in E. }
    pose proof (same_power j J) as P. unfold power_seen_of in P. unfold is_held. rewrite Page.
    pose proof (proj1 (there_ok _ (inv_running _ Is) _ _ J)) as Ts.
    pose proof J as J'. rewrite <- (same_members v s t L) in J'.
    pose proof (proj1 (there_ok _ (inv_running _ It) _ _ J')) as Tt.
    destruct (place (vcpus s j)), (place (vcpus t j)); try discriminate P; try congruence.
  Qed.

  Lemma same_psci q : looks_same v (fst (guest_psci s w c i q)) (fst (guest_psci t w' d i q)).
  Proof.
    unfold guest_psci. cbv zeta. rewrite Os, Ot. destruct q as [|ps en ct| |target en ct|target lowest| | | |fn];
      try same_own.
    - assert (R : check_suspend (fun e => holds_ram (vms t v) (e / PAGE_SIZE) 1) ps en
                = check_suspend (fun e => holds_ram (vms s v) (e / PAGE_SIZE) 1) ps en).
      { unfold check_suspend, entry_ok. now rewrite (same_ram v s t L). }
      rewrite R. clear R. destruct (check_suspend _ _ _); same_own.
    - rewrite same_cpu_on. destruct (cpu_on s w v target en) as [j|z] eqn:E; [|same_own].
      assert (J : In j (members (vms s v))).
      { unfold cpu_on in E. destruct (by_affinity _ _ _) as [k|] eqn:B; [|discriminate].
        destruct (negb _); [discriminate|]. destruct (place _); try discriminate.
        destruct (is_held w 0 AtPage); [discriminate|]. injection E as ->.
        unfold by_affinity in B. destruct (is_affinity target); [|discriminate]. now apply find_some in B. }
      apply same_exit; [|now apply seen_answer_x0].
      apply looks_vcpu; [exact L|]. destruct (ls_vcpus _ _ _ L j J). unfold restart. split; simpl; auto.
    - assert (A : map (fun j => (mpidr (vcpus t j), power_seen_of (vcpus t j))) (members (vms t v))
                = map (fun j => (mpidr (vcpus s j), power_seen_of (vcpus s j))) (members (vms s v))).
      { rewrite (same_members v s t L). apply map_ext_in. intros j H. now rewrite same_mpidr, same_power. }
      rewrite A. same_own.
  Qed.

  (** *** The calls about memory *)

  Definition of_kind (k : kind_of_page) (n : N) : page_state :=
    match k with
    | Own => VmOwned v
    | SharedOut => SharedByVm v
    | OnLoan => Lent v n
    | Zeroed => Scrubbing v
    end.

  (** Of a page to which a leaf of [v]'s leads, the kind says the state. *)
  Lemma own_kind r l a : invariant r -> leaf_at r v a = Some l ->
    exists n, st (pages r (to l)) = of_kind (kind_at (st (pages r (to l)))) n.
  Proof.
    intros I H. pose proof (I2_leaves r v a l (inv_memory _ I) H) as N.
    destruct (st (pages r (to l))); try discriminate; simpl in *; apply N.eqb_eq in N; subst;
      first [match goal with |- exists n, Lent _ ?k = _ => exists k end|exists 0]; reflexivity.
  Qed.

  (** A page of [v]'s own has one leaf. *)
  Lemma one_leaf r a b l m : invariant r -> leaf_at r v a = Some l -> leaf_at r v b = Some m ->
    kind_at (st (pages r (to l))) <> OnLoan -> to m = to l -> a = b.
  Proof.
    intros I Ha Hb K E. destruct (N.eq_dec a b) as [|D]; [auto|exfalso].
    pose proof (leaves_ok r (inv_memory _ I) v (to l)) as C.
    assert (W : wants (st (pages r (to l))) v <= 1).
    { unfold wants. destruct (st (pages r (to l))); simpl in K; try congruence; try destruct (_ =? v); lia. }
    rewrite <- C in W.
    rewrite (count_remove (leads_to (to l)) _ _ _ Ha) in W. unfold leads_to at 1 in W. rewrite N.eqb_refl in W.
    assert (P : 0 < count (leads_to (to l)) (remove a (leaves (vms r v)))).
    { apply (in_count _ _ b m); [|unfold leads_to; now apply N.eqb_eq].
      apply lookup_in. rewrite lookup_remove_other by congruence. exact Hb. }
    lia.
  Qed.

  (** The page at IPA [a] changes its kind. *)
  Lemma same_kind a l m p q :
    leaf_at s v a = Some l -> leaf_at t v a = Some m -> spot_of t m = spot_of s l ->
    kind_at p = kind_at q ->
    looks_same v (put_page s (to l) (move_page (pages s (to l)) p)) (put_page t (to m) (move_page (pages t (to m)) q)).
  Proof.
    intros Hl Hm E K. apply spot_parts in E as (_ & _ & _ & B & H).
    eapply looks_write; eauto; simpl; auto.
  Qed.

  Lemma spot_away (r : state) pg p a b l :
    leaf_at r v b = Some l -> to l <> p ->
    (forall u, vms pg u = vms r u) -> (forall q, q <> p -> pages pg q = pages r q) ->
    NoDup (keys (leaves (vms r v))) -> b <> a ->
    spot_at (drop_leaf pg v a) v b = spot_at r v b.
  Proof.
    intros H D V P K Nb. unfold spot_at. rewrite (leaf_drop r) by assumption.
    apply N.eqb_neq in Nb. rewrite Nb, H. simpl. unfold spot_of.
    change (pages (drop_leaf pg v a) (to l)) with (pages pg (to l)). now rewrite P.
  Qed.

  Lemma home_pages r p q : q <> p -> pages (bring_home r p) q = pages r q.
  Proof.
    intro D. apply N.eqb_neq in D.
    unfold bring_home, poisoned. destruct (broken _); simpl; unfold upd; now rewrite D.
  Qed.

  (** The leaf at IPA [a] goes, and its page with it. *)
  Lemma same_drop a l m :
    leaf_at s v a = Some l -> leaf_at t v a = Some m -> spot_of t m = spot_of s l ->
    kind_at (st (pages s (to l))) <> OnLoan ->
    looks_same v (drop_leaf (bring_home s (to l)) v a) (drop_leaf (bring_home t (to m)) v a).
  Proof.
    intros Hl Hm E K. assert (E' := E). apply spot_parts in E' as (_ & _ & Kt & _ & _).
    assert (Rs : forall b, leaf_at (drop_leaf (bring_home s (to l)) v a) v b = if b =? a then None else leaf_at s v b).
    { intro b. apply leaf_drop; [apply bring_home_vms|apply (keys_ok _ (inv_memory _ Is))]. }
    assert (Rt : forall b, leaf_at (drop_leaf (bring_home t (to m)) v a) v b = if b =? a then None else leaf_at t v b).
    { intro b. apply leaf_drop; [apply bring_home_vms|apply (keys_ok _ (inv_memory _ It))]. }
    split.
    - unfold drop_leaf, bring_home, poisoned. destruct (broken _), (broken _); apply (ls_cfg _ _ _ L).
    - unfold drop_leaf. rewrite !bring_home_vms. unfold put_vm, with_vms, upd. simpl. rewrite N.eqb_refl.
      destruct (ls_shape _ _ _ L). split; simpl; auto.
    - assert (Vs : vcpus (drop_leaf (bring_home s (to l)) v a) = vcpus s)
        by (unfold drop_leaf, bring_home, poisoned; destruct (broken _); reflexivity).
      assert (Vt : vcpus (drop_leaf (bring_home t (to m)) v a) = vcpus t)
        by (unfold drop_leaf, bring_home, poisoned; destruct (broken _); reflexivity).
      intros j J. rewrite Vs, Vt. apply (ls_vcpus _ _ _ L).
      unfold drop_leaf in J. rewrite bring_home_vms in J. unfold put_vm, with_vms, upd in J. simpl in J.
      now rewrite N.eqb_refl in J.
    - intro b. destruct (N.eqb_spec b a) as [->|D].
      { unfold spot_at. now rewrite Rs, Rt, N.eqb_refl. }
      destruct (leaf_at s v b) as [k|] eqn:Hk.
      + destruct (same_leaf v s t L _ _ Hk) as (j & Hj & F).
        assert (Ds : to k <> to l) by (intro X; apply D; symmetry; eapply (one_leaf s); eauto).
        assert (Dt : to j <> to m) by (intro X; apply D; symmetry; eapply (one_leaf t); eauto; now rewrite Kt).
        rewrite (spot_away s _ (to l) a b k Hk Ds (bring_home_vms s (to l)) (home_pages s (to l))
                   (keys_ok _ (inv_memory _ Is) v) D).
        rewrite (spot_away t _ (to m) a b j Hj Dt (bring_home_vms t (to m)) (home_pages t (to m))
                   (keys_ok _ (inv_memory _ It) v) D).
        apply (ls_memory _ _ _ L).
      + pose proof (same_hole v s t L _ Hk) as Hj. unfold spot_at. rewrite Rs, Rt.
        apply N.eqb_neq in D. now rewrite D, Hk, Hj.
    - intros b e. pose proof (ls_alias _ _ _ L b e) as X. unfold same_page, leads in *. rewrite !Rs, !Rt.
      destruct (b =? a); [reflexivity|].
      destruct (leaf_at s v b), (leaf_at t v b); rewrite ?Rs, ?Rt; destruct (e =? a); auto.
  Qed.

  Lemma same_page_call ipa o q :
    (match o, q with
     | Done s', Done t' => looks_same v s' t'
     | HomePage _ s', HomePage _ t' => looks_same v s' t'
     | LostPage _ s', LostPage _ t' => looks_same v s' t'
     | NothingThere, NothingThere | Refused, Refused | Again, Again | NotYet, NotYet | NoTables, NoTables => True
     | _, _ => False
     end) ->
    looks_same v (fst (answer_page_call s c i ipa o)) (fst (answer_page_call t d i ipa q)).
  Proof.
    intro H. unfold answer_page_call.
    destruct o, q; try contradiction;
      try (apply same_resume; [first [exact H|exact L]|apply seen_answer4, U]);
      try (apply same_exit; [first [exact H|exact L]|first [apply seen_answer4, U|apply seen_waits, U|exact U]]).
    exact L.
  Qed.

  Lemma same_share ipa a :
    looks_same v (fst (answer_page_call s c i ipa (share s w v a))) (fst (answer_page_call t d i ipa (share t w' v a))).
  Proof.
    apply same_page_call. unfold share, is_held. rewrite Entry, Page, Host_.
    destruct (luck w 0 AtEntry); auto;
      fold (leaf_at s v a); fold (leaf_at t v a);
      (destruct (leaf_at s v a) as [l|] eqn:El;
       [|rewrite (same_hole v s t L _ El), (same_ram v s t L); destruct (holds_ram _ _ _); exact I]);
      destruct (same_leaf v s t L _ _ El) as (m & Em & E); rewrite Em;
      (destruct (luck w 0 AtPage); auto;
       destruct (own_kind s l a Is El) as [n Ks]; destruct (own_kind t m a It Em) as [n2 Kt];
       pose proof (spot_parts _ _ E) as (_ & _ & K & _ & _); rewrite K in Kt;
       rewrite Ks, Kt; destruct (kind_at (st (pages s (to l)))); simpl; auto;
       rewrite N.eqb_refl; simpl; destruct (luck w 0 AtHost); auto; now apply same_kind with a).
  Qed.

  Lemma same_unshare ipa a :
    looks_same v (fst (answer_page_call s c i ipa (unshare s w v a))) (fst (answer_page_call t d i ipa (unshare t
      w' v a))).
  Proof.
    apply same_page_call. unfold unshare, is_held. rewrite Entry, Page.
    destruct (luck w 0 AtEntry); auto;
      fold (leaf_at s v a); fold (leaf_at t v a);
      (destruct (leaf_at s v a) as [l|] eqn:El; [|rewrite (same_hole v s t L _ El); exact I]);
      destruct (same_leaf v s t L _ _ El) as (m & Em & E); rewrite Em;
      (destruct (luck w 0 AtPage); auto;
       destruct (own_kind s l a Is El) as [n Ks]; destruct (own_kind t m a It Em) as [n2 Kt];
       pose proof (spot_parts _ _ E) as (_ & _ & K & _ & _); rewrite K in Kt;
       rewrite Ks, Kt; destruct (kind_at (st (pages s (to l)))); simpl; auto;
       rewrite N.eqb_refl; simpl; now apply same_kind with a).
  Qed.

  Lemma same_relinquish ipa a :
    looks_same v (fst (answer_page_call s c i ipa (relinquish s w v a)))
                 (fst (answer_page_call t d i ipa (relinquish t w' v a))).
  Proof.
    apply same_page_call. unfold relinquish, is_held. rewrite Entry, Page, Host_.
    destruct (luck w 0 AtEntry); auto.
    fold (leaf_at s v a). fold (leaf_at t v a).
    destruct (leaf_at s v a) as [l|] eqn:El;
      [|rewrite (same_hole v s t L _ El), (same_ram v s t L); destruct (holds_ram _ _ _); exact I].
    destruct (same_leaf v s t L _ _ El) as (m & Em & E). rewrite Em.
    destruct (own_kind s l a Is El) as [n Ks]. destruct (own_kind t m a It Em) as [n2 Kt].
    pose proof (spot_parts _ _ E) as (_ & _ & K & B & _). rewrite K in Kt.
    destruct (luck w 0 AtPage); auto;
      (rewrite Ks, Kt; destruct (kind_at (st (pages s (to l)))) eqn:Ki; simpl; auto;
       rewrite N.eqb_refl; simpl; destruct (luck w 0 AtHost); auto;
       cbv zeta; rewrite B;
       destruct (broken (pages s (to l))); apply same_drop; auto; rewrite Ki; discriminate).
  Qed.

  Lemma same_hvc imm : looks_same v (fst (guest_hvc s w c i imm)) (fst (guest_hvc t w' d i imm)).
  Proof.
    unfold guest_hvc. cbv zeta. rewrite (ls_cfg _ _ _ L), !(sv_x _ _ U), Os, Ot, Said.
    destruct (classify _ _ _ _ _ _); try same_own.
    - apply same_psci.
    - apply same_share.
    - apply same_unshare.
    - apply same_relinquish.
  Qed.

  Theorem same_act g :
    at_ (cores s c) = InGuest i -> at_ (cores t d) = InGuest i ->
    looks_same v (fst (guest_act s w c g)) (fst (guest_act t w' d g)).
  Proof.
    intros As At. unfold guest_act. rewrite As, At. destruct g; try same_own.
    - apply same_resume; [exact L|]. now apply seen_sys, seen_pc, seen_x.
    - apply same_touch.
    - apply same_hvc.
    - cbn [fst]. rewrite Os, Ot. unfold advance.
      pose proof (same_sgi v intid targets s t L) as B. apply looks_vcpu; [exact B|].
      apply seen_next, (ls_vcpus _ _ _ B).
      enough (E : members (vms (send_sgi s v intid targets) v) = members (vms s v)) by now rewrite E.
      clear. unfold send_sgi. revert s. induction targets as [|j rest IH]; intro s; simpl; [reflexivity|].
      rewrite IH. destruct (_ && _); [|reflexivity]. apply (sh_members _ _ (raise_shape s intid j v)).
    - apply same_resume; [exact L|]. apply (seen_irq _ _ U intid (fun q => Irq false (level q) (priority q))).
    - apply same_exit; [exact L|]. destruct sleeps; [|exact U]. apply seen_waiting, seen_next, U.
  Qed.
End Acts.
