//! Guesses from scores: what is counted, what is claimed for it, and that the claims hold.

use ashlar_audit::{OneRun, Plan, ScoreSet, Select, Validity, bound::Method};
use ashlar_stats::{describe::median, special::normal_quantile};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const RANKED: [Method; 5] = [Method::OneRun, Method::OneRunFdp, Method::ClopperPearson, Method::Gdp, Method::Bayes];

/// Scores N(shift, 1) of members and N(0, 1) of non-members.
pub fn gaussian(members: usize, nonmembers: usize, shift: f64, seed: u64) -> ScoreSet {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |mean: f64| mean + normal_quantile(rng.random::<f64>().max(1e-300));
    let side = (0..members).map(|_| draw(shift)).collect();
    ScoreSet::new(side, (0..nonmembers).map(|_| draw(0.0)).collect()).unwrap()
}

/// A canary each by its own coin.
fn tossed(canaries: usize, shift: f64, seed: u64) -> ScoreSet {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let members = (0..canaries).filter(|_| rng.random::<bool>()).count();
    gaussian(members, canaries - members, shift, seed)
}

fn epsilon(scores: &ScoreSet, plan: &Plan) -> f64 {
    scores.audit(plan).unwrap().bound.epsilon_lower
}

#[test]
fn both_sides_are_guessed() {
    let scores = ScoreSet::new(vec![9.0, 8.0, 7.0, 1.0], vec![8.5, 3.0, 2.0, 0.5, 0.0, -1.0]).unwrap();
    let audit = |k_plus, k_minus| {
        let plan = Plan { k_plus: vec![k_plus], k_minus: vec![k_minus], ..Plan::new(Method::OneRun) };
        scores.audit(&plan).unwrap()
    };
    let both = audit(3, 4);
    // 9, 8.5, 8 in: two right. −1, 0, 0.5, 1 out: three right.
    assert_eq!((both.guesses, both.correct), (Some(7), Some(5)));
    assert_eq!((both.threshold, both.threshold_out), (Some(8.0), Some(1.0)));
    assert_eq!((both.k_plus, both.k_minus), (Some(3), Some(4)));
    let out = audit(0, 3);
    assert_eq!((out.guesses, out.correct, out.threshold), (Some(3), Some(3), None));
    assert_eq!(audit(0, 0).bound.epsilon_lower, 0.0);
    assert_eq!(audit(10, 0).correct, Some(4));
}

#[test]
fn one_list_of_counts_serves_both_methods_of_giving_it() {
    let scores = gaussian(300, 300, 1.5, 3);
    let plan = |k_plus: &[u64], k_minus: &[u64]| Plan {
        select: Select::Bonferroni,
        k_plus: k_plus.to_vec(),
        k_minus: k_minus.to_vec(),
        ..Plan::new(Method::OneRun)
    };
    let four = scores.audit(&plan(&[10, 20, 40, 80], &[10, 20, 40, 80])).unwrap();
    assert_eq!(four.candidates, 4);
    // By hand: the best of the four at a quarter of the level.
    let by_hand = [10, 20, 40, 80].map(|k| {
        let fixed = Plan { k_plus: vec![k], k_minus: vec![k], ..Plan::new(Method::OneRun) };
        let guesses = scores.audit(&fixed).unwrap();
        let run = OneRun::new(600, 2 * k, guesses.correct.unwrap()).unwrap();
        run.epsilon_lower(1e-5, 1.0 - 0.05 / 4.0).unwrap().epsilon_lower
    });
    let best = by_hand.into_iter().fold(0.0, f64::max);
    assert!((four.bound.epsilon_lower - best).abs() < 1e-9);
    assert!((four.level - 0.0125).abs() < 1e-15);
    // One number for all of the other list's, and a list of one is fixed.
    assert_eq!(scores.audit(&plan(&[10, 20], &[5])).unwrap().candidates, 2);
    let one = epsilon(&scores, &plan(&[30], &[30]));
    let fixed = Plan { select: Select::Fixed, ..plan(&[30], &[30]) };
    assert_eq!(one, epsilon(&scores, &fixed));
}

