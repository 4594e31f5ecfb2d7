//! Weights rearranged for the matrix product: panels of a few columns, all depths of a panel
//! contiguous, the last panel padded with zeros.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "functions compiled for other processors than the oldest"
    )
)]

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::multiplies_bf16;
use crate::micro::Cell;
use crate::precision::{Pair, Precision, interleave};

/// Columns of a panel on each instruction set: two registers of sixteen, two of eight, or eight.
pub(crate) const fn panel_width(isa: Isa) -> usize {
    match isa {
        Isa::Amx | Isa::Avx512 => 32,
        Isa::Avx2 => 16,
        Isa::Neon | Isa::Portable => 8,
    }
}

/// Columns that a panel holds in memory when `columns_left` are left for it. The last panel is narrower where
/// one register is enough.
pub(crate) const fn stored_width(isa: Isa, columns_left: usize) -> usize {
    match isa {
        Isa::Amx | Isa::Avx512 if columns_left <= 16 => 16,
        _ => panel_width(isa),
    }
}

/// Rows of a panel of cells for a matrix of `depth`: those beyond it hold zeros.
pub(crate) const fn padded_depth<T: Cell>(depth: usize) -> usize {
    depth.next_multiple_of(T::DEPTH_UNIT)
}

/// Length of all panels of a matrix.
pub(crate) fn panels_len<T: Cell>(isa: Isa, depth: usize, columns: usize) -> usize {
    let before = columns.saturating_sub(1) / panel_width(isa) * panel_width(isa);
    padded_depth::<T>(depth) * (before + stored_width(isa, columns - before))
}

/// Where element `(tap, channel, column)` of a matrix lies in a weight slice:
/// `tap_offsets[tap] + channel * channel_stride + column * column_stride`.
#[derive(Debug, Clone)]
pub struct PackSource<'a> {
    /// The weights.
    pub weights: &'a [f32],
    /// Start of each tap.
    pub tap_offsets: &'a [usize],
    /// Channels a tap reads.
    pub channels: usize,
    /// Numbers from one channel to the next.
    pub channel_stride: usize,
    /// Columns (output channels).
    pub columns: usize,
    /// Numbers from one column to the next; this or `channel_stride` is 1.
    pub column_stride: usize,
}

/// A packed matrix of `depth` x `columns`, reusable without new memory.
#[derive(Debug, Clone)]
pub struct PackedMatrix {
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    /// The panels in [`Precision::F32`].
    pub(crate) panels: Aligned<f32>,
    /// The panels in [`Precision::Bf16`]: two channels of a tap in a cell, an odd last one paired
    /// with zero.
    pub(crate) pairs: Aligned<Pair>,
}

impl PackedMatrix {
    /// An empty matrix for this processor's best instruction set.
    pub fn empty() -> Self {
        Self::empty_for(Isa::best())
    }

    /// An empty matrix for this processor's best instruction set, rounded to `precision`.
    pub fn empty_in(precision: Precision) -> Self {
        Self {
            precision,
            ..Self::empty()
        }
    }

    /// The same matrix, empty and rounded to `precision`: its products round their inputs too.
    pub fn rounded_to(self, precision: Precision) -> Self {
        Self {
            precision,
            ..Self::empty_for(self.isa)
        }
    }

    /// What this matrix and the inputs of its products are rounded to.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// An empty matrix for a given instruction set (which must be available).
    pub fn empty_for(isa: Isa) -> Self {
        assert!(
            Isa::available().contains(&isa),
            "this processor has no {}",
            isa.name()
        );
        Self {
            isa,
            precision: Precision::F32,
            depth: 0,
            columns: 0,
            panels: Aligned::new(),
            pairs: Aligned::new(),
        }
    }

    /// Rows of the matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Fills the matrix from `source`, keeping the memory it has.
    ///
    /// # Panics
    /// If an element of `source` lies outside its weights.
    pub fn pack(&mut self, source: &PackSource<'_>) {
        self.depth = source.tap_offsets.len() * source.channels;
        self.columns = source.columns;
        let isa = self.isa;
        match self.precision {
            Precision::F32 => fill(isa, source, &mut self.panels),
            Precision::Bf16 => fill(isa, source, &mut self.pairs),
        }
    }
}

/// Panels that a task fills side by side, so that it reads long pieces of the weights' rows.
const GROUP: usize = 4;
/// Cells of a column that are filled before the next panel's.
const BLOCK: usize = 16;

