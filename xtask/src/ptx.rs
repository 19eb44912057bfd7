//! `cargo xtask ptx`: from `kernels/*.cu` to the committed PTX.
//!
//! nvcc writes the newest PTX version, which only the newest drivers load; ours is rewritten to the lowest version that
//! ptxas still accepts for every architecture, so that one text loads on any driver since. What nvcc writes depends on
//! the sources and its own version only, so `--check` can demand the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use sha2::{Digest, Sha256};

/// What nvcc is called with. `-fmad=false`: a contracted a·b+c would not have the CPU's bits.
const FLAGS: &str = "-ptx -arch=compute_80 -O3 -std=c++17 -fmad=false";
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90", "sm_100"];
/// Versions to try, the lowest first; 7.0 is the first that knows sm_80.
const VERSIONS: [&str; 12] = ["7.0", "7.1", "7.2", "7.4", "7.8", "8.0", "8.2", "8.3", "8.5", "8.7", "8.8", "9.0"];
/// Hints that nvcc adds and that older PTX doesn't know; they change no result.
const DROPPED: &str = ".pragma \"used_bytes_mask";

struct Manifest {
    nvcc: String,
    flags: String,
    ptx: Vec<File>,
}

struct File {
    name: String,
    version: String,
    sha256: String,
    sources: BTreeMap<String, String>,
    kernel: Vec<Kernel>,
}

struct Kernel {
    name: String,
    usage: BTreeMap<String, Usage>,
}

/// What ptxas says of a kernel on one architecture: registers a thread, bytes of static shared memory a block, bytes of
/// stack frame and of spill stores a thread.
#[derive(Default, Clone, Copy)]
struct Usage {
    registers: u32,
    shared: u32,
    stack: u32,
    spill: u32,
}

#[allow(clippy::print_stdout)]
pub fn run(args: &[String]) -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent folder")?.to_owned();
    let check = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        ["--install"] => return install(&root),
        _ => return Err("usage: cargo xtask ptx [--check | --install]".to_owned()),
    };
    let tools = Tools::find(&root)?;
    let kernels = root.join("kernels");
    let scratch = root.join("target/xtask-ptx");
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;

    let mut manifest = Manifest { nvcc: tools.version()?, flags: FLAGS.to_owned(), ptx: Vec::new() };
    let mut texts = Vec::new();
    for source in cuda_sources(&kernels)? {
        let (file, text) = make(&tools, &kernels, &scratch, &source)?;
        println!("{}: PTX {}, {} kernels", file.name, file.version, file.kernel.len());
        manifest.ptx.push(file);
        texts.push(text);
    }
    spills(&manifest)?;

    let mut outputs = vec![("MANIFEST.toml".to_owned(), render(&manifest))];
    outputs.extend(manifest.ptx.iter().map(|file| file.name.clone()).zip(texts));
    let mut stale = Vec::new();
    for (name, content) in outputs {
        let path = kernels.join("ptx").join(&name);
        if fs::read_to_string(&path).unwrap_or_default() == content {
            continue;
        }
        if check {
            stale.push(format!("kernels/ptx/{name}"));
        } else {
            fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
            println!("wrote kernels/ptx/{name}");
        }
    }
    if stale.is_empty() {
        println!("kernels/ptx matches the sources");
        return Ok(());
    }
    Err(format!("not what nvcc {} makes of the sources: {}; run `cargo xtask ptx`", manifest.nvcc, stale.join(", ")))
}

