//! The attackers' round.
//!
//! All attackers of a round collude: their data are pooled, one malicious update is made of them, and each sends it.

use ashlar_kernels::rng;
use rand::seq::{SliceRandom, index};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    Result, Update,
    attack::{Shaping, project_weights, replacement_boost},
    client::{Hook, Learner, LocalSgd, scale},
    config::{AttackKind, Observe},
    durability,
    exact::{Reduction, reduce},
    neurotoxin::{Mask, Scope, global_delta, top_overlap},
    sparsefed::clip_l2,
};

use super::{Draw, Record, Simulation};

/// Figures of the attack rounds so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct AttackLog {
    /// (round, backdoor accuracy) from the first attack round on.
    pub curve: Vec<(u32, f64)>,
    rounds: usize,
    overlap_observed: f64,
    overlap_honest: f64,
    leak: usize,
}

impl Simulation {
    /// Which of the round's clients are malicious, as places in `draws`.
    pub(super) fn malicious(&self, draws: &[Draw]) -> Vec<usize> {
        let attack = &self.config.attack;
        if !attack.is_attack_round(self.round) {
            return Vec::new();
        }
        if attack.fraction > 0.0 {
            let clients = self.config.data.clients;
            let first = clients - attack.malicious_clients(clients).min(clients);
            return (0..draws.len()).filter(|&place| draws[place].client as usize >= first).collect();
        }
        let mut stream = rng::stream(self.config.seed, &["fl", "attack", "slots", &self.round.to_string()]);
        let mut places = index::sample(&mut stream, draws.len(), attack.attackers.min(draws.len())).into_vec();
        places.sort_unstable();
        places
    }

    /// The malicious clients' updates; `honest` are the others'.
    pub(super) fn poison(
        &mut self,
        draws: &[Draw],
        honest: &[Update],
        factor: f64,
        record: &mut Record,
    ) -> Result<Vec<Update>> {
        let Some(backdoor) = &self.backdoor else { return Ok(Vec::new()) };
        let attack = &self.config.attack;
        let mut stream = rng::stream(self.config.seed, &["fl", "attack", "train", &self.round.to_string()]);

        // The attackers' own examples, some of them replaced by poisoned images.
        let mut own: Vec<u32> = draws.iter().flat_map(|draw| draw.examples.iter().copied()).collect();
        own.shuffle(&mut stream);
        let poisoned = ((attack.poison_share * own.len() as f64).round() as usize).max(1);
        own.truncate(own.len().saturating_sub(poisoned));
        let mut set = self.data.train.subset(&own).without_groups();
        let mut images: Vec<usize> = (0..backdoor.train.len()).collect();
        images.shuffle(&mut stream);
        for &image in images.iter().cycle().take(poisoned) {
            if let Some(pixels) = backdoor.train.image_u8(image) {
                set.push_u8(pixels, backdoor.train.label(image))?;
            }
        }
        let mut order: Vec<u32> = (0..set.len() as u32).collect();
        order.shuffle(&mut stream);

        let observed = self.observed()?;
        let mask = match attack.name {
            AttackKind::Neurotoxin if attack.mask_top_fraction > 0.0 => {
                let tensors: Vec<_> = self.model.params().iter().map(ashlar_models::Param::range).collect();
                let scope = if attack.per_layer { Scope::PerTensor(&tensors) } else { Scope::Global };
                Some(Mask::from_observed(&observed, attack.mask_top_fraction, scope)?)
            }
            _ => None,
        };
        let mut values = self.train_poisoned(&set, &order, mask.as_ref(), factor)?;
        if let Some(mask) = mask.as_ref().filter(|_| attack.mask_delta) {
            mask.apply(&mut values)?;
        }
        let honest_mean = if honest.is_empty() {
            None
        } else {
            let mean = reduce(honest, self.w.len(), &Reduction { exact: false, ..Reduction::default() });
            mean.ok().map(|mean| mean.dense().map(std::borrow::Cow::into_owned)).transpose()?
        };
        for shaping in self.shapings(draws.len(), factor)? {
            shaping.apply(&mut values, honest_mean.as_deref())?;
        }

        let fraction = if attack.mask_top_fraction > 0.0 { attack.mask_top_fraction } else { 0.05 };
        let leak = mask
            .as_ref()
            .map_or(0, |mask| values.iter().zip(mask.keep()).filter(|(value, keep)| **value != 0.0 && !**keep).count());
        let overlap = top_overlap(&values, &observed, fraction)?;
        record.attack_overlap = Some(overlap);
        self.attack_log.rounds += 1;
        self.attack_log.overlap_observed += overlap;
        self.attack_log.leak = self.attack_log.leak.max(leak);
        if let Some(mean) = &honest_mean {
            self.attack_log.overlap_honest += top_overlap(&values, mean, fraction)?;
        }
        Ok(draws.iter().map(|draw| self.config.as_update(draw, values.clone())).collect())
    }

