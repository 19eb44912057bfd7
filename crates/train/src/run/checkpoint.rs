use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use safetensors::{SafeTensors, tensor::TensorView};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Array,
    disk::{self, ASIDE},
    env::hex,
};
use crate::{Error, Result};

const STATE: &str = "state.json";
const PREFIX: &str = "step-";
const FORMAT: u64 = 1;

/// A checkpoint whose every byte was verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Completed steps.
    pub step: u64,
    /// The arrays, in name order.
    pub tensors: Vec<(String, Array<'static>)>,
    /// What the caller stored.
    pub state: Value,
    pub(super) metrics_len: u64,
    pub(super) log_len: u64,
}

macro_rules! getters {
    ($($name:ident $kind:ident $type:ty;)*) => {$(
        #[doc = concat!("The ", stringify!($type), " array `name`.")]
        ///
        /// # Errors
        /// [`Error::NoArray`] if it isn't there or has another type.
        pub fn $name(&self, name: &str) -> Result<&[$type]> {
            match self.find(name) {
                Some(Array::$kind(values)) => Ok(values),
                _ => Err(self.no_array(name, stringify!($type))),
            }
        }
    )*};
}

impl Checkpoint {
    /// Loads the checkpoint in a folder `step-NNNNNN`.
    ///
    /// # Errors
    /// [`Error::Broken`] if a file is missing, shorter, longer or different from what was written.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        read(folder).map_err(|reason| Error::Broken { path: folder.to_owned(), reason })
    }

    getters! {
        f32 F32 f32;
        f64 F64 f64;
        u8 U8 u8;
        u32 U32 u32;
        i64 I64 i64;
    }

    fn find(&self, name: &str) -> Option<&Array<'static>> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, array)| array)
    }

    fn no_array(&self, name: &str, dtype: &'static str) -> Error {
        let found = self.tensors.iter().map(|(n, array)| format!("{n} ({})", array.dtype_name()));
        Error::NoArray { name: name.to_owned(), dtype, found: found.collect::<Vec<_>>().join(", ") }
    }
}

/// Writes one file; a parameter of [`save`] so that tests can fill the disk.
pub type WriteFile<'a> = &'a mut dyn FnMut(&Path, &[u8]) -> io::Result<()>;

