//! Reading tables: every mistake with its place, and no input that panics.

use ashlar_eval::Table;
use proptest::prelude::*;

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
