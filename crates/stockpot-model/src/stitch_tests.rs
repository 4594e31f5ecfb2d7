//! Maps that are known beforehand are found again, and folded networks draw as before.

use stockpot_core::rng::Rng;

use super::*;
use crate::family::Family;
use crate::passport::Passport;
use crate::plan::Plan;

fn random(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::stream(seed, "stitch test", 0);
    (0..count).map(|_| rng.normal()).collect()
}

#[test]
fn a_line_by_hand() {
    // y = 2 x - 3, exactly.
    let x: Vec<f32> = (0..20).map(|i| i as f32).collect();
    let y = x.iter().map(|v| 2.0 * v - 3.0).collect();
    let (x, y) = (Codes::new(1, x).unwrap(), Codes::new(1, y).unwrap());
    let found = fit(&x, &y).unwrap();
    assert!((found.map.weight[0] - 2.0).abs() < 1e-4, "{found:?}");
    assert!((found.map.bias[0] + 3.0).abs() < 1e-3, "{found:?}");
    assert!(found.explained > 0.999_999);
    assert!(agreement(&x, &x).unwrap() > 0.999);
    // 2 * 2 / (1 + 4), wherever the means are.
    assert!((agreement(&x, &y).unwrap() - 0.8).abs() < 1e-6);
}

#[test]
fn noise_alone_explains_nothing_and_is_penalised() {
    let (a, b) = (random(200 * 20, 1), random(200 * 20, 2));
    let (a, b) = (Codes::new(20, a).unwrap(), Codes::new(20, b).unwrap());
    let found = fit(&a, &b).unwrap();
    assert!(found.explained < 0.1, "{}", found.explained);
    assert!(found.penalty >= 1e-1, "{}", found.penalty);
    assert!(agreement(&a, &b).unwrap().abs() < 0.1);
}

#[test]
fn what_cannot_be_fitted_is_refused() {
    let codes = |width, count| Codes::new(width, random(count, 3)).unwrap();
    assert!(fit(&codes(2, 40), &codes(2, 42)).is_err());
    assert!(fit(&codes(2, 6), &codes(2, 6)).is_err());
    let zero = Codes::new(2, vec![0.0; 40]).unwrap();
    assert!(fit(&zero, &codes(2, 40)).is_err());
    let mut bad = codes(2, 40);
    bad.values[3] = f32::NAN;
    assert!(fit(&bad, &codes(2, 40)).is_err());
    assert_eq!(Codes::new(3, vec![0.0; 4]), None);
    let map = fit(&codes(2, 40), &codes(2, 40)).unwrap().map;
    assert!(map.apply(&codes(3, 42)).is_err());
}

/// Another encoder whose code is `home`'s by a known affine map: its last layer is another basis.
fn another_basis(network: &Network, home: &Params, layer: &str) -> Params {
    let specs = network.encoder_layout().specs();
    let range = |end: &str| {
        let name = format!("{layer}.{end}");
        specs.iter().find(|s| s.name == name).unwrap().range()
    };
    let (weight, bias) = (range("weight"), range("bias"));
    let side = bias.len();
    let mut turn: Vec<f32> = random(side * side, 9)
        .iter()
        .map(|v| v * 0.3 / (side as f32).sqrt())
        .collect();
    (0..side).for_each(|i| turn[i * side + i] += 1.0);
    let mut out = home.clone();
    for range in [weight, bias.clone()] {
        for row in range.step_by(side) {
            let mut turned = vec![0.0; side];
            add_product(&mut turned, &home.data[row..row + side], &turn);
            out.data[row..row + side].copy_from_slice(&turned);
        }
    }
    let shift = random(side, 10);
    let pairs = out.data[bias].iter_mut().zip(shift);
    pairs.for_each(|(b, s)| *b += s);
    out
}

