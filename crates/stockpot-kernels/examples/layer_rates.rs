//! Prints the rate of each direction of the layers of the default and the 2018 network.
//!
//! `cargo run --release -p stockpot-kernels --example layer_rates [bf16]`

use std::time::Instant;

use stockpot_kernels::weight_grad::weight_grad_in;
use stockpot_kernels::{
    ConvShape, Epilogue, Isa, PackedMatrix, Precision, UpConvShape, matmul, matmul_all,
};

/// The best of nine: others may be at work here.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    (0..9)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

fn conv(precision: Precision, name: &str, s: ConvShape) {
    let (f, w) = (s.forward(), vec![0.01; s.weight_len()]);
    let x = vec![0.5; f.input_len()];
    let mut y = vec![0.1; f.output_len()];
    let gflop = 2.0 * (f.rows() * f.depth() * f.out_c) as f64 / 1e9;
    let mut m = PackedMatrix::empty_in(precision);
    let pack = best(|| s.pack_forward(&w, &mut m));
    let forward = best(|| matmul(&f, &x, &m, Epilogue::NONE, &mut y));
    let mut dx = vec![0.0; x.len()];
    let grads: Vec<_> = s
        .input_grad()
        .into_iter()
        .map(|(g, taps)| {
            let mut m = PackedMatrix::empty_in(precision);
            s.pack_input_grad(&w, &taps, &mut m);
            (g, m)
        })
        .collect();
    let input = best(|| {
        let all: Vec<_> = grads.iter().map(|(g, m)| (g, m)).collect();
        matmul_all(&all, &y, Epilogue::NONE, &mut dx);
    });
    let pack_back = best(|| {
        for (_, taps) in s.input_grad() {
            s.pack_input_grad(&w, &taps, &mut m);
        }
    });
    let mut dw = vec![0.0; w.len()];
    let weight = best(|| weight_grad_in(Isa::best(), precision, &f, &x, &y, &mut dw));
    print(name, gflop, [pack, pack_back, forward, input, weight]);
}

fn upconv(precision: Precision, name: &str, s: UpConvShape) {
    let w = vec![0.01; s.weight_len()];
    let mut phases = vec![0.0; s.phase_len()];
    s.phases_from_weights(&w, &mut phases);
    let x = vec![0.5; s.forward(0).input_len()];
    let mut y = vec![0.1; s.forward(0).output_len()];
    let gflop = 8.0 * (s.forward(0).rows() * s.forward(0).depth() * s.out_c) as f64 / 1e9;
    let mut m: Vec<_> = (0..4).map(|_| PackedMatrix::empty_in(precision)).collect();
    let pack = best(|| (0..4).for_each(|p| s.pack_forward(&phases, p, &mut m[p])));
    let forward: Vec<_> = (0..4).map(|p| s.forward(p)).collect();
    let forward = best(|| {
        let all: [_; 4] = std::array::from_fn(|p| (&forward[p], &m[p]));
        matmul_all(&all, &x, Epilogue::NONE, &mut y);
    });
    let mut back = PackedMatrix::empty_in(precision);
    s.pack_input_grad(&phases, &mut back);
    let mut dx = vec![0.0; x.len()];
    let input = best(|| matmul(&s.input_grad(), &y, &back, Epilogue::NONE, &mut dx));
    let pack_back = best(|| s.pack_input_grad(&phases, &mut back));
    let mut dw = vec![0.0; s.phase_len()];
    let weight = best(|| s.phase_grad_in(precision, &x, &y, &mut dw));
    print(name, gflop, [pack, pack_back, forward, input, weight]);
}

fn print(name: &str, gflop: f64, secs: [f64; 5]) {
    println!(
        "{name:34} {gflop:7.2} GFLOP  pack {:6.2} and {:6.2} ms  forward {:6.1}  input grad {:6.1}  weight grad {:6.1} GFLOP/s",
        secs[0] * 1e3,
        secs[1] * 1e3,
        gflop / secs[2],
        gflop / secs[3],
        gflop / secs[4],
    );
}

fn main() {
    let precision = match std::env::args().nth(1).as_deref() {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    println!(
        "{} threads, {}, {precision:?}",
        rayon::current_num_threads(),
        Isa::best().name()
    );
    let c = |batch, side, in_c, out_c, kernel, stride| ConvShape {
        batch,
        in_h: side,
        in_w: side,
        in_c,
        out_c,
        kernel,
        stride,
    };
    conv(
        precision,
        "classic 5x5/2 3->128 at 64",
        c(32, 64, 3, 128, 5, 2),
    );
    conv(
        precision,
        "classic 5x5/2 128->256 at 32",
        c(32, 32, 128, 256, 5, 2),
    );
    conv(
        precision,
        "classic 5x5/2 256->512 at 16",
        c(32, 16, 256, 512, 5, 2),
    );
    conv(
        precision,
        "classic 5x5/2 512->1024 at 8",
        c(32, 8, 512, 1024, 5, 2),
    );
    conv(
        precision,
        "classic 3x3 1024->2048 at 4",
        c(32, 4, 1024, 2048, 3, 1),
    );
    conv(
        precision,
        "classic 3x3 512->1024 at 8",
        c(16, 8, 512, 1024, 3, 1),
    );
    conv(
        precision,
        "classic 3x3 256->512 at 16",
        c(16, 16, 256, 512, 3, 1),
    );
    conv(
        precision,
        "classic 3x3 128->256 at 32",
        c(16, 32, 128, 256, 3, 1),
    );
    conv(precision, "classic 5x5 64->3 at 64", c(16, 64, 64, 3, 5, 1));
    conv(precision, "comb 3x3 12->32 at 48", c(32, 48, 12, 32, 3, 1));
    conv(
        precision,
        "comb 3x3/2 32->64 at 48",
        c(32, 48, 32, 64, 3, 2),
    );
    conv(
        precision,
        "comb 3x3 128->128 at 12",
        c(32, 12, 128, 128, 3, 1),
    );
    conv(precision, "comb 3x3 48->48 at 48", c(16, 48, 48, 48, 3, 1));
    conv(precision, "comb 3x3 32->32 at 96", c(16, 96, 32, 32, 3, 1));
    conv(precision, "comb 3x3 32->4 at 96", c(16, 96, 32, 4, 3, 1));
    let u = |batch, side, in_c, out_c| UpConvShape {
        batch,
        in_h: side,
        in_w: side,
        in_c,
        out_c,
    };
    upconv(precision, "comb up 256->192 at 6", u(16, 6, 256, 192));
    upconv(precision, "comb up 192->96 at 12", u(16, 12, 192, 96));
    upconv(precision, "comb up 48->32 at 48", u(16, 48, 48, 32));
}
