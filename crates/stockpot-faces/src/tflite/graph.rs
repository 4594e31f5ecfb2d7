//! The graph of a TFLite file: tensors and operators, as the file states them.
//!
//! Field numbers are those of TFLite's schema, version 3. Knows nothing of how operators run.

use std::ops::Range;

use super::bytes::{Bytes, Table, Vector};
use crate::Error;

/// Larger files are refused: the face models are about 1 MB.
const MAX_FILE_BYTES: usize = 16 << 20;
/// More tensors or operators than this are refused.
const MAX_ITEMS: usize = 4096;
/// More dimensions than this are refused.
const MAX_RANK: usize = 4;

/// A tensor of more numbers than this is refused.
const MAX_NUMBERS: u64 = 1 << 24;

/// Kind of numbers in a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorKind {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 32-bit integer.
    I32,
    /// Something this crate does not run.
    Other(u8),
}

/// A tensor: shape, kind, and where its constant bytes lie in the file, if it has any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Up to four sizes, outermost first.
    pub shape: Vec<usize>,
    /// Kind of numbers.
    pub kind: TensorKind,
    /// Bytes of the file that hold its values; `None` for an activation.
    pub data: Option<Range<usize>>,
}

/// What an operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Sum of two tensors of one shape.
    Add,
    /// Mean over windows.
    AveragePool2d,
    /// Tensors one after the other along an axis.
    Concatenation,
    /// Convolution, weights `[out, height, width, in]`.
    Conv2d,
    /// Convolution of each channel by itself, weights `[1, height, width, channels]`.
    DepthwiseConv2d,
    /// 16-bit constants as 32-bit.
    Dequantize,
    /// Largest of windows.
    MaxPool2d,
    /// Negative numbers become 0.
    Relu,
    /// As `Relu`, and at most 6.
    Relu6,
    /// The same numbers in another shape.
    Reshape,
    /// Another height and width.
    ResizeBilinear,
    /// Zeros around.
    Pad,
    /// Negative numbers scaled by a factor per channel.
    Prelu,
}

/// How a window treats the border.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Zeros around, so that the result is `ceil(size / stride)`.
    Same,
    /// Only windows that lie inside.
    Valid,
}

/// A function applied to the result of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// Negative numbers become 0.
    Relu,
    /// As `Relu`, and at most 6.
    Relu6,
}

/// The settings of an operator. Those it does not have keep harmless values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Border of windows.
    pub padding: Padding,
    /// Step of windows: down, across.
    pub stride: [usize; 2],
    /// Window of a pool: height, width.
    pub window: [usize; 2],
    /// Function of the result.
    pub activation: Activation,
    /// Axis of a concatenation; negative counts from the last.
    pub axis: i32,
    /// Resize maps corner pixels onto each other.
    pub align_corners: bool,
    /// Resize counts from pixel centres.
    pub half_pixel_centers: bool,
}

/// An operator on tensors, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// What it does.
    pub code: Code,
    /// Its settings.
    pub options: Options,
    /// Tensors it reads; `None` where an optional one is left out.
    pub inputs: Vec<Option<usize>>,
    /// Tensors it writes.
    pub outputs: Vec<usize>,
}

/// A model's graph. Every number of a tensor in it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// All operators in the order to run them.
    pub operators: Vec<Operator>,
    /// Tensors that the caller fills.
    pub inputs: Vec<usize>,
    /// Tensors that the caller reads.
    pub outputs: Vec<usize>,
}

