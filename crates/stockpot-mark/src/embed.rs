//! Puts the mark into a frame: the tile times a local strength, added to all three channels alike,
//! so that luminance changes and colour does not.
//!
//! The strength follows what is there: low on flat skin and sky, where the eye sees a pattern of
//! one level, higher in hair and leaves. It is measured in cells of 8x8 px and goes over smoothly
//! from cell to cell. Nothing depends on the frame's number or on other frames.

use rayon::prelude::*;
use stockpot_core::{Image, Size};

use crate::{Error, MarkId, code, layout};

/// Shortest side of a frame that can be marked, in px: one tile.
pub const MIN_MARKED_PX: u32 = 128;
/// Side of the tile in px.
const TILE_PX: usize = 128;
/// Frames whose shorter side is longer than this get a tile of twice the side: they are looked at
/// from the same distance, and will be scaled down.
const LARGE_PX: u32 = 1440;
/// Side of a cell of one strength, in px.
const CELL_PX: usize = 8;
/// Bytes or words of a row of a cell.
const CELL_LANES: usize = 3 * CELL_PX;
/// Root mean square of the mark where nothing is, in levels of 255. At 0.75 it could be seen on the
/// even backdrop of a rendered portrait; what strong compression leaves comes from busy places.
const FLAT_LEVELS: f32 = 0.5;
/// The same where as much is as can be.
const BUSY_LEVELS: f32 = 5.0;
/// Mean step between pixels two apart, in levels of 255: up to the first it is the slow shading of
/// skin, so many more and the strength has gone 63 % of the way from the one to the other.
const FLAT_STEP: f32 = 0.8;
const BUSY_STEP: f32 = 10.0;
/// Black gets this share of the strength; from this level of green on it is all of it. The dark
/// parts of a picture are even where sensors and codecs have emptied them, and screens show them
/// brighter than they are meant.
const DARKEST: f32 = 0.4;
const LIGHT_LEVEL: f32 = 64.0;
/// The tile is cut to so many times its root mean square.
const MOST: f32 = 3.0;

/// Kinds of pixel values that can be marked: `u8` and `u16`.
pub trait Depth: Copy + Default + Send + Sync + sealed::Sealed {
    /// One level of 255 in this kind.
    #[doc(hidden)]
    const LEVEL: f32;
    /// As a number.
    #[doc(hidden)]
    fn to_f32(self) -> f32;
    /// From a number that lies in the range, rounded.
    #[doc(hidden)]
    fn rounded(value: f32) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u8 {}
    impl Sealed for u16 {}
}

/// 1.5 * 2^23: adding it leaves a number's nearest whole number in the lowest bits. `f32::round`
/// calls a function per pixel on plain x86-64.
const TO_WHOLE: f32 = 12_582_912.0;

impl Depth for u8 {
    const LEVEL: f32 = 1.0;
    #[inline]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    #[inline]
    fn rounded(value: f32) -> Self {
        (value + TO_WHOLE).to_bits() as Self
    }
}

impl Depth for u16 {
    const LEVEL: f32 = 257.0;
    #[inline]
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    #[inline]
    fn rounded(value: f32) -> Self {
        (value + TO_WHOLE).to_bits() as Self
    }
}

/// Puts one mark into any number of frames.
///
/// # Example
/// ```
/// use stockpot_core::{Rgb8, Size};
/// use stockpot_mark::{MarkId, Marker};
///
/// let marker = Marker::new("00112233445f".parse()?);
/// let mut frame = Rgb8::new(Size::new(640, 480));
/// marker.apply(&mut frame)?;
/// # Ok::<(), stockpot_mark::Error>(())
/// ```
pub struct Marker {
    id: MarkId,
    /// Each value three times, so that a row of it lies like a row of pixels.
    small: Vec<f32>,
    large: Vec<f32>,
}

