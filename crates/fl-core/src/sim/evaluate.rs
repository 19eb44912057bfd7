//! Accuracy over a set, on all threads.

use ashlar_data::LabelledSet;
use ashlar_models::{VisionModel, Weights};
use rayon::prelude::*;

use crate::Result;

/// Examples that one task takes.
const CHUNK: usize = 250;

/// Logits of all examples, `[n, classes]`.
///
/// # Errors
/// As the model's.
pub fn logits(model: &VisionModel, w: &Weights, set: &LabelledSet) -> Result<Vec<f32>> {
    let all: Vec<u32> = (0..set.len() as u32).collect();
    let chunks: Vec<Vec<f32>> = all
        .par_chunks(CHUNK)
        .map(|chunk| Ok(model.logits(w, &set.batch(chunk), chunk.len())?))
        .collect::<Result<_>>()?;
    Ok(chunks.concat())
}

/// Share of examples whose largest logit is their label's; a NaN among the logits is a miss.
///
/// # Errors
/// As the model's.
pub fn accuracy(model: &VisionModel, w: &Weights, set: &LabelledSet) -> Result<f64> {
    if set.is_empty() {
        return Ok(0.0);
    }
    let classes = set.classes().len();
    let logits = logits(model, w, set)?;
    let right = logits.chunks_exact(classes).zip(set.labels()).filter(|(row, label)| argmax(row) == Some(**label));
    Ok(right.count() as f64 / set.len() as f64)
}

fn argmax(row: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (class, &logit) in (0u32..).zip(row) {
        if logit.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, most)| logit > most) {
            best = Some((class, logit));
        }
    }
    best.map(|(class, _)| class)
}
