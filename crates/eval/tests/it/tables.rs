//! Reading tables: every mistake with its place, and no input that panics.

use ashlar_eval::Table;
use ashlar_eval::law::{
    Envelope, EnvelopeMethod, Fit, FitOptions, Loss, Points, Resource, Starts, Variable, envelope::Target,
};
use proptest::prelude::*;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

fn parse(text: &str) -> Table {
    Table::parse("t", text.as_bytes()).unwrap()
}

fn error<T: std::fmt::Debug>(result: ashlar_eval::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn both_layouts_read_the_same() {
    let jsonl = parse("{\"x\": 1, \"name\": \"a\"}\n\n{\"x\": 2.5, \"name\": \"b\"}\n");
    let csv = parse("x,name\n1,a\n2.5,b\n");
    for table in [jsonl, csv] {
        assert_eq!(table.column_f64("x").unwrap(), [1.0, 2.5]);
        assert_eq!(table.column_text("name").unwrap(), ["a", "b"]);
        assert_eq!(table.columns(), ["x", "name"]);
        assert_eq!(table.len(), 2);
    }
}

#[test]
fn gaps_are_kept_apart_from_values() {
    let table = parse("{\"x\": 1}\n{\"x\": null}\n{\"y\": 3}\n");
    assert_eq!(table.column_f64_optional("x").unwrap(), [Some(1.0), None, None]);
    assert_eq!(error(table.column_f64("x")), "t, line 2 (row 2), column `x`: null is not a value");
    assert_eq!(error(table.column_f64("y")), "t, line 1: no column `y`; the columns are x");
    assert_eq!(parse("x,y\n1,\n2,3\n").column_f64_optional("y").unwrap(), [None, Some(3.0)]);
}

#[test]
fn mistakes_name_their_place() {
    assert_eq!(error(parse("a,b\n1,2\n").column_f64("c")), "t, line 2: no column `c`; the columns are a, b");
    assert_eq!(error(parse("a\n1\nx\n").column_f64("a")), "t, line 3 (row 2), column `a`: `x` is not a finite number");
    assert_eq!(
        error(parse("a\n1\ninf\n").column_f64("a")),
        "t, line 3 (row 2), column `a`: `inf` is not a finite number"
    );
    assert_eq!(error(parse("a\n1\n-2\n").column_positive("a")), "t, line 3 (row 2), column `a`: -2 is not above 0");
    assert_eq!(error(parse("a\n1\n2\n").column_bool("a")), "t, line 3 (row 2), column `a`: `2` is not 0 or 1");
    let syntax = error(Table::parse("t", b"{\"a\": 1}\n{\"a\": NaN}\n"));
    assert!(syntax.starts_with("t, line 2, column 7: expected value"), "{syntax}");
    assert_eq!(error(Table::parse("t", b"a,b\n1\n")), "t, line 2: 1 cells in a table of 2 columns");
    assert_eq!(error(Table::parse("t", b"a,a\n1,2\n")), "t, line 1: two columns are called `a`");
    assert_eq!(error(Table::parse("t", b"")), "rows in t: 0, at least 1 are needed");
    assert_eq!(error(Table::parse("t", b"a\n\xff\n")), "t, line 2, column 1: not UTF-8");
    assert!(error(Table::read(std::path::Path::new("no/such.csv"))).starts_with("cannot read no/such.csv"));
}

const GEMSTONES: &str = r#"{"run_name":"a","params_active_precise":543482880,"width":1024,"depth":28,"tokens":10003415040,"step":2385,"num_nodes":32,"seconds_per_step":1.39,"final_loss":3.101}
{"run_name":"a","params_active_precise":543482880,"width":1024,"depth":28,"tokens":20006830080,"step":4770,"num_nodes":32,"seconds_per_step":1.39,"final_loss":2.95}
{"run_name":"b","params_active_precise":104440064,"width":256,"depth":80,"tokens":10003415040,"step":2385,"num_nodes":8,"seconds_per_step":1.5,"final_loss":3.5}
{"run_name":"b","params_active_precise":104440064,"width":256,"depth":80,"tokens":30003415040,"step":7155,"num_nodes":8,"seconds_per_step":1.5,"final_loss":3.3}
{"run_name":"c","params_active_precise":1043482880,"width":2048,"depth":14,"tokens":10003415040,"step":2385,"num_nodes":8,"seconds_per_step":1.5,"final_loss":3.0}
{"run_name":"c","params_active_precise":1043482880,"width":2048,"depth":14,"tokens":40003415040,"step":9540,"num_nodes":8,"seconds_per_step":1.5,"final_loss":2.7}
"#;
const CHINCHILLA: &str = "x,Model Size,Training FLOP,loss\n1,6795600349.28,9.99e18,5.0\n2,2979521172.1,9.2e18,4.6\n3,1e9,1e19,3.5\n\
    4,1e9,1e20,2.9\n5,3e9,1e21,2.5\n6,7e9,1e22,2.2\n7,7e8,3e18,4.1\n";

/// 100,000 tables, each a real one with a few bytes changed, cut out, repeated or moved.
#[test]
fn no_mutated_table_panics() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let spice: &[&[u8]] = &[b"null", b"-", b"1e400", b"NaN", b"\"", b",", b"\n", b"{", b"[]", b"\xff", b"0", b"1e-320"];
    let mut fitted = 0;
    for round in 0..100_000_u32 {
        let mut bytes = if round % 2 == 0 { GEMSTONES } else { CHINCHILLA }.as_bytes().to_vec();
        for _ in 0..=rng.next_u32() % 3 {
            let at = rng.next_u32() as usize % bytes.len();
            let to = (at + rng.next_u32() as usize % 40).min(bytes.len());
            match rng.next_u32() % 4 {
                0 => bytes[at] = rng.next_u32() as u8,
                1 => drop(bytes.drain(at..to.min(at + bytes.len() - 1))),
                2 => {
                    let part = bytes[at..to].to_vec();
                    bytes.splice(at..at, part);
                }
                _ => drop(bytes.splice(at..=at, spice[rng.next_u32() as usize % spice.len()].iter().copied())),
            }
        }
        let Ok(table) = Table::parse("t", &bytes) else { continue };
        let points = Points::new(table, None);
        let resource = if round % 3 == 0 { Resource::GpuHours } else { Resource::Flops };
        let envelope = Envelope::fit(&points, resource, Target::Params, round % 5 == 0, EnvelopeMethod::Hull);
        let bucket = Envelope::fit(&points, resource, Target::Tokens, false, EnvelopeMethod::Bucket(3));
        fitted += u32::from(envelope.is_ok()) + u32::from(bucket.is_ok());
        if round % 50 < 2 {
            let loss = if round % 100 < 50 { Loss::Huber { delta: 1e-3 } } else { Loss::Lad };
            let options = FitOptions { loss, starts: Starts::Draws(1), seed: u64::from(round) };
            let _ = Fit::of(&points, &[Variable::Params, Variable::Tokens], false, 0, &options);
        }
    }
    assert!(fitted > 5_000, "{fitted} tables were still good");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(table) = Table::parse("t", &bytes) {
            for column in table.columns().to_vec() {
                let _ = (table.column_f64(&column), table.column_bool(&column), table.column_text_optional(&column));
            }
        }
    }
}