impl Marker {
    /// For marks of this id.
    pub fn new(id: MarkId) -> Self {
        let code = code::encode(id);
        let tile = |side| {
            let one = layout::tile(&code, side, MOST);
            one.iter().flat_map(|v| [*v; 3]).collect()
        };
        Self {
            id,
            small: tile(TILE_PX),
            large: tile(2 * TILE_PX),
        }
    }

    /// The id that is put in.
    pub fn id(&self) -> MarkId {
        self.id
    }

    /// Marks a frame: 8 or 16 bits a channel, RGB, gamma-encoded, full range.
    ///
    /// # Errors
    /// [`Error::TooSmall`] if a side is shorter than [`MIN_MARKED_PX`].
    pub fn apply<T: Depth>(&self, frame: &mut Image<T, 3>) -> Result<(), Error> {
        let size = frame.size();
        let shorter = size.width.min(size.height);
        if shorter < MIN_MARKED_PX {
            return Err(Error::TooSmall {
                size,
                min_px: MIN_MARKED_PX,
            });
        }
        let (tile, side) = if shorter > LARGE_PX {
            (&self.large, 2 * TILE_PX)
        } else {
            (&self.small, TILE_PX)
        };
        let strengths = Strengths::of(frame);
        let lanes = size.width as usize * 3;
        frame
            .data_mut()
            .par_chunks_mut(lanes * CELL_PX)
            .enumerate()
            .for_each(|(band, rows)| {
                let mut gains = vec![0.0; strengths.columns + 1];
                for (i, row) in rows.chunks_exact_mut(lanes).enumerate() {
                    let y = band * CELL_PX + i;
                    strengths.of_row(y, &mut gains);
                    let start = y % side * side * 3;
                    add_row(row, &tile[start..start + side * 3], &gains);
                }
            });
        Ok(())
    }
}

/// Adds a row of the tile, over and over, times the gains at the left edges of the cells.
fn add_row<T: Depth>(row: &mut [T], tile: &[f32], gains: &[f32]) {
    let (waves, _) = tile.as_chunks::<CELL_LANES>();
    let (cells, rest) = row.as_chunks_mut::<CELL_LANES>();
    let last = cells.len();
    for ((cell, wave), gains) in cells
        .iter_mut()
        .zip(waves.iter().cycle())
        .zip(gains.windows(2))
    {
        add_cell(cell, wave, [gains[0], gains[1]]);
    }
    if !rest.is_empty() {
        let mut cell = [T::default(); CELL_LANES];
        cell[..rest.len()].copy_from_slice(rest);
        add_cell(
            &mut cell,
            &waves[last % waves.len()],
            [gains[last], gains[last + 1]],
        );
        rest.copy_from_slice(&cell[..rest.len()]);
    }
}

/// The one hot loop: of fixed length, so that it becomes vector instructions.
#[inline]
fn add_cell<T: Depth>(
    cell: &mut [T; CELL_LANES],
    wave: &[f32; CELL_LANES],
    [left, right]: [f32; 2],
) {
    const ALONG: [f32; CELL_LANES] = along();
    let (left, slope) = (left * T::LEVEL, (right - left) * T::LEVEL);
    for i in 0..CELL_LANES {
        let value = cell[i].to_f32() + (left + slope * ALONG[i]) * wave[i];
        cell[i] = T::rounded(value.clamp(0.0, 255.0 * T::LEVEL));
    }
}

/// Where in its cell a lane lies, 0 to 1 from left to right.
const fn along() -> [f32; CELL_LANES] {
    let mut out = [0.0; CELL_LANES];
    let mut i = 0;
    while i < CELL_LANES {
        out[i] = ((i / 3) as f32 + 0.5) / CELL_PX as f32;
        i += 1;
    }
    out
}

/// The strength at the corners of the cells, in levels of 255.
struct Strengths {
    corners: Vec<f32>,
    columns: usize,
}