impl Graph {
    /// Reads the graph of a TFLite file.
    ///
    /// # Errors
    /// [`Error::BadModel`], [`Error::UnsupportedModel`] or [`Error::ModelTooLarge`]; never panics.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        limit("file bytes", file.len(), MAX_FILE_BYTES)?;
        let model = Bytes(file).root(*b"TFL3")?;
        let version = model.u32(0, 0)?;
        if version != 3 {
            return Err(Error::unsupported(format!(
                "schema version {version}, only 3 is known"
            )));
        }
        let codes = model.vector(1, 4)?;
        let subgraphs = model.vector(2, 4)?;
        let buffers = model.vector(4, 4)?;
        if subgraphs.len != 1 {
            return Err(Error::unsupported(format!(
                "{} sub-graphs, exactly one is wanted",
                subgraphs.len
            )));
        }
        let subgraph = subgraphs.table(0)?;
        let tensors = tables(subgraph.vector(0, 4)?, "tensors")?
            .map(|t| parse_tensor(t?, buffers))
            .collect::<Result<Vec<_>, _>>()?;
        let operators = tables(subgraph.vector(3, 4)?, "operators")?
            .map(|o| parse_operator(o?, codes, tensors.len()))
            .collect::<Result<Vec<_>, _>>()?;
        let inputs = required(indices(subgraph.vector(1, 4)?, tensors.len())?)?;
        let outputs = required(indices(subgraph.vector(2, 4)?, tensors.len())?)?;
        Ok(Self {
            tensors,
            operators,
            inputs,
            outputs,
        })
    }
}

