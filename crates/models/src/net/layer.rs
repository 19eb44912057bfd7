//! What an architecture is written in: layers, and the parameters that they declare.

use std::ops::Range;

/// A layer as an architecture lists it; sizes that follow from the layer before are left out.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Convolution with stride 1 and padding (kernel − 1)/2, kernel odd.
    Conv {
        /// Prefix of `.weight` and `.bias`.
        name: String,
        /// Output channels.
        channels: usize,
        /// Side of the kernel.
        kernel: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Dense layer on a flattened input.
    Linear {
        /// Prefix of `.weight` and `.bias`.
        name: String,
        /// Outputs.
        size: usize,
        /// Whether it has a bias.
        bias: bool,
    },
    /// Group normalisation with scale and shift, ε = 1e-5.
    GroupNorm {
        /// Prefix of `.weight` and `.bias`.
        name: String,
        /// Groups, a divisor of the channels.
        groups: usize,
    },
    /// max(x, 0), with gradient 0 at 0.
    Relu,
    /// Largest of each square of this side; a rest at the border is dropped.
    MaxPool(usize),
    /// `[C, H, W]` to one axis.
    Flatten,
    /// Multiplication by a constant.
    Scale(f64),
    /// Remembers the value for the next [`AddSaved`](Self::AddSaved).
    Save,
    /// Adds the remembered value.
    AddSaved,
}

impl Layer {
    /// A convolution.
    pub fn conv(name: String, channels: usize, kernel: usize, bias: bool) -> Self {
        Self::Conv { name, channels, kernel, bias }
    }

    /// A dense layer with bias.
    pub fn linear(name: String, size: usize) -> Self {
        Self::Linear { name, size, bias: true }
    }
}

/// A parameter's name, shape and place in the flat vector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Param {
    /// `layer.weight` or `layer.bias`.
    pub name: String,
    /// Its shape as PyTorch has it: `[out, in]`, `[out, in, k, k]`, `[n]`.
    pub shape: Vec<usize>,
    /// Index of its first element.
    pub offset: usize,
    pub(crate) init: Init,
}

impl Param {
    /// Its elements in the flat vector.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.shape.iter().product::<usize>()
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Init {
    /// Uniform in ±1/√fan_in: PyTorch's default for dense and convolutional layers, weights and biases alike.
    Uniform {
        fan_in: usize,
    },
    Constant(u32),
}

/// The parameters in the layers' order, without offsets; the error says which layer can't take what it gets.
pub(super) fn declare(
    layers: &[Layer],
    [mut channels, mut height, mut width]: [usize; 3],
) -> Result<Vec<Param>, String> {
    let mut params = Vec::new();
    let mut declare = |layer: &str, part: &str, shape: Vec<usize>, init| {
        params.push(Param { name: format!("{layer}.{part}"), shape, offset: 0, init });
    };
    for layer in layers {
        match layer {
            Layer::Conv { name, channels: out, kernel, bias } => {
                let init = Init::Uniform { fan_in: channels * kernel * kernel };
                declare(name, "weight", vec![*out, channels, *kernel, *kernel], init);
                if *bias {
                    declare(name, "bias", vec![*out], init);
                }
                channels = *out;
            }
            Layer::Linear { name, size, bias } => {
                let init = Init::Uniform { fan_in: channels * height * width };
                declare(name, "weight", vec![*size, channels * height * width], init);
                if *bias {
                    declare(name, "bias", vec![*size], init);
                }
                (channels, height, width) = (*size, 1, 1);
            }
            Layer::GroupNorm { name, groups } => {
                if !channels.is_multiple_of(*groups) {
                    return Err(format!("{name}: {groups} groups don't divide {channels} channels"));
                }
                declare(name, "weight", vec![channels], Init::Constant(1));
                declare(name, "bias", vec![channels], Init::Constant(0));
            }
            Layer::MaxPool(size) => {
                if height < *size || width < *size {
                    return Err(format!("a {size}×{size} pool gets {height}×{width} values; take larger images"));
                }
                (height, width) = (height / size, width / size);
            }
            Layer::Flatten => (channels, height, width) = (channels * height * width, 1, 1),
            Layer::Relu | Layer::Scale(_) | Layer::Save | Layer::AddSaved => {}
        }
    }
    Ok(params)
}
