//! A stock for another resolution: what was learned at one size, as the start at another.
//!
//! Presets of one size differ only in how many places their smallest map has: convolutions fit as
//! they are, and the two dense layers beside the code are resampled over those places. The result
//! draws nearly what the first one drew, at another size, and is trained on from there.

use std::sync::Arc;

use crate::error::Error;
use crate::family::Family;
use crate::params::{Layout, ParamSpec, Params};
use crate::stock_file::Stock;
use crate::trunk::Trunk;

/// The dense layers that know of places: where in their arrays the places are.
const ENCODER_CODE: &str = "encoder.code.weight";
const DECODER_SEED: [&str; 2] = ["decoder.seed.weight", "decoder.seed.bias"];

impl Stock {
    /// This stock as the start of one of `family`.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if the two differ in more than the places of their smallest map, with
    /// the first arrays that do not fit.
    pub fn resized(&self, family: Family) -> Result<Self, Error> {
        let misfit = |problems| Error::Mismatch { family, problems };
        let trunk = Trunk::new(family, self.trunk.identity_len())
            .ok_or_else(|| misfit(vec!["it has no trunk".into()]))?;
        let mut problems = Vec::new();
        let mut convert = |from: &Params, layout: &Arc<Layout>| {
            let mut data = Vec::with_capacity(layout.len());
            for spec in layout.specs() {
                match array(from, spec) {
                    Some(values) => data.extend(values),
                    None => problems.push(format!("`{}` is of another shape", spec.name)),
                }
            }
            Params::from_data(layout.clone(), data)
        };
        let encoder = convert(&self.encoder, trunk.network().encoder_layout());
        let decoder = convert(&self.decoder, &trunk.graph().layout);
        problems.truncate(8);
        match (encoder, decoder) {
            (Some(encoder), Some(decoder)) => Ok(Self {
                trunk,
                encoder,
                decoder,
                identities: self.identities.clone(),
                card: self.card.clone(),
            }),
            _ => Err(misfit(problems)),
        }
    }
}

/// The array `wanted` out of `from`; `None` if nothing there can become it.
fn array(from: &Params, wanted: &ParamSpec) -> Option<Vec<f32>> {
    let mut specs = from.layout().specs().iter();
    let found = specs.find(|s| s.name == wanted.name)?;
    let values = &from.data[found.range()];
    if found.shape == wanted.shape {
        return Some(values.to_vec());
    }
    if wanted.name == ENCODER_CODE {
        // [places x channels, code]: the places come first. Each new place stands for less area.
        let ([old, code], [new, code_too]) = (pair(&found.shape)?, pair(&wanted.shape)?);
        let (from_side, to_side, channels) = sides(old, new)?;
        if code != code_too {
            return None;
        }
        let share = (from_side * from_side) as f32 / (to_side * to_side) as f32;
        let mut made = resample(values, from_side, to_side, channels * code);
        made.iter_mut().for_each(|v| *v *= share);
        return Some(made);
    }
    if !DECODER_SEED.contains(&wanted.name.as_str()) {
        return None;
    }
    // [inputs, places x channels], or [places x channels].
    let (old, new) = (*found.shape.last()?, *wanted.shape.last()?);
    let (from_side, to_side, channels) = sides(old, new)?;
    if found.len() / old != wanted.len() / new {
        return None;
    }
    let rows = values.chunks_exact(old);
    Some(
        rows.flat_map(|row| resample(row, from_side, to_side, channels))
            .collect(),
    )
}

fn pair(shape: &[usize]) -> Option<[usize; 2]> {
    shape.try_into().ok()
}

/// Sides of two square maps of so many numbers with the same channels: the largest channel count
/// for which both are squares.
fn sides(old: usize, new: usize) -> Option<(usize, usize, usize)> {
    let (mut a, mut b) = (old, new);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let side = |places: usize| {
        let side = places.isqrt();
        (side * side == places).then_some(side)
    };
    // Coprime squares are what is left of both when their greatest common divisor is taken out.
    Some((side(old / a)?, side(new / a)?, a))
}

