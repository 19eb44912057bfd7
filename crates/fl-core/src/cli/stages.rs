//! The commands that experiment files can run.

use ashlar_cli::{
    Failure, config,
    stage::{StageCommand, StageContext},
};
use serde_json::Value;
use toml::Table;

use super::{settings, train};
use crate::config::RunConfig;

/// `fl-core train` and `fl-core attack`: the same tables, the second with `[attack]` set.
pub const STAGES: &[StageCommand] = &[
    StageCommand { name: "fl-core train", check, run },
    StageCommand { name: "fl-core attack", check: check_attack, run },
];

fn check(table: &Table) -> Result<(), Failure> {
    read(table).map(|_| ())
}

fn check_attack(table: &Table) -> Result<(), Failure> {
    let config = read(table)?;
    if config.attack.is_on() {
        return Ok(());
    }
    Err(Failure::usage("`fl-core attack` needs attack.name and attack.rounds").help("or run fl-core train"))
}

fn run(table: &Table, context: &StageContext) -> Result<Value, Failure> {
    settings::check_device(context.device)?;
    let mut config = read(table)?;
    config.seed = context.seed;
    let around = train::stage_surroundings(&context.out, context.resume, context.threads, context.interrupt);
    train::watched(config, &around, &context.label)
}

fn read(table: &Table) -> Result<RunConfig, Failure> {
    let config: RunConfig = config::from_table(table, None)?;
    settings::check(&config, None)?;
    Ok(config)
}
