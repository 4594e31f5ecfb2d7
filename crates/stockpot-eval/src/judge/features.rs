//! A face as numbers, in blocks: directions of edges, the look of eyes and mouth, and where the
//! landmarks lie. All is read on the face's own grid, so place, size and lean in the frame do not
//! count (the lean is among the numbers of [`Block::Shape`]). Knows no persons.

use stockpot_core::face::{self, FaceLandmarks};
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::space::{Affine, Face, Frame, Net, Point, Singular};
use stockpot_core::warp::warp_affine;

/// Which part of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Directions of edges over the whole face.
    Whole,
    /// Directions of edges and even light from brows to lip: what is inside of any mask.
    Inner,
    /// Both eyes, brightness.
    Eyes,
    /// The mouth, brightness.
    Mouth,
    /// Landmarks in face space, and the head's turn as they say it.
    Shape,
}

impl Block {
    /// All, in the order of [`Features::blocks`].
    pub const ALL: [Self; 5] = [
        Self::Whole,
        Self::Inner,
        Self::Eyes,
        Self::Mouth,
        Self::Shape,
    ];
}

/// The numbers of one face.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// One list per block, always of the same lengths.
    pub blocks: [Vec<f32>; 5],
}

impl Features {
    /// The numbers of one block.
    pub fn block(&self, block: Block) -> &[f32] {
        &self.blocks[block as usize]
    }
}

/// Side of the pictures whose edges are read, in pixels.
const SIDE: usize = 64;
/// Cells along a side, directions per cell.
const CELLS: usize = 8;
const DIRECTIONS: usize = 8;
/// Parts of an eye's picture: width and height in face units (eyes are 0.53 apart) and pixels.
const EYE: (f64, f64, u32, u32) = (0.34, 0.2, 24, 14);
/// The same of the mouth, whose middle is at rest at this place.
const MOUTH: (f64, f64, u32, u32) = (0.76, 0.6, 24, 19);
const MOUTH_CENTRE: (f64, f64) = (0.4903, 0.83);
/// Every so manieth landmark is among the numbers, besides those of eyes and lips.
const LANDMARK_STEP: usize = 6;

/// Reads a face.
///
/// # Errors
/// [`Singular`] if the landmarks lie in one point.
pub fn read(frame: &Rgb8, landmarks: &FaceLandmarks) -> Result<Features, Singular> {
    let face_from_frame = landmarks.face_from_frame()?;
    let frame_from_face = face_from_frame.inverse()?;
    let see = |centre: Point<Face>, (width, height, columns, rows): (f64, f64, u32, u32)| {
        let map: Affine<Face, Net> = Affine::from_rows([
            width / f64::from(columns),
            0.0,
            centre.x - width / 2.0,
            0.0,
            height / f64::from(rows),
            centre.y - height / 2.0,
        ]);
        warp_affine(frame, Size::new(columns, rows), &(frame_from_face * map))
    };
    let square = |area: face::Area| {
        let side = SIDE as u32;
        see(area.centre(), (area.side(), area.side(), side, side))
    };
    let whole = edges(&brightness(&square(face::Area::Face)));
    let narrow = square(face::Area::Narrow);
    let mut inner = edges(&brightness(&narrow));
    inner.extend(even_light(&narrow));
    let mut eyes = Vec::new();
    for rim in [&face::LEFT_EYE, &face::RIGHT_EYE] {
        let centre = face_from_frame.apply(landmarks.mean(rim));
        eyes.extend(normalised(brightness(&see(centre, EYE))));
    }
    let mouth = see(Point::new(MOUTH_CENTRE.0, MOUTH_CENTRE.1), MOUTH);
    Ok(Features {
        blocks: [
            whole,
            inner,
            eyes,
            normalised(brightness(&mouth)),
            shape(landmarks, &face_from_frame),
        ],
    })
}

fn brightness(picture: &Rgb8) -> Vec<f32> {
    let rgb = picture.data().chunks_exact(3);
    rgb.map(|p| {
        (0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])) / 255.0
    })
    .collect()
}

