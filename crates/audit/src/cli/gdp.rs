//! `audit gdp`.

use ashlar_cli::{Answer, Failure};
use ashlar_stats::tradeoff;
use clap::Args;

use super::{OutArgs, number, save, table};
use crate::{
    Error,
    error::{check_epsilon, check_gaussian_delta},
};

pub(super) const EXAMPLE: &str = "\
Examples:
  ashlar audit gdp --epsilon 4 --delta 1e-5
  ashlar audit gdp --mu 1 --fpr 0.01";

/// `audit gdp`.
#[derive(Args, Clone, Debug)]
pub struct GdpArgs {
    /// The mechanism is as private as telling N(0, 1) from N(mu, 1).
    #[arg(long, value_name = "MU", allow_hyphen_values = true)]
    pub mu: Option<f64>,
    /// Epsilon.
    #[arg(long, value_name = "EPS", allow_hyphen_values = true)]
    pub epsilon: Option<f64>,
    /// Delta.
    #[arg(long, value_name = "DELTA", allow_hyphen_values = true)]
    pub delta: Option<f64>,
    /// A false-positive rate, for the largest true-positive rate that mu allows at it.
    #[arg(long, value_name = "FPR", allow_hyphen_values = true)]
    pub fpr: Option<f64>,
    #[command(flatten)]
    pub(crate) output: OutArgs,
}

pub(super) fn run(args: &GdpArgs) -> Result<Answer, Failure> {
    let numbers: Vec<(&str, f64)> = match (args.mu, args.epsilon, args.delta, args.fpr) {
        (Some(mu), Some(epsilon), None, None) => {
            check_mu(mu)?;
            check_epsilon(epsilon)?;
            vec![("delta", tradeoff::delta(mu, epsilon)), ("mu", mu), ("epsilon", epsilon)]
        }
        (Some(mu), None, Some(delta), None) => {
            check_mu(mu)?;
            check_gaussian_delta(delta)?;
            vec![("epsilon", tradeoff::epsilon(mu, delta).map_err(Error::from)?), ("mu", mu), ("delta", delta)]
        }
        (None, Some(epsilon), Some(delta), None) => {
            check_epsilon(epsilon)?;
            check_gaussian_delta(delta)?;
            vec![("mu", tradeoff::mu(epsilon, delta).map_err(Error::from)?), ("epsilon", epsilon), ("delta", delta)]
        }
        (Some(mu), None, None, Some(fpr)) => {
            check_mu(mu)?;
            if !(0.0..=1.0).contains(&fpr) {
                return Err(Error::Range { name: "fpr", value: fpr, expected: "in [0, 1]" }.into());
            }
            vec![("tpr", tradeoff::tpr(mu, fpr)), ("mu", mu), ("fpr", fpr)]
        }
        _ => {
            return Err(Failure::usage("give two of --mu, --epsilon and --delta, or --mu and --fpr")
                .help("`ashlar audit gdp --epsilon 4 --delta 1e-5` answers mu"));
        }
    };
    let rows: Vec<_> = numbers.iter().map(|&(name, value)| (name, format!("{value}"))).collect();
    let answer = numbers.iter().map(|&(name, value)| (name.to_owned(), number(value))).collect();
    save(Answer::new(serde_json::Value::Object(answer), table(&rows)), args.output.out.as_deref())
}

fn check_mu(mu: f64) -> Result<(), Error> {
    if mu >= 0.0 && mu.is_finite() {
        Ok(())
    } else {
        Err(Error::Range { name: "mu", value: mu, expected: "a finite number, at least 0" })
    }
}
