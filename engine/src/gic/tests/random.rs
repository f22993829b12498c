//! Random events in long runs: nothing is lost, nothing is invented.

use super::*;

/// A small generator of reproducible numbers (Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// SGIs and SPIs raised by edges.
const EDGES: u64 = 48;
/// SPIs 48 to 63 have lines.
const ALL: usize = 64;

/// What happened to each interrupt.
struct Book {
    raised: [u32; ALL],
    taken: [u32; ALL],
    ended: [bool; ALL],
    /// Raised after it was taken last.
    owed: [bool; ALL],
    high: [bool; ALL],
    /// Taken and not ended, the innermost last.
    nested: [u64; 64],
    depth: usize,
}

impl Book {
    const fn new() -> Self {
        Self {
            raised: [0; ALL],
            taken: [0; ALL],
            ended: [false; ALL],
            owed: [false; ALL],
            high: [false; ALL],
            nested: [0; 64],
            depth: 0,
        }
    }

    /// Something happens outside the guest.
    fn disturb(&mut self, machine: &Machine, random: &mut Random) {
        let intid = random.below(EDGES);
        match intid {
            0..16 => machine.raise(intid),
            16..32 => return,
            _ => machine.shared.spis.edge(spi(intid), priority(intid)),
        }
        self.raised[intid as usize] += 1;
        self.owed[intid as usize] = true;
        if random.flip() {
            let intid = EDGES + random.below(ALL as u64 - EDGES);
            self.drive(machine, intid, random.flip());
        }
    }

    fn drive(&mut self, machine: &Machine, intid: u64, high: bool) {
        self.high[intid as usize] = high;
        if high {
            machine.shared.spis.assert(spi(intid), priority(intid));
        } else {
            machine.shared.spis.deassert(spi(intid), priority(intid));
        }
    }

    /// The guest takes an interrupt, if there is one for it.
    fn take(&mut self, machine: &mut Machine) {
        let Some(intid) = machine.acknowledge() else {
            return;
        };
        let place = intid as usize;
        assert!(
            intid < EDGES || self.high[place],
            "{intid}: no line, no interrupt"
        );
        self.taken[place] += 1;
        self.owed[place] = false;
        self.nested[self.depth] = intid;
        self.depth += 1;
    }

    /// The guest ends the innermost interrupt.
    fn finish(&mut self, machine: &mut Machine) {
        let Some(depth) = self.depth.checked_sub(1) else {
            return;
        };
        self.depth = depth;
        machine.end(self.nested[depth]);
        self.ended[self.nested[depth] as usize] |= self.nested[depth] >= EDGES;
    }

    /// The ends that are told are those of level-triggered interrupts, all of them.
    fn check_ends(&mut self, machine: &mut Machine) {
        while let Some(told) = machine.runner.take_ended() {
            let ended = &mut self.ended[usize::from(told.raw())];
            assert!(*ended, "{told:?} was not ended");
            *ended = false;
        }
        assert_eq!(self.ended, [false; ALL]);
    }
}

fn priority(intid: u64) -> u8 {
    (intid as u8 & 7) * 16
}

/// One guest for 4,000 runs; the last 1,000 without disturbance, so that all comes to its end.
fn live(seed: u64) {
    let mut random = Random(seed << 32 | 0x9E37_79B9);
    let mut machine = Machine::with_registers(1 + seed % 4);
    let mut book = Book::new();
    for sgi in 0..16 {
        machine
            .shared
            .private
            .set_priority(private(sgi), priority(random.below(8)));
    }
    for step in 0..4000 {
        let quiet = step >= 3000;
        if !quiet {
            book.disturb(&machine, &mut random);
        } else if step == 3000 {
            (EDGES..ALL as u64).for_each(|intid| book.drive(&machine, intid, false));
        }
        let deliverable = machine.runner.has_deliverable(&machine.shared);
        let _ = machine.runner.fill(&machine.shared);
        assert!(!machine.maintenance(), "or the guest would not get on");
        assert_eq!(
            deliverable,
            machine.signalled().is_some(),
            "seed {seed} step {step}"
        );
        for _ in 0..random.below(4) {
            if quiet || random.flip() {
                book.take(&mut machine);
            }
            if quiet || random.flip() {
                book.finish(&mut machine);
            }
        }
        machine.runner.drain(&machine.shared);
        book.check_ends(&mut machine);
    }
    assert_eq!(book.depth, 0);
    for (taken, raised) in book.taken.iter().zip(book.raised).take(EDGES as usize) {
        assert!(*taken <= raised);
    }
    assert_eq!(
        book.owed, [false; ALL],
        "all were taken after they were raised last"
    );
    assert_eq!(machine.shared.private.active(), 0);
    let _ = machine.runner.fill(&machine.shared);
    assert_eq!(machine.runner.ich.lr, [0; 16]);
}

/// At every step, what is deliverable is what the hardware signals; each edge is taken, and no
/// more often than it was raised; a level is taken only while its line is high, and each of its
/// ends is told; nothing is active in the end.
#[test]
fn nothing_is_lost_or_invented() {
    (1..=40).for_each(live);
}
