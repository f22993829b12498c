//! Tells the images that link this runtime where its linker script lies.

fn main() {
    let folder = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    println!("cargo::metadata=script={folder}/image.ld");
    println!("cargo::rerun-if-changed=image.ld");
}
