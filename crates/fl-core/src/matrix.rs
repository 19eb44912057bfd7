//! Attack × defence: one base configuration, varied in who attacks and how the server defends.
//!
//! Every cell keeps the base's bound L for the attackers (they may scale up to it), so that cells differ in the
//! defence alone: `none` lifts the server's clipping but not the attackers' strength, and `sparsefed` clips weight
//! changes to the same L as `norm-clip`.

use crate::{
    Error, Mode, Result,
    config::{AttackKind, DefenceName, RunConfig},
};

/// One attack against one defence.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The attack's name.
    pub attack: String,
    /// The defence's name: an aggregator's, `none` or `sparsefed`.
    pub defence: String,
    /// What to run.
    pub config: RunConfig,
}

impl Cell {
    /// Varies `base`.
    ///
    /// # Errors
    /// Names that don't exist, each with those that do.
    pub fn new(base: &RunConfig, attack: &str, defence: &str) -> Result<Self> {
        let mut config = base.clone();
        config.attack.name = match attack {
            "baseline" => AttackKind::Baseline,
            "neurotoxin" => AttackKind::Neurotoxin,
            "boost" => AttackKind::Boost,
            "pgd" => AttackKind::Pgd,
            _ => return Err(Error::setting("attacks", attack, "baseline, neurotoxin, boost, pgd")),
        };
        let bound = config.clip.l2.map(|l2| config.clip_bound(l2, 1.0));
        if config.attack.scale_to_clip && config.attack.scale_to.is_none() {
            config.attack.scale_to = bound;
            config.attack.scale_to_clip = false;
        }
        config.defence.name = match defence {
            "sparsefed" => DefenceName::None,
            _ => DefenceName::parse(defence).ok_or_else(|| {
                let names: Vec<&str> = DefenceName::ALL.iter().map(|known| known.name()).collect();
                Error::setting("defences", defence, format!("{}, sparsefed", names.join(", ")))
            })?,
        };
        let name = if defence == "sparsefed" { defence } else { config.defence.name.name() };
        let clips = matches!(config.defence.name, DefenceName::NormClip | DefenceName::WeakDp) || name == "sparsefed";
        if clips {
            config.clip.l2 = bound;
            config.clip.times_lr = Some(false);
        } else {
            config.attack.radius = config.attack.radius.or(bound.filter(|_| config.attack.name == AttackKind::Pgd));
            config.clip.l2 = None;
        }
        if name == "sparsefed" {
            config.server.mode = Mode::SparseFed;
        }
        Ok(Self { attack: attack.to_owned(), defence: name.to_owned(), config })
    }

    /// `baseline vs krum`.
    pub fn name(&self) -> String {
        format!("{} vs {}", self.attack, self.defence)
    }
}
