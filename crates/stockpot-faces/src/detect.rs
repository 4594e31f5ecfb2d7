//! Where faces are: MediaPipe's BlazeFace, full range.
//!
//! The whole frame goes into 192 x 192 pixels, so a face should be at least about 1/20 of the
//! frame's longer side. Knows nothing of time; [`crate::track`] does.

use stockpot_core::image::Rgb8;
use stockpot_core::space::{Affine, Frame, Net, Point};

use crate::Error;
use crate::sample::{Border, Normalise, fill_square, is_empty, letterbox};
use crate::tflite::Network;

/// Side of the network's input in pixels.
const SIDE: usize = 192;
/// Anchors lie in the centres of a grid of this many cells along each side.
const GRID: usize = 48;
/// Numbers per anchor: centre, size, six points.
const NUMBERS: usize = 16;
/// Detections that overlap more than this (intersection over union) are one face; MediaPipe's value.
const SAME_FACE_OVERLAP: f64 = 0.3;

/// A face found in a frame, in frame pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// Left, top, right and bottom; brows to chin, may reach outside the frame.
    pub bounds: [f64; 4],
    /// 0 to 1.
    pub score: f32,
    /// Left and right eye, nose tip, mouth, left and right ear, as seen in the picture.
    pub points: [Point<Frame>; 6],
}

/// The detector. Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct Detector {
    network: Network,
}

impl Detector {
    /// Takes the network of `face_detection_full_range.tflite`.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`] if inputs and outputs are not those of that file.
    pub fn new(network: Network) -> Result<Self, Error> {
        let anchors = GRID * GRID;
        expect_shapes(
            &network,
            &[1, SIDE, SIDE, 3],
            &[&[1, anchors, NUMBERS], &[1, anchors, 1]],
        )?;
        Ok(Self { network })
    }

    /// All faces with at least `min_score` (0 to 1; 0.5 is usual), the surest first.
    pub fn detect(&mut self, frame: &Rgb8, min_score: f32) -> Vec<Detection> {
        if is_empty(frame) {
            return Vec::new();
        }
        let frame_from_net = letterbox(frame, SIDE);
        let normalise = Normalise {
            scale: 1.0 / 127.5,
            offset: [1.0; 3],
        };
        let input = self.network.input_mut();
        fill_square(
            frame,
            SIDE,
            &frame_from_net,
            Border::Black,
            normalise,
            input,
        );
        self.network.run();
        let (boxes, scores) = (self.network.output(0), self.network.output(1));
        let found = decode(boxes, scores, min_score);
        merge(found)
            .into_iter()
            .map(|c| c.in_frame(&frame_from_net))
            .collect()
    }

    /// The network itself, for comparisons with other runtimes.
    pub const fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }
}

/// Fails unless a network has these shapes.
pub(crate) fn expect_shapes(
    network: &Network,
    input: &[usize],
    outputs: &[&[usize]],
) -> Result<(), Error> {
    let found: Vec<&[usize]> = network.output_shapes().collect();
    if network.input_shape() == input && found == outputs {
        return Ok(());
    }
    Err(Error::unsupported(format!(
        "it takes {:?} and gives {found:?}, wanted are {input:?} and {outputs:?}",
        network.input_shape()
    )))
}

/// A detection in pixels of the network's input: centre, size, six points.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    numbers: [f64; NUMBERS],
    score: f32,
}

fn decode(boxes: &[f32], scores: &[f32], min_score: f32) -> Vec<Candidate> {
    let cell = SIDE as f64 / GRID as f64;
    let mut found = Vec::new();
    for (at, (numbers, logit)) in boxes.chunks_exact(NUMBERS).zip(scores).enumerate() {
        let score = 1.0 / (1.0 + (-logit).exp());
        // Not a number counts as below.
        let is_below = score.is_nan() || score < min_score;
        if is_below || numbers.iter().any(|v| !v.is_finite()) {
            continue;
        }
        let anchor = [
            ((at % GRID) as f64 + 0.5) * cell,
            ((at / GRID) as f64 + 0.5) * cell,
        ];
        let numbers = std::array::from_fn(|i| {
            let is_size = i == 2 || i == 3;
            f64::from(numbers[i]) + if is_size { 0.0 } else { anchor[i % 2] }
        });
        let candidate = Candidate { numbers, score };
        if numbers[2] > 0.0 && numbers[3] > 0.0 {
            found.push(candidate);
        }
    }
    found
}

