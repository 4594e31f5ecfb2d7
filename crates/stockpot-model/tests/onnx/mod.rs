//! Written ONNX files, read back and run by a reader and an interpreter that share nothing with the
//! writer: what they draw against what our own engine draws.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests too, clippy only knows functions marked as such"
)]

mod reader;
mod run;

use std::collections::BTreeMap;

use stockpot_core::{Area, Rng};
use stockpot_model::onnx::{self, DFM_CENTRE, DFM_SIDE, OnnxModel};
use stockpot_model::{Family, Network, Params, Plan};

use reader::{Described, Model};

/// Weights without zeros: biases and the last layers of residual branches count too.
fn weights(layout: &std::sync::Arc<stockpot_model::Layout>) -> Params {
    let mut params = Params::init(layout.clone(), 11);
    for spec in layout.specs() {
        let mut rng = Rng::stream(12, &spec.name, 0);
        let reach = 0.3 / (spec.len() as f32 / spec.shape[spec.shape.len() - 1] as f32).sqrt();
        for value in &mut params.data[spec.range()] {
            *value += reach * rng.normal();
        }
    }
    params
}

struct Pair {
    network: Network,
    encoder: Params,
    decoder: Params,
}

impl Pair {
    fn new(family: Family) -> Self {
        let network = Network::new(family);
        Self {
            encoder: weights(network.encoder_layout()),
            decoder: weights(network.decoder_layout()),
            network,
        }
    }

    /// By our own engine: `[batch, R, R, 3]` to `[batch, R, R, channels]`.
    fn draw(&self, faces: &[f32], batch: usize) -> Vec<f32> {
        let mut encoder = Plan::inference(self.network.encoder().clone(), batch);
        let mut decoder = Plan::inference(self.network.decoder().clone(), batch);
        encoder.load(&self.encoder);
        decoder.load(&self.decoder);
        decoder.forward(encoder.forward(faces)).to_vec()
    }
}

fn words() -> BTreeMap<String, String> {
    BTreeMap::from([("stockpot.person".to_owned(), "anna".to_owned())])
}

fn read(model: &OnnxModel) -> Model {
    let mut bytes = Vec::new();
    model.write_to(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, model.bytes());
    let read = Model::read(&bytes);
    assert_eq!((read.ir_version, read.opset), (7, onnx::OPSET));
    assert_eq!(read.words, words());
    read
}

/// `[batch, h, w, c]` to `[batch, c, h, w]`.
fn channels_first(from: &[f32], batch: usize, channels: usize) -> Vec<f32> {
    let pixels = from.len() / batch / channels;
    let mut out = Vec::with_capacity(from.len());
    for picture in from.chunks_exact(pixels * channels) {
        for c in 0..channels {
            out.extend(picture.iter().skip(c).step_by(channels));
        }
    }
    out
}

fn named(name: &str, dims: &[usize]) -> Described {
    let dims = [None].into_iter().chain(dims.iter().map(|d| Some(*d)));
    Described {
        name: name.into(),
        dims: dims.collect(),
    }
}

#[test]
fn an_exchanged_network_draws_what_ours_draws() {
    const BATCH: usize = 2;
    let classic = |layers| Family::classic(layers, 16, 32).unwrap();
    for family in [
        Family::COMB[0],
        classic(2),
        classic(3),
        classic(4),
        classic(5),
    ] {
        let pair = Pair::new(family);
        let side = family.resolution() as usize;
        let mut rng = Rng::stream(7, "faces", 0);
        let faces: Vec<f32> = (0..BATCH * side * side * 3)
            .map(|_| rng.range(0.0, 1.0))
            .collect();
        let drawn = pair.draw(&faces, BATCH);
        let channels = drawn.len() / (BATCH * side * side);
        let file = read(&onnx::exchange(
            &pair.network,
            &pair.encoder,
            &pair.decoder,
            &words(),
        ));
        assert_eq!(file.inputs, [named("face", &[3, side, side])]);
        assert_eq!(file.outputs[0], named("rgb", &[3, side, side]));
        let values = run::run(&file, &channels_first(&faces, BATCH, 3), BATCH);
        let wanted = channels_first(&drawn, BATCH, channels);
        let mut parts = vec![("rgb", 0..3)];
        if family.has_mask() {
            assert_eq!(file.outputs[1], named("mask", &[1, side, side]));
            parts.push(("mask", 3..4));
        }
        assert_eq!(file.outputs.len(), parts.len());
        let plane = side * side;
        let mut spread = (1.0f64, 0.0f64);
        for (name, range) in parts {
            let found = &values[name].data;
            for picture in 0..BATCH {
                for (k, c) in range.clone().enumerate() {
                    let at = (picture * range.len() + k) * plane;
                    let from = (picture * channels + c) * plane;
                    for (f, w) in found[at..][..plane].iter().zip(&wanted[from..][..plane]) {
                        assert!((f - f64::from(*w)).abs() < 2e-5, "{family} {name}: {f} {w}");
                        spread = (spread.0.min(*f), spread.1.max(*f));
                    }
                }
            }
        }
        assert!(spread.1 - spread.0 > 0.1, "{family} draws something");
    }
}

/// A picture as a function of the place on the face.
fn scene(x: f64, y: f64) -> [f64; 3] {
    [
        0.5 + 0.3 * (3.1 * x + 1.7 * y).sin(),
        0.4 + 0.3 * (2.3 * y - 1.1 * x + 0.5).sin(),
        0.6 + 0.3 * (4.2 * x * y).cos(),
    ]
}

