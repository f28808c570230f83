//! How the linker lays out the release program.

/// What a container uses, side by side: `docs/decisions/runtime-speed.md`.
const LAYOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/layout.ld");
/// Set by `cargo xtask layout`, which writes the layout anew: where the linker's map goes.
const MAP: &str = "DHOW_RUNTIME_MAP";

fn main() {
    println!("cargo:rerun-if-changed={LAYOUT}");
    println!("cargo:rerun-if-env-changed={MAP}");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let map = variable(MAP);
    let features = variable("CARGO_CFG_TARGET_FEATURE");
    if !map.is_empty() {
        println!("cargo:rustc-link-arg-bins=-Wl,-Map={map}");
    } else if variable("PROFILE") == "release" && features.split(',').any(|feature| feature == "crt-static") {
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{LAYOUT}");
    }
}
