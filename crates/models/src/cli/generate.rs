//! `models generate`.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

use ashlar_cli::{Answer, Failure, Format, GlobalArgs, progress::Progress};
use clap::Args;
use serde_json::{Value, json};

use super::{LoadArgs, TruncateArg, logits, prompts};
use crate::lm::{FirstToken, GenConfig, Piece, Prompt, Sampler, TextGeneration, TextModel};

pub(super) const EXAMPLE: &str = "Examples:\n  ashlar models generate ./Llama-3.2-1B-Instruct --chat --prompt 'Why is the sky blue?' --stream\n  ashlar models \
     generate ./Llama-3.2-1B --prompts prompts.jsonl --temperature 0.8 --top-p 0.95 --stop '\n\n' --format json\n\nA line of \
     prompts.jsonl has \"prompt\" (a text), \"messages\" (a conversation) or \"tokens\". With --format json each row is one \
     object a line: row, prompt, text, tokens, logprobs, finish (eos, stop, length), t_prefill_ms, t_per_token_ms; with \
     --stream as well, each token comes before as {row, piece, token, logprob}.";

/// Flags of `generate`.
#[derive(Args, Debug)]
pub struct GenerateArgs {
    #[command(flatten)]
    model: LoadArgs,
    /// Text to continue; repeat it for more rows.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: Vec<String>,
    /// Prompts, one JSON object a line.
    #[arg(long, value_name = "FILE.jsonl")]
    prompts: Option<PathBuf>,
    /// Token ids to continue, separated by commas; repeat it for more rows. Needs no tokenizer.
    #[arg(long, value_name = "ID,ID,…", allow_hyphen_values = true)]
    token_ids: Vec<String>,
    /// Each text is a user's message in the model's chat template.
    #[arg(long)]
    chat: bool,
    /// Most new tokens a row.
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_new: usize,
    /// 0 takes the most likely token; above, tokens are drawn.
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Draw among the k most likely tokens.
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the smallest set of tokens whose probability reaches p.
    #[arg(long, value_name = "P")]
    top_p: Option<f64>,
    /// Leave out tokens below this share of the most likely one's probability.
    #[arg(long, value_name = "P")]
    min_p: Option<f64>,
    /// Divides positive logits, and multiplies negative ones, of tokens that were seen.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    rep_penalty: f64,
    /// Seed of the draws.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// A text that ends a row and is cut off; repeatable.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// A token that may come first (an id, or a text of one token), or with `:BIAS` what is added to its logit; repeatable.
    #[arg(long, value_name = "ID|TEXT[:BIAS]", allow_hyphen_values = true)]
    first_token: Vec<String>,
    /// Print tokens as they come; as text, rows then come one after the other.
    #[arg(long)]
    stream: bool,
    /// Most rows that are read together.
    #[arg(long, value_name = "N", default_value_t = 8)]
    batch: usize,
    /// Cut prompts that are too long instead of refusing them.
    #[arg(long, value_name = "SIDE")]
    truncate: Option<TruncateArg>,
}

