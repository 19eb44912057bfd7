//! Packed weights: oracle 11, what ggml and PyTorch make of them, the bounds of rounding, bad input.

use ashlar_kernels::dequant::{Format, Group, Int4, Scale, ZeroPoint};
use ashlar_kernels::launch::Runtime;
use half::{bf16, f16};
use proptest::prelude::*;

use super::common::{everywhere, noise};

fn int4(group: Group, scale: Scale, zero_point: ZeroPoint) -> Format {
    Format::Int4(Int4 { group, scale, zero_point })
}

fn formats() -> Vec<Format> {
    let mut formats = vec![Format::Q8_0];
    for group in [Group::G32, Group::G64, Group::G128] {
        for scale in [Scale::F16, Scale::F32] {
            formats.extend([ZeroPoint::Eight, ZeroPoint::Stored].map(|zero_point| int4(group, scale, zero_point)));
        }
    }
    formats
}

fn unpacked(format: Format, packed: &[u8], n: usize) -> Vec<f32> {
    let mut out = vec![0.0_f32; n];
    format.dequantise(packed, &mut out).unwrap();
    out
}

/// Low nibble first, zero-point 8, scale a half: the specification's eight values, in every type and group.
#[test]
fn oracle_eleven() {
    let expected = [-4.0, -3.5, 0.0, 3.5, 1.0, -0.5, -2.5, -4.0];
    let mut codes = vec![0x10, 0xf8, 0x7a, 0x03];
    codes.resize(16, 0);
    for (scale, bytes) in [(Scale::F32, 0.5_f32.to_le_bytes().to_vec()), (Scale::F16, vec![0x00, 0x38])] {
        for group in [Group::G32, Group::G64, Group::G128] {
            for (zero_point, zero) in [(ZeroPoint::Eight, &[][..]), (ZeroPoint::Stored, &[8])] {
                let packed = [&codes[..], &bytes, zero].concat();
                let format = int4(group, scale, zero_point);
                assert_eq!(unpacked(format, &packed, 8), expected);
                let mut half = [bf16::ZERO; 8];
                format.dequantise(&packed, &mut half).unwrap();
                assert_eq!(half.map(bf16::to_f32), expected);
                let mut half = [f16::ZERO; 8];
                format.dequantise(&packed, &mut half).unwrap();
                assert_eq!(half.map(f16::to_f32), expected);
            }
        }
    }
}

#[derive(serde::Deserialize)]
struct Fixture {
    q8_0: Packed,
    q4_0: Packed,
    int4: Vec<Observed>,
}

#[derive(serde::Deserialize)]
struct Packed {
    #[serde(default)]
    x: Vec<u32>,
    #[serde(rename = "packed")]
    bytes: Vec<u8>,
    values: Vec<u32>,
}

#[derive(serde::Deserialize)]
struct Observed {
    group: usize,
    stored: bool,
    x: Vec<u32>,
    scales: Vec<u32>,
    zeros: Vec<u8>,
    values: Vec<u32>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("../fixtures/dequant.json")).unwrap()
}

