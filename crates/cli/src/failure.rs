//! Errors as a command reports them.

use std::{io::IsTerminal, process::ExitCode};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan};

use crate::{
    args::{Color, GlobalArgs},
    config::Source,
    excerpt::{self, Excerpt},
};

/// Exit codes of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed while running: IO, a backend, numbers.
    Failed = 1,
    /// The input or the usage is wrong.
    Usage = 2,
    /// A gate says no: a claim does not hold, a budget is spent.
    Gate = 3,
    /// Finished, but some samples failed.
    Partial = 4,
    /// Interrupted after a checkpoint.
    Interrupted = 130,
}

impl Exit {
    /// As the process returns it.
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// One mistake in a text that the user wrote.
#[derive(Debug, Clone)]
pub(crate) struct Mistake {
    pub message: String,
    pub label: Option<String>,
    pub span: Option<std::ops::Range<usize>>,
    pub help: Option<String>,
    /// The entry's path, for instance `["server", "lr"]`; empty where it isn't known.
    pub keys: Vec<String>,
    /// Whether the key itself is wrong, not its value.
    pub key_is_wrong: bool,
}

impl Mistake {
    /// A mistake at a place, or at none.
    pub fn new(message: impl Into<String>, span: Option<std::ops::Range<usize>>) -> Self {
        Self { message: message.into(), label: None, span, help: None, keys: Vec::new(), key_is_wrong: false }
    }
}

/// Why a command stops: a message, an exit code, a remedy, and the place in the user's file where there is one.
#[derive(Debug)]
pub struct Failure(Box<Parts>);

#[derive(Debug)]
struct Parts {
    exit: Exit,
    message: String,
    help: Option<String>,
    label: Option<LabeledSpan>,
    source: Option<Excerpt>,
    // What the mistake is in, where no place can be shown.
    origin: Option<String>,
    // "Did you mean", where it isn't the label of a place.
    suggestion: Option<String>,
    more: Vec<Failure>,
    causes: Vec<String>,
    diverged: bool,
    keys: Vec<String>,
    key_is_wrong: bool,
}

impl Failure {
    fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            exit,
            // A message may repeat a value that fills the user's file.
            message: excerpt::shortened(message.into()),
            help: None,
            label: None,
            source: None,
            origin: None,
            suggestion: None,
            more: Vec::new(),
            causes: Vec::new(),
            diverged: false,
            keys: Vec::new(),
            key_is_wrong: false,
        }))
    }

    /// The input or the usage is wrong (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something failed while running (exit code 1).
    pub fn running(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// A gate says no (exit code 3).
    pub fn gate(message: impl Into<String>) -> Self {
        Self::new(Exit::Gate, message)
    }

    /// Stopped by Ctrl-C after a checkpoint (exit code 130).
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Exit::Interrupted, message)
    }

    /// An error and its sources, as `usage` when the caller's input is to blame, else as `running`.
    pub fn from_error(error: &dyn std::error::Error, input_is_wrong: bool) -> Self {
        let mut failure = Self::new(if input_is_wrong { Exit::Usage } else { Exit::Failed }, error.to_string());
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !failure.0.message.contains(&text) {
                failure.0.causes.push(excerpt::shortened(text));
            }
            next = cause.source();
        }
        failure
    }

    /// Says which entry of the checked table is to blame, so that [`placed`](Self::placed) can find it: `["server", "k"]`.
    #[must_use]
    pub fn at(mut self, keys: &[&str]) -> Self {
        self.0.keys = keys.iter().map(|&key| key.to_owned()).collect();
        self
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Says that the numbers ran away, as with too high a learning rate: in a grid this point is then not chosen.
    #[must_use]
    pub fn diverged(mut self) -> Self {
        self.0.diverged = true;
        self
    }

    /// Whether the numbers ran away, rather than the disk or a bug.
    pub fn is_divergence(&self) -> bool {
        self.0.diverged
    }

    /// All mistakes of one text, the first as the main one.
    pub(crate) fn in_text(origin: &str, text: &str, mistakes: Vec<Mistake>) -> Self {
        let mut all = mistakes.into_iter().map(|mistake| {
            let mut failure = Self::usage(mistake.message);
            failure.0.help = mistake.help;
            failure.0.keys = mistake.keys;
            failure.0.key_is_wrong = mistake.key_is_wrong;
            if let Some(span) = mistake.span {
                failure.point_at(origin, text, span, mistake.label);
            } else {
                failure.0.origin = Some(origin.to_owned());
                failure.0.suggestion = mistake.label;
            }
            failure
        });
        let mut first = all.next().unwrap_or_else(|| Self::usage(format!("{origin}: invalid")));
        first.0.more = all.collect();
        first
    }

    fn point_at(&mut self, origin: &str, text: &str, span: std::ops::Range<usize>, label: Option<String>) {
        let (excerpt, span) = Excerpt::new(origin, text, span);
        self.0.label = Some(LabeledSpan::new(label, span.start, span.len().max(1)));
        self.0.source = Some(excerpt);
        self.0.origin = None;
    }

    /// Several failures as one, in the order of their places; none if there are none.
    pub fn all(failures: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut flat: Vec<Self> = Vec::new();
        for mut failure in failures {
            let more = std::mem::take(&mut failure.0.more);
            for one in std::iter::once(failure).chain(more) {
                if !flat.iter().any(|seen| seen.0.message == one.0.message && seen.position() == one.position()) {
                    flat.push(one);
                }
            }
        }
        flat.sort_by_key(|one| one.position().unwrap_or((usize::MAX, 0)));
        let mut all = flat.into_iter();
        let mut first = all.next()?;
        first.0.more = all.collect();
        Some(first)
    }

    /// Points mistakes that have no place yet at `source`: `locate` turns the path of an entry of the checked table
    /// (empty where it isn't known) into the entry's path in the source.
    #[must_use]
    pub fn placed(mut self, source: &Source, locate: impl Fn(&[String]) -> Option<Vec<String>>) -> Self {
        let mut more = std::mem::take(&mut self.0.more);
        for one in std::iter::once(&mut self).chain(&mut more) {
            if one.0.label.is_some() {
                continue;
            }
            let Some((key, value)) = locate(&one.0.keys).and_then(|path| source.spans(&path)) else { continue };
            let suggestion = one.0.suggestion.take();
            one.point_at(&source.origin, &source.text, if one.0.key_is_wrong { key } else { value }, suggestion);
        }
        self.0.more = more;
        self
    }

    /// Says in each message what the failure is about: `stage `a`: …`.
    #[must_use]
    pub fn within(mut self, what: &str) -> Self {
        let entry = if self.0.origin.take().is_some() { self.entry() } else { String::new() };
        self.0.message = format!("{what}: {entry}{}", self.0.message);
        self.0.more = self.0.more.into_iter().map(|one| one.within(what)).collect();
        self
    }

    /// "`server.lr`: " where a value is wrong; a wrong key is in the message.
    fn entry(&self) -> String {
        if self.0.keys.is_empty() || self.0.key_is_wrong {
            String::new()
        } else {
            format!("`{}`: ", self.0.keys.join("."))
        }
    }

    /// The exit code that this failure asks for.
    pub fn exit(&self) -> Exit {
        self.0.exit
    }

    /// The message without decoration.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Every mistake of a file, this one first.
    pub fn each(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.0.more)
    }

    /// `line:column` in the user's file, counted from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.source.as_ref().map(Excerpt::position)
    }

    /// What the place in the user's file is labelled with, for instance a suggestion.
    pub fn label(&self) -> Option<&str> {
        self.0.label.as_ref()?.label()
    }

    /// The remedy, where there is one.
    pub fn remedy(&self) -> Option<String> {
        self.0.suggestion.iter().chain(&self.0.help).cloned().reduce(|first, then| format!("{first} {then}"))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(origin) = &self.0.origin {
            write!(f, "{origin}: {}", self.entry())?;
        }
        f.write_str(&self.0.message)?;
        for cause in &self.0.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl Diagnostic for Failure {
    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        self.remedy().map(|help| Box::new(help) as Box<dyn std::fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.0.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.0.label.iter().cloned()))
    }
}

/// A failure as text for people: the places in the user's file with line and column, in colour on a terminal.
pub(crate) fn render(failure: &Failure, global: &GlobalArgs) -> String {
    let fancy = match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
    };
    let mut theme = if fancy { GraphicalTheme::unicode() } else { GraphicalTheme::none() };
    // The message follows the word `error:`.
    theme.characters.error = String::new();
    // Wrapped lines would break paths and commands that people copy.
    let handler =
        GraphicalReportHandler::new_themed(theme).with_links(false).with_context_lines(1).with_wrap_lines(false);
    let mut text = String::new();
    match handler.render_report(&mut text, failure) {
        Ok(()) => text,
        Err(_) => failure.to_string(),
    }
}