#[test]
fn only_what_holds_is_called_valid() {
    let scores = gaussian(100, 100, 1.0, 1);
    for select in [Select::Fixed, Select::Bonferroni, Select::Split, Select::MultiSplit, Select::MaxUncorrected] {
        for method in RANKED {
            let valid = scores.audit(&Plan { select, ..Plan::new(method) }).unwrap().bound.valid;
            let want = match method {
                _ if select == Select::MaxUncorrected => Validity::Invalid,
                Method::OneRun | Method::OneRunFdp => Validity::Valid,
                _ => Validity::Heuristic,
            };
            assert_eq!(valid, want, "{method:?} {select:?}");
        }
    }
    let shot = scores.audit(&Plan::new(Method::OneShotGaussian)).unwrap();
    assert_eq!((shot.bound.valid, shot.select, shot.epsilon_ceiling), (Validity::Asymptotic, None, None));
}

#[test]
fn the_default_counts_follow_the_claim() {
    let scores = gaussian(500, 500, 0.9, 2);
    let guesses = |claim, confidence, method| {
        scores.audit(&Plan { claim, confidence, ..Plan::new(method) }).unwrap().guesses.unwrap()
    };
    assert_eq!(guesses(None, 0.95, Method::OneRun), 100);
    assert_eq!(guesses(None, 0.95, Method::OneRunFdp), 200);
    assert_eq!(guesses(Some(1.0), 0.95, Method::OneRun), 100);
    // A1's own figures, for a claim of 4.
    assert_eq!(guesses(Some(4.0), 0.95, Method::OneRun), 280);
    assert_eq!(guesses(Some(4.0), 0.98, Method::OneRun), 370);
    assert_eq!(guesses(Some(4.0), 0.99, Method::OneRun), 450);
    // No number of guesses reaches this: all of them.
    assert_eq!(guesses(Some(9.0), 0.95, Method::OneRun), 1000);
    assert_eq!(OneRun::guesses_for(1000, 9.5, 1e-5, 0.95).unwrap(), None);
    assert_eq!(OneRun::guesses_for(5, 0.1, 0.0, 0.95).unwrap(), None);
}

#[test]
fn the_smallest_number_of_guesses_is_found() {
    for (m, target, delta, confidence) in
        [(1000, 2.0, 1e-5, 0.95), (5000, 4.5, 1e-6, 0.9), (300, 1.0, 0.0, 0.6), (1000, 0.0, 1e-5, 0.95)]
    {
        let found = OneRun::guesses_for(m, target, delta, confidence).unwrap().unwrap();
        let ceiling = |r: u64| OneRun::new(m, r, r).unwrap().epsilon_lower(delta, confidence).unwrap().epsilon_lower;
        assert!(found.is_multiple_of(10) && ceiling(found) >= target, "{found}");
        assert!(found == 10 || ceiling(found - 10) <= target, "{found}");
    }
}

#[test]
fn ties_are_drawn_blind_to_labels() {
    // Five levels of scores; 40 guesses cut through the highest one, 60 members and 40 non-members strong.
    let side = |counts: [usize; 5]| {
        counts.iter().enumerate().flat_map(|(level, &n)| std::iter::repeat_n(level as f64, n)).collect::<Vec<_>>()
    };
    let scores = ScoreSet::new(side([20, 20, 40, 60, 60]), side([60, 60, 30, 10, 40])).unwrap();
    let correct: Vec<f64> = (0..200)
        .map(|seed| {
            let plan = Plan { k_plus: vec![40], seed, ..Plan::new(Method::OneRun) };
            let audit = scores.audit(&plan).unwrap();
            assert!(audit.notes.iter().any(|note| note.contains("tied scores")));
            audit.correct.unwrap() as f64
        })
        .collect();
    // Hypergeometric: mean 24, standard deviation 2.4; the mean of 200 within four of its own.
    let mean = ashlar_stats::mean(&correct).unwrap();
    assert!((mean - 24.0).abs() < 4.0 * 2.41 / 200_f64.sqrt(), "{mean}");
    // A count at the edge of a level draws nothing.
    let plan = Plan { k_plus: vec![100], ..Plan::new(Method::OneRun) };
    let audit = scores.audit(&plan).unwrap();
    assert_eq!((audit.correct, audit.notes.len()), (Some(60), 0));
}

#[test]
fn multi_split_pays_with_half_of_its_level() {
    let scores = gaussian(150, 150, 1.5, 8);
    let audit = |select| scores.audit(&Plan { select, ..Plan::new(Method::OneRun) }).unwrap();
    assert!((audit(Select::MultiSplit).level - 0.025).abs() < 1e-15);
    assert!((audit(Select::Split).level - 0.05).abs() < 1e-15);
}

