//! A machine and the model of it: each deed is done to both, and what was told and what is there is compared.
//!
//! Invariant: the whole state is compared after each deed, a deed of another core's in the middle of a guest's
//! turn included.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abi::{Call, ExitReason};
use anyhow::Result;
use engine::host::Next;
use engine::sim::machine::vmid_of;
use engine::sim::told::{Told, Tried};
use engine::sim::{Config, GuestOp, Machine, Portrait, Want};
use ownership::{Pfn, State};

use crate::corrupt::Corruption;
use crate::deed::{Act, Deed, call_of};
use crate::oracle::Oracle;
use crate::random::{GICR, GICR_END};
use crate::render::{host_mapped, render};
use crate::tally::Tally;
use crate::tape::Tape;
use crate::weather::SCARCE;

/// What registers hold that a call gets nothing in.
const GARBAGE: u64 = 0xdead_0000_0000_0000;

/// A machine and its model.
#[derive(Clone)]
pub struct Rig {
    /// The machine.
    pub machine: Machine,
    tape: Arc<Mutex<Tape>>,
    tally: Arc<Tally>,
}

/// What a deed came to, for who chooses the next one: x0 and up of a call, what a load found.
pub type Came = Option<[u64; 18]>;

impl Rig {
    /// Boots both.
    pub fn new(config: Config, oracle: Oracle, tally: &Arc<Tally>) -> Self {
        let machine = Machine::new(config);
        machine.sim().listen();
        let before = Portrait::take(&machine);
        let base = machine.sim().ram.base();
        let mut tape = Tape {
            oracle,
            mapped: host_mapped(&before, base),
            before,
            base,
            corruption: None,
            text: String::new(),
            fault: None,
            off: false,
            after: None,
            entered: BTreeMap::new(),
            ended: Vec::new(),
            deeds: 0,
        };
        tape.boot(&machine);
        Self {
            machine,
            tape: Arc::new(Mutex::new(tape)),
            tally: tally.clone(),
        }
    }

    /// Boots the machine alone: [`Rig::catch_up`] comes next.
    pub fn muted(config: Config, mut oracle: Oracle, tally: &Arc<Tally>) -> Self {
        oracle.mute(true);
        Self::new(config, oracle, tally)
    }

    /// The machine is done with; the oracle is for the next.
    pub fn into_oracle(self) -> Option<Oracle> {
        // Scripts may hold this rig.
        for vmid in 1..=self.machine.config().vms as u16 {
            self.machine.sim().drop_scripts(vmid);
        }
        let tape = Arc::into_inner(self.tape)?;
        let tape = tape.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some(tape.oracle)
    }

    /// Its state and what goes with it.
    pub fn tape(&self) -> MutexGuard<'_, Tape> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What differed first, if anything.
    pub fn verdict(&self) -> Result<Option<String>> {
        let mut tape = self.tape();
        let of_oracle = tape.oracle.ask()?;
        Ok(tape.fault.take().or(of_oracle))
    }

    /// Does deeds that the model has done before: the oracle is told nothing, but to go back to the state that
    /// it kept as `id`.
    pub fn catch_up(&self, deeds: &[Deed], id: u64) {
        self.tape().oracle.mute(true);
        for deed in deeds {
            self.deed(deed);
        }
        let mut tape = self.tape();
        tape.oracle.mute(false);
        tape.oracle.line(format_args!("R {id}"));
        let before = Portrait::take(&self.machine);
        tape.mapped = host_mapped(&before, tape.base);
        tape.text = render(&before, &self.machine.sim().ram);
        tape.before = before;
        tape.ended.clear();
        tape.after = None;
    }

    /// Pages with a memory error that is still to be found.
    pub fn broken(&self) -> Vec<u64> {
        let mut broken = self.machine.sim().broken_pages();
        let tape = self.tape();
        broken.retain(|page| {
            let state = tape.before.pages.get((page - tape.base) as usize);
            state != Some(&State::Poisoned)
        });
        broken
    }

    /// The oracle keeps the model's state as `id`.
    pub fn keep(&self, id: u64) {
        self.tape().oracle.line(format_args!("S {id}"));
    }

    /// The state that was compared last.
    pub fn seen(&self) -> Portrait {
        self.tape().before.clone()
    }

    /// From the next comparison on something is seen otherwise than it is.
    pub fn corrupt(&self, corruption: Corruption) {
        self.tape().corruption = Some(corruption);
    }

