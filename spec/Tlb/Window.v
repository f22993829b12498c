(** * The window: how EL2 reaches a page that is not its own

    A core zeroes, cleans or copies a page of somebody else's through its window: one page of EL2's address space, whose entry
    leads nowhere but meanwhile. No other core walks it, so the invalidation is the core's own, and one core is the whole machine. What
    is proved: an access through the window comes to the page that it was opened on, and to that always ([lands], [no_fault]):
    so what Machine.v calls Zero and Clean is of the page that is meant; and while no call has it open nothing leads through it,
    no entry, no translation made ahead, no access under way ([shut]).

    arch/window.rs. The walker may find what the entry said before, until a DSB; an access may go by what was translated
    ahead of its instruction, a fault too, until an ISB; a TLB keeps no entry that is invalid. *)

From Coq Require Import Arith NArith List Bool Lia.
From Bulkhead Require Import Base.
Import ListNotations.
Open Scope N_scope.

(** Where the window leads: to a page, or nowhere. *)
Definition target := option N.

Inductive instr :=
| Open                          (** the entry leads to the page *)
| DsbSt                         (** DSB NSHST *)
| Isb
| Use                           (** accesses, any number of them *)
| Shut                          (** the entry leads nowhere *)
| Inval                         (** TLBI VALE2 *)
| Dsb.                          (** DSB NSH *)

(** Open::on, what is done, Open::drop. *)
Definition program : list instr := [Open; DsbSt; Isb; Use; Shut; DsbSt; Inval; Dsb; Isb].

Record core := Core {
  entry : target;
  was : list target;            (** what the walker may find instead *)
  tlb : list N;
  ahead : list target;          (** translations that were made ahead, by which an access may go *)
  flights : list N;             (** accesses that were translated and are not done *)
  notes : nat;                  (** invalidations under way *)
  faulted : bool;               (** an access found nothing *)
  call : option (N * nat)       (** the page it is about, and how many steps are done *)
}.

Definition start : core := Core None [] [] [] [] 0 false None.

Inductive event :=
| Fill (q : N)                  (** a walk, at any time *)
| Look (x : target)             (** something is translated ahead *)
| Go (x : target)               (** an access, where it is translated to *)
| Land (q : N)                  (** and is made *)
| Act                           (** the invalidation is done *)
| Forget (q : N)
| Begin (p : N)
| Run.

Definition target_dec (a b : target) : {a = b} + {a <> b}.
Proof. decide equality; apply N.eq_dec. Defined.
Definition has {A} (dec : forall a b : A, {a = b} + {a <> b}) (a : A) (l : list A) : bool := if in_dec dec a l then true else false.

(** What a translation that is made now may find. *)
Definition finds (c : core) : list target := entry c :: was c ++ map Some (tlb c).

Definition with_tlb c l n := Core (entry c) (was c) l (ahead c) (flights c) n (faulted c) (call c).
Definition with_ahead c l := Core (entry c) (was c) (tlb c) l (flights c) (notes c) (faulted c) (call c).
Definition with_flights c l := Core (entry c) (was c) (tlb c) (ahead c) l (notes c) (faulted c) (call c).
Definition with_call c x := Core (entry c) (was c) (tlb c) (ahead c) (flights c) (notes c) (faulted c) x.

Definition stored (c : core) (x : target) : core :=
  Core x (entry c :: was c) (tlb c) (ahead c) (flights c) (notes c) (faulted c) (call c).

(** A step of the call about page [p]; nothing: it waits. *)
Definition effect (c : core) (p : N) (i : instr) : option core :=
  match i with
  | Open => Some (stored c (Some p))
  | Shut => Some (stored c None)
  | DsbSt => Some (Core (entry c) [] (tlb c) (ahead c) (flights c) (notes c) (faulted c) (call c))
  | Isb => Some (with_ahead c [])
  | Use => Some c
  | Inval => Some (with_tlb c (tlb c) (S (notes c)))
  | Dsb => match notes c, flights c with O, [] => Some c | _, _ => None end
  end.

