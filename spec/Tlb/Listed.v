(** * The moves of a page are those of the specification

    Each move of Atomic.v is one that Changes.v lists, by the relations of Proofs/Moves.v: so what is proved of the
    specification's pages (scrubbing, integrity) is about what TLBs, walks and accesses under way come to. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State Proofs.Moves Changes.
From Bulkhead.Tlb Require Import Hardware Calls Known Atomic.
Open Scope N_scope.

(** The page of State.v that it stands for: by what it holds for who uses the caches. *)
Definition as_page (a : apage) : State.page := Page (ast a) (held (content_of a)) false false Unused false.

(** Which of the ways to change a page that Changes.v lists. *)
Definition listed (k : kind) (v : N) : State.page -> State.page -> Prop :=
  match k with
  | Map _ => given v
  | Lend _ => lent v
  | Unlend _ => unlent v
  | Share => shared v
  | Unshare _ => unshared v
  | Relinquish | Lose OfRelinquish => went_home v
  | ToEngine _ | Poison _ | Lose (OfToEngine _) => donated
  | FromEngine | Lose OfFromEngine => returned
  | TakeOwn | TakeShared _ | TakeLent _ | Lose _ => reclaimed v
  | Touch _ | EndVm => unmoved
  end.

Theorem moves_are_listed k v p l :
  p = from_ k v -> listed k v (as_page (APage p l)) (as_page (APage (to_ k v) (moved_content k l))).
Proof.
  intros ->. unfold listed, given, lent, unlent, shared, unshared, went_home, donated, returned, reclaimed, unmoved, unlent, same_content, as_page, from_.
  destruct k as [?|n|n| |?| |?| |t| | |?|n|?|z]; try destruct t as [| |n]; try destruct z; try destruct n; simpl; repeat split; eauto; try (left; split; reflexivity).
  all: try (right; repeat split; eauto; fail).
  all: left; repeat split; eauto.
Qed.
