(** * What a VM sees

    [looks_same v s t]: VM [v] cannot tell [s] from [t]. It sees the RAM and the frames that it was created with,
    its vCPUs' registers and interrupts, whether one is on, what one waits for, and at each IPA what a load finds,
    what it may do there, and of which kind the page is. It does not see where in memory its pages lie (but that two IPAs
    lead to one page, by storing there), on which core or queue a vCPU is, nor anything of others. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State World Guest.Hvc Psci.
Open Scope N_scope.

(** ** Memory *)

(** What MEM_SHARE, MEM_UNSHARE and MEM_RELINQUISH tell apart. *)
Inductive kind_of_page := Own | SharedOut | OnLoan | Zeroed.
Definition kind_at (p : page_state) : kind_of_page :=
  match p with
  | SharedByVm _ => SharedOut
  | Lent _ _ => OnLoan
  | Scrubbing _ => Zeroed
  | _ => Own
  end.

(** What is at an IPA. *)
Record spot := Spot {
  writable : bool;
  executable : bool;
  page_kind : kind_of_page;
  faulty : bool;                (** an access to it ends in an exit *)
  found_there : content
}.

Definition spot_of (s : state) (l : leaf) : spot :=
  let pg := pages s (to l) in
  Spot (can_write l) (can_execute l) (kind_at (st pg)) (broken pg) (holds pg).
Definition spot_at (s : state) (v a : N) : option spot := option_map (spot_of s) (leaf_at s v a).

(** Does the IPA lead to page [p]? *)
Definition leads (s : state) (v p a : N) : bool :=
  match leaf_at s v a with Some l => to l =? p | None => false end.
(** Do two IPAs lead to one page? *)
Definition same_page (s : state) (v a b : N) : bool :=
  match leaf_at s v a with Some l => leads s v (to l) b | None => false end.

(** ** vCPUs *)

Record same_vcpu (u v : vcpu) : Prop := {
  sv_power : power_seen_of v = power_seen_of u;
  sv_mpidr : mpidr v = mpidr u;
  sv_x : forall r, x v r = x u r;
  sv_pc : pc v = pc u;
  sv_sys : sys v = sys u;
  sv_waits : waits_for v = waits_for u;
  sv_waiting : waiting v = waiting u;
  sv_irqs : forall n, irqs v n = irqs u n
}.

(** ** All of it *)

Record same_shape (r q : vm) : Prop := {
  sh_ram0 : ram0 q = ram0 r;
  sh_ram1 : ram1 q = ram1 r;
  sh_gicr : gicr q = gicr r;
  sh_limit : vcpu_limit q = vcpu_limit r;
  sh_members : members q = members r
}.

Record looks_same (v : N) (s t : state) : Prop := {
  ls_cfg : cfg t = cfg s;
  ls_shape : same_shape (vms s v) (vms t v);
  ls_vcpus : forall i, In i (members (vms s v)) -> same_vcpu (vcpus s i) (vcpus t i);
  ls_memory : forall a, spot_at t v a = spot_at s v a;
  ls_alias : forall a b, same_page t v a b = same_page s v a b
}.

Lemma same_vcpu_refl u : same_vcpu u u.
Proof. split; auto. Qed.
Lemma same_vcpu_sym u v : same_vcpu u v -> same_vcpu v u.
Proof. intros []. split; auto. Qed.
Lemma same_vcpu_trans u v y : same_vcpu u v -> same_vcpu v y -> same_vcpu u y.
Proof. intros [] []. split; congruence. Qed.

Lemma same_shape_refl r : same_shape r r.
Proof. split; auto. Qed.

Lemma looks_same_refl v s : looks_same v s s.
Proof. split; auto using same_vcpu_refl, same_shape_refl. Qed.
Lemma looks_same_sym v s t : looks_same v s t -> looks_same v t s.
Proof.
  intros [A [] C D E]. split; auto.
  - split; auto.
  - intros i H. apply same_vcpu_sym, C. congruence.
Qed.
Lemma looks_same_trans v s t y : looks_same v s t -> looks_same v t y -> looks_same v s y.
Proof.
  intros [A [] C D E] [A' [] C' D' E']. split; try congruence.
  - split; congruence.
  - intros i H. eapply same_vcpu_trans; [now apply C|]. apply C'. congruence.
Qed.

(** ** What is equal on both sides *)

Section Same.
  Variables (v : N) (s t : state).
  Hypothesis L : looks_same v s t.

  Lemma same_members : members (vms t v) = members (vms s v).
  Proof. apply (sh_members _ _ (ls_shape _ _ _ L)). Qed.

  Lemma same_ram a n : holds_ram (vms t v) a n = holds_ram (vms s v) a n.
  Proof. unfold holds_ram. destruct (ls_shape _ _ _ L) as [-> -> _ _ _]. reflexivity. Qed.

  (** A leaf on one side has its like on the other. *)
  Lemma same_leaf a l :
    leaf_at s v a = Some l -> exists m, leaf_at t v a = Some m /\ spot_of t m = spot_of s l.
  Proof.
    intro H. pose proof (ls_memory _ _ _ L a) as E. unfold spot_at in E. rewrite H in E.
    destruct (leaf_at t v a) as [m|]; [|discriminate]. exists m. split; [auto|]. simpl in E. congruence.
  Qed.
  Lemma same_hole a : leaf_at s v a = None -> leaf_at t v a = None.
  Proof.
    intro H. pose proof (ls_memory _ _ _ L a) as E. unfold spot_at in E. rewrite H in E.
    destruct (leaf_at t v a); [discriminate|auto].
  Qed.
  Lemma same_leads a l m b :
    leaf_at s v a = Some l -> leaf_at t v a = Some m -> leads t v (to m) b = leads s v (to l) b.
  Proof.
    intros Hl Hm. pose proof (ls_alias _ _ _ L a b) as E. unfold same_page in E. now rewrite Hl, Hm in E.
  Qed.
End Same.

Lemma leads_true s v p a : leads s v p a = true <-> exists l, leaf_at s v a = Some l /\ to l = p.
Proof.
  unfold leads. split.
  - destruct (leaf_at s v a) as [l|]; [|discriminate]. intro H. apply N.eqb_eq in H. eauto.
  - intros (l & -> & ->). apply N.eqb_refl.
Qed.

(** ** The same change on both sides *)

(** vCPUs change; leaves and pages stay. *)
Lemma looks_vcpus v s t s' t' :
  looks_same v s t ->
  cfg s' = cfg s -> cfg t' = cfg t ->
  same_shape (vms s v) (vms s' v) -> same_shape (vms t v) (vms t' v) ->
  (forall a, leaf_at s' v a = leaf_at s v a) -> (forall a, leaf_at t' v a = leaf_at t v a) ->
  pages s' = pages s -> pages t' = pages t ->
  (forall i, In i (members (vms s v)) -> same_vcpu (vcpus s' i) (vcpus t' i)) ->
  looks_same v s' t'.
Proof.
  intros [A [] C D E] Cs Ct [] [] Ls Lt Ps Pt V. split; try congruence.
  - split; congruence.
  - intros i H. apply V. congruence.
  - intro a. specialize (D a). unfold spot_at, spot_of in *. rewrite Ls, Lt, Ps, Pt. exact D.
  - intros a b. specialize (E a b). unfold same_page, leads in *. rewrite !Ls, !Lt.
    destruct (leaf_at t v a), (leaf_at s v a); rewrite ?Ls, ?Lt; exact E.
Qed.

Lemma looks_vcpu v s t i u u' :
  looks_same v s t -> same_vcpu u u' -> looks_same v (put_vcpu s i u) (put_vcpu t i u').
