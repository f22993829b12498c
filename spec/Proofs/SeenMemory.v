(** * What a call about memory leaves of what a VM sees: what the message says

    [fate_of] and what the VM saw before determine what it sees after: at each IPA, and which IPAs are one page. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step Seen Channel HostSide.
From Bulkhead Require Import Calls.Pages Calls.Memory Calls.Life Calls.Vcpus Guest.Run Guest.Acts.
From Bulkhead Require Import Invariants Changes Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls Proofs.EndOfVm.
From Bulkhead Require Import Proofs.HostCalls Proofs.PageChanges Proofs.OtherChanges Proofs.LeafChanges.
From Bulkhead Require Import Proofs.Faulty Proofs.Config Proofs.Reachable Proofs.Unseen.
Open Scope N_scope.

Definition memory_calls : list call := [VM_MAP; VM_MAP_LIST; VM_LEND; VM_UNLEND; VM_RECLAIM].

(** What is seen at an IPA after the call. *)
Definition after (f : fate) (before : option spot) : option spot :=
  match f, before with
  | Kept, _ => before
  | Came here _, _ => Some here
  | Went, _ => None
  | Emptied, Some b => Some (Spot (writable b) (executable b) Zeroed (faulty b) zeroes)
  | Emptied, None => None
  end.

(** Whether two IPAs are one page. *)
Definition alias_after (f g : fate) (a b : N) (before : bool) : bool :=
  match f, g with
  | Came _ beside, _ => beside b
  | _, Came _ beside => beside a
  | Went, _ | _, Went => false
  | _, _ => before
  end.

Section Call.
  Variables (v : N) (s : state) (w : weather) (c x0 : N) (a : args) (k : call) (l : list N).
  Let e := ByHost c (HostHvc 0 x0 a).
  Let s' := fst (step s w e).
  Hypothesis I : invariant s.
  Hypothesis Name : call_of x0 = Some k.
  Hypothesis Kind : In k memory_calls.
  Hypothesis Mine : slot_of (x1 a) = v.
  Hypothesis Call : host_call k s w c a = (s', Ok l).

  Lemma inv_after : invariant s'.
  Proof. now apply step_invariant. Qed.

  (** A leaf that stays leads to a page that shows the same, or to one that was emptied. *)
  Lemma page_after b m :
    leaf_at s v b = Some m -> leaf_at s' v b = Some m ->
    shows_same (pages s (to m)) (pages s' (to m))
    \/ (kind_at (st (pages s (to m))) <> Zeroed /\ kind_at (st (pages s' (to m))) = Zeroed
        /\ broken (pages s' (to m)) = broken (pages s (to m)) /\ holds (pages s' (to m)) = zeroes).
  Proof.
    intros L L'. pose proof (I2_leaves s v b m (inv_memory _ I) L) as N.
    pose proof (I2_leaves s' v b m (inv_memory _ inv_after) L') as N'.
    pose proof (call_faults k s w c a (to m)) as F. rewrite Call in F. cbn [fst] in F.
    destruct (step_pages s w e (to m) I) as [E|C]; [left; unfold s'; rewrite E; apply shows_refl|].
    fold s' in C. unfold shows_same.
    destruct C; unfold given, lent, unlent, donated, returned, same_content in *;
      try (match goal with X : is_act _ _ _ e |- _ => inversion X end; fail); try discriminate.
    - destruct H0 as (S & _). rewrite S in N. discriminate.
    - destruct H0 as ([S|[j S]] & [j' S'] & H' & _); [rewrite S in N; discriminate|].
      left. rewrite S, S', F. auto.
    - destruct H0 as ([j S] & [S'|[j' S']] & H' & _); [rewrite S' in N'; discriminate|].
      left. rewrite S, S', F. auto.
    - destruct H0 as (S & _). rewrite S in N. discriminate.
    - destruct H0 as (S & _). rewrite S in N. discriminate.
    - destruct H2 as [[([j S] & [S'|[j' S']] & H' & _)|[Was [S'|[Z [S'|S']]]]]|[U U']];
        try (rewrite S' in N'; discriminate).
      + left. rewrite S, S', F. auto.
      + destruct Was as [S|[S|S]]; [right|right|left];
          try (rewrite S, S'; repeat split; auto; discriminate).
        pose proof (proj2 (scrubbing_ok _ _ (pages_ok s (inv_memory _ I) (to m)) _ S)) as Z'.
        rewrite S, S', F, Z, Z'. auto.
      + left. rewrite U, F. auto.
  Qed.

  Lemma leaf_after b : leaf_at s' v b = leaf_at s v b \/ leaf_at s v b = None \/ leaf_at s' v b = None.
  Proof. destruct (step_leaves s w e v b I) as [E|C]; [auto|]. destruct C; auto. Qed.

  Theorem spot_after b : spot_at s' v b = after (fate_of s s' v b) (spot_at s v b).
  Proof.
    unfold fate_of. destruct (spot_at s v b) as [x|] eqn:X, (spot_at s' v b) as [y|] eqn:Y; auto.
    unfold spot_at in X, Y. destruct (leaf_at s v b) as [m|] eqn:L; [|discriminate].
    destruct (leaf_at s' v b) as [m'|] eqn:L'; [|discriminate].
    assert (m' = m) as -> by (destruct (leaf_after b) as [E|[E|E]]; congruence).
    injection X as <-. injection Y as <-. unfold spot_of. cbn [page_kind].
    destruct (page_after b m L L') as [(K & B & H)|(K & K' & B & Z)].
    - rewrite K, B, H. destruct (kind_at (st (pages s (to m)))); reflexivity.
    - rewrite K', B, Z. destruct (kind_at (st (pages s (to m)))); try reflexivity. now elim K.
  Qed.

  (** The fate is the leaf's. *)
  Lemma fate_cases b :
    match fate_of s s' v b with
    | Came _ beside => leaf_at s v b = None /\ beside = same_page s' v b
    | Went => leaf_at s' v b = None
    | Kept | Emptied => leaf_at s' v b = leaf_at s v b
    end.
  Proof.
    unfold fate_of, spot_at. destruct (leaf_after b) as [E|[E|E]].
    - rewrite E. destruct (leaf_at s v b); simpl; [|reflexivity].
      destruct (kind_at _); try (destruct (kind_at _)); reflexivity.
    - rewrite E. destruct (leaf_at s' v b); simpl; auto.
    - rewrite E. destruct (leaf_at s v b); simpl; auto.
  Qed.

  Theorem alias_after_call b d :
    same_page s' v b d = alias_after (fate_of s s' v b) (fate_of s s' v d) b d (same_page s v b d).
  Proof.
    pose proof (fate_cases b) as B. pose proof (fate_cases d) as D. unfold alias_after.
    destruct (fate_of s s' v b) as [|here beside| |], (fate_of s s' v d) as [|here' beside'| |];
      try (apply proj2 in B; subst; reflexivity);
      try (apply proj2 in D; subst; apply same_page_sym);
      unfold same_page, leads; rewrite ?B, ?D; try reflexivity;
      try (destruct (leaf_at s v b); rewrite ?D; reflexivity).
  Qed.

  Ltac named_vm :=
    match goal with X : vm_for _ _ _ = Ok _ |- _ => apply vm_for_ok in X as (-> & X & _); exact X end.

  (** The rest of the VM stays, until it is over. *)
  Lemma slot_after :
    same_shape (vms s v) (set_members (vms s' v) (members (vms s v)))
    /\ members (vms s' v) = (if is_live (vms s' v) then members (vms s v) else [])
    /\ forall i, In i (members (vms s' v)) -> vcpus s' i = vcpus s i.
  Proof.
    pose proof (inv_memory _ I) as M.
    assert (Plain : forall R t, phase_of s v <> None -> keeps (Some v) R s t ->
      same_shape (vms s v) (set_members (vms t v) (members (vms s v)))
      /\ members (vms t v) = (if is_live (vms t v) then members (vms s v) else [])
      /\ forall i, In i (members (vms t v)) -> vcpus t i = vcpus s i).
    { intros R t P K. destruct (keeps_others _ _ _ _ M K) as [Ev _]. destruct (K M) as [[O _ _] _].
      rewrite (only_memory_vm _ _ v O). split; [split; reflexivity|]. split; [|intros; now rewrite Ev].
      unfold is_live, phase_of in *. simpl. now destruct (phase (vms s v)). }
    clearbody s'. unfold memory_calls in Kind. simpl in Kind. subst v.
    destruct Kind as [<-|[<-|[<-|[<-|[<-|[]]]]]]; unfold host_call in Call.
    - pose proof (vm_map_moves s w a) as K. rewrite Call in K. eapply Plain; [|exact K].
      pose proof (or_refused_inv _ _ _ _ Call) as H. steps H. named_vm.
    - pose proof (vm_map_list_moves s w a) as K. rewrite Call in K. eapply Plain; [|exact K].
      pose proof (or_refused_inv _ _ _ _ Call) as H. steps H. named_vm.
    - pose proof (vm_lend_moves s w a) as K. rewrite Call in K. eapply Plain; [|exact K].
      pose proof (or_refused_inv _ _ _ _ Call) as H. steps H. named_vm.
    - pose proof (vm_unlend_moves s w a) as K. rewrite Call in K. eapply Plain; [|exact K].
      pose proof (or_refused_inv _ _ _ _ Call) as H. steps H. named_vm.
    - pose proof (or_refused_inv _ _ _ _ Call) as H. steps H. apply vm_for_ok in E0 as (-> & L & A).
      assert (D : phase_of s (slot_of (x1 a)) = Some Dying) by (unfold phase_of; allowed A; auto).
      pose proof (reclaim_leaves_moves (slot_of (x1 a)) (found w) s a0 D) as K.
      destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in K.
      destruct (leaves (vms s1 (slot_of (x1 a)))); [|injection H as <- _; eapply Plain; eauto].
      destruct (ends w && (fst n =? 0)); injection H as <- _; [|eapply Plain; eauto].
      destruct (Plain _ _ L K) as (Sh & _). unfold end_vm. simpl. unfold upd. rewrite N.eqb_refl. simpl.
      split; [|split; [reflexivity|contradiction]].
      destruct Sh as [S1 S2 S3 S4 _]. split; auto.
  Qed.
End Call.

(** ** Both sides *)

Lemma fate_after f g x : same_fate f g -> after f x = after g x.
Proof. destruct f, g; simpl; try contradiction; try discriminate; auto. intros [-> _]. reflexivity. Qed.

Lemma fate_alias f g f' g' a b x :
  same_fate f f' -> same_fate g g' -> alias_after f g a b x = alias_after f' g' a b x.
Proof.
  destruct f, f'; simpl; try contradiction; try discriminate;
    destruct g, g'; simpl; try contradiction; try discriminate; intuition congruence.
Qed.
