//! Networks as data: a list of operators, each naming its inputs, with shapes known beforehand.

use std::sync::Arc;

use stockpot_kernels::Activation;

use crate::params::{Init, Layout};

/// Rows, columns and channels of one picture's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// `h` x `w` x `c`.
    pub const fn new(h: usize, w: usize, c: usize) -> Self {
        Self { h, w, c }
    }

    /// Numbers per picture.
    pub const fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Index of a node; node 0 is the graph's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeId(pub usize);

/// What a node computes. Weights are indices into the graph's layout.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// The graph's input.
    Input,
    /// "Same" convolution as TensorFlow pads it, bias, activation.
    Conv {
        /// `[kernel, kernel, in, out]`.
        weight: usize,
        /// `[out]`.
        bias: usize,
        /// Side of the kernel.
        kernel: usize,
        /// Input pixels per output pixel.
        stride: usize,
        /// After the bias.
        activation: Activation,
    },
    /// Nearest doubling and 3x3 "same" convolution (run as four phases), bias, activation.
    UpConv {
        /// `[3, 3, in, out]`.
        weight: usize,
        /// `[out]`.
        bias: usize,
        /// After the bias.
        activation: Activation,
    },
    /// Matrix product over the flattened input (rows, columns, channels), bias, activation.
    Dense {
        /// `[in, out]`.
        weight: usize,
        /// `[out]`.
        bias: usize,
        /// After the bias.
        activation: Activation,
    },
    /// The flattened input divided by its root mean square; no gain.
    RmsNorm,
    /// 2x2 pixels become channels, block position slowest.
    SpaceToDepth,
    /// Channels become 2x2 pixels, block position slowest: the pixel shuffle of 2018.
    DepthToSpace,
    /// The same numbers under another shape.
    Reshape,
    /// 2x2 pixels become channels, which are averaged in groups down to the output's channels:
    /// the parameter-free shortcut around a stride-2 convolution.
    AverageDown,
    /// Sum of both inputs.
    Add,
    /// Logistic function.
    Sigmoid,
}

/// One operator with its inputs and output shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// Where from: one node, or two for [`Op::Add`].
    pub inputs: Vec<NodeId>,
    /// Its output per picture.
    pub shape: Shape,
}

/// A network half.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// All nodes; inputs always come before their users; the last is the output.
    pub nodes: Vec<Node>,
    /// The weights.
    pub layout: Arc<Layout>,
}

impl Graph {
    /// Shape of the input per picture.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape
    }

    /// Shape of the output per picture.
    pub fn output_shape(&self) -> Shape {
        self.nodes[self.nodes.len() - 1].shape
    }

    /// Multiply-adds per picture, forward, as the operators are run.
    pub fn multiply_adds(&self) -> u64 {
        let shape_of = |id: &NodeId| self.nodes[id.0].shape;
        self.nodes
            .iter()
            .map(|node| {
                let (out, input) = (node.shape, node.inputs.first().map(shape_of));
                let in_c = input.map_or(0, |s| s.c);
                (match node.op {
                    Op::Conv { kernel, .. } => out.len() * kernel * kernel * in_c,
                    Op::UpConv { .. } => out.len() * 4 * in_c,
                    Op::Dense { .. } => out.len() * input.map_or(0, Shape::len),
                    _ => 0,
                }) as u64
            })
            .sum()
    }
}

/// Builds a graph node by node.
#[derive(Debug)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    layout: Layout,
    prefix: &'static str,
    keras_init: bool,
}

impl GraphBuilder {
    /// Starts with an input; arrays are named `prefix.layer.weight` and `prefix.layer.bias`.
    pub fn new(prefix: &'static str, input: Shape) -> Self {
        let nodes = vec![Node {
            op: Op::Input,
            inputs: vec![],
            shape: input,
        }];
        Self {
            nodes,
            layout: Layout::default(),
            prefix,
            keras_init: false,
        }
    }

    /// Weights start as Keras 2 starts them from here on.
    pub fn with_keras_init(mut self) -> Self {
        self.keras_init = true;
        self
    }

    /// The input node.
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// Output shape of a node.
    pub fn shape(&self, id: NodeId) -> Shape {
        self.nodes[id.0].shape
    }

    fn push(&mut self, op: Op, inputs: Vec<NodeId>, shape: Shape) -> NodeId {
        self.nodes.push(Node { op, inputs, shape });
        NodeId(self.nodes.len() - 1)
    }

    /// Weight and bias of a layer. `init_gain` of `None` starts the weight at zero.
    fn weights(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        activation: Activation,
        zero: bool,
    ) -> (usize, usize) {
        let out = shape[shape.len() - 1];
        let receptive: usize = shape[..shape.len() - 2].iter().product();
        let fan_in: usize = receptive * shape[shape.len() - 2];
        let init = if zero {
            Init::Zero
        } else if self.keras_init {
            Init::Glorot {
                fan_in,
                fan_out: receptive * out,
            }
        } else {
            let slope = activation.slope();
            Init::He {
                fan_in,
                gain: (2.0 / (1.0 + slope * slope)).sqrt(),
            }
        };
        let weight = self
            .layout
            .push(format!("{}.{name}.weight", self.prefix), shape, init);
        let bias = self.layout.push(
            format!("{}.{name}.bias", self.prefix),
            vec![out],
            Init::Zero,
        );
        (weight, bias)
    }

