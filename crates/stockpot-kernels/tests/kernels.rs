//! One test body for every instruction set and both precisions: results against plain f64 loops, gradients against the
//! definition of the adjoint, odd sizes, poisoned inputs.

use proptest::prelude::*;
use stockpot_kernels::weight_grad::{weight_grad_in, weight_grads_in};
use stockpot_kernels::{
    ConvShape, Epilogue, Gather, Isa, PackSource, PackedMatrix, Precision, UpConvShape, matmul,
    pointwise,
};

/// Numbers in -1..1 that look random and repeat.
fn noise(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn conv_reference(s: &ConvShape, x: &[f32], w: &[f32]) -> Vec<f64> {
    let [py, px] = s.pad_before();
    let (oh, ow) = (s.out_h(), s.out_w());
    let mut y = vec![0.0f64; s.batch * oh * ow * s.out_c];
    for b in 0..s.batch {
        for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
            for (ky, kx) in (0..s.kernel).flat_map(|a| (0..s.kernel).map(move |b| (a, b))) {
                let iy = (oy * s.stride + ky) as i64 - py as i64;
                let ix = (ox * s.stride + kx) as i64 - px as i64;
                if iy < 0 || ix < 0 || iy >= s.in_h as i64 || ix >= s.in_w as i64 {
                    continue;
                }
                for c in 0..s.in_c {
                    let v = x[((b * s.in_h + iy as usize) * s.in_w + ix as usize) * s.in_c + c];
                    for n in 0..s.out_c {
                        let k = w[((ky * s.kernel + kx) * s.in_c + c) * s.out_c + n];
                        y[((b * oh + oy) * ow + ox) * s.out_c + n] += f64::from(v) * f64::from(k);
                    }
                }
            }
        }
    }
    y
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

/// Numbers in -1..1 that `precision` holds exactly. Products of two `bf16` are exact in `f32`, so
/// both precisions are held to one tolerance: that of sums in `f32`.
fn noise_in(precision: Precision, n: usize, seed: u64) -> Vec<f32> {
    let mut numbers = noise(n, seed);
    if precision == Precision::Bf16 {
        // To the nearest multiple of 2^-8, ties to even: at most 8 bits, as `bf16` has.
        numbers
            .iter_mut()
            .for_each(|v| *v = (*v * 256.0).round_ties_even() / 256.0);
    }
    numbers
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 2e-5 * scale.max(1.0)
}

/// Forward against f64, then both gradients against `<dy, conv(x)>` being linear in x and in w.
fn check_conv(isa: Isa, s: &ConvShape) {
    check_conv_in(Precision::F32, isa, s);
    check_conv_in(Precision::Bf16, isa, s);
}

fn check_conv_in(precision: Precision, isa: Isa, s: &ConvShape) {
    let x = noise_in(precision, s.batch * s.in_h * s.in_w * s.in_c, 1);
    let w = noise_in(precision, s.weight_len(), 2);
    let forward = s.forward();
    let mut matrix = PackedMatrix::empty_for(isa).rounded_to(precision);
    s.pack_forward(&w, &mut matrix);
    let mut y = vec![f32::NAN; forward.output_len()];
    matmul(&forward, &x, &matrix, Epilogue::NONE, &mut y);
    let wanted = conv_reference(s, &x, &w);
    let scale = (s.kernel * s.kernel * s.in_c) as f64;
    for (found, wanted) in y.iter().zip(&wanted) {
        assert!(
            near(f64::from(*found), *wanted, scale),
            "{isa:?} {precision:?} {s:?}: {found} {wanted}"
        );
    }

    let dy = noise_in(precision, y.len(), 3);
    let product: f64 = wanted.iter().zip(&dy).map(|(y, d)| y * f64::from(*d)).sum();
    let size = (y.len() as f64).sqrt() * scale;

    let mut dx = vec![0.0; x.len()];
    for (gather, taps) in s.input_grad() {
        s.pack_input_grad(&w, &taps, &mut matrix);
        matmul(&gather, &dy, &matrix, Epilogue::NONE, &mut dx);
    }
    assert!(
        near(dot(&dx, &x), product, size),
        "{isa:?} {precision:?} {s:?} input gradient"
    );

    let mut dw = vec![0.0; w.len()];
    weight_grad_in(isa, precision, &forward, &x, &dy, &mut dw);
    assert!(
        near(dot(&dw, &w), product, size),
        "{isa:?} {precision:?} {s:?} weight gradient"
    );
    // It adds: a second call doubles.
    weight_grad_in(isa, precision, &forward, &x, &dy, &mut dw);
    assert!(
        near(dot(&dw, &w), 2.0 * product, size),
        "{isa:?} {precision:?} {s:?} weight gradient adds"
    );
}

#[test]
fn convolutions_of_the_networks_and_odd_ones() {
    let shapes = [
        // batch, h, w, in, out, kernel, stride
        (2, 8, 8, 3, 16, 5, 2),
        (1, 7, 9, 12, 33, 3, 1),
        (3, 6, 5, 17, 48, 3, 2),
        (2, 4, 4, 40, 70, 5, 2),
        (1, 1, 1, 5, 2, 3, 1),
        (1, 2, 3, 1, 1, 1, 1),
        (2, 12, 12, 32, 4, 3, 1),
        (1, 40, 40, 8, 24, 3, 1),
        // Many columns; maps that weight gradients take in several slabs and chunks.
        (1, 3, 5, 2, 1030, 3, 1),
        (3, 30, 41, 40, 24, 3, 1),
        (2, 33, 70, 26, 20, 5, 2),
        (5, 3, 3, 37, 48, 3, 1),
    ];
    for isa in Isa::available() {
        for (batch, in_h, in_w, in_c, out_c, kernel, stride) in shapes {
            check_conv(
                isa,
                &ConvShape {
                    batch,
                    in_h,
                    in_w,
                    in_c,
                    out_c,
                    kernel,
                    stride,
                },
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_convolution(
        batch in 1usize..3, in_h in 1usize..9, in_w in 1usize..9, in_c in 1usize..40,
        out_c in 1usize..70, kernel in 1usize..6, stride in 1usize..3,
    ) {
        for isa in Isa::available() {
            check_conv(isa, &ConvShape { batch, in_h, in_w, in_c, out_c, kernel, stride });
        }
    }
}

#[test]
fn padding_is_tensorflows() {
    let shape = |in_h, kernel, stride| ConvShape {
        batch: 1,
        in_h,
        in_w: in_h,
        in_c: 1,
        out_c: 1,
        kernel,
        stride,
    };
    // Even size, 5x5, stride 2: one before, two after; centred for stride 1.
    for size in [64, 32, 16, 8] {
        assert_eq!(shape(size, 5, 2).pad_before(), [1, 1]);
    }
    assert_eq!(shape(64, 5, 1).pad_before(), [2, 2]);
    assert_eq!(shape(64, 3, 2).pad_before(), [0, 0]);
    assert_eq!(shape(7, 3, 2).pad_before(), [1, 1]);
}

#[test]
fn deep_products_are_cut_into_slices() {
    let precisions = [Precision::F32, Precision::Bf16];
    let all = Isa::available().into_iter();
    for (isa, precision) in all.flat_map(|isa| precisions.map(|p| (isa, p))) {
        let (batch, depth, columns) = (3, 5000, 37);
        let gather = Gather::dense(batch, depth, columns);
        let x = noise_in(precision, batch * depth, 4);
        let w = noise_in(precision, depth * columns, 5);
        let mut matrix = PackedMatrix::empty_for(isa).rounded_to(precision);
        matrix.pack(&PackSource {
            weights: &w,
            tap_offsets: &[0],
            channels: depth,
            channel_stride: columns,
            columns,
            column_stride: 1,
        });
        let bias = noise(columns, 6);
        let mut y = vec![0.0; batch * columns];
        let epilogue = Epilogue {
            bias: Some(&bias),
            slope: 0.1,
            add: false,
        };
        matmul(&gather, &x, &matrix, epilogue, &mut y);
        for b in 0..batch {
            for n in 0..columns {
                let column: Vec<f32> = (0..depth).map(|k| w[k * columns + n]).collect();
                let v = dot(&x[b * depth..][..depth], &column) + f64::from(bias[n]);
                let wanted = if v > 0.0 { v } else { 0.1 * v };
                assert!(
                    near(f64::from(y[b * columns + n]), wanted, 200.0),
                    "{isa:?} {precision:?}"
                );
            }
        }
    }
}

#[test]
fn upconv_is_nearest_doubling_then_3x3() {
    for (h, w, in_c, out_c) in [(4, 4, 16, 32), (1, 3, 5, 7), (5, 2, 33, 4), (24, 20, 18, 6)] {
        let s = UpConvShape {
            batch: 3,
            in_h: h,
            in_w: w,
            in_c,
            out_c,
        };
        for precision in [Precision::F32, Precision::Bf16] {
            check_upconv(precision, &s);
        }
    }
}

fn check_upconv(precision: Precision, s: &UpConvShape) {
    let (h, w, in_c, out_c) = (s.in_h, s.in_w, s.in_c, s.out_c);
    let x = noise_in(precision, s.batch * h * w * in_c, 7);
    // Sums of up to four of these are still exact in `bf16`.
    let mut weights = noise(s.weight_len(), 8);
    weights
        .iter_mut()
        .for_each(|v| *v = (*v * 32.0).round() / 32.0);
    let mut doubled = vec![0.0; 4 * x.len()];
    for (at, out) in doubled.chunks_exact_mut(in_c).enumerate() {
        let (b, rest) = (at / (4 * h * w), at % (4 * h * w));
        let (y, xx) = (rest / (2 * w) / 2, rest % (2 * w) / 2);
        out.copy_from_slice(&x[((b * h + y) * w + xx) * in_c..][..in_c]);
    }
    let plain = ConvShape {
        batch: s.batch,
        in_h: 2 * h,
        in_w: 2 * w,
        in_c,
        out_c,
        kernel: 3,
        stride: 1,
    };
    let wanted = conv_reference(&plain, &doubled, &weights);
    let mut phases = vec![0.0; s.phase_len()];
    s.phases_from_weights(&weights, &mut phases);
    let dy = noise_in(precision, wanted.len(), 9);
    let product: f64 = wanted.iter().zip(&dy).map(|(y, d)| y * f64::from(*d)).sum();
    for isa in Isa::available() {
        let mut y = vec![f32::NAN; wanted.len()];
        let mut matrix = PackedMatrix::empty_for(isa).rounded_to(precision);
        for phase in 0..4 {
            s.pack_forward(&phases, phase, &mut matrix);
            matmul(&s.forward(phase), &x, &matrix, Epilogue::NONE, &mut y);
        }
        for (found, wanted) in y.iter().zip(&wanted) {
            assert!(near(f64::from(*found), *wanted, (9 * in_c) as f64));
        }
        let mut dx = vec![f32::NAN; x.len()];
        s.pack_input_grad(&phases, &mut matrix);
        matmul(&s.input_grad(), &dy, &matrix, Epilogue::NONE, &mut dx);
        assert!(
            near(dot(&dx, &x), product, 1e3),
            "{isa:?} {precision:?} {s:?}"
        );
        let gathers: Vec<Gather> = (0..4).map(|phase| s.forward(phase)).collect();
        let mut phase_grad = vec![0.0; s.phase_len()];
        weight_grads_in(isa, precision, &gathers, &x, &dy, &mut phase_grad);
        let mut dw = vec![0.0; weights.len()];
        s.fold_grad(&phase_grad, &mut dw);
        assert!(
            near(dot(&dw, &weights), product, 1e3),
            "{isa:?} {precision:?} {s:?}"
        );
        if isa == Isa::best() {
            let mut best = vec![0.0; s.phase_len()];
            s.phase_grad_in(precision, &x, &dy, &mut best);
            assert_eq!(best, phase_grad);
        }
    }
}

#[test]
fn epilogue_adds_and_leaks() {
    for isa in Isa::available() {
        let gather = Gather::dense(1, 2, 3);
        let mut matrix = PackedMatrix::empty_for(isa);
        matrix.pack(&PackSource {
            weights: &[1.0, -1.0, 2.0, 0.5, 0.5, -4.0],
            tap_offsets: &[0],
            channels: 2,
            channel_stride: 3,
            columns: 3,
            column_stride: 1,
        });
        // x = (1, 2): sums (2, 0, -6); + bias (1, -1, 0) + old (0, 0, 1) = (3, -1, -5).
        let mut y = [0.0, 0.0, 1.0];
        let epilogue = Epilogue {
            bias: Some(&[1.0, -1.0, 0.0]),
            slope: 0.5,
            add: true,
        };
        matmul(&gather, &[1.0, 2.0], &matrix, epilogue, &mut y);
        assert_eq!(y, [3.0, -0.5, -2.5], "{isa:?}");
    }
}

#[test]
fn few_columns_with_bias_leak_and_sum() {
    // Folded (see `fold`): every column count, kernel and in-picture width around the limits.
    for isa in Isa::available() {
        for (out_c, kernel, in_w) in [(1, 3, 1), (3, 5, 3), (4, 3, 14), (8, 3, 5), (7, 2, 20)] {
            let s = ConvShape {
                batch: 2,
                in_h: 5,
                in_w,
                in_c: 9,
                out_c,
                kernel,
                stride: 1,
            };
            let (gather, w) = (s.forward(), noise(s.weight_len(), 21));
            let (x, bias) = (noise(gather.input_len(), 22), noise(out_c, 23));
            let old = noise(gather.output_len(), 24);
            let mut matrix = PackedMatrix::empty_for(isa);
            s.pack_forward(&w, &mut matrix);
            let mut y = old.clone();
            let epilogue = Epilogue {
                bias: Some(&bias),
                slope: 0.1,
                add: true,
            };
            matmul(&gather, &x, &matrix, epilogue, &mut y);
            for (i, sum) in conv_reference(&s, &x, &w).iter().enumerate() {
                let v = sum + f64::from(old[i]) + f64::from(bias[i % out_c]);
                let wanted = if v > 0.0 { v } else { 0.1 * v };
                assert!(near(f64::from(y[i]), wanted, 10.0), "{isa:?} {s:?}");
            }
        }
    }
}

#[test]
fn bf16_rounds_what_it_is_given() {
    let s = ConvShape {
        batch: 1,
        in_h: 9,
        in_w: 8,
        in_c: 37,
        out_c: 21,
        kernel: 3,
        stride: 1,
    };
    let (gather, w) = (s.forward(), noise(s.weight_len(), 41));
    let (x, dy) = (
        noise(gather.input_len(), 42),
        noise(gather.output_len(), 43),
    );
    let rounded = |v: &[f32]| -> Vec<f32> {
        let upper = |v: &f32| {
            let bits = v.to_bits();
            f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
        };
        v.iter().map(upper).collect()
    };
    for isa in Isa::available() {
        let run = |x: &[f32], w: &[f32], dy: &[f32]| {
            let mut matrix = PackedMatrix::empty_for(isa).rounded_to(Precision::Bf16);
            s.pack_forward(w, &mut matrix);
            let mut y = vec![0.0; gather.output_len()];
            matmul(&gather, x, &matrix, Epilogue::NONE, &mut y);
            let mut dw = vec![0.0; w.len()];
            weight_grad_in(isa, Precision::Bf16, &gather, x, dy, &mut dw);
            [y, dw].concat()
        };
        let (given, exact) = (
            run(&x, &w, &dy),
            run(&rounded(&x), &rounded(&w), &rounded(&dy)),
        );
        assert!(given == exact, "{isa:?}");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize, precision: Precision, s: &ConvShape| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("a pool of threads").install(|| {
            let (gather, w) = (s.forward(), noise(s.weight_len(), 31));
            let x = noise(gather.input_len(), 32);
            let mut matrix = PackedMatrix::empty_in(precision);
            s.pack_forward(&w, &mut matrix);
            let mut y = vec![0.0; gather.output_len()];
            matmul(&gather, &x, &matrix, Epilogue::NONE, &mut y);
            let mut dw = vec![0.0; w.len()];
            weight_grad_in(Isa::best(), precision, &gather, &x, &y, &mut dw);
            [y, dw]
                .concat()
                .iter()
                .map(|v| v.to_bits())
                .collect::<Vec<_>>()
        })
    };
    for (in_c, out_c, kernel, stride) in [
        (3, 40, 5, 2),
        (16, 3, 5, 1),
        (32, 48, 3, 1),
        (200, 180, 3, 1),
    ] {
        let s = ConvShape {
            batch: 2,
            in_h: 24,
            in_w: 22,
            in_c,
            out_c,
            kernel,
            stride,
        };
        for precision in [Precision::F32, Precision::Bf16] {
            assert!(run(1, precision, &s) == run(3, precision, &s), "{s:?}");
        }
    }
}

#[test]
fn poison_comes_through() {
    for isa in Isa::available() {
        let s = ConvShape {
            batch: 1,
            in_h: 3,
            in_w: 3,
            in_c: 2,
            out_c: 3,
            kernel: 3,
            stride: 1,
        };
        let mut x = noise(18, 1);
        x[8] = f32::NAN;
        let w = noise(s.weight_len(), 2);
        let mut matrix = PackedMatrix::empty_for(isa);
        s.pack_forward(&w, &mut matrix);
        let mut y = vec![0.0; 27];
        matmul(&s.forward(), &x, &matrix, Epilogue::NONE, &mut y);
        assert!(
            y.iter().all(|v| v.is_nan()),
            "{isa:?}: the middle pixel reaches every output"
        );
    }
}

#[test]
fn leaky_backward_by_hand() {
    let output = [1.0, -0.1, -2.0, 3.0];
    let mut grad = [1.0, 2.0, 3.0, 4.0];
    let mut bias = [10.0, 20.0];
    pointwise::leaky_backward(&output, 0.5, &mut grad, 2, Some(&mut bias));
    assert_eq!(grad, [1.0, 1.0, 1.5, 4.0]);
    assert_eq!(bias, [12.5, 25.0]);
}

#[test]
fn rms_norm_gradient_by_differences() {
    let x = noise(10, 11);
    let g = noise(10, 12);
    let value = |x: &[f32]| {
        let mut y = vec![0.0; 10];
        pointwise::rms_norm(x, 5, &mut y);
        dot(&y, &g)
    };
    let mut dx = vec![0.0; 10];
    pointwise::rms_norm_backward(&x, &g, 5, &mut dx);
    for i in 0..10 {
        let (mut up, mut down) = (x.clone(), x.clone());
        up[i] += 1e-2;
        down[i] -= 1e-2;
        let slope = (value(&up) - value(&down)) / 2e-2;
        assert!(
            (slope - f64::from(dx[i])).abs() < 2e-3,
            "{i}: {slope} {}",
            dx[i]
        );
    }
}

#[test]
fn shuffles_undo_each_other_and_keep_the_order_of_2018() {
    let x: Vec<f32> = (0..2 * 4 * 6 * 3).map(|v| v as f32).collect();
    let (mut deep, mut back) = (vec![0.0; x.len()], vec![0.0; x.len()]);
    pointwise::space_to_depth(&x, 2, 2, 3, 3, &mut deep);
    pointwise::depth_to_space(&deep, 2, 2, 3, 3, &mut back);
    assert_eq!(back, x);
    // One pixel of 4 channels: block position is slowest, so they become a 2x2 square in reading order.
    let mut square = [0.0; 4];
    pointwise::depth_to_space(&[1.0, 2.0, 3.0, 4.0], 1, 1, 1, 1, &mut square);
    assert_eq!(square, [1.0, 2.0, 3.0, 4.0]);
}
