//! IDX, the format of MNIST and Fashion-MNIST: two zero bytes, a type byte, the number of dimensions, each dimension as
//! a big-endian u32, then the data. Gzip is recognised by its first bytes, whatever the file is called.

use std::{io::Read, path::Path};

use flate2::read::GzDecoder;

use super::format_error;
use crate::{Error, LabelledSet, Result, error::Place};

/// Largest data section: 2 GiB.
const MAX_DATA: u64 = 2 << 30;
/// Deflate cannot shrink data further than this.
const MAX_RATIO: u64 = 1032;
const DAMAGED: &str = "the file is damaged or incomplete: fetch it again";

/// An array of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// Its dimensions, the slowest first.
    pub dims: Vec<usize>,
    /// Its elements, as many as the product of `dims`.
    pub data: Vec<u8>,
}

/// Reads a file, plain or gzip.
pub fn read(path: &Path) -> Result<Idx> {
    parse(path, &super::bytes(path)?)
}

/// Parses bytes, plain or gzip; `path` is for messages.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Idx> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let most = (bytes.len() as u64).saturating_mul(MAX_RATIO);
        decode(path, &mut GzDecoder::new(bytes), most)
    } else {
        decode(path, &mut &*bytes, bytes.len() as u64)
    }
}

/// `most`: how many bytes `source` can possibly hold.
fn decode(path: &Path, source: &mut dyn Read, most: u64) -> Result<Idx> {
    let broken = |place: Place, problem: String| format_error(path, place, problem, DAMAGED);
    let mut magic = [0; 4];
    fill(source, &mut magic).map_err(|problem| broken(Place::Byte(0), format!("no IDX header ({problem})")))?;
    let [0, 0, kind, rank] = magic else {
        return Err(format_error(
            path,
            Place::Byte(0),
            format!("starts with {magic:02x?}, not with 00 00 and a type"),
            "this is no IDX file: check `name` and `path`",
        ));
    };
    if kind != 0x08 {
        let problem = format!("element type {kind:#04x}; only unsigned bytes (0x08) are read");
        return Err(format_error(path, Place::Byte(2), problem, "convert the file to bytes"));
    }
    if !(1..=4).contains(&rank) {
        return Err(broken(Place::Byte(3), format!("{rank} dimensions; 1 to 4 are read")));
    }
    let mut dims = Vec::new();
    for dim in 0..u64::from(rank) {
        let mut word = [0; 4];
        fill(source, &mut word)
            .map_err(|problem| broken(Place::Byte(4 + 4 * dim), format!("header ends ({problem})")))?;
        dims.push(u32::from_be_bytes(word) as usize);
    }
    let expected = dims.iter().try_fold(1u64, |size, &dim| size.checked_mul(dim as u64));
    let expected = expected.filter(|&size| size <= MAX_DATA && size <= most);
    let expected = expected.ok_or_else(|| {
        broken(Place::Byte(4), format!("the header announces {dims:?} bytes, more than the file can hold"))
    })?;
    let start = 4 + 4 * u64::from(rank);
    let mut data = Vec::new();
    source
        .take(expected + 1)
        .read_to_end(&mut data)
        .map_err(|error| broken(Place::Byte(start), format!("the data cannot be decompressed ({error})")))?;
    if data.len() as u64 != expected {
        let found = if data.len() as u64 > expected { "more".to_owned() } else { data.len().to_string() };
        return Err(broken(Place::Byte(start), format!("{dims:?} needs {expected} bytes of data, found {found}")));
    }
    Ok(Idx { dims, data })
}

fn fill(source: &mut dyn Read, into: &mut [u8]) -> Result<(), String> {
    source.read_exact(into).map_err(|error| error.to_string())
}

/// Images `[n, h, w]` or `[n, c, h, w]` (or a table `[n, features]`) and their labels `[n]`.
///
/// Without class names the classes are `0`, `1`, … up to the largest label.
pub fn labelled(images: &Path, labels: &Path, classes: Option<Vec<String>>) -> Result<LabelledSet> {
    assemble((images, read(images)?), (labels, read(labels)?), classes)
}

fn assemble(
    (images_path, images): (&Path, Idx),
    (labels_path, labels): (&Path, Idx),
    classes: Option<Vec<String>>,
) -> Result<LabelledSet> {
    let shape = match images.dims[..] {
        [_, features] => [features, 1, 1],
        [_, height, width] => [1, height, width],
        [_, channels, height, width] => [channels, height, width],
        _ => {
            let problem = format!("dimensions {:?} are no images", images.dims);
            return Err(format_error(images_path, Place::Byte(3), problem, "give the file of images"));
        }
    };
    if labels.dims.len() != 1 || labels.data.len() != images.dims[0] {
        let problem = format!("labels of shape {:?} for {} images", labels.dims, images.dims[0]);
        return Err(format_error(labels_path, Place::Byte(4), problem, "give the labels that belong to the images"));
    }
    let count = labels.data.iter().max().map_or(0, |&label| usize::from(label) + 1);
    let classes = classes.unwrap_or_else(|| (0..count).map(|class| class.to_string()).collect());
    if let Some(at) = labels.data.iter().position(|&label| usize::from(label) >= classes.len()) {
        let problem = format!("label {}, but there are {} classes", labels.data[at], classes.len());
        return Err(format_error(labels_path, Place::Record(at as u64), problem, DAMAGED));
    }
    let labels = labels.data.into_iter().map(u32::from).collect();
    LabelledSet::from_u8(shape, images.data, labels, classes).map_err(|error| match error {
        Error::Value { problem, .. } => format_error(images_path, Place::Byte(4), problem, DAMAGED),
        other => other,
    })
}