    /// Does it to both.
    pub fn deed(&self, deed: &Deed) -> Came {
        if self.tape().off || deed.cpu().is_some_and(|cpu| !self.is_at_host(cpu)) {
            return None;
        }
        let came = match deed {
            Deed::Hvc { cpu, imm, x } => Some(self.hvc(*cpu, *imm, x)),
            Deed::Smc { cpu, x } => Some(self.smc(*cpu, *x)),
            Deed::Load { cpu, address } => self.access(*cpu, *address, None),
            Deed::Store {
                cpu,
                address,
                value,
            } => self.access(*cpu, *address, Some(*value)),
            Deed::Script { vm, affinity, acts } => {
                let ops = acts.iter().map(|act| self.guest_op(act));
                let vmid = vm + 1;
                self.machine.sim().extend_script(vmid, *affinity, ops);
                return None;
            }
            Deed::Break { page } => {
                self.machine.sim().break_page(Pfn::from_raw(*page));
                self.tape().oracle.line(format_args!("b {page}"));
                None
            }
            Deed::Interrupt { cpu, waits } => {
                self.machine.sim().set_interrupt(*cpu, *waits);
                return None;
            }
            Deed::Idle => {
                self.machine.sim().clear_scripts();
                return None;
            }
            Deed::Begin { cpu } => {
                let core = self.machine.engine().host_cores().get(*cpu)?;
                core.take_release()?;
                self.tape().oracle.line(format_args!("n {cpu}"));
                None
            }
        };
        self.compare();
        came
    }

    /// Is the core on, and in no call?
    fn is_at_host(&self, cpu: usize) -> bool {
        let core = self.machine.engine().host_cores().get(cpu);
        core.is_some_and(|core| core.power() == engine::trap::psci::PowerState::On)
            && self.machine.is_free(cpu)
    }

    fn guest_op(&self, act: &Act) -> GuestOp {
        match act {
            Act::Load(address) => GuestOp::Load(*address),
            Act::LoadPair(address) => GuestOp::LoadPair(*address),
            Act::Store(address, value) => GuestOp::StoreRaw(*address, *value),
            Act::LoadPart(address, shape) => GuestOp::LoadPart(*address, *shape),
            Act::StorePart(address, shape, value) => GuestOp::StorePart(*address, *shape, *value),
            Act::Fetch(address) => GuestOp::Fetch(*address),
            Act::Hvc(x) => GuestOp::Hvc(*x),
            Act::Smc(x) => GuestOp::Smc(*x),
            Act::Wfi => GuestOp::Wfi,
            Act::Sgi(value) => GuestOp::SendSgi(*value),
            Act::SError => GuestOp::SError,
            Act::Elsewhere(deed) => {
                let (rig, deed) = (self.clone(), deed.clone());
                GuestOp::Elsewhere(Box::new(move || {
                    rig.guests_so_far(None);
                    rig.compare();
                    rig.deed(&deed);
                }))
            }
        }
    }

    fn hvc(&self, cpu: usize, imm: u16, arguments: &[u64; 7]) -> [u64; 18] {
        let call = call_of(imm, arguments[0]);
        let mut x = [GARBAGE; 18];
        x[..7].copy_from_slice(arguments);
        let begin = |tape: &mut Tape| {
            let [x0, x1, x2, x3, x4, x5, x6] = arguments;
            tape.oracle.line(format_args!(
                "h {cpu} {imm} {x0} {x1} {x2} {x3} {x4} {x5} {x6}"
            ));
        };
        if call == Some(Call::CpuRun) {
            begin(&mut self.tape());
            self.machine.hypercall(cpu, imm, &mut x);
            self.end_of_run(cpu, &x);
            self.tally.call(call, &x);
            return x;
        }
        let free = self.free();
        self.machine.hypercall(cpu, imm, &mut x);
        self.tally.call(call, &x);
        if let Some(call) = call
            && call == Call::VmCreate
            && x[0] == 0
        {
            self.machine.sim().drop_scripts(vmid_of(x[1]));
        }
        let mut tape = self.tape();
        if tape.oracle.is_muted() {
            return x;
        }
        let after = Portrait::take(&self.machine);
        tape.tables_end(&after);
        if let Some(call) = call {
            tape.weather(call, arguments, &x, free, &after);
        }
        begin(&mut tape);
        let mut told = x;
        tape.corrupt_registers(&mut told);
        tape.registers(&told);
        tape.after = Some(after);
        x
    }

    /// Pages that the pool has left, if they are few.
    fn free(&self) -> u64 {
        let pool = self.machine.engine().pool();
        pool.free_up_to(SCARCE + 1)
    }

