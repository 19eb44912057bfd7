//! Ashlar's chores: `cargo xtask` lists them, `cargo xtask NAME` does one.

mod gpu_table;
mod packaged;
mod ptx;
mod stub;

use std::process::ExitCode;

struct Chore {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<(), String>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "gpu-table",
        usage: "gpu-table DIR [--write]",
        about: "the table of what scripts/gpu/run.sh measured into DIR; --write: into docs/src/benchmarks/kernels-gpu.md",
        run: gpu_table::run,
    },
    Chore {
        name: "packaged",
        usage: "packaged",
        about: "build and run the README's library example against the packaged crates, outside the workspace",
        run: packaged::packaged,
    },
    Chore {
        name: "ptx",
        usage: "ptx [--check | --install]",
        about: "compile kernels/*.cu to kernels/ptx (lowered, assembled for every architecture, with MANIFEST.toml); \
            --check: only compare; --install: put the compiler into .cuda/",
        run: ptx::run,
    },
    Chore {
        name: "stub",
        usage: "stub [--check]",
        about: "lint the code behind candle-cuda without any CUDA: candle-kernels without its PTX, made in the target \
            directory; --check: only type-check",
        run: stub::run,
    },
];

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = args.split_first() else {
        println!("cargo xtask CHORE\n");
        for chore in CHORES {
            println!("  {:26} {}", chore.usage, chore.about);
        }
        return ExitCode::SUCCESS;
    };
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        eprintln!("error: no chore is called `{name}`; `cargo xtask` lists them");
        return ExitCode::from(2);
    };
    match (chore.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
