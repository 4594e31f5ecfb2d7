//! The seam to a device, with a device that is another trainer on the CPU.

use crate::settings::Precision;
use crate::trainer::tests::{batch, faces, name, settings, still, trainer};

use super::*;

/// Makes steps with a trainer of its own; counts what goes up and comes down.
#[derive(Debug)]
struct Mirror {
    own: Trainer,
    /// Ups, downs.
    trips: std::sync::Arc<std::sync::Mutex<[usize; 2]>>,
    fails_at: Option<u64>,
}

impl Accelerator for Mirror {
    fn name(&self) -> String {
        "a mirror".into()
    }

    fn take(&mut self, state: &TrainState) -> Result<(), BoxError> {
        self.trips.lock().unwrap()[0] += 1;
        Ok(self.own.restore(state)?)
    }

    fn give(&mut self, state: &mut TrainState) -> Result<(), BoxError> {
        self.trips.lock().unwrap()[1] += 1;
        let own = self.own.state();
        state.encoder.clone_from(&own.encoder);
        state.persons.clone_from(&own.persons);
        Ok(())
    }

    fn step(&mut self, batch: &Batch, order: &StepOrder<'_>) -> Result<StepNumbers, BoxError> {
        if self.fails_at == Some(batch.number) {
            return Err("the card fell off the bus".into());
        }
        assert_eq!(order.held, [false, false]);
        let found = self.own.step(batch, &still)?;
        Ok(StepNumbers {
            losses: found.losses,
            gradient_norm: match found.incident {
                Some(_) => f64::NAN,
                None => found.gradient_norm,
            },
        })
    }

    fn draw(&mut self, person: usize, input: &[f32]) -> Result<Vec<f32>, BoxError> {
        let person = self.own.persons().nth(person).cloned();
        Ok(self.own.draw(&person.ok_or("nobody")?, input)?)
    }
}

type Trips = std::sync::Arc<std::sync::Mutex<[usize; 2]>>;

fn plain() -> crate::TrainSettings {
    crate::TrainSettings {
        precision: Precision::F32,
        ..settings()
    }
}

fn on_mirror(fails_at: Option<u64>) -> (Trainer, Trips) {
    let (mut out, trips) = (trainer(plain()), Trips::default());
    let device = Mirror {
        own: trainer(plain()),
        trips: trips.clone(),
        fails_at,
    };
    out.run_on(Box::new(device)).unwrap();
    (out, trips)
}

#[test]
fn steps_elsewhere_are_the_steps_of_here() {
    let (mut there, trips) = on_mirror(None);
    let mut here = trainer(plain());
    assert_eq!(there.device().as_deref(), Some("a mirror"));
    for number in 0..6 {
        let found = there.step(&batch(number), &still).unwrap();
        assert_eq!(found, here.step(&batch(number), &still).unwrap());
    }
    assert_eq!(*trips.lock().unwrap(), [1, 0], "weights stay over there");
    // What was learned is not here yet, and nothing old is given out in its place.
    assert!(there.encoder().is_none() && there.decoder(&name("anna")).is_none());
    let shown = faces(0, 3, 77);
    assert_eq!(
        there.evaluate(&name("anna"), &shown).unwrap(),
        here.evaluate(&name("anna"), &shown).unwrap()
    );
    assert_eq!(*there.snapshot().unwrap(), *here.snapshot().unwrap());
    assert_eq!(*trips.lock().unwrap(), [1, 1]);
    assert_eq!(there.encoder(), here.encoder());
    assert_eq!(there.decoder(&name("ben")), here.decoder(&name("ben")));
    // A state that is put back goes up before the next step.
    let early = trainer(plain());
    there.restore(early.state()).unwrap();
    here.restore(early.state()).unwrap();
    let found = there.step(&batch(0), &still).unwrap();
    assert_eq!(found, here.step(&batch(0), &still).unwrap());
    assert_eq!(*trips.lock().unwrap(), [2, 1]);
}

#[test]
fn a_spoilt_step_goes_back_to_the_last_snapshot() {
    let (mut there, trips) = on_mirror(None);
    let mut here = trainer(plain());
    for trainer in [&mut there, &mut here] {
        for number in 0..2 {
            trainer.step(&batch(number), &still).unwrap();
        }
        trainer.snapshot().unwrap();
        trainer.step(&batch(2), &still).unwrap();
    }
    let mut spoilt = batch(3);
    spoilt.faces.target[77] = f32::NAN;
    let found = there.step(&spoilt, &still).unwrap();
    let wanted = here.step(&spoilt, &still).unwrap();
    assert_eq!(found.incident, wanted.incident);
    assert!(found.incident.is_some_and(|i| i.restored_step == 2));
    let ups = trips.lock().unwrap()[0];
    there.step(&batch(4), &still).unwrap();
    here.step(&batch(4), &still).unwrap();
    assert_eq!(trips.lock().unwrap()[0], ups + 1);
    there.settle().unwrap();
    assert_eq!(there.state(), here.state());
}

#[test]
fn a_device_that_fails_is_an_error_and_the_last_snapshot_stays() {
    let (mut there, _) = on_mirror(Some(2));
    for number in 0..2 {
        there.step(&batch(number), &still).unwrap();
    }
    let good = there.snapshot().unwrap();
    let error = there.step(&batch(2), &still).unwrap_err();
    assert!(matches!(&error, Error::Device { device, .. } if device == "a mirror"));
    assert!(error.hint().unwrap().contains("--resume"));
    assert_eq!(*there.snapshot().unwrap(), *good);
}

#[test]
fn what_a_device_cannot_do_is_refused_before_the_first_step() {
    let device = || Mirror {
        own: trainer(plain()),
        trips: Trips::default(),
        fails_at: None,
    };
    let bf16 = crate::TrainSettings {
        precision: Precision::Bf16,
        ..settings()
    };
    let error = trainer(bf16).run_on(Box::new(device())).unwrap_err();
    assert!(matches!(&error, Error::NotOnDevice { what, .. } if what.contains("bf16")));
}
