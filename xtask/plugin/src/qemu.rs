//! The part of QEMU's plugin interface that is used here (`qemu-plugin.h`, version 3 and later,
//! QEMU 9.1), declared by hand so that neither its headers nor a C compiler is needed.
//!
//! Invariant: signatures and layouts are those of the header; pointers to opaque types are QEMU's
//! and valid for the callback that they were given to.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// A version that QEMU 9.1 and all later ones take.
pub const API_VERSION: c_int = 3;
/// A callback that looks at no registers.
pub const NO_REGISTERS: c_int = 0;
/// A callback that reads registers.
pub const READS_REGISTERS: c_int = 1;
/// The operation "add" of an inline counter.
pub const ADD: c_int = 0;

/// This plugin, to QEMU.
pub type Id = u64;

/// A translated block.
#[repr(C)]
pub struct Block {
    _opaque: [u8; 0],
}

/// An instruction of one.
#[repr(C)]
pub struct Instruction {
    _opaque: [u8; 0],
}

/// A record for each core.
#[repr(C)]
pub struct Scoreboard {
    _opaque: [u8; 0],
}

/// One 64-bit field of every core's record.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Field {
    pub score: *mut Scoreboard,
    pub offset: usize,
}

/// A register's name to QEMU.
#[repr(C)]
pub struct Register {
    _opaque: [u8; 0],
}

/// What QEMU tells of a register.
#[repr(C)]
pub struct Described {
    pub register: *mut Register,
    pub name: *const c_char,
    pub feature: *const c_char,
}

/// GLib's `GArray` and `GByteArray`: what they hold and how many of it.
#[repr(C)]
pub struct Array<T> {
    pub data: *mut T,
    pub len: c_uint,
}

/// What `qemu_plugin_install` is given.
pub type Arguments = *const *const c_char;

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: extern "C" fn(Id, *mut Block));
    pub fn qemu_plugin_register_vcpu_init_cb(id: Id, callback: extern "C" fn(Id, c_uint));
    pub fn qemu_plugin_get_registers() -> *mut Array<Described>;
    pub fn qemu_plugin_read_register(register: *mut Register, into: *mut Array<u8>) -> c_int;
    pub fn qemu_plugin_register_atexit_cb(
        id: Id,
        callback: extern "C" fn(Id, *mut c_void),
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        block: *mut Block,
        operation: c_int,
        field: Field,
        value: u64,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        instruction: *mut Instruction,
        operation: c_int,
        field: Field,
        value: u64,
    );
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Instruction,
        callback: extern "C" fn(c_uint, *mut c_void),
        registers: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_vaddr(block: *const Block) -> u64;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, index: usize) -> *mut Instruction;
    pub fn qemu_plugin_insn_vaddr(instruction: *const Instruction) -> u64;
    pub fn qemu_plugin_insn_data(
        instruction: *const Instruction,
        into: *mut c_void,
        bytes: usize,
    ) -> usize;
    pub fn qemu_plugin_num_vcpus() -> c_int;
    pub fn qemu_plugin_scoreboard_new(bytes: usize) -> *mut Scoreboard;
    pub fn qemu_plugin_u64_get(field: Field, core: c_uint) -> u64;
    // GLib's, which QEMU is linked with.
    pub fn g_array_free(array: *mut Array<Described>, and_data: c_int) -> *mut c_char;
    pub fn g_byte_array_new() -> *mut Array<u8>;
    pub fn g_byte_array_free(array: *mut Array<u8>, and_data: c_int) -> *mut u8;
}