    /// What the attacker takes for the honest clients' gradient.
    fn observed(&self) -> Result<Vec<f32>> {
        let attack = &self.config.attack;
        if attack.observe == Observe::GlobalDelta {
            return global_delta(&self.before, &self.w);
        }
        let mut stream = rng::stream(self.config.seed, &["fl", "attack", "observe"]);
        let clients = self.data.parts.len();
        let chosen = index::sample(&mut stream, clients, attack.observe_clients.clamp(1, clients));
        let examples: Vec<u32> = chosen.iter().flat_map(|client| self.data.parts[client].iter().copied()).collect();
        let bound = self.model.bind(&self.w)?;
        let mut gradient = vec![0.0; self.w.len()];
        let learner = Learner { model: &self.model, set: &self.data.train };
        self.pool.with(|scratch| learner.gradient(&bound, &examples, &mut gradient, scratch))?;
        Ok(gradient)
    }

    fn train_poisoned(
        &self,
        set: &ashlar_data::LabelledSet,
        order: &[u32],
        mask: Option<&Mask>,
        factor: f64,
    ) -> Result<Vec<f32>> {
        let (attack, client) = (&self.config.attack, &self.config.client);
        let learner = Learner { model: &self.model, set };
        let mut values = vec![0.0; self.w.len()];
        let masking = |gradient: &mut [f32]| {
            // The mask has the model's length, so this can't fail.
            let _ = mask.map(|mask| mask.apply(gradient));
        };
        let radius = match attack.name {
            AttackKind::Pgd => {
                attack.radius.or_else(|| self.config.clip.l2.map(|l2| self.config.clip_bound(l2, factor)))
            }
            _ => attack.radius,
        };
        if !self.config.local_training() {
            let bound = self.model.bind(&self.w)?;
            self.pool.with(|scratch| learner.gradient(&bound, order, &mut values, scratch))?;
            scale(&mut values, attack.loss_boost as f32);
            masking(&mut values);
            if let Some(radius) = radius {
                clip_l2(&mut values, radius);
            }
            return Ok(values);
        }
        let project = |global: &[f32], local: &mut [f32]| {
            let _ = radius.map(|radius| project_weights(local, global, radius));
        };
        let how = LocalSgd {
            epochs: attack.epochs.unwrap_or(client.epochs),
            batch: attack.batch.unwrap_or(client.batch),
            weight_decay: attack.weight_decay,
            loss_factor: attack.loss_boost,
            prox_mu: 0.0,
            // The honest clients' own restraint is none of the attackers'.
            max_grad_norm: 0.0,
            ..LocalSgd::new(client, attack.lr.unwrap_or(client.lr.unwrap_or_default() * factor))
        };
        let hook =
            Hook { mask: mask.is_some().then_some(&masking as _), project: radius.is_some().then_some(&project as _) };
        self.pool.with(|scratch| learner.train(&self.w, order, &how, &hook, &mut values, scratch))?;
        Ok(values)
    }

    /// What the attackers do to the trained update, in order.
    fn shapings(&self, attackers: usize, factor: f64) -> Result<Vec<Shaping>> {
        let attack = &self.config.attack;
        let bound = self.config.clip.l2.map(|l2| self.config.clip_bound(l2, factor));
        let mut shapings = Vec::new();
        let boost = match (attack.boost, attack.name) {
            (Some(boost), _) => boost as f32,
            (None, AttackKind::Boost) => replacement_boost(self.config.server.per_round, attackers)?,
            _ => 1.0,
        };
        if boost != 1.0 {
            shapings.push(Shaping::Boost { factor: boost });
        }
        if attack.perfect_knowledge {
            let k = self.config.server.k.unwrap_or((self.w.len() / 100).max(1));
            shapings.push(Shaping::PerfectKnowledge { k, l2: bound.or(attack.radius).unwrap_or(f64::MAX) });
        }
        if let Some(l2) = attack.scale_to.or(bound.filter(|_| attack.scale_to_clip)) {
            shapings.push(Shaping::ScaleUpTo { l2 });
        }
        Ok(shapings)
    }

    /// The attack's part of the result; none without an attack.
    pub(super) fn attack_result(&self) -> Result<Option<Map<String, Value>>> {
        let (attack, log) = (&self.config.attack, &self.attack_log);
        if !attack.is_on() || self.round < attack.end() {
            return Ok(None);
        }
        let found = durability::measure(&log.curve, (attack.end() - 1) as u32, attack.kappa)?;
        let mean = |sum: f64| sum / log.rounds.max(1) as f64;
        let value = json!({
            "attack": attack.name,
            "lifespan": found.lifespan,
            "acc_at_attack_end": found.acc_at_attack_end,
            "acc_plus_30": found.acc_plus_30,
            "acc_plus_100": found.acc_plus_100,
            "backdoor_auc": found.auc,
            "backdoor_acc": log.curve.last().map(|(_, accuracy)| *accuracy),
            "main_acc_at_attack_end": self.acc_at_end,
            "attack_overlap": mean(log.overlap_observed),
            "attack_overlap_honest": mean(log.overlap_honest),
            "attack_leak": log.leak,
        });
        Ok(value.as_object().cloned())
    }
}
