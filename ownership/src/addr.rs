//! Addresses and page numbers that don't turn into each other silently.
//!
//! Invariants: a [`Pfn`] has at most 52 bits, so its address always exists; a [`Granule`]'s base is
//! a multiple of its size. Arithmetic is checked: an address that would wrap is `None`.

/// Bytes in a page.
pub const PAGE_SIZE: u64 = 4096;
const PAGE_SHIFT: u32 = PAGE_SIZE.trailing_zeros();
const PFN_MAX: u64 = u64::MAX >> PAGE_SHIFT;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        #[repr(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The address with this value.
            pub const fn from_raw(raw: u64) -> Self {
                Self(raw)
            }

            /// Its value.
            pub const fn raw(self) -> u64 {
                self.0
            }

            /// Is it the first byte of a page?
            pub const fn is_page_aligned(self) -> bool {
                self.0 & (PAGE_SIZE - 1) == 0
            }

            /// The first byte of its page.
            pub const fn page_base(self) -> Self {
                Self(self.0 & !(PAGE_SIZE - 1))
            }

            /// Its offset within the page.
            pub const fn page_offset(self) -> u64 {
                self.0 & (PAGE_SIZE - 1)
            }

            /// The address `bytes` further on, unless that wraps.
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// The address `bytes` before, unless that wraps.
            pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
                match self.0.checked_sub(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }
        }
    };
}

address! {
    /// A physical address.
    Pa
}
address! {
    /// An intermediate physical address: what a VM, the host included, believes to be physical.
    Ipa
}

impl Pa {
    /// The page it lies in.
    pub const fn pfn(self) -> Pfn {
        Pfn(self.0 >> PAGE_SHIFT)
    }

    /// The page that begins here, if one does.
    pub const fn pfn_exact(self) -> Option<Pfn> {
        if self.is_page_aligned() {
            Some(self.pfn())
        } else {
            None
        }
    }
}

impl Ipa {
    /// The number of the IPA page it lies in.
    pub const fn page(self) -> u64 {
        self.0 >> PAGE_SHIFT
    }

    /// The first byte of an IPA page, if there is such a page.
    pub const fn from_page(page: u64) -> Option<Self> {
        if page <= PFN_MAX {
            Some(Self(page << PAGE_SHIFT))
        } else {
            None
        }
    }
}

/// A physical page number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Pfn(u64);

impl Pfn {
    /// The page with this number, if an address can name it.
    pub const fn new(raw: u64) -> Option<Self> {
        if raw <= PFN_MAX {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// The page with this number, for numbers out of fields that hold page numbers. Bits above 51
    /// are not part of one and are dropped.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw & PFN_MAX)
    }

    /// Its number.
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// Its first byte.
    pub const fn pa(self) -> Pa {
        Pa(self.0 << PAGE_SHIFT)
    }

    /// The page `pages` further on, if there is one.
    pub const fn checked_add(self, pages: u64) -> Option<Self> {
        match self.0.checked_add(pages) {
            Some(raw) => Self::new(raw),
            None => None,
        }
    }

    /// The page `pages` further on, for steps within what is known to be there: behind the last number that a page
    /// can have the first ones come again.
    #[inline(always)]
    pub const fn after(self, pages: u64) -> Self {
        Self::from_raw(self.0.wrapping_add(pages))
    }

    /// This page and those behind it, so many in all.
    pub fn run(self, pages: u64) -> impl Iterator<Item = Self> {
        (0..pages).map(move |nth| self.after(nth))
    }

    /// How many pages this one lies after `earlier`; `None` if it lies before it.
    pub const fn checked_since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }
}

/// How many granules of one size make one of the next, as a power of two: entries of a page-table
/// page. Models try every interleaving, so theirs are small; the code is the same.
pub const FAN_OUT_SHIFT: u32 = if cfg!(loom) { 1 } else { 9 };

/// The sizes in which memory is owned and mapped, from the smallest up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u64)]
pub enum GranuleSize {
    /// 4 KiB.
    Page,
    /// 2 MiB.
    Block2M,
    /// 1 GiB.
    Block1G,
}

impl GranuleSize {
    /// From the largest down, as a word is looked for.
    pub const DOWNWARD: [Self; 3] = [Self::Block1G, Self::Block2M, Self::Page];

