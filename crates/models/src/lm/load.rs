//! Checkpoints in: `config.json` and one or more safetensors files, checked against the model before a tensor is read.
//!
//! Headers are read first, so that every missing, unknown or misshapen tensor is told at once and nothing larger than
//! the file is ever allocated. Accepted as well: base-model files without the `model.` prefix, experts fused into one
//! tensor, tied files that hold only the head.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};

use super::{
    config::ModelSpec,
    family::Family,
    names::{self, ParamInfo},
};
use crate::{Error, Result};

/// Parameters by name, matrices [out, in].
pub type Params = BTreeMap<String, Tensor>;

/// Reads and checks `config.json` of a checkpoint folder.
///
/// # Errors
/// Where the file is missing, isn't JSON, or is refused by [`ModelSpec::from_hf`].
pub fn read_config(folder: &Path) -> Result<ModelSpec> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|source| unreadable(&path, source))?;
    let json = serde_json::from_str(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
    ModelSpec::from_hf(&json).map_err(|source| Error::InFile { path, source: Box::new(source) })
}

/// Reads every parameter of `spec` as `dtype`; sets `spec.tied` to what the files hold.
///
/// # Errors
/// One error that lists all tensors that are missing, unknown or of another shape.
pub fn read_params(folder: &Path, spec: &mut ModelSpec, dtype: DType, device: &Device) -> Result<Params> {
    let mut files: Vec<Shard> = shards(folder)?.into_iter().map(Shard::open).collect::<Result<_>>()?;
    let mut plan = Plan::new(spec);
    for (index, file) in files.iter().enumerate() {
        for (name, info) in file.metadata.tensors() {
            plan.take(index, &name, &info.shape, info.dtype);
        }
    }
    plan.finish(folder)?;

    let mut params = Params::new();
    for read in &plan.reads {
        let whole = files[read.file].tensor(&read.name, device)?.to_dtype(dtype)?;
        for (name, part) in &read.parts {
            params.insert(name.clone(), part.cut(&whole)?);
        }
    }
    settle_tied(spec, &mut params)?;
    Ok(params)
}

/// Bytes of a checkpoint's safetensors files.
///
/// # Errors
/// Where one is missing.
pub fn checkpoint_bytes(folder: &Path) -> Result<u64> {
    let size =
        |path: PathBuf| std::fs::metadata(&path).map(|file| file.len()).map_err(|source| unreadable(&path, source));
    shards(folder)?.into_iter().map(size).sum()
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::NotFound {
        Error::NoCheckpoint { path: path.to_owned() }
    } else {
        Error::Io { action: "read", path: path.to_owned(), source }
    }
}

/// The safetensors files of a folder, by its index where there is one.
fn shards(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    let index = folder.join("model.safetensors.index.json");
    if !index.is_file() {
        return if single.is_file() { Ok(vec![single]) } else { Err(Error::NoCheckpoint { path: single }) };
    }
    let text = std::fs::read_to_string(&index).map_err(|source| unreadable(&index, source))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| Error::Json { path: index.clone(), source })?;
    let malformed = || Error::ShardIndex { path: index.clone() };
    let map = json.get("weight_map").and_then(|map| map.as_object()).ok_or_else(malformed)?;
    let mut files = BTreeSet::new();
    for file in map.values() {
        let name = file.as_str().ok_or_else(malformed)?;
        // An index may not lead out of its folder.
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(malformed());
        }
        files.insert(folder.join(name));
    }
    if files.is_empty() { Err(malformed()) } else { Ok(files.into_iter().collect()) }
}

/// One open safetensors file.
pub(super) struct Shard {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Where the first tensor's bytes stand.
    data: u64,
}

impl Shard {
    pub fn open(path: PathBuf) -> Result<Self> {
        let mut file = File::open(&path).map_err(|source| unreadable(&path, source))?;
        let bad = |source| Error::SafeTensors { path: path.clone(), source };
        let io = |source| Error::Io { action: "read", path: path.clone(), source };
        let length = file.metadata().map_err(io)?.len();
        let mut size = [0; 8];
        if length < 8 {
            return Err(bad(safetensors::SafeTensorError::HeaderTooSmall));
        }
        file.read_exact(&mut size).map_err(io)?;
        let size = u64::from_le_bytes(size);
        // The claim is checked against the file before anything is allocated for it.
        if size > length - 8 {
            return Err(bad(safetensors::SafeTensorError::HeaderTooLarge));
        }
        let mut header = vec![0; size as usize];
        file.read_exact(&mut header).map_err(io)?;
        let metadata: Metadata = serde_json::from_slice(&header)
            .map_err(|source| bad(safetensors::SafeTensorError::InvalidHeaderDeserialization(source)))?;
        check_offsets(&metadata, length - 8 - size).map_err(bad)?;
        Ok(Self { path, file, metadata, data: 8 + size })
    }

