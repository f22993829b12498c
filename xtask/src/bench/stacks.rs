//! A trace of instructions, folded: which function called which, and how many instructions each executed itself.
//!
//! Invariant: every instruction of the trace is counted once, under the functions that it was inlined through and
//! the calls that led there.

use std::collections::BTreeMap;

use crate::litmus::Flow;

/// What is to be known of an address.
pub struct Site {
    /// The functions that it was inlined through, the outermost first.
    pub functions: Vec<String>,
    /// Where control goes from there.
    pub flow: Flow,
}

/// Instructions by stack, the outermost function first.
pub type Stacks = BTreeMap<Vec<String>, u64>;

/// Folds `trace`. A call pushes the place that it was made at, a return takes it away again; a jump to another
/// function takes the place of the one that jumps.
pub fn fold(trace: &[u64], site: impl Fn(u64) -> Site) -> Stacks {
    let (mut stacks, mut callers) = (Stacks::new(), Vec::<Vec<String>>::new());
    let mut sites = BTreeMap::new();
    for &address in trace {
        let Site { functions, flow } = sites.entry(address).or_insert_with(|| site(address));
        let stack: Vec<String> = callers
            .iter()
            .flatten()
            .chain(&*functions)
            .cloned()
            .collect();
        *stacks.entry(stack).or_default() += 1;
        match flow {
            Flow::Call(_) | Flow::CallRegister => callers.push(functions.clone()),
            Flow::Return => drop(callers.pop()),
            _ => {}
        }
    }
    stacks
}

/// Instructions by function, each by itself, the most first.
pub fn by_function(stacks: &Stacks) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (stack, count) in stacks {
        *sums
            .entry(stack.last().map_or("?", String::as_str))
            .or_default() += count;
    }
    let mut sums: Vec<(String, u64)> = sums
        .into_iter()
        .map(|(name, n)| (name.to_owned(), n))
        .collect();
    sums.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a` calls `b`, which has `c` inlined and goes on in `d`, which returns to `a`.
    fn site(address: u64) -> Site {
        let (functions, flow): (&[&str], _) = match address {
            0 => (&["a"], Flow::Call(8)),
            4 => (&["a"], Flow::Stop),
            8 => (&["b", "c"], Flow::Next),
            12 => (&["b"], Flow::Jump(16)),
            _ => (&["d"], Flow::Return),
        };
        let functions = functions.iter().map(|name| (*name).to_owned()).collect();
        Site { functions, flow }
    }

    #[test]
    fn calls_inlining_and_jumps_are_told_apart() {
        let stacks = fold(&[0, 8, 12, 16, 4], site);
        let lines: Vec<String> = stacks
            .iter()
            .map(|(stack, n)| format!("{} {n}", stack.join(";")))
            .collect();
        assert_eq!(lines, ["a 2", "a;b 1", "a;b;c 1", "a;d 1"]);
        assert_eq!(by_function(&stacks)[0], ("a".to_owned(), 2));
    }
}
