//! The life of a run: its phases in order, and what each leaves behind.
//!
//! Knows the trainer, the run's files and the clock it was given. Start with [`Session::turn`].

use std::path::{Path, PathBuf};

use stockpot_core::{PersonName, Progress, Rgb8, picture};

use super::lines::{evaluation_line, evaluation_scalars, means};
use super::{RunIo, RunOutcome, StoppedBy};
use crate::batch::Batch;
use crate::checkpoint::CheckpointWriter;
use crate::error::Error;
use crate::guard::Incident;
use crate::log::metrics::LINE_VERSION;
use crate::log::{EventLog, Line, MetricsLog};
use crate::loss::LossValue;
use crate::meter::{Advice, Meter};
use crate::plateau::Curves;
use crate::trainer::{Evaluation, StepReport, Trainer};

pub(super) struct Session<'a, 'b> {
    trainer: &'a mut Trainer,
    io: RunIo<'b>,
    metrics: MetricsLog,
    events: EventLog,
    writer: CheckpointWriter,
    /// The clock at the end of the phase before.
    last: f64,
    /// Where the time of this part of the run goes.
    meter: Meter,
    started_secs: f64,
    started_step: u64,
    saved_step: Option<u64>,
    losses: Vec<LossValue>,
    evaluated: Option<(u64, Vec<(PersonName, Evaluation)>)>,
    preview: Option<PathBuf>,
    /// Held-out losses so far, over all parts of the run.
    curves: Curves,
    /// Whether the plateau was told.
    plateau_told: bool,
}

impl<'a, 'b> Session<'a, 'b> {
    pub(super) fn open(trainer: &'a mut Trainer, io: RunIo<'b>) -> Result<Self, Error> {
        let make = |source| Error::Io {
            action: "make the folder",
            path: io.folder.into(),
            source,
        };
        std::fs::create_dir_all(io.folder).map_err(make)?;
        let position = trainer.state().position.clone();
        let mut metrics =
            MetricsLog::open(&io.folder.join("metrics.jsonl"), position.metrics_bytes)?;
        let curves = metrics.curves()?;
        let events = EventLog::create(&io.folder.join("events"), io.unix_secs, position.step)?;
        let (meta, keep) = (trainer.meta().clone(), trainer.meta().settings.keep);
        let folder = io.folder.join("checkpoints");
        let writer = CheckpointWriter::open(&folder, keep, meta, position.step)?;
        let total = trainer.meta().settings.steps;
        io.progress.send(Progress::Phase {
            name: "train",
            total,
        });
        let name = crate::checkpoint::checkpoint_name(position.step);
        let is_saved = writer.latest().is_some_and(|path| path.ends_with(&name));
        let mut session = Self {
            last: (io.clock)(),
            trainer,
            io,
            metrics,
            events,
            writer,
            meter: Meter::default(),
            started_secs: position.trained_secs,
            started_step: position.step,
            saved_step: (is_saved && position.step > 0).then_some(position.step),
            losses: Vec::new(),
            evaluated: None,
            preview: None,
            curves,
            plateau_told: false,
        };
        session.trainer.position_mut().metrics_bytes = session.metrics.bytes();
        if session.saved_step.is_none() {
            session.start_saving()?;
        }
        Ok(session)
    }

    pub(super) fn reason_to_stop(&self) -> Option<StoppedBy> {
        let settings = &self.trainer.meta().settings;
        let position = &self.trainer.state().position;
        if self.io.cancel.is_cancelled() {
            Some(StoppedBy::Cancelled)
        } else if settings.steps > 0 && position.step >= settings.steps {
            Some(StoppedBy::Steps)
        } else if settings.minutes > 0.0 && position.trained_secs >= 60.0 * settings.minutes {
            Some(StoppedBy::Minutes)
        } else if settings.until_plateau && self.curves.is_plateau() {
            Some(StoppedBy::Plateau)
        } else {
            None
        }
    }

    /// The phases of one step.
    pub(super) fn turn(&mut self) -> Result<(), Error> {
        let batch = self.feed()?;
        let report = self.step(&batch)?;
        self.io.feed.give_back(batch);
        self.report(&report)?;
        if report.incident.is_none() {
            self.evaluate()?;
            self.draw_preview()?;
            self.save()?;
        }
        Ok(())
    }

    fn feed(&mut self) -> Result<Batch, Error> {
        let number = self.trainer.state().position.batch;
        let batch = self.io.feed.next(number);
        self.meter.recent.data += self.lap();
        batch.map_err(|source| Error::Feed {
            batch: number,
            source,
        })
    }

