//! What the types can't refuse: ranges, and settings that exclude each other.

use ashlar_kernels::sketch::SketchConfig;

use crate::{Error, Mode, Result};

use super::{AttackKind, AttackTable, DefenceName, LocalError, Observe, Optimizer, RunConfig, Trigger};

impl RunConfig {
    /// Refuses settings that can't work, naming the first key.
    ///
    /// # Errors
    /// The first of [`problems`](Self::problems).
    pub fn validate(&self) -> Result<()> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// Everything that is wrong with the settings, as far as it shows without data and model.
    pub fn problems(&self) -> Vec<Error> {
        let mut found = Found(Vec::new());
        self.check_rounds(&mut found);
        self.check_client(&mut found);
        self.check_sketch(&mut found);
        self.check_defence(&mut found);
        self.check_attack(&mut found);
        found.0
    }

    /// Fills in what depends on the model: k, columns, learning rate.
    ///
    /// # Errors
    /// A k that the model's d parameters don't have, a source or target class that the set doesn't have.
    pub fn resolve(&mut self, d: usize, classes: usize) -> Result<()> {
        if self.keeps_k() {
            let k = *self.server.k.get_or_insert((d / 100).max(1));
            if k == 0 || k > d {
                return Err(Error::KeepCount { k: k as u64, d: d as u64 });
            }
            if self.server.mode == Mode::Sketch {
                let cols = *self.server.cols.get_or_insert(10 * k as u64);
                if cols < k as u64 {
                    tracing::warn!("server.cols = {cols} is below server.k = {k}: most kept coordinates share cells");
                }
            }
        }
        let lr = match self.server.optimizer {
            Optimizer::Momentum if self.local_training() => 1.0,
            Optimizer::Yogi => 0.01,
            Optimizer::Momentum | Optimizer::Adam | Optimizer::Adagrad => 0.1,
        };
        self.server.lr.get_or_insert(lr);
        if self.attack.is_on() {
            for (field, class) in [("attack.source", self.attack.source), ("attack.target", self.attack.target)] {
                if let Some(class) = class.filter(|&class| class as usize >= classes) {
                    let expected = format!("a class of the set, 0 to {}", classes.saturating_sub(1));
                    return Err(Error::setting(field, class, expected));
                }
            }
        }
        Ok(())
    }

    fn keeps_k(&self) -> bool {
        matches!(self.server.mode, Mode::TrueTopk | Mode::LocalTopk | Mode::Sketch | Mode::SparseFed)
    }

    fn check_rounds(&self, found: &mut Found) {
        let (data, server) = (&self.data, &self.server);
        found.at_least("data.clients", data.clients, 1);
        found.at_least("server.rounds", server.rounds, 1);
        found.at_least("server.per_round", server.per_round, 1);
        found.at_least("server.eval_every", server.eval_every, 1);
        if server.per_round > data.clients && data.clients > 0 {
            let expected = format!("at most data.clients = {}", data.clients);
            found.add("server.per_round", server.per_round, expected);
        }
        found.within("server.max_drop", server.max_drop, 0.0, 1.0, "a share of the round's updates in [0, 1]");
        found.positive("data.alpha", Some(data.alpha));
        found.positive("server.lr", server.lr);
        found.below_one("server.momentum", server.momentum);
        if let Err(error) = server.schedule.check() {
            found.add("server.schedule", error, "one of the schedules with its parameters");
        }
        if server.optimizer != Optimizer::Momentum && server.mode != Mode::FedAvg {
            found.conflict(
                "server.optimizer",
                "server.mode",
                "adaptive optimisers work on averaged weight changes: use mode fedavg",
            );
        }
        if let Some(beta1) = server.beta1 {
            found.below_one("server.beta1", beta1);
        }
        found.below_one("server.beta2", server.beta2);
        found.positive("server.tau", Some(server.tau));
    }

    fn check_client(&self, found: &mut Found) {
        let client = &self.client;
        found.at_least("client.epochs", client.epochs, 1);
        found.below_one("client.momentum", client.momentum);
        found.positive("client.lr", client.lr);
        found.positive("client.lr_decay", Some(client.lr_decay));
        for (field, value) in [
            ("client.weight_decay", client.weight_decay),
            ("client.prox_mu", client.prox_mu),
            ("client.max_grad_norm", client.max_grad_norm),
        ] {
            found.within(field, value, 0.0, f64::MAX, "0 or more");
        }
        let mode = self.server.mode;
        if self.local_training() {
            if client.lr.is_none() {
                found.add("client.lr", "absent", "the learning rate of local SGD, for instance 0.1");
            }
            if client.wd_div_w {
                found.conflict("client.wd_div_w", "server.mode", "local SGD decays weights in each of its steps");
            }
        } else {
            if client.epochs > 1 {
                found.conflict(
                    "client.epochs",
                    "server.mode",
                    "this mode sends one gradient a round: use fedavg or sparsefed",
                );
            }
            if client.lr.is_some() {
                found.conflict("client.lr", "server.mode", "this mode sends gradients; its learning rate is server.lr");
            }
            if client.prox_mu != 0.0 {
                found.conflict("client.prox_mu", "server.mode", "FedProx changes local training: use fedavg");
            }
            self.check_state(found);
        }
        if client.error != LocalError::Auto && mode != Mode::LocalTopk && client.error != LocalError::None {
            let why = match mode {
                Mode::Sketch => "a client's sketch can't carry its error forward: use local-topk",
                _ => "only local-topk keeps an error at the clients",
            };
            found.conflict("client.error", "server.mode", why);
        }
    }

