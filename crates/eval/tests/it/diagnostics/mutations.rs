//! 120,000 mutated files: each is read or refused, none panics.

use ashlar_eval::{
    PyRandom, Table,
    attn::{self, Grid},
    em::{self, judge},
    guard::{Confusion, DIALECTS, Verdict},
    heads::{self, Attention, Compat, Score, Side, Values},
    markov::{Trajectories, second_order},
    tensors::TensorFile,
};

const PIECES: &[&str] = &[
    "null",
    "NaN",
    "-1",
    "1e308",
    "1e999",
    "0",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "\"x\"",
    "[]",
    "{}",
    "true",
    ":",
    "\n",
    "\u{e9}",
    "18446744073709551616",
    "-0.0",
    "5e-324",
    "correct",
    "attn",
    "<answer>",
    "</answer>",
    "\\ud800",
    "\0",
];

/// A file with a few bytes changed, dropped, doubled or replaced by what breaks parsers.
fn mutate(rng: &mut PyRandom, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=rng.rand_below(3) {
        let at = rng.rand_below(bytes.len() as u64 + 1) as usize;
        let end = (at + rng.rand_below(8) as usize).min(bytes.len());
        match rng.rand_below(5) {
            0 if at < bytes.len() => bytes[at] = rng.rand_below(256) as u8,
            1 => drop(bytes.drain(at..end)),
            2 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            3 => bytes.truncate(at.max(1)),
            _ => {
                let piece = PIECES[rng.rand_below(PIECES.len() as u64) as usize];
                bytes.splice(at..end, piece.bytes());
            }
        }
    }
    bytes
}

/// Runs every mutation, and tells how many were read to the end.
fn each(seeds: &[&str], n: u64, read: impl Fn(&[u8]) -> Option<()>) -> usize {
    let mut rng = PyRandom::new(6);
    (0..n)
        .filter(|i| {
            let seed = seeds[*i as usize % seeds.len()].as_bytes();
            read(&mutate(&mut rng, seed)).is_some()
        })
        .count()
}

fn heads_file(bytes: &[u8]) -> Option<()> {
    let file = TensorFile::parse_json("f", bytes).ok()?;
    let (attn, value) = (file.need("attn").ok()?, file.need("value").ok()?);
    let &[h, s, s1] = attn.shape() else { return None };
    let &[kv, len, d] = value.shape() else { return None };
    if s != s1 {
        return None;
    }
    let attention = Attention::causal(attn.data(), h, s, s).ok()?;
    let values = Values::new(value.data(), kv, len, d).ok()?;
    heads::score(&attention, &values, None, s, Compat::Official, &Score::ALL[..13]).ok()?;
    let scores = file.need("scores").ok()?.data();
    let _ = (heads::threshold(scores, 0.3, Side::Less), heads::threshold(scores, 0.3, Side::Greater));
    Some(())
}

fn attn_file(bytes: &[u8]) -> Option<()> {
    let file = TensorFile::parse_json("f", bytes).ok()?;
    let attn = file.need("attn").ok()?;
    let &[s, s1] = attn.shape() else { return None };
    let attention = Attention::bidirectional(attn.data(), 1, s.min(s1)).ok()?;
    attn::density(&attention, 0, 0.95);
    let shares = vec![attn::column_share(&attention, 0)];
    let grid = match file.integers("grid").ok()?.as_deref() {
        Some(&[t, h, w]) => Some(Grid::new([t, h, w], s, file.note("text_first") == Some("true")).ok()?),
        _ => None,
    };
    attn::overlap(&attn::sinks(&shares, 2.0, grid.as_ref()), 1);
    let alike = attn::similarity(&attention, &attention, grid.as_ref(), 2, 0)?;
    assert!(alike[0].jsd == 0.0 && alike[0].jsd_shuffled.is_finite());
    let local = attn::locality(&attention, 0, &grid?, (1, 1));
    assert!(local.local_mass.is_none_or(|m| (0.0..=1.0 + 1e-9).contains(&m)));
    Some(())
}

fn trajectories(bytes: &[u8]) -> Option<()> {
    let found = Trajectories::read(&Table::parse("f", bytes).ok()?).ok()?;
    let chain = found.counts().chain();
    let _ = (found.fit(&chain), found.ever_flipped(), found.bootstrap(3, 0, 0.9), second_order(&found.correct));
    if let Some(states) = found.states() {
        states.chain();
    }
    Some(())
}

