//! The one thing that the server gets from a round's clients: a sum with its divisor, dense, in fixed point or sketched.

use std::borrow::Cow;

use ashlar_kernels::sketch::{CountSketch, SketchConfig, TableKind};

use crate::error::expect_len;
use crate::exact::FixedSum;
use crate::{Direction, Error, Result};

/// What the server receives in a round: a weighted sum of updates and its divisor.
#[derive(Debug, Clone)]
pub struct Aggregate {
    content: Content,
    /// What the sum is divided by to give the mean.
    pub weight: f64,
    /// Updates in the sum.
    pub clients: usize,
    /// Updates that held NaN or infinity and were left out.
    pub dropped_nonfinite: usize,
    /// Which way it points.
    pub direction: Direction,
}

#[derive(Debug, Clone)]
enum Content {
    Mean(Vec<f32>),
    Fixed(FixedSum),
    Sketch(CountSketch),
}

impl Aggregate {
    fn new(content: Content, weight: f64) -> Self {
        Self { content, weight, clients: 0, dropped_nonfinite: 0, direction: Direction::Gradient }
    }

    /// A mean that is already divided: what an [`Aggregator`](crate::aggregate::Aggregator) returns.
    pub fn mean(mean: Vec<f32>, weight: f64) -> Self {
        Self::new(Content::Mean(mean), weight)
    }

    /// A fixed-point sum, to be divided by `weight`.
    pub fn fixed(sum: FixedSum, weight: f64) -> Self {
        Self::new(Content::Fixed(sum), weight)
    }

    /// The sketch of a sum (either kind of table), to be divided by `weight`; only FetchSGD's server can use it.
    pub fn sketch(sketch: CountSketch, weight: f64) -> Self {
        Self::new(Content::Sketch(sketch), weight)
    }

    /// Sets the counts of used and dropped updates.
    #[must_use]
    pub fn with_counts(self, clients: usize, dropped_nonfinite: usize) -> Self {
        Self { clients, dropped_nonfinite, ..self }
    }

    /// Sets the direction (the constructors say [`Direction::Gradient`]).
    #[must_use]
    pub fn pointing(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }

    /// The mean, in the direction in which it came. An error for a sketch.
    pub fn dense(&self) -> Result<Cow<'_, [f32]>> {
        match &self.content {
            Content::Mean(mean) => Ok(Cow::Borrowed(mean)),
            Content::Fixed(sum) => Ok(Cow::Owned(sum.to_mean(self.weight))),
            Content::Sketch(_) => Err(Error::Conflict {
                first: "sketch_per_client",
                second: "mode",
                why: "only mode sketch works on sketches; the others need the updates themselves",
            }),
        }
    }

    /// The mean, pointing in `direction`.
    pub fn dense_as(&self, direction: Direction) -> Result<Cow<'_, [f32]>> {
        let mean = self.dense()?;
        if self.direction == direction {
            return Ok(mean);
        }
        let mut mean = mean.into_owned();
        for x in &mut mean {
            *x = -*x;
        }
        Ok(Cow::Owned(mean))
    }

    /// The mean's sketch, with an f32 table, pointing like a gradient. A fixed-point sum is sketched in i64 and
    /// converted once, so the table is the same whether clients, ranks or the server sketched.
    pub fn sketched(&self, config: &SketchConfig) -> Result<CountSketch> {
        let mut sketch = match &self.content {
            Content::Mean(mean) => {
                expect_len("the aggregate", mean.len(), config.d as usize)?;
                let mut sketch = CountSketch::new(SketchConfig { table: TableKind::F32, ..*config })?;
                sketch.accumulate(mean, 0)?;
                sketch
            }
            Content::Fixed(sum) => {
                expect_len("the aggregate", sum.q.len(), config.d as usize)?;
                let table = TableKind::Fixed { scale_log2: sum.scale_log2 };
                let mut sketch = CountSketch::new(SketchConfig { table, ..*config })?;
                sketch.accumulate_fixed(&sum.q, 0)?;
                divided(&sketch, self.weight)?
            }
            Content::Sketch(sum) => divided(sum, self.weight)?,
        };
        if self.direction == Direction::Delta {
            sketch.scale(-1.0)?;
        }
        Ok(sketch)
    }

    /// Adds decay·w to the mean gradient: weight decay applied once, at the server. (CommEfficient adds (decay/W)·w at
    /// each client and divides by Σn_i, so that its effective decay is decay/W: do that in the client for parity.)
    pub fn add_weight_decay(&mut self, decay: f32, w: &[f32]) -> Result<()> {
        if decay == 0.0 {
            return Ok(());
        }
        let decay = if self.direction == Direction::Gradient { decay } else { -decay };
        if let Content::Sketch(sum) = &self.content {
            let mut mean = divided(sum, self.weight)?;
            let scaled: Vec<f32> = w.iter().map(|w| decay * w).collect();
            mean.accumulate(&scaled, 0)?;
            // A mean from here on.
            self.content = Content::Sketch(mean);
            self.weight = 1.0;
            return Ok(());
        }
        let mut mean = self.dense()?.into_owned();
        expect_len("w", w.len(), mean.len())?;
        mean.iter_mut().zip(w).for_each(|(g, w)| *g += decay * w);
        self.content = Content::Mean(mean);
        Ok(())
    }
}

/// The sketch as f32, its table divided by `weight`.
fn divided(sum: &CountSketch, weight: f64) -> Result<CountSketch> {
    let mut mean = if sum.config().table == TableKind::F32 { sum.clone() } else { sum.to_f32() };
    mean.scale((1.0 / weight) as f32)?;
    Ok(mean)
}
