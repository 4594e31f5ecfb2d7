//! A faceset as it is read: its sources and its faces.
//!
//! Of every source the last finished extraction counts. A source whose only extraction was
//! interrupted counts with what it has, and that is reported as a note.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stockpot_core::{PersonName, Rgb8, picture};

use crate::error::Error;
use crate::hash::Fingerprint;
use crate::index;
use crate::record::{FaceLine, FaceRecord, Line, SourceInfo, SourceLine, Split};
use crate::split::split_by_time;

/// One source of a faceset.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Name and length.
    pub info: SourceInfo,
    /// Records of it, rejected ones included.
    pub records: usize,
    /// False if its extraction was interrupted.
    pub is_finished: bool,
}

/// Something worth telling that [`Faceset::open`] found and coped with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenNote {
    /// The last line of the index was not written to its end and is left out.
    TornLine {
        /// Its length.
        bytes: usize,
    },
    /// A source was only partly extracted.
    Unfinished {
        /// Name of the source.
        source: String,
        /// Records it has so far.
        records: usize,
    },
}

impl std::fmt::Display for OpenNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TornLine { bytes } => {
                write!(
                    f,
                    "The last line of the faceset index was torn ({bytes} bytes) and is left out"
                )
            }
            Self::Unfinished { source, records } => write!(
                f,
                "The extraction of `{source}` was interrupted; its first {records} faces are used"
            ),
        }
    }
}

/// The aligned faces of one person.
#[derive(Debug)]
pub struct Faceset {
    folder: PathBuf,
    person: PersonName,
    sources: Vec<Source>,
    records: Vec<FaceRecord>,
    notes: Vec<OpenNote>,
    fingerprint: Fingerprint,
}

