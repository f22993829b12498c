(** * Whatever guests do, the host learns what they release

    [confidentiality] compares two machines in which the same events happen: which act a guest does is the same in both.
    Here guests may do different things on the two sides. [told s w c g] is all that an act tells the host: what
    [released] says, whether the vCPU waits, and which of its VM's vCPUs are to be told as ready. An act that tells
    nothing changes nothing that the host sees; two acts that tell the same leave states that look the same to it. So
    over whole runs: the host sees what it sees whichever acts that tell nothing lie between, and how many. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step HostSide Alike Released.
From Bulkhead Require Import Calls.Pages Calls.Vcpus Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.MemoryMoves Proofs.RunningMoves Proofs.Moves Proofs.AlikeCalls.
From Bulkhead Require Import Proofs.Config Proofs.Reachable Confidentiality Proofs.ActOutcomes.
Open Scope N_scope.

(** ** Two acts that tell the same *)

(** All that an act tells the host. *)
Definition told (s : state) (w : weather) (c : N) (g : act) : output * mode * news * bool * list N :=
  let s' := fst (guest_act s w c g) in
  match at_ (cores s c) with
  | InGuest i =>
      (snd (guest_act s w c g), at_ (cores s' c), uncovered s w c g,
       waiting (vcpus s' i), ready (vms s' (of_vm (vcpus s i))))
  | _ => (Silence, InHost, NoNews, false, [])
  end.

Theorem acts_that_tell_the_same s t w w' c g g' :
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 -> alike s t -> told s w c g = told t w' c g' ->
  snd (guest_act s w c g) = snd (guest_act t w' c g')
  /\ alike (fst (guest_act s w c g)) (fst (guest_act t w' c g')).
Proof.
  intros Rs Rt Small A T. unfold told in T. pose proof (al_cores _ _ A c) as Co.
  destruct (at_ (cores s c)) as [| |i|] eqn:In;
    try (unfold guest_act; rewrite Co, In; split; [reflexivity|exact A]).
  assert (It : at_ (cores t c) = InGuest i) by now rewrite Co.
  rewrite It in T. injection T as O Md Nw Wa Re. split; [exact O|].
  pose proof (reachable_invariant s Rs) as Is. pose proof (reachable_invariant t Rt) as It'.
  rewrite (al_of _ _ i A) in Re.
  exact (both_went s t c i _ _ _ _ Is It' A Small In (act_went s c i w g Is In) (act_went t c i w' g' It' It) Nw O
    Md Wa Re).
Qed.

(** ** Acts that tell nothing *)

(** No exit, the vCPU goes on, nothing is uncovered, nobody is to be told of as ready who was not. *)
Definition is_quiet (s : state) (w : weather) (c : N) (g : act) : bool :=
  match at_ (cores s c) with
  | InGuest i =>
      match told s w c g with
      | (Silence, InGuest _, NoNews, _, r) =>
          if list_eq_dec N.eq_dec r (ready (vms s (of_vm (vcpus s i)))) then true else false
      | _ => false
      end
  | _ => true
  end.

Theorem a_quiet_act_is_not_seen s w c g :
  reachable s -> is_quiet s w c g = true -> alike s (fst (guest_act s w c g)).
Proof.
  intros R Q. pose proof (reachable_invariant s R) as I. unfold is_quiet, told in Q.
  destruct (at_ (cores s c)) as [| |i|] eqn:In; try (unfold guest_act; rewrite In; apply alike_refl).
  pose proof (act_went s c i w g I In) as W.
  destruct (guest_act s w c g) as [s' o] eqn:E. cbn [fst snd] in *.
  destruct o; try discriminate. destruct (at_ (cores s' c)) eqn:Md; try discriminate.
  destruct (uncovered s w c g); try discriminate.
  destruct (list_eq_dec _ _ _) as [Re|]; [|discriminate].
  remember NoNews as n eqn:En in W. remember (s', Silence) as rs eqn:Er in W.
  destruct W as [r s1 _ B| | | |b y _| | | ]; try discriminate En; try discriminate Er.
  - injection Er as ->. eapply alike_trans; [apply alike_sym, with_its_ready|].
    rewrite (al_vms _ _ B) in Re. unfold with_ready, put_vm, with_vms, upd in Re. simpl in Re.
    rewrite N.eqb_refl in Re. simpl in Re. subst r. exact B.
  - injection Er as <-. simpl in Md. unfold upd in Md. rewrite N.eqb_refl in Md. discriminate.
Qed.

(** For one: what a guest computes is not seen. *)
Theorem what_a_guest_computes_is_not_seen s w w' c r r' n n' o o' :
  reachable s ->
  alike (fst (guest_act s w c (Compute r n o))) (fst (guest_act s w' c (Compute r' n' o'))).
Proof.
  intro R.
  assert (Q : forall w r n o, is_quiet s w c (Compute r n o) = true).
  { intros. unfold is_quiet, told, uncovered, guest_act. destruct (at_ (cores s c)) as [| |i|] eqn:A; auto.
    simpl. rewrite A. destruct (list_eq_dec _ _ _); auto. }
  eapply alike_trans; [apply alike_sym|]; apply a_quiet_act_is_not_seen; auto.
Qed.

(** ** Runs *)

(** What the host can tell of an event: of guests' acts what they tell, if they tell anything; of all else that it
    happened. *)
Inductive noticed :=
| Happened (w : weather) (e : event)
| Told (c : N) (what : output * mode * news * bool * list N).

Definition notices (s : state) (w : weather) (e : event) : option noticed :=
  match e with
  | ByGuest c g =>
      if machine_off s || negb (c <? cores_n (cfg s)) || is_quiet s w c g then None else Some (Told c (told s w c g))
  | _ => Some (Happened w e)
  end.

Fixpoint all_noticed (s : state) (es : list (weather * event)) : list noticed :=
  match es with
  | [] => []
  | (w, e) :: rest =>
      match notices s w e with
      | Some n => n :: all_noticed (fst (step s w e)) rest
      | None => all_noticed (fst (step s w e)) rest
      end
  end.

(** What it is told at these. *)
Fixpoint all_told (s : state) (es : list (weather * event)) : list output :=
  match es with
  | [] => []
  | (w, e) :: rest =>
      match notices s w e with
      | Some _ => snd (step s w e) :: all_told (fst (step s w e)) rest
      | None => all_told (fst (step s w e)) rest
      end
  end.

Fixpoint after_all (s : state) (es : list (weather * event)) : state :=
  match es with
  | [] => s
  | (w, e) :: rest => after_all (fst (step s w e)) rest
  end.

Lemma unnoticed s w e : reachable s -> notices s w e = None -> alike s (fst (step s w e)).
Proof.
  intros R N. destruct e as [c h|c t|c g|h]; try discriminate. unfold notices in N. unfold step.
  destruct (machine_off s); [apply alike_refl|]. destruct (c <? cores_n (cfg s)); [|apply alike_refl].
  destruct (is_quiet s w c g) eqn:Q; [|discriminate]. now apply a_quiet_act_is_not_seen.
Qed.

Lemma noticed_alike s t w w' e f n :
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 -> alike s t ->
  notices s w e = Some n -> notices t w' f = Some n ->
  snd (step s w e) = snd (step t w' f) /\ alike (fst (step s w e)) (fst (step t w' f)).
Proof.
  intros Rs Rt Small A N M.
  assert (Same : e = f -> w = w' -> (forall c g, e <> ByGuest c g) ->
    snd (step s w e) = snd (step t w' f) /\ alike (fst (step s w e)) (fst (step t w' f))).
  { intros <- <- Ng. assert (Rel : released s w e = released t w e).
    { unfold released. destruct e as [c h|c k|c g|h]; try reflexivity. now elim (Ng c g). }
    exact (confidentiality s t w e Rs Rt Small A Rel). }
  assert (Other : (forall c g, e <> ByGuest c g) -> n = Happened w e ->
    snd (step s w e) = snd (step t w' f) /\ alike (fst (step s w e)) (fst (step t w' f))).
  { intros Ng ->. destruct f as [c' h'|c' k'|c' g'|h']; simpl in M;
      try (injection M as E1 E2; apply Same; [now symmetry|now symmetry|exact Ng]).
    destruct (_ || _); discriminate M. }
  destruct e as [c h|c k|c g|h]; simpl in N; try (injection N as <-; apply Other; [discriminate|reflexivity]).
  - destruct (machine_off s || negb (c <? cores_n (cfg s)) || is_quiet s w c g) eqn:Gs; [discriminate|].
    injection N as <-. destruct f as [c' h'|c' k'|c' g'|h']; simpl in M; try discriminate.
    destruct (machine_off t || negb (c' <? cores_n (cfg t)) || is_quiet t w' c' g') eqn:Gt; [discriminate|].
    injection M as -> T.
    apply orb_false_elim in Gs as [Gs _]. apply orb_false_elim in Gs as [Os Bs].
    apply orb_false_elim in Gt as [Gt _]. apply orb_false_elim in Gt as [Ot Bt].
    apply negb_false_iff in Bs, Bt. unfold step. rewrite Os, Ot, Bs, Bt.
    now apply acts_that_tell_the_same.
Qed.

Theorem confidentiality_whatever_guests_do es : forall fs s t,
  reachable s -> reachable t -> vcpus_n (cfg s) <= 65536 -> alike s t ->
  all_noticed s es = all_noticed t fs ->
  all_told s es = all_told t fs /\ alike (after_all s es) (after_all t fs).
Proof.
  assert (Cfg : forall s w e, reachable s -> vcpus_n (cfg s) <= 65536 -> vcpus_n (cfg (fst (step s w e))) <= 65536).
  { intros s w e R H. now rewrite (step_cfg s w e (reachable_invariant s R)). }
  induction es as [|[w e] es IH].
  - induction fs as [|[w f] fs IH]; intros s t Rs Rt Small A H; simpl in *; [auto|].
    destruct (notices t w f) eqn:N; [discriminate|].
    apply IH; auto using by_step. eapply alike_trans; [exact A|]. now apply unnoticed.
  - intros fs s t Rs Rt Small A H. simpl in H. destruct (notices s w e) as [n|] eqn:N.
    + revert t Rt A H. induction fs as [|[w' f] fs IHf]; intros t Rt A H; simpl in H; [discriminate|].
      destruct (notices t w' f) as [m|] eqn:M.
      * injection H as <- H. destruct (noticed_alike s t w w' e f n Rs Rt Small A N M) as [O B].
        destruct (IH fs (fst (step s w e)) (fst (step t w' f))) as [T E]; auto using by_step.
        simpl. rewrite N, M, O, T. auto.
      * destruct (IHf (fst (step t w' f))) as [T E]; [now apply by_step| |exact H|].
        -- eapply alike_trans; [exact A|]. now apply unnoticed.
        -- simpl in *. rewrite M. auto.
    + destruct (IH fs (fst (step s w e)) t) as [T E]; auto using by_step.
      * eapply alike_trans; [|exact A]. apply alike_sym. now apply unnoticed.
      * simpl. rewrite N. auto.
Qed.
