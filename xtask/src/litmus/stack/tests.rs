//! Images that are wrong, each in one way, and what the tests of stacks say of them.

use super::*;
use crate::litmus::panics::VECTOR;

const RET: u32 = 0xd65f_03c0;
const NOP: u32 = 0xd503_201f;
const ERET: u32 = 0xd69f_03e0;
const BLR: u32 = 0xd63f_0100;
/// `STP X29, X30, [SP, #-32]!` and back; `SUB SP, SP, #64` and back.
const PUSH: u32 = 0xa9be_7bfd;
const POP: u32 = 0xa8c2_7bfd;
const SUB: u32 = 0xd101_03ff;
const ADD: u32 = 0x9101_03ff;
/// `MOV SP, X1`, `SUB SP, SP, X1`.
const MOV_SP: u32 = 0x9100_003f;
const SUB_X1: u32 = 0xcb21_63ff;

/// The functions of these images lie so far apart.
const APART: u64 = 0x40;

/// `BL` and `B` from instruction `at` of function `from` to function `to`.
const fn call(from: u64, at: u64, to: u64) -> u32 {
    0x9400_0000 | distance(from, at, to)
}
const fn jump(from: u64, at: u64, to: u64) -> u32 {
    0x1400_0000 | distance(from, at, to)
}
const fn distance(from: u64, at: u64, to: u64) -> u32 {
    let words = (to * APART) as i64 / 4 - (from * APART) as i64 / 4 - at as i64;
    words as u32 & 0x3ff_ffff
}
/// `ADR X8` of function `to`, at the beginning of function `from`.
const fn adr(from: u64, to: u64) -> u32 {
    let bytes = (to * APART) as i64 - (from * APART) as i64;
    0x1000_0008 | ((bytes >> 2) as u32 & 0x7_ffff) << 5
}

/// An image of functions `f0`, `f1` and so on, with a stack of 256 bytes.
fn image(functions: &[&[u32]]) -> Program {
    let names: Vec<String> = (0..functions.len()).map(|n| format!("f{n}")).collect();
    let places = (0..).map(|n| n * APART);
    let all = names.iter().zip(places).zip(functions);
    let all: Vec<(&str, u64, &[u32])> = all
        .map(|((name, start), words)| (name.as_str(), start, *words))
        .collect();
    Program::of(&all, |_| None).with(&[("stack_bytes", 256)], &[])
}

/// What is held of it: `f0` takes 128 bytes at most; an exception at EL2 comes to `f1`.
fn held() -> Stack {
    let entry = |from: &str, at_most| Entry {
        from: vec![from.into()],
        on: "stack_bytes".into(),
        at_most,
        ..Entry::default()
    };
    Stack {
        nested: "el2".into(),
        down: vec!["f1".into()],
        entry: BTreeMap::from([
            ("main".into(), entry("f0", 128)),
            ("el2".into(), entry("f1", 16)),
        ]),
        ..Stack::default()
    }
}

fn ask(functions: &[&[u32]], stack: &Stack) -> Depth {
    check(&image(functions), stack, "main").unwrap()
}

fn fault(functions: &[&[u32]], stack: &Stack) -> String {
    ask(functions, stack).fault.unwrap()
}

/// `f1`: nothing.
const EMPTY: &[u32] = &[RET];

#[test]
fn the_deepest_way_is_found() {
    // 32 of f0, then 64 of f2, which is called behind an f3 that takes less; and as a last call f2 again.
    let f0 = [PUSH, call(0, 1, 3), call(0, 2, 2), POP, jump(0, 4, 2)];
    let f2 = [SUB, NOP, ADD, RET];
    let f3 = [PUSH, POP, RET];
    let depth = ask(&[&f0, EMPTY, &f2, &f3], &held());
    assert_eq!((depth.bytes, depth.fault), (96, None));
    // Without the first frame it is the last call.
    let depth = ask(&[&[jump(0, 0, 2)], EMPTY, &f2, &f3], &held());
    assert_eq!((depth.bytes, depth.fault), (64, None));
}

#[test]
fn what_nests_is_added() {
    let f0 = [PUSH, POP, RET];
    let f1 = [0xa9bf_7bfd, 0xa8c1_7bfd, RET];
    assert_eq!(ask(&[&f0, &f1], &held()).bytes, 48);
}

