//! `fl-core attack`.

use ashlar_cli::{Answer, Failure, GlobalArgs, RunArgs};
use clap::Args;
use toml::{Table, Value};

use super::{
    settings::{self, TrainFlags, set},
    train::execute,
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar fl-core attack --config run.toml --attack baseline --start-round 20 --attack-rounds 30
  ashlar fl-core attack --config run.toml --attack neurotoxin --mask-top-fraction 0.05 --format json";

/// `fl-core attack`.
#[derive(Args, Clone, Debug)]
pub struct AttackArgs {
    #[command(flatten)]
    pub run: RunArgs,
    #[command(flatten)]
    pub flags: TrainFlags,
    /// How the malicious update is made: baseline, neurotoxin, boost or pgd [default: the file's, else baseline].
    #[arg(long, value_name = "ATTACK", help_heading = "Attack")]
    pub attack: Option<String>,
    /// Neurotoxin: share of the coordinates, the largest observed, that the attack leaves alone.
    #[arg(long, value_name = "SHARE", help_heading = "Attack")]
    pub mask_top_fraction: Option<f64>,
    /// Attack rounds.
    #[arg(long, value_name = "A", help_heading = "Attack")]
    pub attack_rounds: Option<u32>,
    /// First attack round, counted from 0.
    #[arg(long, value_name = "B", help_heading = "Attack")]
    pub start_round: Option<u32>,
    /// Rounds after the attack over which its life is measured; sets --rounds where that isn't given.
    #[arg(long, value_name = "H", help_heading = "Attack")]
    pub horizon: Option<u32>,
    /// Backdoor accuracy below which the backdoor counts as gone.
    #[arg(long, value_name = "ACC", help_heading = "Attack")]
    pub kappa: Option<f64>,
}

pub(super) fn run(args: &AttackArgs, _: &GlobalArgs) -> Result<Answer, Failure> {
    let config = settings::load(&args.run, &args.flags, |table| apply(args, table))?;
    if !config.attack.is_on() {
        return Err(
            Failure::usage("there is no attack: attack.name is none").help("give --attack NAME and --attack-rounds A")
        );
    }
    execute(config, &args.run, "attack")
}

fn apply(args: &AttackArgs, table: &mut Table) -> Result<(), Failure> {
    let integer = |value: u32| Value::Integer(i64::from(value));
    let has = |table: &Table, key: &str| table.get("attack").and_then(|attack| attack.get(key)).is_some();
    let name = args.attack.clone().or_else(|| (!has(table, "name")).then(|| "baseline".to_owned()));
    for (key, value) in [
        ("attack.name", name.map(Value::String)),
        ("attack.mask_top_fraction", args.mask_top_fraction.map(Value::Float)),
        ("attack.rounds", args.attack_rounds.map(integer)),
        ("attack.start", args.start_round.map(integer)),
        ("attack.horizon", args.horizon.map(integer)),
        ("attack.kappa", args.kappa.map(Value::Float)),
    ] {
        if let Some(value) = value {
            set(table, key, value)?;
        }
    }
    if let (Some(horizon), None) = (args.horizon, args.flags.rounds) {
        let get = |key: &str| table.get("attack").and_then(|attack| attack.get(key)).and_then(Value::as_integer);
        let end = get("start").unwrap_or(0).saturating_add(get("rounds").unwrap_or(0));
        set(table, "server.rounds", Value::Integer(end.saturating_add(i64::from(horizon))))?;
    }
    Ok(())
}
