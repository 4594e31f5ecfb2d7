//! Positions of a gather turned into pointers to their input pixels.
//!
//! Two things make this cheap enough for narrow layers, where there is little arithmetic to hide
//! it behind: divisions are done once per stretch of positions, and horizontally adjacent taps
//! are joined into one *run*, whose channels are contiguous in memory. Positions where a run
//! crosses the picture's border read a zero-padded copy.

use std::ops::Range;

use crate::gather::Gather;

/// Taps are joined while one has at most this many channels: above, the loop over the channels
/// of a tap is long enough, and the padded copies at the border cost more than they save.
const JOIN_CHANNELS: usize = 16;

/// Where a position reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowStart {
    /// Offset of the input pixel at `[y, x]`, which may lie outside the input by itself.
    base: isize,
    y: isize,
    x: isize,
    /// Offset of the output pixel.
    pub output: usize,
}

/// [`RowStart`] of a stretch of positions.
pub(crate) fn row_starts(gather: &Gather, rows: Range<usize>) -> Vec<RowStart> {
    let (mut picture, mut gy, mut gx) = gather.position(rows.start);
    rows.map(|_| {
        let (y, x) = (gy * gather.stride, gx * gather.stride);
        let start = RowStart {
            base: (((picture * gather.in_h + y) * gather.in_w + x) * gather.in_c) as isize,
            y: y as isize,
            x: x as isize,
            output: gather.output_at((picture, gy, gx)),
        };
        gx += 1;
        if gx == gather.grid_w {
            (gy, gx) = (gy + 1, 0);
            if gy == gather.grid_h {
                (picture, gy) = (picture + 1, 0);
            }
        }
        start
    })
    .collect()
}

/// The taps of each kernel row as one, where they are adjacent: the number of taps in a row and
/// the first tap of every row, or nothing.
pub(crate) fn kernel_rows(gather: &Gather) -> Option<(usize, Vec<[i32; 2]>)> {
    let taps = &gather.taps;
    let follows = |a: &[i32; 2], b: &[i32; 2]| b[0] == a[0] && b[1] == a[1] + 1;
    let joined = 1 + taps
        .windows(2)
        .take_while(|t| follows(&t[0], &t[1]))
        .count();
    let rows = taps.chunks(joined);
    let regular = rows
        .clone()
        .all(|row| row.len() == joined && row.windows(2).all(|t| follows(&t[0], &t[1])));
    (joined > 1 && regular).then(|| (joined, rows.map(|row| row[0]).collect()))
}

/// Runs of adjacent taps: the unit in which a product reads its input.
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    gather: &'a Gather,
    input: &'a [f32],
    /// First tap of each run.
    starts: Vec<[isize; 2]>,
    /// Taps in a run.
    joined: usize,
    zeros: Vec<f32>,
}

/// Padded copies of runs at the border, and which pointers they belong to.
#[derive(Debug, Default)]
pub(crate) struct Border {
    numbers: Vec<f32>,
    places: Vec<usize>,
}

impl Border {
    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.places.clear();
    }

    /// Calls `set(place, copy)` for each padded copy; they are valid until the next change.
    pub(crate) fn settle(&self, mut set: impl FnMut(usize, *const f32)) {
        let len = self.numbers.len() / self.places.len().max(1);
        for (place, copy) in self
            .places
            .iter()
            .zip(self.numbers.chunks_exact(len.max(1)))
        {
            set(*place, copy.as_ptr());
        }
    }
}

impl<'a> Runs<'a> {
    pub(crate) fn new(gather: &'a Gather, input: &'a [f32]) -> Self {
        let (joined, starts) = kernel_rows(gather)
            .filter(|_| gather.in_c <= JOIN_CHANNELS)
            .unwrap_or_else(|| (1, gather.taps.clone()));
        let starts = starts
            .iter()
            .map(|[dy, dx]| [*dy as isize, *dx as isize])
            .collect();
        Self {
            gather,
            input,
            starts,
            joined,
            zeros: vec![0.0; joined * gather.in_c],
        }
    }

    /// Runs of a position.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Numbers a run reads.
    pub(crate) fn channels(&self) -> usize {
        self.joined * self.gather.in_c
    }

    /// The input of `run` at `start`, if any of it lies inside the picture. Where only a part
    /// does, a padded copy goes to `border` for `place` and the pointer is to be settled.
    #[inline]
    pub(crate) fn read(
        &self,
        start: &RowStart,
        run: usize,
        place: usize,
        border: &mut Border,
    ) -> Option<*const f32> {
        let g = self.gather;
        let [dy, dx] = self.starts[run];
        let (y, x) = (start.y + dy, start.x + dx);
        if y < 0 || y >= g.in_h as isize {
            return None;
        }
        let offset = start.base + (dy * g.in_w as isize + dx) * g.in_c as isize;
        if x >= 0 && x + self.joined as isize <= g.in_w as isize {
            return Some(self.input[offset as usize..][..self.channels()].as_ptr());
        }
        // Pixels of the run that lie inside.
        let first = (-x).clamp(0, self.joined as isize);
        let end = (g.in_w as isize - x).clamp(first, self.joined as isize);
        if first == end {
            return None;
        }
        let from = (offset + first * g.in_c as isize) as usize;
        let (first, end) = (first as usize * g.in_c, end as usize * g.in_c);
        let len = border.numbers.len();
        border.places.push(place);
        border.numbers.resize(len + self.channels(), 0.0);
        border.numbers[len + first..len + end].copy_from_slice(&self.input[from..][..end - first]);
        Some(self.zeros.as_ptr())
    }

    /// What stands for a run that lies outside the picture.
    pub(crate) fn zeros(&self) -> *const f32 {
        self.zeros.as_ptr()
    }
}