/// Sizes the panels and fills them.
fn fill<T: Packed>(isa: Isa, source: &PackSource<'_>, panels: &mut Aligned<T>) {
    let width = panel_width(isa);
    let cells = source.channels.div_ceil(T::NUMBERS);
    let depth = source.tap_offsets.len() * cells;
    let padded = padded_depth::<T>(depth);
    panels.resize(panels_len::<T>(isa, depth, source.columns));
    if depth == 0 {
        return;
    }
    let groups = panels.par_chunks_mut(GROUP * padded * width).enumerate();
    groups.for_each(|(group, panels)| {
        for (tap, base) in source.tap_offsets.iter().enumerate() {
            for first in (0..cells).step_by(BLOCK) {
                let count = BLOCK.min(cells - first);
                for (p, panel) in panels.chunks_mut(padded * width).enumerate() {
                    let column = (group * GROUP + p) * width;
                    let valid = width.min(source.columns - column);
                    let width = stored_width(isa, valid);
                    let rows = &mut panel[(tap * cells + first) * width..][..count * width];
                    let part = Part {
                        source,
                        start: base + column * source.column_stride,
                        first,
                        valid,
                        width,
                    };
                    part.fill(rows);
                }
            }
        }
        for (p, panel) in panels.chunks_mut(padded * width).enumerate() {
            let column = (group * GROUP + p) * width;
            let width = stored_width(isa, source.columns - column);
            panel[depth * width..].fill(T::ZERO);
        }
    });
}

/// Some rows of a panel: cells `first..` of a tap.
struct Part<'a> {
    source: &'a PackSource<'a>,
    /// Where channel 0 of the panel's first column lies.
    start: usize,
    first: usize,
    /// Columns that there are, and as many as are stored.
    valid: usize,
    width: usize,
}

impl Part<'_> {
    fn fill<T: Packed>(&self, rows: &mut [T]) {
        let s = self.source;
        let cells = rows.len() / self.width;
        if s.column_stride == 1 {
            for (k, row) in rows.chunks_exact_mut(self.width).enumerate() {
                let c = (self.first + k) * T::NUMBERS;
                let numbers = |c: usize| &s.weights[self.start + c * s.channel_stride..];
                let second = if c + 1 < s.channels && T::NUMBERS == 2 {
                    Some(&numbers(c + 1)[..self.valid])
                } else {
                    None
                };
                let (filled, rest) = row.split_at_mut(self.valid);
                T::join_rows(&numbers(c)[..self.valid], second, filled);
                rest.fill(T::ZERO);
            }
            return;
        }
        // Transposed: the channels of a column are neighbours.
        let whole = cells == BLOCK && (self.first + BLOCK) * T::NUMBERS <= s.channels;
        for column in (0..self.width).step_by(BLOCK) {
            let at = self.start + column * s.column_stride + self.first * T::NUMBERS;
            let columns = BLOCK.min(self.width - column);
            if whole && columns == BLOCK && column + BLOCK <= self.valid {
                let needed = (BLOCK - 1) * s.column_stride + BLOCK * T::NUMBERS;
                let from = &s.weights[at..][..needed];
                if T::transpose(from, s.column_stride, &mut rows[column..], self.width) {
                    continue;
                }
            }
            for (k, row) in rows.chunks_exact_mut(self.width).enumerate() {
                let c = (self.first + k) * T::NUMBERS;
                for (i, cell) in row[column..][..columns].iter_mut().enumerate() {
                    let number = |c: usize| {
                        let inside = column + i < self.valid && c < s.channels;
                        let at = self.start + (column + i) * s.column_stride + c;
                        if inside { s.weights[at] } else { 0.0 }
                    };
                    *cell = T::join(number(c), number(c + 1));
                }
            }
        }
    }
}

/// Cells that weights are packed into.
trait Packed: Cell {
    /// Channels of a cell.
    const NUMBERS: usize;

    /// One cell from a channel and, where a cell has two, the next.
    fn join(first: f32, second: f32) -> Self;

    /// A row of cells from a channel's columns and the next channel's, if there is one.
    fn join_rows(first: &[f32], second: Option<&[f32]>, to: &mut [Self]);

    /// [`BLOCK`] columns that are `stride` numbers apart, [`BLOCK`] cells of each, to rows of
    /// `width` cells. Returns false, having done nothing, where there is no quick way.
    fn transpose(from: &[f32], stride: usize, to: &mut [Self], width: usize) -> bool;
}

impl Packed for f32 {
    const NUMBERS: usize = 1;

    #[inline(always)]
    fn join(first: f32, _second: f32) -> Self {
        first
    }

    #[inline(always)]
    fn join_rows(first: &[f32], _second: Option<&[f32]>, to: &mut [Self]) {
        to.copy_from_slice(first);
    }

    fn transpose(from: &[f32], stride: usize, to: &mut [Self], width: usize) -> bool {
        #[cfg(target_arch = "x86_64")]
        if Isa::best().is_512() {
            check_transpose(from, stride, to, width, Self::NUMBERS);
            // SAFETY: the processor has the instructions; both slices are long enough.
            unsafe { x86::transpose_numbers(from.as_ptr(), stride, to.as_mut_ptr(), width) };
            return true;
        }
        let _ = (from, stride, to, width);
        false
    }
}

