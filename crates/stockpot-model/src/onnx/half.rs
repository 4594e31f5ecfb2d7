//! One of our graphs as nodes of ONNX, operator by operator.
//!
//! Weights keep their names. Their dimensions are reordered as ONNX wants them, and the 3x3 kernel
//! after a doubling becomes the 4x4 kernel of the one transposed convolution that is the same
//! function: a third of the work of doubling first.

use stockpot_kernels::Activation;

use super::graph::{Attribute, OnnxGraph, Value};
use crate::graph::{Graph, Node, NodeId, Op, Shape};
use crate::params::Params;

/// The smallest mean square that a norm divides by; as in `stockpot_kernels::pointwise::rms_norm`.
const RMS_EPSILON: f32 = 1e-6;

/// Adds a network half over `input` and returns its output.
pub(super) fn add(out: &mut OnnxGraph, graph: &Graph, params: &Params, input: Value) -> Value {
    assert_eq!(
        params.layout(),
        &graph.layout,
        "weights of another network half"
    );
    let mut half = Half { out, graph, params };
    let mut values = vec![input];
    for node in &graph.nodes[1..] {
        let value = half.node(node, &values);
        debug_assert_eq!(value.shape, node.shape);
        values.push(value);
    }
    values.swap_remove(values.len() - 1)
}

struct Half<'a> {
    out: &'a mut OnnxGraph,
    graph: &'a Graph,
    params: &'a Params,
}

impl Half<'_> {
    fn node(&mut self, node: &Node, values: &[Value]) -> Value {
        let input = |i: usize| {
            let NodeId(at) = node.inputs[i];
            values[at].clone()
        };
        let shape = node.shape;
        match node.op {
            // A graph begins with its input and has no other.
            Op::Input => input(0),
            Op::Conv {
                weight,
                bias,
                kernel,
                stride,
                activation,
            } => {
                let x = self.out.mapped(input(0));
                let before = |size: usize, to: usize| {
                    let all = ((to - 1) * stride + kernel).saturating_sub(size);
                    (all / 2, all - all / 2)
                };
                let (top, bottom) = before(x.shape.h, shape.h);
                let (left, right) = before(x.shape.w, shape.w);
                let pads = [top, left, bottom, right].map(|p| p as i64).to_vec();
                let dims = [shape.c, x.shape.c, kernel, kernel];
                let w = self.weights(weight, &dims, |w| outputs_first(w, kernel * kernel, dims));
                let b = self.bias(bias);
                let attributes = [
                    ("kernel_shape", square(kernel)),
                    ("pads", Attribute::Ints(pads)),
                    ("strides", square(stride)),
                ];
                let y = self.out.node("Conv", &[x.name(), &w, &b], &attributes);
                Value::map(self.activated(y, activation), shape)
            }
            Op::UpConv {
                weight,
                bias,
                activation,
            } => {
                let x = self.out.mapped(input(0));
                let dims = [x.shape.c, shape.c, 4, 4];
                let w = self.weights(weight, &dims, |w| doubling(w, x.shape.c, shape.c));
                let b = self.bias(bias);
                let attributes = [
                    ("kernel_shape", square(4)),
                    ("pads", Attribute::Ints(vec![1; 4])),
                    ("strides", square(2)),
                ];
                let inputs = [x.name(), &w, &b];
                let y = self.out.node("ConvTranspose", &inputs, &attributes);
                Value::map(self.activated(y, activation), shape)
            }
            Op::Dense {
                weight,
                bias,
                activation,
            } => {
                let x = self.out.flattened(input(0));
                let w = self.weights(weight, &[x.shape.len(), shape.len()], <[f32]>::to_vec);
                let b = self.bias(bias);
                let y = self.out.node("Gemm", &[x.name(), &w, &b], &[]);
                Value::flat(self.activated(y, activation), shape)
            }
            Op::RmsNorm => self.rms_norm(input(0)),
            Op::SpaceToDepth => {
                let x = self.out.mapped(input(0));
                Value::map(self.space_to_depth(&x), shape)
            }
            Op::DepthToSpace => {
                let x = self.out.mapped(input(0));
                let attributes = [("blocksize", 2.into()), ("mode", Attribute::Text("DCR"))];
                Value::map(
                    self.out.node("DepthToSpace", &[x.name()], &attributes),
                    shape,
                )
            }
            Op::Reshape => {
                let x = self.out.flattened(input(0));
                Value::flat(x.name(), shape)
            }
            Op::AverageDown => self.average_down(input(0), shape),
            Op::Add => {
                let [a, b] = [input(0), input(1)].map(|v| self.out.mapped(v));
                Value::map(self.out.node("Add", &[a.name(), b.name()], &[]), shape)
            }
            Op::Sigmoid => {
                let x = input(0);
                let y = self.out.node("Sigmoid", &[x.name()], &[]);
                match x.is_flat() {
                    true => Value::flat(y, shape),
                    false => Value::map(y, shape),
                }
            }
        }
    }

    /// Divides by the root mean square of all numbers of a picture: their order does not matter.
    fn rms_norm(&mut self, x: Value) -> Value {
        let axes: &[i64] = if x.is_flat() { &[1] } else { &[1, 2, 3] };
        let axes = [("axes", Attribute::Ints(axes.to_vec()))];
        let epsilon = self.out.floats(&[1], vec![RMS_EPSILON]);
        let squares = self.out.node("Mul", &[x.name(), x.name()], &[]);
        let mean = self.out.node("ReduceMean", &[&squares], &axes);
        let sum = self.out.node("Add", &[&mean, &epsilon], &[]);
        let root = self.out.node("Sqrt", &[&sum], &[]);
        let y = self.out.node("Div", &[x.name(), &root], &[]);
        match x.is_flat() {
            true => Value::flat(y, x.shape),
            false => Value::map(y, x.shape),
        }
    }

    fn average_down(&mut self, x: Value, shape: Shape) -> Value {
        let x = self.out.mapped(x);
        let deep = self.space_to_depth(&x);
        let groups = 4 * x.shape.c / shape.c;
        let dims = [groups, shape.c, shape.h, shape.w];
        let grouped = self.out.reshaped(&deep, &dims);
        let attributes = [
            ("axes", Attribute::Ints(vec![1])),
            ("keepdims", Attribute::Int(0)),
        ];
        let y = self.out.node("ReduceMean", &[&grouped], &attributes);
        Value::map(y, shape)
    }

    fn space_to_depth(&mut self, x: &Value) -> String {
        let block = [("blocksize", 2.into())];
        self.out.node("SpaceToDepth", &[x.name()], &block)
    }

    fn activated(&mut self, name: String, activation: Activation) -> String {
        match activation {
            Activation::None => name,
            Activation::Relu => self.out.node("Relu", &[&name], &[]),
            Activation::LeakyRelu(slope) => {
                let slope = [("alpha", Attribute::Float(slope))];
                self.out.node("LeakyRelu", &[&name], &slope)
            }
        }
    }

    fn bias(&mut self, index: usize) -> String {
        let len = self.graph.layout.specs()[index].len();
        self.weights(index, &[len], <[f32]>::to_vec)
    }

    fn weights(
        &mut self,
        index: usize,
        dims: &[usize],
        reorder: impl FnOnce(&[f32]) -> Vec<f32>,
    ) -> String {
        let spec = &self.graph.layout.specs()[index];
        let values = reorder(&self.params.data[spec.range()]);
        self.out.named_floats(&spec.name, dims, values);
        spec.name.clone()
    }
}

