//! Which vector instructions the kernels use: chosen at run time, forced in tests. Results never depend on it.

use std::cell::Cell;

/// A level of vector instructions; every level gives the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust.
    Scalar,
    /// AVX2 (x86-64).
    Avx2,
    /// AVX-512 F, BW, DQ and VL (x86-64).
    Avx512,
}

impl Level {
    /// The best that this machine has.
    pub fn detected() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt")
            {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
                return Self::Avx2;
            }
        }
        Self::Scalar
    }

    /// Every level that this machine has, the slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Scalar, Self::Avx2, Self::Avx512].into_iter().filter(|&level| level <= Self::detected())
    }

    /// `scalar`, `avx2` or `avx512`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

thread_local! {
    static FORCED: Cell<Option<Level>> = const { Cell::new(None) };
}

/// Runs `work` with the kernels called on this thread held to `level`, or to the machine's best if that is less.
///
/// The kernels' worker threads follow the thread that called them.
pub fn with_level<R>(level: Level, work: impl FnOnce() -> R) -> R {
    struct Restore(Option<Level>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    let _restore = Restore(FORCED.replace(Some(level.min(Level::detected()))));
    work()
}

/// The level that kernels called on this thread use.
pub fn level() -> Level {
    FORCED.get().unwrap_or_else(Level::detected)
}

/// Compiles the `#[inline(always)]` function `$body` for every level and calls the copy for `$level`.
///
/// The bodies are plain loops that the compiler vectorises; IEEE arithmetic in a fixed order gives the same bits in all.
macro_rules! vectorised {
    ($level:expr, $body:ident($($name:ident : $type:ty),* $(,)?) $(-> $result:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,popcnt")]
            fn avx512($($name: $type),*) $(-> $result)? {
                $body($($name),*)
            }
            #[target_feature(enable = "avx2,popcnt")]
            fn avx2($($name: $type),*) $(-> $result)? {
                $body($($name),*)
            }
            match $level {
                // SAFETY: a level is never above what was detected on this machine.
                $crate::simd::Level::Avx512 => unsafe { avx512($($name),*) },
                // SAFETY: as above.
                $crate::simd::Level::Avx2 => unsafe { avx2($($name),*) },
                $crate::simd::Level::Scalar => $body($($name),*),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = $level;
            $body($($name),*)
        }
    }};
}
pub(crate) use vectorised;
