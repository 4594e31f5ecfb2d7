//! One writer at a time.
//!
//! The lock is the operating system's own lock on the file `lock`, which it drops by itself when
//! the process ends however it ends: a stale lock cannot stand in the way, and no guess about
//! process numbers is needed. The file's text (process number, time) only serves the message that
//! says who is at work; the file itself is never removed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long to sleep between two tries at the lock.
const RETRY: Duration = Duration::from_millis(10);

/// Who holds the lock, or held it when it died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LockHolder {
    /// Its process number.
    pub pid: u32,
    /// When it took the lock, in seconds since 1970 UTC, by its own clock.
    pub since_secs: u64,
}

/// The held lock; dropped with the value.
#[derive(Debug)]
pub(crate) struct WriteLock {
    file: File,
    /// A former holder that died without giving the lock back.
    pub(crate) left_by: Option<LockHolder>,
}

impl WriteLock {
    /// Takes the lock, waiting at most `patience` for another writer to finish.
    pub(crate) fn take(path: &Path, now_secs: u64, patience: Duration) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| Error::io("open the lock file", path, e))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < patience => {
                    std::thread::sleep(RETRY);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Locked {
                        holder: read_holder(&mut file),
                        path: path.to_path_buf(),
                    });
                }
                Err(TryLockError::Error(e)) => return Err(Error::io("take the lock", path, e)),
            }
        }
        let left_by = read_holder(&mut file);
        let holder = LockHolder {
            pid: std::process::id(),
            since_secs: now_secs,
        };
        // Harmless if it fails (a full disk): only the message to others knows less. The lock
        // itself is held, and taking a person out must work on a full disk.
        let _ = write_holder(&mut file, Some(holder));
        Ok(Self { file, left_by })
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        // Harmless if it fails: the next holder takes us for dead, which is only a note.
        let _ = write_holder(&mut self.file, None);
    }
}

fn read_holder(file: &mut File) -> Option<LockHolder> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    // Unreadable text only makes the message say "another process".
    file.take(256).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn write_holder(file: &mut File, holder: Option<LockHolder>) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    if let Some(holder) = holder {
        file.write_all(&serde_json::to_vec(&holder)?)?;
    }
    Ok(())
}
