use super::*;

const R: u32 = 64;
const SIDE: usize = 80;

/// A made-up cached face: red rises with x, green with y, the mask is a disc.
fn planes() -> (Vec<u8>, Vec<u8>) {
    let (mut rgbm, mut importance) = (Vec::new(), Vec::new());
    for y in 0..SIDE {
        for x in 0..SIDE {
            let far = (x as f32 - 39.5).hypot(y as f32 - 39.5) > 25.0;
            rgbm.extend([
                x as u8 * 3,
                y as u8 * 3,
                (x * 37 + y * 91) as u8,
                if far { 0 } else { 255 },
            ]);
            importance.push(if y == 30 {
                0xf0
            } else if y == 50 {
                0x0f
            } else {
                0
            });
        }
    }
    (rgbm, importance)
}

struct Drawn {
    input: Vec<f32>,
    target: Vec<f32>,
    mask: Vec<f32>,
    weight: Vec<f32>,
}

fn draw(shot: &Shot, warp: &Warp) -> Drawn {
    let (rgbm, importance) = planes();
    let face = CachedFace {
        side: SIDE,
        rgbm: &rgbm,
        importance: &importance,
    };
    let r = R as usize;
    let mut d = Drawn {
        input: vec![9.0; r * r * 3],
        target: vec![9.0; r * r * 3],
        mask: vec![9.0; r * r],
        weight: vec![9.0; r * r],
    };
    let (table, lut) = (WarpTable::new(R), Lut::plain());
    draw_input(&face, r, shot, warp, &table, &lut, &mut d.input);
    let emphasis = Emphasis {
        eyes: 2.0,
        mouth: 1.0,
    };
    draw_target(
        &face,
        r,
        shot,
        emphasis,
        &lut,
        (&mut d.target, &mut d.mask, &mut d.weight),
    );
    d
}

#[test]
fn undisturbed_samples_are_the_cached_bytes() {
    let d = draw(&Shot::plain(R), &Warp::NONE);
    let (rgbm, _) = planes();
    for y in 0..64 {
        for x in 0..64 {
            let cached = &rgbm[((y + 8) * SIDE + x + 8) * 4..][..4];
            let at = y * 64 + x;
            let wanted = [cached[0], cached[1], cached[2]].map(|v| f32::from(v) / 255.0);
            assert_eq!(d.target[at * 3..][..3], wanted);
            assert_eq!(d.mask[at], f32::from(cached[3]) / 255.0);
        }
    }
    assert_eq!(d.input, d.target);
    // Row 30 of the cache is row 22 of the sample: eyes 1 + 2, mouth (row 50, 42) 1 + 1.
    let weight = |x: usize, y: usize| d.weight[y * 64 + x];
    assert_eq!(
        [
            weight(32, 22),
            weight(32, 42),
            weight(32, 30),
            weight(0, 22)
        ],
        [3.0, 2.0, 1.0, 1.0]
    );
}

#[test]
fn input_equals_target_to_the_bit_under_any_jitter_without_warp() {
    for (angle, scale, shift, flip) in [
        (0.1, 1.03, [2.5, -1.25], false),
        (-0.17, 0.95, [-3.0, 3.0], true),
        (0.0, 1.0, [0.0, 0.0], true),
    ] {
        let d = draw(&Shot::new(R, angle, scale, shift, flip), &Warp::NONE);
        assert_eq!(d.input, d.target);
    }
}

#[test]
fn a_flip_mirrors_exactly() {
    let plain = draw(&Shot::plain(R), &Warp::NONE);
    let flipped = draw(&Shot::new(R, 0.0, 1.0, [0.0; 2], true), &Warp::NONE);
    for y in 0..64 {
        for x in 0..64 {
            assert_eq!(
                flipped.target[(y * 64 + x) * 3],
                plain.target[(y * 64 + 63 - x) * 3]
            );
            assert_eq!(flipped.weight[y * 64 + x], plain.weight[y * 64 + 63 - x]);
        }
    }
}

/// The cache place that sample pixel (x, y) shows, from the ramps.
fn place(d: &[f32], x: usize, y: usize) -> (f32, f32) {
    let at = (y * 64 + x) * 3;
    (d[at] * 255.0 / 3.0, d[at + 1] * 255.0 / 3.0)
}

