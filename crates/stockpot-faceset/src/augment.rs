//! Disturbing a cached face: where a sample's pixels come from, and what colours become.
//!
//! One similarity moves input and target alike; on top of it the input alone is warped and
//! recoloured. Both are read in one pass each, straight from the cached bytes, and on the same
//! grid: without a warp the input *is* the target. The 2018 tools sampled the two half a pixel
//! apart; this does not.

use stockpot_core::Rng;

use crate::cache::{CachedFace, MAX_RESOLUTION, padded_side};
use crate::settings::SamplerSettings;

/// Nodes of the warp along one side.
const NODES: usize = 5;
const ROW: usize = MAX_RESOLUTION as usize;

/// Where the pixels of a sample lie in a cached face: a similarity, perhaps mirrored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shot {
    /// `x = m[0] x' + m[1] y' + m[2]`, and so on; pixel centres of the *cache* at whole numbers.
    m: [f32; 6],
}

impl Shot {
    /// A shot that rotates by `angle` (radians), enlarges the picture by `scale`, moves it by
    /// `shift` pixels, and mirrors it.
    pub(crate) fn new(
        resolution: u32,
        angle: f64,
        scale: f64,
        shift: [f64; 2],
        flip: bool,
    ) -> Self {
        let half = f64::from(resolution) / 2.0;
        let centre = f64::from(padded_side(resolution)) / 2.0 - 0.5;
        let (a, b) = (angle.cos() / scale, angle.sin() / scale);
        let side = if flip { -1.0 } else { 1.0 };
        let m = [
            a * side,
            -b,
            centre - a * side * half + b * half + shift[0],
            b * side,
            a,
            centre - b * side * half - a * half + shift[1],
        ];
        Self {
            m: m.map(|v| v as f32),
        }
    }

    /// The face as it was cached.
    pub(crate) fn plain(resolution: u32) -> Self {
        Self::new(resolution, 0.0, 1.0, [0.0; 2], false)
    }

    /// A shot as the settings allow it.
    pub(crate) fn random(resolution: u32, settings: &SamplerSettings, rng: &mut Rng) -> Self {
        let mut around = |most: f32| f64::from(rng.range(-1.0, 1.0) * most);
        let angle = around(settings.rotation_deg).to_radians();
        let scale = 1.0 + around(settings.scale);
        let shift =
            [around(settings.shift), around(settings.shift)].map(|v| v * f64::from(resolution));
        Self::new(resolution, angle, scale, shift, rng.chance(settings.flip))
    }
}

/// By how far each node of the warp grid is moved, in sample pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Warp {
    x: [[f32; NODES]; NODES],
    y: [[f32; NODES]; NODES],
}

impl Warp {
    /// No node moved.
    pub(crate) const NONE: Self = Self {
        x: [[0.0; NODES]; NODES],
        y: [[0.0; NODES]; NODES],
    };

    /// Nodes moved by normal noise of `sigma_px`, less the similarity that fits the noise best.
    ///
    /// In 2018 the *target* followed that similarity; taking it out of the noise instead gives the
    /// same relation of input and target and leaves the target where the jitter put it.
    pub(crate) fn random(sigma_px: f32, rng: &mut Rng) -> Self {
        let mut warp = Self::NONE;
        for j in 0..NODES {
            for i in 0..NODES {
                warp.x[j][i] = rng.normal() * sigma_px;
                warp.y[j][i] = rng.normal() * sigma_px;
            }
        }
        warp.without_similarity()
    }

    fn without_similarity(mut self) -> Self {
        let place = |i: usize| i as f32 - (NODES / 2) as f32;
        let (mut tx, mut ty, mut along, mut across, mut square) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for j in 0..NODES {
            for i in 0..NODES {
                let (u, v, dx, dy) = (place(i), place(j), self.x[j][i], self.y[j][i]);
                tx += dx;
                ty += dy;
                along += u * dx + v * dy;
                across += u * dy - v * dx;
                square += u * u + v * v;
            }
        }
        let count = (NODES * NODES) as f32;
        let (tx, ty, a, b) = (tx / count, ty / count, along / square, across / square);
        for j in 0..NODES {
            for i in 0..NODES {
                let (u, v) = (place(i), place(j));
                self.x[j][i] -= tx + a * u - b * v;
                self.y[j][i] -= ty + b * u + a * v;
            }
        }
        self
    }
}

/// How much each node counts at each pixel of a row (or column): Catmull-Rom, continued straight
/// beyond the outer nodes, which lie on the edges of the sample.
#[derive(Debug, Clone)]
pub(crate) struct WarpTable {
    /// `weights[node][pixel]`
    weights: [Vec<f32>; NODES],
}

