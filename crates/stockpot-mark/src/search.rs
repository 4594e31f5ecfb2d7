//! Finds the tile at unknown scale and place, and reads it.
//!
//! 1. A repeated tile has a spectrum of lines. The power at the places where its waves would lie is
//!    summed for every pair of periods (across, down): no phase is needed, so the step may be
//!    coarse.
//! 2. The best pairs are folded into one tile each, at periods a little around; the waves of fixed
//!    phase give the shift, and how well it fits.
//! 3. The best few are read, with weights by how well the fixed waves of the same frequency came
//!    through. Only a right checksum counts.
//!
//! Before that, the periods and the place of a frame that was only compressed, or halved, are read
//! straight away: at the limit of reading, the fixed waves are too weak to find what all of them can
//! still tell.
//!
//! At most 3 + [`READS`] readings are made, so chance passes the checksum of 24 bits at most with
//! 11 / 2^24 = 6.6e-7 per search, whatever the picture is like: flipped by fixed signs, the code bits
//! of a picture without a mark know nothing of the checksum. Knows no pixels.

use rayon::prelude::*;

use crate::MarkId;
use crate::code::{self, CODE_BITS};
use crate::fft::{Complex, forward_2d};
use crate::layout::{self, Load, OUTER, RINGS, Wave};
use crate::residual::Plane;

/// Side of the tile in a frame that nothing happened to, in px.
pub(crate) const TILE_PX: f32 = 128.0;
/// Shortest and longest period that is looked for, in px: tiles of 128 px at 0.36 to tiles of
/// 256 px at 1.64.
const PERIODS_PX: [f64; 2] = [46.0, 420.0];
/// The two periods may differ by this factor, both ways.
const STRETCH: f64 = 0.045;
/// The step between periods lets the outermost wave slip by so many turns across the picture.
const SLIP_TURNS: f64 = 0.6;
/// Waves of more turns per pixel are not in the picture any more.
const MOST_TURNS: f64 = 0.46;
/// Fewest waves that a pair of periods is judged by.
const FEWEST_WAVES: usize = 100;
/// Periods that are always tried, and where the tile begins then if nothing was cut off, in bins: of
/// the small tile as it is, of the large one, and of the small one halved. Bins are counted by pixel
/// centres: of two pixels in one bin, or two bins a pixel, the middle lies beside the bin's number.
const LIKELY: [(f64, f64); 3] = [(128.0, 0.0), (256.0, -0.25), (64.0, 0.5)];
/// Bins of the folded tile.
const BINS: usize = 128;
/// Pairs of periods that are folded.
const FOLDED: usize = 24;
/// Readings that are tried: part of the false-alarm bound.
const READS: usize = 8;
/// A line of the spectrum counts at most so many times its surroundings, a wave of the tile so many
/// times its ring: what is stronger is the picture's own.
const MOST_LINE: f32 = 6.0;
const MOST_WAVE: f32 = 2.5;

/// A mark that was read.
pub(crate) struct Hit {
    pub(crate) id: MarkId,
    pub(crate) score: f32,
    /// Geometric mean of the two periods.
    pub(crate) period_px: f32,
    pub(crate) mirrored: bool,
}

/// Looks for a mark in summed residuals.
pub(crate) fn search(plane: &Plane) -> Option<Hit> {
    let waves = layout::waves();
    let square = |px| Periods {
        across: px,
        down: px,
    };
    // Of what was only compressed, or halved, the place is known: nothing has to be found before it is
    // read, which brings back what is too weak for that.
    let in_place = |(px, begins)| Fit::in_place(plane, &waves, square(px), begins).read(&waves);
    if let Some(hit) = LIKELY.into_iter().find_map(in_place) {
        return Some(hit);
    }
    let lines = Lines::of(plane);
    let mut pairs = candidates(&lines, plane, &waves);
    // The same periods at any place: tried even where compression has left no lines to see.
    pairs.extend(LIKELY.map(|(px, _)| square(px)));
    let mut fits: Vec<Fit> = pairs
        .into_par_iter()
        .flat_map_iter(|periods| best_fits(plane, &waves, periods))
        .collect();
    fits.sort_by(|a, b| b.sync.total_cmp(&a.sync));
    fits.truncate(READS);
    fits.iter().find_map(|fit| fit.read(&waves))
}

/// Two periods in px.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Periods {
    across: f64,
    down: f64,
}

