//! `[attack]`: the backdoor, who plants it, when and how.

use serde::{Deserialize, Serialize};

pub use crate::neurotoxin::Observe;

/// A backdoor attack.
///
/// Two threat models. With `attackers`, that many of the sampled clients are replaced in each of `rounds` rounds from
/// `start` on (fixed frequency). With `fraction`, the last `fraction`·N client ids are malicious and attack whenever
/// they are sampled in those rounds. Attackers collude: one update is computed and every one of them sends it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttackTable {
    /// How the malicious update is made.
    pub name: AttackKind,
    /// Malicious clients in each attack round.
    pub attackers: usize,
    /// Share of malicious clients among all (the last ids); 0 means a fixed number a round instead.
    pub fraction: f64,
    /// First attack round, counted from 0.
    pub start: usize,
    /// Number of attack rounds.
    pub rounds: usize,
    /// What marks a poisoned image.
    pub trigger: Trigger,
    /// Class of the images that are poisoned; absent means any class but the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<u32>,
    /// Label that the backdoor asks for; absent means a wrong label drawn for each image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<u32>,
    /// Side of the pixel patch.
    pub patch: usize,
    /// Poisoned images that the attackers hold; 0 means all that there are.
    pub images: usize,
    /// Which set the poisoned images come from.
    pub poison_from: PoisonFrom,
    /// Share of poisoned images in the attackers' training data; the rest is their own clean data.
    pub poison_share: f64,
    /// Learning rate of the poisoned training; absent means the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Passes over the attackers' data; absent means the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Examples a step of the poisoned training; absent means the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Weight decay of the poisoned training.
    pub weight_decay: f64,
    /// Factor on the malicious update; absent means W over the attackers for `name = "boost"` (model replacement), else 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boost: Option<f64>,
    /// Factor on the malicious loss (CommEfficient's `mal_boost`).
    pub loss_boost: f64,
    /// Scales the update up to the server's bound `clip.l2` where it is shorter.
    pub scale_to_clip: bool,
    /// Scales the update up to this norm where it is shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_to: Option<f64>,
    /// PGD: after each local step the weight change (in the gradient modes: the one gradient) is projected into this
    /// ball; absent means `clip.l2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub radius: Option<f64>,
    /// Neurotoxin: share of the coordinates, the largest of the observed update, that the attack leaves alone.
    pub mask_top_fraction: f64,
    /// Neurotoxin: which update the attacker observes.
    pub observe: Observe,
    /// Neurotoxin: clean clients whose data `clean_grad` uses.
    pub observe_clients: usize,
    /// Neurotoxin: one threshold a tensor instead of one over all.
    pub per_layer: bool,
    /// Neurotoxin: masks the finished weight change too, so that weight decay can't leak outside the mask.
    pub mask_delta: bool,
    /// The attacker sees the round's honest updates and stays on their top k coordinates.
    pub perfect_knowledge: bool,
    /// Backdoor accuracy under which the backdoor counts as gone.
    pub kappa: f64,
    /// Rounds after the attack over which its life is measured.
    pub horizon: usize,
}

impl Default for AttackTable {
    fn default() -> Self {
        Self {
            name: AttackKind::None,
            attackers: 1,
            fraction: 0.0,
            start: 0,
            rounds: 0,
            trigger: Trigger::Rotate,
            source: None,
            target: Some(0),
            patch: 4,
            images: 0,
            poison_from: PoisonFrom::Train,
            poison_share: 0.5,
            lr: None,
            epochs: None,
            batch: None,
            weight_decay: 0.0,
            boost: None,
            loss_boost: 1.0,
            scale_to_clip: false,
            scale_to: None,
            radius: None,
            mask_top_fraction: 0.05,
            observe: Observe::GlobalDelta,
            observe_clients: 30,
            per_layer: false,
            mask_delta: true,
            perfect_knowledge: false,
            kappa: 0.5,
            horizon: 200,
        }
    }
}

impl AttackTable {
    /// Whether anybody attacks.
    pub fn is_on(&self) -> bool {
        self.name != AttackKind::None && self.rounds > 0
    }

    /// Whether `round` is an attack round.
    pub fn is_attack_round(&self, round: usize) -> bool {
        self.is_on() && (self.start..self.start + self.rounds).contains(&round)
    }

    /// Clients of N that are malicious for good; 0 where a fixed number of each round's are.
    pub fn malicious_clients(&self, clients: usize) -> usize {
        (self.fraction * clients as f64).round() as usize
    }

    /// The most malicious updates that one round can hold.
    pub fn most_in_a_round(&self, clients: usize, per_round: usize) -> usize {
        let malicious = if self.fraction > 0.0 { self.malicious_clients(clients) } else { self.attackers };
        malicious.min(per_round)
    }

    /// The round after the last attack round.
    pub fn end(&self) -> usize {
        self.start + self.rounds
    }
}

/// How the malicious update is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttackKind {
    /// No attack.
    #[default]
    None,
    /// Training on poisoned data, nothing else.
    Baseline,
    /// Training on poisoned data away from the coordinates that honest clients move most (Neurotoxin).
    Neurotoxin,
    /// Model replacement: the baseline's update times `boost`.
    Boost,
    /// Training on poisoned data, projected into a ball after each step.
    Pgd,
}

/// What marks a poisoned image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The image is rotated by 90° (a semantic backdoor: nothing is painted in).
    #[default]
    Rotate,
    /// A white square in the lower right corner (BadNets).
    Patch,
    /// Nothing: the chosen images themselves get the wrong label.
    None,
}

/// Which set the poisoned images come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoisonFrom {
    /// The training set; the backdoor is measured on test images.
    #[default]
    Train,
    /// The test set, and measured on the same images, as CommEfficient does.
    Test,
}
