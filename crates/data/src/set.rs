//! Labelled examples in memory.

use crate::{Error, Result};

/// Examples of one shape with a class each: pixels as bytes, or features as f32.
///
/// Shape is `[channels, height, width]`, stored in that order; a table of numbers has `[features, 1, 1]`.
/// A set with `n` bytes a feature costs what its pixels cost (CIFAR-10: 154 MB for 50,000 images).
///
/// ```
/// use ashlar_data::LabelledSet;
/// let set = LabelledSet::from_u8([1, 1, 2], vec![0, 255, 51, 0], vec![0, 1], vec!["a".into(), "b".into()])?;
/// assert_eq!(set.batch(&[1]), [0.2, 0.0]);
/// # Ok::<(), ashlar_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledSet {
    shape: [usize; 3],
    features: Features,
    labels: Vec<u32>,
    classes: Vec<String>,
    groups: Option<Groups>,
    scaling: Option<Scaling>,
}

#[derive(Clone, Debug, PartialEq)]
enum Features {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

#[derive(Clone, Debug, PartialEq)]
struct Groups {
    of: Vec<u32>,
    names: Vec<String>,
}

/// `(x − mean) / std` by channel, applied on the way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// One mean a channel.
    pub mean: Vec<f32>,
    /// One standard deviation a channel, above 0.
    pub std: Vec<f32>,
}

/// What training and measuring read.
#[derive(Clone, Debug)]
pub struct Split {
    /// What clients train on.
    pub train: LabelledSet,
    /// What accuracy is measured on.
    pub test: LabelledSet,
    /// What settings are chosen on, where the specification asks for it.
    pub validation: Option<LabelledSet>,
}

impl LabelledSet {
    /// A set of byte images: `pixels` holds `labels.len()` examples of `shape` one after another.
    pub fn from_u8(shape: [usize; 3], pixels: Vec<u8>, labels: Vec<u32>, classes: Vec<String>) -> Result<Self> {
        Self::new(shape, Features::U8(pixels), labels, classes)
    }

    /// A set of f32 features, all of them finite.
    pub fn from_f32(shape: [usize; 3], values: Vec<f32>, labels: Vec<u32>, classes: Vec<String>) -> Result<Self> {
        Self::new(shape, Features::F32(values), labels, classes)
    }

    fn new(shape: [usize; 3], features: Features, labels: Vec<u32>, classes: Vec<String>) -> Result<Self> {
        let size = shape.iter().try_fold(1usize, |size, &side| size.checked_mul(side)).filter(|&size| size > 0);
        let size = size.ok_or_else(|| Error::value("shape", format!("{shape:?} has no elements, or too many")))?;
        let expected = labels.len().checked_mul(size);
        let expected = expected.ok_or_else(|| Error::value("shape", format!("{shape:?} is too large")))?;
        let found = match &features {
            Features::U8(pixels) => pixels.len(),
            Features::F32(values) => values.len(),
        };
        if found != expected {
            return Err(Error::Length { what: "features", found, expected });
        }
        if let Features::F32(values) = &features
            && let Some(at) = values.iter().position(|value| !value.is_finite())
        {
            let problem = format!("feature {} is {}; features must be finite", at % size, values[at]);
            return Err(Error::Example { index: at / size, problem });
        }
        for (index, &label) in labels.iter().enumerate() {
            check_label(index, label, classes.len())?;
        }
        Ok(Self { shape, features, labels, classes, groups: None, scaling: None })
    }

    /// Says who made each example (writer, speaker, user): what the natural partition goes by.
    pub fn with_groups(mut self, of: Vec<u32>, names: Vec<String>) -> Result<Self> {
        if of.len() != self.len() {
            return Err(Error::Length { what: "groups", found: of.len(), expected: self.len() });
        }
        if let Some(index) = of.iter().position(|&group| group as usize >= names.len()) {
            let problem = format!("group {} does not exist; there are {}", of[index], names.len());
            return Err(Error::Example { index, problem });
        }
        self.groups = Some(Groups { of, names });
        Ok(self)
    }

