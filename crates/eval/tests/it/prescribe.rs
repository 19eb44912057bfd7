//! Prescriptions (oracle 4), power laws (oracle 14), losses and benchmarks.

use ashlar_eval::law::{
    Law,
    benchmark::LossToError,
    power::{Form, Power, leave_one_out},
};
use proptest::prelude::*;

use crate::support::assert_close;

const CHINCHILLA: [f64; 5] = [482.00572, 2085.4342, 1.81686, 0.34781, 0.36585];

fn law([a, b, e, alpha, beta]: [f64; 5]) -> Law {
    Law::new(a, b, e, alpha, beta).unwrap()
}

#[test]
fn oracle_4() {
    let plan = law(CHINCHILLA).optimum(5.76e23).unwrap();
    assert_close(plan.params, 72_352_738_465.8, 1e-12);
    assert_close(plan.tokens, 1.326832985670536e12, 1e-13);
    assert_close(plan.tokens_per_param, 18.3383934569, 1e-11);
    assert_close(plan.loss, 1.97397348213, 1e-11);
    let over = law(CHINCHILLA).overtrained(1e21, 10.0).unwrap();
    assert_close(over.plan.loss, 2.34628215576, 1e-11);
    assert_close(over.loss_gap, 0.0414449553781, 1e-10);
    assert_close(over.compute_equivalent, 1.57962919094, 1e-11);
}

#[test]
fn laws_and_budgets_that_cannot_be_are_refused() {
    for (at, value) in [(0, 0.0), (1, -1.0), (2, -0.1), (3, f64::NAN), (4, f64::INFINITY)] {
        let mut numbers = CHINCHILLA;
        numbers[at] = value;
        let [a, b, e, alpha, beta] = numbers;
        assert!(Law::new(a, b, e, alpha, beta).is_err(), "{at}");
    }
    for flops in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(law(CHINCHILLA).optimum(flops).is_err());
    }
    assert!(law(CHINCHILLA).overtrained(1e21, 0.0).is_err());
    assert!(law([1e300, 1e-300, 1.0, 1e-3, 1e-3]).optimum(1e300).is_err());
}

proptest! {
    #[test]
    fn no_other_split_of_the_budget_is_better(
        a in 10.0..1e4, b in 10.0..1e4, e in 0.0..3.0, alpha in 0.1..0.9, beta in 0.1..0.9,
        budget in 18.0..27.0, factor in 0.01..100.0
    ) {
        let law = law([a, b, e, alpha, beta]);
        let flops = 10f64.powf(budget);
        let best = law.optimum(flops).unwrap();
        prop_assert!((6.0 * best.params * best.tokens / flops - 1.0).abs() < 1e-9);
        let over = law.overtrained(flops, factor).unwrap();
        prop_assert!(over.loss_gap >= -1e-12);
        prop_assert!((over.plan.tokens_per_param / best.tokens_per_param / factor - 1.0).abs() < 1e-9);
        // The budget whose optimum has the same loss.
        let same = law.optimum(flops / over.compute_equivalent).unwrap();
        prop_assert!((same.loss - over.plan.loss).abs() < 1e-8 * over.plan.loss);
    }
}

const SIZES: [f64; 8] = [0.27e9, 0.5e9, 1.5e9, 3e9, 7e9, 14e9, 32e9, 70e9];
const AWARE: [f64; 8] = [0.03, 0.05, 0.07, 0.08, 0.11, 0.14, 0.20, 0.24];

#[test]
fn oracle_14() {
    let log = Power::fit(Form::LogLog, &SIZES, &AWARE).unwrap();
    assert_close(log.exponent, 0.354645445240653, 1e-12);
    assert_close(log.coef, 3.59025674445732e-5, 1e-11);
    assert_close(log.r2, 0.983878385581096, 1e-12);
    let sqrt = Power::fit(Form::Sqrt, &SIZES, &AWARE).unwrap();
    assert_close(sqrt.coef, 0.0266068680324971, 1e-12);
    assert_close(sqrt.offset, 0.0332025690814067, 1e-12);
    assert_close(sqrt.r2, 0.975891016176275, 1e-12);
    assert_close(log.predict(1e9), log.coef * 1e9_f64.powf(log.exponent), 1e-15);
    assert_close(sqrt.predict(4e9), 2.0 * sqrt.coef + sqrt.offset, 1e-15);
}

#[test]
fn aicc_prefers_the_form_that_made_the_points() {
    let made = |f: &dyn Fn(f64) -> f64| {
        SIZES.iter().enumerate().map(|(i, &x)| f(x) * (1.0 + 1e-3 * (i as f64 * 7.0).sin())).collect::<Vec<_>>()
    };
    let aicc = |y: &[f64]| [Form::LogLog, Form::Sqrt].map(|form| Power::fit(form, &SIZES, y).unwrap().aicc);
    let [log, sqrt] = aicc(&made(&|x| 1e-4 * x.powf(0.33)));
    assert!(log < sqrt);
    let [log, sqrt] = aicc(&made(&|x| 0.03 * (x / 1e9).sqrt() + 0.05));
    assert!(sqrt < log);
}

#[test]
fn fewer_than_three_sizes_and_numbers_without_a_log_are_refused() {
    let fit = |form, x: &[f64], y: &[f64]| Power::fit(form, x, y).unwrap_err().to_string();
    assert_eq!(fit(Form::LogLog, &[1.0, 2.0, 2.0], &[1.0, 2.0, 3.0]), "different sizes: 2, at least 3 are needed");
    assert_eq!(fit(Form::Sqrt, &[1.0, -2.0, 3.0], &[1.0, 2.0, 3.0]), "x = -2: it must be finite and above 0");
    assert!(fit(Form::LogLog, &[1.0, 2.0, 3.0], &[1.0, 0.0, 3.0]).starts_with("y = 0"));
    assert!(Power::fit(Form::Sqrt, &[1.0, 2.0, 3.0], &[1.0, 0.0, 3.0]).is_ok());
}

#[test]
fn each_family_is_predicted_from_the_others() {
    let y: Vec<f64> = SIZES.iter().map(|x| 1e-4 * x.powf(0.33)).collect();
    let families: Vec<String> = ["a", "b", "a", "c", "b", "c", "a", "b"].map(str::to_owned).to_vec();
    for (predicted, y) in leave_one_out(Form::LogLog, &SIZES, &y, &families).unwrap().iter().zip(&y) {
        assert_close(*predicted, *y, 1e-9);
    }
    let two: Vec<String> = SIZES.iter().map(|_| "a".to_owned()).collect();
    assert!(leave_one_out(Form::LogLog, &SIZES, &y, &two).is_err());
}

#[test]
fn the_relation_of_loss_and_error_is_recovered() {
    let loss: Vec<f64> = (0..12).map(|i| 2.0 + 0.12 * f64::from(i)).collect();
    let truth = LossToError { epsilon: 0.85, k: 2.4, gamma: 0.9, rss: 0.0 };
    let error: Vec<f64> = loss.iter().map(|&l| truth.predict(l)).collect();
    let found = LossToError::fit(&loss, &error).unwrap();
    assert_close(found.gamma, 0.9, 1e-5);
    assert_close(found.k, 2.4, 1e-5);
    assert_close(found.epsilon, 0.85, 1e-5);
    assert!(LossToError::fit(&loss[..3], &error[..3]).is_err());
    assert!(LossToError::fit(&[2.0; 5], &[0.1, 0.2, 0.3, 0.4, 0.5]).is_err());
    assert!(LossToError::fit(&[2.0, 3.0, f64::NAN, 4.0], &[0.1, 0.2, 0.3, 0.4]).is_err());
}