Definition next (code : list instr) (c : core) : option instr :=
  match call c with Some (_, k) => nth_error code k | None => None end.

Definition guard {A} (b : bool) (a : A) : option A := if b then Some a else None.

Definition step (code : list instr) (c : core) (e : event) : option core :=
  match e with
  | Fill q => guard (has target_dec (Some q) (finds c)) (with_tlb c (q :: tlb c) (notes c))
  | Look x => guard (has target_dec x (finds c)) (with_ahead c (x :: ahead c))
  | Go x =>
      match next code c with
      | Some Use => guard (has target_dec x (finds c ++ ahead c))
                      match x with
                      | Some q => with_flights c (q :: flights c)
                      | None => Core (entry c) (was c) (tlb c) (ahead c) (flights c) (notes c) true (call c)
                      end
      | _ => None
      end
  | Land q => guard (has N.eq_dec q (flights c)) (with_flights c (List.remove N.eq_dec q (flights c)))
  | Act => match notes c with S n => Some (with_tlb c [] n) | O => None end
  | Forget q => Some (with_tlb c (List.remove N.eq_dec q (tlb c)) (notes c))
  | Begin p => match call c with None => Some (with_call c (Some (p, O))) | Some _ => None end
  | Run =>
      match call c with
      | None => None
      | Some (p, k) =>
          match nth_error code k with
          | None => Some (with_call c None)
          | Some i => match effect c p i with Some c' => Some (with_call c' (Some (p, S k))) | None => None end
          end
      end
  end.

Inductive reachable (code : list instr) : core -> Prop :=
| at_start : reachable code start
| by_step c e c' : reachable code c -> step code c e = Some c' -> reachable code c'.

(** ** What holds at every moment *)

(** So many steps of a call about [p] are done; with none it is as between calls. *)
Record holds (c : core) (p : N) (k : nat) : Prop := {
  h_entry : entry c = if (Nat.leb 1 k && Nat.leb k 4)%nat then Some p else None;
  h_was : forall x, In x (was c) -> (k = 1%nat /\ x = None) \/ (k = 5%nat /\ x = Some p);
  h_tlb : forall q, In q (tlb c) -> q = p /\ (1 <= k <= 7)%nat /\ (k = 7%nat -> notes c <> O);
  h_ahead : forall x, In x (ahead c) -> (x = Some p /\ (1 <= k <= 8)%nat) \/ (x = None /\ k <> 3%nat /\ k <> 4%nat);
  h_flights : forall q, In q (flights c) -> q = p /\ (3 <= k <= 7)%nat;
  h_notes : notes c <> O -> k = 7%nat;
  h_faulted : faulted c = false
}.

Definition good (c : core) : Prop :=
  match call c with
  | None => forall p, holds c p O
  | Some (p, k) => holds c p k /\ (k <= 9)%nat
  end.

Lemma has_true {A} dec (a : A) l : has dec a l = true -> In a l.
Proof. unfold has. destruct (in_dec dec a l); [auto|discriminate]. Qed.

