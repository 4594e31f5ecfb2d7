//! What can go wrong here, grouped by who can act. Knows no file and no network.

use stockpot_core::image::Size;

/// Why a frame could not be cut, pasted or shown.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // The user's settings.
    /// A setting lies outside its range.
    #[error("The convert setting `{name}` is {value}, accepted is {accepted}")]
    Setting {
        /// Field of [`crate::ConvertSettings`].
        name: &'static str,
        /// What was given.
        value: f64,
        /// What would be taken.
        accepted: &'static str,
    },
    /// The mask mode asks for the face oval, but the patch has none.
    #[error("The mask mode `{mode}` needs the outline of the face, the patch came without one")]
    NoOval {
        /// The mode, as the user writes it.
        mode: &'static str,
    },
    /// A contact sheet of nothing, or a larger one than a picture may be.
    #[error(
        "A contact sheet of {rows} rows in cells of {cell} cannot be drawn, accepted are 1 row or more and sides up to {max_side} px"
    )]
    Sheet {
        /// Rows asked for.
        rows: usize,
        /// Cell asked for.
        cell: Size,
        /// Longest side of a picture.
        max_side: u32,
    },

    /// A label has a character that there is no sign for.
    #[error("The label has the character {sign:?}, which cannot be drawn; accepted are {known}")]
    LabelSign {
        /// The character.
        sign: char,
        /// Those with a sign.
        known: &'static str,
    },
    /// A label that says nothing, or has no room.
    #[error(
        "The label {text:?} does not fit into frames of {size}, accepted are 1 to 80 signs that do"
    )]
    LabelRoom {
        /// Its beginning.
        text: String,
        /// Size of the frames.
        size: Size,
    },

    // The input of this frame.
    /// The frame has no pixels.
    #[error("The frame is {size}, at least 1x1 is needed")]
    EmptyFrame {
        /// Its size.
        size: Size,
    },
    /// The transform cannot be inverted, or puts a face where none can be.
    #[error(
        "The face transform {rows:?} cannot be used: {reason}, accepted is an invertible one that makes the area {min_px} to {max_px} px wide"
    )]
    Transform {
        /// `face_from_frame`, row by row.
        rows: [f64; 6],
        /// What is wrong with it.
        reason: &'static str,
        /// Smallest width of the area in frame pixels.
        min_px: f64,
        /// Largest width of the area in frame pixels.
        max_px: f64,
    },

    // Our bug: the caller mixes things up.
    /// A label was made for frames of another size.
    #[error("A label for frames of {wanted} cannot be drawn into one of {found}")]
    LabelFrame {
        /// Size it was made for.
        wanted: Size,
        /// Size of the frame.
        found: Size,
    },
    /// The network's resolution is out of range.
    #[error("A network resolution of {found} px cannot be used, accepted are {min} to {max} px")]
    Resolution {
        /// What was given.
        found: u32,
        /// Smallest.
        min: u32,
        /// Largest.
        max: u32,
    },
    /// A buffer does not fit its resolution.
    #[error("The {what} of a {resolution} px patch has {wanted} numbers, found {found}")]
    Length {
        /// Which buffer.
        what: &'static str,
        /// Side of the patch.
        resolution: u32,
        /// Numbers needed.
        wanted: usize,
        /// Numbers given.
        found: usize,
    },
    /// Measurements of a track came out of order.
    #[error("Frame {frame} was measured after frame {last}, accepted are rising frame numbers")]
    Order {
        /// The late frame.
        frame: u64,
        /// The last one before it.
        last: u64,
    },
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Setting { name, accepted, .. } => {
                Some(format!("set `{name}` to a value in {accepted}"))
            }
            Self::NoOval { .. } => {
                Some("use the mask mode `decoder`, or pass the landmarks' outline".into())
            }
            Self::Sheet { .. } => Some("ask for fewer preview frames or smaller cells".into()),
            Self::Transform { .. } => {
                Some("leave this face out of this frame: its landmarks are not a face".into())
            }
            Self::LabelSign { .. } => {
                Some("write it with those signs, or choose a preset: eu, china, korea or ad".into())
            }
            Self::LabelRoom { .. } => Some("shorten the label, or break long words".into()),
            Self::EmptyFrame { .. }
            | Self::LabelFrame { .. }
            | Self::Resolution { .. }
            | Self::Length { .. }
            | Self::Order { .. } => None,
        }
    }
}
