//! A small classifier in plain Rust, for the examples and the test of the procedural set.

use ashlar_data::{LabelledSet, sampler::Shuffled};

/// Softmax regression (`hidden` 0) or one ReLU layer, trained with SGD and momentum 0.9.
pub struct Net {
    sizes: Vec<usize>,
    w: Vec<f32>,
    m: Vec<f32>,
}

impl Net {
    /// All weights from a fixed seed.
    pub fn new(hidden: usize, inputs: usize, classes: usize) -> Self {
        let sizes = if hidden == 0 { vec![inputs, classes] } else { vec![inputs, hidden, classes] };
        let mut state = 1u32;
        let mut w = Vec::new();
        for pair in sizes.windows(2) {
            let bound = (6.0 / (pair[0] + pair[1]) as f32).sqrt();
            for _ in 0..pair[0] * pair[1] {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                w.push((state >> 8) as f32 / (1 << 23) as f32 * bound - bound);
            }
            w.extend(vec![0.0; pair[1]]);
        }
        Self { sizes, m: vec![0.0; w.len()], w }
    }

    /// Activations of each layer, the last one logits. Weights are `[in, out]`, then biases.
    fn forward(&self, x: &[f32]) -> Vec<Vec<f32>> {
        let mut acts = vec![x.to_vec()];
        let mut at = 0;
        for (layer, pair) in self.sizes.windows(2).enumerate() {
            let (n, m) = (pair[0], pair[1]);
            let mut out = self.w[at + n * m..at + n * m + m].to_vec();
            for (i, &value) in acts[layer].iter().enumerate() {
                let row = &self.w[at + i * m..at + (i + 1) * m];
                out.iter_mut().zip(row).for_each(|(out, w)| *out += value * w);
            }
            if layer + 2 < self.sizes.len() {
                for out in &mut out {
                    *out = out.max(0.0);
                }
            }
            acts.push(out);
            at += n * m + m;
        }
        acts
    }

    /// One epoch in batches of 20.
    pub fn epoch(&mut self, set: &LabelledSet, seed: u64, epoch: u64, rate: f32) -> ashlar_data::Result<()> {
        for batch in Shuffled::new(set.len() as u32, 20, seed)?.epoch(epoch) {
            self.step(set, &batch, rate);
        }
        Ok(())
    }

    fn step(&mut self, set: &LabelledSet, batch: &[u32], rate: f32) {
        let mut grad = vec![0.0f32; self.w.len()];
        let scale = 1.0 / batch.len() as f32;
        for (x, &index) in set.batch(batch).chunks_exact(set.example_len()).zip(batch) {
            let acts = self.forward(x);
            let mut delta = softmax(&acts[acts.len() - 1]);
            delta[set.label(index as usize) as usize] -= 1.0;
            let mut end = self.w.len();
            for layer in (0..self.sizes.len() - 1).rev() {
                let (n, m) = (self.sizes[layer], self.sizes[layer + 1]);
                let at = end - n * m - m;
                grad[end - m..end].iter_mut().zip(&delta).for_each(|(grad, delta)| *grad += scale * delta);
                let mut back = vec![0.0; n];
                for i in 0..n {
                    let a = acts[layer][i];
                    let rows = at + i * m..at + (i + 1) * m;
                    for ((grad, w), delta) in grad[rows.clone()].iter_mut().zip(&self.w[rows]).zip(&delta) {
                        *grad += scale * a * delta;
                        back[i] += w * delta;
                    }
                    if a <= 0.0 {
                        back[i] = 0.0;
                    }
                }
                (delta, end) = (back, at);
            }
        }
        for ((w, m), grad) in self.w.iter_mut().zip(&mut self.m).zip(&grad) {
            *m = 0.9 * *m + grad;
            *w -= rate * *m;
        }
    }

    /// Share of a set that it gets right.
    pub fn accuracy(&self, set: &LabelledSet) -> f32 {
        let all: Vec<u32> = (0..set.len() as u32).collect();
        let right = all.iter().filter(|&&index| {
            let acts = self.forward(&set.batch(&[index]));
            let logits = &acts[acts.len() - 1];
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            best == Some(set.label(index as usize) as usize)
        });
        right.count() as f32 / set.len() as f32
    }
}

fn softmax(logits: &[f32]) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f32> = logits.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f32 = exps.iter().sum();
    exps.into_iter().map(|exp| exp / sum).collect()
}
