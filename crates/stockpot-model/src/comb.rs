//! The default network: one encoder with a linear code, a trunk per person, RGB and mask out.
//!
//! Encoder: 2x2 pixels to channels, 3x3 convolutions with stride-2 downs (each with a
//! parameter-free average shortcut where the widths allow it) and residual blocks, root mean square
//! norm, dense layer to a **linear code**. Nothing below the code is personal, and no norm or
//! rectifier follows it: so the code spaces of two encoders differ by nearly an affine map, which
//! a later stitch can fit in closed form.
//!
//! Decoder: dense layer to a small map, then per doubling one phase-decomposed up-convolution and
//! one residual 3x3 convolution, 3x3 head with four sigmoid channels. A *full* person owns all of
//! it; a *lite* person stores what is added to a shared one and is folded into these arrays when
//! loaded ([`crate::lite`]), so that nothing here changes.
//!
//! Sizes and reasons: the project's design notes on "Comb-R S" (383 M multiply-adds for the
//! encoder and 0.8 G for the decoder at 128 px).

use stockpot_kernels::Activation;

use crate::family::CombSize;
use crate::graph::{Graph, GraphBuilder, Shape};

/// Slope of the rectifiers on negative values, as in the comb model of 2020.
const LEAK: Activation = Activation::LeakyRelu(0.2);

/// One row of the preset table.
struct Preset {
    /// Side of the smallest map.
    base: usize,
    /// Encoder widths, finest first; each but the first is reached by a stride-2 convolution.
    encoder: &'static [usize],
    /// Length of the code.
    code: usize,
    /// Channels of the decoder's smallest map.
    seed_c: usize,
    /// Decoder widths, one per doubling.
    decoder: &'static [usize],
}

/// The presets. 64 px has one stage less, so that its smallest map keeps 4 x 4: measured at equal
/// work, that draws better than the five stages of the others with a smallest map of 2 x 2. Its
/// fine maps are as narrow as theirs, so it costs about half of 96 px.
fn preset(size: CombSize, resolution: u32) -> Preset {
    let CombSize::S = size;
    let (code, seed_c) = (384, 512);
    if resolution == 64 {
        Preset {
            base: 4,
            encoder: &[32, 64, 160, 384],
            code,
            seed_c,
            decoder: &[192, 96, 64, 32],
        }
    } else {
        Preset {
            base: resolution as usize / 32,
            encoder: &[32, 64, 128, 256, 384],
            code,
            seed_c,
            decoder: &[256, 192, 96, 48, 32],
        }
    }
}

/// The encoder of a comb preset: `[R, R, 3]` to `[1, 1, code]`.
pub fn encoder(size: CombSize, resolution: u32) -> Graph {
    let p = preset(size, resolution);
    let side = resolution as usize;
    let mut b = GraphBuilder::new("encoder", Shape::new(side, side, 3));
    let mut at = b.space_to_depth(b.input());
    at = b.conv("stem", at, (3, 1, p.encoder[0]), LEAK);
    for (stage, width) in p.encoder.iter().enumerate().skip(1) {
        let from = at;
        at = b.conv(&format!("down{stage}"), from, (3, 2, *width), LEAK);
        if (4 * b.shape(from).c).is_multiple_of(*width) && b.shape(from).h.is_multiple_of(2) {
            let shortcut = b.average_down(from, *width);
            at = b.add(at, shortcut);
        }
        let inner = b.conv(&format!("block{stage}.conv1"), at, (3, 1, *width), LEAK);
        let branch = b.conv_from_zero(
            &format!("block{stage}.conv2"),
            inner,
            (3, *width),
            Activation::None,
        );
        at = b.add(at, branch);
    }
    at = b.rms_norm(at);
    b.dense("code", at, p.code, Activation::None);
    b.build()
}

/// The decoder of a comb preset: `[1, 1, code]` to `[R, R, 4]`, RGB and mask, each 0.0 to 1.0.
pub fn decoder(size: CombSize, resolution: u32) -> Graph {
    trunk(size, resolution, 0)
}

/// A decoder that is told who to draw: its input is a code followed by `identity` numbers of a
/// person. They only reach the first dense layer, where one person's numbers are a constant: so a
/// person's decoder is this one with another bias (see [`crate::trunk`]).
pub(crate) fn trunk(size: CombSize, resolution: u32, identity: usize) -> Graph {
    let p = preset(size, resolution);
    let mut b = GraphBuilder::new("decoder", Shape::new(1, 1, p.code + identity));
    let mut at = b.dense("seed", b.input(), p.base * p.base * p.seed_c, LEAK);
    at = b.reshape(at, Shape::new(p.base, p.base, p.seed_c));
    for (stage, width) in p.decoder.iter().enumerate() {
        at = b.up_conv(&format!("up{}", stage + 1), at, *width, LEAK);
        let branch = b.conv_from_zero(&format!("mix{}", stage + 1), at, (3, *width), LEAK);
        at = b.add(at, branch);
    }
    at = b.conv("head", at, (3, 1, 4), Activation::None);
    b.sigmoid(at);
    b.build()
}
