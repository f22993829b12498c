(** * Every call ends, within its bound

    That a call ends needs no theorem: each is a function that Coq accepted, so it always has a result.
    Here is how much it can do: the pages that one call takes, gives or zeroes are at most what the
    interface says. How many fewer is the engine's choice; but who calls for the rest gets there, because a
    batch that is not refused did one page at least. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Step.
From Bulkhead Require Import Calls.Info Calls.Pages Calls.Memory Calls.Life.
From Bulkhead Require Import Documented Proofs.Moves Proofs.MemoryCalls.
Open Scope N_scope.

(** Most pages of one call. *)
Definition most_pages (k : call) : option N :=
  match k with
  | VM_MAP => Some MAP_PAGES
  | VM_MAP_LIST => Some MAP_LIST_PAGES
  | VM_LEND | VM_UNLEND | ENGINE_DONATE => Some RUN_PAGES
  | ENGINE_RECLAIM => Some ENGINE_RECLAIM_PAGES
  | VM_RECLAIM => Some RECLAIM_PAGES
  | _ => None
  end.

Lemma or_refused_ok s r s' l : or_refused s r = (s', Ok l) -> r = Ok (s', Ok l).
Proof. unfold or_refused. destruct r as [[]|]; congruence. Qed.

Lemma count_limit raw limit n : pages_count raw limit = Ok n -> n <= limit.
Proof.
  unfold pages_count. intro H. steps H. injection H as <-.
  apply andb_prop in C as [_ C]. now apply N.leb_le in C.
Qed.

Lemma batch_bound {A} w f n (a b : A) d e limit :
  batch (N.to_nat (taken_on w n)) 0 f a = (b, d, e) -> n <= limit -> d <= limit.
Proof. intro H. apply batch_done in H. unfold taken_on in H. lia. Qed.

Lemma return_bound w from : forall s i, N.of_nat (length (snd (return_pages s w i from))) <= N.of_nat (length from).
Proof.
  induction from as [|p rest IH]; intros s i; simpl; [lia|].
  destruct (_ && _); simpl; [|lia].
  specialize (IH (bring_home s p) (i + 1)).
  destruct (return_pages (bring_home s p) _ _ _) as [s' home]. simpl in *.
  destruct (broken _); simpl; lia.
Qed.

(** What is done is work. *)
Lemma reclaim_work s v a how : snd (snd (reclaim_leaf s v a how)) <= fst (snd (reclaim_leaf s v a how)).
Proof.
  unfold reclaim_leaf. destruct (lookup _ _) as [l|]; simpl; [|lia].
  destruct (st (pages s (to l))); simpl; try lia.
  - destruct how; simpl; try lia; destruct (_ =? _); simpl; try destruct (broken _); simpl; lia.
  - destruct (_ =? _); simpl; lia.
  - destruct how; simpl; try lia; destruct (_ =? _); simpl; try destruct (broken _); simpl; lia.
  - destruct how; simpl; try lia; destruct (_ =? _); simpl; lia.
Qed.

Lemma reclaim_bound v from : forall s left,
  fst (snd (reclaim_leaves s v left from)) <= left
  /\ snd (snd (reclaim_leaves s v left from)) <= left.
Proof.
  induction from as [|[a how] rest IH]; intros s left; simpl; [lia|].
  pose proof (reclaim_work s v a how) as W.
  destruct (reclaim_leaf s v a how) as [s' n]. simpl in W.
  destruct (N.ltb_spec left (fst n)); simpl; [lia|].
  specialize (IH s' (left - fst n)).
  destruct (reclaim_leaves s' _ _ _) as [s'' m]. simpl in *. lia.
Qed.

Theorem a_call_is_bounded k s w c a s' d rest bound :
  most_pages k = Some bound -> host_call k s w c a = (s', Ok (d :: rest)) -> d <= bound.
Proof.
  intros B H. destruct k; try discriminate; injection B as <-;
    unfold host_call in H.
  - unfold engine_donate in H. apply or_refused_ok in H. steps H.
    destruct (batch _ _ _ s) as [[b n] why] eqn:Bt. injection H as _ H.
    destruct (n =? 0); [discriminate|]. injection H as <- _.
    eapply batch_bound; eauto using count_limit.
  - unfold engine_reclaim in H. apply or_refused_ok in H. steps H.
    pose proof (return_bound w (firstn (N.to_nat a0) (spare w)) s 0) as R.
    destruct (return_pages _ _ _ _) as [s1 home]. injection H as _ <- _.
    rewrite firstn_length in R. apply count_limit in E. simpl in R. lia.
  - unfold vm_map in H. apply or_refused_ok in H. steps H.
    destruct (batch _ _ _ s) as [[b n] why] eqn:Bt. injection H as _ H.
    destruct (n =? 0); [discriminate|]. injection H as <- _.
    eapply batch_bound; eauto using count_limit.
  - unfold vm_map_list in H. apply or_refused_ok in H. steps H.
    destruct (batch _ _ _ _) as [[[b l] n] why] eqn:Bt. injection H as _ H.
    destruct (n =? 0); [discriminate|]. injection H as <- _.
    eapply batch_bound; eauto using count_limit.
  - unfold vm_lend in H. apply or_refused_ok in H. steps H.
    destruct (batch _ _ _ s) as [[b n] why] eqn:Bt. injection H as _ H.
    destruct (n =? 0); [discriminate|]. injection H as <- _.
    eapply batch_bound; eauto using count_limit.
  - unfold vm_unlend in H. apply or_refused_ok in H. steps H.
    destruct (batch _ _ _ _) as [[[b l] n] why] eqn:Bt. injection H as _ H.
    destruct (n =? 0); [discriminate|]. injection H as <- _.
    eapply batch_bound; eauto using count_limit.
  - unfold vm_reclaim in H. apply or_refused_ok in H. steps H.
    pose proof (reclaim_bound a1 (found w) s a0) as R.
    destruct (reclaim_leaves _ _ _ _) as [s1 n]. simpl in R. destruct R as [_ R]. apply count_limit in E.
    destruct (leaves _); [destruct (ends w && (fst n =? 0))|]; injection H as _ <- _; lia.
Qed.

(** ** A batch gets on *)

(** Calls that do a run of pages one after the other, or say why they did none. *)
Definition gets_on (k : call) : bool :=
  match k with
  | VM_MAP | VM_MAP_LIST | VM_LEND | VM_UNLEND | ENGINE_DONATE => true
  | _ => false
  end.

Theorem a_batch_gets_on k s w c a s' d rest :
  gets_on k = true -> host_call k s w c a = (s', Ok (d :: rest)) -> 1 <= d.
Proof.
  intros G H. destruct k; try discriminate; unfold host_call in H;
    [unfold engine_donate in H|unfold vm_map in H|unfold vm_map_list in H|unfold vm_lend in H|unfold vm_unlend in H];
    apply or_refused_ok in H; steps H;
    (match type of H with context [batch ?n 0 ?f ?b] => destruct (batch n 0 f b) as [[b' n'] why] eqn:Bt end);
    try destruct b' as [b' l]; injection H as _ H;
    (destruct (N.eqb_spec n' 0); [discriminate|]); injection H as <- _; lia.
Qed.

(** PAGE_CENSUS counts grains; its last one takes in what is left of memory, less than another. It sees none only
    where there are none. *)
Theorem a_census_is_bounded s w a seen rest :
  page_census s w a = Ok (seen :: rest) ->
  seen < CENSUS_PAGES + CENSUS_GRAIN /\ (seen = 0 -> words (cfg s) < x1 a + CENSUS_GRAIN).
Proof.
  unfold page_census, CENSUS_PAGES, CENSUS_GRAIN. intro H. steps H.
  pose proof (count_limit _ _ _ E) as L. apply pages_count_ok in E. cbv zeta in H.
  set (all := words (cfg s)) in *. set (first := x1 a) in *.
  destruct (N.leb_spec all first); [injection H as <- _; lia|].
  unfold need in H. destruct ((first mod 512 =? 0) && (a0 mod 512 =? 0)) eqn:C; [|discriminate].
  apply andb_prop in C as [C1 C2]. apply N.eqb_eq in C1, C2.
  pose proof (N.div_mod first 512 ltac:(discriminate)) as F. pose proof (N.div_mod a0 512 ltac:(discriminate)) as A.
  pose proof (N.div_mod all 512 ltac:(discriminate)) as W. pose proof (N.mod_lt all 512 ltac:(discriminate)) as M.
  assert (T : 1 <= taken_on w (a0 / 512) <= a0 / 512) by (unfold taken_on; lia).
  set (n := taken_on w (a0 / 512)) in *. clearbody n.
  destruct (N.ltb_spec ((all / 512 - 1) * 512) first); [injection H as <- _; lia|].
  injection H as <- _. destruct (N.ltb_spec ((all / 512 - 1) * 512) (first + n * 512)); lia.
Qed.
