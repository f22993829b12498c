//! The linked engine, instruction by instruction: words, functions, and whose source each one is.
//!
//! The compiler inlines as it likes, so a function's instructions may stand in many places of the
//! image. The debug information tells for every instruction the chain of functions that it was
//! inlined through; a [`Place`] is one of these, named by its source file and its own name, or for
//! assembly the symbol alone. Nothing here depends on what was inlined where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use elf::ElfBytes;
use elf::abi::{SHF_EXECINSTR, SHT_PROGBITS, SHT_RELA, STB_GLOBAL, STT_FUNC, STT_NOTYPE};

use crate::image::lines::{DebugLines, Frame};
use crate::litmus::instruction::{self, Flow};
use crate::litmus::switch;

/// Where an instruction comes from: `file.rs function`, or an assembly symbol.
pub type Place = String;

/// One instruction.
#[derive(Clone)]
pub struct Instruction {
    pub word: u32,
    /// Its name, if its order matters.
    pub name: Option<String>,
    /// The places that it comes from, the innermost first.
    pub places: Vec<Place>,
    /// Its line in each of these, 0 if none is known; empty for assembly.
    pub lines: Vec<u32>,
}

/// A function as the linker sees it.
#[derive(Clone)]
pub struct Function {
    pub name: String,
    pub start: u64,
    pub end: u64,
}

/// The program.
pub struct Program {
    code: BTreeMap<u64, Instruction>,
    functions: BTreeMap<u64, Function>,
    /// Where each `BR` may go, as far as it is a switch.
    switches: BTreeMap<u64, Vec<u64>>,
    /// Functions that can come back.
    returning: BTreeSet<u64>,
    /// Addresses in the image that its data holds.
    relocated: BTreeSet<u64>,
    /// Every symbol's value.
    values: BTreeMap<String, u64>,
}

impl Program {
    /// Reads the linked program `file`, whose sources lie below `root`.
    pub fn read(file: &Path, root: &Path) -> Result<Self> {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        let elf = ElfBytes::<elf::endian::LittleEndian>::minimal_parse(&bytes)?;
        let (functions, data) = symbols(&elf)?;
        let debug = DebugLines::read(&elf, root)?;
        let mut code = BTreeMap::new();
        for header in elf.section_headers().context("no sections")? {
            let is_code = header.sh_flags & u64::from(SHF_EXECINSTR) != 0;
            if header.sh_type != SHT_PROGBITS || !is_code {
                continue;
            }
            let (content, _) = elf.section_data(&header)?;
            for (word, address) in content.chunks_exact(4).zip((header.sh_addr..).step_by(4)) {
                // What the assembler marked as data is none.
                if data
                    .range(..=address)
                    .next_back()
                    .is_some_and(|(_, &is)| is)
                {
                    continue;
                }
                let word = u32::from_le_bytes(word.try_into()?);
                let name = instruction::name(word);
                let flow = instruction::flow(word, address);
                // The others' places are of no use, and most of the work.
                let counts = name.is_some() || matches!(flow, Flow::Call(_) | Flow::Jump(_));
                let (mut places, lines) = match counts {
                    true => inlined(&debug, address)?,
                    false => Default::default(),
                };
                if places.is_empty() {
                    places.extend(
                        enclosing(&functions, address).map(|function| function.name.clone()),
                    );
                }
                let instruction = Instruction {
                    word,
                    name,
                    places,
                    lines,
                };
                code.insert(address, instruction);
            }
        }
        ensure!(!code.is_empty(), "{} holds no code", file.display());
        let mut program = Self::finish(code, functions, |address| word_at(&elf, address));
        program.relocated = relocated(&elf)?;
        program.values = values(&elf)?;
        Ok(program)
    }

    /// A program of these functions: name, address, words. Each instruction comes from its function.
    #[cfg(test)]
    pub fn of(functions: &[(&str, u64, &[u32])], memory: impl Fn(u64) -> Option<[u8; 4]>) -> Self {
        let (mut code, mut named) = (BTreeMap::new(), BTreeMap::new());
        for &(name, start, words) in functions {
            for (&word, address) in words.iter().zip((start..).step_by(4)) {
                let places = vec![name.to_owned()];
                let name = instruction::name(word);
                let instruction = Instruction {
                    word,
                    name,
                    places,
                    lines: Vec::new(),
                };
                code.insert(address, instruction);
            }
            let end = start + 4 * words.len() as u64;
            let name = name.to_owned();
            named.insert(start, Function { name, start, end });
        }
        Self::finish(code, named, memory)
    }

