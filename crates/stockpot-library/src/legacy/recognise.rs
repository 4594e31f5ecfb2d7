//! Which network a file belongs to, from the order and shapes of its arrays alone.
//!
//! What is not the network of 2018 is refused, by name where the shapes give it away. Start with
//! [`encoder`].

/// Widths of the stride-2 convolutions, before the divisor.
const WIDTHS: [usize; 5] = [128, 256, 512, 1024, 2048];
/// Side of the pictures.
const SIDE: usize = 64;

/// The network of 2018 in one of its sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegacyNet {
    layers: u8,
    nodes: u16,
    divisor: u8,
}

impl LegacyNet {
    /// A network of 2 to 5 stride-2 convolutions ("Layers"), 16 to 4096 numbers between the dense
    /// layers ("Nodes"), and a divisor of all other widths that is a power of two up to 32 (1 for
    /// all that people trained); `None` outside these.
    pub fn new(layers: u8, nodes: u16, divisor: u8) -> Option<Self> {
        let known = (2..=5).contains(&layers)
            && (16..=4096).contains(&nodes)
            && divisor.is_power_of_two()
            && divisor <= 32;
        known.then_some(Self {
            layers,
            nodes,
            divisor,
        })
    }

    /// Stride-2 convolutions.
    pub fn layers(self) -> u8 {
        self.layers
    }

    /// Numbers between the dense layers.
    pub fn nodes(self) -> u16 {
        self.nodes
    }

    /// What all widths but [`LegacyNet::nodes`] are divided by.
    pub fn divisor(self) -> u8 {
        self.divisor
    }

    /// Who made networks of this kind, and how sure that is.
    pub fn known_as(self) -> &'static str {
        match self.layers {
            4 => "the original network, as FakeApp and OpenFaceSwap had it at 4 layers",
            3 => "LowMem, or FakeApp at 3 layers",
            _ => {
                "the original network with another number of layers; no program with public source made these, so this is a guess"
            }
        }
    }

    /// Channels behind the `i`-th stride-2 convolution, from 0.
    pub(super) fn width(self, i: usize) -> usize {
        WIDTHS[i] / usize::from(self.divisor)
    }

    /// Shapes of the encoder's arrays, kernel and bias in turn: `[row, column, in, out]` or
    /// `[in, out]`, and `[out]`.
    pub fn encoder_shapes(self) -> Vec<Vec<usize>> {
        let (layers, nodes) = (usize::from(self.layers), usize::from(self.nodes));
        let divisor = usize::from(self.divisor);
        let mut shapes = Vec::new();
        let mut channels = 3;
        for i in 0..layers {
            push(&mut shapes, vec![5, 5, channels, self.width(i)]);
            channels = self.width(i);
        }
        let side = SIDE >> layers;
        let middle = 4 * 4 * 1024 / divisor;
        push(&mut shapes, vec![side * side * channels, nodes]);
        push(&mut shapes, vec![nodes, middle]);
        push(&mut shapes, vec![3, 3, 1024 / divisor, 4 * 512 / divisor]);
        shapes
    }

    /// Shapes of a decoder's arrays, as [`LegacyNet::encoder_shapes`]. They do not depend on layers
    /// and nodes: every decoder fits every encoder of its divisor, which proves nothing.
    pub fn decoder_shapes(self) -> Vec<Vec<usize>> {
        let divisor = usize::from(self.divisor);
        let mut shapes = Vec::new();
        let mut channels = 512 / divisor;
        for width in [256, 128, 64] {
            push(&mut shapes, vec![3, 3, channels, 4 * width / divisor]);
            channels = width / divisor;
        }
        push(&mut shapes, vec![5, 5, channels, 3]);
        shapes
    }
}

fn push(shapes: &mut Vec<Vec<usize>>, kernel: Vec<usize>) {
    let bias = kernel[kernel.len() - 1];
    shapes.push(kernel);
    shapes.push(vec![bias]);
}

/// A network that is not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    /// Its name, or that it is unknown.
    pub(super) what: String,
    /// What tells it.
    pub(super) seen: String,
}

fn other<T>(what: &str, seen: impl Into<String>) -> Result<T, Other> {
    Err(Other {
        what: what.into(),
        seen: seen.into(),
    })
}

const GAN: &str = "faceswap-GAN (another network under the same file names)";
const UNKNOWN: &str = "a network that is not known here";

