//! Resampling: affine warps between spaces and plain shrinking.
//!
//! Bilinear with replicated borders. When the source is much finer than the target (more than
//! 1.5 source pixels per target pixel) each target pixel averages a small grid of samples, so that
//! shrinking does not alias.

use crate::image::{Image, Size};
use crate::space::Affine;

/// Numbers that can be blended: the pixel types of [`Image`].
pub trait Sample: Copy + Default + Send + Sync {
    /// As `f32`, unscaled.
    fn to_f32(self) -> f32;
    /// From `f32`, unscaled, rounded and clamped to the type.
    fn from_f32(v: f32) -> Self;
}

impl Sample for u8 {
    #[inline]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    #[inline]
    fn from_f32(v: f32) -> Self {
        (v + 0.5).clamp(0.0, 255.0) as u8
    }
}
impl Sample for u16 {
    #[inline]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    #[inline]
    fn from_f32(v: f32) -> Self {
        (v + 0.5).clamp(0.0, 65535.0) as u16
    }
}
impl Sample for f32 {
    #[inline]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline]
    fn from_f32(v: f32) -> Self {
        v
    }
}

/// The value of `image` at `(x, y)` (pixel centres at +0.5), bilinear, borders replicated.
pub fn sample_bilinear<T: Sample, const C: usize>(image: &Image<T, C>, x: f64, y: f64) -> [f32; C] {
    let size = image.size();
    let (w, h) = (size.width as i64, size.height as i64);
    let (fx, fy) = (x - 0.5, y - 0.5);
    let (x0, y0) = (fx.floor(), fy.floor());
    let (ax, ay) = ((fx - x0) as f32, (fy - y0) as f32);
    let clamp = |v: f64, n: i64| (v.clamp(-1e9, 1e9) as i64).clamp(0, n - 1) as usize;
    let (xl, xr) = (clamp(x0, w), clamp(x0 + 1.0, w));
    let (yt, yb) = (clamp(y0, h), clamp(y0 + 1.0, h));
    let data = image.data();
    let stride = size.width as usize;
    let (tl, tr) = ((yt * stride + xl) * C, (yt * stride + xr) * C);
    let (bl, br) = ((yb * stride + xl) * C, (yb * stride + xr) * C);
    std::array::from_fn(|c| {
        let top = data[tl + c].to_f32() * (1.0 - ax) + data[tr + c].to_f32() * ax;
        let bottom = data[bl + c].to_f32() * (1.0 - ax) + data[br + c].to_f32() * ax;
        top * (1.0 - ay) + bottom * ay
    })
}

/// `image` (space `From`) as seen in a picture of `size` (space `To`).
///
/// `from_to` takes a point of the result to a point of `image`. An empty source gives a black
/// result.
pub fn warp_affine<T: Sample, To, From, const C: usize>(
    image: &Image<T, C>,
    size: Size,
    from_to: &Affine<From, To>,
) -> Image<T, C> {
    let mut out = Image::new(size);
    if image.size().pixels() == 0 {
        return out;
    }
    let step = from_to.mean_scale();
    let grid = if step <= 1.5 {
        1
    } else {
        (step.round() as usize).min(8)
    };
    let norm = 1.0 / (grid * grid) as f32;
    let m = from_to.rows();
    let at = |px: f64, py: f64| (m[0] * px + m[1] * py + m[2], m[3] * px + m[4] * py + m[5]);
    // Whole rows whose samples all lie inside need no clamping: the common case, and much faster.
    let inside = Inside::of(image.size());
    for y in 0..size.height {
        let (top, bottom) = (f64::from(y), f64::from(y) + 1.0);
        let right = f64::from(size.width);
        let corners = [
            at(0.0, top),
            at(right, top),
            at(0.0, bottom),
            at(right, bottom),
        ];
        let fast = corners.iter().all(|(x, y)| inside.holds(*x, *y));
        for (x, out) in out.row_mut(y).chunks_exact_mut(C).enumerate() {
            let mut sum = [0.0f32; C];
            for j in 0..grid {
                let py = top + (j as f64 + 0.5) / grid as f64;
                for i in 0..grid {
                    let (sx, sy) = at(x as f64 + (i as f64 + 0.5) / grid as f64, py);
                    let v = match fast {
                        true => sample_inside(image, sx, sy),
                        false => sample_bilinear(image, sx, sy),
                    };
                    for c in 0..C {
                        sum[c] += v[c];
                    }
                }
            }
            for (out, sum) in out.iter_mut().zip(sum) {
                *out = T::from_f32(sum * norm);
            }
        }
    }
    out
}

/// Where bilinear samples have all four neighbours.
struct Inside {
    right: f64,
    bottom: f64,
}

impl Inside {
    fn of(size: Size) -> Self {
        Self {
            right: f64::from(size.width) - 0.5,
            bottom: f64::from(size.height) - 0.5,
        }
    }

