//! Colour: a cast goes away, wobble and noise are calmed, light is followed.

use stockpot_convert::{
    ColourFix, ColourSmoother, ColourStats, ConvertSettings, Error, measure, paste, smooth_colour,
};
use stockpot_core::image::{Rgb8, Size};

use crate::scene::{Drawn, frame, placement};

const SIZE: Size = Size::new(260, 300);

fn place() -> stockpot_convert::Placement {
    placement((130.0, 150.0), 130.0, 0.15, 64)
}

/// Mean absolute difference in levels over the changed rectangle, per channel.
fn error(a: &Rgb8, b: &Rgb8, [left, top, right, bottom]: [u32; 4]) -> [f64; 3] {
    let n = f64::from((right - left) * (bottom - top));
    std::array::from_fn(|c| {
        let columns = |y| (left..right).map(move |x| (x, y));
        (top..bottom)
            .flat_map(columns)
            .map(|(x, y)| f64::from(a.pixel(x, y)[c].abs_diff(b.pixel(x, y)[c])))
            .sum::<f64>()
            / n
    })
}

#[test]
fn a_colour_cast_is_removed() {
    let truth: Rgb8 = frame(SIZE, 40.0, 2);
    let settings = ConvertSettings::default();
    for gain in [[1.1, 1.0, 0.9], [0.9, 1.1, 1.1], [0.8, 0.8, 0.8]] {
        let drawn = Drawn::cut_from(&truth, place()).tinted(gain);
        let stats = measure(&truth, &drawn.patch(), &settings).unwrap().unwrap();
        for (plane, gain) in stats.match_log.iter().zip(gain) {
            assert!((plane[0] + gain.ln()).abs() < 0.01, "{stats:?}");
        }
        let paste_with = |fix: ColourFix, strength: f32| {
            let mut after = truth.clone();
            let settings = ConvertSettings {
                colour_strength: strength,
                ..settings.clone()
            };
            let report = paste(&mut after, &drawn.patch(), &fix, &settings).unwrap();
            error(&truth, &after, report.bounds.unwrap())
        };
        let raw = paste_with(ColourFix::NONE, 1.0);
        let half = paste_with(stats.single_picture(), 0.5);
        let fixed = paste_with(stats.single_picture(), 1.0);
        assert!(fixed.iter().all(|e| *e < 0.8), "{raw:?} {fixed:?}");
        let sum = |e: [f64; 3]| e.iter().sum::<f64>();
        assert!(sum(fixed) < 0.15 * sum(raw), "{raw:?} {fixed:?}");
        assert!(sum(half) < 0.7 * sum(raw) && sum(half) > sum(fixed));
        assert_eq!(paste_with(stats.single_picture(), 0.0), raw);
    }
}

#[test]
fn a_light_slope_is_followed() {
    let truth: Rgb8 = frame(SIZE, 40.0, 4);
    let settings = ConvertSettings::default();
    let mut drawn = Drawn::cut_from(&truth, place());
    for (i, pixel) in drawn.rgb.chunks_exact_mut(3).enumerate() {
        // 20 % darker to the left edge of the square, 20 % brighter to the right.
        let u = (i % 64) as f32 / 31.5 - 1.0;
        for v in pixel {
            *v *= 1.0 + 0.2 * u;
        }
    }
    let stats = measure(&truth, &drawn.patch(), &settings).unwrap().unwrap();
    for plane in stats.match_log {
        assert!((plane[1] + 0.2).abs() < 0.03, "{stats:?}");
        assert!(plane[0].abs() < 0.03 && plane[2].abs() < 0.02, "{stats:?}");
    }
}

#[test]
fn too_little_to_measure_says_nothing() {
    let settings = ConvertSettings::default();
    let black = Rgb8::new(SIZE);
    let drawn = Drawn::flat([0.5; 3], place());
    assert_eq!(measure(&black, &drawn.patch(), &settings).unwrap(), None);
    let skin: Rgb8 = frame(SIZE, 40.0, 4);
    let mut empty = Drawn::flat([0.5; 3], place());
    empty.mask.fill(0.0);
    assert_eq!(measure(&skin, &empty.patch(), &settings).unwrap(), None);
}

fn stats(match_level: f32, level: f32) -> ColourStats {
    ColourStats {
        match_log: [[match_level, 0.0, 0.0]; 3],
        level_log: [level; 3],
        ring_pixels: 500.0,
    }
}

/// Half the distance between the largest and the smallest gain.
fn swing(fixes: &[ColourFix]) -> f32 {
    let gains = || {
        fixes
            .iter()
            .map(|f| f.gain(0, 0.0, 0.0, &ConvertSettings::default()))
    };
    (gains().fold(f32::MIN, f32::max) - gains().fold(f32::MAX, f32::min)) / 2.0
}

#[test]
fn noise_of_the_measurement_is_smoothed() {
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let noisy: Vec<_> = (0..60)
        .map(|i| Some(stats(0.1 + 0.03 * sign(i), 0.0)))
        .collect();
    let fixes = smooth_colour(&noisy, 3.0);
    // Of 3 %: a fiftieth is left inside of the clip, a fifth at its very ends.
    assert!(
        swing(&fixes[6..54]) < 0.03 / 50.0,
        "{}",
        swing(&fixes[6..54])
    );
    assert!(swing(&fixes) < 0.03 / 5.0, "{}", swing(&fixes));
    assert!((fixes[30].gain(0, 0.0, 0.0, &ConvertSettings::default()) - 0.1f32.exp()).abs() < 1e-3);
}

