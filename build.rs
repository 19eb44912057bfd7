//! Embeds the PTX of `kernels/*.cu`, and with the feature `simt` compiles the same sources for the CPU.
//!
//! `ASHLAR_PTX` says where the PTX comes from: `prebuilt` (the committed files), `build` (nvcc), or `auto`, the default:
//! the committed files when they match the sources, else nvcc when there is one. Without the feature `cuda` nothing is
//! embedded, and nothing is needed. The source tree is never written to: `cargo xtask ptx` makes the committed files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use sha2::{Digest, Sha256};

/// The kernel files, without their extension; the same list is in `crates/kernels/src/launch/table.rs`.
const FILES: [&str; 6] = ["topk", "sketch", "noise", "clip", "sparse", "dequant"];

fn main() {
    if let Err(message) = run() {
        for line in message.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn run() -> Result<(), String> {
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let kernels = root.join("kernels");
    let out = PathBuf::from(var("OUT_DIR")?);
    for name in ["ASHLAR_PTX", "NVCC", "CUDA_HOME", "CUDA_PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    for folder in [kernels.clone(), kernels.join("ptx"), kernels.join("simt")] {
        for file in read_dir(&folder)? {
            if file.is_file() {
                println!("cargo::rerun-if-changed={}", file.display());
            }
        }
    }

    let embed = env::var_os("CARGO_FEATURE_CUDA").is_some();
    let wanted = env::var("ASHLAR_PTX").unwrap_or_else(|_| "auto".to_owned());
    let stale = stale_files(&kernels);
    let mut entries = String::new();
    for name in FILES {
        let matches = !stale.contains_key(name);
        let (path, origin) = match wanted.as_str() {
            "prebuilt" => (Some(kernels.join(format!("ptx/{name}.ptx"))), "Prebuilt"),
            "build" if embed => (Some(compile(&find_nvcc(&root)?, &kernels, name, &out)?), "Built"),
            "auto" | "build" if matches => (Some(kernels.join(format!("ptx/{name}.ptx"))), "Prebuilt"),
            "auto" | "build" if !embed => (None, "Absent"),
            "auto" => match find_nvcc(&root) {
                Ok(nvcc) => (Some(compile(&nvcc, &kernels, name, &out)?), "Built"),
                Err(looked_for) => return Err(no_ptx(name, &stale[name], &looked_for)),
            },
            other => return Err(format!("ASHLAR_PTX={other}: it must be prebuilt, build or auto")),
        };
        entries += &entry(name, path.as_deref(), origin, matches, embed)?;
    }
    write(&out.join("ptx.rs"), &format!("pub(crate) static FILES: &[PtxFile] = &[\n{entries}];\n"))?;
    #[cfg(feature = "simt")]
    simt(&kernels)?;
    Ok(())
}

fn entry(name: &str, path: Option<&Path>, origin: &str, matches: bool, embed: bool) -> Result<String, String> {
    let text = path.map(read).transpose()?.unwrap_or_default();
    let floor = text.lines().find_map(|line| line.strip_prefix(".version ")).unwrap_or("").trim();
    let content = match path {
        Some(path) if embed => format!("include_str!({:?})", path.display().to_string()),
        _ => "\"\"".to_owned(),
    };
    Ok(format!(
        "    PtxFile {{ name: {name:?}, origin: Origin::{origin}, floor: {floor:?}, sources_match: {matches}, sha256: {:?}, text: {content} }},\n",
        sha256(text.as_bytes()),
    ))
}

/// Kernel files whose committed PTX doesn't belong to today's sources, and the reason.
fn stale_files(kernels: &Path) -> BTreeMap<&'static str, String> {
    let manifest = fs::read_to_string(kernels.join("ptx/MANIFEST.toml")).unwrap_or_default();
    // Lines `"path" = "sha256"` under the table of the file that they are about; written by `cargo xtask ptx`.
    let mut recorded: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut current = "";
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix("file = \"").and_then(|rest| rest.strip_suffix(".ptx\"")) {
            current = name;
        } else if let Some((path, hash)) = line.strip_prefix('"').and_then(|rest| rest.split_once("\" = \"")) {
            recorded.entry(current).or_default().push((path, hash.trim_end_matches('"')));
        }
    }
    let mut stale = BTreeMap::new();
    for name in FILES {
        let Some(sources) = recorded.get(name) else {
            stale.insert(name, "it is not in MANIFEST.toml".to_owned());
            continue;
        };
        for (path, hash) in sources {
            match fs::read(kernels.join(path)) {
                Ok(bytes) if sha256(text(&bytes).as_ref()) == *hash => {}
                Ok(_) => drop(stale.insert(name, format!("{path} has changed"))),
                Err(error) => drop(stale.insert(name, format!("{path}: {error}"))),
            }
        }
    }
    stale
}

