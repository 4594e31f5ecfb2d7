//! An ONNX graph that grows node by node, and the two ways in which a value lies in it.
//!
//! Maps are `[batch, channels, rows, columns]`, as ONNX's convolutions want them; flat values are
//! `[batch, n]` in the order rows, columns, channels, as our dense layers read and write them.
//! Field numbers are those of `onnx.proto`.

use super::protobuf::Message;
use crate::graph::Shape;

/// An attribute of a node.
#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Text(&'static str),
    Ints(Vec<i64>),
}

impl From<i64> for Attribute {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

/// Where an activation is, and how it lies there.
#[derive(Debug, Clone)]
pub(super) struct Value {
    name: String,
    /// Per picture.
    pub(super) shape: Shape,
    flat: bool,
}

impl Value {
    /// `[batch, channels, rows, columns]`.
    pub(super) fn map(name: impl Into<String>, shape: Shape) -> Self {
        Self {
            name: name.into(),
            shape,
            flat: false,
        }
    }

    /// `[batch, n]` in the order rows, columns, channels.
    pub(super) fn flat(name: impl Into<String>, shape: Shape) -> Self {
        Self {
            name: name.into(),
            shape,
            flat: true,
        }
    }

    /// Its name in the graph.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is flat.
    pub(super) fn is_flat(&self) -> bool {
        self.flat
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct OnnxGraph {
    name: &'static str,
    nodes: Vec<Message>,
    constants: Vec<Message>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    named: usize,
}

/// `TensorProto.DataType`.
const FLOAT: u64 = 1;
const INT64: u64 = 7;

impl OnnxGraph {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            nodes: Vec::new(),
            constants: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            named: 0,
        }
    }

    /// Declares an input; `None` is the batch, of any size.
    pub(super) fn input(&mut self, name: &str, dims: &[Option<usize>]) {
        self.inputs.push(described(name, dims));
    }

    /// Declares an output.
    pub(super) fn output(&mut self, name: &str, dims: &[Option<usize>]) {
        self.outputs.push(described(name, dims));
    }

    /// Adds an operator and returns its output's name.
    pub(super) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let name = self.fresh("v");
        self.output_of(op, inputs, attributes, &name);
        name
    }

    /// Adds an operator whose output gets this name.
    pub(super) fn output_of(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
        output: &str,
    ) {
        let mut node = Message::default();
        inputs.iter().for_each(|name| node.text(1, name));
        node.text(2, output);
        node.text(4, op);
        for (name, value) in attributes {
            node.message(5, attribute(name, value));
        }
        self.nodes.push(node);
    }

    /// Adds constant numbers under a name of its own.
    pub(super) fn floats(&mut self, dims: &[usize], values: Vec<f32>) -> String {
        let name = self.fresh("c");
        self.named_floats(&name, dims, values);
        name
    }

    /// Adds constant numbers.
    pub(super) fn named_floats(&mut self, name: &str, dims: &[usize], values: Vec<f32>) {
        let mut tensor = tensor(name, dims, FLOAT);
        tensor.floats(9, values);
        self.constants.push(tensor);
    }

    /// Adds constant whole numbers: indices and shapes.
    pub(super) fn ints(&mut self, dims: &[usize], values: &[i64]) -> String {
        let name = self.fresh("c");
        let mut tensor = tensor(&name, dims, INT64);
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensor.data(9, &bytes);
        self.constants.push(tensor);
        name
    }

    /// The value as a map.
    pub(super) fn mapped(&mut self, value: Value) -> Value {
        if !value.flat {
            return value;
        }
        let Shape { h, w, c } = value.shape;
        let name = if h == 1 && w == 1 {
            self.reshaped(&value.name, &[c, 1, 1])
        } else {
            let rows_first = self.reshaped(&value.name, &[h, w, c]);
            self.transposed(&rows_first, [0, 3, 1, 2])
        };
        Value::map(name, value.shape)
    }

    /// The value as a flat one.
    pub(super) fn flattened(&mut self, value: Value) -> Value {
        if value.flat {
            return value;
        }
        let Shape { h, w, .. } = value.shape;
        let name = if h == 1 && w == 1 {
            value.name
        } else {
            self.transposed(&value.name, [0, 2, 3, 1])
        };
        let name = self.reshaped(&name, &[value.shape.len()]);
        Value::flat(name, value.shape)
    }

    /// The same numbers as `[batch]` and `dims`.
    pub(super) fn reshaped(&mut self, name: &str, dims: &[usize]) -> String {
        let to: Vec<i64> = [-1]
            .into_iter()
            .chain(dims.iter().map(|d| *d as i64))
            .collect();
        let to = self.ints(&[to.len()], &to);
        self.node("Reshape", &[name, &to], &[])
    }

    /// Axes in another order.
    pub(super) fn transposed(&mut self, name: &str, order: [i64; 4]) -> String {
        let order = Attribute::Ints(order.to_vec());
        self.node("Transpose", &[name], &[("perm", order)])
    }

    /// The whole as a `GraphProto`.
    pub(super) fn finish(self) -> Message {
        let mut graph = Message::default();
        let fields = [
            (1, self.nodes),
            (5, self.constants),
            (11, self.inputs),
            (12, self.outputs),
        ];
        graph.text(2, self.name);
        for (field, messages) in fields {
            for message in messages {
                graph.message(field, message);
            }
        }
        graph
    }

    fn fresh(&mut self, prefix: &str) -> String {
        self.named += 1;
        format!("{prefix}{}", self.named)
    }
}

fn tensor(name: &str, dims: &[usize], kind: u64) -> Message {
    let mut tensor = Message::default();
    dims.iter().for_each(|d| tensor.int(1, *d as u64));
    tensor.int(2, kind);
    tensor.text(8, name);
    tensor
}

fn attribute(name: &str, value: &Attribute) -> Message {
    /// `AttributeProto.AttributeType`.
    const KINDS: [u64; 4] = [1, 2, 3, 7];
    let mut out = Message::default();
    out.text(1, name);
    let kind = match value {
        Attribute::Float(v) => {
            out.float(2, *v);
            KINDS[0]
        }
        Attribute::Int(v) => {
            out.signed(3, *v);
            KINDS[1]
        }
        Attribute::Text(v) => {
            out.text(4, v);
            KINDS[2]
        }
        Attribute::Ints(values) => {
            values.iter().for_each(|v| out.signed(8, *v));
            KINDS[3]
        }
    };
    out.int(20, kind);
    out
}

/// A `ValueInfoProto` of 32-bit numbers.
fn described(name: &str, dims: &[Option<usize>]) -> Message {
    let mut shape = Message::default();
    for dim in dims {
        let mut one = Message::default();
        match dim {
            Some(size) => one.int(1, *size as u64),
            None => one.text(2, "batch"),
        }
        shape.message(1, one);
    }
    let mut tensor = Message::default();
    tensor.int(1, FLOAT);
    tensor.message(2, shape);
    let mut kind = Message::default();
    kind.message(1, tensor);
    let mut out = Message::default();
    out.text(1, name);
    out.message(2, kind);
    out
}
