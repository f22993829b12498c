; A page is taken from a VM: can any core still reach it through the VM when it is let go?
;
; Any number of cores, VMs, pages, virtual addresses. A core's TLB keeps stage-2 entries and combined ones
; (stage 1 and 2 in one), which come of a stage-2 entry or a walk. A walk sees the entry in the tables, or a
; stage-2 entry, and fills the TLB later. The entry of a page is cleared, then the words of the engine's flush
; are executed, one by one:
; - the store reaches walkers at any time, but before any DSB ends;
; - a TLBI takes effect on each core at any time, but before the next DSB of its issuer ends. It works on
;   the VM that VTTBR names, which is the page's if it was before (`is-current`: the engine looks), or if
;   VTTBR was written and an ISB followed;
; - IPAS2E1IS drops stage-2 entries and ends walks that would fill one, VMALLE1IS combined ones and the
;   walks for these; VMALLS12E1IS does both at once (then `stage2` and `combined` are `whole`);
; - an access that was translated may still be under way when its entry is gone. The DSB after the TLBI
;   waits for it, but on a core with the repeat-TLBI erratum only one after another TLBI does.
;
; In front of this stand constants, the place of each word in the row (0: it is missing), and `end`.

(set-option :timeout 30000)
(declare-datatypes ((T 0)) (((now) (next))))
(declare-sort Page) (declare-sort Vm) (declare-sort Cpu) (declare-sort Va)

(declare-fun free (T Page) Bool)          ; let go
(declare-fun own (T Page) Vm)             ; whose it is, or is being taken from
(declare-fun at (T Page) Int)             ; -1: in use; else the words executed since it was cleared
(declare-fun vis (T Vm Page) Bool)        ; walkers see a valid entry
(declare-fun w2 (T Cpu Vm Page) Bool)     ; a walk that saw it is under way, for a stage-2 entry
(declare-fun wc (T Cpu Vm Va Page) Bool)  ; the same for a combined entry
(declare-fun s2 (T Cpu Vm Page) Bool)     ; stage-2 entry
(declare-fun cb (T Cpu Vm Va Page) Bool)  ; combined entry
(declare-fun acc (T Cpu Page) Bool)       ; a translated access is under way
(declare-fun hit2 (T Cpu Page) Bool)      ; the TLBI for stage-2 entries has taken effect on this core
(declare-fun hitc (T Cpu Page) Bool)      ; the TLBI for combined ones has
(declare-fun cur (Page) Vm)               ; the VM that VTTBR names when the flush begins

(define-fun after ((t Int)) Int
  (ite (> dsb1 t) dsb1 (ite (> dsb2 t) dsb2 (ite (> dsb3 t) dsb3 (ite (> dsb4 t) dsb4 (+ end 1))))))
(define-fun is-dsb ((k Int)) Bool (and (> k 0) (or (= k dsb1) (= k dsb2) (= k dsb3) (= k dsb4))))
; What a TLBI at this place works on.
(define-fun target ((t Int) (p Page)) Vm
  (ite (or is-current (and (> vttbr 0) (< vttbr isb) (< isb t))) (own now p) (cur p)))
; The DSB that waits for accesses.
(define-fun last () Int (ite erratum (ite (= repeat 0) (+ end 1) (after repeat)) (after combined)))

(define-fun inv ((t T)) Bool (and
  (forall ((p Page)) (and (>= (at t p) (- 1)) (<= (at t p) end)))
  (forall ((p Page)) (=> (free t p) (= (at t p) (- 1))))
  (forall ((v Vm) (p Page)) (=> (vis t v p)
    (and (not (free t p)) (= (own t p) v) (< (at t p) (after 0)))))
  (forall ((c Cpu) (p Page)) (=> (>= (at t p) 0) (=> (hit2 t c p) (>= (at t p) stage2))))
  (forall ((c Cpu) (p Page)) (=> (>= (at t p) 0) (=> (hitc t c p) (>= (at t p) combined))))
  (forall ((c Cpu) (p Page)) (=> (and (> stage2 0) (>= (at t p) (after stage2))) (hit2 t c p)))
  (forall ((c Cpu) (p Page)) (=> (and (> combined 0) (>= (at t p) (after combined))) (hitc t c p)))
  ; An entry, or a walk for one, is there only before its TLBI has taken effect, if what it could come of
  ; anew is gone before the TLBI.
  (forall ((c Cpu) (v Vm) (p Page)) (=> (or (s2 t c v p) (w2 t c v p))
    (and (not (free t p)) (= (own t p) v)
         (=> (and (>= (at t p) 0) (hit2 t c p)) (< stage2 (after 0))))))
  (forall ((c Cpu) (v Vm) (x Va) (p Page)) (=> (or (cb t c v x p) (wc t c v x p))
    (and (not (free t p)) (= (own t p) v)
         (=> (and (>= (at t p) 0) (hitc t c p))
             (ite (> whole 0) (< whole (after 0)) (or (= stage2 0) (< combined (after stage2))))))))
  ; One TLBI for both takes effect on both.
  (forall ((c Cpu) (p Page)) (=> (and (> whole 0) (>= (at t p) 0)) (= (hit2 t c p) (hitc t c p))))
  (forall ((c Cpu) (p Page)) (=> (acc t c p)
    (and (not (free t p)) (< (at t p) last))))))

