//! Rotary positions: both dialects of `config.json`, and the inverse frequencies.

use serde_json::Value;

use super::keys::{Keys, wrong};
use crate::Result;

/// Rotary position embedding of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeSpec {
    /// Base of the frequencies.
    pub theta: f64,
    /// How the frequencies are stretched.
    pub scaling: RopeScaling,
}

/// How the frequencies are stretched beyond the length of pretraining.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// All divided by the factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided by the factor, short ones kept, a ramp between.
    Llama3 {
        /// The factor F.
        factor: f64,
        /// Wavelengths above original / low are divided by F.
        low_freq_factor: f64,
        /// Wavelengths below original / high are kept.
        high_freq_factor: f64,
        /// Context length of pretraining.
        original: f64,
    },
}

impl RopeSpec {
    /// The `head_dim / 2` inverse frequencies, in f32 as every implementation computes them.
    pub fn inverse_frequencies(&self, head_dim: usize) -> Vec<f32> {
        (0..head_dim / 2)
            .map(|i| {
                let f = 1.0 / (self.theta as f32).powf((2 * i) as f32 / head_dim as f32);
                match self.scaling {
                    RopeScaling::Default => f,
                    RopeScaling::Linear { factor } => f / factor as f32,
                    RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => {
                        llama3(f, factor as f32, low_freq_factor as f32, high_freq_factor as f32, original as f32)
                    }
                }
            })
            .collect()
    }

    /// `rope_scaling` (4.x) if it isn't null, else `rope_parameters` (5.x); θ inside either wins over the top level.
    pub(super) fn read(keys: &Keys, default_theta: f64, max_pos: usize) -> Result<Self> {
        let top = keys.positive("rope_theta")?.or(default_theta, default_theta);
        let (name, table) = match keys.table("rope_scaling")? {
            Some(table) => ("rope_scaling", Some(table)),
            None => ("rope_parameters", keys.table("rope_parameters")?),
        };
        let Some(table) = table else {
            return Ok(Self { theta: top, scaling: RopeScaling::Default });
        };
        if let Some((kind, value)) = table.0.iter().find(|(_, value)| value.is_object()) {
            return Err(wrong(&format!("{name}.{kind}"), value, "one set of rotary parameters for all layers"));
        }
        let theta = table.positive("rope_theta")?.or(top, top);
        if let Some(partial) = table.number("partial_rotary_factor")?.ok().filter(|&p| p != 1.0) {
            return Err(wrong(&format!("{name}.partial_rotary_factor"), &Value::from(partial), "1"));
        }
        let kind = match table.text("rope_type")?.ok() {
            Some(kind) => kind,
            None => table.text("type")?.or("default", "default"),
        };
        let need = |key: &'static str| -> Result<f64> {
            let missing =
                || wrong(&format!("{name}.{key}"), &Value::Null, format!("a number above 0 ({kind} needs it)"));
            table.positive(key)?.ok().ok_or_else(missing)
        };
        let scaling = match kind {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: need("factor")? },
            "llama3" => RopeScaling::Llama3 {
                factor: need("factor")?,
                low_freq_factor: need("low_freq_factor")?,
                high_freq_factor: need("high_freq_factor")?,
                original: table.positive("original_max_position_embeddings")?.ok().unwrap_or(max_pos as f64),
            },
            other => {
                let known = "default, linear or llama3 (others are not supported)";
                return Err(wrong(&format!("{name}.rope_type"), &Value::from(other), known));
            }
        };
        Ok(Self { theta, scaling })
    }
}

/// Wavelength λ = 2π/f: kept below L/h, divided by F above L/l, between them a ramp in L/λ.
fn llama3(f: f32, factor: f32, low: f32, high: f32, original: f32) -> f32 {
    let wavelength = 2.0 * std::f32::consts::PI / f;
    if wavelength < original / high {
        f
    } else if wavelength > original / low {
        f / factor
    } else {
        let smooth = (original / wavelength - low) / (high - low);
        (1.0 - smooth) * f / factor + smooth * f
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_bands() {
        let spec = RopeSpec {
            theta: 1e4,
            scaling: RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 16.0 },
        };
        let plain = RopeSpec { scaling: RopeScaling::Default, ..spec }.inverse_frequencies(16);
        let scaled = spec.inverse_frequencies(16);
        // λ = 2π < 16/4 is false for f = 1 (λ = 6.28, between 4 and 16): on the ramp; the last ones are divided by 8.
        let smooth = (16.0 / (2.0 * std::f32::consts::PI) - 1.0) / 3.0;
        assert!((scaled[0] - ((1.0 - smooth) / 8.0 + smooth)).abs() < 1e-6);
        assert!((scaled[7] - plain[7] / 8.0).abs() < 1e-9);
    }
}
