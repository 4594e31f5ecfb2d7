//! The only hands that touch the disk for writing, one small step at a time.
//!
//! Every step (make the file, write, flush, rename, flush the folder, remove) passes a gate, so
//! that the tests can stop the program after each of them, as a kill or a power cut would.
//! Knows nothing of what is written.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use stockpot_core::ContentHash;

use crate::error::{Error, Result};

/// The ending of files that are not whole yet. A reader never looks at them.
pub(crate) const PART: &str = ".part";

/// One thing done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    MakeFolder,
    Create,
    Write,
    SyncFile,
    Rename,
    SyncFolder,
    Remove,
}

/// Stands before every step; an error means: stop here, as if killed.
#[cfg(test)]
pub(crate) type Gate = std::sync::Arc<dyn Fn(Step, &Path) -> io::Result<()> + Send + Sync>;

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    /// Whoever the system lets.
    All,
    /// Its owner.
    Owner,
}

#[cfg(unix)]
fn create_for(path: &Path, readers: Readers) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    if readers == Readers::Owner {
        options.mode(0o600);
    }
    options.open(path)
}

/// Elsewhere the folder's rights have to do.
#[cfg(not(unix))]
fn create_for(path: &Path, _readers: Readers) -> io::Result<File> {
    File::create(path)
}

/// Leaves a file to its owner alone.
#[cfg(unix)]
pub(crate) fn close_to_others(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|e| Error::io("change the rights of the file", path, e))
}

/// Elsewhere it is never found open.
#[cfg(not(unix))]
pub(crate) fn close_to_others(_path: &Path) -> Result<()> {
    Ok(())
}

/// Writes files whole or not at all.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) gate: Option<Gate>,
    /// A test that does not cut the power need not wait for the disk.
    #[cfg(test)]
    pub(crate) lazy: bool,
}

