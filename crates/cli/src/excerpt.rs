//! The part of a user's text that a message shows.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, NamedSource, SourceCode, SourceSpan, SpanContents};

/// Characters of a line that are shown.
const LINE: usize = 160;
/// Of which this many stand before the marked place.
const BEFORE: usize = 60;
/// Characters of a message that are kept.
const MESSAGE: usize = 1000;

/// A text whose lines are clipped to what a terminal can show, and where in the whole text its mark is.
#[derive(Debug)]
pub(crate) struct Excerpt {
    clipped: NamedSource<String>,
    position: (usize, usize),
}

impl Excerpt {
    /// Clips the lines of `text`, the marked one around `span`; returns the span in the clipped text too.
    pub fn new(origin: &str, text: &str, span: Range<usize>) -> (Self, Range<usize>) {
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let marked_line = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let (mut clipped, mut mark, mut position) = (String::new(), 0..0, (1, 1));
        let mut at = 0;
        // After a last newline there is one more line, which can be marked too.
        for (number, line) in text.split_inclusive('\n').chain([""]).enumerate() {
            let body = line.strip_suffix('\n').unwrap_or(line);
            let column = if at == marked_line { (start - at).min(body.len()) } else { 0 };
            let (shown, offset) = clip(body, column);
            if at == marked_line {
                // Where the line is clipped, so is the mark.
                let length = if shown == body { end - start } else { (end - start).min(shown.len() - offset) };
                mark = clipped.len() + offset..clipped.len() + offset + length;
                position = (number + 1, body[..column].chars().count() + 1);
            }
            clipped.push_str(&shown);
            clipped.push_str(&line[body.len()..]);
            at += line.len();
        }
        mark.end = floor(&clipped, mark.end);
        (Self { clipped: NamedSource::new(origin, clipped), position }, mark)
    }

    /// Line and column of the mark in the whole text, counted from 1.
    pub fn position(&self) -> (usize, usize) {
        self.position
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let contents = self.clipped.read_span(span, before, after)?;
        if before + after > 0 {
            return Ok(contents);
        }
        // The mark alone is asked for to name its place: that of the whole text.
        Ok(Box::new(MietteSpanContents::new_named(
            self.clipped.name().to_owned(),
            contents.data(),
            *contents.span(),
            contents.line(),
            self.position.1 - 1,
            contents.line_count(),
        )))
    }
}

/// A line of at most [`LINE`] characters around `mark`, and where the mark is in it.
fn clip(line: &str, mark: usize) -> (String, usize) {
    if line.len() <= LINE {
        return (line.to_owned(), mark);
    }
    let mark = floor(line, mark);
    let back = line[..mark].char_indices().rev().take(BEFORE).last().map_or(mark, |(at, _)| at);
    let from = if line[..back].chars().nth(1).is_none() { 0 } else { back };
    let to = line[from..].char_indices().nth(LINE).map_or(line.len(), |(at, _)| from + at);
    let (left, right) = (if from > 0 { "…" } else { "" }, if to < line.len() { "…" } else { "" });
    (format!("{left}{}{right}", &line[from..to]), left.len() + mark - from)
}

/// A message without its middle, where it is longer than anyone reads.
pub(crate) fn shortened(message: String) -> String {
    let count = message.chars().count();
    if count <= MESSAGE {
        return message;
    }
    let half = |from: usize| message.char_indices().nth(from).map_or(message.len(), |(at, _)| at);
    let (left, right) = (half(MESSAGE / 2), half(count - MESSAGE / 2));
    format!("{} … {}", &message[..left], &message[right..])
}

/// The start of the character that `at` is in.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> (String, (usize, usize)) {
        let (excerpt, mark) = Excerpt::new("run.toml", text, span);
        let marked = excerpt.clipped.inner()[mark].to_owned();
        assert!(excerpt.clipped.inner().lines().all(|line| line.chars().count() <= LINE + 2));
        (marked, excerpt.position())
    }

    #[test]
    fn short_lines_stay_as_they_are() {
        assert_eq!(shown("a = 1\nb = x\n", 10..11), ("x".to_owned(), (2, 5)));
        assert_eq!(shown("größe = x", 10..11), ("x".to_owned(), (1, 9)));
        assert_eq!(shown("a = 1\n", 6..6), (String::new(), (2, 1)));
        assert_eq!(shown("a = ", 4..4), (String::new(), (1, 5)));
        assert_eq!(shown("", 0..5), (String::new(), (1, 1)));
    }

    #[test]
    fn a_long_line_is_shown_around_the_mark() {
        let long = format!("k = 1\nname = '{}' oops {}\nz = 1", "ä".repeat(100_000), "b".repeat(100_000));
        let at = long.find("oops").unwrap_or_default();
        assert_eq!(shown(&long, at..at + 4), ("oops".to_owned(), (2, 100_011)));
        let (marked, position) = shown(&long, 13..at - 1);
        assert!(marked.starts_with("'ä") && marked.len() < 500 && position == (2, 8));
        assert!(shortened(long).chars().count() < MESSAGE + 10);
    }
}
