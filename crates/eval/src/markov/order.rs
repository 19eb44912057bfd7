//! Does the turn before last matter? A likelihood ratio of the second-order chain against the first-order one.
//!
//! Over all triples (i, j, k) of consecutive answers, G² = 2·Σ n_ijk·ln(p_ijk / p_jk), where p_ijk = n_ijk/n_ij· and
//! p_jk = n_·jk/n_·j· (Anderson and Goodman, 1957). Under the first-order chain it is χ² with
//! Σ_j (a_j − 1)(b_j − 1) degrees of freedom, where a_j states lead into j and b_j follow it (2 where all do).
//! Questions of different difficulty, pooled, also make G² large: it rejects the pooled chain, not only a memory.

use ashlar_stats::special::chi_squared_sf;
use serde::Serialize;

/// The test's outcome.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MarkovTest {
    /// G².
    pub lr: f64,
    /// Degrees of freedom.
    pub dof: u32,
    /// P(χ² ≥ G²); none without degrees of freedom.
    pub p: Option<f64>,
    /// Triples.
    pub n: u64,
}

/// Tests trajectories of right and wrong answers; none without a trajectory of three turns.
pub fn second_order(questions: &[Vec<bool>]) -> Option<MarkovTest> {
    let mut counts = [[[0_u64; 2]; 2]; 2];
    for turns in questions {
        for triple in turns.windows(3) {
            counts[usize::from(triple[0])][usize::from(triple[1])][usize::from(triple[2])] += 1;
        }
    }
    let n: u64 = counts.iter().flatten().flatten().sum();
    if n == 0 {
        return None;
    }
    let (mut lr, mut dof) = (0.0, 0_u32);
    for j in 0..2 {
        let into: [u64; 2] = [0, 1].map(|i| counts[i][j].iter().sum());
        let out: [u64; 2] = [0, 1].map(|k| counts[0][j][k] + counts[1][j][k]);
        let middle = into[0] + into[1];
        let some = |counts: [u64; 2]| counts.iter().filter(|&&n| n > 0).count() as u32;
        dof += some(into).saturating_sub(1) * some(out).saturating_sub(1);
        for i in 0..2 {
            for k in 0..2 {
                let seen = counts[i][j][k] as f64;
                if seen > 0.0 {
                    let expected = into[i] as f64 * out[k] as f64 / middle as f64;
                    lr += 2.0 * seen * (seen / expected).ln();
                }
            }
        }
    }
    // Rounding may leave it a hair below 0.
    let lr = lr.max(0.0);
    Some(MarkovTest { lr, dof, p: (dof > 0).then(|| chi_squared_sf(lr, f64::from(dof))), n })
}
