use std::cell::RefCell;

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Storage, Tensor, Var};
use rayon::prelude::*;

use super::{AdamW, adamw::Step, check_rate, counter_from_f32, counter_to_f32, missing, saved};
use crate::{Error, Result, error::same_length};

/// What differs between the parameters of one optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Whether weight decay acts.
    pub decay: bool,
    /// Factor of the learning rate.
    pub lr: f32,
}

impl Default for Group {
    fn default() -> Self {
        Self { decay: true, lr: 1.0 }
    }
}

/// [`AdamW`] over named candle variables, in place: one pass over parameters, gradients and moments, on all threads.
///
/// Gradients are first accumulated, with a weight each (shards of a batch, micro-batches), then clipped to a global norm
/// and applied:
///
/// ```text
/// G ← Σ_s c_s · g_s          ‖G‖ over all parameters          G ← G · min(1, clip / (‖G‖ + 1e-6))
/// ```
///
/// The sums are taken in the order of the calls, and elements don't mix, so the result doesn't depend on the number of
/// threads. A parameter that no gradient was given for counts as zero: momentum and decay still act on it. Memory:
/// three floats a parameter.
#[derive(Debug)]
pub struct VarAdamW {
    options: AdamW,
    slots: Vec<Slot>,
    /// Whether gradients were accumulated since the last step.
    pending: bool,
}

#[derive(Debug)]
struct Slot {
    name: String,
    var: Var,
    group: Group,
    mask: Option<Vec<bool>>,
    g: Vec<f32>,
    m: Vec<f32>,
    v: Vec<f32>,
}

/// Elements that one task treats.
const CHUNK: usize = 1 << 14;

impl VarAdamW {
    /// Takes the variables in any order; `options` gives β, ε and λ (its buffers are not used).
    ///
    /// # Errors
    /// If a variable isn't f32, or an option is outside its range.
    pub fn new(vars: Vec<(String, Var)>, options: AdamW) -> Result<Self> {
        options.check()?;
        let mut slots = Vec::with_capacity(vars.len());
        for (name, var) in vars {
            if var.dtype() != DType::F32 {
                let value = format!("{name}: {:?}", var.dtype());
                return Err(Error::Value { field: "variable", value, expected: "f32" });
            }
            let n = var.elem_count();
            let zeros = || vec![0.0; n];
            let (g, m, v) = (zeros(), zeros(), zeros());
            slots.push(Slot { name, var, group: Group::default(), mask: None, g, m, v });
        }
        slots.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { options: AdamW { m: Vec::new(), v: Vec::new(), ..options }, slots, pending: false })
    }

    /// Sorts the parameters into groups by name and shape.
    #[must_use]
    pub fn with_groups(mut self, group: impl Fn(&str, &[usize]) -> Group) -> Self {
        for slot in &mut self.slots {
            slot.group = group(&slot.name, slot.var.dims());
        }
        self
    }

    /// Trains only those elements of a parameter for which the mask is true; the others keep their bits.
    ///
    /// # Errors
    /// If there is no such parameter or the mask has another length.
    pub fn set_mask(&mut self, name: &str, mask: Vec<bool>) -> Result<()> {
        let Some(at) = self.slots.iter().position(|slot| slot.name == name) else {
            let found = self.slots.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(Error::State { expected: name.to_owned(), found });
        };
        let slot = &mut self.slots[at];
        same_length("mask", slot.g.len(), mask.len())?;
        slot.mask = Some(mask);
        Ok(())
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.options.steps
    }

    /// The variables in name order.
    pub fn vars(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.slots.iter().map(|slot| (slot.name.as_str(), &slot.var))
    }

    /// Adds `weight` times the gradients that `of` gives by name.
    ///
    /// # Errors
    /// If a gradient has another length than its variable.
    pub fn accumulate<'a>(&mut self, of: impl Fn(&str) -> Option<&'a Tensor> + Sync, weight: f32) -> Result<()> {
        let first = !self.pending;
        self.slots.par_iter_mut().try_for_each(|slot| {
            let Some(gradient) = of(&slot.name) else {
                if first {
                    slot.g.fill(0.0);
                }
                return Ok(());
            };
            same_length("gradient", slot.g.len(), gradient.elem_count())?;
            with_slice(gradient, |gradient| {
                if first {
                    slot.g.iter_mut().zip(gradient).for_each(|(sum, g)| *sum = weight * g);
                } else {
                    slot.g.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += weight * g);
                }
            })
        })?;
        self.pending = true;
        Ok(())
    }

    /// √Σ G² of what was accumulated, masked elements left out.
    pub fn norm(&self) -> f64 {
        if !self.pending {
            return 0.0;
        }
        let sums: Vec<f64> = self.slots.par_iter().map(Slot::sum_of_squares).collect();
        sums.iter().sum::<f64>().sqrt()
    }

    /// Takes a step along the accumulated gradients and forgets them; gives their norm before clipping.
    ///
    /// # Errors
    /// If nothing was accumulated, a rate isn't finite, or candle fails. A norm that is no number changes nothing and
    /// is given back: the caller decides.
    pub fn step(&mut self, lr: f32, clip: Option<f32>) -> Result<f64> {
        check_rate(lr)?;
        if !self.pending {
            return Err(Error::Value { field: "step", value: "no gradient".to_owned(), expected: "after accumulate" });
        }
        let norm = self.norm();
        self.pending = false;
        if !norm.is_finite() {
            return Ok(norm);
        }
        self.options.steps += 1;
        let scale = clip.map_or(1.0, |clip| (f64::from(clip) / (norm + 1e-6)).min(1.0)) as f32;
        let (decayed, plain) = (&self.options, &AdamW { weight_decay: 0.0, ..self.options.clone() });
        self.slots.par_iter_mut().try_for_each(|slot| {
            let of = if slot.group.decay { decayed } else { plain };
            slot.step(Step::new(of, lr * slot.group.lr, scale))
        })?;
        Ok(norm)
    }

    /// The moments by parameter, `m/NAME` and `v/NAME`, and `steps`.
    pub fn state(&self) -> Vec<(String, Vec<f32>)> {
        let moments = self.slots.iter().flat_map(|slot| {
            [(format!("m/{}", slot.name), slot.m.clone()), (format!("v/{}", slot.name), slot.v.clone())]
        });
        moments.chain([("steps".to_owned(), counter_to_f32(self.options.steps))]).collect()
    }

    /// Puts back what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// If a moment is missing or has another length.
    pub fn load_state(&mut self, state: &[(String, Vec<f32>)]) -> Result<()> {
        let steps =
            counter_from_f32(saved(state, "steps")?).ok_or_else(|| missing(state, "step counter of two numbers"))?;
        for slot in &self.slots {
            for moment in ["m", "v"] {
                let values = saved(state, &format!("{moment}/{}", slot.name))?;
                same_length("moment", slot.g.len(), values.len())?;
            }
        }
        for slot in &mut self.slots {
            slot.m.copy_from_slice(saved(state, &format!("m/{}", slot.name))?);
            slot.v.copy_from_slice(saved(state, &format!("v/{}", slot.name))?);
        }
        self.options.steps = steps;
        self.pending = false;
        Ok(())
    }
}

