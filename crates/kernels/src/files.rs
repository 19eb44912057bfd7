//! Tensors, selections and sketches as safetensors files.
//!
//! The `parse_*` functions take bytes that nobody vouches for: whatever is wrong with them is one [`Error::File`].
//! Files are written aside and renamed, so that a failure leaves nothing half-written.

use std::{collections::HashMap, fs, path::Path};

use safetensors::{
    SafeTensors,
    tensor::{Dtype, Metadata, TensorView},
};

use crate::{
    Error, Result, SparseVec,
    sketch::{CountSketch, SketchConfig, TableKind},
};

/// Metadata key of a sketch's configuration (JSON).
const SKETCH_KEY: &str = "ashlar.sketch";
/// Metadata key of a sparse vector's dense length (decimal).
const LEN_KEY: &str = "ashlar.len";

/// A dense f32 tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseTensor {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values, the last dimension first.
    pub values: Vec<f32>,
}

fn wrong(problem: impl Into<String>) -> Error {
    Error::File { path: "the file".to_owned(), problem: problem.into() }
}

/// Names the file in an error of a `parse_*` function.
fn at(path: &Path) -> impl FnOnce(Error) -> Error {
    let path = path.display().to_string();
    move |error| match error {
        Error::File { problem, .. } => Error::File { path, problem },
        other => Error::File { path, problem: other.to_string() },
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| Error::Io { action: "read", path: path.display().to_string(), source })
}

fn open(bytes: &[u8]) -> Result<(SafeTensors<'_>, Metadata)> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| wrong(format!("not a safetensors file: {error}")))?;
    Ok((tensors, metadata))
}

fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str, dtype: Dtype) -> Result<TensorView<'a>> {
    let view = tensors.tensor(name).map_err(|_| {
        let mut names = tensors.names();
        names.sort_unstable();
        names.truncate(20);
        let names: Vec<String> = names.iter().map(|name| format!("`{}`", name.escape_debug())).collect();
        wrong(format!(
            "no tensor `{name}`; it has {}",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        ))
    })?;
    if view.dtype() != dtype {
        return Err(wrong(format!("tensor `{name}` is {:?}: {dtype:?} is needed", view.dtype())));
    }
    Ok(view)
}

fn words<T, const N: usize>(bytes: &[u8], word: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| word(bytes)).collect()
}

/// The f32 tensor `name` of a safetensors file's bytes.
///
/// # Errors
/// Bytes that are no safetensors file; no such tensor (the names are listed); another element type.
pub fn parse_tensor(bytes: &[u8], name: &str) -> Result<DenseTensor> {
    let (tensors, _) = open(bytes)?;
    let view = tensor(&tensors, name, Dtype::F32)?;
    Ok(DenseTensor { shape: view.shape().to_vec(), values: words(view.data(), f32::from_le_bytes) })
}

/// The sketch in a safetensors file's bytes: tensor `table` and its configuration in the metadata.
///
/// # Errors
/// As [`parse_tensor`]; a missing or impossible configuration; a table that doesn't fit it.
pub fn parse_sketch(bytes: &[u8]) -> Result<CountSketch> {
    let (tensors, metadata) = open(bytes)?;
    let text = metadata
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(SKETCH_KEY))
        .ok_or_else(|| wrong(format!("no sketch: the metadata has no `{SKETCH_KEY}`")))?;
    let config: SketchConfig =
        serde_json::from_str(text).map_err(|error| wrong(format!("the sketch's configuration: {error}")))?;
    config.check()?;
    let shape = [config.rows as u64, config.cols];
    let dtype = if config.table == TableKind::F32 { Dtype::F32 } else { Dtype::I64 };
    let view = tensor(&tensors, "table", dtype)?;
    if !view.shape().iter().map(|&size| size as u64).eq(shape) {
        return Err(wrong(format!("tensor `table` has shape {:?}: the configuration says {shape:?}", view.shape())));
    }
    match config.table {
        TableKind::F32 => CountSketch::from_table_f32(config, words(view.data(), f32::from_le_bytes)),
        TableKind::Fixed { .. } => CountSketch::from_table_fixed(config, words(view.data(), i64::from_le_bytes)),
    }
}