    fn smc(&self, cpu: usize, x: [u64; 4]) -> [u64; 18] {
        let (answer, next) = self.machine.host_smc(cpu, x);
        self.tally
            .host("SMC", &format!("{:#x}={}", x[0], answer[0] as i64));
        let mut tape = self.tape();
        // What the simulated firmware says to what is handed on.
        tape.oracle.line(format_args!(
            "y said={},{},{},{}",
            answer[0], answer[1], answer[2], answer[3]
        ));
        tape.oracle
            .line(format_args!("s {cpu} {} {} {} {}", x[0], x[1], x[2], x[3]));
        let mut told = [0; 18];
        told[..4].copy_from_slice(&answer);
        match next {
            Next::SystemOff | Next::SystemReset => {
                tape.oracle.line(format_args!("of"));
                tape.off = true;
            }
            _ => tape.registers(&told),
        }
        told
    }

    fn access(&self, cpu: usize, address: u64, store: Option<u64>) -> Came {
        let want = store.map_or(Want::Load, Want::StoreRaw);
        let came = self.machine.host_access_unchecked(cpu, address, want);
        let what = if store.is_some() {
            "host's store"
        } else {
            "host's load"
        };
        let how = if came.is_ok() { "done" } else { "aborted" };
        self.tally.host(what, how);
        let mut tape = self.tape();
        let (page, word) = (address >> 12, address % 4096 / 8);
        match store {
            None => tape.oracle.line(format_args!("r {cpu} {page} {word}")),
            Some(value) => tape
                .oracle
                .line(format_args!("w {cpu} {page} {word} {value}")),
        }
        match (came, store) {
            (Err(_), _) => tape.oracle.line(format_args!("oa")),
            (Ok(_), Some(_)) => tape.oracle.line(format_args!("os")),
            (Ok(value), None) => {
                let value = tape.corrupt_value(value);
                tape.oracle.line(format_args!("ol {value}"));
            }
        }
        came.ok().map(|value| [value; 18])
    }

    /// Plays what guests did since the last time; of the last thing it may be that the pool was empty.
    fn guests_so_far(&self, exit: Option<ExitReason>) {
        let told = self.machine.sim().take_told();
        let mut tape = self.tape();
        if tape.oracle.is_muted() {
            return;
        }
        let after = Portrait::take(&self.machine);
        tape.tables_end(&after);
        let last = told
            .iter()
            .rposition(|told| matches!(told, Told::Tried(..)));
        for (place, next) in told.iter().enumerate() {
            match *next {
                Told::Entered(cpu, key) => tape.enter(cpu, key, &after),
                Told::Finished(cpu, _) => tape.oracle.line(format_args!("f {cpu}")),
                Told::Tried(cpu, tried) => {
                    if exit == Some(ExitReason::PoolEmpty) && Some(place) == last {
                        tape.oracle.line(format_args!("y short=0"));
                    }
                    self.tally.guest(tried);
                    if let Tried::Load(address) = tried
                        && (GICR..GICR_END).contains(&address)
                    {
                        // What a redistributor says is left open.
                        let read = told[place..].iter().find_map(|told| match told {
                            Told::Finished(on, x9) if *on == cpu => Some(*x9),
                            _ => None,
                        });
                        let read = read.or_else(|| tape.x9_on(cpu, &after)).unwrap_or(0);
                        tape.oracle.line(format_args!("y said={read}"));
                    }
                    tape.tried(cpu, tried);
                }
            }
        }
    }

    fn end_of_run(&self, cpu: usize, x: &[u64; 18]) {
        let reason = ExitReason::from_raw(x[1]);
        self.guests_so_far(reason);
        let mut tape = self.tape();
        if tape.oracle.is_muted() {
            return;
        }
        let after = Portrait::take(&self.machine);
        match reason {
            Some(ExitReason::Budget | ExitReason::Idle | ExitReason::HostInterrupt) => {
                tape.turn_ends(cpu, &after);
                tape.oracle.line(format_args!("z {cpu} {} {}", x[1], x[3]));
            }
            Some(ExitReason::VcpuReady) => {
                let slot = x[2] & 0xffff;
                tape.oracle.line(format_args!("ready {cpu} {slot}"));
            }
            Some(ExitReason::ListFull) => tape.oracle.line(format_args!("lists {cpu}")),
            _ => {}
        }
        let mut told = *x;
        tape.corrupt_registers(&mut told);
        tape.registers(&told);
        tape.after = Some(after);
    }

    /// Is the engine's state the model's?
    fn compare(&self) {
        let mut tape = self.tape();
        if tape.oracle.is_muted() {
            return;
        }
        let after = tape.after.take();
        let after = after.unwrap_or_else(|| Portrait::take(&self.machine));
        tape.tables_begin(&after);
        let mapped = host_mapped(&after, tape.base);
        tape.host_maps(&mapped);
        let mut text = render(&after, &self.machine.sim().ram);
        if let Some(corruption) = tape.corruption {
            corruption.text(&mut text);
        }
        tape.oracle.state(&text);
        tape.text = text;
        tape.before = after;
        tape.mapped = mapped;
        tape.deeds += 1;
    }
}
