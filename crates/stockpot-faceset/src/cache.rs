//! A faceset decoded once to training size, in a file that is mapped into memory.
//!
//! Each face is stored on the pixel grid that the network will see, with a margin of an eighth of
//! the side all around, so that jitter and warp find real pixels there: interleaved red, green,
//! blue and mask, then the importance of eyes and mouth. The file is a cache in every sense: it
//! carries a fingerprint of what it was made from and is made again when that changes, and it may
//! be deleted at any time. `docs/formats/faceset.md` has the layout.

mod kept;
mod planes;

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::prelude::*;
use stockpot_core::{Area, CancelToken, PersonName, Pose, Progress, ProgressSink};

use crate::error::Error;
use crate::faceset::Faceset;
use crate::hash::Fingerprint;
use crate::record::{FaceRecord, Split};

pub use kept::MOST_KEPT;

/// Largest training resolution.
pub(crate) const MAX_RESOLUTION: u32 = 512;
const MIN_RESOLUTION: u32 = 16;
const MAGIC: &[u8; 8] = b"spotfcc\0";
/// Changes whenever the layout or the pixels' meaning changes: older caches are then made again.
const VERSION: u32 = 1;
/// Where the pixels begin: one page, so that every face of a usual size is aligned.
const HEADER_BYTES: usize = 4096;
/// Bytes of one face in the table after the pixels.
const ENTRY_BYTES: usize = 40;
/// Red, green, blue, mask, importance.
const PLANES: usize = 5;
/// Faces decoded before they are written; bounds the memory of a build.
const CHUNK: usize = 64;

/// What opening a cache did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheBuild {
    /// False if a cache that was there could be used as it is.
    pub was_built: bool,
    /// Length of the file.
    pub bytes: u64,
    /// Faces left out because their crop cannot be read (known only when built).
    pub skipped: Vec<Skipped>,
}

/// A face that could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its crop.
    pub file: String,
    /// Why.
    pub reason: String,
}

/// One face of a cache.
#[derive(Debug, Clone, Copy)]
pub struct CachedFace<'a> {
    /// Width and height in pixels, margin included.
    pub side: usize,
    /// Red, green, blue and mask (0 to 255), interleaved, row by row.
    pub rgbm: &'a [u8],
    /// Upper four bits: eyes; lower four: mouth; each 0 to 15.
    pub importance: &'a [u8],
}

/// The usable faces of one person at one area and resolution.
#[derive(Debug)]
pub struct FaceCache {
    person: PersonName,
    area: Area,
    resolution: u32,
    entries: Vec<Entry>,
    bytes: Bytes,
}

/// The bytes of a file.
#[derive(Debug)]
enum Bytes {
    /// Mapped into memory.
    Mapped(Mmap),
    /// Read.
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// What is known of a face without looking at its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    /// Index into [`Faceset::records`] at the time of the build.
    pub(crate) record: u32,
    pub(crate) split: Split,
    pub(crate) pose: Pose,
    /// Mean and standard deviation of red, green and blue inside the mask, 0 to 1.
    pub(crate) mean: [f32; 3],
    pub(crate) deviation: [f32; 3],
}

/// Side of a cached face of `resolution`, margin included: the same pixel size, an eighth more on
/// each side. Always even steps, so that the network's pixels lie exactly on the cache's.
pub(crate) const fn padded_side(resolution: u32) -> u32 {
    resolution + 2 * ((resolution + 4) / 8)
}

const fn block_bytes(resolution: u32) -> usize {
    let side = padded_side(resolution) as usize;
    side * side * PLANES
}

