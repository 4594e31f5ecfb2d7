//! TFLite models: read from untrusted bytes, then run.
//!
//! [`Graph::parse`] checks the file's structure and copies nothing but shapes and numbers of the
//! graph; [`Network::new`] checks every operator, takes the weights and plans the buffers. Only
//! what the face models need is here: one sub-graph, batch 1, float activations, weights in f32
//! or f16. Start with [`Network::from_bytes`], which a fuzz target may call with anything.

mod bytes;
mod graph;
mod network;
mod plan;

pub use graph::{Activation, Code, Graph, Operator, Options, Padding, Tensor, TensorKind};
pub use network::Network;