; ---- Transitions, of page p, core c, address x.
(declare-const p Page) (declare-const c Cpu) (declare-const x Va) (declare-const v Vm)

(define-fun same-free () Bool (forall ((q Page)) (= (free next q) (free now q))))
(define-fun same-own () Bool (forall ((q Page)) (= (own next q) (own now q))))
(define-fun same-at () Bool (forall ((q Page)) (= (at next q) (at now q))))
(define-fun same-vis () Bool (forall ((u Vm) (q Page)) (= (vis next u q) (vis now u q))))
(define-fun same-s2 () Bool (forall ((d Cpu) (u Vm) (q Page)) (= (s2 next d u q) (s2 now d u q))))
(define-fun same-cb () Bool
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (= (cb next d u y q) (cb now d u y q))))
(define-fun same-acc () Bool (forall ((d Cpu) (q Page)) (= (acc next d q) (acc now d q))))
(define-fun same-hits () Bool (forall ((d Cpu) (q Page))
  (and (= (hit2 next d q) (hit2 now d q)) (= (hitc next d q) (hitc now d q)))))
(define-fun same-walks () Bool (and
  (forall ((d Cpu) (u Vm) (q Page)) (= (w2 next d u q) (w2 now d u q)))
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (= (wc next d u y q) (wc now d u y q)))))
(define-fun same-tlbs () Bool (and same-s2 same-cb same-acc same-walks))

(define-fun set-at ((k Int)) Bool (forall ((q Page)) (= (at next q) (ite (= q p) k (at now q)))))

(define-fun give () Bool (and (free now p) same-at same-tlbs same-hits
  (forall ((q Page)) (= (free next q) (and (free now q) (not (= q p)))))
  (forall ((q Page)) (= (own next q) (ite (= q p) v (own now q))))
  (forall ((u Vm) (q Page)) (= (vis next u q) (or (vis now u q) (and (= u v) (= q p)))))))

(define-fun walk () Bool (and (vis now v p)
  same-free same-own same-at same-vis same-s2 same-cb same-acc same-hits
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (= (wc next d u y q) (wc now d u y q)))
  (forall ((d Cpu) (u Vm) (q Page))
    (= (w2 next d u q) (or (w2 now d u q) (and (= d c) (= u v) (= q p)))))))

(define-fun fill () Bool (and (w2 now c v p)
  same-free same-own same-at same-vis same-cb same-acc same-hits same-walks
  (forall ((d Cpu) (u Vm) (q Page))
    (= (s2 next d u q) (or (s2 now d u q) (and (= d c) (= u v) (= q p)))))))

; A walk for a combined entry: of the tables, or of a stage-2 entry that is there.
(define-fun combine () Bool (and (or (vis now v p) (s2 now c v p))
  same-free same-own same-at same-vis same-s2 same-cb same-acc same-hits
  (forall ((d Cpu) (u Vm) (q Page)) (= (w2 next d u q) (w2 now d u q)))
  (forall ((d Cpu) (u Vm) (y Va) (q Page))
    (= (wc next d u y q) (or (wc now d u y q) (and (= d c) (= u v) (= y x) (= q p)))))))

(define-fun fill-combined () Bool (and (wc now c v x p)
  same-free same-own same-at same-vis same-s2 same-acc same-hits same-walks
  (forall ((d Cpu) (u Vm) (y Va) (q Page))
    (= (cb next d u y q) (or (cb now d u y q) (and (= d c) (= u v) (= y x) (= q p)))))))

(define-fun access () Bool (and (cb now c v x p) same-free same-own same-at same-vis same-s2 same-cb same-walks same-hits
  (forall ((d Cpu) (q Page)) (= (acc next d q) (or (acc now d q) (and (= d c) (= q p)))))))

(define-fun complete () Bool (and same-free same-own same-at same-vis same-s2 same-cb same-walks same-hits
  (forall ((d Cpu) (q Page)) (= (acc next d q) (and (acc now d q) (not (and (= d c) (= q p))))))))

(define-fun clear () Bool (and (not (free now p)) (= (at now p) (- 1)) (set-at 0)
  same-free same-own same-vis same-tlbs
  (forall ((d Cpu) (q Page)) (and
    (= (hit2 next d q) (and (hit2 now d q) (not (= q p))))
    (= (hitc next d q) (and (hitc now d q) (not (= q p))))))))

