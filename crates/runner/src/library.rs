//! The experiment files that are inside the binary.

use std::path::Path;

use ashlar_cli::{Failure, config::Source, suggest::nearest};

/// A file of `experiments/`.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// Its name without the ending.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// All embedded files.
pub const EXPERIMENTS: &[Embedded] = &[
    Embedded { name: "quickstart", text: include_str!("../experiments/quickstart.toml") },
    Embedded { name: "fetchsgd", text: include_str!("../experiments/fetchsgd.toml") },
    Embedded { name: "gemstones", text: include_str!("../experiments/gemstones.toml") },
    Embedded { name: "neurotoxin", text: include_str!("../experiments/neurotoxin.toml") },
    Embedded { name: "sparsefed", text: include_str!("../experiments/sparsefed.toml") },
];

/// The embedded file of this name.
pub fn find(name: &str) -> Option<Embedded> {
    EXPERIMENTS.iter().find(|embedded| embedded.name == name).copied()
}

/// An experiment by the path of its file or, where there is no such file, by an embedded name.
///
/// # Errors
/// Exit code 2: neither exists; the message lists the names.
pub fn open(file_or_name: &str) -> Result<Source, Failure> {
    let path = Path::new(file_or_name);
    if path.is_file() {
        return Source::read(path);
    }
    if let Some(embedded) = find(file_or_name) {
        return Ok(Source { origin: format!("{file_or_name}.toml (embedded)"), text: embedded.text.to_owned() });
    }
    let names: Vec<&str> = EXPERIMENTS.iter().map(|embedded| embedded.name).collect();
    // `experiments/quickstart.toml` outside a checkout means the embedded one.
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(file_or_name);
    let near = nearest(stem, names.iter().copied());
    Err(Failure::usage(format!("there is no experiment file and no embedded experiment `{file_or_name}`")).help(
        match near {
            Some(near) => format!("`ashlar run {near}` runs the embedded one"),
            None => format!("embedded experiments: {}", names.join(", ")),
        },
    ))
}
