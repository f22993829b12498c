use super::*;

const ALL: Firmware = Firmware {
    workaround_1: 0,
    workaround_2: 0,
    workaround_3: 1,
    trng: true,
};

fn ask(function: u64, x1: u64) -> GuestCall {
    classify_guest(0, &[function, x1, 0, 0], &ALL)
}

#[test]
fn every_identifier_has_an_answer() {
    let mut forwarded = 0;
    for upper in 0..=0xffu64 {
        for number in 0..=0xffffu64 {
            let function = upper << 24 | number;
            match ask(function, 0) {
                GuestCall::Forward => {
                    // Fast calls of the vendor hypervisor service alone, and never those that
                    // the host itself makes.
                    assert!(upper == 0x86 || upper == 0xc6, "{function:#x}");
                    assert!(!(abi::CALL_BASE..abi::CALL_BASE + 0x100).contains(&function));
                    forwarded += 1;
                }
                GuestCall::Firmware(x) => assert!(x[0] == function && x[2..] == [0, 0]),
                _ => {}
            }
        }
    }
    assert_eq!(forwarded, 2 * (0x80 + 0xfd00));
    for bit in 16..24 {
        assert_eq!(ask(0xc600_8000 | 1 << bit, 0), GuestCall::unknown());
    }
}

#[test]
fn linux_finds_a_protecting_hypervisor() {
    // The UUID 28b46fb6-2ec5-11e9-a9ca-4b564d003a74, four bytes to a register, little end first.
    let uuid: [u8; 16] = [
        0x28, 0xb4, 0x6f, 0xb6, 0x2e, 0xc5, 0x11, 0xe9, 0xa9, 0xca, 0x4b, 0x56, 0x4d, 0x00, 0x3a,
        0x74,
    ];
    let words = core::array::from_fn(|i| {
        u64::from(u32::from_le_bytes(
            [0, 1, 2, 3].map(|byte| uuid[4 * i + byte]),
        ))
    });
    assert_eq!(ask(0x8600_ff01, 0), GuestCall::Answer(words));
    assert_eq!(
        ask(0x8600_0000, 0),
        GuestCall::Answer([0b10_0001_1101, 0, 0, 0])
    );
    assert_eq!(ask(0xc600_0002, 0), GuestCall::Answer([4096, 0, 0, 0]));
    assert_eq!(ask(0xc600_0002, 1), GuestCall::status(-3));
    assert_eq!(
        ask(0xc600_0003, 0x4000_1000),
        GuestCall::Share { ipa: 0x4000_1000 }
    );
    assert_eq!(
        ask(0xc600_0004, 0x4000_1000),
        GuestCall::Unshare { ipa: 0x4000_1000 }
    );
    assert_eq!(
        ask(0xc600_0009, 0x4000_1000),
        GuestCall::Relinquish { ipa: 0x4000_1000 }
    );
    assert_eq!(ask(0xc600_0003, 0x4000_1001), GuestCall::status(-3));
    let ranged = classify_guest(0, &[0xc600_0003, 0x4000_1000, 2, 0], &ALL);
    assert_eq!(ranged, GuestCall::status(-3));
    // Not announced, so not there: the paravirtual clock and the MMIO guard.
    for function in [0x8600_0001, 0xc600_0005, 0xc600_0007, 0x8600_0003] {
        assert_eq!(ask(function, 0), GuestCall::unknown());
    }
}

#[test]
fn discovery_tells_what_the_firmware_tells() {
    let features = |asked, firmware| match classify_guest(0, &[0x8000_0001, asked, 0, 0], &firmware)
    {
        GuestCall::Answer([status, 0, 0, 0]) => status as i64,
        other => panic!("{other:?}"),
    };
    assert_eq!(ask(0x8000_0000, 0), GuestCall::Answer([0x1_0002, 0, 0, 0]));
    assert_eq!(features(0x8000_0001, ALL), 0);
    assert_eq!(features(0x8000_8000, ALL), 0);
    assert_eq!(features(0x8000_3fff, ALL), 1);
    assert_eq!(features(0x8000_8000, Firmware::none()), -1);
    // Workaround 2 is never offered for use.
    assert_eq!(features(0x8000_7fff, ALL), -1);
    assert_eq!(
        features(
            0x8000_7fff,
            Firmware {
                workaround_2: -2,
                ..ALL
            }
        ),
        -2
    );
    assert_eq!(ask(0x8000_7fff, 1), GuestCall::unknown());
    assert_eq!(features(0x8000_0002, ALL), -1);
    assert_eq!(features(0x8400_0060, ALL), -1);

    assert_eq!(
        ask(0x8000_8000, 5),
        GuestCall::Firmware([0x8000_8000, 0, 0, 0])
    );
    let none = classify_guest(0, &[0x8000_8000, 0, 0, 0], &Firmware::none());
    assert_eq!(none, GuestCall::unknown());
}

#[test]
fn entropy_comes_from_the_firmware_or_not_at_all() {
    assert_eq!(
        ask(0xc400_0053, 192),
        GuestCall::Firmware([0xc400_0053, 192, 0, 0])
    );
    assert_eq!(ask(0xc400_0053, 0), GuestCall::status(-2));
    for function in [
        0x8400_0050,
        0x8400_0051,
        0x8400_0052,
        0x8400_0053,
        0xc400_0053,
    ] {
        let call = classify_guest(0, &[function, 0, 0, 0], &Firmware::none());
        assert_eq!(call, GuestCall::unknown());
    }
}

#[test]
fn psci_first_and_immediates_checked() {
    assert_eq!(ask(0x8400_0008, 0), GuestCall::Psci(PsciCall::SystemOff));
    assert_eq!(
        classify_guest(1, &[0x8400_0008, 0, 0, 0], &ALL),
        GuestCall::unknown()
    );
    // FF-A, services of vendors, yielding calls, stolen time.
    for function in [
        0x8400_0060,
        0x8200_0000,
        0x0600_8000,
        0xc500_0020,
        u64::MAX,
        0,
    ] {
        assert_eq!(ask(function, 0x4000_0000), GuestCall::unknown());
    }
}
