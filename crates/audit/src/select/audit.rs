//! Running a plan.

use ashlar_stats::tradeoff;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    Plan, Select,
    ranking::{Guesses, Labelled, Ranking},
    search,
};
use crate::{Bound, ErrorRates, Method, Result, ScoreSet, Validity};

/// Splits of [`Select::MultiSplit`].
pub(super) const SPLITS: u64 = 100;

/// A bound from scores, with what was guessed for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// The bound.
    pub bound: Bound,
    /// How the guesses were chosen; none where the method makes no guesses.
    pub select: Option<Select>,
    /// The level at which the guesses were tested: 1 − confidence, or the share of it that the selection leaves.
    pub level: f64,
    /// Candidates that were compared.
    pub candidates: u64,
    /// Canaries that the bound stands on: all, or those that a split left for it.
    pub canaries: u64,
    /// Guesses in all; none where there isn't one set of guesses (several splits, no guesses).
    pub guesses: Option<u64>,
    /// Right guesses.
    pub correct: Option<u64>,
    /// "In" guesses.
    pub k_plus: Option<u64>,
    /// "Out" guesses.
    pub k_minus: Option<u64>,
    /// Lowest score guessed "in".
    pub threshold: Option<f64>,
    /// Highest score guessed "out".
    pub threshold_out: Option<f64>,
    /// One-run: the p-value of ε = 0, multiplied by what the selection costs.
    pub p_value_at_zero: Option<f64>,
    /// Upper limits on the error rates, for the methods that use them.
    pub error_rates: Option<ErrorRates>,
    /// The bound if every guess had been right; none for one-shot-gaussian, which has no such limit.
    pub epsilon_ceiling: Option<f64>,
    /// What a reader must know beside the figures.
    pub notes: Vec<String>,
}

impl Audit {
    /// A bound with nothing known about guesses.
    pub(crate) fn of_bound(bound: Bound) -> Self {
        Self {
            bound,
            select: None,
            level: 1.0 - bound.confidence,
            candidates: 1,
            canaries: 0,
            guesses: None,
            correct: None,
            k_plus: None,
            k_minus: None,
            threshold: None,
            threshold_out: None,
            p_value_at_zero: None,
            error_rates: None,
            epsilon_ceiling: None,
            notes: Vec::new(),
        }
    }
}

impl ScoreSet {
    /// A lower bound on ε from these scores.
    ///
    /// # Errors
    /// A confidence outside (0.5, 1); a δ outside [0, 1), or outside (0, 1) for Gaussian methods; k₊ + k₋ above the
    /// number of canaries; lists that don't fit each other, the selection or the method.
    pub fn audit(&self, plan: &Plan) -> Result<Audit> {
        plan.check(self)?;
        let mut audit = if plan.method == Method::OneShotGaussian {
            one_shot(self, plan)?
        } else {
            match plan.select {
                Select::Split => split(self, plan, 0, plan.level(), 1.0)?,
                Select::MultiSplit => multi_split(self, plan)?,
                _ => whole(self, plan)?,
            }
        };
        audit.notes.extend(plan.split_notes());
        if self.is_constant() {
            audit.bound.epsilon_lower = 0.0;
            audit.bound.mu_lower = audit.bound.mu_lower.map(|_| 0.0);
            audit
                .notes
                .push("constant scores: they tell members and non-members apart no better than a coin".to_owned());
        } else if self.looks_negated() {
            audit.notes.push(
                "scores look negated (AUC below 0.5): higher must mean member; flipping them now is a second test"
                    .to_owned(),
            );
        }
        Ok(audit)
    }

    fn labelled(&self) -> Vec<Labelled> {
        // −0 and 0 are one score.
        let side = |scores: &[f64], member| scores.iter().map(|s| (s + 0.0, member)).collect::<Vec<_>>();
        [side(self.members(), true), side(self.nonmembers(), false)].concat()
    }

    fn looks_negated(&self) -> bool {
        let mut sorted = self.labelled();
        sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        // Pairs won minus pairs lost; ties count neither way.
        let (mut below, mut balance) = ([0_i128; 2], 0_i128);
        for ties in sorted.chunk_by(|a, b| a.0 == b.0) {
            let members = ties.iter().filter(|tie| tie.1).count() as i128;
            let nonmembers = ties.len() as i128 - members;
            balance += members * below[0] - nonmembers * below[1];
            below = [below[0] + nonmembers, below[1] + members];
        }
        balance < 0
    }
}

impl Plan {
    fn level(&self) -> f64 {
        1.0 - self.confidence
    }