    fn step(&mut self, batch: &Batch) -> Result<StepReport, Error> {
        let report = self.trainer.step(batch, self.io.clock);
        let secs = self.lap();
        let report = report?;
        self.meter.recent.add(&report.secs);
        self.meter.count_step();
        self.meter.recent.other += secs - report.secs.total();
        Ok(report)
    }

    fn report(&mut self, report: &StepReport) -> Result<(), Error> {
        match &report.incident {
            Some(incident) => self.report_incident(report.step, incident)?,
            None => {
                let position = self.trainer.position_mut();
                position.window.add(report);
                self.losses.clone_from(&report.losses);
                if is_due(report.step, self.trainer.meta().settings.report_every) {
                    self.report_window(report)?;
                }
            }
        }
        let note = self.note();
        self.io.progress.send(Progress::Step {
            done: report.step,
            note,
        });
        self.meter.recent.other += self.lap();
        Ok(())
    }

    fn report_incident(&mut self, step: u64, incident: &Incident) -> Result<(), Error> {
        // Lines of steps that are no longer true go away; the state says where they began. With
        // them go the incidents since then, which the state remembers.
        let position = &self.trainer.state().position;
        self.metrics.cut(position.metrics_bytes)?;
        self.curves.cut(step);
        let guard = &position.guard;
        let earlier = guard
            .incidents
            .len()
            .saturating_sub(guard.in_a_row as usize);
        for incident in &guard.incidents[earlier..] {
            let line = Line::Incident {
                v: LINE_VERSION,
                step,
                incident: incident.clone(),
            };
            self.metrics.append(&line)?;
        }
        self.trainer.position_mut().metrics_bytes = self.metrics.bytes();
        self.events.restart(self.wall_secs(), step)?;
        let whose = incident
            .person
            .as_ref()
            .map(|p| format!(" of {p}"))
            .unwrap_or_default();
        self.io.progress.send(Progress::Warning(format!(
            "The loss{whose} was {} at step {}, batch {}; back to step {step} with the learning rate times {}",
            incident.loss, incident.failed_step, incident.batch, incident.rate_factor
        )));
        Ok(())
    }

