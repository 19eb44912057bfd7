//! From file, `--set` and flags to a checked [`RunConfig`].

use ashlar_cli::{DeviceArg, Failure, RunArgs, config};
use clap::Args;
use toml::{Table, Value};

use crate::{Error, config::RunConfig};

/// Flags that stand for keys of `[server]`, `[data]`, `[client]` and `[dist]`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Settings over the file's")]
pub struct TrainFlags {
    /// Algorithm: uncompressed, true-topk, local-topk, fedavg, sketch or sparsefed.
    #[arg(long, value_name = "MODE")]
    pub mode: Option<String>,
    /// Rounds.
    #[arg(long, value_name = "T")]
    pub rounds: Option<u32>,
    /// Clients.
    #[arg(long, value_name = "N")]
    pub clients: Option<u32>,
    /// Clients in a round.
    #[arg(long, value_name = "W")]
    pub per_round: Option<u32>,
    /// Coordinates kept.
    #[arg(long, value_name = "K")]
    pub k: Option<u32>,
    /// Rows of the sketch.
    #[arg(long, value_name = "R")]
    pub rows: Option<u32>,
    /// Columns of the sketch.
    #[arg(long, value_name = "C")]
    pub cols: Option<u32>,
    /// Learning rate: the server's, or with local training the clients'.
    #[arg(long, value_name = "X")]
    pub lr: Option<f64>,
    /// Server momentum.
    #[arg(long, value_name = "R")]
    pub momentum: Option<f64>,
    /// FetchSGD's variant: code or paper.
    #[arg(long, value_name = "VARIANT")]
    pub variant: Option<String>,
    /// Hash family of the sketch: fmix64, poly61 or csvec.
    #[arg(long, value_name = "HASH")]
    pub hash: Option<String>,
    /// What carries sums between processes; this binary has `local`.
    #[arg(long, value_name = "COLLECTIVE")]
    pub collective: Option<String>,
    /// Sum updates in fixed point, for the same bits whatever the order.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub exact: Option<bool>,
    /// Sketch each client's update rather than their sum (slower; with exact sums and no weight decay the same bits).
    #[arg(long)]
    pub sketch_per_client: bool,
}

impl TrainFlags {
    /// Lays the flags over a table.
    fn apply(&self, table: &mut Table) -> Result<(), Failure> {
        if let Some(collective) = &self.collective
            && collective != "local"
        {
            return Err(Failure::usage(format!("--collective {collective}: this binary has `local` only"))
                .help("valid: local (threads of one process)"));
        }
        let integer = |value: Option<u32>| value.map(|value| Value::Integer(i64::from(value)));
        let text = |value: &Option<String>| value.clone().map(Value::String);
        for (key, value) in [
            ("server.mode", text(&self.mode)),
            ("server.rounds", integer(self.rounds)),
            ("data.clients", integer(self.clients)),
            ("server.per_round", integer(self.per_round)),
            ("server.k", integer(self.k)),
            ("server.rows", integer(self.rows)),
            ("server.cols", integer(self.cols)),
            ("server.momentum", self.momentum.map(Value::Float)),
            ("server.variant", text(&self.variant)),
            ("server.hash", text(&self.hash)),
            ("dist.exact", self.exact.map(Value::Boolean)),
            ("server.sketch_per_client", self.sketch_per_client.then_some(Value::Boolean(true))),
        ] {
            if let Some(value) = value {
                set(table, key, value)?;
            }
        }
        Ok(())
    }
}

/// Sets `a.b` in a table.
pub fn set(table: &mut Table, key: &str, value: Value) -> Result<(), Failure> {
    config::apply_set(table, &format!("{key}={value}"))
}

/// File, sets, flags and seed as one checked configuration.
pub fn load(
    run: &RunArgs,
    flags: &TrainFlags,
    more: impl FnOnce(&mut Table) -> Result<(), Failure>,
) -> Result<RunConfig, Failure> {
    check_device(run.device)?;
    let (mut table, source) = config::read(run.config.as_deref(), &run.sets)?;
    flags.apply(&mut table)?;
    more(&mut table)?;
    if let Some(seed) = run.seed {
        let seed = i64::try_from(seed).map_err(|_| Failure::usage(format!("--seed {seed} is above 2^63 - 1")))?;
        table.insert("seed".to_owned(), Value::Integer(seed));
    }
    let mut config: RunConfig = config::from_table(&table, Some(&source))?;
    if let Some(lr) = flags.lr {
        if config.local_training() { config.client.lr = Some(lr) } else { config.server.lr = Some(lr) }
    }
    check(&config, Some(&source))?;
    Ok(config)
}

/// Every problem of a configuration, each at its place in `source`.
pub fn check(config: &RunConfig, source: Option<&config::Source>) -> Result<(), Failure> {
    let failures = config.problems().into_iter().map(|problem| {
        let field = match &problem {
            Error::Setting { field, .. } => *field,
            Error::Conflict { first, .. } => *first,
            _ => "",
        };
        match source.filter(|source| !source.text.is_empty() && !field.is_empty()) {
            Some(source) => source.invalid(&field.split('.').collect::<Vec<_>>(), problem.to_string()),
            None => Failure::usage(problem.to_string())
                .at(&field.split('.').filter(|key| !key.is_empty()).collect::<Vec<_>>()),
        }
    });
    Failure::all(failures).map_or(Ok(()), Err)
}

/// The simulator computes on the CPU.
pub fn check_device(device: DeviceArg) -> Result<(), Failure> {
    match device {
        DeviceArg::Auto | DeviceArg::Cpu => Ok(()),
        DeviceArg::Cuda(_) => {
            Err(Failure::usage(format!("--device {device}: the federated simulator computes on the CPU"))
                .help("leave --device out, or say cpu"))
        }
    }
}
