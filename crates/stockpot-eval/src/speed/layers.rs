//! Every layer of a network alone, forward and backward, and what share of the ceiling it reaches.

use serde::Serialize;
use stockpot_jobs::{Context, JobError};
use stockpot_model::{Family, Graph, GraphBuilder, Network, Op, Params, Plan};
use stockpot_train::settings::Precision;

use super::ceilings::Ceilings;
use super::{Plan as Amounts, Sample, Watch, timed};

/// Faces of each of two persons in the step that the layers are taken from.
const BATCH: usize = 16;
const PERSONS: usize = 2;
/// Channels below which a training plan does not round what a layer sees and draws: as in
/// `stockpot_model::plan`.
const LEAST_ROUNDED: (usize, usize) = (8, 16);

/// One direction of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Way {
    /// Products and sums, in 10⁹ a second.
    pub gflops: Sample,
    /// Products and sums for each byte of inputs, outputs and weights, each counted once as `f32`.
    pub intensity: f64,
    /// Of the lower of the two ceilings at this intensity, 0 to 1; above where the numbers stay in
    /// the caches, or where others were at work while the ceilings were measured.
    pub share: f64,
}

impl Way {
    /// Sets it beside the ceilings.
    fn judge(&mut self, ceilings: &Ceilings, precision: Precision) {
        let products = ceilings.gflops(precision == Precision::Bf16);
        self.share = self.gflops.median / products.min(ceilings.memory() * self.intensity);
    }
}

impl Layer {
    /// Sets it beside the ceilings.
    pub(super) fn judge(&mut self, ceilings: &Ceilings) {
        self.forward.judge(ceilings, self.precision);
        self.backward.judge(ceilings, self.precision);
    }
}

/// A layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// The network.
    pub family: Family,
    /// Its name in weights files, such as `encoder.down1`.
    pub name: String,
    /// The number format of its products.
    pub precision: Precision,
    /// Faces that went through at once.
    pub faces: usize,
    /// Its share of the time of all layers of a step, forward and backward, 0 to 1.
    pub share_of_step: f64,
    /// Forward.
    pub forward: Way,
    /// Backward: the gradient of the weights, and that of the input where it is needed.
    pub backward: Way,
}

/// Measures.
pub(super) fn measure(ctx: &Context, amounts: &Amounts) -> Result<Vec<Layer>, JobError> {
    let mut found = Vec::new();
    for family in &amounts.layer_families {
        let network = Network::new(*family);
        let halves = [
            (network.encoder(), PERSONS * BATCH, 1.0),
            // Every person's decoder runs in its turn.
            (network.decoder(), BATCH, PERSONS as f64),
        ];
        let total = halves.iter().map(|(graph, ..)| weighted(graph).count());
        let mut watch = Watch::begin(ctx, "measure layers", total.sum());
        let (mut layers, mut secs) = (Vec::new(), Vec::new());
        for (graph, faces, times) in halves {
            for node in weighted(graph) {
                let (layer, one) = one(*family, graph, node, faces, amounts);
                watch.tick(&format!("{family} {}", layer.name))?;
                layers.push(layer);
                secs.push(times * one);
            }
        }
        let all: f64 = secs.iter().sum();
        for (layer, secs) in layers.iter_mut().zip(secs) {
            layer.share_of_step = secs / all;
        }
        found.extend(layers);
    }
    Ok(found)
}

/// The nodes that multiply.
fn weighted(graph: &Graph) -> impl Iterator<Item = usize> + '_ {
    (0..graph.nodes.len()).filter(|i| {
        let op = &graph.nodes[*i].op;
        matches!(op, Op::Conv { .. } | Op::UpConv { .. } | Op::Dense { .. })
    })
}