#[test]
fn splits_say_what_they_stand_on() {
    let scores = gaussian(60, 60, 1.5, 8);
    let notes = |select| scores.audit(&Plan { select, seed: 4, ..Plan::new(Method::OneRun) }).unwrap().notes.join("\n");
    for select in [Select::Split, Select::MultiSplit] {
        let notes = notes(select);
        assert_eq!(notes.matches("drawn by seed 4, which must be fixed beforehand").count(), 1, "{notes}");
        assert_eq!(notes.contains("the price of the median"), select == Select::MultiSplit, "{notes}");
    }
    for select in [Select::Fixed, Select::Bonferroni, Select::MaxUncorrected] {
        assert!(!notes(select).contains("seed"), "{select:?}");
    }
}

#[test]
fn scores_that_are_not_finite_are_refused_with_their_place() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = ScoreSet::new(vec![0.0, bad], vec![0.0]).unwrap_err().to_string();
        assert!(error.contains("members[1]"), "{error}");
        let error = ScoreSet::new(vec![0.0], vec![0.0, 1.0, bad]).unwrap_err().to_string();
        assert!(error.contains("nonmembers[2]"), "{error}");
    }
}

#[test]
fn minus_zero_ties_with_zero() {
    let scores = ScoreSet::new(vec![0.0, -0.0, 1.0], vec![-0.0, 0.0, -1.0]).unwrap();
    let plan = Plan { select: Select::MaxUncorrected, ..Plan::new(Method::OneRun) };
    assert_eq!(scores.audit(&plan).unwrap().candidates, 3);
}

#[test]
fn constant_and_negated_scores_are_told() {
    let constant = ScoreSet::new(vec![0.1; 50], vec![0.1; 50]).unwrap();
    for method in
        [Method::OneShotGaussian, Method::OneRun, Method::OneRunFdp, Method::ClopperPearson, Method::Gdp, Method::Bayes]
    {
        let audit = constant.audit(&Plan::new(method)).unwrap();
        assert_eq!(audit.bound.epsilon_lower, 0.0);
        assert!(audit.notes.iter().any(|note| note.starts_with("constant scores")), "{method:?}");
    }
    let scores = gaussian(80, 80, 1.0, 4);
    let negated = |set: &ScoreSet| {
        ScoreSet::new(set.members().iter().map(|s| -s).collect(), set.nonmembers().iter().map(|s| -s).collect())
            .unwrap()
    };
    let looks = |set: &ScoreSet| {
        set.audit(&Plan::new(Method::OneRun)).unwrap().notes.iter().any(|n| n.contains("look negated"))
    };
    assert!(!looks(&scores) && looks(&negated(&scores)));
    // Never flipped: the bound stays at nothing.
    assert_eq!(epsilon(&negated(&scores), &Plan::new(Method::OneRun)), 0.0);
}

#[test]
fn one_shot_at_the_edges() {
    let bound = |members: &[f64], nonmembers: &[f64]| {
        ScoreSet::new(members.to_vec(), nonmembers.to_vec()).unwrap().epsilon_lower_one_shot(1e-5, 0.95)
    };
    // Three times 0.1 has a mean that isn't 0.1, and a variance that isn't 0.
    assert_eq!(bound(&[0.2; 3], &[0.1; 3]).unwrap().epsilon_lower, f64::INFINITY);
    assert_eq!(bound(&[0.1; 7], &[0.1; 3]).unwrap().epsilon_lower, 0.0);
    assert_eq!(bound(&[0.0; 3], &[0.1; 3]).unwrap().epsilon_lower, 0.0);
    assert!(bound(&[1.0], &[0.1, 0.2]).is_err());
    // The scale doesn't matter, out to the ends of f64.
    let base = bound(&[3.0, 4.0, 5.5], &[0.5, 1.0, -0.25, 0.75]).unwrap().epsilon_lower;
    for scale in [1e307, 1e-307, 1e-300] {
        let scaled = |x: &[f64]| x.iter().map(|s| s * scale).collect::<Vec<_>>();
        let found = bound(&scaled(&[3.0, 4.0, 5.5]), &scaled(&[0.5, 1.0, -0.25, 0.75])).unwrap().epsilon_lower;
        assert!((found - base).abs() < 1e-9 * base, "{scale} {found} {base}");
    }
}

