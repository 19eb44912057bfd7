//! Values as Python writes them: `str`, `repr`, `json.dumps`, `strftime`.

use std::fmt::Write as _;

use minijinja::{
    Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};

/// Deeper nesting is refused: these functions call themselves.
const DEEPEST: usize = 200;

fn too_deep() -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("a value nested more than {DEEPEST} levels deep"))
}

/// `str(value)`; an undefined value is the empty string, as Jinja prints it.
pub(super) fn str(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::String => Ok(value.to_string()),
        _ => {
            let mut out = String::new();
            repr(&mut out, value, 0)?;
            Ok(out)
        }
    }
}

fn repr(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(too_deep());
    }
    match value.kind() {
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => number(out, value),
        ValueKind::String => quoted(out, value.as_str().unwrap_or_default()),
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(out, &key, depth + 1)?;
                out.push_str(": ");
                repr(out, &value.get_item(&key)?, depth + 1)?;
            }
            out.push('}');
        }
        ValueKind::Seq | ValueKind::Iterable => {
            out.push('[');
            for (i, item) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                repr(out, &item, depth + 1)?;
            }
            out.push(']');
        }
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

/// Single quotes, unless the text has such and no double ones.
fn quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn number(out: &mut String, value: &Value) {
    match f64::try_from(value.clone()) {
        Ok(x) if !value.is_integer() => out.push_str(&float(x)),
        _ => out.push_str(&value.to_string()),
    }
}

/// `repr` of a float: the shortest digits that read back, scientific below 1e-4 and from 1e16 on.
fn float(x: f64) -> String {
    if !x.is_finite() {
        return (if x.is_nan() {
            "nan"
        } else if x > 0.0 {
            "inf"
        } else {
            "-inf"
        })
        .to_owned();
    }
    let size = x.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        // Rust writes 1e-5, Python 1e-05.
        let text = format!("{x:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{x:?}")
}

/// How `json.dumps` is called.
#[derive(Debug)]
pub(super) struct Json {
    ascii: bool,
    sorted: bool,
    indent: Option<String>,
    item: String,
    key: String,
}

