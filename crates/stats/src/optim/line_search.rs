//! A step length along a descent direction by the strong Wolfe conditions (Nocedal & Wright, algorithms 3.5 and 3.6).

/// Sufficient decrease.
const C1: f64 = 1e-4;
/// Curvature.
const C2: f64 = 0.9;
/// Function calls for one step.
const CALLS: usize = 40;
/// Values closer than this, relative, are told apart by their slopes: about the rounding of a sum of 1,000 terms.
const NOISE: f64 = 1e-14;

/// A point on the line.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub step: f64,
    pub value: f64,
    pub slope: f64,
}

/// Finds a step from `start` (step 0, slope < 0), first trying `first`. `probe` returns value and slope at a step and
/// keeps what the caller needs of it; the step returned is the last one probed. `None` if there is none.
pub(super) fn wolfe(start: At, first: f64, mut probe: impl FnMut(f64) -> At) -> Option<At> {
    let noise = NOISE * start.value.abs();
    let decreases = |at: &At| at.value <= start.value + C1 * at.step * start.slope;
    // Hager and Zhang: where the decrease drowns in rounding, a slope between (2 C1 − 1) and C2 times the first one
    // says the same.
    let accepted = |at: &At| {
        let flat = at.slope.abs() <= C2 * start.slope.abs();
        let approximate = at.value <= start.value + noise && at.slope <= (2.0 * C1 - 1.0) * start.slope;
        flat && (decreases(at) || approximate)
    };
    let mut low = start;
    let mut high: Option<At> = None;
    let mut step = first;
    for _ in 0..CALLS {
        let at = probe(step);
        if !at.value.is_finite() || !at.slope.is_finite() {
            // Beyond the domain: come back without trusting what was seen there.
            high = None;
            step = low.step + 0.1 * (step - low.step);
            if step - low.step <= f64::EPSILON * step {
                return None;
            }
            continue;
        }
        if accepted(&at) {
            return Some(at);
        }
        let noisy = (at.value - low.value).abs() <= noise;
        if (!decreases(&at) && !noisy) || (at.value >= low.value && low.step > 0.0 && !noisy) || at.slope >= 0.0 {
            if at.slope >= 0.0 && at.value < low.value && decreases(&at) {
                // The minimum lies between, and this end is the better one.
                high = Some(low);
                low = at;
            } else {
                high = Some(at);
            }
        } else {
            if high.is_some_and(|high| at.slope * (high.step - low.step) >= 0.0) {
                high = Some(low);
            }
            low = at;
        }
        step = match high {
            None => 4.0 * at.step,
            Some(high) => between(&low, &high),
        };
        if high.is_some_and(|high| (high.step - low.step).abs() <= f64::EPSILON * high.step.abs().max(low.step)) {
            break;
        }
    }
    // A decrease without the curvature condition still is progress; it must be the point probed last.
    if low.step > 0.0 && low.value < start.value {
        let at = probe(low.step);
        return Some(at);
    }
    None
}

/// The minimum of the cubic through both ends, kept a tenth away from either.
fn between(a: &At, b: &At) -> f64 {
    let (low, high) = (a.step.min(b.step), a.step.max(b.step));
    let margin = 0.1 * (high - low);
    let d1 = a.slope + b.slope - 3.0 * (a.value - b.value) / (a.step - b.step);
    let under = d1 * d1 - a.slope * b.slope;
    let d2 = under.max(0.0).sqrt().copysign(b.step - a.step);
    let cubic = b.step - (b.step - a.step) * (b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2);
    if cubic.is_finite() { cubic.clamp(low + margin, high - margin) } else { f64::midpoint(low, high) }
}
