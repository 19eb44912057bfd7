//! One round.

use std::time::Instant;

use ashlar_models::Weights;
use rayon::prelude::*;

use crate::{
    Aggregate, Error, Lr, Mode, Result, RoundReport, Update, Values,
    bytes::{Bytes, Upload},
    client::{Hook, Learner, LocalSgd, Pool},
    config::RunConfig,
    exact::{Divisor, Reduction, reduce},
    fetchsgd::reduce_sketched,
    local_topk::{ClientState, Compressor},
    sparsefed::clip_l2,
    true_topk::mask_client_velocity,
};

use super::{Draw, Record, Sampler, Simulation, accuracy, hash_weights};

/// What all clients of a round share.
struct Bench<'a> {
    config: &'a RunConfig,
    learner: Learner<'a>,
    w: &'a [f32],
    bound: Option<Weights>,
    how: Option<LocalSgd>,
    pool: &'a Pool,
    compressor: Option<&'a Compressor>,
    velocity: Option<f32>,
}

/// What one client came back with.
struct Answer {
    draw: Draw,
    state: ClientState,
    update: Result<Update>,
    loss: f64,
}

impl Simulation {
    /// Runs one round.
    ///
    /// # Errors
    /// Too few usable updates, weights that are no longer finite, whatever the server reports. Afterwards the
    /// simulation can't go on.
    pub fn step(&mut self) -> Result<Record> {
        let start = Instant::now();
        let mut record = Record { round: self.round, ..Record::default() };
        let factor = self.config.server.factor(self.round);
        let (client_lr, server_lr) = self.rates(factor);
        record.lr = client_lr.unwrap_or(server_lr);

        let draws = self.draw();
        let participants: Vec<u32> = draws.iter().map(|draw| draw.client).collect();
        let down = self.accountant.download(self.round as u32, &participants)?;
        (record.bytes_down_paper, record.bytes_down_wire) = (down.paper, down.wire);
        let (malicious, honest) = self.part(draws);
        let answers = self.work(honest, client_lr)?;
        record.train_loss = mean_loss(&answers);
        let expected = participants.len();
        let mut updates = self.collect(answers);
        if !malicious.is_empty() {
            record.attackers = malicious.len();
            let poisoned = self.poison(&malicious, &updates, factor, &mut record)?;
            updates.extend(poisoned);
        }
        record.clip_fraction = self.clip(&mut updates, factor);

        record.dropped_nonfinite = expected - updates.len();
        let aggregate = match self.aggregate(&updates) {
            // Fewer than the rule needs, because some can't be used: the round goes by without a step.
            Err(Error::TooFewUpdates { method, found, .. }) => {
                record.dropped_nonfinite += updates.len() - found;
                record.skipped = true;
                tracing::warn!(round = self.round, found, "too few usable updates for {method}: no step");
                None
            }
            aggregate => Some(aggregate?),
        };
        record.dropped_nonfinite += aggregate.as_ref().map_or(0, |aggregate| aggregate.dropped_nonfinite);
        self.check_dropped(record.dropped_nonfinite, expected)?;
        self.before.clone_from(&self.w);
        let report = match aggregate {
            Some(aggregate) => self.serve(aggregate, server_lr)?,
            None => RoundReport::default(),
        };
        if !self.w.iter().all(|w| w.is_finite()) {
            return Err(Error::Diverged { what: "a weight" });
        }
        if self.states.velocity().is_some()
            && let Some(delta) = &report.delta
        {
            for client in &participants {
                let mut state = self.states.take(*client);
                mask_client_velocity(&mut state.velocity, delta)?;
                self.states.put(*client, state);
            }
        }
        self.accountant.weights_changed(self.round as u32, &self.before, &self.w)?;
        self.count_uploads(&mut record, &participants, &updates);
        self.spare.extend(updates.into_iter().filter_map(|update| match update.values {
            Values::Dense(values) if values.len() == self.w.len() => Some(values),
            _ => None,
        }));

        record.masked_fraction = report.masked_fraction;
        record.update_nnz = report.update_nnz;
        (record.v_norm, record.e_norm) = (report.v_norm, report.e_norm);
        record.certificate_l1 = report.certificate.map(|certificate| certificate.l1);
        record.certificate_gain = report.certificate.map(|certificate| certificate.gain);
        record.w_hash = format!("{:016x}", hash_weights(&self.w));
        self.dropped += record.dropped_nonfinite;
        self.skipped += usize::from(record.skipped);
        self.round += 1;
        self.evaluate(&mut record)?;
        record.wall_s = start.elapsed().as_secs_f64();
        self.last = record.clone();
        Ok(record)
    }

