//! A client's work in a round: one mean gradient, or local SGD and the weight change that it gives.
//!
//! Local SGD goes through the client's examples in their fixed order, `epochs` times, in batches of `batch`:
//! g = ∇f(w_l) clipped to `max_grad_norm`, then + wd·w_l + μ·(w_l − w) (FedProx's μ), v = m·v + g (v = 0 at the start of
//! the round), w_l ← w_l − η·decay^step·v. The change is w_l − w.
//!
//! A [`Hook`] may change each gradient before the optimiser sees it and the weights after each step: Neurotoxin's mask
//! and PGD's projection.
//!
//! Cost: the gradients; no allocation a step beyond what binding the model's weights needs.

use std::sync::Mutex;

use ashlar_data::LabelledSet;
use ashlar_models::{VisionModel, Weights};

use crate::{Result, config::ClientTable, sparsefed::clip_l2};

/// Examples whose features are held at once; larger batches are summed in pieces.
const PIECE: usize = 512;

/// Buffers that a thread reuses from client to client.
#[derive(Default)]
pub struct Scratch {
    features: Vec<f32>,
    labels: Vec<u32>,
    piece: Vec<f32>,
    gradient: Vec<f32>,
    velocity: Vec<f32>,
    local: Vec<f32>,
}

/// Scratch buffers, as many as there are threads at work.
#[derive(Default)]
pub struct Pool(Mutex<Vec<Scratch>>);

impl Pool {
    /// Runs `work` with a buffer that nobody else uses.
    pub fn with<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let free = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let mut scratch = free.unwrap_or_default();
        let answer = work(&mut scratch);
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(scratch);
        answer
    }
}

/// Where features and labels come from: the training set, or what an attacker made of it.
#[derive(Clone, Copy)]
pub struct Learner<'a> {
    /// The model.
    pub model: &'a VisionModel,
    /// The examples.
    pub set: &'a LabelledSet,
}

impl Learner<'_> {
    /// Writes the mean gradient over `examples` to `out` and returns the mean loss.
    ///
    /// # Errors
    /// As the model's.
    pub fn gradient(&self, w: &Weights, examples: &[u32], out: &mut [f32], scratch: &mut Scratch) -> Result<f32> {
        let Scratch { features, labels, piece, .. } = scratch;
        let size = self.set.example_len();
        let mut batch = |examples: &[u32], out: &mut [f32]| -> Result<f32> {
            features.resize(examples.len() * size, 0.0);
            labels.clear();
            for (&example, into) in examples.iter().zip(features.chunks_exact_mut(size)) {
                self.set.write_f32(example as usize, into);
                labels.push(self.set.label(example as usize));
            }
            Ok(self.model.loss_and_grad(w, features, labels, out)?)
        };
        if examples.len() <= PIECE {
            return batch(examples, out);
        }
        out.fill(0.0);
        piece.resize(out.len(), 0.0);
        let mut loss = 0.0f64;
        for examples_here in examples.chunks(PIECE) {
            let share = examples_here.len() as f64 / examples.len() as f64;
            loss += share * f64::from(batch(examples_here, piece)?);
            out.iter_mut().zip(piece.iter()).for_each(|(out, g)| *out += share as f32 * g);
        }
        Ok(loss as f32)
    }

    /// Local SGD from the weights `w`; writes the change to `out` and returns the mean loss over all steps.
    ///
    /// # Errors
    /// As the model's.
    pub fn train(
        &self,
        w: &[f32],
        examples: &[u32],
        how: &LocalSgd,
        hook: &Hook<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) -> Result<f32> {
        let mut local = std::mem::take(&mut scratch.local);
        let mut gradient = std::mem::take(&mut scratch.gradient);
        let mut velocity = std::mem::take(&mut scratch.velocity);
        local.clear();
        local.extend_from_slice(w);
        gradient.resize(w.len(), 0.0);
        velocity.clear();
        velocity.resize(if how.momentum > 0.0 { w.len() } else { 0 }, 0.0);

        let batch = if how.batch == 0 { examples.len().max(1) } else { how.batch };
        let (mut loss, mut seen) = (0.0f64, 0usize);
        let mut lr = how.lr;
        for _ in 0..how.epochs {
            for examples in examples.chunks(batch) {
                let bound = self.model.bind(&local)?;
                let mean = self.gradient(&bound, examples, &mut gradient, scratch)?;
                loss += f64::from(mean) * examples.len() as f64;
                seen += examples.len();
                how.step(w, &mut local, &mut gradient, &mut velocity, lr as f32, hook);
                lr *= how.lr_decay;
            }
        }
        out.iter_mut().zip(&local).zip(w).for_each(|((out, local), w)| *out = local - w);
        (scratch.local, scratch.gradient, scratch.velocity) = (local, gradient, velocity);
        Ok((loss / seen.max(1) as f64) as f32)
    }
}

