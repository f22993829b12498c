(** * The page as the specification has it: accesses and moves that happen at once

    What the fine-grained machine looks like from outside. A page has a state, which says who may reach it, and a
    content. Who may reach it reads it and writes it; a call moves it from one state to the next in one step. No TLB,
    no walk, no barrier, no claim. Of caches only this much is left: what a page holds through them and what it
    holds behind them may differ until they are written back, which shows to who reads past them.

    Listed.v ties its moves to those of the specification. *)

From Coq Require Import NArith List Bool.
From Bulkhead Require Import Base State.
From Bulkhead.Tlb Require Import Hardware Calls Known.
Open Scope N_scope.

Record apage := APage { ast : page_state; content_of : line }.
Definition astate := N -> apage.

(** What a page holds after a call has moved it. *)
Definition moved_content (k : kind) (l : line) : line := if scrubs k then Line None zeroes else l.

(** One step, and what is told by it: who loads, and what he finds. *)
Inductive astep (s : astate) : option (dom * N) -> astate -> Prop :=
| accesses d p x :                    (* a load or a store, by who may reach the page *)
    may (ast (s p)) d = true ->
    astep s (match told x (content_of (s p)) with Some w => Some (d, w) | None => None end)
      (upd s p (APage (ast (s p)) (land x (content_of (s p)))))
| writes_back p :                     (* caches write it back *)
    astep s None (upd s p (APage (ast (s p)) (cleaned (content_of (s p)))))
| moves_page k v p :                  (* a call moves it *)
    ast (s p) = from_ k v ->
    astep s None (upd s p (APage (to_ k v) (moved_content k (content_of (s p))))).

(** An access or a write-back moves nothing: the state stays, and what is read through caches after a write-back. *)
Theorem accesses_keep_the_state s o s' p :
  astep s o s' -> ast (s' p) = ast (s p) \/ exists k v, ast (s p) = from_ k v /\ ast (s' p) = to_ k v.
Proof.
  intros []; unfold upd; destruct (N.eqb_spec p p0); subst; simpl; auto. right. eauto.
Qed.
