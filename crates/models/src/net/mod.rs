//! Forward and backward of a chain of layers, on slices.
//!
//! A network is a list of [`Layer`]s. [`Net::new`] works out shapes, parameters and where each layer's values live; a
//! pass runs the list over a [`Workspace`] that a thread keeps, so that nothing is allocated once it is warm. Values
//! between convolutions lie as `[C, B, H, W]`: a convolution of the whole batch is then one matrix product, whose
//! result is again in that order.
//!
//! Every layer's forward and backward stand in one file, generic over f32 and f64, so that tests can hold them against
//! finite differences; the same list is read by `graph`, which builds it from candle's operations.

mod conv;
mod dense;
mod layer;
mod norm;
mod plain;
mod pool;
mod work;

use std::ops::Range;

use crate::{
    error::{Error, Result},
    matmul::Real,
};
use conv::Conv;
use dense::Dense;
pub(crate) use layer::Init;
use layer::declare;
pub use layer::{Layer, Param};
use norm::Norm;
pub use plain::cross_entropy;
use pool::Pool;
pub use work::Workspace;

/// What a pass does, with places filled in. Slots are indices into the workspace.
#[derive(Clone, Debug)]
enum Step {
    Conv(Conv),
    Dense(Dense),
    Norm(Norm),
    Pool(Pool),
    Relu { slot: usize },
    Scale { slot: usize, factor: f64 },
    Flatten { from: usize, to: usize, channels: usize, plane: usize },
    Add { from: usize, skip: usize, to: usize },
}

/// Largest number of parameters, 1 GiB of f32: beyond it a typing error would ask for more memory than there is.
const MAX_PARAMS: usize = 1 << 28;

/// A network, ready to run.
#[derive(Clone, Debug)]
pub struct Net {
    pub params: Vec<Param>,
    pub num_params: usize,
    pub features: usize,
    pub classes: usize,
    input: [usize; 3],
    steps: Vec<Step>,
    /// Elements an example of each slot.
    slots: Vec<usize>,
    /// Largest number of examples that one pass takes.
    pub micro_batch: usize,
}

impl Net {
    /// Lays the layers out for inputs `[C, H, W]`.
    pub fn new(arch: &str, layers: &[Layer], input: [usize; 3]) -> Result<Self> {
        let refuse = |reason: String| Error::Input { arch: arch.to_owned(), shape: input, reason };
        if input.contains(&0) {
            return Err(refuse("every side must be at least 1".to_owned()));
        }
        let mut params = declare(layers, input).map_err(refuse)?;
        let sizes = params.iter().map(|param| param.shape.iter().fold(1_usize, |n, &side| n.saturating_mul(side)));
        let count = sizes.fold(0, usize::saturating_add);
        if count > MAX_PARAMS {
            let most = format!("it would have {count} parameters, and may have {MAX_PARAMS}");
            return Err(refuse(format!("{most}: take fewer hidden units, a smaller width or smaller images")));
        }
        params.sort_by(|a, b| a.name.cmp(&b.name));
        let mut num_params = 0;
        for param in &mut params {
            param.offset = num_params;
            num_params = param.range().end;
        }
        let mut net = Self {
            params,
            num_params,
            features: input.iter().product(),
            classes: 0,
            input,
            steps: Vec::new(),
            slots: vec![input.iter().product()],
            micro_batch: 1,
        };
        net.lay_out(layers);
        // Values and their gradients of one pass stay within some 64 MB of f32.
        let an_example: usize = net.slots.iter().sum();
        net.micro_batch = (8_000_000 / an_example).clamp(1, 512);
        Ok(net)
    }

    fn slot(&mut self, elements: usize) -> usize {
        self.slots.push(elements);
        self.slots.len() - 1
    }

    fn find(&self, layer: &str, part: &str) -> Option<Range<usize>> {
        self.params.iter().find(|p| p.name.strip_prefix(layer) == Some(part)).map(Param::range)
    }

    fn weight(&self, layer: &str) -> Range<usize> {
        self.find(layer, ".weight").unwrap_or(0..0)
    }

    /// Fills in `steps`; `declare` has checked that the layers fit.
    fn lay_out(&mut self, layers: &[Layer]) {
        let [mut channels, mut height, mut width] = self.input;
        let (mut at, mut saved) = (0, 0);
        for layer in layers {
            match layer {
                Layer::Conv { name, channels: out, kernel, .. } => {
                    let to = self.slot(out * height * width);
                    self.steps.push(Step::Conv(Conv {
                        from: at,
                        to,
                        inputs: channels,
                        outputs: *out,
                        kernel: *kernel,
                        height,
                        width,
                        weight: self.weight(name),
                        bias: self.find(name, ".bias"),
                        backprop: at != 0,
                        accumulate: at == saved && at != 0,
                    }));
                    (at, channels) = (to, *out);
                }
                Layer::Linear { name, size, .. } => {
                    let to = self.slot(*size);
                    let (weight, bias) = (self.weight(name), self.find(name, ".bias"));
                    let inputs = channels * height * width;
                    self.steps.push(Step::Dense(Dense {
                        from: at,
                        to,
                        inputs,
                        outputs: *size,
                        weight,
                        bias,
                        backprop: at != 0,
                    }));
                    (at, channels) = (to, *size);
                    (height, width) = (1, 1);
                }
                Layer::GroupNorm { name, groups } => {
                    let to = self.slot(channels * height * width);
                    self.steps.push(Step::Norm(Norm {
                        from: at,
                        to,
                        channels,
                        groups: *groups,
                        plane: height * width,
                        weight: self.weight(name),
                        bias: self.find(name, ".bias").unwrap_or(0..0),
                    }));
                    at = to;
                }
                Layer::Relu => self.steps.push(Step::Relu { slot: at }),
                Layer::Scale(factor) => self.steps.push(Step::Scale { slot: at, factor: *factor }),
                Layer::MaxPool(size) => {
                    let to = self.slot(channels * (height / size) * (width / size));
                    self.steps.push(Step::Pool(Pool { from: at, to, channels, height, width, size: *size }));
                    (at, height, width) = (to, height / size, width / size);
                }
                Layer::Flatten => {
                    let plane = height * width;
                    // The input is already flat, example by example.
                    if at != 0 {
                        let to = self.slot(channels * plane);
                        self.steps.push(Step::Flatten { from: at, to, channels, plane });
                        at = to;
                    }
                    (channels, height, width) = (channels * plane, 1, 1);
                }
                Layer::Save => saved = at,
                Layer::AddSaved => {
                    let to = self.slot(channels * height * width);
                    self.steps.push(Step::Add { from: at, skip: saved, to });
                    (at, saved) = (to, 0);
                }
            }
        }
        self.classes = channels * height * width;
    }

