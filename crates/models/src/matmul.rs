//! Matrix products on slices: a checked border around the crate `gemm`, single-threaded.
//!
//! `gemm` picks its kernels at run time (AVX-512 with this crate's feature `fast-gemm`). One call runs on one thread:
//! whoever has several examples or clients spreads those.

use std::{
    iter::Sum,
    ops::{Add, AddAssign, Div, Mul, MulAssign, Sub},
};

/// f32, or f64 for the tests' finite differences.
pub trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + MulAssign
    + Sum
    + 'static
{
    /// 1.
    const ONE: Self;
    /// Nearest value.
    fn from_f64(x: f64) -> Self;
    /// Exact value.
    fn to_f64(self) -> f64;
    /// Whether it is no number.
    fn is_nan(self) -> bool;
}

impl Real for f32 {
    const ONE: Self = 1.0;
    fn from_f64(x: f64) -> Self {
        x as Self
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

impl Real for f64 {
    const ONE: Self = 1.0;
    fn from_f64(x: f64) -> Self {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
}

/// Shape and strides, in elements, of a matrix in a slice.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl Shape {
    /// Rows of `cols` elements one after the other.
    pub fn row_major(rows: usize, cols: usize) -> Self {
        Self { rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// Rows of `cols` elements, `row_stride` apart.
    pub fn strided(rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose of the same elements.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    /// Rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// Columns.
    pub fn cols(self) -> usize {
        self.cols
    }

    /// The `count` rows from `first`, and where they start in the slice.
    pub fn some_rows(self, first: usize, count: usize) -> (usize, Self) {
        (first * self.row_stride, Self { rows: count, ..self })
    }

    /// The `count` columns from `first`, and where they start in the slice.
    pub fn some_cols(self, first: usize, count: usize) -> (usize, Self) {
        (first * self.col_stride, Self { cols: count, ..self })
    }

    /// Elements from the first to the last, both counted.
    fn span(self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            return 0;
        }
        (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride + 1
    }

    /// Whether no two entries share an element.
    fn injective(self) -> bool {
        let (fine, coarse, len) = if self.col_stride <= self.row_stride {
            (self.col_stride, self.row_stride, self.cols)
        } else {
            (self.row_stride, self.col_stride, self.rows)
        };
        fine >= 1 && coarse >= fine * len
    }
}

/// `dst = a·b`, or `dst += a·b` with `accumulate`.
///
/// # Panics
/// If the shapes don't go together or a matrix reaches past its slice: a mistake of this crate, not of its caller.
pub fn matmul<T: Real>(dst: (&mut [T], Shape), accumulate: bool, a: (&[T], Shape), b: (&[T], Shape)) {
    let ((dst, d), (a, sa), (b, sb)) = (dst, a, b);
    assert!(d.rows == sa.rows && d.cols == sb.cols && sa.cols == sb.rows, "shapes {d:?} = {sa:?} · {sb:?}");
    assert!(d.span() <= dst.len() && sa.span() <= a.len() && sb.span() <= b.len(), "a matrix reaches past its slice");
    assert!(d.injective(), "entries of the destination overlap: {d:?}");
    // SAFETY: the spans just checked are the furthest elements that gemm touches from each pointer, with non-negative
    // strides; the destination is borrowed uniquely, so it overlaps neither operand, and its entries are distinct; all
    // slices are initialised. `T` is f32 or f64 (the only implementations of `Real`), which gemm supports. Strides are
    // below a slice's length and so fit an isize.
    unsafe {
        gemm::gemm(
            d.rows,
            d.cols,
            sa.cols,
            dst.as_mut_ptr(),
            d.col_stride as isize,
            d.row_stride as isize,
            accumulate,
            a.as_ptr(),
            sa.col_stride as isize,
            sa.row_stride as isize,
            b.as_ptr(),
            sb.col_stride as isize,
            sb.row_stride as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
