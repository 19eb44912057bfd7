//! The normal distribution through the scaled complementary error function.
//!
//! erf and erfcx by W. J. Cody's rational approximations (Mathematics of Computation 23, 1969), whose own error is below
//! 6e-19. A tail is erfcx times e^(−x²/2), or their logarithms' sum: nothing underflows that is asked for as a logarithm.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};

use super::HALF_LN_2PI;

const SQRT_2PI: f64 = 2.506_628_274_631_000_5;
/// √(π/2): Mills' ratio at 0.
const SQRT_HALF_PI: f64 = 1.253_314_137_315_500_3;

/// Cody's region of erf itself.
const SMALL: f64 = 0.46875;

/// Numerator and denominator of erf(x)/x in x², |x| ≤ 0.46875, highest power first.
const ERF: ([f64; 5], [f64; 5]) = (
    [
        1.857_777_061_846_031_5e-1,
        3.161_123_743_870_565_6,
        1.138_641_541_510_501_6e2,
        3.774_852_376_853_02e2,
        3.209_377_589_138_469_5e3,
    ],
    [1.0, 2.360_129_095_234_412_1e1, 2.440_246_379_344_441_7e2, 1.282_616_526_077_372_3e3, 2.844_236_833_439_171e3],
);

/// erfcx(x), 0.46875 ≤ x ≤ 4.
const MIDDLE: ([f64; 9], [f64; 9]) = (
    [
        2.153_115_354_744_038_5e-8,
        5.641_884_969_886_701e-1,
        8.883_149_794_388_376,
        6.611_919_063_714_163e1,
        2.986_351_381_974_001e2,
        8.819_522_212_417_69e2,
        1.712_047_612_634_070_6e3,
        2.051_078_377_826_071_5e3,
        1.230_339_354_797_997_2e3,
    ],
    [
        1.0,
        1.574_492_611_070_983_5e1,
        1.176_939_508_913_125e2,
        5.371_811_018_620_099e2,
        1.621_389_574_566_690_2e3,
        3.290_799_235_733_459_6e3,
        4.362_619_090_143_247e3,
        3.439_367_674_143_721_6e3,
        1.230_339_354_803_749_4e3,
    ],
);

/// What erfcx(x)·x lacks of 1/√π, over 1/x², in 1/x², x ≥ 4.
const FAR: ([f64; 6], [f64; 6]) = (
    [
        1.631_538_713_730_209_8e-2,
        3.053_266_349_612_323_4e-1,
        3.603_448_999_498_044_4e-1,
        1.257_817_261_112_292_5e-1,
        1.608_378_514_874_228e-2,
        6.587_491_615_298_378e-4,
    ],
    [
        1.0,
        2.568_520_192_289_822,
        1.872_952_849_923_467_3,
        5.279_051_029_514_284e-1,
        6.051_834_131_244_132e-2,
        2.335_204_976_268_691_8e-3,
    ],
);

fn ratio<const N: usize>((above, below): &([f64; N], [f64; N]), x: f64) -> f64 {
    let value = |c: &[f64; N]| c.iter().fold(0.0, |acc, c| acc * x + c);
    value(above) / value(below)
}

/// erf(x), |x| ≤ 0.46875.
fn erf_small(x: f64) -> f64 {
    x * ratio(&ERF, x * x)
}

/// erfcx(x), x ≥ 0.46875.
fn erfcx_large(x: f64) -> f64 {
    if x <= 4.0 {
        return ratio(&MIDDLE, x);
    }
    let square = 1.0 / (x * x);
    (1.0 / PI.sqrt() - square * ratio(&FAR, square)) / x
}

/// e^(−x²·scale) with x² split, so that its rounding error does not grow with x².
fn exp_square(x: f64, scale: f64) -> f64 {
    let head = (x * 16.0).trunc() / 16.0;
    if !head.is_finite() {
        return if scale > 0.0 { 0.0 } else { f64::INFINITY };
    }
    (-head * head * scale).exp() * (-(x - head) * (x + head) * scale).exp()
}

/// The complementary error function 1 − erf(x): 2 at −∞, 0 from 26.6 on.
pub fn erfc(x: f64) -> f64 {
    if x.abs() <= SMALL {
        1.0 - erf_small(x)
    } else if x < 0.0 {
        2.0 - erfc(-x)
    } else if x > 28.0 {
        0.0
    } else {
        erfcx_large(x) * exp_square(x, 1.0)
    }
}

/// The scaled complementary error function e^(x²)·erfc(x): about 1/(x√π) far right, +∞ below −26.6.
pub fn erfcx(x: f64) -> f64 {
    if x.abs() <= SMALL {
        (x * x).exp() * (1.0 - erf_small(x))
    } else if x < -27.0 {
        f64::INFINITY
    } else if x < 0.0 {
        2.0 * exp_square(x, -1.0) - erfcx_large(-x)
    } else {
        erfcx_large(x)
    }
}

