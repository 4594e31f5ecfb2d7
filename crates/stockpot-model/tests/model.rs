//! Shapes and counts against the literature, gradients of every operator by finite differences,
//! weights files, damaged weights files.

mod onnx;

use std::collections::BTreeMap;
use std::sync::Arc;

use stockpot_core::Rng;
use stockpot_kernels::{Activation, Precision};
use stockpot_model::{Family, Graph, GraphBuilder, Network, Params, Plan, Shape, weights_file};

fn noise(n: usize, purpose: &str) -> Vec<f32> {
    let mut rng = Rng::stream(5, purpose, 0);
    (0..n).map(|_| rng.range(-1.0, 1.0)).collect()
}

#[test]
fn classic_has_the_parameters_of_2018() {
    let count = |layers, nodes| {
        let net = Network::new(Family::classic(layers, nodes, 1).unwrap());
        (net.encoder_layout().len(), net.decoder_layout().len())
    };
    assert_eq!(count(4, 1024), (69_662_976, 6_199_747));
    assert_eq!(count(4, 256).0, 44_496_384);
    assert_eq!(count(3, 512).0, 48_165_632);
    // Divided by 8: 5*5*3*16+16, 5*5*16*32+32, 5*5*32*64+64, 5*5*64*128+128, 2048*128+128,
    // 128*2048+2048, 3*3*128*256+256; and 3*3*64*128+128, 3*3*32*64+64, 3*3*16*32+32, 5*5*8*3+3.
    let small = Network::new(Family::classic(4, 128, 8).unwrap());
    assert_eq!(small.encoder_layout().len(), 1_091_872);
    assert_eq!(small.decoder_layout().len(), 97_595);
    assert_eq!(small.encoder().output_shape(), Shape::new(8, 8, 64));
    let net = Network::new(Family::CLASSIC);
    assert_eq!(net.encoder().output_shape(), Shape::new(8, 8, 512));
    assert_eq!(net.decoder().output_shape(), Shape::new(64, 64, 3));
    // 0.97 G and 0.93 G multiply-adds, as counted for the write-ups of that network.
    assert!((net.encoder().multiply_adds() as f64 / 1e9 - 0.97).abs() < 0.01);
    assert!((net.decoder().multiply_adds() as f64 / 1e9 - 0.93).abs() < 0.01);
}

#[test]
fn comb_presets_have_their_shapes() {
    for family in Family::COMB {
        let net = Network::new(family);
        let r = family.resolution() as usize;
        assert_eq!(net.encoder().input_shape(), Shape::new(r, r, 3));
        assert_eq!(net.encoder().output_shape(), Shape::new(1, 1, 384));
        assert_eq!(net.decoder().output_shape(), Shape::new(r, r, 4));
        assert!(net.encoder_layout().len() < 9_000_000, "{family} encoder");
        assert!(net.decoder_layout().len() < 8_000_000, "{family} decoder");
    }
}

#[test]
fn comb_presets_cost_about_as_their_pixels() {
    let [small, middle, large] = Family::COMB.map(|family| {
        let net = Network::new(family);
        (net.encoder().multiply_adds() + net.decoder().multiply_adds()) as f64
    });
    assert!((4.0 / 9.0..0.55).contains(&(small / middle)));
    assert!((large / middle - 16.0 / 9.0).abs() < 0.01);
}

/// A small graph with every operator, each gradient path and shortcut.
fn every_operator() -> Graph {
    let leak = Activation::LeakyRelu(0.2);
    let mut b = GraphBuilder::new("t", Shape::new(8, 8, 2));
    let mut at = b.space_to_depth(b.input());
    at = b.conv("c1", at, (3, 1, 4), leak);
    let down = b.conv("c2", at, (3, 2, 8), leak);
    let shortcut = b.average_down(at, 8);
    at = b.add(down, shortcut);
    at = b.conv("c5", at, (5, 2, 8), Activation::None);
    at = b.rms_norm(at);
    at = b.dense("d1", at, 6, Activation::None);
    at = b.dense("d2", at, 12, leak);
    at = b.reshape(at, Shape::new(1, 2, 6));
    let up = b.up_conv("u1", at, 8, leak);
    let branch = b.conv("m1", up, (3, 1, 8), leak);
    at = b.add(up, branch);
    at = b.depth_to_space(at);
    at = b.conv("head", at, (3, 1, 3), Activation::None);
    b.sigmoid(at);
    b.build()
}

