//! The meter: where a run's time goes, and in words what to change about it.
//!
//! Pure sums and wording; whoever holds the clock adds the seconds. Start with [`Meter`].

use serde::{Deserialize, Serialize};

use crate::log::Shares;
use crate::settings::TrainSettings;

/// Waiting for batches is nothing to speak of below this share.
pub const MOST_WAITING: f64 = 0.02;
/// What saving may cost.
pub const MOST_SAVING: f64 = 0.01;
/// What previews may cost, and what evaluations may.
pub const MOST_LOOKING: f64 = 0.03;
/// What the optimiser may cost before a larger batch is worth a word.
const MOST_UPDATE: f64 = 0.2;
/// Steps before anything is said: the first ones find cold caches and no batch ready.
const FIRST_WORDS: u64 = 20;
/// A gain that is worth a word.
const LEAST_GAIN: f64 = 0.02;

/// What making batches has cost since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FeedWork {
    /// Threads that make batches.
    pub workers: usize,
    /// Cores of the machine.
    pub cores: usize,
    /// Batches made.
    pub batches: u64,
    /// Seconds of a core's time that they took, all workers together.
    pub busy_secs: f64,
    /// Seconds by the clock that workers were at it, all together: more than `busy_secs` where they
    /// waited for a core or for the disk.
    pub spent_secs: f64,
}

/// Something to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// The phase it is about, as [`Shares::named`] has it.
    pub phase: String,
    /// What is seen and what would help.
    pub text: String,
}

/// The sums of a run.
#[derive(Debug, Default)]
pub struct Meter {
    /// Since the last line of metrics.
    pub recent: Shares,
    all: Shares,
    steps: u64,
    words: String,
    told: Vec<String>,
}

impl Meter {
    /// Counts a step.
    pub fn count_step(&mut self) {
        self.steps += 1;
    }

    /// Ends the time since the last line of metrics, and returns where it went.
    pub fn turn_over(&mut self) -> Shares {
        let secs = std::mem::take(&mut self.recent);
        self.all.add(&secs);
        self.words = words(&secs);
        secs
    }

    /// Where the time since the last line went, in words for a line of progress.
    pub fn words(&self) -> &str {
        &self.words
    }

    /// Everything up to the last line of metrics.
    pub fn all(&self) -> Shares {
        self.all
    }

    /// What to change, by all that was measured.
    pub fn advice(&self, settings: &TrainSettings, feed: Option<&FeedWork>) -> Vec<Advice> {
        advice(&self.all, self.steps, settings, feed)
    }

    /// As [`Meter::advice`], but only about phases that nothing was said of yet.
    pub fn news(&mut self, settings: &TrainSettings, feed: Option<&FeedWork>) -> Vec<Advice> {
        let mut new = self.advice(settings, feed);
        new.retain(|a| !self.told.contains(&a.phase));
        self.told.extend(new.iter().map(|a| a.phase.clone()));
        new
    }
}

