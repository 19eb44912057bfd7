//! Stages × grid points × seeds are the units of resumption.

use std::{fs, path::Path};

use ashlar_cli::Exit;
use ashlar_runner::run::How;

use crate::fake::{RAN, run};

fn text(trap: &Path) -> String {
    format!(
        "[experiment]\nname = 'r'\ntitle = 'R'\nseeds = [0, 1]\n\
         [[stage]]\nname = 'first'\nrun = 'fake train'\nselect = 'val_acc'\ngrid = {{ 'server.lr' = [0.1, 0.2] }}\n\
         [[stage]]\nname = 'second'\nrun = 'fake train'\n[stage.with]\nfails_with = '{}'\n\
         weights = {{ stage = 'first', file = 'model.safetensors' }}\n",
        trap.display()
    )
}

/// Runs of the folder so far.
fn ran(folder: &Path) -> usize {
    RAN.lock().unwrap().iter().filter(|out| out.starts_with(folder)).count()
}

#[test]
fn what_is_finished_is_kept_and_the_rest_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (trap, out) = (folder.path().join("trap"), folder.path().join("out"));
    let how = How { out: Some(out.clone()), threads: Some(3), ..How::default() };
    let again = How { resume: true, ..how.clone() };
    fs::write(&trap, b"").unwrap();
    let failure = run(&text(&trap), how.clone()).unwrap_err();
    assert_eq!(failure.exit(), Exit::Failed);
    assert!(failure.to_string().starts_with("stage second [seed "), "{failure}");
    assert_eq!(ran(&out), 4, "two points of two seeds");

    fs::remove_file(&trap).unwrap();
    let finished = run(&text(&trap), again.clone()).unwrap();
    assert_eq!(ran(&out), 6);
    assert_eq!(finished.json["stages"][0]["chosen"].to_string(), r#"{"server.lr":0.2}"#);
    // The second stage took the weights of the chosen point and its own seed (the fake asserts that they exist).
    assert!(out.join("stages/first/1_server.lr=0.2/seed-1/model.safetensors").is_file());
    for file in ["config.toml", "env.json", "result.json", "report.html", "stages/second/seed-0/result.json"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let once = fs::read(out.join("stages/second/seed-0/result.json")).unwrap();

    let repeated = run(&text(&trap), again.clone()).unwrap();
    assert_eq!(ran(&out), 6, "everything was finished");
    assert_eq!(repeated.json, finished.json, "the run's own answer, its seconds too");
    assert_eq!(fs::read(out.join("stages/second/seed-0/result.json")).unwrap(), once);

    // Claims may be added to a finished run; its stages may not change.
    let claims = text(&trap) + "[[claim]]\ntext = 'T'\nmetric = 'second.final_acc'\nop = '<'\nvalue = 0\n";
    assert_eq!(run(&claims, again.clone()).unwrap().exit(), Exit::Gate);
    assert_eq!(ran(&out), 6);
    let other = How { sets: vec!["stage.first.server.k=3".to_owned()], ..again };
    let failure = run(&text(&trap), other).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
    assert!(failure.to_string().contains("was begun with other stages"), "{failure}");

    // Without --resume nothing is touched.
    let failure = run(&text(&trap), how).unwrap_err();
    assert_eq!(failure.exit(), Exit::Usage);
}

#[test]
fn results_do_not_depend_on_how_many_runs_go_on_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let result = |threads: u16| {
        let out = folder.path().join(threads.to_string());
        let how = How { out: Some(out), threads: Some(threads), ..How::default() };
        run(&text(Path::new("no such file")), how).unwrap().json["stages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|stage| stage["metrics"].to_string())
            .collect::<Vec<_>>()
    };
    let one = result(1);
    assert_eq!(one, result(2));
    assert_eq!(one, result(16));
}

#[test]
fn a_point_of_a_grid_that_diverges_is_not_chosen_and_any_other_failure_stops_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let trap = folder.path().join("trap");
    fs::write(&trap, b"").unwrap();
    let text = |grid: &str| {
        format!(
            "[experiment]\nname = 'r'\ntitle = 'R'\n[[stage]]\nname = 'a'\nrun = 'fake train'\n\
             select = 'val_acc'\ngrid = {{ {grid} }}\n"
        )
    };
    let how = |name: &str| How { out: Some(folder.path().join(name)), ..How::default() };
    let finished = run(&text("diverges = [true, false]"), how("one")).unwrap();
    assert_eq!(finished.json["stages"][0]["chosen"]["diverges"], false);
    assert!(finished.json["stages"][0]["grid"][0]["score"].is_null());
    let failure = run(&text("diverges = [true, true]"), how("both")).unwrap_err();
    assert_eq!(failure.exit(), Exit::Failed);
    assert!(failure.to_string().contains("the loss is not finite"), "{failure}");
    let failure = run(&text(&format!("fails_with = ['{}', 'nothing']", trap.display())), how("disk")).unwrap_err();
    assert_eq!(failure.exit(), Exit::Failed);
    assert!(failure.to_string().contains("the disk is on fire"), "{failure}");
}

#[test]
fn a_panic_of_a_stage_ends_the_run_with_its_message() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[experiment]\nname = 'r'\ntitle = 'R'\n[[stage]]\nname = 'a'\nrun = 'fake train'\n\
                with.panics = true\n[[stage]]\nname = 'b'\nrun = 'fake train'\n\
                with.weights = { stage = 'a', file = 'model.safetensors' }\n";
    let how = How { out: Some(folder.path().join("out")), threads: Some(2), ..How::default() };
    let failure = run(text, how).unwrap_err();
    assert_eq!(failure.exit(), Exit::Failed);
    assert!(failure.to_string().contains("stage a panicked: the stage's own bug"), "{failure}");
}
