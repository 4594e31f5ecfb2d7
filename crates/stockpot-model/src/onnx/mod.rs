//! A network with its weights as an ONNX file, for other programs.
//!
//! Encoder and one person's decoder become one graph over pictures in the order channels, rows,
//! columns ([`exchange`]), or one that players of `.dfm` files read ([`dfm`]). Only operators of
//! opset 12 are used, and nothing outside of ONNX's own domain. Numbers are 32 bit.
//!
//! Knows nothing of files, persons or consent: words for the file's metadata come from the caller.
//! The operators lie in `half`, the bytes in `protobuf`.

mod dfm;
mod graph;
mod half;
mod protobuf;
mod resample;

use std::collections::BTreeMap;
use std::io::Write;

pub use dfm::{DFM_CENTRE, DFM_SIDE, dfm, dfm_resolution};

use crate::network::Network;
use crate::params::Params;
use graph::{OnnxGraph, Value};
use protobuf::Message;

/// The version of ONNX's operators that files use: old enough for the players of this field.
pub const OPSET: u64 = 12;
/// The version of ONNX's file format that came with it.
const IR_VERSION: u64 = 7;

/// The input's name of [`exchange`].
pub const INPUT: &str = "face";
/// The drawn face's name of [`exchange`].
pub const OUTPUT: &str = "rgb";
/// The drawn mask's name of [`exchange`].
pub const MASK: &str = "mask";

/// A model, ready to be written.
#[derive(Debug)]
pub struct OnnxModel {
    message: Message,
}

impl OnnxModel {
    fn new(graph: OnnxGraph, words: &BTreeMap<String, String>) -> Self {
        let mut message = Message::default();
        message.int(1, IR_VERSION);
        message.text(2, "stockpot");
        message.text(3, env!("CARGO_PKG_VERSION"));
        message.message(7, graph.finish());
        let mut opset = Message::default();
        opset.text(1, "");
        opset.int(2, OPSET);
        message.message(8, opset);
        for (key, value) in words {
            let mut entry = Message::default();
            entry.text(1, key);
            entry.text(2, value);
            message.message(14, entry);
        }
        Self { message }
    }

    /// The file's length in bytes.
    pub fn bytes(&self) -> u64 {
        self.message.bytes()
    }

    /// Writes the file's bytes.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&self, out: &mut impl Write) -> std::io::Result<()> {
        self.message.write_to(out)
    }
}

/// Encoder and decoder as one graph.
///
/// # Shapes
/// Input [`INPUT`]: `[batch, 3, R, R]`, RGB, 0.0 to 1.0, a face aligned as the network was trained.
/// Output [`OUTPUT`]: the same of the drawn face; [`MASK`], where the family has one:
/// `[batch, 1, R, R]`.
///
/// # Panics
/// If the weights belong to another network: a bug of the caller.
pub fn exchange(
    network: &Network,
    encoder: &Params,
    decoder: &Params,
    words: &BTreeMap<String, String>,
) -> OnnxModel {
    let side = network.family().resolution() as usize;
    let mut graph = OnnxGraph::new("stockpot");
    graph.input(INPUT, &[None, Some(3), Some(side), Some(side)]);
    let face = Value::map(INPUT, network.encoder().input_shape());
    let drawn = both_halves(&mut graph, network, encoder, decoder, face);
    let mut part = |name: &str, channels: &[i64]| {
        let indices = graph.ints(&[channels.len()], channels);
        let inputs = [drawn.name(), &indices];
        graph.output_of("Gather", &inputs, &[("axis", 1.into())], name);
        graph.output(name, &[None, Some(channels.len()), Some(side), Some(side)]);
    };
    part(OUTPUT, &[0, 1, 2]);
    if network.family().has_mask() {
        part(MASK, &[3]);
    }
    OnnxModel::new(graph, words)
}

/// From a face as the encoder sees it to what the decoder draws: a map of 3 or 4 channels.
fn both_halves(
    graph: &mut OnnxGraph,
    network: &Network,
    encoder: &Params,
    decoder: &Params,
    face: Value,
) -> Value {
    let code = half::add(graph, network.encoder(), encoder, face);
    let drawn = half::add(graph, network.decoder(), decoder, code);
    graph.mapped(drawn)
}