/// Mean 0, standard deviation 1; nearly flat pictures stay nearly flat.
fn normalised(mut values: Vec<f32>) -> Vec<f32> {
    let n = values.len() as f32;
    let mean = values.iter().sum::<f32>() / n;
    let deviation = (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / n).sqrt();
    for v in &mut values {
        *v = (*v - mean) / (deviation + 0.01);
    }
    values
}

/// Histograms of the directions of edges per cell, each scaled by the edges around it (after Dalal
/// and Triggs 2005).
fn edges(light: &[f32]) -> Vec<f32> {
    let cell = SIDE / CELLS;
    let mut cells = vec![[0.0f32; DIRECTIONS]; CELLS * CELLS];
    let at = |x: usize, y: usize| light[y * SIDE + x];
    for y in 0..SIDE {
        for x in 0..SIDE {
            let dx = at((x + 1).min(SIDE - 1), y) - at(x.saturating_sub(1), y);
            let dy = at(x, (y + 1).min(SIDE - 1)) - at(x, y.saturating_sub(1));
            let strength = dx.hypot(dy);
            let turn = dy.atan2(dx) / std::f32::consts::PI;
            let place = (turn - turn.floor()) * DIRECTIONS as f32;
            let (low, part) = (place as usize % DIRECTIONS, place.fract());
            // Shared out between the four nearest cells, so that nothing jumps at their borders.
            let (fx, fy) = (
                (x as f32 + 0.5) / cell as f32 - 0.5,
                (y as f32 + 0.5) / cell as f32 - 0.5,
            );
            for (cy, wy) in [
                (fy.floor(), 1.0 - (fy - fy.floor())),
                (fy.floor() + 1.0, fy - fy.floor()),
            ] {
                for (cx, wx) in [
                    (fx.floor(), 1.0 - (fx - fx.floor())),
                    (fx.floor() + 1.0, fx - fx.floor()),
                ] {
                    let inside = 0.0..CELLS as f32;
                    if inside.contains(&cx) && inside.contains(&cy) {
                        let sums = &mut cells[cy as usize * CELLS + cx as usize];
                        sums[low] += strength * wx * wy * (1.0 - part);
                        sums[(low + 1) % DIRECTIONS] += strength * wx * wy * part;
                    }
                }
            }
        }
    }
    let energy = |c: &[f32; DIRECTIONS]| c.iter().map(|v| v * v).sum::<f32>();
    let mut out = Vec::with_capacity(cells.len() * DIRECTIONS);
    for (i, sums) in cells.iter().enumerate() {
        let (x, y) = (i % CELLS, i / CELLS);
        let near = |v: usize| v.saturating_sub(1)..(v + 2).min(CELLS);
        let (mut around, mut n) = (0.0, 0.0);
        for cy in near(y) {
            for cx in near(x) {
                around += energy(&cells[cy * CELLS + cx]);
                n += 1.0;
            }
        }
        let scale = 1.0 / ((around / n).sqrt() + 0.3);
        out.extend(sums.iter().map(|v| (v * scale).min(1.5)));
    }
    out
}

