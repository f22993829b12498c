//! Too little room, and damage.

use crate::by_hand::Maker;
use crate::common::{SOC, SPARE, edit, edit_in, host_tree, range};
use smp_boot::BootError;
use smp_boot::edit::{EditError, HostTree, edit_for_host};
use smp_boot::wellformed::open;

#[test]
fn says_when_there_is_no_room() {
    let engine = [range(0x8000_0000, 0x8010_0000)];
    let full = edit(SOC, &host_tree(&engine));
    for spare in (0..SPARE).step_by(4) {
        match edit_in(SOC, spare, &host_tree(&engine)) {
            Ok(after) => assert_eq!(after, full),
            Err(EditError::NoRoom { need, have }) => {
                assert_eq!(have, SOC.len() + spare);
                assert!(need > have);
            }
            Err(other) => panic!("{other}"),
        }
    }
    // The boot protocol's limit counts even where the buffer is larger.
    let long = "x".repeat(2 << 20);
    let tree = HostTree {
        bootargs: &long,
        ..host_tree(&[])
    };
    assert!(matches!(
        edit_in(SOC, 8 << 20, &tree),
        Err(EditError::NoRoom {
            have: 0x20_0000,
            ..
        })
    ));
}

#[test]
fn survives_short_buffers() {
    let tree = host_tree(&[]);
    for len in 0..SOC.len() {
        assert!(edit_for_host(&SOC[..len], &mut [0; 8 << 10], &tree).is_err());
    }
}

#[test]
fn survives_damage() {
    let engine = [range(0x8000_0000, 0x8010_0000)];
    let mut bent = 0;
    for at in 0..SOC.len() {
        for damage in [0, 3, 0xff] {
            let mut blob = SOC.to_vec();
            blob[at] = damage;
            if let Ok(after) = edit_in(&blob, SPARE, &host_tree(&engine)) {
                assert!(open(&after).is_some(), "byte {at}");
                bent += 1;
            }
        }
    }
    assert!(bent > 0, "some damage is in values and goes unnoticed");
}

/// Tokens that leave their block for the strings, where an edit would tear them apart.
#[test]
fn refuses_tokens_outside_their_block() {
    let mut blob = Maker::default().begin("").common().end().finish();
    let size = u32::from_be_bytes(blob[36..40].try_into().unwrap());
    blob[36..40].copy_from_slice(&(size - 4).to_be_bytes());
    assert!(open(&blob).is_some(), "the reader does not mind");
    assert_eq!(
        edit_in(&blob, SPARE, &host_tree(&[])),
        Err(BootError::BadNode("malformed").into())
    );
}
