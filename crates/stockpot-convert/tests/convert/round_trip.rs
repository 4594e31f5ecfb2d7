//! Cut and paste again: the grid is right, the rest of the frame is untouched, 16 bits stay.

use stockpot_convert::{ColourFix, ConvertSettings, cut, paste};
use stockpot_core::image::{Rgb8, Rgb16, Size};
use stockpot_core::rng::Rng;

use crate::scene::{Drawn, frame, placement, psnr, whole_square};

const SIZE: Size = Size::new(320, 400);

#[test]
fn an_unchanged_patch_gives_the_frame_back() {
    let mut rng = Rng::stream(1, "round trip", 0);
    for i in 0..16 {
        let width = f64::from(rng.range(50.0, 180.0));
        let centre = (
            f64::from(rng.range(100.0, 220.0)),
            f64::from(rng.range(120.0, 280.0)),
        );
        let resolution = [48, 64, 96, 128][i % 4];
        let place = placement(centre, width, f64::from(rng.range(-3.0, 3.0)), resolution);
        // Waves of ten patch pixels or more can be carried; finer ones are lost by any patch.
        let period = (10.0 * place.area_side_px() / f64::from(resolution)).max(10.0) as f32;
        let before: Rgb8 = frame(SIZE, period, i as u64);
        let drawn = Drawn::cut_from(&before, place);
        let mut after = before.clone();
        let report = paste(
            &mut after,
            &drawn.patch(),
            &ColourFix::NONE,
            &whole_square(),
        )
        .unwrap();
        let bounds = report.bounds.unwrap();
        let db = psnr(&before, &after, bounds);
        // 40 dB are 2.5 levels; a shift of half a patch pixel would give about 28 dB.
        assert!(db > 40.0, "case {i}: {db:.1} dB, {place:?}");
        assert_eq!(report.bad_values, 0);
    }
}

#[test]
fn a_ramp_is_cut_at_pixel_centres() {
    // Red rises by one level a column: at frame place x it is x - 0.5.
    let mut ramp = Rgb8::new(Size::new(200, 200));
    for y in 0..200 {
        for x in 0..200 {
            ramp.set_pixel(x, y, [x as u8, y as u8, 0]);
        }
    }
    for (width, resolution) in [(80.0, 32), (80.0, 96), (30.0, 64)] {
        let place = placement((101.3, 98.6), width, 0.4, resolution);
        let mut out = vec![0.0; place.rgb_len()];
        cut(&ramp, &place, &mut out).unwrap();
        let frame_from_net = place.frame_from_net().unwrap();
        for (i, pixel) in out.chunks_exact(3).enumerate() {
            let (x, y) = (i as u32 % resolution, i as u32 / resolution);
            let p = frame_from_net.apply(stockpot_core::space::Point::new(
                f64::from(x) + 0.5,
                f64::from(y) + 0.5,
            ));
            assert!((f64::from(pixel[0]) * 255.0 - (p.x - 0.5)).abs() < 0.02);
            assert!((f64::from(pixel[1]) * 255.0 - (p.y - 0.5)).abs() < 0.02);
        }
    }
}

#[test]
fn outside_of_the_mask_every_bit_stays() {
    let before: Rgb8 = frame(SIZE, 3.0, 5);
    let mut after = before.clone();
    let drawn = Drawn::flat([1.0, 0.0, 1.0], placement((150.0, 180.0), 120.0, 0.3, 64));
    let settings = ConvertSettings::default();
    let report = paste(&mut after, &drawn.patch(), &ColourFix::NONE, &settings).unwrap();
    let [left, top, right, bottom] = report.bounds.unwrap();
    // The grown oval: 1.04 times as wide as the face, and turned by a bit.
    assert!((right - left) as f64 <= 1.2 * 120.0 && (bottom - top) as f64 <= 1.5 * 120.0);
    let mut changed = 0;
    for y in 0..SIZE.height {
        for x in 0..SIZE.width {
            let differs = before.pixel(x, y) != after.pixel(x, y);
            let inside = (left..right).contains(&x) && (top..bottom).contains(&y);
            assert!(inside || !differs, "({x}, {y})");
            changed += usize::from(differs);
        }
    }
    assert!(changed <= report.pixels && changed * 10 > report.pixels * 9);
}

#[test]
fn sixteen_bits_stay_outside_and_are_used_inside() {
    let before: Rgb16 = frame(SIZE, 40.0, 9);
    let mut after = before.clone();
    let place = placement((160.0, 200.0), 140.0, -0.2, 96);
    let drawn = Drawn::cut_from(&before, place);
    let settings = ConvertSettings::default();
    let report = paste(&mut after, &drawn.patch(), &ColourFix::NONE, &settings).unwrap();
    let [left, top, right, bottom] = report.bounds.unwrap();
    let mut fine = 0;
    for y in 0..SIZE.height {
        for x in 0..SIZE.width {
            if (left..right).contains(&x) && (top..bottom).contains(&y) {
                fine += usize::from(!after.pixel(x, y)[0].is_multiple_of(257));
            } else {
                assert_eq!(before.pixel(x, y), after.pixel(x, y));
            }
        }
    }
    // Eight bits blown up to sixteen would be multiples of 257.
    assert!(fine * 10 > report.pixels * 9);
    let db = psnr(&before, &after, [left, top, right, bottom]);
    // Beyond what eight bits can hold (their rounding alone is 59 dB).
    assert!(db > 60.0, "{db:.1} dB");
}
