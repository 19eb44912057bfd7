//! `ashlar-dp-core`: these commands on their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_dp_core::cli::main()
}