pub(super) fn run(args: &GenerateArgs, global: &GlobalArgs) -> Result<Answer, Failure> {
    let prompts = args.prompts()?;
    if args.batch == 0 {
        return Err(Failure::usage("--batch 0: it must be at least 1"));
    }
    let sampler = Sampler {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        repetition_penalty: args.rep_penalty,
        bias: Vec::new(),
    };
    // What needs no model is refused before one is loaded.
    sampler.check(usize::MAX)?;
    let mut model = TextModel::around(args.model.load()?, args.model.folder())?;
    let text_stream = args.stream && global.format == Format::Text;
    model.batch = if text_stream { 1 } else { args.batch };
    let config = GenConfig {
        max_new: args.max_new,
        sampler,
        first_token: first_token(&model, &args.first_token)?,
        stop: args.stop.clone(),
        seed: args.seed,
        truncate_left: args.truncate.is_some(),
        ..GenConfig::default()
    };

    let mut clocks = vec![Clock::default(); prompts.len()];
    let mut progress = Progress::new("generate", (prompts.len() * args.max_new) as u64);
    let mut count = 0;
    let mut started = Instant::now();
    let mut broken: Option<io::Error> = None;
    let mut last_row = None;
    let mut results = Vec::with_capacity(prompts.len());
    let order = if text_stream { prompts.len() } else { 1 };
    // As text, a stream goes row by row in the order given; the library orders rows by length.
    for part in prompts.chunks(prompts.len().div_ceil(order)) {
        let first = results.len();
        results.extend(model.generate_rows(part, first, &config, &mut |piece: Piece| {
            let now = Instant::now();
            count += u64::from(piece.token.is_some());
            clocks[piece.row].note(started, now, piece.token.is_some());
            progress.set(count, format!("row {}", piece.row));
            if args.stream && broken.is_none() {
                broken = show(&piece, global.format, last_row.replace(piece.row)).err();
            }
            broken.is_none()
        })?);
        started = Instant::now();
    }
    progress.finish();
    if let Some(error) = broken {
        // Whoever read the stream has seen enough.
        return if error.kind() == io::ErrorKind::BrokenPipe { Ok(Answer::printed()) } else { Err(unwritten(&error)) };
    }
    let rows: Vec<Value> = results.iter().enumerate().map(|(i, r)| row(i, &prompts[i], r, &clocks[i])).collect();
    match global.format {
        Format::Json => {
            let mut stdout = io::stdout().lock();
            for row in &rows {
                match writeln!(stdout, "{row}") {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
                    written => written.map_err(|error| unwritten(&error))?,
                }
            }
            Ok(Answer::printed())
        }
        Format::Text if args.stream => Ok(Answer::plain("")),
        Format::Text => Ok(Answer::plain(text(&results))),
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::running(format!("cannot write to stdout: {error}"))
}

impl GenerateArgs {
    fn prompts(&self) -> Result<Vec<Prompt>, Failure> {
        let mut all: Vec<Prompt> = self.prompt.iter().map(|text| prompts::text_prompt(text, self.chat)).collect();
        if let Some(path) = &self.prompts {
            for (line, object) in prompts::objects(path)? {
                all.push(prompts::prompt(path, line, &object, self.chat)?);
            }
        }
        for (row, ids) in self.token_ids.iter().enumerate() {
            all.push(Prompt::Tokens(logits::parse(row, ids)?));
        }
        if all.is_empty() {
            return Err(
                Failure::usage("there is no prompt").help("give --prompt TEXT, --prompts FILE.jsonl or --token-ids")
            );
        }
        Ok(all)
    }
}

/// When a row's first and last tokens came.
#[derive(Clone, Copy, Debug, Default)]
struct Clock {
    prefill: Duration,
    first: Option<Instant>,
    last: Option<Instant>,
    tokens: u32,
}

impl Clock {
    fn note(&mut self, started: Instant, now: Instant, token: bool) {
        if !token {
            return;
        }
        if self.first.is_none() {
            self.first = Some(now);
            self.prefill = now - started;
        }
        self.last = Some(now);
        self.tokens += 1;
    }

    fn per_token(&self) -> Option<f64> {
        let (first, last) = self.first.zip(self.last)?;
        (self.tokens > 1).then(|| 1e3 * (last - first).as_secs_f64() / f64::from(self.tokens - 1))
    }
}

fn row(i: usize, prompt: &Prompt, result: &TextGeneration, clock: &Clock) -> Value {
    let prompt = match prompt {
        Prompt::Text(text) => json!(text),
        Prompt::Tokens(tokens) => json!(tokens),
        Prompt::Chat(messages) => json!(messages),
    };
    json!({
        "row": i, "prompt": prompt, "text": result.text, "tokens": result.tokens, "logprobs": result.logprobs,
        "finish": result.finish.name(), "t_prefill_ms": 1e3 * clock.prefill.as_secs_f64(),
        "t_per_token_ms": clock.per_token(),
    })
}

fn text(results: &[TextGeneration]) -> String {
    let shown = |result: &TextGeneration| {
        if result.text.is_empty() && !result.tokens.is_empty() {
            return result.tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        }
        result.text.clone()
    };
    match results {
        [one] => shown(one),
        all => {
            let head = |(i, result)| format!("[{i}] {}", shown(result));
            all.iter().enumerate().map(head).collect::<Vec<_>>().join("\n")
        }
    }
}

fn show(piece: &Piece, format: Format, last_row: Option<usize>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match format {
        Format::Json => {
            let (token, logprob) = piece.token.unzip();
            let line = json!({ "row": piece.row, "piece": piece.text, "token": token, "logprob": logprob });
            writeln!(stdout, "{line}")?;
        }
        Format::Text => {
            if last_row.is_some_and(|last| last != piece.row) {
                stdout.write_all(b"\n")?;
            }
            stdout.write_all(piece.text.as_bytes())?;
        }
    }
    stdout.flush()
}

/// `ID` or `TEXT`, each with `:BIAS` or none with it.
fn first_token(model: &TextModel, flags: &[String]) -> Result<FirstToken, Failure> {
    let bias =
        |flag: &str| flag.rsplit_once(':').and_then(|(token, bias)| Some((token.to_owned(), bias.parse().ok()?)));
    let biased: Vec<(String, f32)> = flags.iter().filter_map(|flag| bias(flag)).collect();
    if flags.is_empty() {
        return Ok(FirstToken::Free);
    }
    if biased.is_empty() {
        return Ok(FirstToken::OneOf(flags.iter().map(|flag| token(model, flag)).collect::<Result<_, _>>()?));
    }
    if biased.len() < flags.len() {
        return Err(Failure::usage("--first-token: some have a bias and some have none").help(
            "give :BIAS to all of them (it is added to their logits), or to none (no other token may come first)",
        ));
    }
    let each = biased.iter().map(|(text, bias)| Ok((token(model, text)?, *bias)));
    Ok(FirstToken::Bias(each.collect::<Result<_, Failure>>()?))
}

fn token(model: &TextModel, text: &str) -> Result<u32, Failure> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let Some(tokenizer) = &model.tokenizer else {
        return Err(Failure::usage(format!("--first-token {text}: no token id, and there is no tokenizer.json")));
    };
    match tokenizer.encode(text)?.as_slice() {
        [one] => Ok(*one),
        several => {
            let message = format!("--first-token {text:?} is {} tokens {several:?}, not one", several.len());
            Err(Failure::usage(message).help("give the id of the token that you mean"))
        }
    }
}
