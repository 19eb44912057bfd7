//! Type-checks the code behind `candle-cuda` on a machine without any CUDA.
//!
//! Of all that the feature brings, only the crate candle-kernels needs nvcc, and only to fill eleven constants with PTX.
//! So a copy of its Rust sources, with a build script that leaves these empty, takes its place; cudarc is told which
//! version of CUDA to bind instead of asking nvcc. What comes out can be checked and linted, not linked.
//!
//! The patch would change Cargo.lock, so cargo works in a workspace of its own in the target directory: a copy of the
//! manifest and of the lock file, and links to the crates.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

type Outcome<T = ()> = Result<T, String>;

const CRATE: &str = "candle-kernels";
const FEATURE: &str = "candle-cuda";
/// The version of CUDA whose bindings are checked: that of the compiler which makes our PTX.
const CUDA_VERSION: &str = "13000";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    features: BTreeMap<String, Vec<String>>,
}

/// `cargo xtask stub [--check]`
pub fn run(args: &[String]) -> Outcome {
    let command = match args {
        [] => "clippy",
        [check] if check == "--check" => "check",
        _ => return Err("usage: cargo xtask stub [--check]".to_owned()),
    };
    let metadata = metadata()?;
    let members: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| metadata.workspace_members.contains(&package.id) && package.features.contains_key(FEATURE))
        .collect();
    let source = metadata.packages.iter().find(|package| package.name == CRATE);
    let source = source.and_then(|package| package.manifest_path.parent());
    let source = source.ok_or_else(|| format!("{CRATE} is not among the dependencies of feature {FEATURE}"))?;

    let folder = metadata.target_directory.join("stub");
    let stub = folder.join(CRATE);
    write_stub(source, &stub)?;
    let workspace = folder.join("workspace");
    write_workspace(&metadata.workspace_root, &workspace)?;

    let mut cargo = cargo();
    cargo.current_dir(&workspace).arg(command).arg("--config").arg(patch(&stub)).arg("--target-dir");
    // In the dev profile this workspace optimises its dependencies, procedural macros among them.
    cargo.arg(folder.join("target")).args(["--release", "--quiet"]);
    for member in members {
        cargo.args(["-p", &member.name]);
    }
    // The tests that need candle on a GPU are checked with what they test.
    cargo
        .args(["--lib", "--bins", "--test", "candle", "--features", FEATURE])
        .env("CUDARC_CUDA_VERSION", CUDA_VERSION)
        .env_remove("CARGO_TARGET_DIR");
    if command == "clippy" {
        cargo.args(["--", "-D", "warnings"]);
    }
    let status = cargo.status().map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{cargo:?} ended with {status}")) }
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// The workspace with the feature on, which is what makes candle-kernels one of its packages.
fn metadata() -> Outcome<Metadata> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?;
    let feature = format!("ashlar-train/{FEATURE}");
    let mut cargo = cargo();
    cargo.current_dir(root).args(["metadata", "--locked", "--format-version", "1", "--features", &feature]);
    let output = cargo.output().map_err(|error| format!("cannot run {cargo:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{cargo:?}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

/// The crate's Rust sources and licence, and a build script that needs nothing.
fn write_stub(source: &Path, stub: &Path) -> Outcome {
    let library = read(&source.join("src/lib.rs"))?;
    let constants = constants(&library);
    if constants.is_empty() {
        return Err(format!("{}: no `mdl!(NAME, …)` names a PTX constant", source.join("src/lib.rs").display()));
    }
    create(&stub.join("src"))?;
    for name in names(source)?.iter().filter(|name| name.starts_with("LICENSE") || name.starts_with("README")) {
        copy(&source.join(name), &stub.join(name))?;
    }
    for name in names(&source.join("src"))?.iter().filter(|name| is_rust(name)) {
        copy(&source.join("src").join(name), &stub.join("src").join(name))?;
    }
    let manifest = source.join("Cargo.toml");
    let mut table: toml::Table =
        read(&manifest)?.parse().map_err(|error| format!("{}: {error}", manifest.display()))?;
    table.remove("build-dependencies");
    write(&stub.join("Cargo.toml"), &table.to_string())?;
    let text: Vec<String> = constants.iter().map(|name| format!("pub const {name}: &str = \\\"\\\";\\n")).collect();
    let text = text.concat();
    write(
        &stub.join("build.rs"),
        &format!(
            "fn main() {{\n    println!(\"cargo::rerun-if-changed=build.rs\");\n    \
             let out = std::env::var(\"OUT_DIR\").expect(\"cargo sets it\");\n    \
             std::fs::write(format!(\"{{out}}/ptx.rs\"), \"{text}\").expect(\"OUT_DIR can be written\");\n}}\n"
        ),
    )
}

fn is_rust(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "rs")
}

/// The names in `mdl!(NAME, Id);`.
fn constants(library: &str) -> Vec<&str> {
    let lines = library.lines().filter_map(|line| line.trim().strip_prefix("mdl!("));
    lines.filter_map(|rest| rest.split_once(',')).map(|(name, _)| name.trim()).collect()
}

/// The manifest and the lock file copied, everything else that cargo or a build script looks at linked.
fn write_workspace(root: &Path, workspace: &Path) -> Outcome {
    create(workspace)?;
    for name in names(root)? {
        if name.starts_with('.') || name == "target" {
            continue;
        }
        let (from, to) = (root.join(&name), workspace.join(&name));
        if to.symlink_metadata().is_ok() {
            fs::remove_file(&to).map_err(|error| format!("{}: {error}", to.display()))?;
        }
        if matches!(name.as_str(), "Cargo.toml" | "Cargo.lock") {
            copy(&from, &to)?;
        } else {
            link(&from, &to).map_err(|error| format!("{}: {error}", to.display()))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other("the chore needs symbolic links, as Unix has them"))
}

/// `patch.crates-io.candle-kernels.path="…"`, as `--config` takes it.
fn patch(stub: &Path) -> String {
    format!("patch.crates-io.{CRATE}.path={}", toml::Value::String(stub.display().to_string()))
}

fn names(folder: &Path) -> Outcome<Vec<String>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn create(folder: &Path) -> Outcome {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Leaves a file that says the same alone: cargo builds again what is newer.
fn write(path: &Path, text: &str) -> Outcome {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Outcome {
    write(to, &read(from)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_constant_is_found() {
        let library =
            "mod ptx {}\nmacro_rules! mdl { }\nmdl!(AFFINE, Affine);\n    mdl!(BINARY, Binary);\npub mod ffi;\n";
        assert_eq!(constants(library), ["AFFINE", "BINARY"]);
    }

    #[test]
    fn a_path_with_quotes_stays_one_value() {
        let patch = patch(Path::new("/a \"b\"/c"));
        let table: toml::Table = patch.parse().expect("TOML");
        assert_eq!(table["patch"]["crates-io"]["candle-kernels"]["path"].as_str(), Some("/a \"b\"/c"));
    }

    #[test]
    fn the_stub_has_the_sources_and_no_build_dependency() {
        let folder = std::env::temp_dir().join(format!("ashlar-stub-{}", std::process::id()));
        let source = folder.join("source");
        fs::create_dir_all(source.join("src")).expect("a folder");
        let write = |name: &str, text: &str| fs::write(source.join(name), text).expect("a file");
        write(
            "Cargo.toml",
            "[package]\nname = \"candle-kernels\"\nlicense = \"MIT\"\n[build-dependencies.nvcc]\nversion = \"1\"\n",
        );
        write("LICENSE-MIT", "the licence");
        write("src/lib.rs", "mdl!(ONE, One);\n");
        write("src/one.cu", "not Rust");
        let stub = folder.join("stub");
        write_stub(&source, &stub).expect("a stub");
        let manifest = fs::read_to_string(stub.join("Cargo.toml")).expect("a manifest");
        assert!(manifest.contains("license = \"MIT\"") && !manifest.contains("nvcc"), "{manifest}");
        let build = fs::read_to_string(stub.join("build.rs")).expect("a build script");
        assert!(build.contains(r#""pub const ONE: &str = \"\";\n""#), "{build}");
        assert!(stub.join("LICENSE-MIT").exists() && stub.join("src/lib.rs").exists());
        assert!(!stub.join("src/one.cu").exists());
        fs::remove_dir_all(folder).expect("the folder is removed");
    }
}
