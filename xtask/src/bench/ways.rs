//! The operations done in other ways: the first time, at places drawn at random, of two VMs in turn.
//!
//! An operation `X_cold` that `xtask/peers.toml` holds to so many times what `X` takes is `X`, done `cold`.

use crate::bench::figure::{Figure, in_short};
use crate::bench::peers::beside::Peers;

/// The ways, as an operation's name ends.
const WAYS: [&str; 3] = ["cold", "random", "alternating"];

/// The operation that this one is in another way, and the most that it should take beside it.
fn base<'a>(op: &str, peers: &'a Peers) -> Option<(&'a str, f64)> {
    let (times, base) = peers.get(op)?.times.as_ref()?;
    let way = op.strip_prefix(base.as_str())?.strip_prefix('_')?;
    WAYS.contains(&way).then_some((base.as_str(), *times))
}

/// Whether the operation is another one of `figures` in another way.
pub fn is_one(op: &str, figures: &[Figure], peers: &Peers) -> bool {
    let usual = base(op, peers).map(|(usual, _)| usual);
    usual.is_some_and(|usual| figures.iter().any(|figure| figure.op == usual))
}

/// A Markdown table of the medians in each way beside the usual one; empty if there are none.
pub fn render(figures: &[Figure], peers: &Peers) -> String {
    let median = |op: &str| {
        let mut all = figures.iter();
        all.find(|figure| figure.op == op)
            .map(|figure| figure.median)
    };
    let mut rows = String::new();
    for Figure {
        op, median: usual, ..
    } in figures
    {
        let cell = |way: &&str| {
            let name = format!("{op}_{way}");
            let (base, times) = base(&name, peers)?;
            let taken = median(&name).filter(|_| base == op)?;
            let missed = if taken > times * usual {
                " (missed)"
            } else {
                ""
            };
            Some(in_short(taken) + missed)
        };
        let cells: Vec<Option<String>> = WAYS.iter().map(cell).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let cells: Vec<String> = cells
            .into_iter()
            .map(|cell| cell.unwrap_or_else(|| "–".to_owned()))
            .collect();
        let most = base(&format!("{op}_{}", WAYS[0]), peers)
            .or_else(|| base(&format!("{op}_{}", WAYS[2]), peers))
            .map_or("–".to_owned(), |(_, times)| in_short(times * usual));
        let usual = in_short(*usual);
        rows += &format!("| `{op}` | {usual} | {} | {most} |\n", cells.join(" | "));
    }
    if rows.is_empty() {
        return rows;
    }
    format!(
        "| operation | usual | {} | at most |\n| --- | ---: | ---: | ---: | ---: | ---: |\n{rows}",
        WAYS.join(" | ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::beside::Beside;

    fn figure(op: &str, median: f64) -> Figure {
        Figure::single(op, "instructions", median)
    }

    fn peers() -> Peers {
        let three = |op: &str| Beside {
            times: Some((3.0, op.into())),
            ..Beside::default()
        };
        Peers::from([
            ("a_cold".into(), three("a")),
            ("a_alternating".into(), three("a")),
            ("b_cold".into(), three("a")),
        ])
    }

    #[test]
    fn each_way_has_its_column_and_what_takes_too_much_is_missed() {
        let figures = [
            figure("a", 100.0),
            figure("a_cold", 301.0),
            figure("a_alternating", 300.0),
        ];
        let text = render(&figures, &peers());
        let row = "| `a` | 100 | 301 (missed) | – | 300 | 300 |";
        assert_eq!(text.lines().skip(2).collect::<Vec<_>>(), [row]);
        assert_eq!(render(&figures[..1], &peers()), "");
    }

    #[test]
    fn a_way_belongs_to_the_operation_of_its_name() {
        let both = [figure("a", 1.0), figure("a_cold", 1.0)];
        assert!(is_one("a_cold", &both, &peers()));
        assert!(
            !is_one("a_cold", &both[1..], &peers()),
            "nothing is beside it"
        );
        assert!(!is_one("b_cold", &both, &peers()));
        assert!(!is_one("a", &both, &peers()));
        assert_eq!(
            render(&[figure("b", 1.0), figure("b_cold", 9.0)], &peers()),
            ""
        );
    }
}
