//! `docs/interface.md`: the reference page.

use super::model::{Call, Field, Interface};
use super::{capitalised, sentence, wrap};
use std::fmt::Write;

/// The page's text.
pub fn render(interface: &Interface) -> String {
    let mut out = String::new();
    out.push_str(
        "<!-- Generated from engine/abi/interface.toml by `cargo xtask gen`. Do not edit. -->\n\n",
    );
    out.push_str("# The call interface\n\n");
    let convention = &interface.convention;
    let [a, b, c, d] = convention.uid;
    paragraph(
        &mut out,
        &format!(
            "Version {}.{}. A call is `HVC #0` under SMCCC 1.2 with fast SMC64 identifiers of the \
             vendor-specific hypervisor range. `x0` holds the function identifier, {:#X} plus the \
             call's number, and `x1` to `x6` the arguments in the order listed. On return `x0` \
             holds the status and `x1` and up the results in the order listed; result registers \
             up to `x17` that a call does not list come back zero. The vendor UID query answers \
             the host with {a:#010x}, {b:#010x}, {c:#010x}, {d:#010x}. On any error the state is \
             as it was before the call, unless the call's table says otherwise. Numbers are assigned once and never reused.",
            convention.version_major, convention.version_minor, convention.base
        ),
    );
    paragraph(
        &mut out,
        "The C names are in `engine/abi/bulkhead.h`, the Rust types in the `abi` crate.",
    );

    out.push_str("## Limits\n\n| name | value | |\n| --- | ---: | --- |\n");
    for limit in &interface.limits {
        let _ = writeln!(
            out,
            "| `{}` | {} | {} |",
            limit.name,
            limit.value,
            cell(&limit.doc)
        );
    }

    out.push_str("\n## Status codes\n\n| value | name | to blame | meaning |\n");
    out.push_str("| ---: | --- | --- | --- |\n");
    for status in &interface.statuses {
        let blame = status.blame.text();
        let (name, value) = (&status.name, status.value);
        let _ = writeln!(
            out,
            "| {value} | `{name}` | {blame} | {} |",
            cell(&status.doc)
        );
    }

    out.push_str(
        "\n## Calls\n\n| number | call | caller | VM states |\n| --- | --- | --- | --- |\n",
    );
    for call in &interface.calls {
        let (number, name) = (call.number, &call.name);
        let link = name.to_lowercase();
        let states = states(call);
        let caller = &call.caller;
        let _ = writeln!(
            out,
            "| `{number:#04x}` | [`{name}`](#{link}) | {caller} | {states} |"
        );
    }
    for call in &interface.calls {
        describe(&mut out, interface, call);
    }

    out.push_str("\n## Enumerations\n");
    for table in &interface.enums {
        let _ = write!(out, "\n### {}\n\n", table.name);
        paragraph(&mut out, &sentence(&table.doc));
        out.push_str("| value | name | meaning |\n| ---: | --- | --- |\n");
        for value in &table.values {
            let doc = cell(&value.doc);
            let _ = writeln!(out, "| {} | `{}` | {doc} |", value.value, value.name);
        }
    }
    out.push_str("\n## Flags\n");
    for table in &interface.flags {
        let _ = write!(out, "\n### {}\n\n", table.name);
        paragraph(&mut out, &sentence(&table.doc));
        out.push_str("| bit | name | meaning |\n| ---: | --- | --- |\n");
        for flag in &table.values {
            let _ = writeln!(
                out,
                "| {} | `{}` | {} |",
                flag.bit,
                flag.name,
                cell(&flag.doc)
            );
        }
    }
    out.push_str("\n## Handles\n\n");
    for handle in &interface.handles {
        let _ = writeln!(out, "- `{}`: {}", handle.name, sentence(&handle.doc));
    }
    out
}

fn describe(out: &mut String, interface: &Interface, call: &Call) {
    let _ = write!(out, "\n### {}\n\n", call.name);
    paragraph(out, &sentence(&call.contract));
    let identifier = interface.convention.base + call.number;
    let _ = writeln!(
        out,
        "- Identifier: `{identifier:#X}`; caller: {}",
        call.caller
    );
    let _ = writeln!(out, "- VM states: {}", states(call));
    let list = |names: &[String]| {
        let names = names.iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    let errors = match call.errors.as_slice() {
        [] => "none".to_string(),
        errors => list(errors),
    };
    let _ = writeln!(out, "- Errors: {errors}");
    if !call.changes_on.is_empty() {
        let changes = list(&call.changes_on);
        let _ = writeln!(out, "- Changes something on: {changes}");
    }
    out.push('\n');
    out.push_str("| register | direction | name | type | meaning |\n");
    out.push_str("| --- | --- | --- | --- | --- |\n");
    fields(out, "in", &call.args);
    fields(out, "out", &call.results);
    if let Some(rest) = &call.rest {
        let first = call.results.len() + 1;
        let last = interface.result_registers(call);
        let doc = cell(&rest.doc);
        let _ = writeln!(
            out,
            "| `x{first}`-`x{last}` | out | | {} | {doc} |",
            rest.kind
        );
    }
}

fn fields(out: &mut String, direction: &str, fields: &[Field]) {
    for (register, field) in (1..).zip(fields) {
        let (name, kind, doc) = (&field.name, &field.kind, cell(&field.doc));
        let _ = writeln!(
            out,
            "| `x{register}` | {direction} | `{name}` | {kind} | {doc} |"
        );
    }
}

fn states(call: &Call) -> String {
    if call.states.is_empty() {
        "any".to_string()
    } else {
        call.states.join(", ")
    }
}

/// A sentence that may stand in a table's cell.
fn cell(text: &str) -> String {
    capitalised(text).replace('|', "\\|")
}

fn paragraph(out: &mut String, text: &str) {
    for line in wrap(text, 100) {
        out.push_str(&line);
        out.push('\n');
    }
    out.push('\n');
}