/// The network of an encoder.
pub(super) fn encoder(shapes: &[Vec<usize>]) -> Result<LegacyNet, Other> {
    let Some(first) = shapes.first() else {
        return other(UNKNOWN, "no arrays at all");
    };
    match first.as_slice() {
        [5, 5, 3, _] => {}
        [3, 3, 3, _] => return other(GAN, format!("a first kernel of {first:?}")),
        [3, 3, inputs, _] if shapes.iter().all(|s| s.len() != 2) => {
            return other(
                "a decoder, not of an encoder",
                format!("a first kernel with {inputs} inputs"),
            );
        }
        [_, _] => {
            return other(
                "an intermediate part of an IAE model",
                format!("a dense layer first, {first:?}"),
            );
        }
        _ => return other(UNKNOWN, format!("a first array of {first:?}")),
    }
    let kernels = match pairs(shapes) {
        Ok(kernels) => kernels,
        Err(seen) => return other(GAN, seen),
    };
    let layers = kernels.iter().take_while(|k| k.len() == 4).count();
    let dense: Vec<&[usize]> = kernels[layers..]
        .iter()
        .take_while(|k| k.len() == 2)
        .copied()
        .collect();
    let [into, out_of] = dense.as_slice() else {
        let seen = format!(
            "{layers} convolutions and {} dense layers behind them",
            dense.len()
        );
        return match dense.len() {
            0 => other("the encoder of an IAE model", seen),
            _ => other(UNKNOWN, seen),
        };
    };
    let (last, nodes) = (kernels[layers - 1][3], into[1]);
    // A network for larger pictures has the same kernels and another dense layer.
    let pixels = into[0] / last.max(1);
    if layers <= 5 && pixels != (SIDE >> layers) * (SIDE >> layers) && last * pixels == into[0] {
        let side = (1usize..=64).find(|side| side * side == pixels);
        if let Some(side) = side {
            let seen = format!("a dense layer of {into:?} behind {last} channels");
            return other(
                &format!(
                    "a network for pictures of {} px; only 64 px is known",
                    side << layers
                ),
                seen,
            );
        }
    }
    let found = 128usize
        .checked_div(kernels[0][3])
        .and_then(|divisor| u8::try_from(divisor).ok())
        .zip(u16::try_from(nodes).ok())
        .zip(u8::try_from(layers).ok())
        .and_then(|((divisor, nodes), layers)| LegacyNet::new(layers, nodes, divisor));
    let Some(net) = found else {
        let seen = format!(
            "{layers} convolutions, a first width of {}, dense layers {into:?} and {out_of:?}",
            kernels[0][3]
        );
        return other(UNKNOWN, seen);
    };
    compare(shapes, &net.encoder_shapes())?;
    Ok(net)
}

/// Whether a decoder belongs to `net` by its shapes.
pub(super) fn decoder(shapes: &[Vec<usize>], net: LegacyNet) -> Result<(), Other> {
    let masks = shapes.iter().any(|s| matches!(s.as_slice(), [5, 5, _, 1]));
    if masks || (pairs(shapes).is_err() && shapes.first().is_some_and(|s| s.len() == 4)) {
        let seen = match masks {
            true => "a second output of one channel".to_owned(),
            false => "kernels without bias".to_owned(),
        };
        return other(
            "dfaker or faceswap-GAN (another decoder under the same file names)",
            seen,
        );
    }
    compare(shapes, &net.decoder_shapes())
}

/// The kernels, if every one is followed by its bias and there is nothing else.
fn pairs(shapes: &[Vec<usize>]) -> Result<Vec<&[usize]>, String> {
    let mut kernels = Vec::new();
    for (i, pair) in shapes.chunks(2).enumerate() {
        match pair {
            [kernel, bias]
                if matches!(kernel.len(), 2 | 4)
                    && bias.as_slice() == &kernel[kernel.len() - 1..] =>
            {
                kernels.push(kernel.as_slice());
            }
            _ => {
                return Err(format!(
                    "at array {} {pair:?} instead of a kernel and its bias",
                    2 * i + 1
                ));
            }
        }
    }
    Ok(kernels)
}

fn compare(found: &[Vec<usize>], wanted: &[Vec<usize>]) -> Result<(), Other> {
    if let Some(i) = (0..found.len().max(wanted.len())).find(|i| found.get(*i) != wanted.get(*i)) {
        let text = |shape: Option<&Vec<usize>>| {
            shape.map_or_else(|| "nothing".to_owned(), |s| format!("{s:?}"))
        };
        return other(
            UNKNOWN,
            format!(
                "array {} is {}, where the network of 2018 has {}",
                i + 1,
                text(found.get(i)),
                text(wanted.get(i))
            ),
        );
    }
    Ok(())
}
