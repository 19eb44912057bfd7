//! `dp-core convert`.

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::{Map, json};

use super::show::{self, Lines};
use crate::convert::{mu_to_delta, mu_to_epsilon, rho_to_epsilon};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar dp-core convert --rho 0.5 --delta 1e-5
  ashlar dp-core convert --mu 1.0 --epsilon 1.0";

/// `dp-core convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// The rho of zero-concentrated DP; with --delta.
    #[arg(long, value_name = "F", conflicts_with_all = ["mu", "epsilon"], allow_hyphen_values = true)]
    rho: Option<f64>,
    /// The mu of Gaussian DP; with --delta or --epsilon.
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    mu: Option<f64>,
    /// The delta at which epsilon is asked.
    #[arg(long, value_name = "F", conflicts_with = "epsilon", allow_hyphen_values = true)]
    delta: Option<f64>,
    /// The epsilon at which delta is asked.
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    epsilon: Option<f64>,
}

pub(super) fn run(args: &ConvertArgs) -> Result<Answer, Failure> {
    let (from, value, asked, given, at, bound) = match (args.rho, args.mu, args.delta, args.epsilon) {
        (Some(rho), None, Some(delta), None) => ("rho", rho, "epsilon", "delta", delta, rho_to_epsilon(rho, delta)?),
        (None, Some(mu), Some(delta), None) => ("mu", mu, "epsilon", "delta", delta, mu_to_epsilon(mu, delta)?),
        (None, Some(mu), None, Some(epsilon)) => ("mu", mu, "delta", "epsilon", epsilon, mu_to_delta(mu, epsilon)?),
        _ => {
            return Err(Failure::usage("nothing to convert")
                .help("give --rho F --delta F, --mu F --delta F, or --mu F --epsilon F"));
        }
    };
    let mut json = Map::new();
    json.insert(asked.to_owned(), show::number(bound.value));
    json.insert(given.to_owned(), show::number(at));
    json.insert(from.to_owned(), show::number(value));
    json.insert("bound".to_owned(), json!(bound.kind.name()));
    json.insert("order".to_owned(), bound.order.map_or(serde_json::Value::Null, show::number));
    let mut lines = Lines::default();
    lines
        .add(asked, format!("{}  {}", show::digits(bound.value), show::promise(&bound)))
        .add(given, show::digits(at))
        .add(from, show::digits(value));
    Ok(show::answer(json, &lines))
}
