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
/// Root mean square of the mark where nothing is, in levels of 255. Looked at on sky and skin.
const FLAT_LEVELS: f32 = 0.8;
/// The same where as much is as can be.
const BUSY_LEVELS: f32 = 3.2;
/// Mean step between pixels two apart, in levels of 255, at which the strength has gone 63 % of the
/// way from the one to the other.
const BUSY_STEP: f32 = 9.0;
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
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
    fn rounded(value: f32) -> Self {
        (value + TO_WHOLE).to_bits() as Self
    }
}

impl Depth for u16 {
    const LEVEL: f32 = 257.0;
    fn to_f32(self) -> f32 {
        f32::from(self)
    }
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
    let most = 255.0 * T::LEVEL;
    let slope: [f32; CELL_LANES] = std::array::from_fn(|i| ((i / 3) as f32 + 0.5) / CELL_PX as f32);
    let cells_per_tile = tile.len() / CELL_LANES;
    for (c, cell) in row.chunks_mut(CELL_LANES).enumerate() {
        let at = c % cells_per_tile * CELL_LANES;
        let (left, right) = (gains[c] * T::LEVEL, gains[c + 1] * T::LEVEL);
        let wave = &tile[at..at + cell.len()];
        for ((value, wave), along) in cell.iter_mut().zip(wave).zip(slope) {
            let gain = left + (right - left) * along;
            *value = T::rounded((value.to_f32() + gain * wave).clamp(0.0, most));
        }
    }
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
        let mut steps = vec![0.0; columns * rows];
        steps
            .par_chunks_exact_mut(columns)
            .enumerate()
            .for_each(|(row, steps)| mean_steps(frame, row, steps));
        // A corner takes the least of its four cells: beside an edge the flat side decides.
        let mut corners = vec![0.0; (columns + 1) * (rows + 1)];
        corners
            .par_chunks_exact_mut(columns + 1)
            .enumerate()
            .for_each(|(j, corners)| {
                let above = &steps[j.saturating_sub(1) * columns..][..columns];
                let below = &steps[j.min(rows - 1) * columns..][..columns];
                for (i, corner) in corners.iter_mut().enumerate() {
                    let (left, right) = (i.saturating_sub(1), i.min(columns - 1));
                    let least = above[left]
                        .min(above[right])
                        .min(below[left].min(below[right]));
                    let busy = 1.0 - (-least / BUSY_STEP).exp();
                    *corner = FLAT_LEVELS + (BUSY_LEVELS - FLAT_LEVELS) * busy;
                }
            });
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

/// For each cell of a row of cells the mean step of green between pixels two apart, to the right
/// and downwards, in levels of 255: every second pixel of every second row says enough.
fn mean_steps<T: Depth>(frame: &Image<T, 3>, row: usize, steps: &mut [f32]) {
    let Size { width, height } = frame.size();
    let (width, height) = (width as usize, height as usize);
    let mut counts = vec![0u32; steps.len()];
    for y in (row * CELL_PX..height.min((row + 1) * CELL_PX)).step_by(2) {
        let here = frame.row(y as u32);
        let below = frame.row(if y + 2 < height { y + 2 } else { y } as u32);
        for x in (0..width.saturating_sub(2)).step_by(2) {
            let green = here[3 * x + 1].to_f32();
            let right = (here[3 * x + 7].to_f32() - green).abs();
            let down = (below[3 * x + 1].to_f32() - green).abs();
            steps[x / CELL_PX] += right + down;
            counts[x / CELL_PX] += 2;
        }
    }
    for (step, count) in steps.iter_mut().zip(counts) {
        *step /= count.max(1) as f32 * T::LEVEL;
    }
}