/// Logarithms of an 8 by 8 thumbnail, each channel without its plane: neither cast nor slope of the
/// light remain, but brows, eyes, lips and moles do.
fn even_light(picture: &Rgb8) -> Vec<f32> {
    let step = SIDE / CELLS;
    let mut out = Vec::with_capacity(3 * CELLS * CELLS);
    for channel in 0..3 {
        let mut logs = [0.0f32; CELLS * CELLS];
        for (i, log) in logs.iter_mut().enumerate() {
            let (left, top) = (i % CELLS * step, i / CELLS * step);
            let sum: f32 = (0..step * step)
                .map(|k| {
                    let (x, y) = (left + k % step, top + k / step);
                    f32::from(picture.data()[(y * SIDE + x) * 3 + channel])
                })
                .sum();
            *log = (sum / (step * step) as f32 / 255.0 + 0.02).ln();
        }
        // On a symmetric grid the plane's three parts are found one by one.
        let place = |k: usize| k as f32 - (CELLS as f32 - 1.0) / 2.0;
        let spread: f32 = (0..CELLS * CELLS).map(|i| place(i % CELLS).powi(2)).sum();
        let mean = logs.iter().sum::<f32>() / logs.len() as f32;
        let slope = |axis: &dyn Fn(usize) -> f32| {
            logs.iter()
                .enumerate()
                .map(|(i, v)| v * axis(i))
                .sum::<f32>()
                / spread
        };
        let right = slope(&|i| place(i % CELLS));
        let down = slope(&|i| place(i / CELLS));
        out.extend(
            logs.iter()
                .enumerate()
                .map(|(i, v)| v - mean - right * place(i % CELLS) - down * place(i / CELLS)),
        );
    }
    out
}

fn shape(landmarks: &FaceLandmarks, face_from_frame: &Affine<Face, Frame>) -> Vec<f32> {
    let pose = landmarks.pose();
    let mut out = vec![
        4.0 * pose.yaw_rad,
        4.0 * pose.pitch_rad,
        4.0 * pose.roll_rad,
    ];
    let points = landmarks.mapped(face_from_frame);
    let chosen = (0..points.len()).step_by(LANDMARK_STEP);
    let rims = [&face::LEFT_EYE[..], &face::RIGHT_EYE, &face::LIPS];
    for i in chosen.chain(rims.into_iter().flatten().copied()) {
        out.extend([points[i].x as f32, points[i].y as f32]);
    }
    // Openings, in units of the eyes' distance, are what lids and lips are about.
    for (a, b) in [(159, 145), (386, 374), (13, 14), (61, 291), (0, 17)] {
        out.push(4.0 * points[a].distance(points[b]) as f32);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upright_edge_is_seen_in_its_cells_and_direction_only() {
        // Dark on the left, bright from column 32 on: all edges are level, at columns 31 and 32.
        let light: Vec<f32> = (0..SIDE * SIDE)
            .map(|i| f32::from(u8::from(i % SIDE >= 32)))
            .collect();
        let out = edges(&light);
        assert_eq!(out.len(), CELLS * CELLS * DIRECTIONS);
        for (i, value) in out.iter().enumerate() {
            let (column, direction) = (i / DIRECTIONS % CELLS, i % DIRECTIONS);
            if (column == 3 || column == 4) && direction == 0 {
                assert!(*value > 0.5, "{i} {value}");
            } else {
                assert_eq!(*value, 0.0, "{i}");
            }
        }
    }

    #[test]
    fn cast_and_slope_of_light_do_not_count() {
        let picture = |gain: f32, slope: f32| {
            let mut picture = Rgb8::new(Size::square(SIDE as u32));
            for (i, v) in picture.data_mut().iter_mut().enumerate() {
                let (x, y) = (i / 3 % SIDE, i / 3 / SIDE);
                let face = if (20..40).contains(&x) && y > 30 {
                    60.0
                } else {
                    110.0
                };
                *v = (face * gain * (slope * x as f32 / SIDE as f32).exp()) as u8;
            }
            picture
        };
        let plain = even_light(&picture(1.0, 0.0));
        let other = even_light(&picture(1.3, 0.3));
        let spread = plain.iter().fold(0.0f32, |a, v| a.max(v.abs()));
        for (a, b) in plain.iter().zip(&other) {
            assert!((a - b).abs() < 0.06 && spread > 0.2, "{a} {b} {spread}");
        }
    }

    #[test]
    fn brightness_is_brought_to_one_scale() {
        // -1, 0, 1 around 0.5: standard deviation sqrt(2/3) tenths.
        let found = normalised(vec![0.4, 0.5, 0.6]);
        let unit = 0.1 / (0.1 * (2.0f32 / 3.0).sqrt() + 0.01);
        assert!((found[2] - unit).abs() < 1e-4 && found[1].abs() < 1e-5);
    }
}