Lemma guard_some {A} b (a a' : A) : guard b a = Some a' -> b = true /\ a' = a.
Proof. destruct b; simpl; [injection 1|]; auto; discriminate. Qed.

(** Whatever is found now leads to the page of the call, or nowhere. *)
Lemma found c p k x : holds c p k -> In x (finds c) ->
  (x = Some p /\ (1 <= k <= 7)%nat /\ (k = 7%nat -> notes c <> O)) \/ (x = None /\ k <> 2%nat /\ k <> 3%nat /\ k <> 4%nat).
Proof.
  intros [E W T A F N X] I. unfold finds in I. simpl in I. rewrite in_app_iff, in_map_iff in I.
  destruct I as [<-|[I|(q & <- & I)]].
  - rewrite E. destruct (Nat.leb_spec 1 k), (Nat.leb_spec k 4); simpl; [left|right..]; repeat split; auto; lia.
  - apply W in I as [[-> ->]|[-> ->]]; [right|left]; repeat split; auto; lia.
  - apply T in I as (-> & I & M). left. auto.
Qed.

Lemma hardware_keeps c e c' p k : holds c p k ->
  match e with Begin _ | Run | Go _ => False | _ => True end -> step program c e = Some c' ->
  holds c' p k /\ call c' = call c.
Proof.
  intros H NE S. pose proof (found c p k) as FD. destruct e; try contradiction; simpl in S.
  - apply guard_some in S as [G ->]. apply has_true in G. destruct (FD _ H G) as [(E & B & M)|(E & _)]; [|discriminate].
    injection E as ->. destruct H. split; [|reflexivity]. constructor; simpl; auto. intros r [<-|I]; auto.
  - apply guard_some in S as [G ->]. apply has_true in G. pose proof (FD _ H G) as F. destruct H.
    split; [|reflexivity]. constructor; simpl; auto. intros y [<-|I]; auto.
    destruct F as [(-> & B & _)|(-> & B)]; [left|right]; intuition lia.
  - apply guard_some in S as [G ->]. destruct H. split; [|reflexivity]. constructor; simpl; auto.
    intros r I. apply h_flights0. now apply List.in_remove in I.
  - destruct (notes c) as [|n] eqn:N; [discriminate|]. injection S as <-. destruct H. split; [|reflexivity].
    constructor; simpl; auto; try contradiction. intros _. apply h_notes0. lia.
  - injection S as <-. destruct H. split; [|reflexivity]. constructor; simpl; auto.
    intros r I. apply h_tlb0. now apply List.in_remove in I.
Qed.

Lemma step_good c e c' : good c -> step program c e = Some c' -> good c'.
Proof.
  intros G S. unfold good in *.
  destruct (match e with Begin _ | Run | Go _ => true | _ => false end) eqn:SW.
  - destruct e; try discriminate; simpl in S.
    + (* Go *)
      unfold next in S. destruct (call c) as [[p k]|] eqn:C; [|discriminate].
      destruct G as [H B]. assert (K : k = 3%nat) by (destruct k as [|[|[|[|[|[|[|[|[|[|k]]]]]]]]]]; simpl in S; try discriminate; try lia; auto).
      subst k. simpl in S.
      apply guard_some in S as [X E]. apply has_true in X. change (In x (finds c ++ ahead c)) in X. apply in_app_iff in X.
      assert (Y : x = Some p).
      { destruct X as [X|X]; [apply (found c p 3) in X; auto|apply (h_ahead _ _ _ H) in X]; intuition congruence. }
      subst x c'. simpl. rewrite C. split; [|lia]. destruct H. constructor; simpl; auto. intros q [<-|I]; auto. split; auto. lia.
    + (* Begin *)
      destruct (call c) as [[? ?]|] eqn:C; [discriminate|]. injection S as <-. simpl. split; [|lia].
      destruct (G p). constructor; auto.
    + (* Run *)
      destruct (call c) as [[p k]|] eqn:C; [|discriminate]. destruct G as [H B].
      destruct k as [|[|[|[|[|[|[|[|[|[|k]]]]]]]]]]; [..|lia]; simpl in S.
      10: { injection S as <-. simpl. intro q. destruct H. constructor; simpl; auto.
            - intros x I. apply h_was0 in I as [[? _]|[? _]]; discriminate.
            - intros r I. apply h_tlb0 in I as (_ & I & _). lia.
            - intros x I. apply h_ahead0 in I as [[_ I]|(-> & _)]; [lia|right; auto].
            - intros r I. apply h_flights0 in I as [_ I]. lia.
            - intro I. apply h_notes0 in I. discriminate. }
      8: { destruct (notes c) eqn:N; [|discriminate]. destruct (flights c) eqn:F; [|discriminate]. injection S as <-. simpl. split; [|lia].
           destruct H. constructor; simpl; auto.
           - intros x I. apply h_was0 in I as [[? _]|[? _]]; discriminate.
           - intros r I. apply h_tlb0 in I as (_ & _ & I). now elim I.
           - intros x I. apply h_ahead0 in I as [[-> I]|(-> & _)]; [left|right]; repeat split; auto; lia.
           - rewrite F. contradiction.
           - rewrite N. congruence. }
      all: injection S as <-; simpl; (split; [|lia]); destruct H; constructor; simpl in *; auto; try contradiction; try congruence.
      all: try (intros x I; apply h_was0 in I as [[? _]|[? _]]; discriminate).
      all: try (intros r I; apply h_flights0 in I as [-> I]; split; auto; lia).
      all: try (intros r I; apply h_tlb0 in I as (-> & I & M); repeat split; auto; lia).
      all: try (intro I; apply h_notes0 in I; discriminate).
      all: try (intros x I; apply h_ahead0 in I as [[-> I]|(-> & I)]; [left|right]; repeat split; auto; lia).
      all: try (intros x [<-|I]; [auto|apply h_was0 in I as [[? _]|[? _]]; discriminate]).
  - assert (K : match e with Begin _ | Run | Go _ => False | _ => True end) by (destruct e; auto; discriminate).
    destruct (call c) as [[p k]|] eqn:C.
    + destruct G as [H B]. destruct (hardware_keeps c e c' p k H K S) as [H' C']. rewrite C', C. auto.
    + destruct (hardware_keeps c e c' 0 0 (G 0) K S) as [_ C']. rewrite C', C.
      intro p. now apply (hardware_keeps c e c' p 0 (G p) K S).
Qed.

Theorem always c : reachable program c -> good c.
Proof.
  induction 1; [|eapply step_good; eauto]. intro p. constructor; simpl; auto; try contradiction; congruence.
Qed.

(** An access through the window is made to the page that the window was opened on. *)
Theorem lands c q c' : reachable program c -> step program c (Land q) = Some c' -> exists k, call c = Some (q, k).
Proof.
  intros R S. apply always in R. unfold good in R. apply guard_some in S as [G _]. apply has_true in G.
  destruct (call c) as [[p k]|].
  - destruct R as [H _]. apply (h_flights _ _ _ H) in G as [-> _]. eauto.
  - apply (h_flights _ _ _ (R 0)) in G as [_ G]. lia.
Qed.

(** And it finds it. *)
Theorem no_fault c : reachable program c -> faulted c = false.
Proof. intro R. apply always in R. unfold good in R. destruct (call c) as [[p k]|]; [destruct R as [[] _]|destruct (R 0)]; auto. Qed.

(** Between calls nothing leads through it. *)
Theorem shut c : reachable program c -> call c = None ->
  tlb c = [] /\ flights c = [] /\ (forall x, In x (finds c ++ ahead c) -> x = None).
Proof.
  intros R N. apply always in R. unfold good in R. rewrite N in R. pose proof (R 0) as H. repeat split.
  - destruct (tlb c) eqn:T; auto. destruct (h_tlb _ _ _ H n) as (_ & B & _); [rewrite T; left; auto|lia].
  - destruct (flights c) eqn:T; auto. destruct (h_flights _ _ _ H n) as (_ & B); [rewrite T; left; auto|lia].
  - intros x I. apply in_app_iff in I as [I|I].
    + apply (found c 0 0) in I as [(_ & B & _)|[? _]]; auto. lia.
    + apply (h_ahead _ _ _ H) in I as [[_ B]|[? _]]; auto. lia.
Qed.

(** ** Each step taken out *)

Fixpoint play (code : list instr) (l : list event) (c : core) : option core :=
  match l with
  | [] => Some c
  | e :: rest => match step code c e with Some c' => play code rest c' | None => None end
  end.

(** An access is under way to another page than the call's, or with no call. *)
Definition astray (c : core) : bool :=
  existsb (fun q => match call c with Some (p, _) => negb (q =? p) | None => true end) (flights c).
(** There is no call, and something leads to a page. *)
Definition ajar (c : core) : bool :=
  match call c with
  | None => existsb (fun x => match x with Some _ => true | None => false end) (finds c ++ ahead c)
  | Some _ => false
  end.

Definition attack (code : list instr) (l : list event) (wrong : core -> bool) : bool :=
  match play code l start with Some c => wrong c | None => false end.
Definition without (n : nat) : list instr := firstn n program ++ skipn (S n) program.
Definition runs (n : nat) : list event := repeat Run n.

Example it_works : attack program
  ([Begin 1] ++ runs 3 ++ [Fill 1; Go (Some 1); Land 1] ++ runs 4 ++ [Act] ++ runs 3 ++ [Begin 2] ++ runs 3 ++ [Go (Some 2)])
  (fun c => match call c, flights c with Some (2, _), [2] => negb (astray c) | _, _ => false end) = true.
Proof. reflexivity. Qed.

Theorem no_open : attack (without 0) ([Begin 1] ++ runs 2 ++ [Go None]) faulted = true.
Proof. reflexivity. Qed.
Theorem no_dsb_open : attack (without 1) ([Begin 1] ++ runs 2 ++ [Go None]) faulted = true.
Proof. reflexivity. Qed.
(** It was translated ahead that there is nothing. *)
Theorem no_isb_open : attack (without 2) ([Look None; Begin 1] ++ runs 2 ++ [Go None]) faulted = true.
Proof. reflexivity. Qed.
Theorem no_shut : attack (without 4) ([Begin 1] ++ runs 6 ++ [Act] ++ runs 3) ajar = true.
Proof. reflexivity. Qed.
(** A walk finds the old entry when the invalidation is over, and page 1 is zeroed in the place of page 2. *)
Theorem no_dsb_shut : attack (without 5)
  ([Begin 1] ++ runs 6 ++ [Act; Fill 1] ++ runs 3 ++ [Begin 2] ++ runs 3 ++ [Go (Some 1)]) astray = true.
Proof. reflexivity. Qed.
Theorem no_tlbi : attack (without 6)
  ([Begin 1] ++ runs 3 ++ [Fill 1] ++ runs 6 ++ [Begin 2] ++ runs 3 ++ [Go (Some 1)]) astray = true.
Proof. reflexivity. Qed.
(** A store is made when the page is somebody else's. *)
Theorem no_dsb_after : attack (without 7) ([Begin 1] ++ runs 3 ++ [Go (Some 1)] ++ runs 6) astray = true.
Proof. reflexivity. Qed.
Theorem no_isb_after : attack (without 8) ([Begin 1] ++ runs 3 ++ [Look (Some 1)] ++ runs 4 ++ [Act] ++ runs 2) ajar = true.
Proof. reflexivity. Qed.

Lemma play_reach code l : forall c c', reachable code c -> play code l c = Some c' -> reachable code c'.
Proof.
  induction l as [|e l IH]; simpl; intros c c' R E; [injection E as <-; exact R|].
  destruct (step code c e) as [d|] eqn:S; [|discriminate]. apply (IH d c'); auto. eapply by_step; eauto.
Qed.

(** No program that is attacked is the engine's. *)
Theorem attacked_is_not_the_engine code l :
  attack code l faulted = true \/ attack code l astray = true \/ attack code l ajar = true -> code <> program.
Proof.
  unfold attack. intros A ->. destruct (play program l start) as [c|] eqn:P; [|intuition discriminate].
  assert (R : reachable program c) by (eapply play_reach; eauto; apply at_start).
  destruct A as [A|[A|A]].
  - rewrite (no_fault c R) in A. discriminate.
  - unfold astray in A. apply existsb_exists in A as (q & I & A).
    assert (S : exists c', step program c (Land q) = Some c').
    { simpl. unfold guard, has. destruct (in_dec N.eq_dec q (flights c)); [eauto|contradiction]. }
    destruct S as [c' S]. destruct (lands c q c' R S) as [k E]. rewrite E, N.eqb_refl in A. discriminate.
  - unfold ajar in A. destruct (call c) eqn:C; [discriminate|]. apply existsb_exists in A as (x & I & A).
    destruct (shut c R C) as (_ & _ & N). rewrite (N x I) in A. discriminate.
Qed.
