//! Weights: one flat buffer, cut into named arrays by a layout.

use std::sync::Arc;

use stockpot_core::Rng;

/// How an array starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All zero.
    Zero,
    /// Normal with variance `gain² / fan_in` (He et al. 2015 with `gain = sqrt(2)`).
    He {
        /// Inputs that each output sums.
        fan_in: usize,
        /// 1.0 for linear layers, about 1.4 in front of rectifiers.
        gain: f32,
    },
    /// Uniform in `±sqrt(6 / (fan_in + fan_out))` (Glorot and Bengio 2010), the default of Keras 2.
    Glorot {
        /// Inputs that each output sums.
        fan_in: usize,
        /// Outputs that each input reaches.
        fan_out: usize,
    },
}

/// One named array.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// Its name in weights files. Renaming one needs a migration.
    pub name: String,
    /// Its dimensions: `[kernel, kernel, in, out]`, `[in, out]` or `[out]`.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Where it begins in the flat buffer.
    pub offset: usize,
}

impl ParamSpec {
    /// Numbers in the array.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat buffer.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// The arrays of one network half, in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    specs: Vec<ParamSpec>,
    len: usize,
}

impl Layout {
    /// Adds an array and returns its index.
    pub fn push(&mut self, name: String, shape: Vec<usize>, init: Init) -> usize {
        let spec = ParamSpec {
            name,
            shape,
            init,
            offset: self.len,
        };
        self.len += spec.len();
        self.specs.push(spec);
        self.specs.len() - 1
    }

    /// The arrays in order.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// Numbers in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The weights of one network half.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    layout: Arc<Layout>,
    /// All numbers, in the order of the layout.
    pub data: Vec<f32>,
}

impl Params {
    /// Fresh weights. Each array draws from its own random stream, named after it.
    pub fn init(layout: Arc<Layout>, seed: u64) -> Self {
        let mut data = vec![0.0f32; layout.len()];
        for spec in layout.specs() {
            let mut rng = Rng::stream(seed, &spec.name, 0);
            let part = &mut data[spec.range()];
            match spec.init {
                Init::Zero => {}
                Init::He { fan_in, gain } => {
                    let sigma = gain / (fan_in.max(1) as f32).sqrt();
                    part.iter_mut().for_each(|v| *v = sigma * rng.normal());
                }
                Init::Glorot { fan_in, fan_out } => {
                    let limit = (6.0 / (fan_in + fan_out).max(1) as f32).sqrt();
                    part.iter_mut().for_each(|v| *v = rng.range(-limit, limit));
                }
            }
        }
        Self { layout, data }
    }

    /// Weights over a buffer, or `None` if its length does not fit.
    pub fn from_data(layout: Arc<Layout>, data: Vec<f32>) -> Option<Self> {
        (data.len() == layout.len()).then_some(Self { layout, data })
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// One array by its name.
    pub fn array(&self, name: &str) -> Option<&[f32]> {
        let spec = self.layout.specs().iter().find(|s| s.name == name)?;
        Some(&self.data[spec.range()])
    }
}
