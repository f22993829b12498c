//! An input read from front to back.
//!
//! Invariant: what is behind the end reads as zero, so every input means something, and a longer one begins as
//! the shorter one did.

/// What is left of an input.
#[derive(Clone, Debug, Default)]
pub struct Bytes {
    all: Vec<u8>,
    at: usize,
}

impl Bytes {
    /// All of `input`.
    pub fn new(input: &[u8]) -> Self {
        Self {
            all: input.to_vec(),
            at: 0,
        }
    }

    /// Is nothing left?
    pub fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let byte = self.all.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    /// The next two, the lower first.
    pub fn half(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next four.
    pub fn word(&mut self) -> u32 {
        u32::from(self.half()) | u32::from(self.half()) << 16
    }

    /// The next eight.
    pub fn long(&mut self) -> u64 {
        u64::from(self.word()) | u64::from(self.word()) << 32
    }

    /// At most `most` of the next bytes, and fewer at the end.
    pub fn take(&mut self, most: usize) -> Vec<u8> {
        let start = self.at.min(self.all.len());
        let end = start.saturating_add(most).min(self.all.len());
        self.at = end;
        self.all[start..end].to_vec()
    }

    /// All the rest.
    pub fn rest(&mut self) -> Vec<u8> {
        self.take(usize::MAX)
    }

    /// One of `from`, which is not empty, by the next byte.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }
}
