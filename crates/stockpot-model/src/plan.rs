//! Runs a graph on the CPU at a fixed batch: every buffer is allocated once (`plan_memory` says which
//! activations and gradients share one), weights are packed once per change, and nothing is allocated
//! in the loop but pointers.
//!
//! `load` weights, `forward` a batch, and (for training plans) `backward` from the gradient of the
//! output. The backward half lies in `plan_backward`.
//!
//! A training plan may round the inputs of its products to `bf16`; activations, gradients, weights
//! and all sums stay `f32`.

use std::sync::Arc;

use rayon::prelude::*;
use stockpot_kernels::{
    ConvShape, Epilogue, Gather, PackSource, PackedMatrix, Precision, UpConvShape, matmul,
    matmul_all, pointwise,
};

use crate::graph::{Graph, NodeId, Op, Shape};
use crate::params::Params;
use crate::plan_memory::Memory;

/// Packed weights of one node.
#[derive(Debug)]
pub(crate) enum Layer {
    /// Nothing to pack.
    None,
    /// A convolution.
    Conv(Box<ConvLayer>),
    /// A doubling convolution.
    UpConv(Box<UpConvLayer>),
    /// A dense layer.
    Dense(Box<DenseLayer>),
}

#[derive(Debug)]
pub(crate) struct ConvLayer {
    pub precision: Precision,
    pub shape: ConvShape,
    pub forward: Gather,
    pub packed: PackedMatrix,
    pub input_grads: Vec<(Gather, Vec<usize>, PackedMatrix)>,
    /// Whether the input-gradient phases reach every input pixel.
    pub covers: bool,
    pub bias: Vec<f32>,
}

#[derive(Debug)]
pub(crate) struct UpConvLayer {
    pub precision: Precision,
    pub shape: UpConvShape,
    pub forward: [Gather; 4],
    pub packed: [PackedMatrix; 4],
    pub input_grad: Gather,
    pub packed_grad: PackedMatrix,
    pub phases: Vec<f32>,
    pub phase_grad: Vec<f32>,
    pub bias: Vec<f32>,
}

#[derive(Debug)]
pub(crate) struct DenseLayer {
    pub precision: Precision,
    pub forward: Gather,
    pub packed: PackedMatrix,
    pub input_grad: Gather,
    pub packed_grad: PackedMatrix,
    pub bias: Vec<f32>,
}

/// A graph with all its buffers at one batch size.
#[derive(Debug)]
pub struct Plan {
    pub(crate) graph: Arc<Graph>,
    pub(crate) batch: usize,
    pub(crate) training: bool,
    pub(crate) memory: Memory,
    pub(crate) layers: Vec<Layer>,
    /// For each node and input: whether its gradient is the first to be written there.
    pub(crate) first_writer: Vec<Vec<bool>>,
    /// For gradients that cannot be added where they arise; grows once.
    pub(crate) scratch: Vec<f32>,
    pub(crate) loaded: bool,
}

impl Plan {
    /// A plan that can only run forward.
    pub fn inference(graph: Arc<Graph>, batch: usize) -> Self {
        Self::inference_in(graph, batch, Precision::F32)
    }

    /// [`Plan::inference`] in the precision of a training plan: the same numbers to the bit.
    pub fn inference_in(graph: Arc<Graph>, batch: usize, precision: Precision) -> Self {
        Self::new(graph, batch, false, precision)
    }

    /// A plan that can run backward as well; about three times the memory.
    pub fn training(graph: Arc<Graph>, batch: usize) -> Self {
        Self::training_in(graph, batch, Precision::F32)
    }

    /// [`Plan::training`] whose products round their inputs to `precision`, but for layers that
    /// see pixels or draw them: those have few channels, so little is gained, and what they round
    /// shows.
    pub fn training_in(graph: Arc<Graph>, batch: usize, precision: Precision) -> Self {
        Self::new(graph, batch, true, precision)
    }

    fn new(graph: Arc<Graph>, batch: usize, training: bool, precision: Precision) -> Self {
        let layers = graph
            .nodes
            .iter()
            .map(|n| make_layer(&graph, n, batch, precision))
            .collect();
        let mut seen = vec![false; graph.nodes.len()];
        let mut first_writer = vec![Vec::new(); graph.nodes.len()];
        for (i, node) in graph.nodes.iter().enumerate().rev() {
            for input in &node.inputs {
                // A reshape passes its buffer through; it writes nothing itself.
                let to = source(&graph, *input).0;
                let writes = node.op != Op::Reshape;
                first_writer[i].push(writes && !seen[to]);
                seen[to] |= writes;
            }
        }
        let memory = Memory::new(&graph, batch, training, &first_writer);
        Self {
            graph,
            batch,
            training,
            memory,
            layers,
            first_writer,
            scratch: Vec::new(),
            loaded: false,
        }
    }

