//! The binary: exit codes, what is printed, help.

use assert_cmd::Command;
use serde_json::Value;

fn ashlar(args: &[&str]) -> assert_cmd::assert::Assert {
    let folder = tempfile::tempdir().unwrap();
    Command::cargo_bin("ashlar").unwrap().current_dir(&folder).env("NO_COLOR", "1").args(args).assert()
}

fn stdout(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &assert_cmd::assert::Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

#[test]
fn the_list_of_papers_is_one_array() {
    let list: Vec<Value> =
        serde_json::from_str(&stdout(&ashlar(&["reproduce", "--list", "--format", "json"]).success())).unwrap();
    assert_eq!(list.len(), 33);
    for paper in &list {
        let keys: Vec<&String> = paper.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["paper", "title", "crate", "claim", "ready"]);
        assert!(paper["ready"].is_boolean());
        assert!(!paper["claim"].as_str().unwrap().is_empty());
    }
    let text = stdout(&ashlar(&["reproduce", "--list"]).success());
    assert!(text.contains("dynaguard") && text.contains("not built yet"));
}

#[test]
fn a_paper_that_is_not_built_says_which_are() {
    let failed = ashlar(&["reproduce", "dynaguard"]).code(2);
    assert!(stderr(&failed).contains("not built yet"), "{}", stderr(&failed));
    assert!(stderr(&failed).contains("ready:"));
    let failed = ashlar(&["reproduce", "fetchsdg"]).code(2);
    assert!(stderr(&failed).contains("did you mean `fetchsgd`?"));
    ashlar(&["reproduce"]).code(2);
}

#[test]
fn an_experiment_that_is_not_there_is_wrong_usage() {
    let failed = ashlar(&["run", "nothing.toml"]).code(2);
    assert!(stderr(&failed).contains("there is no experiment file"), "{}", stderr(&failed));
    ashlar(&["run"]).code(2);
    ashlar(&["run", "quickstart", "--resume"]).code(2);
    ashlar(&["run", "quickstart", "--no-such-flag"]).code(2);
}

#[test]
fn doctor_answers_with_its_keys() {
    let info: Value = serde_json::from_str(&stdout(&ashlar(&["doctor", "--format", "json"]).success())).unwrap();
    let keys: Vec<&String> = info.as_object().unwrap().keys().collect();
    let expected = [
        "cpu",
        "simd",
        "gemm",
        "cuda_feature",
        "candle_cuda_feature",
        "driver",
        "gpus",
        "ptx",
        "auto_device",
        "reason",
        "copy_gb_per_s",
        "matmul_gflops",
    ];
    assert_eq!(keys, expected);
    assert!(info["gpus"].is_array() && info["ptx"].is_array());
    for figure in ["copy_gb_per_s", "matmul_gflops"] {
        assert!(info[figure].as_f64().unwrap() > 0.0, "{figure}");
    }
    let text = stdout(&ashlar(&["doctor"]).success());
    for line in ["CPU: ", "cuda feature: ", "driver: ", "PTX: ", "device auto -> "] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
}

/// The help of a command and of all below it.
fn check_help(command: &mut clap::Command, path: &str, seen: &mut usize) {
    let names: Vec<String> =
        command.get_subcommands().map(|sub| sub.get_name().to_owned()).filter(|name| name != "help").collect();
    let help = command.render_long_help().to_string();
    assert!(!names.is_empty() || help.contains("Example"), "`{path} --help` has no example");
    *seen += 1;
    for name in names {
        if let Some(sub) = command.find_subcommand_mut(&name) {
            check_help(sub, &format!("{path} {name}"), seen);
        }
    }
}

#[test]
fn every_help_has_an_example() {
    use clap::CommandFactory;
    let mut command = ashlar_runner::command::Cli::command();
    command.build();
    command.clone().debug_assert();
    let mut seen = 0;
    check_help(&mut command, "ashlar", &mut seen);
    assert!(seen > 8, "{seen} commands");
}

