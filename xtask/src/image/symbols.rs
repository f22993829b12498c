//! Names for addresses in a crash line: `image+0x1234` is a distance from the image's start.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use elf::ElfBytes;
use elf::abi::{PT_LOAD, STT_FUNC};
use elf::endian::LittleEndian;

const MARK: &str = "image+0x";

/// The functions of a linked program, by distance from its start.
pub struct Symbols(BTreeMap<u64, String>);

impl Symbols {
    /// Reads the symbol table of an ELF file.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        let elf = ElfBytes::<LittleEndian>::minimal_parse(&bytes)?;
        let base = elf
            .segments()
            .context("no program headers")?
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD)
            .map(|segment| segment.p_paddr)
            .min()
            .context("nothing to load")?;
        let (symbols, names) = elf.symbol_table()?.context("no symbol table")?;
        let functions = symbols
            .iter()
            .filter(|symbol| symbol.st_symtype() == STT_FUNC)
            .filter_map(|symbol| {
                let name = names.get(symbol.st_name as usize).ok()?;
                let offset = symbol.st_value.checked_sub(base)?;
                Some((offset, format!("{:#}", rustc_demangle::demangle(name))))
            });
        Ok(Self(functions.collect()))
    }

    /// One line for each address in `text`, with the function that it lies in.
    pub fn explain(&self, text: &str) -> Vec<String> {
        text.split(MARK)
            .skip(1)
            .filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_hexdigit());
                let digits = &rest[..end.unwrap_or(rest.len())];
                let offset = u64::from_str_radix(digits, 16).ok()?;
                let (start, name) = self.0.range(..=offset).next_back()?;
                Some(format!("{MARK}{digits} is {name} + {:#x}", offset - start))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_named_by_the_function_before_them() {
        let symbols = Symbols(BTreeMap::from([
            (0x100, "engine::a".to_owned()),
            (0x200, "engine::b".to_owned()),
        ]));
        assert_eq!(
            symbols.explain("@crash elr=image+0x1f0 lr=image+0x200 far=0x42"),
            [
                "image+0x1f0 is engine::a + 0xf0",
                "image+0x200 is engine::b + 0x0"
            ]
        );
        assert!(symbols.explain("@crash elr=image+0x10").is_empty());
    }
}
