//! 8-bit YUV 4:2:0 to RGB, exactly rounded: the format that nearly every video has.
//!
//! libswscale's quick way is up to three steps too dark in every channel, which adds up when a video
//! is swapped twice; its exact way takes five times as long as decoding. This one rounds and is as
//! quick. It knows planes of bytes, not libav.

use stockpot_core::Size;

/// Fraction bits of the coefficients: the largest, 2.14, still fits 16 bits with its sign.
const BITS: u32 = 13;

/// Rows of bytes with a distance between them.
#[derive(Clone, Copy)]
pub(crate) struct Plane<'a> {
    /// From the first byte of the first row to the last of the last row.
    pub(crate) data: &'a [u8],
    /// Bytes from a row to the next.
    pub(crate) stride: usize,
    /// Bytes in a row.
    pub(crate) width: usize,
}

impl<'a> Plane<'a> {
    fn row(&self, y: usize) -> &'a [u8] {
        &self.data[y * self.stride..][..self.width]
    }
}

/// What a matrix and range make of Y, U and V, in fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coefficients {
    y: i16,
    r_v: i16,
    g_u: i16,
    g_v: i16,
    b_u: i16,
    /// Y of black.
    black: i16,
}

impl Coefficients {
    /// From the weights of red and blue in luminance (`Kr`, `Kb` of ITU-T H.273).
    pub(crate) fn new(kr: f64, kb: f64, full_range: bool) -> Self {
        let kg = 1.0 - kr - kb;
        // Limited range: 219 steps of luminance, 224 of colour difference.
        let (y, c) = if full_range {
            (1.0, 1.0)
        } else {
            (255.0 / 219.0, 255.0 / 224.0)
        };
        let fixed = |v: f64| (v * f64::from(1 << BITS)).round() as i16;
        Self {
            y: fixed(y),
            r_v: fixed(2.0 * (1.0 - kr) * c),
            g_u: fixed(2.0 * (1.0 - kb) * kb / kg * c),
            g_v: fixed(2.0 * (1.0 - kr) * kr / kg * c),
            b_u: fixed(2.0 * (1.0 - kb) * c),
            black: if full_range { 0 } else { 16 },
        }
    }
}

/// The picture as interleaved RGB. Chroma is interpolated: beside even columns (where nearly all
/// encoders put it) and between rows.
pub(crate) fn to_rgb(size: Size, planes: [Plane; 3], coefficients: Coefficients) -> Vec<u8> {
    let width = size.width as usize;
    let chroma_rows = (size.height as usize).div_ceil(2);
    let mut rgb = vec![0u8; size.pixels() * 3];
    let mut chroma = [vec![0i16; width], vec![0i16; width]];
    let mut mixed = vec![0i16; width.div_ceil(2)];
    let mut channels = [vec![0u8; width], vec![0u8; width], vec![0u8; width]];
    for (y, out) in rgb.chunks_exact_mut(width * 3).enumerate() {
        // An even row lies a quarter below its chroma row's upper neighbour, an odd one above.
        let near = y / 2;
        let far = if y % 2 == 0 {
            near.saturating_sub(1)
        } else {
            (near + 1).min(chroma_rows - 1)
        };
        for (plane, line) in planes[1..].iter().zip(&mut chroma) {
            for ((mix, a), b) in mixed.iter_mut().zip(plane.row(near)).zip(plane.row(far)) {
                // Four times the value, less the grey point.
                *mix = 3 * i16::from(*a) + i16::from(*b) - 512;
            }
            widen(&mixed, line);
        }
        convert_row(planes[0].row(y), &chroma, coefficients, &mut channels);
        let [r, g, b] = &channels;
        for (((pixel, r), g), b) in out.chunks_exact_mut(3).zip(r).zip(g).zip(b) {
            pixel[0] = *r;
            pixel[1] = *g;
            pixel[2] = *b;
        }
    }
    rgb
}

/// Chroma of every column, eight times the value: even columns have one, odd ones the mean.
fn widen(narrow: &[i16], wide: &mut [i16]) {
    let last = narrow.len() - 1;
    for ((pair, a), b) in wide.chunks_exact_mut(2).zip(narrow).zip(&narrow[1..]) {
        pair[0] = 2 * a;
        pair[1] = a + b;
    }
    let from = last * 2;
    for value in &mut wide[from..] {
        *value = 2 * narrow[last];
    }
}

fn convert_row(luma: &[u8], chroma: &[Vec<i16>; 2], k: Coefficients, channels: &mut [Vec<u8>; 3]) {
    let [r, g, b] = channels;
    let (u, v) = (&chroma[0][..luma.len()], &chroma[1][..luma.len()]);
    let (r, g, b) = (
        &mut r[..luma.len()],
        &mut g[..luma.len()],
        &mut b[..luma.len()],
    );
    // Chroma carries three more fraction bits than luminance.
    let half = 1i32 << (BITS + 2);
    let clamp = |v: i32| (v >> (BITS + 3)).clamp(0, 255) as u8;
    let times = |a: i16, b: i16| i32::from(a) * i32::from(b);
    for x in 0..luma.len() {
        let light = times((i16::from(luma[x]) - k.black) * 8, k.y) + half;
        r[x] = clamp(light + times(v[x], k.r_v));
        g[x] = clamp(light - times(u[x], k.g_u) - times(v[x], k.g_v));
        b[x] = clamp(light + times(u[x], k.b_u));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solid(y: u8, u: u8, v: u8, size: Size) -> Vec<u8> {
        let (w, h) = (size.width as usize, size.height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let data = [vec![y; w * h], vec![u; cw * ch], vec![v; cw * ch]];
        let plane = |n: usize, width| Plane {
            data: &data[n],
            stride: width,
            width,
        };
        let planes = [plane(0, w), plane(1, cw), plane(2, cw)];
        to_rgb(size, planes, Coefficients::new(0.2126, 0.0722, false))
    }

    #[test]
    fn bt709_is_right_to_the_rounding_for_every_triple_of_a_grid() {
        for size in [Size::new(5, 3), Size::new(1, 1)] {
            for y in (0..=255).step_by(15) {
                for u in (0..=255).step_by(51) {
                    for v in (0..=255).step_by(51) {
                        let found = solid(y, u, v, size);
                        // ITU-R BT.709-6, 3.2 to 3.5, limited range.
                        let light = 255.0 / 219.0 * (f64::from(y) - 16.0);
                        let (cb, cr) = (
                            255.0 / 224.0 * (f64::from(u) - 128.0),
                            255.0 / 224.0 * (f64::from(v) - 128.0),
                        );
                        let exact = [
                            light + 1.5748 * cr,
                            light - 0.187_324 * cb - 0.468_124 * cr,
                            light + 1.8556 * cb,
                        ];
                        for (i, value) in found.iter().enumerate() {
                            let wanted = exact[i % 3].clamp(0.0, 255.0);
                            assert!(
                                (f64::from(*value) - wanted).abs() < 0.55,
                                "{y} {u} {v}: {found:?}, wanted {exact:?}"
                            );
                        }
                    }
                }
            }
        }
    }
}
