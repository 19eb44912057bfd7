//! The scores from one pass over each head's map.

use rayon::prelude::*;

use super::{Attention, Compat, Scalar, Score, Values};
use crate::{Error, Result};

/// What the scores are made of, a head.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    first_weight: f64,
    entropy: f64,
    first_value: f64,
    mean_value: f64,
    last_output: f64,
    mean_output: f64,
    mean_full: f64,
}

/// One layer's scores of one sample: a list of H numbers for each of `scores`, in their order.
///
/// `w_o` is W_O by head, H × d × D in row order (D its number of columns). A score that divides by a mean of 0 is NaN.
/// Cost: `awft` and `aeqd` read the lower triangle of A once; scores of outputs take S²·d/2 multiplications a head more,
/// `fhon` S·d·D.
///
/// # Errors
/// [`Error::Undefined`] if the shapes disagree or a score lacks W_O, [`Error::Range`] for a valid length outside 1 to S.
pub fn score<T: Scalar>(
    attention: &Attention<'_, T>,
    values: &Values<'_, T>,
    w_o: Option<(&[T], usize)>,
    valid_len: usize,
    compat: Compat,
    scores: &[Score],
) -> Result<Vec<Vec<f64>>> {
    let (heads, len, dim) = (attention.heads(), attention.len(), values.dim());
    if values.len() != len || heads % values.heads() != 0 {
        let (kv, tokens) = (values.heads(), values.len());
        return Err(Error::Undefined(format!(
            "values of {kv} heads and {tokens} tokens don't fit attention of {heads} heads and {len} tokens"
        )));
    }
    if !(1..=len).contains(&valid_len) {
        return Err(Error::Range { name: "valid length", value: valid_len as f64, expected: "from 1 to the length" });
    }
    let needs_w_o = scores.iter().any(|score| score.needs_w_o());
    match w_o {
        None if needs_w_o => return Err(Error::Undefined("`fhon` and `fhon-ln` need `w_o`".to_owned())),
        Some((weights, columns)) => {
            let size = heads.checked_mul(dim).and_then(|n| n.checked_mul(columns));
            if size != Some(weights.len()) || weights.is_empty() {
                let n = weights.len();
                return Err(Error::Undefined(format!("`w_o` of {n} numbers is no {heads} × {dim} × {columns}")));
            }
            if let Some(at) = weights.iter().position(|&w| !w.into().is_finite()) {
                return Err(Error::Undefined(format!("`w_o`, number {at}: not finite")));
            }
        }
        None => {}
    }
    let job = Job {
        attention,
        values,
        w_o: w_o.filter(|_| needs_w_o),
        valid: valid_len,
        // Padded rows enter two means in the published code.
        rows: if compat == Compat::Official { len } else { valid_len },
        maps: scores.iter().any(|s| matches!(s, Score::Awft | Score::AwftLn | Score::Aeqd | Score::AeqdLn)),
        outputs: needs_w_o || scores.iter().any(|score| score.name().contains("hon")),
    };
    let parts: Vec<Parts> = (0..heads).into_par_iter().map(|head| job.head(head)).collect();
    Ok(scores.iter().map(|&score| finish(&parts, score)).collect())
}

fn finish(parts: &[Parts], score: Score) -> Vec<f64> {
    let all = |of: fn(&Parts) -> f64| parts.iter().map(of).collect::<Vec<f64>>();
    let over_mean = |of: fn(&Parts) -> f64, by: fn(&Parts) -> f64| {
        let mean = parts.iter().map(by).sum::<f64>() / parts.len() as f64;
        parts.iter().map(|p| of(p) / mean).collect()
    };
    match score {
        Score::Awft => all(|p| p.first_weight),
        Score::AwftLn => over_mean(|p| p.first_weight, |p| p.first_weight),
        Score::Aeqd => all(|p| p.entropy),
        Score::AeqdLn => over_mean(|p| p.entropy, |p| p.entropy),
        Score::Ftvvn => all(|p| p.first_value),
        Score::FtvvnLn => over_mean(|p| p.first_value, |p| p.first_value),
        Score::Avvn => all(|p| p.mean_value),
        Score::AvvnLn => over_mean(|p| p.mean_value, |p| p.mean_value),
        Score::Lthon => all(|p| p.last_output),
        Score::LthonLn => over_mean(|p| p.last_output, |p| p.mean_output),
        Score::LthonHn => all(|p| p.last_output / p.mean_output),
        Score::Ahon => all(|p| p.mean_output),
        Score::AhonLn => over_mean(|p| p.mean_output, |p| p.mean_output),
        Score::Fhon => all(|p| p.mean_full),
        Score::FhonLn => over_mean(|p| p.mean_full, |p| p.mean_full),
    }
}

struct Job<'a, T> {
    attention: &'a Attention<'a, T>,
    values: &'a Values<'a, T>,
    w_o: Option<(&'a [T], usize)>,
    valid: usize,
    rows: usize,
    maps: bool,
    outputs: bool,
}

