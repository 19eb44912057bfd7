//! Numbers as people read them, and as files keep them.

pub(crate) mod exact;

use serde::{Deserialize, Serialize};

/// How a number is shown. Non-finite numbers read `NaN`, `∞` and `−∞` in every format.
///
/// ```
/// use ashlar_report::Format;
///
/// assert_eq!(Format::Auto.show(1234567.0), "1,234,567");
/// assert_eq!(Format::Auto.show(0.0123456), "0.01235");
/// assert_eq!(Format::Percent(1).show(0.9123), "91.2 %");
/// assert_eq!(Format::Bytes.show(26_214_400.0), "26.2 MB");
/// assert_eq!(Format::Seconds.show(135.0), "2 min 15 s");
/// assert_eq!(Format::Factor.show(6.25), "6.25×");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Integers in full, else four significant digits.
    #[default]
    Auto,
    /// This many digits after the point.
    Fixed(u8),
    /// A share as a percentage with this many digits after the point.
    Percent(u8),
    /// A whole number with thousands separators.
    Count,
    /// Bytes with SI prefixes: 1 kB = 1,000 B.
    Bytes,
    /// A duration.
    Seconds,
    /// A ratio.
    Factor,
}

impl Format {
    /// The number as text.
    pub fn show(self, v: f64) -> String {
        if !v.is_finite() {
            return special(v).to_owned();
        }
        match self {
            Self::Auto => auto(v),
            Self::Fixed(digits) => fixed(v, usize::from(digits)),
            Self::Percent(digits) => format!("{} %", fixed(v * 100.0, usize::from(digits))),
            Self::Count => fixed(v, 0),
            Self::Bytes => bytes(v),
            Self::Seconds => seconds(v),
            Self::Factor => format!("{}×", significant(v, 3)),
        }
    }

    /// An interval as `[low, high]`; a percent sign stands with the value before it.
    pub(crate) fn show_range(self, low: f64, high: f64) -> String {
        let bare = |v: f64| match self {
            Self::Percent(_) => self.show(v).trim_end_matches(" %").to_owned(),
            _ => self.show(v),
        };
        format!("[{}, {}]", bare(low), bare(high))
    }
}

fn special(v: f64) -> &'static str {
    match v {
        _ if v.is_nan() => "NaN",
        _ if v > 0.0 => "∞",
        _ => "−∞",
    }
}

fn auto(v: f64) -> String {
    let size = v.abs();
    if v == v.trunc() && size < 1e15 {
        fixed(v, 0)
    } else if (1e-4..1e6).contains(&size) {
        significant(v, 4)
    } else {
        scientific(v, 4)
    }
}

/// `digits` decimals (12 at most), a real minus sign, commas between thousands; what rounds to zero has no sign. From
/// 1e15 on, where f64 holds no decimals, in scientific notation.
pub(crate) fn fixed(v: f64, digits: usize) -> String {
    if v.abs() >= 1e15 {
        return scientific(v, 4);
    }
    let text = format!("{:.*}", digits.min(12), v.abs());
    let negative = v < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(w, r)| (w, r));
    let mut out = String::from(if negative { "−" } else { "" });
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// `digits` significant digits without trailing zeros.
pub(crate) fn significant(v: f64, digits: usize) -> String {
    if v == 0.0 || !v.is_finite() {
        return if v == 0.0 { "0".to_owned() } else { special(v).to_owned() };
    }
    // Rounding first decides the exponent: 9.9996 has one digit before the point, its rounded form two.
    let exponent = exponent_of(v, digits);
    if !(-6..15).contains(&exponent) {
        return scientific(v, digits);
    }
    trim_zeros(fixed(v, (digits as i32 - 1 - exponent).max(0) as usize))
}

fn exponent_of(v: f64, digits: usize) -> i32 {
    let text = format!("{:.*e}", digits.saturating_sub(1), v.abs());
    text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0)
}

