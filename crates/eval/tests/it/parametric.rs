//! Approach 3: published objectives, Chinchilla's two parameter sets, degenerate laws, and laws of our own making.

use ashlar_eval::law::{
    Fit, FitOptions, Loss, Points, Starts, Variable,
    parametric::{Grid, fit},
    width_depth,
};
use proptest::prelude::*;

use crate::support::{self, assert_close};

const TWO: [Variable; 2] = [Variable::Params, Variable::Tokens];

fn table(name: &str) -> Option<Points> {
    let path = support::data(&format!("gemstones/wandb_dfs/wandb_df_for_fitting_{name}.jsonl"))?;
    Some(Points::read(&path, None).unwrap())
}

fn chinchilla() -> Option<Points> {
    let path = support::data("gemstones/data/epoch_chinchilla_svg_extracted_data.csv")?;
    Some(Points::read(&path, None).unwrap())
}

fn huber(delta: f64, starts: u64) -> FitOptions {
    FitOptions { loss: Loss::Huber { delta }, starts: Starts::Draws(starts), seed: 0 }
}

/// Table, whether without one embedding matrix, then published objective and our optimum at δ 1e-3 and 1e-4.
const PUBLISHED: [(&str, bool, f64, f64, f64, f64); 11] = [
    ("hot", false, 1.981613e-3, 1.98161281e-3, 2.076018e-4, 2.07505156e-4),
    ("hot", true, 1.746670e-3, 1.74666962e-3, 1.838567e-4, 1.83856376e-4),
    ("hot_100b+", false, 6.592534e-3, 6.59253416e-3, 6.923300e-4, 6.92328908e-4),
    ("hot_100b+", true, 5.393950e-3, 5.39394913e-3, 5.719375e-4, 5.71937440e-4),
    ("hot_120b+_only", false, 3.862399e-3, 3.86239796e-3, 4.080789e-4, 4.08078525e-4),
    ("cool_begin", false, 1.951533e-3, 1.95153247e-3, 2.035445e-4, 2.03536383e-4),
    ("cool_end", false, 1.964087e-3, 1.96408643e-3, 2.059406e-4, 2.04779068e-4),
    ("cool_end", true, 1.713242e-3, 1.71324183e-3, 1.799117e-4, 1.79719309e-4),
    ("hot_sampled_like_chinchilla", false, 2.173794e-4, 2.17378809e-4, 2.257320e-5, 2.25719215e-5),
    ("slim_chinchilla", false, 1.204363e-4, 1.20436038e-4, 1.339780e-5, 1.30363803e-5),
    ("hot_100b+_512x", false, 7.925070e-5, 7.85910229e-5, 1.678190e-5, 1.30659583e-5),
];

#[test]
fn optima_are_at_or_below_the_published_objectives() {
    for (name, no_embeds, published_3, ours_3, published_4, ours_4) in PUBLISHED {
        let Some(points) = table(name) else { return };
        for (delta, published, ours) in [(1e-3, published_3, ours_3), (1e-4, published_4, ours_4)] {
            let fit = Fit::of(&points, &TWO, no_embeds, 0, &huber(delta, 400)).unwrap();
            let what = format!("{name} {no_embeds} {delta}: {}", fit.objective);
            assert!(fit.objective <= published * (1.0 + 1e-6), "{what}");
            assert!(support::close(fit.objective, ours, 1e-6), "{what}");
            assert!(fit.converged && fit.grad_inf < 1e-9 && !fit.degenerate(), "{what} {}", fit.grad_inf);
        }
    }
}

#[test]
fn oracle_3_with_the_whole_grid() {
    let Some(points) = table("hot_100b+") else { return };
    let fit = Fit::of(&points, &TWO, false, 0, &FitOptions::default()).unwrap();
    assert_eq!(fit.starts, 4500);
    assert_close(fit.objective, 0.0065925342, 1e-7);
    assert_close(fit.exponents[0], 0.259164, 1e-5);
    assert_close(fit.exponents[1], 0.597301, 1e-5);
    assert_close(fit.irreducible_error.unwrap(), 0.668253, 1e-5);
}

