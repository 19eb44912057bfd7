//! Builds and runs the README's library example outside the workspace, against the packaged crates.
//!
//! `cargo package` makes the .crate files that would be published; they are unpacked into the target directory and a
//! scratch crate depends on them by version, with `[patch.crates-io]` standing in for the registry. What is missing from
//! a package (a file outside its folder, a path dependency without version) fails here and not after publishing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

type Outcome<T = ()> = Result<T, String>;

/// Library crates whose packages the example may use, in the order of their dependencies.
const PUBLISHED: &[&str] = &[
    "ashlar-cli",
    "ashlar-kernels",
    "ashlar-data",
    "ashlar-stats",
    "ashlar-report",
    "ashlar-train",
    "ashlar-models",
    "ashlar-fl-core",
    "ashlar-dp-core",
    "ashlar-audit",
    "ashlar-eval",
    "ashlar-runner",
];

/// `cargo xtask packaged`
pub fn packaged(_args: &[String]) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?.to_owned();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let mut package = Command::new("cargo");
    package.current_dir(&root).args(["package", "--locked", "--no-verify", "--allow-dirty"]);
    for name in PUBLISHED {
        package.args(["-p", name]);
    }
    run(&mut package)?;

    let scratch = target.join("packaged");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    }
    fs::create_dir_all(scratch.join("src")).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let version = env!("CARGO_PKG_VERSION");
    let mut patches = String::new();
    for name in PUBLISHED {
        let archive = target.join("package").join(format!("{name}-{version}.crate"));
        run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&scratch))?;
        patches.push_str(&format!("{name} = {{ path = \"{name}-{version}\" }}\n"));
    }
    let readme = fs::read_to_string(root.join("README.md")).map_err(|error| format!("README.md: {error}"))?;
    let example = rust_block(&readme).ok_or("README.md has no ```rust block")?;
    let mut dependencies = String::new();
    for name in PUBLISHED.iter().filter(|name| example.contains(&name.replace('-', "_"))) {
        dependencies.push_str(&format!("{name} = \"{version}\"\n"));
    }
    write(
        &scratch.join("Cargo.toml"),
        &format!(
            "[package]\nname = \"scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
             {dependencies}\n[patch.crates-io]\n{patches}"
        ),
    )?;
    let main = if example.contains("fn main") { example } else { wrap(&example) };
    write(&scratch.join("src/main.rs"), &main)?;
    fs::copy(root.join("Cargo.lock"), scratch.join("Cargo.lock")).map_err(|error| format!("Cargo.lock: {error}"))?;
    run(Command::new("cargo")
        .current_dir(&scratch)
        .env("CARGO_TARGET_DIR", scratch.join("target"))
        .args(["run", "--quiet"]))
}

fn rust_block(markdown: &str) -> Option<String> {
    let after = markdown.split_once("```rust\n")?.1;
    let block = after.split_once("```")?.0;
    // rustdoc hides lines that begin with `# `; a program needs them.
    Some(block.lines().map(|line| line.strip_prefix("# ").unwrap_or(line)).collect::<Vec<_>>().join("\n"))
}

fn wrap(body: &str) -> String {
    format!("fn main() -> Result<(), Box<dyn std::error::Error>> {{\n{body}\nOk(())\n}}\n")
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}")) }
}
