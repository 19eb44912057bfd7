//! The types of an experiment file.

use ashlar_cli::{
    Failure,
    config::{Source, from_table},
};
use serde::{Deserialize, Serialize};
use toml::Table;

/// `[experiment]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Short name: the run folder is called after it.
    pub name: String,
    /// The paper that it reproduces, by its name in `ashlar reproduce --list`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// Heading of the report.
    pub title: String,
    /// What the reader should know before the figures: the setting, and what it does not show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Every stage runs once for each of them.
    #[serde(default = "one_seed")]
    pub seeds: Vec<u64>,
    /// What `--full` sets: the paths of `--set`, and `seeds`.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub full: Table,
}

fn one_seed() -> Vec<u64> {
    vec![0]
}

/// `[report]`: what tables and plots show; sensible defaults where it is silent.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportOptions {
    /// Keys of `result.json` that the table of stages shows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Keys of `metrics.jsonl` that are plotted over the rounds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<String>,
    /// Keys of `result.json` that are drawn as bars.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bars: Vec<String>,
}

impl ReportOptions {
    fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.curves.is_empty() && self.bars.is_empty()
    }
}

/// `[[stage]]`: one command of a crate.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How claims and later stages call it.
    pub name: String,
    /// The command as typed after `ashlar`: `fl-core train`.
    pub run: String,
    /// Heading in the report [default: the name].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// A paragraph in the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// `full`: runs with `--full` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// Other seeds than the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Vec<u64>>,
    /// Metric by which the grid's best point is chosen (its mean over seeds, the first of equals); `-` for the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub select: Option<String>,
    /// With `select`: the point whose mean is nearest to this value, instead of the largest (to compare methods at
    /// matched strength).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toward: Option<f64>,
    /// Keys with the values to try, in all combinations.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub grid: Table,
    /// The command's own table, over the shared ones.
    #[serde(default)]
    pub with: Table,
}

/// Whether a stage or claim belongs to the longer setting alone.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// With `--full` only.
    Full,
}

/// How a claim treats seeds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Over {
    /// The mean over seeds.
    #[default]
    Mean,
    /// Every seed by itself.
    Each,
    /// The median over seeds.
    Median,
}

/// A claim's comparison.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub enum Op {
    /// At least.
    #[serde(rename = ">=")]
    AtLeast,
    /// At most.
    #[serde(rename = "<=")]
    AtMost,
    /// More than.
    #[serde(rename = ">")]
    More,
    /// Less than.
    #[serde(rename = "<")]
    Less,
    /// Exactly.
    #[serde(rename = "==")]
    Equal,
}

impl Op {
    /// Whether the comparison holds; never for NaN.
    pub fn holds(self, measured: f64, threshold: f64) -> bool {
        match self {
            Self::AtLeast => measured >= threshold,
            Self::AtMost => measured <= threshold,
            Self::More => measured > threshold,
            Self::Less => measured < threshold,
            Self::Equal => measured == threshold,
        }
    }

    /// As the file writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::Less => "<",
            Self::Equal => "==",
        }
    }
}

/// An interval that a claim asks for.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// The whole 95 % bootstrap interval of the mean difference (paired by seed) between metric and threshold must
    /// satisfy the comparison.
    Bootstrap,
}

/// `[[claim]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What is claimed, for people.
    pub text: String,
    /// `STAGE.key`: a dotted key into the stage's `result.json`.
    pub metric: String,
    /// How seeds count.
    #[serde(default)]
    pub over: Over,
    /// The comparison.
    pub op: Op,
    /// The threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Instead of a value: another stage's metric, `times` and `plus` applied to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub than: Option<String>,
    /// Added to `than`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub plus: f64,
    /// Multiplies `than`, before `plus`.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub times: f64,
    /// Also asks for an interval over seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// `false`: the comparison is reported with its sign, and claims nothing.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub gate: bool,
    /// `full`: judged with `--full` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
}

fn yes() -> bool {
    true
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_yes(x: &bool) -> bool {
    *x
}

fn one() -> f64 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_one(x: &f64) -> bool {
    *x == 1.0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct File {
    pub experiment: Header,
    #[serde(default)]
    pub report: ReportOptions,
    #[serde(default)]
    pub stage: Vec<Stage>,
    #[serde(default)]
    pub claim: Vec<Claim>,
    /// Every other table.
    #[serde(flatten)]
    pub shared: Table,
}

impl File {
    pub fn parse(table: &Table, source: &Source) -> Result<Self, Failure> {
        from_table(table, Some(source))
    }
}

/// The same without shared tables, for writing.
#[derive(Serialize)]
pub(super) struct Resolved {
    pub experiment: Header,
    #[serde(skip_serializing_if = "ReportOptions::is_empty")]
    pub report: ReportOptions,
    pub stage: Vec<Stage>,
    pub claim: Vec<Claim>,
}
