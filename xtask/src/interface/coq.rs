//! `spec/Interface.v`: the same names and numbers for the specification, so that it can leave none out.

use super::model::{Call, Interface};
use super::{sentence, wrap};
use std::fmt::Write;

/// The file's text.
pub fn render(interface: &Interface) -> String {
    let mut out = String::from(
        "(* Generated from engine/abi/interface.toml by `cargo xtask gen`. Do not edit. *)\n\n\
         (** * Names and numbers of the call interface *)\n\n\
         From Coq Require Import NArith ZArith List.\nImport ListNotations.\nOpen Scope N_scope.\n",
    );
    heading(&mut out, "Bounds that callers must know.");
    for limit in &interface.limits {
        doc(&mut out, &limit.doc);
        let _ = writeln!(out, "Definition {} : N := {}.", limit.name, limit.value);
    }
    let _ = writeln!(
        out,
        "\n(** Identifier of call number 0. *)\nDefinition CALL_BASE : N := {}.\n\
         Definition VERSION : N := {}.",
        interface.convention.base,
        u32::from(interface.convention.version_major) << 16
            | u32::from(interface.convention.version_minor)
    );

    let statuses = interface.statuses.iter().map(|it| it.name.clone());
    enumeration(
        &mut out,
        "status",
        "Status codes.",
        &statuses.collect::<Vec<_>>(),
    );
    let values = interface.statuses.iter();
    let values = values.map(|it| (it.name.clone(), format!("({})%Z", it.value)));
    function(&mut out, "status_value", "status", "Z", values);

    let calls = interface.calls.iter().map(|it| it.name.clone());
    enumeration(
        &mut out,
        "call",
        "The host's calls.",
        &calls.collect::<Vec<_>>(),
    );
    let of_calls = |value: fn(&Call) -> String| {
        let calls = interface.calls.iter();
        calls.map(move |it| (it.name.clone(), value(it)))
    };
    let numbers = of_calls(|it| it.number.to_string());
    function(&mut out, "call_number", "call", "N", numbers);

    let mut states: Vec<String> = Vec::new();
    for state in interface.calls.iter().flat_map(|call| &call.states) {
        if !states.contains(state) {
            states.push(state.clone());
        }
    }
    let what = "States of a VM that calls name.";
    enumeration(&mut out, "vm_state", what, &states);
    let what =
        "In which states of its VM a call is not refused for that; none listed: it asks for none.";
    doc(&mut out, what);
    let states = of_calls(|it| list(&it.states));
    function(&mut out, "call_states", "call", "list vm_state", states);
    doc(&mut out, "What a call may be refused with.");
    let errors = of_calls(|it| list(&it.errors));
    function(&mut out, "call_errors", "call", "list status", errors);
    let what = "Of these, refusals that change something all the same.";
    doc(&mut out, what);
    let changes = of_calls(|it| list(&it.changes_on));
    function(&mut out, "call_changes_on", "call", "list status", changes);

    for table in &interface.enums {
        let name = |value: &str| format!("{}_{value}", table.name);
        let names: Vec<String> = table.values.iter().map(|it| name(&it.name)).collect();
        enumeration(&mut out, &table.name, &table.doc, &names);
        let values = table.values.iter();
        let raw = values.map(|it| (name(&it.name), it.value.to_string()));
        function(
            &mut out,
            &format!("{}_raw", table.name),
            &table.name,
            "N",
            raw,
        );
    }
    for table in &interface.flags {
        heading(&mut out, &table.doc);
        for flag in &table.values {
            let _ = writeln!(
                out,
                "Definition {}_{} : N := {}.",
                table.name,
                flag.name,
                1_u64 << flag.bit
            );
        }
    }
    out
}

/// An inductive type of names, the list of them all, and a decidable equality.
fn enumeration(out: &mut String, kind: &str, what: &str, names: &[String]) {
    heading(out, what);
    let _ = writeln!(out, "Inductive {kind} :=");
    for name in names {
        let _ = writeln!(out, "| {name}");
    }
    out.truncate(out.trim_end().len());
    let _ = writeln!(out, ".\nScheme Equality for {kind}.");
    let _ = writeln!(out, "Definition all_{kind} : list {kind} :=");
    let all = format!("[{}].", names.join("; "));
    for line in wrap(&all, 96) {
        let _ = writeln!(out, "  {line}");
    }
}

/// A function by cases.
fn function(
    out: &mut String,
    name: &str,
    from: &str,
    to: &str,
    cases: impl Iterator<Item = (String, String)>,
) {
    let _ = writeln!(
        out,
        "Definition {name} (it : {from}) : {to} :=\n  match it with"
    );
    for (case, value) in cases {
        let lines = wrap(&format!("{case} => {value}"), 94);
        let _ = writeln!(out, "  | {}", lines.join("\n      "));
    }
    let _ = writeln!(out, "  end.");
}

fn list(items: &[String]) -> String {
    format!("[{}]", items.join("; "))
}

fn heading(out: &mut String, text: &str) {
    out.push('\n');
    doc(out, text);
}

fn doc(out: &mut String, text: &str) {
    let lines = wrap(&sentence(text), 92);
    let _ = writeln!(out, "(** {} *)", lines.join("\n    "));
}
