//! Unpacking weights on a device beside the CPU.

use ashlar_kernels::dequant::{Float, Format, Group, Int4, Scale, ZeroPoint};
use ashlar_kernels::launch::Runtime;
use half::{bf16, f16};
use proptest::prelude::*;

use super::{bits_but_nan, lengths, next, on_every_level};

/// Every way to pack.
pub fn formats() -> impl Strategy<Value = Format> {
    let group = prop::sample::select(vec![Group::G32, Group::G64, Group::G128]);
    let scale = prop::sample::select(vec![Scale::F16, Scale::F32]);
    let zero_point = prop::sample::select(vec![ZeroPoint::Eight, ZeroPoint::Stored]);
    prop_oneof![
        3 => (group, scale, zero_point).prop_map(|(group, scale, zero_point)| Format::Int4(Int4 { group, scale, zero_point })),
        1 => Just(Format::Q8_0),
    ]
}

/// A format, a number of elements that it takes, any bytes of their length, and bytes before them.
pub fn packings() -> impl Strategy<Value = (Format, usize, Vec<u8>, usize)> {
    (formats(), lengths(), any::<u64>(), 0_usize..4).prop_map(|(format, n, mut seed, before)| {
        let n = if format == Format::Q8_0 { n.next_multiple_of(32) } else { n };
        let bytes = 16 * before + format.packed_bytes(n).expect("a length that works");
        (format, n, (0..bytes).map(|_| next(&mut seed) as u8).collect(), 16 * before)
    })
}

pub fn check_dequant(rt: &Runtime, format: Format, n: usize, packed: &[u8], from: usize) {
    check::<f32>(rt, format, n, packed, from, |x| x);
    check::<bf16>(rt, format, n, packed, from, bf16::to_f32);
    check::<f16>(rt, format, n, packed, from, f16::to_f32);
}

fn check<T: Float>(rt: &Runtime, format: Format, n: usize, packed: &[u8], from: usize, wide: fn(T) -> f32) {
    let plain = |out: &[T]| bits_but_nan(&out.iter().map(|&x| wide(x)).collect::<Vec<_>>());
    let expected = on_every_level(|| {
        let mut out = vec![T::default(); n];
        format.dequantise(&packed[from..], &mut out).expect("lengths that fit");
        plain(&out)
    });
    let mut out = rt.zeros::<T>(n).expect("memory");
    format.run_dequantise(rt, &rt.upload(packed).expect("upload"), from, &mut out).expect("lengths that fit");
    assert_eq!(plain(&out.to_vec().expect("download")), expected, "{format:?}");
}
