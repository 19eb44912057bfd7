//! `rewrite FROM TO`: a checkpoint saved with a `config.json` made from its specification alone, as for a model built in
//! code. `scripts/checks/saved_loads.py` loads the result in transformers.

use std::{env, path::PathBuf};

use ashlar_models::lm::{Model, ModelSpec, SaveOptions};
use candle_core::{DType, Device};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to)) = (paths.next(), paths.next()) else { return Err("usage: rewrite FROM TO".into()) };
    let model = Model::load(&from, DType::F32, &Device::Cpu)?;
    let spec = ModelSpec { extra: serde_json::Map::new(), ..model.spec().clone() };
    Model::from_params(spec, model.params().clone())?.save(&to, &SaveOptions::default())?;
    Ok(())
}
