//! What a search records: a failed execution is told, and told again from its path; a search that was
//! interrupted goes on. Each search is a process, this program again.

#![cfg(loom)]

use loom_tests::{Arc, explore, spawn};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, id};
use sync::{AtomicU64, Ordering};

/// One thread writes data and then a flag; whoever sees the flag must see the data.
fn publish(order: Ordering) {
    explore(2, move || {
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let other = words.clone();
        let writer = spawn(move || {
            other[0].store(7, Ordering::Relaxed);
            other[1].store(1, order);
        });
        if words[1].load(Ordering::Acquire) == 1 {
            assert_eq!(words[0].load(Ordering::Relaxed), 7, "the data came late");
        }
        writer.join().unwrap();
    });
}

/// The model that is gone on with.
#[test]
fn what_was_published_is_seen() {
    publish(Ordering::Release);
}

/// The model that is told.
#[test]
#[should_panic(expected = "the data came late")]
fn what_was_not_published_may_be_missed() {
    publish(Ordering::Relaxed);
}

/// A folder for one search's record.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("bulkhead-telling-{name}-{}", id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// The search of `test`, told from this execution on.
    fn search(&self, test: &str, told: Option<usize>) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", test, "--show-output"])
            .env_remove("BULKHEAD_LOOM_TELL")
            .env("BULKHEAD_LOOM_RUN", &self.0);
        if let Some(execution) = told {
            command.env("BULKHEAD_LOOM_TELL", execution.to_string());
        }
        command.output().unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    /// Takes over loom's path of an execution, as that of this number.
    fn go_on_with(&self, other: &Path, number: usize) {
        fs::copy(other.join("path"), self.0.join("path")).unwrap();
        fs::write(self.0.join("path-of"), number.to_string()).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If it stays it is in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_failure_is_told_and_told_again() {
    const MODEL: &str = "what_was_not_published_may_be_missed";
    let first = Folder::new("first");
    assert!(first.search(MODEL, None).status.success());
    let execution: usize = first.read("failed").parse().unwrap();
    first.search(MODEL, Some(execution));
    let story = first.read("story");
    let mut rest = story.as_str();
    for step in [
        "thread 1 |   store w1: 0x7 (Relaxed)  loom-tests/tests/telling.rs:",
        "thread 1 |   store w2: 0x1 (Relaxed)  loom-tests/tests/telling.rs:",
        "thread 0 |   load w2: 0x1 (Acquire)  loom-tests/tests/telling.rs:",
        "thread 0 |   load w1: 0x0, though it is 0x7 (Relaxed)  loom-tests/tests/telling.rs:",
        "the data came late",
    ] {
        let at = rest.find(step);
        let at = at.unwrap_or_else(|| panic!("no {step:?} there in\n{story}"));
        rest = &rest[at..];
    }

    let second = Folder::new("second");
    second.go_on_with(&first.0, 1);
    second.search(MODEL, Some(1));
    assert_eq!(second.read("story"), story);
}

#[test]
fn a_search_goes_on_where_it_was() {
    const MODEL: &str = "what_was_published_is_seen";
    let completed = |output: &Output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = said
            .lines()
            .find(|line| line.starts_with("completed after "));
        line.unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    let whole = Folder::new("whole");
    let all = completed(&whole.search(MODEL, None));
    // An execution that does not fail ends a told search, and leaves its path.
    let half = Folder::new("half");
    let told = half.search(MODEL, Some(3));
    assert!(!told.status.success());
    assert!(
        half.read("story").contains("execution 3 passed"),
        "{}",
        half.read("story")
    );
    let rest = Folder::new("rest");
    rest.go_on_with(&half.0, 3);
    assert_eq!(completed(&rest.search(MODEL, None)), all);
}
