//! Whole runs on a tiny network with a still clock: files, resuming, stopping, incidents.

use std::cell::Cell;
use std::sync::Mutex;

use stockpot_core::{Progress, Size, picture};

use super::*;
use crate::checkpoint::{self, latest_good};
use crate::log::Line;
use crate::settings::TrainSettings;
use crate::trainer::tests::{batch, faces, graphs, name, settings, still, trainer};

/// One helper for all runs, so that a changed interface breaks one function.
struct Bench {
    folder: tempfile::TempDir,
    cancel: CancelToken,
    news: Mutex<Vec<Progress>>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            cancel: CancelToken::new(),
            news: Mutex::new(Vec::new()),
        }
    }

    fn run(&self, trainer: &mut Trainer, feed: &mut dyn Feed) -> Result<RunOutcome, Error> {
        self.run_with(trainer, feed, None, &still)
    }

    fn run_with(
        &self,
        trainer: &mut Trainer,
        feed: &mut dyn Feed,
        preview: Option<&mut dyn Preview>,
        clock: Clock<'_>,
    ) -> Result<RunOutcome, Error> {
        let held_out = [
            (name("anna"), faces(0, 5, 99)),
            (name("ben"), faces(1, 5, 99)),
        ];
        let progress = |p| self.news.lock().unwrap().push(p);
        let io = RunIo {
            folder: self.folder.path(),
            feed,
            held_out: &held_out,
            preview: preview.map(|p| p as &mut dyn Preview),
            probe: None,
            progress: &progress,
            cancel: &self.cancel,
            clock,
            unix_secs: 1.7e9,
        };
        run(trainer, io)
    }

    fn resumed(&self, steps: u64) -> Trainer {
        let folder = self.folder.path().join("checkpoints");
        let mut found = latest_good(&folder).unwrap().unwrap();
        found.checkpoint.meta.settings.steps = steps;
        Trainer::resume_graphs(graphs(), found.checkpoint, Default::default()).unwrap()
    }

    fn metrics(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("metrics.jsonl")).unwrap()
    }

    fn warnings(&self) -> usize {
        let news = self.news.lock().unwrap();
        news.iter()
            .filter(|p| matches!(p, Progress::Warning(_)))
            .count()
    }
}

fn good(number: u64) -> Result<Batch, BoxError> {
    Ok(batch(number))
}

fn limited(steps: u64) -> Trainer {
    trainer(TrainSettings {
        steps,
        ..settings()
    })
}

#[test]
fn a_resumed_run_equals_an_unbroken_one_file_for_file() {
    let (whole, broken) = (Bench::new(), Bench::new());
    let mut ten = limited(10);
    let outcome = whole.run(&mut ten, &mut good).unwrap();
    assert_eq!((outcome.steps, outcome.stopped_by), (10, StoppedBy::Steps));
    // Stopped in the middle of a window of metrics, then again after a save that was not asked for.
    for steps in [5, 7] {
        let mut part = if steps == 5 {
            limited(5)
        } else {
            broken.resumed(steps)
        };
        broken.run(&mut part, &mut good).unwrap();
    }
    let mut rest = broken.resumed(10);
    let resumed = broken.run(&mut rest, &mut good).unwrap();
    assert_eq!(rest.state(), ten.state());
    assert_eq!(broken.metrics(), whole.metrics());
    assert_eq!(
        (resumed.losses, resumed.evaluations),
        (outcome.losses, outcome.evaluations)
    );
    let lines: Vec<Line> = whole
        .metrics()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let kinds: String = lines
        .iter()
        .map(|line| match line {
            Line::Train { step, .. } => format!("t{step} "),
            Line::Evaluation { step, .. } => format!("e{step} "),
            Line::Incident { .. } => "i ".into(),
            Line::End { .. } => "end".into(),
        })
        .collect();
    assert_eq!(kinds, "t3 e4 t6 e8 t9 e10 end");
}

#[test]
fn a_run_killed_anywhere_resumes_to_the_same_end() {
    let whole = Bench::new();
    let mut twelve = limited(12);
    whole.run(&mut twelve, &mut good).unwrap();
    for killed_at in [0u64, 3, 5, 8, 11] {
        let bench = Bench::new();
        // A kill: the loop is left by a panic of the feed, so nothing is saved after it, and the
        // files' ends are torn.
        let mut part = limited(12);
        let mut feed = |number: u64| {
            assert!(number < killed_at, "killed");
            good(number)
        };
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            bench.run(&mut part, &mut feed).map(|_| ())
        }));
        assert!(died.is_err());
        let path = bench.folder.path().join("metrics.jsonl");
        let mut text = std::fs::read(&path).unwrap();
        text.extend(b"{\"kind\":\"tra");
        std::fs::write(&path, text).unwrap();
        let torn = bench
            .folder
            .path()
            .join("checkpoints")
            .join(checkpoint::checkpoint_name(99));
        std::fs::write(torn, b"STOCKCKP").unwrap();
        let mut rest = bench.resumed(12);
        bench.run(&mut rest, &mut good).unwrap();
        assert_eq!(rest.state(), twelve.state(), "killed at {killed_at}");
        assert_eq!(bench.metrics(), whole.metrics(), "killed at {killed_at}");
    }
}

