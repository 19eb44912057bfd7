//! What a report holds. Everything here is plain data that serde reads and writes; rendering lives elsewhere.

mod claim;
mod plot;
mod table;

use serde::{Deserialize, Serialize};

pub use claim::{Claim, Op};
pub use plot::{Axis, Band, Bar, BarPlot, BarSeries, Better, Curve, Heatmap, LinePlot, Point, Reference, Scale};
pub use table::{Cell, Column, Table};

/// A whole report: what was claimed, what was found, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The headline.
    pub title: String,
    /// One sentence below it.
    pub subtitle: String,
    /// What was run: seed, versions, device, data, wall time.
    pub facts: Vec<Fact>,
    /// Claims with their verdicts, shown before anything else.
    pub claims: Vec<Claim>,
    /// Sections that concern the whole run.
    pub sections: Vec<Section>,
    /// One page a stage, reachable from the navigation.
    pub pages: Vec<Page>,
}

/// A key and its value, as `seed: 1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is.
    pub key: String,
    /// Its value, formatted.
    pub value: String,
}

impl Fact {
    /// A fact; numbers are formatted by the caller (see [`crate::Format`]).
    pub fn new(key: impl Into<String>, value: impl ToString) -> Self {
        Self { key: key.into(), value: value.to_string() }
    }
}

/// A stage of the run with its own sections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Its name in the navigation, too.
    pub title: String,
    /// An introduction: paragraphs between blank lines, code between backticks.
    pub text: String,
    /// What concerns this stage alone (its command, its settings).
    pub facts: Vec<Fact>,
    /// Its content.
    pub sections: Vec<Section>,
}

/// A heading, some text and blocks below it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// Paragraphs between blank lines, code between backticks.
    pub text: String,
    /// Tables, plots, more text.
    pub blocks: Vec<Block>,
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Block {
    /// Rows and columns.
    Table(Table),
    /// Curves over a common axis.
    Line(LinePlot),
    /// Bars, grouped by category.
    Bar(BarPlot),
    /// A coloured matrix.
    Heatmap(Heatmap),
    /// Prose.
    Text {
        /// Paragraphs between blank lines, code between backticks.
        text: String,
    },
    /// Text kept as it is (a config, a log), folded away.
    Details {
        /// What it is.
        summary: String,
        /// Its lines.
        text: String,
    },
}

impl Report {
    /// An empty report with its headline.
    pub fn new(title: impl Into<String>, subtitle: impl Into<String>) -> Self {
        Self { title: title.into(), subtitle: subtitle.into(), ..Self::default() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.facts.push(Fact::new(key, value));
        self
    }

    /// Adds a claim.
    #[must_use]
    pub fn claim(mut self, claim: Claim) -> Self {
        self.claims.push(claim);
        self
    }

    /// Adds a section about the whole run.
    #[must_use]
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// Adds a stage.
    #[must_use]
    pub fn page(mut self, page: Page) -> Self {
        self.pages.push(page);
        self
    }

    /// Whether all claims hold (also when there are none).
    pub fn holds(&self) -> bool {
        self.claims.iter().all(|c| c.holds)
    }

    /// Every section, the run's first, then each page's.
    pub fn all_sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().chain(self.pages.iter().flat_map(|p| &p.sections))
    }

    /// Every table in reading order.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.all_sections().flat_map(|s| &s.blocks).filter_map(|b| match b {
            Block::Table(t) => Some(t),
            _ => None,
        })
    }
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { title: title.into(), text: text.into(), ..Self::default() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, key: impl Into<String>, value: impl ToString) -> Self {
        self.facts.push(Fact::new(key, value));
        self
    }

    /// Adds a section.
    #[must_use]
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }
}

impl Section {
    /// An empty section.
    pub fn new(title: impl Into<String>, text: impl Into<String>) -> Self {
        Self { title: title.into(), text: text.into(), blocks: Vec::new() }
    }

    /// Adds a block.
    #[must_use]
    pub fn block(mut self, block: impl Into<Block>) -> Self {
        self.blocks.push(block.into());
        self
    }

    /// Adds a paragraph.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.block(Block::Text { text: text.into() })
    }

    /// Adds a folded listing.
    #[must_use]
    pub fn details(self, summary: impl Into<String>, text: impl Into<String>) -> Self {
        self.block(Block::Details { summary: summary.into(), text: text.into() })
    }
}

impl From<Table> for Block {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

impl From<LinePlot> for Block {
    fn from(plot: LinePlot) -> Self {
        Self::Line(plot)
    }
}

impl From<BarPlot> for Block {
    fn from(plot: BarPlot) -> Self {
        Self::Bar(plot)
    }
}

impl From<Heatmap> for Block {
    fn from(map: Heatmap) -> Self {
        Self::Heatmap(map)
    }
}
