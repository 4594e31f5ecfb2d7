//! The two terms: by hand, by finite differences, and what they do to a training.

use super::super::tests::{SIDE, batch, faces, graphs, name, settings, still, trainer};
use super::*;
use crate::checkpoint::Checkpoint;
use crate::settings::Precision;

const CODE: usize = 24;
const FACES: usize = 10;

fn held() -> TrainSettings {
    TrainSettings {
        precision: Precision::F32,
        distil_weight: 1.0,
        distil_crops_weight: 0.5,
        distil_faces: 4,
        ..settings()
    }
}

/// The state that every test's trainer begins with, and what it says about ten faces.
fn previous() -> Distillation {
    let plain = TrainSettings {
        distil_weight: 0.0,
        distil_crops_weight: 0.0,
        ..held()
    };
    let encoder = trainer(plain).encoder().unwrap();
    let shown = faces(1, FACES, 99).target;
    let bytes: Vec<u8> = shown.iter().map(|v| (v * 255.0) as u8).collect();
    let pixels: Vec<f32> = bytes.iter().map(|v| f32::from(*v) / 255.0).collect();
    let mut plan = Plan::inference(graphs().encoder, FACES);
    plan.load(&encoder);
    Distillation {
        codes: plan.forward(&pixels).to_vec(),
        faces: bytes,
        encoder,
    }
}

fn near(settings: TrainSettings) -> Trainer {
    let mut trainer = trainer(settings);
    trainer.keep_near(previous()).unwrap();
    trainer
}

fn learn(trainer: &mut Trainer, steps: u64) -> Vec<f64> {
    (0..steps)
        .map(|_| {
            let number = trainer.state().position.batch;
            let report = trainer.step(&batch(number), &still).unwrap();
            report.distillation.unwrap_or(f64::NAN)
        })
        .collect()
}

/// Mean squared difference of the codes of all calibration faces from the old ones.
fn drift(trainer: &Trainer) -> f64 {
    let previous = previous();
    let pixels: Vec<f32> = previous
        .faces
        .iter()
        .map(|v| f32::from(*v) / 255.0)
        .collect();
    let mut plan = Plan::inference(graphs().encoder, FACES);
    plan.load_slice(&trainer.state().encoder.weights);
    let codes = plan.forward(&pixels);
    let pairs = codes.iter().zip(&previous.codes);
    pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / codes.len() as f64
}

#[test]
fn variance_is_the_mean_over_the_numbers_of_a_code() {
    // Two faces of two numbers: 0 and 2 have the variance 1, 5 and 5 none.
    assert!((mean_variance(&[0.0, 5.0, 2.0, 5.0], 2) - 0.5).abs() < 1e-12);
    assert_eq!(mean_variance(&[3.0, 3.0], 1), 1e-12);
}

#[test]
fn nothing_is_away_from_itself_and_what_is_counts_as_worked_by_hand() {
    let mut trainer = near(held());
    let first = learn(&mut trainer, 1)[0];
    assert!(
        first.abs() < 1e-9,
        "at its start a state is where it was: {first}"
    );
    let mut distiller = trainer.distiller.take().unwrap();
    let input = batch(0).faces.input;
    let old = distiller.old.forward(&input).to_vec();
    let off: Vec<f32> = old.iter().map(|v| v + 0.25).collect();
    let mut gradient = vec![1.0f32; off.len()];
    let learnt = Learnt {
        input: &input,
        codes: &off,
        codes_gradient: &mut gradient,
    };
    let settings = TrainSettings {
        distil_weight: 0.0,
        ..held()
    };
    let moment = Moment {
        step: 0,
        batch: 0,
        weights: &trainer.state.encoder.weights,
    };
    let loss = distiller.hold(&settings, moment, learnt, &mut []);
    let unit = 0.5 / distiller.variance;
    assert!((loss - unit * 0.0625).abs() < 1e-6 * unit, "{loss}");
    let wanted = 1.0 + 2.0 * unit * 0.25 / off.len() as f64;
    assert!(
        (f64::from(gradient[3]) - wanted).abs() < 1e-5,
        "{}",
        gradient[3]
    );
}