/// Measures one node as a graph of its own; returns its seconds forward and backward as well.
fn one(
    family: Family,
    graph: &Graph,
    node: usize,
    faces: usize,
    amounts: &Amounts,
) -> (Layer, f64) {
    let (alone, weight) = alone(graph, node);
    let (input, output) = (alone.input_shape(), alone.output_shape());
    let best = amounts.precisions.first().copied();
    let rounds =
        best == Some(Precision::Bf16) && input.c >= LEAST_ROUNDED.0 && output.c >= LEAST_ROUNDED.1;
    let kernels = match rounds {
        true => stockpot_kernels::Precision::Bf16,
        false => stockpot_kernels::Precision::F32,
    };
    let alone = std::sync::Arc::new(alone);
    let mut plan = Plan::training_in(alone.clone(), faces, kernels);
    plan.load(&Params::init(alone.layout.clone(), 1));
    let x: Vec<f32> = ramp(faces * input.len());
    let dy: Vec<f32> = ramp(faces * output.len());
    let mut gradients = vec![0.0; alone.layout.len()];
    // The first layer of a half that sees pixels needs no gradient of its input.
    let wants_input = graph.nodes[node].inputs[0].0 != 0 && input.c > 3;
    plan.forward(&x);
    plan.backward(&dy, &mut gradients, wants_input);
    let forward = timed(amounts.secs, || {
        plan.forward(&x);
    });
    let backward = timed(amounts.secs, || {
        plan.backward(&dy, &mut gradients, wants_input);
    });
    let flop = 2.0 * (alone.multiply_adds() * faces as u64) as f64;
    let ways = if wants_input { 2.0 } else { 1.0 };
    let numbers = (faces * (input.len() + output.len()) + alone.layout.len()) as f64;
    let way = |secs: Sample, flop: f64, bytes: f64| Way {
        gflops: secs.rate(flop / 1e9),
        intensity: flop / bytes,
        share: 0.0,
    };
    let layer = Layer {
        family,
        name: weight,
        precision: match rounds {
            true => Precision::Bf16,
            false => Precision::F32,
        },
        faces,
        share_of_step: 0.0,
        forward: way(forward, flop, 4.0 * numbers),
        backward: way(backward, ways * flop, 4.0 * ways * numbers),
    };
    (layer, forward.median + backward.median)
}

/// The node as a graph with its own input, and its name.
fn alone(graph: &Graph, node: usize) -> (Graph, String) {
    let node = &graph.nodes[node];
    let from = graph.nodes[node.inputs[0].0].shape;
    let out = node.shape;
    let mut b = GraphBuilder::new("alone", from);
    let weight = match node.op {
        Op::Conv {
            weight,
            kernel,
            stride,
            activation,
            ..
        } => {
            b.conv("layer", b.input(), (kernel, stride, out.c), activation);
            Some(weight)
        }
        Op::UpConv {
            weight, activation, ..
        } => {
            b.up_conv("layer", b.input(), out.c, activation);
            Some(weight)
        }
        Op::Dense {
            weight, activation, ..
        } => {
            b.dense("layer", b.input(), out.len(), activation);
            Some(weight)
        }
        _ => None,
    };
    let name = weight.map(|w| graph.layout.specs()[w].name.clone());
    let name = name.unwrap_or_default();
    let name = name.strip_suffix(".weight").unwrap_or(&name).to_owned();
    (b.build(), name)
}

/// Numbers between −1 and 1 that are not all alike.
fn ramp(count: usize) -> Vec<f32> {
    (0..count)
        .map(|i| (i * 37 % 1009) as f32 / 504.5 - 1.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use stockpot_kernels::Activation;
    use stockpot_model::Shape;

    use super::*;

    #[test]
    fn layers_alone_are_those_of_the_network() {
        for family in Family::COMB.into_iter().chain([Family::CLASSIC]) {
            let network = Network::new(family);
            for graph in [network.encoder(), network.decoder()] {
                let parts = weighted(graph).map(|i| alone(graph, i));
                let (mut work, mut weights) = (0, 0);
                for (part, name) in parts {
                    assert!(name.starts_with("encoder.") || name.starts_with("decoder."));
                    work += part.multiply_adds();
                    weights += part.layout.len();
                }
                assert_eq!((work, weights), (graph.multiply_adds(), graph.layout.len()));
            }
        }
        let shape = Shape::new(4, 4, 8);
        let mut b = GraphBuilder::new("x", shape);
        b.conv("c", b.input(), (3, 2, 16), Activation::None);
        let (part, name) = alone(&b.build(), 1);
        assert_eq!(
            (part.output_shape(), name.as_str()),
            (Shape::new(2, 2, 16), "x.c")
        );
    }
}
