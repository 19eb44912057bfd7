//! Products of matrices on all threads, in parts fixed by the shape: the same bits for any number of threads.

use candle_core::{CpuStorage, Layout, Storage, WithDType};
use rayon::prelude::*;

use crate::matmul::{Real, Shape, matmul};

/// f32 or f64 in a tensor.
pub(in crate::lm) trait Element: Real + WithDType {}
impl Element for f32 {}
impl Element for f64 {}

/// The elements of a contiguous tensor on a CPU.
pub(in crate::lm) fn elements<'a, T: WithDType>(
    storage: &'a CpuStorage,
    layout: &Layout,
) -> candle_core::Result<&'a [T]> {
    let all = T::cpu_storage_as_slice(storage)?;
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&all[from..to]),
        None => candle_core::bail!("a tensor of strides {:?} isn't contiguous", layout.stride()),
    }
}

/// The same of a tensor's storage.
pub(in crate::lm) fn on_cpu<'a, T: WithDType>(storage: &'a Storage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    match storage {
        Storage::Cpu(storage) => elements(storage, layout),
        _ => candle_core::bail!("the tensor isn't on a CPU"),
    }
}

/// Multiplications below which one thread is faster.
const SMALL: usize = 1 << 18;

/// Rows in a part of `rows`.
fn part(rows: usize) -> usize {
    // Every part packs the other operand again, which a hundred rows pay for.
    let rows = if rows < 256 { rows.div_ceil(2) } else { rows.div_ceil(16).max(128) };
    rows.next_multiple_of(16)
}

/// a·b + bias, row-major; the bias is one row.
pub(in crate::lm) fn product<T: Real>(a: (&[T], Shape), b: (&[T], Shape), bias: Option<&[T]>) -> Vec<T> {
    let (rows, cols) = (a.1.rows(), b.1.cols());
    let mut dst = match bias {
        Some(bias) => bias.repeat(rows),
        None => vec![T::default(); rows * cols],
    };
    product_into(&mut dst, bias.is_some(), a, b);
    dst
}

/// `dst = a·b`, or `dst += a·b` with `accumulate`, row-major.
pub(in crate::lm) fn product_into<T: Real>(dst: &mut [T], accumulate: bool, a: (&[T], Shape), b: (&[T], Shape)) {
    let ((a, sa), (b, sb)) = (a, b);
    let (rows, cols) = (sa.rows(), sb.cols());
    if rows == 0 || cols == 0 {
        return;
    }
    if rows * cols * sa.cols() < SMALL {
        matmul((dst, Shape::row_major(rows, cols)), accumulate, (a, sa), (b, sb));
        return;
    }
    if rows >= 256 || rows >= cols {
        let part = part(rows);
        dst.par_chunks_mut(part * cols).enumerate().for_each(|(i, dst)| {
            let n = dst.len() / cols;
            let (offset, shape) = sa.some_rows(i * part, n);
            matmul((dst, Shape::row_major(n, cols)), accumulate, (&a[offset..], shape), (b, sb));
        });
        return;
    }
    // Few rows: parts are columns, put together afterwards.
    let part = part(cols);
    let parts: Vec<Vec<T>> = (0..cols.div_ceil(part))
        .into_par_iter()
        .map(|i| {
            let n = part.min(cols - i * part);
            let mut dst = vec![T::default(); rows * n];
            let (offset, shape) = sb.some_cols(i * part, n);
            matmul((&mut dst, Shape::row_major(rows, n)), false, (a, sa), (&b[offset..], shape));
            dst
        })
        .collect();
    for (row, dst) in dst.chunks_exact_mut(cols).enumerate() {
        for (part, dst) in parts.iter().zip(dst.chunks_mut(part)) {
            let part = &part[row * dst.len()..][..dst.len()];
            if accumulate {
                dst.iter_mut().zip(part).for_each(|(dst, x)| *dst += *x);
            } else {
                dst.copy_from_slice(part);
            }
        }
    }
}

/// Sum of the rows of x `[.., width]`, in their order.
pub(in crate::lm) fn sum_rows<T: Real>(x: &[T], width: usize) -> Vec<T> {
    let mut sum = vec![T::default(); width];
    for row in x.chunks_exact(width) {
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += *x;
        }
    }
    sum
}
