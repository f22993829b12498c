(** * A call is refused with nothing but what `engine/abi/interface.toml` says *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Proofs.Moves Proofs.MemoryCalls.
Open Scope N_scope.

(** Is it refused only with one of these? *)
Definition only {A} (l : list status) (r : res A) : Prop := forall e, r = No e -> In e l.

Lemma only_bind {A B} l (m : res A) (k : A -> res B) :
  only l m -> (forall a, only l (k a)) -> only l (bind m k).
Proof. unfold only. destruct m; simpl; intros H K e E; eauto. apply H. congruence. Qed.
Lemma only_need {A} l b e (k : res A) : In e l -> only l k -> only l (need b e k).
Proof. unfold only, need. destruct b; [auto|]. intros H _ e' E. injection E as <-. auto. Qed.
Lemma only_ok {A} l (a : A) : only l (Ok a).
Proof. unfold only. discriminate. Qed.
Lemma only_no {A} l e : In e l -> @only A l (No e).
Proof. unfold only. intros H e' E. injection E as <-. auto. Qed.

Definition call_only (l : list status) (r : state * res (list N)) : Prop := only l (snd r).

Lemma only_refused l s r :
  only l r -> (forall s' o, r = Ok (s', o) -> only l o) -> call_only l (or_refused s r).
