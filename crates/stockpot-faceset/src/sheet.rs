//! Many pictures on one.

use stockpot_core::image::Size;
use stockpot_core::{Rgb8, warp};

/// Between two pictures and around all, in pixels.
const GAP: u32 = 2;
const BACKGROUND: [u8; 3] = [32, 32, 32];
/// Neither side of a sheet grows beyond this; pictures that do not fit are left out.
const MAX_SIDE: u32 = 16_384;

/// Lays pictures out in rows of `columns`, each fitted into a cell of `cell` x `cell` pixels and
/// centred in it. No pictures, columns or cell give an empty picture.
pub fn contact_sheet(pictures: &[Rgb8], columns: usize, cell: u32) -> Rgb8 {
    let pitch = cell.saturating_add(GAP);
    let fitting = (MAX_SIDE - GAP) / pitch;
    let columns = u32::try_from(columns.min(pictures.len()))
        .unwrap_or(u32::MAX)
        .min(fitting);
    if columns == 0 || cell == 0 {
        return Rgb8::new(Size::new(0, 0));
    }
    let rows = u32::try_from(pictures.len().div_ceil(columns as usize))
        .unwrap_or(u32::MAX)
        .min(fitting);
    let mut sheet = Rgb8::new(Size::new(columns * pitch + GAP, rows * pitch + GAP));
    for pixel in sheet.data_mut().chunks_exact_mut(3) {
        pixel.copy_from_slice(&BACKGROUND);
    }
    for (place, picture) in (0..columns * rows).zip(pictures) {
        let small = fitted(picture, cell);
        let left = GAP + place % columns * pitch + (cell - small.size().width) / 2;
        let top = GAP + place / columns * pitch + (cell - small.size().height) / 2;
        sheet.paste(&small, left, top);
    }
    sheet
}

/// The picture as large as fits into the cell.
fn fitted(picture: &Rgb8, cell: u32) -> Rgb8 {
    let size = picture.size();
    let longest = size.width.max(size.height).max(1);
    let side = |n: u32| {
        let scaled = (u64::from(n) * u64::from(cell) + u64::from(longest) / 2) / u64::from(longest);
        (scaled as u32).clamp(1, cell)
    };
    warp::resize(picture, Size::new(side(size.width), side(size.height)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: u32, height: u32, colour: [u8; 3]) -> Rgb8 {
        let mut picture = Rgb8::new(Size::new(width, height));
        picture
            .data_mut()
            .chunks_exact_mut(3)
            .for_each(|p| p.copy_from_slice(&colour));
        picture
    }

    #[test]
    fn pictures_stand_in_rows() {
        let pictures = [
            plain(8, 8, [255, 0, 0]),
            plain(40, 20, [0, 255, 0]),
            plain(5, 5, [0, 0, 255]),
        ];
        let sheet = contact_sheet(&pictures, 2, 10);
        assert_eq!(sheet.size(), Size::new(26, 26));
        assert_eq!(sheet.pixel(7, 7), [255, 0, 0]);
        assert_eq!(sheet.pixel(19, 7), [0, 255, 0]);
        assert_eq!(sheet.pixel(19, 3), BACKGROUND, "a wide picture is centred");
        assert_eq!(sheet.pixel(7, 19), [0, 0, 255]);
        assert_eq!(sheet.pixel(19, 19), BACKGROUND);
    }

    #[test]
    fn odd_requests_do_not_panic() {
        assert_eq!(contact_sheet(&[], 3, 10).size().pixels(), 0);
        let one = [plain(3, 3, [1, 2, 3])];
        assert_eq!(contact_sheet(&one, 0, 10).size().pixels(), 0);
        assert_eq!(contact_sheet(&one, 2, 0).size().pixels(), 0);
        assert_eq!(contact_sheet(&one, 2, u32::MAX).size().pixels(), 0);
        assert_eq!(
            contact_sheet(&[Rgb8::new(Size::new(0, 0))], 1, 4).size(),
            Size::square(8)
        );
    }
}
