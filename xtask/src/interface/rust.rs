//! `engine/abi/src/generated.rs`: constants, enumerations, handles and argument structs, without
//! dependencies.

use super::model::{
    ARGUMENT_REGISTERS, Call, Enumeration, Flags, Handle, Interface, RESULT_REGISTERS,
};
use super::source::Source;
use super::{camel, capitalised, sentence};

/// The file's text.
pub fn render(interface: &Interface) -> String {
    let mut out = Source::default();
    out.text("//! The call interface in Rust. Generated from engine/abi/interface.toml by");
    out.text("//! `cargo xtask gen`; do not edit. Every function is total and depends on its arguments alone.\n");
    convention(&mut out, interface);
    limits(&mut out, interface);
    numbers(&mut out, interface);
    calls(&mut out, interface);
    statuses(&mut out, interface);
    for table in &interface.enums {
        enumeration(&mut out, table);
    }
    for table in &interface.flags {
        flags(&mut out, table);
    }
    for handle in &interface.handles {
        handle_type(&mut out, handle);
    }
    for call in &interface.calls {
        arguments(&mut out, interface, call);
    }
    out.0.truncate(out.0.trim_end().len());
    out.0.push('\n');
    out.0
}

fn convention(out: &mut Source, interface: &Interface) {
    let convention = &interface.convention;
    out.doc(
        0,
        "Function identifier of call number 0 (SMCCC fast SMC64 call, vendor hypervisor range).",
    );
    out.text(&format!(
        "pub const CALL_BASE: u64 = {};",
        hex(convention.base)
    ));
    out.doc(
        0,
        "What the vendor UID query answers to the host, in w0 to w3.",
    );
    let words: Vec<String> = convention
        .uid
        .iter()
        .map(|&word| hex(u64::from(word)))
        .collect();
    out.array(0, "pub const CALL_UID: [u32; 4] = ", &words, ";");
    out.doc(0, "Interface version: a change that breaks callers.");
    out.text(&format!(
        "pub const VERSION_MAJOR: u16 = {};",
        convention.version_major
    ));
    out.doc(0, "Interface version: a change that callers need not know.");
    out.text(&format!(
        "pub const VERSION_MINOR: u16 = {};",
        convention.version_minor
    ));
    out.doc(0, "Argument registers of a call: x1 to x6.");
    out.text(&format!(
        "pub const ARGUMENT_REGISTERS: usize = {ARGUMENT_REGISTERS};"
    ));
    out.doc(0, "Result registers of a call: x1 to x17.");
    out.text(&format!(
        "pub const RESULT_REGISTERS: usize = {RESULT_REGISTERS};\n"
    ));
}

fn limits(out: &mut Source, interface: &Interface) {
    out.doc(0, "Bounds that callers must know.");
    out.text("pub mod limit {");
    for limit in &interface.limits {
        out.doc(4, &sentence(&limit.doc));
        out.text(&format!(
            "    pub const {}: usize = {};",
            limit.name, limit.value
        ));
    }
    out.text("}\n");
}

fn numbers(out: &mut Source, interface: &Interface) {
    out.doc(0, "Function identifiers, as they stand in x0.");
    out.text("pub mod call {");
    for call in &interface.calls {
        out.doc(4, &sentence(&call.contract));
        let identifier = hex(interface.convention.base + call.number);
        out.text(&format!("    pub const {}: u64 = {identifier};", call.name));
    }
    out.text("}\n");
}

fn calls(out: &mut Source, interface: &Interface) {
    out.doc(0, "A call of the interface.");
    out.text("#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]");
    out.text("#[repr(u8)]\npub enum Call {");
    for call in &interface.calls {
        out.doc(4, &sentence(&call.contract));
        out.text(&format!(
            "    {} = {:#04x},",
            camel(&call.name),
            call.number
        ));
    }
    out.text("}\n\nimpl Call {");
    out.doc(4, "All calls, by number.");
    let all: Vec<String> = interface
        .calls
        .iter()
        .map(|call| format!("Self::{}", camel(&call.name)))
        .collect();
    out.array(
        4,
        &format!("pub const ALL: [Self; {}] = ", all.len()),
        &all,
        ";",
    );

    out.doc(4, "The call that a function identifier names.");
    out.text("    pub const fn from_function_id(id: u64) -> Option<Self> {");
    out.text("        match id {");
    for call in &interface.calls {
        out.text(&format!(
            "            call::{} => Some(Self::{}),",
            call.name,
            camel(&call.name)
        ));
    }
    out.text("            _ => None,\n        }\n    }");

    out.doc(4, "Its number, counted from [`CALL_BASE`].");
    out.text("    pub const fn number(self) -> u64 {\n        self as u64\n    }");
    out.doc(4, "Its function identifier.");
    out.text(
        "    pub const fn function_id(self) -> u64 {\n        CALL_BASE + self.number()\n    }",
    );
    out.doc(4, "Its name in the interface file.");
    out.text("    pub const fn name(self) -> &'static str {\n        match self {");
    for call in &interface.calls {
        out.text(&format!(
            "            Self::{} => \"{}\",",
            camel(&call.name),
            call.name
        ));
    }
    out.text("        }\n    }");
    out.doc(
        4,
        "How many result registers, from x1 up, it may fill; all others come back zero.",
    );
    out.text("    pub const fn results(self) -> usize {\n        match self {");
    for call in &interface.calls {
        let count = interface.result_registers(call);
        out.text(&format!(
            "            Self::{} => {count},",
            camel(&call.name)
        ));
    }
    out.text("        }\n    }");
    statuses_of(
        out,
        interface,
        ("errors", "What it may be refused with."),
        |call| &call.errors,
    );
    statuses_of(
        out,
        interface,
        (
            "changes_on",
            "Of these, refusals that change something all the same.",
        ),
        |call| &call.changes_on,
    );
    out.text("}\n");
}