#[test]
fn smoothing_has_no_delay() {
    let step: Vec<_> = (0..41)
        .map(|i| Some(stats(if i < 20 { 0.0 } else { 0.2 }, 0.0)))
        .collect();
    let fixes = smooth_colour(&step, 3.0);
    for k in 0..15 {
        let (before, after) = (fixes[19 - k].match_log[0][0], fixes[20 + k].match_log[0][0]);
        assert!((before + after - 0.2).abs() < 1e-5);
    }
}

#[test]
fn the_networks_wobble_is_taken_out_of_the_pasted_face() {
    let truth: Rgb8 = frame(SIZE, 40.0, 6);
    let settings = ConvertSettings::default();
    let wobble = |i: usize| if i.is_multiple_of(2) { 1.03 } else { 0.97 };
    let patches: Vec<Drawn> = (0..13)
        .map(|i| Drawn::cut_from(&truth, place()).tinted([1.05 * wobble(i); 3]))
        .collect();
    let measured: Vec<_> = patches
        .iter()
        .map(|p| measure(&truth, &p.patch(), &settings).unwrap())
        .collect();
    let fixes = smooth_colour(&measured, 3.0);
    let level = |i: usize, fix: ColourFix| {
        let mut after = truth.clone();
        paste(&mut after, &patches[i].patch(), &fix, &settings).unwrap();
        (120..140)
            .map(|x| f64::from(after.pixel(x, 150)[0]))
            .sum::<f64>()
            / 20.0
    };
    let raw = level(6, ColourFix::NONE) - level(7, ColourFix::NONE);
    let calm = level(6, fixes[6]) - level(7, fixes[7]);
    // 6 % of about 150 levels before; less than a tenth of that after.
    assert!(
        raw.abs() > 7.0 && calm.abs() < 0.1 * raw.abs(),
        "{raw} {calm}"
    );
}

#[test]
fn a_flash_of_light_is_no_wobble() {
    // Scene and patch both get 5 % brighter in frame 6: the correction must not take that back.
    let settings = ConvertSettings::default();
    let measured: Vec<_> = (0..13)
        .map(|i| {
            let light = if i == 6 { 1.05 } else { 1.0 };
            let mut scene: Rgb8 = frame(SIZE, 40.0, 6);
            let drawn = Drawn::cut_from(&scene, place()).tinted([0.9 * light; 3]);
            for v in scene.data_mut() {
                *v = (f32::from(*v) * light).round() as u8;
            }
            measure(&scene, &drawn.patch(), &settings).unwrap()
        })
        .collect();
    let fix = smooth_colour(&measured, 3.0)[6];
    for c in 0..3 {
        let gain = fix.gain(c, 0.0, 0.0, &ConvertSettings::default());
        assert!((gain * 0.9 - 1.0).abs() < 0.005, "{fix:?}");
    }
}

#[test]
fn gaps_and_broken_measurements_are_bridged() {
    let mut track: Vec<_> = (0..21).map(|_| Some(stats(0.1, 0.0))).collect();
    track[9] = None;
    track[10] = Some(stats(f32::NAN, 0.0));
    for fix in smooth_colour(&track, 3.0) {
        assert!((fix.gain(1, 0.5, 0.5, &ConvertSettings::default()) - 0.1f32.exp()).abs() < 1e-5);
    }
    assert_eq!(smooth_colour(&[None, None], 3.0), [ColourFix::NONE; 2]);
    assert_eq!(smooth_colour(&[], 3.0), []);
}

#[test]
fn the_stream_gives_what_the_whole_track_gives() {
    let settings = ConvertSettings::default();
    let track: Vec<_> = (0..40)
        .map(|i| (i % 7 != 3).then(|| stats((i as f32 * 0.7).sin() * 0.2, (i as f32).cos() * 0.05)))
        .collect();
    let whole = smooth_colour(&track, settings.colour_sigma_frames);
    let mut smoother = ColourSmoother::new(&settings).unwrap();
    let mut streamed = Vec::new();
    for (i, s) in track.iter().enumerate() {
        let ready = smoother.push(100 + i as u64, *s).unwrap();
        // After frame 6 every push completes one frame, six back.
        assert_eq!(ready.len(), usize::from(i >= 6));
        assert!(smoother.waiting() <= 6);
        streamed.extend(ready);
    }
    streamed.extend(smoother.finish());
    assert_eq!(streamed.len(), 40);
    for (i, ((frame, fix), wanted)) in streamed.iter().zip(&whole).enumerate() {
        assert_eq!(*frame, 100 + i as u64);
        for c in 0..3 {
            assert!((fix.match_log[c][0] - wanted.match_log[c][0]).abs() < 1e-6);
            assert!((fix.wobble_log[c] - wanted.wobble_log[c]).abs() < 1e-6);
        }
    }
    assert_eq!(smoother.waiting(), 0);
    smoother.push(3, None).unwrap();
    let late = smoother.push(3, None);
    assert_eq!(late, Err(Error::Order { frame: 3, last: 3 }));
    // A jump completes all that waits before it.
    assert_eq!(smoother.push(900, None).unwrap().len(), 1);
}