/// Candidates of one face become their mean, weighted by score, as MediaPipe does.
fn merge(mut found: Vec<Candidate>) -> Vec<Candidate> {
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut faces = Vec::new();
    while let Some(best) = found.first().copied() {
        let (same, other): (Vec<_>, Vec<_>) = found
            .into_iter()
            .partition(|c| overlap(&c.bounds(), &best.bounds()) > SAME_FACE_OVERLAP);
        found = other;
        let total: f64 = same.iter().map(|c| f64::from(c.score)).sum();
        if same.is_empty() || total <= 0.0 {
            // Only a box without area does not overlap itself.
            found.retain(|c| c.numbers != best.numbers);
            continue;
        }
        let numbers = std::array::from_fn(|i| {
            let sum: f64 = same.iter().map(|c| c.numbers[i] * f64::from(c.score)).sum();
            sum / total
        });
        faces.push(Candidate {
            numbers,
            score: best.score,
        });
    }
    faces
}

/// Intersection over union of two boxes: left, top, right, bottom.
pub(crate) fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let width = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0);
    let height = (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let area = |r: &[f64; 4]| (r[2] - r[0]).max(0.0) * (r[3] - r[1]).max(0.0);
    let both = width * height;
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

impl Candidate {
    fn bounds(&self) -> [f64; 4] {
        let [x, y, w, h, ..] = self.numbers;
        [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
    }

    fn in_frame(&self, frame_from_net: &Affine<Frame, Net>) -> Detection {
        let [left, top, right, bottom] = self.bounds();
        let place = |x: f64, y: f64| frame_from_net.apply(Point::new(x, y));
        let (a, b) = (place(left, top), place(right, bottom));
        Detection {
            bounds: [a.x, a.y, b.x, b.y],
            score: self.score,
            points: std::array::from_fn(|i| {
                place(self.numbers[4 + 2 * i], self.numbers[5 + 2 * i])
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_by_hand() {
        let a = [0.0, 0.0, 2.0, 2.0];
        assert_eq!(overlap(&a, &a), 1.0);
        assert_eq!(overlap(&a, &[1.0, 0.0, 3.0, 2.0]), 2.0 / 6.0);
        assert_eq!(overlap(&a, &[5.0, 5.0, 6.0, 6.0]), 0.0);
        assert_eq!(overlap(&[0.0; 4], &[0.0; 4]), 0.0);
    }

    #[test]
    fn decoding_and_merging_by_hand() {
        let mut boxes = vec![0.0; GRID * GRID * NUMBERS];
        let mut scores = vec![-20.0; GRID * GRID];
        // Two neighbours in row 1 point at the same face, 40 px wide; a third is elsewhere.
        for (cell, shift) in [(GRID + 1, 4.0), (GRID + 2, 0.0), (GRID * 40, 0.0)] {
            let numbers = &mut boxes[cell * NUMBERS..][..NUMBERS];
            numbers[0] = shift;
            numbers[2..4].fill(40.0);
            scores[cell] = 3.0;
        }
        scores[7] = f32::NAN;
        let faces = merge(decode(&boxes, &scores, 0.5));
        assert_eq!(faces.len(), 2);
        // Anchors of columns 1 and 2 lie at 6 and 10: with the shift both say 10.
        assert_eq!(faces[0].numbers[..4], [10.0, 6.0, 40.0, 40.0]);
        assert!((faces[0].score - 0.952_574).abs() < 1e-5);
        assert_eq!(faces[0].numbers[4..6], [8.0, 6.0]);
    }
}
