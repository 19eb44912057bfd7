//! `models score`.

use std::path::PathBuf;

use ashlar_cli::{Answer, Failure, progress::Progress};
use clap::Args;
use serde_json::json;

use super::{LoadArgs, TruncateArg, prompts};
use crate::lm::{Continuation, LogLik, Prompt, TextModel};

pub(super) const EXAMPLE: &str = "Example:\n  ashlar models score ./Llama-3.2-1B --data texts.jsonl --format json\n\nA line has \"text\" or \"tokens\", \
     of which every token is scored that has one before it (the one that the tokenizer puts in front counts as such); or \
     \"prompt\" and \"continuation\", of which the continuation is scored. `nll` is the mean over scored tokens, in nats; \
     `ppl` is exp(nll).";

/// Flags of `score`.
#[derive(Args, Debug)]
pub struct ScoreArgs {
    #[command(flatten)]
    model: LoadArgs,
    /// Documents, one JSON object a line.
    #[arg(long, value_name = "FILE.jsonl")]
    data: PathBuf,
    /// Most rows that are read together.
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch: usize,
    /// Cut documents that are too long instead of refusing them.
    #[arg(long, value_name = "SIDE")]
    truncate: Option<TruncateArg>,
}

pub(super) fn run(args: &ScoreArgs) -> Result<Answer, Failure> {
    if args.batch == 0 {
        return Err(Failure::usage("--batch 0: it must be at least 1"));
    }
    let lines = prompts::objects(&args.data)?;
    let mut model = TextModel::around(args.model.load()?, args.model.folder())?;
    model.batch = args.batch;
    let mut pairs = Vec::with_capacity(lines.len());
    for (line, object) in &lines {
        let (mut prompt, mut scored) = pair(args, &model, *line, object)?;
        let (found, max) = (prompt.len() + scored.len(), model.model.spec().max_pos);
        if found > max && args.truncate.is_some() {
            let mut all = [prompt, scored.clone()].concat();
            all.drain(..found - max);
            let from = all.len().saturating_sub(scored.len()).max(1);
            scored = all.split_off(from);
            prompt = all;
        }
        pairs.push((prompt, scored));
    }
    let mut progress = Progress::new("score", pairs.len() as u64);
    let mut scores: Vec<LogLik> = Vec::with_capacity(pairs.len());
    // Parts, so that progress shows; rows of an error count over all.
    let part = 8 * args.batch;
    for (at, pairs) in pairs.chunks(part).enumerate() {
        let scored = model.model.loglikelihoods(pairs, args.batch, &model.hooks);
        scores.extend(scored.map_err(|error| error.in_row(at * part))?);
        progress.set(scores.len() as u64, "");
    }
    progress.finish();

    let tokens: usize = scores.iter().map(|score| score.per_token.len()).sum();
    if tokens == 0 {
        return Err(Failure::usage(format!("{}: no token to score", args.data.display()))
            .help("a document needs two tokens, or one after the token that the tokenizer puts in front"));
    }
    let nll = -scores.iter().map(|score| score.sum).sum::<f64>() / tokens as f64;
    let each = |(row, score): (usize, &LogLik)| {
        let count = score.per_token.len();
        let nll = (count > 0).then(|| -score.sum / count as f64);
        json!({ "row": row, "n_tokens": count, "nll": nll, "ppl": nll.map(f64::exp), "is_greedy": score.is_greedy })
    };
    let per_doc: Vec<_> = scores.iter().enumerate().map(each).collect();
    let ppl = nll.exp();
    let text = format!("{tokens} tokens in {} documents: {nll:.4} nats a token, perplexity {ppl:.4}", scores.len());
    Ok(Answer::new(json!({ "n_tokens": tokens, "nll": nll, "ppl": ppl, "per_doc": per_doc }), text))
}

/// What is read and what is scored of a line.
fn pair(
    args: &ScoreArgs,
    model: &TextModel,
    line: usize,
    object: &serde_json::Map<String, serde_json::Value>,
) -> Result<(Vec<u32>, Vec<u32>), Failure> {
    let wrong = |what: &str| {
        let at = args.data.display();
        Failure::usage(format!("{at}, line {line}: {what}"))
            .help("write {\"text\": \"…\"}, {\"tokens\": […]} or {\"prompt\": \"…\", \"continuation\": \"…\"}")
    };
    if let Some(continuation) = object.get("continuation") {
        let continuation = continuation.as_str().ok_or_else(|| wrong("`continuation` is no text"))?;
        let prompt = prompts::prompt(&args.data, line, object, false)?;
        return Ok(model.encode_pair(&prompt, &Continuation::from(continuation))?);
    }
    let mut tokens = match (object.get("tokens"), object.get("text").and_then(|text| text.as_str())) {
        (Some(ids), _) => prompts::tokens(&args.data, line, ids)?,
        (None, Some(text)) => model.encode(&Prompt::from(text))?,
        (None, None) => return Err(wrong("neither `text` nor `tokens` nor `continuation`")),
    };
    if tokens.is_empty() {
        return Err(wrong("the document has no token"));
    }
    let scored = tokens.split_off(1);
    Ok((tokens, scored))
}