; The clearing reaches walkers.
(define-fun reach () Bool (and (>= (at now p) 0) same-free same-own same-at same-tlbs same-hits
  (forall ((u Vm) (q Page)) (= (vis next u q) (and (vis now u q) (not (= q p)))))))

; What the TLBI for these drops on core c, of what is of page p.
(define-fun drops-stage2 () Bool (and
  (forall ((d Cpu) (u Vm) (q Page)) (= (s2 next d u q)
    (and (s2 now d u q) (not (and (= d c) (= u (target stage2 p)) (= q p))))))
  (forall ((d Cpu) (u Vm) (q Page)) (= (w2 next d u q)
    (and (w2 now d u q) (not (and (= d c) (= u (target stage2 p)) (= q p))))))))
(define-fun drops-combined () Bool (and
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (= (cb next d u y q)
    (and (cb now d u y q) (not (and (= d c) (= u (target combined p)) (= q p))))))
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (= (wc next d u y q)
    (and (wc now d u y q) (not (and (= d c) (= u (target combined p)) (= q p))))))))
(define-fun hits ((of-stage2 Bool) (of-combined Bool)) Bool (forall ((d Cpu) (q Page)) (and
  (= (hit2 next d q) (or (hit2 now d q) (and of-stage2 (= d c) (= q p))))
  (= (hitc next d q) (or (hitc now d q) (and of-combined (= d c) (= q p)))))))

(define-fun drop-stage2 () Bool (and (= whole 0) (> stage2 0) (>= (at now p) stage2)
  same-free same-own same-at same-vis same-cb same-acc drops-stage2 (hits true false)
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (= (wc next d u y q) (wc now d u y q)))))

(define-fun drop-combined () Bool (and (= whole 0) (> combined 0) (>= (at now p) combined)
  same-free same-own same-at same-vis same-s2 same-acc drops-combined (hits false true)
  (forall ((d Cpu) (u Vm) (q Page)) (= (w2 next d u q) (w2 now d u q)))))

(define-fun drop-whole () Bool (and (> whole 0) (>= (at now p) whole)
  same-free same-own same-at same-vis same-acc drops-stage2 drops-combined (hits true true)))

(define-fun word () Bool (and (>= (at now p) 0) (< (at now p) end) (set-at (+ (at now p) 1))
  same-free same-own same-vis same-tlbs same-hits
  (=> (is-dsb (+ (at now p) 1)) (and
    (forall ((u Vm)) (not (vis now u p)))
    (=> (and (> stage2 0) (<= stage2 (at now p))) (forall ((d Cpu)) (hit2 now d p)))
    (=> (and (> combined 0) (<= combined (at now p))) (forall ((d Cpu)) (hitc now d p)))
    (=> (>= (+ (at now p) 1) last) (forall ((d Cpu)) (not (acc now d p))))))))

(define-fun let-go () Bool (and (= (at now p) end) (set-at (- 1)) same-own same-vis same-tlbs same-hits
  (forall ((q Page)) (= (free next q) (or (free now q) (= q p))))))

; The first state: nothing is given away, nothing cached.
(define-fun init ((t T)) Bool (and
  (forall ((q Page)) (and (free t q) (= (at t q) (- 1))))
  (forall ((u Vm) (q Page)) (not (vis t u q)))
  (forall ((d Cpu) (u Vm) (q Page)) (not (s2 t d u q)))
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (not (cb t d u y q)))
  (forall ((d Cpu) (u Vm) (q Page)) (not (w2 t d u q)))
  (forall ((d Cpu) (u Vm) (y Va) (q Page)) (not (wc t d u y q)))
  (forall ((d Cpu) (q Page)) (not (acc t d q)))))

(assert (inv now))
(assert (not (inv next)))
(push) (echo "init") (assert (init next)) (check-sat) (pop)
(push) (echo "give") (assert give) (check-sat) (pop)
(push) (echo "walk") (assert walk) (check-sat) (pop)
(push) (echo "fill") (assert fill) (check-sat) (pop)
(push) (echo "combine") (assert combine) (check-sat) (pop)
(push) (echo "fill-combined") (assert fill-combined) (check-sat) (pop)
(push) (echo "access") (assert access) (check-sat) (pop)
(push) (echo "complete") (assert complete) (check-sat) (pop)
(push) (echo "clear") (assert clear) (check-sat) (pop)
(push) (echo "reach") (assert reach) (check-sat) (pop)
; The one TLBI for both is either of these.
(push) (echo "drop-stage2") (assert (or drop-stage2 drop-whole)) (check-sat) (pop)
(push) (echo "drop-combined") (assert (or drop-combined drop-whole)) (check-sat) (pop)
(push) (echo "word") (assert word) (check-sat) (pop)
(push) (echo "let-go") (assert let-go) (check-sat) (pop)
