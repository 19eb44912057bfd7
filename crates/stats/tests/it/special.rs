//! Special functions, binomial tails and Gaussian trade-offs against mpmath (`scripts/fixtures/special.py`).

use ashlar_stats::{
    binomial,
    special::{
        beta_inc, beta_inc_inv, chi_squared_sf, erfc, erfcx, ln_beta, ln_binomial, ln_gamma, ln_normal_cdf, normal_cdf,
        normal_quantile, normal_quantile_ln, normal_sf, student_t_cdf, student_t_quantile,
    },
    tradeoff,
};
use serde::Deserialize;

/// x, erfc, erfcx where it is finite, Φ, ln Φ.
type Normal = (f64, f64, Option<f64>, f64, f64);

#[derive(Deserialize)]
struct Fixture {
    normal: Vec<Normal>,
    far: Vec<(f64, f64)>,
    quantile: Vec<(f64, f64)>,
    quantile_ln: Vec<(f64, f64)>,
    gamma: Vec<(f64, f64)>,
    beta: Vec<(f64, f64, f64)>,
    choose: Vec<(u64, u64, f64)>,
    beta_inc: Vec<(f64, f64, f64, f64, f64)>,
    beta_inc_inv: Vec<(f64, f64, f64, f64)>,
    chi_squared: Vec<(f64, f64, f64)>,
    t_cdf: Vec<(f64, f64, f64)>,
    t_quantile: Vec<(f64, f64, f64)>,
    binomial: Vec<(u64, u64, f64, f64, f64)>,
    ln_delta: Vec<(f64, f64, f64)>,
    epsilon: Vec<(f64, f64, f64)>,
    mu: Vec<(f64, f64, f64)>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/special.json")).unwrap()
}

