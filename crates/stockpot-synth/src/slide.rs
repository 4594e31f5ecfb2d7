//! Where FaceMesh's points slide to on a head of another shape.
//!
//! Rims of eyes and lips are marks that a head has; cheeks, forehead, nose and the outline have
//! none, and FaceMesh puts the points there by the shape of the whole face. `slide.bin` holds that habit: the slide of each such point, linear in where points of the
//! head truly lie, fitted on strangers by example `fit_landmarks`. It depends on shape and pose
//! alone, never on what is drawn, so a landmark is as exact as the head is. Points of the eyes and
//! the lips do not slide: there a landmark is the mark, and how far FaceMesh is off is its error.

use stockpot_core::face::LANDMARKS;

/// The table: see [`Slide::read`].
const TABLE: &[u8] = include_bytes!("slide.bin");
/// Coefficients are stored as 16 bit numbers of this unit.
const UNIT: f32 = 1.0 / 8192.0;
/// Outer corners of the eyes, left and right of the picture; both never slide.
const CORNERS: [usize; 2] = [33, 263];

/// The slide of points, linear in the places of others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slide {
    /// Points that are looked at, and which of these is the mirrored one of each.
    inputs: Vec<(usize, usize)>,
    /// Points that slide, each with its mirrored one; it is itself on the middle line.
    outputs: Vec<(usize, usize)>,
    /// For each output two rows (to the right, down) of a constant and two numbers for each input.
    rows: Vec<f32>,
}

impl Slide {
    /// That of the package's mesh.
    pub(crate) fn of_package() -> Option<Self> {
        Self::read(TABLE)
    }

    /// Reads little-endian 16 bit numbers: how many inputs, how many outputs; of each input the
    /// point and the position of its mirrored one among the inputs; of each output the point and
    /// its mirrored one; then the rows, signed, in units of 1/8192 of the distance between the
    /// outer corners of the eyes. `None` for anything else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<2>();
        let mut words = words.iter().map(|w| u16::from_le_bytes(*w));
        let mut next = || words.next().map(usize::from);
        let (inputs, outputs) = (next()?, next()?);
        if !rest.is_empty() || inputs > LANDMARKS || outputs > LANDMARKS {
            return None;
        }
        let mut pairs = |count: usize, limit: usize| -> Option<Vec<(usize, usize)>> {
            let pair = |_| Some((next()?, next()?));
            let all: Vec<_> = (0..count).map(pair).collect::<Option<_>>()?;
            all.iter()
                .all(|(a, b)| *a < LANDMARKS && *b < limit)
                .then_some(all)
        };
        let (inputs, outputs) = (pairs(inputs, inputs)?, pairs(outputs, LANDMARKS)?);
        let rows: Vec<f32> = words.map(|w| f32::from(w as i16) * UNIT).collect();
        let expected = outputs.len() * 2 * (1 + 2 * inputs.len());
        (rows.len() == expected).then_some(Self {
            inputs,
            outputs,
            rows,
        })
    }

    /// Moves the points of a face from the places on its skin to where FaceMesh means them: `x` to
    /// the right and `y` down in pixels.
    pub(crate) fn apply(&self, points: &mut [[f32; 2]; LANDMARKS]) {
        let [left, right] = CORNERS.map(|i| points[i]);
        let across = [right[0] - left[0], right[1] - left[1]];
        let length = across[0].hypot(across[1]);
        if length <= f32::EPSILON {
            return;
        }
        let [cos, sin] = across.map(|v| v / length);
        let centre = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
        let upright: Vec<[f32; 2]> = self
            .inputs
            .iter()
            .map(|(point, _)| {
                let [x, y] = points[*point];
                let [x, y] = [(x - centre[0]) / length, (y - centre[1]) / length];
                [cos * x + sin * y, cos * y - sin * x]
            })
            .collect();
        let mirrored: Vec<[f32; 2]> = self
            .inputs
            .iter()
            .map(|(_, other)| [-upright[*other][0], upright[*other][1]])
            .collect();
        let width = 1 + 2 * self.inputs.len();
        for ((point, other), rows) in self.outputs.iter().zip(self.rows.chunks_exact(2 * width)) {
            let by = |seen: &[[f32; 2]]| {
                let row = |row: &[f32]| {
                    let sum: f32 = row[1..]
                        .iter()
                        .zip(seen.as_flattened())
                        .map(|(w, v)| w * v)
                        .sum();
                    length * (row[0] + sum)
                };
                [row(&rows[..width]), row(&rows[width..])]
            };
            let mut slide = |at: usize, [x, y]: [f32; 2]| {
                points[at][0] += cos * x - sin * y;
                points[at][1] += sin * x + cos * y;
            };
            let [x, y] = by(&upright);
            let [mirrored_x, mirrored_y] = by(&mirrored);
            if point == other {
                // The middle line is its own mirror image: what both ways say alike.
                slide(*point, [(x - mirrored_x) / 2.0, (y + mirrored_y) / 2.0]);
            } else {
                slide(*point, [x, y]);
                slide(*other, [-mirrored_x, mirrored_y]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[i16]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_le_bytes()).collect()
    }

    /// One output pair that slides to the right by half of how far point 70 lies to the right.
    fn toy() -> Slide {
        let words = [
            2, 1, 70, 1, 300, 0, 50, 280, 0, 4096, 0, 0, 0, 819, 0, 0, 0, 0,
        ];
        Slide::read(&bytes(&words)).unwrap()
    }

    #[test]
    fn a_slide_turns_and_grows_with_the_face_and_is_mirrored() {
        let mut points = [[0.0; 2]; LANDMARKS];
        points[33] = [-1.0, 0.0];
        points[263] = [1.0, 0.0];
        points[70] = [-0.8, 0.4];
        points[300] = [0.8, 0.4];
        let upright = {
            let mut points = points;
            toy().apply(&mut points);
            points
        };
        assert!((upright[50][0] + 0.4).abs() < 1e-3 && (upright[50][1] - 0.2).abs() < 1e-3);
        assert!((upright[280][0] - 0.4).abs() < 1e-3 && (upright[280][1] - 0.2).abs() < 1e-3);
        assert_eq!(upright[70], points[70]);
        let turned = |p: [f32; 2]| [10.0 - 3.0 * p[1], 5.0 + 3.0 * p[0]];
        let mut other = points.map(turned);
        toy().apply(&mut other);
        let want = upright.map(turned);
        let far = |i: usize| (other[i][0] - want[i][0]).hypot(other[i][1] - want[i][1]);
        assert!((0..LANDMARKS).all(|i| far(i) < 1e-4));
    }

    #[test]
    fn a_table_is_read_or_refused() {
        let package = Slide::of_package().unwrap();
        let slides: Vec<usize> = package.outputs.iter().flat_map(|o| [o.0, o.1]).collect();
        assert!(!CORNERS.iter().any(|c| slides.contains(c)));
        for (a, b) in package.inputs.iter().map(|i| (i.0, package.inputs[i.1])) {
            assert_eq!(package.inputs[b.1].0, a);
        }
        for cut in [0, 1, 3, 17, TABLE.len() - 1, TABLE.len() - 2] {
            assert!(Slide::read(&TABLE[..cut]).is_none(), "{cut}");
        }
        assert!(Slide::read(&bytes(&[1, 0, 468, 0])).is_none());
        assert!(Slide::read(&bytes(&[1, 0, 1, 1])).is_none());
        assert!(Slide::read(&bytes(&[-1, 0])).is_none());
    }
}
