//! The hot CPU operations: convolutions in all their directions, dense layers, and the small
//! passes around them, on plain `f32` slices in `[batch, height, width, channel]` order.
//!
//! The only home of SIMD in stockpot. Knows nothing of networks, faces or files: shapes come in as
//! numbers, results go into slices that the caller owns, and a call allocates no more than tens of
//! kilobytes a thread (pointers, padded borders, folded columns) and the partial sums of gradients.
//!
//! Start with [`gather`] (one description that covers a convolution forward, its input gradient
//! and the phase-decomposed up-sampling convolution), then [`matmul`] (the implicit matrix product
//! over it) and [`weight_grad`] (the transposed product). [`conv`] turns layer shapes into gathers.
//! Where the processor has matrix registers, products of `bf16` go through them: `tiles`.
//!
//! Every result is a fixed sum in a fixed order: it does not depend on the number of threads.

mod aligned;
pub mod ceiling;
pub mod conv;
mod fold;
pub mod gather;
pub mod isa;
pub mod matmul;
mod micro;
mod outer;
pub mod pack;
pub mod pointwise;
pub mod precision;
mod rows;
#[cfg(target_arch = "x86_64")]
mod tiles;
pub mod weight_grad;

pub use aligned::Aligned;
pub use conv::{Activation, ConvGeometry, ConvShape, PackedConv, UpConvShape};
pub use gather::Gather;
pub use isa::{Isa, vectorise};
pub use matmul::{Epilogue, matmul, matmul_all};
pub use pack::{PackSource, PackedMatrix};
pub use precision::Precision;
pub use weight_grad::weight_grad;
