//! Which data to use, as a configuration's `[data]` table says it.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A `[data]` table. Unknown keys are errors; every key has a default, and the default set needs no download.
///
/// ```
/// let spec = ashlar_data::DataSpec { train: Some(100), test: Some(50), ..Default::default() };
/// let split = ashlar_data::load(&spec)?;
/// assert_eq!((split.train.len(), split.test.len()), (100, 50));
/// # Ok::<(), ashlar_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataSpec {
    /// A set's name (`ashlar data list`), or a format with `path`: `idx`, `cifar-binary`, `csv`, `jsonl`, `text`,
    /// `image-folder`.
    pub name: String,
    /// File or folder; without it `ASHLAR_DATA` and the cache folder are searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Seed of procedural sets and of the random test split of `csv`, `jsonl`, `text` and `image-folder`.
    pub seed: u64,
    /// Training examples: the first so many in the set's order. All if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// Test examples: the last so many in the set's order. All if left out (a fifth where the set has no test part).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
    /// Examples taken from the end of the training part to choose settings on; none if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<usize>,
    /// Whether channels are scaled to mean 0 and standard deviation 1 (of the training part).
    pub standardise: bool,
    /// Image folders: side in pixels that every image is brought to. Left out, all images must have one size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Image folders: how an image that is not square is brought to `size`.
    pub fit: Fit,
    /// Image folders: whether colours are dropped.
    pub grey: bool,
    /// Procedural sets: how many writers or users there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// CSV: whether the first line names the columns.
    pub header: bool,
    /// CSV and JSONL: the column or field that holds the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// CSV and JSONL: the column or field that says who made the example.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Column>,
    /// CSV and JSONL text sets: the columns or fields that hold the text; several are joined by line breaks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<Column>,
}

impl Default for DataSpec {
    fn default() -> Self {
        Self {
            name: "procedural-images".to_owned(),
            path: None,
            seed: 0,
            train: None,
            test: None,
            validation: None,
            standardise: false,
            size: None,
            fit: Fit::Crop,
            grey: false,
            groups: None,
            header: true,
            label: None,
            group: None,
            text: Vec::new(),
        }
    }
}

/// How an image that is not square becomes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// The shorter side is brought to `size`, then the middle is cut out.
    #[default]
    Crop,
    /// Both sides are brought to `size`; proportions change.
    Stretch,
}

/// A column by its name or by its place, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    /// By name (needs a header, or JSON).
    Name(String),
    /// By place.
    Index(usize),
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}`"),
            Self::Index(index) => write!(f, "number {index}"),
        }
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(name) => serializer.serialize_str(name),
            Self::Index(index) => serializer.serialize_u64(*index as u64),
        }
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Column;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column's name or its place counted from 0")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Column, E> {
                Ok(Column::Name(name.to_owned()))
            }

            fn visit_u64<E: de::Error>(self, index: u64) -> Result<Column, E> {
                usize::try_from(index).map(Column::Index).map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, index: i64) -> Result<Column, E> {
                usize::try_from(index)
                    .map(Column::Index)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(index), &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
