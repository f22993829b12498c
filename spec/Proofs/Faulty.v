(** * No call makes a page broken, or mends one: only hardware does *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls Proofs.PageChanges.
Open Scope N_scope.

Definition faults_same (s s' : state) : Prop := forall p, broken (pages s' p) = broken (pages s p).

Lemma faults_refl s : faults_same s s.
Proof. intro. reflexivity. Qed.
Lemma faults_trans a b c : faults_same a b -> faults_same b c -> faults_same a c.
Proof. intros H K p. now rewrite K, H. Qed.
Lemma faults_put s p pg : broken pg = broken (pages s p) -> faults_same s (put_page s p pg).
Proof. intros E q. rewrite pages_put. destruct (N.eqb_spec q p); subst; auto. Qed.

Lemma bring_home_faults s p : faults_same s (bring_home s p).
Proof. unfold bring_home, poisoned. destruct (broken _) eqn:B; apply faults_put; reflexivity. Qed.

Lemma map_page_faults s w i v p a r s' : map_page s w i v p a r = Ok s' -> faults_same s s'.
Proof. unfold map_page. intro H. steps H. injection H as <-. now apply faults_put. Qed.
Lemma lend_page_faults s w i v p a r s' : lend_page s w i v p a r = Ok s' -> faults_same s s'.
Proof. unfold lend_page. intro H. steps H. injection H as <-. now apply faults_put. Qed.
Lemma unlend_page_faults s w i v a mine r : unlend_page s w i v a mine = Ok r -> faults_same s (fst r).
Proof.
  unfold unlend_page. intro H. steps H. destruct (lookup _ _); [|discriminate]. steps H.
  destruct (st _); try discriminate. steps H. injection H as <-. now apply faults_put.
Qed.
Lemma donate_page_faults s w i p s' : donate_page s w i p = Ok s' -> faults_same s s'.
Proof. unfold donate_page. intro H. steps H. injection H as <-. now apply faults_put. Qed.

Lemma reclaim_leaf_faults s v a how : faults_same s (fst (reclaim_leaf s v a how)).
Proof.
  unfold reclaim_leaf. destruct (lookup _ _) as [l|]; [|apply faults_refl].
  destruct (st _); try (destruct how); try apply faults_refl; destruct (_ =? v); simpl;
    try apply faults_refl; try (now apply faults_put); try apply bring_home_faults.
  destruct (negb _); simpl; [now apply faults_put|apply faults_refl].
Qed.
Lemma reclaim_leaves_faults v from : forall s left, faults_same s (fst (reclaim_leaves s v left from)).
Proof.
  induction from as [|[a how] rest IH]; intros s left; simpl; [apply faults_refl|].
  pose proof (reclaim_leaf_faults s v a how) as K. destruct (reclaim_leaf s v a how) as [s' n].
  destruct (left <? fst n); [apply faults_refl|]. specialize (IH s' (left - fst n)).
  destruct (reclaim_leaves s' v (left - fst n) rest) as [s'' m]. eapply faults_trans; eauto.
Qed.
Lemma return_pages_faults w from : forall s i, faults_same s (fst (return_pages s w i from)).
Proof.
  induction from as [|p rest IH]; intros s i; simpl; [apply faults_refl|].
  destruct (_ && _); [|apply faults_refl]. specialize (IH (bring_home s p) (i + 1)).
  destruct (return_pages _ _ _ _). eapply faults_trans; [apply bring_home_faults|exact IH].
Qed.

Lemma of_refused_faults s r :
  (forall s' o, r = Ok (s', o) -> faults_same s s') -> faults_same s (fst (or_refused s r)).
Proof.
  intro H. destruct (or_refused s r) as [s' o] eqn:E.
  apply or_refused_cases in E as [E|[-> _]]; [eauto|apply faults_refl].
Qed.

Definition fst_faults {A} (x y : state * A) : Prop := faults_same (fst x) (fst y).

Theorem call_faults k s w c a : faults_same s (fst (host_call k s w c a)).
Proof.
  assert (Same : forall s', pages s' = pages s -> faults_same s s') by (intros s' E p; now rewrite E).
  destruct k; unfold host_call, told; try apply faults_refl.
  - unfold changed. destruct (engine_doorbell s a) as [[s' l]|] eqn:E; [|apply faults_refl].
    unfold engine_doorbell in E. steps E. injection E as <- _. now apply Same.
  - unfold engine_donate. apply of_refused_faults. intros s' o H. steps H.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. injection H as <- _.
    apply faults_trans with b.
    + apply (batch_relates faults_same) in B; eauto using faults_refl, faults_trans, donate_page_faults.
    + unfold lose_at. destruct e; try apply faults_refl. destruct (_ && _); [|apply faults_refl].
      destruct (st _); try apply faults_refl. unfold poisoned. now apply faults_put.
  - unfold engine_reclaim. apply of_refused_faults. intros s' o H. steps H.
    pose proof (return_pages_faults w (firstn (N.to_nat a0) (spare w)) s 0) as K.
    destruct (return_pages _ _ _ _). injection H as <- _. exact K.
  - apply Same, vm_create_pages.
  - unfold vm_map. apply of_refused_faults. intros s' o H. steps H. injection H as H.
    pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
    apply (batch_relates faults_same) in B; eauto using faults_refl, faults_trans.
    intros i x y Hx. eapply map_page_faults; exact Hx.
  - unfold vm_map_list. apply of_refused_faults. intros s' o H. steps H.
    destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
    apply (batch_relates fst_faults) in B; [exact B| | |].
    + intro. apply faults_refl.
    + intros x y z X Y. eapply faults_trans; eauto.
    + intros i [x lx] [y ly] Hx. unfold map_entry in Hx. steps Hx. injection Hx as -> _.
      eapply map_page_faults; eauto.
  - unfold vm_lend. apply of_refused_faults. intros s' o H. steps H. injection H as H.
    pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
    apply (batch_relates faults_same) in B; eauto using faults_refl, faults_trans.
    intros i x y Hx. eapply lend_page_faults; exact Hx.
  - unfold vm_unlend. apply of_refused_faults. intros s' o H. steps H.
    destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
    apply (batch_relates fst_faults) in B; [exact B| | |].
    + intro. apply faults_refl.
    + intros x y z X Y. eapply faults_trans; eauto.
    + intros i [x lx] [y ly] Hx. unfold unlend_step in Hx. steps Hx. injection Hx as <- _.
      eapply unlend_page_faults; eauto.
  - apply Same, vm_start_pages.
  - apply Same, vm_destroy_pages.
  - unfold vm_reclaim. apply of_refused_faults. intros s' o H. steps H.
    match type of H with context [reclaim_leaves s ?v ?m ?f] =>
      pose proof (reclaim_leaves_faults v f s m) as K; destruct (reclaim_leaves s v m f) as [s1 n] eqn:R end.
    cbn [fst] in K.
    destruct (leaves _); [|injection H as <- _; exact K].
    destruct (ends w && (fst n =? 0)); injection H as <- _; [|exact K].
    intro p. rewrite <- K. unfold end_vm. simpl. apply free_table_broken.
  - apply Same, vcpu_create_pages.
  - apply Same, vcpu_enqueue_pages.
  - apply Same, vcpu_dequeue_pages.
  - now apply Same.
  - apply Same, vcpu_respond_pages.
  - apply Same, vcpu_inject_pages.
  - unfold page_poison. apply of_refused_faults. intros s' o H. steps H. injection H as <- _.
    unfold poisoned. now apply faults_put.
Qed.
