//! `eval fit-law shape`.

use ashlar_cli::{Answer, Failure};
use clap::Args;
use serde_json::json;

use crate::{
    cli::text::{number, pairs},
    law::{
        Shape,
        shape::{SEQ_LEN, VOCAB},
    },
};

pub const EXAMPLE: &str = "Example:\n  ashlar eval fit-law shape --width 1024 --depth 28";

/// Flags of `shape`.
#[derive(Args, Debug)]
pub struct ShapeArgs {
    /// Width of the residual stream, at least 128.
    #[arg(long, value_name = "W", allow_negative_numbers = true)]
    pub width: u64,
    /// Number of blocks.
    #[arg(long, value_name = "L", allow_negative_numbers = true)]
    pub depth: u64,
    /// Size of the vocabulary.
    #[arg(long, value_name = "V", default_value_t = VOCAB, allow_negative_numbers = true)]
    pub vocab: u64,
    /// Tokens a sequence.
    #[arg(long, value_name = "S", default_value_t = SEQ_LEN, allow_negative_numbers = true)]
    pub seq_len: u64,
}

/// Runs the command.
pub fn run(args: &ShapeArgs) -> Result<Answer, Failure> {
    let shape = Shape::with(args.width, args.depth, args.vocab, args.seq_len)?;
    let text = pairs([
        ("parameters", number(shape.params as f64)),
        ("without embeddings", number(shape.params_no_embeds as f64)),
        ("FLOPs a token", number(shape.flops_per_token)),
        ("6N", number(shape.flops_per_token_6n)),
    ]);
    Ok(Answer::new(json!(shape), text))
}
