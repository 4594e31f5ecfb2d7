//! Pictures on disk: PNG and JPEG, read with a size limit, written whole.
//!
//! The only home of the `image` crate. Orientation tags are honoured; alpha is dropped, but by
//! [`load_rgba`].

use std::fs::File;
use std::io::{BufReader, BufWriter, Cursor, Write};
use std::path::{Path, PathBuf};

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageReader, Limits};

use crate::image::{Gray8, Image, Rgb8, Rgba8, Size};

/// Pictures wider or higher than this are refused.
pub const MAX_SIDE: u32 = 16_384;
/// A picture may not take more memory than this while it is decoded.
const MAX_ALLOC_BYTES: u64 = 1 << 30;

/// A picture that could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The file cannot be opened, read or written.
    #[error("Cannot {action} the picture {path}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are no picture that can be decoded, or a larger one than allowed.
    #[error("{path} is not a readable PNG or JPEG picture: {reason}")]
    Broken {
        /// Which file.
        path: PathBuf,
        /// What the decoder says.
        reason: String,
    },
}

/// Reads a PNG or JPEG file, upright, as 8-bit RGB.
///
/// # Errors
/// [`PictureError`] if it is missing, broken, or wider or higher than [`MAX_SIDE`].
pub fn load(path: &Path) -> Result<Rgb8, PictureError> {
    let io = |source| PictureError::Io {
        action: "read",
        path: path.into(),
        source,
    };
    let broken = |e: image::ImageError| PictureError::Broken {
        path: path.into(),
        reason: e.to_string(),
    };
    let file = File::open(path).map_err(io)?;
    let reader = ImageReader::new(BufReader::new(file))
        .with_guessed_format()
        .map_err(io)?;
    let rgb = decode(reader, MAX_SIDE).map_err(broken)?.into_rgb8();
    Ok(image_of(
        Size::new(rgb.width(), rgb.height()),
        rgb.into_raw(),
    ))
}

/// Reads a PNG or JPEG file, upright, as 8-bit RGB with straight alpha; pictures without alpha are
/// opaque. Nothing wider or higher than `max_side` is decoded.
///
/// # Errors
/// [`PictureError`] if it is missing, broken, or wider or higher than `max_side` or [`MAX_SIDE`].
pub fn load_rgba(path: &Path, max_side: u32) -> Result<Rgba8, PictureError> {
    let io = |source| PictureError::Io {
        action: "read",
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let reader = ImageReader::new(BufReader::new(file))
        .with_guessed_format()
        .map_err(io)?;
    let decoded = decode(reader, max_side.min(MAX_SIDE));
    let rgba = decoded.map_err(|e| PictureError::Broken {
        path: path.into(),
        reason: e.to_string(),
    })?;
    let rgba = rgba.into_rgba8();
    Ok(image_of(
        Size::new(rgba.width(), rgba.height()),
        rgba.into_raw(),
    ))
}

/// Reads a PNG or JPEG from memory; `name` stands in messages.
///
/// # Errors
/// As [`load`].
pub fn from_bytes(bytes: &[u8], name: &Path) -> Result<Rgb8, PictureError> {
    let broken = |reason: String| PictureError::Broken {
        path: name.into(),
        reason,
    };
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let decoded = decode(reader.map_err(|e| broken(e.to_string()))?, MAX_SIDE);
    let rgb = decoded.map_err(|e| broken(e.to_string()))?.into_rgb8();
    Ok(image_of(
        Size::new(rgb.width(), rgb.height()),
        rgb.into_raw(),
    ))
}

fn image_of<const C: usize>(size: Size, data: Vec<u8>) -> Image<u8, C> {
    Image::from_vec(size, data).unwrap_or_else(|_| Image::new(size))
}

fn decode<R: std::io::BufRead + std::io::Seek>(
    mut reader: ImageReader<R>,
    max_side: u32,
) -> Result<DynamicImage, image::ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(max_side);
    limits.max_image_height = Some(max_side);
    limits.max_alloc = Some(MAX_ALLOC_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// The picture as PNG bytes.
///
/// # Errors
/// Only if the encoder fails, which is our bug.
pub fn to_png(picture: &Rgb8) -> Result<Vec<u8>, PictureError> {
    encode_png(picture.data(), picture.size(), ExtendedColorType::Rgb8)
}

/// The mask as PNG bytes.
///
/// # Errors
/// Only if the encoder fails, which is our bug.
pub fn gray_to_png(mask: &Gray8) -> Result<Vec<u8>, PictureError> {
    encode_png(mask.data(), mask.size(), ExtendedColorType::L8)
}

/// The picture with its alpha as PNG bytes.
///
/// # Errors
/// Only if the encoder fails, which is our bug.
pub fn rgba_to_png(picture: &Rgba8) -> Result<Vec<u8>, PictureError> {
    encode_png(picture.data(), picture.size(), ExtendedColorType::Rgba8)
}

fn encode_png(data: &[u8], size: Size, colour: ExtendedColorType) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(data, size.width, size.height, colour)
        .map_err(|e| PictureError::Broken {
            path: "(memory)".into(),
            reason: e.to_string(),
        })?;
    Ok(bytes)
}

/// The picture as JPEG bytes, `quality` 1 to 100.
///
/// # Errors
/// Only if the encoder fails, which is our bug.
pub fn to_jpeg(picture: &Rgb8, quality: u8) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let size = picture.size();
    JpegEncoder::new_with_quality(&mut bytes, quality)
        .write_image(
            picture.data(),
            size.width,
            size.height,
            ExtendedColorType::Rgb8,
        )
        .map_err(|e| PictureError::Broken {
            path: "(memory)".into(),
            reason: e.to_string(),
        })?;
    Ok(bytes)
}

