; A VM ends and its VMID is given to the next: can any core use a translation of the first for the second?
;
; Any number of cores, VM slots (each has one VMID for good), pages, virtual addresses. A walk begins while a
; core is in a guest, sees the entry in the VM's tables, and fills the core's TLB later, even when the core has
; left the guest, unless a DSB waited for it: with a stage-2 entry, or with a combined one (stage 1 and 2 in
; one), which in the guest may also come of a stage-2 entry. A VM ends when no core is in it; its tables stay as they are while the
; words of the engine's flush are executed; then its slot, with empty tables, is the next VM's.
; - the TLBI takes effect on each core at any time, but before the next DSB of its issuer ends, on the VM
;   that VTTBR names, which is the right one only if VTTBR was written and an ISB followed;
; - a core counts as gone from a VM when the words of the engine's switch of regimes are executed.
;
; In front of this stand constants, the place of each word in its row (0: it is missing), and the two ends.

(set-option :timeout 30000)
(declare-datatypes ((T 0)) (((now) (next))))
(declare-sort Page) (declare-sort Vm) (declare-sort Cpu) (declare-sort Va)

(declare-fun live (T Vm) Bool)
(declare-fun at (T Vm) Int)               ; -1: no flush; else the words of the flush executed
(declare-fun in (T Cpu Vm) Bool)          ; the core is in the VM, or on its way out
(declare-fun out (T Cpu) Int)             ; -1: in a guest or with none; else the words of the switch executed
(declare-fun pte (T Vm Page) Bool)        ; the VM's tables have it
(declare-fun walks (T Cpu Vm Page) Bool)  ; a walk that saw the entry is under way
(declare-fun tlb (T Cpu Vm Page) Bool)    ; stage-2 entry
(declare-fun cb (T Cpu Vm Va Page) Bool)  ; combined entry
(declare-fun hit (T Cpu Vm) Bool)         ; the TLBI has taken effect on this core
(declare-fun cur (Vm) Vm)                 ; the VM that VTTBR names when the flush begins

(define-fun after ((t Int)) Int (ite (> dsb1 t) dsb1 (ite (> dsb2 t) dsb2 (ite (> dsb3 t) dsb3 (+ end 1)))))
(define-fun is-dsb ((k Int)) Bool (and (> k 0) (or (= k dsb1) (= k dsb2) (= k dsb3))))
(define-fun target ((u Vm)) Vm (ite (and (> vttbr 0) (< vttbr isb) (< isb whole)) u (cur u)))

(define-fun inv ((t T)) Bool (and
  (forall ((u Vm)) (and (>= (at t u) (- 1)) (<= (at t u) end) (=> (live t u) (= (at t u) (- 1)))))
  (forall ((c Cpu)) (and (>= (out t c) (- 1)) (<= (out t c) switch-end)))
  (forall ((c Cpu) (u Vm)) (=> (in t c u) (live t u)))
  (forall ((c Cpu) (u Vm) (w Vm)) (=> (and (in t c u) (in t c w)) (= u w)))
  (forall ((c Cpu) (u Vm) (p Page)) (=> (walks t c u p)
    (and (in t c u) (pte t u p) (=> (>= (out t c) switch-dsb) (= switch-dsb 0)))))
  (forall ((c Cpu) (u Vm)) (=> (and (hit t c u) (not (live t u))) (>= (at t u) whole)))
  (forall ((c Cpu) (u Vm)) (=> (and (> whole 0) (>= (at t u) (after whole))) (hit t c u)))
  (forall ((c Cpu) (u Vm) (p Page)) (=> (tlb t c u p)
    (and (pte t u p) (or (live t u) (and (>= (at t u) 0) (not (hit t c u)))))))
  (forall ((c Cpu) (u Vm) (x Va) (p Page)) (=> (cb t c u x p)
    (and (pte t u p) (or (live t u) (and (>= (at t u) 0) (not (hit t c u)))))))))

; ---- Transitions, of VM v, page p, core c, address x.
(declare-const p Page) (declare-const c Cpu) (declare-const v Vm) (declare-const x Va)

(define-fun same-live () Bool (forall ((u Vm)) (= (live next u) (live now u))))
(define-fun same-at () Bool (forall ((u Vm)) (= (at next u) (at now u))))
(define-fun same-in () Bool (forall ((d Cpu) (u Vm)) (= (in next d u) (in now d u))))
(define-fun same-out () Bool (forall ((d Cpu)) (= (out next d) (out now d))))
(define-fun same-pte () Bool (forall ((u Vm) (q Page)) (= (pte next u q) (pte now u q))))
(define-fun same-walks () Bool (forall ((d Cpu) (u Vm) (q Page)) (= (walks next d u q) (walks now d u q))))
(define-fun same-s2 () Bool (forall ((d Cpu) (u Vm) (q Page)) (= (tlb next d u q) (tlb now d u q))))
(define-fun same-cb () Bool
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (= (cb next d u y q) (cb now d u y q))))
(define-fun same-tlb () Bool (and same-s2 same-cb))
(define-fun same-hit () Bool (forall ((d Cpu) (u Vm)) (= (hit next d u) (hit now d u))))
(define-fun same-vms () Bool (and same-live same-at same-hit))
(define-fun same-cores () Bool (and same-in same-out same-walks same-tlb))
(define-fun set-at ((k Int)) Bool (forall ((u Vm)) (= (at next u) (ite (= u v) k (at now u)))))
(define-fun set-out ((k Int)) Bool (forall ((d Cpu)) (= (out next d) (ite (= d c) k (out now d)))))

