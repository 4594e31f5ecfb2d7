//! Opening sources: here, or in a child process for files nobody vouches for.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::isolated::WorkerReader;
use crate::pictures::{self, Pictures};
use crate::reader::VideoReader;
use crate::{Error, MediaInfo, VideoFrame, Warning, isolated, probe as probing};

/// Every frame of a source.
pub const ALL_FRAMES: Range<u64> = 0..u64::MAX;

/// Where the bytes of a source are parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opener {
    /// In this process: for files we made ourselves, and inside the worker.
    Here,
    /// In a child process that runs this program with [`crate::worker::SUBCOMMAND`] as its first
    /// argument: a crash of a codec becomes an [`Error::WorkerDied`].
    Worker(PathBuf),
}

impl Opener {
    /// What is in the video file, picture folder or picture at `path`.
    ///
    /// # Errors
    /// [`Error`] if it is missing, no media, without a video, cut before its index, or too large.
    pub fn probe(&self, path: &Path) -> Result<MediaInfo, Error> {
        match self {
            Self::Here => probing::probe_here(path),
            Self::Worker(program) => isolated::probe(program, path),
        }
    }

    /// The frames of a source whose index is in `range` ([`ALL_FRAMES`] for all). Frames before it
    /// are decoded and dropped.
    ///
    /// # Errors
    /// As [`Opener::probe`].
    pub fn open(&self, path: &Path, range: Range<u64>) -> Result<FrameSource, Error> {
        let inner = match self {
            Self::Here if pictures::is_picture_source(path)? => {
                Inner::Pictures(Box::new(Pictures::open(path)?.select(&range)))
            }
            Self::Here => {
                let opened = probing::open_video(path)?;
                Inner::Video(Box::new(VideoReader::new(opened, range)?))
            }
            Self::Worker(program) => {
                Inner::Worker(Box::new(WorkerReader::open(program, path, range)?))
            }
        };
        Ok(FrameSource { inner, done: false })
    }
}

/// [`Opener::probe`] in this process.
///
/// # Errors
/// As [`Opener::probe`].
pub fn probe(path: &Path) -> Result<MediaInfo, Error> {
    Opener::Here.probe(path)
}

/// [`Opener::probe`] in a child process of the program `worker_exe`.
///
/// # Errors
/// As [`Opener::probe`], and if the child does not start or dies.
pub fn probe_isolated(worker_exe: &Path, path: &Path) -> Result<MediaInfo, Error> {
    Opener::Worker(worker_exe.into()).probe(path)
}

/// [`Opener::open`] in this process.
///
/// # Errors
/// As [`Opener::open`].
pub fn open_direct(path: &Path, range: Range<u64>) -> Result<FrameSource, Error> {
    Opener::Here.open(path, range)
}

/// [`Opener::open`] in a child process of the program `worker_exe`.
///
/// # Errors
/// As [`Opener::open`], and if the child does not start or dies.
pub fn open_isolated(
    worker_exe: &Path,
    path: &Path,
    range: Range<u64>,
) -> Result<FrameSource, Error> {
    Opener::Worker(worker_exe.into()).open(path, range)
}

/// Frames in the order of showing, from a video or from pictures, decoded here or in a child.
///
/// As an iterator it ends after the first error. A file that is cut short gives its good frames,
/// then [`Error::Truncated`].
pub struct FrameSource {
    inner: Inner,
    done: bool,
}

enum Inner {
    Video(Box<VideoReader>),
    Pictures(Box<Pictures>),
    Worker(Box<WorkerReader>),
}

impl FrameSource {
    /// What is in the file.
    pub fn info(&self) -> &MediaInfo {
        match &self.inner {
            Inner::Video(reader) => reader.info(),
            Inner::Pictures(pictures) => pictures.info(),
            Inner::Worker(worker) => worker.info(),
        }
    }

    /// The next frame; `None` after the last.
    ///
    /// # Errors
    /// [`Error`] if the file is cut short, changes its size midway, cannot be read on, or the
    /// worker died. Nothing comes after an error.
    pub fn next_frame(&mut self) -> Result<Option<VideoFrame>, Error> {
        if self.done {
            return Ok(None);
        }
        let next = match &mut self.inner {
            Inner::Video(reader) => reader.next(),
            Inner::Pictures(pictures) => Ok(pictures.next()),
            Inner::Worker(worker) => worker.next(),
        };
        self.done = !matches!(next, Ok(Some(_)));
        next
    }

    /// What was done, but not as asked, since the last call: skipped pictures, damaged frames.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        match &mut self.inner {
            Inner::Video(reader) => reader.take_warnings(),
            Inner::Pictures(pictures) => pictures.take_warnings(),
            Inner::Worker(worker) => worker.take_warnings(),
        }
    }

    /// The process that decodes, if it is not this one.
    pub fn worker_id(&self) -> Option<u32> {
        match &self.inner {
            Inner::Worker(worker) => Some(worker.id()),
            Inner::Video(_) | Inner::Pictures(_) => None,
        }
    }
}

impl Iterator for FrameSource {
    type Item = Result<VideoFrame, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_frame().transpose()
    }
}