    fn finish(
        code: BTreeMap<u64, Instruction>,
        functions: BTreeMap<u64, Function>,
        memory: impl Fn(u64) -> Option<[u8; 4]>,
    ) -> Self {
        let mut program = Self {
            code,
            functions,
            switches: BTreeMap::new(),
            returning: BTreeSet::new(),
            relocated: BTreeSet::new(),
            values: BTreeMap::new(),
        };
        program.switches = switch::find_all(&program, memory);
        program.find_returning();
        program
    }

    /// The functions that begin there, by themselves: the others are known, but hold nothing.
    pub fn only(&self, starts: &BTreeSet<u64>) -> Self {
        let kept = starts.iter().filter_map(|start| self.functions.get(start));
        let code = kept.flat_map(|function| self.code.range(function.start..function.end));
        Self {
            code: code.map(|(at, it)| (*at, it.clone())).collect(),
            functions: self.functions.clone(),
            switches: self.switches.clone(),
            returning: self.returning.clone(),
            relocated: self.relocated.clone(),
            values: self.values.clone(),
        }
    }

    /// What `ask` finds with a NOP in the place of the instruction at `address`. No branch is taken
    /// out so: where control goes stays.
    pub fn without<T>(&mut self, address: u64, ask: impl FnOnce(&Self) -> T) -> T {
        let instruction = self.code.get_mut(&address);
        let lost = instruction.and_then(|it| it.name.take());
        let found = ask(self);
        if let Some(instruction) = self.code.get_mut(&address) {
            instruction.name = lost;
        }
        found
    }

    /// Every instruction by address.
    pub fn code(&self) -> &BTreeMap<u64, Instruction> {
        &self.code
    }

    /// Every function by address.
    pub fn functions(&self) -> impl Iterator<Item = &Function> {
        self.functions.values()
    }

    /// The function that `address` lies in.
    pub fn function_at(&self, address: u64) -> Option<&Function> {
        enclosing(&self.functions, address)
    }

    /// Where control goes from `address`; past the end of its function is a jump.
    pub fn flow(&self, address: u64) -> Flow {
        let Some(instruction) = self.code.get(&address) else {
            return Flow::Stop;
        };
        instruction::flow(instruction.word, address)
    }

    /// Where the `BR` at `address` may go, if that is known.
    pub fn switch_at(&self, address: u64) -> Option<&[u64]> {
        self.switches.get(&address).map(Vec::as_slice)
    }

    /// The addresses in the image that its data holds, tables of methods among them.
    pub fn relocated(&self) -> &BTreeSet<u64> {
        &self.relocated
    }

    /// The value of a symbol.
    pub fn value(&self, symbol: &str) -> Option<u64> {
        self.values.get(symbol).copied()
    }

    /// The same with these symbols, and this in its data.
    #[cfg(test)]
    pub fn with(mut self, values: &[(&str, u64)], relocated: &[u64]) -> Self {
        let values = values.iter().map(|&(name, value)| (name.to_owned(), value));
        self.values.extend(values);
        self.relocated.extend(relocated);
        self
    }

    /// Whether the function that begins at `start` can come back.
    pub fn returns(&self, start: u64) -> bool {
        self.returning.contains(&start)
    }

    /// Finds the functions that can come back: the least set that is closed.
    fn find_returning(&mut self) {
        loop {
            let new: Vec<u64> = self
                .functions
                .values()
                .filter(|function| !self.returns(function.start) && self.comes_back(function))
                .map(|function| function.start)
                .collect();
            if new.is_empty() {
                return;
            }
            self.returning.extend(new);
        }
    }

    /// Whether a way leads through `function` to its end and calls nothing that stays away.
    fn comes_back(&self, function: &Function) -> bool {
        let mut seen = BTreeSet::new();
        let mut work = vec![function.start];
        while let Some(address) = work.pop() {
            if !(function.start..function.end).contains(&address) {
                // Out of the function by a jump: the other one comes back in its place.
                if self.returns(address) {
                    return true;
                }
                continue;
            }
            if !seen.insert(address) {
                continue;
            }
            match self.flow(address) {
                Flow::Next | Flow::CallRegister => work.push(address + 4),
                Flow::Jump(to) => work.push(to),
                Flow::Branch(to) => work.extend([to, address + 4]),
                Flow::Call(to) if self.returns(to) => work.push(address + 4),
                Flow::JumpRegister => match self.switch_at(address) {
                    Some(targets) => work.extend(targets),
                    // A call through a pointer in the last place.
                    None => return true,
                },
                Flow::Return => return true,
                Flow::Call(_) | Flow::Stop => {}
            }
        }
        false
    }
}

