//! The step on tiny networks: resuming, going back, learning.

use stockpot_core::Rng;
use stockpot_kernels::Activation;
use stockpot_model::{GraphBuilder, Shape};

use super::*;
use crate::batch::FaceBatch;
use crate::settings::Precision;

pub(crate) const SIDE: usize = 16;

pub(crate) fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

/// 16 x 16 pixels through a code of 24 numbers, with every kind of layer that learns.
pub(crate) fn graphs() -> Graphs {
    let leaky = Activation::LeakyRelu(0.1);
    let mut encoder = GraphBuilder::new("encoder", Shape::new(SIDE, SIDE, 3));
    let x = encoder.conv("down", encoder.input(), (3, 2, 8), leaky);
    let x = encoder.conv("down2", x, (3, 2, 16), leaky);
    encoder.dense("code", x, 24, Activation::None);
    let encoder = encoder.build();
    let mut decoder = GraphBuilder::new("decoder", Shape::new(1, 1, 24));
    let x = decoder.dense("wide", decoder.input(), 4 * 4 * 16, leaky);
    let x = decoder.reshape(x, Shape::new(4, 4, 16));
    let x = decoder.up_conv("up", x, 16, leaky);
    let x = decoder.up_conv("up2", x, 12, leaky);
    let x = decoder.conv("draw", x, (3, 1, 4), Activation::None);
    decoder.sigmoid(x);
    let decoder = decoder.build();
    Graphs {
        family: "tiny".into(),
        encoder: Arc::new(encoder),
        decoder: Arc::new(decoder),
    }
}

pub(crate) fn settings() -> TrainSettings {
    TrainSettings {
        batch: 4,
        warm_up_steps: 3,
        learning_rate: 5e-3,
        report_every: 3,
        save_every: 5,
        snapshot_every: 2,
        evaluate_every: 4,
        preview_every: 0,
        ..TrainSettings::default()
    }
}

pub(crate) fn trainer(settings: TrainSettings) -> Trainer {
    assembled(settings).unwrap()
}

fn assembled(settings: TrainSettings) -> Result<Trainer, Error> {
    let graphs = graphs();
    let init = |graph: &Graph, seed| Params::init(graph.layout.clone(), seed).data;
    let persons = [("anna", 2), ("ben", 3)];
    let persons = persons.map(|(n, seed)| (name(n), init(&graphs.decoder, seed)));
    let state = TrainState::new(init(&graphs.encoder, 1), persons.into());
    let meta = CheckpointMeta {
        family: "tiny".into(),
        settings,
        parents: BTreeMap::new(),
        lite: BTreeMap::new(),
    };
    Trainer::assemble(graphs, meta, state, LitePersons::new())
}

/// Soft blobs whose colours and places depend on the person and the draw.
pub(crate) fn faces(person: u64, count: usize, seed: u64) -> FaceBatch {
    let mut rng = Rng::stream(seed, "faces", person);
    let mut faces = FaceBatch::default();
    for _ in 0..count {
        let (cx, cy) = (rng.range(6.0, 10.0), rng.range(6.0, 10.0));
        let colour = [0.2 + 0.5 * person as f32, 0.5, rng.range(0.3, 0.7)];
        for i in 0..SIDE * SIDE {
            let (x, y) = ((i % SIDE) as f32 - cx, (i / SIDE) as f32 - cy);
            let blob = (-(x * x + y * y) / 18.0).exp();
            faces.target.extend(colour.map(|c| 0.1 + 0.8 * c * blob));
            faces.mask.push(if blob > 0.4 { 1.0 } else { 0.0 });
            faces.weight.push(if blob > 0.9 { 3.0 } else { 1.0 });
        }
    }
    faces.input.clone_from(&faces.target);
    faces
}

/// Both persons' faces, four of each.
pub(crate) fn batch(number: u64) -> Batch {
    both(number, number)
}

fn both(number: u64, seed: u64) -> Batch {
    let (mut all, ben) = (faces(0, 4, seed), faces(1, 4, seed));
    all.input.extend(ben.input);
    all.target.extend(ben.target);
    all.mask.extend(ben.mask);
    all.weight.extend(ben.weight);
    Batch {
        number,
        faces: all,
        ..Batch::default()
    }
}

pub(crate) fn still() -> f64 {
    0.0
}

fn steps(trainer: &mut Trainer, count: u64) -> Vec<StepReport> {
    (0..count)
        .map(|_| {
            let number = trainer.state().position.batch;
            trainer.step(&batch(number), &still).unwrap()
        })
        .collect()
}

fn poisoned(number: u64, person: usize) -> Batch {
    let mut batch = batch(number);
    batch.faces.target[person * 4 * SIDE * SIDE * 3 + 77] = f32::NAN;
    batch
}

