//! Whole trajectories: one list of right and wrong answers a question.

use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::{Chain, Counts, StateTable};
use crate::{Error, Result, Table, resample};

/// Questions, each with its answers in the order of turns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectories {
    /// Whether each turn's answer is right; what could not be parsed is wrong.
    pub correct: Vec<Vec<bool>>,
    /// The letters answered, where the file has them (`None` for an unparsed one); as many turns as `correct`.
    pub answers: Option<Vec<Vec<Option<String>>>>,
    /// How many answers could not be parsed.
    pub unparsed: usize,
}

/// A cluster bootstrap over questions of the stationary accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The replicates' standard deviation; none if fewer than two have a stationary accuracy.
    pub se: Option<f64>,
    /// The (1 − level)/2 quantile of the replicates.
    pub lo: Option<f64>,
    /// The (1 + level)/2 quantile.
    pub hi: Option<f64>,
    /// Replicates that have a stationary accuracy.
    pub iters: usize,
    /// Replicates without one (a state that never occurs in them).
    pub undefined: usize,
}

/// The chain beside what was observed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Accuracy of each turn over the questions that have it.
    pub observed: Vec<f64>,
    /// Largest distance of the chain's accuracy from it.
    pub max_abs: f64,
    /// The turn where it is, from 0.
    pub turn: usize,
}

impl Trajectories {
    /// Reads a table with one row a question, `correct` a list of 0, 1, true, false or null (unparsed), and perhaps
    /// `answers`, a list of letters and nulls; or with one row a turn, columns `id`, `turn`, `correct` and perhaps
    /// `answer`. In CSV a list is written `1 1 0`, and `-` is an unparsed answer.
    ///
    /// # Errors
    /// [`Error::Cell`] and [`Error::MissingColumn`] with the place; [`Error::Undefined`] for a question with two answers
    /// in one turn.
    pub fn read(table: &Table) -> Result<Self> {
        if table.has("turn") { Self::by_turn(table) } else { Self::by_question(table) }
    }

    fn by_question(table: &Table) -> Result<Self> {
        let mut found = Self::default();
        for (row, cell) in table.column("correct")?.into_iter().enumerate() {
            let refused = || table.cell_error(row, "correct", cell.to_string(), "a list of 0, 1 and null");
            let mut turns = Vec::new();
            for answer in list(cell).ok_or_else(refused)? {
                turns.push(found.judged(&answer).ok_or_else(refused)?);
            }
            found.correct.push(turns);
        }
        if table.has("answers") {
            let mut all = Vec::new();
            for (row, cell) in table.column("answers")?.into_iter().enumerate() {
                let refused = || table.cell_error(row, "answers", cell.to_string(), "a list of letters and nulls");
                let letters: Vec<Option<String>> = list(cell).ok_or_else(refused)?.iter().map(letter).collect();
                if letters.len() != found.correct[row].len() {
                    return Err(table.cell_error(row, "answers", cell.to_string(), "as long as `correct`"));
                }
                all.push(letters);
            }
            found.answers = Some(all);
        }
        Ok(found)
    }

    fn by_turn(table: &Table) -> Result<Self> {
        let ids = table.column_text("id")?;
        let turns = table.column_f64("turn")?;
        let correct = table.column_optional("correct")?;
        let answers = if table.has("answer") { Some(table.column_optional("answer")?) } else { None };
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by(|&a, &b| ids[a].cmp(&ids[b]).then(turns[a].total_cmp(&turns[b])));
        let mut found = Self { answers: answers.as_ref().map(|_| Vec::new()), ..Self::default() };
        let mut before: Option<usize> = None;
        for row in order {
            let same = before.is_some_and(|before| ids[before] == ids[row]);
            if same && before.is_some_and(|before| turns[before] == turns[row]) {
                let (id, turn, file) = (&ids[row], turns[row], table.file());
                return Err(Error::Undefined(format!("{file}: question `{id}` has two answers in turn {turn}")));
            }
            if !same {
                found.correct.push(Vec::new());
                found.answers.iter_mut().for_each(|answers| answers.push(Vec::new()));
            }
            let judged = found.judged(correct[row].unwrap_or(&Value::Null)).ok_or_else(|| {
                let shown = correct[row].map(ToString::to_string).unwrap_or_default();
                table.cell_error(row, "correct", shown, "0, 1 or null")
            })?;
            found.correct.last_mut().into_iter().for_each(|turns| turns.push(judged));
            if let (Some(all), Some(answers)) = (&mut found.answers, &answers) {
                let answer = letter(answers[row].unwrap_or(&Value::Null));
                all.last_mut().into_iter().for_each(|turns| turns.push(answer.clone()));
            }
            before = Some(row);
        }
        Ok(found)
    }

    /// One answer; an unparsed one is wrong, and counted.
    fn judged(&mut self, answer: &Value) -> Option<bool> {
        match answer {
            Value::Bool(right) => Some(*right),
            Value::Number(number) if number.as_f64() == Some(1.0) => Some(true),
            Value::Number(number) if number.as_f64() == Some(0.0) => Some(false),
            Value::String(text) if matches!(text.as_str(), "1" | "true" | "True") => Some(true),
            Value::String(text) if matches!(text.as_str(), "0" | "false" | "False") => Some(false),
            Value::String(text) if matches!(text.as_str(), "-" | "null" | "") => self.judged(&Value::Null),
            Value::Null => {
                self.unparsed += 1;
                Some(false)
            }
            _ => None,
        }
    }