#[test]
fn a_bound_that_is_too_low_or_too_high_is_told() {
    let f0 = [SUB, call(0, 1, 2), ADD, RET];
    let f2 = [SUB, call(2, 1, 3), ADD, RET];
    let f3 = [PUSH, POP, RET];
    let all: [&[u32]; 4] = [&f0, EMPTY, &f2, &f3];
    let why = fault(&all, &held());
    assert!(
        why.contains("160 bytes, more than 128: f0 at 0, f2 at 64, f3 at 128"),
        "{why}"
    );
    let mut stack = held();
    stack.entry.get_mut("main").unwrap().at_most = 257;
    let why = fault(&all, &stack);
    assert!(why.contains("more than the stack has, 256"), "{why}");
    stack.entry.get_mut("main").unwrap().at_most = 256;
    assert_eq!(ask(&all, &stack).fault, None);
}

#[test]
fn recursion_is_found() {
    let f0 = [PUSH, call(0, 1, 2), POP, RET];
    let f2 = [PUSH, call(2, 1, 3), POP, RET];
    let f3 = [NOP, jump(3, 1, 2)];
    let why = fault(&[&f0, EMPTY, &f2, &f3], &held());
    assert!(why.contains("comes to itself again: f2, f3"), "{why}");
    // A loop is none.
    let f0 = [NOP, 0x17ff_ffff];
    assert_eq!(ask(&[&f0, EMPTY], &held()).fault, None);
}

#[test]
fn changes_of_sp_that_nobody_understands_are_found() {
    for word in [MOV_SP, SUB_X1] {
        let why = fault(&[&[word, RET], EMPTY], &held());
        assert!(why.contains("not understood"), "{why}");
    }
    // A loop that goes down; a return with a frame; more taken down than put up.
    let why = fault(&[&[NOP, SUB, 0xb4ff_ffc0, RET], EMPTY], &held());
    assert!(
        why.contains("by the way there") || why.contains("returns with"),
        "{why}"
    );
    let why = fault(&[&[SUB, RET], EMPTY], &held());
    assert!(why.contains("returns with 64 bytes"), "{why}");
    let why = fault(&[&[ADD, RET], EMPTY], &held());
    assert!(why.contains("more than it put up"), "{why}");
    let why = fault(&[&[SUB, NOP], EMPTY], &held());
    assert!(why.contains("no code"), "{why}");
}

#[test]
fn a_new_stack_is_an_entry_of_its_own() {
    let mut stack = held();
    stack.set = vec!["f0".into()];
    let f0 = [MOV_SP, call(0, 1, 2), RET];
    let f2 = [SUB, ADD, RET];
    assert_eq!(ask(&[&f0, EMPTY, &f2], &stack).bytes, 0);
    stack.entry.get_mut("main").unwrap().behind = true;
    assert_eq!(ask(&[&f0, EMPTY, &f2], &stack).bytes, 64);
}

#[test]
fn calls_through_pointers_must_be_listed() {
    let f0 = [adr(0, 2), PUSH, BLR, POP, RET];
    let f2 = [SUB, ADD, RET];
    let why = fault(&[&f0, EMPTY, &f2], &held());
    assert!(why.contains("f0 calls through a pointer, at 0x8"), "{why}");
    let program = image(&[&f0, EMPTY, &f2]);
    let unlisted = |stack: &Stack| check(&program, stack, POINTERS).unwrap().fault;
    assert!(unlisted(&held()).unwrap().contains("is not listed, of: f2"));
    let mut stack = held();
    stack.pointer = vec![Pointer {
        from: vec!["f0".into()],
        to: vec!["f2".into()],
    }];
    assert_eq!(ask(&[&f0, EMPTY, &f2], &stack).bytes, 96);
    assert_eq!(unlisted(&stack), None);
    stack.addresses = vec!["f1".into()];
    assert!(unlisted(&stack).unwrap().contains("f1 is not taken"));
    // A pointer in the image's data.
    let program = image(&[&f0, EMPTY, &f2]).with(&[], &[APART]);
    stack.addresses.clear();
    let why = check(&program, &stack, POINTERS).unwrap().fault.unwrap();
    assert!(why.contains("is not listed, of: f1"), "{why}");
}