/// `<output, direction>` in f64.
fn value(plan: &mut Plan, params: &Params, input: &[f32], direction: &[f32]) -> f64 {
    plan.load(params);
    let out = plan.forward(input);
    out.iter()
        .zip(direction)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

#[test]
fn gradients_agree_with_finite_differences() {
    let graph = Arc::new(every_operator());
    let batch = 2;
    let mut plan = Plan::training(graph.clone(), batch);
    let params = Params::init(graph.layout.clone(), 3);
    let input = noise(batch * graph.input_shape().len(), "input");
    let direction = noise(batch * graph.output_shape().len(), "direction");
    plan.load(&params);
    plan.forward(&input);
    let mut grads = vec![0.0; graph.layout.len()];
    let input_grad = plan.backward(&direction, &mut grads, true).to_vec();

    let step = 2e-3f32;
    let mut checked = 0;
    for spec in graph.layout.specs() {
        for k in [0, spec.len() / 3, spec.len() - 1] {
            let at = spec.offset + k;
            let (mut up, mut down) = (params.clone(), params.clone());
            up.data[at] += step;
            down.data[at] -= step;
            let slope = (value(&mut plan, &up, &input, &direction)
                - value(&mut plan, &down, &input, &direction))
                / f64::from(up.data[at] - down.data[at]);
            let found = f64::from(grads[at]);
            let scale = slope.abs().max(0.05);
            assert!(
                (slope - found).abs() < 0.03 * scale,
                "{} [{k}]: {slope} {found}",
                spec.name
            );
            checked += usize::from(found.abs() > 1e-3);
        }
    }
    assert!(
        checked > 15,
        "too many gradients are zero to mean anything: {checked}"
    );
    for at in [0, 17, 63, input.len() - 1] {
        let (mut up, mut down) = (input.clone(), input.clone());
        up[at] += step;
        down[at] -= step;
        let slope = (value(&mut plan, &params, &up, &direction)
            - value(&mut plan, &params, &down, &direction))
            / f64::from(up[at] - down[at]);
        let scale = slope.abs().max(0.05);
        assert!(
            (slope - f64::from(input_grad[at])).abs() < 0.03 * scale,
            "input [{at}]"
        );
    }
}

#[test]
fn gradients_add_up_and_runs_repeat_to_the_bit() {
    let graph = Arc::new(every_operator());
    let params = Params::init(graph.layout.clone(), 3);
    let input = noise(3 * graph.input_shape().len(), "input");
    let direction = noise(3 * graph.output_shape().len(), "direction");
    let run = |times: usize| {
        let mut plan = Plan::training(graph.clone(), 3);
        plan.load(&params);
        let mut grads = vec![0.0; graph.layout.len()];
        for _ in 0..times {
            plan.forward(&input);
            plan.backward(&direction, &mut grads, false);
        }
        grads
    };
    let (once, again, twice) = (run(1), run(1), run(2));
    assert_eq!(once, again);
    for (a, b) in once.iter().zip(&twice) {
        assert!((2.0 * a - b).abs() <= 1e-5 * a.abs().max(1.0));
    }
}

#[test]
fn held_weights_pass_on_the_same_gradient_to_the_bit() {
    for (graph, precision) in [
        (every_operator(), Precision::F32),
        (wide_enough(), Precision::Bf16),
    ] {
        let graph = Arc::new(graph);
        let params = Params::init(graph.layout.clone(), 3);
        let input = noise(3 * graph.input_shape().len(), "input");
        let direction = noise(3 * graph.output_shape().len(), "direction");
        let mut plan = Plan::training_in(graph.clone(), 3, precision);
        plan.load(&params);
        plan.forward(&input);
        let mut grads = vec![0.0; graph.layout.len()];
        let wanted = plan.backward(&direction, &mut grads, true).to_vec();
        plan.forward(&input);
        let found = plan.backward_to_input(&direction).to_vec();
        assert!(found == wanted && found.iter().any(|v| *v != 0.0));
        // And the next step is as if nothing had been left out.
        plan.forward(&input);
        let mut again = vec![0.0; graph.layout.len()];
        plan.backward(&direction, &mut again, true);
        assert!(again == grads);
    }
}

/// Every operator that has weights, wide enough to be rounded, between narrow ends.
fn wide_enough() -> Graph {
    // Nearly straight: a number near zero that rounding moves across it would weigh far more
    // than the rounding itself.
    let leak = Activation::LeakyRelu(0.9);
    let mut b = GraphBuilder::new("t", Shape::new(8, 8, 3));
    let mut at = b.conv("stem", b.input(), (3, 1, 16), leak);
    let down = b.conv("down", at, (5, 2, 32), leak);
    let shortcut = b.average_down(at, 32);
    at = b.add(down, shortcut);
    at = b.dense("code", at, 24, Activation::None);
    at = b.dense("seed", at, 2 * 2 * 24, leak);
    at = b.reshape(at, Shape::new(2, 2, 24));
    at = b.up_conv("up", at, 20, leak);
    let branch = b.conv("mix", at, (3, 1, 20), leak);
    at = b.add(at, branch);
    at = b.conv("head", at, (3, 1, 4), Activation::None);
    b.sigmoid(at);
    b.build()
}

fn length(values: impl Iterator<Item = f32>) -> f64 {
    values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt()
}

#[test]
fn rounded_products_give_nearly_the_same_gradients() {
    let graph = Arc::new(wide_enough());
    let params = Params::init(graph.layout.clone(), 3);
    let batch = 5;
    let input = noise(batch * graph.input_shape().len(), "input");
    let direction = noise(batch * graph.output_shape().len(), "direction");
    let run = |precision| {
        let mut plan = Plan::training_in(graph.clone(), batch, precision);
        plan.load(&params);
        let out = plan.forward(&input).to_vec();
        let mut grads = vec![0.0; graph.layout.len()];
        let input_grad = plan.backward(&direction, &mut grads, true).to_vec();
        (out, grads, input_grad)
    };
    let (exact, rounded) = (run(Precision::F32), run(Precision::Bf16));
    // A rounded number is off by up to 2^-9; errors of the ten products in the longest way add up
    // like random steps.
    let near = |what: &str, a: &[f32], b: &[f32]| {
        let off = length(a.iter().zip(b).map(|(a, b)| a - b)) / length(a.iter().copied());
        println!("{what}: off by {off:.5}");
        assert!(off < 0.02, "{what}: {off}");
        assert!(off > 1e-4, "{what} is not rounded: {off}");
    };
    near("output", &exact.0, &rounded.0);
    near("gradient of the input", &exact.2, &rounded.2);
    for spec in graph.layout.specs() {
        near(&spec.name, &exact.1[spec.range()], &rounded.1[spec.range()]);
    }
    // What only passes through layers of few channels is not rounded.
    let mut stem = GraphBuilder::new("t", Shape::new(8, 8, 3));
    stem.conv("stem", stem.input(), (3, 1, 16), Activation::None);
    let stem = Arc::new(stem.build());
    let params = Params::init(stem.layout.clone(), 1);
    let pixels = |precision| {
        let mut plan = Plan::inference_in(stem.clone(), batch, precision);
        plan.load(&params);
        plan.forward(&input).to_vec()
    };
    assert_eq!(pixels(Precision::F32), pixels(Precision::Bf16));
}

#[test]
fn rounded_inference_is_rounded_training_to_the_bit() {
    let graph = Arc::new(wide_enough());
    let params = Params::init(graph.layout.clone(), 3);
    let input = noise(4 * graph.input_shape().len(), "input");
    let mut training = Plan::training_in(graph.clone(), 4, Precision::Bf16);
    let mut inference = Plan::inference_in(graph, 4, Precision::Bf16);
    training.load(&params);
    inference.load(&params);
    assert_eq!(training.forward(&input), inference.forward(&input));
}

#[test]
fn a_batch_is_its_pictures() {
    let net = Network::new(Family::COMB[0]);
    let params = net.init_encoder(1);
    let len = net.encoder().input_shape().len();
    let input = noise(2 * len, "pictures");
    let mut both = Plan::inference(net.encoder().clone(), 2);
    both.load(&params);
    let codes = both.forward(&input).to_vec();
    let mut one = Plan::inference(net.encoder().clone(), 1);
    one.load(&params);
    for (picture, code) in input.chunks_exact(len).zip(codes.chunks_exact(384)) {
        assert_eq!(one.forward(picture), code);
    }
}

#[test]
fn weights_files_round_trip_and_refuse_what_does_not_fit() {
    let family = Family::COMB[0];
    let net = Network::new(family);
    let params = net.init_decoder(9);
    let bytes = weights_file::to_bytes(family, &params, &BTreeMap::new()).unwrap();
    assert_eq!(weights_file::family_of(&bytes).unwrap(), family);
    let back = weights_file::from_bytes(family, net.decoder_layout(), &bytes).unwrap();
    assert_eq!(back, params);

    let other = weights_file::from_bytes(family, net.encoder_layout(), &bytes).unwrap_err();
    let text = other.to_string();
    assert!(text.contains("`encoder.stem.weight` is missing"), "{text}");

    // The first comb-s-64 had 64 channels at its finest map.
    let mut earlier = GraphBuilder::new("encoder", Shape::new(32, 32, 12));
    earlier.conv("stem", earlier.input(), (3, 1, 64), Activation::None);
    let earlier = Params::init(earlier.build().layout, 1);
    let old = weights_file::to_bytes(family, &earlier, &BTreeMap::new()).unwrap();
    let error = weights_file::from_bytes(family, net.encoder_layout(), &old).unwrap_err();
    assert_eq!(
        error.to_string(),
        "These weights are of comb-s-64 as an earlier stockpot made it; the network of that name has other widths now"
    );
    assert!(error.hint().is_some());

    for cut in [0, 7, 8, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(weights_file::from_bytes(family, net.decoder_layout(), &bytes[..cut]).is_err());
    }
    let mut huge = bytes.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(weights_file::from_bytes(family, net.decoder_layout(), &huge).is_err());
    let mut poisoned = params.clone();
    poisoned.data[5] = f32::NAN;
    let bytes = weights_file::to_bytes(family, &poisoned, &BTreeMap::new()).unwrap();
    assert!(weights_file::from_bytes(family, net.decoder_layout(), &bytes).is_err());
}

/// Buffers are shared between activations and gradients; nothing may read what another left there.
#[test]
fn a_used_plan_equals_a_fresh_one() {
    let families = [
        "comb-s-64".parse().unwrap(),
        Family::classic(3, 64, 8).unwrap(),
    ];
    for (family, precision) in families
        .into_iter()
        .flat_map(|f| [Precision::F32, Precision::Bf16].map(|p| (f, p)))
    {
        let net = Network::new(family);
        let halves = [
            (net.encoder(), net.init_encoder(1)),
            (net.decoder(), net.init_decoder(1)),
        ];
        for (graph, params) in halves {
            let run = |plan: &mut Plan, value: Option<f32>| {
                let fill = |n: usize, what: &str| match value {
                    Some(v) => vec![v; n],
                    None => noise(n, what),
                };
                let input = fill(3 * graph.input_shape().len(), "input");
                let output = plan.forward(&input).to_vec();
                let mut grads = vec![0.0; params.data.len()];
                let grad = fill(output.len(), "gradient");
                let back = plan.backward(&grad, &mut grads, true).to_vec();
                [output, back, grads].concat()
            };
            let plan = || {
                let mut plan = Plan::training_in(graph.clone(), 3, precision);
                plan.load(&params);
                plan
            };
            let (mut fresh, mut used) = (plan(), plan());
            assert!(run(&mut used, Some(f32::NAN)).iter().all(|v| v.is_nan()));
            let (wanted, found) = (run(&mut fresh, None), run(&mut used, None));
            assert!(wanted.iter().all(|v| v.is_finite()));
            assert!(wanted == found, "{family} {precision:?}");
            let mut inference = Plan::inference_in(graph.clone(), 3, precision);
            inference.load(&params);
            let drawn = inference.forward(&noise(3 * graph.input_shape().len(), "input"));
            assert_eq!(drawn, &wanted[..drawn.len()]);
            // Each activation and its gradient in a place of its own.
            let apart: usize = graph.nodes.iter().map(|n| 2 * 3 * 4 * n.shape.len()).sum();
            assert!(10 * fresh.buffer_bytes() < 8 * apart, "{family}");
            assert!(inference.buffer_bytes() < fresh.buffer_bytes());
        }
    }
}
