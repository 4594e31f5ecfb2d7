//! Where a face lies in its frame and what a network said of it: the shared inputs of cutting,
//! measuring and pasting, checked here once. Start at [`Placement`].

use stockpot_core::face::{Area, FaceLandmarks, OVAL};
use stockpot_core::image::{Image, Size};
use stockpot_core::space::{Affine, Face, Frame, Net, Point};
use stockpot_core::warp::Sample;

use crate::error::Error;

/// Width of an adult face in face units: about 141 mm between the zygomatic arches (bizygomatic
/// breadth, mean of men and women), at 119 mm per unit (see `stockpot_core::face`).
const FACE_WIDTH: f64 = 1.18;
/// Smallest and largest network side that makes sense, in pixels; bounds what is allocated.
const RESOLUTIONS: (u32, u32) = (8, 2048);
/// Smallest and largest width of the area in frame pixels; outside it the landmarks are broken.
const SIDES_PX: (f64, f64) = (4.0, 65_536.0);

/// Whole-number pixel types of a frame. As [`Sample`], but always inlined: a call per channel costs
/// more than the arithmetic.
pub trait Depth: Sample {
    /// The number of full white.
    const WHITE: f32;
    /// As `f32`, unscaled.
    fn read(self) -> f32;
    /// From `f32`, unscaled, rounded and clamped.
    fn write(v: f32) -> Self;
}
impl Depth for u8 {
    const WHITE: f32 = 255.0;
    #[inline(always)]
    fn read(self) -> f32 {
        f32::from(self)
    }
    #[inline(always)]
    fn write(v: f32) -> Self {
        (v + 0.5).clamp(0.0, Self::WHITE) as i32 as Self
    }
}
impl Depth for u16 {
    const WHITE: f32 = 65_535.0;
    #[inline(always)]
    fn read(self) -> f32 {
        f32::from(self)
    }
    #[inline(always)]
    fn write(v: f32) -> Self {
        (v + 0.5).clamp(0.0, Self::WHITE) as i32 as Self
    }
}

/// Red, green, blue while they are computed with.
pub(crate) type Colour = [f32; 3];

/// `a + b * w`, channel by channel.
#[inline(always)]
pub(crate) fn add_scaled(a: Colour, b: Colour, w: f32) -> Colour {
    [a[0] + b[0] * w, a[1] + b[1] * w, a[2] + b[2] * w]
}

/// `a * w`, channel by channel.
#[inline(always)]
pub(crate) fn scaled(a: Colour, w: f32) -> Colour {
    [a[0] * w, a[1] * w, a[2] * w]
}

/// From `a` (at 0) to `b` (at 1), channel by channel.
#[inline(always)]
pub(crate) fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    add_scaled(scaled(a, 1.0 - t), b, t)
}

/// Where one face lies in a frame, and the square of it that a network sees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Takes a frame point to the canonical face.
    pub face_from_frame: Affine<Face, Frame>,
    /// The square of face space that the network was trained on.
    pub area: Area,
    /// Side of the network's picture in pixels, 8 to 2048.
    pub resolution: u32,
}

impl Placement {
    /// Numbers of an RGB picture `[resolution, resolution, 3]`.
    pub fn rgb_len(&self) -> usize {
        self.mask_len() * 3
    }

    /// Numbers of a mask `[resolution, resolution]`.
    pub fn mask_len(&self) -> usize {
        self.resolution as usize * self.resolution as usize
    }

    /// The placement at which a picture belongs that lies `px` of the network's pixels too far to the
    /// right and down.
    #[must_use]
    pub fn shifted_back(&self, px: f64) -> Self {
        let by = px * self.area.side() / f64::from(self.resolution.max(1));
        Self {
            face_from_frame: Affine::scale_then_shift(1.0, by, by) * self.face_from_frame,
            ..*self
        }
    }

    /// Frame pixels to the network's pixels.
    ///
    /// # Errors
    /// [`Error::Transform`] or [`Error::Resolution`] if this is no usable placement.
    pub fn net_from_frame(&self) -> Result<Affine<Net, Frame>, Error> {
        self.grid_from_frame(self.resolution)
    }

