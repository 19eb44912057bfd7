//! Adapter folders: `adapter_config.json` and `adapter_model.safetensors`, as PEFT writes and reads them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use candle_core::{DType, Tensor};
use serde_json::Value;

use super::{
    Adapter,
    config::AdapterConfig,
    site::{PREFIX, Place, Site, sites},
};
use crate::{
    Error, Result,
    lm::{
        Model,
        load::{Params, Shard, float},
        names,
        save::{write_folder, write_json, write_tensors},
    },
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

impl Model {
    /// The same model with the adapter of a PEFT folder added, in the model's dtype; the base model that it names is
    /// ignored. Repeat it for more adapters.
    ///
    /// Nothing of it is trainable until [`trainable`](Self::trainable) says so, which takes its names too.
    ///
    /// # Errors
    /// Where a file is missing or malformed, the adapter computes something that isn't supported, or its tensors don't
    /// fit this model: all misfits are listed at once.
    pub fn load_adapter(&self, folder: &Path) -> Result<Self> {
        let config = read_config(&folder.join(CONFIG))?;
        let path = folder.join(WEIGHTS);
        if !path.is_file() {
            return Err(Error::NoAdapter { path });
        }
        let mut file = Shard::open(path.clone())?;
        let shapes: BTreeMap<String, (Vec<usize>, bool)> = file
            .infos()
            .into_iter()
            .map(|(name, info)| (name, (info.shape.clone(), float(info.dtype).is_some())))
            .collect();

        // Adapters of a base model (AutoModel) lack the prefix that its head's wrapper adds.
        let family = self.spec.family;
        let wrapped = format!("{PREFIX}{}", names::base_prefix(family));
        let bare =
            !shapes.keys().any(|name| name.starts_with(&wrapped) || name.starts_with("base_model.model.lm_head"));
        let in_file = |source: Error| Error::InFile { path: folder.join(CONFIG), source: Box::new(source) };
        let mut sites = sites(&self.spec, &config, bare, |name| shapes.contains_key(name)).map_err(in_file)?;
        settle_nesting(&mut sites, &shapes);

        let (copies, problems) = self.compare(&sites, &shapes);
        if !problems.is_empty() {
            return Err(Error::AdapterTensors { path, problems });
        }
        let device = self.embedding.device();
        let mut read = |name: &str| -> Result<Tensor> { Ok(file.tensor(name, device)?.to_dtype(self.dtype())?) };
        let mut tensors = Params::new();
        for (name, _) in sites.iter().flat_map(Site::tensors) {
            tensors.insert(name.clone(), read(&name)?);
        }
        let mut problems = Vec::new();
        for (name, base) in copies {
            let different = read(&name)?.ne(&base)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
            if different > 0.0 {
                problems.push(format!("{name}: a base weight other than this model's (resized or trained)"));
            }
        }
        if !problems.is_empty() {
            return Err(Error::AdapterTensors { path, problems });
        }
        let mut adapters = self.adapters.clone();
        adapters.push(Arc::new(Adapter { config, sites, tensors }));
        let model = self.rebuilt(self.params().clone(), &adapters)?;
        model.with_trainable_adapter(self.vars.clone(), |_| false)
    }

    /// Copies of base weights in the file, which PEFT saves where an embedding is a target, and what doesn't fit.
    fn compare(
        &self,
        sites: &[Site],
        shapes: &BTreeMap<String, (Vec<usize>, bool)>,
    ) -> (Vec<(String, Tensor)>, Vec<String>) {
        let mut problems = Vec::new();
        let wanted: BTreeMap<String, Vec<usize>> = sites.iter().flat_map(Site::tensors).collect();
        for (name, expected) in &wanted {
            match shapes.get(name) {
                None => problems.push(format!("{name}: missing; the adapter needs {expected:?}")),
                Some((found, _)) if found != expected => {
                    problems.push(format!("{name}: shape {found:?}, but model and configuration need {expected:?}"));
                }
                Some((_, false)) => problems.push(format!("{name}: no floating-point tensor")),
                Some(_) => {}
            }
        }
        let mut copies = Vec::new();
        let tables = sites.iter().filter(|site| matches!(site.place, Place::Embedding | Place::Head));
        let copy_of: Vec<(String, &Tensor)> = tables
            .flat_map(|site| {
                let base = if site.place == Place::Head { self.head.as_ref() } else { Some(&self.embedding) };
                let names = [site.name("base_layer.weight"), site.name("weight")];
                names.into_iter().filter_map(move |name| base.map(|base| (name, base)))
            })
            .collect();
        for (name, (shape, _)) in shapes {
            if wanted.contains_key(name) {
                continue;
            }
            match copy_of.iter().find(|(copy, base)| copy == name && base.dims() == shape.as_slice()) {
                Some((_, base)) => copies.push((name.clone(), (*base).clone())),
                None => {
                    problems.push(format!("{name}: belongs to no target of this adapter in this model ({shape:?})"));
                }
            }
        }
        (copies, problems)
    }

    /// Writes the last adapter as a PEFT folder: a new one, and nothing where it fails.
    ///
    /// # Errors
    /// Where there is no adapter, something stands at `folder`, or a file can't be written.
    pub fn save_adapter(&self, folder: &Path) -> Result<()> {
        let Some(adapter) = self.adapters.last() else {
            return Err(Error::AdapterState { problem: "the model has no adapter to save" });
        };
        let mut json = adapter.config.json.clone();
        json.insert("inference_mode".to_owned(), true.into());
        let tensors: Vec<(String, Tensor)> =
            adapter.tensors.iter().map(|(name, x)| (name.clone(), x.clone())).collect();
        write_folder(folder, |aside| {
            write_json(&aside.join(CONFIG), &Value::Object(json))?;
            write_tensors(&aside.join(WEIGHTS), &tensors, self.dtype())
        })
    }
}

fn read_config(path: &PathBuf) -> Result<AdapterConfig> {
    let text = fs::read_to_string(path).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            Error::NoAdapter { path: path.clone() }
        } else {
            Error::Io { action: "read", path: path.clone(), source }
        }
    })?;
    let json = serde_json::from_str(&text).map_err(|source| Error::Json { path: path.clone(), source })?;
    AdapterConfig::read(&json).map_err(|source| Error::InFile { path: path.clone(), source: Box::new(source) })
}

/// Which of two expert parameters stands a level deeper is not said by any key: their shapes tell.
fn settle_nesting(sites: &mut [Site], shapes: &BTreeMap<String, (Vec<usize>, bool)>) {
    let fits = |site: &Site| {
        site.tensors().iter().all(|(name, shape)| shapes.get(name).is_some_and(|(found, _)| found == shape))
    };
    for i in 1..sites.len() {
        let (first, second) = sites.split_at_mut(i);
        let (Some(a), Some(b)) = (first.last_mut(), second.first_mut()) else { continue };
        let pair = match (&a.place, &b.place) {
            (Place::Experts { layer: one, .. }, Place::Experts { layer: other, .. }) => one == other,
            _ => false,
        };
        if pair && !(fits(a) && fits(b)) {
            std::mem::swap(&mut a.key, &mut b.key);
            if !(fits(a) && fits(b)) {
                std::mem::swap(&mut a.key, &mut b.key);
            }
        }
    }
}
