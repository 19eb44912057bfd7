//! Bad input: each row of the specification's table that belongs here, with exit code 2 and a message that helps.

use super::commands::File;
use crate::support::eval;

#[track_caller]
fn refused(ran: &crate::support::Ran, says: &[&str]) {
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.is_empty());
    for word in says {
        assert!(ran.stderr.contains(word), "`{word}` is missing in: {}", ran.stderr);
    }
}

#[track_caller]
fn refuses(name: &str, text: &str, command: &str, says: &[&str]) {
    refused(&File::new(name, text).run(command), says);
}

#[test]
fn flags_out_of_range() {
    for (command, says) in [
        ("stats wilson --k 3 --n 2", "3 successes of 2 trials"),
        ("stats wilson --k -1 --n 2", "invalid value '-1' for '--k"),
        ("stats wilson --k 0 --n 0", "a proportion needs"),
        ("stats wilson --k 1 --n 2 --level 1", "confidence is 1"),
        ("stats wilson --k 1 --n 2 --level -0.5", "confidence is -0.5"),
        ("stats wilson --k 1 --n 2 --level NaN", "confidence is NaN"),
        ("stats pass-at-k --n 5 --c 6 --k 1", "6"),
        ("stats pass-at-k --n 5 --c 2 --k 0", "0"),
        ("markov --counts 1,2,3", "3 numbers, four are needed"),
        ("markov --counts -1,2,3,4", "`-1` is no count"),
        ("markov --counts 1.5,2,3,4", "`1.5` is no count"),
        ("markov --counts 1,2,3,99999999999999999999", "is no count"),
        ("markov --counts 1,2,3,x", "`x` is no count"),
        ("markov --counts 1,2,3,4 --p0 1.2", "p0 = 1.2"),
        ("markov --counts 1,2,3,4 --p0 -0.1", "p0 = -0.1"),
        ("markov --counts 1,2,3,4 --p0 NaN", "p0 = NaN"),
        ("markov --counts 1,2,3,4 --turns 0", "turns = 0"),
        ("markov --counts 1,2,3,4 --turns 1000000000000", "turns = 1000000000000"),
        ("markov --counts 1,0,0,0 --p0 7", "p0 = 7"),
        ("markov", "--counts"),
    ] {
        refused(&eval(command.split(' ')), &[says]);
    }
}

#[test]
fn tables() {
    let mean = "stats mean --data FILE --value x --cluster c";
    refuses("d.csv", "x,d\n1,2\n", mean, &["d.csv, line 2: no column `c`; the columns are x, d"]);
    refuses("d.csv", "x,c\n1,a\n2,\n", mean, &["line 3 (row 2), column `c`: null"]);
    refuses("d.csv", "x,c\n1,a\n2,NaN\n", mean, &["line 3 (row 2), column `c`: `NaN` is not the name of a cluster"]);
    refuses("d.jsonl", "{\"x\": 1, \"c\": \"a\"}\n{\"x\": 1}\n", mean, &["line 2: no column `c`; the columns are x"]);
    refuses("d.jsonl", "{\"x\": 1, \"c\": null}\n", mean, &["column `c`: null"]);
    refuses("d.csv", "x,c\ninf,a\n", mean, &["column `x`: `inf` is not a finite number"]);
    refuses("d.csv", "", mean, &["rows in"]);
    let boot = "stats bootstrap --data FILE --value x --stat mean";
    refuses("d.csv", "x\n1\n2\n", &format!("{boot} --iters 1"), &["iters = 1"]);
    refuses("d.csv", "x\n1\n2\n", &format!("{boot} --iters 99999999999"), &["iters = 99999999999"]);
    refuses("d.csv", "x\n1\n2\n", &format!("{boot} --seed 3 --compat lm-eval"), &["--seed 3"]);
    let perplexity = "stats bootstrap --data FILE --value x --stat perplexity --iters 10";
    refuses("d.csv", "x\n-900\n-901\n", perplexity, &["too large"]);
    let auroc = "stats auroc --data FILE --score s --label l";
    refuses("d.csv", "s,l\n1,1\n2,1\n", auroc, &["AUROC needs both classes", "2 positive and 0 negative"]);
    refuses("d.csv", "s,l\n1,1\n2,2\n", auroc, &["column `l`: `2` is not 0 or 1"]);
    refuses("d.csv", "a,b\n1,1\n", "stats paired --data FILE --a a --b b", &["2"]);
    let missing = eval(["stats", "mean", "--data", "no-such-file.csv", "--value", "x"]);
    refused(&missing, &["cannot read no-such-file.csv"]);
}

