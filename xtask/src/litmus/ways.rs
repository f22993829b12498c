//! Where control goes from each instruction of the image: the one graph of branches, calls and switches that is
//! followed to look for panics and to measure stacks.
//!
//! Invariant: a way that is taken on some core is among those told, whatever the conditions were; where nobody can
//! say where it leads, that is told too.

use crate::litmus::instruction::Flow;
use crate::litmus::program::Program;

/// Where control goes from an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ways {
    /// To these.
    On(Vec<u64>),
    /// To a function, and to the next instruction if that can come back.
    Call { to: u64, back: Option<u64> },
    /// To what a register names, and to the next instruction unless the call stands in for the rest of its function.
    Pointer { back: Option<u64> },
    /// To where the function was called from, or where an ERET leads.
    Return,
    /// Nowhere.
    Stop,
}

/// Where control goes from `address`.
pub fn from(program: &Program, address: u64) -> Ways {
    let next = address + 4;
    match program.flow(address) {
        Flow::Next => Ways::On(vec![next]),
        Flow::Jump(to) => Ways::On(vec![to]),
        Flow::Branch(to) => Ways::On(vec![to, next]),
        Flow::Call(to) => Ways::Call {
            to,
            back: program.returns(to).then_some(next),
        },
        Flow::CallRegister => Ways::Pointer { back: Some(next) },
        Flow::JumpRegister => match program.switch_at(address) {
            Some(targets) => Ways::On(targets.to_vec()),
            None => Ways::Pointer { back: None },
        },
        Flow::Return => Ways::Return,
        Flow::Stop => Ways::Stop,
    }
}