#[test]
fn splits_depend_on_the_seed_alone() {
    let scores = gaussian(200, 210, 1.5, 9);
    for select in [Select::Split, Select::MultiSplit] {
        let plan = |seed| Plan { select, seed, ..Plan::new(Method::OneRunFdp) };
        assert_eq!(scores.audit(&plan(5)).unwrap(), scores.audit(&plan(5)).unwrap());
        assert_ne!(epsilon(&scores, &plan(5)), epsilon(&scores, &plan(6)));
    }
    let split = scores.audit(&Plan { select: Select::Split, ..Plan::new(Method::OneRun) }).unwrap();
    assert_eq!(split.canaries, 205);
    assert!(split.k_plus.unwrap() <= 205);
    let listed =
        Plan { select: Select::Split, k_plus: vec![10, 30], k_minus: vec![10, 30], ..Plan::new(Method::OneRun) };
    let split = scores.audit(&listed).unwrap();
    assert!([20, 60].contains(&split.guesses.unwrap()) && split.candidates == 2);
}

/// Fully DP canaries at ε: each is told right with probability q, at a random confidence. No selection may refute ε more
/// often than it says; the uncorrected maximum does.
#[test]
fn corrected_selections_keep_their_level() {
    let (truth, rounds) = (1.0_f64, 400_u64);
    let q = 1.0 / (1.0 + (-truth).exp());
    let mut alarms = [0_u64; 4];
    for round in 0..rounds {
        let mut rng = ChaCha8Rng::seed_from_u64(round);
        let (mut members, mut nonmembers) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let (member, right) = (rng.random::<bool>(), rng.random::<f64>() < q);
            let score = rng.random::<f64>() * if member == right { 1.0 } else { -1.0 };
            if member { members.push(score) } else { nonmembers.push(score) }
        }
        let scores = ScoreSet::new(members, nonmembers).unwrap();
        let selects = [Select::Bonferroni, Select::Split, Select::MultiSplit, Select::MaxUncorrected];
        for (alarm, select) in alarms.iter_mut().zip(selects) {
            // Multi-split runs 100 splits: fewer rounds.
            if select == Select::MultiSplit && round >= 60 {
                continue;
            }
            let plan = Plan { select, delta: 0.0, confidence: 0.9, seed: round, ..Plan::new(Method::OneRun) };
            *alarm += u64::from(epsilon(&scores, &plan) > truth);
        }
    }
    // At a rate of 0.1: 40 expected of 400, above 64 by chance in 1e-4; 6 of 60, above 16 in 1e-4.
    let [bonferroni, split, multi, uncorrected] = alarms;
    assert!(bonferroni <= 64 && split <= 64 && multi <= 16, "{alarms:?}");
    // The planted mistake shows in this very set-up.
    assert!(uncorrected > 100, "{alarms:?}");
}

/// E1 of the specification by its scores alone: orthogonal canaries under a Gaussian mechanism with μ of ε = 4.
#[test]
fn bounds_stay_below_the_truth_of_a_gaussian_mechanism() {
    let mu = ashlar_stats::tradeoff::mu(4.0, 1e-5).unwrap();
    let bounds =
        |method| -> Vec<f64> { (0..40).map(|seed| epsilon(&tossed(1000, mu, seed), &Plan::new(method))).collect() };
    let [one, fdp, shot] = [Method::OneRun, Method::OneRunFdp, Method::OneShotGaussian].map(bounds);
    let medians = [&one, &fdp, &shot].map(|bounds| median(bounds).unwrap());
    assert!(medians[0] >= 1.3 && medians[1] >= 2.0 && medians[2] >= 3.2, "{medians:?}");
    assert!(medians[0] < medians[1] && medians[1] < medians[2], "{medians:?}");
    assert!(one.iter().chain(&fdp).all(|&bound| bound <= 4.0));
    assert!(shot.iter().filter(|&&bound| bound > 4.0).count() <= 6);
    // The claim of Gaussian DP through a confusion matrix, which is exact for these canaries.
    let gdp = Plan { select: Select::Split, ..Plan::new(Method::Gdp) };
    let above = (0..40).filter(|&seed| epsilon(&tossed(1000, mu, seed), &Plan { seed, ..gdp.clone() }) > 4.0).count();
    assert!(above <= 7, "{above}");
}
