//! The backward half of a plan: from the gradient of the output to gradients of weights and input.

use rayon::prelude::*;
use stockpot_kernels::weight_grad::weight_grad_in;
use stockpot_kernels::{Epilogue, Gather, Isa, PackedMatrix, matmul, matmul_all, pointwise};

use crate::graph::{NodeId, Op};
use crate::plan::{
    CHUNK, ConvLayer, DenseLayer, Layer, Plan, UpConvLayer, average_down_backward, copy, in_pool,
    source,
};
use crate::plan_memory::heir_of;

impl Plan {
    /// Runs backward after [`Plan::forward`]: **adds** the gradients of the weights to
    /// `grad_params`, and returns the gradient of the input if it is wanted (else an empty slice).
    ///
    /// # Shapes
    /// `grad_output`: as the output; `grad_params`: as the layout; the result: as the input.
    ///
    /// # Panics
    /// If the plan is for inference or a length is wrong: bugs of the caller.
    pub fn backward(
        &mut self,
        grad_output: &[f32],
        grad_params: &mut [f32],
        want_input_grad: bool,
    ) -> &[f32] {
        assert_eq!(
            grad_params.len(),
            self.graph.layout.len(),
            "weight gradients of the plan"
        );
        self.run_back(grad_output, Some(grad_params), want_input_grad)
    }

    /// As [`Plan::backward`] for weights that are held: only the gradient of the input, to the bit,
    /// in about half the time.
    ///
    /// # Panics
    /// As [`Plan::backward`].
    pub fn backward_to_input(&mut self, grad_output: &[f32]) -> &[f32] {
        self.run_back(grad_output, None, true)
    }

    fn run_back(
        &mut self,
        grad_output: &[f32],
        grad_params: Option<&mut [f32]>,
        want_input_grad: bool,
    ) -> &[f32] {
        assert!(self.training, "an inference plan cannot run backward");
        in_pool(|| self.run_back_here(grad_output, grad_params, want_input_grad));
        if want_input_grad {
            self.memory.at(self.memory.grad_place(0))
        } else {
            &[]
        }
    }

    fn run_back_here(
        &mut self,
        grad_output: &[f32],
        mut grad_params: Option<&mut [f32]>,
        want_input_grad: bool,
    ) {
        let last = self.graph.nodes.len() - 1;
        let end = source(&self.graph, NodeId(last)).0;
        let place = self.memory.grad_place(end);
        assert_eq!(grad_output.len(), place.len, "output gradient of the plan");
        let mut first = self.memory.take(place);
        copy(grad_output, &mut first[..place.len]);
        self.memory.put(place, first);
        for i in (1..=last).rev() {
            if self.graph.nodes[i].op == Op::Reshape {
                continue;
            }
            let place = self.memory.grad_place(i);
            let mut grad = self.memory.take(place);
            let weights = grad_params.as_deref_mut();
            self.backward_node(i, &mut grad[..place.len], weights, want_input_grad);
            self.memory.put(place, grad);
        }
    }

    fn backward_node(
        &mut self,
        i: usize,
        grad: &mut [f32],
        mut grad_params: Option<&mut [f32]>,
        want_input_grad: bool,
    ) {
        let graph = self.graph.clone();
        let node = &graph.nodes[i];
        let input = source(&graph, node.inputs[0]);
        let wanted = input.0 != 0 || want_input_grad;
        if let Op::Conv {
            weight,
            bias,
            activation,
            ..
        }
        | Op::UpConv {
            weight,
            bias,
            activation,
        }
        | Op::Dense {
            weight,
            bias,
            activation,
        } = node.op
        {
            let specs = graph.layout.specs();
            let channels = specs[bias].range().len();
            let bias_grad = grad_params.as_deref_mut();
            let bias_grad = bias_grad.map(|all| &mut all[specs[bias].range()]);
            let slope = activation.slope();
            if slope == 1.0 {
                // Nothing was bent, and the output may be gone.
                if let Some(bias_grad) = bias_grad {
                    pointwise::add_columns(grad, channels, bias_grad);
                }
            } else {
                let output = self.memory.value(i);
                pointwise::leaky_backward(output, slope, grad, channels, bias_grad);
            }
            let mut layer = std::mem::replace(&mut self.layers[i], Layer::None);
            let place = self.memory.grad_place(input.0);
            let mut target = wanted.then(|| self.memory.take(place));
            let x = self.memory.value(input.0);
            let weight_grads = grad_params.map(|all| &mut all[specs[weight].range()]);
            let into = target
                .as_mut()
                .map(|t| (&mut t[..place.len], self.first_writer[i][0]));
            match &mut layer {
                Layer::None => {}
                Layer::Conv(l) => conv_backward(l, x, grad, weight_grads, into),
                Layer::UpConv(l) => up_conv_backward(l, x, grad, weight_grads, into),
                Layer::Dense(l) => dense_backward(l, x, grad, weight_grads, into),
            }
            self.layers[i] = layer;
            if let Some(target) = target {
                self.memory.put(place, target);
            }
            return;
        }
        let heir = heir_of(&graph, &self.first_writer, i);
        for (k, id) in node.inputs.iter().enumerate() {
            let to = source(&graph, *id);
            // What an heir gets is in its place already.
            if (to.0 == 0 && !want_input_grad) || heir == Some(k) {
                continue;
            }
            let place = self.memory.grad_place(to.0);
            let mut target = self.memory.take(place);
            if self.first_writer[i][k] {
                self.pointwise_backward(i, grad, &mut target[..place.len]);
            } else {
                self.pointwise_backward_onto(i, grad, &mut target[..place.len]);
            }
            self.memory.put(place, target);
        }
    }

