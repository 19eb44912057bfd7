//! The table of oracles of the specification, row by row, through the binary. Values from dp_accounting 0.6.0 (PLD at
//! h = 2e-5), closed forms and quadrature.

use crate::command::json;

struct Row {
    number: &'static str,
    arguments: &'static str,
    key: &'static str,
    value: f64,
    relative: f64,
    order: Option<f64>,
}

const fn row(number: &'static str, arguments: &'static str, key: &'static str, value: f64) -> Row {
    Row { number, arguments, key, value, relative: 1e-3, order: None }
}

impl Row {
    const fn to(self, relative: f64) -> Self {
        Self { relative, ..self }
    }

    const fn at_order(self, order: f64) -> Self {
        Self { order: Some(order), ..self }
    }
}

macro_rules! sampled {
    ($rest:literal) => {
        concat!(
            "epsilon --mechanism gaussian --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000 --delta 1e-5 ",
            $rest
        )
    };
}
macro_rules! one_step {
    ($rest:literal) => {
        concat!("epsilon --mechanism gaussian --noise-multiplier 1.0 --steps 1 --delta 1e-5 ", $rest)
    };
}
macro_rules! mnist {
    ($rest:literal) => {
        concat!(
            "epsilon --mechanism gaussian --noise-multiplier 1.1 --sample-rate 0.00426666666667 --steps 14062 \
             --delta 1e-5 ",
            $rest
        )
    };
}
macro_rules! full_batch {
    ($rest:literal) => {
        concat!("epsilon --mechanism gaussian --noise-multiplier 50.0 --steps 100 --delta 1e-5 ", $rest)
    };
}
macro_rules! half_percent {
    ($rest:literal) => {
        concat!(
            "epsilon --mechanism gaussian --noise-multiplier 2.0 --sample-rate 0.05 --steps 500 --delta 1e-5 ",
            $rest
        )
    };
}
macro_rules! laplace {
    ($rest:literal) => {
        concat!("epsilon --mechanism laplace --noise-multiplier 10.0 --steps 100 --delta 1e-6 ", $rest)
    };
}
macro_rules! sampled_laplace {
    ($rest:literal) => {
        concat!(
            "epsilon --mechanism laplace --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000 --delta 1e-5 ",
            $rest
        )
    };
}
macro_rules! pure {
    ($rest:literal) => {
        concat!(
            "epsilon --mechanism laplace --noise-multiplier 1.0 --sample-rate 0.01 --steps 100 --delta 0 --accountant pure ",
            $rest
        )
    };
}
macro_rules! randp {
    ($rest:literal) => {
        concat!("calibrate --mechanism gaussian --sample-rate 0.08192 --steps 875 --epsilon 1.0 --delta 1e-5 ", $rest)
    };
}

