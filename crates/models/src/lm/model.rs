//! A model: its specification and its weights.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Device, Tensor, Var};

use super::{
    adapter::{Adapter, Lora},
    block::{Block, Norm, get},
    config::ModelSpec,
    executor::{self, ExpertExecutor},
    load::{self, Params},
    names,
    ops::Ops,
};
use crate::Result;

/// A decoder-only transformer.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) spec: ModelSpec,
    pub(super) ops: Ops,
    params: Params,
    /// The folder it was loaded from, whose tokenizer goes along when it is saved.
    pub(super) source: Option<PathBuf>,
    pub(super) vars: BTreeMap<String, Var>,
    pub(super) adapters: Vec<Arc<Adapter>>,
    pub(super) head_lora: Vec<Lora>,
    pub(super) table_lora: Vec<Lora>,
    /// What a merged model was before.
    pub(super) unmerged: Option<Arc<Model>>,
    pub(super) embedding: Tensor,
    pub(super) positions: Option<Tensor>,
    pub(super) blocks: Vec<Block>,
    pub(super) final_norm: Norm,
    pub(super) head: Option<Tensor>,
    pub(super) executor: Option<executor::Shared>,
}

impl Model {
    /// Loads a checkpoint folder in the format of Hugging Face.
    ///
    /// # Errors
    /// Where a file is missing or the tensors don't fit `config.json`; all misfits are listed at once.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let mut spec = load::read_config(folder)?;
        let params = load::read_params(folder, &mut spec, dtype, device)?;
        Ok(Self { source: Some(folder.to_owned()), ..Self::from_params(spec, params)? })
    }

    /// A model of these parameters, which must be those of [`parameters`](names::parameters).
    ///
    /// # Errors
    /// Where one is missing.
    pub fn from_params(spec: ModelSpec, params: Params) -> Result<Self> {
        let embedding = get(&params, names::embedding(spec.family))?;
        let final_norm = if spec.learned_pos { "transformer.ln_f" } else { "model.norm" };
        Ok(Self {
            positions: if spec.learned_pos { Some(get(&params, "transformer.wpe.weight")?) } else { None },
            blocks: (0..spec.n_layers).map(|l| Block::new(&params, &spec, l)).collect::<Result<_>>()?,
            final_norm: Norm::new(&params, final_norm, spec.norm)?,
            head: if spec.tied { None } else { Some(get(&params, "lm_head.weight")?) },
            ops: Ops::default(),
            executor: None,
            embedding,
            spec,
            params,
            source: None,
            vars: BTreeMap::new(),
            adapters: Vec::new(),
            head_lora: Vec::new(),
            table_lora: Vec::new(),
            unmerged: None,
        })
    }

    /// What it is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The same model with every parameter trainable whose name the filter accepts; their values are copied.
    ///
    /// Without this nothing is: a forward pass then records no graph. The filter sees the last adapter's names too.
    ///
    /// # Errors
    /// Where candle can't copy.
    pub fn trainable(&self, filter: impl Fn(&str) -> bool) -> Result<Self> {
        let mut params = self.params.clone();
        let mut vars = BTreeMap::new();
        for (name, tensor) in &mut params {
            if filter(name) {
                let var = Var::from_tensor(&tensor.copy()?)?;
                *tensor = var.as_tensor().clone();
                vars.insert(name.clone(), var);
            }
        }
        self.rebuilt(params, &self.adapters)?.with_trainable_adapter(vars, filter)
    }

    /// The same model with nothing trainable: it reads the same storage, so it sees every change of the variables, and its
    /// passes record no graph.
    ///
    /// # Errors
    /// Where a parameter is missing.
    pub fn frozen(&self) -> Result<Self> {
        let params = self.params.iter().map(|(name, tensor)| (name.clone(), tensor.detach())).collect();
        let mut model = self.rebuilt(params, &self.adapters)?;
        if !self.vars.is_empty() {
            // Norms computed now would not see those changes.
            for linear in model.linears_mut() {
                linear.lora.iter_mut().for_each(Lora::forget_norms);
            }
            model.head_lora.iter_mut().for_each(Lora::forget_norms);
        }
        Ok(model)
    }

    /// The trainable parameters.
    pub fn vars(&self) -> &BTreeMap<String, Var> {
        &self.vars
    }

    /// Chooses the implementation of the operations.
    #[must_use]
    pub fn with_ops(mut self, ops: Ops) -> Self {
        self.ops = ops;
        self
    }

    /// Lets something else run the experts of the sparse layers.
    #[must_use]
    pub fn with_executor(mut self, executor: Arc<dyn ExpertExecutor>) -> Self {
        self.executor = Some(executor::Shared(executor));
        self
    }

    /// Every projection of every block, in the order of [`parameters`](names::parameters).
    pub(super) fn linears_mut(&mut self) -> Vec<&mut super::block::Linear> {
        self.blocks.iter_mut().flat_map(Block::linears_mut).collect()
    }

    /// Parameters by their names in the checkpoint, matrices [out, in].
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// dtype of the weights.
    pub fn dtype(&self) -> DType {
        self.embedding.dtype()
    }
}
