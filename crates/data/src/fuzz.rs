//! 100,000 mutations of a small valid file for each parser: any answer will do, but no panic and no large allocation.

use std::{io::Write, path::Path};

use ashlar_kernels::rng;
use image::{ExtendedColorType, ImageEncoder};
use rand::{Rng, RngCore};

use crate::{
    Column, DataSpec, Fit,
    read::{cifar, idx, images, jsonl, table},
    text,
};

const CASES: usize = 100_000;

/// Feeds mutations of `seeds` to `parse`, which says whether it took the input.
fn survive(name: &str, seeds: &[Vec<u8>], mut parse: impl FnMut(&[u8]) -> bool) {
    for seed in seeds {
        assert!(parse(seed), "{name}: the unmutated input must be valid");
    }
    let mut rng = rng::stream(1, &["test", "mutate", name]);
    let mut taken = 0;
    for _ in 0..CASES {
        let mut bytes = seeds[rng.random_range(0..seeds.len() as u32) as usize].clone();
        for _ in 0..rng.random_range(1..=6u32) {
            let at = rng.random_range(0..=bytes.len().max(1) as u32 - 1) as usize;
            match rng.random_range(0..7u32) {
                _ if bytes.is_empty() => bytes.push(rng.random()),
                0 => bytes[at] ^= 1 << rng.random_range(0..8u32),
                1 => bytes[at] = rng.random(),
                2 => {
                    bytes[at] =
                        [0, 1, 0x7f, 0x80, 0xff, b'"', b',', b'\n', b'[', b'{'][rng.random_range(0..10u32) as usize];
                }
                3 => bytes.truncate(at),
                4 => bytes.insert(at, rng.random()),
                5 => {
                    let end = bytes.len().min(at + rng.random_range(1..16u32) as usize);
                    bytes.extend_from_within(at..end);
                }
                _ => {
                    let mut word = [0; 4];
                    rng.fill_bytes(&mut word);
                    let end = bytes.len().min(at + 4);
                    bytes[at..end].copy_from_slice(&word[..end - at]);
                }
            }
        }
        taken += usize::from(parse(&bytes));
    }
    println!("{name}: {taken} of {CASES} mutations were still valid");
}

fn path() -> &'static Path {
    Path::new("fuzzed")
}

fn idx_bytes() -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6];
    bytes.extend((0..120).map(|pixel| pixel as u8));
    bytes
}

#[test]
fn idx_plain() {
    survive("idx", &[idx_bytes(), vec![0, 0, 8, 1, 0, 0, 0, 2, 1, 0]], |bytes| idx::parse(path(), bytes).is_ok());
}

#[test]
fn idx_gzip() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&idx_bytes()).unwrap();
    survive("idx-gz", &[gzip.finish().unwrap()], |bytes| idx::parse(path(), bytes).is_ok());
}

#[test]
fn cifar_binary() {
    let record: Vec<u8> = (0..3073u32).map(|at| if at == 0 { 7 } else { at as u8 }).collect();
    survive("cifar", &[record], |bytes| cifar::parse(path(), bytes, cifar::Variant::Cifar10).is_ok());
}

#[test]
fn csv() {
    let numbers = b"a,b,kind,who\n1,2.5,x,p\n-3e2,\"4\",\"y,\"\"z\",q\n".to_vec();
    let spec = DataSpec {
        label: Some(Column::Name("kind".into())),
        group: Some(Column::Index(3)),
        text: vec![Column::Index(0), Column::Index(2)],
        ..DataSpec::default()
    };
    survive("csv", std::slice::from_ref(&numbers), |bytes| table::parse_labelled(path(), bytes, &spec).is_ok());
    survive("csv-text", &[numbers], |bytes| table::parse_texts(path(), bytes, &spec).is_ok());
}

#[test]
fn json_lines() {
    let lines = b"{\"q\": \"why\", \"a\": [1, {\"b\": null}], \"l\": 3}\n{\"q\": \"\\u00e9\", \"l\": true}\n".to_vec();
    let spec =
        DataSpec { text: vec![Column::Name("q".into())], label: Some(Column::Name("l".into())), ..DataSpec::default() };
    survive("jsonl", &[lines], |bytes| jsonl::parse_texts(path(), bytes.to_vec(), &spec).is_ok());
}

#[test]
fn speeches() {
    let play = b"First Citizen:\nBefore we proceed\nany further.\n\nAll:\nSpeak, speak.\n".to_vec();
    survive("speeches", &[play], |bytes| text::speeches(&String::from_utf8_lossy(bytes)).is_ok());
}

fn pictures() -> Vec<Vec<u8>> {
    let pixels: Vec<u8> = (0..8 * 6 * 3).map(|at| (at * 37) as u8).collect();
    let (mut png, mut jpeg) = (Vec::new(), Vec::new());
    image::codecs::png::PngEncoder::new(&mut png).write_image(&pixels, 8, 6, ExtendedColorType::Rgb8).unwrap();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg).write_image(&pixels, 8, 6, ExtendedColorType::Rgb8).unwrap();
    vec![png, jpeg]
}

#[test]
fn png_and_jpeg() {
    for (name, picture) in ["png", "jpeg"].into_iter().zip(pictures()) {
        let spec = DataSpec { size: Some(5), fit: Fit::Crop, ..DataSpec::default() };
        survive(name, &[picture], |bytes| images::parse(path(), bytes, &spec).is_ok());
    }
}

#[test]
fn specification() {
    let full =
        b"name = \"csv\"\npath = \"a.csv\"\nseed = 3\ntrain = 10\nlabel = \"x\"\ntext = [\"a\", 1]\nfit = \"crop\"\n";
    survive("spec", &[full.to_vec()], |bytes| {
        std::str::from_utf8(bytes).is_ok_and(|text| toml::from_str::<DataSpec>(text).is_ok())
    });
}

#[test]
fn headers_that_announce_too_much_are_refused_before_memory_is_taken() {
    // 4 × 2³² bytes from a file of 20.
    let mut bytes = vec![0, 0, 8, 4];
    bytes.extend([0xff; 16]);
    let message = idx::parse(path(), &bytes).unwrap_err().to_string();
    assert!(message.contains("more than the file can hold"), "{message}");
    // A gzip bomb: 64 MB of zeros after a header that announces ten bytes.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&[0, 0, 8, 1, 0, 0, 0, 10]).unwrap();
    gzip.write_all(&vec![0; 64 << 20]).unwrap();
    let message = idx::parse(path(), &gzip.finish().unwrap()).unwrap_err().to_string();
    assert!(message.contains("needs 10 bytes of data, found more"), "{message}");
    // A JPEG whose header says 65,535 × 65,535.
    let mut jpeg = pictures().remove(1);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xff);
    let message = images::parse(path(), &jpeg, &DataSpec::default()).unwrap_err().to_string();
    assert!(message.contains("more than") && message.contains("can hold"), "{message}");
}