/// How much the power at each frequency stands out of its surroundings.
struct Lines {
    /// Transposed: column frequency `k` from 0 to `width / 2`, then row frequency.
    ratios: Vec<f32>,
    width: usize,
    height: usize,
}

impl Lines {
    fn of(plane: &Plane) -> Self {
        let padded = |side: usize| (side * 5 / 4).next_power_of_two().clamp(256, 2048);
        let (width, height) = (padded(plane.width), padded(plane.height));
        let mut data = vec![Complex::default(); width * height];
        for (row, from) in data
            .chunks_exact_mut(width)
            .zip(plane.data.chunks_exact(plane.width))
        {
            for (value, from) in row.iter_mut().zip(from) {
                value.re = *from;
            }
        }
        let turned = forward_2d(data, width, height);
        let columns = width / 2 + 1;
        let power: Vec<f32> = turned[..columns * height]
            .par_iter()
            .map(|v| v.power())
            .collect();
        let around = box_sums(&power, columns, height);
        let ratios = power
            .par_iter()
            .zip(&around)
            .map(|(own, around)| {
                if *around > 0.0 {
                    (own / around).min(MOST_LINE) - 1.0
                } else {
                    0.0
                }
            })
            .collect();
        Self {
            ratios,
            width,
            height,
        }
    }

    /// How far the waves of a tile of these periods stand out, in standard deviations.
    fn score(&self, waves: &[Wave], periods: Periods) -> f32 {
        let across = 1.0 / periods.across;
        let down = 1.0 / periods.down;
        let (mut sum, mut count) = (0.0, 0usize);
        for wave in waves {
            let (x, y) = (f64::from(wave.k) * across, f64::from(wave.l) * down);
            if x.abs().max(y.abs()) > MOST_TURNS {
                continue;
            }
            let k = (x * self.width as f64 + 0.5) as usize;
            let l = ((y + 1.0) * self.height as f64 + 0.5) as usize & (self.height - 1);
            sum += self.ratios[k * self.height + l];
            count += 1;
        }
        if count < FEWEST_WAVES {
            return f32::NEG_INFINITY;
        }
        sum / (count as f32).sqrt()
    }
}

/// The mean over a window around each value; round the end in the inner direction, over fewer at
/// the rim in the outer one.
fn box_sums(power: &[f32], columns: usize, height: usize) -> Vec<f32> {
    const RADIUS: usize = 12;
    let mut inner = vec![0.0f32; power.len()];
    inner
        .par_chunks_exact_mut(height)
        .zip(power.par_chunks_exact(height))
        .for_each(|(out, column)| {
            let at = |i: usize| f64::from(column[i % height]);
            let mut sum: f64 = (0..=2 * RADIUS).map(|i| at(i + height - RADIUS)).sum();
            for (i, out) in out.iter_mut().enumerate() {
                *out = sum as f32;
                sum += at(i + RADIUS + 1) - at(i + height - RADIUS);
            }
        });
    let mut out = vec![0.0f32; power.len()];
    out.par_chunks_exact_mut(height)
        .enumerate()
        .for_each(|(k, out)| {
            let (from, to) = (k.saturating_sub(RADIUS), columns.min(k + RADIUS + 1));
            for column in inner[from * height..to * height].chunks_exact(height) {
                for (out, v) in out.iter_mut().zip(column) {
                    *out += v;
                }
            }
            let by = 1.0 / ((to - from) * (2 * RADIUS + 1)) as f32;
            out.iter_mut().for_each(|v| *v *= by);
        });
    out
}

/// By what factor less one the period grows from step to step, on a side of so many pixels.
fn step(period: f64, side: usize) -> f64 {
    SLIP_TURNS * period / (f64::from(OUTER) * side as f64)
}

/// The pairs of periods whose lines stand out most, best first.
fn candidates(lines: &Lines, plane: &Plane, waves: &[Wave]) -> Vec<Periods> {
    let [shortest, longest] = PERIODS_PX;
    let mut across = Vec::new();
    let mut period = shortest;
    while period < longest {
        across.push(period);
        period *= 1.0 + step(period, plane.width);
    }
    let mut scored: Vec<(f32, Periods)> = across
        .par_iter()
        .flat_map_iter(|across| {
            let mut row = Vec::new();
            let mut down = across / (1.0 + STRETCH);
            while down < across * (1.0 + STRETCH) {
                let periods = Periods {
                    across: *across,
                    down,
                };
                row.push((lines.score(waves, periods), periods));
                down *= 1.0 + step(down, plane.height);
            }
            row.sort_by(|a, b| b.0.total_cmp(&a.0));
            row.truncate(4);
            row
        })
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut best: Vec<Periods> = Vec::new();
    for (score, periods) in scored {
        let near = |a: f64, b: f64, side| (a / b - 1.0).abs() < 1.5 * step(b, side);
        let known = best.iter().any(|b| {
            near(periods.across, b.across, plane.width) && near(periods.down, b.down, plane.height)
        });
        if score.is_finite() && !known {
            best.push(periods);
            if best.len() == FOLDED {
                break;
            }
        }
    }
    best
}

