//! Whose source an instruction of a linked program is, by its debug information.
//!
//! The compiler inlines as it likes, so a function's instructions may stand in many places of the image. The debug
//! information tells for every instruction the chain of functions that it was inlined through.

use std::path::{Path, PathBuf};

use addr2line::Context as Lines;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use anyhow::Result;
use elf::ElfBytes;

type Elf<'a> = ElfBytes<'a, elf::endian::LittleEndian>;
type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// The debug information of a program.
pub struct DebugLines<'a> {
    lines: Lines<Reader<'a>>,
    root: PathBuf,
}

/// One function of the chain.
pub struct Frame {
    /// Its own name, without its path.
    pub function: String,
    /// Where its source is, from the root of the project if it is the project's.
    pub file: String,
    /// The line, 0 if none is known.
    pub line: u32,
}

impl<'a> DebugLines<'a> {
    /// Reads it; the sources lie below `root`.
    pub fn read(elf: &Elf<'a>, root: &Path) -> Result<Self> {
        let dwarf = Dwarf::load(|section| -> Result<Reader<'a>> {
            let content: &'a [u8] = match elf.section_header_by_name(section.name())? {
                Some(header) => elf.section_data(&header)?.0,
                None => &[],
            };
            Ok(Reader::new(content, LittleEndian))
        })?;
        Ok(Self {
            lines: Lines::from_dwarf(dwarf)?,
            root: root.to_owned(),
        })
    }

    /// The functions that the instruction was inlined through, the innermost first; none for assembly.
    pub fn frames(&self, address: u64) -> Result<Vec<Frame>> {
        let mut frames = self.lines.find_frames(address).skip_all_loads()?;
        let mut found = Vec::new();
        while let Some(frame) = frames.next()? {
            let Some(function) = frame.function else {
                continue;
            };
            let mangled = function.raw_name()?;
            let name = format!("{:#}", rustc_demangle::demangle(&mangled));
            let at = frame.location.as_ref();
            let file = Path::new(at.and_then(|at| at.file).unwrap_or("?"));
            let file = file.strip_prefix(&self.root).unwrap_or(file).display();
            found.push(Frame {
                function: own_name(&name),
                file: file.to_string(),
                line: at.and_then(|at| at.line).unwrap_or(0),
            });
        }
        Ok(found)
    }
}

/// `f` of `a::<impl b::C<D>>::f::<E>`, `closure` of any closure.
fn own_name(path: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::new();
    for c in path.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let mut parts = plain.rsplit("::").filter(|part| !part.is_empty());
    let name = parts.next().unwrap_or(path);
    // Which of a function's closures it is has a number in some manglings and none in others.
    if name.contains("{closure") {
        return "closure".to_owned();
    }
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn a_function_s_own_name_is_the_last_of_its_path() {
        for (path, name) in [
            ("engine::memory::tlb::within", "within"),
            (
                "engine::host::fault::<impl engine::engine::Engine<P>>::host_abort",
                "host_abort",
            ),
            (
                "engine::memory::tlb::flush_runs::<metal::Metal>",
                "flush_runs",
            ),
            ("<a::M as b::P>::tlbi", "tlbi"),
            ("a::b::{{closure}}", "closure"),
            ("a::b::{closure#0}", "closure"),
            ("arch_enter", "arch_enter"),
        ] {
            assert_eq!(own_name(path), name);
        }
    }
}
