use std::borrow::Cow;

use safetensors::{Dtype, tensor::TensorView};

/// A flat array in a checkpoint, borrowed or owned.
#[derive(Clone, Debug, PartialEq)]
pub enum Array<'a> {
    /// 32-bit floats.
    F32(Cow<'a, [f32]>),
    /// 64-bit floats.
    F64(Cow<'a, [f64]>),
    /// Bytes.
    U8(Cow<'a, [u8]>),
    /// 32-bit unsigned integers.
    U32(Cow<'a, [u32]>),
    /// 64-bit integers.
    I64(Cow<'a, [i64]>),
}

macro_rules! kinds {
    ($($kind:ident $type:ty, $dtype:ident, $name:literal;)*) => {
        impl<'a> Array<'a> {
            /// Number of elements.
            #[must_use]
            pub fn len(&self) -> usize {
                match self { $(Self::$kind(values) => values.len(),)* }
            }

            /// Type's name as in a message.
            pub(super) fn dtype_name(&self) -> &'static str {
                match self { $(Self::$kind(_) => $name,)* }
            }

            pub(super) fn dtype(&self) -> Dtype {
                match self { $(Self::$kind(_) => Dtype::$dtype,)* }
            }

            pub(super) fn bytes(&self) -> Vec<u8> {
                match self { $(Self::$kind(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),)* }
            }

            pub(super) fn read(view: &TensorView<'_>) -> Option<Array<'static>> {
                match view.dtype() {
                    $(Dtype::$dtype => {
                        let (words, rest) = view.data().as_chunks::<{ size_of::<$type>() }>();
                        rest.is_empty().then(|| {
                            Array::$kind(words.iter().map(|word| <$type>::from_le_bytes(*word)).collect())
                        })
                    })*
                    _ => None,
                }
            }
        }
        $(
            impl From<Vec<$type>> for Array<'static> {
                fn from(values: Vec<$type>) -> Self {
                    Array::$kind(Cow::Owned(values))
                }
            }
            impl<'a> From<&'a [$type]> for Array<'a> {
                fn from(values: &'a [$type]) -> Self {
                    Array::$kind(Cow::Borrowed(values))
                }
            }
        )*
    };
}

kinds! {
    F32 f32, F32, "f32";
    F64 f64, F64, "f64";
    U8 u8, U8, "u8";
    U32 u32, U32, "u32";
    I64 i64, I64, "i64";
}

impl Array<'_> {
    /// Whether it has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