impl WarpTable {
    pub(crate) fn new(resolution: u32) -> Self {
        let mut weights: [Vec<f32>; NODES] = Default::default();
        for pixel in 0..resolution {
            let place = (f64::from(pixel) + 0.5) / f64::from(resolution);
            for (column, weight) in weights.iter_mut().zip(node_weights(place)) {
                column.push(weight as f32);
            }
        }
        Self { weights }
    }
}

/// How much each node counts at `place`, 0 (first node) to 1 (last node).
fn node_weights(place: f64) -> [f64; NODES] {
    let along = place * (NODES - 1) as f64;
    let cell = (along.floor() as usize).min(NODES - 2);
    let t = along - cell as f64;
    let cubic = [
        ((2.0 - t) * t - 1.0) * t / 2.0,
        ((3.0 * t - 5.0) * t * t + 2.0) / 2.0,
        ((4.0 - 3.0 * t) * t + 1.0) * t / 2.0,
        (t - 1.0) * t * t / 2.0,
    ];
    let mut nodes = [0.0; NODES];
    for (k, w) in cubic.into_iter().enumerate() {
        // For node `cell + k - 1`; one beyond the end is twice the last less the one before it.
        match (cell + k).checked_sub(1) {
            None => {
                nodes[0] += 2.0 * w;
                nodes[1] -= w;
            }
            Some(NODES) => {
                nodes[NODES - 1] += 2.0 * w;
                nodes[NODES - 2] -= w;
            }
            Some(node) => nodes[node] += w,
        }
    }
    nodes
}

/// What each byte of each channel becomes, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lut {
    channels: [[f32; 256]; 3],
}

impl Lut {
    /// Bytes over 255.
    pub(crate) fn plain() -> Self {
        Self {
            channels: [std::array::from_fn(|v| v as f32 / 255.0); 3],
        }
    }

    /// Another light: gain, gamma and brightness for all channels, and a gain for each.
    pub(crate) fn random(settings: &SamplerSettings, rng: &mut Rng) -> Self {
        let mut around = |most: f32| rng.range(-1.0, 1.0) * most;
        let gain = 1.0 + around(settings.gain);
        let gamma = 1.0 + around(settings.gamma);
        let brightness = around(settings.brightness);
        let gains: [f32; 3] = std::array::from_fn(|_| gain * (1.0 + around(settings.channel)));
        // One power for all three channels: powers are the dear part.
        let curve: [f32; 256] = if gamma == 1.0 {
            std::array::from_fn(|v| v as f32 / 255.0)
        } else {
            std::array::from_fn(|v| (v as f32 / 255.0).powf(gamma))
        };
        Self {
            channels: gains.map(|g| curve.map(|v| (v * g + brightness).clamp(0.0, 1.0))),
        }
    }
}

/// Where in the cached face one row of a sample is read.
struct RowMap {
    /// Index of the pixel at the upper left of each place.
    at: [u32; ROW],
    /// How far to the right and down of it.
    ax: [f32; ROW],
    ay: [f32; ROW],
}

impl RowMap {
    const fn new() -> Self {
        Self {
            at: [0; ROW],
            ax: [0.0; ROW],
            ay: [0.0; ROW],
        }
    }

    /// Fills in row `y`. `dx` and `dy` (as long as the row) are added to the places before the shot.
    fn fill(&mut self, shot: &Shot, side: usize, y: usize, dx: &[f32], dy: &[f32]) {
        let m = shot.m;
        let limit = (side - 1) as f32;
        let last = side as u32 - 2;
        let out = self.at.iter_mut().zip(&mut self.ax).zip(&mut self.ay);
        for (x, (((at, ax), ay), (dx, dy))) in out.zip(dx.iter().zip(dy)).enumerate() {
            let px = x as f32 + 0.5 + dx;
            let py = y as f32 + 0.5 + dy;
            // Beyond the margin the border is repeated.
            let sx = (m[0] * px + m[1] * py + m[2]).max(0.0).min(limit);
            let sy = (m[3] * px + m[4] * py + m[5]).max(0.0).min(limit);
            let (x0, y0) = ((sx as u32).min(last), (sy as u32).min(last));
            *ax = sx - x0 as f32;
            *ay = sy - y0 as f32;
            *at = y0 * side as u32 + x0;
        }
    }
}

fn blend(tl: f32, tr: f32, bl: f32, br: f32, ax: f32, ay: f32) -> f32 {
    let top = tl + (tr - tl) * ax;
    let bottom = bl + (br - bl) * ax;
    top + (bottom - top) * ay
}

