//! Curves with bands.

use std::fmt::Write as _;

use super::{
    Draw, Size,
    canvas::{Anchor, Canvas, n},
    legend::{self, Key},
    text,
    ticks::{Layout, drawable},
};
use crate::model::{Curve, LinePlot, Point, Reference};

impl Draw for LinePlot {
    fn title(&self) -> &str {
        &self.title
    }

    fn note(&self) -> &str {
        &self.note
    }

    fn left_out(&self) -> usize {
        self.curves.iter().flat_map(|c| &c.points).filter(|p| !self.shows(p)).count()
    }

    fn draw(&self, size: Size, id: &str, standalone: bool) -> String {
        Picture::new(self, size).finish(id, standalone)
    }
}

impl LinePlot {
    fn shows(&self, p: &Point) -> bool {
        drawable(self.x.scale, p.x) && drawable(self.y.scale, p.y)
    }

    fn band(&self, p: &Point) -> Option<(f64, f64)> {
        p.band.filter(|(low, high)| drawable(self.y.scale, *low) && drawable(self.y.scale, *high))
    }

    fn about(&self) -> String {
        let mut out = format!("Line plot of {} against {}.", name(&self.y.label, "y"), name(&self.x.label, "x"));
        for curve in &self.curves {
            let shown: Vec<&Point> = curve.points.iter().filter(|p| self.shows(p)).collect();
            let _ = match shown[..] {
                [] => write!(out, " {}: no data.", curve.name),
                [p] => write!(out, " {}: {} at {}.", curve.name, self.y.format.show(p.y), self.x.format.show(p.x)),
                [a, .., b] => {
                    let (from, to) = (self.y.format.show(a.y), self.y.format.show(b.y));
                    write!(
                        out,
                        " {}: from {from} at {} to {to} at {}.",
                        curve.name,
                        self.x.format.show(a.x),
                        self.x.format.show(b.x)
                    )
                }
            };
        }
        out
    }
}

fn name<'a>(label: &'a str, default: &'a str) -> &'a str {
    if label.is_empty() { default } else { label }
}

/// A plot on its way to the canvas.
struct Picture<'a> {
    plot: &'a LinePlot,
    canvas: Canvas,
    x: Layout,
    y: Layout,
    /// Left, top, right, bottom of the plotting area.
    area: [f64; 4],
    /// Room for names at the right; none where they stand in a legend above.
    direct: bool,
}

