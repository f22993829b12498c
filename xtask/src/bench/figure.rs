//! `@bench` lines, and the figures made of them.

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::bench::peers::beside::Peers;

/// How a line begins.
const RECORD: &str = "@bench ";

/// What the image says of an operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    op: String,
    /// Things that each round did its work on.
    per: u64,
    rounds: Vec<u64>,
}

/// An operation's figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The operation.
    pub op: String,
    /// What is counted.
    pub unit: &'static str,
    /// Rounds.
    pub n: usize,
    /// The cheapest.
    pub min: f64,
    /// Half are not above it.
    pub median: f64,
    /// 99 of 100 are not above it.
    pub p99: f64,
    /// The least that it can take, if that is known.
    pub floor: Option<f64>,
    /// The nearest peer's median, if there is one.
    pub nearest_peer: Option<f64>,
}

impl Figure {
    fn of(told: Told) -> Result<Self> {
        let unit = if told.per == 1 {
            "instructions"
        } else {
            "instructions per page"
        };
        Self::counted(&told.op, unit, told.rounds, told.per)
    }

    /// The figure of rounds, each of which did its work on `per` things.
    pub fn counted(op: &str, unit: &'static str, mut rounds: Vec<u64>, per: u64) -> Result<Self> {
        ensure!(per > 0 && !rounds.is_empty(), "{op}: no rounds");
        rounds.sort_unstable();
        let n = rounds.len();
        // The smallest that so many of 100 are not above.
        let at = |percent: usize| {
            let index = (n * percent).div_ceil(100).max(1) - 1;
            rounds[index] as f64 / per as f64
        };
        Ok(Self {
            unit,
            n,
            min: rounds[0] as f64 / per as f64,
            median: at(50),
            p99: at(99),
            floor: None,
            nearest_peer: None,
            op: op.to_owned(),
        })
    }

    /// The figure of what happened once.
    pub fn single(op: &str, unit: &'static str, value: f64) -> Self {
        Self {
            op: op.to_owned(),
            unit,
            n: 1,
            min: value,
            median: value,
            p99: value,
            floor: None,
            nearest_peer: None,
        }
    }

    /// With what `peers` says of it.
    pub fn beside(self, peers: &Peers) -> Self {
        let known = peers.get(&self.op).cloned().unwrap_or_default();
        Self {
            floor: known.floor,
            nearest_peer: known.peer.map(|(_, median)| median),
            ..self
        }
    }
}

/// The figures among a console's records.
pub fn read(records: &[String]) -> Result<Vec<Figure>> {
    let lines = records.iter().filter_map(|line| line.strip_prefix(RECORD));
    lines
        .map(|line| {
            let told = serde_json::from_str(line).with_context(|| line.to_owned())?;
            Figure::of(told)
        })
        .collect()
}

/// A whole number, or two decimals of a small one.
pub fn in_short(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// A Markdown table of the figures beside the peers'.
pub fn render(figures: &[Figure], peers: &Peers) -> String {
    let mut text = String::from(
        "| operation | n | min | median | p99 | floor | at most | nearest peer | peer / ours |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |\n",
    );
    let number = |value: Option<f64>| value.map_or("–".to_owned(), in_short);
    for figure in figures {
        let Figure {
            op,
            unit,
            n,
            min,
            median,
            p99,
            floor,
            ..
        } = figure;
        let known = peers.get(op).cloned().unwrap_or_default();
        let most = match known.most_beside(figures) {
            Some(most) if *median > most => format!("{} (missed)", in_short(most)),
            most => number(most),
        };
        let (peer, ratio) = known.peer.map_or(("–".into(), "–".into()), |(name, peer)| {
            (
                format!("{name}: {peer:.0}"),
                format!("{:.2}", peer / median),
            )
        });
        let per = unit.strip_prefix("instructions").unwrap_or(unit);
        let floor = number(*floor);
        let [min, median, p99] = [*min, *median, *p99].map(in_short);
        text += &format!(
            "| `{op}`{per} | {n} | {min} | {median} | {p99} | {floor} | {most} | {peer} | {ratio} |\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::beside::Beside;

    fn figure(per: u64, rounds: Vec<u64>) -> Figure {
        let op = "a".into();
        Figure::of(Told { op, per, rounds }).unwrap()
    }

    #[test]
    fn a_median_and_a_99th_percentile_are_among_the_rounds() {
        let hundred = figure(1, (1..=100).rev().collect());
        assert_eq!(
            (hundred.min, hundred.median, hundred.p99),
            (1.0, 50.0, 99.0)
        );
        let one = figure(2, vec![3]);
        assert_eq!((one.n, one.min, one.median, one.p99), (1, 1.5, 1.5, 1.5));
        assert_eq!(figure(1, vec![5, 1, 9]).median, 5.0);
    }

    #[test]
    fn a_row_shows_what_is_missed_and_how_far_the_peer_is() {
        let known = Beside {
            floor: Some(3.0),
            most: Some(10.0),
            peer: Some(("P".into(), 40.0)),
            ..Beside::default()
        };
        let peers = Peers::from([("a".into(), known)]);
        let row = |median: u64, peers: &Peers| {
            let figures = [figure(1, vec![median]).beside(peers)];
            render(&figures, peers).lines().last().unwrap().to_owned()
        };
        let good = "| `a` | 1 | 10 | 10 | 10 | 3 | 10 | P: 40 | 4.00 |";
        assert_eq!(row(10, &peers), good);
        assert!(row(20, &peers).ends_with("| 10 (missed) | P: 40 | 2.00 |"));
        assert!(row(20, &Peers::new()).ends_with("| – | – | – | – |"));
    }

    #[test]
    fn lines_of_other_kinds_are_passed_over_and_wrong_ones_refused() {
        let line = |text: &str| vec![text.to_owned()];
        let good = read(&line(r#"@bench {"op":"x","per":1,"rounds":[2]}"#)).unwrap();
        assert_eq!(good[0].op, "x");
        assert!(read(&line("@figure {}")).unwrap().is_empty());
        assert!(read(&line(r#"@bench {"op":"x","per":0,"rounds":[2]}"#)).is_err());
        assert!(read(&line(r#"@bench {"op":"x","per":1,"rounds":[]}"#)).is_err());
    }
}