    /// The server's step.
    fn serve(&mut self, mut aggregate: Aggregate, lr: f64) -> Result<RoundReport> {
        if !self.config.local_training() && !self.config.client.wd_div_w {
            aggregate.add_weight_decay(self.config.client.weight_decay as f32, &self.w)?;
        }
        self.server.step(&aggregate, Lr::Scalar(lr as f32), &mut self.w)
    }

    /// Malicious and honest clients of a round.
    fn part(&self, draws: Vec<Draw>) -> (Vec<Draw>, Vec<Draw>) {
        let malicious = self.malicious(&draws);
        let (bad, good): (Vec<_>, Vec<_>) =
            draws.into_iter().enumerate().partition(|(place, _)| malicious.binary_search(place).is_ok());
        let without_places = |draws: Vec<(usize, Draw)>| draws.into_iter().map(|(_, draw)| draw).collect();
        (without_places(bad), without_places(good))
    }

    /// Counts what the round's clients sent: all that took part, whether or not their update could be used.
    fn count_uploads(&mut self, record: &mut Record, participants: &[u32], updates: &[Update]) {
        let (d, server) = (self.w.len(), &self.config.server);
        let common = match server.mode {
            Mode::Sketch => Upload::Table {
                cells: server.rows as usize * server.cols.unwrap_or(0) as usize,
                fixed: self.config.dist.exact,
            },
            _ => Upload::Dense { d },
        };
        let mut sum = Bytes::default();
        if server.mode == Mode::LocalTopk {
            for update in updates {
                if let Values::Sparse(sparse) = &update.values {
                    sum += self.accountant.upload(Upload::Sparse(sparse));
                }
            }
        } else {
            for _ in participants {
                sum += self.accountant.upload(common);
            }
        }
        (record.bytes_up_paper, record.bytes_up_wire) = (sum.paper, sum.wire);
    }

    /// Learning rates of a round: the clients', with local training, and the server's.
    fn rates(&self, factor: f64) -> (Option<f64>, f64) {
        let server = self.config.server.lr.unwrap_or(1.0);
        if self.config.local_training() {
            (self.config.client.lr.map(|lr| lr * factor), server)
        } else {
            (None, server * factor)
        }
    }

    fn draw(&mut self) -> Vec<Draw> {
        match &mut self.sampler {
            Sampler::Uniform(sampler) => {
                let clients = sampler.round(self.round as u64);
                clients.into_iter().map(|client| self.examples(client)).collect()
            }
            Sampler::EpochExhaust(sampler) => {
                let draws = sampler.next_round();
                draws.into_iter().map(|draw| Draw { client: draw.client, examples: draw.examples }).collect()
            }
        }
    }

    /// The examples that a client uses this round: all with local training, else one batch.
    fn examples(&self, client: u32) -> Draw {
        let all = &self.data.parts[client as usize];
        let batch = self.config.client.batch;
        if self.config.local_training() || batch == 0 || batch >= all.len() {
            return Draw { client, examples: all.clone() };
        }
        let path = ["fl", "client", &self.round.to_string(), &client.to_string()];
        let mut rng = ashlar_kernels::rng::stream(self.config.seed, &path);
        let mut places = rand::seq::index::sample(&mut rng, all.len(), batch).into_vec();
        places.sort_unstable();
        Draw { client, examples: places.into_iter().map(|place| all[place]).collect() }
    }