fn limit(what: &'static str, value: usize, limit: usize) -> Result<(), Error> {
    if value > limit {
        return Err(Error::ModelTooLarge {
            what,
            value: value as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

fn tables<'a>(
    list: Vector<'a>,
    what: &'static str,
) -> Result<impl Iterator<Item = Result<Table<'a>, Error>>, Error> {
    limit(what, list.len, MAX_ITEMS)?;
    Ok((0..list.len).map(move |i| list.table(i)))
}

fn indices(list: Vector<'_>, tensors: usize) -> Result<Vec<Option<usize>>, Error> {
    limit("tensors of one operator", list.len, MAX_ITEMS)?;
    (0..list.len)
        .map(|i| match list.i32(i)? {
            -1 => Ok(None),
            n => usize::try_from(n)
                .ok()
                .filter(|n| *n < tensors)
                .map(Some)
                .ok_or_else(|| Error::unsupported(format!("tensor {n} of {tensors}"))),
        })
        .collect()
}

fn required(list: Vec<Option<usize>>) -> Result<Vec<usize>, Error> {
    list.into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| Error::unsupported("a required tensor is left out"))
}

fn parse_tensor(table: Table<'_>, buffers: Vector<'_>) -> Result<Tensor, Error> {
    let sizes = table.vector(0, 4)?;
    limit("dimensions of a tensor", sizes.len, MAX_RANK)?;
    let shape = (0..sizes.len)
        .map(|i| {
            let size = sizes.i32(i)?;
            usize::try_from(size)
                .ok()
                .filter(|n| (1..=1 << 20).contains(n))
                .ok_or_else(|| Error::unsupported(format!("a dimension of {size}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    // Checked here once, so that products of sizes cannot overflow later.
    let numbers = shape
        .iter()
        .fold(1u64, |n, size| n.saturating_mul(*size as u64));
    if numbers > MAX_NUMBERS {
        return Err(Error::ModelTooLarge {
            what: "numbers of a tensor",
            value: numbers,
            limit: MAX_NUMBERS,
        });
    }
    let kind = match table.u8(1, 0)? {
        0 => TensorKind::F32,
        1 => TensorKind::F16,
        2 => TensorKind::I32,
        other => TensorKind::Other(other),
    };
    if table.table(6)?.is_some() {
        return Err(Error::unsupported("a sparse tensor"));
    }
    // Buffer 0 is always empty: the mark of an activation.
    let data = match table.u32(2, 0)? as usize {
        0 => None,
        n => Some(buffers.table(n)?.vector(0, 1)?.range()).filter(|r| !r.is_empty()),
    };
    Ok(Tensor { shape, kind, data })
}

fn parse_code(table: Table<'_>) -> Result<Code, Error> {
    // The first field is the old place, still written for numbers below 127.
    let code = i32::from(table.u8(0, 0)?).max(table.i32(3, 0)?);
    Ok(match code {
        0 => Code::Add,
        1 => Code::AveragePool2d,
        2 => Code::Concatenation,
        3 => Code::Conv2d,
        4 => Code::DepthwiseConv2d,
        6 => Code::Dequantize,
        17 => Code::MaxPool2d,
        19 => Code::Relu,
        21 => Code::Relu6,
        22 => Code::Reshape,
        23 => Code::ResizeBilinear,
        34 => Code::Pad,
        54 => Code::Prelu,
        other => return Err(Error::unsupported(format!("operator number {other}"))),
    })
}

fn parse_operator(table: Table<'_>, codes: Vector<'_>, tensors: usize) -> Result<Operator, Error> {
    let code = parse_code(codes.table(table.u32(0, 0)? as usize)?)?;
    let inputs = indices(table.vector(1, 4)?, tensors)?;
    let outputs = required(indices(table.vector(2, 4)?, tensors)?)?;
    let mut options = Options {
        padding: Padding::Valid,
        stride: [1, 1],
        window: [1, 1],
        activation: Activation::None,
        axis: 0,
        align_corners: false,
        half_pixel_centers: false,
    };
    if let Some(t) = table.table(4)? {
        match code {
            Code::Conv2d => {
                window_options(t, &mut options)?;
                options.activation = activation(t.u8(3, 0)?)?;
                no_dilation(t.i32(4, 1)?, t.i32(5, 1)?)?;
            }
            Code::DepthwiseConv2d => {
                window_options(t, &mut options)?;
                options.activation = activation(t.u8(4, 0)?)?;
                no_dilation(t.i32(5, 1)?, t.i32(6, 1)?)?;
            }
            Code::MaxPool2d | Code::AveragePool2d => {
                window_options(t, &mut options)?;
                options.window = [small(t.i32(4, 0)?)?, small(t.i32(3, 0)?)?];
                options.activation = activation(t.u8(5, 0)?)?;
            }
            Code::Add => options.activation = activation(t.u8(0, 0)?)?,
            Code::Concatenation => {
                options.axis = t.i32(0, 0)?;
                options.activation = activation(t.u8(1, 0)?)?;
            }
            Code::ResizeBilinear => {
                options.align_corners = t.u8(2, 0)? != 0;
                options.half_pixel_centers = t.u8(3, 0)? != 0;
            }
            Code::Dequantize
            | Code::Relu
            | Code::Relu6
            | Code::Reshape
            | Code::Pad
            | Code::Prelu => {}
        }
    }
    Ok(Operator {
        code,
        options,
        inputs,
        outputs,
    })
}

fn window_options(t: Table<'_>, options: &mut Options) -> Result<(), Error> {
    options.padding = match t.u8(0, 0)? {
        0 => Padding::Same,
        1 => Padding::Valid,
        other => return Err(Error::unsupported(format!("padding number {other}"))),
    };
    options.stride = [small(t.i32(2, 0)?)?, small(t.i32(1, 0)?)?];
    Ok(())
}

/// A stride or window size.
fn small(n: i32) -> Result<usize, Error> {
    usize::try_from(n)
        .ok()
        .filter(|n| (1..=256).contains(n))
        .ok_or_else(|| Error::unsupported(format!("a stride or window of {n}")))
}

fn no_dilation(across: i32, down: i32) -> Result<(), Error> {
    if (across, down) == (1, 1) {
        return Ok(());
    }
    Err(Error::unsupported(format!("dilation {down}x{across}")))
}

fn activation(number: u8) -> Result<Activation, Error> {
    Ok(match number {
        0 => Activation::None,
        1 => Activation::Relu,
        3 => Activation::Relu6,
        other => return Err(Error::unsupported(format!("activation number {other}"))),
    })
}