/// Line ends as committed, whatever the checkout made of them.
fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|&byte| byte != b'\r').collect()
}

fn find_nvcc(root: &Path) -> Result<PathBuf, String> {
    let exe = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let mut places: Vec<PathBuf> = Vec::new();
    places.extend(env::var_os("NVCC").map(PathBuf::from));
    for name in ["CUDA_HOME", "CUDA_PATH"] {
        places.extend(env::var_os(name).map(|home| PathBuf::from(home).join("bin").join(&exe)));
    }
    places.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()).map(|folder| folder.join(&exe)));
    // The workspace's own virtual environment, `.cuda/`.
    if let Some(lib) = root.ancestors().nth(2).map(|workspace| workspace.join(".cuda/lib")) {
        for python in read_dir(&lib).unwrap_or_default() {
            places.push(python.join("site-packages/nvidia/cu13/bin").join(&exe));
        }
    }
    places.push(PathBuf::from("/usr/local/cuda/bin").join(&exe));
    places
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| "nvcc (looked at NVCC, CUDA_HOME, CUDA_PATH, PATH, .cuda/ and /usr/local/cuda)".to_owned())
}

fn compile(nvcc: &Path, kernels: &Path, name: &str, out: &Path) -> Result<PathBuf, String> {
    let ptx = out.join(format!("{name}.ptx"));
    // The flags are part of the kernels' definition: without -fmad=false the bits differ from the CPU's.
    let manifest = read(&kernels.join("ptx/MANIFEST.toml"))?;
    let flags = manifest.lines().find_map(|line| line.strip_prefix("flags = \"")?.strip_suffix('"'));
    let flags = flags.ok_or("kernels/ptx/MANIFEST.toml has no flags: `cargo xtask ptx` makes it")?;
    let done = Command::new(nvcc)
        .args(flags.split(' '))
        .arg(kernels.join(format!("{name}.cu")))
        .arg("-o")
        .arg(&ptx)
        .output()
        .map_err(|error| format!("{}: {error}", nvcc.display()))?;
    if done.status.success() {
        return Ok(ptx);
    }
    Err(format!("{} failed on {name}.cu\n{}", nvcc.display(), String::from_utf8_lossy(&done.stderr)))
}

fn no_ptx(name: &str, reason: &str, looked_for: &str) -> String {
    format!(
        "the committed kernels/ptx/{name}.ptx doesn't belong to kernels/{name}.cu: {reason}, and there is no {looked_for}. Three ways out:\n\
         1. regenerate it: `cargo xtask ptx` (it says how to install the compiler from PyPI wheels);\n\
         2. ASHLAR_PTX=prebuilt takes the committed PTX as it is;\n\
         3. build without the feature `cuda`."
    )
}

#[cfg(feature = "simt")]
fn simt(kernels: &Path) -> Result<(), String> {
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .std("c++20")
        .opt_level(2)
        .define("ASHLAR_SIMT", None)
        .include(kernels)
        .flag("-ffp-contract=off")
        .flag("-fno-strict-aliasing")
        .flag("-Wno-unknown-pragmas")
        .flag("-x")
        .flag("c++")
        .file(kernels.join("simt/simt.cpp"))
        .file(kernels.join("simt/misuse.cu"));
    for name in FILES {
        build.file(kernels.join(format!("{name}.cu")));
    }
    let help = "the feature `simt` runs the CUDA sources on the CPU and needs a C++20 compiler: install g++ (11 or newer) or clang++ (14 or newer), or name one in CXX";
    let compiler = build.try_get_compiler().map_err(|error| format!("{help}\n{error}"))?;
    if !compiler.is_like_gnu() && !compiler.is_like_clang() {
        return Err(format!("{help}; {} is neither", compiler.path().display()));
    }
    build.try_compile("ashlar_simt").map_err(|error| format!("{help}\n{error}"))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

fn var(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, content: &str) -> Result<(), String> {
    fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

fn read_dir(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    Ok(paths)
}