/// `waits 0 %, forward 33 %, backward 52 %, update 8 %`: the four parts of every step, and what else
/// took more than one percent.
fn words(secs: &Shares) -> String {
    let total = secs.total();
    if total <= 0.0 {
        return String::new();
    }
    let parts = secs.named().into_iter().filter_map(|(phase, secs)| {
        let percent = 100.0 * secs / total;
        let (name, always) = match phase {
            "data" => ("waits", true),
            "forward" | "backward" | "update" => (phase, true),
            other => (other, false),
        };
        (always || percent >= 1.0).then(|| format!("{name} {percent:.0} %"))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// What to change about a run that spent `secs` on `steps` steps.
fn advice(
    secs: &Shares,
    steps: u64,
    settings: &TrainSettings,
    feed: Option<&FeedWork>,
) -> Vec<Advice> {
    let total = secs.total();
    if steps < FIRST_WORDS || total <= 0.0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut say = |phase: &str, text: String| {
        found.push(Advice {
            phase: phase.to_owned(),
            text,
        });
    };
    if secs.data > MOST_WAITING * total {
        say("data", feeding(secs, steps, feed));
    }
    let share = |part: f64| 100.0 * part / total;
    for (phase, name, part, most, setting, every) in [
        (
            "save",
            "saving",
            secs.save,
            MOST_SAVING,
            "save_every",
            settings.save_every.min(settings.snapshot_every),
        ),
        (
            "preview",
            "drawing previews",
            secs.preview,
            MOST_LOOKING,
            "preview_every",
            settings.preview_every,
        ),
        (
            "evaluation",
            "measuring held-out faces",
            secs.evaluation,
            MOST_LOOKING,
            "evaluate_every",
            settings.evaluate_every,
        ),
    ] {
        // What happened once, at the end, is not cured by doing it less often; and nobody gains by
        // what rounds to nothing.
        let gains = share(part).round() > (100.0 * most).round();
        if gains && every > 0 && steps >= 2 * every {
            let wanted = (every as f64 * part / (most * total)).ceil();
            say(
                phase,
                format!(
                    "{name} takes {:.0} %: `--set {setting}={wanted}` would make it {:.0} %",
                    share(part),
                    100.0 * most
                ),
            );
        }
    }
    if secs.update > MOST_UPDATE * total && settings.batch < 64 {
        say(
            "update",
            format!(
                "the update takes {:.0} %, the same for any batch: `--batch {}` would halve what it costs a face",
                share(secs.update),
                2 * settings.batch
            ),
        );
    }
    found
}

/// Why a run waits for batches.
fn feeding(secs: &Shares, steps: u64, feed: Option<&FeedWork>) -> String {
    let waits = format!("feeding waits {:.0} %", 100.0 * secs.data / secs.total());
    let Some(feed) = feed.filter(|f| f.batches > 0) else {
        return format!("{waits}: batches must be made ahead of the step");
    };
    let now = secs.total() / steps as f64;
    let step = (secs.total() - secs.data) / steps as f64;
    let batch = feed.busy_secs / feed.batches as f64;
    let needed = (batch / step).ceil() as usize;
    // Whatever the number of workers, their work takes some of the cores that the step has now.
    let best = step + batch / feed.cores.max(1) as f64;
    let gain = 1.0 - best / now;
    let measured = format!(
        "(a batch is {:.0} ms of work for a core, a step without waiting {:.0} ms, on {} cores)",
        1e3 * batch,
        1e3 * step,
        feed.cores
    );
    if needed > feed.cores {
        return format!(
            "{waits}: hiding it would take {needed} workers, more than there are cores {measured}"
        );
    }
    if needed > feed.workers && gain >= LEAST_GAIN {
        let more = needed - feed.workers;
        let workers = if more == 1 { "worker" } else { "workers" };
        return format!(
            "{waits}: {more} more {workers} would hide it, `--set workers={needed}`, and the run would take {:.0} % less time {measured}",
            100.0 * gain
        );
    }
    if feed.spent_secs > 2.0 * feed.busy_secs {
        return format!(
            "{waits}: the {} workers are enough, but had a core for only {:.0} of {:.0} s: other programs take the cores, or faces come from the disk because memory is short {measured}",
            feed.workers, feed.busy_secs, feed.spent_secs
        );
    }
    format!("{waits}: the cores are busy, more workers would only slow the step {measured}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hundred steps of two seconds, of which `data` seconds were waiting.
    fn shares(data: f64) -> Shares {
        Shares {
            data,
            forward: 60.0,
            backward: 130.0 - data,
            update: 10.0,
            ..Shares::default()
        }
    }

    fn fed(workers: usize, cores: usize, busy_secs: f64) -> FeedWork {
        FeedWork {
            workers,
            cores,
            batches: 100,
            busy_secs,
            spent_secs: busy_secs,
        }
    }

    fn said(secs: &Shares, feed: &FeedWork) -> Vec<Advice> {
        advice(secs, 100, &TrainSettings::default(), Some(feed))
    }

    #[test]
    fn workers_that_are_missing_are_counted_from_measured_times() {
        // A step is 1.38 s without waiting, a batch 9 s of work: 7 workers keep up, 1 is there.
        let found = said(&shares(62.0), &fed(1, 32, 900.0));
        assert_eq!(found.len(), 1);
        let text = &found[0].text;
        assert!(
            text.starts_with("feeding waits 31 %: 6 more workers would hide it, `--set workers=7`"),
            "{text}"
        );
        // 1.38 + 9/32 = 1.66 of 2 s.
        assert!(text.contains("17 % less time"), "{text}");
    }

    #[test]
    fn nobody_is_promised_what_the_cores_cannot_give() {
        let text = |feed: FeedWork, data| said(&shares(data), &feed)[0].text.clone();
        assert!(text(fed(1, 2, 900.0), 62.0).contains("more than there are cores"));
        // 2 workers would keep up, but on 2 cores their work takes what the waiting takes now.
        assert!(text(fed(1, 2, 200.0), 50.0).contains("would only slow the step"));
        let starved = FeedWork {
            spent_secs: 400.0,
            ..fed(2, 2, 20.0)
        };
        assert!(text(starved, 50.0).contains("had a core for only 20 of 400 s"));
        assert!(said(&shares(3.9), &fed(1, 2, 20.0)).is_empty());
        let early = advice(
            &shares(62.0),
            FIRST_WORDS - 1,
            &TrainSettings::default(),
            None,
        );
        assert!(early.is_empty());
    }

    #[test]
    fn looking_too_often_is_told_with_the_setting_that_helps() {
        let settings = TrainSettings {
            evaluate_every: 10,
            save_every: 20,
            snapshot_every: 50,
            ..TrainSettings::default()
        };
        let secs = Shares {
            evaluation: 20.0,
            save: 5.0,
            update: 60.0,
            ..shares(0.0)
        };
        let mut meter = Meter {
            recent: secs,
            ..Meter::default()
        };
        (0..100).for_each(|_| meter.count_step());
        assert_eq!(meter.turn_over(), secs);
        let news = meter.news(&settings, None);
        let all: Vec<&str> = news.iter().map(|a| a.text.as_str()).collect();
        assert_eq!(
            all,
            [
                "saving takes 2 %: `--set save_every=37` would make it 1 %",
                "measuring held-out faces takes 7 %: `--set evaluate_every=25` would make it 3 %",
                "the update takes 22 %, the same for any batch: `--batch 32` would halve what it costs a face",
            ]
        );
        assert!(meter.news(&settings, None).is_empty());
        assert_eq!(
            meter.words(),
            "waits 0 %, forward 22 %, backward 47 %, update 22 %, save 2 %, evaluation 7 %"
        );
    }
}
