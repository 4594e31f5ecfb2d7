//! `stockpot library passport|check|stitch|matrix|refit`: what may be typed to find out which decoder
//! fits which encoder state, and to make one fit.

use std::path::PathBuf;

use clap::Subcommand;
use stockpot_core::PersonName;

use super::positive;

#[derive(Debug, Subcommand)]
pub(crate) enum CompatCommand {
    /// Keep what an encoder state's codes are on made-up calibration faces, so that it can be
    /// compared with others and stitched to them
    Passport {
        /// `current`, a person's name, or the first digits of an encoder state [default: every
        /// state]
        encoder: Option<String>,
    },
    /// Whether a decoder fits an encoder state: same, kin or foreign, with the reason
    Check {
        /// A person's name, or the first digits of a decoder state
        decoder: String,
        /// `current`, a person's name (the encoder state of their decoder), or the first digits of
        /// an encoder state
        #[arg(default_value = "current")]
        encoder: String,
    },
    /// Make a person's decoder read the codes of another encoder state
    Stitch {
        /// The person
        name: PersonName,
        /// `current`, a person's name (the encoder state of their decoder), or the first digits of
        /// an encoder state
        #[arg(long, value_name = "ENCODER", default_value = "current")]
        to: String,
    },
    /// Measure every person's decoder under every kept encoder state; a table and a page
    Matrix {
        /// The page to write
        #[arg(long, short, value_name = "FILE", default_value = "matrix.html")]
        out: PathBuf,
    },
    /// Train a worn decoder with the encoder frozen, and print its error before and after
    Refit {
        /// The person
        name: PersonName,
        /// Stop after this many steps [default: 200, unless --minutes is given]
        #[arg(long, value_name = "N", conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..))]
        steps: Option<u64>,
        /// Stop after this many minutes
        #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = positive::<f64>)]
        minutes: Option<f64>,
        /// Faces in one step [default: 16]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1024))]
        batch: Option<u64>,
        /// Train although faces look like somebody else's
        #[arg(long)]
        accept_faces: bool,
    },
}
