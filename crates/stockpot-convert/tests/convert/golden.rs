//! One small picture of the whole way, kept in the repository and made by this program.
//!
//! On a difference, `expected | difference | actual` is written to the target folder.
//! `STOCKPOT_UPDATE_GOLDEN=1` (read here only) writes the picture anew; say in the commit why.

use std::path::{Path, PathBuf};

use stockpot_convert::{ColourMatch, ConvertSettings, SheetRow, contact_sheet, measure, paste};
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::picture;

use crate::scene::{Drawn, frame, placement};

/// Levels by which processors may differ in rounding.
const TOLERANCE: u8 = 2;

#[test]
fn a_face_pasted_matched_and_shown() {
    let original: Rgb8 = frame(Size::new(96, 72), 50.0, 12);
    let mut drawn = Drawn::flat([0.45, 0.5, 0.6], placement((46.0, 36.0), 44.0, 0.3, 32));
    // Eyes and mouth, so that place, turn and sharpness show.
    for (x, y, w, h) in [(10, 12, 4, 2), (19, 12, 4, 2), (12, 21, 9, 2)] {
        for row in y..y + h {
            drawn.rgb[(row * 32 + x) * 3..][..w * 3].fill(0.15);
        }
    }
    let settings = ConvertSettings {
        // The patch is blue-grey: only this takes on the whole difference.
        colour_match: ColourMatch::Skin,
        sharpen: 0.3,
        ..ConvertSettings::default()
    };
    let stats = measure(&original, &drawn.patch(), &settings)
        .unwrap()
        .unwrap();
    let mut swapped = original.clone();
    paste(
        &mut swapped,
        &drawn.patch(),
        &stats.single_picture(),
        &settings,
    )
    .unwrap();
    let row = SheetRow {
        frame: 1207,
        original: &original,
        swapped: &swapped,
    };
    check(
        "pasted_face",
        &contact_sheet(&[row], original.size()).unwrap(),
    );
}

fn check(name: &str, actual: &Rgb8) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.png"));
    if std::env::var_os("STOCKPOT_UPDATE_GOLDEN").is_some() {
        let png = picture::to_png(actual).unwrap();
        assert!(png.len() <= 20 * 1024, "{} bytes are too many", png.len());
        picture::write_whole(&path, &png).unwrap();
        return;
    }
    let expected = picture::load(&path).unwrap();
    assert_eq!(
        expected.size(),
        actual.size(),
        "the size of {name} has changed"
    );
    let pairs = || expected.data().iter().zip(actual.data());
    let worst = pairs().map(|(e, a)| e.abs_diff(*a)).max().unwrap_or(0);
    let count = pairs().filter(|(e, a)| e.abs_diff(**a) > TOLERANCE).count();
    if count > 0 {
        let shown = write_difference(name, &expected, actual);
        panic!(
            "{name}: {count} values differ, by up to {worst} levels; see {}",
            shown.display()
        );
    }
}

/// Expected, difference (eightfold) and actual, side by side.
fn write_difference(name: &str, expected: &Rgb8, actual: &Rgb8) -> PathBuf {
    let size = expected.size();
    let difference = expected.data().iter().zip(actual.data());
    let difference = difference
        .map(|(e, a)| e.abs_diff(*a).saturating_mul(8))
        .collect();
    let difference = Rgb8::from_vec(size, difference).unwrap();
    let mut sheet = Rgb8::new(Size::new(size.width * 3, size.height));
    for (k, part) in [expected, &difference, actual].into_iter().enumerate() {
        sheet.paste(part, size.width * k as u32, 0);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.difference.png"));
    picture::save(&sheet, &path).unwrap();
    path
}
