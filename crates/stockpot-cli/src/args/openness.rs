//! The flags of `swap` that show what an output is, beside its seal and its mark.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use stockpot_jobs::labelling::{self, Wording};
use stockpot_jobs::swap::Openness;

use crate::environment;

/// What is shown on request.
#[derive(Debug, Args)]
#[command(next_help_heading = "Disclosure")]
pub(crate) struct OpennessArgs {
    /// A visible label in the upper right corner: `eu` (AI MODIFIED), `china`, `korea`, `ad`, or your
    /// own words; capitals of 5 % of the frame's shorter side
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// For how many seconds from the first frame on the label is shown, or `all`
    #[arg(
        long,
        value_name = "SECONDS|all",
        default_value = "all",
        requires = "label"
    )]
    label_time: LabelTime,
    /// Write a disclosure sheet beside the output, as text and as a page: sources, persons, consents,
    /// networks, edits, seal; it names the persons
    #[arg(long)]
    disclosure: bool,
    /// For research on finding swaps: a new folder with the exact mask, the alignment and the blend
    /// parameters of every frame; the credentials say so
    #[arg(long, value_name = "DIR", conflicts_with = "preview")]
    sealed_research: Option<PathBuf>,
    /// Have the time of the signature attested by the service at this address (RFC 3161), which is
    /// sent a hash; or `none` [default: none, nobody is asked]
    #[arg(long, value_name = "URL|none", env = environment::TIME_STAMP)]
    time_stamp: Option<String>,
}

/// For how long a label is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
enum LabelTime {
    All,
    Secs(f64),
}

impl FromStr for LabelTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("all", _) => Ok(Self::All),
            (_, Ok(secs)) if secs > 0.0 && f64::is_finite(secs) => Ok(Self::Secs(secs)),
            _ => Err("say `all`, or seconds above 0".into()),
        }
    }
}

impl OpennessArgs {
    /// As the job takes it.
    pub(crate) fn settings(self) -> Openness {
        let wording = |text: String| match text.as_str() {
            "eu" => Wording::Eu,
            "china" => Wording::China,
            "korea" => Wording::Korea,
            "ad" => Wording::Ad,
            _ => Wording::Own(text),
        };
        Openness {
            label: self.label.map(|text| labelling::Settings {
                wording: wording(text),
                secs: match self.label_time {
                    LabelTime::All => None,
                    LabelTime::Secs(secs) => Some(secs),
                },
            }),
            disclosure: self.disclosure,
            research: self.sealed_research,
            // An empty variable is how shells say that there is none.
            time_stamp: self
                .time_stamp
                .filter(|address| !matches!(address.as_str(), "none" | "")),
        }
    }
}
