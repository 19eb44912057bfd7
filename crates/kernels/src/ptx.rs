//! The PTX in this binary: which files, from where, for which drivers.

/// Where a PTX text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The committed file.
    Prebuilt,
    /// nvcc, when this crate was built.
    Built,
    /// Nowhere: built without the feature `cuda` while the committed file didn't match the sources.
    Absent,
}

impl Origin {
    /// `prebuilt`, `built` or `absent`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prebuilt => "prebuilt",
            Self::Built => "built",
            Self::Absent => "absent",
        }
    }
}

/// One kernel file's PTX.
#[derive(Clone, Copy, Debug)]
pub struct PtxFile {
    /// The kernel file, without extension.
    pub name: &'static str,
    /// Where the text comes from.
    pub origin: Origin,
    /// PTX version: drivers that know it load the file (7.0 is CUDA 11.0's).
    pub floor: &'static str,
    /// Whether the committed PTX was made of the sources that this crate was built with.
    pub sources_match: bool,
    /// Of the text.
    pub sha256: &'static str,
    /// Empty without the feature `cuda`.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    pub(crate) text: &'static str,
}

impl PtxFile {
    /// The kernels in it, as [`KernelId`](crate::launch::KernelId) lists them.
    pub fn kernels(&self) -> impl Iterator<Item = crate::launch::KernelId> + '_ {
        crate::launch::KernelId::ALL.iter().copied().filter(|kernel| kernel.file() == self.name)
    }
}

mod embedded {
    use super::{Origin, PtxFile};
    include!(concat!(env!("OUT_DIR"), "/ptx.rs"));
}

/// All kernel files.
pub fn files() -> &'static [PtxFile] {
    embedded::FILES
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::PathBuf;

    use sha2::{Digest, Sha256};

    use crate::launch::{KernelId, Param};

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernels")
    }

    fn sha256(path: &str) -> String {
        let text = fs::read_to_string(folder().join(path)).expect("a file that MANIFEST.toml names").replace('\r', "");
        Sha256::digest(text).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
    }

    /// What MANIFEST.toml says of a PTX file.
    #[derive(Default)]
    struct Recorded {
        sha256: String,
        sources: BTreeMap<String, String>,
        kernels: BTreeSet<String>,
    }

    fn manifest() -> BTreeMap<String, Recorded> {
        let text = fs::read_to_string(folder().join("ptx/MANIFEST.toml")).expect("MANIFEST.toml");
        let mut files: BTreeMap<String, Recorded> = BTreeMap::new();
        let mut file = String::new();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(" = ") else { continue };
            let value = value.trim_matches('"').to_owned();
            match key {
                "file" => file = value,
                "sha256" => files.entry(file.clone()).or_default().sha256 = value,
                "name" => drop(files.entry(file.clone()).or_default().kernels.insert(value)),
                _ => {
                    if let Some(path) = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) {
                        files.entry(file.clone()).or_default().sources.insert(path.to_owned(), value);
                    }
                }
            }
        }
        files
    }

    #[test]
    fn the_committed_ptx_belongs_to_the_sources() {
        let manifest = manifest();
        assert_eq!(
            manifest.keys().collect::<Vec<_>>(),
            ["clip.ptx", "dequant.ptx", "noise.ptx", "sketch.ptx", "sparse.ptx", "topk.ptx"]
        );
        for (file, Recorded { sha256: hash, sources, .. }) in &manifest {
            assert_eq!(&sha256(&format!("ptx/{file}")), hash, "kernels/ptx/{file} was edited: run `cargo xtask ptx`");
            assert!(!sources.is_empty());
            for (path, hash) in sources {
                assert_eq!(&sha256(path), hash, "kernels/{path} was edited: run `cargo xtask ptx`");
            }
        }
    }

    #[test]
    fn the_table_of_kernels_is_that_of_the_ptx() {
        for (file, Recorded { kernels, .. }) in manifest() {
            let name = file.trim_end_matches(".ptx");
            let ours: BTreeSet<String> = KernelId::ALL
                .iter()
                .filter(|kernel| kernel.file() == name)
                .map(|kernel| kernel.name().to_owned())
                .collect();
            assert_eq!(ours, kernels, "{file}: make launch/table.rs list the kernels of the .cu");
        }
    }

    /// The types of an entry's parameters, as the PTX declares them.
    fn parameters(ptx: &str, kernel: &str) -> Vec<String> {
        let (_, rest) = ptx.split_once(&format!(".entry {kernel}(")).expect("an entry of this name");
        let (list, _) = rest.split_once(')').expect("the end of the parameter list");
        list.split(',').filter_map(|item| item.split_whitespace().nth(1).map(str::to_owned)).collect()
    }

    #[test]
    fn the_table_of_parameters_is_that_of_the_ptx() {
        for &kernel in KernelId::ALL {
            let ptx = fs::read_to_string(folder().join(format!("ptx/{}.ptx", kernel.file()))).expect("committed PTX");
            let ours: Vec<&str> = kernel
                .params()
                .iter()
                .map(|param| match param {
                    Param::Pointer | Param::U64 => ".u64",
                    Param::U32 => ".u32",
                    Param::F32 => ".f32",
                    Param::F64 => ".f64",
                })
                .collect();
            assert_eq!(parameters(&ptx, kernel.name()), ours, "{}", kernel.name());
        }
    }

    #[test]
    fn nothing_in_the_ptx_is_fused_or_approximate() {
        for file in ["topk", "sketch", "noise", "clip", "dequant", "sparse"] {
            let ptx = fs::read_to_string(folder().join(format!("ptx/{file}.ptx"))).expect("committed PTX");
            for forbidden in ["fma.rn", ".approx", ".ftz", "min.f32", "max.f32"] {
                assert!(!ptx.contains(forbidden), "{file}.ptx holds {forbidden}: its bits would differ from the CPU's");
            }
            assert!(ptx.contains("\n.version 7.0\n"), "{file}.ptx needs a newer driver than CUDA 11.0's");
        }
    }
}