    /// Pictures per call.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The graph.
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// Bytes of all activation and gradient buffers.
    pub fn buffer_bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Takes weights over: packs them for the products. Call again after every change.
    ///
    /// # Panics
    /// If `params` belong to another graph: a bug of the caller.
    pub fn load(&mut self, params: &Params) {
        assert_eq!(
            params.layout(),
            &self.graph.layout,
            "weights of another network"
        );
        self.load_slice(&params.data);
    }

    /// [`Plan::load`] from a bare buffer in the layout's order.
    ///
    /// # Panics
    /// If the length does not fit the layout: a bug of the caller.
    pub fn load_slice(&mut self, data: &[f32]) {
        assert_eq!(
            data.len(),
            self.graph.layout.len(),
            "weights of another network"
        );
        in_pool(|| self.load_here(data));
        self.loaded = true;
    }

    fn load_here(&mut self, data: &[f32]) {
        let specs = self.graph.layout.specs();
        for (node, layer) in self.graph.nodes.iter().zip(&mut self.layers) {
            let arrays = match node.op {
                Op::Conv { weight, bias, .. }
                | Op::UpConv { weight, bias, .. }
                | Op::Dense { weight, bias, .. } => {
                    Some((&data[specs[weight].range()], &data[specs[bias].range()]))
                }
                _ => None,
            };
            let Some((weight, bias)) = arrays else {
                continue;
            };
            match layer {
                Layer::None => {}
                Layer::Conv(l) => l.load(weight, bias, self.training),
                Layer::UpConv(l) => l.load(weight, bias, self.training),
                Layer::Dense(l) => l.load(weight, bias, self.training),
            }
        }
    }

    /// Runs a batch and returns the output.
    ///
    /// # Shapes
    /// `input`: `[batch]` + the graph's input shape; the result: `[batch]` + its output shape.
    ///
    /// # Panics
    /// If no weights were loaded or the length is wrong: bugs of the caller.
    pub fn forward(&mut self, input: &[f32]) -> &[f32] {
        assert!(self.loaded, "weights must be loaded before a plan runs");
        let place = self.memory.value_place(0);
        assert_eq!(input.len(), place.len, "input of the plan");
        in_pool(|| self.forward_here(input));
        self.output()
    }

    fn forward_here(&mut self, input: &[f32]) {
        let place = self.memory.value_place(0);
        let mut first = self.memory.take(place);
        copy(input, &mut first[..place.len]);
        self.memory.put(place, first);
        for i in 1..self.graph.nodes.len() {
            if self.graph.nodes[i].op == Op::Reshape {
                continue;
            }
            let place = self.memory.value_place(i);
            let mut out = self.memory.take(place);
            self.forward_node(i, &mut out[..place.len]);
            self.memory.put(place, out);
        }
    }

    /// The output of the last forward run.
    pub fn output(&self) -> &[f32] {
        self.value(NodeId(self.graph.nodes.len() - 1))
    }

    pub(crate) fn value(&self, id: NodeId) -> &[f32] {
        self.memory.value(source(&self.graph, id).0)
    }

