//! `ashlar-eval`: these commands on their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_eval::cli::main()
}
