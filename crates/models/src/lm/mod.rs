//! Decoder-only language models: one implementation for all families, driven by `config.json`.

mod block;
mod cache;
mod config;
mod edits;
mod family;
mod forward;
mod generate;
mod hooks;
mod input;
mod load;
mod model;
mod moe;
mod names;
mod ops;
mod tape;

pub use cache::KvCache;
pub use config::{Act, ModelSpec, MoeSpec, RopeScaling, RopeSpec};
pub use edits::{Coef, Edit, EditHook, Where, grad_probe};
pub use family::{Family, NormKind, NormPlace, QkNorm, RmsWeight};
pub use forward::PassOptions;
pub use generate::{Finish, GenConfig, Generation, NewToken, Sampler};
pub use hooks::{Captured, Hook, HookCtx, HookPoint, HookSet, SITES, Site, SiteInfo};
pub use input::Input;
pub use load::{Params, checkpoint_bytes, read_config, read_params};
pub use model::Model;
pub use names::{ParamInfo, ParamKind, parameters};
pub use ops::Ops;
pub use tape::{PerSample, Tape};
