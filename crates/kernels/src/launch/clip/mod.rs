//! Clipping on a runtime: the Rust twins on a CPU, `clip.cu` elsewhere, with the same bits.

mod layers;

pub use layers::{channel_gradients, embedding_squared_norms, embedding_weighted_sum};

use super::{Arg, Buf, KernelId, Launch, Runtime, Shape, start};
use crate::clip::ghost::{self, LinearShape, NormMethod};
use crate::clip::sums::{CHUNK, chunks};
use crate::clip::tile::SIDE;
use crate::clip::{Clipper, Factors, Finish, mismatch};
use crate::device::DeviceError;
use crate::{Error, Result};

const THREADS: u32 = 256;

fn elsewhere(rt: &Runtime) -> Error {
    DeviceError::Elsewhere { device: rt.device() }.into()
}

fn host<'a>(rt: &Runtime, buffer: &'a Buf<f32>) -> Result<&'a [f32]> {
    buffer.host().ok_or_else(|| elsewhere(rt))
}

/// A warp, a thread or a block of [`THREADS`] for each of `items`.
fn shape(launcher: &dyn Launch, items: usize, threads_each: u32) -> Shape {
    Shape::of(items as u64 * threads_each as u64, THREADS, launcher.many_blocks())
}

impl Clipper {
    /// [`Self::accumulate`] on the runtime's device, and [`Self::finish`] with `finish`.
    ///
    /// # Errors
    /// As there; a buffer of another device; what the driver reports.
    pub fn run(&self, rt: &Runtime, g: &Buf<f32>, sum: &mut Buf<f32>, finish: Option<&Finish>) -> Result<Factors> {
        rt.check(g)?;
        rt.check(sum)?;
        let Some(launcher) = rt.launcher() else {
            let (g, sum) = (host(rt, g)?, sum.host_mut().ok_or_else(|| elsewhere(rt))?);
            return match finish {
                Some(finish) => self.finish(g, sum, finish),
                None => self.accumulate(g, sum),
            };
        };
        let rows = self.rows(g.len(), sum.len())?;
        if let Some(finish) = finish {
            self.check_finish(finish)?;
        }
        let (columns, layers) = (self.columns() as u64, self.layers().len());
        let list = chunks(self.layers());
        let words = list.iter().flat_map(|c| [c.start, c.len, c.layer, c.layer_start].map(|at| at as u64)).collect();
        let device_chunks = rt.take(words)?;
        let count = list.len() as u64;
        let mut starts = vec![0_u64];
        for row in 0..rows as u64 {
            let mut at = row * count;
            for columns in self.layers() {
                at += columns.div_ceil(CHUNK) as u64;
                starts.push(at);
            }
        }
        let (mut partial, starts) = (rt.zeros::<f64>(rows * list.len())?, rt.take(starts)?);
        let (mut squared, mut factors) = (rt.zeros::<f64>(rows * layers)?, rt.zeros::<f32>(rows * layers)?);
        let bounds = rt.upload(self.bounds())?;
        if rows > 0 {
            let args = [
                g.into(),
                (rows as u64).into(),
                columns.into(),
                (&device_chunks).into(),
                count.into(),
                (&mut partial).into(),
            ];
            // SAFETY: g holds rows × columns, the chunks lie within a row, `partial` holds rows × chunks; all of `rt`.
            unsafe { start(launcher, KernelId::ClipSquares, shape(launcher, rows * list.len(), 32), args)? };
            reduce(rt, launcher, &partial, &starts, &mut squared)?;
            let (code, constant) = self.rule().code();
            let args = [
                (&squared).into(),
                (rows as u64).into(),
                (layers as u64).into(),
                code.into(),
                constant.into(),
                (&bounds).into(),
                (&mut factors).into(),
            ];
            // SAFETY: norms and factors are rows × layers, the bounds one a layer; all of `rt`.
            unsafe { start(launcher, KernelId::ClipFactors, shape(launcher, rows, 1), args)? };
        }
        let key = rt.upload(&finish.map_or([0; 8], |finish| finish.noise.key().device_words()))?;
        let (param, step) = finish.map_or((0, 0), |finish| finish.noise.coordinates());
        let args = [
            g.into(),
            (rows as u64).into(),
            columns.into(),
            (&device_chunks).into(),
            count.into(),
            (layers as u64).into(),
            (&factors).into(),
            sum.into(),
            (finish.is_some() as u32).into(),
            (&key).into(),
            param.into(),
            step.into(),
            finish.map_or(0, |finish| finish.noise.flags()).into(),
            finish.map_or(0.0, |finish| finish.scale).into(),
            finish.map_or(1.0, |finish| finish.divisor).into(),
        ];
        // SAFETY: as above; `sum` holds a row, the key eight words.
        unsafe { start(launcher, KernelId::ClipAccumulate, shape(launcher, list.len(), THREADS), args)? };
        Ok(self.counted(squared.into_vec()?, factors.into_vec()?))
    }
}

fn reduce(
    _rt: &Runtime,
    launcher: &dyn Launch,
    partial: &Buf<f64>,
    starts: &Buf<u64>,
    squared: &mut Buf<f64>,
) -> Result<()> {
    let count = squared.len();
    let args = [partial.into(), starts.into(), (count as u64).into(), squared.into()];
    // SAFETY: `starts` holds count + 1 places within `partial`; all of one runtime.
    unsafe { start(launcher, KernelId::ClipReduce, shape(launcher, count, 32), args) }
}

