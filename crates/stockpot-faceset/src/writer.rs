//! Writing the faces of one source into a faceset.
//!
//! Crops appear whole; records are appended in batches and flushed; [`FacesetWriter::finish`]
//! decides the split and puts the new records in the place of the source's old ones in one rename.
//! A writer that is dropped or killed before leaves what it wrote, marked as unfinished, and the
//! source's old records, if any, still count.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use stockpot_core::face::{CROP_SIDE, crop_from_face};
use stockpot_core::image::Size;
use stockpot_core::space::{Affine, Face, Frame};
use stockpot_core::{FaceLandmarks, PersonName, Pose, Rgb8, Timestamp, picture, warp};

use crate::error::Error;
use crate::faceset::Takes;
use crate::index::{self, Lock, Replacement};
use crate::record::{
    FaceLine, Line, REJECTED_FOLDER, Reason, SourceInfo, SourceLine, Split, pack_landmarks,
};
use crate::settings::WriterSettings;
use crate::split::split_by_time;

/// Faces gathered before they are written and the index is flushed.
const BATCH: usize = 32;
/// Crops smaller than this show nothing.
const MIN_CROP_SIDE: u32 = 32;
const MAX_PREFIX: usize = 60;

/// A crop ready to be stored. Made by [`cut_crop`], on any thread.
#[derive(Debug, Clone)]
pub struct CropPicture {
    jpeg: Vec<u8>,
    side: u32,
}

impl CropPicture {
    /// Width and height in pixels.
    pub fn side(&self) -> u32 {
        self.side
    }
}

/// Cuts the wide crop (2.5 face units) of an aligned face out of its frame and encodes it.
///
/// The side is `settings.crop_side`, or less where the face has fewer pixels: never enlarged by
/// more than `settings.max_enlarge`. What lies outside the frame repeats its border. Pure and slow:
/// call it on worker threads.
///
/// # Errors
/// [`Error::BadSetting`] if the alignment is singular; [`Error::Picture`] if encoding fails.
pub fn cut_crop(
    frame: &Rgb8,
    face_from_frame: &Affine<Face, Frame>,
    settings: &WriterSettings,
) -> Result<(CropPicture, Rgb8), Error> {
    let singular = || Error::BadSetting {
        name: "face_from_frame",
        value: format!("{:?}", face_from_frame.rows()),
        accepted: "an invertible transform",
    };
    let frame_from_face = face_from_frame.inverse().map_err(|_| singular())?;
    let side = crop_side(frame_from_face.mean_scale(), settings);
    let crop_from_frame = crop_from_face(side) * *face_from_frame;
    let frame_from_crop = crop_from_frame.inverse().map_err(|_| singular())?;
    let crop = warp::warp_affine(frame, Size::square(side), &frame_from_crop);
    let jpeg = picture::to_jpeg(&crop, settings.jpeg_quality)?;
    Ok((CropPicture { jpeg, side }, crop))
}

/// Side of the crop of a face of `unit_px` frame pixels to the face unit; even, so that its centre
/// lies between pixels.
fn crop_side(unit_px: f64, settings: &WriterSettings) -> u32 {
    let most = (CROP_SIDE * unit_px * f64::from(settings.max_enlarge)).clamp(0.0, 1e6) as u32;
    settings.crop_side.min(most).max(MIN_CROP_SIDE) & !1
}

/// A face to be added.
#[derive(Debug)]
pub struct NewFace<'a> {
    /// Frame number in the source, from 0.
    pub frame_index: u64,
    /// Presentation time.
    pub time: Timestamp,
    /// The alignment (smoothed or not: what the crop was cut with).
    pub face_from_frame: Affine<Face, Frame>,
    /// Landmarks in the frame.
    pub landmarks: &'a FaceLandmarks,
    /// Turn of the head.
    pub pose: Pose,
    /// Sharpness, see [`crate::FaceRecord::sharpness`].
    pub sharpness: f32,
    /// How sure the face network was, on its own scale.
    pub score: f32,
    /// Track number.
    pub track: u32,
    /// Identity embedding, 128 numbers, if one was made.
    pub embedding: Option<&'a [f32]>,
    /// Why the face is not to be used, if so.
    pub rejected: Option<Reason>,
    /// The crop. Must be there unless the face is rejected; a rejected face's crop goes into
    /// `rejected/`.
    pub crop: Option<CropPicture>,
}

/// What a finished extraction wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteSummary {
    /// Faces for training.
    pub train: usize,
    /// Faces held out.
    pub held_out: usize,
    /// Faces in the gaps between the two.
    pub unused: usize,
    /// Rejected faces.
    pub rejected: usize,
    /// Records of an older extraction of the same source that were replaced.
    pub replaced: usize,
}