/// Pixel `i` of the player's square shows this place: they count from the middle of the first one.
fn player_place(i: usize, side: usize, centre: f64) -> f64 {
    centre + (i as f64 / side as f64 - 0.5) * DFM_SIDE
}

#[test]
fn a_player_gets_the_face_back_in_its_own_square() {
    for (family, area, wanted_side) in [
        (Family::COMB[0], Area::Face, 80),
        (Family::classic(3, 16, 32).unwrap(), Area::Narrow, 144),
    ] {
        let pair = Pair::new(family);
        let side = onnx::dfm_resolution(&pair.network, area);
        assert_eq!(side, wanted_side);
        let file = read(&onnx::dfm(
            &pair.network,
            &pair.encoder,
            &pair.decoder,
            area,
            &words(),
        ));
        let batch = |name: &str, depth| named(name, &[side, side, depth]);
        assert_eq!(file.inputs, [batch("in_face:0", 3)]);
        assert_eq!(
            file.outputs,
            [
                batch("out_face_mask:0", 1),
                batch("out_celeb_face:0", 3),
                batch("out_celeb_face_mask:0", 1),
            ],
            "players take them by their order"
        );
        // Twice the same picture, as a batch: blue, green, red.
        let mut theirs = Vec::new();
        for y in 0..side {
            for x in 0..side {
                let place = [(x, DFM_CENTRE.0), (y, DFM_CENTRE.1)];
                let [px, py] = place.map(|(i, c)| player_place(i, side, c));
                theirs.extend(scene(px, py).iter().rev().map(|v| *v as f32));
            }
        }
        let two = [theirs.clone(), theirs.clone()].concat();
        let values = run::run(&file, &two, 2);
        // What our own engine draws of our own cut of the same scene.
        let r = family.resolution() as usize;
        let scale = area.side() / r as f64;
        let corner = (
            area.centre().x - area.side() / 2.0,
            area.centre().y - area.side() / 2.0,
        );
        let mut ours = Vec::new();
        for y in 0..r {
            for x in 0..r {
                let place = [(x, corner.0), (y, corner.1)];
                let [px, py] = place.map(|(i, c)| c + (i as f64 + 0.5) * scale);
                ours.extend(scene(px, py).map(|v| v as f32));
            }
        }
        let drawn = pair.draw(&ours, 1);
        let channels = drawn.len() / (r * r);
        let at = |x: f64, y: f64, c: usize| {
            let (fx, fy) = (x.floor(), y.floor());
            let pixel = |dx: f64, dy: f64| {
                let clamp = |v: f64| v.clamp(0.0, r as f64 - 1.0) as usize;
                f64::from(drawn[(clamp(fy + dy) * r + clamp(fx + dx)) * channels + c])
            };
            let (tx, ty) = (x - fx, y - fy);
            (1.0 - ty) * ((1.0 - tx) * pixel(0.0, 0.0) + tx * pixel(1.0, 0.0))
                + ty * ((1.0 - tx) * pixel(0.0, 1.0) + tx * pixel(1.0, 1.0))
        };
        let celeb = &values["out_celeb_face:0"].data;
        let mask = &values["out_celeb_face_mask:0"].data;
        assert_eq!(celeb[..celeb.len() / 2], celeb[celeb.len() / 2..]);
        assert_eq!(mask, &values["out_face_mask:0"].data);
        // The sum of differences where it should be, and one pixel of ours to the right.
        let mut off = [0.0; 2];
        let mut counted = 0;
        for y in 0..side {
            for x in 0..side {
                let place = [(x, DFM_CENTRE.0, corner.0), (y, DFM_CENTRE.1, corner.1)];
                let [nx, ny] =
                    place.map(|(i, c, from)| (player_place(i, side, c) - from) / scale - 0.5);
                let inside = |v: f64| (0.0..r as f64 - 1.0).contains(&v);
                let pixel = (y * side + x) * 3;
                if inside(nx) && inside(ny) {
                    for (k, c) in [2, 1, 0].into_iter().enumerate() {
                        for (off, shift) in off.iter_mut().zip([0.0, 1.0]) {
                            *off += (celeb[pixel + k] - at(nx + shift, ny, c)).abs();
                        }
                        counted += 1;
                    }
                    if family.has_mask() {
                        let found = mask[y * side + x];
                        assert!((found - at(nx, ny, 3)).abs() < 0.1);
                    }
                } else if !(-1.6..r as f64 + 0.6).contains(&nx) {
                    for k in 0..3 {
                        let kept = f64::from(theirs[pixel + k]);
                        assert!((celeb[pixel + k] - kept).abs() < 1e-6, "outside of ours");
                    }
                    assert_eq!(mask[y * side + x], 0.0);
                }
            }
        }
        let [right, shifted] = off.map(|v| v / f64::from(counted));
        eprintln!("{family}: {right:.5} where it should be, {shifted:.5} beside");
        assert!(counted > 3000 && right < 0.015 && right < 0.5 * shifted);
        let middle = (side / 2) * side + side / 2;
        if !family.has_mask() {
            assert_eq!(mask[middle], 1.0);
        }
        assert!(mask.iter().all(|v| (0.0..=1.0).contains(v)));
    }
}
