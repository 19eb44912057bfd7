//! Names of series: beside the ends of their curves where there is room, in rows above the plot otherwise.

use super::{
    canvas::{Anchor, Canvas},
    text,
};

/// What a legend entry shows before its name.
#[derive(Clone, Copy)]
pub(crate) enum Key {
    /// A piece of the i-th curve.
    Curve(usize),
    /// A marker in the i-th series' colour.
    Bar(usize),
    /// A dashed reference line.
    Reference,
}

const SAMPLE: f64 = 30.0;

/// Draws entries in rows from the top, and returns the height they take.
pub(crate) fn rows(canvas: &mut Canvas, entries: &[(Key, &str)]) -> f64 {
    if entries.is_empty() {
        return 0.0;
    }
    let (w, font) = (canvas.size.width(), canvas.font());
    let line = font * 1.6;
    let (mut x, mut y) = (0.0, line * 0.5);
    for (key, name) in entries {
        let lead = if matches!(key, Key::Bar(_)) { 16.0 } else { SAMPLE + 6.0 };
        let room = text::width(name, font).min(w - lead - 2.0);
        if x > 0.0 && x + lead + room > w {
            (x, y) = (0.0, y + line);
        }
        match key {
            Key::Curve(i) => {
                canvas.curve(*i, &[(x, y), (x + SAMPLE, y)]);
                canvas.marker(*i, (x + SAMPLE / 2.0, y));
            }
            Key::Bar(i) => canvas.marker(*i, (x + 6.0, y)),
            Key::Reference => canvas.line((x, y), (x + SAMPLE, y), "mark"),
        }
        let class = if matches!(key, Key::Reference) { "ref" } else { "" };
        canvas.text((x + lead, y + font * 0.35), Anchor::Start, class, name, room + 1.0);
        x += lead + room + 18.0;
    }
    y + line * 0.5 + 6.0
}

/// Moves labels apart to at least `gap`, inside [top, bottom], each as near to where it wants to be as a least-squares
/// fit allows (pool adjacent violators). None if there is no room.
pub(crate) fn spread(wanted: &[f64], gap: f64, top: f64, bottom: f64) -> Option<Vec<f64>> {
    let count = wanted.len();
    if count == 0 {
        return Some(Vec::new());
    }
    if (count - 1) as f64 * gap > bottom - top {
        return None;
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    // In coordinates shifted by i·gap, "apart by gap" reads "not decreasing".
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (i, label) in order.iter().enumerate() {
        blocks.push((wanted[*label] - i as f64 * gap, 1));
        while let [.., (a, n), (b, m)] = blocks[..] {
            if a <= b {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push(((a * n as f64 + b * m as f64) / (n + m) as f64, n + m));
        }
    }
    let highest = bottom - (count - 1) as f64 * gap;
    let shifted = blocks.iter().flat_map(|(at, n)| std::iter::repeat_n(at.clamp(top, highest), *n));
    let mut placed = vec![0.0; count];
    for (i, at) in shifted.enumerate() {
        placed[order[i]] = at + i as f64 * gap;
    }
    Some(placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_their_order_and_their_distance() {
        let placed = spread(&[50.0, 52.0, 51.0, 200.0], 16.0, 0.0, 210.0).unwrap();
        assert_eq!(placed, [35.0, 67.0, 51.0, 200.0]);
        assert_eq!(spread(&[5.0, 5.0], 16.0, 0.0, 100.0), Some(vec![0.0, 16.0]));
        assert_eq!(spread(&[1.0, 2.0, 3.0], 16.0, 0.0, 31.0), None);
        assert_eq!(spread(&[], 16.0, 0.0, 1.0), Some(vec![]));
    }
}
