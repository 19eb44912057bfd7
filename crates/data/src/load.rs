//! From a [`DataSpec`] to examples in memory.

use std::path::{Path, PathBuf};

use crate::{
    DataSpec, Error, Fit, LabelledSet, Result, Split, catalog, paths, procedural,
    read::{self, cifar, idx},
    sampler::Stratified,
};

/// Loads the set that `spec` names, cut to the sizes it asks for.
///
/// Named sets on the disk are looked for at `spec.path`, in `ASHLAR_DATA` (default `../shared/data`) and in the cache
/// folder; the error of a missing one names all of them.
pub fn load(spec: &DataSpec) -> Result<Split> {
    check_fields(spec)?;
    let split = match spec.name.as_str() {
        "procedural-images" => {
            let default = procedural::images::Config::default();
            procedural::images::generate(&procedural::images::Config {
                train: spec.train.unwrap_or(default.train).saturating_add(spec.validation.unwrap_or(0)),
                test: spec.test.unwrap_or(default.test),
                writers: spec.groups.unwrap_or(default.writers),
                seed: spec.seed,
            })?
        }
        "mnist10k" => mnist10k(spec)?,
        "mnist" | "fashion-mnist" | "idx" => {
            if spec.name == "idx" {
                needs_path(spec)?;
            }
            let classes = catalog::classes(&spec.name);
            let [train, test] = [&TRAIN, &TEST].map(|files| idx_part(spec, files, classes.clone()));
            Split { train: train?, test: test?, validation: None }
        }
        "cifar10" => cifar10(spec)?,
        "cifar-binary" => {
            needs_path(spec)?;
            cifar10(spec)?
        }
        "cifar100" => cifar100(spec)?,
        "csv" => return held_out(&read::table::labelled(needs_path(spec)?, spec)?, spec),
        "image-folder" => match read::images::read(needs_path(spec)?, spec)? {
            (train, Some(test)) => Split { train, test, validation: None },
            (all, None) => return held_out(&all, spec),
        },
        name => return Err(not_this_kind(name, catalog::Kind::Labelled)),
    };
    finish(split, spec)
}

/// A set without a test part, divided at random.
fn held_out(all: &LabelledSet, spec: &DataSpec) -> Result<Split> {
    let (train, test) = hold_out(all.labels(), spec)?;
    // The test part has its size already; `finish` cuts the rest.
    let split = Split { train: all.subset(&train), test: all.subset(&test), validation: None };
    finish(split, &DataSpec { test: None, ..spec.clone() })
}

/// Holds out `spec.test` examples (a fifth if left out), at random with every class in proportion; both parts keep the
/// set's order.
pub(crate) fn hold_out(labels: &[u32], spec: &DataSpec) -> Result<(Vec<u32>, Vec<u32>)> {
    let count = spec.test.unwrap_or(labels.len() / 5);
    if count == 0 || count >= labels.len() {
        return Err(too_few("test", count.max(1).saturating_add(1), labels.len()));
    }
    let test = Stratified::new(labels, count, spec.seed)?.round(0);
    let mut held = vec![false; labels.len()];
    for &index in &test {
        held[index as usize] = true;
    }
    let train = (0u32..).zip(&held).filter(|(_, held)| !**held).map(|(index, _)| index).collect();
    Ok((train, test))
}

/// Refuses keys that the named set does not read: a key without effect is a mistake of its author.
pub(crate) fn check_fields(spec: &DataSpec) -> Result<()> {
    let name = spec.name.as_str();
    let procedural = matches!(name, "procedural-images" | "procedural-text");
    let (table, folder) = (matches!(name, "csv" | "jsonl"), name == "image-folder");
    let unread = [
        ("path", spec.path.is_some() && procedural, "a procedural set has no file"),
        ("groups", spec.groups.is_some() && !procedural, "only procedural sets choose how many groups there are"),
        ("label", spec.label.is_some() && !table, "only `csv` and `jsonl` have a label column"),
        ("group", spec.group.is_some() && !table, "only `csv` and `jsonl` have a group column"),
        ("text", !spec.text.is_empty() && !table, "only `csv` and `jsonl` have text columns"),
        ("header", !spec.header && name != "csv", "only `csv` has a header"),
        ("size", spec.size.is_some() && !folder, "only `image-folder` resizes"),
        ("fit", spec.fit != Fit::default() && !folder, "only `image-folder` resizes"),
        ("grey", spec.grey && !folder, "only `image-folder` drops colours"),
    ];
    match unread.into_iter().find(|(_, set, _)| *set) {
        Some((field, _, why)) => Err(Error::value(field, format!("not read for `{name}`: {why}"))),
        None => Ok(()),
    }
}

/// The path of a set that is a format.
pub(crate) fn needs_path(spec: &DataSpec) -> Result<&Path> {
    let path = spec.path.as_deref();
    let path = path.ok_or_else(|| Error::value("path", format!("missing: `{}` needs a file or folder", spec.name)))?;
    if path.exists() { Ok(path) } else { Err(missing(&spec.name, vec![path.to_owned()])) }
}

/// No set of this name gives this kind of examples.
pub(crate) fn not_this_kind(name: &str, kind: catalog::Kind) -> Error {
    let (is, call) = match kind {
        catalog::Kind::Labelled => ("text", "load_text"),
        catalog::Kind::Text => ("no text", "load"),
    };
    if catalog::names().contains(&name) {
        return Error::value("name", format!("`{name}` is {is}; it loads with `{call}`"));
    }
    Error::UnknownSet { name: name.to_owned(), known: catalog::names() }
}

