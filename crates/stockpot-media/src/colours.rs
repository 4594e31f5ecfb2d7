//! Which YUV matrix and range a stream uses, also when it does not say.

use stockpot_core::ColourTags;

use crate::ffi::YuvKind;
use crate::yuv::Coefficients;

/// From this height on, an untagged video is taken for BT.709, below for BT.601. What players do:
/// standard definition ends at 576 lines.
const HD_HEIGHT: u32 = 720;

/// libswscale's numbers for matrices (`SWS_CS_*` in swscale.h), which are those of H.273 where both
/// know a matrix.
const BT709: i32 = 1;
const FCC: i32 = 4;
const BT601: i32 = 5;
const SMPTE240M: i32 = 7;
const BT2020: i32 = 9;

/// The matrix and range to convert with. An unsaid range is limited; an unsaid matrix is BT.709
/// for pictures stored with 720 or more lines, else BT.601.
pub(crate) fn yuv_kind(tags: ColourTags, stored_height: u32) -> YuvKind {
    let coefficients = match tags.matrix {
        1 => BT709,
        4 => FCC,
        5 | 6 => BT601,
        7 => SMPTE240M,
        9 | 10 => BT2020,
        _ if stored_height >= HD_HEIGHT => BT709,
        _ => BT601,
    };
    YuvKind {
        coefficients,
        full_range: tags.full_range.unwrap_or(false),
    }
}

/// The same for our own converter.
pub(crate) fn coefficients(kind: YuvKind) -> Coefficients {
    // `Kr` and `Kb` of ITU-T H.273, table 4.
    let (kr, kb) = match kind.coefficients {
        BT709 => (0.2126, 0.0722),
        FCC => (0.30, 0.11),
        SMPTE240M => (0.212, 0.087),
        BT2020 => (0.2627, 0.0593),
        _ => (0.299, 0.114),
    };
    Coefficients::new(kr, kb, kind.full_range)
}

/// The tags an output carries: the source's, but a source that stores RGB becomes YUV.
pub(crate) fn output_tags(tags: ColourTags, stored_height: u32) -> ColourTags {
    if tags.matrix != 0 {
        return tags;
    }
    ColourTags {
        matrix: if stored_height >= HD_HEIGHT { 1 } else { 6 },
        full_range: Some(false),
        ..tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untagged_video_is_709_from_720_lines_on() {
        let of = |height| yuv_kind(ColourTags::UNSPECIFIED, height);
        assert_eq!((of(720).coefficients, of(719).coefficients), (BT709, BT601));
        assert!(!of(720).full_range);
    }
}