    fn forward_node(&self, i: usize, out: &mut [f32]) {
        let node = &self.graph.nodes[i];
        let x = self.value(node.inputs[0]);
        let from = self.graph.nodes[node.inputs[0].0].shape;
        match (&node.op, &self.layers[i]) {
            (Op::Conv { activation, .. }, Layer::Conv(l)) => {
                let epilogue = Epilogue {
                    bias: Some(&l.bias),
                    slope: activation.slope(),
                    add: false,
                };
                matmul(&l.forward, x, &l.packed, epilogue, out);
            }
            (Op::UpConv { activation, .. }, Layer::UpConv(l)) => {
                let epilogue = Epilogue {
                    bias: Some(&l.bias),
                    slope: activation.slope(),
                    add: false,
                };
                let phases: [_; 4] = std::array::from_fn(|p| (&l.forward[p], &l.packed[p]));
                matmul_all(&phases, x, epilogue, out);
            }
            (Op::Dense { activation, .. }, Layer::Dense(l)) => {
                let epilogue = Epilogue {
                    bias: Some(&l.bias),
                    slope: activation.slope(),
                    add: false,
                };
                matmul(&l.forward, x, &l.packed, epilogue, out);
            }
            (Op::RmsNorm, _) => pointwise::rms_norm(x, from.len(), out),
            (Op::SpaceToDepth, _) => {
                let s = node.shape;
                pointwise::space_to_depth(x, self.batch, s.h, s.w, from.c, out);
            }
            (Op::DepthToSpace, _) => {
                pointwise::depth_to_space(x, self.batch, from.h, from.w, node.shape.c, out);
            }
            (Op::AverageDown, _) => average_down(x, from, node.shape, out),
            (Op::Add, _) => {
                let y = self.value(node.inputs[1]);
                out.par_chunks_mut(CHUNK)
                    .zip(x.par_chunks(CHUNK).zip(y.par_chunks(CHUNK)))
                    .for_each(|(out, (x, y))| {
                        out.iter_mut()
                            .zip(x.iter().zip(y))
                            .for_each(|(o, (x, y))| *o = x + y);
                    });
            }
            (Op::Sigmoid, _) => {
                copy(x, out);
                pointwise::sigmoid(out);
            }
            // The input was copied, a reshape reads its source's buffer, and every weighted
            // operator got its layer when the plan was made.
            (
                Op::Input | Op::Reshape | Op::Conv { .. } | Op::UpConv { .. } | Op::Dense { .. },
                _,
            ) => {}
        }
    }
}

/// Does `work` on a thread of the pool, which then shares out its parts itself. From any other thread
/// every parallel loop would be handed over and waited for asleep: hundreds a step.
pub(crate) fn in_pool(work: impl FnOnce() + Send) {
    rayon::scope(|_| work());
}

/// A copy on all threads.
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    to.par_chunks_mut(CHUNK)
        .zip(from.par_chunks(CHUNK))
        .for_each(|(to, from)| to.copy_from_slice(from));
}

/// Numbers handled by one task of a pointwise operator.
pub(crate) const CHUNK: usize = 1 << 15;

/// The node that owns the buffer of `id`: reshapes pass through.
pub(crate) fn source(graph: &Graph, id: NodeId) -> NodeId {
    let mut at = id;
    while graph.nodes[at.0].op == Op::Reshape {
        at = graph.nodes[at.0].inputs[0];
    }
    at
}

/// The fewest channels of a rounded layer's input: fewer are colours.
const LEAST_ROUNDED_INPUT: usize = 8;
/// The fewest channels of a rounded layer's output: fewer are colours and mask.
const LEAST_ROUNDED_OUTPUT: usize = 16;

fn make_layer(
    graph: &Graph,
    node: &crate::graph::Node,
    batch: usize,
    precision: Precision,
) -> Layer {
    let Some(input) = node.inputs.first().map(|id| graph.nodes[id.0].shape) else {
        return Layer::None;
    };
    let precision = if input.c < LEAST_ROUNDED_INPUT || node.shape.c < LEAST_ROUNDED_OUTPUT {
        Precision::F32
    } else {
        precision
    };
    let empty = || PackedMatrix::empty_in(precision);
    match node.op {
        Op::Conv { kernel, stride, .. } => {
            let shape = ConvShape {
                batch,
                in_h: input.h,
                in_w: input.w,
                in_c: input.c,
                out_c: node.shape.c,
                kernel,
                stride,
            };
            let input_grads: Vec<_> = shape
                .input_grad()
                .into_iter()
                .map(|(gather, taps)| (gather, taps, empty()))
                .collect();
            let reached: usize = input_grads.iter().map(|(g, ..)| g.grid_h * g.grid_w).sum();
            Layer::Conv(Box::new(ConvLayer {
                precision,
                shape,
                forward: shape.forward(),
                packed: empty(),
                covers: reached == input.h * input.w,
                input_grads,
                bias: Vec::new(),
            }))
        }
        Op::UpConv { .. } => {
            let shape = UpConvShape {
                batch,
                in_h: input.h,
                in_w: input.w,
                in_c: input.c,
                out_c: node.shape.c,
            };
            Layer::UpConv(Box::new(UpConvLayer {
                precision,
                shape,
                forward: std::array::from_fn(|phase| shape.forward(phase)),
                packed: std::array::from_fn(|_| empty()),
                input_grad: shape.input_grad(),
                packed_grad: empty(),
                phases: vec![0.0; shape.phase_len()],
                phase_grad: Vec::new(),
                bias: Vec::new(),
            }))
        }
        Op::Dense { .. } => Layer::Dense(Box::new(DenseLayer {
            precision,
            forward: Gather::dense(batch, input.len(), node.shape.len()),
            packed: empty(),
            input_grad: Gather::dense(batch, node.shape.len(), input.len()),
            packed_grad: empty(),
            bias: Vec::new(),
        })),
        _ => Layer::None,
    }
}

