//! `stockpot library`: what may be typed to look after a library.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum LibraryCommand {
    /// How much of everything there is, and what is current
    Status,
    /// The states of the library, newest first
    Log,
    /// One record, by the first digits of its hash or of its object's
    Show {
        /// Hexadecimal digits
        id: String,
    },
    /// Hash every object again and follow every record
    Verify,
}
