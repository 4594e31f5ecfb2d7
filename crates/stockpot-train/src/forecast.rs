//! How much memory a training will take, before any of it is taken.
//!
//! From the networks' shapes, the settings and the number of persons alone. What is counted is what
//! [`Trainer`](crate::Trainer) holds at its peak, after its first evaluation is done; `examples/memory.rs` sets it beside what the system measures. Start with
//! [`forecast`].

use std::sync::Arc;

use serde::Serialize;
use stockpot_model::graph::Op;
use stockpot_model::{Graph, Network, Plan};

use crate::settings::{Precision, TrainSettings};
use crate::trainer::KEPT_CODES_BYTES;

/// Buffers of a network half in a state: weights, both means of Adam, running mean.
const SLOTS: usize = 4;
/// States in memory: the one in training, and the last good one, which is also what is written.
const STATES: usize = 2;
/// Batches of faces in memory at least: those made ahead, the one in use and one being made.
const BATCHES: usize = 5;
/// Numbers of a pixel in a batch: input and target of three, mask, weight.
const BATCH_CHANNELS: usize = 8;
/// Faces drawn at once when previews are drawn and held-out faces measured.
const DRAWN_AT_ONCE: usize = 8;

/// Bytes that a training takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// Weights, the optimiser's means and the running mean, once in training and once as a copy to go
    /// back to and to write from.
    pub state_bytes: u64,
    /// Gradients of all weights.
    pub gradient_bytes: u64,
    /// Weights as the kernels want them.
    pub packed_bytes: u64,
    /// Activations and their gradients.
    pub activation_bytes: u64,
    /// Batches of faces, ready and in use.
    pub batch_bytes: u64,
    /// Codes of a frozen encoder, at most.
    pub code_bytes: u64,
    /// Networks and faces for previews and evaluations.
    pub evaluation_bytes: u64,
}

impl Forecast {
    /// All together.
    pub fn total_bytes(&self) -> u64 {
        let parts = [
            self.state_bytes,
            self.gradient_bytes,
            self.packed_bytes,
            self.activation_bytes,
            self.batch_bytes,
            self.code_bytes,
            self.evaluation_bytes,
        ];
        parts.iter().sum()
    }

    /// `3.4 GB: weights and optimiser 1.9, …` with the parts that matter, largest first.
    pub fn words(&self) -> String {
        let mut parts = [
            ("weights and optimiser, with a copy", self.state_bytes),
            ("gradients", self.gradient_bytes),
            ("packed weights", self.packed_bytes),
            ("activations", self.activation_bytes),
            ("faces", self.batch_bytes),
            ("kept codes at most", self.code_bytes),
            ("evaluation", self.evaluation_bytes),
        ];
        parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        let total = self.total_bytes();
        let large = parts.iter().filter(|(_, bytes)| 20 * bytes > total);
        let words: Vec<String> = large
            .map(|(name, bytes)| format!("{name} {}", gigabytes(*bytes)))
            .collect();
        format!("{} GB ({})", gigabytes(total), words.join(", "))
    }
}

/// Two digits are enough to decide by.
pub fn gigabytes(bytes: u64) -> String {
    let gb = bytes as f64 / 1e9;
    match gb {
        _ if gb < 0.995 => format!("{gb:.2}"),
        _ if gb < 9.95 => format!("{gb:.1}"),
        _ => format!("{gb:.0}"),
    }
}