#[test]
fn the_gradient_of_the_calibration_faces_is_that_of_finite_differences() {
    let mut trainer = near(held());
    // A step away from the old state, so that there is a slope.
    learn(&mut trainer, 3);
    let mut distiller = trainer.distiller.take().unwrap();
    let weights = trainer.state.encoder.weights.clone();
    let mut loss_of = |weights: &[f32], gradient: &mut [f32]| {
        let moment = Moment {
            step: 0,
            batch: 7,
            weights,
        };
        distiller.calibrate(1.0, moment, gradient)
    };
    let mut gradient = vec![0.0; weights.len()];
    loss_of(&weights, &mut gradient);
    let mut unused = vec![0.0; weights.len()];
    let mut rng = Rng::stream(5, "which weights", 0);
    let norm = gradient
        .iter()
        .map(|g| f64::from(*g).powi(2))
        .sum::<f64>()
        .sqrt();
    // Along the gradient itself, and along some single weights.
    let mut slope = |direction: &[f32]| {
        let step = 1e-2f32;
        let at = |sign: f32| -> Vec<f32> {
            let pairs = weights.iter().zip(direction);
            pairs.map(|(w, d)| w + sign * step * d).collect()
        };
        let difference = loss_of(&at(1.0), &mut unused) - loss_of(&at(-1.0), &mut unused);
        difference / (2.0 * f64::from(step))
    };
    let along: Vec<f32> = gradient
        .iter()
        .map(|g| (f64::from(*g) / norm) as f32)
        .collect();
    let found = slope(&along);
    assert!((found - norm).abs() < 0.02 * norm, "{found} {norm}");
    for _ in 0..8 {
        let at = rng.below(weights.len());
        let mut one = vec![0.0; weights.len()];
        one[at] = 1.0;
        let (found, wanted) = (slope(&one), f64::from(gradient[at]));
        assert!(
            (found - wanted).abs() < 0.02 * norm,
            "{at}: {found} {wanted}"
        );
    }
}

#[test]
fn every_calibration_face_comes_once_a_pass_in_an_order_of_its_own() {
    let mut trainer = near(held());
    let distiller = trainer.distiller.as_mut().unwrap();
    let mut pass = |n| -> Vec<usize> {
        (0..FACES)
            .map(|place| distiller.face_at(n, place))
            .collect()
    };
    let (first, second, again) = (pass(0), pass(1), pass(0));
    assert_eq!(first, again);
    assert_ne!(first, second);
    for mut order in [first, second] {
        order.sort_unstable();
        assert!(order.into_iter().eq(0..FACES));
    }
}

#[test]
fn held_codes_drift_less_and_a_weight_that_falls_lets_them_go() {
    let plain = TrainSettings {
        distil_weight: 0.0,
        distil_crops_weight: 0.0,
        ..held()
    };
    let mut free = trainer(plain);
    assert!(
        learn(&mut free, 20).iter().all(|d| d.is_nan()),
        "nothing is told where nothing is held"
    );
    let mut tight = near(TrainSettings {
        distil_weight: 30.0,
        ..held()
    });
    learn(&mut tight, 20);
    let mut loose = near(TrainSettings {
        distil_weight: 30.0,
        distil_end: 0.0,
        schedule_steps: 4,
        ..held()
    });
    learn(&mut loose, 20);
    let [free, tight, loose] = [&free, &tight, &loose].map(drift);
    assert!(tight < 0.3 * free, "{tight} {free}");
    assert!(
        tight < loose && loose < free * 1.5,
        "{tight} {loose} {free}"
    );
    let falls = TrainSettings {
        distil_end: 0.2,
        schedule_steps: 10,
        ..held()
    };
    let left = [0, 5, 10, 50].map(|step| falls.distil_left(step));
    for (found, wanted) in left.into_iter().zip([1.0, 0.6, 0.2, 0.2]) {
        assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
    }
}

#[test]
fn a_resumed_training_near_its_past_equals_an_unbroken_one_to_the_bit() {
    let mut whole = near(held());
    learn(&mut whole, 10);
    let mut first = near(held());
    learn(&mut first, 5);
    let checkpoint = Checkpoint {
        meta: first.meta().clone(),
        state: first.state().clone(),
    };
    let mut second =
        Trainer::resume_graphs(graphs(), checkpoint, crate::LitePersons::new()).unwrap();
    second.keep_near(previous()).unwrap();
    learn(&mut second, 5);
    assert_eq!(second.state().encoder, whole.state().encoder);
    assert_eq!(second.state().persons, whole.state().persons);
}

#[test]
fn what_cannot_be_held_is_refused() {
    let refused = |settings: TrainSettings, previous: Distillation| {
        let error = trainer(settings).keep_near(previous).unwrap_err();
        error.to_string()
    };
    let frozen = TrainSettings {
        freeze_encoder: true,
        ..held()
    };
    assert!(refused(frozen, previous()).contains("freeze_encoder"));
    let idle = TrainSettings {
        distil_weight: 0.0,
        distil_crops_weight: 0.0,
        ..held()
    };
    assert!(refused(idle, previous()).contains("distil_weight"));
    let mut few = previous();
    few.codes.truncate(CODE);
    few.faces.truncate(SIDE * SIDE * 3);
    assert!(refused(held(), few).contains("calibration codes"));
    let mut short = previous();
    short.faces.pop();
    assert!(refused(held(), short).contains("calibration faces"));
    // A weight without a previous state is no quiet zero.
    let error = trainer(held()).step(&batch(0), &still).unwrap_err();
    assert!(error.to_string().contains("previous state"), "{error}");
    // Somebody whose decoder is frozen takes part as before.
    let mut rehearsed = near(TrainSettings {
        freeze_persons: vec![name("ben")],
        ..held()
    });
    let before = rehearsed.decoder(&name("ben"));
    learn(&mut rehearsed, 3);
    assert_eq!(rehearsed.decoder(&name("ben")), before);
}
