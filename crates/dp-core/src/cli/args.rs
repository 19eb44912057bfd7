//! Flags that the commands share: which events, which accountant.

use std::path::PathBuf;

use ashlar_cli::Failure;
use clap::{Args, ValueEnum};

use super::events;
use crate::{
    Accountant, Event, Kind, Mechanism, Neighboring,
    gdp::Gdp,
    pld::Pld,
    pure::Pure,
    rdp::{Orders, Rdp},
    zcdp::Zcdp,
};

/// `--mechanism`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum MechanismArg {
    /// Normal noise on a sum of bounded Euclidean norm.
    Gaussian,
    /// Laplace noise on a sum of bounded absolute values.
    Laplace,
}

impl From<MechanismArg> for Mechanism {
    fn from(arg: MechanismArg) -> Self {
        match arg {
            MechanismArg::Gaussian => Self::Gaussian,
            MechanismArg::Laplace => Self::Laplace,
        }
    }
}

/// `--accountant`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum KindArg {
    /// Numerical composition of the privacy loss: tight, bounded from both sides.
    #[default]
    Pld,
    /// The same with the error budget of the PRV accountant.
    Prv,
    /// Renyi DP.
    Rdp,
    /// Gaussian DP: exact for full batches, else an approximation that can under-report.
    Gdp,
    /// Zero-concentrated DP, full-batch Gaussian noise only.
    Zcdp,
    /// Pure epsilon, Laplace noise only.
    Pure,
}

impl From<KindArg> for Kind {
    fn from(arg: KindArg) -> Self {
        match arg {
            KindArg::Pld => Self::Pld,
            KindArg::Prv => Self::Prv,
            KindArg::Rdp => Self::Rdp,
            KindArg::Gdp => Self::Gdp,
            KindArg::Zcdp => Self::Zcdp,
            KindArg::Pure => Self::Pure,
        }
    }
}

/// `--neighboring`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum NeighboringArg {
    /// One example is added or removed.
    #[default]
    AddRemove,
    /// One example is replaced by another.
    ReplaceOne,
    /// One example is replaced by one that contributes nothing.
    ReplaceSpecial,
}

impl From<NeighboringArg> for Neighboring {
    fn from(arg: NeighboringArg) -> Self {
        match arg {
            NeighboringArg::AddRemove => Self::AddRemove,
            NeighboringArg::ReplaceOne => Self::ReplaceOne,
            NeighboringArg::ReplaceSpecial => Self::ReplaceSpecial,
        }
    }
}

/// What the run released.
#[derive(Args, Clone, Debug)]
pub(super) struct EventArgs {
    /// Noise of the run's steps.
    #[arg(long, value_enum, required_unless_present_any = ["event", "events"], requires = "noise_multiplier")]
    pub mechanism: Option<MechanismArg>,
    /// Noise relative to the largest contribution of one example: standard deviation, or Laplace's scale.
    #[arg(long, value_name = "F", requires = "mechanism", allow_hyphen_values = true)]
    pub noise_multiplier: Option<f64>,
    /// Probability with which each example takes part in a step [default: 1].
    #[arg(long, value_name = "F", requires = "mechanism", allow_hyphen_values = true)]
    pub sample_rate: Option<f64>,
    /// Number of steps [default: 1].
    #[arg(long, value_name = "N", requires = "mechanism", value_parser = events::count, allow_hyphen_values = true)]
    pub steps: Option<u64>,
    /// One kind of step, `MECHANISM:nm=F[,q=F][,steps=N]`; repeatable, the events compose.
    #[arg(long, value_name = "EVENT", conflicts_with_all = ["mechanism", "events"])]
    pub event: Vec<String>,
    /// A file of events: TOML with `[[event]]` tables, or the history that Opacus keeps, as JSON.
    #[arg(long, value_name = "FILE", conflicts_with = "mechanism")]
    pub events: Option<PathBuf>,
}

impl EventArgs {
    /// The events, however they were given.
    pub fn read(&self) -> Result<Vec<Event>, Failure> {
        if let Some(file) = &self.events {
            return events::read(file);
        }
        if let (Some(mechanism), Some(noise)) = (self.mechanism, self.noise_multiplier) {
            let (rate, steps) = (self.sample_rate.unwrap_or(1.0), self.steps.unwrap_or(1));
            return Ok(vec![Event::run(mechanism.into(), noise, rate, steps)?]);
        }
        events::parse_flags("--event", &self.event)
    }
}

/// How it is added up.
#[derive(Args, Clone, Debug)]
pub(super) struct AccountantArgs {
    /// How the events are added up.
    #[arg(long, value_enum, default_value_t)]
    pub accountant: KindArg,
    /// Which data sets count as neighbours.
    #[arg(long, value_enum, default_value_t)]
    pub neighboring: NeighboringArg,
    /// Step of the privacy loss grid (pld, prv) [default: from the number of steps].
    #[arg(long, value_name = "F", allow_hyphen_values = true)]
    pub grid: Option<f64>,
    /// Orders that rdp tries: `default`, `continuous` or a list such as `2,8,32`.
    #[arg(long, value_name = "ORDERS", default_value = "default", allow_hyphen_values = true)]
    pub orders: String,
}

impl AccountantArgs {
    /// The accountant named on the command line.
    ///
    /// `plotted` says that others are drawn beside it, so that a flag for one of those is no slip.
    pub fn build(&self, plotted: bool) -> Result<Box<dyn Accountant>, Failure> {
        let kind = Kind::from(self.accountant);
        if self.grid.is_some() && !matches!(kind, Kind::Pld | Kind::Prv) && !plotted {
            return Err(Failure::usage(format!(
                "--grid means nothing to the accountant {kind}: it is for pld and prv"
            )));
        }
        if self.orders != "default" && kind != Kind::Rdp && !plotted {
            return Err(Failure::usage(format!("--orders means nothing to the accountant {kind}: it is for rdp")));
        }
        self.build_kind(kind)
    }

    /// Another accountant with the same settings.
    pub fn build_kind(&self, kind: Kind) -> Result<Box<dyn Accountant>, Failure> {
        let neighboring = self.neighboring.into();
        Ok(match kind {
            Kind::Pld => Box::new(self.on_grid(Pld::new(neighboring))?),
            Kind::Prv => Box::new(self.on_grid(Pld::prv(neighboring))?),
            Kind::Rdp => Box::new(Rdp::new(neighboring).with_orders(orders(&self.orders)?)),
            Kind::Gdp => Box::new(Gdp::new(neighboring)),
            Kind::Zcdp => Box::new(Zcdp::new(neighboring)),
            Kind::Pure => Box::new(Pure::new(neighboring)),
        })
    }

    fn on_grid(&self, accountant: Pld) -> Result<Pld, Failure> {
        match self.grid {
            Some(step) => Ok(accountant.with_grid(step)?),
            None => Ok(accountant),
        }
    }
}

fn orders(text: &str) -> Result<Orders, Failure> {
    match text.trim() {
        "default" => return Ok(Orders::Default),
        "continuous" => return Ok(Orders::Continuous),
        _ => {}
    }
    let parsed: Result<Vec<f64>, _> = text.split(',').map(|order| order.trim().parse::<f64>()).collect();
    let list = parsed.map_err(|_| {
        Failure::usage(format!("--orders {text}: say default, continuous or a list of orders such as 2,8,32"))
    })?;
    Ok(Orders::list(list)?)
}