impl Packed for Pair {
    const NUMBERS: usize = 2;

    #[inline(always)]
    fn join(first: f32, second: f32) -> Self {
        Pair::new(first, second)
    }

    #[inline(always)]
    fn join_rows(first: &[f32], second: Option<&[f32]>, to: &mut [Self]) {
        const ZEROS: [f32; 32] = [0.0; 32];
        interleave(first, second.unwrap_or(&ZEROS[..first.len()]), to);
    }

    fn transpose(from: &[f32], stride: usize, to: &mut [Self], width: usize) -> bool {
        #[cfg(target_arch = "x86_64")]
        if multiplies_bf16() {
            check_transpose(from, stride, to, width, Self::NUMBERS);
            // SAFETY: the processor has the instructions; both slices are long enough.
            unsafe { x86::transpose_pairs(from.as_ptr(), stride, to.as_mut_ptr(), width) };
            return true;
        }
        let _ = (from, stride, to, width);
        false
    }
}

#[cfg(target_arch = "x86_64")]
fn check_transpose<T>(from: &[f32], stride: usize, to: &[T], width: usize, numbers: usize) {
    assert!(from.len() >= (BLOCK - 1) * stride + BLOCK * numbers);
    assert!(to.len() >= (BLOCK - 1) * width + BLOCK);
}

#[cfg(target_arch = "x86_64")]
pub(crate) mod x86 {
    use std::arch::x86_64::*;

    use super::BLOCK;
    use crate::precision::Pair;

    /// # Safety
    /// `from`: 16 numbers of each of 16 rows `stride` apart; `to`: 16 rows `width` apart.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transpose_numbers(
        from: *const f32,
        stride: usize,
        to: *mut f32,
        width: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); BLOCK];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_si512(from.add(i * stride).cast());
            }
            for (k, row) in transposed(rows).into_iter().enumerate() {
                _mm512_storeu_si512(to.add(k * width).cast(), row);
            }
        }
    }

    /// # Safety
    /// `from`: 32 numbers of each of 16 rows `stride` apart; `to`: 16 rows `width` apart.
    #[target_feature(enable = "avx512bf16,avx512f")]
    pub(super) unsafe fn transpose_pairs(
        from: *const f32,
        stride: usize,
        to: *mut Pair,
        width: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); BLOCK];
            for (i, to) in rows.iter_mut().enumerate() {
                let row = from.add(i * stride);
                let (low, high) = (_mm512_loadu_ps(row), _mm512_loadu_ps(row.add(16)));
                *to = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            }
            for (k, row) in transposed(rows).into_iter().enumerate() {
                _mm512_storeu_si512(to.add(k * width).cast(), row);
            }
        }
    }

    /// A square of 16 x 16 with rows and columns exchanged: first within quarters of registers,
    /// then whole quarters.
    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(crate) fn transposed(r: [__m512i; BLOCK]) -> [__m512i; BLOCK] {
        // Loops and no closures: what the library calls is compiled for other processors, and
        // registers would go there through memory.
        let mut pairs = r;
        for i in (0..BLOCK).step_by(2) {
            pairs[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
            pairs[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
        }
        // Quarter q of number 4 i + j holds column 4 q + j of rows 4 i to 4 i + 3.
        let mut fours = pairs;
        for i in (0..BLOCK).step_by(4) {
            for half in 0..2 {
                let (a, b) = (pairs[i + half], pairs[i + half + 2]);
                fours[i + 2 * half] = _mm512_unpacklo_epi64(a, b);
                fours[i + 2 * half + 1] = _mm512_unpackhi_epi64(a, b);
            }
        }
        let mut columns = fours;
        for j in 0..4 {
            let (a, b, c, d) = (fours[j], fours[j + 4], fours[j + 8], fours[j + 12]);
            let even = _mm512_shuffle_i32x4::<0x88>(a, b);
            let even_below = _mm512_shuffle_i32x4::<0x88>(c, d);
            let odd = _mm512_shuffle_i32x4::<0xdd>(a, b);
            let odd_below = _mm512_shuffle_i32x4::<0xdd>(c, d);
            columns[j] = _mm512_shuffle_i32x4::<0x88>(even, even_below);
            columns[j + 4] = _mm512_shuffle_i32x4::<0x88>(odd, odd_below);
            columns[j + 8] = _mm512_shuffle_i32x4::<0xdd>(even, even_below);
            columns[j + 12] = _mm512_shuffle_i32x4::<0xdd>(odd, odd_below);
        }
        columns
    }
}