fn trim_zeros(text: String) -> String {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// `1.5×10⁻⁵`
fn scientific(v: f64, digits: usize) -> String {
    let text = format!("{:.*e}", digits.saturating_sub(1), v);
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let mantissa = trim_zeros(mantissa.replace('-', "−"));
    format!("{mantissa}×10{}", superscript(exponent))
}

pub(crate) fn superscript(exponent: &str) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let up = |c: char| c.to_digit(10).map_or('⁻', |d| DIGITS[d as usize]);
    exponent.chars().map(up).collect()
}

fn bytes(v: f64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut size = v;
    let mut unit = 0;
    // 999.95 kB would be written 1000 kB with three digits.
    while size.abs() >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{} {}", significant(size, 3), UNITS[unit])
}

fn seconds(v: f64) -> String {
    let size = v.abs();
    match size {
        _ if size == 0.0 => "0 s".to_owned(),
        _ if size < 0.9995e-3 => format!("{} µs", significant(v * 1e6, 3)),
        _ if size < 0.9995 => format!("{} ms", significant(v * 1e3, 3)),
        _ if size < 99.95 => format!("{} s", significant(v, 3)),
        _ if size < 3599.5 => two_units(v, 60.0, "min", 1.0, "s"),
        _ if size < 86_400.0 - 30.0 => two_units(v, 3600.0, "h", 60.0, "min"),
        _ => two_units(v, 86_400.0, "d", 3600.0, "h"),
    }
}

fn two_units(v: f64, big: f64, big_name: &str, small: f64, small_name: &str) -> String {
    let smalls = (v.abs() / small).round();
    let per = big / small;
    let (whole, rest) = ((smalls / per).floor(), smalls % per);
    let sign = if v < 0.0 { "−" } else { "" };
    let rest = if rest > 0.0 { format!(" {rest} {small_name}") } else { String::new() };
    format!("{sign}{} {big_name}{rest}", fixed(whole, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_shows_integers_in_full_and_four_digits_otherwise() {
        let rows = [
            (0.0, "0"),
            (-0.0, "0"),
            (12.0, "12"),
            (-1234.0, "−1,234"),
            (50_890.0, "50,890"),
            (0.91234, "0.9123"),
            (9.99996, "10"),
            (123.456, "123.5"),
            (123_456.7, "123,457"),
            (1.5e-5, "1.5×10⁻⁵"),
            (2.5e20, "2.5×10²⁰"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "−∞"),
            (f64::MIN_POSITIVE, "2.225×10⁻³⁰⁸"),
        ];
        for (v, expected) in rows {
            assert_eq!(Format::Auto.show(v), expected, "{v:e}");
        }
    }

    #[test]
    fn rounding_never_shows_the_next_unit_in_the_old_one() {
        assert_eq!(Format::Bytes.show(999.0), "999 B");
        assert_eq!(Format::Bytes.show(999_499.0), "999 kB");
        assert_eq!(Format::Bytes.show(999_500.0), "1 MB");
        assert_eq!(Format::Bytes.show(0.0), "0 B");
        assert_eq!(Format::Seconds.show(0.9999), "1 s");
        assert_eq!(Format::Seconds.show(119.7), "2 min");
        assert_eq!(Format::Seconds.show(3599.9), "1 h");
        assert_eq!(Format::Seconds.show(0.000_25), "250 µs");
        assert_eq!(Format::Seconds.show(90_000.0), "1 d 1 h");
    }

    #[test]
    fn what_rounds_to_zero_has_no_sign() {
        assert_eq!(Format::Fixed(2).show(-0.001), "0.00");
        assert_eq!(Format::Percent(0).show(-0.001), "0 %");
        assert_eq!(Format::Fixed(2).show(-0.01), "−0.01");
        assert_eq!(Format::Count.show(1e6), "1,000,000");
        assert_eq!(Format::Percent(1).show(1e300), "1×10³⁰² %");
    }
}
