(** * The host's calls look the same in states that look the same

    Each call gives the same answer in two states that are alike, and leaves two that are alike. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide Alike.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life Calls.Vcpus.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.Moves Proofs.MemoryCalls.
Open Scope N_scope.

(** ** Results that are alike *)

Definition res_alike {A} (R : A -> A -> Prop) (m n : res A) : Prop :=
  match m, n with Ok a, Ok b => R a b | No e, No f => e = f | _, _ => False end.

Lemma alike_bind {A B} (R : A -> A -> Prop) (Q : B -> B -> Prop) m n k l :
  res_alike R m n -> (forall a b, R a b -> res_alike Q (k a) (l b)) ->
  res_alike Q (bind m k) (bind n l).
Proof. destruct m, n; simpl; intros H K; auto; contradiction. Qed.

(** What only looks gives the same. *)
Lemma alike_look {A B} (Q : B -> B -> Prop) (m n : res A) k l :
  n = m -> (forall a, m = Ok a -> res_alike Q (k a) (l a)) -> res_alike Q (bind m k) (bind n l).
Proof. intros -> H. destruct m; simpl; auto. Qed.

Lemma alike_need {A} (R : A -> A -> Prop) b b' e k l :
  b' = b -> (b = true -> res_alike R k l) -> res_alike R (need b e k) (need b' e l).
Proof. intros -> H. destruct b; simpl; auto. Qed.

Lemma alike_untroubled {A} (R : A -> A -> Prop) w i a k l :
  res_alike R k l -> res_alike R (unless_troubled w i a k) (unless_troubled w i a l).
Proof. intro H. unfold unless_troubled. do 2 (apply alike_need; [reflexivity|intros _]). exact H. Qed.

Definition answer_alike (p q : state * res (list N)) : Prop := alike (fst p) (fst q) /\ snd q = snd p.

Lemma alike_refused s t r q :
  alike s t -> res_alike answer_alike r q -> answer_alike (or_refused s r) (or_refused t q).
Proof.
  intros A H. destruct r as [[]|], q as [[]|]; simpl in *; try contradiction; auto.
  split; simpl; congruence.
Qed.

Lemma batch_alike {A} (R : A -> A -> Prop) f g :
  (forall i a b, R a b -> res_alike R (f i a) (g i b)) ->
  forall n i a b, R a b ->
  R (fst (fst (batch n i f a))) (fst (fst (batch n i g b)))
  /\ snd (fst (batch n i g b)) = snd (fst (batch n i f a))
  /\ snd (batch n i g b) = snd (batch n i f a).
Proof.
  intros K n. induction n as [|n IH]; intros i a b H; simpl; auto.
  specialize (K i a b H). destruct (f i a), (g i b); simpl in *; try contradiction; auto.
Qed.

(** ** What calls look at *)

Section Look.
  Variables s t : state.
  Hypothesis A : alike s t.

  Lemma look_vm h : find_vm t h = find_vm s h.
  Proof. unfold find_vm. by_alike A. reflexivity. Qed.
  Lemma look_vm_for k h : vm_for t k h = vm_for s k h.
  Proof.
    unfold vm_for. rewrite look_vm. destruct (find_vm s h); simpl; [|reflexivity].
    by_alike A. reflexivity.
  Qed.
  Lemma look_vcpu h : find_vcpu t h = find_vcpu s h.
  Proof. unfold find_vcpu, is_there. by_alike A. reflexivity. Qed.
  Lemma look_vcpu_for k h : vcpu_for t k h = vcpu_for s k h.
  Proof.
    unfold vcpu_for. rewrite look_vcpu. destruct (find_vcpu s h); simpl; [|reflexivity].
    by_alike A. reflexivity.
  Qed.
  Lemma look_core raw : core_at t raw = core_at s raw.
  Proof. unfold core_at. by_alike A. reflexivity. Qed.
  Lemma look_claim w i p : claim_host t w i p = claim_host s w i p.
  Proof. unfold claim_host. by_alike A. reflexivity. Qed.
  Lemma look_entry w i v a : free_entry t w i v a = free_entry s w i v a.
  Proof. unfold free_entry. by_alike A. reflexivity. Qed.
  Lemma look_ram p : is_ram t p = is_ram s p.
  Proof. unfold is_ram. by_alike A. reflexivity. Qed.
  Lemma look_check v e : check_entry t v e = check_entry s v e.
  Proof. unfold check_entry. by_alike A. reflexivity. Qed.
  Lemma look_spare p : is_spare (pages t p) = is_spare (pages s p).
  Proof. unfold is_spare. by_alike A. reflexivity. Qed.
  Lemma look_inside v : inside t v = inside s v.
  Proof.
    unfold inside. by_alike A. apply filter_ext. intro c. by_alike A.
    destruct (at_ (cores s c)); by_alike A; reflexivity.
  Qed.
