//! Reading a newc cpio archive that lies in memory.
//!
//! Invariants: nothing is copied; a header that does not add up ends the search, as if the archive
//! ended there. Format: `cpio(5)`, "new ASCII format".

/// Bytes of an entry's header.
const HEADER: usize = 110;

/// The content of the file `name` in `archive`.
pub fn find<'a>(mut archive: &'a [u8], name: &str) -> Option<&'a [u8]> {
    while let Some(entry) = Entry::read(archive) {
        if entry.name == b"TRAILER!!!" {
            return None;
        }
        if entry.name == name.as_bytes() {
            return Some(entry.content);
        }
        archive = entry.rest;
    }
    None
}

struct Entry<'a> {
    name: &'a [u8],
    content: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(archive: &'a [u8]) -> Option<Self> {
        let header = archive.get(..HEADER)?;
        if !header.starts_with(b"070701") && !header.starts_with(b"070702") {
            return None;
        }
        let size = read_hex(header.get(54..62)?)?;
        let name_size = read_hex(header.get(94..102)?)?;
        // Header and name together, and the content, are padded to four bytes.
        let name_end = HEADER.checked_add(name_size)?;
        let start = name_end.checked_next_multiple_of(4)?;
        let end = start.checked_add(size)?;
        let name = archive.get(HEADER..name_end)?;
        Some(Self {
            name: name.strip_suffix(b"\0").unwrap_or(name),
            content: archive.get(start..end)?,
            rest: archive
                .get(end.checked_next_multiple_of(4)?..)
                .unwrap_or(&[]),
        })
    }
}

fn read_hex(digits: &[u8]) -> Option<usize> {
    usize::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec::Vec};

    fn add(archive: &mut Vec<u8>, name: &str, content: &[u8]) {
        let (size, name_size) = (content.len(), name.len() + 1);
        let zero = 0;
        archive.extend(b"070701");
        for field in [
            zero, zero, zero, zero, zero, zero, size, zero, zero, zero, zero, name_size, zero,
        ] {
            archive.extend(format!("{field:08x}").as_bytes());
        }
        archive.extend(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }

    #[test]
    fn finds_files_among_others() {
        let mut archive = Vec::new();
        add(&mut archive, "kernel", b"12345");
        add(&mut archive, "initrd", b"");
        add(&mut archive, "expected", b"0 0 ab\n");
        add(&mut archive, "TRAILER!!!", b"");
        assert_eq!(find(&archive, "kernel"), Some(&b"12345"[..]));
        assert_eq!(find(&archive, "initrd"), Some(&b""[..]));
        assert_eq!(find(&archive, "expected"), Some(&b"0 0 ab\n"[..]));
        assert_eq!(find(&archive, "other"), None);
    }

    #[test]
    fn damaged_archives_end_early() {
        let mut archive = Vec::new();
        add(&mut archive, "kernel", b"12345");
        assert_eq!(find(&archive[..archive.len() - 4], "kernel"), None);
        archive[54..62].copy_from_slice(b"ffffffff");
        assert_eq!(find(&archive, "kernel"), None);
        archive[0] = b'x';
        assert_eq!(find(&archive, "kernel"), None);
        assert_eq!(find(&[], "kernel"), None);
    }
}
