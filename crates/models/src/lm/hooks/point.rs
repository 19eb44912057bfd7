//! Points: sites of layers and experts.

use std::{fmt, str::FromStr};

use super::site::{SITES, Site, SiteInfo};
use crate::{Error, Result, lm::config::ModelSpec};

/// A site in a layer, or one outside the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookPoint {
    /// The layer, `None` for `hook_embed`, `hook_pos_embed`, `ln_final.hook_normalized` and `hook_logits`.
    pub layer: Option<u16>,
    /// The site.
    pub site: Site,
    /// The expert, for the sites `mlp.experts.{e}.…`.
    pub expert: Option<u16>,
}

impl HookPoint {
    /// A site of a layer; of expert 0 if the site is an expert's.
    pub fn of(layer: usize, site: Site) -> Self {
        Self::expert(layer, 0, site)
    }

    /// A site of an expert; of the layer, if the site isn't an expert's.
    pub fn expert(layer: usize, expert: usize, site: Site) -> Self {
        // What doesn't fit is no layer or expert of any model: it becomes one that no model has.
        let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Self { layer: site.info().layered.then(|| short(layer)), site, expert: site.of_expert().then(|| short(expert)) }
    }

    /// Every point of a model, in the order of the forward pass.
    pub fn all(spec: &ModelSpec) -> Vec<Self> {
        let outside = |site: &&SiteInfo| !site.layered && site.site.exists(spec, 0);
        let (first, last): (Vec<&SiteInfo>, Vec<&SiteInfo>) =
            SITES.iter().filter(outside).partition(|i| i.site < Site::ResidPre);
        let mut points: Vec<Self> = first.into_iter().map(|i| Self::of(0, i.site)).collect();
        for l in 0..spec.n_layers {
            points.extend(SITES.iter().filter(|i| i.layered).flat_map(|i| Self::in_layer(spec, l, i.site)));
        }
        points.extend(last.into_iter().map(|i| Self::of(0, i.site)));
        points
    }

    /// The points of a site in a layer: none, one, or one an expert.
    pub(super) fn in_layer(spec: &ModelSpec, layer: usize, site: Site) -> Vec<Self> {
        if !site.exists(spec, layer) {
            return Vec::new();
        }
        let experts = if site.of_expert() { spec.moe[layer].map_or(0, |moe| moe.experts) } else { 1 };
        (0..experts).map(|e| Self::expert(layer, e, site)).collect()
    }

    /// Shape of the activation for B rows of T columns that see S; `None` at an expert, whose rows depend on the router.
    pub fn dims(self, spec: &ModelSpec, batch: usize, columns: usize, keys: usize) -> Option<Vec<usize>> {
        let moe = self.layer.and_then(|l| spec.moe.get(usize::from(l)).copied().flatten());
        let size = |symbol: &str| {
            Some(match symbol {
                "B" => batch,
                "T" => columns,
                "S" => keys,
                "N" => batch.checked_mul(columns)?,
                "H" => spec.n_heads,
                "Hkv" => spec.n_kv,
                "hd" => spec.head_dim,
                "d" => spec.d_model,
                "d_ff" => spec.d_ff,
                "V" => spec.vocab,
                "E" => moe?.experts,
                "k" => moe?.top_k,
                _ => return None,
            })
        };
        self.site.info().shape.trim_matches(['[', ']']).split(',').map(size).collect()
    }

    /// Size of the last dimension, where that doesn't depend on the batch.
    pub(crate) fn width(self, spec: &ModelSpec) -> Option<usize> {
        let moe = self.layer.and_then(|l| spec.moe.get(usize::from(l)).copied().flatten());
        match self.site {
            Site::AttnScores | Site::Pattern => None,
            Site::ExpertPost => Some(moe?.d_ff),
            Site::ExpertOut => Some(spec.d_model),
            _ => self.dims(spec, 1, 1, 1)?.last().copied(),
        }
    }

    pub(super) fn check(self, spec: &ModelSpec) -> Result<()> {
        let layer = self.layer.map_or(0, usize::from);
        let expert_fits = match (self.site.of_expert(), self.expert) {
            (true, Some(e)) => spec.moe.get(layer).copied().flatten().is_some_and(|moe| usize::from(e) < moe.experts),
            (of_expert, e) => !of_expert && e.is_none(),
        };
        let fits = layer < spec.n_layers && self.layer.is_some() == self.site.info().layered;
        if fits && expert_fits && self.site.exists(spec, layer) { Ok(()) } else { Err(self.missing(spec)) }
    }

    /// The error that this model has no such point.
    pub(crate) fn missing(self, spec: &ModelSpec) -> Error {
        no_site(self.to_string(), spec)
    }
}

/// The error that a model has no such point, with the sites that it has.
pub(crate) fn no_site(point: String, spec: &ModelSpec) -> Error {
    let there = |i: &&SiteInfo| (0..spec.n_layers).any(|l| i.site.exists(spec, l));
    let mut known: Vec<String> = SITES.iter().filter(there).map(|i| i.name.to_owned()).collect();
    known.sort();
    Error::NoSite { point, layers: spec.n_layers, known }
}

impl fmt::Display for HookPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layer) = self.layer {
            write!(f, "blocks.{layer}.")?;
        }
        let name = self.site.info().name;
        match (self.expert, name.split_once("{e}")) {
            (Some(expert), Some((before, after))) => write!(f, "{before}{expert}{after}"),
            _ => f.write_str(name),
        }
    }
}

impl FromStr for HookPoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let unknown = || Error::HookName { name: text.to_owned() };
        let number = |text: &str| text.parse::<u16>().map_err(|_| unknown());
        let (layer, name) = match text.strip_prefix("blocks.") {
            Some(rest) => {
                let (layer, name) = rest.split_once('.').ok_or_else(unknown)?;
                (Some(number(layer)?), name)
            }
            None => (None, text),
        };
        let (expert, name) = match name.strip_prefix("mlp.experts.").and_then(|rest| rest.split_once('.')) {
            Some((expert, name)) => (Some(number(expert)?), format!("mlp.experts.{{e}}.{name}")),
            None => (None, name.to_owned()),
        };
        let fits =
            |i: &&SiteInfo| i.name == name && i.layered == layer.is_some() && i.site.of_expert() == expert.is_some();
        let found = SITES.iter().find(fits).ok_or_else(unknown)?;
        Ok(Self { layer, site: found.site, expert })
    }
}
