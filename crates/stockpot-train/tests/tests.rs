//! The public interface on a real network, smallest preset.

use std::collections::BTreeMap;

use stockpot_core::{PersonName, Rng};
use stockpot_model::{Family, Network};
use stockpot_train::{Batch, Checkpoint, FaceBatch, StepReport, TrainSettings, TrainSpec, Trainer};

fn noise(side: usize, seed: u64) -> FaceBatch {
    let mut rng = Rng::stream(seed, "noise", 0);
    let mut many = |n: usize| (0..n).map(|_| rng.unit()).collect::<Vec<f32>>();
    let pixels = side * side;
    FaceBatch {
        input: many(3 * pixels),
        target: many(3 * pixels),
        mask: many(pixels),
        weight: Vec::new(),
    }
}

#[test]
fn comb_s_64_resumes_to_the_bit_and_gets_better() {
    let network = Network::new(Family::COMB[0]);
    let anna: PersonName = "anna".parse().unwrap();
    let settings = TrainSettings {
        batch: 1,
        warm_up_steps: 20,
        ..TrainSettings::default()
    };
    let mut trainer = Trainer::new(TrainSpec {
        encoder: network.init_encoder(5),
        persons: vec![(anna.clone(), network.init_decoder(5))],
        lite: Default::default(),
        network: network.clone(),
        settings,
        parents: BTreeMap::new(),
    })
    .unwrap();
    // The same face each time, so that the loss has to fall.
    let steps = |trainer: &mut Trainer, count: u64| -> Vec<StepReport> {
        let first = trainer.state().position.batch;
        let batches = (first..first + count).map(|number| Batch {
            number,
            faces: noise(64, 0),
            ..Batch::default()
        });
        batches
            .map(|batch| trainer.step(&batch, &|| 0.0).unwrap())
            .collect()
    };
    let first = steps(&mut trainer, 2);
    let state = trainer.state().clone();
    let checkpoint = Checkpoint {
        meta: trainer.meta().clone(),
        state,
    };
    let second = steps(&mut trainer, 2);
    let mut resumed = Trainer::resume(&network, checkpoint).unwrap();
    assert_eq!(steps(&mut resumed, 2), second);
    assert!(resumed.state() == trainer.state());
    assert!(
        second[1].losses[0].total < first[0].losses[0].total,
        "{first:?} {second:?}"
    );
    assert_eq!(trainer.channels(), 4);
    let drawn = trainer.draw(&anna, &noise(64, 9).input).unwrap();
    assert!(drawn.iter().all(|v| (0.0..=1.0).contains(v)));
    assert_eq!(
        trainer.decoder(&anna).unwrap().layout(),
        network.decoder_layout()
    );
}