/// A tile at certain periods, with its shift.
struct Fit {
    periods: Periods,
    mirrored: bool,
    /// How well the waves of fixed phase fit, in standard deviations of chance.
    sync: f32,
    /// What the waves are, evened out by ring, shifted back; in the order of the waves.
    values: Vec<Complex>,
}

/// The best fits around a pair of periods, as it is and mirrored.
fn best_fits(plane: &Plane, waves: &[Wave], around: Periods) -> Vec<Fit> {
    let mut best: [Option<Fit>; 2] = [None, None];
    let near = |period: f64, side: usize| {
        [-1.0, -0.5, 0.0, 0.5, 1.0].map(|i| period * (1.0 + i * step(period, side)))
    };
    for across in near(around.across, plane.width) {
        let folded = fold_rows(plane, across);
        for down in near(around.down, plane.height) {
            let periods = Periods { across, down };
            let turned = fold_columns(&folded, down);
            for (mirrored, best) in [false, true].into_iter().zip(&mut best) {
                let values = evened(&turned, waves, mirrored);
                let (sync, shift) = shift_of(&values, waves);
                if best.as_ref().is_none_or(|b| sync > b.sync) {
                    *best = Some(Fit {
                        periods,
                        mirrored,
                        sync,
                        values: shifted_back(&values, waves, shift),
                    });
                }
            }
        }
    }
    best.into_iter().flatten().collect()
}

/// Each row of the picture folded into one period.
fn fold_rows(plane: &Plane, period: f64) -> Vec<[f32; BINS]> {
    let bins: Vec<usize> = (0..plane.width).map(|x| bin(x, period)).collect();
    plane
        .data
        .chunks_exact(plane.width)
        .map(|row| {
            let mut out = [0.0; BINS];
            for (value, bin) in row.iter().zip(&bins) {
                out[*bin] += value;
            }
            out
        })
        .collect()
}

/// The spectrum of the tile, transposed.
fn fold_columns(rows: &[[f32; BINS]], period: f64) -> Vec<Complex> {
    let mut tile = vec![Complex::default(); BINS * BINS];
    for (y, row) in rows.iter().enumerate() {
        let at = bin(y, period) * BINS;
        for (sum, value) in tile[at..at + BINS].iter_mut().zip(row) {
            sum.re += value;
        }
    }
    forward_2d(tile, BINS, BINS)
}

fn bin(at: usize, period: f64) -> usize {
    let phase = ((at as f64 + 0.5) / period).fract();
    ((phase * BINS as f64) as usize).min(BINS - 1)
}

/// The waves' values over the root mean square of their ring.
fn evened(turned: &[Complex], waves: &[Wave], mirrored: bool) -> Vec<Complex> {
    let mut values: Vec<Complex> = waves
        .iter()
        .map(|w| {
            let k = if mirrored { -w.k } else { w.k }.rem_euclid(BINS as i32) as usize;
            turned[k * BINS + w.l.rem_euclid(BINS as i32) as usize]
        })
        .collect();
    let mut rings = [(0.0f32, 0.0f32); RINGS];
    for (value, wave) in values.iter().zip(waves) {
        rings[wave.ring].0 += value.power();
        rings[wave.ring].1 += 1.0;
    }
    for (value, wave) in values.iter_mut().zip(waves) {
        let (sum, count) = rings[wave.ring];
        if sum > 0.0 {
            *value = value.scaled((count / sum).sqrt());
        }
        let size = value.power().sqrt();
        if size > MOST_WAVE {
            *value = value.scaled(MOST_WAVE / size);
        }
    }
    values
}

