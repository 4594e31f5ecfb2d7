//! Runs a network's graph with Burn's tensors.
//!
//! Pictures are `[pictures, channels, rows, columns]` in here, as Burn wants them, and weights stay
//! as the graph names them (`[kernel, kernel, in, out]`, `[in, out]`, `[out]`), flat: what goes up and
//! down is what lies in libraries. Gradients come from Burn.

use burn_tensor::Tensor;
use burn_tensor::activation::{leaky_relu, relu, sigmoid};
use burn_tensor::module::conv2d;
use burn_tensor::ops::ConvOptions;
use stockpot_model::{Activation, Graph, Op, Shape};

/// Added to the mean square in [`Op::RmsNorm`], as on the CPU.
const RMS_EPSILON: f64 = 1e-6;

/// The output of a graph.
///
/// # Shapes
/// `weights`: one flat tensor for each array of the graph's layout; `input` and the result:
/// `[pictures, channels, rows, columns]`.
pub(crate) fn run(graph: &Graph, weights: &[Tensor<1>], input: Tensor<4>) -> Tensor<4> {
    let mut values: Vec<Tensor<4>> = Vec::with_capacity(graph.nodes.len());
    let specs = graph.layout.specs();
    let array = |index: usize| (weights[index].clone(), &specs[index].shape[..]);
    for node in &graph.nodes {
        let from = |i: usize| values[node.inputs[i].0].clone();
        let shape_of = |i: usize| graph.nodes[node.inputs[i].0].shape;
        let to = node.shape;
        values.push(match node.op {
            Op::Input => input.clone(),
            Op::Conv {
                weight,
                bias,
                stride,
                activation,
                ..
            } => {
                let x = conv(from(0), array(weight), weights[bias].clone(), stride);
                activated(x, activation)
            }
            Op::UpConv {
                weight,
                bias,
                activation,
            } => activated(
                up_conv(from(0), array(weight), weights[bias].clone()),
                activation,
            ),
            Op::Dense {
                weight,
                bias,
                activation,
            } => {
                let (w, dims) = array(weight);
                let w = w.reshape([dims[0], dims[1]]);
                let x = flat(from(0)).matmul(w) + weights[bias].clone().unsqueeze();
                activated(unflat(x, to), activation)
            }
            Op::RmsNorm => {
                let x = flat(from(0));
                let mean = x.clone().square().mean_dim(1);
                unflat(x / (mean + RMS_EPSILON).sqrt(), to)
            }
            Op::SpaceToDepth => space_to_depth(from(0)),
            Op::DepthToSpace => depth_to_space(from(0)),
            Op::Reshape => unflat(flat(from(0)), to),
            Op::AverageDown => {
                let (c, n) = (shape_of(0).c, from(0).dims()[0]);
                let groups = space_to_depth(from(0)).reshape([n, 4 * c / to.c, to.c, to.h, to.w]);
                groups.mean_dim(1).reshape([n, to.c, to.h, to.w])
            }
            Op::Add => from(0) + from(1),
            Op::Sigmoid => sigmoid(from(0)),
        });
    }
    match values.pop() {
        Some(output) => output,
        None => input,
    }
}

fn activated(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::None => x,
        Activation::Relu => relu(x),
        Activation::LeakyRelu(slope) => leaky_relu(x, slope.into()),
    }
}

/// Rows, columns, channels, as the graph counts them.
fn flat(x: Tensor<4>) -> Tensor<2> {
    let [n, c, h, w] = x.dims();
    x.permute([0, 2, 3, 1]).reshape([n, h * w * c])
}

fn unflat(x: Tensor<2>, to: Shape) -> Tensor<4> {
    let n = x.dims()[0];
    x.reshape([n, to.h, to.w, to.c]).permute([0, 3, 1, 2])
}

/// "Same" padding as TensorFlow has it: what is odd goes to the end.
fn padding(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let covered = (size.div_ceil(stride) - 1) * stride + kernel;
    let missing = covered.saturating_sub(size);
    (missing / 2, missing - missing / 2)
}

fn conv(
    x: Tensor<4>,
    (weight, dims): (Tensor<1>, &[usize]),
    bias: Tensor<1>,
    stride: usize,
) -> Tensor<4> {
    let [_, _, h, w] = x.dims();
    let kernel = dims[0];
    let weight = weight
        .reshape([kernel, kernel, dims[2], dims[3]])
        .permute([3, 2, 0, 1]);
    let pads = [padding(h, kernel, stride), padding(w, kernel, stride)];
    let options = ConvOptions::new_with_padding([stride; 2], pads, [1; 2], 1);
    conv2d(x, weight, Some(bias), options)
}

