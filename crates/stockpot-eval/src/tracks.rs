//! The twelve tracks of SwapBench: what each asks, and who answers.
//!
//! A track is a function from the [`World`] to [`Findings`]. Those that need parts which do not exist
//! yet say which issue brings them. Start with [`ALL`].

use stockpot_jobs::JobError;

use crate::bench::World;
use crate::outcome::Measure;

pub(crate) mod composite;
pub mod t10;
pub mod t11;
pub mod t12;
pub mod t1_t2;
pub mod t3;
pub mod t4;
pub mod t5;
pub mod t6;
pub mod t7;
pub mod t8;
pub mod t9;

/// What a track found.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// The numbers.
    pub measures: Vec<Measure>,
    /// What to know about them.
    pub note: String,
}

/// Whether a track is there.
#[derive(Clone, Copy)]
pub enum State {
    /// It is.
    Here {
        /// Measures.
        run: fn(&mut World) -> Result<Findings, JobError>,
        /// Minutes to expect on 2 cores, quick and full.
        minutes: (f64, f64),
    },
    /// It needs parts that this issue brings.
    NotYet {
        /// Its number.
        issue: u32,
    },
}

/// One track.
#[derive(Clone, Copy)]
pub struct Track {
    /// `T1` to `T12`.
    pub id: &'static str,
    /// What it asks.
    pub title: &'static str,
    /// Who answers.
    pub state: State,
}

const fn track(id: &'static str, title: &'static str, state: State) -> Track {
    Track { id, title, state }
}

/// Every track, in order.
pub const ALL: [Track; 12] = [
    track(
        "T1",
        "reconstruct",
        State::Here {
            run: t1_t2::reconstruct,
            minutes: (2.3, 6.6),
        },
    ),
    track(
        "T2",
        "swap truth",
        State::Here {
            run: t1_t2::swap_truth,
            minutes: (0.1, 0.2),
        },
    ),
    track(
        "T3",
        "warm start",
        State::Here {
            run: t3::warm_start,
            minutes: (1.9, 7.3),
        },
    ),
    track(
        "T4",
        "interchange",
        State::Here {
            run: t4::interchange,
            minutes: (1.3, 4.0),
        },
    ),
    track(
        "T5",
        "forgetting",
        State::Here {
            run: t5::forgetting,
            minutes: (0.1, 0.2),
        },
    ),
    track(
        "T6",
        "stitch",
        State::Here {
            run: t6::stitched,
            minutes: (0.2, 0.9),
        },
    ),
    track(
        "T7",
        "few-shot person",
        State::Here {
            run: t7::few_photos,
            minutes: (0.8, 2.5),
        },
    ),
    track(
        "T8",
        "identity, pose, expression",
        State::Here {
            run: t8::judged,
            minutes: (0.3, 0.7),
        },
    ),
    track(
        "T9",
        "video",
        State::Here {
            run: t9::video,
            minutes: (0.1, 0.2),
        },
    ),
    track(
        "T10",
        "convert",
        State::Here {
            run: t10::convert,
            minutes: (0.05, 0.1),
        },
    ),
    track(
        "T11",
        "speed",
        State::Here {
            run: t11::speed,
            minutes: (0.4, 0.7),
        },
    ),
    track(
        "T12",
        "provenance",
        State::Here {
            run: t12::provenance,
            minutes: (0.4, 2.0),
        },
    ),
];

/// The tracks that were named, in the order of the bench; all if none was.
///
/// # Errors
/// If there is no such track.
pub fn chosen(named: &[String]) -> Result<Vec<Track>, JobError> {
    if let Some(unknown) = named
        .iter()
        .find(|n| !ALL.iter().any(|t| t.id.eq_ignore_ascii_case(n)))
    {
        return Err(JobError::usage(format!("There is no track `{unknown}`"))
            .with_hint("tracks are T1 to T12"));
    }
    let wanted = |t: &Track| named.is_empty() || named.iter().any(|n| t.id.eq_ignore_ascii_case(n));
    Ok(ALL.into_iter().filter(wanted).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_are_chosen_by_number() {
        let ids = |named: &[&str]| -> Result<Vec<&str>, JobError> {
            let named: Vec<String> = named.iter().map(|n| (*n).to_owned()).collect();
            Ok(chosen(&named)?.iter().map(|t| t.id).collect())
        };
        assert_eq!(ids(&[]).unwrap().len(), 12);
        assert_eq!(ids(&["t11", "T2"]).unwrap(), ["T2", "T11"]);
        assert!(ids(&["T13"]).is_err());
    }

    #[test]
    fn quick_and_full_keep_their_promise() {
        let minutes = ALL.iter().filter_map(|t| match t.state {
            State::Here { minutes, .. } => Some(minutes),
            State::NotYet { .. } => None,
        });
        let (quick, full) = minutes.fold((0.0, 0.0), |s, m| (s.0 + m.0, s.1 + m.1));
        assert!(quick <= 8.0 && full <= 30.0, "{quick} {full}");
    }
}
