//! Links the bare-metal image: position-independent, by `link.ld`.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo:rerun-if-changed=link.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        // notext: constants that hold pointers are relocated too, by the entry code, before they
        // are mapped read-only.
        for argument in ["-pie", "--no-dynamic-linker", "-znotext", "-znorelro"] {
            println!("cargo:rustc-link-arg-bins={argument}");
        }
        println!("cargo:rustc-link-arg-bins=-T{here}/link.ld");
    }
}
