//! A picture to look at before a long conversion: pairs of filmed and swapped frames, one below the
//! other. Knows nothing of files; the caller saves what it gets. Start at [`contact_sheet`].

use stockpot_core::image::{Rgb8, Size};
use stockpot_core::picture::MAX_SIDE;
use stockpot_core::warp::fit_inside;

use crate::digits::draw_number;
use crate::error::Error;

/// Pixels between and around the pictures.
const GAP: u32 = 4;
/// Colour of the sheet.
const BACKGROUND: u8 = 32;

/// One row of a [`contact_sheet`].
#[derive(Debug, Clone, Copy)]
pub struct SheetRow<'a> {
    /// Number of the frame, written into the corner.
    pub frame: u64,
    /// The frame as filmed, on the left.
    pub original: &'a Rgb8,
    /// The frame with the face put in, on the right.
    pub swapped: &'a Rgb8,
}

/// One row per pair, filmed on the left, swapped on the right, each shrunk (never enlarged) to fit
/// inside `cell` and labelled with its frame number.
///
/// # Errors
/// [`Error::Sheet`] without rows or cells, or if a side would be longer than a picture may be.
pub fn contact_sheet(rows: &[SheetRow], cell: Size) -> Result<Rgb8, Error> {
    let refused = || Error::Sheet {
        rows: rows.len(),
        cell,
        max_side: MAX_SIDE,
    };
    if rows.is_empty() || cell.pixels() == 0 || rows.iter().any(is_empty) {
        return Err(refused());
    }
    let side = |cells: u64, length: u32| -> Result<u32, Error> {
        let total = cells
            .checked_mul(u64::from(length) + u64::from(GAP))
            .map(|t| t + u64::from(GAP));
        total
            .filter(|t| *t <= u64::from(MAX_SIDE))
            .and_then(|t| u32::try_from(t).ok())
            .ok_or_else(refused)
    };
    let size = Size::new(side(2, cell.width)?, side(rows.len() as u64, cell.height)?);
    let mut sheet = Rgb8::new(size);
    sheet.data_mut().fill(BACKGROUND);
    // A label takes about a tenth of the height, at least one pixel a dot.
    let scale = (cell.height / 90).max(1);
    for (i, row) in rows.iter().enumerate() {
        let top = GAP + i as u32 * (cell.height + GAP);
        for (k, picture) in [row.original, row.swapped].into_iter().enumerate() {
            let small = fit_inside(picture, cell);
            let left = GAP + k as u32 * (cell.width + GAP);
            let centred = |outer: u32, inner: u32| (outer - inner.min(outer)) / 2;
            sheet.paste(
                &small,
                left + centred(cell.width, small.size().width),
                top + centred(cell.height, small.size().height),
            );
        }
        draw_number(&mut sheet, row.frame, GAP, top, scale);
    }
    Ok(sheet)
}

fn is_empty(row: &SheetRow) -> bool {
    row.original.size().pixels() == 0 || row.swapped.size().pixels() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(width: u32, height: u32, level: u8) -> Rgb8 {
        let mut picture = Rgb8::new(Size::new(width, height));
        picture.data_mut().fill(level);
        picture
    }

    #[test]
    fn pairs_stand_side_by_side() {
        let (a, b) = (flat(200, 100, 90), flat(200, 100, 180));
        let row = |frame| SheetRow {
            frame,
            original: &a,
            swapped: &b,
        };
        let sheet = contact_sheet(&[row(3), row(40)], Size::new(100, 50)).unwrap();
        assert_eq!(sheet.size(), Size::new(212, 112));
        for top in [4, 58] {
            assert_eq!(sheet.pixel(60, top + 40), [90; 3]);
            assert_eq!(sheet.pixel(160, top + 40), [180; 3]);
            // The plate of the number.
            assert_eq!(sheet.pixel(4, top), [0; 3]);
        }
        assert_eq!(sheet.pixel(106, 20), [BACKGROUND; 3]);
    }

    #[test]
    fn empty_and_huge_sheets_are_refused() {
        let a = flat(2, 2, 1);
        let row = SheetRow {
            frame: 0,
            original: &a,
            swapped: &a,
        };
        assert!(contact_sheet(&[], Size::new(10, 10)).is_err());
        assert!(contact_sheet(&[row], Size::new(0, 10)).is_err());
        assert!(contact_sheet(&[row], Size::new(u32::MAX, 10)).is_err());
        let error = contact_sheet(&vec![row; 200], Size::new(100, 100)).unwrap_err();
        assert!(error.to_string().contains("200 rows") && error.hint().is_some());
    }
}
