//! Federated learning: FetchSGD's sketches, SparseFed's defence, Neurotoxin's attack, and the simulator around them.