    /// A "same" convolution.
    pub fn conv(
        &mut self,
        name: &str,
        from: NodeId,
        (kernel, stride, out_c): (usize, usize, usize),
        activation: Activation,
    ) -> NodeId {
        self.conv_with(name, from, (kernel, stride, out_c), activation, false)
    }

    /// A convolution whose weights start at zero: the last of a residual branch.
    pub fn conv_from_zero(
        &mut self,
        name: &str,
        from: NodeId,
        (kernel, out_c): (usize, usize),
        activation: Activation,
    ) -> NodeId {
        self.conv_with(name, from, (kernel, 1, out_c), activation, true)
    }

    fn conv_with(
        &mut self,
        name: &str,
        from: NodeId,
        (kernel, stride, out_c): (usize, usize, usize),
        activation: Activation,
        zero: bool,
    ) -> NodeId {
        let input = self.shape(from);
        let shape = vec![kernel, kernel, input.c, out_c];
        let (weight, bias) = self.weights(name, shape, activation, zero);
        let shape = Shape::new(input.h.div_ceil(stride), input.w.div_ceil(stride), out_c);
        self.push(
            Op::Conv {
                weight,
                bias,
                kernel,
                stride,
                activation,
            },
            vec![from],
            shape,
        )
    }

    /// Doubling with a 3x3 convolution.
    pub fn up_conv(
        &mut self,
        name: &str,
        from: NodeId,
        out_c: usize,
        activation: Activation,
    ) -> NodeId {
        let input = self.shape(from);
        let (weight, bias) = self.weights(name, vec![3, 3, input.c, out_c], activation, false);
        let shape = Shape::new(2 * input.h, 2 * input.w, out_c);
        self.push(
            Op::UpConv {
                weight,
                bias,
                activation,
            },
            vec![from],
            shape,
        )
    }

    /// A dense layer over the flattened input.
    pub fn dense(
        &mut self,
        name: &str,
        from: NodeId,
        out_c: usize,
        activation: Activation,
    ) -> NodeId {
        let input = self.shape(from).len();
        let (weight, bias) = self.weights(name, vec![input, out_c], activation, false);
        self.push(
            Op::Dense {
                weight,
                bias,
                activation,
            },
            vec![from],
            Shape::new(1, 1, out_c),
        )
    }

    /// The flattened input divided by its root mean square.
    pub fn rms_norm(&mut self, from: NodeId) -> NodeId {
        let shape = self.shape(from);
        self.push(Op::RmsNorm, vec![from], shape)
    }

    /// 2x2 pixels to channels.
    pub fn space_to_depth(&mut self, from: NodeId) -> NodeId {
        let s = self.shape(from);
        self.push(
            Op::SpaceToDepth,
            vec![from],
            Shape::new(s.h / 2, s.w / 2, 4 * s.c),
        )
    }

    /// Channels to 2x2 pixels.
    pub fn depth_to_space(&mut self, from: NodeId) -> NodeId {
        let s = self.shape(from);
        self.push(
            Op::DepthToSpace,
            vec![from],
            Shape::new(2 * s.h, 2 * s.w, s.c / 4),
        )
    }

    /// Another shape of the same length.
    pub fn reshape(&mut self, from: NodeId, shape: Shape) -> NodeId {
        assert_eq!(
            self.shape(from).len(),
            shape.len(),
            "reshape keeps the numbers"
        );
        self.push(Op::Reshape, vec![from], shape)
    }

    /// The shortcut around a stride-2 convolution to `out_c` channels; `4 * in_c` must be a
    /// multiple of `out_c`.
    pub fn average_down(&mut self, from: NodeId, out_c: usize) -> NodeId {
        let s = self.shape(from);
        assert!(
            (4 * s.c).is_multiple_of(out_c) && s.h.is_multiple_of(2) && s.w.is_multiple_of(2),
            "average_down"
        );
        self.push(
            Op::AverageDown,
            vec![from],
            Shape::new(s.h / 2, s.w / 2, out_c),
        )
    }

    /// The sum of two nodes of one shape.
    pub fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        assert_eq!(self.shape(a), self.shape(b), "add wants equal shapes");
        let shape = self.shape(a);
        self.push(Op::Add, vec![a, b], shape)
    }

    /// Logistic function.
    pub fn sigmoid(&mut self, from: NodeId) -> NodeId {
        let shape = self.shape(from);
        self.push(Op::Sigmoid, vec![from], shape)
    }

    /// The finished graph; its last node is the output.
    pub fn build(self) -> Graph {
        Graph {
            nodes: self.nodes,
            layout: Arc::new(self.layout),
        }
    }
}
