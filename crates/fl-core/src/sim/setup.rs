//! Builds a simulation from its settings.

use ashlar_data::sampler::{self, EpochExhaust, Uniform};
use ashlar_models::VisionModel;

use crate::{
    Error, Mode, Result, ServerSpec,
    aggregate::{self, Aggregator},
    bytes::Accountant,
    certify,
    client::Pool,
    config::{AttackTable, DefenceName, LocalError, Optimizer, RunConfig, Sampling},
    optim::Rule,
};

use super::{Backdoor, Federation, Record, Sampler, Simulation, poison::AttackLog, state::ClientStates};

impl Simulation {
    /// Builds model, server and memory; fills in what the settings leave open.
    ///
    /// # Errors
    /// Settings that can't work with this data and model.
    pub fn new(mut config: RunConfig, data: Federation) -> Result<Self> {
        config.validate()?;
        let classes = data.train.classes().len();
        let cpu = candle_core::Device::Cpu;
        let model = VisionModel::new(&config.model, data.train.shape(), classes, &cpu, config.seed)?;
        let d = model.num_params();
        config.resolve(d, classes)?;
        let w = match &config.server.init {
            None => model.init_flat(),
            Some(path) => super::save::read_weights(path, &model)?,
        };
        let sampler = sampler(&config, &data)?;
        if config.server.mode == Mode::LocalTopk
            && config.client.error != LocalError::None
            && config.server.momentum > 0.0
        {
            tracing::warn!(
                "CommEfficient refuses server.momentum > 0 beside error feedback at the clients; here it runs as asked \
                 (set server.momentum = 0 or client.error = \"none\" for parity)"
            );
        }
        let spec = server_spec(&config, d)?;
        let server = spec.build()?;
        let clips_sketches = config.client.max_grad_norm > 0.0;
        let sketch_each = (config.server.mode == Mode::Sketch && (config.server.sketch_per_client || clips_sketches))
            .then(|| spec.sketch_config());
        let attack = Some(&config.attack).filter(|attack| attack.is_on());
        warn_of_more_attackers_than_f(&config);
        let backdoor = attack.map(|attack| Backdoor::new(attack, &data.train, &data.test, config.seed)).transpose()?;
        Ok(Self {
            sampler,
            server,
            defence: defence(&config)?,
            accountant: match config.server.init {
                None => Accountant::new(d, config.data.clients),
                Some(_) => Accountant::new(d, config.data.clients).without_seed(),
            },
            states: ClientStates::new(&config, d)?,
            round: 0,
            sketch_each,
            backdoor,
            attack_log: AttackLog::default(),
            acc_at_end: None,
            before: w.clone(),
            w,
            dropped: 0,
            skipped: 0,
            pool: Pool::default(),
            spare: Vec::new(),
            tamper: None,
            last: Record::default(),
            config,
            data,
            model,
        })
    }
}

/// A rule is only made for f liars.
fn warn_of_more_attackers_than_f(config: &RunConfig) {
    let (attack, defence) = (&config.attack, &config.defence);
    let most = attack.most_in_a_round(config.data.clients, config.server.per_round);
    let counts = defence.name.replaces_the_mean() && !matches!(defence.name, DefenceName::WeakDp | DefenceName::Median);
    if attack.is_on() && counts && defence.f < most {
        tracing::warn!(
            "defence.f = {} is below the {most} attackers that a round can hold: {} withstands f of them",
            defence.f,
            defence.name.name()
        );
    }
}

fn sampler(config: &RunConfig, data: &Federation) -> Result<Sampler> {
    let eligible = sampler::eligible(&data.parts);
    let per_round = config.server.per_round;
    if per_round > eligible.len() {
        let expected = format!("at most the {} clients that hold examples", eligible.len());
        return Err(Error::setting("server.per_round", per_round, expected));
    }
    Ok(match config.data.sampling {
        Sampling::Uniform => Sampler::Uniform(Uniform::new(eligible, per_round, config.seed)?),
        Sampling::EpochExhaust => {
            // With local training `batch` is that of a local step, and a client brings all its examples.
            let batch = Some(config.client.batch).filter(|&batch| batch > 0 && !config.local_training());
            Sampler::EpochExhaust(EpochExhaust::new(data.parts.clone(), per_round, batch, config.seed)?)
        }
    })
}

fn server_spec(config: &RunConfig, d: usize) -> Result<ServerSpec> {
    let server = &config.server;
    let defaults = ServerSpec::new(server.mode, d);
    Ok(ServerSpec {
        k: server.k.unwrap_or(defaults.k),
        momentum: server.momentum as f32,
        rows: server.rows,
        cols: server.cols.unwrap_or(defaults.cols),
        hash: server.hash.family(),
        seed: config.seed,
        variant: server.variant,
        optimizer: optimizer(config),
        certify_radius: certify_radius(config)?,
        ..defaults
    })
}

fn optimizer(config: &RunConfig) -> Option<Rule> {
    let server = &config.server;
    let (beta2, tau) = (server.beta2 as f32, server.tau as f32);
    let beta1 = |default: f64| server.beta1.unwrap_or(default) as f32;
    match server.optimizer {
        Optimizer::Momentum => None,
        Optimizer::Adagrad => Some(Rule::FedAdagrad { beta1: beta1(0.0), tau }),
        Optimizer::Adam => {
            Some(Rule::FedAdam { beta1: beta1(0.9), beta2, tau, bias_correction: server.bias_correction })
        }
        Optimizer::Yogi => Some(Rule::FedYogi { beta1: beta1(0.9), beta2, tau }),
    }
}

/// R of the one-round certificate: for `server.certify` malicious clients, or as many of the attack's as a round can
/// hold. The proof is about the mean of clipped updates: another rule has no certificate.
fn certify_radius(config: &RunConfig) -> Result<Option<f64>> {
    let (Mode::SparseFed, Some(clip)) = (config.server.mode, config.clip.l2) else { return Ok(None) };
    if config.defence.name.replaces_the_mean() {
        return Ok(None);
    }
    let malicious = config.server.certify.or_else(|| {
        let attack: &AttackTable = &config.attack;
        attack.is_on().then(|| attack.most_in_a_round(config.data.clients, config.server.per_round))
    });
    let Some(malicious) = malicious else { return Ok(None) };
    let largest = (0..config.server.rounds).map(|round| config.server.factor(round)).fold(0.0, f64::max);
    let bound = config.clip_bound(clip, largest);
    Ok(Some(certify::poison_radius(malicious, bound, config.server.per_round, false)?))
}

/// The rule in place of the mean. Clipping alone is none: it happens before the exact sum.
fn defence(config: &RunConfig) -> Result<Option<Box<dyn Aggregator>>> {
    let table = &config.defence;
    if !table.name.replaces_the_mean() {
        return Ok(None);
    }
    let params = aggregate::Params { m: table.m, l2: config.clip.l2, sigma: Some(table.sigma), seed: config.seed };
    Ok(Some(aggregate::by_name(table.name.name(), &params)?))
}
