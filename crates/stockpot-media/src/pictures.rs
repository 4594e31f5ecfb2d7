//! Pictures as a source: a folder of PNG and JPEG files in natural order, or one file.
//!
//! Each picture is one frame at 25 a second. A broken one is reported and skipped. Pictures of a
//! folder may differ in size. Deeper pictures are read as 8 bits (by `stockpot_core::picture`).

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use stockpot_core::{ColourTags, Rgb8, TimeBase, Timestamp, picture};

use crate::info::{FrameRate, MediaInfo, SourceKind, VideoInfo};
use crate::{Error, FramePixels, Orientation, VideoFrame, Warning, probe};

/// One tick a picture, 25 a second.
const TIME_BASE: TimeBase = TimeBase { num: 1, den: 25 };

/// Whether `path` is a folder or a picture file, rather than something for libav.
pub(crate) fn is_picture_source(path: &Path) -> Result<bool, Error> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io("read", path, &e))?;
    Ok(metadata.is_dir() || is_picture(path))
}

fn is_picture(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str);
    ending.is_some_and(|e| {
        ["png", "jpg", "jpeg"]
            .iter()
            .any(|p| p.eq_ignore_ascii_case(e))
    })
}

/// The pictures of a folder, being read.
pub(crate) struct Pictures {
    info: MediaInfo,
    files: Vec<PathBuf>,
    /// What [`Pictures::next`] reads; starts as all.
    range: Range<usize>,
    warnings: Vec<Warning>,
}

impl Pictures {
    /// Lists the folder and reads its first good picture.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (kind, files) = if path.is_dir() {
            (SourceKind::PictureFolder, pictures_in(path)?)
        } else {
            (SourceKind::Picture, vec![path.to_path_buf()])
        };
        let mut first_reason = None;
        let mut first = None;
        for file in &files {
            match load(file) {
                Ok(picture) => {
                    first = Some((picture.size(), file));
                    break;
                }
                Err(reason) => first_reason = first_reason.or(Some(reason)),
            }
        }
        let Some((size, file)) = first else {
            return Err(match (kind, first_reason) {
                (SourceKind::Picture, Some(reason)) => Error::NotMedia {
                    reason,
                    path: path.into(),
                },
                _ => Error::NoPictures {
                    pictures: files.len(),
                    path: path.into(),
                },
            });
        };
        let png = file
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("png"));
        let info = MediaInfo {
            path: path.into(),
            kind,
            container: "pictures".into(),
            video: VideoInfo {
                stream: 0,
                codec: if png { "png" } else { "mjpeg" }.into(),
                pixel_format: "rgb24".into(),
                size,
                orientation: Orientation::UPRIGHT,
                pixel_aspect: (1, 1),
                bit_depth: 8,
                // Pictures are sRGB unless they carry a profile, which is not read; the BT.709
                // matrix and range are chosen, because the picture itself has none.
                colour: ColourTags {
                    primaries: 1,
                    transfer: 1,
                    matrix: 1,
                    full_range: Some(false),
                },
                is_constant_rate: true,
                frame_rate: Some(FrameRate {
                    num: TIME_BASE.den,
                    den: TIME_BASE.num,
                }),
                time_base: TIME_BASE,
                duration_ticks: i64::try_from(files.len()).ok(),
                frame_count: Some(files.len() as u64),
            },
            tracks: Vec::new(),
        };
        let range = 0..files.len();
        Ok(Self {
            info,
            files,
            range,
            warnings: Vec::new(),
        })
    }

    /// Only the pictures whose place is in `range`.
    pub(crate) fn select(mut self, range: &Range<u64>) -> Self {
        let clamp =
            |v: u64| usize::try_from(v).map_or(self.files.len(), |v| v.min(self.files.len()));
        self.range = clamp(range.start)..clamp(range.end);
        self
    }

    pub(crate) fn info(&self) -> &MediaInfo {
        &self.info
    }

    pub(crate) fn next(&mut self) -> Option<VideoFrame> {
        while !self.range.is_empty() {
            let at = self.range.start;
            self.range.start += 1;
            match load(&self.files[at]) {
                Ok(picture) => {
                    return Some(VideoFrame {
                        index: at as u64,
                        pts: Timestamp {
                            ticks: at as i64,
                            base: TIME_BASE,
                        },
                        duration_ticks: Some(1),
                        pixels: FramePixels::Rgb8(picture),
                    });
                }
                Err(reason) => self.warnings.push(Warning::SkippedPicture {
                    index: at as u64,
                    reason,
                }),
            }
        }
        None
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}

fn load(file: &Path) -> Result<Rgb8, String> {
    let picture = picture::load(file).map_err(|e| {
        // The cause names what the system said.
        let cause = std::error::Error::source(&e).map(|s| format!(": {s}"));
        format!("{e}{}", cause.unwrap_or_default())
    })?;
    probe::check_size(file, picture.size()).map_err(|e| e.to_string())?;
    Ok(picture)
}

/// The pictures of a folder in the order in which they are frames, from 0.
///
/// # Errors
/// If the folder cannot be read.
pub fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |e: std::io::Error| Error::io("read", folder, &e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let path = entry.path();
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && is_picture(&path) && path.is_file() {
            files.push(path);
        }
    }
    files.sort_by(|a, b| {
        let name = |p: &Path| {
            p.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        natural_order(&name(a), &name(b))
    });
    Ok(files)
}

/// Numbers in names count as numbers: `frame9` before `frame10`. Ties (`01`, `1`) by bytes.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(p), Some(q)) = (x.first(), y.first()) {
        if p.is_ascii_digit() && q.is_ascii_digit() {
            let (m, rest_x) = split_number(x);
            let (n, rest_y) = split_number(y);
            // Without leading zeros, the longer number is the greater.
            let order = m.len().cmp(&n.len()).then_with(|| m.cmp(n));
            if order != Ordering::Equal {
                return order;
            }
            (x, y) = (rest_x, rest_y);
        } else {
            if p != q {
                return p.cmp(q);
            }
            (x, y) = (&x[1..], &y[1..]);
        }
    }
    x.len().cmp(&y.len()).then_with(|| a.cmp(b))
}

/// The digits at the start without leading zeros, and the rest.
fn split_number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    let zeros = bytes[..digits].iter().take_while(|b| **b == b'0').count();
    (&bytes[zeros..digits], &bytes[digits..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = [
            "f10.png",
            "f9.png",
            "f009b.png",
            "a.png",
            "f1.png",
            "f01.png",
        ];
        names.sort_by(|a, b| natural_order(a, b));
        assert_eq!(
            names,
            [
                "a.png",
                "f01.png",
                "f1.png",
                "f9.png",
                "f009b.png",
                "f10.png"
            ]
        );
    }
}
