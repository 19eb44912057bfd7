//! Logarithm, sine and cosine whose bits are the same on every machine: polynomials in f32, products and sums rounded one
//! by one, in Horner's order. `kernels/noise.cuh` has the same coefficients, which a test compares.
//!
//! Uniforms are n · 2⁻²⁴ with n odd and below 2²⁴, which f32 holds exactly. Over all 2²³ of them the errors against f64 are
//! at most 0.85 ulp (logarithm) and 1.69 ulp (sine and cosine). The coefficients are near-minimax fits (Lawson's
//! iteration on Chebyshev points), rounded to f32.

/// ln(1 + f) = f − f²/2 + f³·P(f) on [√½ − 1, √2 − 1]; the constant term first.
pub(super) const LN: [u32; 9] = [
    0x3eaa_aaa4,
    0xbe80_0003,
    0x3e4c_d25b,
    0xbe2a_ae27,
    0x3e11_9bb3,
    0xbdfe_1104,
    0x3df3_7842,
    0xbdef_1e10,
    0x3d8a_2bbe,
];
/// sin 2πr = r·S(r²) on |r| ≤ 1/8.
pub(super) const SIN: [u32; 5] = [0x40c9_0fdb, 0xc225_5de7, 0x42a3_35dd, 0xc299_654f, 0x4225_e44d];
/// cos 2πr = 1 + r²·C(r²) on |r| ≤ 1/8.
pub(super) const COS: [u32; 5] = [0xc19d_e9e6, 0x4281_e0f8, 0xc2aa_e9de, 0x4270_f42e, 0xc1d0_8431];
/// ln 2 in two parts; eight bits times the first is exact.
pub(super) const LN2: [u32; 2] = [0x3f31_8000, 0xb95e_8083];
/// √½, rounded down: where a mantissa is halved.
pub(super) const SQRT_HALF: u32 = 0x3f35_04f3;

const UNIT: f32 = 1.0 / 16_777_216.0;

#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[u32; N], x: f32) -> f32 {
    let mut sum = f32::from_bits(coefficients[N - 1]);
    for at in (0..N - 1).rev() {
        sum = sum * x + f32::from_bits(coefficients[at]);
    }
    sum
}

/// The odd numerator of a word's uniform.
#[inline(always)]
pub(super) fn numerator(word: u32) -> u32 {
    word >> 9 << 1 | 1
}

/// ln(n · 2⁻²⁴).
#[inline(always)]
pub(super) fn ln_uniform(n: u32) -> f32 {
    let bits = (n as i32 as f32 * UNIT).to_bits();
    let exponent = bits.wrapping_sub(SQRT_HALF) as i32 >> 23;
    let f = f32::from_bits(bits.wrapping_sub((exponent << 23) as u32)) - 1.0;
    let e = exponent as f32;
    let z = f * f;
    let mut y = f * z * polynomial(&LN, f);
    y += e * f32::from_bits(LN2[1]);
    y -= 0.5 * z;
    (f + y) + e * f32::from_bits(LN2[0])
}

/// cos and sin of 2πn · 2⁻²⁴: by the nearest quarter turn.
#[inline(always)]
pub(super) fn cos_sin_turns(n: u32) -> (f32, f32) {
    let quarter = (n + (1 << 21)) >> 22;
    let r = n.wrapping_sub(quarter << 22) as i32 as f32 * UNIT;
    let z = r * r;
    let sin = (r * polynomial(&SIN, z)).to_bits();
    let cos = (z * polynomial(&COS, z) + 1.0).to_bits();
    let odd = (quarter & 1).wrapping_neg();
    let swap = (sin ^ cos) & odd;
    let cos_sign = (quarter + 1) << 30 & 0x8000_0000;
    let sin_sign = quarter << 30 & 0x8000_0000;
    (f32::from_bits(cos ^ swap ^ cos_sign), f32::from_bits(sin ^ swap ^ sin_sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ulps(got: f32, exact: f64) -> f64 {
        let near = (exact as f32).abs();
        (got as f64 - exact).abs() / (near.next_up() - near) as f64
    }

    #[test]
    fn every_uniform_within_two_ulp() {
        for n in (1..1_u32 << 24).step_by(2) {
            let exact = (n as f64 / 16_777_216.0).ln();
            assert!(ulps(ln_uniform(n), exact) <= 2.0, "ln of {n}");
            if n % 7 == 0 {
                // The turn's remainder is exact; f64's own sine is then far better than 2 ulp of f32.
                let quarter = (n + (1 << 21)) >> 22;
                let r = (n as i64 - ((quarter as i64) << 22)) as f64 / 16_777_216.0 * std::f64::consts::TAU;
                let (sin, cos) = match quarter % 4 {
                    0 => (r.sin(), r.cos()),
                    1 => (r.cos(), -r.sin()),
                    2 => (-r.sin(), -r.cos()),
                    _ => (-r.cos(), r.sin()),
                };
                let got = cos_sin_turns(n);
                assert!(ulps(got.0, cos) <= 2.0 && ulps(got.1, sin) <= 2.0, "turn {n}: {got:?}, {cos} {sin}");
            }
        }
    }

    #[test]
    fn the_kernels_have_these_coefficients() {
        let header = include_str!("../../kernels/noise.cuh");
        for (name, values) in
            [("LN", &LN[..]), ("SIN", &SIN), ("COS", &COS), ("LN2", &LN2), ("SQRT_HALF", &[SQRT_HALF])]
        {
            let list = values.iter().map(|value| format!("{value:#010x}u")).collect::<Vec<_>>().join(", ");
            let line = format!("{name} = ");
            let found = header.lines().find(|text| text.contains(&format!("/* {name} */"))).unwrap_or(&line);
            assert!(found.contains(&list), "kernels/noise.cuh: {name} must hold {list}, not `{found}`");
        }
    }
}