fn in_precision(precision: Precision) -> TrainSettings {
    TrainSettings {
        precision,
        ..settings()
    }
}

#[test]
fn five_steps_and_a_resume_and_five_more_equal_ten() {
    resume_is_exact(Precision::F32);
    resume_is_exact(Precision::Bf16);
}

fn resume_is_exact(precision: Precision) {
    let mut whole = trainer(in_precision(precision));
    let reports = steps(&mut whole, 10);
    let mut first = trainer(in_precision(precision));
    steps(&mut first, 5);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut bytes = Vec::new();
    let state = first.snapshot().unwrap();
    crate::checkpoint::write(&mut bytes, first.meta(), &state).unwrap();
    std::fs::write(&path, bytes).unwrap();
    drop(first);
    let checkpoint = crate::checkpoint::read(&path).unwrap();
    assert_eq!(checkpoint.meta.settings.precision, precision);
    let mut second = Trainer::resume_graphs(graphs(), checkpoint, LitePersons::new()).unwrap();
    assert_eq!(steps(&mut second, 5), reports[5..]);
    assert_eq!(second.state(), whole.state());
    assert_eq!(second.encoder(), whole.encoder());
    assert_eq!(second.decoder(&name("ben")), whole.decoder(&name("ben")));
}

#[test]
fn threads_do_not_change_a_bit() {
    let go = |threads, precision| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut trainer = trainer(in_precision(precision));
            steps(&mut trainer, 3);
            trainer.state().clone()
        })
    };
    let (exact, rounded) = (go(1, Precision::F32), go(1, Precision::Bf16));
    assert_eq!(exact, go(3, Precision::F32));
    assert_eq!(rounded, go(3, Precision::Bf16));
    assert_ne!(exact, rounded);
}

#[test]
fn a_run_settles_on_a_precision_and_keeps_it() {
    let network = stockpot_model::Network::new("classic-2x16d32".parse().unwrap());
    let begin = |precision| {
        Trainer::new(TrainSpec {
            encoder: network.init_encoder(1),
            persons: vec![(name("anna"), network.init_decoder(1))],
            lite: Default::default(),
            settings: in_precision(precision),
            parents: BTreeMap::new(),
            network: network.clone(),
        })
    };
    let has_bf16 = stockpot_kernels::isa::multiplies_bf16();
    let auto = begin(Precision::Auto).unwrap();
    let settled = auto.meta().settings.precision;
    let wanted = match stockpot_kernels::isa::gains_from_bf16() {
        true => Precision::Bf16,
        false => Precision::F32,
    };
    assert_eq!(settled, wanted);
    assert!(has_bf16 || wanted == Precision::F32);
    let plain = begin(Precision::F32).unwrap();
    assert_eq!(plain.meta().settings.precision, Precision::F32);
    let mut checkpoint = Checkpoint {
        meta: plain.meta().clone(),
        state: plain.state().clone(),
    };
    let again = Trainer::resume(&network, checkpoint.clone()).unwrap();
    assert_eq!(again.meta().settings.precision, Precision::F32);
    checkpoint.meta.settings.precision = Precision::Bf16;
    let answers = [
        begin(Precision::Bf16),
        Trainer::resume(&network, checkpoint),
    ];
    for answer in answers {
        match answer {
            Ok(trainer) => {
                assert!(has_bf16);
                assert_eq!(trainer.meta().settings.precision, Precision::Bf16);
            }
            Err(error) => {
                assert!(!has_bf16 && error.to_string().contains("bf16"), "{error}");
                assert!(error.hint().unwrap().contains("--precision f32"));
            }
        }
    }
}

#[test]
fn rounded_products_learn_as_well() {
    let learn = |precision| {
        let mut trainer = trainer(TrainSettings {
            ema_decay: 0.9,
            schedule_steps: 100,
            ..in_precision(precision)
        });
        for number in 0..150 {
            trainer.step(&batch(number), &still).unwrap();
        }
        let unseen = trainer.evaluate(&name("anna"), &faces(0, 16, 1 << 40));
        unseen.unwrap().loss.total
    };
    let (exact, rounded) = (learn(Precision::F32), learn(Precision::Bf16));
    println!("loss on unseen faces: {exact:.4} in f32, {rounded:.4} in bf16");
    // Two f32 trainings whose first weights differ are further apart than this.
    assert!((rounded / exact - 1.0).abs() < 0.1, "{rounded} {exact}");
}