/// Writes a picture; the ending (`.png`, `.jpg`) chooses the format, JPEG at quality 95.
/// The file appears whole or not at all.
///
/// # Errors
/// [`PictureError::Io`] if the folder is missing, full or read-only.
pub fn save(picture: &Rgb8, path: &Path) -> Result<(), PictureError> {
    let is_jpeg = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("jpg") || e.eq_ignore_ascii_case("jpeg"));
    let bytes = if is_jpeg {
        to_jpeg(picture, 95)?
    } else {
        to_png(picture)?
    };
    write_whole(path, &bytes).map_err(|source| PictureError::Io {
        action: "write",
        path: path.into(),
        source,
    })
}

/// Writes `bytes` beside `path`, flushes, and renames.
///
/// # Errors
/// What the file system says.
pub fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let result = (|| {
        let mut file = BufWriter::new(File::create(&beside)?);
        file.write_all(bytes)?;
        file.into_inner()
            .map_err(std::io::IntoInnerError::into_error)?
            .sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if result.is_err() {
        // Best effort: the error that matters is already on its way.
        let _ = std::fs::remove_file(&beside);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_is_lossless_and_broken_bytes_are_an_error() {
        let mut picture = Rgb8::new(Size::new(5, 3));
        picture.set_pixel(4, 2, [1, 200, 77]);
        let png = to_png(&picture).unwrap();
        assert_eq!(from_bytes(&png, Path::new("x.png")).unwrap(), picture);
        assert!(from_bytes(&png[..png.len() / 2], Path::new("half.png")).is_err());
        assert!(from_bytes(b"not a picture", Path::new("text.jpg")).is_err());
    }

    #[test]
    fn alpha_is_kept_where_it_is_asked_for_and_sides_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        let mut picture = Rgba8::new(Size::new(6, 3));
        picture.set_pixel(4, 2, [1, 200, 77, 9]);
        std::fs::write(&path, rgba_to_png(&picture).unwrap()).unwrap();
        assert_eq!(load_rgba(&path, 6).unwrap(), picture);
        assert!(load_rgba(&path, 5).is_err());
        std::fs::write(&path, to_png(&Rgb8::new(Size::new(2, 2))).unwrap()).unwrap();
        assert_eq!(load_rgba(&path, 6).unwrap().pixel(1, 1), [0, 0, 0, 255]);
        assert!(load_rgba(&folder.path().join("none.png"), 6).is_err());
    }
}
