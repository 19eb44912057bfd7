//! Tells the binary which commit it was built from; outside a checkout it doesn't know, and says so.

use std::{path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-env-changed=ASHLAR_GIT_SHA");
    if std::env::var_os("ASHLAR_GIT_SHA").is_some() {
        return;
    }
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
    };
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).is_file()) {
        println!("cargo:rerun-if-changed={log}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo:rustc-env=ASHLAR_GIT_SHA={commit}");
    }
}