/// A function from a call to some of the status codes.
fn statuses_of(
    out: &mut Source,
    interface: &Interface,
    (name, doc): (&str, &str),
    of: fn(&Call) -> &[String],
) {
    out.doc(4, doc);
    out.text(&format!(
        "    pub const fn {name}(self) -> &'static [Status] {{\n        match self {{"
    ));
    let mut has_all = true;
    for call in &interface.calls {
        let all: Vec<String> = of(call)
            .iter()
            .map(|status| format!("Status::{}", camel(status)))
            .collect();
        if all.is_empty() {
            has_all = false;
            continue;
        }
        let begin = format!("Self::{} => &", camel(&call.name));
        out.array(12, &begin, &all, ",");
    }
    if !has_all {
        out.text("            _ => &[],");
    }
    out.text("        }\n    }");
}

fn statuses(out: &mut Source, interface: &Interface) {
    out.doc(0, "How a call ended: x0 on return.");
    out.text("#[must_use]");
    out.text("#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]");
    out.text("#[repr(i64)]\npub enum Status {");
    for status in &interface.statuses {
        let blame = if status.value == 0 {
            String::new()
        } else {
            format!(" To blame: {}.", status.blame.text())
        };
        out.doc(4, &format!("{}{blame}", sentence(&status.doc)));
        out.text(&format!("    {} = {},", camel(&status.name), status.value));
    }
    out.text("}\n\nimpl Status {");
    let names: Vec<(String, &str)> = interface
        .statuses
        .iter()
        .map(|status| (camel(&status.name), &*status.name))
        .collect();
    all(out, names.iter().map(|(variant, _)| variant));
    out.doc(4, "The status that x0 holds.");
    out.text("    pub const fn from_raw(raw: i64) -> Option<Self> {\n        match raw {");
    for (status, (variant, _)) in interface.statuses.iter().zip(&names) {
        out.text(&format!(
            "            {} => Some(Self::{variant}),",
            status.value
        ));
    }
    out.text("            _ => None,\n        }\n    }");
    out.doc(4, "Its value in x0.");
    out.text("    pub const fn raw(self) -> i64 {\n        self as i64\n    }");
    names_of(out, &names);
    out.text("}\n");
}

fn enumeration(out: &mut Source, table: &Enumeration) {
    out.doc(0, &sentence(&table.doc));
    out.text("#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]");
    out.text(&format!("#[repr(u64)]\npub enum {} {{", table.name));
    for value in &table.values {
        out.doc(4, &capitalised(&value.doc));
        out.text(&format!("    {} = {},", value.name, value.value));
    }
    out.text(&format!("}}\n\nimpl {} {{", table.name));
    all(out, table.values.iter().map(|value| &value.name));
    out.doc(4, "The meaning of a register's value.");
    out.text("    pub const fn from_raw(raw: u64) -> Option<Self> {\n        match raw {");
    for value in &table.values {
        out.text(&format!(
            "            {} => Some(Self::{}),",
            value.value, value.name
        ));
    }
    out.text("            _ => None,\n        }\n    }");
    out.doc(4, "Its value in a register.");
    out.text("    pub const fn raw(self) -> u64 {\n        self as u64\n    }");
    let names: Vec<(String, &str)> = table
        .values
        .iter()
        .map(|value| (value.name.clone(), &*value.name))
        .collect();
    names_of(out, &names);
    out.text("}\n");
}

fn all<'a>(out: &mut Source, variants: impl Iterator<Item = &'a String>) {
    out.doc(4, "All of them, in the interface file's order.");
    let items: Vec<String> = variants.map(|variant| format!("Self::{variant}")).collect();
    out.array(
        4,
        &format!("pub const ALL: [Self; {}] = ", items.len()),
        &items,
        ";",
    );
}

fn names_of(out: &mut Source, names: &[(String, &str)]) {
    out.doc(4, "Its name in the interface file.");
    out.text("    pub const fn name(self) -> &'static str {\n        match self {");
    for (variant, name) in names {
        out.text(&format!("            Self::{variant} => \"{name}\","));
    }
    out.text("        }\n    }");
}

