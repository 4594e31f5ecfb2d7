//! Positions of a gather turned into pointers to their input pixels.
//!
//! Two things make this cheap enough for narrow layers, where there is little arithmetic to hide
//! it behind: divisions are done once per stretch of positions, and horizontally adjacent taps
//! are joined into one *run*, whose channels are contiguous in memory. Positions where a run
//! crosses the picture's border read a zero-padded copy.

use std::ops::Range;

use crate::gather::Gather;
use crate::micro::Cell;

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

/// A stretch of positions.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// Its positions.
    pub starts: Vec<RowStart>,
    /// The same in grid rows: indices into `starts`.
    lines: Vec<Range<usize>>,
}

impl Stretch {
    /// Positions `rows` of a gather.
    pub(crate) fn new(gather: &Gather, rows: Range<usize>) -> Self {
        let (mut starts, mut lines) = (Vec::with_capacity(rows.len()), Vec::new());
        let (mut picture, mut gy, mut gx) = gather.position(rows.start);
        while starts.len() < rows.len() {
            let first = starts.len();
            let count = (gather.grid_w - gx).min(rows.len() - first);
            let (y, x) = (gy * gather.stride, gx * gather.stride);
            let base = ((picture * gather.in_h + y) * gather.in_w + x) * gather.in_c;
            let output = gather.output_at((picture, gy, gx));
            starts.extend((0..count).map(|i| RowStart {
                base: (base + i * gather.stride * gather.in_c) as isize,
                y: y as isize,
                x: (x + i * gather.stride) as isize,
                output: output + i * gather.out_step * gather.out_c,
            }));
            lines.push(first..first + count);
            (gx, gy) = (0, gy + 1);
            if gy == gather.grid_h {
                (picture, gy) = (picture + 1, 0);
            }
        }
        Self { starts, lines }
    }
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
pub(crate) struct Runs<'a, T> {
    gather: &'a Gather,
    /// First tap of each run.
    starts: Vec<[isize; 2]>,
    /// Taps in a run.
    joined: usize,
    zeros: Vec<T>,
}

/// Padded copies of runs at the border, and which pointers they belong to.
#[derive(Debug)]
pub(crate) struct Border<T> {
    cells: Vec<T>,
    places: Vec<usize>,
}

impl<T> Border<T> {
    pub(crate) fn new() -> Self {
        Self {
            cells: Vec::new(),
            places: Vec::new(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.places.clear();
    }

    /// Calls `set(place, copy)` for each padded copy; they are valid until the next change.
    pub(crate) fn settle(&self, mut set: impl FnMut(usize, *const T)) {
        let len = self.cells.len() / self.places.len().max(1);
        for (place, copy) in self.places.iter().zip(self.cells.chunks_exact(len.max(1))) {
            set(*place, copy.as_ptr());
        }
    }
}

/// Some pixels of the input of a gather, and the first of them.
pub(crate) type Window<'a, T> = (&'a [T], usize);

impl<'a, T: Cell> Runs<'a, T> {
    /// The channels of `gather` are cells here and below.
    pub(crate) fn new(gather: &'a Gather) -> Self {
        let (joined, starts) = kernel_rows(gather)
            .filter(|_| gather.in_c <= JOIN_CHANNELS)
            .unwrap_or_else(|| (1, gather.taps.clone()));
        let starts = starts
            .iter()
            .map(|[dy, dx]| [*dy as isize, *dx as isize])
            .collect();
        Self {
            gather,
            starts,
            joined,
            zeros: vec![T::ZERO; joined * gather.in_c],
        }
    }

    /// Whether a run has several taps.
    pub(crate) fn is_joined(&self) -> bool {
        self.joined > 1
    }

    /// Runs of a position.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Cells a run reads.
    pub(crate) fn channels(&self) -> usize {
        self.joined * self.gather.in_c
    }

