//! A matrix of numbers on tinted cells.
//!
//! Tints stay light enough (55 % of the hue at most) that text keeps its contrast in both themes.

use std::fmt::Write as _;

use super::{
    Draw, Size,
    canvas::{Anchor, Canvas, n},
    text,
};
use crate::{
    escape::escape,
    model::{Better, Heatmap},
};

/// The strongest tint.
const STRONGEST: f64 = 0.55;

impl Draw for Heatmap {
    fn title(&self) -> &str {
        &self.title
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn left_out(&self) -> usize {
        0
    }

    fn draw(&self, size: Size, id: &str, standalone: bool) -> String {
        let mut canvas = Canvas::new(size);
        let height = self.draw_on(&mut canvas);
        let title = if self.title.is_empty() { "Heatmap" } else { &self.title };
        canvas.finish(height, id, title, &self.about(), standalone)
    }
}

impl Heatmap {
    fn value(&self, row: usize, column: usize) -> f64 {
        self.values.get(row).and_then(|r| r.get(column)).copied().unwrap_or(f64::NAN)
    }

    fn about(&self) -> String {
        let mut out = format!(
            "Matrix of {} rows ({}) and {} columns ({}).",
            self.rows.len(),
            self.row_label,
            self.columns.len(),
            self.column_label
        );
        for (i, row) in self.rows.iter().enumerate() {
            let _ = write!(out, " {row}:");
            for (j, column) in self.columns.iter().enumerate() {
                let _ = write!(out, "{} {column} {}", if j > 0 { "," } else { "" }, self.show(self.value(i, j)));
            }
            out.push('.');
        }
        out
    }

    fn show(&self, v: f64) -> String {
        if v.is_nan() { "–".to_owned() } else { self.format.show(v) }
    }

    /// Class and opacity of a cell; none for a blank one.
    fn tint(&self, v: f64) -> Option<(&'static str, f64)> {
        if v.is_nan() {
            return None;
        }
        let (low, high) = self.range.filter(|(a, b)| a < b).unwrap_or_else(|| self.ends());
        // Infinities alone span no range; they get the middle, as equal values do.
        if low > high {
            return Some(self.shade(0.5));
        }
        let share = ((v.clamp(low, high) - low) / (high - low)).clamp(0.0, 1.0);
        Some(self.shade(if share.is_nan() { 0.5 } else { share }))
    }

    /// Class and opacity of a share of the range.
    fn shade(&self, share: f64) -> (&'static str, f64) {
        match self.better {
            Better::Neither => ("cell", share * STRONGEST),
            better => {
                let good = if better == Better::High { share } else { 1.0 - share };
                (if good >= 0.5 { "cell-good" } else { "cell-bad" }, (2.0 * good - 1.0).abs() * STRONGEST)
            }
        }
    }

