use super::*;

fn message(origin: &str, text: &str) -> String {
    let failure = parse(origin, text).unwrap_err();
    assert_eq!(failure.exit(), ashlar_cli::Exit::Usage);
    format!("{failure} | {}", failure.remedy().unwrap_or_default())
}

const TOML: &str = "\
# A run in two phases.
[[event]]
mechanism = \"gaussian\"
noise_multiplier = 1.1
sample_rate = 0.01
steps = 500

[[event]]
mechanism = \"laplace\"
noise_multiplier = 20
";

const JSON: &str = "[[1.1, 0.01, 500], [0.9, 0.02, 1000], [1, 1, 3.0]]";

#[test]
fn both_formats_are_read_by_extension_or_content() {
    let toml = vec![Event::gaussian(1.1, 0.01, 500).unwrap(), Event::laplace(20.0, 1.0, 1).unwrap()];
    let json = vec![
        Event::gaussian(1.1, 0.01, 500).unwrap(),
        Event::gaussian(0.9, 0.02, 1000).unwrap(),
        Event::gaussian(1.0, 1.0, 3).unwrap(),
    ];
    for origin in ["run.toml", "run", "run.TOML", "/dev/stdin"] {
        assert_eq!(parse(origin, TOML).unwrap(), toml);
    }
    for origin in ["run.json", "run", "run.JSON", "history.txt"] {
        assert_eq!(parse(origin, JSON).unwrap(), json);
        let state = format!("{{\"history\": {JSON}, \"mechanism\": \"prv\"}}");
        assert_eq!(parse(origin, &state).unwrap(), json);
    }
}

#[test]
fn free_events_are_allowed_in_a_list() {
    assert!(parse("a.json", "[[1.1, 0, 500], [1.0, 0.1, 0]]").is_ok());
    assert!(parse_flags("--event", &["gaussian:nm=1,q=0,steps=0".to_owned()]).is_ok());
}

#[test]
fn mistakes_in_toml_name_file_event_field_and_remedy() {
    let table =
        |lines: &str| format!("[[event]]\nmechanism = \"gaussian\"\nnoise_multiplier = 1\n\n[[event]]\n{lines}\n");
    for (lines, parts) in [
        ("mechanism = \"gaussian\"\nnoise_multiplier = 0", ["event 2: noise_multiplier = 0", "must be positive"]),
        ("mechanism = \"gaussian\"\nnoise_multiplier = nan", ["event 2: noise_multiplier = NaN", "positive"]),
        ("mechanism = \"gaussian\"", ["event 2: noise_multiplier is missing", "noise"]),
        ("noise_multiplier = 1.0", ["event 2: mechanism is missing", "say \"gaussian\" or \"laplace\""]),
        (
            "mechanism = \"gausian\"\nnoise_multiplier = 1",
            ["event 2: mechanism = \"gausian\"", "did you mean `gaussian`"],
        ),
        ("mechanism = 3\nnoise_multiplier = 1", ["event 2: mechanism = 3", "is no text"]),
        ("mechanism = \"laplace\"\nnoise = 1.0", ["event 2: unknown key `noise`", "noise_multiplier"]),
        (
            "mechanism = \"laplace\"\nnoise_multiplier = 1.0\nsample_rate = 1.5",
            ["event 2: sample_rate = 1.5", "between 0 and 1"],
        ),
        ("mechanism = \"laplace\"\nnoise_multiplier = 1.0\nsteps = -1", ["event 2: steps = -1", "whole number"]),
        ("mechanism = \"laplace\"\nnoise_multiplier = 1.0\nsteps = 1.5", ["event 2: steps = 1.5", "whole number"]),
        ("mechanism = \"laplace\"\nnoise_multiplier = \"1\"", ["event 2: noise_multiplier = \"1\"", "no number"]),
    ] {
        let failure = parse("run.toml", &table(lines)).unwrap_err();
        let said = failure.to_string();
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        assert!(failure.position().is_some_and(|(line, _)| line >= 5), "{said}: {:?}", failure.position());
    }
    assert!(message("run.toml", "[[event]\n").contains("invalid TOML"));
    assert!(message("run.toml", "[[events]]\n").contains("unknown key `events`"));
    assert!(message("run.toml", "event = 3\n").contains("no list"));
    assert!(message("run.toml", "event = [3]\n").contains("event 1: it is no table"));
    assert!(message("run.toml", "").contains("run.toml: there is no event in it"));
}

