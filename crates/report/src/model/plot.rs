//! Plots as data: what is drawn, never where.

use serde::{Deserialize, Serialize};

use crate::{Format, number};

/// Linear or logarithmic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Equal steps.
    #[default]
    Linear,
    /// Equal factors, base 10. Values that are not positive are left out, and the plot says how many.
    Log,
}

/// An axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Axis {
    /// What it shows, with its unit where the format does not carry one.
    pub label: String,
    /// Linear or logarithmic.
    pub scale: Scale,
    /// How its ticks are written.
    pub format: Format,
    /// Ends that the axis must include (accuracy from 0 to 1); data beyond them still show.
    #[serde(with = "number::exact::list")]
    pub include: Vec<f64>,
}

impl Axis {
    /// A linear axis.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// Logarithmic.
    #[must_use]
    pub fn log(self) -> Self {
        Self { scale: Scale::Log, ..self }
    }

    /// With its ticks written another way.
    #[must_use]
    pub fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    /// Made to include these values.
    #[must_use]
    pub fn include(mut self, values: impl IntoIterator<Item = f64>) -> Self {
        self.include.extend(values);
        self
    }
}

/// Curves, each with an optional band, over a common x axis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinePlot {
    /// The heading above the plot.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// The curves, in legend order.
    pub curves: Vec<Curve>,
    /// Lines that mark a level or a moment.
    pub references: Vec<Reference>,
    /// What the bands are, or another remark. May be empty.
    pub note: String,
}

/// A named sequence of points, in x order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// The points; where one is not finite the line has a gap.
    pub points: Vec<Point>,
}

/// A point with an optional band around it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Abscissa.
    #[serde(with = "number::exact::one")]
    pub x: f64,
    /// Ordinate.
    #[serde(with = "number::exact::one")]
    pub y: f64,
    /// The band's ends (low, high), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::exact::pair")]
    pub band: Option<(f64, f64)>,
}

impl Point {
    /// A point without a band.
    pub fn new(x: f64, y: f64) -> Self {
        Self { x, y, band: None }
    }
}

/// What a band over seeds spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// From the lowest seed to the highest.
    #[default]
    Range,
    /// Student's 95 % interval of the mean.
    Mean95,
}

impl Curve {
    /// A curve without bands.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name: name.into(), points: points.into_iter().map(|(x, y)| Point::new(x, y)).collect() }
    }

    /// The mean over seeds at each x that any seed has, with a band. Values that are not finite are left out of it;
    /// fewer than two seeds give no band.
    pub fn over_seeds(name: impl Into<String>, seeds: &[Vec<(f64, f64)>], band: Band) -> Self {
        let mut all: Vec<(f64, f64)> = seeds.iter().flatten().copied().filter(|p| p.0.is_finite()).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let points = all.chunk_by(|a, b| a.0 == b.0).map(|at| over_seeds_at(at, band)).collect();
        Self { name: name.into(), points }
    }
}

fn over_seeds_at(at: &[(f64, f64)], band: Band) -> Point {
    let ys: Vec<f64> = at.iter().map(|p| p.1).filter(|y| y.is_finite()).collect();
    let y = ashlar_stats::mean(&ys).unwrap_or(f64::NAN);
    let ends = match band {
        _ if ys.len() < 2 => None,
        Band::Range => Some(ys.iter().fold((f64::MAX, f64::MIN), |(l, h), y| (l.min(*y), h.max(*y)))),
        Band::Mean95 => ashlar_stats::interval::t_mean(&ys, 0.95).ok().map(|i| (i.low, i.high)),
    };
    Point { x: at[0].0, y, band: ends }
}

/// A line that marks a level of y or a moment of x.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// A horizontal line: a threshold, chance level.
    Y {
        /// Where.
        #[serde(with = "number::exact::one")]
        at: f64,
        /// What it marks.
        label: String,
    },
    /// A vertical line: the end of an attack, a change of the learning rate.
    X {
        /// Where.
        #[serde(with = "number::exact::one")]
        at: f64,
        /// What it marks.
        label: String,
    },
}

/// Horizontal bars: categories from top to bottom, one bar a series in each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BarPlot {
    /// The heading above the plot.
    pub title: String,
    /// The value axis. Linear ones start at 0.
    pub value: Axis,
    /// The categories.
    pub categories: Vec<String>,
    /// The series, each with one bar a category.
    pub series: Vec<BarSeries>,
    /// Values marked by a line across the bars (only [`Reference::Y`]).
    pub references: Vec<Reference>,
    /// What the error bars are, or another remark. May be empty.
    pub note: String,
}

/// The bars of one method.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BarSeries {
    /// Its name in the legend.
    pub name: String,
    /// One bar a category; missing ones at the end stay empty.
    pub bars: Vec<Bar>,
}

/// A bar with an optional error bar.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// Its length; NaN draws none.
    #[serde(with = "number::exact::one")]
    pub value: f64,
    /// The error bar's ends (low, high), where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::exact::pair")]
    pub error: Option<(f64, f64)>,
}

impl From<f64> for Bar {
    fn from(value: f64) -> Self {
        Self { value, error: None }
    }
}

/// Which end of a heatmap's scale is the good one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Neither: one hue, darker is more.
    #[default]
    Neither,
    /// High values are good (accuracy): blue high, vermilion low.
    High,
    /// Low values are good (attack success): vermilion high, blue low.
    Low,
}

/// A matrix of values, one colour a cell, with the number in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Heatmap {
    /// The heading above the plot.
    pub title: String,
    /// What the rows are.
    pub row_label: String,
    /// What the columns are.
    pub column_label: String,
    /// Row names.
    pub rows: Vec<String>,
    /// Column names.
    pub columns: Vec<String>,
    /// `values[row][column]`; what is missing or not finite stays blank.
    #[serde(with = "number::exact::matrix")]
    pub values: Vec<Vec<f64>>,
    /// How the numbers are written.
    pub format: Format,
    /// The ends of the colour scale; the data's own where there are none.
    #[serde(with = "number::exact::pair")]
    pub range: Option<(f64, f64)>,
    /// Which end is good.
    pub better: Better,
    /// A remark. May be empty.
    pub note: String,
}
