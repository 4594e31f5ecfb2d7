//! One stored crop to the five planes of a cached face.

use stockpot_core::face::{
    CROP_SIDE, LEFT_EYE, LIPS, OVAL, RIGHT_EYE, crop_from_face, fill_polygon,
};
use stockpot_core::image::Size;
use stockpot_core::space::{Affine, Face, Net, Point};
use stockpot_core::{Area, Gray8, Rgb8};

use super::padded_side;
use crate::record::FaceRecord;
use crate::resample;

/// Eyes are grown by this factor and then by this many face units, so that lids, lashes and the
/// slit of a closed eye count.
const EYE_GROWTH: (f64, f64) = (1.25, 0.03);
/// The same for the rim of the lips.
const MOUTH_GROWTH: (f64, f64) = (1.1, 0.02);

pub(super) struct Planes {
    /// Red, green, blue, mask interleaved; then importance.
    pub(super) pixels: Vec<u8>,
    pub(super) mean: [f32; 3],
    pub(super) deviation: [f32; 3],
}

/// Resamples `crop` and draws the masks on the same grid.
pub(super) fn decode(crop: &Rgb8, record: &FaceRecord, area: Area, resolution: u32) -> Planes {
    let side = padded_side(resolution);
    let size = Size::square(side);
    let padded_from_face = padded_from_face(area, resolution);
    // Crop and network see face space upright: between them lie only a scale and a shift.
    let unit_px = f64::from(crop.size().width) / CROP_SIDE;
    let step = unit_px * area.side() / f64::from(resolution);
    let middle = crop_from_face(crop.size().width).apply(area.centre());
    let half = step * f64::from(side) / 2.0;
    let rgb = resample::scaled(crop, side, step, (middle.x - half, middle.y - half));
    let fill = |polygon: Vec<Point<Face>>| {
        let corners: Vec<Point<Net>> = polygon.iter().map(|p| padded_from_face.apply(*p)).collect();
        fill_polygon(size, &corners)
    };
    let mask = fill(record.polygon(&OVAL));
    let left = fill(grown(&record.polygon(&LEFT_EYE), EYE_GROWTH));
    let right = fill(grown(&record.polygon(&RIGHT_EYE), EYE_GROWTH));
    let mouth = fill(grown(&record.polygon(&LIPS), MOUTH_GROWTH));
    let mut pixels = Vec::with_capacity(super::block_bytes(resolution));
    for (rgb, mask) in rgb.data().chunks_exact(3).zip(mask.data()) {
        pixels.extend_from_slice(rgb);
        pixels.push(*mask);
    }
    let nibble = |v: u8| ((u32::from(v) * 15 + 127) / 255) as u8;
    let eyes = left
        .data()
        .iter()
        .zip(right.data())
        .map(|(l, r)| nibble(*l.max(r)));
    pixels.extend(
        eyes.zip(mouth.data())
            .map(|(eyes, mouth)| eyes << 4 | nibble(*mouth)),
    );
    let (mean, deviation) = colour(&rgb, &mask);
    Planes {
        pixels,
        mean,
        deviation,
    }
}

/// Face space to the pixels of a cached face: the network's grid, moved by the margin.
fn padded_from_face(area: Area, resolution: u32) -> Affine<Net, Face> {
    let margin = f64::from((padded_side(resolution) - resolution) / 2);
    let shift = Affine::<Net, Net>::scale_then_shift(1.0, margin, margin);
    shift * area.net_from_face(resolution)
}

/// The polygon scaled about its middle and then moved outward.
fn grown(polygon: &[Point<Face>], (factor, outward): (f64, f64)) -> Vec<Point<Face>> {
    let n = polygon.len().max(1) as f64;
    let cx = polygon.iter().map(|p| p.x).sum::<f64>() / n;
    let cy = polygon.iter().map(|p| p.y).sum::<f64>() / n;
    let grow = |p: &Point<Face>| {
        let (dx, dy) = (p.x - cx, p.y - cy);
        let length = dx.hypot(dy).max(1e-9);
        let scale = factor + outward / length;
        Point::new(cx + dx * scale, cy + dy * scale)
    };
    polygon.iter().map(grow).collect()
}

/// Mean and standard deviation of each channel, weighted by the mask, 0 to 1.
fn colour(rgb: &Rgb8, mask: &Gray8) -> ([f32; 3], [f32; 3]) {
    let (mut sum, mut square, mut weight) = ([0.0f64; 3], [0.0f64; 3], 0.0f64);
    for (pixel, m) in rgb.data().chunks_exact(3).zip(mask.data()) {
        let w = f64::from(*m) / 255.0;
        weight += w;
        for c in 0..3 {
            let v = f64::from(pixel[c]) / 255.0;
            sum[c] += w * v;
            square[c] += w * v * v;
        }
    }
    let weight = weight.max(1e-9);
    let mean = sum.map(|s| s / weight);
    let deviation =
        std::array::from_fn(|c| (square[c] / weight - mean[c] * mean[c]).max(0.0).sqrt() as f32);
    (mean.map(|v| v as f32), deviation)
}
