//! Gradients of every example of a batch from one forward and one backward pass.
//!
//! For example i a projection's gradient is G_i = Σ_s b_s a_sᵀ over its positions s, with the layer's input a_s and the
//! gradient b_s of its output. A [`Tape`] records both as the backward pass goes by, in place of the weight gradients,
//! which aren't computed. From them come, without the G_i,
//!
//! - ‖G_i‖² = Σ_{s,s'} ⟨a_s, a_s'⟩⟨b_s, b_s'⟩ ("ghost" norms; Li et al., 2022; Goodfellow, 2015), where 2S² ≤ p·d, else
//!   from G_i itself (the rule of Bu et al., 2022);
//! - Σ_i c_i G_i = (diag(c) B)ᵀ A, one product a layer ("book-keeping").
//!
//! A lookup is the same with b_s the indicator of token s and a_s the gradient of its row. Hence a table that is also the
//! head needs no rule of its own: all uses of one parameter go into one sum, whose cross terms are part of the square,
//! as are those between equal tokens of one example. Weights and biases of norms, and biases, are summed for each
//! example as they pass.
//!
//! A tape that several passes over the same examples fill holds the sums of their gradients (augmentations). Examples are
//! the rows of the batch; an operation that mixes them has no gradients by example, and none is in a forward pass.
//! Memory: inputs and output gradients of every trainable layer until the tape is dropped.

mod norms;
mod record;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use candle_core::{DType, Device, Tensor, TensorId};

use super::{
    forward::PassOptions,
    hooks::HookSet,
    input::Input,
    model::Model,
    ops::{
        embedding::scatter_add,
        product::{Element, on_cpu, product_into},
    },
};
use crate::{Error, Result, matmul::Shape};

/// What a backward pass leaves for gradients by example.
#[derive(Clone, Debug, Default)]
pub struct Tape(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Examples, B.
    examples: usize,
    /// Columns of the batch, T.
    columns: usize,
    /// Tokens of the rows that an expert works on.
    rows: Option<Arc<[u32]>>,
    parameters: BTreeMap<String, Parameter>,
    /// Records by the variable's identity, until their names are known.
    records: Vec<(TensorId, Record)>,
}

/// One trainable parameter.
#[derive(Debug)]
struct Parameter {
    id: TensorId,
    dims: Vec<usize>,
    dtype: DType,
    records: Vec<Record>,
}

/// One use of a parameter.
#[derive(Debug)]
enum Record {
    /// Σ_s b_s a_sᵀ: a `[N, d]`.
    Outer { a: Tensor, b: Left, rows: Rows },
    /// Values of each example, `[B, n]`.
    Vector(Vec<f64>),
}

/// The left factors of the outer products.
#[derive(Debug)]
enum Left {
    /// `[N, p]`.
    Dense(Tensor),
    /// Indicators of these tokens, `[N]`.
    Token(Arc<[u32]>),
}

/// Which example each of the N rows belongs to.
#[derive(Clone, Debug)]
enum Rows {
    /// So many rows each, in order.
    Each(usize),
    /// Example of every row.
    Of(Arc<[u32]>),
}

impl Rows {
    /// Rows of every example.
    fn lists(&self, examples: usize) -> Vec<Vec<u32>> {
        match self {
            Self::Each(n) => (0..examples).map(|i| ((i * n) as u32..((i + 1) * n) as u32).collect()).collect(),
            Self::Of(example) => {
                let mut lists = vec![Vec::new(); examples];
                for (row, &example) in example.iter().enumerate() {
                    lists[example as usize].push(row as u32);
                }
                lists
            }
        }
    }

    /// Example of a row.
    fn example(&self, row: usize) -> usize {
        match self {
            Self::Each(n) => row / n,
            Self::Of(example) => example[row] as usize,
        }
    }
}

impl Tape {
    /// An empty tape.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Examples of the recorded batch.
    pub fn examples(&self) -> usize {
        self.lock().examples
    }