/// Draws the input: `out` is `resolution * resolution * 3` long.
pub(crate) fn draw_input(
    face: &CachedFace<'_>,
    resolution: usize,
    shot: &Shot,
    warp: &Warp,
    table: &WarpTable,
    lut: &Lut,
    out: &mut [f32],
) {
    let mut map = RowMap::new();
    let (mut dx, mut dy) = ([0.0f32; ROW], [0.0f32; ROW]);
    let is_warped = *warp != Warp::NONE;
    let [red, green, blue] = &lut.channels;
    let stride = face.side * 4;
    for (y, row) in out.chunks_exact_mut(resolution * 3).enumerate() {
        if is_warped {
            displace(&warp.x, table, y, &mut dx[..resolution]);
            displace(&warp.y, table, y, &mut dy[..resolution]);
        }
        map.fill(shot, face.side, y, &dx[..resolution], &dy[..resolution]);
        for (x, out) in row.chunks_exact_mut(3).enumerate() {
            let (at, ax, ay) = (map.at[x] as usize * 4, map.ax[x], map.ay[x]);
            let top = &face.rgbm[at..at + 8];
            let bottom = &face.rgbm[at + stride..at + stride + 8];
            let pick = |lut: &[f32; 256], c: usize| {
                let (tl, tr) = (lut[top[c] as usize], lut[top[c + 4] as usize]);
                let (bl, br) = (lut[bottom[c] as usize], lut[bottom[c + 4] as usize]);
                blend(tl, tr, bl, br, ax, ay)
            };
            out[0] = pick(red, 0);
            out[1] = pick(green, 1);
            out[2] = pick(blue, 2);
        }
    }
}

/// The displacement of one row's pixels.
fn displace(nodes: &[[f32; NODES]; NODES], table: &WarpTable, y: usize, out: &mut [f32]) {
    let at_row: [f32; NODES] =
        std::array::from_fn(|i| (0..NODES).map(|j| table.weights[j][y] * nodes[j][i]).sum());
    out.fill(0.0);
    for (weights, v) in table.weights.iter().zip(at_row) {
        for (out, w) in out.iter_mut().zip(weights) {
            *out += w * v;
        }
    }
}

/// What a target pixel of the eyes and of the mouth weighs beyond 1, for full coverage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Emphasis {
    pub(crate) eyes: f32,
    pub(crate) mouth: f32,
}

/// Draws target (3 numbers a pixel), mask and weight (1 each).
pub(crate) fn draw_target(
    face: &CachedFace<'_>,
    resolution: usize,
    shot: &Shot,
    emphasis: Emphasis,
    lut: &Lut,
    out: (&mut [f32], &mut [f32], &mut [f32]),
) {
    let mut map = RowMap::new();
    let still = [0.0f32; ROW];
    let [byte, _, _] = &lut.channels;
    let stride = face.side * 4;
    let rows = out.0.chunks_exact_mut(resolution * 3);
    let rows = rows
        .zip(out.1.chunks_exact_mut(resolution))
        .zip(out.2.chunks_exact_mut(resolution));
    for (y, ((target, mask), weight)) in rows.enumerate() {
        map.fill(
            shot,
            face.side,
            y,
            &still[..resolution],
            &still[..resolution],
        );
        let pixels = target.chunks_exact_mut(3).zip(mask).zip(weight);
        for (x, ((target, mask), weight)) in pixels.enumerate() {
            let (index, ax, ay) = (map.at[x] as usize, map.ax[x], map.ay[x]);
            let top = &face.rgbm[index * 4..index * 4 + 8];
            let bottom = &face.rgbm[index * 4 + stride..index * 4 + stride + 8];
            let pick = |c: usize| {
                let (tl, tr) = (byte[top[c] as usize], byte[top[c + 4] as usize]);
                let (bl, br) = (byte[bottom[c] as usize], byte[bottom[c + 4] as usize]);
                blend(tl, tr, bl, br, ax, ay)
            };
            target[0] = pick(0);
            target[1] = pick(1);
            target[2] = pick(2);
            *mask = pick(3);
            let taps = [
                face.importance[index],
                face.importance[index + 1],
                face.importance[index + face.side],
                face.importance[index + face.side + 1],
            ];
            *weight = 1.0;
            if taps != [0; 4] {
                let [tl, tr, bl, br] = taps.map(|v| f32::from(v >> 4) / 15.0);
                let eyes = blend(tl, tr, bl, br, ax, ay);
                let [tl, tr, bl, br] = taps.map(|v| f32::from(v & 15) / 15.0);
                let mouth = blend(tl, tr, bl, br, ax, ay);
                *weight += *mask * (emphasis.eyes * eyes + emphasis.mouth * mouth);
            }
        }
    }
}

#[cfg(test)]
mod tests;