    /// Whether the first layer wants `[C, B, H, W]` rather than an example a row.
    fn planes_first(&self) -> bool {
        !matches!(self.steps.first(), Some(Step::Dense(_)) | None)
    }

    /// Runs `n` examples forward; the logits lie in the last slot, a row an example.
    pub fn forward<T: Real>(&self, w: &[T], x: &[T], n: usize, ws: &mut Workspace<T>) {
        ws.prepare(&self.slots, self.steps.len(), n);
        let input = &mut ws.values[0][..x.len()];
        if self.planes_first() {
            let [channels, height, width] = self.input;
            plain::to_planes(x, input, n, channels, height * width);
        } else {
            input.copy_from_slice(x);
        }
        for (i, step) in self.steps.iter().enumerate() {
            match step {
                Step::Conv(conv) => conv.forward(w, n, ws),
                Step::Dense(dense) => dense.forward(w, n, ws),
                Step::Norm(norm) => norm.forward(w, n, ws, i),
                Step::Pool(pool) => pool.forward(n, ws, i),
                Step::Relu { slot } => plain::relu(&mut ws.values[*slot][..n * self.slots[*slot]]),
                Step::Scale { slot, factor } => plain::scale(&mut ws.values[*slot][..n * self.slots[*slot]], *factor),
                Step::Flatten { from, to, channels, plane } => {
                    let (x, y) = work::two(&mut ws.values, *from, *to);
                    plain::from_planes(x, y, n, *channels, *plane);
                }
                Step::Add { from, skip, to } => {
                    let len = n * self.slots[*to];
                    let (x, y) = work::two(&mut ws.values, *from, *to);
                    y[..len].copy_from_slice(&x[..len]);
                    let (skip, y) = work::two(&mut ws.values, *skip, *to);
                    plain::add(&mut y[..len], &skip[..len]);
                }
            }
        }
    }

    /// The logits of the last [`forward`](Self::forward).
    pub fn logits<'a, T: Real>(&self, n: usize, ws: &'a Workspace<T>) -> &'a [T] {
        &ws.values[self.slots.len() - 1][..n * self.classes]
    }

    /// Sum of the examples' cross-entropies after a forward pass; leaves its gradient, times `scale`, in the
    /// workspace.
    pub fn loss<T: Real>(&self, labels: &[u32], scale: f64, ws: &mut Workspace<T>) -> f64 {
        let (last, len) = (self.slots.len() - 1, labels.len() * self.classes);
        let (logits, gradient) = (&ws.values[last][..len], &mut ws.grads[last][..len]);
        let rows = logits.chunks_exact(self.classes).zip(gradient.chunks_exact_mut(self.classes)).zip(labels);
        rows.map(|((logits, gradient), &label)| cross_entropy(logits, label as usize, scale, gradient)).sum()
    }

    /// Runs back from the gradient of the logits, into `grad`, over what is there with `accumulate`.
    pub fn backward<T: Real>(&self, w: &[T], n: usize, ws: &mut Workspace<T>, grad: &mut [T], accumulate: bool) {
        for (i, step) in self.steps.iter().enumerate().rev() {
            match step {
                Step::Conv(conv) => conv.backward(w, n, ws, grad, accumulate),
                Step::Dense(dense) => dense.backward(w, n, ws, grad, accumulate),
                Step::Norm(norm) => norm.backward(w, n, ws, i, grad, accumulate),
                Step::Pool(pool) => pool.backward(n, ws, i),
                Step::Relu { slot } => {
                    let len = n * self.slots[*slot];
                    plain::relu_backward(&ws.values[*slot][..len], &mut ws.grads[*slot][..len]);
                }
                Step::Scale { slot, factor } => plain::scale(&mut ws.grads[*slot][..n * self.slots[*slot]], *factor),
                Step::Flatten { from, to, channels, plane } => {
                    let (dx, dy) = work::two(&mut ws.grads, *from, *to);
                    plain::to_planes(dy, dx, n, *channels, *plane);
                }
                Step::Add { from, skip, to } => {
                    let len = n * self.slots[*to];
                    for target in [*from, *skip] {
                        let (dx, dy) = work::two(&mut ws.grads, target, *to);
                        dx[..len].copy_from_slice(&dy[..len]);
                    }
                }
            }
        }
    }
}