    /// Says what batch comes.
    pub(super) fn start(&self, examples: usize, columns: usize) -> Result<()> {
        let mut inner = self.lock();
        if inner.examples != 0 && inner.examples != examples {
            return Err(Error::Length { what: "the taped batch", expected: inner.examples, found: examples });
        }
        (inner.examples, inner.columns, inner.rows) = (examples, columns, None);
        Ok(())
    }

    /// Until the guard falls, rows of a matrix are these tokens of the batch.
    pub(super) fn tokens(&self, tokens: &[u32]) -> Tokens<'_> {
        self.lock().rows = Some(tokens.into());
        Tokens(self)
    }

    /// To which example each row of an operation's input belongs.
    fn rows_of(&self, count: usize) -> Result<Rows> {
        let inner = self.lock();
        match &inner.rows {
            Some(tokens) if tokens.len() == count => {
                let columns = inner.columns.max(1) as u32;
                Ok(Rows::Of(tokens.iter().map(|token| token / columns).collect()))
            }
            None if inner.examples > 0 && count.is_multiple_of(inner.examples) => {
                Ok(Rows::Each(count / inner.examples))
            }
            _ => Err(Error::Tape { name: format!("{count} rows"), reason: "they belong to no known tokens" }),
        }
    }

    fn push(&self, id: TensorId, record: Record) {
        self.lock().records.push((id, record));
    }

    /// Gives the records their parameters' names, once the backward pass is over.
    fn settle(&self, model: &Model) -> Result<()> {
        let mut inner = self.lock();
        let records = std::mem::take(&mut inner.records);
        for (name, var) in model.vars() {
            let new = || Parameter { id: var.id(), dims: var.dims().to_vec(), dtype: var.dtype(), records: Vec::new() };
            inner.parameters.entry(name.clone()).or_insert_with(new);
        }
        for (id, record) in records {
            if let Some(parameter) = inner.parameters.values_mut().find(|p| p.id == id) {
                parameter.records.push(record);
            }
        }
        // An expert may get no token; anything else that trains must have been seen.
        let unseen = |(name, p): &(&String, &Parameter)| p.records.is_empty() && !name.contains(".experts.");
        match inner.parameters.iter().find(unseen) {
            Some((name, _)) => Err(Error::Tape { name: name.clone(), reason: "no gradient was recorded" }),
            None => Ok(()),
        }
    }

    /// ‖g_i‖² of every example over all trainable parameters together.
    ///
    /// # Errors
    /// Where candle fails.
    pub fn squared_norms(&self) -> Result<Vec<f64>> {
        let mut sums = vec![0.0; self.examples()];
        for norms in self.squared_norms_by_parameter()?.values() {
            sums.iter_mut().zip(norms).for_each(|(sum, norm)| *sum += norm);
        }
        Ok(sums)
    }

    /// The same for each parameter.
    ///
    /// # Errors
    /// Where candle fails.
    pub fn squared_norms_by_parameter(&self) -> Result<BTreeMap<String, Vec<f64>>> {
        let inner = self.lock();
        let of = |(name, p): (&String, &Parameter)| Ok((name.clone(), norms::squared(p, inner.examples)?));
        inner.parameters.iter().map(of).collect()
    }

    /// Σ_i c_i g_i for every trainable parameter.
    ///
    /// An example with c_i = 0 contributes exactly nothing, whatever its gradient is.
    ///
    /// # Errors
    /// Where there isn't one factor an example.
    pub fn weighted_sum(&self, factors: &[f64]) -> Result<BTreeMap<String, Tensor>> {
        let inner = self.lock();
        if factors.len() != inner.examples {
            return Err(Error::Length { what: "the factors", expected: inner.examples, found: factors.len() });
        }
        let of = |(name, p): (&String, &Parameter)| {
            let sum = if p.dtype == DType::F64 { p.sum::<f64>(factors) } else { p.sum::<f32>(factors) };
            Ok((name.clone(), sum?))
        };
        inner.parameters.iter().map(of).collect()
    }
}

/// See [`Tape::tokens`].
pub(super) struct Tokens<'a>(&'a Tape);

impl Drop for Tokens<'_> {
    fn drop(&mut self) {
        self.0.lock().rows = None;
    }
}