    /// The candidates' guesses.
    fn candidates(&self, ranking: &Ranking) -> Result<Vec<Guesses>> {
        let pairs = self.pairs();
        if !pairs.is_empty() {
            return Ok(pairs.into_iter().map(|pair| ranking.guess(pair)).collect());
        }
        if self.select == Select::Fixed {
            return Ok(vec![ranking.guess(self.default_pair(ranking.len())?)]);
        }
        Ok(ranking.thresholds())
    }

    /// The bound that guesses give at a level, and all that is reported with it. `cost` multiplies p-values.
    fn report(&self, guesses: &Guesses, candidates: u64, level: f64, cost: f64) -> Result<Audit> {
        let value = search::improve(self.method, guesses, self.delta, level, 0.0)?;
        let sided = guesses.members > 0 && guesses.nonmembers > 0;
        let (mut p_value_at_zero, mut error_rates, mut epsilon_upper) = (None, None, None);
        let ceiling = match self.method {
            Method::OneRun => {
                let run = guesses.one_run()?;
                p_value_at_zero = Some((run.p_value(0.0, self.delta)? * cost).min(1.0));
                run.all_correct().epsilon_at_level(self.delta, level, 0.0)?
            }
            Method::OneRunFdp => guesses.one_run()?.all_correct().mu_at_level(level, 0.0)?,
            _ if !sided => 0.0,
            Method::Bayes => {
                let confusion = guesses.confusion()?;
                epsilon_upper = Some(confusion.posterior()?.quantile_above(0.5 * level, self.delta)?.max(value));
                confusion.all_correct().posterior()?.quantile(0.5 * level, self.delta)?
            }
            method => {
                let confusion = guesses.confusion()?;
                error_rates = Some(confusion.error_rates_at_level(level)?);
                let best = confusion.all_correct().error_rates_at_level(level)?;
                if method == Method::Gdp { best.mu() } else { best.epsilon(self.delta) }
            }
        };
        let epsilon = |value: f64| -> Result<f64> {
            Ok(if self.method.is_gaussian() { tradeoff::epsilon(value, self.delta)? } else { value })
        };
        let mut notes = Vec::new();
        if guesses.tie_drawn {
            notes.push(format!(
                "tied scores at a threshold: the guessed ones among them are drawn by seed {}",
                self.seed
            ));
        }
        if self.method == Method::OneRun {
            notes.extend(delta_note(self.delta, guesses.canaries()));
        }
        let epsilon_ceiling = epsilon(ceiling)?;
        if epsilon_ceiling == 0.0 && guesses.guesses() > 0 {
            notes.push(format!(
                "at level {level:e} not even right guesses alone would refute epsilon 0: compare fewer candidates \
                 (--k-plus, --k-minus), or lower delta"
            ));
        }
        if let Some(claim) = self.claim.filter(|claim| epsilon_ceiling <= *claim) {
            notes.push(ceiling_note(epsilon_ceiling, claim));
        }
        Ok(Audit {
            bound: Bound {
                epsilon_lower: epsilon(value)?,
                epsilon_upper,
                mu_lower: self.method.is_gaussian().then_some(value),
                delta: self.delta,
                confidence: self.confidence,
                method: self.method,
                valid: self.validity(),
            },
            select: Some(self.select),
            level,
            candidates,
            canaries: guesses.canaries(),
            guesses: Some(guesses.guesses()),
            correct: Some(guesses.correct()),
            k_plus: Some(guesses.plus[0]),
            k_minus: Some(guesses.minus[0]),
            threshold: guesses.threshold,
            threshold_out: guesses.threshold_out,
            p_value_at_zero,
            error_rates,
            epsilon_ceiling: Some(epsilon_ceiling),
            notes,
        })
    }

    fn validity(&self) -> Validity {
        match self.method {
            _ if self.select == Select::MaxUncorrected => Validity::Invalid,
            Method::OneRun | Method::OneRunFdp => Validity::Valid,
            Method::OneShotGaussian => Validity::Asymptotic,
            // Scores of one run's canaries, as far as anyone knows.
            Method::ClopperPearson | Method::Gdp | Method::Bayes => Validity::Heuristic,
        }
    }
}

/// The warning of a δ term that may swallow the bound.
pub(crate) fn delta_note(delta: f64, canaries: u64) -> Option<String> {
    let swallows = canaries > 0 && delta >= 1.0 / canaries as f64;
    swallows.then(|| {
        format!(
            "warning: delta {delta} is at least 1/{canaries} canaries, so that the 2*m*delta term may swallow the bound"
        )
    })
}