impl<T: Scalar> Job<'_, T> {
    fn head(&self, head: usize) -> Parts {
        let mut parts = Parts::default();
        let kv = head / (self.attention.heads() / self.values.heads());
        let norms = (0..self.valid).map(|token| norm(self.values.vector(kv, token)));
        parts.mean_value = norms.sum::<f64>() / self.valid as f64;
        parts.first_value = norm(self.values.vector(kv, 0));
        if self.maps {
            for query in 0..self.rows {
                // Keys after the query have no weight, padded ones don't count.
                let row = &self.attention.row(head, query)[..self.valid.min(query + 1)];
                parts.first_weight += row[0].into();
                parts.entropy += entropy(row);
            }
            parts.first_weight /= self.rows as f64;
            parts.entropy /= self.rows as f64;
        }
        if self.outputs {
            self.outputs(head, kv, &mut parts);
        }
        parts
    }

    fn outputs(&self, head: usize, kv: usize, parts: &mut Parts) {
        let dim = self.values.dim();
        let mut output = vec![0.0; dim];
        let mut full = vec![0.0; self.w_o.map_or(0, |(_, columns)| columns)];
        for query in 0..self.valid {
            output.fill(0.0);
            for (key, &weight) in self.attention.row(head, query)[..=query].iter().enumerate() {
                add_scaled(&mut output, weight.into(), self.values.vector(kv, key));
            }
            let size = norm(&output);
            parts.mean_output += size;
            parts.last_output = size;
            if let Some((weights, columns)) = self.w_o {
                full.fill(0.0);
                for (i, &x) in output.iter().enumerate() {
                    let start = (head * dim + i) * columns;
                    add_scaled(&mut full, x, &weights[start..start + columns]);
                }
                parts.mean_full += norm(&full);
            }
        }
        parts.mean_output /= self.valid as f64;
        parts.mean_full /= self.valid as f64;
    }
}

fn add_scaled<T: Scalar>(sum: &mut [f64], factor: f64, x: &[T]) {
    for (sum, &x) in sum.iter_mut().zip(x) {
        *sum += factor * x.into();
    }
}

fn norm<T: Scalar>(x: &[T]) -> f64 {
    x.iter().map(|&v| v.into() * v.into()).sum::<f64>().sqrt()
}

/// −Σ p·ln p in nats, 0·ln 0 = 0, of weights that are at least 0.
fn entropy<T: Scalar>(row: &[T]) -> f64 {
    // A block at a time: the map over it becomes vector code, the sum after it is short.
    let mut terms = [0.0; 64];
    let mut sum = 0.0;
    for block in row.chunks(terms.len()) {
        let terms = &mut terms[..block.len()];
        for (term, &weight) in terms.iter_mut().zip(block) {
            *term = x_ln_x(weight.into());
        }
        let (lanes, rest) = terms.as_chunks::<8>();
        let mut lane_sums = [0.0; 8];
        for lane in lanes {
            for (sum, term) in lane_sums.iter_mut().zip(lane) {
                *sum += term;
            }
        }
        sum -= lane_sums.iter().chain(rest).sum::<f64>();
    }
    // Not -0.0.
    sum + 0.0
}

/// x·ln x of 0 ≤ x < ∞, to 2e-16 of |ln x| + 1; without branches or calls, so that loops become vector code.
///
/// x = 2ᵉ·m with √½ ≤ m < √2, and ln m = 2·artanh s = 2(s + s³/3 + s⁵/5 + …), s = (m − 1)/(m + 1), |s| < 0.172.
#[inline(always)]
fn x_ln_x(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: u64 = 1023 << 52;
    // 2⁵² as bits: with a small integer in its fraction it is 2⁵² + that integer.
    const INTEGER: u64 = 0x4330_0000_0000_0000;
    // Subnormal numbers count as the least normal one: x·ln x is below 1e-305 either way.
    let bits = if x > f64::MIN_POSITIVE { x } else { f64::MIN_POSITIVE }.to_bits();
    let biased = bits.wrapping_add(ONE - SQRT_HALF) >> 52;
    let m = f64::from_bits(bits.wrapping_sub(biased << 52).wrapping_add(ONE));
    let e = f64::from_bits(INTEGER | biased) - (4_503_599_627_370_496.0 + 1023.0);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 1.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * z + 1.0 / odd;
    }
    x * (e * std::f64::consts::LN_2 + 2.0 * s * series)
}

#[cfg(test)]
mod tests {
    use super::x_ln_x;

    #[test]
    fn the_logarithm_is_the_librarys() {
        let sweep = (0..200_000).map(|i| f64::from(i) * 1.1 / 200_000.0);
        let edges = [0.0, 1.0, 0.5, f64::MIN_POSITIVE, 1e-300, 1e300, 0.5_f64.sqrt(), 0.5_f64.sqrt().next_down()];
        for x in sweep.chain(edges) {
            let expected = if x == 0.0 { 0.0 } else { x * x.ln() };
            let found = x_ln_x(x);
            assert!((found - expected).abs() <= 4e-16 * (expected.abs() + x), "{x:e}: {found:e} {expected:e}");
        }
        assert_eq!((x_ln_x(1.0), x_ln_x(0.0)), (0.0, 0.0));
        assert!(x_ln_x(5e-324).abs() < 1e-300);
    }
}