    /// Lets every client do its work, on all threads.
    fn work(&mut self, draws: Vec<Draw>, client_lr: Option<f64>) -> Result<Vec<Answer>> {
        let d = self.w.len();
        let jobs: Vec<(Draw, ClientState, Vec<f32>)> = draws
            .into_iter()
            .map(|draw| {
                let state = self.states.take(draw.client);
                (draw, state, self.spare.pop().unwrap_or_else(|| vec![0.0; d]))
            })
            .collect();
        let bench = Bench {
            config: &self.config,
            learner: Learner { model: &self.model, set: &self.data.train },
            w: &self.w,
            bound: if client_lr.is_none() { Some(self.model.bind(&self.w)?) } else { None },
            how: client_lr.map(|lr| LocalSgd::new(&self.config.client, lr)),
            pool: &self.pool,
            compressor: self.states.compressor(),
            velocity: self.states.velocity(),
        };
        Ok(jobs.into_par_iter().with_max_len(1).map(|(draw, state, values)| bench.run(draw, state, values)).collect())
    }

    /// Takes the updates that arrived, and puts the clients' memories back.
    fn collect(&mut self, answers: Vec<Answer>) -> Vec<Update> {
        let mut updates = Vec::with_capacity(answers.len());
        for Answer { draw, state, update, .. } in answers {
            self.states.put(draw.client, state);
            let arrived = match update {
                Ok(update) => match &self.tamper {
                    Some(tamper) => tamper(self.round, update),
                    None => Some(update),
                },
                Err(error) => {
                    tracing::warn!(round = self.round, client = draw.client, %error, "a client failed");
                    None
                }
            };
            match arrived {
                Some(update) if update.values.len() == self.w.len() => updates.push(update),
                Some(update) => tracing::warn!(
                    round = self.round,
                    client = draw.client,
                    found = update.values.len(),
                    expected = self.w.len(),
                    "dropping an update of a wrong length"
                ),
                None => {}
            }
        }
        updates
    }

    /// The server's bound on each update; the share that it shortened.
    fn clip(&self, updates: &mut [Update], factor: f64) -> Option<f64> {
        let bound = self.config.clip_bound(self.config.clip.l2?, factor);
        let clipped: usize = updates
            .par_iter_mut()
            .map(|update| {
                // The bound is on a client's mean; local top-k's values carry n_i.
                let bound = bound * update.weight / update.scale;
                usize::from(match &mut update.values {
                    Values::Dense(values) => clip_l2(values, bound),
                    Values::Sparse(sparse) => clip_l2(sparse.val_mut(), bound),
                })
            })
            .sum();
        Some(clipped as f64 / updates.len().max(1) as f64)
    }

    fn aggregate(&self, updates: &[Update]) -> Result<Aggregate> {
        let d = self.w.len();
        let slots = self.config.server.per_round;
        let how = Reduction {
            exact: self.config.dist.exact,
            divisor: match self.config.server.mode {
                Mode::SparseFed => Divisor::Slots(slots),
                _ => Divisor::Weights,
            },
            max_drop: usize::MAX,
        };
        if let Some(defence) = &self.defence {
            return crate::aggregate::aggregate(defence.as_ref(), updates, self.config.defence.f, self.round as u64);
        }
        if let Some(sketch) = &self.sketch_each {
            let most = Some(self.config.client.max_grad_norm as f32).filter(|most| *most > 0.0);
            return reduce_sketched(updates, sketch, &how, most);
        }
        reduce(updates, d, &how)
    }

    fn check_dropped(&self, dropped: usize, clients: usize) -> Result<()> {
        let max_drop = (self.config.server.max_drop * clients as f64) as usize;
        if dropped > max_drop { Err(Error::TooManyDropped { dropped, clients, max_drop }) } else { Ok(()) }
    }

