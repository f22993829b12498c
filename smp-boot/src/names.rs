//! The properties of a device tree that anything here looks at, by number.
//!
//! A tree gives a property's name as an offset into its strings, and few offsets are met again and again: each is read
//! once ([`Names`]).

/// Such a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Name {
    AddressCells,
    Bootargs,
    Compatible,
    DeviceType,
    EnableMethod,
    InitrdEnd,
    InitrdStart,
    InterruptNames,
    Interrupts,
    LinuxPhandle,
    Method,
    MsiMap,
    MsiParent,
    NoMap,
    Phandle,
    Ranges,
    RedistributorRegions,
    RedistributorStride,
    Reg,
    RegIoWidth,
    RegShift,
    SizeCells,
    Status,
    StdoutPath,
    /// Any other.
    Other,
}

/// How many are told apart.
pub const NAMES: usize = Name::Other as usize;

/// Each with its text.
const TEXTS: [(Name, &[u8]); NAMES] = [
    (Name::AddressCells, b"#address-cells"),
    (Name::Bootargs, b"bootargs"),
    (Name::Compatible, b"compatible"),
    (Name::DeviceType, b"device_type"),
    (Name::EnableMethod, b"enable-method"),
    (Name::InitrdEnd, b"linux,initrd-end"),
    (Name::InitrdStart, b"linux,initrd-start"),
    (Name::InterruptNames, b"interrupt-names"),
    (Name::Interrupts, b"interrupts"),
    (Name::LinuxPhandle, b"linux,phandle"),
    (Name::Method, b"method"),
    (Name::MsiMap, b"msi-map"),
    (Name::MsiParent, b"msi-parent"),
    (Name::NoMap, b"no-map"),
    (Name::Phandle, b"phandle"),
    (Name::Ranges, b"ranges"),
    (Name::RedistributorRegions, b"#redistributor-regions"),
    (Name::RedistributorStride, b"redistributor-stride"),
    (Name::Reg, b"reg"),
    (Name::RegIoWidth, b"reg-io-width"),
    (Name::RegShift, b"reg-shift"),
    (Name::SizeCells, b"#size-cells"),
    (Name::Status, b"status"),
    (Name::StdoutPath, b"stdout-path"),
];

impl Name {
    fn of(text: &[u8]) -> Self {
        let mut known = TEXTS.iter().filter(|(_, known)| known.len() == text.len());
        known
            .find(|(_, known)| *known == text)
            .map_or(Self::Other, |(name, _)| *name)
    }

    /// Its text; none for [`Name::Other`].
    pub fn text(self) -> &'static [u8] {
        TEXTS.get(self as usize).map_or(b"", |(_, text)| text)
    }
}

/// Offsets that are remembered, a power of two.
const REMEMBERED: usize = 64;

/// What is at which offset of a tree's strings, as far as it was asked for.
pub struct Names<'t> {
    strings: &'t [u8],
    seen: [(u32, Name); REMEMBERED],
    places: [Option<u32>; NAMES],
}

impl<'t> Names<'t> {
    /// Knows nothing yet of these strings, which end in a zero if there are any.
    pub fn new(strings: &'t [u8]) -> Self {
        // No offset of another slot's is found in this one.
        let mut seen = [(0, Name::Other); REMEMBERED];
        seen[0].0 = 1;
        Self {
            strings,
            seen,
            places: [None; NAMES],
        }
    }

    /// The name at this offset; `None` if there is none.
    #[inline]
    pub fn at(&mut self, offset: u32) -> Option<Name> {
        let slot = &mut self.seen[offset as usize % REMEMBERED];
        if slot.0 == offset {
            return Some(slot.1);
        }
        let text = text_at(self.strings, offset)?;
        if text.is_empty() {
            return None;
        }
        *slot = (offset, Name::of(text));
        if let Some(place) = self.places.get_mut(slot.1 as usize) {
            place.get_or_insert(offset);
        }
        Some(slot.1)
    }

    /// Where each was seen first.
    pub fn places(&self) -> [Option<u32>; NAMES] {
        self.places
    }
}

/// The text at `offset` of strings that end in a zero.
pub fn text_at(strings: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = strings.get(offset as usize..)?;
    rest.split(|&byte| byte == 0).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_in_the_order_of_their_texts() {
        for (index, (name, text)) in TEXTS.iter().enumerate() {
            assert_eq!(*name as usize, index);
            assert_eq!((Name::of(text), name.text()), (*name, *text));
        }
        assert_eq!(Name::of(b"reg\0"), Name::Other);
        assert_eq!(Name::of(b""), Name::Other);
    }

    #[test]
    fn offsets_with_one_slot_don_t_take_each_other_s_names() {
        let mut strings = [b'x'; 80];
        strings[..4].copy_from_slice(b"reg\0");
        strings[64..71].copy_from_slice(b"status\0");
        strings[79] = 0;
        let mut names = Names::new(&strings);
        for _ in 0..2 {
            assert_eq!(names.at(0), Some(Name::Reg));
            assert_eq!(names.at(64), Some(Name::Status));
            assert_eq!(names.at(67), Some(Name::Other));
        }
        assert_eq!(names.at(70), None, "no name is empty");
        assert_eq!(names.at(80), None);
        assert_eq!(names.at(u32::MAX), None);
    }
}