/// Sums of `each` partial results for each of `samples`.
fn reduce_even(
    rt: &Runtime,
    launcher: &dyn Launch,
    partial: &Buf<f64>,
    samples: usize,
    each: usize,
) -> Result<Vec<f64>> {
    let starts = rt.take((0..=samples as u64).map(|at| at * each as u64).collect())?;
    let mut squared = rt.zeros(samples)?;
    reduce(rt, launcher, partial, &starts, &mut squared)?;
    squared.into_vec()
}

/// [`ghost::linear_squared_norms`] on the runtime's device.
///
/// # Errors
/// As there; a buffer of another device; what the driver reports.
pub fn linear_squared_norms(
    rt: &Runtime,
    linear: LinearShape,
    a: &Buf<f32>,
    b: &Buf<f32>,
    method: NormMethod,
) -> Result<Vec<f64>> {
    rt.check(a)?;
    rt.check(b)?;
    let Some(launcher) = rt.launcher() else {
        return ghost::linear_squared_norms(linear, host(rt, a)?, host(rt, b)?, method);
    };
    linear.check(a.len(), b.len())?;
    if linear.samples == 0 {
        return Ok(Vec::new());
    }
    let gram = linear.resolve(method) == NormMethod::Gram;
    if gram && linear.positions == 1 {
        let (a, b) = (squared_norms(rt, a, linear.inputs)?, squared_norms(rt, b, linear.outputs)?);
        return Ok(a.iter().zip(&b).map(|(a, b)| a * b).collect());
    }
    let tiles = |width: usize| width.div_ceil(SIDE);
    let (kernel, each) = if gram {
        (KernelId::ClipGram, tiles(linear.positions).pow(2))
    } else {
        (KernelId::ClipExplicit, tiles(linear.inputs) * tiles(linear.outputs))
    };
    let mut partial = rt.zeros::<f64>(linear.samples * each)?;
    let [samples, positions, inputs, outputs] = dimensions(linear);
    let args = [a.into(), b.into(), samples, positions, inputs, outputs, (&mut partial).into()];
    // SAFETY: a and b have their shapes, `partial` a place a tile; all of `rt`.
    unsafe { start(launcher, kernel, shape(launcher, linear.samples * each, THREADS), args)? };
    reduce_even(rt, launcher, &partial, linear.samples, each)
}

fn dimensions(linear: LinearShape) -> [Arg; 4] {
    [linear.samples, linear.positions, linear.inputs, linear.outputs].map(|size| (size as u64).into())
}

/// [`ghost::linear_weighted_sum`] on the runtime's device.
///
/// # Errors
/// As there; a buffer of another device; what the driver reports.
pub fn linear_weighted_sum(
    rt: &Runtime,
    linear: LinearShape,
    a: &Buf<f32>,
    b: &Buf<f32>,
    factors: &[f32],
    sum: &mut Buf<f32>,
) -> Result<()> {
    rt.check(a)?;
    rt.check(b)?;
    rt.check(sum)?;
    let Some(launcher) = rt.launcher() else {
        let sum = sum.host_mut().ok_or_else(|| elsewhere(rt))?;
        return ghost::linear_weighted_sum(linear, host(rt, a)?, host(rt, b)?, factors, sum);
    };
    linear.check(a.len(), b.len())?;
    if factors.len() != linear.samples {
        return Err(mismatch("the factors", factors.len(), "the examples", linear.samples));
    }
    if sum.len() != linear.outputs * linear.inputs {
        return Err(mismatch("the sum", sum.len(), "outputs x inputs", linear.outputs * linear.inputs));
    }
    let factors = rt.upload(factors)?;
    let tiles = linear.inputs.div_ceil(SIDE) * linear.outputs.div_ceil(SIDE);
    let [samples, positions, inputs, outputs] = dimensions(linear);
    let args = [a.into(), b.into(), (&factors).into(), samples, positions, inputs, outputs, sum.into()];
    // SAFETY: a, b, factors and `sum` have the shapes checked above; all of `rt`.
    unsafe { start(launcher, KernelId::ClipLinear, shape(launcher, tiles, THREADS), args) }
}

/// [`ghost::squared_norms`] on the runtime's device.
///
/// # Errors
/// As there; a buffer of another device; what the driver reports.
pub fn squared_norms(rt: &Runtime, g: &Buf<f32>, columns: usize) -> Result<Vec<f64>> {
    rt.check(g)?;
    let Some(launcher) = rt.launcher() else { return ghost::squared_norms(host(rt, g)?, columns) };
    if columns == 0 || !g.len().is_multiple_of(columns) {
        let whole = g.len().checked_div(columns).unwrap_or(0) * columns;
        return Err(mismatch("the gradients", g.len(), "whole rows", whole));
    }
    let rows = g.len() / columns;
    if rows == 0 {
        return Ok(Vec::new());
    }
    let list = chunks(&[columns]);
    let words = list.iter().flat_map(|c| [c.start, c.len, c.layer, c.layer_start].map(|at| at as u64)).collect();
    let (device_chunks, mut partial) = (rt.take(words)?, rt.zeros::<f64>(rows * list.len())?);
    let args = [
        g.into(),
        (rows as u64).into(),
        (columns as u64).into(),
        (&device_chunks).into(),
        (list.len() as u64).into(),
        (&mut partial).into(),
    ];
    // SAFETY: g holds rows × columns, the chunks lie within a row, `partial` holds rows × chunks; all of `rt`.
    unsafe { start(launcher, KernelId::ClipSquares, shape(launcher, rows * list.len(), 32), args)? };
    reduce_even(rt, launcher, &partial, rows, list.len())
}
