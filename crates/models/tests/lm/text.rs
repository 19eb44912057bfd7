//! Chat templates and samplers against `transformers` (`scripts/fixtures/chat.py`, `sampler.py`), and the files of a
//! tokenizer.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use ashlar_models::{
    Error,
    lm::{
        ModelSpec, Sampler, Tokenizer,
        text::{ChatOptions, ChatTemplates, SpecialTokens, effective_eos},
    },
};
use serde_json::{Value, json};

use crate::checkpoint::config;

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/lm").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn chats_are_transformers_byte_for_byte() {
    let fixture = fixture("chat.json");
    let special: SpecialTokens = serde_json::from_value(fixture["special"].clone()).unwrap();
    let mut wrong = Vec::new();
    let cases = fixture["cases"].as_array().unwrap();
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let conversation = case["conversation"].as_str().unwrap();
        let templates = ChatTemplates::new(fixture["templates"][name].as_str().unwrap());
        let mut options = ChatOptions {
            add_generation_prompt: case["prompt"].as_bool().unwrap(),
            tools: case.get("tools").map(|tools| tools.as_array().unwrap().clone()),
            now: Some(UNIX_EPOCH + Duration::from_secs(fixture["now"].as_u64().unwrap())),
            ..ChatOptions::default()
        };
        for key in ["persona", "enable_thinking"] {
            if let Some(value) = case.get(key) {
                options.variables.insert(key.to_owned(), value.clone());
            }
        }
        let messages = fixture["conversations"][conversation].as_array().unwrap();
        let ours = match templates.render(messages, &special, &options) {
            Ok(text) => json!({ "text": text }),
            Err(Error::ChatRefused { message }) => json!({ "refused": message }),
            Err(Error::ChatTemplate { problem, .. }) => json!({ "fails": true, "problem": problem }),
            Err(error) => panic!("{error}"),
        };
        let same = ["text", "refused", "fails"].iter().all(|key| ours.get(key) == case.get(key));
        if !same {
            wrong.push(format!("{name} × {conversation}:\n  {ours}\n  {case}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn sampler_scores_are_transformers() {
    for case in fixture("sampler.json")["cases"].as_array().unwrap() {
        let settings = &case["settings"];
        let number = |key: &str| settings.get(key).and_then(Value::as_f64);
        let sampler = Sampler {
            temperature: number("temperature").unwrap_or(1.0),
            top_k: number("top_k").map(|k| k as usize),
            top_p: number("top_p"),
            min_p: number("min_p"),
            repetition_penalty: number("repetition_penalty").unwrap_or(1.0),
            bias: settings["bias"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| {
                    (pair[0].as_u64().unwrap() as u32, pair[1].as_f64().map_or(f32::NEG_INFINITY, |bias| bias as f32))
                })
                .collect(),
        };
        let floats = |key: &str| -> Vec<Option<f32>> {
            case[key].as_array().unwrap().iter().map(|x| x.as_f64().map(|x| x as f32)).collect()
        };
        let mut logits: Vec<f32> = floats("logits").into_iter().flatten().collect();
        let seen: Vec<u32> = case["seen"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        sampler.adjust(&mut logits, &seen, None);
        for (id, (ours, theirs)) in sampler.scores(&logits).into_iter().zip(floats("scores")).enumerate() {
            let same = match theirs {
                None => ours == f32::NEG_INFINITY,
                Some(theirs) => (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0),
            };
            assert!(same, "token {id}: {ours} {theirs:?}, {settings}");
        }
    }
}

fn messages() -> Vec<Value> {
    vec![json!({ "role": "user", "content": "hello" })]
}

#[test]
fn templates_where_they_can_stand() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let render = |options: &ChatOptions| {
        ChatTemplates::from_folder(folder.path()).unwrap().render(&messages(), &SpecialTokens::new(), options)
    };
    let usual = ChatOptions::default();
    let error = render(&usual).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("chat_template.jinja"), "{error}");

    write("tokenizer_config.json", r#"{"chat_template": "one {{ messages[0].content }}"}"#);
    assert_eq!(render(&usual).unwrap(), "one hello");
    let named = json!({ "chat_template": [
        { "name": "default", "template": "plain" }, { "name": "tool_use", "template": "with {{ tools|length }}" },
    ] });
    write("tokenizer_config.json", &named.to_string());
    assert_eq!(render(&usual).unwrap(), "plain");
    let tools = ChatOptions { tools: Some(vec![json!({ "name": "f" })]), ..ChatOptions::default() };
    assert_eq!(render(&tools).unwrap(), "with 1");
    write("chat_template.jinja", "file");
    assert_eq!(render(&usual).unwrap(), "file");
    std::fs::create_dir(folder.path().join("additional_chat_templates")).unwrap();
    write("additional_chat_templates/rag.jinja", "rag");
    let rag = ChatOptions { template: Some("rag".to_owned()), ..ChatOptions::default() };
    assert_eq!(render(&rag).unwrap(), "rag");
    let error = render(&ChatOptions { template: Some("none".to_owned()), ..rag }).unwrap_err();
    assert!(error.to_string().contains("default, rag, tool_use"), "{error}");
    write("tokenizer_config.json", r#"{"chat_template": 3}"#);
    let error = ChatTemplates::from_folder(folder.path()).unwrap_err();
    assert!(error.to_string().contains("tokenizer_config.json: chat_template"), "{error}");
}

#[test]
fn templates_that_are_wrong_or_do_not_end() {
    let render = |source: &str| {
        let error = ChatTemplates::new(source).render(&messages(), &SpecialTokens::new(), &ChatOptions::default());
        let error = error.unwrap_err();
        assert!(error.is_input());
        error.to_string()
    };
    assert!(render("{% for x in %}").contains("\"default\" fails"));
    assert!(render("{{ messages.nothing.more }}").contains("fails"));
    assert!(render("{{ messages | no_filter }}").contains("no_filter"));
    let refused = render("{{ raise_exception('only once: ' ~ messages|length) }}");
    assert_eq!(refused, "the chat template refuses the conversation: only once: 1");
    let nested = "{% for a in range(10000) %}{% for b in range(10000) %}{% for c in range(10000) %}{{ '' }}{% endfor %}{% endfor %}{% endfor %}";
    assert!(render(nested).contains("steps"));
    assert!(render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}").contains("fails"));
    let deep = "{% set ns = namespace(x=[]) %}{% for i in range(5000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}";
    assert!(render(deep).contains("nested"));
}

#[test]
fn the_files_beside_a_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
    let error = Tokenizer::from_folder(path).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("tokenizer.json: no such file; save"), "{error}");
    write("tokenizer.json", "{}");
    assert!(Tokenizer::from_folder(path).unwrap_err().to_string().contains("tokenizer.json: "));

    let tokenizer = Tokenizer::chars(&['a', 'b']).unwrap().with_special(&[("eos_token", "</s>"), ("x_token", "<s>")]);
    tokenizer.unwrap().save(path).unwrap();
    write(
        "tokenizer_config.json",
        r#"{"eos_token": {"content": "</s>", "lstrip": false}, "pad_token": null, "add_bos_token": true}"#,
    );
    write("special_tokens_map.json", r#"{"eos_token": "<s>", "bos_token": "<s>"}"#);
    let tokenizer = Tokenizer::from_folder(path).unwrap();
    let expected = BTreeMap::from([("bos_token", "<s>"), ("eos_token", "</s>")]);
    let found: BTreeMap<&str, &str> = tokenizer.special().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected);
    assert_eq!((tokenizer.special_id("eos_token"), tokenizer.special_id("pad_token")), (Some(2), None));
    write("special_tokens_map.json", r#"{"unk_token": 7}"#);
    let error = Tokenizer::from_folder(path).unwrap_err().to_string();
    assert!(error.contains("special_tokens_map.json: unk_token = 7"), "{error}");

    let spec = ModelSpec::from_hf(&config("llama", 5)).unwrap();
    assert_eq!(effective_eos(path, &spec).unwrap(), [2]);
    for (text, expected) in [("[5, 9]", vec![5, 9]), ("4", vec![4]), ("null", vec![2])] {
        write("generation_config.json", &format!("{{\"eos_token_id\": {text}}}"));
        assert_eq!(effective_eos(path, &spec).unwrap(), expected);
    }
    write("generation_config.json", r#"{"eos_token_id": [5, "x"]}"#);
    let error = effective_eos(path, &spec).unwrap_err().to_string();
    assert!(error.contains("generation_config.json: eos_token_id"), "{error}");
}
