(** * The moves of which all changes of memory are made

    One page changes its state; a leaf comes or goes with it; a VM changes its phase. Each keeps
    [memory_ok], under conditions that each call then has to show. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Calls.Pages Invariants.
Open Scope N_scope.

(** ** What a page's well-formedness depends on *)

Lemma page_ok_frame s s' pg :
  (forall v, phase_of s' v = phase_of s v) -> page_ok s pg -> page_ok s' pg.
Proof.
  intros E [A B C D F]. split; auto.
  - intros v H. rewrite E. auto.
  - intros v H. rewrite E. auto.
Qed.

(** ** Changes that memory does not notice *)

Lemma memory_frame s s' :
  (forall p, pages s' p = pages s p) ->
  (forall v, leaves (vms s' v) = leaves (vms s v)) ->
  (forall v, phase_of s' v = phase_of s v) ->
  memory_ok s -> memory_ok s'.
Proof.
  intros P L F M. split.
  - intro p. rewrite P. eapply page_ok_frame; [eauto|apply (pages_ok s M)].
  - intros v p. rewrite L, P. apply (leaves_ok s M).
  - intro v. rewrite L. apply (keys_ok s M).
  - intros v H. rewrite F in H. rewrite L. now apply (free_ok s M).
Qed.

(** ** A VM changes its phase *)

Lemma phase_put s v r w : phase_of (put_vm s v r) w = if w =? v then phase r else phase_of s w.
Proof. unfold phase_of, put_vm, with_vms, upd. simpl. destruct (w =? v); auto. Qed.

Lemma leaves_put s v r w :
  leaves (vms (put_vm s v r) w) = if w =? v then leaves r else leaves (vms s w).
Proof. unfold put_vm, with_vms, upd. simpl. destruct (w =? v); auto. Qed.

(** A VM that lives goes on living; a dying one stays so. *)
Lemma memory_phase s v r :
  leaves r = leaves (vms s v) ->
  phase_of s v <> None -> phase r <> None ->
  (phase_of s v = Some Dying -> phase r = Some Dying) ->
  memory_ok s -> memory_ok (put_vm s v r).
Proof.
  intros L N N' D M. split.
  - intro p. change (pages (put_vm s v r) p) with (pages s p).
    destruct (pages_ok s M p) as [A B C E F]. split; auto.
    + intros w H. rewrite phase_put. destruct (w =? v); auto.
    + intros w H. rewrite phase_put. destruct (N.eqb_spec w v); auto.
      subst w. split; [now apply D, F|now apply F in H].
  - intros w p. rewrite leaves_put. change (pages (put_vm s v r) p) with (pages s p).
    destruct (N.eqb_spec w v); [subst; rewrite L|]; apply (leaves_ok s M).
  - intro w. rewrite leaves_put.
    destruct (N.eqb_spec w v); [subst; rewrite L|]; apply (keys_ok s M).
  - intros w. rewrite phase_put, leaves_put.
    destruct (N.eqb_spec w v); [contradiction|apply (free_ok s M)].
Qed.

(** A free slot becomes a VM without memory. *)
Lemma memory_create s v r :
  phase_of s v = None -> leaves r = [] -> phase r <> None -> memory_ok s -> memory_ok (put_vm s v r).
Proof.
  intros N L P M. pose proof (free_ok s M v N) as E. split.
  - intro p. change (pages (put_vm s v r) p) with (pages s p).
    destruct (pages_ok s M p) as [A B C D F]. split; auto.
    + intros w H. rewrite phase_put. destruct (w =? v); auto.
    + intros w H. rewrite phase_put. destruct (N.eqb_spec w v); auto.
      subst w. apply F in H. destruct H. congruence.
  - intros w p. rewrite leaves_put. change (pages (put_vm s v r) p) with (pages s p).
    destruct (N.eqb_spec w v); [subst; rewrite L, <- E|]; apply (leaves_ok s M).
  - intro w. rewrite leaves_put.
    destruct (N.eqb_spec w v); [subst; rewrite L; constructor|apply (keys_ok s M)].
  - intros w. rewrite phase_put, leaves_put.
    destruct (N.eqb_spec w v); [auto|apply (free_ok s M)].
Qed.

(** ** A page changes, its leaves do not *)

Lemma pages_put s p pg q : pages (put_page s p pg) q = if q =? p then pg else pages s q.
Proof. unfold put_page, with_pages, upd. simpl. destruct (q =? p); auto. Qed.

Lemma memory_page s p pg :
  page_ok s pg ->
  (forall v, wants (st pg) v = wants (st (pages s p)) v) ->
  memory_ok s -> memory_ok (put_page s p pg).
Proof.
  intros K W M. split.
  - intro q. rewrite pages_put. apply page_ok_frame with s; [auto|].
    destruct (q =? p); [auto|apply (pages_ok s M)].
  - intros v q. rewrite pages_put. change (vms (put_page s p pg) v) with (vms s v).
    destruct (N.eqb_spec q p); [subst; rewrite W|]; apply (leaves_ok s M).
  - intro v. apply (keys_ok s M).
  - intro v. apply (free_ok s M).
Qed.

(** ** A page changes, and a leaf for it comes *)

Lemma memory_add s v p pg a l :
  page_ok s pg ->
  (forall w, wants (st pg) w = wants (st (pages s p)) w + (if w =? v then 1 else 0)) ->
  lookup a (leaves (vms s v)) = None -> to l = p -> phase_of s v <> None ->
  memory_ok s -> memory_ok (add_leaf (put_page s p pg) v a l).
Proof.
  intros K W N <- P M. unfold add_leaf. split.
  - intro q. change (pages (put_vm (put_page s (to l) pg) v ?r) q) with (pages (put_page s (to l) pg) q).
    rewrite pages_put. apply page_ok_frame with s.
    + intro w. rewrite phase_put. unfold phase_of. simpl. destruct (N.eqb_spec w v); subst; auto.
    + destruct (q =? to l); [auto|apply (pages_ok s M)].
  - intros w q. rewrite leaves_put.
    change (pages (put_vm (put_page s (to l) pg) v ?r) q) with (pages (put_page s (to l) pg) q).
    change (vms (put_page s (to l) pg) w) with (vms s w).
    rewrite pages_put. pose proof (leaves_ok s M w q) as C.
    destruct (N.eqb_spec w v) as [->|D]; simpl.
    + unfold leads_to at 1. rewrite N.eqb_sym, C.
      destruct (N.eqb_spec q (to l)) as [->|]; [rewrite W, N.eqb_refl|]; lia.
    + rewrite C. destruct (N.eqb_spec q (to l)) as [->|]; [|auto].
      rewrite W. apply N.eqb_neq in D. rewrite D. lia.
  - intro w. rewrite leaves_put. change (vms (put_page s (to l) pg) w) with (vms s w).
    destruct (N.eqb_spec w v) as [->|]; [|apply (keys_ok s M)].
    simpl. constructor; [now apply lookup_none|apply (keys_ok s M)].
  - intro w. rewrite phase_put, leaves_put.
    change (vms (put_page s (to l) pg) w) with (vms s w).
    change (phase_of (put_page s (to l) pg) w) with (phase_of s w).
    destruct (N.eqb_spec w v) as [->|]; [|apply (free_ok s M)].
    intro E. elim P. exact E.
Qed.

(** ** A page changes, and a leaf for it goes *)

Lemma memory_drop s v p pg a l :
  page_ok s pg ->
  (forall w, wants (st pg) w + (if w =? v then 1 else 0) = wants (st (pages s p)) w) ->
  lookup a (leaves (vms s v)) = Some l -> to l = p ->
  memory_ok s -> memory_ok (drop_leaf (put_page s p pg) v a).
Proof.
  intros K W N <- M. unfold drop_leaf. split.
  - intro q. change (pages (put_vm (put_page s (to l) pg) v ?r) q) with (pages (put_page s (to l) pg) q).
    rewrite pages_put. apply page_ok_frame with s.
    + intro w. rewrite phase_put. unfold phase_of. simpl. destruct (N.eqb_spec w v); subst; auto.
    + destruct (q =? to l); [auto|apply (pages_ok s M)].
  - intros w q. rewrite leaves_put.
    change (pages (put_vm (put_page s (to l) pg) v ?r) q) with (pages (put_page s (to l) pg) q).
    change (vms (put_page s (to l) pg) w) with (vms s w).
    rewrite pages_put. pose proof (leaves_ok s M w q) as C.
    destruct (N.eqb_spec w v) as [->|D]; simpl.
    + rewrite (count_remove (leads_to q) _ _ _ N) in C. unfold leads_to at 1 in C.
      rewrite N.eqb_sym in C.
      destruct (N.eqb_spec q (to l)) as [E|E]; [subst q; specialize (W v); rewrite N.eqb_refl in W|]; lia.
    + rewrite C. destruct (N.eqb_spec q (to l)) as [->|]; [|auto].
      specialize (W w). apply N.eqb_neq in D. rewrite D in W. lia.
  - intro w. rewrite leaves_put. change (vms (put_page s (to l) pg) w) with (vms s w).
    destruct (N.eqb_spec w v) as [->|]; [|apply (keys_ok s M)].
    apply nodup_remove, (keys_ok s M).
  - intro w. rewrite phase_put, leaves_put.
    change (vms (put_page s (to l) pg) w) with (vms s w).
    change (phase_of (put_page s (to l) pg) w) with (phase_of s w).
    destruct (N.eqb_spec w v) as [->|]; [|apply (free_ok s M)].
    simpl. intro E. rewrite (free_ok s M v E) in N. discriminate.
Qed.

(** ** The new state of a page is a good one *)

Lemma move_ok s pg to :
  page_ok s pg -> st pg <> EngineOwned ->
  (forall v k, to = Lent v k -> 0 < k) -> (forall v, to <> Scrubbing v) ->
  page_ok s (move_page pg to).
Proof.
  intros [A B C D F] N L S. unfold move_page. split; simpl.
  - intro H. apply andb_prop in H. tauto.
  - intros o H. elim N. eauto.
  - intros v H. elim N. eauto.
  - eauto.
  - intros v H. elim (S v H).
Qed.

Lemma scrubbed_ok s pg to :
  page_ok s pg -> (forall o, use pg <> Table o) ->
  (forall v k, to <> Lent v k) -> (forall v, to = Scrubbing v -> phase_of s v = Some Dying) ->
  page_ok s (move_scrubbed pg to).
Proof.
  intros [A B C D F] N L S. unfold move_scrubbed. split; simpl.
  - discriminate.
  - intros o H. elim (N o H).
  - intros v H. elim (N _ H).
  - intros v k H. elim (L v k H).
  - auto.
Qed.

Lemma not_a_table s pg : page_ok s pg -> st pg <> EngineOwned -> forall o, use pg <> Table o.
Proof. intros [A B C D F] N o H. elim N. eauto. Qed.

(** ** What changes of memory leave alone *)

(** Everything but pages and leaves is as it was. *)
Record only_memory (s s' : state) : Prop := {
  om_cfg : cfg s' = cfg s;
  om_vcpus : vcpus s' = vcpus s;
  om_cores : cores s' = cores s;
  om_doorbell : doorbell s' = doorbell s;
  om_off : machine_off s' = machine_off s;
  om_vms : forall v, set_leaves (vms s' v) [] = set_leaves (vms s v) []
}.

Lemma only_memory_refl s : only_memory s s.
Proof. split; auto. Qed.

Lemma only_memory_trans a b c : only_memory a b -> only_memory b c -> only_memory a c.
Proof. intros [] []. split; try congruence. Qed.

Lemma om_phase s s' v : only_memory s s' -> phase_of s' v = phase_of s v.
Proof. intros [? ? ? ? ? E]. specialize (E v). unfold phase_of. now injection E. Qed.

Lemma om_members s s' v : only_memory s s' -> members (vms s' v) = members (vms s v).
Proof. intros [? ? ? ? ? E]. specialize (E v). now injection E. Qed.

Lemma only_memory_page s p pg : only_memory s (put_page s p pg).
Proof. split; auto. Qed.

Lemma only_memory_leaves s v l : only_memory s (put_vm s v (set_leaves (vms s v) l)).
Proof.
  split; auto. intro w. unfold put_vm, with_vms, upd. simpl.
  destruct (N.eqb_spec w v); subst; auto.
Qed.

Lemma only_memory_add s p pg v a l : only_memory s (add_leaf (put_page s p pg) v a l).
Proof. eapply only_memory_trans; [apply only_memory_page|apply only_memory_leaves]. Qed.

Lemma only_memory_drop s p pg v a : only_memory s (drop_leaf (put_page s p pg) v a).
Proof. eapply only_memory_trans; [apply only_memory_page|apply only_memory_leaves]. Qed.
