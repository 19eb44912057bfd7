//! Loops compiled for the vector instructions that this machine has.

/// Whether `a·b + c` is one rounding.
///
/// Without the instruction `mul_add` would be a call into the C library.
#[inline(always)]
pub(super) fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Compiles the `#[inline(always)]` generic function `$body::<$($generic,)* FMA>` for every level and calls the best one.
///
/// The bodies are plain loops that the compiler vectorises.
macro_rules! vectorised {
    ($body:ident::<$($generic:ident : $bound:path),*>($($name:ident : $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512<$($generic: $bound),*>($($name: $type),*) {
                $body::<$($generic,)* true>($($name),*);
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$($generic: $bound),*>($($name: $type),*) {
                $body::<$($generic,)* true>($($name),*);
            }
            match $crate::lm::ops::simd::level() {
                // SAFETY: `level` has found these instructions on this machine.
                $crate::lm::ops::simd::Level::Avx512 => unsafe { avx512::<$($generic),*>($($name),*) },
                // SAFETY: as above.
                $crate::lm::ops::simd::Level::Avx2 => unsafe { avx2::<$($generic),*>($($name),*) },
                $crate::lm::ops::simd::Level::Scalar => $body::<$($generic,)* false>($($name),*),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        $body::<$($generic,)* false>($($name),*)
    }};
}
pub(super) use vectorised;

#[cfg(target_arch = "x86_64")]
pub(super) use ashlar_kernels::simd::Level;

/// What the kernels use on this thread, where there is a fused multiply-add as well.
#[cfg(target_arch = "x86_64")]
pub(super) fn level() -> Level {
    if is_x86_feature_detected!("fma") { ashlar_kernels::simd::level() } else { Level::Scalar }
}
