//! Axes: domains, nice ticks, their labels, and the map from values to pixels.

use crate::{
    Format,
    model::{Axis, Scale},
    number::{fixed, significant, superscript},
};

/// Values beyond this are left out, so that no difference or ratio of two that are drawn overflows.
const LARGEST: f64 = 1e300;

/// Whether a value can be drawn on this scale.
pub(crate) fn drawable(scale: Scale, v: f64) -> bool {
    v.is_finite()
        && v.abs() <= LARGEST
        && match scale {
            Scale::Linear => true,
            Scale::Log => v >= f64::MIN_POSITIVE,
        }
}

/// An axis laid out: its domain and its ticks with labels.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    scale: Scale,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// Inside [low, high], ascending.
    pub(crate) ticks: Vec<(f64, String)>,
}

impl Layout {
    /// An axis over these values with about `target` ticks. With `round`, a linear domain ends on ticks.
    pub(crate) fn new(axis: &Axis, values: impl IntoIterator<Item = f64>, target: usize, round: bool) -> Self {
        let scale = axis.scale;
        let all = values.into_iter().chain(axis.include.iter().copied()).filter(|v| drawable(scale, *v));
        let ends = all.fold(None, |ends: Option<(f64, f64)>, v| {
            Some(ends.map_or((v, v), |(low, high)| (low.min(v), high.max(v))))
        });
        match scale {
            Scale::Linear => linear(ends.unwrap_or((0.0, 1.0)), axis.format, target.max(2), round),
            Scale::Log => log(ends.unwrap_or((1.0, 10.0)), axis.format, target.max(2)),
        }
    }

    /// Where a value lies between the ends of the domain: 0 to 1 inside it.
    pub(crate) fn share(&self, v: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (v - self.low) / (self.high - self.low),
            Scale::Log => (v / self.low).log10() / (self.high / self.low).log10(),
        };
        if share.is_finite() { share } else { 0.0 }
    }

    /// Whether a value is inside the domain.
    pub(crate) fn contains(&self, v: f64) -> bool {
        self.low <= v && v <= self.high
    }
}

fn linear((low, high): (f64, f64), format: Format, target: usize, round: bool) -> Layout {
    // A single value, or values that f64 can hardly tell apart, get room around them.
    let size = low.abs().max(high.abs());
    let (mut low, mut high) = if high - low > size * 1e-12 {
        (low, high)
    } else if size < 1e-300 {
        (0.0, 1.0)
    } else {
        (low - size * 0.5, high + size * 0.5)
    };
    let unit = if format == Format::Seconds { time_unit(size).0 } else { 1.0 };
    let step = nice_step((high - low) / target as f64 / unit, format) * unit;
    if round {
        low = (low / step + 1e-9).floor() * step;
        // Whole steps over a domain smaller than one can round both ends to the same tick.
        high = ((high / step - 1e-9).ceil() * step).max(low + step);
    }
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let values: Vec<f64> = (first..=last).map(|i| i as f64 * step).collect();
    let largest = low.abs().max(high.abs());
    let ticks = values.into_iter().map(|v| (v, linear_label(v, step, largest, format))).collect();
    Layout { scale: Scale::Linear, low, high, ticks }
}

/// The smallest of 1, 2, 5 × 10^k that is no less than `rough`; whole numbers where only these make sense.
fn nice_step(rough: f64, format: Format) -> f64 {
    let magnitude = 10f64.powi(rough.log10().floor().clamp(-300.0, 300.0) as i32);
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * magnitude).into_iter().find(|s| *s >= rough * (1.0 - 1e-9));
    let step = step.unwrap_or(magnitude * 10.0);
    if format == Format::Count { step.max(1.0) } else { step }
}

