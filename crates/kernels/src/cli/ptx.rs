//! `ptx list`: what this binary would load on a GPU.

use std::fmt::Write as _;

use ashlar_cli::Answer;
use clap::Subcommand;
use serde_json::json;

use crate::device::DeviceInfo;

/// What `ptx` does.
#[derive(Subcommand, Clone, Debug)]
pub(super) enum PtxCommand {
    /// The kernel files: where their PTX comes from, which drivers load it, and the kernels in it.
    #[command(after_help = "Example:\n  ashlar-kernels ptx list --format json")]
    List,
}

pub(super) fn run(PtxCommand::List: &PtxCommand) -> Answer {
    let info = DeviceInfo::probe();
    let mut text = String::new();
    for file in &info.ptx {
        let sources = if file.sources_match { "sources match" } else { "sources differ" };
        let _ = writeln!(
            text,
            "{}.ptx  {}, PTX {}, {sources}, sha256 {}\n  {}",
            file.name,
            file.origin,
            file.floor,
            file.sha256,
            file.kernels.join("\n  ")
        );
    }
    Answer::new(json!(info.ptx), text.trim_end())
}
