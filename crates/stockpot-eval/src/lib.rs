//! How good it is: measures against the truth that only made-up people can give, and the demo.
//!
//! A made-up person A plays a performance; the product swaps B in; B playing the same performance is
//! what a perfect swap must look like. Nothing that the renderer knows reaches training: whatever is
//! trained here sees pictures only. Start with [`outcome`], the words every track answers in.

pub mod bench;
pub mod calibration;
pub mod clips;
pub mod demo;
pub mod judge;
pub mod measure;
pub mod outcome;
mod page;
pub mod race;
mod seeds;
pub mod sets;
pub mod speed;
pub mod stock;
mod table;
pub mod tracks;
mod trained;
pub mod video;
