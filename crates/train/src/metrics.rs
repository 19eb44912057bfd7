//! Running numbers of a training loop.

/// Mean of a stream of weighted values, kept in f64.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunningMean {
    sum: f64,
    weight: f64,
}

impl RunningMean {
    /// Adds `value` with weight 1.
    pub fn add(&mut self, value: f64) {
        self.add_weighted(value, 1.0);
    }

    /// Adds `value` that stands for `weight` examples.
    pub fn add_weighted(&mut self, value: f64, weight: f64) {
        self.sum += value * weight;
        self.weight += weight;
    }

    /// The mean; `None` before the first value.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }

    /// Sum of the weights.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// Index of the largest of `scores`, the lowest at a tie; NaN never wins, 0 if all are NaN.
#[must_use]
pub fn argmax(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, &score) in scores.iter().enumerate() {
        if score > scores[best] || (scores[best].is_nan() && !score.is_nan()) {
            best = i;
        }
    }
    best
}

/// Number of rows of `logits` (row-major, `classes` a row) whose largest entry is the label.
///
/// Rows or labels without a partner are ignored; a row that is all NaN counts as wrong.
#[must_use]
pub fn correct(logits: &[f32], classes: usize, labels: &[u32]) -> usize {
    logits
        .chunks_exact(classes.max(1))
        .zip(labels)
        .filter(|(row, label)| {
            let best = argmax(row);
            best == **label as usize && !row[best].is_nan()
        })
        .count()
}

/// Share of right rows, as [`correct`]; `None` without labels.
#[must_use]
pub fn accuracy(logits: &[f32], classes: usize, labels: &[u32]) -> Option<f64> {
    (!labels.is_empty()).then(|| correct(logits, classes, labels) as f64 / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_weighs() {
        let mut mean = RunningMean::default();
        assert_eq!(mean.mean(), None);
        mean.add(1.0);
        mean.add_weighted(4.0, 2.0);
        assert_eq!((mean.mean(), mean.weight()), (Some(3.0), 3.0));
    }

    #[test]
    fn ties_go_to_the_lowest_index_and_nan_never_wins() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NAN]), 1);
        assert_eq!(argmax(&[]), 0);
        let logits = [0.0, 1.0, 2.0, 1.0, f32::NAN, f32::NAN];
        assert_eq!(correct(&logits, 2, &[1, 0, 0]), 2);
        assert_eq!(accuracy(&logits, 2, &[1, 1, 0]), Some(1.0 / 3.0));
        assert_eq!(accuracy(&[], 2, &[]), None);
    }
}