impl FaceCache {
    /// Opens the cache of `faceset` for `area` and `resolution` in `cache_folder`, making it first
    /// if it is missing or out of date. Decodes on the current rayon pool; steps of progress are
    /// faces.
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a resolution that is odd or not 16 to 512; [`Error::Io`];
    /// [`Error::Cancelled`]. Faces whose crop cannot be read are left out and listed.
    pub fn open_or_build(
        faceset: &Faceset,
        area: Area,
        resolution: u32,
        cache_folder: &Path,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<(Self, CacheBuild), Error> {
        if !(MIN_RESOLUTION..=MAX_RESOLUTION).contains(&resolution) || !resolution.is_multiple_of(2)
        {
            return Err(Error::BadSetting {
                name: "resolution",
                value: resolution.to_string(),
                accepted: "an even number from 16 to 512",
            });
        }
        let path = Self::path(faceset.person(), area, resolution, cache_folder);
        let plan = Plan {
            faceset,
            area,
            resolution,
            fingerprint: fingerprint(faceset, area, resolution),
        };
        let mut report = CacheBuild::default();
        let found = match plan.open(&path)? {
            Some(cache) => cache,
            None => {
                report.was_built = true;
                report.skipped = plan.build(&path, progress, cancel)?;
                plan.open(&path)?.ok_or_else(|| Error::Io {
                    action: "read back the cache just written",
                    path: path.clone(),
                    source: std::io::ErrorKind::InvalidData.into(),
                })?
            }
        };
        report.bytes = found.bytes.len() as u64;
        Ok((found, report))
    }

    /// Where the cache of these lies in `cache_folder`.
    pub fn path(person: &PersonName, area: Area, resolution: u32, cache_folder: &Path) -> PathBuf {
        cache_folder.join(format!("{person}-{}-{resolution}.faces", area_name(area)))
    }

    /// Whose faces these are.
    pub fn person(&self) -> &PersonName {
        &self.person
    }

    /// The square of the face that the network sees.
    pub fn area(&self) -> Area {
        self.area
    }

    /// Width and height of a sample in pixels.
    pub fn resolution(&self) -> u32 {
        self.resolution
    }

    /// All faces, training and held-out.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no face at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many faces are used for `split`.
    pub fn count(&self, split: Split) -> usize {
        self.entries.iter().filter(|e| e.split == split).count()
    }

    /// The pixels of face `index` (below [`Self::len`]).
    pub fn face(&self, index: usize) -> CachedFace<'_> {
        let side = padded_side(self.resolution) as usize;
        let block = block_bytes(self.resolution);
        let pixels = &self.bytes[HEADER_BYTES + index * block..][..block];
        let (rgbm, importance) = pixels.split_at(side * side * 4);
        CachedFace {
            side,
            rgbm,
            importance,
        }
    }

    /// Index into [`Faceset::records`] of face `index` (below [`Self::len`]).
    pub fn record_of(&self, index: usize) -> usize {
        self.entries[index].record as usize
    }

    /// Mean and standard deviation of red, green and blue inside the mask over the training faces,
    /// 0 to 1: what colour transfer starts from. Zero if there are none.
    pub fn mean_colour(&self) -> ([f32; 3], [f32; 3]) {
        let train = self.entries.iter().filter(|e| e.split == Split::Train);
        let (mut mean, mut deviation, mut count) = ([0.0f64; 3], [0.0f64; 3], 0.0f64);
        for entry in train {
            count += 1.0;
            for c in 0..3 {
                mean[c] += f64::from(entry.mean[c]);
                deviation[c] += f64::from(entry.deviation[c]);
            }
        }
        let over = |sum: [f64; 3]| sum.map(|v| (v / count.max(1.0)) as f32);
        (over(mean), over(deviation))
    }

    /// Asks the system to read the whole file into memory, and does not wait for it. For files that
    /// fit: one that does not would push other things out.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn preload(&self) -> Result<(), Error> {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.bytes {
            let name = Path::new(self.person.as_str());
            map.advise(memmap2::Advice::WillNeed)
                .map_err(Error::io("preload the faces of", name))?;
        }
        Ok(())
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

const fn area_name(area: Area) -> &'static str {
    match area {
        Area::Narrow => "narrow",
        Area::Face => "face",
        Area::Head => "head",
    }
}

