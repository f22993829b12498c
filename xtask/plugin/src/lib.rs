//! A QEMU plugin that counts the instructions that each core executes in the engine, apart from all
//! others, and its broadcast TLB invalidations.
//!
//! The engine runs at its own addresses, at which nothing else is ever executed: a block counts as
//! the engine's by where it lies. Counting is exact under multi-threaded emulation: each core adds
//! to its own record, a whole block at a time, and no block of the engine's is left in the middle:
//! what faults in it is an access to RAM with a memory error alone, and no measured machine has such.
//! (Not so with `-icount`, which breaks off blocks at device accesses.)
//!
//! An image marks what is to be measured, each core for itself: `HINT #112` begins a window and
//! `HINT #113` ends it. Both do nothing on any processor. Instructions beside the engine's are
//! counted by whole blocks too, so that at a window's edges they are exact to a block.
//!
//! A *visit* is what lies between two ERETs of the engine's: all that it does before somebody else has the core
//! again. The first ends with a core's start.
//!
//! Arguments: `low=ADDRESS,high=ADDRESS` of the engine, `calls=IDENTIFIER` of its call number 0, `out=FILE`
//! for the result; `trace=FILE` has the engine's instructions in the first core's windows written there too, one window a line, each instruction
//! by its distance from `low`, or with `start=CORE` all of that core's up to its first ERET, as one window;
//! `each=yes` counts instruction by instruction, slower but exact with `-icount` too, and has a window that
//! was not begun begin with the machine; `stack=yes` has the depth of each core's stack noted. Invariant: the record of a core is written by that core; the
//! windows' lists and the trace are behind locks, used at marks, at the end, and with `trace` at each
//! instruction of the engine's.

mod qemu;
#[path = "../../src/litmus/sp.rs"]
mod sp;
mod stack;
mod visits;

use qemu::{Block, Field, Id, Instruction, Register, Scoreboard};
use sp::Effect;
use stack::Depths;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::fmt::Write;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Mutex, OnceLock};
use visits::Visits;

/// Read by QEMU before anything else.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = qemu::API_VERSION;

/// `HINT #n` is this, with n in bits 11:5 (Arm ARM C6.2.128).
const HINT: u32 = 0xd503_201f;
/// Begins a core's window.
const BEGIN: u32 = HINT | 112 << 5;
/// Ends it.
const END: u32 = HINT | 113 << 5;

/// `HVC #n` is this, with n in bits 20:5.
const HVC_MASK: u32 = 0xffe0_001f;
const HVC: u32 = 0xd400_0002;
/// `ERET`.
const ERET: u32 = 0xd69f_03e0;
/// `TLBI` is `SYS` with CRn = 8 (C5.5): these bits say so.
const TLBI_MASK: u32 = 0xfff8_f000;
const TLBI: u32 = 0xd508_8000;
/// `TLBI VMALLS12E1IS`.
const VMALLS12E1IS: u32 = 0xd50c_83df;

/// Counters of a core, in this order.
const FIELDS: [&str; 5] = ["engine", "low", "high", "broadcasts", "whole_vm"];
const ENGINE: usize = 0;
/// Beside the engine, in the lower half of the addresses: the host, and programs.
const LOW: usize = 1;
/// And in the upper half: kernels that are there.
const HIGH: usize = 2;
const BROADCASTS: usize = 3;
const WHOLE_VM: usize = 4;

/// Bits of a distance from the engine's start.
const DISTANCE_BITS: u32 = 32;

type Counts = [u64; FIELDS.len()];

/// A core's windows.
#[derive(Clone, Default)]
struct Windows {
    begun: Option<Counts>,
    done: Vec<Counts>,
}

struct State {
    engine: Range<u64>,
    calls: u64,
    /// X0 and SP, to QEMU: the same for all cores.
    x0: AtomicPtr<Register>,
    sp: AtomicPtr<Register>,
    out: String,
    score: *mut Scoreboard,
    windows: Mutex<Vec<Windows>>,
    visits: Visits,
    trace: Option<String>,
    /// The core whose start is traced, and not the first one's windows.
    start: Option<c_uint>,
    /// Instruction by instruction.
    each: bool,
    /// How deep stacks were, if that is asked.
    depths: Option<Depths>,
    /// The traced windows, instruction by instruction; the last is open while `tracing` says so.
    traced: Mutex<Vec<Vec<u64>>>,
    tracing: AtomicBool,
}

// SAFETY: QEMU's functions may be called with the scoreboard from any thread; the rest is ours.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

static STATE: OnceLock<State> = OnceLock::new();

