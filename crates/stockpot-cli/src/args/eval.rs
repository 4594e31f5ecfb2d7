//! `stockpot eval`, `stockpot bench` and `stockpot stock`: what may be typed to measure, and to make
//! the shipped stock.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Consent, positive};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) bench: BenchArgs,
    /// Repeat with the people of N seeds, one after another from --seed on: medians, with least and
    /// most
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) seeds: u32,
    /// Photographed CC0 skins and hair for the people: a folder of MakeHuman's assets
    #[arg(long, value_name = "DIR")]
    pub(crate) assets: Option<PathBuf>,
    /// Only these tracks, such as T1,T2 [default: all]
    #[arg(long, value_name = "TRACKS", value_delimiter = ',')]
    pub(crate) tracks: Vec<String>,
    #[command(subcommand)]
    pub(crate) command: Option<EvalCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Compare a swapped clip, whoever made it, with the truth, frame by frame
    Video {
        /// The swapped clip
        result: PathBuf,
        /// What it should look like: a clip of the same size and length
        #[arg(long, value_name = "CLIP")]
        truth: PathBuf,
        /// The clip before the swap, to see what not swapping at all would have given
        #[arg(long, value_name = "CLIP")]
        source: Option<PathBuf>,
    },
    /// Train on real clips, one person each, and measure how well held-out stretches are redrawn
    Clips {
        /// The clips
        #[arg(required = true, value_name = "CLIP")]
        clips: Vec<PathBuf>,
        /// `self` (it is you), `synthetic` (nobody real), or a file in which the persons agree
        #[arg(long, value_name = "self|synthetic|FILE")]
        consent: Consent,
        #[command(flatten)]
        bench: BenchArgs,
    },
    /// Train several ways for the same time, and compare: from the shipped stock or from nothing, lite or
    /// full, small networks and large ones
    Race {
        /// Clips, one person each [default: people who do not exist, and what a true swap would be]
        #[arg(value_name = "CLIP", requires = "consent")]
        clips: Vec<PathBuf>,
        /// `self` (it is you), `synthetic` (nobody real), or a file in which the persons agree
        #[arg(long, value_name = "self|synthetic|FILE")]
        consent: Option<Consent>,
        /// How long each way is trained
        #[arg(long, value_name = "M", default_value_t = 30.0, allow_negative_numbers = true, value_parser = positive::<f64>)]
        minutes: f64,
        /// Only these: stock, lite, scratch, stock-128, classic [default: all]
        #[arg(long, value_name = "NAMES", value_delimiter = ',')]
        only: Vec<String>,
        #[command(flatten)]
        bench: BenchArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StockCommand {
    /// Draw made-up people and learn a stock from them; hours of work, and goes on where it stopped
    Make {
        /// The network, such as comb-s-96
        #[arg(long, value_name = "NETWORK", default_value = "comb-s-96")]
        preset: String,
        /// Made-up people to learn from
        #[arg(long, value_name = "NUMBER", default_value_t = 384, value_parser = clap::value_parser!(u32).range(8..=4096))]
        people: u32,
        /// Steps in all; the learning rate falls over the last quarter
        #[arg(long, value_name = "NUMBER")]
        steps: u64,
        /// Faces in a step
        #[arg(long, value_name = "FACES", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
        batch: u32,
        /// Go on from this stock instead of from nothing
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Photographed CC0 skins and hair for the people: a folder of MakeHuman's assets
        #[arg(long, value_name = "DIR")]
        assets: Option<PathBuf>,
        /// Where faces and checkpoints are kept
        #[arg(long, value_name = "DIR")]
        work: PathBuf,
        /// The file to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Render and train less: under 8 minutes instead of under 30, on 2 cores
    #[arg(long)]
    pub(crate) quick: bool,
    /// A few frames and steps only, to see that everything runs
    #[arg(long, hide = true, conflicts_with = "quick")]
    pub(crate) tiny: bool,
    /// Write eval.json and the page eval.html into this folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SpeedArgs {
    /// Fewer networks, sizes and rounds: about two minutes instead of about fifteen, on 2 cores
    #[arg(long)]
    pub(crate) quick: bool,
    /// So little that it only shows that everything runs
    #[arg(long, hide = true, conflicts_with = "quick")]
    pub(crate) tiny: bool,
    /// Write bench.json and the page bench.html into this folder
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}