#[test]
fn cancelling_saves_and_stops_at_the_next_step() {
    let bench = Bench::new();
    let mut feed = |number: u64| {
        if number == 6 {
            bench.cancel.cancel();
        }
        good(number)
    };
    let mut trainer = limited(0);
    let outcome = bench.run(&mut trainer, &mut feed).unwrap();
    assert_eq!(
        (outcome.steps, outcome.stopped_by),
        (7, StoppedBy::Cancelled)
    );
    assert!(
        outcome
            .checkpoint
            .ends_with("checkpoints/ckpt-000000007.stock")
    );
    assert_eq!(
        checkpoint::read(&outcome.checkpoint).unwrap().state,
        *trainer.state()
    );
    // The last evaluation was at step 4; the figures are those of the weights of step 7.
    let fresh = trainer.evaluate(&name("anna"), &faces(0, 5, 99)).unwrap();
    assert_eq!(outcome.evaluations[0], (name("anna"), fresh));
    assert_eq!(outcome.evaluations.len(), 2);
}

#[test]
fn minutes_count_training_time_of_all_parts_and_shares_add_up() {
    let bench = Bench::new();
    let ticks = Cell::new(0u64);
    // A quarter of a second passes between two looks at the clock.
    let clock = || {
        ticks.set(ticks.get() + 1);
        ticks.get() as f64 * 0.25
    };
    let mut minutes = trainer(TrainSettings {
        minutes: 0.5,
        ..settings()
    });
    let first = bench
        .run_with(&mut minutes, &mut good, None, &clock)
        .unwrap();
    assert_eq!(first.stopped_by, StoppedBy::Minutes);
    assert!(
        first.trained_secs >= 30.0 && first.trained_secs < 36.0,
        "{first:?}"
    );
    assert!(
        (first.shares.total() - first.trained_secs).abs() < 1e-9,
        "{first:?}"
    );
    let positive = first
        .shares
        .named()
        .iter()
        .filter(|(_, secs)| *secs > 0.0)
        .count();
    assert_eq!(positive, 8, "all but previews: {:?}", first.shares);
    let mut again = bench.resumed(0);
    assert_eq!(again.meta().settings.minutes, 0.5);
    let second = bench.run_with(&mut again, &mut good, None, &clock).unwrap();
    assert_eq!(second.steps, first.steps);
}

#[test]
fn incidents_are_noted_and_three_in_a_row_name_the_checkpoint() {
    let bench = Bench::new();
    let poison_at = |bad: &'static [u64]| {
        move |number: u64| {
            let mut batch = batch(number);
            if bad.contains(&number) {
                let last = batch.faces.target.len() - 1;
                batch.faces.target[last] = f32::INFINITY;
            }
            Ok(batch)
        }
    };
    let mut trainer = limited(10);
    let outcome = bench.run(&mut trainer, &mut poison_at(&[4, 7, 8])).unwrap();
    assert_eq!(
        (outcome.steps, outcome.incidents.len(), bench.warnings()),
        (10, 3, 3)
    );
    let count = bench.metrics().matches(r#""kind":"incident""#).count();
    assert_eq!(count, 3, "{}", bench.metrics());
    assert_eq!(outcome.incidents[2].rate_factor, 0.125);

    let bench = Bench::new();
    let mut trainer = limited(10);
    let error = bench
        .run(&mut trainer, &mut poison_at(&[6, 7, 8]))
        .unwrap_err();
    let Error::NotFinite {
        checkpoint: Some(path),
        batch: 8,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert!(path.ends_with("ckpt-000000005.stock"), "{error}");
    assert!(error.hint().unwrap().contains("stockpot faces report ben"));
}

#[test]
fn a_feed_that_fails_costs_no_steps() {
    let bench = Bench::new();
    let mut feed = |number: u64| {
        if number < 7 {
            good(number)
        } else {
            Err("disk gone".into())
        }
    };
    let error = bench.run(&mut limited(0), &mut feed).unwrap_err();
    assert!(matches!(error, Error::Feed { batch: 7, .. }));
    let last = bench.metrics().lines().last().unwrap().to_owned();
    assert!(
        last.contains(r#""reason":"No batch 7 to train on: disk gone""#),
        "{last}"
    );
    assert!(last.contains("ckpt-000000007.stock"), "{last}");
    assert_eq!(bench.resumed(0).state().position.step, 7);
}

#[test]
fn previews_are_files_and_a_failing_one_is_only_a_warning() {
    struct Draws(u32);
    impl Preview for Draws {
        fn draw(&mut self, trainer: &mut Trainer) -> Result<Rgb8, BoxError> {
            self.0 += 1;
            if self.0 == 1 {
                return Err("no face".into());
            }
            let side = trainer.side() as u32;
            trainer.draw(&name("ben"), &faces(0, 1, 3).input)?;
            Ok(Rgb8::new(Size::square(side)))
        }
    }
    let bench = Bench::new();
    let mut trainer = trainer(TrainSettings {
        steps: 6,
        preview_every: 2,
        ..settings()
    });
    let mut preview = Draws(0);
    let outcome = bench
        .run_with(&mut trainer, &mut good, Some(&mut preview), &still)
        .unwrap();
    assert_eq!(bench.warnings(), 1);
    let path = outcome.preview.unwrap();
    assert!(path.ends_with("previews/000000006.png"));
    assert_eq!(picture::load(&path).unwrap().size(), Size::square(16));
    assert!(std::fs::metadata(outcome.events).unwrap().len() > 200);
}
