//! `stockpot grow`: what may be typed.

use clap::Args;
use stockpot_core::PersonName;

use super::{PrecisionName, positive, setting};

#[derive(Debug, Args)]
pub(crate) struct GrowArgs {
    /// The persons to train, new or known
    #[arg(value_name = "NAME", required_unless_present = "resume")]
    pub(crate) names: Vec<PersonName>,
    /// Stop after this many steps
    #[arg(long, value_name = "N", conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// Stop after this many minutes [default: 30, unless --steps is given]
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = positive::<f64>)]
    pub(crate) minutes: Option<f64>,
    /// Release the new encoder state even if somebody wears by it
    #[arg(long)]
    pub(crate) allow_wear: bool,
    /// Train although faces look like somebody else's
    #[arg(long, conflicts_with = "resume")]
    pub(crate) accept_faces: bool,
    /// Faces of each person in one step [default: 16]
    #[arg(long, value_name = "N", conflicts_with = "resume", value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) batch: Option<u64>,
    /// Number format of the products, 16 or 32 bits [default: auto, or what the resumed run has]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) precision: Option<PrecisionName>,
    /// Go on with a run that was stopped, or with --allow-wear release one that was not released
    #[arg(long, value_name = "RUN", conflicts_with = "names")]
    pub(crate) resume: Option<String>,
    /// Any other setting of the training, such as distil_weight=2; may be given several times. A wrong
    /// name is answered with the right ones
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, serde_json::Value)>,
}