    fn check_state(&self, found: &mut Found) {
        if self.client.momentum == 0.0 {
            return;
        }
        match self.server.mode {
            Mode::Sketch => found.conflict(
                "client.momentum",
                "server.mode",
                "a sketch can't hold a client's momentum: set client.momentum = 0 and use server.momentum",
            ),
            Mode::Uncompressed | Mode::SparseFed => found.conflict(
                "client.momentum",
                "server.mode",
                "the server carries the momentum in this mode: use server.momentum",
            ),
            _ => {}
        }
    }

    fn check_sketch(&self, found: &mut Found) {
        let server = &self.server;
        if server.k == Some(0) && self.keeps_k() {
            found.add("server.k", 0, "1 to d, the number of the model's parameters");
        }
        if server.mode == Mode::Sketch {
            if let Some(cols) = server.cols.filter(|cols| !(1..=SketchConfig::MAX_COLS).contains(cols)) {
                found.add("server.cols", cols, "at least 1 and at most 2^32");
            }
            if server.rows > SketchConfig::MAX_ROWS {
                found.add("server.rows", server.rows, "at most 64");
            }
            if server.rows == 0 || (server.rows.is_multiple_of(2) && server.hash != super::HashName::Csvec) {
                found.add("server.rows", server.rows, "an odd number, so that the median is one of the estimates");
            }
            if self.client.max_grad_norm > 0.0 && self.dist.exact {
                found.conflict(
                    "client.max_grad_norm",
                    "dist.exact",
                    "clipping a client's sketch scales its table, which fixed point can't do: set dist.exact = false",
                );
            }
        } else if server.sketch_per_client {
            found.conflict("server.sketch_per_client", "server.mode", "only mode sketch has sketches");
        }
    }

    fn check_defence(&self, found: &mut Found) {
        found.positive("clip.l2", self.clip.l2);
        let needs_clip = |found: &mut Found, who: &str| {
            if self.clip.l2.is_none() {
                found.add("clip.l2", "absent", format!("the bound that {who} needs, for instance 1.0"));
            }
        };
        if self.server.mode == Mode::SparseFed {
            needs_clip(found, "mode sparsefed");
        }
        let (defence, n) = (&self.defence, self.server.per_round);
        if self.server.certify.is_some() && defence.name.replaces_the_mean() {
            found.conflict(
                "server.certify",
                "defence.name",
                "the certificate is proved for the mean of clipped updates: use defence none or norm-clip",
            );
        }
        if defence.name.replaces_the_mean() && self.server.mode == Mode::LocalTopk {
            found.conflict(
                "defence.name",
                "server.mode",
                "a robust rule needs every client's whole update: use another mode",
            );
        }
        if defence.name.replaces_the_mean() && self.server.mode == Mode::Sketch {
            found.conflict(
                "defence.name",
                "server.mode",
                "a robust rule needs every client's whole update, and clients send sketches: use another mode",
            );
        }
        let needs = |times: usize, more: usize| defence.f.saturating_mul(times).saturating_add(more);
        let (method, needed) = match defence.name {
            DefenceName::None => return,
            DefenceName::NormClip => return needs_clip(found, "defence norm-clip"),
            DefenceName::WeakDp => {
                needs_clip(found, "defence weak-dp");
                return found.within("defence.sigma", defence.sigma, 0.0, f64::MAX, "0 or more");
            }
            DefenceName::Median => ("median", 1),
            DefenceName::TrimmedMean => ("trimmed-mean", needs(2, 1)),
            DefenceName::Krum => ("krum", needs(2, 3)),
            DefenceName::MultiKrum => ("multi-krum", needs(2, 3)),
            DefenceName::Bulyan => ("bulyan", needs(4, 3)),
        };
        if n < needed {
            found.0.push(Error::TooFewUpdates { method, f: defence.f, needed, found: n });
        }
        if defence.m.is_some_and(|m| m == 0 || m > n) {
            found.add("defence.m", defence.m.unwrap_or(0), format!("between 1 and server.per_round = {n}"));
        }
    }

