//! Arrays of numbers from files: nested lists of a JSON object, or (feature `safetensors`) a `.safetensors` file.
//!
//! Everything becomes `f64` in row order. Cost: one pass over the file, 8 bytes a number.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{Error, Result};

/// The deepest nesting that is read.
const MAX_DIMS: usize = 4;

/// Numbers of a shape, in row order; `data.len()` is the product of `shape`, no dimension is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f64>,
}

impl Tensor {
    /// # Errors
    /// [`Error::Undefined`] if the shape doesn't hold that many numbers or is empty.
    pub fn new(shape: Vec<usize>, data: Vec<f64>) -> Result<Self> {
        let product = shape.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
        if data.is_empty() || product != Some(data.len()) {
            let n = data.len();
            return Err(Error::Undefined(format!("{n} numbers don't fill an array of shape {shape:?}")));
        }
        Ok(Self { shape, data })
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers in row order.
    pub fn data(&self) -> &[f64] {
        &self.data
    }
}

/// The named arrays of a file, and its short lists and words beside them.
#[derive(Clone, Debug, Default)]
pub struct TensorFile {
    file: String,
    tensors: BTreeMap<String, Tensor>,
    // safetensors' metadata; in JSON, strings and truth values.
    notes: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file: `.safetensors` by its ending, JSON otherwise.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Syntax`] with the place, [`Error::Undefined`] for a `.safetensors` file without the
    /// feature.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) {
            Self::parse_safetensors(&name, &bytes)
        } else {
            Self::parse_json(&name, &bytes)
        }
    }

    /// Reads one JSON object whose values are numbers, nested lists of numbers (up to four deep, each level of one
    /// length), strings or truth values; nulls and objects are skipped.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the place.
    pub fn parse_json(file: &str, bytes: &[u8]) -> Result<Self> {
        let mut found: Self = serde_json::from_slice(bytes).map_err(|error| Error::Syntax {
            file: file.to_owned(),
            line: error.line(),
            column: error.column(),
            message: {
                let message = error.to_string();
                message.rfind(" at line ").map_or(&*message, |at| &message[..at]).to_owned()
            },
        })?;
        file.clone_into(&mut found.file);
        Ok(found)
    }

    #[cfg(not(feature = "safetensors"))]
    fn parse_safetensors(file: &str, _: &[u8]) -> Result<Self> {
        Err(Error::Undefined(format!("{file}: this build reads no .safetensors (feature `safetensors`)")))
    }

    /// Reads safetensors of F64, F32, F16 or BF16; tensors of other types or deeper than four are skipped.
    ///
    /// # Errors
    /// [`Error::Syntax`] with the reader's message.
    #[cfg(feature = "safetensors")]
    pub fn parse_safetensors(file: &str, bytes: &[u8]) -> Result<Self> {
        let bad = |message: String| Error::Syntax { file: file.to_owned(), line: 1, column: 0, message };
        let (_, metadata) = safetensors::SafeTensors::read_metadata(bytes).map_err(|error| bad(error.to_string()))?;
        let all = safetensors::SafeTensors::deserialize(bytes).map_err(|error| bad(error.to_string()))?;
        let mut found = Self { file: file.to_owned(), ..Self::default() };
        for (key, value) in metadata.metadata().iter().flatten() {
            found.notes.insert(key.clone(), value.clone());
        }
        for (name, view) in all.tensors() {
            let data = floats(view.dtype(), view.data());
            if view.shape().len() <= MAX_DIMS
                && let Some(data) = data.filter(|data| !data.is_empty())
            {
                found.tensors.insert(name, Tensor::new(view.shape().to_vec(), data)?);
            }
        }
        Ok(found)
    }

    /// The file's name as given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// An array by name, if it is there.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// An array by name.
    ///
    /// # Errors
    /// [`Error::MissingColumn`] with the names that are there.
    pub fn need(&self, name: &str) -> Result<&Tensor> {
        self.get(name).ok_or_else(|| Error::MissingColumn {
            file: self.file.clone(),
            line: 1,
            column: name.to_owned(),
            present: self.tensors.keys().cloned().collect(),
        })
    }

    /// A string, a truth value ("true", "false") or an entry of safetensors' metadata.
    pub fn note(&self, name: &str) -> Option<&str> {
        self.notes.get(name).map(String::as_str)
    }

    /// A list of whole numbers: an array, or a note such as `4,5,5` or `[4, 5, 5]`.
    ///
    /// # Errors
    /// [`Error::Undefined`] if it is there and holds something else.
    pub fn integers(&self, name: &str) -> Result<Option<Vec<usize>>> {
        let whole = |v: &f64| (*v >= 0.0 && *v <= 1e15 && v.fract() == 0.0).then_some(*v as usize);
        let list = if let Some(tensor) = self.get(name) {
            (tensor.shape.len() == 1).then(|| tensor.data.iter().map(whole).collect::<Option<Vec<_>>>()).flatten()
        } else if let Some(note) = self.note(name) {
            let inner = note.trim().trim_start_matches('[').trim_end_matches(']');
            inner.split(',').map(|part| part.trim().parse().ok()).collect()
        } else {
            return Ok(None);
        };
        let wrong = || Error::Undefined(format!("{}: `{name}` must be a list of whole numbers", self.file));
        list.map(Some).ok_or_else(wrong)
    }
}

#[cfg(feature = "safetensors")]
fn floats(dtype: safetensors::Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
    use safetensors::Dtype;
    let pairs = || bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b));
    match dtype {
        Dtype::F64 => Some(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()),
        Dtype::F32 => Some(bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect()),
        Dtype::BF16 => Some(pairs().map(|b| f64::from(f32::from_bits(u32::from(b) << 16))).collect()),
        Dtype::F16 => Some(pairs().map(half).collect()),
        _ => None,
    }
}

/// IEEE 754 binary16.
#[cfg(feature = "safetensors")]
fn half(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from((bits >> 10) & 0x1f);
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    sign * match exponent {
        0 => fraction * 2.0_f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
    }
}

impl<'de> Deserialize<'de> for TensorFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = TensorFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one object with arrays of numbers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<TensorFile, A::Error> {
        let mut found = TensorFile::default();
        while let Some(name) = map.next_key::<String>()? {
            if found.tensors.contains_key(&name) || found.notes.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` is there twice")));
            }
            let mut tensor = Growing::default();
            match map.next_value_seed(Level { tensor: &mut tensor, depth: 0, name: &name })? {
                Leaf::Numbers if tensor.data.is_empty() => {
                    return Err(A::Error::custom(format!("`{name}` is an empty array")));
                }
                Leaf::Numbers => {
                    found.tensors.insert(name, Tensor { shape: tensor.shape, data: tensor.data });
                }
                Leaf::Note(text) => {
                    found.notes.insert(name, text);
                }
                Leaf::Nothing => {}
            }
        }
        Ok(found)
    }
}

