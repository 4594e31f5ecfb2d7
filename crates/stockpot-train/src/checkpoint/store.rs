//! The checkpoints of a run: their folder, the thread that writes them, which to keep.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use super::{Checkpoint, CheckpointMeta, format};
use crate::error::Error;
use crate::state::TrainState;

const PREFIX: &str = "ckpt-";
const SUFFIX: &str = ".stock";
const PART: &str = ".part";
const ASIDE: &str = ".aside";
/// Bytes gathered before they go to the file.
const BUFFER: usize = 1 << 20;

/// The file name of the checkpoint at `step`, such as `ckpt-000001234.stock`.
pub fn checkpoint_name(step: u64) -> String {
    format!("{PREFIX}{step:09}{SUFFIX}")
}

/// Steps and paths of the checkpoints in a folder, oldest first; whole or not. A folder that does
/// not exist has none.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut found = Vec::new();
    for path in entries(folder)? {
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let number = name
            .strip_prefix(PREFIX)
            .and_then(|n| n.strip_suffix(SUFFIX));
        if let Some(step) = number.and_then(|n| n.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found)
}

/// The newest whole checkpoint, and what is wrong with newer ones.
#[derive(Debug)]
pub struct Found {
    /// It.
    pub checkpoint: Checkpoint,
    /// Its file.
    pub path: PathBuf,
    /// Newer files that are not whole: to be told to the user.
    pub broken: Vec<Error>,
}

/// Reads the newest checkpoint whose checksums are right. None if the folder has no checkpoint.
///
/// # Errors
/// [`Error::NoGoodCheckpoint`] if there are some but none is whole; [`Error::NewerCheckpoint`]
/// rather than going back behind a newer program's work; [`Error::Io`].
pub fn latest_good(folder: &Path) -> Result<Option<Found>, Error> {
    let mut broken = Vec::new();
    for (_, path) in list(folder)?.into_iter().rev() {
        match format::read(&path) {
            Ok(checkpoint) => {
                return Ok(Some(Found {
                    checkpoint,
                    path,
                    broken,
                }));
            }
            Err(error @ Error::NewerCheckpoint { .. }) => return Err(error),
            Err(error) => broken.push(error),
        }
    }
    if broken.is_empty() {
        return Ok(None);
    }
    Err(Error::NoGoodCheckpoint {
        broken: broken.len(),
        folder: folder.into(),
    })
}

/// Writes checkpoints in a thread of its own, one at a time.
///
/// A save that is asked for while the one before is still being written **waits** for it. Skipping
/// would make what is on disk depend on the disk's speed; and as training only shares two copies
/// of the state with the writer, waiting happens only if writing takes longer than the steps
/// between two saves, which the run's share of time for saving then shows.
#[derive(Debug)]
pub struct CheckpointWriter {
    folder: PathBuf,
    keep: usize,
    meta: Arc<CheckpointMeta>,
    running: Option<JoinHandle<Result<PathBuf, Error>>>,
    latest: Option<PathBuf>,
}

impl CheckpointWriter {
    /// Takes over a folder, made if missing, for a training that stands at `step`.
    ///
    /// What a killed writer left half-written is removed. Checkpoints of a later step are renamed
    /// to `….aside`: they are torn, or belong to a future that is being trained anew, and must
    /// not be mistaken for the newest.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(
        folder: &Path,
        keep: usize,
        meta: CheckpointMeta,
        step: u64,
    ) -> Result<Self, Error> {
        let io = |action, path: &Path| {
            let path = path.to_path_buf();
            move |source| Error::Io {
                action,
                path,
                source,
            }
        };
        std::fs::create_dir_all(folder).map_err(io("make the folder", folder))?;
        for path in entries(folder)? {
            let name = path
                .file_name()
                .and_then(|n| n.to_str())
                .unwrap_or_default();
            if name.starts_with(&format!(".{PREFIX}")) && name.ends_with(PART) {
                std::fs::remove_file(&path).map_err(io("remove", &path))?;
            }
        }
        let mut latest = None;
        for (at, path) in list(folder)? {
            if at > step {
                let mut aside = path.clone().into_os_string();
                aside.push(ASIDE);
                std::fs::rename(&path, aside).map_err(io("rename", &path))?;
            } else {
                latest = Some(path);
            }
        }
        let (folder, meta) = (folder.to_path_buf(), Arc::new(meta));
        Ok(Self {
            folder,
            keep,
            meta,
            running: None,
            latest,
        })
    }

    /// Starts writing `state`, after the one before is done.
    ///
    /// # Errors
    /// What went wrong with the one before; [`Error::Io`] if no thread can be started.
    pub fn save(&mut self, state: Arc<TrainState>) -> Result<(), Error> {
        self.wait()?;
        let (folder, keep, meta) = (self.folder.clone(), self.keep, self.meta.clone());
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || {
                let path = write_whole(&folder, &meta, &state)?;
                drop(state);
                prune(&folder, keep)?;
                Ok(path)
            });
        let path = &self.folder;
        let io = |source| Error::Io {
            action: "start a thread to save",
            path: path.clone(),
            source,
        };
        self.running = Some(thread.map_err(io)?);
        Ok(())
    }

    /// Looks whether a save has ended, without waiting.
    ///
    /// # Errors
    /// What went wrong with it.
    pub fn poll(&mut self) -> Result<(), Error> {
        match &self.running {
            Some(thread) if thread.is_finished() => self.wait(),
            _ => Ok(()),
        }
    }

    /// Waits until nothing is being written.
    ///
    /// # Errors
    /// What went wrong.
    pub fn wait(&mut self) -> Result<(), Error> {
        if let Some(thread) = self.running.take() {
            self.latest = Some(thread.join().map_err(|_| Error::WriterGone)??);
        }
        Ok(())
    }

    /// The newest checkpoint that is known to be whole.
    pub fn latest(&self) -> Option<&Path> {
        self.latest.as_deref()
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        // Only reached without `wait` when an earlier error is already on its way to the caller;
        // the file is still finished, or left out as a whole.
        let _ = self.wait();
    }
}

fn write_whole(folder: &Path, meta: &CheckpointMeta, state: &TrainState) -> Result<PathBuf, Error> {
    let name = checkpoint_name(state.position.step);
    let path = folder.join(&name);
    let beside = folder.join(format!(".{name}.{}{PART}", std::process::id()));
    let result = (|| {
        let mut file = BufWriter::with_capacity(BUFFER, File::create(&beside)?);
        format::write(&mut file, meta, state)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        std::fs::rename(&beside, &path)?;
        // The new name must be on disk before older checkpoints are removed.
        File::open(folder)?.sync_all()
    })();
    if let Err(source) = result {
        // Best effort: the error that matters is already on its way.
        let _ = std::fs::remove_file(&beside);
        return Err(Error::Io {
            action: "write the checkpoint",
            path,
            source,
        });
    }
    Ok(path)
}

/// Removes all but the first and the last `keep`.
fn prune(folder: &Path, keep: usize) -> Result<(), Error> {
    let all = list(folder)?;
    let last = all.len().saturating_sub(keep);
    for (_, path) in all.iter().take(last).skip(1) {
        let io = |source| Error::Io {
            action: "remove the old checkpoint",
            path: path.clone(),
            source,
        };
        std::fs::remove_file(path).map_err(io)?;
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let io = |source| Error::Io {
        action: "read the folder",
        path: folder.into(),
        source,
    };
    let reader = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io)?,
    };
    reader
        .map(|entry| entry.map(|e| e.path()).map_err(io))
        .collect()
}