Proof.
  intros H K. unfold call_only, or_refused. destruct r as [[s' o]|e]; simpl; eauto.
  apply only_no. apply H. auto.
Qed.

Lemma only_changed l s r : only l r -> call_only l (changed s r).
Proof. intros H. unfold changed, call_only. destruct r as [[]|e]; simpl; [apply only_ok|]. apply only_no, H. auto. Qed.

Lemma batch_why {A} (l : list status) f :
  (forall i (a : A), only l (f i a)) ->
  forall n i a b d why, batch n i f a = (b, d, why) -> why = SUCCESS \/ In why l.
Proof.
  intros K n. induction n as [|n IH]; simpl; intros i a b d why E.
  - injection E as _ _ <-. auto.
  - destruct (f i a) eqn:F; [eauto|]. injection E as _ _ <-. right. eapply K. eauto.
Qed.

Lemma batch_ok_only {A} (l : list status) f n (a b : A) d why :
  (forall i a, only l (f i a)) -> batch n 0 f a = (b, d, why) -> (0 < n)%nat ->
  only l (snd (of_batch (b, d, why))).
Proof.
  intros K B P. simpl. destruct (N.eqb_spec d 0); [|apply only_ok]. subst. apply only_no.
  destruct n as [|n]; [lia|]. simpl in B. destruct (f 0 a) eqn:F.
  - apply batch_done in B. lia.
  - injection B as _ <-. eapply K. eauto.
Qed.

(** Looks at each way in which a check can refuse. *)
Ltac list_it := simpl; tauto.
Ltac documented :=
  repeat (intros; cbv beta zeta; match goal with
  | |- only _ (bind _ _) => apply only_bind
  | |- only _ (need _ _ _) => apply only_need; [list_it|]
  | |- only _ (Ok _) => apply only_ok
  | |- only _ (No _) => apply only_no; list_it
  | |- only _ (some ?m _) => unfold some
  | |- only _ (match ?m with _ => _ end) => destruct m
  | |- only _ (if ?m then _ else _) => destruct m
  | |- only _ (?f _ _ _ _ _ _ _) => unfold f
  | |- only _ (?f _ _ _ _ _ _) => unfold f
  | |- only _ (?f _ _ _ _ _) => unfold f
  | |- only _ (?f _ _ _ _) => unfold f
  | |- only _ (?f _ _ _) => unfold f
  | |- only _ (?f _ _) => unfold f
  | |- only _ (?f _) => unfold f
  end).

(** The number of pages of a batch is not 0. *)
Lemma pages_count_ok raw limit n : pages_count raw limit = Ok n -> 0 < n.
Proof.
  unfold pages_count. intro H. steps H. injection H as <-.
  apply andb_prop in C as [C _]. apply negb_true_iff, N.eqb_neq in C. lia.
Qed.

Ltac positive :=
  match goal with H : pages_count _ _ = Ok ?n |- _ => apply pages_count_ok in H end;
  unfold taken_on; lia.

Theorem refusals_are_documented k s w c a s' e :
  host_call k s w c a = (s', No e) -> In e (call_errors k).
Proof.
  intro H.
  assert (G : call_only (call_errors k) (host_call k s w c a)); [|unfold call_only in G; rewrite H in G; auto].
  clear H. destruct k; unfold host_call, told; try (unfold call_only; simpl snd).
  - documented.
  - apply only_changed. documented.
  - (* ENGINE_DONATE *)
    apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (batch _ _ _ s) as [[b d] why] eqn:B. injection H as _ <-.
    destruct (N.eqb_spec d 0); [|apply only_ok]. subst. apply only_no.
    assert (W : In why [NOT_RAM; NOT_OWNER; BUSY; NO_MEMORY]).
    { destruct (N.to_nat (taken_on w a0)) eqn:Z;
        [exfalso; apply pages_count_ok in E; unfold taken_on in Z; lia|].
      simpl in B. destruct (donate_page s w 0 (a1 + 0)) eqn:D.
      - apply batch_done in B. lia.
      - injection B as _ <-. revert D.
        assert (O : only [NOT_RAM; NOT_OWNER; BUSY; NO_MEMORY] (donate_page s w 0 (a1 + 0))) by documented.
        apply O. }
    unfold donate_reason. destruct why; simpl in W; try tauto; try (simpl; tauto).
    cbv zeta. change (0 =? 0) with true. cbv iota.
    destruct (find _ _) as [j|]; [|simpl; tauto].
    assert (O : only [NOT_RAM; NOT_OWNER; BUSY] (claim_host b w j (a1 + j))) by documented.
    destruct (claim_host b w j (a1 + j)) as [|e'].
    + simpl; tauto.
    + specialize (O e' eq_refl). simpl in *. tauto.
  - (* ENGINE_RECLAIM *)
    apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (return_pages _ _ _ _). injection H as _ <-. apply only_ok.
  - apply only_refused; [documented|]. intros s1 o H. steps H. injection H as _ <-. apply only_ok.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (batch _ _ _ s) as [[b d] why] eqn:B. injection H as _ <-.
    change (only (call_errors VM_MAP) (snd (of_batch (b, d, why)))).
    eapply batch_ok_only; [|exact B|positive]. documented.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (batch _ _ _ _) as [[[b l] d] why] eqn:B. injection H as _ <-.
    change (only (call_errors VM_MAP_LIST) (snd (of_batch ((b, l), d, why)))).
    eapply batch_ok_only; [|exact B|positive]. documented.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (batch _ _ _ s) as [[b d] why] eqn:B. injection H as _ <-.
    change (only (call_errors VM_LEND) (snd (of_batch (b, d, why)))).
    eapply batch_ok_only; [|exact B|positive]. documented.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (batch _ _ _ _) as [[[b l] d] why] eqn:B. injection H as _ <-.
    change (only (call_errors VM_UNLEND) (snd (of_batch ((b, l), d, why)))).
    eapply batch_ok_only; [|exact B|positive]. documented.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (is_held w 0 AtPage); injection H as _ <-; [apply only_no; list_it|apply only_ok].
  - apply only_refused; [documented|]. intros s1 o H. steps H. injection H as _ <-. apply only_ok.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (reclaim_leaves _ _ _ _) as [s2 n].
    destruct (leaves _); [destruct (ends w && (fst n =? 0))|]; injection H as _ <-; apply only_ok.
  - apply only_refused; [documented|]. intros s1 o H. steps H. injection H as _ <-. apply only_ok.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (place _); try discriminate H; steps H; injection H as _ <-; apply only_ok.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (place _); try discriminate H; steps H; injection H as _ <-; apply only_ok.
  - documented.
  - apply only_refused; [documented|]. intros s1 o H. steps H.
    destruct (place _); try discriminate H; steps H; injection H as _ <-; apply only_ok.
  - apply only_refused; [documented|]. intros s1 o H. steps H. injection H as _ <-. apply only_ok.
  - documented.
  - apply only_refused; [documented|]. intros s1 o H. steps H. injection H as _ <-. apply only_ok.
  - documented.
  - documented.
  - documented.
Qed.