const ROWS: [Row; 33] = [
    row("1", sampled!("--accountant pld"), "epsilon", 1.828237),
    row("2", sampled!("--accountant rdp"), "epsilon", 2.101366).at_order(7.8),
    row("3", one_step!("--accountant pld"), "epsilon", 4.377178).to(1e-4),
    row("4", one_step!("--accountant rdp"), "epsilon", 4.728507),
    row("5", mnist!("--accountant pld"), "epsilon", 2.381600),
    row("6", mnist!("--accountant rdp"), "epsilon", 2.596556),
    row("7", full_batch!("--accountant pld"), "epsilon", 0.725522).to(1e-4),
    row("8", full_batch!("--accountant zcdp"), "epsilon", 0.794315).to(5e-4),
    row("9", half_percent!("--accountant gdp"), "epsilon", 2.425890).to(1e-4),
    row("10", laplace!("--accountant pld"), "epsilon", 4.692667),
    row("11", laplace!("--accountant rdp"), "epsilon", 4.984174),
    row("12", sampled_laplace!("--accountant pld"), "epsilon", 1.123768),
    row("13", pure!(""), "epsilon", 1.703686).to(1e-6),
    row(
        "14",
        "epsilon --event gaussian:nm=200,q=1,steps=20 --event gaussian:nm=200,q=1,steps=20 \
         --event gaussian:nm=12,q=1,steps=100 --delta 1e-5 --accountant pld",
        "epsilon",
        3.551620,
    )
    .to(1e-4),
    row(
        "15",
        "epsilon --event gaussian:nm=1.0,q=0.01,steps=500 --event gaussian:nm=2.0,q=0.05,steps=200 \
         --event laplace:nm=20,q=1,steps=5 --delta 1e-6 --accountant pld",
        "epsilon",
        2.391963,
    ),
    row(
        "16",
        "epsilon --mechanism gaussian --noise-multiplier 9.3 --sample-rate 0.08192 --steps 875 --delta 1e-5 \
         --accountant pld",
        "epsilon",
        0.978421,
    ),
    row(
        "17",
        "delta --mechanism gaussian --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000 --epsilon 1.0 --accountant pld",
        "delta",
        2.612424e-3,
    ),
    row(
        "18",
        "delta --mechanism gaussian --noise-multiplier 1.0 --steps 1 --epsilon 1.0 --accountant pld",
        "delta",
        0.1269367375,
    )
    .to(1e-4),
    row("19", randp!("--accountant pld"), "noise_multiplier", 9.119014),
    row("20", randp!("--accountant rdp"), "noise_multiplier", 9.889562),
    row(
        "21",
        "calibrate --mechanism gaussian --steps 100 --epsilon 1.0 --delta 1e-5 --accountant pld",
        "noise_multiplier",
        37.306316,
    )
    .to(1e-4),
    row("22 rho", "convert --rho 0.5 --delta 1e-5", "epsilon", 4.728387),
    row("22 mu", "convert --mu 1.0 --delta 1e-5", "epsilon", 4.377178),
    row("23", "hpo-budget --trials 0.05x3,0.1x3 --final 0.96 --delta 1e-5", "epsilon", 0.991733).to(1e-4),
    row("24", "hpo-budget --trials 0.05x3,0.1x3 --target 1.0 --delta 1e-5", "final_epsilon", 0.968484).to(1e-4),
    row("25 one", sampled!("--accountant pld --neighboring replace-one"), "epsilon", 2.843446),
    row("25 special", sampled!("--accountant pld --neighboring replace-special"), "epsilon", 1.828237),
    row("26", half_percent!("--accountant pld"), "epsilon", 2.532034),
    row("26 one", half_percent!("--accountant pld --neighboring replace-one"), "epsilon", 4.980757),
    row("27", one_step!("--accountant pld --neighboring replace-one"), "epsilon", 9.997256).to(1e-4),
    row("28", sampled_laplace!("--accountant rdp"), "epsilon", 1.230227).at_order(15.0),
    row("29", pure!("--neighboring replace-one"), "epsilon", 2.337813).to(1e-6),
    // From the text of section 7: DP-RandP's linear probe.
    row(
        "probe",
        "epsilon --mechanism gaussian --noise-multiplier 38 --steps 100 --delta 1e-5 --accountant pld",
        "epsilon",
        0.97997,
    )
    .to(1e-5),
];

#[test]
fn every_row_of_the_specification_holds() {
    let mut wrong = Vec::new();
    for Row { number, arguments, key, value, relative, order } in &ROWS {
        let answer = json(arguments);
        let found = answer[key].as_f64().unwrap_or(f64::NAN);
        // Rounded to seven digits in the specification.
        let tolerance = relative.max(3e-7);
        if (found / value - 1.0).abs() > tolerance || found.is_nan() {
            wrong.push(format!("row {number}: {found} is not {value} within {tolerance}"));
        }
        if order.is_some_and(|order| answer["order"].as_f64() != Some(order)) {
            wrong.push(format!("row {number}: order {} is not {order:?}", answer["order"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// "Other oracles": μ(ε; δ = 1e-5), through a search of one trial.
#[test]
fn mu_of_a_run_that_is_calibrated_to_its_epsilon() {
    for (epsilon, mu) in [(0.05, 0.017310), (0.1, 0.032521), (0.2, 0.061334), (0.96, 0.258266), (1.0, 0.268051)] {
        let answer = json(&format!("hpo-budget --trials 0.1x1 --final {epsilon} --delta 1e-5"));
        let found = answer["final_mu"].as_f64().unwrap();
        assert!((found - mu).abs() <= 5e-7, "ε {epsilon}: {found} is not {mu}");
        let back = json(&format!("convert --mu {found} --delta 1e-5"))["epsilon"].as_f64().unwrap();
        assert!((back / epsilon - 1.0).abs() < 1e-9, "{back} {epsilon}");
    }
}

/// The searches of section 8, one of which is over its budget.
#[test]
fn searches_of_the_linear_scaling_rule() {
    for (trials, last, cost) in [
        ("0.05x3,0.1x3", 0.96, 0.991733),
        ("0.01x3,0.1x3", 0.97, 0.994984),
        ("0.05x3,0.2x3", 0.9, 0.997167),
        ("0.01x3,0.05x3", 0.99, 0.997292),
        ("0.1x3,0.2x3", 0.9, 1.014463),
    ] {
        let found =
            json(&format!("hpo-budget --trials {trials} --final {last} --delta 1e-5"))["epsilon"].as_f64().unwrap();
        assert!((found - cost).abs() <= 6e-7, "{trials} {last}: {found} is not {cost}");
    }
}