#[test]
fn poison_rolls_back_and_the_run_goes_on_with_half_the_rate() {
    let mut trainer = trainer(settings());
    steps(&mut trainer, 3);
    let good = trainer.snapshot().unwrap();
    steps(&mut trainer, 2);
    let report = trainer.step(&poisoned(5, 1), &still).unwrap();
    let incident = report.incident.unwrap();
    assert_eq!(
        (incident.failed_step, incident.restored_step, incident.batch),
        (6, 3, 5)
    );
    assert_eq!(
        (incident.person, incident.loss.as_str()),
        (Some(name("ben")), "NaN")
    );
    assert_eq!(trainer.state().encoder, good.encoder);
    assert_eq!(trainer.state().persons, good.persons);
    assert_eq!(
        (
            trainer.state().position.step,
            trainer.state().position.batch
        ),
        (3, 6)
    );
    let rate = trainer.step(&batch(6), &still).unwrap().learning_rate;
    assert_eq!(rate, 0.5 * settings().learning_rate().at(4));
    assert!(
        trainer
            .state()
            .encoder
            .weights
            .iter()
            .all(|w| w.is_finite())
    );
    // A snapshot ends the row of incidents; without one the third ends the run.
    trainer.snapshot().unwrap();
    assert!(trainer.step(&poisoned(7, 0), &still).is_ok());
    assert!(trainer.step(&poisoned(8, 0), &still).is_ok());
    let error = trainer.step(&poisoned(9, 0), &still).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("step 5, batch 9, person `anna`, 3 times"),
        "{text}"
    );
}

#[test]
fn an_infinite_gradient_of_a_finite_loss_is_caught_too() {
    let mut trainer = trainer(settings());
    // What a backward pass that overflowed leaves behind.
    trainer.encoder_gradient[3] = f32::INFINITY;
    let report = trainer.step(&batch(0), &still).unwrap();
    assert_eq!(report.incident.unwrap().person, None);
    assert!(trainer.state().encoder.first.iter().all(|m| *m == 0.0));
    assert_eq!(trainer.step(&batch(1), &still).unwrap().incident, None);
}

#[test]
fn a_frozen_encoder_stays_as_it_is_to_the_bit() {
    let mut trainer = trainer(TrainSettings {
        freeze_encoder: true,
        ..settings()
    });
    let before = trainer.state().clone();
    steps(&mut trainer, 3);
    assert_eq!(trainer.state().encoder, before.encoder);
    assert_ne!(trainer.state().persons[0].1.ema, before.persons[0].1.ema);
}

#[test]
fn a_frozen_person_stays_to_the_bit_and_teaches_the_encoder() {
    let mut all = trainer(settings());
    let before = all.state().clone();
    steps(&mut all, 3);
    let frozen = before.persons[0].0.clone();
    let mut held = trainer(TrainSettings {
        freeze_persons: vec![frozen.clone()],
        ..settings()
    });
    steps(&mut held, 3);
    assert_eq!(held.state().persons[0], before.persons[0]);
    assert_eq!(
        held.decoder(&frozen).unwrap().data,
        before.persons[0].1.weights
    );
    assert_ne!(held.state().persons[1], before.persons[1]);
    assert_ne!(held.state().encoder, before.encoder);
    // Whatever the frozen person's faces are, the encoder hears of them, and the other decoder
    // learns the same from its own.
    let taught = |person_is: f32| {
        let mut one = trainer(held.meta().settings.clone());
        let mut batch = batch(0);
        let half = batch.faces.target.len() / 2;
        batch.faces.target[..half].fill(person_is);
        one.step(&batch, &still).unwrap();
        one
    };
    let (dark, light) = (taught(0.1), taught(0.7));
    assert_ne!(dark.state().encoder, light.state().encoder);
    assert_eq!(dark.state().persons, light.state().persons);
}

#[test]
fn what_cannot_be_frozen_is_refused() {
    let refused = |settings: TrainSettings, word: &str| {
        let error = assembled(settings).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    };
    let names: Vec<PersonName> = trainer(settings()).persons().cloned().collect();
    refused(
        TrainSettings {
            freeze_persons: vec!["nobody".parse().unwrap()],
            ..settings()
        },
        "nobody",
    );
    refused(
        TrainSettings {
            freeze_persons: names,
            freeze_encoder: true,
            ..settings()
        },
        "nothing is left to learn",
    );
}

#[test]
fn kept_codes_change_nothing_but_the_time() {
    let frozen = || {
        trainer(TrainSettings {
            freeze_encoder: true,
            ..settings()
        })
    };
    let cycling = |number: u64, content| Batch {
        number,
        content,
        ..batch(number % 2)
    };
    let (mut looks, mut keeps, mut thawed) = (frozen(), frozen(), trainer(settings()));
    for number in 0..6 {
        looks.step(&cycling(number, None), &still).unwrap();
        keeps
            .step(&cycling(number, Some(number % 2)), &still)
            .unwrap();
        thawed
            .step(&cycling(number, Some(number % 2)), &still)
            .unwrap();
    }
    assert_eq!(looks.state(), keeps.state());
    let codes = 4 * keeps.code_len() * keeps.persons().count() * settings().batch;
    assert_eq!(keeps.kept_code_bytes(), 2 * codes);
    assert_eq!((looks.kept_code_bytes(), thawed.kept_code_bytes()), (0, 0));
    keeps.restore(&looks.state().clone()).unwrap();
    assert_eq!(keeps.kept_code_bytes(), 0, "it may be of another encoder");
}

