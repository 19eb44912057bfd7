//! `eval fit-law parametric`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::{DataArgs, on_threads, plot, write_svg};
use crate::{
    cli::text::{number, optional, pairs},
    law::{Bootstrap, Fit, FitOptions, Loss, Starts, Variable},
};

pub const EXAMPLE: &str = "Example:\n  \
    ashlar eval fit-law parametric --data epoch_chinchilla_svg_extracted_data.csv --drop-highest-loss 5 --bootstrap 400";

/// How residuals count, as flags say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LossArg {
    /// Quadratic up to delta, linear beyond.
    #[default]
    Huber,
    /// Absolute deviations: the limit of a delta of 0.
    Lad,
}

/// Flags of `parametric`.
#[derive(Args, Debug)]
pub struct ParametricArgs {
    #[command(flatten)]
    pub data: DataArgs,
    /// Variables of the law: any of params, tokens, width, depth.
    #[arg(long, value_name = "VAR,VAR", value_delimiter = ',', default_value = "params,tokens")]
    pub vars: Vec<String>,
    /// Huber's delta, in nats of ln loss.
    #[arg(long, value_name = "D", default_value_t = 1e-3, allow_negative_numbers = true)]
    pub delta: f64,
    /// How residuals count.
    #[arg(long, value_enum, default_value_t)]
    pub loss: LossArg,
    /// Keep only losses strictly below the N-th largest.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub drop_highest_loss: usize,
    /// Count parameters without one embedding matrix, as the published parametric fits do.
    #[arg(long)]
    pub no_embeds: bool,
    /// Starts: `grid`, or a number of seeded draws from it [default: grid up to two variables, else 2000].
    #[arg(long, value_name = "grid|N", value_parser = parse_starts, allow_hyphen_values = true)]
    pub starts: Option<Starts>,
    /// Seed of drawn starts and of the bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Refit this many resamples of the rows.
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub bootstrap: usize,
    /// Coverage of the bootstrap's intervals.
    #[arg(long, value_name = "P", default_value_t = 0.95, allow_negative_numbers = true)]
    pub level: f64,
    /// Threads [default: all cores]; results don't depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Draw losses against the law.
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

fn parse_starts(text: &str) -> Result<Starts, String> {
    match text.parse::<u64>() {
        _ if text == "grid" => Ok(Starts::Grid),
        Ok(n) if n > 0 => Ok(Starts::Draws(n)),
        _ => Err("say `grid`, or a number of starts from 1".to_owned()),
    }
}

impl ParametricArgs {
    /// The options of the fit.
    fn options(&self) -> FitOptions {
        let loss = match self.loss {
            LossArg::Huber => Loss::Huber { delta: self.delta },
            LossArg::Lad => Loss::Lad,
        };
        FitOptions { loss, starts: self.starts.unwrap_or_default(), seed: self.seed }
    }
}

/// Runs the command.
pub fn run(args: &ParametricArgs) -> Result<Answer, Failure> {
    let vars = args.vars.iter().map(|name| name.parse()).collect::<crate::Result<Vec<Variable>>>()?;
    let points = args.data.points()?;
    let options = args.options();
    let (fit, boot) = on_threads(args.threads, || -> crate::Result<_> {
        let fit = Fit::of(&points, &vars, args.no_embeds, args.drop_highest_loss, &options)?;
        let boot = (args.bootstrap > 0).then(|| fit.bootstrap(args.bootstrap, args.level, args.seed)).transpose()?;
        Ok((fit, boot))
    })??;
    if let Some(path) = &args.plot {
        write_svg(path, &plot::parametric(&fit)?)?;
    }
    Ok(Answer::new(to_json(&fit, boot.as_ref(), &options), to_text(&fit, boot.as_ref())))
}

/// The fit as the command's JSON object.
pub fn to_json(fit: &Fit, boot: Option<&Bootstrap>, options: &FitOptions) -> Value {
    let mut answer = Map::new();
    let mut put = |key: &str, value: Value| answer.insert(key.to_owned(), value);
    put("n", json!(fit.n));
    put("vars", json!(fit.vars.iter().map(|var| var.name()).collect::<Vec<_>>()));
    match fit.loss {
        Loss::Huber { delta } => {
            put("loss", json!("huber"));
            put("delta", json!(delta));
        }
        Loss::Lad => {
            put("loss", json!("lad"));
            put("delta", Value::Null);
        }
    }
    put("objective", json!(fit.objective));
    put("exponents", json!(fit.exponents));
    put("coefficients", json!(fit.coefficients));
    put("irreducible_error", json!(fit.irreducible_error));
    put("E", json!(fit.floor()));
    put("degenerate", json!(fit.degenerate()));
    put("converged", json!(fit.converged));
    put("grad_inf", json!(fit.grad_inf));
    put("starts", json!(fit.starts));
    put("starts_at_best", json!(fit.starts_at_best));
    put("starts_pruned", json!(fit.starts_pruned));
    put("seed", json!(options.seed));
    if fit.vars == [Variable::Params, Variable::Tokens] {
        let [alpha, beta] = [fit.exponents[0], fit.exponents[1]];
        put("A", json!(fit.coefficients[0].exp()));
        put("B", json!(fit.coefficients[1].exp()));
        put("alpha", json!(alpha));
        put("beta", json!(beta));
        let law = fit.law().ok();
        put("a", json!(law.map(|law| law.params_exponent())));
        put("b", json!(law.map(|law| 1.0 - law.params_exponent())));
        put("G", json!(law.map(|law| law.g())));
    }
    if let Some(boot) = boot {
        put(
            "boot",
            json!({
                "names": boot.names, "se": boot.se, "lo": boot.lo, "hi": boot.hi, "level": boot.level,
                "resamples": boot.resamples,
            }),
        );
    }
    Value::Object(answer)
}

fn to_text(fit: &Fit, boot: Option<&Bootstrap>) -> String {
    let mut rows =
        vec![("rows".to_owned(), fit.n.to_string()), ("objective".to_owned(), format!("{:.10e}", fit.objective))];
    for ((var, exponent), coefficient) in fit.vars.iter().zip(&fit.exponents).zip(&fit.coefficients) {
        rows.push((format!("{var}: exponent"), number(*exponent)));
        rows.push((format!("{var}: factor"), format!("{} (ln {})", number(coefficient.exp()), number(*coefficient))));
    }
    rows.push((
        "E".to_owned(),
        match fit.irreducible_error {
            Some(e) => format!("{} (ln {})", number(fit.floor()), number(e)),
            None => "0: the law needs no floor on these points, they do not identify E".to_owned(),
        },
    ));
    if let Ok(law) = fit.law() {
        rows.push(("best parameters grow as C to the".to_owned(), number(law.params_exponent())));
    }
    let verdict = if fit.converged { "an optimum" } else { "not an optimum to 1e-9" };
    rows.push(("largest gradient".to_owned(), format!("{:.1e} ({verdict})", fit.grad_inf)));
    rows.push((
        "starts".to_owned(),
        format!("{}, {} of them at the best, {} given up early", fit.starts, fit.starts_at_best, fit.starts_pruned),
    ));
    if let Some(boot) = boot {
        for (at, name) in boot.names.iter().enumerate() {
            let (se, lo, hi) = (optional(Some(boot.se[at])), number(boot.lo[at]), number(boot.hi[at]));
            rows.push((format!("bootstrap {name}"), format!("± {se} [{lo}, {hi}]")));
        }
    }
    pairs(rows)
}
