//! Who a face is: dlib's ResNet as 128 numbers whose distance tells persons apart.
//!
//! The weights are those of face-api's copy, partly quantised to 8 bits. Distances below
//! [`SAME_PERSON`] are one person, by the rule of dlib's author.

mod resnet;

use stockpot_core::face::FaceLandmarks;
use stockpot_core::image::Rgb8;
use stockpot_core::space::{Affine, Frame, Net, Point};

use crate::Error;
use crate::sample::{Border, Normalise, fill_square, is_empty};
pub use resnet::ResNet;

/// Two embeddings closer than this are one person (dlib's documented threshold).
pub const SAME_PERSON: f32 = 0.6;
/// Side of the aligned face in pixels.
pub(crate) const SIDE: usize = 150;
/// The mesh's points that align the chip: the corners of both eyes and the base of the nose, and
/// where dlib's chip has them, before its padding of a quarter.
const ANCHORS: [(usize, f64, f64); 5] = [
    (263, 0.8596, 0.2135),
    (362, 0.6461, 0.2290),
    (33, 0.1206, 0.2137),
    (133, 0.3341, 0.2291),
    (2, 0.4901, 0.6278),
];
const PADDING: f64 = 0.25;
/// Means of red, green and blue that the network's author subtracts, and face-api's divisor.
const NORMALISE: Normalise = Normalise {
    scale: 1.0 / 255.0,
    offset: [122.782 / 255.0, 117.001 / 255.0, 104.298 / 255.0],
};

/// A face as a point in the space of identities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Embedding(pub [f32; 128]);

impl Embedding {
    /// Euclidean distance; see [`SAME_PERSON`].
    pub fn distance(&self, other: &Self) -> f32 {
        let square: f32 = self
            .0
            .iter()
            .zip(&other.0)
            .map(|(a, b)| (a - b) * (a - b))
            .sum();
        square.sqrt()
    }

    /// The mean of some embeddings; `None` of none.
    pub fn mean(all: &[Self]) -> Option<Self> {
        if all.is_empty() {
            return None;
        }
        let share = 1.0 / all.len() as f32;
        Some(Self(std::array::from_fn(|i| {
            all.iter().map(|e| e.0[i]).sum::<f32>() * share
        })))
    }
}

/// The identity network. Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct Embedder {
    network: ResNet,
}

impl Embedder {
    /// Takes the network.
    pub const fn new(network: ResNet) -> Self {
        Self { network }
    }

    /// The embedding of a face.
    ///
    /// # Errors
    /// [`Error::BadFace`] if the landmarks cannot be aligned, [`Error::BadInput`] for an empty
    /// frame.
    pub fn embed(&mut self, frame: &Rgb8, landmarks: &FaceLandmarks) -> Result<Embedding, Error> {
        if is_empty(frame) {
            return Err(Error::BadInput {
                what: "the frame",
                wanted: "at least one pixel".to_owned(),
                found: frame.size().to_string(),
            });
        }
        let frame_from_net = chip_from_frame(landmarks)?.inverse()?;
        let input = self.network.input_mut();
        fill_square(
            frame,
            SIDE,
            &frame_from_net,
            Border::Replicate,
            NORMALISE,
            input,
        );
        Ok(Embedding(self.network.run()))
    }

    /// The network itself, for comparisons with other runtimes.
    pub const fn network_mut(&mut self) -> &mut ResNet {
        &mut self.network
    }
}

fn chip_from_frame(landmarks: &FaceLandmarks) -> Result<Affine<Net, Frame>, Error> {
    let scale = SIDE as f64 / (1.0 + 2.0 * PADDING);
    let from = ANCHORS.map(|(i, _, _)| landmarks.point(i));
    let to = ANCHORS.map(|(_, x, y)| Point::new((x + PADDING) * scale, (y + PADDING) * scale));
    Ok(Affine::fit_similarity(&from, &to, &[1.0; 5])?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::face::LANDMARKS;

    #[test]
    fn distance_and_mean_by_hand() {
        let (mut a, mut b) = (Embedding([0.0; 128]), Embedding([0.0; 128]));
        a.0[0] = 3.0;
        b.0[1] = 4.0;
        assert_eq!(a.distance(&b), 5.0);
        assert_eq!(Embedding::mean(&[a, b]).unwrap().0[..3], [1.5, 2.0, 0.0]);
        assert_eq!(Embedding::mean(&[]), None);
    }

    #[test]
    fn the_chip_is_where_dlib_puts_it() {
        let mut points = vec![[0.0f32; 3]; LANDMARKS];
        // A face that already lies like the chip, twice as large and moved by (10, 20).
        for (i, x, y) in ANCHORS {
            points[i] = [(x * 200.0 + 10.0) as f32, (y * 200.0 + 20.0) as f32, 0.0];
        }
        let map = chip_from_frame(&FaceLandmarks::new(points).unwrap()).unwrap();
        assert!((map.mean_scale() - 0.5).abs() < 1e-5);
        // The unpadded chip's corner lies a quarter of 100 px inside the padded one.
        let corner = map.apply(Point::new(10.0, 20.0));
        assert!(corner.distance(Point::new(25.0, 25.0)) < 1e-3);
        let flat = FaceLandmarks::new(vec![[5.0; 3]; LANDMARKS]).unwrap();
        assert!(chip_from_frame(&flat).is_err());
    }
}
