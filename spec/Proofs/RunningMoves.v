(** * The moves of which all changes of scheduling are made

    As MemoryMoves.v, for vCPUs, cores and the phases of VMs: each keeps [running_ok]. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State World Args Calls.Vcpus Invariants Proofs.MemoryMoves.
Open Scope N_scope.

(** Is the vCPU there, and on no core? *)
Definition settled (p : residence) : Prop := p <> Absent /\ forall c, p <> RunningOn c.

(** The same vCPU, whatever it holds. *)
Notation same_id a b := (of_vm a = of_vm b /\ mpidr a = mpidr b).

(** ** Changes that scheduling does not notice *)

Lemma running_frame s s' :
  cfg s' = cfg s ->
  (forall i, place (vcpus s' i) = place (vcpus s i) /\ same_id (vcpus s' i) (vcpus s i)) ->
  (forall c, at_ (cores s' c) = at_ (cores s c)) ->
  (forall v, members (vms s' v) = members (vms s v) /\ phase_of s' v = phase_of s v) ->
  running_ok s -> running_ok s'.
Proof.
  intros G V C M [A B D E F U X S].
  assert (Vp : forall i, place (vcpus s' i) = place (vcpus s i)) by (intro; apply V).
  assert (Vo : forall i, of_vm (vcpus s' i) = of_vm (vcpus s i)) by (intro; apply V).
  assert (Va : forall i, mpidr (vcpus s' i) = mpidr (vcpus s i)) by (intro; apply V).
  assert (Mm : forall v, members (vms s' v) = members (vms s v)) by (intro; apply M).
  assert (Mp : forall v, phase_of s' v = phase_of s v) by (intro; apply M).
  split.
  - intros i c. rewrite Vp, C. apply A.
  - intros i c. rewrite C, G. apply B.
  - intros i c. rewrite C, Vo, Mp. apply D.
  - intro i. rewrite Vp, Vo, Mm, Mp. apply E.
  - intros v i. rewrite Mm, Vp, Vo. apply F.
  - intros v i j. rewrite Mm, !Va. apply U.
  - intros v i. rewrite Mm, Va. apply X.
  - intros v i. rewrite Mm, G. apply S.
Qed.

Lemma running_memory s s' : only_memory s s' -> running_ok s -> running_ok s'.
Proof.
  intro O. pose proof (om_cfg _ _ O). pose proof (om_vcpus _ _ O). pose proof (om_cores _ _ O).
  apply running_frame; auto.
  - intro i. now rewrite H0.
  - intro c. now rewrite H1.
  - intro v. split; [now apply om_members|now apply om_phase].
Qed.

(** ** Looking through one change *)

Lemma vcpus_put s i u j : vcpus (put_vcpu s i u) j = if j =? i then u else vcpus s j.
Proof. reflexivity. Qed.
Lemma at_put s c m d : at_ (cores (put_mode s c m) d) = if d =? c then m else at_ (cores s d).
Proof. unfold put_mode, with_cores, upd. simpl. destruct (d =? c); auto. Qed.
Lemma members_put s v r w : members (vms (put_vm s v r) w) = if w =? v then members r else members (vms s w).
Proof. unfold put_vm, with_vms, upd. simpl. destruct (w =? v); auto. Qed.

Lemma mpidr_put s i u j :
  mpidr u = mpidr (vcpus s i) -> mpidr (if j =? i then u else vcpus s j) = mpidr (vcpus s j).
Proof. intro E. destruct (N.eqb_spec j i); subst; auto. Qed.

Ltac look :=
  repeat match goal with
  | |- context [vcpus (put_mode ?s ?c ?m) ?i] => change (vcpus (put_mode s c m) i) with (vcpus s i)
  | |- context [vcpus (put_vm ?s ?c ?m) ?i] => change (vcpus (put_vm s c m) i) with (vcpus s i)
  | |- context [vms (put_mode ?s ?c ?m) ?i] => change (vms (put_mode s c m) i) with (vms s i)
  | |- context [vms (put_vcpu ?s ?c ?m) ?i] => change (vms (put_vcpu s c m) i) with (vms s i)
  | |- context [cores (put_vcpu ?s ?c ?m) ?i] => change (cores (put_vcpu s c m) i) with (cores s i)
  | |- context [cores (put_vm ?s ?c ?m) ?i] => change (cores (put_vm s c m) i) with (cores s i)
  | |- context [phase_of (put_mode ?s ?c ?m) ?i] => change (phase_of (put_mode s c m) i) with (phase_of s i)
  | |- context [phase_of (put_vcpu ?s ?c ?m) ?i] => change (phase_of (put_vcpu s c m) i) with (phase_of s i)
  | |- context [cfg (put_mode ?s ?c ?m)] => change (cfg (put_mode s c m)) with (cfg s)
  | |- context [cfg (put_vcpu ?s ?c ?m)] => change (cfg (put_vcpu s c m)) with (cfg s)
  | |- context [cfg (put_vm ?s ?c ?m)] => change (cfg (put_vm s c m)) with (cfg s)
  | _ => rewrite vcpus_put || rewrite at_put || rewrite members_put || rewrite phase_put
  end.

(** ** A vCPU changes *)

(** ... and neither where it is nor whose it is. *)
Lemma running_same s i u :
  place u = place (vcpus s i) -> same_id u (vcpus s i) -> running_ok s -> running_ok (put_vcpu s i u).
Proof.
  intros P [O Y]. apply running_frame; auto.
  intro j. rewrite vcpus_put. destruct (N.eqb_spec j i); subst; auto.
Qed.

(** ... from one place that is on no core to another. *)
Lemma running_settled s i u :
  settled (place (vcpus s i)) -> settled (place u) -> same_id u (vcpus s i) ->
  running_ok s -> running_ok (put_vcpu s i u).
Proof.
  intros [N R] [N' R'] [O Y] [A B D E F U X S]. split; intros *; look.
  - destruct (N.eqb_spec i0 i); subst; [|apply A].
    split; intro H; [now apply R' in H|now apply A, R in H].
  - apply B.
  - intro H. destruct (N.eqb_spec i0 i); subst; [rewrite O|]; eapply D; eauto.
  - destruct (N.eqb_spec i0 i); subst; [|apply E]. intros _. rewrite O. now apply E.
  - intro H. apply F in H. destruct (N.eqb_spec i0 i); subst; [|auto]. rewrite O. tauto.
  - rewrite !mpidr_put by auto. apply U.
  - rewrite mpidr_put by auto. apply X.
  - apply S.
Qed.

(** ** A vCPU enters a core, and leaves it *)

Lemma running_enter s c i u :
  at_ (cores s c) = InRun -> c < cores_n (cfg s) ->
  settled (place (vcpus s i)) -> place u = RunningOn c -> same_id u (vcpus s i) ->
  phase_of s (of_vm (vcpus s i)) = Some Running ->
  running_ok s -> running_ok (put_mode (put_vcpu s i u) c (InGuest i)).
Proof.
  intros I L [N R] P [O Y] Ph [A B D E F U X S]. split; intros *; look.
  - destruct (N.eqb_spec i0 i), (N.eqb_spec c0 c); subst.
    + tauto.
    + rewrite P. split; intro H; [congruence|]. now apply A, R in H.
    + split; intro H; [|congruence]. apply A in H. congruence.
    + apply A.
  - destruct (N.eqb_spec c0 c); subst; [auto|apply B].
  - destruct (N.eqb_spec c0 c); subst.
    + intro H. injection H as <-. rewrite N.eqb_refl, O. auto.
    + intro H. destruct (N.eqb_spec i0 i); subst; [rewrite O|]; eapply D; eauto.
  - destruct (N.eqb_spec i0 i); subst; [|apply E]. intros _. rewrite O. now apply E.
  - intro H. apply F in H. destruct (N.eqb_spec i0 i); subst; [|auto].
    rewrite O, P. split; [discriminate|tauto].
  - rewrite !mpidr_put by auto. apply U.
  - rewrite mpidr_put by auto. apply X.
  - apply S.
Qed.

Lemma running_leave s c i u m :
  at_ (cores s c) = InGuest i -> settled (place u) -> same_id u (vcpus s i) ->
  (forall j, m <> InGuest j) ->
  running_ok s -> running_ok (put_mode (put_vcpu s i u) c m).
Proof.
  intros I [N R] [O Y] NG [A B D E F U X S]. pose proof (proj2 (A i c) I) as P.
  split; intros *; look.
  - destruct (N.eqb_spec i0 i), (N.eqb_spec c0 c); subst.
    + split; intro H; [now apply R in H|now apply NG in H].
    + split; intro H; [now apply R in H|]. apply A in H. congruence.
    + split; intro H; [|now apply NG in H]. apply A in H. congruence.
    + apply A.
  - destruct (N.eqb_spec c0 c); subst; [|apply B]. intro H. now apply NG in H.
  - destruct (N.eqb_spec c0 c); subst; [intro H; now apply NG in H|].
    intro H. destruct (N.eqb_spec i0 i); subst; [rewrite O|]; eapply D; eauto.
  - destruct (N.eqb_spec i0 i); subst; [|apply E]. intros _. rewrite O. apply E. congruence.
  - intro H. apply F in H. destruct (N.eqb_spec i0 i); subst; [|auto]. rewrite O. tauto.
  - rewrite !mpidr_put by auto. apply U.
  - rewrite mpidr_put by auto. apply X.
  - apply S.
Qed.

(** ** A core changes, and runs no vCPU *)

Lemma running_mode s c m :
  (forall j, at_ (cores s c) <> InGuest j) -> (forall j, m <> InGuest j) ->
  running_ok s -> running_ok (put_mode s c m).
Proof.
  intros N N' [A B D E F U X S]. split; intros *; look; try apply E; try apply F; try apply U; try apply X; try apply S.
  - destruct (N.eqb_spec c0 c); subst; [|apply A].
    split; intro H; [now apply A, N in H|now apply N' in H].
  - destruct (N.eqb_spec c0 c); subst; [|apply B]. intro H. now apply N' in H.
  - destruct (N.eqb_spec c0 c); subst; [|apply D]. intro H. now apply N' in H.
Qed.

Lemma running_power s c p : running_ok s -> running_ok (put_power s c p).
Proof.
  apply running_frame; auto. intro d. unfold put_power, with_cores, upd. simpl.
  destruct (N.eqb_spec d c); subst; auto.
Qed.

(** ** A VM changes its phase *)

Lemma running_phase s v r :
  members r = members (vms s v) ->
  (phase_of s v <> None -> phase r <> None) ->
  (phase_of s v = Some Running -> phase r = Some Running \/ phase r = Some Dying) ->
  (phase_of s v = Some Dying -> phase r = Some Dying) ->
  running_ok s -> running_ok (put_vm s v r).
Proof.
  intros M P R Dy [A B D E F U X S]. split; intros *; look; try apply A; try apply B.
  - intro H. destruct (D _ _ H) as [W|W]; destruct (N.eqb_spec (of_vm (vcpus s i)) v) as [Q|Q]; auto;
      rewrite Q in W; auto.
  - intro H. destruct (E _ H) as [W Y].
    destruct (N.eqb_spec (of_vm (vcpus s i)) v) as [Q|Q]; auto.
    rewrite Q in W, Y. rewrite M. auto.
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M|]; apply F.
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M|]; apply U.
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M|]; apply X.
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M|]; apply S.
Qed.

(** A free slot becomes a VM without vCPUs. *)
Lemma running_create s v r :
  phase_of s v = None -> members r = [] -> running_ok s -> running_ok (put_vm s v r).
Proof.
  intros N M [A B D E F U X S].
  assert (Z : forall i, place (vcpus s i) <> Absent -> of_vm (vcpus s i) <> v).
  { intros i H Q. apply E in H. rewrite Q in H. tauto. }
  split; intros *; look; try apply A; try apply B.
  - intro H. assert (Q : of_vm (vcpus s i) <> v).
    { apply Z. pose proof (proj2 (A i c) H). congruence. }
    apply N.eqb_neq in Q. rewrite Q. eapply D; eauto.
  - intro H. pose proof (Z i H) as Q. apply N.eqb_neq in Q. rewrite Q. now apply E.
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M; contradiction|apply F].
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M; contradiction|apply U].
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M; contradiction|apply X].
  - destruct (N.eqb_spec v0 v) as [->|]; [rewrite M; contradiction|apply S].
Qed.

(** A free vCPU slot becomes a member. *)
Lemma running_add_vcpu s v i u r :
  place (vcpus s i) = Absent -> settled (place u) -> of_vm u = v ->
  members r = members (vms s v) ++ [i] ->
  is_affinity (mpidr u) = true -> i < vcpus_n (cfg s) ->
  (forall j, In j (members (vms s v)) -> mpidr (vcpus s j) <> mpidr u) -> phase r = phase_of s v -> phase_of s v <> None ->
  running_ok s -> running_ok (put_vcpu (put_vm s v r) i u).
Proof.
  intros Ab [N R] O M Af Sl Un P L [A B D E F U X S]. split; intros *; look.
  - destruct (N.eqb_spec i0 i) as [->|?]; [|apply A].
    split; intro H; [now apply R in H|]. apply A in H. congruence.
  - apply B.
  - intro H. assert (Q : i0 <> i) by (intros ->; apply A in H; congruence).
    apply N.eqb_neq in Q. rewrite Q, P.
    destruct (D _ _ H) as [Z|Z]; destruct (N.eqb_spec (of_vm (vcpus s i0)) v) as [W|W]; auto;
      rewrite W in Z; auto.
  - destruct (N.eqb_spec i0 i) as [->|?].
    + intros _. rewrite O, N.eqb_refl, M, P. split; [|auto]. apply in_or_app. simpl. auto.
    + intro H. destruct (E _ H) as [Z Y].
      destruct (N.eqb_spec (of_vm (vcpus s i0)) v) as [W|W]; auto.
      rewrite W in Z, Y. rewrite M, P. split; [apply in_or_app; auto|auto].
  - destruct (N.eqb_spec v0 v) as [->|W].
    + rewrite M. intro H. apply in_app_or in H as [H|[<-|[]]].
      * apply F in H. destruct (N.eqb_spec i0 i) as [->|?]; auto.
      * rewrite N.eqb_refl. split; auto.
    + intro H. apply F in H. destruct (N.eqb_spec i0 i) as [->|?]; [|auto]. destruct H. congruence.
  - assert (Old : forall w k, In k (members (vms s w)) -> k <> i).
    { intros w k H ->. apply F in H. tauto. }
    destruct (N.eqb_spec v0 v) as [->|W].
    + rewrite M. intros H H'.
      apply in_app_or in H as [H|[<-|[]]]; apply in_app_or in H' as [H'|[<-|[]]];
        rewrite ?N.eqb_refl; auto.
      * pose proof (Old _ _ H) as Q1. pose proof (Old _ _ H') as Q2.
        apply N.eqb_neq in Q1, Q2. rewrite Q1, Q2. eapply U; eauto.
      * pose proof (Old _ _ H) as Q1. apply N.eqb_neq in Q1. rewrite Q1.
        intro Eq. now elim (Un _ H).
      * pose proof (Old _ _ H') as Q1. apply N.eqb_neq in Q1. rewrite Q1.
        intro Eq. now elim (Un _ H').
    + intros H H'. pose proof (Old _ _ H) as Q1. pose proof (Old _ _ H') as Q2.
      apply N.eqb_neq in Q1, Q2. rewrite Q1, Q2. eapply U; eauto.
  - destruct (N.eqb_spec i0 i) as [->|Q]; [auto|].
    destruct (N.eqb_spec v0 v) as [->|W]; [|apply X].
    rewrite M. intro H. apply in_app_or in H as [H|[<-|[]]]; [now apply X in H|congruence].
  - destruct (N.eqb_spec v0 v) as [->|W]; [|apply S].
    rewrite M. intro H. apply in_app_or in H as [H|[<-|[]]]; [now apply S in H|exact Sl].
Qed.
