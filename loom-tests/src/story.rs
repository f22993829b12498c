//! One execution of a model, told step by step in the order in which it happened: which core did
//! what.
//!
//! Invariants: nothing is told unless a record asks for it (`record.rs`), and then of one execution.
//! Telling takes no step of the model's, so the told execution is the one that was asked for; a line
//! is written at once, so that it is there even if the process dies. What happens while nobody acts
//! beside the first core is told only as far as it is calls.

use loom::thread::{ThreadId, current};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use sync::observe::{self, Access};

/// The machine's own atomics: its hardware tells what they are for.
const MACHINE: &str = "loom-tests/src/platform.rs";

/// Something is told now. Relaxed everywhere: loom's threads all run on one.
static IS_TOLD: AtomicBool = AtomicBool::new(false);
/// Somebody acts beside the first core.
static ARE_SEVERAL: AtomicBool = AtomicBool::new(false);
static STORY: Mutex<Option<Story>> = Mutex::new(None);

/// The execution that begins is told, into `file`.
pub fn begin(file: &Path) {
    let story = Story::new(File::create(file).expect("the story's file"));
    set(Some(story));
    ARE_SEVERAL.store(false, Relaxed);
    IS_TOLD.store(true, Relaxed);
    observe::tell(|access| {
        if is_detailed() && !access.at.file().ends_with(MACHINE) {
            with(|story| {
                let text = story.words.tell(access);
                story.line(current().id(), &format!("  {text}"));
            });
        }
    });
}

/// It ends with a panic. What unwinding does is not told.
pub fn end(info: &PanicHookInfo<'_>) {
    if IS_TOLD.swap(false, Relaxed) {
        // Not by the thread's name: it may be loom that panics, in the middle of something.
        with(|story| story.panic(&info.to_string()));
        set(None);
    }
}

/// From now on another thread acts beside those that do.
pub fn another() {
    ARE_SEVERAL.store(true, Relaxed);
}

/// The calling thread is this core.
pub fn plays(core: u16) {
    if IS_TOLD.load(Relaxed) {
        let thread = current().id();
        with(|story| story.cores.push((thread, core)));
    }
}

/// Several items one behind the other are called so in what follows, with their number.
#[cfg(feature = "engine")]
pub fn name<T>(what: &'static str, items: &[T]) {
    if IS_TOLD.load(Relaxed) {
        let size = size_of::<T>();
        let first = items.as_ptr().addr();
        with(|story| {
            story
                .words
                .names
                .push((first..first + size_of_val(items), size, what))
        });
    }
}

/// Nobody acts any more: what follows only looks.
#[cfg(feature = "engine")]
pub fn only_looks() {
    ARE_SEVERAL.store(false, Relaxed);
}

/// Tells something that is told whenever it happens.
#[cfg(feature = "engine")]
pub fn call(text: impl FnOnce() -> String) {
    if IS_TOLD.load(Relaxed) {
        let text = text();
        with(|story| story.line(current().id(), &text));
    }
}

/// Tells a step, of which there are many.
#[cfg(feature = "engine")]
pub fn step(text: impl FnOnce() -> String) {
    if is_detailed() {
        call(|| format!("  {}", text()));
    }
}

/// Are steps told now?
pub fn is_detailed() -> bool {
    IS_TOLD.load(Relaxed) && ARE_SEVERAL.load(Relaxed)
}

fn with(tell: impl FnOnce(&mut Story)) {
    let mut story = STORY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(story) = story.as_mut() {
        tell(story);
    }
}

fn set(story: Option<Story>) {
    *STORY.lock().unwrap_or_else(PoisonError::into_inner) = story;
}

/// What is told, and what names need.
struct Story<W = File> {
    into: W,
    /// The cores that threads play.
    cores: Vec<(ThreadId, u16)>,
    words: Words,
}

impl<W: Write> Story<W> {
    fn new(into: W) -> Self {
        Self {
            into,
            cores: Vec::new(),
            words: Words::default(),
        }
    }

    fn line(&mut self, thread: ThreadId, text: &str) {
        let core = self.cores.iter().find(|(other, _)| *other == thread);
        let who = match core {
            Some((_, core)) => format!("core {core}"),
            None => thread_name(&format!("{thread:?}")),
        };
        self.write(&who, text);
    }

    fn panic(&mut self, said: &str) {
        for line in said.lines() {
            self.write("", line);
        }
    }

    fn write(&mut self, who: &str, text: &str) {
        writeln!(self.into, "{who:<8} | {text}").expect("the story's file");
    }
}

/// The name of a thread that is no core.
fn thread_name(id: &str) -> String {
    let number: String = id.chars().filter(char::is_ascii_digit).collect();
    format!("thread {number}")
}

