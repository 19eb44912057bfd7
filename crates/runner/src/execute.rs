//! Runs an experiment's units: stages × grid points × seeds.
//!
//! Each unit has its own run folder and is what `--resume` skips once it is finished. Units that don't wait for each
//! other run side by side, each with its share of the threads; since no stage's result depends on the thread count,
//! neither does the experiment's.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use ashlar_cli::{DeviceArg, Exit, Failure, progress::Progress, stage::StageContext};
use serde_json::Value;

use crate::{
    experiment::{Experiment, with_references},
    outcome::{Outcome, PointOutcome, RunOutcome, StageOutcome, choose, failed, failure_of},
    store,
};

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The experiment's folder.
    pub out: &'a Path,
    /// Use what is finished in `out`.
    pub resume: bool,
    /// Threads in all.
    pub threads: u16,
    /// Passed on to the stages.
    pub device: DeviceArg,
    /// Set by Ctrl-C.
    pub interrupt: &'static AtomicBool,
}

/// Stage, grid point, position of the seed.
type Unit = (usize, usize, usize);

struct State {
    waiting: Vec<Unit>,
    running: usize,
    results: BTreeMap<Unit, Value>,
    /// The chosen point of each finished stage.
    chosen: Vec<Option<usize>>,
    failure: Option<Failure>,
    progress: Option<Progress>,
}

/// Runs all units and gathers their results.
///
/// # Errors
/// The first failure of a unit; units that run at that moment are finished first.
pub fn execute(experiment: &Experiment, settings: &Settings) -> Result<Outcome, Failure> {
    let mut waiting = Vec::new();
    let mut results = BTreeMap::new();
    for (stage, planned) in experiment.stages.iter().enumerate() {
        for point in 0..planned.points.len() {
            for seed in 0..planned.seeds.len() {
                let unit = (stage, point, seed);
                match store::finished(&folder(experiment, settings.out, unit)).filter(|_| settings.resume) {
                    Some(result) => drop(results.insert(unit, result)),
                    None => waiting.push(unit),
                }
            }
        }
    }
    let total = waiting.len();
    if total == 0 {
        tracing::info!("{}: finished already, only claims and report are made again", experiment.header.name);
    } else if !results.is_empty() {
        tracing::info!("{} runs are finished already, {total} are left", results.len());
    }
    let workers = usize::from(settings.threads).min(total).max(1);
    let threads = (usize::from(settings.threads) / workers).max(1) as u16;
    let state = Mutex::new(State {
        waiting,
        running: 0,
        results,
        chosen: vec![None; experiment.stages.len()],
        failure: None,
        progress: (total > 1).then(|| Progress::new(experiment.header.name.clone(), total as u64)),
    });
    settle(experiment, &mut lock(&state));
    let wake = Condvar::new();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(experiment, settings, threads, &state, &wake));
        }
    });
    let mut state = lock(&state);
    if let Some(progress) = state.progress.take() {
        progress.finish();
    }
    match state.failure.take() {
        Some(failure) => Err(failure),
        None => gather(experiment, settings.out, &state.results, total),
    }
}

fn work(experiment: &Experiment, settings: &Settings, threads: u16, state: &Mutex<State>, wake: &Condvar) {
    let total = lock(state).waiting.len();
    loop {
        let (unit, chosen) = {
            let mut now = lock(state);
            loop {
                if now.failure.is_none() && settings.interrupt.load(Ordering::SeqCst) && !now.waiting.is_empty() {
                    now.failure = Some(interrupted(settings.out));
                }
                if now.failure.is_some() || now.waiting.is_empty() {
                    return;
                }
                if let Some(at) = now.waiting.iter().position(|unit| ready(experiment, *unit, &now.chosen)) {
                    let unit = now.waiting.remove(at);
                    now.running += 1;
                    break (unit, now.chosen.clone());
                }
                now = wake.wait(now).unwrap_or_else(PoisonError::into_inner);
            }
        };
        // Without an answer from each unit, the workers that wait for one would wait for ever.
        let run = || run_unit(experiment, settings, threads, unit, &chosen);
        let outcome = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            let stage = &experiment.stages[unit.0].stage.name;
            Err(Failure::running(format!("stage {stage} panicked: {text}")).help("this is a bug: please report it"))
        });
        let mut now = lock(state);
        now.running -= 1;
        match outcome {
            Ok(result) => {
                now.results.insert(unit, result);
                settle(experiment, &mut now);
                let done = total.saturating_sub(now.waiting.len() + now.running) as u64;
                let name = experiment.stages[unit.0].stage.name.clone();
                if let Some(progress) = &mut now.progress {
                    progress.set(done, name);
                }
            }
            Err(failure) if now.failure.is_none() => now.failure = Some(failure),
            Err(_) => {}
        }
        wake.notify_all();
    }
}

fn ready(experiment: &Experiment, unit: Unit, chosen: &[Option<usize>]) -> bool {
    experiment.stages[unit.0].needs.iter().all(|&need| chosen[need].is_some())
}

