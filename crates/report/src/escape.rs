//! Text made safe for HTML, SVG and attribute values.

use std::fmt::Write as _;

/// Escapes `& < > " '` and replaces what XML forbids (most control characters, U+FFFE, U+FFFF) with U+FFFD, so that
/// the result may stand in an element or a quoted attribute of HTML and of XML.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Paragraphs between blank lines, `code` between backticks; everything else is literal.
pub(crate) fn prose(text: &str) -> String {
    let mut out = String::new();
    for paragraph in text.replace("\r\n", "\n").split("\n\n").map(str::trim).filter(|p| !p.is_empty()) {
        let _ = writeln!(out, "<p>{}</p>", inline(paragraph));
    }
    out
}

/// `code` between backticks; an odd backtick stays one.
pub(crate) fn inline(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut out = String::new();
    for (i, part) in parts.iter().enumerate() {
        if i % 2 == 0 {
            out.push_str(&escape(part));
        } else if i + 1 == parts.len() {
            out.push('`');
            out.push_str(&escape(part));
        } else {
            let _ = write!(out, "<code>{}</code>", escape(part));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</title><script>alert('x')</script>\" onload=\"y\0\u{1b}[31m&amp;";
        let expected = "&lt;/title&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;y\u{fffd}\u{fffd}[31m&amp;amp;";
        assert_eq!(escape(hostile), expected);
    }

    #[test]
    fn backticks_make_code_and_an_odd_one_stays() {
        assert_eq!(inline("run `a<b` now"), "run <code>a&lt;b</code> now");
        assert_eq!(inline("it`s"), "it`s");
        assert_eq!(inline("`a` and `b"), "<code>a</code> and `b");
        assert_eq!(prose("one\n\n\n two\r\n\r\n"), "<p>one</p>\n<p>two</p>\n");
    }
}