/// Nearest doubling and a 3x3 convolution, as four 2x2 convolutions of the small picture: each of the
/// four pixels of a doubled one sees two rows and two columns of it only, through sums of the taps that
/// fall on the same pixel.
fn up_conv(x: Tensor<4>, (weight, dims): (Tensor<1>, &[usize]), bias: Tensor<1>) -> Tensor<4> {
    let [n, _, h, w] = x.dims();
    let (input, output) = (dims[2], dims[3]);
    // [out, in, 3, 3]
    let weight = weight.reshape([3, 3, input, output]).permute([3, 2, 0, 1]);
    let mut phases = Vec::with_capacity(4);
    for row in 0..2 {
        let rows = doubled_taps(weight.clone(), 2, row);
        for column in 0..2 {
            let both = doubled_taps(rows.clone(), 3, column);
            let pads = [(1 - row, row), (1 - column, column)];
            let options = ConvOptions::new_with_padding([1; 2], pads, [1; 2], 1);
            phases.push(conv2d(x.clone(), both, Some(bias.clone()), options));
        }
    }
    let stacked: Tensor<5> = Tensor::stack(phases, 1);
    stacked
        .reshape([n, 2, 2, output, h, w])
        .permute([0, 3, 4, 1, 5, 2])
        .reshape([n, output, 2 * h, 2 * w])
}

/// Three taps along `dim` become the two of a phase: the first phase sees one alone and two together,
/// the second two together and one alone.
fn doubled_taps(weight: Tensor<4>, dim: usize, phase: usize) -> Tensor<4> {
    let tap = |k: usize| weight.clone().narrow(dim, k, 1);
    let both = |k: usize| tap(k) + tap(k + 1);
    match phase {
        0 => Tensor::cat(vec![tap(0), both(1)], dim),
        _ => Tensor::cat(vec![both(0), tap(2)], dim),
    }
}

/// 2x2 pixels become channels, block position slowest.
fn space_to_depth(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    x.reshape([n, c, h / 2, 2, w / 2, 2])
        .permute([0, 3, 5, 1, 2, 4])
        .reshape([n, 4 * c, h / 2, w / 2])
}

/// Channels become 2x2 pixels, block position slowest.
fn depth_to_space(x: Tensor<4>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    x.reshape([n, 2, 2, c / 4, h, w])
        .permute([0, 3, 4, 1, 5, 2])
        .reshape([n, c / 4, 2 * h, 2 * w])
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn_tensor::{Device, TensorData};
    use stockpot_model::{GraphBuilder, Params, Plan};

    use super::*;

    /// Every operator, odd sizes among them.
    fn graph() -> Graph {
        let leaky = Activation::LeakyRelu(0.1);
        let mut g = GraphBuilder::new("all", Shape::new(12, 8, 3));
        let x = g.conv("in", g.input(), (5, 1, 6), leaky);
        let short = g.average_down(x, 12);
        let x = g.conv("down", x, (3, 2, 12), leaky);
        let x = g.add(x, short);
        let x = g.space_to_depth(x);
        let odd = g.conv("odd", x, (5, 2, 10), Activation::Relu);
        let x = g.rms_norm(odd);
        let x = g.dense("dense", x, 6 * 2 * 4, leaky);
        let x = g.reshape(x, Shape::new(3, 2, 8));
        let x = g.up_conv("up", x, 8, leaky);
        let x = g.depth_to_space(x);
        let x = g.conv("out", x, (3, 1, 4), Activation::None);
        g.sigmoid(x);
        g.build()
    }

    #[test]
    fn every_operator_and_its_gradient_equal_the_cpu_engine() {
        let graph = std::sync::Arc::new(graph());
        let pictures = 3;
        let mut params = Params::init(graph.layout.clone(), 5);
        for (i, v) in params.data.iter_mut().enumerate() {
            *v += 0.02 * (i as f32 * 0.7).sin();
        }
        let input: Vec<f32> = (0..pictures * graph.input_shape().len())
            .map(|i| (i as f32 * 0.37).sin())
            .collect();
        let slope: Vec<f32> = (0..pictures * graph.output_shape().len())
            .map(|i| (i as f32 * 0.11).cos())
            .collect();
        let mut plan = Plan::training(graph.clone(), pictures);
        plan.load(&params);
        let wanted = plan.forward(&input).to_vec();
        let mut gradient = vec![0.0; params.data.len()];
        plan.backward(&slope, &mut gradient, false);

        let device = Device::flex().autodiff();
        let tensor = |data: &[f32]| {
            Tensor::<1>::from_data(TensorData::new(data.to_vec(), [data.len()]), &device)
        };
        let weights: Vec<Tensor<1>> = graph
            .layout
            .specs()
            .iter()
            .map(|spec| tensor(&params.data[spec.range()]).require_grad())
            .collect();
        let Shape { h, w, c } = graph.input_shape();
        let x = tensor(&input)
            .reshape([pictures, h, w, c])
            .permute([0, 3, 1, 2]);
        let found = flat(run(&graph, &weights, x)).reshape([-1]);
        let mut grads = (found.clone() * tensor(&slope)).sum().backward();
        close("output", &wanted, &found.try_to_vec_as::<f32>().unwrap());
        for (spec, leaf) in graph.layout.specs().iter().zip(&weights) {
            let found = leaf.grad_remove(&mut grads).unwrap();
            let found = found.try_into_vec_as::<f32>().unwrap();
            close(&spec.name, &gradient[spec.range()], &found);
        }
    }

    fn close(what: &str, wanted: &[f32], found: &[f32]) {
        assert_eq!(wanted.len(), found.len(), "{what}");
        let size = wanted.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
        for (i, (a, b)) in wanted.iter().zip(found).enumerate() {
            assert!((a - b).abs() < 2e-5 * size, "{what}[{i}]: {a} {b}");
        }
    }
}
