//! Claims: each comparison, each way to treat seeds, thresholds from other stages, intervals, exit codes.

use ashlar_cli::Exit;

use crate::fake::run_once;

/// Two stages over seeds 0, 1, 2: `a` ends at .60, .61, .62, `b` at .80, .81, .82.
fn experiment(claims: &str) -> String {
    format!(
        "[experiment]\nname = 'c'\ntitle = 'C'\nseeds = [0, 1, 2]\n\
         [[stage]]\nname = 'a'\nrun = 'fake train'\n\
         [[stage]]\nname = 'b'\nrun = 'fake train'\nwith.server.lr = 0.4\n{claims}"
    )
}

fn claim(rest: &str) -> String {
    experiment(&format!("[[claim]]\ntext = 'T'\nmetric = 'a.final_acc'\n{rest}\n"))
}

/// Whether a claim holds, and what was measured and compared.
fn verdict(rest: &str) -> (bool, f64, f64) {
    let finished = run_once(&claim(rest)).unwrap();
    assert_eq!(finished.exit(), if finished.holds() { Exit::Done } else { Exit::Gate });
    let verdict = &finished.verdicts[0];
    let round = |x: f64| (x * 1e9).round() / 1e9;
    (verdict.holds, round(verdict.measured), round(verdict.threshold))
}

#[test]
fn each_operator_compares_the_mean() {
    for (op, value, holds) in [
        (">=", 0.60, true),
        (">=", 0.62, false),
        ("<=", 0.62, true),
        ("<=", 0.60, false),
        (">", 0.60, true),
        (">", 0.62, false),
        ("<", 0.62, true),
        ("<", 0.60, false),
        ("==", 0.62, false),
    ] {
        assert_eq!(verdict(&format!("op = '{op}'\nvalue = {value}")), (holds, 0.61, value), "{op} {value}");
    }
    let compression = experiment("[[claim]]\ntext = 'T'\nmetric = 'a.compression.down'\nop = '=='\nvalue = 8\n");
    assert!(run_once(&compression).unwrap().holds());
}

#[test]
fn each_looks_at_every_seed_and_shows_the_worst() {
    assert_eq!(verdict("over = 'each'\nop = '>='\nvalue = 0.605"), (false, 0.60, 0.605));
    assert_eq!(verdict("over = 'each'\nop = '>='\nvalue = 0.595"), (true, 0.60, 0.595));
    assert_eq!(verdict("over = 'each'\nop = '<='\nthan = 'b.final_acc'\nplus = -0.19"), (true, 0.60, 0.61));
    assert_eq!(verdict("over = 'median'\nop = '>='\nvalue = 0.605"), (true, 0.61, 0.605));
}

#[test]
fn a_threshold_from_another_stage_is_multiplied_then_shifted() {
    assert_eq!(verdict("op = '<='\nthan = 'b.final_acc'\nplus = -0.19"), (true, 0.61, 0.62));
    assert_eq!(verdict("op = '>='\nthan = 'b.final_acc'\ntimes = 0.5\nplus = 0.3"), (false, 0.61, 0.705));
}

#[test]
fn an_interval_must_lie_on_the_claimed_side() {
    // The paired difference is exactly −.2 on every seed.
    let (holds, ..) = verdict("op = '<='\nthan = 'b.final_acc'\nplus = -0.1\ninterval = 'bootstrap'");
    assert!(holds);
    // The mean satisfies the claim, the interval of the difference (.60, .61, .62 less .605) does not exclude 0.
    let finished = run_once(&claim("op = '>='\nvalue = 0.605\ninterval = 'bootstrap'")).unwrap();
    let (low, high) = finished.verdicts[0].interval.unwrap();
    assert!(!finished.holds() && low < 0.0 && high > 0.0, "[{low}, {high}]");
}

#[test]
fn nan_fails_a_claim_and_a_metric_that_nobody_measured_is_a_mistake() {
    let nan = experiment("[[claim]]\ntext = 'T'\nmetric = 'a.diverged'\nop = '<='\nvalue = 1\n");
    let finished = run_once(&nan).unwrap();
    assert_eq!(finished.exit(), Exit::Gate);
    assert!(finished.json["claims"][0]["measured"].is_null());
    let missing = experiment("[[claim]]\ntext = 'T'\nmetric = 'a.final_ac'\nop = '<='\nvalue = 1\n");
    let failure = run_once(&missing).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(failure.to_string().contains("did you mean `final_acc`?"), "{failure}");
}

#[test]
fn a_grid_is_judged_at_the_point_that_select_chooses() {
    let text = |select: &str| {
        format!(
            "[experiment]\nname = 'g'\ntitle = 'G'\nseeds = [0, 1]\n[[stage]]\nname = 'a'\nrun = 'fake train'\n\
             select = '{select}'\ngrid = {{ 'server.lr' = [0.1, 0.3, 0.3], 'server.k' = [1, 2] }}\n"
        )
    };
    let chosen = |select: &str| run_once(&text(select)).unwrap().json["stages"][0]["chosen"].to_string();
    // The first of equals: lr .3 comes twice, and k changes nothing.
    assert_eq!(chosen("val_acc"), r#"{"server.lr":0.3,"server.k":1}"#);
    assert_eq!(chosen("-val_acc"), r#"{"server.lr":0.1,"server.k":1}"#);
    assert_eq!(chosen("-loss"), r#"{"server.lr":0.3,"server.k":1}"#);
    assert_eq!(chosen("val_acc'\ntoward = 0.64\nnote = '"), r#"{"server.lr":0.1,"server.k":1}"#);
    let failure = run_once(&text("vall_acc")).unwrap_err();
    assert!(failure.to_string().contains("did you mean `val_acc`?"), "{failure}");
}

#[test]
fn a_comparison_without_a_gate_is_reported_and_fails_nothing() {
    let finished = run_once(&claim("op = '>'\nthan = 'b.final_acc'\ngate = false")).unwrap();
    assert!(!finished.verdicts[0].holds);
    assert_eq!(finished.exit(), Exit::Done);
    assert!(finished.text.contains("found  T\n       measured 0.610 against 0.810"), "{}", finished.text);
}
