//! `ashlar-data`: list, fetch and look at data sets.

fn main() -> std::process::ExitCode {
    ashlar_data::cli::main()
}
