//! What the mark must withstand, on made-up pictures. How much it withstands on real ones is
//! measured by the example `mark_strength`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use stockpot_core::warp::{fit_inside, resize};
use stockpot_core::{Image, Rgb8, Rgb16, Rng, Size, picture};
use stockpot_mark::{Detector, Error, Found, MIN_MARKED_PX, MarkId, Marker};

fn id(n: u64) -> MarkId {
    let [a, b, c, d, e, f, ..] = Rng::stream(5, "mark test", n).next_u64().to_be_bytes();
    MarkId::new([a, b, c, d, e, f])
}

/// A picture with a slow sky, textures of several sizes, hard edges and noise.
fn scene(size: Size, seed: u64) -> Rgb8 {
    let mut rng = Rng::stream(seed, "mark test scene", 0);
    let mut grids: Vec<(f32, Vec<f32>)> = Vec::new();
    for cell in [4.0, 9.0, 23.0, 61.0] {
        grids.push((cell, (0..256 * 256).map(|_| rng.normal()).collect()));
    }
    let discs: Vec<[f32; 5]> = (0..14)
        .map(|_| {
            let (w, h) = (size.width as f32, size.height as f32);
            [
                rng.range(0.0, w),
                rng.range(0.0, h),
                rng.range(10.0, 0.2 * w),
                rng.range(-60.0, 60.0),
                rng.range(0.0, 1.0),
            ]
        })
        .collect();
    let mut out = Rgb8::new(size);
    for y in 0..size.height {
        for x in 0..size.width {
            let (fx, fy) = (x as f32, y as f32);
            let mut level = 150.0 - 60.0 * fy / size.height as f32;
            let mut rough = (fy / size.height as f32 - 0.3).max(0.0);
            for [cx, cy, radius, step, roughness] in &discs {
                if (fx - cx).powi(2) + (fy - cy).powi(2) < radius * radius {
                    level += step;
                    rough = *roughness;
                }
            }
            for (cell, values) in &grids {
                level += rough * 1.2 * cell.sqrt() * smooth(values, fx / cell, fy / cell);
            }
            level += 1.2 * rng.normal();
            let colour = [level + 12.0, level, level - 15.0];
            out.set_pixel(x, y, colour.map(|v| v.round().clamp(0.0, 255.0) as u8));
        }
    }
    out
}

fn smooth(values: &[f32], x: f32, y: f32) -> f32 {
    let at = |i: usize, j: usize| values[(j % 256) * 256 + i % 256];
    let (i, j) = (x as usize, y as usize);
    let (u, v) = (x.fract(), y.fract());
    let top = at(i, j) * (1.0 - u) + at(i + 1, j) * u;
    let bottom = at(i, j + 1) * (1.0 - u) + at(i + 1, j + 1) * u;
    top * (1.0 - v) + bottom * v
}

fn marked(size: Size, seed: u64) -> Rgb8 {
    let mut picture = scene(size, seed);
    Marker::new(id(seed)).apply(&mut picture).unwrap();
    picture
}

fn found(frames: &[Rgb8]) -> Option<Found> {
    let mut detector = Detector::new();
    frames.iter().for_each(|f| detector.push(f).unwrap());
    let verdict = detector.finish();
    assert_eq!(verdict.frames, frames.len() as u64);
    verdict.found
}

/// That the mark of `seed` is in the picture, and the rest of what is told of it.
fn check(picture: &Rgb8, seed: u64) -> Found {
    let hit = found(std::slice::from_ref(picture))
        .unwrap_or_else(|| panic!("no mark, {}", picture.size()));
    assert_eq!(hit.id, id(seed));
    assert_eq!(hit.frames, 1);
    hit
}

fn cut(picture: &Rgb8, left: u32, top: u32, size: Size) -> Rgb8 {
    let mut out = Rgb8::new(size);
    for y in 0..size.height {
        for x in 0..size.width {
            out.set_pixel(x, y, picture.pixel(left + x, top + y));
        }
    }
    out
}

fn mirrored(picture: &Rgb8) -> Rgb8 {
    let Size { width, height } = picture.size();
    let mut out = Rgb8::new(picture.size());
    for y in 0..height {
        for x in 0..width {
            out.set_pixel(x, y, picture.pixel(width - 1 - x, y));
        }
    }
    out
}

fn jpeg(picture: &Rgb8, quality: u8) -> Rgb8 {
    picture::from_bytes(
        &picture::to_jpeg(picture, quality).unwrap(),
        Path::new("x.jpg"),
    )
    .unwrap()
}

fn psnr(a: &Rgb8, b: &Rgb8) -> f64 {
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let sum: f64 = a.data().iter().zip(b.data()).map(square).sum();
    10.0 * (255.0f64.powi(2) * a.data().len() as f64 / sum).log10()
}

#[test]
fn a_mark_is_read_again_and_can_hardly_be_seen() {
    for (seed, size) in [
        (1, Size::square(512)),
        (2, Size::new(333, 541)),
        (3, Size::square(256)),
    ] {
        let (plain, picture) = (scene(size, seed), marked(size, seed));
        let quality = psnr(&plain, &picture);
        assert!(quality > 42.0, "{quality} dB");
        let hit = check(&picture, seed);
        assert!((hit.scale_percent - 100.0).abs() < 1.0 && !hit.mirrored);
    }
}

#[test]
fn it_withstands_cropping_and_mirroring() {
    let picture = marked(Size::square(512), 1);
    check(&cut(&picture, 37, 21, Size::new(461, 461)), 1);
    check(&cut(&picture, 101, 150, Size::new(300, 280)), 1);
    assert!(check(&mirrored(&picture), 1).mirrored);
}

