use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What a run needs to be repeated, as written to `env.json`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Env {
    /// Commit of the checkout that the command was run in, or that the binary was built from (`ASHLAR_GIT_SHA` at
    /// build time); null outside one.
    pub git: Option<String>,
    /// Versions: `ashlar` (all its crates share one), `rustc`, and whatever the command adds (`driver`, `ptx`, …).
    pub versions: BTreeMap<String, String>,
    /// Operating system and architecture, `linux x86_64`.
    pub os: String,
    /// Processor's name, if the system tells.
    pub cpu: Option<String>,
    /// Hardware threads of the machine.
    pub cores: usize,
    /// Device of the computations, `cpu` or `cuda:0`.
    pub device: String,
    /// Worker threads.
    pub threads: usize,
    /// The run's seed.
    pub seed: u64,
    /// SHA-256 of the resolved configuration, lower-case hex.
    pub config_hash: String,
    /// Command line, program name first.
    pub command: Vec<String>,
}

impl Env {
    /// Collects what can be found out; the rest is for the caller to say.
    #[must_use]
    pub fn collect(device: &str, threads: usize, seed: u64, resolved_config: &str) -> Self {
        let mut versions = BTreeMap::from([("ashlar".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
        if let Some(rustc) = option_env!("ASHLAR_RUSTC_VERSION") {
            versions.insert("rustc".to_owned(), rustc.to_owned());
        }
        Self {
            git: option_env!("ASHLAR_GIT_SHA").map(str::to_owned).or_else(|| {
                let here = std::env::current_dir().ok()?;
                here.ancestors().find_map(|dir| commit(&dir.join(".git")))
            }),
            versions,
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu: cpu_name(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            device: device.to_owned(),
            threads,
            seed,
            config_hash: config_hash(resolved_config),
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        }
    }

    /// Adds a version.
    #[must_use]
    pub fn version(mut self, name: &str, version: impl Into<String>) -> Self {
        self.versions.insert(name.to_owned(), version.into());
        self
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        // A struct of strings and numbers can't fail to serialise.
        serde_json::to_string_pretty(self).map(|text| text + "\n").unwrap_or_default().into_bytes()
    }
}

/// Lower-case hex SHA-256 of a resolved configuration.
#[must_use]
pub fn config_hash(resolved_config: &str) -> String {
    hex(&Sha256::digest(resolved_config.as_bytes()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The commit that a `.git` folder, or the file that a linked worktree has instead, is at.
fn commit(git: &Path) -> Option<String> {
    let is_hash = |text: &str| text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let dir = if git.is_file() {
        git.parent()?.join(fs::read_to_string(git).ok()?.strip_prefix("gitdir:")?.trim())
    } else {
        git.to_owned()
    };
    let head = fs::read_to_string(dir.join("HEAD")).ok()?;
    let Some(name) = head.trim().strip_prefix("ref: ") else {
        return is_hash(head.trim()).then(|| head.trim().to_owned());
    };
    // Branches of a linked worktree live in the main folder.
    let common = fs::read_to_string(dir.join("commondir")).map_or_else(|_| dir.clone(), |text| dir.join(text.trim()));
    if let Ok(hash) = fs::read_to_string(common.join(name)) {
        return is_hash(hash.trim()).then(|| hash.trim().to_owned());
    }
    let packed = fs::read_to_string(common.join("packed-refs")).ok()?;
    let line = packed.lines().find(|line| line.ends_with(name) && line.split(' ').nth(1) == Some(name))?;
    line.split(' ').next().filter(|hash| is_hash(hash)).map(str::to_owned)
}

fn cpu_name() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}