    fn ends(&self) -> (f64, f64) {
        let finite = self.values.iter().flatten().filter(|v| v.is_finite());
        finite.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)))
    }

    fn draw_on(&self, canvas: &mut Canvas) -> f64 {
        let (w, font) = (canvas.size.width(), canvas.font());
        let share = if canvas.size == Size::Wide { 0.28 } else { 0.32 };
        let longest = self.rows.iter().map(|r| text::width(r, font)).fold(0.0, f64::max);
        let left = (longest + 10.0).min(w * share);
        let count = self.columns.len().max(1);
        let cell_w = ((w - left) / count as f64).min(120.0);
        let cell_h = if canvas.size == Size::Wide { 34.0 } else { 32.0 };

        let top = self.column_names(canvas, left, cell_w);
        for (i, row) in self.rows.iter().enumerate() {
            let y = top + i as f64 * cell_h;
            match text::wrap(row, font, left - 6.0, 2) {
                Some(lines) if lines.len() == 2 => {
                    for (line, dy) in lines.iter().zip([-0.2, 0.95]) {
                        canvas.text((0.0, y + cell_h / 2.0 + font * dy), Anchor::Start, "", line, left);
                    }
                }
                _ => canvas.text((0.0, y + cell_h / 2.0 + font * 0.35), Anchor::Start, "", row, left - 6.0),
            }
            for (j, column) in self.columns.iter().enumerate() {
                let x = left + j as f64 * cell_w;
                let v = self.value(i, j);
                let (at, size) = ((x + 1.0, y + 1.0), (cell_w - 2.0, cell_h - 2.0));
                canvas.raw(&format!(
                    "<g><title>{} · {}: {}</title>",
                    escape(row),
                    escape(column),
                    escape(&self.show(v))
                ));
                match self.tint(v) {
                    Some((class, opacity)) => {
                        let extra = format!(
                            " rx=\"3\" fill-opacity=\"{}\"",
                            n(opacity * 10.0).parse::<f64>().unwrap_or(0.0) / 10.0
                        );
                        canvas.rect(at, size, class, &extra);
                    }
                    None => canvas.rect(at, size, "blank", " rx=\"3\""),
                }
                let shown = self.show(v);
                if text::width(&shown, font) <= cell_w {
                    canvas.text((x + cell_w / 2.0, y + cell_h / 2.0 + font * 0.35), Anchor::Middle, "", &shown, cell_w);
                }
                canvas.raw("</g>");
            }
        }
        let bottom = top + self.rows.len() as f64 * cell_h;
        if self.rows.is_empty() || self.columns.is_empty() {
            canvas.text((w / 2.0, bottom + font), Anchor::Middle, "soft", "no data", w);
            return bottom + font * 2.0;
        }
        if self.better == Better::Neither { bottom + 4.0 } else { Self::key(canvas, left, bottom) }
    }

    /// Names of the columns: wrapped over their cells, or upright where a word is too wide. Returns the cells' top.
    fn column_names(&self, canvas: &mut Canvas, left: f64, cell_w: f64) -> f64 {
        let font = canvas.font();
        let mut top = 0.0;
        if !(self.column_label.is_empty() && self.row_label.is_empty()) {
            let w = canvas.size.width();
            let label = match (self.row_label.is_empty(), self.column_label.is_empty()) {
                (false, false) => format!("{} ↓   {} →", self.row_label, self.column_label),
                (false, true) => format!("{} ↓", self.row_label),
                _ => format!("{} →", self.column_label),
            };
            canvas.text((0.0, font), Anchor::Start, "soft", &label, w);
            top += font * 1.7;
        }
        let middle = |j: usize| left + (j as f64 + 0.5) * cell_w;
        let wrapped: Option<Vec<Vec<String>>> =
            self.columns.iter().map(|c| text::wrap(c, font, cell_w - 4.0, 3)).collect();
        if let Some(wrapped) = wrapped {
            let lines = wrapped.iter().map(Vec::len).max().unwrap_or(0);
            for (j, words) in wrapped.iter().enumerate() {
                for (k, line) in words.iter().enumerate() {
                    let y = top + font * (1.0 + 1.2 * (lines - words.len() + k) as f64);
                    canvas.text((middle(j), y), Anchor::Middle, "", line, cell_w);
                }
            }
            return top + font * 1.2 * lines as f64 + 8.0;
        }
        let room = self.columns.iter().map(|c| text::width(c, font)).fold(0.0, f64::max).min(130.0);
        for (j, name) in self.columns.iter().enumerate() {
            let (x, y) = (n(middle(j) + font * 0.35), n(top + room));
            canvas.raw(&format!("<g transform=\"translate({x} {y}) rotate(-90)\">"));
            canvas.text((0.0, 0.0), Anchor::Start, "", name, room + 1.0);
            canvas.raw("</g>");
        }
        top + room + 8.0
    }

    fn key(canvas: &mut Canvas, left: f64, bottom: f64) -> f64 {
        let font = canvas.font();
        let y = bottom + 10.0;
        let mut x = left + 1.0;
        for (class, label) in [("cell-good", "better"), ("cell-bad", "worse")] {
            canvas.rect((x, y), (font, font), class, " rx=\"2\" fill-opacity=\"0.55\"");
            canvas.text((x + font + 6.0, y + font * 0.85), Anchor::Start, "soft", label, 80.0);
            x += font + 6.0 + text::width(label, font) + 18.0;
        }
        y + font + 6.0
    }
}