    fn report_window(&mut self, report: &StepReport) -> Result<(), Error> {
        let position = self.trainer.position_mut();
        let window = std::mem::take(&mut position.window);
        let (batch, trained_secs) = (position.batch, position.trained_secs);
        let secs = self.meter.turn_over();
        self.losses = means(&window);
        let persons: Vec<_> = self.trainer.persons().cloned().collect();
        let loss = self.losses.iter().map(|l| l.total).sum();
        let gradient_norm = window.gradient_norm / window.steps.max(1) as f64;
        let distillation = window
            .distillation
            .map(|sum| sum / window.steps.max(1) as f64);
        let mut scalars = vec![
            ("loss".to_owned(), loss),
            ("learning_rate".to_owned(), report.learning_rate),
            ("gradient_norm".to_owned(), gradient_norm),
        ];
        scalars.extend(distillation.map(|v| ("distillation".to_owned(), v)));
        for (name, loss) in persons.iter().zip(&self.losses) {
            let parts = [
                ("total", loss.total),
                ("l1", loss.l1),
                ("ssim", loss.ssim),
                ("mask", loss.mask),
            ];
            scalars.extend(parts.map(|(part, v)| (format!("train/{name}/{part}"), v)));
        }
        let seconds = secs.total() / window.steps.max(1) as f64;
        scalars.extend(secs.named().map(|(phase, s)| {
            let share = if seconds > 0.0 { s / secs.total() } else { 0.0 };
            (format!("share/{phase}"), share)
        }));
        scalars.push(("secs_per_step".to_owned(), seconds));
        self.events
            .scalars(self.wall_secs(), report.step, &scalars)?;
        self.log(&Line::Train {
            v: LINE_VERSION,
            step: report.step,
            batch,
            loss,
            persons: persons
                .into_iter()
                .zip(self.losses.iter().copied())
                .collect(),
            distillation,
            learning_rate: report.learning_rate,
            gradient_norm,
            trained_secs,
            secs,
        })?;
        let feed = self.io.feed.work();
        let news = self
            .meter
            .news(&self.trainer.meta().settings, feed.as_ref());
        for advice in news {
            self.io.progress.send(Progress::Info(advice.text));
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<(), Error> {
        let step = self.trainer.state().position.step;
        if !is_due(step, self.trainer.meta().settings.evaluate_every) || self.io.held_out.is_empty()
        {
            return Ok(());
        }
        let evaluations = self.measure()?;
        let line = self.evaluation(step, &evaluations)?;
        self.log(&line)?;
        let losses = evaluations.iter().map(|(name, e)| (name, &e.loss));
        self.curves.add(step, losses);
        self.evaluated = Some((step, evaluations));
        self.tell_plateau(step);
        self.meter.recent.evaluation += self.lap();
        Ok(())
    }

    /// Says it once: the user may stop, or let it go on all the same.
    fn tell_plateau(&mut self, step: u64) {
        if self.plateau_told || !self.curves.is_plateau() {
            return;
        }
        self.plateau_told = true;
        let outlooks = self.curves.outlooks();
        let worse = outlooks.iter().filter(|o| o.is_worse());
        let worse: Vec<&str> = worse.map(|o| o.person.as_str()).collect();
        let words = match &worse[..] {
            [] => String::new(),
            names => format!(
                "; {} even gets worse on faces not learned from: more faces would help",
                names.join(", ")
            ),
        };
        self.io.progress.send(Progress::Info(format!(
            "A plateau at step {step}: twice the steps would lower nobody's held-out loss by 1 %{words}"
        )));
    }

    fn measure(&mut self) -> Result<Vec<(PersonName, Evaluation)>, Error> {
        let mut found = Vec::new();
        for (name, faces) in self.io.held_out {
            if !faces.mask.is_empty() {
                found.push((name.clone(), self.trainer.evaluate(name, faces)?));
            }
        }
        Ok(found)
    }

    /// Measures what else there is, tells TensorBoard, and gives the line for the metrics.
    fn evaluation(&mut self, step: u64, found: &[(PersonName, Evaluation)]) -> Result<Line, Error> {
        let probes = match &mut self.io.probe {
            Some(probe) => probe.measure(self.trainer).unwrap_or_else(|reason| {
                let warning = format!("Not everything can be measured at step {step}: {reason}");
                self.io.progress.send(Progress::Warning(warning));
                Vec::new()
            }),
            None => Vec::new(),
        };
        self.events
            .scalars(self.wall_secs(), step, &evaluation_scalars(found, &probes))?;
        Ok(evaluation_line(step, found, probes))
    }

    fn draw_preview(&mut self) -> Result<(), Error> {
        let step = self.trainer.state().position.step;
        if !is_due(step, self.trainer.meta().settings.preview_every) {
            return Ok(());
        }
        let Some(preview) = &mut self.io.preview else {
            return Ok(());
        };
        match preview.draw(self.trainer) {
            Ok(drawn) => self.keep_preview(step, &drawn)?,
            Err(reason) => {
                let warning = format!("The preview of step {step} cannot be drawn: {reason}");
                self.io.progress.send(Progress::Warning(warning));
            }
        }
        self.meter.recent.preview += self.lap();
        Ok(())
    }

    fn keep_preview(&mut self, step: u64, drawn: &Rgb8) -> Result<(), Error> {
        let folder = self.io.folder.join("previews");
        let path = folder.join(format!("{step:09}.png"));
        let png = picture::to_png(drawn).map_err(|source| Error::Picture { step, source })?;
        let io = |source| Error::Io {
            action: "write",
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&folder).map_err(io)?;
        picture::write_whole(&path, &png).map_err(io)?;
        self.events
            .image(self.wall_secs(), step, "preview", drawn.size(), &png)?;
        self.preview = Some(path);
        Ok(())
    }

    fn save(&mut self) -> Result<(), Error> {
        let step = self.trainer.state().position.step;
        let settings = &self.trainer.meta().settings;
        if is_due(step, settings.save_every) {
            self.start_saving()?;
        } else if is_due(step, settings.snapshot_every) {
            self.writer.poll()?;
            self.trainer.snapshot()?;
            self.meter.recent.save += self.lap();
        }
        Ok(())
    }

    fn start_saving(&mut self) -> Result<(), Error> {
        // Before the copy, so that the writer's buffer is free again.
        self.writer.wait()?;
        let state = self.trainer.snapshot()?;
        self.saved_step = Some(state.position.step);
        self.writer.save(state)?;
        self.meter.recent.save += self.lap();
        Ok(())
    }

    pub(super) fn finish(mut self, stopped_by: StoppedBy) -> Result<RunOutcome, Error> {
        let step = self.trainer.state().position.step;
        if self.saved_step != Some(step) {
            self.start_saving()?;
        }
        // What follows is not part of the checkpoint: a resumed run replaces it. It is measured for
        // who cancels as well: it costs about half a step a person, and figures of weights from
        // many steps ago would stand beside what is committed.
        let evaluations = match self.evaluated.take() {
            Some((at, found)) if at == step => found,
            _ if self.io.held_out.is_empty() => Vec::new(),
            _ => {
                let found = self.measure()?;
                let line = self.evaluation(step, &found)?;
                self.metrics.append(&line)?;
                found
            }
        };
        self.meter.recent.evaluation += self.lap();
        self.writer.wait()?;
        self.meter.recent.save += self.lap();
        self.meter.turn_over();
        let window = &self.trainer.state().position.window;
        if window.steps > 0 {
            self.losses = means(window);
        }
        let line = self.end_line(stopped_by.as_str(), None);
        self.metrics.append(&line)?;
        let advice = self.advice();
        let position = self.trainer.state().position.clone();
        Ok(RunOutcome {
            steps: step,
            stopped_by,
            trained_secs: position.trained_secs,
            losses: self.trainer.persons().cloned().zip(self.losses).collect(),
            evaluations,
            outlooks: self.curves.outlooks(),
            incidents: position.guard.incidents,
            shares: self.meter.all(),
            advice,
            checkpoint: self.writer.latest().map(Into::into).unwrap_or_default(),
            metrics: self.metrics.path().into(),
            events: self.events.path().into(),
            preview: self.preview,
        })
    }

    /// Saves what can be saved, and completes the error.
    pub(super) fn abort(mut self, mut error: Error) -> Error {
        if matches!(error, Error::Feed { .. }) {
            let saved = self.start_saving();
            if let Err(also) = saved.and_then(|()| self.writer.wait()) {
                let warning = format!("The last steps could not be saved: {also}");
                self.io.progress.send(Progress::Warning(warning));
            }
        }
        if let Error::NotFinite { checkpoint, .. } = &mut error {
            match self.writer.wait() {
                Ok(()) => *checkpoint = self.writer.latest().map(Into::into),
                Err(also) => self.io.progress.send(Progress::Warning(also.to_string())),
            }
        }
        let reason = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let reason: Vec<String> = reason.map(ToString::to_string).collect();
        let line = self.end_line("failed", Some(reason.join(": ")));
        if let Err(also) = self.metrics.append(&line) {
            self.io.progress.send(Progress::Warning(also.to_string()));
        }
        error
    }

    fn end_line(&self, stopped_by: &str, reason: Option<String>) -> Line {
        let position = &self.trainer.state().position;
        let name = self.writer.latest().and_then(Path::file_name);
        Line::End {
            v: LINE_VERSION,
            step: position.step,
            stopped_by: stopped_by.into(),
            reason,
            checkpoint: name.map(|n| n.to_string_lossy().into_owned()),
            trained_secs: position.trained_secs,
            secs: self.meter.all(),
            advice: self.advice(),
        }
    }

    fn advice(&self) -> Vec<Advice> {
        let feed = self.io.feed.work();
        self.meter
            .advice(&self.trainer.meta().settings, feed.as_ref())
    }

    fn log(&mut self, line: &Line) -> Result<(), Error> {
        self.metrics.append(line)?;
        self.trainer.position_mut().metrics_bytes = self.metrics.bytes();
        Ok(())
    }

    /// Loss per person, steps per second, and where the time goes.
    fn note(&self) -> String {
        let losses = self.trainer.persons().zip(&self.losses);
        let mut words: Vec<String> = losses
            .map(|(name, loss)| format!("{name} {:.4}", loss.total))
            .collect();
        let position = &self.trainer.state().position;
        let steps = position.step.saturating_sub(self.started_step);
        let secs = position.trained_secs - self.started_secs;
        if secs > 0.0 {
            words.push(format!("{:.2} steps/s", steps as f64 / secs));
        }
        let minutes = self.trainer.meta().settings.minutes;
        if minutes > 0.0 {
            words.push(format!(
                "{:.1} of {minutes} min",
                position.trained_secs / 60.0
            ));
        }
        if !self.meter.words().is_empty() {
            words.push(self.meter.words().to_owned());
        }
        words.join("  ")
    }

    fn wall_secs(&self) -> f64 {
        self.io.unix_secs + self.trainer.state().position.trained_secs - self.started_secs
    }

    /// Seconds since the last call, which are added to the training's.
    fn lap(&mut self) -> f64 {
        let now = (self.io.clock)();
        let secs = now - std::mem::replace(&mut self.last, now);
        self.trainer.position_mut().trained_secs += secs;
        secs
    }
}

fn is_due(step: u64, every: u64) -> bool {
    every > 0 && step.is_multiple_of(every)
}
