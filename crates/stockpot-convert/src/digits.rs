//! Numbers drawn into pictures with a hand-made 5 x 7 font, so that previews need no font file.
//! Knows digits only. Start at [`draw_number`].

use stockpot_core::image::Rgb8;

/// One row a number, the leftmost of five columns is bit 4.
const DIGITS: [[u8; 7]; 10] = [
    [
        0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110,
    ],
    [
        0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111,
    ],
    [
        0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110,
    ],
    [
        0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010,
    ],
    [
        0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110,
    ],
    [
        0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110,
    ],
    [
        0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100,
    ],
];
const INK: [u8; 3] = [255, 255, 255];
const PAPER: [u8; 3] = [0, 0, 0];

/// Writes `number` in white on a black plate, its top left corner at `(left, top)`, every dot
/// `scale` pixels wide. What falls outside of the picture is left out.
pub(crate) fn draw_number(picture: &mut Rgb8, number: u64, left: u32, top: u32, scale: u32) {
    let text = number.to_string();
    for (k, digit) in text.bytes().map(|b| usize::from(b - b'0')).enumerate() {
        // Six columns a digit: one of distance before it; one more closes the plate.
        let last = u32::from(k + 1 == text.len());
        for y in 0..9u32 {
            for x in 0..6 + last {
                let in_glyph = (1..6).contains(&x) && (1..8).contains(&y);
                let is_ink = in_glyph && DIGITS[digit][y as usize - 1] >> (5 - x) & 1 == 1;
                let at = (left + (k as u32 * 6 + x) * scale, top + y * scale);
                fill_square(picture, at, scale, if is_ink { INK } else { PAPER });
            }
        }
    }
}

fn fill_square(picture: &mut Rgb8, (left, top): (u32, u32), side: u32, colour: [u8; 3]) {
    let size = picture.size();
    for y in top..(top + side).min(size.height) {
        for x in left..(left + side).min(size.width) {
            picture.set_pixel(x, y, colour);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::image::Size;

    #[test]
    fn a_seven_is_a_seven_and_borders_are_safe() {
        let mut picture = Rgb8::new(Size::new(7, 9));
        draw_number(&mut picture, 7, 0, 0, 1);
        let row = |y: u32| -> String {
            (0..7)
                .map(|x| if picture.pixel(x, y)[0] > 0 { '#' } else { '.' })
                .collect()
        };
        let rows: Vec<String> = (0..9).map(row).collect();
        let wanted = [
            ".......", ".#####.", ".....#.", "....#..", "...#...", "..#....", "..#....", "..#....",
            ".......",
        ];
        assert_eq!(rows, wanted);
        draw_number(&mut picture, u64::MAX, 5, 8, 3);
    }
}
