//! serde helpers: JSON has no NaN and no infinities, so these are written as the strings `"NaN"`, `"inf"`, `"-inf"`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

#[derive(Clone, Copy)]
struct Lossless(f64);

impl Serialize for Lossless {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { to.serialize_f64(self.0) } else { to.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Lossless {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(f64),
            Name(String),
        }
        match Either::deserialize(from)? {
            Either::Number(v) => Ok(Self(v)),
            Either::Name(name) => match name.as_str() {
                "NaN" => Ok(Self(f64::NAN)),
                "inf" => Ok(Self(f64::INFINITY)),
                "-inf" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(de::Error::invalid_value(de::Unexpected::Str(&name), &"a number, NaN, inf or -inf")),
            },
        }
    }
}

/// For one number.
pub(crate) mod one {
    use super::*;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
    pub(crate) fn serialize<S: Serializer>(v: &f64, to: S) -> Result<S::Ok, S::Error> {
        Lossless(*v).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(Lossless::deserialize(from)?.0)
    }
}

/// For an optional pair.
pub(crate) mod pair {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde's `with` hands the field by reference")]
    pub(crate) fn serialize<S: Serializer>(v: &Option<(f64, f64)>, to: S) -> Result<S::Ok, S::Error> {
        v.map(|(a, b)| (Lossless(a), Lossless(b))).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<(f64, f64)>, D::Error> {
        Ok(Option::<(Lossless, Lossless)>::deserialize(from)?.map(|(a, b)| (a.0, b.0)))
    }
}

/// For a list.
pub(crate) mod list {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(v: &[f64], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(v.iter().map(|v| Lossless(*v)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Lossless>::deserialize(from)?.into_iter().map(|v| v.0).collect())
    }
}

/// For rows of numbers.
pub(crate) mod matrix {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(v: &[Vec<f64>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(v.iter().map(|row| row.iter().map(|v| Lossless(*v)).collect::<Vec<_>>()))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<f64>>, D::Error> {
        let rows = Vec::<Vec<Lossless>>::deserialize(from)?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(|v| v.0).collect()).collect())
    }
}
