//! The specification's table of bad input, as far as it belongs to accounting: messages and exit codes.

use crate::command::{run, run_words};

const RUN: &str = "--mechanism gaussian --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000";

/// Exits with `code`, prints nothing on stdout, and says all of `parts`.
fn refused(line: &str, code: i32, parts: &[&str]) {
    let said = run(line);
    assert_eq!(said.code, code, "{line}: {}{}", said.stdout, said.stderr);
    assert!(said.stdout.is_empty(), "{line}: {}", said.stdout);
    for part in parts {
        assert!(said.stderr.contains(part), "{line}: no `{part}` in {}", said.stderr);
    }
}

#[test]
fn numbers_out_of_range_name_flag_and_range() {
    for nm in ["0", "-1", "NaN", "inf"] {
        let line = format!("epsilon --mechanism gaussian --noise-multiplier {nm} --delta 1e-5");
        refused(&line, 2, &["--noise-multiplier", "positive and finite"]);
    }
    for q in ["0", "-0.1", "1.01", "NaN"] {
        let line = format!("epsilon --mechanism gaussian --noise-multiplier 1 --sample-rate {q} --delta 1e-5");
        refused(&line, 2, &["--sample-rate", "1"]);
    }
    for steps in ["0", "-5", "1.5", "1e30"] {
        let line = format!("epsilon --mechanism gaussian --noise-multiplier 1 --steps {steps} --delta 1e-5");
        refused(&line, 2, &["--steps"]);
    }
    for delta in ["1", "-1e-5", "NaN", "1.5"] {
        for accountant in ["pld", "prv", "rdp", "gdp"] {
            refused(
                &format!("epsilon {RUN} --delta {delta} --accountant {accountant}"),
                2,
                &["--delta", "at least 0 and below 1"],
            );
        }
    }
    for epsilon in ["-1", "NaN", "inf"] {
        refused(
            &format!("delta {RUN} --epsilon {epsilon} --accountant rdp"),
            2,
            &["--epsilon", "at least 0 and finite"],
        );
    }
    refused(&format!("epsilon {RUN} --delta 1e-5 --grid 0"), 2, &["--grid", "positive and finite"]);
    for orders in ["1", "1.005", "0.5", "nan", "2,x", "", "1e9"] {
        let said = run_words(
            &format!("epsilon {RUN} --delta 1e-5 --accountant rdp --orders")
                .split_whitespace()
                .chain([orders])
                .collect::<Vec<_>>(),
        );
        assert_eq!(said.code, 2, "{orders}: {}", said.stdout);
        assert!(said.stderr.contains("--orders"), "{}", said.stderr);
    }
    refused(&format!("epsilon {RUN} --delta 1e-5 --examples 0"), 2, &["--examples", "at least 1"]);
}

#[test]
fn events_that_are_free_cost_nothing() {
    for accountant in ["pld", "prv", "rdp", "gdp", "zcdp"] {
        let said = run(&format!(
            "epsilon --event gaussian:nm=1,q=0,steps=100 --event gaussian:nm=1,q=1,steps=0 --delta 1e-5 \
             --accountant {accountant} --format json"
        ));
        assert_eq!(said.code, 0, "{accountant}: {}", said.stderr);
        let answer: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(answer["epsilon"].as_f64(), Some(0.0), "{accountant}");
    }
}

#[test]
fn delta_zero_with_gaussian_noise_suggests_laplace_and_pure() {
    for accountant in ["pld", "prv", "rdp", "gdp"] {
        let line = format!("epsilon {RUN} --delta 0 --accountant {accountant}");
        refused(&line, 2, &["delta", "no finite epsilon", "Laplace", "pure"]);
    }
    let line = "epsilon --mechanism laplace --noise-multiplier 2 --delta 0 --accountant rdp";
    refused(line, 2, &["--delta", "above 0", "pure"]);
}

