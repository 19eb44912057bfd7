//! From logits to one token: the steps of `transformers`' generation, in its order.
//!
//! bias → allowed first tokens → repetition penalty → (greedy: argmax) → temperature → top-k → top-p → min-p → softmax →
//! draw. Everything happens in f32 on one row; ties keep the lowest id.

use rand::Rng;

use crate::{Error, Result};

/// How the next token is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampler {
    /// 0 is greedy.
    pub temperature: f64,
    /// Keep the k most likely tokens, and whatever ties with the k-th.
    pub top_k: Option<usize>,
    /// Keep the smallest set whose probability reaches p, inside (0, 1].
    pub top_p: Option<f64>,
    /// Keep tokens with at least this share of the most likely one's probability, inside [0, 1].
    pub min_p: Option<f64>,
    /// Divides positive logits, multiplies negative ones, of tokens that were seen; 1 is none.
    pub repetition_penalty: f64,
    /// Added to logits; −∞ forbids.
    pub bias: Vec<(u32, f32)>,
}

impl Default for Sampler {
    fn default() -> Self {
        Self::greedy()
    }
}

impl Sampler {
    /// The most likely token, always.
    pub fn greedy() -> Self {
        Self { temperature: 0.0, top_k: None, top_p: None, min_p: None, repetition_penalty: 1.0, bias: Vec::new() }
    }

    /// Draws at a temperature.
    pub fn at(temperature: f64) -> Self {
        Self { temperature, ..Self::greedy() }
    }

    /// Refuses settings that mean nothing.
    ///
    /// # Errors
    /// [`Error::Setting`] with the name and the range.
    pub fn check(&self, vocab: usize) -> Result<()> {
        let wrong = |name: &'static str, found: String, expected: &str| {
            Err(Error::Setting { name, found, expected: expected.to_owned() })
        };
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return wrong("temperature", self.temperature.to_string(), "0 (greedy) or more");
        }
        if self.top_k == Some(0) {
            return wrong("top_k", "0".to_owned(), "at least 1");
        }
        if let Some(p) = self.top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return wrong("top_p", p.to_string(), "inside (0, 1]");
        }
        if let Some(p) = self.min_p.filter(|p| !(0.0..=1.0).contains(p)) {
            return wrong("min_p", p.to_string(), "inside [0, 1]");
        }
        if !(self.repetition_penalty.is_finite() && self.repetition_penalty > 0.0) {
            return wrong("repetition_penalty", self.repetition_penalty.to_string(), "above 0");
        }
        match self.bias.iter().find(|(id, bias)| *id as usize >= vocab || bias.is_nan() || *bias == f32::INFINITY) {
            Some((id, bias)) => {
                wrong("bias", format!("{bias} on token {id}"), "a number, or −∞, on a token of the vocabulary")
            }
            None => Ok(()),
        }
    }

    /// Logits after bias, allowed tokens and repetition penalty.
    pub fn adjust(&self, logits: &mut [f32], seen: &[u32], allowed: Option<&[u32]>) {
        for &(id, bias) in &self.bias {
            logits[id as usize] += bias;
        }
        if let Some(allowed) = allowed {
            let kept: Vec<(u32, f32)> = allowed.iter().map(|&id| (id, logits[id as usize])).collect();
            logits.fill(f32::NEG_INFINITY);
            for (id, logit) in kept {
                logits[id as usize] = logit;
            }
        }
        if self.repetition_penalty != 1.0 {
            let penalty = self.repetition_penalty as f32;
            let mut seen = seen.to_vec();
            seen.sort_unstable();
            seen.dedup(); // each id once, however often it was seen
            for id in seen {
                let logit = &mut logits[id as usize];
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
    }

    /// Adjusted logits after temperature and filters: −∞ where a token is left out. Not for greedy choice.
    pub fn scores(&self, logits: &[f32]) -> Vec<f32> {
        let mut x: Vec<f32> = logits.iter().map(|&l| l / self.temperature as f32).collect();
        if let Some(k) = self.top_k.filter(|&k| k < x.len()) {
            let mut sorted = x.clone();
            let (_, &mut kth, _) = sorted.select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            keep(&mut x, |l| l >= kth);
        }
        if let Some(top_p) = self.top_p.filter(|&p| p < 1.0) {
            nucleus(&mut x, top_p);
        }
        if let Some(min_p) = self.min_p {
            let p = softmax(&x);
            let largest = p.iter().copied().fold(0.0, f32::max);
            let bound = min_p as f32 * largest;
            for (l, p) in x.iter_mut().zip(p) {
                if p < bound {
                    *l = f32::NEG_INFINITY;
                }
            }
        }
        x
    }

    /// Probabilities of adjusted logits after temperature and filters; greedy puts everything on the argmax.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        if self.temperature == 0.0 {
            let mut p = vec![0.0; logits.len()];
            if let Some(best) = argmax(logits) {
                p[best] = 1.0;
            }
            return p;
        }
        softmax(&self.scores(logits))
    }

    /// Chooses from adjusted logits; returns the token with its log-probability: under greedy choice that of the logits,
    /// else that of the distribution drawn from.
    pub fn pick(&self, logits: &[f32], rng: &mut impl Rng) -> (u32, f32) {
        if self.temperature == 0.0 {
            let best = argmax(logits).unwrap_or(0);
            return (best as u32, (f64::from(logits[best]) - log_sum_exp(logits)) as f32);
        }
        let p = self.probabilities(logits);
        let mut left = rng.random::<f64>() * p.iter().map(|&p| f64::from(p)).sum::<f64>();
        let mut last = 0;
        for (id, &p) in p.iter().enumerate() {
            if p > 0.0 {
                last = id;
                left -= f64::from(p);
                if left < 0.0 {
                    break;
                }
            }
        }
        (last as u32, p[last].ln())
    }
}

