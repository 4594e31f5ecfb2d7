//! What can go wrong with a faceset, grouped by who can act.

use std::path::PathBuf;

use stockpot_core::PersonName;
use stockpot_core::picture::PictureError;

use crate::record::Split;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // The user's input
    /// There is no faceset in the folder.
    #[error("No faceset found: {path}")]
    Missing {
        /// The folder looked in.
        path: PathBuf,
    },
    /// The index is a file of another kind.
    #[error("Not a faceset index: {reason}: {path}")]
    NotAFaceset {
        /// What is odd.
        reason: String,
        /// The index.
        path: PathBuf,
    },
    /// The index was written by a newer stockpot.
    #[error("The faceset has format version {found}, this program reads up to {known}: {path}")]
    Newer {
        /// Version of the file.
        found: u32,
        /// Newest version that can be read.
        known: u32,
        /// The index.
        path: PathBuf,
    },
    /// A line in the middle of the index cannot be read.
    #[error("Line {line} of the faceset index is broken: {reason}: {path}")]
    BrokenLine {
        /// Line number from 1.
        line: usize,
        /// What is wrong.
        reason: String,
        /// The index.
        path: PathBuf,
    },
    /// More than this program takes from a file.
    #[error("The faceset has more than {limit} {what}: {path}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: u64,
        /// Which file.
        path: PathBuf,
    },
    /// Nothing to draw samples from.
    #[error("`{person}` has no usable faces in the {split} part of the faceset")]
    NoFaces {
        /// Whose faceset.
        person: PersonName,
        /// Which part was asked for.
        split: Split,
    },
    /// Kept faces that cannot be read.
    #[error("The faces of `{person}` kept for rehearsal cannot be used: {reason}")]
    BadKept {
        /// Whose.
        person: PersonName,
        /// What is wrong.
        reason: &'static str,
    },
    /// The index changed between planning and applying.
    #[error("The faceset changed since the list was made: {path}")]
    Changed {
        /// The index.
        path: PathBuf,
    },

    // Their settings
    /// A setting outside its range.
    #[error("`{name}` cannot be {value}: {accepted} is accepted")]
    BadSetting {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// What would be accepted.
        accepted: &'static str,
    },

    // Their machine
    /// The file system refused.
    #[error("Cannot {action} {path}")]
    Io {
        /// A verb, such as `read`.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A crop cannot be read or written.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// Another program writes to the faceset.
    #[error("The faceset is being written by another program: {path}")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody asked to stop.
    #[error("Stopped on request")]
    Cancelled,

    // The caller, or our bug
    /// A face that cannot be recorded.
    #[error("The face of frame {frame}, track {track} cannot be stored: {reason}")]
    BadFace {
        /// Frame index in the source.
        frame: u64,
        /// Track number.
        track: u32,
        /// Why.
        reason: &'static str,
    },
    /// A buffer of the wrong length.
    #[error("The {what} buffer holds {found} numbers, {wanted} are needed")]
    WrongLength {
        /// Which buffer.
        what: &'static str,
        /// Numbers needed.
        wanted: usize,
        /// Numbers given.
        found: usize,
    },
    /// A worker thread died.
    #[error("A feeding thread stopped unexpectedly")]
    Worker,
}

impl Error {
    /// What to do next, best a command.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { path } => {
                let person = path.file_name().map_or("NAME".into(), |n| n.to_string_lossy());
                Some(format!("make one with `stockpot extract VIDEO --person {person}`"))
            }
            Self::NotAFaceset { .. } | Self::BrokenLine { .. } => Some(
                "the crops themselves are not touched; move the folder away and run `stockpot extract` again".into(),
            ),
            Self::Newer { .. } => Some("update stockpot, or extract again into a new library".into()),
            Self::TooLarge { .. } => Some("split the person's videos over several facesets".into()),
            Self::NoFaces { person, .. } => Some(format!(
                "see why with `stockpot faces report {person}`, add faces with `stockpot extract VIDEO --person {person}`"
            )),
            Self::BadKept { person, .. } => Some(format!(
                "a new set is kept at the end of `stockpot train {person}`"
            )),
            Self::Changed { .. } => Some("run the command again to get a fresh list".into()),
            Self::Busy { .. } => Some("wait until the other extraction or pruning has ended".into()),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Some("free some disk space and run the command again; nothing that was there is lost".into())
            }
            _ => None,
        }
    }

    /// Wraps a file-system error.
    pub(crate) fn io<'a>(
        action: &'static str,
        path: &'a std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.into(),
            source,
        }
    }
}