#[test]
fn accountants_that_have_no_bound_name_one_that_has() {
    for (line, parts) in [
        (format!("epsilon {RUN} --delta 1e-5 --accountant pure"), ["pure", "gaussian", "use pld"]),
        (format!("epsilon {RUN} --delta 0 --accountant pure"), ["pure", "gaussian", "use pld"]),
        (format!("epsilon {RUN} --delta 1e-5 --accountant zcdp"), ["zcdp", "sample rate below 1", "use pld"]),
        (
            format!("epsilon {RUN} --delta 1e-5 --accountant rdp --neighboring replace-one"),
            ["rdp", "replace-one", "use pld"],
        ),
        (
            format!("epsilon {RUN} --delta 1e-5 --accountant gdp --neighboring replace-one"),
            ["gdp", "replace-one", "use pld"],
        ),
        (
            "epsilon --mechanism laplace --noise-multiplier 1 --delta 1e-5 --accountant gdp".to_owned(),
            ["gdp", "laplace", "use pld"],
        ),
        (
            "epsilon --mechanism laplace --noise-multiplier 1 --delta 1e-5 --accountant zcdp".to_owned(),
            ["zcdp", "laplace", "use pld"],
        ),
    ] {
        refused(&line, 2, &parts);
    }
    let laplace = "--mechanism laplace --noise-multiplier 1 --sample-rate 0.01 --steps 10 --neighboring replace-one";
    for accountant in ["pld", "prv", "rdp", "gdp", "zcdp"] {
        refused(&format!("epsilon {laplace} --delta 1e-5 --accountant {accountant}"), 2, &["replace-one", "use pure"]);
        refused(&format!("delta {laplace} --epsilon 1 --accountant {accountant}"), 2, &["replace-one", "use pure"]);
    }
    refused(
        "calibrate --mechanism gaussian --sample-rate 0.1 --epsilon 1 --delta 1e-5 --accountant zcdp",
        2,
        &["zcdp", "use pld"],
    );
}

/// What is suggested must answer for the whole list, not for the event that was refused alone.
#[test]
fn suggested_accountants_accept_the_events() {
    let both = "--event laplace:nm=1,q=0.01,steps=10 --event gaussian:nm=2,steps=5 --neighboring replace-one";
    for accountant in ["pld", "prv", "rdp", "gdp", "zcdp", "pure"] {
        let line = format!("epsilon {both} --delta 1e-5 --accountant {accountant}");
        refused(&line, 2, &["use pld with a sample rate of 1 for the Laplace noise", "no accountant"]);
    }
    let unsampled = both.replace("q=0.01", "q=1");
    assert_eq!(run(&format!("epsilon {unsampled} --delta 1e-5")).code, 0);
    // Sampled Gaussian noise comes first here; pld would refuse the Laplace noise behind it.
    let later = "--event gaussian:nm=2,q=0.1 --event laplace:nm=1,q=0.1 --neighboring replace-one --delta 1e-5";
    refused(&format!("epsilon {later} --accountant rdp"), 2, &["gaussian", "no accountant"]);
    refused(&format!("epsilon {RUN} --delta 0 --accountant pure"), 2, &["use pld with a delta above 0"]);

    // Every pair of events, relation and accountant that is refused: the accountant named answers.
    let events = ["gaussian:nm=2", "gaussian:nm=2,q=0.5", "laplace:nm=2", "laplace:nm=2,q=0.5"];
    for relation in ["add-remove", "replace-one"] {
        for (first, second) in events.iter().flat_map(|a| events.iter().map(move |b| (a, b))) {
            for accountant in ["pld", "rdp", "gdp", "zcdp", "pure"] {
                let ask = |accountant: &str| {
                    let list = format!("--event {first} --event {second} --neighboring {relation}");
                    run(&format!("epsilon {list} --delta 1e-5 --accountant {accountant}"))
                };
                let said = ask(accountant);
                let Some((_, instead)) = said.stderr.split_once(": use ") else {
                    assert_eq!(said.code, 0, "{accountant} {first} {second} {relation}: {}", said.stderr);
                    continue;
                };
                let instead = instead.trim();
                if !instead.contains(' ') {
                    assert_eq!(ask(instead).code, 0, "{accountant} {first} {second} {relation}: {instead}");
                }
            }
        }
    }
}

#[test]
fn a_target_out_of_reach_is_a_failed_run() {
    for accountant in ["rdp", "pld", "gdp"] {
        let line = format!(
            "calibrate --mechanism gaussian --steps 1000000000000 --epsilon 1e-9 --delta 1e-30 --accountant {accountant}"
        );
        refused(&line, 1, &["can't be reached", "noise multiplier"]);
    }
    let line = "calibrate --mechanism gaussian --steps 10 --epsilon 1 --delta 1e-5 --fixed-event gaussian:nm=0.5";
    refused(line, 1, &["epsilon = 1"]);
}

#[test]
fn calibrations_refuse_what_they_cannot_aim_at() {
    for epsilon in ["0", "-1", "NaN", "inf"] {
        refused(
            &format!("calibrate --mechanism gaussian --steps 10 --epsilon {epsilon} --delta 1e-5"),
            2,
            &["--epsilon"],
        );
    }
    for delta in ["0", "1", "-1", "NaN"] {
        refused(&format!("calibrate --mechanism gaussian --steps 10 --epsilon 1 --delta {delta}"), 2, &["delta"]);
    }
    refused("calibrate --mechanism gaussian --steps 0 --epsilon 1 --delta 1e-5", 2, &["--steps", "at least 1"]);
}