#[test]
fn clipping_shortens_the_step_not_the_report() {
    let mut free = trainer(settings());
    let mut held = trainer(TrainSettings {
        clip_norm: 1e-6,
        ..settings()
    });
    let (a, b) = (steps(&mut free, 1), steps(&mut held, 1));
    assert_eq!(a[0].gradient_norm, b[0].gradient_norm);
    let size = |t: &Trainer| optim::squared_norm(&t.state().encoder.first).sqrt();
    assert!(size(&held) < 1.1e-7 && size(&free) > 1e-5);
}

#[test]
fn a_tiny_set_is_learnt_by_heart() {
    let settings = TrainSettings {
        ema_decay: 0.9,
        schedule_steps: 200,
        ..settings()
    };
    let mut trainer = trainer(settings);
    let before = trainer.evaluate(&name("anna"), &faces(0, 4, 0)).unwrap();
    for number in 0..250 {
        trainer.step(&both(number, 0), &still).unwrap();
    }
    for person in ["anna", "ben"] {
        let own = faces(u64::from(person == "ben"), 4, 0);
        let after = trainer.evaluate(&name(person), &own).unwrap();
        println!("{person}: {before:?} -> {after:?}");
        assert!(
            after.score.ssim > 0.9 && after.score.mae < 0.05,
            "{person} {after:?}"
        );
        assert!(
            after.loss.total < 0.25 * before.loss.total,
            "{person} {after:?}"
        );
    }
}

#[test]
fn drawing_pads_the_last_part_and_persons_differ() {
    let mut trainer = trainer(settings());
    let many = faces(0, 7, 1);
    let all = trainer.draw(&name("anna"), &many.input).unwrap();
    assert_eq!(all.len(), 7 * SIDE * SIDE * 4);
    let each = SIDE * SIDE;
    let last = trainer
        .draw(&name("anna"), &many.input[6 * each * 3..])
        .unwrap();
    assert_eq!(all[6 * each * 4..], last);
    assert_ne!(all, trainer.draw(&name("ben"), &many.input).unwrap());
    assert!(matches!(
        trainer.draw(&name("cy"), &[]),
        Err(Error::UnknownPerson { .. })
    ));
    assert!(matches!(
        trainer.draw(&name("ben"), &[0.0; 5]),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let mut trainer = trainer(settings());
    let refused = |batch: &Batch, trainer: &mut Trainer| match trainer.step(batch, &still) {
        Err(Error::Shape { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&batch(1), &mut trainer), "batch number");
    let mut short = batch(0);
    short.faces.mask.pop();
    assert_eq!(refused(&short, &mut trainer), "face masks");
    short.faces = faces(0, 4, 0);
    assert_eq!(refused(&short, &mut trainer), "input faces");

    let twice = TrainState::new(vec![], vec![(name("a"), vec![]), (name("a"), vec![])]);
    let meta = trainer.meta().clone();
    let twice = Trainer::assemble(graphs(), meta.clone(), twice, LitePersons::new());
    assert!(matches!(twice, Err(Error::Persons { .. })));
    let mut other = Checkpoint {
        meta,
        state: trainer.state().clone(),
    };
    other.state.encoder.ema.pop();
    assert!(Trainer::resume_graphs(graphs(), other.clone(), LitePersons::new()).is_err());
    assert!(trainer.restore(&other.state).is_err());
    let mut narrow = other.clone();
    narrow.state.encoder.weights.truncate(1000);
    let wanted = trainer.state().encoder.weights.len();
    let error = Trainer::resume_graphs(graphs(), narrow, LitePersons::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "The checkpoint has 1000 encoder weights, tiny has {wanted}: another version of stockpot made it"
        )
    );
    assert!(error.hint().is_some());
    other.meta.family = "comb-s-64".into();
    let error = Trainer::resume_graphs(graphs(), other, LitePersons::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "The checkpoint has the network comb-s-64, the training has tiny"
    );
}

#[test]
fn restoring_an_earlier_state_repeats_the_same_steps() {
    let mut trainer = trainer(settings());
    steps(&mut trainer, 2);
    let earlier = trainer.state().clone();
    let first = steps(&mut trainer, 2);
    trainer.restore(&earlier).unwrap();
    assert_eq!(steps(&mut trainer, 2), first);
}