impl Strengths {
    fn of<T: Depth>(frame: &Image<T, 3>) -> Self {
        let Size { width, height } = frame.size();
        let columns = (width as usize).div_ceil(CELL_PX);
        let rows = (height as usize).div_ceil(CELL_PX);
        let mut cells = vec![0.0; columns * rows];
        cells
            .par_chunks_exact_mut(columns)
            .enumerate()
            .for_each(|(row, cells)| strengths_of_cells(frame, row, cells));
        // A corner takes the least of its four cells: beside an edge the flat side decides.
        let mut corners = vec![0.0; (columns + 1) * (rows + 1)];
        for (j, corners) in corners.chunks_exact_mut(columns + 1).enumerate() {
            let above = &cells[j.saturating_sub(1) * columns..][..columns];
            let below = &cells[j.min(rows - 1) * columns..][..columns];
            for (i, corner) in corners.iter_mut().enumerate() {
                let (left, right) = (i.saturating_sub(1), i.min(columns - 1));
                *corner = above[left]
                    .min(above[right])
                    .min(below[left])
                    .min(below[right]);
            }
        }
        Self { corners, columns }
    }

    /// The strengths of pixel row `y` at the left edges of the cells, and at the right of the last.
    fn of_row(&self, y: usize, gains: &mut [f32]) {
        let along = ((y % CELL_PX) as f32 + 0.5) / CELL_PX as f32;
        let above = &self.corners[y / CELL_PX * (self.columns + 1)..];
        let below = &above[self.columns + 1..];
        for ((gain, above), below) in gains.iter_mut().zip(above).zip(below) {
            *gain = above + (below - above) * along;
        }
    }
}

/// For each cell of a row of cells the strength, in levels of 255. It follows from the mean step of
/// green between pixels two apart, to the right and downwards, and from how dark green is: every
/// second pixel of every second row says enough.
fn strengths_of_cells<T: Depth>(frame: &Image<T, 3>, row: usize, cells: &mut [f32]) {
    let height = frame.size().height as usize;
    let mut sums = vec![[0.0f32; 2]; cells.len()];
    let mut rows = 0.0;
    for y in (row * CELL_PX..height.min((row + 1) * CELL_PX)).step_by(2) {
        let (here, _) = frame.row(y as u32).as_chunks::<CELL_LANES>();
        let below = if y + 2 < height { y + 2 } else { y };
        let (below, _) = frame.row(below as u32).as_chunks::<CELL_LANES>();
        for (([steps, levels], here), below) in sums.iter_mut().zip(here).zip(below) {
            let [a, b, c, d] = greens(here);
            let [e, f, g, h] = greens(below);
            *steps += (a - b).abs() + (b - c).abs() + (c - d).abs();
            *steps += (a - e).abs() + (b - f).abs() + (c - g).abs() + (d - h).abs();
            *levels += a + b + c + d;
        }
        rows += 1.0;
    }
    // A cell that the right edge cuts is taken for its neighbour.
    let whole = frame.size().width as usize / CELL_PX;
    if let (Some(last), Some(at)) = (
        sums.get(whole.wrapping_sub(1)).copied(),
        sums.get_mut(whole),
    ) {
        *at = last;
    }
    for (cell, [steps, levels]) in cells.iter_mut().zip(sums) {
        let step = steps / (7.0 * rows * T::LEVEL);
        let level = levels / (4.0 * rows * T::LEVEL);
        let busy = 1.0 - (-(step - FLAT_STEP).max(0.0) / BUSY_STEP).exp();
        let light = DARKEST + (1.0 - DARKEST) * (level / LIGHT_LEVEL).min(1.0);
        *cell = (FLAT_LEVELS + (BUSY_LEVELS - FLAT_LEVELS) * busy) * light;
    }
}

#[inline]
fn greens<T: Depth>(cell: &[T; CELL_LANES]) -> [f32; 4] {
    [cell[1], cell[7], cell[13], cell[19]].map(T::to_f32)
}