    /// Accuracies after the round, where they are due.
    fn evaluate(&mut self, record: &mut Record) -> Result<()> {
        let (done, server, attack) = (self.round, &self.config.server, &self.config.attack);
        let attack_ends = attack.is_on() && done == attack.end();
        let due = done.is_multiple_of(server.eval_every) || done == server.rounds || attack_ends;
        let watched = attack.is_on() && done > attack.start && done <= attack.end() + attack.horizon;
        if !due && !watched {
            return Ok(());
        }
        let w = self.model.bind(&self.w)?;
        if due {
            record.test_acc = Some(accuracy(&self.model, &w, &self.data.test)?);
            if let Some(validation) = &self.data.validation {
                record.val_acc = Some(accuracy(&self.model, &w, validation)?);
            }
        }
        if attack_ends {
            self.acc_at_end = record.test_acc;
        }
        if let Some(backdoor) = self.backdoor.as_ref().filter(|_| watched) {
            let found = accuracy(&self.model, &w, &backdoor.test)?;
            record.backdoor_acc = Some(found);
            self.attack_log.curve.push((record.round as u32, found));
        }
        Ok(())
    }
}

impl Bench<'_> {
    /// One client's round.
    fn run(&self, draw: Draw, mut state: ClientState, mut values: Vec<f32>) -> Answer {
        let work = self.pool.with(|scratch| match (&self.bound, &self.how) {
            (Some(bound), _) => self.learner.gradient(bound, &draw.examples, &mut values, scratch),
            (None, Some(how)) => {
                self.learner.train(self.w, &draw.examples, how, &Hook::default(), &mut values, scratch)
            }
            (None, None) => Err(Error::setting("client.lr", "absent", "the learning rate of local SGD")),
        });
        let loss = work.as_ref().map_or(f64::NAN, |loss| f64::from(*loss));
        let update = work.and_then(|_| self.finish(&draw, &mut state, values));
        Answer { draw, state, update, loss }
    }

    /// Turns a client's vector into what it sends.
    fn finish(&self, draw: &Draw, state: &mut ClientState, mut values: Vec<f32>) -> Result<Update> {
        let table = &self.config.client;
        if self.how.is_some() {
            return Ok(self.config.as_update(draw, values));
        }
        if self.config.server.mode != Mode::Sketch && table.max_grad_norm > 0.0 {
            clip_l2(&mut values, table.max_grad_norm);
        }
        if table.wd_div_w && table.weight_decay != 0.0 {
            let decay = (table.weight_decay / self.config.server.per_round as f64) as f32;
            values.iter_mut().zip(self.w).for_each(|(g, w)| *g += decay * w);
        }
        let n = draw.examples.len() as u64;
        if let Some(compressor) = self.compressor {
            return compressor.compress(state, draw.client, n, &values);
        }
        if let Some(momentum) = self.velocity {
            // v_i carries n_i already.
            state.velocity.iter_mut().zip(&values).for_each(|(v, g)| *v = momentum * *v + n as f32 * g);
            // What is sent is a mean like everybody's, so that the bound and the rules see one; the sum multiplies n_i in.
            values.iter_mut().zip(&state.velocity).for_each(|(value, v)| *value = v / n as f32);
        }
        Ok(self.config.as_update(draw, values))
    }
}

impl RunConfig {
    /// A dense vector as a client's update in this mode.
    pub(super) fn as_update(&self, draw: &Draw, values: Vec<f32>) -> Update {
        let (client, n) = (draw.client, draw.examples.len() as u64);
        let update =
            if self.local_training() { Update::delta(client, n, values) } else { Update::gradient(client, n, values) };
        if self.server.mode == Mode::SparseFed { update.unweighted() } else { update }
    }
}

/// Mean loss over examples, in client order.
fn mean_loss(answers: &[Answer]) -> Option<f64> {
    let (mut loss, mut examples) = (0.0, 0.0);
    for answer in answers.iter().filter(|answer| answer.loss.is_finite()) {
        let n = answer.draw.examples.len() as f64;
        loss += n * answer.loss;
        examples += n;
    }
    (examples > 0.0).then(|| loss / examples)
}
