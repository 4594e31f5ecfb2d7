//! The index file: reading it line by line, appending to it, and replacing it whole.
//!
//! A line that was being written when the power went has no line end; it is dropped and reported.
//! Everything else that is odd is an error with its line number. Nothing here keeps more than one
//! line in memory, so an index may be as long as the videos are.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use stockpot_core::PersonName;

use crate::error::Error;
use crate::hash::Fingerprint;
use crate::record::{HeaderLine, Line};

/// Name of the index inside a faceset's folder.
pub(crate) const INDEX: &str = "index.jsonl";
const LOCK: &str = ".lock";
const FORMAT: &str = "stockpot-faceset";
/// The format this program writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;
/// A face's line is about 7 KB.
const MAX_LINE_BYTES: u64 = 64 << 10;
const MAX_LINES: usize = 4_000_000;

/// What reading an index yields beside its lines.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) person: String,
    /// Bytes of an unfinished last line, 0 if there is none.
    pub(crate) torn_bytes: usize,
    pub(crate) fingerprint: Fingerprint,
}

/// Reads the index in `folder` and hands every line to `take`.
///
/// # Errors
/// [`Error::Missing`], [`Error::NotAFaceset`], [`Error::Newer`], [`Error::BrokenLine`] (also for a
/// fault that `take` reports), [`Error::TooLarge`], [`Error::Io`].
pub(crate) fn read(
    folder: &Path,
    mut take: impl FnMut(Line) -> Result<(), String>,
) -> Result<Summary, Error> {
    let path = folder.join(INDEX);
    let file = File::open(&path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::Missing {
            path: folder.into(),
        },
        _ => Error::io("read", &path)(e),
    })?;
    let mut lines = Lines {
        reader: BufReader::new(file),
        line: Vec::new(),
        number: 0,
        fingerprint: Fingerprint::new(),
        path: &path,
    };
    let header = match lines.next()? {
        Step::Line => parse_header(&lines.line, &path)?,
        Step::End | Step::Torn => {
            return Err(Error::NotAFaceset {
                reason: "its first line is missing".into(),
                path,
            });
        }
    };
    let torn_bytes = loop {
        match lines.next()? {
            Step::End => break 0,
            Step::Torn => break lines.line.len(),
            Step::Line => {
                let parsed = serde_json::from_slice::<Line>(&lines.line).map_err(|e| e.to_string());
                parsed
                    .and_then(&mut take)
                    .map_err(|reason| Error::BrokenLine {
                        line: lines.number,
                        reason,
                        path: path.clone(),
                    })?;
            }
        }
    };
    Ok(Summary {
        person: header.person,
        torn_bytes,
        fingerprint: lines.fingerprint,
    })
}

fn parse_header(line: &[u8], path: &Path) -> Result<HeaderLine, Error> {
    let odd = |reason: String| Error::NotAFaceset {
        reason,
        path: path.into(),
    };
    // The version is looked at first: a newer header may have other fields.
    let value: serde_json::Value = serde_json::from_slice(line)
        .map_err(|e| odd(format!("its first line is no JSON ({e})")))?;
    if value["format"] != FORMAT {
        return Err(odd(format!("its first line does not say `{FORMAT}`")));
    }
    let found = value["version"]
        .as_u64()
        .unwrap_or(0)
        .min(u64::from(u32::MAX)) as u32;
    if found == 0 {
        return Err(odd("its version is missing".into()));
    }
    if found > VERSION {
        return Err(Error::Newer {
            found,
            known: VERSION,
            path: path.into(),
        });
    }
    serde_json::from_value(value).map_err(|e| odd(e.to_string()))
}

enum Step {
    Line,
    Torn,
    End,
}

struct Lines<'a> {
    reader: BufReader<File>,
    line: Vec<u8>,
    number: usize,
    fingerprint: Fingerprint,
    path: &'a Path,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Step, Error> {
        self.line.clear();
        let mut bounded = (&mut self.reader).take(MAX_LINE_BYTES);
        let read = bounded
            .read_until(b'\n', &mut self.line)
            .map_err(Error::io("read", self.path))?;
        if read == 0 {
            return Ok(Step::End);
        }
        self.number += 1;
        if self.number > MAX_LINES {
            return Err(self.too_large("lines", MAX_LINES as u64));
        }
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            self.fingerprint.add(&self.line);
            return Ok(Step::Line);
        }
        if read as u64 == MAX_LINE_BYTES {
            return Err(self.too_large("bytes in one line of its index", MAX_LINE_BYTES));
        }
        Ok(Step::Torn)
    }

    fn too_large(&self, what: &'static str, limit: u64) -> Error {
        Error::TooLarge {
            what,
            limit,
            path: self.path.into(),
        }
    }
}

/// The right to change a faceset; given back when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    /// The operating system releases the lock when this is closed, also after a crash.
    _file: File,
}

/// Takes the lock of a faceset's folder.
///
/// # Errors
/// [`Error::Busy`] if somebody else holds it.
pub(crate) fn lock(folder: &Path) -> Result<Lock, Error> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("write", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::Busy {
            path: folder.into(),
        }),
        Err(std::fs::TryLockError::Error(e)) => Err(Error::io("lock", &path)(e)),
    }
}

/// The line as bytes with its end.
pub(crate) fn to_bytes<T: serde::Serialize>(line: &T) -> Result<Vec<u8>, Error> {
    let mut bytes = serde_json::to_vec(line).map_err(|e| Error::Io {
        action: "encode a line of",
        path: INDEX.into(),
        source: e.into(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A new index written beside the old one; [`Replacement::commit`] puts it in its place.
pub(crate) struct Replacement {
    file: BufWriter<File>,
    beside: PathBuf,
    path: PathBuf,
    is_committed: bool,
}

impl Replacement {
    /// Begins a new index that so far has only its header.
    pub(crate) fn begin(folder: &Path, person: &PersonName) -> Result<Self, Error> {
        let path = folder.join(INDEX);
        let beside = folder.join(format!("{INDEX}.part"));
        let file = File::create(&beside).map_err(Error::io("write", &beside))?;
        let mut new = Self {
            file: BufWriter::new(file),
            beside,
            path,
            is_committed: false,
        };
        new.push(&HeaderLine {
            format: FORMAT.into(),
            version: VERSION,
            person: person.as_str().into(),
        })?;
        Ok(new)
    }

    /// Adds a line.
    pub(crate) fn push<T: serde::Serialize>(&mut self, line: &T) -> Result<(), Error> {
        let bytes = to_bytes(line)?;
        self.file
            .write_all(&bytes)
            .map_err(Error::io("write", &self.beside))
    }

    /// Flushes to disk and replaces the old index.
    pub(crate) fn commit(mut self) -> Result<(), Error> {
        let result = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all())
            .and_then(|()| std::fs::rename(&self.beside, &self.path));
        result.map_err(Error::io("write", &self.path))?;
        self.is_committed = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.is_committed {
            // Best effort: the error that matters is already on its way.
            let _ = std::fs::remove_file(&self.beside);
        }
    }
}

/// Opens the index for appending whole lines.
pub(crate) fn open_for_append(folder: &Path) -> Result<File, Error> {
    let path = folder.join(INDEX);
    OpenOptions::new()
        .append(true)
        .open(&path)
        .map_err(Error::io("write", &path))
}