#[test]
fn conversions_and_searches_refuse_what_means_nothing() {
    for line in ["convert", "convert --rho 0.5", "convert --mu 1", "convert --delta 1e-5"] {
        refused(line, 2, &["--mu F --epsilon F"]);
    }
    refused("convert --rho 0.5 --mu 1 --delta 1e-5", 2, &["--rho"]);
    refused("convert --rho -0.5 --delta 1e-5", 2, &["--rho", "at least 0"]);
    refused("convert --mu NaN --delta 1e-5", 2, &["--mu", "at least 0"]);
    refused("convert --mu 1 --delta 0", 2, &["--delta", "above 0 and below 1"]);
    refused("convert --mu 1 --epsilon -1", 2, &["--epsilon", "at least 0"]);
    for (trials, part) in [
        ("0.05", "there is no `x`"),
        ("0.05x", "whole number"),
        ("0.05x0", "at least 1"),
        ("x3", "is no number"),
        ("-0.05x3", "positive"),
        ("NaNx3", "positive"),
        ("0.05x3,", "entry 2"),
    ] {
        refused(&format!("hpo-budget --trials {trials} --final 0.9 --delta 1e-5"), 2, &["--trials", part, "EPSxN"]);
    }
    refused("hpo-budget --trials 0.1x3 --delta 1e-5", 2, &["--final", "--target"]);
    refused("hpo-budget --trials 0.1x3 --final 0.9 --target 1 --delta 1e-5", 2, &["--target"]);
    refused("hpo-budget --trials 0.1x3 --final 0 --delta 1e-5", 2, &["--final", "positive"]);
    refused("hpo-budget --trials 0.1x3 --final 0.9 --delta 0", 2, &["--delta"]);
}

#[test]
fn usage_mistakes_are_told() {
    refused("epsilon --delta 1e-5", 2, &["--mechanism"]);
    refused("epsilon --mechanism gaussian --delta 1e-5", 2, &["--noise-multiplier"]);
    refused("epsilon --mechanism uniform --noise-multiplier 1 --delta 1e-5", 2, &["uniform", "gaussian", "laplace"]);
    refused(&format!("epsilon {RUN} --event gaussian:nm=1 --delta 1e-5"), 2, &["--event"]);
    refused(&format!("epsilon {RUN} --delta 1e-5 --events x.toml"), 2, &["--events"]);
    refused("epsilon --event gaussian:nm=1 --steps 3 --delta 1e-5", 2, &["--mechanism"]);
    refused("epsilon --event gaussian:nm=1,q=2 --delta 1e-5", 2, &["--event 1", "q = 2", "between 0 and 1"]);
    refused("epsilon --events /no/such/file.toml --delta 1e-5", 2, &["/no/such/file.toml"]);
    refused(&format!("epsilon {RUN} --delta 1e-5 --acountant rdp"), 2, &["--accountant"]);
    refused(&format!("epsilon {RUN} --delta 1e-5 --accountant rdp --grid 1e-4"), 2, &["--grid", "pld"]);
    refused(&format!("epsilon {RUN} --delta 1e-5 --orders 2,3"), 2, &["--orders", "rdp"]);
}

/// Values at the ends of what f64 and u64 hold: an answer or a refusal, never a panic (exit code 101).
#[test]
fn extreme_numbers_are_answered_or_refused() {
    let numbers = ["1e-320", "1e-9", "0.03", "1", "1e6", "1.7e308"];
    // The composed ones take seconds at a billion sampled steps: fewer of them.
    let few = ["1e-320", "1", "1.7e308"];
    let settings =
        [("1", "18446744073709551615", "1e-300"), ("0.999", "1000000000", "1e-12"), ("1e-300", "1", "0.999999")];
    for (accountant, numbers, settings) in [
        ("rdp", &numbers[..], &settings[..]),
        ("gdp", &numbers, &settings),
        ("zcdp", &numbers, &settings),
        ("pure", &numbers, &settings),
        ("pld", &few, &settings[..1]),
        ("prv", &few, &settings[..1]),
    ] {
        for mechanism in ["gaussian", "laplace"] {
            for nm in numbers {
                for (q, steps, delta) in settings {
                    let said = run(&format!(
                        "epsilon --event {mechanism}:nm={nm},q={q},steps={steps} --delta {delta} --accountant {accountant}"
                    ));
                    let line = format!("{accountant} {mechanism} {nm} {q} {steps} {delta}");
                    assert!(matches!(said.code, 0..=2), "{line}: {} {}", said.code, said.stderr);
                    assert!(!said.stdout.contains("NaN"), "{line}: {}", said.stdout);
                }
            }
        }
    }
}
