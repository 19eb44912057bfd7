//! The commands that experiment files can run.

use ashlar_cli::stage::StageCommand;

use super::fit_law::stages as laws;

/// `eval …` as stages.
pub const STAGES: &[StageCommand] = &[
    StageCommand { name: "eval fit-law sweep", check: laws::check_sweep, run: laws::run_sweep },
    StageCommand { name: "eval fit-law parametric", check: laws::check_parametric, run: laws::run_parametric },
];
