//! A visible label in a corner of a frame: white signs on a dark plate, readable over anything.
//!
//! Pure picture maths: which label a law wants is known by the job. Start with [`Label::new`], which
//! draws it once for one size of frames, and [`Label::draw`].

use stockpot_core::image::{Image, Size};

use crate::error::Error;
use crate::glyphs::{self, Glyph, UNITS, glyph};
use crate::placement::Depth;

/// Least height of a capital in pixels: below this the strokes of a letter run together.
const LEAST_PX: f32 = 10.0;
/// Width of a stroke over the height of a capital.
const STROKE: f32 = 0.125;
/// Space between signs and between lines, and around the text, over the height of a capital.
const SIGN_GAP: f32 = 0.24;
const LINE_GAP: f32 = 0.6;
const PADDING: f32 = 0.5;
/// Distance from the frame's edges over its shorter side.
const MARGIN: f32 = 0.02;
/// Part of the frame's width that a line may take.
const MOST_WIDTH: f32 = 0.94;
/// Brightness of the plate, of 1, and how much of the frame it hides.
const PLATE: f32 = 0.04;
const PLATE_COVER: f32 = 0.72;
/// Most signs of a label: more is no label.
const MOST_SIGNS: usize = 80;

/// A label, drawn for frames of one size.
#[derive(Debug, Clone)]
pub struct Label {
    frame: Size,
    left: u32,
    top: u32,
    size: Size,
    /// How much of a pixel is ink, 0 to 1.
    ink: Vec<f32>,
    height_px: f32,
}

impl Label {
    /// Draws `text` for frames of this size, with capitals of `share` of the frame's shorter side
    /// (rounded up to a whole pixel, 10 px at least), in the upper right corner. Words that do not
    /// fit into a line go into the next one.
    ///
    /// # Errors
    /// [`Error::LabelSign`] for a character without a sign, [`Error::LabelRoom`] for a text that is
    /// empty, longer than 80 signs, or has no room in the frame.
    pub fn new(text: &str, share: f32, frame: Size) -> Result<Self, Error> {
        if let Some(sign) = text.chars().find(|c| glyph(*c).is_none()) {
            return Err(Error::LabelSign {
                sign,
                known: glyphs::KNOWN,
            });
        }
        let no_room = || Error::LabelRoom {
            text: text.chars().take(MOST_SIGNS).collect(),
            size: frame,
        };
        let shorter = frame.width.min(frame.height) as f32;
        let height = (shorter * share).ceil().max(LEAST_PX);
        let margin = (shorter * MARGIN).ceil();
        let padding = (height * PADDING).ceil();
        let room = frame.width as f32 * MOST_WIDTH - 2.0 * padding - margin;
        let lines = lines_of(text, room / height).ok_or_else(no_room)?;
        let widest = lines.iter().map(|line| width_of(line)).fold(0.0, f32::max);
        let count = lines.len() as f32;
        let wide = (widest * height + 2.0 * padding).ceil();
        let tall = (height * (count + (count - 1.0) * LINE_GAP) + 2.0 * padding).ceil();
        let fits = wide + margin <= frame.width as f32 && tall + margin <= frame.height as f32;
        if lines.is_empty() || text.chars().count() > MOST_SIGNS || !fits {
            return Err(no_room());
        }
        let size = Size::new(wide as u32, tall as u32);
        let mut ink = vec![0.0; size.pixels()];
        let pen = (height * STROKE / 2.0).max(0.6);
        for (n, line) in lines.iter().enumerate() {
            let top = padding + n as f32 * height * (1.0 + LINE_GAP);
            // Lines end at the right, where the label hangs.
            let mut left = wide - padding - width_of(line) * height;
            for sign in line {
                let at = |(x, y): (i8, i8)| {
                    let unit = height / UNITS;
                    (left + f32::from(x) * unit, top + f32::from(y) * unit)
                };
                for stroke in sign.strokes {
                    let points: Vec<(f32, f32)> = stroke.iter().map(|p| at(*p)).collect();
                    draw_line(&mut ink, size, &points, pen);
                }
                left += (f32::from(sign.width) / UNITS + SIGN_GAP) * height;
            }
        }
        Ok(Self {
            frame,
            left: frame.width - size.width - margin as u32,
            top: margin as u32,
            size,
            ink,
            height_px: height,
        })
    }

    /// The size of the frames it is for.
    pub fn frame_size(&self) -> Size {
        self.frame
    }

    /// Height of a capital in pixels.
    pub fn height_px(&self) -> f32 {
        self.height_px
    }

    /// Puts it into a frame.
    ///
    /// # Errors
    /// [`Error::LabelFrame`] if the frame is of another size.
    pub fn draw<T: Depth>(&self, frame: &mut Image<T, 3>) -> Result<(), Error> {
        if frame.size() != self.frame {
            return Err(Error::LabelFrame {
                wanted: self.frame,
                found: frame.size(),
            });
        }
        let width = self.size.width as usize;
        let left = self.left as usize * 3;
        for (y, ink) in self.ink.chunks_exact(width).enumerate() {
            let row = &mut frame.row_mut(self.top + y as u32)[left..left + width * 3];
            for (pixel, ink) in row.chunks_exact_mut(3).zip(ink) {
                for value in pixel {
                    let under = value.read() * (1.0 - PLATE_COVER) + PLATE * PLATE_COVER * T::WHITE;
                    *value = T::write(under + (T::WHITE - under) * ink);
                }
            }
        }
        Ok(())
    }
}

