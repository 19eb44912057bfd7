//! The sets that have names: one table from which loading, fetching, listing and messages are made.

/// What kind of examples a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Labelled images or features: [`crate::load`].
    Labelled,
    /// Text.
    Text,
}

/// A file that `ashlar data fetch` brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name in the cache folder.
    pub name: &'static str,
    /// Where it comes from.
    pub url: &'static str,
    /// SHA-256 of what the server sends, lower-case hexadecimal.
    pub sha256: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A set that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// What `name` in a configuration says.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// One line about it.
    pub about: &'static str,
    /// Origin and licence.
    pub licence: &'static str,
    /// What to download; empty for procedural sets.
    pub files: &'static [Remote],
}

/// Every set that has a name.
pub const SETS: &[Set] = &[
    Set {
        name: "procedural-images",
        kind: Kind::Labelled,
        about: "10 classes of 16 x 16 shapes and textures, made from a seed",
        licence: "made by this crate",
        files: &[],
    },
    Set {
        name: "mnist10k",
        kind: Kind::Labelled,
        about: "MNIST's 10,000 test images as 8,000 to train on and 2,000 to test",
        licence: "LeCun, Cortes, Burges; CC BY-SA 3.0",
        files: &[],
    },
];

/// The set of this name.
pub fn find(name: &str) -> Option<&'static Set> {
    SETS.iter().find(|set| set.name == name)
}

/// All names that a configuration may say.
pub fn names() -> Vec<&'static str> {
    SETS.iter().map(|set| set.name).collect()
}

const FASHION: [&str; 10] =
    ["t-shirt-top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"];

/// Class names of an IDX set, where they are known.
pub(crate) fn classes(name: &str) -> Option<Vec<String>> {
    match name {
        "mnist" => Some((0..10).map(|class| class.to_string()).collect()),
        "fashion-mnist" => Some(FASHION.map(str::to_owned).to_vec()),
        _ => None,
    }
}
