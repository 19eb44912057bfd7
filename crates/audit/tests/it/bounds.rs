//! Bounds beside jax_privacy's functions, scipy and mpmath (`scripts/fixtures/audit.py`).

use ashlar_audit::{Confusion, OneRun, Plan, ScoreSet, Select, bound::Method};
use serde_json::Value;

use super::fixture::{close, list, number, rows};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../fixtures/audit.json")).unwrap()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn run(row: &Value) -> OneRun {
    OneRun::new(count(&row[0]), count(&row[1]), count(&row[2])).unwrap()
}

fn matrix(row: &Value) -> Confusion {
    Confusion::new(count(&row[0]), count(&row[1]), count(&row[2]), count(&row[3])).unwrap()
}

#[test]
fn one_run() {
    for row in rows(&fixture()["one_run"]) {
        let bound = run(row).epsilon_lower(number(&row[3]), number(&row[4])).unwrap();
        close(bound.epsilon_lower, number(&row[5]), 1e-9);
    }
}

#[test]
fn p_values() {
    for row in rows(&fixture()["p_value"]) {
        let p = run(row).p_value(number(&row[3]), number(&row[4])).unwrap();
        let want = number(&row[5]);
        assert!((p - want).abs() <= 1e-9 * want + 1e-300, "{row}: {p}");
    }
}

#[test]
fn one_run_fdp() {
    for row in rows(&fixture()["fdp"]) {
        let bound = run(row).epsilon_lower_fdp(number(&row[3]), number(&row[4])).unwrap();
        close(bound.mu_lower.unwrap(), number(&row[5]), 1e-9);
        close(bound.epsilon_lower, number(&row[6]), 1e-8);
        // jax_privacy goes through sigma and stops early.
        close(bound.epsilon_lower, number(&row[7]), 2e-5);
    }
}

#[test]
fn confusion_matrices() {
    for row in rows(&fixture()["confusion"]) {
        let (confusion, delta, confidence) = (matrix(row), number(&row[4]), number(&row[5]));
        let rates = confusion.error_rates(confidence).unwrap();
        close(rates.fpr_upper, number(&row[6]), 1e-10);
        close(rates.fnr_upper, number(&row[7]), 1e-10);
        close(confusion.clopper_pearson(delta, confidence).unwrap().epsilon_lower, number(&row[8]), 1e-9);
        if delta > 0.0 {
            let gdp = confusion.gdp(delta, confidence).unwrap();
            close(gdp.mu_lower.unwrap(), number(&row[9]), 1e-9);
            if let Some(epsilon) = row[10].as_f64() {
                close(gdp.epsilon_lower, epsilon, 1e-9);
            }
        }
    }
}

#[test]
fn credible_intervals() {
    for row in rows(&fixture()["bayes"]) {
        let bound = matrix(row).bayes(number(&row[4]), number(&row[5])).unwrap();
        close(bound.epsilon_lower, number(&row[6]), 1e-7);
        close(bound.epsilon_upper.unwrap(), number(&row[7]), 1e-7);
    }
}

#[test]
fn gaussian_conversions() {
    for row in rows(&fixture()["gdp"]) {
        let epsilon = ashlar_stats::tradeoff::epsilon(number(&row[0]), number(&row[1])).unwrap();
        close(epsilon, number(&row[2]), 1e-11);
    }
}

fn method(name: &str) -> Method {
    use Method::*;
    [OneRun, OneRunFdp, ClopperPearson, Gdp, Bayes, OneShotGaussian].into_iter().find(|m| m.name() == name).unwrap()
}

#[test]
fn selections() {
    let fixture = fixture();
    for set in rows(&fixture["scores"]) {
        let scores = ScoreSet::new(list(&set["members"]), list(&set["nonmembers"])).unwrap();
        for want in rows(&set["bounds"]) {
            let select = match want["select"].as_str() {
                Some("bonferroni") => Select::Bonferroni,
                Some("max-uncorrected") => Select::MaxUncorrected,
                _ => Select::Fixed,
            };
            for (name, value) in want.as_object().unwrap() {
                if !["one-run", "one-run-fdp", "clopper-pearson", "gdp", "one-shot-gaussian"].contains(&name.as_str()) {
                    continue;
                }
                let guesses = |key: &str| want[key].as_u64().into_iter().collect::<Vec<_>>();
                let plan = Plan {
                    select,
                    delta: number(&want["delta"]),
                    confidence: number(&want["confidence"]),
                    k_plus: guesses("k_plus"),
                    k_minus: guesses("k_minus"),
                    ..Plan::new(method(name))
                };
                let audit = scores.audit(&plan).unwrap();
                let got = audit.bound.mu_lower.unwrap_or(audit.bound.epsilon_lower);
                assert!((got - number(value)).abs() < 1e-8, "{} {want} {name}: {got}", set["name"]);
                if select == Select::Bonferroni {
                    assert_eq!(audit.candidates, count(&set["thresholds"]));
                }
                if let Some(correct) = want["correct"].as_u64() {
                    assert_eq!(audit.correct, Some(correct));
                }
            }
        }
    }
}