#[test]
fn guards() {
    let score = "guard score --data FILE --pred p --gold g";
    refuses(
        "d.csv",
        "p,g\nPASS,PASS\nPASS,maybe\n",
        score,
        &["line 3 (row 2), column `g`: `maybe` is not PASS or FAIL"],
    );
    refuses("d.csv", "p,g\nPASS,\n", score, &["column `g`: null"]);
    refuses(
        "d.csv",
        "p,g\nPASS,PASS\n",
        &format!("{score} --dialect llama"),
        &["unknown dialect `llama`", "wildguard"],
    );
    refuses("d.csv", "p,g\nPASS,PASS\n", "guard score --data FILE --pred q --gold g", &["no column `q`"]);
    refuses("d.csv", "p,g\n1,PASS\n", "guard score --data FILE --score p --gold g", &["both classes"]);
    refuses(
        "d.csv",
        "p,g\n1,PASS\n2,FAIL\n",
        "guard score --data FILE --score p --gold g --target-fpr 2",
        &["target FPR = 2"],
    );
    refuses("d.csv", "p,g\n1,PASS\n2,FAIL\n", "guard score --data FILE --score p --gold g --by g", &["--by"]);
    refuses("d.csv", "p,g\n1,PASS\n", "guard score --data FILE --gold g", &["--pred"]);
    refuses("d.csv", "p,g\n1,PASS\n", &format!("{score} --by p --edges 3,2"), &["must ascend"]);
    let margins = "guard score --data FILE --logprobs p --gold g";
    for (cell, part) in [
        ("7", "an object of log-probabilities"),
        (r#"{"FAIL": "x"}"#, "`FAIL` is no number"),
        (r#"[{"token": "FAIL"}]"#, "entry 0"),
        (r#"{"FAIL": 0.5}"#, "at most 0"),
        (r#"{"FAIL": -0.1, "PASS": -0.1}"#, "total probability"),
        ("null", "null"),
        ("\"FAIL\"", "log-probabilities by token"),
    ] {
        let rows = format!("{{\"p\": {{\"FAIL\": -0.1}}, \"g\": \"FAIL\"}}\n{{\"p\": {cell}, \"g\": \"PASS\"}}\n");
        refuses("d.jsonl", &rows, margins, &["line 2", "column `p`", part]);
    }
    let rows = "{\"p\": {\"FAIL\": -0.1}, \"g\": \"FAIL\"}\n";
    refuses("d.jsonl", rows, &format!("{margins} --dialect wildguard"), &["--fail-token", "--pass-token"]);
    refuses("d.jsonl", rows, &format!("{margins} --pass-token FAIL"), &["`FAIL` is a --fail-token and a --pass-token"]);
    refuses("d.jsonl", rows, &format!("{margins} --score g"), &["--score"]);
    refuses("d.jsonl", rows, &format!("{score} --fail-token FAIL"), &["--logprobs"]);
}

#[test]
fn trajectories() {
    let data = "markov --data FILE";
    refuses("t.jsonl", "{\"correct\": [1, 2]}\n", data, &["row 1", "[1,2]", "0, 1 and null"]);
    refuses("t.jsonl", "{\"correct\": 1}\n", data, &["column `correct`"]);
    refuses("t.jsonl", "{\"right\": [1]}\n", data, &["no column `correct`"]);
    refuses("t.jsonl", "{\"correct\": [1, 0], \"answers\": [\"A\"]}\n", data, &["as long as `correct`"]);
    refuses("t.csv", "id,turn,correct\na,1,1\na,1,0\n", data, &["question `a` has two answers in turn 1"]);
    refuses("t.csv", "id,turn,correct\na,1,2\n", data, &["column `correct`", "0, 1 or null"]);
    refuses("t.jsonl", "{\"correct\": [1, 0]}\n", "markov --data FILE --bootstrap 1", &["iters = 1"]);
    refuses("t.jsonl", "{\"correct\": [1, 0]}\n", "markov --data FILE --level 0", &["confidence is 0"]);
    refuses("t.jsonl", "{\"correct\": [1, 0]}\n", "markov --data FILE --counts 1,2,3,4", &["cannot be used with"]);
}

#[test]
fn attention() {
    let heads = "heads score --input FILE --score awft";
    let of = |attn: &str| format!("{{\"attn\": {attn}, \"value\": [[[1],[2]],[[1],[2]]]}}");
    let fine = "[[1,0],[0.5,0.5]]";
    refuses(
        "h.json",
        &of(&format!("[{fine}, [[1,0],[0.5,0.498]]]")),
        heads,
        &["head 1, row 1: the weights sum to 0.998"],
    );
    refuses(
        "h.json",
        &of(&format!("[{fine}, [[0.9,0.1],[0.5,0.5]]]")),
        heads,
        &["head 1, row 0: weight 0.1 on the later token 1"],
    );
    refuses("h.json", &of(&format!("[{fine}, [[1,0],[1.5,-0.5]]]")), heads, &["head 1, row 1: a weight is -0.5"]);
    refuses(
        "h.json",
        &of("[[[1,0],[0.5]],[[1,0],[1,0]]]"),
        heads,
        &["line 1", "`attn` has a row of 1 where the others have 2"],
    );
    refuses("h.json", &of("[[1,0],[0.5,0.5],[1,0]]"), heads, &["3 × 2, it must be H × S × S"]);
    refuses("h.json", &of(&format!("[{fine},{fine},{fine}]")), heads, &["values of 2 heads", "3 heads"]);
    refuses("h.json", &of("[]"), heads, &["`attn` is an empty array"]);
    refuses("h.json", &of("[[[1,null],[1,0]]]"), heads, &["null where a number is expected"]);
    refuses("h.json", &of("[[[1,0],[\"x\",0]]]"), heads, &["a text where a number is expected"]);
    refuses("h.json", "{\"value\": [[[1]]]}", heads, &["no column `attn`; the columns are value"]);
    refuses("h.json", "[1]", heads, &["expected one object"]);
    refuses(
        "h.json",
        &of(&format!("[{fine},{fine}]")),
        "heads score --input FILE --score awfn",
        &["unknown score `awfn`", "awft, awft-ln, aeqd", "lthon-hn", "all"],
    );
    refuses("h.json", &of(&format!("[{fine},{fine}]")), "heads score --input FILE --score fhon", &["need `w_o`"]);
    for length in ["0", "3"] {
        let command = format!("heads score --input FILE --score all --valid-len {length}");
        refuses("h.json", &of(&format!("[{fine},{fine}]")), &command, &["valid length", length]);
    }
    let threshold = "heads threshold --input FILE --side less --fraction";
    refuses("s.json", "{\"scores\": [1, 2]}", &format!("{threshold} 1.5"), &["fraction = 1.5"]);
    refuses("s.json", "{\"scores\": [1, 2]}", &format!("{threshold} -0.5"), &["fraction = -0.5"]);
    refuses("s.json", "{\"scores\": []}", &format!("{threshold} 0.5"), &["empty array"]);
    let analyze = "attn analyze --input FILE";
    let map = "{\"attn\": [[0.5,0.5],[0.2,0.8]]}";
    refuses("m.json", "{\"attn\": [[0.5,0.5],[0.2,0.7]]}", analyze, &["head 0, row 1: the weights sum to"]);
    refuses("m.json", map, &format!("{analyze} --causal"), &["head 0, row 0: weight 0.5 on the later token 1"]);
    refuses("m.json", map, &format!("{analyze} --theta 0"), &["--theta = 0"]);
    refuses("m.json", map, &format!("{analyze} --theta -1"), &["--theta = -1"]);
    refuses("m.json", map, &format!("{analyze} --sink -1"), &["--sink = -1"]);
    refuses("m.json", map, &format!("{analyze} --grid 2,2,2"), &["grid of 2 × 2 × 2 doesn't fit 2 tokens"]);
    refuses("m.json", map, &format!("{analyze} --grid 2,2"), &["three are needed"]);
    refuses("m.json", map, &format!("{analyze} --tensor a"), &["no column `a`; the columns are attn"]);
    refuses("m.json", "{\"attn\": [[1]], \"grid\": [0.5, 1, 1]}", analyze, &["`grid` must be a list of whole numbers"]);
    refuses("m.safetensors", "nonsense", analyze, &["m.safetensors"]);
    let (a, b) = (File::new("a.json", map), File::new("b.json", "{\"attn\": [[1]]}"));
    refused(&eval(["attn", "similarity", a.path(), b.path()]), &["1 × 2 × 2 and 1 × 1 × 1"]);
}

#[test]
fn misalignment() {
    let rate = "em rate --data FILE";
    refuses("e.csv", "alignment,coherence\n5,6\n101,3\n", rate, &["row 2", "`alignment`", "a score from 0 to 100"]);
    refuses("e.csv", "alignment,coherence\n5,-6\n", rate, &["`coherence`", "-6"]);
    refuses("e.csv", "alignment\n5\n", rate, &["no column `coherence`"]);
    refuses("e.csv", "alignment,coherence\n5,6\n", "em rate --data FILE --cluster question", &["no column `question`"]);
    let judge = "em judge-score --logprobs FILE";
    refuses("l.json", "{\"5\": 0.5}", judge, &["log-probability = 0.5"]);
    refuses("l.json", "{\"5\": \"x\"}", judge, &["`5` is no number"]);
    refuses("l.json", "{\"5\": -0.1, \"6\": -0.1}", judge, &["total probability"]);
    refuses("l.json", "[{\"token\": \"5\"}]", judge, &["entry 0 has no"]);
    refuses("l.json", "{\"5\"", judge, &["line 1"]);
    refuses("l.json", "3", judge, &["an object of log-probabilities"]);
}
