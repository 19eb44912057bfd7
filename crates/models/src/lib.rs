//! Models on candle: the vision networks of the federated experiments.
