//! The networks: one shared encoder, one decoder per person, as data.
//!
//! A network is a [`Graph`] of a dozen operators; [`Family`] names one, [`Network`] holds its two
//! halves. [`Plan`] executes a graph on the CPU with every buffer allocated beforehand; another
//! executor may interpret the same graphs elsewhere, and [`onnx`] writes them for other programs.
//! Weights are one flat buffer with named parts ([`Params`]), stored as safetensors.
//!
//! Knows nothing of losses, optimisers, files or persons' names. Start with [`family`], then
//! [`graph`].

pub mod algebra;
pub mod classic;
pub mod comb;
pub mod error;
pub mod family;
pub mod graph;
pub mod lite;
pub mod lite_file;
pub mod network;
pub mod onnx;
pub mod params;
pub mod passport;
pub mod plan;
mod plan_backward;
mod plan_memory;
mod resize;
pub mod stitch;
pub mod stock_file;
mod stock_pack;
pub mod trunk;
pub mod weights_file;

pub use error::Error;
pub use family::{CombSize, Family, Kind};
pub use graph::{Graph, GraphBuilder, NodeId, Op, Shape};
pub use lite::Lite;
pub use lite_file::LiteFile;
pub use network::Network;
pub use params::{Init, Layout, ParamSpec, Params};
pub use passport::Passport;
pub use plan::Plan;
pub use stitch::{AffineMap, Codes, Fit, Halves, agreement, fold_stitch};
pub use stock_file::Stock;
pub use stockpot_kernels::Activation;
pub use trunk::Trunk;
