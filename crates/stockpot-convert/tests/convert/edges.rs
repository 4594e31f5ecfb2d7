//! Soft edges, faces that leave the frame, broken numbers, wrong input.

use stockpot_convert::{
    ColourFix, ConvertSettings, Error, FacePatch, MaskMode, Placement, cut, measure, paste,
};
use stockpot_core::image::{Rgb8, Rgb16, Size};
use stockpot_core::space::Affine;

use crate::scene::{Drawn, frame, placement, whole_square};

const WHITE: [f32; 3] = [1.0; 3];

/// White pasted on black shows the mask itself.
fn mask_of(size: Size, drawn: &Drawn, settings: &ConvertSettings) -> Rgb16 {
    let mut picture = Rgb16::new(size);
    paste(&mut picture, &drawn.patch(), &ColourFix::NONE, settings).unwrap();
    picture
}

#[test]
fn the_feather_rises_inward_and_has_its_width() {
    let size = Size::new(320, 320);
    for percent in [1.0, 4.0, 10.0] {
        let settings = ConvertSettings {
            feather_percent: percent,
            erode_percent: 0.0,
            oval_grow_percent: 0.0,
            ..ConvertSettings::default()
        };
        let drawn = Drawn::flat(WHITE, placement((160.0, 160.0), 200.0, 0.0, 64));
        let mask = mask_of(size, &drawn, &settings);
        let line: Vec<f32> = (0..160)
            .map(|x| f32::from(mask.pixel(x, 160)[0]) / 65535.0)
            .collect();
        assert!(line.windows(2).all(|w| w[1] >= w[0] - 1e-4), "{line:?}");
        assert_eq!(line[159], 1.0);
        // The oval's edge is at column 60; the ramp ends `percent` of 200 px further in.
        let first = line.iter().position(|v| *v > 0.01).unwrap();
        let full = line.iter().position(|v| *v > 0.99).unwrap();
        let wanted = 2.0 * percent;
        assert!(
            (59..=60 + percent as usize).contains(&first),
            "{percent}: {first}"
        );
        assert!(
            (full as f32 - 60.0 - wanted).abs() < 2.5 + 0.2 * wanted,
            "{percent}: {full}"
        );
    }
}

#[test]
fn both_masks_hold_together() {
    let size = Size::new(320, 320);
    let mut drawn = Drawn::flat(WHITE, placement((160.0, 160.0), 160.0, 0.0, 64));
    // The decoder says: nothing in the right half.
    for (i, m) in drawn.mask.iter_mut().enumerate() {
        *m = f32::from(u8::from(i % 64 < 32));
    }
    let at = |mode: MaskMode, x: u32| {
        let settings = ConvertSettings {
            mask: mode,
            feather_percent: 4.0,
            ..ConvertSettings::default()
        };
        mask_of(size, &drawn, &settings).pixel(x, 160)[0]
    };
    // Columns 200 and 120 lie in the oval, 50 only in the area (its side is 237 px).
    assert_eq!(
        (at(MaskMode::Both, 120), at(MaskMode::Both, 200)),
        (65535, 0)
    );
    assert_eq!(
        (at(MaskMode::Oval, 120), at(MaskMode::Oval, 200)),
        (65535, 65535)
    );
    assert_eq!(
        (at(MaskMode::Both, 60), at(MaskMode::Decoder, 60)),
        (0, 65535)
    );
}

#[test]
fn a_face_half_outside_keeps_its_inside() {
    let size = Size::new(200, 200);
    for (x, y) in [
        (0.0, 100.0),
        (200.0, 100.0),
        (100.0, 0.0),
        (100.0, 200.0),
        (3.0, 196.0),
    ] {
        let before: Rgb8 = frame(size, 30.0, 3);
        let drawn = Drawn::flat([0.2, 0.8, 0.2], placement((x, y), 100.0, 0.2, 64));
        let mut after = before.clone();
        let settings = ConvertSettings::default();
        let report = paste(&mut after, &drawn.patch(), &ColourFix::NONE, &settings).unwrap();
        assert!(report.pixels > 1000);
        // The frame's border is no edge of the mask: green up to the last pixel.
        let (cx, cy) = ((x as u32).min(199), (y as u32).min(199));
        assert_eq!(after.pixel(cx, cy), [51, 204, 51], "{x} {y}");
        measure(&before, &drawn.patch(), &settings).unwrap();
    }
    let mut picture: Rgb8 = frame(size, 30.0, 3);
    let before = picture.clone();
    let far = Drawn::flat(WHITE, placement((-5000.0, 90_000.0), 100.0, 0.2, 64));
    let settings = ConvertSettings::default();
    let report = paste(&mut picture, &far.patch(), &ColourFix::NONE, &settings).unwrap();
    assert_eq!((report.pixels, report.bounds), (0, None));
    assert_eq!(picture, before);
    assert_eq!(measure(&picture, &far.patch(), &settings).unwrap(), None);
    let mut out = vec![0.0; far.placement.rgb_len()];
    cut(&picture, &far.placement, &mut out).unwrap();
    assert!(out.iter().all(|v| (0.0..=1.0).contains(v)));
}

