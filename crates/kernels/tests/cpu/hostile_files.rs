//! Mutated files: every one gives a value or one error, never a panic, whatever they claim about their size.

use ashlar_kernels::{
    Error, SparseVec, files,
    rng::SplitMix64,
    sketch::{CountSketch, SketchConfig},
};

fn seeds() -> Vec<Vec<u8>> {
    let config = SketchConfig::new(100, 3, 8, 1);
    let mut all = Vec::new();
    for config in [config, config.fixed(20)] {
        let mut sketch = CountSketch::new(config).unwrap();
        sketch.accumulate(&[1.0; 100], 0).unwrap();
        all.push(files::sketch_bytes(&sketch).unwrap());
    }
    let top = SparseVec::new(50, vec![3, 7], vec![1.0, 2.0]).unwrap();
    let tensor = files::DenseTensor { shape: vec![5, 10], values: vec![0.5; 50] };
    all.push(files::sparse_bytes(&top, Some(&tensor)).unwrap());
    all
}

fn mutate(bytes: &mut Vec<u8>, mix: &mut SplitMix64) {
    for _ in 0..=mix.next_u64() % 4 {
        let at = (mix.next_u64() % bytes.len().max(1) as u64) as usize;
        match mix.next_u64() % 7 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, mix.next_u64() as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => {
                // A digit of the header: sizes, offsets, configuration.
                let digits: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    let at = digits[mix.next_u64() as usize % digits.len()];
                    bytes[at] = b'0' + (mix.next_u64() % 10) as u8;
                }
            }
            4 if bytes.len() >= 8 => {
                bytes[..8].copy_from_slice(&(mix.next_u64() >> (mix.next_u64() % 64)).to_le_bytes());
            }
            5 => {
                let other = (mix.next_u64() % bytes.len().max(1) as u64) as usize;
                let part: Vec<u8> = bytes.iter().skip(other).take(9).copied().collect();
                bytes.splice(at.min(bytes.len())..at.min(bytes.len()), part);
            }
            _ if !bytes.is_empty() => bytes[at] ^= 1 << (mix.next_u64() % 8),
            _ => {}
        }
    }
}

#[test]
fn a_hundred_thousand_mutations() {
    let seeds = seeds();
    let mut mix = SplitMix64::new(7);
    let (mut fine, mut refused) = (0, 0);
    for round in 0..120_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        mutate(&mut bytes, &mut mix);
        let outcomes = [
            files::parse_sketch(&bytes).map(|sketch| drop(sketch.unsketch(1))),
            files::parse_sparse(&bytes).map(drop),
            files::parse_tensor(&bytes, "residual").map(drop),
        ];
        for outcome in outcomes {
            match outcome {
                Ok(()) => fine += 1,
                Err(error) => {
                    refused += 1;
                    assert!(error.is_input() && !error.to_string().is_empty());
                }
            }
        }
    }
    println!("{fine} fine, {refused} refused");
    assert!(fine > 1000 && refused > 100_000);
}

#[test]
fn what_is_written_is_read_back() {
    let seeds = seeds();
    let sketch = files::parse_sketch(&seeds[0]).unwrap();
    assert_eq!(files::sketch_bytes(&sketch).unwrap(), seeds[0]);
    let fixed = files::parse_sketch(&seeds[1]).unwrap();
    assert_eq!(files::sketch_bytes(&fixed).unwrap(), seeds[1]);
    assert_eq!(files::parse_sparse(&seeds[2]).unwrap().idx(), [3, 7]);
    assert_eq!(files::parse_tensor(&seeds[2], "residual").unwrap().shape, [5, 10]);
}

#[test]
fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.safetensors");
    assert!(matches!(files::read_sketch(&path), Err(Error::Io { action: "read", .. })));
    std::fs::write(&path, &seeds()[1][..40]).unwrap();
    let message = files::read_sketch(&path).unwrap_err().to_string();
    assert!(message.contains("s.safetensors") && message.contains("not a safetensors file"), "{message}");
    std::fs::write(&path, &seeds()[2]).unwrap();
    let message = files::read_tensor(&path, "g").unwrap_err().to_string();
    assert!(message.contains("no tensor `g`") && message.contains("`residual`"), "{message}");
    assert!(files::read_tensor(&path, "idx").unwrap_err().to_string().contains("U32"));
}
