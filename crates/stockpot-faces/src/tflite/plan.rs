//! From a graph to a plan: every operator checked, weights taken, buffers shared.
//!
//! After [`Plan::new`] has accepted a graph, running it cannot fail: every length is known to
//! fit. Memory is bounded by the limits below, whatever the file says.

mod operators;

use std::collections::HashMap;
use std::ops::Range;

use super::graph::{Graph, Operator, TensorKind};
use crate::Error;
use crate::ops::{Act, Conv, Depthwise, Dims, ResizeMode, Window};

/// Numbers of all weights together; the face models have at most 0.7 million.
const MAX_WEIGHTS: usize = 3 << 20;
/// Numbers of all buffers together; the face models need at most 1 million.
const MAX_ACTIVATIONS: usize = 3 << 20;
/// Multiplications of one run; the face models need about 0.2 thousand million.
const MAX_WORK: u64 = 2_000_000_000;

/// Kernels and windows larger than this are refused: the convolution keeps a pointer per tap.
const MAX_KERNEL: usize = 32;

/// A buffer number.
pub(super) type Slot = usize;

/// What one step does. Slots are those of [`Plan::slots`].
#[derive(Debug)]
pub(super) enum Kind {
    Conv {
        conv: Conv,
        window: Window,
        src: Slot,
    },
    Depthwise {
        conv: Depthwise,
        window: Window,
        src: Slot,
    },
    Add {
        a: Slot,
        b: Slot,
    },
    MaxPool {
        window: Window,
        src: Slot,
    },
    AveragePool {
        window: Window,
        src: Slot,
    },
    Pad {
        before: [usize; 3],
        src: Slot,
    },
    Resize {
        mode: ResizeMode,
        src: Slot,
    },
    /// Each part is a slot and the length of its run; `outer` runs of each part follow one another.
    Concat {
        outer: usize,
        parts: Vec<(Slot, usize)>,
    },
    /// Only the activation.
    Copy {
        src: Slot,
    },
}

/// One step: reads some slots, writes one.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) kind: Kind,
    /// Size of the first input.
    pub(super) size: Dims,
    pub(super) dst: Slot,
    pub(super) out: Dims,
    pub(super) act: Act,
}

/// An activation as the caller sees it.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) slot: Slot,
    pub(super) shape: Vec<usize>,
}