#[test]
fn mistakes_in_json_name_file_event_field_and_remedy() {
    for (text, part) in [
        ("[[1.1, 0.01, 500], [0, 0.01, 1]]", "h.json: event 2: noise_multiplier = 0"),
        ("[[1.1, 0.01, 500], [1, 1.01, 1]]", "h.json: event 2: sample_rate = 1.01"),
        ("[[1.1, 0.01, 500], [1, 1, -1]]", "h.json: event 2: steps = -1"),
        ("[[1.1, 0.01, 1.5]]", "h.json: event 1: steps = 1.5"),
        ("[[1.1, 0.01]]", "h.json: event 1: [1.1,0.01] has 2 numbers"),
        ("[[1.1, \"0.01\", 3]]", "h.json: event 1: sample_rate = \"0.01\" is no number"),
        ("[1.1, 0.01, 3]", "h.json: event 1: 1.1 is no list"),
        ("{\"steps\": 3}", "h.json: there is no `history`"),
        ("[[NaN, 0.01, 3]]", "h.json: invalid JSON"),
        ("[[1.1, 0.01, 3]", "h.json: invalid JSON"),
        ("3", "h.json: the history is no list"),
        ("[]", "h.json: there is no event in it"),
    ] {
        let said = message("h.json", text);
        assert!(said.contains(part), "{said}");
        assert!(said.contains("[[noise_multiplier, sample_rate, steps], …]"), "{said}");
    }
}

#[test]
fn mistakes_in_flags_name_flag_field_and_remedy() {
    for (text, part) in [
        ("gaussian:nm=0", "nm = 0: it must be positive"),
        ("gaussian:nm=-1", "nm = -1"),
        ("gaussian:nm=NaN", "nm = NaN"),
        ("gaussian:nm=1,q=2", "q = 2: it must be between 0 and 1"),
        ("gaussian:nm=1,steps=1.5", "steps: 1.5 is no whole number"),
        ("gaussian:nm=1,steps=-3", "steps: -3 is no whole number"),
        ("gaussian:nm=1,step=3", "did you mean `steps`"),
        ("gaussian:nm=1,nm=2", "nm is given twice"),
        ("gaussian:nm", "`nm` has no `=`"),
        ("gaussian:nm=x", "nm = x is no number"),
        ("gaussian", "nm, the noise multiplier, is missing"),
        ("gauss:nm=1", "unknown mechanism `gauss`"),
        ("", "unknown mechanism ``"),
    ] {
        let failure = parse_flags("--event", &["laplace:nm=2".to_owned(), text.to_owned()]).unwrap_err();
        let said = failure.to_string();
        assert!(said.starts_with(&format!("--event 2 `{text}`: ")) && said.contains(part), "{said}");
        assert!(failure.remedy().is_some_and(|help| help.contains("MECHANISM:nm=F")), "{said}");
    }
}

/// SplitMix64: mutations must not depend on the platform.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

fn mutated(text: &str, random: &mut Random) -> String {
    const PIECES: [&str; 30] = [
        "[",
        "]",
        "[[event]]\n",
        "{",
        "}",
        ",",
        "=",
        "\"",
        "'",
        "\n",
        "-",
        "1e999",
        "-1e-400",
        "nan",
        "inf",
        "NaN",
        "null",
        "18446744073709551616",
        "9007199254740993",
        "0",
        "0.0",
        "\u{0}",
        "é",
        "𝛿",
        "steps = ",
        "mechanism = ",
        "#",
        "\\",
        "history",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    ];
    let mut bytes: Vec<char> = text.chars().collect();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 if at < bytes.len() => {
                bytes.remove(at);
            }
            1 if at < bytes.len() => {
                let to = (at + 1 + random.below(12)).min(bytes.len());
                bytes.drain(at..to);
            }
            2 if at < bytes.len() => bytes[at] = char::from(random.below(128) as u8),
            3 => {
                let to = (at + random.below(30)).min(bytes.len());
                let copy = bytes[at..to].to_vec();
                let into = random.below(bytes.len() + 1);
                bytes.splice(into..into, copy);
            }
            _ => {
                bytes.splice(at..at, PIECES[random.below(PIECES.len())].chars());
            }
        }
    }
    bytes.into_iter().collect()
}

#[test]
fn a_hundred_thousand_mutated_files_are_read_or_refused() {
    use crate::{Accountant, Neighboring, gdp::Gdp, pure::Pure};
    let mut random = Random(6);
    let (mut read, mut refused) = (0, 0);
    for round in 0..120_000 {
        let (origin, text) = [("e.toml", TOML), ("e.json", JSON), ("e", TOML), ("e", JSON)][round % 4];
        match parse(origin, &mutated(text, &mut random)) {
            Ok(events) => {
                read += 1;
                // What is read can be accounted, or is refused with a reason.
                for neighboring in Neighboring::ALL {
                    let _ = Gdp::new(neighboring).epsilon(&events, 1e-5);
                    let _ = Pure::new(neighboring).epsilon(&events, 0.0);
                }
            }
            Err(failure) => {
                refused += 1;
                assert_eq!(failure.exit(), ashlar_cli::Exit::Usage);
                assert!(!failure.to_string().is_empty());
            }
        }
    }
    assert!(read > 3_000 && refused > 50_000, "{read} read, {refused} refused");
}
