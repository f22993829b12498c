//! A second reading of tables, by the specification's offsets alone.

use super::maker::Made;

/// What a machine's tables say of what the engine must not get wrong.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Affinities of cores that can be used, in order.
    pub cores: Vec<u64>,
    /// Cores that can't.
    pub unusable: usize,
    /// The last distributor.
    pub distributor: Option<(u64, u8)>,
    /// Bases of translation services.
    pub its: Vec<u64>,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    (0..N).fold(0, |number, place| {
        number | u64::from(bytes[at + place]) << (8 * place)
    })
}

/// The first listed table with this signature, if it may be believed; `Err` if not.
pub fn table<'m>(made: &'m Made, signature: &[u8; 4]) -> Result<Option<&'m [u8]>, ()> {
    match made
        .listed
        .iter()
        .find(|table| table.signature == *signature)
    {
        Some(table) if table.is_sound => Ok(Some(&table.bytes)),
        Some(_) => Err(()),
        None => Ok(None),
    }
}

/// PSCI is there, and called by SMC.
pub fn has_psci(fadt: &[u8]) -> bool {
    fadt.len() >= 131 && number::<2>(fadt, 129) & 0b11 == 0b01
}

/// What a MADT says.
pub fn madt(table: &[u8]) -> Said {
    let mut said = Said::default();
    let mut at = 44;
    while at + 2 <= table.len() {
        let length = usize::from(table[at + 1]);
        if length < 2 || at + length > table.len() {
            break;
        }
        let structure = &table[at..at + length];
        match structure[0] {
            0x0b if length >= 76 => {
                if number::<4>(structure, 12) & 1 != 0 {
                    said.cores.push(number::<8>(structure, 68));
                } else {
                    said.unusable += 1;
                }
            }
            0x0c if length >= 21 => {
                said.distributor = Some((number::<8>(structure, 8), structure[20]));
            }
            0x0f if length >= 16 => said.its.push(number::<8>(structure, 8)),
            _ => {}
        }
        at += length;
    }
    said
}
