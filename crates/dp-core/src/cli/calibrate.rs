//! `dp-core calibrate`.

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::{Map, json};

use super::{
    args::{AccountantArgs, MechanismArg},
    events,
    show::{self, Lines},
};
use crate::{Event, calibrate};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar dp-core calibrate --mechanism gaussian --sample-rate 0.08192 --steps 875 --epsilon 1.0 --delta 1e-5
  ashlar dp-core calibrate --mechanism gaussian --steps 100 --epsilon 1.0 --delta 1e-5 --fixed-event gaussian:nm=200,steps=20";

/// `dp-core calibrate`.
#[derive(Args, Clone, Debug)]
pub struct CalibrateArgs {
    /// Noise to be calibrated.
    #[arg(long, value_enum)]
    mechanism: MechanismArg,
    /// Probability with which each example takes part in a step.
    #[arg(long, value_name = "F", default_value_t = 1.0, allow_hyphen_values = true)]
    sample_rate: f64,
    /// Number of steps.
    #[arg(long, value_name = "N", default_value = "1", value_parser = events::count, allow_hyphen_values = true)]
    steps: u64,
    /// The epsilon to stay within.
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    epsilon: f64,
    /// Probability with which the guarantee may fail.
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    delta: f64,
    #[command(flatten)]
    accountant: AccountantArgs,
    /// What is spent already, `MECHANISM:nm=F[,q=F][,steps=N]`; repeatable.
    #[arg(long, value_name = "EVENT")]
    fixed_event: Vec<String>,
}

pub(super) fn run(args: &CalibrateArgs) -> Result<Answer, Failure> {
    let shape = Event::run(args.mechanism.into(), 1.0, args.sample_rate, args.steps)?;
    let fixed = events::parse_flags("--fixed-event", &args.fixed_event)?;
    let accountant = args.accountant.build(false)?;
    let found = calibrate(accountant.as_ref(), &shape, &fixed, args.epsilon, args.delta)?;

    let event = shape.with_noise_multiplier(found.noise_multiplier)?;
    let all: Vec<Event> = fixed.iter().copied().chain([event]).collect();
    let bound = accountant.epsilon(&all, args.delta)?;
    let json = json!({
        "noise_multiplier": found.noise_multiplier, "epsilon": found.epsilon, "target_epsilon": args.epsilon,
        "delta": args.delta, "accountant": accountant.name(), "neighboring": accountant.neighboring().name(),
        "bound": bound.kind.name(), "mechanism": event.mechanism().name(), "sample_rate": event.sample_rate(),
        "steps": event.steps(), "fixed_events": show::events(&fixed), "warnings": bound.warnings,
    });
    let mut lines = Lines::default();
    lines
        .add("noise multiplier", show::digits(found.noise_multiplier))
        .add("epsilon", format!("{}  {}", show::digits(found.epsilon), show::promise(&bound)))
        .add("target", format!("{} at delta {}", show::digits(args.epsilon), show::digits(args.delta)))
        .add("accountant", accountant.name())
        .add("neighboring", show::relation(accountant.neighboring()))
        .add("event", show::in_words(&event));
    show::add_events(&mut lines, "spent already", &fixed);
    show::add_warnings(&mut lines, &bound.warnings);
    let json = json.as_object().cloned().unwrap_or_else(Map::new);
    Ok(show::answer(json, &lines))
}
