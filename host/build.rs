//! Links the bare-metal image with the EL1 runtime's script, as position-independent.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let script = std::env::var("DEP_BULKHEAD_EL1_SCRIPT").expect("el1's build script ran");
        println!("cargo::rustc-link-arg-bins=-T{script}");
        println!("cargo::rustc-link-arg-bins=-pie");
        // Constants with addresses in them are relocated too, by the image's entry code.
        println!("cargo::rustc-link-arg-bins=-znotext");
        println!("cargo::rerun-if-changed={script}");
    }
}