#[derive(Default)]
struct Growing {
    shape: Vec<usize>,
    // How deep the numbers lie, once one was seen.
    leaves: Option<usize>,
    data: Vec<f64>,
}

enum Leaf {
    Numbers,
    Note(String),
    Nothing,
}

/// One value of an array that is being read.
struct Level<'a> {
    tensor: &'a mut Growing,
    depth: usize,
    name: &'a str,
}

impl Level<'_> {
    fn number<E: serde::de::Error>(self, value: f64) -> std::result::Result<Leaf, E> {
        if self.tensor.leaves.is_some_and(|leaves| leaves != self.depth) || self.depth < self.tensor.shape.len() {
            return Err(E::custom(format!("`{}` has numbers and lists side by side", self.name)));
        }
        self.tensor.leaves = Some(self.depth);
        self.tensor.data.push(value);
        Ok(Leaf::Numbers)
    }

    fn other<E: serde::de::Error>(&self, leaf: Leaf, what: &str) -> std::result::Result<Leaf, E> {
        if self.depth > 0 {
            return Err(E::custom(format!("`{}` holds {what} where a number is expected", self.name)));
        }
        Ok(leaf)
    }
}

impl<'de> DeserializeSeed<'de> for Level<'_> {
    type Value = Leaf;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Leaf, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level<'_> {
    type Value = Leaf;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<Leaf, E> {
        self.number(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<Leaf, E> {
        self.number(value as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<Leaf, E> {
        self.number(value as f64)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> std::result::Result<Leaf, E> {
        self.other(Leaf::Note(value.to_string()), "true or false")
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> std::result::Result<Leaf, E> {
        self.other(Leaf::Note(value.to_owned()), "a text")
    }

    fn visit_unit<E: serde::de::Error>(self) -> std::result::Result<Leaf, E> {
        self.other(Leaf::Nothing, "null")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Leaf, A::Error> {
        let leaf = self.other(Leaf::Nothing, "an object")?;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(leaf)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Leaf, A::Error> {
        let Self { tensor, depth, name } = self;
        if depth >= MAX_DIMS || tensor.leaves.is_some_and(|leaves| leaves <= depth) {
            return Err(A::Error::custom(format!("`{name}` is nested deeper than {depth} here")));
        }
        let mut n = 0;
        while seq.next_element_seed(Level { tensor: &mut *tensor, depth: depth + 1, name })?.is_some() {
            n += 1;
        }
        // Shapes become known from the inside out.
        if tensor.shape.len() <= depth {
            tensor.shape.resize(depth + 1, usize::MAX);
        }
        match tensor.shape[depth] {
            usize::MAX => tensor.shape[depth] = n,
            expected if expected == n => {}
            expected => {
                return Err(A::Error::custom(format!("`{name}` has a row of {n} where the others have {expected}")));
            }
        }
        Ok(Leaf::Numbers)
    }
}
