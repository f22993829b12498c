//! What was reached: each call by what it came to, each exit, each act of a guest.
//!
//! Invariant: a comparison that never met a case says nothing of it; so what was never met is told.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use abi::{Call, ExitReason, Status};
use engine::sim::told::Tried;

/// Calls that are BUSY only while another core is in the middle of one.
const NEEDS_TWO: [Call; 8] = [
    Call::EngineDonate,
    Call::VmMap,
    Call::VmLend,
    Call::VmUnlend,
    Call::VmStart,
    Call::VmReclaim,
    Call::VcpuCreate,
    Call::PagePoison,
];

/// How often what was met.
#[derive(Default)]
pub struct Tally(Mutex<BTreeMap<(String, String), u64>>);

impl Tally {
    fn add(&self, what: String, came: String) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *map.entry((what, came)).or_default() += 1;
    }

    /// A call of the host's came to this.
    pub fn call(&self, call: Option<Call>, x: &[u64; 18]) {
        let name = call.map_or("no call", Call::name);
        let came = match Status::from_raw(x[0] as i64) {
            Some(Status::Success) if call == Some(Call::CpuRun) => {
                let reason = ExitReason::from_raw(x[1]);
                reason.map_or("?".to_owned(), |reason| format!("{reason:?}"))
            }
            Some(Status::Success) if is_batch(call) && x[2] != 0 => {
                match Status::from_raw(x[2] as i64) {
                    Some(reason) => format!("some,{reason:?}"),
                    None => "other".to_owned(),
                }
            }
            Some(status) => format!("{status:?}"),
            None => "other".to_owned(),
        };
        self.add(name.to_owned(), came);
    }

    /// A guest did this.
    pub fn guest(&self, tried: Tried) {
        let name = match tried {
            Tried::Load(_) => "load".to_owned(),
            Tried::LoadPair(_) => "load of a pair".to_owned(),
            Tried::Store(..) => "store".to_owned(),
            Tried::LoadPart(..) => "load of a part".to_owned(),
            Tried::StorePart(..) => "store of a part".to_owned(),
            Tried::Fetch(_) => "fetch".to_owned(),
            Tried::Call(x) => format!("call {:#x}", x[0]),
            Tried::SendSgi(_) => "SGI".to_owned(),
            Tried::Wfi => "WFI".to_owned(),
            Tried::SError => "SError".to_owned(),
            Tried::Other => "other".to_owned(),
        };
        self.add("guest".to_owned(), name);
    }

    /// The host did this, and it came to that.
    pub fn host(&self, what: &str, came: &str) {
        self.add(what.to_owned(), came.to_owned());
    }

    /// All of it, a line each.
    pub fn lines(&self) -> Vec<String> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines: Vec<String> = Vec::new();
        let mut last = "";
        for ((what, came), count) in &*map {
            if what != last {
                lines.push(format!("{what}:"));
                last = what;
            }
            if let Some(line) = lines.last_mut() {
                *line += &format!(" {came} {count}");
            }
        }
        lines
    }

    /// Calls that never succeeded.
    pub fn unmet(&self) -> Vec<String> {
        let calls = Call::ALL.iter().filter(|call| **call != Call::CpuRun);
        let all = calls.map(|call| (*call, Status::Success));
        self.never(all)
    }

    /// Documented refusals that never came, but for those of [`NEEDS_TWO`]: is the interface right?
    pub fn unmet_refusals(&self) -> Vec<String> {
        let needs_two = |call, status| status == Status::Busy && NEEDS_TWO.contains(&call);
        let of = |call: &Call| {
            let call = *call;
            call.errors().iter().map(move |status| (call, *status))
        };
        let all = Call::ALL.iter().flat_map(of);
        self.never(all.filter(|(call, status)| !needs_two(*call, *status)))
    }

    fn never(&self, all: impl Iterator<Item = (Call, Status)>) -> Vec<String> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let met = |call: Call, came: String| map.contains_key(&(call.name().to_owned(), came));
        // A batch says in x2 why it stopped.
        let never = |(call, status): &(Call, Status)| {
            !met(*call, format!("{status:?}")) && !met(*call, format!("some,{status:?}"))
        };
        let unmet = all.filter(never);
        unmet
            .map(|(call, status)| format!("{} {status:?}", call.name()))
            .collect()
    }
}

/// Does the call say in x2 why it stopped?
pub fn is_batch(call: Option<Call>) -> bool {
    matches!(
        call,
        Some(Call::EngineDonate | Call::VmMap | Call::VmMapList | Call::VmLend | Call::VmUnlend)
    )
}

#[cfg(test)]
mod tests {
    use super::Tally;
    use abi::Call;

    fn came(call: Call, status: i64) -> Tally {
        let (tally, mut x) = (Tally::default(), [0; 18]);
        x[0] = status as u64;
        tally.call(Some(call), &x);
        tally
    }

    #[test]
    fn what_never_came_is_told() {
        let tally = came(Call::PagePoison, -3);
        assert!(tally.unmet().contains(&"PAGE_POISON Success".to_owned()));
        let refusals = tally.unmet_refusals();
        assert!(refusals.contains(&"PAGE_POISON NoMemory".to_owned()));
        assert!(!refusals.contains(&"PAGE_POISON Busy".to_owned()));
        let tally = came(Call::PagePoison, -9);
        let refusals = tally.unmet_refusals();
        assert!(!refusals.contains(&"PAGE_POISON NoMemory".to_owned()));
    }
}