impl Port {
    pub(super) fn len(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Everything needed to run a model, but the buffers.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Numbers in each buffer.
    pub(super) slots: Vec<usize>,
    pub(super) input: Port,
    pub(super) outputs: Vec<Port>,
}

impl Plan {
    pub(super) fn new(graph: &Graph, file: &[u8]) -> Result<Self, Error> {
        let mut builder = Builder::new(graph, file)?;
        for operator in &graph.operators {
            builder.operator(operator)?;
        }
        builder.finish()
    }
}

/// Work in progress: steps whose slots are still values, one per computed activation.
struct Builder<'a> {
    graph: &'a Graph,
    file: &'a [u8],
    /// The value that each tensor is (several tensors may be one value).
    value_of: HashMap<usize, usize>,
    /// Numbers in each value.
    values: Vec<usize>,
    /// The constant behind each tensor that is only the 32-bit form of one.
    widened: HashMap<usize, usize>,
    /// How many operators and outputs read each tensor.
    readers: Vec<usize>,
    steps: Vec<Step>,
    weights: usize,
    work: u64,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a Graph, file: &'a [u8]) -> Result<Self, Error> {
        let [input] = graph.inputs[..] else {
            return Err(Error::unsupported(format!(
                "{} inputs, exactly one is wanted",
                graph.inputs.len()
            )));
        };
        let mut readers = vec![0; graph.tensors.len()];
        let read = graph
            .operators
            .iter()
            .flat_map(|o| o.inputs.iter().flatten());
        for tensor in read.chain(&graph.outputs) {
            readers[*tensor] += 1;
        }
        let mut builder = Self {
            graph,
            file,
            value_of: HashMap::new(),
            values: Vec::new(),
            widened: HashMap::new(),
            readers,
            steps: Vec::new(),
            weights: 0,
            work: 0,
        };
        builder.new_value(input)?;
        Ok(builder)
    }

    fn shape(&self, tensor: usize) -> &'a [usize] {
        &self.graph.tensors[tensor].shape
    }

    fn elements(&self, tensor: usize) -> Result<usize, Error> {
        let n = self.shape(tensor).iter().product();
        within("numbers of a tensor", n as u64, MAX_ACTIVATIONS as u64).map(|()| n)
    }

    fn new_value(&mut self, tensor: usize) -> Result<usize, Error> {
        if self.graph.tensors[tensor].kind != TensorKind::F32 {
            return Err(Error::unsupported("an activation that is not 32-bit float"));
        }
        let len = self.elements(tensor)?;
        self.values.push(len);
        let value = self.values.len() - 1;
        if self.value_of.insert(tensor, value).is_some() {
            return Err(Error::unsupported("a tensor that is written twice"));
        }
        Ok(value)
    }

    /// The value of an operator's input.
    fn input(&self, operator: &Operator, index: usize) -> Result<(usize, usize), Error> {
        let tensor = self.operand(operator, index)?;
        self.value_of
            .get(&tensor)
            .map(|value| (tensor, *value))
            .ok_or_else(|| {
                Error::unsupported(format!(
                    "{:?} reads tensor {tensor} before it is computed",
                    operator.code
                ))
            })
    }

    fn operand(&self, operator: &Operator, index: usize) -> Result<usize, Error> {
        operator
            .inputs
            .get(index)
            .copied()
            .flatten()
            .ok_or_else(|| {
                Error::unsupported(format!("{:?} without its input {index}", operator.code))
            })
    }

    /// Height, width and channels of a tensor of batch 1.
    fn dims(&self, tensor: usize) -> Result<Dims, Error> {
        match self.shape(tensor) {
            [1, height, width, channels] => Ok(Dims::new(*height, *width, *channels)),
            other => Err(Error::unsupported(format!(
                "shape {other:?} where [1, height, width, channels] is wanted"
            ))),
        }
    }

    fn bytes(&self, tensor: usize) -> Result<&'a [u8], Error> {
        let data: Option<Range<usize>> = self.graph.tensors[tensor].data.clone();
        data.and_then(|range| self.file.get(range))
            .ok_or_else(|| Error::unsupported(format!("tensor {tensor} has no constant values")))
    }

    /// A constant as 32-bit floats.
    fn floats(&mut self, tensor: usize) -> Result<Vec<f32>, Error> {
        let source = self.widened.get(&tensor).copied().unwrap_or(tensor);
        let n = self.elements(source)?;
        self.weights += n;
        within(
            "numbers of all weights",
            self.weights as u64,
            MAX_WEIGHTS as u64,
        )?;
        let bytes = self.bytes(source)?;
        let (floats, wanted): (Vec<f32>, usize) = match self.graph.tensors[source].kind {
            TensorKind::F32 if bytes.len() == 4 * n => {
                let (words, _) = bytes.as_chunks::<4>();
                (words.iter().map(|w| f32::from_le_bytes(*w)).collect(), n)
            }
            TensorKind::F16 if bytes.len() == 2 * n => {
                let (words, _) = bytes.as_chunks::<2>();
                (
                    words.iter().map(|w| half(u16::from_le_bytes(*w))).collect(),
                    n,
                )
            }
            kind => {
                return Err(Error::unsupported(format!(
                    "{n} weights of kind {kind:?} in {} bytes",
                    bytes.len()
                )));
            }
        };
        if self.elements(tensor)? != wanted {
            return Err(Error::unsupported("DEQUANTIZE that changes the shape"));
        }
        Ok(floats)
    }

    /// A small constant of 32-bit integers.
    fn integers(&self, tensor: usize, count: usize) -> Result<Vec<i32>, Error> {
        let bytes = self.bytes(tensor)?;
        if self.graph.tensors[tensor].kind != TensorKind::I32 || bytes.len() != 4 * count {
            return Err(Error::unsupported(format!(
                "a parameter that is not {count} 32-bit integers"
            )));
        }
        let (words, _) = bytes.as_chunks::<4>();
        Ok(words.iter().map(|w| i32::from_le_bytes(*w)).collect())
    }

    fn spend(&mut self, work: u64) -> Result<(), Error> {
        self.work = self.work.saturating_add(work);
        within("multiplications of one run", self.work, MAX_WORK)
    }

    /// Shares buffers between values that do not live at the same time.
    fn finish(mut self) -> Result<Plan, Error> {
        let mut last_use = vec![0; self.values.len()];
        for (at, step) in self.steps.iter().enumerate() {
            step.kind.sources().for_each(|value| last_use[value] = at);
            // A result that nobody reads lives as long as its own step.
            last_use[step.dst] = last_use[step.dst].max(at);
        }
        let port = |tensor: &usize| {
            self.value_of.get(tensor).map(|value| Port {
                slot: *value,
                shape: self.shape(*tensor).to_vec(),
            })
        };
        let missing = || Error::unsupported("an input or output that is never computed");
        let mut input = self
            .graph
            .inputs
            .first()
            .and_then(port)
            .ok_or_else(missing)?;
        let mut outputs = self
            .graph
            .outputs
            .iter()
            .map(|t| port(t).ok_or_else(missing))
            .collect::<Result<Vec<_>, _>>()?;
        for output in &outputs {
            last_use[output.slot] = usize::MAX;
        }
        let mut slots: Vec<usize> = Vec::new();
        let mut slot_of = vec![usize::MAX; self.values.len()];
        let mut free: Vec<Slot> = Vec::new();
        // The input keeps its slot, so that a caller may run again without filling it.
        slot_of[input.slot] = 0;
        slots.push(self.values[input.slot]);
        last_use[input.slot] = usize::MAX;
        for (at, step) in self.steps.iter().enumerate() {
            let len = self.values[step.dst];
            let fitting = (0..free.len()).filter(|i| slots[free[*i]] >= len);
            let slot = match fitting.min_by_key(|i| slots[free[*i]]) {
                Some(i) => free.swap_remove(i),
                None => {
                    slots.push(len);
                    slots.len() - 1
                }
            };
            slot_of[step.dst] = slot;
            let mut done: Vec<usize> = step
                .kind
                .sources()
                .chain([step.dst])
                .filter(|v| last_use[*v] == at)
                .collect();
            done.sort_unstable();
            done.dedup();
            free.extend(done.into_iter().map(|v| slot_of[v]));
        }
        let total = slots.iter().map(|n| *n as u64).sum();
        within("numbers of all buffers", total, MAX_ACTIVATIONS as u64)?;
        for step in &mut self.steps {
            step.kind.rename(&slot_of);
            step.dst = slot_of[step.dst];
        }
        input.slot = slot_of[input.slot];
        for output in &mut outputs {
            output.slot = slot_of[output.slot];
        }
        Ok(Plan {
            steps: self.steps,
            slots,
            input,
            outputs,
        })
    }
}

