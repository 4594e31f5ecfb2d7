//! What a camera does to a clean picture: blur, noise and the losses of a JPEG.
//!
//! Start with [`Sensor::apply`], which is the same for the same seed and frame.

use stockpot_core::Rng;
use stockpot_core::image::Rgb8;
use stockpot_core::picture::{self, PictureError};

/// A camera's faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensor {
    /// Standard deviation of the noise of a middle grey, in levels of 255, 0 to 64.
    pub noise_levels: f32,
    /// Standard deviation of the blur in pixels, 0 to 16.
    pub blur_px: f32,
    /// Quality of a JPEG in between, 1 to 100; none without.
    pub jpeg_quality: Option<u8>,
}

impl Sensor {
    /// No faults.
    pub const NONE: Self = Self {
        noise_levels: 0.0,
        blur_px: 0.0,
        jpeg_quality: None,
    };

    /// Takes the picture as this camera would. `seed` and `frame` decide the noise.
    ///
    /// # Errors
    /// [`PictureError`] if the JPEG cannot be packed or unpacked.
    pub fn apply(&self, picture: &mut Rgb8, seed: u64, frame: u64) -> Result<(), PictureError> {
        if self.blur_px > 0.0 {
            blur(picture, self.blur_px.min(16.0));
        }
        if self.noise_levels > 0.0 {
            let mut rng = Rng::stream(seed, "sensor", frame);
            for value in picture.data_mut() {
                // Noise of counted photons grows with the root of the light.
                let light = (f32::from(*value) / 128.0).max(0.1).sqrt();
                let noise = rng.normal() * self.noise_levels.min(64.0) * light;
                *value = (f32::from(*value) + noise).round().clamp(0.0, 255.0) as u8;
            }
        }
        if let Some(quality) = self.jpeg_quality {
            let packed = picture::to_jpeg(picture, quality.clamp(1, 100))?;
            *picture = picture::from_bytes(&packed, std::path::Path::new("sensor.jpg"))?;
        }
        Ok(())
    }
}

/// A Gaussian, rows then columns, edges repeated.
fn blur(picture: &mut Rgb8, sigma: f32) {
    let reach = (3.0 * sigma).ceil() as i64;
    let weights: Vec<f32> = (-reach..=reach)
        .map(|d| (-0.5 * (d as f32 / sigma).powi(2)).exp())
        .collect();
    let total: f32 = weights.iter().sum();
    let size = picture.size();
    let (wide, high) = (i64::from(size.width), i64::from(size.height));
    for (along_x, length) in [(true, wide), (false, high)] {
        let from = picture.clone();
        for y in 0..high {
            for x in 0..wide {
                let mut sum = [0.0f32; 3];
                for (weight, d) in weights.iter().zip(-reach..) {
                    let moved = |v: i64| (v + d).clamp(0, length - 1);
                    let (px, py) = if along_x {
                        (moved(x), y)
                    } else {
                        (x, moved(y))
                    };
                    let pixel = from.pixel(px as u32, py as u32);
                    for (sum, value) in sum.iter_mut().zip(pixel) {
                        *sum += weight * f32::from(value);
                    }
                }
                let out = sum.map(|v| (v / total).round() as u8);
                picture.set_pixel(x as u32, y as u32, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stockpot_core::image::Size;

    use super::*;

    fn half() -> Rgb8 {
        let mut picture = Rgb8::new(Size::square(32));
        for y in 0..32 {
            for x in 16..32 {
                picture.set_pixel(x, y, [200; 3]);
            }
        }
        picture
    }

    #[test]
    fn faults_are_as_large_as_asked_for() {
        let mut clean = half();
        Sensor::NONE.apply(&mut clean, 1, 1).unwrap();
        assert_eq!(clean, half());
        let noisy = Sensor {
            noise_levels: 4.0,
            ..Sensor::NONE
        };
        let (mut a, mut b, mut c) = (half(), half(), half());
        noisy.apply(&mut a, 1, 1).unwrap();
        noisy.apply(&mut b, 1, 1).unwrap();
        noisy.apply(&mut c, 1, 2).unwrap();
        assert_eq!(a, b);
        assert_ne!(a, c);
        let bright = a.data().iter().filter(|v| **v > 100);
        let (mut sum, mut n) = (0.0, 0.0);
        for value in bright {
            sum += (f32::from(*value) - 200.0).powi(2);
            n += 1.0;
        }
        let wanted = 4.0 * (200.0f32 / 128.0).sqrt();
        assert!(((sum / n).sqrt() - wanted).abs() < 0.5);
        let mut soft = half();
        let blurred = Sensor {
            blur_px: 2.0,
            ..Sensor::NONE
        };
        blurred.apply(&mut soft, 1, 1).unwrap();
        let edge = soft.pixel(16, 10)[0];
        assert!((80..140).contains(&edge), "{edge}");
        assert_eq!(soft.pixel(2, 10)[0], 0);
        let mut packed = a.clone();
        let poor = Sensor {
            jpeg_quality: Some(20),
            ..Sensor::NONE
        };
        poor.apply(&mut packed, 1, 1).unwrap();
        assert_eq!(packed.size(), a.size());
        assert_ne!(packed, a);
    }
}
