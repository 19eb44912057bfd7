//! `ashlar-models`: the language models' commands on their own.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_models::cli::main()
}
