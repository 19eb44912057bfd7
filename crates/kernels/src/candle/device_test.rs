//! The device side of every operation on the SIMT shim: the bits of the CPU side, with the launches that a GPU gets.

use std::sync::{Arc, OnceLock};

use super::op::{Op1, Op2};
use super::{clip, dequant, ghost, noise, sketch, sparse, topk};
use crate::clip::{ClipRule, Clipper, TokenGroups};
use crate::device::Device;
use crate::launch::Runtime;
use crate::noise::NoiseKey;
use crate::rng::SplitMix64;
use crate::sketch::SketchConfig;
use crate::topk::{Count, TopK};

fn numbers(n: u64, seed: u64) -> Vec<f32> {
    let mut random = SplitMix64::new(seed);
    (0..n).map(|_| (random.next_u64() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
}

fn runtime() -> Runtime {
    Runtime::new(&Device::Simt).expect("the shim is built in")
}

fn same<T: Op1<In = f32>>(op: &T, x: &[f32], dims: &[usize])
where
    T::Out: PartialEq,
{
    let rt = runtime();
    let cpu = op.cpu(x, dims).expect("the CPU side");
    let device = op.device(&rt, &rt.upload(x).expect("upload"), dims).expect("the device side");
    assert!(device.to_vec().expect("download") == cpu, "{}", T::NAME);
}

fn same2<T: Op2<A = f32, B = f32, Out = f32>>(op: &T, a: &[f32], b: &[f32], dims: [&[usize]; 2]) {
    let rt = runtime();
    let cpu = op.cpu(a, b, dims).expect("the CPU side");
    let (a, b) = (rt.upload(a).expect("upload"), rt.upload(b).expect("upload"));
    let device = op.device(&rt, &a, &b, dims).expect("the device side");
    assert!(device.to_vec().expect("download") == cpu, "{}", T::NAME);
}

#[test]
fn selection_and_noise() {
    let x = numbers(5000, 1);
    for k in [1, 70, 5000] {
        same(&topk::Indices { topk: TopK::new(Count::Exact(k)), stats: Arc::new(OnceLock::new()) }, &x, &[5000]);
    }
    let noise = NoiseKey::philox(1).gaussian(2, 3);
    same(&noise::AddNoise { noise, offset: 77, scale: 0.5, divisor: 3.0 }, &x, &[5000]);
}

#[test]
fn sketches() {
    let base = SketchConfig::new(9000, 5, 100, 7);
    for config in [base, base.fixed(40), SketchConfig::new(9000, 3, 9001, 1)] {
        let (x, offset, n) = (numbers(3000, 2), 5000, 3000);
        same(&sketch::Accumulate { config, offset }, &x, &[3000]);
        let f32s = SketchConfig { table: crate::sketch::TableKind::F32, ..config };
        let table = numbers(config.cells(), 3);
        same(&sketch::Estimate { config: f32s, offset, n }, &table, &[]);
        for row in 0..config.rows {
            same(&sketch::Read { config, row, offset, n }, &table[..config.cols as usize], &[]);
            same(&sketch::Add { config, row, offset }, &x, &[3000]);
        }
        same(&sketch::Read { config, row: 0, offset, n: 0 }, &table[..config.cols as usize], &[]);
        same(&sketch::Add { config, row: 0, offset }, &[], &[0]);
    }
}

#[test]
fn sparse_work() {
    use crate::sparse::Support;
    let kept = sparse::Kept::from(Support::new(1500, (0..1500).step_by(7).collect()).expect("increasing"));
    let nnz = kept.support().nnz();
    for width in [1, 3] {
        let (x, values) = (numbers(1500 * width as u64, 1), numbers((nnz * width) as u64, 2));
        same(&sparse::Gather { kept: kept.clone(), width }, &x, &[1500, width]);
        same(&sparse::Scatter { kept: kept.clone(), width }, &values, &[nnz, width]);
        let op = sparse::Axpy { kept: kept.clone(), scale: 0.3 };
        same2(&op, &x, &values, [&[1500, width], &[nnz, width]]);
    }
    let op = sparse::Sddmm { kept, sizes: [20, 30, 50] };
    same2(&op, &numbers(600, 1), &numbers(1000, 2), [&[20, 30], &[20, 50]]);
}

#[test]
fn unpacking() {
    use crate::dequant::Format;
    let packed = Format::Q8_0.quantise(&numbers(640, 1)).expect("numbers");
    let op = dequant::Dequantise::<half::bf16> {
        format: Format::Q8_0,
        shape: (20, 32).into(),
        output: std::marker::PhantomData,
    };
    let rt = runtime();
    let device = op.device(&rt, &rt.upload(&packed).expect("upload"), &[]).expect("the device side");
    assert!(device.to_vec().expect("download") == op.cpu(&packed, &[]).expect("the CPU side"));
}

#[test]
fn clipping_and_ghosts() {
    let clipper = Clipper::new(ClipRule::Flat, 3.0, 300).expect("a bound");
    same(&clip::Sum { clipper, factors: Arc::new(OnceLock::new()) }, &numbers(2100, 1), &[7, 300]);
    let shape = crate::clip::ghost::LinearShape { samples: 3, positions: 20, inputs: 33, outputs: 10 };
    let op = ghost::LinearSum { shape, factors: vec![0.5, 0.25, 1.0] };
    same2(&op, &numbers(1980, 1), &numbers(600, 2), [&[3, 20, 33], &[3, 20, 10]]);
    let groups = TokenGroups::new(&[1, 1, 3, 5, 1, 0], 3, 6).expect("tokens");
    let op = ghost::EmbeddingSum { groups, factors: vec![0.5, 2.0], dims: [6, 40] };
    same(&op, &numbers(240, 1), &[2, 3, 40]);
    same2(&ghost::Channels, &numbers(1000, 1), &numbers(1000, 2), [&[5, 20, 10], &[5, 20, 10]]);
    same(&ghost::Bias, &numbers(1000, 2), &[5, 20, 10]);
}
