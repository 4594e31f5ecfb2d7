//! From a graph to a plan: every operator checked, weights taken, buffers shared.
//!
//! After [`Plan::new`] has accepted a graph, running it cannot fail: every length is known to
//! fit. Memory is bounded by the limits below, whatever the file says.

use std::collections::HashMap;
use std::ops::Range;

use super::graph::{Activation, Code, Graph, Operator, Options, Padding, TensorKind};
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

    fn operator(&mut self, operator: &Operator) -> Result<(), Error> {
        let [output] = operator.outputs[..] else {
            return Err(Error::unsupported(format!(
                "{:?} with {} outputs",
                operator.code,
                operator.outputs.len()
            )));
        };
        match operator.code {
            Code::Dequantize => {
                let source = self.operand(operator, 0)?;
                self.bytes(source)?;
                self.widened.insert(output, source);
                Ok(())
            }
            Code::Reshape => {
                let (tensor, value) = self.input(operator, 0)?;
                if self.elements(tensor)? != self.elements(output)? {
                    return Err(Error::unsupported("RESHAPE to another number of values"));
                }
                self.alias(output, value)
            }
            Code::Relu => self.activate(operator, output, Act::Relu),
            Code::Relu6 => self.activate(operator, output, Act::Relu6),
            Code::Prelu => {
                let slope = self.operand(operator, 1)?;
                let slope = self.floats(slope)?;
                if self.shape(output).last() != Some(&slope.len()) {
                    return Err(Error::unsupported("PRELU without one factor per channel"));
                }
                self.activate(operator, output, Act::Prelu(slope))
            }
            Code::Add => self.add(operator, output),
            Code::Conv2d => self.conv(operator, output),
            Code::DepthwiseConv2d => self.depthwise(operator, output),
            Code::MaxPool2d | Code::AveragePool2d => self.pool(operator, output),
            Code::Pad => self.pad(operator, output),
            Code::ResizeBilinear => self.resize(operator, output),
            Code::Concatenation => self.concat(operator, output),
        }
    }

    fn alias(&mut self, output: usize, value: usize) -> Result<(), Error> {
        if self.value_of.insert(output, value).is_some() {
            return Err(Error::unsupported("a tensor that is written twice"));
        }
        Ok(())
    }

    /// An activation joins the step before it if nobody else reads that step's result.
    fn activate(&mut self, operator: &Operator, output: usize, act: Act) -> Result<(), Error> {
        let (tensor, value) = self.input(operator, 0)?;
        if self.shape(tensor) != self.shape(output) {
            return Err(Error::unsupported("an activation that changes the shape"));
        }
        let alone = self.readers[tensor] == 1;
        let step = self.steps.iter_mut().rev().find(|s| s.dst == value);
        // A reshaped value has several names; its readers are not counted together.
        let one_name = self.value_of.values().filter(|v| **v == value).count() == 1;
        if let Some(step) = step
            && alone
            && one_name
            && step.act == Act::None
        {
            step.act = act;
            return self.alias(output, value);
        }
        let n = self.elements(tensor)?;
        let last = self.shape(tensor).last().copied().unwrap_or(1);
        let dims = Dims::new(1, n / last.max(1), last);
        self.push(Kind::Copy { src: value }, dims, output, dims, act)
    }

    fn push(
        &mut self,
        kind: Kind,
        size: Dims,
        output: usize,
        out: Dims,
        act: Act,
    ) -> Result<(), Error> {
        let dst = self.new_value(output)?;
        self.spend(out.len() as u64)?;
        self.steps.push(Step {
            kind,
            size,
            dst,
            out,
            act,
        });
        Ok(())
    }

    fn add(&mut self, operator: &Operator, output: usize) -> Result<(), Error> {
        let (ta, a) = self.input(operator, 0)?;
        let (tb, b) = self.input(operator, 1)?;
        if self.shape(ta) != self.shape(tb) || self.shape(ta) != self.shape(output) {
            return Err(Error::unsupported(format!(
                "ADD of shapes {:?} and {:?}",
                self.shape(ta),
                self.shape(tb)
            )));
        }
        let n = self.elements(output)?;
        let dims = Dims::new(1, 1, n);
        let act = act(operator.options.activation);
        self.push(Kind::Add { a, b }, dims, output, dims, act)
    }

    fn conv(&mut self, operator: &Operator, output: usize) -> Result<(), Error> {
        let (tensor, src) = self.input(operator, 0)?;
        let size = self.dims(tensor)?;
        let weights = self.operand(operator, 1)?;
        let [out_channels, kh, kw, in_channels] = self.shape(weights)[..] else {
            return Err(Error::unsupported("CONV_2D weights that are not of rank 4"));
        };
        if in_channels != size.channels {
            return Err(Error::unsupported(format!(
                "CONV_2D of {in_channels} channels on {}",
                size.channels
            )));
        }
        let (window, out) = self.window(operator, [kh, kw], size, out_channels, output)?;
        if window.stride[0] != window.stride[1] {
            return Err(Error::unsupported("CONV_2D with two different strides"));
        }
        let copied = Conv::scratch_len([kh, kw], in_channels, out);
        within(
            "numbers of all windows",
            copied as u64,
            MAX_ACTIVATIONS as u64,
        )?;
        let taps = kh * kw * in_channels;
        self.spend((out.len() as u64).saturating_mul(taps as u64))?;
        // Packed weights are rounded up to whole vectors.
        self.weights = self
            .weights
            .saturating_add(taps * out_channels.next_multiple_of(64));
        within(
            "numbers of all weights",
            self.weights as u64,
            MAX_WEIGHTS as u64,
        )?;
        let ohwi = self.floats(weights)?;
        let bias = self.bias(operator, out_channels)?;
        let mut hwio = vec![0.0; ohwi.len()];
        for (o, one) in ohwi.chunks_exact(taps).enumerate() {
            for (tap, w) in one.iter().enumerate() {
                hwio[tap * out_channels + o] = *w;
            }
        }
        let conv = Conv::new([kh, kw], in_channels, out_channels, &hwio, bias);
        let kind = Kind::Conv { conv, window, src };
        self.push(kind, size, output, out, act(operator.options.activation))
    }

    fn depthwise(&mut self, operator: &Operator, output: usize) -> Result<(), Error> {
        let (tensor, src) = self.input(operator, 0)?;
        let size = self.dims(tensor)?;
        let weights = self.operand(operator, 1)?;
        let [1, kh, kw, channels] = self.shape(weights)[..] else {
            return Err(Error::unsupported(
                "DEPTHWISE_CONV_2D weights of another rank",
            ));
        };
        if channels != size.channels {
            return Err(Error::unsupported(format!(
                "DEPTHWISE_CONV_2D of {channels} channels on {}",
                size.channels
            )));
        }
        let (window, out) = self.window(operator, [kh, kw], size, channels, output)?;
        self.spend((out.len() as u64).saturating_mul((kh * kw) as u64))?;
        // The weights of each tap are kept with a stretch of repetition.
        self.weights = self.weights.saturating_add(kh * kw * (channels + 64));
        within(
            "numbers of all weights",
            self.weights as u64,
            MAX_WEIGHTS as u64,
        )?;
        let weights = self.floats(weights)?;
        let bias = self.bias(operator, channels)?;
        let conv = Depthwise::new(channels, &weights, &bias);
        let kind = Kind::Depthwise { conv, window, src };
        self.push(kind, size, output, out, act(operator.options.activation))
    }

    fn bias(&mut self, operator: &Operator, channels: usize) -> Result<Vec<f32>, Error> {
        let Some(tensor) = operator.inputs.get(2).copied().flatten() else {
            return Ok(vec![0.0; channels]);
        };
        let bias = self.floats(tensor)?;
        if bias.len() != channels {
            return Err(Error::unsupported(format!(
                "{} bias values for {channels} channels",
                bias.len()
            )));
        }
        Ok(bias)
    }

    /// The window of an operator and the size of its result, checked against the file's.
    fn window(
        &self,
        operator: &Operator,
        kernel: [usize; 2],
        size: Dims,
        channels: usize,
        output: usize,
    ) -> Result<(Window, Dims), Error> {
        let Options {
            padding, stride, ..
        } = operator.options;
        if kernel.iter().any(|k| *k > MAX_KERNEL) {
            return Err(Error::unsupported(format!("a kernel of {kernel:?}")));
        }
        let axis = |size: usize, kernel: usize, stride: usize| match padding {
            Padding::Same => {
                let out = size.div_ceil(stride);
                let pad = ((out - 1) * stride + kernel).saturating_sub(size);
                Some((out, pad / 2))
            }
            Padding::Valid => size.checked_sub(kernel).map(|room| (room / stride + 1, 0)),
        };
        let down = axis(size.height, kernel[0], stride[0]);
        let across = axis(size.width, kernel[1], stride[1]);
        let (Some((height, top)), Some((width, left))) = (down, across) else {
            return Err(Error::unsupported("a window larger than its input"));
        };
        let out = Dims::new(height, width, channels);
        if self.dims(output)? != out {
            return Err(Error::unsupported(format!(
                "{:?} gives {out:?}, the file says {:?}",
                operator.code,
                self.shape(output)
            )));
        }
        let window = Window {
            kernel,
            stride,
            pad: [top, left],
        };
        Ok((window, out))
    }

    fn pool(&mut self, operator: &Operator, output: usize) -> Result<(), Error> {
        let (tensor, src) = self.input(operator, 0)?;
        let size = self.dims(tensor)?;
        let kernel = operator.options.window;
        let (window, out) = self.window(operator, kernel, size, size.channels, output)?;
        self.spend((out.len() as u64).saturating_mul((kernel[0] * kernel[1]) as u64))?;
        let kind = if operator.code == Code::MaxPool2d {
            Kind::MaxPool { window, src }
        } else {
            Kind::AveragePool { window, src }
        };
        self.push(kind, size, output, out, act(operator.options.activation))
    }

    fn pad(&mut self, operator: &Operator, output: usize) -> Result<(), Error> {
        let (tensor, src) = self.input(operator, 0)?;
        let (size, out) = (self.dims(tensor)?, self.dims(output)?);
        let amounts = self.integers(self.operand(operator, 1)?, 8)?;
        let sizes = [1, size.height, size.width, size.channels];
        let outs = [1, out.height, out.width, out.channels];
        let mut before = [0; 4];
        for axis in 0..4 {
            let (low, high) = (amounts[2 * axis], amounts[2 * axis + 1]);
            let fits = usize::try_from(low).ok().zip(usize::try_from(high).ok());
            match fits {
                Some((low, high)) if sizes[axis] + low + high == outs[axis] => before[axis] = low,
                _ => {
                    return Err(Error::unsupported(format!(
                        "PAD of {low} and {high} from {} to {}",
                        sizes[axis], outs[axis]
                    )));
                }
            }
        }
        let before = [before[1], before[2], before[3]];
        self.push(Kind::Pad { before, src }, size, output, out, Act::None)
    }

    fn resize(&mut self, operator: &Operator, output: usize) -> Result<(), Error> {
        let (tensor, src) = self.input(operator, 0)?;
        let (size, out) = (self.dims(tensor)?, self.dims(output)?);
        let wanted = self.integers(self.operand(operator, 1)?, 2)?;
        let same = |wanted: i32, found: usize| usize::try_from(wanted) == Ok(found);
        if !same(wanted[0], out.height)
            || !same(wanted[1], out.width)
            || size.channels != out.channels
        {
            return Err(Error::unsupported(format!(
                "RESIZE_BILINEAR to {wanted:?}, the file says {:?}",
                self.shape(output)
            )));
        }
        let mode = ResizeMode {
            align_corners: operator.options.align_corners,
            half_pixel_centers: operator.options.half_pixel_centers,
        };
        self.spend(4 * out.len() as u64)?;
        self.push(Kind::Resize { mode, src }, size, output, out, Act::None)
    }

    fn concat(&mut self, operator: &Operator, output: usize) -> Result<(), Error> {
        let shape = self.shape(output);
        let rank = shape.len() as i32;
        let axis = operator.options.axis;
        let axis = if axis < 0 { axis + rank } else { axis };
        let Some(axis) = usize::try_from(axis).ok().filter(|a| *a < shape.len()) else {
            return Err(Error::unsupported(format!(
                "CONCATENATION along axis {}",
                operator.options.axis
            )));
        };
        let outer: usize = shape[..axis].iter().product();
        let mut parts = Vec::new();
        let mut total = 0;
        for index in 0..operator.inputs.len() {
            let (tensor, value) = self.input(operator, index)?;
            let part = self.shape(tensor);
            let fits = part.len() == shape.len()
                && (0..part.len()).all(|d| d == axis || part[d] == shape[d]);
            if !fits {
                return Err(Error::unsupported(format!(
                    "CONCATENATION of {part:?} into {shape:?}"
                )));
            }
            total += part[axis];
            parts.push((value, part[axis..].iter().product()));
        }
        if total != shape[axis] {
            return Err(Error::unsupported(format!(
                "CONCATENATION of {total} into {}",
                shape[axis]
            )));
        }
        let dims = Dims::new(1, 1, self.elements(output)?);
        let act = act(operator.options.activation);
        self.push(Kind::Concat { outer, parts }, dims, output, dims, act)
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

const fn act(activation: Activation) -> Act {
    match activation {
        Activation::None => Act::None,
        Activation::Relu => Act::Relu,
        Activation::Relu6 => Act::Relu6,
    }
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
