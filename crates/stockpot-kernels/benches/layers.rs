//! Every direction of the layers of the default and the 2018 network, in f32 and bf16.
//!
//! `cargo bench -p stockpot-kernels [-- FILTER]`, such as `bf16/classic`. "elem/s" are floating-point
//! operations a second; packing counts the weights it lays out.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use stockpot_kernels::weight_grad::weight_grad_in;
use stockpot_kernels::{
    ConvShape, Epilogue, Isa, PackedMatrix, Precision, UpConvShape, matmul, matmul_all,
};

/// Name; batch, side, channels in and out, kernel, stride.
const CONVOLUTIONS: [(&str, [usize; 6]); 15] = [
    ("classic 5x5 by 2, 3 to 128 at 64", [32, 64, 3, 128, 5, 2]),
    (
        "classic 5x5 by 2, 128 to 256 at 32",
        [32, 32, 128, 256, 5, 2],
    ),
    (
        "classic 5x5 by 2, 256 to 512 at 16",
        [32, 16, 256, 512, 5, 2],
    ),
    (
        "classic 5x5 by 2, 512 to 1024 at 8",
        [32, 8, 512, 1024, 5, 2],
    ),
    ("classic 3x3, 1024 to 2048 at 4", [32, 4, 1024, 2048, 3, 1]),
    ("classic 3x3, 512 to 1024 at 8", [16, 8, 512, 1024, 3, 1]),
    ("classic 3x3, 256 to 512 at 16", [16, 16, 256, 512, 3, 1]),
    ("classic 3x3, 128 to 256 at 32", [16, 32, 128, 256, 3, 1]),
    ("classic 5x5, 64 to 3 at 64", [16, 64, 64, 3, 5, 1]),
    ("comb 3x3, 12 to 32 at 48", [32, 48, 12, 32, 3, 1]),
    ("comb 3x3 by 2, 32 to 64 at 48", [32, 48, 32, 64, 3, 2]),
    ("comb 3x3, 128 to 128 at 12", [32, 12, 128, 128, 3, 1]),
    ("comb 3x3, 48 to 48 at 48", [16, 48, 48, 48, 3, 1]),
    ("comb 3x3, 32 to 32 at 96", [16, 96, 32, 32, 3, 1]),
    ("comb 3x3, 32 to 4 at 96", [16, 96, 32, 4, 3, 1]),
];
/// Name; batch, side, channels in and out.
const DOUBLINGS: [(&str, [usize; 4]); 3] = [
    ("comb doubling, 256 to 192 at 6", [16, 6, 256, 192]),
    ("comb doubling, 192 to 96 at 12", [16, 12, 192, 96]),
    ("comb doubling, 48 to 32 at 48", [16, 48, 48, 32]),
];

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn time(group: &mut Group<'_>, name: &str, what: &str, count: usize, mut run: impl FnMut()) {
    group.throughput(Throughput::Elements(count as u64));
    group.bench_function(format!("{name}/{what}"), |b| b.iter(&mut run));
}

fn convolution(group: &mut Group<'_>, precision: Precision, name: &str, numbers: [usize; 6]) {
    let [batch, side, in_c, out_c, kernel, stride] = numbers;
    let shape = ConvShape {
        batch,
        in_h: side,
        in_w: side,
        in_c,
        out_c,
        kernel,
        stride,
    };
    let (forward, weights) = (shape.forward(), vec![0.01; shape.weight_len()]);
    let operations = 2 * forward.rows() * forward.depth() * out_c;
    let input = vec![0.5; forward.input_len()];
    let mut output = vec![0.1; forward.output_len()];
    let mut packed = PackedMatrix::empty_in(precision);
    time(group, name, "pack", weights.len(), || {
        shape.pack_forward(&weights, &mut packed);
    });
    time(group, name, "forward", operations, || {
        matmul(&forward, &input, &packed, Epilogue::NONE, &mut output);
    });
    let taps = shape.input_grad().into_iter().map(|(gather, taps)| {
        let mut packed = PackedMatrix::empty_in(precision);
        shape.pack_input_grad(&weights, &taps, &mut packed);
        (gather, packed)
    });
    let taps: Vec<_> = taps.collect();
    let all: Vec<_> = taps
        .iter()
        .map(|(gather, packed)| (gather, packed))
        .collect();
    let mut gradient = vec![0.0; input.len()];
    time(group, name, "input gradient", operations, || {
        matmul_all(&all, &output, Epilogue::NONE, &mut gradient);
    });
    let mut gradient = vec![0.0; weights.len()];
    time(group, name, "weight gradient", operations, || {
        weight_grad_in(
            Isa::best(),
            precision,
            &forward,
            &input,
            &output,
            &mut gradient,
        );
    });
}

fn doubling(group: &mut Group<'_>, precision: Precision, name: &str, numbers: [usize; 4]) {
    let [batch, side, in_c, out_c] = numbers;
    let shape = UpConvShape {
        batch,
        in_h: side,
        in_w: side,
        in_c,
        out_c,
    };
    let weights = vec![0.01; shape.weight_len()];
    let mut phases = vec![0.0; shape.phase_len()];
    shape.phases_from_weights(&weights, &mut phases);
    let forward: [_; 4] = std::array::from_fn(|phase| shape.forward(phase));
    let operations = 8 * forward[0].rows() * forward[0].depth() * out_c;
    let input = vec![0.5; forward[0].input_len()];
    let mut output = vec![0.1; forward[0].output_len()];
    let mut packed: [_; 4] = std::array::from_fn(|_| PackedMatrix::empty_in(precision));
    time(group, name, "pack", phases.len(), || {
        for (phase, packed) in packed.iter_mut().enumerate() {
            shape.pack_forward(&phases, phase, packed);
        }
    });
    let all: [_; 4] = std::array::from_fn(|phase| (&forward[phase], &packed[phase]));
    time(group, name, "forward", operations, || {
        matmul_all(&all, &input, Epilogue::NONE, &mut output);
    });
    let mut back = PackedMatrix::empty_in(precision);
    shape.pack_input_grad(&phases, &mut back);
    let (gather, mut gradient) = (shape.input_grad(), vec![0.0; input.len()]);
    time(group, name, "input gradient", operations, || {
        matmul(&gather, &output, &back, Epilogue::NONE, &mut gradient);
    });
    let mut gradient = vec![0.0; phases.len()];
    time(group, name, "weight gradient", operations, || {
        shape.phase_grad_in(precision, &input, &output, &mut gradient);
    });
}

fn layers(criterion: &mut Criterion) {
    println!(
        "{} threads, {}",
        rayon::current_num_threads(),
        Isa::best().name()
    );
    for (precision, title) in [(Precision::F32, "f32"), (Precision::Bf16, "bf16")] {
        let mut group = criterion.benchmark_group(title);
        for (name, numbers) in CONVOLUTIONS {
            convolution(&mut group, precision, name, numbers);
        }
        for (name, numbers) in DOUBLINGS {
            doubling(&mut group, precision, name, numbers);
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = layers
}
criterion_main!(benches);
