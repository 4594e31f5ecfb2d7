//! What is behind a person: smooth pictures by seed that stay still while a performance lasts.
//!
//! Knows nothing of persons.

use crate::performance::Backdrop;
use crate::vec3::{Vec3, scale};

/// Colour in linear light at `at` of a picture of `size` pixels.
pub(crate) fn colour(backdrop: &Backdrop, at: [f32; 2], size: [f32; 2]) -> Vec3 {
    let [x, y] = std::array::from_fn(|i| (at[i] + 0.5) / size[i] - 0.5);
    scale(backdrop.colour, 1.15 - 0.6 * x.hypot(y + 0.05))
}
