//! What stands in a trap's registers: values that tell where they come from, and values that mean something.

use crate::bytes::Bytes;

/// First address of the guest's memory.
pub const RAM: u64 = 0x8000_0000;
/// Its size.
pub const RAM_SIZE: u64 = 16 << 20;
/// Its redistributors: two frames of 64 KiB for each vCPU.
pub const GICR: u64 = 0x0800_0000;

/// A general register's content that nobody else has: the guest's secret, or the host's.
pub const fn secret(step: u64, register: u64) -> u64 {
    0x5ec1_e700_0000_0000 | step << 32 | register << 8 | 0xa5
}

/// A value to be written.
pub fn written(bytes: &mut Bytes, secret: u64) -> u64 {
    match bytes.byte() {
        class @ 0..=31 => 1 << class,
        class @ 32..=63 => u64::from(class - 32) << 24 | 0b10,
        64..=79 => u64::from(bytes.half()),
        80..=87 => u64::from(bytes.word()),
        88..=95 => bytes.long(),
        96..=99 => u64::MAX,
        // SGIs to all others, and with affinities of all kinds.
        class @ 100..=115 => u64::from(class - 100) << 24 | 1 << 40,
        class @ 116..=131 => {
            u64::from(class - 116) << 24 | u64::from(bytes.half()) << 32 | u64::from(bytes.byte())
        }
        132..=139 => 0,
        _ => secret,
    }
}

/// An intermediate physical address: often where something is.
pub fn address(bytes: &mut Bytes) -> u64 {
    const OFFSETS: [u64; 20] = [
        0x0000, 0x0004, 0x0008, 0x000c, 0x0014, 0xffe8, 0x1_0080, 0x1_0100, 0x1_0180, 0x1_0200,
        0x1_0280, 0x1_0300, 0x1_0380, 0x1_0400, 0x1_0404, 0x1_041c, 0x1_0c00, 0x1_0c04, 0x1_0d00,
        0x1_ffe8,
    ];
    const PLACES: [u64; 14] = [
        RAM,
        RAM + 0x1000,
        RAM + 0x5000,
        RAM + RAM_SIZE - 4096,
        RAM + RAM_SIZE,
        RAM - 4096,
        GICR - 4096,
        GICR + 4 * 0x1_0000,
        GICR + 6 * 0x1_0000,
        0x0900_0000,
        0x4000_0000,
        0x4010_0000,
        (1 << 36) - 4096,
        1 << 40,
    ];
    match bytes.byte() {
        class @ 0..=119 => {
            let frames = u64::from(class / 20 % 3) * 0x2_0000;
            let offset = OFFSETS[usize::from(class) % OFFSETS.len()];
            GICR + frames
                + offset
                + if class >= 60 {
                    u64::from(bytes.byte())
                } else {
                    0
                }
        }
        class @ 120..=175 => {
            PLACES[usize::from(class) % PLACES.len()] + u64::from(bytes.half() & 0xfff)
        }
        176..=191 => GICR + u64::from(bytes.half()) * 4,
        192..=223 => RAM + u64::from(bytes.half()) * 256,
        224..=239 => u64::from(bytes.word()) << 8,
        _ => bytes.long(),
    }
}
