(** * EL2's own pages: mapped on every core by ENGINE_DONATE, gone from every core by ENGINE_RECLAIM

    Machine.v says nothing of EL2's translations. Here is one page of memory, as EL2 has it at VA = PA, and any number of cores:
    entries, translations made ahead, accesses under way, invalidations under way, each core's own. Calls about the page hold its word, so
    there is one at a time. Proved (Proofs/OwnPagesHold.v): a core that has come to know of the page finds it ([no_fault]); when
    the page is zeroed for the host, and from then on, no core has an entry for it or an access to it under way, with the
    erratum CVE-2025-10263 and without ([returned]).

    smp-boot/src/stage1/live.rs, barrier.rs; engine_pages.rs. Who accesses the page has learnt of it: the core that mapped it, or one that
    read its address from another (acquire) or entered EL2 since, so that nothing was translated ahead of that; and nobody knows of it any more
    when it is free in the pool, where ENGINE_RECLAIM takes it. *)

From Coq Require Import Arith NArith List Bool.
From Bulkhead Require Import Base.
From Bulkhead.Tlb Require Import Hardware.
Import ListNotations.
Open Scope N_scope.

Inductive job := Donate | Reclaim.

Inductive instr :=
| Map                           (** the entry leads to the page *)
| Unmap                         (** and does no more *)
| DsbSt                         (** DSB ISHST *)
| Isb
| Inval                         (** TLBI VAE2IS *)
| Dsb                           (** DSB ISH *)
| Zero                          (** through the window, for the host *)
| Commit.                       (** the page's word *)

(** The erratum; how many cores; and what the calls do. *)
Record setup := Setup { erratum : bool; cores : N; code : job -> list instr }.

Definition program (j : job) : list instr :=
  match j with
  | Donate => [Map; DsbSt; Isb; Commit]
  | Reclaim => [Unmap; DsbSt; Isb; Inval; Dsb; Isb; Inval; Dsb; Isb; Zero; Commit]
  end.
Definition engine (err : bool) (n : N) : setup := Setup err n program.

(** An access of core [by_], and on how many invalidations that core has acted since it was translated. *)
Record flight := Flight { by_ : N; acted : nat }.

Record machine := M {
  own : bool;                   (** by its word the page is the engine's *)
  entry : bool;
  was : list bool;              (** what walkers may find instead *)
  tlb : list N;                 (** the cores that have an entry *)
  ahead : list (N * bool);      (** what a core has translated ahead, and found *)
  flights : list flight;
  notes : list N;               (** the cores that have yet to act on an invalidation *)
  knows : list N;
  zeroed : bool;
  faulted : bool;
  call : option (N * job * nat) (** the core, and how many steps are done *)
}.

Definition start : machine := M false false [] [] [] [] [] [] false false None.

Inductive event :=
| Fill (c : N)                  (** a walk, at any time *)
| Look (c : N) (b : bool)       (** something is translated ahead *)
| Learn (c : N)                 (** the core comes to know of the page *)
| Go (c : N) (b : bool)         (** it accesses it: so it is translated *)
| Land (f : flight)             (** and the access is made *)
| Act (c : N)                   (** a core acts on an invalidation *)
| Forget (c : N)
| Begin (c : N) (j : job)
| Run.

Definition flight_dec (a b : flight) : {a = b} + {a <> b}.
Proof. decide equality; [apply Nat.eq_dec|apply N.eq_dec]. Defined.
Definition isin (c : N) (l : list N) : bool := existsb (N.eqb c) l.
(** May a translation of core [c] that is made now find this? *)
Definition finds (m : machine) (c : N) (b : bool) : bool := existsb (Bool.eqb b) (entry m :: was m) || b && isin c (tlb m).
Definition had_ahead (m : machine) (c : N) (b : bool) : bool := existsb (fun x => (fst x =? c) && Bool.eqb (snd x) b) (ahead m).
Definition synchronised (c : N) (l : list (N * bool)) : list (N * bool) := filter (fun x => negb (fst x =? c)) l.

(** Does a DSB of who invalidates wait for it? With the erratum the first invalidation does not do that. *)
Definition owed (err : bool) (f : flight) : bool := (if err then 2 <=? acted f else 1 <=? acted f)%nat.

Definition with_tlb m l n fl := M (own m) (entry m) (was m) l (ahead m) fl n (knows m) (zeroed m) (faulted m) (call m).
Definition with_ahead m l k := M (own m) (entry m) (was m) (tlb m) l (flights m) (notes m) k (zeroed m) (faulted m) (call m).
Definition with_fault m := M (own m) (entry m) (was m) (tlb m) (ahead m) (flights m) (notes m) (knows m) (zeroed m) true (call m).
Definition with_call m x := M (own m) (entry m) (was m) (tlb m) (ahead m) (flights m) (notes m) (knows m) (zeroed m) (faulted m) x.
Definition stored m b := M (own m) b (entry m :: was m) (tlb m) (ahead m) (flights m) (notes m) (knows m) (zeroed m) (faulted m) (call m).

Definition effect (u : setup) (m : machine) (c : N) (j : job) (i : instr) : option machine :=
  match i with
  | Map => Some (stored m true)
  | Unmap => Some (stored m false)
  | DsbSt => Some (M (own m) (entry m) [] (tlb m) (ahead m) (flights m) (notes m) (knows m) (zeroed m) (faulted m) (call m))
  | Isb => Some (with_ahead m (synchronised c (ahead m)) (knows m))
  | Inval => Some (with_tlb m (tlb m) (below (cores u) ++ notes m) (flights m))
  | Dsb => if existsb (owed (erratum u)) (flights m) then None
           else match notes m with
                | [] => Some (M (own m) (entry m) [] (tlb m) (ahead m) (flights m) (notes m) (knows m) (zeroed m) (faulted m) (call m))
                | _ => None
                end
  | Zero => Some (M (own m) (entry m) (was m) (tlb m) (ahead m) (flights m) (notes m) (knows m) true (faulted m) (call m))
  | Commit => Some (M (match j with Donate => true | Reclaim => false end) (entry m) (was m) (tlb m) (ahead m) (flights m) (notes m)
                      (match j with Donate => [c] | Reclaim => [] end) false (faulted m) (call m))
  end.

Definition guard {A} (b : bool) (a : A) : option A := if b then Some a else None.

Definition step (u : setup) (m : machine) (e : event) : option machine :=
  match e with
  | Fill c => guard ((c <? cores u) && existsb (Bool.eqb true) (entry m :: was m)) (with_tlb m (c :: tlb m) (notes m) (flights m))
  | Look c b => guard ((c <? cores u) && finds m c b) (with_ahead m ((c, b) :: ahead m) (knows m))
  | Learn c => guard ((c <? cores u) && own m && match call m with None => true | Some _ => false end)
                 (with_ahead m (synchronised c (ahead m)) (c :: knows m))
  | Go c b =>
      guard (isin c (knows m) && (finds m c b || had_ahead m c b))
        (if b then with_tlb m (tlb m) (notes m) (Flight c 0 :: flights m) else with_fault m)
  | Land f => guard (if in_dec flight_dec f (flights m) then true else false) (with_tlb m (tlb m) (notes m) (take_one flight_dec f (flights m)))
  | Act c => guard (isin c (notes m))
      (with_tlb m (filter (fun d => negb (d =? c)) (tlb m)) (take_one N.eq_dec c (notes m))
         (map (fun f => if by_ f =? c then Flight (by_ f) (S (acted f)) else f) (flights m)))
  | Forget c => Some (with_tlb m (take_one N.eq_dec c (tlb m)) (notes m) (flights m))
  | Begin c j =>
      match call m with
      | Some _ => None
      | None => guard ((c <? cores u) && Bool.eqb (own m) (match j with Donate => false | Reclaim => true end))
                  (M (own m) (entry m) (was m) (tlb m) (ahead m) (flights m) (notes m) [] (zeroed m) (faulted m) (Some (c, j, O)))
      end
  | Run =>
      match call m with
      | None => None
      | Some (c, j, k) =>
          match nth_error (code u j) k with
          | None => Some (with_call m None)
          | Some i => match effect u m c j i with Some m' => Some (with_call m' (Some (c, j, S k))) | None => None end
          end
      end
  end.

Inductive reachable (u : setup) : machine -> Prop :=
| at_start : reachable u start
| by_step m e m' : reachable u m -> step u m e = Some m' -> reachable u m'.
