//! Checkpoints out, in the format of Hugging Face: the names under which they are read, so that what is saved loads
//! bit for bit.
//!
//! GPT-2's projections go back to [in, out], experts are one tensor each, as both majors of transformers write them.
//! Everything is written into a folder aside, synced and renamed: a save that fails leaves nothing.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use candle_core::{DType, Tensor};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use serde_json::{Map, Value, json};

use super::{Model, ModelSpec, names};
use crate::{Error, Result};

/// How a checkpoint is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveOptions {
    /// dtype of the files; `None`: that of the weights in memory.
    pub dtype: Option<DType>,
    /// Bytes of tensors a file; a larger tensor gets a file of its own.
    pub shard_bytes: u64,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { dtype: None, shard_bytes: 5_000_000_000 }
    }
}

/// What a save has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Files of weights.
    pub shards: Vec<String>,
    /// Tensors in them.
    pub tensors: usize,
    /// Bytes of those tensors.
    pub bytes: u64,
}

/// Files beside the weights that a checkpoint takes along.
const COMPANIONS: &[&str] = &[
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
];

impl Model {
    /// Writes `config.json`, the weights (in shards with their index above `shard_bytes`), `generation_config.json` and,
    /// for a model loaded from a folder, its tokenizer's files into a new folder.
    ///
    /// # Errors
    /// Where something stands at `folder` already, a value doesn't fit into f16, or a file can't be written; then there
    /// is nothing at `folder`.
    pub fn save(&self, folder: &Path, options: &SaveOptions) -> Result<Saved> {
        if !self.adapters.is_empty() {
            let problem = "the model has adapters beside its weights: merge them, or save them on their own";
            return Err(Error::AdapterState { problem });
        }
        let dtype = options.dtype.unwrap_or_else(|| self.dtype());
        let config = self.spec().to_hf(torch_name(dtype)?)?;
        write_folder(folder, |aside| {
            write_json(&aside.join("config.json"), &config)?;
            self.write_companions(aside)?;
            self.write_weights(aside, dtype, options.shard_bytes)
        })
    }

    fn write_companions(&self, folder: &Path) -> Result<()> {
        let Some(source) = &self.source else {
            let settings = generation_config(self.spec());
            return if settings.is_empty() {
                Ok(())
            } else {
                write_json(&folder.join("generation_config.json"), &Value::Object(settings))
            };
        };
        for name in COMPANIONS {
            let from = source.join(name);
            if from.is_file() {
                let copied = fs::copy(&from, folder.join(name));
                copied.map_err(|source| Error::Io { action: "copy", path: from, source })?;
            }
        }
        Ok(())
    }

    fn write_weights(&self, folder: &Path, dtype: DType, shard_bytes: u64) -> Result<Saved> {
        let mut tensors = Vec::new();
        for param in names::parameters(self.spec()) {
            let x = self.params().get(&param.name).ok_or_else(|| Error::NoParam { name: param.name.clone() })?;
            tensors.push((param.name, if param.transposed { x.t()? } else { x.clone() }));
        }
        let size = |x: &Tensor| (x.elem_count() * dtype.size_in_bytes()) as u64;
        let bytes = tensors.iter().map(|(_, x)| size(x)).sum();
        let mut shards: Vec<Vec<(String, Tensor)>> = Vec::new();
        let mut filled = 0;
        for (name, x) in tensors {
            let size = size(&x);
            match shards.last_mut() {
                Some(shard) if filled + size <= shard_bytes => {
                    shard.push((name, x));
                    filled += size;
                }
                _ => {
                    shards.push(vec![(name, x)]);
                    filled = size;
                }
            }
        }
        let (count, tensors) = (shards.len(), shards.iter().map(Vec::len).sum());
        let mut files = Vec::new();
        let mut map = Map::new();
        for (i, shard) in shards.iter().enumerate() {
            let file = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
            };
            map.extend(shard.iter().map(|(name, _)| (name.clone(), file.clone().into())));
            write_tensors(&folder.join(&file), shard, dtype)?;
            files.push(file);
        }
        if count > 1 {
            let index = json!({ "metadata": { "total_size": bytes }, "weight_map": map });
            write_json(&folder.join("model.safetensors.index.json"), &index)?;
        }
        Ok(Saved { shards: files, tensors, bytes })
    }
}

