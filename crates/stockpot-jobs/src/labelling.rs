//! The visible label of a swap: what it says, how large it is and how long it stays, by what laws
//! ask for.
//!
//! Not legal advice: a preset is what we take a law to want of the label itself; whether one is
//! needed, and whether it is enough, stays the user's question. Start with [`Settings`];
//! [`Labelling`] puts it into frames. It knows nothing of faces.

use std::collections::BTreeMap;

use rayon::prelude::*;
use stockpot_convert::Label;
use stockpot_core::{Rgb8, Size};
use stockpot_media::{FramePixels, VideoFrame};
use stockpot_provenance::VisibleLabel;

use crate::error::JobError;

/// Height of a label's capitals over the frame's shorter side.
///
/// China's mandatory standard GB 45438-2025 wants signs of at least 5 % of the shortest side on
/// pictures and in videos; nobody else names a size, so all labels have it.
const SHARE: f32 = 0.05;

/// What a label says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wording {
    /// European Union: AI Act, Art. 50(4), in force since 2 August 2026, with the Code of Practice
    /// of 10 June 2026. It offers the words "AI MODIFIED" for filmed content that AI changed, with
    /// the capitals AI in front; suggests the upper right corner; and wants them at the first
    /// exposure and again after breaks.
    Eu,
    /// China: Measures for Labelling Synthetic Content and GB 45438-2025, in force since 1 September
    /// 2025: "AI" with the signs for made or put together (here 合成), in a corner or at an edge, at
    /// least 5 % of the shorter side high, in videos from the first frame on for 2 seconds or more.
    China,
    /// Korea: AI Basic Act, Art. 31(3), in force since 22 January 2026: what cannot be told from
    /// real is labelled so that everybody sees it. No words are prescribed: "AI 합성", AI composite.
    Korea,
    /// New York: General Business Law, section 396-b (S.8420-A), in force since 9 June 2026: an
    /// advertisement discloses a synthetic performer conspicuously. No words are prescribed.
    Ad,
    /// The user's own words.
    Own(String),
}

impl Wording {
    /// The words.
    pub fn text(&self) -> &str {
        match self {
            Self::Eu => "AI MODIFIED",
            Self::China => "AI合成",
            Self::Korea => "AI 합성",
            Self::Ad => "AI: SYNTHETIC PERFORMER",
            Self::Own(text) => text,
        }
    }

    /// The preset's name, as the user types it.
    pub fn preset(&self) -> Option<&'static str> {
        match self {
            Self::Eu => Some("eu"),
            Self::China => Some("china"),
            Self::Korea => Some("korea"),
            Self::Ad => Some("ad"),
            Self::Own(_) => None,
        }
    }

    /// How long it has to stay at least, in seconds, where a law says so.
    fn least_secs(&self) -> Option<f64> {
        (*self == Self::China).then_some(2.0)
    }
}

/// A label, as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What it says.
    pub wording: Wording,
    /// For how many seconds from the first frame on; all the time without.
    pub secs: Option<f64>,
}

impl Settings {
    /// Whether it can be drawn into frames of this size; `moving` tells whether they have time.
    ///
    /// # Errors
    /// For a time that is none, too short for the preset, or asked for of pictures; and for words
    /// that cannot be drawn.
    pub(crate) fn check(&self, size: Size, moving: bool) -> Result<(), JobError> {
        if let Some(secs) = self.secs {
            if !moving {
                return Err(JobError::usage("Pictures have no time to show a label for")
                    .with_hint("leave --label-time out: every picture gets the label"));
            }
            if !(secs.is_finite() && secs > 0.0) {
                return Err(JobError::usage(format!(
                    "A label cannot be shown for {secs} s, accepted are numbers above 0, and `all`"
                )));
            }
            if let Some(least) = self.wording.least_secs().filter(|least| secs < *least) {
                return Err(JobError::usage(format!(
                    "The label is to be shown for {secs} s; the rule behind this preset wants {least} s or more"
                ))
                .with_hint(format!("use --label-time {least} or more, or leave it out")));
            }
        }
        Label::new(self.wording.text(), SHARE, size)?;
        Ok(())
    }

