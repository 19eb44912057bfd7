//! The measurements that laws are fitted to, from the layouts in which they are published.

use std::{collections::HashSet, fmt, path::Path, str::FromStr};

use super::shape::{self, VOCAB};
use crate::{Error, Result, Table};

/// How a table names its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Gemstones' `wandb_df_*.jsonl`: `params_active_precise`, `tokens`, `width`, `depth`, `final_loss`, …
    Gemstones,
    /// The points read off Chinchilla's figure: `Model Size`, `Training FLOP`, `loss`; tokens are C / 6N.
    ChinchillaSvg,
    /// Columns called as the variables are: `params`, `tokens`, `width`, `depth`, `flops`, `gpu_hours`, `loss`, `run`.
    Plain,
}

impl Layout {
    /// Tells a table's layout by its columns.
    pub fn of(table: &Table) -> Self {
        if table.has("params_active_precise") || table.has("final_loss") {
            Self::Gemstones
        } else if table.has("Model Size") || table.has("Training FLOP") {
            Self::ChinchillaSvg
        } else {
            Self::Plain
        }
    }

    fn loss(self) -> &'static str {
        if self == Self::Gemstones { "final_loss" } else { "loss" }
    }

    fn params(self) -> &'static str {
        match self {
            Self::Gemstones => "params_active_precise",
            Self::ChinchillaSvg => "Model Size",
            Self::Plain => "params",
        }
    }
}

/// What a law is a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// Parameters N.
    Params,
    /// Training tokens D.
    Tokens,
    /// Width W.
    Width,
    /// Depth L.
    Depth,
}

impl Variable {
    /// Its name in flags, columns and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Tokens => "tokens",
            Self::Width => "width",
            Self::Depth => "depth",
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Variable {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let all = [Self::Params, Self::Tokens, Self::Width, Self::Depth];
        all.into_iter().find(|v| v.name() == text.trim()).ok_or_else(|| Error::Unknown {
            noun: "variable",
            found: text.trim().to_owned(),
            valid: all.map(Self::name).to_vec(),
        })
    }
}

/// What training spends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// FLOPs by [`shape::flops_per_token`] (or as the table gives them).
    Flops,
    /// Hours of one GPU.
    GpuHours,
}

impl Resource {
    /// Its name in flags and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flops => "flops",
            Self::GpuHours => "gpu-hours",
        }
    }
}

/// A table of measurements in a known layout.
#[derive(Clone, Debug)]
pub struct Points {
    table: Table,
    layout: Layout,
}