    /// Scales what [`write_f32`](Self::write_f32) and [`batch`](Self::batch) give, by channel.
    pub fn with_scaling(mut self, scaling: Scaling) -> Result<Self> {
        for (what, values) in [("mean", &scaling.mean), ("std", &scaling.std)] {
            if values.len() != self.shape[0] {
                return Err(Error::Length { what, found: values.len(), expected: self.shape[0] });
            }
        }
        if !scaling.mean.iter().all(|mean| mean.is_finite()) {
            return Err(Error::value("mean", "must be finite"));
        }
        if !scaling.std.iter().all(|&std| std.is_finite() && std > 0.0) {
            return Err(Error::value("std", "must be finite and above 0"));
        }
        self.scaling = Some(scaling);
        Ok(self)
    }

    /// Mean and standard deviation of each channel of this set, unscaled; a constant channel gets standard deviation 1.
    pub fn measure_scaling(&self) -> Scaling {
        let (channels, plane) = (self.shape[0], self.shape[1] * self.shape[2]);
        let mut sums = vec![(0f64, 0f64); channels];
        let mut example = vec![0f32; self.example_len()];
        for index in 0..self.len() {
            self.write_unscaled(index, &mut example);
            for (sum, values) in sums.iter_mut().zip(example.chunks_exact(plane)) {
                for &value in values {
                    sum.0 += f64::from(value);
                    sum.1 += f64::from(value) * f64::from(value);
                }
            }
        }
        let count = (self.len() * plane).max(1) as f64;
        let mean: Vec<f64> = sums.iter().map(|sum| sum.0 / count).collect();
        let std = sums.iter().zip(&mean).map(|(sum, mean)| {
            let variance = sum.1 / count - mean * mean;
            if variance > 1e-12 { variance.sqrt() as f32 } else { 1.0 }
        });
        Scaling { std: std.collect(), mean: mean.into_iter().map(|mean| mean as f32).collect() }
    }

    /// `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Features an example.
    pub fn example_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Names of the classes; labels index it.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The class of each example.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The class of example `index` (panics beyond the end, as a slice does).
    pub fn label(&self, index: usize) -> u32 {
        self.labels[index]
    }

    /// Who made each example, where that is known.
    pub fn groups(&self) -> Option<&[u32]> {
        self.groups.as_ref().map(|groups| groups.of.as_slice())
    }

    /// Names of the groups; empty where groups are unknown.
    pub fn group_names(&self) -> &[String] {
        self.groups.as_ref().map_or(&[], |groups| &groups.names)
    }

    /// The scaling in force.
    pub fn scaling(&self) -> Option<&Scaling> {
        self.scaling.as_ref()
    }

    /// Examples of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }

    /// The bytes of example `index`, channel first; `None` for a set of f32 features or an index beyond the end.
    pub fn image_u8(&self, index: usize) -> Option<&[u8]> {
        let size = self.example_len();
        match &self.features {
            Features::U8(pixels) if index < self.len() => pixels.get(index * size..(index + 1) * size),
            _ => None,
        }
    }

    /// Writes example `index`: bytes as `u8 / 255`, then the scaling, if any.
    ///
    /// Panics if `index` is beyond the end or `out` is not [`example_len`](Self::example_len) long, as slices do.
    pub fn write_f32(&self, index: usize, out: &mut [f32]) {
        self.write_unscaled(index, out);
        if let Some(scaling) = &self.scaling {
            let plane = self.shape[1] * self.shape[2];
            for ((values, mean), std) in out.chunks_exact_mut(plane).zip(&scaling.mean).zip(&scaling.std) {
                for value in values {
                    *value = (*value - mean) / std;
                }
            }
        }
    }

    fn write_unscaled(&self, index: usize, out: &mut [f32]) {
        let size = self.example_len();
        assert_eq!(out.len(), size, "write_f32 needs a slice of one example");
        let range = index * size..(index + 1) * size;
        match &self.features {
            Features::U8(pixels) => {
                for (value, &pixel) in out.iter_mut().zip(&pixels[range]) {
                    *value = f32::from(pixel) / 255.0;
                }
            }
            Features::F32(values) => out.copy_from_slice(&values[range]),
        }
    }

