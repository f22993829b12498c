(** * Playing a run, and what is wrong with where it ends

    A run is a list of events; [Finish] stands for a call's steps to its end while cores act on its invalidations, as
    it goes when nobody interferes. [wrong] looks at where the run ends, at each thing that Safety.v proves of the engine. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant.
Open Scope N_scope.

Inductive move :=
| Do (e : event)
| Steps (h : N) (n : nat)       (** so many steps of this hand *)
| Deliver (c : N)               (** core [c] acts on all invalidations that have reached it, oldest first *)
| Finish (c : N).               (** the call on this core goes on to its end, hand by hand *)

Fixpoint steps (u : setup) (h : N) (n : nat) (m : machine) : option machine :=
  match n with
  | O => Some m
  | S n => match step u m (Run h) with Some m' => steps u h n m' | None => None end
  end.

Fixpoint act_all (u : setup) (qs : list post) (c : N) (m : machine) : option machine :=
  match qs with
  | [] => Some m
  | q :: rest => match act_all u rest c m with
                 | Some m' => if for_ q =? c then step u m' (Act q) else Some m'
                 | None => None
                 end
  end.

Definition deliver (u : setup) (c : N) (m : machine) : option machine := act_all u (posts m) c m.

Fixpoint deliver_to (u : setup) (cs : list N) (m : machine) : option machine :=
  match cs with
  | [] => Some m
  | c :: rest => match deliver u c m with Some m' => deliver_to u rest m' | None => None end
  end.

(** The first of these hands that can goes on. *)
Fixpoint one_goes (u : setup) (hs : list N) (m : machine) : option machine :=
  match hs with
  | [] => None
  | h :: rest => match step u m (Run h) with Some m' => Some m' | None => one_goes u rest m end
  end.

Fixpoint finish (u : setup) (c : N) (fuel : nat) (m : machine) : option machine :=
  if is_idle u m c then Some m else
  match fuel with
  | O => None
  | S fuel => match one_goes u (hands_of u c) m with
              | Some m' => finish u c fuel m'
              | None => match deliver_to u (below (cores u)) m with
                        | Some m' => finish u c fuel m'
                        | None => None
                        end
              end
  end.

Definition moves (u : setup) (fuel : nat) (m : machine) (x : move) : option machine :=
  match x with
  | Do e => step u m e
  | Steps c n => steps u c n m
  | Deliver c => deliver u c m
  | Finish c => finish u c fuel m
  end.

Fixpoint play (u : setup) (fuel : nat) (l : list move) (m : machine) : option machine :=
  match l with
  | [] => Some m
  | x :: rest => match moves u fuel m x with Some m' => play u fuel rest m' | None => None end
  end.

(** What is played is reachable. *)
Lemma steps_reach u c n : forall m m', reachable u m -> steps u c n m = Some m' -> reachable u m'.
Proof.
  induction n as [|n IH]; cbn [steps]; intros m m' R E; [injection E as <-; exact R|].
  destruct (step u m (Run c)) as [m1|] eqn:S; [|discriminate]. exact (IH m1 m' (by_step u m (Run c) m1 R S) E).
Qed.
Lemma act_all_reach u qs c : forall m m', reachable u m -> act_all u qs c m = Some m' -> reachable u m'.
Proof.
  induction qs as [|q qs IH]; cbn [act_all]; intros m m' R E; [injection E as <-; exact R|].
  destruct (act_all u qs c m) as [m1|] eqn:A; [|discriminate]. specialize (IH _ _ R A).
  destruct (for_ q =? c); [exact (by_step u _ _ _ IH E)|injection E as <-; exact IH].
Qed.
Lemma deliver_to_reach u cs : forall m m', reachable u m -> deliver_to u cs m = Some m' -> reachable u m'.
Proof.
  induction cs as [|c cs IH]; cbn [deliver_to]; intros m m' R E; [injection E as <-; exact R|].
  unfold deliver in E. destruct (act_all u (posts m) c m) as [m1|] eqn:D; [|discriminate].
  exact (IH m1 m' (act_all_reach u _ c m m1 R D) E).
Qed.
Lemma one_goes_reach u hs : forall m m', reachable u m -> one_goes u hs m = Some m' -> reachable u m'.
Proof.
  induction hs as [|h hs IH]; cbn [one_goes]; intros m m' R E; [discriminate|].
  destruct (step u m (Run h)) as [m1|] eqn:S; [injection E as <-; exact (by_step u m _ m1 R S)|exact (IH _ _ R E)].
Qed.
Lemma finish_reach u c n : forall m m', reachable u m -> finish u c n m = Some m' -> reachable u m'.
Proof.
  induction n as [|n IH]; cbn [finish]; intros m m' R E; (destruct (is_idle u m c); [injection E as <-; exact R|]); [discriminate|].
  destruct (one_goes u (hands_of u c) m) as [m1|] eqn:S.
  - exact (IH m1 m' (one_goes_reach u _ m m1 R S) E).
  - destruct (deliver_to u (below (cores u)) m) as [m1|] eqn:D; [|discriminate].
    exact (IH m1 m' (deliver_to_reach u _ m m1 R D) E).
Qed.
Lemma moves_reach u fuel x m m' : reachable u m -> moves u fuel m x = Some m' -> reachable u m'.
Proof.
  destruct x as [e|c n|c|c]; intros R M.
  - exact (by_step u m e m' R M).
  - exact (steps_reach u c n m m' R M).
  - exact (act_all_reach u (posts m) c m m' R M).
  - exact (finish_reach u c fuel m m' R M).
Qed.
Theorem play_reach u fuel l : forall m m', reachable u m -> play u fuel l m = Some m' -> reachable u m'.
Proof.
  induction l as [|x l IH]; cbn [play]; intros m m' R E; [injection E as <-; exact R|].
  destruct (moves u fuel m x) as [m1|] eqn:M; [|discriminate].
  exact (IH m1 m' (moves_reach u fuel x m m1 R M) E).
Qed.

(** ** What is wrong *)

(** Leads something to a page for who may not reach it? Of a page that is settled, or with [owner_now] of any. *)
Definition stray (may_ : N -> dom -> bool) (m : machine) : bool :=
  existsb (fun w => negb (may_ (leads_to w) (of w))) (ways m) || existsb (fun f => negb (may_ (f_to f) (f_of f))) (flights m).

Definition settled_may (m : machine) (p : N) (d : dom) : bool :=
  match words m p with Settled s => may s d | Claimed _ _ => true end.

Inductive fault :=
| Stale                         (** I5: something leads to a settled page for who may not reach it *)
| TwoOwners                     (** the same of a page that is changing hands *)
| TwoPages                      (** break-before-make: an entry for an address at which another page is mapped *)
| Unpublished (d : dom) (a : N) (** a settled page's entry that walkers may not find *)
| Tells (e : event) (d : dom) (w : N)  (** this event would tell [d] the word [w] *)
| Unscrubbed (c : N)            (** a hand about to commit a page that is not zero, in memory or in caches *)
| Unclean (c : N)               (** a hand about to hand over a page that caches hold newer than memory *)
| Held (p : N)                  (** a page is claimed by a hand that does nothing *)
| Marked (d : dom) (a : N)      (** an entry holds a mark of a hand that does nothing *)
| Astray (c : N).               (** a core's VTTBR is a VM's that it has not entered *)

Definition wrong (u : setup) (f : fault) (m : machine) : bool :=
  match f with
  | Stale => stray (settled_may m) m
  | TwoOwners => stray (fun p d => may (owner_now m p) d) m
  | TwoPages => existsb (fun w => match now (cells m (of w) (from_ipa w)) with Leaf q => negb (q =? leads_to w) | _ => false end) (ways m)
  | Unpublished d a => match now (cells m d a), old (cells m d a) with
                       | Leaf p, _ :: _ => match words m p with Settled _ => true | _ => false end
                       | _, _ => false
                       end
  | Tells e d w => match hears m e with Some (d', w') => (if dom_dec d d' then true else false) && (w =? w') | None => false end
  | Unscrubbed c => match threads m c with
                    | Some t => match rest t, lines m (page (doing t)) with
                                | Commit :: _, Line None [] => false
                                | Commit :: _, _ => scrubs (kind_of (doing t))
                                | _, _ => false
                                end
                    | None => false
                    end
  | Unclean c => match threads m c with
                 | Some t => match rest t, dirty (lines m (page (doing t))), kind_of (doing t) with
                             | Write OfVm :: _, Some _, Map _ => true
                             | _, _, _ => false
                             end
                 | None => false
                 end
  | Held p => match words m p with Claimed _ c => is_free m c | Settled _ => false end
  | Marked d a => match now (cells m d a) with Mark c => is_free m c | _ => false end
  | Astray c => is_idle u m c && negb (if dom_dec (regime m c) Host then true else false)
  end.

Definition ends_wrong (u : setup) (f : fault) (o : option machine) : bool :=
  match o with Some m => wrong u f m | None => false end.

(** The run, whose calls have no more than 60 steps, ends with what is wrong. *)
Definition attack (u : setup) (l : list move) (m : machine) (f : fault) : bool := ends_wrong u f (play u 60 l m).

(** An attack is a reachable state in which it is so. *)
Lemma ends_reaches u fuel l m f :
  initial m -> ends_wrong u f (play u fuel l m) = true -> exists m', reachable u m' /\ wrong u f m' = true.
Proof.
  intros I A. destruct (play u fuel l m) as [m'|] eqn:P; [|discriminate].
  exists m'. split; [|exact A]. exact (play_reach u fuel l m m' (at_start u m I) P).
Qed.
Theorem attack_reaches u l m f :
  initial m -> attack u l m f = true -> exists m', reachable u m' /\ wrong u f m' = true.
Proof. exact (ends_reaches u 60 l m f). Qed.

Theorem stale_is_no_I5 u m : wrong u Stale m = true ->
  exists d p s, words m p = Settled s /\ may s d = false
    /\ ((exists w, In w (ways m) /\ of w = d /\ leads_to w = p) \/ (exists f, In f (flights m) /\ f_of f = d /\ f_to f = p)).
Proof.
  cbn [wrong]. unfold stray, settled_may. intro H. apply orb_prop in H as [H|H]; apply existsb_exists in H as (x & I & H); apply negb_true_iff in H.
  - destruct (words m (leads_to x)) as [s|] eqn:W; [|discriminate]. exists (of x), (leads_to x), s. repeat split; auto. left. exists x. auto.
  - destruct (words m (f_to x)) as [s|] eqn:W; [|discriminate]. exists (f_of x), (f_to x), s. repeat split; auto. right. exists x. auto.
Qed.