impl<'a> Picture<'a> {
    fn new(plot: &'a LinePlot, size: Size) -> Self {
        let mut canvas = Canvas::new(size);
        let font = canvas.font();
        let height = if size == Size::Wide { 300.0 } else { 220.0 };
        let shown = || plot.curves.iter().flat_map(|c| &c.points).filter(|p| plot.shows(p));
        let levels = |want_x: bool| {
            plot.references.iter().filter_map(move |r| match r {
                Reference::X { at, .. } if want_x => Some(*at),
                Reference::Y { at, .. } if !want_x => Some(*at),
                _ => None,
            })
        };
        let bands = shown().filter_map(|p| plot.band(p)).flat_map(|(low, high)| [low, high]);
        let ys = shown().map(|p| p.y).chain(bands).chain(levels(false));
        let y = Layout::new(&plot.y, ys, (height / 44.0) as usize, true);
        let tick_width = y.ticks.iter().map(|t| text::width(&t.1, font)).fold(0.0, f64::max);
        let left = tick_width.min(size.width() * 0.35) + 10.0;
        let xs = || shown().map(|p| p.x).chain(levels(true));
        let labels = plot.names();
        let longest = labels.iter().map(|(_, name)| text::width(name, font)).fold(0.0, f64::max);
        let crowded = labels.len() as f64 * font * 1.3 > height;
        let x = Layout::new(&plot.x, xs(), 6, false);
        let direct = size == Size::Wide && longest <= 190.0 && !crowded && plot.ends_together(&x);
        let right = size.width() - if direct { longest + 34.0 } else { 14.0 };
        let top = if direct { 0.0 } else { legend::rows(&mut canvas, &labels) };
        // As many ticks as their labels have room for, with space between.
        let widest = x.ticks.iter().map(|t| text::width(&t.1, font)).fold(20.0, f64::max);
        let target = ((right - left) / (widest * 1.3 + 14.0)).clamp(2.0, 9.0) as usize;
        let x = Layout::new(&plot.x, xs(), target, false);
        let mut picture = Self { plot, canvas, x, y, area: [left, top, right, top + height], direct };
        picture.heads();
        picture.area[3] = picture.area[1] + height;
        picture
    }

    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let [left, top, right, bottom] = self.area;
        (left + self.x.share(x) * (right - left), bottom - self.y.share(y) * (bottom - top))
    }

    /// The y axis' name and the names of vertical marks, above the area. Sets the area's top.
    fn heads(&mut self) {
        let font = self.canvas.font();
        let w = self.canvas.size.width();
        let [left, mut top, right, _] = self.area;
        if !self.plot.y.label.is_empty() {
            top += font * 1.2;
            self.canvas.text((0.0, top - font * 0.2), Anchor::Start, "soft", &self.plot.y.label, w);
            top += 4.0;
        }
        let mut marks: Vec<(f64, &str)> = self
            .plot
            .references
            .iter()
            .filter_map(|r| match r {
                Reference::X { at, label } if drawable(self.plot.x.scale, *at) => {
                    Some((left + self.x.share(*at) * (right - left), label.as_str()))
                }
                _ => None,
            })
            .collect();
        marks.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Each in the first row where it is clear of its left neighbour.
        let mut rows: Vec<f64> = Vec::new();
        for (x, label) in marks.into_iter().filter(|m| !m.1.is_empty()) {
            let room = text::width(label, font).min(w - 4.0);
            let start = (x - room / 2.0).clamp(0.0, w - room);
            let row = rows.iter().position(|end| *end + 8.0 <= start).unwrap_or(rows.len());
            if row == rows.len() {
                rows.push(0.0);
            }
            rows[row] = start + room;
            let y = top + font * (1.0 + 1.3 * row as f64);
            self.canvas.text((start, y), Anchor::Start, "ref", label, room + 1.0);
        }
        if !rows.is_empty() {
            top += font * 1.3 * rows.len() as f64 + 4.0;
        }
        self.area[1] = top + 6.0;
    }

    fn finish(mut self, id: &str, standalone: bool) -> String {
        self.axes();
        self.bands();
        self.marks();
        self.curves();
        if self.direct {
            self.names();
        }
        let font = self.canvas.font();
        let [left, top, right, bottom] = self.area;
        if self.plot.curves.iter().all(|c| !c.points.iter().any(|p| self.plot.shows(p))) {
            let middle = (left.midpoint(right), top.midpoint(bottom));
            self.canvas.text(middle, Anchor::Middle, "soft", "no data", right - left);
        }
        let mut height = bottom + font * 1.5 + 4.0;
        if !self.plot.x.label.is_empty() {
            height += font * 1.4;
            let middle = left.midpoint(right);
            self.canvas.text((middle, height - font * 0.45), Anchor::Middle, "soft", &self.plot.x.label, right - left);
        }
        let title = if self.plot.title.is_empty() { "Line plot" } else { &self.plot.title };
        self.canvas.finish(height, id, title, &self.plot.about(), standalone)
    }

    fn axes(&mut self) {
        let [left, _, right, bottom] = self.area;
        let font = self.canvas.font();
        for (v, label) in self.y.ticks.clone() {
            let y = self.at(self.x.low, v).1;
            self.canvas.line((left, y), (right, y), "grid");
            self.canvas.text((left - 7.0, y + font * 0.35), Anchor::End, "soft", &label, left - 6.0);
        }
        self.canvas.line((left, bottom), (right, bottom), "axis");
        let mut free = -1.0;
        for (v, label) in self.x.ticks.clone() {
            let x = self.at(v, self.y.low).0;
            let w = self.canvas.size.width();
            let half = text::width(&label, font).min(w) / 2.0;
            self.canvas.line((x, bottom), (x, bottom + 4.0), "axis");
            let x = x.min(w - half).max(half);
            if x - half > free {
                self.canvas.text((x, bottom + font * 1.4), Anchor::Middle, "soft", &label, w);
                free = x + half + 4.0;
            }
        }
    }

    fn marks(&mut self) {
        let [left, top, right, bottom] = self.area;
        for reference in &self.plot.references {
            match reference {
                Reference::X { at, .. } if self.x.contains(*at) => {
                    let x = self.at(*at, self.y.low).0;
                    self.canvas.line((x, top - 4.0), (x, bottom), "mark");
                }
                Reference::Y { at, .. } if self.y.contains(*at) => {
                    let y = self.at(self.x.low, *at).1;
                    self.canvas.line((left, y), (right, y), "mark");
                }
                _ => {}
            }
        }
    }

    fn bands(&mut self) {
        for (i, curve) in self.plot.curves.iter().enumerate() {
            for run in self.runs(curve).into_iter().flat_map(|run| split(&run, |p| self.plot.band(p).is_some())) {
                let ends = |p: &Point| self.plot.band(p).unwrap_or((p.y, p.y));
                let low: Vec<_> = run.iter().map(|p| self.at(p.x, ends(p).0)).collect();
                let high: Vec<_> = run.iter().map(|p| self.at(p.x, ends(p).1)).collect();
                if let ([a], [b]) = (&low[..], &high[..]) {
                    // A band over one point is a whisker.
                    self.canvas.line(*a, *b, "whisker");
                } else {
                    self.canvas.band(i, &thin(&low), &thin(&high));
                }
            }
        }
    }

    fn curves(&mut self) {
        let count = self.plot.curves.len().max(1);
        for (i, curve) in self.plot.curves.iter().enumerate() {
            let runs = self.runs(curve);
            let total: usize = runs.iter().map(Vec::len).sum();
            for run in &runs {
                let points: Vec<_> = run.iter().map(|p| self.at(p.x, p.y)).collect();
                if points.len() > 1 {
                    self.canvas.curve(i, &thin(&points));
                }
                // Few points are all marked; many at about 90 px, each curve at places of its own.
                let gap = if total <= 12 { 0.0 } else { 90.0 };
                let mut next = points[0].0 + gap * (0.35 + i as f64 / count as f64);
                for p in &points {
                    if points.len() == 1 || gap == 0.0 || p.0 >= next {
                        self.canvas.marker(i, *p);
                        next = p.0 + gap;
                    }
                }
            }
        }
    }

    /// Stretches of points without a gap.
    fn runs(&self, curve: &Curve) -> Vec<Vec<Point>> {
        split(&curve.points, |p| self.plot.shows(p))
    }

    /// Names at the right end of curves and reference lines.
    fn names(&mut self) {
        let [_, top, right, bottom] = self.area;
        let font = self.canvas.font();
        let mut entries: Vec<(f64, Key, &str)> = Vec::new();
        for (i, curve) in self.plot.curves.iter().enumerate() {
            if let Some(last) = curve.points.iter().rev().find(|p| self.plot.shows(p)) {
                entries.push((self.at(last.x, last.y).1, Key::Curve(i), &curve.name));
            }
        }
        for reference in &self.plot.references {
            if let Reference::Y { at, label } = reference
                && self.y.contains(*at)
                && !label.is_empty()
            {
                entries.push((self.at(self.x.low, *at).1, Key::Reference, label));
            }
        }
        let wanted: Vec<f64> = entries.iter().map(|e| e.0).collect();
        let placed = legend::spread(&wanted, font * 1.25, top + font * 0.3, bottom - font * 0.3).unwrap_or(wanted);
        for ((from, key, name), y) in entries.into_iter().zip(placed) {
            let x = right + 18.0;
            let lead = if matches!(key, Key::Reference) { "mark" } else { "lead" };
            if (from - y).abs() > 2.0 {
                self.canvas.line((right + 3.0, from), (x - 6.0, y), lead);
            }
            let class = match key {
                Key::Curve(i) => {
                    self.canvas.marker(i, (x, y));
                    ""
                }
                _ => "ref",
            };
            let indent = if class.is_empty() { 10.0 } else { -4.0 };
            self.canvas.text((x + indent, y + font * 0.35), Anchor::Start, class, name, f64::MAX);
        }
    }
}