    /// Names, shapes and dtypes of its tensors.
    pub fn infos(&self) -> std::collections::HashMap<String, &TensorInfo> {
        self.metadata.tensors()
    }

    pub fn tensor(&mut self, name: &str, device: &Device) -> Result<Tensor> {
        let info = self.metadata.info(name).ok_or(Error::NoCheckpoint { path: self.path.clone() })?;
        let (from, to) = info.data_offsets;
        let io = |source| Error::Io { action: "read", path: self.path.clone(), source };
        let mut bytes = vec![0; to - from];
        self.file.seek(SeekFrom::Start(self.data + from as u64)).map_err(io)?;
        self.file.read_exact(&mut bytes).map_err(io)?;
        let dtype = float(info.dtype).unwrap_or(DType::F32); // the plan has refused the others
        Ok(Tensor::from_raw_buffer(&bytes, dtype, &info.shape, device)?)
    }
}

/// That the tensors cover the file's `length` bytes one after the other, each with the bytes of its shape.
///
/// The crate checks this only for a whole file in memory.
fn check_offsets(metadata: &Metadata, length: u64) -> Result<(), safetensors::SafeTensorError> {
    use safetensors::SafeTensorError as Bad;
    let mut tensors: Vec<(String, &TensorInfo)> = metadata.tensors().into_iter().collect();
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let mut start = 0;
    for (name, info) in tensors {
        let (from, to) = info.data_offsets;
        if from != start || to < from {
            return Err(Bad::InvalidOffset(name));
        }
        let elements = info.shape.iter().try_fold(1_usize, |n, &dim| n.checked_mul(dim));
        let bits = elements.and_then(|n| n.checked_mul(info.dtype.bitsize())).ok_or(Bad::ValidationOverflow)?;
        if bits % 8 != 0 || to - from != bits / 8 {
            return Err(Bad::TensorInvalidInfo);
        }
        start = to;
    }
    if start as u64 == length { Ok(()) } else { Err(Bad::MetadataIncompleteBuffer) }
}

pub(super) fn float(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        _ => return None,
    })
}

/// What becomes of a tensor in a file.
enum Part {
    Whole {
        transposed: bool,
    },
    /// Rows from..to of expert e of a fused tensor [E, rows, in].
    Expert {
        e: usize,
        from: usize,
        to: usize,
    },
}

impl Part {
    fn cut(&self, whole: &Tensor) -> Result<Tensor> {
        Ok(match *self {
            Self::Whole { transposed: false } => whole.clone(),
            Self::Whole { transposed: true } => whole.t()?.contiguous()?,
            Self::Expert { e, from, to } => whole.get(e)?.narrow(0, from, to - from)?.copy()?,
        })
    }
}

struct ReadTensor {
    file: usize,
    name: String,
    parts: Vec<(String, Part)>,
}

/// What to read from where, and what is wrong.
struct Plan<'a> {
    spec: &'a ModelSpec,
    wanted: BTreeMap<String, ParamInfo>,
    found: BTreeSet<String>,
    reads: Vec<ReadTensor>,
    problems: Vec<String>,
}

impl<'a> Plan<'a> {
    fn new(spec: &'a ModelSpec) -> Self {
        let mut wanted: BTreeMap<String, ParamInfo> =
            names::parameters(spec).into_iter().map(|p| (p.name.clone(), p)).collect();
        if spec.tied {
            // A tied file may hold the head, instead of the table or beside it.
            let table = &wanted[names::embedding(spec.family)];
            let head = ParamInfo { name: HEAD.to_owned(), ..table.clone() };
            wanted.insert(HEAD.to_owned(), head);
        }
        Self { spec, wanted, found: BTreeSet::new(), reads: Vec::new(), problems: Vec::new() }
    }

