(** * A life of a VM, played by the specification

    [step] is a function: here it runs. A machine with two cores boots, a VM is built in bites, runs, shares a
    page, turns its second vCPU on, is destroyed and comes home; after each step stands what the
    specification answers. It shows that the theorems are not about nothing, and reads as an example. *)

From Coq Require Import NArith ZArith List Bool.
From Bulkhead Require Import Base State World Args Psci Step.
From Bulkhead Require Import Calls.Vcpus Guest.Run Guest.Acts Invariants Transactional Proofs.Reachable.
Open Scope N_scope.

(** 64 pages of RAM from page 0x40000 on, the last 8 the engine's. *)
Definition machine : config :=
  Config 2 4 8 40 0x40000 64 (fun c => c) false (-1) (-1) (-1).

Definition boot : state :=
  State machine
    (fun p => Page (if (0x40000 <=? p) && (p <? 0x40038) then HostOwned
                    else if (0x40038 <=? p) && (p <? 0x40040) then EngineOwned else Reserved)
                   zeroes false false Unused false)
    (fun _ => VmSlot 0 None (Range 0 0 false) (Range 0 0 false) 0 0 [] [] [])
    (fun _ => VcpuSlot 0 Absent 0 0 (fun _ => 0) 0 [] Nothing false (fun _ => no_irq))
    (fun c => Core (if c =? 0 then CoreOn else CoreOff) InHost)
    None false.

(** Nothing is in the way, and a call does all that it is asked for; or so many steps. *)
Definition fair : weather := Weather (fun _ _ => Fine) MAP_PAGES [] [] false 0 0 [].
Definition steps_of (n : N) : weather := Weather (fun _ _ => Fine) n [] [] false 0 0 [].

Definition call_ (k : call) (a : args) : event := ByHost 0 (HostHvc 0 (CALL_BASE + call_number k) a).

(** Plays events; what each tells. *)
Fixpoint play (s : state) (es : list (weather * event)) : state * list output :=
  match es with
  | [] => (s, [])
  | (w, e) :: rest =>
      let (s', o) := step s w e in
      let (s'', os) := play s' rest in (s'', o :: os)
  end.

(** The guest: VM slot 0, generation 1; vCPU slots 0 and 1. *)
Definition vm0 : N := 65536.
Definition vcpu0 : N := 65536.
Definition vcpu1 : N := 65537.
Definition ram : N := 0x80000000.

(** A guest's HVC: it sets x0 to x3, then traps. *)
Definition hvc (a b c d : N) : list (weather * event) :=
  [(fair, ByGuest 0 (Compute [a; b; c; d] ram [])); (fair, ByGuest 0 (Hvc 0))].

Definition story : list (weather * event) :=
  [ (fair, ByHost 0 (HostStore 0x40000 0 77));
    (* Two vCPUs, 40 bits, 4 MiB of RAM at 2 GiB. *)
    (fair, call_ VM_CREATE (Args (2 + 40 * 65536) 0x8000000 ram 0x400000 0 0));
    (* Three pages: the engine does two, and is called again. *)
    (steps_of 2, call_ VM_MAP (Args vm0 0x40000000 ram 3 7 0));
    (steps_of 2, call_ VM_MAP (Args vm0 0x40002000 (ram + 0x2000) 1 7 0));
    (* Again: the page is not the host's any more. *)
    (fair, call_ VM_MAP (Args vm0 0x40000000 (ram + 0x10000) 1 7 0));
    (fair, call_ VCPU_CREATE (Args vm0 0 ram 5 0 0));
    (fair, call_ VCPU_CREATE (Args vm0 1 ram 0 0 0));
    (fair, call_ VCPU_CREATE (Args vm0 2 ram 0 0 0));
    (* Not Running yet. *)
    (fair, call_ VCPU_ENQUEUE (Args vcpu0 0 0 0 0 0));
    (fair, call_ VM_START (Args vm0 0 0 0 0 0));
    (fair, call_ VCPU_ENQUEUE (Args vcpu0 0 0 0 0 0));
    (fair, call_ CPU_RUN (Args 0 0 0 0 0 0));
    (fair, ByEngine 0 (Pick 0)) ]
  (* It turns itself on: ALREADY_ON, and it goes on running. *)
  ++ hvc 0xC4000003 0 ram 0
  ++ [ (fair, ByGuest 0 (Touch (Access Load ram 8 false true 7 true))) ]
  (* It shares a page, and goes on; an interrupt for the host, which finds the page. *)
  ++ hvc 0xC6000003 ram 0 0
  ++ [ (fair, ByGuest 0 Interrupted); (fair, ByEngine 0 (Stop ExitReason_HostInterrupt 0));
       (fair, ByHost 0 (HostLoad 0x40000 0)); (fair, ByHost 0 (HostLoad 0x40001 0));
       (fair, call_ CPU_RUN (Args 0 0 0 0 0 0)); (fair, ByEngine 0 (Pick 0)) ]
  (* It gives another back. *)
  ++ hvc 0xC6000009 (ram + 0x1000) 0 0
  ++ [ (fair, call_ CPU_RUN (Args 0 0 0 0 0 0)); (fair, ByEngine 0 (Pick 0)) ]
  (* The second vCPU. *)
  ++ hvc 0xC4000003 1 ram 9
  ++ [ (fair, call_ VM_DESTROY (Args vm0 0 0 0 0 0));
       (fair, call_ VCPU_ENQUEUE (Args vcpu1 0 0 0 0 0));
       (Weather (fun _ _ => Fine) 0 [(0x80000, Home); (0x80002, Home)] [] true 0 0 [],
        call_ VM_RECLAIM (Args vm0 512 0 0 0 0));
       (Weather (fun _ _ => Fine) 0 [] [] true 0 0 [], call_ VM_RECLAIM (Args vm0 512 0 0 0 0));
       (fair, call_ VM_RECLAIM (Args vm0 512 0 0 0 0));
       (fair, ByHost 0 (HostLoad 0x40000 0));
       (fair, call_ PAGE_CENSUS (Args 0 512 0 0 0 0)) ].

Definition ok := Answered SUCCESS.

Example what_is_told : snd (play boot story) =
  [ Stored; ok [vm0]; ok [2; 0]; ok [1; 0]; Answered NOT_OWNER [];
    ok [vcpu0]; ok [vcpu1]; Answered LIMIT []; Answered BAD_STATE []; ok []; ok []; Silence; Silence;
    Silence; Silence;                                               (* ALREADY_ON is in its x0 *)
    Silence;                                                        (* 77 is in its x7 *)
    Silence; Silence;                                               (* its answer; the host is told nothing *)
    Silence; Exited ExitReason_HostInterrupt 0 [0];
    Loaded 77; Aborted; Silence; Silence;
    Silence; Exited ExitReason_PageRelinquished vcpu0 [ram + 0x1000; 0x40001000; 0]; Silence; Silence;
    Silence; Exited ExitReason_VcpuOn vcpu0 [vcpu1];
    ok [0; 0]; Answered BAD_STATE []; ok [2; 0]; ok [0; 1]; Answered BAD_HANDLE [];
    Loaded 0;                                                       (* it came home zeroed *)
    ok [64; 0; 56; 0; 8; 0; 0; 0; 0] ].
Proof. vm_compute. reflexivity. Qed.

(** In the middle, the guest has its answers where it looks for them. *)
Example what_the_guest_finds :
  let u := vcpus (fst (play boot (firstn 16 story))) 0 in
  x u 0 = word64 ALREADY_ON /\ x u 7 = 77.
Proof. vm_compute. auto. Qed.

(** What was played is reachable; so every theorem is about it. *)
Lemma boots : initial boot.
Proof.
  split; simpl; auto; intros.
  - destruct (_ && _); [reflexivity|]. destruct (_ && _); reflexivity.
  - discriminate.
  - congruence.
Qed.

Lemma play_reachable es : forall s, reachable s -> reachable (fst (play s es)).
Proof.
  induction es as [|[w e] rest IH]; intros s R; simpl; [exact R|].
  pose proof (by_step s w e R) as R'. destruct (step s w e) as [s' o]. simpl in R'.
  specialize (IH s' R'). destruct (play s' rest). exact IH.
Qed.

Theorem the_story_is_reachable n : invariant (fst (play boot (firstn n story))).
Proof. apply reachable_invariant, play_reachable. constructor. exact boots. Qed.
