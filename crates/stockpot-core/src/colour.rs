//! What a video says about its colours: the code points of ITU-T H.273, carried, never guessed.

/// Colour description of a video stream. Each number is a code point of ITU-T H.273
/// (2 = unspecified), so that unknown values survive a round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ColourTags {
    /// Colour primaries (1 = BT.709, 9 = BT.2020).
    pub primaries: u8,
    /// Transfer characteristics (1 = BT.709, 16 = PQ, 18 = HLG).
    pub transfer: u8,
    /// Matrix coefficients (0 = RGB, 1 = BT.709, 5/6 = BT.601, 9 = BT.2020).
    pub matrix: u8,
    /// Whether luminance uses 0..=255 instead of 16..=235; `None` if the file does not say.
    pub full_range: Option<bool>,
}

impl ColourTags {
    /// Nothing is said.
    pub const UNSPECIFIED: Self = Self {
        primaries: 2,
        transfer: 2,
        matrix: 2,
        full_range: None,
    };
}

impl Default for ColourTags {
    fn default() -> Self {
        Self::UNSPECIFIED
    }
}
