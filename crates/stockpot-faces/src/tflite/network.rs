//! A model that is ready to run: a shared plan and its own buffers.

use std::sync::Arc;

use super::graph::Graph;
use super::plan::{Kind, Plan, Step};
use crate::Error;
use crate::ops::{self, Act};

/// A TFLite model. Cloning shares the weights and makes new buffers: one clone per thread.
#[derive(Debug)]
pub struct Network {
    plan: Arc<Plan>,
    buffers: Vec<Vec<f32>>,
    scratch: Vec<f32>,
}

impl Clone for Network {
    fn clone(&self) -> Self {
        Self::with_buffers(Arc::clone(&self.plan))
    }
}

impl Network {
    /// Reads and plans a model. Never panics, whatever the bytes are, and allocates less than
    /// 64 MB.
    ///
    /// # Errors
    /// [`Error::BadModel`], [`Error::UnsupportedModel`] or [`Error::ModelTooLarge`].
    pub fn from_bytes(file: &[u8]) -> Result<Self, Error> {
        Self::new(&Graph::parse(file)?, file)
    }

    /// Plans a graph whose constants lie in `file`.
    ///
    /// # Errors
    /// As [`Network::from_bytes`].
    pub fn new(graph: &Graph, file: &[u8]) -> Result<Self, Error> {
        let plan = Plan::new(graph, file)?;
        Ok(Self::with_buffers(Arc::new(plan)))
    }

    fn with_buffers(plan: Arc<Plan>) -> Self {
        let buffers = plan.slots.iter().map(|n| vec![0.0; *n]).collect();
        Self {
            plan,
            buffers,
            scratch: Vec::new(),
        }
    }

    /// Shape of the input, batch first.
    pub fn input_shape(&self) -> &[usize] {
        &self.plan.input.shape
    }

    /// Shapes of the outputs, batch first.
    pub fn output_shapes(&self) -> impl Iterator<Item = &[usize]> {
        self.plan.outputs.iter().map(|p| p.shape.as_slice())
    }

    /// The input, to be filled before [`Network::run`]. It is kept between runs.
    pub fn input_mut(&mut self) -> &mut [f32] {
        let port = &self.plan.input;
        &mut self.buffers[port.slot][..port.len()]
    }

    /// Output `index`, which must be below the number of outputs, as the last run left it.
    pub fn output(&self, index: usize) -> &[f32] {
        let port = &self.plan.outputs[index];
        &self.buffers[port.slot][..port.len()]
    }

    /// Computes the outputs from the input.
    pub fn run(&mut self) {
        for step in &self.plan.steps {
            // The destination is taken out, so that the others can be read meanwhile.
            let mut dst = std::mem::take(&mut self.buffers[step.dst]);
            let y = &mut dst[..step.out.len()];
            run_step(step, &self.buffers, y, &mut self.scratch);
            self.buffers[step.dst] = dst;
        }
    }
}

fn run_step(step: &Step, buffers: &[Vec<f32>], y: &mut [f32], scratch: &mut Vec<f32>) {
    let Step { size, out, .. } = *step;
    let input = |slot: usize| &buffers[slot][..size.len()];
    match &step.kind {
        Kind::Conv { conv, window, src } => {
            let relu = step.act == Act::Relu;
            conv.forward(input(*src), size, *window, relu, y, out, scratch);
            if relu {
                return;
            }
        }
        Kind::Depthwise { conv, window, src } => {
            conv.forward(input(*src), size, *window, y, out);
        }
        Kind::Add { a, b } => ops::add(input(*a), input(*b), y),
        Kind::MaxPool { window, src } => ops::max_pool(input(*src), size, *window, y, out),
        Kind::AveragePool { window, src } => ops::average_pool(input(*src), size, *window, y, out),
        Kind::Pad { before, src } => ops::pad(input(*src), size, *before, y, out),
        Kind::Resize { mode, src } => ops::resize(input(*src), size, *mode, y, out),
        Kind::Concat { outer, parts } => {
            let mut at = 0;
            for run in 0..*outer {
                for (slot, len) in parts {
                    y[at..at + len].copy_from_slice(&buffers[*slot][run * len..][..*len]);
                    at += len;
                }
            }
        }
        Kind::Copy { src } => y.copy_from_slice(input(*src)),
    }
    step.act.apply(y);
}
