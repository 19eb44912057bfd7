//! Horizontal bars: names of any length stand at the left or above, values in a column at the right.

use std::fmt::Write as _;

use super::{
    Draw, Size,
    canvas::{Anchor, Canvas},
    legend::{self, Key},
    text, theme,
    ticks::{Layout, drawable},
};
use crate::model::{Axis, Bar, BarPlot, Reference, Scale};

impl Draw for BarPlot {
    fn title(&self) -> &str {
        &self.title
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn left_out(&self) -> usize {
        let bars = self.series.iter().flat_map(|s| s.bars.iter().take(self.categories.len()));
        bars.filter(|b| !drawable(self.value.scale, b.value)).count()
    }

    fn draw(&self, size: Size, id: &str, standalone: bool) -> String {
        let mut canvas = Canvas::new(size);
        let height = self.draw_on(&mut canvas);
        let title = if self.title.is_empty() { "Bar plot" } else { &self.title };
        canvas.finish(height, id, title, &self.about(), standalone)
    }
}

impl BarPlot {
    fn about(&self) -> String {
        let mut out =
            format!("Bar plot of {}.", if self.value.label.is_empty() { "values" } else { &self.value.label });
        for (i, category) in self.categories.iter().enumerate() {
            let _ = write!(out, " {category}:");
            for (s, series) in self.series.iter().enumerate() {
                let value = series.bars.get(i).map_or_else(|| "–".to_owned(), |b| self.value.format.show(b.value));
                let _ = write!(out, "{} {} {value}", if s > 0 { "," } else { "" }, series.name);
            }
            out.push('.');
        }
        out
    }

    fn error(&self, bar: &Bar) -> Option<(f64, f64)> {
        bar.error.filter(|(low, high)| drawable(self.value.scale, *low) && drawable(self.value.scale, *high))
    }

    fn layout(&self, target: usize) -> Layout {
        let bars = self.series.iter().flat_map(|s| s.bars.iter().take(self.categories.len()));
        let ends = bars.flat_map(|b| {
            let (low, high) = self.error(b).unwrap_or((b.value, b.value));
            [b.value, low, high]
        });
        let marks = self.references.iter().map(|r| match r {
            Reference::X { at, .. } | Reference::Y { at, .. } => *at,
        });
        let mut axis: Axis = self.value.clone();
        if axis.scale == Scale::Linear {
            axis.include.push(0.0);
        }
        Layout::new(&axis, ends.chain(marks), target, true)
    }

    fn draw_on(&self, canvas: &mut Canvas) -> f64 {
        let (w, font) = (canvas.size.width(), canvas.font());
        let many = self.series.len() > 1;
        let mut entries: Vec<(Key, &str)> = Vec::new();
        if many {
            entries.extend(self.series.iter().enumerate().map(|(i, s)| (Key::Bar(i), s.name.as_str())));
        }
        entries.extend(self.references.iter().filter_map(|r| match r {
            Reference::X { label, .. } | Reference::Y { label, .. } => {
                (!label.is_empty()).then_some((Key::Reference, label.as_str()))
            }
        }));
        let top = legend::rows(canvas, &entries);

        let longest = self.categories.iter().map(|c| text::width(c, font)).fold(0.0, f64::max);
        let beside = longest <= w * 0.3;
        let key = if many { 16.0 } else { 0.0 };
        let left = if beside { longest + 12.0 } else { 0.0 } + key;
        let values = self.series.iter().flat_map(|s| s.bars.iter().take(self.categories.len()));
        let value_width = values.map(|b| text::width(&self.show(b), font)).fold(0.0, f64::max).min(w * 0.4);
        let right = w - value_width - 10.0;
        let axis = self.layout(if canvas.size == Size::Wide { 6 } else { 3 });
        let x = |v: f64| left + axis.share(v) * (right - left);

        let thick = if many { 17.0 } else { 20.0 };
        let head = if beside { 0.0 } else { font * 1.5 };
        let group = head + self.series.len().max(1) as f64 * thick + if many { 14.0 } else { 10.0 };
        let bottom = top + group * self.categories.len() as f64 + 4.0;
        for (v, _) in &axis.ticks {
            canvas.line((x(*v), top), (x(*v), bottom), "grid");
        }
        for i in 0..self.categories.len() {
            let y = top + 6.0 + i as f64 * group;
            for (s, series) in self.series.iter().enumerate() {
                let Some(bar) = series.bars.get(i) else { continue };
                let y = y + head + s as f64 * thick;
                if many {
                    canvas.marker(s, (left - 9.0, y + thick / 2.0));
                }
                canvas.text((w, y + thick / 2.0 + font * 0.35), Anchor::End, "", &self.show(bar), value_width + 1.0);
                if !drawable(self.value.scale, bar.value) {
                    continue;
                }
                let zero = if self.value.scale == Scale::Log { left } else { x(0.0) };
                let (from, to) = (zero.min(x(bar.value)), zero.max(x(bar.value)));
                let class = format!("bar c{}", theme::colour(s));
                canvas.rect((from, y + 1.5), ((to - from).max(1.0), thick - 3.0), &class, " rx=\"2\"");
                if let Some((low, high)) = self.error(bar) {
                    let (a, b, m) = (x(low), x(high), y + thick / 2.0);
                    canvas.line((a, m), (b, m), "whisker");
                    canvas.line((a, m - 3.5), (a, m + 3.5), "whisker");
                    canvas.line((b, m - 3.5), (b, m + 3.5), "whisker");
                }
            }
        }
        for reference in &self.references {
            let (Reference::X { at, .. } | Reference::Y { at, .. }) = reference;
            if axis.contains(*at) && drawable(self.value.scale, *at) {
                canvas.line((x(*at), top), (x(*at), bottom), "mark");
            }
        }
        let zero = if self.value.scale == Scale::Log { left } else { x(0.0) };
        canvas.line((zero, top), (zero, bottom), "axis");
        // Names last: where they stand above their bars, their halo interrupts grid and marks.
        for (i, category) in self.categories.iter().enumerate() {
            let y = top + 6.0 + i as f64 * group;
            if beside {
                let middle = y + (self.series.len().max(1) as f64 * thick) / 2.0 + font * 0.35;
                canvas.text((0.0, middle), Anchor::Start, "", category, left);
            } else {
                canvas.text((0.0, y + font), Anchor::Start, "name", category, w);
            }
        }
        if self.categories.is_empty() || self.series.is_empty() {
            canvas.text((w / 2.0, bottom), Anchor::Middle, "soft", "no data", w);
        }
        let mut free = -1.0;
        for (v, label) in &axis.ticks {
            let half = text::width(label, font).min(w) / 2.0;
            let at = x(*v).clamp(half, (w - half).max(half));
            if at - half > free {
                canvas.text((at, bottom + font * 1.2), Anchor::Middle, "soft", label, w);
                free = at + half + 6.0;
            }
        }
        let mut height = bottom + font * 1.6;
        if !self.value.label.is_empty() {
            height += font * 1.4;
            canvas.text(
                (left.midpoint(right), height - font * 0.5),
                Anchor::Middle,
                "soft",
                &self.value.label,
                right - left,
            );
        }
        height
    }

    fn show(&self, bar: &Bar) -> String {
        if bar.value.is_nan() { "–".to_owned() } else { self.value.format.show(bar.value) }
    }
}