/// Words put into lines of at most `room` heights; nothing if one word alone is wider.
fn lines_of(text: &str, room: f32) -> Option<Vec<Vec<Glyph>>> {
    let mut lines: Vec<Vec<Glyph>> = Vec::new();
    for word in text.split_whitespace() {
        let word: Vec<Glyph> = word.chars().filter_map(glyph).collect();
        if width_of(&word) > room {
            return None;
        }
        let longer = lines.last().map(|line| {
            let mut longer = line.clone();
            longer.extend(glyph(' '));
            longer.extend(&word);
            longer
        });
        match (longer, lines.last_mut()) {
            (Some(longer), Some(line)) if width_of(&longer) <= room => *line = longer,
            _ => lines.push(word),
        }
    }
    Some(lines)
}

/// In heights of a capital.
fn width_of(line: &[Glyph]) -> f32 {
    let signs: f32 = line.iter().map(|g| f32::from(g.width) / UNITS).sum();
    signs + line.len().saturating_sub(1) as f32 * SIGN_GAP
}

/// A line with round ends, `pen` pixels to each side, edges smoothed over a pixel.
fn draw_line(ink: &mut [f32], size: Size, points: &[(f32, f32)], pen: f32) {
    let last = points.len().saturating_sub(1);
    for (n, from) in points.iter().enumerate() {
        // A stroke of one point is a dot: a line to itself.
        let to = match points.get(n + 1) {
            Some(to) => to,
            None if last == 0 => from,
            None => break,
        };
        let reach = pen + 1.0;
        let span = |a: f32, b: f32, side: u32| {
            let low = (a.min(b) - reach).floor().max(0.0) as usize;
            let high = (a.max(b) + reach).ceil().max(0.0) as usize;
            low..high.min(side as usize)
        };
        for y in span(from.1, to.1, size.height) {
            for x in span(from.0, to.0, size.width) {
                let d = distance((x as f32 + 0.5, y as f32 + 0.5), *from, *to);
                let cover = (pen - d + 0.5).clamp(0.0, 1.0);
                let value = &mut ink[y * size.width as usize + x];
                *value = value.max(cover);
            }
        }
    }
}

/// From a point to a stretch of line.
fn distance(p: (f32, f32), a: (f32, f32), b: (f32, f32)) -> f32 {
    let (dx, dy) = (b.0 - a.0, b.1 - a.1);
    let length = dx * dx + dy * dy;
    let along = match length > 0.0 {
        true => (((p.0 - a.0) * dx + (p.1 - a.1) * dy) / length).clamp(0.0, 1.0),
        false => 0.0,
    };
    (p.0 - a.0 - along * dx).hypot(p.1 - a.1 - along * dy)
}

#[cfg(test)]
mod tests {
    use stockpot_core::image::{Rgb8, Rgb16};

    use super::*;

    #[test]
    fn a_label_is_as_large_as_asked_and_stays_in_its_corner() {
        for size in [
            Size::new(1080, 1920),
            Size::new(320, 240),
            Size::new(1920, 1080),
        ] {
            let label = Label::new("AI合成", 0.05, size).unwrap();
            let shorter = size.width.min(size.height) as f32;
            assert!(label.height_px() >= 0.05 * shorter && label.height_px() >= LEAST_PX);
            let mut frame = Rgb8::from_vec(size, vec![200; size.pixels() * 3]).unwrap();
            label.draw(&mut frame).unwrap();
            let changed: Vec<(u32, u32)> = (0..size.height)
                .flat_map(|y| (0..size.width).map(move |x| (x, y)))
                .filter(|(x, y)| frame.pixel(*x, *y) != [200; 3])
                .collect();
            let left = changed.iter().map(|c| c.0).min().unwrap();
            let bottom = changed.iter().map(|c| c.1).max().unwrap();
            assert!(left > size.width / 2 && bottom < size.height / 4, "{size}");
            // Ink is white, the plate dark.
            let values = || changed.iter().map(|(x, y)| frame.pixel(*x, *y)[0]);
            assert_eq!(values().max(), Some(255));
            assert!(values().min().unwrap() < 80);
        }
    }

    #[test]
    fn the_same_label_in_sixteen_bits() {
        let size = Size::new(200, 100);
        let label = Label::new("AI modified", 0.1, size).unwrap();
        let mut eight = Rgb8::from_vec(size, vec![100; size.pixels() * 3]).unwrap();
        let mut sixteen = Rgb16::from_vec(size, vec![100 * 257; size.pixels() * 3]).unwrap();
        label.draw(&mut eight).unwrap();
        label.draw(&mut sixteen).unwrap();
        let far = eight.data().iter().zip(sixteen.to_rgb8().data().to_vec());
        assert!(far.into_iter().all(|(a, b)| a.abs_diff(b) <= 1));
        let mut other = Rgb8::new(Size::square(9));
        assert!(matches!(
            label.draw(&mut other),
            Err(Error::LabelFrame { .. })
        ));
    }

    #[test]
    fn long_texts_are_broken_between_words_and_refused_without_room() {
        let size = Size::new(300, 300);
        let one = Label::new("THIS", 0.06, size).unwrap();
        let many = Label::new("THIS ADVERTISEMENT SHOWS A SYNTHETIC PERFORMER", 0.06, size);
        assert!(many.unwrap().size.height > 2 * one.size.height);
        assert!(matches!(
            Label::new("ADVERTISEMENTADVERTISEMENT", 0.06, size),
            Err(Error::LabelRoom { .. })
        ));
        assert!(matches!(
            Label::new("  ", 0.06, size),
            Err(Error::LabelRoom { .. })
        ));
        assert!(matches!(
            Label::new("AI", 0.06, Size::square(12)),
            Err(Error::LabelRoom { .. })
        ));
        assert!(matches!(
            Label::new("künstlich", 0.06, size),
            Err(Error::LabelSign { sign: 'ü', .. })
        ));
    }
}
