//! RMIA: the robust membership inference attack (Zarifzadeh, Liu, Shokri 2024), offline form.
//!
//! The score of x is the share of population points z with [p_x/p̄_x]/[p_z/p̄_z] > γ (strictly), where p is the target
//! model's probability of the true label and p̄ = ½·((1 + a)·p_out + (1 − a)) estimates the mean over in and out models
//! from reference models that have not seen the point.

use super::check_list;
use crate::{Error, Result, ScoreSet};

/// Probabilities of several points: under the target model, and their mean over reference models trained without them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    /// Probability of each point under the target model, in [0, 1].
    pub target: Vec<f64>,
    /// Mean probability of each point under the reference models, in [0, 1].
    pub ref_out: Vec<f64>,
}

/// A population of non-members to compare with, and the two settings of the attack.
#[derive(Clone, Debug, PartialEq)]
pub struct Rmia {
    // p_z/p̄_z, rising.
    population: Vec<f64>,
    offline_a: f64,
    gamma: f64,
}

/// The setting of a that [`Rmia::tune`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuned {
    /// a, one of 0, 0.1, …, 1.
    pub offline_a: f64,
    /// AUC on the paired model.
    pub auc: f64,
}

fn check_probs(list: &'static str, values: &[f64]) -> Result<()> {
    check_list(list, values)?;
    match values.iter().position(|p| !(0.0..=1.0).contains(p)) {
        Some(index) => {
            Err(Error::unusable(format!("{list}[{index}] = {}", values[index]), "a probability lies in [0, 1]"))
        }
        None => Ok(()),
    }
}

/// p/p̄.
fn relative(target: f64, ref_out: f64, offline_a: f64) -> Result<f64> {
    let expected = 0.5 * ((1.0 + offline_a) * ref_out + (1.0 - offline_a));
    if expected > 0.0 {
        // 0 from -0: the order of quotients must not see the sign of a zero.
        Ok(target / expected + 0.0)
    } else {
        Err(Error::unusable(
            "reference probability 0 with offline-a = 1",
            "a quotient needs a positive mean: take an offline-a below 1",
        ))
    }
}

impl Rmia {
    /// γ of the published code.
    pub const GAMMA: f64 = 1.0;

    /// Prepares a population: O(n log n).
    ///
    /// # Errors
    /// If the population is empty, its lists differ in length or hold something outside [0, 1], a is outside [0, 1], or
    /// γ is not positive.
    pub fn new(population: &Signals, offline_a: f64, gamma: f64) -> Result<Self> {
        check_probs("population-target-probs", &population.target)?;
        check_probs("population-ref-out-probs", &population.ref_out)?;
        if population.target.len() != population.ref_out.len() {
            return Err(Error::Lengths {
                left: "population-target-probs",
                left_len: population.target.len(),
                right: "population-ref-out-probs",
                right_len: population.ref_out.len(),
            });
        }
        if !(0.0..=1.0).contains(&offline_a) {
            return Err(Error::Range { name: "offline-a", value: offline_a, expected: "in [0, 1]" });
        }
        if !(gamma > 0.0 && gamma.is_finite()) {
            return Err(Error::Range { name: "gamma", value: gamma, expected: "finite and above 0, as 1" });
        }
        let ratios = population.target.iter().zip(&population.ref_out).map(|(&p, &r)| relative(p, r, offline_a));
        let mut population = ratios.collect::<Result<Vec<_>>>()?;
        population.sort_unstable_by(f64::total_cmp);
        Ok(Self { population, offline_a, gamma })
    }

    /// The score of a point, in [0, 1]: O(log n).
    ///
    /// # Errors
    /// If a probability is outside [0, 1].
    pub fn score(&self, target_prob: f64, ref_out_prob: f64) -> Result<f64> {
        check_probs("target-prob", &[target_prob])?;
        check_probs("ref-out-prob", &[ref_out_prob])?;
        let x = relative(target_prob, ref_out_prob, self.offline_a)?;
        // Division rounds monotonically, so that the points that x beats come first. 0/0 beats nothing.
        let beaten = self.population.partition_point(|z| x / z > self.gamma);
        Ok(beaten as f64 / self.population.len() as f64)
    }

    /// Picks a from 0, 0.1, …, 1 by the AUC on a paired model, whose own members are known; the smallest of equals.
    ///
    /// `members` and `nonmembers` are points of the paired model's training set and outside it, `population` others.
    ///
    /// # Errors
    /// As [`Rmia::new`] and [`Rmia::score`]; a value of a at which some mean is 0 is skipped.
    pub fn tune(members: &Signals, nonmembers: &Signals, population: &Signals, gamma: f64) -> Result<Tuned> {
        let mut best: Option<Tuned> = None;
        for step in 0..=10 {
            let offline_a = f64::from(step) / 10.0;
            let auc = Self::new(population, offline_a, gamma)
                .and_then(|attack| Ok(ScoreSet::new(attack.scores(members)?, attack.scores(nonmembers)?)?.roc().auc()));
            let auc = match auc {
                Ok(auc) => auc,
                // p̄ = 0 is possible at a = 1 only.
                Err(_) if step == 10 && best.is_some() => break,
                Err(error) => return Err(error),
            };
            if best.is_none_or(|b| auc > b.auc) {
                best = Some(Tuned { offline_a, auc });
            }
        }
        best.ok_or(Error::Empty { list: "settings of offline-a" })
    }

    fn scores(&self, points: &Signals) -> Result<Vec<f64>> {
        if points.target.len() != points.ref_out.len() {
            return Err(Error::Lengths {
                left: "target probabilities",
                left_len: points.target.len(),
                right: "reference probabilities",
                right_len: points.ref_out.len(),
            });
        }
        points.target.iter().zip(&points.ref_out).map(|(&p, &r)| self.score(p, r)).collect()
    }
}
