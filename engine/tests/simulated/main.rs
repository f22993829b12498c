//! The engine on the simulated machine: what every call promises, with everything checked after
//! each.

mod alone;
mod arguments;
mod broken;
mod census;
mod churn;
mod common;
mod crowd;
mod donations;
mod engine_pages;
mod flushes;
mod granules;
mod guest_calls;
mod guests;
mod host;
mod leftovers;
mod lifecycle;
mod memory;
mod near;
mod random;
mod ready;
mod reclaiming;
mod reserve;
mod scenarios;
mod vcpus;
