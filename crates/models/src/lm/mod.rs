//! Decoder-only language models: one implementation for all families, driven by `config.json`.

mod adapter;
mod block;
mod cache;
mod capture;
mod config;
mod edits;
mod executor;
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
mod save;
mod tape;

pub use adapter::{AdapterSpec, Dropout, InitA, Targets};
pub use cache::KvCache;
pub use capture::{CaptureSpec, Select};
pub use config::{Act, ModelSpec, MoeSpec, RopeScaling, RopeSpec};
pub use edits::{Align, Coef, CustomEdit, Edit, EditHook, Patch, Where, grad_probe};
pub use executor::{ExpertCall, ExpertExecutor, Routing};
pub use family::{Family, NormKind, NormPlace, QkNorm, RmsWeight};
pub use forward::PassOptions;
pub use generate::{Finish, GenConfig, Generation, NewToken, Sampler};
pub use hooks::{Captured, Hook, HookCtx, HookPoint, HookSet, Layout, Phase, SITES, Site, SiteInfo, Token};
pub use input::Input;
pub use load::{Params, checkpoint_bytes, read_config, read_params};
pub use model::Model;
pub use names::{ParamInfo, ParamKind, parameters};
pub use ops::Ops;
pub use save::{SaveOptions, Saved};
pub use tape::{PerSample, Tape};