    fn holds(&self, x: f64, y: f64) -> bool {
        x >= 0.5 && y >= 0.5 && x < self.right && y < self.bottom
    }
}

/// [`sample_bilinear`] where [`Inside::holds`].
#[inline(always)]
fn sample_inside<T: Sample, const C: usize>(image: &Image<T, C>, x: f64, y: f64) -> [f32; C] {
    let (fx, fy) = (x - 0.5, y - 0.5);
    let (x0, y0) = (fx as usize, fy as usize);
    let (ax, ay) = ((fx - x0 as f64) as f32, (fy - y0 as f64) as f32);
    let stride = image.size().width as usize * C;
    let top = &image.data()[y0 * stride + x0 * C..][..stride + 2 * C];
    std::array::from_fn(|c| {
        let above = top[c].to_f32() * (1.0 - ax) + top[C + c].to_f32() * ax;
        let below = top[stride + c].to_f32() * (1.0 - ax) + top[stride + C + c].to_f32() * ax;
        above * (1.0 - ay) + below * ay
    })
}

/// `image` scaled to `size` (each axis by its own factor).
pub fn resize<T: Sample, const C: usize>(image: &Image<T, C>, size: Size) -> Image<T, C> {
    let sx = f64::from(image.size().width) / f64::from(size.width.max(1));
    let sy = f64::from(image.size().height) / f64::from(size.height.max(1));
    let map = Affine::<(), ()>::from_rows([sx, 0.0, 0.0, 0.0, sy, 0.0]);
    warp_affine(image, size, &map)
}

/// A copy of `image` scaled to fit inside `limit`, never enlarged.
pub fn fit_inside<T: Sample, const C: usize>(image: &Image<T, C>, limit: Size) -> Image<T, C> {
    let size = image.size();
    let scale = (f64::from(limit.width) / f64::from(size.width.max(1)))
        .min(f64::from(limit.height) / f64::from(size.height.max(1)));
    if scale >= 1.0 {
        return image.clone();
    }
    let side = |n: u32| ((f64::from(n) * scale).round() as u32).max(1);
    resize(image, Size::new(side(size.width), side(size.height)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::GrayF32;
    use crate::space::{Frame, Net};

    fn ramp(w: u32, h: u32) -> GrayF32 {
        let mut image = GrayF32::new(Size::new(w, h));
        for y in 0..h {
            for x in 0..w {
                image.set_pixel(x, y, [x as f32 + 0.5 + 10.0 * (y as f32 + 0.5)]);
            }
        }
        image
    }

    #[test]
    fn pixel_centres_are_at_half() {
        let image = ramp(8, 8);
        assert_eq!(sample_bilinear(&image, 0.5, 0.5), [5.5]);
        assert_eq!(sample_bilinear(&image, 3.0, 4.0), [43.0]);
    }

    #[test]
    fn identity_warp_changes_nothing() {
        let image = ramp(9, 7);
        let id = Affine::<Frame, Net>::scale_then_shift(1.0, 0.0, 0.0);
        assert_eq!(warp_affine(&image, image.size(), &id), image);
    }

    #[test]
    fn rows_inside_and_rows_at_the_border_agree() {
        let image = ramp(40, 40);
        // Turned and shifted: some rows lie inside, some reach over the border.
        let map = Affine::<Frame, Net>::from_rows([0.9, -0.2, 6.0, 0.2, 0.9, -3.0]);
        let out = warp_affine(&image, Size::new(30, 40), &map);
        let m = map.rows();
        for y in 0..40u32 {
            for x in 0..30u32 {
                let (px, py) = (f64::from(x) + 0.5, f64::from(y) + 0.5);
                let (sx, sy) = (m[0] * px + m[1] * py + m[2], m[3] * px + m[4] * py + m[5]);
                assert_eq!(out.pixel(x, y), sample_bilinear(&image, sx, sy));
            }
        }
    }

    #[test]
    fn shrinking_keeps_the_coordinates() {
        let half = resize(&ramp(16, 16), Size::new(8, 8));
        // In the inside a linear ramp stays linear: the value is the source coordinate.
        for (x, y) in [(2u32, 3u32), (5, 5)] {
            let wanted = (f64::from(x) + 0.5) * 2.0 + 10.0 * (f64::from(y) + 0.5) * 2.0;
            assert!((f64::from(half.pixel(x, y)[0]) - wanted).abs() < 1e-3);
        }
    }

    #[test]
    fn far_outside_and_not_a_number_do_not_panic() {
        let image = ramp(4, 4);
        assert!(sample_bilinear(&image, 1e300, -1e300)[0].is_finite());
        let _ = sample_bilinear(&image, f64::NAN, f64::INFINITY);
    }
}