/// `f0` writes by `f2`, which calls what it is given: `f3`, which writes once more with `f4`.
fn formatters(f4: &[u32], passing: &[&str]) -> (Depth, Option<String>) {
    let f0 = [adr(0, 3), PUSH, call(0, 2, 2), POP, RET];
    let f2 = [PUSH, BLR, POP, RET];
    let f3 = [adr(3, 4), PUSH, call(3, 2, 2), POP, RET];
    let mut stack = held();
    stack.entry.get_mut("main").unwrap().at_most = 256;
    stack.pointer = vec![Pointer {
        from: vec!["f2".into()],
        to: vec!["f3".into(), "f4".into()],
    }];
    stack.passing = passing.iter().map(|&it| it.to_owned()).collect();
    let program = image(&[&f0, EMPTY, &f2, &f3, f4]);
    let depth = check(&program, &stack, "main").unwrap();
    (depth, check(&program, &stack, POINTERS).unwrap().fault)
}

#[test]
fn formatters_may_call_formatters_below_them() {
    let (depth, fault) = formatters(&[SUB, ADD, RET], &[]);
    // f0, f2, f3, f2, f4.
    assert_eq!((depth.bytes, depth.fault), (32 + 32 + 32 + 32 + 64, None));
    assert_eq!(fault, None);
    // One that formats what was given to it may lead to any that is not such.
    let (depth, _) = formatters(&[PUSH, call(4, 1, 2), POP, RET], &["f4"]);
    assert_eq!(depth.bytes, 0);
    // Round they do not go.
    let (_, fault) = formatters(&[adr(4, 3), PUSH, call(4, 2, 2), POP, RET], &[]);
    let why = fault.unwrap();
    assert!(why.contains("names itself"), "{why}");
}

#[test]
fn the_end_is_come_to_once() {
    // f2 does not come back, and may be called while it runs.
    let f0 = [PUSH, call(0, 1, 2)];
    let f2 = [PUSH, call(2, 1, 3), call(2, 2, 4)];
    let f3 = [PUSH, 0xb400_0040, call(3, 2, 2), POP, RET];
    let f4 = [SUB, 0x1400_0000];
    let mut stack = held();
    stack.entry.get_mut("main").unwrap().at_most = 256;
    let all: [&[u32]; 5] = [&f0, EMPTY, &f2, &f3, &f4];
    assert!(fault(&all, &stack).contains("comes to itself again"));
    stack.once = "f2".into();
    stack.again = vec!["f4".into()];
    // f0, f2, f3, f2 again, f4.
    let depth = ask(&all, &stack);
    assert_eq!((depth.bytes, depth.fault), (32 + 32 + 32 + 32 + 64, None));
}

#[test]
fn what_goes_down_comes_back_by_its_vectors() {
    // f1 goes down with 32 bytes; f2 is the table, whose vector 8 takes them down again.
    let f0 = [PUSH, call(0, 1, 1), POP, RET];
    let f1 = [PUSH, ERET];
    let vector = [SUB, ADD, POP, RET];
    let mut table = vec![NOP; 16 * VECTOR as usize / 4];
    for at in (8..16).map(|n| n * VECTOR as usize / 4) {
        table[at..at + 4].copy_from_slice(&vector);
    }
    let all: [&[u32]; 3] = [&f0, &f1, &table];
    let mut stack = held();
    let why = fault(&all, &stack);
    assert!(why.contains("f0 goes down and is not listed"), "{why}");
    stack.enter = vec![Enter {
        by: vec!["f0".into()],
        table: "f2".into(),
    }];
    let vectors = Entry {
        from: vec!["f2".into()],
        vectors: vec![8, 15],
        on: "stack_bytes".into(),
        at_most: 64,
        ..Entry::default()
    };
    stack.entry.insert("vectors".into(), vectors);
    stack.down = vec!["f1".into()];
    stack.nested = "vectors".into();
    stack.entry.get_mut("main").unwrap().at_most = 256;
    // The vector's 64 on top of both; and these once more as what nests.
    let depth = ask(&all, &stack);
    assert_eq!((depth.bytes, depth.fault), (32 + 32 + 64 + 64, None));
    let depth = check(&image(&all), &stack, "vectors").unwrap();
    assert_eq!((depth.bytes, depth.fault), (64, None));
}