fn generation_config(spec: &ModelSpec) -> Map<String, Value> {
    let mut settings = Map::new();
    if let Some(bos) = spec.bos {
        settings.insert("bos_token_id".to_owned(), bos.into());
    }
    match spec.eos.as_slice() {
        [] => {}
        [id] => drop(settings.insert("eos_token_id".to_owned(), (*id).into())),
        ids => drop(settings.insert("eos_token_id".to_owned(), ids.into())),
    }
    if let Some(pad) = spec.pad {
        settings.insert("pad_token_id".to_owned(), pad.into());
    }
    settings
}

/// Fills a new folder aside and renames it to `folder` once everything is on the disk.
pub(super) fn write_folder<T>(folder: &Path, fill: impl FnOnce(&Path) -> Result<T>) -> Result<T> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    };
    let taken = || Error::Taken { path: folder.to_owned() };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(taken()),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) if folder.exists() => return Err(taken()),
        Err(error) => return Err(io("open", folder)(error)),
    }
    let name = folder.file_name().ok_or_else(taken)?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io("create", parent))?;
    let aside = parent.join(format!(".tmp-{}-{}", name.to_string_lossy(), std::process::id()));
    fs::create_dir(&aside).map_err(io("create", &aside))?;
    let written = fill(&aside).and_then(|value| {
        if folder.exists() {
            fs::remove_dir(folder).map_err(io("replace", folder))?; // it is empty
        }
        fs::rename(&aside, folder).map_err(io("rename to", folder))?;
        if cfg!(unix) {
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(io("sync", parent))?;
        }
        Ok(value)
    });
    if written.is_err() {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_dir_all(&aside);
    }
    written
}

pub(super) fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = format!("{value:#}\n");
    let written = File::create(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })
}

/// Writes a safetensors file of these tensors as `dtype`, one after the other, so that only one is held twice.
pub(super) fn write_tensors(path: &Path, tensors: &[(String, Tensor)], dtype: DType) -> Result<()> {
    let kind = stored(dtype)?;
    let mut at = 0;
    let info = |(name, x): &(String, Tensor)| {
        let from = at;
        at += x.elem_count() * dtype.size_in_bytes();
        (name.clone(), TensorInfo { dtype: kind, shape: x.dims().to_vec(), data_offsets: (from, at) })
    };
    let infos = tensors.iter().map(info).collect();
    let bad = |source| Error::SafeTensors { path: path.to_owned(), source };
    let metadata = Metadata::new(Some(HashMap::from([("format".to_owned(), "pt".to_owned())])), infos).map_err(bad)?;
    let mut header = serde_json::to_vec(&metadata)
        .map_err(|source| bad(safetensors::SafeTensorError::InvalidHeaderDeserialization(source)))?;
    // Readers map the file: the data start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');

    let io = |source| Error::Io { action: "write", path: path.to_owned(), source };
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(io)?);
    file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    for (name, x) in tensors {
        let flat = x.detach().flatten_all()?;
        if dtype == DType::F16 {
            fits_f16(name, &flat)?;
        }
        let flat = flat.to_dtype(dtype)?;
        match dtype {
            DType::F64 => flat.to_vec1::<f64>()?.iter().try_for_each(|v| file.write_all(&v.to_le_bytes())),
            DType::BF16 => flat.to_vec1::<half::bf16>()?.iter().try_for_each(|v| file.write_all(&v.to_le_bytes())),
            DType::F16 => flat.to_vec1::<half::f16>()?.iter().try_for_each(|v| file.write_all(&v.to_le_bytes())),
            _ => flat.to_vec1::<f32>()?.iter().try_for_each(|v| file.write_all(&v.to_le_bytes())),
        }
        .map_err(io)?;
    }
    file.flush().and_then(|()| file.get_ref().sync_all()).map_err(io)
}

/// That no finite value becomes infinite.
fn fits_f16(name: &str, flat: &Tensor) -> Result<()> {
    let limit = 65_520.0; // from here on half precision rounds to infinity
    let values = flat.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    match values.into_iter().find(|x| x.is_finite() && x.abs() >= limit) {
        Some(value) => Err(Error::Overflow { name: name.to_owned(), value }),
        None => Ok(()),
    }
}

fn stored(dtype: DType) -> Result<Dtype> {
    Ok(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        other => return Err(unknown(other)),
    })
}

fn torch_name(dtype: DType) -> Result<&'static str> {
    Ok(match dtype {
        DType::F64 => "float64",
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        other => return Err(unknown(other)),
    })
}

fn unknown(dtype: DType) -> Error {
    Error::Setting { name: "dtype", found: format!("{dtype:?}"), expected: "F64, F32, F16 or BF16".to_owned() }
}
