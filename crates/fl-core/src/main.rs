//! `ashlar-fl-core`: the federated commands on their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_fl_core::cli::main()
}
