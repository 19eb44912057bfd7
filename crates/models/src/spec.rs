//! `[model]` of a configuration, and what each architecture is made of.

use serde::{Deserialize, Serialize};

use crate::{Error, Result, net::Layer};

/// The vision networks of the federated experiments.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// One dense layer: softmax regression.
    Linear,
    /// Dense layers with ReLU between them; sizes in `hidden`. 784-64-10 has 50,890 parameters.
    #[default]
    Mlp,
    /// LEAF's network for FEMNIST: conv5×5-32, pool, conv5×5-64, pool, dense 2048, dense. 28×28 inputs and 62 classes
    /// make 6,603,710 parameters.
    LeafCnn,
    /// conv3×3-w, pool, conv3×3-2w, pool, conv3×3-2w, pool, dense; w = `width`.
    SmallCnn,
    /// ResNet-9 without normalisation and biases, as in the FetchSGD code: the last logits × 0.125 keep it trainable.
    /// CIFAR-10 makes 6,568,640 parameters.
    Resnet9,
    /// The same with group normalisation after each convolution, min(32, channels) groups.
    Resnet9Gn,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Linear, Self::Mlp, Self::LeafCnn, Self::SmallCnn, Self::Resnet9, Self::Resnet9Gn];

    /// Its name as in a configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Mlp => "mlp",
            Self::LeafCnn => "leaf-cnn",
            Self::SmallCnn => "small-cnn",
            Self::Resnet9 => "resnet9",
            Self::Resnet9Gn => "resnet9-gn",
        }
    }

    /// Channels of the first convolution unless `width` says otherwise; `None` where there is none.
    fn default_width(self) -> Option<usize> {
        match self {
            Self::Linear | Self::Mlp => None,
            Self::LeafCnn | Self::SmallCnn => Some(32),
            Self::Resnet9 | Self::Resnet9Gn => Some(64),
        }
    }
}

/// Sizes of the hidden layers: a number, or a list of them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged, expecting = "expected a size such as 64 or a list of sizes such as [128, 64]")]
pub enum Hidden {
    /// One hidden layer.
    One(usize),
    /// Any number of them.
    Many(Vec<usize>),
}

impl Hidden {
    /// The sizes as a list.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        match self {
            Self::One(size) => std::slice::from_ref(size),
            Self::Many(sizes) => sizes,
        }
    }
}

/// The table `[model]`: `arch = "mlp"`, `hidden = 64`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSpec {
    /// Which network.
    pub arch: Arch,
    /// Hidden sizes of `mlp`, default 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
    /// Channels of the first convolution; all other widths scale with it. Default 32, ResNet-9 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
}

impl ModelSpec {
    /// An architecture with its defaults.
    #[must_use]
    pub fn new(arch: Arch) -> Self {
        Self { arch, ..Self::default() }
    }

    /// An MLP with these hidden sizes.
    #[must_use]
    pub fn mlp(hidden: impl Into<Vec<usize>>) -> Self {
        Self { hidden: Some(Hidden::Many(hidden.into())), ..Self::new(Arch::Mlp) }
    }

    /// The layers, from the input to `classes` logits.
    pub(crate) fn layers(&self, classes: usize) -> Result<Vec<Layer>> {
        let invalid = |field, value: String, expected: &str| Error::Option {
            field,
            value,
            arch: self.arch.name().to_owned(),
            expected: expected.to_owned(),
        };
        if let Some(hidden) = &self.hidden {
            let value = format!("{:?}", hidden.sizes());
            if self.arch != Arch::Mlp {
                return Err(invalid("hidden", value, "only mlp has it"));
            }
            if hidden.sizes().iter().any(|size| !(1..=1 << 24).contains(size)) {
                return Err(invalid("hidden", value, "sizes must be at least 1 and at most 2^24"));
            }
        }
        let width = match (self.width, self.arch.default_width()) {
            (Some(width), None) => {
                return Err(invalid("width", width.to_string(), "only convolutional networks have it"));
            }
            (Some(width), _) if !(1..=1 << 16).contains(&width) => {
                return Err(invalid("width", width.to_string(), "it must be at least 1 and at most 2^16"));
            }
            (width, default) => width.or(default).unwrap_or(0),
        };
        let hidden = self.hidden.as_ref().map_or(&[64][..], Hidden::sizes);
        Ok(match self.arch {
            Arch::Linear => mlp(&[], classes),
            Arch::Mlp => mlp(hidden, classes),
            Arch::LeafCnn => leaf_cnn(width, classes),
            Arch::SmallCnn => small_cnn(width, classes),
            Arch::Resnet9 => resnet9(width, classes, false),
            Arch::Resnet9Gn => resnet9(width, classes, true),
        })
    }
}

fn mlp(hidden: &[usize], classes: usize) -> Vec<Layer> {
    let mut layers = vec![Layer::Flatten];
    for (i, &size) in hidden.iter().chain([&classes]).enumerate() {
        layers.extend([Layer::linear(format!("fc{}", i + 1), size), Layer::Relu]);
    }
    layers.pop(); // no ReLU after the logits
    layers
}

fn leaf_cnn(width: usize, classes: usize) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (i, channels) in [width, 2 * width].into_iter().enumerate() {
        layers.extend([Layer::conv(format!("conv{}", i + 1), channels, 5, true), Layer::Relu, Layer::MaxPool(2)]);
    }
    layers.extend([
        Layer::Flatten,
        Layer::linear("fc1".to_owned(), 64 * width),
        Layer::Relu,
        Layer::linear("fc2".to_owned(), classes),
    ]);
    layers
}

fn small_cnn(width: usize, classes: usize) -> Vec<Layer> {
    let mut layers = Vec::new();
    for (i, channels) in [width, 2 * width, 2 * width].into_iter().enumerate() {
        layers.extend([Layer::conv(format!("conv{}", i + 1), channels, 3, true), Layer::Relu, Layer::MaxPool(2)]);
    }
    layers.extend([Layer::Flatten, Layer::linear("fc".to_owned(), classes)]);
    layers
}

/// prep, layer1 (+ pool, residual), layer2 (+ pool), layer3 (+ pool, residual), pool 4, linear, × 0.125.
fn resnet9(width: usize, classes: usize, norm: bool) -> Vec<Layer> {
    let block = |name: String, channels: usize| {
        let mut block = vec![Layer::conv(format!("{name}.conv"), channels, 3, false)];
        if norm {
            block.push(Layer::GroupNorm { name: format!("{name}.norm"), groups: channels.min(32) });
        }
        block.push(Layer::Relu);
        block
    };
    let mut layers = block("prep".to_owned(), width);
    for (i, channels, residual) in [(1, 2 * width, true), (2, 4 * width, false), (3, 8 * width, true)] {
        layers.extend(block(format!("layer{i}"), channels));
        layers.push(Layer::MaxPool(2));
        if residual {
            layers.push(Layer::Save);
            layers.extend(block(format!("layer{i}.res1"), channels));
            layers.extend(block(format!("layer{i}.res2"), channels));
            layers.push(Layer::AddSaved);
        }
    }
    let head = Layer::Linear { name: "linear".to_owned(), size: classes, bias: false };
    layers.extend([Layer::MaxPool(4), Layer::Flatten, head, Layer::Scale(0.125)]);
    layers
}
