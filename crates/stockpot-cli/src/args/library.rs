//! `stockpot library` and `stockpot export`: what may be typed to look after a library, and to give
//! other programs of it.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use stockpot_core::PersonName;

use super::CompatCommand;

#[derive(Debug, Subcommand)]
pub(crate) enum LibraryCommand {
    /// What is current, and how every person's decoder does with it: same, gained, worn or foreign
    Status {
        /// First measure the decoders that belong to an earlier encoder state; needs their faces
        #[arg(long)]
        measure: bool,
    },
    /// The states of the library, newest first
    Log,
    /// One record, by the first digits of its hash or of its object's
    Show {
        /// Hexadecimal digits
        id: String,
    },
    #[command(flatten)]
    Compat(CompatCommand),
    /// Make a lite person full: the same decoder to the bit, whole, so that all of it can learn on
    Promote {
        /// The person
        name: PersonName,
    },
    /// Hash every object again and follow every record
    Verify,
    /// The log of uses: who was trained, drawn or given away, on whose word; and whether it is whole
    Audit {
        /// Only the lines about this person
        #[arg(long, value_name = "NAME")]
        person: Option<PersonName>,
    },
    /// Write an encoder, a person or the whole library into one file
    ///
    /// Consent travels with the person, and a person whose consent forbids it does not travel. Faces
    /// and run folders are not in the file.
    Export(ExportArgs),
    /// Take in what an export holds; nothing that is here is overwritten
    Import {
        /// The file
        file: PathBuf,
        /// Another name for the person of the file
        #[arg(long = "as", value_name = "NEWNAME")]
        rename: Option<PersonName>,
        /// Check the file and only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Mend what can be mended, and say what is lost
    ///
    /// Torn temporary files go, damaged files are put aside, and whatever is current but not whole
    /// gives way to the newest that is. Nothing that is whole is removed.
    Repair,
    /// Make room: remove the weights of old states, and what no record names
    ///
    /// Kept are all records; what is current, with the encoder states that current decoders were
    /// trained with; the newest states of the encoder and of each person; and everything young.
    Gc {
        /// How many of the newest states of the encoder and of each person keep their weights
        #[arg(long, value_name = "N", default_value_t = 3)]
        keep: u32,
        /// States of the last D days keep their weights
        #[arg(long, value_name = "D", default_value_t = 30)]
        days: u32,
        /// Only say what would go
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)))]
pub(crate) struct ExportArgs {
    /// The current encoder state
    #[arg(long, group = "what")]
    pub(crate) encoder: bool,
    /// One person: consent, decoder, and the encoder state that it was trained with
    #[arg(long, group = "what", value_name = "NAME")]
    pub(crate) person: Option<PersonName>,
    /// Everybody whose consent allows it, and all states
    #[arg(long, group = "what")]
    pub(crate) all: bool,
    /// Take the faces along that are kept for rehearsal; usually they stay here
    #[arg(long, conflicts_with = "encoder")]
    pub(crate) with_rehearsal: bool,
    /// The file to write; one that is there is not overwritten
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportModelArgs {
    /// The person
    pub(crate) name: PersonName,
    /// What to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: FormatName,
    /// The file to write; one that is there is not overwritten
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// What other programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatName {
    /// An ONNX graph over faces cut as stockpot cuts them
    Onnx,
    /// An ONNX graph that players of .dfm files read, over faces cut as they cut them
    Dfm,
    /// The weights of both halves by name
    Safetensors,
}