/// Of everything that a cache depends on. The lengths of the crops are part of it, so that a crop
/// taken away or exchanged by hand is noticed.
fn fingerprint(faceset: &Faceset, area: Area, resolution: u32) -> Fingerprint {
    let mut print = faceset.fingerprint();
    print.add(faceset.person().as_str().as_bytes());
    print.add(area_name(area).as_bytes());
    print.add(&resolution.to_le_bytes());
    print.add(&VERSION.to_le_bytes());
    for (_, record) in faceset.kept() {
        let length = faceset
            .path_of(record)
            .and_then(|path| std::fs::metadata(path).ok()) // a missing crop counts as length 0
            .map_or(0, |m| m.len());
        print.add(&length.to_le_bytes());
    }
    print
}

/// The number of faces, if the header is this one and the length is right to the byte. There must be
/// a header's worth of bytes.
fn count_in(bytes: &[u8], resolution: u32, print: [u8; 16]) -> Option<usize> {
    let count = u64::from_le_bytes(bytes[24..32].try_into().ok()?);
    let header = header_of(resolution, count, print);
    let count = usize::try_from(count).ok()?;
    let per_face = block_bytes(resolution) + ENTRY_BYTES;
    let wanted = count.checked_mul(per_face)?.checked_add(HEADER_BYTES)?;
    (bytes[..48] == header && bytes.len() == wanted).then_some(count)
}

/// The table behind the pixels of `count` faces, if it reads.
fn entries_in(bytes: &[u8], resolution: u32, count: usize) -> Option<Vec<Entry>> {
    let table = HEADER_BYTES + count * block_bytes(resolution);
    let entries = bytes[table..].chunks_exact(ENTRY_BYTES);
    entries.map(Entry::from_bytes).collect()
}

fn header_of(resolution: u32, count: u64, print: [u8; 16]) -> [u8; 48] {
    let mut header = [0; 48];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&resolution.to_le_bytes());
    header[16..20].copy_from_slice(&padded_side(resolution).to_le_bytes());
    header[20..24].copy_from_slice(&(PLANES as u32).to_le_bytes());
    header[24..32].copy_from_slice(&count.to_le_bytes());
    header[32..48].copy_from_slice(&print);
    header
}

/// What a cache is to hold.
struct Plan<'a> {
    faceset: &'a Faceset,
    area: Area,
    resolution: u32,
    fingerprint: Fingerprint,
}

