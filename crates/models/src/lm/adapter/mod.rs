//! Low-rank adapters: LoRA, rsLoRA and DoRA, as PEFT computes and stores them.
//!
//! The effective weight of a projection W `[out, in]` is W + s B A with A `[r, in]`, B `[out, r]` and s = α/r (rsLoRA:
//! α/√r), or DoRA's diag(m / ‖W + s B A‖) (W + s B A) with norms of the rows. Sources: Hu et al. 2021, Kalajdzievski 2023,
//! Liu et al. 2024; names, patterns and layouts are those of PEFT 0.21.
//!
//! A model with adapters is a new value: the base weights are shared with the old one and never written, so that they
//! stay bit-identical. [`Model::merge`] makes a model of the summed weights, [`Model::unmerge`] returns to the exact ones.
//! Adapters are added in the order in which they were loaded; each DoRA norm is that of the base weight and its own change.
//!
//! Cost: a projection with a change of rank r costs r (in + out) more multiplications a token; DoRA in training also
//! forms B A in every pass, out · in · r.

mod config;
mod file;
mod lora;
mod site;
mod targets;
#[cfg(test)]
mod test;

use std::{collections::HashMap, sync::Arc};

use ashlar_kernels::rng::stream;
use candle_core::{DType, Tensor, Var};
use rand::Rng;
use rand_distr::StandardNormal;
use serde_json::Value;

pub use self::config::{AdapterSpec, InitA};
pub use self::lora::Dropout;
pub(super) use self::lora::{Lora, bias, project, weight};
pub use self::targets::Targets;
use self::{
    config::AdapterConfig,
    lora::Share,
    site::{Place, Site, linear_names, sites},
};
use super::{Family, Model, ModelSpec, load::Params, names};
use crate::{Error, Result};

/// One adapter of a model.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    config: AdapterConfig,
    sites: Vec<Site>,
    /// By PEFT's names.
    tensors: Params,
}

impl Adapter {
    fn get(&self, name: &str) -> Result<Tensor> {
        super::block::get(&self.tensors, name)
    }

    /// Its changes, with the name of the projection that each belongs to.
    fn changes(&self, spec: &ModelSpec, site: &Site) -> Result<Vec<(String, Lora)>> {
        let change = |share: Option<Share>| -> Result<Lora> {
            Ok(Lora {
                a: self.get(&site.a())?,
                b: self.get(&site.b())?,
                share,
                bias: if site.bias { Some(self.get(&site.b_bias())?) } else { None },
                magnitude: if site.dora { Some(self.get(&site.magnitude())?) } else { None },
                scale: site.scale,
                dropout: self.config.dropout,
                site: site.key.as_str().into(),
                norms: None,
            })
        };
        let (layer, gate_up) = match &site.place {
            Place::Linear(name) => return Ok(vec![(name.clone(), change(None)?)]),
            Place::Head => return Ok(vec![(HEAD.to_owned(), change(None)?)]),
            Place::Embedding => return Ok(vec![(TABLE.to_owned(), change(None)?)]),
            Place::Experts { layer, gate_up } => (*layer, *gate_up),
        };
        let moe = names::moe(spec.family);
        let ([gate, up, down], at) = (moe.expert, names::layer(spec.family, layer));
        let half = site.output / 2;
        let parts = if gate_up { vec![(gate, 0, half), (up, half, site.output)] } else { vec![(down, 0, site.output)] };
        let mut list = Vec::new();
        for expert in 0..site.experts {
            for &(name, from, to) in &parts {
                let share = Share { expert, experts: site.experts, from, to };
                list.push((format!("{at}{}.experts.{expert}.{name}", moe.block), change(Some(share))?));
            }
        }
        Ok(list)
    }
}

const HEAD: &str = "lm_head";
const TABLE: &str = "the token table";