impl Kind {
    fn sources(&self) -> impl Iterator<Item = usize> + '_ {
        let (one, two, parts): (_, _, &[(Slot, usize)]) = match self {
            Self::Conv { src, .. }
            | Self::Depthwise { src, .. }
            | Self::MaxPool { src, .. }
            | Self::AveragePool { src, .. }
            | Self::Pad { src, .. }
            | Self::Resize { src, .. }
            | Self::Copy { src } => (Some(*src), None, &[]),
            Self::Add { a, b } => (Some(*a), Some(*b), &[]),
            Self::Concat { parts, .. } => (None, None, parts),
        };
        one.into_iter().chain(two).chain(parts.iter().map(|p| p.0))
    }

    fn rename(&mut self, slot_of: &[Slot]) {
        match self {
            Self::Conv { src, .. }
            | Self::Depthwise { src, .. }
            | Self::MaxPool { src, .. }
            | Self::AveragePool { src, .. }
            | Self::Pad { src, .. }
            | Self::Resize { src, .. }
            | Self::Copy { src } => *src = slot_of[*src],
            Self::Add { a, b } => {
                *a = slot_of[*a];
                *b = slot_of[*b];
            }
            Self::Concat { parts, .. } => parts.iter_mut().for_each(|p| p.0 = slot_of[p.0]),
        }
    }
}

fn within(what: &'static str, value: u64, limit: u64) -> Result<(), Error> {
    if value > limit {
        return Err(Error::ModelTooLarge { what, value, limit });
    }
    Ok(())
}

/// A 16-bit float (IEEE 754 binary16) as 32 bits; exact.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        0 => {
            let tiny = fraction as f32 / 16_777_216.0; // 2^-24
            if sign == 0 { tiny } else { -tiny }
        }
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn half_floats_by_hand() {
        assert_eq!(half(0x3c00), 1.0);
        assert_eq!(half(0xc000), -2.0);
        assert_eq!(half(0x3555), 0.333_251_95);
        assert_eq!(half(0x0001), 5.960_464_5e-8);
        assert_eq!(half(0x8000).to_bits(), (-0.0f32).to_bits());
        assert_eq!(half(0x7bff), 65504.0);
        assert!(half(0x7c00).is_infinite() && half(0x7e00).is_nan());
    }
}
