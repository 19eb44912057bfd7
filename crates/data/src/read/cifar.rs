//! CIFAR's binary format: records of a label byte (CIFAR-100: a coarse and a fine one) and 3,072 pixel bytes, red,
//! green, then blue, each 32 × 32.

use std::path::Path;

use super::format_error;
use crate::{LabelledSet, Result, error::Place};

const PIXELS: usize = 3 * 32 * 32;

/// Which of the two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// One label byte, 10 classes.
    Cifar10,
    /// A coarse label (20, passed over) and a fine one (100).
    Cifar100,
}

impl Variant {
    fn label_bytes(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
        }
    }
}

/// CIFAR-10's classes in the order of its labels.
pub const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Reads files one after another into one set.
pub fn read<P: AsRef<Path>>(paths: &[P], variant: Variant) -> Result<LabelledSet> {
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for path in paths {
        append(path.as_ref(), &super::bytes(path.as_ref())?, variant, &mut pixels, &mut labels)?;
    }
    assemble(variant, pixels, labels)
}

/// Parses the bytes of one file; `path` is for messages.
pub fn parse(path: &Path, bytes: &[u8], variant: Variant) -> Result<LabelledSet> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    append(path, bytes, variant, &mut pixels, &mut labels)?;
    assemble(variant, pixels, labels)
}

fn assemble(variant: Variant, pixels: Vec<u8>, labels: Vec<u32>) -> Result<LabelledSet> {
    let classes = match variant {
        Variant::Cifar10 => CIFAR10_CLASSES.map(str::to_owned).to_vec(),
        Variant::Cifar100 => (0..100).map(|class| class.to_string()).collect(),
    };
    LabelledSet::from_u8([3, 32, 32], pixels, labels, classes)
}

fn append(path: &Path, bytes: &[u8], variant: Variant, pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<()> {
    let head = variant.label_bytes();
    let record = head + PIXELS;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let problem = format!("{} bytes are not a whole number of {record}-byte records", bytes.len());
        let remedy = "the file is damaged, incomplete or of the other CIFAR set: fetch it again or check `name`";
        return Err(format_error(path, Place::Byte((bytes.len() - bytes.len() % record) as u64), problem, remedy));
    }
    pixels.reserve(bytes.len() / record * PIXELS);
    for (index, record) in bytes.chunks_exact(record).enumerate() {
        let label = record[head - 1];
        if usize::from(label) >= variant.classes() {
            let problem = format!("label {label}, but there are {} classes", variant.classes());
            return Err(format_error(
                path,
                Place::Record(index as u64),
                problem,
                "the file is damaged: fetch it again",
            ));
        }
        labels.push(u32::from(label));
        pixels.extend_from_slice(&record[head..]);
    }
    Ok(())
}