impl Model {
    /// The same model with a fresh adapter, whose parameters are its variables under PEFT's names (`freeze_a`: all but A).
    ///
    /// B is 0, so the logits are the base model's. Each A has a random stream of its own, named after it. Base parameters
    /// that are variables stay so, earlier adapters don't.
    ///
    /// # Errors
    /// Where a setting is out of range, a target is tied to another table, or nothing matches: then with all names that
    /// could be meant.
    pub fn inject_lora(&self, spec: &AdapterSpec, seed: u64) -> Result<Self> {
        // JSON has no NaN: what isn't a number would read as absent.
        if !(0.0..1.0).contains(&spec.dropout) {
            let (found, expected) = (spec.dropout.to_string(), "at least 0 and below 1".to_owned());
            return Err(Error::Setting { name: "dropout", found, expected });
        }
        if !spec.alpha.is_finite() {
            let (found, expected) = (spec.alpha.to_string(), "a finite number".to_owned());
            return Err(Error::Setting { name: "alpha", found, expected });
        }
        let base = self.source.as_ref().map(|path| path.display().to_string());
        let mut json = spec.to_json(base.as_deref(), self.spec.family == Family::Gpt2);
        if spec.targets == Targets::AllLinear {
            // Spelt out, as PEFT saves it: on reading the word again it would add the experts of some families.
            json.insert("target_modules".to_owned(), linear_names(&self.spec).into());
        }
        let config = AdapterConfig::read(&Value::Object(json))?;
        let sites = sites(&self.spec, &config, false, |_| false)?;
        let mut tensors = Params::new();
        for site in &sites {
            if site.r > site.input.max(site.output) {
                let limit = site.input.max(site.output);
                let expected = format!("at most {limit}, the larger side of {}", site.key);
                return Err(Error::Setting { name: "r", found: site.r.to_string(), expected });
            }
            self.fresh(site, spec.init, seed, &mut tensors)?;
        }
        let mut adapters = self.adapters.clone();
        adapters.push(Arc::new(Adapter { config, sites, tensors }));
        let model = self.rebuilt(self.params().clone(), &adapters)?;
        let vars = self.vars.clone();
        let is_a = |name: &str| name.ends_with(".lora_A.weight") || name.ends_with(".lora_embedding_A");
        model.with_trainable_adapter(vars, |name| !(spec.freeze_a && is_a(name)))
    }

    fn fresh(&self, site: &Site, init: InitA, seed: u64, tensors: &mut Params) -> Result<()> {
        let (dtype, device) = (self.dtype(), self.embedding.device());
        let tensor = |values: Vec<f32>, shape: Vec<usize>| -> Result<Tensor> {
            Ok(Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?)
        };
        for (name, shape) in site.tensors() {
            let count = shape.iter().product();
            let mut rng = stream(seed, &["lora", &name]);
            let a = name == site.a();
            let table = site.place == Place::Embedding;
            // Of a table PEFT draws B and starts A at 0.
            let values = if a && !table {
                let bound = (site.input as f64).powf(-0.5);
                let r = site.r as f64;
                let mut draw = || match init {
                    InitA::Uniform => rng.random_range(-bound..bound),
                    InitA::Gaussian => rng.sample::<f64, _>(StandardNormal) / r,
                };
                (0..count).map(|_| draw() as f32).collect()
            } else if name == site.b() && table {
                (0..count).map(|_| rng.sample::<f64, _>(StandardNormal) as f32).collect()
            } else {
                vec![0.0; count]
            };
            tensors.insert(name, tensor(values, shape)?);
        }
        if site.dora {
            // m starts at the norms, where DoRA changes nothing.
            let weight = match &site.place {
                Place::Linear(name) => format!("{name}.weight"),
                _ => format!("{HEAD}.weight"),
            };
            let w = super::block::get(self.params(), &weight)?;
            let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
            let norms = w.detach().to_dtype(wide)?.sqr()?.sum(1)?.sqrt()?.to_dtype(dtype)?;
            tensors.insert(site.magnitude(), norms);
        }
        Ok(())
    }

    /// The tensors of each adapter, by PEFT's names, in the order in which they are added.
    pub fn adapter_params(&self) -> Vec<&Params> {
        self.adapters.iter().map(|adapter| &adapter.tensors).collect()
    }

