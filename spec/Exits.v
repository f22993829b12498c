(** * What an exit tells the host

    The whole list, by reason: with Confidentiality.v it bounds what a guest releases. x0 to x6 only of a
    call that the guest makes to the host; a register's value only of a store to a device; of RAM never
    more than a page's address. *)

From Coq Require Import NArith ZArith List Bool Lia.
From Bulkhead Require Import Base State World Args Psci Step.
From Bulkhead Require Import Calls.Pages Calls.Vcpus Guest.Decode Guest.Run Guest.Hvc Guest.Acts.
From Bulkhead Require Import Invariants Proofs.Moves.
Open Scope N_scope.

Section Tells.
  Variables (s : state) (i : N) (g : act).
  Let u := vcpus s i.
  Let v := vms s (of_vm u).

  Inductive exit_tells : ExitReason -> list N -> Prop :=
  | tells_call imm :
      g = Hvc imm -> exit_tells ExitReason_Call [x u 0; x u 1; x u 2; x u 3; x u 4; x u 5; x u 6]
  | tells_on imm j :
      g = Hvc imm -> In j (members v) ->
      exit_tells ExitReason_VcpuOn [handle j (vgeneration (vcpus s j))]
  (* The page that x1 names and the guest gave up: its IPA, its physical address, and whether it is lost. *)
  | tells_page_home imm l lost :
      g = Hvc imm -> lookup (cut (x u 0) (x u 1) / PAGE_SIZE) (leaves v) = Some l -> lost <= 1 ->
      exit_tells ExitReason_PageRelinquished [cut (x u 0) (x u 1); to l * PAGE_SIZE; lost]
  | tells_missing_page imm : g = Hvc imm -> exit_tells ExitReason_RamFault [cut (x u 0) (x u 1)]
  (* An access: of RAM the page, of a device the address and, if it is a store, its bytes. *)
  | tells_ram_fault a :
      g = Touch a -> holds_ram v (ipa a / PAGE_SIZE) 1 = true ->
      exit_tells ExitReason_RamFault [ipa a / PAGE_SIZE * PAGE_SIZE]
  | tells_mmio_read a :
      g = Touch a -> holds_ram v (ipa a / PAGE_SIZE) 1 = false ->
      exit_tells ExitReason_MmioRead [ipa a; bytes a]
  | tells_mmio_write a :
      g = Touch a -> kind a = Store -> holds_ram v (ipa a / PAGE_SIZE) 1 = false ->
      exit_tells ExitReason_MmioWrite [ipa a; bytes a; narrow (bytes a) (reg_value u (reg a))]
  | tells_level intid sleeps : g = EndLevel intid sleeps -> exit_tells ExitReason_LevelEnded [intid]
  | tells_fault k : exit_tells ExitReason_Fault [FaultKind_raw k]
  | tells_nothing why :
      In why [ExitReason_VcpuOff; ExitReason_SystemOff; ExitReason_SystemReset; ExitReason_ListFull;
              ExitReason_PoolEmpty] -> exit_tells why [].
End Tells.

(** The address of a call about memory is its x1. *)
Lemma classify_ipa cf imm x0 x1 x2 x3 q :
  classify cf imm x0 x1 x2 x3 = MemShare q \/ classify cf imm x0 x1 x2 x3 = MemUnshare q
  \/ classify cf imm x0 x1 x2 x3 = MemRelinquish q -> q = cut x0 x1.
Proof.
  unfold classify. destruct (negb (imm =? 0)); [intuition discriminate|].
  destruct (decode_psci x0 x1 x2 x3); [intuition discriminate|]. cbv zeta.
  assert (P : forall a b c k, (forall z, k <> answer_status z) ->
     on_page a b c k = k \/ exists z, on_page a b c k = answer_status z).
  { intros a b c k _. unfold on_page. destruct (_ && _); eauto. }
  destruct (is_trng (function_of x0)).
  { destruct (fw_trng cf); [destruct (trng _ _)|]; intuition discriminate. }
  set (a := cut x0 x1). set (b := cut x0 x2). set (c := cut x0 x3).
  assert (On : forall k,
    (on_page a b c k = MemShare q \/ on_page a b c k = MemUnshare q \/ on_page a b c k = MemRelinquish q) ->
    k = MemShare q \/ k = MemUnshare q \/ k = MemRelinquish q).
  { intros k. unfold on_page. destruct (_ && _); [auto|]. intuition discriminate. }
  assert (Mi : forall z,
    (mitigate z = MemShare q \/ mitigate z = MemUnshare q \/ mitigate z = MemRelinquish q) -> q = a).
  { intros z. unfold mitigate. destruct (0 <=? z)%Z; intuition discriminate. }
  assert (On1 : forall k, (forall z, k <> MemShare z /\ k <> MemUnshare z /\ k <> MemRelinquish z) ->
     k = MemShare q \/ k = MemUnshare q \/ k = MemRelinquish q -> q = a).
  { intros k N. destruct (N q). intuition. }
  set (rest := if (N.testbit (function_of x0) 31 && (function_of x0 / 2 ^ 24 mod 64 =? 6)
                   && is_for_host (function_of x0 mod 2 ^ 24))%bool then Forward else unknown).
  assert (R : rest = Forward \/ rest = unknown) by (unfold rest; destruct (_ && _)%bool; auto).
  clearbody rest. generalize (function_of x0) as f. intro f.
  (destruct R as [-> | ->];
  repeat match goal with
  | |- (match ?n with _ => _ end) = _ \/ _ -> _ => destruct n
  end; first [ apply Mi | (intros [H|[H|H]]; discriminate H)
             | (intro H; apply On in H as [H|[H|H]]; congruence)
             | (destruct (_ && _)%bool; intros [H|[H|H]]; discriminate H) ]).
Qed.

Ltac no_exit :=
  match goal with H : snd _ = Exited _ _ _ |- _ => unfold resume, end_turn in H; simpl in H; discriminate H end.
Ltac an_exit H := unfold exit_to_host in H; cbv [snd] in H; injection H as <- <- <-; split; [reflexivity|].

Lemma psci_tells s w c i imm q why h d :
  snd (guest_psci s w c i q) = Exited why h d ->
  h = handle i (vgeneration (vcpus s i)) /\ exit_tells s i (Hvc imm) why d.
Proof.
  unfold guest_psci. intro H. destruct q; cbv zeta in H; try no_exit.
  - destruct (check_suspend _ _ _); no_exit.
  - an_exit H. apply tells_nothing. simpl. auto.
  - match type of H with context [cpu_on ?a ?b ?v ?t ?f] => destruct (cpu_on a b v t f) as [j|z] eqn:E end;
      [|no_exit].
    an_exit H. eapply tells_on; [reflexivity|].
    unfold cpu_on in E. destruct (by_affinity _ _ _) as [k|] eqn:B; [|discriminate].
    destruct (entry_ok _ _); [|discriminate]. simpl in E.
    destruct (place (vcpus s k)); try discriminate.
    destruct (is_held w 0 AtPage); [discriminate|]. injection E as ->.
    unfold by_affinity in B. destruct (is_affinity target); [|discriminate].
    now apply find_some in B.
  - an_exit H. apply tells_nothing. simpl. auto.
  - an_exit H. apply tells_nothing. simpl. auto.
Qed.

(** A page that goes home is the one that the leaf names. *)
Definition is_leaf_of (s : state) (v a : N) (o : page_call) : Prop :=
  forall p s', o = HomePage p s' \/ o = LostPage p s' ->
    exists l, lookup a (leaves (vms s v)) = Some l /\ p = to l.

Lemma page_call_tells s c i imm q o why h d :
  q = cut (x (vcpus s i) 0) (x (vcpus s i) 1) ->
  is_leaf_of s (of_vm (vcpus s i)) (q / PAGE_SIZE) o ->
  snd (answer_page_call s c i q o) = Exited why h d ->
  h = handle i (vgeneration (vcpus s i)) /\ exit_tells s i (Hvc imm) why d.
Proof.
  intros -> L H. unfold answer_page_call in H. destruct o; cbv zeta in H; try no_exit; try discriminate.
  - destruct (L p s0) as (l & Hl & ->); [auto|]. an_exit H. eapply tells_page_home; eauto. lia.
  - destruct (L p s0) as (l & Hl & ->); [auto|]. an_exit H. eapply tells_page_home; eauto. lia.
  - an_exit H. eapply tells_missing_page. reflexivity.
  - an_exit H. apply tells_nothing. simpl. auto 6.
Qed.

Lemma share_leaf s w v a : is_leaf_of s v a (share s w v a).
Proof.
  intros p s'. unfold share.
  repeat match goal with |- context [match ?x with _ => _ end] => destruct x end; intuition discriminate.
Qed.
Lemma unshare_leaf s w v a : is_leaf_of s v a (unshare s w v a).
Proof.
  intros p s'. unfold unshare.
  repeat match goal with |- context [match ?x with _ => _ end] => destruct x end; intuition discriminate.
Qed.
Lemma relinquish_leaf s w v a : is_leaf_of s v a (relinquish s w v a).
Proof.
  intros p s' H. unfold relinquish in H. destruct (luck w 0 AtEntry); try (intuition discriminate).
  destruct (lookup a _) as [l|]; [|destruct (holds_ram _ _ _); intuition discriminate].
  exists l. split; [reflexivity|]. cbv zeta in H.
  repeat match type of H with context [match ?x with _ => _ end] => destruct x end;
    intuition congruence.
Qed.

Theorem what_an_exit_tells s w c i g why h d :
  at_ (cores s c) = InGuest i -> snd (guest_act s w c g) = Exited why h d ->
  h = handle i (vgeneration (vcpus s i)) /\ exit_tells s i g why d.
Proof.
  intros A H. unfold guest_act in H. rewrite A in H. cbv zeta in H. destruct g; try no_exit.
  - (* an access *)
    unfold touch in H. cbv zeta in H. destruct (lookup _ _) as [l|].
    + destruct (allows _ _); [|no_exit].
      destruct (broken _); [an_exit H; apply (tells_fault _ _ _ FaultKind_External)|].
      destruct (kind a); no_exit.
    + destruct (holds_ram _ _ _) eqn:Ram; [an_exit H; now eapply tells_ram_fault|].
      unfold touch_device, refuse_access in H. cbv zeta in H.
      destruct (negb (plain a)); [no_exit|].
      destruct (kind a) eqn:K; try (destruct (in_frames _ _)); try no_exit; an_exit H.
      * now eapply tells_mmio_read.
      * now eapply tells_mmio_write.
  - (* a call *)
    unfold guest_hvc in H. cbv zeta in H.
    destruct (classify _ _ _ _ _ _) as [q|x0 x1 x2 x3| |q|q|q|] eqn:K; try no_exit.
    + eapply psci_tells; eauto.
    + eapply page_call_tells; [| |exact H]; [eapply classify_ipa; eauto|apply share_leaf].
    + eapply page_call_tells; [| |exact H]; [eapply classify_ipa; eauto|apply unshare_leaf].
    + eapply page_call_tells; [| |exact H]; [eapply classify_ipa; eauto|apply relinquish_leaf].
    + an_exit H. now eapply tells_call.
  - unfold exit_to_host in H. cbv [snd] in H. injection H as <- <- <-.
    split; [destruct sleeps; reflexivity|now eapply tells_level].
  - an_exit H. apply tells_nothing. simpl. auto 6.
  - an_exit H. apply (tells_fault _ _ _ FaultKind_SError).
  - an_exit H. apply (tells_fault _ _ _ FaultKind_Illegal).
Qed.
