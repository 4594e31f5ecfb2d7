//! Prints how long forward and backward of every preset take.
//!
//! `cargo run --release -p stockpot-model --example step_rate [BATCH [bf16 [FAMILY]]]`: medians of five
//! rounds without loss and optimiser. The whole step: `step_speed` of stockpot-train.

use std::time::Instant;

use stockpot_kernels::Precision;
use stockpot_model::{Family, Network, Plan};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let batch: usize = words.first().and_then(|a| a.parse().ok()).unwrap_or(16);
    let precision = match words.get(1).map(String::as_str) {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    println!("{precision:?}, {} threads", rayon::current_num_threads());
    for family in Family::COMB.into_iter().chain([Family::CLASSIC]) {
        if words.get(2).is_some_and(|w| *w != family.to_string()) {
            continue;
        }
        let net = Network::new(family);
        let (ep, dp) = (net.init_encoder(1), net.init_decoder(1));
        let mut encoder = Plan::training_in(net.encoder().clone(), 2 * batch, precision);
        let mut decoders: Vec<Plan> = (0..2)
            .map(|_| Plan::training_in(net.decoder().clone(), batch, precision))
            .collect();
        let input = vec![0.5f32; 2 * batch * net.encoder().input_shape().len()];
        let code = net.encoder().output_shape().len() * batch;
        let grad = vec![1e-3f32; batch * net.decoder().output_shape().len()];
        let mut eg = vec![0.0f32; ep.data.len()];
        let mut dg = vec![0.0f32; dp.data.len()];
        let (mut load, mut forward, mut backward) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..6 {
            let t = Instant::now();
            encoder.load(&ep);
            decoders.iter_mut().for_each(|d| d.load(&dp));
            load.push(t.elapsed().as_secs_f64());
            let t = Instant::now();
            let codes = encoder.forward(&input).to_vec();
            for (d, c) in decoders.iter_mut().zip(codes.chunks_exact(code)) {
                d.forward(c);
            }
            forward.push(t.elapsed().as_secs_f64());
            let t = Instant::now();
            let mut code_grad = Vec::new();
            for d in &mut decoders {
                code_grad.extend_from_slice(d.backward(&grad, &mut dg, true));
            }
            encoder.backward(&code_grad, &mut eg, false);
            backward.push(t.elapsed().as_secs_f64());
        }
        let median = |v: &mut Vec<f64>| {
            // The first round finds fresh memory.
            v.remove(0);
            v.sort_by(f64::total_cmp);
            v[v.len() / 2]
        };
        let (l, f, b) = (
            median(&mut load),
            median(&mut forward),
            median(&mut backward),
        );
        let madds = net.encoder().multiply_adds() + net.decoder().multiply_adds();
        let gflop = 6.0 * madds as f64 * 2.0 * batch as f64 / 1e9;
        println!(
            "{family}: batch {batch}+{batch}: pack {:.0} ms, forward {:.0} ms, backward {:.0} ms, {:.1} pairs/s, {:.0} GFLOP/s; encoder {:.1} M, decoder {:.1} M weights; {:.2} GFLOP per picture; buffers {:.0} MB",
            l * 1e3,
            f * 1e3,
            b * 1e3,
            batch as f64 / (l + f + b),
            gflop / (l + f + b),
            ep.data.len() as f64 / 1e6,
            dp.data.len() as f64 / 1e6,
            6.0 * madds as f64 / 1e9,
            (encoder.buffer_bytes() + 2 * decoders[0].buffer_bytes()) as f64 / 1e6,
        );
    }
}
