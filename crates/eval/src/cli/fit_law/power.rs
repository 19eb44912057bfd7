//! `eval fit-law power`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::{
    Table,
    cli::text::{number, pairs},
    law::power::{Form, Power, leave_one_out},
};

pub const EXAMPLE: &str = "Example:\n  \
    ashlar eval fit-law power --data awareness.jsonl --x params --y auroc_gap --form sqrt --predict 4e11";

/// The form of the law, as flags say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum FormArg {
    /// y = coef · x^exponent.
    #[default]
    Loglog,
    /// y = coef · √(x / 10⁹) + offset.
    Sqrt,
}

/// Flags of `power`.
#[derive(Args, Debug)]
pub struct PowerArgs {
    /// Table with both columns: JSONL or CSV.
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Column of sizes.
    #[arg(long, value_name = "COL")]
    pub x: String,
    /// Column of what grows with them.
    #[arg(long, value_name = "COL")]
    pub y: String,
    /// The form of the law.
    #[arg(long, value_enum, default_value_t)]
    pub form: FormArg,
    /// Also predict y at this x.
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub predict: Option<f64>,
    /// Column of families: predict each from a law fitted to the others.
    #[arg(long, value_name = "COL")]
    pub family: Option<String>,
}

/// Runs the command.
pub fn run(args: &PowerArgs) -> Result<Answer, Failure> {
    let form = match args.form {
        FormArg::Loglog => Form::LogLog,
        FormArg::Sqrt => Form::Sqrt,
    };
    let table = Table::read(&args.data)?;
    let x = table.column_positive(&args.x)?;
    let y = if form == Form::LogLog { table.column_positive(&args.y)? } else { table.column_f64(&args.y)? };
    if let Some(at) = args.predict
        && !(at > 0.0 && at.is_finite())
    {
        return Err(crate::Error::Range { name: "predict", value: at, expected: "finite and above 0" }.into());
    }
    let law = Power::fit(form, &x, &y)?;
    let prediction = args.predict.map(|at| law.predict(at));
    let mut answer = json!({
        "form": match form { Form::LogLog => "loglog", Form::Sqrt => "sqrt" },
        "coef": law.coef, "exponent": law.exponent, "offset": law.offset, "r2": law.r2, "n": law.n,
        "aicc": if law.aicc == f64::INFINITY { json!("inf") } else { json!(law.aicc) }, "prediction": prediction,
    });
    let formula = match form {
        Form::LogLog => format!("{} = {:.5e} · {}^{}", args.y, law.coef, args.x, number(law.exponent)),
        Form::Sqrt => format!("{} = {} · √({} / 1e9) + {}", args.y, number(law.coef), args.x, number(law.offset)),
    };
    let mut rows = vec![
        ("law", formula),
        ("r²", number(law.r2)),
        ("points", law.n.to_string()),
        ("AICc (lower is better)", number(law.aicc)),
    ];
    if let Some(prediction) = prediction {
        rows.push(("prediction", number(prediction)));
    }
    if let Some(column) = &args.family {
        let families = table.column_text(column)?;
        let predicted = leave_one_out(form, &x, &y, &families)?;
        let off: Vec<f64> = predicted.iter().zip(&y).map(|(p, y)| (p - y).abs()).collect();
        let mean = ashlar_stats::mean(&off).map_err(crate::Error::from)?;
        answer["left_out"] = json!({ "predictions": predicted, "mean_abs_error": mean });
        rows.push(("error on left-out families", number(mean)));
    }
    Ok(Answer::new(answer, pairs(rows)))
}
