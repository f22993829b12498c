//! What cores did in one execution, each thing with when it began and ended, for `cargo xtask linear`, which asks the
//! specification for an order (`xtask/conform/oracle/history.ml` says what the lines mean).
//!
//! Invariants: time is a word of the model's that each beginning and each end advances, so that who comes later knows of
//! what came before, as hosts do whose cores tell each other: without that, a core may go by what was true before, and no
//! order of time has to explain it. Only an execution in which all that began ended is written, and of those that are
//! alike one.
//! Where no histories are wanted, nothing here takes a step.

use crate::world::{RAM_BASE, Size};
use abi::ExitReason;
use ownership::{Owner, State};
use percpu::CpuId;
use std::collections::BTreeSet;
use std::env;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use sync::{AtomicU64, Ordering};

/// The file that histories are added to, in the environment.
const FILE: &str = "BULKHEAD_LOOM_HISTORIES";

/// Histories that this process has written.
static WRITTEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// One execution's.
pub struct History(Option<Recorder>);

struct Recorder {
    clock: AtomicU64,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    /// Things that began and have not ended.
    open: usize,
    text: String,
    /// What each core is at in CPU_RUN.
    runs: Vec<Option<Run>>,
    /// Something was done that no line can say.
    is_beside: bool,
}

/// A core in CPU_RUN: since when nothing was seen of it, and its guest's act that is not answered yet.
struct Run {
    since: u64,
    act: Option<Act>,
    /// VMID and affinity of the vCPU that was entered last.
    vcpu: (u16, u64),
}

/// What a guest did, and at which instruction.
struct Act {
    begun: u64,
    pc: u64,
    letter: &'static str,
    rest: String,
}

/// When something began.
pub struct Begun(u64);

impl History {
    /// That of a machine of this size, if histories are wanted.
    pub fn new(size: Size, all_pages: u64, pa_bits: u8) -> Self {
        static WANTED: OnceLock<bool> = OnceLock::new();
        if !WANTED.get_or_init(|| env::var_os(FILE).is_some()) {
            return Self(None);
        }
        let on = size.cores - size.parked;
        let grain = if size.blocks { size.pages } else { 1 };
        let Size {
            cores,
            vms,
            vcpus,
            pages,
            ..
        } = size;
        let text = format!(
            "M {cores} {vms} {vcpus} {pa_bits} {RAM_BASE} {all_pages} {on}\n\
             p 0 {pages} H 1\np {pages} {} E 0\ng {grain}\n",
            all_pages - pages
        );
        Self(Some(Recorder {
            clock: AtomicU64::new(0),
            lines: Mutex::new(Lines {
                text,
                runs: (0..cores).map(|_| None).collect(),
                ..Lines::default()
            }),
        }))
    }

    /// A core begins something.
    pub fn begin(&self) -> Begun {
        Begun(self.0.as_ref().map_or(0, |recorder| {
            let now = recorder.tick();
            recorder.lines().open += 1;
            now
        }))
    }

    /// What it began, a call, is over: x0 and up before and after.
    pub fn end_call(&self, core: CpuId, begun: Begun, x: &[u64], told: &[u64]) {
        if let Some(recorder) = &self.0 {
            let now = recorder.tick();
            let mut lines = recorder.lines();
            lines.open -= 1;
            let (x, told) = (words(x), words(until_zeroes(told)));
            lines.line("c", core, (begun.0, now), &format!("{x} |{told}"));
        }
    }

    /// An access of the host's is over.
    pub fn end_access(&self, core: CpuId, begun: Begun, page: u64, is_store: bool, how: &str) {
        if let Some(recorder) = &self.0 {
            let now = recorder.tick();
            let mut lines = recorder.lines();
            lines.open -= 1;
            // Devices are no pages of the specification's.
            if page >= RAM_BASE {
                let is_store = u8::from(is_store);
                lines.line(
                    "a",
                    core,
                    (begun.0, now),
                    &format!(" {page} {is_store} {how}"),
                );
            }
        }
    }

    /// CPU_RUN begins, with x0 and up.
    pub fn begin_run(&self, core: CpuId, x: &[u64]) {
        if let Some(recorder) = &self.0 {
            let (begun, now) = (recorder.tick(), recorder.tick());
            let mut lines = recorder.lines();
            lines.open += 1;
            lines.line("b", core, (begun, now), &words(x));
            lines.runs[core.index()] = Some(Run {
                since: now,
                act: None,
                vcpu: (0, 0),
            });
        }
    }

    /// It enters this vCPU; if it is the one that acted last, its answer is in these registers.
    pub fn enter(&self, core: CpuId, vmid: u16, affinity: u64, pc: u64, x: &[u64]) {
        let Some(recorder) = &self.0 else {
            return;
        };
        let is_same = match &mut recorder.lines().runs[core.index()] {
            Some(run) => std::mem::replace(&mut run.vcpu, (vmid, affinity)) == (vmid, affinity),
            None => return,
        };
        match is_same {
            true => self.goes_on(core, pc, x),
            false => recorder.close(core, " | unseen"),
        }
        let now = recorder.tick();
        let mut lines = recorder.lines();
        let since = lines.since(core, now);
        lines.line("e", core, (since, now), &format!(" {vmid} {affinity}"));
    }

