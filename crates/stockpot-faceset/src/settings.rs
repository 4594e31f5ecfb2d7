//! What a user may choose about writing a faceset and about drawing samples from it.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How crops are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriterSettings {
    /// Side of a stored crop in pixels, 64 to 2048. Default 512; more only for training above
    /// 256 px. A face smaller than this in its frame gives a smaller crop.
    pub crop_side: u32,
    /// By how much a face may be enlarged to reach `crop_side`, 1.0 to 4.0. Default 1.25: more
    /// would only store blur.
    pub max_enlarge: f32,
    /// JPEG quality, 1 to 100. Default 95: visually the frame itself.
    pub jpeg_quality: u8,
    /// Seeds the choice of held-out stretches. Default 0; the same seed and source give the same
    /// split again.
    pub split_seed: u64,
}

impl Default for WriterSettings {
    fn default() -> Self {
        Self {
            crop_side: 512,
            max_enlarge: 1.25,
            jpeg_quality: 95,
            split_seed: 0,
        }
    }
}

impl WriterSettings {
    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::BadSetting`] naming the first setting outside its range.
    pub fn check(&self) -> Result<(), Error> {
        within(
            "crop_side",
            self.crop_side as f32,
            64.0,
            2048.0,
            "64 to 2048",
        )?;
        within("max_enlarge", self.max_enlarge, 1.0, 4.0, "1.0 to 4.0")?;
        within(
            "jpeg_quality",
            f32::from(self.jpeg_quality),
            1.0,
            100.0,
            "1 to 100",
        )
    }
}

/// How samples are drawn and disturbed. The defaults are those of 2018 where it had them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SamplerSettings {
    /// Largest rotation either way, in degrees, 0 to 45. Default 10.
    pub rotation_deg: f32,
    /// Largest scale change either way as a fraction, 0 to 0.5. Default 0.05.
    pub scale: f32,
    /// Largest shift either way as a fraction of the side, 0 to 0.25. Default 0.05.
    pub shift: f32,
    /// Probability of a mirrored sample, 0 to 1. Default 0.5, which doubles the poses seen. Set it
    /// to 0 for a face that is not symmetric: a mole, a scar, a side parting, an eye patch.
    pub flip: f32,
    /// Standard deviation of the random warp's nodes as a fraction of the side, 0 to 0.1. Default
    /// 5/160, as in 2018. 0 switches the warp off (fine-tuning at the end of a training).
    pub warp: f32,
    /// Largest change of the input's overall gain, as a fraction, 0 to 0.5. Default 0.10.
    pub gain: f32,
    /// Largest change of the input's gamma, as a fraction, 0 to 0.5. Default 0.10.
    pub gamma: f32,
    /// Largest shift of the input's brightness, 0 to 0.5 of full range. Default 0.03.
    pub brightness: f32,
    /// Largest gain of one colour channel against the others, 0 to 0.5. Default 0.04.
    pub channel: f32,
    /// Weight of the eyes against the rest of the face, 1 to 100. Default 3.
    pub eyes_weight: f32,
    /// Weight of the mouth against the rest of the face, 1 to 100. Default 2.
    pub mouth_weight: f32,
    /// Shows faces of rare head poses more often. Default true.
    pub balance_poses: bool,
}

impl Default for SamplerSettings {
    fn default() -> Self {
        Self {
            rotation_deg: 10.0,
            scale: 0.05,
            shift: 0.05,
            flip: 0.5,
            warp: 5.0 / 160.0,
            gain: 0.10,
            gamma: 0.10,
            brightness: 0.03,
            channel: 0.04,
            eyes_weight: 3.0,
            mouth_weight: 2.0,
            balance_poses: true,
        }
    }
}

impl SamplerSettings {
    /// Nothing disturbed: every sample is the face as it was cached.
    pub fn plain() -> Self {
        Self {
            rotation_deg: 0.0,
            scale: 0.0,
            shift: 0.0,
            flip: 0.0,
            warp: 0.0,
            gain: 0.0,
            gamma: 0.0,
            brightness: 0.0,
            channel: 0.0,
            ..Self::default()
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// [`Error::BadSetting`] naming the first setting outside its range.
    pub fn check(&self) -> Result<(), Error> {
        within("rotation_deg", self.rotation_deg, 0.0, 45.0, "0 to 45")?;
        within("scale", self.scale, 0.0, 0.5, "0 to 0.5")?;
        within("shift", self.shift, 0.0, 0.25, "0 to 0.25")?;
        within("flip", self.flip, 0.0, 1.0, "0 to 1")?;
        within("warp", self.warp, 0.0, 0.1, "0 to 0.1")?;
        within("gain", self.gain, 0.0, 0.5, "0 to 0.5")?;
        within("gamma", self.gamma, 0.0, 0.5, "0 to 0.5")?;
        within("brightness", self.brightness, 0.0, 0.5, "0 to 0.5")?;
        within("channel", self.channel, 0.0, 0.5, "0 to 0.5")?;
        within("eyes_weight", self.eyes_weight, 1.0, 100.0, "1 to 100")?;
        within("mouth_weight", self.mouth_weight, 1.0, 100.0, "1 to 100")
    }
}

/// Refuses a value outside `low..=high`, and what is not a number.
pub(crate) fn within(
    name: &'static str,
    value: f32,
    low: f32,
    high: f32,
    accepted: &'static str,
) -> Result<(), Error> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::BadSetting {
        name,
        value: value.to_string(),
        accepted,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_accepted_and_nonsense_is_named() {
        assert!(WriterSettings::default().check().is_ok());
        assert!(SamplerSettings::default().check().is_ok());
        assert!(SamplerSettings::plain().check().is_ok());
        let bad = SamplerSettings {
            warp: f32::NAN,
            ..SamplerSettings::default()
        };
        assert!(
            bad.check()
                .unwrap_err()
                .to_string()
                .starts_with("`warp` cannot be NaN")
        );
    }
}
