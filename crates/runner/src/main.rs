//! The `ashlar` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_runner::main()
}
