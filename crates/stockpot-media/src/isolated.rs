//! The parent's side of the worker: starts the child, reads its answer, tells how it died.

use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::pipe::{self, Message, ReadError};
use crate::{Error, MediaInfo, VideoFrame, Warning, mux, worker};

/// A running child and its answer. Killed and reaped when dropped.
struct Worker {
    child: Child,
    out: ChildStdout,
    path: PathBuf,
    last_good: Option<u64>,
}

impl Worker {
    fn start(program: &Path, path: &Path, args: &[&OsStr]) -> Result<Self, Error> {
        let fail = |reason: String| Error::WorkerStart {
            reason,
            program: program.into(),
        };
        let mut child = Command::new(program)
            .arg(worker::SUBCOMMAND)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // What the child has to say comes as messages; codecs write what they like to stderr.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| fail(e.to_string()))?;
        let out = child
            .stdout
            .take()
            .ok_or_else(|| fail("it has no stdout".into()))?;
        Ok(Self {
            child,
            out,
            path: path.into(),
            last_good: None,
        })
    }

    fn read(&mut self) -> Result<Message, Error> {
        match pipe::read(&mut self.out) {
            Ok(Message::Error(error)) => Err(error),
            Ok(message) => Ok(message),
            Err(ReadError::Malformed(reason)) => Err(self.malformed(&reason)),
            Err(ReadError::Closed) => Err(self.death()),
        }
    }

    fn malformed(&self, reason: &str) -> Error {
        Error::Pipe {
            reason: reason.into(),
            path: self.path.clone(),
        }
    }

    /// The child closed its end before it said that it was done.
    fn death(&mut self) -> Error {
        let how = match self.child.wait() {
            Ok(status) => match (status.signal(), status.code()) {
                (Some(signal), _) => format!("signal {signal}{}", signal_name(signal)),
                (None, Some(code)) => format!("exit status {code}"),
                (None, None) => "unknown".into(),
            },
            Err(e) => e.to_string(),
        };
        Error::WorkerDied {
            how,
            last_good: self.last_good,
            path: self.path.clone(),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if the child has ended by itself, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The signals a decoder dies of.
fn signal_name(signal: i32) -> &'static str {
    match signal {
        4 => ", illegal instruction",
        6 => ", aborted",
        7 => ", bus error",
        8 => ", arithmetic error",
        9 => ", killed, perhaps because memory ran out",
        11 => ", invalid memory access",
        15 => ", terminated",
        _ => "",
    }
}

/// What the child finds in the file.
pub(crate) fn probe(program: &Path, path: &Path) -> Result<MediaInfo, Error> {
    let args = [OsStr::new(worker::PROBE), path.as_os_str()];
    let mut worker = Worker::start(program, path, &args)?;
    match worker.read()? {
        Message::Info(info) => Ok(*info),
        other => Err(worker.malformed(&format!("wanted Info, found {other:?}"))),
    }
}

/// Joins the video and the source's other tracks in the child, because that parses the source.
pub(crate) fn mux(program: &Path, plan: &mux::Plan) -> Result<Vec<Warning>, Error> {
    let json = serde_json::to_string(plan).map_err(|e| Error::Pipe {
        reason: e.to_string(),
        path: plan.output.clone(),
    })?;
    let args = [OsStr::new(worker::MUX), OsStr::new(&json)];
    let mut worker = Worker::start(
        program,
        plan.source.as_deref().unwrap_or(&plan.output),
        &args,
    )?;
    let mut warnings = Vec::new();
    loop {
        match worker.read()? {
            Message::Warning(warning) => warnings.push(warning),
            Message::End => return Ok(warnings),
            _ => return Err(worker.malformed("wanted Warning or End")),
        }
    }
}

/// Frames out of the child.
pub(crate) struct WorkerReader {
    worker: Worker,
    info: MediaInfo,
    warnings: Vec<Warning>,
}

impl WorkerReader {
    pub(crate) fn open(program: &Path, path: &Path, range: Range<u64>) -> Result<Self, Error> {
        let numbers = [range.start, range.end].map(|v| OsString::from(v.to_string()));
        let args = [
            OsStr::new(worker::DECODE),
            path.as_os_str(),
            &numbers[0],
            &numbers[1],
        ];
        let mut worker = Worker::start(program, path, &args)?;
        match worker.read()? {
            Message::Info(info) => Ok(Self {
                worker,
                info: *info,
                warnings: Vec::new(),
            }),
            _ => Err(worker.malformed("wanted Info first")),
        }
    }

    pub(crate) fn info(&self) -> &MediaInfo {
        &self.info
    }

    pub(crate) fn id(&self) -> u32 {
        self.worker.child.id()
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    pub(crate) fn next(&mut self) -> Result<Option<VideoFrame>, Error> {
        loop {
            match self.worker.read()? {
                Message::Frame(frame) => {
                    if self
                        .worker
                        .last_good
                        .is_some_and(|last| frame.index <= last)
                    {
                        return Err(self.worker.malformed("frames are out of order"));
                    }
                    self.worker.last_good = Some(frame.index);
                    return Ok(Some(frame));
                }
                Message::Warning(warning) => self.warnings.push(warning),
                Message::End => return Ok(None),
                Message::Info(_) | Message::Error(_) => {
                    return Err(self.worker.malformed("wanted a frame"));
                }
            }
        }
    }
}
