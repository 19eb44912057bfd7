//! Records the compiler's version for `env.json`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().ok().filter(|out| out.status.success());
    if let Some(version) = version.and_then(|out| String::from_utf8(out.stdout).ok()) {
        println!("cargo::rustc-env=ASHLAR_RUSTC_VERSION={}", version.trim());
    }
}
