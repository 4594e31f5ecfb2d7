//! Progress out of, and cancellation into, long work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a job stands. A phase, a step and a total; wording is the door's business.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// A phase begins. `total` is in the phase's own unit; 0 means unknown.
    Phase {
        /// A short fixed name, such as `find faces`.
        name: &'static str,
        /// Steps to expect, 0 if unknown.
        total: u64,
    },
    /// The current phase has done `done` steps. `note` is a few numbers worth showing, may be empty.
    Step {
        /// Steps done so far in this phase.
        done: u64,
        /// Numbers worth showing beside the bar, such as the loss per person.
        note: String,
    },
    /// Something was done, but not as asked; the job goes on.
    Warning(String),
    /// Rare and for the user: a result or a decision the job took by itself.
    Info(String),
}

/// Takes progress from whatever thread makes it.
pub trait ProgressSink: Send + Sync {
    /// Called often; must be quick.
    fn send(&self, progress: Progress);
}

impl<F: Fn(Progress) + Send + Sync> ProgressSink for F {
    fn send(&self, progress: Progress) {
        self(progress);
    }
}

/// Says "please stop" to a running job, which honours it at its next step or frame.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ask the job to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