/// Every row of `rows` (arguments, found, expected) to `relative`, or to `absolute` where that is wider.
fn all_near(function: &str, relative: f64, absolute: f64, rows: impl Iterator<Item = (String, f64, f64)>) {
    let failure = |(arguments, found, expected): (String, f64, f64)| {
        let gap = if found == expected { 0.0 } else { (found - expected).abs() };
        let error = gap / expected.abs();
        let fails = found.is_nan() || gap > (relative * expected.abs()).max(absolute);
        fails.then(|| format!("{function}({arguments}) = {found:e}, reference {expected:e}, relative {error:e}"))
    };
    let failures: Vec<String> = rows.filter_map(failure).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_normal_distribution_equals_mpmath() {
    let rows = fixture().normal;
    let by = |f: fn(f64) -> f64, of: fn(&Normal) -> f64| {
        rows.iter().map(move |row| (format!("{:e}", row.0), f(row.0), of(row))).collect::<Vec<_>>().into_iter()
    };
    all_near("erfc", 1e-15, 1e-320, by(erfc, |row| row.1));
    all_near("normal_cdf", 1e-15, 1e-320, by(normal_cdf, |row| row.3));
    all_near("normal_sf", 1e-15, 1e-320, by(|x| normal_sf(-x), |row| row.3));
    all_near("ln_normal_cdf", 1e-15, 0.0, by(ln_normal_cdf, |row| row.4));
    let scaled = rows.iter().filter_map(|row| row.2.map(|expected| (format!("{:e}", row.0), erfcx(row.0), expected)));
    all_near("erfcx", 1e-15, 0.0, scaled);
    let far = fixture().far.into_iter().map(|(x, expected)| (format!("{x:e}"), ln_normal_cdf(x), expected));
    all_near("ln_normal_cdf, far", 1e-15, 0.0, far);
}

#[test]
fn normal_quantiles_equal_mpmath() {
    let f = fixture();
    all_near(
        "normal_quantile",
        1e-15,
        0.0,
        f.quantile.into_iter().map(|(p, x)| (format!("{p:e}"), normal_quantile(p), x)),
    );
    let rows = f.quantile_ln.into_iter().map(|(l, x)| (format!("{l:e}"), normal_quantile_ln(l), x));
    all_near("normal_quantile_ln", 1e-15, 0.0, rows);
}

#[test]
fn gamma_and_beta_functions_equal_mpmath() {
    let f = fixture();
    all_near("ln_gamma", 1e-15, 2e-15, f.gamma.into_iter().map(|(x, v)| (format!("{x:e}"), ln_gamma(x), v)));
    all_near("ln_beta", 2e-15, 4e-15, f.beta.into_iter().map(|(a, b, v)| (format!("{a:e}, {b:e}"), ln_beta(a, b), v)));
    let rows = f.choose.into_iter().map(|(n, k, v)| (format!("{n}, {k}"), ln_binomial(n, k), v));
    all_near("ln_binomial", 1e-15, 1e-15, rows);
}

#[test]
fn incomplete_beta_functions_equal_mpmath() {
    let f = fixture();
    let rows = f.beta_inc.iter().map(|(a, b, x, low, _)| (format!("{a:e}, {b:e}, {x:e}"), beta_inc(*a, *b, *x), *low));
    all_near("beta_inc", 2e-13, 0.0, rows);
    // The other tail, where 1 − x is exact.
    let rows = f.beta_inc.iter().filter(|row| row.2 >= 0.5);
    let rows = rows.map(|(a, b, x, _, high)| (format!("{b:e}, {a:e}, 1 − {x:e}"), beta_inc(*b, *a, 1.0 - x), *high));
    all_near("beta_inc, mirrored", 2e-13, 0.0, rows);
    let rows = f.beta_inc_inv.iter().map(|(a, b, p, x)| (format!("{a}, {b}, {p:e}"), beta_inc_inv(*a, *b, *p), *x));
    all_near("beta_inc_inv", 1e-13, 0.0, rows);
}

#[test]
fn reference_distributions_equal_mpmath() {
    let f = fixture();
    let rows = f.chi_squared.iter().map(|(x, d, v)| (format!("{x}, {d}"), chi_squared_sf(*x, *d), *v));
    all_near("chi_squared_sf", 1e-13, 0.0, rows);
    all_near(
        "student_t_cdf",
        1e-13,
        0.0,
        f.t_cdf.iter().map(|(t, d, v)| (format!("{t}, {d}"), student_t_cdf(*t, *d), *v)),
    );
    let rows = f.t_quantile.iter().map(|(p, d, v)| (format!("{p}, {d}"), student_t_quantile(*p, *d), *v));
    all_near("student_t_quantile", 2e-14, 0.0, rows);
}

#[test]
fn binomial_tails_equal_mpmath() {
    let f = fixture();
    let rows = f.binomial.iter().map(|(k, n, p, v, _)| (format!("{k}, {n}, {p}"), binomial::ln_pmf(*k, *n, *p), *v));
    all_near("ln_pmf", 1e-15, 0.0, rows);
    let rows = f.binomial.iter().map(|(k, n, p, _, v)| (format!("{k}, {n}, {p}"), binomial::sf(*k, *n, *p), *v));
    all_near("sf", 1e-13, 0.0, rows);
}

#[test]
fn gaussian_trade_offs_equal_mpmath() {
    let f = fixture();
    let rows = f.ln_delta.iter().map(|(mu, e, v)| (format!("{mu:e}, {e:e}"), tradeoff::ln_delta(*mu, *e), *v));
    all_near("ln_delta", 5e-15, 5e-15, rows);
    let rows = f.epsilon.iter().map(|(mu, d, v)| (format!("{mu:e}, {d:e}"), tradeoff::epsilon(*mu, *d).unwrap(), *v));
    all_near("epsilon", 5e-15, 0.0, rows);
    let rows = f.mu.iter().map(|(e, d, v)| (format!("{e:e}, {d:e}"), tradeoff::mu(*e, *d).unwrap(), *v));
    all_near("mu", 5e-15, 0.0, rows);
}
