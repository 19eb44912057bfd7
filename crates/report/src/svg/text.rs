//! How wide text will be, without a font at hand: estimates that lean to the wide side.

/// Estimated width at this font size, in the same unit.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(em).sum::<f64>() * size
}

/// A character's advance in a humanist sans, in em.
fn em(c: char) -> f64 {
    match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.3,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '/' | '"' => 0.4,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '—' => 0.92,
        'A'..='Z' | '&' => 0.7,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{ffff}' | '\u{1f000}'.. => 1.05,
        // Shown as U+FFFD.
        c if c.is_control() => 1.05,
        _ => 0.58,
    }
}

/// The text, or as much of its beginning as fits with an ellipsis.
pub(crate) fn truncate(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = width("…", size);
    for c in text.chars() {
        used += em(c) * size;
        if used > room {
            break;
        }
        out.push(c);
    }
    format!("{}…", out.trim_end())
}

/// Breaks at spaces, hyphens and slashes into at most `lines` lines that fit; the last one is truncated. None if a
/// single word is wider than the room.
pub(crate) fn wrap(text: &str, size: f64, room: f64, lines: usize) -> Option<Vec<String>> {
    let mut out: Vec<String> = Vec::new();
    for word in text.split_inclusive([' ', '-', '/', '_']) {
        if width(word.trim_end(), size) > room {
            return None;
        }
        let full = out.len() == lines;
        match out.last_mut() {
            Some(line) if full || width(line, size) + width(word.trim_end(), size) <= room => line.push_str(word),
            _ => out.push(word.to_owned()),
        }
    }
    Some(out.iter().map(|line| truncate(line.trim(), size, room)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_text_fits() {
        for room in [0.0, 5.0, 40.0, 80.0, 1000.0] {
            let t = truncate("Multi-Krum with clipping", 12.0, room);
            assert!(width(&t, 12.0) <= room.max(width("…", 12.0)), "{t} in {room}");
        }
        assert_eq!(truncate("short", 12.0, 100.0), "short");
    }

    #[test]
    fn wrapping_keeps_words_and_refuses_long_ones() {
        assert_eq!(wrap("trimmed mean", 12.0, 60.0, 2), Some(vec!["trimmed".into(), "mean".into()]));
        assert_eq!(wrap("Donaudampfschiff", 12.0, 40.0, 3), None);
        assert_eq!(wrap("", 12.0, 40.0, 3), Some(vec![]));
        let many = wrap("a b c d e f g h", 12.0, 14.0, 2).unwrap();
        assert_eq!(many.len(), 2);
    }
}