(define-fun map () Bool (and (live now v) same-vms same-cores
  (forall ((u Vm) (q Page)) (= (pte next u q) (or (pte now u q) (and (= u v) (= q p)))))))

(define-fun enter () Bool (and (live now v) (= (out now c) (- 1)) (forall ((u Vm)) (not (in now c u)))
  same-vms same-out same-pte same-walks same-tlb
  (forall ((d Cpu) (u Vm)) (= (in next d u) (or (in now d u) (and (= d c) (= u v)))))))

(define-fun walk () Bool (and (in now c v) (= (out now c) (- 1)) (pte now v p)
  same-vms same-in same-out same-pte same-tlb
  (forall ((d Cpu) (u Vm) (q Page))
    (= (walks next d u q) (or (walks now d u q) (and (= d c) (= u v) (= q p)))))))

(define-fun fill () Bool (and (walks now c v p) same-vms same-in same-out same-pte same-cb
  (forall ((d Cpu) (u Vm) (q Page)) (and
    (= (tlb next d u q) (or (tlb now d u q) (and (= d c) (= u v) (= q p))))
    (= (walks next d u q) (and (walks now d u q) (not (and (= d c) (= u v) (= q p)))))))))

(define-fun combine () Bool (and (or (walks now c v p) (and (in now c v) (tlb now c v p)))
  same-vms same-in same-out same-pte same-walks same-s2
  (forall ((d Cpu) (u Vm) (y Va) (q Page))
    (= (cb next d u y q) (or (cb now d u y q) (and (= d c) (= u v) (= y x) (= q p)))))))

(define-fun leave () Bool (and (in now c v) (= (out now c) (- 1)) (set-out 0)
  same-vms same-in same-pte same-walks same-tlb))

(define-fun switch-word () Bool (and (>= (out now c) 0) (< (out now c) switch-end) (set-out (+ (out now c) 1))
  same-vms same-in same-pte same-walks same-tlb
  (=> (= (+ (out now c) 1) switch-dsb) (forall ((u Vm) (q Page)) (not (walks now c u q))))))

(define-fun be-gone () Bool (and (= (out now c) switch-end) (set-out (- 1)) same-vms same-pte same-walks same-tlb
  (forall ((d Cpu) (u Vm)) (= (in next d u) (and (in now d u) (not (= d c)))))))

(define-fun finish () Bool (and (live now v) (forall ((d Cpu)) (not (in now d v))) (set-at 0)
  same-cores same-pte
  (forall ((u Vm)) (= (live next u) (and (live now u) (not (= u v)))))
  (forall ((d Cpu) (u Vm)) (= (hit next d u) (and (hit now d u) (not (= u v)))))))

(define-fun drop-whole () Bool (and (> whole 0) (>= (at now v) whole) same-live same-at same-in same-out same-pte same-walks
  (forall ((d Cpu) (u Vm) (q Page)) (= (tlb next d u q) (and (tlb now d u q) (not (and (= d c) (= u (target v)))))))
  (forall ((d Cpu) (u Vm) (y Va) (q Page))
    (= (cb next d u y q) (and (cb now d u y q) (not (and (= d c) (= u (target v)))))))
  (forall ((d Cpu) (u Vm)) (= (hit next d u) (or (hit now d u) (and (= d c) (= u v)))))))

(define-fun word () Bool (and (>= (at now v) 0) (< (at now v) end) (set-at (+ (at now v) 1))
  same-live same-hit same-cores same-pte
  (=> (and (is-dsb (+ (at now v) 1)) (> whole 0) (<= whole (at now v))) (forall ((d Cpu)) (hit now d v)))))

(define-fun reuse () Bool (and (= (at now v) end) (set-at (- 1)) same-hit same-cores
  (forall ((u Vm)) (= (live next u) (or (live now u) (= u v))))
  (forall ((u Vm) (q Page)) (= (pte next u q) (and (pte now u q) (not (= u v)))))))

; The first state: no VM, no core in one, nothing cached.
(define-fun init ((t T)) Bool (and
  (forall ((u Vm)) (and (not (live t u)) (= (at t u) (- 1))))
  (forall ((d Cpu)) (= (out t d) (- 1)))
  (forall ((d Cpu) (u Vm)) (and (not (in t d u)) (not (hit t d u))))
  (forall ((u Vm) (q Page)) (not (pte t u q)))
  (forall ((d Cpu) (u Vm) (q Page)) (and (not (walks t d u q)) (not (tlb t d u q))))
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (not (cb t d u y q)))))

(assert (inv now))
(assert (not (inv next)))
(push) (echo "init") (assert (init next)) (check-sat) (pop)
(push) (echo "map") (assert map) (check-sat) (pop)
(push) (echo "enter") (assert enter) (check-sat) (pop)
(push) (echo "walk") (assert walk) (check-sat) (pop)
(push) (echo "fill") (assert fill) (check-sat) (pop)
(push) (echo "combine") (assert combine) (check-sat) (pop)
(push) (echo "leave") (assert leave) (check-sat) (pop)
(push) (echo "switch-word") (assert switch-word) (check-sat) (pop)
(push) (echo "be-gone") (assert be-gone) (check-sat) (pop)
(push) (echo "finish") (assert finish) (check-sat) (pop)
(push) (echo "drop-whole") (assert drop-whole) (check-sat) (pop)
(push) (echo "word") (assert word) (check-sat) (pop)
(push) (echo "reuse") (assert reuse) (check-sat) (pop)
