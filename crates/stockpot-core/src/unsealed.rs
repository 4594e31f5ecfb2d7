//! An output that is finished but does not say yet what it is.
//!
//! What encodes hands one out; the only thing to do with it is to give it to `stockpot-provenance`,
//! which puts the credentials in and gives the file its name. It cannot be renamed or kept, and it
//! removes itself: forgetting to seal leaves no file. Start with [`Unsealed`].

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A file beside the place where an output will stand, removed when this is dropped.
#[derive(Debug)]
#[must_use = "an output that is not sealed is removed again"]
pub struct Unsealed {
    path: PathBuf,
}

impl Unsealed {
    /// Makes an empty file called `target` plus `suffix`, so that a folder that cannot be written is
    /// told before any work is done. What is left there by a crash is overwritten.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(target: &Path, suffix: &str) -> io::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        File::create(&path)?;
        Ok(Self { path })
    }

    /// Where the bytes are for now.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unsealed {
    fn drop(&mut self) {
        // It may have got its name by now; and if it cannot be removed, an error that matters more
        // is on its way.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_at_once_and_gone_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("a.mp4");
        let part = Unsealed::create(&target, ".part").unwrap();
        assert_eq!(part.path(), folder.path().join("a.mp4.part"));
        assert!(part.path().is_file());
        drop(part);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Unsealed::create(&folder.path().join("none/a.mp4"), ".part").is_err());
    }
}
