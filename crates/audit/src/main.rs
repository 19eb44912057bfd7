//! `ashlar-audit`: these commands on their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_audit::cli::main()
}
