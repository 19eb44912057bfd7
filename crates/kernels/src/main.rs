//! `ashlar-kernels`: top-k and sketches from the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ashlar_kernels::cli::main()
}