End Look.

(** ** Pages that move alike *)

Lemma move_alike pg pg' to :
  page_alike pg pg' -> (host_may to = true -> host_may (st pg) = true) ->
  page_alike (move_page pg to) (move_page pg' to).
Proof.
  intros [P1 P2 P3 P4 P5 P6] H. unfold move_page. split; simpl; auto; congruence.
Qed.

Lemma scrubbed_alike pg pg' to :
  page_alike pg pg' -> page_alike (move_scrubbed pg to) (move_scrubbed pg' to).
Proof. intros [P1 P2 P3 P4 P5 P6]. unfold move_scrubbed. split; simpl; auto. Qed.

Lemma alike_add s t v a l : alike s t -> alike (add_leaf s v a l) (add_leaf t v a l).
Proof. intro A. unfold add_leaf. rewrite (al_vms _ _ A). now apply alike_vm. Qed.
Lemma alike_drop s t v a : alike s t -> alike (drop_leaf s v a) (drop_leaf t v a).
Proof. intro A. unfold drop_leaf. rewrite (al_vms _ _ A). now apply alike_vm. Qed.

Lemma alike_move s t p to :
  alike s t -> (host_may to = true -> host_may (st (pages s p)) = true) ->
  alike (put_page s p (move_page (pages s p) to)) (put_page t p (move_page (pages t p) to)).
Proof. intros A H. apply alike_page; auto. apply move_alike; auto. apply (al_pages _ _ A). Qed.

Lemma alike_home s t p : alike s t -> alike (bring_home s p) (bring_home t p).
Proof.
  intro A. unfold bring_home, poisoned. by_alike A. destruct (broken (pages s p)).
  - apply alike_move; [auto|discriminate].
  - apply alike_page; auto. apply scrubbed_alike, (al_pages _ _ A).
Qed.

(** ** Operations on one page *)

Lemma map_page_alike s t w i v p a r :
  alike s t -> res_alike alike (map_page s w i v p a r) (map_page t w i v p a r).
