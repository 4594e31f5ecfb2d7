//! The passes of a step around the networks: the update beside the memory it has to move, and the
//! loss with its gradient.
//!
//! `cargo bench -p stockpot-train`. The update reads and writes five buffers once (weights, both
//! moments, running mean, gradient); "memory" does the same and computes next to nothing.

#![expect(clippy::unwrap_used, reason = "sizes are right")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use stockpot_train::loss::{Comparison, LossScratch, LossWeights, ScaleWeights, face_loss};
use stockpot_train::optim::{AdamSettings, AdamStep, Slots, update};

/// Numbers that are updated: more than any cache holds.
const NUMBERS: usize = 1 << 24;
/// Numbers in a piece, as in the update.
const PIECE: usize = 1 << 15;

fn updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("update");
    group.throughput(Throughput::Bytes(10 * 4 * NUMBERS as u64));
    let mut buffers: [Vec<f32>; 5] = std::array::from_fn(|_| vec![0.5; NUMBERS]);
    group.bench_function("memory", |b| {
        b.iter(|| {
            let [p, q, r, s, t] = &mut buffers;
            p.par_chunks_mut(PIECE)
                .zip(q.par_chunks_mut(PIECE))
                .zip(r.par_chunks_mut(PIECE))
                .zip(s.par_chunks_mut(PIECE))
                .zip(t.par_chunks_mut(PIECE))
                .for_each(|((((p, q), r), s), t)| {
                    stockpot_kernels::vectorise(|| {
                        let rest = q.iter_mut().zip(r).zip(s.iter_mut().zip(t));
                        for (p, ((q, r), (s, t))) in p.iter_mut().zip(rest) {
                            (*p, *q, *r, *s, *t) = (*q, *r, *s, *t, *p);
                        }
                    });
                });
            black_box(buffers[0][0])
        });
    });
    drop(buffers);
    let mut slots = Slots::new(vec![0.1; NUMBERS]);
    let mut gradient = vec![1e-3; NUMBERS];
    let settings = AdamSettings {
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        ema_decay: 0.999,
    };
    let step = AdamStep::new(&settings, 100, 1e-4, 1.0);
    group.bench_function("adam", |b| {
        b.iter(|| update(&step, &mut slots, &mut gradient));
    });
    group.finish();
}

fn losses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loss");
    for side in [64usize, 96, 128] {
        let (images, pixels) = (32, side * side);
        let wave = |count: usize, speed: f32| -> Vec<f32> {
            (0..count)
                .map(|i| 0.5 + 0.4 * (speed * i as f32).sin())
                .collect()
        };
        let prediction = wave(images * pixels * 4, 0.013);
        let target = wave(images * pixels * 3, 0.017);
        let mask = vec![1.0; images * pixels];
        let faces = Comparison {
            side,
            channels: 4,
            prediction: &prediction,
            target: &target,
            mask: &mask,
            weight: &[],
        };
        let weights = LossWeights {
            ssim_share: 0.84,
            scales: ScaleWeights::Even,
            background: 0.1,
            mask: 0.2,
        };
        let mut gradient = vec![0.0; prediction.len()];
        group.throughput(Throughput::Elements(images as u64));
        let mut scratch = LossScratch::new(side, 2 * rayon::current_num_threads()).unwrap();
        group.bench_function(format!("{side} px"), |b| {
            b.iter(|| face_loss(&mut scratch, &weights, &faces, &mut gradient).unwrap());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = updates, losses
}
criterion_main!(benches);