impl Faceset {
    /// Reads the index of `folder`.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none, [`Error::Newer`] if a newer stockpot wrote it, and
    /// others if it is broken or cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut takes = Takes::default();
        let mut faces: Vec<FaceLine> = Vec::new();
        let summary = index::read(folder, |line| {
            match line {
                Line::Source(source) => takes.add(source)?,
                Line::Face(face) => {
                    takes.count(&face)?;
                    faces.push(*face);
                }
            }
            Ok(())
        })?;
        let person = summary.person.parse().map_err(|e| Error::NotAFaceset {
            reason: format!("{e}"),
            path: folder.join(index::INDEX),
        })?;
        let effective = takes.effective();
        let mut notes = Vec::new();
        if summary.torn_bytes > 0 {
            notes.push(OpenNote::TornLine {
                bytes: summary.torn_bytes,
            });
        }
        let mut sources = Vec::new();
        let mut place = BTreeMap::new();
        for (take, records) in &effective {
            if !take.done {
                notes.push(OpenNote::Unfinished {
                    source: take.name.clone(),
                    records: *records,
                });
            }
            place.insert(take.take, sources.len());
            sources.push(Source {
                info: SourceInfo {
                    name: take.name.clone(),
                    bytes: take.bytes,
                },
                records: *records,
                is_finished: take.done,
            });
        }
        assign_splits(&mut faces, effective.iter().map(|(take, _)| *take));
        let records = faces
            .into_iter()
            .filter_map(|face| {
                let source = *place.get(&face.take)?;
                let split = face.split.unwrap_or(Split::Unused);
                Some(face.into_record(source, split))
            })
            .collect();
        Ok(Self {
            folder: folder.into(),
            person,
            sources,
            records,
            notes,
            fingerprint: summary.fingerprint,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whose faces these are.
    pub fn person(&self) -> &PersonName {
        &self.person
    }

    /// The videos and folders they came from.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Every face, rejected ones included, in the order they were extracted.
    pub fn records(&self) -> &[FaceRecord] {
        &self.records
    }

    /// The faces that are not rejected, with their index into [`Self::records`].
    pub fn kept(&self) -> impl Iterator<Item = (usize, &FaceRecord)> {
        self.records.iter().enumerate().filter(|(_, r)| r.is_kept())
    }

    /// How many kept faces are used for `split`.
    pub fn count(&self, split: Split) -> usize {
        self.kept().filter(|(_, r)| r.split == split).count()
    }

    /// What opening found and coped with.
    pub fn notes(&self) -> &[OpenNote] {
        &self.notes
    }

    /// Where a face's crop lies, if it has one.
    pub fn path_of(&self, record: &FaceRecord) -> Option<PathBuf> {
        record.file.as_ref().map(|file| self.folder.join(file))
    }

    /// The crop of a face: a square whose geometry is
    /// [`crop_from_face`](stockpot_core::face::crop_from_face) of its width. `None` for a rejected
    /// face without a picture.
    ///
    /// # Errors
    /// [`Error::Picture`] if the file is missing, broken or not square.
    pub fn load_crop(&self, record: &FaceRecord) -> Result<Option<Rgb8>, Error> {
        let Some(path) = self.path_of(record) else {
            return Ok(None);
        };
        let crop = picture::load(&path)?;
        if crop.size().width != crop.size().height || crop.size().width == 0 {
            return Err(Error::Picture(picture::PictureError::Broken {
                reason: format!("a crop is square, this is {}", crop.size()),
                path,
            }));
        }
        Ok(Some(crop))
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

/// The extractions of an index, in its order, with how many records each has.
#[derive(Debug, Default)]
pub(crate) struct Takes(Vec<(SourceLine, usize)>);

impl Takes {
    /// Checks and adds a source line.
    pub(crate) fn add(&mut self, source: SourceLine) -> Result<(), String> {
        if self.0.iter().any(|(t, _)| t.take == source.take) {
            return Err(format!("take {} is there twice", source.take));
        }
        self.0.push((source, 0));
        Ok(())
    }

    /// Checks a face line and counts it for its take.
    pub(crate) fn count(&mut self, face: &FaceLine) -> Result<(), String> {
        if let Some(fault) = face.fault() {
            return Err(fault.into());
        }
        // From the end: the newest take is the one being read.
        let take = self.0.iter_mut().rev().find(|(t, _)| t.take == face.take);
        let (_, count) =
            take.ok_or_else(|| format!("it names take {}, which is not there", face.take))?;
        *count += 1;
        Ok(())
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &SourceLine> {
        self.0.iter().map(|(t, _)| t)
    }

    /// Of each source the take that counts: the last finished one, or else the unfinished one with
    /// most records (none at all counts for nothing).
    pub(crate) fn effective(&self) -> Vec<(&SourceLine, usize)> {
        let mut chosen: Vec<(&SourceLine, usize)> = Vec::new();
        for (take, count) in &self.0 {
            if !take.done && *count == 0 {
                continue;
            }
            let same = chosen
                .iter_mut()
                .find(|(c, _)| c.name == take.name && c.bytes == take.bytes);
            match same {
                None => chosen.push((take, *count)),
                Some(old) => {
                    let is_better = match (old.0.done, take.done) {
                        (true, done) => done,
                        (false, true) => true,
                        (false, false) => *count > old.1,
                    };
                    if is_better {
                        *old = (take, *count);
                    }
                }
            }
        }
        chosen
    }
}

/// Gives the kept faces of unfinished takes the split that finishing would give them.
fn assign_splits<'a>(faces: &mut [FaceLine], takes: impl Iterator<Item = &'a SourceLine>) {
    for take in takes.filter(|t| !t.done) {
        let mut open: Vec<&mut FaceLine> = faces
            .iter_mut()
            .filter(|f| f.take == take.take && f.is_kept())
            .collect();
        let secs: Vec<f64> = open.iter().map(|f| f.time().secs()).collect();
        let splits = split_by_time(&secs, take.split_seed, &take.name);
        for (face, split) in open.iter_mut().zip(splits) {
            face.split = Some(split);
        }
    }
}