fn enclosing(functions: &BTreeMap<u64, Function>, address: u64) -> Option<&Function> {
    let (_, function) = functions.range(..=address).next_back()?;
    (address < function.end).then_some(function)
}

type Elf<'a> = ElfBytes<'a, elf::endian::LittleEndian>;

/// The functions, and from which addresses on there is data (or code again) among the code. An
/// assembly symbol reaches to the next one.
fn symbols(elf: &Elf<'_>) -> Result<(BTreeMap<u64, Function>, BTreeMap<u64, bool>)> {
    let headers = elf.section_headers().context("no sections")?;
    let (symbols, names) = elf.symbol_table()?.context("no symbol table")?;
    let (mut functions, mut data) = (BTreeMap::new(), BTreeMap::new());
    for symbol in symbols.iter() {
        let name = names.get(symbol.st_name as usize)?;
        let section = headers.get(usize::from(symbol.st_shndx));
        let is_code = section.is_ok_and(|it| it.sh_flags & u64::from(SHF_EXECINSTR) != 0);
        let is_function = symbol.st_symtype() == STT_FUNC;
        if !is_code || !(is_function || symbol.st_symtype() == STT_NOTYPE) {
            continue;
        }
        if let Some(mark) = name.strip_prefix('$') {
            data.insert(symbol.st_value, mark.starts_with('d'));
            continue;
        }
        let start = symbol.st_value;
        let function = Function {
            name: format!("{:#}", rustc_demangle::demangle(name)),
            start,
            end: start + symbol.st_size,
        };
        // Of several names for one place the one that others call it by.
        let is_called = symbol.st_bind() == STB_GLOBAL && !name.starts_with("__");
        let is_better = symbol.st_size > 0 || is_called;
        if is_better || !functions.contains_key(&start) {
            functions.insert(start, function);
        }
    }
    let starts: Vec<u64> = functions.keys().copied().collect();
    for (index, start) in starts.iter().enumerate() {
        if let Some(function) = functions.get_mut(start)
            && function.end == *start
        {
            function.end = starts.get(index + 1).copied().unwrap_or(u64::MAX);
        }
    }
    Ok((functions, data))
}

/// What the loader adds the image's place to, and writes into its data.
fn relocated(elf: &Elf<'_>) -> Result<BTreeSet<u64>> {
    let mut addresses = BTreeSet::new();
    for header in elf.section_headers().context("no sections")? {
        if header.sh_type == SHT_RELA {
            let all = elf.section_data_as_relas(&header)?;
            addresses.extend(all.map(|it| it.r_addend as u64));
        }
    }
    Ok(addresses)
}

/// Every symbol that has a name.
fn values(elf: &Elf<'_>) -> Result<BTreeMap<String, u64>> {
    let (symbols, names) = elf.symbol_table()?.context("no symbol table")?;
    let value = |symbol: elf::symbol::Symbol| {
        let name = names.get(symbol.st_name as usize)?;
        Ok((name.to_owned(), symbol.st_value))
    };
    symbols.iter().map(value).collect()
}

/// The functions that the instruction was inlined through, the innermost first, and its line in each.
fn inlined(lines: &DebugLines<'_>, address: u64) -> Result<(Vec<Place>, Vec<u32>)> {
    let frames = lines.frames(address)?;
    let place = |frame: &Frame| format!("{} {}", frame.file, frame.function);
    Ok((
        frames.iter().map(place).collect(),
        frames.iter().map(|frame| frame.line).collect(),
    ))
}

/// The word in the loaded image.
fn word_at(elf: &Elf<'_>, address: u64) -> Option<[u8; 4]> {
    let segments = elf.segments()?;
    let segment = segments
        .iter()
        .find(|segment| (segment.p_vaddr..segment.p_vaddr + segment.p_filesz).contains(&address))?;
    let data = elf.segment_data(&segment).ok()?;
    let at = (address - segment.p_vaddr) as usize;
    let mut word = [0; 4];
    let rest = data.get(at..)?;
    for (to, from) in word.iter_mut().zip(rest) {
        *to = *from;
    }
    Some(word)
}
