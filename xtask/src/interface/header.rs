//! `engine/abi/bulkhead.h`: the numbers for host kernels written in C.

use super::model::{Call, Interface};
use super::{capitalised, screaming, sentence, wrap};
use std::fmt::Write;

/// The header's text.
pub fn render(interface: &Interface) -> String {
    let mut out = String::new();
    out.push_str(
        "/* Generated from engine/abi/interface.toml by `cargo xtask gen`. Do not edit. */\n\
         /* SPDX-License-Identifier: Apache-2.0 OR MIT */\n\n\
         #ifndef BULKHEAD_H\n#define BULKHEAD_H\n\n\
         /*\n * Calls: HVC #0, SMCCC 1.2. x0 = function identifier, x1 to x6 = arguments.\n \
         * On return x0 = status, x1 and up = results; unused result registers are zero.\n */\n",
    );
    let convention = &interface.convention;
    define(&mut out, "CALL_BASE", &format!("{:#X}UL", convention.base));
    for (index, word) in convention.uid.iter().enumerate() {
        define(
            &mut out,
            &format!("CALL_UID_{index}"),
            &format!("{word:#010x}U"),
        );
    }
    define(
        &mut out,
        "VERSION_MAJOR",
        &convention.version_major.to_string(),
    );
    define(
        &mut out,
        "VERSION_MINOR",
        &convention.version_minor.to_string(),
    );

    heading(&mut out, "Bounds that callers must know.");
    for limit in &interface.limits {
        comment(&mut out, &sentence(&limit.doc));
        define(
            &mut out,
            &format!("MAX_{}", limit.name),
            &limit.value.to_string(),
        );
    }
    heading(&mut out, "Status codes.");
    for status in &interface.statuses {
        comment(&mut out, &sentence(&status.doc));
        define(
            &mut out,
            &format!("STATUS_{}", status.name),
            &format!("({})", status.value),
        );
    }
    heading(&mut out, "Function identifiers.");
    for call in &interface.calls {
        comment(
            &mut out,
            &format!("{} {}", signature(call), sentence(&call.contract)),
        );
        let identifier = format!("{:#X}UL", convention.base + call.number);
        define(&mut out, &format!("CALL_{}", call.name), &identifier);
    }
    for table in &interface.enums {
        heading(
            &mut out,
            &format!("{}: {}", table.name, sentence(&table.doc)),
        );
        for value in &table.values {
            comment(&mut out, &capitalised(&value.doc));
            let name = format!("{}_{}", screaming(&table.name), screaming(&value.name));
            define(&mut out, &name, &value.value.to_string());
        }
    }
    for table in &interface.flags {
        heading(
            &mut out,
            &format!("{}: {}", table.name, sentence(&table.doc)),
        );
        for flag in &table.values {
            comment(&mut out, &capitalised(&flag.doc));
            let name = format!("{}_{}", screaming(&table.name), flag.name);
            define(&mut out, &name, &format!("(1UL << {})", flag.bit));
        }
    }
    heading(
        &mut out,
        "Handles: slot in bits 15:0, generation in bits 63:16, never 0.",
    );
    define(&mut out, "HANDLE_SLOT(handle)", "((handle) & 0xFFFFUL)");
    define(&mut out, "HANDLE_GENERATION(handle)", "((handle) >> 16)");
    heading(&mut out, "VmShape, the first argument of VM_CREATE.");
    define(
        &mut out,
        "VM_SHAPE(vcpus, ipa_bits)",
        "((unsigned long)(vcpus) | (unsigned long)(ipa_bits) << 16)",
    );
    out.push_str("\n#endif /* BULKHEAD_H */\n");
    out
}

fn signature(call: &Call) -> String {
    let names = |fields: &[super::model::Field]| {
        fields
            .iter()
            .map(|field| field.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if call.results.is_empty() {
        format!("({}).", names(&call.args))
    } else {
        format!("({}) -> {}.", names(&call.args), names(&call.results))
    }
}

fn define(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "#define BULKHEAD_{name} {value}");
}

fn heading(out: &mut String, text: &str) {
    out.push('\n');
    comment(out, text);
    out.push('\n');
}

fn comment(out: &mut String, text: &str) {
    let lines = wrap(text, 94);
    match &*lines {
        [] => {}
        [line] => {
            let _ = writeln!(out, "/* {line} */");
        }
        lines => {
            out.push_str("/*\n");
            for line in lines {
                let _ = writeln!(out, " * {line}");
            }
            out.push_str(" */\n");
        }
    }
}