/// How local SGD runs.
#[derive(Clone, Copy, Debug)]
pub struct LocalSgd {
    /// Passes over the examples.
    pub epochs: usize,
    /// Examples a step; 0 takes all.
    pub batch: usize,
    /// Learning rate of the first step.
    pub lr: f64,
    /// Its factor from step to step.
    pub lr_decay: f64,
    /// Momentum, fresh each round.
    pub momentum: f64,
    /// Weight decay, added to each gradient.
    pub weight_decay: f64,
    /// FedProx's pull towards the global weights.
    pub prox_mu: f64,
    /// Bound on the norm of each gradient, before decay and pull are added; 0 is no bound.
    pub max_grad_norm: f64,
    /// Factor on the loss.
    pub loss_factor: f64,
}

impl LocalSgd {
    /// As `[client]` says, with the round's learning rate.
    pub fn new(table: &ClientTable, lr: f64) -> Self {
        Self {
            epochs: table.epochs,
            batch: table.batch,
            lr,
            lr_decay: table.lr_decay,
            momentum: table.momentum,
            weight_decay: table.weight_decay,
            prox_mu: table.prox_mu,
            max_grad_norm: table.max_grad_norm,
            loss_factor: 1.0,
        }
    }

    fn step(&self, w: &[f32], local: &mut [f32], g: &mut [f32], v: &mut [f32], lr: f32, hook: &Hook<'_>) {
        if self.loss_factor != 1.0 {
            let factor = self.loss_factor as f32;
            scale(g, factor);
        }
        if self.max_grad_norm > 0.0 {
            clip_l2(g, self.max_grad_norm);
        }
        if let Some(mask) = hook.mask {
            mask(g);
        }
        if self.weight_decay != 0.0 {
            let decay = self.weight_decay as f32;
            g.iter_mut().zip(local.iter()).for_each(|(g, w)| *g += decay * w);
        }
        if self.prox_mu != 0.0 {
            let mu = self.prox_mu as f32;
            g.iter_mut().zip(local.iter()).zip(w).for_each(|((g, local), w)| *g += mu * (local - w));
        }
        if self.momentum > 0.0 {
            let m = self.momentum as f32;
            for ((local, v), g) in local.iter_mut().zip(v).zip(g.iter()) {
                *v = m * *v + g;
                *local -= lr * *v;
            }
        } else {
            local.iter_mut().zip(g.iter()).for_each(|(local, g)| *local -= lr * g);
        }
        if let Some(project) = hook.project {
            project(w, local);
        }
    }
}

/// Changes a gradient.
pub type Mask<'a> = &'a (dyn Fn(&mut [f32]) + Sync);

/// Gets the global weights and changes the local ones.
pub type Project<'a> = &'a (dyn Fn(&[f32], &mut [f32]) + Sync);

/// What happens around a local step; both parts are optional.
#[derive(Clone, Copy, Default)]
pub struct Hook<'a> {
    /// Changes the gradient before weight decay and momentum.
    pub mask: Option<Mask<'a>>,
    /// Gets the global weights and changes the local ones after the step.
    pub project: Option<Project<'a>>,
}

pub(crate) fn scale(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

/// The l2 norm, summed in f64.
pub fn l2(x: &[f32]) -> f64 {
    crate::vector::norm_sq(x).sqrt()
}
