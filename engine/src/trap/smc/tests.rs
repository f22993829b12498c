use super::*;

#[test]
fn only_the_list_passes() {
    // Every function number of every service, in both conventions, fast and yielding.
    let mut passed = [0u64; 16];
    let mut count = 0;
    for upper in 0..=0xffu64 {
        for number in 0..=0xffffu64 {
            let function = upper << 24 | number;
            if let SmcClass::Pass(_) = classify_host(0, &[function, 1, 0, 0]) {
                passed[count] = function;
                count += 1;
            }
        }
    }
    let expected = [
        0x8000_0002,
        0x8000_3fff,
        0x8000_7fff,
        0x8000_8000,
        0x8400_0050,
        0x8400_0052,
        0x8400_0053,
        0xc400_0053,
    ];
    assert_eq!(&passed[..count], expected);
    // Bits 23:16 of an identifier must be zero; a variant with one set is another call.
    for bit in 16..24 {
        for function in expected {
            assert_eq!(
                classify_host(0, &[function | 1 << bit, 1, 0, 0]),
                SmcClass::Refuse
            );
        }
    }
}

#[test]
fn memory_sharing_and_vendor_services_are_refused() {
    for number in 0x60..=0xef {
        for base in [0x8400_0000u64, 0xc400_0000] {
            assert_eq!(
                classify_host(0, &[base | number, 0, 0, 0]),
                SmcClass::Refuse
            );
        }
    }
    // Silicon, OEM, trusted applications and OS; SDEI; yielding calls.
    for function in [
        0x8200_0000,
        0xc200_ff11,
        0x8300_0001,
        0xb200_0000,
        0xc400_0020,
        0x0200_0000,
    ] {
        assert_eq!(
            classify_host(0, &[function, 0x4000_0000, 0, 0]),
            SmcClass::Refuse
        );
    }
}

#[test]
fn nothing_but_the_named_arguments_passes() {
    let call = |function, argument| classify_host(0, &[function, argument, 0x4000_0000, 7]);
    assert_eq!(call(0x8000_8000, 9), SmcClass::Pass([0x8000_8000, 0, 0, 0]));
    assert_eq!(call(0x8000_7fff, 1), SmcClass::Pass([0x8000_7fff, 1, 0, 0]));
    assert_eq!(call(0x8000_7fff, 2), SmcClass::Answer(-3));
    assert_eq!(call(0x8000_0002, 2), SmcClass::Answer(-3));
    // The 32-bit convention ignores upper halves, x0's included.
    let dirty = classify_host(0, &[0xffff_ffff_8000_0002, 0x1_0000_0001, 0, 0]);
    assert_eq!(dirty, SmcClass::Pass([0x8000_0002, 1, 0, 0]));
    for (bits, passes) in [
        (0, false),
        (1, true),
        (96, true),
        (97, false),
        (u64::MAX, false),
    ] {
        assert_eq!(matches!(call(0x8400_0053, bits), SmcClass::Pass(_)), passes);
    }
    assert_eq!(
        call(0xc400_0053, 192),
        SmcClass::Pass([0xc400_0053, 192, 0, 0])
    );
    assert_eq!(call(0xc400_0053, 193), SmcClass::Answer(-2));
    assert_eq!(
        call(0x8400_0051, 0xc400_0053),
        SmcClass::Pass([0x8400_0051, 0xc400_0053, 0, 0])
    );
    assert_eq!(call(0x8400_0051, 0x8400_0060), SmcClass::Answer(-1));
}

#[test]
fn psci_and_discovery_are_the_engines() {
    assert_eq!(
        classify_host(0, &[0x8400_0000, 0, 0, 0]),
        SmcClass::Psci(PsciCall::Version)
    );
    assert_eq!(
        classify_host(0, &[0x8400_0002, 0, 0, 0]),
        SmcClass::Psci(PsciCall::CpuOff)
    );
    assert_eq!(
        classify_host(0, &[0x8000_0000, 0, 0, 0]),
        SmcClass::Answer(0x1_0002)
    );
    let ask = |function| classify_host(0, &[0x8000_0001, function, 0, 0]);
    assert_eq!(ask(0x8000_0001), SmcClass::Answer(0));
    assert_eq!(
        ask(0x8000_3fff),
        SmcClass::Pass([0x8000_0001, 0x8000_3fff, 0, 0])
    );
    assert_eq!(ask(0x8400_0060), SmcClass::Answer(-1));
    // SYSTEM_SUSPEND would lose the engine, SYSTEM_RESET2 takes vendor arguments.
    assert_eq!(classify_host(0, &[0xc400_000e, 0, 0, 0]), SmcClass::Refuse);
    assert_eq!(classify_host(0, &[0xc400_0012, 0, 0, 0]), SmcClass::Refuse);
    assert_eq!(classify_host(1, &[0x8400_0000, 0, 0, 0]), SmcClass::Refuse);
}