    fn check_attack(&self, found: &mut Found) {
        let attack = &self.attack;
        if attack.name == AttackKind::None {
            return;
        }
        found.at_least("attack.rounds", attack.rounds, 1);
        if attack.rounds > 0 && attack.end() > self.server.rounds {
            let expected = format!("attack.start + attack.rounds at most server.rounds = {}", self.server.rounds);
            found.add("attack.start", format!("{} (+ {} rounds)", attack.start, attack.rounds), expected);
        }
        found.within("attack.fraction", attack.fraction, 0.0, 1.0, "a share of the clients in [0, 1]");
        if attack.fraction > 0.0 && attack.malicious_clients(self.data.clients) == 0 {
            let expected = format!("a share that makes at least one of data.clients = {}", self.data.clients);
            found.add("attack.fraction", attack.fraction, expected);
        }
        if attack.fraction == 0.0 {
            found.at_least("attack.attackers", attack.attackers, 1);
            if attack.attackers > self.server.per_round {
                let expected = format!("at most server.per_round = {}", self.server.per_round);
                found.add("attack.attackers", attack.attackers, expected);
            }
        }
        found.at_least("attack.epochs", attack.epochs.unwrap_or(1), 1);
        if attack.name == AttackKind::Neurotoxin && attack.observe == Observe::CleanGrad {
            found.at_least("attack.observe_clients", attack.observe_clients, 1);
        }
        found.positive("attack.lr", attack.lr);
        found.positive("attack.radius", attack.radius);
        found.positive("attack.scale_to", attack.scale_to);
        found.positive("attack.boost", attack.boost);
        found.positive("attack.loss_boost", Some(attack.loss_boost));
        found.within("attack.weight_decay", attack.weight_decay, 0.0, f64::MAX, "0 or more");
        found.within("attack.kappa", attack.kappa, 0.0, 1.0, "an accuracy in [0, 1]");
        if !(attack.poison_share > 0.0 && attack.poison_share <= 1.0) {
            found.add("attack.poison_share", attack.poison_share, "a share in (0, 1]");
        }
        found.below_one("attack.mask_top_fraction", attack.mask_top_fraction);
        if attack.trigger == Trigger::Patch && attack.patch == 0 {
            found.add("attack.patch", 0, "at least 1 pixel");
        }
        if attack.source.is_some() && attack.source == attack.target {
            found.add("attack.target", attack.target.unwrap_or(0), "another class than attack.source");
        }
        if !self.local_training() {
            for (field, set) in [
                ("attack.lr", attack.lr.is_some()),
                ("attack.epochs", attack.epochs.is_some()),
                ("attack.batch", attack.batch.is_some()),
                ("attack.weight_decay", attack.weight_decay != 0.0),
            ] {
                if set {
                    let why = "attackers send one gradient in this mode, like all clients: it needs local training";
                    found.conflict(field, "server.mode", why);
                }
            }
        }
        self.check_attack_bound(attack, found);
    }

    fn check_attack_bound(&self, attack: &AttackTable, found: &mut Found) {
        if attack.name == AttackKind::Pgd && attack.radius.is_none() && self.clip.l2.is_none() {
            found.add("attack.radius", "absent", "the ball of the PGD attack, or clip.l2");
        }
        if attack.scale_to_clip && self.clip.l2.is_none() {
            found.conflict("attack.scale_to_clip", "clip.l2", "there is no bound to scale up to: set clip.l2");
        }
        let observes = attack.name == AttackKind::Neurotoxin && attack.observe == Observe::GlobalDelta;
        if observes && attack.start == 0 {
            found.add("attack.start", 0, "at least 1: before round 1 there is no global step to observe");
        }
        if matches!(self.server.mode, Mode::LocalTopk) {
            found.conflict("attack.name", "server.mode", "attacks are not built for local-topk");
        }
    }
}

/// Collects problems.
struct Found(Vec<Error>);

impl Found {
    fn add(&mut self, field: &'static str, value: impl ToString, expected: impl Into<String>) {
        self.0.push(Error::setting(field, value, expected));
    }

    fn conflict(&mut self, first: &'static str, second: &'static str, why: &'static str) {
        self.0.push(Error::Conflict { first, second, why });
    }

    fn at_least(&mut self, field: &'static str, value: usize, least: usize) {
        if value < least {
            self.add(field, value, format!("at least {least}"));
        }
    }

    fn within(&mut self, field: &'static str, value: f64, low: f64, high: f64, expected: &str) {
        if !(value >= low && value <= high) {
            self.add(field, value, expected);
        }
    }

    fn below_one(&mut self, field: &'static str, value: f64) {
        if !(0.0..1.0).contains(&value) {
            self.add(field, value, "a number in [0, 1)");
        }
    }

    fn positive(&mut self, field: &'static str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| !(*value > 0.0 && value.is_finite())) {
            self.add(field, value, "a number above 0");
        }
    }
}