#[test]
fn the_width_depth_law_has_no_floor() {
    let Some(points) = table("hot_100b+") else { return };
    let vars = [Variable::Width, Variable::Depth, Variable::Tokens];
    let fit = Fit::of(&points, &vars, false, 0, &huber(1e-3, 400)).unwrap();
    assert_close(fit.objective, 0.0038782174, 1e-7);
    for (found, expected) in fit.exponents.iter().zip([0.26065, 0.14165, 0.5309]) {
        assert_close(*found, expected, 5e-5);
    }
    assert!(fit.degenerate() && fit.irreducible_error.is_none() && fit.floor() == 0.0);
    assert!(fit.converged);
    // Its prescription: an optimum inside, better than its neighbours at equal cost.
    let plan = width_depth::prescribe(&fit, 1e21).unwrap();
    assert!(!plan.at_border, "{plan:?}");
    for (wider, deeper) in [(1.02, 1.0), (0.98, 1.0), (1.0, 1.02), (1.0, 0.98)] {
        let (width, depth) = (plan.width * wider, plan.depth * deeper);
        let tokens = 1e21 / ashlar_eval::law::shape::flops_per_token(width, depth, 50304.0, 2048.0);
        assert!(fit.predict(&[width, depth, tokens]) > plan.loss, "{wider} {deeper}");
    }
    assert!(width_depth::prescribe(&fit, 0.0).is_err());
}

#[test]
fn chinchilla_huber() {
    let Some(points) = chinchilla() else { return };
    let fit = Fit::of(&points, &TWO, false, 5, &huber(1e-3, 400)).unwrap();
    assert_eq!(fit.n, 240);
    assert_close(fit.objective, 0.0010182740178, 1e-9);
    let law = fit.law().unwrap();
    for (found, expected) in
        [(law.a, 477.826), (law.b, 2143.42), (law.e, 1.817218), (law.alpha, 0.347311), (law.beta, 0.367172)]
    {
        assert_close(found, expected, 2e-5);
    }
    for (found, expected) in fit.coefficients.iter().zip([6.1692464, 7.6701568]) {
        assert_close(*found, expected, 1e-6);
    }
    assert_close(fit.irreducible_error.unwrap(), 0.5973068, 1e-6);

    let boot = fit.bootstrap(400, 0.95, 0).unwrap();
    assert_eq!(boot.names, ["A", "B", "E", "alpha", "beta"]);
    for (at, published) in [(2, 0.0257), (3, 0.0154), (4, 0.0206)] {
        assert!((boot.se[at] / published - 1.0).abs() < 0.3, "{} {}", boot.names[at], boot.se[at]);
        assert!(boot.lo[at] < fit.natural()[at] && fit.natural()[at] < boot.hi[at]);
    }
    assert_eq!(boot, fit.bootstrap(400, 0.95, 0).unwrap());
    assert_ne!(boot, fit.bootstrap(400, 0.95, 1).unwrap());
}

#[test]
fn chinchilla_least_absolute_deviations() {
    let Some(points) = chinchilla() else { return };
    let options = FitOptions { loss: Loss::Lad, starts: Starts::Draws(400), seed: 0 };
    let fit = Fit::of(&points, &TWO, false, 5, &options).unwrap();
    let law = fit.law().unwrap();
    for (found, expected) in
        [(law.a, 482.00), (law.b, 2085.4), (law.e, 1.81686), (law.alpha, 0.347812), (law.beta, 0.365854)]
    {
        assert_close(found, expected, 1e-4);
    }
    assert!(fit.converged, "{}", fit.grad_inf);
    // The certificate of a vertex: as many rows as parameters are met exactly.
    let met = (0..fit.n)
        .filter(|&row| {
            let predicted = fit.predict(&[fit.columns[0][row], fit.columns[1][row]]);
            (fit.losses[row] / predicted).ln().abs() < 1e-12
        })
        .count();
    assert_eq!(met, 5);
}

#[test]
fn the_objective_is_a_sum_and_not_a_mean() {
    let (losses, columns) = synthetic(&[400.0, 900.0, 1.7, 0.34, 0.3], 0.01);
    let once = fit(&losses, &TWO, &columns, &huber(1e-3, 50)).unwrap();
    let twice = |x: &[f64]| x.iter().chain(x).copied().collect::<Vec<_>>();
    let doubled = [twice(&columns[0]), twice(&columns[1])];
    let both = fit(&twice(&losses), &TWO, &doubled, &huber(1e-3, 50)).unwrap();
    assert_close(both.objective, 2.0 * once.objective, 1e-9);
    assert_close(both.exponents[0], once.exponents[0], 1e-7);
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (losses, columns) = synthetic(&[400.0, 900.0, 1.7, 0.34, 0.3], 0.01);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let fit = fit(&losses, &TWO, &columns, &huber(1e-3, 300)).unwrap();
            let boot = fit.bootstrap(20, 0.9, 3).unwrap();
            let bits = |x: &[f64]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            (bits(&fit.natural()), fit.objective.to_bits(), fit.starts_at_best, bits(&boot.se))
        })
    };
    assert_eq!(on(1), on(2));
    assert_eq!(on(1), on(5));
}