/// The note of an audit that couldn't refute its claim.
pub(crate) fn ceiling_note(ceiling: f64, claim: f64) -> String {
    format!(
        "inconclusive: even if every guess were right the bound would be {ceiling:.4}, so that the claim {claim} can't be \
         refuted; take more canaries or guesses"
    )
}

/// Sizes of the part that selects and of the part that is audited.
pub(super) fn halves(canaries: u64) -> (u64, u64) {
    (canaries / 2, canaries - canaries / 2)
}

fn whole(set: &ScoreSet, plan: &Plan) -> Result<Audit> {
    let candidates = plan.candidates(&Ranking::new(set.labelled(), plan.seed))?;
    let tests = candidates.len() as u64;
    let cost = if plan.select == Select::Bonferroni { tests as f64 } else { 1.0 };
    let level = plan.level() / cost;
    let (place, _) = search::best(plan.method, &candidates, plan.delta, level)?;
    plan.report(&candidates[place], tests, level, cost)
}

/// Splits all canaries, blind to their labels: the labels of the audited part stay the fair coins that they were.
fn split(set: &ScoreSet, plan: &Plan, stream: u64, level: f64, cost: f64) -> Result<Audit> {
    let mut labelled = set.labelled();
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    // Stream 0 draws from ties.
    rng.set_stream(stream + 1);
    labelled.shuffle(&mut rng);
    let audited = labelled.split_off(halves(labelled.len() as u64).0 as usize);
    let [selecting, audited] = [labelled, audited].map(|part| Ranking::new(part, plan.seed));
    let candidates = match plan.pairs() {
        pairs if pairs.is_empty() => selecting.thresholds(),
        // The halves differ by one canary at most, which a pair that takes all of the larger part would need.
        pairs => pairs.into_iter().map(|[plus, minus]| selecting.guess(shrunk(plus, minus, selecting.len()))).collect(),
    };
    let (place, _) = search::best(plan.method, &candidates, plan.delta, level)?;
    let guesses = match plan.pairs().get(place) {
        Some(&pair) => audited.guess(pair),
        None => audited.at_threshold(candidates.get(place).and_then(|best| best.threshold)),
    };
    plan.report(&guesses, candidates.len() as u64, level, cost)
}

fn shrunk(plus: u64, minus: u64, most: u64) -> [u64; 2] {
    let plus = plus.min(most);
    [plus, minus.min(most - plus)]
}

fn multi_split(set: &ScoreSet, plan: &Plan) -> Result<Audit> {
    let level = 0.5 * plan.level();
    let audits: Vec<Audit> = (0..SPLITS).map(|i| split(set, plan, i, level, 2.0)).collect::<Result<_>>()?;
    let median = |value: &dyn Fn(&Audit) -> Option<f64>| {
        let mut values: Vec<f64> = audits.iter().filter_map(value).collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.get(values.len() / 2)?;
        // The mean of the two middle ones, unless they are equal (also where both are infinite).
        let lower = values[(values.len() - 1) / 2];
        Some(if lower == *middle { lower } else { 0.5 * lower + 0.5 * middle })
    };
    let epsilon_ceiling = median(&|audit| audit.epsilon_ceiling);
    let mut notes: Vec<String> = Vec::new();
    for note in audits.iter().flat_map(|audit| &audit.notes).filter(|note| !note.starts_with("inconclusive")) {
        if !notes.contains(note) {
            notes.push(note.clone());
        }
    }
    if let (Some(claim), Some(ceiling)) = (plan.claim, epsilon_ceiling)
        && ceiling <= claim
    {
        notes.push(ceiling_note(ceiling, claim));
    }
    let p_value = median(&|audit| audit.p_value_at_zero);
    let first = audits[0].clone();
    Ok(Audit {
        bound: Bound {
            epsilon_lower: median(&|audit| Some(audit.bound.epsilon_lower)).unwrap_or(0.0),
            epsilon_upper: median(&|audit| audit.bound.epsilon_upper),
            mu_lower: median(&|audit| audit.bound.mu_lower),
            ..first.bound
        },
        guesses: None,
        correct: None,
        k_plus: None,
        k_minus: None,
        threshold: None,
        threshold_out: None,
        p_value_at_zero: p_value,
        error_rates: None,
        epsilon_ceiling,
        notes,
        ..first
    })
}

fn one_shot(set: &ScoreSet, plan: &Plan) -> Result<Audit> {
    let bound = set.epsilon_lower_one_shot(plan.delta, plan.confidence)?;
    Ok(Audit { canaries: set.canaries(), ..Audit::of_bound(bound) })
}
