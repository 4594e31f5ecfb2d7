//! The choices of putting a face back. Plain values, checked once by
//! [`ConvertSettings::validate`]; knows nothing of command lines or files.

use crate::error::Error;

/// Which shape limits the pasted face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MaskMode {
    /// Only the decoder's own mask. For heads without landmarks, and for decoders trained on
    /// masks that know about hair and hands.
    Decoder,
    /// Only the outline of the filmed face, grown by [`ConvertSettings::oval_grow_percent`]. For
    /// decoders whose mask is poor.
    Oval,
    /// The product of both: nothing is pasted that either of them rules out.
    #[default]
    Both,
}

impl MaskMode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Decoder => "decoder",
            Self::Oval => "oval",
            Self::Both => "both",
        }
    }

    pub(crate) const fn uses_decoder(self) -> bool {
        matches!(self, Self::Decoder | Self::Both)
    }

    pub(crate) const fn uses_oval(self) -> bool {
        matches!(self, Self::Oval | Self::Both)
    }
}

/// What of the colours around the face is given to the pasted one.
///
/// Around the mask's edge the frame shows the filmed person's skin, the patch the new one's: their
/// ratio is light times skin, and nothing in one frame tells the two apart for certain. The slope of
/// light over the face is matched in `Light` and `Skin` alike: skin has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColourMatch {
    /// Nothing: the decoder's own colours.
    Keep,
    /// What light alone may explain, so that the new person keeps their skin. Small differences of
    /// brightness and cast are taken over wholly; the further a difference is from what light does, the
    /// less of it ([`crate::ColourFix::planes`]). On people of alike skin that is a full match.
    #[default]
    Light,
    /// All of it, as colour transfers of other tools do (there the modes of mean colour, such as
    /// `rct`): the face takes on the filmed person's skin. For swaps whose neck and hands must fit,
    /// and for scenes far darker than anything the decoder was trained on.
    Skin,
}

/// How the edge between patch and frame is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Blend {
    /// A soft edge that lies wholly inside the mask.
    #[default]
    Feather,
}

/// How a decoded face is put back into its frame.
///
/// "Face width" is the width of an adult face at the scale of the transform
/// ([`crate::Placement::face_width_px`]), so that a setting means the same for near and far faces.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertSettings {
    /// Which shape limits the pasted face. Default: both decoder and oval. Change it when the
    /// decoder's mask flickers (`Oval`) or when it is better than the oval (`Decoder`).
    pub mask: MaskMode,
    /// By how much the outline of the face is grown around its centre, in percent of its size,
    /// -30 to 50, default 4. Raise it if the forehead or jaw of the filmed person shows, lower it
    /// if pasted skin covers hair.
    pub oval_grow_percent: f32,
    /// Width taken off the mask all around before the soft edge starts, in percent of the face
    /// width, 0 to 20, default 1. Raise it if background or hair of the decoder shows at the edge.
    pub erode_percent: f32,
    /// Width of the soft edge, in percent of the face width, 0 to 30, default 10 (30 px on a face
    /// of 300 px; never below 1 px). Raise it if the edge shows, lower it if the filmed face shines
    /// through at the jaw.
    pub feather_percent: f32,
    /// What of the colours around the face is given to it. Default: `Light`. `Skin` if the face must
    /// fit the filmed neck and hands, `Keep` if the decoder's colours are right as they are.
    pub colour_match: ColourMatch,
    /// How far the patch's colours are moved to those of the frame around the mask's edge, 0 (not
    /// at all) to 1 (fully), default 1. Lower it to keep more of the decoder's own skin tone; the
    /// edge then shows more. Removing the decoder's own frame-to-frame colour wobble is not
    /// affected.
    pub colour_strength: f32,
    /// Frames before and after a frame whose measurements are averaged for it, 0 to 60, default 6.
    /// More is calmer, follows changes of light more slowly, and keeps more frames in memory.
    pub colour_window: u32,
    /// Standard deviation of that average in frames, above 0 to 60, default 3 (half the window).
    /// Change it together with the window.
    pub colour_sigma_frames: f32,
    /// Unsharp masking of the patch before it is enlarged: how many times the difference to a
    /// copy blurred by one patch pixel is added, 0 to 2, default 0 (off). Raise it for soft
    /// decoders; above 1 noise is seen first.
    pub sharpen: f32,
    /// How the edge is made. Default: `Feather`, the only one for now.
    pub blend: Blend,
}

impl Default for ConvertSettings {
    fn default() -> Self {
        Self {
            mask: MaskMode::Both,
            oval_grow_percent: 4.0,
            erode_percent: 1.0,
            feather_percent: 10.0,
            colour_match: ColourMatch::Light,
            colour_strength: 1.0,
            colour_window: 6,
            colour_sigma_frames: 3.0,
            sharpen: 0.0,
            blend: Blend::Feather,
        }
    }
}

impl ConvertSettings {
    /// Checks every range. The engine's functions check again, so a caller may use this early.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first value outside its range or not a number.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            (
                "oval_grow_percent",
                self.oval_grow_percent,
                -30.0..=50.0,
                "-30 to 50",
            ),
            ("erode_percent", self.erode_percent, 0.0..=20.0, "0 to 20"),
            (
                "feather_percent",
                self.feather_percent,
                0.0..=30.0,
                "0 to 30",
            ),
            ("colour_strength", self.colour_strength, 0.0..=1.0, "0 to 1"),
            (
                "colour_window",
                self.colour_window as f32,
                0.0..=60.0,
                "0 to 60",
            ),
            (
                "colour_sigma_frames",
                self.colour_sigma_frames,
                0.01..=60.0,
                "0.01 to 60",
            ),
            ("sharpen", self.sharpen, 0.0..=2.0, "0 to 2"),
        ];
        for (name, value, range, accepted) in checks {
            if !range.contains(&value) {
                return Err(Error::Setting {
                    name,
                    value: f64::from(value),
                    accepted,
                });
            }
        }
        Ok(())
    }
}
