//! The log subscriber of the binaries: people's text or JSON lines, on stderr.

use std::io::IsTerminal;

use tracing_subscriber::{filter::LevelFilter, fmt};

use crate::args::{Color, Format, GlobalArgs};

pub(crate) fn install(global: &GlobalArgs) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::INFO,
        (_, 1) => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    crate::progress::set_quiet(global.quiet);
    let ansi = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let builder = fmt::Subscriber::builder().with_max_level(level).with_writer(std::io::stderr).with_ansi(ansi);
    // Fails only if a subscriber is installed already, which is then kept.
    let _ = match global.log_format {
        Format::Text => {
            tracing::subscriber::set_global_default(builder.without_time().with_target(false).compact().finish())
        }
        Format::Json => tracing::subscriber::set_global_default(builder.json().finish()),
    };
}