    /// The input pixels that a stretch reads, and perhaps some between them.
    pub(crate) fn pixels(&self, stretch: &Stretch) -> Range<usize> {
        let g = self.gather;
        let line = |start: &RowStart, dy: isize| {
            let pixel = start.base / g.in_c as isize - start.x;
            let top = pixel / g.in_w as isize - start.y;
            (top + (start.y + dy).clamp(0, g.in_h as isize)) as usize * g.in_w
        };
        let (mut first, mut last) = (0, 0);
        for [dy, _] in &self.starts {
            (first, last) = (first.min(*dy), last.max(*dy));
        }
        match (stretch.starts.first(), stretch.starts.last()) {
            (Some(a), Some(b)) if g.in_c > 0 => line(a, first)..line(b, last + 1),
            _ => 0..0,
        }
    }

    /// Calls `put(indices, pointer, step)` for the inputs of `run` at positions of `stretch` where
    /// any of it lies inside the picture: that of the first, and the cells from one to the next.
    /// Where only a part does, a padded copy goes to `border`, for the place that `put` returns for
    /// that one position, and that pointer is to be settled.
    #[inline(always)]
    pub(crate) fn each_input(
        &self,
        window: Window<'_, T>,
        stretch: &Stretch,
        run: usize,
        border: &mut Border<T>,
        mut put: impl FnMut(Range<usize>, *const T, usize) -> usize,
    ) {
        let g = self.gather;
        let [dy, dx] = self.starts[run];
        let offset = (dy * g.in_w as isize + dx - window.1 as isize) * g.in_c as isize;
        let last_x = g.in_w as isize - self.joined as isize - dx;
        for line in &stretch.lines {
            let starts = &stretch.starts[line.clone()];
            let y = starts[0].y + dy;
            if y < 0 || y >= g.in_h as isize {
                continue;
            }
            let before = starts.iter().take_while(|s| s.x < -dx).count();
            let inner = &starts[before..];
            let behind = inner.iter().rev().take_while(|s| s.x > last_x).count();
            let (inner, after) = inner.split_at(inner.len() - behind);
            for (i, start) in starts[..before].iter().enumerate() {
                let at = line.start + i;
                self.put_border(window, start, run, border, |p| put(at..at + 1, p, 0));
            }
            if let (Some(first), Some(last)) = (inner.first(), inner.last()) {
                let from = (first.base + offset) as usize;
                let end = (last.base + offset) as usize + self.channels();
                let (input, step) = (window.0[from..end].as_ptr(), g.stride * g.in_c);
                let start = line.start + before;
                put(start..start + inner.len(), input, step);
            }
            for (i, start) in after.iter().enumerate() {
                let index = line.start + before + inner.len() + i;
                self.put_border(window, start, run, border, |p| put(index..index + 1, p, 0));
            }
        }
    }

    /// A run that does not lie inside the picture's columns.
    fn put_border(
        &self,
        window: Window<'_, T>,
        start: &RowStart,
        run: usize,
        border: &mut Border<T>,
        put: impl FnOnce(*const T) -> usize,
    ) {
        let g = self.gather;
        let [dy, dx] = self.starts[run];
        let x = start.x + dx;
        // Pixels of the run that lie inside.
        let first = (-x).clamp(0, self.joined as isize);
        let end = (g.in_w as isize - x).clamp(first, self.joined as isize);
        if first == end {
            return;
        }
        let pixels = dy * g.in_w as isize + dx + first - window.1 as isize;
        let offset = start.base + pixels * g.in_c as isize;
        let (first, end) = (first as usize * g.in_c, end as usize * g.in_c);
        let len = border.cells.len();
        border.cells.resize(len + self.channels(), T::ZERO);
        border.cells[len + first..len + end]
            .copy_from_slice(&window.0[offset as usize..][..end - first]);
        let place = put(self.zeros.as_ptr());
        border.places.push(place);
    }

    /// What stands for a run that lies outside the picture.
    pub(crate) fn zeros(&self) -> *const T {
        self.zeros.as_ptr()
    }
}