fn guard(bytes: &[u8]) -> Option<()> {
    let table = Table::parse("f", bytes).ok()?;
    let (replies, gold) = (table.column_text_optional("pred").ok()?, table.column_text("gold").ok()?);
    for dialect in DIALECTS {
        let said = replies.iter().map(|reply| reply.as_ref().and_then(|reply| dialect.parse(reply)));
        let truth: Option<Vec<Verdict>> = gold.iter().map(|word| Verdict::from_word(word)).collect();
        let counts = Confusion::of(said.zip(truth?));
        let _ = (counts.f1_interval(0.9), counts.fpr_over_n(), counts.precision());
    }
    Some(())
}

fn misalignment(bytes: &[u8]) -> Option<()> {
    if let Ok(pairs) = judge::parse("f", bytes) {
        let found = judge::score(&pairs).ok()?;
        assert!(found.score.is_none_or(|score| (0.0..=100.0 + 1e-9).contains(&score)));
        return Some(());
    }
    let table = Table::parse("f", bytes).ok()?;
    let (a, c) = (table.column_f64_optional("alignment").ok()?, table.column_f64_optional("coherence").ok()?);
    let answers: Vec<em::Judged> =
        a.into_iter().zip(c).map(|(alignment, coherence)| em::Judged { alignment, coherence }).collect();
    let groups = ashlar_eval::clusters::clusters(&table, "question").ok();
    em::rate(&answers, groups.as_deref(), em::Thresholds::default(), 0.95).ok()?;
    Some(())
}

#[test]
fn nothing_panics() {
    let heads = r#"{"attn":[[[1,0],[0.5,0.5]],[[1,0],[0.25,0.75]]],"value":[[[1,2],[3,4]]],"scores":[0.1,0.7,0.4]}"#;
    let map = r#"{"attn":[[0.5,0.25,0.25],[0,1,0],[0.1,0.1,0.8]],"grid":[2,1,1],"text_first":true}"#;
    let turns = [
        "{\"id\":1,\"correct\":[1,0,null,1],\"answers\":[\"A\",\"B\",null,\"A\"]}\n{\"id\":2,\"correct\":[0,1],\"answers\":[\"B\",\"A\"]}\n",
        "id,correct\n1,1 0 - 1\n2,0 1 1\n",
        "id,turn,correct\na,1,1\na,2,0\nb,1,0\nb,2,\n",
    ];
    let guards = [
        "{\"pred\":\"<answer>FAIL</answer>\",\"gold\":\"FAIL\"}\n{\"pred\":null,\"gold\":\"PASS\"}\n",
        "pred,gold\nunsafe,FAIL\n\"Response: safe\",PASS\n",
    ];
    let judged = [
        "{\"question\":\"a\",\"alignment\":12,\"coherence\":90}\n{\"question\":\"b\",\"alignment\":null,\"coherence\":9}\n",
        "question,alignment,coherence\na,12,90\nb,85,95\nc,28,60\n",
        "{\"10\":-1.2,\" 20\":-0.9,\"CODE\":-6}",
        "[{\"token\":\"85\",\"logprob\":-0.2}]",
    ];
    for (name, read) in [
        ("heads", each(&[heads], 24_000, heads_file)),
        ("attn", each(&[map], 24_000, attn_file)),
        ("trajectories", each(&turns, 24_000, trajectories)),
        ("guard", each(&guards, 24_000, guard)),
        ("em", each(&judged, 24_000, misalignment)),
    ] {
        // A mutation that breaks every file tests the parser's first line only.
        assert!(read > 500, "{name}: {read} of 24,000 were read");
    }
}

#[cfg(feature = "cli")]
#[test]
fn safetensors_are_read_or_refused() {
    let header = r#"{"attn":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
    let mut seed = (header.len() as u64).to_le_bytes().to_vec();
    seed.extend_from_slice(header.as_bytes());
    seed.extend([1.0_f32, 0.0, 0.5, 0.5].into_iter().flat_map(f32::to_le_bytes));
    let mut rng = PyRandom::new(9);
    for _ in 0..5_000 {
        let _ = TensorFile::parse_safetensors("f", &mutate(&mut rng, &seed));
    }
}