/// Adds the faces of one source.
#[derive(Debug)]
pub struct FacesetWriter {
    folder: PathBuf,
    person: PersonName,
    take: SourceLine,
    index: File,
    pending: Vec<(FaceLine, Option<CropPicture>)>,
    seen: BTreeSet<(u64, u32)>,
    kept_secs: Vec<f64>,
    rejected: usize,
    _lock: Lock,
}

impl FacesetWriter {
    /// Opens or makes the faceset in `folder` and begins an extraction of `source`.
    ///
    /// # Errors
    /// [`Error::Busy`] if another writer is at work; [`Error::NotAFaceset`] if the folder holds
    /// somebody else's faceset; [`Error::BadSetting`]; what [`crate::Faceset::open`] says of a
    /// broken index; [`Error::Io`].
    pub fn begin(
        folder: &Path,
        person: &PersonName,
        source: &SourceInfo,
        settings: &WriterSettings,
    ) -> Result<Self, Error> {
        settings.check()?;
        let rejected = folder.join(REJECTED_FOLDER);
        std::fs::create_dir_all(&rejected).map_err(Error::io("make the folder", &rejected))?;
        let lock = index::lock(folder)?;
        if !folder.join(index::INDEX).exists() {
            Replacement::begin(folder, person)?.commit()?;
        }
        let (takes, summary) = read_takes(folder)?;
        if summary.person != person.as_str() {
            return Err(Error::NotAFaceset {
                reason: format!("it belongs to `{}`, not to `{person}`", summary.person),
                path: folder.into(),
            });
        }
        let keep: Vec<u32> = takes.effective().iter().map(|(t, _)| t.take).collect();
        if summary.torn_bytes > 0 || keep.len() < takes.all().count() {
            // Remains of interrupted extractions: nothing may be appended to a torn line.
            rewrite(folder, person, &keep, None)?;
        }
        let take = SourceLine {
            take: takes
                .all()
                .map(|t| t.take)
                .max()
                .map_or(1, |n| n.saturating_add(1)),
            name: source.name.clone(),
            bytes: source.bytes,
            prefix: free_prefix(&source.name, &takes),
            split_seed: settings.split_seed,
            done: false,
        };
        let mut index = index::open_for_append(folder)?;
        append(
            &mut index,
            folder,
            &index::to_bytes(&Line::Source(take.clone()))?,
        )?;
        Ok(Self {
            folder: folder.into(),
            person: person.clone(),
            take,
            index,
            pending: Vec::new(),
            seen: BTreeSet::new(),
            kept_secs: Vec::new(),
            rejected: 0,
            _lock: lock,
        })
    }

