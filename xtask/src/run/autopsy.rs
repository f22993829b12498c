//! What a machine that hangs was doing: asked of QEMU's monitor, which shares the console.
//!
//! The machine is stopped, each core's registers are read, and the engine's events out of its memory: that
//! works in whatever state the cores are, at EL2 too. Afterwards QEMU quits.

use std::io::{self, Write};
use std::ops::Range;
use std::process::ChildStdin;

use crate::run::events::Event;

/// The keys that turn the console into the monitor.
const TO_MONITOR: &[u8] = b"\x01c";
/// Events told of each core.
const TOLD: usize = 8;

/// What the banner says of the engine's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The engine's image.
    image: Range<u64>,
    /// The rings of events: how many, bytes of each, the first one's address.
    rings: Option<(u64, u64, u64)>,
}

impl Places {
    /// Takes what a line of the banner says.
    pub fn read(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("bulkhead: trace: ") {
            self.rings = rings(rest);
        } else if let Some((_, rest)) = line.split_once(" of RAM, engine at ")
            && let Some(image) = range(rest)
        {
            self.image = image;
        }
    }
}

/// `8 rings of 1544 bytes at 0x40a00000`
fn rings(text: &str) -> Option<(u64, u64, u64)> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words[..] {
        [count, "rings", "of", size, "bytes", "at", address] => {
            Some((count.parse().ok()?, size.parse().ok()?, hex(address)?))
        }
        _ => None,
    }
}

/// `0x7e800000..0x7ea00000 and ...`
fn range(text: &str) -> Option<Range<u64>> {
    let (start, end) = text.split_whitespace().next()?.split_once("..")?;
    Some(hex(start)?..hex(end)?)
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// Asks the monitor, and lets QEMU quit.
pub fn ask(input: &mut ChildStdin, places: &Places) -> io::Result<()> {
    input.write_all(TO_MONITOR)?;
    writeln!(input, "stop\ninfo registers -a")?;
    if let Some((count, size, address)) = places.rings {
        writeln!(input, "xp /{}gx {address:#x}", count * size / 8)?;
    }
    writeln!(input, "quit")?;
    input.flush()
}

/// The monitor's answers in words: where each core is, and what it did last.
pub fn read(console: &str, places: &Places) -> Vec<String> {
    let mut found = Vec::new();
    let mut core = None;
    let mut pc = 0;
    let mut memory = Vec::new();
    for line in console.lines() {
        if let Some((_, number)) = line.split_once("CPU#") {
            core = number.trim().parse::<usize>().ok();
        }
        if let Some((_, rest)) = line.split_once(" PC=") {
            pc = rest
                .get(..16)
                .and_then(|it| u64::from_str_radix(it, 16).ok())
                .unwrap_or(0);
        }
        if let (Some(number), Some(level)) = (core, exception_level(line)) {
            let place = match places.image.contains(&pc) {
                true => format!("image+{:#x}", pc - places.image.start),
                false => format!("{pc:#x}"),
            };
            found.push(format!("core {number} at {level}, {place}"));
            core = None;
        }
        memory.extend(words(line));
    }
    let Some((_, size, _)) = places.rings else {
        return found;
    };
    for (core, ring) in memory.chunks_exact((size / 8).max(1) as usize).enumerate() {
        let events = Event::in_ring(core, ring);
        let skipped = events.len().saturating_sub(TOLD);
        found.extend(events.iter().skip(skipped).map(ToString::to_string));
    }
    found
}

/// `PSTATE=600003c9 -ZC- EL2h ...`
fn exception_level(line: &str) -> Option<&str> {
    let (_, state) = line.split_once("PSTATE=")?;
    let mut words = state.split_whitespace();
    words.find(|word| word.starts_with("EL"))?.get(..3)
}

/// `0000000040a00000: 0x0000000000000001 0x0000000000000002`
fn words(line: &str) -> Vec<u64> {
    let Some((address, rest)) = line.split_once(": 0x") else {
        return Vec::new();
    };
    match address.len() == 16 && address.chars().all(|c| c.is_ascii_hexdigit()) {
        true => rest
            .split_whitespace()
            .filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok())
            .collect(),
        false => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANNER: [&str; 2] = [
        "bulkhead 0.1.0: 2 of 2 cores at EL2, 1024 MiB of RAM, engine at 0x40200000..0x40300000 and 0x7e000000..0x80000000",
        "bulkhead: trace: 2 rings of 56 bytes at 0x7e001000",
    ];

    fn places() -> Places {
        let mut places = Places::default();
        for line in BANNER {
            places.read(line);
        }
        places
    }

    #[test]
    fn the_banner_says_where_things_are() {
        let places = places();
        assert_eq!(places.image, 0x4020_0000..0x4030_0000);
        assert_eq!(places.rings, Some((2, 56, 0x7e00_1000)));
    }

    #[test]
    fn registers_and_events_are_found_among_the_rest() {
        let console = "\r\nQEMU 10.0 monitor\r\n(qemu) stop\r\n(qemu) info registers -a\r\n\r\nCPU#0\r\n \
            PC=0000000040201234 X00=0000000000000000 X01=0000000000000000\r\nX02=0 X03=0\r\n\
            PSTATE=600003c9 -ZC- EL2h  BTYPE=0     FPU disabled\r\nCPU#1\r\n PC=0000000048000000 X00=1\r\n\
            PSTATE=600003c5 -ZC- EL1h\r\n(qemu) xp /14gx 0x7e001000\r\n\
            000000007e001000: 0x0000000000000003 0x0000000000000001\r\n\
            000000007e001010: 0x0500000200000005 0x0000000000000009\r\n\
            000000007e001020: 0x0000000000000002 0x0500000200000006\r\n\
            000000007e001030: 0x000000000000000a 0x0000000000000002\r\n\
            000000007e001040: 0x0000000000000001 0x0400000000000007\r\n\
            000000007e001050: 0x0000000000000003 0x0000000000000000\r\n\
            000000007e001060: 0x0000000000000000 0x0000000000000000\r\n(qemu) quit\r\n";
        assert_eq!(
            read(console, &places()),
            [
                "core 0 at EL2, image+0x1234",
                "core 1 at EL1, 0x48000000",
                "core 0, event 1 at 9: VM slot 2 in phase 5",
                "core 0, event 2 at 10: VM slot 2 in phase 6",
                "core 1, event 1 at 3: host denied page 0x7",
            ]
        );
    }

    #[test]
    fn a_machine_without_a_banner_has_cores() {
        let console = "CPU#0\n PC=0000000040201234 X00=0\nPSTATE=600003c9 -ZC- EL2h\n";
        let found = read(console, &Places::default());
        assert_eq!(found, ["core 0 at EL2, 0x40201234"]);
    }
}