    /// [`Self::pointwise_backward`], but adds to `target`.
    fn pointwise_backward_onto(&mut self, i: usize, grad: &[f32], target: &mut [f32]) {
        let node = &self.graph.nodes[i];
        let from = self.graph.nodes[node.inputs[0].0].shape;
        match node.op {
            Op::Add => add_to(target, grad),
            Op::AverageDown => average_down_backward(grad, from, node.shape, true, target),
            _ => {
                let mut part = std::mem::take(&mut self.scratch);
                part.resize(target.len().max(part.len()), 0.0);
                self.pointwise_backward(i, grad, &mut part[..target.len()]);
                add_to(target, &part[..target.len()]);
                self.scratch = part;
            }
        }
    }

    /// Overwrites `target` with the gradient that an operator without weights passes to an input.
    fn pointwise_backward(&self, i: usize, grad: &[f32], target: &mut [f32]) {
        let node = &self.graph.nodes[i];
        let (shape, from) = (node.shape, self.graph.nodes[node.inputs[0].0].shape);
        match node.op {
            Op::Add => copy(grad, target),
            Op::Sigmoid => {
                copy(grad, target);
                pointwise::sigmoid_backward(self.memory.value(i), target);
            }
            Op::RmsNorm => {
                let x = self.value(node.inputs[0]);
                pointwise::rms_norm_backward(x, grad, from.len(), target);
            }
            Op::SpaceToDepth => {
                pointwise::depth_to_space(grad, self.batch, shape.h, shape.w, from.c, target);
            }
            Op::DepthToSpace => {
                pointwise::space_to_depth(grad, self.batch, from.h, from.w, shape.c, target);
            }
            Op::AverageDown => {
                average_down_backward(grad, from, shape, false, target);
            }
            // Handled by the caller: weighted operators, the input, and reshapes.
            Op::Input | Op::Reshape | Op::Conv { .. } | Op::UpConv { .. } | Op::Dense { .. } => {}
        }
    }
}

/// Where an input gradient goes, and whether it is the first to be written there.
type Target<'a> = Option<(&'a mut [f32], bool)>;

/// Where a weight gradient is added, if it is wanted.
type Weights<'a> = Option<&'a mut [f32]>;

fn conv_backward(l: &mut ConvLayer, x: &[f32], dy: &[f32], dw: Weights<'_>, into: Target<'_>) {
    if let Some(dw) = dw {
        weight_grad_in(Isa::best(), l.precision, &l.forward, x, dy, dw);
    }
    if let Some((dx, first)) = into {
        if first && !l.covers {
            dx.fill(0.0);
        }
        let epilogue = Epilogue {
            add: !first,
            ..Epilogue::NONE
        };
        // Phases of one grid go together; on odd sizes some have a row or column less.
        let grid = |g: &Gather| [g.grid_h, g.grid_w];
        let mut rest: Vec<_> = l.input_grads.iter().map(|(g, _, m)| (g, m)).collect();
        while let Some((first, _)) = rest.first().copied() {
            let alike = |p: &(&Gather, &PackedMatrix)| grid(p.0) == grid(first);
            let (together, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(alike);
            matmul_all(&together, dy, epilogue, dx);
            rest = others;
        }
    }
}

fn up_conv_backward(l: &mut UpConvLayer, x: &[f32], dy: &[f32], dw: Weights<'_>, into: Target<'_>) {
    if let Some(dw) = dw {
        let parts = l.phase_grad.par_chunks_mut(CHUNK);
        parts.for_each(|part| part.fill(0.0));
        l.shape.phase_grad_in(l.precision, x, dy, &mut l.phase_grad);
        l.shape.fold_grad(&l.phase_grad, dw);
    }
    if let Some((dx, first)) = into {
        let epilogue = Epilogue {
            add: !first,
            ..Epilogue::NONE
        };
        matmul(&l.input_grad, dy, &l.packed_grad, epilogue, dx);
    }
}

fn dense_backward(l: &mut DenseLayer, x: &[f32], dy: &[f32], dw: Weights<'_>, into: Target<'_>) {
    if let Some(dw) = dw {
        weight_grad_in(Isa::best(), l.precision, &l.forward, x, dy, dw);
    }
    if let Some((dx, first)) = into {
        let epilogue = Epilogue {
            add: !first,
            ..Epilogue::NONE
        };
        matmul(&l.input_grad, dy, &l.packed_grad, epilogue, dx);
    }
}

fn add_to(to: &mut [f32], part: &[f32]) {
    to.par_chunks_mut(CHUNK)
        .zip(part.par_chunks(CHUNK))
        .for_each(|(to, part)| to.iter_mut().zip(part).for_each(|(t, p)| *t += p));
}