    /// What credentials say of it.
    pub(crate) fn told(&self) -> VisibleLabel {
        VisibleLabel {
            text: self.wording.text().to_owned(),
            preset: self.wording.preset().map(str::to_owned),
            secs: self.secs,
        }
    }
}

/// Puts a label into the frames of one output.
pub(crate) struct Labelling {
    settings: Settings,
    /// Seconds at which the first frame is shown.
    begun: Option<f64>,
    /// Pictures of a folder may differ in size.
    drawn: BTreeMap<(u32, u32), Label>,
}

impl Labelling {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            begun: None,
            drawn: BTreeMap::new(),
        }
    }

    /// Labels those of these frames that are shown within its time. Frames come in order.
    pub(crate) fn frames(&mut self, frames: &mut [VideoFrame]) -> Result<(), JobError> {
        for frame in frames.iter() {
            self.begun.get_or_insert(frame.pts.secs());
            self.prepare(frame.pixels.size())?;
        }
        let begun = self.begun.unwrap_or_default();
        frames
            .par_iter_mut()
            .filter(|frame| {
                let shown = |secs| frame.pts.secs() - begun < secs;
                self.settings.secs.is_none_or(shown)
            })
            .try_for_each(|frame| {
                let size = frame.pixels.size();
                if let Some(label) = self.drawn.get(&(size.width, size.height)) {
                    match &mut frame.pixels {
                        FramePixels::Rgb8(pixels) => label.draw(pixels)?,
                        FramePixels::Rgb16(pixels) => label.draw(pixels)?,
                    }
                }
                Ok(())
            })
    }

    /// Labels a picture.
    pub(crate) fn picture(&mut self, picture: &mut Rgb8) -> Result<(), JobError> {
        self.prepare(picture.size())?.draw(picture)?;
        Ok(())
    }

    fn prepare(&mut self, size: Size) -> Result<&Label, JobError> {
        use std::collections::btree_map::Entry;
        Ok(match self.drawn.entry((size.width, size.height)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                free.insert(Label::new(self.settings.wording.text(), SHARE, size)?)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use stockpot_core::{TimeBase, Timestamp};

    use super::*;

    fn settings(wording: Wording, secs: Option<f64>) -> Settings {
        Settings { wording, secs }
    }

    #[test]
    fn every_preset_can_be_drawn_and_keeps_its_rule() {
        let size = Size::new(1080, 1920);
        for wording in [Wording::Eu, Wording::China, Wording::Korea, Wording::Ad] {
            let label = Label::new(wording.text(), SHARE, size).unwrap();
            assert!(label.height_px() >= 54.0);
            assert!(wording.text().contains("AI"));
            settings(wording, None).check(size, true).unwrap();
        }
        for (wording, secs, moving, fits) in [
            (Wording::China, 1.9, true, false),
            (Wording::China, 2.0, true, true),
            (Wording::Eu, 1.0, true, true),
            (Wording::Eu, 1.0, false, false),
            (Wording::Eu, 0.0, true, false),
            (Wording::Eu, f64::NAN, true, false),
            (Wording::Own("weiß nicht".into()), 1.0, true, false),
        ] {
            let found = settings(wording.clone(), Some(secs)).check(size, moving);
            assert_eq!(found.is_ok(), fits, "{wording:?} {secs} {moving}");
        }
    }

    #[test]
    fn a_label_ends_when_its_time_is_over() {
        let base = TimeBase { num: 1, den: 10 };
        let plain = Rgb8::from_vec(Size::square(200), vec![90; 200 * 200 * 3]).unwrap();
        let mut frames: Vec<VideoFrame> = (0..6)
            .map(|i| VideoFrame {
                index: i,
                pts: Timestamp {
                    ticks: 40 + i as i64,
                    base,
                },
                duration_ticks: None,
                pixels: FramePixels::Rgb8(plain.clone()),
            })
            .collect();
        let mut labelling = Labelling::new(settings(Wording::Eu, Some(0.35)));
        // In two groups, as they come.
        let (first, second) = frames.split_at_mut(2);
        labelling.frames(first).unwrap();
        labelling.frames(second).unwrap();
        let labelled: Vec<bool> = frames.iter().map(|f| f.pixels.to_rgb8() != plain).collect();
        assert_eq!(labelled, [true, true, true, true, false, false]);
    }
}