impl Disk {
    #[cfg(test)]
    fn pass(&self, step: Step, path: &Path) -> io::Result<()> {
        self.gate.as_ref().map_or(Ok(()), |gate| gate(step, path))
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "the tests put a gate here"
    )]
    fn pass(&self, _step: Step, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Writes `bytes` beside `path`, flushes them, renames, and flushes the folder: afterwards the
    /// file is there whole and survives a power cut; before, it was not there (or the old one was).
    pub(crate) fn write_whole(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_for(path, bytes, Readers::All)
    }

    /// Like [`Self::write_whole`], for what nobody else may read.
    pub(crate) fn write_private(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        self.write_for(path, bytes, Readers::Owner)
    }

    fn write_for(&self, path: &Path, bytes: &[u8], readers: Readers) -> Result<()> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}{PART}", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = self.write_beside(&beside, path, bytes, readers);
        if written.is_err() && self.pass(Step::Remove, &beside).is_ok() {
            // Best effort: the error that matters is already on its way, and a `.part` is ignored.
            let _ = fs::remove_file(&beside);
        }
        written.map_err(|e| Error::io("write the file", path, e))?;
        self.sync_folder(parent(path))
    }

    fn write_beside(
        &self,
        beside: &Path,
        path: &Path,
        bytes: &[u8],
        readers: Readers,
    ) -> io::Result<()> {
        self.pass(Step::Create, beside)?;
        let mut file = create_for(beside, readers)?;
        if let Err(stop) = self.pass(Step::Write, beside) {
            // Only a test comes here: a kill in the middle of a write leaves half of it.
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(stop);
        }
        file.write_all(bytes)?;
        self.pass(Step::SyncFile, beside)?;
        self.flush(&file)?;
        drop(file);
        self.pass(Step::Rename, path)?;
        fs::rename(beside, path)
    }

    /// Writes `bytes` at the end of a file of `len` bytes, which is made if it is not there, and
    /// flushes them. If that fails, the file is cut to its old length, so far as the disk allows it.
    pub(crate) fn append(&self, path: &Path, len: u64, bytes: &[u8]) -> Result<()> {
        let failed = |e| Error::io("write the file", path, e);
        let new = !path.exists();
        self.pass(Step::Create, path).map_err(failed)?;
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .map_err(failed)?;
        let written = self.append_to(&mut file, path, bytes);
        if written.is_err() && self.pass(Step::Remove, path).is_ok() {
            // Best effort: the error that matters is already on its way, and readers know a torn
            // line.
            let _ = file.set_len(len);
        }
        written.map_err(failed)?;
        match new {
            true => self.sync_folder(parent(path)),
            false => Ok(()),
        }
    }

    fn append_to(&self, file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if let Err(stop) = self.pass(Step::Write, path) {
            // Only a test comes here: a kill in the middle of a write leaves half of it.
            file.write_all(&bytes[..bytes.len() / 2])?;
            return Err(stop);
        }
        file.write_all(bytes)?;
        self.pass(Step::SyncFile, path)?;
        self.flush(file)
    }

    /// Cuts a file to `len` bytes.
    pub(crate) fn cut(&self, path: &Path, len: u64) -> Result<()> {
        self.pass(Step::Remove, path)
            .and_then(|()| File::options().write(true).open(path)?.set_len(len))
            .map_err(|e| Error::io("shorten the file", path, e))
    }

    /// Like [`Self::write_whole`], for what does not fit into memory: `fill` writes piece by piece. If
    /// it fails, nothing is there.
    pub(crate) fn stream_whole<T>(
        &self,
        path: &Path,
        fill: impl FnOnce(&mut Sink<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}{PART}", std::process::id()));
        let beside = PathBuf::from(beside);
        let filled = self.stream_beside(&beside, path, fill);
        if filled.is_err() && self.pass(Step::Remove, &beside).is_ok() {
            // Best effort, as above.
            let _ = fs::remove_file(&beside);
        }
        let value = filled?;
        self.sync_folder(parent(path))?;
        Ok(value)
    }

    fn stream_beside<T>(
        &self,
        beside: &Path,
        path: &Path,
        fill: impl FnOnce(&mut Sink<'_>) -> Result<T>,
    ) -> Result<T> {
        let failed = |e| Error::io("write the file", path, e);
        let file = self
            .pass(Step::Create, beside)
            .and_then(|()| File::create(beside))
            .map_err(failed)?;
        let mut sink = Sink {
            disk: self,
            file,
            path: beside,
            hasher: blake3::Hasher::new(),
        };
        let value = fill(&mut sink)?;
        let file = sink.file;
        self.pass(Step::SyncFile, beside)
            .and_then(|()| self.flush(&file))
            .map_err(failed)?;
        drop(file);
        self.pass(Step::Rename, path)
            .and_then(|()| fs::rename(beside, path))
            .map_err(failed)?;
        Ok(value)
    }

    /// Renames `from` to `to` in the same folder.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.pass(Step::Rename, to)
            .and_then(|()| fs::rename(from, to))
            .map_err(|e| Error::io("rename the file", from, e))?;
        self.sync_folder(parent(to))
    }

    /// Makes one folder (its parent must exist) and flushes the parent. One that is there is fine,
    /// but its parent is flushed all the same: whoever made it may have died before doing so.
    pub(crate) fn make_folder(&self, path: &Path) -> Result<()> {
        if path.is_dir() {
            return self.sync_folder(parent(path));
        }
        self.pass(Step::MakeFolder, path)
            .and_then(|()| match fs::create_dir(path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
                other => other,
            })
            .map_err(|e| Error::io("make the folder", path, e))?;
        self.sync_folder(parent(path))
    }

    /// Removes a file and flushes its folder. One that is gone already is fine.
    pub(crate) fn remove(&self, path: &Path) -> Result<()> {
        self.pass(Step::Remove, path)
            .and_then(|()| match fs::remove_file(path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            })
            .map_err(|e| Error::io("remove the file", path, e))?;
        self.sync_folder(parent(path))
    }

    /// Removes a folder with everything in it, and flushes the one around it. Links are removed, not
    /// followed. Returns files and bytes removed; a folder that is gone already is fine.
    pub(crate) fn remove_tree(&self, folder: &Path) -> Result<(u64, u64)> {
        let failed = |path: &Path, e| Error::io("remove the file", path, e);
        let (mut files, mut bytes) = (0, 0);
        // Folders are met twice: first their contents are removed, then they are.
        let mut waiting = vec![(folder.to_path_buf(), false)];
        while let Some((path, empty)) = waiting.pop() {
            let meta = match fs::symlink_metadata(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|e| failed(&path, e))?,
            };
            if meta.is_dir() && !empty {
                waiting.push((path.clone(), true));
                waiting.extend(entries(&path)?.into_iter().map(|(_, inner)| (inner, false)));
                continue;
            }
            self.pass(Step::Remove, &path)
                .and_then(|()| match meta.is_dir() {
                    true => fs::remove_dir(&path),
                    false => fs::remove_file(&path),
                })
                .map_err(|e| failed(&path, e))?;
            if !meta.is_dir() {
                files += 1;
                bytes += meta.len();
            }
        }
        let around = parent(folder);
        if around.is_dir() {
            self.sync_folder(around)?;
        }
        Ok((files, bytes))
    }

    /// Flushes a folder: what was renamed into it survives a power cut.
    pub(crate) fn sync_folder(&self, folder: &Path) -> Result<()> {
        self.pass(Step::SyncFolder, folder)
            .and_then(|()| self.flush_folder(folder))
            .map_err(|e| Error::io("flush the folder", folder, e))
    }

    /// On Unix a rename is safe from a power cut only once its folder is flushed.
    #[cfg(unix)]
    fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        self.flush(&File::open(folder)?)
    }

    /// Elsewhere a folder cannot be opened as a file; the file system's own journal has to do.
    #[cfg(not(unix))]
    fn flush_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn flush(&self, file: &File) -> io::Result<()> {
        if self.lazy { Ok(()) } else { file.sync_all() }
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "the tests may be lazy here")]
    fn flush(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }
}

