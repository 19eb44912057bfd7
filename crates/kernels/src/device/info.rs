//! What this build and this machine can do, as `doctor` says it.

use std::fmt;

use serde::Serialize;

#[cfg(feature = "cuda")]
use super::DeviceError;
use super::{Device, gpus};

/// The kernels' PTX is for sm_80 and everything since.
pub(super) const LOWEST_CAPABILITY: &str = "8.0";

/// One GPU.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuInfo {
    /// N of `cuda:N`.
    pub ordinal: usize,
    /// Product name.
    pub name: String,
    /// Such as `9.0`.
    pub compute_capability: String,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Streaming multiprocessors.
    pub multiprocessors: u32,
}

impl GpuInfo {
    /// Whether the kernels run on it.
    pub fn is_supported(&self) -> bool {
        self.compute_capability
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major >= 8)
    }
}

/// One PTX file of this binary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PtxInfo {
    /// The kernel file.
    pub name: &'static str,
    /// `prebuilt`, `built` or `absent`.
    pub origin: &'static str,
    /// Lowest PTX version that a driver must know.
    pub floor: &'static str,
    /// Whether the committed PTX was made of the sources of this binary.
    pub sources_match: bool,
    /// Of the text.
    pub sha256: &'static str,
    /// Kernels in it.
    pub kernels: Vec<&'static str>,
}

/// What this build and this machine can do, for `doctor`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceInfo {
    /// The runtime's device, where one was asked.
    pub device: Option<String>,
    /// Whether the feature `cuda` is in.
    pub cuda_feature: bool,
    /// Whether the feature `simt` is in.
    pub simt_feature: bool,
    /// `CUDA 12.4`, or what was looked for and not found.
    pub driver: String,
    /// Whether a driver was found.
    pub driver_found: bool,
    /// The GPUs that it reports.
    pub gpus: Vec<GpuInfo>,
    /// The kernels' PTX.
    pub ptx: Vec<PtxInfo>,
    /// What `--device auto` takes.
    pub auto_device: String,
    /// Why it does.
    pub reason: String,
}

impl DeviceInfo {
    /// This build and this machine.
    pub fn probe() -> Self {
        describe(None)
    }

    /// `4 files, floor 7.0, sources match`.
    pub fn ptx_summary(&self) -> String {
        let floor = self.ptx.iter().map(|file| file.floor).max().unwrap_or("none");
        let sources = if self.ptx.iter().all(|file| file.sources_match) { "sources match" } else { "sources differ" };
        format!("{} files, floor {floor}, {sources}", self.ptx.len())
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compiled = |on| if on { "compiled in" } else { "not compiled in" };
        writeln!(f, "cuda feature: {}", compiled(self.cuda_feature))?;
        writeln!(f, "driver: {}", self.driver)?;
        for gpu in &self.gpus {
            let gib = gpu.memory_bytes as f64 / f64::from(1 << 30);
            writeln!(
                f,
                "cuda:{}: {}, compute capability {}, {gib:.0} GiB, {} multiprocessors",
                gpu.ordinal, gpu.name, gpu.compute_capability, gpu.multiprocessors
            )?;
        }
        writeln!(f, "PTX: {}", self.ptx_summary())?;
        write!(f, "device auto -> {}, because {}", self.auto_device, self.reason)
    }
}

pub(crate) fn describe(device: Option<Device>) -> DeviceInfo {
    let (auto, reason) = Device::auto();
    let (driver, driver_found) = driver();
    DeviceInfo {
        device: device.map(|device| device.to_string()),
        cuda_feature: cfg!(feature = "cuda"),
        simt_feature: cfg!(feature = "simt"),
        driver,
        driver_found,
        gpus: gpus().unwrap_or_default(),
        ptx: crate::ptx::files()
            .iter()
            .map(|file| PtxInfo {
                name: file.name,
                origin: file.origin.name(),
                floor: file.floor,
                sources_match: file.sources_match,
                sha256: file.sha256,
                kernels: file.kernels().map(crate::launch::KernelId::name).collect(),
            })
            .collect(),
        auto_device: auto.to_string(),
        reason,
    }
}

fn driver() -> (String, bool) {
    #[cfg(feature = "cuda")]
    return match crate::cuda::driver_version() {
        Ok(version) => (format!("CUDA {version}"), true),
        Err(DeviceError::NoDriver { looked_for }) => (format!("not found (looked for {looked_for})"), false),
        Err(error) => (error.to_string(), false),
    };
    #[cfg(not(feature = "cuda"))]
    ("not looked for (no feature `cuda`)".to_owned(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_says_why() {
        let info = DeviceInfo::probe();
        assert_eq!(info.cuda_feature, cfg!(feature = "cuda"));
        assert!(!info.reason.is_empty());
        assert_eq!(info.auto_device == "cpu", !info.gpus.iter().any(GpuInfo::is_supported));
        assert_eq!(info.ptx.iter().map(|file| file.kernels.len()).sum::<usize>(), crate::launch::KernelId::ALL.len());
        let text = info.to_string();
        let files = info.ptx.len();
        assert!(text.contains(&format!("PTX: {files} files, floor 7.0, sources match")), "{text}");
        assert!(text.contains("device auto -> "), "{text}");
    }

    #[test]
    fn gpus_from_before_sm_80_are_passed_over() {
        for (compute_capability, supported) in
            [("7.5", false), ("8.0", true), ("9.0", true), ("10.3", true), ("", false)]
        {
            let gpu = GpuInfo {
                ordinal: 0,
                name: String::new(),
                compute_capability: compute_capability.to_owned(),
                memory_bytes: 0,
                multiprocessors: 1,
            };
            assert_eq!(gpu.is_supported(), supported, "{compute_capability}");
        }
    }
}
