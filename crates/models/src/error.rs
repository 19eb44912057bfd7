use std::path::PathBuf;

/// What can go wrong in this crate; [`is_input`](Error::is_input) tells a wrong input from a failure while running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option that the architecture doesn't have, or a value outside its range.
    #[error("model.{field} = {value} doesn't fit the architecture {arch}: {expected}")]
    Option {
        /// Key in `[model]`.
        field: &'static str,
        /// Its value.
        value: String,
        /// Architecture's name.
        arch: String,
        /// What would do.
        expected: String,
    },
    /// Images too small or not at all for the architecture.
    #[error("the architecture {arch} can't take inputs of shape {shape:?} (channels, height, width): {reason}")]
    Input {
        /// Architecture's name.
        arch: String,
        /// Input shape.
        shape: [usize; 3],
        /// Why.
        reason: String,
    },
    /// Too few classes.
    #[error("a classifier needs at least 2 classes, not {found}")]
    Classes {
        /// Number given.
        found: usize,
    },
    /// A slice has another length than the one it must match.
    #[error("{what} has {found} elements, but {expected} were expected")]
    Length {
        /// The offending slice.
        what: &'static str,
        /// Length asked for.
        expected: usize,
        /// Length given.
        found: usize,
    },
    /// A trainable parameter whose gradients can't be told apart by example.
    #[error("no gradients by example for {name}: {reason}")]
    Tape {
        /// The parameter.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// A batch without examples has no mean loss.
    #[error("the batch is empty")]
    EmptyBatch,
    /// A label that is no class.
    #[error("label {label} of example {index} is not below the number of classes, {classes}")]
    Label {
        /// Position in the batch.
        index: usize,
        /// The label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// A file of weights without a tensor that the model needs, or with another shape.
    #[error("{}: tensor {tensor:?} is {found}, but the model needs f32 {expected:?}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// Parameter's name.
        tensor: String,
        /// Shape needed.
        expected: Vec<usize>,
        /// What the file has.
        found: String,
    },
    /// A file of weights that isn't safetensors, or a failure to encode.
    #[error("{}: {source}", path.display())]
    SafeTensors {
        /// The file.
        path: PathBuf,
        /// The library's answer.
        source: safetensors::SafeTensorError,
    },
    /// Reading or writing a file failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A key of `config.json` with a value that can't be.
    #[error("{key} = {found}: expected {expected}")]
    Config {
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A key of `config.json` that a shape depends on is absent.
    #[error("the key {key} is missing")]
    ConfigMissing {
        /// The key.
        key: &'static str,
    },
    /// Something is wrong inside a file.
    #[error("{}: {source}", path.display())]
    InFile {
        /// The file.
        path: PathBuf,
        /// What.
        source: Box<Error>,
    },
    /// A file that isn't JSON.
    #[error("{}: not valid JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// No checkpoint where one was expected.
    #[error("{}: no such file; a checkpoint folder has config.json and model.safetensors (or shards with their index)", path.display())]
    NoCheckpoint {
        /// The missing file.
        path: PathBuf,
    },
    /// A shard index of another form.
    #[error("{}: expected {{\"weight_map\": {{tensor: file, …}}}} with files of this folder", path.display())]
    ShardIndex {
        /// The file.
        path: PathBuf,
    },
    /// Tensors that don't fit the configuration.
    #[error("{}: {} tensors don't fit config.json:\n  {}", path.display(), problems.len(), problems.join("\n  "))]
    Checkpoint {
        /// The folder.
        path: PathBuf,
        /// One line a tensor.
        problems: Vec<String>,
    },
    /// A parameter that the model needs isn't among those given.
    #[error("the parameter {name} is missing")]
    NoParam {
        /// Its name.
        name: String,
    },
    /// A row without a token.
    #[error("row {row} has no token")]
    EmptyRow {
        /// The row.
        row: usize,
    },
    /// A token id outside the vocabulary.
    #[error("token {column} of row {row} is {id}, but the vocabulary has {vocab} ids (0 to {})", vocab - 1)]
    TokenId {
        /// The row.
        row: usize,
        /// Its column.
        column: usize,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// More tokens than the model has positions.
    #[error("row {row} has {found} tokens, but the model reads {max}")]
    TooLong {
        /// The row.
        row: usize,
        /// Its tokens.
        found: usize,
        /// The model's positions.
        max: usize,
    },
    /// A setting outside its range.
    #[error("{name} = {found}: it must be {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        found: String,
        /// The range.
        expected: String,
    },
    /// Logits that are no numbers.
    #[error(
        "row {row}, new token {step}: the logits are not finite; the first that isn't is {at}: the weights or an edit make the model overflow"
    )]
    NonFinite {
        /// The row.
        row: usize,
        /// The new token.
        step: usize,
        /// The first residual that isn't finite.
        at: String,
    },
    /// A hook point that the model doesn't have.
    #[error("{point}: this model of {layers} layers has no such site; its sites are {}", known.join(", "))]
    NoSite {
        /// The point.
        point: String,
        /// Layers of the model.
        layers: usize,
        /// Its sites.
        known: Vec<String>,
    },
    /// A name that is no hook point.
    #[error("{name}: no hook point; write blocks.LAYER.SITE, for instance blocks.0.hook_resid_post")]
    HookName {
        /// The name.
        name: String,
    },
    /// A hook changed a shape.
    #[error("a hook at {point} returned the shape {found:?} in place of {expected:?}")]
    HookShape {
        /// The point.
        point: String,
        /// The site's shape.
        expected: Vec<usize>,
        /// What the hook returned.
        found: Vec<usize>,
    },
    /// A tokenizer's file, or one beside it, that can't be used.
    #[error("{}: {problem}; {remedy}", path.display())]
    TokenizerFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// A text that the tokenizer can't encode.
    #[error("the tokenizer can't encode {text:?}: {problem}")]
    Encode {
        /// Its start.
        text: String,
        /// The library's answer.
        problem: String,
    },
    /// Tokens that the tokenizer can't decode.
    #[error("the tokenizer can't decode {count} tokens: {problem}")]
    Decode {
        /// How many.
        count: usize,
        /// The library's answer.
        problem: String,
    },
    /// No chat template of that name.
    #[error(
        "there is no chat template {wanted:?}{}; add chat_template.jinja to the folder, or give the text as it stands",
        if found.is_empty() { String::new() } else { format!(" (there is {})", found.join(", ")) }
    )]
    NoChatTemplate {
        /// The name.
        wanted: String,
        /// Names of those there are.
        found: Vec<String>,
    },
    /// A chat template that can't be rendered.
    #[error("the chat template {name:?} fails: {problem}")]
    ChatTemplate {
        /// Its name.
        name: String,
        /// Why.
        problem: String,
    },
    /// A chat template called `raise_exception`.
    #[error("the chat template refuses the conversation: {message}")]
    ChatRefused {
        /// The template's words.
        message: String,
    },
    /// Text where there is no tokenizer.
    #[error("there is no tokenizer.json: give token ids, or add the tokenizer's files to the folder")]
    NoTokenizer,
    /// A prompt without tokens, and no token that begins a text.
    #[error("a prompt has no token, and the tokenizer names neither bos_token nor eos_token to stand for that")]
    NoToken,
    /// Something that this model can't be asked for.
    #[error("this model doesn't give {what}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// Something stands where a folder is to be written.
    #[error("{}: there is something already; name a new folder", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
    },
    /// A specification that no `config.json` of its family can say.
    #[error(
        "no config.json of the family {family} means this model: its layers, windows or biases are none that the family has"
    )]
    NoConfig {
        /// `model_type`.
        family: &'static str,
    },
    /// A weight too large for half precision.
    #[error("{name} holds {value}, which is infinite in f16; save as bf16 or f32")]
    Overflow {
        /// The tensor.
        name: String,
        /// The value.
        value: f64,
    },
    /// No adapter where one was expected.
    #[error("{}: no such file; an adapter's folder has adapter_config.json and adapter_model.safetensors (pickled .bin files are never read)", path.display())]
    NoAdapter {
        /// The missing file.
        path: PathBuf,
    },
    /// Tensors that fit neither an adapter's configuration nor the model.
    #[error("{}: {} tensors don't fit adapter_config.json and the model:\n  {}", path.display(), problems.len(), problems.join("\n  "))]
    AdapterTensors {
        /// The file.
        path: PathBuf,
        /// One line a tensor.
        problems: Vec<String>,
    },
    /// An adapter whose targets are nowhere in the model.
    #[error("no module of the model is a target ({wanted}); there are {}", available.join(", "))]
    NoTargets {
        /// The keys that choose.
        wanted: String,
        /// Ends of the paths of modules and parameters.
        available: Vec<String>,
    },
    /// An adapter on a table that has two uses.
    #[error("{module} can't be a target: the model's head is its token table, and changing one would change the other")]
    TiedTarget {
        /// Its path.
        module: String,
    },
    /// An adapter where none may be, or none where one must be.
    #[error("{problem}")]
    AdapterState {
        /// What is wrong.
        problem: &'static str,
    },
    /// A sum of weight and change that can't be.
    #[error("merged, {name} {problem}")]
    MergedWeight {
        /// The parameter.
        name: String,
        /// Why.
        problem: &'static str,
    },
    /// A specification of what to capture that can't be followed.
    #[error("capture {entry:?}: {problem}")]
    Capture {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A patch asks for what was not captured.
    #[error("{point}: {}", match token {
        Some(t) => format!("nothing was captured for row {}, position {}", t.row, t.position),
        None => "the other run captured no single tokens there".to_owned(),
    })]
    NoCapture {
        /// The point.
        point: String,
        /// The token that is missing; `None`: all are.
        token: Option<crate::lm::Token>,
    },
    /// Hooks at single experts, whose executor doesn't run them.
    #[error("blocks.{layer}.{site}: the model's expert executor doesn't show single experts to hooks")]
    ExecutorHooks {
        /// The layer.
        layer: usize,
        /// The site's name.
        site: &'static str,
    },
    /// An expert executor returned another shape than its input's.
    #[error("layer {layer}: the expert executor returned the shape {found:?} in place of {expected:?}")]
    ExecutorShape {
        /// The layer.
        layer: usize,
        /// Shape of its input.
        expected: Vec<usize>,
        /// What it returned.
        found: Vec<usize>,
    },
    /// A label that is no token.
    #[error(
        "the label of column {column} of row {row} is {label}, but the vocabulary has {vocab} ids (−100 is no label)"
    )]
    TokenLabel {
        /// The row.
        row: usize,
        /// Its column.
        column: usize,
        /// The label.
        label: i64,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A batch in which nothing is to be learnt.
    #[error("no column of the batch has a label")]
    NoLabel,
    /// Training without a trainable parameter.
    #[error("no parameter of the model is trainable; it has {}", names.join(", "))]
    Frozen {
        /// Its parameters.
        names: Vec<String>,
    },
    /// A loss or gradient that is no number.
    #[error("step {step}: loss or gradient is not finite; lower the learning rate")]
    Diverged {
        /// The step.
        step: u64,
    },
    /// A run that was asked to stop.
    #[error("interrupted after step {step}{}", if *saved { "; go on with --resume" } else { "" })]
    Interrupted {
        /// Steps done.
        step: u64,
        /// Whether a checkpoint was written.
        saved: bool,
    },
    /// Optimiser or run folder failed.
    #[error(transparent)]
    Train(#[from] ashlar_train::Error),
    /// A data set can't be read.
    #[error(transparent)]
    Data(#[from] ashlar_data::Error),
    /// A tokenizer's file, or one beside it, that can't be used.
    #[error("{}: {problem}; {remedy}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// candle failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// The same error where the batch begins with row `first` of the whole.
    #[must_use]
    #[cfg(feature = "cli")]
    pub(crate) fn in_row(mut self, first: usize) -> Self {
        if let Self::EmptyRow { row }
        | Self::TokenId { row, .. }
        | Self::TooLong { row, .. }
        | Self::NonFinite { row, .. } = &mut self
        {
            *row += first;
        }
        self
    }

    /// Whether the input or the usage is wrong (exit code 2) rather than the run (exit code 1).
    #[must_use]
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Candle(_) | Self::NonFinite { .. })
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) fn same_length(what: &'static str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(Error::Length { what, expected, found }) }
}