    /// The pairs of one question.
    fn counts_of(turns: &[bool]) -> Counts {
        let mut counts = Counts::default();
        for pair in turns.windows(2) {
            *match (pair[0], pair[1]) {
                (true, true) => &mut counts.tt,
                (true, false) => &mut counts.tf,
                (false, true) => &mut counts.ft,
                (false, false) => &mut counts.ff,
            } += 1;
        }
        counts
    }

    /// All consecutive pairs of all questions.
    pub fn counts(&self) -> Counts {
        self.correct.iter().map(|turns| Self::counts_of(turns)).fold(Counts::default(), add)
    }

    /// Accuracy of the first turn; none without questions that have one.
    pub fn first_accuracy(&self) -> Option<f64> {
        let first: Vec<bool> = self.correct.iter().filter_map(|turns| turns.first().copied()).collect();
        let right = first.iter().filter(|&&right| right).count();
        (!first.is_empty()).then(|| right as f64 / first.len() as f64)
    }

    /// Share of questions whose answer ever changes between right and wrong, of those with two turns or more.
    pub fn ever_flipped(&self) -> Option<f64> {
        let asked: Vec<&Vec<bool>> = self.correct.iter().filter(|turns| turns.len() > 1).collect();
        let flipped = asked.iter().filter(|turns| turns.windows(2).any(|pair| pair[0] != pair[1])).count();
        (!asked.is_empty()).then(|| flipped as f64 / asked.len() as f64)
    }

    /// The stationary accuracy's spread when whole questions are drawn with replacement.
    ///
    /// # Errors
    /// [`Error::Range`] for `iters` outside 2 to 10⁷.
    pub fn bootstrap(&self, iters: usize, seed: u64, level: f64) -> Result<Spread> {
        if !(2..=resample::MAX_ITERS).contains(&iters) {
            return Err(Error::Range { name: "iters", value: iters as f64, expected: "between 2 and 10000000" });
        }
        let each: Vec<Counts> = self.correct.iter().map(|turns| Self::counts_of(turns)).collect();
        let chunk = |chunk: usize| {
            let mut rng = resample::stream(seed, chunk);
            let replicates = resample::CHUNK.min(iters - chunk * resample::CHUNK);
            let replicate = |_| {
                let drawn = (0..each.len()).map(|_| each[rng.choice_of(each.len())]);
                drawn.fold(Counts::default(), add).chain().stationary
            };
            (0..replicates).map(replicate).collect::<Vec<Option<f64>>>()
        };
        let chunks = iters.div_ceil(resample::CHUNK);
        let all: Vec<Option<f64>> = (0..chunks).into_par_iter().flat_map_iter(chunk).collect();
        let defined: Vec<f64> = all.iter().flatten().copied().collect();
        let spread = resample::spread(&defined, level);
        Ok(Spread {
            se: spread.map(|s| s.0),
            lo: spread.map(|s| s.1),
            hi: spread.map(|s| s.2),
            iters: defined.len(),
            undefined: all.len() - defined.len(),
        })
    }

    /// How far the chain's accuracy lies from the observed one; none if the chain has none.
    ///
    /// # Errors
    /// As [`Chain::accuracy`].
    pub fn fit(&self, chain: &Chain) -> Result<Option<Fit>> {
        let turns = self.correct.iter().map(Vec::len).max().unwrap_or(0);
        let Some(first) = self.first_accuracy() else { return Ok(None) };
        let Some(model) = chain.accuracy(first, turns)? else { return Ok(None) };
        let observed: Vec<f64> = (0..turns)
            .map(|turn| {
                let there: Vec<bool> = self.correct.iter().filter_map(|turns| turns.get(turn).copied()).collect();
                there.iter().filter(|&&right| right).count() as f64 / there.len() as f64
            })
            .collect();
        let distance = |turn: &usize| (model[*turn] - observed[*turn]).abs();
        let turn = (0..turns).rev().max_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0);
        Ok(Some(Fit { max_abs: distance(&turn), turn, observed }))
    }

    /// The chain over the answers' letters, where the file has them.
    pub fn states(&self) -> Option<StateTable> {
        self.answers.as_ref().map(|answers| StateTable::of(answers))
    }
}

fn add(a: Counts, b: Counts) -> Counts {
    Counts { tt: a.tt + b.tt, tf: a.tf + b.tf, ft: a.ft + b.ft, ff: a.ff + b.ff }
}

/// A JSON list, or a text with a list in it: `1 1 0`, `1,1,0`, `[1, 1, 0]`, `A B -`.
fn list(cell: &Value) -> Option<Vec<Value>> {
    match cell {
        Value::Array(values) => Some(values.clone()),
        Value::String(text) => {
            let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
            let parts = inner.split(|c: char| c == ',' || c == ';' || c.is_whitespace()).filter(|p| !p.is_empty());
            Some(parts.map(|part| Value::String(part.trim_matches(['"', '\'']).to_owned())).collect())
        }
        _ => None,
    }
}

fn letter(answer: &Value) -> Option<String> {
    match answer {
        Value::String(text) if matches!(text.trim(), "" | "-" | "null") => None,
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Null => None,
        other => Some(other.to_string()),
    }
}