impl Parameter {
    fn sum<T: Element>(&self, factors: &[f64]) -> Result<Tensor> {
        let mut sum = vec![T::default(); self.dims.iter().product()];
        for record in &self.records {
            match record {
                Record::Vector(values) => {
                    let n = sum.len();
                    for (values, &c) in values.chunks_exact(n.max(1)).zip(factors).filter(|&(_, &c)| c != 0.0) {
                        let add = |(sum, x): (&mut T, &f64)| *sum += <T as crate::matmul::Real>::from_f64(c * x);
                        sum.iter_mut().zip(values).for_each(add);
                    }
                }
                Record::Outer { a, b, rows } => outer_sum::<T>(&mut sum, a, b, rows, factors)?,
            }
        }
        Ok(Tensor::from_vec(sum, self.dims.as_slice(), &Device::Cpu)?)
    }
}

/// sum += Σ_i c_i Σ_s b_s a_sᵀ.
fn outer_sum<T: Element>(sum: &mut [T], a: &Tensor, b: &Left, rows: &Rows, factors: &[f64]) -> Result<()> {
    let (storage, layout) = a.storage_and_layout();
    let (a, d) = (on_cpu::<T>(&storage, layout)?, layout.dims()[1]);
    // Rows of a factor 0 are left out: 0 · NaN would be NaN.
    let kept: Vec<usize> = (0..a.len() / d.max(1)).filter(|&row| factors[rows.example(row)] != 0.0).collect();
    let scaled = |x: &[T], width: usize| -> Vec<T> {
        let row = |&row: &usize| {
            let c = <T as crate::matmul::Real>::from_f64(factors[rows.example(row)]);
            x[row * width..][..width].iter().map(move |x| c * *x)
        };
        kept.iter().flat_map(row).collect()
    };
    match b {
        Left::Token(tokens) => {
            let tokens: Vec<u32> = kept.iter().map(|&row| tokens[row]).collect();
            let rows = scatter_add(&scaled(a, d), &tokens, sum.len() / d.max(1), d);
            sum.iter_mut().zip(rows).for_each(|(sum, x)| *sum += x);
        }
        Left::Dense(b) => {
            let (storage, layout) = b.storage_and_layout();
            let (b, p) = (on_cpu::<T>(&storage, layout)?, layout.dims()[1]);
            let all = kept.len() == a.len() / d.max(1);
            let chosen: Vec<T> =
                if all { Vec::new() } else { kept.iter().flat_map(|&row| &a[row * d..][..d]).copied().collect() };
            let a = if all { a } else { &chosen };
            let n = kept.len();
            let b = scaled(b, p);
            product_into(sum, true, (&b, Shape::row_major(n, p).t()), (a, Shape::row_major(n, d)));
        }
    }
    Ok(())
}

/// Losses and gradients of every example.
#[derive(Debug)]
pub struct PerSample {
    /// The examples' losses.
    pub losses: Vec<f64>,
    /// Their gradients.
    pub tape: Tape,
}

impl Model {
    /// The loss of every row of a batch and the gradients of each by the trainable parameters, on a CPU in f32 or f64.
    ///
    /// `losses` makes of logits `[B, T, V]` one loss a row, `[B]`, each of its own row only.
    ///
    /// # Errors
    /// What a forward pass says; losses of another shape; a trainable parameter whose gradient isn't that of a
    /// projection, lookup or norm.
    pub fn per_sample(
        &self,
        input: &Input,
        hooks: &HookSet,
        losses: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<PerSample> {
        let tape = Tape::new();
        let options = PassOptions { tape: Some(tape.clone()), ..PassOptions::default() };
        let losses = losses(&self.forward_with(input, None, hooks, &options)?)?;
        if losses.dims() != [input.batch()] {
            let found = losses.elem_count();
            return Err(Error::Length { what: "the losses", expected: input.batch(), found });
        }
        losses.sum_all()?.backward()?;
        tape.settle(self)?;
        Ok(PerSample { losses: losses.to_dtype(DType::F64)?.to_vec1()?, tape })
    }
}