/// The atomics that were told of, and what they are in.
#[derive(Default)]
struct Words {
    /// By address: the number, given as they come, and what is in it by now.
    known: BTreeMap<usize, (usize, Option<u64>)>,
    /// Addresses of items, the size of one, and what it is called.
    names: Vec<(Range<usize>, usize, &'static str)>,
}

impl Words {
    fn tell(&mut self, access: &Access) -> String {
        let Access { what, order, .. } = access;
        let place = format!("{}:{}", access.at.file(), access.at.line());
        if access.word == 0 {
            return format!("{what} ({order:?})  {place}");
        }
        let next = self.known.len() + 1;
        let (number, now) = self.known.entry(access.word).or_insert((next, None));
        let number = *number;
        let newest = now.or(access.read);
        let done = match (access.read, access.written) {
            (Some(read), Some(written)) => format!("{read:#x} becomes {written:#x}"),
            (Some(read), None) if *what != "load" => format!("refused, it is {read:#x}"),
            // What a weak order allows.
            (Some(read), None) if newest != Some(read) => {
                format!("{read:#x}, though it is {:#x}", newest.unwrap_or(read))
            }
            (read, written) => format!("{:#x}", written.or(read).unwrap_or(0)),
        };
        *now = access.written.or(newest);
        let inside = self.inside(access.word);
        format!("{what} w{number}{inside}: {done} ({order:?})  {place}")
    }

    /// What the word at this address is in.
    fn inside(&self, word: usize) -> String {
        let all = self.names.iter();
        let mut found = all.filter(|(range, ..)| range.contains(&word));
        found
            .next()
            .map_or_else(String::new, |(range, size, what)| {
                format!(" of {what} {}", (word - range.start) / size)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::panic::Location;
    use sync::Ordering;

    fn access(word: usize, what: &'static str, read: Option<u64>, written: Option<u64>) -> Access {
        Access {
            at: Location::caller(),
            word,
            what,
            read,
            written,
            order: Ordering::Acquire,
        }
    }

    fn told(words: &mut Words, access: &Access) -> String {
        let text = words.tell(access);
        let (text, place) = text.split_once("  ").unwrap();
        assert!(place.contains("story.rs:"), "{place}");
        text.to_owned()
    }

    #[test]
    fn words_are_numbered_as_they_come() {
        let mut words = Words::default();
        for (access, expected) in [
            (
                access(8, "store", None, Some(0x10)),
                "store w1: 0x10 (Acquire)",
            ),
            (access(16, "load", Some(0), None), "load w2: 0x0 (Acquire)"),
            (
                access(8, "load", Some(0x10), None),
                "load w1: 0x10 (Acquire)",
            ),
            (access(0, "fence", None, None), "fence (Acquire)"),
            (
                access(16, "fetch_add", Some(0), Some(1)),
                "fetch_add w2: 0x0 becomes 0x1 (Acquire)",
            ),
            (
                access(8, "compare_exchange", Some(0x10), None),
                "compare_exchange w1: refused, it is 0x10 (Acquire)",
            ),
        ] {
            assert_eq!(told(&mut words, &access), expected);
        }
    }

    #[test]
    fn a_load_of_an_old_value_says_so() {
        let mut words = Words::default();
        told(&mut words, &access(8, "store", None, Some(1)));
        for _ in 0..2 {
            let old = access(8, "load", Some(0), None);
            assert_eq!(
                told(&mut words, &old),
                "load w1: 0x0, though it is 0x1 (Acquire)"
            );
        }
    }

    #[test]
    fn words_are_called_by_what_they_are_in() {
        let mut words = Words::default();
        words.names.push((0x100..0x140, 0x20, "VM"));
        for (word, name) in [(0x118, "w1 of VM 0"), (0x120, "w2 of VM 1"), (0x140, "w3")] {
            let expected = format!("load {name}: 0x0 (Acquire)");
            assert_eq!(
                told(&mut words, &access(word, "load", Some(0), None)),
                expected
            );
        }
    }

    #[test]
    fn lines_say_who_acts_and_a_panic_comes_last() {
        let mut story = Story::new(Vec::new());
        story.write("core 0", "VmMap(+0x0)");
        story.write(&thread_name("ThreadId(2)"), "  load w1: 0x0");
        story.panic("panicked at x.rs:1:\nI5: lost");
        let told = String::from_utf8(story.into).unwrap();
        let expected = "core 0   | VmMap(+0x0)\n\
            thread 2 |   load w1: 0x0\n\
            \x20        | panicked at x.rs:1:\n\
            \x20        | I5: lost\n";
        assert_eq!(told, expected);
    }
}
