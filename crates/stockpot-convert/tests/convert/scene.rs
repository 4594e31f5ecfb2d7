//! Drawn frames and faces for the tests: waves for texture, an ellipse for a face. No real person.

use stockpot_convert::{ConvertSettings, Depth, FacePatch, MaskMode, Placement, cut};
use stockpot_core::face::Area;
use stockpot_core::image::{Image, Size};
use stockpot_core::rng::Rng;
use stockpot_core::space::{Affine, Face, Frame, Point};

/// Width of a face in face units, as documented for `Placement::face_width_px`.
const FACE_WIDTH: f64 = 1.18;

/// A frame of slow waves (at least `period_px` long) around skin-like colours.
pub(crate) fn frame<T: Depth>(size: Size, period_px: f32, seed: u64) -> Image<T, 3> {
    let mut rng = Rng::stream(seed, "scene", 0);
    let waves: Vec<[f32; 3]> = (0..6)
        .map(|_| {
            let (sin, cos) = (rng.unit() * std::f32::consts::TAU).sin_cos();
            let k = std::f32::consts::TAU / (period_px * rng.range(1.0, 2.0));
            [k * cos, k * sin, rng.unit() * 6.0]
        })
        .collect();
    let base = [0.62, 0.48, 0.40];
    let mut image = Image::new(size);
    for y in 0..size.height {
        for x in 0..size.width {
            let pixel = std::array::from_fn(|c| {
                let sum: f32 = waves[2 * c..2 * c + 2]
                    .iter()
                    .map(|w| (w[0] * x as f32 + w[1] * y as f32 + w[2]).sin())
                    .sum();
                T::write((base[c] + 0.09 * sum) * T::WHITE)
            });
            image.set_pixel(x, y, pixel);
        }
    }
    image
}

/// A face `width_px` wide whose middle lies at `centre` in the frame, leaning by `roll_rad`.
pub(crate) fn placement(
    centre: (f64, f64),
    width_px: f64,
    roll_rad: f64,
    resolution: u32,
) -> Placement {
    let (a, b) = (
        roll_rad.cos() * FACE_WIDTH / width_px,
        roll_rad.sin() * FACE_WIDTH / width_px,
    );
    let middle = Area::Face.centre();
    Placement {
        face_from_frame: Affine::<Face, Frame>::from_rows([
            a,
            b,
            middle.x - a * centre.0 - b * centre.1,
            -b,
            a,
            middle.y + b * centre.0 - a * centre.1,
        ]),
        area: Area::Face,
        resolution,
    }
}

/// The outline of a face as an ellipse, 1.18 by 1.55 units, in the middle of the area.
pub(crate) fn oval(placement: &Placement) -> Vec<Point<Frame>> {
    let frame_from_face = placement.face_from_frame.inverse().unwrap();
    let middle = Area::Face.centre();
    (0..36)
        .map(|i| {
            let (sin, cos) = (f64::from(i) * std::f64::consts::TAU / 36.0).sin_cos();
            frame_from_face.apply(Point::new(
                middle.x + FACE_WIDTH / 2.0 * cos,
                middle.y + 0.775 * sin,
            ))
        })
        .collect()
}

/// A patch and its mask, owned.
pub(crate) struct Drawn {
    pub(crate) placement: Placement,
    pub(crate) rgb: Vec<f32>,
    pub(crate) mask: Vec<f32>,
    pub(crate) oval: Vec<Point<Frame>>,
}

impl Drawn {
    /// What the frame itself shows there, with a full mask.
    pub(crate) fn cut_from<T: Depth>(frame: &Image<T, 3>, placement: Placement) -> Self {
        let mut rgb = vec![0.0; placement.rgb_len()];
        cut(frame, &placement, &mut rgb).unwrap();
        Self {
            placement,
            rgb,
            mask: vec![1.0; placement.mask_len()],
            oval: oval(&placement),
        }
    }

    /// One colour all over, with a full mask.
    pub(crate) fn flat(colour: [f32; 3], placement: Placement) -> Self {
        Self {
            placement,
            rgb: colour.repeat(placement.mask_len()),
            mask: vec![1.0; placement.mask_len()],
            oval: oval(&placement),
        }
    }

    pub(crate) fn patch(&self) -> FacePatch<'_> {
        FacePatch {
            placement: self.placement,
            rgb: &self.rgb,
            mask: &self.mask,
            oval: Some(&self.oval),
        }
    }

    /// Every channel times its own factor.
    pub(crate) fn tinted(mut self, gain: [f32; 3]) -> Self {
        for pixel in self.rgb.chunks_exact_mut(3) {
            for c in 0..3 {
                pixel[c] *= gain[c];
            }
        }
        self
    }
}

/// Only the decoder's mask, no erosion: the whole square but for the soft edge.
pub(crate) fn whole_square() -> ConvertSettings {
    ConvertSettings {
        mask: MaskMode::Decoder,
        erode_percent: 0.0,
        ..ConvertSettings::default()
    }
}

/// Peak signal to noise over the pixels inside `bounds`, in decibels.
pub(crate) fn psnr<T: Depth>(a: &Image<T, 3>, b: &Image<T, 3>, bounds: [u32; 4]) -> f64 {
    let (mut sum, mut n) = (0.0f64, 0.0f64);
    for y in bounds[1]..bounds[3] {
        for x in bounds[0]..bounds[2] {
            for (p, q) in a.pixel(x, y).into_iter().zip(b.pixel(x, y)) {
                sum += f64::from((p.read() - q.read()) / T::WHITE).powi(2);
                n += 1.0;
            }
        }
    }
    -10.0 * (sum / n).max(1e-12).log10()
}