impl State {
    /// Reads the arguments.
    fn parse(arguments: &[&str]) -> Result<Self, String> {
        let find = |key: &str| {
            let mut pairs = arguments.iter().filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(name, _)| *name == key);
            found
                .map(|(_, value)| value)
                .ok_or(format!("no {key}=... among the arguments"))
        };
        let address = |key: &str| {
            let text = find(key)?.trim_start_matches("0x");
            u64::from_str_radix(text, 16).map_err(|error| format!("{key}: {error}"))
        };
        let start: Option<c_uint> = match find("start") {
            Ok(text) => Some(text.parse().map_err(|error| format!("start: {error}"))?),
            Err(_) => None,
        };
        Ok(Self {
            engine: address("low")?..address("high")?,
            calls: address("calls")?,
            x0: AtomicPtr::default(),
            sp: AtomicPtr::default(),
            depths: find("stack").ok().map(|_| Depths::default()),
            out: find("out")?.to_owned(),
            // SAFETY: called once, while the plugin is installed.
            score: unsafe { qemu::qemu_plugin_scoreboard_new(size_of::<Counts>()) },
            windows: Mutex::new(Vec::new()),
            visits: Visits::default(),
            trace: find("trace").ok().map(str::to_owned),
            each: find("each").is_ok(),
            traced: Mutex::new(start.iter().map(|_| Vec::new()).collect()),
            tracing: AtomicBool::new(start.is_some()),
            start,
        })
    }

    const fn field(&self, index: usize) -> Field {
        Field {
            score: self.score,
            offset: index * size_of::<u64>(),
        }
    }

    fn counts(&self, core: c_uint) -> Counts {
        std::array::from_fn(|index| {
            // SAFETY: the scoreboard has a record for each core that exists, with these fields.
            unsafe { qemu::qemu_plugin_u64_get(self.field(index), core) }
        })
    }

    /// A core passes a mark.
    fn mark(&self, core: c_uint, begins: bool) {
        if core == 0 && self.trace.is_some() && self.start.is_none() {
            if let (true, Ok(mut traced)) = (begins, self.traced.lock()) {
                traced.push(Vec::new());
            }
            // Relaxed: read by the same core, which alone is traced.
            self.tracing.store(begins, Ordering::Relaxed);
        }
        let now = self.counts(core);
        // A poisoned lock would mean that a thread of QEMU's panicked, which aborts.
        let Ok(mut windows) = self.windows.lock() else {
            return;
        };
        let index = core as usize;
        if windows.len() <= index {
            windows.resize(index + 1, Windows::default());
        }
        let own = &mut windows[index];
        if begins {
            own.begun = Some(now);
        } else if let Some(begun) = own.begun.take().or(self.each.then(Counts::default)) {
            own.done
                .push(std::array::from_fn(|field| now[field] - begun[field]));
        }
    }

    /// The traced core executes an instruction of the engine's, so far from its start.
    fn step(&self, distance: u64) {
        // Relaxed: as in `mark`.
        if self.tracing.load(Ordering::Relaxed)
            && let Ok(mut traced) = self.traced.lock()
            && let Some(window) = traced.last_mut()
        {
            window.push(distance);
        }
    }

    /// The traced windows, a line each.
    fn traced_text(&self) -> String {
        let Ok(traced) = self.traced.lock() else {
            return String::new();
        };
        let mut text = String::new();
        for window in traced.iter() {
            for distance in window {
                // Writing to a string does not fail.
                let _ = write!(text, "{distance:x} ");
            }
            text.push('\n');
        }
        text
    }

    /// The result as JSON: each core's totals and windows.
    fn result(&self) -> String {
        // SAFETY: no arguments.
        let cores = unsafe { qemu::qemu_plugin_num_vcpus() };
        let mut all = self.windows.lock().map_or(Vec::new(), |all| all.clone());
        all.resize(usize::try_from(cores).unwrap_or(0), Windows::default());
        let mut text = String::from("{\"cores\":[");
        for (core, own) in (0..).zip(&all) {
            let comma = if core == 0 { "" } else { "," };
            let windows: Vec<String> = own.done.iter().map(object).collect();
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "{comma}\n{{\"total\":{},\"visits\":{},\"depth\":{},\"windows\":[{}]}}",
                object(&self.counts(core)),
                self.visits.object(core),
                self.depths
                    .as_ref()
                    .map_or("null".into(), |depths| depths.object(core)),
                windows.join(",")
            );
        }
        text + "\n]}\n"
    }
}

fn object(counts: &Counts) -> String {
    let pairs = FIELDS.iter().zip(counts);
    let pairs: Vec<String> = pairs
        .map(|(name, count)| format!("\"{name}\":{count}"))
        .collect();
    format!("{{{}}}", pairs.join(","))
}