    /// A guest does something that traps.
    pub fn act(&self, core: CpuId, letter: &'static str, pc: u64, rest: &str) {
        if let Some(recorder) = &self.0 {
            let now = recorder.tick();
            let mut lines = recorder.lines();
            lines.since(core, now);
            if let Some(run) = &mut lines.runs[core.index()] {
                run.act = Some(Act {
                    begun: now,
                    pc,
                    letter,
                    rest: format!(" {pc}{rest}"),
                });
            }
        }
    }

    /// The guest goes on there with these registers.
    pub fn goes_on(&self, core: CpuId, pc: u64, x: &[u64]) {
        let Some(recorder) = &self.0 else {
            return;
        };
        let at = match &recorder.lines().runs[core.index()] {
            Some(Run { act: Some(act), .. }) => act.pc,
            _ => return,
        };
        let how = match pc == at {
            true => " | again".to_owned(),
            false => format!(" | answered{}", words(&x[..4])),
        };
        recorder.close(core, &how);
    }

    /// CPU_RUN is over, with x0 and up.
    pub fn end_run(&self, core: CpuId, told: &[u64]) {
        let Some(recorder) = &self.0 else {
            return;
        };
        // For these reasons it ends of itself.
        let is_own = matches!(
            told.get(1).copied().and_then(ExitReason::from_raw),
            Some(
                ExitReason::HostInterrupt
                    | ExitReason::Budget
                    | ExitReason::Idle
                    | ExitReason::VcpuReady,
            )
        );
        recorder.close(core, if is_own { " | unseen" } else { " | exits" });
        let now = recorder.tick();
        let mut lines = recorder.lines();
        lines.open -= 1;
        let since = lines.since(core, now);
        lines.runs[core.index()] = None;
        let told = words(until_zeroes(told));
        lines.line("z", core, (since, now), &format!(" |{told}"));
    }

    /// Something happens that calls and accesses do not say: the execution is left out.
    pub fn leave_out(&self) {
        if let Some(recorder) = &self.0 {
            recorder.lines().is_beside = true;
        }
    }

    /// All is over, and the first pages are in these states.
    pub fn end(&self, states: &[State]) {
        if let Some(recorder) = &self.0 {
            let mut lines = recorder.lines();
            lines.text += "F";
            for state in states {
                lines.text += " ";
                lines.text += &show(*state);
            }
            lines.text += "\n";
        }
    }
}

impl Recorder {
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) -> u64 {
        // AcqRel: pairs with itself; who comes later knows of all that came before.
        self.clock.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// A guest's act is over, a call in this way.
    fn close(&self, core: CpuId, how: &str) {
        let act = match &mut self.lines().runs[core.index()] {
            Some(run) => run.act.take(),
            None => None,
        };
        if let Some(act) = act {
            let now = self.tick();
            let mut lines = self.lines();
            lines.since(core, now);
            let how = if act.letter == "h" { how } else { "" };
            lines.line(act.letter, core, (act.begun, now), &(act.rest + how));
        }
    }
}

impl Lines {
    fn line(&mut self, letter: &str, core: CpuId, (begun, ended): (u64, u64), rest: &str) {
        let _ = writeln!(self.text, "{letter} {} {begun} {ended}{rest}", core.index());
    }

    /// Something is seen of a core in CPU_RUN; since when nothing was.
    fn since(&mut self, core: CpuId, now: u64) -> u64 {
        match &mut self.runs[core.index()] {
            Some(run) => std::mem::replace(&mut run.since, now),
            None => now,
        }
    }
}

impl Drop for History {
    fn drop(&mut self) {
        let Some(recorder) = &self.0 else {
            return;
        };
        let lines = recorder.lines();
        if lines.open != 0 || lines.is_beside {
            return;
        }
        let text = format!("{}.\n", lines.text);
        drop(lines);
        let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
        if written.insert(text.clone()) {
            let file = env::var_os(FILE).expect("it was there");
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).open(&file);
            let mut file = file.expect("the file for histories");
            file.write_all(text.as_bytes()).expect("room for histories");
        }
    }
}

/// Each behind a space.
pub fn words(x: &[u64]) -> String {
    x.iter().fold(String::new(), |mut text, word| {
        let _ = write!(text, " {word}");
        text
    })
}

/// Without the zeroes at its end, x0 always there.
fn until_zeroes(x: &[u64]) -> &[u64] {
    let last = x.iter().rposition(|word| *word != 0).unwrap_or(0);
    &x[..=last]
}

/// As the specification's state is written.
fn show(state: State) -> String {
    match state {
        State::Reserved => "R".into(),
        State::HostFixed => "F".into(),
        State::Owned(Owner::Host) => "H".into(),
        State::Owned(Owner::Engine) => "E".into(),
        State::Owned(Owner::Vm(vm)) => format!("V{}", vm.raw()),
        State::Shared {
            owner: Owner::Host,
            borrower: Owner::Vm(vm),
            count,
        } => format!("L{}x{count}", vm.raw()),
        State::Shared {
            owner: Owner::Vm(vm),
            ..
        } => format!("S{}", vm.raw()),
        State::Scrubbing { vm, .. } => format!("Z{}", vm.raw()),
        State::Poisoned => "P".into(),
        other => format!("{other:?}").replace(' ', ""),
    }
}
