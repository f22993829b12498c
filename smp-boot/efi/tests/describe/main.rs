//! From a firmware's tables to what the engine reads.

mod acpi;
mod damaged;
mod firmware_tree;
mod tables;
