//! Classifiers of images on one flat parameter vector.

use std::{cell::RefCell, path::Path};

use candle_core::{Device, Tensor, Var};
use rand::RngCore;
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{
    Error, ModelSpec, Param, Result,
    error::same_length,
    graph,
    net::{Init, Layer, Net, Workspace},
};

/// Examples of a work item when logits are computed on several threads.
const EVAL_BATCH: usize = 128;

/// An image classifier.
///
/// The model holds no weights: they are a flat vector in the order of [`params`](Self::params), which
/// [`bind`](Self::bind) prepares once for many calls. All methods take `&self`, so one model serves all threads; a call
/// of [`loss_and_grad`](Self::loss_and_grad) runs on the calling thread alone, [`logits`](Self::logits) spreads larger
/// batches over rayon's pool. Results depend on neither.
#[derive(Debug)]
pub struct VisionModel {
    spec: ModelSpec,
    layers: Vec<Layer>,
    input: [usize; 3],
    net: Net,
    device: Device,
    seed: u64,
}

/// Weights made ready by [`VisionModel::bind`], shareable between threads.
#[derive(Clone, Debug)]
pub struct Weights {
    flat: Vec<f32>,
    /// On a device other than the CPU.
    vars: Vec<(String, Var)>,
}

impl Weights {
    /// The flat vector.
    #[must_use]
    pub fn flat(&self) -> &[f32] {
        &self.flat
    }
}

impl VisionModel {
    /// Makes the network for inputs `[channels, height, width]`; `seed` decides the initial weights.
    ///
    /// # Errors
    /// If an option doesn't fit the architecture, the images are too small for it, or there are fewer than 2 classes.
    pub fn new(spec: &ModelSpec, input: [usize; 3], classes: usize, device: &Device, seed: u64) -> Result<Self> {
        if classes < 2 {
            return Err(Error::Classes { found: classes });
        }
        let layers = spec.layers(classes)?;
        let net = Net::new(spec.arch.name(), &layers, input)?;
        Ok(Self { spec: spec.clone(), layers, input, net, device: device.clone(), seed })
    }

    /// What it was made from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// Number of parameters, d.
    pub fn num_params(&self) -> usize {
        self.net.num_params
    }

    /// The parameters in name order, which is their order in the flat vector.
    pub fn params(&self) -> &[Param] {
        &self.net.params
    }

    /// Numbers an example.
    pub fn features(&self) -> usize {
        self.net.features
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.net.classes
    }

    /// Initial weights: PyTorch's defaults, uniform in ±1/√fan_in for dense and convolutional layers (weights and
    /// biases), 1 and 0 for normalisation. Each parameter has a random stream of its own name.
    pub fn init_flat(&self) -> Vec<f32> {
        let mut flat = Vec::with_capacity(self.num_params());
        for param in self.params() {
            let len = param.range().len();
            match param.init {
                Init::Constant(value) => flat.extend(std::iter::repeat_n(value as f32, len)),
                Init::Uniform { fan_in } => {
                    let bound = 1.0 / (fan_in as f32).sqrt();
                    let mut rng = ashlar_kernels::rng::stream(self.seed, &["models", "init", &param.name]);
                    // 24 bits: exact in f32, symmetric about 0.
                    flat.extend((0..len).map(|_| {
                        let unit = ((rng.next_u32() >> 8) as f32 + 0.5) * (1.0 / 16_777_216.0);
                        bound * (2.0 * unit - 1.0)
                    }));
                }
            }
        }
        flat
    }

    /// Prepares a flat vector for use by any number of calls and threads.
    ///
    /// # Errors
    /// If its length isn't [`num_params`](Self::num_params), or the device fails.
    pub fn bind(&self, flat: &[f32]) -> Result<Weights> {
        same_length("the weight vector", self.num_params(), flat.len())?;
        let vars = if self.device.is_cpu() { Vec::new() } else { graph::variables(self.params(), flat, &self.device)? };
        Ok(Weights { flat: flat.to_vec(), vars })
    }

    /// Mean cross-entropy of a batch, and its gradient into `grad`. `x` holds an example after the other, each
    /// `[channels, height, width]`.
    ///
    /// # Errors
    /// If the batch is empty, a length or a label is wrong, or the device fails. Values that aren't finite are no
    /// error: they show in the loss and the gradient.
    pub fn loss_and_grad(&self, w: &Weights, x: &[f32], labels: &[u32], grad: &mut [f32]) -> Result<f32> {
        self.check(x, labels.len())?;
        same_length("the gradient", self.num_params(), grad.len())?;
        if labels.is_empty() {
            return Err(Error::EmptyBatch);
        }
        let classes = self.classes();
        if let Some(index) = labels.iter().position(|&label| label as usize >= classes) {
            return Err(Error::Label { index, label: labels[index], classes });
        }
        if !w.vars.is_empty() {
            return self.graph_loss_and_grad(&w.vars, x, labels, grad);
        }
        Ok(with_workspace(|ws| loss_and_grad(&self.net, &w.flat, x, labels, grad, ws)) as f32)
    }