fn make(tools: &Tools, kernels: &Path, scratch: &Path, source: &str) -> Result<(File, String), String> {
    let name = format!("{}.ptx", source.trim_end_matches(".cu"));
    let compiled = scratch.join(&name);
    let mut nvcc = Command::new(&tools.nvcc);
    nvcc.current_dir(kernels).args(FLAGS.split(' ')).arg(source).arg("-o").arg(&compiled);
    output(&mut nvcc)?;
    let text = fs::read_to_string(&compiled).map_err(|error| format!("{}: {error}", compiled.display()))?;

    let lowered = scratch.join(format!("lowered-{name}"));
    for version in VERSIONS {
        let text = with_version(&text, version);
        fs::write(&lowered, &text).map_err(|error| format!("{}: {error}", lowered.display()))?;
        let Ok(usage) =
            ARCHITECTURES.map(|arch| tools.assemble(&lowered, arch)).into_iter().collect::<Result<Vec<_>, _>>()
        else {
            continue;
        };
        let mut sources = BTreeMap::new();
        collect_sources(kernels, source, &mut sources)?;
        let kernel = entries(&text)
            .into_iter()
            .map(|name| {
                let of_arch = |(arch, all): (&&str, &BTreeMap<String, Usage>)| {
                    let usage = all.get(&name).ok_or(format!("ptxas says nothing of {name} on {arch}"))?;
                    Ok(((*arch).to_owned(), *usage))
                };
                let usage = ARCHITECTURES.iter().zip(&usage).map(of_arch).collect::<Result<_, String>>()?;
                Ok(Kernel { name, usage })
            })
            .collect::<Result<_, String>>()?;
        let file = File { name, version: version.to_owned(), sha256: sha256(&text), sources, kernel };
        return Ok((file, text));
    }
    let error = tools.assemble(&compiled, ARCHITECTURES[0]).err().unwrap_or_default();
    Err(format!("ptxas accepts {name} at no PTX version up to {}: {error}", VERSIONS[VERSIONS.len() - 1]))
}

fn with_version(text: &str, version: &str) -> String {
    let mut lowered = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.trim_start().starts_with(DROPPED)) {
        if line.starts_with(".version ") {
            let _ = writeln!(lowered, ".version {version}");
        } else {
            let _ = writeln!(lowered, "{line}");
        }
    }
    lowered
}