/// Saves into `checkpoints/step-NNNNNN`; gives that name.
pub fn save(
    checkpoints: &Path,
    step: u64,
    arrays: &[(String, Array<'_>)],
    state: &Value,
    (metrics_len, log_len): (u64, u64),
    write: WriteFile<'_>,
) -> Result<String> {
    let name = format!("{PREFIX}{step:06}");
    let aside = checkpoints.join(format!("{ASIDE}{name}"));
    let target = checkpoints.join(&name);
    let replaced = checkpoints.join(format!("{ASIDE}old-{name}"));
    remove(&aside)?;
    fs::create_dir_all(&aside).map_err(Error::io("make the folder", &aside))?;

    let mut sums = Map::new();
    for (file, arrays) in by_file(arrays)? {
        let file = format!("{file}.safetensors");
        let bytes = encode(&file, &arrays)?;
        sums.insert(file.clone(), json!({ "bytes": bytes.len(), "sha256": hex(&Sha256::digest(&bytes)) }));
        let path = aside.join(file);
        write(&path, &bytes).map_err(Error::io("write", &path))?;
    }
    let mut document = Map::from_iter([
        ("format".to_owned(), json!(FORMAT)),
        ("step".to_owned(), json!(step)),
        ("files".to_owned(), Value::Object(sums)),
        ("lines".to_owned(), json!({ "metrics": metrics_len, "log": log_len })),
        ("state".to_owned(), state.clone()),
    ]);
    let sum = document_sum(&document);
    document.insert("sha256".to_owned(), json!(sum));
    let path = aside.join(STATE);
    write(&path, Value::Object(document).to_string().as_bytes()).map_err(Error::io("write", &path))?;
    disk::sync_dir(&aside)?;

    // A step is only ever saved twice with the same content, so the moment without it loses nothing but time.
    if target.exists() {
        remove(&replaced)?;
        fs::rename(&target, &replaced).map_err(Error::io("set aside", &target))?;
    }
    fs::rename(&aside, &target).map_err(Error::io("rename to", &target))?;
    disk::sync_dir(checkpoints)?;
    remove(&replaced)?;
    Ok(name)
}

type NamedArrays<'a> = BTreeMap<&'a str, &'a Array<'a>>;

/// Sorts arrays into files by the part of the name before the first slash.
fn by_file<'a>(arrays: &'a [(String, Array<'a>)]) -> Result<BTreeMap<&'a str, NamedArrays<'a>>> {
    let mut files: BTreeMap<&str, NamedArrays<'_>> = BTreeMap::new();
    for (name, array) in arrays {
        let invalid = |reason| Error::ArrayName { name: name.clone(), reason };
        let (file, rest) = name.split_once('/').unwrap_or(("model", name));
        if file.is_empty() || !file.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            return Err(invalid("the part before the slash names a file: use letters, digits, - and _"));
        }
        if rest.is_empty() || rest == "__metadata__" {
            return Err(invalid("it needs a name of its own"));
        }
        if file == "model" && name.contains('/') {
            return Err(invalid("arrays without a slash are those of the file model: leave out `model/`"));
        }
        if files.entry(file).or_default().insert(rest, array).is_some() {
            return Err(invalid("it is used twice"));
        }
    }
    Ok(files)
}

fn encode(file: &str, arrays: &NamedArrays<'_>) -> Result<Vec<u8>> {
    let failed = |source| Error::Encode { what: file.to_owned(), source };
    let bytes: Vec<_> = arrays.iter().map(|(name, array)| (*name, *array, array.bytes())).collect();
    let views = bytes
        .iter()
        .map(|(name, array, bytes)| TensorView::new(array.dtype(), vec![array.len()], bytes).map(|view| (*name, view)));
    let views = views.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    safetensors::serialize(views, None).map_err(failed)
}

/// SHA-256 of the document without its sum.
fn document_sum(document: &Map<String, Value>) -> String {
    let rest: Map<_, _> =
        document.iter().filter(|(key, _)| *key != "sha256").map(|(k, v)| (k.clone(), v.clone())).collect();
    hex(&Sha256::digest(Value::Object(rest).to_string().as_bytes()))
}

/// Reads and verifies; the error says what is wrong.
fn read(folder: &Path) -> Result<Checkpoint, String> {
    let text = fs::read_to_string(folder.join(STATE)).map_err(|error| format!("{STATE}: {error}"))?;
    let document: Map<String, Value> = serde_json::from_str(&text).map_err(|error| format!("{STATE}: {error}"))?;
    let format = document.get("format").and_then(Value::as_u64);
    if format != Some(FORMAT) {
        return Err(format!("{STATE}: format {format:?}, but this program reads {FORMAT}"));
    }
    if document.get("sha256").and_then(Value::as_str) != Some(&document_sum(&document)) {
        return Err(format!("{STATE}: its SHA-256 doesn't match"));
    }
    let missing = || format!("{STATE}: a key is missing");
    let number = |path: &str| document_number(&document, path).ok_or_else(missing);
    let files = document.get("files").and_then(Value::as_object).ok_or_else(missing)?;
    let mut tensors = Vec::new();
    for (file, sum) in files {
        let bytes = fs::read(folder.join(file)).map_err(|error| format!("{file}: {error}"))?;
        let expected = sum.get("bytes").and_then(Value::as_u64).ok_or_else(missing)?;
        if bytes.len() as u64 != expected {
            return Err(format!("{file}: {} bytes instead of {expected}", bytes.len()));
        }
        if sum.get("sha256").and_then(Value::as_str) != Some(&hex(&Sha256::digest(&bytes))) {
            return Err(format!("{file}: its SHA-256 doesn't match"));
        }
        decode(file, &bytes, &mut tensors)?;
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Checkpoint {
        step: number("step")?,
        tensors,
        state: document.get("state").cloned().ok_or_else(missing)?,
        metrics_len: number("lines.metrics")?,
        log_len: number("lines.log")?,
    })
}

fn document_number(document: &Map<String, Value>, path: &str) -> Option<u64> {
    match path.split_once('.') {
        None => document.get(path)?.as_u64(),
        Some((outer, inner)) => document.get(outer)?.get(inner)?.as_u64(),
    }
}

fn decode(file: &str, bytes: &[u8], into: &mut Vec<(String, Array<'static>)>) -> Result<(), String> {
    let stem = file.strip_suffix(".safetensors").unwrap_or(file);
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| format!("{file}: {error}"))?;
    for (name, view) in tensors.iter() {
        let array = Array::read(&view).ok_or_else(|| format!("{file}: {name} has type {:?}", view.dtype()))?;
        into.push((if stem == "model" { name.to_owned() } else { format!("{stem}/{name}") }, array));
    }
    Ok(())
}

/// Checkpoint folders with their steps, newest first.
fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(checkpoints) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::io("list", checkpoints))?,
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let step = entry.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
            Some((step, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The newest intact checkpoint, and the broken ones that are newer.
pub fn newest(checkpoints: &Path) -> Result<(Option<Checkpoint>, Vec<PathBuf>)> {
    let mut broken = Vec::new();
    for (_, folder) in list(checkpoints)? {
        match read(&folder) {
            Ok(checkpoint) => return Ok((Some(checkpoint), broken)),
            Err(reason) => {
                tracing::warn!(checkpoint = %folder.display(), %reason, "skipping a broken checkpoint");
                broken.push(folder);
            }
        }
    }
    Ok((None, broken))
}

/// Renames a broken checkpoint, so that it is neither met again nor lost to whoever wants to look into it.
pub fn set_aside(folder: &Path) -> Result<()> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let target = folder.with_file_name(format!("broken-{name}"));
    remove(&target)?;
    fs::rename(folder, &target).map_err(Error::io("set aside", folder))
}

/// Removes what a killed process left half-written.
pub fn clean(checkpoints: &Path) -> Result<()> {
    for entry in fs::read_dir(checkpoints).map_err(Error::io("list", checkpoints))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(ASIDE) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes all but the `keep` newest.
pub fn prune(checkpoints: &Path, keep: usize) -> Result<()> {
    list(checkpoints)?.into_iter().skip(keep).try_for_each(|(_, folder)| remove(&folder))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", folder)(error)),
        _ => Ok(()),
    }
}