/// Mills' ratio (1 − Φ(x)) / φ(x): about 1/x far right, +∞ far left.
pub(crate) fn mills(x: f64) -> f64 {
    SQRT_HALF_PI * erfcx(x * FRAC_1_SQRT_2)
}

/// φ(x) = e^(−x²/2)/√2π.
pub fn normal_pdf(x: f64) -> f64 {
    exp_square(x, 0.5) / SQRT_2PI
}

/// Φ(x) = P[Z ≤ x].
pub fn normal_cdf(x: f64) -> f64 {
    normal_sf(-x)
}

/// 1 − Φ(x) = P\[Z > x\], relatively accurate far right; 0 from 38.6 on (see [`ln_normal_cdf`]).
pub fn normal_sf(x: f64) -> f64 {
    let y = x * FRAC_1_SQRT_2;
    if y.abs() <= SMALL {
        0.5 - 0.5 * erf_small(y)
    } else if x < 0.0 {
        1.0 - normal_sf(-x)
    } else if x > 40.0 {
        0.0
    } else {
        0.5 * erfcx_large(y) * exp_square(x, 0.5)
    }
}

/// ln Φ(x), without underflow: about −x²/2 − ln(−x√2π) far left, where Φ itself is 0.
pub fn ln_normal_cdf(x: f64) -> f64 {
    if x > -0.6 {
        if x > 0.0 { (-normal_sf(x)).ln_1p() } else { normal_cdf(x).ln() }
    } else if x.is_infinite() {
        f64::NEG_INFINITY
    } else {
        (0.5 * erfcx(-x * FRAC_1_SQRT_2)).ln() - 0.5 * x * x
    }
}

/// Φ⁻¹(p): −∞ at 0, ∞ at 1, NaN outside.
pub fn normal_quantile(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        f64::NAN
    } else if p > 0.75 {
        // 1 − p is exact here.
        -quantile_of_tail((1.0 - p).ln())
    } else if p < 0.25 {
        quantile_of_tail(p.ln())
    } else {
        quantile_central(p - 0.5)
    }
}

/// Φ⁻¹(eˡ) for l ≤ 0: the quantile of a probability too small, or too near 1, to be a number itself.
pub fn normal_quantile_ln(ln_p: f64) -> f64 {
    if ln_p.is_nan() || ln_p > 0.0 {
        f64::NAN
    } else if ln_p < -2.0 * LN_2 {
        quantile_of_tail(ln_p)
    } else if ln_p < -0.287_682_072_451_780_9 {
        // e^l − ½, with the digits of ln 2 that LN_2 lacks.
        quantile_central(0.5 * ((ln_p + LN_2) + 2.319_046_813_846_299_6e-17).exp_m1())
    } else {
        -quantile_of_tail((-ln_p.exp_m1()).ln())
    }
}

/// x with Φ(x) − ½ = q, |q| ≤ ¼: the series of the inverse, then Halley's steps.
fn quantile_central(q: f64) -> f64 {
    let w = q * SQRT_2PI;
    let s = w * w;
    let mut x = w * (1.0 + s * (1.0 / 6.0 + s * (7.0 / 120.0 + s * (127.0 / 5040.0))));
    for _ in 0..2 {
        let y = x * FRAC_1_SQRT_2;
        let half =
            if y.abs() <= SMALL { 0.5 * erf_small(y) } else { 0.5_f64.copysign(x) - normal_sf(x.abs()).copysign(x) };
        let step = (half - q) / normal_pdf(x);
        x -= step / (1.0 + 0.5 * x * step);
    }
    x
}

/// x with ln Φ(x) = l, l ≤ ln ¼: Hastings' approximation (Abramowitz and Stegun 26.2.23), then Halley's steps on ln Φ.
fn quantile_of_tail(l: f64) -> f64 {
    if l == f64::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    let t = (-2.0 * l).sqrt();
    let above = 2.515517 + t * (0.802853 + t * 0.010328);
    let below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308));
    let mut x = if t < 40.0 { above / below - t } else { -(t * t - 2.0 * (t.ln() + HALF_LN_2PI)).sqrt() };
    for _ in 0..4 {
        // g = ln Φ, g′ = φ/Φ = 1/mills(−x), g″ = −g′·(x + g′).
        let slope = 1.0 / mills(-x);
        let step = (ln_normal_cdf(x) - l) / slope;
        let halley = step / (1.0 + 0.5 * step * (x + slope));
        x -= halley;
        if halley.abs() <= 1e-16 * x.abs() {
            break;
        }
    }
    x
}