/// The sparse vector in a safetensors file's bytes: tensors `idx` and `val`, its length in the metadata.
///
/// # Errors
/// As [`parse_tensor`]; indices that don't strictly increase below the length.
pub fn parse_sparse(bytes: &[u8]) -> Result<SparseVec> {
    let (tensors, metadata) = open(bytes)?;
    let len = metadata
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(LEN_KEY))
        .and_then(|len| len.parse().ok())
        .ok_or_else(|| wrong(format!("no sparse vector: the metadata has no number `{LEN_KEY}`")))?;
    let idx = words(tensor(&tensors, "idx", Dtype::U32)?.data(), u32::from_le_bytes);
    let val = words(tensor(&tensors, "val", Dtype::F32)?.data(), f32::from_le_bytes);
    SparseVec::new(len, idx, val)
}

/// Reads the f32 tensor `name`.
///
/// # Errors
/// As [`parse_tensor`], with the path; a file that can't be read.
pub fn read_tensor(path: &Path, name: &str) -> Result<DenseTensor> {
    parse_tensor(&read(path)?, name).map_err(at(path))
}

/// Reads a sketch.
///
/// # Errors
/// As [`parse_sketch`], with the path; a file that can't be read.
pub fn read_sketch(path: &Path) -> Result<CountSketch> {
    parse_sketch(&read(path)?).map_err(at(path))
}

/// Reads a sparse vector.
///
/// # Errors
/// As [`parse_sparse`], with the path; a file that can't be read.
pub fn read_sparse(path: &Path) -> Result<SparseVec> {
    parse_sparse(&read(path)?).map_err(at(path))
}

/// A sketch as a safetensors file's bytes.
///
/// # Errors
/// Only if the format's own limits are exceeded.
pub fn sketch_bytes(sketch: &CountSketch) -> Result<Vec<u8>> {
    let config = sketch.config();
    let shape = vec![config.rows as usize, config.cols as usize];
    let (dtype, data): (_, Vec<u8>) = match config.table {
        TableKind::F32 => (Dtype::F32, sketch.table_f32().iter().flat_map(|cell| cell.to_le_bytes()).collect()),
        TableKind::Fixed { .. } => {
            (Dtype::I64, sketch.table_fixed().iter().flat_map(|cell| cell.to_le_bytes()).collect())
        }
    };
    let text = serde_json::to_string(config).map_err(|error| wrong(error.to_string()))?;
    bytes_of(vec![("table", dtype, shape, data)], (SKETCH_KEY, text))
}

/// A sparse vector, and what is left of the tensor it was taken from, as a safetensors file's bytes.
///
/// # Errors
/// As [`sketch_bytes`].
pub fn sparse_bytes(top: &SparseVec, residual: Option<&DenseTensor>) -> Result<Vec<u8>> {
    let mut tensors = vec![
        ("idx", Dtype::U32, vec![top.nnz()], top.idx().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()),
        ("val", Dtype::F32, vec![top.nnz()], top.val().iter().flat_map(|x| x.to_le_bytes()).collect()),
    ];
    if let Some(residual) = residual {
        let data = residual.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        tensors.push(("residual", Dtype::F32, residual.shape.clone(), data));
    }
    bytes_of(tensors, (LEN_KEY, top.len().to_string()))
}

fn bytes_of(tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)>, (key, value): (&str, String)) -> Result<Vec<u8>> {
    let mut views = Vec::with_capacity(tensors.len());
    for (name, dtype, shape, data) in &tensors {
        let view = TensorView::new(*dtype, shape.clone(), data).map_err(|error| wrong(error.to_string()))?;
        views.push((*name, view));
    }
    let metadata = HashMap::from([(key.to_owned(), value)]);
    safetensors::serialize(views, Some(metadata)).map_err(|error| wrong(error.to_string()))
}