#[test]
fn the_grid_is_the_published_one() {
    assert_eq!([1, 2, 3, 4].map(|k| Grid::new(k).len()), [150, 4500, 135_000, 4_050_000]);
    let mut points: Vec<Vec<u64>> =
        (0..4500).map(|i| Grid::new(2).point(i).iter().map(|v| v.to_bits()).collect()).collect();
    points.sort();
    points.dedup();
    assert_eq!(points.len(), 4500);
    let mut drawn = Grid::new(2).choose(Starts::Draws(4500), 7);
    drawn.sort_unstable();
    assert!(drawn.iter().copied().eq(0..4500));
    assert_eq!(Grid::new(3).choose(Starts::Auto, 0).len(), 2000);
    assert_ne!(Grid::new(3).choose(Starts::Auto, 0), Grid::new(3).choose(Starts::Auto, 1));
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let (losses, columns) = synthetic(&[400.0, 900.0, 1.7, 0.34, 0.3], 0.0);
    let error = |losses: &[f64], columns: &[Vec<f64>], options: &FitOptions| {
        fit(losses, &TWO, columns, options).unwrap_err().to_string()
    };
    for delta in [0.0, -1e-3, f64::NAN, f64::INFINITY] {
        let text = error(&losses, &columns, &huber(delta, 1));
        assert!(text.starts_with("delta = ") && text.ends_with("it must be finite and above 0"), "{text}");
    }
    let five = [columns[0][..5].to_vec(), columns[1][..5].to_vec()];
    assert_eq!(error(&losses[..5], &five, &huber(1e-3, 1)), "rows for a law of 5 parameters: 5, at least 6 are needed");
    let constant = [vec![1e9; losses.len()], columns[1].clone()];
    assert!(error(&losses, &constant, &huber(1e-3, 1)).contains("every row has the same params"));
    let twice = fit(&losses, &[Variable::Params; 2], &columns, &huber(1e-3, 1)).unwrap_err();
    assert!(twice.to_string().contains("named twice"));
    assert!(error(&losses, &columns, &huber(1e-3, 0)).starts_with("starts = 0"));
}

#[test]
fn extreme_numbers_end_in_an_answer_or_an_error() {
    let huge: Vec<f64> = (0..12).map(|i| 10f64.powi(300 - i)).collect();
    let tiny: Vec<f64> = (0..12).map(|i| 10f64.powi(i - 300)).collect();
    for losses in [&huge, &tiny] {
        for columns in [[huge.clone(), tiny.clone()], [tiny.clone(), huge.clone()]] {
            for delta in [1e-300, 1e-3, 1e300] {
                let _ = fit(losses, &TWO, &columns, &huber(delta, 20));
            }
            let _ = fit(losses, &TWO, &columns, &FitOptions { loss: Loss::Lad, starts: Starts::Draws(20), seed: 0 });
        }
    }
}

/// Losses of a law (A, B, E, α, β) on 8 sizes times 9 token counts, with seeded noise of ln L.
fn synthetic(law: &[f64; 5], noise: f64) -> (Vec<f64>, [Vec<f64>; 2]) {
    let (mut losses, mut params, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..8 {
        for j in 0..9 {
            let (n, d) = (1e7 * 2.3_f64.powi(i), 2e9 * 1.9_f64.powi(j));
            // Any fixed scatter does.
            let scatter = noise * (f64::from(i * 9 + j) * 12.9898).sin();
            losses.push((law[2] + law[0] * n.powf(-law[3]) + law[1] * d.powf(-law[4])) * scatter.exp());
            params.push(n);
            tokens.push(d);
        }
    }
    (losses, [params, tokens])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn laws_are_recovered_from_their_own_losses(
        alpha in 0.2..0.6, beta in 0.2..0.6, floor in 1.0..2.5, share in 0.5..1.0, other in 0.5..1.0
    ) {
        // Terms of .5 to 1 nat at the smallest size and the fewest tokens.
        let (a, b) = (share * 1e7_f64.powf(alpha), other * 2e9_f64.powf(beta));
        let (losses, columns) = synthetic(&[a, b, floor, alpha, beta], 0.0);
        let fit = fit(&losses, &TWO, &columns, &huber(1e-3, 300)).unwrap();
        let law = fit.law().unwrap();
        prop_assert!((law.alpha / alpha - 1.0).abs() < 1e-4, "{law:?}");
        prop_assert!((law.beta / beta - 1.0).abs() < 1e-4, "{law:?}");
        prop_assert!((law.e / floor - 1.0).abs() < 1e-4, "{law:?}");
        prop_assert!(fit.objective < 1e-12, "{}", fit.objective);
    }
}
