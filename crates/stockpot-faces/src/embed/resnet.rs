//! dlib's face recognition network: its weights out of face-api's two files, and its forward pass.
//!
//! Net: convolution 7x7/2 and pool 3/2, then residual blocks of two 3x3 convolutions with 32, 64,
//! 128 and 256 channels, the mean over the last 2x2 pixels, and a matrix to 128 numbers.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Error;
use crate::embed::SIDE;
use crate::ops::{self, Act, Conv, Dims, Window};

/// Numbers of an embedding.
const OUT: usize = 128;
/// Larger weight files or manifests are refused; the real ones have 6.4 MB and 20 KB.
const MAX_WEIGHT_BYTES: usize = 32 << 20;
const MAX_MANIFEST_BYTES: usize = 1 << 20;
/// Residual blocks in order: name, channels in, channels out, whether they halve the size.
const BLOCKS: [(&str, usize, usize, bool); 14] = [
    ("conv32_1", 32, 32, false),
    ("conv32_2", 32, 32, false),
    ("conv32_3", 32, 32, false),
    ("conv64_down", 32, 64, true),
    ("conv64_1", 64, 64, false),
    ("conv64_2", 64, 64, false),
    ("conv64_3", 64, 64, false),
    ("conv128_down", 64, 128, true),
    ("conv128_1", 128, 128, false),
    ("conv128_2", 128, 128, false),
    ("conv256_down", 128, 256, true),
    ("conv256_1", 256, 256, false),
    ("conv256_2", 256, 256, false),
    ("conv256_down_out", 256, 256, true),
];

/// The network. Cloning shares the weights and makes new buffers.
#[derive(Debug)]
pub struct ResNet {
    weights: Arc<Weights>,
    input: Vec<f32>,
    /// The picture between blocks, the branch between its two convolutions, its end, the result.
    buffers: [Vec<f32>; 4],
    scratch: Vec<f32>,
}

#[derive(Debug)]
struct Weights {
    stem: Conv,
    blocks: Vec<Block>,
    /// `[256, 128]`
    matrix: Vec<f32>,
}

#[derive(Debug)]
struct Block {
    first: Conv,
    second: Conv,
    halves: bool,
}

#[derive(serde::Deserialize)]
struct Group {
    weights: Vec<Entry>,
}

#[derive(serde::Deserialize)]
struct Entry {
    name: String,
    shape: Vec<usize>,
    dtype: String,
    quantization: Option<Quantization>,
}

#[derive(serde::Deserialize)]
struct Quantization {
    dtype: String,
    scale: f32,
    min: f32,
}

impl Clone for ResNet {
    fn clone(&self) -> Self {
        Self::with_buffers(Arc::clone(&self.weights))
    }
}