/// Called by QEMU when it loads the plugin; 0 if all is well.
///
/// # Safety
/// QEMU calls it, with `count` strings in `arguments`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const c_void,
    count: c_int,
    arguments: qemu::Arguments,
) -> c_int {
    let arguments: Vec<&str> = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: by QEMU's word there are so many strings, each with its 0.
        .map(|index| unsafe { CStr::from_ptr(*arguments.add(index)) })
        .filter_map(|argument| argument.to_str().ok())
        .collect();
    match State::parse(&arguments) {
        Ok(state) => {
            if STATE.set(state).is_err() {
                eprintln!("bulkhead-plugin: loaded twice");
                return 1;
            }
            // SAFETY: both functions keep to what QEMU demands of callbacks.
            unsafe {
                qemu::qemu_plugin_register_vcpu_init_cb(id, find_registers);
                qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, instrument);
                qemu::qemu_plugin_register_atexit_cb(id, write_result, ptr::null_mut());
            }
            0
        }
        Err(error) => {
            eprintln!("bulkhead-plugin: {error}");
            1
        }
    }
}

/// A block has been translated: it shall be counted when it is executed.
extern "C" fn instrument(_: Id, block: *mut Block) {
    let Some(state) = STATE.get() else { return };
    // SAFETY: the block is QEMU's, for the time of this call.
    let (count, address) = unsafe {
        (
            qemu::qemu_plugin_tb_n_insns(block),
            qemu::qemu_plugin_tb_vaddr(block),
        )
    };
    let is_engine = state.engine.contains(&address);
    let whose = match address >> 63 {
        _ if is_engine => ENGINE,
        0 => LOW,
        _ => HIGH,
    };
    if !state.each {
        // SAFETY: as above; the field is one of the scoreboard's.
        unsafe {
            qemu::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
                block,
                qemu::ADD,
                state.field(whose),
                count as u64,
            );
        }
    }
    for index in 0..count {
        // SAFETY: as above; `index` is below the number of instructions.
        let instruction = unsafe { qemu::qemu_plugin_tb_get_insn(block, index) };
        if state.each {
            count_one(state, instruction, whose);
        }
        if is_engine && state.trace.is_some() {
            // SAFETY: as above.
            let address = unsafe { qemu::qemu_plugin_insn_vaddr(instruction) };
            follow(instruction, address - state.engine.start);
        }
        if is_engine && state.depths.is_some() {
            // SAFETY: as above.
            let address = unsafe { qemu::qemu_plugin_insn_vaddr(instruction) };
            watch_sp(instruction, address - state.engine.start);
        }
        match (code_of(instruction), is_engine) {
            (BEGIN, false) => watch(instruction, true),
            (END, false) => watch(instruction, false),
            (code, false) if code & HVC_MASK == HVC => watch_call(instruction),
            (ERET, true) => watch_return(instruction),
            (code, true) if is_broadcast(code) => {
                count_one(state, instruction, BROADCASTS);
                if code == VMALLS12E1IS {
                    count_one(state, instruction, WHOLE_VM);
                }
            }
            _ => {}
        }
    }
}

/// Is it a TLBI that goes to all cores? Those have CRm 0 to 3 (C5.5).
fn is_broadcast(code: u32) -> bool {
    code & TLBI_MASK == TLBI && code >> 8 & 0xf < 4
}

fn code_of(instruction: *const Instruction) -> u32 {
    let mut code = [0; 4];
    // SAFETY: at most four bytes are written; the instruction is QEMU's, for the time of the callback.
    unsafe { qemu::qemu_plugin_insn_data(instruction, code.as_mut_ptr().cast(), code.len()) };
    u32::from_le_bytes(code)
}

fn count_one(state: &State, instruction: *mut Instruction, field: usize) {
    // SAFETY: as in `instrument`.
    unsafe {
        qemu::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
            instruction,
            qemu::ADD,
            state.field(field),
            1,
        );
    }
}

fn watch(instruction: *mut Instruction, begins: bool) {
    // SAFETY: as in `instrument`; the data is a number, no address.
    unsafe {
        qemu::qemu_plugin_register_vcpu_insn_exec_cb(
            instruction,
            pass_mark,
            qemu::NO_REGISTERS,
            ptr::without_provenance_mut(usize::from(begins)),
        );
    }
}

/// Has SP read in front of an instruction that lowers it: by how much, and the instruction's distance from the
/// engine's start, are in one number.
fn watch_sp(instruction: *mut Instruction, distance: u64) {
    let Effect::Lowers(bytes @ 1..) = sp::effect(code_of(instruction)) else {
        return;
    };
    let (Ok(bytes), Ok(distance)) = (usize::try_from(bytes), usize::try_from(distance)) else {
        return;
    };
    // SAFETY: as in `instrument`; the data is a number, no address.
    unsafe {
        qemu::qemu_plugin_register_vcpu_insn_exec_cb(
            instruction,
            note_depth,
            qemu::READS_REGISTERS,
            ptr::without_provenance_mut(bytes << DISTANCE_BITS | distance),
        );
    }
}