    fn take(&mut self, file: usize, raw: &str, shape: &[usize], dtype: Dtype) {
        if ignored(self.spec.family, raw) {
            return;
        }
        let name = self.canonical(raw);
        let parts = match self.wanted.get(&name) {
            Some(param) if param.file_shape() == shape => {
                vec![(name, Part::Whole { transposed: param.transposed })]
            }
            Some(param) => {
                let expected = param.file_shape();
                self.problems.push(format!("{raw}: shape {shape:?}, but the model needs {expected:?}"));
                self.found.insert(name);
                return;
            }
            None => match self.fused(&name, shape) {
                Some(Ok(parts)) => parts,
                Some(Err(problem)) => return self.problems.push(problem),
                None => return self.problems.push(format!("{raw}: no parameter of this model ({shape:?})")),
            },
        };
        if float(dtype).is_none() {
            self.problems.push(format!("{raw}: dtype {dtype:?}, but only F64, F32, F16 and BF16 are read"));
        }
        for (name, _) in &parts {
            if !self.found.insert(name.clone()) {
                self.problems.push(format!("{raw}: {name} is there twice"));
            }
        }
        self.reads.push(ReadTensor { file, name: raw.to_owned(), parts });
    }

    /// The name with the prefix that base models leave out, and mixtral's newer name of its router.
    fn canonical(&self, raw: &str) -> String {
        let prefix = names::base_prefix(self.spec.family);
        let name = if raw.starts_with(prefix) || raw == HEAD { raw.to_owned() } else { format!("{prefix}{raw}") };
        if self.spec.family == Family::Mixtral && name.ends_with(".mlp.gate.weight") {
            return name.replace(".mlp.gate.weight", ".block_sparse_moe.gate.weight");
        }
        name
    }

    /// The experts of a fused tensor.
    fn fused(&self, name: &str, shape: &[usize]) -> Option<Result<Vec<(String, Part)>, String>> {
        let (at, gate_up) = match name.strip_suffix(".mlp.experts.gate_up_proj") {
            Some(at) => (at, true),
            None => (name.strip_suffix(".mlp.experts.down_proj")?, false),
        };
        let layer: usize = at.strip_prefix("model.layers.")?.parse().ok()?;
        let moe = self.spec.moe.get(layer)?.as_ref()?;
        let (d, ff) = (self.spec.d_model, moe.d_ff);
        let expected = if gate_up { [moe.experts, 2 * ff, d] } else { [moe.experts, d, ff] };
        if shape != expected {
            return Some(Err(format!("{name}: shape {shape:?}, but the model needs {expected:?}")));
        }
        let names = names::moe(self.spec.family);
        let [gate, up, down] = names.expert;
        let parts = (0..moe.experts).flat_map(|e| {
            let of = |part: &str| format!("{at}.{}.experts.{e}.{part}.weight", names.block);
            if gate_up {
                vec![
                    (of(gate), Part::Expert { e, from: 0, to: ff }),
                    (of(up), Part::Expert { e, from: ff, to: 2 * ff }),
                ]
            } else {
                vec![(of(down), Part::Expert { e, from: 0, to: d })]
            }
        });
        Some(Ok(parts.collect()))
    }

    fn finish(&mut self, folder: &Path) -> Result<()> {
        let table = names::embedding(self.spec.family);
        for (name, param) in &self.wanted {
            let replaced = self.spec.tied && (name == HEAD || (name == table && self.found.contains(HEAD)));
            if !self.found.contains(name) && !replaced {
                self.problems.push(format!("{name}: missing; the model needs {:?}", param.file_shape()));
            }
        }
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(Error::Checkpoint { path: folder.to_owned(), problems: std::mem::take(&mut self.problems) })
    }
}

const HEAD: &str = "lm_head.weight";

/// Buffers of old checkpoints that hold no parameter.
fn ignored(family: Family, name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq")
        || (family == Family::Gpt2 && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")))
}

/// A tied file with a head of its own: equal values tie, others untie (as transformers 5 does).
fn settle_tied(spec: &mut ModelSpec, params: &mut Params) -> Result<()> {
    if !spec.tied {
        return Ok(());
    }
    let Some(head) = params.remove(HEAD) else { return Ok(()) };
    let table = names::embedding(spec.family);
    match params.get(table) {
        None => {
            params.insert(table.to_owned(), head);
        }
        Some(embedding) => {
            let different = embedding.ne(&head)?.to_dtype(DType::U32)?.sum_all()?.to_scalar::<u32>()?;
            if different > 0 {
                spec.tied = false;
                spec.warnings.push(format!(
                    "tie_word_embeddings is true, but {HEAD} differs from {table}: it is used as a head of its own"
                ));
                params.insert(HEAD.to_owned(), head);
            }
        }
    }
    Ok(())
}