#[test]
fn the_version_says_what_is_in_the_binary() {
    let version = stdout(&ashlar(&["--version"]).success());
    for part in ["ashlar 0.", "features: ", "git: ", "ptx: "] {
        assert!(version.contains(part), "{part} is missing: {version}");
    }
}

#[test]
fn embedded_experiments_resolve_and_are_the_papers_that_are_ready() {
    for embedded in ashlar_runner::library::EXPERIMENTS {
        let args = ["run", embedded.name, "--dry-run"];
        assert!(stdout(&ashlar(&args).success()).contains("[[stage]]"), "{}", embedded.name);
        ashlar(&["run", embedded.name, "--dry-run", "--full"]).success();
        let paper = ashlar_runner::papers::find(embedded.name);
        assert!(paper.is_none_or(|paper| !paper.differs.is_empty()), "{} says how it differs", embedded.name);
    }
    // A path outside a checkout leads to the embedded file of that name.
    let failed = ashlar(&["run", "experiments/quickstart.toml"]).code(2);
    assert!(stderr(&failed).contains("`ashlar run quickstart`"));
}

#[test]
fn missing_data_says_what_fetches_it() {
    let nowhere = tempfile::tempdir().unwrap();
    let failed = Command::cargo_bin("ashlar")
        .unwrap()
        .current_dir(&nowhere)
        .env("ASHLAR_DATA", nowhere.path())
        .env("HOME", nowhere.path())
        .env_remove("XDG_CACHE_HOME")
        .args(["reproduce", "fetchsgd", "--out", "out"])
        .assert()
        .code(2);
    assert!(stderr(&failed).contains("ashlar data fetch mnist10k"), "{}", stderr(&failed));
}

#[test]
fn a_short_quickstart_ends_with_a_table_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let short = [
            "run",
            "quickstart",
            "--out",
            "out",
            "--set",
            "server.rounds=6",
            "--set",
            "data.train=1000",
            "--set",
            "data.test=200",
            "--set",
            "stage.attacked.server.rounds=4",
            "--set",
            "stage.attacked.attack.rounds=4",
            "--set",
            "stage.defended.server.rounds=4",
            "--set",
            "stage.defended.attack.rounds=4",
        ];
        Command::cargo_bin("ashlar").unwrap().current_dir(&folder).args(short).args(more).assert()
    };
    // Nothing is learnt in six rounds, so the claims fail: exit code 3, with everything printed and written.
    let ended = run(&[]).code(3);
    let text = stdout(&ended);
    for part in ["uncompressed", "fetchsgd", "FAILS", "out/report.html"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(folder.path().join("out/report.html").is_file());
    let before = std::fs::read(folder.path().join("out/stages/defended/seed-0/result.json")).unwrap();
    run(&[]).code(2);
    let again = stdout(&run(&["--resume", "--format", "json"]).code(3));
    let json: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(json["holds"], false);
    assert_eq!(std::fs::read(folder.path().join("out/stages/defended/seed-0/result.json")).unwrap(), before);
}

#[test]
fn a_typo_is_shown_where_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[experiment]\nname = \"typo\"\ntitle = \"T\"\n\n[[stage]]\nname = \"a\"\nrun = \"fl-core train\"\n\
                [stage.with.clip]\nl22 = 1.0\n[stage.with.server]\nmode = \"sketch\"\nk = 0\nrows = 4\n";
    std::fs::write(folder.path().join("typo.toml"), text).unwrap();
    let run = || {
        let failed =
            Command::cargo_bin("ashlar").unwrap().current_dir(&folder).args(["run", "typo.toml"]).assert().code(2);
        stderr(&failed).lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!("typo", run());
    // What the types can't see comes once they are right, each at its place, all at once.
    std::fs::write(folder.path().join("typo.toml"), text.replace("l22", "l2")).unwrap();
    insta::assert_snapshot!("settings", run());
    assert!(!folder.path().join("runs").exists(), "nothing has run");
}

#[test]
fn completions_are_a_script() {
    assert!(stdout(&ashlar(&["completions", "bash"]).success()).contains("_ashlar()"));
    ashlar(&["completions", "tcl"]).code(2);
}
