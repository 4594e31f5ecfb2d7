//! What can be wrong with a family name or a weights file.

use crate::family::Family;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user named a network that does not exist.
    #[error(
        "`{name}` is no network: accepted are comb-s-64, comb-s-96, comb-s-128 and classic-LxN (such as classic-4x1024, L 2 to 5, N 16 to 4096; with all widths divided by 8: classic-4x128d8)"
    )]
    UnknownFamily {
        /// What was asked for.
        name: String,
    },
    /// The bytes are no weights file.
    #[error("Not a safetensors file: {reason}")]
    NotWeights {
        /// What the reader says.
        reason: String,
    },
    /// Names or shapes differ from what the network wants.
    #[error("These weights do not fit {family}: {}", problems.join("; "))]
    Mismatch {
        /// The network.
        family: Family,
        /// One entry per array: missing, unused (with the nearest name), or of another shape.
        problems: Vec<String>,
    },
    /// Weights that fit the network of this name as it was before its widths were changed.
    #[error(
        "These weights are of {family} as an earlier stockpot made it; the network of that name has other widths now"
    )]
    Earlier {
        /// The network.
        family: Family,
    },
    /// Codes that no map can be fitted to, or a map that does not fit a network.
    #[error("These codes cannot be stitched: {reason}")]
    Stitch {
        /// What is wrong, and what is wanted.
        reason: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownFamily { .. } => Some("use `--preset comb-s-96`, the default".into()),
            Self::NotWeights { .. } => Some("run `stockpot library verify`".into()),
            Self::Earlier { .. } => Some(
                "train these persons again in a new library, or go on with the stockpot that made this one".into(),
            ),
            Self::Stitch { .. } => None,
            Self::Mismatch { .. } => Some(
                "a library holds networks of one family; make another library for another".into(),
            ),
        }
    }
}
