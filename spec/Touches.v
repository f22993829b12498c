(** * How many pages one step touches

    Every call of the host's, every act of a guest's and every accident changes no more pages than is said here, each of
    them once. VM_RECLAIM zeroes no more than the interface says; the loans that it ends, and the pages and tables that
    were done before and go with them, are not counted: the engine's bite bounds these (ASSUMPTIONS.md). *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Bounds Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls Proofs.EndOfVm
  Proofs.PageChanges.
Open Scope N_scope.

(** [n] pages have changed at most. *)
Definition touches (n : N) (s s' : state) : Prop :=
  exists ps, N.of_nat (length ps) <= n /\ forall p, ~ In p ps -> pages s' p = pages s p.

Lemma touches_none n s s' : pages s' = pages s -> touches n s s'.
Proof. intro E. exists []. split; [simpl; lia|]. intros p _. now rewrite E. Qed.
Lemma touches_put s p pg : touches 1 s (put_page s p pg).
Proof.
  exists [p]. split; [simpl; lia|]. intros q D. rewrite pages_put.
  destruct (N.eqb_spec q p) as [->|]; [elim D; simpl; auto|reflexivity].
Qed.
Lemma touches_trans n m a b c : touches n a b -> touches m b c -> touches (n + m) a c.
Proof.
  intros (ps & L & P) (qs & K & Q). exists (ps ++ qs). split; [rewrite app_length; lia|].
  intros p D. rewrite Q, P; auto; intro I; apply D, in_or_app; auto.
Qed.
Lemma touches_more n m s s' : touches n s s' -> n <= m -> touches m s s'.
Proof. intros (ps & L & P) H. exists ps. split; [lia|exact P]. Qed.

(** A batch touches one page a step, and one more that it does not do touches none. *)
Lemma batch_touches {A} (of_ : A -> state) f :
  (forall i a a', f i a = Ok a' -> touches 1 (of_ a) (of_ a')) ->
  forall n i a b d e, batch n i f a = (b, d, e) -> touches (d - i) (of_ a) (of_ b).
Proof.
  intros K n. induction n as [|n IH]; intros i a b d e H.
  - simpl in H. injection H as <- <- _. now apply touches_none.
  - cbn [batch] in H. destruct (f i a) as [a'|] eqn:F; [|injection H as <- <- _; now apply touches_none].
    pose proof (batch_done _ _ _ _ _ _ _ H) as D.
    apply touches_more with (1 + (d - (i + 1))); [|lia].
    eapply touches_trans; [eapply K; eauto|eapply IH; eauto].
Qed.

Lemma bring_home_touches s p : touches 1 s (bring_home s p).
Proof. unfold bring_home, poisoned. destruct (broken _); apply touches_put. Qed.

(** Most pages that a call changes. *)
Definition most_touched (k : call) : N :=
  match k with
  | VM_MAP => MAP_PAGES
  | VM_MAP_LIST => MAP_LIST_PAGES
  | VM_LEND | VM_UNLEND | ENGINE_DONATE => RUN_PAGES
  | ENGINE_RECLAIM => ENGINE_RECLAIM_PAGES
  | PAGE_POISON => 1
  | _ => 0
  end.

Lemma refused_touches n s r :
  (forall s' o, r = Ok (s', o) -> touches n s s') -> touches n s (fst (or_refused s r)).
Proof.
  intro H. destruct (or_refused s r) as [s' o] eqn:E.
  apply or_refused_cases in E as [E|[-> _]]; [eauto|now apply touches_none].
Qed.

Lemma return_touches w from : forall s i, touches (N.of_nat (length from)) s (fst (return_pages s w i from)).
Proof.
  induction from as [|p rest IH]; intros s i; simpl; [now apply touches_none|].
  destruct (_ && _); [|now apply touches_none].
  specialize (IH (bring_home s p) (i + 1)). destruct (return_pages _ _ _ _) as [s' home]. cbn [fst] in *.
  apply touches_more with (1 + N.of_nat (length rest)); [|lia].
  eapply touches_trans; [apply bring_home_touches|exact IH].
Qed.

(** A batch over [taken_on w n] of [n] pages. *)
Lemma taken_touches {A} (of_ : A -> state) f w n limit a b d e :
  (forall i a a', f i a = Ok a' -> touches 1 (of_ a) (of_ a')) -> n <= limit ->
  batch (N.to_nat (taken_on w n)) 0 f a = (b, d, e) -> touches limit (of_ a) (of_ b).
Proof.
  intros K L H. pose proof (batch_done _ _ _ _ _ _ _ H) as D. unfold taken_on in D.
  apply touches_more with (d - 0); [eapply batch_touches; eauto|lia].
Qed.

Lemma map_page_touches s w i v p a r s' : map_page s w i v p a r = Ok s' -> touches 1 s s'.
Proof. unfold map_page. intro H. steps H. injection H as <-. apply touches_put. Qed.
Lemma lend_page_touches s w i v p a r s' : lend_page s w i v p a r = Ok s' -> touches 1 s s'.
Proof. unfold lend_page. intro H. steps H. injection H as <-. apply touches_put. Qed.
Lemma unlend_page_touches s w i v a mine r : unlend_page s w i v a mine = Ok r -> touches 1 s (fst r).
Proof.
  unfold unlend_page. intro H. steps H. destruct (lookup _ _); [|discriminate]. steps H.
  destruct (st _); try discriminate. steps H. injection H as <-. apply touches_put.
Qed.
Lemma donate_page_touches s w i p s' : donate_page s w i p = Ok s' -> touches 1 s s'.
Proof. unfold donate_page. intro H. steps H. injection H as <-. apply touches_put. Qed.

Theorem every_call_is_bounded k s w c a :
  k <> VM_RECLAIM -> touches (most_touched k) s (fst (host_call k s w c a)).
Proof.
  intro N. destruct k; unfold host_call, told; cbn [most_touched]; try (now apply touches_none); try contradiction.
  - unfold changed. destruct (engine_doorbell s a) as [[s' l]|] eqn:E; [|now apply touches_none].
    unfold engine_doorbell in E. steps E. injection E as <- _. now apply touches_none.
  - unfold engine_donate. apply refused_touches. intros s' o H. steps H.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. injection H as <- _. apply count_limit in E.
    pose proof (batch_done _ _ _ _ _ _ _ B) as D.
    apply (batch_touches (fun x => x)) in B; [|intros; eapply donate_page_touches; eauto].
    unfold lose_at. rewrite N.sub_0_r in B.
    assert (T : taken_on w a0 <= a0) by (unfold taken_on; lia).
    destruct e; try (apply touches_more with d; [exact B|lia]).
    destruct (d <? taken_on w a0) eqn:Lt; cbn [andb]; [|apply touches_more with d; [exact B|lia]].
    apply N.ltb_lt in Lt. apply touches_more with (d + 1); [|lia]. eapply touches_trans; [exact B|].
    destruct (_ && _); [|now apply touches_none]. destruct (st _); try (now apply touches_none). apply touches_put.
  - unfold engine_reclaim. apply refused_touches. intros s' o H. steps H. apply count_limit in E.
    pose proof (return_touches w (firstn (N.to_nat a0) (spare w)) s 0) as K.
    destruct (return_pages _ _ _ _). injection H as <- _. eapply touches_more; [exact K|].
    pose proof (firstn_le_length (N.to_nat a0) (spare w)). lia.
  - apply touches_none, vm_create_pages.
  - unfold vm_map. apply refused_touches. intros s' o H. steps H. apply count_limit in E. injection H as H.
    pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
    eapply (taken_touches (fun x => x)); [|exact E|exact B]. intros i x y Hx. eapply map_page_touches; exact Hx.
  - unfold vm_map_list. apply refused_touches. intros s' o H. steps H. apply count_limit in E.
    destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
    eapply (taken_touches fst) in B; [exact B| |exact E].
    intros i [x lx] [y ly] Hx. unfold map_entry in Hx. steps Hx. injection Hx as -> _. eapply map_page_touches; eauto.
  - unfold vm_lend. apply refused_touches. intros s' o H. steps H. apply count_limit in E. injection H as H.
    pose proof (f_equal fst H) as F. rewrite of_batch_fst in F. simpl in F. rewrite <- F.
    destruct (batch _ _ _ s) as [[b d] e] eqn:B. simpl.
    eapply (taken_touches (fun x => x)); [|exact E|exact B]. intros i x y Hx. eapply lend_page_touches; exact Hx.
  - unfold vm_unlend. apply refused_touches. intros s' o H. steps H. apply count_limit in E.
    destruct (batch _ _ _ (s, [])) as [[[b l] d] e] eqn:B. injection H as <- _.
    eapply (taken_touches fst) in B; [exact B| |exact E].
    intros i [x lx] [y ly] Hx. unfold unlend_step in Hx. steps Hx. injection Hx as <- _.
      eapply unlend_page_touches; eauto.
  - apply touches_none, vm_start_pages.
  - apply touches_none, vm_destroy_pages.
  - apply touches_none, vcpu_create_pages.
  - apply touches_none, vcpu_enqueue_pages.
  - apply touches_none, vcpu_dequeue_pages.
  - apply touches_none, vcpu_respond_pages.
  - apply touches_none, vcpu_inject_pages.
  - unfold page_poison. apply refused_touches. intros s' o H. steps H. injection H as <- _. apply touches_put.
Qed.

(** ** VM_RECLAIM *)

(** The content of [n] pages has changed at most. *)
Definition empties (n : N) (s s' : state) : Prop :=
  exists ps, N.of_nat (length ps) <= n /\ forall p, ~ In p ps -> holds (pages s' p) = holds (pages s p).

Lemma empties_none n s s' : (forall p, holds (pages s' p) = holds (pages s p)) -> empties n s s'.
Proof. intro E. exists []. split; [simpl; lia|auto]. Qed.
Lemma empties_trans n m a b c : empties n a b -> empties m b c -> empties (n + m) a c.
Proof.
  intros (ps & L & P) (qs & K & Q). exists (ps ++ qs). split; [rewrite app_length; lia|].
  intros p D. rewrite Q, P; auto; intro I; apply D, in_or_app; auto.
Qed.
Lemma empties_put s p pg : empties 1 s (put_page s p pg).
Proof.
  exists [p]. split; [simpl; lia|]. intros q D. rewrite pages_put.
  destruct (N.eqb_spec q p) as [->|]; [elim D; simpl; auto|reflexivity].
Qed.
Lemma empties_kept n s p pg : holds pg = holds (pages s p) -> empties n s (put_page s p pg).
Proof. intro H. apply empties_none. intro q. rewrite pages_put. destruct (N.eqb_spec q p); subst; auto. Qed.

(** What a leaf takes of the work that a call may do is what it zeroes. *)
Lemma leaf_empties s v a how : let r := reclaim_leaf s v a how in empties (fst (snd r)) s (fst r).
Proof.
  cbv zeta. unfold reclaim_leaf. destruct (lookup _ _) as [l|]; [|now apply empties_none].
  assert (Home1 : forall p, empties 1 s (bring_home s p)).
  { intro p. unfold bring_home, poisoned. destruct (broken _); apply empties_put. }
  destruct (st _); try (destruct how); try (now apply empties_none); destruct (_ =? v);
    try (now apply empties_none); simpl; try (now apply empties_kept); try apply Home1.
  destruct (negb _); [apply empties_put|now apply empties_none].
Qed.

Lemma leaves_empty v from : forall s left,
  let r := reclaim_leaves s v left from in empties (fst (snd r)) s (fst r) /\ fst (snd r) <= left.
Proof.
  cbv zeta. induction from as [|[a how] rest IH]; intros s left; simpl; [split; [now apply empties_none|lia]|].
  pose proof (leaf_empties s v a how) as K. cbv zeta in K. destruct (reclaim_leaf s v a how) as [s' n].
  destruct (N.ltb_spec left (fst n)); simpl; [split; [now apply empties_none|lia]|].
  destruct (IH s' (left - fst n)) as [B C]. destruct (reclaim_leaves s' v (left - fst n) rest) as [s'' m].
  simpl in *. split; [eapply empties_trans; eauto|lia].
Qed.

Theorem reclaim_is_bounded s w a : empties RECLAIM_PAGES s (fst (vm_reclaim s w a)).
Proof.
  unfold vm_reclaim. destruct (or_refused _ _) as [s' o] eqn:E. cbn [fst].
  apply or_refused_cases in E as [H|[-> _]]; [|now apply empties_none]. steps H. apply count_limit in E.
  pose proof (leaves_empty a1 (found w) s a0) as [K L]. cbv zeta in *.
  destruct (reclaim_leaves _ _ _ _) as [s1 n]. cbn [fst snd] in *.
  assert (Plain : empties RECLAIM_PAGES s s1).
  { destruct K as (ps & Lp & P). exists ps. split; [lia|exact P]. }
  destruct (leaves _); [destruct (ends w && (fst n =? 0))|]; injection H as <- _; try exact Plain.
  destruct Plain as (ps & Lp & P). exists ps. split; [exact Lp|]. intros p D. rewrite <- P by exact D.
  apply free_table_holds.
Qed.

(** ** Every step *)

Lemma guest_touches s w c g : touches 1 s (fst (guest_act s w c g)).
Proof.
  assert (Same : forall s', pages s' = pages s -> touches 1 s s') by (intros; now apply touches_none).
  unfold guest_act. destruct (at_ (cores s c)) as [| |i|]; try (now apply Same).
  destruct g; try (now apply Same).
  - unfold touch. destruct (lookup _ _) as [l|].
    + destruct (allows _ _); [|now apply Same]. destruct (broken _); [now apply Same|].
      destruct (kind a); try (now apply Same). simpl. apply touches_put.
    + apply Same. destruct (holds_ram _ _ _); [reflexivity|]. unfold touch_device. destruct (negb _); [reflexivity|].
      destruct (kind a); try destruct (in_frames _ _); reflexivity.
  - unfold guest_hvc. destruct (classify _ _ _ _ _ _); try (now apply Same).
    + apply Same, psci_pages.
    + unfold share. destruct (is_held _ _ _); [now apply Same|]. destruct (lookup _ _) as [l|].
      * destruct (is_held _ _ _); [now apply Same|]. destruct (st _); try (now apply Same).
        destruct (negb _); [now apply Same|]. destruct (luck _ _ _); try (now apply Same). simpl. apply touches_put.
      * destruct (holds_ram _ _ _); now apply Same.
    + unfold unshare. destruct (is_held _ _ _); [now apply Same|]. destruct (lookup _ _) as [l|]; [|now apply Same].
      destruct (is_held _ _ _); [now apply Same|]. destruct (st _); try (now apply Same).
      destruct (negb _); [now apply Same|]. simpl. apply touches_put.
    + unfold relinquish. destruct (luck _ _ _); try (now apply Same). destruct (lookup _ _) as [l|].
      * destruct (is_held _ _ _); [now apply Same|]. destruct (st _); try (now apply Same).
        destruct (negb _); [now apply Same|]. destruct (luck _ _ _); try (now apply Same).
        cbv zeta. unfold bring_home, poisoned. destruct (broken (pages s (to l))); simpl; apply touches_put.
      * destruct (holds_ram _ _ _); now apply Same.
  - apply Same. simpl. unfold advance. simpl. apply send_sgi_pages.
Qed.

Definition most_of (e : event) : N :=
  match e with
  | ByHost _ (HostHvc _ x0 _) => match call_of x0 with Some k => most_touched k | None => 0 end
  | ByHost _ (HostStore _ _ _) | ByGuest _ _ | ByChance _ => 1
  | ByHost _ _ | ByEngine _ _ => 0
  end.

Theorem every_step_is_bounded s w e :
  (forall c imm x0 a, e = ByHost c (HostHvc imm x0 a) -> call_of x0 <> Some VM_RECLAIM) ->
  touches (most_of e) s (fst (step s w e)).
Proof.
  intro N. unfold step. destruct (machine_off s); [now apply touches_none|].
  destruct e as [c h|c t|c g|h]; cbn [most_of].
  - destruct (runs_host s c); [|now apply touches_none]. destruct h as [imm x0 a| | |p i x]; unfold host_does.
    + specialize (N c imm x0 a eq_refl). unfold host_hvc. destruct (imm =? 0); [|now apply touches_none].
      destruct (call_of x0) as [k|]; [|now apply touches_none].
      pose proof (every_call_is_bounded k s w c a) as K. destruct (host_call k s w c a). apply K. congruence.
    + apply touches_none. unfold host_smc. destruct (negb _); [reflexivity|].
      destruct (decode_psci _ _ _ _) as [q|]; [|destruct (classify_smc _ _); reflexivity].
      assert (Q : pages (fst (host_psci s c q)) = pages s).
      { destruct q; try reflexivity; simpl.
        - destruct (has_queued s c); reflexivity.
        - destruct (host_cpu_on _ _ _); reflexivity. }
      destruct (host_psci s c q) as [s' z]. destruct (machine_off s'); exact Q.
    + now apply touches_none.
    + unfold host_store. destruct (_ && _); [apply touches_put|now apply touches_none].
  - apply touches_none. destruct (c <? cores_n (cfg s)); [|reflexivity]. unfold take_turn.
    destruct (at_ (cores s c)), t; try reflexivity.
    + unfold pick. destruct (place _); try reflexivity. destruct (_ && _); [|reflexivity].
      destruct (phase _) as [[]|]; reflexivity.
    + unfold tell_first, tell_ready. destruct (place (vcpus s i)), (phase (vms s (of_vm (vcpus s i)))) as [[]|]; try reflexivity.
      destruct (_ && _); [|reflexivity]. destruct (tell_of _ _ _) as [[]]; reflexivity.
    + destruct (may_stop _ _ _); reflexivity.
    + unfold tell_ready. destruct (tell_of _ _ _) as [[]]; reflexivity.
    + unfold leave. destruct (phase _) as [[]|]; reflexivity.
  - destruct (c <? cores_n (cfg s)); [apply guest_touches|now apply touches_none].
  - destruct h as [p|d|d|p|p o|p]; simpl.
    + apply touches_put.
    + destruct (at_ _); now apply touches_none.
    + destruct (pow _); now apply touches_none.
    + destruct (host_may _); [apply touches_put|now apply touches_none].
    + destruct (st _); try (now apply touches_none). destruct (use _); try (now apply touches_none).
      destruct o as [u|]; [destruct (is_live _)|]; try (now apply touches_none); apply touches_put.
    + destruct (use _) as [|[u|]]; [|destruct (has_gone_home _)|]; try (now apply touches_none); apply touches_put.
Qed.