/// How well the fixed waves fit at their best shift, and that shift in tiles (across, down).
fn shift_of(values: &[Complex], waves: &[Wave]) -> (f32, [f64; 2]) {
    let mut spectrum = vec![Complex::default(); BINS * BINS];
    let mut count = 0;
    for (value, wave) in values.iter().zip(waves) {
        if let Load::Sync(phase) = wave.load {
            let at = wave.l.rem_euclid(BINS as i32) as usize * BINS + wave.k as usize;
            // The conjugate of what would go into an inverse transform; the real part is the same.
            spectrum[at] = value.times(phase.conj()).conj();
            count += 1;
        }
    }
    let turned = forward_2d(spectrum, BINS, BINS);
    let mut best = 0;
    for (at, value) in turned.iter().enumerate() {
        if value.re > turned[best].re {
            best = at;
        }
    }
    let (x, y) = (best / BINS, best % BINS);
    let at = |x: usize, y: usize| turned[x % BINS * BINS + y % BINS].re;
    let here = at(x, y);
    let x_part = vertex(at(x + BINS - 1, y), here, at(x + 1, y));
    let y_part = vertex(at(x, y + BINS - 1), here, at(x, y + 1));
    (
        here / (count as f32 / 2.0).sqrt(),
        [
            (x as f64 + x_part) / BINS as f64,
            (y as f64 + y_part) / BINS as f64,
        ],
    )
}

/// Where between -0.5 and 0.5 a parabola through three values has its top.
fn vertex(before: f32, here: f32, after: f32) -> f64 {
    let bend = before - 2.0 * here + after;
    if bend < 0.0 {
        f64::from(0.5 * (before - after) / bend).clamp(-0.5, 0.5)
    } else {
        0.0
    }
}

fn shifted_back(values: &[Complex], waves: &[Wave], [x, y]: [f64; 2]) -> Vec<Complex> {
    values
        .iter()
        .zip(waves)
        .map(|(value, wave)| {
            value.times(Complex::at_turns(
                f64::from(wave.k) * x + f64::from(wave.l) * y,
            ))
        })
        .collect()
}

impl Fit {
    /// At these periods, as it is, with a tile that begins so many bins beside the top left.
    fn in_place(plane: &Plane, waves: &[Wave], periods: Periods, begins: f64) -> Self {
        let turned = fold_columns(&fold_rows(plane, periods.across), periods.down);
        let shift = [begins / BINS as f64; 2];
        Self {
            periods,
            mirrored: false,
            sync: 0.0,
            values: shifted_back(&evened(&turned, waves, false), waves, shift),
        }
    }

    fn read(&self, waves: &[Wave]) -> Option<Hit> {
        let weights = ring_weights(&self.values, waves);
        let mut soft = [0.0; CODE_BITS];
        for (value, wave) in self.values.iter().zip(waves) {
            if let Load::Data([re, im]) = &wave.load {
                let weight = weights[wave.ring];
                soft[re.bit] += weight * re.sign * value.re;
                soft[im.bit] += weight * im.sign * value.im;
            }
        }
        let id = code::decode(&soft)?;
        let code = code::encode(id);
        let (mut sum, mut squares) = (0.0, 0.0);
        for (value, wave) in self.values.iter().zip(waves) {
            let weight = weights[wave.ring];
            sum += weight * value.times(wave.value(&code).conj()).re;
            squares += weight * weight / 2.0;
        }
        Some(Hit {
            id,
            score: sum / f32::max(squares, f32::MIN_POSITIVE).sqrt(),
            period_px: (self.periods.across * self.periods.down).sqrt() as f32,
            mirrored: self.mirrored,
        })
    }
}

/// For each ring signal over noise: the mean fit of its fixed waves, and of its neighbours', over
/// what is left of a power of 1. Never quite 0, as few fixed waves may err.
fn ring_weights(values: &[Complex], waves: &[Wave]) -> [f32; RINGS] {
    let mut fits = [(0.0f32, 0.0f32); RINGS];
    for (value, wave) in values.iter().zip(waves) {
        if let Load::Sync(phase) = wave.load {
            fits[wave.ring].0 += value.times(phase.conj()).re;
            fits[wave.ring].1 += 1.0;
        }
    }
    std::array::from_fn(|ring| {
        let around = &fits[ring.saturating_sub(2)..RINGS.min(ring + 3)];
        let (sum, count) = around
            .iter()
            .fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        let signal = (sum / f32::max(count, 1.0)).clamp(0.03, 0.97);
        signal / (1.0 - signal * signal)
    })
}
