//! The main job: boot the engine, the reference host and Linux guests in QEMU, and judge the run.

pub mod autopsy;
pub mod console;
pub mod debugger;
pub mod events;
pub mod fate;
pub mod late;
pub mod machine;
pub mod options;
pub mod plan;
pub mod size;
pub mod summary;
pub mod supervise;
pub mod table;
pub mod terminal;
pub mod verdict;

mod job;

pub use job::run;