impl Plan<'_> {
    /// The cache at `path`, or `None` if there is none that fits the plan.
    fn open(&self, path: &Path) -> Result<Option<FaceCache>, Error> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read", path)(e)),
        };
        if file.metadata().map_err(Error::io("read", path))?.len() < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let map = map_file(&file).map_err(Error::io("map", path))?;
        let Some(count) = count_in(&map, self.resolution, self.fingerprint.bytes()) else {
            return Ok(None);
        };
        let Some(entries) = entries_in(&map, self.resolution, count) else {
            return Ok(None);
        };
        Ok(Some(FaceCache {
            person: self.faceset.person().clone(),
            area: self.area,
            resolution: self.resolution,
            entries,
            bytes: Bytes::Mapped(map),
        }))
    }

    fn build(
        &self,
        path: &Path,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<Vec<Skipped>, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("make the folder", folder))?;
        }
        let beside = path.with_extension(format!("{}.part", std::process::id()));
        let result = self.write(&beside, progress, cancel).and_then(|skipped| {
            std::fs::rename(&beside, path).map_err(Error::io("write", path))?;
            Ok(skipped)
        });
        if result.is_err() {
            // Best effort: the error that matters is already on its way.
            let _ = std::fs::remove_file(&beside);
        }
        result
    }

    fn write(
        &self,
        beside: &Path,
        progress: &dyn ProgressSink,
        cancel: &CancelToken,
    ) -> Result<Vec<Skipped>, Error> {
        let failed = |e| Error::io("write", beside)(e);
        let usable: Vec<(usize, &FaceRecord)> = self
            .faceset
            .kept()
            .filter(|(_, r)| r.split != Split::Unused)
            .collect();
        progress.send(Progress::Phase {
            name: "prepare faces",
            total: usable.len() as u64,
        });
        let mut file = BufWriter::new(File::create(beside).map_err(failed)?);
        file.write_all(&[0; HEADER_BYTES]).map_err(failed)?;
        let (mut entries, mut skipped) = (Vec::new(), Vec::new());
        for (number, chunk) in usable.chunks(CHUNK).enumerate() {
            if cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let decoded: Vec<_> = chunk
                .par_iter()
                .map(|(_, record)| self.decode(record))
                .collect();
            for ((index, record), face) in chunk.iter().zip(decoded) {
                match face {
                    Ok(face) => {
                        file.write_all(&face.pixels).map_err(failed)?;
                        entries.push(Entry {
                            record: u32::try_from(*index).unwrap_or(u32::MAX),
                            split: record.split,
                            pose: record.pose,
                            mean: face.mean,
                            deviation: face.deviation,
                        });
                    }
                    Err(error) => skipped.push(Skipped {
                        file: record.file.clone().unwrap_or_default(),
                        reason: error.to_string(),
                    }),
                }
            }
            progress.send(Progress::Step {
                done: (number * CHUNK + chunk.len()) as u64,
                note: String::new(),
            });
        }
        for entry in &entries {
            file.write_all(&entry.to_bytes()).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let header = header_of(
            self.resolution,
            entries.len() as u64,
            self.fingerprint.bytes(),
        );
        file.write_all(&header).map_err(failed)?;
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        Ok(skipped)
    }

    fn decode(&self, record: &FaceRecord) -> Result<planes::Planes, Error> {
        let crop = self.faceset.load_crop(record)?;
        let crop = crop.ok_or_else(|| Error::Missing {
            path: self.faceset.folder().into(),
        })?;
        Ok(planes::decode(&crop, record, self.area, self.resolution))
    }
}

#[expect(unsafe_code, reason = "mapping a file into memory is unsafe by nature")]
fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: only caches get here: files that this module wrote beside, renamed into place whole,
    // and never changes afterwards (a stale cache is replaced by a rename, which leaves this
    // mapping its own file). Its length is checked before any byte beyond the header is read. The
    // bytes are only ever read as plain numbers, so a foreign hand that overwrites the file can
    // spoil pictures; one that shortens it while a training runs ends the process.
    unsafe { Mmap::map(file) }
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let split: u32 = match self.split {
            Split::Train => 0,
            Split::HeldOut => 1,
            Split::Unused => 2,
        };
        let floats = [self.pose.yaw_rad, self.pose.pitch_rad];
        let floats = floats.iter().chain(&self.mean).chain(&self.deviation);
        let words = [self.record, split]
            .into_iter()
            .chain(floats.map(|v| v.to_bits()));
        let mut bytes = [0; ENTRY_BYTES];
        for (out, word) in bytes.chunks_exact_mut(4).zip(words) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |i: usize| {
            Some(u32::from_le_bytes(
                bytes.get(4 * i..4 * i + 4)?.try_into().ok()?,
            ))
        };
        let float = |i: usize| word(i).map(f32::from_bits);
        Some(Self {
            record: word(0)?,
            split: match word(1)? {
                0 => Split::Train,
                1 => Split::HeldOut,
                2 => Split::Unused,
                _ => return None,
            },
            pose: Pose {
                yaw_rad: float(2)?,
                pitch_rad: float(3)?,
                roll_rad: 0.0,
            },
            mean: [float(4)?, float(5)?, float(6)?],
            deviation: [float(7)?, float(8)?, float(9)?],
        })
    }
}

#[cfg(test)]
mod tests;