/// A file that is being written, not visible under its name yet.
pub(crate) struct Sink<'a> {
    disk: &'a Disk,
    file: File,
    path: &'a Path,
    hasher: blake3::Hasher,
}

impl Sink<'_> {
    /// The BLAKE3 of what was written so far.
    pub(crate) fn hash(&self) -> ContentHash {
        ContentHash(*self.hasher.finalize().as_bytes())
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let failed = |e| Error::io("write the file", self.path, e);
        if let Err(stop) = self.disk.pass(Step::Write, self.path) {
            // Only a test comes here: a kill in the middle of a write leaves half of it.
            self.file
                .write_all(&bytes[..bytes.len() / 2])
                .map_err(failed)?;
            return Err(failed(stop));
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(failed)
    }
}

/// The folder that a path lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Why a file could not be read.
pub(crate) enum ReadFailure {
    /// It is not there.
    Missing,
    /// It is larger than the limit.
    TooLarge { found_bytes: u64 },
    /// The system refused.
    Io(io::Error),
}

/// Reads a whole file of at most `limit_bytes`; never allocates more than the file's own size.
pub(crate) fn read_bounded(
    path: &Path,
    limit_bytes: u64,
) -> std::result::Result<Vec<u8>, ReadFailure> {
    let failure = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => ReadFailure::Missing,
        _ => ReadFailure::Io(e),
    };
    let file = File::open(path).map_err(failure)?;
    let found_bytes = file.metadata().map_err(failure)?.len();
    if found_bytes > limit_bytes {
        return Err(ReadFailure::TooLarge { found_bytes });
    }
    let mut bytes = Vec::new();
    usize::try_from(found_bytes)
        .ok()
        .and_then(|n| bytes.try_reserve_exact(n).ok())
        .ok_or_else(|| ReadFailure::Io(io::ErrorKind::OutOfMemory.into()))?;
    // One byte more than allowed shows a file that grew after its size was asked for.
    file.take(limit_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failure)?;
    if bytes.len() as u64 > limit_bytes {
        return Err(ReadFailure::TooLarge {
            found_bytes: bytes.len() as u64,
        });
    }
    Ok(bytes)
}

/// The entries of a folder by name, sorted; a folder that is not there has none.
pub(crate) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |e| Error::io("list the folder", folder, e);
    let listing = match fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut out = Vec::new();
    for entry in listing {
        let entry = entry.map_err(failed)?;
        out.push((
            entry.file_name().to_string_lossy().into_owned(),
            entry.path(),
        ));
    }
    out.sort();
    Ok(out)
}