    /// Adds a face. Written with the next batch of 32, or by [`Self::flush`].
    ///
    /// # Errors
    /// [`Error::BadFace`] if a number is not finite, a kept face has no crop, or the frame already
    /// has a face of this track; what [`Self::flush`] says.
    pub fn add(&mut self, face: NewFace<'_>) -> Result<(), Error> {
        let bad = |reason| Error::BadFace {
            frame: face.frame_index,
            track: face.track,
            reason,
        };
        if !self.seen.insert((face.frame_index, face.track)) {
            return Err(bad("the frame already has a face of this track"));
        }
        let name = format!(
            "{}-{:06}-t{}.jpg",
            self.take.prefix, face.frame_index, face.track
        );
        let file = face.crop.is_some().then(|| match face.rejected {
            None => name,
            Some(_) => format!("{REJECTED_FOLDER}/{name}"),
        });
        let line = FaceLine {
            take: self.take.take,
            file,
            frame: face.frame_index,
            ticks: face.time.ticks,
            base: [face.time.base.num, face.time.base.den],
            split: None,
            rejected: face.rejected,
            track: face.track,
            sharpness: face.sharpness,
            score: face.score,
            pose: [face.pose.yaw_rad, face.pose.pitch_rad, face.pose.roll_rad],
            face_from_frame: face.face_from_frame.rows(),
            landmarks: pack_landmarks(&face.landmarks.mapped(&face.face_from_frame)),
            embedding: face.embedding.map(<[f32]>::to_vec),
        };
        if let Some(fault) = line.fault() {
            return Err(bad(fault));
        }
        if line.is_kept() {
            self.kept_secs.push(face.time.secs());
        } else {
            self.rejected += 1;
        }
        self.pending.push((line, face.crop));
        if self.pending.len() >= BATCH {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Writes what is pending: first the crops, then their lines.
    ///
    /// # Errors
    /// [`Error::Io`], such as a full disk; what was flushed before stays.
    pub fn flush(&mut self) -> Result<(), Error> {
        let folder = &self.folder;
        self.pending
            .par_iter()
            .try_for_each(|(line, crop)| match (&line.file, crop) {
                (Some(file), Some(crop)) => {
                    let path = folder.join(file);
                    picture::write_whole(&path, &crop.jpeg).map_err(Error::io("write", &path))
                }
                _ => Ok(()),
            })?;
        let mut bytes = Vec::new();
        for (line, _) in self.pending.drain(..) {
            bytes.extend(index::to_bytes(&Line::Face(Box::new(line)))?);
        }
        append(&mut self.index, folder, &bytes)
    }

    /// Decides what is held out, replaces older records of the source, and removes their crops.
    ///
    /// # Errors
    /// [`Error::Io`]; the faceset is then as before, with this extraction marked unfinished.
    pub fn finish(mut self) -> Result<WriteSummary, Error> {
        self.flush()?;
        let splits = split_by_time(&self.kept_secs, self.take.split_seed, &self.take.name);
        let (takes, _) = read_takes(&self.folder)?;
        let source = SourceInfo {
            name: self.take.name.clone(),
            bytes: self.take.bytes,
        };
        let mut keep: Vec<u32> = takes
            .all()
            .filter(|t| !t.is_of(&source))
            .map(|t| t.take)
            .collect();
        keep.push(self.take.take);
        let replaced = rewrite(
            &self.folder,
            &self.person,
            &keep,
            Some((self.take.take, &splits)),
        )?;
        let count = |wanted| splits.iter().filter(|s| **s == wanted).count();
        Ok(WriteSummary {
            train: count(Split::Train),
            held_out: count(Split::HeldOut),
            unused: count(Split::Unused),
            rejected: self.rejected,
            replaced,
        })
    }
}

fn append(index: &mut File, folder: &Path, bytes: &[u8]) -> Result<(), Error> {
    let path = folder.join(index::INDEX);
    let before = index.metadata().map_err(Error::io("read", &path))?.len();
    let result = index.write_all(bytes).and_then(|()| index.sync_data());
    if result.is_err() {
        // Best effort: half a line that stays is dropped by the next reader, and the error that
        // matters is already on its way.
        let _ = index.set_len(before);
    }
    result.map_err(Error::io("write", &path))
}

fn read_takes(folder: &Path) -> Result<(Takes, index::Summary), Error> {
    let mut takes = Takes::default();
    let summary = index::read(folder, |line| match line {
        Line::Source(source) => takes.add(source),
        Line::Face(face) => takes.count(&face),
    })?;
    Ok((takes, summary))
}

/// Replaces the index by one with only the takes in `keep`; `finished` is the take that is now done
/// and the splits of its kept faces in order. Removes the crops of dropped records and returns how
/// many records were dropped.
fn rewrite(
    folder: &Path,
    person: &PersonName,
    keep: &[u32],
    finished: Option<(u32, &[Split])>,
) -> Result<usize, Error> {
    let mut new = Replacement::begin(folder, person)?;
    let mut failed = None;
    let (mut dropped, mut dropped_files) = (0, Vec::new());
    let mut splits = finished.map(|(_, s)| s).unwrap_or_default().iter();
    let mut push = |line: &Line| {
        if failed.is_none() {
            failed = new.push(line).err();
        }
    };
    index::read(folder, |line| {
        match line {
            Line::Source(mut source) if keep.contains(&source.take) => {
                source.done |= finished.is_some_and(|(take, _)| take == source.take);
                push(&Line::Source(source));
            }
            Line::Face(mut face) if keep.contains(&face.take) => {
                if finished.is_some_and(|(take, _)| take == face.take) && face.is_kept() {
                    face.split = splits.next().copied();
                }
                push(&Line::Face(face));
            }
            Line::Face(face) => {
                dropped += 1;
                dropped_files.extend(face.file);
            }
            Line::Source(_) => {}
        }
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    new.commit()?;
    for file in dropped_files {
        // A crop that cannot be removed, or is gone already, is in no record any more: harmless.
        let _ = std::fs::remove_file(folder.join(file));
    }
    Ok(dropped)
}

/// A readable start for crop names that no extraction in the index uses.
fn free_prefix(source_name: &str, takes: &Takes) -> String {
    let stem = source_name
        .rsplit_once('.')
        .map_or(source_name, |(stem, _)| stem);
    let mut plain: String = stem
        .chars()
        .take(MAX_PREFIX)
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '_'
            }
        })
        .collect();
    if plain.is_empty() {
        plain.push_str("faces");
    }
    (1u32..)
        .map(|n| {
            if n == 1 {
                plain.clone()
            } else {
                format!("{plain}.{n}")
            }
        })
        .find(|prefix| takes.all().all(|t| t.prefix != *prefix))
        .unwrap_or(plain)
}

#[cfg(test)]
mod tests;
