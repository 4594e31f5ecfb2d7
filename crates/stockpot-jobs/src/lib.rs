//! The engine room: every job that stockpot can do, wired from the engines, behind both doors.
//!
//! A job is a module with `Settings`, `Reply` and `run(&Context, &Settings)`. Jobs resolve settings,
//! move data between engines, send progress and honour cancelling; they hold no image maths, no
//! networks and no file formats of their own, print nothing and read no environment.
//!
//! Start with [`Context`]; then follow the data: [`analyse`] → [`extract`] → [`train`] → [`swap`].

pub mod analyse;
pub mod compat;
pub mod consent;
pub mod context;
pub mod decoder;
mod disclosure;
pub mod doctor;
pub mod error;
pub mod export;
pub mod extract;
pub mod faces;
mod frames;
pub mod grow;
pub mod init;
pub mod inspect;
pub mod labelling;
pub mod legacy;
pub mod library;
mod marking;
mod memory;
pub mod models;
pub mod person;
pub mod promote;
mod research;
mod sealing;
mod sink;
mod space;
pub mod stock;
pub mod swap;
mod swapper;
pub mod train;

pub use context::Context;
pub use error::{JobError, JobErrorKind};

/// First argument of this program's own child process that decodes files nobody vouches for. A door
/// hands the arguments behind it to [`media_worker`] before it does anything else.
pub const MEDIA_WORKER: &str = stockpot_media::worker::SUBCOMMAND;

/// The child process: decodes what `args` name and returns its exit status.
pub fn media_worker(args: impl IntoIterator<Item = std::ffi::OsString>) -> i32 {
    stockpot_media::worker::main(args)
}