#[test]
fn tiny_frames_can_be_cut_and_pasted() {
    for (w, h) in [(1, 1), (2, 1), (1, 7), (5, 3)] {
        let mut picture: Rgb8 = frame(Size::new(w, h), 30.0, 1);
        let colour = picture.pixel(0, 0);
        let drawn = Drawn::cut_from(&picture, placement((0.5, 0.5), 40.0, 0.1, 16));
        assert!((drawn.rgb[0] * 255.0 - f32::from(colour[0])).abs() < 20.0);
        paste(
            &mut picture,
            &drawn.patch(),
            &ColourFix::NONE,
            &whole_square(),
        )
        .unwrap();
    }
}

#[test]
fn what_is_not_a_number_never_reaches_the_frame() {
    let size = Size::new(300, 300);
    for (width, resolution) in [(20.0, 128), (60.0, 64), (200.0, 32)] {
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let before: Rgb8 = frame(size, 60.0, 8);
            let place = placement((150.0, 150.0), width, 0.5, resolution);
            let mut drawn = Drawn::cut_from(&before, place);
            let middle = (resolution * resolution / 2 + resolution / 2) as usize;
            drawn.rgb[middle * 3 + 1] = poison;
            drawn.mask[middle / 2] = poison;
            let mut after = before.clone();
            let settings = ConvertSettings {
                sharpen: 0.5,
                ..ConvertSettings::default()
            };
            let report = paste(&mut after, &drawn.patch(), &ColourFix::NONE, &settings).unwrap();
            assert_eq!(report.bad_values, 2);
            assert!(report.pixels > 0);
            // Whatever was pasted came from sound pixels, which show the frame itself.
            for (a, b) in before.data().iter().zip(after.data()) {
                assert!(a.abs_diff(*b) <= 14, "{width} {resolution}: {a} {b}");
            }
            let stats = measure(&before, &drawn.patch(), &settings).unwrap();
            let finite = |s: stockpot_convert::ColourStats| {
                s.match_log.iter().flatten().all(|v| v.is_finite())
                    && s.level_log.iter().all(|v| v.is_finite())
            };
            assert!(stats.is_none_or(finite));
        }
    }
    let mut picture: Rgb8 = frame(size, 60.0, 8);
    let before = picture.clone();
    let drawn = Drawn::flat([f32::NAN; 3], placement((150.0, 150.0), 100.0, 0.0, 16));
    let settings = ConvertSettings::default();
    let report = paste(&mut picture, &drawn.patch(), &ColourFix::NONE, &settings).unwrap();
    assert_eq!((report.bad_values, report.pixels), (256, 0));
    assert_eq!(picture, before);
}

#[test]
fn wrong_input_is_an_error_and_leaves_the_frame() {
    let good = placement((50.0, 50.0), 60.0, 0.0, 16);
    let drawn = Drawn::flat(WHITE, good);
    let settings = ConvertSettings::default();
    let mut picture = Rgb8::new(Size::new(100, 100));
    let check = |picture: &mut Rgb8, patch: &FacePatch, settings: &ConvertSettings| {
        let error = paste(picture, patch, &ColourFix::NONE, settings).unwrap_err();
        assert!(picture.data().iter().all(|v| *v == 0));
        assert!(!error.to_string().ends_with('.'));
        error
    };
    let with = |placement: Placement| FacePatch {
        placement,
        ..drawn.patch()
    };
    for rows in [
        [0.0; 6],
        [1.0, 2.0, 0.0, 2.0, 4.0, 0.0],
        [f64::NAN, 0.0, 0.0, 0.0, 1.0, 0.0],
        [1e9, 0.0, 0.0, 0.0, 1e9, 0.0],
        [1e-9, 0.0, 0.0, 0.0, 1e-9, 0.0],
    ] {
        let patch = with(Placement {
            face_from_frame: Affine::from_rows(rows),
            ..good
        });
        let error = check(&mut picture, &patch, &settings);
        assert!(matches!(error, Error::Transform { .. }) && error.hint().is_some());
        assert!(cut(&picture, &patch.placement, &mut vec![0.0; 768]).is_err());
    }
    for resolution in [0, 7, 1 << 20, u32::MAX] {
        let error = refused_resolution(good, resolution);
        assert!(
            matches!(error, Error::Resolution { .. } | Error::Length { .. }),
            "{error}"
        );
    }
    let short = FacePatch {
        mask: &drawn.mask[1..],
        ..drawn.patch()
    };
    assert_eq!(
        check(&mut picture, &short, &settings).to_string(),
        "The mask of a 16 px patch has 256 numbers, found 255"
    );
    let bare = FacePatch {
        oval: None,
        ..drawn.patch()
    };
    let error = check(&mut picture, &bare, &settings);
    assert!(matches!(error, Error::NoOval { mode: "both" }) && error.hint().is_some());
    let loud = ConvertSettings {
        sharpen: f32::NAN,
        ..settings.clone()
    };
    assert!(matches!(
        check(&mut picture, &drawn.patch(), &loud),
        Error::Setting {
            name: "sharpen",
            ..
        }
    ));
    let mut empty = Rgb8::new(Size::new(0, 9));
    let error = paste(&mut empty, &drawn.patch(), &ColourFix::NONE, &settings).unwrap_err();
    assert!(matches!(error, Error::EmptyFrame { .. }));
}

fn refused_resolution(good: Placement, resolution: u32) -> Error {
    let place = Placement { resolution, ..good };
    cut(&Rgb8::new(Size::new(9, 9)), &place, &mut []).unwrap_err()
}
