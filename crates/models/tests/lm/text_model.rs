//! Text in, text out.

use ashlar_models::{
    Error,
    lm::{
        Continuation, Finish, GenConfig, HookSet, LanguageModel, Model, Prompt, Sampler, TextModel, Tokenizer,
        text::ChatTemplates,
    },
};
use candle_core::{DType, Device};
use serde_json::json;

use crate::checkpoint::checkpoint;

/// 97 ids: 94 characters, padding, start and end of text.
pub fn tokenizer() -> Tokenizer {
    let chars: Vec<char> = (0..91_u8).map(|i| char::from(b' ' + i)).chain(['\n', 'é', '猫']).collect();
    let special = [("pad_token", "<pad>"), ("bos_token", "<s>"), ("eos_token", "</s>")];
    Tokenizer::chars(&chars).unwrap().with_special(&special).unwrap().adding_bos().unwrap()
}

fn model() -> TextModel {
    let model = Model::load(checkpoint("llama", 5).path(), DType::F32, &Device::Cpu).unwrap();
    let mut model = TextModel::new(model, tokenizer());
    model.templates = ChatTemplates::new(
        "{{ bos_token }}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}",
    );
    model
}

#[test]
fn pieces_are_the_text_and_stops_are_cut() {
    let model = model();
    let prompts: Vec<Prompt> = ["Hello", "A longer prompt, it is", "x"].map(Prompt::from).to_vec();
    let config = GenConfig { max_new: 24, sampler: Sampler::at(1.5), eos: Some(vec![]), ..GenConfig::default() };
    let mut shown = vec![String::new(); 3];
    let whole = model
        .generate_with(&prompts, &config, &mut |piece| {
            shown[piece.row].push_str(piece.text);
            true
        })
        .unwrap();
    for (generation, shown) in whole.iter().zip(&shown) {
        assert_eq!(&generation.text, shown);
        assert_eq!(generation.text, tokenizer().decode(&generation.tokens).unwrap());
        assert_eq!((generation.finish, generation.tokens.len()), (Finish::Length, 24));
    }
    // Two characters of a text are two tokens here.
    let text = &whole[1].text;
    let stop: String = text.chars().skip(10).take(2).collect();
    let at = text.find(&stop).unwrap();
    let stopped = model.generate(&prompts, &GenConfig { stop: vec![stop.clone()], ..config.clone() }).unwrap();
    assert_eq!((stopped[1].text.as_str(), stopped[1].finish), (&text[..at], Finish::Stopped));
    assert!(tokenizer().decode(&stopped[1].tokens).unwrap().ends_with(&stop), "the tokens are all there");
    let error = model.generate(&prompts, &GenConfig { stop: vec![String::new()], ..config }).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("stop"), "{error}");
}

#[test]
fn rows_do_not_depend_on_their_batch() {
    let mut model = model();
    let prompts: Vec<Prompt> = ["Hello", "A longer prompt", "x", "yet another", "no"].map(Prompt::from).to_vec();
    let config = GenConfig { max_new: 12, sampler: Sampler::at(1.0), ..GenConfig::default() };
    model.batch = 1;
    let alone = model.generate(&prompts, &config).unwrap();
    for batch in [2, 3, 8] {
        model.batch = batch;
        let together = model.generate(&prompts, &config).unwrap();
        for (a, b) in alone.iter().zip(&together) {
            assert_eq!((&a.text, &a.tokens, a.finish), (&b.text, &b.tokens, b.finish), "{batch}");
        }
    }
}

#[test]
fn a_chat_has_its_special_tokens_once() {
    let model = model();
    let bos = tokenizer().special_id("bos_token").unwrap();
    let chat = Prompt::Chat(vec![json!({ "role": "user", "content": "hi" })]);
    let ids = model.encode(&chat).unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == bos).count(), 1, "{ids:?}");
    assert_eq!(tokenizer().decode(&ids).unwrap(), "u:hi\na:");
    let text = model.encode(&Prompt::from("hi")).unwrap();
    assert_eq!((text[0], text.len()), (bos, 3));
}

