//! Turning stored pictures upright and back: the eight ways a display matrix can turn or mirror.
//!
//! Knows nothing of libav; the matrix comes in as nine numbers.

use serde::{Deserialize, Serialize};
use stockpot_core::{Image, Size};

/// How a stored picture is turned to be shown: mirrored left to right first, then turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Orientation {
    /// Clockwise quarter turns, 0 to 3.
    pub quarter_turns: u8,
    /// Whether left and right are swapped before turning.
    pub mirrored: bool,
}

/// 1.0 in the 16.16 fixed point of a display matrix (ISO/IEC 14496-12, 6.2.2).
const ONE: i32 = 1 << 16;

impl Orientation {
    /// Shown as stored.
    pub const UPRIGHT: Self = Self {
        quarter_turns: 0,
        mirrored: false,
    };

    /// From a display matrix `[a b u; c d v; x y w]`, by which the stored point `(p, q)` is shown
    /// at `(a p + c q, b p + d q)`. `None` if it is more than a quarter turn or a mirror.
    pub(crate) fn from_matrix(matrix: &[i32; 9]) -> Option<Self> {
        let wanted = [matrix[0], matrix[1], matrix[3], matrix[4]];
        (0..8u8)
            .map(|n| Self {
                quarter_turns: n % 4,
                mirrored: n >= 4,
            })
            .find(|o| o.linear().map(|v| v * ONE) == wanted)
    }

    /// `[a, b, c, d]` of the display matrix, in whole numbers.
    fn linear(self) -> [i32; 4] {
        let [a, b, c, d] = match self.quarter_turns % 4 {
            0 => [1, 0, 0, 1],
            1 => [0, 1, -1, 0],
            2 => [-1, 0, 0, -1],
            _ => [0, -1, 1, 0],
        };
        if self.mirrored {
            [-a, -b, c, d]
        } else {
            [a, b, c, d]
        }
    }

    /// What undoes it.
    pub(crate) fn inverse(self) -> Self {
        // A mirrored turn is its own inverse.
        if self.mirrored {
            self
        } else {
            Self {
                quarter_turns: (4 - self.quarter_turns % 4) % 4,
                mirrored: false,
            }
        }
    }

    /// The size after turning.
    pub(crate) fn turn_size(self, size: Size) -> Size {
        if self.quarter_turns % 2 == 1 {
            Size::new(size.height, size.width)
        } else {
            size
        }
    }

    /// The picture, turned. Moves it along when there is nothing to do.
    pub(crate) fn turn<T: Copy + Default>(self, picture: Image<T, 3>) -> Image<T, 3> {
        if self == Self::UPRIGHT {
            return picture;
        }
        let [a, b, c, d] = self.linear();
        let from = picture.size();
        let to = self.turn_size(from);
        let pick = |forward: bool, at: u32, count: u32| {
            if forward { at } else { count - 1 - at }
        };
        let mut turned = Image::new(to);
        for y in 0..to.height {
            let row = turned.row_mut(y);
            if a != 0 {
                let source = picture.row(pick(d > 0, y, from.height));
                for (x, pixel) in (0..to.width).zip(row.chunks_exact_mut(3)) {
                    let p = pick(a > 0, x, from.width) as usize * 3;
                    pixel.copy_from_slice(&source[p..p + 3]);
                }
            } else {
                let p = pick(b > 0, y, from.width) as usize * 3;
                let stride = from.width as usize * 3;
                for (x, pixel) in (0..to.width).zip(row.chunks_exact_mut(3)) {
                    let at = pick(c > 0, x, from.height) as usize * stride + p;
                    pixel.copy_from_slice(&picture.data()[at..at + 3]);
                }
            }
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::Rgb8;

    /// 3x2, each pixel its own number.
    fn numbered() -> Rgb8 {
        Rgb8::from_vec(Size::new(3, 2), (0..6u8).flat_map(|v| [v; 3]).collect()).unwrap()
    }

    fn first_channel(picture: &Rgb8) -> Vec<u8> {
        picture.data().chunks(3).map(|p| p[0]).collect()
    }

    #[test]
    fn a_clockwise_quarter_turn_puts_the_left_column_on_top() {
        // What an iPhone writes for a portrait video.
        let matrix = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30];
        let turn = Orientation::from_matrix(&matrix).unwrap();
        assert_eq!((turn.quarter_turns, turn.mirrored), (1, false));
        // 0 1 2        3 0
        // 3 4 5   →    4 1
        //              5 2
        let turned = turn.turn(numbered());
        assert_eq!(turned.size(), Size::new(2, 3));
        assert_eq!(first_channel(&turned), [3, 0, 4, 1, 5, 2]);
    }

    #[test]
    fn every_orientation_is_undone_by_its_inverse() {
        for n in 0..8u8 {
            let o = Orientation {
                quarter_turns: n % 4,
                mirrored: n >= 4,
            };
            let [a, b, c, d] = o.linear().map(|v| v * ONE);
            assert_eq!(
                Orientation::from_matrix(&[a, b, 0, c, d, 0, 0, 0, 1 << 30]),
                Some(o)
            );
            assert_eq!(o.inverse().turn(o.turn(numbered())), numbered(), "{o:?}");
        }
        let mirror = Orientation {
            quarter_turns: 0,
            mirrored: true,
        };
        assert_eq!(first_channel(&mirror.turn(numbered())), [2, 1, 0, 5, 4, 3]);
    }

    #[test]
    fn a_slanted_matrix_is_not_guessed() {
        assert_eq!(
            Orientation::from_matrix(&[ONE, 100, 0, -100, ONE, 0, 0, 0, 1 << 30]),
            None
        );
    }
}
