//! The two halves of a family's network.

use std::sync::Arc;

use crate::family::{Family, Kind};
use crate::graph::Graph;
use crate::params::{Layout, Params};
use crate::{classic, comb, stitch};

/// Encoder and decoder graphs of one family. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Network {
    family: Family,
    encoder: Arc<Graph>,
    decoder: Arc<Graph>,
}

impl Network {
    /// The network of a family.
    pub fn new(family: Family) -> Self {
        let resolution = family.resolution();
        let (encoder, decoder) = match family.kind() {
            Kind::Comb(size) => (
                comb::encoder(size, resolution),
                comb::decoder(size, resolution),
            ),
            Kind::Classic {
                layers,
                nodes,
                divisor,
            } => (
                classic::encoder(layers, nodes, divisor),
                classic::decoder(divisor),
            ),
        };
        Self {
            family,
            encoder: Arc::new(encoder),
            decoder: Arc::new(decoder),
        }
    }

    /// Which family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The shared half: `[R, R, 3]` to the code.
    pub fn encoder(&self) -> &Arc<Graph> {
        &self.encoder
    }

    /// The shared half up to its code, over the arrays of the whole: `[R, R, 3]` to the linear code
    /// that a stitch maps. For networks of 2018 that is what their first dense layer gives.
    pub fn code_graph(&self) -> Arc<Graph> {
        stitch::up_to_code(&self.encoder)
    }

    /// A person's half: code to `[R, R, 4]` (RGB and mask) or `[R, R, 3]` (classic).
    pub fn decoder(&self) -> &Arc<Graph> {
        &self.decoder
    }

    /// Arrays of the encoder.
    pub fn encoder_layout(&self) -> &Arc<Layout> {
        &self.encoder.layout
    }

    /// Arrays of a full person's decoder.
    pub fn decoder_layout(&self) -> &Arc<Layout> {
        &self.decoder.layout
    }

    /// Fresh encoder weights.
    pub fn init_encoder(&self, seed: u64) -> Params {
        Params::init(self.encoder.layout.clone(), seed)
    }

    /// Fresh decoder weights: the trunk that new persons of a new library start from.
    pub fn init_decoder(&self, seed: u64) -> Params {
        Params::init(self.decoder.layout.clone(), seed)
    }
}