impl LinePlot {
    /// What needs a name: curves, then horizontal marks.
    fn names(&self) -> Vec<(Key, &str)> {
        let curves = self.curves.iter().enumerate().map(|(i, c)| (Key::Curve(i), c.name.as_str()));
        let marks = self.references.iter().filter_map(|r| match r {
            Reference::Y { label, .. } if !label.is_empty() => Some((Key::Reference, label.as_str())),
            _ => None,
        });
        curves.filter(|(_, name)| !name.is_empty() || self.curves.len() > 1).chain(marks).collect()
    }

    /// Whether every curve ends near the right border, so that a name there is beside its curve.
    fn ends_together(&self, x: &Layout) -> bool {
        let ends = self.curves.iter().filter_map(|c| c.points.iter().rev().find(|p| self.shows(p)));
        let mut ends = ends.map(|p| x.share(p.x)).peekable();
        ends.peek().is_some() && ends.all(|share| share > 0.97)
    }
}

/// Maximal stretches whose points satisfy a condition.
fn split(points: &[Point], keep: impl Fn(&Point) -> bool) -> Vec<Vec<Point>> {
    let mut runs = Vec::new();
    for run in points.split(|p| !keep(p)).filter(|run| !run.is_empty()) {
        runs.push(run.to_vec());
    }
    runs
}

/// At most four points a pixel column (first, lowest, highest, last), which draws the same picture.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 400 {
        return points.to_vec();
    }
    let mut out: Vec<(f64, f64)> = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = [column.first(), column.iter().min_by(by_y), column.iter().max_by(by_y), column.last()];
        let mut chosen: Vec<(f64, f64)> = ends.into_iter().flatten().copied().collect();
        chosen[1..].sort_by(|a, b| a.0.total_cmp(&b.0));
        chosen.dedup_by_key(|p| (n(p.0), n(p.1)));
        out.append(&mut chosen);
    }
    out
}