fn floats(bits: &[u32]) -> Vec<f32> {
    bits.iter().map(|&bits| f32::from_bits(bits)).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn ggml_packs_and_reads_the_same() {
    let Fixture { q8_0, q4_0, .. } = fixture();
    assert_eq!(Format::Q8_0.quantise(&floats(&q8_0.x)).unwrap(), q8_0.bytes);
    assert_eq!(bits(&unpacked(Format::Q8_0, &q8_0.bytes, q8_0.values.len())), q8_0.values);
    let format = int4(Group::G32, Scale::F16, ZeroPoint::Eight);
    assert_eq!(bits(&unpacked(format, &q4_0.bytes, q4_0.values.len())), q4_0.values);
}

#[test]
fn pytorch_rounds_the_same() {
    for case in fixture().int4 {
        let group = [Group::G32, Group::G64, Group::G128].into_iter().find(|g| g.elements() == case.group).unwrap();
        let zero_point = if case.stored { ZeroPoint::Stored } else { ZeroPoint::Eight };
        let format = int4(group, Scale::F32, zero_point);
        let packed = format.quantise(&floats(&case.x)).unwrap();
        let scales: Vec<u8> = case.scales.iter().flat_map(|bits| bits.to_le_bytes()).collect();
        let place = case.x.len() / 2;
        assert_eq!(packed[place..place + scales.len()], scales, "scales of {}", case.group);
        assert_eq!(packed[place + scales.len()..], case.zeros, "zero-points of {}", case.group);
        assert_eq!(bits(&unpacked(format, &packed, case.x.len())), case.values, "group {}", case.group);
    }
}

/// Long enough for several tiles and a short last group: the same bits whatever the level and the threads.
#[test]
fn levels_and_threads_change_nothing() {
    let x = noise(3, (1 << 16) * 2 + 64);
    for format in formats() {
        let n = if format == Format::Q8_0 { x.len() } else { x.len() - 27 };
        let packed = everywhere(|| format.quantise(&x[..n]).unwrap());
        everywhere(|| {
            let (mut wide, mut half) = (vec![0.0_f32; n], vec![bf16::ZERO; n]);
            format.dequantise(&packed, &mut wide).unwrap();
            format.dequantise(&packed, &mut half).unwrap();
            assert!(wide.iter().zip(&half).all(|(x, y)| bf16::from_f32(*x).to_bits() == y.to_bits()));
            bits(&wide)
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Half a step of the group's own scale bounds the error; what was read back packs to itself.
    #[test]
    fn rounding_is_to_the_nearest_code(seed: u64, n in 1_usize..700, magnitude in -18_i32..18, centre in -3.0_f32..3.0, which in 0_usize..13) {
        let format = formats()[which];
        let n = if format == Format::Q8_0 { n.next_multiple_of(32) } else { n };
        let factor = if format == Format::Q8_0 || matches!(format, Format::Int4(Int4 { scale: Scale::F16, .. })) {
            2_f32.powi(magnitude / 3) // scales of normal size in f16
        } else {
            2_f32.powi(5 * magnitude)
        };
        let x: Vec<f32> = noise(seed, n).iter().map(|x| (x + centre) * factor).collect();
        let packed = format.quantise(&x).unwrap();
        let y = unpacked(format, &packed, n);
        let (group, steps) = match format {
            Format::Int4(Int4 { group, zero_point: ZeroPoint::Eight, .. }) => (group.elements(), 7.5),
            Format::Int4(Int4 { group, .. }) => (group.elements(), 15.0),
            _ => (32, 127.0),
        };
        for (x, y) in x.chunks(group).zip(y.chunks(group)) {
            let low = x.iter().copied().fold(0.0, f32::min);
            let high = x.iter().copied().fold(0.0, f32::max);
            let span = if steps == 15.0 { high - low } else { high.max(-low) };
            // Stored zero-points are rounded themselves: the ends may be half a step more away.
            let bound = span / steps * if steps == 15.0 { 1.01 } else if steps == 127.0 { 0.57 } else { 0.51 };
            for (x, y) in x.iter().zip(y) {
                prop_assert!((x - y).abs() <= bound, "{x} read back as {y}, bound {bound} in {format:?}");
            }
        }
    }
}

#[test]
fn zero_and_tiny_groups_stay_zero() {
    for format in formats() {
        for value in [0.0, -0.0, 1e-45, -1e-45] {
            let packed = format.quantise(&[value; 128]).unwrap();
            assert!(unpacked(format, &packed, 128).iter().all(|x| x.abs() <= 1e-45), "{value} in {format:?}");
        }
    }
}

#[test]
fn no_elements_are_no_bytes() {
    for format in formats() {
        assert!(format.quantise(&[]).unwrap().is_empty());
        format.dequantise(&[], &mut [0.0_f32; 0]).unwrap();
    }
}

#[test]
fn bad_input_is_named() {
    let said = |result: Result<Vec<u8>, ashlar_kernels::Error>| {
        let error = result.unwrap_err();
        assert!(error.is_input());
        error.to_string()
    };
    for format in formats() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = vec![1.0; 128];
            x[77] = bad;
            let said = said(format.quantise(&x));
            assert!(said.contains("index 77") && said.contains("only finite values"), "{said}");
        }
        let mut out = [0.0_f32; 64];
        let bytes = format.packed_bytes(64).unwrap();
        for wrong in [0, bytes - 1, bytes + 1] {
            let error = format.dequantise(&vec![0; wrong], &mut out).unwrap_err().to_string();
            assert!(error.contains(&format!("has {wrong} elements")) && error.contains(&bytes.to_string()), "{error}");
        }
        let rt = Runtime::cpu();
        let mut out = rt.zeros::<f32>(64).unwrap();
        let packed = rt.zeros::<u8>(bytes + 32).unwrap();
        format.run_dequantise(&rt, &packed, 32, &mut out).unwrap();
        for from in [8, 48, bytes / 16 * 16 + 4096] {
            format.run_dequantise(&rt, &packed, from, &mut out).unwrap_err();
        }
    }
    let long = Format::Q8_0.packed_bytes(usize::MAX / 32 * 32).map(|_| Vec::new());
    assert!(said(long).contains("exceed all addresses"));
    assert!(said(Format::Q8_0.quantise(&[1.0; 33])).contains("a multiple of 32"));
    let big = int4(Group::G32, Scale::F16, ZeroPoint::Eight);
    assert!(said(big.quantise(&[1e9; 32])).contains("store scales as f32"));
    assert!(said(Format::Q8_0.quantise(&[1e9; 32])).contains("below 65504"));
    let big = int4(Group::G32, Scale::F32, ZeroPoint::Stored);
    assert!(said(big.quantise(&[f32::MAX, -f32::MAX])).contains("must be finite"));
}