fn watch_return(instruction: *mut Instruction) {
    // SAFETY: as in `instrument`.
    unsafe {
        qemu::qemu_plugin_register_vcpu_insn_exec_cb(
            instruction,
            end_visit,
            qemu::NO_REGISTERS,
            ptr::null_mut(),
        );
    }
}

fn watch_call(instruction: *mut Instruction) {
    // SAFETY: as in `instrument`.
    unsafe {
        qemu::qemu_plugin_register_vcpu_insn_exec_cb(
            instruction,
            begin_call,
            qemu::READS_REGISTERS,
            ptr::null_mut(),
        );
    }
}

/// A core is there: its registers have names.
extern "C" fn find_registers(_: Id, _: c_uint) {
    let Some(state) = STATE.get() else { return };
    // SAFETY: QEMU's array of so many; the names are strings that stay; the array is ours to free.
    unsafe {
        let all = qemu::qemu_plugin_get_registers();
        for index in 0..(*all).len as usize {
            let described = &*(*all).data.add(index);
            let name = CStr::from_ptr(described.name);
            for (wanted, place) in [(c"x0", &state.x0), (c"sp", &state.sp)] {
                if name == wanted {
                    // Relaxed: it is a number, and every core stores the same.
                    place.store(described.register, Ordering::Relaxed);
                }
            }
        }
        qemu::g_array_free(all, 1);
    }
}

/// A register's value.
///
/// # Safety
/// Called by a callback that may read registers.
unsafe fn read(register: &AtomicPtr<Register>) -> Option<u64> {
    // Relaxed: as in `find_registers`, which came before on this core.
    let register = register.load(Ordering::Relaxed);
    // SAFETY: by the caller's word; QEMU fills the array, which is ours.
    unsafe {
        let bytes = qemu::g_byte_array_new();
        qemu::qemu_plugin_read_register(register, bytes);
        let read = std::slice::from_raw_parts((*bytes).data, (*bytes).len as usize);
        let value = read.first_chunk().map(|read| u64::from_le_bytes(*read));
        qemu::g_byte_array_free(bytes, 1);
        value
    }
}

extern "C" fn begin_call(core: c_uint, _: *mut c_void) {
    let Some(state) = STATE.get() else { return };
    // SAFETY: registered so.
    let value = unsafe { read(&state.x0) };
    let number = value.map_or(u64::MAX, |x0| (x0 & 0xffff_ffff).wrapping_sub(state.calls));
    state.visits.call(core, number);
}

extern "C" fn note_depth(core: c_uint, data: *mut c_void) {
    let Some(state) = STATE.get() else { return };
    // SAFETY: registered so.
    let sp = unsafe { read(&state.sp) };
    if let (Some(sp), Some(depths)) = (sp, &state.depths) {
        let data = data.addr() as u64;
        let distance = data & ((1 << DISTANCE_BITS) - 1);
        depths.note(core, sp.wrapping_sub(data >> DISTANCE_BITS), distance);
    }
}

extern "C" fn end_visit(core: c_uint, _: *mut c_void) {
    if let Some(state) = STATE.get() {
        state.visits.end(core, state.counts(core)[ENGINE]);
        if state.start == Some(core) {
            // Relaxed: as in `mark`.
            state.tracing.store(false, Ordering::Relaxed);
        }
    }
}

fn follow(instruction: *mut Instruction, distance: u64) {
    let Ok(distance) = usize::try_from(distance) else {
        return;
    };
    // SAFETY: as in `instrument`; the data is a number, no address.
    unsafe {
        qemu::qemu_plugin_register_vcpu_insn_exec_cb(
            instruction,
            take_step,
            qemu::NO_REGISTERS,
            ptr::without_provenance_mut(distance),
        );
    }
}

extern "C" fn take_step(core: c_uint, distance: *mut c_void) {
    if let Some(state) = STATE.get()
        && core == state.start.unwrap_or(0)
    {
        state.step(distance.addr() as u64);
    }
}

extern "C" fn pass_mark(core: c_uint, begins: *mut c_void) {
    if let Some(state) = STATE.get() {
        state.mark(core, !begins.is_null());
    }
}

extern "C" fn write_result(_: Id, _: *mut c_void) {
    let Some(state) = STATE.get() else { return };
    let trace = state.trace.as_ref().map(|file| (file, state.traced_text()));
    for (file, text) in trace.into_iter().chain([(&state.out, state.result())]) {
        if let Err(error) = std::fs::write(file, text) {
            eprintln!("bulkhead-plugin: {file}: {error}");
        }
    }
}
