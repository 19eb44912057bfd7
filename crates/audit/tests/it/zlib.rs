//! Lengths of texts under zlib beside stock zlib's own.

use std::path::PathBuf;

use ashlar_audit::scores::zlib::compressed_len;

use crate::fixture::{self, number, rows};

/// As `generated` in `scripts/fixtures/scores.py`.
fn generated(seed: u64, alphabet: u64, words: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    let mut lexicon = Vec::new();
    for _ in 0..words {
        let letters = 1 + draw(12);
        lexicon.push((0..letters).map(|_| draw(alphabet) as u8).collect::<Vec<u8>>());
    }
    let mut text = Vec::new();
    while text.len() < length {
        text.extend_from_slice(&lexicon[draw(words) as usize]);
    }
    text.truncate(length);
    text
}

#[test]
fn generated_texts() {
    for row in rows(&fixture::scores()["zlib_generated"]) {
        let [seed, alphabet, words, length, want] = [0, 1, 2, 3, 4].map(|i| row[i].as_u64().unwrap());
        assert_eq!(compressed_len(&generated(seed, alphabet, words, length as usize)), want, "{row}");
    }
}

#[test]
fn five_hundred_real_texts() {
    let data = std::env::var_os("ASHLAR_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let read = |name: &str| std::fs::read(data.join(name));
    let (Ok(news), Ok(plays)) = (read("agnews/test.csv"), read("tinyshakespeare/input.txt")) else {
        println!("skipped: no shared data (set ASHLAR_DATA)");
        return;
    };
    let fixture = fixture::scores();
    for (line, want) in news.split(|&b| b == b'\n').zip(rows(&fixture["zlib_agnews"])) {
        assert_eq!(compressed_len(line) as f64, number(want));
    }
    for row in rows(&fixture["zlib_shakespeare"]) {
        let [at, length, want] = [0, 1, 2].map(|i| row[i].as_u64().unwrap() as usize);
        assert_eq!(compressed_len(&plays[at..at + length]), want as u64, "{length} bytes at {at}");
    }
}
