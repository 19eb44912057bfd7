//! "Did you mean": the nearest of a list of names.

/// The candidate nearest to `word`, unless all are too far to be a slip of the keyboard.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len().max(word.len()) / 4)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_transposition_is_found_and_another_word_is_not() {
        assert_eq!(nearest("clip_nrom", ["clip_norm", "delta"]), Some("clip_norm"));
        assert_eq!(nearest("banana", ["clip_norm", "delta"]), None);
    }
}