/// The unit in which all ticks of an axis of durations are written.
fn time_unit(largest: f64) -> (f64, &'static str) {
    const UNITS: [(f64, &str); 4] = [(3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms")];
    UNITS.into_iter().find(|(size, _)| largest >= 2.0 * size).unwrap_or((1e-6, "µs"))
}

fn linear_label(v: f64, step: f64, largest: f64, format: Format) -> String {
    let decimals = |step: f64| (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    match format {
        Format::Percent(_) => format!("{} %", fixed(v * 100.0, decimals(step * 100.0))),
        Format::Bytes => Format::Bytes.show(v),
        Format::Seconds => {
            let (unit, name) = time_unit(largest);
            format!("{} {name}", fixed(v / unit, decimals(step / unit)))
        }
        Format::Factor => format!("{}×", fixed(v, decimals(step))),
        _ if largest >= 1e15 || step < 1e-6 => significant(v, 4),
        _ if largest >= 1e4 && step >= 100.0 => compact(v),
        _ => fixed(v, decimals(step)),
    }
}

/// 1500000 → 1.5M
fn compact(v: f64) -> String {
    for (size, suffix) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if v.abs() >= size {
            return format!("{}{suffix}", significant(v / size, 4));
        }
    }
    significant(v, 4)
}

fn log((low, high): (f64, f64), format: Format, target: usize) -> Layout {
    let span = (high / low).log10();
    if span < 0.3 {
        // Less than a factor of two: ticks at linear places.
        let (a, b) = if span > 1e-9 { (low, high) } else { (low / 2.0, high * 2.0) };
        let ticks = linear((a, b), format, target, false).ticks;
        return Layout { scale: Scale::Log, low: a, high: b, ticks };
    }
    let pad = 10f64.powf((span * 0.04).min(1.0));
    let (low, high) = ((low / pad).max(f64::MIN_POSITIVE), (high * pad).min(LARGEST * 10.0));
    let (first, last) = (low.log10().ceil() as i32, high.log10().floor() as i32);
    let decades = (last - first + 1).max(0) as usize;
    let mantissas: &[f64] = if decades >= 3 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let every = decades.div_ceil(target).max(1) as i32;
    let mut ticks = Vec::new();
    for exponent in first - 1..=last {
        if exponent.rem_euclid(every) != 0 {
            continue;
        }
        for m in mantissas {
            let v = format!("{m}e{exponent}").parse().unwrap_or(f64::NAN);
            if low <= v && v <= high {
                ticks.push((v, log_label(v, *m, exponent, format)));
            }
        }
    }
    Layout { scale: Scale::Log, low, high, ticks }
}

fn log_label(v: f64, mantissa: f64, exponent: i32, format: Format) -> String {
    match format {
        Format::Auto | Format::Fixed(_) | Format::Count => match exponent {
            -3..=3 => fixed(v, (-exponent).max(0) as usize),
            _ if mantissa == 1.0 => format!("10{}", superscript(&exponent.to_string())),
            _ => format!("{mantissa}×10{}", superscript(&exponent.to_string())),
        },
        Format::Percent(_) => format!("{} %", significant(v * 100.0, 2)),
        _ => format.show(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64], target: usize) -> Vec<String> {
        Layout::new(axis, values.iter().copied(), target, true).ticks.into_iter().map(|t| t.1).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&Axis::new(""), &[0.13, 0.94], 5), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::new(""), &[0.0, 160.0], 5), ["0", "50", "100", "150", "200"]);
        assert_eq!(labels(&Axis::new("").format(Format::Percent(0)), &[0.0, 1.0], 2), ["0 %", "50 %", "100 %"]);
        assert_eq!(labels(&Axis::new("").format(Format::Bytes), &[0.0, 2.4e6], 3), ["0 B", "1 MB", "2 MB", "3 MB"]);
        assert_eq!(labels(&Axis::new(""), &[0.0, 2.0e6], 4), ["0", "500k", "1M", "1.5M", "2M"]);
        assert_eq!(
            labels(&Axis::new("").format(Format::Seconds), &[0.0, 0.046], 3),
            ["0 ms", "20 ms", "40 ms", "60 ms"]
        );
        assert_eq!(labels(&Axis::new("").format(Format::Seconds), &[0.0, 9000.0], 3), ["0 h", "1 h", "2 h", "3 h"]);
        assert_eq!(labels(&Axis::new("").format(Format::Count), &[0.0, 2.0], 8), ["0", "1", "2"]);
        assert_eq!(labels(&Axis::new(""), &[-1.0, 1.0], 4), ["−1.0", "−0.5", "0.0", "0.5", "1.0"]);
    }

    #[test]
    fn log_ticks_are_powers_or_ones_twos_fives() {
        assert_eq!(
            labels(&Axis::new("").log(), &[1e-6, 1e2], 9),
            ["10⁻⁶", "10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1", "10", "100"]
        );
        assert_eq!(labels(&Axis::new("").log(), &[1.0, 20.0], 5), ["1", "2", "5", "10", "20"]);
        assert_eq!(
            labels(&Axis::new("").log().format(Format::Bytes), &[1e3, 1e6], 5),
            ["1 kB", "10 kB", "100 kB", "1 MB"]
        );
    }

    #[test]
    fn any_domain_gives_a_few_ticks_inside_it() {
        let ends = [
            (0.0, 0.0),
            (5.0, 5.0),
            (-5.0, -5.0),
            (1.0, 1.0 + 1e-15),
            (1e-310, 1e-300),
            (-1e300, 1e300),
            (1e300, 1e300),
            (1.0, 1.3),
            (1.0, 1e9),
            (f64::NAN, f64::INFINITY),
            (0.999, 1.001),
        ];
        for axis in [Axis::new(""), Axis::new("").log(), Axis::new("").format(Format::Count)] {
            for (low, high) in ends {
                for target in [1, 2, 5, 9] {
                    let l = Layout::new(&axis, [low, high], target, true);
                    assert!(l.low < l.high, "{axis:?} {low:e} {high:e}: {l:?}");
                    assert!(l.ticks.len() <= 3 * target.max(2) + 3, "{axis:?} {low:e} {high:e}: {l:?}");
                    assert!(
                        l.ticks.iter().all(|t| (-1e-6..=1.0 + 1e-6).contains(&l.share(t.0))),
                        "{low:e} {high:e}: {l:?}"
                    );
                }
            }
        }
    }
}
