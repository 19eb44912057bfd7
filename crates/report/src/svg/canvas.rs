//! Elements of an SVG, written one after another.

use std::fmt::Write as _;

use super::{Size, theme};
use crate::escape::escape;

/// Where text is tied to its position.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// An SVG under construction. Coordinates are user units; one unit is about one CSS pixel.
pub(crate) struct Canvas {
    pub(crate) size: Size,
    body: String,
}

/// A coordinate with at most one decimal; what is not finite (which layouts exclude) becomes 0.
pub(crate) fn n(v: f64) -> String {
    let v = if v.is_finite() { (v * 10.0).round() / 10.0 } else { 0.0 };
    if v == 0.0 { "0".to_owned() } else { v.to_string() }
}

impl Canvas {
    pub(crate) fn new(size: Size) -> Self {
        Self { size, body: String::new() }
    }

    pub(crate) fn font(&self) -> f64 {
        self.size.font()
    }

    pub(crate) fn raw(&mut self, element: &str) {
        self.body.push_str(element);
    }

    /// Text, cut to the room there is; the whole of it stays as a tooltip.
    pub(crate) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str, room: f64) {
        let shown = super::text::truncate(text, self.font(), room);
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let title = if shown == text { String::new() } else { format!("<title>{}</title>", escape(text)) };
        let _ =
            write!(self.body, "<text x=\"{}\" y=\"{}\"{anchor}{class}>{title}{}</text>", n(x), n(y), escape(&shown));
    }

    pub(crate) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let (x1, y1, x2, y2) = (n(x1), n(y1), n(x2), n(y2));
        let _ = write!(self.body, "<path class=\"{class}\" d=\"M{x1} {y1}L{x2} {y2}\"/>");
    }

    pub(crate) fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), class: &str, extra: &str) {
        let (x, y, w, h) = (n(x), n(y), n(w.max(0.0)), n(h.max(0.0)));
        let _ = write!(self.body, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" class=\"{class}\"{extra}/>");
    }

    /// A connected line in the colour and dash of a series.
    pub(crate) fn curve(&mut self, series: usize, points: &[(f64, f64)]) {
        let dash = theme::dash(series);
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let colour = theme::colour(series);
        let _ = write!(self.body, "<path class=\"curve c{colour}\"{dash} d=\"{}\"/>", path(points));
    }

    /// The area between two lines over the same abscissae.
    pub(crate) fn band(&mut self, series: usize, low: &[(f64, f64)], high: &[(f64, f64)]) {
        let around: Vec<(f64, f64)> = low.iter().chain(high.iter().rev()).copied().collect();
        let _ = write!(self.body, "<path class=\"band c{}\" d=\"{}Z\"/>", theme::colour(series), path(&around));
    }

    /// The marker of a series, about 8 units across.
    pub(crate) fn marker(&mut self, series: usize, (x, y): (f64, f64)) {
        let shape: &[(f64, f64)] = match series % 5 {
            0 => {
                let _ = write!(
                    self.body,
                    "<circle class=\"dot c{}\" cx=\"{}\" cy=\"{}\" r=\"4\"/>",
                    theme::colour(series),
                    n(x),
                    n(y)
                );
                return;
            }
            1 => &[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)],
            2 => &[(0.0, -4.6), (4.4, 3.4), (-4.4, 3.4)],
            3 => &[(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)],
            _ => &[(0.0, 4.6), (4.4, -3.4), (-4.4, -3.4)],
        };
        let points: Vec<(f64, f64)> = shape.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
        let _ = write!(self.body, "<path class=\"dot c{}\" d=\"{}Z\"/>", theme::colour(series), path(&points));
    }

    /// Closes the picture at this height. `id` makes the ids of title and description unique in a page; a standalone
    /// file carries its styles.
    pub(crate) fn finish(self, height: f64, id: &str, title: &str, about: &str, standalone: bool) -> String {
        let (w, h) = (n(self.size.width()), n(height));
        let class = self.size.class();
        let (title, about) = (escape(title), escape(about));
        let mut out = String::with_capacity(self.body.len() + 2048);
        let _ = write!(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot {class}\" viewBox=\"0 0 {w} {h}\"");
        let _ = write!(out, " role=\"img\" aria-labelledby=\"{id}-t {id}-d\"");
        if standalone {
            let (light, dark, plot) = (theme::LIGHT, theme::DARK, theme::PLOT);
            let _ = write!(out, " width=\"{w}\" height=\"{h}\"><style>svg{{{light}background:var(--bg)}}");
            let _ = write!(out, "@media(prefers-color-scheme:dark){{svg{{{dark}}}}}{plot}</style>");
        } else {
            out.push('>');
        }
        let _ = write!(out, "<title id=\"{id}-t\">{title}</title><desc id=\"{id}-d\">{about}</desc>");
        out.push_str(&self.body);
        out.push_str("</svg>");
        out
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let mut out = String::with_capacity(points.len() * 12);
    for (i, (x, y)) in points.iter().enumerate() {
        let _ = write!(out, "{}{} {}", if i == 0 { 'M' } else { 'L' }, n(*x), n(*y));
    }
    out
}