#[test]
fn it_withstands_scaling() {
    let picture = marked(Size::square(640), 4);
    for side in [320, 451, 900] {
        let size = Size::square(side);
        let scaled = if side < 640 {
            fit_inside(&picture, size)
        } else {
            resize(&picture, size)
        };
        let hit = check(&scaled, 4);
        let percent = side as f32 / 6.4;
        assert!(
            (hit.scale_percent / percent - 1.0).abs() < 0.01,
            "{}",
            hit.scale_percent
        );
    }
    check(&resize(&picture, Size::new(640, 622)), 4);
}

#[test]
fn it_withstands_compression_and_a_screenshot() {
    let picture = marked(Size::square(512), 5);
    check(&jpeg(&picture, 75), 5);
    check(&jpeg(&cut(&picture, 13, 7, Size::square(460)), 75), 5);
    let shown = fit_inside(&picture, Size::square(437));
    let mut screen = Rgb8::new(Size::new(520, 500));
    screen.data_mut().fill(43);
    screen.paste(&cut(&shown, 5, 3, Size::new(425, 430)), 61, 40);
    check(&jpeg(&screen, 90), 5);
}

/// Strong compression that no single frame survives, dropped and doubled frames.
#[test]
fn frames_add_up_in_any_order() {
    let marker = Marker::new(id(6));
    let frames: Vec<Rgb8> = (0..10)
        .map(|n| {
            let mut frame = cut(
                &scene(Size::new(400, 300), 6),
                14 * n,
                8 * n,
                Size::new(256, 224),
            );
            marker.apply(&mut frame).unwrap();
            jpeg(&frame, 18)
        })
        .collect();
    let alone = frames
        .iter()
        .filter(|f| found(std::slice::from_ref(*f)).is_some());
    assert!(alone.count() < 6);
    let order = [9, 0, 0, 1, 3, 3, 5, 6, 8, 7, 4];
    let retimed: Vec<Rgb8> = order.iter().map(|n| frames[*n].clone()).collect();
    let hit = found(&retimed).unwrap();
    assert_eq!((hit.id, hit.frames), (id(6), 11));
}

#[test]
fn sixteen_bits_are_marked_as_eight_are() {
    let plain = scene(Size::square(384), 7);
    let deep = plain.data().iter().map(|v| u16::from(*v) * 257).collect();
    let mut deep: Rgb16 = Image::from_vec(plain.size(), deep).unwrap();
    Marker::new(id(7)).apply(&mut deep).unwrap();
    assert_eq!(deep.to_rgb8(), marked(plain.size(), 7));
    let mut detector = Detector::new();
    detector.push(&deep).unwrap();
    assert_eq!(detector.finish().found.unwrap().id, id(7));
}

#[test]
fn large_frames_carry_a_larger_tile() {
    let size = Size::new(1500, 1460);
    let picture = marked(size, 8);
    let hit = check(&picture, 8);
    assert!(
        (hit.scale_percent - 200.0).abs() < 1.0,
        "{}",
        hit.scale_percent
    );
    let half = Size::new(750, 730);
    assert!((check(&fit_inside(&picture, half), 8).scale_percent - 100.0).abs() < 1.0);
}

#[test]
fn clean_and_even_pictures_give_none() {
    for seed in 20..26 {
        assert_eq!(found(&[scene(Size::square(320), seed)]), None);
    }
    for level in [0, 128, 255] {
        let mut even = Rgb8::new(Size::new(200, 300));
        even.data_mut().fill(level);
        assert_eq!(found(&[even.clone()]), None);
        Marker::new(id(9)).apply(&mut even).unwrap();
        if level == 0 {
            // In black the mark is weaker than a level: there it is given up rather than seen.
            assert!(even.data().iter().all(|v| *v <= 1));
        } else {
            // The pattern is all there is; of white the half that is not cut off is enough.
            check(&even, 9);
        }
    }
    assert_eq!(Detector::new().finish().found, None);
}

#[test]
fn what_cannot_be_done_is_told() {
    let marker = Marker::new(id(1));
    for (width, height) in [(0, 0), (1, 1), (127, 500), (500, 127)] {
        let mut tiny = Rgb8::new(Size::new(width, height));
        let error = marker.apply(&mut tiny).unwrap_err();
        assert!(matches!(
            error,
            Error::TooSmall {
                min_px: MIN_MARKED_PX,
                ..
            }
        ));
        assert!(error.to_string().contains("128 px or more") && error.hint().is_some());
    }
    let mut detector = Detector::new();
    let small = detector.push(&Rgb8::new(Size::new(63, 500))).unwrap_err();
    assert!(matches!(small, Error::TooSmallToSearch { .. }));
    let long = detector
        .push(&Rgb8::new(Size::new(16_385, 64)))
        .unwrap_err();
    assert!(matches!(long, Error::TooLarge { .. }));
    detector.push(&Rgb8::new(Size::new(100, 100))).unwrap();
    let changed = detector.push(&Rgb8::new(Size::new(100, 101))).unwrap_err();
    assert!(matches!(changed, Error::SizeChanged { .. }));
    assert_eq!(detector.finish().frames, 1);
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let picture = marked(Size::new(391, 300), 10);
            let hit = found(&[picture.clone(), jpeg(&picture, 60)]).unwrap();
            (picture, hit)
        })
    };
    assert!(with(1) == with(3));
}