Proof.
  intros L U. eapply looks_vcpus; eauto using same_shape_refl.
  intros j H. unfold put_vcpu, with_vcpus, upd. simpl. destruct (j =? i); [exact U|now apply (ls_vcpus _ _ _ L)].
Qed.

Lemma looks_mode v s t c m d n : looks_same v s t -> looks_same v (put_mode s c m) (put_mode t d n).
Proof.
  intro L. eapply looks_vcpus; eauto using same_shape_refl. intros j H. now apply (ls_vcpus _ _ _ L).
Qed.

(** A page changes on each side, to what looks the same wherever an IPA leads there. *)
Lemma looks_pages v s t p q pg pg' :
  looks_same v s t -> (forall b, leads t v q b = leads s v p b) ->
  (forall b l m, leaf_at s v b = Some l -> to l = p -> leaf_at t v b = Some m -> to m = q ->
     spot_of t m = spot_of s l ->
     kind_at (st pg') = kind_at (st pg) /\ broken pg' = broken pg /\ holds pg' = holds pg) ->
  looks_same v (put_page s p pg) (put_page t q pg').
Proof.
  intros L W H. split.
  - apply (ls_cfg _ _ _ L).
  - apply (ls_shape _ _ _ L).
  - intros i I. now apply (ls_vcpus _ _ _ L).
  - intro b. pose proof (ls_memory _ _ _ L b) as E. specialize (W b). specialize (H b).
    unfold spot_at, leads in *. change (leaf_at (put_page ?r ?x ?y) v b) with (leaf_at r v b).
    destruct (leaf_at s v b) as [l|], (leaf_at t v b) as [m|]; auto; try discriminate.
    cbn [option_map] in *. assert (E' : spot_of t m = spot_of s l) by congruence.
    assert (C : can_write m = can_write l /\ can_execute m = can_execute l)
      by (unfold spot_of in E'; injection E'; auto).
    unfold spot_of in *. simpl. unfold upd. rewrite W.
    destruct (N.eqb_spec (to l) p) as [D|D]; [|congruence].
    apply N.eqb_eq in W.
    destruct (H l m eq_refl D eq_refl W E') as (-> & -> & ->). destruct C as [-> ->]. reflexivity.
  - apply (ls_alias _ _ _ L).
Qed.

Lemma looks_write v s t a l m pg pg' :
  looks_same v s t -> leaf_at s v a = Some l -> leaf_at t v a = Some m ->
  kind_at (st pg') = kind_at (st pg) -> broken pg' = broken pg -> holds pg' = holds pg ->
  looks_same v (put_page s (to l) pg) (put_page t (to m) pg').
Proof.
  intros L Hl Hm K B H. apply looks_pages; auto. intro b. eapply same_leads; eauto.
Qed.

Lemma same_page_sym s v a b : same_page s v a b = same_page s v b a.
Proof.
  unfold same_page, leads. destruct (leaf_at s v a), (leaf_at s v b); auto. apply N.eqb_sym.
Qed.
