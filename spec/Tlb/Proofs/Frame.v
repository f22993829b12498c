(** * What a step of one call leaves to all others

    A call stores to entries that it holds, changes the word of a page that it holds, invalidates on its own
    behalf. So what another call relies on stays. *)

From Coq Require Import NArith List Bool Lia.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known Machine Invariant Proofs.Ways Proofs.Events.
Open Scope N_scope.

(** ** How many leaves there are *)

Lemma fits_less m m1 v p n :
  fits m v p n -> (forall a, now (cells m1 (Vm v) a) = Leaf p -> now (cells m (Vm v) a) = Leaf p) -> fits m1 v p n.
Proof. intros F L l ND IN. apply F; auto. Qed.

Lemma fits_up m v p n n' : fits m v p n -> n <= n' -> fits m v p n'.
Proof. intros F L l ND IN. specialize (F l ND IN). lia. Qed.

(** One goes. *)
Lemma fits_drop m m1 v p n a :
  fits m v p n -> now (cells m (Vm v) a) = Leaf p -> now (cells m1 (Vm v) a) <> Leaf p ->
  (forall b, now (cells m1 (Vm v) b) = Leaf p -> now (cells m (Vm v) b) = Leaf p) -> fits m1 v p (n - 1).
Proof.
  intros F E E1 L l ND IN. specialize (F (a :: l)). cbn [length] in F. rewrite Nat2N.inj_succ in F.
  enough (X : N.succ (N.of_nat (length l)) <= n) by lia. apply F.
  - constructor; auto.
  - intros b [<-|Ib]; auto.
Qed.

(** One comes. *)
Lemma fits_add m m1 v p n a :
  fits m v p n -> (forall b, b <> a -> now (cells m1 (Vm v) b) = Leaf p -> now (cells m (Vm v) b) = Leaf p) ->
  fits m1 v p (n + 1).
Proof.
  intros F L l ND IN. destruct (in_dec N.eq_dec a l) as [Ia|Ia].
  - apply in_split in Ia as (l1 & l2 & ->). apply NoDup_remove in ND as [ND NI].
    specialize (F (l1 ++ l2) ND). rewrite app_length in *. cbn [length].
    enough (X : N.of_nat (length l1 + length l2) <= n) by lia. apply F.
    intros b Ib. apply L; [intros ->; auto|]. apply IN. apply in_or_app. apply in_app_or in Ib. simpl. tauto.
  - enough (X : N.of_nat (length l) <= n) by lia. apply F; auto. intros b Ib. apply L; auto. intros ->. auto.
Qed.

(** ** Another call, by the part of the machine that changes *)

Lemma other_words u m c t f :
  call_ok u m c t -> (claimed (known t) = true -> f (page (doing t)) = words m (page (doing t))) ->
  call_ok u (set_words m f) c t.
Proof. intros K H. destruct K. constructor; try assumption. simpl. intro C. rewrite H; auto. Qed.

Lemma other_regime u m c t f :
  call_ok u m c t -> f (core_of u c) = regime m (core_of u c) -> call_ok u (set_regime m f) c t.
Proof. intros K H. destruct K. constructor; try assumption. simpl. congruence. Qed.

Lemma other_lines u m c t f :
  call_ok u m c t -> (claimed (known t) = true -> f (page (doing t)) = lines m (page (doing t))) ->
  call_ok u (set_lines m f) c t.
Proof.
  intros K H. destruct (c_lawful _ _ _ _ K) as (L & _). destruct K. constructor; try assumption; simpl.
  - intros Z. rewrite H; auto. apply L. tauto.
  - intros Z. rewrite H; auto. apply L. tauto.
Qed.

Lemma other_threads u m c t f : call_ok u m c t -> call_ok u (set_threads m f) c t.
Proof. intros K. destruct K. constructor; assumption. Qed.

Lemma other_posts u m c t c' o : call_ok u m c t -> call_ok u (post_all u m c' o) c t.
Proof.
  intros K. destruct K. constructor; try assumption.
  intros Wk x. destruct (c_reach Wk x) as [RW RF]. split; simpl.
  - intros w I O A. eapply way_ok_posts; [|apply RW; auto]. intros; apply in_or_app; auto.
  - intros f I O A. eapply flight_ok_posts; [|apply RF; auto]. intros; apply in_or_app; auto.
Qed.