/// lm-evaluation-harness: white space moves to the continuation, the whole is encoded, then cut by count.
#[test]
fn prompts_and_continuations_are_cut_as_in_lm_evaluation_harness() {
    let corpus = ["the answer is yes, the answer is no, the answer is yes ".repeat(20)];
    let bpe = Tokenizer::train_bpe(&corpus, 300).unwrap();
    let mut model = model();
    model.tokenizer = Some(bpe.clone());
    let pair = |prompt: &str, continuation: &str| model.encode_pair(&prompt.into(), &continuation.into()).unwrap();
    let spaced = pair("the answer is", " yes");
    assert_eq!(pair("the answer is ", "yes"), spaced);
    assert_eq!(spaced.0, bpe.encode("the answer is").unwrap());
    assert_eq!(spaced.1, bpe.encode(" yes").unwrap());
    assert_ne!(spaced.1, [bpe.encode(" ").unwrap(), bpe.encode("yes").unwrap()].concat(), "the border matters");
    assert_eq!(pair("the answer is \n ", "yes").1, bpe.encode(" \n yes").unwrap());
    // A merge across the border: the prompt keeps its own tokens, the continuation gets what is left by count.
    let (prompt, rest) = pair("the answ", "er is");
    let whole = bpe.encode("the answer is").unwrap();
    assert_eq!((prompt.len() + rest.len(), rest.as_slice()), (whole.len(), &whole[prompt.len()..]));
    // No prompt: the token that begins a text; here that of config.json.
    assert_eq!(pair("", "yes"), (vec![1], bpe.encode("yes").unwrap()));
    assert_eq!(pair(" ", "yes").1, bpe.encode(" yes").unwrap());
    let ids = model.encode_pair(&vec![5_u32, 6].into(), &Continuation::Tokens(vec![7])).unwrap();
    assert_eq!(ids, (vec![5, 6], vec![7]));
}

#[test]
fn likelihoods_by_the_trait() {
    let model = model();
    let lm: &dyn LanguageModel = &model;
    let caps = lm.capabilities();
    assert!(caps.logprobs && caps.hooks && caps.chat && caps.hidden_states);
    let pairs: Vec<(Prompt, Continuation)> =
        [("Is it", " so?"), ("Is it", " not"), ("Why", "")].map(|(p, c)| (p.into(), c.into())).to_vec();
    let scores = lm.loglikelihood(&pairs).unwrap();
    let (bos, hooks) = (tokenizer().special_id("bos_token").unwrap(), HookSet::new());
    for ((prompt, continuation), scored) in [("Is it", " so?"), ("Is it", " not")].iter().zip(&scores) {
        let before = [vec![bos], tokenizer().encode(prompt).unwrap()].concat();
        let whole = [before.clone(), tokenizer().encode(continuation).unwrap()].concat();
        let all = &model.model.token_logprobs(&[whole], &hooks).unwrap()[0][before.len() - 1..];
        assert_eq!(scored.per_token.len(), continuation.len());
        assert!((scored.sum - all.iter().map(|&p| f64::from(p)).sum::<f64>()).abs() < 1e-3);
    }
    assert_eq!((scores[2].sum, scores[2].is_greedy), (0.0, true));
    let states = lm.hidden_states(&["Hello".into()], 1).unwrap();
    assert_eq!(states[0].dims(), [6, 64]);
    assert!(lm.hidden_states(&["Hello".into()], 9).is_err());
}

#[test]
fn without_a_tokenizer() {
    let mut model = model();
    model.tokenizer = None;
    assert!(!model.capabilities().chat);
    let generations = model.generate(&[vec![3, 4].into()], &GenConfig { max_new: 3, ..GenConfig::default() }).unwrap();
    assert!(generations[0].text.is_empty() && !generations[0].tokens.is_empty());
    let error = model.generate(&["text".into()], &GenConfig::default()).unwrap_err();
    assert!(matches!(error, Error::NoTokenizer), "{error}");
}

#[test]
fn prompts_that_are_too_long_or_empty() {
    let model = model();
    let prompts: Vec<Prompt> = vec!["x".into(), vec![7; 80].into()];
    let config = GenConfig { max_new: 8, eos: Some(vec![]), ..GenConfig::default() };
    let error = model.generate(&prompts, &config).unwrap_err();
    assert!(error.to_string().contains("row 1 has 80 tokens, but the model reads 64"), "{error}");
    let cut = model.generate(&prompts, &GenConfig { truncate_left: true, ..config.clone() }).unwrap();
    assert_eq!(cut[1].tokens.len(), 8);
    let end = model.generate(&["x".into(), vec![7; 56].into()], &config).unwrap();
    assert_eq!(cut[1].tokens, end[1].tokens, "its end is kept, with room for the new tokens");
    let error = model.generate(&["x".into(), vec![].into()], &config).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("row 1 has no token"), "{error}");
}