fn flags(out: &mut Source, table: &Flags) {
    let name = &table.name;
    out.doc(0, &sentence(&table.doc));
    out.text("#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]");
    out.text(&format!("pub struct {name}(u64);\n\nimpl {name} {{"));
    for flag in &table.values {
        out.doc(4, &capitalised(&flag.doc));
        out.text(&format!(
            "    pub const {}: Self = Self(1 << {});",
            flag.name, flag.bit
        ));
    }
    out.doc(4, "Every bit that has a meaning.");
    let mask = table
        .values
        .iter()
        .fold(0, |mask, flag| mask | 1u64 << flag.bit);
    out.text(&format!("    pub const MASK: u64 = {mask:#x};\n"));
    out.doc(
        4,
        "The set that a register's value says; none if a bit without meaning is set.",
    );
    out.text("    pub const fn from_bits(bits: u64) -> Option<Self> {");
    out.text("        if bits & !Self::MASK == 0 {\n            Some(Self(bits))");
    out.text("        } else {\n            None\n        }\n    }");
    out.doc(4, "Its value in a register.");
    out.text("    pub const fn bits(self) -> u64 {\n        self.0\n    }");
    out.doc(4, "Whether all of `other` is in this set.");
    out.text("    pub const fn contains(self, other: Self) -> bool {");
    out.text("        self.0 & other.0 == other.0\n    }");
    out.doc(4, "Both sets together.");
    out.text("    pub const fn union(self, other: Self) -> Self {");
    out.text("        Self(self.0 | other.0)\n    }\n}\n");
}

fn handle_type(out: &mut Source, handle: &Handle) {
    let name = &handle.name;
    out.doc(0, &capitalised(&format!("handle: {}", handle.doc)));
    out.text("#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]");
    out.text(&format!("pub struct {name}(u64);\n\nimpl {name} {{"));
    out.doc(4, "No object: the handle that none ever has.");
    out.text("    pub const NONE: Self = Self(0);\n");
    out.doc(
        4,
        "The handle of a slot's present owner; only the low 48 bits of `generation` count.",
    );
    out.text("    pub const fn new(slot: u16, generation: u64) -> Self {");
    out.text("        Self(generation << 16 | slot as u64)\n    }");
    out.doc(
        4,
        "What a register holds: an allegation until the slot's generation is compared.",
    );
    out.text("    pub const fn from_raw(raw: u64) -> Self {\n        Self(raw)\n    }");
    out.doc(4, "Its value in a register.");
    out.text("    pub const fn raw(self) -> u64 {\n        self.0\n    }");
    out.doc(4, "The slot it names.");
    out.text("    pub const fn slot(self) -> u16 {\n        self.0 as u16\n    }");
    out.doc(4, "The generation of the slot that it means.");
    out.text("    pub const fn generation(self) -> u64 {\n        self.0 >> 16\n    }\n}\n");
}

fn arguments(out: &mut Source, interface: &Interface, call: &Call) {
    let name = format!("{}Args", camel(&call.name));
    out.doc(0, &format!("Arguments of [`Call::{}`].", camel(&call.name)));
    out.text("#[derive(Clone, Copy, Debug, PartialEq, Eq)]");
    out.text(&format!("pub struct {name} {{"));
    for field in &call.args {
        out.doc(4, &capitalised(&format!("{} ({})", field.doc, field.kind)));
        let kind = if interface.is_handle(&field.kind) {
            &field.kind
        } else {
            "u64"
        };
        out.text(&format!("    pub {}: {kind},", field.name));
    }
    out.text(&format!("}}\n\nimpl {name} {{"));
    out.doc(4, "The call these are for.");
    out.text(&format!(
        "    pub const CALL: Call = Call::{};\n",
        camel(&call.name)
    ));
    out.doc(4, "As they stand in x1 to x6.");
    out.text("    pub const fn to_registers(&self) -> [u64; ARGUMENT_REGISTERS] {");
    let mut registers: Vec<String> = Vec::new();
    for field in &call.args {
        let raw = if interface.is_handle(&field.kind) {
            ".raw()"
        } else {
            ""
        };
        registers.push(format!("self.{}{raw}", field.name));
    }
    registers.resize(ARGUMENT_REGISTERS, "0".to_string());
    out.array(8, "", &registers, "");
    out.text("    }");
    out.doc(
        4,
        "Read from x1 to x6; registers that the call does not use are ignored.",
    );
    out.text("    pub const fn from_registers(registers: &[u64; ARGUMENT_REGISTERS]) -> Self {");
    let fields: Vec<String> = (0..)
        .zip(&call.args)
        .map(|(index, field)| {
            let register = format!("registers[{index}]");
            if interface.is_handle(&field.kind) {
                format!("{}: {}::from_raw({register})", field.name, field.kind)
            } else {
                format!("{}: {register}", field.name)
            }
        })
        .collect();
    match &*fields {
        [only] if only.len() <= 18 => out.text(&format!("        Self {{ {only} }}")),
        _ => {
            out.text("        Self {");
            for field in &fields {
                out.text(&format!("            {field},"));
            }
            out.text("        }");
        }
    }
    out.text("    }\n}\n");
}

/// A number of 32 bits in Arm's way of writing function identifiers.
fn hex(value: u64) -> String {
    format!("0x{:04X}_{:04X}", value >> 16, value & 0xFFFF)
}
