//! A run: many steps with reports, evaluations, previews and checkpoints, until something stops it.
//!
//! Knows the run's folder and the order of phases; where batches come from, how progress looks,
//! what a preview shows and what time it is are handed in. Start with [`run`].
//!
//! ```text
//! folder/metrics.jsonl      one line per report
//! folder/events/            for TensorBoard
//! folder/previews/          000000250.png …
//! folder/checkpoints/       ckpt-000000250.stock …
//! ```

mod lines;
mod session;

use std::path::{Path, PathBuf};

use stockpot_core::{CancelToken, PersonName, ProgressSink, Rgb8};

use crate::batch::{Batch, FaceBatch};
use crate::error::Error;
use crate::guard::Incident;
use crate::log::Shares;
use crate::loss::LossValue;
use crate::meter::{Advice, FeedWork};
use crate::plateau::Outlook;
use crate::trainer::{Clock, Evaluation, Trainer};
use session::Session;

/// Whatever the caller's parts may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Gives batches; the same number must always give the same batch.
pub trait Feed {
    /// Batch `number`. Numbers rise by one from the trainer's position.
    ///
    /// # Errors
    /// Whatever ends the run.
    fn next(&mut self, number: u64) -> Result<Batch, BoxError>;

    /// Takes a used batch back, to fill its buffers again.
    fn give_back(&mut self, batch: Batch) {
        drop(batch);
    }

    /// What making batches has cost so far; `None` if that is not known.
    fn work(&self) -> Option<FeedWork> {
        None
    }
}

impl<F: FnMut(u64) -> Result<Batch, BoxError>> Feed for F {
    fn next(&mut self, number: u64) -> Result<Batch, BoxError> {
        self(number)
    }
}

/// Draws what the training can do so far.
pub trait Preview {
    /// A picture; [`Trainer::draw`] gives the faces.
    ///
    /// # Errors
    /// Reported as a warning; the run goes on.
    fn draw(&mut self, trainer: &mut Trainer) -> Result<Rgb8, BoxError>;
}

/// Measures something that losses cannot tell, whenever held-out faces are measured.
pub trait Probe {
    /// Numbers by name, for the metrics and for TensorBoard.
    ///
    /// # Errors
    /// Reported as a warning; the run goes on.
    fn measure(&mut self, trainer: &mut Trainer) -> Result<Vec<(String, f64)>, BoxError>;
}

/// Everything a run needs from outside.
pub struct RunIo<'a> {
    /// The run's folder, made if missing. A new run gets a new folder: files in it are replaced.
    pub folder: &'a Path,
    /// Where batches come from.
    pub feed: &'a mut dyn Feed,
    /// Held-out faces of each person who has some.
    pub held_out: &'a [(PersonName, FaceBatch)],
    /// What draws previews.
    pub preview: Option<&'a mut dyn Preview>,
    /// What is measured beside the losses.
    pub probe: Option<&'a mut dyn Probe>,
    /// Where progress goes.
    pub progress: &'a dyn ProgressSink,
    /// Asks to save and stop.
    pub cancel: &'a CancelToken,
    /// Measures durations.
    pub clock: Clock<'a>,
    /// Seconds since 1970 at the start of this part of the run, for TensorBoard.
    pub unix_secs: f64,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoppedBy {
    /// As many steps as asked for.
    Steps,
    /// As many minutes as asked for.
    Minutes,
    /// More steps would hardly bring anything.
    Plateau,
    /// The user.
    Cancelled,
}

impl StoppedBy {
    /// A fixed word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Minutes => "minutes",
            Self::Plateau => "plateau",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct RunOutcome {
    /// Steps made since the run was first started.
    pub steps: u64,
    /// Why it ended.
    pub stopped_by: StoppedBy,
    /// Seconds of training since the run was first started.
    pub trained_secs: f64,
    /// Mean training loss of each person over the last steps.
    pub losses: Vec<(PersonName, LossValue)>,
    /// Held-out faces, measured with the weights of step [`Self::steps`] however the run ended;
    /// empty if there are none.
    pub evaluations: Vec<(PersonName, Evaluation)>,
    /// What more steps would bring, for everybody of whom enough was measured.
    pub outlooks: Vec<Outlook>,
    /// The latest incidents.
    pub incidents: Vec<Incident>,
    /// Where the time of this part of the run went.
    pub shares: Shares,
    /// What would make the next run quicker, in words.
    pub advice: Vec<Advice>,
    /// The last checkpoint.
    pub checkpoint: PathBuf,
    /// Lines of metrics.
    pub metrics: PathBuf,
    /// TensorBoard's file.
    pub events: PathBuf,
    /// The last preview, if one was drawn.
    pub preview: Option<PathBuf>,
}

/// Trains until a limit of the settings is reached or the user cancels, then saves.
///
/// The trainer may be new or resumed: the metrics file is cut back to its position, later
/// checkpoints are set aside, and the run goes on as if it had never stopped.
///
/// # Errors
/// [`Error::Feed`] (after saving), [`Error::NotFinite`] naming the last good checkpoint,
/// [`Error::Io`] such as a full disk.
pub fn run(trainer: &mut Trainer, io: RunIo<'_>) -> Result<RunOutcome, Error> {
    let mut session = Session::open(trainer, io)?;
    let ended = loop {
        if let Some(reason) = session.reason_to_stop() {
            break Ok(reason);
        }
        if let Err(error) = session.turn() {
            break Err(error);
        }
    };
    match ended {
        Ok(reason) => session.finish(reason),
        Err(error) => Err(session.abort(error)),
    }
}

#[cfg(test)]
mod tests;
