(** * Two states that look the same to the host

    What the host can tell apart, but for what guests hold: [alike s t] says that pages, VMs, vCPUs and
    cores are in the same states, and that pages which the host may reach hold the same. Nothing is said of
    the content of other pages, nor of the vCPUs' registers and interrupts. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World.
Open Scope N_scope.

(** A vCPU waits for the same, whatever register the answer goes to. *)
Definition same_wait (a b : pending) : Prop :=
  match a, b with
  | Nothing, Nothing | AwaitRead _ _ _ _, AwaitRead _ _ _ _ | AwaitWrite, AwaitWrite
  | AwaitAnswer, AwaitAnswer | AwaitPage, AwaitPage | Ended, Ended => True
  | _, _ => False
  end.

Record vcpu_alike (u v : vcpu) : Prop := {
  va_generation : vgeneration v = vgeneration u;
  va_place : place v = place u;
  va_vm : of_vm v = of_vm u;
  va_mpidr : mpidr v = mpidr u;
  va_waits : same_wait (waits_for u) (waits_for v);
  va_waiting : waiting v = waiting u
}.

Record page_alike (p q : page) : Prop := {
  pa_st : st q = st p;
  pa_broken : broken q = broken p;
  pa_mapped : host_mapped q = host_mapped p;
  pa_use : use q = use p;
  pa_gift : gift q = gift p;
  pa_holds : host_may (st p) = true -> holds q = holds p
}.

Record alike (s t : state) : Prop := {
  al_cfg : cfg t = cfg s;
  al_doorbell : doorbell t = doorbell s;
  al_off : machine_off t = machine_off s;
  al_pages : forall p, page_alike (pages s p) (pages t p);
  al_vms : forall v, vms t v = vms s v;
  al_vcpus : forall i, vcpu_alike (vcpus s i) (vcpus t i);
  al_cores : forall c, cores t c = cores s c
}.

Lemma same_wait_refl p : same_wait p p.
Proof. destruct p; simpl; auto. Qed.
Lemma vcpu_alike_refl u : vcpu_alike u u.
Proof. split; auto using same_wait_refl. Qed.
Lemma page_alike_refl p : page_alike p p.
Proof. split; auto. Qed.
Lemma alike_refl s : alike s s.
Proof. split; auto using page_alike_refl, vcpu_alike_refl. Qed.

(** ** The same change on both sides *)

Lemma alike_page s t p pg pg' :
  alike s t -> page_alike pg pg' -> alike (put_page s p pg) (put_page t p pg').
Proof.
  intros [A B C D E F G] P. split; auto. intro q. unfold put_page, with_pages, upd. simpl.
  destruct (q =? p); auto.
Qed.

Lemma alike_vm s t v r : alike s t -> alike (put_vm s v r) (put_vm t v r).
Proof.
  intros [A B C D E F G]. split; auto. intro u. unfold put_vm, with_vms, upd. simpl.
  destruct (u =? v); auto.
Qed.

Lemma alike_vcpu s t i u u' :
  alike s t -> vcpu_alike u u' -> alike (put_vcpu s i u) (put_vcpu t i u').
Proof.
  intros [A B C D E F G] P. split; auto. intro j. unfold put_vcpu, with_vcpus, upd. simpl.
  destruct (j =? i); auto.
Qed.

Lemma alike_mode s t c m : alike s t -> alike (put_mode s c m) (put_mode t c m).
Proof.
  intros [A B C D E F G]. split; auto. intro d. unfold put_mode, with_cores, upd. simpl.
  rewrite G. destruct (d =? c); auto.
Qed.

Lemma alike_power s t c p : alike s t -> alike (put_power s c p) (put_power t c p).
Proof.
  intros [A B C D E F G]. split; auto. intro d. unfold put_power, with_cores, upd. simpl.
  rewrite G. destruct (d =? c); auto.
Qed.

Lemma alike_vcpu_place u u' p : vcpu_alike u u' -> vcpu_alike (set_place u p) (set_place u' p).
Proof. intros []. split; auto. Qed.

(** ** What the host sees of a state, rewritten from one to the other *)

Lemma al_st s t p : alike s t -> st (pages t p) = st (pages s p).
Proof. intro A. apply (pa_st _ _ (al_pages _ _ A p)). Qed.
Lemma al_broken s t p : alike s t -> broken (pages t p) = broken (pages s p).
Proof. intro A. apply (pa_broken _ _ (al_pages _ _ A p)). Qed.
Lemma al_use s t p : alike s t -> use (pages t p) = use (pages s p).
Proof. intro A. apply (pa_use _ _ (al_pages _ _ A p)). Qed.
Lemma al_gift s t p : alike s t -> gift (pages t p) = gift (pages s p).
Proof. intro A. apply (pa_gift _ _ (al_pages _ _ A p)). Qed.
Lemma al_holds s t p : alike s t -> host_may (st (pages s p)) = true -> holds (pages t p) = holds (pages s p).
Proof. intro A. apply (pa_holds _ _ (al_pages _ _ A p)). Qed.
Lemma al_place s t i : alike s t -> place (vcpus t i) = place (vcpus s i).
Proof. intro A. apply (va_place _ _ (al_vcpus _ _ A i)). Qed.
Lemma al_of s t i : alike s t -> of_vm (vcpus t i) = of_vm (vcpus s i).
Proof. intro A. apply (va_vm _ _ (al_vcpus _ _ A i)). Qed.
Lemma al_gen s t i : alike s t -> vgeneration (vcpus t i) = vgeneration (vcpus s i).
Proof. intro A. apply (va_generation _ _ (al_vcpus _ _ A i)). Qed.
Lemma al_mpidr s t i : alike s t -> mpidr (vcpus t i) = mpidr (vcpus s i).
Proof. intro A. apply (va_mpidr _ _ (al_vcpus _ _ A i)). Qed.
Lemma al_waiting s t i : alike s t -> waiting (vcpus t i) = waiting (vcpus s i).
Proof. intro A. apply (va_waiting _ _ (al_vcpus _ _ A i)). Qed.
Lemma al_bars s t i : alike s t -> bars_queues (waits_for (vcpus t i)) = bars_queues (waits_for (vcpus s i)).
Proof.
  intro A. pose proof (va_waits _ _ (al_vcpus _ _ A i)) as W.
  destruct (waits_for (vcpus s i)), (waits_for (vcpus t i)); simpl in *; tauto.
Qed.

(** Rewrites all that [t] shows to what [s] shows. *)
Ltac by_alike A :=
  repeat first
    [ rewrite (al_cfg _ _ A) | rewrite (al_vms _ _ A) | rewrite (al_cores _ _ A)
    | rewrite (al_st _ _ _ A) | rewrite (al_broken _ _ _ A) | rewrite (al_use _ _ _ A)
    | rewrite (al_gift _ _ _ A) | rewrite (al_place _ _ _ A) | rewrite (al_of _ _ _ A)
    | rewrite (al_gen _ _ _ A) | rewrite (al_mpidr _ _ _ A) | rewrite (al_waiting _ _ _ A)
    | rewrite (al_bars _ _ _ A) ].