#[test]
fn jitter_turns_about_the_middle() {
    let quarter = Shot::new(R, std::f64::consts::FRAC_PI_2, 1.0, [0.0; 2], false);
    let d = draw(&quarter, &Warp::NONE);
    // (x, y) shows centre + (-(y - 31.5), x - 31.5).
    for (x, y) in [(10, 20), (31, 40), (60, 3)] {
        let (sx, sy) = place(&d.target, x, y);
        assert!((sx - (39.5 - (y as f32 - 31.5))).abs() < 1e-3);
        assert!((sy - (39.5 + (x as f32 - 31.5))).abs() < 1e-3);
    }
    let larger = draw(&Shot::new(R, 0.0, 2.0, [1.0, -2.0], false), &Warp::NONE);
    let (sx, sy) = place(&larger.target, 41, 21);
    assert!((sx - (39.5 + 9.5 / 2.0 + 1.0)).abs() < 1e-3);
    assert!((sy - (39.5 - 10.5 / 2.0 - 2.0)).abs() < 1e-3);
}

#[test]
fn a_linear_warp_is_drawn_exactly_up_to_the_edges() {
    // Nodes moved along a linear field: Catmull-Rom, continued straight, gives it back everywhere.
    let mut warp = Warp::NONE;
    for j in 0..NODES {
        for i in 0..NODES {
            warp.x[j][i] = 0.5 * i as f32 - 1.0;
            warp.y[j][i] = 0.25 * j as f32 + 0.1 * i as f32;
        }
    }
    let d = draw(&Shot::plain(R), &warp);
    for (x, y) in [(0, 0), (5, 60), (31, 32), (63, 63)] {
        let (u, v) = ((x as f32 + 0.5) / 16.0, (y as f32 + 0.5) / 16.0);
        let (sx, sy) = place(&d.input, x, y);
        assert!(
            (sx - (x as f32 + 8.0 + 0.5 * u - 1.0)).abs() < 2e-3,
            "{x} {y} {sx}"
        );
        assert!(
            (sy - (y as f32 + 8.0 + 0.25 * v + 0.1 * u)).abs() < 2e-3,
            "{x} {y} {sy}"
        );
    }
    assert_eq!(place(&d.target, 5, 60).0.round(), 13.0);
}

#[test]
fn warp_weights_sum_to_one_and_hit_the_nodes() {
    let table = WarpTable::new(R);
    for pixel in 0..64 {
        let sum: f32 = table.weights.iter().map(|w| w[pixel]).sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }
    // Node 2 lies between pixels 31 and 32: it counts nearly all there.
    assert!(table.weights[2][31] > 0.99 && table.weights[2][32] > 0.99);
}

#[test]
fn noise_keeps_no_similarity_and_no_bias() {
    let mut rng = Rng::stream(1, "test", 0);
    let (mut square, mut count) = (0.0f64, 0.0);
    for _ in 0..200 {
        let warp = Warp::random(2.0, &mut rng);
        let again = warp.without_similarity();
        for j in 0..NODES {
            for i in 0..NODES {
                assert!((warp.x[j][i] - again.x[j][i]).abs() < 1e-4);
                square += f64::from(warp.x[j][i] * warp.x[j][i] + warp.y[j][i] * warp.y[j][i]);
                count += 2.0;
            }
        }
    }
    // Of 50 numbers 4 are taken out: the spread is 2 * sqrt(46 / 50).
    let spread = (square / count).sqrt();
    assert!(
        (spread - 2.0 * (46.0f64 / 50.0).sqrt()).abs() < 0.03,
        "{spread}"
    );
    // Over many warps the input is on average where the target is: no constant shift.
    let (mut off, n) = (0.0, 60);
    for _ in 0..n {
        let d = draw(&Shot::plain(R), &Warp::random(2.0, &mut rng));
        let all = (8..56).flat_map(|y| (8..56).map(move |x| (x, y)));
        off += all
            .map(|(x, y)| place(&d.input, x, y).0 - place(&d.target, x, y).0)
            .sum::<f32>()
            / 2304.0;
    }
    assert!((off / n as f32).abs() < 0.05, "{off}");
}

#[test]
fn extreme_maps_stay_inside_the_face() {
    for shot in [
        Shot::new(R, 3.0, 0.01, [1e6, -1e6], true),
        Shot::new(R, 0.0, 1e-30, [0.0; 2], false),
        Shot { m: [f32::NAN; 6] },
    ] {
        let d = draw(&shot, &Warp::random(50.0, &mut Rng::stream(0, "x", 0)));
        assert!(
            d.input
                .iter()
                .chain(&d.target)
                .all(|v| (0.0..=1.0).contains(v))
        );
    }
}

#[test]
fn colours_change_within_their_limits_and_by_hand() {
    let settings = SamplerSettings::default();
    for n in 0..50 {
        let lut = Lut::random(&settings, &mut Rng::stream(3, "colour", n));
        for channel in &lut.channels {
            assert!(channel.windows(2).all(|w| w[0] <= w[1]));
            let middle = channel[128];
            assert!((0.36..=0.66).contains(&middle), "{middle}");
        }
    }
    let none = Lut::random(&SamplerSettings::plain(), &mut Rng::stream(3, "colour", 0));
    assert_eq!(none, Lut::plain());
}
