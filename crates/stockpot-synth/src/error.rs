//! What can go wrong when people are drawn, grouped by who can act.

use std::path::PathBuf;

/// An error of this crate. [`Error::hint`] gives the next thing to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // What the user can put right.
    /// A file of the head data cannot be read.
    #[error("Cannot read the head data {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Bytes that are no mesh or target this crate can use.
    #[error("Cannot use the head data, {reason} (line {line}): {name}")]
    Broken {
        /// What is wrong, and what would be accepted.
        reason: &'static str,
        /// Line of the text, from 1; 0 if the whole is meant.
        line: usize,
        /// Name of the file inside the package.
        name: String,
    },

    /// A file of the asset folder cannot be read.
    #[error("Cannot read the assets {path}")]
    AssetIo {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the asset folder is not what it should be.
    #[error("Cannot use the assets, {reason} (line {line}): {path}")]
    AssetBroken {
        /// What is wrong, and what would be accepted.
        reason: &'static str,
        /// Line of the text, from 1; 0 if the whole is meant.
        line: usize,
        /// Which file or folder.
        path: PathBuf,
    },
    /// A picture of the asset folder cannot be read.
    #[error(transparent)]
    AssetPicture(#[from] stockpot_core::picture::PictureError),

    // Our caller's mistake.
    /// A picture of no or far too many pixels.
    #[error("The sides of a drawn picture must be 16 to 2048 px, found {}x{}", found.width, found.height)]
    BadSize {
        /// The size asked for.
        found: stockpot_core::image::Size,
    },
}

impl Error {
    /// The next thing to do, if there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } | Self::Broken { .. } => {
                Some("install the head data again: stockpot models install".into())
            }
            Self::AssetIo { .. } | Self::AssetBroken { .. } | Self::AssetPicture(_) => {
                Some("take a folder of MakeHuman's CC0 assets as docs/formats/assets.md describes it, or none".into())
            }
            Self::BadSize { .. } => None,
        }
    }
}
