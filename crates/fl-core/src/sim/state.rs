//! What clients remember between rounds.

use std::collections::BTreeMap;

use crate::{
    Error, Mode, Result,
    config::{LocalError, RunConfig},
    local_topk::{ClientState, Compressor},
    server::ErrorFeedback,
};

/// Client memories, made when a client first takes part.
pub(super) struct ClientStates {
    kind: Kind,
    d: usize,
    pub(super) of: BTreeMap<u32, ClientState>,
}

enum Kind {
    None,
    /// v_i = m·v_i + n_i·g_i (true top-k with local momentum).
    Velocity(f32),
    Compressor(Compressor),
}

impl ClientStates {
    /// As the mode needs them; refuses more memory than `server.state_limit_mb`.
    pub(super) fn new(config: &RunConfig, d: usize) -> Result<Self> {
        let momentum = config.client.momentum as f32;
        let kind = match config.server.mode {
            Mode::LocalTopk => {
                let error =
                    if config.client.error == LocalError::None { ErrorFeedback::None } else { ErrorFeedback::Local };
                Kind::Compressor(Compressor::new(d, config.server.k.unwrap_or(d), momentum, error)?)
            }
            Mode::TrueTopk if momentum > 0.0 => Kind::Velocity(momentum),
            _ => Kind::None,
        };
        let states = Self { kind, d, of: BTreeMap::new() };
        let needed = states.fresh().bytes() * config.data.clients;
        let limit = config.server.state_limit_mb;
        if needed > limit << 20 {
            let expected = format!(
                "at least {}: {} clients remember {d} numbers each; lower data.clients or use another mode",
                needed.div_ceil(1 << 20),
                config.data.clients
            );
            return Err(Error::setting("server.state_limit_mb", limit, expected));
        }
        Ok(states)
    }

    pub(super) fn is_needed(&self) -> bool {
        !matches!(self.kind, Kind::None)
    }

    pub(super) fn compressor(&self) -> Option<&Compressor> {
        match &self.kind {
            Kind::Compressor(compressor) => Some(compressor),
            _ => None,
        }
    }

    /// Momentum of the clients' own memory, in true top-k.
    pub(super) fn velocity(&self) -> Option<f32> {
        match self.kind {
            Kind::Velocity(momentum) => Some(momentum),
            _ => None,
        }
    }

    fn fresh(&self) -> ClientState {
        match &self.kind {
            Kind::None => ClientState::default(),
            Kind::Velocity(_) => ClientState { velocity: vec![0.0; self.d], error: Vec::new() },
            Kind::Compressor(compressor) => compressor.fresh(),
        }
    }

    /// Takes a client's memory out, to be put back after its work.
    pub(super) fn take(&mut self, client: u32) -> ClientState {
        if self.is_needed() { self.of.remove(&client).unwrap_or_else(|| self.fresh()) } else { ClientState::default() }
    }

    /// Puts a client's memory back.
    pub(super) fn put(&mut self, client: u32, state: ClientState) {
        if self.is_needed() {
            self.of.insert(client, state);
        }
    }
}
