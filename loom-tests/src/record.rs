//! What a search leaves in the folder that `BULKHEAD_LOOM_RUN` names, so that `cargo xtask loom` can
//! watch it, go on with it, and have one of its executions told.
//!
//! | file | what |
//! | --- | --- |
//! | `executions` | how many began, written every second; it is there as soon as the search is |
//! | `path` | loom's path of an execution: where a search of the same model goes on |
//! | `path-of` | the number of that execution |
//! | `failed` | the number of the execution that panicked |
//! | `story` | what happened in the execution with the number `BULKHEAD_LOOM_TELL`, which ends it |
//!
//! Invariants: the folder is one test's. Of a test that searches more than once the first search alone
//! has a record, and no failure of it is told. A path is written before its number: a search that was
//! killed in between goes on with executions that the number leaves out.

use crate::story;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{env, panic, thread};

/// Executions between two paths: seconds of a search.
const INTERVAL: usize = 20_000;
/// How often the number of executions is written.
const PERIOD: Duration = Duration::from_secs(1);
/// Searches of this process. Relaxed everywhere: a number, which publishes nothing.
static SEARCHES: AtomicUsize = AtomicUsize::new(0);

/// The folder, and where its search stands.
pub struct Record {
    dir: PathBuf,
    /// Executions of the searches that this one goes on with.
    before: usize,
    /// Executions between two paths.
    interval: usize,
    /// The execution that is told.
    told: Option<usize>,
}

impl Record {
    /// The record that the environment asks for.
    pub fn open() -> Option<Self> {
        let dir = PathBuf::from(env::var_os("BULKHEAD_LOOM_RUN")?);
        if SEARCHES.fetch_add(1, Relaxed) != 0 {
            return None;
        }
        let told = env::var("BULKHEAD_LOOM_TELL").ok();
        let told = told.map(|number| number.parse::<usize>().expect("an execution's number"));
        let before = match fs::read_to_string(dir.join("path-of")) {
            Ok(number) => number.parse::<usize>().expect("a path's number") - 1,
            Err(_) => 0,
        };
        let interval = match told {
            // Its path and no other.
            Some(told) => told.checked_sub(before).expect("one after the path's"),
            None => INTERVAL,
        };
        Some(Self {
            dir,
            before,
            interval,
            told,
        })
    }

    /// How many executions came before this process.
    pub fn before(&self) -> usize {
        self.before
    }

    /// Has the search that `builder` begins kept here; `executions` counts.
    pub fn keep(
        self: &Arc<Self>,
        builder: &mut loom::model::Builder,
        executions: &Arc<AtomicUsize>,
    ) {
        builder.checkpoint_file = Some(self.dir.join("path"));
        builder.checkpoint_interval = self.interval;
        self.write("executions", self.before);
        let (record, counted) = (self.clone(), Arc::downgrade(executions));
        thread::spawn(move || record.watch(&counted));
        let (record, counted) = (self.clone(), executions.clone());
        let is_first = AtomicBool::new(true);
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Relaxed, both: the search has one thread. What follows the first panic is its unwinding.
            if is_first.swap(false, Relaxed) && SEARCHES.load(Relaxed) == 1 {
                match record.told {
                    Some(_) => story::end(info),
                    None => record.write("failed", counted.load(Relaxed)),
                }
            }
            usual(info);
        }));
    }

    fn watch(&self, executions: &Weak<AtomicUsize>) {
        while let Some(executions) = executions.upgrade() {
            // Relaxed: a number.
            self.write("executions", executions.load(Relaxed));
            drop(executions);
            thread::sleep(PERIOD);
        }
    }

    /// The execution with this number begins.
    pub fn begin(&self, number: usize) {
        if (number - self.before).is_multiple_of(self.interval) {
            // Loom has just written its path.
            self.write("path-of", number);
        }
        match self.told {
            Some(told) if number == told => story::begin(&self.dir.join("story")),
            Some(told) => assert!(number < told, "execution {told} passed when it was told"),
            None => {}
        }
    }

    fn write(&self, name: &str, number: usize) {
        let file = self.dir.join(name);
        fs::write(&file, number.to_string())
            .unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
    }
}
