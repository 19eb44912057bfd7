//! Plots as SVG.

use crate::model::{BarPlot, Heatmap, LinePlot};

impl LinePlot {
    /// A standalone SVG file.
    pub fn to_svg(&self) -> String {
        String::from("<svg xmlns=\"http://www.w3.org/2000/svg\"/>")
    }
}

impl BarPlot {
    /// A standalone SVG file.
    pub fn to_svg(&self) -> String {
        String::from("<svg xmlns=\"http://www.w3.org/2000/svg\"/>")
    }
}

impl Heatmap {
    /// A standalone SVG file.
    pub fn to_svg(&self) -> String {
        String::from("<svg xmlns=\"http://www.w3.org/2000/svg\"/>")
    }
}
