//! What is said where there is a driver but not what was asked for. No GPU is needed: `libcuda.rs` plays a driver that has
//! the GPUs and the age that a test gives it, and each question is asked in a process of its own.
#![cfg(all(feature = "cuda", target_os = "linux"))]

mod experts;

use std::{path::Path, process::Command, sync::OnceLock};

use ashlar_kernels::{
    device::{Device, DeviceInfo},
    launch::Runtime,
};

/// The folder of the driver's library.
fn driver() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/driver/libcuda.rs");
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let built = Command::new(rustc)
            .args(["--edition", "2024", "--crate-type", "cdylib", "-o"])
            .arg(folder.path().join("libcuda.so.1"))
            .arg(source)
            .status();
        assert!(built.expect("rustc runs").success(), "the driver compiles");
        folder
    });
    folder.path()
}

/// What [`child`] prints with this driver.
fn ask(device: &str, gpus: &str, version: u32, load: u32) -> String {
    let (version, load) = (version.to_string(), load.to_string());
    ask_test("child", &[("ASK_DEVICE", device), ("FAKE_GPUS", gpus), ("FAKE_DRIVER", &version), ("FAKE_LOAD", &load)])
}

/// What an ignored test prints with this driver.
fn ask_test(test: &str, environment: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads", "1"])
        .env("LD_LIBRARY_PATH", driver())
        .envs(environment.iter().copied())
        .output()
        .expect("this test runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| line.split_once("> ")).map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// Runs in the process that [`ask`] starts.
#[test]
#[ignore = "asked by the other tests"]
fn child() {
    let Ok(device) = std::env::var("ASK_DEVICE") else { return };
    if device == "doctor" {
        for line in DeviceInfo::probe().to_string().lines() {
            println!("\n> {line}");
        }
        return;
    }
    let device: Device = device.parse().expect("a device");
    match Runtime::new(&device) {
        Ok(runtime) => println!("\n> {runtime:?}"),
        Err(error) => println!("\n> {} {error}", if error.is_input() { "exit 2:" } else { "exit 1:" }),
    }
}

#[test]
fn a_gpu_that_is_not_there_is_answered_with_those_that_are() {
    assert_eq!(ask("cuda:3", "Card A:9.0", 12_040, 0), "exit 2: there is no cuda:3; this machine has cuda:0 (Card A)");
    assert_eq!(
        ask("cuda:2", "Card A:9.0,Card B:8.6", 12_040, 0),
        "exit 2: there is no cuda:2; this machine has cuda:0 (Card A), cuda:1 (Card B)"
    );
    assert_eq!(ask("cuda:0", "", 12_040, 0), "exit 2: there is no cuda:0; this machine has no GPU");
}

#[test]
fn an_old_gpu_is_refused() {
    assert_eq!(
        ask("cuda:0", "Card C:7.5", 12_040, 0),
        "exit 2: cuda:0 (Card C) has compute capability 7.5; the kernels need 8.0"
    );
}

#[test]
fn an_old_driver_is_told_its_version_the_needed_one_and_the_way_out() {
    let said = ask("cuda:0", "Card A:9.0", 10_020, 222);
    assert!(said.starts_with("exit 1: the driver (CUDA 10.2) doesn't load "), "{said}");
    assert!(said.contains("needs PTX 7.0") && said.contains("ASHLAR_PTX=build"), "{said}");
}

#[test]
fn other_refusals_carry_the_drivers_word() {
    let said = ask("cuda:0", "Card A:9.0", 12_040, 209);
    assert!(said.starts_with("exit 1: loading ") && said.contains("CUDA_ERROR_NO_BINARY_FOR_GPU"), "{said}");
}

#[test]
fn the_doctor_describes_what_the_driver_reports() {
    let said = ask("doctor", "Card C:7.5,Card A:9.0", 12_040, 0);
    for part in [
        "driver: CUDA 12.4",
        "cuda:0: Card C, compute capability 7.5, 80 GiB, 132 multiprocessors",
        "device auto -> cuda:1, because Card A is the first GPU that the kernels run on",
    ] {
        assert!(said.contains(part), "{said}");
    }
    let said = ask("doctor", "Card C:7.5", 12_040, 0);
    assert!(said.contains("device auto -> cpu, because no GPU has compute capability 8.0 or more"), "{said}");
}
