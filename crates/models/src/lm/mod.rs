//! Decoder-only language models: one implementation for all families, driven by `config.json`.

mod block;
mod cache;
mod config;
mod edits;
mod family;
mod forward;
mod generate;
mod hooks;
mod init;
mod input;
mod load;
mod loss;
mod model;
mod moe;
mod names;
mod ops;
mod recompute;
pub mod train;
mod save;

pub use cache::KvCache;
pub use config::{Act, ModelSpec, MoeSpec, RopeScaling, RopeSpec};
pub use edits::{Coef, Edit, EditHook, Where, grad_probe};
pub use family::{Family, NormKind, NormPlace, QkNorm, RmsWeight};
pub use forward::PassOptions;
pub use generate::{Finish, GenConfig, Generation, NewToken, Sampler};
pub use hooks::{Captured, Hook, HookCtx, HookPoint, HookSet, SITES, Site, SiteInfo};
pub use init::{InitOptions, InitSpec};
pub use input::Input;
pub use load::{Params, checkpoint_bytes, read_config, read_params};
pub use loss::{Batch, Gradients, IGNORE, Loss, LossOptions, LossParts, Reduction};
pub use model::Model;
pub use names::{ParamInfo, ParamKind, parameters};
pub use ops::Ops;
pub use recompute::Recompute;
pub use train::on_deep_stack;
pub use save::{SaveOptions, Saved};