/// Chooses the grid point of every stage whose units are all finished.
fn settle(experiment: &Experiment, state: &mut State) {
    for (stage, planned) in experiment.stages.iter().enumerate() {
        if state.chosen[stage].is_some() || state.failure.is_some() {
            continue;
        }
        let mut points = Vec::new();
        for (point, plan) in planned.points.iter().enumerate() {
            let runs: Option<Vec<RunOutcome>> = planned
                .seeds
                .iter()
                .enumerate()
                .map(|(at, &seed)| {
                    let result = state.results.get(&(stage, point, at))?.clone();
                    Some(RunOutcome { seed, folder: PathBuf::new(), result })
                })
                .collect();
            match runs {
                Some(runs) => points.push(PointOutcome { label: plan.label.clone(), score: f64::NAN, runs }),
                None => break,
            }
        }
        if points.len() < planned.points.len() {
            continue;
        }
        let name = &planned.stage.name;
        match choose(&mut points, planned.stage.select.as_deref(), planned.stage.toward) {
            Ok(best) => {
                if let Some(problem) = points[best].runs.iter().find_map(|run| failure_of(&run.result)) {
                    state.failure =
                        Some(Failure::running(format!("stage {name}: no point of the grid can be run: {problem}")));
                    continue;
                }
                state.chosen[stage] = Some(best);
                if points.len() > 1 {
                    tracing::info!("{name}: best at {}", points[best].label);
                }
            }
            Err(problem) => {
                state.failure = Some(Failure::usage(format!("stage `{name}`: `select`: in its result {problem}")));
            }
        }
    }
}

fn run_unit(
    experiment: &Experiment,
    settings: &Settings,
    threads: u16,
    unit: Unit,
    chosen: &[Option<usize>],
) -> Result<Value, Failure> {
    let planned = &experiment.stages[unit.0];
    let seed = planned.seeds[unit.2];
    let point = &planned.points[unit.1];
    let out = folder(experiment, settings.out, unit);
    let resume = settings.resume && out.exists();
    if let Some(parent) = out.parent() {
        store::create_all(parent)?;
    }
    let config = with_references(&point.config, &|name, file| {
        let Some((stage, needed)) = experiment.stage(name) else { return file.into() };
        let at = needed.seeds.iter().position(|&other| other == seed).unwrap_or(0);
        folder(experiment, settings.out, (stage, chosen[stage].unwrap_or(0), at)).join(file)
    });
    let label = match point.label.as_str() {
        "" => format!("{} [seed {seed}]", planned.stage.name),
        label => format!("{} [{label}, seed {seed}]", planned.stage.name),
    };
    tracing::debug!("{label}: starts");
    let context = StageContext {
        out: out.clone(),
        seed,
        device: settings.device,
        threads: Some(threads),
        resume,
        label: label.clone(),
        interrupt: settings.interrupt,
    };
    let result = match (planned.command.run)(&config, &context) {
        Ok(result) => result,
        Err(failure) => match failure.exit() {
            Exit::Interrupted => return Err(interrupted(settings.out)),
            // A learning rate that diverges is an answer to the grid's question. Nothing is written: --resume tries again.
            _ if planned.points.len() > 1 && failure.is_divergence() => {
                tracing::warn!("{label} failed, so this point is not chosen: {failure}");
                return Ok(failed(&failure));
            }
            _ => return Err(failure.within(&format!("stage {label}"))),
        },
    };
    if store::finished(&out).is_none() {
        store::write_json(&out.join("result.json"), &result)?;
    }
    Ok(result)
}

fn interrupted(out: &Path) -> Failure {
    Failure::interrupted("interrupted; finished runs and checkpoints are kept")
        .help(format!("go on with the same command and --out {} --resume", out.display()))
}

/// `stages/NAME/[POINT/]seed-N` in the experiment's folder.
fn folder(experiment: &Experiment, out: &Path, (stage, point, seed): Unit) -> PathBuf {
    let planned = &experiment.stages[stage];
    let mut path = out.join("stages").join(&planned.stage.name);
    if planned.points.len() > 1 {
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '=') { c } else { '_' };
        let label: String =
            planned.points[point].label.replace(" = ", "=").replace(", ", "_").chars().map(plain).take(60).collect();
        // The number keeps points apart whose labels shorten to the same.
        path.push(format!("{point}_{label}"));
    }
    path.join(format!("seed-{}", planned.seeds[seed]))
}

fn gather(
    experiment: &Experiment,
    out: &Path,
    results: &BTreeMap<Unit, Value>,
    made: usize,
) -> Result<Outcome, Failure> {
    let mut stages = Vec::new();
    for (stage, planned) in experiment.stages.iter().enumerate() {
        let mut points: Vec<PointOutcome> = planned
            .points
            .iter()
            .enumerate()
            .map(|(point, plan)| PointOutcome {
                label: plan.label.clone(),
                score: f64::NAN,
                runs: planned
                    .seeds
                    .iter()
                    .enumerate()
                    .map(|(at, &seed)| RunOutcome {
                        seed,
                        folder: folder(experiment, out, (stage, point, at)),
                        result: results.get(&(stage, point, at)).cloned().unwrap_or(Value::Null),
                    })
                    .collect(),
            })
            .collect();
        let chosen = choose(&mut points, planned.stage.select.as_deref(), planned.stage.toward)
            .map_err(|problem| Failure::usage(format!("stage `{}`: in its result {problem}", planned.stage.name)))?;
        stages.push(StageOutcome { points, chosen });
    }
    Ok(Outcome { stages, made })
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