impl ConvLayer {
    fn load(&mut self, weight: &[f32], bias: &[f32], training: bool) {
        self.shape.pack_forward(weight, &mut self.packed);
        if training {
            for (_, taps, packed) in &mut self.input_grads {
                self.shape.pack_input_grad(weight, taps, packed);
            }
        }
        set(&mut self.bias, bias);
    }
}

impl UpConvLayer {
    fn load(&mut self, weight: &[f32], bias: &[f32], training: bool) {
        self.shape.phases_from_weights(weight, &mut self.phases);
        for (phase, packed) in self.packed.iter_mut().enumerate() {
            self.shape.pack_forward(&self.phases, phase, packed);
        }
        if training {
            self.shape
                .pack_input_grad(&self.phases, &mut self.packed_grad);
            self.phase_grad.resize(self.shape.phase_len(), 0.0);
        }
        set(&mut self.bias, bias);
    }
}

impl DenseLayer {
    fn load(&mut self, weight: &[f32], bias: &[f32], training: bool) {
        let (inputs, outputs) = (self.forward.in_c, self.forward.out_c);
        let mut source = PackSource {
            weights: weight,
            tap_offsets: &[0],
            channels: inputs,
            channel_stride: outputs,
            columns: outputs,
            column_stride: 1,
        };
        self.packed.pack(&source);
        if training {
            (source.channels, source.channel_stride) = (outputs, 1);
            (source.columns, source.column_stride) = (inputs, outputs);
            self.packed_grad.pack(&source);
        }
        set(&mut self.bias, bias);
    }
}

fn set(to: &mut Vec<f32>, from: &[f32]) {
    to.clear();
    to.extend_from_slice(from);
}

/// Mean over groups of the four block positions: `y[k % out_c] += x[block, c] * out_c / (4 c)`
/// with `k = block * c + channel`.
fn average_down(x: &[f32], from: Shape, to: Shape, y: &mut [f32]) {
    let scale = to.c as f32 / (4 * from.c) as f32;
    let pictures = y.par_chunks_exact_mut(to.len());
    pictures
        .zip(x.par_chunks_exact(from.len()))
        .for_each(|(y, x)| {
            y.fill(0.0);
            visit_average(from, to, |fine, deep, run| {
                let (y, x) = (&mut y[deep..deep + run], &x[fine..fine + run]);
                y.iter_mut().zip(x).for_each(|(y, x)| *y += scale * x);
            });
        });
}

/// Its gradient with respect to `x`, which is overwritten, or added to what is there.
pub(crate) fn average_down_backward(
    grad: &[f32],
    from: Shape,
    to: Shape,
    add: bool,
    x: &mut [f32],
) {
    let scale = to.c as f32 / (4 * from.c) as f32;
    let pictures = x.par_chunks_exact_mut(from.len());
    pictures
        .zip(grad.par_chunks_exact(to.len()))
        .for_each(|(x, y)| {
            visit_average(from, to, |fine, deep, run| {
                let (x, y) = (&mut x[fine..fine + run], &y[deep..deep + run]);
                let pairs = x.iter_mut().zip(y);
                if add {
                    pairs.for_each(|(x, y)| *x += scale * y);
                } else {
                    pairs.for_each(|(x, y)| *x = scale * y);
                }
            });
        });
}

/// Visits every contiguous run of an average shortcut: offsets in the fine and in the deep picture
/// and the run's length.
fn visit_average(from: Shape, to: Shape, mut visit: impl FnMut(usize, usize, usize)) {
    for row in 0..to.h {
        for column in 0..to.w {
            let deep = (row * to.w + column) * to.c;
            for block in 0..4 {
                let fine = ((2 * row + block / 2) * from.w + 2 * column + block % 2) * from.c;
                let mut channel = 0;
                while channel < from.c {
                    let k = (block * from.c + channel) % to.c;
                    let run = (to.c - k).min(from.c - channel);
                    visit(fine + channel, deep + k, run);
                    channel += run;
                }
            }
        }
    }
}