impl Json {
    /// The keywords that transformers' `tojson` takes.
    pub fn from_kwargs(kwargs: &Kwargs) -> Result<Self, Error> {
        let indent: Option<Value> = kwargs.get("indent")?;
        let indent = indent.filter(|indent| !indent.is_none() && !indent.is_undefined()).map(|indent| {
            let spaces = || " ".repeat(indent.as_usize().unwrap_or(0).min(64));
            indent.as_str().map_or_else(spaces, str::to_owned)
        });
        let separators: Option<Value> = kwargs.get("separators")?;
        let (item, key) = match separators.filter(|separators| !separators.is_none()) {
            Some(pair) => (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string()),
            None => ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned()),
        };
        let flag = |name| kwargs.get::<Option<bool>>(name).map(|flag| flag.unwrap_or(false));
        let json = Self { ascii: flag("ensure_ascii")?, sorted: flag("sort_keys")?, indent, item, key };
        kwargs.assert_all_used()?;
        Ok(json)
    }

    /// `json.dumps(value, …)`.
    pub fn dumps(&self, value: &Value) -> Result<String, Error> {
        let mut out = String::new();
        self.write(&mut out, value, 0)?;
        Ok(out)
    }

    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(too_deep());
        }
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(x) if !value.is_integer() && x.is_nan() => out.push_str("NaN"),
                Ok(x) if !value.is_integer() && x.is_infinite() => {
                    out.push_str(if x > 0.0 { "Infinity" } else { "-Infinity" });
                }
                _ => number(out, value),
            },
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                let count = keys.len();
                out.push('{');
                for (i, key) in keys.iter().enumerate() {
                    self.line(out, depth + 1, i > 0);
                    match key.kind() {
                        ValueKind::String => self.string(out, key.as_str().unwrap_or_default()),
                        ValueKind::None => out.push_str("\"null\""),
                        ValueKind::Bool => out.push_str(if key.is_true() { "\"true\"" } else { "\"false\"" }),
                        _ => self.string(out, &str(key)?),
                    }
                    out.push_str(&self.key);
                    self.write(out, &value.get_item(key)?, depth + 1)?;
                }
                self.close(out, depth, count, '}');
            }
            ValueKind::Seq | ValueKind::Iterable => {
                let mut count = 0;
                out.push('[');
                for item in value.try_iter()? {
                    self.line(out, depth + 1, count > 0);
                    self.write(out, &item, depth + 1)?;
                    count += 1;
                }
                self.close(out, depth, count, ']');
            }
            kind => {
                let problem = format!("tojson: a value of kind {kind} is not JSON");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        }
        Ok(())
    }

    fn line(&self, out: &mut String, depth: usize, after_item: bool) {
        if after_item {
            out.push_str(&self.item);
        }
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    }

    fn close(&self, out: &mut String, depth: usize, count: usize, bracket: char) {
        if count > 0 {
            self.line(out, depth, false);
        }
        out.push(bracket);
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `strftime` in UTC of seconds since 1970, in English; codes that aren't known stay as they are.
pub(super) fn strftime(format: &str, seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let weekday = (days + 4).rem_euclid(7); // 1 January 1970 was a Thursday
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
    let of_year = before + day + i64::from(leap && month > 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let twelve = (hour + 11) % 12 + 1;

    let mut out = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let bare = rest.next_if_eq(&'-').is_some();
        let Some(code) = rest.next() else {
            out.push('%');
            break;
        };
        let mut put = |value: i64, width: usize| {
            let width = if bare { 0 } else { width };
            let _ = write!(out, "{value:0width$}");
        };
        match code {
            'Y' => put(year, 4),
            'y' => put(year.rem_euclid(100), 2),
            'm' => put(month, 2),
            'd' => put(day, 2),
            'H' => put(hour, 2),
            'I' => put(twelve, 2),
            'M' => put(minute, 2),
            'S' => put(second, 2),
            'j' => put(of_year, 3),
            'w' => put(weekday, 1),
            'e' => {
                let _ = write!(out, "{day:2}");
            }
            'a' => out.push_str(&DAYS[weekday as usize][..3]),
            'A' => out.push_str(DAYS[weekday as usize]),
            'b' | 'h' => out.push_str(&MONTHS[month as usize - 1][..3]),
            'B' => out.push_str(MONTHS[month as usize - 1]),
            'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'Z' => out.push_str("UTC"),
            'z' => out.push_str("+0000"),
            'F' => out.push_str(&strftime("%Y-%m-%d", seconds)),
            'T' => out.push_str(&strftime("%H:%M:%S", seconds)),
            'D' => out.push_str(&strftime("%m/%d/%y", seconds)),
            '%' => out.push('%'),
            other => out.extend(['%', other]),
        }
    }
    out
}

/// Year, month and day of days since 1970, by the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    // Eras of 400 years that begin in March, so that the leap day is the last.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e16, "1e+16"),
            (-2.5e300, "-2.5e+300"),
        ];
        for (x, text) in cases {
            assert_eq!(float(x), text);
        }
        assert_eq!(float(1e15), "1000000000000000.0");
    }

    /// Dates by Python's datetime.
    #[test]
    fn dates() {
        let format = "%Y-%m-%d %H:%M:%S %a %A %b %B %j %y %I %p %-d %e %F %%";
        assert_eq!(strftime(format, 0), "1970-01-01 00:00:00 Thu Thursday Jan January 001 70 12 AM 1  1 1970-01-01 %");
        assert_eq!(
            strftime(format, 1_709_210_096),
            "2024-02-29 12:34:56 Thu Thursday Feb February 060 24 12 PM 29 29 2024-02-29 %"
        );
        assert_eq!(strftime("%d %b %Y %j", 951_782_400), "29 Feb 2000 060");
        assert_eq!(strftime("%d %b %Y %q", -1), "31 Dec 1969 %q");
        assert_eq!(strftime("%d.%m.%Y %j", 1_735_689_599), "31.12.2024 366");
    }
}
