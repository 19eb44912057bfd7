//! What Ashlar's commands share.
//!
//! - [`Failure`]: an error with its exit code and, for configuration mistakes, file, line, column and a suggestion.
//! - [`config`]: TOML files with `--set key.path=value` over them, every mistake of a file reported at once.
//! - [`GlobalArgs`], [`RunArgs`]: the flags that all commands spell the same way.
//! - [`main`]: parse, install the log subscriber, run, print one JSON object or text, exit.
//! - [`stage`]: the commands that an experiment file can run, and what they get to know about the run.
//! - [`progress`] and [`interrupt`]: bars on a terminal, plain lines elsewhere; Ctrl-C.
//!
//! Exit codes: 0 done · 1 failed while running · 2 the input or the usage is wrong · 3 a gate says no ·
//! 4 finished, but some samples failed · 130 interrupted after a checkpoint.

pub mod args;
pub mod config;
mod failure;
pub mod interrupt;
mod logging;
pub mod output;
pub mod progress;
pub mod stage;
pub mod suggest;

pub use args::{DeviceArg, Format, GlobalArgs, RunArgs};
pub use failure::{Exit, Failure};
pub use output::{Answer, write_file};

use std::process::ExitCode;

use clap::Parser;

/// Runs a command line from parsing to the exit code: the whole `main` of a binary.
///
/// `run` gets the parsed arguments and returns what to print. Usage errors exit with 2 as clap reports them.
pub fn main<A: Parser>(
    global: impl Fn(&A) -> &GlobalArgs,
    run: impl FnOnce(&A) -> Result<Answer, Failure>,
) -> ExitCode {
    let args = match A::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // `--help` and `--version` come here too: clap prints them to stdout and says 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let global = global(&args);
    logging::install(global);
    match run(&args) {
        Ok(answer) => output::print(&answer, global.format),
        Err(failure) => {
            output::print_failure(&failure, global);
            failure.exit().code()
        }
    }
}