fn square(side: usize) -> Attribute {
    Attribute::Ints(vec![side as i64; 2])
}

/// `[taps, in, out]` to `[out, in, taps]`.
fn outputs_first(weights: &[f32], taps: usize, [to, from, ..]: [usize; 4]) -> Vec<f32> {
    let mut out = Vec::with_capacity(weights.len());
    for o in 0..to {
        for i in 0..from {
            out.extend((0..taps).map(|t| weights[(t * from + i) * to + o]));
        }
    }
    out
}

/// The 3x3 kernel after a nearest doubling as the 4x4 kernel of a transposed convolution with
/// stride 2 and one pixel cut off on every side: `[3, 3, in, out]` to `[in, out, 4, 4]`. Along one
/// axis an input pixel reaches output pixel `2 i - 1 + k` by tap `k`; both its copies do so, by the
/// taps `3 - k` and `2 - k` of the 3x3 kernel, where there are such.
fn doubling(weights: &[f32], from: usize, to: usize) -> Vec<f32> {
    const LINKS: [&[usize]; 4] = [&[2], &[1, 2], &[0, 1], &[0]];
    let mut out = Vec::with_capacity(from * to * 16);
    for i in 0..from {
        for o in 0..to {
            for rows in LINKS {
                for columns in LINKS {
                    let tap = |y: &usize, x: &usize| weights[((3 * y + x) * from + i) * to + o];
                    out.push(
                        rows.iter()
                            .flat_map(|y| columns.iter().map(move |x| tap(y, x)))
                            .sum(),
                    );
                }
            }
        }
    }
    out
}
