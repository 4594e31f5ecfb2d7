//! The network of 2018, exactly: stride-2 5x5 convolutions, two linear dense layers, one up-scaling
//! block in the encoder; three up-scaling blocks and a 5x5 output in the decoder.
//!
//! Padding is TensorFlow's "same" (a 5x5 kernel with stride 2 on an even size pads one before and
//! two after), pixel shuffle has the block position slowest, flattening runs over rows, columns,
//! channels, weights start as Keras 2 starts them. Channel order of old files (BGR) and the
//! half-pixel shift of their training are the importer's business, not the network's.

use stockpot_kernels::Activation;

use crate::graph::{Graph, GraphBuilder, NodeId, Shape};

const LEAK: Activation = Activation::LeakyRelu(0.1);

/// Widths of the stride-2 convolutions, before the divisor.
const WIDTHS: [usize; 5] = [128, 256, 512, 1024, 2048];

fn upscale(b: &mut GraphBuilder, name: &str, from: NodeId, width: usize) -> NodeId {
    let conv = b.conv(name, from, (3, 1, 4 * width), LEAK);
    b.depth_to_space(conv)
}

/// `[64, 64, 3]` to `[8, 8, 512 / divisor]`. `layers` is 2 to 5, `nodes` the width of the first
/// dense layer; every other width is divided by `divisor`. Layers keep the names of the full widths.
pub fn encoder(layers: u8, nodes: u16, divisor: u8) -> Graph {
    let divisor = usize::from(divisor);
    let mut b = GraphBuilder::new("encoder", Shape::new(64, 64, 3)).with_keras_init();
    let mut at = b.input();
    for (i, width) in WIDTHS.iter().enumerate().take(usize::from(layers)) {
        at = b.conv(&format!("conv{}", i + 1), at, (5, 2, width / divisor), LEAK);
    }
    at = b.dense("dense1", at, usize::from(nodes), Activation::None);
    at = b.dense("dense2", at, 4 * 4 * 1024 / divisor, Activation::None);
    at = b.reshape(at, Shape::new(4, 4, 1024 / divisor));
    upscale(&mut b, "up512", at, 512 / divisor);
    b.build()
}

/// `[8, 8, 512 / divisor]` to `[64, 64, 3]`.
pub fn decoder(divisor: u8) -> Graph {
    let divisor = usize::from(divisor);
    let mut b = GraphBuilder::new("decoder", Shape::new(8, 8, 512 / divisor)).with_keras_init();
    let mut at = b.input();
    for width in [256, 128, 64] {
        at = upscale(&mut b, &format!("up{width}"), at, width / divisor);
    }
    at = b.conv("out", at, (5, 1, 3), Activation::None);
    b.sigmoid(at);
    b.build()
}
