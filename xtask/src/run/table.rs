//! The summary as a table for people.

use std::fmt::Write;

use crate::run::summary::Summary;

/// Returns the table, ending in a newline.
pub fn render(summary: &Summary) -> String {
    let mut table = Table::default();
    table.section("guest", &["vCPUs", "kernel", "workload", "exit"]);
    for guest in &summary.guests {
        table.row(
            &guest.id.to_string(),
            &[
                guest.vcpus_online.to_string(),
                guest.kernel.clone(),
                if guest.workload_ok { "ok" } else { "no" }.into(),
                guest.exit.clone(),
            ],
        );
    }
    table.section("hypercall", &["calls", "errors"]);
    for (name, count) in &summary.hypercalls.by_name {
        if count.calls > 0 {
            let counts = [count.calls.to_string(), count.errors.to_string()];
            table.row(name, &counts);
        }
    }
    table.section("exit", &["times"]);
    for (reason, &times) in summary.exits.iter().filter(|(_, times)| **times > 0) {
        table.row(reason, &[times.to_string()]);
    }
    table.section("pages", &["count"]);
    for (state, count) in summary.pages.by_state() {
        table.row(state, &[count.to_string()]);
    }
    table.row("total", &[summary.pages.total.to_string()]);
    if !summary.counters.is_empty() {
        table.section("counter", &["value"]);
        for (name, value) in &summary.counters {
            table.row(name, &[value.to_string()]);
        }
    }
    let mut text = table.render();
    per_cpu(&mut text, &summary.hypercalls.per_cpu);
    let attacks = summary.attacks;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\ncores online {}, attacks blocked {} of {}, pages non-zero before their scrub {}, \
         after it {}\nbytes of page words written {}",
        summary.cpus_online,
        attacks.blocked,
        attacks.tried,
        summary.scrubbed_nonzero,
        summary.scrub_violations,
        summary.table_bytes
    );
    text
}

/// Successful state-changing hypercalls of each core, sixteen cores a line.
fn per_cpu(text: &mut String, calls: &[u64]) {
    text.push_str("\nhypercalls per core\n");
    for (row, chunk) in calls.chunks(16).enumerate() {
        let _ = write!(text, "{:>5}:", row * 16);
        for count in chunk {
            let _ = write!(text, " {count:>6}");
        }
        text.push('\n');
    }
}

#[derive(Default)]
struct Table {
    lines: Vec<Line>,
}

struct Line {
    is_heading: bool,
    cells: Vec<String>,
}

impl Table {
    fn section(&mut self, name: &str, columns: &[&str]) {
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        self.push(true, name, &columns);
    }

    fn row(&mut self, name: &str, columns: &[String]) {
        self.push(false, name, columns);
    }

    fn push(&mut self, is_heading: bool, name: &str, columns: &[String]) {
        let cells = std::iter::once(name.to_owned())
            .chain(columns.iter().cloned())
            .collect();
        self.lines.push(Line { is_heading, cells });
    }

    fn render(&self) -> String {
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.cells.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let first = width(0);
        let mut text = String::new();
        for line in &self.lines {
            if line.is_heading {
                text.push('\n');
            }
            let _ = write!(text, "{:<first$}", line.cells[0]);
            for (column, cell) in line.cells.iter().enumerate().skip(1) {
                let _ = write!(text, "  {cell:>0$}", width(column));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::default();
        table.section("call", &["n"]);
        table.row("VM_MAP", &["12345".into()]);
        table.row("X", &["1".into()]);
        let lines = ["", "call        n", "VM_MAP  12345", "X           1", ""];
        assert_eq!(table.render(), lines.join("\n"));
    }
}
