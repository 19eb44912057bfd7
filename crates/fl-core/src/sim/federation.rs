//! The data of a run, spread over clients.

use ashlar_data::{DataSpec, LabelledSet, Split, partition, partition::Partition};

use crate::{
    Error, Result,
    config::{DataTable, PartitionName, RunConfig},
};

/// Training examples with their owners, and what accuracies are measured on.
#[derive(Clone, Debug)]
pub struct Federation {
    /// All training examples.
    pub train: LabelledSet,
    /// The test examples without those for validation.
    pub test: LabelledSet,
    /// What settings are chosen on.
    pub validation: Option<LabelledSet>,
    /// Examples of each client, as indices into `train`.
    pub parts: Vec<Vec<u32>>,
}

impl Federation {
    /// Loads the set that `[data]` names and spreads it.
    ///
    /// # Errors
    /// As the data set's, and a partition that the set can't give.
    pub fn load(config: &RunConfig) -> Result<Self> {
        Self::new(ashlar_data::load(&config.data.spec())?, config)
    }

    /// Spreads a set that is in memory.
    ///
    /// # Errors
    /// More validation examples than the test set has, and a partition that the set can't give.
    pub fn new(split: Split, config: &RunConfig) -> Result<Self> {
        let table = &config.data;
        let Split { train, test, validation } = split;
        let (test, validation) = match table.validation {
            0 => (test, validation),
            n if n < test.len() => {
                // Spread evenly, so that an order in the file (MNIST's easier half comes first) falls on both alike.
                let chosen = |i: usize| (i + 1) * n / test.len() > i * n / test.len();
                let (chosen, rest): (Vec<u32>, Vec<u32>) = (0..test.len() as u32).partition(|&i| chosen(i as usize));
                (test.subset(&rest), Some(test.subset(&chosen)))
            }
            n => {
                let expected = format!("fewer than the {} test examples", test.len());
                return Err(Error::setting("data.validation", n, expected));
            }
        };
        let seed = table.seed.unwrap_or(config.seed);
        let parts = partition::split(train.labels(), train.groups(), table.clients, &table.partition(), seed)?;
        Ok(Self { train, test, validation, parts })
    }
}

impl DataTable {
    /// The set to load.
    pub fn spec(&self) -> DataSpec {
        DataSpec {
            name: self.name.clone(),
            path: self.path.clone(),
            seed: self.seed.unwrap_or(0),
            train: self.train,
            test: self.test,
            standardise: self.standardise,
            size: self.size,
            fit: self.fit,
            grey: self.grey,
            groups: self.groups,
            header: self.header,
            label: self.label.clone(),
            group: self.group.clone(),
            ..DataSpec::default()
        }
    }

    fn partition(&self) -> Partition {
        match self.partition {
            PartitionName::Iid => Partition::Iid,
            PartitionName::ByClass => Partition::ByClass { classes_per_client: 1 },
            PartitionName::Dirichlet => Partition::Dirichlet { alpha: self.alpha },
            PartitionName::DirichletClient => Partition::DirichletClient { alpha: self.alpha },
            PartitionName::Natural => Partition::Natural,
        }
    }
}
