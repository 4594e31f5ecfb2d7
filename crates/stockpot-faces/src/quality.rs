//! How good a picture of a face is, in numbers that can be compared between faces.

use stockpot_core::image::GrayF32;

/// What speaks for or against using a face.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FaceQuality {
    /// See [`sharpness`]; measured on the face at about 128 px, whatever its size in the frame.
    pub sharpness: f32,
    /// Distance between the eye centres in frame pixels.
    pub eye_distance_px: f32,
}

/// Sharpness of a picture: variance of its Laplacian over its own variance.
///
/// Dividing by the variance takes contrast and brightness out. To compare faces, measure them at
/// one size. A flat picture, or one below 3 x 3 pixels, has sharpness 0.
pub fn sharpness(luma: &GrayF32) -> f32 {
    let (width, height) = (luma.size().width as usize, luma.size().height as usize);
    if width < 3 || height < 3 {
        return 0.0;
    }
    let (mut sum, mut square) = (0.0f64, 0.0f64);
    let (mut level, mut level_square) = (0.0f64, 0.0f64);
    for y in 1..height - 1 {
        let (above, row, below) = (
            luma.row(y as u32 - 1),
            luma.row(y as u32),
            luma.row(y as u32 + 1),
        );
        for x in 1..width - 1 {
            let l = above[x] + below[x] + row[x - 1] + row[x + 1] - 4.0 * row[x];
            sum += f64::from(l);
            square += f64::from(l) * f64::from(l);
            level += f64::from(row[x]);
            level_square += f64::from(row[x]) * f64::from(row[x]);
        }
    }
    let n = ((width - 2) * (height - 2)) as f64;
    let variance = |sum: f64, square: f64| (square / n - (sum / n) * (sum / n)).max(0.0);
    let contrast = variance(level, level_square);
    // Below a hundredth of a grey level of 8 bits there is nothing to be sharp.
    if contrast < 1e-9 {
        return 0.0;
    }
    (variance(sum, square) / contrast) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::image::{Image, Size};

    fn pattern(period: f32, contrast: f32) -> GrayF32 {
        let side = 32;
        let data = (0..side * side).map(|i| {
            let (x, y) = ((i % side) as f32, (i / side) as f32);
            let wave = |v: f32| (std::f32::consts::TAU * v / period).sin();
            0.5 + contrast * wave(x) * wave(y)
        });
        Image::from_vec(Size::square(side), data.collect()).unwrap()
    }

    #[test]
    fn finer_is_sharper_and_contrast_does_not_count() {
        let (fine, coarse) = (
            sharpness(&pattern(4.0, 0.3)),
            sharpness(&pattern(16.0, 0.3)),
        );
        assert!(fine > 20.0 * coarse, "{fine} {coarse}");
        // The Laplacian of a product of two waves of period 4 is -4 times the wave itself.
        assert!((fine - 16.0).abs() < 0.5, "{fine}");
        let faint = sharpness(&pattern(4.0, 0.1));
        assert!((fine - faint).abs() < 0.05 * fine);
    }

    #[test]
    fn flat_or_tiny_is_zero() {
        assert_eq!(sharpness(&Image::new(Size::square(16))), 0.0);
        assert_eq!(sharpness(&Image::new(Size::new(2, 9))), 0.0);
    }
}
