(** * What a guest's step releases

    The exit, whether the vCPU goes on, and what the host finds without being told: a page that the guest
    shares, or shares no more, and a store to one that the host reaches. Exits.v bounds what an exit tells,
    [what_is_uncovered] the rest; that the host learns nothing else is Confidentiality.v. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Psci Step.
From Bulkhead Require Import Calls.Pages Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
Open Scope N_scope.

(** What the host can see of a page that it is not told of. *)
Inductive news :=
| NoNews
| Shows (p : N) (what : content)  (** page [p] is the host's to read from now on, and holds this *)
| Hides (p : N).                  (** page [p] is not, any more *)

(** The page that a guest names to be shared, or to be shared no more. *)
Definition page_named (s : state) (i imm : N) : option N :=
  let r := x (vcpus s i) in
  match classify (cfg s) imm (r 0) (r 1) (r 2) (r 3) with
  | MemShare ipa | MemUnshare ipa => option_map to (lookup (ipa / PAGE_SIZE) (leaves (vms s (of_vm (vcpus s i)))))
  | _ => None
  end.

(** Of vCPU [i]'s HVC that led to [s']: MEM_SHARE makes a page readable, with what it holds, MEM_UNSHARE ends
    that. No output says so: the host finds it where it looks. A call that is refused is no news. *)
Definition news_of_call (s s' : state) (i imm : N) : news :=
  match page_named s i imm with
  | Some p =>
      match host_may (st (pages s p)), host_may (st (pages s' p)) with
      | false, true => Shows p (holds (pages s' p))
      | true, false => Hides p
      | _, _ => NoNews
      end
  | None => NoNews
  end.

(** Of its access: a store to a page that the host reaches. *)
Definition news_of_access (s s' : state) (i : N) (a : access) : news :=
  match kind a, lookup (ipa a / PAGE_SIZE) (leaves (vms s (of_vm (vcpus s i)))) with
  | Store, Some l =>
      if can_write l && host_may (st (pages s (to l))) then Shows (to l) (holds (pages s' (to l))) else NoNews
  | _, _ => NoNews
  end.

Definition uncovered (s : state) (w : weather) (c : N) (g : act) : news :=
  let s' := fst (guest_act s w c g) in
  match g, at_ (cores s c) with
  | Touch a, InGuest i => news_of_access s s' i a
  | Hvc imm, InGuest i => news_of_call s s' i imm
  | _, _ => NoNews
  end.

(** The exit, with its details; whether the vCPU goes on; what is uncovered. *)
Definition released (s : state) (w : weather) (e : event) : output * mode * news :=
  match e with
  | ByGuest c g =>
      (snd (guest_act s w c g), at_ (cores (fst (guest_act s w c g)) c), uncovered s w c g)
  | _ => (Silence, InHost, NoNews)
  end.

(** ** What can be uncovered: pages of the VM's own that it shares by this call, and what it stores where the
    host reaches; of no refused call anything. *)
Section Uncovers.
  Variables (s : state) (i : N) (g : act).
  Let u := vcpus s i.
  Let v := of_vm u.
  Let asks (imm : N) : guest_call := classify (cfg s) imm (x u 0) (x u 1) (x u 2) (x u 3).
  Let leaf_at (a : N) : option leaf := lookup (a / PAGE_SIZE) (leaves (vms s v)).

  Inductive uncovers : news -> Prop :=
  | uncovers_nothing : uncovers NoNews
  | uncovers_shared imm q l :
      g = Hvc imm -> asks imm = MemShare q -> leaf_at q = Some l -> st (pages s (to l)) = VmOwned v ->
      uncovers (Shows (to l) (holds (pages s (to l))))
  | uncovers_unshared imm q l :
      g = Hvc imm -> asks imm = MemUnshare q -> leaf_at q = Some l -> st (pages s (to l)) = SharedByVm v ->
      uncovers (Hides (to l))
  | uncovers_store a l what :
      g = Touch a -> kind a = Store -> leaf_at (ipa a) = Some l -> can_write l = true ->
      host_may (st (pages s (to l))) = true -> uncovers (Shows (to l) what).
End Uncovers.

(** Of a page that is as it was there is no news. *)
Ltac no_news := simpl; match goal with |- context [host_may ?x] => destruct (host_may x) end.

Theorem what_is_uncovered s w c i g :
  at_ (cores s c) = InGuest i -> uncovers s i g (uncovered s w c g).
Proof.
  intro In. unfold uncovered. rewrite In. destruct g; try apply uncovers_nothing.
  - unfold news_of_access. destruct (kind a) eqn:K; try apply uncovers_nothing.
    destruct (lookup _ _) as [l|] eqn:L; [|apply uncovers_nothing].
    destruct (can_write l) eqn:W; [|apply uncovers_nothing].
    destruct (host_may (st (pages s (to l)))) eqn:H; [|apply uncovers_nothing].
    now apply uncovers_store with a.
  - unfold news_of_call, page_named, guest_act. rewrite In. unfold guest_hvc.
    destruct (classify _ _ _ _ _ _) as [q|x0 x1 x2 x3| |q|q|q|] eqn:K; try apply uncovers_nothing.
    + destruct (lookup _ _) as [l|] eqn:L; [|apply uncovers_nothing]. cbn [option_map]. unfold share. rewrite L.
      destruct (is_held w 0 AtEntry); [no_news; apply uncovers_nothing|].
      destruct (is_held w 0 AtPage); [no_news; apply uncovers_nothing|].
      destruct (st (pages s (to l))) eqn:S; try (simpl; rewrite ?S; apply uncovers_nothing).
      destruct (N.eqb_spec v (of_vm (vcpus s i))) as [->|]; [|simpl; rewrite ?S; apply uncovers_nothing]. simpl.
      destruct (luck w 0 AtHost); simpl; rewrite ?S; try apply uncovers_nothing.
      unfold upd. rewrite N.eqb_refl. simpl. now apply uncovers_shared with imm q.
    + destruct (lookup _ _) as [l|] eqn:L; [|apply uncovers_nothing]. cbn [option_map]. unfold unshare. rewrite L.
      destruct (is_held w 0 AtEntry); [no_news; apply uncovers_nothing|].
      destruct (is_held w 0 AtPage); [no_news; apply uncovers_nothing|].
      destruct (st (pages s (to l))) eqn:S; try (simpl; rewrite ?S; apply uncovers_nothing).
      destruct (N.eqb_spec v (of_vm (vcpus s i))) as [->|]; [|simpl; rewrite ?S; apply uncovers_nothing]. simpl.
      unfold upd. rewrite ?S, N.eqb_refl. simpl. now apply uncovers_unshared with imm q.
Qed.