Proof.
  intro A. unfold map_page.
  apply alike_look; [now apply look_claim|intros u E]. apply claim_host_ok in E.
  apply alike_look; [now apply look_entry|intros u' _].
  apply alike_untroubled. simpl. apply alike_add, alike_move; auto. discriminate.
Qed.

Lemma lend_page_alike s t w i v p a r :
  alike s t -> res_alike alike (lend_page s w i v p a r) (lend_page t w i v p a r).
Proof.
  intro A. unfold lend_page. apply alike_need; [auto|intros _].
  apply alike_look; [now rewrite (al_st _ _ _ A)|intros q E].
  apply lent_once_more_ok in E as (k & -> & Was & _).
  apply alike_untroubled. apply alike_look; [now apply look_entry|intros u' _].
  simpl. apply alike_add, alike_move; auto. intros _. destruct Was as [[-> _]| ->]; reflexivity.
Qed.

Lemma unlend_page_alike s t w i v a mine :
  alike s t -> res_alike (fun x y => alike (fst x) (fst y) /\ snd y = snd x)
    (unlend_page s w i v a mine) (unlend_page t w i v a mine).
Proof.
  intro A. unfold unlend_page. apply alike_need; [auto|intros _]. by_alike A.
  destruct (lookup a (leaves (vms s v))) as [l|]; [|reflexivity].
  apply alike_need; [auto|intros _]. by_alike A.
  destruct (st (pages s (to l))) eqn:S; try reflexivity.
  apply alike_need; [auto|intros _]. simpl. split; [|auto].
  apply alike_drop, alike_move; auto. intros _. now rewrite S.
Qed.

Lemma donate_page_alike s t w i p :
  alike s t -> res_alike alike (donate_page s w i p) (donate_page t w i p).
Proof.
  intro A. unfold donate_page. apply alike_look; [now apply look_claim|intros u _].
  apply alike_untroubled. apply alike_need; [now rewrite (al_broken _ _ _ A)|intros _].
  simpl. apply alike_page; auto. unfold to_engine. by_alike A. apply page_alike_refl.
Qed.

(** ** The calls about memory *)

Lemma answer_of_batch {A} (R : A -> A -> Prop) (x y : A * N * status) (f : A -> state) :
  (forall a b, R a b -> alike (f a) (f b)) ->
  R (fst (fst x)) (fst (fst y)) /\ snd (fst y) = snd (fst x) /\ snd y = snd x ->
  answer_alike (of_batch (f (fst (fst x)), snd (fst x), snd x)) (of_batch (f (fst (fst y)), snd (fst y), snd y)).
Proof. intros K (H & -> & ->). split; simpl; auto. Qed.

Theorem vm_map_alike s t w a : alike s t -> answer_alike (vm_map s w a) (vm_map t w a).
Proof.
  intro A. unfold vm_map. apply alike_refused; [auto|].
  apply alike_look; [auto|intros n _]. apply alike_look; [auto|intros first _].
  apply alike_look; [by_alike A; auto|intros at_ _]. apply alike_look; [auto|intros r _].
  apply alike_look; [now apply look_vm_for|intros v _].
  apply alike_need; [by_alike A; auto|intros _]. simpl.
  pose proof (batch_alike alike
    (fun i s => map_page s w i v (first + i) (at_ + i) r) (fun i s => map_page s w i v (first + i) (at_ + i) r)
    (fun i a b H => map_page_alike a b w i v (first + i) (at_ + i) r H)
    (N.to_nat (taken_on w n)) 0 s t A) as B.
  destruct (batch _ _ _ s) as [[s' d] e], (batch _ _ _ t) as [[t' d'] e']. simpl in B.
  destruct B as (B & -> & ->). split; simpl; auto.
Qed.

Theorem vm_lend_alike s t w a : alike s t -> answer_alike (vm_lend s w a) (vm_lend t w a).
Proof.
  intro A. unfold vm_lend. apply alike_refused; [auto|].
  apply alike_look; [auto|intros n _]. apply alike_look; [auto|intros first _].
  apply alike_look; [by_alike A; auto|intros at_ _]. apply alike_look; [auto|intros r _].
  apply alike_look; [now apply look_vm_for|intros v _].
  apply alike_need; [by_alike A; auto|intros _]. simpl.
  pose proof (batch_alike alike
    (fun i s => lend_page s w i v (first + i) (at_ + i) r) (fun i s => lend_page s w i v (first + i) (at_ + i) r)
    (fun i a b H => lend_page_alike a b w i v (first + i) (at_ + i) r H)
    (N.to_nat (taken_on w n)) 0 s t A) as B.
  destruct (batch _ _ _ s) as [[s' d] e], (batch _ _ _ t) as [[t' d'] e']. simpl in B.
  destruct B as (B & -> & ->). split; simpl; auto.
Qed.

(** A state with what a call remembers. *)
Definition with_same {B} (x y : state * B) : Prop := alike (fst x) (fst y) /\ snd y = snd x.

Lemma map_entry_alike w v c i x y :
  with_same x y -> res_alike with_same (map_entry w v c i x) (map_entry w v c i y).
Proof.
  destruct x as [s l], y as [t l']. intros [A E]. simpl in *. subst l'. unfold map_entry.
  apply alike_look; [now apply look_check|intros e _].
  apply alike_need; [auto|intros _]. apply alike_look; [now apply look_claim|intros u _].
  apply alike_need; [auto|intros _]. eapply alike_bind; [now apply map_page_alike|].
  intros s' t' A'. simpl. split; simpl; auto.
Qed.

Theorem vm_map_list_alike s t w a : alike s t -> answer_alike (vm_map_list s w a) (vm_map_list t w a).
Proof.
  intro A. unfold vm_map_list. apply alike_refused; [auto|].
  apply alike_look; [auto|intros n _]. apply alike_look; [auto|intros from _].
  apply alike_look; [now apply look_vm_for|intros v _].
  apply alike_look; [now apply look_claim|intros u C]. apply claim_host_ok in C.
  apply alike_need; [by_alike A; auto|intros _].
  assert (H : holds (pages t from) = holds (pages s from)).
  { apply (al_holds _ _ _ A). now rewrite C. }
  rewrite H.
  pose proof (batch_alike with_same
    (map_entry w v (holds (pages s from))) (map_entry w v (holds (pages s from)))
    (map_entry_alike w v (holds (pages s from))) (N.to_nat (taken_on w n)) 0 (s, []) (t, []) (conj A eq_refl)) as B.
  destruct (batch _ _ _ (s, [])) as [[[s' l] d] e], (batch _ _ _ (t, [])) as [[[t' l'] d'] e'].
  simpl in B. destruct B as ([B _] & -> & ->). split; simpl; auto.
Qed.

Lemma unlend_step_alike w v at_ i x y :
  with_same x y -> res_alike with_same (unlend_step w v at_ i x) (unlend_step w v at_ i y).
Proof.
  destruct x as [s l], y as [t l']. intros [A E]. simpl in *. subst l'. unfold unlend_step. cbv zeta.
  eapply alike_bind; [now apply unlend_page_alike|].
  intros [s' p] [t' q] [A' E']. simpl in *. subst. split; simpl; auto.
Qed.

Theorem vm_unlend_alike s t w a : alike s t -> answer_alike (vm_unlend s w a) (vm_unlend t w a).
Proof.
  intro A. unfold vm_unlend. apply alike_refused; [auto|].
  apply alike_look; [auto|intros n _]. apply alike_look; [by_alike A; auto|intros at_ _].
  apply alike_look; [now apply look_vm_for|intros v _].
  apply alike_need; [by_alike A; auto|intros _].
  pose proof (batch_alike with_same (unlend_step w v at_) (unlend_step w v at_)
    (unlend_step_alike w v at_) (N.to_nat (taken_on w n)) 0 (s, []) (t, []) (conj A eq_refl)) as B.
  destruct (batch _ _ _ (s, [])) as [[[s' l] d] e], (batch _ _ _ (t, [])) as [[[t' l'] d'] e'].
  simpl in B. destruct B as ([B _] & -> & ->). split; simpl; auto.
Qed.

Lemma donate_reason_alike s t w first n d e :
  alike s t -> donate_reason t w first n d e = donate_reason s w first n d e.
Proof.
  intro A. unfold donate_reason. destruct e; try reflexivity. cbv zeta.
  assert (F : forall l,
    find (fun i => match claim_host t w i (first + i) with No _ => true | Ok _ => false end) l
    = find (fun i => match claim_host s w i (first + i) with No _ => true | Ok _ => false end) l).
  { induction l as [|j rest IH]; simpl; auto. rewrite (look_claim _ _ A), IH. reflexivity. }
  rewrite F. clear F. destruct (d =? 0); [|reflexivity].
  destruct (find _ _); [|reflexivity]. now rewrite (look_claim _ _ A).
Qed.

Theorem engine_donate_alike s t w a : alike s t -> answer_alike (engine_donate s w a) (engine_donate t w a).
Proof.
  intro A. unfold engine_donate. apply alike_refused; [auto|].
  apply alike_look; [auto|intros n _]. apply alike_look; [auto|intros first _].
  apply alike_need; [now apply look_ram|intros _].
  pose proof (batch_alike alike (fun i s => donate_page s w i (first + i)) (fun i s => donate_page s w i (first + i))
    (fun i a b H => donate_page_alike a b w i (first + i) H) (N.to_nat (taken_on w n)) 0 s t A) as B.
  destruct (batch _ _ _ s) as [[s' d] e], (batch _ _ _ t) as [[t' d'] e']. simpl in B.
  destruct B as (B & -> & ->). simpl. split; simpl.
  - unfold lose_at. destruct e; auto. cbv zeta. by_alike B.
    destruct (_ && _); [|auto]. destruct (st (pages s' (first + d))); auto.
    unfold poisoned. apply alike_move; [auto|discriminate].
  - now rewrite (donate_reason_alike s' t').
Qed.

Lemma return_pages_alike w from : forall s t i, alike s t ->
  with_same (return_pages s w i from) (return_pages t w i from).
Proof.
  induction from as [|p rest IH]; intros s t i A; simpl; [split; auto|].
  rewrite (look_spare _ _ A). destruct (_ && _); [|split; auto].
  specialize (IH (bring_home s p) (bring_home t p) (i + 1) (alike_home _ _ _ A)).
  destruct (return_pages (bring_home s p) _ _ _), (return_pages (bring_home t p) _ _ _).
  destruct IH as [B E]. simpl in *. subst. by_alike A. split; auto.
Qed.

Theorem engine_reclaim_alike s t w a : alike s t -> answer_alike (engine_reclaim s w a) (engine_reclaim t w a).
Proof.
  intro A. unfold engine_reclaim. apply alike_refused; [auto|].
  apply alike_look; [auto|intros n _].
  destruct (return_pages_alike w (firstn (N.to_nat n) (spare w)) s t 0 A) as [B E].
  destruct (return_pages s _ _ _), (return_pages t _ _ _). simpl in *. subst. split; auto.
Qed.

Theorem page_poison_alike s t w a : alike s t -> answer_alike (page_poison s w a) (page_poison t w a).
Proof.
  intro A. unfold page_poison. apply alike_refused; [auto|].
  apply alike_look; [auto|intros p _]. apply alike_need; [now apply look_ram|intros _].
  apply alike_look; [now apply look_claim|intros u _]. apply alike_untroubled.
  simpl. split; simpl; [|auto]. unfold poisoned. apply alike_move; [auto|discriminate].
Qed.

(** ** The calls about VMs *)

Lemma look_find (f g : N -> bool) l : (forall x, g x = f x) -> find g l = find f l.
Proof. intro H. induction l as [|x l IH]; simpl; auto. rewrite H, IH. reflexivity. Qed.

Lemma look_forallb (f g : N -> bool) l : (forall x, g x = f x) -> forallb g l = forallb f l.
Proof. intro H. induction l as [|x l IH]; simpl; auto. rewrite H, IH. reflexivity. Qed.

Lemma look_existsb (f g : N -> bool) l : (forall x, g x = f x) -> existsb g l = existsb f l.
Proof. intro H. induction l as [|x l IH]; simpl; auto. rewrite H, IH. reflexivity. Qed.

Theorem vm_create_alike s t w a : alike s t -> answer_alike (vm_create s w a) (vm_create t w a).
Proof.
  intro A. unfold vm_create. apply alike_refused; [auto|].
  apply alike_look; [unfold check_plan; by_alike A; reflexivity|intros p _].
  apply alike_look.
  { unfold pick_vm_slot, is_free_slot. by_alike A. f_equal.
    destruct (_ && _); [reflexivity|]. apply look_find. intro v. by_alike A. reflexivity. }
  intros v _. apply alike_need; [auto|intros _]. simpl. by_alike A.
  split; simpl; [now apply alike_vm|auto].
Qed.

Theorem vm_start_alike s t w a : alike s t -> answer_alike (vm_start s w a) (vm_start t w a).
Proof.
  intro A. unfold vm_start. apply alike_refused; [auto|].
  apply alike_look; [now apply look_vm_for|intros v _]. by_alike A.
  destruct (is_held w 0 AtPage); split; simpl; auto; now apply alike_vm.
Qed.

Theorem vm_destroy_alike s t w a : alike s t -> answer_alike (vm_destroy s w a) (vm_destroy t w a).
Proof.
  intro A. unfold vm_destroy. apply alike_refused; [auto|].
  apply alike_look; [now apply look_vm|intros v _]. cbv zeta.
  rewrite (look_inside _ _ A). by_alike A. split; simpl; auto. now apply alike_vm.
Qed.

(** What is zeroed is zero on both sides: of reachable states. *)
Lemma reclaim_leaf_alike s t v a how :
  memory_ok s -> memory_ok t -> alike s t ->
  with_same (reclaim_leaf s v a how) (reclaim_leaf t v a how).
Proof.
  intros Ms Mt A. unfold reclaim_leaf. by_alike A.
  destruct (lookup a (leaves (vms s v))) as [l|]; [|split; auto].
  by_alike A. destruct (st (pages s (to l))) eqn:S; try (split; auto; fail).
  - destruct how; try (split; auto; fail).
    + destruct (v0 =? v); split; auto. apply alike_drop. now apply alike_home.
    + destruct (_ && _); split; auto. apply alike_page; auto. apply scrubbed_alike, (al_pages _ _ A).
  - destruct (v0 =? v); split; auto. apply alike_drop, alike_move; auto. intros _. now rewrite S.
  - destruct how; try (split; auto; fail).
    destruct (v0 =? v); split; auto. apply alike_drop. now apply alike_home.
  - destruct how; try (split; auto; fail).
    destruct (v0 =? v); split; auto. simpl. apply alike_drop. apply alike_page; auto.
    pose proof (al_pages _ _ A (to l)) as [P1 P2 P3 P4 P5 P6].
    destruct (scrubbing_ok _ _ (pages_ok s Ms (to l)) _ S) as [_ Zs].
    assert (S' : st (pages t (to l)) = Scrubbing v0) by congruence.
    destruct (scrubbing_ok _ _ (pages_ok t Mt (to l)) _ S') as [_ Zt].
    unfold move_page. split; simpl; auto; congruence.
Qed.

Lemma reclaim_leaves_alike v from : forall s t left,
  memory_ok s -> memory_ok t -> phase_of s v = Some Dying -> alike s t ->
  with_same (reclaim_leaves s v left from) (reclaim_leaves t v left from).
Proof.
  induction from as [|[a how] rest IH]; intros s t left Ms Mt P A; simpl; [split; auto|].
  destruct (reclaim_leaf_alike s t v a how Ms Mt A) as [B E].
  destruct (reclaim_leaf s v a how) as [s1 n] eqn:L, (reclaim_leaf t v a how) as [t1 n'] eqn:L'.
  simpl in *. subst n'. destruct (left <? fst n); [split; auto|].
  assert (P' : phase_of t v = Some Dying) by (unfold phase_of; rewrite (al_vms _ _ A); exact P).
  destruct (reclaim_leaf_keeps _ _ _ _ _ _ P L Ms) as [X Ms1].
  destruct (reclaim_leaf_keeps _ _ _ _ _ _ P' L' Mt) as [_ Mt1].
  assert (P1 : phase_of s1 v = Some Dying) by (rewrite (om_phase _ _ v (mv_only _ _ _ _ X)); auto).
  destruct (IH s1 t1 (left - fst n) Ms1 Mt1 P1 B) as [C F].
  destruct (reclaim_leaves s1 _ _ _), (reclaim_leaves t1 _ _ _). simpl in *. subst. split; auto.
Qed.

Lemma end_alike s t v : alike s t -> alike (end_vm s v) (end_vm t v).
Proof.
  intro A. pose proof (alike_vm s t v (set_ready (set_members (set_phase (vms s v) None) []) []) A) as B.
  unfold end_vm. cbv zeta. rewrite (al_vms _ _ A).
  destruct B as [B1 B2 B3 B4 B5 B6 B7]. split; auto.
  - intro p. change (page_alike (free_table v (pages s p)) (free_table v (pages t p))).
    pose proof (al_pages _ _ A p) as P. unfold free_table. rewrite (pa_use _ _ P).
    destruct (use (pages s p)) as [|[o|]]; [exact P| |exact P].
    destruct (o =? v); [|exact P]. destruct P. split; auto.
  - intro i. simpl. destruct (existsb _ _); [|apply (al_vcpus _ _ A)].
    apply alike_vcpu_place, (al_vcpus _ _ A).
Qed.

Theorem vm_reclaim_alike s t w a :
  memory_ok s -> memory_ok t -> alike s t -> answer_alike (vm_reclaim s w a) (vm_reclaim t w a).
Proof.
  intros Ms Mt A. unfold vm_reclaim. apply alike_refused; [auto|].
  apply alike_look; [auto|intros max _].
  apply alike_look; [now apply look_vm_for|intros v V].
  assert (P : phase_of s v = Some Dying).
  { apply vm_for_ok in V as (_ & _ & L). unfold phase_of.
    apply allows_phase in L as (p & P & I). simpl in I. destruct I as [<-|[]]. exact P. }
  apply alike_need; [now rewrite (look_inside _ _ A)|intros _].
  destruct (reclaim_leaves_alike v (found w) s t max Ms Mt P A) as [B E].
  destruct (reclaim_leaves s _ _ _) as [s1 n], (reclaim_leaves t _ _ _) as [t1 n'].
  simpl in *. subst n'. rewrite (al_vms _ _ B).
  destruct (leaves (vms s1 v)); [|split; auto].
  destruct (_ && _); split; auto. now apply end_alike.
Qed.

(** ** The calls about vCPUs *)

Theorem vcpu_create_alike s t w a : alike s t -> answer_alike (vcpu_create s w a) (vcpu_create t w a).
Proof.
  intro A. unfold vcpu_create. cbv zeta. apply alike_refused; [auto|].
  apply alike_need; [auto|intros _]. apply alike_look; [now apply look_vm_for|intros v _].
  by_alike A. apply alike_need; [auto|intros _]. apply alike_need; [auto|intros _].
  apply alike_need; [auto|intros _].
  apply alike_need; [f_equal; apply look_existsb; intro i; by_alike A; reflexivity|intros _].
  apply alike_look.
  { unfold pick_vcpu_slot, is_free_vcpu, is_there. by_alike A. f_equal.
    destruct (_ && _); [reflexivity|]. apply look_find. intro i. by_alike A. reflexivity. }
  intros i _. simpl. by_alike A. split; simpl; [|by_alike A; auto].
  apply alike_vcpu; [now apply alike_vm|]. unfold new_vcpu. split; simpl; by_alike A; auto.
Qed.

Theorem vcpu_enqueue_alike s t w a : alike s t -> answer_alike (vcpu_enqueue s w a) (vcpu_enqueue t w a).
Proof.
  intro A. unfold vcpu_enqueue. apply alike_refused; [auto|].
  apply alike_look; [now apply look_core|intros c _]. apply alike_look; [now apply look_vcpu_for|intros i _].
  by_alike A. destruct (place (vcpus s i)); try reflexivity;
    repeat (apply alike_need; [by_alike A; auto|intros _]); simpl;
    (split; simpl; [|auto]); unfold moved; apply alike_vcpu; auto;
    apply alike_vcpu_place, (al_vcpus _ _ A).
Qed.

Theorem vcpu_dequeue_alike s t w a : alike s t -> answer_alike (vcpu_dequeue s w a) (vcpu_dequeue t w a).
Proof.
  intro A. unfold vcpu_dequeue. apply alike_refused; [auto|].
  apply alike_look; [now apply look_vcpu|intros i _].
  by_alike A. destruct (place (vcpus s i)); try reflexivity.
  apply alike_need; [auto|intros _]. simpl. split; simpl; [|auto].
  unfold moved. apply alike_vcpu; auto. apply alike_vcpu_place, (al_vcpus _ _ A).
Qed.

Lemma complete_alike u u' o a :
  vcpu_alike u u' -> res_alike vcpu_alike (complete u o a) (complete u' o a).
Proof.
  intros [V1 V2 V3 V4 V5 V6]. unfold complete.
  destruct (waits_for u) eqn:W, (waits_for u') eqn:W'; simpl in V5; try contradiction;
    destruct o; simpl; try reflexivity; split; simpl; auto.
Qed.

Theorem vcpu_respond_alike s t w c a : alike s t -> answer_alike (vcpu_respond s w c a) (vcpu_respond t w c a).
Proof.
  intro A. unfold vcpu_respond. apply alike_refused; [auto|].
  apply alike_look; [auto|intros o _]. apply alike_look; [now apply look_vcpu_for|intros i _].
  by_alike A. destruct (place (vcpus s i)); try reflexivity;
    (apply alike_need; [auto|intros _]);
    (eapply alike_bind; [apply complete_alike, (al_vcpus _ _ A)|]);
    intros u u' U; simpl; (split; simpl; [|auto]); apply alike_vcpu; auto; now apply alike_vcpu_place.
Qed.

Theorem vcpu_inject_alike s t a : alike s t -> answer_alike (vcpu_inject s a) (vcpu_inject t a).
Proof.
  intro A. unfold vcpu_inject. apply alike_refused; [auto|].
  apply alike_need; [auto|intros _]. apply alike_look; [auto|intros k _].
  apply alike_need; [auto|intros _]. apply alike_look; [now apply look_vcpu_for|intros i _].
  simpl. split; simpl; [|auto]. apply alike_vcpu; auto.
  destruct (al_vcpus _ _ A i). split; auto.
Qed.

(** ** The calls that tell *)

Lemma census_alike s t first n : alike s t -> census_of t first n = census_of s first n.
Proof.
  intro A. unfold census_of. cbv zeta.
  repeat (apply f_equal2; [try reflexivity; do 2 apply f_equal; apply filter_ext; intro i; by_alike A; reflexivity|]).
  reflexivity.
Qed.

Theorem page_census_alike s t w a : alike s t -> page_census t w a = page_census s w a.
Proof.
  intro A. unfold page_census. by_alike A.
  destruct (pages_count (x2 a) CENSUS_PAGES); simpl; [|reflexivity].
  destruct (_ <=? _); [reflexivity|]. unfold need. destruct (_ && _); [|reflexivity].
  cbv zeta. destruct (_ <? x1 a); [reflexivity|]. now rewrite (census_alike s t).
Qed.

(** ** All of them *)

Theorem host_call_alike k s t w c a :
  invariant s -> invariant t -> alike s t -> answer_alike (host_call k s w c a) (host_call k t w c a).
Proof.
  intros Is It A. pose proof (inv_memory _ Is) as Ms. pose proof (inv_memory _ It) as Mt.
  destruct k; unfold host_call, told, changed.
  - split; simpl; auto. unfold engine_info. by_alike A. reflexivity.
  - unfold engine_doorbell, need. destruct (x1 a <? 16); split; simpl; auto.
    destruct A. split; auto.
  - now apply engine_donate_alike.
  - now apply engine_reclaim_alike.
  - now apply vm_create_alike.
  - now apply vm_map_alike.
  - now apply vm_map_list_alike.
  - now apply vm_lend_alike.
  - now apply vm_unlend_alike.
  - now apply vm_start_alike.
  - now apply vm_destroy_alike.
  - now apply vm_reclaim_alike.
  - now apply vcpu_create_alike.
  - now apply vcpu_enqueue_alike.
  - now apply vcpu_dequeue_alike.
  - split; simpl; auto. now apply alike_mode.
  - now apply vcpu_respond_alike.
  - now apply vcpu_inject_alike.
  - split; simpl; auto. unfold page_info, has_word. by_alike A. reflexivity.
  - now apply page_poison_alike.
  - split; simpl; auto. now apply page_census_alike.
  - split; simpl; auto. unfold trace_read. by_alike A. reflexivity.
  - split; simpl; auto. unfold stats_read. now rewrite (look_core _ _ A).
Qed.