    /// Examples one after another, `[indices.len(), channels, height, width]`.
    pub fn batch(&self, indices: &[u32]) -> Vec<f32> {
        let mut out = vec![0.0; indices.len() * self.example_len()];
        for (&index, example) in indices.iter().zip(out.chunks_exact_mut(self.example_len())) {
            self.write_f32(index as usize, example);
        }
        out
    }

    /// The classes of these examples, in the order of [`batch`](Self::batch).
    pub fn batch_labels(&self, indices: &[u32]) -> Vec<u32> {
        indices.iter().map(|&index| self.labels[index as usize]).collect()
    }

    /// A copy with these examples in this order; `subset(&[])` is an empty set of the same kind to push to.
    pub fn subset(&self, indices: &[u32]) -> Self {
        let size = self.example_len();
        let features = match &self.features {
            Features::U8(pixels) => Features::U8(gather(pixels, size, indices)),
            Features::F32(values) => Features::F32(gather(values, size, indices)),
        };
        let groups = self.groups.as_ref().map(|groups| Groups {
            of: indices.iter().map(|&index| groups.of[index as usize]).collect(),
            names: groups.names.clone(),
        });
        Self {
            shape: self.shape,
            features,
            labels: self.batch_labels(indices),
            classes: self.classes.clone(),
            groups,
            scaling: self.scaling.clone(),
        }
    }

    /// Appends an example of bytes to a set of byte images without groups.
    pub fn push_u8(&mut self, pixels: &[u8], label: u32) -> Result<()> {
        self.check_push(pixels.len(), label)?;
        let Features::U8(all) = &mut self.features else {
            return Err(Error::value("pixels", "this set holds f32 features; use push_f32"));
        };
        all.extend_from_slice(pixels);
        self.labels.push(label);
        Ok(())
    }

    /// Appends an example of f32 features (before scaling) to a set of such features without groups.
    pub fn push_f32(&mut self, values: &[f32], label: u32) -> Result<()> {
        self.check_push(values.len(), label)?;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let problem = format!("feature {at} is {}; features must be finite", values[at]);
            return Err(Error::Example { index: self.len(), problem });
        }
        let Features::F32(all) = &mut self.features else {
            return Err(Error::value("values", "this set holds bytes; use push_u8"));
        };
        all.extend_from_slice(values);
        self.labels.push(label);
        Ok(())
    }

    fn check_push(&self, found: usize, label: u32) -> Result<()> {
        if found != self.example_len() {
            return Err(Error::Length { what: "example", found, expected: self.example_len() });
        }
        if self.groups.is_some() {
            return Err(Error::value("groups", "drop the groups first (without_groups): a pushed example has none"));
        }
        check_label(self.len(), label, self.classes.len())
    }

    /// The same examples without saying who made them.
    pub fn without_groups(mut self) -> Self {
        self.groups = None;
        self
    }

    /// The same examples with other labels (poisoned ones, for instance).
    pub fn with_labels(mut self, labels: Vec<u32>) -> Result<Self> {
        if labels.len() != self.len() {
            return Err(Error::Length { what: "labels", found: labels.len(), expected: self.len() });
        }
        for (index, &label) in labels.iter().enumerate() {
            check_label(index, label, self.classes.len())?;
        }
        self.labels = labels;
        Ok(self)
    }
}

fn check_label(index: usize, label: u32, classes: usize) -> Result<()> {
    if (label as usize) < classes {
        return Ok(());
    }
    Err(Error::Example { index, problem: format!("label {label}, but there are {classes} classes") })
}

fn gather<T: Copy>(all: &[T], size: usize, indices: &[u32]) -> Vec<T> {
    let mut out = Vec::with_capacity(indices.len() * size);
    for &index in indices {
        out.extend_from_slice(&all[index as usize * size..(index as usize + 1) * size]);
    }
    out
}
