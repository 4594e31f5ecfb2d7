//! All printing: data to standard output, everything else to standard error; colour, quiet and
//! verbose are decided here and nowhere else.
//!
//! A reader that goes away (`stockpot library log | head`) is no error. Start with [`Console`].

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::args::Global;
use crate::environment;
use crate::failure::Failure;
use crate::render;

/// How and what to print. Clones share the line that progress bars are drawn on.
#[derive(Clone)]
pub(crate) struct Console {
    json: bool,
    quiet: bool,
    verbose: bool,
    colour: bool,
    progress: ProgressStyle,
    bar: Arc<Mutex<Option<indicatif::ProgressBar>>>,
    /// Whether a result has been printed: standard output holds one JSON value, not two.
    answered: Arc<AtomicBool>,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgressStyle {
    /// Not at all.
    None,
    /// A bar that moves, on a terminal.
    Bar,
    /// A line now and then, in a log file or pipe.
    Lines,
}

impl Console {
    /// A console that follows the flags, the environment and what standard error is.
    pub(crate) fn new(global: &Global) -> Self {
        let terminal = io::stderr().is_terminal() && !environment::dumb_terminal();
        let progress = match (global.quiet || global.no_progress, terminal) {
            (true, _) => ProgressStyle::None,
            (false, true) => ProgressStyle::Bar,
            (false, false) => ProgressStyle::Lines,
        };
        Self {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            colour: terminal && !environment::no_colour(),
            progress,
            bar: Arc::default(),
            answered: Arc::default(),
        }
    }

    /// How progress is to be shown.
    pub(crate) fn progress_style(&self) -> ProgressStyle {
        self.progress
    }

    /// The bar that is drawn now, around which other lines must be printed.
    pub(crate) fn set_bar(&self, bar: Option<indicatif::ProgressBar>) {
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    /// The result of a command, as text for people or as JSON.
    pub(crate) fn result<T: serde::Serialize>(&self, reply: &T) -> Result<(), Failure> {
        self.answered.store(true, Ordering::SeqCst);
        let json = serde_json::to_string(reply)
            .map_err(|e| Failure::failed(format!("The result cannot be written as JSON: {e}")))?;
        if self.json {
            return self.data(&(json + "\n"));
        }
        let data = serde_json::from_str(&json)
            .map_err(|e| Failure::failed(format!("The result cannot be read back: {e}")))?;
        self.data(&render::text(&data))
    }

    /// The result of a command that words its own text for people; or as JSON.
    pub(crate) fn result_as<T: serde::Serialize>(
        &self,
        reply: &T,
        text: &str,
    ) -> Result<(), Failure> {
        match self.json {
            true => self.result(reply),
            false => {
                self.answered.store(true, Ordering::SeqCst);
                self.data(text)
            }
        }
    }

    fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(format!(
                "The result could not be written to standard output: {e}"
            ))),
            _ => Ok(()),
        }
    }

    /// Something worth knowing that is neither result nor warning.
    pub(crate) fn remark(&self, text: &str) {
        if !self.quiet {
            self.line(text);
        }
    }

    /// Done, but not as asked.
    pub(crate) fn warning(&self, text: &str) {
        self.line(&format!("{} {text}", self.paint("warning:", "33")));
    }

    /// What went wrong, why, and what to do next.
    pub(crate) fn failure(&self, failure: &Failure) {
        self.line(&format!(
            "{} {}",
            self.paint("error:", "31"),
            failure.message
        ));
        if self.verbose {
            for source in &failure.sources {
                self.line(&format!("  caused by: {source}"));
            }
        }
        if let Some(hint) = &failure.hint {
            self.line(&format!("{} {hint}", self.paint("hint:", "36")));
        }
        if self.json && !self.answered.load(Ordering::SeqCst) {
            let reply = serde_json::json!({ "error": failure });
            // The error is told on standard error already, and there is no third place.
            let _ = self.data(&format!("{reply}\n"));
        }
    }

    /// One line of progress, for [`ProgressStyle::Lines`].
    pub(crate) fn progress_line(&self, text: &str) {
        self.line(text);
    }

    fn line(&self, text: &str) {
        // Standard error may be closed; then there is nowhere left to say so.
        let print = || {
            let _ = writeln!(io::stderr().lock(), "{text}");
        };
        match &*self.bar.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn paint(&self, text: &str, code: &str) -> String {
        if self.colour {
            format!("\u{1b}[1;{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}
