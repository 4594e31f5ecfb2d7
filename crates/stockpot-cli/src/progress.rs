//! A job's progress as a bar on a terminal and as plain lines elsewhere, always on standard error.
//!
//! Words and rates are made here; jobs only send phases and steps. Start with [`Reporter`].

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle as BarStyle};
use stockpot_core::{Progress, ProgressSink};

use crate::console::{Console, ProgressStyle};

/// Plain lines come no more often than this: a log stays readable.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How often a bar's clock moves while a long step is under way.
const TICK_EVERY: Duration = Duration::from_millis(500);

/// Shows what a job sends.
pub(crate) struct Reporter {
    console: Console,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Option<Phase>,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
}

struct Phase {
    name: &'static str,
    total: u64,
    done: u64,
    note: String,
    start: Instant,
}

impl Reporter {
    /// A reporter that prints on `console`.
    pub(crate) fn new(console: Console) -> Self {
        Self {
            console,
            state: Mutex::default(),
        }
    }

    /// The job is over: leaves the last bar as it stands.
    pub(crate) fn finish(&self) {
        self.end_phase(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn begin_phase(&self, state: &mut State, name: &'static str, total: u64) {
        self.end_phase(state);
        if self.console.progress_style() == ProgressStyle::Bar {
            let bar = bar(name, total);
            self.console.set_bar(Some(bar.clone()));
            state.bar = Some(bar);
        }
        state.phase = Some(Phase {
            name,
            total,
            done: 0,
            note: String::new(),
            start: Instant::now(),
        });
        self.line_if_due(state);
    }

    fn step(&self, state: &mut State, done: u64, note: String) {
        let Some(phase) = &mut state.phase else {
            return;
        };
        phase.done = done;
        if let Some(bar) = &state.bar {
            bar.set_position(done);
            bar.set_message(note.clone());
        }
        phase.note = note;
        self.line_if_due(state);
    }

    fn end_phase(&self, state: &mut State) {
        self.console.set_bar(None);
        if let Some(bar) = state.bar.take() {
            bar.abandon();
        }
        state.phase = None;
    }

    fn line_if_due(&self, state: &mut State) {
        if self.console.progress_style() != ProgressStyle::Lines {
            return;
        }
        let now = Instant::now();
        let due = state
            .last_line
            .is_none_or(|last| now.duration_since(last) >= LINE_EVERY);
        if let Some(phase) = state.phase.as_ref().filter(|_| due) {
            state.last_line = Some(now);
            let elapsed = now.duration_since(phase.start);
            self.console.progress_line(&wording(phase, elapsed));
        }
    }
}

impl ProgressSink for Reporter {
    fn send(&self, progress: Progress) {
        match progress {
            Progress::Phase { name, total } => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                self.begin_phase(&mut state, name, total);
            }
            Progress::Step { done, note } => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                self.step(&mut state, done, note);
            }
            Progress::Warning(text) => self.console.warning(&text),
            Progress::Info(text) => self.console.remark(&text),
        }
    }
}

fn bar(name: &'static str, total: u64) -> ProgressBar {
    let (bar, template) = if total > 0 {
        let template = "{prefix} [{bar:30}] {pos}/{len} {per_sec}, {eta} left  {wide_msg}";
        (ProgressBar::new(total), template)
    } else {
        let template = "{prefix} {spinner} {pos} {per_sec}  {wide_msg}";
        (ProgressBar::no_length(), template)
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    // The templates are constants; should one be wrong, indicatif's own still shows the numbers.
    if let Ok(style) = BarStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name);
    bar.enable_steady_tick(TICK_EVERY);
    bar
}

/// `find faces: 120 of 240 (50 %), 12.3/s, 10 s left; loss 0.1`
fn wording(phase: &Phase, elapsed: Duration) -> String {
    let Phase {
        name, total, done, ..
    } = *phase;
    let mut text = name.to_owned();
    if total > 0 {
        let percent = 100.0 * done as f64 / total as f64;
        text += &format!(": {done} of {total} ({percent:.0} %)");
    } else if done > 0 {
        text += &format!(": {done}");
    }
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-9);
    if done > 0 && elapsed >= Duration::from_secs(1) {
        let digits = if rate < 1.0 { 2 } else { 1 };
        text += &format!(", {rate:.digits$}/s");
        if total > done {
            text += &format!(", {} left", time((total - done) as f64 / rate));
        }
    }
    if !phase.note.is_empty() {
        text += "; ";
        text += &phase.note;
    }
    text
}

fn time(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..=99 => format!("{whole} s"),
        100..=5999 => format!("{} min", whole.div_ceil(60)),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(total: u64, done: u64, note: &str) -> Phase {
        Phase {
            name: "find faces",
            total,
            done,
            note: note.to_owned(),
            start: Instant::now(),
        }
    }

    #[test]
    fn lines_say_how_far_how_fast_and_how_long() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            wording(&phase(240, 120, "loss 0.1"), ten),
            "find faces: 120 of 240 (50 %), 12.0/s, 10 s left; loss 0.1"
        );
        assert_eq!(
            wording(&phase(240, 240, ""), ten),
            "find faces: 240 of 240 (100 %), 24.0/s"
        );
        assert_eq!(
            wording(&phase(20, 2, ""), ten),
            "find faces: 2 of 20 (10 %), 0.20/s, 90 s left"
        );
        assert_eq!(wording(&phase(0, 0, ""), ten), "find faces");
        assert_eq!(wording(&phase(0, 30, ""), ten), "find faces: 30, 3.0/s");
        assert_eq!(
            wording(&phase(9, 0, ""), Duration::ZERO),
            "find faces: 0 of 9 (0 %)"
        );
    }

    #[test]
    fn times_are_in_the_unit_one_thinks_in() {
        assert_eq!(time(42.4), "42 s");
        assert_eq!(time(100.0), "2 min");
        assert_eq!(time(1790.0), "30 min");
        assert_eq!(time(9000.0), "2.5 h");
    }
}