fn entries(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_once(".entry ")?.1.split(['(', ' ']).next().map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// A source and the headers of ours that it includes, with the sha256 of each (line ends as committed).
fn collect_sources(kernels: &Path, path: &str, all: &mut BTreeMap<String, String>) -> Result<(), String> {
    if all.contains_key(path) {
        return Ok(());
    }
    let text =
        fs::read_to_string(kernels.join(path)).map_err(|error| format!("kernels/{path}: {error}"))?.replace('\r', "");
    all.insert(path.to_owned(), sha256(&text));
    for line in text.lines() {
        // simt/ is for the CPU: nvcc never sees it.
        if let Some(header) = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'))
            && !header.starts_with("simt/")
        {
            collect_sources(kernels, header, all)?;
        }
    }
    Ok(())
}

fn cuda_sources(kernels: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(kernels).map_err(|error| format!("{}: {error}", kernels.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "cu"))
        .collect();
    names.sort();
    Ok(names)
}

fn spills(manifest: &Manifest) -> Result<(), String> {
    for kernel in manifest.ptx.iter().flat_map(|file| &file.kernel) {
        if let Some((arch, usage)) = kernel.usage.iter().find(|(_, usage)| usage.spill > 0) {
            return Err(format!(
                "{} spills {} bytes on {arch}: give it more registers (__launch_bounds__) or less to hold",
                kernel.name, usage.spill
            ));
        }
    }
    Ok(())
}

/// By hand rather than by `toml`: a line a kernel, and `build.rs` reads it line by line.
fn render(manifest: &Manifest) -> String {
    let mut text = format!(
        "# Made by `cargo xtask ptx`; `cargo xtask ptx --check` compares it. Registers a thread, bytes of shared memory a\n\
         # block, bytes of stack and of spills a thread, as ptxas reports them.\n\
         nvcc = \"{}\"\nflags = \"{}\"\n",
        manifest.nvcc, manifest.flags
    );
    for file in &manifest.ptx {
        let _ = write!(
            text,
            "\n[[ptx]]\nfile = \"{}\"\nversion = \"{}\"\nsha256 = \"{}\"\n\n[ptx.sources]\n",
            file.name, file.version, file.sha256
        );
        for (path, hash) in &file.sources {
            let _ = writeln!(text, "\"{path}\" = \"{hash}\"");
        }
        for kernel in &file.kernel {
            let _ = write!(text, "\n[[ptx.kernel]]\nname = \"{}\"\n", kernel.name);
            for arch in ARCHITECTURES {
                let u = kernel.usage[arch];
                let _ = writeln!(
                    text,
                    "{arch} = {{ registers = {}, shared = {}, stack = {}, spill = {} }}",
                    u.registers, u.shared, u.stack, u.spill
                );
            }
        }
    }
    text
}

struct Tools {
    nvcc: PathBuf,
    ptxas: PathBuf,
}

impl Tools {
    /// Where `build.rs` looks, in the same order.
    fn find(root: &Path) -> Result<Self, String> {
        let mut folders: Vec<PathBuf> = Vec::new();
        folders.extend(env::var_os("NVCC").and_then(|nvcc| Some(Path::new(&nvcc).parent()?.to_owned())));
        for name in ["CUDA_HOME", "CUDA_PATH"] {
            folders.extend(env::var_os(name).map(|home| PathBuf::from(home).join("bin")));
        }
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        for python in fs::read_dir(root.join(".cuda/lib")).into_iter().flatten().flatten() {
            folders.push(python.path().join("site-packages/nvidia/cu13/bin"));
        }
        folders.push(PathBuf::from("/usr/local/cuda/bin"));
        let exe = |folder: &PathBuf, name: &str| folder.join(format!("{name}{}", env::consts::EXE_SUFFIX));
        let found = folders.iter().find(|folder| exe(folder, "nvcc").is_file() && exe(folder, "ptxas").is_file());
        let folder = found.ok_or(
            "no nvcc and ptxas in NVCC, CUDA_HOME, CUDA_PATH, PATH, .cuda/ or /usr/local/cuda: \
             `cargo xtask ptx --install` puts them into .cuda/ (100 MB from PyPI, needs python3 with venv)",
        )?;
        Ok(Self { nvcc: exe(folder, "nvcc"), ptxas: exe(folder, "ptxas") })
    }

    fn version(&self) -> Result<String, String> {
        let text = output(Command::new(&self.nvcc).arg("--version"))?;
        let version =
            text.lines().find_map(|line| line.split_once(", V")).map(|(_, version)| version.trim().to_owned());
        version.ok_or_else(|| format!("{} --version names no version", self.nvcc.display()))
    }

    /// Assembles for one architecture; what each kernel uses.
    fn assemble(&self, ptx: &Path, arch: &str) -> Result<BTreeMap<String, Usage>, String> {
        let done = Command::new(&self.ptxas)
            .args(["-v", &format!("-arch={arch}"), "-o"])
            .arg(ptx.with_extension(format!("{arch}.cubin")))
            .arg(ptx)
            .output()
            .map_err(|error| format!("{}: {error}", self.ptxas.display()))?;
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        if !done.status.success() {
            return Err(text);
        }
        let mut all: BTreeMap<String, Usage> = BTreeMap::new();
        let mut current = Usage::default();
        let mut name = String::new();
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("Compiling entry function '") {
                rest.split('\'').next().unwrap_or_default().clone_into(&mut name);
                current = Usage::default();
            } else if line.contains("bytes stack frame") && !name.is_empty() {
                current.stack = number_before(line, "bytes stack frame");
                current.spill = number_before(line, "bytes spill stores");
            } else if line.contains("Used ") && line.contains(" registers") && !name.is_empty() {
                current.registers = number_before(line, "registers");
                current.shared = if line.contains("bytes smem") { number_before(line, "bytes smem") } else { 0 };
                all.insert(std::mem::take(&mut name), current);
            }
        }
        Ok(all)
    }
}

/// The number that stands before `what` in a line of ptxas.
fn number_before(line: &str, what: &str) -> u32 {
    let before = line.split(what).next().unwrap_or_default();
    before.split_whitespace().last().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn output(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let text = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Err(format!("{} failed:\n{text}", command.get_program().display()))
}

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The compiler's wheels, pinned in `scripts/requirements-cuda.txt`, in a virtual environment that git ignores.
#[allow(clippy::print_stdout)]
fn install(root: &Path) -> Result<(), String> {
    let venv = root.join(".cuda");
    output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    let requirements = root.join("scripts/requirements-cuda.txt");
    output(Command::new(venv.join("bin/pip")).args(["install", "--quiet", "-r"]).arg(&requirements))?;
    println!("installed the CUDA compiler into .cuda/");
    Ok(())
}
