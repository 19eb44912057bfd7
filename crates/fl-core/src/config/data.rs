//! `[data]`: the set, and how it is spread over clients.

use std::path::PathBuf;

use ashlar_data::{Column, Fit};
use serde::{Deserialize, Serialize};

/// The data set and its partition over clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataTable {
    /// A set's name: `procedural-images` (embedded), `mnist10k`, `mnist`, `cifar10`, `image-folder`, `csv`, …
    pub name: String,
    /// Where it lies; absent means `ASHLAR_DATA`, the cache or the embedded set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Seed of the procedural set and of the partition; absent means 0 for the set and the run's for the partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Training examples; absent means the set's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<usize>,
    /// Test examples, those for validation among them; absent means the set's own number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<usize>,
    /// So many test examples, spread evenly, are for choosing settings (`val_acc`); accuracies are on the others.
    pub validation: usize,
    /// Whether channels are scaled to mean 0 and standard deviation 1 (of the training part).
    pub standardise: bool,
    /// Image folders: side in pixels that every image is brought to; absent means that all have one size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Image folders: how an image that is not square is brought to `size`.
    pub fit: Fit,
    /// Image folders: whether colours are dropped.
    pub grey: bool,
    /// Procedural sets: how many writers there are (for the natural partition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// CSV: whether the first line names the columns.
    pub header: bool,
    /// CSV and JSONL: the column or field that holds the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<Column>,
    /// CSV and JSONL: the column or field that says who made the example (for the natural partition).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Column>,
    /// Number of clients.
    pub clients: usize,
    /// How examples are given to clients.
    pub partition: PartitionName,
    /// Concentration of the Dirichlet partitions.
    pub alpha: f64,
    /// Which clients take part in a round.
    pub sampling: Sampling,
}

impl Default for DataTable {
    fn default() -> Self {
        Self {
            name: "procedural-images".to_owned(),
            path: None,
            seed: None,
            train: None,
            test: None,
            validation: 0,
            standardise: false,
            size: None,
            fit: Fit::Crop,
            grey: false,
            groups: None,
            header: true,
            label: None,
            group: None,
            clients: 100,
            partition: PartitionName::Iid,
            alpha: 0.9,
            sampling: Sampling::Uniform,
        }
    }
}

/// How examples are given to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionName {
    /// At random, in equal parts.
    #[default]
    Iid,
    /// Each client holds one class.
    ByClass,
    /// Each class is spread by its own Dirichlet draw over clients.
    Dirichlet,
    /// Each client draws its class proportions.
    DirichletClient,
    /// By writer, speaker or name, where the set says so.
    Natural,
}

/// Which clients take part in a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// `per_round` different clients, drawn anew each round.
    #[default]
    Uniform,
    /// CommEfficient's: clients with data left, until all data of the epoch is used.
    EpochExhaust,
}