    /// The network's pixels to frame pixels.
    ///
    /// # Errors
    /// As [`Self::net_from_frame`].
    pub fn frame_from_net(&self) -> Result<Affine<Frame, Net>, Error> {
        self.net_from_frame()?
            .inverse()
            .map_err(|_| self.unusable("it is singular"))
    }

    /// Width of the area in frame pixels. Zero or not a number for a broken transform.
    pub fn area_side_px(&self) -> f64 {
        self.area.side() / self.face_from_frame.mean_scale()
    }

    /// Width of an adult face at this scale, in frame pixels.
    pub fn face_width_px(&self) -> f64 {
        FACE_WIDTH / self.face_from_frame.mean_scale()
    }

    /// As [`Self::net_from_frame`], for a grid of `side` pixels over the same area.
    pub(crate) fn grid_from_frame(&self, side: u32) -> Result<Affine<Net, Frame>, Error> {
        let (min, max) = RESOLUTIONS;
        if !(min..=max).contains(&self.resolution) {
            return Err(Error::Resolution {
                found: self.resolution,
                min,
                max,
            });
        }
        if self.face_from_frame.rows().iter().any(|v| !v.is_finite()) {
            return Err(self.unusable("it holds a number that is not finite"));
        }
        let side_px = self.area_side_px();
        if !side_px.is_finite() {
            return Err(self.unusable("it is singular"));
        }
        if !(SIDES_PX.0..=SIDES_PX.1).contains(&side_px) {
            return Err(self.unusable("the face would be too small or too large"));
        }
        Ok(self.area.net_from_face(side) * self.face_from_frame)
    }

    fn unusable(&self, reason: &'static str) -> Error {
        Error::Transform {
            rows: self.face_from_frame.rows(),
            reason,
            min_px: SIDES_PX.0,
            max_px: SIDES_PX.1,
        }
    }
}

/// What a decoder made of one face.
#[derive(Debug, Clone, Copy)]
pub struct FacePatch<'a> {
    /// Where it belongs.
    pub placement: Placement,
    /// RGB, 0.0 to 1.0, `[resolution, resolution, 3]`. Values outside are clamped; a pixel that is
    /// not finite is left out and counted.
    pub rgb: &'a [f32],
    /// The decoder's own mask, 0.0 to 1.0, `[resolution, resolution]`; 1 is face.
    pub mask: &'a [f32],
    /// The outline of the filmed face in the frame (see [`face_oval`]), if known.
    pub oval: Option<&'a [Point<Frame>]>,
}

impl FacePatch<'_> {
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_len(
            "picture",
            &self.placement,
            self.placement.rgb_len(),
            self.rgb.len(),
        )?;
        check_len(
            "mask",
            &self.placement,
            self.placement.mask_len(),
            self.mask.len(),
        )
    }
}

pub(crate) fn check_len(
    what: &'static str,
    placement: &Placement,
    wanted: usize,
    found: usize,
) -> Result<(), Error> {
    if wanted == found {
        return Ok(());
    }
    Err(Error::Length {
        what,
        resolution: placement.resolution,
        wanted,
        found,
    })
}

pub(crate) fn check_frame<T: Depth>(frame: &Image<T, 3>) -> Result<Size, Error> {
    let size = frame.size();
    if size.pixels() == 0 {
        return Err(Error::EmptyFrame { size });
    }
    Ok(size)
}

/// The outline of a face from its landmarks, as [`FacePatch::oval`] wants it.
pub fn face_oval(landmarks: &FaceLandmarks) -> Vec<Point<Frame>> {
    OVAL.iter().map(|i| landmarks.point(*i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_off_is_looked_up_where_it_lies() {
        let placement = Placement {
            face_from_frame: Affine::from_rows([0.01, 0.002, -0.4, -0.002, 0.01, -0.6]),
            area: Area::Narrow,
            resolution: 64,
        };
        let place = |placement: &Placement| {
            let net = placement.net_from_frame().unwrap();
            net.apply(Point::new(70.0, 90.0))
        };
        let (right, off) = (place(&placement), place(&placement.shifted_back(0.5)));
        assert!((off.x - right.x - 0.5).abs() < 1e-9, "{right:?} {off:?}");
        assert!((off.y - right.y - 0.5).abs() < 1e-9, "{right:?} {off:?}");
        assert_eq!(placement.shifted_back(0.0), placement);
    }
}
