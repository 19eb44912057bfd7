//! Stop strings: where a text ends, and what may be shown of it before it does.
//!
//! A text ends at the match that is complete first; of those that are complete at the same character, the longest. The
//! match is cut off with all that follows. So the end depends on the text alone, not on how it is cut into tokens: with
//! the stops `abcd` and `c`, `xabcd` ends as `xab`.

use crate::{Error, Result};

/// The texts that end a generation.
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    longest: usize,
}

impl StopStrings {
    /// None, one or more.
    ///
    /// # Errors
    /// Where one is empty.
    pub fn new(stops: &[String]) -> Result<Self> {
        if stops.iter().any(String::is_empty) {
            let expected = "a text that can occur".to_owned();
            return Err(Error::Setting { name: "stop", found: "an empty text".to_owned(), expected });
        }
        Ok(Self { longest: stops.iter().map(String::len).max().unwrap_or(0), stops: stops.to_vec() })
    }

    /// The text before the first stop, and whether there is one.
    pub fn cut<'t>(&self, text: &'t str) -> (&'t str, bool) {
        match self.find(text) {
            Some(start) => (&text[..start], true),
            None => (text, false),
        }
    }

    /// Start of the match that ends first, of these the longest.
    fn find(&self, text: &str) -> Option<usize> {
        let matches = self.stops.iter().filter_map(|stop| text.find(stop.as_str()).map(|at| (at + stop.len(), at)));
        matches.min().map(|(_, start)| start)
    }

    /// Bytes at the end of a text that a stop may begin with.
    fn open(&self, text: &str) -> usize {
        let first = text.len().saturating_sub(self.longest);
        let begins = |at: &usize| {
            let tail = &text[*at..];
            self.stops.iter().any(|stop| stop.len() > tail.len() && stop.starts_with(tail))
        };
        (first..text.len()).filter(|&at| text.is_char_boundary(at)).find(begins).map_or(0, |at| text.len() - at)
    }
}

/// Text as it arrives, up to a stop.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    stops: StopStrings,
    /// What may yet belong to a stop.
    held: String,
    stopped: bool,
}

impl Matcher {
    pub fn new(stops: StopStrings) -> Self {
        Self { stops, held: String::new(), stopped: false }
    }

    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// What can be shown after `text`.
    pub fn push(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(text);
        if let Some(start) = self.stops.find(&self.held) {
            self.stopped = true;
            self.held.truncate(start);
            return std::mem::take(&mut self.held);
        }
        let held = self.held.split_off(self.held.len() - self.stops.open(&self.held));
        std::mem::replace(&mut self.held, held)
    }

    /// What was held back, once no text follows.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stops(list: &[&str]) -> StopStrings {
        StopStrings::new(&list.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn ends_first_then_longest() {
        assert_eq!(stops(&["abcd", "c"]).cut("xabcd"), ("xab", true));
        assert_eq!(stops(&["cd", "bcd", "d"]).cut("xabcde"), ("xa", true));
        assert_eq!(stops(&["zz"]).cut("xabz"), ("xabz", false));
        assert_eq!(stops(&[]).cut("x"), ("x", false));
        assert!(StopStrings::new(&[String::new()]).is_err());
    }

    #[test]
    fn holds_back_what_may_be_a_stop() {
        let mut matcher = Matcher::new(stops(&["</s>", "\n\n"]));
        assert_eq!(matcher.push("a<"), "a");
        assert_eq!(matcher.push("/"), "");
        assert_eq!(matcher.push("b\n"), "</b");
        assert_eq!((matcher.push("\nc"), matcher.stopped()), (String::new(), true));
        assert_eq!((matcher.push("more"), matcher.finish()), (String::new(), String::new()));
    }

    proptest! {
        /// However the text is cut into pieces, what is shown is the text before the stop.
        #[test]
        fn pieces_are_the_cut_text(
            pieces in prop::collection::vec("[ab猫]{0,4}", 0..12),
            list in prop::collection::vec("[ab猫]{1,4}", 0..4),
        ) {
            let stops = StopStrings::new(&list).unwrap();
            let mut matcher = Matcher::new(stops.clone());
            let mut shown: String = pieces.iter().map(|piece| matcher.push(piece)).collect();
            shown.push_str(&matcher.finish());
            let whole = pieces.concat();
            prop_assert_eq!((shown.as_str(), matcher.stopped()), stops.cut(&whole));
            // By definition: the shortest start of the text that ends with a stop, less the longest such stop.
            let ends = whole.char_indices().map(|(at, c)| at + c.len_utf8());
            let mut shortest = ends.filter(|&end| list.iter().any(|stop| whole[..end].ends_with(stop.as_str())));
            let expected = shortest.next().map(|end| {
                let longest = list.iter().filter(|s| whole[..end].ends_with(s.as_str())).map(String::len).max().unwrap();
                &whole[..end - longest]
            });
            prop_assert_eq!(expected.unwrap_or(&whole), shown);
        }
    }
}