impl Points {
    /// Reads a file; `layout` `None` tells it by the columns.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read(path: &Path, layout: Option<Layout>) -> Result<Self> {
        Ok(Self::new(Table::read(path)?, layout))
    }

    /// Takes a table.
    pub fn new(table: Table, layout: Option<Layout>) -> Self {
        let layout = layout.unwrap_or_else(|| Layout::of(&table));
        Self { table, layout }
    }

    /// The table behind.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Never true: a table without rows is refused.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Losses, in nats a token.
    ///
    /// # Errors
    /// A missing column, or the first row whose loss is not finite and above 0.
    pub fn loss(&self) -> Result<Vec<f64>> {
        self.table.column_positive(self.layout.loss())
    }

    /// A variable's values; parameters with both embedding matrices.
    ///
    /// # Errors
    /// As [`Points::loss`].
    pub fn variable(&self, variable: Variable) -> Result<Vec<f64>> {
        match (self.layout, variable) {
            (_, Variable::Params) => self.table.column_positive(self.layout.params()),
            (Layout::ChinchillaSvg, Variable::Tokens) => {
                let params = self.table.column_positive("Model Size")?;
                let flops = self.table.column_positive("Training FLOP")?;
                Ok(flops.iter().zip(&params).map(|(c, n)| c / (6.0 * n)).collect())
            }
            _ => self.table.column_positive(variable.name()),
        }
    }

    /// Parameters less `matrices` embedding matrices of 50,304 · width: the paper's parametric fits take one away, its
    /// envelope fits both.
    ///
    /// # Errors
    /// As [`Points::loss`], and for a row that has no parameters left.
    pub fn params_no_embeds(&self, matrices: u8) -> Result<Vec<f64>> {
        let mut params = self.variable(Variable::Params)?;
        let width = self.variable(Variable::Width)?;
        for (row, (params, width)) in params.iter_mut().zip(&width).enumerate() {
            let all = *params;
            *params -= f64::from(matrices) * VOCAB as f64 * width;
            if *params <= 0.0 {
                let found = format!("{all} less {matrices} × {VOCAB} × {width}");
                return Err(self.table.cell_error(row, self.layout.params(), found, "above 0"));
            }
        }
        Ok(params)
    }

    /// What each row has spent.
    ///
    /// # Errors
    /// As [`Points::loss`].
    pub fn resource(&self, resource: Resource) -> Result<Vec<f64>> {
        match (self.layout, resource) {
            (Layout::Plain, Resource::GpuHours) => self.table.column_positive("gpu_hours"),
            (_, Resource::GpuHours) => {
                let seconds = self.table.column_positive("seconds_per_step")?;
                let steps = self.table.column_positive("step")?;
                let nodes = self.table.column_positive("num_nodes")?;
                // Eight GPUs a node.
                Ok((0..self.len()).map(|i| seconds[i] * steps[i] * nodes[i] * 8.0 / 3600.0).collect())
            }
            (Layout::ChinchillaSvg, Resource::Flops) => self.table.column_positive("Training FLOP"),
            (Layout::Plain, Resource::Flops) if self.table.has("flops") => self.table.column_positive("flops"),
            (Layout::Gemstones, Resource::Flops) if self.table.has("FLOPs") => self.table.column_positive("FLOPs"),
            (_, Resource::Flops) => {
                let (width, depth) = (self.variable(Variable::Width)?, self.variable(Variable::Depth)?);
                let tokens = self.variable(Variable::Tokens)?;
                let vocab = VOCAB as f64;
                let seq_len = shape::SEQ_LEN as f64;
                let each = |i: usize| shape::flops_per_token(width[i], depth[i], vocab, seq_len) * tokens[i];
                Ok((0..self.len()).map(each).collect())
            }
        }
    }

    /// Names of the runs, the prefix of the learning-rate ablation taken off; `None` where the table has none.
    ///
    /// # Errors
    /// A row without a name in a table with names.
    pub fn runs(&self) -> Result<Option<Vec<String>>> {
        let column = if self.layout == Layout::Plain { "run" } else { "run_name" };
        if !self.table.has(column) {
            return Ok(None);
        }
        let names = self.table.column_text(column)?;
        Ok(Some(names.into_iter().map(|name| name.strip_prefix("cooler_").unwrap_or(&name).to_owned()).collect()))
    }

    /// The rows without those of step 0, which no model has trained for, and how many these were. Everything else
    /// stays, so that a loss or count that can't be is told and never dropped.
    ///
    /// # Errors
    /// A step that is no number.
    pub fn trained(&self) -> Result<(Self, usize)> {
        if !self.table.has("step") {
            return Ok((self.clone(), 0));
        }
        let steps = self.table.column_f64("step")?;
        if steps.iter().all(|&step| step > 0.0) {
            return Ok((self.clone(), 0));
        }
        let table = self.table.keep(|row| steps[row] > 0.0);
        let dropped = self.len() - table.len();
        if table.is_empty() {
            let what = format!("rows of {} with a step above 0", self.table.file());
            return Err(Error::TooFew { what, needed: 1, found: 0 });
        }
        Ok((Self { table, layout: self.layout }, dropped))
    }

    /// How many different values there are.
    pub(crate) fn distinct(values: &[f64]) -> usize {
        values.iter().map(|v| v.to_bits()).collect::<HashSet<_>>().len()
    }
}
