//! The child process: opens what the command line names, says on stdout what it finds.
//!
//! A program that wants isolated decoding hands its arguments to [`main`] when the first one is
//! [`SUBCOMMAND`], before it does anything else:
//!
//! ```no_run
//! let mut args = std::env::args_os().skip(1);
//! if args.next().is_some_and(|first| first == stockpot_media::worker::SUBCOMMAND) {
//!     std::process::exit(stockpot_media::worker::main(args));
//! }
//! ```

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::pipe::{self, Message};
use crate::{MediaInfo, Opener, mux, probe};

/// First argument of a program that is to be a media worker.
pub const SUBCOMMAND: &str = "__media-worker";

pub(crate) const PROBE: &str = "probe";
pub(crate) const DECODE: &str = "decode";
pub(crate) const MUX: &str = "mux";

/// Does what `args` (without [`SUBCOMMAND`]) say and returns the exit status: 0 when an answer was
/// given, also if the answer is an error; 1 when the parent is gone; 2 for wrong arguments.
///
/// Commands: `probe PATH`, `decode PATH FIRST END`, `mux PLAN` (JSON).
pub fn main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let args: Vec<OsString> = args.into_iter().collect();
    // Not std's stdout: it looks for line ends in every pixel.
    let Ok(fd) = io::stdout().as_fd().try_clone_to_owned() else {
        return 1;
    };
    let mut out = File::from(fd);
    let Some(job) = parse(&args) else {
        return 2;
    };
    match run(&job, &mut out) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

enum Job {
    Probe(PathBuf),
    Decode(PathBuf, std::ops::Range<u64>),
    Mux(Box<mux::Plan>),
}

fn parse(args: &[OsString]) -> Option<Job> {
    let text: Vec<Option<&str>> = args.iter().map(|a| a.to_str()).collect();
    let path = |at: usize| {
        args.get(at)
            .map(|a: &OsString| PathBuf::from(AsRef::<OsStr>::as_ref(a)))
    };
    match text.as_slice() {
        [Some(PROBE), _] => Some(Job::Probe(path(1)?)),
        [Some(DECODE), _, Some(first), Some(end)] => {
            // Wrong numbers end in the same answer as wrong words: None.
            let range = first.parse().ok()?..end.parse().ok()?;
            Some(Job::Decode(path(1)?, range))
        }
        [Some(MUX), Some(plan)] => serde_json::from_str(plan)
            .ok()
            .map(|p| Job::Mux(Box::new(p))),
        _ => None,
    }
}

/// Fails only when the parent is gone.
fn run(job: &Job, out: &mut File) -> io::Result<()> {
    let last = match job {
        Job::Probe(path) => match probe::probe_here(path) {
            Ok(info) => {
                send_info(out, &info)?;
                Message::End
            }
            Err(e) => Message::Error(e),
        },
        Job::Decode(path, range) => decode(path, range.clone(), out)?,
        Job::Mux(plan) => match mux::run(plan) {
            Ok(warnings) => {
                for warning in warnings {
                    pipe::write(out, &Message::Warning(warning))?;
                }
                Message::End
            }
            Err(e) => Message::Error(e),
        },
    };
    pipe::write(out, &last)
}

fn decode(path: &Path, range: std::ops::Range<u64>, out: &mut File) -> io::Result<Message> {
    let mut source = match Opener::Here.open(path, range) {
        Ok(source) => source,
        Err(e) => return Ok(Message::Error(e)),
    };
    send_info(out, source.info())?;
    loop {
        let frame = source.next_frame();
        for warning in source.take_warnings() {
            pipe::write(out, &Message::Warning(warning))?;
        }
        match frame {
            Ok(Some(frame)) => pipe::write(out, &Message::Frame(frame))?,
            Ok(None) => return Ok(Message::End),
            Err(e) => return Ok(Message::Error(e)),
        }
    }
}

fn send_info(out: &mut File, info: &MediaInfo) -> io::Result<()> {
    pipe::write(out, &Message::Info(Box::new(info.clone())))
}
