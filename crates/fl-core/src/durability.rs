//! How long a backdoor lives after the attacker has left.
//!
//! Lifespan: rounds after the last attack round until the backdoor's accuracy is first below κ. It is 0 when it starts
//! below, and censored at the horizon (printed `>=H`) when it never falls. Attacks are to be compared only at matched
//! accuracy at the attack's end, which is therefore part of the report; so are the accuracies 30 and 100 rounds later
//! and the area under the curve, which needs no κ.

use std::fmt;

use serde::Serialize;

use crate::{Error, Result};

/// Rounds survived.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lifespan {
    /// Rounds after the last attack round until the accuracy is first below κ; the horizon when censored.
    pub rounds: u32,
    /// Whether it never fell below κ.
    pub censored: bool,
    /// κ.
    pub kappa: f64,
}

impl fmt::Display for Lifespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.censored { ">=" } else { "" }, self.rounds)
    }
}

/// What a curve of backdoor accuracies says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Durability {
    /// Rounds survived.
    pub lifespan: Lifespan,
    /// Accuracy after the last attack round.
    pub acc_at_attack_end: f64,
    /// Accuracy 30 rounds later, where measured.
    pub acc_plus_30: Option<f64>,
    /// Accuracy 100 rounds later, where measured.
    pub acc_plus_100: Option<f64>,
    /// Mean accuracy from the attack's end to the horizon (trapezoids).
    pub auc: f64,
}

/// Reads (round, backdoor accuracy) pairs in ascending order of rounds; those before `last_attack_round` are ignored,
/// that round itself must be among them. Rounds may be skipped: a fall is dated to the round in which it was seen.
pub fn measure(curve: &[(u32, f64)], last_attack_round: u32, kappa: f64) -> Result<Durability> {
    if !(0.0..=1.0).contains(&kappa) {
        return Err(Error::setting("kappa", kappa, "a number in [0, 1]"));
    }
    if let Some(pair) = curve.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
        return Err(Error::setting("curve", format!("{} after {}", pair[1].0, pair[0].0), "ascending rounds"));
    }
    let start = curve.partition_point(|(round, _)| *round < last_attack_round);
    let after = &curve[start..];
    let Some(&(round, acc_at_attack_end)) = after.first().filter(|(round, _)| *round == last_attack_round) else {
        return Err(Error::setting(
            "curve",
            format!("without round {last_attack_round}"),
            "the accuracy after the last attack round",
        ));
    };
    // NaN is below every κ.
    let fell = after.iter().find(|(_, accuracy)| accuracy.is_nan() || *accuracy < kappa);
    let horizon = after[after.len() - 1].0 - round;
    let lifespan = Lifespan { rounds: fell.map_or(horizon, |(at, _)| at - round), censored: fell.is_none(), kappa };
    let area: f64 = after.windows(2).map(|p| f64::from(p[1].0 - p[0].0) * f64::midpoint(p[0].1, p[1].1)).sum();
    let at = |later: u32| {
        let wanted = round.checked_add(later)?;
        after.iter().find(|(round, _)| *round == wanted).map(|(_, accuracy)| *accuracy)
    };
    Ok(Durability {
        lifespan,
        acc_at_attack_end,
        acc_plus_30: at(30),
        acc_plus_100: at(100),
        auc: if horizon == 0 { acc_at_attack_end } else { area / f64::from(horizon) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_rounds_until_the_first_fall() {
        // Attack until round 10; it falls below .5 in round 13 and comes back.
        let curve = [(9, 0.1), (10, 0.9), (11, 0.7), (12, 0.5), (13, 0.4), (14, 0.6)];
        let found = measure(&curve, 10, 0.5).unwrap();
        assert_eq!(found.lifespan, Lifespan { rounds: 3, censored: false, kappa: 0.5 });
        assert_eq!(found.acc_at_attack_end, 0.9);
        assert!((found.auc - (0.8 + 0.6 + 0.45 + 0.5) / 4.0).abs() < 1e-12);
        assert_eq!((found.acc_plus_30, found.acc_plus_100), (None, None));
    }

    #[test]
    fn starts_below_or_never_falls() {
        assert_eq!(measure(&[(5, 0.4), (6, 0.9)], 5, 0.5).unwrap().lifespan.to_string(), "0");
        let flat: Vec<(u32, f64)> = (0..=200).map(|i| (i, if i == 35 { 0.8 } else { 0.75 })).collect();
        let found = measure(&flat, 5, 0.5).unwrap();
        assert!(found.lifespan.censored);
        assert_eq!(found.lifespan.to_string(), ">=195");
        assert_eq!((found.acc_plus_30, found.acc_plus_100), (Some(0.8), Some(0.75)));
        assert_eq!(serde_json::to_value(found.lifespan).unwrap()["censored"], true);
        let single = measure(&[(5, 0.7)], 5, 0.5).unwrap();
        assert_eq!((single.auc, single.lifespan.rounds, single.lifespan.censored), (0.7, 0, true));
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for (curve, kappa) in [
            (&[(6, 0.4)][..], 0.5),
            (&[][..], 0.5),
            (&[(5, 0.4), (5, 0.3)][..], 0.5),
            (&[(5, 0.4)][..], 1.5),
            (&[(5, 0.4)][..], f64::NAN),
        ] {
            assert!(measure(curve, 5, kappa).unwrap_err().is_input());
        }
    }
}
