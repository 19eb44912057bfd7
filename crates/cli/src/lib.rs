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
mod excerpt;
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

use std::{any::TypeId, ffi::OsString, process::ExitCode};

use clap::{Command, Parser};

/// Runs a command line from parsing to the exit code: the whole `main` of a binary.
///
/// `run` gets the parsed arguments and returns what to print. Usage errors exit with 2 as clap reports them.
pub fn main<A: Parser>(
    global: impl Fn(&A) -> &GlobalArgs,
    run: impl FnOnce(&A) -> Result<Answer, Failure>,
) -> ExitCode {
    let args = match parse::<A>(std::env::args_os()) {
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

fn parse<A: Parser>(words: impl IntoIterator<Item = OsString>) -> Result<A, clap::Error> {
    let mut command = take_negative_numbers(A::command());
    let mut matches = command.try_get_matches_from_mut(words)?;
    A::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Lets `--lr -1` reach whoever knows the range, where clap would see an unknown flag `-1`.
fn take_negative_numbers(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let option = arg.get_action().takes_values() && !arg.is_positional();
            // What clap takes for a negative number has no negative exponent.
            let float = arg.get_value_parser().type_id() == TypeId::of::<f64>();
            match (option, float) {
                (true, true) => arg.allow_hyphen_values(true),
                (true, false) => arg.allow_negative_numbers(true),
                (false, _) => arg,
            }
        })
        .mut_subcommands(take_negative_numbers)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Subcommand};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        what: What,
    }

    #[derive(Subcommand)]
    enum What {
        Train(Train),
    }

    #[derive(Args)]
    struct Train {
        #[arg(long)]
        lr: Option<f64>,
        #[arg(short, value_parser = clap::value_parser!(u32))]
        k: Option<u32>,
    }

    #[test]
    fn negative_numbers_are_values() {
        let parse = |words: &[&str]| parse::<Cli>(words.iter().map(OsString::from));
        for (word, value) in [("-1", -1.0), ("-2.5e-3", -2.5e-3), ("-inf", f64::NEG_INFINITY)] {
            let Ok(Cli { what: What::Train(train) }) = parse(&["cli", "train", "--lr", word]) else {
                panic!("{word} is refused");
            };
            assert_eq!(train.lr, Some(value));
            assert!(train.k.is_none());
        }
        let refused = |words: &[&str]| parse(words).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused(&["cli", "train", "-k", "-1"]).contains("-1 is not in 0..="));
        assert!(refused(&["cli", "train", "-1"]).contains("unexpected argument '-1'"));
        assert!(refused(&["cli", "train", "--lr"]).contains("a value is required"));
    }
}
