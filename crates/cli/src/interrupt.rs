//! Ctrl-C: the first asks the loop to save and stop, the second ends the process at once.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

static ASKED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<()> = OnceLock::new();

/// Installs the handler (once per process) and returns the flag that a training loop polls after each step.
pub fn flag() -> &'static AtomicBool {
    INSTALLED.get_or_init(|| {
        let handler = || {
            if ASKED.swap(true, Ordering::SeqCst) {
                #[allow(clippy::exit, reason = "the user asked twice: nothing is left to clean up")]
                std::process::exit(i32::from(crate::Exit::Interrupted as u8));
            }
            tracing::warn!("interrupted: finishing the step and writing a checkpoint; again to stop at once");
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            tracing::warn!("Ctrl-C will not write a checkpoint: {error}");
        }
    });
    &ASKED
}