/// A square map `[from, from, channels]` at another side: linear between the centres of places,
/// constant outside them.
fn resample(map: &[f32], from: usize, to: usize, channels: usize) -> Vec<f32> {
    let at = |i: usize| {
        let place = (i as f32 + 0.5) * from as f32 / to as f32 - 0.5;
        let place = place.clamp(0.0, (from - 1) as f32);
        let low = place as usize;
        (low, (low + 1).min(from - 1), place - low as f32)
    };
    let mut made = Vec::with_capacity(to * to * channels);
    for y in 0..to {
        let (top, bottom, down) = at(y);
        for x in 0..to {
            let (left, right, across) = at(x);
            let cell = |y: usize, x: usize| &map[(y * from + x) * channels..][..channels];
            let (a, b) = (cell(top, left), cell(top, right));
            let (c, d) = (cell(bottom, left), cell(bottom, right));
            made.extend((0..channels).map(|i| {
                let upper = a[i] + across * (b[i] - a[i]);
                let lower = c[i] + across * (d[i] - c[i]);
                upper + down * (lower - upper)
            }));
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    fn stock(family: Family) -> Stock {
        let trunk = Trunk::new(family, 4).unwrap();
        Stock {
            encoder: trunk.network().init_encoder(1),
            decoder: trunk.init(2),
            identities: vec![0.5; 8],
            card: Default::default(),
            trunk,
        }
    }

    /// On an even grey picture every place says the same, so both sizes must give nearly one code
    /// away from the borders; and the code draws about the same colours.
    #[test]
    fn another_size_says_and_draws_nearly_the_same() {
        let small = stock(Family::COMB[1]);
        let large = small.resized(Family::COMB[2]).unwrap();
        let codes = [&small, &large].map(|stock| {
            let mut see = Plan::inference(stock.trunk.network().encoder().clone(), 1);
            see.load(&stock.encoder);
            let side = stock.family().resolution() as usize;
            let pixels = 0..side * side;
            let face: Vec<f32> = pixels
                .flat_map(|p| [0.2, 0.5, 0.8].map(|v: f32| v * (p / side) as f32 / side as f32))
                .collect();
            see.forward(&face).to_vec()
        });
        let [a, b] = &codes;
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let cosine = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        assert!(cosine > 0.9, "{cosine}");
        let means = [&small, &large].map(|stock| {
            let person = stock.person(&stock.mean_identity()).unwrap();
            let mut draw = Plan::inference(stock.trunk.network().decoder().clone(), 1);
            draw.load(&person);
            let drawn = draw.forward(a);
            [0, 1, 2].map(|c| {
                let all = drawn.iter().skip(c).step_by(4);
                all.sum::<f32>() / (drawn.len() / 4) as f32
            })
        });
        for (a, b) in means[0].iter().zip(means[1]) {
            assert!((a - b).abs() < 0.05, "{means:?}");
        }
    }

    #[test]
    fn the_same_size_is_the_same_and_other_networks_are_refused() {
        let stock = stock(Family::COMB[1]);
        let same = stock.resized(Family::COMB[1]).unwrap();
        assert_eq!(same.encoder, stock.encoder);
        assert_eq!(same.decoder, stock.decoder);
        assert!(stock.resized(Family::COMB[0]).is_err());
        assert!(stock.resized(Family::CLASSIC).is_err());
    }

    #[test]
    fn a_map_keeps_a_slope_and_its_mean() {
        let slope: Vec<f32> = (0..9).map(|i| (i % 3) as f32).collect();
        let made = resample(&slope, 3, 4, 1);
        let wanted = [0.0, 0.625, 1.375, 2.0];
        for row in made.chunks_exact(4) {
            for (a, b) in row.iter().zip(wanted) {
                assert!((a - b).abs() < 1e-6, "{made:?}");
            }
        }
        assert_eq!(sides(9 * 384, 16 * 384), Some((3, 4, 384)));
        assert_eq!(sides(8, 12), None);
    }
}