(** Cells change so that a DSB of another core's leaves of them what the call relies on. *)
Lemma other_seen u m c t c' :
  call_ok u m c t -> call_ok u (set_cells m (fun d a => seen c' (cells m d a))) c t.
Proof.
  intros K.
  assert (S : forall d a, now (seen c' (cells m d a)) = now (cells m d a)
                          /\ writer (seen c' (cells m d a)) = writer (cells m d a)
                          /\ (forall e, In e (old (seen c' (cells m d a))) -> In e (old (cells m d a)))).
  { intros d a. unfold seen. destruct (writer (cells m d a) =? c'); simpl; tauto. }
  destruct K. constructor; try assumption; simpl.
  - intro H. destruct (S (Vm (vm_of (doing t))) (ipa (doing t))) as (-> & _). auto.
  - intro H. destruct (S (Vm (vm_of (doing t))) (ipa (doing t))) as (-> & _). auto.
  - intros Wk x L E A. destruct (c_cells Wk x L E A) as [C1 C2]. split; simpl;
      destruct (S (regime_of (doing t) x) (entry_of (doing t) x)) as (E1 & E2 & I); rewrite ?E1, ?E2; auto.
  - intros Cl L A. apply fits_less with (m := m); auto. intros a E. cbn [cells set_cells] in E. now rewrite (proj1 (S _ a)) in E.
Qed.

(** ** A store by hand [c] to an entry that it holds *)

(** The entry is the host's for the page that is held, or the VM's: empty, marked, or the page's leaf. *)
Definition holds_entry (m : machine) (c : N) (t : thread) (d : dom) (a : N) : Prop :=
  (claimed (known t) = true /\ d = Host /\ a = page (doing t))
  \/ ((exists v, d = Vm v)
      /\ (now (cells m d a) = Empty \/ now (cells m d a) = Mark c
          \/ (claimed (known t) = true /\ now (cells m d a) = Leaf (page (doing t))))).

(** And what is stored is nothing, the mark, or the leaf of the page that is held. *)
Definition stores_own (c : N) (t : thread) (e : entry) : Prop :=
  e = Empty \/ e = Mark c \/ (claimed (known t) = true /\ e = Leaf (page (doing t))).

Lemma put_cell_same m d a x : cells (put_cell m d a x) d a = x.
Proof. unfold put_cell. simpl. destruct (dom_dec d d); [|congruence]. now rewrite N.eqb_refl. Qed.

Lemma put_cell_other m d a x d' a' : d' <> d \/ a' <> a -> cells (put_cell m d a x) d' a' = cells m d' a'.
Proof.
  unfold put_cell. simpl. destruct (dom_dec d d'); auto. subst.
  destruct (N.eqb_spec a' a); auto. subst. tauto.
Qed.

Lemma put_cell_cases m d a x d' a' :
  (d' = d /\ a' = a /\ cells (put_cell m d a x) d' a' = x)
  \/ ((d' <> d \/ a' <> a) /\ cells (put_cell m d a x) d' a' = cells m d' a').
Proof.
  destruct (dom_dec d' d) as [->|D]; [destruct (N.eq_dec a' a) as [->|A]|].
  - left. auto using put_cell_same.
  - right. split; auto. apply put_cell_other; auto.
  - right. split; auto. apply put_cell_other; auto.
Qed.

Lemma other_store u m c t c2 t2 d a e :
  invariant u m -> threads m c = Some t -> threads m c2 = Some t2 -> c2 <> c ->
  holds_entry m c t d a -> stores_own c t e ->
  call_ok u (put_cell m d a (store (core_of u c) e (cells m d a))) c2 t2.
Proof.
  intros I T T2 N H O. pose proof (i_calls _ _ I _ _ T2) as K.
  assert (P : claimed (known t) = true -> claimed (known t2) = true -> page (doing t2) <> page (doing t)).
  { intros C C2 E. destruct (one_holder _ _ _ _ _ _ I T2 T); auto. }
  destruct (c_lawful _ _ _ _ K) as (L1 & _).
  assert (V : forall v2 e2, now (cells m (Vm v2) (ipa (doing t2))) = e2 ->
              e2 = Leaf (page (doing t2)) /\ claimed (known t2) = true \/ e2 = Mark c2 ->
              Vm v2 <> d \/ ipa (doing t2) <> a).
  { intros v2 e2 E [[E2 C2]|E2]; subst e2; destruct (dom_dec (Vm v2) d); auto;
      destruct (N.eq_dec (ipa (doing t2)) a); auto; exfalso; subst;
      destruct H as [(_ & H & _)|(_ & [H|[H|(C & H)]])]; try congruence.
    - rewrite H in E2. injection E2 as E2. now apply P. }
  pose proof (c_marked _ _ _ _ K) as MK. pose proof (c_mine _ _ _ _ K) as MI.
  destruct K. constructor; try assumption.
  - intro S. rewrite put_cell_other; auto. eapply V; [exact (c_sure S)|]. left. split; auto.
  - intro S. rewrite put_cell_other; auto. eapply V; [exact (c_mine S)|]. auto.
  - intros Wk x L E A. destruct (c_cells Wk x L E A) as [C1 C2].
    assert (CL : claimed (known t2) = true) by (destruct Wk; congruence).
    split.
    + destruct (put_cell_cases m d a (store (core_of u c) e (cells m d a)) (regime_of (doing t2) x) (entry_of (doing t2) x)) as [(E1 & E2 & ->)|(_ & ->)]; auto.
      simpl. destruct O as [->|[->|(C & ->)]]; try discriminate. intro F. injection F as F. now apply P.
    + destruct (put_cell_cases m d a (store (core_of u c) e (cells m d a)) (regime_of (doing t2) x) (entry_of (doing t2) x)) as [(E1 & E2 & ->)|(_ & ->)]; auto.
      simpl. intros [F|F].
      * exfalso. subst. now apply C1 in F.
      * exfalso. subst a d. destruct (C2 F) as (F1 & F3). destruct x.
        -- destruct H as [(C & _ & H)|([v H] & _)]; [|discriminate]. simpl in H. now apply P.
        -- assert (M : mine (known t2) = true).
           { apply MK; auto. unfold is_whole. simpl in F1. simpl. now rewrite F1. }
           apply MI in M. unfold regime_of in *. simpl in *.
           destruct H as [(_ & H & _)|(_ & [H|[H|(C & H)]])]; try congruence.
  - intros Cl L A. apply fits_less with (m := m); auto. intros b.
    destruct (put_cell_cases m d a (store (core_of u c) e (cells m d a)) (Vm (vm_of (doing t2))) b) as [(E1 & E2 & ->)|(_ & ->)]; auto.
    simpl. destruct O as [->|[->|(C & ->)]]; try discriminate. intro F. injection F as F. exfalso. now apply P.
Qed.

(** ** A page's owner and its quiet, when what hands know grows *)

Definition grows (t t' : thread) : Prop :=
  doing t' = doing t /\ claimed (known t') = claimed (known t) /\ wrote (known t') = wrote (known t)
  /\ forall x, level_at (known t) x <> Mapped -> level_at (known t') x <> Mapped.

Lemma grows_refl t : grows t t.
Proof. repeat split; auto. Qed.

(** Hands go on, and none begins or ends. *)
Definition all_grow (m m2 : machine) : Prop :=
  forall h, match threads m h, threads m2 h with
            | Some t, Some t' => grows t t'
            | None, None => True
            | _, _ => False
            end.

Lemma grown m m2 h t : all_grow m m2 -> threads m h = Some t -> exists t', threads m2 h = Some t' /\ grows t t'.
Proof. intros G T. specialize (G h). rewrite T in G. destruct (threads m2 h); [eauto|contradiction]. Qed.
Lemma grown_from m m2 h t' : all_grow m m2 -> threads m2 h = Some t' -> exists t, threads m h = Some t /\ grows t t'.
Proof. intros G T. specialize (G h). rewrite T in G. destruct (threads m h); [eauto|contradiction]. Qed.

Lemma owner_grows m m2 p : words m2 = words m -> all_grow m m2 -> owner_now m2 p = owner_now m p.
Proof.
  intros W G. unfold owner_now. rewrite W. destruct (words m p); auto. specialize (G by_).
  destruct (threads m by_), (threads m2 by_); try contradiction; auto. destruct G as (-> & _ & -> & _). auto.
Qed.

Lemma quiet_grows m m2 d a p : all_grow m m2 -> quiet m2 d a p -> quiet m d a p.
Proof.
  intros G Q h t x T C P R En. destruct (grown _ _ _ _ G T) as (t' & T' & D & C' & _ & L).
  destruct (level_eqb (level_at (known t) x) Mapped) eqn:E; [now apply level_eqb_true|].
  exfalso. apply (L x); [intro F; apply level_eqb_true in F; congruence|].
  apply (Q h t'); congruence.
Qed.

(** ** The frame of most steps *)

Lemma frame u m m1 :
  invariant u m -> all_grow m m1 ->
  words m1 = words m -> phases m1 = phases m -> ways m1 = ways m -> flights m1 = flights m ->
  (forall c v, regime m1 c = Vm v -> walks u m1 c = true -> is_alive (phases m v) = true) ->
  (forall c, cores u <= c -> regime m1 c = Host) ->
  (* no new leaf *)
  (forall d a p, now (cells m1 d a) = Leaf p -> now (cells m d a) = Leaf p) ->
  (* one that goes is being flushed *)
  (forall d a p, alive m d -> now (cells m d a) = Leaf p ->
     now (cells m1 d a) = Leaf p
     \/ exists h t', threads m1 h = Some t' /\ claimed (known t') = true /\ p = page (doing t')
                    /\ exists x, d = regime_of (doing t') x /\ a = entry_of (doing t') x /\ level_at (known t') x <> Mapped) ->
  (forall d a p, In (Leaf p) (old (cells m1 d a)) -> In (Leaf p) (old (cells m d a)) \/ now (cells m d a) = Leaf p) ->
  (forall d a p, now (cells m1 d a) = Leaf p ->
     old (cells m1 d a) = []
     \/ (old (cells m1 d a) = old (cells m d a) /\ writer (cells m1 d a) = writer (cells m d a)
         /\ (forall h t t', core_of u h = writer (cells m d a) -> threads m h = Some t -> threads m1 h = Some t' ->
               published (known t') = published (known t)))) ->
  (* calls *)
  (forall h t', threads m1 h = Some t' -> call_ok u m1 h t') ->
  invariant u m1.
Proof.
  intros I G W PH WY FL RC RO NN NK NO NP OT.
  assert (AL : forall d, alive m1 d -> alive m d) by (intros [|v]; simpl; rewrite ?PH; auto).
  assert (AL' : forall d, alive m d -> alive m1 d) by (intros [|v]; simpl; rewrite ?PH; auto).
  assert (QG : forall d a p, quiet m1 d a p -> quiet m d a p) by (intros; eapply quiet_grows; eauto).
  assert (OG : forall p, owner_now m1 p = owner_now m p) by (intros; eapply owner_grows; eauto).
  assert (KEEP : forall d a p, alive m d -> quiet m1 d a p -> now (cells m d a) = Leaf p -> now (cells m1 d a) = Leaf p).
  { intros d a p A Q E. destruct (NK d a p A E) as [F|(h & t' & T & C & -> & x & -> & -> & L)]; auto.
    exfalso. apply L. eapply Q; eauto. }
  constructor; auto.
  - intros p s c2 E. rewrite W in E. destruct (i_words _ _ I _ _ _ E) as (t2 & T2 & C2 & P2 & S2).
    destruct (grown _ _ _ _ G T2) as (t' & T' & D & C & _). exists t'. rewrite C, D. auto.
  - intros d a p A E. rewrite OG. apply (i_leaf _ _ I); auto.
  - intros v p A. rewrite OG. apply fits_less with (m := m); auto. apply (i_fits _ _ I). apply (AL (Vm v)). exact A.
  - intros d a p A E Q. apply KEEP; auto. destruct (NO d a p E) as [F|F]; auto. apply (i_old _ _ I); auto.
  - intros d a p E. destruct (NP d a p E) as [F|(F1 & F2 & F3)]; auto. rewrite F1, F2.
    destruct (i_published _ _ I d a p (NN d a p E)) as [F|(h & t2 & H2 & T2 & C2 & P2 & W2 & B2)]; auto.
    right. destruct (grown _ _ _ _ G T2) as (t' & T' & D & C & R & _). exists h, t'.
    rewrite C, D, R, (F3 h t2 t'); auto 7.
  - intros w In_. rewrite WY in In_. destruct (i_ways _ _ I w In_) as (A & B & C). repeat split; auto.
  - intros f In_. rewrite FL in In_. destruct (i_flights _ _ I f In_) as (A & B & C). repeat split; auto.
  - intros c v E Wa. rewrite PH. eauto.
Qed.