    /// A model without adapters whose weights are the sums; [`unmerge`](Self::unmerge) returns to this one, which is kept.
    ///
    /// # Errors
    /// Where there is no adapter, a `lora_bias` has no bias to be added to, or a sum is not finite.
    pub fn merge(&self) -> Result<Self> {
        if self.adapters.is_empty() {
            return Err(Error::AdapterState { problem: "the model has no adapter to merge" });
        }
        let mut params = self.params().clone();
        let mut put = |name: String, x: Tensor| -> Result<()> {
            // 0 · x is NaN where x is infinite or NaN.
            let zero = (x.to_dtype(DType::F32)? * 0.0)?.sum_all()?.to_scalar::<f32>()?;
            if zero.is_nan() {
                return Err(Error::MergedWeight { name, problem: "is not finite" });
            }
            let bias_is_new =
                name.rsplit_once('.').is_some_and(|(_, part)| part == "bias") && !params.contains_key(&name);
            if bias_is_new {
                return Err(Error::MergedWeight { name, problem: "would be a bias that the model doesn't have" });
            }
            params.insert(name, x);
            Ok(())
        };
        for linear in self.clone().linears_mut() {
            if linear.lora.is_empty() {
                continue;
            }
            put(format!("{}.weight", linear.name), linear.weight()?.detach())?;
            if linear.lora.iter().any(|change| change.bias.is_some())
                && let Some(bias) = linear.bias()?
            {
                put(format!("{}.bias", linear.name), bias.detach())?;
            }
        }
        if let Some(head) = self.head.as_ref().filter(|_| !self.head_lora.is_empty()) {
            put(format!("{HEAD}.weight"), weight(&self.head_lora, head)?.detach())?;
            if let Some(bias) = bias(&self.head_lora, None)? {
                put(format!("{HEAD}.bias"), bias)?;
            }
        }
        if !self.table_lora.is_empty() {
            let mut table = self.embedding.clone();
            for change in &self.table_lora {
                table = (table + change.table()?)?;
            }
            put(names::embedding(self.spec.family).to_owned(), table.detach())?;
        }
        let mut merged = self.rebuilt(params, &[])?;
        merged.unmerged = Some(Arc::new(self.clone()));
        Ok(merged)
    }

    /// The model that [`merge`](Self::merge) was called on: its base weights, bit for bit, and its adapters beside them.
    ///
    /// # Errors
    /// Where the model is not a merged one.
    pub fn unmerge(&self) -> Result<Self> {
        let unmerged = self.unmerged.as_ref();
        unmerged.map(|model| (**model).clone()).ok_or(Error::AdapterState { problem: "the model is not a merged one" })
    }

    /// A model of other base parameters with these adapters, all of them frozen.
    pub(super) fn rebuilt(&self, params: Params, adapters: &[Arc<Adapter>]) -> Result<Self> {
        let mut model = Self::from_params(self.spec.clone(), params)?.with_ops(self.ops);
        model.source.clone_from(&self.source);
        model.executor.clone_from(&self.executor);
        for adapter in adapters {
            let frozen = adapter.tensors.iter().map(|(name, x)| (name.clone(), x.detach())).collect();
            model.attach(Arc::new(Adapter { tensors: frozen, ..(**adapter).clone() }))?;
        }
        Ok(model)
    }

    /// Makes variables of the last adapter's tensors whose names the filter accepts, beside the base's `vars`.
    pub(super) fn with_trainable_adapter(
        mut self,
        vars: impl IntoIterator<Item = (String, Var)>,
        filter: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        self.vars = vars.into_iter().filter(|(name, _)| self.params().contains_key(name)).collect();
        let Some(last) = self.adapters.pop() else { return Ok(self) };
        let mut tensors = last.tensors.clone();
        for (name, x) in &mut tensors {
            if filter(name) {
                let var = Var::from_tensor(&x.copy()?)?;
                *x = var.as_tensor().clone();
                self.vars.insert(name.clone(), var);
            }
        }
        let (vars, earlier) = (std::mem::take(&mut self.vars), self.adapters.clone());
        let mut model = self.rebuilt(self.params().clone(), &earlier)?;
        model.vars = vars;
        model.attach(Arc::new(Adapter { tensors, ..(*last).clone() }))?;
        Ok(model)
    }

    /// Adds an adapter's changes to the projections they belong to.
    fn attach(&mut self, adapter: Arc<Adapter>) -> Result<()> {
        let mut by_name: HashMap<String, Lora> = HashMap::new();
        for site in &adapter.sites {
            by_name.extend(adapter.changes(&self.spec, site)?);
        }
        for linear in self.linears_mut() {
            if let Some(change) = by_name.remove(&linear.name) {
                linear.add(change)?;
            }
        }
        if let Some(change) = by_name.remove(TABLE) {
            self.table_lora.push(change);
        }
        if let (Some(change), Some(head)) = (by_name.remove(HEAD), &self.head) {
            let change = change.with_fixed_norms(head)?;
            self.head_lora.push(change);
        }
        if let Some(name) = by_name.into_keys().next() {
            return Err(Error::NoParam { name });
        }
        self.adapters.push(adapter);
        Ok(())
    }
}
