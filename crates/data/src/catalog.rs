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

macro_rules! remote {
    ($name:literal, $url:literal, $sha256:literal, $bytes:literal) => {
        Remote { name: $name, url: $url, sha256: $sha256, bytes: $bytes }
    };
}

/// Every set that has a name.
///
/// Checksums: those of `mnist10k`, `tinyshakespeare` and `names` were recomputed from copies of the files; the others
/// are as several public projects publish them, and the files themselves were not downloaded to compare.
pub const SETS: &[Set] = &[
    Set {
        name: "procedural-images",
        kind: Kind::Labelled,
        about: "10 classes of 16 x 16 shapes and textures, made from a seed",
        licence: "made by this crate",
        files: &[],
    },
    Set {
        name: "procedural-text",
        kind: Kind::Text,
        about: "users of a made-up language of known entropy, made from a seed",
        licence: "made by this crate",
        files: &[],
    },
    Set {
        name: "mnist",
        kind: Kind::Labelled,
        about: "handwritten digits, 28 x 28: 60,000 to train on, 10,000 to test",
        licence: "LeCun, Cortes, Burges; CC BY-SA 3.0",
        files: &[
            remote!(
                "train-images-idx3-ubyte.gz",
                "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                9_912_422
            ),
            remote!(
                "train-labels-idx1-ubyte.gz",
                "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                28_881
            ),
            remote!(
                "t10k-images-idx3-ubyte.gz",
                "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                1_648_877
            ),
            remote!(
                "t10k-labels-idx1-ubyte.gz",
                "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                4_542
            ),
        ],
    },
    Set {
        name: "mnist10k",
        kind: Kind::Labelled,
        about: "MNIST's 10,000 test images as 8,000 to train on and 2,000 to test",
        licence: "LeCun, Cortes, Burges; CC BY-SA 3.0",
        files: &[
            remote!(
                "t10k-images-idx3-ubyte.gz",
                "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                1_648_877
            ),
            remote!(
                "t10k-labels-idx1-ubyte.gz",
                "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                4_542
            ),
        ],
    },
    Set {
        name: "fashion-mnist",
        kind: Kind::Labelled,
        about: "clothes, 28 x 28: 60,000 to train on, 10,000 to test",
        licence: "Zalando SE; MIT",
        files: &[
            remote!(
                "train-images-idx3-ubyte.gz",
                "https://fashion-mnist.s3.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                26_421_880
            ),
            remote!(
                "train-labels-idx1-ubyte.gz",
                "https://fashion-mnist.s3.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                29_515
            ),
            remote!(
                "t10k-images-idx3-ubyte.gz",
                "https://fashion-mnist.s3.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                4_422_102
            ),
            remote!(
                "t10k-labels-idx1-ubyte.gz",
                "https://fashion-mnist.s3.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                5_148
            ),
        ],
    },
    Set {
        name: "cifar10",
        kind: Kind::Labelled,
        about: "colour photographs, 32 x 32, 10 classes: 50,000 to train on, 10,000 to test",
        licence: "Krizhevsky 2009; research use",
        files: &[remote!(
            "cifar-10-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171
        )],
    },
    Set {
        name: "cifar100",
        kind: Kind::Labelled,
        about: "colour photographs, 32 x 32, 100 classes: 50,000 to train on, 10,000 to test",
        licence: "Krizhevsky 2009; research use",
        files: &[remote!(
            "cifar-100-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            168_513_733
        )],
    },
    Set {
        name: "tinyshakespeare",
        kind: Kind::Text,
        about: "1.1 MB of Shakespeare's plays, a text a speech, by speaker",
        licence: "public-domain text; repository karpathy/char-rnn",
        files: &[remote!(
            "input.txt",
            "https://raw.githubusercontent.com/karpathy/char-rnn/6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            1_115_394
        )],
    },
    Set {
        name: "names",
        kind: Kind::Text,
        about: "32,033 first names, one a text",
        licence: "repository karpathy/makemore; MIT",
        files: &[remote!(
            "names.txt",
            "https://raw.githubusercontent.com/karpathy/makemore/988aa59/names.txt",
            "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
            228_145
        )],
    },
];

/// File formats that `name` can say, with what holds such data; each needs `path`.
pub const FORMATS: [(&str, &str); 6] = [
    ("idx", "a folder with MNIST's four files, plain or gzip"),
    ("cifar-binary", "a folder with CIFAR-10's data_batch_N.bin and test_batch.bin"),
    ("csv", "a table: numbers and a label column, or text columns"),
    ("jsonl", "a JSON object a line, with text fields"),
    ("text", "a file (a text a line), or a folder of .txt files (a writer a file)"),
    ("image-folder", "a folder a class, with PNG and JPEG files"),
];

/// The set of this name.
pub fn find(name: &str) -> Option<&'static Set> {
    SETS.iter().find(|set| set.name == name)
}

/// All names that a configuration may say.
///
/// Sets first, then formats.
pub fn names() -> Vec<&'static str> {
    SETS.iter().map(|set| set.name).chain(FORMATS.iter().map(|format| format.0)).collect()
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
