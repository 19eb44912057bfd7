//! Answers for people.

use ashlar_report::Format;

/// Names and values, one a line, values below each other.
pub fn pairs<K: AsRef<str>>(rows: impl IntoIterator<Item = (K, String)>) -> String {
    let rows: Vec<(K, String)> = rows.into_iter().collect();
    let width = rows.iter().map(|(key, _)| key.as_ref().chars().count()).max().unwrap_or(0);
    let lines: Vec<String> = rows.iter().map(|(key, value)| format!("{:width$}  {value}", key.as_ref())).collect();
    lines.join("\n")
}

/// A table with its header; columns after the first are aligned to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let count = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..header.len())
        .map(|at| rows.iter().filter_map(|row| row.get(at)).map(|c| count(c)).fold(count(header[at]), usize::max))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, &width))| if at == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut header.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// A number: whole ones in full, else six significant digits.
pub fn number(value: f64) -> String {
    if !value.is_finite() || (value == value.trunc() && value.abs() < 1e15) {
        return Format::Auto.show(value);
    }
    let exponent = value.abs().log10().floor();
    if (-5.0..15.0).contains(&exponent) {
        format!("{value:.*}", (5.0 - exponent).max(0.0) as usize)
    } else {
        format!("{value:.5e}")
    }
}

/// A number or a dash.
pub fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "—".to_owned(), number)
}
