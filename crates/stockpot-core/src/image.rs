//! Pixels in memory: interleaved rows, top to bottom.
//!
//! Every [`Image`] of three channels is **RGB**, gamma-encoded (as the file had it), full range.
//! Converting from and to limited range or YUV happens where videos are read and written.

use std::fmt;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// `width` x `height`.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// A square.
    pub const fn square(side: u32) -> Self {
        Self {
            width: side,
            height: side,
        }
    }

    /// Pixels in all.
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A picture of `C` interleaved channels.
#[derive(Clone, PartialEq)]
pub struct Image<T, const C: usize> {
    size: Size,
    data: Vec<T>,
}

/// 8 bits a channel, RGB.
pub type Rgb8 = Image<u8, 3>;
/// 8 bits a channel, RGB and straight (not premultiplied) alpha.
pub type Rgba8 = Image<u8, 4>;
/// 16 bits a channel, RGB.
pub type Rgb16 = Image<u16, 3>;
/// RGB, 0.0 to 1.0.
pub type RgbF32 = Image<f32, 3>;
/// One channel of 8 bits: a mask or luminance.
pub type Gray8 = Image<u8, 1>;
/// One channel, 0.0 to 1.0: a mask or luminance.
pub type GrayF32 = Image<f32, 1>;

/// A buffer whose length does not fit its size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("A {size} picture of {channels} channels needs {wanted} numbers, found {found}")]
pub struct WrongLength {
    /// The size asked for.
    pub size: Size,
    /// Channels of the picture type.
    pub channels: usize,
    /// Numbers needed.
    pub wanted: usize,
    /// Numbers given.
    pub found: usize,
}

impl<T: Copy + Default, const C: usize> Image<T, C> {
    /// A picture of `size`, every number `T::default()` (black).
    pub fn new(size: Size) -> Self {
        Self {
            size,
            data: vec![T::default(); size.pixels() * C],
        }
    }

    /// A picture over `data`, row by row, channels interleaved.
    ///
    /// # Errors
    /// [`WrongLength`] if `data` is not `width * height * C` long.
    pub fn from_vec(size: Size, data: Vec<T>) -> Result<Self, WrongLength> {
        let wanted = size.pixels() * C;
        if data.len() != wanted {
            return Err(WrongLength {
                size,
                channels: C,
                wanted,
                found: data.len(),
            });
        }
        Ok(Self { size, data })
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All numbers, row by row.
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// All numbers, to be changed.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The buffer itself.
    pub fn into_vec(self) -> Vec<T> {
        self.data
    }

    /// Row `y` (must be below the height).
    pub fn row(&self, y: u32) -> &[T] {
        let stride = self.size.width as usize * C;
        &self.data[y as usize * stride..][..stride]
    }

    /// Row `y`, to be changed (must be below the height).
    pub fn row_mut(&mut self, y: u32) -> &mut [T] {
        let stride = self.size.width as usize * C;
        &mut self.data[y as usize * stride..][..stride]
    }

    /// The pixel in column `x` of row `y` (both must be inside).
    pub fn pixel(&self, x: u32, y: u32) -> [T; C] {
        let at = (y as usize * self.size.width as usize + x as usize) * C;
        std::array::from_fn(|c| self.data[at + c])
    }

    /// Sets the pixel in column `x` of row `y` (both must be inside).
    pub fn set_pixel(&mut self, x: u32, y: u32, value: [T; C]) {
        let at = (y as usize * self.size.width as usize + x as usize) * C;
        self.data[at..at + C].copy_from_slice(&value);
    }

    /// Copies `other` into this picture with its top left corner at `(left, top)`; what falls
    /// outside is left out.
    pub fn paste(&mut self, other: &Self, left: u32, top: u32) {
        let columns = other.size.width.min(self.size.width.saturating_sub(left)) as usize * C;
        for y in 0..other.size.height.min(self.size.height.saturating_sub(top)) {
            let start = left as usize * C;
            self.row_mut(top + y)[start..start + columns].copy_from_slice(&other.row(y)[..columns]);
        }
    }
}

impl<T, const C: usize> fmt::Debug for Image<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Image<{}>({}, {C} channels)",
            std::any::type_name::<T>(),
            self.size
        )
    }
}

impl Rgb8 {
    /// The same picture as 0.0 to 1.0.
    pub fn to_f32(&self) -> RgbF32 {
        let data = self.data.iter().map(|v| f32::from(*v) / 255.0).collect();
        Image {
            size: self.size,
            data,
        }
    }
}

impl RgbF32 {
    /// The same picture in 8 bits, rounded and clamped.
    pub fn to_rgb8(&self) -> Rgb8 {
        let data = self.data.iter().map(|v| unit_to_u8(*v)).collect();
        Image {
            size: self.size,
            data,
        }
    }
}

impl Rgb16 {
    /// The upper 8 bits, rounded: for everything that only looks (detection, previews).
    pub fn to_rgb8(&self) -> Rgb8 {
        let data = self
            .data
            .iter()
            .map(|v| ((u32::from(*v) * 255 + 32767) / 65535) as u8);
        Image {
            size: self.size,
            data: data.collect(),
        }
    }
}

/// 0.0..=1.0 to 0..=255, rounded and clamped; not a number becomes 0.
pub fn unit_to_u8(v: f32) -> u8 {
    (v * 255.0 + 0.5).clamp(0.0, 255.0) as u8
}