    /// Logits of `n` examples, a row of [`classes`](Self::classes) each.
    ///
    /// # Errors
    /// If `x` doesn't hold `n` examples, or the device fails.
    pub fn logits(&self, w: &Weights, x: &[f32], n: usize) -> Result<Vec<f32>> {
        self.check(x, n)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        if !w.vars.is_empty() {
            let logits = graph::forward(&self.layers, &w.vars, &self.batch(x, n)?)?;
            return Ok(logits.flatten_all()?.to_vec1()?);
        }
        let (features, classes) = (self.features(), self.classes());
        let batch = EVAL_BATCH.min(self.net.micro_batch);
        let mut logits = vec![0.0; n * classes];
        let run = |(x, out): (&[f32], &mut [f32])| {
            let n = out.len() / classes;
            with_workspace(|ws| {
                self.net.forward(&w.flat, x, n, ws);
                out.copy_from_slice(self.net.logits(n, ws));
            });
        };
        if n <= batch {
            run((x, &mut logits));
        } else {
            x.par_chunks(batch * features).zip(logits.par_chunks_mut(batch * classes)).for_each(run);
        }
        Ok(logits)
    }

    /// Writes weights as safetensors, a tensor a parameter.
    ///
    /// # Errors
    /// If the vector has another length or the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>, flat: &[f32]) -> Result<()> {
        let path = path.as_ref();
        same_length("the weight vector", self.num_params(), flat.len())?;
        let failed = |source| Error::SafeTensors { path: path.to_owned(), source };
        let bytes: Vec<u8> = flat.iter().flat_map(|x| x.to_le_bytes()).collect();
        let views = self.params().iter().map(|p| {
            let range = p.range();
            let view = TensorView::new(Dtype::F32, p.shape.clone(), &bytes[4 * range.start..4 * range.end])?;
            Ok((p.name.as_str(), view))
        });
        let views = views.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let file = safetensors::serialize(views, None).map_err(failed)?;
        std::fs::write(path, file).map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
    }

    /// Reads weights that [`save`](Self::save), or anyone with the same names and shapes, wrote; other tensors in the
    /// file are ignored.
    ///
    /// # Errors
    /// If the file can't be read, isn't safetensors, or lacks a parameter with the right shape in f32.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Vec<f32>> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })?;
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|source| Error::SafeTensors { path: path.to_owned(), source })?;
        let mut flat = Vec::with_capacity(self.num_params());
        for param in self.params() {
            let view = tensors.tensor(&param.name).ok();
            match view {
                Some(view) if view.dtype() == Dtype::F32 && view.shape() == param.shape => {
                    flat.extend(view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)));
                }
                other => {
                    let found =
                        other.map_or("missing".to_owned(), |view| format!("{:?} {:?}", view.dtype(), view.shape()));
                    let (tensor, expected) = (param.name.clone(), param.shape.clone());
                    return Err(Error::Tensor { path: path.to_owned(), tensor, expected, found });
                }
            }
        }
        Ok(flat)
    }

    fn check(&self, x: &[f32], n: usize) -> Result<()> {
        same_length("the batch", n.saturating_mul(self.features()), x.len())
    }

    fn batch(&self, x: &[f32], n: usize) -> Result<Tensor> {
        let [channels, height, width] = self.input;
        Ok(Tensor::from_slice(x, (n, channels, height, width), &self.device)?)
    }

    fn graph_loss_and_grad(&self, vars: &[(String, Var)], x: &[f32], labels: &[u32], grad: &mut [f32]) -> Result<f32> {
        let logits = graph::forward(&self.layers, vars, &self.batch(x, labels.len())?)?;
        let loss = graph::loss(&logits, labels)?;
        let grads = loss.backward()?;
        for (param, (_, var)) in self.params().iter().zip(vars) {
            let to = &mut grad[param.range()];
            match grads.get(var.as_tensor()) {
                Some(g) => to.copy_from_slice(&g.flatten_all()?.to_vec1::<f32>()?),
                None => to.fill(0.0),
            }
        }
        Ok(loss.to_scalar()?)
    }
}

/// Mean loss and gradient, pass by pass: the cut into passes depends on the network alone.
fn loss_and_grad<T: crate::matmul::Real>(
    net: &Net,
    w: &[T],
    x: &[T],
    labels: &[u32],
    grad: &mut [T],
    ws: &mut Workspace<T>,
) -> f64 {
    let scale = 1.0 / labels.len() as f64;
    let mut total = 0.0;
    let passes = x.chunks(net.micro_batch * net.features).zip(labels.chunks(net.micro_batch));
    for (i, (x, labels)) in passes.enumerate() {
        net.forward(w, x, labels.len(), ws);
        total += net.loss(labels, scale, ws);
        net.backward(w, labels.len(), ws, grad, i > 0);
    }
    total * scale
}

thread_local! {
    static WORKSPACE: RefCell<Workspace<f32>> = RefCell::default();
}

/// Runs with this thread's workspace, which stays allocated for the thread's next call.
fn with_workspace<R>(run: impl FnOnce(&mut Workspace<f32>) -> R) -> R {
    WORKSPACE.with(|cell| match cell.try_borrow_mut() {
        Ok(mut ws) => run(&mut ws),
        // Never while `run` stays on its thread, as it does today.
        Err(_) => run(&mut Workspace::default()),
    })
}

#[cfg(test)]
#[path = "vision_test.rs"]
mod test;