/// What a training of `persons` people takes. `held_out` faces of each are kept to measure.
pub fn forecast(
    network: &Network,
    settings: &TrainSettings,
    persons: usize,
    held_out: usize,
) -> Forecast {
    let (encoder, decoder) = (network.encoder(), network.decoder());
    let frozen = settings.freeze_encoder;
    let weights = encoder.layout.len() + persons * decoder.layout.len();
    let learning = weights - if frozen { encoder.layout.len() } else { 0 };
    let (shared, each) = (persons * settings.batch, settings.batch);
    let pixels = encoder.input_shape().h * encoder.input_shape().w;
    let code = encoder.output_shape().len();
    let activations = buffers(encoder, shared, !frozen)
        + buffers(decoder, each, true)
        + 4 * (each * decoder.output_shape().len() + if frozen { 0 } else { shared * code });
    let drawn = DRAWN_AT_ONCE.min(each);
    let looking = buffers(encoder, drawn, false)
        + buffers(decoder, drawn, false)
        + packed(encoder, Precision::F32, false)
        + packed(decoder, Precision::F32, false)
        // The faces of all persons, and of one what was drawn with its gradient.
        + 4 * held_out * (persons * pixels * BATCH_CHANNELS + 2 * decoder.output_shape().len());
    // The previous state looks at all faces, the new one at calibration faces as well.
    let (held, held_packed) = match settings.distils() {
        false => (0, 0),
        true => (
            buffers(encoder, shared, false) + buffers(encoder, settings.distil_faces, true),
            packed(encoder, settings.precision, false) + packed(encoder, settings.precision, true),
        ),
    };
    Forecast {
        state_bytes: (4 * SLOTS * STATES * weights) as u64,
        gradient_bytes: 4 * learning as u64,
        packed_bytes: (packed(encoder, settings.precision, !frozen)
            + packed(decoder, settings.precision, true)
            + held_packed) as u64,
        activation_bytes: (activations + held) as u64,
        code_bytes: if frozen && settings.frozen_warps > 0 {
            KEPT_CODES_BYTES as u64
        } else {
            0
        },
        batch_bytes: (4 * BATCHES * shared * pixels * BATCH_CHANNELS) as u64,
        evaluation_bytes: looking as u64,
    }
}

/// Bytes of a plan's own buffers. They grow evenly with the batch, so two small plans tell.
fn buffers(graph: &Arc<Graph>, batch: usize, training: bool) -> usize {
    let bytes = |batch| {
        if training {
            Plan::training(graph.clone(), batch).buffer_bytes()
        } else {
            Plan::inference(graph.clone(), batch).buffer_bytes()
        }
    };
    let (one, two) = (bytes(1), bytes(2));
    one + (two - one) * batch.saturating_sub(1)
}

/// Bytes of the weights as a plan packs them: once for the way forward and once for the way back; a
/// doubling convolution's as four kernels of 2 x 2 (16 numbers for 9), whose sums and gradients it
/// keeps as well.
fn packed(graph: &Graph, precision: Precision, training: bool) -> usize {
    let number = match precision {
        Precision::Bf16 => 2,
        Precision::Auto | Precision::F32 => 4,
    };
    let ways = if training { 2 } else { 1 };
    let specs = graph.layout.specs();
    let layers = graph.nodes.iter().map(|node| match node.op {
        Op::Conv { weight, .. } | Op::Dense { weight, .. } => ways * number * specs[weight].len(),
        Op::UpConv { weight, .. } => (ways * (number + 4)) * specs[weight].len() * 16 / 9,
        _ => 0,
    });
    layers.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_what_they_depend_on() {
        let network = Network::new("comb-s-64".parse().unwrap());
        let settings = |batch, freeze_encoder| TrainSettings {
            batch,
            freeze_encoder,
            precision: Precision::F32,
            ..TrainSettings::default()
        };
        let of = |batch, frozen, persons| forecast(&network, &settings(batch, frozen), persons, 48);
        let (small, large) = (of(8, false, 2), of(16, false, 2));
        assert_eq!(small.state_bytes, large.state_bytes);
        assert_eq!(2 * small.activation_bytes, large.activation_bytes);
        assert_eq!(2 * small.batch_bytes, large.batch_bytes);
        let plan = Plan::training(network.encoder().clone(), 32).buffer_bytes()
            + Plan::training(network.decoder().clone(), 16).buffer_bytes();
        let rest = large.activation_bytes - plan as u64;
        // Gradients of the codes (384 numbers) and of the drawn faces.
        assert_eq!(rest, 4 * (32 * 384 + 16 * 64 * 64 * 4));
        let frozen = of(16, true, 2);
        assert!(frozen.activation_bytes < large.activation_bytes);
        assert!(frozen.gradient_bytes < large.gradient_bytes);
        assert!(of(16, false, 3).state_bytes > large.state_bytes);
        assert!(
            large.words().contains("activations 0."),
            "{}",
            large.words()
        );
        assert_eq!(gigabytes(12_345_678_901), "12");
    }
}
