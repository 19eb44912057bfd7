//! Progress on stderr: a bar on a terminal, one log line every ten seconds elsewhere, nothing with `--quiet`.

use std::{
    io::IsTerminal,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

static QUIET: AtomicBool = AtomicBool::new(false);
// Bars of runs that go on at the same time stand under each other.
static BARS: OnceLock<MultiProgress> = OnceLock::new();
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Draws no progress from here on.
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Progress through a known number of steps.
pub struct Progress {
    bar: ProgressBar,
    name: String,
    total: u64,
    lines: bool,
    last_line: Instant,
}

impl Progress {
    /// Starts a bar of `total` steps.
    pub fn new(name: impl Into<String>, total: u64) -> Self {
        let name = name.into();
        let quiet = QUIET.load(Ordering::Relaxed);
        let terminal = std::io::stderr().is_terminal();
        let bar = if quiet || !terminal {
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
        } else {
            BARS.get_or_init(MultiProgress::new).add(ProgressBar::new(total))
        };
        if let Ok(style) = ProgressStyle::with_template("{prefix:>24} {bar:28} {pos}/{len} {elapsed} eta {eta} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.clone());
        Self { bar, name, total, lines: !quiet && !terminal, last_line: Instant::now() }
    }

    /// Moves to `position`, with a short message such as the current loss.
    pub fn set(&mut self, position: u64, message: impl Into<String>) {
        let message = message.into();
        if self.lines && self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            tracing::info!("{}: {position}/{} {message}", self.name, self.total);
        }
        self.bar.set_position(position);
        self.bar.set_message(message);
    }

    /// Ends the bar and clears it.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
