//! One operator after the other: what it reads, whether its shapes fit, the step it becomes.

use super::{Builder, Kind, MAX_ACTIVATIONS, MAX_KERNEL, MAX_WEIGHTS, Step, within};
use crate::Error;
use crate::ops::{Act, Conv, Depthwise, Dims, ResizeMode, Window};
use crate::tflite::graph::{Activation, Code, Operator, Options, Padding};

impl Builder<'_> {
    pub(super) fn operator(&mut self, operator: &Operator) -> Result<(), Error> {
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
}

const fn act(activation: Activation) -> Act {
    match activation {
        Activation::None => Act::None,
        Activation::Relu => Act::Relu,
        Activation::Relu6 => Act::Relu6,
    }
}