impl Slot {
    fn sum_of_squares(&self) -> f64 {
        match &self.mask {
            None => self.g.chunks(1024).map(|chunk| f64::from(lanes(chunk))).sum(),
            Some(mask) => self.g.iter().zip(mask).filter(|(_, on)| **on).map(|(g, _)| f64::from(*g).powi(2)).sum(),
        }
    }

    fn step(&mut self, step: Step) -> Result<()> {
        if !self.var.device().is_cpu() || !self.var.is_contiguous() {
            let mut w = self.var.flatten_all()?.to_vec1::<f32>()?;
            InPlace::new(self, step).run(&mut w);
            let moved = Tensor::from_vec(w, self.var.shape(), self.var.device())?;
            return Ok(self.var.set(&moved)?);
        }
        let var = self.var.clone();
        Ok(var.inplace_op1(&InPlace::new(self, step))?)
    }
}

/// Σ x² of a chunk in sixteen lanes.
fn lanes(chunk: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (blocks, rest) = chunk.as_chunks::<16>();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += x * x;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}

/// Calls with a tensor's f32 values, without copying those that lie one after the other on the CPU.
fn with_slice(tensor: &Tensor, then: impl FnOnce(&[f32])) -> Result<()> {
    let (storage, layout) = tensor.storage_and_layout();
    if let (Storage::Cpu(CpuStorage::F32(values)), Some((from, to))) = (&*storage, layout.contiguous_offsets())
        && let Some(values) = values.get(from..to)
    {
        then(values);
        return Ok(());
    }
    drop(storage);
    then(&tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?);
    Ok(())
}

/// The pass over one variable, as candle's in-place operation.
struct InPlace<'a> {
    step: Step,
    g: &'a [f32],
    moments: RefCell<(&'a mut [f32], &'a mut [f32])>,
    mask: Option<&'a [bool]>,
}

impl<'a> InPlace<'a> {
    fn new(slot: &'a mut Slot, step: Step) -> Self {
        Self { step, g: &slot.g, moments: RefCell::new((&mut slot.m, &mut slot.v)), mask: slot.mask.as_deref() }
    }

    fn run(&self, w: &mut [f32]) {
        let mut moments = self.moments.borrow_mut();
        let (m, v) = &mut *moments;
        let step = self.step;
        let chunks = w.par_chunks_mut(CHUNK).zip(self.g.par_chunks(CHUNK));
        let chunks = chunks.zip(m.par_chunks_mut(CHUNK)).zip(v.par_chunks_mut(CHUNK));
        match self.mask {
            None => chunks.for_each(|(((w, g), m), v)| step.apply(w, g, m, v)),
            Some(mask) => chunks
                .zip(mask.par_chunks(CHUNK))
                .for_each(|((((w, g), m), v), mask)| step.apply_masked(w, g, m, v, mask)),
        }
    }
}

impl InplaceOp1 for InPlace<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let span = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((from, to))) => values.get_mut(from..to),
            _ => None,
        };
        self.run(span.ok_or_else(|| candle_core::Error::msg("adamw: a variable that isn't contiguous f32"))?);
        Ok(())
    }
}
