//! Turns what the GPU bench measured into the table of the documentation.
//!
//! `scripts/gpu/run.sh` leaves a folder with `bench.txt`, which names the GPU, and criterion's `criterion/`. Of each entry
//! the medians of four functions count: the call and a copy of as many bytes, with the cache flushed and without.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

type Outcome<T = ()> = Result<T, String>;

const PAGE: &str = "docs/src/benchmarks/kernels-gpu.md";
const BEGIN: &str = "<!-- cargo xtask gpu-table -->\n";
const END: &str = "<!-- end of the table -->\n";

/// `cargo xtask gpu-table DIR [--write]`
#[allow(clippy::print_stdout)]
pub fn run(args: &[String]) -> Outcome {
    let (folder, write) = match args {
        [folder] => (Path::new(folder), false),
        [folder, write] if write == "--write" => (Path::new(folder), true),
        _ => return Err("usage: cargo xtask gpu-table DIR [--write]".to_owned()),
    };
    let log = read(&folder.join("bench.txt"))?;
    let table = table(&log, &measured(&folder.join("criterion"))?)?;
    if !write {
        println!("{table}");
        return Ok(());
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE);
    let text = replaced(&read(&page)?, &table).ok_or_else(|| format!("{PAGE} has no place for the table"))?;
    fs::write(&page, text).map_err(|error| format!("{PAGE}: {error}"))
}

/// Seconds of a function's median, and the bytes that it must move.
#[derive(Clone, Copy)]
struct Time {
    seconds: f64,
    bytes: f64,
}

/// By entry, then function.
type Times = BTreeMap<String, BTreeMap<String, Time>>;

/// Reads every `*/*/new/` below criterion's folder.
fn measured(folder: &Path) -> Outcome<Times> {
    let mut times = Times::new();
    for group in folders(folder)? {
        for function in folders(&group)? {
            let new = function.join("new");
            if !new.join("estimates.json").exists() {
                continue; // criterion's own reports
            }
            let (about, estimates) = (json(&new.join("benchmark.json"))?, json(&new.join("estimates.json"))?);
            let missing = |what| format!("{}: no {what}", new.display());
            let name = |key: &'static str| about[key].as_str().map(str::to_owned).ok_or_else(|| missing(key));
            let seconds = estimates["median"]["point_estimate"].as_f64().ok_or_else(|| missing("median"))? / 1e9;
            let bytes = about["throughput"]["Bytes"].as_f64().ok_or_else(|| missing("throughput in bytes"))?;
            times.entry(name("group_id")?).or_default().insert(name("function_id")?, Time { seconds, bytes });
        }
    }
    if times.is_empty() {
        return Err(format!("{}: criterion left no measurement there", folder.display()));
    }
    Ok(times)
}

fn table(log: &str, times: &Times) -> Outcome<String> {
    let gpu = log.lines().find_map(|line| line.strip_prefix("gpu: ")).ok_or("bench.txt has no line `gpu: {…}`")?;
    let gpu: Value = serde_json::from_str(gpu).map_err(|error| format!("bench.txt: {error}"))?;
    let mut text = format!(
        "{}, driver {}, {} multiprocessors at {} MHz, memory at {} MHz, second-level cache {} MiB.\n\n\
         | call | bytes needed | cold ms | cold GB/s | of the copy | warm ms | warm GB/s | of the copy |\n\
         |---|---|---|---|---|---|---|---|\n",
        gpu["name"].as_str().unwrap_or("unknown GPU"),
        gpu["driver"].as_str().unwrap_or("unknown"),
        gpu["multiprocessors"],
        gpu["clock_khz"].as_f64().unwrap_or(0.0) / 1e3,
        gpu["memory_clock_khz"].as_f64().unwrap_or(0.0) / 1e3,
        gpu["l2_bytes"].as_u64().unwrap_or(0) >> 20,
    );
    for (entry, functions) in times {
        let one = |function: &str| {
            functions
                .get(function)
                .copied()
                .ok_or_else(|| format!("`{entry}` has no `{function}`: run the whole bench"))
        };
        text.push_str(&format!("| {entry} | {:.1} MB |", one("cold")?.bytes / 1e6));
        for state in ["cold", "warm"] {
            let (call, copy) = (one(state)?, one(&format!("copy {state}"))?);
            let rate = call.bytes / call.seconds / 1e9;
            text.push_str(&format!(" {:.4} | {rate:.1} | {:.2} |", call.seconds * 1e3, copy.seconds / call.seconds));
        }
        text.push('\n');
    }
    Ok(text)
}

fn replaced(page: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

fn folders(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    Ok(folders)
}

fn json(path: &Path) -> Outcome<Value> {
    serde_json::from_str(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Outcome<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "gpu: {\"name\":\"Card\",\"driver\":\"CUDA 12.4\",\"l2_bytes\":52428800,\"clock_khz\":1980000,\
                       \"memory_clock_khz\":2619000,\"multiprocessors\":132}\nBenchmarking …\n";

    fn write(folder: &Path, function: &str, nanoseconds: f64) {
        let new = folder.join("criterion/topk 1_").join(function).join("new");
        fs::create_dir_all(&new).expect("a folder");
        let about = format!(
            r#"{{"group_id":"topk 1%","function_id":"{function}","value_str":null,"throughput":{{"Bytes":4000000}}}}"#
        );
        fs::write(new.join("benchmark.json"), about).expect("a file");
        let estimates = format!(r#"{{"mean":{{}},"median":{{"point_estimate":{nanoseconds}}}}}"#);
        fs::write(new.join("estimates.json"), estimates).expect("a file");
    }

    #[test]
    fn the_table_has_times_rates_and_shares() {
        let folder = std::env::temp_dir().join(format!("ashlar-gpu-table-{}", std::process::id()));
        for (function, time) in [("cold", 2000.0), ("copy cold", 1000.0), ("warm", 1000.0)] {
            write(&folder, function, time);
        }
        fs::create_dir_all(folder.join("criterion/topk 1_/report")).expect("a folder");
        let times = measured(&folder.join("criterion")).expect("measurements");
        let error = table(LOG, &times).expect_err("a copy is missing");
        assert_eq!(error, "`topk 1%` has no `copy warm`: run the whole bench");
        write(&folder, "copy warm", 900.0);
        let table = table(LOG, &measured(&folder.join("criterion")).expect("measurements")).expect("a table");
        assert!(
            table.starts_with("Card, driver CUDA 12.4, 132 multiprocessors at 1980 MHz, memory at 2619 MHz"),
            "{table}"
        );
        assert!(table.contains("cache 50 MiB"), "{table}");
        assert!(table.ends_with("| topk 1% | 4.0 MB | 0.0020 | 2000.0 | 0.50 | 0.0010 | 4000.0 | 0.90 |\n"), "{table}");
        let page = format!("# Page\n\n{BEGIN}nothing yet\n{END}\nmore\n");
        let written = replaced(&page, &table).expect("a place");
        assert!(written.contains("| topk 1% |") && written.ends_with("more\n") && !written.contains("nothing yet"));
        assert_eq!(replaced(&written, &table).as_ref(), Some(&written));
        fs::remove_dir_all(&folder).expect("the folder is removed");
        assert!(measured(&folder).is_err());
    }

    #[test]
    fn the_page_has_a_place_for_the_table() {
        let page = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(PAGE)).expect("the page");
        assert!(replaced(&page, "table").is_some());
    }
}
