//! The boot archive: a cpio archive in the "newc" format, as the boot loader left it in RAM.
//!
//! Pure. Invariants: every length is checked before use; a damaged archive ends in an error that says
//! where; the walk is bounded by the archive's size.

/// Bytes of a header: "070701" and thirteen fields of eight hexadecimal digits.
const HEADER: usize = 110;
/// Where the file's size is.
const SIZE_AT: usize = 54;
/// Where the name's size is, its terminating zero included.
const NAME_SIZE_AT: usize = 94;
/// Name of the entry that ends the archive.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The file called `name`, by its offset and bytes; `None` if the archive has none.
pub fn find<'a>(archive: &'a [u8], name: &str) -> Result<Option<(usize, &'a [u8])>, &'static str> {
    const DAMAGED: &str = "the boot archive is damaged";
    let mut at = 0_usize;
    loop {
        let header = archive.get(at..).and_then(<[u8]>::first_chunk::<HEADER>);
        let header = header.ok_or(DAMAGED)?;
        if !matches!(&header[..6], b"070701" | b"070702") {
            return Err("the initial RAM disk is not a cpio archive (newc)");
        }
        let size = hexadecimal(&header[SIZE_AT..SIZE_AT + 8]).ok_or(DAMAGED)?;
        let name_size = hexadecimal(&header[NAME_SIZE_AT..NAME_SIZE_AT + 8]).ok_or(DAMAGED)?;
        let name_at = at.checked_add(HEADER).ok_or(DAMAGED)?;
        let name_end = name_at.checked_add(name_size).ok_or(DAMAGED)?;
        let found = archive.get(name_at..name_end).ok_or(DAMAGED)?;
        let found = found.strip_suffix(&[0]).ok_or(DAMAGED)?;
        if found == TRAILER {
            return Ok(None);
        }
        let data_at = name_end.checked_next_multiple_of(4).ok_or(DAMAGED)?;
        let data_end = data_at.checked_add(size).ok_or(DAMAGED)?;
        let data = archive.get(data_at..data_end).ok_or(DAMAGED)?;
        if found == name.as_bytes() {
            return Ok(Some((data_at, data)));
        }
        at = data_end.checked_next_multiple_of(4).ok_or(DAMAGED)?;
    }
}

fn hexadecimal(digits: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(digits).ok()?;
    usize::from_str_radix(text, 16).ok()
}