impl ResNet {
    /// Reads `face_recognition_model-weights_manifest.json` and `face_recognition_model.bin`.
    /// Never panics, whatever the bytes are.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`] or [`Error::ModelTooLarge`].
    pub fn from_bytes(manifest: &[u8], bytes: &[u8]) -> Result<Self, Error> {
        for (what, value, limit) in [
            ("bytes of the manifest", manifest.len(), MAX_MANIFEST_BYTES),
            ("bytes of the weights", bytes.len(), MAX_WEIGHT_BYTES),
        ] {
            if value > limit {
                return Err(Error::ModelTooLarge {
                    what,
                    value: value as u64,
                    limit: limit as u64,
                });
            }
        }
        let mut tensors = Tensors::read(manifest, bytes)?;
        let stem = tensors.conv("conv32_down", 7, 3, 32)?;
        let blocks = BLOCKS
            .iter()
            .map(|(name, from, to, halves)| {
                Ok(Block {
                    first: tensors.conv(&format!("{name}/conv1"), 3, *from, *to)?,
                    second: tensors.conv(&format!("{name}/conv2"), 3, *to, *to)?,
                    halves: *halves,
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let matrix = tensors.take("fc", &[256, OUT])?;
        Ok(Self::with_buffers(Arc::new(Weights {
            stem,
            blocks,
            matrix,
        })))
    }

    fn with_buffers(weights: Arc<Weights>) -> Self {
        Self {
            weights,
            input: vec![0.0; SIDE * SIDE * 3],
            buffers: Default::default(),
            scratch: Vec::new(),
        }
    }

    /// The input, `[150, 150, 3]`, to be filled before [`ResNet::run`].
    pub fn input_mut(&mut self) -> &mut [f32] {
        &mut self.input
    }

    /// The 128 numbers of the input.
    pub fn run(&mut self) -> [f32; OUT] {
        let [x, middle, branch, result] = &mut self.buffers;
        let weights = &self.weights;
        let scratch = &mut self.scratch;
        let mut forward = |conv: &Conv, from: &[f32], size: Dims, step: Step, to: &mut Vec<f32>| {
            let out = step.out(size, conv.out_channels());
            to.resize(out.len(), 0.0);
            let from = &from[..size.len()];
            conv.forward(from, size, step.window(), step.relu, to, out, scratch);
            out
        };
        let size = Dims::new(SIDE, SIDE, 3);
        let size = forward(&weights.stem, &self.input, size, Step::down(7), middle);
        let pool = Step::down(3);
        let mut shape = pool.out(size, size.channels);
        x.resize(shape.len(), 0.0);
        ops::max_pool(middle, size, pool.window(), x, shape);
        for block in &weights.blocks {
            let first = if block.halves {
                Step::down(3)
            } else {
                Step::SAME
            };
            let inner = forward(&block.first, x, shape, first, middle);
            let second = Step {
                relu: false,
                ..Step::SAME
            };
            let end = forward(&block.second, middle, inner, second, branch);
            if block.halves {
                shape = join_halved(x, shape, branch, end, middle, result);
                std::mem::swap(x, result);
            } else {
                x.iter_mut().zip(branch.iter()).for_each(|(x, b)| *x += b);
            }
            Act::Relu.apply(x);
        }
        let share = 1.0 / (shape.height * shape.width) as f32;
        let mut out = [0.0; OUT];
        for pixel in x[..shape.len()].chunks_exact(shape.channels) {
            for (v, row) in pixel.iter().zip(weights.matrix.chunks_exact(OUT)) {
                out.iter_mut()
                    .zip(row)
                    .for_each(|(o, w)| *o += v * share * w);
            }
        }
        out
    }
}

/// How a convolution or pool of the network walks.
#[derive(Clone, Copy)]
struct Step {
    kernel: usize,
    stride: usize,
    pad: usize,
    relu: bool,
}

impl Step {
    const SAME: Self = Self {
        kernel: 3,
        stride: 1,
        pad: 1,
        relu: true,
    };

    const fn down(kernel: usize) -> Self {
        Self {
            kernel,
            stride: 2,
            pad: 0,
            relu: true,
        }
    }

    const fn window(self) -> Window {
        Window {
            kernel: [self.kernel; 2],
            stride: [self.stride; 2],
            pad: [self.pad; 2],
        }
    }

    const fn out(self, size: Dims, channels: usize) -> Dims {
        let room = 2 * self.pad;
        Dims::new(
            (size.height + room - self.kernel) / self.stride + 1,
            (size.width + room - self.kernel) / self.stride + 1,
            channels,
        )
    }
}

/// The end of a halving block: the picture at half size with zero channels added, plus the branch
/// with zero rows and columns added at the bottom and right where it is smaller.
fn join_halved(
    x: &[f32],
    size: Dims,
    branch: &[f32],
    end: Dims,
    pooled: &mut Vec<f32>,
    result: &mut Vec<f32>,
) -> Dims {
    let half = Dims::new(size.height / 2, size.width / 2, size.channels);
    pooled.resize(half.len(), 0.0);
    ops::average_pool(x, size, Step::down(2).window(), pooled, half);
    let out = Dims::new(
        half.height.max(end.height),
        half.width.max(end.width),
        end.channels,
    );
    result.clear();
    result.resize(out.len(), 0.0);
    for (part, dims) in [(&pooled[..], half), (branch, end)] {
        for (at, pixel) in part[..dims.len()].chunks_exact(dims.channels).enumerate() {
            let (row, column) = (at / dims.width, at % dims.width);
            let to = &mut result[(row * out.width + column) * out.channels..][..dims.channels];
            to.iter_mut().zip(pixel).for_each(|(t, p)| *t += p);
        }
    }
    out
}

/// Named tensors of a weights manifest.
struct Tensors {
    by_name: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Tensors {
    fn read(manifest: &[u8], bytes: &[u8]) -> Result<Self, Error> {
        let groups: Vec<Group> = serde_json::from_slice(manifest)
            .map_err(|e| Error::unsupported(format!("the weights manifest cannot be read: {e}")))?;
        let mut by_name = HashMap::new();
        let mut rest = bytes;
        for entry in groups.into_iter().flat_map(|g| g.weights) {
            let (values, after) = entry.values(rest)?;
            rest = after;
            by_name.insert(entry.name, (entry.shape, values));
        }
        if !rest.is_empty() {
            return Err(Error::unsupported(format!(
                "{} bytes of weights are left over",
                rest.len()
            )));
        }
        Ok(Self { by_name })
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        match self.by_name.remove(name) {
            Some((found, values)) if found == shape => Ok(values),
            Some((found, _)) => Err(Error::unsupported(format!(
                "`{name}` has shape {found:?}, wanted is {shape:?}"
            ))),
            None => Err(Error::unsupported(format!("`{name}` is missing"))),
        }
    }

    /// A convolution with the scale and shift after it folded in.
    fn conv(&mut self, name: &str, kernel: usize, from: usize, to: usize) -> Result<Conv, Error> {
        let mut weights =
            self.take(&format!("{name}/conv/filters"), &[kernel, kernel, from, to])?;
        let mut bias = self.take(&format!("{name}/conv/bias"), &[to])?;
        let scale = self.take(&format!("{name}/scale/weights"), &[to])?;
        let shift = self.take(&format!("{name}/scale/biases"), &[to])?;
        for row in weights.chunks_exact_mut(to) {
            row.iter_mut().zip(&scale).for_each(|(w, s)| *w *= s);
        }
        for ((b, scale), shift) in bias.iter_mut().zip(&scale).zip(&shift) {
            *b = *b * scale + shift;
        }
        Ok(Conv::new([kernel; 2], from, to, &weights, bias))
    }
}

impl Entry {
    /// The values at the start of `bytes`, and the bytes after them.
    fn values<'a>(&self, bytes: &'a [u8]) -> Result<(Vec<f32>, &'a [u8]), Error> {
        let wide = match (&*self.dtype, &self.quantization) {
            ("float32", None) => true,
            ("float32", Some(q)) if q.dtype == "uint8" => false,
            _ => {
                return Err(Error::unsupported(format!(
                    "`{}` is of kind {}",
                    self.name, self.dtype
                )));
            }
        };
        let width = if wide { 4 } else { 1 };
        let length = self
            .shape
            .iter()
            .try_fold(width, |n: usize, s| n.checked_mul(*s));
        let Some((mine, rest)) = length.and_then(|n| bytes.split_at_checked(n)) else {
            return Err(Error::unsupported(format!(
                "the weights end within `{}`",
                self.name
            )));
        };
        let values = match &self.quantization {
            Some(q) => mine
                .iter()
                .map(|b| f32::from(*b) * q.scale + q.min)
                .collect(),
            None => {
                let (words, _) = mine.as_chunks::<4>();
                words.iter().map(|w| f32::from_le_bytes(*w)).collect()
            }
        };
        Ok((values, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_read_in_order() {
        let manifest = br#"[{"weights":[
            {"name":"a","shape":[2],"dtype":"float32","quantization":{"dtype":"uint8","scale":0.5,"min":-1.0}},
            {"name":"b","shape":[1,1],"dtype":"float32"}],"paths":["x"]}]"#;
        let mut bytes = vec![0, 4];
        bytes.extend(7.5f32.to_le_bytes());
        let mut tensors = Tensors::read(manifest, &bytes).unwrap();
        assert_eq!(tensors.take("a", &[2]).unwrap(), [-1.0, 1.0]);
        assert!(tensors.take("b", &[1]).is_err());
        for cut in 0..bytes.len() {
            assert!(Tensors::read(manifest, &bytes[..cut]).is_err(), "{cut}");
        }
        bytes.push(0);
        assert!(Tensors::read(manifest, &bytes).is_err());
        let huge = br#"[{"weights":[{"name":"a","shape":[4294967295,4294967295,4294967295],"dtype":"float32"}]}]"#;
        assert!(Tensors::read(huge, &bytes).is_err());
        assert!(ResNet::from_bytes(b"[]", b"").is_err());
        assert!(ResNet::from_bytes(b"not json", b"").is_err());
    }

    #[test]
    fn halving_pads_channels_and_borders() {
        // 4x4 of one channel is halved to 2x2; the branch is one pixel of two channels.
        let x: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let (mut pooled, mut result) = (Vec::new(), Vec::new());
        let (size, end) = (Dims::new(4, 4, 1), Dims::new(1, 1, 2));
        let out = join_halved(&x, size, &[100.0, 1.0], end, &mut pooled, &mut result);
        assert_eq!(out, Dims::new(2, 2, 2));
        assert_eq!(result, [102.5, 1.0, 4.5, 0.0, 10.5, 0.0, 12.5, 0.0]);
    }
}