/// Cuts to the sizes asked for, takes the validation part off, and scales.
fn finish(mut split: Split, spec: &DataSpec) -> Result<Split> {
    if let Some(count) = spec.validation {
        let keep = spec.train.unwrap_or_else(|| split.train.len().saturating_sub(count));
        if keep.saturating_add(count) > split.train.len() {
            return Err(too_few("validation", keep.saturating_add(count), split.train.len()));
        }
        split.validation = Some(last(&split.train, count));
        split.train = first(&split.train, keep);
    }
    if let Some(count) = spec.train {
        if count > split.train.len() {
            return Err(too_few("train", count, split.train.len()));
        }
        split.train = first(&split.train, count);
    }
    if let Some(count) = spec.test {
        if count > split.test.len() {
            return Err(too_few("test", count, split.test.len()));
        }
        split.test = last(&split.test, count);
    }
    if split.train.is_empty() || split.test.is_empty() {
        return Err(Error::value("train", "the training and the test part need at least one example each"));
    }
    if spec.standardise {
        let scaling = split.train.measure_scaling();
        split.train = split.train.with_scaling(scaling.clone())?;
        split.test = split.test.with_scaling(scaling.clone())?;
        split.validation = split.validation.map(|set| set.with_scaling(scaling)).transpose()?;
    }
    Ok(split)
}

fn too_few(field: &'static str, asked: usize, there: usize) -> Error {
    Error::value(field, format!("{asked} examples asked for, but the set has {there}"))
}

fn first(set: &LabelledSet, count: usize) -> LabelledSet {
    if count == set.len() {
        return set.clone();
    }
    set.subset(&(0..count as u32).collect::<Vec<_>>())
}

fn last(set: &LabelledSet, count: usize) -> LabelledSet {
    if count == set.len() {
        return set.clone();
    }
    set.subset(&((set.len() - count) as u32..set.len() as u32).collect::<Vec<_>>())
}

/// Names of an IDX set's images and labels.
type Pair = [&'static str; 2];
const TRAIN: Pair = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: Pair = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

fn idx_part(spec: &DataSpec, files: &Pair, classes: Option<Vec<String>>) -> Result<LabelledSet> {
    let dirs = paths::set_dirs(&spec.name, spec.path.as_deref());
    let [images, labels] = locate(&spec.name, &dirs, files)?;
    idx::labelled(&images, &labels, classes)
}

/// The first folder that has all of `files`, and their paths in it.
fn locate<const N: usize>(name: &str, dirs: &[PathBuf], files: &[&str; N]) -> Result<[PathBuf; N]> {
    for dir in dirs {
        let found: Vec<PathBuf> = files.iter().filter_map(|file| read::find(dir, &[file])).collect();
        if let Ok(found) = found.try_into() {
            return Ok(found);
        }
    }
    Err(missing(name, dirs.iter().flat_map(|dir| files.iter().map(move |file| dir.join(file))).collect()))
}

pub(crate) fn missing(name: &str, tried: Vec<PathBuf>) -> Error {
    Error::Missing {
        name: name.to_owned(),
        tried,
        fetchable: catalog::find(name).is_some_and(|set| !set.files.is_empty()),
    }
}

/// MNIST's 10,000 test images as a set of their own: by default the first 8,000 to train on, the last 2,000 to test.
fn mnist10k(spec: &DataSpec) -> Result<Split> {
    let all = {
        let mut dirs = paths::set_dirs(&spec.name, spec.path.as_deref());
        dirs.extend(paths::set_dirs("mnist", spec.path.as_deref()));
        dirs.dedup();
        let [images, labels] = locate(&spec.name, &dirs, &TEST)?;
        idx::labelled(&images, &labels, catalog::classes("mnist"))?
    };
    let test = spec.test.unwrap_or(2_000.min(all.len() / 5));
    let validation = spec.validation.unwrap_or(0);
    let train = match spec.train {
        Some(train) => train.saturating_add(validation),
        None => all.len().saturating_sub(test),
    };
    if train.saturating_add(test) > all.len() {
        return Err(too_few("train", train.saturating_add(test), all.len()));
    }
    Ok(Split { train: first(&all, train), test: last(&all, test), validation: None })
}

/// As many of the five training batches as there are, in order; 20,000 images where two are.
fn cifar10(spec: &DataSpec) -> Result<Split> {
    let batches = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
    let dirs = with_inner("cifar10", spec.path.as_deref(), "cifar-10-batches-bin");
    let [first, test] = locate("cifar10", &dirs, &[batches[0], "test_batch.bin"])?;
    let folder = first.parent().unwrap_or(Path::new(""));
    let train: Vec<PathBuf> = batches.iter().map(|name| folder.join(name)).filter(|path| path.is_file()).collect();
    Ok(Split {
        train: cifar::read(&train, cifar::Variant::Cifar10)?,
        test: cifar::read(&[test], cifar::Variant::Cifar10)?,
        validation: None,
    })
}

fn cifar100(spec: &DataSpec) -> Result<Split> {
    let dirs = with_inner("cifar100", spec.path.as_deref(), "cifar-100-binary");
    let [train, test] = locate("cifar100", &dirs, &["train.bin", "test.bin"])?;
    Ok(Split {
        train: cifar::read(&[train], cifar::Variant::Cifar100)?,
        test: cifar::read(&[test], cifar::Variant::Cifar100)?,
        validation: None,
    })
}

/// Each folder, and the folder that the published archive unpacks to inside it.
fn with_inner(name: &str, path: Option<&Path>, inner: &str) -> Vec<PathBuf> {
    paths::set_dirs(name, path).into_iter().flat_map(|dir| [dir.clone(), dir.join(inner)]).collect()
}