/// Smooth random pictures.
fn faces(count: usize) -> Vec<Vec<f32>> {
    let face = |n| {
        let waves = random(9, 100 + n as u64);
        let value = move |i: usize| {
            let (y, x, c) = (i / 192, i / 3 % 64, i % 3);
            let wave = waves[c] * x as f32 / 9.0 + waves[3 + c] * y as f32 / 9.0 + waves[6 + c];
            0.5 + 0.4 * wave.sin()
        };
        (0..64 * 64 * 3).map(value).collect()
    };
    (0..count).map(face).collect()
}

/// Two lineages whose codes differ by a known affine map: the foreign decoder draws something else,
/// the stitched one draws what it drew at home.
fn known_map_is_recovered(family: Family, layer: &str, wrong: f32) {
    let network = Network::new(family);
    let home = Halves {
        encoder: network.init_encoder(1),
        decoder: network.init_decoder(2),
    };
    let guest = another_basis(&network, &home.encoder, layer);
    let width = network.code_graph().output_shape().len();
    let all = faces(width * 3 / 2 + 60);
    let codes = |encoder: &Params| {
        let faces = all.iter().cloned();
        let passport = Passport::of(&network, encoder, faces, Default::default());
        passport.unwrap().codes
    };
    let (from, to) = (codes(&guest), codes(&home.encoder));
    let found = fit(&from, &to).unwrap();
    assert!(found.explained > 0.999, "{family}: {}", found.explained);
    let mapped = found.map.apply(&from).unwrap();
    assert!(agreement(&to, &mapped).unwrap() > 0.999);
    let stitched = fold_stitch(&network, &guest, &home, &found.map).unwrap();
    let draw = |encoder: &Params, decoder: &Params| {
        let mut plans =
            [network.encoder(), network.decoder()].map(|g| Plan::inference(g.clone(), 1));
        plans[0].load(encoder);
        plans[1].load(decoder);
        let [mut encoder, mut decoder] = plans;
        decoder.forward(encoder.forward(&all[0])).to_vec()
    };
    let wanted = draw(&home.encoder, &home.decoder);
    let apart = |drawn: &[f32]| {
        let pairs = wanted.iter().zip(drawn);
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let crossed = apart(&draw(&guest, &home.decoder));
    let mended = apart(&draw(&stitched.encoder, &stitched.decoder));
    assert!(crossed > wrong, "{family}: {crossed}");
    assert!(
        mended < crossed / 50.0,
        "{family}: {mended} against {crossed}"
    );
}

#[test]
fn comb_decoders_are_stitched() {
    known_map_is_recovered(Family::COMB[0], "encoder.code", 0.05);
}

#[test]
fn networks_of_2018_are_stitched_behind_their_first_dense_layer() {
    let family = Family::classic(2, 16, 32).unwrap();
    let network = Network::new(family);
    assert_eq!(network.code_graph().output_shape().len(), 16);
    // The classic decoder itself need not change, but for the crossed picture the encoder's tail does.
    known_map_is_recovered(family, "encoder.dense1", 0.0);
}

#[test]
fn halves_of_another_network_are_refused() {
    let network = Network::new(Family::classic(2, 16, 32).unwrap());
    let other = Network::new(Family::classic(2, 32, 32).unwrap());
    let halves = |n: &Network| Halves {
        encoder: n.init_encoder(1),
        decoder: n.init_decoder(1),
    };
    let codes = |width| Codes::new(width, random(width * 40, 5)).unwrap();
    let map = |width| fit(&codes(width), &codes(width)).unwrap().map;
    let guest = network.init_encoder(2);
    assert!(fold_stitch(&network, &guest, &halves(&network), &map(16)).is_ok());
    assert!(fold_stitch(&network, &guest, &halves(&network), &map(8)).is_err());
    assert!(fold_stitch(&network, &guest, &halves(&other), &map(16)).is_err());
    assert!(
        fold_stitch(
            &network,
            &other.init_encoder(2),
            &halves(&network),
            &map(16)
        )
        .is_err()
    );
}
