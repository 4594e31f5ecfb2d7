//! What can go wrong here. Knows no file and no network.

use stockpot_core::Size;

/// Why a picture could not be marked or looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The picture is too small to carry the mark.
    #[error("A picture of {size} cannot carry the mark, both sides must have {min_px} px or more")]
    TooSmall {
        /// Its size.
        size: Size,
        /// Shortest side that is marked.
        min_px: u32,
    },
    /// The picture is too small to look for the mark in it.
    #[error(
        "A picture of {size} cannot be searched for the mark, both sides must have {min_px} px or more"
    )]
    TooSmallToSearch {
        /// Its size.
        size: Size,
        /// Shortest side that is searched.
        min_px: u32,
    },
    /// The picture is too large to look for the mark in it.
    #[error(
        "A picture of {size} cannot be searched for the mark, both sides may have {max_px} px at most"
    )]
    TooLarge {
        /// Its size.
        size: Size,
        /// Longest side that is searched.
        max_px: u32,
    },
    /// A frame of another size came in the middle of a clip.
    #[error("A frame is {found}, the frames before it were {wanted}")]
    SizeChanged {
        /// Size of the first frame.
        wanted: Size,
        /// Size of this one.
        found: Size,
    },
    /// A text that is no id of a mark.
    #[error("`{text}` is not the id of a mark: 12 hexadecimal digits are wanted")]
    NotAnId {
        /// Its beginning.
        text: String,
    },
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooSmall { min_px, .. } => {
                Some(format!("use a video of at least {min_px}x{min_px} px"))
            }
            Self::TooSmallToSearch { .. } => Some(
                "look at a larger copy of the picture, enlarging this one brings nothing back"
                    .into(),
            ),
            Self::TooLarge { max_px, .. } => Some(format!(
                "scale a copy to {max_px} px or less and look at that"
            )),
            Self::SizeChanged { .. } => {
                Some("use a new detector for each clip or picture size".into())
            }
            Self::NotAnId { .. } => None,
        }
    }
}
