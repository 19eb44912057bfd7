//! What the modules of tests share.

use serde::Deserialize;

/// scipy's, statsmodels' and numpy's numbers (`scripts/fixtures/stats.py`).
#[derive(Deserialize)]
pub struct Fixture {
    pub wilson: Vec<(u64, u64, f64, f64, f64)>,
    pub describe: Vec<Described>,
    pub student: Vec<(String, f64, f64, f64)>,
    #[cfg_attr(not(feature = "bootstrap"), allow(dead_code, reason = "read by the bootstrap's tests"))]
    pub bootstrap: Vec<Boot>,
    pub clopper_pearson: Vec<(u64, u64, f64, f64, f64)>,
    pub clustered: Vec<Clustered>,
    pub auroc: Vec<Ranked>,
    pub mcnemar: Vec<(u64, u64, f64)>,
    pub paired: Vec<Pairs>,
    pub adjusted: Vec<(Vec<f64>, Vec<f64>, Vec<f64>)>,
    pub power: Vec<(f64, f64, f64, f64, u64)>,
    pub lines: Vec<Points>,
}

#[derive(Deserialize)]
pub struct Clustered {
    pub x: Vec<f64>,
    pub groups: Vec<usize>,
    pub se: f64,
    pub finite: (f64, f64, f64),
    pub none: (f64, f64, f64),
}

#[derive(Deserialize)]
pub struct Ranked {
    pub scores: Vec<f64>,
    pub labels: Vec<bool>,
    pub auroc: f64,
    pub se: f64,
}

#[derive(Deserialize)]
pub struct Pairs {
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub diff: f64,
    pub se: f64,
    pub interval: (f64, f64),
    pub corr: f64,
}

#[derive(Deserialize)]
pub struct Points {
    pub x: Vec<f64>,
    pub y: Vec<f64>,
    pub slope: f64,
    pub intercept: f64,
    pub r2: f64,
    pub se: f64,
}

#[derive(Deserialize)]
pub struct Described {
    pub name: String,
    pub x: Vec<f64>,
    pub mean: f64,
    pub variance: f64,
    pub median: f64,
    pub quantiles: Vec<(f64, f64)>,
}

#[derive(Deserialize)]
#[cfg_attr(not(feature = "bootstrap"), allow(dead_code, reason = "read by the bootstrap's tests"))]
pub struct Boot {
    pub name: String,
    pub level: f64,
    pub statistic: String,
    pub estimate: f64,
    pub replicates: Vec<f64>,
    pub jackknife: Vec<f64>,
    pub percentile: (f64, f64),
    pub bca: (f64, f64),
    pub std_error: f64,
}

pub fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/stats.json")).unwrap()
}

pub fn near(found: f64, expected: f64, relative: f64, what: &str) {
    let gap = (found - expected).abs();
    assert!(
        gap <= relative * expected.abs().max(1e-300),
        "{what}: {found:e}, reference {expected:e}, relative {:e}",
        gap / expected.abs()
    );
}
