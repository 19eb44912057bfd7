//! Which devices there are, which one `auto` takes, and why.

mod info;

use std::fmt;
use std::str::FromStr;

use crate::Result;

use info::LOWEST_CAPABILITY;
pub(crate) use info::describe;
pub use info::{DeviceInfo, GpuInfo, PtxInfo};

/// Where kernels run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Device {
    /// Rust on the CPU: the production path where there is no GPU.
    #[default]
    Cpu,
    /// The CUDA sources on the CPU (feature `simt`): for tests, a thousand times slower.
    Simt,
    /// A GPU by its number (feature `cuda`).
    Cuda(usize),
}

impl Device {
    /// The first GPU if this build and this machine have one, else the CPU, and the reason.
    pub fn auto() -> (Self, String) {
        match gpus() {
            Ok(gpus) => match gpus.iter().find(|gpu| gpu.is_supported()) {
                Some(gpu) => {
                    (Self::Cuda(gpu.ordinal), format!("{} is the first GPU that the kernels run on", gpu.name))
                }
                None if gpus.is_empty() => (Self::Cpu, "the driver reports no GPU".to_owned()),
                None => (Self::Cpu, format!("no GPU has compute capability {LOWEST_CAPABILITY} or more")),
            },
            Err(error) => (Self::Cpu, error.short()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Simt => f.write_str("simt"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    /// `cpu`, `simt`, `cuda` (the first GPU), `cuda:N`, or `auto`.
    fn from_str(text: &str) -> Result<Self, DeviceError> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "simt" => Ok(Self::Simt),
            "cuda" => Ok(Self::Cuda(0)),
            "auto" => Ok(Self::auto().0),
            _ => text
                .strip_prefix("cuda:")
                .and_then(|ordinal| ordinal.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| DeviceError::Unknown { text: text.to_owned() }),
        }
    }
}

/// Why a device can't be had or fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device is called that.
    #[error("no device is called `{text}`: cpu, cuda, cuda:N or auto")]
    Unknown {
        /// What was given.
        text: String,
    },
    /// This binary can't.
    #[error("{device} needs a binary built with the feature `{feature}`: cargo build --features {feature}")]
    NotBuilt {
        /// The device asked for.
        device: Device,
        /// The feature that brings it.
        feature: &'static str,
    },
    /// No NVIDIA driver on this machine.
    #[error("no NVIDIA driver: looked for {looked_for}; --device cpu or auto works without one")]
    NoDriver {
        /// Names of the library.
        looked_for: String,
    },
    /// Fewer GPUs than that.
    #[error("there is no cuda:{ordinal}; this machine has {gpus}")]
    NoSuchGpu {
        /// Number asked for.
        ordinal: usize,
        /// What there is.
        gpus: String,
    },
    /// A GPU from before the kernels' time.
    #[error("cuda:{ordinal} ({name}) has compute capability {found}; the kernels need {LOWEST_CAPABILITY}")]
    OldGpu {
        /// Its number.
        ordinal: usize,
        /// Its name.
        name: String,
        /// What it has.
        found: String,
    },
    /// The driver is older than the PTX.
    #[error(
        "the driver (CUDA {driver}) doesn't load {file}.ptx, which needs PTX {floor}: update the driver, or build with \
         ASHLAR_PTX=build and an nvcc of its version"
    )]
    PtxVersion {
        /// CUDA version of the driver.
        driver: String,
        /// PTX version of the file.
        floor: &'static str,
        /// The file.
        file: &'static str,
    },
    /// What the driver says.
    #[error("{what}: {error}")]
    Driver {
        /// What was being done.
        what: String,
        /// Name of the driver's error.
        error: String,
    },
    /// A mistake of ours.
    #[error("the arguments of {kernel} don't fit its parameters: please report this")]
    Arguments {
        /// The kernel.
        kernel: &'static str,
    },
    /// A buffer of another device.
    #[error("the buffer isn't on {device}, which the runtime runs on: upload it with that runtime")]
    Elsewhere {
        /// The runtime's device.
        device: Device,
    },
    /// Something that exists on the CPU only.
    #[error("{what} exists on the CPU only: {instead}")]
    CpuOnly {
        /// What was asked for.
        what: String,
        /// What to do.
        instead: &'static str,
    },
}

impl DeviceError {
    /// Whether the caller's choice is to blame (exit code 2), rather than the machine (exit code 1).
    pub const fn is_input(&self) -> bool {
        !matches!(self, Self::PtxVersion { .. } | Self::Driver { .. } | Self::Arguments { .. })
    }

    /// In the few words that explain what `auto` chose.
    fn short(&self) -> String {
        match self {
            Self::NotBuilt { feature, .. } => format!("this binary is built without the feature `{feature}`"),
            Self::NoDriver { .. } => "no driver".to_owned(),
            other => other.to_string(),
        }
    }
}

/// The GPUs that the driver reports.
///
/// # Errors
/// A build without the feature `cuda`, no driver, what the driver reports.
pub fn gpus() -> Result<Vec<GpuInfo>, DeviceError> {
    #[cfg(feature = "cuda")]
    return crate::cuda::gpus();
    #[cfg(not(feature = "cuda"))]
    Err(DeviceError::NotBuilt { device: Device::Cuda(0), feature: "cuda" })
}

/// The GPU runtime for a test, or why it must be skipped; see [`require_gpu!`](crate::require_gpu).
///
/// # Panics
/// If there is no GPU and `ASHLAR_REQUIRE_GPU=1`.
pub fn gpu_for_test() -> Result<crate::launch::Runtime, String> {
    match crate::launch::Runtime::new(&Device::Cuda(0)) {
        Ok(runtime) => Ok(runtime),
        Err(error) => {
            let required = std::env::var("ASHLAR_REQUIRE_GPU").is_ok_and(|value| value == "1");
            assert!(!required, "ASHLAR_REQUIRE_GPU=1, but {error}");
            Err(match error {
                crate::Error::Device(error) => error.short(),
                other => other.to_string(),
            })
        }
    }
}

/// In a test: the runtime of `cuda:0`, or a line `skipped: no driver` and a return; `ASHLAR_REQUIRE_GPU=1` makes that a
/// failure.
#[macro_export]
macro_rules! require_gpu {
    () => {
        match $crate::device::gpu_for_test() {
            Ok(runtime) => runtime,
            Err(reason) => {
                println!("skipped: {reason}");
                return;
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for device in [Device::Cpu, Device::Simt, Device::Cuda(0), Device::Cuda(3)] {
            assert_eq!(device.to_string().parse::<Device>().ok(), Some(device));
        }
        assert_eq!("cuda".parse::<Device>().ok(), Some(Device::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU"] {
            let error = text.parse::<Device>().expect_err("not a device");
            assert!(error.to_string().contains(&format!("`{text}`")) && error.is_input());
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_the_feature_cuda_says_so() {
        let error = crate::launch::Runtime::new(&Device::Cuda(0)).expect_err("not built in");
        assert!(error.to_string().contains("--features cuda") && error.is_input(), "{error}");
    }

    #[cfg(not(feature = "simt"))]
    #[test]
    fn without_the_feature_simt_says_so() {
        let error = crate::launch::Runtime::new(&Device::Simt).expect_err("not built in");
        assert!(error.to_string().contains("--features simt") && error.is_input(), "{error}");
    }
}