/// The largest, ties to the lowest index; NaN is never it.
pub(super) fn argmax(x: &[f32]) -> Option<usize> {
    (0..x.len()).filter(|&i| !x[i].is_nan()).max_by(|&a, &b| x[a].total_cmp(&x[b]).then(b.cmp(&a)))
}

/// ln Σ exp x, summed in f64.
pub(super) fn log_sum_exp(x: &[f32]) -> f64 {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let total: f64 = x.iter().map(|&l| f64::from((l - max).exp())).sum();
    f64::from(max) + total.ln()
}

/// The n most likely tokens with their log-probabilities, likeliest first, ties to the lowest id.
pub(super) fn most_likely(logits: &[f32], total: f64, n: usize) -> Vec<(u32, f32)> {
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    let order = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
    if n < ids.len() {
        ids.select_nth_unstable_by(n, order);
        ids.truncate(n);
    }
    ids.sort_by(order);
    ids.into_iter().map(|id| (id as u32, (f64::from(logits[id]) - total) as f32)).collect()
}

fn softmax(x: &[f32]) -> Vec<f32> {
    let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return vec![0.0; x.len()];
    }
    let e: Vec<f32> = x.iter().map(|&l| (l - max).exp()).collect();
    let total: f32 = e.iter().sum();
    e.into_iter().map(|e| e / total).collect()
}

fn keep(x: &mut [f32], good: impl Fn(f32) -> bool) {
    for l in x {
        if !good(*l) {
            *l = f32::NEG_INFINITY;
        }
    }
}

/// Keeps the smallest set of the most likely tokens whose probability reaches `top_p`, at least one.
fn nucleus(x: &mut [f32], top_p: f64) {
    let p = softmax(x);
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    let mut mass = 0.0;
    let mut reached = false;
    for i in order {
        if reached {
            x[i] = f32::NEG_INFINITY;
        }
        mass += f64::from(p[i]);
        reached |= mass >= top_p;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [2.0, 0.5, -1.0, 0.0, 1.5];

    fn kept(sampler: &Sampler) -> Vec<usize> {
        let p = sampler.probabilities(&LOGITS);
        (0..5).filter(|&i| p[i] > 0.0).collect()
    }

    /// models.md, sampler oracles.
    #[test]
    fn oracles() {
        let near = |a: f32, b: f64| assert!((f64::from(a) - b).abs() < 1e-5, "{a} {b}");
        let p = Sampler::at(1.0).probabilities(&LOGITS);
        for (p, expected) in p.iter().zip([0.49633, 0.11075, 0.02471, 0.06717, 0.30104]) {
            near(*p, expected);
        }
        assert_eq!(kept(&Sampler { top_p: Some(0.75), ..Sampler::at(1.0) }), [0, 4]);
        assert_eq!(kept(&Sampler { top_p: Some(0.8), ..Sampler::at(1.0) }), [0, 1, 4]);
        assert_eq!(kept(&Sampler { min_p: Some(0.2), ..Sampler::at(1.0) }), [0, 1, 4]);
        assert_eq!(kept(&Sampler { top_k: Some(2), ..Sampler::at(1.0) }), [0, 4]);
        near(Sampler::at(2.0).probabilities(&LOGITS)[1], 0.166199);
        near(Sampler::at(1.5).probabilities(&LOGITS)[1], 0.148139);
        let mut x = LOGITS;
        Sampler { repetition_penalty: 1.3, ..Sampler::greedy() }.adjust(&mut x, &[0, 2, 2, 0], None);
        near(x[0], 1.53846);
        near(x[2], -1.3);
        let mut x = LOGITS;
        let biased = Sampler { bias: vec![(1, 1.0)], ..Sampler::at(1.0) };
        biased.adjust(&mut x, &[], None);
        near(biased.probabilities(&x)[1], 0.252913);
    }

    #[test]
    fn ties_and_extremes() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), Some(1));
        assert_eq!(argmax(&[f32::NAN, -1.0]), Some(1));
        let p = Sampler { top_k: Some(1), ..Sampler::at(1.0) }.probabilities(&[1.0, 1.0, 0.0]);
        assert_eq!(p, [0.5, 0.5, 0.0]);
        let p = Sampler { top_p: Some(1e-9), ..Sampler::at(1.0) }.probabilities(&LOGITS);
        assert_eq!(p[0], 1.0);
        for wrong in [
            Sampler { top_p: Some(0.0), ..Sampler::greedy() },
            Sampler { top_k: Some(0), ..Sampler::greedy() },
            Sampler { min_p: Some(1.5), ..Sampler::greedy() },
            Sampler { bias: vec![(5, 0.0)], ..Sampler::greedy() },
            Sampler::at(-1.0),
            Sampler::at(f64::NAN),
        ] {
            assert!(wrong.check(5).is_err(), "{wrong:?}");
        }
    }
}