    /// The pages in a granule of this size, as a power of two.
    pub const fn shift(self) -> u32 {
        match self {
            Self::Page => 0,
            Self::Block2M => FAN_OUT_SHIFT,
            Self::Block1G => 2 * FAN_OUT_SHIFT,
        }
    }

    /// Pages in a granule of this size.
    pub const fn pages(self) -> u64 {
        1 << self.shift()
    }

    /// The size of its parts, if it has any.
    pub const fn part(self) -> Option<Self> {
        match self {
            Self::Page => None,
            Self::Block2M => Some(Self::Page),
            Self::Block1G => Some(Self::Block2M),
        }
    }

    /// The size of what it is a part of, if it is one.
    pub const fn whole(self) -> Option<Self> {
        match self {
            Self::Page => Some(Self::Block2M),
            Self::Block2M => Some(Self::Block1G),
            Self::Block1G => None,
        }
    }
}

/// A page, or an aligned 2 MiB or 1 GiB of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Granule {
    size: GranuleSize,
    base: Pfn,
}

impl Granule {
    /// The granule of this size that begins at `base`, if one does.
    pub const fn new(size: GranuleSize, base: Pfn) -> Option<Self> {
        if base.raw().is_multiple_of(size.pages()) {
            Some(Self { size, base })
        } else {
            None
        }
    }

    /// One page.
    pub const fn page(page: Pfn) -> Self {
        Self {
            size: GranuleSize::Page,
            base: page,
        }
    }

    /// The granule of this size that `page` lies in.
    pub const fn around(size: GranuleSize, page: Pfn) -> Self {
        Self {
            size,
            base: Pfn(page.raw() & !(size.pages() - 1)),
        }
    }

    /// Its size.
    pub const fn size(self) -> GranuleSize {
        self.size
    }

    /// Its first page.
    pub const fn base(self) -> Pfn {
        self.base
    }
}

impl From<Pfn> for Granule {
    fn from(page: Pfn) -> Self {
        Self::page(page)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn addresses_do_not_wrap() {
        assert_eq!(Pa::from_raw(u64::MAX).checked_add(1), None);
        assert_eq!(Ipa::from_raw(0).checked_sub(1), None);
        assert_eq!(Pfn::new(PFN_MAX).and_then(|last| last.checked_add(1)), None);
        assert_eq!(Pfn::new(PFN_MAX + 1), None);
        assert_eq!(Pfn::from_raw(5).checked_since(Pfn::from_raw(6)), None);
        assert_eq!(Ipa::from_page(PFN_MAX + 1), None);
    }

    #[test]
    fn pages_and_addresses_agree() {
        let pa = Pa::from_raw(0x4000_1234);
        assert_eq!(pa.pfn(), Pfn::from_raw(0x40001));
        assert_eq!(pa.pfn().pa(), pa.page_base());
        assert_eq!(pa.page_offset(), 0x234);
        assert_eq!(pa.pfn_exact(), None);
        assert_eq!(pa.page_base().pfn_exact(), Some(pa.pfn()));
        assert_eq!(Ipa::from_raw(0x5678).page(), 5);
        assert_eq!(Ipa::from_page(5), Some(Ipa::from_raw(0x5000)));
        let last = Ipa::from_page(PFN_MAX).unwrap();
        assert_eq!(
            last.checked_add(PAGE_SIZE - 1),
            Some(Ipa::from_raw(u64::MAX))
        );
    }

    #[test]
    fn a_size_is_the_part_of_its_whole() {
        assert_eq!(GranuleSize::Page.part(), None);
        assert_eq!(GranuleSize::Block1G.whole(), None);
        for size in [GranuleSize::Block2M, GranuleSize::Block1G] {
            let part = size.part().unwrap();
            assert_eq!(part.whole(), Some(size));
            assert_eq!(part.pages() << FAN_OUT_SHIFT, size.pages());
        }
    }

    #[test]
    fn granules_are_aligned() {
        let page = Pfn::from_raw(0x40201);
        assert_eq!(Granule::new(GranuleSize::Block2M, page), None);
        let block = Granule::around(GranuleSize::Block2M, page);
        assert_eq!(block.base(), Pfn::from_raw(0x40200));
        assert_eq!(
            Granule::new(GranuleSize::Block2M, block.base()),
            Some(block)
        );
        assert_eq!(
            Granule::around(GranuleSize::Block1G, page).base(),
            Pfn::from_raw(0x40000)
        );
    }
}
