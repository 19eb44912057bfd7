//! `eval fit-law prescribe`.

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::json;

use crate::{
    cli::text::{number, pairs},
    law::Law,
};

pub const EXAMPLE: &str = "Example:\n  \
    ashlar eval fit-law prescribe --law 482.00572,2085.4342,1.81686,.34781,.36585 --flops 5.76e23 --overtrain 10";

/// Flags of `prescribe`.
#[derive(Args, Debug)]
pub struct PrescribeArgs {
    /// The law L = E + A·N^-alpha + B·D^-beta.
    #[arg(long, value_name = "A,B,E,ALPHA,BETA", value_delimiter = ',', required = true, allow_hyphen_values = true)]
    pub law: Vec<f64>,
    /// Training budget in FLOPs, C = 6ND.
    #[arg(long, value_name = "C", allow_negative_numbers = true)]
    pub flops: f64,
    /// Also train with this many times the tokens a parameter, at the same cost.
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub overtrain: Option<f64>,
}

/// Runs the command.
pub fn run(args: &PrescribeArgs) -> Result<Answer, Failure> {
    let [a, b, e, alpha, beta] = args.law[..] else {
        return Err(Failure::usage(format!("--law has {} numbers: give A,B,E,alpha,beta", args.law.len())));
    };
    let law = Law::new(a, b, e, alpha, beta)?;
    let plan = law.optimum(args.flops)?;
    let exponent = law.params_exponent();
    let mut answer = json!({
        "flops": args.flops, "params": plan.params, "tokens": plan.tokens, "tokens_per_param": plan.tokens_per_param,
        "loss": plan.loss, "a": exponent, "b": 1.0 - exponent, "G": law.g(),
    });
    let mut rows = vec![
        ("parameters", number(plan.params)),
        ("tokens", number(plan.tokens)),
        ("tokens a parameter", number(plan.tokens_per_param)),
        ("loss", number(plan.loss)),
        ("parameters grow as C to the", number(exponent)),
    ];
    if let Some(factor) = args.overtrain {
        let over = law.overtrained(args.flops, factor)?;
        answer["overtrain"] = json!(over);
        rows.extend([
            ("overtrained: parameters", number(over.plan.params)),
            ("overtrained: tokens", number(over.plan.tokens)),
            ("overtrained: tokens a parameter", number(over.plan.tokens_per_param)),
            ("overtrained: loss", number(over.plan.loss)),
            ("overtrained: above the optimum", number(over.loss_gap)),
            ("overtrained: compute over the optimum's for that loss", number(over.compute_equivalent)),
        ]);
    }
    Ok(Answer::new(answer, pairs(rows)))
}
