//! Plots as SVG.
//!
//! A writer of our own instead of plotters' SVG backend. That one bakes colours into attributes (no dark mode without
//! rewriting its output), knows no text widths beyond a guess (labels collide with ticks and with each other), puts its
//! legend over the data, can't make a phone variant by other than a second call with other settings everywhere, and has
//! neither titles nor roles for screen readers. What is needed here (three kinds of plot) is a few hundred lines without
//! a dependency.
//!
//! Every plot is laid out twice: [`Size::Wide`] (760 units) and [`Size::Narrow`] (358 units, a phone's width within
//! the page's margins), and the page shows the one that fits by a media query. So text keeps its size: one unit is one
//! CSS pixel in both. Colours are custom properties, light and dark.
//!
//! Nothing here panics on any data: what is not finite (or not positive on a log axis) is left out and counted below
//! the plot, and long labels are cut with an ellipsis, their whole text kept as a tooltip.

mod bar;
mod canvas;
mod heatmap;
mod legend;
mod line;
#[cfg(test)]
mod tests;
mod text;
pub(crate) mod theme;
mod ticks;

use crate::model::{BarPlot, Heatmap, LinePlot};

/// Which of the two layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 760 units wide, for a page column or a paper.
    Wide,
    /// 358 units wide, for a phone.
    Narrow,
}

impl Size {
    fn width(self) -> f64 {
        if self == Self::Wide { 760.0 } else { 358.0 }
    }

    fn font(self) -> f64 {
        if self == Self::Wide { 13.0 } else { 12.0 }
    }

    fn class(self) -> &'static str {
        if self == Self::Wide { "wide" } else { "narrow" }
    }
}

/// What can be drawn.
pub(crate) trait Draw {
    /// An `svg` element; `id` is unique in the page.
    fn draw(&self, size: Size, id: &str, standalone: bool) -> String;
    /// The heading.
    fn title(&self) -> &str;
    /// The remark below.
    fn note(&self) -> &str;
    /// How many values can't be drawn.
    fn left_out(&self) -> usize;
}

macro_rules! standalone {
    ($($plot:ty),*) => {$(
        impl $plot {
            /// A standalone SVG file, light or dark as its viewer prefers.
            pub fn to_svg(&self, size: Size) -> String {
                self.draw(size, "plot", true)
            }
        }
    )*};
}
standalone!(LinePlot, BarPlot, Heatmap);
